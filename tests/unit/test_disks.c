/* Disks within the folders of sources, as scans tell of them. */
#include "service/disks.h"

#include <sys/stat.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "tests/unit/test.h"

static char file[4200];

static struct pf_disks *begin(void)
{
    struct pf_disks *disks = NULL;
    struct pf_error err = {0};
    snprintf(file, sizeof(file), "%s/disks", test_directory());
    CHECK_OK(pf_disks_new(&disks, file, &err), &err);
    return disks;
}

/* What a scan has found; paths separated by spaces. */
static void scanned(struct pf_disks *disks, const char *source, const char *mounted,
                    const char *away)
{
    json_t *lists[2] = {json_array(), json_array()};
    for (int i = 0; i < 2; i++) {
        char *words = strdup(i ? away : mounted), *rest = words;
        for (char *word; (word = strtok_r(rest, " ", &rest));)
            json_array_append_new(lists[i], pf_json_bytes(word));
        free(words);
    }
    pf_disks_scanned(disks, source, lists[0], lists[1]);
    json_decref(lists[0]);
    json_decref(lists[1]);
}

TEST(a_disk_that_is_not_there_now_is_lacked)
{
    struct pf_disks *disks = begin();
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    scanned(disks, "folder:/in", "/in/CARD /in/b/STICK", "");
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    scanned(disks, "folder:/in", "/in/b/STICK", "/in/CARD");
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    CHECK(pf_disks_lack(disks, "/in/CARD/DCIM/a.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/in/CARDS/a.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/in/CARD", 0));
    CHECK(!pf_disks_lack(disks, "/in/b/STICK/a.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/other/CARD/a.jpg", 0));
    scanned(disks, "folder:/in", "/in/CARD /in/b/STICK", "");
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_free(disks);
}

/* A process of a source that has begun anew speaks of what it has seen alone. */
TEST(a_disk_is_not_forgotten_with_who_has_seen_it)
{
    struct pf_disks *disks = begin();
    scanned(disks, "folder:/in", "/in/CARD", "");
    scanned(disks, "folder:/\xff", "/\xff/CARD", "");
    scanned(disks, "folder:/in", "", "");
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/\xff/CARD/a.jpg", 0));
    pf_disks_free(disks);
    disks = begin(); /* the service */
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    CHECK(pf_disks_lack(disks, "/\xff/CARD/a.jpg", 0));
    scanned(disks, "folder:/in", "/in/CARD", "");
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_free(disks);
}

/* The same folder may be named in another way, and what lies in it be a source of its own. */
TEST(a_disk_is_a_disk_for_all_sources)
{
    struct pf_disks *disks = begin();
    scanned(disks, "folder:in", "/in/CARD", "");
    pf_disks_free(disks);
    disks = begin();
    scanned(disks, "folder:/in", "", "");
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    scanned(disks, "folder:/in", "/in/CARD", "");
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_used(disks, "/in/CARD/a.jpg");
    scanned(disks, "folder:/in", "", "/in/CARD");
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_used(disks, "/in/CARD/a.jpg");
    CHECK(!pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_free(disks);
}

TEST(a_file_is_written_for_what_is_new_alone)
{
    struct pf_disks *disks = begin();
    scanned(disks, "folder:/in", "", "");
    CHECK(access(file, F_OK) < 0);
    scanned(disks, "folder:/in", "/in/CARD", "");
    CHECK_EQ(unlink(file), 0);
    scanned(disks, "folder:/in", "", "/in/CARD");
    CHECK(access(file, F_OK) < 0);
    pf_disks_scanned(disks, "folder:/in", NULL, NULL); /* out of memory there */
    CHECK(pf_disks_lack(disks, "/in/CARD/a.jpg", 0));
    pf_disks_free(disks);
}

TEST(a_damaged_file_is_begun_anew)
{
    static const char *const texts[] = {
        "", "{", "[{\"source\":3,\"disks\":[\"/a\"]}]",
        "[{\"source\":\"folder:/in\",\"disks\":{\"a\":3}}]",
        "[7,{\"source\":\"folder:/in\",\"disks\":[3,\"/in/CARD\"]}]"};
    struct pf_error err = {0};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        snprintf(file, sizeof(file), "%s/disks", test_directory());
        CHECK_OK(pf_write_file_durable(file, texts[i], strlen(texts[i]), &err), &err);
        struct pf_disks *disks = begin();
        CHECK_EQ(pf_disks_lack(disks, "/in/CARD/a.jpg", 0), i == 4);
        scanned(disks, "folder:/in", "/in/NEW", "");
        pf_disks_free(disks);
        disks = begin();
        CHECK(pf_disks_lack(disks, "/in/NEW/a.jpg", 0));
        pf_disks_free(disks);
    }
}

/* A frame from there is no disk's. */
TEST(what_is_an_ordinary_folder_now_is_forgotten)
{
    struct pf_disks *disks = begin();
    scanned(disks, "folder:/in", "/in/CARD /in/NAS", "");
    pf_disks_used(disks, "/in/NAS/a.jpg");
    scanned(disks, "folder:/in", "", "");
    pf_disks_used(disks, "/in/CARDS/a.jpg");
    pf_disks_used(disks, "/other/CARD/a.jpg");
    CHECK(pf_disks_lack(disks, "/in/CARD/b.jpg", 0));
    CHECK(pf_disks_lack(disks, "/in/NAS/b.jpg", 0));
    pf_disks_used(disks, "/in/NAS/a.jpg");
    pf_disks_free(disks);
    disks = begin();
    CHECK(pf_disks_lack(disks, "/in/CARD/b.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/in/NAS/b.jpg", 0));
    /* What the source that speaks for it has for its own folder is that one's to say. */
    CHECK(!pf_disks_lack(disks, "/in/CARD/b.jpg", strlen("/in/CARD")));
    CHECK(pf_disks_lack(disks, "/in/CARD/b.jpg", strlen("/in")));
    pf_disks_free(disks);
}

TEST(of_too_many_the_oldest_that_are_away_are_forgotten)
{
    struct pf_disks *disks = begin();
    json_t *away = json_array(), *mounted = json_pack("[s]", "/in/NEW");
    for (int i = 0; i < 1024; i++)
        json_array_append_new(away, json_sprintf("/in/%d", i));
    pf_disks_scanned(disks, "folder:/in", NULL, away);
    pf_disks_scanned(disks, "folder:/in", mounted, NULL);
    pf_disks_scanned(disks, "folder:/in", NULL, mounted);
    CHECK(pf_disks_lack(disks, "/in/NEW/a.jpg", 0));
    CHECK(!pf_disks_lack(disks, "/in/0/a.jpg", 0));
    CHECK(pf_disks_lack(disks, "/in/1/a.jpg", 0));
    json_decref(away);
    json_decref(mounted);
    pf_disks_free(disks);
}
