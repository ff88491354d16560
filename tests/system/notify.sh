#!/bin/bash
# What systemd is told (service/notify.h): a socket of our own stands in for systemd's.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

# Takes the datagrams, one a line, into $T/told.
listen()
{
    need python3
    cat >listen.py <<'P'
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(os.environ['NOTIFY_SOCKET'])
with open('told', 'w', buffering=1) as told:
    while True:
        told.write(s.recv(4096).decode().replace('\n', ' ') + '\n')
P
    # Names of sockets are short.
    local short
    short=$(mktemp -d /tmp/notify-XXXXXX)
    at_end rm -rf "$short"
    export NOTIFY_SOCKET=$short/socket
    start listener python3 listen.py
    wait_for 10 test -S "$NOTIFY_SOCKET"
}

told()
{
    grep -aq -- "$1" told
}

fed()
{
    grep -ac '^WATCHDOG=1$' told || true
}

test_ready_status_watchdog_and_stopping()
{
    local before
    listen
    mkdir_inbox
    need sqlite3
    mkdir state
    sqlite3 state/journal.sqlite <"$ROOT/tests/unit/journal_v1.sql"
    WATCHDOG_USEC=400000 serve
    wait_for 30 told '^READY=1$'
    # A large journal may take longer than systemd waits.
    for what in 'checking the journal' 'keeping a copy of the journal as it was' 'bringing the journal up to date'; do
        sed '/READY=1/q' told | grep -q "^EXTEND_TIMEOUT_USEC=6[0-9]\{7\} STATUS=$what" || fail "not told: $what: $(cat told)"
    done
    log_says 'worker ready' || fail 'ready before the worker'
    log_says 'inotify, ok|polling' || fail 'ready before the source'
    wait_for 10 told '^STATUS=1 of 1 sources well; worker ready, c'
    before=$(fed)
    fed_more() { [ "$(fed)" -gt $((before + 3)) ]; }
    wait_for 10 fed_more
    # Children are not to speak for the service.
    ! tr '\0' '\n' <"/proc/$(child_pid process)/environ" | grep -q NOTIFY || fail 'the worker knows the socket'
    stop_service
    told '^STOPPING=1' || fail 'not told that it stops'
    [ "$(grep -ac READY=1 told)" = 1 ] || fail 'ready twice'
}

test_a_source_that_is_missing_does_not_keep_it_from_being_ready()
{
    listen
    serve # there is no inbox
    wait_for 30 told '^READY=1$'
    wait_for 10 told '^STATUS=0 of 1 sources well'
    stop_service
}

test_the_watchdog_starves_while_the_worker_makes_no_progress()
{
    local before
    listen
    mkdir_inbox
    # There is no GPU: the worker ends, again and again.
    WATCHDOG_USEC=200000 serve --device cuda --worker-timeout 1
    sleep 1
    ! log_says 'worker ready' || skip 'there is a GPU'
    await_log 'made no progress.*left to start the service anew' 30
    before=$(fed)
    [ "$before" -gt 0 ] || fail 'it was never fed'
    sleep 1
    [ "$(fed)" = "$before" ] || fail 'it is still fed'
    ! told READY=1 || fail 'ready without a worker'
    stop_service
}

test_a_hung_worker_is_replaced_before_the_watchdog_starves()
{
    listen
    mkdir_inbox
    make_burst burst
    WATCHDOG_USEC=200000 serve --worker-timeout 2
    wait_for 30 told '^READY=1$'
    kill -STOP "$(child_pid process)"
    drop burst/*.jpg
    await_log 'it hung and was ended'
    await_stacks 1
    log_lacks 'made no progress'
    stop_service
}

test_without_systemd_nothing_is_said()
{
    mkdir_inbox
    unset NOTIFY_SOCKET
    serve
    await_log 'worker ready'
    NOTIFY_SOCKET=nonsense start other "$PARFOCAL" serve --source "folder:$T/inbox" --state "$T/other"
    wait_for 10 grep -q 'NOTIFY_SOCKET = nonsense is no socket' other.err
    stop_service
}
