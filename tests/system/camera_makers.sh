#!/bin/bash
# Cameras of each maker: their focus, and where they put what they shoot.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

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
