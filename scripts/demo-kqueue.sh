# The kqueue part of demo.sh; sourced, not run. Uses its functions and variables.
# shellcheck shell=bash disable=SC2154

idle_milliseconds=1500

talk() { # LABEL [OPTION...]
    printf '%-12s ' "$1:"
    timeout -k 5 120 "$demo/bin/kq-talk" "${@:2}" 127.0.0.1 "$port" || die "talking failed ($1)"
}

# A silent connection must be closed after the idle time and not before; one that says something meanwhile lives on.
check_idle() {
    local before after silent busy
    before=$(date +%s%N)
    exec {silent}<>"/dev/tcp/127.0.0.1/$port"
    timeout 10 cat <&"$silent" >/dev/null || die "an idle connection was not closed"
    after=$(date +%s%N)
    exec {silent}>&-
    [ $(((after - before) / 1000000)) -ge "$idle_milliseconds" ] || die "an idle connection was closed too early"

    before=$(date +%s%N)
    exec {busy}<>"/dev/tcp/127.0.0.1/$port"
    { sleep 1 && printf 'one\n' && sleep 1 && printf 'two\n'; } >&"$busy" &
    [ "$(timeout 10 cat <&"$busy" | xargs)" = "one two" ] || die "a connection that is used was closed"
    after=$(date +%s%N)
    exec {busy}>&-
    [ $(((after - before) / 1000000)) -ge $((idle_milliseconds + 2000)) ] || die "its time-out did not begin anew"
    printf '%-12s %s\n' "checked:" "idle connections are closed after $idle_milliseconds ms, others are not"
}

check_refused() {
    local got
    got=$(timeout 10 "$demo/bin/kq-talk" -c 1 127.0.0.1 "$port" 2>&1) && die "a connection to a stopped server worked"
    case $got in
    *"Connection refused"*) printf '%-12s %s\n' "checked:" "a refused connection says so" ;;
    *) die "a refused connection says '$got'" ;;
    esac
}

runs_of() { sed -n "s/^$1: ran \([0-9]*\) times.*/\1/p" "$scratch/wheel"; } # JOB

# The program itself fails if a job ran too early; the counts tell whether each ran as often as it must, on a machine
# that may be busy: late runs are counted in the next event, so only those at the end can be missing.
check_wheel() {
    local job least most got
    {
        sleep 0.3 && echo 'pause paused'
        sleep 0.4 && echo 'resume paused' && echo 'again=every:20ms' && echo 'stop stopped'
    } | timeout -k 5 20 "$demo/bin/kq-wheel" -d 1s every=every:100ms fine=every:1500us paused=every:50ms \
        stopped=every:100ms again=after:30s once=after:500ms wall=at:+600ms past=at:1s never=after:30s \
        >"$scratch/wheel" || die "kq-wheel failed"
    while read -r job least most; do
        got=$(runs_of "$job")
        if [ -n "$got" ] && [ "$got" -ge "$least" ] && [ "$got" -le "$most" ]; then continue; fi
        cat "$scratch/wheel" >&2
        die "the job '$job' ran '$got' times, expected $least to $most"
    done <<'END'
every 8 10
fine 600 667
paused 16 20
stopped 6 10
again 1 15
once 1 1
wall 1 1
past 1 1
never 0 0
END
    sed -n '/: ran/s/^\([a-z]*:\)/\1 /p' "$scratch/wheel" | awk '{ printf "%-12s", $1; $1 = ""; print }'
}

demo_kqueue() {
    start_server kq-echo -p 0 -i "$idle_milliseconds"
    heading "kq-echo: one thread on one kqueue; kq-talk: $connections connections in one thread"
    talk "echo" -c "$connections" -b 1000000
    talk "small" -c "$((connections * 4))" -b 1
    talk "slow reader" -c 4 -b 20000000 -l 500
    check_idle
    stop_server
    grep -q ' [1-9][0-9]* times a full buffer' "$scratch/server.log" || die "the slow reader did not stop the server's reading"
    check_refused
    heading "kq-wheel: timers of one kqueue for a second, changed while they run"
    check_wheel
}
