# parfocal serve: bursts that become stacks.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

test_a_burst_becomes_a_stack()
{
    make_burst burst --make Acme --model "Macro One" --serial 4711 --lens "90mm F2.8" \
        --start 2026-01-02T03:04:05 --offset +01:00
    mkdir_inbox
    serve --expected-frames 5
    drop burst/*.jpg
    await_stacks 1
    local dir json
    dir=$(published) json=$(published)/stack.json
    [ -s "$dir/stack.tif" ] || fail "no stack"
    [ -s "$dir/depth.png" ] || fail "no depth map"
    check "$json" '.burst == ("'"${dir##*/}"'")'
    check "$json" '.version == 1 and .complete == "expected count" and (.parfocal | length > 0)'
    check "$json" '.camera == {make: "Acme", model: "Macro One", serial: "4711", lens: "90mm F2.8"}'
    check "$json" '.first == "2026-01-02T02:04:05.000Z" and .last == "2026-01-02T02:04:05.800Z"'
    check "$json" '.settings.align == "auto" and .settings.motion == "similarity" and
        .settings.fuse == "pyramid" and .settings.format == "tiff" and .settings.depth_map == true and
        .settings.jpeg_quality == 95 and .settings.equalise == false and .settings.min_correlation == 0.55'
    check "$json" '.fused == 5 and .aside == 0 and (.frames | length) == 5'
    check "$json" '[.frames[].capture_ms] == ([.frames[].capture_ms] | sort)'
    check "$json" '[.frames[].path] == ([.frames[].path] | sort)'
    check "$json" '[.frames[] | select(.reference)] | length == 1'
    check "$json" '[.frames[] | .aligned_by == (if .reference then null else "ecc" end)] | all'
    check "$json" '[.frames[] | .verdict == "fused" and .reason == "" and .attempts == 0 and
        (.identity | length) == 49 and .size_bytes > 1000 and .format == "jpeg" and
        .width == 320 and .height == 240 and .orientation == 1 and .focal_mm > 0 and .f_number > 0 and
        .exposure_s > 0 and .iso > 0 and (.captured | endswith("Z")) and .counter >= 0 and
        .focus.laplacian_variance > 0 and .focus.tenengrad > 0 and .focus.modified_laplacian > 0 and
        (.focus.grid | length) == 256 and (.transform | length) == 9 and .gain > 0 and
        .correlation > 0.5 and .decode_ms >= 0 and .fuse_ms >= 0 and
        (has("event") or has("burst") or has("frame") | not)] | all'
    check "$json" '.output.stack.name == "stack.tif" and .output.stack.width == 320 and
        .output.stack.height == 240 and .output.stack.bits == 16 and .output.depth.name == "depth.png"'
    check "$json" '.engine.device == "cpu" and .engine.threads >= 1 and (.engine.version | length > 0)'
    await_log 'stack published: .*5 frames fused; [0-9.]+ s after the last frame'
    stop_service
    [ -z "$leftovers" ] || fail "left over: $leftovers"
    # What the photographer has read meanwhile.
    log_says 'capture folder:.*: inotify, ok' || fail "no word of the source"
    log_says 'frame .*: 0.0 MB, 320 x 240' || fail "no word of the frame"
    log_says 'it is the reference of' || fail "no word of the reference"
    log_says 'sharpness [0-9.]+; aligned: shift [0-9.]+ px, correlation 0\.[0-9]+' ||
        log_says 'sharpness [0-9.]+; aligned: shift [0-9.]+ px, correlation 1\.0' ||
        fail "no word of the alignment"
    log_says 'burst .* complete: 5 frames \(expected count\)' || fail "no word of the completion"
    log_lacks ' (error|warning) '
}

test_gap_completes_a_burst()
{
    make_burst burst
    mkdir_inbox
    serve --format png --no-depth-map
    drop burst/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.complete == "gap" and .fused == 5 and .output.depth == null'
    [ -s "$(published)/stack.png" ] || fail "no stack"
    [ ! -e "$(published)/depth.png" ] || fail "a depth map that nobody wanted"
    stop_service
}

# Someone says that it is finished: no silence is waited for.
test_burst_is_finished_by_hand()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600
    await_log 'worker ready'
    kill -USR1 "$started"
    await_log 'no burst is open'
    drop burst/*.jpg
    wait_for 20 frames_are 5
    kill -USR1 "$started"
    await_stacks 1
    check "$(published)/stack.json" '.complete == "finished by hand" and .fused == 5'
    stop_service
}

frames_are()
{
    [ "$(grep -ac ' frame .*: .* MB' "$T/service.err")" -eq "$1" ]
}

test_late_frame_makes_a_new_version()
{
    make_burst burst
    mkdir_inbox
    serve
    local files=(burst/*.jpg)
    drop "${files[@]:0:4}"
    await_stacks 1
    drop "${files[4]}"
    await_stacks 2
    local first second
    first=$(published | sed -n 1p) second=$(published | sed -n 2p)
    [ "$second" = "$first-v2" ] || fail "published: $(published)"
    check "$first/stack.json" '.version == 1 and .fused == 4'
    check "$second/stack.json" '.version == 2 and .fused == 5 and (.frames | length) == 5'
    [ "$(jq .burst "$first/stack.json")" = "$(jq .burst "$second/stack.json")" ] || fail "two bursts"
    # Nothing more comes of it, after a restart either.
    stop_service
    serve
    await_log 'capture folder:.*: inotify, ok'
    make_burst other --serial 2 --seed 9
    drop_into=other drop other/*.jpg
    await_stacks 3
    stop_service
    [ "$(published | wc -l)" -eq 3 ] || fail "published: $(published)"
}

# What is said of a version that is out counts its own frames, and none that has come since.
test_a_frame_that_comes_while_a_version_is_written_is_not_set_aside()
{
    local worker
    make_burst burst
    mkdir_inbox
    cat >hook <<'HOOK'
#!/bin/sh
echo "$PARFOCAL_VERSION $PARFOCAL_FRAMES $PARFOCAL_FUSED $PARFOCAL_ASIDE" >>"$(dirname "$0")/told"
HOOK
    chmod +x hook
    serve --on-burst "$T/hook" --gap 8 --log-level debug
    local files=(burst/*.jpg)
    drop "${files[@]:0:4}"
    await_ahead 4
    worker=$(child_pid process)
    kill -STOP "$worker"
    await_log 'complete: 4 frames'
    sleep 0.5 # the directory is made, and the worker has been told
    drop "${files[4]}"
    await_log 'frame IMG_0005.jpg'
    sleep 0.5
    kill -CONT "$worker"
    await_stacks 1
    await_log 'IMG_0005.jpg scored'
    kill -USR1 "$started" # it would wait three times as long for another late one
    await_stacks 2
    wait_for 20 grep -q '^2 ' told
    stop_service
    grep -a 'stack published' service.err
    grep -aqE 'stack published: .*-1 \(4 frames fused;' service.err || fail "version 1 is told wrongly"
    grep -aqE 'stack published: .*-v2 \(5 frames fused;' service.err || fail "version 2 is told wrongly"
    [ "$(cat told)" = "$(printf '1 4 4 0\n2 5 5 0')" ] || fail "the hook was told: $(cat told)"
}

test_two_cards_with_the_same_names()
{
    make_burst burst --frames 6 --name 'IMG_%04d'
    mkdir_inbox
    local files=(burst/*.jpg) i
    mkdir -p card1 card2
    for i in 0 1 2; do
        cp "${files[i]}" "card1/IMG_000$i.jpg"
        cp "${files[i + 3]}" "card2/IMG_000$i.jpg"
    done
    serve --expected-frames 6
    drop_into=card1 drop card1/*
    drop_into=card2 drop card2/*
    await_stacks 1
    check "$(published)/stack.json" '.fused == 6 and ([.frames[].path | split("/")[-1]] | unique | length) == 3'
    check "$(published)/stack.json" '[.frames[].identity] | unique | length == 6'
    stop_service
}

test_corrupt_frames_do_not_stop_a_burst()
{
    make_burst burst --frames 6
    mkdir_inbox
    local files=(burst/*.jpg) size i
    # Whole by its end, spoilt in the middle.
    size=$(stat -c %s "${files[2]}")
    # Ones only are no code of any table; a byte 255 is followed by 0 in a picture's data.
    for i in {1..500}; do printf '\xff\x00'; done |
        dd of="${files[2]}" bs=1 seek=$((size / 2)) conv=notrunc status=none
    serve --incomplete-after 1
    : >inbox/empty.jpg
    head -c 2000 "${files[5]}" >inbox/cut.jpg
    drop "${files[@]:0:5}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 4 and .aside == 1'
    check "$(published)/stack.json" '.frames[2].verdict == "aside" and (.frames[2].reason | length > 5)'
    await_log 'cut.jpg: rejected: '
    stop_service
    log_says "${files[2]##*/} set aside: " || fail "no word of the corrupt frame"
}

test_two_sources_and_two_cameras()
{
    make_burst one --serial 1 --seed 1 --name 'A_%04d'
    make_burst two --serial 2 --seed 2 --name 'B_%04d'
    make_burst three --serial 3 --seed 3 --name 'C_%04d'
    mkdir -p inbox card
    serve --source "folder:$T/card" --expected-frames 5
    local a=(one/*.jpg) b=(two/*.jpg) i
    for i in 0 1 2 3 4; do # two cameras shooting at the same time
        drop "${a[i]}" "${b[i]}"
        cp three/C_*"$((i + 1))".jpg card/
    done
    await_stacks 3
    local dir letters
    for dir in $(published); do
        check "$dir/stack.json" '.fused == 5'
        letters=$(jq -r '.frames[].path | split("/")[-1][0:1]' "$dir/stack.json" | sort -u)
        [ ${#letters} -eq 1 ] || fail "mixed: $letters"
        check "$dir/stack.json" '.camera.serial == ({A: "1", B: "2", C: "3"})["'"$letters"'"]'
    done
    stop_service
    [ "$(published | wc -l)" -eq 3 ] || fail "published: $(published)"
}

# A flash that was not charged for the first frame lends the stack nothing.
test_first_frame_of_another_exposure()
{
    make_burst burst --frames 6 --misfire 0.5
    mkdir_inbox
    drop burst/*.jpg
    serve
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 1 and (.frames[1:] | any(.reference)) and
        (.frames[0] | .verdict == "aside" and .cause == "unlike" and .reference == false and
            (.reason | startswith("exposed unlike the others: 2.2 stops darker")))'
    stop_service
}

test_first_frames_that_are_another_picture()
{
    # Two of them, which fit each other: the larger group is the burst.
    make_burst stray --frames 2 --scene board --seed 77 --name A_stray%d --start 2026-01-02T03:04:05
    make_burst burst --name 'B_%04d' --start 2026-01-02T03:04:06
    local files=(burst/*.jpg) stray='.frames[:2] | all(.verdict == "aside" and .cause == "unlike" and
        (.reason | startswith("unlike the others")) and .reference == false and
        (.focus.grid | length == 256))'
    mkdir_inbox
    drop stray/*.jpg
    serve
    await_log 'burst .* begins with A_stray'
    drop "${files[@]:0:4}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 4 and .aside == 2'
    check "$(published)/stack.json" "$stray"
    stop_service
    # It is known after a restart, with its scores.
    serve
    drop "${files[4]}"
    await_stacks 2
    check "$(published | tail -n 1)/stack.json" '.version == 2 and .fused == 5 and .aside == 2'
    check "$(published | tail -n 1)/stack.json" "$stray"
    stop_service
}

test_frames_that_do_not_fit_are_no_stack()
{
    local i
    for i in 1 2 3; do
        make_burst "single$i" --frames 1 --scene board --seed "5$i" --name "S_$i-%d" \
            --start "2026-01-02T03:04:0$i"
    done
    mkdir_inbox
    serve
    drop single*/*.jpg
    await_log 'burst .* failed: only [01] of 3 frames could be used'
    stop_service
    [ -z "$(published)" ] || fail "published: $(published)"
    [ -z "$leftovers" ] || fail "left over: $leftovers"
}

test_too_few_frames_are_no_stack()
{
    make_burst burst --frames 2
    mkdir_inbox
    serve --gap 0.5
    drop burst/*.jpg
    await_log 'burst .* is not a stack: 2 frames, fewer than 3'
    stop_service
    [ -z "$(published)" ] || fail "published: $(published)"
}

test_the_outbox_may_lie_in_the_inbox()
{
    make_burst burst
    mkdir_inbox
    start service "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/inbox/results" \
        --state "$T/inbox/state" --settle 0.1 --gap 1 --format jpeg --expected-frames 5 \
        --rescan-interval 0.3
    drop burst/*.jpg
    has_result()
    {
        find inbox/results -name stack.jpg 2>/dev/null | grep -q .
    }
    wait_for 30 has_result
    make_burst other --serial 2 --seed 5
    drop other/*.jpg
    await_log 'stack published' 30
    wait_for 30 eval '[ "$(grep -c "stack published" service.err)" -eq 2 ]'
    stop service
    [ "$stopped" -eq 0 ] || fail "status $stopped"
    log_lacks 'frame stack.jpg'
    log_lacks 'frame depth.png'
}

test_wrong_options()
{
    expect_status 2 "$PARFOCAL" serve
    grep -q -- '--source folder:' err || fail "does not say how: $(cat err)"
    expect_status 2 "$PARFOCAL" serve --source camera:
    expect_status 2 "$PARFOCAL" serve --source folder:a --source folder:a
    expect_status 2 "$PARFOCAL" serve --source folder:a --gap soon
    expect_status 2 "$PARFOCAL" serve --source folder:a operand
    expect_status 2 "$PARFOCAL" serve --source folder:a --otbox x
    grep -q -- '--outbox' err || fail "no suggestion: $(cat err)"
    echo 'gap = 1' >c.ini
    echo 'nonsense = 1' >>c.ini
    expect_status 2 "$PARFOCAL" serve -c c.ini
    grep -q 'c.ini:2' err || fail "no line: $(cat err)"
    mkdir outbox
    : >state
    expect_status 1 "$PARFOCAL" serve --source folder:a --state "$T/state"
}

test_two_services_on_one_state_directory()
{
    mkdir_inbox
    serve
    await_log 'capture folder:.*: inotify, ok'
    expect_status 1 "$PARFOCAL" serve --source "folder:$T/inbox" --state "$T/state" \
        --outbox "$T/outbox"
    stop_service
}

test_a_burst_of_raw_becomes_a_stack()
{
    make_burst burst --format dng --serial 4711
    mkdir_inbox
    serve --expected-frames 5
    drop burst/*.dng
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and .camera.serial == "4711" and
        ([.frames[] | .format == "dng" and .width == 320 and .height == 240 and .iso == 200] | all)'
    [ "$(published | wc -l)" = 1 ] || fail "more than one stack"
    stop_service
}

# The photographer hears of a skipped plane before the burst is over, in whatever order frames come.
test_skipped_plane_is_told_while_the_burst_runs()
{
    local file
    "$GENERATE" --out burst --no-truth --scene textured --width 768 --height 512 --frames 10 \
        --interval 0.2
    rm burst/IMG_0005.jpg burst/IMG_0006.jpg
    mkdir_inbox
    mkdir scratch
    serve --gap 100 --expected-frames 8 --scratch scratch # below where it is started, as all paths may be
    for file in burst/IMG_000{1,3,4,2,7,8,9}.jpg; do
        drop "$file"
        await_log "${file##*/} scored"
    done
    await_log 'a focal plane was skipped between IMG_0004.jpg and IMG_0007.jpg'
    [ "$(published | wc -l)" -eq 0 ] || fail "the burst was over already"
    drop burst/IMG_0010.jpg
    await_stacks 1
    check "$(published)/stack.json" '.frames as $f | .coverage |
        .skipped == [[$f[3].identity, $f[4].identity]] and .before == [] and .detail > 200 and
        (.winner | length) == 256 and ([.curve[].frame] == [$f[].identity]) and
        ([$f[] | has("coverage")] | any | not)'
    stop_service
    [ "$(grep -ac 'plane was skipped' service.err)" -eq 1 ] || fail "told more than once"
}

# A small one before the frame is decoded, then a larger one; within their space, or not at all.
test_thumbnails_of_every_frame()
{
    need exiftool
    make_burst burst --width 1000 --height 750 --orientation 6
    mkdir_inbox
    mkdir -p state/thumbnails
    head -c 1M /dev/zero >state/thumbnails/old.jpg
    touch -d '2020-01-01' state/thumbnails/old.jpg
    serve --expected-frames 5 --thumbnails 1 --log-level debug
    drop burst/*.jpg
    await_stacks 1
    local id
    for id in $(jq -r '.frames[].identity' "$(published)/stack.json"); do
        [ "$(exiftool -s3 -ImageSize "state/thumbnails/$id.small.jpg")" = 120x160 ] || fail "small"
        [ "$(exiftool -s3 -ImageSize "state/thumbnails/$id.jpg")" = 600x800 ] || fail "large"
        [ -z "$(exiftool -s3 -Make -Model "state/thumbnails/$id.jpg")" ] || fail "EXIF"
    done
    [ ! -e state/thumbnails/old.jpg ] || fail "the oldest is still there"
    [ "$(ls state/thumbnails | wc -l)" = 10 ] || fail "$(ls state/thumbnails)"
    # Small, then large, whenever it is scored; and all before the stack.
    local first
    for first in $(cd burst && echo *.jpg); do
        [ "$(grep -aE "$first: thumbnail|stack published" service.err |
            sed 's/.*stack published.*/P/; s/.*small.jpg/S/; s/.*thumbnail.*/L/' | tr -d '\n')" = SLP ] ||
            fail "order: $(grep -a "$first" service.err)"
    done
    stop_service
    serve --thumbnails 0
    await_log 'worker ready'
    [ ! -e state/thumbnails ] || fail "there should be none"
    stop_service
}
