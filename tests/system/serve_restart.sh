# parfocal serve: going on where an earlier run, or an earlier attempt, has ended.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

joined_are()
{
    [ "$(sqlite3 "$T/state/journal.sqlite" \
        'SELECT count(*) FROM frames WHERE burst IS NOT NULL' 2>/dev/null)" = "$1" ]
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
