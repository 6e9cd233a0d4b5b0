#!/usr/bin/env bash
# Generated files are committed. Each script in scripts/generate/ writes its own anew; what then differs was stale.
. "$(dirname "$0")/common.sh"
for generator in scripts/generate/*.sh; do
  [ -e "$generator" ] || { say "no generated files"; exit 0; }
  say "generating by ${generator##*/}"
  "$generator"
done
git diff --exit-code --stat || fail "generated files are stale: commit what the generators wrote"
