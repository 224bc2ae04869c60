# Our int8 recipe beside ONNX Runtime's own quantizer: the same models, data and judge, in one run.
# shellcheck shell=bash
venv=$DRYDOCK_CACHE/bench/onnxruntime-1.31.1
[[ -x $venv/bin/python ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q onnxruntime==1.31.1 onnx sympy; }
cargo build --release --locked -p drydock-optimizer
ORT_DYLIB_PATH=$("$ROOT/e2e/onnxruntime.sh")
export ORT_DYLIB_PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=$ROOT/examples/models
printf 'name: int8\ntechniques: [{ quantize: {} }]\n' >"$work/int8.yaml"
printf 'name: corrected\ntechniques: [{ quantize: { biasCorrection: true } }]\n' >"$work/corrected.yaml"
ours() { # ours MODEL RECIPE OUT
  /usr/bin/time -f '%U %S %M' -o "$3.cost" "$CARGO_TARGET_DIR/release/drydock-optimizer" apply --model "$1" \
    --calibration "$models/fashion-calibration.npz" --recipe "$work/$2.yaml" --output "$3" \
    --scale 0.00392156862745098 --mean 0.2860 --std 0.3530
}
command -v /usr/bin/time >/dev/null || apt-get install -y --no-install-recommends time >/dev/null
for model in fashion-resnet fashion-mobilenet; do
  ours "$models/$model.onnx" int8 "$work/$model-ours.onnx"
  ours "$models/$model.onnx" corrected "$work/$model-corrected.onnx"
  /usr/bin/time -f '%U %S %M' -o "$work/$model-reference.onnx.cost" "$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" quantize \
    "$models/$model.onnx" "$models/fashion-calibration.npz" "$work/$model-reference.onnx"
  "$venv/bin/python" "$ROOT/e2e/bench/optimizer.py" judge "$models/fashion-evaluation.npz" "$models/$model.onnx" \
    "$work/$model-ours.onnx" "$work/$model-corrected.onnx" "$work/$model-reference.onnx" >"$work/$model.json"
done
python3 - "$work" "$ROOT/docs/benchmarks/optimizer.json" <<'PY'
import datetime, json, os, pathlib, sys
work = pathlib.Path(sys.argv[1])
lines = open("/proc/cpuinfo").read()
cpu = next(l.split(":")[1].strip() for l in lines.splitlines() if l.startswith("model name"))
vnni = "avx512_vnni" in lines or "avx_vnni" in lines
rows = []
def row(what, ours, reference, ratio, goal="", holds=None):
    rows.append({"what": what, "ours": ours, "reference": reference, "ratio": ratio, "goal": goal, "holds": holds})
for model in ("fashion-resnet", "fashion-mobilenet"):
    original, ours, corrected, reference = json.loads((work / f"{model}.json").read_text())
    main = model == "fashion-resnet"
    drop = original["top1"] - ours["top1"]
    row(f"{model} int8: top-1 (original {original['top1']:.2f} %)", f"{ours['top1']:.2f} %", f"{reference['top1']:.2f} %", f"{ours['top1'] - reference['top1']:+.2f}",
        "at most 0.3 below the original" if main else "", drop <= 0.3 if main else None)
    row(f"{model} int8: agreement with the original", f"{ours['agreement']:.2f} %", f"{reference['agreement']:.2f} %", f"{ours['agreement'] - reference['agreement']:+.2f}")
    row(f"{model} int8 + bias correction: top-1, agreement", f"{corrected['top1']:.2f} %, {corrected['agreement']:.2f} %", "", "")
    size = ours["bytes"] / original["bytes"]
    row(f"{model} int8: size over the original's", f"{size * 100:.1f} %", f"{reference['bytes'] / original['bytes'] * 100:.1f} %", f"{ours['bytes'] / reference['bytes']:.2f}",
        "at most 27 %" if main else "", size <= 0.27 if main else None)
    speed, other = original["ms"] / ours["ms"], original["ms"] / reference["ms"]
    row(f"{model} int8: speed over the original's, CPU time", f"{speed:.2f}x ({ours['ms']:.3f} ms)", f"{other:.2f}x ({reference['ms']:.3f} ms)", f"{speed / other:.2f}",
        "at least 3.5x (VNNI)" if main and vnni else "", speed >= 3.5 if main and vnni else None)
    a, b = ([float(v) for v in (work / f"{model}-{who}.onnx.cost").read_text().split()] for who in ("ours", "reference"))
    row(f"{model}: cost of the recipe, CPU", f"{a[0] + a[1]:.2f} s", f"{b[0] + b[1]:.2f} s", f"{(a[0] + a[1]) / (b[0] + b[1]):.2f}")
    row(f"{model}: cost of the recipe, peak RSS", f"{a[2] / 1024:.0f} MiB", f"{b[2] / 1024:.0f} MiB", f"{a[2] / b[2]:.2f}")
note = "Reference: onnxruntime.quantization 1.31.1 (QDQ, U8S8, per channel, MinMax); 256 calibration images; top-1 on 10,000 images; CPU time of one image on one thread, 40 interleaved rounds."
pathlib.Path(sys.argv[2]).write_text(json.dumps({"machine": f"{cpu}, {os.cpu_count()} cores", "date": str(datetime.date.today()), "note": note, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
PY
