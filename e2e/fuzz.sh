#!/usr/bin/env bash
# Fuzzes what strangers can send: e2e/fuzz.sh [SECONDS] [TARGET...]
# Each target for SECONDS (20). What reaches something new is kept in $DRYDOCK_CACHE/fuzz/TARGET for the next run; what breaks a target
# lies there too, as crash-*: mend it, and put the file into e2e/fuzz/corpus/TARGET, where the ordinary tests replay it.
# With MERGE=1 the committed corpora are made anew, as small as they can be, from what all runs have found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Coverage of our own crates, by flags that stable rustc has (docs/adr/0032-fuzzing.md): third-party crates are built as for tests.
export CARGO_INCREMENTAL=0 RUSTC_WORKSPACE_WRAPPER=$PWD/e2e/fuzz/rustc.sh
fuzz=(cargo run --locked --quiet -p drydock-fuzz --features libfuzzer --bin fuzz --)
. e2e/apt.sh
package g++ command -v c++
seconds=${1:-20}
targets=("${@:2}")
if [[ ${#targets[@]} == 0 ]]; then targets=(onnx json binary grpc image package spec); fi
for target in "${targets[@]}"; do
  found=${DRYDOCK_CACHE:-$HOME/.cache/drydock}/fuzz/$target
  mkdir -p "$found"
  export DRYDOCK_FUZZ=$target
  if [[ -n ${MERGE:-} ]]; then
    small=$(mktemp -d)
    "${fuzz[@]}" -merge=1 -max_len=4096 "$small" "e2e/fuzz/corpus/$target" "$found"
    rm -rf "e2e/fuzz/corpus/$target" && mv "$small" "e2e/fuzz/corpus/$target" && chmod 755 "e2e/fuzz/corpus/$target"
    continue
  fi
  echo "$target: $seconds s"
  "${fuzz[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$found/" "$found" "e2e/fuzz/corpus/$target" 2>&1 | grep -Ev '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)'
done
