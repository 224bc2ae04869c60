# Images: the base images of the cluster, and loading of archives into every node's containerd.
# shellcheck shell=bash

find_images() { # keyed by what they are made of
  local key
  key=$({ echo "$BIN"; cat "$HERE/mkimage.py" "$HERE/base/pause.c" "$HERE/lib/images.sh"
    stat -c '%n %s %Y' /bin/busybox /usr/bin/curl 2>/dev/null || true; } | sha256sum)
  IMAGES=$CACHE/cluster-images/${key:0:16}
}
find_images

build_images() {
  find_images # again: the packages may just have come
  [[ ! -e $IMAGES/.complete ]] || return 0
  local mk=("$HERE/mkimage.py") tmp applet links=()
  tmp=$(mktemp -d)
  mkdir -p "$IMAGES"
  cc -Os -static -s -o "$tmp/pause" "$HERE/base/pause.c"
  "${mk[@]}" -t localhost/pause:1 -o "$IMAGES/pause.tar" --user 65532:65532 --entrypoint '["/pause"]' "$tmp/pause:/pause"
  "${mk[@]}" -t localhost/coredns:1 -o "$IMAGES/coredns.tar" --entrypoint '["/coredns"]' "$BIN/coredns:/coredns"
  "${mk[@]}" -t localhost/metrics-server:1 -o "$IMAGES/metrics-server.tar" --user 65532:65532 \
    --entrypoint '["/metrics-server"]' "$BIN/metrics-server:/metrics-server"
  # The dynamic busybox: Debian's static one crashes in name look-ups.
  printf 'hosts: files dns\n' >"$tmp/nsswitch.conf"
  for applet in $(busybox --list); do
    [[ $applet == busybox ]] || links+=("@busybox:/bin/$applet")
  done
  "${mk[@]}" -t localhost/tools:1 -o "$IMAGES/tools.tar" --cmd '["/bin/sh"]' --ldd /bin/busybox --ldd /usr/bin/curl \
    /bin/busybox:/bin/busybox /usr/bin/curl:/usr/bin/curl "$tmp/nsswitch.conf:/etc/nsswitch.conf" \
    /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt "${links[@]}"
  rm -rf "$tmp"
  touch "$IMAGES/.complete"
}

# import_images NODE TAR...
import_images() {
  local node=$1 tar
  shift
  for tar in "$@"; do
    in_node "$node" ctr --address "$(socket "$node")" -n k8s.io images import "$tar" >>"$LOGS/images-node$node.log" 2>&1 ||
      { warn "node$node: import of $tar failed, see $LOGS/images-node$node.log"; return 1; }
  done
}

cmd_load() {
  (($#)) || die "usage: cluster load IMAGE.tar..."
  local tar node jobs=() job context
  for tar in "$@"; do [[ -r $tar ]] || die "cannot read $tar"; done
  if foreign_kubeconfig; then
    context=$(kubectl config current-context)
    [[ $context == kind-* ]] || die "context '$context' is not ours: push the images to a registry that cluster reads," \
      "or import them on each node (k3s: k3s ctr images import $*)"
    for tar in "$@"; do kind load image-archive --name "${context#kind-}" "$tar"; done
    return
  fi
  need_root
  [[ -e $STATE/nodes ]] || die "no cluster is up"
  for ((node = 1; node <= $(<"$STATE/nodes"); node++)); do
    import_images "$node" "$@" & jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job"; done
}
