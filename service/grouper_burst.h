/* A burst in memory: its frames in capture order, whether another frame fits, how long it waits.
 *
 * Used by the grouper only; as pure as it is. A shot is what the grouper keeps of a frame's record.
 * Times in ms: time_ms is the stream's time base (camera's clock, or arrival where EXIF has no
 * time); heard_ms and now_ms are the host's monotonic clock.
 */
#ifndef PF_GROUPER_BURST_H
#define PF_GROUPER_BURST_H

#include "service/grouper.h"

struct pf_shot {
    struct pf_identity id; /* first member: shots are found by it */
    int64_t time_ms;
    int64_t exposure_ms;
    int64_t heard_ms; /* when it was fed */
    uint64_t order;   /* of feeding */
    bool has_subsec, by_arrival;
    uint64_t path_hash, source_hash;
    int rewrites;    /* times that its file was written in the burst before */
    int64_t bracket; /* that it was driven in, 0 none */
    double focal_mm, f_number, exposure_s;
    int64_t sequence, counter; /* -1 none */
    char *lens, *burst_id;     /* NULL none */
};

/* -ENOMEM. */
int pf_shot_new(struct pf_shot **ret, const struct pf_record *record, int64_t now_ms,
                uint64_t order);
struct pf_shot *pf_shot_free(struct pf_shot *shot); /* NULL-safe, returns NULL */
/* Its content is in this file as well. False: that says nothing, for its time tells what is the same
 * shot. */
bool pf_shot_rename(struct pf_shot *shot, const char *path);
/* Capture order: <0, 0 (the same shot), >0. */
int pf_shot_compare(const struct pf_shot *a, const struct pf_shot *b);

struct pf_grouper_burst {
    int64_t number;
    /* Owned: `count` in capture order, and behind them those that others of the burst have replaced
     * (pf_record_replaces), which count in nothing: `total`. */
    struct pf_shot **shots;
    size_t count, total, capacity;
    bool open;
    bool over;                   /* followed by a newer burst, which begins at over_ms */
    bool sealed;                 /* finished by hand */
    int64_t driven;              /* the bracket under way that it is: no pause ends it; 0 none */
    int expected;                /* count that it completes at; 0 the setting's, -1 none */
    enum pf_burst_reason reason; /* it ended for, or is over for */
    int64_t over_ms;
    const struct pf_shot *heard; /* the last one fed; borrowed from shots */
    int64_t heard_ms;            /* when */
    uint64_t touched;            /* its order; 0 restored */
    int64_t limit_ms;            /* gap that splits */
    int64_t delay_ms;            /* most that a frame came later than the shot before it explains */
    int64_t slow_ms[2];          /* the same of delays longer than any gap: the most, the next */
    int64_t exposure_ms;         /* longest */
};

/* -ENOMEM. A burst has one shot at least: add it next. */
int pf_grouper_burst_new(struct pf_grouper_burst **ret, int64_t number);
struct pf_grouper_burst *pf_grouper_burst_free(struct pf_grouper_burst *burst);

/* Room for one more shot; -ENOMEM. pf_grouper_burst_add then cannot fail. */
int pf_grouper_burst_reserve(struct pf_grouper_burst *burst);
/* Takes the shot over; it must have been reserved. */
void pf_grouper_burst_add(struct pf_grouper_burst *burst, struct pf_shot *shot, int64_t now_ms,
                          const struct pf_grouper_settings *settings);

/* A shot of the burst has another name, or its own once more: it counts, and replaces one of that name. */
void pf_grouper_burst_renamed(struct pf_grouper_burst *burst, struct pf_shot *shot,
                              const struct pf_grouper_settings *settings);

/* PF_BURST_OPEN: the shot fits, *ret_distance_ms is its distance in time (0 inside). Else why not. */
enum pf_burst_reason pf_grouper_burst_refuses(const struct pf_grouper_burst *burst,
                                              const struct pf_shot *shot, int64_t now_ms,
                                              const struct pf_grouper_settings *settings,
                                              int64_t *ret_distance_ms);

/* Whether it has as many frames as it is to have. */
bool pf_grouper_burst_is_full(const struct pf_grouper_burst *burst,
                              const struct pf_grouper_settings *settings);

/* When silence completes an open burst. expected_delay_ms: see pf_grouper_expect_delay(). */
int64_t pf_grouper_burst_closes_at(const struct pf_grouper_burst *burst,
                                   const struct pf_grouper_settings *settings,
                                   int64_t expected_delay_ms);

/* True and the reason in words when the burst, as it is, is no focus bracket. */
bool pf_grouper_burst_is_no_stack(const struct pf_grouper_burst *burst,
                                  const struct pf_grouper_settings *settings, char *why,
                                  size_t size);

#endif
