# shellcheck shell=bash
# Shared by the scripts: where we are, how progress is said, what may be assumed. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# rustup puts cargo where only login shells look.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'ambit: %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
has() { command -v "$1" >/dev/null 2>&1; }
