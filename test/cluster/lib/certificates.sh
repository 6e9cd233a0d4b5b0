# The cluster's own certificate authority, its certificates, and the kubeconfigs of its parts.
# shellcheck shell=bash

pki=$state/pki

make_certificates() {
  local n
  mkdir -p "$pki"
  (
    cd "$pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=ambit-cluster \
      -keyout ca.key -out ca.crt
    certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:$api_address,IP:127.0.0.1"
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate proxy /CN=system:kube-proxy
    certificate admin /O=system:masters/CN=admin
    for n in $(seq "$1"); do certificate "node-$n" "/O=system:nodes/CN=system:node:$(node_name "$n")"; done
    openssl genrsa -out sa.key 2048
    openssl rsa -in sa.key -pubout -out sa.pub
  ) >"$state/certificates.log" 2>&1
}

certificate() { # NAME SUBJECT [SANS]: also writes NAME.conf, a kubeconfig for inside the cluster
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$1.crt" \
    -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\n%s\n' "${3:+subjectAltName=$3}")
  kubeconfig "$1" "https://$api_address:6443" >"$1.conf"
}

# Holds all that it needs, so it may be copied anywhere.
kubeconfig() { # NAME SERVER
  cat <<YAML
apiVersion: v1
kind: Config
current-context: ambit-$id
contexts: [{name: ambit-$id, context: {cluster: ambit-$id, user: $1}}]
clusters:
  - name: ambit-$id
    cluster: {server: "$2", certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")}
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 <"$pki/$1.crt")
      client-key-data: $(base64 -w0 <"$pki/$1.key")
YAML
}
