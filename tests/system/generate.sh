#!/bin/bash
# What scripts are given for "$GENERATE": the generator's own pictures, made once (generate.bash).
. "${BASH_SOURCE%/*}/lib.sh"

SMALL=(--no-truth --width 64 --height 48 --frames 2)

keep_here()
{
    mkdir kept
    export PICTURES=$T/kept
}

test_kept_pictures_are_those_of_the_generator()
{
    keep_here
    "$GENERATOR" --out own "${SMALL[@]}"
    "$GENERATE" --out first "${SMALL[@]}"
    "$GENERATE" "${SMALL[@]}" --out second
    "$GENERATE" --out other "${SMALL[@]}" --seed 5
    diff -r own first && diff -r own second || fail "others than the generator's"
    [ "$(find kept -name '*.jpg' | wc -l)" = 4 ] || fail "made again: $(ls -A kept)"
    ! cmp -s own/IMG_0001.jpg other/IMG_0001.jpg || fail "other options give the same"
    [ "$(ls -A kept | grep -c '^\.')" = 0 ] || fail "left behind: $(ls -A kept)"
}

test_what_is_done_to_a_copy_is_done_to_no_other()
{
    keep_here
    "$GENERATE" --out first "${SMALL[@]}"
    cp -r first before
    echo changed >>first/IMG_0001.jpg
    rm first/IMG_0002.jpg
    "$GENERATE" --out second "${SMALL[@]}"
    diff -r before second || fail "changed"
}

test_two_that_make_the_same_at_once_have_it_whole()
{
    keep_here
    local i
    for i in 1 2 3 4; do
        start "make$i" "$GENERATE" --out "out$i" "${SMALL[@]}"
    done
    for i in 1 2 3 4; do
        stopped=0
        wait "$(cat "make$i.pid")" || stopped=$?
        [ $stopped = 0 ] || fail "status $stopped: $(cat "make$i.err")"
        diff -r out1 "out$i" || fail "not the same"
    done
    [ "$(find kept -name '*.jpg' | wc -l)" = 2 ] || fail "kept twice: $(find kept)"
}

test_failure_is_told_and_not_kept()
{
    keep_here
    expect_status 2 "$GENERATE" --out bad --frames none
    expect_status 2 "$GENERATE" --out bad --frames none
    [ -z "$(ls -A kept)" ] || fail "kept: $(ls -A kept)"
    unset PICTURES
    expect_status 0 "$GENERATE" --out good "${SMALL[@]}"
    [ -e good/IMG_0002.jpg ] || fail "nothing made where nothing is kept"
}
