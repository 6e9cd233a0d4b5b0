#!/usr/bin/env bash
# Packs Ambit into an image archive, without docker and without a registry: image.sh [OUT.tar [NAME:TAG]].
# The content is that of daemonset/Dockerfile, on this machine's Node instead of an image of it.
. "$(dirname "$0")/common.sh"
. scripts/packages.sh
. scripts/image-files.sh
out=${1:-build/ambit-image.tar} name=${2:-ambit.local/ambit:dev}
require_packages /bin/busybox:busybox-static tar:tar
scripts/build.sh

layers=$(mktemp -d)
trap 'rm -rf "$layers"' EXIT
mkdir "$layers/base" "$layers/ambit"

# Two layers: who imports a second build unpacks only what changed.
add_program "$layers/base" "$(node -p process.execPath)" /usr/local/bin/node
add_libraries "$layers/base" build/ambit.node
add_busybox "$layers/base"
finish_files "$layers/base"
daemonset/contents.sh "$layers/ambit"
scripts/pack-image.sh "$out" "$name" '["/usr/local/bin/ambit"]' "$layers/base" "$layers/ambit"
