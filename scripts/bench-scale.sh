#!/usr/bin/env bash
# Measures the control plane with many agents. `bench-scale.sh [quick|full|WORKLOADSxAGENTS…]`: quick takes two minutes,
# full about fifteen. Needs neither root nor the native parts.
. "$(dirname "$0")/common.sh"
npx tsc -b
exec node dist/bench/scale/main.js "$@"
