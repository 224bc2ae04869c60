# The programs: Debian packages that are missing, then one `go build` into a cache keyed by its inputs.
# shellcheck shell=bash

# package:command it brings
PACKAGES=(runc:runc iptables:iptables nftables:nft conntrack:conntrack ethtool:ethtool ipset:ipset kmod:modprobe
  openssl:openssl jq:jq busybox:busybox curl:curl iproute2:ip util-linux:nsenter procps:sysctl ca-certificates:update-ca-certificates bindfs:bindfs)
PROGRAMS=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl
  containerd containerd-shim-runc-v2 ctr bridge loopback host-local portmap coredns metrics-server helm crictl)

version_of() { awk -v m="$1" '$1 == m && $2 ~ /^v/ { print $2; exit }' "$HERE/go.mod"; }

go_ldflags() {
  local k8s p=k8s.io/component-base/version
  k8s=$(version_of k8s.io/kubernetes)
  echo "-s -w -X $p.gitVersion=$k8s -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<<"$k8s")" \
    "-X $p.gitTreeState=clean -X $p.buildDate=2026-01-01T00:00:00Z" \
    "-X github.com/containerd/containerd/v2/version.Version=$(version_of github.com/containerd/containerd/v2)" \
    "-X helm.sh/helm/v4/internal/version.version=$(version_of helm.sh/helm/v4)"
}

GO_FLAGS=(-trimpath -buildvcs=false)
LDFLAGS=$(go_ldflags)
BIN_KEY=$({ cat "$HERE/go.mod" "$HERE/go.sum"; echo "${GO_FLAGS[*]} CGO_ENABLED=0 $LDFLAGS"; } | sha256sum)
BIN=$CACHE/cluster-bin/${BIN_KEY:0:16}
if foreign_kubeconfig; then PATH=$PATH:$BIN; else PATH=$BIN:$PATH; fi
export PATH=$PATH:/usr/sbin:/sbin

build_packages() {
  local pair missing=()
  for pair in "${PACKAGES[@]}"; do
    command -v "${pair#*:}" >/dev/null || missing+=("${pair%:*}")
  done
  for pair in go cc python3; do command -v "$pair" >/dev/null || die "$pair is missing"; done
  ((${#missing[@]})) || return 0
  need_root
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  step "installing packages: ${missing[*]}"
  # One apt at a time, of all scripts: it waits for nobody who updates its lists.
  (flock 8 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}") 8>"$CACHE/apt.lock" >"$CACHE/apt.log" 2>&1 ||
    { tail -20 "$CACHE/apt.log" >&2; die "apt-get failed"; }
}

build_programs() {
  [[ ! -e $BIN/.complete ]] || return 0
  local tmp=$BIN.part log=$CACHE/go-build.log total began=$SECONDS pid
  mkdir -p "$tmp"
  step "programs: fetching modules (the first time: some minutes)"
  total=$(cd "$HERE" && go list -deps tool | wc -l)
  step "programs: compiling at most $total packages, about 20 minutes of CPU from nothing (log: $log)"
  (cd "$HERE" && CGO_ENABLED=0 exec nice -n 5 go build -v "${GO_FLAGS[@]}" -ldflags "$LDFLAGS" -o "$tmp/" tool) >"$log" 2>&1 &
  pid=$!
  # shellcheck disable=SC2064
  trap "kill $pid 2>/dev/null || true" EXIT
  while sleep 1 && kill -0 "$pid" 2>/dev/null; do
    (((SECONDS - began) % 15)) || step "programs: $(wc -l <"$log") packages compiled, $(find "$tmp" -type f | wc -l) of ${#PROGRAMS[@]} linked"
  done
  wait "$pid" || { tail -20 "$log" >&2; die "go build failed"; }
  trap - EXIT
  mv -f "$tmp/server" "$tmp/etcd" # named after the last element of its package path
  local p
  for p in "${PROGRAMS[@]}"; do [[ -x $tmp/$p ]] || die "go build made no $p"; done
  rm -rf "$BIN"
  mv "$tmp" "$BIN"
  touch "$BIN/.complete"
  step "programs: ready in $BIN ($(du -sh "$BIN" | cut -f1))"
}

cmd_build() {
  # Another cluster needs the clients only.
  if foreign_kubeconfig && command -v kubectl >/dev/null && command -v helm >/dev/null && command -v jq >/dev/null; then return; fi
  mkdir -p "$CACHE"
  exec 8>"$CACHE/build.lock"
  flock -n 8 || { say "another build is running, waiting for it"; flock 8; }
  build_packages
  build_programs
  build_images
  step "built: $BIN"
  exec 8>&-
}
