#!/bin/bash
# `parfocal stack`: the engine without the service.
. "${BASH_SOURCE%/*}/lib.sh"

# frames DIR [GENERATOR OPTIONS]: four small frames of a bracket
frames()
{
    local dir=$1
    shift
    "$GENERATE" --out "$dir" --no-truth --scene textured --width 320 --height 240 --frames 4 "$@" \
        >/dev/null
}

identified()
{
    exiftool -s3 -"$2" "$1"
}

no_leftovers()
{
    local left
    left=$(find "$1" -name '*.part')
    [ -z "$left" ] || fail "left behind: $left"
}

test_stack_of_jpegs_with_depth_map()
{
    need exiftool
    frames in
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.tif --depth-map depth.png
    grep -q 'out.tif: 4 of 4 frames' out || fail "no result line"
    [ "$(grep -c 'fused' err)" = 4 ] || fail "not a line for every frame"
    [ "$(identified out.tif ImageSize)" = 320x240 ] || fail "size of the stack"
    [ "$(identified out.tif BitsPerSample)" = "16 16 16" ] || fail "bits of the stack"
    [ "$(identified out.tif Software)" = parfocal ] || fail "Software of the stack"
    [ "$(identified out.tif DateTimeOriginal)" = \
        "$(identified "$(ls in/*.jpg | head -1)" DateTimeOriginal)" ] || fail "EXIF of the reference"
    [ "$(identified depth.png ImageSize) $(identified depth.png BitDepth)" = "320x240 16" ] ||
        fail "depth map"
    no_leftovers .
}

test_json_is_one_document_with_everything()
{
    need jq
    frames in
    printf 'no picture' >in/zzz.jpg
    expect_status 0 "$PARFOCAL" stack --json in/*.jpg -o out.png --depth-map depth.png
    jq -e -s 'length == 1' out >/dev/null || fail "not one document"
    jq -e '
        (.frames | length == 5) and .fused == 4 and .aside == 1 and
        (.frames[:4] | all(.verdict == "fused" and .reason == null and
            (.identity | test("^[0-9a-f]{16}-[0-9a-f]{32}$")) and
            (.captured | test("^2026-01-02T03:04:[0-9.]{6}Z$")) and
            (.transform | length == 9) and (.focus.grid | length == 256) and
            .focus.laplacian_variance > 0 and .correlation > 0.5 and .gain > 0.5 and
            .width == 320 and .height == 240 and .decode_ms > 0 and .fuse_ms >= 0 and
            .align_ms >= 0)) and
        ([.frames[] | select(.reference)] | length == 1) and
        (.frames[4] | .verdict == "aside" and (.reason | test("not a JPEG"))) and
        .output.stack == {name: "out.png", width: 320, height: 240, bits: 16, format: "png",
            size_bytes: .output.stack.size_bytes} and
        .output.depth.name == "depth.png" and .engine.device == "cpu" and
        .settings.align == "auto"' out >/dev/null || { jq 'del(.frames[].focus.grid)' out; fail "contents"; }
    [ "$(jq .output.stack.size_bytes out)" = "$(stat -c %s out.png)" ] || fail "size in bytes"
    [ "$(jq -r '.frames[].path' out)" = "$(ls in/*.jpg)" ] || fail "paths"
}

test_every_map_lies_over_the_stack()
{
    need exiftool jq
    frames in
    expect_status 0 "$PARFOCAL" stack --json in/*.jpg -o out.png --depth-map depth.png \
        --confidence-map=sure.png --frame-map who.png
    local map
    for map in depth sure who; do
        [ "$(identified $map.png ImageSize) $(identified $map.png BitDepth)" = "320x240 16" ] ||
            fail "$map.png"
    done
    jq -e '.output.depth.name == "depth.png" and .output.confidence.name == "sure.png" and
        .output.frame_map.name == "who.png" and .output.frame_map.frames == [.frames[].path]' \
        out >/dev/null || { jq .output out; fail "what the sidecar says of maps"; }
    no_leftovers .
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o new.png --frame-map a.png --confidence-map a.png
    grep -q 'the frame map cannot be the confidence map' err || fail "no word of the same file"
    [ ! -e new.png ] || fail "something was written"
}

test_every_method_of_fusing()
{
    need jq
    frames in
    local method
    for method in pyramid soft-depth average; do
        expect_status 0 "$PARFOCAL" stack --json in/*.jpg -o $method.png --fuse $method
        jq -e --arg method $method '.fused == 4 and .settings.fuse == $method and
            .output.depth == null and .output.stack.width == 320' out >/dev/null || fail "$method"
    done
    ! cmp -s pyramid.png soft-depth.png && ! cmp -s soft-depth.png average.png ||
        fail "the method makes no difference"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.png --fuse average --depth-map depth.png
    grep -q 'an average has no depth map' err || fail "no word of the map"
    [ ! -e out.png ] || fail "something was written"
}

test_bad_files_are_named_and_the_others_stacked()
{
    frames in
    mapfile -t files < <(ls in/*.jpg)
    head -c 3000 "${files[1]}" >cut && mv cut "${files[1]}"
    : >in/empty.jpg
    expect_status 0 "$PARFOCAL" stack "${files[0]}" "${files[1]}" in/missing.jpg in/empty.jpg \
        "${files[2]}" "${files[3]}" -o out.jpg
    grep -q "set aside: .*${files[1]}.*early" err || fail "the truncated file is not named"
    grep -q "set aside: .*in/missing.jpg.*No such file" err || fail "the missing file is not named"
    grep -q "set aside: .*in/empty.jpg.*empty" err || fail "the empty file is not named"
    grep -q '3 of 6 frames' out || fail "result"
}

# A camera's white balance that wanders is matched; a burst without drift gets no cast, whatever its
# defocus does to colours and highlights.
test_white_balance_is_matched_and_none_invented()
{
    need jq
    local scene drift
    for scene in textured glare; do
        for drift in 0 0.04; do
            rm -rf in
            "$GENERATE" --scene $scene --seed 2 --width 640 --height 432 --frames 5 --out in \
                --white-drift $drift
            expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.tif --no-judge --json
            "$COMPARE" --truth in --json out.tif >cast.json
            jq -n --slurpfile found out --slurpfile truth in/truth.json --slurpfile cast cast.json \
                --argjson drift $drift '
                def beside_green: map([.balance[0] / .balance[1], .balance[2] / .balance[1]]);
                ([$found[0].frames, $truth[0].frames] | map(beside_green | flatten) | transpose |
                    map(.[0] - .[1] | fabs) | max) as $worst |
                {$worst, cast: $cast[0].result.cast, good: ($worst < 0.005 and
                    ($drift > 0 or ($found[0].frames | all(.balance == [1, 1, 1]))) and
                    ($cast[0].result.cast | all(fabs < 0.4)))}' >verdict.json
            jq -e .good verdict.json >/dev/null ||
                fail "$scene, drift $drift: $(jq -c . verdict.json)"
        done
    done
}

test_frame_of_another_size_is_set_aside()
{
    frames in
    frames other --width 200 --height 160 --frames 1
    expect_status 0 "$PARFOCAL" stack in/*.jpg other/*.jpg -o out.tif
    grep -q 'set aside: .*other/.*200' err || fail "the size is not named"
    # Of what was not measured nothing is told.
    grep -q '^5/5 other/.*: set aside$' err || fail "$(grep ^5/5 err)"
    grep -q '4 of 5 frames' out || fail "result"
    expect_status 0 "$PARFOCAL" stack in/*.jpg other/*.jpg -o out.tif --json
    jq -e '.frames[4] | .cause == "unlike" and .focus == null and .correlation == null and
        .transform == null and .gain == null' out >/dev/null || fail "$(jq -c .frames[4] out)"
    expect_status 1 "$PARFOCAL" stack "$(ls in/*.jpg | head -1)" other/*.jpg -o none.tif
    grep -q 'no stack: 1 of 2' err || fail "reason"
    [ ! -e none.tif ] || fail "a stack of one frame"
}

# Handed round so that neighbours are up to 15 % of the frame and 20 degrees apart.
test_large_motions_are_aligned_by_features()
{
    [ -z "$SAN" ] || skip "takes long with $SAN; test_align finds them"
    need jq
    local method files limit
    "$GENERATE" --out in --scene textured --width 480 --height 360 --frames 4 \
        --shift 72 --rotation 20 --seed 2 >/dev/null
    mapfile -t files < <(ls in/*.jpg)
    files=("${files[0]}" "${files[3]}" "${files[1]}" "${files[2]}")
    expect_status 0 "$PARFOCAL" stack --json --align ecc "${files[@]}" -o ecc.tif
    jq -e '[.frames[] | select(.verdict == "aside") | .reason] | length > 0 and
        all(test("does not match"))' out >/dev/null || fail "ecc alone needs no help here"
    for method in auto hybrid sift; do
        expect_status 0 "$PARFOCAL" stack --json --align $method "${files[@]}" -o stack.tif
        jq -c '.frames[] | [.aligned_by, .reason]' out
        jq -e --arg method $method '.settings.align == $method and .aside == 0 and
            (.frames[0] | .reference and .aligned_by == null) and
            (.frames[1].aligned_by == (if $method == "auto" then "hybrid" else $method end)) and
            (.frames[2:] | all(.aligned_by | strings))' out >/dev/null || fail "$method: verdicts"
        limit=0.5
        [ $method != sift ] || limit=2
        "$COMPARE" --truth in --json --transforms out stack.tif >quality.json
        jq -c .align quality.json
        jq -e --argjson limit $limit '.align.corner_max_px <= $limit' quality.json >/dev/null ||
            fail "$method: $(jq .align.corner_max_px quality.json) px at the corners"
    done
    expect_status 0 "$PARFOCAL" stack --json --align orb --equalise "${files[@]}" -o stack.tif
    jq -e '.settings.equalise and .frames[1].aligned_by == "orb"' out >/dev/null || fail "equalised"
}

test_first_frame_of_another_picture_is_left_out()
{
    need jq
    frames in
    frames other --scene board --seed 77 --frames 1
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o alone.png --depth-map alone-depth.png
    expect_status 0 "$PARFOCAL" stack other/*.jpg in/*.jpg -o out.png --depth-map depth.png --json
    jq -e '.fused == 4 and .aside == 1 and
        (.frames[0] | .verdict == "aside" and .reference == false and
            (.reason | startswith("unlike the others: 4 frames"))) and
        (.frames[1:] | all(.verdict == "fused")) and .frames[1].reference' out >/dev/null ||
        fail "verdicts"
    cmp out.png alone.png && cmp depth.png alone-depth.png || fail "it has left a trace"
    # Two that fit each other are still fewer than the burst.
    frames others --scene board --seed 77 --frames 2
    expect_status 0 "$PARFOCAL" stack others/*.jpg in/*.jpg -o out.png --depth-map depth.png --json
    jq -e '[.frames[].verdict] == ["aside", "aside", "fused", "fused", "fused", "fused"] and
        (.frames[:2] | all(.cause == "unlike" and .transform == null)) and
        ([.frames[].reference] == [false, false, true, false, false, false])' out >/dev/null ||
        fail "$(jq -c '.frames[] | [.verdict, .cause, .reason, .transform]' out)"
    cmp out.png alone.png && cmp depth.png alone-depth.png || fail "they have left a trace"
}

# A flash that was not charged, or too much light, lends the stack nothing; light that drifts or flickers
# is matched.
test_first_frame_of_another_exposure_is_left_out()
{
    need jq
    local brightness files
    for brightness in 0.5 1.8; do
        frames in$brightness --frames 6 --misfire $brightness
        files=(in$brightness/*.jpg)
        expect_status 0 "$PARFOCAL" stack "${files[@]:1}" -o alone.png --depth-map alone-depth.png
        expect_status 0 "$PARFOCAL" stack "${files[@]}" -o out.png --depth-map depth.png --json
        jq -e '.fused == 5 and .aside == 1 and .frames[1].reference and
            (.frames[0] | .verdict == "aside" and .cause == "unlike" and .reference == false and
                (.reason | startswith("exposed unlike the others")))' out >/dev/null ||
            fail "$brightness: $(jq -c '.frames[] | [.verdict, .reason, .gain]' out)"
        cmp out.png alone.png && cmp depth.png alone-depth.png || fail "$brightness has left a trace"
    done
    expect_status 0 "$PARFOCAL" stack "${files[@]}" -o out.png --no-judge --json
    jq -e '.fused == 6 and .frames[0].reference' out >/dev/null ||
        fail "judged: $(jq -c '.frames[] | [.verdict, .reason, .gain]' out)"
    for brightness in '--drift 0.05' '--drift -0.05' '--flicker 0.15'; do
        rm -rf in
        # shellcheck disable=SC2086
        frames in --frames 20 $brightness
        expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.png --json
        jq -e '.fused == 20 and .frames[0].reference' out >/dev/null ||
            fail "$brightness: $(jq -c '.frames[] | [.verdict, .reason, .gain]' out)"
    done
}

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

# blank_tiff WIDTH HEIGHT: even dark grey
blank_tiff()
{
    local tag
    printf 'II*\0'
    numbers 4 8
    numbers 2 9
    for tag in "256 $1" "257 $2" "258 8" "259 1" "262 1" "273 122" "277 1" "278 $2" "279 $(($1 * $2))"; do
        numbers 2 "${tag% *}" 4
        numbers 4 1 "${tag#* }"
    done
    numbers 4 0
    head -c $(($1 * $2)) /dev/zero | tr '\0' '\024'
}

# A stack that cannot be written is not made first.
test_a_format_that_cannot_hold_the_stack_is_refused_at_once()
{
    local i
    for i in 1 2; do
        { blank_tiff 65520 16 | head -c 122; tail -c +$((i * 1000)) "$PARFOCAL" | head -c $((65520 * 16)); } >wide$i.tif
    done
    cp wide2.tif wide3.tif
    expect_status 1 "$PARFOCAL" stack wide1.tif wide2.tif wide3.tif -o out.jpg --align none --no-judge --json
    grep -q 'out.jpg: a JPEG has at most 65500 pixels a side, and this is 65520 x 16' err || fail "$(cat err)"
    [ ! -e out.jpg ] || fail "something was written"
    [ "$(jq '[.frames[] | select(.verdict == "fused")] | length' out)" -le 1 ] || fail "it was stacked"
    expect_status 0 "$PARFOCAL" stack wide1.tif wide2.tif -o out.tif --align none --no-judge
}

test_blank_first_frame_leaves_no_trace()
{
    frames in
    blank_tiff 64 48 >blank.tif
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o alone.png --depth-map alone-depth.png
    expect_status 0 "$PARFOCAL" stack blank.tif in/*.jpg -o out.png --depth-map depth.png
    grep -q 'set aside: blank.tif: is blank' err || fail "reason"
    cmp out.png alone.png || fail "it has left a trace"
}

test_wrong_use_is_status_2_and_begins_nothing()
{
    frames in
    local first
    first=$(ls in/*.jpg | head -1)
    expect_status 2 "$PARFOCAL" stack -o out.tif
    expect_status 2 "$PARFOCAL" stack "$first" -o out.tif
    grep -q 'at least 2' err || fail "one file"
    expect_status 2 "$PARFOCAL" stack in/*.jpg
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.tif --motoin shift
    grep -q -- '--motion' err || fail "no suggestion"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.tif --motion sideways
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o in
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.tif --depth-map depth.jpg
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.tif --depth-map depth.gif
    grep -q 'the depth map is a PNG; name it .png, not depth.gif' err || fail "depth.gif"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.gif
    grep -q 'out.gif: .* \.tif, .*\.png, .*\.jpg' err || fail "no word of what is possible"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.png --depth-map out.png
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o ./out.png --depth-map out.png
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o nowhere/out.png
    grep -q 'nowhere/out.png cannot be written' err || fail "missing directory"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o /dev/null
    [ -c /dev/null ] || fail "/dev/null is gone"
    [ ! -e out.tif ] && [ ! -e out.png ] && [ ! -e out.gif ] || fail "something was written"
    expect_status 0 "$PARFOCAL" stack --help
    grep -q -- --depth-map out || fail "help"
}

test_input_is_never_overwritten()
{
    frames in
    local first
    first=$(ls in/*.jpg | head -1)
    cp "$first" before
    ln -s "$first" alias.jpg
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o "$first"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o alias.jpg
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o out.tif --depth-map "$first"
    cmp "$first" before || fail "the input was changed"
}

test_existing_output_is_replaced_whole()
{
    frames in
    echo old >out.tif
    ln out.tif link
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.tif
    [ "$(cat link)" = old ] || fail "written into the old file"
    [ "$(head -c 2 out.tif)" = II ] || [ "$(head -c 2 out.tif)" = MM ] || fail "no TIFF"
    expect_status 2 "$PARFOCAL" stack in/*.jpg -o no/such/directory/out.tif
    grep -q 'no/such/directory' err || fail "reason"
}

test_full_disk_leaves_nothing()
{
    mkdir disk
    mount -t tmpfs -o size=256k tmpfs disk 2>/dev/null || skip "no tmpfs can be mounted here"
    frames in
    local name
    for name in stack.tif stack.png; do
        expect_status 1 "$PARFOCAL" stack in/*.jpg -o disk/$name
        grep -q 'No space left on device' err || fail "reason for $name"
        [ -z "$(ls -A disk)" ] || fail "left on the disk: $(ls -A disk)"
    done
    cat /dev/zero >disk/filler 2>/dev/null || :
    expect_status 1 "$PARFOCAL" stack in/*.jpg -o stack.tif --depth-map disk/depth.png
    grep -q 'No space left on device' err || fail "reason for the depth map"
    [ ! -e stack.tif ] || fail "a stack without its depth map"
    no_leftovers .
}

test_orientation_is_applied()
{
    need exiftool jq
    frames in --orientation 6
    local name
    for name in out.tif out.png out.jpg; do
        expect_status 0 "$PARFOCAL" stack --json in/*.jpg -o $name --depth-map depth.png
        [ "$(identified $name ImageSize) $(identified depth.png ImageSize)" = "240x320 240x320" ] ||
            fail "$name is not upright"
        jq -e '.output.stack.width == 240 and .output.depth.height == 320' out >/dev/null ||
            fail "sizes in the report"
        [ "$(exiftool -n -s3 -Orientation $name)" = 1 ] || fail "orientation of $name"
    done
}

test_16_bits_in_and_out()
{
    need exiftool
    local format
    for format in tiff png; do
        frames $format --format $format --bits 16
        expect_status 0 "$PARFOCAL" stack $format/* -o out.png
        [ "$(identified out.png BitDepth)" = 16 ] || fail "$format to png"
        expect_status 0 "$PARFOCAL" stack $format/* -o out.tif
        [ "$(identified out.tif BitsPerSample)" = "16 16 16" ] || fail "$format to tiff"
    done
}

test_format_by_name_else_by_setting()
{
    frames in --frames 2
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out --format png
    [ "$(head -c 4 out | tail -c 3)" = PNG ] || fail "setting"
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o .out --format png
    [ "$(head -c 4 .out | tail -c 3)" = PNG ] || fail "a hidden name is no extension"
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpeg --format png --jpeg-quality 50
    [ "$(od -An -tx1 -N2 out.jpeg)" = " ff d8" ] || fail "name"
    local low
    low=$(stat -c %s out.jpeg)
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpeg --jpeg-quality 100
    [ "$(stat -c %s out.jpeg)" -gt "$low" ] || fail "quality has no effect"
}

test_configuration_file_with_depth_map_as_a_boolean()
{
    need jq
    frames in --frames 2
    printf 'motion = shift\ndepth_map = no\n' >conf
    expect_status 0 "$PARFOCAL" stack -c conf in/*.jpg -o out.tif --depth-map=depth.png --json
    [ "$(jq -r .settings.motion out)" = shift ] || fail "configuration is not read"
    [ -s depth.png ] || fail "no depth map"
}

test_names_are_bytes()
{
    need jq
    frames in
    mapfile -t files < <(ls in/*.jpg)
    mv "${files[0]}" -- "-dash.jpg"
    mv "${files[1]}" $'new\nline.jpg'
    mv "${files[2]}" $'latin\xe9.jpg'
    expect_status 0 "$PARFOCAL" stack -o $'out\xe9 \n.tif' -- -dash.jpg $'new\nline.jpg' $'latin\xe9.jpg'
    [ -s $'out\xe9 \n.tif' ] || fail "no stack"
    ! grep -q '^line' err || fail "a name has forged a line"
    expect_status 0 "$PARFOCAL" stack --json -o out.tif -- -dash.jpg $'new\nline.jpg' $'latin\xe9.jpg'
    jq -e '.fused == 3' out >/dev/null || fail "report"
}

test_bar_on_a_terminal()
{
    need script
    frames in
    script -qec "'$PARFOCAL' stack in/*.jpg in/missing.jpg -o out.tif" typescript >/dev/null 2>&1 ||
        fail "status"
    grep -q '\[#*\.*\] [1-5]/5 frames .*MP/s .* s left' typescript || fail "no bar"
    grep -q 'set aside: .*missing' typescript || fail "a frame set aside is not named"
}

# RAW from the sensor's mosaic to the stack: as sharp as the same burst as TIFF, but for what a
# Bayer filter costs, and it keeps what the camera said.
test_stack_of_dngs()
{
    need jq exiftool
    "$GENERATE" --out in --scene textured --width 320 --height 240 --frames 4 --format dng \
        --orientation 1 >/dev/null
    expect_status 0 "$PARFOCAL" stack in/*.dng -o out.tif
    [ "$(grep -c 'fused' err)" = 4 ] || fail "not a line for every frame"
    [ "$(identified out.tif ImageSize)" = 320x240 ] || fail "size of the stack"
    [ "$(identified out.tif BitsPerSample)" = "16 16 16" ] || fail "bits of the stack"
    [ "$(identified out.tif LensModel)" = "Macro 100mm F2.8" ] || fail "EXIF of the reference"
    [ "$(identified out.tif ProfileDescription)" = "sRGB built-in" ] || fail "colour profile"
    "$COMPARE" --truth in --json out.tif >quality.json
    jq -e '.result.psnr > 34' quality.json >/dev/null ||
        fail "PSNR $(jq .result.psnr quality.json) dB"
    head -c 100000 in/IMG_0001.dng >in/IMG_0002.dng
    expect_status 0 "$PARFOCAL" stack in/*.dng -o out2.tif
    grep -q 'IMG_0002.dng: set aside' err || fail "$(cat err)"
}

# What has no tags of DNG: LibRaw knows the body, its sensor's colours and white.
test_stack_of_makers_raws()
{
    [ -z "$SAN" ] || skip "takes long with $SAN; test_raw_makers reads them"
    need jq exiftool
    local kind psnr
    while read -r kind psnr; do
        "$GENERATE" --out in --scene textured --width 320 --height 240 --frames 4 --format "$kind" \
            --orientation 1 >/dev/null
        expect_status 0 "$PARFOCAL" stack in/*."$kind" -o out.tif --json
        ! grep 'does not know' err || fail "$kind: its body is known"
        jq -e '.fused == 4 and (.frames | all(.captured | startswith("2026-01-02T03:04")))' out \
            >/dev/null || fail "$kind: $(jq -c '.frames[] | [.verdict, .reason, .captured]' out)"
        [ "$(identified out.tif ImageSize)" = 320x240 ] || fail "size of the stack"
        [ "$(identified out.tif BitsPerSample)" = "16 16 16" ] || fail "bits of the stack"
        [ "$(identified out.tif ProfileDescription)" = "sRGB built-in" ] || fail "colour profile"
        [ "$(identified out.tif Model)" = "$(identified "in/IMG_0001.$kind" Model)" ] || fail "EXIF"
        "$COMPARE" --truth in --json out.tif >quality.json
        jq -e ".result.psnr > $psnr" quality.json >/dev/null ||
            fail "$kind: PSNR $(jq .result.psnr quality.json) dB"
        head -c 90000 "in/IMG_0002.$kind" >"cut.$kind"
        expect_status 0 "$PARFOCAL" stack in/IMG_000[13]."$kind" "cut.$kind" -o out.tif
        grep -q "set aside: cut.$kind" err || fail "a truncated $kind: $(cat err)"
        rm -r in
    done <<'END'
nef 0
arw 0
orf 0
cr2 34
rw2 34
cr3 34
raf 34
END
}

test_stack_of_a_body_that_libraw_does_not_know()
{
    "$GENERATE" --out in --width 320 --height 240 --frames 3 --format nef --make NIKON --model 'NIKON Z 99' >/dev/null
    expect_status 0 "$PARFOCAL" stack in/*.nef -o out.tif
    [ "$(grep -c 'IMG_000..nef: LibRaw .* does not know the Nikon Z 99: its colours' err)" = 1 ] || fail "$(cat err)"
}

# Two inner frames left out: told on the terminal and in the report, with the map of who won.
test_skipped_plane_is_named()
{
    need jq
    "$GENERATE" --out in --scene textured --width 768 --height 512 --frames 10 --no-truth
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o whole.jpg --json
    ! grep -q 'skipped\|sharp in no frame' err || fail "of a whole bracket: $(cat err)"
    jq -e '.coverage | .skipped == [] and .before == [] and .beyond == [] and .detail > 200 and
        (.winner | length) == 256 and ([.curve[].won] | add) == .detail and
        (.curve[4].sharpness > .curve[0].sharpness)' out >/dev/null ||
        fail "$(jq -c .coverage out)"
    rm in/IMG_0005.jpg in/IMG_0006.jpg
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpg --json
    grep -q 'a focal plane was skipped between in/IMG_0004.jpg and in/IMG_0007.jpg' err ||
        fail "$(cat err)"
    jq -e '.coverage.skipped == [["in/IMG_0004.jpg", "in/IMG_0007.jpg"]] and
        (.coverage.winner | max) < 8' out >/dev/null || fail "$(jq -c .coverage out)"
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpg --json --no-coverage --resample bicubic
    ! grep -q 'skipped' err || fail "coverage that is off: $(cat err)"
    jq -e '.coverage == null and .settings.coverage == false and .settings.resample == "bicubic"' out \
        >/dev/null || fail "$(jq -c '[.coverage, .settings]' out)"
}

test_frame_sharp_nowhere_is_set_aside_unless_told_otherwise()
{
    "$GENERATE" --out in --scene textured --width 480 --height 320 --no-truth
    "$GENERATE" --out soft --scene textured --width 480 --height 320 --blur 60 --no-truth
    cp soft/IMG_0010.jpg in/IMG_0006.jpg
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpg --align none
    [ "$(grep -c 'set aside: in/IMG' err)" = 1 ] || fail "$(cat err)"
    grep -q 'set aside: in/IMG_0006.jpg: is sharp nowhere' err || fail "$(cat err)"
    expect_status 0 "$PARFOCAL" stack in/*.jpg -o out.jpg --align none --no-judge
    ! grep -q 'set aside' err || fail "$(cat err)"
}
