# What runs inside the cluster from the start: CoreDNS, metrics-server and the default StorageClass.
# shellcheck shell=bash

ADDON_DEPLOYMENTS=(coredns metrics-server)

apply_addons() { kc apply -f "$HERE/addons" >"$LOGS/addons.log" 2>&1 || { tail -5 "$LOGS/addons.log" >&2; return 1; }; }

# Only node1 runs the add-ons; the other nodes need fewer images.
import_base_images() {
  local images=("$IMAGES"/{pause,tools}.tar) mark=$STATE/node$1/.images
  [[ $1 != 1 ]] || images+=("$IMAGES"/{coredns,metrics-server}.tar)
  [[ $(cat "$mark" 2>/dev/null) != "$IMAGES" ]] || return 0
  wait_for 60 "node$1: containerd answers" runtime_ready "$1"
  import_images "$1" "${images[@]}" || return 1
  echo "$IMAGES" >"$mark"
}
