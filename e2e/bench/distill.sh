# Our distillation beside PyTorch's: the same student from the same fresh weights, teacher, images, changes of them, optimizer and
# schedule. DISTILL_STEPS (1000) is how long each training is; the long form is 3000. DISTILL_SEEDS (0 1 2): of the order of the images and
# their changes; one training says little, as its chance is larger than what is to be told.
# shellcheck shell=bash
venv=$DRYDOCK_CACHE/bench/torch-2.15.0
# With its CUDA libraries, some 5 GB: the wheel does not load without them, also where there is no GPU.
[[ -e $venv/done ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q torch==2.15.0 onnx onnxruntime==1.31.1 sympy && touch "$venv/done"; }
. "$ROOT/e2e/apt.sh"
for name in time dataset-fashion-mnist; do package "$name" dpkg -s "$name"; done
release --bin drydock-optimizer
ORT_DYLIB_PATH=$("$ROOT/e2e/onnxruntime.sh")
# Before that of the threads, which `nproc` heeds too.
cores=$(nproc)
export ORT_DYLIB_PATH OMP_NUM_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=$ROOT/examples/models
steps=${DISTILL_STEPS:-1000}
seeds=${DISTILL_SEEDS:-0 1 2}
"$venv/bin/python" "$ROOT/e2e/bench/distill.py" prepare "$models" "$work/start.onnx" "$work/nobody.onnx" "$work/training.npz"

options() { # options STEPS LABELS [SEED [SHIFT FLIP]]: of the technique
  printf '{"steps": %s, "batch": 64, "learningRate": 0.004, "temperature": 4, "labels": %s, "seed": %s, "shift": %s, "flip": %s}' "$1" "$2" "${3:-0}" "${4:-2}" "${5:-true}"
}
ours() { # ours OUT TRAINING OPTIONS [TEACHER]
  jq -n --argjson o "$3" --arg t "${4:-}" '{name: "distill", techniques: [{distill: ($o + {student: "student"} + if $t == "" then {} else {teacher: "teacher"} end)}]}' >"$1.yaml"
  /usr/bin/time -f '%U %S %M' -o "$1.cost" "$CARGO_TARGET_DIR/release/drydock-optimizer" apply --model "$models/fashion-resnet.onnx" \
    --further-model "student=$work/start.onnx" ${4:+--further-model "teacher=$4"} --calibration "$models/fashion-calibration.npz" --training "$2" \
    --recipe "$1.yaml" --output "$1" --scale 0.00392156862745098 --mean 0.2860 --std 0.3530
}
theirs() { # theirs OUT TRAINING OPTIONS [TEACHER]: false for labels alone
  /usr/bin/time -f '%U %S %M' -o "$1.cost" "$venv/bin/python" "$ROOT/e2e/bench/distill.py" train "$models" "$work/start.onnx" "$2" "$1" \
    "$(jq -n --argjson o "$3" --argjson t "${4:-true}" '$o + {teacher: $t}')"
}
judge() { "$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" judge "$models/fashion-evaluation.npz" "$@"; }

say "both learn the same: three steps on 64 images, which are all in each batch, unchanged"
"$venv/bin/python" -c 'import numpy, sys; d = numpy.load(sys.argv[1]); numpy.savez(sys.argv[2], x=d["x"][:64], y=d["y"][:64])' "$models/fashion-calibration.npz" "$work/64.npz"
ours "$work/same-ours.onnx" "$work/64.npz" "$(options 3 0.1 0 0 false)"
theirs "$work/same-theirs.onnx" "$work/64.npz" "$(options 3 0.1 0 0 false)"
judge "$work/same-theirs.onnx" "$work/same-ours.onnx" "$work/start.onnx" >"$work/same.json"
jq -e '.[1].sqnr as $ours | .[2].sqnr as $start | if $ours >= 40 and $start < 20 then $ours else
  error("after equal steps the outputs differ by \($ours) dB (\($start) dB before them); expected at least 40") end' "$work/same.json"

# Three rounds of 20 steps on each side, in turn: with the teacher, and without.
steps_in_turn() {
  local round teacher count
  for round in 1 2 3; do
    for teacher in "" "$work/nobody.onnx"; do
      for count in 1 21; do ours "$work/step${teacher:+-alone}-$count-$round.onnx" "$models/fashion-calibration.npz" "$(options $count 0.1)" "$teacher"; done
      theirs "$work/step${teacher:+-alone}-$round.onnx" "$models/fashion-calibration.npz" "$(options 21 0.1)" "$([[ $teacher ]] && echo false || echo true)"
    done
  done
}
say "cost of a step, and trainings of $steps steps with seeds $seeds: as many at a time as there are cores"
running=()
beside() { # beside LOG COMMAND...
  while (($(jobs -rp | wc -l) >= cores)); do wait -n; done
  "${@:2}" >"$1" 2>&1 &
  running+=($!)
}
beside "$work/steps.log" steps_in_turn
for seed in $seeds; do
  beside "$work/theirs-taught-$seed.log" theirs "$work/theirs-taught-$seed.onnx" "$work/training.npz" "$(options "$steps" 0.1 "$seed")"
  beside "$work/ours-taught-$seed.log" ours "$work/ours-taught-$seed.onnx" "$work/training.npz" "$(options "$steps" 0.1 "$seed")"
  beside "$work/ours-free-$seed.log" ours "$work/ours-free-$seed.onnx" "$work/training.npz" "$(options "$steps" 0 "$seed")"
done
beside "$work/theirs-labels.log" theirs "$work/theirs-labels.onnx" "$work/training.npz" "$(options "$steps" 0.1)" false
for one in "${running[@]}"; do wait "$one"; done
for seed in $seeds; do
  judge "$models/fashion-resnet.onnx" "$work/ours-taught-$seed.onnx" "$work/ours-free-$seed.onnx" "$work/theirs-taught-$seed.onnx" "$work/theirs-labels.onnx" >"$work/judged-$seed.json"
done
python3 - "$work" "$ROOT/docs/benchmarks/distill.json" "$steps" "$seeds" <<'PY'
import datetime, json, os, pathlib, statistics, sys
work, steps = pathlib.Path(sys.argv[1]), int(sys.argv[3])
cpu = next(l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name"))
rows = []
def row(what, ours, reference="", ratio="", goal="", holds=None):
    rows.append({"what": what, "ours": ours, "reference": reference, "ratio": ratio, "goal": goal, "holds": holds})
def cost(name):
    user, system, kilobytes = map(float, (work / f"{name}.onnx.cost").read_text().split())
    return user + system, kilobytes / 1024
def step(kind):
    ours = [(cost(f"{kind}-21-{n}")[0] - cost(f"{kind}-1-{n}")[0]) / 20 for n in range(1, 4)]
    theirs = [json.loads((work / f"{kind}-{n}.onnx.json").read_text())["step"] for n in range(1, 4)]
    return statistics.median(ours), statistics.median(theirs), statistics.median(a / b for a, b in zip(ours, theirs))
for kind, what in (("step", "a step of 64 images with its teacher"), ("step-alone", "a step of 64 images without a teacher")):
    ours, theirs, ratio = step(kind)
    row(f"{what}: CPU time on one thread", f"{ours * 1e3:.0f} ms", f"{theirs * 1e3:.0f} ms", f"{ratio:.2f}", "at most 3", ratio <= 3)
seeds = sys.argv[4].split()
# For each training its top-1, one list a seed.
teacher, *trained = zip(*([m["top1"] for m in json.loads((work / f"judged-{seed}.json").read_text())] for seed in seeds))
taught, free, reference, labels = trained
mean = statistics.mean
def spread(top1):
    return f"{mean(top1):.2f} % ({', '.join(f'{v:.2f}' for v in top1)})"
def difference(a, b):
    each = [x - y for x, y in zip(a, b)]
    error = statistics.stdev(each) / len(each) ** 0.5 if len(each) > 1 else float("nan")
    return mean(each), f"{mean(each):+.2f} ± {error:.2f}"
by, said = difference(taught, reference)
row(f"fashion-mobilenet taught by fashion-resnet ({teacher[0]:.2f} %), a tenth of the loss from labels: top-1, mean of the seeds", spread(taught), spread(reference), said, "at least PyTorch's", by >= 0)
by, said = difference(free, reference)
row("the same without labels: top-1, beside PyTorch's with them", spread(free), spread(reference), said, "at most 0.2 below", by >= -0.2)
row("from labels alone: top-1 of one training of PyTorch's", "", f"{labels[0]:.2f} %")
def costs(name):
    return tuple(statistics.median(v) for v in zip(*(cost(f"{name}-{seed}") for seed in seeds)))
(a, b), (c, d) = costs("ours-taught"), costs("theirs-taught")
row("the training with its teacher, the whole process: CPU time", f"{a:.0f} s", f"{c:.0f} s", f"{a / c:.2f}", "at most 3", a / c <= 3)
row("the training with its teacher, the whole process: peak RSS", f"{b:.0f} MiB", f"{d:.0f} MiB", f"{b / d:.2f}")
same = json.loads((work / "same.json").read_text())[1]["sqnr"]
note = (f"Reference: PyTorch 2.15.0, one thread, channels last. {steps} steps of 64 of 55,000 images, each moved by up to 2 pixels and mirrored at random, on both sides from the same "
        f"fresh weights; AdamW, 0.004 at most, the same schedule; temperature 4. Accuracy on 10,000 images, {len(seeds)} trainings of each kind that is compared, with seeds of their own; a difference is the mean over them, with its standard error. A step is the median of three interleaved rounds of 20; "
        f"ours without a teacher has one that costs nothing. After three equal steps on the same 64 images the outputs of both agree to {same:.0f} dB.")
settings = "".join(f"{name}='{os.environ[name]}' " for name in ("DISTILL_STEPS", "DISTILL_SEEDS") if name in os.environ)
command = f"{settings}make bench-distill"
pathlib.Path(sys.argv[2]).write_text(json.dumps({"command": command, "machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
PY
