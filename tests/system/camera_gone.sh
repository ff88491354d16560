#!/bin/bash
# The capture process, by hand, of a camera that is not there.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

# scans_are 'N N ': files that were told of, scan by scan
scans_are()
{
    [ "$(grep -a '"event":"scanned"' capture.out | jq -r .files | tr '\n' ' ')" = "$1" ]
}

# A spool that is not there has no files: what is missing there is not gone.
test_a_spool_that_vanishes_without_a_camera()
{
    mkdir -p spool/Camera-1
    echo picture >spool/Camera-1/IMG_1.JPG
    heard_by_capture
    echo '{"cmd":"start","untold":true}' >&8
    camera_port=ptpip:127.0.0.1:1:1 PARFOCAL=$T/listening capture # nobody is there
    scans_are '1 ' || fail "$(cat capture.out)"
    echo '{"cmd":"scan"}' >&8
    wait_for 10 scans_are '1 1 '
    mv spool/Camera-1 elsewhere
    echo '{"cmd":"scan"}' >&8
    wait_for 10 scans_are '1 1 0 '
    exec 8>&-
}

# A camera that is gone may be another process's by now: what lies half done in its folder, too. And a picture of
# another camera is there as well.
test_a_scan_without_the_camera()
{
    local folder
    make_burst files --frames 1
    camera body files
    heard_by_capture
    echo '{"cmd":"start","untold":true}' >&8
    PARFOCAL=$T/listening capture
    scans_are '0 '
    mkdir spool/Camera-1
    echo picture >spool/Camera-1/IMG_1.JPG
    echo '{"cmd":"scan"}' >&8
    wait_for 10 scans_are '0 1 '
    tell unplug
    wait_for 10 capture_says 'it is looked for again'
    folder=$(ls -d spool/Test*)
    echo half >"$folder/.part-20260102-034405-1a2b3c4d-TEST0001.JPG"
    echo '{"cmd":"scan"}' >&8
    wait_for 10 scans_are '0 1 1 '
    [ -e "$folder/.part-20260102-034405-1a2b3c4d-TEST0001.JPG" ] || fail "another process's download is gone"
    exec 8>&-
}

# Of each attempt in vain libgphoto2's drivers keep memory: a year of them is too many for one process.
test_a_process_ends_after_many_attempts_in_vain()
{
    local asked=0 answered
    [ -z "$SAN" ] || skip "takes long with $SAN, and the leaks are known"
    heard_by_capture
    echo '{"cmd":"start"}' >&8
    camera_port=ptpip:127.0.0.1:1:1 PARFOCAL=$T/listening capture # nobody is there
    has_answered()
    {
        ! kill -0 "$(cat capture.pid)" 2>/dev/null || [ "$(grep -ac '"event":"scanned"' capture.out)" -gt "$answered" ]
    }
    # Each time it has tried again before it answers the next time but one.
    while kill -0 "$(cat capture.pid)" 2>/dev/null; do
        asked=$((asked + 1))
        [ $asked -le 700 ] || fail "it has not ended"
        answered=$(grep -ac '"event":"scanned"' capture.out)
        printf '{"cmd":"look"}\n{"cmd":"scan"}\n' >&8
        wait_for 10 has_answered
    done
    exec 8>&-
    [ $asked -ge 250 ] || fail "it has ended after $asked attempts"
    stopped=0
    wait "$(cat capture.pid)" || stopped=$?
    [ "$stopped" = 0 ] || fail "it ended with status $stopped"
    [ "$(grep -c '"event":"anew","reason":".*; libgphoto2 loses memory' capture.out)" = 1 ] || fail "$(tail -n 3 capture.out)"
    capture_says 'info .*libgphoto2 loses memory with each of 256 attempts, which go on anew' || fail "$(tail -n 3 capture.err)"
}
