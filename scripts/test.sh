#!/usr/bin/env bash
# Runs every level of test that exists, tells each, and sums up. A level that cannot run says why, and fails in CI.
. "$(dirname "$0")/common.sh"
scripts/build.sh

results=()
failed=0
# What failed is told again at the end, where it is looked for.
output=$(mktemp)
trap 'rm -f "$output"' EXIT
record() { # LEVEL STATUS
  if [ "$2" = 0 ]; then results+=("passed   $1"); else results+=("FAILED   $1"); failed=1; fi
}
level() { # NAME COMMAND…
  local name=$1 status=0
  shift
  say "level: $name"
  "$@" 2>&1 | tee "$output" || status=$?
  record "$name" "$status"
  if [ "$status" != 0 ]; then
    mapfile -t -O "${#results[@]}" results < <(failures_in "$output")
  fi
}
skipped() { # NAME WHY
  say "level: $1"
  echo "skipped: $2"
  results+=("skipped  $1: $2")
  if [ "${CI:-}" = true ]; then failed=1; fi
}
# Of TAP, of node's other reporter, of cargo.
failures_in() { # FILE
  grep -E '^ *not ok |^ *✖ .*\([0-9.]+m?s\)|^test .* FAILED$|^error' "$1" | sed -E 's/^ */    /' | sort -u | head -n 40 || true
}
# Compiled tests whose source is gone must not run: only those with a source are listed.
tests_in() {
  [ -d "$1" ] || return 0
  find "$1" -name '*.test.ts' | sort | sed -e 's|^|dist/|' -e 's|\.ts$|.js|'
}

level "unit (Rust)" bash -c 'cd native && cargo test --locked --workspace --no-fail-fast --lib --bins'
mapfile -t unit < <(tests_in test/unit)
level "unit (TypeScript)" node --test --test-reporter=spec "${unit[@]}"

mapfile -t envoy < <(tests_in test/envoy)
if scripts/envoy.sh >/dev/null; then
  level "Envoy" node --test --test-reporter=spec --test-concurrency=1 "${envoy[@]}"
else
  skipped "Envoy" "it could not be fetched"
fi

# Tests of Rust crates that need the kernel live in each crate's tests/ folder.
mapfile -t kernel < <(find native/*/tests -maxdepth 1 -name '*.rs' 2>/dev/null)
mapfile -t netns < <(tests_in test/netns)
if ! is_root; then
  skipped "kernel (Rust)" "needs root"
  skipped "network namespaces" "needs root"
else
  if [ ${#kernel[@]} -gt 0 ]; then
    level "kernel (Rust)" bash -c "cd native && cargo test --locked --workspace --no-fail-fast --test '*' -- --test-threads=1"
  fi
  # One file at a time: they measure time and share two cores.
  level "network namespaces" node --test --test-reporter=spec --test-concurrency=1 "${netns[@]}"
fi

say "summary"
printf '  %s\n' "${results[@]}"
exit "$failed"
