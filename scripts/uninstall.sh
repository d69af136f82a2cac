#!/usr/bin/env bash
# Removes what scripts/install.sh put below DESTDIR, by the list that it left; then the directories of evshim's
# own that are empty. Called by `make uninstall` with the same variables as `make install`.
. "$(dirname "$0")/lib.sh"

: "${PREFIX:=/usr/local}" "${DESTDIR:=}" "${DOCDIR:=$PREFIX/share/doc/evshim}"
: "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}" "${CMAKEDIR:=$LIBDIR/cmake/evshim}"
manifest=$DESTDIR$DOCDIR/.installed
[ -f "$manifest" ] || die "nothing to remove: $manifest is not there (give the PREFIX and DESTDIR of the installation)"

while IFS= read -r file; do
    case $file in /*) rm -f "$DESTDIR$file" ;; esac
done <"$manifest"
rm -f "$manifest"
for directory in "$DOCDIR" "$CMAKEDIR" "$INCLUDEDIR/evshim" "$INCLUDEDIR/kqueue"; do
    if [ -d "$DESTDIR$directory" ]; then find "$DESTDIR$directory" -depth -type d -empty -delete; fi
done
printf 'removed evshim from %s\n' "$DESTDIR$PREFIX"
