# The setting `device`, and what happens when the GPU fails. There is a GPU of fibers in
# tests/parfocal-on-fibers, which does as the environment says (tests/cuda/fibers_environment.cpp).
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/fibers.bash"
. "${BASH_SOURCE%/*}/serve.bash"
# time limit: 480

small_burst()
{
    make_burst burst --frames 3 --width 160 --height 120
}

# in_a_burst=CALL: behind those of the trial at start, among the first of a burst.
find_call_in_a_burst()
{
    local calls
    FIBERS_ACCOUNT=$PWD/account "$PARFOCAL" process </dev/null >/dev/null 2>&1 || fail "no worker"
    read -r _ _ _ calls <account
    in_a_burst=$((calls + 60))
}

test_a_gpu_is_used_where_there_is_one()
{
    need_fibers
    small_burst
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o a.tif --json
    check out '.engine.device == "cuda" and .fused == 3'
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o b.tif --json --device cpu
    check out '.engine.device == "cpu" and .fused == 3'
    expect_status 0 "$PARFOCAL" doctor
    grep -q 'ok .* gpu .*fibers' out || fail "doctor: $(grep gpu out)"
}

test_syn_is_the_gpus_and_flow_takes_its_place_elsewhere()
{
    need_fibers
    make_burst burst --frames 2 --width 240 --height 180 --blur 0 --deform 3
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o a.tif --json --align syn --fuse average
    check out '.engine.device == "cuda" and .fused == 2 and .frames[1].aligned_by == "syn"'
    check out '.frames[1].displacement.most_px > 0.5'
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o b.tif --json --align syn --fuse average --device cpu
    check out '.engine.device == "cpu" and .fused == 2 and .frames[1].aligned_by == "flow"'
}

# Its driver reserves more addresses than any limit of memory leaves.
test_a_limit_of_memory_takes_no_gpu_away()
{
    need_fibers
    expect_status 0 "$PARFOCAL" process --worker-memory 4000 </dev/null
    check out 'select(.event == "ready") | .device == "cuda"'
}

test_without_a_gpu_the_processor_works_and_says_so()
{
    need_fibers
    small_burst
    export FIBERS_GONE=1
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o a.tif --json
    check out '.engine.device == "cpu" and .fused == 3'
    expect_status 1 "$PARFOCAL" stack burst/*.jpg -o b.tif --device cuda
    grep -q 'device = cuda: no NVIDIA GPU is there' err || fail "$(cat err)"
    [ ! -e b.tif ] || fail "written without a GPU"
    expect_status 1 "$PARFOCAL" doctor --device cuda
    grep -q 'device = cuda, but no NVIDIA GPU is there' out || fail "doctor: $(grep gpu out)"
    mkdir_inbox
    serve --expected-frames 3
    drop burst/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.engine.device == "cpu" and .fused == 3'
    await_log 'no GPU is used: no NVIDIA GPU is there; the processor does the work'
    stop_service
}

# unusable SETTING REASON: of fibers, and what is said in one line
unusable()
{
    rm -f a.tif
    expect_status 0 env "$1" "$PARFOCAL" stack burst/*.jpg -o a.tif --json
    check out '.engine.device == "cpu" and .fused == 3'
    grep -q "the GPU is not used: $2; the processor does the work\$" err || fail "$(cat err)"
    expect_status 1 env "$1" "$PARFOCAL" stack burst/*.jpg -o b.tif --device cuda
    [ "$(grep -c "device = cuda: $2\$" err)" -eq 1 ] || fail "$(cat err)"
    expect_status 0 env "$1" "$PARFOCAL" process </dev/null
    check out 'select(.event == "ready") | .device == "cpu" and (.reason | test("^'"$2"'$"))'
}

test_a_gpu_with_too_old_a_driver_or_in_others_hands_is_not_used()
{
    need_fibers
    small_burst
    unusable FIBERS_DRIVER=11040 'the NVIDIA driver is for CUDA 11.4, CUDA 13.0 is needed'
    unusable FIBERS_TAKEN=1 'the GPU fibers cannot be used: all devices are busy or unavailable'
}

test_a_gpu_without_room_leaves_the_burst_to_the_processor()
{
    need_fibers
    small_burst
    FIBERS_MEMORY=100000 expect_status 0 "$PARFOCAL" stack burst/*.jpg -o a.tif --json
    check out '.engine.device == "cpu" and .fused == 3'
    grep -q 'the GPU is not used: the GPU has no room' err || fail "$(cat err)"
    # Room for the trial, but not for these frames.
    make_burst large --frames 2 --width 640 --height 480
    FIBERS_MEMORY=6000000 expect_status 0 "$PARFOCAL" stack large/*.jpg -o b.tif --json
    check out '.engine.device == "cpu" and .fused == 2'
    grep -q 'the GPU has no room: .* the processor did the work' err || fail "$(cat err)"
}

test_a_worker_takes_a_gpus_memory_once()
{
    need_fibers
    small_burst
    stack_times 1
    local once=$taken
    stack_times 3
    [ "$taken" -eq "$once" ] || fail "memory was taken $taken times for three stacks, $once times for one"
}

# The service's own word of it: JQ_FILTER
status_says()
{
    "$PARFOCAL" status --state "$T/state" --json >status.json 2>/dev/null && jq -e "$1" status.json >/dev/null
}

# What it says then, and that the burst is whole.
went_to_the_processor()
{
    await_stacks 1 120
    check "$(published)/stack.json" '.engine.device == "cpu" and .fused == 3'
    check "$(published)/stack.json" '[.frames[].attempts] | add == 0'
    await_log 'the GPU has failed 2 times without a stack between: the processor does the work'
    wait_for 20 status_says '.worker.fell_back and .worker.device == "cpu" and .health == "degraded" and
        any(.troubles[]; .id == "gpu" and (.text | test("^the GPU has failed: the processor does the work")))'
    "$PARFOCAL" status --state "$T/state" >out || fail "no status"
    grep -q '^trouble  the GPU has failed: the processor does the work' out || fail "$(cat out)"
}

test_a_gpu_that_fails_once_is_tried_again()
{
    need_fibers
    small_burst
    find_call_in_a_burst
    mkdir_inbox
    FIBERS_FAIL_AFTER=$in_a_burst FIBERS_FAIL_ONCE=$T/failed serve --expected-frames 3
    drop burst/*.jpg
    await_stacks 1 60
    check "$(published)/stack.json" '.engine.device == "cuda" and .fused == 3'
    check "$(published)/stack.json" '[.frames[].attempts] | add == 0'
    await_log 'CUDA: .*unspecified launch failure'
    await_log 'the worker has ended: exited with status 3; a new one starts'
    log_lacks 'the processor does the work'
    stop_service
}

test_a_gpu_that_fails_twice_is_left_alone()
{
    need_fibers
    small_burst
    find_call_in_a_burst
    mkdir_inbox
    FIBERS_FAIL_AFTER=$in_a_burst serve --expected-frames 3
    drop burst/*.jpg
    went_to_the_processor
    [ "$(grep -c 'exited with status 3' service.err)" -eq 2 ] || fail "not two failures"
    stop_service
}

# Its driver crashes, or it never answers: of frames and bursts it says as little.
test_a_gpu_that_takes_the_worker_down_twice_is_left_alone()
{
    need_fibers
    small_burst
    find_call_in_a_burst
    mkdir_inbox
    FIBERS_FAIL=crash FIBERS_FAIL_AFTER=$in_a_burst serve --expected-frames 3
    drop burst/*.jpg
    went_to_the_processor
    [ "$(grep -c 'it counts as a failure of the GPU' service.err)" -eq 2 ] || fail "not two failures"
    stop_service
}

test_a_gpu_that_hangs_twice_is_left_alone()
{
    need_fibers
    small_burst
    find_call_in_a_burst
    mkdir_inbox
    FIBERS_FAIL=hang FIBERS_FAIL_AFTER=$in_a_burst serve --expected-frames 3 --worker-timeout 8
    drop burst/*.jpg
    went_to_the_processor
    log_says 'it hung and was ended' || fail "it did not hang"
    stop_service
}

test_a_gpu_that_is_tried_out_is_seen_in_the_status()
{
    need_fibers
    mkdir_inbox
    FIBERS_FAIL=hang FIBERS_FAIL_AFTER=20 serve
    wait_for 20 status_says '.worker.state == "warming" and .worker.step == "trying it out" and .worker.device == null'
    "$PARFOCAL" status --state "$T/state" >out || fail "no status"
    grep -q '^worker   warming: trying it out$' out || fail "$(cat out)"
    stop_service
}

# Room for the first frame was there; the last of what a burst takes is not.
test_a_gpu_that_runs_out_of_room_leaves_the_burst_to_the_processor()
{
    need_fibers
    small_burst
    stack_times 1
    mkdir_inbox
    FIBERS_FULL_AFTER=$((taken - 1)) serve --expected-frames 3
    drop burst/*.jpg
    await_stacks 1 60
    check "$(published)/stack.json" '.engine.device == "cpu" and .fused == 3'
    check "$(published)/stack.json" '[.frames[].attempts] | add == 0'
    await_log 'worker ready: cuda'
    await_log '(out of memory|no room).*; it is replayed, and the processor stacks it'
    log_lacks 'the worker has ended'
    stop_service
}

test_a_gpu_that_fails_ends_stack_with_its_reason()
{
    need_fibers
    small_burst
    FIBERS_FAIL_AFTER=20 expect_status 0 "$PARFOCAL" process </dev/null
    check out 'select(.event == "ready") | .device == "cpu" and (.reason | test("CUDA: "))'
}

# A kernel that a card cannot launch is found at start, not by the first burst, and again by its repetition.
test_the_trial_launches_each_kernel_that_a_cameras_frames_need()
{
    need_fibers
    [ -z "$SAN" ] || skip "takes minutes with $SAN"
    FIBERS_KERNELS=$PWD/tried "$PARFOCAL" process </dev/null >/dev/null 2>&1 || fail "no worker"
    # As wide as a camera's of 6 MP: what is launched goes by the width.
    "$GENERATE" --out wide --no-truth --width 3000 --height 600 --frames 4 --threads 1 >/dev/null
    "$GENERATE" --out deep --no-truth --width 700 --height 500 --frames 2 --threads 1 --format tiff --bits 16 >/dev/null
    FIBERS_KERNELS=$PWD/wide.kernels expect_status 0 "$PARFOCAL" stack wide/*.jpg -o a.tif --json --depth-map a.png
    check out '.engine.device == "cuda" and .fused == 4'
    FIBERS_KERNELS=$PWD/deep.kernels expect_status 0 "$PARFOCAL" stack deep/*.tif -o b.tif --json
    check out '.engine.device == "cuda" and .fused == 2'
    # Two may have one name.
    for burst in wide deep; do
        comm -13 <(sort tried) <(sort $burst.kernels) >untried
        [ ! -s untried ] || fail "not launched before a burst needs it: $(tr '\n' ' ' <untried)"
    done
}

test_a_kernel_that_cannot_be_launched_is_found_at_start()
{
    need_fibers
    FIBERS_FAIL_IN=ask expect_status 0 "$PARFOCAL" process </dev/null
    check out 'select(.event == "ready") | .device == "cpu" and (.reason | test("^CUDA: alignment: blocks: "))'
}

# What its driver has reserved by then stays: worker_memory is what comes on top of it.
test_a_gpu_that_fails_its_trial_leaves_a_limit_that_the_worker_can_live_with()
{
    need_fibers
    [ -z "$SAN" ] || skip "$SAN reserves addresses of its own"
    small_burst
    printf '{"cmd":"open","burst":"b"}\n' >commands
    printf '{"cmd":"add","burst":"b","frame":"%s","path":"%s"}\n' a "$PWD"/burst/IMG_0001.jpg >>commands
    FIBERS_FAIL_AFTER=20 FIBERS_ACCOUNT=$PWD/account "$PARFOCAL" process --worker-memory 4000 <commands >out 2>err || fail "$(cat err)"
    check out 'select(.event == "ready") | .device == "cpu" and (.reason | test("CUDA: "))'
    check out 'select(.event == "frame") | .verdict == "fused"'
    grep -q 'worker_memory: not counted are 65[0-9][0-9][0-9] MiB of addresses' err || fail "$(cat err)"
    [ "$(cut -d ' ' -f 2,3 account)" = '0 1' ] || fail "the GPU's memory stays taken: $(cat account)"
    # It is a limit all the same.
    FIBERS_FAIL_AFTER=20 expect_status 1 "$PARFOCAL" process --worker-memory 1 </dev/null
}
