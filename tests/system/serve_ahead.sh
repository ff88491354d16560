#!/bin/bash
# parfocal serve: what of a result is written while its burst waits for another frame.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

# Stack and map of the open burst are there, and nothing of them is being written.
written_ahead()
{
    local dir
    dir=$(compgen -G "$T/outbox/.*.partial") && [ -s "$dir/stack.tif" ] && [ -s "$dir/depth.png" ] &&
        [ "$(stat -c %i "$dir/stack.tif" "$dir/depth.png")" != "$seen" ] && settled "$dir/depth.png"
}

settled()
{
    local size
    size=$(stat -c %s "$1") && sleep 0.3 && [ "$(stat -c %s "$1")" = "$size" ]
}

# Waits until a result has been written ahead, another one than the last time.
await_ahead()
{
    wait_for 30 written_ahead
    seen=$(stat -c %i "$T"/outbox/.*.partial/{stack.tif,depth.png})
    log_lacks ' complete: '
}
seen=

frames_scored()
{
    [ "$(grep -ac ' scored: ' "$T/service.err")" -ge "$1" ]
}

stack_is_that_of()
{
    "$PARFOCAL" stack "$@" -o "$T/alone.tif" >/dev/null 2>&1
    cmp "$(published | tail -n 1)/stack.tif" "$T/alone.tif" || fail "another stack than that of its frames"
}

test_a_stack_lies_ready_when_its_burst_is_complete()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600
    drop burst/*.jpg
    await_ahead
    kill -USR1 "$started"
    await_stacks 1
    [ "$(stat -c %i "$(published)"/{stack.tif,depth.png})" = "$seen" ] || fail "it was written anew"
    check "$(published)/stack.json" '.fused == 5 and .version == 1 and .engine.ahead_ms > 0 and
        (.output.stack.size_bytes > 0) and .output.depth.name == "depth.png"'
    stack_is_that_of burst/*.jpg
    stop_service
    [ -z "$leftovers" ] || fail "left over: $leftovers"
}

# What was in vain costs nothing but work.
test_a_frame_that_comes_after_all_is_in_the_stack()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600
    local files=(burst/*.jpg)
    drop "${files[@]:0:3}"
    await_ahead
    drop "${files[3]}"
    await_ahead
    drop "${files[4]}"
    wait_for 30 frames_scored 5
    kill -USR1 "$started"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .version == 1 and (.frames | length) == 5'
    stack_is_that_of burst/*.jpg
    stop_service
    [ "$(published | wc -l)" -eq 1 ] || fail "published: $(published)"
    [ -z "$leftovers" ] || fail "left over: $leftovers"
}

# Neither the worker nor the service has to live on.
test_a_worker_or_a_service_that_ends_writes_again()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600
    drop burst/*.jpg
    await_ahead
    kill -KILL "$(child_pid process)"
    await_log 'the worker has ended'
    await_ahead
    stop_service
    ! compgen -G "$T/outbox/.*" >/dev/null || fail "left in the outbox: $(ls -A "$T/outbox")"
    serve --gap 3600
    seen=
    await_ahead
    kill -USR1 "$started"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .complete == "finished by hand" and .engine.ahead_ms > 0'
    stack_is_that_of burst/*.jpg
    stop_service
}

# Only its turn tells that the outbox is full; until then nothing is wrong.
test_an_outbox_without_room_is_no_trouble_before_its_turn()
{
    make_burst burst --width 1200 --height 900
    mkdir_inbox
    mkdir -p "$T/outbox"
    mount -t tmpfs -o size=2m tmpfs "$T/outbox" 2>/dev/null || skip "no tmpfs can be mounted"
    at_end umount "$T/outbox"
    serve --gap 3600
    drop burst/*.jpg
    wait_for 30 frames_scored 5
    sleep 3
    log_lacks 'the outbox cannot be written'
    kill -USR1 "$started"
    await_log 'the outbox cannot be written: .*No space left'
    mount -o remount,size=64m "$T/outbox"
    await_stacks 1 90
    check "$(published)/stack.json" '.fused == 5 and .engine.ahead_ms == null'
    stop_service
}
