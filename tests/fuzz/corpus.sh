#!/bin/bash
# Makes the seeds of the fuzz targets, tests/fuzz/corpus/X/: small files of our own generator, cut and
# odd ones, and lines of the protocols. Run by hand when a target or a format has changed:
#     tests/fuzz/corpus.sh [BUILD_DIR]
set -eu
cd "${BASH_SOURCE%/*}/../.."
build=${1:-build}
to=tests/fuzz/corpus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_picture() # NAME [GENERATOR OPTIONS]: $work/NAME.EXT
{
    local name=$1
    shift
    "$build/tests/generate" --out "$work/$name" --no-truth --width 32 --height 32 --frames 1 \
        --threads 1 --name IMG_%04d "$@" >/dev/null
}

seed() # TARGET NAME FILE
{
    mkdir -p "$to/$1"
    cp "$3" "$to/$1/$2"
}

lines() # TARGET NAME, lines on standard input
{
    mkdir -p "$to/$1"
    cat >"$to/$1/$2"
}

make_picture j420
make_picture j444 --subsampling 444 --orientation 6 --no-subsec --offset none
make_picture j422 --subsampling 422 --no-exif
make_picture t8 --format tiff --orientation 3
make_picture t16 --format tiff --bits 16
make_picture p8 --format png
make_picture p16 --format png --bits 16 --orientation 8
make_picture dng --format dng
make_picture nef --format nef
make_picture arw --format arw
make_picture cr2 --format cr2
make_picture rw2 --format rw2
make_picture raf --format raf
make_picture cr3 --format cr3
for picture in "$work"/*/IMG_0001.*; do
    name=${picture%/*} name=${name##*/}.${picture##*.}
    seed whole "$name" "$picture"
    case $picture in
    *.jpg) seed jpeg "$name" "$picture" && seed preview "$name" "$picture" ;;
    *.png) seed png "$name" "$picture" ;;
    *.tif) seed tiff "$name" "$picture" ;;
    *) seed raw "$name" "$picture" && seed preview "$name" "$picture" ;;
    esac
done
for picture in jpeg/j420.jpg png/p8.png tiff/t8.tif raw/nef.nef; do
    head -c 1000 "$to/$picture" >"$work/cut"
    seed "${picture%/*}" "cut.${picture##*.}" "$work/cut"
    seed whole "cut.${picture##*.}" "$work/cut"
done
{ # CR3 and RAF: their heads, with boxes that say more than there is
    printf '\0\0\0\x18ftypcrx \0\0\0\1crx isom\0\0\0\x10moov\0\0\0\x08uuid\0\0\0\1mdat\0\0\0\0\0\0\0\x10'
} >"$work/cr3"
seed whole cr3 "$work/cr3"
{
    printf 'FUJIFILMCCD-RAW 0201FF383501X-T2            '
    head -c 40 /dev/zero
    printf '\0\0\0\x94\0\0\0\x20\0\0\0\xb4\0\0\0\x10\0\0\0\xc4\0\0\0\x10'
    head -c 200 /dev/zero
} >"$work/raf"
seed whole raf "$work/raf"
seed raw raf "$work/raf"

# An EXIF block is what follows "Exif\0\0" in APP1; a TIFF file is one.
for name in j420 j444; do
    at=$(grep -abo -m1 Exif "$to/jpeg/$name.jpg" | head -n 1 | cut -d: -f1)
    tail -c +$((at + 7)) "$to/jpeg/$name.jpg" | head -c 700 >"$work/exif"
    seed exif $name "$work/exif"
done
head -c 1500 "$to/tiff/t8.tif" >"$work/exif"
seed exif tiff "$work/exif"
tail -c 800 "$to/tiff/t8.tif" | { head -c 8 "$to/tiff/t8.tif" && cat; } >"$work/exif"
seed exif tail "$work/exif"

"$build/parfocal" config show | grep -v '^$' | sed 's/^# *\([a-z_]* = \)/\1/' >"$work/all"
grep -aE '^[a-z_]+ = ' "$work/all" | head -n 60 | lines config all
printf 'source = folder:/in\nsource = folder:/mnt/a b\nsource =\ngap = flash\n; a word\n' | lines config list
printf '[section]\noutbox="  out "\nthreads = 2\nthreads = 3\n' | lines config twice
printf 'clip = 1e309\nmin_correlation=nan\nretries: 99999999999999999999\n' | lines config numbers
printf 'source = folder:a\rspool = b\n' | lines config carriage_return

# tests/fuzz/fuzz_journal.c says how to read these.
printf '\0\0\0\0\0\4None' | lines journal header
printf '\0\x40\x10\0\0\6\xff\xff\xff\xff\0\1' | lines journal page
printf '\2\0\x20\0\0' | lines journal cut
printf '\1\x18\0\0\0\4\1\2\3\4' | lines journal wal_frame
printf '\3\0\x30\0\0' | lines journal wal_cut
printf '\0\x64\0\0\0\1\5\x18\0\0\0\4\0\0\0\x63' | lines journal version
printf '\0\3\xff\xff\xff\xff\x10\0' | lines journal index_without_path
# The same, unseen.
printf 'D\xbb\x285\xffOO' | lines journal unprepared
printf '\4\0\0\0\0\4None' | lines journal unseen_header
printf '\4\0\x40\x10\0\6\xff\xff\xff\xff\0\1' | lines journal unseen_page
printf '\6\0\x20\0\0' | lines journal unseen_cut

lines capture_events frames <<'END'
{"event":"status","source":"folder:in","mode":"inotify","state":"ok","reason":"","pending":true,"watches":1}
{"event":"frame","path":"/in/IMG_0001.JPG","source":"folder:in","format":"jpeg","make":"M","model":"X","serial":"12","lens":"L","burst_id":"b","id":"00000000000003e8-0123456789abcdef0123456789abcdef","size_bytes":1000,"mtime_ns":5,"ctime_ns":6,"inode":7,"arrival_ms":8,"width":60,"height":40,"orientation":1,"capture_ms":1767323045000,"iso":100,"sequence":-1,"counter":1,"focal_mm":50.0,"f_number":2.8,"exposure_s":0.01,"has_subsec":true,"has_offset":false}
{"event":"frame","path":"/in/IMG_9999.JPG","source":"folder:in","format":"jpeg","id":"00000000000003e8-1123456789abcdef0123456789abcdef","size_bytes":1000,"mtime_ns":-9223372036854775808,"ctime_ns":9223372036854775807,"inode":-1,"arrival_ms":-9007199254740992,"width":0,"height":2147483647,"orientation":8,"capture_ms":9223372036854775807,"iso":0,"sequence":9223372036854775807,"counter":9223372036854775807,"focal_mm":1e308,"f_number":0,"exposure_s":1e300,"has_subsec":false,"has_offset":true}
{"event":"frame","path":"/in/IMG_0000.JPG","source":"folder:in","format":"jpeg","id":"00000000000003e8-2123456789abcdef0123456789abcdef","size_bytes":1000,"mtime_ns":0,"ctime_ns":0,"inode":0,"arrival_ms":9007199254740992,"width":0,"height":2147483647,"orientation":8,"capture_ms":-9223372036854775808,"iso":0,"sequence":-1,"counter":0,"focal_mm":0,"f_number":0,"exposure_s":0.0,"has_subsec":false,"has_offset":true}
{"event":"scanned","files":2}
END
lines capture_events others <<'END'
{"event":"rejected","path":"/in/a.jpg","size_bytes":3,"mtime_ns":4,"reason":"truncated"}
{"event":"trouble","path":"/in/\udbff\udf80.jpg","reason":"Permission denied"}
{"event":"alive","patience_ms":9223372036854775807}
{"event":"looking","path":"/in/a.jpg","size_bytes":3,"mtime_ns":4,"ctime_ns":5,"inode":-6}
{"event":"looked"}
{"event":"looking","path":7}
{"event":"looking","path":"/in/\udbff\udf80.jpg","size_bytes":"x"}
{"event":"answer","id":7,"done":false,"taken":1,"frames":9}
{"event":"answer","id":7,"done":true,"error":null}
{"event":"status","mode":7,"state":null,"pending":true}
[1,2]
{"event":
END
lines capture_commands all <<'END'
{"cmd":"known","path":"/in/IMG_0001.JPG","size_bytes":1000,"mtime_ns":5,"ctime_ns":6,"inode":-1}
{"cmd":"known","path":7}
{"cmd":"known","path":"","size_bytes":"x"}
{"cmd":"blamed","path":"/in/IMG_0002.JPG","size_bytes":1000,"mtime_ns":5,"ctime_ns":6,"inode":-1,"pass":false}
{"cmd":"blamed","path":"/in/IMG_0001.JPG","pass":true}
{"cmd":"blamed","pass":true}
{"cmd":"start"}
{"cmd":"scan"}
{"cmd":"recorded","path":"/in/IMG_0001.JPG"}
{"cmd":null}
END
lines worker_commands burst <<'END'
{"cmd":"open","burst":"a.1","align":"ecc","motion":"similarity","min_correlation":0.5,"judge":true,"fuse":"pyramid","clip":3,"depth_map":true,"confidence_map":true,"frame_map":true}
{"cmd":"add","burst":"a.1","frame":"f0","path":"","thumbnails":""}
{"cmd":"add","burst":"a.1","frame":"f1","path":"1"}
{"cmd":"preview","burst":"a.1","path":"1","max_width":16}
{"cmd":"finish","burst":"a.1","dir":"","format":"jpeg","jpeg_quality":80,"depth_map":true,"confidence_map":true,"frame_map":true,"order":["f0","f1"],"sidecar":{"frames":[]}}
{"cmd":"drop","burst":"a.1"}
END
lines worker_commands odd <<'END'
{"cmd":"open","burst":"b","fuse":"average","align":"none","clip":0,"equalise":"yes"}
{"cmd":"add","burst":"b","frame":"00000000000003e8-0123456789abcdef0123456789abcdef","path":"333"}
{"cmd":"finish","burst":"b","dir":"","order":[7,null],"sidecar":7}
{"cmd":"open","burst":"b"}
{"cmd":"open","burst":7,"align":[]}
{"cmd":"add","burst":"c","frame":"x","path":"1"}
{"cmd":"finish","burst":"c","dir":""}
{"cmd":"preview","burst":"b","path":"","max_width":-1}
END
lines worker_events burst <<'END'
{"event":"ready","device":"cpu","device_name":"","reason":"","threads":2,"version":"x"}
{"event":"decoding","burst":"a.1","frame":"0000000000000000-00000000000000000000000000000000"}
{"event":"thumbnail","burst":"a.1","frame":"0000000000000000-00000000000000000000000000000000","size":"small","path":"/x","width":1,"height":1}
{"event":"frame","burst":"a.1","frame":"0000000000000000-00000000000000000000000000000000","verdict":"fused","cause":null,"reason":null,"reference":true,"focus":{"modified_laplacian":2.5,"grid":[1,2]},"transform":[1,0,0,0,1,0,0,0,1],"aligned_by":null,"correlation":1,"width":64,"height":64,"coverage":{"detail":9,"skipped":[["0000000000000000-00000000000000000000000000000000","x"]],"before":[1,2],"beyond":[]}}
{"event":"progress","burst":"a.1","frame":"0000000000000000-00000000000000000000000000000000","step":"bspline","iteration":1,"of":9,"elapsed_ms":1e300}
{"event":"failed","burst":"a.1","cmd":"add","code":2,"reason":"gone","frame":"1111111111111111-11111111111111111111111111111111"}
{"event":"preview","burst":"a.1","path":"x"}
END
lines worker_events finish <<'END'
{"event":"frame","burst":"b.1","frame":"3333333333333333-33333333333333333333333333333333","verdict":"fused","transform":[1,0,0,0,1,0,0,0,0],"coverage":{"skipped":[[1],[],7],"before":7}}
{"event":"frame","burst":"b.1","frame":"4444444444444444-44444444444444444444444444444444","verdict":"aside","reason":7}
{"event":"frame","burst":"b.1","frame":"5555555555555555-55555555555555555555555555555555","verdict":"fused"}
{"event":"failed","burst":"b.1","cmd":"finish","code":28,"reason":"No space left"}
{"event":"failed","burst":"b.1","cmd":"finish","code":12,"reason":null}
{"event":"failed","burst":"b.1","cmd":"open","code":-1}
{"event":"finished","burst":"b.1","files":[],"fused":2}
{"event":"lost","reason":7}
{"event":"warming","step":7,"iteration":9}
END
lines worker_events ahead <<'END'
{"event":"frame","burst":"b.1","frame":"3333333333333333-33333333333333333333333333333333","verdict":"fused"}
{"event":"frame","burst":"b.1","frame":"4444444444444444-44444444444444444444444444444444","verdict":"aside","reason":7}
{"event":"frame","burst":"b.1","frame":"5555555555555555-55555555555555555555555555555555","verdict":"fused"}
{"event":"prepared","burst":"b.1","files":[]}
{"event":"failed","burst":"b.1","cmd":"finish","code":28,"reason":"No space left"}
{"event":"prepared","burst":"b.1","files":[]}
{"event":"finished","burst":"b.1","files":[],"fused":2}
END
du -sh "$to"
