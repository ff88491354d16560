/* Where results and what is kept of disks go, without memory: see without_memory.h. What has been promised before is
 * there afterwards, once and whole. */
#include <dirent.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "service/disks.h"
#include "service/outbox.h"
#include "tests/unit/without_memory.h"

static struct event_base *base;

/* ---- the outbox, with its thread ---- */

static struct {
    bool is_there;
    int r;
    char path[4400], text[800];
} answer;

static void on_answer(const struct pf_outbox_answer *said, void *context)
{
    (void)context;
    answer.is_there = true;
    answer.r = said->r;
    snprintf(answer.path, sizeof(answer.path), "%s", said->path ? said->path : "");
    snprintf(answer.text, sizeof(answer.text), "%s", said->text);
}

static int ask(struct pf_outbox *outbox, enum pf_outbox_request request, const json_t *identities)
{
    memset(&answer, 0, sizeof(answer));
    int r = pf_outbox_ask(outbox, request, 1, "b", 1, identities);
    if (r < 0) {
        CHECK_EQ(r, -ENOMEM);
        return r;
    }
    while (!answer.is_there)
        event_base_loop(base, EVLOOP_ONCE);
    if (answer.r < 0 && !(request == PF_OUTBOX_FIND && answer.r == -ENOENT) &&
        (answer.r != -ENOMEM || !answer.text[0]))
        FAIL("request %d: %d: \"%s\"", request, answer.r, answer.text);
    return answer.r;
}

/* By the worker, which has its own memory. */
static void fill(void)
{
    long left = allocations_hold();
    json_t *sidecar = json_pack("{s:s, s:i, s:i, s:i, s:[{s:s}]}", "burst", "b", "version", 1,
                                "fused", 1, "aside", 0, "frames", "identity", "f19");
    char path[4500];
    snprintf(path, sizeof(path), "%s/stack.json", answer.path);
    CHECK_EQ(json_dump_file(sidecar, path, 0), 0);
    json_decref(sidecar);
    allocations_go_on(left);
}

/* Those with this first character, in a directory. */
static int count_entries(const char *directory, bool hidden)
{
    int count = 0;
    struct dirent *entry;
    DIR *opened = opendir(directory);
    CHECK(opened);
    while ((entry = readdir(opened)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                 (entry->d_name[0] == '.') == hidden;
    closedir(opened);
    return count;
}

/* As publishing.c does it: what has failed is looked for before it is done once more. */
static int publish(struct pf_outbox *outbox, const json_t *identities)
{
    int r = ask(outbox, PF_OUTBOX_FIND, identities);
    if (r == -ENOENT)
        r = ask(outbox, PF_OUTBOX_PREPARE, NULL);
    else
        return r;
    if (r < 0)
        return r;
    fill();
    return ask(outbox, PF_OUTBOX_PUBLISH, NULL);
}

static int run_outbox(struct pf_error *err)
{
    struct pf_outbox *outbox = NULL;
    char directory[4300];
    snprintf(directory, sizeof(directory), "%s/outbox", test_directory());
    long left = allocations_hold();
    /* More than an array has room for at first: without one of them the same stack would be published once more. */
    json_t *identities = json_array();
    for (int n = 0; n < 20; n++)
        json_array_append_new(identities, json_sprintf("f%d", n));
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
    allocations_go_on(left);
    int r = pf_outbox_new(&outbox, base, directory, "tag", "former", NULL, on_answer, NULL, err);
    if (!r) {
        ask(outbox, PF_OUTBOX_CHECK, NULL);
        bool was_published = publish(outbox, identities) == 0;
        CHECK(!was_published || ask(outbox, PF_OUTBOX_FIND, identities) != -ENOENT);
        left = allocations_hold();
        if (was_published) {
            CHECK_EQ(ask(outbox, PF_OUTBOX_FIND, identities), 0);
            CHECK_EQ(count_entries(directory, false), 1);
        }
        CHECK_EQ(publish(outbox, identities), 0);
        CHECK_EQ(ask(outbox, PF_OUTBOX_DISCARD, NULL), 0);
        CHECK_EQ(count_entries(directory, false), 1);
        CHECK_EQ(count_entries(directory, true), 0);
        allocations_go_on(left);
    }
    pf_outbox_free(outbox);
    json_decref(identities);
    return r;
}

TEST(service_outbox)
{
    base = event_base_new();
    without_memory(run_outbox, true);
    event_base_free(base);
}

/* ---- disks ---- */

static void write_disks(const char *path)
{
    static const char before[] =
        "[{\"source\":\"folder:/in\",\"disks\":[\"/in/OLD\",\"/in/OLDER\"]},"
        " {\"source\":\"folder:/other\",\"disks\":[\"/other/OLD\"]}]";
    CHECK_EQ(pf_write_file_durable(path, before, strlen(before), NULL), 0);
}

/* A disk that was known is known, and so is one that is told of while there is memory: by this process and by the
 * next one. */
static int run_disks(struct pf_error *err)
{
    static const char in[] = "folder:/in";
    struct pf_disks *disks = NULL;
    char path[4300];
    snprintf(path, sizeof(path), "%s/disks", test_directory());
    long left = allocations_hold();
    write_disks(path);
    json_t *mounted = json_pack("[s, s]", "/in/NEW", "/in/NEWER");
    allocations_go_on(left);
    int r = pf_disks_new(&disks, path, err);
    if (!r)
        pf_disks_scanned(disks, in, mounted, NULL);
    for (int turn = 0; !r && turn < 2; turn++) {
        left = allocations_hold();
        if (turn)
            CHECK_EQ(pf_disks_new(&disks, path, err), 0);
        else
            pf_disks_scanned(disks, in, mounted, NULL);
        pf_disks_scanned(disks, in, NULL, NULL);
        CHECK(pf_disks_lack(disks, "/in/OLD/a.jpg", 0));
        CHECK(pf_disks_lack(disks, "/in/OLDER/a.jpg", 0));
        CHECK(pf_disks_lack(disks, "/other/OLD/a.jpg", 0));
        CHECK(pf_disks_lack(disks, "/in/NEW/a.jpg", 0));
        CHECK(pf_disks_lack(disks, "/in/NEWER/a.jpg", 0));
        disks = pf_disks_free(disks);
        allocations_go_on(left);
    }
    json_decref(mounted);
    return r;
}

TEST(service_disks)
{
    without_memory(run_disks, true);
}
