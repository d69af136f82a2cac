#!/usr/bin/env bash
# demo.sh: the library at work, from build to running servers. Installs evshim into a private prefix and builds the
# example programs against it with pkg-config. Event ports: serves a directory with several threads on one port,
# fetches every file over many parallel connections, and compares what arrived byte by byte. kqueue: an echo server,
# and a scheduler (demo-kqueue.sh). Any difference, wrong answer or late stop ends it with a status other than 0.
# Loopback only; every step has a time limit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/demo-kqueue.sh"
cd "$EVSHIM_ROOT"

connections=${DEMO_CONNECTIONS:-100}
threads=${DEMO_THREADS:-4}
idle_seconds=5
demo=$EVSHIM_ROOT/build/demo
prefix=$demo/prefix
server_pid=

stop_all() {
    if [ -n "$server_pid" ]; then kill -KILL "$server_pid" 2>/dev/null || true; fi
    rm -rf "$scratch"
}

install_and_compile() {
    heading "install below build/demo/prefix and compile with pkg-config"
    # Directories that make exports are those of a system-wide installation: this one is private.
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u DESTDIR -u BINDIR -u LIBDIR -u INCLUDEDIR -u MANDIR -u DOCDIR \
        -u PKGCONFIGDIR -u CMAKEDIR make -s install PREFIX="$prefix" >"$scratch/install.log" 2>&1 || {
        tail -n 30 "$scratch/install.log" >&2
        die "make install failed"
    }
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
    mkdir -p "$demo/bin"
    compile ports port-httpd port-httpd.c http-conn.c http.c
    compile ports port-fetch port-fetch.c
    compile kqueue kq-echo kq-echo.c
    compile kqueue kq-talk kq-talk.c
    compile kqueue kq-wheel kq-wheel.c
}

compile() { # INTERFACE PROGRAM SOURCE...
    local interface=$1 program=$2 flags sources
    shift 2
    sources=("${@/#/examples/}")
    flags=$(pkg-config --cflags --libs "evshim-$interface")
    # shellcheck disable=SC2086  # flags are words
    "${CC:-cc}" -std=c99 -O2 -Wall -Wextra -Werror -o "$demo/bin/$program" "${sources[@]}" $flags -pthread
    # shellcheck disable=SC2016  # the command line is shown, not run
    printf 'cc -std=c99 -O2 -o %s %s $(pkg-config --cflags --libs evshim-%s) -pthread\n' "$program" "$*" "$interface"
}

# Every size at which something may go wrong: nothing, one byte, around a page, around the server's chunk (64 KiB),
# more than a socket's buffer, more than one turn of a connection (1 MiB); and files of this repository.
make_files() {
    local size sizes i
    site=$scratch/site
    mkdir -p "$site/sizes" "$site/many/a/b" "$site/source" "$scratch/got"
    sizes="0 1 2 255 1023 1024 1025 4095 4096 4097 16384 65535 65536 65537 131072 262143 1048575 1048576 1048577
        2500000 5000000 10000000 20000000"
    for size in $sizes; do head -c "$size" /dev/urandom >"$site/sizes/$size.bin"; done
    for ((i = 0; i < 200; i++)); do head -c $((i * i)) /dev/urandom >"$site/many/a/b/file-$i"; done
    printf 'a name to encode\n' >"$site/many/with space, 100% \303\251.txt"
    printf '<p>index</p>\n' >"$site/index.html"
    for i in include src examples scripts man README.md Cargo.toml; do
        if [ -e "$i" ]; then cp -R "$i" "$site/source/"; fi
    done
    printf 'outside\n' >"$scratch/secret"
    (cd "$site" && find . -type f | LC_ALL=C sort | sed 's/^\.//') >"$scratch/paths"
}

start_server() { # PROGRAM ARGUMENT...
    local i
    : >"$scratch/server.log" # the loop below may look before the server has opened it
    "$demo/bin/$1" "${@:2}" >"$scratch/server.log" 2>&1 &
    server_pid=$!
    for ((i = 0; i < 100; i++)); do
        port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$scratch/server.log")
        if [ -n "$port" ]; then return; fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    cat "$scratch/server.log" >&2
    die "the server did not start"
}

fetch() { # LABEL LIST ROUNDS [OPTION...]
    local label=$1 list=$2 rounds=$3
    shift 3
    printf '%-12s ' "$label:"
    timeout -k 5 120 "$demo/bin/port-fetch" -c "$connections" -r "$rounds" "$@" 127.0.0.1 "$port" <"$list" ||
        die "fetching failed ($label)"
}

compare() {
    local path n=0
    while IFS= read -r path; do
        n=$((n + 1))
        cmp "$site$path" "$scratch/got/$n" || die "$path arrived changed"
    done <"$scratch/paths"
    printf '%-12s %d files are equal, byte by byte\n' "compared:" "$n"
}

# answer REQUEST: everything that the server sends until it closes the connection. REQUEST is a printf format.
answer() {
    local socket
    exec {socket}<>"/dev/tcp/127.0.0.1/$port"
    # shellcheck disable=SC2059
    printf "$1" >&"$socket"
    timeout 10 cat <&"$socket" | tr -d '\r'
    exec {socket}>&-
}

expect() { # STATUS REQUEST-LINE [HEADER...]
    local status=$1 line=$2 got
    got=$(answer "$line\r\nHost: x\r\nConnection: close\r\n${3:-}\r\n" | head -n 1)
    case $got in
    "HTTP/1.1 $status "*) ;;
    *) die "'$line' got '$got', expected $status" ;;
    esac
}

check_answers() {
    local length before after
    expect 200 'GET / HTTP/1.1'
    expect 404 'GET /nothing HTTP/1.1'
    expect 404 'GET /sizes HTTP/1.1'
    expect 405 'DELETE /index.html HTTP/1.1'
    expect 400 'GET /../secret HTTP/1.1'
    expect 400 'GET /many/%%2e%%2e/%%2E./secret HTTP/1.1'
    expect 400 'GET /many%%2f..%%2f..%%2fsecret HTTP/1.1'
    expect 400 'nonsense'
    expect 413 'GET / HTTP/1.1' 'Content-Length: 3\r\n'
    length=$(answer 'HEAD /sizes/4097.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' | tee "$scratch/head" |
        sed -n 's/^Content-Length: //p')
    [ "$length" = 4097 ] || die "HEAD: Content-Length is '$length'"
    [ -z "$(sed '1,/^$/d' "$scratch/head")" ] || die "HEAD: the answer has a body"
    # Two requests in one packet on one connection (pipelining).
    [ "$(answer 'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n' | grep -c '^<p>index</p>$')" = 2 ] ||
        die "two pipelined requests did not get two answers"
    # Half a request: the server must give up on it after its idle time, and not before.
    before=$(date +%s%N)
    answer 'GET / HTTP/1.1\r\n' >/dev/null || die "an idle connection was not closed"
    after=$(date +%s%N)
    [ $(((after - before) / 1000000)) -ge $((idle_seconds * 1000 - 100)) ] || die "an idle connection was closed too early"
    printf '%-12s %s\n' "checked:" "400, 404, 405, 413, HEAD, pipelining, no way out of the directory, idle time-out"
}

stop_server() {
    local before after status=0 idle i
    exec {idle}<>"/dev/tcp/127.0.0.1/$port" # an open connection must not hold it up
    before=$(date +%s%N)
    kill -TERM "$server_pid"
    # A look every 10 ms and not wait alone: a server that hangs must not hang the demo.
    for ((i = 0; i < 500; i++)); do
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.01
    done
    after=$(date +%s%N)
    exec {idle}>&-
    [ "$i" -lt 500 ] || die "the server does not stop"
    wait "$server_pid" || status=$?
    server_pid=
    [ "$status" -eq 0 ] || die "the server ended with status $status"
    [ $(((after - before) / 1000000)) -lt 1000 ] || die "the server took more than a second to stop"
    printf '%-12s SIGTERM to exit 0 in %d ms\n' "stopped:" $(((after - before) / 1000000))
    sed -n '$s/^/server:      /p' "$scratch/server.log"
}

make_scratch
trap stop_all EXIT
# make does this before it comes here.
if [ -z "${MAKELEVEL:-}" ] && [ -x scripts/setup.sh ]; then scripts/setup.sh demo; fi

install_and_compile
make_files
start_server port-httpd -p 0 -t "$threads" -i "$idle_seconds" "$site"
heading "port-httpd: $threads threads on one event port; port-fetch: $connections connections in one thread"
fetch "every file" "$scratch/paths" 1 -o "$scratch/got"
compare
grep '^/many/' "$scratch/paths" >"$scratch/small"
fetch "small files" "$scratch/small" 100
grep -E '^/sizes/[0-9]{7,}' "$scratch/paths" >"$scratch/large"
fetch "large files" "$scratch/large" 20
check_answers
stop_server
demo_kqueue
echo "demo: ok"
