#!/bin/bash
# Driving a camera: its settings, one shot, a focus bracket; with a service and without.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

# On the camera made last, which no service has.
directly()
{
    "$PARFOCAL" "$1" --source "camera:$camera_port" --state "$T/state" --spool "$T/spool" "${@:2}"
}

# Through the service.
asked()
{
    "$PARFOCAL" "$1" --state "$T/state" "${@:2}"
}

focus_is() # POSITION DRIVEN
{
    [ "$(tell focus)" = "$1 $2" ] || fail "the focus is at $(tell focus) instead of $1 $2"
}

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
    check "$(published)/stack.json" '.fused == 6'
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

# Until covered: a scene of which the command is told nothing but where the focus is at first.

# make_scene [GENERATOR OPTIONS]: pictures from well before the scene to well behind it, a twentieth of
# its depth apart; the truth about it in truth/truth.json. EXIF says that they were taken in reverse, so
# that only the focus tells their order.
make_scene()
{
    mkdir truth
    "$GENERATE" --out files --truth-dir truth --no-truth-pictures --width 768 --height 512 \
        --frames 33 --focus-from -0.3 --focus-to 1.3 --start 2026-01-02T03:14:05 --interval -1 \
        --threads 2 "$@" >/dev/null
}

# What was shot, each a step apart, covers the scene's depth, with two frames more than the least from
# that start at most, and MORE where they are needed. covers_the_scene STEP [MORE]
covers_the_scene()
{
    tell list | tr '|' '\n' | awk 'NF { print $3 }' | sed 's,.*/,,' >shots
    jq -rn --slurpfile truth truth/truth.json --rawfile shots shots --argjson step "$1" \
        --argjson more "${2:-0}" '
        ($truth[0].frames | map({(.file): .focus}) | add) as $focus
        | [$shots | split("\n")[] | select(. != "") | $focus[.]] as $at
        | $truth[0].depths as [$near, $far]
        | ([($at[0] - $near) / $step - 0.5 | ceil, 0] | max) as $before
        | ([($far - $at[0]) / $step - 0.5 | ceil, 0] | max) as $beyond
        | {from: ($at | min), to: ($at | max), frames: ($at | length), least: (1 + $before + $beyond)}
        | . + {near: $near, far: $far,
               covers: (.from <= $near + 0.6 * $step and .to >= $far - 0.6 * $step),
               few: (.frames <= .least + 2 + $more)}' >covers
    cat covers
    [ "$(jq '.covers and .few' covers)" = true ] || fail "$(jq -c . covers)"
}

test_until_covered()
{
    make_scene --seed 2
    camera body files --profile nikon --steps 10
    serve_camera --gap 1
    asked bracket --until-covered --step 20 --settle 0 >out
    grep -qE '^[0-9]+ frames of at most 200: covered$' out || fail "$(cat out)"
    [ "$(tell focus | cut -d' ' -f1)" = 0 ] || fail "the focus is at $(tell focus)"
    covers_the_scene 0.1
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '.complete == "finished by hand" and .aside == 0'
    check "$(published)/stack.json" '[.frames[].focus_at] == [range(.frames | length)]'
    check "$(published)/stack.json" '.coverage.skipped == [] and .coverage.before == [] and .coverage.beyond == []'
}

# It begins in the middle of the subject, and goes nearer than that when the far end is passed; with an
# engine of its own, for there is no service. The next one takes the frames in the order of their focus.
test_until_covered_from_within_without_a_service()
{
    make_scene --seed 2 --scene bristles
    camera body files --profile nikon --steps 10 --focus 160
    directly bracket --until-covered --frames 40 --step 20 --settle 0 >out 2>err
    grep -qE '^[0-9]+ frames of at most 40: covered$' out || fail "$(cat out err)"
    grep -q '^frame 5 of at most 40$' err
    [ "$(tell focus | cut -d' ' -f1)" = 160 ] || fail "the focus is at $(tell focus)"
    covers_the_scene 0.1
    serve_camera
    await_stacks 1 40
    stop_service
    check "$(published)/stack.json" '[.frames[].focus_at] == ([.frames[].focus_at] | sort) and .frames[0].focus_at < 0'
    check "$(published)/stack.json" '.aside == 0'
}

# The lens jumps: a plane is skipped. It is shot afterwards, and has its place between the two.
test_until_covered_where_a_plane_was_skipped()
{
    make_scene --seed 2
    camera body files --profile nikon --steps 10 --focus 40
    tell jump 20 6
    serve_camera
    asked bracket --until-covered --step 20 --settle 0 >out
    covers_the_scene 0.1
    await_stacks 1 40
    await_log 'a focal plane was skipped between .*TEST0007.JPG and .*TEST0008.JPG'
    stop_service
    check "$(published)/stack.json" '[.frames[].focus_at] == [0, 1, 2, 3, 4, 5, 6, 6.5, 7, 8, 9]'
    check "$(published)/stack.json" '.aside == 0 and .coverage.skipped == []'
}

# The limit holds; Canon's steps have sizes.
test_until_covered_has_a_limit()
{
    make_scene --seed 2 --frames 17 # a tenth apart
    camera body files --profile canon --steps 5
    serve_camera
    expect_status 1 asked bracket --until-covered --frames 6 --step 2 --settle 0
    grep -q 'the limit of 6 frames has come before all was covered' err
    grep -qx '6 of 6 frames' out
    [ "$(tell focus | cut -d' ' -f1)" = 0 ] || fail "the focus is at $(tell focus)"
    await_stacks 1 40
    stop_service
}

# The focus of the other makers, each by its own setting, with what libgphoto2 has of them.
# drives_focus PROFILE MODEL STEP MOTOR_STEPS: four frames, MOTOR_STEPS apart, in their order, and back.
drives_focus()
{
    local sizes
    make_burst files --frames 5
    camera body files --profile "$1" --model "$2" --steps "$4"
    directly bracket --frames 4 --step "$3" --settle 0 >out 2>err || fail "$(cat out err)"
    grep -qx '4 of 4 frames' out || fail "$(cat out)"
    focus_is 0 6
    sizes=$(find spool -type f -name '*.*' ! -name '.*' -printf '%f %s\n' | sort | awk '{ print $2 }' | paste -sd,)
    [ "$sizes" = "$(stat -c %s files/* | head -n 4 | paste -sd,)" ] || fail "the focus has not chosen the pictures: $sizes"
}

test_focus_of_olympus()
{
    drives_focus olympus E-M1MarkII 2 14
}

test_focus_of_panasonic()
{
    drives_focus panasonic DC-GH5 2 5
    expect_status 1 directly bracket --frames 4 --step 3
    grep -q 'sizes of a step from 1 to 2' err
}

test_focus_of_sony()
{
    drives_focus sony ILCE-7RM4 3 3
    expect_status 1 directly bracket --frames 4 --step 8
    grep -q 'steps from 1 to 7' err
}

# libgphoto2 2.5.30 drives Fujifilm's autofocus alone.
test_focus_of_fuji_cannot_be_driven()
{
    make_burst files --frames 1
    camera body files --profile fuji --model X-T3
    expect_status 1 directly bracket --frames 4 --step 1
    grep -q 'the focus of this camera (FUJIFILM) cannot be driven' err || fail "$(cat err)"
}

test_capture_target_by_maker()
{
    make_burst files --frames 1
    camera body files --profile nikon
    target_is()
    {
        directly camera get capturetarget "${@:2}" >target
        [ "$(head -n 1 target)" = "$1" ] || fail "${*:2}: $(cat target)"
    }
    target_is 'Memory card'
    target_is 'Internal RAM' --capture-target-of Canon:leave --capture-target-of nikon:memory
    target_is 'Memory card' --capture-target memory --capture-target-of Nikon:card
    expect_status 2 directly camera list --capture-target-of Nikon:tape
    grep -q 'must be MAKER:card|memory|leave' err || fail "$(cat err)"
}
