#!/bin/bash
# Cameras through the service: from the shot to the published stack.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"

# The one published stack has these frames, each once. stacked N
stacked()
{
    local stack
    stack=$(published | tail -n 1)/stack.json
    check "$stack" ".fused + .aside == $1 and ([.frames[].identity] | unique | length == $1)"
}

# The files on the card are those in the journal, byte by byte.
journal_is_card()
{
    tell list | tr '|' '\n' | sed -n 's/^[^ ]* [0-9]* //p' | while read -r path; do md5sum <"$path"; done |
        sort >"$T/there"
    sqlite3 -readonly "$T/state/journal.sqlite" 'SELECT path FROM files' | while read -r path; do
        md5sum <"$path"
    done | sort >"$T/here"
    cmp "$T/here" "$T/there" || fail "the journal's files are not those on the card"
}

test_a_burst_becomes_a_stack()
{
    need sqlite3
    make_burst files
    camera body files
    serve_camera
    tell shoot 5 100
    await_stacks 1 40
    stop_service
    stacked 5
    journal_is_card
    [ "$(tell count 100b)" = 0 ] || fail "something was deleted on the card"
}

test_two_cameras_two_stacks()
{
    local other
    make_burst first --serial 1001
    make_burst second --serial 2002 --seed 7
    camera one first --serial 1001
    other=$camera_port
    camera two second --serial 2002
    serve_camera --source "camera:$other"
    await_log 'serial number 1001 at' # its card was looked at
    await_log 'serial number 2002 at'
    camera_name=one tell shoot 5 100
    camera_name=two tell shoot 5 100
    await_stacks 2 60
    stop_service
    check "$(published | head -n 1)/stack.json" '.fused == 5 and ([.frames[].path | contains("Camera-'"$(jq -r .camera.serial "$(published | head -n 1)/stack.json")"'")] | all)'
    check "$(published | tail -n 1)/stack.json" '.fused == 5'
}

# Quirk 6: a refused deletion is answered with success.
test_quirk_6_deletion_is_verified()
{
    make_burst files
    camera body files
    tell refuse 1
    serve_camera --delete-from-card
    tell shoot 5 50
    await_stacks 1 40
    await_log 'the camera refuses to delete it'
    only_one_left()
    {
        [ "$(tell list | tr '|' '\n' | grep -c JPG)" = 1 ]
    }
    wait_for 20 only_one_left
    stop_service
    stacked 5
}

# A card that is emptied begins its numbers anew, with pictures of one size in a moment: each is one.
# What an earlier start has fetched and not deleted goes when it is found to be that.
test_only_what_is_here_is_deleted()
{
    make_burst files
    truncate -s 200000 files/*
    camera body files
    serve_camera --delete-from-card --card all --gap 30
    local n files=(files/*)
    for n in 1 2 3; do
        tell rewind
        tell shoot
        wait_for 20 eval "[ \"\$(grep -c 'TEST0001.JPG: .* MB' service.err)\" -eq $n ] && [ -z \"\$(tell list)\" ]"
    done
    [ "$(cat spool/*/*.JPG | md5sum)" = "$(cat "${files[@]:0:3}" | md5sum)" ] ||
        fail "the spool does not have each of them: $(ls -l spool/*)"
    tell refuse 1000
    tell shoot
    await_log 'TEST0002.JPG: the camera refuses to delete it'
    stop_service
    tell refuse 0
    serve_camera --delete-from-card --card all --gap 30
    wait_for 20 eval '[ -z "$(tell list)" ]'
    stop_service
    [ "$(cat spool/*/*.JPG | md5sum)" = "$(cat "${files[@]:0:4}" | md5sum)" ] ||
        fail "a picture is in the spool twice, or not: $(ls -l spool/*)"
}

# A library that hangs is ended with its process; the next one goes on.
test_a_hung_library()
{
    local limit=2
    [ -z "$SAN" ] || limit=10 # what takes long is no hanging
    make_burst files
    camera body files
    serve_camera --camera-timeout $limit
    tell shoot 2 50
    await_log 'frame .*TEST0002.JPG'
    tell hang 1
    await_log "has said nothing for $limit s: libgphoto2 hangs" 30
    tell hang 0
    tell shoot 3 50
    await_stacks 1 60
    await_log 'frame .*TEST0005.JPG'
    stop_service
}

# kill -9 of everything in the middle of a burst: nothing is lost, nothing comes twice.
test_killed_in_the_middle()
{
    need sqlite3
    make_burst files --frames 10
    camera body files
    # Its count ends it: to find the camera again may take longer than a pause.
    serve_camera --expected-frames 10 --gap 60
    tell shoot 10 150
    await_log 'frame .*TEST0003.JPG'
    kill -KILL "$(cat service.pid)"
    wait_for 10 none_left
    mv service.err killed.err
    serve_camera --expected-frames 10 --gap 60
    await_stacks 1 60
    stop_service
    stacked 10
    journal_is_card
}

# What was fetched and never recorded is no less a frame when its camera is not there any more.
test_what_lies_in_the_spool_needs_no_camera()
{
    local path
    make_burst files
    camera body files
    capture
    tell shoot 5 50
    await_frames 5
    stop capture
    stop body
    start service "$PARFOCAL" serve --source "camera:$camera_port" --outbox "$T/outbox" \
        --state "$T/state" --spool "$T/spool" --expected-frames 5 --http off
    at_end tail -n 60 "$T/service.err"
    await_stacks 1 40
    stop_service
    stacked 5
    # It is told once.
    start service "$PARFOCAL" serve --source "camera:$camera_port" --source camera:OTHER \
        --outbox "$T/outbox" --state "$T/state" --spool "$T/spool" --http off --log-level debug
    await_log 'capture camera:OTHER: no camera OTHER is there'
    stop_service
    [ "$(grep -c 'the same content is known' service.err)" = 0 ] || fail "it was read again"
}

# Each source tells what its camera has brought, and one of them what none has.
test_what_lies_in_the_spool_is_told_by_one()
{
    need sqlite3
    local first=camera:ptpip:127.0.0.1:1:1 second by
    make_burst files --frames 3
    camera body files
    capture
    tell shoot 3 50
    await_frames 3
    stop capture
    stop body
    at_end tail -n 30 "$T/service.err"
    for second in "camera:$camera_port" camera:ptpip:127.0.0.1:2:2; do
        rm -rf outbox state
        start service "$PARFOCAL" serve --source camera:OTHER --source "$first" --source "$second" \
            --outbox "$T/outbox" --state "$T/state" --spool "$T/spool" --expected-frames 3 --http off
        await_stacks 1 40
        await_log "capture $first: .*it is looked for again"
        await_log "capture $second: .*it is looked for again"
        stop_service
        by=$(sqlite3 -readonly "$T/state/journal.sqlite" 'SELECT DISTINCT source FROM files')
        [ "$by" = "${second/#*:2:2/$first}" ] || fail "it was told by $by"
        log_lacks 'the same content is known'
    done
}

# Faults at random, as a long tether on a bad day has them: busy, lost events, short sizes, links that
# drop. The whole of it, about a minute a seed:
#     FAULT_SEEDS="$(seq -s' ' 20)" FAULT_FRAMES=100 FAULT_MS=200 tests/system/camera_serve.sh faults
test_a_burst_with_faults_at_random()
{
    local seed frames=${FAULT_FRAMES:-30}
    need sqlite3
    make_burst files --frames "$frames"
    for seed in ${FAULT_SEEDS:-1}; do
        echo "seed $seed"
        rm -rf outbox state spool body.ports service.err
        camera body files
        # Its count ends it: on a slow machine a lost link takes longer than a pause.
        serve_camera --expected-frames "$frames" --gap 60
        tell faults 10 "$seed"
        tell shoot "$frames" "${FAULT_MS:-100}"
        await_stacks 1 180
        stop_service
        journal_is_card
        stop body
        log_lacks 'has ended' # errors do not end a camera's process
        stacked "$frames"
        echo "seed $seed: $(grep -c 'opened again' service.err) links lost," \
            "$(grep -c 'it is compared\|is compared$' service.err) comparisons"
    done | tee "${FAULT_LOG:-seeds}"
}

test_no_camera_but_folders()
{
    make_burst burst
    mkdir_inbox
    serve --source camera:NOBODY --spool "$T/spool" --expected-frames 5
    await_log 'no camera NOBODY is there'
    drop burst/*
    await_stacks 1 40
    stop_service
}

# Cameras that udev tells of: umockdev has them come and go, and nothing behind them to talk to.

# hotplug COMMAND...: with a test bed around it; `say plug 4`, `say unplug 4`. With udev_runs=yes, and where that can be
# staged, udev's daemon seems to run: who hears of cameras looks by itself once a minute then, and not every 5 s.
hotplug()
{
    local staged=()
    need umockdev-wrapper python3
    [ -z "${udev_runs-}" ] || ! unshare -m true 2>/dev/null || staged=(unshare -m sh -e -c '
        mount --make-rprivate /; mount -t tmpfs none /run; mkdir /run/udev; : >/run/udev/control; exec "$@"' sh)
    [ -z "$SAN" ] || skip "umockdev's preloaded library and a sanitizer do not go together"
    mkfifo bus
    # The bed lies where the camera's process may make sockets, whose paths must be short.
    bed=$(mktemp -d /tmp/bed-XXXXXX)
    at_end rm -rf "$bed"
    ln -s "$bed" spool
    at_end tail -n 40 "$T/hotplug.err"
    TMPDIR=$bed setsid "${staged[@]}" umockdev-wrapper python3 "$ROOT/tests/system/hotplug.py" "$@" <bus >hotplug.out 2>hotplug.err &
    hotplug_pid=$!
    at_end end_hotplug_at_once
    exec 8>bus
}

say()
{
    echo "$*" >&8
}

hotplug_says()
{
    grep -aqE -- "$1" hotplug.err hotplug.out
}

end_hotplug()
{
    exec 8>&-
    wait "$hotplug_pid"
}

# Before its bed goes, in which it would write on.
end_hotplug_at_once()
{
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        pkill -KILL -s "$hotplug_pid" -r DIRSTt || return 0
        sleep 0.05
    done
}

test_cameras_come_and_go()
{
    udev_runs=yes hotplug "$PARFOCAL" capture cameras
    wait_for 20 hotplug_says '"found":\[\]'
    say plug 4
    # Before it would look by itself.
    wait_for "$(hotplug_says 'as udev tells' && echo 20 || echo 4)" hotplug_says 'a camera has come: .* at usb:001,004'
    say plug 5
    wait_for 20 hotplug_says '"found":\[{"port":"usb:001,004".*"usb:001,005".*\]'
    say unplug 4
    wait_for 20 hotplug_says 'the camera at usb:001,004 has gone'
    end_hotplug
    [ "$(tail -n 1 hotplug.out | jq -c '[.found[].port]')" = '["usb:001,005"]' ] || fail "$(cat hotplug.out)"
}

# The source `camera` takes all there are: one process for each.
test_all_cameras()
{
    hotplug "$PARFOCAL" serve --source camera --spool "$T/spool" --state "$T/state" --outbox "$T/outbox"
    wait_for 20 hotplug_says 'capture camera: no camera is there'
    say plug 4
    wait_for 20 hotplug_says 'capture camera: opening: .*looked for again'
    say plug 5
    wait_for 20 hotplug_says '2 cameras are there: one more process takes one'
    twice()
    {
        # They may have met at one camera.
        [ "$(grep -Eac 'capture camera: (opening: |no camera .* in use by another).*looked for again' hotplug.err)" -ge 2 ]
    }
    wait_for 20 twice
    say unplug 5
    wait_for 20 hotplug_says 'the camera at usb:001,005 has gone'
    say plug 6 # the same camera at another port: its process is there already
    wait_for 20 hotplug_says 'a camera has come: .* at usb:001,006'
    end_hotplug
    [ "$(grep -ac 'one more process takes one' hotplug.err)" = 1 ] || fail "too many processes"
}

# Quirk 13, and failure case 25: error -53 of libgphoto2, another program has claimed the device: it is named, with what to do.
test_row25_quirk_13_a_camera_that_another_program_holds()
{
    cp "$(command -v sleep)" gvfs-gphoto2-volume-monitor
    hotplug "$PARFOCAL" serve --source camera --spool "$T/spool" --state "$T/state" --outbox "$T/outbox"
    wait_for 20 hotplug_says 'capture camera: no camera is there'
    say plug 4
    say hold 4 "$T/gvfs-gphoto2-volume-monitor" 1000
    wait_for 40 hotplug_says 'the camera at usb:001,004 is held by gvfs-gphoto2-volume-monitor \(process [0-9]+\): systemctl --user stop gvfs-gphoto2-volume-monitor'
    end_hotplug
}

# What another source of parfocal has is no trouble of this one's, and nobody is told to end it.
test_a_camera_that_another_source_has()
{
    # Something of this program that has it open: in a service each looks at each to learn its serial number.
    hotplug "$PARFOCAL" capture camera:4012345 --spool "$T/spool" --state "$T/state"
    wait_for 20 hotplug_says 'no camera 4012345 is there'
    say plug 4
    say hold 4 "$PARFOCAL" serve --source "folder:$T" --outbox "$T/outbox" --state "$T/other" --http off
    wait_for 20 hotplug_says 'service: worker ready'
    wait_for 20 hotplug_says 'no camera 4012345 is there \(switched off.* in use by another parfocal'
    end_hotplug
    ! hotplug_says 'is held by parfocal' || fail "$(grep -a 'is held by' hotplug.err)"
}
