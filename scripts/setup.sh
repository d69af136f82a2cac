#!/usr/bin/env bash
# setup.sh PURPOSE...: sees to it that what PURPOSE needs is installed. Purposes: demo, check, consumers, valgrind,
# tsan, clients, ci. As root on a system with apt-get it installs what is missing; elsewhere it names the command that
# would, and fails. Rust (cargo), a C compiler and make are taken for granted. Fast when nothing is missing.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || die "usage: setup.sh demo|check|consumers|valgrind|tsan|clients|ci ..."

# What a purpose needs: "command:package" in Debian's names; "file=path:package" for what is no command.
needs() {
    case $1 in
    demo) echo cc:gcc pkg-config:pkg-config cmp:diffutils ;;
    check) echo cc:gcc c++:g++ readelf:binutils nm:binutils pkg-config:pkg-config ldd:libc-bin getconf:libc-bin setpriv:util-linux ;;
    consumers)
        needs check
        echo cmake:cmake meson:meson ninja:ninja-build autoreconf:autoconf automake:automake libtoolize:libtool
        ;;
    valgrind) echo valgrind:valgrind ;;
    tsan)
        # The runtime is rustc's; addr2line names the lines in a report.
        echo gcc:gcc nm:binutils addr2line:binutils
        ;;
    clients)
        # The clients' own script knows what each of them needs besides.
        echo cc:gcc make:make patch:patch
        ;;
    ci)
        needs consumers
        needs valgrind
        needs tsan
        needs clients
        ;;
    *) die "unknown purpose: $1" ;;
    esac
}

# Good to have: the checks that want these say that they were skipped.
wishes() {
    case $1:$(uname -m) in
    check:x86_64 | ci:x86_64) echo file=/usr/i686-linux-gnu/include/stdio.h:libc6-dev-i386-cross ;;
    esac
}

present() {
    case $1 in
    file=*) [ -e "${1#file=}" ] ;;
    *) [ -n "$(command -v "$1")" ] ;;
    esac
}

# missing LIST...: the packages of what is not there.
missing() {
    local item
    for item in "$@"; do
        present "${item%:*}" || printf '%s\n' "${item##*:}"
    done | sort -u | xargs
}

# Other distributions' names for the packages that are called otherwise there.
translate() { # MANAGER PACKAGE...
    local manager=$1 package
    shift
    for package in "$@"; do
        case $manager:$package in
        dnf:g++) echo gcc-c++ ;;
        dnf:pkg-config | pacman:pkg-config | apk:pkg-config) echo pkgconf ;;
        pacman:g++) echo gcc ;;
        dnf:libc-bin) echo glibc-common ;;
        pacman:libc-bin) echo glibc ;;
        apk:libc-bin) echo musl-utils ;;
        pacman:ninja-build) echo ninja ;;
        apk:ninja-build) echo samurai ;;
        *) echo "$package" ;;
        esac
    done | sort -u | xargs
}

install_command() { # PACKAGE...
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo "
    # shellcheck disable=SC2046  # package names are words
    if [ -n "$(command -v apt-get)" ]; then
        echo "${sudo}apt-get install -y $*"
    elif [ -n "$(command -v dnf)" ]; then
        echo "${sudo}dnf install -y $(translate dnf "$@")"
    elif [ -n "$(command -v pacman)" ]; then
        echo "${sudo}pacman -S --needed $(translate pacman "$@")"
    elif [ -n "$(command -v apk)" ]; then
        echo "${sudo}apk add $(translate apk "$@")"
    else
        echo "(your package manager) $*"
    fi
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    local log=$scratch/apt.log
    # The package lists of a fresh machine are empty or old: fetch them if the first try fails.
    apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 && return
    { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 && return
    tail -n 20 "$log" >&2
    return 1
}

required=() optional=()
for purpose in "$@"; do
    # A call of its own, so that an unknown purpose ends this shell and not only the substitution.
    found=$(needs "$purpose")
    # shellcheck disable=SC2206  # words without blanks or patterns
    required+=($found) optional+=($(wishes "$purpose"))
done
[ -n "$(command -v cargo)" ] || die "cargo is missing: install Rust (https://rustup.rs, or your system's package)"
missing_required=$(missing "${required[@]}")
missing_optional=$(missing "${optional[@]}")
[ -n "$missing_required$missing_optional" ] || exit 0

make_scratch
may_install=no
if [ "$(id -u)" = 0 ] && [ -n "$(command -v apt-get)" ]; then may_install=yes; fi

# Package names are words from here on.
# shellcheck disable=SC2086
if [ -n "$missing_required" ]; then
    if [ "$may_install" = no ]; then
        die "missing for '$*': $missing_required. Install with: $(install_command $missing_required)"
    fi
    echo "installing $missing_required"
    apt_install $missing_required || die "could not install: $(install_command $missing_required)"
    still=$(missing "${required[@]}")
    [ -z "$still" ] || die "still missing after the installation: $still"
fi
# shellcheck disable=SC2086
if [ -n "$missing_optional" ]; then
    if [ "$may_install" = yes ]; then
        echo "installing $missing_optional"
        apt_install $missing_optional || echo "not installed (some checks will be skipped): $missing_optional"
    else
        echo "some checks will be skipped; to have them: $(install_command $missing_optional)"
    fi
fi
