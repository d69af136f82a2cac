#!/usr/bin/env bash
# Installs what `make build` made. Called by `make install`, which passes PREFIX, DESTDIR and the directories
# below PREFIX in the environment. Every installed file finds the others relative to itself, so the tree may be
# moved as a whole.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"

: "${PREFIX:=/usr/local}" "${DESTDIR:=}" "${INSTALL:=install}"
: "${BINDIR:=$PREFIX/bin}" "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}"
: "${MANDIR:=$PREFIX/share/man}" "${DOCDIR:=$PREFIX/share/doc/evshim}"
: "${PKGCONFIGDIR:=$LIBDIR/pkgconfig}" "${CMAKEDIR:=$LIBDIR/cmake/evshim}"
for directory in "$PREFIX" "$BINDIR" "$LIBDIR" "$INCLUDEDIR" "$MANDIR" "$DOCDIR" "$PKGCONFIGDIR" "$CMAKEDIR"; do
    case $directory in /*) ;; *) die "not an absolute path: $directory" ;; esac
done
[ -e build/lib/libevshim.so ] || die "build/lib is empty: run make first"

make_scratch
manifest=$scratch/manifest

put 755 "build/lib/libevshim.so.$VERSION" "$LIBDIR/libevshim.so.$VERSION"
link "libevshim.so.$VERSION" "$LIBDIR/libevshim.so.$SOVERSION"
link "libevshim.so.$SOVERSION" "$LIBDIR/libevshim.so"
put 644 build/lib/libevshim.a "$LIBDIR/libevshim.a"

components=$(interfaces | xargs)
while IFS= read -r header; do
    put 644 "$header" "$INCLUDEDIR/${header#include/}"
done < <(find include/evshim -name '*.h' | sort)

native=$(native_static_libs)
homepage=$(sed -En 's/^(homepage|repository) *= *"([^"]*)".*/\2/p' Cargo.toml | head -n 1)
common=(VERSION="$VERSION" SOVERSION="$SOVERSION" NATIVE_STATIC_LIBS="$native")

requires=""
for component in $components; do
    requires="$requires${requires:+, }evshim-$component = $VERSION"
done
put_package() { # TEMPLATE PACKAGE NAME=VALUE...
    local template=$1 name=$2.pc
    shift 2
    fill "$template" "$scratch/$name" "${common[@]}" HOMEPAGE="$homepage" "$@" \
        PREFIX_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$PREFIX")" \
        LIBDIR_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$LIBDIR")" \
        INCLUDEDIR_RELATIVE="$(relative_path "$PKGCONFIGDIR" "$INCLUDEDIR")"
    # A URL only where Cargo.toml names one.
    if [ -z "$homepage" ]; then sed -i '/^URL:/d' "$scratch/$name"; fi
    put 644 "$scratch/$name" "$PKGCONFIGDIR/$name"
}
put_package pkgconfig/evshim.pc.in evshim REQUIRES="$requires"
for component in $components; do
    description=$(sed -n "s/^$component\t//p" pkgconfig/descriptions)
    [ -n "$description" ] || die "pkgconfig/descriptions has no line for $component"
    put_package pkgconfig/evshim-interface.pc.in "evshim-$component" INTERFACE="$component" DESCRIPTION="$description"
done

pointer_size=$(printf '__SIZEOF_POINTER__\n' | "${CC:-cc}" -E -P - | tail -n 1)
for template in cmake/*.cmake.in; do
    name=$(basename "$template" .in)
    fill "$template" "$scratch/$name" "${common[@]}" COMPONENTS="$components" POINTER_SIZE="$pointer_size" \
        NATIVE_STATIC_LIBS_CMAKE="${native// /;}" \
        LIBDIR_RELATIVE="$(relative_path "$CMAKEDIR" "$LIBDIR")" \
        INCLUDEDIR_RELATIVE="$(relative_path "$CMAKEDIR" "$INCLUDEDIR")"
    put 644 "$scratch/$name" "$CMAKEDIR/$name"
done

fill command/evshim.in "$scratch/evshim" "${common[@]}" COMPONENTS="$components" \
    LIBDIR_RELATIVE="$(relative_path "$BINDIR" "$LIBDIR")" \
    INCLUDEDIR_RELATIVE="$(relative_path "$BINDIR" "$INCLUDEDIR")"
put 755 "$scratch/evshim" "$BINDIR/evshim"

while IFS= read -r page; do
    section=${page##*.}
    put 644 "$page" "$MANDIR/man$section/${page##*/}"
done < <(find man -type f -name '*.[1-9]' | sort)

for document in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
    if [ -f "$document" ]; then put 644 "$document" "$DOCDIR/$document"; fi
done
if [ -d docs ]; then
    while IFS= read -r document; do
        put 644 "$document" "$DOCDIR/${document#docs/}"
    done < <(find docs -type f \( -name '*.md' -o -name '*.svg' \) | sort)
fi
if [ -d examples ]; then
    while IFS= read -r example; do
        put 644 "$example" "$DOCDIR/$example"
    done < <(find examples -type f \( -name '*.c' -o -name '*.h' -o -name '*.rs' -o -name '*.md' -o -name 'Makefile' \) | sort)
fi

put 644 "$manifest" "$DOCDIR/.installed"
printf 'installed evshim %s below %s\n' "$VERSION" "$DESTDIR$PREFIX"
