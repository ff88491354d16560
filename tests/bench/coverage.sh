#!/bin/bash
# How often coverage and judge are right, over generated brackets of several sizes, steps and scenes.
#
#   tests/bench/coverage.sh [BUILD_DIR] [-d DIR] [-o FILE]
#       -d  keeps what was measured of each bracket there, and takes from there what it has
#       -o  Markdown table (tests/bench/COVERAGE.md)
# SIZES: "WIDTHxHEIGHTxFRAMES:SEED,SEED..." of each size. All of it takes about an hour of two cores.
# Seeds 1 to 4 were used to make the rules; the ones here were not.
set -u
cd "${BASH_SOURCE%/*}/../.." || exit 2
BUILD=build
case ${1:-} in '' | -*) ;; *) BUILD=$1 && shift ;; esac
SIZES=${SIZES:-768x512x19:5,6,7,8,9,10 1728x1152x37:5,6,7 3000x2000x19:5 6000x4000x10:5}
keep='' results=tests/bench/COVERAGE.md
while getopts d:o: option; do
    case $option in
    d) keep=$OPTARG ;;
    o) results=$OPTARG ;;
    *) exit 2 ;;
    esac
done
. tests/bench/lib.sh
T=$(mktemp -d "${TMPDIR:-/tmp}/parfocal-bench-XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
keep=${keep:-$T}
mkdir -p "$keep"
for size in $SIZES; do
    IFS=x read -r width height frames <<<"${size%:*}"
    for seed in $(tr , ' ' <<<"${size#*:}"); do
        for scene in textured bristles board backdrop; do
            file=$keep/$scene-$width-$frames-$seed
            [ -s "$file" ] || {
                say "$scene, $width x $height, $frames frames, seed $seed"
                "$BUILD/tests/coverage" "$scene" "$width" "$height" "$frames" "$seed" >"$file.part" ||
                    die "coverage failed"
                mv "$file.part" "$file"
            }
            cat "$file" >>"$T/all"
        done
    done
done
{
    cat <<END
# Coverage and judge: how often they are right

Made by \`tests/bench/coverage.sh\`, $(date +%F), parfocal $(git describe --always --dirty).
Machine: $(machine). Sizes and seeds: $SIZES;
scenes textured, bristles, board, backdrop. From each bracket all that its frames make are taken, down
to 6 frames: every one, every second, and so on.

"False" are whole brackets of which a skipped plane is told, whole or while they grow. "Visible" are
single frames taken out where that leaves 1 px of blur or more midway, "dense" where it leaves less.
"Outside" are whole brackets of which parts are said to be sharp in no frame; "ends" those of two (3
tenths missing at the end, at the start) where that is said. The judge: good frames condemned; the
middle frame focused far outside, or moved by 6 px (at 2 MP, scaled with the size), and named.

| size | brackets | false | visible found | dense found | wrong place | outside | ends | condemned | misfocused found | moved found |
|---|---|---|---|---|---|---|---|---|---|---|
END
    sort -n -k2,2 "$T/all" | awk '
        function row() {
            printf "| %s | %d | %d | %d of %d | %d of %d | %d | %d | %d of %d | %d of %d | %d of %d | %d of %d |\n",
                size, n, false, found, visible, dense_found, dense, other, outside, ends, 2 * n,
                condemned, good, lost, spoilt, moved, spoilt
            n = false = found = visible = dense_found = dense = other = outside = ends = 0
            condemned = good = lost = spoilt = moved = 0
        }
        { if (size && size != $2 " x " $3) row(); size = $2 " x " $3 }
        { n++; false += $7 || $8; other += $11; outside += $12; ends += $13; good += $14; condemned += $15 }
        $6 >= 1 { visible += $9; found += $10 }
        $6 < 1 { dense += $9; dense_found += $10 }
        $16 >= 0 { spoilt++; lost += $16; moved += $17 }
        END { row() }'
} >"$results"
