# The table of the torture tests: what a run leaves of the rows that were there.
. "${BASH_SOURCE%/*}/lib.sh"

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
    awk -v about=bbb -v whole="$1" -v took=7 -f "$ROOT/tests/torture/table.awk" tests results rows old.md >new.md
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
    printf '%s\n' 'FAIL power: not within 3 s: a | b' 'FAIL calls: 2 lost' 'skip hooks: no root' 'ok quiet' >results
    printf 'calls\tcalls | 5 | 2 | 0 | 4 s\nquiet\tquiet (1) | 5 | 0 | 0 | 4 s\nquiet\tquiet (2) | 6 | 0 | 0 | 4 s\n' >rows
    table 1
    has 'Last run as a whole: bbb, 7 minutes. Passed: 1; FAILED: power, calls, silent; did not run: hooks.'
    has '| power | `power` | - | - | - | FAILED: not within 3 s: a / b | bbb |'
    has '| calls | `calls` | 5 | 2 | 0 | FAILED: 2 lost | bbb |'
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
