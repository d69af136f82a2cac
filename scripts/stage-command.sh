#!/usr/bin/env bash
# stage-command.sh DIRECTORY: the evshim command for use inside the build tree (build/bin beside build/lib).
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || die "usage: stage-command.sh DIRECTORY"
mkdir -p "$1"
bin=$(cd "$1" && pwd)
fill "$EVSHIM_ROOT/command/evshim.in" "$bin/evshim.new" VERSION="$VERSION" SOVERSION="$SOVERSION" COMPONENTS="$(interfaces | xargs)" \
    LIBDIR_RELATIVE=../lib INCLUDEDIR_RELATIVE="$(relative_path "$bin" "$EVSHIM_ROOT/include")" \
    NATIVE_STATIC_LIBS="$(native_static_libs)"
chmod 755 "$bin/evshim.new"
mv -f "$bin/evshim.new" "$bin/evshim"
