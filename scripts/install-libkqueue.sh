#!/usr/bin/env bash
# Installs what stands in for libkqueue beside an installed evshim. Called by `make install-libkqueue-compat`, which
# passes the variables of `make install`.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"

: "${PREFIX:=/usr/local}" "${DESTDIR:=}" "${INSTALL:=install}"
: "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}"
: "${DOCDIR:=$PREFIX/share/doc/evshim}" "${PKGCONFIGDIR:=$LIBDIR/pkgconfig}"
manifest=$DESTDIR$DOCDIR/.installed
[ -e "$DESTDIR$LIBDIR/libevshim.so.$SOVERSION" ] && [ -f "$manifest" ] ||
    die "evshim is not installed there: run make install with the same variables first"

make_scratch

# What programs may ask pkg-config for: the release whose interface it is.
version=2.7.0
"${CC:-cc}" -O2 -Wall -Wextra -fPIC -shared -I include/evshim/kqueue compat/libkqueue/libkqueue.c \
    -o "$scratch/libkqueue.so.$version" -Wl,-soname,libkqueue.so.0 "-Wl,-F,libevshim.so.$SOVERSION" \
    -Wl,--no-as-needed "$DESTDIR$LIBDIR/libevshim.so.$SOVERSION" -Wl,-z,nodelete "-Wl,-rpath,\$ORIGIN"
put 755 "$scratch/libkqueue.so.$version" "$LIBDIR/libkqueue.so.$version"
link "libkqueue.so.$version" "$LIBDIR/libkqueue.so.0"
link libkqueue.so.0 "$LIBDIR/libkqueue.so"
link libevshim.a "$LIBDIR/libkqueue.a"
put 644 compat/libkqueue/sys/event.h "$INCLUDEDIR/kqueue/sys/event.h"
fill compat/libkqueue/libkqueue.pc.in "$scratch/libkqueue.pc" VERSION="$VERSION" LIBKQUEUE_VERSION="$version" \
    NATIVE_STATIC_LIBS="$(native_static_libs)" \
    PREFIX_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$PREFIX")" \
    LIBDIR_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$LIBDIR")" \
    INCLUDEDIR_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$INCLUDEDIR")"
put 644 "$scratch/libkqueue.pc" "$PKGCONFIGDIR/libkqueue.pc"
printf 'installed libkqueue.so.0 as a name for libevshim.so.%s below %s\n' "$SOVERSION" "$DESTDIR$PREFIX"
