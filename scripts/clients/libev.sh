# libev 4.33: ev_port.c, tried before epoll. The library has no tests: a program of ours (libev-smoke.c), and the tests
# of the perl module EV 4.33, which compiles the same sources into itself.
# shellcheck shell=bash disable=SC2154

libev_dsc() { source_dsc libev 4.33; }
libev_needs() { need gcc:gcc make:make binutils:nm dpkg-dev:dpkg-source; }

libev_build() {
    local flags=()
    if [ "$1" = evport ]; then
        flags=(CPPFLAGS="-I$headers" LDFLAGS="-L$library -Wl,--no-as-needed" LIBS=-levshim)
    fi
    ./configure --prefix="$PWD/installed" "${flags[@]}"
    make -j2
    make install
}

libev_recipe() {
    cat <<'R'
./configure CPPFLAGS="$(pkg-config --cflags evshim-ports)" \
    LDFLAGS="$(pkg-config --libs-only-L evshim-ports) -Wl,--no-as-needed" LIBS=-levshim
make install; cc program.c -lev $(pkg-config --libs evshim-ports)
R
}

# Three links: with both libraries named, so that the library sees the program's close(); with -lev alone, where libc
# comes before libevshim and it does not; and the second with the library preloaded.
libev_tests() {
    local tree=$1/installed kinds=both kind flags preload
    if [ "$backend" = evport ]; then kinds='both alone preload'; fi
    LD_LIBRARY_PATH_EXTRA=$tree/lib
    for kind in $kinds; do
        flags=-lev preload=
        if [ "$backend" = evport ]; then
            if [ "$kind" = both ]; then flags="-lev -L$library -Wl,--no-as-needed -levshim"; fi
            if [ "$kind" = preload ]; then preload=libevshim.so.0; fi
        fi
        # shellcheck disable=SC2086
        gcc -O1 -Wall -I"$tree/include" -DBACKEND="$(libev_backend)" -o "$work/libev-smoke" "$clients/libev-smoke.c" \
            -L"$tree/lib" -Wl,-rpath-link,"$library" $flags 2>"$work/libev-smoke.log" ||
            { result fail "smoke ($kind): compile" "$(tail -1 "$work/libev-smoke.log")"; continue; }
        libev_smoke "$kind" "$preload"
    done
    LD_LIBRARY_PATH_EXTRA=
}

libev_backend() { if [ "$backend" = evport ]; then echo EVBACKEND_PORT; else echo EVBACKEND_EPOLL; fi; }

libev_smoke() {
    local test
    for test in backend io level timer signal child async fork reuse many; do
        check "smoke ($1): $test" 20 env LD_PRELOAD="$2" "$work/libev-smoke" $test
    done
}

# ---- EV, the perl module -----------------------------------------------------------------------------------------

ev_perl_dsc() { source_dsc libev-perl 4.33; }
ev_perl_needs() {
    need gcc:gcc make:make perl:perl "libperl-dev:@/usr/lib/*/perl/5*/CORE/perl.h" binutils:nm dpkg-dev:dpkg-source \
        libcanary-stability-perl:%Canary::Stability libcommon-sense-perl:%common::sense
}

# Makefile.PL looks for sys/port.h only in the system's include directory, and then writes -DEV_USE_PORT=0.
ev_perl_build() {
    local flags=() define
    if [ "$1" = evport ]; then
        flags=(INC="-I$headers" LDDLFLAGS="-shared -L$library -Wl,--no-as-needed -levshim")
    fi
    PERL_MM_USE_DEFAULT=1 PERL_CANARY_STABILITY_NOPROMPT=1 perl Makefile.PL "${flags[@]}"
    if [ "$1" = evport ]; then
        define=$(sed -n 's/^DEFINE = //p' Makefile | sed 's/-DEV_USE_PORT=0/-DEV_USE_PORT=1/')
        grep -q -- -DEV_USE_PORT=1 <<<"$define"
        make DEFINE="$define"
    else
        make
    fi
}

ev_perl_recipe() {
    cat <<'R'
perl Makefile.PL INC="$(pkg-config --cflags evshim-ports)" \
    LDDLFLAGS="-shared -Wl,--no-as-needed $(pkg-config --libs evshim-ports)"
make DEFINE="$(sed -n 's/^DEFINE = //p' Makefile | sed s/EV_USE_PORT=0/EV_USE_PORT=1/)"
R
}

# The module's test files, once plainly and once preloaded (see libev_tests: a module's libraries come after libc).
ev_perl_tests() {
    local tree=$1 want=4 preload file name
    if [ "$backend" = evport ]; then want=32; fi
    for preload in "" libevshim.so.0; do
        if [ -n "$preload" ] && [ "$backend" != evport ]; then continue; fi
        name=${preload:+ (preload)}
        check "EV::backend is $want$name" 10 env LD_PRELOAD="$preload" perl -Mblib="$tree" -MEV -e "exit(EV::backend() != $want)"
        for file in "$tree"/t/*.t; do
            check "${file##*/}$name" 60 env LD_PRELOAD="$preload" bash -c "cd '$tree' && prove -b t/${file##*/}"
        done
    done
}
