#!/bin/bash
# What this nvcc must be told to compile kernels here, as one line; or "without: " and why it cannot.
#
#   cuda-flags.sh BUILD NVCC CXX CCBIN ARCH
#
# CCBIN is the host compiler; empty, CXX is tried, then the one that nvcc takes by itself (a distribution's knows one
# that it accepts). ARCH is all, native, or what -arch= takes. nvcc knows -arch=all from 11.5, native from 11.6 on, and
# before them the lists that are made here. The answer is kept in BUILD: trying takes seconds.
set -u
build=$1 nvcc=$2 cxx=$3 ccbin=$4 arch=$5
kept=$build/cuda-flags.$arch

here=
[ "$arch" != native ] || here=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    grep -Ex '[0-9]+\.[0-9]+' | sed 's/\.//; s/^/sm_/' | sort -Vu)
key=$(tr '\n' ' ' <<<"$* $here $(stat -Lc %Y "$0" "$nvcc" "$(command -v "${ccbin:-$cxx}")" 2>/dev/null)")
if [ "$(head -n 1 "$kept" 2>/dev/null)" = "$key" ]; then
    sed -n 2p "$kept"
    exit
fi

# Machine code for each, and PTX of the newest for those to come.
codes=$("$nvcc" --list-gpu-code 2>/dev/null | grep -Ex 'sm_[0-9]+' | sort -V)
[ -z "$here" ] || [ -z "$codes" ] || grep -Fxqv "$codes" <<<"$here" || codes=$here
flags=-arch=$arch newest=-arch=$arch
case $arch in
all | native)
    if [ -n "$codes" ]; then
        number=$(sed -n '$s/sm_//p' <<<"$codes")
        newest="-gencode arch=compute_$number,code=compute_$number"
        flags="$(sed 's/sm_\(.*\)/-gencode arch=compute_\1,code=sm_\1/' <<<"$codes" | tr '\n' ' ')$newest"
    fi
    ;;
esac

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/probe.cu" <<'PROBE'
#include <algorithm>
#include <cmath>
#include <vector>
__global__ void probe(float *to) { *to = sqrtf(*to); }
int main() { std::vector<int> two(2); probe<<<1, 1>>>(nullptr); return std::max(two[0], two[1]); }
PROBE
try() # HOST COMPILER, "" nvcc's own
{
    # shellcheck disable=SC2086
    "$nvcc" -std=c++17 -Wno-deprecated-gpu-targets $newest ${1:+-ccbin "$1"} -c -o "$work/probe.o" "$work/probe.cu" >"$work/said" 2>&1
}
host=${ccbin:-$cxx}
if ! try "$host"; then
    why=$(grep -am 1 . "$work/said")
    refusal=$(grep -aoE 'unsupported (GNU|clang|.*host) .*' "$work/said" | head -n 1)
    if [ -n "$ccbin" ] || ! try ''; then
        [ -z "$refusal" ] || why="it refuses $host; NVCC_CCBIN=g++-11 or the like says which compiler to take ($refusal)"
        echo "without: $nvcc cannot compile a kernel: $why"
        exit
    fi
    host=
fi
answer="$flags -Wno-deprecated-gpu-targets${host:+ -ccbin '$host'}"
{ mkdir -p "$build" && printf '%s\n' "$key" "$answer" >"$kept"; } 2>/dev/null
printf '%s\n' "$answer"
