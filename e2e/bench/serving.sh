# The inference-sidecar beside other servers of the same model: CPU time of a request, memory, start, overload.
# SERVING_ROUNDS (3), SERVING_SCALE (1: 0.1 for a short look) and SERVING_PEERS (all) make it shorter.
# shellcheck shell=bash
peer() { # peer NAME-VERSION PACKAGE...: an environment of its own, made once
  local venv=$DRYDOCK_CACHE/bench/$1
  [[ -e $venv/done ]] || { rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "${@:2}" && touch "$venv/done"; } ||
    echo "$1 cannot be installed, and is left out" >&2
}
peer fastapi-0.165.0 fastapi==0.165.0 'uvicorn[standard]==0.54.0' orjson numpy onnxruntime==1.31.1 pillow
[[ -e $DRYDOCK_CACHE/bench/fastapi-0.165.0/done ]] || { echo "FastAPI's environment is the one that this bench runs in: see pip's words above" >&2; exit 1; }
peer kserve-0.21.0 kserve==0.21.0 onnxruntime==1.31.1
peer mlserver-1.7.1 mlserver==1.7.1 onnxruntime==1.31.1
peer bentoml-1.4.40 bentoml==1.4.40 onnxruntime==1.31.1
peer litserve-0.2.19 litserve==0.2.19 onnxruntime==1.31.1
. "$ROOT/e2e/bench/serving/environment.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$DRYDOCK_CACHE/bench/fastapi-0.165.0/bin/python" "$ROOT/e2e/bench/serving.py" "$work" "$ROOT/docs/benchmarks/serving.json"
