#!/bin/bash
# parfocal serve: what of a result is written while its burst waits for another frame.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

stack_is_that_of()
{
    "$PARFOCAL" stack "$@" -o "$T/alone.tif" >/dev/null 2>&1
    cmp "$(published | tail -n 1)/stack.tif" "$T/alone.tif" || fail "another stack than that of its frames"
}

test_a_stack_lies_ready_when_its_burst_is_complete()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600 --log-level debug
    drop burst/*.jpg
    await_ahead 5
    local written
    written=$(stat -c %i "$T"/outbox/.*.partial/{stack.tif,depth.png})
    kill -USR1 "$started"
    await_stacks 1
    [ "$(stat -c %i "$(published)"/{stack.tif,depth.png})" = "$written" ] || fail "it was written anew"
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
    serve --gap 3600 --log-level debug
    local files=(burst/*.jpg)
    drop "${files[@]:0:3}"
    await_ahead 3
    drop "${files[3]}"
    await_ahead 4
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

written_ahead_twice()
{
    [ "$(grep -ac 'is written ahead' "$T/service.err")" -ge 2 ]
}

# Neither the worker nor the service has to live on.
test_a_worker_or_a_service_that_ends_writes_again()
{
    make_burst burst
    mkdir_inbox
    serve --gap 3600 --log-level debug
    drop burst/*.jpg
    await_ahead 5
    kill -KILL "$(child_pid process)"
    wait_for 60 written_ahead_twice
    stop_service
    ! compgen -G "$T/outbox/.*" >/dev/null || fail "left in the outbox: $(ls -A "$T/outbox")"
    rm service.err
    serve --gap 3600 --log-level debug
    await_ahead 5
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
    serve --gap 3600 --log-level debug
    drop burst/*.jpg
    await_log 'is not written ahead: .*No space left' 30
    log_lacks 'the outbox cannot be written'
    kill -USR1 "$started"
    await_log 'the outbox cannot be written: .*No space left'
    mount -o remount,size=64m "$T/outbox"
    await_stacks 1 90
    check "$(published)/stack.json" '.fused == 5 and .engine.ahead_ms == null'
    stop_service
}
