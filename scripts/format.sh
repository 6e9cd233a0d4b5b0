#!/usr/bin/env bash
# Formats both languages.
. "$(dirname "$0")/common.sh"
node_modules/.bin/prettier --write --log-level warn .
(cd native && cargo fmt --all)
