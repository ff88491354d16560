#!/bin/bash
# RAW and JPEG of one shot are one frame.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

both() # the same five shots as JPEG and as DNG, in $T/both
{
    make_burst both --serial 4711
    make_burst both --serial 4711 --format dng
}

companions() # FORMAT EXTENSION: five frames of the format, each with its companion
{
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and ([.frames[] |
        .format == "'"$1"'" and (.companion | endswith(".'"$2"'"))] | all)'
    [ "$(published | wc -l)" = 1 ] || fail "more than one stack: $(published)"
    [ "$(sqlite3 -readonly "$T/state/journal.sqlite" "SELECT count(*) FROM frames WHERE burst IS NULL AND state = 3
        AND scores LIKE '%companion_of%'")" = 5 ] || fail "not five companions in the journal"
}

all_are_companions()
{
    [ "$(grep -ac 'of the same shot as one that is stacked' "$T/service.err")" = 5 ]
}

test_raw_first()
{
    need sqlite3
    both
    mkdir_inbox
    serve --hold 20 --expected-frames 5
    drop both/*.dng
    await_log 'frame IMG_0005.dng'
    log_lacks 'burst .* begins'
    drop both/*.jpg
    await_stacks 1 60
    stop_service
    companions jpeg dng
}

test_raw_is_preferred()
{
    need sqlite3
    both
    mkdir_inbox
    serve --hold 20 --pair raw --expected-frames 5
    drop both/*.jpg
    await_log 'frame IMG_0005.jpg'
    log_lacks 'burst .* begins'
    drop both/*.dng
    await_stacks 1 60
    stop_service
    companions dng jpg
}

# The preferred one comes when its partner is out, after a restart: nothing is stacked again.
test_late_partner_after_a_restart()
{
    need sqlite3
    both
    mkdir_inbox
    serve --hold 0.1 --expected-frames 5
    drop both/*.dng
    await_stacks 1 60
    stop_service
    serve --hold 0.1 --expected-frames 5
    drop both/*.jpg
    wait_for 20 all_are_companions
    stop_service
    [ "$(published | wc -l)" = 1 ] || fail "more than one stack: $(published)"
    check "$(published)/stack.json" '[.frames[] | .format == "dng" and (has("companion") | not)] | all'
    [ "$(sqlite3 -readonly "$T/state/journal.sqlite" "SELECT count(*) FROM frames WHERE state = 3")" = 5 ] ||
        fail "not five companions in the journal"
}
