#!/bin/bash
# `parfocal process`: commands on standard input, events on standard output.
. "${BASH_SOURCE%/*}/lib.sh"

frames()
{
    local dir=$1
    shift
    "$GENERATE" --out "$dir" --no-truth --scene textured --width 320 --height 240 --frames 3 "$@" \
        >/dev/null
}

# say CMD BURST [JQ FIELDS]: one command line
say()
{
    jq -nc --arg cmd "$1" --arg burst "$2" '{$cmd, $burst} + {'"${3-}"'}'
}

# add BURST FRAME PATH
add()
{
    say add "$1" "frame: \"$2\", path: \"$3\""
}

# The worker on the commands of the file `commands`, events to `events`; without the warming up that
# comes before the first of them on machines where there is something to warm up.
work()
{
    local status=0
    timeout 120 "$PARFOCAL" process "$@" <commands >all_events 2>log || status=$?
    [ $status -eq 0 ] || { cat log; fail "status $status"; }
    jq -es 'all(type == "object")' all_events >/dev/null || fail "events are not objects"
    jq -c 'select(.event != "warming")' all_events >events
}

# holds JQ: of the array of all events
holds()
{
    jq -es "$1" events >/dev/null || { jq -c 'del(.focus)' events; fail "does not hold: $1"; }
}

test_burst_from_open_to_finish()
{
    need jq exiftool
    frames in
    mkdir out
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open b 'align: "ecc", motion: "similarity", min_correlation: 0.5, fuse: "pyramid", depth_map: true'
        add b f1 "${files[0]}"
        add b f2 "${files[1]}"
        say preview b 'path: "'"$T/preview.jpg"'", max_width: 100'
        add b f3 "${files[2]}"
        say finish b 'dir: "'"$T/out"'", format: "png", jpeg_quality: 90, depth_map: true,
            order: ["f1", "f2", "f3"], sidecar: {burst: "b", frames: [{identity: "f1", iso: 100}]}'
        say drop b
    } >commands
    work
    holds '.[0].event == "ready" and .[0].device == "cpu" and .[0].threads >= 1 and .[0].version'
    holds '[.[] | select(.event == "frame")] | map(.frame) == ["f1", "f2", "f3"] and
        all(.verdict == "fused" and .burst == "b" and (.transform | length == 9) and
            (.focus.grid | length == 256) and .width == 320 and .height == 240)'
    # Each frame is announced before its result.
    holds 'to_entries as $e | ["f1", "f2", "f3"] | all(. as $f |
        ($e | map(select(.value.event == "decoding" and .value.frame == $f))[0].key) <
        ($e | map(select(.value.event == "frame" and .value.frame == $f))[0].key))'
    # The preview stands between the frames it was asked between.
    holds '[.[] | select(.event == "frame" or .event == "preview") | .event] ==
        ["frame", "frame", "preview", "frame"]'
    holds '.[-1] | .event == "finished" and .fused == 3 and .aside == 0 and .finish_ms > 0 and
        ([.files[].name] == ["stack.png", "depth.png", "stack.json"]) and
        (.files | all(.size_bytes > 0))'
    [ "$(ls out | tr '\n' ' ')" = "depth.png stack.json stack.png " ] || fail "files: $(ls out)"
    [ "$(jq -r '.[-1].files[] | "\(.size_bytes) \(.name)"' -s events)" = \
        "$(cd out && stat -c '%s %n' stack.png depth.png stack.json)" ] || fail "sizes of the files"
    jq -e '.burst == "b" and .frames == [{identity: "f1", iso: 100}] and
        .output.stack.name == "stack.png" and .output.stack.width == 320 and
        .output.stack.bits == 16 and .output.depth.bits == 16 and .engine.threads >= 1' \
        out/stack.json >/dev/null || fail "stack.json"
    [ "$(exiftool -s3 -ImageSize out/stack.png preview.jpg | tr '\n' ' ')" != "" ] || fail "images"
    [ "$(exiftool -s3 -ImageWidth preview.jpg)" -le 100 ] || fail "the preview is too wide"
    [ -z "$(find . -name '*.part')" ] || fail "a part was left"
}

test_maps_that_are_wanted_and_those_that_are_not_to_be_had()
{
    need jq
    frames in
    mkdir all none
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open a 'confidence_map: true, frame_map: true'
        say open b 'fuse: "average", clip: 2.5'
        for i in 0 1 2; do
            add a "f$i" "${files[i]}"
            add b "f$i" "${files[i]}"
        done
        say finish a 'dir: "'"$T/all"'", format: "png", confidence_map: true, frame_map: true,
            order: ["f2", "f0", "f1"]'
        say finish b 'dir: "'"$T/none"'", format: "png", depth_map: true, frame_map: true'
    } >commands
    work
    holds '[.[] | select(.event == "finished") | [.files[].name]] ==
        [["stack.png", "depth.png", "confidence.png", "frames.png", "stack.json"],
         ["stack.png", "stack.json"]]'
    jq -e '.output.confidence.name == "confidence.png" and .output.frame_map.name == "frames.png" and
        .output.frame_map.frames == ["f2", "f0", "f1"]' all/stack.json >/dev/null || fail "all maps"
    jq -e '.output | .depth == null and .confidence == null and .frame_map == null' \
        none/stack.json >/dev/null || fail "no maps"
    [ "$(ls none | tr '\n' ' ')" = "stack.json stack.png " ] || fail "files: $(ls none)"
}

test_several_bursts_at_once()
{
    need jq
    frames a
    frames b --seed 7
    mkdir out-a out-b
    mapfile -t left < <(ls "$T"/a/*.jpg)
    mapfile -t right < <(ls "$T"/b/*.jpg)
    {
        say open a
        say open b 'depth_map: false'
        for i in 0 1 2; do
            add a "a$i" "${left[i]}"
            add b "b$i" "${right[i]}"
        done
        say finish b 'dir: "'"$T/out-b"'", format: "jpeg", depth_map: false'
        say finish a 'dir: "'"$T/out-a"'", format: "tiff", order: ["a2", "a1", "a0"]'
    } >commands
    work
    holds '[.[] | select(.event == "finished") | [.burst, .fused]] == [["b", 3], ["a", 3]]'
    [ "$(ls out-b | tr '\n' ' ')" = "stack.jpg stack.json " ] || fail "b: $(ls out-b)"
    [ "$(ls out-a | tr '\n' ' ')" = "depth.png stack.json stack.tif " ] || fail "a: $(ls out-a)"
}

test_order_of_capture_rules_the_depth_map()
{
    need jq
    frames in
    mkdir up down same
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open b
        add b f2 "${files[1]}"
        add b f1 "${files[0]}"
        add b f3 "${files[2]}"
        say finish b 'dir: "'"$T/up"'", order: ["f1", "f2", "f3"]'
        say finish b 'dir: "'"$T/down"'", order: ["f3", "f2", "f1"]'
        say finish b 'dir: "'"$T/same"'", order: ["f1", "other", "f2", "f3"]'
    } >commands
    work
    cmp -s up/depth.png same/depth.png || fail "a frame that is not there changes the map"
    ! cmp -s up/depth.png down/depth.png || fail "the order has no effect"
    cmp -s up/stack.tif down/stack.tif || fail "the stack depends on the order"
}

test_row15_corrupt_frames_are_set_aside_and_the_burst_goes_on()
{
    need jq
    frames in
    mkdir out
    mapfile -t files < <(ls "$T"/in/*.jpg)
    head -c 2000 "${files[1]}" >cut.jpg
    echo text >text.jpg
    {
        say open b
        add b f1 "${files[0]}"
        add b cut "$T/cut.jpg"
        add b text "$T/text.jpg"
        add b f2 "${files[2]}"
        say finish b 'dir: "'"$T/out"'"'
    } >commands
    work --max-megapixels 1
    holds '[.[] | select(.event == "frame") | .verdict] == ["fused", "aside", "aside", "fused"]'
    holds '[.[] | select(.verdict == "aside") | .reason] |
        (.[0] | test("cut.jpg.*early")) and (.[1] | test("text.jpg.*not a JPEG"))'
    holds '.[-1] | .event == "finished" and .fused == 2 and .aside == 2'
    frames large --width 1300 --height 800 --frames 1
    {
        say open b
        add b large "$(ls "$T"/large/*.jpg)"
    } >commands
    work --max-megapixels 1
    holds '.[-1] | .verdict == "aside" and (.reason | test("1300 x 800"))'
}

test_missing_file_fails_and_takes_the_stack_with_it()
{
    need jq
    frames in
    mkdir out
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open b
        add b f1 "${files[0]}"
        add b gone "$T/gone.jpg"
        add b f2 "${files[1]}"
        say finish b 'dir: "'"$T/out"'"'
        say drop b
        say open b
        add b f1 "${files[0]}"
        add b f2 "${files[1]}"
        say finish b 'dir: "'"$T/out"'", depth_map: false'
    } >commands
    work
    holds '[.[] | select(.event == "failed")] | map([.cmd, .frame, .code]) ==
        [["add", "gone", 2], ["add", "f2", 22], ["finish", null, 22]] and
        (.[0].reason | test("gone.jpg.*No such file"))'
    holds '.[-1] | .event == "finished" and .fused == 2'
}

test_senseless_commands()
{
    need jq
    frames in
    {
        echo 'no json'
        echo '[1, 2]'
        echo '{"cmd": "dance", "burst": "b"}'
        echo '{"cmd": "open"}'
        echo '{"burst": "b"}'
        say open b 'align: "never"'
        say open b 'min_correlation: 7'
        say open b
        say open b
        say add b
        say finish b
        say finish b 'dir: "'"$T"'"'
        say finish b 'dir: "'"$T"'", format: 5'
        say preview b
        say preview b 'path: "'"$T/preview.jpg"'", max_width: -4'
        say drop nobody
    } >commands
    work
    holds '[.[] | select(.event == "failed") | .cmd] | sort == ["add", "finish", "finish", "finish",
        "open", "open", "open", "open", "preview", "preview"]'
    holds '[.[] | select(.event == "failed") | .reason] | all(length > 5)'
    holds '[.[] | select(.reason // "" | test("ecc"))] | length == 1'
    [ "$(grep -c 'not a JSON object' log)" = 2 ] || fail "lines that are no objects"
    grep -q 'unknown command dance' log || fail "unknown command"
    [ ! -e stack.json ] && [ ! -e preview.jpg ] || fail "something was written"
}

test_full_disk_is_told_and_the_stack_stays_open()
{
    need jq
    mkdir disk out
    mount -t tmpfs -o size=256k tmpfs disk 2>/dev/null || skip "no tmpfs can be mounted here"
    frames in
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open b
        for i in 0 1 2; do
            add b "f$i" "${files[i]}"
        done
        say finish b 'dir: "'"$T/disk"'", format: "tiff"'
        say preview b 'path: "'"$T/disk/no/preview.jpg"'"'
        say finish b 'dir: "'"$T/out"'", format: "tiff"'
    } >commands
    work
    holds '[.[] | select(.event == "failed")] | map([.cmd, .code]) == [["finish", 28], ["preview", 2]]'
    holds '.[-1] | .event == "finished" and .fused == 3'
    [ -z "$(ls -A disk)" ] || fail "left on the disk: $(ls -A disk)"
}

test_memory_limit_is_an_error_and_no_end()
{
    need jq
    [ -z "$SAN" ] || skip "a sanitizer needs its address space"
    frames in
    mapfile -t files < <(ls "$T"/in/*.jpg)
    # The head of a picture of 20000 x 19000 pixels.
    cp "${files[0]}" bomb.jpg
    local at
    at=$(LC_ALL=C grep -obUaP '\xff\xc0\x00\x11\x08' bomb.jpg | tail -1 | cut -d: -f1)
    printf '\x4a\x38\x4e\x20' | dd of=bomb.jpg bs=1 seek=$((at + 5)) conv=notrunc status=none
    {
        say open a
        add a bomb "$T/bomb.jpg"
        say drop a
        say open b
        add b f1 "${files[0]}"
        add b f2 "${files[1]}"
    } >commands
    work --worker-memory 400
    holds '[.[] | select(.event == "failed")] == []'
    holds '[.[] | select(.event == "frame") | .verdict] == ["aside", "fused", "fused"]'
    holds '[.[] | select(.frame == "bomb" and .event == "frame") | .reason | test("no room for .* MB")] == [true]'
    {
        say open a
        add a bomb "$T/bomb.jpg"
    } >commands
    work
    holds '[.[] | select(.event == "frame") | .verdict] == ["aside"]'
}

test_ends_when_nobody_reads()
{
    need jq
    frames in
    mapfile -t files < <(ls "$T"/in/*.jpg)
    {
        say open b
        jq -nc 'range(200) as $i | {cmd: "add", burst: "b", frame: "f\($i)", path: $ARGS.positional[$i % 3]}' \
            --args "${files[@]}"
    } >commands
    # What it is told has no end, so that it can end for nothing else.
    mkfifo orders
    exec 8<>orders
    cat commands >&8
    timeout 60 "$PARFOCAL" process <orders 2>log | head -n 3 >events
    [ "${PIPESTATUS[0]}" -ne 124 ] || fail "still running"
    exec 8>&-
    [ "$(wc -l <events)" = 3 ] || fail "events"
}

test_empty_input_and_wrong_options()
{
    need jq
    : >commands
    work --threads 1
    holds 'length == 1 and .[0].event == "ready" and .[0].threads == 1'
    expect_status 2 "$PARFOCAL" process --no-such-thing
    expect_status 2 "$PARFOCAL" process operand
}
