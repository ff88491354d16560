# What the torture tests judge by: the table that a run leaves, and the syncs in a trace; and that nothing stays
# of one that is ended in its middle.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

OLD='# Title

Last run as a whole: aaa, 2026-01-01, seed 1, 9 minutes. Passed: 4; FAILED: none; did not run: none.

| failure | test | rounds | lost | stacked twice | time to recover | of |
|---|---|---|---|---|---|---|
| power (ext4) | `power` | 9 | 0 | 0 | 1 s | aaa |
| calls | `calls` | 9 | 0 | 0 | 1 s | aaa |
| hooks | `hooks` | 9 | 0 | 0 | 1 s | aaa |
| gone | `gone` | 9 | 0 | 0 | 1 s | aaa |

Last words.'

table() # WHOLE
{
    printf '%s\n' "$OLD" >old.md
    awk -v about=bbb -v whole="$1" -v took=7 -f "$ROOT/tests/torture/table.awk" \
        file=1 tests file=2 results file=3 rows file=4 old.md >new.md
    cat new.md
}

has()
{
    grep -qxF -- "$1" new.md || fail "not there: $1"
}

test_each_row_is_of_the_run_that_made_it()
{
    printf '%s\n' 'power 1' 'calls 1' 'hooks 1' 'silent 1' 'quiet 1' >tests
    # One has failed before it had a row, one with a row, one could not run, and of one there is no word.
    printf '%s\n' 'FAIL power: not within 3 s: a | b' 'FAIL calls: 2 lost && \\& not \1' 'skip hooks: no root' 'ok quiet' >results
    printf 'calls\tcalls | 5 | 2 | 0 | 4 s\nquiet\tquiet (1) | 5 | 0 | 0 | 4 s\nquiet\tquiet (2) | 6 | 0 | 0 | 4 s\n' >rows
    table 1
    has 'Last run as a whole: bbb, 7 minutes. Passed: 1; FAILED: power, calls, silent; did not run: hooks.'
    has '| power | `power` | - | - | - | FAILED: not within 3 s: a / b | bbb |'
    has '| calls | `calls` | 5 | 2 | 0 | FAILED: 2 lost && \\& not \1 | bbb |'
    has '| hooks | `hooks` | - | - | - | did not run: no root | bbb |'
    has '| silent | `silent` | - | - | - | FAILED: it has said nothing | bbb |'
    has '| quiet (1) | `quiet` | 5 | 0 | 0 | 4 s | bbb |'
    has '| quiet (2) | `quiet` | 6 | 0 | 0 | 4 s | bbb |'
    has 'Last words.'
    ! grep -q 'gone\|aaa' new.md || fail 'something of the old run stayed'
}

test_a_run_of_some_leaves_the_others()
{
    printf '%s\n' 'power 0' 'calls 1' 'hooks 0' 'new 0' >tests
    echo 'ok calls' >results
    printf 'calls\tcalls | 5 | 0 | 0 | 4 s\n' >rows
    table 0
    has 'Last run as a whole: aaa, 2026-01-01, seed 1, 9 minutes. Passed: 4; FAILED: none; did not run: none.'
    has '| power (ext4) | `power` | 9 | 0 | 0 | 1 s | aaa |'
    has '| calls | `calls` | 5 | 0 | 0 | 4 s | bbb |'
    has '| new | `new` | - | - | - | has not run yet | - |'
}

# None of the tests is of that name, or none has come so far that it has a row.
test_a_run_of_none_leaves_all()
{
    printf '%s\n' 'power 0' 'calls 0' 'hooks 0' 'gone 0' >tests
    : >results
    : >rows
    table 0
    diff old.md new.md || fail 'it is another table'
    printf '%s\n' 'power 0' 'calls 1' 'hooks 0' 'gone 0' >tests
    table 0
    has '| calls | `calls` | - | - | - | FAILED: it has said nothing | bbb |'
    has '| gone | `gone` | 9 | 0 | 0 | 1 s | aaa |'
}

test_what_is_published_and_not_on_disk_is_found()
{
    cat >trace <<'T'
1 mkdir("/x/outbox/.A.t.partial", 0777) = 0
2 fsync(7</x/outbox/.A.t.partial/stack.jpg> <unfinished ...>
1 fsync(3</x/state>) = 0
2 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)
1 renameat2(AT_FDCWD</x>, "/x/outbox/.A.t.partial", AT_FDCWD</x>, "/x/outbox/A", RENAME_NOREPLACE) = 0
1 fsync(3</x/outbox>) = 0
1 mkdir("/x/outbox/.B.t.partial", 0777) = 0
1 renameat2(AT_FDCWD</x>, "/x/outbox/.B.t.partial", AT_FDCWD</x>, "/x/outbox/B", RENAME_NOREPLACE) = 0
1 fsync(3</x/outbox>) = -1 EIO (Input/output error) (INJECTED)
1 mkdir("/x/outbox/.C.t.partial", 0777) = 0
2 fsync(7</x/outbox/.C.t.partial/stack.jpg>) = -1 EIO (Input/output error) (INJECTED)
1 mkdir("/x/outbox/.C.t.partial", 0777) = 0
2 fsync(7</x/outbox/.C.t.partial/stack.jpg>) = 0
1 renameat2(AT_FDCWD</x>, "/x/outbox/.C.t.partial", AT_FDCWD</x>, "/x/outbox/C", RENAME_NOREPLACE) = 0
T
    echo '1 fsync(3</x/outbox>) = 0' | cat trace - >whole
    printf '%s\n' /x/outbox/{A,B,C,D} >published
    awk -f "$ROOT/tests/torture/syncs.awk" trace published >out
    printf '%s\n' '/x/outbox/A: the sync of /x/outbox/.A.t.partial/stack.jpg had failed' \
        '/x/outbox/B: its name is not durable' '/x/outbox/C: its name is not durable' | diff - out
    awk -f "$ROOT/tests/torture/syncs.awk" whole published | grep -c . | grep -qx 1 || fail 'the last sync is not seen'
}

# As the one that eats the memory is where the test is ended before it gives it back.
test_a_memory_group_goes_with_all_that_is_in_it()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root for a memory group"
    local group pid
    memory_group 100 || skip "no cgroup with a memory limit can be made here"
    start service true # that memory_group ends
    in_group sleep 1000
    setsid "$T/in_group" &
    pid=$!
    wait_for 10 grep -qx "$pid" "$group/cgroup.procs"
    (
        ends=("${ends[@]}") started_all=()
        end_test
    )
    [ ! -e "$group" ] || fail 'the group is still there'
    ! kill -0 "$pid" 2>/dev/null || [ "$(ps -o stat= -p "$pid")" = Z ] || fail 'what was in it still runs'
    [ -z "$(remove_group "$group")" ] || fail 'what has gone is to go once more'
}
