#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/base/array.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "service/journal_db.h"

const char *pf_burst_state_name(enum pf_burst_state state)
{
    static const char *const names[] = {
        [PF_BURST_STATE_OPEN] = "open",
        [PF_BURST_STATE_COMPLETE] = "complete",
        [PF_BURST_STATE_PUBLISHED] = "published",
        [PF_BURST_STATE_FAILED] = "failed",
        [PF_BURST_STATE_NOT_A_STACK] = "not a stack",
    };
    return (size_t)state < sizeof(names) / sizeof(*names) ? names[state] : "unknown";
}

int pf_journal_next_burst(struct pf_journal *journal, int64_t *ret, struct pf_error *err)
{
    sqlite3_stmt *next = NULL;
    int r = pf_journal_bind(journal, &next, PF_QUERY_NEXT_BURST, err, "");
    if (!r)
        r = pf_journal_step(journal, next, err);
    if (r < 0)
        return r;
    /* Far from the end, so that counting on cannot get there. */
    r = pf_journal_number(journal, next, 0, 1, INT64_MAX / 2, ret, err);
    pf_journal_done(next);
    return r;
}

/* ---- its id ---- */

#define ID_PLACE_MAX 40 /* characters of the serial number or source */

/* When it was shot, by the camera's clock; else when it came, by ours. */
static void time_part(const struct pf_record *first, char *text, size_t size)
{
    const int64_t year_10000_ms = INT64_C(253402300800000);
    bool shot = first->capture_ms >= 0 && first->capture_ms < year_10000_ms;
    time_t seconds = (time_t)((shot ? first->capture_ms : pf_wall_ms()) / 1000);
    struct tm tm = {0};
    if (shot)
        gmtime_r(&seconds, &tm); /* the camera's local time is kept as if it were UTC */
    else
        localtime_r(&seconds, &tm);
    strftime(text, size, "%Y%m%d-%H%M%S", &tm);
}

/* Letters, digits, '.', '_' and '-' only, none of them twice in a row but letters and digits. */
static void place_part(const struct pf_record *first, char *text, size_t size)
{
    const char *from = first->serial;
    size_t used = 0;
    if (!pf_record_has_serial(first)) {
        const char *slash = strrchr(first->source, '/');
        const char *colon = strchr(first->source, ':');
        from = slash && slash[1] ? slash + 1 : colon && colon[1] ? colon + 1 : first->source;
    }
    for (; *from && used + 1 < size; from++) {
        char c = *from;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '.' && c != '_')
            c = '-';
        if (plain || (used && (text[used - 1] != c)))
            text[used++] = c;
    }
    while (used && (text[used - 1] == '-' || text[used - 1] == '.'))
        used--;
    text[used] = '\0';
    if (!used)
        snprintf(text, size, "frames");
}

/* Results are called after it: nothing that leads elsewhere. */
static bool is_id(const char *id)
{
    size_t length = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return !id[length] && length && length < PF_BURST_ID_MAX && id[0] != '.';
}

int pf_journal_open_burst(struct pf_journal *journal, int64_t number, const struct pf_record *first,
                          char ret_id[PF_BURST_ID_MAX], struct pf_error *err)
{
    char when[32], place[ID_PLACE_MAX + 1], id[PF_BURST_ID_MAX];
    time_part(first, when, sizeof(when));
    place_part(first, place, sizeof(place));
    snprintf(id, sizeof(id), "%.20s-%s-%lld", when, place, (long long)number);
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    struct pf_error problem = {0};
    r = pf_journal_run(journal, PF_QUERY_ADD_BURST, &problem, "iti", number, id, pf_wall_ms());
    if (r == -EEXIST)
        pf_fail(err, EEXIST, "burst %lld is in the journal already", (long long)number);
    else if (r < 0)
        pf_fail(err, problem.code, "%s", problem.text);
    r = pf_journal_leave(journal, r, err);
    if (!r && ret_id)
        memcpy(ret_id, id, sizeof(id));
    return r;
}

/* ---- its states ---- */

struct standing {
    enum pf_burst_state state;
    int wanted, published;
};

/* Three columns, this one and those behind it. */
static int read_standing(struct pf_journal *journal, sqlite3_stmt *row, int column,
                         struct standing *ret, struct pf_error *err)
{
    int state = 0;
    int r = pf_journal_count(journal, row, column, PF_BURST_STATE_NOT_A_STACK, &state, err);
    if (!r)
        r = pf_journal_count(journal, row, column + 1, PF_JOURNAL_COUNT_MAX, &ret->wanted, err);
    if (!r)
        r = pf_journal_count(journal, row, column + 2, PF_JOURNAL_COUNT_MAX, &ret->published, err);
    ret->state = (enum pf_burst_state)state;
    return r;
}

static int standing_of(struct pf_journal *journal, int64_t burst, struct standing *ret,
                       struct pf_error *err)
{
    sqlite3_stmt *row = NULL;
    int r = pf_journal_bind(journal, &row, PF_QUERY_BURST_STATE, err, "i", burst);
    if (!r)
        r = pf_journal_step(journal, row, err);
    if (r <= 0)
        return r < 0 ? r : pf_fail(err, ENOENT, "burst %lld is not there", (long long)burst);
    r = read_standing(journal, row, 0, ret, err);
    pf_journal_done(row);
    return r;
}

static int not_allowed(int64_t burst, enum pf_burst_state state, const char *step,
                       struct pf_error *err)
{
    return pf_fail(err, EINVAL, "burst %lld is %s: it cannot be %s", (long long)burst,
                   pf_burst_state_name(state), step);
}

static int end_burst(struct pf_journal *journal, int64_t burst, enum pf_burst_state state,
                     const char *reason, const char *why, int *ret_version, struct pf_error *err)
{
    struct standing now;
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = standing_of(journal, burst, &now, err);
    if (!r && now.state != PF_BURST_STATE_OPEN)
        r = not_allowed(burst, now.state, "completed", err);
    int wanted = r ? 0 : now.wanted + (state == PF_BURST_STATE_COMPLETE);
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_END_BURST, err, "iiitti", burst, (int64_t)state,
                           (int64_t)wanted, reason, why, pf_wall_ms());
    r = pf_journal_leave(journal, r, err);
    if (!r && ret_version)
        *ret_version = wanted;
    return r;
}

int pf_journal_complete(struct pf_journal *journal, int64_t burst, const char *reason,
                        int *ret_version, struct pf_error *err)
{
    return end_burst(journal, burst, PF_BURST_STATE_COMPLETE, reason, NULL, ret_version, err);
}

int pf_journal_not_a_stack(struct pf_journal *journal, int64_t burst, const char *reason,
                           const char *why, struct pf_error *err)
{
    return end_burst(journal, burst, PF_BURST_STATE_NOT_A_STACK, reason, why, NULL, err);
}

static int publish(struct pf_journal *journal, int64_t burst, int version, const char *directory,
                   struct pf_error *err)
{
    struct standing now;
    int r = standing_of(journal, burst, &now, err);
    if (r < 0)
        return r;
    if (version <= now.published)
        return pf_fail(err, EEXIST, "version %d of burst %lld is published already", version,
                       (long long)burst);
    if (version > now.wanted)
        return pf_fail(err, EINVAL, "version %d of burst %lld was never asked for", version,
                       (long long)burst);
    bool done = version == now.wanted &&
                (now.state == PF_BURST_STATE_COMPLETE || now.state == PF_BURST_STATE_FAILED);
    int64_t wall_ms = pf_wall_ms();
    r = pf_journal_run(journal, PF_QUERY_ADD_VERSION, err, "iibi", burst, (int64_t)version,
                       directory, wall_ms);
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_PUBLISH_BURST, err, "iiii", burst,
                           (int64_t)(done ? PF_BURST_STATE_PUBLISHED : now.state), (int64_t)version,
                           wall_ms);
    return r;
}

int pf_journal_published(struct pf_journal *journal, int64_t burst, int version,
                         const char *directory, struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    return r < 0 ? r
                 : pf_journal_leave(journal, publish(journal, burst, version, directory, err), err);
}

int pf_journal_failed(struct pf_journal *journal, int64_t burst, int version, const char *reason,
                      struct pf_error *err)
{
    struct standing now;
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = standing_of(journal, burst, &now, err);
    if (!r && (now.state != PF_BURST_STATE_COMPLETE || now.wanted != version))
        r = pf_fail(err, EEXIST, "burst %lld is %s and not to be version %d any more",
                    (long long)burst, pf_burst_state_name(now.state), version);
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_SET_BURST, err, "iiti", burst,
                           (int64_t)PF_BURST_STATE_FAILED, reason, pf_wall_ms());
    return pf_journal_leave(journal, r, err);
}

/* Enters for what is for bursts that have failed alone. */
static int enter_failed(struct pf_journal *journal, int64_t burst, const char *what,
                        struct pf_error *err)
{
    struct standing now;
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = standing_of(journal, burst, &now, err);
    if (!r && now.state != PF_BURST_STATE_FAILED)
        r = not_allowed(burst, now.state, what, err);
    return r < 0 ? pf_journal_leave(journal, r, err) : 0;
}

int pf_journal_retry(struct pf_journal *journal, int64_t burst, struct pf_error *err)
{
    int r = enter_failed(journal, burst, "retried", err);
    if (r < 0)
        return r;
    r = pf_journal_run(journal, PF_QUERY_SET_BURST, err, "iiti", burst,
                       (int64_t)PF_BURST_STATE_COMPLETE, (const char *)NULL, pf_wall_ms());
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_FORGIVE_FRAMES, err, "i", burst);
    return pf_journal_leave(journal, r, err);
}

int pf_journal_dismiss(struct pf_journal *journal, int64_t burst, struct pf_error *err)
{
    int r = enter_failed(journal, burst, "dismissed", err);
    if (r < 0)
        return r;
    r = pf_journal_run(journal, PF_QUERY_DISMISS_BURST, err, "i", burst);
    return pf_journal_leave(journal, r, err);
}

int pf_journal_restack(struct pf_journal *journal, int64_t burst, const json_t *settings,
                       int *ret_version, struct pf_error *err)
{
    struct standing now;
    char *text = settings ? pf_json_text(settings, JSON_COMPACT) : NULL;
    int r = settings && !text ? pf_fail(err, ENOMEM, "out of memory for the journal")
                              : pf_journal_enter(journal, err);
    if (r < 0) {
        free(text);
        return r;
    }
    r = standing_of(journal, burst, &now, err);
    if (!r && now.state != PF_BURST_STATE_FAILED && now.state != PF_BURST_STATE_PUBLISHED)
        r = not_allowed(burst, now.state, "stacked again", err);
    int version = now.wanted > now.published ? now.wanted : now.published + 1;
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_RESTACK_BURST, err, "iiit", burst, (int64_t)version,
                           pf_wall_ms(), (const char *)text);
    if (!r)
        r = pf_journal_run(journal, PF_QUERY_FORGIVE_FRAMES, err, "i", burst);
    free(text);
    r = pf_journal_leave(journal, r, err);
    if (!r)
        *ret_version = version;
    return r;
}

/* ---- reading bursts ---- */

void pf_journal_bursts_free(struct pf_journal_bursts *bursts)
{
    for (size_t i = 0; i < bursts->count; i++) {
        free(bursts->items[i].reason);
        free(bursts->items[i].detail);
        free(bursts->items[i].directory);
        json_decref(bursts->items[i].settings);
    }
    free(bursts->items);
    *bursts = (struct pf_journal_bursts){0};
}

/* Columns of PF_JOURNAL_BURST. */
static int read_burst(struct pf_journal *journal, sqlite3_stmt *row, struct pf_journal_burst *burst,
                      struct pf_error *err)
{
    const char *id;
    struct standing standing = {0};
    int r = pf_journal_needed_column(journal, row, 1, &id, err);
    if (!r && !is_id(id))
        r = pf_journal_damaged(journal, row, 1, "is none of ours", err);
    if (!r)
        r = read_standing(journal, row, 2, &standing, err);
    if (r < 0)
        return r;
    burst->number = sqlite3_column_int64(row, 0);
    snprintf(burst->id, sizeof(burst->id), "%s", id);
    burst->state = standing.state;
    burst->wanted = standing.wanted;
    burst->published = standing.published;
    burst->frames = (size_t)sqlite3_column_int64(row, 5);
    burst->opened_wall_ms = sqlite3_column_int64(row, 9);
    burst->changed_wall_ms = sqlite3_column_int64(row, 10);
    burst->dismissed = sqlite3_column_int64(row, 12) != 0;
    r = pf_journal_text(journal, row, 6, &burst->reason, err);
    if (!r)
        r = pf_journal_text(journal, row, 7, &burst->detail, err);
    if (!r)
        r = pf_journal_text(journal, row, 8, &burst->directory, err);
    return r ? r : pf_journal_json(journal, row, 11, &burst->settings, err);
}

int pf_journal_read_bursts(struct pf_journal *journal, sqlite3_stmt *rows,
                           struct pf_journal_bursts *ret, struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    size_t capacity = 0;
    int r;
    while ((r = pf_journal_step(journal, rows, err)) == 1) {
        struct pf_journal_burst *items =
            pf_with_room(bursts.items, &capacity, bursts.count, 1, sizeof(*items));
        if (!items) {
            r = pf_fail(err, ENOMEM, "out of memory for the journal");
            break;
        }
        bursts.items = items;
        struct pf_journal_burst *burst = &bursts.items[bursts.count++];
        *burst = (struct pf_journal_burst){0};
        r = read_burst(journal, rows, burst, err);
        if (r < 0)
            break;
    }
    if (r < 0) {
        pf_journal_done(rows);
        pf_journal_bursts_free(&bursts);
        return r;
    }
    *ret = bursts;
    return 0;
}

int pf_journal_burst(struct pf_journal *journal, int64_t number, struct pf_journal_bursts *ret,
                     struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    struct pf_journal_bursts bursts = {0};
    int r = pf_journal_bind(journal, &rows, PF_QUERY_BURST, err, "i", number);
    if (!r)
        r = pf_journal_read_bursts(journal, rows, &bursts, err);
    if (!r && !bursts.count)
        r = pf_fail(err, ENOENT, "burst %lld is not there", (long long)number);
    if (!r)
        *ret = bursts;
    return r;
}

int pf_journal_bursts_in(struct pf_journal *journal, enum pf_burst_state state,
                         struct pf_journal_bursts *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_BURSTS_IN, err, "i", (int64_t)state);
    return r < 0 ? r : pf_journal_read_bursts(journal, rows, ret, err);
}

int pf_journal_recent_bursts(struct pf_journal *journal, size_t limit,
                             struct pf_journal_bursts *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_RECENT_BURSTS, err, "i", (int64_t)limit);
    return r < 0 ? r : pf_journal_read_bursts(journal, rows, ret, err);
}
