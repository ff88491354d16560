#!/bin/bash
# Checks and times the kernels on this machine's GPU; see `make gpu-check`, which has built what is
# needed into DIR.
#
#   gpu-check.sh can [NVCC] [WHY]   whether it can be done here: one line why not, and status 77
#   gpu-check.sh run DIR        all tests, then the times as a table in Markdown; status 1 when a test
#                               failed or the table is not whole. SIZES="6 24": megapixels to be
#                               timed. COMMIT: what is checked, where git cannot tell.
#                               DRIVER_VERSION: the file that says which driver there is
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2

case ${1:-} in
can)
    if [ -z "${2:-}" ]; then
        echo "gpu-check: cannot be run here: ${3:-there is no nvcc}" >&2
        exit 77
    fi
    for device in /dev/nvidiactl /dev/nvmap /dev/dxg; do # a card's driver, a Jetson's, a guest of Windows
        [ ! -e $device ] || exit 0
    done
    echo "gpu-check: cannot be run here: no NVIDIA GPU, or none whose driver is loaded" >&2
    exit 77
    ;;
run) dir=${2:?} ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac

passed=0 failed=0 log=$dir/gpu-check.log
: >"$log"
for test in "$dir"/test_cuda_*; do
    case $test in *.o | *.d) continue ;; esac
    TEST_SECONDS=300 "$test" >"$log.one" 2>&1
    status=$?
    cat "$log.one" >>"$log"
    ok=$(grep -c '^ok ' "$log.one") bad=$(grep -c '^FAIL ' "$log.one")
    # It ended without a word, or well without any test.
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ $((ok + bad)) -gt 0 ] || bad=1
    printf '%-28s %3d passed, %d failed\n' "${test##*/}" "$ok" "$bad"
    grep '^FAIL ' "$log.one"
    passed=$((passed + ok)) failed=$((failed + bad))
done
rm -f "$log.one"

# "... x86_64 Kernel Module  535.183.01 ..." or "... Open Kernel Module for x86_64  580.65.06 ...": a word with a point
driver=$(awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+[.][0-9.]*$/) { print $i; exit } }' \
    "${DRIVER_VERSION:-/proc/driver/nvidia/version}" 2>/dev/null)
{
    echo "# The engine on a GPU"
    echo
    echo "\`make gpu-check\`, $(date -u +%F), commit ${COMMIT:-$(git describe --always --dirty 2>/dev/null || echo unknown)}," \
        "driver ${driver:-unknown}: $passed tests passed, $failed failed."
    echo
} | tee "$dir/GPU.md"
# Not in a group that is piped: what it counts would be lost.
# shellcheck disable=SC2086
"$dir/gpu_times" ${SIZES:-} | tee -a "$dir/GPU.md"
status=${PIPESTATUS[0]}
if [ "$status" -ne 0 ]; then
    printf '\n**Not whole, or results too far apart: what makes this table ended with status %d.**\n' "$status" | tee -a "$dir/GPU.md"
    failed=$((failed + 1))
fi
{
    echo
    echo "Whole stacks of generated bursts, GPU against processor:"
    echo
    sed -n 's/^\([0-9].*\): \(stacks [0-9.]* dB\).*/- \1: \2 from one another/p' "$log"
} | tee -a "$dir/GPU.md"
echo
echo "The table is in $dir/GPU.md; tests/bench/GPU.md is its place. All that was said: $log"
[ "$failed" -eq 0 ] && grep -q '^| [0-9.]* |' "$dir/GPU.md"
