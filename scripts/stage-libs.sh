#!/usr/bin/env bash
# stage-libs.sh FROM TO: copy cargo's libraries from FROM to TO under the names that a linker (libevshim.so,
# libevshim.a) and the loader (the SONAME) look for. A file that did not change keeps its time stamp.
. "$(dirname "$0")/lib.sh"

[ $# -eq 2 ] || die "usage: stage-libs.sh FROM TO"
from=$1 to=$2
mkdir -p "$to"

stage() {
    # A copy beside it and a rename: a running program may have the old file mapped.
    cmp -s "$1" "$2" && return
    cp "$1" "$2.new"
    mv -f "$2.new" "$2"
}

stage "$from/libevshim.so" "$to/libevshim.so.$VERSION"
stage "$from/libevshim.a" "$to/libevshim.a"
ln -sfn "libevshim.so.$VERSION" "$to/libevshim.so.$SOVERSION"
ln -sfn "libevshim.so.$SOVERSION" "$to/libevshim.so"
