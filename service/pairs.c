#include "service/pairs.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "capture/shot.h"
#include "config/base/array.h"
#include "config/base/text.h"

#define REMEMBERS 4096 /* given out; more than can be between the grouper and the journal */
#define CAMERAS   64   /* remembered; the one that was heard of least recently is forgotten */
#define LONG_MS   30000

#define EXPOSURE_MOST_MS 600000

/* Shots of one camera, as they come. */
struct camera {
    char *key;
    uint64_t turn;    /* when it was heard of last */
    int64_t ended_ms; /* end of its last shot, by its own clock */
    bool expected;    /* partners are */
    bool begun;       /* one of its burst has been given out: */
    enum pf_shot_kind kind;
    int64_t paired_ms; /* when a pair was seen last */
    int64_t
        patience_ms[PF_SHOT_RAW + 1]; /* by kind: twice as much later than its partner it came */
};

struct waiting {
    struct pf_record *record;
    struct camera *camera;
    int64_t fed_ms, wait_ms;
};

struct given {
    struct pf_identity id;
    int64_t fed_ms;
};

struct pf_pairs {
    struct pf_pairs_settings settings;
    int64_t delay_ms;
    struct waiting *waiting;
    size_t count, capacity;
    struct given gave[REMEMBERS];
    size_t given;
    struct camera cameras[CAMERAS];
    uint64_t turns;
};

int pf_pairs_new(struct pf_pairs **ret, const struct pf_pairs_settings *settings,
                 struct pf_error *err)
{
    struct pf_pairs *pairs = calloc(1, sizeof(*pairs));
    if (!pairs)
        return pf_fail(err, ENOMEM, "out of memory for pairs of RAW and JPEG");
    pairs->settings = *settings;
    *ret = pairs;
    return 0;
}

struct pf_pairs *pf_pairs_free(struct pf_pairs *pairs)
{
    if (!pairs)
        return NULL;
    for (size_t i = 0; i < pairs->count; i++)
        pf_record_free(pairs->waiting[i].record);
    for (size_t i = 0; i < CAMERAS; i++)
        free(pairs->cameras[i].key);
    free(pairs->waiting);
    free(pairs);
    return NULL;
}

void pf_pairs_set(struct pf_pairs *pairs, const struct pf_pairs_settings *settings)
{
    pairs->settings = *settings;
}

void pf_pairs_expect_delay(struct pf_pairs *pairs, int64_t delay_ms)
{
    pairs->delay_ms = delay_ms;
}

/* ---- cameras ---- */

/* By model and source, or the folder of a camera in the spool: a RAW may have a serial number that its
 * JPEG lacks. NULL on out of memory. */
static struct camera *camera_of(struct pf_pairs *pairs, const struct pf_record *record)
{
    struct camera *oldest = &pairs->cameras[0];
    size_t camera_bytes = pf_record_camera_bytes(record);
    const char *from = camera_bytes ? record->path : record->source ? record->source : "";
    char *key = pf_text("%s\n%s\n%.*s", record->make ? record->make : "",
                        record->model ? record->model : "",
                        camera_bytes ? (int)camera_bytes : (int)strlen(from), from);
    if (!key)
        return NULL;
    for (size_t i = 0; i < CAMERAS; i++) {
        struct camera *camera = &pairs->cameras[i];
        if (camera->key && !strcmp(camera->key, key)) {
            free(key);
            camera->turn = ++pairs->turns;
            return camera;
        }
        if (camera->turn < oldest->turn)
            oldest = camera;
    }
    free(oldest->key);
    *oldest = (struct camera){
        .key = key, .turn = ++pairs->turns, .expected = true, .paired_ms = INT64_MIN};
    return oldest;
}

static void end_with(struct camera *camera, const struct pf_record *record)
{
    camera->ended_ms = record->capture_ms;
    if (record->exposure_s > 0) /* also false for a NaN */
        camera->ended_ms += (int64_t)fmin(record->exposure_s * 1000, EXPOSURE_MOST_MS);
}

static void choose(struct camera *camera, const struct pf_record *record)
{
    camera->begun = true;
    camera->kind = pf_shot_kind(record);
}

static bool is_chosen(const struct pf_pairs *pairs, const struct camera *camera,
                      const struct pf_record *record)
{
    enum pf_shot_kind preferred = pairs->settings.raw ? PF_SHOT_RAW : PF_SHOT_JPEG;
    return pf_shot_kind(record) == (camera->begun ? camera->kind : preferred);
}

/* ---- records ---- */

static struct pf_record *take(struct pf_pairs *pairs, size_t index)
{
    struct pf_record *record = pairs->waiting[index].record;
    memmove(pairs->waiting + index, pairs->waiting + index + 1,
            (--pairs->count - index) * sizeof(*pairs->waiting));
    return record;
}

static struct pf_record *give(struct pf_pairs *pairs, struct pf_record *record, int64_t fed_ms)
{
    pairs->gave[pairs->given++ % REMEMBERS] = (struct given){record->id, fed_ms};
    return record;
}

static const struct given *find_given(const struct pf_pairs *pairs, const struct pf_identity *frame)
{
    size_t count = pairs->given < REMEMBERS ? pairs->given : REMEMBERS;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(pairs->gave[i].id.text, frame->text))
            return &pairs->gave[i];
    return NULL;
}

bool pf_pairs_gave(const struct pf_pairs *pairs, const struct pf_identity *frame)
{
    return find_given(pairs, frame) != NULL;
}

static int wait(struct pf_pairs *pairs, struct camera *camera, struct pf_record *record,
                int64_t now_ms)
{
    enum pf_shot_kind partner = pf_shot_kind(record) == PF_SHOT_RAW ? PF_SHOT_JPEG : PF_SHOT_RAW;
    int64_t wait_ms = pairs->settings.hold_ms;
    struct waiting *grown =
        pf_with_room(pairs->waiting, &pairs->capacity, pairs->count, 1, sizeof(struct waiting));
    if (!grown)
        return -ENOMEM;
    if (wait_ms < camera->patience_ms[partner])
        wait_ms = camera->patience_ms[partner];
    pairs->waiting = grown;
    pairs->waiting[pairs->count++] =
        (struct waiting){record, camera, now_ms, wait_ms + pairs->delay_ms};
    return 0;
}

static int64_t due_ms(const struct pf_pairs *pairs, const struct waiting *waiting)
{
    const struct camera *camera = waiting->camera;
    if (camera->begun && is_chosen(pairs, camera, waiting->record))
        return waiting->fed_ms; /* its kind has been chosen meanwhile */
    return waiting->fed_ms +
           (camera->begun && waiting->wait_ms < LONG_MS ? LONG_MS : waiting->wait_ms);
}

/* How long the partner would have had to wait for the record. */
static void learn(const struct pf_pairs *pairs, struct camera *camera,
                  const struct pf_record *record, const struct pf_identity *partner, int64_t now_ms)
{
    const struct given *given = find_given(pairs, partner);
    int64_t late_ms = given ? now_ms - given->fed_ms : 0;
    int64_t *patience_ms = &camera->patience_ms[pf_shot_kind(record)];
    camera->expected = true;
    camera->paired_ms = now_ms;
    if (late_ms > LONG_MS)
        return; /* one that was forgotten says nothing of the others */
    late_ms = 2 * late_ms < LONG_MS ? 2 * late_ms : LONG_MS;
    if (*patience_ms < late_ms)
        *patience_ms = late_ms;
}

int pf_pairs_feed(struct pf_pairs *pairs, struct pf_record *record,
                  const struct pf_identity *partner, int64_t now_ms, struct pf_pairs_answer *ret)
{
    bool may_have_one = pf_shot_kind(record) != PF_SHOT_OTHER && record->capture_ms >= 0;
    struct camera *camera = may_have_one ? camera_of(pairs, record) : NULL;
    *ret = (struct pf_pairs_answer){0};
    if (partner) {
        ret->companion = record;
        if (camera)
            learn(pairs, camera, record, partner, now_ms);
        return 0;
    }
    if (!camera) {
        ret->stack = give(pairs, record, now_ms);
        return may_have_one ? -ENOMEM : 0;
    }
    if (llabs(record->capture_ms - camera->ended_ms) > pairs->settings.pause_ms)
        camera->begun = false; /* it begins another burst */
    end_with(camera, record);
    for (size_t i = 0; i < pairs->count; i++) {
        if (!pf_shot_is_same(pairs->waiting[i].record, record))
            continue;
        bool stays = is_chosen(pairs, camera, record);
        struct pf_record *waited = take(pairs, i);
        camera->expected = true;
        camera->paired_ms = now_ms;
        ret->companion = stays ? waited : record;
        ret->stack = give(pairs, stays ? record : waited, now_ms);
        choose(camera, ret->stack);
        return 0;
    }
    int r = 0;
    if (camera->expected && !is_chosen(pairs, camera, record)) {
        r = wait(pairs, camera, record, now_ms);
        if (r == 0)
            return 0;
    }
    ret->stack = give(pairs, record, now_ms);
    choose(camera, record);
    return r;
}

void pf_pairs_restore(struct pf_pairs *pairs, const struct pf_record *record)
{
    bool may_have_one = pf_shot_kind(record) != PF_SHOT_OTHER && record->capture_ms >= 0;
    struct camera *camera = may_have_one ? camera_of(pairs, record) : NULL;
    if (!camera)
        return;
    end_with(camera, record);
    choose(camera, record);
}

struct pf_record *pf_pairs_overdue(struct pf_pairs *pairs, int64_t now_ms)
{
    for (size_t i = 0; i < pairs->count; i++) {
        struct camera *camera = pairs->waiting[i].camera;
        int64_t fed_ms = pairs->waiting[i].fed_ms;
        if (due_ms(pairs, &pairs->waiting[i]) > now_ms)
            continue;
        struct pf_record *record = take(pairs, i);
        bool in_vain = camera->paired_ms < fed_ms; /* no other has found its own since */
        camera->expected = camera->expected && !in_vain;
        if (in_vain || !camera->begun)
            choose(camera, record);
        return give(pairs, record, fed_ms);
    }
    return NULL;
}

struct pf_record *pf_pairs_release(struct pf_pairs *pairs, int64_t bracket)
{
    for (size_t i = 0; i < pairs->count; i++) {
        int64_t fed_ms = pairs->waiting[i].fed_ms;
        if (!bracket || pairs->waiting[i].record->bracket == bracket)
            return give(pairs, take(pairs, i), fed_ms);
    }
    return NULL;
}

int64_t pf_pairs_deadline(const struct pf_pairs *pairs)
{
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < pairs->count; i++)
        if (due_ms(pairs, &pairs->waiting[i]) < first_ms)
            first_ms = due_ms(pairs, &pairs->waiting[i]);
    return first_ms;
}
