# Power loss: the file system that holds the inbox or the spool, the state directory and the outbox is ended at
# random moments, and nothing that it has not on disk is there afterwards.
# time limit: 480, with TORTURE 3600
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/../system/camera.bash"
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

make_disk()
{
    need sqlite3 jq mkfs.ext4
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    truncate -s 96M disk1.img
    mkfs.ext4 -q disk1.img
    mkdir disk
    mount_disk 2>why || skip "cannot mount a loop device: $(cat why)"
    DISK=$T/disk
    at_end tail -n 30 "$T/service.err"
    : >sums
    : >recorded
}

cut_power()
{
    # What is said once the power is gone, nobody hears: a sync that was under way then may
    # well return 0 without having been done.
    cp service.err heard.err
    "$BUILD/tests/torture/shutdown" "$DISK" || skip "the file system cannot be ended here"
    end_at_once
    mv heard.err service.err
}

power_is_back()
{
    unmount_disk
    mount_disk
}

# The names of what the journal has, which must be there as it was made.
list_recorded()
{
    [ ! -e disk/state/journal.sqlite ] ||
        ask_journal "SELECT CAST(path AS TEXT) FROM files WHERE frame IS NOT NULL" | sed 's,.*[/-],,' | sort -u >recorded
}

# Those people sync nothing.
check_inbox()
{
    list_recorded
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

# What has come through a cut: sets $kept, words for the row. Of a short run the few rounds may all be cut before a
# stack is out.
count_kept()
{
    local frames outputs
    frames=$(wc -l <recorded) outputs=$(wc -l <promised.outputs)
    kept="$frames frames recorded and $outputs outputs published before the last cut are there"
    [ $lost -eq 0 ] || return 0 # report says it
    [ "$frames" -gt 0 ] || [ -z "$TORTURE" ] || fail "no frame was recorded before the power was lost: nothing was tried"
    [ "$outputs" -gt 0 ] || [ -z "$TORTURE" ] || fail "no output was published before the power was lost: nothing was tried"
}

test_row23_power_loss()
{
    local round moment at kept again=0
    rounds 5 200
    make_disk
    mkdir disk/inbox
    rmdir inbox
    ln -s disk/inbox inbox
    sync -f disk
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
        cut_power
        echo "round $round: after $moment ms ($(($(now_ms) - at)))"
        wait $! || true
        power_is_back
        check_promises
        check_inbox
    done
    count_kept
    drop_again
    finish_all
    power_is_back
    check_inbox
    report "row 23: power loss (FS_IOC_SHUTDOWN without log flush) of inbox, state directory and outbox, loop ext4; $kept; $again frames dropped again"
}

# What the journal has, and what is not on the card any more, must be in the spool as it was taken: the card has
# all others. Sets $deleted.
check_spool()
{
    local name sum
    list_recorded
    tell list | tr '|' '\n' | sed -n 's/ .*//p' | sort >on_card
    sort dropped | comm -23 - on_card >off_card
    deleted=$(wc -l <off_card)
    [ ! -d disk/spool ] || find disk/spool -name '[!.]*.JPG' -exec md5sum {} + | sed 's, .*[/-], ,' | sort -u >in_spool
    sort -u recorded off_card | while read -r name; do
        sum=$(sed -n "s/ .*$name\$//p" sums)
        grep -qx "$sum $name" in_spool || echo "$name"
    done >damaged.frames
    [ ! -s damaged.frames ] || {
        echo "recorded or deleted, but not in the spool as they were taken: $(tr '\n' ' ' <damaged.frames)"
        find disk/spool -ls | grep -F -f damaged.frames || true
        lost=$((lost + $(wc -l <damaged.frames)))
    }
}

camera_is_known()
{
    [ -n "$(find disk/spool -name .before)" ] && [ -n "$(find disk/state/cards -type f)" ]
}

# The camera has its own power, and goes on shooting. Its pictures are taken off the card once they are here.
test_row23_power_loss_with_a_camera()
{
    local round moment i options kept deleted=0
    rounds 3 60
    make_disk
    sync -f disk
    for ((i = 1; i <= ROUNDS; i++)); do
        make_burst files --name "$(printf C%04d "$i")_%02d" --seed "$i" --width 48 --height 32 \
            --start "2026-01-02T$(printf '%02d:%02d' $((i / 60)) $((i % 60))):00"
    done
    camera body files
    # (What the camera calls them.)
    (cd files && md5sum -- *.jpg) | awk '{ printf "%s TEST%04d.JPG\n", $1, NR }' >sums
    options=(--source "camera:$camera_port" --spool "$DISK/spool" --poll-interval 0.3 --delete-from-card)
    for ((round = 1; round <= ROUNDS; round++)); do
        begin "${options[@]}"
        await_log 'serial number' 60
        # What is on the card before it is known at all is left alone.
        [ $round -gt 1 ] || { wait_for 20 camera_is_known && sleep 1; }
        echo $(($(now_ms) - begun_ms)) >>recovery
        for ((i = 0; i < 5; i++)); do
            printf 'TEST%04d.JPG\n' $((5 * (round - 1) + i + 1)) >>dropped
        done
        moment=$((RANDOM % 1200))
        tell shoot 5 $((RANDOM % 200))
        sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
        cut_power
        power_is_back
        wait_for 30 none_left
        check_promises
        check_spool
        echo "round $round: after $moment ms; $(wc -l <recorded) recorded, $deleted deleted"
    done
    count_kept
    [ "$deleted" -gt 0 ] || [ $lost -gt 0 ] || [ -z "$TORTURE" ] || fail "nothing was deleted from the card before the power was lost"
    kept+=", as are $deleted deleted from the card"
    finish_all "${options[@]}"
    power_is_back
    check_spool
    report "row 23: power loss with the test camera, whose pictures are deleted from the card: spool, state directory and outbox, loop ext4; $kept"
}
