#include "service/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "tests/unit/test.h"

/* How many of the next calls fail: those that make a directory durable, and that give a name back. */
static int fsync_fails, rename_fails;
/* What is said of the next name that is taken, though it is: an errno. And under which name it is seen for now. */
static int lost_code;
static const char *lost_to;
int __real_fsync(int fd), __real_rename(const char *from, const char *to);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
/* What lies below this path is not seen, nor is that itself, by so many calls; an errno. */
static const char *unseen;
static int unseen_code, unseen_calls;
int __real_open64(const char *path, int flags, ...),
    __wrap_open64(const char *path, int flags, ...);
int __real_lstat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

static bool is_unseen(const char *path)
{
    if (!unseen || unseen_calls <= 0 || !pf_path_beneath(path, unseen))
        return false;
    unseen_calls--;
    return errno = unseen_code, true;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return is_unseen(path) ? -1 : __real_open64(path, flags, mode);
}

int __wrap_lstat64(const char *path, struct stat *st)
{
    return is_unseen(path) ? -1 : __real_lstat64(path, st);
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    int code = lost_code;
    int r = __real_renameat2(from_fd, from, to_fd, code && lost_to ? lost_to : to, flags);
    lost_code = 0;
    if (r < 0 || !code)
        return r;
    return errno = code, -1;
}

int __wrap_fsync(int fd)
{
    struct stat st;
    if (fsync_fails > 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && --fsync_fails == 0)
        return errno = EIO, -1;
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    if (rename_fails > 0 && rename_fails--)
        return errno = EIO, -1;
    return __real_rename(from, to);
}

struct answers {
    struct event_base *base;
    size_t wanted, count;
    struct {
        enum pf_outbox_request request;
        int r;
        size_t fused, aside;
        char path[512], text[512];
    } items[8];
};

static void on_answer(const struct pf_outbox_answer *answer, void *context)
{
    struct answers *answers = context;
    size_t i = answers->count++;
    answers->items[i].request = answer->request;
    answers->items[i].r = answer->r;
    answers->items[i].fused = answer->fused;
    answers->items[i].aside = answer->aside;
    snprintf(answers->items[i].path, sizeof(answers->items[i].path), "%s",
             answer->path ? answer->path : "");
    snprintf(answers->items[i].text, sizeof(answers->items[i].text), "%s", answer->text);
    if (answers->count == answers->wanted)
        event_base_loopbreak(answers->base);
}

/* Asks one thing and waits for its answer. */
static int ask(struct pf_outbox *outbox, struct answers *answers, enum pf_outbox_request request,
               const char *name, int version, const json_t *identities)
{
    answers->count = 0;
    answers->wanted = 1;
    CHECK_EQ(pf_outbox_ask(outbox, request, 1, name, version, identities), 0);
    event_base_dispatch(answers->base);
    CHECK_EQ(answers->count, 1);
    CHECK_EQ(answers->items[0].request, request);
    return answers->items[0].r;
}

static void write_sidecar(const char *directory, const char *burst, int version,
                          const char *identity)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/stack.json", directory);
    json_t *sidecar = json_pack("{s:s, s:i, s:i, s:i, s:[{s:s}]}", "burst", burst, "version",
                                version, "fused", 5, "aside", 2, "frames", "identity", identity);
    CHECK_EQ(json_dump_file(sidecar, path, 0), 0);
    json_decref(sidecar);
}

TEST(outbox_publishes_and_finds)
{
    char directory[] = "/tmp/outbox-test-XXXXXX", path[640];
    struct pf_outbox *outbox = NULL;
    struct answers answers = {.base = event_base_new()};
    struct stat st;
    CHECK(mkdtemp(directory));
    /* What an earlier run left is removed, what another service left is not. */
    snprintf(path, sizeof(path), "%s/.old.tag.partial", directory);
    CHECK_EQ(mkdir(path, 0777), 0);
    snprintf(path, sizeof(path), "%s/.old.other.partial", directory);
    CHECK_EQ(mkdir(path, 0777), 0);

    CHECK_EQ(pf_outbox_new(&outbox, answers.base, directory, "tag", "former", NULL, on_answer,
                           &answers, NULL),
             0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_CHECK, "", 0, NULL), 0);
    CHECK(stat(path, &st) == 0);
    snprintf(path, sizeof(path), "%s/.old.tag.partial", directory);
    CHECK(stat(path, &st) < 0);

    json_t *frames = json_pack("[s, s]", "f1", "f2"), *others = json_pack("[s]", "f3");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "b", 1, frames), -ENOENT);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "b", 1, NULL), 0);
    write_sidecar(answers.items[0].path, "b", 1, "f1");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "b", 1, frames), -ENOENT); /* not yet */
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, "b", 1, NULL), 0);
    snprintf(path, sizeof(path), "%s/b", directory);
    CHECK_STR(answers.items[0].path, path);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "b", 1, frames), 0);
    CHECK_STR(answers.items[0].path, path);
    CHECK_EQ(answers.items[0].fused, 5);
    CHECK_EQ(answers.items[0].aside, 2);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "b", 1, others), -ENOENT);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "b", 2, frames), -ENOENT);

    /* What came of nothing is taken away. */
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE_AHEAD, "c", 0, NULL), 0);
    snprintf(path, sizeof(path), "%s/.c.tag.partial", directory);
    CHECK_STR(answers.items[0].path, path);
    write_sidecar(path, "c", 1, "f1");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_DISCARD, "c", 0, NULL), 0);
    CHECK(stat(path, &st) < 0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_DISCARD, "c", 0, NULL), 0); /* nothing is there */

    /* A broken attempt leaves nothing in the next one; a second version has its own name. */
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "b", 2, NULL), 0);
    write_sidecar(answers.items[0].path, "b", 2, "f1");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "b", 2, NULL), 0);
    snprintf(path, sizeof(path), "%s/stack.json", answers.items[0].path);
    CHECK(stat(path, &st) < 0);
    write_sidecar(answers.items[0].path, "b", 2, "f2");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, "b", 2, NULL), 0);
    snprintf(path, sizeof(path), "%s/b-v2", directory);
    CHECK_STR(answers.items[0].path, path);

    /* Without its last file it is no result. */
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "b", 3, NULL), 0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, "b", 3, NULL), -ENOENT);
    CHECK(strstr(answers.items[0].text, "stack.json"));

    /* A stranger has the name. */
    snprintf(path, sizeof(path), "%s/c", directory);
    CHECK_EQ(mkdir(path, 0777), 0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "c", 1, NULL), 0);
    write_sidecar(answers.items[0].path, "c", 1, "f3");
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, "c", 1, NULL), 0);
    snprintf(path, sizeof(path), "%s/c+1", directory);
    CHECK_STR(answers.items[0].path, path);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "c", 1, others), 0);
    CHECK_STR(answers.items[0].path, path);

    /* What is half written when the service stops does not lie about until the next one. */
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE_AHEAD, "d", 0, NULL), 0);
    snprintf(path, sizeof(path), "%s/.d.tag.partial", directory);
    write_sidecar(path, "d", 1, "f1");

    json_decref(frames);
    json_decref(others);
    CHECK(!pf_outbox_free(outbox));
    CHECK(stat(path, &st) < 0);
    event_base_free(answers.base);
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
}

/* A directory with a file in it, and how long ago something was made in it. */
static void leave(const char *directory, const char *name, const char *file, int64_t days_ago)
{
    char path[640], inner[700];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(inner, sizeof(inner), "%s/%s", path, file);
    CHECK_EQ(mkdir(path, 0777), 0);
    CHECK_EQ(mkdir(inner, 0777), 0);
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
    times[1].tv_sec -= days_ago * 86400;
    CHECK_EQ(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(const char *directory, const char *name)
{
    char path[640];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return stat(path, &st) == 0;
}

TEST(outbox_knows_its_former_tag)
{
    char tag[PF_OUTBOX_FORMER_CHARS + 1];
    pf_outbox_former_tag("host", "/var/lib/parfocal/state", tag);
    CHECK_STR(tag, "6ac64a30"); /* by the XXH3-128 of host:/var/lib/parfocal/state */
}

/* With the tag of versions before: what is old and incomplete is removed, and nothing else. */
TEST(outbox_removes_what_earlier_versions_left)
{
    char directory[] = "/tmp/outbox-test-XXXXXX";
    struct pf_outbox *outbox = NULL;
    struct answers answers = {.base = event_base_new()};
    CHECK(mkdtemp(directory));
    leave(directory, ".a.former.partial", "stack.tif", 2);
    leave(directory, ".b.former.partial", "stack.tif", 0);
    leave(directory, ".c.former.partial", "stack.json", 2);
    leave(directory, ".d.another.partial", "stack.tif", 2);
    leave(directory, "e.former.partial", "stack.tif", 2);
    leave(directory, ".former.partial", "stack.tif", 2);
    leave(directory, ".f.tag.partial", "stack.json", 0);
    CHECK_EQ(pf_outbox_new(&outbox, answers.base, directory, "tag", "former", NULL, on_answer,
                           &answers, NULL),
             0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_CHECK, "", 0, NULL), 0);
    CHECK(!is_there(directory, ".a.former.partial"));
    CHECK(is_there(directory, ".b.former.partial"));
    CHECK(is_there(directory, ".c.former.partial"));
    CHECK(is_there(directory, ".d.another.partial"));
    CHECK(is_there(directory, "e.former.partial"));
    CHECK(is_there(directory, ".former.partial"));
    CHECK(!is_there(directory, ".f.tag.partial"));
    pf_outbox_free(outbox);
    event_base_free(answers.base);
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
}

/* A name that was taken, but not durably, is not a stranger's for the next attempt: also where it could
 * not be given back. */
TEST(outbox_publishes_once_whatever_fails)
{
    static const char *const names[] = {"b", "c"};
    for (int fails = 0; fails < 2; fails++) {
        char directory[] = "/tmp/outbox-test-XXXXXX", path[640];
        struct pf_outbox *outbox = NULL;
        struct answers answers = {.base = event_base_new()};
        struct stat st;
        CHECK(mkdtemp(directory));
        CHECK_EQ(pf_outbox_new(&outbox, answers.base, directory, "tag", "former", NULL, on_answer,
                               &answers, NULL),
                 0);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, names[i], 1, NULL), 0);
            write_sidecar(answers.items[0].path, names[i], 1, "f1");
            fsync_fails = 2; /* the first is of what is in it, the second of where it lies */
            rename_fails = fails;
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, names[i], 1, NULL), -EIO);
            CHECK_EQ(fsync_fails, 0);
            CHECK_EQ(rename_fails, 0);
            snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
            CHECK_EQ(stat(path, &st) == 0, fails == 1);
        }
        json_t *frames = json_pack("[s]", "f2");
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, names[i], 1, NULL), 0);
            write_sidecar(answers.items[0].path, names[i], 1, "f2");
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, names[i], 1, NULL), 0);
            snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
            CHECK_STR(answers.items[0].path, path);
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, names[i], 1, frames), 0);
            CHECK_STR(answers.items[0].path, path);

            /* From now on it is a published one, and keeps its name. */
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, names[i], 1, NULL), 0);
            write_sidecar(answers.items[0].path, names[i], 1, "f3");
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, names[i], 1, NULL), 0);
            snprintf(path, sizeof(path), "%s/%s+1", directory, names[i]);
            CHECK_STR(answers.items[0].path, path);
        }
        json_decref(frames);
        pf_outbox_free(outbox);
        event_base_free(answers.base);
        CHECK_EQ(pf_remove_tree(directory, NULL), 0);
    }
}

static int publish_one(struct pf_outbox *outbox, struct answers *answers, const char *name,
                       const char *identity)
{
    CHECK_EQ(ask(outbox, answers, PF_OUTBOX_PREPARE, name, 1, NULL), 0);
    write_sidecar(answers->items[0].path, name, 1, identity);
    return ask(outbox, answers, PF_OUTBOX_PUBLISH, name, 1, NULL);
}

/* A share that does as it is asked, whatever it says. */
TEST(outbox_publishes_once_where_an_answer_is_lost)
{
    static const int codes[] = {ENOENT, EIO, ETIMEDOUT};
    char directory[] = "/tmp/outbox-test-XXXXXX", path[640], again[640], hidden[640], inner[700];
    struct pf_outbox *outbox = NULL;
    struct answers answers = {.base = event_base_new()};
    struct stat st;
    CHECK(mkdtemp(directory));
    CHECK_EQ(pf_outbox_new(&outbox, answers.base, directory, "tag", "former", NULL, on_answer,
                           &answers, NULL),
             0);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char name[] = {(char)('b' + (char)i), '\0'};
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        lost_code = codes[i];
        CHECK_EQ(publish_one(outbox, &answers, name, "f1"), 0);
        CHECK_EQ(lost_code, 0);
        CHECK_STR(answers.items[0].path, path);
        CHECK_STR(answers.items[0].text, "");
    }

    /* Where even that is not seen at once it is not taken for a stranger's by the next attempt. */
    snprintf(path, sizeof(path), "%s/x", directory);
    snprintf(again, sizeof(again), "%s/x+1", directory);
    snprintf(hidden, sizeof(hidden), "%s/.hidden", directory);
    lost_to = hidden;
    lost_code = EIO;
    CHECK_EQ(publish_one(outbox, &answers, "x", "f1"), -EIO);
    CHECK(stat(hidden, &st) == 0);
    CHECK_EQ(__real_rename(hidden, path), 0);
    CHECK_EQ(publish_one(outbox, &answers, "x", "f2"), 0);
    CHECK_STR(answers.items[0].path, path);
    CHECK(stat(again, &st) < 0);

    /* And a stranger's that has come meanwhile stays. */
    snprintf(path, sizeof(path), "%s/y", directory);
    snprintf(again, sizeof(again), "%s/y+1", directory);
    snprintf(inner, sizeof(inner), "%s/stack.json", path);
    lost_code = EIO;
    CHECK_EQ(publish_one(outbox, &answers, "y", "f1"), -EIO);
    CHECK_EQ(mkdir(path, 0777), 0);
    write_sidecar(path, "y", 1, "f3");
    CHECK_EQ(publish_one(outbox, &answers, "y", "f2"), 0);
    CHECK_STR(answers.items[0].path, again);
    CHECK(stat(inner, &st) == 0);
    lost_to = NULL;

    pf_outbox_free(outbox);
    event_base_free(answers.base);
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
}

/* The first attempt's answer is lost; then what lies there cannot be seen, or is seen late, or the second is lost as well. */
TEST(outbox_publishes_once_where_a_lost_answer_cannot_be_looked_after)
{
    static const struct {
        int code, calls, r;
    } cases[] = {
        {EIO, 1, -EIO},                       /* it cannot be read */
        {ESTALE, 1, -ESTALE},                 /* nor reached */
        {EACCES, 1, -EACCES}, {ENOENT, 2, 0}, /* what the client knew before holds once */
        {ENOENT, 4, -ESTALE},                 /* until it is seen at last */
        {ENOENT, 5, -ENOENT},                 /* and until the next attempt */
        {0, 0, -EIO},                         /* the second fails */
    };
    char directory[] = "/tmp/outbox-test-XXXXXX", path[640], again[640], first[640], second[640];
    struct pf_outbox *outbox = NULL;
    struct answers answers = {.base = event_base_new()};
    struct stat st;
    json_t *frames = json_pack("[s]", "f3");
    CHECK(mkdtemp(directory));
    CHECK_EQ(pf_outbox_new(&outbox, answers.base, directory, "tag", "former", NULL, on_answer,
                           &answers, NULL),
             0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[] = {(char)('b' + (char)i), '\0'};
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        snprintf(again, sizeof(again), "%s/%s+1", directory, name);
        snprintf(first, sizeof(first), "%s/.%s-first", directory, name);
        snprintf(second, sizeof(second), "%s/.%s-second", directory, name);
        lost_to = first;
        lost_code = EIO;
        CHECK_EQ(publish_one(outbox, &answers, name, "f1"), -EIO);
        CHECK_EQ(lost_code, 0);
        if (cases[i].code)
            CHECK_EQ(__real_rename(first, path), 0);
        else
            lost_code = EIO;
        lost_to = second;
        unseen = path;
        unseen_code = cases[i].code;
        unseen_calls = cases[i].calls;
        CHECK_EQ(publish_one(outbox, &answers, name, "f2"), cases[i].r);
        CHECK_EQ(unseen_calls, 0);
        CHECK(stat(again, &st) < 0);
        if (!cases[i].code)
            CHECK_EQ(__real_rename(first, path), 0);
        lost_to = unseen = NULL;
        if (cases[i].r < 0)
            CHECK_EQ(publish_one(outbox, &answers, name, "f3"), 0);
        CHECK_STR(answers.items[0].path, path);
        CHECK(stat(again, &st) < 0);
        if (cases[i].r < 0)
            CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, name, 1, frames), 0);
    }

    /* What is there is its own, it is told that somebody has it, and it cannot be read. */
    snprintf(path, sizeof(path), "%s/x", directory);
    snprintf(again, sizeof(again), "%s/x+1", directory);
    lost_code = EEXIST;
    unseen = path;
    unseen_code = EIO;
    unseen_calls = 1;
    CHECK_EQ(publish_one(outbox, &answers, "x", "f1"), -EIO);
    CHECK(strstr(answers.items[0].text, path));
    CHECK_EQ(publish_one(outbox, &answers, "x", "f2"), 0);
    CHECK_STR(answers.items[0].path, path);
    CHECK(stat(again, &st) < 0);

    /* An attempt that is found and told of is not taken away. */
    snprintf(path, sizeof(path), "%s/y", directory);
    snprintf(again, sizeof(again), "%s/y+1", directory);
    snprintf(first, sizeof(first), "%s/.y-first", directory);
    lost_to = first;
    lost_code = EIO;
    CHECK_EQ(publish_one(outbox, &answers, "y", "f3"), -EIO);
    CHECK_EQ(__real_rename(first, path), 0);
    lost_to = NULL;
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_FIND, "y", 1, frames), 0);
    CHECK_EQ(publish_one(outbox, &answers, "y", "f2"), 0);
    CHECK_STR(answers.items[0].path, again);

    json_decref(frames);
    pf_outbox_free(outbox);
    event_base_free(answers.base);
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
}

TEST(outbox_says_what_is_wrong)
{
    char directory[] = "/tmp/outbox-test-XXXXXX", path[640];
    struct pf_outbox *outbox = NULL;
    struct answers answers = {.base = event_base_new()};
    CHECK(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/file", directory);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(pf_outbox_new(&outbox, answers.base, path, "tag", "former", NULL, on_answer, &answers,
                           NULL),
             0);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_CHECK, "", 0, NULL), -ENOTDIR);
    CHECK(strstr(answers.items[0].text, path));
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PREPARE, "b", 1, NULL), -ENOTDIR);
    CHECK_EQ(ask(outbox, &answers, PF_OUTBOX_PUBLISH, "b", 1, NULL), -ENOTDIR);
    pf_outbox_free(outbox);
    event_base_free(answers.base);
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
}
