# Putting files into an image's folder. Sourced after common.sh, not run.
# shellcheck shell=bash

# A program of this machine, with the shared libraries that it needs at the places where its loader looks.
add_program() { # FOLDER PROGRAM TARGET
  install -D -m 755 "$2" "$1$3"
  add_libraries "$1" "$2"
}
add_libraries() { # FOLDER FILE
  local library
  for library in $(ldd "$2" 2>/dev/null | grep -oE '/[^ ]+ \(0x' | cut -d' ' -f1); do
    [ -e "$1$library" ] || install -D -m 755 "$(readlink -f "$library")" "$1$library"
  done
}

# A shell and the usual commands: for scripts, probes, and whoever looks inside.
add_busybox() { # FOLDER
  local busybox=/bin/busybox applet
  ldd "$busybox" >/dev/null 2>&1 && fail "$busybox is not the static one: apt-get install busybox-static"
  install -D -m 755 "$busybox" "$1/bin/busybox"
  for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
  done
}

# Names for the users that programs look up, a place for what is temporary, and modes that no umask has touched.
finish_files() { # FOLDER
  mkdir -p "$1/etc" "$1/tmp"
  echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
  echo 'root:x:0:' >"$1/etc/group"
  chmod -R u=rwX,go=rX "$1"
  chmod 1777 "$1/tmp"
}
