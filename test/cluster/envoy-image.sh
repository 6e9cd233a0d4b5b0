#!/usr/bin/env bash
# Packs the pinned Envoy into the image that waypoints of the test cluster run: envoy-image.sh OUT.tar
. "$(dirname "$0")/../../scripts/common.sh"
. scripts/image-files.sh
envoy=$(scripts/envoy.sh)
layer=$(mktemp -d)
trap 'rm -rf "$layer"' EXIT
add_program "$layer" "$envoy" /usr/local/bin/envoy
finish_files "$layer"
scripts/pack-image.sh "$1" ambit.local/envoy:test '["/usr/local/bin/envoy"]' "$layer"
