#!/bin/bash
# 24 MP JPEG frames through `parfocal serve`, one every 3 s, and through `parfocal stack`; prints
# Markdown. How long after the last frame was closed on disk is the stack published, and how much
# memory has the worker needed?
#
# Environment: BUILD (build), PARFOCAL, RUNS (5), COUNTS ("10 40"), SIZE (24 MP), PACE (3 s), GAP (5 s),
# ENDS (gap; count: the last frame ends the burst, --expected-frames), SCENE (textured), PEER (RUNS: so often align_image_stack and enfuse, 0 leaves them out), IN (a burst that is there already:
# DIR/IMG_*.jpg and DIR/truth.json; then it is the only one).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
RUNS=${RUNS:-5} COUNTS=${COUNTS:-10 40} SIZE=${SIZE:-24} PACE=${PACE:-3} GAP=${GAP:-5} ENDS=${ENDS:-gap} SCENE=${SCENE:-textured}
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

# One burst through a service of its own; appends "ms_after_the_last worker_kB cpu_s fused corner_px" to FILE.
through_service() # FILE
{
    local start i=0 wait_ms last=0 published peak cpu sidecar corner frame
    rm -rf "$T/inbox" "$T/outbox" "$T/state"
    mkdir -p "$T/inbox" "$T/outbox"
    "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" \
        --gap "$GAP" ${ended_by[@]+"${ended_by[@]}"} >"$T/log" 2>&1 &
    service=$!
    start=$(now_ms)
    for frame in "$T"/frames/*.jpg; do
        wait_ms=$((start + i * PACE * 1000 + 2000 - $(now_ms)))
        [ $wait_ms -le 0 ] || sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
        cp "$frame" "$T/inbox/.part" && mv "$T/inbox/.part" "$T/inbox/${frame##*/}" || die "no room"
        last=$(now_ms)
        i=$((i + 1))
    done
    until compgen -G "$T/outbox/*/stack.json" >/dev/null; do
        kill -0 $service 2>/dev/null || die "the service has ended: $(tail -n 3 "$T/log")"
        [ $(($(now_ms) - last)) -lt 300000 ] || die "no stack after 300 s: $(tail -n 3 "$T/log")"
        sleep 0.01
    done
    published=$(now_ms)
    peak=$(worker_peak)
    cpu=$(cpu_seconds)
    sidecar=$(compgen -G "$T/outbox/*/stack.json" | head -n 1)
    corner=$("$COMPARE" --truth "$T/frames" --json --transforms "$sidecar" | jq .align.corner_max_px)
    awk -v ms=$((published - last)) -v gap="$waited" -v peak="${peak:-0}" -v cpu="$cpu" \
        -v fused="$(jq .fused "$sidecar")" -v corner="$corner" \
        'BEGIN { printf "%.3f %.3f %d %s %s %s\n", ms / 1000, ms / 1000 - gap, peak / 1024, cpu, fused, corner }' >>"$1"
    kill -TERM $service
    wait $service
    service=
}

echo "## $SIZE MP JPEG, one every $PACE s, through the service"
echo
if [ "$ENDS" = count ]; then
    echo "The last frame ends the burst (\`--expected-frames\`)."
else
    echo "A gap of $GAP s ends the burst."
fi
echo "\"After the last\" is from the moment the last frame was in place under its name"
echo "to the stack in the outbox; \"beyond the gap\" is that less the gap, which a burst must wait."
echo "$(date -u +%Y-%m-%d), $("$PARFOCAL" --version | awk 'NR == 1 { print $NF }'), $(machine); $RUNS runs, median (least-most)."
echo
echo "| frames | after the last s | beyond the gap s | worker peak MB | CPU s | fused | corner px |"
echo "|---|---|---|---|---|---|---|"
if [ "${IN:-}" ]; then
    COUNTS=$(set -- "$IN"/IMG_*.jpg && echo $#)
    ln -s "$(realpath "$IN")" "$T/frames"
fi
for count in $COUNTS; do
    if [ -z "${IN:-}" ]; then
        rm -rf "$T/frames"
        say "making $count frames of $SIZE MP"
        "$GENERATE" --scene "$SCENE" --megapixels "$SIZE" --frames "$count" --interval "$PACE" \
            --no-truth-pictures --out "$T/frames" || die "generate failed"
    fi
    ended_by=() waited=$GAP
    [ "$ENDS" != count ] || ended_by=(--expected-frames "$count") waited=0
    for ((run = 1; run <= RUNS; run++)); do
        say "$count frames, run $run"
        through_service "$T/runs-$count"
    done
    printf '| %s |' "$count"
    for ((n = 1; n <= 6; n++)); do
        printf ' %s |' "$(column "$T/runs-$count" $n)"
    done
    echo
done

# The same frames in one go, and the peer's way. Of the last burst's frames, the first ten.
frames=("$T"/frames/*.jpg)
frames=("${frames[@]:0:10}")
say "parfocal stack, ${#frames[@]} frames of $SIZE MP"
for ((run = 1; run <= RUNS; run++)); do
    measured "$T/ours" "$PARFOCAL" stack "${frames[@]}" -o "$T/ours.tif"
done
echo
echo "## $SIZE MP x ${#frames[@]}, all at once"
echo
echo "| | wall s | CPU s | peak MB |"
echo "|---|---|---|---|"
echo "| parfocal stack | $(column "$T/ours" 1) | $(column "$T/ours" 2) | $(megabytes "$T/ours") |"
PEER=${PEER:-$RUNS}
for ((run = 1; run <= PEER; run++)); do
    say "align_image_stack and enfuse, ${#frames[@]} frames of $SIZE MP, run $run"
    measured "$T/peer" bash -c 'align_image_stack -m -a "$0/aligned_" "$@" &&
        enfuse --exposure-weight=0 --saturation-weight=0 --contrast-weight=1 --hard-mask \
            -o "$0/peer.tif" "$0"/aligned_*.tif' "$T" "${frames[@]}"
done
[ "$PEER" = 0 ] ||
    echo "| align_image_stack + enfuse | $(column "$T/peer" 1) | $(column "$T/peer" 2) | $(megabytes "$T/peer") |"
