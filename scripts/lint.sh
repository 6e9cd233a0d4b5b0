#!/usr/bin/env bash
# Lint and formatting of both languages. Changes nothing.
. "$(dirname "$0")/common.sh"
say "eslint"
node_modules/.bin/eslint . --max-warnings 0
say "prettier"
node_modules/.bin/prettier --check .
say "rustfmt"
(cd native && cargo fmt --all --check)
say "clippy"
(cd native && cargo clippy --locked --workspace --all-targets -- -D warnings)
