# What measures the sidecar without a cluster: the models, the programs and the engine.
# shellcheck shell=bash
tools=$DRYDOCK_CACHE/bench/onnxruntime-1.31.1
[[ -x $tools/bin/python ]] || { python3 -m venv "$tools" && "$tools/bin/pip" install -q onnxruntime==1.31.1 onnx sympy; }
export MODELS=$DRYDOCK_CACHE/bench/serving-models-1
[[ -e $MODELS/mobilenet.onnx ]] || "$tools/bin/python" "$ROOT/e2e/bench/serving/model.py" "$MODELS"
release --bin inference-sidecar --bin bench
export SIDECAR=$CARGO_TARGET_DIR/release/inference-sidecar BENCH=$CARGO_TARGET_DIR/release/bench
ORT_DYLIB_PATH=$("$ROOT/e2e/onnxruntime.sh")
export ORT_DYLIB_PATH OMP_NUM_THREADS=1
