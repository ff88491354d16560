#!/bin/bash
# How soon a frame is on the page: in a real browser, from the moment its file has its name in the
# folder. Prints Markdown for tests/bench/PAGE.md.
#
#   tests/bench/page.sh        environment: BUILD (build), SIZES ("2 24", megapixels), FRAMES (10),
#                              PACE (2 s), REPORT (a file; standard error)
#
# For each frame: when its place in the strip is there, when its score and verdict are, and when the
# preview with it is whole (the pace is slow enough that it is the next one that comes); and what of
# that was its processing (decoding, aligning, fusing, as the worker says). All settings of the
# service are the defaults.
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "$ROOT/tests/system/serve.bash"
. "$ROOT/tests/system/browser.bash"
SIZES=${SIZES:-2 24} FRAMES=${FRAMES:-10} PACE=${PACE:-2}
exec 3>"${REPORT:-/dev/stderr}"

# Notes in the page when what is looked for is painted for the first time: seen["IMG_0001.jpg"].
watcher='window.seen = {}; window.previews = [];
const note = (name, what) => { const s = seen[name] ||= {}; if (s[what]) return; s[what] = 1;
    requestAnimationFrame(() => setTimeout(() => { s[what] = Date.now(); })); };
new MutationObserver(() => {
    for (const f of document.querySelectorAll(".frame")) {
        const name = (f.getAttribute("aria-label") || "").match(/[\w-]+\.jpg/)?.[0];
        if (!name) continue;
        note(name, "place");
        if (/good|bad/.test(f.className)) note(name, "verdict");
    }
    const b = [...document.querySelectorAll(".layer-a .base")].pop();
    if (b && b.src && b.src.includes("preview") && previews.at(-1)?.src !== b.src) previews.push({src: b.src, at: Date.now()});
}).observe(document, {subtree: true, childList: true, attributes: true});'

measure() # MEGAPIXELS
{
    local file name written
    "$GENERATE" --out "$T/frames-$1" --no-truth --scene textured --megapixels "$1" --frames "$FRAMES" \
        --interval "$PACE" --seed 4 >/dev/null
    mkdir -p "$T/inbox-$1"
    start "service-$1" "$PARFOCAL" serve --source "folder:$T/inbox-$1" --outbox "$T/outbox-$1" \
        --state "$T/state-$1" --http 127.0.0.1:0
    wait_for 30 grep -q 'worker ready' "$T/service-$1.err"
    browser_go "$(sed -n 's|.*http: \(http://127[^ ]*\).*|\1|p' "$T/service-$1.err" | tail -n 1)"
    browser_await 30 'return document.body.innerText.includes("Waiting for the first frame")'
    for file in "$T/frames-$1"/*.jpg; do
        name=${file##*/}
        cp "$file" "$T/inbox-$1/.$name.part"
        mv "$T/inbox-$1/.$name.part" "$T/inbox-$1/$name"
        written=$(date +%s%3N)
        echo "$name $written" >>"$T/written-$1"
        sleep "$PACE"
    done
    browser_await 60 'return document.querySelectorAll(".frame.good, .frame.bad").length >= '"$FRAMES"
    sleep 1
    browser_js 'return {seen, previews}' >"$T/seen-$1.json"
    browser_js 'return fetch("/api/v1/bursts?limit=1").then((r) => r.json()).then((s) => fetch("/api/v1/bursts/" + s.bursts[0].id)).then((r) => r.json())' >"$T/burst-$1.json"
    stop "service-$1"
    jq -nr --arg mp "$1" --slurpfile seen "$T/seen-$1.json" --slurpfile burst "$T/burst-$1.json" --rawfile written "$T/written-$1" '
        def median: sort | .[(length / 2) | floor];
        def row(what; values): (values | "| \($mp) MP | \(what) | \(median) | \(max) |");
        [$written | split("\n")[] | select(. != "") | split(" ") | {name: .[0], at: (.[1] | tonumber)} |
            . as $w | ($burst[0].items[] | select(.name == $w.name)) as $f | $seen[0].seen[$w.name] as $s |
            {place: ($s.place - .at), verdict: ($s.verdict - .at),
             work: (($f.decode_ms // 0) + ($f.align_ms // 0) + ($f.fuse_ms // 0) | round),
             preview: ([$seen[0].previews[] | select($f.verdict == "fused" and .at >= $w.at)][0].at // null | if . then . - $w.at else null end)}] |
        row("its place in the strip"; [.[].place]), row("its score and verdict"; [.[].verdict]),
        row("its processing"; [.[].work]), row("score and verdict, less its processing"; [.[] | .verdict - .work]),
        row("the preview with it"; [.[].preview | select(. != null)])' >&3
}

test_page_latency()
{
    local size
    need_browser
    printf '| frames of | from written to | median, ms | most, ms |\n|---|---|---|---|\n' >&3
    browser_start 1440 900
    browser_cdp Page.addScriptToEvaluateOnNewDocument "$(jq -nc --arg source "$watcher" '{source: $source}')" >/dev/null
    for size in $SIZES; do
        measure "$size"
    done
}
