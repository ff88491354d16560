# The failures that a service lives through, each a number of rounds under load: photographs come one after
# the other, at a random moment it begins and after a while it ends, and when all is done nothing is lost and
# nothing stacked twice. Time to recover is from its end to the first stack published after it. (What is said
# and done meanwhile, tests/system has: rows.sh, serve_trouble.sh, serve_kill.sh, hooks.sh, camera_serve.sh.)
# time limit: 900, with TORTURE 5000
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

begin_if_it_has_ended()
{
    kill -0 "$started" 2>/dev/null || begin_again
}
begin_again()
{
    stop service KILL
    note_promises
    has_not_crashed
    begin "${options[@]}"
}

# A frame that a failure around it has kept out of its stack is lost as well.
count_kept_out()
{
    local aside
    aside=$(find "$DISK/outbox" -mindepth 2 -maxdepth 2 -name stack.json -exec \
        jq -r '.frames[] | select(.verdict == "aside") | "set aside: \(.path): \(.reason)"' {} +)
    [ -z "$aside" ] || {
        echo "$aside"
        lost=$((lost + $(wc -l <<<"$aside")))
    }
}

# hurt BEGIN_FAILURE END_FAILURE [SIGN]: ROUNDS times. The failure has struck when the command $evidence, if there
# is one, counts more than before; SIGN is one that counts what comes once it is over.
hurt()
{
    local round before at said sign=${3:-outputs} waited_ms patience_ms
    # The one of a short run must strike; of many some may not.
    patience_ms=$((${SAN:+3 *} $([ -z "$TORTURE" ] && echo 60000 || echo 20000)))
    begin "${options[@]}"
    await_begin
    await_log 'worker ready'
    : >recovery
    for ((round = 1; round <= ROUNDS; round++)); do
        start_photographing
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        said=$([ ${#evidence[@]} -eq 0 ] || "${evidence[@]}")
        $1
        waited_ms=0
        if [ ${#evidence[@]} -gt 0 ]; then
            at=$(now_ms)
            until more_than "$said" "${evidence[@]}" || [ $(($(now_ms) - at)) -gt $patience_ms ]; do
                sleep 0.05
            done
            ! more_than "$said" "${evidence[@]}" || struck=$((struck + 1))
            waited_ms=$(($(now_ms) - at))
            sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        fi
        before=$($sign) at=$(now_ms)
        $2
        wait_for 60 more_than "$before" "$sign"
        echo $(($(now_ms) - at)) >>recovery
        end_photographing
        begin_if_it_has_ended
        wait_for 120 all_is_done
        wait_for 60 eval '[ "$($sign)" -ge "$(outputs)" ]'
        check_promises
        count_stacked
        count_kept_out
        echo "round $round: struck after $waited_ms ms, over after $(tail -n 1 recovery) ms; $(wc -l <dropped) frames, $lost lost, $twice twice"
        [ $((lost + twice)) -eq 0 ] || break
    done
    stop service
    [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
    has_not_crashed
    [ ${#evidence[@]} -eq 0 ] || [ $((lost + twice)) -gt 0 ] || [ $((2 * struck)) -ge "$ROUNDS" ] ||
        fail "it has struck $struck times only"
}

prepare()
{
    need sqlite3 jq
    rounds 1 20
    at_end tail -n 30 "$T/service.err"
    options=() evidence=() struck=0
}
as_root()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root"
}

small_disk() # DIRECTORY: of 24 MB, in memory
{
    as_root
    mkdir -p "$1"
    mount -t tmpfs -o size=24m tmpfs "$1" || skip "cannot mount a tmpfs"
}

# The photographs are on the disk that is mounted over the inbox, whether it is or not.
source_on_a_disk()
{
    as_root
    mkdir kept
    mount --bind kept inbox || skip "cannot mount"
    drop_into=../kept
}

test_row13_source_unmounted()
{
    prepare
    source_on_a_disk
    unmounted() { umount -l inbox && sleep "$((RANDOM % 3)).$((RANDOM % 10))"; }
    mounted() { mount --bind kept inbox; }
    hurt unmounted mounted
    report 'row 13: the disk of the source is unmounted and mounted again'
}

test_row14_mount_missing_at_the_start()
{
    prepare
    source_on_a_disk
    begun_without()
    {
        umount -l inbox
        begin_again
        await_log 'worker ready'
        sleep "$((RANDOM % 3)).$((RANDOM % 10))"
    }
    mounted() { mount --bind kept inbox; }
    hurt begun_without mounted
    report 'row 14: the disk of the source is not mounted when the service begins'
}

# Whatever of the service needs memory then, the kernel kills; the service itself is started again, as systemd does.
test_row16_out_of_memory()
{
    prepare
    as_root
    [ -z "$SAN" ] || skip "sanitizers need more memory than the group has"
    local group hog
    memory_group 300 || skip "no cgroup with a memory limit can be made here"
    in_group
    UNDER=("$T/in_group")
    eaten()
    {
        # The kernel may not take this one.
        setsid "$T/in_group" bash -c 'echo -1000 >/proc/self/oom_score_adj
            { head -c 290m /dev/zero; sleep 1000; } | tail -c 290m >/dev/null' &
        hog=$!
    }
    kills() { sed -n 's/^oom_kill //p' "$group/memory.oom_control" "$group/memory.events" 2>/dev/null || true; }
    evidence=(kills)
    given_back()
    {
        kill -KILL -- "-$hog" && wait "$hog" || true
        begin_if_it_has_ended
    }
    hurt eaten given_back
    report 'row 16: no memory is left, the kernel kills'
}

test_row18_outbox_full()
{
    prepare
    small_disk outbox
    evidence=(log_lines 'the outbox cannot be written: .*No space left')
    filled() { head -c 64m /dev/zero >outbox/.fill 2>/dev/null || true; }
    emptied() { rm outbox/.fill; }
    hurt filled emptied
    report 'row 18: the disk of the outbox is full'
}

test_row18_journal_full()
{
    prepare
    small_disk state
    evidence=(log_lines 'the journal cannot be written: .*full')
    filled() { head -c 64m /dev/zero >state/fill 2>/dev/null || true; }
    emptied() { rm state/fill; }
    hurt filled emptied
    report 'row 18: the disk of the journal is full'
}

test_row19_outbox_read_only()
{
    prepare
    as_root
    need mkfs.ext4
    mkdir outbox
    truncate -s 96M disk.img
    mkfs.ext4 -q disk.img
    mount -o loop disk.img outbox 2>why || skip "cannot mount a loop device: $(cat why)"
    evidence=(log_lines 'the outbox cannot be written: .*Read-only')
    # While something is being written there it cannot be.
    read_only() { wait_for 20 eval 'mount -o remount,ro outbox 2>/dev/null'; }
    writable() { mount -o remount,rw outbox; }
    hurt read_only writable
    report 'row 19: the file system of the outbox turns read-only (loop ext4)'
}

killed() # CHILD
{
    wait_for 20 eval "kill -KILL \$(child_pid $1) 2>/dev/null"
}

test_row22_service_killed()
{
    prepare
    hurt true begin_again
    report 'row 22: SIGKILL of the service (started again at once)'
}

test_row22_worker_killed()
{
    prepare
    hurt 'killed process' true
    report 'row 22: SIGKILL of the worker'
}

test_row22_capture_killed()
{
    prepare
    hurt 'killed capture' true
    report 'row 22: SIGKILL of the capture process'
}

# The camera's card keeps what is shot meanwhile.
test_row25_camera_unplugged()
{
    local i card
    prepare
    . "$ROOT/tests/system/camera.bash"
    keep_drivers_leaks
    for ((i = 0; i < 4 * ROUNDS; i++)); do
        make_burst files --name "$(printf C%04d "$i")_%02d" --seed "$i" --width 48 --height 32 \
            --start "2026-01-02T$(printf '%02d:%02d' $((i / 60)) $((i % 60))):00"
    done
    camera body files
    options=(--source "camera:$camera_port" --spool "$T/spool" --poll-interval 0.3)
    start_photographing()
    {
        await_log 'serial number' # what was on the card before is left alone
        tell shoot 15 200
    }
    end_photographing()
    {
        wait_for 30 none_left
        tell list | tr '|' '\n' | sed -n 's/ .*//p' >dropped
    }
    evidence=(log_lines 'it is looked for again')
    unplugged() { tell unplug; }
    # One more: all the others may have been stacked before it was unplugged.
    plugged() { tell plug && tell shoot 5 200; }
    hurt unplugged plugged
    report 'row 25: the camera is unplugged and plugged in again'
}

# Each stack is told once, however often that has failed.
test_row26_hook_fails()
{
    prepare
    cat >hook <<E
#!/bin/bash
[ ! -e '$T/hook.fails' ] || exit 3
echo "\$PARFOCAL_ID" >>'$T/told'
E
    chmod +x hook
    : >told
    options=(--on-burst "$T/hook" --hook-retries 1000 --hook-backoff 0.2)
    evidence=(log_lines 'on_burst: .* failed: status 3')
    told() { wc -l <"$T/told"; }
    fails() { touch hook.fails; }
    mended() { rm hook.fails; }
    hurt fails mended told
    [ -z "$(sort told | uniq -d)" ] || fail "told twice: $(sort told | uniq -d)"
    [ "$(sort -u told | wc -l)" -eq "$(outputs)" ] || fail "$(wc -l <told) of $(outputs) stacks were told"
    report 'row 26: a hook fails (recovered when it is told again)'
}

# tests/system has each of them once; a short run has one more, each time another one.
if [ -z "$TORTURE" ] && [ ${#only[@]} -eq 0 ]; then
    RANDOM=${PARFOCAL_SEED:-$RANDOM}
    mapfile -t failures < <(compgen -A function test_)
    unset "failures[RANDOM % ${#failures[@]}]"
    unset -f "${failures[@]}"
fi
