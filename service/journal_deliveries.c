#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config/base/array.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "service/deliveries.h"
#include "service/journal_db.h"

const char *pf_delivery_state_name(enum pf_delivery_state state)
{
    static const char *const names[] = {"due", "done", "given_up"};
    return (size_t)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

void pf_deliveries_free(struct pf_delivery_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].hook);
        free(list->items[i].target);
        free(list->items[i].event);
        free(list->items[i].error);
    }
    free(list->items);
    *list = (struct pf_delivery_list){0};
}

/* Random, so that ids of journals that were begun anew are no repeats of one another. */
static int make_id(char id[PF_DELIVERY_ID_CHARS + 1], struct pf_error *err)
{
    unsigned char bytes[PF_DELIVERY_ID_CHARS / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return pf_fail_errno(err, errno ? errno : EIO, "random bytes");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int order(struct pf_journal *journal, const char *hook, const char *target,
                 const json_t *event, struct pf_error *err)
{
    char id[PF_DELIVERY_ID_CHARS + 1];
    int r = make_id(id, err);
    if (r < 0)
        return r;
    json_t *told = json_pack("{s:s}", "id", id);
    char *text = NULL;
    if (told && json_object_update(told, (json_t *)event) == 0)
        text = pf_json_text(told, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(told);
    if (!text)
        return pf_fail(err, ENOMEM, "out of memory for a hook");
    r = pf_journal_run(journal, PF_QUERY_ADD_DELIVERY, err, "ttbti", id, hook, target, text,
                       pf_wall_ms());
    free(text);
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_TRIM_DELIVERIES, err, "i",
                           (int64_t)PF_DELIVERIES_KEPT);
    return r;
}

int pf_journal_deliver(struct pf_journal *journal, const char *hook, const char *target,
                       const json_t *event, struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    return r < 0 ? r : pf_journal_leave(journal, order(journal, hook, target, event, err), err);
}

int pf_journal_delivery_result(struct pf_journal *journal, int64_t number,
                               enum pf_delivery_state state, bool tried, int64_t due_wall_ms,
                               const char *error, struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = pf_journal_run(journal, PF_QUERY_DELIVERY_RESULT, err, "iiiiti", number, (int64_t)state,
                       (int64_t)tried, due_wall_ms, error, pf_wall_ms());
    if (!r && !sqlite3_changes(journal->db))
        r = pf_fail(err, ENOENT, "delivery %lld is not there", (long long)number);
    return pf_journal_leave(journal, r, err);
}

int pf_journal_delivery_retry(struct pf_journal *journal, const char *id, struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = pf_journal_bind(journal, &row, PF_QUERY_DELIVERY_OF_ID, err, "t", id);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r == 1) {
        bool done = sqlite3_column_int(row, 1) == PF_DELIVERY_DONE;
        pf_journal_done(row);
        r = done ? pf_fail(err, EINVAL, "delivery %.40s is done", id)
                 : pf_journal_run(journal, PF_QUERY_RETRY_DELIVERY, err, "ti", id, pf_wall_ms());
    } else if (!r) {
        r = pf_fail(err, ENOENT, "delivery %.40s is not there", id);
    }
    return pf_journal_leave(journal, r, err);
}

/* ---- reading ---- */

/* Columns of PF_JOURNAL_DELIVERY. */
static int read_delivery(struct pf_journal *journal, sqlite3_stmt *row,
                         struct pf_delivery *delivery, struct pf_error *err)
{
    const char *id;
    int state = 0;
    int r = pf_journal_needed_column(journal, row, 1, &id, err);
    if (!r)
        r = pf_journal_count(journal, row, 5, PF_DELIVERY_GIVEN_UP, &state, err);
    if (!r)
        r = pf_journal_count(journal, row, 6, PF_JOURNAL_COUNT_MAX, &delivery->tries, err);
    if (!r)
        r = pf_journal_count(journal, row, 7, PF_JOURNAL_COUNT_MAX, &delivery->failures, err);
    if (r < 0)
        return r;
    delivery->number = sqlite3_column_int64(row, 0);
    snprintf(delivery->id, sizeof(delivery->id), "%s", id);
    delivery->state = (enum pf_delivery_state)state;
    delivery->due_wall_ms = sqlite3_column_int64(row, 8);
    delivery->created_wall_ms = sqlite3_column_int64(row, 10);
    delivery->changed_wall_ms = sqlite3_column_int64(row, 11);
    r = pf_journal_needed_text(journal, row, 2, &delivery->hook, err);
    if (!r)
        r = pf_journal_needed_text(journal, row, 3, &delivery->target, err);
    if (!r)
        r = pf_journal_needed_text(journal, row, 4, &delivery->event, err);
    return r ? r : pf_journal_text(journal, row, 9, &delivery->error, err);
}

static int read_deliveries(struct pf_journal *journal, sqlite3_stmt *rows,
                           struct pf_delivery_list *ret, struct pf_error *err)
{
    struct pf_delivery_list list = {0};
    size_t capacity = 0;
    int r;
    while ((r = pf_journal_step(journal, rows, err)) == 1) {
        struct pf_delivery *items =
            pf_with_room(list.items, &capacity, list.count, 1, sizeof(*items));
        if (!items) {
            r = pf_fail(err, ENOMEM, "out of memory for the journal");
            break;
        }
        list.items = items;
        list.items[list.count] = (struct pf_delivery){0};
        r = read_delivery(journal, rows, &list.items[list.count++], err);
        if (r < 0)
            break;
    }
    if (r < 0) {
        pf_journal_done(rows);
        pf_deliveries_free(&list);
        return r;
    }
    *ret = list;
    return 0;
}

int pf_journal_deliveries_due(struct pf_journal *journal, int64_t now_wall_ms, int64_t horizon_ms,
                              const char *hook, size_t each, struct pf_delivery_list *ret,
                              struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_DUE_DELIVERIES, err, "iiti", now_wall_ms,
                            now_wall_ms + horizon_ms, hook, (int64_t)each);
    return r < 0 ? r : read_deliveries(journal, rows, ret, err);
}

int pf_journal_deliveries_given_up(struct pf_journal *journal, const char *hook, const char *target,
                                   int64_t *ret_count, struct pf_delivery_list *ret_last,
                                   struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    int r = pf_journal_bind(journal, &row, PF_QUERY_COUNT_GIVEN_UP, err, "tb", hook, target);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r < 0)
        return r;
    int64_t count = sqlite3_column_int64(row, 0);
    pf_journal_done(row);
    r = pf_journal_bind(journal, &row, PF_QUERY_LAST_GIVEN_UP, err, "tb", hook, target);
    if (!r)
        r = read_deliveries(journal, row, ret_last, err);
    if (!r)
        *ret_count = count;
    return r;
}

int pf_journal_deliveries_next(struct pf_journal *journal, int64_t now_wall_ms, int64_t *ret,
                               struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    int r = pf_journal_bind(journal, &row, PF_QUERY_NEXT_DELIVERY, err, "i", now_wall_ms);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r < 0)
        return r;
    *ret = sqlite3_column_type(row, 0) == SQLITE_NULL ? INT64_MAX : sqlite3_column_int64(row, 0);
    pf_journal_done(row);
    return 0;
}

int pf_journal_deliveries_recent(struct pf_journal *journal, size_t limit,
                                 struct pf_delivery_list *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_RECENT_DELIVERIES, err, "i", (int64_t)limit);
    return r < 0 ? r : read_deliveries(journal, rows, ret, err);
}

int pf_journal_delivery(struct pf_journal *journal, const char *id, struct pf_delivery_list *ret,
                        struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    struct pf_delivery_list list = {0};
    int r = pf_journal_bind(journal, &rows, PF_QUERY_DELIVERY, err, "t", id);
    if (!r)
        r = read_deliveries(journal, rows, &list, err);
    if (!r && !list.count)
        r = pf_fail(err, ENOENT, "delivery %.40s is not there", id);
    if (!r)
        *ret = list;
    return r;
}

int pf_journal_deliveries_count(struct pf_journal *journal, enum pf_delivery_state state,
                                int64_t *ret, struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    int r = pf_journal_bind(journal, &row, PF_QUERY_COUNT_DELIVERIES, err, "i", (int64_t)state);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r < 0)
        return r;
    *ret = sqlite3_column_int64(row, 0);
    pf_journal_done(row);
    return 0;
}
