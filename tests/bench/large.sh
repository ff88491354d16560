#!/bin/bash
# Pictures of 300 MP (17,320 x 17,320 px, 16-bit TIFF) through `parfocal stack` and through the service;
# prints Markdown rows: wall time, CPU, peak memory, what was foreseen.
#
#   tests/bench/large.sh [FRAME...]     without frames, three are made (2 GB and some minutes each)
#
# Environment: BUILD (build), PARFOCAL, SIDE (17320), FRAMES (3), RUNS (5), WAYS ("stack serve"), TMPDIR
# (needs 2 GB a frame, twice, and the stack: a disk, not a file system in memory).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
SIDE=${SIDE:-17320} FRAMES=${FRAMES:-3} RUNS=${RUNS:-5} WAYS=${WAYS:-stack serve}
workspace large

if [ $# -eq 0 ]; then
    say "making $FRAMES frames of $SIDE x $SIDE px"
    "$GENERATE" --scene textured --width "$SIDE" --height "$SIDE" --frames "$FRAMES" --format tiff \
        --bits 16 --no-truth --out "$T/frames" || die "generate failed"
    set -- "$T"/frames/*.tif
fi

of_worker() # the service's child that stacks: "peak_kB cpu_s" so far
{
    local pid
    for pid in $(cat "/proc/$service/task/$service/children" 2>/dev/null); do
        tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' process' || continue
        echo "$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null)" \
            "$(sed 's/.*) //' "/proc/$pid/stat" | awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f", ($12 + $13) / hz }')"
    done | sort -n | tail -n 1
}

# Both append "foreseen_MiB peak_MiB cpu_s wall_s fused".
by_stack() # FRAME...
{
    local wall cpu peak
    rm -f "$T/one"*
    measured "$T/one" "$PARFOCAL" stack "$@" -o "$T/stack.tif" --json
    read -r wall cpu peak <"$T/one"
    echo "$(jq .engine.memory.needed_mb "$T/one.out") $((peak / 1024)) $cpu $wall $(jq .fused "$T/one.out")" >>"$T/stack"
    rm -f "$T/stack.tif"
}

by_service() # FRAME...
{
    local start frame now worker= wall peak cpu sidecar
    rm -rf "$T/inbox" "$T/outbox" "$T/state"
    mkdir -p "$T/inbox" "$T/outbox"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" --gap 60 \
        --http off >"$T/log" 2>&1 &
    service=$!
    start=$(date +%s)
    for frame in "$@"; do
        cp "$frame" "$T/inbox/.part" && mv "$T/inbox/.part" "$T/inbox/${frame##*/}" || die "no room"
    done
    until compgen -G "$T/outbox/*/stack.json" >/dev/null; do
        kill -0 $service 2>/dev/null || die "the service has ended: $(tail -n 5 "$T/log")"
        [ $(($(date +%s) - start)) -lt 3600 ] || die "no stack after an hour: $(tail -n 5 "$T/log")"
        grep -q 'burst .* failed' "$T/log" && die "$(grep failed "$T/log")"
        now=$(of_worker) && worker=${now:-$worker}
        sleep 0.5
    done
    wall=$(($(date +%s) - start))
    read -r peak cpu <<<"$worker"
    sidecar=$(compgen -G "$T/outbox/*/stack.json" | head -n 1)
    echo "$(jq .engine.memory.needed_mb "$sidecar") $((peak / 1024)) $cpu $wall $(jq .fused "$sidecar")" >>"$T/serve"
    kill -TERM $service
    wait $service
    service=
}

row() # NAME FILE
{
    local n
    printf '| %s |' "$1"
    for n in 1 2 3 4 5; do
        printf ' %s |' "$(column "$2" $n)"
    done
    echo
}

echo "$(date -u +%Y-%m-%d), $("$PARFOCAL" --version | awk 'NR == 1 { print $NF }'), $(machine); $RUNS runs, median (least-most)."
echo
echo "| $# frames of $SIDE x $SIDE px: ${1##*.} | foreseen MiB | peak MiB | CPU s | wall s | fused |"
echo "|---|---|---|---|---|---|"
for way in $WAYS; do
    for ((run = 1; run <= RUNS; run++)); do
        say "parfocal $way, run $run"
        case $way in
        stack) by_stack "$@" ;;
        serve) by_service "$@" ;;
        *) die "no way: $way" ;;
        esac
    done
    row "parfocal $way" "$T/$way"
done
