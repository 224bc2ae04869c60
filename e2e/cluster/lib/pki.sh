# Certificates and kubeconfigs, with openssl only. Made once per state directory.
# shellcheck shell=bash

quiet_openssl() { openssl "$@" 2>>"$LOGS/openssl.log"; }
make_key() { quiet_openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"; }

make_ca() {
  make_key "$1"
  quiet_openssl req -x509 -new -key "$PKI/$1.key" -subj "/CN=$1" -days 3650 -out "$PKI/$1.crt"
}

# make_cert NAME CA SUBJECT USAGE [SUBJECT_ALT_NAMES]
make_cert() {
  make_key "$1"
  quiet_openssl req -new -key "$PKI/$1.key" -subj "$3" |
    quiet_openssl x509 -req -CA "$PKI/$2.crt" -CAkey "$PKI/$2.key" -set_serial "0x$(openssl rand -hex 16)" \
      -days 3650 -out "$PKI/$1.crt" -extfile <(
        printf 'keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=%s\n' "$4"
        [[ -z ${5:-} ]] || printf 'subjectAltName=%s\n' "$5"
      )
}

# make_kubeconfig CERT FILE
make_kubeconfig() {
  (umask 077; cat >"$2") <<YAML
$KUBECONFIG_MARK
apiVersion: v1
kind: Config
current-context: drydock-test
clusters:
- name: drydock-test
  cluster: {server: "https://$API_IP:6443", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}
contexts:
- name: drydock-test
  context: {cluster: drydock-test, user: $1}
YAML
}

make_pki() {
  [[ ! -e $PKI/.complete ]] || return 0
  rm -rf "$PKI"
  (umask 077; mkdir -p "$PKI")
  make_ca ca
  make_ca front-proxy-ca
  quiet_openssl genrsa -out "$PKI/sa.key" 2048
  quiet_openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub"
  local k=kubernetes n
  make_cert apiserver ca /CN=kube-apiserver serverAuth \
    "IP:127.0.0.1,IP:$API_IP,IP:$API_SERVICE_IP,DNS:localhost,DNS:$k,DNS:$k.default,DNS:$k.default.svc,DNS:$k.default.svc.cluster.local"
  make_cert apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  make_cert front-proxy-client front-proxy-ca /CN=front-proxy-client clientAuth
  make_cert admin ca /O=system:masters/CN=kubernetes-admin clientAuth
  for n in kube-controller-manager kube-scheduler kube-proxy; do
    make_cert "$n" ca "/CN=system:$n" clientAuth
    make_kubeconfig "$n" "$PKI/$n.kubeconfig"
  done
  for ((n = 1; n <= MAX_NODES; n++)); do
    ((n <= $(<"$STATE/nodes"))) || break
    make_cert "kubelet-node$n" ca "/O=system:nodes/CN=system:node:node$n" clientAuth
    make_cert "kubelet-node$n-server" ca "/O=system:nodes/CN=system:node:node$n" serverAuth "IP:$(node_ip "$n"),DNS:node$n"
    make_kubeconfig "kubelet-node$n" "$PKI/kubelet-node$n.kubeconfig"
  done
  make_kubeconfig admin "$OWN_KUBECONFIG"
  touch "$PKI/.complete"
}
