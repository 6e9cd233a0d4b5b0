#!/usr/bin/env bash
# TypeScript from proto/, into src/proto/gen/. Both tools come from npm and need no network.
. "$(dirname "$0")/../common.sh"
rm -rf src/proto/gen
node_modules/.bin/buf generate proto --template proto/buf.gen.yaml
