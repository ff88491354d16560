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

all_are_recorded() # N
{
    [ "$(sqlite3 -readonly "$T/state/journal.sqlite" 'SELECT count(*) FROM frames')" = "$1" ]
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

# The first JPEG is late: the burst is one of RAWs, though the others come in time and the service began anew.
test_a_burst_is_of_one_kind()
{
    need sqlite3
    both
    mkdir_inbox
    serve --hold 0.1 --gap 60 --expected-frames 5
    drop both/IMG_0001.dng
    await_log 'burst .* begins with IMG_0001.dng'
    stop_service
    serve --hold 0.1 --gap 60 --expected-frames 5
    drop both/*.jpg
    wait_for 20 all_are_recorded 6
    drop both/IMG_000[2-5].dng
    await_stacks 1 60
    wait_for 20 all_are_companions
    stop_service
    companions dng jpg
}

# The one-shot command decides as the service does.
test_pairs_given_to_stack()
{
    both
    rm both/IMG_0003.jpg # this shot is there as RAW alone
    expect_status 0 "$PARFOCAL" stack both/* -o out.tif --json
    jq -e '(.frames | map(.path)) == ["both/IMG_0001.jpg", "both/IMG_0002.jpg", "both/IMG_0003.dng",
        "both/IMG_0004.jpg", "both/IMG_0005.jpg"] and .fused == 5 and .aside == 0 and
        (.frames | map(.companion)) == ["both/IMG_0001.dng", "both/IMG_0002.dng", null,
        "both/IMG_0004.dng", "both/IMG_0005.dng"]' out >/dev/null ||
        fail "$(jq -c '.frames[] | [.path, .companion, .verdict, .reason]' out)"
    expect_status 0 "$PARFOCAL" stack both/*.jpg both/*.dng -o out.tif --pair raw
    grep -q 'out.tif: 5 of 5 frames' out || fail "$(cat out)"
    ! grep -q 'jpg: fused' err || fail "a JPEG was stacked: $(cat err)"
    # Alike in name alone they are two frames.
    cp both/IMG_0005.jpg both/IMG_0001.jpg
    expect_status 0 "$PARFOCAL" stack both/* -o out.tif
    grep -q 'of 6 frames' out || fail "$(cat out)"
    expect_status 2 "$PARFOCAL" stack both/IMG_0002.* -o out.tif
    grep -q 'at least 2 files, there is 1' err || fail "$(cat err)"
}
