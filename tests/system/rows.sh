# Failure cases of the service as a whole that have no better place, and the list of them all: a
# case of number NN has tests named rowNN_..., here or elsewhere.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

test_every_failure_case_has_a_test()
{
    local row missing=
    for row in $(seq -f %02g 1 26); do
        grep -qE "^test_row${row}_" "$ROOT"/tests/system/*.sh "$ROOT"/tests/torture/*.sh ||
            missing+=" $row"
    done
    [ -z "$missing" ] || fail "no test of row$missing"
}

# A disk that is mounted over the folder brings other files, unmounted they are away; the service
# sees both without an event, and forgets nothing.
test_row13_a_source_is_unmounted_and_mounted_again()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    make_burst burst --frames 6
    mkdir_inbox
    mount -t tmpfs -o size=8m tmpfs inbox || skip "cannot mount a tmpfs"
    local files=(burst/*.jpg)
    serve --expected-frames 6 --rescan-interval 0.3 --gap 60
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    # The same disk elsewhere for a while: here it is gone.
    mkdir kept
    mount --bind inbox kept
    umount -l inbox
    drop_into=../kept drop "${files[3]}"
    sleep 1
    log_lacks 'set aside'
    mount --bind kept inbox
    wait_for 30 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    drop "${files[@]:4}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 6 and .version == 1'
    stop_service
}

# The worker dies with the mount: its frames are waited for, over a restart of the service too.
test_row14_a_missing_mount_over_a_restart()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    need sqlite3
    make_burst burst
    mkdir_inbox
    mkdir disk
    mount -t tmpfs -o size=8m tmpfs disk || skip "cannot mount a tmpfs"
    mount --bind disk inbox
    local files=(burst/*.jpg)
    serve --expected-frames 5 --rescan-interval 0.3 --gap 60
    drop "${files[@]:0:4}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    stop service KILL
    umount -l inbox # an empty directory now
    serve --expected-frames 5 --rescan-interval 0.3 --gap 60
    await_log 'burst .* waits for it'
    sleep 2
    log_lacks 'set aside'
    stop_service
    [ "$(sqlite3 state/journal.sqlite 'SELECT count(*) FROM frames WHERE burst IS NOT NULL')" = 4 ] ||
        fail "frames were forgotten"
    mount --bind disk inbox
    serve --expected-frames 5 --rescan-interval 0.3 --gap 60
    drop "${files[4]}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and .aside == 0'
    stop_service
    # Nothing of the inputs was ever touched.
    for file in "${files[@]}"; do
        cmp -s "$file" "disk/${file##*/}" || fail "changed or deleted: $file"
    done
}

# A card that is mounted within the source is pulled while its burst is under way, and others' files are there: its
# frames are not lost.
test_row14_a_card_within_the_source_is_pulled()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    make_burst burst
    make_burst other --frames 1 --seed 3 --make Other --name other-%02d
    mkdir_inbox
    mkdir disk inbox/CARD
    mount -t tmpfs -o size=8m tmpfs disk || skip "cannot mount a tmpfs"
    mount --bind disk inbox/CARD
    local files=(burst/*.jpg)
    serve --expected-frames 5 --rescan-interval 0.3 --gap 60
    drop other/*.jpg
    drop_into=CARD drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 4 ]'
    umount -l inbox/CARD
    kill -KILL "$(child_pid process)" # it needs all its frames anew
    await_log 'waits for .*CARD.*: what it lies on is not mounted' 30
    log_lacks 'set aside'
    # Nor does a service forget the card that begins anew (of a source's process: test_disks).
    stop_service
    serve --expected-frames 5 --rescan-interval 0.3 --gap 60
    await_log 'waits for .*CARD.*: what it lies on is not mounted' 30
    log_lacks 'set aside'
    mount --bind disk inbox/CARD
    drop_into=CARD drop "${files[@]:3}"
    await_stacks 1 60
    check "$(published)/stack.json" '.fused == 5 and .aside == 0 and .version == 1'
    stop_service
}

# A disk of ext4 turns read-only in the middle of a burst. (That of the journal: test_journal_trouble.)
test_row19_read_only_ext4_resumes_by_itself()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    need mkfs.ext4
    make_burst burst
    mkdir_inbox
    mkdir outbox
    truncate -s 32M disk.img
    mkfs.ext4 -q disk.img
    mount -o loop disk.img outbox 2>why || skip "cannot mount a loop device: $(cat why)"
    local files=(burst/*.jpg)
    serve --expected-frames 5
    drop "${files[@]:0:3}"
    wait_for 20 eval '[ "$(grep -c scored service.err)" -eq 3 ]'
    wait_for 10 eval 'mount -o remount,ro outbox 2>/dev/null'
    drop "${files[@]:3}"
    await_log 'the outbox cannot be written: .*Read-only'
    sleep 2 # time for a flood
    [ "$(grep -c 'outbox cannot be written' service.err)" -eq 1 ] || fail "said more than once"
    mount -o remount,rw outbox
    await_stacks 1 60
    await_log 'the outbox can be written again'
    check "$(published)/stack.json" '.fused == 5 and .version == 1'
    stop_service
    [ -z "$leftovers" ] || fail "left over: $leftovers"
}

test_row24_state_directory_on_a_network_share_is_refused()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip "needs root and /dev/fuse"
    mkdir_inbox
    mkdir low mnt
    bindfs --no-allow-other low mnt 2>why || skip "bindfs: $(cat why)"
    expect_status 1 "$PARFOCAL" serve --source "folder:$T/inbox" --state "$T/mnt/state" \
        --outbox "$T/outbox"
    grep -q 'state directory .*mnt/state lies on .*locks and syncs are not reliable there; name a directory on a local disk' err ||
        fail "$(cat err)"
    # Nothing was begun there.
    [ -z "$(find low -name 'journal*')" ] || fail "left there: $(find low)"
}
