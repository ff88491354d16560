#!/bin/bash
# What clients of the HTTP interface cost: the same 40-frame burst with none, with 200 that listen to events,
# with 200 that listen and 20 that never read, and beside 1,000 connections that say nothing. Prints Markdown
# (kept as tests/bench/HTTP.md). A second burst after the first shows whether memory grows with what is done.
#
# Environment: BUILD (build), FRAMES (40), PACE (1.5 s), SIZE (2 MP), ROUNDS (1), BURSTS (2).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
FRAMES=${FRAMES:-40} PACE=${PACE:-1.5} SIZE=${SIZE:-2} ROUNDS=${ROUNDS:-1} BURSTS=${BURSTS:-2}
workspace http

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

stacks_are() # N
{
    [ "$(find "$T/outbox" -mindepth 2 -maxdepth 2 -name stack.json 2>/dev/null | wc -l)" -ge "$1" ]
}

run() # NAME LISTENERS SILENT IDLE
{
    local burst file load= memory
    rm -rf "$T/inbox" "$T/outbox" "$T/state"
    mkdir -p "$T/inbox"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" --http off --gap 5 \
        >"$T/log" 2>&1 &
    service=$!
    until grep -q 'inotify, ok' "$T/log" && grep -q 'worker ready' "$T/log"; do sleep 0.1; done
    curl -sSN --unix-socket "$T/state/http" http://localhost/api/v1/events >"$T/events" 2>/dev/null &
    local listener=$!
    local seconds
    seconds=$(awk -v n="$FRAMES" -v p="$PACE" -v b="$BURSTS" 'BEGIN { printf "%d", b * (n * p + 15) + 6 }')
    "$BUILD/tests/http_load" "$T/state/http" "$2" "$3" "$4" "$seconds" >"$T/load" &
    load=$!
    sleep 2
    local cpu_before
    memory=$(resident_mb) cpu_before=$(cpu_s)
    : >"$T/placed"
    for ((burst = 1; burst <= BURSTS; burst++)); do
        for file in "$T/frames$burst"/*.jpg; do
            cp "$file" "$T/inbox/.part"
            echo "$burst-${file##*/} $(date +%s%3N)" >>"$T/placed"
            mv "$T/inbox/.part" "$T/inbox/$burst-${file##*/}"
            sleep "$PACE"
        done
        until stacks_are $burst; do sleep 0.2; done
        sleep 1
        memory+=", $(resident_mb)"
    done
    local cpu_after
    cpu_after=$(cpu_s)
    wait $load
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
        "$memory | $(awk -v a="$cpu_before" -v b="$cpu_after" 'BEGIN { printf "%.2f", b - a }') |"
    kill "$service"
    wait "$service" 2>/dev/null
    service=
}

say "making $BURSTS times $FRAMES frames of $SIZE MP"
for ((n = 1; n <= BURSTS; n++)); do
    "$GENERATE" --megapixels "$SIZE" --frames "$FRAMES" --interval "$PACE" --out "$T/frames$n" --no-truth --seed $n \
        --start "2026-01-02T$(printf %02d "$n"):00:00" >/dev/null || exit 1
done
echo "# The HTTP interface under load"
echo
echo "$FRAMES frames of $SIZE MP, one every $PACE s; commit $(git describe --tags --always --dirty), $(nproc) cores," \
    "$(date -u +%Y-%m-%d); \`tests/bench/http.sh\`. \"Seen\" and \"scored\" are from the frame's being in place to its event;" \
    "\"read after\" is from the event to its being read by the clients; memory and CPU are the service's own" \
    "(without its children); memory before the first burst and after each of the $BURSTS."
echo
echo "| clients | seen ms mean | most | scored ms mean | most | events each | read after ms mean | 99 % | most | lost |" \
    "MB before, after each burst | CPU s |"
echo "|---|---|---|---|---|---|---|---|---|---|---|---|"
for ((round = 0; round < ROUNDS; round++)); do
    run "none" 0 0 0
    run "200 listen" 200 0 0
    run "200 listen, 20 never read" 200 20 0
    run "1,000 idle" 0 0 1000
done
