#!/bin/bash
# Non-rigid alignment of a pair with known truth, beside the elastix command at full size: a section of
# Markdown. By environment: BUILD, NONRIGID_SIDE (17320 px: 300 MP), NONRIGID_RUNS (5), SEED (1),
# NONRIGID_PEER=0 leaves elastix itself out (it needs about 6 GB at 300 MP).
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=${BUILD:-$PWD/build} SIDE=${NONRIGID_SIDE:-17320} RUNS=${NONRIGID_RUNS:-5} SEED=${SEED:-1}
PEER=${NONRIGID_PEER:-1}
. tests/bench/lib.sh
PAIR=$BUILD/tests/nonrigid
W=$(mktemp -d "${TMPDIR:-/tmp}/parfocal-nonrigid-XXXXXX") || exit 1
trap 'rm -rf "$W"' EXIT

# row NAME FILE: FILE has "wall_s S cpu_s S mean_px P most_px P" lines.
row()
{
    local i line="| $1"
    for i in 2 4 6 8; do
        line+=" | $(awk -v i=$i '{ print $i }' "$2" | sort -g | awk -v f="$([ $i -le 4 ] && echo %.2f || echo %.4f)" '
            { v[NR] = $1 }
            END {
                m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
                printf f, m
                if (NR > 1)
                    printf " (" f "-" f ")", v[1], v[NR]
            }')"
    done
    echo "$line |"
}

for align in bspline flow; do
    say "non-rigid, $SIDE x $SIDE px: $align, $RUNS runs"
    "$PAIR" --side "$SIDE" --seed "$SEED" --align $align --runs "$RUNS" >"$W/$align" 2>"$W/log" ||
        die "nonrigid failed: $(tail -n 3 "$W/log")"
done
if [ "$PEER" != 0 ]; then
    say "non-rigid: writing the pair for elastix"
    "$PAIR" --side "$SIDE" --seed "$SEED" --write "$W" || die "nonrigid failed"
    cat >"$W/parameters.txt" <<END
(FixedInternalImagePixelType "float")
(MovingInternalImagePixelType "float")
(FixedImageDimension 2)
(MovingImageDimension 2)
(UseDirectionCosines "true")
(Registration "MultiResolutionRegistration")
(Interpolator "LinearInterpolator")
(ResampleInterpolator "FinalBSplineInterpolator")
(Resampler "DefaultResampler")
(FixedImagePyramid "FixedRecursiveImagePyramid")
(MovingImagePyramid "MovingRecursiveImagePyramid")
(NumberOfResolutions 4)
(ImagePyramidSchedule 16 16 8 8 4 4 1 1)
(Optimizer "AdaptiveStochasticGradientDescent")
(MaximumNumberOfIterations 250)
(Transform "BSplineTransform")
(FinalGridSpacingInPhysicalUnits $((SIDE / 14)))
(Metric "AdvancedNormalizedCorrelation")
(ImageSampler "RandomCoordinate")
(NumberOfSpatialSamples 5000)
(NewSamplesEveryIteration "true")
(HowToCombineTransforms "Compose")
(AutomaticParameterEstimation "true")
(WriteResultImage "false")
END
    mkdir "$W/out"
    say "non-rigid: elastix at full size, $RUNS runs"
    for ((run = 1; run <= RUNS; run++)); do
        measured "$W/elastix" elastix -f "$W/fixed.mhd" -m "$W/moving.mhd" -p "$W/parameters.txt" -out "$W/out"
        "$PAIR" --side "$SIDE" --seed "$SEED" --judge "$W/out/TransformParameters.0.txt" >>"$W/judged" ||
            die "elastix has left no parameters"
    done
    paste -d ' ' <(awk '{ print "wall_s", $1, "cpu_s", $2 }' "$W/elastix") "$W/judged" >"$W/peer"
fi

cat <<END
## A pair that deforms: $SIDE x $SIDE px

Smooth displacement of at most $(awk -v s="$SIDE" 'BEGIN { printf "%.1f", 11 * s / 17320 }') px, known at every point; seed $SEED, \`tests/bench/nonrigid.sh\`.
From two decoded pictures in memory to the field: reduced pictures of both, what is kept of the first,
alignment with elastix' start and end. Errors on a grid of 100 x 100 points. elastix: the command on
the same pair as files, B-spline with 14 cells a side, result image not written.

| | wall s | CPU s | mean error px | largest error px |
|---|---|---|---|---|
END
row "parfocal, bspline" "$W/bspline"
row "parfocal, flow" "$W/flow"
[ "$PEER" = 0 ] || row "elastix $(elastix --version | awk '{ print $NF }') at full size" "$W/peer"
echo
