#!/usr/bin/env bash
# Packs folders into a container image archive: pack-image.sh OUT.tar NAME:TAG ENTRYPOINT-JSON LAYER-FOLDER...
# `ctr images import`, `docker load`, `podman load`, `kind load image-archive` and `k3s ctr images import` read it.
# The same files give the same digest, whoever packs them and when.
. "$(dirname "$0")/common.sh"
[ $# -ge 4 ] || fail "usage: pack-image.sh OUT.tar NAME:TAG ENTRYPOINT-JSON LAYER-FOLDER..."
out=$1 name=$2 entrypoint=$3
shift 3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"

reproducible_tar() { tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu "$@"; }
join() { local IFS=,; echo "$*"; }
architecture() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

# Takes standard input in under its digest, and prints that.
store() {
  local digest
  cat >"$work/blob"
  digest=$(sha256sum "$work/blob" | cut -d' ' -f1)
  mv "$work/blob" "$work/blobs/sha256/$digest"
  echo "$digest"
}
descriptor() { # MEDIA-TYPE DIGEST
  echo "\"mediaType\":\"$1\",\"digest\":\"sha256:$2\",\"size\":$(stat -c %s "$work/blobs/sha256/$2")"
}

layers=() sums=() paths=()
for folder in "$@"; do
  digest=$(reproducible_tar --directory "$folder" . | store)
  layers+=("{$(descriptor application/vnd.oci.image.layer.v1.tar "$digest")}")
  sums+=("\"sha256:$digest\"") paths+=("\"blobs/sha256/$digest\"")
done

config=$(store <<JSON
{"created":"1970-01-01T00:00:00Z","architecture":"$(architecture)","os":"linux",
"config":{"Entrypoint":$entrypoint,"Env":["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],"WorkingDir":"/"},
"rootfs":{"type":"layers","diff_ids":[$(join "${sums[@]}")]}}
JSON
)
manifest=$(store <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{$(descriptor application/vnd.oci.image.config.v1+json "$config")},"layers":[$(join "${layers[@]}")]}
JSON
)
# The name is given thrice: for containerd, for the OCI layout, and in manifest.json for docker.
cat >"$work/index.json" <<JSON
{"schemaVersion":2,"manifests":[{$(descriptor application/vnd.oci.image.manifest.v1+json "$manifest"),
"annotations":{"io.containerd.image.name":"$name","org.opencontainers.image.ref.name":"${name##*:}"}}]}
JSON
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
echo "[{\"Config\":\"blobs/sha256/$config\",\"RepoTags\":[\"$name\"],\"Layers\":[$(join "${paths[@]}")]}]" >"$work/manifest.json"

chmod -R u=rwX,go=rX "$work"
mkdir -p "$(dirname "$out")"
reproducible_tar --file "$out.new" --directory "$work" blobs index.json manifest.json oci-layout
mv "$out.new" "$out"
say "$name sha256:$manifest, $(($(stat -c %s "$out") / 1000000)) MB"
