# One node: containerd, kubelet and kube-proxy in its own network namespace and cgroup.
# shellcheck shell=bash

containerd_config() {
  local dir=$STATE/node$1 p="plugins.'io.containerd.cri.v1"
  put "$dir/containerd.toml" <<TOML
version = 3
root = "$dir/containerd/root"
state = "$dir/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.image-verifier.v1.bindir"]
[grpc]
  address = "$(socket "$1")"
[$p.images']
  snapshotter = "overlayfs"
  [$p.images'.pinned_images]
    sandbox = "localhost/pause:1"
[$p.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [$p.runtime'.cni]
    bin_dirs = ["$BIN"]
    conf_dir = "$dir/cni"
  [$p.runtime'.containerd]
    default_runtime_name = "runc"
    [$p.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [$p.runtime'.containerd.runtimes.runc.options]
        BinaryName = "$(command -v runc)"
        Root = "$dir/runc"
        SystemdCgroup = false
TOML
}

# The network is named after the node: libcni's cache on the host (/var/lib/cni) uses that name.
cni_config() {
  put "$STATE/node$1/cni/10-drydock.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "drydock-node$1", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$STATE/node$1/ipam",
            "ranges": [[{"subnet": "$(node_pods "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

kubelet_config() {
  local dir=$STATE/node$1
  : >"$dir/resolv.conf"
  put "$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/node$1
failSwapOn: false
containerRuntimeEndpoint: unix://$(socket "$1")
address: $(node_ip "$1")
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
tlsCertFile: $PKI/kubelet-node$1-server.crt
tlsPrivateKeyFile: $PKI/kubelet-node$1-server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: $dir/resolv.conf
podLogsDir: $dir/podlogs
volumePluginDir: $dir/volume-plugins
oomScoreAdj: 0
maxPods: 200
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, nodefs.inodesFree: 1%, imagefs.available: 1Gi}
shutdownGracePeriod: 0s
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
YAML
}

proxy_config() {
  put "$STATE/node$1/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/kube-proxy.kubeconfig}
clusterCIDR: $PODS
detectLocalMode: ClusterCIDR
hostnameOverride: node$1
bindAddress: $(node_ip "$1")
metricsBindAddress: 127.0.0.1:10249
healthzBindAddress: 127.0.0.1:10256
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}

start_runtime() {
  mkdir -p "$STATE/node$1"/{cni,kubelet,podlogs,volume-plugins}
  containerd_config "$1"
  cni_config "$1"
  start "containerd-node$1" "$1" containerd --config "$STATE/node$1/containerd.toml" --log-level info
}

runtime_ready() { in_node "$1" ctr --address "$(socket "$1")" version; }

start_kubelet() {
  kubelet_config "$1"
  proxy_config "$1"
  local frozen
  if frozen=$(recorded "kubelet-node$1"); then kill -CONT "$frozen"; fi
  start "kubelet-node$1" "$1" kubelet --config="$STATE/node$1/kubelet.yaml" --root-dir="$STATE/node$1/kubelet" \
    --kubeconfig="$PKI/kubelet-node$1.kubeconfig" --hostname-override="node$1" --node-ip="$(node_ip "$1")" --v=2
  start "kube-proxy-node$1" "$1" kube-proxy --config="$STATE/node$1/kube-proxy.yaml"
}
