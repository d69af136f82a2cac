#!/usr/bin/env bash
# check-asan.sh [TEST.c...]: the C tests with AddressSanitizer and LeakSanitizer in the library and in the tests;
# once linked, once with the sanitizer's runtime and the library preloaded in this order.
. "$(dirname "$0")/lib.sh"
cd "$EVSHIM_ROOT"

triple=${TRIPLE:-$(rustc -vV | sed -n 's/^host: //p')}
build=build/asan
libasan=$(cc -print-file-name=libasan.so)
case $libasan in /*) ;; *) die "this C compiler has no AddressSanitizer (libasan.so)" ;; esac
# The name may be a link of the developer's package; preload what programs are linked to.
libasan=$(readlink -f "$libasan")

heading "build with AddressSanitizer"
# Sanitizers are not stable in rustc: RUSTC_BOOTSTRAP lets the stable compiler take the flag. A target is named
# so that build scripts are not instrumented. The modifier is for std, which is not instrumented.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer ${RUSTFLAGS:-}" \
    "${CARGO:-cargo}" build --locked -p evshim --lib --target "$triple" --target-dir "$build/target"
scripts/stage-libs.sh "$build/target/$triple/debug" "$build/lib"

export EVSHIM_LIBDIR=$EVSHIM_ROOT/$build/lib
# The slow unwinder: the fast one ends at the first function of the C library, which has no frame pointer, and
# a suppression by the caller's name would never match.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99:fast_unwind_on_malloc=0}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$EVSHIM_ROOT/scripts/lsan.supp:print_suppressions=0}
export EVSHIM_TEST_SLOW=${EVSHIM_TEST_SLOW:-4}
flags="-fsanitize=address -fno-omit-frame-pointer"

status=0
heading "linked"
ctests/run -m shared -C "$flags" -o "$build/shared" "$@" || status=1

heading "preloaded"
# The runner preloads the library into the wrapper, too: only a static one survives that.
cc -O1 -static ctests/tools/static-env.c -o "$build/static-env"
ctests/run -m preload -C "$flags" -o "$build/preload" \
    -w "$EVSHIM_ROOT/$build/static-env LD_PRELOAD=$libasan:$EVSHIM_LIBDIR/libevshim.so.$SOVERSION" "$@" || status=1
exit "$status"
