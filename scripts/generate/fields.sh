#!/usr/bin/env bash
# docs/fields.md, from the schemas that manifests are read by.
. "$(dirname "$0")/../common.sh"
node_modules/.bin/tsc -b
node dist/scripts/generate/fields.js >docs/fields.md
