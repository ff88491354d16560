#!/bin/bash
# capture: what the watching of a folder must survive. Rows of the failure cases: 1, 2, 5, 6, 7,
# 12, 13, 14, 20.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/capture.inc"

test_row01_queue_overflow()
{
    inbox
    local most i
    most=$(cat /proc/sys/fs/inotify/max_queued_events)
    [ "$most" -le 50000 ] || skip "max_queued_events is $most"
    capture
    freeze
    for ((i = 0; i < most / 2 + 500; i++)); do
        : >"$IN/$i.txt" # two events each
    done
    cp made/* "$IN" # of these none
    thaw
    wait_for 30 enough_frames 4
    grep -q "too many events" capture.err || fail "no overflow was seen: $(cat capture.err)"
    [ "$(grep -c "too many events" capture.err)" -le 2 ] || fail "a flood: $(cat capture.err)"
    expect_frames 4
    [ "$(count scanned)" -le 3 ] || fail "$(count scanned) scans"
    expect_alive
}

test_row02_fuse_is_polled()
{
    inbox
    need bindfs fusermount3
    mkdir below mounted
    bindfs below mounted 2>mount.err || skip "no FUSE mount here: $(cat mount.err)"
    at_end fusermount3 -u -z "$T/mounted"
    IN=$T/mounted
    capture
    status_is mode polling || fail "mode is $(last_status mode)"
    status_is state ok || fail "state is $(last_status state)"
    last_status reason | grep -q FUSE || fail "reason: $(last_status reason)"
    cp made/* below
    wait_for 30 enough_frames 4
    expect_frames 4
}

test_row02_fuse_beneath_the_folder_is_polled()
{
    inbox
    need bindfs fusermount3
    mkdir below "$IN/share"
    bindfs below "$IN/share" 2>mount.err || skip "no FUSE mount here: $(cat mount.err)"
    at_end fusermount3 -u -z "$IN/share"
    capture
    status_is mode inotify || fail "mode is $(last_status mode)"
    last_status reason | grep -q "share is FUSE" || fail "reason: $(last_status reason)"
    cp made/IMG_0001.jpg "$IN"
    cp made/IMG_0002.jpg below
    expect_frames 2
}

test_row02_overlay_is_polled()
{
    inbox
    mkdir lower upper work merged tmp
    mount -t tmpfs none tmp 2>mount.err || skip "nothing can be mounted here: $(cat mount.err)"
    mkdir tmp/upper tmp/work
    mount -t overlay overlay -o "lowerdir=$T/lower,upperdir=$T/tmp/upper,workdir=$T/tmp/work" \
        merged 2>mount.err || skip "no overlay here: $(cat mount.err)"
    IN=$T/merged
    capture
    status_is mode polling || fail "mode is $(last_status mode)"
    cp made/IMG_0001.jpg lower # raises no event in merged
    cp made/IMG_0002.jpg merged
    expect_frames 2
}

test_poll_setting_overrides()
{
    inbox
    capture --poll always
    status_is mode polling || fail "mode is $(last_status mode)"
    status_is watches 0 || fail "$(last_status watches) watches"
    mkdir "$IN/later"
    cp made/* "$IN/later"
    expect_frames 4
}

test_row05_folders_moved_or_filled_before_their_watch()
{
    inbox 8
    capture
    local i
    mkdir -p whole/deep/deeper
    cp made/IMG_0001.jpg whole
    cp made/IMG_0002.jpg whole/deep
    cp made/IMG_0003.jpg whole/deep/deeper
    mv whole "$IN/whole"
    mkdir -p other/a/b
    cp made/IMG_0004.jpg other/a/b
    cp -a other "$IN/other"
    for i in 5 6 7 8; do
        mkdir -p "$IN/quick-$i/x/y"
        cp "made/IMG_000$i.jpg" "$IN/quick-$i/x/y"
    done
    wait_for 30 enough_frames 8
    # A folder that has been moved within stays watched, under its new name.
    mv "$IN/whole/deep" "$IN/moved"
    wait_for 30 said frame "$IN/moved/deeper/IMG_0003.jpg"
    cp made/IMG_0001.jpg "$IN/moved/deeper/late.jpg"
    wait_for 30 said frame "$IN/moved/deeper/late.jpg"
}

test_not_recursive_when_told_so()
{
    inbox
    mkdir "$IN/sub"
    cp made/IMG_0001.jpg "$IN/sub"
    capture --no-recursive
    cp made/IMG_0002.jpg "$IN"
    cp made/IMG_0003.jpg "$IN/sub"
    expect_frames 1
}

test_row06_files_that_came_while_it_was_away()
{
    inbox
    cp made/IMG_0001.jpg made/IMG_0002.jpg "$IN"
    capture
    expect_count 2 frame
    stop capture
    mv capture.out before
    cp made/IMG_0003.jpg "$IN"

    # Told what is recorded, it reports only the new one.
    mkfifo input
    setsid "$PARFOCAL" capture "folder:$IN" "${capture_options[@]}" <input >capture.out 2>capture.err &
    local pid=$! status=0
    exec 5>input
    # Not by jq, which rounds nanoseconds; fields that are not asked for are ignored.
    sed -n 's/"event":"frame"/"cmd":"known"/p' before >&5
    echo '{"cmd":"unheard of"}' >&5
    echo 'not JSON' >&5
    [ ! -s capture.out ] || fail "it began before it was told to: $(cat capture.out)"
    echo '{"cmd":"start"}' >&5
    wait_for 30 said scanned
    expect_count 1 frame
    expect_count 1 frame IMG_0003.jpg
    grep -q 'unheard of' capture.err || fail "the unknown command is not named"
    cp made/IMG_0004.jpg "$IN"
    wait_for 30 said frame IMG_0004.jpg
    echo '{"cmd":"scan"}' >&5
    wait_for 30 has_count 2 scanned
    expect_count 2 frame
    # The end of its input ends it.
    exec 5>&-
    wait "$pid" || status=$?
    [ $status -eq 0 ] || fail "status $status"
}

test_row06_order_of_a_burst_found_by_a_scan()
{
    inbox 12
    cp made/* "$IN"
    touch -d '2026-01-01 00:00:00' "$IN"/*
    touch -d '2025-12-31 00:00:00' "$IN/IMG_0012.jpg"
    mv "$IN/IMG_0002.jpg" "$IN/IMG_2.jpg"
    capture
    grep -a '"event":"frame"' capture.out | jq -r .path | sed 's:.*/::' >order
    { echo IMG_0012.jpg; echo IMG_0001.jpg; echo IMG_2.jpg; printf 'IMG_%04d.jpg\n' {3..11}; } |
        cmp - order || fail "order: $(cat order)"
}

test_row07_watch_limit_reached()
{
    inbox
    local limited
    limited='echo 4 >/proc/sys/user/max_inotify_watches && exec "$@"'
    unshare -U -r sh -c "$limited" sh true 2>unshare.err ||
        skip "no user namespace with limits here: $(cat unshare.err)"
    mkdir -p "$IN"/{1..9}
    under_capture=(unshare -U -r sh -c "$limited" sh)
    capture
    status_is state degraded || fail "state is $(last_status state)"
    status_is mode polling || fail "mode is $(last_status mode)"
    last_status reason | grep -q max_user_watches || fail "reason: $(last_status reason)"
    ! said status '"state":"ok"' || fail "it was said to be well"
    for i in 1 2 3 4; do
        cp "made/IMG_000$i.jpg" "$IN/$((i + 5))"
    done
    expect_frames 4
    status_is state degraded || fail "state is $(last_status state)"
    # Said once, whatever is told of files on their way, and taken back when there is room again.
    [ "$(grep -c 'degraded: watch limit reached' capture.err)" -eq 1 ] || fail "said again: $(cat capture.err)"
    rmdir "$IN"/{1..5}
    rm -r "$IN"/{6..9}
    wait_for 30 status_is state ok
    status_is mode inotify || fail "mode is $(last_status mode)"
}

test_row07_no_inotify_instance_left()
{
    inbox
    local limited='echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    unshare -U -r sh -c "$limited" sh true 2>unshare.err ||
        skip "no user namespace with limits here: $(cat unshare.err)"
    under_capture=(unshare -U -r sh -c "$limited" sh)
    capture
    status_is state degraded || fail "state is $(last_status state)"
    status_is mode polling || fail "mode is $(last_status mode)"
    cp made/* "$IN"
    expect_frames 4
    # It is said once; what may come again is that files are waited for.
    [ "$(grep -a '"event":"status"' "$T/capture.out" | jq -c 'del(.pending)' | sort -u | wc -l)" -eq 1 ] ||
        fail "another status: $(grep -a '"event":"status"' "$T/capture.out")"
}

test_row12_folder_renamed_away_and_made_again()
{
    inbox
    IN=$IN/watched
    mkdir "$IN"
    capture
    cp made/IMG_0001.jpg "$IN"
    wait_for 30 said frame IMG_0001.jpg
    mv "$IN" "$IN.old"
    wait_for 30 status_is state missing
    mkdir "$IN"
    wait_for 30 status_is state ok
    cp made/IMG_0002.jpg "$IN"
    wait_for 30 said frame "$IN/IMG_0002.jpg"
    # What happens in the old one is nobody's business.
    cp made/IMG_0003.jpg "$IN.old"
    # While it cannot look, so that it never sees it missing.
    freeze
    mv "$IN" "$IN.older"
    mkdir "$IN"
    thaw
    cp made/IMG_0004.jpg "$IN"
    wait_for 30 said frame "$IN/IMG_0004.jpg"
    expect_count 3 status # ok, missing, ok
    pass_marker
    expect_count 0 frame IMG_0003.jpg
}

test_folder_missing_at_first()
{
    inbox
    IN=$IN/later
    start capture "$PARFOCAL" capture "folder:$IN" "${capture_options[@]}"
    wait_for 30 said status '"state":"missing"'
    mkdir "$IN"
    cp made/* "$IN"
    expect_frames 4
    status_is state ok || fail "state is $(last_status state)"
}

test_row13_mount_over_the_folder_and_away_again()
{
    inbox
    capture
    cp made/IMG_0001.jpg "$IN"
    wait_for 30 said frame IMG_0001.jpg
    mount -t tmpfs none "$IN" 2>mount.err || skip "nothing can be mounted here: $(cat mount.err)"
    cp made/IMG_0002.jpg "$IN"
    wait_for 30 said frame IMG_0002.jpg
    umount -l "$IN"
    cp made/IMG_0003.jpg "$IN"
    wait_for 30 said frame IMG_0003.jpg
    # A mount beneath, where no watch of ours can see it come.
    mkdir "$IN/card"
    pass_marker
    mount -t tmpfs none "$IN/card"
    cp made/IMG_0004.jpg "$IN/card"
    wait_for 30 said frame card/IMG_0004.jpg
    umount -l "$IN/card"
    expect_frames 4
}

test_row14_missing_mount_forgets_nothing()
{
    inbox
    mkdir store
    cp made/* store
    mount --bind store "$IN" 2>mount.err || skip "nothing can be mounted here: $(cat mount.err)"
    capture
    wait_for 30 enough_frames 4
    umount -l "$IN"
    pass_marker # the empty mount point is what is watched now
    mount --bind store "$IN"
    pass_marker
    expect_frames 4 # none was reported twice
    ls made | while read -r name; do
        cmp "made/$name" "store/$name" || fail "$name was touched"
    done
}

test_row20_clock_jumps_while_running()
{
    inbox
    need faketime
    local library
    library=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -1)
    [ -n "$library" ] || skip "libfaketime is not installed"
    case $SAN in *thread*) skip "libfaketime does not run under ThreadSanitizer" ;; esac
    echo +0 >clock
    under_capture=(env "LD_PRELOAD=$library" "FAKETIME_TIMESTAMP_FILE=$T/clock" FAKETIME_NO_CACHE=1
        FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
        "ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0")
    capture
    head -c 3000 made/IMG_0001.jpg >"$IN/IMG_0001.jpg" # its end is missing
    cp made/IMG_0002.jpg "$IN"
    pass_marker
    echo +30d >clock # an hour of patience is not over because a clock says so
    cp made/IMG_0003.jpg "$IN"
    pass_marker
    echo -30d >clock
    cp made/IMG_0004.jpg "$IN"
    pass_marker
    tail -c +3001 made/IMG_0001.jpg >>"$IN/IMG_0001.jpg"
    expect_frames 4
    expect_count 0 rejected
    grep -a '"event":"frame"' capture.out | jq .arrival_ms >arrivals
    sort -n -c arrivals || fail "arrival times run backwards: $(cat arrivals)"
}

test_row20_in_a_time_namespace()
{
    inbox
    unshare -T --monotonic 100000000 true 2>unshare.err ||
        skip "no time namespace here: $(cat unshare.err)"
    under_capture=(unshare -T --monotonic 100000000)
    capture
    cp made/* "$IN"
    expect_frames 4
}

test_own_folders_are_not_fed_back()
{
    inbox
    mkdir -p "$IN/results/burst"
    cp made/IMG_0001.jpg "$IN/results/burst"
    capture --outbox "$IN/results" --state "$IN/journal" # the latter is made later
    cp made/IMG_0002.jpg "$IN/results/burst"
    mkdir -p "$IN/journal/deep"
    cp made/IMG_0003.jpg "$IN/journal"
    cp made/IMG_0003.jpg "$IN/journal/deep"
    cp made/IMG_0004.jpg "$IN"
    expect_frames 1
    # Made anew, it is another folder with the same meaning.
    mv "$IN/results" away
    mkdir "$IN/results"
    cp made/IMG_0003.jpg "$IN/results"
    expect_frames 1
    expect_status 1 "$PARFOCAL" capture "folder:$IN" --outbox "$IN"
    grep -q outbox err || fail "$(cat err)"
}

# A folder within the folder that is a source of its own is left to that, however either is written.
test_another_source_within_is_left_to_it()
{
    inbox
    mkdir -p "$IN/cam1/deep" "$IN/cam10"
    cp made/IMG_0001.jpg "$IN/cam1"
    capture --source "folder:$IN//./" --source "folder:$IN/./cam1/" --source "folder:$IN/none" --source "folder:$T" --source camera
    cp made/IMG_0002.jpg "$IN/cam1/deep"
    cp made/IMG_0003.jpg "$IN/cam10"
    cp made/IMG_0004.jpg "$IN"
    pass_marker
    expect_count 0 frame cam1/
    mv "$IN/cam1" "$IN/moved" # its place alone is another's
    expect_frames 4
    mkdir "$IN/cam1"
    cp made/IMG_0001.jpg "$IN/cam1/again.jpg"
    pass_marker
    expect_count 0 frame again.jpg
}

# Nothing but the Software that they name tells them from a camera's pictures.
test_results_are_left_alone()
{
    inbox
    mkdir "$IN/kept"
    local name
    for name in stack.jpg stack.png stack.tif; do
        "$PARFOCAL" stack made/*.jpg -o "$IN/kept/$name" --depth-map "$IN/kept/$name.depth.png" \
            --frame-map "$IN/kept/$name.frames.png" --confidence-map "$IN/kept/$name.confidence.png" >out 2>&1 ||
            fail "$(cat out)"
    done
    capture
    cp made/IMG_0001.jpg "$IN"
    expect_frames 1
    [ "$(ls "$IN/kept" | wc -l)" -eq 12 ] || fail "$(ls "$IN/kept")"
    [ "$(grep -c 'left alone' capture.err)" -eq 1 ] || fail "$(cat capture.err)"
    expect_count 0 rejected
}

test_command_line()
{
    expect_status 2 "$PARFOCAL" capture
    expect_status 2 "$PARFOCAL" capture "$T"
    expect_status 2 "$PARFOCAL" capture folder:
    expect_status 2 "$PARFOCAL" capture folder:a folder:b
    expect_status 2 "$PARFOCAL" capture folder:a --no-such-option
    expect_status 2 "$PARFOCAL" capture folder:a --settle soon
}
