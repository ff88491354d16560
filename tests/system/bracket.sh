#!/bin/bash
# Driving a camera: its settings, one shot, a focus bracket; with a service and without.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

test_settings_are_listed_read_and_set()
{
    make_burst files --frames 2
    camera body files --profile nikon --model 'NIKON Z 8'
    directly camera list >list
    grep -qx 'batterylevel = 80%  (to be read only)' list
    grep -qx 'cameramodel = NIKON Z 8  (to be read only)' list
    directly camera get capturetarget | grep -qx '  Internal RAM'
    directly camera set capturetarget 'Internal RAM' | head -n 1 | grep -qx 'Internal RAM'
    expect_status 1 directly camera set capturetarget Tape
    grep -q 'capturetarget cannot be "Tape"' err
    expect_status 1 directly camera set manualfocusdrive 99999
    expect_status 1 directly camera get nosuchsetting
    grep -q 'has no setting nosuchsetting' err
    expect_status 2 directly camera get
    expect_status 2 directly camera frobnicate
    [ "$(tell list)" = '' ] || fail "something was shot"
    directly camera trigger
    tell list | grep -q TEST0001.JPG || fail "nothing was shot"
}

# Quirk 10: what libgphoto2 would translate stays as the makers have it, to be read and to be understood.
test_quirk_10_words_are_not_translated()
{
    [ -e /usr/share/locale/de/LC_MESSAGES/libgphoto2-6.mo ] || skip "libgphoto2-l10n is not installed"
    need localedef gettext
    make_burst files --frames 3
    camera body files --profile nikon
    mkdir locale
    localedef -i de_DE -f UTF-8 "$PWD/locale/de_DE.UTF-8" 2>/dev/null || skip "no German locale can be made"
    export LOCPATH=$PWD/locale LC_ALL=de_DE.UTF-8 LC_MESSAGES=de_DE.UTF-8 LANGUAGE=de
    [ "$(gettext -d libgphoto2-6 'Memory card')" = Speicherkarte ] || skip "the translation is not found here"
    keep_drivers_leaks
    directly camera get capturetarget >target
    grep -qx '  Memory card' target || fail "$(cat target)"
    camera eos files --profile canon --steps 1
    directly bracket --frames 3 --step 1 --settle 0 2>/dev/null | grep -qx '3 of 3 frames'
    focus_is 0 4
}

test_nikon_through_the_service()
{
    make_burst files --frames 6
    camera body files --profile nikon --steps 100
    serve_camera --gap 60
    asked bracket --frames 6 --step 100 --settle 20 >out 2>err
    grep -qx '6 of 6 frames' out
    [ "$(grep -c '^frame . of 6$' err)" = 6 ] || fail "no progress: $(cat err)"
    focus_is 0 10
    await_stacks 1 40 # though the gap is a minute: the burst is known to be over
    stop_service
    check "$(published)/stack.json" '.fused == 6 and .complete == "expected count"'
    # The focus has chosen the pictures, in their order.
    check "$(published)/stack.json" '[.frames[].size_bytes] == ['"$(stat -c %s files/* | paste -sd,)"']'
}

# The frames give the same stack as from a folder.
test_canon_as_good_as_a_folder()
{
    make_burst files --frames 5
    camera body files --profile canon --model 'Canon EOS R5' --steps 5
    serve_camera --gap 60 --format png
    asked bracket --frames 5 --step 2 --settle 20
    focus_is 0 8
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '.fused == 5'
    "$PARFOCAL" stack files/* -o folder.png 2>/dev/null
    cmp "$(published)/stack.png" folder.png || fail "the stacks differ"
}

test_without_a_service()
{
    make_burst files --frames 3
    camera body files --profile canon --steps 1
    directly bracket --frames 3 --step 1 --settle 0 2>/dev/null | grep -qx '3 of 3 frames'
    focus_is 0 4
    [ "$(find spool -name '*.JPG' | wc -l)" = 3 ] || fail "not all frames are in the spool"
    serve_camera # which takes them from there
    await_stacks 1 40
    stop_service
}

# There is no watchdog then: the process of a camera that hangs is killed.
test_without_a_service_what_hangs_is_ended()
{
    make_burst files --frames 30
    camera body files --profile nikon --steps 10
    start bracket "$PARFOCAL" bracket --source "camera:$camera_port" --outbox outbox --state state \
        --spool spool --frames 30 --step 10 --settle 50
    at_end cat bracket.err
    wait_for 20 grep -q 'frame 3 of 30' bracket.err
    tell hang 1
    kill -INT "$(cat bracket.pid)"
    wait_for 20 grep -q 'stopping' bracket.err
    # At once: what hangs is not waited for, which would take ten seconds.
    local from=$SECONDS
    stop bracket INT
    [ "$stopped" = 1 ] || fail "status $stopped"
    grep -q interrupted bracket.err
    [ $((SECONDS - from)) -lt 9 ] || fail "it took $((SECONDS - from)) s"
}

test_dry_run_shoots_nothing()
{
    make_burst files --frames 3
    camera body files --profile canon
    directly bracket --frames 3 --step -2 --dry-run >out
    grep -q 'manualfocusdrive by -2' out
    [ -z "$(tell list)" ] || fail "something was shot"
    focus_is 0 0
}

test_what_cannot_be_driven()
{
    make_burst files --frames 3
    camera body files
    expect_status 1 directly bracket --frames 3 --step 2
    grep -q 'the focus of this camera (Parfocal) cannot be driven' err
    camera eos files --profile canon
    expect_status 1 directly bracket --frames 3 --step 4
    grep -q 'sizes of a step from 1 to 3' err
    expect_status 2 directly bracket --frames 1 --step 1
    expect_status 2 directly bracket --frames 3
    expect_status 2 directly bracket --step 3 --frames 3 --nonsense
}

test_the_end_of_the_way()
{
    make_burst files --frames 3
    camera body files --profile nikon
    expect_status 1 directly bracket --frames 3 --step -10 --settle 0
    grep -q 'manual focus at limit' err
    grep -qx '1 of 3 frames' out
}

# So does a service that is stopped, as it is for an upgrade.
test_a_service_that_is_stopped()
{
    make_burst files --frames 30
    camera body files --profile nikon --steps 10
    serve_camera --gap 60
    start bracket "$PARFOCAL" bracket --state "$T/state" --frames 30 --step 10 --settle 50
    wait_for 20 grep -q 'frame 3 of 30' bracket.err
    stop_service
    stop bracket
    [ "$(tell focus | cut -d' ' -f1)" = 0 ] || fail "the focus is at $(tell focus)"
    await_log 'bracket has ended: .*cancelled'
    [ "$(tell count 1003)" = "$(tell count 1002)" ] || fail "its session was not closed"
}

# Ctrl-C ends it in order: the focus goes back, the burst is closed and stacked.
test_interrupted()
{
    make_burst files --frames 30
    camera body files --profile nikon --steps 10
    serve_camera --gap 60
    start bracket "$PARFOCAL" bracket --state "$T/state" --frames 30 --step 10 --settle 200
    at_end cat bracket.err bracket.out
    wait_for 20 grep -q 'frame 4 of 30' bracket.err
    stop bracket INT
    [ "$stopped" = 1 ] || fail "status $stopped"
    grep -q 'cancelled' bracket.err
    [ "$(tell focus | cut -d' ' -f1)" = 0 ] || fail "the focus is at $(tell focus)"
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '.fused >= 4 and .fused < 30'
}

# The client is gone without a word.
test_a_client_that_dies()
{
    make_burst files --frames 30
    camera body files --profile nikon --steps 10
    serve_camera --gap 60
    start bracket "$PARFOCAL" bracket --state "$T/state" --frames 30 --step 10 --settle 200
    wait_for 20 grep -q 'frame 4 of 30' bracket.err
    stop bracket KILL
    await_log 'bracket has ended: .*cancelled'
    await_stacks 1 40
    stop_service
}

test_a_link_that_drops_in_the_middle()
{
    make_burst files --frames 6
    camera body files --profile nikon --steps 100
    serve_camera --gap 60
    tell drop 2 5000
    tell lose 1
    asked bracket --frames 6 --step 100 --settle 20 >out
    grep -qx '6 of 6 frames' out
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '.fused == 6 and ([.frames[].size_bytes] == ['"$(stat -c %s files/* | paste -sd,)"'])'
}

# Quirk 9: pictures in the camera's memory are numbered from zero in every session; quirk 11: RAW and
# JPEG of one shot have different numbers there.
test_quirk_9_names_of_a_memory()
{
    need sqlite3
    make_burst files --frames 4
    make_burst files --frames 4 --format dng
    camera body files --profile nikon
    tell pairs 1
    serve_camera --capture-target memory --hold 5
    asked camera trigger
    asked camera trigger
    two()
    {
        [ "$(grep -ac 'is its companion' service.err)" = 2 ]
    }
    wait_for 30 two
    tell unplug # the numbers begin again
    await_log 'it is looked for again'
    tell plug
    await_ok()
    {
        [ "$(grep -ac 'serial number' service.err)" -ge 2 ]
    }
    wait_for 30 await_ok
    asked camera trigger
    asked camera trigger
    four()
    {
        [ "$(sqlite3 -readonly state/journal.sqlite "SELECT count(*) FROM frames WHERE scores LIKE '%companion_of%'")" = 4 ]
    }
    wait_for 30 four
    stop_service
    [ "$(find spool -name '*capt*' | wc -l)" = 8 ] || fail "not eight files: $(find spool)"
    [ -z "$(tell list)" ] || fail "they are on the card"
}

# RAW and JPEG of a shot are one frame of the bracket, which is complete with the last of them; what was shot
# by hand right before is another burst.
test_a_bracket_of_pairs()
{
    make_burst files --frames 6
    make_burst files --frames 6 --format dng
    camera body files --profile nikon
    tell pairs 1
    serve_camera --gap 60 --hold 3
    asked camera trigger
    await_log 'is its companion'
    asked bracket --frames 5 --step 10 --settle 20 >out
    grep -qx '5 of 5 frames' out
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '.fused == 5 and .complete == "expected count" and [.frames[].focus_at] == [0, 1, 2, 3, 4]'
    check "$(published)/stack.json" '[.frames[] | select(.companion)] | length >= 4'
}

# A RAW of another source waits for its JPEG meanwhile: the end of the bracket is none of its wait.
test_a_bracket_leaves_what_others_wait_for()
{
    make_burst files --frames 3
    make_burst shot --frames 1 --start 2026-01-02T04:00:00 --name shot-%02d
    make_burst shot --frames 1 --start 2026-01-02T04:00:00 --name shot-%02d --format dng
    mkdir_inbox
    camera body files --profile nikon
    serve_camera --gap 60 --hold 60 --source "folder:$T/inbox"
    await_log 'inotify, ok'
    drop shot/*.dng
    await_log 'frame shot-01.dng: '
    asked bracket --frames 3 --step 10 --settle 20 >out
    await_stacks 1 40
    drop shot/*.jpg
    await_log 'frame shot-01.dng: of the same shot as one that is stacked'
    await_log 'begins with shot-01.jpg'
    stop_service
}
