#!/bin/bash
# Files that nobody means to stack, among the frames of a burst: each has its verdict, and the stack is
# what it would be without them. (What each kind of picture is refused for: tests/unit/test_codec.c and
# test_odd.c.)
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

# numbers BYTES NUMBER...: little endian
numbers()
{
    local bytes=$1 number i
    shift
    for number in "$@"; do
        for ((i = 0; i < bytes; i++)); do
            printf '%b' "\\x$(printf %02x $((number >> 8 * i & 255)))"
        done
    done
}

# plain_tiff WIDTH HEIGHT FILE [TAG VALUE]: grey of 8 bits, every byte 20; a tag of its own
plain_tiff()
{
    local tag tags
    tags=("256 $1" "257 $2" "258 8" "259 1" "262 1" "273 200" "277 1" "278 $2" "279 $(($1 * $2))")
    [ $# -lt 5 ] || tags=("${tags[@]/#$4 */$4 $5}")
    {
        printf 'II*\0'
        numbers 4 8
        numbers 2 ${#tags[@]}
        for tag in "${tags[@]}"; do
            numbers 2 "${tag% *}" 4
            numbers 4 1 "${tag#* }"
        done
        numbers 4 0
        head -c 78 /dev/zero
        head -c $(($1 * $2)) /dev/zero | tr '\0' '\024'
    } >"$3"
}

# make_odd_files DIR: those that are pictures of a kind, and those that are none
make_odd_files()
{
    local small="--width 320 --height 240 --frames 1 --no-truth"
    mkdir -p "$1"
    "$GENERATE" --out other --scene board --seed 91 $small >/dev/null
    "$GENERATE" --out size --width 200 --height 160 --frames 1 --no-truth >/dev/null
    "$GENERATE" --out tiff --format tiff $small >/dev/null
    "$GENERATE" --out png --format png $small >/dev/null
    "$GENERATE" --out dng --format dng $small >/dev/null
    cp other/*.jpg "$1/unrelated.jpg"
    cp size/*.jpg "$1/size.jpg"
    plain_tiff 320 240 "$1/black.tif"
    plain_tiff 1 1 "$1/dot.tif"
    plain_tiff 60000 1 "$1/line.tif"
    plain_tiff 60000 60 "$1/wide.tif"
    plain_tiff 320 240 "$1/palette.tif" 262 3
    plain_tiff 320 240 "$1/bits.tif" 258 12
    plain_tiff 320 240 "$1/liar.tif" 256 60000
    head -c 5000 other/*.jpg >"$1/cut.jpg"
    head -c 30000 tiff/*.tif >"$1/cut.tif"
    head -c 30000 png/*.png >"$1/cut.png"
    head -c 60000 dng/*.dng >"$1/cut.dng"
    { head -c 3000 other/*.jpg && head -c 9000 /dev/urandom && tail -c +12001 other/*.jpg; } >"$1/noise.jpg"
    make_bomb "$1/bomb.jpg"
    printf 'no picture\n' >"$1/text.jpg"
    : >"$1/empty.jpg"
}

test_odd_files_have_no_part_in_a_stack()
{
    need jq
    make_burst burst
    make_odd_files odd
    mkdir odd/folder.jpg
    mkfifo odd/pipe.jpg
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o alone.png
    expect_status 0 "$PARFOCAL" stack odd/b*.jpg burst/*.jpg odd/[!b]* odd/b*.tif -o out.png --json \
        --max-megapixels 80
    jq -r '.frames[] | select(.path | startswith("odd")) | "\(.path): \(.verdict) \(.cause) \(.reason)"' out
    jq -e '(.frames | map(select(.path | startswith("burst"))) | length == 5 and
        all(.verdict == "fused")) and
        (.frames | map(select(.path | startswith("odd"))) | length == 19 and
            all(.verdict == "aside" and (.reason | length > 10)))' out >/dev/null || fail "verdicts"
    cmp out.png alone.png || fail "they have left a trace"
    # The same of them alone: no stack, and the reason.
    expect_status 1 "$PARFOCAL" stack odd/* -o none.png
    grep -q 'no stack: [01] of 19 frames' err || fail "$(tail -n 1 err)"
    [ ! -e none.png ] || fail "a stack of odd files"
}

test_odd_files_do_not_stop_the_service()
{
    make_burst burst
    make_odd_files odd
    mkdir_inbox
    mkdir inbox/folder.jpg
    mkfifo inbox/pipe.jpg
    serve --max-megapixels 80 --incomplete-after 1 --min-frames 2
    await_log 'capture folder:.*: inotify, ok'
    drop odd/*
    local name
    for name in odd/*; do # each is told of, one way or the other
        await_log "${name##*/}"
    done
    drop burst/*.jpg
    fused_five()
    {
        local dir
        for dir in $(published); do
            [ "$(jq '[.frames[] | select(.verdict == "fused")] | length' "$dir/stack.json")" != 5 ] ||
                return 0
        done
        return 1
    }
    wait_for 40 fused_five
    [ "$(published | wc -l)" -eq 1 ] || fail "published: $(published)"
    jq -e '[.frames[] | select(.verdict == "fused") | .path | test("IMG_")] | all' \
        "$(published)/stack.json" >/dev/null || fail "an odd file is in the stack"
    stop_service
    log_lacks 'the worker has ended'
}
