#!/bin/bash
# Writes go.mod and go.sum anew: every program of the test cluster in ONE module without Go source
# of our own, so that one `go build tool` makes them all. Run it after changing a version below.
# runc stays out (it lifts opencontainers/cgroups under the kubelet); it comes from Debian.
set -euo pipefail
cd "$(dirname "$0")"
K8S=1.37.2 ETCD=3.7.3 CONTAINERD=2.4.2 CNI=1.9.1 COREDNS=1.14.7 METRICS=0.9.0 HELM=4.3.1 CRITOOLS=1.37.0

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
cd "$new"
k8s_mod=$(go mod download -json "k8s.io/kubernetes@v$K8S" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
{
  printf 'module drydock.test/cluster\n\ngo 1.26.0\n\nreplace (\n'
  # kubernetes' own go.mod points its staging modules at ./staging; published, they are v0.x.
  awk -v version="v0.${K8S#1.}" '/=> \.\/staging/ { m = $1 == "replace" ? $2 : $1; print "\t" m " => " m " " version }' "$k8s_mod"
  printf ')\n'
} >go.mod

k=k8s.io/kubernetes/cmd c=github.com/containerd/containerd/v2/cmd p=github.com/containernetworking/plugins/plugins
go get -tool \
  "$k/kube-apiserver@v$K8S" "$k/kube-controller-manager@v$K8S" "$k/kube-scheduler@v$K8S" \
  "$k/kubelet@v$K8S" "$k/kube-proxy@v$K8S" "$k/kubectl@v$K8S" \
  "go.etcd.io/etcd/server/v3@v$ETCD" \
  "$c/containerd@v$CONTAINERD" "$c/containerd-shim-runc-v2@v$CONTAINERD" "$c/ctr@v$CONTAINERD" \
  "$p/main/bridge@v$CNI" "$p/main/loopback@v$CNI" "$p/ipam/host-local@v$CNI" "$p/meta/portmap@v$CNI" \
  "github.com/coredns/coredns@v$COREDNS" \
  "sigs.k8s.io/metrics-server/cmd/metrics-server@v$METRICS" \
  "helm.sh/helm/v4/cmd/helm@v$HELM" \
  "sigs.k8s.io/cri-tools/cmd/crictl@v$CRITOOLS"
cd - >/dev/null
mv "$new/go.mod" "$new/go.sum" .
