#!/bin/bash
# What 24 MP x 10 JPEG -> TIFF costs, the same frames four times over, and what the stages cost of it;
# prints Markdown. On an idle machine: ten minutes, most of them for making the frames.
#
# Environment: BUILD (build), PARFOCAL, RUNS (5), SIZE (24 MP), FRAMES (10), SCENE (textured), SEED (4),
# IN (frames that are there already, DIR/IMG_*.jpg).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build}
. tests/bench/lib.sh
RUNS=${RUNS:-5} SIZE=${SIZE:-24} FRAMES=${FRAMES:-10} SCENE=${SCENE:-textured} SEED=${SEED:-4}
workspace cost
if [ -z "${IN:-}" ]; then
    say "making $FRAMES frames of $SIZE MP"
    IN=$T/in
    "$GENERATE" --scene "$SCENE" --megapixels "$SIZE" --frames "$FRAMES" --seed "$SEED" --no-truth \
        --out "$IN" || die "generate failed"
fi
frames=("$IN"/IMG_*.jpg)
row() # NAME
{
    echo "| $1 | $(column "$T/$2" 1) | $(column "$T/$2" 2) | $(megabytes "$T/$2") |"
}

echo "$(date -u +%Y-%m-%d), $("$PARFOCAL" --version | awk 'NR == 1 { print $NF }'), $(machine); $RUNS runs, median (least-most)."
echo
echo "| $SCENE, $SIZE MP, seed $SEED | wall s | CPU s | peak MB |"
echo "|---|---|---|---|"
for ((i = 1; i <= RUNS; i++)); do
    measured "$T/once" "$PARFOCAL" stack "${frames[@]}" -o "$T/stack.tif"
done
row "${#frames[@]} frames" once
for ((i = 1; i <= RUNS; i++)); do
    measured "$T/often" "$PARFOCAL" stack "${frames[@]}" "${frames[@]}" "${frames[@]}" "${frames[@]}" -o "$T/stack.tif"
done
row "the same four times over" often
echo
"$BUILD/tests/cpu_times" "${frames[@]}" || die "cpu_times failed"
