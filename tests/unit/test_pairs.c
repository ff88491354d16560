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
    struct pf_pairs *pairs = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_pairs_new(&pairs, raw, 1500, &err), &err);
    return pairs;
}

/* What became of it: "stack", "companion", "wait", or "pair": it is stacked and one that waited is
 * its companion. */
static const char *feed(struct pf_pairs *pairs, struct pf_record *record, bool stacked,
                        int64_t now_ms)
{
    struct pf_pairs_answer answer;
    CHECK_EQ(pf_pairs_feed(pairs, record, stacked, now_ms, &answer), 0);
    const char *became = answer.stack && answer.companion ? "pair"
                         : answer.stack                   ? "stack"
                         : answer.companion               ? "companion"
                                                          : "wait";
    if (answer.stack) {
        CHECK(answer.stack == record);
        CHECK(pf_pairs_gave(pairs, &record->id));
    } else {
        CHECK(!pf_pairs_gave(pairs, &record->id));
    }
    pf_record_free(answer.stack);
    pf_record_free(answer.companion);
    return became;
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
    for (int raw = 0; raw < 2; raw++) {
        struct pf_pairs *pairs = new_pairs(raw);
        const char *preferred = raw ? "cr2" : "jpeg", *other = raw ? "jpeg" : "cr2";
        CHECK_STR(feed(pairs, record_of("/a/1.X", preferred, 5), false, 0), "stack");
        CHECK_STR(feed(pairs, record_of("/a/1.Y", other, 5), true, 10), "companion");
        CHECK_STR(feed(pairs, record_of("/a/2.Y", other, 6), false, 20), "wait");
        CHECK_STR(feed(pairs, record_of("/a/3.Y", other, 7), false, 30), "wait");
        CHECK_EQ(pf_pairs_deadline(pairs), 1520);
        CHECK_STR(feed(pairs, record_of("/a/2.X", preferred, 6), false, 40), "pair");
        CHECK_EQ(pf_pairs_deadline(pairs), 1530);
        CHECK_STR(feed(pairs, record_of("/a/4.tif", "tiff", 8), false, 40), "stack");
        CHECK(!pf_pairs_overdue(pairs, 1529));
        pf_pairs_free(pairs); /* and what waits */
    }
}

/* One kind alone waits once; a late partner is a companion, and then pairs are expected again. */
TEST(pairs_alone_wait_only_once)
{
    struct pf_pairs *pairs = new_pairs(false);
    CHECK_STR(feed(pairs, record_of("/a/1.CR2", "cr2", 5), false, 0), "wait");
    struct pf_record *record = pf_pairs_overdue(pairs, 1500);
    CHECK(record && pf_pairs_gave(pairs, &record->id));
    pf_record_free(record);
    CHECK(!pf_pairs_overdue(pairs, 1500));
    CHECK_EQ(pf_pairs_deadline(pairs), INT64_MAX);
    CHECK_STR(feed(pairs, record_of("/a/2.CR2", "cr2", 6), false, 1600), "stack");
    CHECK_STR(feed(pairs, record_of("/a/2.JPG", "jpeg", 6), true, 1700), "companion");
    CHECK_STR(feed(pairs, record_of("/a/3.CR2", "cr2", 7), false, 1800), "wait");
    record = pf_pairs_overdue(pairs, INT64_MAX); /* somebody has said that the burst is over */
    CHECK(record);
    pf_record_free(record);
    CHECK_STR(feed(pairs, record_of("/a/4.CR2", "cr2", 8), false, 1900), "wait");
    pf_pairs_free(pairs);
}
