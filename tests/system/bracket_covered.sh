#!/bin/bash
# Focus brackets that go on until the subject is covered.
# not under a sanitizer: brackets and what is covered are each tested elsewhere
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

# Until covered: a scene of which the command is told nothing but where the focus is at first.

# make_scene [GENERATOR OPTIONS]: pictures from well before the scene to well behind it, a twentieth of
# its depth apart; the truth about it in truth/truth.json. EXIF says that they were taken in reverse, so
# that only the focus tells their order.
make_scene()
{
    mkdir truth
    "$GENERATE" --out files --truth-dir truth --no-truth-pictures --width 480 --height 320 \
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
    make_scene --seed 2 --width 768 --height 512 # smaller pictures do not show it
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
