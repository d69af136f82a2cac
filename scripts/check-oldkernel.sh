#!/usr/bin/env bash
# check-oldkernel.sh [TEST.c...]: the C tests behind a filter that refuses the newer system calls, as an old kernel
# does (ENOSYS; EINVAL for the newer fcntl command) and as a container's filter does (EPERM).
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"

mkdir -p build
cc -O1 -Wall -Wextra -Werror ctests/tools/oldkernel.c -o build/oldkernel
status=0 refused=0
build/oldkernel true || refused=$?
if [ "$refused" -ne 0 ]; then
    # Some sandboxes forbid filters: that is their answer, not the library's.
    die "no system call filter can be installed here"
fi
for way in "-q" "-p"; do
    case $way in
    -q) heading "newer system calls answer ENOSYS" ;;
    -p) heading "newer system calls answer EPERM" ;;
    esac
    ctests/run -m shared -w "$EVSHIM_ROOT/build/oldkernel $way" "$@" || status=1
done
exit "$status"
