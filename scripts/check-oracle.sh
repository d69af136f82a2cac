#!/usr/bin/env bash
# check-oracle.sh: plays what a FreeBSD kernel answered to thousands of random sequences of kqueue operations.
# check-oracle.sh fuzz [SEEDS]: plays so many new sets of sequences (1) that a model of the same rules answered.
#
# The traces are no part of this repository: $EVSHIM_ORACLE, or ../shared/oracle beside it. Without them nothing is run.
# Families a-*: each sequence must be equal when the order inside one kevent() is not looked at, and 97 % of them
# exactly. Families q-* (quirks) and the hand-written sequences are only counted.
#
#   EVSHIM_ORACLE_FAMILIES='a-* !a-timer'   families by shell patterns, ! leaves out (sanitizers: without a-timer)
#   EVSHIM_ORACLE_SHOW=a-mix-007            prints a sequence with its differences
#   EVSHIM_ORACLE_SEED=4711                 the first seed of fuzz (by default from the clock)
#   EVSHIM_ORACLE_SECONDS, _TIMEOUT         limits of all (240) and of one sequence (10), times EVSHIM_TEST_SLOW
#   EVSHIM_ORACLE_CFLAGS, EVSHIM_LIBDIR     for the player; where the library is (build/lib)
. "$(dirname "$0")/lib.sh"

oracle=${EVSHIM_ORACLE:-$EVSHIM_ROOT/../shared/oracle}
libdir=${EVSHIM_LIBDIR:-$EVSHIM_ROOT/build/lib}
library=$libdir/libevshim.so.0

if [ ! -f "$oracle/kqueue-freebsd13.txt.gz" ]; then
    [ -z "${EVSHIM_ORACLE:-}" ] || die "no traces in $oracle"
    echo "kqueue traces: not run: no traces (EVSHIM_ORACLE names their folder)"
    exit 0
fi
[ -n "$(command -v python3)" ] || die "python3 is missing"
[ -e "$library" ] || die "$library is missing; build the library first"

make_scratch
# shellcheck disable=SC2086  # words of options
"${CC:-cc}" -O1 -include "$EVSHIM_ROOT/scripts/oracle/sleep.h" -I"$EVSHIM_ROOT/include/evshim/kqueue" \
    ${EVSHIM_ORACLE_CFLAGS:-} "$oracle/runner.c" "$library" -Wl,-rpath,"$(cd "$libdir" && pwd)" -o "$scratch/runner"

# The traces' folder is read only: python must not try to write beside them.
play() { PYTHONDONTWRITEBYTECODE=1 python3 "$EVSHIM_ROOT/scripts/oracle/play.py" "$@"; }

case ${1:-} in
'')
    heading "kqueue traces"
    play "$oracle" "$scratch/runner" "$oracle/kqueue-freebsd13.txt.gz" "$oracle/k-freebsd13.txt"
    ;;
fuzz)
    seeds=${2:-1}
    case $seeds in '' | *[!0-9]*) die "SEEDS is a number, not $seeds" ;; esac
    first=${EVSHIM_ORACLE_SEED:-$(date +%s)}
    status=0
    for ((seed = first; seed < first + seeds; seed++)); do
        heading "kqueue sequences of seed $seed (EVSHIM_ORACLE_SEED=$seed repeats them)"
        play --fuzz "$seed" "$oracle" "$scratch/runner" || status=1
    done
    exit "$status"
    ;;
*) die "usage: check-oracle.sh [fuzz [SEEDS]]" ;;
esac
