#!/bin/bash
# A tethered camera: the capture process by hand, with the real libgphoto2 and the test camera. The
# quirks are those of libgphoto2 2.5.30 that capture/camera.h has to live with, by number.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

test_shots_become_frames()
{
    make_burst files
    camera body files
    capture
    tell shoot 5 100
    await_frames 5
    same_as_card 5
    [ "$(frames | jq -s 'map(.source) | unique == ["camera:'"$camera_port"'"]')" = true ] || fail "source"
    [ "$(frames | jq -s 'map(.counter) == [1,2,3,4,5]')" = true ] || fail "counters: $(frames)"
    [ -z "$(find spool -name '.part*')" ] || fail "parts are left"
    [ "$(tell count 100b)" = 0 ] || fail "something was deleted on the card"
}

# Many cameras answer at once that there is nothing: we must not ask all the time.
test_quirk_1_a_camera_that_does_not_wait()
{
    make_burst files --frames 1
    camera body files
    capture
    local pid before ticks
    pid=$(cat "$T/capture.pid")
    before=$(awk '{ print $14 + $15 }' "/proc/$pid/stat") # of the start
    sleep 2
    ticks=$(awk -v before="$before" '{ print $14 + $15 - before }' "/proc/$pid/stat")
    [ "$ticks" -lt 60 ] || fail "$ticks ticks of CPU in two seconds of nothing"
}

test_quirk_2_busy_at_the_event()
{
    make_burst files
    camera body files
    capture
    tell busy 1
    tell shoot 3 50
    await_frames 3
    same_as_card 3
    capture_says 'was busy when it had something to say'
}

# Nothing at all is said of a picture: the card's free space shows it.
test_quirk_2_a_lost_event()
{
    make_burst files
    camera body files
    capture
    tell shoot
    await_frames 1
    sleep 0.5
    tell lose 1
    tell shoot
    await_frames 2
    same_as_card 2
    [ "$(tell sessions)" -le 3 ] || fail "the link was opened $(tell sessions) times"
}

# After a read that has timed out the session is out of step: it is opened anew.
test_quirk_3_a_stalled_read()
{
    make_large files 2
    camera body files
    capture
    tell stall 1 1300000 3500
    tell shoot 2 50
    await_frames 2 30
    same_as_card 2
    capture_says 'Timeout'
    [ "$(tell sessions)" -ge 2 ] || fail "no new session"
}

test_quirk_4_a_dropped_link_resumes()
{
    make_large files 2
    camera body files
    capture
    tell drop 1 1500000
    tell shoot 2 50
    await_frames 2 30
    same_as_card 2
    capture_says 'resumed at 1048576 of'
    # Three parts each, and the one that was broken off.
    [ "$(tell count 101b)" = 7 ] || fail "$(tell count 101b) parts were fetched"
}

test_quirk_5_a_short_size()
{
    make_burst files
    camera body files
    capture
    tell short 2
    tell shoot 3 50
    await_frames 3
    same_as_card 3
    [ "$(grep -c rejected capture.err)" = 0 ] || fail "it was rejected"
}

test_quirk_7_one_identity()
{
    make_burst files --frames 1
    camera body files
    capture
    stop capture
    find state/gphoto -name settings -exec grep -h guid {} + >guid
    [ -s guid ] || fail "no GUID was kept"
    rm capture.out
    capture
    find state/gphoto -name settings -exec grep -h guid {} + | cmp - guid || fail "another GUID"
}

# Names come again after a format; and twice in a session of a camera that has no card.
# libgphoto2 refuses a second thread on one camera.
test_quirk_8_one_thread()
{
    make_burst files --frames 1
    camera body files
    capture
    tell shoot
    await_frames 1
    [ "$(ls "/proc/$(cat "$T/capture.pid")/task" | wc -l)" = 1 ] || fail "more than one thread"
}

test_quirk_9_names_that_repeat()
{
    make_burst files --frames 4
    camera body files
    capture
    tell shoot 2 20
    await_frames 2
    stop capture
    tell format
    tell rewind
    rm capture.out
    capture --card all
    tell shoot 2 20
    await_frames 4 # by hand it tells what is in the spool as well
    [ "$(find spool -name '*TEST0001.JPG' | wc -l)" = 2 ] || fail "one has taken the place of the other: $(find spool)"
    [ "$(frames | jq -r .id | sort -u | wc -l)" = 4 ] || fail "not four pictures"
}

test_quirk_11_pairs_are_two_files_of_one_stem()
{
    make_burst files --frames 3
    make_burst files --frames 3 --format dng
    camera body files
    capture
    tell pairs 1
    tell shoot 3 50
    await_frames 6
    same_as_card 6
    [ "$(frames | jq -r .path | sed 's/\.[^.]*$//' | sort | uniq -c | awk '{ print $1 }' | tr -d '\n')" = 222 ] ||
        fail "not three stems with two files each"
}

test_quirk_12_errors_do_not_end_it()
{
    make_burst files
    camera body files
    capture
    tell busy 2
    tell shoot
    tell drop 2 10000
    tell shoot 2 20
    tell lose 1
    tell shoot 2 20
    await_frames 5 30
    same_as_card 5
    kill -0 "$(cat capture.pid)" || fail "it has ended"
}

test_unplugged_and_plugged_in_again()
{
    make_burst files
    camera body files
    capture
    tell shoot
    await_frames 1
    tell unplug
    wait_for 10 capture_says 'the link is opened again'
    tell shoot 3 20 # meanwhile: the card has them
    wait_for 10 capture_says 'it is looked for again'
    tell plug
    await_frames 4 30
    same_as_card 4
}

# What was there before is left alone, also by the next start; what was shot in between is not.
test_the_card_is_compared_at_start()
{
    make_burst files
    camera body files
    tell shoot 2 20
    wait_for 5 none_left
    capture
    tell shoot
    await_frames 1
    stop capture
    tell shoot
    rm capture.out
    capture
    await_frames 2 # by hand it tells what is in the spool as well
    frames | grep -q '0004.JPG' || fail "what was shot in between is missing: $(frames)"
    ! find spool -name '*0001.JPG' -o -name '*0002.JPG' | grep -q . || fail "what was there before was fetched"
}

# The spool was made anew: what was left alone is left alone, what was not is not. By hand nobody tells what was fetched
# before: then all that is older than what the spool has.
test_a_spool_that_is_emptied()
{
    make_burst files --frames 9
    camera body files
    tell shoot 2 20
    wait_for 5 none_left
    capture
    tell shoot
    await_frames 1
    frames | jq -c '{cmd: "known", path, size_bytes}' >known
    stop capture
    rm -r spool
    tell shoot 2 20
    wait_for 5 none_left
    capture
    capture_says 'which of the 3 pictures on the card'
    tell unplug
    wait_for 10 capture_says 'it is looked for again'
    tell later 60
    tell shoot # while the link is lost
    tell plug
    await_frames 1 30
    stop capture
    tell shoot
    capture
    await_frames 2
    [ "$(tell downloads)" = 3 ] || fail "$(tell downloads) were fetched"
    stop capture
    heard_by_capture
    cat known >&8
    frames | jq -c '{cmd: "known", path, size_bytes}' >&8
    echo '{"cmd":"start","untold":true}' >&8
    PARFOCAL=$T/listening capture
    await_frames 2
    exec 8>&-
    [ "$(find spool -name '*.JPG' | sed 's/.*-//' | sort | tr '\n' ' ')" = \
        'TEST0004.JPG TEST0005.JPG TEST0006.JPG TEST0007.JPG ' ] || fail "$(find spool)"
}

# A list that cannot be read for a moment is not made anew with all that the card has by then.
test_a_list_of_what_was_there_that_cannot_be_read()
{
    need_strace
    make_burst files --frames 2
    camera body files
    tell shoot
    wait_for 5 none_left
    capture
    stop capture
    tell shoot
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -P "%s" -e trace=openat -e inject=openat:error=EIO:when=1 "%s" "$@"\n' \
        "$T/trace" "$(echo "$T"/spool/*/.before)" "$PARFOCAL" >traced
    chmod +x traced
    PARFOCAL=$T/traced capture
    await_frames 1
    frames | grep -q '0002.JPG' || fail "$(frames)"
    capture_says 'before: Input/output error'
    [ "$(tell downloads)" = 1 ] || fail "$(tell downloads) were fetched"
}

# What is shot until a list can be written at last is none of it.
test_a_list_of_what_was_there_that_cannot_be_written()
{
    need_strace
    make_burst files --frames 2
    camera body files
    tell shoot
    wait_for 5 none_left
    # Six for directories, two for the name of its source, then two for each list, which is not renamed when the first fails.
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -e trace=fsync -e inject=fsync:error=EIO:when=9..12 "%s" "$@"\n' \
        "$T/trace" "$PARFOCAL" >traced
    chmod +x traced
    shoot_meanwhile()
    {
        wait_for 20 capture_says 'cards/.*Input/output error'
        tell shoot
    }
    shoot_meanwhile &
    PARFOCAL=$T/traced capture
    await_frames 1
    frames | grep -q '0002.JPG' || fail "$(frames)"
    [ "$(tell downloads)" = 1 ] || fail "$(tell downloads) were fetched"
    [ "$(sed 's/.*-//' state/cards/* spool/*/.before | tr '\n' ' ')" = 'TEST0001.JPG TEST0001.JPG ' ] || fail "$(cat state/cards/*)"
}

# Nobody has noted what the card had: what is newer than all that came from it is taken, what is older is left alone.
test_a_camera_that_the_journal_knows()
{
    make_burst files
    camera body files
    tell shoot 2 20
    wait_for 5 none_left
    tell later 60
    capture
    tell shoot
    await_frames 1
    stop capture
    rm -r spool/*/.before state/cards
    tell later 60
    tell shoot 2 20
    heard_by_capture
    frames | jq -c '{cmd: "known", path, size_bytes}' >&8
    echo '{"cmd":"start","untold":true}' >&8
    PARFOCAL=$T/listening capture
    await_frames 2
    [ "$(tell downloads)" = 3 ] || fail "$(tell downloads) were fetched"
    capture_says '2 pictures that are not newer'
    [ "$(sed 's/.*-//' state/cards/* | sort | tr '\n' ' ')" = 'TEST0001.JPG TEST0002.JPG ' ] || fail "$(cat state/cards/*)"
    exec 8>&-
}

# A body that has no serial number goes by where it is plugged in. At another place its card tells that it
# is the same; that of another body is one that was never seen.
test_a_body_without_a_serial_number_at_another_place()
{
    make_burst files
    camera body files --serial ''
    tell shoot 2 20
    wait_for 5 none_left
    capture
    tell shoot
    await_frames 1
    stop capture
    stop body
    camera moved files --serial ''
    tell shoot 4 20
    wait_for 5 none_left
    capture
    capture_says 'at another place: its card tells'
    await_frames 1
    frames | grep -q '0004.JPG' || fail "$(frames)"
    stop capture
    tell shoot
    capture
    await_frames 2 # by hand it tells what is in the spool as well
    [ "$(tell downloads)" = 2 ] || fail "$(tell downloads) were fetched"
    stop capture
    camera other files --serial '' --clock 1700000000
    tell shoot 2 20
    wait_for 5 none_left
    capture
    capture_says '2 pictures were on the card when it was first seen'
    tell shoot
    await_frames 1
    [ "$(tell downloads)" = 1 ] || fail "$(tell downloads) were fetched"
}

test_all_of_a_card()
{
    make_burst files
    camera body files
    tell shoot 2 20
    wait_for 5 none_left
    capture --card all
    await_frames 2
    same_as_card 2
}

# Nothing goes from a card before the service has said that it is recorded.
test_nothing_is_deleted_unrecorded()
{
    local asked
    make_burst files
    camera body files
    capture --delete-from-card
    tell shoot 2 20
    await_frames 2
    asked=$(tell count 1005)
    several_rounds()
    {
        [ "$(tell count 1005)" -ge $((asked + 3)) ]
    }
    wait_for 20 several_rounds
    [ "$(tell count 100b)" = 0 ] || fail "something was deleted"
}

test_full_card_and_empty_battery_are_said()
{
    make_burst files --frames 1
    camera body files
    tell battery 5
    capture
    wait_for 10 capture_says 'battery at 5 %'
    tell battery 80
    tell full 1
    wait_for 10 capture_says 'the card is full'
    [ "$(grep -a '"status"' capture.out | tail -1 | jq -r .state)" = degraded ] || fail "state"
}

test_no_room_in_the_spool()
{
    need mount
    make_burst files --frames 3
    camera body files
    mkdir spool
    mount -t tmpfs -o size=300k tmpfs spool 2>/dev/null || skip "no tmpfs can be mounted here"
    capture
    dd if=/dev/zero of=spool/filler bs=1k count=400 2>/dev/null || true
    tell shoot 3 20
    wait_for 10 capture_says 'No space left on device; it is tried again'
    wait_for 10 capture_says "$T/spool: No space left on device" # the source's state
    sleep 2 # it is tried some times more
    [ "$(grep -c 'it is tried again' capture.err)" = 1 ] || fail "it is said more than once"
    [ "$(tell downloads)" = 0 ] || fail "pictures are fetched that have no room"
    [ "$(grep -a '"status"' capture.out | tail -1 | jq -r .state)" = degraded ] || fail "state"
    rm spool/filler
    await_frames 3 30
    same_as_card 3
    wait_for 10 capture_says 'spool takes pictures again'
    state_is_ok()
    {
        [ "$(grep -a '"status"' capture.out | tail -1 | jq -r .state)" = ok ]
    }
    wait_for 10 state_is_ok
}

# The trouble goes with the pictures that have no room: here another card is put in.
test_no_room_for_what_is_gone()
{
    need mount
    make_burst files --frames 2
    camera body files
    mkdir spool
    mount -t tmpfs -o size=300k tmpfs spool 2>/dev/null || skip "no tmpfs can be mounted here"
    capture
    dd if=/dev/zero of=spool/filler bs=1k count=400 2>/dev/null || true
    tell shoot
    wait_for 10 capture_says "$T/spool: No space left on device"
    tell unplug
    tell format
    tell plug
    wait_for 20 capture_says 'has no picture to take any more'
    state_is_ok()
    {
        [ "$(grep -a '"status"' capture.out | tail -1 | jq -r .state)" = ok ]
    }
    wait_for 20 state_is_ok
}

# A disk that fails for a moment, when the picture has its name already: it is not fetched again.
test_a_spool_that_cannot_be_synced_for_a_moment()
{
    need_strace
    make_burst files --frames 2
    camera body files
    # Six for directories, two for the name of its source, four for the lists of what was there before, one for the
    # picture, and those of its directory.
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -e trace=fsync -e inject=fsync:error=EIO:when=14..15 "%s" "$@"\n' \
        "$T/trace" "$PARFOCAL" >traced
    chmod +x traced
    PARFOCAL=$T/traced capture
    tell shoot
    await_frames 1
    same_as_card 1
    capture_says 'Input/output error; it is tried again'
    [ "$(tell downloads)" = 1 ] || fail "it was fetched $(tell downloads) times"
    [ "$(find spool -name '*.JPG' | wc -l)" = 1 ] || fail "$(find spool)"
    # What an earlier failure has left under the next one's name does not stop it, and stays.
    local left
    left=$(find spool -name '*.JPG' | sed 's/034406/034407/; s/0001/0002/')
    echo 'half a picture' >"$left"
    tell shoot
    await_frames 2
    same_as_card 2
    [ "$(cat "$left")" = 'half a picture' ] || fail "$left was overwritten"
}

# A picture that nobody was told of but by a process that has ended: $path, for strace to make its sync fail.
one_is_left_in_the_spool()
{
    need_strace
    make_burst files --frames 1
    camera body files
    capture
    tell shoot
    await_frames 1
    stop capture
    path=$(find "$T/spool" -name '*.JPG')
}

# The process that has put it there may have been killed before its name was on the disk.
test_what_lies_untold_in_the_spool_is_synced_first()
{
    local path
    one_is_left_in_the_spool
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -P "%s" -e trace=fsync -e inject=fsync:error=EIO "%s" "$@"\n' \
        "$T/trace" "$path" "$PARFOCAL" >traced
    chmod +x traced
    PARFOCAL=$T/traced capture
    capture_says "fsync of $path: Input/output error; it is tried again"
    await_frames 1 # the card has it
}

# Its camera may be gone for good; the disk fails for a moment.
test_what_lies_untold_in_the_spool_is_tried_again()
{
    local path
    one_is_left_in_the_spool
    stop body
    printf '#!/bin/sh\nexec strace -f -qq -o "%s" -P "%s" -e trace=fsync -e inject=fsync:error=EIO:when=1..2 "%s" "$@"\n' \
        "$T/trace" "$path" "$PARFOCAL" >traced
    chmod +x traced
    heard_by_capture "$T/traced"
    echo '{"cmd":"start","untold":true}' >&8
    PARFOCAL=$T/listening capture
    await_frames 1
    [ "$(frames | jq -r .path)" = "$path" ] || fail "$(frames)"
    [ "$(grep -c 'it is tried again' capture.err)" = 1 ] || fail "it is not said once"
    exec 8>&-
}

# One that says without pause what has changed keeps nobody from going.
test_a_camera_that_never_is_silent()
{
    local begun ms
    keep_drivers_leaks
    make_burst files --frames 1
    camera body files
    heard_by_capture
    echo '{"cmd":"start"}' >&8
    PARFOCAL=$T/listening capture
    tell chatter 1
    sleep 0.3
    begun=$(date +%s%N)
    stop capture # heard between two calls of libgphoto2's, since it is not run by hand
    exec 8>&-
    [ "$stopped" = 0 ] || fail "it ended with status $stopped"
    ms=$((($(date +%s%N) - begun) / 1000000))
    [ $ms -lt 6000 ] || fail "it took $ms ms" # eight seconds are what there is
}

# RAW and JPEG that are in the camera's memory alone; it says something else between them, and the first takes a while.
test_the_second_file_of_the_last_shot()
{
    keep_drivers_leaks
    make_burst files --frames 1
    make_burst files --frames 1 --format dng
    camera body files --profile nikon
    tell pairs 1
    tell chatter 1
    tell expose 1500
    tell stall 1 1000 1500
    heard_by_capture
    echo '{"cmd":"start"}' >&8
    PARFOCAL=$T/listening capture --capture-target memory
    echo '{"cmd":"ask","id":1,"do":"bracket","frames":2,"step":10,"settle_ms":0}' >&8
    is_exposing()
    {
        [ "$(tell count 9207)" = 1 ]
    }
    wait_for 10 is_exposing
    stop capture
    exec 8>&-
    [ "$stopped" = 0 ] || fail "it ended with status $stopped"
    [ "$(find spool -name '*capt*' | wc -l)" = 2 ] || fail "$(find spool)"
}

# Nobody else ends it: the first word may not be heard, the second is.
test_by_hand_what_hangs_is_ended()
{
    make_burst files --frames 1
    camera body files
    capture
    tell hang 1
    wait_for 10 grep -q 'no answer' body.log # it is in a call of libgphoto2's
    has_gone()
    {
        ! kill -INT "$started" 2>/dev/null
    }
    wait_for 20 has_gone
    stop capture INT
    [ "$stopped" = 130 ] || fail "status $stopped"
}

test_a_corrupt_picture_is_rejected_and_named()
{
    mkdir files
    echo 'no picture at all' >files/a.jpg
    make_burst more --frames 1
    cp more/*.jpg files/b.jpg
    camera body files
    capture
    tell shoot 2 20
    await_frames 1
    wait_for 5 grep -q '"event":"rejected"' capture.out
    capture_says 'TEST0001.JPG: rejected: .*; it stays on the card'
}

# The service says so of a picture at which this process has died twice.
test_a_picture_that_ends_the_process_is_passed_over()
{
    local path
    make_burst files --frames 2
    camera body files
    capture --card all
    tell shoot
    await_frames 1
    stop capture
    path=$(frames | jq -r .path)
    rm "$path" # as if it had never come so far
    heard_by_capture
    printf '{"cmd":"blamed","path":"%s","pass":true}\n{"cmd":"start"}\n' "$path" >&8
    PARFOCAL=$T/listening capture --card all
    tell shoot
    await_frames 1
    frames | grep -q 'TEST0002.JPG' || fail "$(frames)"
    [ ! -e "$path" ] || fail "it was fetched"
    # And it says what it reads.
    [ "$(grep -aE '"event":"look(ing|ed)"' capture.out | jq -r '.event + " " + (.path // "" | sub(".*-"; ""))' | tr '\n' ';')" = \
        'looking TEST0002.JPG;looked ;' ] || fail "$(cat capture.out)"
    exec 8>&-
}

test_no_camera()
{
    start capture "$PARFOCAL" capture camera:SERIAL-THAT-NOBODY-HAS --spool spool --state state
    wait_for 20 capture_says 'no camera SERIAL-THAT-NOBODY-HAS is there'
    wait_for 5 grep -q '"event":"scanned"' capture.out
    [ "$(grep -a '"status"' capture.out | jq -r .state)" = missing ] || fail "state"
}
