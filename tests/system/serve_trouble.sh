# parfocal serve: when something goes wrong around it.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

test_restart_in_the_middle_of_a_burst()
{
    make_burst burst --frames 6
    mkdir_inbox
    local files=(burst/*.jpg)
    serve --expected-frames 6 --gap 60
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    stop_service
    [ -z "$(published)" ] || fail "published: $(published)"
    drop "${files[3]}" # while nobody looks
    serve --expected-frames 6 --gap 60
    await_log 'burst .* goes on: open, 3 frames'
    drop "${files[@]:4}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 6 and .version == 1'
    stop_service
    # Told once: what was recorded is neither read nor told again.
    log_lacks "frame ${files[0]##*/}"
    [ "$(published | wc -l)" -eq 1 ] || fail "published: $(published)"
}

test_a_burst_completes_after_a_restart_without_another_frame()
{
    make_burst burst
    mkdir_inbox
    serve --gap 5
    drop burst/*.jpg
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 5 ]'
    stop_service
    [ -z "$(published)" ] || fail "published: $(published)"
    serve --gap 1
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .complete == "gap"'
    stop_service
}

test_a_missing_source_is_waited_for()
{
    make_burst burst
    serve --expected-frames 5 --rescan-interval 0.3
    await_log 'capture folder:.*, missing'
    [ ! -e inbox ] || fail "the source was made"
    mkdir_inbox
    drop burst/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5'
    stop_service
}

test_row18_outbox_full_resumes_by_itself()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    make_burst burst
    mkdir_inbox
    mkdir outbox
    mount -t tmpfs -o size=64k tmpfs outbox || skip "cannot mount a tmpfs"
    serve --expected-frames 5
    drop burst/*.jpg
    await_log 'the outbox cannot be written: .*No space left'
    wait_for 30 eval '! find outbox -name "stack.*" | grep -q .'
    [ -z "$(published)" ] || fail "published: $(published)"
    sleep 2 # time for a flood
    [ "$(grep -c 'outbox cannot be written' service.err)" -eq 1 ] || fail "said more than once"
    mount -o remount,size=64m outbox
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and .version == 1'
    await_log 'the outbox can be written again'
    stop_service
    [ -z "$leftovers" ] || fail "left over: $leftovers"
}

test_row19_outbox_read_only_resumes_by_itself()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    make_burst burst
    mkdir_inbox
    mkdir outbox
    mount -t tmpfs -o size=64m tmpfs outbox || skip "cannot mount a tmpfs"
    mount -o remount,ro outbox
    serve --expected-frames 5
    drop burst/*.jpg
    await_log 'the outbox cannot be written: .*Read-only'
    # The frames are safe meanwhile, over a restart too.
    await_log 'burst .* complete'
    stop_service
    serve --expected-frames 5
    await_log 'the outbox cannot be written: .*Read-only'
    mount -o remount,rw outbox
    await_stacks 1 60
    stop_service
    [ "$(published | wc -l)" -eq 1 ] || fail "published: $(published)"
}

# A plain file where the outbox belongs is a trouble of the outbox and of nothing else.
test_an_outbox_that_is_a_plain_file_is_waited_for()
{
    make_burst burst
    mkdir_inbox
    echo "a stranger's" >outbox
    serve --expected-frames 5
    drop burst/*.jpg
    await_log 'burst .* complete'
    [ "$(grep -c 'the outbox cannot be written: .*/outbox is not a directory' service.err)" -eq 1 ] ||
        fail "said not once: $(grep 'outbox cannot' service.err)"
    log_lacks 'the worker has ended'
    rm outbox
    await_stacks 1 60
    await_log 'the outbox can be written again'
    # It becomes one while the service runs.
    mv outbox results
    echo "a stranger's" >outbox
    make_burst later --start 2026-11-21T12:00:00 --name 'later%02d'
    drop later/*.jpg
    wait_for 30 eval '[ "$(grep -c "/outbox is not a directory" service.err)" -eq 2 ]'
    stop_service
    serve --expected-frames 5
    await_log 'the outbox cannot be written: .*/outbox is not a directory'
    grep -q stranger outbox || fail "the file was touched"
    rm outbox
    mv results outbox
    await_stacks 2 60
    log_lacks 'the worker has ended'
    stop_service
    [ "$(published | wc -l)" -eq 2 ] || fail "published: $(published)"
}

test_row18_journal_full_resumes_by_itself()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    make_burst burst
    mkdir_inbox
    mkdir state
    mount -t tmpfs -o size=2m tmpfs state || skip "cannot mount a tmpfs"
    serve --expected-frames 5
    await_log 'capture folder:.*: inotify, ok'
    head -c 4m /dev/zero >state/fill 2>/dev/null || true
    drop burst/*.jpg
    await_log 'the journal cannot be written'
    sleep 1
    [ -z "$(published)" ] || fail "acted on what is not recorded: $(published)"
    rm state/fill
    await_log 'the journal can be written again' 60
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5'
    stop_service
    # What is asked for meanwhile is promised once, and done once.
    need curl jq
    local id frame
    serve --expected-frames 5
    await_log 'capture folder:.*: inotify, ok'
    id=$(get /bursts | jq -r '.bursts[0].id')
    frame=$(get "/bursts/$id" | jq -r '.items[4].frame')
    head -c 4m /dev/zero >state/fill 2>/dev/null || true
    expect_reply 202 POST "/bursts/$id/frames/$frame/discard"
    jq -e '.version == 2' reply >/dev/null || fail "$(cat reply)"
    expect_reply 409 POST "/bursts/$id/frames/$frame/discard"
    expect_reply 409 POST "/bursts/$id/restack"
    log_says 'the journal cannot be written' || fail 'it could be written'
    rm state/fill
    await_stacks 2
    wait_for 10 state_is "$id" published
    get "/bursts/$id" | jq -e '.version == 2 and .wanted == 2 and .fused == 4' >/dev/null ||
        fail "$(get "/bursts/$id" | jq -c 'del(.items)')"
    stop_service
}

# A frame that needs more than the worker may have: it is set aside, the others go on.
test_row16_a_frame_too_large_for_the_memory()
{
    [ -z "$SAN" ] || skip "sanitizers reserve more address space than any limit"
    make_burst burst
    mkdir_inbox
    make_bomb bomb.jpg
    # Room for small frames, and not for 81 million pixels.
    serve
    await_log 'worker ready'
    local mib
    mib=$(awk '/^VmSize/ { print int($2 / 1024) + 60 }' "/proc/$(child_pid process)/status")
    stop_service
    serve --worker-memory "$mib" --gap 8 --expected-frames 5
    drop bomb.jpg
    await_log 'burst .* begins with bomb.jpg'
    drop burst/*.jpg
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5'
    await_log 'bomb.jpg set aside: .*memory' 60
    stop_service
}

test_row16_a_picture_beyond_the_limit_is_refused_before_it_is_decoded()
{
    mkdir_inbox
    make_bomb bomb.jpg
    serve --max-megapixels 50 --gap 3
    drop bomb.jpg
    await_log 'bomb.jpg:? (set aside|rejected): '
    stop_service
    log_lacks 'the worker has ended'
}

# A frame that kills the worker: here the kernel does it, by the memory limit of a group.
test_row16_a_frame_that_kills_the_worker_is_set_aside()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root for a memory group"
    [ -z "$SAN" ] || skip "sanitizers need more memory than the group has"
    local group
    make_burst burst
    mkdir_inbox
    make_bomb bomb.jpg
    memory_group 100 || skip "no cgroup with a memory limit can be made here"
    # The service is in the group and its children with it; the kernel takes the largest.
    in_group "$PARFOCAL"
    # With a limit of its own that is beyond the group's, the worker does not look at the group's.
    PARFOCAL=$T/in_group serve --memory 100000 --gap 15 --expected-frames 5
    await_log 'worker ready'
    drop bomb.jpg
    await_log 'burst .* begins with bomb.jpg'
    drop burst/*.jpg
    await_log 'bomb.jpg set aside: the worker died while decoding it: killed by signal 9' 60
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5'
    stop_service
}

# A burst that needs more than it may take lies in scratch: it is said, and the stack is the same.
test_row16_a_burst_beyond_the_memory_lies_in_scratch()
{
    make_burst burst --width 1500 --height 1000
    mkdir_inbox
    mkdir scratch
    [ "$(stat -f -c %T scratch)" != tmpfs ] || skip "no disk for a scratch directory"
    expect_status 0 "$PARFOCAL" stack burst/*.jpg -o whole.tif --depth-map whole.png
    serve --expected-frames 5 --memory 4 --scratch "$T/scratch" --confidence-map
    drop burst/*.jpg
    await_stacks 1 60
    await_log 'a burst of 1500 x 1000 pixels needs .* GB may be taken: the rest lies in .*/scratch'
    check "$(published)/stack.json" '.fused == 5 and (.engine.memory |
        .scratch_mb > 10 and .memory_mb <= 4 and .needed_mb > 20)'
    cmp whole.tif "$(published)/stack.tif" || fail "another stack than in memory"
    cmp whole.png "$(published)/depth.png" || fail "another depth map than in memory"
    [ -s "$(published)/confidence.png" ] || fail "no confidence map"
    [ -z "$(ls -A scratch)" ] || fail "something is left in scratch: $(ls -A scratch)"
    stop_service
    # Where there is no scratch, that is said.
    expect_status 1 "$PARFOCAL" stack burst/*.jpg -o out.tif --memory 4 --scratch "$T/nowhere"
    grep -q 'no room for .* scratch directory .*nowhere: No such file' err || fail "$(cat err)"
}

test_row18_no_room_for_pictures_is_waited_for()
{
    make_burst burst --width 1500 --height 1000
    mkdir_inbox
    mkdir there
    [ "$(stat -f -c %T there)" != tmpfs ] || skip "no disk for a scratch directory"
    serve --expected-frames 5 --memory 4 --scratch "$T/there/scratch" --retries 0
    drop burst/*.jpg
    await_log 'burst .* waits: .* no room for .* MB .*there/scratch: No such file'
    mkdir there/scratch
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and ([.frames[].attempts] | add) == 0'
    log_lacks 'set aside'
    stop_service
}

test_a_worker_that_hangs_is_ended()
{
    make_burst burst
    mkdir_inbox
    serve --expected-frames 5 --worker-timeout 1 --retries 100
    await_log 'worker ready'
    local worker
    worker=$(child_pid process)
    kill -STOP "$worker"
    drop burst/*.jpg
    await_log 'the worker has ended: it hung' 30
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5'
    [ "$(child_pid process)" != "$worker" ] || fail "the same worker"
    stop_service
}

test_a_worker_that_dies_is_replaced()
{
    make_burst burst
    mkdir_inbox
    local files=(burst/*.jpg)
    serve --expected-frames 5
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    kill -KILL "$(child_pid process)"
    await_log 'the worker has ended: killed by signal 9'
    drop "${files[@]:3}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and ([.frames[].attempts] | add) == 0'
    stop_service
    # The replay is not told a second time.
    [ "$(grep -c "${files[0]##*/} scored" service.err)" -eq 1 ] || fail "told twice"
}

# The folder goes away while a burst is half-built, and the worker with it: nothing is given up.
test_row14_inputs_that_are_away_are_waited_for()
{
    make_burst burst
    mkdir_inbox
    local files=(burst/*.jpg)
    # By its count: the first three alone must not be out before the others are seen.
    serve --expected-frames 5 --gap 60
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    mv inbox away
    mkdir inbox # an empty mount point
    kill -KILL "$(child_pid process)"
    await_log 'burst .* waits for it'
    sleep 3 # several attempts
    log_lacks 'set aside'
    rmdir inbox
    mv away inbox
    drop "${files[@]:3}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5'
    stop_service
    [ "$(grep -c 'waits for it' service.err)" -le 3 ] || fail "a flood of words"
}

test_a_frame_that_was_deleted_is_given_up()
{
    make_burst burst
    mkdir_inbox
    local files=(burst/*.jpg)
    serve --expected-frames 5 --gap 60
    drop "${files[@]:0:4}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    rm "inbox/${files[1]##*/}"
    kill -KILL "$(child_pid process)"
    await_log "${files[1]##*/} set aside: " 30
    drop "${files[4]}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 4 and .aside == 1 and .frames[1].verdict == "aside" and
        (.frames[1].reason | test("No such file"))'
    stop_service
}

# A camera's counter wraps, and its file takes the place of one that is still needed.
test_a_file_that_was_replaced_is_not_taken_for_the_frame()
{
    make_burst burst
    make_burst other --seed 8 --serial 8
    mkdir_inbox
    local files=(burst/*.jpg)
    serve --expected-frames 5
    drop "${files[@]:0:4}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    local worker
    worker=$(child_pid process)
    drop other/"${files[1]##*/}"
    kill -KILL "$worker"
    await_log "${files[1]##*/} set aside: .*(another one|another picture)" 30
    drop "${files[4]}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 4 and .aside == 1 and .frames[1].verdict == "aside"'
    check "$(published)/stack.json" '.camera.serial != "8"'
    stop_service
}

# The half-built stack can be looked at while the burst is open.
test_preview_of_an_open_burst()
{
    make_burst burst
    mkdir_inbox
    local files=(burst/*.jpg)
    serve --expected-frames 5
    drop "${files[@]:0:4}"
    has_preview()
    {
        local preview
        preview=$(echo state/preview/*.jpg)
        [ "$(head -c 2 "$preview" | od -An -tx1 | tr -d ' ')" = ffd8 ]
    }
    wait_for 20 has_preview 2>/dev/null
    drop "${files[4]}"
    await_stacks 1
    wait_for 10 eval '[ -z "$(ls state/preview)" ]'
    stop_service
}

test_children_die_with_the_service()
{
    mkdir_inbox
    serve
    await_log 'capture folder:.*: inotify, ok'
    local capture worker
    capture=$(child_pid capture) worker=$(child_pid process)
    [ -n "$capture" ] && [ -n "$worker" ] || fail "no children"
    stop service KILL
    gone()
    {
        [ ! -e "/proc/$capture" ] && [ ! -e "/proc/$worker" ]
    }
    wait_for 10 gone
}

test_row20_wall_clock_jumps_do_not_matter()
{
    need faketime
    [ -z "$SAN" ] || skip "libfaketime and the sanitizers do not go together"
    local library
    library=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -1)
    [ -n "$library" ] || skip "libfaketime is not installed"
    make_burst burst --frames 6
    mkdir_inbox
    local files=(burst/*.jpg)
    echo '+0' >clock
    export LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=$T/clock FAKETIME_NO_CACHE=1 \
        FAKETIME_DONT_FAKE_MONOTONIC=1
    serve --expected-frames 6
    unset LD_PRELOAD
    await_log 'capture folder:.*: inotify, ok'
    drop "${files[@]:0:2}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 2 ]'
    echo '+2d' >clock
    drop "${files[@]:2:2}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    echo '-400d' >clock
    drop "${files[@]:4}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 6 and .version == 1'
    stop_service
}

test_a_directory_with_the_same_name_is_left_alone()
{
    make_burst burst
    mkdir_inbox
    serve --expected-frames 5
    drop burst/*.jpg
    await_stacks 1
    stop_service
    local first
    first=$(published)
    # A new journal, the same burst, and a stranger in the place of its directory.
    rm -r state "$first"
    mkdir "$first"
    echo mine >"$first/notes.txt"
    serve --expected-frames 5
    await_stacks 1
    stop_service
    [ "$(cat "$first/notes.txt")" = mine ] || fail "the stranger's file is gone"
    [ "$(published)" = "$first+1" ] || fail "published: $(published)"
}

# The service ends between the rename and the commit: the next start finds the directory.
test_a_directory_that_was_not_committed_is_found()
{
    make_burst burst
    mkdir_inbox
    serve --expected-frames 5
    drop burst/*.jpg
    await_stacks 1
    await_log 'stack published'
    stop_service
    local first before
    first=$(published)
    before=$(stat -c '%i %Y' "$first/stack.tif")
    need sqlite3
    # What the journal was just before that commit.
    sqlite3 state/journal.sqlite "UPDATE bursts SET state = 1, published = 0; DELETE FROM versions" ||
        fail "the journal has other tables"
    serve --expected-frames 5
    await_log 'stack found: .* was published already'
    stop_service
    [ "$(published)" = "$first" ] || fail "published: $(published)"
    [ "$(stat -c '%i %Y' "$first/stack.tif")" = "$before" ] || fail "it was made again"
}

test_stopping_is_quick_and_in_order()
{
    make_burst burst
    mkdir_inbox
    serve
    drop burst/*.jpg
    await_log 'burst .* begins'
    stop service INT
    [ "$stopped" -eq 0 ] || fail "status $stopped"
    log_says 'stopping' || fail "no word"
    log_lacks ' error '
}
