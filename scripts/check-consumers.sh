#!/usr/bin/env bash
# check-consumers.sh smoke|full: builds and runs consumers of an installed evshim. The tree is installed below a
# DESTDIR and then moved, so that whatever remembers the old place fails here. smoke is pkg-config alone; full
# adds CMake, Meson and autotools, and does everything a second time with a linker told --as-needed.
. "$(dirname "$0")/lib.sh"

mode=${1:-full}
case $mode in smoke | full) ;; *) die "usage: check-consumers.sh smoke|full" ;; esac
make_scratch
moved=$scratch/moved/evshim

install_and_move() {
    # A plain environment: directories that the caller set for make are not for this tree.
    (cd "$EVSHIM_ROOT" && env -u BINDIR -u LIBDIR -u INCLUDEDIR -u MANDIR -u DOCDIR -u PKGCONFIGDIR -u CMAKEDIR \
        DESTDIR="$scratch/stage" PREFIX=/opt/evshim bash -c 'scripts/install.sh && scripts/install-libkqueue.sh') ||
        return 1
    mkdir -p "$scratch/moved" && mv "$scratch/stage/opt/evshim" "$moved" && rm -rf "$scratch/stage" || return 1
    if grep -rIl -e "$scratch/stage" -e /opt/evshim "$moved" --exclude=.installed; then
        echo "these files remember where they were installed" >&2
        return 1
    fi
}

# The consumers' programs are built outside the repository.
copy_consumers() {
    rm -rf "$scratch/work"
    cp -R "$EVSHIM_ROOT/ctests/consumers" "$scratch/work"
    cp "$scratch/work/"*.c "$scratch/work/autotools/"
}

uses_library() { # yes|no PROGRAM: whether the loader would bring the moved libevshim.so.0
    local found=no
    if ldd "$2" 2>/dev/null | grep -q "$moved/lib/libevshim.so.$SOVERSION"; then found=yes; fi
    [ "$found" = "$1" ] || {
        echo "$2: the shared library is used: $found, expected: $1"
        return 1
    }
}

with_pkg_config() {
    cd "$scratch/work/pkg-config"
    make -s
    local program
    for program in shared everything kqueue kqueue-freebsd kqueue-everything; do
        "./$program"
        uses_library yes "./$program"
    done
    for program in static kqueue-static; do
        "./$program"
        uses_library no "./$program"
    done
}

with_full_static() {
    cd "$scratch/work/pkg-config"
    make -s full-static kqueue-full-static
    # The program's own place decides nothing: it needs no loader.
    env -u LD_LIBRARY_PATH ./full-static
    env -u LD_LIBRARY_PATH ./kqueue-full-static
}

with_command() {
    cd "$scratch/work"
    local evshim=$moved/bin/evshim
    # shellcheck disable=SC2046  # flags are words
    cc -o by-command consumer.c $("$evshim" flags)
    # shellcheck disable=SC2046
    cc -o by-command-static consumer.c $("$evshim" flags --cflags --static ports)
    # shellcheck disable=SC2046
    cc -o by-command-kqueue kqueue.c $("$evshim" flags --cflags --libs kqueue)
    ./by-command
    ./by-command-static
    ./by-command-kqueue
    uses_library yes ./by-command
    uses_library no ./by-command-static
    uses_library yes ./by-command-kqueue
    # Where the loader would not find the library by itself, the command brings it in.
    if env -u LD_LIBRARY_PATH ./by-command; then
        echo "the program found a library that is not the moved one"
        return 1
    fi
    env -u LD_LIBRARY_PATH "$evshim" run ./by-command
}

with_cmake() {
    cd "$scratch/work/cmake"
    cmake -G "Unix Makefiles" -S . -B build -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror"
    cmake --build build
    (cd build && ctest --output-on-failure)
    local program
    for program in consumer kqueue; do
        uses_library yes "build/${program}_shared"
        uses_library no "build/${program}_static"
    done
    # What is not there must be refused: a later version, an interface that does not exist.
    mkdir refused
    printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(refused C)' \
        'find_package(evshim 99 CONFIG QUIET)' \
        'if(evshim_FOUND)' 'message(FATAL_ERROR "version 99 was found")' 'endif()' \
        'find_package(evshim CONFIG QUIET COMPONENTS nonsense)' \
        'if(evshim_FOUND)' 'message(FATAL_ERROR "the component nonsense was found")' 'endif()' \
        'find_package(evshim CONFIG REQUIRED OPTIONAL_COMPONENTS nonsense)' >refused/CMakeLists.txt
    cmake -S refused -B refused/build -DCMAKE_PREFIX_PATH="$moved"
}

with_meson() {
    cd "$scratch/work/meson"
    meson setup build --cmake-prefix-path "$moved"
    meson test -C build --print-errorlogs
    local program
    for program in consumer kqueue; do
        uses_library yes "build/$program-shared"
        uses_library no "build/$program-static"
        [ -x "build/$program-cmake" ]
    done
}

with_autotools() {
    cd "$scratch/work/autotools"
    autoreconf -fi
    ./configure
    make check || {
        cat test-suite.log
        return 1
    }
    local program
    for program in consumer kqueue; do
        uses_library yes "./$program-shared"
        uses_library no "./$program-static"
    done
}

bound_to() { # FILE SYMBOL PROGRAM: whose definition of a symbol a program finds
    LD_BIND_NOW=1 LD_DEBUG=bindings "$3" 2>&1 | grep -F "binding file $3 [0] to " | grep -F "symbol \`$2'" |
        grep -qF "/$1 [0]" || {
        echo "$3: $2 is not that of $1"
        return 1
    }
}

# What stands in for libkqueue: a program that was built with it and knows nothing of us, one that is linked with both, and
# one whose library was built with it.
with_libkqueue() {
    cd "$scratch/work"
    cc -E -dM -I "$moved/include/kqueue" -include sys/event.h -x c /dev/null | grep -q LIBKQUEUE
    # shellcheck disable=SC2046  # flags are words
    cc -o for-libkqueue libkqueue.c $(pkg-config --cflags --libs libkqueue)
    ./for-libkqueue
    readelf --dynamic --wide for-libkqueue | grep NEEDED | grep -q 'libkqueue.so.0'
    if readelf --dynamic --wide for-libkqueue | grep NEEDED | grep libevshim; then return 1; fi
    local symbol
    for symbol in kqueue kevent close fork sigaction; do bound_to "libevshim.so.$SOVERSION" "$symbol" ./for-libkqueue; done
    # shellcheck disable=SC2046
    cc -o for-both libkqueue.c $(pkg-config --cflags libkqueue) $(pkg-config --libs libkqueue evshim-kqueue)
    ./for-both
    [ "$(LD_DEBUG=files ./for-both 2>&1 | grep -c 'calling init: .*/libevshim')" -eq 1 ]
    # The program's own libc comes before the library's dependencies, so closes are not seen: it works all the same.
    # shellcheck disable=SC2046
    cc -shared -fPIC -DPLUGIN -o libplugin.so libkqueue.c $(pkg-config --cflags --libs libkqueue)
    printf 'int use_kqueue(void);\nint main(void) { return use_kqueue(); }\n' >host.c
    cc -o for-plugin host.c -L. -lplugin "-Wl,-rpath,$PWD" -Wl,-rpath-link,"$moved/lib"
    ./for-plugin
    LD_PRELOAD=$moved/lib/libevshim.so.$SOVERSION ./for-plugin
}

# ok runs in this shell with errexit off; each consumer gets a shell of its own where every failure counts.
consumer() { # NAME FUNCTION
    ok "$1" bash -c "set -eu; $(declare -f uses_library bound_to "$2"); moved=\$1 scratch=\$2; $2" \
        consumer "$moved" "$scratch"
}

all_consumers() {
    local label=$1
    copy_consumers
    consumer "pkg-config$label" with_pkg_config
    consumer "evshim flags and run$label" with_command
    consumer "libkqueue's name$label" with_libkqueue
    [ "$mode" = full ] || return 0
    consumer "cmake$label" with_cmake
    consumer "meson$label" with_meson
    consumer "autotools$label" with_autotools
}

heading "consumers of an installed tree ($mode)"
ok "install and move" install_and_move
[ "$failed" -eq 0 ] || summary "consumers"

export PKG_CONFIG_PATH=$moved/lib/pkgconfig LD_LIBRARY_PATH=$moved/lib SOVERSION
unset LDFLAGS CFLAGS CPPFLAGS MAKEFLAGS MFLAGS MAKELEVEL
all_consumers ""
if [ "$mode" = full ]; then
    consumer "pkg-config, -static" with_full_static
    LDFLAGS=-Wl,--as-needed
    export LDFLAGS
    all_consumers ", --as-needed"
fi
summary "consumers"
