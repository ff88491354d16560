#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "config/settings.h"
#include "service/journal_db.h"

/* A number in the first column; 0 rows: -ENOENT without a description. */
static int number_of(struct pf_journal *journal, sqlite3_stmt *statement, int64_t *ret,
                     struct pf_error *err)
{
    int r = pf_journal_step(journal, statement, err);
    if (r == 1) {
        *ret = sqlite3_column_int64(statement, 0);
        pf_journal_done(statement);
        return 0;
    }
    return r < 0 ? r : -ENOENT;
}

static int put_file(struct pf_journal *journal, const struct pf_record *record, int64_t frame,
                    struct pf_error *err)
{
    return pf_journal_run(journal, PF_QUERY_PUT_FILE, err, "bbiiiiit", record->source, record->path,
                          record->size_bytes, record->mtime_ns, record->ctime_ns,
                          (int64_t)record->inode, frame, (const char *)NULL);
}

static int add_frame(struct pf_journal *journal, const struct pf_record *record, int64_t *ret_frame,
                     struct pf_error *err)
{
    json_t *object = pf_record_to_json(record);
    char *text = pf_json_text(object, JSON_COMPACT);
    json_decref(object);
    if (!text)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    int64_t wall_ms = pf_wall_ms();
    int r = pf_journal_run(journal, PF_QUERY_ADD_FRAME, err, "ttitii", record->id.text, text,
                           record->arrival_ms, journal->boot, wall_ms - pf_monotonic_ms(), wall_ms);
    *ret_frame = sqlite3_last_insert_rowid(journal->db);
    free(text);
    return r;
}

static int record_frame(struct pf_journal *journal, const struct pf_record *record,
                        enum pf_journal_seen *ret, struct pf_error *err)
{
    sqlite3_stmt *find = NULL;
    int64_t frame = 0, holds = 0;
    enum pf_journal_seen seen = PF_JOURNAL_NEW;
    int r = pf_journal_bind(journal, &find, PF_QUERY_FRAME_NUMBER, err, "t", record->id.text);
    if (!r)
        r = number_of(journal, find, &frame, err);
    if (!r) {
        r = pf_journal_bind(journal, &find, PF_QUERY_FILE_FRAME, err, "bb", record->source,
                            record->path);
        if (!r)
            r = number_of(journal, find, &holds, err); /* SQL's NULL, of a rejected file, is 0 */
        seen = holds == frame ? PF_JOURNAL_AGAIN : PF_JOURNAL_COPY;
        r = r == -ENOENT ? 0 : r;
    } else if (r == -ENOENT) {
        r = add_frame(journal, record, &frame, err);
    }
    if (!r)
        r = put_file(journal, record, frame, err);
    if (!r)
        *ret = seen;
    return r;
}

int pf_journal_record_frame(struct pf_journal *journal, const struct pf_record *record,
                            enum pf_journal_seen *ret, struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    return r < 0 ? r : pf_journal_leave(journal, record_frame(journal, record, ret, err), err);
}

int pf_journal_reject(struct pf_journal *journal, const char *source, const char *path,
                      int64_t size_bytes, int64_t mtime_ns, const char *reason,
                      struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = pf_journal_run(journal, PF_QUERY_PUT_FILE, err, "bbiiiitt", source, path, size_bytes,
                       mtime_ns, (int64_t)0, (int64_t)0, (const char *)NULL /* no frame */, reason);
    return pf_journal_leave(journal, r, err);
}

int pf_journal_known(struct pf_journal *journal, const char *source,
                     int (*visit)(void *context, const struct pf_journal_file *file), void *context,
                     struct pf_error *err)
{
    sqlite3_stmt *files = NULL;
    bool is_camera = pf_settings_camera(source);
    int r = pf_journal_bind(journal, &files, PF_QUERY_KNOWN_FILES, err, "bb",
                            is_camera ? "camera" : source,
                            is_camera ? "camera;" /* follows "camera:..." */ : source);
    while (!r && (r = pf_journal_step(journal, files, err)) == 1) {
        char *path = NULL;
        r = pf_journal_needed_text(journal, files, 0, &path, err);
        struct pf_journal_file file = {
            .path = path,
            .size_bytes = sqlite3_column_int64(files, 1),
            .mtime_ns = sqlite3_column_int64(files, 2),
            .ctime_ns = sqlite3_column_int64(files, 3),
            .inode = (uint64_t)sqlite3_column_int64(files, 4),
        };
        if (!r)
            r = pf_journal_needed_column(journal, files, 5, &file.frame, err);
        if (!r)
            r = visit(context, &file);
        free(path);
        if (r < 0) {
            pf_journal_done(files);
            return r;
        }
        r = 0;
    }
    return r;
}

/* ---- reading frames ---- */

void pf_journal_frames_free(struct pf_journal_frames *frames)
{
    for (size_t i = 0; i < frames->count; i++) {
        struct pf_journal_frame *frame = &frames->items[i];
        pf_record_free(frame->record);
        free(frame->reason);
        json_decref(frame->scores);
        for (size_t k = 0; k < frame->path_count; k++)
            free(frame->paths[k]);
        free(frame->paths);
    }
    free(frames->items);
    *frames = (struct pf_journal_frames){0};
}

static int read_paths(struct pf_journal *journal, int64_t number, struct pf_journal_frame *frame,
                      struct pf_error *err)
{
    sqlite3_stmt *files = NULL;
    int r = pf_journal_bind(journal, &files, PF_QUERY_FILES_OF_FRAME, err, "i", number);
    while (!r && (r = pf_journal_step(journal, files, err)) == 1) {
        char **grown = realloc(frame->paths, (frame->path_count + 1) * sizeof(*grown));
        if (grown) {
            frame->paths = grown;
            r = pf_journal_needed_text(journal, files, 0, &grown[frame->path_count], err);
            frame->path_count += !r;
        } else {
            r = pf_fail(err, ENOMEM, "out of memory for the journal");
        }
        if (r < 0)
            pf_journal_done(files);
    }
    return r;
}

int pf_journal_record(struct pf_journal *journal, sqlite3_stmt *row, int column,
                      struct pf_record **ret, struct pf_error *err)
{
    json_t *object = NULL;
    struct pf_error problem = {0};
    int r = pf_journal_json(journal, row, column, &object, err);
    if (!r && object && pf_record_from_json(object, ret, &problem) < 0)
        r = problem.code == ENOMEM ? pf_fail(err, ENOMEM, "%s", problem.text)
                                   : pf_journal_damaged(journal, row, column, problem.text, err);
    json_decref(object);
    return r;
}

/* When it came, by the clock of this boot. */
static int read_arrival(struct pf_journal *journal, sqlite3_stmt *row, int64_t *ret,
                        struct pf_error *err)
{
    const int64_t most = PF_RECORD_ARRIVAL_MAX_MS;
    const char *boot = NULL;
    int64_t arrival_ms = 0, offset_ms = 0;
    int r = pf_journal_needed_column(journal, row, 3, &boot, err);
    if (!r)
        r = pf_journal_number(journal, row, 2, -most, most, &arrival_ms, err);
    if (!r)
        r = pf_journal_number(journal, row, 4, -most, most, &offset_ms, err);
    if (r < 0)
        return r;
    if (!*boot || strcmp(boot, journal->boot))
        arrival_ms += offset_ms - journal->wall_offset_ms;
    *ret = arrival_ms;
    return 0;
}

/* Columns of PF_JOURNAL_FRAME. */
static int read_frame(struct pf_journal *journal, sqlite3_stmt *row, struct pf_journal_frame *frame,
                      struct pf_error *err)
{
    int state = 0;
    int r = pf_journal_record(journal, row, 1, &frame->record, err);
    if (!r && !frame->record)
        r = pf_journal_damaged(journal, row, 1, "is missing", err);
    if (!r)
        r = read_arrival(journal, row, &frame->record->arrival_ms, err);
    if (!r)
        r = pf_journal_count(journal, row, 5, PF_FRAME_ASIDE, &state, err);
    frame->state = (enum pf_frame_state)state;
    frame->burst = sqlite3_column_int64(row, 6);
    if (!r)
        r = pf_journal_count(journal, row, 7, PF_JOURNAL_COUNT_MAX, &frame->attempts, err);
    frame->late = sqlite3_column_int(row, 8);
    if (!r)
        r = pf_journal_text(journal, row, 9, &frame->reason, err);
    if (!r)
        r = pf_journal_json(journal, row, 10, &frame->scores, err);
    return r ? r : read_paths(journal, sqlite3_column_int64(row, 0), frame, err);
}

const char *pf_journal_frame_file(const struct pf_journal_frame *frame)
{
    for (size_t i = 0; i < frame->path_count; i++)
        if (!strcmp(frame->paths[i], frame->record->path))
            return frame->paths[i];
    return frame->path_count ? frame->paths[frame->path_count - 1] : NULL;
}

int pf_journal_read_frames(struct pf_journal *journal, sqlite3_stmt *rows,
                           struct pf_journal_frames *ret, struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    size_t capacity = 0;
    int r;
    while ((r = pf_journal_step(journal, rows, err)) == 1) {
        struct pf_journal_frame *items =
            pf_with_room(frames.items, &capacity, frames.count, 1, sizeof(*items));
        if (!items) {
            r = pf_fail(err, ENOMEM, "out of memory for the journal");
            break;
        }
        frames.items = items;
        struct pf_journal_frame *frame = &frames.items[frames.count++];
        *frame = (struct pf_journal_frame){0};
        r = read_frame(journal, rows, frame, err);
        if (r < 0)
            break;
    }
    if (r < 0) {
        pf_journal_done(rows);
        pf_journal_frames_free(&frames);
        return r;
    }
    *ret = frames;
    return 0;
}

int pf_journal_loose_frames(struct pf_journal *journal, struct pf_journal_frames *ret,
                            struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_LOOSE_FRAMES, err, "");
    return r < 0 ? r : pf_journal_read_frames(journal, rows, ret, err);
}

int pf_journal_burst_frames(struct pf_journal *journal, int64_t burst,
                            struct pf_journal_frames *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    int r = pf_journal_bind(journal, &rows, PF_QUERY_BURST_FRAMES, err, "i", burst);
    return r < 0 ? r : pf_journal_read_frames(journal, rows, ret, err);
}

int pf_journal_namesakes(struct pf_journal *journal, const char *source, const char *path,
                         struct pf_journal_frames *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    /* In the order of bytes '/' follows '.', and no name holds one. */
    char *first = pf_text("%.*s.", (int)stem, path), *last = pf_text("%.*s/", (int)stem, path);
    int r = 0;
    if (!first || !last)
        r = pf_fail(err, ENOMEM, "out of memory for the journal");
    if (!r)
        r = pf_journal_bind(journal, &rows, PF_QUERY_NAMESAKES, err, "bbb", source, first, last);
    if (!r)
        r = pf_journal_read_frames(journal, rows, ret, err);
    free(first);
    free(last);
    return r;
}

static int unknown_frame(const struct pf_identity *frame, struct pf_error *err)
{
    return pf_fail(err, ENOENT, "frame %s is not in the journal", frame->text);
}

int pf_journal_frame(struct pf_journal *journal, const struct pf_identity *frame,
                     struct pf_journal_frames *ret, struct pf_error *err)
{
    sqlite3_stmt *rows = NULL;
    struct pf_journal_frames frames = {0};
    int r = pf_journal_bind(journal, &rows, PF_QUERY_FRAME, err, "t", frame->text);
    if (!r)
        r = pf_journal_read_frames(journal, rows, &frames, err);
    if (!r && !frames.count)
        r = unknown_frame(frame, err);
    if (!r)
        *ret = frames;
    return r;
}

/* ---- what becomes of a frame ---- */

int pf_journal_frame_attempt(struct pf_journal *journal, const struct pf_identity *frame,
                             int *ret_attempts, struct pf_error *err)
{
    sqlite3_stmt *count = NULL;
    int64_t attempts = 0;
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = pf_journal_bind(journal, &count, PF_QUERY_COUNT_ATTEMPT, err, "t", frame->text);
    if (!r)
        r = number_of(journal, count, &attempts, err);
    if (!r && (attempts < 0 || attempts > PF_JOURNAL_COUNT_MAX))
        attempts = PF_JOURNAL_COUNT_MAX; /* damaged: tried often enough */
    if (r == -ENOENT)
        unknown_frame(frame, err);
    r = pf_journal_leave(journal, r, err);
    if (!r)
        *ret_attempts = (int)attempts;
    return r;
}

int pf_journal_frame_result(struct pf_journal *journal, int64_t burst,
                            const struct pf_identity *frame, bool fused, const char *reason,
                            const json_t *scores, struct pf_error *err)
{
    char *text = scores ? pf_json_text(scores, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (scores && !text)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    int r = pf_journal_enter(journal, err);
    if (!r) {
        r = pf_journal_run(journal, PF_QUERY_FRAME_RESULT, err, "tiitt", frame->text, burst,
                           (int64_t)(fused ? PF_FRAME_FUSED : PF_FRAME_ASIDE),
                           fused ? NULL : reason, text);
        if (!r && !sqlite3_changes(journal->db))
            r = pf_fail(err, ENOENT, "frame %s is not in burst %lld", frame->text,
                        (long long)burst);
        r = pf_journal_leave(journal, r, err);
    }
    free(text);
    return r;
}

int pf_journal_companion(struct pf_journal *journal, const struct pf_identity *frame,
                         const struct pf_identity *of, struct pf_error *err)
{
    char scores[sizeof(of->text) + 32];
    snprintf(scores, sizeof(scores), "{\"%s\":\"%s\"}", PF_JOURNAL_COMPANION_OF, of->text);
    int r = pf_journal_enter(journal, err);
    if (r < 0)
        return r;
    r = pf_journal_run(journal, PF_QUERY_COMPANION, err, "ttt", frame->text,
                       "of the same shot as another frame", scores);
    if (!r && !sqlite3_changes(journal->db))
        r = pf_fail(err, ENOENT, "frame %s is in a burst or not in the journal", frame->text);
    return pf_journal_leave(journal, r, err);
}

static int join(struct pf_journal *journal, int64_t burst, const struct pf_identity *frame,
                bool late, struct pf_error *err)
{
    sqlite3_stmt *find = NULL;
    int r = pf_journal_bind(journal, &find, PF_QUERY_FRAME_BURST, err, "t", frame->text);
    if (!r)
        r = pf_journal_step(journal, find, err);
    if (r <= 0)
        return r < 0 ? r : unknown_frame(frame, err);
    int64_t present = sqlite3_column_int64(find, 1);
    pf_journal_done(find);
    if (present)
        return pf_fail(err, EEXIST, "frame %s is in burst %lld already", frame->text,
                       (long long)present);
    r = pf_journal_bind(journal, &find, PF_QUERY_BURST_STATE, err, "i", burst);
    if (!r)
        r = pf_journal_step(journal, find, err);
    if (r <= 0)
        return r < 0 ? r : pf_fail(err, ENOENT, "burst %lld is not there", (long long)burst);
    enum pf_burst_state state = (enum pf_burst_state)sqlite3_column_int(find, 0);
    pf_journal_done(find);
    if (state != PF_BURST_STATE_OPEN && !late)
        return pf_fail(err, EINVAL, "burst %lld is %s: only a late frame can join it",
                       (long long)burst, pf_burst_state_name(state));
    r = pf_journal_run(journal, PF_QUERY_JOIN_FRAME, err, "tii", frame->text, burst, (int64_t)late);
    if (!r && late)
        r = pf_journal_run(journal, PF_QUERY_SET_BURST, err, "iiti", burst,
                           (int64_t)PF_BURST_STATE_OPEN, (const char *)NULL, pf_wall_ms());
    return r;
}

int pf_journal_join(struct pf_journal *journal, int64_t burst, const struct pf_identity *frame,
                    bool late, struct pf_error *err)
{
    int r = pf_journal_enter(journal, err);
    return r < 0 ? r : pf_journal_leave(journal, join(journal, burst, frame, late, err), err);
}
