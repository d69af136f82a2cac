# libevent 2.1.12: evport.c, the first of its back ends. Its test/regress and the small programs beside it.
# shellcheck shell=bash disable=SC2154

libevent_dsc() { source_dsc libevent 2.1.12; }
libevent_needs() {
    need gcc:gcc make:make autoconf:autoconf automake:automake libtool:libtoolize pkg-config:pkg-config \
        binutils:nm dpkg-dev:dpkg-source
}

# Static, so that the test programs are plain executables, which valgrind can follow.
libevent_build() {
    local flags=()
    if [ "$1" = evport ]; then
        flags=(CPPFLAGS="-I$headers" LDFLAGS="-L$library -Wl,--no-as-needed" LIBS=-levshim)
    fi
    autoreconf -fi
    ./configure --disable-openssl --disable-shared "${flags[@]}"
    make -j2
}

libevent_recipe() {
    cat <<'R'
autoreconf -fi
./configure CPPFLAGS="$(pkg-config --cflags evshim-ports)" \
    LDFLAGS="$(pkg-config --libs-only-L evshim-ports) -Wl,--no-as-needed" LIBS=-levshim
make; EVENT_SHOW_METHOD=1 ./your-program    # [msg] libevent using: evport
R
}

libevent_programs='test-init test-eof test-weof test-closed test-time test-changelist test-fdleak test-dumpevents'
libevent_groups='main et finalize thread evbuffer bufferevent util signal listener dns rpc'

libevent_tests() {
    local tree=$1/test program group programs=$libevent_programs groups=$libevent_groups
    check "uses $backend" 10 bash -c "EVENT_SHOW_METHOD=1 '$tree/test-init' 2>&1 | grep -x '.*libevent using: $backend'"
    if [ "$mode" = full ]; then programs+=' test-ratelim'; fi
    for program in $programs; do check "$program" 60 "$tree/$program"; done
    for group in $groups; do libevent_regress "$tree" "$group/.."; done
    if [ "$mode" = full ]; then
        libevent_regress "$tree" http/..
        if [ "$backend" = evport ]; then libevent_debug_mode "$tree"; libevent_valgrind "$tree"; fi
    else
        # The whole http group takes a minute, most of it in time-outs; these are the rest.
        libevent_regress "$tree" http/simple http/basic http/post http/put http/chunk_out http/stream_out \
            http/connection http/persist_connection http/close_detection http/multi_line_header
    fi
}

# regress TREE TEST...: by group, so that a test that hangs costs one group and not all the others.
libevent_regress() {
    local tree=$1 log=$work/$label.regress.${2//[^a-z]/_}.log rc=0
    shift
    run 240 "$log" "$tree/regress" "$@" || rc=$?
    libevent_outcomes "$log" "" "$rc" "regress $*"
}

# libevent_outcomes LOG PREFIX RC NAME: "group/test: " begins a test; its own output may stand before the outcome. The
# suite repeats some tests that measure time, and the last outcome counts; a process that broke down ("Lost
# connection") is a failure all the same. Status "late" is a failure of nothing but such a measurement.
libevent_outcomes() {
    awk -v prefix="$2" -v OFS='\t' '
        function put(status) {
            if (name == "") return
            if (!(name in last)) order[++n] = name
            if (status == "fail" && late && !lost) status = "late"
            if (lost || !(name in broken)) last[name] = status
            if (lost) broken[name] = 1
            name = ""; lost = late = 0
        }
        /^[a-z_]+\/[A-Za-z0-9_]+: / { put("fail"); name = $1; sub(/:$/, "", name) }
        /FAIL .*timeval_msec_diff/ { late = 1 }
        /Lost connection/ { lost = 1; put("fail") }
        /\[?[a-z_\/A-Z0-9]* FAILED\]?$/ { put("fail") }
        /OK$/ { put("pass") }
        /(SKIPPED|DISABLED)$/ { put("skip") }
        END { put("fail"); for (i = 1; i <= n; i++) print last[order[i]], prefix order[i], "" }' "$1" >"$work/regress.tsv"
    libevent_late "$2" >>"$results"
    awk -F'\t' -v l="$label" '$1 == "fail" { print "  FAIL " l ": " $2 }' "$work/regress.tsv" >&2
    if [ "$3" = 0 ] && ! [ -s "$work/regress.tsv" ]; then result fail "$4" "it ran no test"; fi
    if [ "$3" != 0 ] && ! grep -q '^fail\|^late' "$work/regress.tsv"; then result fail "$4" "$(verdict "$3")"; fi
}

# libevent_late PREFIX: the outcomes, with each late test repeated alone. A busy machine exceeds the suite's limits of
# 50 ms with epoll as well.
libevent_late() {
    local status name detail
    while IFS=$'\t' read -r status name detail; do
        if [ "$status" = late ]; then
            status=fail detail="late, four times"
            for _ in 1 2 3; do
                if run 60 "$work/late.log" env ${1:+EVENT_DEBUG_MODE=1} "$dir/test/regress" "${name#"$1"}"; then
                    status=pass detail="late at first"
                    break
                fi
            done
            if [ $status = fail ]; then say "  FAIL $label: $name ($detail)"; fi
        fi
        printf '%s\t%s\t%s\n' "$status" "$name" "$detail"
    done <"$work/regress.tsv"
}

# The library's own consistency checks, switched on by an environment variable.
libevent_debug_mode() {
    local log=$work/$label.debug.log rc=0
    run 120 "$log" env EVENT_DEBUG_MODE=1 "$1/regress" main/.. thread/.. bufferevent/.. listener/.. || rc=$?
    libevent_outcomes "$log" "debug mode: " "$rc" "debug mode"
}

# Memory errors. Each test is a forked process with a report of its own. Without leak checks: they read the whole
# address space at the end of each process, and that of the library has large reserved ranges.
libevent_valgrind() {
    need valgrind:valgrind
    local logs=$work/valgrind
    rm -rf "$logs" && mkdir -p "$logs"
    run 300 "$work/$label.valgrind.log" valgrind --trace-children=yes --leak-check=no --log-file="$logs/%p" \
        "$1/regress" main/simpleread main/simplewrite main/multiple main/persistent main/combined main/fork \
        main/dup_fd thread/basic thread/forking listener/randport listener/close_accepted_fd signal/.. || true
    check "valgrind: tests pass" 5 grep -E '^[0-9]+ tests ok' "$work/$label.valgrind.log"
    check "valgrind: no errors" 5 bash -c "cd '$logs' && bad=\$(grep -L 'ERROR SUMMARY: 0 errors' *) && cat \$bad; [ -z \"\$bad\" ]"
}
