# etcd, API server, controller manager and scheduler, all in node1's namespace.
# shellcheck shell=bash

audit_policy() {
  put "$CONF/audit-policy.yaml" <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
YAML
}

start_api() {
  start etcd 1 etcd --name=e --data-dir="$STATE/etcd" --log-level=warn --unsafe-no-fsync \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
    --initial-cluster=e=http://127.0.0.1:2380 --auto-compaction-mode=periodic --auto-compaction-retention=5m
  audit_policy
  # Ended records are for a whole test run: no rotation below 10 GB.
  start kube-apiserver 1 kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$API_IP" --advertise-address="$API_IP" --secure-port=6443 --cert-dir="$CONF" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-cluster-ip-range="$SERVICES" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --audit-policy-file="$CONF/audit-policy.yaml" --audit-log-path="$LOGS/audit.log" --audit-log-maxsize=10000
}

api_ready() { in_node 1 curl -sf --max-time 5 --cacert "$PKI/ca.crt" "https://$API_IP:6443/readyz"; }

start_controllers() {
  local k=$PKI/kube-controller-manager.kubeconfig s=$PKI/kube-scheduler.kubeconfig
  start volume-modes 1 "$HERE/lib/volume-modes" "$STATE/volumes"
  start kube-controller-manager 1 kube-controller-manager --kubeconfig="$k" \
    --authentication-kubeconfig="$k" --authorization-kubeconfig="$k" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 \
    --kube-api-qps=300 --kube-api-burst=600 \
    --enable-hostpath-provisioner=true --flex-volume-plugin-dir="$CONF/flexvolume" \
    --horizontal-pod-autoscaler-sync-period=5s --horizontal-pod-autoscaler-downscale-stabilization=30s \
    --horizontal-pod-autoscaler-initial-readiness-delay=5s --horizontal-pod-autoscaler-cpu-initialization-period=20s
  start kube-scheduler 1 kube-scheduler --kubeconfig="$s" \
    --authentication-kubeconfig="$s" --authorization-kubeconfig="$s" --leader-elect=false \
    --bind-address=127.0.0.1 --kube-api-qps=300 --kube-api-burst=600
}
