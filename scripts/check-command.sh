#!/usr/bin/env bash
# check-command.sh EVSHIM: the evshim command's answers and exit statuses.
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || die "usage: check-command.sh path/to/evshim"
evshim=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
make_scratch
cd "$scratch"
unset LD_PRELOAD

# answers STATUS PATTERN WORD...: the command with these words ends with STATUS and says PATTERN.
answers() {
    local wanted=$1 pattern=$2 status=0 output
    shift 2
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq "$wanted" ] || { printf 'status %d, expected %d: %s\n' "$status" "$wanted" "$output"; return 1; }
    printf '%s\n' "$output" | grep -qE -e "$pattern" || { printf 'no "%s" in: %s\n' "$pattern" "$output"; return 1; }
}
check() { # NAME STATUS PATTERN WORD...
    local name=$1
    shift
    ok "$name" answers "$@"
}

printf '#!/bin/sh\nexit 42\n' >exits-42
printf 'no program\n' >not-executable
chmod 755 exits-42
mkdir directory "path with space"
ln -s "$evshim" linked

heading "the evshim command"
check "--version" 0 "^evshim $VERSION\$" "$evshim" --version
check "--help" 0 '^usage: evshim run' "$evshim" --help
check "no word" 2 '^usage' "$evshim"
check "unknown command" 2 'unknown command fly' "$evshim" fly
check "through a symbolic link" 0 "^library .*/libevshim.so.$SOVERSION\$" ./linked info
check "found by PATH" 0 "^library .*/libevshim.so.$SOVERSION\$" env PATH="${evshim%/*}:$PATH" evshim info
check "info" 0 '^kernel  *Linux' "$evshim" info
check "flags" 0 '^-I/[^ ]*/evshim/kqueue -I/[^ ]*/evshim/ports -L/.* -levshim' "$evshim" flags
check "flags --cflags" 0 '^-I/[^ ]*/evshim/ports$' "$evshim" flags --cflags ports
check "flags --cflags, another interface" 0 '^-I/[^ ]*/evshim/kqueue$' "$evshim" flags --cflags kqueue
check "flags --libs" 0 '^-L[^ ]* .*-levshim' "$evshim" flags --libs
check "flags --static" 0 '^/[^ ]*/libevshim.a' "$evshim" flags --static
check "flags: unknown interface" 2 'no interface kites' "$evshim" flags kites
check "flags: unknown option" 2 'unknown option --fly' "$evshim" flags --fly
check "run: sets LD_PRELOAD" 0 "^/[^:]*/libevshim.so.$SOVERSION\$" "$evshim" run sh -c 'echo "$LD_PRELOAD"'
check "run: keeps LD_PRELOAD" 0 "^/nonexistent.so:/[^:]*/libevshim.so.$SOVERSION\$" \
    env LD_PRELOAD=/nonexistent.so "$evshim" run sh -c 'echo "$LD_PRELOAD"'
check "run: within run" 0 "^/[^:]*/libevshim.so.$SOVERSION\$" "$evshim" run "$evshim" run sh -c 'echo "$LD_PRELOAD"'
check "run: the library is mapped" 0 libevshim "$evshim" run cat /proc/self/maps
check "run: exit status" 42 '^$' "$evshim" run ./exits-42
check "run: arguments" 0 '^a b\|\|c$' "$evshim" run printf '%s|%s|%s\n' 'a b' '' c
check "run: -- and an option" 0 '^-n$' "$evshim" run -- printf '%s\n' -n
check "run: no program" 2 'name a program' "$evshim" run
check "run: not found" 127 'not found' "$evshim" run nonexistent-program
check "run: path not found" 127 'not found' "$evshim" run ./nonexistent-program
check "run: not executable" 126 'permission denied' "$evshim" run ./not-executable
check "run: a directory" 126 'is a directory' "$evshim" run ./directory

# A tree without its library, and one whose path LD_PRELOAD cannot hold.
mkdir -p broken/bin "path with space/bin" "path with space/lib"
cp "$evshim" broken/bin/
cp "$evshim" "path with space/bin/"
cp "${evshim%/*}/../lib/libevshim.so.$SOVERSION" "path with space/lib/"
check "library missing: run" 125 'library is missing' broken/bin/evshim run true
check "library missing: info" 1 MISSING broken/bin/evshim info
check "a space in the path" 125 'colon or a space' "path with space/bin/evshim" run true
printf 'int main(void) { return 0; }\n' >main.c
if cc -static -o static-program main.c 2>/dev/null; then
    check "warns of a static program" 0 'statically linked' "$evshim" run ./static-program
fi
summary "command"
