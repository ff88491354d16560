/* Deliveries in the journal, and how a journal of an earlier version comes to have them. */
#include <sqlite3.h>

#include "service/deliveries.h"
#include "service/journal_db.h"
#include "tests/unit/journal_steps.h"

static json_t *event_of(const char *burst)
{
    json_t *event = json_pack("{s:s, s:s}", "event", "burst.published", "burst", burst);
    CHECK(event);
    return event;
}

static void deliver(struct pf_journal *journal, const char *target, const char *burst)
{
    struct pf_error err = {0};
    json_t *event = event_of(burst);
    CHECK_OK(pf_journal_deliver(journal, "on_burst", target, event, &err), &err);
    json_decref(event);
}

static struct pf_delivery_list due_at(struct pf_journal *journal, int64_t now_ms)
{
    struct pf_error err = {0};
    struct pf_delivery_list list = {0};
    CHECK_OK(pf_journal_deliveries_due(journal, now_ms, 3600000, NULL, 10, &list, &err), &err);
    return list;
}

TEST(deliveries_life)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    int64_t next = 0, count = 0;
    deliver(journal, "/bin/odd \xff name", "one");
    deliver(journal, "http://h/", "two");
    CHECK_OK(pf_journal_deliveries_next(journal, 0, &next, &err), &err);
    int64_t now_ms = pf_wall_ms();
    CHECK(next > 0 && next <= now_ms);

    /* They outlive the service. */
    pf_journal_close(journal);
    journal = open_in(test_directory());
    struct pf_delivery_list due = due_at(journal, now_ms);
    CHECK_EQ(due.count, 2);
    CHECK_STR(due.items[0].target, "/bin/odd \xff name");
    CHECK_STR(due.items[0].hook, "on_burst");
    CHECK_EQ(strlen(due.items[0].id), PF_DELIVERY_ID_CHARS);
    CHECK(strcmp(due.items[0].id, due.items[1].id) != 0);
    json_t *event = json_loads(due.items[0].event, 0, NULL);
    CHECK_STR(json_string_value(json_object_get(event, "id")), due.items[0].id);
    CHECK_STR(json_string_value(json_object_get(event, "burst")), "one");
    json_decref(event);
    int64_t one = due.items[0].number, two = due.items[1].number;
    char id[PF_DELIVERY_ID_CHARS + 1];
    memcpy(id, due.items[0].id, sizeof(id));
    pf_deliveries_free(&due);

    /* One fails and is put off, the other is done. */
    CHECK_OK(pf_journal_delivery_result(journal, one, PF_DELIVERY_DUE, true, now_ms + 5000,
                                        "status 1", &err),
             &err);
    CHECK_OK(pf_journal_delivery_result(journal, two, PF_DELIVERY_DONE, true, 0, NULL, &err), &err);
    due = due_at(journal, now_ms + 4999);
    CHECK_EQ(due.count, 0);
    CHECK_OK(pf_journal_deliveries_next(journal, now_ms, &next, &err), &err);
    CHECK_EQ(next, now_ms + 5000);
    due = due_at(journal, now_ms + 5000);
    CHECK_EQ(due.count, 1);
    CHECK_EQ(due.items[0].tries, 1);
    CHECK_EQ(due.items[0].failures, 1);
    CHECK_STR(due.items[0].error, "status 1");
    pf_deliveries_free(&due);
    /* The clock has been set back by a day: nothing waits for so long. */
    due = due_at(journal, now_ms - 86400000);
    CHECK_EQ(due.count, 1);
    pf_deliveries_free(&due);

    /* Given up, and taken up again by hand: failures are counted anew, tries go on. */
    CHECK_OK(
        pf_journal_delivery_result(journal, one, PF_DELIVERY_GIVEN_UP, true, 0, "status 2", &err),
        &err);
    due = due_at(journal, now_ms + 10000);
    CHECK_EQ(due.count, 0);
    CHECK_OK(pf_journal_deliveries_count(journal, PF_DELIVERY_GIVEN_UP, &count, &err), &err);
    CHECK_EQ(count, 1);
    CHECK_OK(pf_journal_delivery_retry(journal, id, &err), &err);
    due = due_at(journal, pf_wall_ms());
    CHECK_EQ(due.count, 1);
    CHECK_EQ(due.items[0].tries, 2);
    CHECK_EQ(due.items[0].failures, 0);
    pf_deliveries_free(&due);
    CHECK_OK(pf_journal_delivery_result(journal, one, PF_DELIVERY_DONE, true, 0, NULL, &err), &err);
    CHECK_EQ(pf_journal_delivery_retry(journal, id, NULL), -EINVAL);
    CHECK_EQ(pf_journal_delivery_retry(journal, "no such", NULL), -ENOENT);
    CHECK_EQ(pf_journal_delivery_result(journal, 99, PF_DELIVERY_DONE, true, 0, NULL, NULL),
             -ENOENT);
    CHECK_OK(pf_journal_deliveries_next(journal, 0, &next, &err), &err);
    CHECK(next == INT64_MAX);

    struct pf_delivery_list recent = {0};
    CHECK_OK(pf_journal_deliveries_recent(journal, 10, &recent, &err), &err);
    CHECK_EQ(recent.count, 2);
    CHECK_EQ(recent.items[0].number, two);
    CHECK_EQ(recent.items[1].state, PF_DELIVERY_DONE);
    CHECK(!recent.items[1].error);
    pf_deliveries_free(&recent);
    CHECK_EQ(pf_journal_delivery(journal, "99", &recent, NULL), -ENOENT);
    pf_journal_close(journal);
}

/* What is done goes after a while; what is due stays, however old. */
TEST(deliveries_are_trimmed)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int i = 0; i < PF_DELIVERIES_KEPT + 50; i++) {
        deliver(journal, "x", "b");
        if (i > 0)
            CHECK_OK(
                pf_journal_delivery_result(journal, i + 1, PF_DELIVERY_DONE, true, 0, NULL, &err),
                &err);
    }
    CHECK_OK(pf_journal_commit(journal, &err), &err);
    int64_t done = 0, due = 0;
    CHECK_OK(pf_journal_deliveries_count(journal, PF_DELIVERY_DONE, &done, &err), &err);
    CHECK_OK(pf_journal_deliveries_count(journal, PF_DELIVERY_DUE, &due, &err), &err);
    CHECK_EQ(due, 1);
    CHECK_EQ(done, PF_DELIVERIES_KEPT);
    pf_journal_close(journal);
}

static void check_due(struct pf_journal *journal, const char *hook, size_t each,
                      const char *expected)
{
    struct pf_error err = {0};
    struct pf_delivery_list due = {0};
    char said[200] = "";
    CHECK_OK(pf_journal_deliveries_due(journal, pf_wall_ms(), 3600000, hook, each, &due, &err),
             &err);
    for (size_t i = 0; i < due.count; i++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%lld ", due.items[i].target,
                 (long long)due.items[i].number);
    CHECK_STR(said, expected);
    pf_deliveries_free(&due);
}

/* However many are due to one target, those of the others are found, and so is what is told at the stop. */
TEST(deliveries_of_each_target_are_found)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int i = 0; i < PF_DELIVERIES_KEPT + 10; i++)
        deliver(journal, "a", "b");
    deliver(journal, "b", "b");
    json_t *event = event_of("none");
    CHECK_OK(pf_journal_deliver(journal, "on_stop", "a", event, &err), &err);
    json_decref(event);
    CHECK_OK(pf_journal_commit(journal, &err), &err);
    check_due(journal, NULL, 3, "a1 a2 a3 b1011 ");
    check_due(journal, "on_stop", 3, "a1012 ");
    pf_journal_close(journal);
}

/* ---- migration ---- */

static void restore_fixture(const char *name)
{
    char path[4200], *sql = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "tests/unit/%s", name);
    FILE *file = fopen(path, "r");
    if (!file)
        FAIL("%s: %s", path, strerror(errno));
    CHECK(getdelim(&sql, &size, '\0', file) > 0);
    fclose(file);
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/journal.sqlite", test_directory());
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        FAIL("%s: %s", name, why);
    sqlite3_close(db);
    free(sql);
}

static char *schema_of(const char *directory)
{
    char path[4200], *text = copy("");
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    snprintf(path, sizeof(path), "%s/journal.sqlite", directory);
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_prepare_v2(db,
                                "SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL"
                                " UNION ALL SELECT 'version', user_version FROM pragma_user_version"
                                " ORDER BY name",
                                -1, &rows, NULL),
             SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        char *longer = NULL;
        CHECK(asprintf(&longer, "%s%s: %s\n", text, sqlite3_column_text(rows, 0),
                       sqlite3_column_text(rows, 1)) > 0);
        free(text);
        text = longer;
    }
    sqlite3_finalize(rows);
    sqlite3_close(db);
    return text;
}

/* A journal that version 1 has written: all that it holds is there afterwards, and its tables are
 * those of a new one. */
TEST(journal_of_version_1_is_brought_up_to_date)
{
    struct pf_error err = {0};
    restore_fixture("journal_v1.sql");
    struct pf_journal *journal = open_in(test_directory());
    struct pf_journal_bursts bursts = {0};
    CHECK_OK(pf_journal_bursts_in(journal, PF_BURST_STATE_PUBLISHED, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 1);
    CHECK_STR(bursts.items[0].directory, "/out/first");
    CHECK_EQ(bursts.items[0].frames, 3);
    pf_journal_bursts_free(&bursts);
    CHECK_OK(pf_journal_bursts_in(journal, PF_BURST_STATE_FAILED, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 1);
    CHECK_STR(bursts.items[0].detail, "nothing could be fused");
    pf_journal_bursts_free(&bursts);
    struct pf_journal_frames loose = {0};
    CHECK_OK(pf_journal_loose_frames(journal, &loose, &err), &err);
    CHECK_EQ(loose.count, 1);
    pf_journal_frames_free(&loose);
    deliver(journal, "x", "b");
    pf_journal_close(journal);
    char *brought = schema_of(test_directory());

    char fresh[4200];
    snprintf(fresh, sizeof(fresh), "%s/fresh", test_directory());
    pf_journal_close(open_in(fresh));
    char *made = schema_of(fresh);
    CHECK_STR(brought, made);
    CHECK(strstr(made, "version: "));
    free(made);
    free(brought);

    /* Once is enough. */
    journal = open_in(test_directory());
    int64_t due = 0;
    CHECK_OK(pf_journal_deliveries_count(journal, PF_DELIVERY_DUE, &due, &err), &err);
    CHECK_EQ(due, 1);
    pf_journal_close(journal);
}

/* Those of every version since, too; what they hold is found by what has come with each. */
TEST(journal_of_every_version_is_brought_up_to_date)
{
    char fresh[4200], name[64];
    snprintf(fresh, sizeof(fresh), "%s/fresh", test_directory());
    pf_journal_close(open_in(fresh));
    char *made = schema_of(fresh);
    for (int version = 1; version < pf_journal_newest(); version++) {
        struct pf_error err = {0};
        struct pf_journal_facts facts = {0};
        snprintf(name, sizeof(name), "journal_v%d.sql", version);
        restore_fixture(name);
        struct pf_journal *journal = open_in(test_directory());
        CHECK_OK(pf_journal_burst_facts(journal, 1, &facts, &err), &err);
        CHECK(facts.fused + facts.aside && facts.camera && facts.first.capture_ms > 0);
        pf_journal_facts_free(&facts);
        struct pf_journal_bursts bursts = {0};
        struct pf_journal_search search = {.before = INT64_MAX,
                                           .state = -1,
                                           .from_ms = INT64_C(1767323045000),
                                           .to_ms = INT64_MAX,
                                           .camera = "234",
                                           .aside = 1,
                                           .limit = 9};
        CHECK_OK(pf_journal_search_bursts(journal, &search, &bursts, &err), &err);
        CHECK_EQ(bursts.count, 1);
        pf_journal_bursts_free(&bursts);
        pf_journal_close(journal);
        char *brought = schema_of(test_directory());
        CHECK_STR(brought, made);
        free(brought);
        snprintf(fresh, sizeof(fresh), "%s/journal.sqlite", test_directory());
        CHECK_EQ(unlink(fresh), 0);
    }
    free(made);
}

/* A step that fails leaves the journal as it was, and says so. */
TEST(journal_migration_is_all_or_nothing)
{
    char path[4200];
    sqlite3 *db = NULL;
    restore_fixture("journal_v1.sql");
    snprintf(path, sizeof(path), "%s/journal.sqlite", test_directory());
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "CREATE TABLE deliveries (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    CHECK(pf_journal_open(&journal, test_directory(), NULL, &err) < 0);
    CHECK(strstr(err.text, "bringing its tables up to date"));
    char *schema = schema_of(test_directory());
    CHECK(strstr(schema, "version: 1\n"));
    free(schema);
}
