# parfocal serve: going on where an earlier run, or an earlier attempt, has ended.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

joined_are()
{
    [ "$(sqlite3 -readonly "$T/state/journal.sqlite" \
        'SELECT count(*) FROM frames WHERE burst IS NOT NULL' 2>/dev/null)" = "$1" ]
}

# A thread of it waits in the kernel, and not for a moment only.
is_stuck()
{
    local i
    for ((i = 0; i < 10; i++)); do
        grep -q '^State:.D' "/proc/$1/task"/*/status || return 1
        sleep 0.1
    done
}

# A worker that waits in the kernel, which SIGKILL does not end: named, given up, and all goes on later.
test_a_worker_that_cannot_be_killed_is_left_at_the_stop()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    need mkfs.ext4 fsfreeze
    local worker from took
    make_burst burst --width 1500 --height 1000
    mkdir_inbox
    mkdir scratch
    truncate -s 256M disk.img
    mkfs.ext4 -q disk.img
    mount -o loop disk.img scratch 2>why || skip "cannot mount a loop device: $(cat why)"
    serve --expected-frames 5 --memory 4 --scratch "$T/scratch"
    await_log 'worker ready'
    worker=$(child_pid process)
    fsfreeze -f scratch 2>why || skip "cannot freeze a disk: $(cat why)"
    at_end fsfreeze -u "$T/scratch"
    drop burst/*.jpg
    wait_for 20 is_stuck "$worker"
    from=$SECONDS
    stop service
    took=$((SECONDS - from))
    [ "$stopped" -eq 4 ] || fail "status $stopped"
    ((took < 25)) || fail "the stop took $took s"
    log_says "the worker: its process $worker has been killed and does not end: it waits in the kernel for a disk" ||
        fail "it is not named"
    grep -q '^State:.D' "/proc/$worker/task"/*/status || fail "it could be killed"
    fsfreeze -u scratch
    wait_for 10 eval "! grep -q '^State:.[DRS]' /proc/$worker/task/*/status"
    serve --expected-frames 5 --memory 4 --scratch "$T/scratch"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and .version == 1'
    stop_service
}

# All frames are in an open burst, nothing else will come: it must still be closed.
test_open_burst_of_an_earlier_run_is_published()
{
    need sqlite3
    mkdir_inbox
    make_burst a
    serve --gap 4
    drop a/*.jpg
    wait_for 20 joined_are 5
    stop service KILL
    ! published_are 1 || skip "too slow here: it was published before the service was killed"
    serve --gap 4
    await_stacks 1
    [ "$(jq '.frames | length' "$(published)/stack.json")" = 5 ] || fail "not all five frames"
}

# A burst that has failed stays so over restarts, until someone says that it is to be tried again:
# here with another setting, and with the frame that was set aside as a stray.
test_failed_burst_is_tried_again()
{
    mkdir_inbox
    make_burst a --frames 3 # they fit nothing, in all ways that there are
    serve --min-correlation 1
    drop a/*.jpg
    await_log 'burst .* failed: ' 60
    kill -USR2 "$started" # no setting has changed: it fails once more
    await_log 'is tried again: 3 frames'
    wait_for 60 failures_are 2
    stop_service
    rm service.err # what the next run says is meant
    serve
    await_log 'worker ready'
    kill -USR2 "$started"
    await_stacks 1
    check "$(published)/stack.json" '.version == 1 and .fused == 3 and .aside == 0'
    kill -USR2 "$started"
    await_log 'tried again: 0'
    stop_service
}

failures_are()
{
    [ "$(grep -ac ' error .* failed: ' "$T/service.err")" -eq "$1" ]
}

# The directory has its name but could not be made durable: tried again, and published once.
test_failed_sync_of_the_outbox_publishes_once()
{
    need strace
    mkdir_inbox
    make_burst a
    strace -o "$T/probe" true 2>/dev/null || skip "strace cannot trace here"
    at_end cat "$T/service.err"
    start service strace -f -qq -o "$T/trace" -P "$T/outbox" -e trace=fsync \
        -e inject=fsync:error=EIO:when=1 \
        "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" \
        --settle 0.1 --gap 2 --hold 0.3
    drop a/*.jpg
    wait_for 60 log_says "stack published"
    grep -q INJECTED "$T/trace" || fail "nothing was injected"
    log_says "outbox cannot be written" || fail "the failure was not told"
    [ "$(published | wc -l)" = 1 ] || fail "published: $(published)"
}

[ -z "$SAN" ] || unset -f test_failed_sync_of_the_outbox_publishes_once # LeakSanitizer and ptrace

# What was being written when the service was killed goes at the next start, whatever the machine is called then (a
# container that was made anew); what another service writes into the same outbox stays.
test_half_a_stack_of_an_earlier_run_is_removed()
{
    need unshare
    [ "$(id -u)" -eq 0 ] && unshare -u true 2>/dev/null || skip "needs root for a name space"
    mkdir_inbox
    serve
    await_log 'worker ready'
    stop service KILL
    local ours theirs=outbox/.b.0123abcd.partial
    ours=outbox/.b.$(cat state/outbox-tag).partial
    mkdir "$ours" "$theirs"
    touch -d '2 days ago' "$theirs"
    printf '#!/bin/sh\nexec unshare -u sh -c '\''hostname elsewhere && exec "$0" "$@"'\'' "%s" "$@"\n' "$PARFOCAL" >elsewhere
    chmod +x elsewhere
    PARFOCAL=$T/elsewhere serve
    wait_for 20 eval '[ ! -e "$ours" ]'
    await_log 'worker ready'
    [ -d "$theirs" ] || fail "another service's is gone"
    stop service
}

# A share that is not there at the start: nothing is written below its mount point, nor is what lies on it published
# again; it is waited for. Who removes the note of it says that the outbox has moved.
test_an_outbox_that_is_not_mounted_is_waited_for()
{
    need sqlite3
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    mkdir_inbox
    make_burst first
    make_burst second --seed 5 --start 2026-01-02T04:00:00 --name second-%02d
    make_burst third --seed 6 --start 2026-01-02T05:00:00 --name third-%02d
    mkdir disk share
    ln -s share/out outbox # for what looks at it there
    mount -t tmpfs -o size=64m tmpfs disk || skip "cannot mount a tmpfs"
    mount --bind disk share
    set -- --outbox "$T/share/out" --expected-frames 5
    serve "$@"
    drop first/*.jpg
    await_stacks 1
    stop_service
    sqlite3 state/journal.sqlite "DELETE FROM versions; UPDATE bursts SET state = 1, published = 0"
    umount share
    serve "$@"
    await_log "the outbox cannot be written: .*/share is not mounted"
    drop second/*.jpg
    await_log 'burst .* complete: 5 frames' # the first one goes on: that is another word
    [ -z "$(ls -A share)" ] || fail "below the mount point: $(ls -A share)"
    mount --bind disk share
    await_stacks 2 60
    await_log 'stack found: .* was published already'
    stop_service
    [ "$(ls -A share/out | wc -l)" -eq 2 ] || fail "published: $(ls -A share/out)"
    umount share
    serve "$@"
    await_log "the outbox cannot be written: .*/share is not mounted"
    rm state/outbox-mount
    drop third/*.jpg
    await_stacks 1 60
    stop_service
    log_says 'the outbox can be written again' || fail "$(cat service.err)"
}
