#!/bin/bash
# 24 MP JPEG frames through `parfocal serve`, one every 3 s, and through `parfocal stack`; prints
# Markdown. How long after the last frame was closed on disk is the stack published, and how much
# memory has the worker needed?
#
# Environment: BUILD (build), PARFOCAL, COUNTS ("10 40"), SIZE (24 MP), PACE (3 s), GAP (5 s),
# SCENE (textured).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
COUNTS=${COUNTS:-10 40} SIZE=${SIZE:-24} PACE=${PACE:-3} GAP=${GAP:-5} SCENE=${SCENE:-textured}
workspace serve

now_ms()
{
    date +%s%3N
}

# Of the service and its children, so far.
cpu_seconds()
{
    local pid
    for pid in $service $(cat "/proc/$service/task/$service/children" 2>/dev/null); do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null
    done | awk -v hz="$(getconf CLK_TCK)" '{ t += $12 + $13 + $14 + $15 } END { printf "%.1f", t / hz }'
}

# The service's child that stacks, and the peak of its memory so far in kB.
worker_peak()
{
    local pid
    for pid in $(cat "/proc/$service/task/$service/children" 2>/dev/null); do
        tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q ' process' || continue
        awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null
        return
    done
}

echo "## $SIZE MP JPEG, one every $PACE s, through the service"
echo
echo "Gap $GAP s. \"After the last\" is from the moment the last frame was in place under its name"
echo "to the stack in the outbox; \"beyond the gap\" is that less the gap, which a burst must wait."
echo
echo "| frames | after the last s | beyond the gap s | worker peak MB | CPU s | fused | corner px |"
echo "|---|---|---|---|---|---|---|"
for count in $COUNTS; do
    rm -rf "$T/frames" "$T/inbox" "$T/outbox" "$T/state"
    mkdir -p "$T/inbox" "$T/outbox"
    say "making $count frames of $SIZE MP"
    "$GENERATE" --scene "$SCENE" --megapixels "$SIZE" --frames "$count" --interval "$PACE" \
        --truth-dir "$T/truth" --no-truth-pictures --out "$T/frames" || die "generate failed"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" \
        --gap "$GAP" >"$T/log" 2>&1 &
    service=$!
    start=$(now_ms) i=0 last=0
    for frame in "$T"/frames/*.jpg; do
        wait_ms=$((start + i * PACE * 1000 + 2000 - $(now_ms)))
        [ $wait_ms -le 0 ] || sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
        cp "$frame" "$T/inbox/.part" && mv "$T/inbox/.part" "$T/inbox/${frame##*/}"
        last=$(now_ms)
        i=$((i + 1))
    done
    say "$count frames are in the inbox"
    until compgen -G "$T/outbox/*/stack.json" >/dev/null; do
        kill -0 $service 2>/dev/null || die "the service has ended: $(tail -n 3 "$T/log")"
        [ $(($(now_ms) - last)) -lt 300000 ] || die "no stack after 300 s: $(tail -n 3 "$T/log")"
        sleep 0.01
    done
    published=$(now_ms)
    peak=$(worker_peak)
    cpu=$(cpu_seconds)
    sidecar=$(compgen -G "$T/outbox/*/stack.json" | head -n 1)
    fused=$(jq .fused "$sidecar")
    corner=$("$COMPARE" --truth "$T/truth" --json --transforms "$sidecar" | jq '.align.corner_max_px * 100 | round / 100')
    kill -TERM $service
    wait $service
    service=
    awk -v c="$count" -v ms=$((published - last)) -v gap="$GAP" -v peak="${peak:-0}" -v cpu="$cpu" \
        -v fused="$fused" -v corner="$corner" \
        'BEGIN { printf "| %d | %.2f | %.2f | %.0f | %s | %s | %s |\n", c, ms / 1000, ms / 1000 - gap, peak / 1024, cpu, fused, corner }'
done

# The same frames in one go, and the peer's way. Of the last burst's frames, the first ten.
frames=("$T"/frames/*.jpg)
frames=("${frames[@]:0:10}")
say "parfocal stack, ${#frames[@]} frames of $SIZE MP"
measured "$T/ours" "$PARFOCAL" stack "${frames[@]}" -o "$T/ours.tif"
echo
echo "## $SIZE MP x ${#frames[@]}, all at once"
echo
echo "| | wall s | CPU s | peak MB |"
echo "|---|---|---|---|"
echo "| parfocal stack | $(column "$T/ours" 1) | $(column "$T/ours" 2) | $(megabytes "$T/ours") |"
if [ "${PEER:-1}" != 0 ]; then
    say "align_image_stack and enfuse, ${#frames[@]} frames of $SIZE MP"
    measured "$T/peer" bash -c 'align_image_stack -m -a "$0/aligned_" "$@" &&
        enfuse --exposure-weight=0 --saturation-weight=0 --contrast-weight=1 --hard-mask \
            -o "$0/peer.tif" "$0"/aligned_*.tif' "$T" "${frames[@]}"
    echo "| align_image_stack + enfuse | $(column "$T/peer" 1) | $(column "$T/peer" 2) | $(megabytes "$T/peer") |"
fi
