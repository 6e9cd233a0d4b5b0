# Programs that no Debian package has, built once per content of their Go module and kept in the cache.
# shellcheck shell=bash

# The folder of the programs of MODULE (kubernetes, coredns, helm). Builds them when they are not there.
programs_of() { # MODULE
  local module=$1 folder
  folder=$cache/$module-$(cd "$files/$module" && cat -- * "$files/lib/binaries.sh" | sha256sum | cut -c1-16)-$(uname -m)
  if [ ! -d "$folder" ]; then
    once "$folder" build_module "$module"
  fi
  echo "$folder"
}

# Makes FOLDER by CMD... UNFINISHED, unless it is there. Clusters that start at the same time make it once; what a killed
# one left unfinished is begun anew.
once() { # FOLDER CMD...
  local folder=$1
  shift
  mkdir -p "$cache"
  (
    flock 9
    if [ ! -d "$folder" ]; then
      rm -rf "$folder.unfinished"
      mkdir "$folder.unfinished"
      "$@" "$folder.unfinished"
      mv "$folder.unfinished" "$folder"
    fi
  ) 9>"$folder.lock"
}

require_go() {
  local have
  has go || fail "Go 1.24 or newer is needed to build Kubernetes for the test cluster, and there is none: https://go.dev/dl"
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  [ "$(printf '%s\n' go1.24 "$have" | sort -V | head -1)" = go1.24 ] ||
    fail "Go 1.24 or newer is needed to build Kubernetes for the test cluster, this is $have: https://go.dev/dl"
}

# The folder of the Gateway API's definitions. Users install them; clusters start without.
gateway_api() {
  require_go
  (
    cd "$files/gateway-api"
    export GOTOOLCHAIN=local
    go mod download sigs.k8s.io/gateway-api >&2
    echo "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/standard"
  )
}

build_module() { # MODULE FOLDER
  local started=$SECONDS
  require_go
  say "building $1 (once; the whole of Kubernetes takes minutes)"
  # shellcheck disable=SC2046 # the packages are words
  (cd "$files/$1" && GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -v -trimpath \
    -ldflags "-s -w $(version_flags)" -o "$2/" $(packages_of "$1")) 2>&1 | build_progress || fail "building $1 failed"
  say "built $1 in $((SECONDS - started)) s"
}

packages_of() { if [ -e "$files/$1/main.go" ]; then echo .; else echo tool; fi; }

# Without these the API server calls itself v0.0.0-master, and whoever looks at the version is led astray.
version_flags() {
  local version=k8s.io/component-base/version minor=${kubernetes_version#v1.}
  echo "-X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}" \
    "-X $version.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes_version"
}

# `go build -v` names every package that it has compiled: too many lines for a log, none at all looks like a hang.
build_progress() {
  awk '/^go: downloading/ { next }
       /^[a-z0-9.\/_-]+$/ { if (++packages % 200 == 0) print "    " packages " packages" > "/dev/stderr"; next }
       { print > "/dev/stderr" }'
}
