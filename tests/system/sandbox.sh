#!/bin/bash
# The children's sandbox around the real program (config/base/sandbox.h; from inside: test_sandbox).
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

# A field of /proc/PID/status.
of_status()
{
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

need_seccomp()
{
    grep -q '^Seccomp:' /proc/self/status || skip 'no seccomp in this kernel'
    ! "$PARFOCAL" doctor 2>/dev/null | grep -q 'not filtered' || skip 'seccomp cannot be used here'
}

need_landlock()
{
    "$PARFOCAL" doctor 2>/dev/null | grep -q 'Landlock [0-9]' || skip 'no Landlock in this kernel'
}

test_children_of_the_service_are_confined()
{
    local role pid
    need_seccomp
    make_burst burst
    mkdir_inbox
    serve --source camera:ptpip:127.0.0.1:1:1 # nobody is there
    await_log 'worker ready'
    wait_for 10 eval '[ "$(child_pid capture | wc -l)" = 2 ]'
    for role in capture process; do
        for pid in $(child_pid $role); do
            wait_for 10 eval '[ "$(of_status '"$pid"' Seccomp)" = 2 ]'
            [ "$(of_status "$pid" NoNewPrivs)" = 1 ] || fail "$role: new privileges"
            # Of root's capabilities those that reach files; a camera's process sees other processes.
            case $(of_status "$pid" CapEff) in
            *00000000000000 | *00000000000006 | *0000000000080006) ;;
            *) fail "$role: capabilities $(of_status "$pid" CapEff)" ;;
            esac
        done
    done
    drop burst/*.jpg
    await_stacks 1
    # Memory and time are counted from what the worker had when the last frame came.
    if [ -z "$SAN" ]; then
        grep -Eq '^Max data size +[0-9]+ ' "/proc/$(child_pid process)/limits" || fail 'no memory limit'
        grep -Eq '^Max cpu time +[0-9]+ ' "/proc/$(child_pid process)/limits" || fail 'no time limit'
    fi
    stop_service
    log_lacks 'Function not implemented|has ended|set aside'
}

# What a camera gives is looked at as a folder's files are: within memory and time.
test_a_cameras_process_is_confined()
{
    need jq
    need_landlock
    need_strace
    make_burst shots --frames 2
    camera body shots --model canon --serial 0042
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -e trace=landlock_restrict_self,prlimit64 "%s" "$@"\n' \
        "$T/calls" "$PARFOCAL" >traced
    chmod +x traced
    PARFOCAL=$T/traced capture --card all
    tell shoot 2 100
    await_frames 2
    grep -q 'landlock_restrict_self(.*= 0' calls || { cat calls; fail 'its files are not confined'; }
    grep -Eq 'RLIMIT_DATA, \{rlim_cur=[0-9]+\*' calls || { cat calls; fail 'no limit of memory'; }
    grep -Eq 'RLIMIT_CPU, \{rlim_cur=[0-9]+,' calls || { cat calls; fail 'no limit of time'; }
}

# A spool that is another directory than when it began: another process can write there.
test_a_spool_that_is_mounted_over_is_written_to()
{
    need_landlock
    [ "$(id -u)" -eq 0 ] || skip 'needs root to mount'
    make_burst shots --frames 6
    camera body shots --serial 0042
    serve_camera --card all --expected-frames 3
    tell shoot 3 100
    await_stacks 1
    mount -t tmpfs -o size=64m none spool || skip 'no tmpfs can be mounted'
    at_end umount "$T/spool"
    tell shoot 3 100
    await_stacks 2 60
    [ -n "$(find spool -name '*.jpg' -o -name '*.JPG')" ] || fail 'nothing is in the new spool'
    stop_service
}

# What it could not take is no less wanted by the process that comes then, though the list of what is to be left
# alone lies in the old one.
test_a_picture_that_a_stale_spool_did_not_take_is_fetched()
{
    need_landlock
    [ "$(id -u)" -eq 0 ] || skip 'needs root to mount'
    make_burst shots --frames 5
    camera body shots --serial 0042
    tell shoot 2 50
    wait_for 5 none_left
    serve_camera --expected-frames 3
    await_log '2 pictures were on the card when it was first seen'
    mount -t tmpfs -o size=64m none spool || skip 'no tmpfs can be mounted'
    at_end umount "$T/spool"
    tell shoot 3 100
    await_stacks 1 60
    stop_service
    [ "$(find spool -name '*.JPG' | sed 's/.*-//' | sort | tr '\n' ' ')" = \
        'TEST0003.JPG TEST0004.JPG TEST0005.JPG ' ] || fail "$(find spool)"
    [ -s spool/*/.before ] || fail 'what was left alone is not noted in the new spool'
}

# One that has the camera's folder, from another time: that is found when the card is compared.
test_a_stale_spool_is_seen_when_the_link_is_opened_again()
{
    need_landlock
    [ "$(id -u)" -eq 0 ] || skip 'needs root to mount'
    make_burst shots --frames 3
    camera body shots --serial 0042
    serve_camera --expected-frames 3
    local folder
    wait_for 10 eval 'folder=$(ls -d "$T"/spool/*/)'
    mount -t tmpfs -o size=64m none spool || skip 'no tmpfs can be mounted'
    at_end umount "$T/spool"
    mkdir "$folder"
    echo "$folder/20260102-034405-1a2b3c4d-TEST9999.JPG" >"$folder/.before"
    tell unplug
    await_log 'the link is opened again'
    tell plug
    await_log 'spool: Stale file handle' 30
    tell shoot 3 100
    await_stacks 1 60
    stop_service
}

# One that was removed is made anew, by the process that comes then; a folder in it by the same.
test_a_spool_that_is_removed()
{
    local before
    need_landlock
    make_burst shots --frames 3
    camera body shots --serial 0042
    serve_camera --expected-frames 3 --gap 60
    tell shoot
    await_log 'frame .*TEST0001.JPG'
    before=$(child_pid capture)
    rm -r spool/*
    tell shoot
    await_log 'frame .*TEST0002.JPG'
    [ "$(child_pid capture)" = "$before" ] || fail 'it was begun anew'
    rm -r spool
    tell shoot
    await_log 'frame .*TEST0003.JPG' 30
    [ "$(child_pid capture)" != "$before" ] || fail 'it was not begun anew'
    stop_service
}

# As long as the machine shows no device, the process is not confined: it is to be there when it is.
test_a_spool_that_is_removed_before_there_is_a_device()
{
    camera_port=disk:$T/later capture
    capture_says 'shows no USB'
    rm -r spool
    mkdir later
    wait_for 20 [ -d spool ]
}

# The lists of what was on cards before lie in the state directory as well.
test_lists_of_cards_that_are_removed()
{
    need_landlock
    make_burst shots --frames 3
    camera body shots --serial 0042
    tell unplug
    start service "$PARFOCAL" serve --source "camera:$camera_port" --outbox "$T/outbox" --state "$T/state" \
        --spool "$T/spool" --gap 2 --hold 0.3 --poll-interval 0.3 --http off
    at_end tail -n 60 "$T/service.err"
    await_log 'it is looked for again'
    rm -r state/cards
    tell plug
    wait_for 30 eval '[ -e "$(echo state/cards/*)" ]'
    tell shoot 3 20
    await_stacks 1 40
    stop_service
    [ "$stopped" = 0 ] || fail "it ended with status $stopped"
}

# A spool that was removed is made again, but not below the mount point of a disk that is gone.
test_without_it_a_spool_that_is_gone()
{
    need mkfs.ext4
    make_burst shots --frames 4
    camera body shots
    truncate -s 16M disk
    mkfs.ext4 -q disk
    mkdir mounted
    mount -o loop disk mounted 2>/dev/null || skip 'no disk can be mounted here'
    capture --no-sandbox --spool "$T/mounted/spool"
    tell shoot
    await_frames 1
    rm -r mounted/spool
    tell shoot
    await_frames 2
    goes_and_comes()
    {
        wait_for 20 umount mounted
        tell shoot
        wait_for 20 capture_says "TEST000$1.JPG: No such file or directory; it is tried again"
        tell unplug
        tell plug
        wait_for 20 capture_says 'the disk of .* is not there'
        [ -z "$(ls mounted)" ] || fail 'it is made below the mount point'
        mount -o loop disk mounted
        await_frames "$2" 60
    }
    goes_and_comes 3 3
    [ "$(find mounted -name '*.JPG' | wc -l)" = 2 ] || fail "$(find mounted)"
    stop capture
    capture --no-sandbox --spool "$T/mounted"
    goes_and_comes 4 1
    [ "$(find mounted -name '*.JPG' | wc -l)" = 3 ] || fail "$(find mounted)"
}

# The same disk, mounted again: the same directory, but the sandbox's rule has gone with the mount.
test_a_spool_whose_disk_is_mounted_again()
{
    need mkfs.ext4
    need_landlock
    make_burst shots --frames 2
    camera body shots --serial 0042
    truncate -s 16M disk
    mkfs.ext4 -q disk
    mkdir mounted
    mount -o loop disk mounted 2>/dev/null || skip 'no disk can be mounted here'
    serve_camera --expected-frames 2 --gap 60 --spool "$T/mounted/spool"
    tell shoot
    await_log 'frame .*TEST0001.JPG'
    wait_for 20 umount mounted
    tell shoot
    await_log 'TEST0002.JPG: No such file or directory; it is tried again'
    [ -z "$(ls mounted)" ] || fail 'it is written below the mount point'
    mount -o loop disk mounted
    await_log 'frame .*TEST0002.JPG' 60
    stop_service
}

# A limit that the worker could raise itself would be none.
test_the_workers_memory_is_limited_for_good()
{
    [ -z "$SAN" ] || skip 'sanitizers reserve more address space than any limit'
    mkdir_inbox
    serve --worker-memory 4000
    await_log 'worker ready'
    awk '/^Max address space/ { found = $4 ~ /^[0-9]+$/ && $4 >= 4000 * 1048576 && $4 == $5 } END { exit !found }' \
        "/proc/$(child_pid process)/limits" || fail "$(cat "/proc/$(child_pid process)/limits")"
    stop_service
}

test_it_can_be_turned_off()
{
    mkdir_inbox
    serve --no-sandbox
    await_log 'worker ready'
    log_says 'sandbox = no' || fail 'it is not said'
    [ "$(of_status "$(child_pid process)" Seccomp)" = 0 ] || fail 'the worker is confined'
    [ "$(of_status "$(child_pid capture)" NoNewPrivs)" = 0 ] || fail 'the source is confined'
    stop_service
    expect_status 0 "$PARFOCAL" doctor --no-sandbox
    grep -q '^warn  sandbox .*sandbox = no' out || fail "$(cat out)"
}

# The rules hold for the directory that was there when the worker began.
test_an_outbox_that_is_mounted_over_is_written_to()
{
    need_landlock
    [ "$(id -u)" -eq 0 ] || skip 'needs root to mount'
    mkdir_inbox
    mkdir outbox
    make_burst first
    make_burst second --seed 5 --start 2026-01-02T04:00:00 --name second-%02d
    serve --expected-frames 5
    drop first/*.jpg
    await_stacks 1
    mount -t tmpfs -o size=64m none outbox || skip 'no tmpfs can be mounted'
    drop second/*.jpg
    await_stacks 1 60
    log_says 'outbox.* is another directory than when the worker began' || fail 'it did not notice'
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and all(.frames[]; .attempts == 0)'
    stop_service
    umount outbox
    await_stacks 1
}

# The same disk, mounted again: it has the same numbers, but the worker's rule for it has gone.
test_an_outbox_whose_disk_is_mounted_again()
{
    need mkfs.ext4
    need_landlock
    [ "$(id -u)" -eq 0 ] || skip 'needs root to mount'
    make_burst first
    make_burst second --seed 5 --start 2026-01-02T04:00:00 --name second-%02d
    mkdir_inbox
    mkdir outbox
    truncate -s 32M disk
    mkfs.ext4 -q disk
    mount -o loop disk outbox 2>/dev/null || skip 'no disk can be mounted here'
    at_end umount -l "$T/outbox"
    local numbers
    numbers=$(stat -c '%d %i' outbox)
    serve --expected-frames 5
    drop first/*.jpg
    await_stacks 1
    wait_for 20 umount outbox
    mount -o loop disk outbox
    [ "$(stat -c '%d %i' outbox)" = "$numbers" ] || echo 'it has other numbers this time'
    drop second/*.jpg
    await_stacks 2 60
    stop_service
    log_lacks 'Permission denied|the worker has ended'
}

test_the_outbox_is_made_before_the_worker()
{
    mkdir_inbox
    make_burst burst
    mkdir outbox # of other tests; here it is another one
    serve --outbox "$T/not/yet"
    drop burst/*.jpg
    await_log 'stack published: .*/not/yet/' 30
    stop_service
    log_lacks 'begins anew|has ended'
}

# every way through the engine, under the filter
test_all_methods_and_formats_within_it()
{
    need jq
    need_seccomp
    local format align fuse i=0 j=0
    for format in jpeg tiff png dng; do
        "$GENERATE" --out "in-$format" --no-truth --scene textured --width 320 --height 240 \
            --frames 3 --format $format >/dev/null
    done
    {
        for align in ecc orb akaze sift hybrid flow none; do
            for fuse in pyramid soft-depth average; do
                # Each method of aligning once, each of fusing several times.
                [ $((j++ % 2)) = 0 ] || continue
                i=$((i + 1))
                set -- jpeg tiff png dng
                shift $((i % 4))
                set -- in-$1/*
                mkdir -p "out/$i"
                jq -nc --arg a "$align" --arg f "$fuse" --arg b "b$i" \
                    '{cmd: "open", burst: $b, align: $a, fuse: $f, equalise: true}'
                for file; do
                    jq -nc --arg p "$T/$file" --arg b "b$i" --arg t "$T/out/$i/thumb-${file##*/}" \
                        '{cmd: "add", burst: $b, frame: $p, path: $p, thumbnails: $t}'
                done
                set -- tiff png jpeg
                shift $((i % 3))
                jq -nc --arg b "b$i" --arg d "$T/out/$i" --arg f "$1" '{cmd: "preview", burst: $b,
                    path: ($d + "/preview.jpg"), max_width: 100}, {cmd: "finish", burst: $b, dir: $d,
                    format: $f, order: [], sidecar: {}, frame_map: true, confidence_map: true},
                    {cmd: "drop", burst: $b}'
            done
        done
    } >commands
    "$PARFOCAL" process "$T/out" <commands >events 2>log || { cat log; fail 'the worker ended'; }
    ! grep -aE 'not implemented|not permitted|denied' events log || fail 'something was refused'
    jq -es "[.[] | select(.event == \"finished\")] | length == $i" events >/dev/null ||
        { jq -c 'select(.event == "failed")' events; fail 'not all finished'; }
    jq -es '[.[] | select(.event == "thumbnail")] | length > 30' events >/dev/null || fail 'thumbnails'
}

# A picture that declares too much takes no memory: of each kind one of 60000 x 60000.
test_image_bombs_are_refused_before_anything_is_allocated()
{
    need jq python3
    python3 - <<'P'
import struct, zlib
side = 60000
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
open('bomb.png', 'wb').write(b'\x89PNG\r\n\x1a\n' +
    chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 16, 6, 0, 0, 0)) +
    chunk(b'IDAT', zlib.compress(bytes(100000))) + chunk(b'IEND', b''))
open('bomb.jpg', 'wb').write(b'\xff\xd8\xff\xdb\x00\x43\x00' + b'\1' * 64 + b'\xff\xc0\x00\x11\x08' +
    struct.pack('>HH', side, side) + b'\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00' +
    b'\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00' + bytes(1000) + b'\xff\xd9')
def tiff(name, extra):
    tags = sorted([(256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 1), (277, 3, 1),
                   (273, 4, 4096), (278, 4, side), (279, 4, 0xfffffff0)] + extra)
    data = b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', len(tags))
    for tag, kind, value in tags:
        data += struct.pack('<HHII', tag, kind, 1, value)
    open(name, 'wb').write(data + bytes(10000))
tiff('bomb.tif', [(262, 3, 1)])
tiff('bomb.dng', [(262, 3, 32803), (50706, 1, 0x00000401), (254, 4, 0), (33421, 3, 0x00020002)])
P
    {
        for kind in png jpg tif dng; do
            jq -nc --arg k $kind --arg p "$T/bomb.$kind" '{cmd: "open", burst: $k},
                {cmd: "add", burst: $k, frame: $k, path: $p, thumbnails: ($p + ".thumb")}'
        done
    } >commands
    # Beyond the program and its libraries nearly nothing is to be had: what is taken for a bomb before it is
    # refused makes it fail for another reason.
    mkfifo pipe
    start worker bash -c "[ -n '$SAN' ] || ulimit -d 60000; exec '$PARFOCAL' process --threads 1 <'$T/pipe'"
    exec 7>pipe
    cat commands >&7
    all_answered() { [ "$(jq -s '[.[] | select(.event == "frame" or .event == "failed")] | length' worker.out)" = 4 ]; }
    wait_for 20 all_answered
    local peak
    peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$started/status")
    exec 7>&-
    jq -es '[.[] | select(.event == "frame")] | length == 4 and
        all(.verdict == "aside" and (.cause == "unreadable"))' worker.out >/dev/null ||
        { cat worker.out; fail 'a bomb was taken'; }
    jq -es '[.[] | select(.event == "frame" and (.reason | test("60000 x 60000 pixels, more than the limit")))] |
        length == 4' worker.out >/dev/null || { jq -c .reason worker.out; fail 'for another reason'; }
    [ -n "$SAN" ] || [ "$peak" -lt 200000 ] || fail "the worker's memory went up to $peak kB"
}
