# Functions that the scripts share; sourced, not run. Expects to be sourced by a script in scripts/.
# shellcheck shell=bash

set -euo pipefail

EVSHIM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export EVSHIM_ROOT

# Cargo.toml has the version; no other file repeats it.
VERSION=$(sed -n 's/^version *= *"\([^"]*\)".*/\1/p' "$EVSHIM_ROOT/Cargo.toml" | head -n 1)
SOVERSION=0

# Each directory below include/evshim is one interface: a -I of its own, a .pc file, a CMake component.
interfaces() { (cd "$EVSHIM_ROOT/include/evshim" && printf '%s\n' */ | tr -d / | sort); }

# -D names that a program may give to a public header and that change what it declares.
# shellcheck disable=SC2034
HEADER_OPTIONS=(EVSHIM_FREEBSD_KEVENT)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

heading() { printf '\n== %s\n' "$*"; }

# A private directory that goes away with the script: $scratch.
make_scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/evshim.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
}

# For scripts that install, with INSTALL and DESTDIR: what was put where is written to $manifest, for `make uninstall`.
put() { # mode source target
    "$INSTALL" -d "$DESTDIR${3%/*}"
    # Removed first: writing into a library that a program has mapped would crash the program.
    rm -f "$DESTDIR$3"
    "$INSTALL" -m "$1" "$2" "$DESTDIR$3"
    printf '%s\n' "$3" >>"$manifest"
}
link() { # text target
    ln -sfn "$1" "$DESTDIR$2"
    printf '%s\n' "$2" >>"$manifest"
}

# ok NAME COMMAND...: run it quietly, count it, and show its output only if it fails. summary prints the counts.
passed=0
failed=0
ok() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        if [ -n "${VERBOSE:-}" ]; then printf 'ok      %s\n' "$name"; fi
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/        /'
    fi
}

summary() {
    printf '%s: %d passed, %d failed\n' "$1" "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

# relative_path FROM TO: how to get from directory FROM to TO, both absolute. In awk because realpath's
# --relative-to is GNU only, and the directories need not exist here (DESTDIR).
relative_path() {
    awk -v from="$1" -v to="$2" '
        function parts(path, out,    n, i, raw, count) {
            n = split(path, raw, "/")
            count = 0
            for (i = 1; i <= n; i++) {
                if (raw[i] == "" || raw[i] == ".") continue
                if (raw[i] == "..") { if (count) count--; continue }
                out[++count] = raw[i]
            }
            return count
        }
        BEGIN {
            a = parts(from, f); b = parts(to, t)
            for (same = 0; same < a && same < b && f[same + 1] == t[same + 1]; same++);
            result = ""
            for (i = same; i < a; i++) result = result "../"
            for (i = same + 1; i <= b; i++) result = result t[i] "/"
            sub("/$", "", result)
            print (result == "" ? "." : result)
        }'
}

# native_static_libs: what a program that links libevshim.a needs besides. The list is rustc's own for this
# crate, less -lgcc_s and -lc: the C compiler adds both by itself, in the form that fits a shared or a -static
# link, and an explicit -lgcc_s makes every -static link fail (there is no libgcc_s.a).
native_static_libs() {
    local cache=$EVSHIM_ROOT/build/native-static-libs note lib result=""
    if [ ! -s "$cache" ] || [ "$EVSHIM_ROOT/Cargo.toml" -nt "$cache" ]; then
        mkdir -p "$EVSHIM_ROOT/build"
        # A target directory of its own: the extra flag would make the next plain build start over.
        note=$(cd "$EVSHIM_ROOT" && "${CARGO:-cargo}" rustc --locked -p evshim --lib --crate-type staticlib \
            --target-dir build/probe -- --print native-static-libs 2>&1 |
            sed -n 's/^note: native-static-libs: //p' | tail -n 1)
        [ -n "$note" ] || die "rustc did not name the native libraries of libevshim.a"
        for lib in $note; do
            case $lib in
            -lgcc_s | -lc) ;;
            *) result="$result${result:+ }$lib" ;;
            esac
        done
        printf '%s\n' "$result" >"$cache"
    fi
    cat "$cache"
}

# fill TEMPLATE TARGET NAME=VALUE...: replace every @NAME@ of a template; one that is left over is an error.
fill() {
    local template=$1 target=$2 pair program=""
    shift 2
    for pair in "$@"; do
        program="$program;s|@${pair%%=*}@|$(printf '%s' "${pair#*=}" | sed 's/[|&\\]/\\&/g')|g"
    done
    sed "${program#;}" "$template" >"$target"
    if grep -n '@[A-Z_]*@' "$target" >&2; then die "$template: a name was not replaced"; fi
}
