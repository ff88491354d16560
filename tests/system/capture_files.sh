#!/bin/bash
# capture: which files are frames, and when. Rows of the failure cases: 3, 4, 8, 9, 10, 11, 15, 17,
# 21.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/capture.inc"

test_row03_slow_writer()
{
    inbox
    "$GENERATE" --out made --width 160 --height 120 --frames 1 --no-truth --format png \
        --name slow%d --first-number 1 >/dev/null
    "$GENERATE" --out made --width 160 --height 120 --frames 1 --no-truth --format tiff \
        --name slow%d --first-number 1 >/dev/null
    capture
    local name part
    for name in slow1.png slow1.tif IMG_0001.jpg; do
        [ -e "made/$name" ] || fail "$(ls made)"
        : >"$IN/$name"
        for part in 1 2 3; do # closes several times, and pauses
            head -c $((part * 3000)) "made/$name" | tail -c 3000 >>"$IN/$name"
            pass_marker
            ! said frame "$name" || fail "$name was taken after $((part * 3000)) bytes"
        done
        tail -c +9001 "made/$name" >>"$IN/$name"
        wait_for 30 said frame "$name"
    done
    expect_frames 3
    expect_count 0 rejected
    # The record is of the file as it is in the end.
    grep -a slow1.tif capture.out | jq -e ".size_bytes == $(stat -c %s made/slow1.tif)" >/dev/null ||
        fail "$(grep -a slow1.tif capture.out)"
}

pending_is() # TEXT: all that was said of it, changes alone
{
    [ "$(grep -a '"event":"status"' capture.out | jq -r .pending | uniq | tr '\n' ' ')" = "$1" ]
}

# What is on its way is told before it is a frame, and that it is not any more after that.
test_row03_a_slow_writer_is_told_of()
{
    inbox
    head -c 4000 made/IMG_0001.jpg >"$IN/old.jpg" # somebody's broken copy is nothing that comes
    touch -d '1 hour ago' "$IN/old.jpg"
    capture
    cp made/IMG_0002.jpg "$IN"
    expect_frames 1
    pending_is 'false ' || fail "$(cat capture.out)"
    head -c 4000 made/IMG_0001.jpg >"$IN/slow.jpg"
    head -c 4000 made/IMG_0003.jpg >"$IN/lost.jpg"
    head -c 4000 made/IMG_0003.jpg >"$IN/notes.txt"
    wait_for 30 pending_is 'false true '
    tail -c +4001 made/IMG_0001.jpg >>"$IN/slow.jpg"
    wait_for 30 said frame slow.jpg
    pass_marker
    pending_is 'false true ' || fail "the other one is forgotten: $(cat capture.out)"
    rm "$IN/lost.jpg"
    wait_for 30 pending_is 'false true false '
    head -c 4000 made/IMG_0004.jpg >"$IN/slow2.jpg"
    wait_for 30 pending_is 'false true false true '
    tail -c +4001 made/IMG_0004.jpg >>"$IN/slow2.jpg"
    wait_for 30 pending_is 'false true false true false '
    [ "$(grep -aE 'frame.*slow2.jpg|"pending":false' capture.out | tail -n 1 | jq -r .event)" = status ] ||
        fail "it was said too early: $(cat capture.out)"
}

# Bursts wait for what grows, and are not to be told that nothing does because its name is another one.
test_row03_a_slow_writer_that_renames()
{
    inbox
    capture
    head -c 4000 made/IMG_0001.jpg >"$IN/upload.jpg"
    wait_for 30 pending_is 'false true '
    mv "$IN/upload.jpg" "$IN/upload2.jpg"
    pass_marker
    mkdir "$IN/sub"
    mv "$IN/upload2.jpg" "$IN/sub/IMG_0001.jpg"
    pass_marker
    tail -c +4001 made/IMG_0001.jpg >>"$IN/sub/IMG_0001.jpg"
    wait_for 30 said frame sub/IMG_0001.jpg
    wait_for 30 pending_is 'false true false '
}

test_row04_temporary_names()
{
    inbox
    local name
    capture --incomplete-after 1
    for name in IMG_1.jpg.part IMG_1.jpg.tmp IMG_1.jpg~ .IMG_1.jpg.AbC123 .hidden.jpg \
        IMG_1.jpg.crdownload .syncthing.IMG_1.jpg.tmp IMG_1.jpg.filepart IMG_1.xmp notes.txt; do
        cp made/IMG_0001.jpg "$IN/$name"
    done
    mkdir "$IN/.cache"
    cp made/IMG_0001.jpg "$IN/.cache"
    echo text >"$IN/README"
    : >"$IN/LOCK"
    pass_marker
    expect_count 1 frame # the marker
    head -c 3000 made/IMG_0002.jpg >"$IN/half.jpg"
    wait_for 30 said rejected half.jpg # and what came before it is not named
    expect_count 1 rejected
    mv "$IN/IMG_1.jpg.part" "$IN/IMG_0001.jpg"
    wait_for 30 said frame "$IN/IMG_0001.jpg"
    expect_frames 1
}

test_row04_rsync()
{
    inbox
    need rsync
    capture
    rsync -a made/ "$IN/"
    expect_frames 4
    rsync -a --inplace --bwlimit=20000 made/ "$IN/again/"
    expect_frames 8
    ! grep -aq '/\.' capture.out || fail "a temporary name was reported"
}

test_row04_scp()
{
    inbox
    need scp ssh
    # scp to a remote side needs a server; the copy to itself runs the same writer.
    capture
    scp -q made/*.jpg "$IN/" || skip "scp does not copy here"
    expect_frames 4
}

test_row08_one_file_reported_several_times()
{
    inbox
    capture
    local i
    cp made/IMG_0001.jpg "$IN"
    for i in {1..20}; do
        : >>"$IN/IMG_0001.jpg" # a close each time
    done
    wait_for 30 said frame IMG_0001.jpg
    for i in {1..5}; do
        : >>"$IN/IMG_0001.jpg"
        touch "$IN/IMG_0001.jpg"
        chmod 600 "$IN/IMG_0001.jpg"
        chmod 644 "$IN/IMG_0001.jpg"
        pass_marker
    done
    expect_frames 1
}

test_row09_links()
{
    inbox
    capture
    ln made/IMG_0001.jpg "$IN/hard.jpg" 2>/dev/null || cp made/IMG_0001.jpg "$IN/hard.jpg"
    ln -s "$T/made/IMG_0002.jpg" "$IN/symbolic.jpg"
    ln -s "$T/nowhere.jpg" "$IN/dangling.jpg"
    ln -s . "$IN/loop"
    ln -s "$T/made" "$IN/elsewhere"
    ln -s self.jpg "$IN/self.jpg"
    wait_for 30 said frame "$IN/hard.jpg"
    wait_for 30 said frame "$IN/symbolic.jpg"
    expect_frames 2
    expect_count 0 trouble
    # The same by a scan.
    stop capture
    capture
    expect_frames 2
}

test_row10_inode_reuse()
{
    inbox 8
    capture
    local i
    for i in {1..8}; do
        # The same name, size and time; most file systems give the inode again too.
        cp "made/IMG_000$i.jpg" next
        truncate -s 60000 next
        touch -d '2026-01-01 00:00:00' next
        freeze # it sees nothing in between
        rm -f "$IN/IMG.jpg"
        cp -p next "$IN/IMG.jpg"
        thaw
        wait_for 30 enough_frames "$i"
    done
    expect_frames 8
    [ "$(grep -a IMG.jpg capture.out | jq -r .id | sort -u | wc -l)" -eq 8 ] ||
        fail "not 8 identities"
}

test_row11_same_name_from_two_cards()
{
    inbox
    capture
    mkdir "$IN/100CANON" "$IN/101CANON"
    cp made/IMG_0001.jpg "$IN/100CANON/IMG_0001.JPG"
    cp made/IMG_0002.jpg "$IN/101CANON/IMG_0001.JPG"
    expect_frames 2
    expect_count 1 frame 100CANON/IMG_0001.JPG
    expect_count 1 frame 101CANON/IMG_0001.JPG
}

test_row11_counter_wraps_onto_a_name()
{
    inbox
    capture
    cp made/IMG_0001.jpg "$IN/IMG_0001.JPG"
    wait_for 30 enough_frames 1
    cp made/IMG_0002.jpg "$IN/IMG_0001.JPG" # over it
    expect_frames 2
    [ "$(grep -a IMG_0001.JPG capture.out | jq -r .id | sort -u | wc -l)" -eq 2 ] ||
        fail "not two identities"
}

test_row15_truncated_empty_and_corrupt()
{
    inbox
    capture --incomplete-after 1
    head -c 4000 made/IMG_0001.jpg >"$IN/truncated.jpg"
    : >"$IN/empty.tif"
    { printf '\xff\xd8\xff\xe0\x00\x04ab'; echo nonsense; } >"$IN/corrupt.jpg"
    echo "this is text" >"$IN/text.png"
    cp made/IMG_0002.jpg "$IN"
    wait_for 30 has_count 4 rejected
    said rejected truncated.jpg && said rejected empty.tif && said rejected corrupt.jpg &&
        said rejected text.png || fail "$(cat capture.out)"
    grep -a '"rejected"' capture.out | jq -es 'all(.reason != "" and .size_bytes >= 0 and
        .mtime_ns > 0)' >/dev/null || fail "$(cat capture.out)"
    grep -a '"rejected"' capture.out | grep empty.tif | jq -r .reason | grep -q empty ||
        fail "$(cat capture.out)"
    expect_frames 1
    # The burst goes on, and what is mended counts.
    tail -c +4001 made/IMG_0001.jpg >>"$IN/truncated.jpg"
    wait_for 30 said frame truncated.jpg
    expect_frames 2
    expect_count 4 rejected
    # Touched, it is still the same rejection; another content is another one.
    chmod 600 "$IN/corrupt.jpg"
    pass_marker
    expect_count 4 rejected
    echo more >>"$IN/corrupt.jpg"
    wait_for 30 has_count 5 rejected
}

test_row15_fuzzed_files_do_no_harm()
{
    inbox
    capture --incomplete-after 1
    local i name
    "$GENERATE" --out made --width 64 --height 48 --frames 1 --no-truth --format tiff --name t%d --first-number 1 >/dev/null
    "$GENERATE" --out made --width 64 --height 48 --frames 1 --no-truth --format png --name p%d --first-number 1 >/dev/null
    for name in made/t1.tif made/p1.png made/IMG_0001.jpg; do
        for i in {1..15}; do
            cp "$name" fuzzed
            # A few bytes in the head, repeatable.
            printf "\\x$(printf %02x $((i * 37 % 256)))" |
                dd of=fuzzed bs=1 seek=$((i * 13 % 200)) conv=notrunc status=none
            printf "\\x$(printf %02x $((i * 91 % 256)))" |
                dd of=fuzzed bs=1 seek=$((i * 29 % 600)) conv=notrunc status=none
            mv fuzzed "$IN/$i-${name##*/}"
        done
    done
    pass_marker
    expect_alive
    cp made/IMG_0002.jpg "$IN"
    wait_for 30 said frame "$IN/IMG_0002.jpg"
}

test_row17_permission_denied()
{
    inbox
    # As root without root's right to read everything.
    if [ "$(id -u)" -eq 0 ]; then
        need setpriv
        under_capture=(setpriv --bounding-set -dac_override,-dac_read_search)
        "${under_capture[@]}" true 2>setpriv.err || skip "setpriv: $(cat setpriv.err)"
    fi
    mkdir "$IN/closed"
    cp made/IMG_0003.jpg "$IN/closed"
    chmod 000 "$IN/closed"
    at_end chmod 700 "$IN/closed"
    cp made/IMG_0001.jpg "$T/secret.jpg"
    chmod 000 "$T/secret.jpg"
    mv "$T/secret.jpg" "$IN"
    capture --poll always --poll-interval 0.05 # tries it often
    wait_for 30 said trouble secret.jpg
    wait_for 30 said trouble closed
    cp made/IMG_0002.jpg "$IN"
    expect_frames 1
    pass_marker
    expect_count 2 trouble
    [ "$(grep -c 'Permission denied' capture.err)" -eq 2 ] || fail "a flood: $(cat capture.err)"
    chmod 644 "$IN/secret.jpg"
    chmod 755 "$IN/closed"
    wait_for 30 said frame secret.jpg
    wait_for 30 said frame closed/IMG_0003.jpg
    expect_count 2 trouble
}

test_row17_permission_given_later()
{
    inbox
    if [ "$(id -u)" -eq 0 ]; then
        need setpriv
        under_capture=(setpriv --bounding-set -dac_override,-dac_read_search)
        "${under_capture[@]}" true 2>setpriv.err || skip "setpriv: $(cat setpriv.err)"
    fi
    capture
    mkdir "$T/closed"
    cp made/IMG_0002.jpg "$T/closed"
    chmod 000 "$T/closed"
    mv "$T/closed" "$IN"
    (umask 777 && cat made/IMG_0001.jpg >"$IN/secret.jpg")
    wait_for 30 said trouble secret.jpg
    wait_for 30 said trouble closed
    chmod 644 "$IN/secret.jpg"
    chmod 755 "$IN/closed"
    wait_for 30 said frame secret.jpg
    wait_for 30 said frame closed/IMG_0002.jpg
}

test_row21_odd_names()
{
    inbox 5
    capture
    local nfd=$'e\xcc\x81te\xcc\x81.jpg' bytes=$'\xff\xfe\x80.jpg' line=$'a\nb: error.jpg'
    cp made/IMG_0001.jpg "$IN/$nfd"
    cp made/IMG_0002.jpg "$IN/$bytes" 2>/dev/null || skip "this file system takes no such names"
    cp made/IMG_0003.jpg "$IN/$line"
    cp made/IMG_0004.jpg "$IN/-rf.jpg"
    cp made/IMG_0005.jpg "$IN/ \"quoted\" \\ \$HOME.jpg"
    : >"$IN/"$'broken\nline.jpg'
    expect_frames 5
    said frame "/$nfd" || fail "NFD name: $(cat capture.out)"
    # Bytes that are no UTF-8: code points U+10FF00 + byte.
    said frame $'/\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbe\xf4\x8f\xbe\x80.jpg' ||
        fail "non-UTF-8 name: $(cat capture.out)"
    jq -r 'select(.event == "frame").path' capture.out | grep -qxF -- "$IN/a" ||
        fail "name with a newline: $(cat capture.out)"
    said frame "$IN/-rf.jpg" || fail "leading dash: $(cat capture.out)"
    jq -e . capture.out >/dev/null || fail "not JSON Lines"
}

test_records_carry_exif()
{
    inbox
    capture
    "$GENERATE" --out made --width 160 --height 120 --frames 1 --no-truth --format tiff \
        --name t%d --first-number 1 --start 2026-01-02T03:04:05.250 --offset +02:00 --serial S1 --orientation 6 >/dev/null
    cp made/t1.tif "$IN/t.tif"
    wait_for 30 said frame t.tif
    grep -a t.tif capture.out | jq -e '.capture_ms == 1767315845250 and .has_subsec and .has_offset
        and .serial == "S1" and .orientation == 6 and .width == 160 and .height == 120
        and .format == "tiff" and .counter == -1' >/dev/null || fail "$(cat capture.out)"
}
