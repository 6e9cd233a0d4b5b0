#!/usr/bin/env bash
# Builds all that is older than its sources: node_modules, dist/, build/ambit.node, build/ambit-testkit, build/ambit-cni.
. "$(dirname "$0")/common.sh"
scripts/dependencies.sh

# The lock file is the whole truth about node_modules: its sum is kept beside what was installed from it.
sum=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.ambit-lock 2>/dev/null || true)" != "$sum" ]; then
  say "installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error >&2
  echo "$sum" >node_modules/.ambit-lock
fi

say "building the engine and the test kit (the first time takes minutes)"
(cd native && cargo build --release --locked -p ambit-addon -p ambit-testkit) >&2
# The CNI plugin is run by a node about whose C library nothing is known. Naming the target keeps these flags from the
# programs of the build itself.
target=$(rustc -vV | sed -n 's/^host: //p')
(cd native && RUSTFLAGS='-C target-feature=+crt-static -C strip=symbols' \
  cargo build --release --locked -p ambit-cni --target "$target") >&2
mkdir -p build

# A new file and a rename: a running agent keeps the one that it has mapped.
place() {
  if ! cmp -s "$1" "$2"; then
    cp "$1" "$2.new"
    mv "$2.new" "$2"
  fi
}
place native/target/release/libambit_addon.so build/ambit.node
place native/target/release/ambit-testkit build/ambit-testkit
place "native/target/$target/release/ambit-cni" build/ambit-cni

say "compiling TypeScript"
node_modules/.bin/tsc -b >&2
