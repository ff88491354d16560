# Power loss: the file system that holds the inbox, the state directory and the outbox is ended at random
# moments, and nothing that it has not on disk is there afterwards.
# time limit: 480, with TORTURE 3000
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

image=1 # its number

mount_disk()
{
    mount -o loop "$T/disk$image.img" "$T/disk"
}

is_detached()
{
    [ -z "$(losetup -j "$T/disk$image.img")" ]
}

# A dying process may hold it for a moment. Somebody with a mount namespace of his own may hold it for
# long, and a mount would bring back the file system as it was ended: then a copy is mounted.
unmount_disk()
{
    local end=$((SECONDS + 3))
    wait_for 30 eval "umount '$T/disk' 2>/dev/null"
    until is_detached || [ $SECONDS -gt $end ]; do
        sleep 0.05
    done
    is_detached || { cp --sparse=always "disk$image.img" "disk$((image + 1)).img" && image=$((image + 1)); }
}

# What the journal has must be there as it was dropped, by people who sync nothing.
check_inbox()
{
    [ -e disk/state/journal.sqlite ] || return 0
    ask_journal "SELECT CAST(path AS TEXT) FROM files WHERE frame IS NOT NULL" | sed 's,.*/,,' | sort -u >recorded
    damaged recorded >damaged.frames
    [ ! -s damaged.frames ] || {
        echo "recorded, but not as they were dropped: $(tr '\n' ' ' <damaged.frames)"
        (cd disk/inbox && ls -l $(cat "$T/damaged.frames") 2>&1) | head
        lost=$((lost + $(wc -l <damaged.frames)))
    }
}

damaged() # NAMES: those of them that are not in the inbox as they were made
{
    join -1 2 -o 1.1,1.2 <(sort -k 2 sums) <(sort -u "$1") | sed 's/ /  /' >sums.wanted
    # (It ends with 1 when there are some.)
    [ ! -s sums.wanted ] || (cd disk/inbox && LC_ALL=C md5sum -c --quiet "$T/sums.wanted" 2>/dev/null) |
        sed -n 's/: FAILED.*//p' || true
}

# What the disk lost before it was recorded, they drop once more.
drop_again()
{
    local name
    for name in $(damaged dropped); do
        drop "$T/made/${name%_*}/$name"
        again=$((again + 1))
    done
}

test_row23_power_loss()
{
    need sqlite3 jq mkfs.ext4
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    rounds 5 200
    truncate -s 96M disk1.img
    mkfs.ext4 -q disk1.img
    mkdir disk
    mount_disk 2>why || skip "cannot mount a loop device: $(cat why)"
    DISK=$T/disk
    mkdir disk/inbox
    rmdir inbox
    ln -s disk/inbox inbox
    sync -f disk
    at_end tail -n 30 "$T/service.err"
    local round moment at published=0 again=0
    : >sums
    for ((round = 1; round <= ROUNDS; round++)); do
        begin
        make_a_burst
        (cd "made/$(basename "${made[0]%/*}")" && md5sum -- *.jpg) >>sums
        moment=$((RANDOM % 900))
        await_begin
        drop_again
        printf '%s\n' "${made[@]##*/}" >>dropped
        # The frames come while it happens, one after the other.
        drop "${made[0]}"
        at=$(now_ms)
        { for file in "${made[@]:1}"; do drop "$file" && sleep "0.0$((RANDOM % 9))"; done; } &
        sleep "0.$(printf %03d $moment)"
        # What is said once the power is gone, nobody hears: a sync that was under way then may
        # well return 0 without having been done.
        cp service.err heard.err
        "$BUILD/tests/torture/shutdown" "$DISK" || skip "the file system cannot be ended here"
        echo "round $round: after $moment ms ($(($(now_ms) - at)))"
        end_at_once
        mv heard.err service.err
        wait $! || true
        unmount_disk
        mount_disk
        check_promises
        check_inbox
    done
    drop_again
    published=$(wc -l <promised.outputs)
    finish_all
    unmount_disk
    mount_disk
    check_inbox
    echo "outputs promised before the last round: $published; frames dropped again: $again"
    report "row 23: power loss (FS_IOC_SHUTDOWN without log flush) of inbox, state directory and outbox, loop ext4"
}
