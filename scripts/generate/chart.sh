#!/usr/bin/env bash
# The Helm chart, from the objects that `ambit install` applies.
. "$(dirname "$0")/../common.sh"
node_modules/.bin/tsc -b
rm -rf daemonset/chart
node dist/scripts/generate/chart.js daemonset/chart
