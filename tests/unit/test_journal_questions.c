/* The journal: what people ask of it, and how little of it is looked at for an answer. */
#include "service/journal_db.h"
#include "tests/unit/journal_steps.h"

TEST(journal_queries_use_indices)
{
    static const struct {
        const char *name, *text;
    } all[] = {
#define QUERY(name, text) {#name, text},
        PF_JOURNAL_QUERIES(QUERY)
#undef QUERY
    };
    struct pf_journal *journal = open_in(test_directory());
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", all[i].text);
        sqlite3_stmt *plan = NULL;
        CHECK_EQ(sqlite3_prepare_v2(journal->db, sql, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            /* In the order of an index with a limit, of all loose frames, or of what has been found: no search in
             * vain. */
            bool scan = strstr(step, "SCAN") && !strstr(step, "USING INDEX bursts_by_change") &&
                        !strstr(step, "USING INDEX frames_loose") &&
                        !strstr(step, "SCAN (subquery");
            if (scan || strstr(step, "AUTOMATIC"))
                FAIL("%s: %s", all[i].name, step);
        }
        sqlite3_finalize(plan);
        sqlite3_free(sql);
    }
    pf_journal_close(journal);
}

/* ---- a journal of many bursts, each of many frames ---- */

#define BURSTS  60
#define FRAMES  40
#define HOUR_MS INT64_C(3600000)
#define BEGIN   INT64_C(1767323045000)
#define LIMIT   5

/* Burst b, from 1 on, is begun in hour b. */
static int64_t begun_ms(int b)
{
    return BEGIN + b * HOUR_MS;
}

static const char *make_of(int b)
{
    return b % 2 ? "NIKON CORPORATION" : "Canon";
}

static enum pf_burst_state state_of(int b)
{
    return b % 5 ? PF_BURST_STATE_PUBLISHED : PF_BURST_STATE_COMPLETE;
}

/* Which frames were set aside: each, none, the last one of every 7th burst. */
enum aside { ALL, NONE, LITTLE, ASIDES };

static bool is_aside(enum aside aside, int b, int i)
{
    return aside == ALL || (aside == LITTLE && b % 7 == 0 && i == FRAMES - 1);
}

/* Recorded in the order of the days' end: the last frame that came was shot first. */
static struct pf_record *shot(int b, int i)
{
    struct pf_record *record = record_of(b * FRAMES + i);
    record->capture_ms = begun_ms(b) + (FRAMES - 1 - i) * INT64_C(500);
    record->has_offset = b % 3 == 0;
    record->make = copy(make_of(b));
    record->model = copy("Z\xff 8");
    return record;
}

static struct pf_journal *journal_of_many(void)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    json_t *grid = json_array();
    for (int i = 0; i < 256;
         i++) /* as long as in practice: a frame is a page of the file and more */
        json_array_append_new(grid, json_real(1.0 / (i + 3)));
    json_t *scores = json_pack("{s:{s:o}}", "focus", "grid", grid);
    CHECK(scores);
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int b = 1; b <= BURSTS; b++) {
        for (int i = 0; i < FRAMES; i++) {
            enum pf_journal_seen seen;
            struct pf_record *record = shot(b, i);
            CHECK_OK(pf_journal_record_frame(journal, record, &seen, &err), &err);
            if (i == 0)
                CHECK_OK(pf_journal_open_burst(journal, b, record, NULL, &err), &err);
            CHECK_OK(pf_journal_join(journal, b, &record->id, false, &err), &err);
            CHECK_OK(pf_journal_frame_result(journal, b, &record->id, true, NULL, scores, &err),
                     &err);
            pf_record_free(record);
        }
        CHECK_OK(pf_journal_complete(journal, b, "gap", NULL, &err), &err);
        if (state_of(b) == PF_BURST_STATE_PUBLISHED)
            CHECK_OK(pf_journal_published(journal, b, 1, "/out/b", &err), &err);
    }
    CHECK_OK(pf_journal_commit(journal, &err), &err);
    json_decref(scores);
    return journal;
}

static void set_aside(struct pf_journal *journal, enum aside aside)
{
    struct pf_error err = {0};
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int b = 1; b <= BURSTS; b++)
        for (int i = 0; i < FRAMES; i++) {
            struct pf_identity id = id_of(b * FRAMES + i);
            CHECK_OK(pf_journal_frame_result(journal, b, &id, !is_aside(aside, b, i), "not sharp",
                                             NULL, &err),
                     &err);
        }
    CHECK_OK(pf_journal_commit(journal, &err), &err);
}

/* What has been done since it was asked last: steps of SQLite's machine, and pages that it has asked for.
 * They are the same on every machine. */
struct work {
    int steps, pages;
};

static struct work work_since(struct pf_journal *journal)
{
    struct work work = {0};
    static const int kinds[] = {SQLITE_DBSTATUS_CACHE_HIT, SQLITE_DBSTATUS_CACHE_MISS};
    for (int i = 0; i < PF_QUERY_COUNT; i++)
        if (journal->statements[i])
            work.steps += sqlite3_stmt_status(journal->statements[i], SQLITE_STMTSTATUS_VM_STEP, 1);
    for (size_t i = 0; i < 2; i++) {
        int now = 0, most = 0;
        CHECK_EQ(sqlite3_db_status(journal->db, kinds[i], &now, &most, 1), SQLITE_OK);
        work.pages += now;
    }
    return work;
}

static void check_work(struct pf_journal *journal, const char *what, struct work most)
{
    struct work work = work_since(journal);
    if (getenv("SHOW_WORK"))
        printf("# %s: %d steps, %d pages\n", what, work.steps, work.pages);
    if (work.steps > most.steps || work.pages > most.pages)
        FAIL("%s: %d steps, %d pages", what, work.steps, work.pages);
}

/* ---- searches ---- */

static bool is_found(const struct pf_journal_search *search, enum aside aside, int b)
{
    bool has_aside = false;
    for (int i = 0; i < FRAMES; i++)
        has_aside |= is_aside(aside, b, i);
    /* The first frame of a burst is the one that joined first. */
    int64_t first_ms = begun_ms(b) + (FRAMES - 1) * INT64_C(500);
    return b < search->before && (search->state < 0 || search->state == (int)state_of(b)) &&
           first_ms >= search->from_ms && first_ms <= search->to_ms &&
           (!search->camera || strcasestr(make_of(b), search->camera)) &&
           (search->aside < 0 || search->aside == has_aside);
}

static void check_search(struct pf_journal *journal, const struct pf_journal_search *search,
                         enum aside aside)
{
    struct pf_error err = {0};
    struct pf_journal_bursts bursts = {0};
    char what[256], wanted[256] = "", text[256] = "";
    snprintf(what, sizeof(what),
             "before %lld, state %d, from %lld to %lld, camera %s, aside %d of %d",
             (long long)search->before, search->state, (long long)search->from_ms,
             (long long)search->to_ms, search->camera ? search->camera : "-", search->aside, aside);
    for (int b = BURSTS, count = 0; b >= 1 && count < LIMIT; b--)
        if (is_found(search, aside, b)) {
            snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "%d ", b);
            count++;
        }
    work_since(journal);
    CHECK_OK(pf_journal_search_bursts(journal, search, &bursts, &err), &err);
    /* A few steps for each burst, and for each frame of those that are found: never for all frames. */
    check_work(journal, what, (struct work){20 * BURSTS + LIMIT * 8 * FRAMES, 4 * BURSTS});
    for (size_t i = 0; i < bursts.count; i++) {
        CHECK_EQ(bursts.items[i].frames, FRAMES);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld ",
                 (long long)bursts.items[i].number);
    }
    if (strcmp(text, wanted))
        FAIL("%s: %s, not %s", what, text, wanted);
    pf_journal_bursts_free(&bursts);
}

TEST(journal_searches_find_what_is_asked_and_no_search_looks_at_all_frames)
{
    static const int64_t befores[] = {INT64_MAX, BURSTS / 2};
    static const int states[] = {-1, PF_BURST_STATE_PUBLISHED, PF_BURST_STATE_FAILED};
    static const int64_t times[][2] = {{INT64_MIN, INT64_MAX},
                                       {BEGIN, INT64_MAX},
                                       {INT64_MIN, BEGIN + 9 * HOUR_MS},
                                       {BEGIN + 20 * HOUR_MS, BEGIN + 44 * HOUR_MS}};
    static const char *const cameras[] = {NULL, "nikon", "NON", "sony"};
    struct pf_journal *journal = journal_of_many();
    for (enum aside aside = ALL; aside < ASIDES; aside++) {
        set_aside(journal, aside);
        for (int n = 0; n < 2 * 3 * 4 * 4 * 3; n++) {
            const struct pf_journal_search search = {
                .before = befores[n % 2],
                .state = states[n / 2 % 3],
                .from_ms = times[n / 6 % 4][0],
                .to_ms = times[n / 6 % 4][1],
                .camera = cameras[n / 24 % 4],
                .aside = n / 96 - 1,
                .limit = LIMIT,
            };
            check_search(journal, &search, aside);
        }
    }
    pf_journal_close(journal);
}

/* ---- one of many ---- */

TEST(journal_facts_of_a_burst_are_had_without_its_frames)
{
    struct pf_error err = {0};
    struct pf_journal *journal = journal_of_many();
    set_aside(journal, LITTLE);
    for (int b = 1; b <= BURSTS; b++) {
        struct pf_journal_facts facts = {0};
        const struct pf_identity middle = id_of(b * FRAMES + FRAMES / 2 - 1);
        work_since(journal);
        CHECK_OK(pf_journal_burst_facts(journal, b, &facts, &err), &err);
        /* Of its frames the first, the last and the one in the middle; of all others what an index has. */
        check_work(journal, "facts", (struct work){300 + 40 * FRAMES, 50});
        CHECK_EQ(facts.aside, b % 7 == 0);
        CHECK_EQ(facts.fused, FRAMES - (b % 7 == 0));
        CHECK_EQ(facts.first.capture_ms, begun_ms(b));
        CHECK_EQ(facts.last.capture_ms, begun_ms(b) + (FRAMES - 1) * 500);
        CHECK_EQ(facts.first.has_offset, b % 3 == 0);
        CHECK_EQ(facts.last.has_offset, b % 3 == 0);
        CHECK_STR(facts.middle, middle.text);
        char *camera = json_dumps(facts.camera, JSON_COMPACT | JSON_ENSURE_ASCII);
        char wanted[128];
        snprintf(wanted, sizeof(wanted),
                 "{\"make\":\"%s\",\"model\":\"Z\\uDBFF\\uDFFF 8\",\"serial\":\"12345\"}",
                 make_of(b));
        CHECK_STR(camera, wanted);
        free(camera);
        pf_journal_facts_free(&facts);
    }
    struct pf_journal_facts none = {0};
    CHECK_OK(pf_journal_burst_facts(journal, BURSTS + 1, &none, &err), &err);
    CHECK(!none.camera && !none.fused && !none.aside && !*none.middle);
    CHECK_EQ(none.first.capture_ms, -1);
    CHECK_EQ(none.last.capture_ms, -1);
    pf_journal_close(journal);
}

/* Recent ones, those in a state, one of them; recent frames. */
TEST(journal_lists_end_at_their_limits)
{
    static const int states[] = {-1, PF_FRAME_RECORDED, PF_FRAME_IN_BURST, PF_FRAME_FUSED,
                                 PF_FRAME_ASIDE};
    struct pf_error err = {0};
    struct pf_journal *journal = journal_of_many();
    struct pf_journal_bursts bursts = {0};
    struct pf_journal_frames frames = {0};
    set_aside(journal, LITTLE);
    work_since(journal);
    CHECK_OK(pf_journal_recent_bursts(journal, LIMIT, &bursts, &err), &err);
    CHECK_EQ(bursts.count, LIMIT);
    check_work(journal, "recent bursts", (struct work){LIMIT * (50 + 8 * FRAMES), 20 * LIMIT});
    pf_journal_bursts_free(&bursts);
    for (int state = PF_BURST_STATE_OPEN; state <= PF_BURST_STATE_NOT_A_STACK; state++) {
        CHECK_OK(pf_journal_bursts_in(journal, (enum pf_burst_state)state, &bursts, &err), &err);
        int count = (int)bursts.count;
        check_work(journal, "bursts in a state",
                   (struct work){50 + count * (50 + 8 * FRAMES), 20 + 20 * count});
        pf_journal_bursts_free(&bursts);
    }
    CHECK_OK(pf_journal_burst(journal, BURSTS / 2, &bursts, &err), &err);
    check_work(journal, "a burst", (struct work){50 + 8 * FRAMES, 20});
    pf_journal_bursts_free(&bursts);
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        int64_t next;
        CHECK_OK(
            pf_journal_recent_frames(journal, states[i], INT64_MAX, LIMIT, &frames, &next, &err),
            &err);
        check_work(journal, "recent frames", (struct work){100 * LIMIT, 20 * LIMIT});
        pf_journal_frames_free(&frames);
    }
    pf_journal_close(journal);
}
