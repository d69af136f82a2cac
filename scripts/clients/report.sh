# The lines of a run, and docs/clients.md.
# shellcheck shell=bash disable=SC2154

title() {
    case $1 in
        redis) echo redis ;;
        libevent) echo libevent ;;
        libev) echo libev ;;
        ev_perl) echo "EV (perl)" ;;
    esac
}

passed_of() { if [ -s "$1" ]; then echo "$(tally pass "$1")/$(($(tally pass "$1") + $(tally fail "$1")))"; else echo "none"; fi; }

summary_line() {
    local evport=$work/$1-evport.tsv epoll=$work/$1-epoll.tsv
    printf '%-10s evport %s passed, %s skipped; epoll %s passed, %s skipped; %s s\n' "$1" \
        "$(passed_of "$evport")" "$(tally skip "$evport")" "$(passed_of "$epoll")" "$(tally skip "$epoll")" "$2"
    # What the yardstick fails as well is a hint about the machine, not an excuse.
    awk -F'\t' 'NR == FNR { if ($1 == "fail") bad[$2] = 1; next } $1 == "fail" {
        print "  failed: " $2 ($3 ? " (" $3 ")" : "") (bad[$2] ? " [fails with epoll too]" : "") }' "$epoll" "$evport"
    awk -F'\t' '$1 == "skip" && $3 ~ /^left out/ { print "  " $2 ": " $3 }' "$evport"
}

# A row of the table, kept for `clients.sh docs`.
record_row() {
    echo "| $(title "$1") | $(dsc_version "$("$1_dsc")") | event ports | $(passed_of "$work/$1-evport.tsv")" \
        "| $(passed_of "$work/$1-epoll.tsv") |"
    awk -F'\t' -v t="$(title "$1")" '$1 == "skip" && sub(/^left out: /, "", $3) { print "- " t ", " $2 ": " $3 }' \
        "$work/$1-evport.tsv"
}

write_docs() {
    local client
    for client in $names; do [ -s "$stored/$client.row" ] || die "no results of $client: run clients.sh full"; done
    {
        cat <<'T'
# Programs that run on evshim's event ports

Written by `scripts/clients.sh`; do not edit. The sources are Debian 12's, unmodified. The numbers are tests passed of
tests run; what a suite skips by itself is not counted. The last column is the same suite with the program's epoll back
end and without this library. libev's and EV's tests run more often with the library: linked in several ways, preloaded.

| program | version | back end | passed | with epoll |
| --- | --- | --- | --- | --- |
T
        for client in $names; do head -1 "$stored/$client.row"; done
        printf '\nThe %s.\n' "$(case $(cat "$stored/mode") in full) echo "whole suites, three times" ;; *) echo "quick set" ;; esac)"
        if cat "$stored"/*.row | grep -q '^- '; then
            printf '\n## Left out, and why\n\n'
            for client in $names; do tail -n +2 "$stored/$client.row"; done
        fi
        cat <<'T'

## Building them

evshim is installed, and `pkg-config` finds it. A program that uses libev or libevent must name `-levshim` itself or be
started with `LD_PRELOAD=libevshim.so.0`, if the library is to see its `close()`: a library's own dependencies are
searched after libc.
T
        for client in $names; do
            printf '\n### %s\n\n```sh\n' "$(title "$client")"
            "${client}_recipe"
            printf '```\n'
        done
    } >"$root/docs/clients.md"
    say "clients: wrote docs/clients.md"
}
