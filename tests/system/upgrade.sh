#!/bin/bash
# A newer parfocal on what an older one has left: the journal of each version there has been, at rest and
# with bursts in flight. (Keys of the configuration: none has had another name yet, no row of
# config/settings.h has `formerly`; how one would be named is tested in tests/unit/test_settings.c.)
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

sql()
{
    sqlite3 "$T/state/journal.sqlite" "$1"
}

newest()
{
    mkdir_inbox
    serve --state "$T/fresh"
    await_log 'worker ready'
    stop_service
    sqlite3 fresh/journal.sqlite 'PRAGMA user_version'
}

# The service on a journal of that version: it takes it, keeps a copy, and knows what was in it.
opens()
{
    local version=$1 fixture=$2 rows after
    rm -rf state
    mkdir state
    sqlite3 state/journal.sqlite <"$fixture"
    rows=$(sql 'SELECT (SELECT count(*) FROM bursts), (SELECT count(*) FROM frames), (SELECT count(*) FROM files)')
    cp state/journal.sqlite before
    serve
    await_log 'worker ready'
    wait_for 20 grep -aq "brought from version $version to $newest" service.err
    # A burst that was published is not stacked again; one that failed is known.
    ! log_says 'stack published' || fail 'it was published again'
    stop_service
    [ "$(sql 'PRAGMA user_version')" = "$newest" ] || fail "version $(sql 'PRAGMA user_version')"
    [ "$(sql 'PRAGMA integrity_check')" = ok ] || fail 'damaged'
    after=$(sql 'SELECT (SELECT count(*) FROM bursts), (SELECT count(*) FROM frames), (SELECT count(*) FROM files)')
    [ "$rows" = "$after" ] || fail "rows: $rows before, $after now"
    [ "$(sqlite3 state/journal.sqlite.v"$version" 'PRAGMA user_version')" = "$version" ] || fail 'no copy'
    # Going back is putting the copy in place.
    [ "$(sqlite3 before .dump | sort | md5sum)" = \
        "$(sqlite3 state/journal.sqlite.v"$version" .dump | sort | md5sum)" ] || fail 'the copy differs'
}

test_a_journal_of_each_version()
{
    local newest version
    need sqlite3
    newest=$(newest)
    [ "$newest" -ge 2 ] || fail "newest is $newest"
    for ((version = 1; version < newest; version++)); do
        [ -e "$ROOT/tests/unit/journal_v$version.sql" ] || fail "no fixture of version $version"
        opens "$version" "$ROOT/tests/unit/journal_v$version.sql"
    done
}

# The journal as version N would have it: its tables, filled with what they have columns for. (What else an
# older one would have written otherwise is nothing: the record of a frame is the same since version 1.)
as_of() # VERSION
{
    local fixture=$ROOT/tests/unit/journal_v$1.sql table columns
    rm -f "$T/old.sqlite"
    grep -v '^INSERT\|^DELETE' "$fixture" | sqlite3 "$T/old.sqlite"
    for table in $(sqlite3 "$T/old.sqlite" "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"); do
        columns=$(sqlite3 "$T/old.sqlite" "SELECT group_concat(name) FROM pragma_table_info('$table')")
        sqlite3 "$T/old.sqlite" "ATTACH '$T/state/journal.sqlite' AS new;
            INSERT INTO main.$table ($columns) SELECT $columns FROM new.$table ORDER BY 1"
    done
    sqlite3 "$T/old.sqlite" 'PRAGMA integrity_check' | grep -qx ok || fail "no journal of version $1"
    rm "$T/state"/journal.sqlite*
    mv "$T/old.sqlite" "$T/state/journal.sqlite"
}

# One burst is complete and not stacked, another is open with three of its frames.
test_bursts_in_flight_come_through_each_version()
{
    local newest version json
    need sqlite3 jq
    newest=$(newest)
    make_burst first --name first_%02d
    make_burst second --name second_%02d --seed 2 --start 2026-03-04T05:06:07
    local second=(second/*.jpg)
    for ((version = 1; version < newest; version++)); do
        rm -rf state outbox inbox
        serve --expected-frames 5 --gap 60
        await_log 'worker ready'
        kill -STOP "$(child_pid process)"
        drop first/*.jpg
        await_log 'burst .* complete'
        drop "${second[@]:0:3}"
        in_flight()
        {
            [ "$(sqlite3 -readonly state/journal.sqlite \
                'SELECT state, (SELECT count(*) FROM frames WHERE burst = bursts.number) FROM bursts ORDER BY number' |
                tr '\n' ' ')" = '1|5 0|3 ' ]
        }
        wait_for 20 in_flight
        stop service KILL
        sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
        as_of "$version"
        in_flight || fail "not in flight in version $version: $(sql 'SELECT number, state FROM bursts')"

        serve --expected-frames 5 --gap 60
        await_log "brought from version $version to $newest"
        await_log 'burst .* goes on: open, 3 frames'
        await_stacks 1
        drop "${second[@]:3}"
        await_stacks 2
        stop_service
        [ "$(published | wc -l)" -eq 2 ] || fail "version $version: published: $(published)"
        for json in $(published | sed 's,$,/stack.json,'); do
            check "$json" '.fused == 5 and .version == 1 and
                ([.frames[].path | split("/")[-1] | split("_")[0]] | unique | length) == 1'
        done
        [ "$(sql 'SELECT group_concat(state) FROM bursts')" = 2,2 ] || fail "states: $(sql 'SELECT state FROM bursts')"
    done
}

# Version 1 as it was at first: with a list of files, which nothing has ever filled.
test_a_journal_of_the_first_days()
{
    local newest
    need sqlite3
    newest=$(newest)
    sed 's/directory BLOB NOT NULL, *published_wall_ms/directory BLOB NOT NULL, files TEXT, published_wall_ms/
        s/^INSERT INTO versions VALUES(\(.*\),\([0-9]*\));$/INSERT INTO versions VALUES(\1,NULL,\2);/' \
        "$ROOT/tests/unit/journal_v1.sql" >first.sql
    grep -q 'files TEXT' first.sql && grep -q '^INSERT INTO versions.*NULL' first.sql ||
        fail 'the fixture is not what it was'
    opens 1 first.sql
}

test_a_journal_of_a_newer_version_is_left_alone()
{
    need sqlite3
    mkdir state
    mkdir_inbox
    sqlite3 state/journal.sqlite <"$ROOT/tests/unit/journal_v1.sql"
    sql 'PRAGMA user_version = 1000'
    cp state/journal.sqlite before
    expect_status 1 "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state"
    grep -qi 'newer' err || fail "$(cat err)"
    cmp before state/journal.sqlite
}
