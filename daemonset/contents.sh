#!/usr/bin/env bash
# Gathers what Ambit's image holds, and nothing else: contents.sh FOLDER, in a checkout that is built. The Dockerfile and
# the image archive (`make image`) both take it from here.
. "$(dirname "$0")/../scripts/common.sh"
. scripts/image-files.sh
folder=${1:?contents.sh FOLDER}
home=$folder/opt/ambit

# The compiled files whose source exists: what was compiled from a source since gone stays out.
add_compiled() {
  local source file
  while read -r source; do
    for file in "dist/${source%.ts}.js" "dist/${source%.ts}.js.map"; do install -D -m 644 "$file" "$home/$file"; done
  done < <(find src -name '*.ts' | LC_ALL=C sort)
}

# Packages that run, without their documentation and types.
add_packages() {
  local package
  npm ls --omit=dev --all --parseable 2>/dev/null | tail -n +2 | grep -v '/@types/' | while read -r package; do
    package=${package#"$PWD/"}
    mkdir -p "$home/$package"
    tar --create --directory "$package" --exclude=./node_modules --exclude='*.ts' --exclude='*.cts' --exclude='*.mts' \
      --exclude='*.map' --exclude='*.md' --exclude='*.tsbuildinfo' . | tar --extract --no-same-owner --directory "$home/$package"
  done
}

add_programs() {
  mkdir -p "$home/build"
  strip --strip-debug -o "$home/build/ambit.node" build/ambit.node # four fifths of it are line numbers
  install -D -m 755 bin/ambit "$home/bin/ambit"
  # The CNI plugin runs on the node, which has neither Node nor these libraries: it is static, and copied there.
  install -D -m 755 build/ambit-cni "$home/build/ambit-cni"
  mkdir -p "$folder/usr/local/bin"
  ln -sf /opt/ambit/bin/ambit "$folder/usr/local/bin/ambit"
}

add_compiled
add_packages
add_programs
install -m 644 package.json LICENSE "$home/"
chmod -R u=rwX,go=rX "$folder"
