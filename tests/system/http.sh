#!/bin/bash
# The HTTP interface of a running service: everything it can be asked, on real bursts; who may ask; what
# happens to clients that do not behave.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

test_what_happens_is_told_as_it_happens()
{
    need curl jq
    serve_http
    listen
    make_burst shot
    drop "$T"/shot/*.jpg
    await_stacks 1
    wait_for 10 heard burst.published
    local type
    for type in hello frame.seen frame.recorded frame.joined frame.decoding frame.thumbnail frame.scored \
        burst.opened burst.complete burst.stage burst.deadline burst.coverage burst.published; do
        heard $type || fail "no event $type"
    done
    [ "$(events frame.scored | wc -l)" -eq 5 ] || fail "not each frame was scored once"
    events frame.scored | jq -e '.frame.focus.grid | length == 256' >/dev/null || fail "no grid"
    events burst.opened | jq -e '.summary.deadline_ms > .at_ms' >/dev/null || fail "no deadline"
    # From the frame on disk to its event: what lies between is that it has settled (0.1 s).
    local seen written
    seen=$(events frame.seen | tail -n 1 | jq .at_ms)
    written=$(stat -c %.3Z "$T/inbox/$(events frame.seen | tail -n 1 | jq -r .name)" | tr -d .)
    echo "seen after $((seen - written)) ms"
}

# Whoever looks at a stack does not take the memory of those that are made.
views_go_first()
{
    local pid line views= worker=
    for pid in $(child_pid process); do
        line=$(tr '\0' ' ' <"/proc/$pid/cmdline")
        [[ $line == */state/views* ]] && views=$pid || worker=$pid
        [[ $line != */state/views* || $line == *--memory=1000*--scratch=$T*--log-format=json*" $T "* ]] || fail "views: $line"
    done
    [ "$views" ] && [ "$worker" ] || fail "no worker for views"
    [ "$(cat "/proc/$views/oom_score_adj")" -gt "$(cat "/proc/$worker/oom_score_adj")" ] || fail "stacks go first"
}

test_a_burst_is_described()
{
    need curl jq exiftool
    serve_http --confidence-map --frame-map --memory 4000 --scratch "$T" --log-format json
    make_burst shot
    drop "$T"/shot/*.jpg
    await_stacks 1
    local id frame
    id=$(get /bursts | jq -r '.bursts[0].id')
    get "/bursts/$id" >burst.json
    jq -e '.state == "published" and .version == 1 and (.items | length) == 5 and (.curve | length) == 5
        and (.curve | all(.won != null)) and (.drift | length) == .fused and .coverage.detail > 0
        and .tiles.width == 320 and .tiles.height == 240 and .tiles.levels == 1
        and .settings.fuse == "pyramid"' burst.json >/dev/null || fail "$(jq -c 'del(.items)' burst.json)"
    jq -e '[.versions[0].files[].name] | sort ==
        ["confidence.png", "depth.png", "frames.png", "stack.json", "stack.tif"]' burst.json >/dev/null ||
        fail "$(jq -c .versions burst.json)"
    # Everything that it links to is there.
    local link
    for link in $(jq -r '.versions[].files[].link, .links.preview, .links.thumbnail,
        .items[].links.self, .items[].links.small, .items[].links.large' burst.json) \
        "/api/v1/bursts/$id/maps/depth.jpg" "/api/v1/bursts/$id/maps/winner.jpg" \
        "/api/v1/bursts/$id/maps/confidence.jpg" "/api/v1/bursts/$id/tiles/stack/0/0/0.jpg" \
        "/api/v1/bursts/$id/tiles/winner/0/0/0.jpg"; do
        [ "$(status_of "$link")" = 200 ] || fail "$link: $(status_of "$link")"
    done
    curl_in -o stack.tif "$(jq -r '.versions[0].files[] | select(.name == "stack.tif").link' burst.json)"
    cmp stack.tif "$(published)/stack.tif" || fail "the download is not the file"
    parts_of "$(jq -r '.versions[0].files[] | select(.name == "stack.tif").link' burst.json)"
    # A frame laid over the stack is like it; one that was not lies elsewhere.
    frame=$(jq -r '.items[2].frame' burst.json)
    curl_in -o aligned.jpg "/api/v1/bursts/$id/tiles/$frame/0/0/0.jpg"
    curl_in -o stack.jpg "/api/v1/bursts/$id/tiles/stack/0/0/0.jpg"
    [ "$(exiftool -s3 -ImageSize aligned.jpg)" = 320x240 ] || fail "the tile is not as large as the picture"
    [ "$(status_of "/api/v1/bursts/$id/tiles/stack/0/1/0.jpg")" = 404 ] || fail "a tile outside"
    [ "$(status_of "/api/v1/bursts/$id/tiles/stack/1/0/0.jpg")" = 200 ] || fail "a smaller one"
    views_go_first
    # What a client has is not sent again.
    local etag
    etag=$(curl_in -o /dev/null -D - "/api/v1/bursts/$id/preview.jpg" | tr -d '\r' | sed -n 's/^ETag: //pI')
    [ "$(curl_in -o /dev/null -w '%{http_code}' -H "If-None-Match: $etag" "/api/v1/bursts/$id/preview.jpg")" = 304 ] ||
        fail "sent again in spite of $etag"
}

# parts_of LINK: of a file that is stack.tif here: one part of it at a time, and a download that goes on
parts_of()
{
    local link=$1 size etag
    size=$(stat -c %s stack.tif)
    curl_in -o /dev/null -D head "$link"
    etag=$(tr -d '\r' <head | sed -n 's/^ETag: //pI')
    grep -qi '^Accept-Ranges: bytes' head || fail "$(cat head)"
    part() # STATUS RANGE EXPECTED_CONTENT_RANGE [HEADER]
    {
        [ "$(curl_in -o part -D head -w '%{http_code}' -H "Range: $2" ${4:+-H "$4"} "$link")" = "$1" ] || fail "$2: $(head -n 1 head)"
        [ "$(tr -d '\r' <head | sed -n 's/^Content-Range: //pI')" = "$3" ] || fail "$2: $(cat head)"
    }
    part 206 bytes=100-299 "bytes 100-299/$size"
    cmp part <(tail -c +101 stack.tif | head -c 200) || fail "the part is not the file's"
    part 206 bytes=-50 "bytes $((size - 50))-$((size - 1))/$size"
    cmp part <(tail -c 50 stack.tif) || fail "the end is not the file's"
    part 416 "bytes=$size-" "bytes */$size"
    jq -e '.error.code == "range"' part >/dev/null || fail "$(cat part)"
    part 200 bytes=1-2,5-6 ''
    cmp part stack.tif || fail "not the whole"
    part 206 bytes=7-9 "bytes 7-9/$size" "If-Range: $etag"
    part 200 bytes=7-9 '' 'If-Range: "another"'
    [ "$(curl_in -o /dev/null -w '%{http_code}' -H "If-None-Match: $etag" "$link")" = 304 ] || fail "it is sent again"
    curl_in -I -H 'Range: bytes=3-4' "$link" | tr -d '\r' >head
    grep -qi "^HTTP/1.1 200" head && grep -qi "^Content-Length: $size" head || fail "HEAD: $(cat head)"
    # Broken off and gone on with.
    head -c $((size / 3)) stack.tif >resumed.tif
    curl_in -C - -o resumed.tif "$link"
    cmp resumed.tif stack.tif || fail "a download that went on is not the file"
    # Parts that are larger than what is read at a time, through a connection that is kept.
    curl -sS --max-time 60 --unix-socket state/http -r 0-0 -o first "http://localhost$link" \
        --next -sS --unix-socket state/http -r 1- -o rest "http://localhost$link"
    cat first rest | cmp - stack.tif || fail "two parts are not the file"
}

test_pictures_are_of_this_journal()
{
    need curl jq
    serve_http --expected-frames 5
    make_burst one
    make_burst two --seed 2
    drop "$T"/one/*.jpg
    await_stacks 1
    curl_in -f -o one.jpg "/api/v1/bursts/$(get /bursts | jq -r '.bursts[0].id')/preview.jpg?version=1"
    stop_service
    # What the message about a damaged journal advises: numbers begin anew.
    rm -r state/journal.sqlite* inbox/* outbox/*
    serve_http --expected-frames 5
    drop "$T"/two/*.jpg
    await_stacks 1
    curl_in -f -o two.jpg "/api/v1/bursts/$(get /bursts | jq -r '.bursts[0].id')/preview.jpg?version=1"
    ! cmp -s one.jpg two.jpg || fail "the picture is that of a burst of another journal"
}

test_search()
{
    need curl jq
    serve_http
    make_burst one --seed 1
    make_burst two --seed 2 --serial other --start 2026-01-02T05:00:00
    drop "$T"/one/*.jpg
    await_stacks 1
    drop_into=other drop "$T"/two/*.jpg
    wait_for 30 counts 2 /bursts
    counts 1 '/bursts?limit=1' || fail "limit"
    local next
    next=$(get '/bursts?limit=1' | jq -r .next)
    counts 1 "/bursts?limit=1&before=$next" || fail "the next page"
    get "/bursts?limit=1&before=$next" | jq -e '.next == null' >/dev/null || fail "a third page"
    counts 2 '/bursts?camera=generator' || fail "by camera"
    counts 0 '/bursts?camera=nikon' || fail "by another camera"
    counts 2 '/bursts?from=2026-01-02&to=2026-01-02' || fail "by day"
    counts 0 '/bursts?from=2026-01-03' || fail "after that day"
    counts 0 '/bursts?to=2026-01-01' || fail "before that day"
    counts 0 '/bursts?state=failed' || fail "by state"
    counts 2 '/bursts?verdict=fused' || fail "by verdict"
    [ "$(status_of '/api/v1/bursts?state=lost')" = 422 ] || fail "a state that is none"
    [ "$(status_of '/api/v1/bursts?from=today')" = 422 ] || fail "a day that is none"
    [ "$(get '/frames?limit=3' | jq '.frames | length')" = 3 ] || fail "frames"
    [ "$(get "/frames?limit=9&before=$(get '/frames?limit=3' | jq -r .next)" | jq '.frames | length')" = 7 ] ||
        fail "the next page of frames"
}

# Of five frames, all scored; its id in $id
open_burst()
{
    serve_http --gap 60
    make_burst shot
    drop "$T"/shot/*.jpg
    wait_for 20 all_scored 5
    id=$(get /bursts | jq -r '.bursts[0].id')
}

test_finish_discard_restore_restack()
{
    need curl jq
    local id frame
    open_burst
    frame=$(get "/bursts/$id" | jq -r '.items[0].frame')
    # While it is open.
    expect_reply 202 POST "/bursts/$id/frames/$frame/discard"
    expect_reply 409 POST "/bursts/$id/frames/$frame/discard"
    get "/bursts/$id" | jq -e '.items[0] | .discarded and .verdict == "aside" and .cause == "discarded"' \
        >/dev/null || fail "not discarded"
    expect_reply 409 POST "/bursts/$id/restack"
    expect_reply 409 POST "/bursts/$id/retry"
    expect_reply 202 POST "/bursts/$id/finish"
    await_stacks 1
    jq -e '.fused == 4 and .aside == 1 and .complete == "finished by hand" and .frames[0].cause == "discarded"' \
        "$(published)/stack.json" >/dev/null || fail "$(jq -c '[.fused, .complete, .frames[0]]' "$(published)/stack.json")"
    jq -e '[.coverage.winner[] | numbers] | length > 0 and min >= 1 and max <= 4' "$(published)/stack.json" >/dev/null ||
        fail "winners are not places among all frames: $(jq -c .coverage.winner "$(published)/stack.json")"
    wait_for 10 state_is "$id" published
    expect_reply 409 POST "/bursts/$id/finish"
    # When it is out: a new version each.
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    await_stacks 2
    jq -e '.fused == 5 and .version == 2' "$(published | sed -n 2p)/stack.json" >/dev/null || fail "version 2"
    wait_for 10 state_is "$id" published
    expect_reply 202 POST "/bursts/$id/restack" '{"settings":{"fuse":"soft-depth","format":"png","jpeg_quality":80}}'
    await_stacks 3
    local third
    third=$(published | sed -n 3p)
    jq -e '.version == 3 and .settings.fuse == "soft-depth"' "$third/stack.json" >/dev/null || fail "version 3"
    [ -e "$third/stack.png" ] || fail "not in the format that was asked for"
    expect_reply 422 POST "/bursts/$id/restack" '{"settings":{"fuse":"glue"}}'
    expect_reply 422 POST "/bursts/$id/restack" '{"settings":{"outbox":"/tmp"}}'
    expect_reply 422 POST "/bursts/$id/restack" '{"settings":3}'
    expect_reply 404 POST "/bursts/$id-x/restack"
    expect_reply 404 POST "/bursts/$id/frames/${frame%?}x/discard"
    # A version of its own for a burst is kept over the end of the service.
    stop service
    serve_http --gap 60
    get "/bursts/$id" | jq -e '.version == 3 and .settings.fuse == "soft-depth" and (.versions | length) == 3' \
        >/dev/null || fail "not as it was"
}

test_what_was_restacked_when_the_service_was_killed_is_made()
{
    need curl jq
    serve_http
    make_burst shot
    drop "$T"/shot/*.jpg
    await_stacks 1
    local id
    id=$(get /bursts | jq -r '.bursts[0].id')
    wait_for 10 state_is "$id" published
    expect_reply 202 POST "/bursts/$id/restack" '{"settings":{"fuse":"average"}}'
    stop service KILL
    serve_http
    await_stacks 2
    jq -e '.version == 2 and .settings.fuse == "average"' "$(published | tail -n 1)/stack.json" >/dev/null ||
        fail "not with its settings"
}

# Between the reply and the worker's next frame: killed with it stopped, and started again.
kill_service()
{
    local worker
    worker=$(child_pid process)
    stop service KILL
    kill -KILL "$worker"
}

test_a_frame_that_was_taken_back_when_the_service_was_killed_is_there()
{
    need curl jq
    local id frame
    open_burst
    frame=$(get "/bursts/$id" | jq -r '.items[1].frame')
    expect_reply 202 POST "/bursts/$id/frames/$frame/discard"
    kill -STOP "$(child_pid process)"
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    kill_service
    serve_http --gap 60
    wait_for 20 all_scored 5
    expect_reply 202 POST "/bursts/$id/finish"
    [ "$(jq .bursts reply)" = 1 ] || fail "not one burst: $(cat reply)"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5'
}

# A burst whose first frame is exposed unlike the others, and set aside for that: its version 1 is out. Sets
# `id` and `frame`.
publish_misfire()
{
    make_burst shot --misfire 0.5
    drop "$T"/shot/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.fused == 4 and .frames[0].verdict == "aside" and (.frames[1:] | any(.reference))'
    id=$(get /bursts | jq -r '.bursts[0].id')
    frame=$(get "/bursts/$id" | jq -r '.items[0].frame')
    wait_for 10 state_is "$id" published
    get "/bursts/$id" | jq -e '.items[0] | .cause == "stray" and .discarded == false and .taken == false' >/dev/null ||
        fail "$(get "/bursts/$id" | jq -c '.items[0]')"
}

is_taken='.fused == 5 and .aside == 0 and .frames[0].taken and (.frames[1:] | any(.reference)) and (.frames[1] | has("taken") | not)'

test_a_frame_that_is_unlike_the_others_is_taken_back()
{
    need curl jq
    serve_http
    local id frame
    listen
    publish_misfire
    expect_reply 409 POST "/bursts/$id/frames/$(get "/bursts/$id" | jq -r '.items[1].frame')/restore"
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    jq -e '.version == 2' reply >/dev/null || fail "$(cat reply)"
    await_stacks 2
    check "$(published | tail -n 1)/stack.json" ".version == 2 and $is_taken"
    wait_for 10 state_is "$id" published
    [ "$(events frame.restored | jq -r '.burst, .frame')" = "$(printf '%s\n' "$id" "$frame")" ] ||
        fail "told: $(events frame.restored)"
    get "/bursts/$id" | jq -e '.items[0] | .taken and .verdict == "fused"' >/dev/null || fail "not as it is"
    expect_reply 409 POST "/bursts/$id/frames/$frame/restore"
    # For good, until it is discarded; what is taken back from that is judged as at first.
    expect_reply 202 POST "/bursts/$id/restack"
    await_stacks 3
    check "$(published | tail -n 1)/stack.json" "$is_taken"
    wait_for 10 state_is "$id" published
    expect_reply 202 POST "/bursts/$id/frames/$frame/discard"
    await_stacks 4
    check "$(published | tail -n 1)/stack.json" '.fused == 4 and (.frames[0] | .cause == "discarded" and (has("taken") | not))'
    wait_for 10 state_is "$id" published
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    await_stacks 5
    check "$(published | tail -n 1)/stack.json" '.fused == 4 and .frames[0].cause == "unlike"'
    wait_for 10 state_is "$id" published
    # Nothing is unlike where nothing is judged.
    expect_reply 202 POST "/bursts/$id/restack" '{"settings":{"judge":false}}'
    await_stacks 6
    check "$(published | tail -n 1)/stack.json" '.fused == 5 and .frames[0].reference'
}

# acted WHAT: of that frame, which is not while its result is being written
acted()
{
    [ "$(curl_in -o /dev/null -w '%{http_code}' -X POST "/api/v1/bursts/$id/frames/$frame/$1")" = 202 ]
}

is_stray()
{
    get "/bursts/$id" | jq -e '.items[0].cause == "stray"' >/dev/null
}

# In a burst that waits for room in the outbox.
test_a_frame_that_is_unlike_the_others_is_taken_back_before_it_is_out()
{
    need curl jq
    mkdir outbox
    mount -t tmpfs -o size=64k tmpfs outbox || skip "cannot mount a tmpfs"
    at_end umount "$T/outbox"
    serve_http
    local id frame
    make_burst shot --misfire 0.5
    drop "$T"/shot/*.jpg
    await_log 'the outbox cannot be written'
    id=$(get /bursts | jq -r '.bursts[0].id')
    frame=$(get "/bursts/$id" | jq -r '.items[0].frame')
    wait_for 20 is_stray
    # Discarded and taken back from that it is judged as the others are.
    wait_for 20 acted discard
    wait_for 20 acted restore
    wait_for 20 is_stray
    wait_for 20 acted restore
    expect_reply 409 POST "/bursts/$id/frames/$frame/restore"
    mount -o remount,size=64m outbox
    await_stacks 1
    check "$(published)/stack.json" "$is_taken"
}

# What cannot be aligned cannot be fused: the stack of the others is as it was.
test_another_picture_that_is_taken_back_spoils_nothing()
{
    need curl jq
    serve_http
    make_burst stray --frames 1 --scene board --seed 77 --name 'A_%d' --start 2026-01-02T03:04:05
    make_burst shot --name 'B_%d' --start 2026-01-02T03:04:06
    local id frame
    drop stray/*.jpg shot/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 1 and (.frames[1:] | any(.reference))'
    id=$(get /bursts | jq -r '.bursts[0].id')
    frame=$(get "/bursts/$id" | jq -r '.items[0].frame')
    wait_for 10 state_is "$id" published
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    await_stacks 2
    check "$(published | tail -n 1)/stack.json" '.fused == 5 and (.frames[1:] | any(.reference)) and (.frames[0] |
        .taken and .verdict == "aside" and .cause == "unlike" and (.reason | startswith("unlike the others") | not))'
    cmp outbox/*/stack.tif || fail "it has left a trace"
}

test_what_is_unlike_the_others_is_taken_back_when_the_service_was_killed()
{
    need curl jq
    serve_http
    local id frame
    publish_misfire
    kill -STOP "$(child_pid process)"
    expect_reply 202 POST "/bursts/$id/frames/$frame/restore"
    kill_service
    serve_http
    await_stacks 2
    check "$(published | tail -n 1)/stack.json" ".version == 2 and $is_taken"
}

test_what_was_lost_and_restacked_when_the_service_was_killed_is_there()
{
    need curl jq
    serve_http --gap 60
    make_burst shot
    local files=(shot/*.jpg) id
    drop "${files[@]}"
    wait_for 20 all_scored 5
    rm "inbox/${files[1]##*/}"
    kill -KILL "$(child_pid process)"
    await_log "${files[1]##*/} set aside: " 30
    id=$(get /bursts | jq -r '.bursts[0].id')
    expect_reply 202 POST "/bursts/$id/finish"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 4'
    wait_for 10 state_is "$id" published
    drop "${files[1]}"
    kill -STOP "$(child_pid process)"
    expect_reply 202 POST "/bursts/$id/restack"
    kill_service
    serve_http --gap 60
    await_stacks 2
    check "$(published | tail -n 1)/stack.json" '.fused == 5 and .version == 2'
}

test_a_failure_is_seen_and_retried()
{
    need curl jq
    mkdir_inbox
    local file
    make_burst shot --frames 3
    # Too dull to be aligned: every frame but the first is set aside.
    serve_http --min-correlation 1
    drop "$T"/shot/*.jpg
    wait_for 30 counts 1 '/bursts?state=failed'
    local id
    id=$(get /bursts | jq -r '.bursts[0].id')
    get /status | jq -e --arg id "$id" '.troubles[] | select(.id == "burst." + $id) | .retry' >retry ||
        fail "no trouble that can be retried"
    [ "$(status_of /healthz)" = 200 ] || fail "a failed burst makes the service unhealthy"
    listen
    expect_reply 200 PATCH /settings '{"min_correlation":0.5}'
    expect_reply 202 POST "$(sed 's,"/api/v1\(.*\)",\1,' retry)"
    await_stacks 1
    wait_for 10 heard burst.published
    heard burst.again || fail "no word of the retry"
    get /status | jq -e '.troubles == []' >/dev/null || fail "the trouble is still there"
    expect_reply 422 PATCH /settings '{"min_correlation":2}'
    expect_reply 422 PATCH /settings '{"outbox":"/tmp"}'
    get /settings | jq -e '.settings | map(select(.key == "min_correlation"))[0].value == 0.5' >/dev/null ||
        fail "the setting is not as it was set"
}

test_scan_and_sources()
{
    need curl jq
    serve_http --rescan-interval 3600
    wait_for 10 log_says 'inotify, ok'
    wait_for 10 source_is_ok
    get /sources | jq -e '.sources[0] | .kind == "folder" and .state == "ok" and .source == 0' >/dev/null ||
        fail "$(get /sources)"
    expect_reply 202 POST /scan
    expect_reply 202 POST /sources/0/scan
    expect_reply 404 POST /sources/1/scan
    expect_reply 422 POST /sources/0/camera '{"do":"list"}'
    expect_reply 409 DELETE /sources/0/camera
    rm -r "$T/inbox"
    wait_for 20 unhealthy
    mkdir_inbox
    wait_for 30 healthy
}

test_events_are_told_again_after_a_reconnect()
{
    need curl jq
    serve_http
    make_burst shot
    listen
    drop "$T"/shot/*.jpg
    await_stacks 1
    wait_for 10 heard burst.published
    local id all
    id=$(sed -n 's/^id: //p' events.txt | sed -n 8p)
    all=$(sed -n 's/^id: //p' events.txt | tail -n +9 | sed '/^$/d')
    listen_after "$id" again.txt
    wait_for 10 grep -q 'event: burst.published' again.txt
    # "hello" first, which is no event of that row; then those that were missed, in their order.
    diff <(sed -n 's/^id: //p' again.txt | tail -n +2 | head -n "$(wc -l <<<"$all")") - <<<"$all" ||
        fail "not what was missed"
    listen_after "000000000000-3" other.txt
    wait_for 10 grep -q '"reason":"restarted"' other.txt
    listen_after "${id%-*}-999999" gone.txt
    wait_for 10 grep -q '"reason":"gone"' gone.txt
    listen_after '' filtered.txt "?type=burst.&after=${id%-*}-0"
    wait_for 10 grep -q 'event: burst.published' filtered.txt
    ! grep -q 'event: frame' filtered.txt || fail "more than was asked for"
}

test_tokens()
{
    need curl jq
    od -An -tx1 -N24 /dev/urandom | tr -d ' \n' >token
    local token look=look-but-do-not-touch
    token=$(cat token)
    expect_status 2 "$PARFOCAL" serve --source "folder:$T" --state "$T/state" --http 0.0.0.0:0
    grep -q 'http_token must be set' err || fail "it does not say why"
    expect_status 2 "$PARFOCAL" serve --source "folder:$T" --state "$T/state" --http-token short
    expect_status 2 "$PARFOCAL" serve --source "folder:$T" --state "$T/state" --http somewhere:80
    serve_http --http 0.0.0.0:0 --http-token "$T/token" --http-read-token $look \
        --on-burst 'https://user:open-sesame@hooks.example.org/services/open-sesame' --on-failure '/bin/true --password open-sesame'
    wait_for 10 log_says 'http: http://0.0.0.0:'
    local at
    at=http://127.0.0.1:$(sed -n 's,.*http: http://0.0.0.0:\([0-9]*\)/.*,\1,p' service.err)
    asks() { curl -sS -o out -w '%{http_code}' "$@"; }
    [ "$(asks "$at/api/v1/status")" = 401 ] || fail "without a token"
    [ "$(asks "$at/healthz")" = 200 ] || fail "health needs no token"
    jq -e 'has("troubles") | not' out >/dev/null || fail "but says no more than the word"
    [ "$(asks -H "Authorization: Bearer $token" "$at/api/v1/status")" = 200 ] || fail "with the token"
    [ "$(asks -H "Authorization: Bearer ${token%?}" "$at/api/v1/status")" = 401 ] || fail "with a part of it"
    [ "$(asks -H "Authorization: Bearer ${token}x" "$at/api/v1/status")" = 401 ] || fail "with more than it"
    [ "$(asks -H "Authorization: Bearer $look" "$at/api/v1/status")" = 200 ] || fail "looking"
    [ "$(asks -X POST -H "Authorization: Bearer $look" "$at/api/v1/finish")" = 403 ] || fail "touching"
    [ "$(asks -X POST -H "Authorization: Bearer $token" "$at/api/v1/finish")" = 202 ] || fail "acting"
    [ "$(asks -c jar -H 'Content-Type: application/json' -d "{\"token\":\"$token\"}" "$at/api/v1/session")" = 200 ] ||
        fail "no session"
    grep -q '^#HttpOnly_' jar || fail "the cookie can be read by scripts"
    [ "$(asks -b jar "$at/api/v1/status")" = 200 ] || fail "with the cookie"
    [ "$(asks -H 'Content-Type: application/json' -d '{"token":"not-the-token-at-all"}' "$at/api/v1/session")" = 401 ] ||
        fail "a session for nobody"
    asks -H "Authorization: Bearer $token" "$at/api/v1/settings" >/dev/null
    ! grep -q -e "$token" -e "$look" out || fail "settings tell the token"
    asks -H "Authorization: Bearer $look" "$at/api/v1/settings" >/dev/null
    ! grep -q open-sesame out || fail "settings tell the secret of a hook"
    jq -e '[.settings[] | select(.key | startswith("on_")) | .value] ==
        [["https://…@hooks.example.org/services/…"], ["/bin/true …"], []]' out >/dev/null ||
        fail "$(jq -c '.settings[] | select(.key | startswith("on_"))' out)"
    # Inside the machine the socket of the state directory needs none.
    [ "$(status_of /api/v1/status)" = 200 ] || fail "inside"
    [ "$(stat -c %a state/http)" = 700 ] || fail "others can open the socket: $(stat -c %a state/http)"
}

test_names_and_sites()
{
    need curl jq
    serve_http --http 127.0.0.1:0 --http-host studio.example
    wait_for 10 log_says 'http: http://127.0.0.1:'
    local at port
    port=$(sed -n 's,.*http: http://127.0.0.1:\([0-9]*\)/.*,\1,p' service.err)
    at=http://127.0.0.1:$port
    asks() { curl -sS -o out -w '%{http_code}' "$@"; }
    [ "$(asks "$at/api/v1/status")" = 200 ] || fail "by address"
    [ "$(asks -H "Host: localhost:$port" "$at/api/v1/status")" = 200 ] || fail "by name"
    [ "$(asks -H "Host: studio.example" "$at/api/v1/status")" = 200 ] || fail "by a name of http_host"
    [ "$(asks -H "Host: evil.example:$port" "$at/api/v1/status")" = 403 ] || fail "by a stranger's name"
    [ "$(asks -X POST -H "Origin: http://evil.example" "$at/api/v1/finish")" = 403 ] || fail "from another site"
    [ "$(asks -X POST -H "Origin: null" "$at/api/v1/finish")" = 403 ] || fail "from nowhere"
    [ "$(asks -X POST -H "Sec-Fetch-Site: cross-site" "$at/api/v1/finish")" = 403 ] || fail "across sites"
    [ "$(asks -X POST -H "Origin: $at" "$at/api/v1/finish")" = 202 ] || fail "from our own page"
    [ "$(asks -X PATCH -d '{"judge":false}' "$at/api/v1/settings")" = 415 ] || fail "a form's body"
    [ "$(asks -X PUT "$at/api/v1/settings")" = 405 ] || fail "another method"
    [ "$(asks "$at/api/v1/nothing")" = 404 ] || fail "nothing"
    [ "$(asks "$at/")" = 200 ] || fail "the page"
    curl -sS -D - -o /dev/null "$at/" | grep -qi "^content-security-policy: default-src 'none'" || fail "no policy"
}

test_a_port_that_is_taken()
{
    need curl jq
    serve_http --http 127.0.0.1:0
    wait_for 10 log_says 'http: http://127.0.0.1:'
    local port
    port=$(sed -n 's,.*http: http://127.0.0.1:\([0-9]*\)/.*,\1,p' service.err)
    mkdir "$T/other"
    start second "$PARFOCAL" serve --source "folder:$T/other" --outbox "$T/outbox2" --state "$T/state2" \
        --http "127.0.0.1:$port"
    wait_for 20 grep -q 'it is tried again, and the service goes on without' second.err
    [ "$(curl -sS -o /dev/null -w '%{http_code}' --unix-socket state2/http http://localhost/healthz)" = 503 ] ||
        fail "it is no trouble that the address is taken"
    stop service
    wait_for 40 grep -q "http: http://127.0.0.1:$port/\$" second.err
    [ "$(curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/healthz")" = 200 ] || fail "not healthy again"
}
