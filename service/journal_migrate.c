#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "service/journal_db.h"

/* Step n leads from schema n to n + 1, and the first one makes the tables. A step that has been in a
 * release is never changed: what comes later is a step of its own at the end, and a journal of the
 * version before it is kept as tests/unit/journal_vN.sql. The numbers of states are those of the enums
 * in journal.h and deliveries.h. */
static const char *const steps[] = {
    "CREATE TABLE bursts ("
    "  number INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  state INTEGER NOT NULL,"
    "  wanted INTEGER NOT NULL DEFAULT 0,"    /* version that the last completion asked for */
    "  published INTEGER NOT NULL DEFAULT 0," /* last version that is out */
    "  reason TEXT,"                          /* why it ended */
    "  detail TEXT,"                          /* why it failed or is no stack */
    "  opened_wall_ms INTEGER NOT NULL,"
    "  changed_wall_ms INTEGER NOT NULL);"
    "CREATE INDEX bursts_by_state ON bursts (state, number);"
    "CREATE INDEX bursts_by_change ON bursts (changed_wall_ms, number);"
    "CREATE TABLE frames ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT," /* as they were recorded */
    "  id TEXT NOT NULL UNIQUE,"                  /* of the content */
    "  record TEXT NOT NULL,"                     /* as capture sent it, JSON */
    "  arrival_ms INTEGER NOT NULL,"              /* CLOCK_MONOTONIC of that boot */
    "  boot TEXT NOT NULL,"
    "  wall_offset_ms INTEGER NOT NULL,"
    "  recorded_wall_ms INTEGER NOT NULL,"
    "  state INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL DEFAULT 0,"
    "  burst INTEGER REFERENCES bursts (number)," /* one at the most */
    "  place INTEGER,"                            /* as they joined, from 1 */
    "  late INTEGER NOT NULL DEFAULT 0,"
    "  reason TEXT,"
    "  scores TEXT);"
    "CREATE UNIQUE INDEX frames_by_burst ON frames (burst, place) WHERE burst IS NOT NULL;"
    "CREATE INDEX frames_loose ON frames (number) WHERE burst IS NULL;"
    "CREATE TABLE files ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  source BLOB NOT NULL,"
    "  path BLOB NOT NULL,"
    "  size_bytes INTEGER NOT NULL,"
    "  mtime_ns INTEGER NOT NULL,"
    "  ctime_ns INTEGER NOT NULL,"
    "  inode INTEGER NOT NULL,"
    "  frame INTEGER REFERENCES frames (number)," /* NULL: rejected */
    "  reason TEXT,"
    "  UNIQUE (source, path));"
    "CREATE INDEX files_by_frame ON files (frame);"
    "CREATE TABLE versions ("
    "  burst INTEGER NOT NULL REFERENCES bursts (number),"
    "  version INTEGER NOT NULL,"
    "  directory BLOB NOT NULL,"
    "  published_wall_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (burst, version)) WITHOUT ROWID;",

    /* What hooks have been told and are to be told. */
    "CREATE TABLE deliveries ("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE," /* by which a receiver knows a repeat */
    "  hook TEXT NOT NULL,"
    "  target BLOB NOT NULL," /* as configured */
    "  event TEXT NOT NULL,"  /* JSON */
    "  state INTEGER NOT NULL DEFAULT 0,"
    "  tries INTEGER NOT NULL DEFAULT 0,"
    "  failures INTEGER NOT NULL DEFAULT 0," /* in a row, since somebody last asked for it */
    "  due_wall_ms INTEGER NOT NULL,"        /* not before */
    "  error TEXT,"
    "  created_wall_ms INTEGER NOT NULL,"
    "  changed_wall_ms INTEGER NOT NULL);"
    "CREATE INDEX deliveries_by_state ON deliveries (state, due_wall_ms, number);",

    /* What a burst is stacked with in place of the settings in force: JSON, NULL nothing. */
    "ALTER TABLE bursts ADD COLUMN settings TEXT;",

    /* When a burst was begun (by the camera's clock, else when it was recorded by ours), and by which
     * camera, without a look into the records of all of them. */
    "ALTER TABLE frames ADD COLUMN shot_ms INTEGER GENERATED ALWAYS AS ("
    "  CASE WHEN json_extract(record, '$.capture_ms') >= 0"
    "  THEN json_extract(record, '$.capture_ms') ELSE recorded_wall_ms END) VIRTUAL;"
    "ALTER TABLE frames ADD COLUMN camera TEXT GENERATED ALWAYS AS ("
    "  lower(coalesce(json_extract(record, '$.make'), '') || ' ' ||"
    "  coalesce(json_extract(record, '$.model'), '') || ' ' ||"
    "  coalesce(json_extract(record, '$.serial'), '') || ' ' ||"
    "  coalesce(json_extract(record, '$.lens'), ''))) VIRTUAL;"
    "CREATE INDEX frames_first ON frames (shot_ms, burst, camera) WHERE place = 1;",

    /* The few that were set aside, among all others. */
    "CREATE INDEX frames_by_state ON frames (state, number);",

    /* What bursts are searched by, in their own rows: a search that finds little goes through all of
     * them. And what a list says of one, without a look at its frames: each is a page and more of the
     * file, as its scores are long. */
    "ALTER TABLE bursts ADD COLUMN shot_ms INTEGER;" /* of its first frame, as camera; NULL without one */
    "ALTER TABLE bursts ADD COLUMN camera TEXT;"
    "ALTER TABLE bursts ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;" /* frames that were set aside */
    "CREATE INDEX frames_by_shot ON frames (burst, shot_ms, place, state) WHERE burst IS NOT NULL;"
    "UPDATE bursts SET (shot_ms, camera) ="
    "  (SELECT shot_ms, camera FROM frames WHERE burst = bursts.number AND place = 1),"
    "  aside = (SELECT count(*) FROM frames WHERE burst = bursts.number AND +state = 3);"
    "CREATE TRIGGER first_joined AFTER UPDATE OF place ON frames WHEN new.place = 1 BEGIN"
    "  UPDATE bursts SET shot_ms = new.shot_ms, camera = new.camera WHERE number = new.burst; END;"
    "CREATE TRIGGER set_aside AFTER UPDATE OF state ON frames"
    "  WHEN new.burst = old.burst AND (new.state = 3) <> (old.state = 3) BEGIN"
    "  UPDATE bursts SET aside = aside + (new.state = 3) - (old.state = 3)"
    "  WHERE number = new.burst; END;"
    "DROP INDEX frames_first;",

    /* A person knows that it has failed. */
    "ALTER TABLE bursts ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0;",
};

int pf_journal_newest(void)
{
    return (int)(sizeof(steps) / sizeof(steps[0]));
}

/* The journal as it is, beside itself: who goes back to the version before has it. */
static int keep_copy(struct pf_journal *journal, int version, struct pf_error *err)
{
    int r = 0;
    char *path = pf_text("%s.v%d", journal->path, version);
    char *sql = path ? sqlite3_mprintf("VACUUM INTO %Q", path) : NULL;
    if (!sql)
        r = pf_fail(err, ENOMEM, "out of memory for the journal");
    else if (unlink(path) < 0 && errno != ENOENT) /* what another attempt has left */
        r = pf_fail_errno(err, errno, "%s", path);
    if (!r)
        pf_journal_tell_busy(journal, "keeping a copy of the journal as it was");
    if (!r)
        r = pf_journal_exec(journal, sql, "keeping a copy of it as it was", err);
    if (!r)
        r = pf_sync_path(path, err);
    if (r < 0 && path)
        unlink(path);
    sqlite3_free(sql);
    free(path);
    return r;
}

int pf_journal_migrate(struct pf_journal *journal, int version, struct pf_error *err)
{
    char number[64];
    int newest = pf_journal_newest();
    if (version >= newest)
        return 0;
    int r = version ? keep_copy(journal, version, err) : 0;
    if (!r)
        r = pf_journal_exec(journal, "BEGIN IMMEDIATE", "beginning", err);
    if (r < 0)
        return r;
    for (int step = version; !r && step < newest; step++) {
        pf_journal_tell_busy(journal, "bringing the journal up to date");
        r = pf_journal_exec(journal, steps[step],
                            step ? "bringing its tables up to date" : "creating its tables", err);
    }
    sqlite3_snprintf(sizeof(number), number, "PRAGMA user_version = %d", newest);
    if (!r)
        r = pf_journal_exec(journal, number, "bringing its tables up to date", err);
    if (!r)
        r = pf_journal_exec(journal, "COMMIT", "bringing its tables up to date", err);
    if (r < 0 && !sqlite3_get_autocommit(journal->db))
        sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    if (!r && version)
        pf_log_info("journal %s: brought from version %d to %d; %s.v%d is as it was", journal->path,
                    version, newest, pf_base_name(journal->path), version);
    return r;
}
