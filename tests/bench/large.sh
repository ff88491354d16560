#!/bin/bash
# Pictures of 300 MP (17,320 x 17,320 px, 16-bit TIFF) through `parfocal stack` and through the service;
# prints Markdown rows: wall time, CPU, peak memory, what was foreseen.
#
#   tests/bench/large.sh [FRAME...]     without frames, three are made (2 GB and some minutes each)
#
# Environment: BUILD (build), PARFOCAL, SIDE (17320), FRAMES (3), WAYS ("stack serve"), TMPDIR (needs
# 2 GB a frame, twice, and the stack: a disk, not a file system in memory).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
SIDE=${SIDE:-17320} FRAMES=${FRAMES:-3} WAYS=${WAYS:-stack serve}
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

echo "| $# frames of $SIDE x $SIDE px, 16-bit TIFF | foreseen MiB | peak MiB | CPU s | wall s | fused |"
echo "|---|---|---|---|---|---|"
if [[ " $WAYS " = *' stack '* ]]; then
    say "parfocal stack"
    measured "$T/stack" "$PARFOCAL" stack "$@" -o "$T/stack.tif" --json
    read -r wall cpu peak <"$T/stack"
    echo "| parfocal stack | $(jq '.engine.memory.needed_mb' "$T/stack.out") | $((peak / 1024)) | $cpu | $wall | $(jq '.fused' "$T/stack.out") |"
    rm -f "$T/stack.tif"
fi
if [[ " $WAYS " = *' serve '* ]]; then
    say "parfocal serve"
    mkdir -p "$T/inbox" "$T/outbox"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" --gap 60 \
        --http off >"$T/log" 2>&1 &
    service=$!
    start=$(date +%s)
    for frame in "$@"; do
        cp "$frame" "$T/inbox/.part" && mv "$T/inbox/.part" "$T/inbox/${frame##*/}" || die "no room"
    done
    worker=
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
    echo "| parfocal serve, its worker | $(jq '.engine.memory.needed_mb' "$sidecar") | $((peak / 1024)) | $cpu | $wall | $(jq '.fused' "$sidecar") |"
    cat "$T/log" >&2
    kill -TERM $service
    wait $service
    service=
fi
