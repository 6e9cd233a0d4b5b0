# The images that every cluster holds: none is pulled. Made once per content and kept in the cache.
# shellcheck shell=bash

# Sets `images`, the folder of archives; its subfolder programs/ has the programs made for them.
make_images() {
  local sum
  sum=$(cat "$files"/programs/* "$files/lib/images.sh" scripts/{pack-image,image-files}.sh /bin/busybox | sha256sum | cut -c1-16)
  images=$cache/images-$sum-$(basename "$coredns")
  [ -d "$images" ] || once "$images" make_image_files
}

make_image_files() { # FOLDER
  local program
  say "making the cluster's images"
  mkdir "$1/programs"
  for program in pause forward; do
    gcc -O2 -Wall -Wextra -static -o "$1/programs/$program" "$files/programs/$program.c"
  done
  make_image "$1" pause "$1/programs/pause" /bin/pause
  make_image "$1" coredns "$coredns/coredns" /bin/coredns
  make_image "$1" busybox "$1/programs/pause" /bin/pause add_busybox
}

make_image() { # FOLDER NAME PROGRAM TARGET [MORE]: MORE is called with the folder of the image's files
  local layer=$1/layer
  install -D -m 755 "$3" "$layer$4"
  if [ -n "${5:-}" ]; then "$5" "$layer"; fi
  finish_files "$layer"
  scripts/pack-image.sh "$1/$2.tar" "ambit.local/$2:test" "[\"$4\"]" "$layer"
  rm -rf "$layer"
}

import_images() { # N ARCHIVE...
  local n=$1 archive
  shift
  for archive in "$@"; do
    on_node "$n" ctr --namespace k8s.io images import "$archive" >>"$(node_folder "$n")/log/images.log"
  done
}
