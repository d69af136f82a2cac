#!/usr/bin/env bash
# Every public header compiles alone, after every other, and all together, with and without its options, without a
# warning, in each C and C++ standard that the compilers know; so do the macros as ctests/tools/macros.c uses them;
# with large files; and for a 32-bit target, where a 64-bit time_t is refused.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"
make_scratch

warnings=(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wundef)
c_standards=(c89 c99 c11 c17 c2x)
cxx_standards=(c++98 c++03 c++11 c++14 c++17 c++20 c++23)

# "interface header" for each public header; the interface's directory is its -I.
headers=()
while IFS= read -r path; do
    rest=${path#include/evshim/}
    headers+=("${rest%%/*} ${rest#*/}")
done < <(find include/evshim -name '*.h' | sort)
[ ${#headers[@]} -gt 0 ] || die "no public header found below include/evshim"

# "source -I..." each: a header alone (twice included: the guard), and all of all interfaces in two orders.
sources=()
all=$(interfaces | sed 's|^|-Iinclude/evshim/|' | xargs)
for entry in "${headers[@]}"; do
    interface=${entry%% *} header=${entry#* }
    source=$scratch/$interface-${header//\//_}.c
    printf '#include <%s>\n#include <%s>\nint evshim_check_headers;\n' "$header" "$header" >"$source"
    sources+=("$source -Iinclude/evshim/$interface")
    printf '#include <%s>\n' "$header" >>"$scratch/together.c"
done
printf 'int evshim_check_headers;\n' >>"$scratch/together.c"
{ grep '#include' "$scratch/together.c" | sort -r; echo 'int evshim_check_headers;'; } >"$scratch/reversed.c"
cp ctests/tools/macros.c "$scratch/macros.c"
for source in together reversed macros; do sources+=("$scratch/$source.c $all"); done

# And each of them with each option of its interfaces.
plain=("${sources[@]}")
for option in "${HEADER_OPTIONS[@]}"; do
    for entry in "${plain[@]}"; do
        source=${entry%% *} includes=${entry#* }
        # shellcheck disable=SC2086  # directories are words
        grep -rqw "$option" ${includes//-I/} || continue
        { printf '#define %s 1\n' "$option"; cat "$source"; } >"${source%.c}+$option.c"
        sources+=("${source%.c}+$option.c $includes")
    done
done

knows() { # COMPILER LANGUAGE STANDARD
    echo 'int x;' | "$1" -x "$2" "-std=$3" -fsyntax-only - 2>/dev/null
}

# each COMPILER LANGUAGE STANDARD [FLAG...]: all sources.
each() {
    local compiler=$1 language=$2 standard=$3 entry source
    shift 3
    for entry in "${sources[@]}"; do
        source=${entry%% *}
        # shellcheck disable=SC2086  # flags are words
        ok "$compiler -std=$standard $* ${source##*/}" "$compiler" -x "$language" "-std=$standard" "${warnings[@]}" \
            -fsyntax-only ${entry#* } "$@" "$source"
    done
}

# standards COMPILER LANGUAGE STANDARD...: those that the compiler knows, plain, as GNU and with large files.
standards() {
    local compiler=$1 language=$2 standard newest=
    shift 2
    for standard in "$@"; do
        if ! knows "$compiler" "$language" "$standard"; then
            printf 'skipped %s -std=%s: not known to this compiler\n' "$compiler" "$standard"
            continue
        fi
        newest=$standard
        each "$compiler" "$language" "$standard"
        each "$compiler" "$language" "$standard" -D_FILE_OFFSET_BITS=64
    done
    [ -n "$newest" ] || die "$compiler knows none of the standards"
    each "$compiler" "$language" "${newest/c/gnu}" -D_GNU_SOURCE
}

# Headers and libraries of a 32-bit target may be absent; -m32 with the cross package's headers is enough here.
check_32_bit() {
    local flags=(-m32) source=$scratch/probe.c
    printf '#include <time.h>\nint evshim_check_headers;\n' >"$source"
    if ! cc "${flags[@]}" -fsyntax-only "$source" 2>/dev/null; then
        flags=(-m32 -nostdinc -isystem "$(cc -print-file-name=include)" -isystem /usr/i686-linux-gnu/include)
        if ! cc "${flags[@]}" -fsyntax-only "$source" 2>/dev/null; then
            echo "skipped 32-bit: no C library headers for -m32 here (Debian: libc6-dev-i386-cross, on x86_64)"
            return
        fi
    fi
    each cc c c99 "${flags[@]}"
    each cc c c99 "${flags[@]}" -D_FILE_OFFSET_BITS=64
    local entry
    for entry in "${sources[@]}"; do
        case $entry in *-siginfo.h.c\ *) continue ;; esac # has no time in it
        # shellcheck disable=SC2086  # flags are words
        ok "refused: -m32 -D_TIME_BITS=64 ${entry%% *}" refused $entry "${flags[@]}"
    done
}

refused() { # SOURCE FLAG...
    local output
    if output=$(cc -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -fsyntax-only "$@" 2>&1); then
        echo "it compiles"
        return 1
    fi
    case $output in *'_TIME_BITS'*) ;; *)
        printf 'it fails for another reason:\n%s\n' "$output"
        return 1
        ;;
    esac
}

# A list that stands beside the headers: prototypes as the library has them.
prototypes() { # COMPILER...
    # shellcheck disable=SC2086  # flags are words
    "$@" "${warnings[@]}" -fsyntax-only $all ctests/tools/prototypes.c
}

heading "public headers"
[ -n "$(command -v cc)" ] || die "no C compiler (cc)"
standards cc c "${c_standards[@]}"
if [ -n "$(command -v c++)" ]; then
    standards c++ c++ "${cxx_standards[@]}"
else
    die "no C++ compiler (c++); on Debian: apt-get install g++"
fi
if [ -n "$(command -v clang)" ]; then
    standards clang c "${c_standards[@]}"
    standards clang++ c++ "${cxx_standards[@]}"
else
    echo "skipped clang: not installed"
fi
check_32_bit
for option in "" "${HEADER_OPTIONS[@]}"; do
    ok "prototypes (C) $option" prototypes cc -std=c99 ${option:+"-D$option"}
    ok "prototypes (C++) $option" prototypes c++ -x c++ -std=c++11 ${option:+"-D$option"}
done
summary "headers"
