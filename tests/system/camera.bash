# For tests with cameras: sourced after lib.sh and serve.bash.

# camera NAME FILES [OPTIONS]: a test camera that takes the pictures of the directory FILES;
# its port for libgphoto2 is in $camera_port.
camera()
{
    local name=$1 files=$2 command event
    shift 2
    start "$name" "$BUILD/tests/camera/camera" --files "$files" --ports "$T/$name.ports" \
        --log "$T/$name.log" "$@"
    wait_for 10 [ -e "$T/$name.ports" ]
    read -r command event camera_control <"$T/$name.ports"
    camera_port=ptpip:127.0.0.1:$command:$event
    camera_name=$name
}

# tell WORD...: says it to the camera made last (or to $camera_name); prints the answer
tell()
{
    local command event control answer
    read -r command event control <"$T/$camera_name.ports"
    exec 9<>"/dev/tcp/127.0.0.1/$control"
    echo "$*" >&9
    read -r answer <&9
    exec 9>&-
    [ "$answer" = ok ] || echo "$answer"
}

none_left()
{
    [ "$(tell left)" = 0 ]
}

# capture [OPTIONS]: the capture process on that camera, by hand, in the background
capture()
{
    [[ " ${ends[*]} " == *" $T/capture.err "* ]] || at_end tail -n 40 "$T/capture.err"
    start capture "$PARFOCAL" capture "camera:$camera_port" --spool "$T/spool" --state "$T/state" \
        --poll-interval 0.3 "$@"
    wait_for 20 grep -q '"scanned"' "$T/capture.out"
}

frames()
{
    grep -a '"event":"frame"' "$T/capture.out" || true
}

frames_are()
{
    [ "$(frames | wc -l)" -ge "$1" ]
}

# await_frames N [SECONDS]
await_frames()
{
    wait_for "${2:-20}" frames_are "$1"
}

capture_says()
{
    grep -aqE -- "$1" "$T/capture.err"
}

# The frames told are the files on the card, each once, byte by byte. same_as_card N
same_as_card()
{
    local path
    frames | jq -r .path | while read -r path; do md5sum <"$path"; done | sort >"$T/here"
    tell list | tr '|' '\n' | sed -n 's/^[^ ]* [0-9]* //p' | while read -r path; do md5sum <"$path"; done |
        sort >"$T/there"
    [ "$(wc -l <"$T/there")" = "$1" ] || fail "$(wc -l <"$T/there") files on the card instead of $1"
    cmp "$T/here" "$T/there" || fail "the frames are not what is on the card"
}

# Pictures of more than 1 MiB, which are fetched in parts.
make_large() # NAME FRAMES
{
    local file
    make_burst "$1" --frames "$2"
    for file in "$T/$1"/*; do
        head -c 2500000 /dev/urandom >>"$file" # behind the picture's end
    done
}

# serve_camera [OPTIONS]: the service on the camera made last
serve_camera()
{
    [[ " ${ends[*]} " == *" $T/service.err "* ]] || at_end tail -n 60 "$T/service.err"
    start service "$PARFOCAL" serve --source "camera:$camera_port" --outbox "$T/outbox" \
        --state "$T/state" --spool "$T/spool" --gap 2 --hold 0.3 --poll-interval 0.3 --http off "$@"
    await_log 'serial number'
}

# On the camera made last, which no service has.
directly()
{
    "$PARFOCAL" "$1" --source "camera:$camera_port" --state "$T/state" --spool "$T/spool" "${@:2}"
}

# Through the service.
asked()
{
    "$PARFOCAL" "$1" --state "$T/state" "${@:2}"
}

focus_is() # POSITION DRIVEN
{
    [ "$(tell focus)" = "$1 $2" ] || fail "the focus is at $(tell focus) instead of $1 $2"
}

# libgphoto2's drivers lose what they have asked a camera of a property that has changed, all they took for a camera
# that could not be opened, and what they keep in another locale.
keep_drivers_leaks()
{
    export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
}

# What the service says to the process: write it to descriptor 8.
heard_by_capture()
{
    mkfifo words
    printf '#!/bin/sh\nexec "%s" "$@" <words\n' "${1:-$PARFOCAL}" >listening
    chmod +x listening
    exec 8<>words
}
