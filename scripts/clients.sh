#!/usr/bin/env bash
# Real programs with an event-port back end, from Debian's unmodified sources, on this library.
#
#   clients.sh quick          the tests that take a few minutes
#   clients.sh full           whole suites three times, and some of them under valgrind; writes docs/clients.md
#   clients.sh build NAME     only build one (or: all)
#   clients.sh docs           write docs/clients.md again from the results of the last run
#
# ONLY="redis libev" limits the run, ROUNDS=1 makes a full run shorter, KEEP=1 keeps the logs. EVSHIM_CACHE (default
# ~/.cache/evshim) holds sources and built programs; EVSHIM_LIBDIR names another directory with libevshim.so than
# build/lib. Each client is one file in clients/, and is also built with epoll: what fails there too is not the
# library's fault. The last line says "clients: N passed, N failed, N skipped"; the exit status is 1 when a test failed.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
clients=$root/scripts/clients
from=${EVSHIM_LIBDIR:-$root/build/lib}
stored=$root/build/clients
mode=${1:-quick}
names=${ONLY:-libev ev_perl libevent redis}
work=$(mktemp -d "${TMPDIR:-/tmp}/evshim-clients.XXXXXX")
library=$work/lib
server=
LD_LIBRARY_PATH_EXTRA=

finish() {
    if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null; fi
    if [ -n "${KEEP:-}" ]; then echo "logs: $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

for file in common redis libevent libev report; do
    # shellcheck source=/dev/null
    . "$clients/$file.sh"
done
export headers library

# "client|test|reason": what is not counted. Allowed only for what fails with epoll too, or fails because of the client's
# own code on event ports. See apply_left_out for what happens to one that passes. The first three are tests that came
# with Debian's security patches and were written for a later redis.
without_disk="sometimes: see diskless replication; it hangs when the end of the pipe is seen apart from the data"
left_out=(
    "redis|unit/dump: RESTORE fail with invalid payload size|it writes a dump of RDB version 12, which this redis rejects first; fails with epoll too"
    "redis|integration/replication ran to its end|it sets repl-diskless-load to a value that this redis does not know, and the unit breaks off; fails with epoll too"
    "redis|integration/corrupt-dump: corrupt payload: stream - duplicated consumer PEL entry|this redis does not write the log line that it expects; fails with epoll too"
    "redis|diskless replication|at the end of its child's pipe the event is POLLHUP alone (on illumos too), which ae_evport.c does not map to readable"
    "redis|integration/redis-cli ran to its end|$without_disk"
    "redis|integration/replication: Connect multiple replicas at the same time (issue #141), master diskless=yes, replica diskless=disabled|$without_disk"
    "redis|integration/replication: Connect multiple replicas at the same time (issue #141), master diskless=yes, replica diskless=swapdb|$without_disk"
    "redis|integration/replication: Diskless load swapdb (async_loading): new database is exposed after swapping|$without_disk"
    "redis|integration/replication: Diskless load swapdb (async_loading): replica enter async_loading|$without_disk"
    "redis|integration/replication: Diskless load swapdb (async_loading): old database is exposed while async replication is in progress|$without_disk"
    "redis|integration/replication: Diskless load swapdb (async_loading): old database is exposed after async replication fails|$without_disk"
    "redis|integration/replication: Busy script during async loading|$without_disk"
    "redis|integration/replication: Blocked commands and configs during async-loading|$without_disk"
    "redis|integration/replication: diskless loading short read|$without_disk"
    "redis|integration/replication: diskless no replicas drop during rdb pipe|$without_disk"
    "redis|integration/replication: diskless slow replicas drop during rdb pipe|$without_disk"
    "redis|integration/replication: diskless fast replicas drop during rdb pipe|$without_disk"
    "redis|integration/replication: diskless all replicas drop during rdb pipe|$without_disk"
    "redis|integration/replication: diskless timeout replicas drop during rdb pipe|$without_disk"
)

# test_client NAME BACKEND ROUNDS: results in $work/NAME-BACKEND.tsv.
test_client() {
    local client=$1 rounds=$3 round dir
    backend=$2 label=$1-$2 results=$work/$1-$2.raw
    : >"$results"
    dir=$(tree "$client" "$backend") || { result fail "build"; rounds=0; }
    for ((round = 1; round <= rounds; round++)); do
        "${client}_tests" "$dir"
    done
    fold <"$results" | if [ "$backend" = evport ]; then apply_left_out "$client"; else cat; fi >"$work/$client-$backend.tsv"
}

# The epoll results depend on nothing of ours: those of an earlier run in the same mode are taken.
yardstick() {
    local client=$1 dir kept
    dir=$(tree "$client" epoll) || return
    kept=$dir/.yardstick-$mode-$(cat "$clients"/*.[sc]* | sha256sum | cut -c1-12).tsv
    if [ ! -e "$kept" ]; then
        test_client "$client" epoll 1
        cp "$work/$client-epoll.tsv" "$kept"
    fi
    cp "$kept" "$work/$client-epoll.tsv"
}

run_all() {
    local client start rounds=1 limit=600
    if [ "$mode" = full ]; then rounds=${ROUNDS:-3} limit=10800; fi
    : >"$work/all.tsv"
    deadline=$((SECONDS + limit))
    for client in $names; do
        "${client}_needs"
        start=$SECONDS
        yardstick "$client"
        test_client "$client" evport "$rounds"
        summary_line "$client" $((SECONDS - start))
        cat "$work/$client-evport.tsv" >>"$work/all.tsv"
        mkdir -p "$stored"
        record_row "$client" >"$stored/$client.row"
    done
    echo "$mode" >"$stored/mode"
    if [ "$mode" = full ] && [ -z "${ONLY:-}" ] && [ "$(tally fail "$work/all.tsv")" = 0 ]; then write_docs; fi
    echo "clients: $(tally pass "$work/all.tsv") passed, $(tally fail "$work/all.tsv") failed," \
        "$(tally skip "$work/all.tsv") skipped"
    [ "$(tally fail "$work/all.tsv")" = 0 ]
}

build_only() {
    local client wanted=${1:-all} backend
    for client in $names; do
        if [ "$wanted" != all ] && [ "$wanted" != "$client" ]; then continue; fi
        "${client}_needs"
        for backend in epoll evport; do
            echo "$client ($backend): $(tree "$client" "$backend")" || exit 1
        done
    done
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock -w 1800 9 || die "another run holds $cache/lock"

case $mode in
    docs) write_docs; exit ;;
    quick | full | build) ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
[ -e "$from/libevshim.so" ] || die "no $from/libevshim.so: run make build first"
# A copy: a build that replaces the library in place must not pull it from under programs that run.
mkdir "$library"
cp -L "$from/libevshim.so.0" "$library/"
ln -s libevshim.so.0 "$library/libevshim.so"
if [ "$mode" = build ]; then build_only "${2:-all}"; else run_all; fi
