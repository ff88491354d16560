/* The journal's database: statements, transactions and how SQLite's failures are told.
 *
 * Used by the files of the journal only; one thread. Source: sqlite.org/c3ref, sqlite.org/rescode.
 */
#ifndef PF_JOURNAL_DB_H
#define PF_JOURNAL_DB_H

#include <sqlite3.h>

#include "service/journal.h"

/* Every statement, prepared when first used and kept. Columns are read by place. A + before a column
 * keeps SQLite from the index that begins with it. */
#define PF_JOURNAL_QUERIES(X)                                                                      \
    X(FRAME_NUMBER, "SELECT number FROM frames WHERE id = ?1")                                     \
    X(FRAME_BURST, "SELECT number, burst FROM frames WHERE id = ?1")                               \
    X(ADD_FRAME,                                                                                   \
      "INSERT INTO frames (id, record, arrival_ms, boot, wall_offset_ms, recorded_wall_ms, state)" \
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)")                                                       \
    X(FILE_FRAME, "SELECT frame FROM files WHERE source = ?1 AND path = ?2")                       \
    X(PUT_FILE,                                                                                    \
      "INSERT INTO files (source, path, size_bytes, mtime_ns, ctime_ns, inode, frame, reason)"     \
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (source, path) DO UPDATE SET"          \
      " size_bytes = ?3, mtime_ns = ?4, ctime_ns = ?5, inode = ?6, frame = ?7, reason = ?8")       \
    X(KNOWN_FILES,                                                                                 \
      "SELECT path, size_bytes, mtime_ns, ctime_ns, inode, frames.id FROM files"                   \
      " JOIN frames ON frames.number = files.frame WHERE files.source BETWEEN ?1 AND ?2"           \
      " ORDER BY files.number")                                                                    \
    X(FILES_OF_FRAME, /* of several sources it may be one file */                                  \
      "SELECT path FROM files WHERE frame = ?1 GROUP BY path ORDER BY max(number)")                \
    X(FRAME, PF_JOURNAL_FRAME " WHERE id = ?1")                                                    \
    X(LOOSE_FRAMES, PF_JOURNAL_FRAME " WHERE burst IS NULL AND state = 0 ORDER BY number")         \
    X(NAMESAKES, PF_JOURNAL_FRAME " WHERE number IN (SELECT frame FROM files WHERE source = ?1"    \
                                  " AND path > ?2 AND path < ?3) ORDER BY number")                 \
    X(COMPANION, "UPDATE frames SET state = 3, reason = ?2, scores = ?3"                           \
                 " WHERE id = ?1 AND burst IS NULL")                                               \
    X(BURST_FRAMES, PF_JOURNAL_FRAME " WHERE burst = ?1 ORDER BY place")                           \
    X(COUNT_ATTEMPT, "UPDATE frames SET attempts = attempts + 1 WHERE id = ?1 RETURNING attempts") \
    X(FRAME_RESULT,                                                                                \
      "UPDATE frames SET state = ?3, reason = ?4, scores = ?5 WHERE id = ?1 AND burst = ?2")       \
    X(FORGIVE_FRAMES,                                                                              \
      "UPDATE frames SET scores = json_remove(scores, '$.excluded') WHERE burst = ?1 AND"          \
      " CASE WHEN json_valid(scores) THEN json_extract(scores, '$.excluded') IS NOT NULL"          \
      " AND json_extract(scores, '$.discarded') IS NULL END")                                      \
    X(JOIN_FRAME,                                                                                  \
      "UPDATE frames SET state = 1, burst = ?2, late = ?3, place ="                                \
      " (SELECT coalesce(max(place), 0) + 1 FROM frames WHERE burst = ?2) WHERE id = ?1")          \
    X(NEXT_BURST, "SELECT coalesce(max(number), 0) + 1 FROM bursts")                               \
    X(ADD_BURST, "INSERT INTO bursts (number, id, state, opened_wall_ms, changed_wall_ms)"         \
                 " VALUES (?1, ?2, 0, ?3, ?3)")                                                    \
    X(BURST_STATE, "SELECT state, wanted, published FROM bursts WHERE number = ?1")                \
    X(END_BURST,                                                                                   \
      "UPDATE bursts SET state = ?2, wanted = ?3, reason = ?4, detail = ?5, changed_wall_ms = ?6"  \
      " WHERE number = ?1")                                                                        \
    X(SET_BURST, "UPDATE bursts SET state = ?2, detail = ?3, changed_wall_ms = ?4, dismissed = 0"  \
                 " WHERE number = ?1")                                                             \
    X(DISMISS_BURST, "UPDATE bursts SET dismissed = 1 WHERE number = ?1")                          \
    X(PUBLISH_BURST, "UPDATE bursts SET state = ?2, published = ?3, changed_wall_ms = ?4,"         \
                     " detail = CASE ?2 WHEN 2 THEN NULL ELSE detail END WHERE number = ?1")       \
    X(ADD_VERSION, "INSERT INTO versions (burst, version, directory, published_wall_ms)"           \
                   " VALUES (?1, ?2, ?3, ?4)")                                                     \
    X(ADD_DELIVERY, "INSERT INTO deliveries (id, hook, target, event, due_wall_ms,"                \
                    " created_wall_ms, changed_wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5)")      \
    X(TRIM_DELIVERIES, "DELETE FROM deliveries WHERE state <> 0 AND number <="                     \
                       " (SELECT max(number) FROM deliveries) - ?1")                               \
    X(DELIVERY_RESULT, "UPDATE deliveries SET state = ?2, tries = tries + ?3, failures = CASE ?2"  \
                       " WHEN 1 THEN 0 ELSE failures + ?3 END, due_wall_ms = ?4, error = ?5,"      \
                       " changed_wall_ms = ?6 WHERE number = ?1")                                  \
    X(RETRY_DELIVERY, "UPDATE deliveries SET state = 0, failures = 0, due_wall_ms = ?2,"           \
                      " changed_wall_ms = ?2 WHERE id = ?1 AND state <> 1")                        \
    X(DELIVERY_OF_ID, "SELECT number, state FROM deliveries WHERE id = ?1")                        \
    X(NEXT_DELIVERY, "SELECT min(due_wall_ms) FROM deliveries WHERE state = 0 AND"                 \
                     " due_wall_ms > ?1")                                                          \
    X(COUNT_DELIVERIES, "SELECT count(*) FROM deliveries WHERE state = ?1")                        \
    X(DUE_DELIVERIES, PF_JOURNAL_DELIVERY                                                          \
      " WHERE number IN (SELECT number FROM (SELECT number, row_number() OVER"                     \
      " (PARTITION BY target ORDER BY due_wall_ms, number) AS place FROM deliveries"               \
      " WHERE state = 0 AND (due_wall_ms <= ?1 OR due_wall_ms > ?2) AND (?3 IS NULL OR hook = "    \
      "?3))"                                                                                       \
      " WHERE place <= ?4) ORDER BY due_wall_ms, number")                                          \
    X(COUNT_GIVEN_UP, "SELECT count(*) FROM deliveries WHERE state = 2 AND hook = ?1 AND"          \
                      " target = ?2")                                                              \
    X(LAST_GIVEN_UP, PF_JOURNAL_DELIVERY " WHERE state = 2 AND hook = ?1 AND target = ?2"          \
                                         " ORDER BY number DESC LIMIT 1")                          \
    X(RECENT_DELIVERIES, PF_JOURNAL_DELIVERY " WHERE number > 0 ORDER BY number DESC LIMIT ?1")    \
    X(DELIVERY, PF_JOURNAL_DELIVERY " WHERE id = ?1")                                              \
    X(BURST, PF_JOURNAL_BURST " WHERE number = ?1")                                                \
    X(BURSTS_IN, PF_JOURNAL_BURST " WHERE state = ?1 ORDER BY number")                             \
    X(RECENT_BURSTS, PF_JOURNAL_BURST " ORDER BY changed_wall_ms DESC, number DESC LIMIT ?1")      \
    X(BURST_BY_ID, PF_JOURNAL_BURST " WHERE id = ?1")                                              \
    X(SEARCH_BURSTS, PF_JOURNAL_BURST                                                              \
      " WHERE number < ?1 AND (?2 < 0 OR state = ?2)"                                              \
      " AND (?3 = -9223372036854775808 AND ?4 = 9223372036854775807 OR shot_ms BETWEEN ?3 AND ?4)" \
      " AND (?5 IS NULL OR instr(camera, lower(?5)) > 0) AND (?6 < 0 OR ?6 = (aside > 0))"         \
      " ORDER BY number DESC LIMIT ?7")                                                            \
    X(BURST_FACTS,                                                                                 \
      "SELECT (SELECT count(*) FROM frames WHERE burst = ?1 AND state = 2),"                       \
      " (SELECT aside FROM bursts WHERE number = ?1),"                                             \
      " json_patch('{}', json_object('make', json_extract(first.record, '$.make'),"                \
      " 'model', json_extract(first.record, '$.model'),"                                           \
      " 'serial', json_extract(first.record, '$.serial'),"                                         \
      " 'lens', json_extract(first.record, '$.lens'))),"                                           \
      " json_extract(first.record, '$.capture_ms'), json_extract(first.record, '$.has_offset'),"   \
      " json_extract(last.record, '$.capture_ms'), json_extract(last.record, '$.has_offset'),"     \
      " (SELECT id FROM frames WHERE number = (SELECT number FROM frames WHERE burst = ?1"         \
      " ORDER BY state = 2 DESC, abs(place - (SELECT count(*) FROM frames WHERE burst = ?1) / 2)," \
      " place LIMIT 1)) FROM frames AS first JOIN frames AS last ON first.number ="                \
      " (SELECT number FROM frames WHERE burst = ?1 ORDER BY shot_ms, place LIMIT 1)"              \
      " AND last.number ="                                                                         \
      " (SELECT number FROM frames WHERE burst = ?1 ORDER BY shot_ms DESC, place DESC LIMIT 1)")   \
    X(RESTACK_BURST,                                                                               \
      "UPDATE bursts SET state = 1, wanted = ?2, detail = NULL, changed_wall_ms = ?3,"             \
      " settings = coalesce(?4, settings) WHERE number = ?1")                                      \
    X(VERSIONS, "SELECT version, CAST(directory AS TEXT), published_wall_ms FROM versions"         \
                " WHERE burst = ?1 ORDER BY version")                                              \
    X(RECENT_FRAMES, PF_JOURNAL_FRAME_BRIEF " WHERE number < ?1 ORDER BY number DESC LIMIT ?2")    \
    X(RECENT_FRAMES_IN,                                                                            \
      PF_JOURNAL_FRAME_BRIEF " WHERE number < ?1 AND state = ?3 ORDER BY number DESC LIMIT ?2")

#define PF_JOURNAL_FRAME_WITH(scores)                                                              \
    "SELECT number, record, arrival_ms, boot, wall_offset_ms, state, burst, attempts, late,"       \
    " reason, " scores " FROM frames"
#define PF_JOURNAL_FRAME PF_JOURNAL_FRAME_WITH("scores")
/* Without the grids, which are most of the scores. */
#define PF_JOURNAL_FRAME_BRIEF                                                                     \
    PF_JOURNAL_FRAME_WITH("json_remove(scores, '$.focus.grid', '$.displacement.grid')")
#define PF_JOURNAL_DELIVERY                                                                        \
    "SELECT number, id, hook, target, event, state, tries, failures, due_wall_ms, error,"          \
    " created_wall_ms, changed_wall_ms FROM deliveries"
#define PF_JOURNAL_BURST                                                                           \
    "SELECT number, id, state, wanted, published,"                                                 \
    " (SELECT count(*) FROM frames WHERE burst = bursts.number), reason, detail,"                  \
    " (SELECT directory FROM versions WHERE burst = bursts.number AND version = published),"       \
    " opened_wall_ms, changed_wall_ms, settings, dismissed FROM bursts"

enum pf_journal_query {
#define PF_JOURNAL_QUERY_NAME(name, text) PF_QUERY_##name,
    PF_JOURNAL_QUERIES(PF_JOURNAL_QUERY_NAME)
#undef PF_JOURNAL_QUERY_NAME
        PF_QUERY_COUNT
};

struct pf_journal {
    sqlite3 *db;
    char *path; /* of the database, for messages */
    int lock_fd;
    const struct pf_journal_busy *busy; /* while it is opened; borrowed, NULL: nobody */
    bool in_batch, in_step;
    bool spoilt; /* part of a step that failed is still in the batch */
    struct pf_error
        lost; /* why the batch was given up, by SQLite or as it is spoilt; unset when it was not */
    /* When all of it was found well last; 0: it was not, or something damaged has been read since. */
    int64_t checked_wall_ms;
    sqlite3_stmt *statements[PF_QUERY_COUNT];
    char boot[40];          /* identity of this boot, "" unknown */
    int64_t wall_offset_ms; /* CLOCK_REALTIME - CLOCK_MONOTONIC at opening */
};

/* Describes SQLite's last failure as errno; `what` is what was being done. */
int pf_journal_fail(struct pf_journal *journal, int result, const char *what, struct pf_error *err);

/* The statement, reset, with parameters bound by `types`, a letter for each: i int64_t, t text,
 * b bytes (path); t and b are NUL-terminated, must live until the statement is done, and NULL is
 * SQL's NULL. */
int pf_journal_bind(struct pf_journal *journal, sqlite3_stmt **ret, enum pf_journal_query query,
                    struct pf_error *err, const char *types, ...);
/* 1: there is a row, 0: done. */
int pf_journal_step(struct pf_journal *journal, sqlite3_stmt *statement, struct pf_error *err);
/* Ends a statement before its last row. NULL-safe. */
void pf_journal_done(sqlite3_stmt *statement);
/* Binds and runs a statement that returns no rows. */
int pf_journal_run(struct pf_journal *journal, enum pf_journal_query query, struct pf_error *err,
                   const char *types, ...);
/* Columns. A database may be damaged in ways that its check at opening does not see (an index that
 * differs from its table, most of all): what no version of ours writes is -EUCLEAN. */

/* Column as heap text, NULL for SQL's NULL. -ENOMEM, -EUCLEAN: a zero byte in it. */
int pf_journal_text(struct pf_journal *journal, sqlite3_stmt *statement, int column, char **ret,
                    struct pf_error *err);
/* The same, borrowed until the next step. */
int pf_journal_column(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                      const char **ret, struct pf_error *err);
/* The same two for what is NOT NULL: -EUCLEAN when it is. */
int pf_journal_needed_text(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                           char **ret, struct pf_error *err);
int pf_journal_needed_column(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                             const char **ret, struct pf_error *err);
/* A number from 0 to `most`; -EUCLEAN. As int64_t from `least`, too. NULL is 0. */
int pf_journal_count(struct pf_journal *journal, sqlite3_stmt *statement, int column, int most,
                     int *ret, struct pf_error *err);
int pf_journal_number(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                      int64_t least, int64_t most, int64_t *ret, struct pf_error *err);
/* More than any count of ours, and there is room to count on. */
#define PF_JOURNAL_COUNT_MAX 1000000000
/* -EUCLEAN; `how` follows the column's name: "is missing". */
int pf_journal_damaged(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                       const char *how, struct pf_error *err);
/* Column as JSON, which is the caller's; NULL for SQL's NULL. -ENOMEM, -EUCLEAN. */
int pf_journal_json(struct pf_journal *journal, sqlite3_stmt *statement, int column, json_t **ret,
                    struct pf_error *err);

/* Column as record, which is the caller's; NULL for SQL's NULL. -ENOMEM, -EUCLEAN. */
int pf_journal_record(struct pf_journal *journal, sqlite3_stmt *row, int column,
                      struct pf_record **ret, struct pf_error *err);

/* The rows of a statement of PF_JOURNAL_BURST or PF_JOURNAL_FRAME; they are the caller's. */
int pf_journal_read_bursts(struct pf_journal *journal, sqlite3_stmt *rows,
                           struct pf_journal_bursts *ret, struct pf_error *err);
int pf_journal_read_frames(struct pf_journal *journal, sqlite3_stmt *rows,
                           struct pf_journal_frames *ret, struct pf_error *err);

/* Around every change: all or nothing of it. leave() takes the result so far and returns the final
 * one; outside a batch it is what commits. */
int pf_journal_enter(struct pf_journal *journal, struct pf_error *err);
int pf_journal_leave(struct pf_journal *journal, int r, struct pf_error *err);

/* Statements without rows; `what` is for the message. */
int pf_journal_exec(struct pf_journal *journal, const char *sql, const char *what,
                    struct pf_error *err);

/* Makes the tables of a new, empty database. */
int pf_journal_create(struct pf_journal *journal, struct pf_error *err);
/* -EUCLEAN when it is not a journal of ours, undamaged; -ENOTSUP when it is newer than we are. All of
 * it is read unless checked_wall_ms says that it need not be. *ret_version: of its schema, 1 or more. */
int pf_journal_check(struct pf_journal *journal, int *ret_version, struct pf_error *err);

/* journal_note.c: beside a database that was closed in order lies a note of what it was then, and when
 * all of it was checked. Reading all of it at each start would take the longer the older it is. */
/* Takes the note away, for from now on it is not closed. Returns checked_wall_ms where the database is
 * what was closed, by this version of the program, and its check is not too long ago; else 0. */
int64_t pf_journal_take_note(const char *path);
void pf_journal_leave_note(const char *path, int64_t checked_wall_ms);

/* journal_migrate.c */
/* Schema that this program writes. */
int pf_journal_newest(void);

/* Something begins that reads or writes all of it. */
void pf_journal_tell_busy(const struct pf_journal *journal, const char *doing);
/* Brings the tables from that schema (0: there are none) to the newest, all or nothing of it. */
int pf_journal_migrate(struct pf_journal *journal, int version, struct pf_error *err);

#endif
