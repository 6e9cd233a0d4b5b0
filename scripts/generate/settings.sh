#!/usr/bin/env bash
# docs/settings.md, from the tables that the commands parse their settings by.
. "$(dirname "$0")/../common.sh"
node_modules/.bin/tsc -b
node dist/scripts/generate/settings.js >docs/settings.md
