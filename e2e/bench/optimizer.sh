# Our int8 recipe beside ONNX Runtime's own quantizer and NNCF: the same models, data and judge, in one run.
# shellcheck shell=bash
venv=$DRYDOCK_CACHE/bench/onnxruntime-1.31.1
[[ -x $venv/bin/python ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q onnxruntime==1.31.1 onnx sympy; }
nncf=$("$ROOT/e2e/python.sh" nncf nncf==3.4.0 onnx onnxruntime==1.31.1)
release --bin drydock-optimizer
ORT_DYLIB_PATH=$("$ROOT/e2e/onnxruntime.sh")
export ORT_DYLIB_PATH
# Processors without int8 dot products get another form of int8 (docs/targets.md), and a table of their own.
grep -qE 'avx512_vnni|avx_vnni|asimddp' /proc/cpuinfo && out=optimizer || out=optimizer-avx2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=$ROOT/examples/models
printf 'name: int8\ntechniques: [{ quantize: {} }]\n' >"$work/int8.yaml"
recipe() { printf 'name: %s\ntechniques: [{ quantize: { %s } }]\n' "$1" "$2" >"$work/$1.yaml"; }
# The images that the models were trained on, without their labels.
. "$ROOT/e2e/apt.sh"
package dataset-fashion-mnist dpkg -s dataset-fashion-mnist
"$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" training /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz "$work/training.npz"
recipe plain 'equalize: false, biasCorrection: false'
recipe adaptive 'calibration: Mse, rounding: Adaptive, images: 0'
recipe mse 'calibration: Mse'
recipe entropy 'calibration: Entropy'
recipe mixed 'minSqnr: 38'
recipe float16 'format: Float16'
recipe bfloat16 'format: BFloat16'
recipe dynamic 'format: DynamicInt8'
recipe int4 'format: WeightInt4'
recipe hundred 'images: 100'
recipe all 'images: 0'
smaller() { printf 'name: %s\ntechniques: [%s]\n' "$1" "$2" >"$work/$1.yaml"; }
smaller factorize '{ factorize: { macsRatio: 0.5 } }'
smaller factorize-latency '{ factorize: { latencyRatio: 0.5 } }'
smaller prune '{ prune: { macsRatio: 0.5 } }'
smaller pruned-int8 '{ prune: { macsRatio: 0.35 } }, { quantize: {} }'
smaller taught-int8 '{ prune: { macsRatio: 0.15, images: 1000 } }, { distill: { steps: 1000, learningRate: 0.001 } }, { quantize: {} }'
smaller pruned-taught '{ prune: { macsRatio: 0.5 } }, { distill: {} }'
smaller quickstart-v2 '{ prune: { macsRatio: 0.75, images: 256 } }, { quantize: { calibration: Mse, rounding: Adaptive, images: 512 } }'
smaller aware '{ quantize: { calibration: Mse, rounding: Adaptive, images: 0 } }, { distill: { steps: 400, learningRate: 0.0001, shift: 0 } }'
smaller taylor '{ prune: { macsRatio: 0.5, importance: Taylor } }'
smaller sparse '{ sparsify: {} }'
smaller two-of-four '{ sparsify: { pattern: TwoOfFour } }, { quantize: {} }'
for target in cpu-vnni cpu-avx2 nvidia; do recipe "$target" 'calibration: Mse'; done
# Those that only the larger network has room for.
compressed="factorize factorize-latency prune pruned-taught pruned-int8 taught-int8 search quickstart-v2 taylor sparse two-of-four cpu-vnni cpu-avx2 nvidia"
variants="int8 plain mse entropy adaptive mixed float16 bfloat16 dynamic int4"
# A recipe that is named after a target is for it.
ours() { # ours MODEL RECIPE OUT [CALIBRATION]
  /usr/bin/time -f '%U %S %M' -o "$3.cost" "$CARGO_TARGET_DIR/release/drydock-optimizer" apply --model "$1" \
    --calibration "$models/${4:-fashion-calibration}.npz" --recipe "$work/$2.yaml" --output "$3" \
    --training "$work/training.npz" --scale 0.00392156862745098 --mean 0.2860 --std 0.3530 $([[ $2 != cpu-* && $2 != nvidia ]] || echo --target "$2")
}
searched() { # searched MODEL OUT
  /usr/bin/time -f '%U %S %M' -o "$2.cost" "$CARGO_TARGET_DIR/release/drydock-optimizer" search --model "$1" --calibration \
    "$models/fashion-calibration.npz" --training "$work/training.npz" --evaluation "$models/fashion-evaluation.npz" --store "$work/store" --time-budget 300 \
    --max-accuracy-drop 0.5 --scale 0.00392156862745098 --mean 0.2860 --std 0.3530
  cp "$work"/store/packages/*/model.onnx "$2"
  cp "$work"/store/packages/*/search.json "$work/search.json"
}
package time command -v /usr/bin/time
for model in fashion-resnet fashion-mobilenet; do
  of_model="$variants aware"
  [[ $model != fashion-resnet ]] || of_model="$variants $compressed"
  for variant in $of_model; do
    if [[ $variant == search ]]; then
      searched "$models/$model.onnx" "$work/$model-$variant.onnx"
    else
      ours "$models/$model.onnx" "$variant" "$work/$model-$variant.onnx"
    fi
  done
  for images in hundred all; do ours "$models/$model.onnx" "$images" "$work/$model-$images.onnx" fashion-evaluation; done
  /usr/bin/time -f '%U %S %M' -o "$work/$model-reference.onnx.cost" "$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" quantize \
    "$models/$model.onnx" "$models/fashion-calibration.npz" "$work/$model-reference.onnx"
  # It would tell its makers.
  /usr/bin/time -f '%U %S %M' -o "$work/$model-nncf.onnx.cost" unshare --net "$nncf/bin/python" "$ROOT/e2e/bench/optimizer.py" nncf \
    "$models/$model.onnx" "$models/fashion-calibration.npz" "$work/$model-nncf.onnx"
  # shellcheck disable=SC2046,SC2059,SC2086
  "$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" judge "$models/fashion-evaluation.npz" "$models/$model.onnx" \
    "$work/$model-reference.onnx" "$work/$model-nncf.onnx" $(printf "$work/$model-%s.onnx " $of_model) >"$work/$model.json"
done
python3 - "$work" "$ROOT/docs/benchmarks/$out.json" "$variants" "$compressed" "$CARGO_TARGET_DIR/release/drydock-optimizer" "$ORT_DYLIB_PATH" "$venv" "$nncf" <<'PY'
import datetime, json, os, pathlib, sys
work = pathlib.Path(sys.argv[1])
lines = open("/proc/cpuinfo").read()
cpu = next(l.split(":")[1].strip() for l in lines.splitlines() if l.startswith("model name"))
vnni = "avx512_vnni" in lines or "avx_vnni" in lines
rows = []
def row(what, ours, reference, ratio, goal="", holds=None):
    rows.append({"what": what, "ours": ours, "reference": reference, "ratio": ratio, "goal": goal, "holds": holds})
variants, compressed = sys.argv[3].split(), sys.argv[4].split()
goals = {"fashion-resnet": (91.80, 99.85, 3.8), "fashion-mobilenet": (90.80, 99.65, 1.6)}
said = {"int8": "int8", "plain": "int8, no equalization, no bias correction", "mse": "int8, least error", "entropy": "int8, entropy",
        "adaptive": "int8, least error, adaptive rounding, 1000 images",
        "aware": "int8, adaptive rounding, then distilled as int8 (quantization-aware) on 55,000 images without labels", "mixed": "int8, at least 38 dB", "float16": "float16 weights",
        "bfloat16": "bfloat16 weights", "dynamic": "dynamic int8 (one Gemm)", "int4": "int4 weights (one Gemm)"}
for model, (least_top1, least_agreement, least_speed) in goals.items():
    original, reference, nncf, *judged = json.loads((work / f"{model}.json").read_text())
    main = model == "fashion-resnet"
    judged = dict(zip(variants + (compressed if main else ["aware"]), judged))
    speed = lambda v: original["ms"] / v["ms"]
    def cost(who):
        user, system, kilobytes = map(float, (work / f"{model}-{who}.onnx.cost").read_text().split())
        return user + system, kilobytes / 1024
    # Those that are held against the goals.
    held = ("int8", "adaptive") if main else ("int8", "adaptive", "mixed", "aware")
    for variant in held:
        v, what = judged[variant], f"{model} {said[variant]}"
        row(f"{what}: top-1 (original {original['top1']:.2f} %)", f"{v['top1']:.2f} %", f"{reference['top1']:.2f} %", f"{v['top1'] - reference['top1']:+.2f}",
            f"at least {least_top1:.2f} %", v["top1"] >= least_top1)
        row(f"{what}: agreement with the original", f"{v['agreement']:.2f} %", f"{reference['agreement']:.2f} %", f"{v['agreement'] - reference['agreement']:+.2f}",
            f"at least {least_agreement:.2f} %", v["agreement"] >= least_agreement)
        row(f"{what}: SQNR of the outputs", f"{v['sqnr']:.1f} dB", f"{reference['sqnr']:.1f} dB", f"{v['sqnr'] - reference['sqnr']:+.1f}")
        (a, b), (c, d) = cost(variant), cost("reference")
        row(f"{what}: cost of the recipe, CPU", f"{a:.2f} s", f"{c:.2f} s", f"{a / c:.2f}", "at most 0.5 s" if variant == "int8" else "", a <= 0.5 if variant == "int8" else None)
        row(f"{what}: cost of the recipe, peak RSS", f"{b:.0f} MiB", f"{d:.0f} MiB", f"{b / d:.2f}", "at most 80 MiB" if variant == "int8" else "", b <= 80 if variant == "int8" else None)
        if variant in ("mixed", "aware"):
            row(f"{what}: size", f"{v['bytes'] / original['bytes'] * 100:.1f} %", "", "")
            row(f"{what}: speed over the original's, CPU time", f"{speed(v):.2f}x ({v['ms']:.3f} ms)", "", "", f"at least {least_speed}x (VNNI)" if vnni else "",
                speed(v) >= least_speed if vnni else None)
    ours = judged["int8"]
    size = ours["bytes"] / original["bytes"]
    row(f"{model} int8: size over the original's", f"{size * 100:.1f} %", f"{reference['bytes'] / original['bytes'] * 100:.1f} %", f"{ours['bytes'] / reference['bytes']:.2f}",
        "at most 27 %" if main else "", size <= 0.27 if main else None)
    row(f"{model} int8: speed over the original's, CPU time", f"{speed(ours):.2f}x ({ours['ms']:.3f} ms)", f"{speed(reference):.2f}x ({reference['ms']:.3f} ms)",
        f"{speed(ours) / speed(reference):.2f}", f"at least {least_speed}x (VNNI)" if vnni else "", speed(ours) >= least_speed if vnni else None)
    (seconds, kilobytes), (theirs, their_kilobytes) = cost("int8"), cost("nncf")
    for what, value, of_nncf, ratio in (
        ("top-1", f"{ours['top1']:.2f} %", f"{nncf['top1']:.2f} %", f"{ours['top1'] - nncf['top1']:+.2f}"),
        ("agreement with the original", f"{ours['agreement']:.2f} %", f"{nncf['agreement']:.2f} %", f"{ours['agreement'] - nncf['agreement']:+.2f}"),
        ("SQNR of the outputs", f"{ours['sqnr']:.1f} dB", f"{nncf['sqnr']:.1f} dB", f"{ours['sqnr'] - nncf['sqnr']:+.1f}"),
        ("size over the original's", f"{size * 100:.1f} %", f"{nncf['bytes'] / original['bytes'] * 100:.1f} %", f"{ours['bytes'] / nncf['bytes']:.2f}"),
        ("speed over the original's, CPU time", f"{speed(ours):.2f}x ({ours['ms']:.3f} ms)", f"{speed(nncf):.2f}x ({nncf['ms']:.3f} ms)", f"{speed(ours) / speed(nncf):.2f}"),
        ("cost of the recipe, CPU", f"{seconds:.2f} s", f"{theirs:.2f} s", f"{seconds / theirs:.2f}"),
        ("cost of the recipe, peak RSS", f"{kilobytes:.0f} MiB", f"{their_kilobytes:.0f} MiB", f"{kilobytes / their_kilobytes:.2f}"),
    ):
        row(f"{model} int8, beside NNCF's: {what}", value, of_nncf, ratio)
    few, many = cost("hundred")[1], cost("all")[1]
    row(f"{model} int8: peak RSS, 10,000 images over 100", f"{many:.0f} MiB over {few:.0f} MiB", "", f"{many / few:.2f}", "at most 1.05", many / few <= 1.05)
    for variant in variants:
        if variant not in held:
            v, (seconds, _) = judged[variant], cost(variant)
            row(f"{model} {said[variant]}: top-1, agreement, SQNR", f"{v['top1']:.2f} %, {v['agreement']:.2f} %, {v['sqnr']:.1f} dB", "", "")
            row(f"{model} {said[variant]}: size, speed, CPU of the recipe", f"{v['bytes'] / original['bytes'] * 100:.1f} %, {speed(v):.2f}x, {seconds:.2f} s", "", "")
    if main:
        v = judged["factorize-latency"]
        row(f"{model} low rank, half the measured CPU time, no labels: top-1", f"{v['top1']:.2f} %", "", "")
        row(f"{model} low rank, half the measured CPU time, no labels: speed over the original's, CPU time", f"{speed(v):.2f}x ({v['ms']:.3f} ms)", "", "", "at least 1.9x", speed(v) >= 1.9)
        row(f"{model} low rank, half the measured CPU time, no labels: size, agreement, CPU of the recipe", f"{v['bytes'] / original['bytes'] * 100:.1f} %, {v['agreement']:.2f} %, {cost('factorize-latency')[0]:.1f} s", "", "")
        for variant, what, goal in (("factorize", "low rank, half the multiply-accumulates, no labels", 91.3), ("prune", "channels pruned, half the multiply-accumulates, no labels", 91.0), ("pruned-taught", "channels pruned, half the multiply-accumulates, distilled, no labels", 91.0)):
            v = judged[variant]
            row(f"{model} {what}: top-1", f"{v['top1']:.2f} %", "", "", f"at least {goal} %", v["top1"] >= goal)
            row(f"{model} {what}: agreement, SQNR", f"{v['agreement']:.2f} %, {v['sqnr']:.1f} dB", "", "")
            row(f"{model} {what}: size, speed, CPU of the recipe", f"{v['bytes'] / original['bytes'] * 100:.1f} %, {speed(v):.2f}x, {cost(variant)[0]:.1f} s", "", "")
        search = json.loads((work / "search.json").read_text())
        found = next(c for c in search["candidates"] if c["verdict"]["kind"] in ("chosen", "nearest"))["recipe"]["name"]
        tried = sum(bool(c["rounds"]) for c in search["candidates"])
        for variant, said_so in (("pruned-int8", "pruned to 35 % and int8"), ("taught-int8", "pruned to 15 %, distilled on 55,000 images without labels, int8"), ("search", f"{found}, found among {tried} in a budget of 300 s")):
            v, what = judged[variant], f"{model} {said_so}"
            row(f"{what}: top-1 (original {original['top1']:.2f} %)", f"{v['top1']:.2f} %", "", "", "at most 0.5 below", v["top1"] >= original["top1"] - 0.5)
            row(f"{what}: speed over the original's, CPU time", f"{speed(v):.2f}x ({v['ms']:.3f} ms)", "", "", "at least 6x", speed(v) >= 6)
            row(f"{what}: size over the original's", f"{v['bytes'] / original['bytes'] * 100:.1f} %", "", "", "at most 12.5 %", v["bytes"] / original["bytes"] <= 0.125)
            row(f"{what}: cost, CPU, peak RSS", f"{cost(variant)[0]:.1f} s, {cost(variant)[1]:.0f} MiB", "", "")
        v, what = judged["quickstart-v2"], f"{model} pruned to 75 % and int8 (examples/quickstart-v2.yaml)"
        row(f"{what}: top-1 (original {original['top1']:.2f} %)", f"{v['top1']:.2f} %", f"{reference['top1']:.2f} %", f"{v['top1'] - reference['top1']:+.2f}", "at most 0.3 below", v["top1"] >= original["top1"] - 0.3)
        row(f"{what}: speed over the original's, CPU time", f"{speed(v):.2f}x ({v['ms']:.3f} ms)", f"{speed(reference):.2f}x ({reference['ms']:.3f} ms)", f"{speed(v) / speed(reference):.2f}", "at least 3.5x (VNNI)" if vnni else "", speed(v) >= 3.5 if vnni else None)
        row(f"{what}: size over the original's", f"{v['bytes'] / original['bytes'] * 100:.1f} %", f"{reference['bytes'] / original['bytes'] * 100:.1f} %", f"{v['bytes'] / reference['bytes']:.2f}", "at most 27 %", v["bytes"] / original["bytes"] <= 0.27)
        for variant, what in (("taylor", "channels pruned by Taylor importance, with labels, half the multiply-accumulates"), ("sparse", "half of the weights zero"),
                              ("two-of-four", "two of four weights zero, int8"), ("cpu-vnni", "int8 for cpu-vnni (weights not limited), least error"), ("cpu-avx2", "int8 for cpu-avx2 (weights limited in pairs), least error"),
                              ("nvidia", "int8 for nvidia (symmetric, float biases), least error, on the CPU")):
            v = judged[variant]
            row(f"{model} {what}: top-1, agreement, SQNR", f"{v['top1']:.2f} %, {v['agreement']:.2f} %, {v['sqnr']:.1f} dB", "", "")
            row(f"{model} {what}: size, speed, CPU of the recipe", f"{v['bytes'] / original['bytes'] * 100:.1f} %, {speed(v):.2f}x, {cost(variant)[0]:.1f} s", "", "")
    if main:
        drawn = {"int8": "int8", "float16": "float16", "factorize": "low rank, half the MACs", "prune": "pruned, half the MACs", "quickstart-v2": "pruned to 75 %, int8",
                 "pruned-int8": "pruned to 35 %, int8", "search": f"search: {found}", "sparse": "half of the weights zero", "two-of-four": "2:4, int8"}
        points = {name: (round(speed(judged[v]), 2), round(judged[v]["top1"] - original["top1"], 2)) for v, name in drawn.items()}
        points["ONNX Runtime's int8"] = (round(speed(reference), 2), round(reference["top1"] - original["top1"], 2))
        points["NNCF's int8"] = (round(speed(nncf), 2), round(nncf["top1"] - original["top1"], 2))
        plot = {"title": f"{model}: what recipes give", "x": "times as fast as the original, CPU time", "y": "points of top-1", "points": points, "reference": ["ONNX Runtime's int8", "NNCF's int8"]}
def megabytes(*paths):
    return sum(p.stat().st_size for path in paths for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file() and not p.is_symlink()) / 1e6
binary, library = (pathlib.Path(p).resolve() for p in sys.argv[5:7])
def packages(venv):
    return [p for p in next(pathlib.Path(venv).glob("lib/python*/site-packages")).iterdir() if not p.name.startswith(("pip", "setuptools"))]
installed, theirs, of_nncf = megabytes(binary, library), megabytes(*packages(sys.argv[7])), megabytes(*packages(sys.argv[8]))
row(f"install: the program ({megabytes(binary):.1f} MB) and ONNX Runtime's library; reference: ONNX Runtime's quantizer with what it imports", f"{installed:.1f} MB", f"{theirs:.0f} MB", f"{installed / theirs:.2f}", "at most 40 MB", installed <= 40)
row("install, beside NNCF's with what it imports", f"{installed:.1f} MB", f"{of_nncf:.0f} MB", f"{installed / of_nncf:.2f}")
note = f"Reference: onnxruntime.quantization 1.31.1, or NNCF 3.4.0 where a row says so (ONNX Runtime's: QDQ, U8S8, per channel, MinMax{'' if vnni else ', reduce_range as its documentation advises without VNNI'}; NNCF's: its defaults); 256 calibration images; SQNR, agreement and top-1 on 10,000 images; CPU time of one image on one thread, 40 interleaved rounds."
pathlib.Path(sys.argv[2]).write_text(json.dumps({"command": "make bench-optimizer", "machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "plot": plot, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
PY
