# JPEGs that are decoded on the GPU, and what happens where they cannot be. The GPU is of fibers
# (tests/parfocal-on-fibers), and a library with nvJPEG's interface is made of libjpeg-turbo
# (tests/nvjpeg/nvjpeg.c); the program finds it as it finds NVIDIA's, by the loader.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/fibers.bash"
. "${BASH_SOURCE%/*}/serve.bash"
# time limit: 480

# Each start tries the library out, on fibers. Most of it is shown once, and these tests not only by it.
need_time()
{
    [ -z "$SAN" ] || skip "takes minutes with $SAN; what it runs, other tests here run"
}

# with_library whole|lacking COMMAND...
with_library()
{
    local library=$1
    shift
    LD_LIBRARY_PATH=$BUILD/tests/nvjpeg/$library "$@"
}

# Frames with their truth, whose place a stack can take.
small_burst()
{
    "$GENERATE" --out "$T/burst" --width 200 --height 150 --frames 3 --threads 1 "$@" >/dev/null
}

# stacks_are_alike A B: luma at least 50 dB from one another
stacks_are_alike()
{
    cp "$1" burst/truth.png
    "$COMPARE" --truth burst --json "$2" >compared
    check compared '.result | .psnr >= 50 and (.cast | map(fabs) | max < 0.5)'
}

decoded_are()
{
    [ "$(wc -l <decoded)" -eq "$1" ] || fail "nvJPEG has decoded: $(cat decoded)"
    rm decoded
}

# What the trial at start decodes: two frames of a stack, and a large one.
TRIAL=3

test_jpegs_are_decoded_on_the_gpu_where_the_library_is_there()
{
    local sampling samplings='420 422 440 444'
    need_fibers
    [ -z "$SAN" ] || samplings=420
    # More than half of what it may take for one.
    export NVJPEG_LOG=$T/decoded NVJPEG_SCRATCH=40000000
    for sampling in $samplings; do
        rm -rf burst
        small_burst --subsampling $sampling
        expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o a.png --json
        check out '.engine.device == "cuda" and .fused == 3'
        ! grep -q 'decoded by the processor' err || fail "$(cat err)"
        decoded_are $((TRIAL + 3))
        expect_status 0 "$PARFOCAL" stack burst/*.jpg -o b.png --json
        check out '.engine.device == "cuda" and .fused == 3'
        [ ! -e decoded ] || fail "decoded without a library"
        ! cmp -s a.png b.png || fail "the same to the last bit: nvJPEG has not been at it"
        stacks_are_alike a.png b.png
    done
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'ok .* gpu .*; JPEGs are decoded on it: nvJPEG 12.3' out || fail "doctor: $(grep gpu out)"
}

test_the_worker_says_what_decodes()
{
    need_fibers
    expect_status 0 with_library whole "$PARFOCAL" process </dev/null
    check out 'select(.event == "ready") | .device == "cuda" and .decoder == "nvJPEG 12.3"'
    grep -q '"step":"trying nvJPEG out"' out || fail "$(cat out)"
    grep -q 'JPEGs are decoded on the GPU: nvJPEG 12.3' err || fail "$(cat err)"
    expect_status 0 "$PARFOCAL" process </dev/null
    check out 'select(.event == "ready") | .device == "cuda" and .decoder == ""'
    grep -q 'JPEGs are decoded by the processor: no libnvjpeg.so.13, .12 or .11 is found' err ||
        fail "$(cat err)"
    expect_status 0 "$PARFOCAL" process --device cpu </dev/null
    ! grep -q 'JPEGs' err || fail "$(cat err)"
}

# NVIDIA's takes long to be made.
test_a_worker_makes_a_decoder_once()
{
    local made handles
    need_fibers
    need_time
    small_burst
    export NVJPEG_LIVES=$T/lives
    with_library whole stack_times 1
    made=$(grep -c ' made' lives)
    handles=$(grep -c 'handle made' lives)
    rm lives
    with_library whole stack_times 3
    [ "$(grep -c ' made' lives)" -eq "$made" ] || fail "for three stacks: $(sort lives | uniq -c)"
    [ "$(grep -c ' ended' lives)" -eq "$made" ] || fail "not given back: $(sort lives | uniq -c)"
    # Who knows in which state it is when it has refused a picture.
    rm -r lives burst
    small_burst --frames 1
    NVJPEG_NO_WIDTH=200 with_library whole stack_times 2
    [ "$(grep -c 'handle made' lives)" -eq $((handles + 1)) ] || fail "with refusals: $(sort lives | uniq -c)"
}

# A library that cannot be used costs nothing: the stack is what it is without.
test_a_library_that_cannot_be_used_is_left_alone()
{
    need_fibers
    need_time
    small_burst
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o without.png
    export NVJPEG_LOG=$T/decoded

    expect_status 0 with_library lacking "$PARFOCAL" stack burst/*.jpg -o a.png
    expect_status 0 with_library lacking "$PARFOCAL" doctor
    grep -q 'by the processor: libnvjpeg.so.12 has no nvjpegDecode' out || fail "$(grep gpu out)"

    # The next one is.
    mkdir both
    ln -s "$BUILD/tests/nvjpeg/lacking/libnvjpeg.so.12" both/libnvjpeg.so.13
    ln -s "$BUILD/tests/nvjpeg/whole/libnvjpeg.so.12" both/libnvjpeg.so.12
    LD_LIBRARY_PATH=$T/both expect_status 0 "$PARFOCAL" doctor
    grep -q 'JPEGs are decoded on it: nvJPEG 12.3' out || fail "$(grep gpu out)"
    rm decoded

    export NVJPEG_VERSION=10
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: libnvjpeg.so.12 is of version 10.3, 11 is needed' out || fail "$(grep gpu out)"
    unset NVJPEG_VERSION

    export PARFOCAL_NVJPEG=no
    expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o b.png
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: PARFOCAL_NVJPEG=no' out || fail "$(grep gpu out)"
    unset PARFOCAL_NVJPEG

    mkdir damaged
    echo no library >damaged/libnvjpeg.so.12
    LD_LIBRARY_PATH=$T/damaged expect_status 0 "$PARFOCAL" doctor
    grep -q 'by the processor: .*libnvjpeg.so.12: ' out || fail "$(grep gpu out)"

    export NVJPEG_STATUS=6
    expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o c.png
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: nvJPEG 12.3: nvJPEG: execution failed (6)' out || fail "$(grep gpu out)"
    unset NVJPEG_STATUS

    [ ! -e decoded ] || fail "decoded after all: $(cat decoded)"
    export NVJPEG_SWAPS=1
    expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o d.png
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: nvJPEG 12.3: it decodes otherwise than libjpeg-turbo' out || fail "$(grep gpu out)"
    unset NVJPEG_SWAPS

    # One that is not up to pictures as large as a camera's.
    rm decoded
    export NVJPEG_MOST_WIDTH=1000
    expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o e.png
    expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: nvJPEG 12.3: nvJPEG: JPEG not supported (4)' out || fail "$(grep gpu out)"
    [ "$(sort -u decoded)" = '128 x 96' ] || fail "decoded: $(cat decoded)"
    local stack
    for stack in a b c d e; do
        cmp without.png $stack.png || fail "another stack: $stack"
    done
}

test_a_frame_that_the_library_refuses_is_the_processors()
{
    need_fibers
    small_burst
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o without.png
    export NVJPEG_LOG=$T/decoded
    NVJPEG_NO_WIDTH=200 expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o a.png --json
    check out '.engine.device == "cuda" and .fused == 3'
    cmp without.png a.png || fail "another stack"
    decoded_are $TRIAL
    [ "$(grep -c 'IMG_.*jpg is decoded by the processor: nvJPEG: JPEG not supported (4)' err)" -eq 1 ] ||
        fail "$(cat err)"
    [ "$(grep -c 'from now on; the GPU keeps refusing: nvJPEG: JPEG not supported (4)' err)" -eq 1 ] || fail "$(cat err)"

    # Room on the GPU for the stack and not for nvJPEG, which may take 64 MiB and more: of the trial's
    # pictures there is enough for both.
    FIBERS_MEMORY=70000000 expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg -o b.png --json
    check out '.engine.device == "cuda" and .fused == 3'
    cmp without.png b.png || fail "another stack"
    decoded_are $TRIAL
    grep -q 'jpg is decoded by the processor: the GPU has no room for nvJPEG: 6. MiB are needed' err || fail "$(cat err)"
    FIBERS_MEMORY=60000000 expect_status 0 with_library whole "$PARFOCAL" doctor
    grep -q 'by the processor: nvJPEG 12.3: the GPU has no room for nvJPEG: .* MiB are needed' out ||
        fail "$(grep gpu out)"
}

# The processor decodes them, or says what is wrong with them, whatever the library would make of them.
test_a_damaged_jpeg_is_set_aside_with_the_same_reason()
{
    local frame middle
    need_fibers
    small_burst --frames 5
    set -- burst/*.jpg
    middle=$(($(stat -c %s "$2") / 2))
    head -c $middle "$2" >cut && mv cut "$2"
    head -c 40 /dev/zero | dd of="$4" bs=1 seek=$(($(stat -c %s "$4") / 2)) conv=notrunc status=none
    for frame in without with; do
        [ $frame = without ] || export LD_LIBRARY_PATH=$BUILD/tests/nvjpeg/whole NVJPEG_LOG=$T/decoded
        expect_status 0 "$PARFOCAL" stack burst/*.jpg -o $frame.png --json
        check out '.engine.device == "cuda" and .fused == 3 and [.frames[].cause == "unreadable"] == [false, true, false, true, false]'
        jq '[.frames[].reason]' out >$frame.reasons
    done
    cmp without.reasons with.reasons || fail "$(cat without.reasons with.reasons)"
    decoded_are $((TRIAL + 3))
}

# Another sampling, or other colours, than the stack's are brought into its way by the processor.
test_frames_of_several_kinds_make_one_stack()
{
    need_fibers
    need_time
    small_burst --subsampling 420
    "$GENERATE" --out other --no-truth --width 200 --height 150 --frames 3 --threads 1 --subsampling 444 >/dev/null
    cp other/*2.jpg burst/
    "$GENERATE" --out other --no-truth --width 200 --height 150 --frames 3 --threads 1 --format png >/dev/null
    expect_status 0 "$PARFOCAL" stack burst/*.jpg other/*3.png -o b.png --json
    export NVJPEG_LOG=$T/decoded
    expect_status 0 with_library whole "$PARFOCAL" stack burst/*.jpg other/*3.png -o a.png --json
    check out '.engine.device == "cuda" and .fused == 4'
    decoded_are $((TRIAL + 2))
    stacks_are_alike a.png b.png
}

test_a_gpu_without_room_leaves_coded_frames_to_the_processor()
{
    need_fibers
    need_time
    "$GENERATE" --out large --no-truth --width 4000 --height 3000 --frames 2 --threads 1 --scene textured >/dev/null
    # The trial needs 64 MiB for nvJPEG; of these frames nothing fits.
    export NVJPEG_LOG=$T/decoded
    FIBERS_MEMORY=75000000 expect_status 0 with_library whole "$PARFOCAL" stack large/*.jpg -o a.tif --json --align none
    check out '.engine.device == "cpu" and .fused == 2'
    grep -q 'the GPU has no room' err || fail "$(cat err)"
    decoded_are $TRIAL
    expect_status 0 "$PARFOCAL" stack large/*.jpg -o b.tif --json --align none --device cpu
    cmp a.tif b.tif || fail "another stack"
}

test_the_service_has_thumbnails_of_what_the_gpu_decodes()
{
    need_fibers
    need_time
    make_burst burst --frames 3 --width 320 --height 240
    mkdir_inbox
    export LD_LIBRARY_PATH=$BUILD/tests/nvjpeg/whole
    serve --expected-frames 3 --http 127.0.0.1:0
    unset LD_LIBRARY_PATH
    drop burst/*.jpg
    await_stacks 1 60
    check "$(published)/stack.json" '.engine.device == "cuda" and .fused == 3'
    await_log 'JPEGs are decoded on the GPU: nvJPEG 12.3'
    log_lacks 'is decoded by the processor'
    [ "$(find "$T/state" -path '*thumb*' -name '*.jpg' ! -name '*.small.jpg' | wc -l)" -eq 3 ] ||
        fail "thumbnails: $(find "$T/state" -name '*.jpg')"
    stop_service
}
