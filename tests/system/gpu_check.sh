# What `make gpu-check` runs, with programs that stand in for its tests and its clock.
. "${BASH_SOURCE%/*}/lib.sh"

CHECK=$ROOT/tests/cuda/gpu-check.sh
# Their dependencies lie beside them.
stand_ins() # STATUS of a test, STATUS of the clock
{
    mkdir -p gpu
    printf '#!/bin/sh\necho "9 x 9 x 2, method 0: stacks 61.0 dB, previews 60.0 dB from one another"\n' >gpu/test_cuda_a
    printf 'if [ %d = 0 ]; then echo ok a; else echo "FAIL a: off"; fi\nexit %d\n' "$1" "$1" >>gpu/test_cuda_a
    printf '#!/bin/sh\necho "| 6 | warp | 1.0 | 1.0 | 1.0 |"\nexit %d\n' "$2" >gpu/gpu_times
    chmod +x gpu/test_cuda_a gpu/gpu_times
    touch gpu/test_cuda_a.o gpu/test_cuda_a.d
}

test_a_table_is_made_when_all_is_well()
{
    stand_ins 0 0
    COMMIT=v1 expect_status 0 "$CHECK" run "$T/gpu"
    grep -q 'commit v1, .*: 1 tests passed, 0 failed' gpu/GPU.md || fail "$(cat gpu/GPU.md)"
    grep -q '^- 9 x 9 x 2, method 0: stacks 61.0 dB from one another' gpu/GPU.md || fail "$(cat gpu/GPU.md)"
    grep -q '^| 6 | warp' gpu/GPU.md || fail "$(cat gpu/GPU.md)"
}

test_the_driver_is_named()
{
    stand_ins 0 0
    while read -r version line; do
        echo "NVRM version: $line" >version
        DRIVER_VERSION=$T/version COMMIT=v1 expect_status 0 "$CHECK" run "$T/gpu"
        grep -q "driver $version: 1 tests" gpu/GPU.md || fail "$(cat gpu/GPU.md)"
    done <<'EOF'
535.183.01 NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
580.65.06 NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22)  Sun Jul 27 06:54:38 UTC 2025
540.4.0 NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile-u64)  Tue Sep 24 04:45:03 PDT 2024
unknown no such thing
EOF
}

test_a_table_that_breaks_off_is_a_failure()
{
    stand_ins 0 1
    expect_status 1 "$CHECK" run "$T/gpu"
    grep -q '^| 6 | warp' gpu/GPU.md || fail "$(cat gpu/GPU.md)"
    grep -q 'Not whole' gpu/GPU.md || fail "nothing says so: $(cat gpu/GPU.md)"
}

test_a_test_that_fails_is_a_failure()
{
    stand_ins 1 0
    expect_status 1 "$CHECK" run "$T/gpu"
    grep -q '0 tests passed, 1 failed' gpu/GPU.md || fail "$(cat gpu/GPU.md)"
}

# What it says of time is nothing on fibers; but that every stage works and what it compares is alike. Times are
# told, what is computed is judged: here by the marks of a size at which a deformation is found more exactly.
test_the_table_has_all_stages()
{
    [ -z "$SAN" ] || skip 'its kernels are tested elsewhere'
    local stage
    MARKS_OF=300 RUNS=1 SEED=1 FIBERS_MEMORY=100000000 expect_status 1 "$BUILD/tests/gpu_times" 0.02
    for stage in 'focus measure' 'warp, luma' 'noise' 'evidence, finest' 'gather and weigh, finest' \
        'blend, both parts of luma' 'ecc, similarity' 'ecc: what blocks ask for' 'ecc: likeness' 'flow' 'bspline' 'syn' 'a frame to the device' '\*\*a frame, from uploaded to fused' \
        'launches of such a frame: [0-9]' '\*\*last frame to finished stack' 'preview' 'depth map' 'soft-depth: fused' 'average: fused'; do
        grep -Eq "^\| 0.02 \| $stage" out || { cat out; fail "no row for $stage"; }
    done
    # | MP | method | mean error | largest |: a pair that bends, found on pictures of 80 pixels' width
    awk -F'|' '$3 ~ /^ (flow|bspline|syn|ecc, similarity) $/ && NF == 6 { n++; bad += !($4 < 0.3) }
        END { exit !(n == 4 && bad == 0) }' out || { cat out; fail 'motions that are known are not found'; }
    grep -Eq '^\| 0.02 \| [5-9][0-9]\.[0-9] \| 0\.0[0-4]' out || { cat out; fail 'stacks are apart'; }
    for stage in 'ecc, similarity' flow bspline '\*\*a frame, from uploaded to fused\*\*'; do
        grep -Eq "^\| 0.02 \| $stage \| at most [0-9.]+ ms \| [0-9.]+ ms \| (met|\*\*missed\*\*) \|" out ||
            { cat out; fail "$stage is not judged"; }
    done
    grep -Eq '^\| 0.02 \| bspline, mean error \| at most 0.10 px \| [0-9.]+ px \| \*\*missed' out || { cat out; fail 'no mark'; }
    grep -q 'results are too far from the truth' err || fail "$(cat err)"
    grep -Eq '^\| 0.02 \| stacks, GPU and processor \| at least 50.00 dB \| [0-9.]+ dB \| met' out || { cat out; fail 'no mark'; }
    grep -Eq '^\| 0.02 \| transforms, .* \| at most 0.05 px \| [0-9.]+ px \| met' out || { cat out; fail 'no mark'; }
    grep -q '^| 0.02 | a JPEG to the device: no libnvjpeg.so.13, .12 or .11 is found |' out || { cat out; fail 'nvJPEG'; }
}

# A library with nvJPEG's interface makes of our own JPEG what it was made of.
test_decoding_is_timed_where_there_is_a_library()
{
    [ -z "$SAN" ] || skip 'its kernels are tested elsewhere'
    RUNS=1 SEED=1 LD_LIBRARY_PATH=$BUILD/tests/nvjpeg/whole expect_status 0 "$BUILD/tests/gpu_times" 0.02
    grep -Eq '^\| 0.02 \| a JPEG of 0\.0 MB to the device: nvJPEG 12\.3, (4[5-9]|5[0-9])\.[0-9] dB \| [0-9.]+ \|' out ||
        { cat out; fail "no row"; }
    # ... and when not, that is a failure.
    NVJPEG_SWAPS=1 RUNS=1 SEED=1 LD_LIBRARY_PATH=$BUILD/tests/nvjpeg/whole expect_status 1 "$BUILD/tests/gpu_times" 0.02
    grep -q 'nvJPEG decodes is too far from the frame' err || fail "$(cat err)"
}
