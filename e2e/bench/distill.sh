# Our distillation beside PyTorch's: the same student from the same fresh weights, teacher, images, changes of them, optimizer and
# schedule. DISTILL_STEPS (1000) is how long each of the four trainings is; the long form is 3000.
# shellcheck shell=bash
venv=$DRYDOCK_CACHE/bench/torch-2.15.0
# With its CUDA libraries, some 5 GB: the wheel does not load without them, also where there is no GPU.
[[ -e $venv/done ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q torch==2.15.0 onnx onnxruntime==1.31.1 sympy && touch "$venv/done"; }
for package in time dataset-fashion-mnist; do
  dpkg -s "$package" >/dev/null 2>&1 || flock "$DRYDOCK_CACHE/apt.lock" apt-get install -y --no-install-recommends "$package" >/dev/null
done
cargo build --release --locked -p drydock-optimizer
ORT_DYLIB_PATH=$("$ROOT/e2e/onnxruntime.sh")
export ORT_DYLIB_PATH OMP_NUM_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=$ROOT/examples/models
steps=${DISTILL_STEPS:-1000}
"$venv/bin/python" "$ROOT/e2e/bench/distill.py" prepare "$models" "$work/start.onnx" "$work/nobody.onnx" "$work/training.npz"

options() { # options STEPS LABELS [FURTHER]: of the technique
  printf '{"steps": %s, "batch": 64, "learningRate": 0.004, "temperature": 4, "labels": %s, "seed": 0, "shift": %s, "flip": %s}' "$1" "$2" "${3:-2}" "${4:-true}"
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
ours "$work/same-ours.onnx" "$work/64.npz" "$(options 3 0.1 0 false)"
theirs "$work/same-theirs.onnx" "$work/64.npz" "$(options 3 0.1 0 false)"
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
say "cost of a step, and four trainings of $steps steps: as many at a time as there are cores"
running=()
beside() { # beside LOG COMMAND...
  while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
  "${@:2}" >"$1" 2>&1 &
  running+=($!)
}
beside "$work/steps.log" steps_in_turn
beside "$work/theirs-taught.log" theirs "$work/theirs-taught.onnx" "$work/training.npz" "$(options "$steps" 0.1)"
beside "$work/ours-taught.log" ours "$work/ours-taught.onnx" "$work/training.npz" "$(options "$steps" 0.1)"
beside "$work/ours-free.log" ours "$work/ours-free.onnx" "$work/training.npz" "$(options "$steps" 0)"
beside "$work/theirs-labels.log" theirs "$work/theirs-labels.onnx" "$work/training.npz" "$(options "$steps" 0.1)" false
for one in "${running[@]}"; do wait "$one"; done
judge "$models/fashion-resnet.onnx" "$work/ours-taught.onnx" "$work/ours-free.onnx" "$work/theirs-taught.onnx" "$work/theirs-labels.onnx" >"$work/judged.json"
python3 - "$work" "$ROOT/docs/benchmarks/distill.json" "$steps" <<'PY'
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
teacher, taught, free, reference, labels = (m["top1"] for m in json.loads((work / "judged.json").read_text()))
row(f"fashion-mobilenet taught by fashion-resnet ({teacher:.2f} %), a tenth of the loss from labels: top-1", f"{taught:.2f} %", f"{reference:.2f} %", f"{taught - reference:+.2f}",
    "at least PyTorch's", taught >= reference)
row("the same without labels: top-1, beside PyTorch's with them", f"{free:.2f} %", f"{reference:.2f} %", f"{free - reference:+.2f}", "at most 0.2 below", free >= reference - 0.2)
row("from labels alone: top-1 of PyTorch's training", "", f"{labels:.2f} %")
(a, b), (c, d) = cost("ours-taught"), cost("theirs-taught")
row("the training with its teacher, the whole process: CPU time", f"{a:.0f} s", f"{c:.0f} s", f"{a / c:.2f}", "at most 3", a / c <= 3)
row("the training with its teacher, the whole process: peak RSS", f"{b:.0f} MiB", f"{d:.0f} MiB", f"{b / d:.2f}")
same = json.loads((work / "same.json").read_text())[1]["sqnr"]
note = (f"Reference: PyTorch 2.15.0, one thread, channels last. {steps} steps of 64 of 55,000 images, each moved by up to 2 pixels and mirrored at random, on both sides from the same "
        f"fresh weights; AdamW, 0.004 at most, the same schedule; temperature 4. Accuracy on 10,000 images, one training each: differences of some tenths are chance. A step is the median of three interleaved rounds of 20; "
        f"ours without a teacher has one that costs nothing. After three equal steps on the same 64 images the outputs of both agree to {same:.0f} dB.")
command = "make bench-distill" if steps == 1000 else f"DISTILL_STEPS={steps} make bench-distill"
pathlib.Path(sys.argv[2]).write_text(json.dumps({"command": command, "machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
PY
