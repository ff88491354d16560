/* The journal without memory: see without_memory.h. What comes back is 0 or -ENOMEM with its text; nothing
 * crashes, and nothing leaks, as the address sanitizer sees. */
#include <sqlite3.h>

#include "config/base/file.h"
#include "service/deliveries.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/without_memory.h"

static int visit(void *context, const struct pf_journal_file *file)
{
    (void)context;
    return file->path ? 0 : -EINVAL;
}

/* A frame that the journal says it has is there; what it could not take leaves no trace. */
static int run_journal(struct pf_error *err)
{
    static int turn;
    char state[4200];
    struct pf_journal *journal = NULL;
    struct pf_journal_frames frames = {0};
    struct pf_journal_bursts bursts = {0};
    enum pf_journal_seen seen;
    bool recorded = false;
    snprintf(state, sizeof(state), "%s/state%d", test_directory(), turn++);
    struct pf_record *first = made_record(1), *second = made_record(2);
    int r = pf_journal_open(&journal, state, NULL, err);
    if (!r)
        r = pf_journal_begin(journal, err);
    if (!r)
        r = pf_journal_record_frame(journal, first, &seen, err);
    if (!r)
        r = pf_journal_open_burst(journal, 1, first, NULL, err);
    if (!r)
        r = pf_journal_join(journal, 1, &first->id, false, err);
    if (journal && r < 0)
        pf_journal_rollback(journal);
    if (!r) {
        r = pf_journal_commit(journal, err);
        recorded = r == 0;
    }
    if (!r)
        r = pf_journal_record_frame(journal, second, &seen, err);
    if (!r)
        r = pf_journal_known(journal, first->source, visit, NULL, err);
    if (!r && !(r = pf_journal_loose_frames(journal, &frames, err)))
        pf_journal_frames_free(&frames);
    if (!r && !(r = pf_journal_namesakes(journal, first->source, first->path, &frames, err)))
        pf_journal_frames_free(&frames);
    if (!r && !(r = pf_journal_burst_frames(journal, 1, &frames, err)))
        pf_journal_frames_free(&frames);
    if (!r)
        r = pf_journal_complete(journal, 1, "gap", NULL, err);
    if (!r)
        r = pf_journal_frame_result(journal, 1, &first->id, true, NULL, NULL, err);
    if (!r)
        r = pf_journal_published(journal, 1, 1, "/out", err);
    if (!r && !(r = pf_journal_recent_bursts(journal, 9, &bursts, err)))
        pf_journal_bursts_free(&bursts);
    pf_journal_close(journal);
    long left = allocations_hold();
    if (recorded) {
        struct pf_error problem = {0};
        journal = open_in(state);
        CHECK_OK(pf_journal_frame(journal, &first->id, &frames, &problem), &problem);
        CHECK_EQ(frames.items[0].burst, 1);
        pf_journal_frames_free(&frames);
        pf_journal_close(journal);
    }
    pf_remove_tree(state, NULL);
    allocations_go_on(left);
    pf_record_free(first);
    pf_record_free(second);
    return r;
}

/* Syncs are not what is tested. */
static void without_syncs(int (*run)(struct pf_error *err))
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    test_directory_path[0] = '\0';
    without_memory(run, true);
    test_remove_directory(test_directory());
}

TEST(service_journal)
{
    without_syncs(run_journal);
}

/* A journal that is there, made once: it is opened, or there is no memory, and it is never taken for
 * a damaged one. With its check, or without where it has been closed in order. */
static bool checks;

static int run_journal_opening(struct pf_error *err)
{
    static bool made;
    char note[4300];
    struct pf_journal *journal = NULL;
    if (!made) {
        long left = allocations_hold();
        static char large[20000]; /* of pages that follow one another */
        memset(large, 'x', sizeof(large) - 1);
        json_t *scores = json_pack("{s:s}", "large", large);
        journal = open_in(test_directory());
        for (int n = 1; n <= 9; n++) {
            struct pf_identity id = id_of(n);
            join(journal, 1, n, false);
            CHECK_EQ(pf_journal_frame_result(journal, 1, &id, true, NULL, scores, err), 0);
        }
        json_decref(scores);
        journal = pf_journal_close(journal);
        made = true;
        allocations_go_on(left);
    }
    snprintf(note, sizeof(note), "%s/journal.sqlite.closed", test_directory());
    if (checks)
        unlink(note);
    int r = pf_journal_open(&journal, test_directory(), NULL, err);
    pf_journal_close(journal);
    return r;
}

TEST(service_journal_opening)
{
    checks = true;
    without_syncs(run_journal_opening);
}

TEST(service_journal_opening_without_its_check)
{
    checks = false;
    without_syncs(run_journal_opening);
}

/* An older one is brought up to date, or stays what it was. */
static int run_journal_migration(struct pf_error *err)
{
    static char *old;
    char path[4300];
    struct pf_journal *journal = NULL;
    sqlite3 *db = NULL;
    long left = allocations_hold();
    if (!old) {
        struct stat st;
        int fd = open("tests/unit/journal_v3.sql", O_RDONLY);
        CHECK(fd >= 0 && fstat(fd, &st) == 0);
        old = calloc(1, (size_t)st.st_size + 1);
        CHECK(old && read(fd, old, (size_t)st.st_size) == st.st_size);
        close(fd);
    }
    snprintf(path, sizeof(path), "%s/old", test_directory());
    pf_remove_tree(path, NULL);
    CHECK(mkdir(path, 0777) == 0);
    snprintf(path, sizeof(path), "%s/old/journal.sqlite", test_directory());
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    allocations_go_on(left);
    snprintf(path, sizeof(path), "%s/old", test_directory());
    int r = pf_journal_open(&journal, path, NULL, err);
    pf_journal_close(journal);
    left = allocations_hold();
    struct pf_journal_bursts bursts = {0};
    struct pf_error problem = {0};
    journal = open_in(path);
    CHECK_OK(pf_journal_burst(journal, 1, &bursts, &problem), &problem);
    CHECK(bursts.items[0].settings);
    pf_journal_bursts_free(&bursts);
    pf_journal_close(journal);
    allocations_go_on(left);
    return r;
}

TEST(service_journal_migration)
{
    without_syncs(run_journal_migration);
}

static int count_version(void *context, const struct pf_journal_version *version)
{
    ++*(int *)context;
    return version->directory ? 0 : -EINVAL;
}

/* What people ask: each answer is whole, or there was no memory for it. */
static int run_journal_questions(struct pf_error *err)
{
    static struct pf_journal *journal;
    static struct pf_record *raw;
    struct pf_journal_bursts bursts = {0};
    struct pf_journal_frames frames = {0};
    struct pf_journal_facts facts = {0};
    struct pf_journal_search search = {.before = INT64_MAX,
                                       .state = -1,
                                       .from_ms = INT64_MIN,
                                       .to_ms = INT64_MAX,
                                       .aside = -1,
                                       .limit = 9};
    struct pf_identity first = id_of(1);
    int64_t next;
    int versions = 0;
    if (!journal) {
        long left = allocations_hold();
        journal = open_in(test_directory());
        json_t *scores = json_of("{\"focus\": {\"tenengrad\": 1.5}}");
        raw = record_of(9);
        for (int n = 1; n <= 4; n++)
            join(journal, 1, n, false);
        record_as(journal, 9, NULL);
        CHECK_EQ(pf_journal_frame_result(journal, 1, &first, true, NULL, scores, err), 0);
        CHECK_EQ(pf_journal_complete(journal, 1, "gap", NULL, err), 0);
        CHECK_EQ(pf_journal_published(journal, 1, 1, "/out", err), 0);
        json_decref(scores);
        allocations_go_on(left);
    }
    int r = pf_journal_search_bursts(journal, &search, &bursts, err);
    if (!r)
        CHECK_EQ(bursts.count, 1);
    pf_journal_bursts_free(&bursts);
    if (!r && !(r = pf_journal_recent_frames(journal, -1, INT64_MAX, 9, &frames, &next, err)))
        CHECK_EQ(frames.count, 5);
    pf_journal_frames_free(&frames);
    if (!r && !(r = pf_journal_burst_facts(journal, 1, &facts, err)))
        CHECK(facts.camera && facts.first.capture_ms >= 0 && facts.last.capture_ms >= 0);
    pf_journal_facts_free(&facts);
    if (!r && !(r = pf_journal_versions(journal, 1, count_version, &versions, err)))
        CHECK_EQ(versions, 1);
    int attempts;
    if (!r)
        r = pf_journal_frame_attempt(journal, &raw->id, &attempts, err);
    return r;
}

TEST(service_journal_questions)
{
    without_syncs(run_journal_questions);
}

static int run_deliveries(struct pf_error *err)
{
    static struct pf_journal *journal;
    struct pf_delivery_list list = {0};
    long left = allocations_hold();
    if (!journal)
        journal = open_in(test_directory());
    allocations_go_on(left);
    json_t *event = json_of("{\"event\": \"burst.published\", \"burst\": \"b\"}");
    int r = pf_journal_deliver(journal, "on_burst", "http://h/", event, err);
    json_decref(event);
    if (!r)
        r = pf_journal_deliveries_due(journal, pf_wall_ms(), 3600000, NULL, 10, &list, err);
    if (!r) {
        CHECK(list.count > 0);
        CHECK_STR(list.items[0].target, "http://h/");
        r = pf_journal_delivery_result(journal, list.items[0].number, PF_DELIVERY_DONE, true,
                                       pf_wall_ms(), NULL, err);
    }
    pf_deliveries_free(&list);
    if (!r)
        r = pf_journal_deliveries_recent(journal, 5, &list, err);
    pf_deliveries_free(&list);
    return r;
}

TEST(service_deliveries)
{
    without_syncs(run_deliveries);
}
