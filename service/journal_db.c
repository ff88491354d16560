#include "service/journal_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/base/jsonl.h"
#include "config/base/time.h"

#define APPLICATION_ID 0x70666f63 /* "pfoc", in the header of the file */

static const char *const queries[] = {
#define PF_JOURNAL_QUERY_TEXT(name, text) [PF_QUERY_##name] = text,
    PF_JOURNAL_QUERIES(PF_JOURNAL_QUERY_TEXT)
#undef PF_JOURNAL_QUERY_TEXT
};

static int errno_of(sqlite3 *db, int result)
{
    int system_errno = db ? sqlite3_system_errno(db) : 0;
    switch (result & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return system_errno == ENOSPC || system_errno == EDQUOT  ? ENOSPC
               : system_errno == EROFS || system_errno == EACCES ? system_errno
               : result == SQLITE_IOERR_NOMEM                    ? ENOMEM
                                                                 : EIO;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EUCLEAN;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_CONSTRAINT:
        return EEXIST;
    default:
        return EIO;
    }
}

int pf_journal_fail(struct pf_journal *journal, int result, const char *what, struct pf_error *err)
{
    int code = errno_of(journal->db, result);
    if (code == EUCLEAN || code == EIO)
        journal->checked_wall_ms = 0;
    if (code == ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    return pf_fail(
        err, code, "journal %s: %s: %s%s", journal->path, what, sqlite3_errmsg(journal->db),
        code == EUCLEAN ? " (it is damaged; it is left as it is: restore a copy, or move "
                          "it away to begin a new one)"
                        : "");
}

static int vbind(struct pf_journal *journal, sqlite3_stmt **ret, enum pf_journal_query query,
                 struct pf_error *err, const char *types, va_list args)
{
    sqlite3_stmt **statement = &journal->statements[query];
    int result = SQLITE_OK;
    if (!*statement)
        result = sqlite3_prepare_v3(journal->db, queries[query], -1, SQLITE_PREPARE_PERSISTENT,
                                    statement, NULL);
    for (int i = 0; result == SQLITE_OK && types[i]; i++) {
        if (types[i] == 'i') {
            result = sqlite3_bind_int64(*statement, i + 1, va_arg(args, int64_t));
            continue;
        }
        const char *text = va_arg(args, const char *);
        int size_bytes = text ? (int)strlen(text) : 0;
        if (!text)
            result = sqlite3_bind_null(*statement, i + 1);
        else if (types[i] == 'b')
            result = sqlite3_bind_blob(*statement, i + 1, text, size_bytes, SQLITE_STATIC);
        else
            result = sqlite3_bind_text(*statement, i + 1, text, size_bytes, SQLITE_STATIC);
    }
    if (result != SQLITE_OK)
        return pf_journal_fail(journal, result, "preparing a statement", err);
    *ret = *statement;
    return 0;
}

int pf_journal_bind(struct pf_journal *journal, sqlite3_stmt **ret, enum pf_journal_query query,
                    struct pf_error *err, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    int r = vbind(journal, ret, query, err, types, args);
    va_end(args);
    return r;
}

int pf_journal_step(struct pf_journal *journal, sqlite3_stmt *statement, struct pf_error *err)
{
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return 1;
    int r = 0;
    if (result != SQLITE_DONE)
        r = pf_journal_fail(journal, sqlite3_extended_errcode(journal->db),
                            sqlite3_stmt_readonly(statement) ? "reading" : "writing", err);
    pf_journal_done(statement);
    return r;
}

void pf_journal_done(sqlite3_stmt *statement)
{
    if (!statement) /* which a damaged file may not let be prepared */
        return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

int pf_journal_run(struct pf_journal *journal, enum pf_journal_query query, struct pf_error *err,
                   const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list args;
    va_start(args, types);
    int r = vbind(journal, &statement, query, err, types, args);
    va_end(args);
    return r < 0 ? r : pf_journal_step(journal, statement, err);
}

/* SQLite gives NULL both for a column without bytes and where it had no memory to give them. */
static bool is_out_of_memory(sqlite3_stmt *statement)
{
    return sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_NOMEM;
}

int pf_journal_damaged(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                       const char *how, struct pf_error *err)
{
    const char *name = sqlite3_column_name(statement, column);
    journal->checked_wall_ms = 0;
    return pf_fail(err, EUCLEAN,
                   "journal %s is damaged: %.40s of a row %s (restore a copy, or move it away to "
                   "begin a new one)",
                   journal->path, name ? name : "a column", how);
}

int pf_journal_text(struct pf_journal *journal, sqlite3_stmt *statement, int column, char **ret,
                    struct pf_error *err)
{
    *ret = NULL;
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return 0;
    /* As a blob: the bytes as they were given, ended by a NUL of ours. */
    const void *bytes = sqlite3_column_blob(statement, column);
    size_t size_bytes = (size_t)sqlite3_column_bytes(statement, column);
    if (bytes && memchr(bytes, '\0', size_bytes))
        return pf_journal_damaged(journal, statement, column, "holds a zero byte", err);
    if (bytes || !is_out_of_memory(statement))
        *ret = strndup(bytes ? bytes : "", size_bytes);
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for the journal");
}

int pf_journal_column(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                      const char **ret, struct pf_error *err)
{
    bool is_null = sqlite3_column_type(statement, column) == SQLITE_NULL;
    *ret = (const char *)sqlite3_column_text(statement, column);
    if (*ret && strlen(*ret) != (size_t)sqlite3_column_bytes(statement, column))
        return pf_journal_damaged(journal, statement, column, "holds a zero byte", err);
    return *ret || is_null ? 0 : pf_fail(err, ENOMEM, "out of memory for the journal");
}

int pf_journal_needed_text(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                           char **ret, struct pf_error *err)
{
    int r = pf_journal_text(journal, statement, column, ret, err);
    return r || *ret ? r : pf_journal_damaged(journal, statement, column, "is missing", err);
}

int pf_journal_needed_column(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                             const char **ret, struct pf_error *err)
{
    int r = pf_journal_column(journal, statement, column, ret, err);
    return r || *ret ? r : pf_journal_damaged(journal, statement, column, "is missing", err);
}

int pf_journal_number(struct pf_journal *journal, sqlite3_stmt *statement, int column,
                      int64_t least, int64_t most, int64_t *ret, struct pf_error *err)
{
    int64_t number = sqlite3_column_int64(statement, column);
    if (number < least || number > most)
        return pf_journal_damaged(journal, statement, column, "is out of range", err);
    *ret = number;
    return 0;
}

int pf_journal_count(struct pf_journal *journal, sqlite3_stmt *statement, int column, int most,
                     int *ret, struct pf_error *err)
{
    int64_t number = 0;
    int r = pf_journal_number(journal, statement, column, 0, most, &number, err);
    if (!r)
        *ret = (int)number;
    return r;
}

int pf_journal_json(struct pf_journal *journal, sqlite3_stmt *statement, int column, json_t **ret,
                    struct pf_error *err)
{
    const char *text;
    json_error_t problem;
    *ret = NULL;
    int r = pf_journal_column(journal, statement, column, &text, err);
    if (r < 0 || !text)
        return r;
    r = pf_json_parse(text, strlen(text), JSON_DECODE_ANY, ret, &problem);
    if (r == -ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    if (r == 0)
        return 0;
    journal->checked_wall_ms = 0;
    return pf_fail(err, EUCLEAN, "journal %s is damaged: a row is no JSON: %s", journal->path,
                   problem.text);
}

/* ---- transactions ---- */

int pf_journal_exec(struct pf_journal *journal, const char *sql, const char *what,
                    struct pf_error *err)
{
    int result = sqlite3_exec(journal->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK
               ? 0
               : pf_journal_fail(journal, sqlite3_extended_errcode(journal->db), what, err);
}

/* Some failures of the disk make SQLite roll the whole transaction back by itself. What follows in
 * the batch must then not be committed one by one. */
static bool batch_is_lost(const struct pf_journal *journal)
{
    return journal->in_batch && (journal->spoilt || sqlite3_get_autocommit(journal->db));
}

/* To roll back needs memory, too: what could not be undone at its time is undone before anything else is done. */
static int undo_what_is_left(struct pf_journal *journal, struct pf_error *err)
{
    if (journal->in_batch || journal->in_step)
        return 0;
    journal->spoilt = false;
    return sqlite3_get_autocommit(journal->db)
               ? 0
               : pf_journal_exec(journal, "ROLLBACK", "undoing", err);
}

int pf_journal_enter(struct pf_journal *journal, struct pf_error *err)
{
    if (batch_is_lost(journal))
        return pf_fail(err, journal->lost.code ? journal->lost.code : EIO, "%s",
                       journal->lost.text);
    int r = undo_what_is_left(journal, err);
    if (!r)
        r = pf_journal_exec(journal, "SAVEPOINT step", "beginning", err);
    journal->in_step = !r;
    return r;
}

int pf_journal_leave(struct pf_journal *journal, int r, struct pf_error *err)
{
    struct pf_error problem = {0}, undoing = {0};
    if (!r)
        r = pf_journal_exec(journal, "RELEASE step", "committing", &problem);
    if (problem.code)
        pf_fail(err, problem.code, "%s", problem.text);
    journal->in_step = false;
    if (r < 0 && !sqlite3_get_autocommit(journal->db)) {
        if ((pf_journal_exec(journal, "ROLLBACK TO step", "undoing", &undoing) < 0 ||
             pf_journal_exec(journal, "RELEASE step", "undoing", &undoing) < 0) &&
            journal->in_batch) {
            journal->spoilt = true;
            journal->lost = undoing;
            r = -undoing.code;
        }
        if (!journal->in_batch && !sqlite3_get_autocommit(journal->db))
            sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (r < 0 && batch_is_lost(journal) && !journal->lost.code)
        pf_fail(&journal->lost, -r, "%s", err && err->code ? err->text : "the batch was given up");
    return r;
}

int pf_journal_begin(struct pf_journal *journal, struct pf_error *err)
{
    if (journal->in_batch)
        return pf_fail(err, EBUSY, "journal %s: a batch is open already", journal->path);
    int r = undo_what_is_left(journal, err);
    if (!r)
        r = pf_journal_exec(journal, "BEGIN IMMEDIATE", "beginning", err);
    if (r < 0)
        return r;
    journal->in_batch = true;
    pf_error_clear(&journal->lost);
    return 0;
}

int pf_journal_commit(struct pf_journal *journal, struct pf_error *err)
{
    if (!journal->in_batch)
        return pf_fail(err, EINVAL, "journal %s: no batch is open", journal->path);
    bool lost = batch_is_lost(journal);
    int r =
        lost ? pf_fail(err, journal->lost.code ? journal->lost.code : EIO, "%s", journal->lost.text)
             : pf_journal_exec(journal, "COMMIT", "committing", err);
    if (r < 0)
        pf_journal_rollback(journal);
    journal->in_batch = false;
    return r;
}

void pf_journal_rollback(struct pf_journal *journal)
{
    if (journal->in_batch && !sqlite3_get_autocommit(journal->db))
        sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    journal->in_batch = false;
}

/* ---- schema ---- */

/* First column of the first row as text, "" when there is none. */
static int ask(struct pf_journal *journal, const char *sql, char *answer, size_t size,
               struct pf_error *err)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    const char *text = NULL;
    int r = result == SQLITE_ROW ? pf_journal_column(journal, statement, 0, &text, err)
            : result == SQLITE_DONE
                ? 0
                : pf_journal_fail(journal, sqlite3_extended_errcode(journal->db), "opening", err);
    sqlite3_snprintf((int)size, answer, "%s", text ? text : "");
    sqlite3_finalize(statement);
    return r;
}

int pf_journal_create(struct pf_journal *journal, struct pf_error *err)
{
    char sql[64];
    sqlite3_snprintf(sizeof(sql), sql, "PRAGMA application_id = %d", APPLICATION_ID);
    int r = pf_journal_exec(journal, sql, "creating its tables", err);
    return r < 0 ? r : pf_journal_migrate(journal, 0, err);
}

void pf_journal_tell_busy(const struct pf_journal *journal, const char *doing)
{
    struct stat st;
    if (journal->busy)
        journal->busy->tell(doing, stat(journal->path, &st) < 0 ? 0 : st.st_size,
                            journal->busy->context);
}

int pf_journal_check(struct pf_journal *journal, int *ret_version, struct pf_error *err)
{
    char application[16], version[16], health[256];
    int r = ask(journal, "PRAGMA application_id", application, sizeof(application), err);
    if (!r)
        r = ask(journal, "PRAGMA user_version", version, sizeof(version), err);
    if (r < 0)
        return r;
    if (atoi(application) != APPLICATION_ID || atoi(version) < 1)
        return pf_fail(err, EUCLEAN,
                       "%s is not a journal of parfocal, or a damaged one; it is left as it is: "
                       "move it away, or name another state directory",
                       journal->path);
    if (atoi(version) > pf_journal_newest())
        return pf_fail(err, ENOTSUP,
                       "journal %s was written by a newer parfocal (version %s, this one knows %d)",
                       journal->path, version, pf_journal_newest());
    *ret_version = atoi(version);
    /* It is as we closed it, and was well: SQLite checks each page that is read, and we each row. */
    if (journal->checked_wall_ms && *ret_version == pf_journal_newest())
        return 0;
    pf_journal_tell_busy(journal, "checking the journal");
    journal->checked_wall_ms = 0;
    r = ask(journal, "PRAGMA quick_check(1)", health, sizeof(health), err);
    /* SQLite takes a page that it finds no memory for as a damaged one: then it may be well now, or
     * there is no memory to ask again. */
    if (!r && strcmp(health, "ok"))
        r = ask(journal, "PRAGMA quick_check(1)", health, sizeof(health), err);
    if (!r && strcmp(health, "ok"))
        r = pf_fail(err, EUCLEAN,
                    "journal %s is damaged: %s (it is left as it is: restore a copy, or move it "
                    "away to begin a new one)",
                    journal->path, health);
    if (!r)
        journal->checked_wall_ms = pf_wall_ms();
    return r;
}
