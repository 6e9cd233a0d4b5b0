#!/usr/bin/env bash
# Packs the test kit, with a shell beside it, into the image that the tests' pods run: testkit-image.sh OUT.tar
. "$(dirname "$0")/../../scripts/common.sh"
. scripts/image-files.sh
layer=$(mktemp -d)
trap 'rm -rf "$layer"' EXIT
add_program "$layer" build/ambit-testkit /bin/ambit-testkit
add_busybox "$layer"
finish_files "$layer"
scripts/pack-image.sh "$1" ambit.local/testkit:test '["/bin/ambit-testkit"]' "$layer"
