# Frames whose files lie elsewhere by the time that they are needed, or nowhere: moved within a source, deleted, or in a
# source of another name.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

# begin_in FOLDER [OPTIONS]: an open burst of five, scored
begin_in()
{
    local folder=$1
    shift
    make_burst burst
    serve_http --gap 60 "$@"
    drop_into=$folder drop burst/*.jpg
    wait_for 20 all_scored 5
}

# The burst is out; its id in $id
finish()
{
    id=$(get /bursts | jq -r '.bursts[0].id')
    expect_reply 202 POST "/bursts/$id/finish"
    await_stacks 1
    wait_for 10 state_is "$id" published
}

# What a folder held has been found in another one: its worker dies while the source has not seen it yet.
test_a_folder_that_is_moved_takes_its_frames_along()
{
    need curl jq
    local source id
    begin_in a
    source=$(child_pid capture)
    kill -STOP "$source"
    at_end kill -CONT "$source"
    mv inbox/a inbox/b
    kill -KILL "$(child_pid process)" # it needs all its frames anew
    await_log 'burst .* waits for it'
    kill -CONT "$source"
    wait_for 10 all_scored 5
    finish
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and ([.frames[].path | test("/inbox/b/")] | all)'
    log_lacks 'set aside'
    # From there to a third place and back again, with all of them known.
    mv inbox/b inbox/c
    wait_for 20 eval '[ "$(grep -c "the same content is known already" service.err)" -eq 10 ]'
    mv inbox/c inbox/b
    stop_service
    serve_http --gap 60
    await_log 'inotify, ok'
    await_log 'worker ready'
    expect_reply 202 POST "/bursts/$id/restack"
    await_stacks 2 10
    check "$(published | tail -n 1)/stack.json" '.fused == 5 and .aside == 0'
    # Some are put back where they all were at first: each is found where it is.
    wait_for 10 state_is "$id" published
    mkdir inbox/a
    mv inbox/b/*_000[12].jpg inbox/a
    expect_reply 202 POST "/bursts/$id/restack"
    await_stacks 3 10
    check "$(published | tail -n 1)/stack.json" '.fused == 5 and .aside == 0 and .version == 3 and
        ([.frames[].path | capture("/inbox/(?<in>.)/").in] | add) == "aabbb"'
    log_lacks 'set aside|waits for it'
    stop_service
}

# Many files that are gone do not make one another wait.
test_what_was_deleted_is_left_out_soon()
{
    need curl jq
    local id
    begin_in a
    finish
    rm inbox/a/*_000[124].jpg
    expect_reply 202 POST "/bursts/$id/restack"
    await_stacks 2 15
    check "$(published | tail -n 1)/stack.json" '.fused == 2 and .aside == 3'
    stop_service
}

# serve_as SOURCE
serve_as()
{
    rm -f state/http
    start service "$PARFOCAL" serve --source "$1" --outbox "$T/outbox" --state "$T/state" --settle 0.1 --gap 60 \
        --http off
    wait_for 20 [ -S state/http ]
}

# The same folder under another name is the same folder.
test_a_source_that_is_called_otherwise_still_tells_what_is_gone()
{
    need curl jq
    local id files
    make_burst burst
    mkdir_inbox
    files=(burst/*.jpg)
    serve_as folder:inbox
    drop "${files[@]}"
    wait_for 20 all_scored 5
    finish
    stop_service
    serve_as "folder:$T/inbox"
    await_log 'inotify, ok'
    rm "inbox/${files[1]##*/}"
    expect_reply 202 POST "/bursts/$id/restack"
    await_stacks 2 15
    check "$(published | tail -n 1)/stack.json" '.fused == 4 and .frames[1].verdict == "aside" and
        (.frames[1].reason | test("No such file"))'
    stop_service
}

has_trouble() # PATTERN of "ID: TEXT"
{
    get /status | jq -r '.troubles[] | .id + ": " + .text' | grep -qE -- "$1"
}

test_a_burst_that_waits_for_its_files_is_told()
{
    need curl jq
    local id
    begin_in a
    finish
    # Nobody can say whether all are gone, or their mount. What was asked for by hand is given up: version 1 is there.
    mv inbox/a away
    expect_reply 202 POST "/bursts/$id/restack"
    wait_for 20 state_is "$id" failed
    has_trouble "burst.$id: .*No such file.*; version 1 stays" || fail "$(get /status | jq -c .troubles)"
    # Not only by the service that was asked.
    expect_reply 202 POST "/bursts/$id/retry"
    stop_service KILL
    serve_http --gap 60
    wait_for 20 state_is "$id" failed
    mv away inbox/a
    expect_reply 202 POST "/bursts/$id/retry"
    await_stacks 2
    wait_for 10 state_is "$id" published
    # A burst that has no version waits, of a source that is no more as well.
    make_burst more --seed 9 --serial 9 --frames 3
    drop_into=b drop more/*.jpg
    wait_for 20 all_scored 3
    stop service KILL
    mv inbox gone
    mkdir inbox other
    serve_as "folder:$T/other"
    wait_for 20 has_trouble 'file: burst .* waits for a file: .*No such file'
    unhealthy || fail "nothing ails it"
    log_lacks 'set aside'
    rmdir inbox
    mv gone inbox
    wait_for 30 all_scored 3
    wait_for 30 healthy
    log_lacks 'set aside'
    stop_service
}
