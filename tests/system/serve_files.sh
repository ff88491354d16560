# parfocal serve: files that come slowly, or twice, or are written again.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

test_frames_copied_slowly()
{
    make_burst burst
    mkdir_inbox
    serve --expected-frames 5
    local file size
    for file in burst/*.jpg; do
        size=$(stat -c %s "$file")
        # In the open, in three pieces, with the last bytes late.
        head -c $((size / 2)) "$file" >"inbox/${file##*/}"
        sleep 0.15
        head -c $((size - 10)) "$file" | tail -c +$((size / 2 + 1)) >>"inbox/${file##*/}"
        sleep 0.15
        tail -c 10 "$file" >>"inbox/${file##*/}"
    done
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 0'
    stop_service
}

# A file that is being written holds its burst open, unless it never ends.
test_a_slow_copy_under_its_own_name_is_waited_for()
{
    make_burst burst
    make_burst other --serial 2 --seed 9
    mkdir_inbox
    serve --gap 1 --incomplete-after 6
    local files=(burst/*.jpg) slow
    drop "${files[@]:0:3}"
    slow=inbox/${files[3]##*/}
    head -c 4000 "${files[3]}" >"$slow"
    sleep 4
    log_lacks 'burst .* complete'
    tail -c +4001 "${files[3]}" >>"$slow"
    drop "${files[4]}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .version == 1'
    # Once more, with one that stays as it is.
    files=(other/*.jpg)
    drop_into=other drop "${files[@]:0:4}"
    head -c 4000 "${files[4]}" >inbox/other/cut.jpg
    await_stacks 2 60
    check "$(published | grep -v PF)/stack.json" '.fused == 4 and .version == 1'
    log_says 'cut.jpg: rejected: ' || fail "the burst did not wait"
    stop_service
}

test_same_content_is_one_frame()
{
    make_burst burst
    mkdir_inbox
    serve
    local files=(burst/*.jpg)
    drop "${files[@]:0:4}"
    drop_into=again drop "${files[@]:0:4}"
    cp "${files[1]}" inbox/copy.jpg
    touch inbox/*.jpg
    drop "${files[4]}"
    await_stacks 1
    check "$(published)/stack.json" '(.frames | length) == 5 and .fused == 5'
    stop_service
    [ "$(published | wc -l)" -eq 1 ] || fail "published: $(published)"
    log_says 'the same content is known already; one frame' || fail "no word of the copy"
}

# Frames of a burst in `files`, of which three are dropped and the second one is changed. begin_and_change EXTENSION
# [GENERATOR OPTIONS]
begin_and_change()
{
    local extension=$1
    shift
    make_burst burst "$@"
    mkdir_inbox
    files=(burst/*."$extension")
    serve --expected-frames 5 --gap 30
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    echo more >>"inbox/${files[1]##*/}"
    await_log "${files[1]##*/} set aside: its file has been replaced by another one"
}

# The service begins anew, and the last file comes: five frames in the stack, what was replaced aside.
restart_and_end()
{
    stop_service
    serve --expected-frames 5 --gap 30
    await_log 'burst .* goes on: open, 5 frames'
    drop "${files[4]}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 1 and ([.frames[].path] | unique | length) == 5'
    stop_service
}

# Told before all of it was there, or written into by another program: one shot is one frame.
test_a_file_that_changes_is_one_frame()
{
    local files
    begin_and_change jpg
    drop "${files[@]:3}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 1 and ([.frames[].path] | unique | length) == 5'
    stop_service
}

# The same without a capture time, over a restart as well.
test_a_file_without_a_time_that_changes_is_one_frame()
{
    local files
    begin_and_change png --format png --no-exif
    drop "${files[3]}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 5 ]'
    restart_and_end
}

# Put back as it was: its first content is the frame again, and what was there meanwhile is none.
test_a_file_that_is_put_back_is_one_frame()
{
    local files name
    begin_and_change jpg
    name=${files[1]##*/}
    drop "${files[1]}"
    await_log "$name is taken back"
    wait_for 20 eval '[ "$(grep -c "$name set aside: its file has been replaced" service.err)" -eq 2 ]'
    drop "${files[3]}"
    wait_for 20 eval '[ "$(grep -c "${files[3]##*/}.*scored" service.err)" -eq 1 ]'
    restart_and_end
}

# latest FILE COUNT: that file as what a program has written last, which is the frame of this number.
latest()
{
    cp "$1" inbox/.latest
    mv inbox/.latest inbox/latest.png
    wait_for 20 eval '[ "$(grep -c "frame latest.png: .* MB" service.err)" -eq '"$2"' ]'
}

# kept FILE COUNT: under a name of its own
kept()
{
    drop "$1"
    wait_for 20 eval '[ "$(grep -c "same content is known already" service.err)" -eq '"$2"' ]'
}

# Each picture is kept under a name of its own, which is told before the next one is written, or after.
test_frames_of_one_file_are_kept_under_other_names()
{
    local files i source
    make_burst burst --format png --no-exif
    mkdir_inbox
    files=(burst/*.png)
    serve --expected-frames 5 --gap 60
    for i in 0 1 2; do
        latest "${files[i]}" $((i + 1))
        kept "${files[i]}" $((i + 1))
    done
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    log_lacks 'set aside'
    stop_service
    serve --expected-frames 5 --gap 60
    await_log 'burst .* goes on: open, 3 frames'
    # The worker finds another picture where the third was before the source has told of it.
    await_log 'inotify, ok'
    await_log 'worker ready'
    source=$(child_pid capture)
    kill -STOP "$source"
    at_end kill -CONT "$source"
    cp "${files[3]}" inbox/.latest
    mv inbox/.latest inbox/latest.png
    kill -KILL "$(child_pid process)" # it needs all its frames anew
    await_log 'latest.png: the file holds another picture .* it is in .*/IMG_0003.png as well'
    kill -CONT "$source"
    await_log 'frame latest.png: .* MB'
    latest "${files[4]}" 2
    await_log 'latest.png set aside: its file has been replaced by another one'
    kept "${files[3]}" 1
    await_log 'latest.png is taken back: it is in .*/inbox/'
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and ([.frames[].path] | unique | length) == 5'
    stop_service
}

# The other way round: the newest picture is also to be had under one name. Nor is a copy that goes away again
# of any consequence.
test_frames_that_are_copied_to_one_file_keep_their_own()
{
    local files i
    make_burst burst --format png --no-exif
    mkdir_inbox
    files=(burst/*.png)
    serve --expected-frames 5 --gap 30
    for i in 0 1 2 3; do
        drop "${files[i]}"
        wait_for 20 eval '[ "$(grep -c "frame IMG_.*: .* MB" service.err)" -eq '$((i + 1))' ]'
        cp "${files[i]}" inbox/.latest
        mv inbox/.latest inbox/latest.png
        wait_for 20 eval '[ "$(grep -c "frame latest.png: the same content is known already" service.err)" -eq '$((i + 1))' ]'
    done
    rm inbox/latest.png
    drop "${files[4]}"
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and .complete == "expected count" and
        ([.frames[].path | test("/IMG_[0-9]+.png$")] | all)'
    log_lacks 'set aside'
    stop_service
}

# Not while a frame is on its way that may have it: it comes, or comes to nothing.
test_skipped_plane_is_not_told_while_frames_are_on_their_way()
{
    local i name
    mkdir_inbox
    serve --gap 100 --expected-frames 10
    for name in A B; do
        "$GENERATE" --out $name --no-truth --scene textured --width 768 --height 512 --frames 10 \
            --interval 0.2 --serial $name --name ${name}_%02d
        drop ${name}/${name}_0[1-4].jpg
        for i in 5 6; do
            head -c 20000 $name/${name}_0$i.jpg >inbox/${name}_0$i.jpg
        done
        sleep 1
        for i in 7 8; do
            drop $name/${name}_0$i.jpg
            await_log "${name}_0$i.jpg scored"
        done
        sleep 0.5
        log_lacks "plane was skipped between ${name}_04"
        [ $name = B ] || {
            rm inbox/A_0[56].jpg
            await_log 'a focal plane was skipped between A_04.jpg and A_07.jpg'
        }
    done
    for i in 5 6; do
        tail -c +20001 B/B_0$i.jpg >>inbox/B_0$i.jpg
    done
    drop B/B_09.jpg B/B_10.jpg
    await_stacks 1
    check "$(published)/stack.json" '.fused == 10 and .coverage.skipped == []'
    log_lacks 'plane was skipped between B'
    stop_service
}

# What grows in one folder, for as long as it takes, is nothing to the bursts of another: not even to RAW
# files, which may have a partner.
test_a_file_that_grows_elsewhere_holds_no_burst()
{
    make_burst burst --format dng
    mkdir_inbox
    mkdir elsewhere
    serve --source "folder:$T/elsewhere"
    await_log 'worker ready'
    head -c 20000 burst/IMG_0001.dng >elsewhere/other.dng
    start growing bash -c 'while sleep 0.2; do head -c 100 /dev/zero >>"$0"; done' "$T/elsewhere/other.dng"
    sleep 1 # it is known to grow
    drop burst/*.dng
    await_stacks 1 40
    check "$(published)/stack.json" '.fused == 5 and .complete == "gap"'
    [ -e elsewhere/other.dng ] && log_lacks 'frame other.dng'
    stop growing
    stop_service
}

# Results that are moved into the source are no frames: the burst that they were made of stays as it is.
test_results_in_a_source_are_no_frames()
{
    need exiftool sqlite3
    make_burst burst
    make_burst other --serial 2 --seed 9
    mkdir_inbox
    serve --format tiff --confidence-map --frame-map
    drop burst/*.jpg
    await_stacks 1
    mkdir inbox/kept
    mv "$(published)" inbox/kept/
    await_log 'inbox/kept/[^/]*/: results of parfocal are left alone'
    exiftool -q -overwrite_original -Software='Firmware 1.0' other/*.jpg
    drop_into=other drop other/*.jpg
    await_stacks 1
    check "$(published)/stack.json" '.fused == 5 and .version == 1'
    # Nor after a restart, when all is looked at once more.
    stop_service
    mv "$(published)" inbox/kept/
    serve --format jpeg
    drop_into=more drop burst/*.jpg # nothing new; the scan is through when they are told
    await_log 'the same content is known already'
    stop_service
    [ "$(sqlite3 -readonly state/journal.sqlite 'SELECT count(*) FROM frames')" -eq 10 ] ||
        fail "$(sqlite3 -readonly state/journal.sqlite 'SELECT path FROM files')"
    [ "$(sqlite3 -readonly state/journal.sqlite 'SELECT count(*) FROM bursts')" -eq 2 ] || fail "a burst of results"
    [ "$(grep -ac 'results of parfocal are left alone' service.err)" -eq 2 ] ||
        fail "$(grep -a 'left alone' service.err)"
}
