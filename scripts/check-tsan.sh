#!/usr/bin/env bash
# check-tsan.sh [TEST.c...]: the C tests with ThreadSanitizer in the library and in the tests.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"
scripts/setup.sh tsan

triple=${TRIPLE:-$(rustc -vV | sed -n 's/^host: //p')}
build=$EVSHIM_ROOT/build/tsan
# The runtime that rustc brings, for library and programs alike: it always fits the instrumentation of rustc, which
# calls functions that the runtimes of gcc 12 and clang 14 lack, and what gcc emits is a subset of it.
runtime=$(ls "$(rustc --print target-libdir --target "$triple")"/librustc-*_rt.tsan.a 2>/dev/null) ||
    die "this Rust has no ThreadSanitizer runtime (librustc-*_rt.tsan.a); rustup's toolchains have"
mkdir -p "$build/runtime"
ln -sfn "$runtime" "$build/runtime/libtsan.a"
# gcc for its switch that tells volatile accesses from others: see tsan-volatile.c.
export CC=gcc
"$CC" -O1 -c ctests/tools/tsan-volatile.c -o "$build/runtime/volatile.o"
flags="-fsanitize=thread --param tsan-distinguish-volatile=1 $build/runtime/volatile.o"
flags="$flags -static-libtsan -L$build/runtime -rdynamic"

heading "build with ThreadSanitizer"
# As in check-asan.sh. std stays uninstrumented, which would give false reports for its locks and channels: the
# library uses nothing of std that synchronises, only core's atomics, which are compiled with it. Optimised, as it
# is shipped.
RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="--cfg evshim_tsan -Zsanitizer=thread -Zexternal-clangrt -Cunsafe-allow-abi-mismatch=sanitizer ${RUSTFLAGS:-}" \
    "${CARGO:-cargo}" build --release --locked -p evshim --lib --target "$triple" --target-dir "$build/target"
scripts/stage-libs.sh "$build/target/$triple/release" "$build/lib"
nm -D --undefined-only "$build/lib/libevshim.so" | grep -q ' __tsan_atomic32_compare_exchange' ||
    die "the library's atomic operations are not instrumented"

# The first report ends the process: so it counts also in a child whose exit status nobody looks at. Threads may be
# started after a fork, which ThreadSanitizer refuses by default.
# Whether a test joins its threads is not asked here.
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:exitcode=66:die_after_fork=0:report_thread_leaks=0}
export EVSHIM_LIBDIR=$build/lib
export EVSHIM_TEST_SLOW=${EVSHIM_TEST_SLOW:-4}

heading "planted races"
# shellcheck disable=SC2086  # words of options
"$CC" -O1 -g -pthread -Iinclude/evshim/ports $flags ctests/tools/tsan-planted.c -L"$EVSHIM_LIBDIR" \
    -Wl,-rpath,"$EVSHIM_LIBDIR" -levshim -o "$build/planted"
# planted WHICH STATUS PATTERN: the program must end with STATUS and print a line with PATTERN.
planted() {
    local status=0 output
    output=$("$build/planted" "$1" 2>&1) || status=$?
    [ "$status" -eq "$2" ] && grep -q "$3" <<<"$output" && return
    printf '%s\n' "$output"
    return 1
}
ok "a race beside the port is found" planted program 66 'data race.* in main'
ok "a race with a write of the library's is found" planted library 66 'libevshim.so'
ok "data that goes through the port is no race" planted none 0 '^none'
summary "planted races"

heading "C tests"
status=0
if [ $# -eq 0 ]; then
    for file in ctests/*/*.c; do
        case $file in
            ctests/tools/* | ctests/consumers/*) ;;
            ctests/life/dispositions.c | ctests/life/handler_kinds.c | ctests/life/postponed*.c)
                # Its runtime delivers signals itself, and the library that it instruments leaves sigaction to it.
                printf 'not run: %s is of handlers, which are ThreadSanitizer'"'"'s here\n' "$file" ;;
            *) set -- "$@" "$file" ;;
        esac
    done
fi
out=$build/shared
rm -f "$out"/*/*.out
ctests/run -m shared -C "$flags" -o "$out" "$@" || status=1
# A child that a test kills or does not wait for may report, too.
if reports=$(grep -l 'WARNING: ThreadSanitizer' "$out"/*/*.out); then
    printf 'reports of ThreadSanitizer in:\n%s\n' "$reports"
    status=1
fi
exit "$status"
