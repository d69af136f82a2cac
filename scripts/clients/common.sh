# Shared by the client scripts: sources, cached builds, bounded runs, results.
# Sourced by ../clients.sh, which sets root, mode, work (a private directory of this run) and library.
# shellcheck shell=bash disable=SC2154

cache=${EVSHIM_CACHE:-$HOME/.cache/evshim}/clients
headers=$root/include/evshim/ports
mirror=${EVSHIM_DEBIAN_MIRROR:-http://deb.debian.org}

say() { printf '%s\n' "$*" >&2; }
die() { say "clients: $*"; exit 2; }

# ---- tools -------------------------------------------------------------------------------------------------------

# need PACKAGE:PROBE...  PROBE is a command to find, or @FILE to exist, or %MODULE for perl.
need() {
    local item probe missing=()
    for item in "$@"; do
        probe=${item#*:}
        case $probe in
            @*) compgen -G "${probe#@}" >/dev/null ;;
            %*) perl -m"${probe#%}" -e1 2>/dev/null ;;
            *) command -v "$probe" >/dev/null ;;
        esac || missing+=("${item%%:*}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" = 0 ] || die "not installed, and only root can install them: ${missing[*]}"
    say "clients: installing ${missing[*]}"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"; } \
        >"$work/apt.log" 2>&1 || { tail -5 "$work/apt.log" >&2; die "cannot install ${missing[*]}"; }
}

# ---- sources -----------------------------------------------------------------------------------------------------

# apt with source lists of our own: the machine's configuration under /etc/apt stays as it is.
private_apt() {
    local dir=$cache/apt suite key=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    for suite in debian/bookworm debian/bookworm-updates debian-security/bookworm-security; do
        echo "deb-src [signed-by=$key] $mirror/${suite%%/*} ${suite#*/} main"
    done >"$dir/sources.list"
    # Sandbox::User: the download directory is the caller's, which the user _apt cannot enter.
    apt-get -q -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User= "$@"
}

# source_dsc PACKAGE UPSTREAM: path of the .dsc, fetched once. The upstream version is pinned; of Debian's revisions
# the mirror keeps only the newest, so any is taken, and it is named in the table of results.
source_dsc() {
    local dir=$cache/src/$1 found
    found=$(compgen -G "$dir/$1_$2*.dsc" | sort -V | tail -1)
    if [ -z "$found" ]; then
        say "clients: fetching the source of $1 $2"
        mkdir -p "$dir"
        { private_apt update && (cd "$dir" && private_apt source --download-only "$1"); } >"$work/source.log" 2>&1 ||
            { tail -5 "$work/source.log" >&2; die "cannot fetch the source of $1"; }
        found=$(compgen -G "$dir/$1_$2*.dsc" | sort -V | tail -1)
        [ -n "$found" ] || die "the mirror has $1 in another version than $2"
    fi
    echo "$found"
}

dsc_version() { sed -n 's/^Version: //p' "$1" | head -1; }

# ---- builds ------------------------------------------------------------------------------------------------------

# What a client's build depends on in this library: the headers, and the names the linker binds. The client links
# dynamically and finds the library through LD_LIBRARY_PATH when it runs. So a new library with the same names and
# headers would give the same bytes of client, and no rebuild is needed; only the tests are run again, always.
library_key() {
    {
        (cd "$headers" && find . -name '*.h' -type f -print0 | sort -z | xargs -0 sha256sum)
        nm -D --defined-only --format=posix "$library/libevshim.so" | awk '{ print $1, $2 }' | sort
    } | sha256sum | cut -c1-16
}

# tree CLIENT BACKEND: directory of the built client. Built at its final place (configure and libtool record it);
# the file .built marks it as complete. The key covers source, recipe and (evport only) the library's interface.
tree() {
    local client=$1 backend=$2 dsc key dir
    dsc=$("${client}_dsc")
    key=$({
        sha256sum <"$dsc"
        declare -f "${client}_build"
        if [ "$backend" = evport ]; then library_key; fi
    } | sha256sum | cut -c1-16)
    dir=$cache/build/$client-$backend-$key
    if [ ! -e "$dir/.built" ]; then
        build_tree "$client" "$backend" "$dsc" "$dir" || return 1
    fi
    touch "$dir"
    echo "$dir"
}

build_tree() {
    local client=$1 backend=$2 dsc=$3 dir=$4 start=$SECONDS
    say "clients: building $client ($backend)"
    rm -rf "$dir"
    mkdir -p "${dir%/*}"
    dpkg-source --no-check --no-copy -x "$dsc" "$dir" >"$dir.log" 2>&1 || die "cannot unpack $dsc"
    # LD_LIBRARY_PATH: with LIBS=-levshim every program that configure runs needs the library.
    if ! (cd "$dir" && set -e && LD_LIBRARY_PATH=$library nice -n 10 timeout 1200 \
        bash -ec "$(declare -f "${client}_build"); ${client}_build $backend" build) >>"$dir.log" 2>&1; then
        tail -20 "$dir.log" >&2
        say "clients: build of $client ($backend) failed, see $dir.log"
        return 1
    fi
    touch "$dir/.built"
    say "clients: built $client ($backend) in $((SECONDS - start)) s"
    # Two trees of each kind stay: going back and forth between two branches must not rebuild.
    ls -dt "${dir%-*}"-*/ | tail -n +3 | sed 's|/$||' | while read -r dir; do rm -rf "$dir" "$dir.log"; done
}

# ---- runs and results --------------------------------------------------------------------------------------------

# A result is a line "status<TAB>test<TAB>detail" in $results; status is pass, fail or skip.
result() {
    printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$results"
    if [ "$1" = fail ] && [ -z "$(left_out_reason "${label%-*}" "$2")" ]; then say "  FAIL $label: $2 ${3:+($3)}"; fi
}

# run SECONDS LOG COMMAND...: bounded; `timeout` makes a process group and ends all of it. The library's directory is
# in the path only for the event-port build: the yardstick must not load it.
run() {
    local limit=$1 log=$2 path=$LD_LIBRARY_PATH_EXTRA
    shift 2
    if [ "$backend" = evport ]; then path=$library${path:+:$path}; fi
    if [ $((deadline - SECONDS)) -lt "$limit" ]; then limit=$((deadline - SECONDS)); fi
    if [ "$limit" -le 0 ]; then echo "the whole run is out of time" >"$log"; return 124; fi
    LD_LIBRARY_PATH=$path timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null 9>&-
}

# check NAME SECONDS COMMAND...: one test that passes when the command does.
check() {
    local name=$1 limit=$2 log rc=0
    shift 2
    log=$work/$label.${name//[^A-Za-z0-9]/_}.log
    run "$limit" "$log" "$@" || rc=$?
    if [ $rc = 0 ]; then
        result pass "$name"
    else
        result fail "$name" "$(verdict $rc), $(tail -1 "$log" | cut -c1-120)"
    fi
}

verdict() { if [ "$1" = 124 ] || [ "$1" = 137 ]; then echo "timed out"; else echo "exit $1"; fi; }

# Left-out tests: "client|test|reason" lines in left_out. They run all the same, and one that passes fails the run, so
# that the list cannot outlive its reasons.
left_out_reason() { printf '%s\n' "${left_out[@]}" | awk -F'|' -v c="$1" -v t="$2" '$1 == c && $2 == t { print $3 }'; }

apply_left_out() {
    local client=$1 status name detail reason
    while IFS=$'\t' read -r status name detail; do
        reason=$(left_out_reason "$client" "$name")
        if [ -n "$reason" ]; then
            case $status:$reason in
                *:sometimes:*) status=skip detail="left out: ${reason#sometimes: }" ;;
                fail:*) status=skip detail="left out: $reason" ;;
                pass:*) status=fail detail="listed as left out, but it passes" ;;
            esac
        fi
        printf '%s\t%s\t%s\n' "$status" "$name" "$detail"
    done
}

# fold: one line per test from several rounds; a test passes when no round failed it.
fold() {
    awk -F'\t' 'BEGIN { rank["pass"] = 2; rank["skip"] = 1; rank["fail"] = 3 }
        !($2 in best) { order[++n] = $2 }
        rank[$1] > rank[best[$2]] { best[$2] = $1; detail[$2] = $3 }
        END { for (i = 1; i <= n; i++) printf "%s\t%s\t%s\n", best[order[i]], order[i], detail[order[i]] }'
}

tally() { awk -F'\t' -v s="$1" '$1 == s { n++ } END { print n + 0 }' "$2"; }

# free_port: a port nobody listens on, from a range below the kernel's ephemeral ports.
free_port() {
    local port
    while :; do
        port=$((10000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}
