# shellcheck shell=bash
# Debian packages that a script needs. Sourced after common.sh, not run.

# Each need is COMMAND:PACKAGE or /FILE:PACKAGE.
missing_packages() {
  local need what
  for need in "$@"; do
    what=${need%:*}
    if [[ $what == /* ]]; then [ -e "$what" ] || echo "${need##*:}"; else has "$what" || echo "${need##*:}"; fi
  done | sort -u
}

# Installs what is missing where that is possible, and otherwise says what to install.
require_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  { is_root && has apt-get; } || fail "missing on this machine: ${missing[*]}
  as root: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -qq
  without_services apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian starts a service as soon as it is installed (an etcd, a containerd of the machine's own): nobody asked for those.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  DEBIAN_FRONTEND=noninteractive "$@" || status=$?
  rm -f "$policy"
  return "$status"
}
