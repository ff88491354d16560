#!/bin/bash
# What clients of the HTTP interface cost: the same 40-frame burst with none, with 200 that listen to events,
# with 200 that listen and 20 that never read, and beside 1,000 connections that say nothing. Prints Markdown
# (kept as tests/bench/HTTP.md).
#
# Environment: BUILD (build), FRAMES (40), PACE (1.5 s), SIZE (2 MP), ROUNDS (1).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
FRAMES=${FRAMES:-40} PACE=${PACE:-1.5} SIZE=${SIZE:-2} ROUNDS=${ROUNDS:-1}
T=$(mktemp -d "${TMPDIR:-/tmp}/parfocal-http-XXXXXX") || exit 1
service=
finish()
{
    [ -z "$service" ] || kill "$service" 2>/dev/null
    wait
    rm -rf "$T"
}
trap finish EXIT
trap 'exit 130' INT TERM

resident_mb()
{
    awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$service/status"
}

cpu_s()
{
    sed 's/.*) //' "/proc/$service/stat" | awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f", ($12 + $13) / hz }'
}

# From a frame's being in place to its event of this type: mean and most, ms.
delays() # TYPE
{
    awk -v type="$1" 'NR == FNR { placed[$1] = $2; next }
        { d = $3 - placed[$2]; if ($1 == type) { sum += d; n++; if (d > most) most = d } }
        END { printf "%.0f | %.0f", sum / n, most }' "$T/placed" "$T/told"
}

run() # NAME LISTENERS SILENT IDLE
{
    local i=0 file load=
    rm -rf "$T/inbox" "$T/outbox" "$T/state"
    mkdir -p "$T/inbox"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" --http off --gap 5 \
        >"$T/log" 2>&1 &
    service=$!
    until grep -q 'inotify, ok' "$T/log" && grep -q 'worker ready' "$T/log"; do sleep 0.1; done
    curl -sSN --unix-socket "$T/state/http" http://localhost/api/v1/events >"$T/events" 2>/dev/null &
    local listener=$!
    local seconds
    seconds=$(awk -v n="$FRAMES" -v p="$PACE" 'BEGIN { printf "%d", n * p + 6 }')
    "$BUILD/tests/http_load" "$T/state/http" "$2" "$3" "$4" "$seconds" >"$T/load" &
    load=$!
    sleep 2
    local before cpu_before after_first=
    before=$(resident_mb) cpu_before=$(cpu_s)
    : >"$T/placed"
    for file in "$T"/frames/*.jpg; do
        cp "$file" "$T/inbox/.part"
        echo "${file##*/} $(date +%s%3N)" >>"$T/placed"
        mv "$T/inbox/.part" "$T/inbox/${file##*/}"
        i=$((i + 1))
        [ $i -ne $((FRAMES / 2)) ] || after_first=$(resident_mb)
        sleep "$PACE"
    done
    local after cpu_after
    after=$(resident_mb) cpu_after=$(cpu_s)
    wait $load
    until [ -e "$T"/outbox/*/stack.json ]; do sleep 0.2; done 2>/dev/null
    kill $listener
    awk '/^event: / { type = $2 } /^data: / { print type "\t" substr($0, 7) }' "$T/events" |
        while IFS=$'\t' read -r type data; do
            case $type in
            frame.seen) jq -r '"frame.seen \(.name) \(.at_ms)"' <<<"$data" ;;
            frame.scored) jq -r '"frame.scored \(.frame.name) \(.at_ms)"' <<<"$data" ;;
            esac
        done >"$T/told"
    local least most mean p99 worst lost
    IFS=$'\t' read -r least most mean p99 worst lost <"$T/load"
    echo "| $1 | $(delays frame.seen) | $(delays frame.scored) | $least to $most | $mean | $p99 | $worst | $lost |" \
        "$before | $after_first | $after | $(awk -v a="$cpu_before" -v b="$cpu_after" 'BEGIN { printf "%.2f", b - a }') |"
    kill "$service"
    wait "$service" 2>/dev/null
    service=
}

mkdir "$T/frames"
say "making $FRAMES frames of $SIZE MP"
"$GENERATE" --megapixels "$SIZE" --frames "$FRAMES" --interval "$PACE" --out "$T/frames" --no-truth >/dev/null || exit 1
echo "# The HTTP interface under load"
echo
echo "$FRAMES frames of $SIZE MP, one every $PACE s; commit $(git describe --tags --always --dirty), $(nproc) cores," \
    "$(date -u +%Y-%m-%d); \`tests/bench/http.sh\`. \"Seen\" and \"scored\" are from the frame's being in place to its event;" \
    "\"read after\" is from the event to its being read by the clients; memory and CPU are the service's own" \
    "(without its children) before, in the middle and after."
echo
echo "| clients | seen ms mean | most | scored ms mean | most | events each | read after ms mean | 99 % | most | lost |" \
    "MB before | middle | after | CPU s |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
for ((round = 0; round < ROUNDS; round++)); do
    run "none" 0 0 0
    run "200 listen" 200 0 0
    run "200 listen, 20 never read" 200 20 0
    run "1,000 idle" 0 0 1000
done
