#!/usr/bin/env bash
# Prints the functions that the public headers declare, by the names that the library must export, one a line.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"

# The line markers of the preprocessor tell whose text it is. A declaration with an asm label has its name there.
for interface in $(interfaces); do
    for header in $(cd "include/evshim/$interface" && find . -name '*.h'); do
        for option in "" "${HEADER_OPTIONS[@]}"; do
            printf '#include <%s>\n' "${header#./}" | "${CC:-cc}" -E ${option:+"-D$option"} "-Iinclude/evshim/$interface" -
        done
    done
done | awk '/^# [0-9]+ "/ { ours = index($3, "include/evshim/") > 0; next } /^#/ { next } ours' |
    tr '\n' ' ' | tr ';' '\n' | grep -v typedef |
    sed -n -e 's/.*__asm__ *("\([^"]*\)").*/\1/p' -e t \
        -e 's/^[^(]*[ *]\([A-Za-z_][A-Za-z0-9_]*\) *(.*/\1/p' | sort -u
