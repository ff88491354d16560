#include "capture/files.h"

#include "tests/unit/picture.h"

static struct pf_file *add(struct pf_files *files, const char *path, int64_t mtime_ns)
{
    struct pf_file *file = pf_files_get(files, path);
    CHECK(file);
    file->stamp.mtime_ns = mtime_ns;
    return file;
}

TEST(files_queue_order)
{
    struct pf_files *files;
    CHECK_EQ(pf_files_new(&files), 0);
    CHECK(!pf_files_first(files));
    /* Due first; then by time; then IMG_9 before IMG_10. */
    CHECK_EQ(pf_files_queue(files, add(files, "/IMG_10.jpg", 5), 100), 0);
    CHECK_EQ(pf_files_queue(files, add(files, "/IMG_9.jpg", 5), 100), 0);
    CHECK_EQ(pf_files_queue(files, add(files, "/IMG_11.jpg", 4), 100), 0);
    CHECK_EQ(pf_files_queue(files, add(files, "/IMG_12.jpg", 9), 99), 0);
    CHECK_EQ(pf_files_queue(files, add(files, "/IMG_8.jpg", 1), 200), 0);
    CHECK_EQ(pf_files_queue(files, pf_files_find(files, "/IMG_8.jpg"), 101), 0); /* moves */
    static const char *const expected[] = {"/IMG_12.jpg", "/IMG_11.jpg", "/IMG_9.jpg",
                                           "/IMG_10.jpg", "/IMG_8.jpg"};
    for (int i = 0; i < 5; i++) {
        struct pf_file *file = pf_files_first(files);
        CHECK(file);
        CHECK_STR(file->path, expected[i]);
        pf_files_unqueue(files, file);
        pf_files_unqueue(files, file); /* twice is once */
    }
    CHECK(!pf_files_first(files));
    pf_files_free(files);
}

static void count_seen(void *context, struct pf_file *file)
{
    (void)file;
    ++*(size_t *)context;
}

/* Against a plain array: what is added, removed, queued and taken out agrees. */
TEST(files_at_random)
{
    enum { NAMES = 700, STEPS = 60000 };
    static struct pf_file *there[NAMES];
    static int64_t due[NAMES];
    uint64_t seed = 7;
    struct pf_files *files;
    CHECK_EQ(pf_files_new(&files), 0);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(picture_random(&seed) % NAMES);
        char path[32];
        snprintf(path, sizeof(path), "/folder/%d", i);
        CHECK(pf_files_find(files, path) == there[i]);
        switch (picture_random(&seed) % 4) {
        case 0:
        case 1:
            there[i] = pf_files_get(files, path);
            CHECK(there[i]);
            due[i] = 1 + (int64_t)(picture_random(&seed) % 50);
            CHECK_EQ(pf_files_queue(files, there[i], due[i]), 0);
            break;
        case 2:
            if (there[i])
                pf_files_remove(files, there[i]);
            there[i] = NULL;
            due[i] = 0;
            break;
        default:
            if (there[i])
                pf_files_unqueue(files, there[i]);
            due[i] = 0;
        }
        int64_t least = INT64_MAX;
        if (step % 100 == 0) {
            size_t expected = 0, seen = 0;
            for (int j = 0; j < NAMES; j++) {
                expected += there[j] != NULL;
                if (due[j] && due[j] < least)
                    least = due[j];
            }
            pf_files_each(files, count_seen, &seen);
            CHECK_EQ(seen, expected);
            if (pf_files_first(files))
                CHECK_EQ(pf_files_first(files)->due_ms, least);
            else
                CHECK_EQ(least, INT64_MAX);
        }
    }
    for (int j = 0; j < NAMES; j++)
        if (there[j])
            there[j]->gone = j % 2;
    pf_files_forget_gone(files);
    for (int j = 0; j < NAMES; j++) {
        char path[32];
        snprintf(path, sizeof(path), "/folder/%d", j);
        CHECK(!pf_files_find(files, path) == (!there[j] || j % 2));
    }
    pf_files_free(files);
}
