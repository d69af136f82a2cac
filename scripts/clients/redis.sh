# redis 7.0.15: ae_evport.c. Its test suite, unit by unit, then redis-benchmark (itself an event-port program).
# shellcheck shell=bash disable=SC2154

redis_dsc() { source_dsc redis 7.0.15; }
redis_needs() { need gcc:gcc make:make tcl:tclsh procps:ps binutils:nm dpkg-dev:dpkg-source; }

redis_build() {
    local flags=() options='MALLOC=libc BUILD_TLS=no USE_SYSTEMD=no'
    # HAVE_EVPORT comes before epoll in ae.c; config.h would set it only on __sun. The libraries stand before the
    # objects on redis' link line, hence --no-as-needed.
    if [ "$1" = evport ]; then
        flags=(REDIS_CFLAGS="-DHAVE_EVPORT=1 -I$headers" REDIS_LDFLAGS="-L$library -Wl,--no-as-needed -levshim")
    fi
    # shellcheck disable=SC2086
    make -j2 $options "${flags[@]}"
}

redis_recipe() {
    cat <<'R'
make MALLOC=libc REDIS_CFLAGS="-DHAVE_EVPORT=1 $(pkg-config --cflags evshim-ports)" \
     REDIS_LDFLAGS="-Wl,--no-as-needed $(pkg-config --libs evshim-ports)"
src/redis-cli info server | grep multiplexing_api    # evport
R
}

redis_quick_units='unit/protocol unit/pubsub unit/multi unit/expire unit/type/list unit/type/string unit/other'

redis_tests() {
    local tree=$1 dir=$work/redis-$backend units=$redis_quick_units worker whole=
    redis_copy "$tree" "$dir"
    # Without a server the suite would start one again and again until its time is up.
    redis_server_test "$tree" "$dir" || return
    # The whole suite once, which takes a quarter of an hour; the further rounds are those units that exercise the loop.
    if [ "$mode" = full ] && [ "$round" = 1 ]; then whole=yes; fi
    if [ -n "$whole" ]; then units=$(cd "$dir" && LD_LIBRARY_PATH=$library ./runtest --list-tests); fi
    for worker in 0 1; do
        # shellcheck disable=SC2086  # units are words
        redis_worker "$tree" $worker $units &
    done
    wait
    if [ -n "$whole" ]; then redis_valgrind "$tree" "$dir"; fi
    rm -rf "$dir"
}

# The suite writes into its own tests/ directory: give each run a copy, so that runs do not meet.
redis_copy() { # TREE DIR
    mkdir -p "$2"
    cp -r "$1/tests" "$1/runtest" "$1/redis.conf" "$1/sentinel.conf" "$1/utils" "$2/"
    ln -s "$1/src" "$2/src"
}

# Every second unit: they wait more than they work.
redis_worker() { # TREE NUMBER UNIT...
    local tree=$1 worker=$2 dir=$work/redis-$backend-$2 turn=0 unit
    shift 2
    redis_copy "$tree" "$dir"
    for unit in "$@"; do
        turn=$((turn + 1))
        if [ $((turn % 2)) -ne "$worker" ]; then continue; fi
        case $unit in
            integration/replication-psync) result skip "$unit" "replicates without disk, see clients.sh" ;;
            *) redis_unit "$dir" "$unit" ;;
        esac
    done
    rm -rf "$dir"
}

# Tests (patterns) with a race in them that one-shot events can lose. They send UNSUBSCRIBE or a blocking command on one
# connection, do not wait until it was taken, and expect PUBLISH or SWAPDB on another to come later. Level-triggered epoll keeps the order of arrival; but a connection
# that waits for its re-association is queued only then, behind the other one (R4.4, R4.5, T-015), on illumos as here.
# It happens when the server is preempted between its reply and the next port_getn. Such a test gets more attempts.
redis_racy='unit/pubsub: PUBLISH/SUBSCRIBE after UNSUBSCRIBE without arguments
unit/pubsub: PUBLISH/PSUBSCRIBE after PUNSUBSCRIBE without arguments
unit/pubsubshard: SPUBLISH/SSUBSCRIBE after UNSUBSCRIBE without arguments
unit/type/list: BRPOPLPUSH does not affect WATCH while still blocked
unit/type/stream-cgroups: Blocking XREADGROUP: *'

# redis_unit DIR UNIT
redis_unit() {
    local log=$work/$label.${2//\//_}.log outcome=$work/$label.${2//\//_}.tsv rc=0 name
    # Replication through a disk file: see "diskless replication" in the list of what is left out.
    redis_runtest "$1" "$log" --config repl-diskless-sync no --single "$2" || rc=$?
    redis_outcomes "$2" <"$log" >"$outcome"
    # A unit that breaks off (an exception, a hang) has no line of its own for that.
    if [ $rc = 0 ]; then
        result pass "$2 ran to its end"
    elif ! grep -q ^fail "$outcome"; then
        result fail "$2 ran to its end" "$(verdict $rc), $(grep -a exception "$log" | tail -1 | cut -c1-160)"
    fi
    grep -v ^fail "$outcome" >>"$results"
    grep ^fail "$outcome" | while IFS=$'\t' read -r _ name _; do
        if redis_is_racy "$name" && redis_again "$1" "$2" "${name#*: }"; then
            result pass "$name" "in a further attempt"
        else
            result fail "$name"
        fi
    done
}

redis_is_racy() {
    local pattern
    while read -r pattern; do
        # shellcheck disable=SC2053 # a pattern, not a word
        if [[ $1 == $pattern ]]; then return 0; fi
    done <<<"$redis_racy"
    return 1
}

redis_runtest() {
    local dir=$1 log=$2 base
    shift 2
    # The workers' ranges of ports lie apart, and below those that the system gives out.
    base=$((11000 + ${worker:-0} * 9000 + RANDOM % 8000))
    run 300 "$log" env -C "$dir" ./runtest --clients 1 --baseport "$base" --portcount 1000 "$@"
}

# redis_outcomes UNIT: every "[ok]: name (n ms)" and "[err]: name in FILE" is a test of its own.
redis_outcomes() {
    sed 's/\x1b\[[0-9;]*m//g' | awk -v unit="$1" -v OFS='\t' '
        function put(status, name) { if (seen[name]++) name = name " #" seen[name]; print status, unit ": " name, "" }
        /^\[ok\]: /  { sub(/^\[ok\]: /, ""); sub(/ \([0-9]+ ms\)$/, ""); gsub(/\t/, " "); put("pass", $0) }
        /^\[err\]: / { sub(/^\[err\]: /, ""); sub(/ in tests\/.*$/, ""); gsub(/\t/, " "); put("fail", $0) }'
}

redis_again() {
    for _ in {1..5}; do
        if redis_runtest "$1" "$work/again-${worker:-0}.log" --single "$2" --only "$3"; then return 0; fi
    done
    return 1
}

# redis_start TREE DIR [WRAPPER...]: a server on loopback and on a socket; sets port, socket and server (its pid).
redis_start() {
    local tree=$1 dir=$2 try
    shift 2
    socket=$dir/redis.sock
    for try in 1 2 3 4 5; do
        port=$(free_port)
        : >"$dir/server.log"
        LD_LIBRARY_PATH=$([ "$backend" = evport ] && echo "$library") "$@" "$tree/src/redis-server" \
            --bind 127.0.0.1 --port "$port" --unixsocket "$socket" --save '' --dir "$dir" >"$dir/server.log" 2>&1 9>&- &
        server=$!
        for try in {1..100}; do
            if grep -q 'eady to accept' "$dir/server.log"; then return 0; fi
            kill -0 $server 2>/dev/null || break
            sleep 0.1
        done
        stop_server
    done
    return 1
}

stop_server() {
    kill "$server" 2>/dev/null
    for _ in {1..50}; do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
}

redis_server_test() {
    local tree=$1 dir=$2 api=epoll round kind args
    if [ "$backend" = evport ]; then api=evport; fi
    redis_start "$tree" "$dir" || { result fail "server starts" "$(tail -1 "$dir/server.log")"; return 1; }
    check "multiplexing_api is $api" 10 bash -c "'$tree/src/redis-cli' -p $port info server | tr -d '\r' | grep -x multiplexing_api:$api"
    for kind in "" "-P 16"; do
        for round in tcp unix; do
            args="-p $port"; if [ $round = unix ]; then args="-s $socket"; fi
            redis_benchmark "$tree" "benchmark $round${kind:+ pipelined}" "$args -c 50 -n 50000 $kind"
        done
    done
    check "no errors in info errorstats" 10 \
        bash -c "'$tree/src/redis-cli' -p $port info errorstats | tr -d '\r' | sed 1d | { ! grep .; }"
    redis_diskless "$tree" "$dir"
    stop_server
}

# A replica attaches thirty times; the master, the server of redis_server_test, streams its data from a child through a
# pipe. With event ports it hangs as soon as the pipe's end is seen apart from its data, about every second time.
redis_diskless() {
    local cli=$1/src/redis-cli master=$port master_pid=$server
    mkdir -p "$2/replica"
    check "diskless replication is on" 5 "$cli" -e -p "$master" config set repl-diskless-sync yes repl-diskless-sync-delay 0
    if redis_start "$1" "$2/replica"; then
        check "diskless replication" 60 bash -c "
            for round in {1..30}; do
                '$cli' -e -p $port replicaof 127.0.0.1 $master || exit 1
                for i in {1..50}; do
                    if '$cli' -p $master info replication | grep state=online; then break; fi
                    if [ \$i = 50 ]; then echo stuck in round \$round; exit 1; fi
                    sleep 0.1
                done
                '$cli' -e -p $port replicaof no one || exit 1
                # The two grow apart, so that the next round copies all again.
                '$cli' -e -p $port set key replica >/dev/null
                '$cli' -e -p $master set key \$round >/dev/null
            done"
        stop_server
    fi
    server=$master_pid port=$master
}

# A benchmark passes when it ends well, names a rate for each command, and speaks of no error.
redis_benchmark() {
    check "$2" 60 bash -c "
        out=\$('$1/src/redis-benchmark' $3 -t ping_mbulk,set,get,lpush,lrange_100 -q --csv 2>&1) || { echo \"\$out\"; exit 1; }
        echo \"\$out\"
        ! grep -i error <<<\"\$out\" && [ \$(grep -c '^\"[A-Z].*\",\"[0-9.]*\"' <<<\"\$out\") -ge 5 ]"
}

# Memory errors in a server under load. No leak check, as in libevent_valgrind; redis keeps its tables at exit anyway.
redis_valgrind() {
    need valgrind:valgrind
    local log=$2/valgrind.log
    redis_start "$1" "$2" valgrind --leak-check=no --log-file="$log" --suppressions="$1/src/valgrind.sup" ||
        { result fail "valgrind: server starts"; return; }
    check "valgrind: benchmark" 120 "$1/src/redis-benchmark" -p "$port" -c 50 -n 2000 -q -t ping_mbulk,set,get,lrange_100
    stop_server
    check "valgrind: no errors" 5 grep 'ERROR SUMMARY: 0 errors' "$log"
}
