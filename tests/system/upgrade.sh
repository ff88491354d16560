#!/bin/bash
# A newer parfocal on what an older one has left: the journal of each version there has been, and keys of
# the configuration that have another name now.
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
