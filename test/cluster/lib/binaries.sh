# Programs that no Debian package has, built once per content of their Go module and kept in the cache.
# shellcheck shell=bash

# The folder of the programs of MODULE (kubernetes, coredns, helm). Builds them when they are not there.
programs_of() { # MODULE
  local module=$1 folder
  folder=$cache/$module-$(cd "$files/$module" && cat -- * "$files/lib/binaries.sh" | sha256sum | cut -c1-16)-$(uname -m)
  if [ ! -d "$folder" ]; then
    require_go
    mkdir -p "$cache"
    exec 9>"$cache/$module.lock"
    flock 9 # two clusters that start at the same time build once
    [ -d "$folder" ] || build_module "$module" "$folder"
    exec 9>&-
  fi
  echo "$folder"
}

require_go() {
  local have
  has go || fail "Go 1.24 or newer is needed to build Kubernetes for the test cluster, and there is none: https://go.dev/dl"
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  [ "$(printf '%s\n' go1.24 "$have" | sort -V | head -1)" = go1.24 ] ||
    fail "Go 1.24 or newer is needed to build Kubernetes for the test cluster, this is $have: https://go.dev/dl"
}

build_module() { # MODULE FOLDER
  local started=$SECONDS unfinished=$2.$$
  say "building $1 (once; the whole of Kubernetes takes minutes)"
  mkdir -p "$unfinished"
  # shellcheck disable=SC2046 # the packages are words
  if ! (cd "$files/$1" && GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -v -trimpath \
    -ldflags "-s -w $(version_flags)" -o "$unfinished/" $(packages_of "$1")) 2>&1 | build_progress; then
    rm -rf "$unfinished"
    fail "building $1 failed"
  fi
  mv "$unfinished" "$2"
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
