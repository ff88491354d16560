#include "service/grouper.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "service/grouper_delays.h"
#include "service/grouper_queue.h"
#include "service/grouper_stream.h"

/* A bracket under way. */
struct drive {
    int64_t bracket;
    int frames;    /* 0 unknown */
    int64_t burst; /* its number; 0: none of its frames has come */
};

struct pf_grouper {
    struct pf_grouper_settings settings;
    struct pf_stream **streams; /* owned */
    size_t stream_count, stream_capacity;
    struct drive *drives;
    size_t drive_count, drive_capacity;
    void *known; /* tsearch(3) tree of all shots, by identity */
    int64_t next_burst;
    struct pf_delays delays;
    uint64_t order;        /* frames ever fed */
    size_t complete_count; /* bursts remembered */
    struct pf_decisions decisions;
};

static int out_of_memory(struct pf_error *err)
{
    return pf_fail(err, ENOMEM, "out of memory for grouping frames");
}

bool pf_grouper_next(struct pf_grouper *grouper, struct pf_decision *ret)
{
    return pf_decisions_next(&grouper->decisions, ret);
}

/* ---- streams ---- */

/* The stream of a record, made when there is none; NULL on out of memory. */
static struct pf_stream *stream_of(struct pf_grouper *grouper, const struct pf_record *record)
{
    char *key = pf_stream_key(record);
    struct pf_stream *stream = NULL;
    if (!key)
        return NULL;
    for (size_t i = 0; i < grouper->stream_count; i++)
        if (!strcmp(grouper->streams[i]->key, key)) {
            free(key);
            return grouper->streams[i];
        }
    struct pf_stream **streams = pf_with_room(grouper->streams, &grouper->stream_capacity,
                                              grouper->stream_count, 1, sizeof(struct pf_stream *));
    if (streams) {
        grouper->streams = streams;
        stream = calloc(1, sizeof(*stream));
    }
    if (!stream) {
        free(key);
        return NULL;
    }
    stream->key = key;
    grouper->streams[grouper->stream_count++] = stream;
    return stream;
}

static void drop_empty_streams(struct pf_grouper *grouper)
{
    size_t kept = 0;
    for (size_t i = 0; i < grouper->stream_count; i++) {
        struct pf_stream *stream = grouper->streams[i];
        if (stream->burst_count || stream->held_count)
            grouper->streams[kept++] = stream;
        else
            pf_stream_free(stream);
    }
    grouper->stream_count = kept;
}

static int compare_identities(const void *a, const void *b)
{
    return strcmp(((const struct pf_identity *)a)->text, ((const struct pf_identity *)b)->text);
}

static void forget(struct pf_grouper *grouper, struct pf_stream *stream, size_t at)
{
    struct pf_grouper_burst *burst = stream->bursts[at];
    for (size_t i = 0; i < burst->total; i++)
        tdelete(&burst->shots[i]->id, &grouper->known, compare_identities);
    pf_grouper_burst_free(burst);
    stream->burst_count--;
    memmove(stream->bursts + at, stream->bursts + at + 1,
            (stream->burst_count - at) * sizeof(struct pf_grouper_burst *));
    grouper->complete_count--;
}

/* Keeps PF_GROUPER_REMEMBERS complete bursts: those fed last, of the restored ones the newest. */
static void forget_old_bursts(struct pf_grouper *grouper)
{
    while (grouper->complete_count > PF_GROUPER_REMEMBERS) {
        struct pf_grouper_burst *oldest = NULL;
        struct pf_stream *of = NULL;
        size_t at = 0;
        for (size_t i = 0; i < grouper->stream_count; i++)
            for (size_t k = 0; k < grouper->streams[i]->burst_count; k++) {
                struct pf_grouper_burst *burst = grouper->streams[i]->bursts[k];
                if (burst->open || (oldest && (oldest->touched != burst->touched
                                                   ? oldest->touched < burst->touched
                                                   : oldest->number < burst->number)))
                    continue;
                oldest = burst;
                of = grouper->streams[i];
                at = k;
            }
        forget(grouper, of, at);
    }
    drop_empty_streams(grouper);
}

/* ---- bursts ---- */

static int64_t closes_at(const struct pf_grouper *grouper, const struct pf_grouper_burst *burst)
{
    return pf_grouper_burst_closes_at(burst, &grouper->settings,
                                      pf_delays_of(&grouper->delays, burst->heard->source_hash));
}

/* A decision must have been reserved. */
static void complete(struct pf_grouper *grouper, struct pf_grouper_burst *burst,
                     enum pf_burst_reason reason)
{
    burst->open = false;
    burst->over = false;
    burst->reason = reason;
    burst->sealed = burst->sealed || reason == PF_BURST_BY_HAND;
    grouper->complete_count++;
    char why[sizeof(((struct pf_decision *)0)->why)] = "";
    bool no_stack = pf_grouper_burst_is_no_stack(burst, &grouper->settings, why, sizeof(why));
    struct pf_decision *decision = pf_decide(
        &grouper->decisions, no_stack ? PF_DECISION_NOT_A_STACK : PF_DECISION_COMPLETE, burst);
    decision->reason = reason;
    memcpy(decision->why, why, sizeof(why));
}

/* -ENOMEM: the shot is still the caller's. */
static int join(struct pf_grouper *grouper, struct pf_grouper_burst *burst, struct pf_shot *shot,
                int64_t now_ms)
{
    if (pf_decisions_reserve(&grouper->decisions, 2) < 0 || pf_grouper_burst_reserve(burst) < 0)
        return -ENOMEM;
    bool late = !burst->open;
    if (late)
        grouper->complete_count--;
    pf_grouper_burst_add(burst, shot, now_ms, &grouper->settings);
    struct pf_decision *decision = pf_decide(&grouper->decisions, PF_DECISION_JOINED, burst);
    decision->frame = shot->id;
    decision->opened = burst->total == 1;
    decision->late = late;
    if (pf_grouper_burst_is_full(burst, &grouper->settings))
        complete(grouper, burst, PF_BURST_EXPECTED);
    return 0;
}

/* The shot opens a burst, of the bracket `drive` unless that is NULL. Open ones that lie before it are over, and complete now when they have
 * been silent for long enough. -ENOMEM: the shot is still the caller's. */
static int open_burst(struct pf_grouper *grouper, struct pf_stream *stream, struct pf_shot *shot,
                      struct drive *drive, int64_t now_ms)
{
    struct pf_grouper_burst *burst = NULL;
    if (pf_stream_reserve(stream) < 0 ||
        pf_decisions_reserve(&grouper->decisions, stream->burst_count + 2) < 0 ||
        pf_grouper_burst_new(&burst, grouper->next_burst) < 0)
        return -ENOMEM;
    if (pf_grouper_burst_reserve(burst) < 0) {
        pf_grouper_burst_free(burst);
        return -ENOMEM;
    }
    for (size_t i = 0; i < stream->burst_count; i++) {
        struct pf_grouper_burst *older = stream->bursts[i];
        int64_t distance_ms;
        if (!older->open || pf_shot_compare(older->shots[older->count - 1], shot) > 0)
            continue;
        if (!older->over) {
            enum pf_burst_reason reason =
                pf_grouper_burst_refuses(older, shot, now_ms, &grouper->settings, &distance_ms);
            older->over = true;
            older->over_ms = shot->time_ms;
            older->reason = reason == PF_BURST_OPEN ? PF_BURST_GAP : reason;
        }
        if (closes_at(grouper, older) <= now_ms)
            complete(grouper, older, older->reason);
    }
    if (drive) {
        drive->burst = burst->number;
        burst->driven = drive->bracket;
        burst->expected = drive->frames ? drive->frames : -1;
    }
    grouper->next_burst++;
    stream->bursts[stream->burst_count++] = burst;
    return join(grouper, burst, shot, now_ms); /* all is reserved: cannot fail */
}

/* ---- holding ---- */

/* Held frames that fit by now join. One that finds no memory stays held. */
static void retry_held(struct pf_grouper *grouper, struct pf_stream *stream, int64_t now_ms)
{
    for (size_t i = 0; i < stream->held_count;) {
        struct pf_shot *shot = stream->held[i];
        struct pf_grouper_burst *burst =
            pf_stream_nearest(&grouper->settings, stream, shot, now_ms);
        if (!burst || pf_stream_cuts_off(stream, burst, shot) ||
            join(grouper, burst, shot, now_ms) < 0) {
            i++;
            continue;
        }
        pf_stream_take_held(stream, i);
        i = 0; /* the burst has grown: look at all again */
    }
}

/* Waits no longer for the earliest held frame: it joins what it fits, else opens a burst. */
static int place_first_held(struct pf_grouper *grouper, struct pf_stream *stream, int64_t now_ms)
{
    struct pf_shot *shot = stream->held[0];
    struct pf_grouper_burst *burst = pf_stream_nearest(&grouper->settings, stream, shot, now_ms);
    int r = burst ? join(grouper, burst, shot, now_ms)
                  : open_burst(grouper, stream, shot, NULL, now_ms);
    if (r < 0)
        return r;
    pf_stream_take_held(stream, 0);
    retry_held(grouper, stream, now_ms);
    return 0;
}

static int place(struct pf_grouper *grouper, struct pf_stream *stream, struct pf_shot *shot,
                 int64_t now_ms)
{
    struct pf_grouper_burst *burst = pf_stream_nearest(&grouper->settings, stream, shot, now_ms);
    bool waits = burst ? pf_stream_cuts_off(stream, burst, shot)
                       : stream->held_count || pf_stream_has_open(stream);
    if (waits && grouper->settings.hold_ms > 0)
        return pf_stream_hold(stream, shot);
    int r = burst ? join(grouper, burst, shot, now_ms)
                  : open_burst(grouper, stream, shot, NULL, now_ms);
    if (!r)
        retry_held(grouper, stream, now_ms);
    return r;
}

/* ---- brackets under way ---- */

static struct drive *find_drive(const struct pf_grouper *grouper, int64_t bracket)
{
    for (size_t i = 0; i < grouper->drive_count; i++)
        if (grouper->drives[i].bracket == bracket)
            return &grouper->drives[i];
    return NULL;
}

static struct pf_grouper_burst *burst_of_drive(const struct pf_grouper *grouper,
                                               const struct drive *drive)
{
    struct pf_grouper_burst *burst = NULL;
    for (size_t i = 0; drive->burst && !burst && i < grouper->stream_count; i++)
        burst = pf_stream_find(grouper->streams[i], drive->burst);
    return burst;
}

int pf_grouper_drive(struct pf_grouper *grouper, int64_t bracket, int frames)
{
    struct drive *drives = pf_with_room(grouper->drives, &grouper->drive_capacity,
                                        grouper->drive_count, 1, sizeof(*drives));
    if (!drives)
        return -ENOMEM;
    grouper->drives = drives;
    grouper->drives[grouper->drive_count++] = (struct drive){.bracket = bracket, .frames = frames};
    return 0;
}

int64_t pf_grouper_drive_burst(const struct pf_grouper *grouper, int64_t bracket)
{
    const struct drive *drive = find_drive(grouper, bracket);
    const struct pf_grouper_burst *burst = drive ? burst_of_drive(grouper, drive) : NULL;
    return burst && burst->open ? burst->number : 0;
}

void pf_grouper_drive_ended(struct pf_grouper *grouper, int64_t bracket)
{
    struct drive *drive = find_drive(grouper, bracket);
    if (!drive)
        return;
    struct pf_grouper_burst *burst = burst_of_drive(grouper, drive);
    if (burst)
        burst->driven = 0;
    *drive = grouper->drives[--grouper->drive_count];
}

/* A frame of a bracket under way goes into its burst, whatever lies beside it in time. */
static int place_driven(struct pf_grouper *grouper, struct pf_stream *stream, struct drive *drive,
                        struct pf_shot *shot, int64_t now_ms)
{
    if (!drive->burst)
        return open_burst(grouper, stream, shot, drive, now_ms);
    struct pf_grouper_burst *burst = pf_stream_find(stream, drive->burst);
    return burst && burst->open ? join(grouper, burst, shot, now_ms)
                                : place(grouper, stream, shot, now_ms);
}

/* ---- the interface ---- */

int pf_grouper_new(struct pf_grouper **ret, const struct pf_grouper_settings *settings,
                   int64_t first_burst, struct pf_error *err)
{
    if (settings->gap_ms <= 0 || settings->hold_ms < 0 || first_burst <= 0)
        return pf_fail(err, EINVAL, "grouping with a gap of %lld ms, hold of %lld ms from %lld on",
                       (long long)settings->gap_ms, (long long)settings->hold_ms,
                       (long long)first_burst);
    struct pf_grouper *grouper = calloc(1, sizeof(*grouper));
    if (!grouper)
        return out_of_memory(err);
    grouper->settings = *settings;
    grouper->next_burst = first_burst;
    *ret = grouper;
    return 0;
}

void pf_grouper_set(struct pf_grouper *grouper, const struct pf_grouper_settings *settings)
{
    grouper->settings = *settings;
}

bool pf_grouper_expect_delay(struct pf_grouper *grouper, const char *source, int64_t delay_ms)
{
    return pf_delays_set(&grouper->delays, pf_source_hash(source), delay_ms);
}

static void keep_shot(void *shot)
{
    (void)shot; /* the bursts and the held lists own the shots */
}

struct pf_grouper *pf_grouper_free(struct pf_grouper *grouper)
{
    if (!grouper)
        return NULL;
    tdestroy(grouper->known, keep_shot);
    for (size_t i = 0; i < grouper->stream_count; i++)
        pf_stream_free(grouper->streams[i]);
    pf_delays_clear(&grouper->delays);
    free(grouper->drives);
    free(grouper->streams);
    pf_decisions_free(&grouper->decisions);
    free(grouper);
    return NULL;
}

int pf_grouper_feed(struct pf_grouper *grouper, const struct pf_record *record, int64_t now_ms,
                    struct pf_error *err)
{
    if (tfind(&record->id, &grouper->known, compare_identities))
        return pf_fail(err, EEXIST, "frame %s is in a burst already", record->id.text);
    struct pf_shot *shot = NULL;
    if (pf_shot_new(&shot, record, now_ms, grouper->order + 1) < 0)
        return out_of_memory(err);
    struct pf_stream *stream = stream_of(grouper, record);
    if (!stream || !tsearch(&shot->id, &grouper->known, compare_identities)) {
        pf_shot_free(shot);
        drop_empty_streams(grouper);
        return out_of_memory(err);
    }
    grouper->order++;
    struct drive *drive = record->bracket ? find_drive(grouper, record->bracket) : NULL;
    int r = drive ? place_driven(grouper, stream, drive, shot, now_ms)
                  : place(grouper, stream, shot, now_ms);
    if (r < 0) {
        tdelete(&shot->id, &grouper->known, compare_identities);
        pf_shot_free(shot);
        drop_empty_streams(grouper);
        return out_of_memory(err);
    }
    forget_old_bursts(grouper);
    return 0;
}

int pf_grouper_rename(struct pf_grouper *grouper, const struct pf_identity *frame, const char *path,
                      struct pf_error *err)
{
    void *const *known = tfind(frame, &grouper->known, compare_identities);
    if (!known)
        return 0;
    if (pf_decisions_reserve(&grouper->decisions, 1) < 0)
        return out_of_memory(err);
    struct pf_shot *shot = *known; /* its first member is what the tree is of */
    struct pf_grouper_burst *burst = NULL;
    if (!pf_shot_rename(shot, path))
        return 0;
    for (size_t i = 0; !burst && i < grouper->stream_count; i++)
        burst = pf_stream_burst_of(grouper->streams[i], shot);
    if (!burst)
        return 0; /* it is held */
    pf_grouper_burst_renamed(burst, shot, &grouper->settings);
    if (burst->open && pf_grouper_burst_is_full(burst, &grouper->settings))
        complete(grouper, burst, PF_BURST_EXPECTED);
    forget_old_bursts(grouper);
    return 0;
}

/* Silence closes the burst; a held frame behind it tells the better reason. */
static enum pf_burst_reason reason_of_silence(const struct pf_grouper *grouper,
                                              const struct pf_stream *stream,
                                              const struct pf_grouper_burst *burst, int64_t now_ms)
{
    if (burst->over)
        return burst->reason;
    for (size_t i = 0; i < stream->held_count; i++) {
        int64_t distance_ms;
        enum pf_burst_reason reason = pf_grouper_burst_refuses(burst, stream->held[i], now_ms,
                                                               &grouper->settings, &distance_ms);
        if (pf_shot_compare(burst->shots[burst->count - 1], stream->held[i]) < 0)
            return reason == PF_BURST_OPEN ? PF_BURST_GAP : reason;
    }
    return PF_BURST_GAP;
}

static int64_t released_at(const struct pf_grouper *grouper, const struct pf_shot *held)
{
    return held->heard_ms + grouper->settings.hold_ms;
}

static int64_t first_release(const struct pf_grouper *grouper, const struct pf_stream *stream)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < stream->held_count; i++)
        if (released_at(grouper, stream->held[i]) < first)
            first = released_at(grouper, stream->held[i]);
    return first;
}

static int advance_stream(struct pf_grouper *grouper, struct pf_stream *stream, int64_t now_ms)
{
    /* In capture order: frames before the one whose time is up do not wait longer than it. */
    while (first_release(grouper, stream) <= now_ms) {
        int r = place_first_held(grouper, stream, now_ms);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < stream->burst_count; i++) {
        struct pf_grouper_burst *burst = stream->bursts[i];
        if (!burst->open || closes_at(grouper, burst) > now_ms)
            continue;
        if (pf_decisions_reserve(&grouper->decisions, 1) < 0)
            return -ENOMEM;
        complete(grouper, burst, reason_of_silence(grouper, stream, burst, now_ms));
    }
    return 0;
}

int pf_grouper_advance(struct pf_grouper *grouper, int64_t now_ms, struct pf_error *err)
{
    int r = 0;
    for (size_t i = 0; i < grouper->stream_count; i++)
        if (advance_stream(grouper, grouper->streams[i], now_ms) < 0)
            r = -ENOMEM;
    forget_old_bursts(grouper);
    return r < 0 ? out_of_memory(err) : 0;
}

int64_t pf_grouper_deadline(const struct pf_grouper *grouper)
{
    int64_t deadline = INT64_MAX;
    for (size_t i = 0; i < grouper->stream_count; i++) {
        const struct pf_stream *stream = grouper->streams[i];
        int64_t at = first_release(grouper, stream);
        deadline = at < deadline ? at : deadline;
        for (size_t k = 0; k < stream->burst_count; k++) {
            if (!stream->bursts[k]->open)
                continue;
            at = closes_at(grouper, stream->bursts[k]);
            deadline = at < deadline ? at : deadline;
        }
    }
    return deadline;
}

static int finish_stream(struct pf_grouper *grouper, struct pf_stream *stream, int64_t number,
                         int64_t now_ms)
{
    while (stream->held_count)
        if (place_first_held(grouper, stream, now_ms) < 0)
            return -ENOMEM;
    if (pf_decisions_reserve(&grouper->decisions, stream->burst_count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < stream->burst_count; i++)
        if (stream->bursts[i]->open && (!number || stream->bursts[i]->number == number))
            complete(grouper, stream->bursts[i], PF_BURST_BY_HAND);
    return 0;
}

int64_t pf_grouper_closes_at(const struct pf_grouper *grouper, int64_t burst)
{
    for (size_t i = 0; i < grouper->stream_count; i++) {
        const struct pf_grouper_burst *found = pf_stream_find(grouper->streams[i], burst);
        if (found)
            return found->open ? closes_at(grouper, found) : INT64_MAX;
    }
    return INT64_MAX;
}

int pf_grouper_finish(struct pf_grouper *grouper, int64_t burst, int64_t now_ms,
                      struct pf_error *err)
{
    bool found = !burst;
    int r = 0;
    for (size_t i = 0; i < grouper->stream_count && !r; i++) {
        const struct pf_grouper_burst *meant =
            burst ? pf_stream_find(grouper->streams[i], burst) : NULL;
        if (burst && (!meant || !meant->open))
            continue;
        found = true;
        r = finish_stream(grouper, grouper->streams[i], burst, now_ms);
    }
    forget_old_bursts(grouper);
    if (r < 0)
        return out_of_memory(err);
    return found ? 0 : pf_fail(err, ENOENT, "no open burst has the number %lld", (long long)burst);
}

static int restore_shots(struct pf_grouper *grouper, struct pf_grouper_burst *burst,
                         const struct pf_record *const *frames, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct pf_shot *shot = NULL;
        if (pf_grouper_burst_reserve(burst) < 0 ||
            pf_shot_new(&shot, frames[i], now_ms, ++grouper->order) < 0)
            return -ENOMEM;
        const void *const *entry = tsearch(&shot->id, &grouper->known, compare_identities);
        if (!entry || *entry != &shot->id) {
            pf_shot_free(shot);
            return entry ? -EEXIST : -ENOMEM;
        }
        pf_grouper_burst_add(burst, shot, now_ms, &grouper->settings);
    }
    return 0;
}

int pf_grouper_restore(struct pf_grouper *grouper, int64_t number, enum pf_burst_reason reason,
                       const struct pf_record *const *frames, size_t count, int64_t now_ms,
                       struct pf_error *err)
{
    if (!count || number <= 0)
        return pf_fail(err, EINVAL, "restoring burst %lld without frames", (long long)number);
    for (size_t i = 0; i < grouper->stream_count; i++)
        if (pf_stream_find(grouper->streams[i], number))
            return pf_fail(err, EEXIST, "burst %lld is restored twice", (long long)number);
    struct pf_grouper_burst *burst = NULL;
    struct pf_stream *stream = stream_of(grouper, frames[0]);
    int r = stream ? pf_grouper_burst_new(&burst, number) : -ENOMEM;
    if (!r)
        r = restore_shots(grouper, burst, frames, count, now_ms);
    if (!r)
        r = pf_stream_reserve(stream);
    if (!r)
        r = pf_decisions_reserve(&grouper->decisions, 1);
    if (r < 0) {
        for (size_t i = 0; burst && i < burst->total; i++)
            tdelete(&burst->shots[i]->id, &grouper->known, compare_identities);
        pf_grouper_burst_free(burst);
        drop_empty_streams(grouper);
        return r == -EEXIST ? pf_fail(err, EEXIST, "burst %lld: a frame is in a burst already",
                                      (long long)number)
                            : out_of_memory(err);
    }
    burst->touched = 0;
    /* Told in one go: says nothing of how frames arrive. */
    burst->delay_ms = burst->slow_ms[0] = burst->slow_ms[1] = 0;
    burst->reason = reason;
    burst->sealed = reason == PF_BURST_BY_HAND;
    burst->open = reason == PF_BURST_OPEN;
    grouper->complete_count += !burst->open;
    stream->bursts[stream->burst_count++] = burst;
    if (number >= grouper->next_burst)
        grouper->next_burst = number + 1;
    if (burst->open && pf_grouper_burst_is_full(burst, &grouper->settings))
        complete(grouper, burst, PF_BURST_EXPECTED);
    forget_old_bursts(grouper);
    return 0;
}
