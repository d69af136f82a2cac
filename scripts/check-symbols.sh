#!/usr/bin/env bash
# check-symbols.sh LIBDIR: compares what the libraries in LIBDIR export with what the public headers declare and
# with the list of interposed names, and checks the SONAME and the shape of the shared library.
. "$(dirname "$0")/lib.sh"

libdir=${1:-$EVSHIM_ROOT/build/lib}
shared=$libdir/libevshim.so.$SOVERSION
archive=$libdir/libevshim.a
[ -e "$shared" ] || die "$shared is missing: run make first"
make_scratch
cd "$EVSHIM_ROOT"

scripts/declared-functions.sh >"$scratch/declared"

sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' scripts/interposed-symbols.txt | sort >"$scratch/interposed"

nm -D --defined-only --format=posix "$shared" | awk '$2 ~ /^[TWtwDBRVi]$/ { print $1 }' | sort >"$scratch/exported-versioned"
sed 's/@.*//' "$scratch/exported-versioned" | sort -u >"$scratch/exported"
# readelf and not nm: a linker plugin that reads LLVM's bitcode makes nm blind for objects that carry some.
readelf --syms --wide "$archive" 2>/dev/null |
    awk '($5 == "GLOBAL" || $5 == "WEAK") && $6 == "DEFAULT" && $7 != "UND" { print $8 }' | sort -u >"$scratch/archived"

# empty LIST WORD...: a list of offenders must be empty.
empty() {
    local list=$1
    shift
    [ ! -s "$list" ] || {
        echo "$*:"
        cat "$list"
        return 1
    }
}
minus() { comm -23 "$1" "$2" >"$scratch/offenders"; }

declared_exist() {
    [ -s "$scratch/declared" ] || { echo "no declaration was found in the headers"; return 1; }
    minus "$scratch/declared" "$scratch/exported"
    empty "$scratch/offenders" "declared in a header, not exported"
}
archive_has_all() {
    sort -u "$scratch/declared" "$scratch/interposed" >"$scratch/wanted"
    minus "$scratch/wanted" "$scratch/archived"
    empty "$scratch/offenders" "missing in libevshim.a"
}
nothing_else() {
    sort -u "$scratch/declared" "$scratch/interposed" >"$scratch/wanted"
    minus "$scratch/exported" "$scratch/wanted"
    empty "$scratch/offenders" "exported, but neither declared in a header nor in scripts/interposed-symbols.txt"
}
list_is_current() {
    minus "$scratch/interposed" "$scratch/exported"
    empty "$scratch/offenders" "in scripts/interposed-symbols.txt, but not exported"
}
lists_are_apart() {
    comm -12 "$scratch/interposed" "$scratch/declared" >"$scratch/offenders"
    empty "$scratch/offenders" "both interposed and declared in our headers"
}
# A versioned definition is not found by a program that wants close@GLIBC_2.2.5.
interposed_unversioned() {
    sed -n 's/@.*//p' "$scratch/exported-versioned" | sort -u | comm -12 - "$scratch/interposed" >"$scratch/offenders"
    empty "$scratch/offenders" "interposed, but with a symbol version"
}
dynamic() { readelf --dynamic --wide "$shared"; }
soname() {
    local name
    name=$(dynamic | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    [ "$name" = "libevshim.so.$SOVERSION" ] || { echo "the SONAME is '$name'"; return 1; }
}
# Its code may run in handlers and waiters until the process ends.
stays_mapped() { dynamic | grep -q NODELETE; }
no_own_path() {
    dynamic | grep -E 'RPATH|RUNPATH|TEXTREL' >"$scratch/offenders" || true
    empty "$scratch/offenders" "dynamic entries that do not belong in an installed library"
}
stack_not_executable() {
    readelf --program-headers --wide "$shared" | awk '$1 == "GNU_STACK" { print }' | grep -qv 'E  *0x'
}
prototype_lines() {
    sed -n 's/^EXPECT([^,]*, *\([a-z_0-9]*\),.*/\1/p' ctests/tools/prototypes.c | sort -u >"$scratch/prototyped"
    minus "$scratch/declared" "$scratch/prototyped"
    empty "$scratch/offenders" "no line in ctests/tools/prototypes.c"
}
# The prototypes as a program of its own: every name is there at run time under the name it was linked by.
links_all() {
    local option
    { cat ctests/tools/prototypes.c; echo 'int main(void) { return 0; }'; } >"$scratch/all.c"
    for option in "" "${HEADER_OPTIONS[@]}"; do
        # shellcheck disable=SC2046  # directories are words
        cc ${option:+"-D$option"} $(interfaces | sed 's|^|-Iinclude/evshim/|') "$scratch/all.c" -o "$scratch/all" \
            -L"$libdir" -levshim -Wl,-z,now || return 1
        LD_LIBRARY_PATH=$libdir "$scratch/all" || return 1
    done
}

heading "symbols of $(basename "$(readlink -f "$shared")")"
ok "every declared function is exported" declared_exist
ok "the static library has them all" archive_has_all
ok "nothing else is exported" nothing_else
ok "the list of interposed names is current" list_is_current
ok "no name is interposed and declared" lists_are_apart
ok "interposed names have no version" interposed_unversioned
ok "SONAME" soname
ok "not unmapped by dlclose" stays_mapped
ok "no RPATH, no text relocation" no_own_path
ok "no executable stack" stack_not_executable
ok "a prototype line for each function" prototype_lines
ok "a program can be linked to all of them" links_all
summary "symbols"
