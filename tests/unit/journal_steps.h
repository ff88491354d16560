/* Steps that the tests of the journal share. Frame n has the content n; its record is made up. */
#ifndef PF_TEST_JOURNAL_STEPS_H
#define PF_TEST_JOURNAL_STEPS_H

#include "config/base/time.h"
#include "service/journal.h"
#include "tests/unit/test.h"

static inline char *copy(const char *text)
{
    char *made = strdup(text);
    CHECK(made);
    return made;
}

/* The record of frame n; its content is n. */
static inline struct pf_record *record_of(int n)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    CHECK(record);
    char path[64];
    snprintf(path, sizeof(path), "/in/IMG_%04d.JPG", n);
    record->path = copy(path);
    record->source = copy("folder:/data/in box");
    record->id = pf_identity_of_memory(&n, sizeof(n));
    record->size_bytes = 1000 + n;
    record->mtime_ns = 5000000000 + n;
    record->ctime_ns = 6000000000 + n;
    record->inode = UINT64_MAX - (uint64_t)n;
    record->arrival_ms = 1000 * n;
    record->format = copy("jpeg");
    record->width = 60;
    record->height = 40;
    record->orientation = 1;
    record->capture_ms = INT64_C(1767323045000) + 100 * n; /* 2026-01-02 03:04:05 */
    record->serial = copy("12345");
    record->exposure_s = 0.25;
    record->sequence = -1;
    record->counter = n;
    return record;
}

static inline struct pf_journal *open_in(const char *directory)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_journal_open(&journal, directory, NULL, &err), &err);
    return journal;
}

static inline enum pf_journal_seen record_as(struct pf_journal *journal, int n, const char *path)
{
    struct pf_error err = {0};
    struct pf_record *record = record_of(n);
    enum pf_journal_seen seen;
    if (path) {
        free(record->path);
        record->path = copy(path);
    }
    CHECK_OK(pf_journal_record_frame(journal, record, &seen, &err), &err);
    pf_record_free(record);
    return seen;
}

static inline struct pf_identity id_of(int n)
{
    return pf_identity_of_memory(&n, sizeof(n));
}

/* Records frame n, which joins the burst; a burst that is not there is opened. */
static inline void join(struct pf_journal *journal, int64_t burst, int n, bool late)
{
    struct pf_error err = {0};
    struct pf_journal_bursts found = {0};
    struct pf_identity id = id_of(n);
    record_as(journal, n, NULL);
    if (pf_journal_burst(journal, burst, &found, NULL) == -ENOENT) {
        struct pf_record *record = record_of(n);
        CHECK_OK(pf_journal_open_burst(journal, burst, record, NULL, &err), &err);
        pf_record_free(record);
    }
    pf_journal_bursts_free(&found);
    CHECK_OK(pf_journal_join(journal, burst, &id, late, &err), &err);
}

/* "state wanted/published frames [reason] [detail] [directory]" */
static inline const char *burst_text(struct pf_journal *journal, int64_t number)
{
    static char text[512];
    struct pf_error err = {0};
    struct pf_journal_bursts bursts = {0};
    CHECK_OK(pf_journal_burst(journal, number, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 1);
    const struct pf_journal_burst *burst = &bursts.items[0];
    CHECK_EQ(burst->number, number);
    snprintf(text, sizeof(text), "%s %d/%d %zu [%s] [%s] [%s]", pf_burst_state_name(burst->state),
             burst->wanted, burst->published, burst->frames, burst->reason ? burst->reason : "",
             burst->detail ? burst->detail : "", burst->directory ? burst->directory : "");
    pf_journal_bursts_free(&bursts);
    return text;
}

static inline const char *join_paths(const struct pf_journal_frame *frame)
{
    static char text[512];
    text[0] = '\0';
    for (size_t i = 0; i < frame->path_count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 frame->paths[i]);
    return text;
}

static inline void check_frame(struct pf_journal *journal, int n, enum pf_frame_state state,
                               int64_t burst, const char *paths)
{
    struct pf_error err = {0};
    struct pf_journal_frames frames = {0};
    struct pf_identity id = id_of(n);
    CHECK_OK(pf_journal_frame(journal, &id, &frames, &err), &err);
    CHECK_EQ(frames.count, 1);
    CHECK_EQ(frames.items[0].state, state);
    CHECK_EQ(frames.items[0].burst, burst);
    CHECK_STR(join_paths(&frames.items[0]), paths);
    CHECK_STR(frames.items[0].record->id.text, id.text);
    pf_journal_frames_free(&frames);
}

#endif
