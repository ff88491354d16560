#include "service/pairs.h"

#include "capture/shot.h"
#include "tests/unit/test.h"

static struct pf_record *record_of(const char *path, const char *format, int64_t capture_ms)
{
    static int made;
    struct pf_record *record = calloc(1, sizeof(*record));
    CHECK(record);
    record->path = strdup(path);
    record->format = strdup(format);
    record->model = strdup("Model X");
    record->serial = strdup("4711");
    record->capture_ms = capture_ms;
    record->has_subsec = true;
    snprintf(record->id.text, sizeof(record->id.text), "%016x-%032x", 1, ++made);
    return record;
}

static struct pf_pairs *new_pairs(bool raw)
{
    const struct pf_pairs_settings settings = {.raw = raw, .hold_ms = 1500, .pause_ms = 30000};
    struct pf_pairs *pairs = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_pairs_new(&pairs, &settings, &err), &err);
    return pairs;
}

/* What became of it: "stack", "companion", "wait", "pair": it is stacked and one that waited is its
 * companion, or "late": that one is stacked. It is freed, unless it waits. */
static const char *feed(struct pf_pairs *pairs, struct pf_record *record,
                        const struct pf_identity *partner, int64_t now_ms)
{
    struct pf_pairs_answer answer;
    CHECK_EQ(pf_pairs_feed(pairs, record, partner, now_ms, &answer), 0);
    const char *became = answer.stack == record && answer.companion ? "pair"
                         : answer.stack == record                   ? "stack"
                         : answer.stack                             ? "late"
                         : answer.companion                         ? "companion"
                                                                    : "wait";
    CHECK(!answer.stack || pf_pairs_gave(pairs, &answer.stack->id));
    CHECK(answer.stack == record || !pf_pairs_gave(pairs, &record->id));
    pf_record_free(answer.stack);
    pf_record_free(answer.companion);
    return became;
}

/* Shot n, so many ms after the first one. */
static struct pf_record *shot(int n, const char *format, int64_t capture_ms)
{
    char path[32];
    snprintf(path, sizeof(path), "/a/%d.%s", n, format);
    return record_of(path, format, 1000000 + capture_ms);
}

/* The next whose wait is over: it is shot n, and `*ret` its identity. */
static void check_overdue(struct pf_pairs *pairs, int n, int64_t now_ms, struct pf_identity *ret)
{
    struct pf_record *record = pf_pairs_overdue(pairs, now_ms);
    CHECK(record && pf_pairs_gave(pairs, &record->id));
    CHECK_EQ(atoi(record->path + 3), n);
    if (ret)
        *ret = record->id;
    pf_record_free(record);
}

TEST(pairs_match_by_name_time_and_body)
{
    static const struct {
        const char *path, *format;
        int64_t capture_ms;
        bool match;
    } cases[] = {
        {"/a/IMG_1.CR2", "cr2", 1000000000, true},      {"/a/IMG_1.DNG", "dng", 1000000000, true},
        {"/a/IMG_1.jpeg", "jpeg", 1000000000, false}, /* both are JPEG */
        {"/a/IMG_1.TIF", "tiff", 1000000000, false},    {"/a/IMG_2.CR2", "cr2", 1000000000, false},
        {"/a/IMG_1.JPG.CR2", "cr2", 1000000000, false}, {"/b/IMG_1.CR2", "cr2", 1000000000, false},
        {"/a/IMG_1.CR2", "cr2", 1000000010, false},     {"/a/IMG_1.CR2", "cr2", -1, false},
    };
    struct pf_record *jpeg = record_of("/a/IMG_1.JPG", "jpeg", 1000000000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pf_record *other = record_of(cases[i].path, cases[i].format, cases[i].capture_ms);
        if (pf_shot_is_same(jpeg, other) != cases[i].match ||
            pf_shot_is_same(other, jpeg) != cases[i].match)
            FAIL("%s of %lld", cases[i].path, (long long)cases[i].capture_ms);
        pf_record_free(other);
    }
    struct pf_record *raw = record_of("/a/IMG_1.CR2", "cr2", 1000000000 - 2 * 3600000);
    raw->has_offset = true; /* the JPEG has local time, two hours ahead */
    CHECK(pf_shot_is_same(jpeg, raw));
    raw->capture_ms += 70;
    CHECK(!pf_shot_is_same(jpeg, raw));
    raw->has_subsec = false;
    CHECK(pf_shot_is_same(jpeg, raw));
    free(raw->serial);
    raw->serial = NULL;
    CHECK(pf_shot_is_same(jpeg, raw));
    raw->serial = strdup("4712");
    CHECK(!pf_shot_is_same(jpeg, raw));
    pf_record_free(raw);
    pf_record_free(jpeg);
}

TEST(pairs_whichever_comes_first)
{
    static const struct pf_identity partner = {"1"};
    for (int raw = 0; raw < 2; raw++) {
        struct pf_pairs *pairs = new_pairs(raw);
        const char *preferred = raw ? "cr2" : "jpeg", *other = raw ? "jpeg" : "cr2";
        CHECK_STR(feed(pairs, shot(2, other, 6), NULL, 20), "wait");
        CHECK_STR(feed(pairs, shot(3, other, 7), NULL, 30), "wait");
        CHECK_EQ(pf_pairs_deadline(pairs), 1520);
        CHECK_STR(feed(pairs, shot(2, preferred, 6), NULL, 40), "pair");
        CHECK_STR(feed(pairs, shot(4, preferred, 8), NULL, 50), "stack");
        CHECK_STR(feed(pairs, shot(4, other, 8), &partner, 60), "companion");
        CHECK_STR(feed(pairs, shot(5, "tiff", 9), NULL, 70), "stack");
        struct pf_record *timeless = shot(6, other, 0);
        timeless->capture_ms = -1; /* it cannot be told to be of the same shot as another */
        CHECK_STR(feed(pairs, timeless, NULL, 80), "stack");
        pf_pairs_free(pairs); /* and what waits */
    }
}

/* One kind alone waits once; a late partner is a companion, and then pairs are expected again. */
TEST(pairs_alone_wait_only_once)
{
    struct pf_identity first;
    struct pf_pairs *pairs = new_pairs(false);
    CHECK_STR(feed(pairs, shot(1, "cr2", 5), NULL, 0), "wait");
    CHECK(!pf_pairs_overdue(pairs, 1499));
    check_overdue(pairs, 1, 1500, &first);
    CHECK(!pf_pairs_overdue(pairs, 1500));
    CHECK_EQ(pf_pairs_deadline(pairs), INT64_MAX);
    CHECK_STR(feed(pairs, shot(2, "cr2", 100000), NULL, 101600), "stack"); /* another burst */
    CHECK_STR(feed(pairs, shot(1, "jpeg", 5), &first, 101700), "companion");
    CHECK_STR(feed(pairs, shot(3, "cr2", 200000), NULL, 201800), "wait");
    struct pf_record *released = pf_pairs_release(pairs, 0);
    CHECK(released && pf_pairs_gave(pairs, &released->id)); /* somebody has said that it is over */
    pf_record_free(released);
    CHECK_STR(feed(pairs, shot(4, "cr2", 300000), NULL, 301900), "wait");
    pf_pairs_free(pairs);
}

/* The first JPEG of a burst comes too late for its RAW: the burst is one of RAWs. The next one waits as
 * long as it took, and is one of JPEGs. */
TEST(pairs_are_of_one_kind_within_a_burst)
{
    struct pf_identity first;
    struct pf_pairs *pairs = new_pairs(false);
    CHECK_STR(feed(pairs, shot(1, "cr2", 0), NULL, 0), "wait");
    CHECK_STR(feed(pairs, shot(2, "cr2", 3000), NULL, 1400), "wait");
    check_overdue(pairs, 1, 1500, &first);
    check_overdue(pairs, 2, 1500, NULL); /* no wait is left for it */
    CHECK_STR(feed(pairs, shot(1, "jpeg", 0), &first, 1700), "companion");
    CHECK_STR(feed(pairs, shot(3, "cr2", 6000), NULL, 3000), "stack");
    CHECK_STR(feed(pairs, shot(4, "jpeg", 9000), NULL, 4000), "wait"); /* it came first */
    CHECK_STR(feed(pairs, shot(4, "cr2", 9000), NULL, 9000), "pair");
    CHECK_STR(feed(pairs, shot(5, "cr2", 60000), NULL, 60000), "wait");
    CHECK_EQ(pf_pairs_deadline(pairs), 63400);
    CHECK_STR(feed(pairs, shot(5, "jpeg", 60000), NULL, 61700), "pair");
    CHECK_STR(feed(pairs, shot(6, "jpeg", 60100), NULL, 61800), "stack");
    pf_pairs_free(pairs);
}

/* A JPEG in the midst of its burst is late, or never comes: its RAW waits long, the others are not
 * disturbed. When the camera writes RAW alone from now on, that is found out with it. */
TEST(pairs_wait_long_where_their_burst_has_begun)
{
    struct pf_pairs *pairs = new_pairs(false);
    CHECK_STR(feed(pairs, shot(1, "cr2", 0), NULL, 0), "wait");
    CHECK_STR(feed(pairs, shot(2, "cr2", 100), NULL, 100), "wait");
    CHECK_STR(feed(pairs, shot(2, "jpeg", 100), NULL, 200), "pair");
    CHECK(!pf_pairs_overdue(pairs, 1500));
    CHECK_EQ(pf_pairs_deadline(pairs), 30000);
    CHECK_STR(feed(pairs, shot(3, "jpeg", 200), NULL, 2000), "stack");
    CHECK_STR(feed(pairs, shot(4, "cr2", 300), NULL, 2100), "wait");
    CHECK_STR(feed(pairs, shot(1, "jpeg", 0), NULL, 20000), "pair");
    CHECK_STR(feed(pairs, shot(5, "cr2", 400), NULL, 20100), "wait");
    CHECK_STR(feed(pairs, shot(6, "cr2", 500), NULL, 20200), "wait");
    check_overdue(pairs, 4, 32100, NULL);
    CHECK_STR(feed(pairs, shot(7, "jpeg", 600), NULL, 32200), "stack");
    check_overdue(pairs, 5, 50100, NULL);
    check_overdue(pairs, 6, 50100, NULL);
    CHECK_STR(feed(pairs, shot(8, "cr2", 700), NULL, 50200), "stack");
    pf_pairs_free(pairs);
}

/* Two bodies of one model, each with a process of its own: what one does says nothing of the other. */
TEST(pairs_of_bodies_that_the_spool_alone_tells_apart)
{
    static const char *const bodies[] = {"/spool/X-1", "/spool/X-2"};
    struct pf_pairs *pairs = new_pairs(false);
    for (int body = 0; body < 2; body++) {
        char path[32];
        snprintf(path, sizeof(path), "%s/1.cr2", bodies[body]);
        struct pf_record *raw = record_of(path, "cr2", 1000000);
        raw->source = strdup("camera");
        CHECK(raw->source);
        CHECK_STR(feed(pairs, raw, NULL, body * 2000), "wait");
        struct pf_record *waited = pf_pairs_overdue(pairs, body * 2000 + 1500);
        CHECK(waited == raw);
        pf_record_free(waited);
    }
    pf_pairs_free(pairs);
}

/* Somebody says that a bracket is over: what others have shot goes on waiting, and is not said to be in vain. */
TEST(pairs_of_a_bracket_that_is_over)
{
    struct pf_pairs *pairs = new_pairs(false);
    struct pf_record *driven = shot(2, "cr2", 100);
    driven->bracket = 7;
    CHECK_STR(feed(pairs, shot(1, "cr2", 0), NULL, 0), "wait");
    CHECK_STR(feed(pairs, driven, NULL, 100), "wait");
    CHECK(pf_pairs_release(pairs, 7) == driven && !pf_pairs_release(pairs, 7));
    pf_record_free(driven);
    CHECK_STR(feed(pairs, shot(1, "jpeg", 0), NULL, 200), "pair");
    CHECK_STR(feed(pairs, shot(3, "cr2", 200), NULL, 300), "wait");
    struct pf_record *waited = pf_pairs_release(pairs, 0);
    CHECK(waited && !pf_pairs_release(pairs, 0) && pf_pairs_deadline(pairs) == INT64_MAX);
    pf_record_free(waited);
    pf_pairs_free(pairs);
}

/* A restart, and other settings; what is told late is waited for. */
TEST(pairs_go_on_after_a_restart)
{
    const struct pf_pairs_settings other = {.raw = true, .hold_ms = 3000, .pause_ms = 30000};
    struct pf_pairs *pairs = new_pairs(false);
    struct pf_record *raw = shot(1, "cr2", 0), *tiff = shot(1, "tiff", 0);
    pf_pairs_restore(pairs, raw);
    pf_pairs_restore(pairs, tiff);
    CHECK_STR(feed(pairs, shot(2, "cr2", 3000), NULL, 0), "stack");
    CHECK_STR(feed(pairs, shot(3, "jpeg", 6000), NULL, 100), "wait");
    CHECK_STR(feed(pairs, shot(3, "cr2", 6000), NULL, 200), "pair");
    pf_pairs_set(pairs, &other);
    pf_pairs_expect_delay(pairs, 2000);
    CHECK_STR(feed(pairs, shot(4, "jpeg", 100000), NULL, 300), "wait");
    CHECK_EQ(pf_pairs_deadline(pairs), 5300);
    pf_pairs_free(pairs);
    pf_record_free(raw);
    pf_record_free(tiff);
}
