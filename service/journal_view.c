/* What people ask of the journal: pages of bursts and frames, and facts of one of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/journal_db.h"

int pf_journal_burst_by_id(struct pf_journal *journal, const char *id,
                           struct pf_journal_bursts *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    struct pf_journal_bursts bursts = {0};
    int r = pf_journal_bind(journal, &rows, PF_QUERY_BURST_BY_ID, err, "t", id);
    if (!r)
        r = pf_journal_read_bursts(journal, rows, &bursts, err);
    if (!r && !bursts.count)
        r = pf_fail(err, ENOENT, "there is no burst of this name");
    if (!r)
        *ret = bursts;
    return r;
}

int pf_journal_search_bursts(struct pf_journal *journal, const struct pf_journal_search *search,
                             struct pf_journal_bursts *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_SEARCH_BURSTS, err, "iiiitii", search->before,
                            (int64_t)search->state, search->from_ms, search->to_ms, search->camera,
                            (int64_t)search->aside, (int64_t)search->limit);
    return r < 0 ? r : pf_journal_read_bursts(journal, rows, ret, err);
}

void pf_journal_facts_free(struct pf_journal_facts *facts)
{
    json_decref(facts->camera);
    *facts = (struct pf_journal_facts){0};
}

/* Two columns, this one and the one behind it. */
static struct pf_journal_shot read_shot(sqlite3_stmt *row, int column)
{
    bool known = sqlite3_column_type(row, column) == SQLITE_INTEGER;
    return (struct pf_journal_shot){known ? sqlite3_column_int64(row, column) : -1,
                                    sqlite3_column_int(row, column + 1)};
}

int pf_journal_burst_facts(struct pf_journal *journal, int64_t burst, struct pf_journal_facts *ret,
                           struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    struct pf_journal_facts facts = {.first.capture_ms = -1, .last.capture_ms = -1};
    const char *middle = NULL;
    int r = pf_journal_bind(journal, &row, PF_QUERY_BURST_FACTS, err, "i", burst);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r < 0)
        return r;
    if (r == 1) { /* else it has no frames */
        facts.fused = (size_t)sqlite3_column_int64(row, 0);
        facts.aside = (size_t)sqlite3_column_int64(row, 1);
        facts.first = read_shot(row, 3);
        facts.last = read_shot(row, 5);
        r = pf_journal_json(journal, row, 2, &facts.camera, err);
        if (!r)
            r = pf_journal_column(journal, row, 7, &middle, err);
        if (!r && middle && strlen(middle) == PF_IDENTITY_CHARS)
            memcpy(facts.middle, middle, PF_IDENTITY_CHARS + 1);
        pf_journal_done(row);
    }
    if (r < 0)
        pf_journal_facts_free(&facts);
    else
        *ret = facts;
    return r;
}

int pf_journal_versions(struct pf_journal *journal, int64_t burst,
                        int (*visit)(void *context, const struct pf_journal_version *version),
                        void *context, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_VERSIONS, err, "i", burst);
    while (!r && (r = pf_journal_step(journal, rows, err)) == 1) {
        struct pf_journal_version version = {
            .published_wall_ms = sqlite3_column_int64(rows, 2),
        };
        r = pf_journal_count(journal, rows, 0, PF_JOURNAL_COUNT_MAX, &version.version, err);
        if (!r)
            r = pf_journal_needed_column(journal, rows, 1, &version.directory, err);
        if (!r)
            r = visit(context, &version);
        if (r)
            break;
    }
    pf_journal_done(rows);
    return r;
}

int pf_journal_recent_frames(struct pf_journal *journal, int state, int64_t before, size_t limit,
                             struct pf_journal_frames *ret, int64_t *ret_next, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = state < 0 ? pf_journal_bind(journal, &rows, PF_QUERY_RECENT_FRAMES, err, "ii", before,
                                        (int64_t)limit)
                      : pf_journal_bind(journal, &rows, PF_QUERY_RECENT_FRAMES_IN, err, "iii",
                                        before, (int64_t)limit, (int64_t)state);
    if (!r)
        r = pf_journal_read_frames(journal, rows, ret, err);
    *ret_next = 0;
    if (!r && ret->count == limit && limit) {
        struct pf_error ignored = {0};
        sqlite3_stmt *row = NULL;
        const char *last = ret->items[limit - 1].record->id.text;
        if (pf_journal_bind(journal, &row, PF_QUERY_FRAME_NUMBER, &ignored, "t", last) == 0 &&
            pf_journal_step(journal, row, &ignored) == 1)
            *ret_next = sqlite3_column_int64(row, 0);
        pf_journal_done(row);
    }
    return r;
}
