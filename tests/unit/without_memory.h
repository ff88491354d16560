/* An entry point of a module run again and again, and each time another one of its allocations fails.
 * Included after journal_steps.h where that is needed. */
#ifndef PF_TEST_WITHOUT_MEMORY_H
#define PF_TEST_WITHOUT_MEMORY_H

#include <jansson.h>
#include <sys/stat.h>

#include "config/base/error.h"
#include "config/base/log.h"
#include "process/image.h"
#include "tests/unit/allocations.h"
#include "tests/unit/test.h"

/* Of a mode; of more allocations the first half of that, then a selection. $TRIES makes it another; a
 * test whose runs are slow makes it smaller. */
static long tries_most = 80;
static long tries_part = 1; /* of either; more where each run waits for the disk */

/* run: 0, or what it failed with, described in err unless it has no text to give (r alone). */
static inline void without_memory(int (*run)(struct pf_error *err), bool has_text)
{
    struct pf_error err = {0};
    take_libraries();
    pf_log_setup("test", (enum pf_log_level) - 1);
    CHECK_OK(run(&err), &err); /* what is made once is made */
    long before = allocations_made();
    CHECK_OK(run(&err), &err);
    long total = allocations_made() - before;
    CHECK(total > 0);
    const char *wanted = getenv("TRIES");
    long most = (wanted ? atol(wanted) : tries_most) / tries_part;
    for (int mode = 0; mode < 2; mode++) {
        long step = 1;
        for (long n = 1; n <= total + 1; n += step) {
            if (n == most / 2 && total > most)
                step = (total - n) / (most / 2) + 1;
            memset(&err, 0, sizeof(err));
            fail_allocation(n, mode == 1);
            int r = run(&err);
            fail_allocation(0, false);
            if (r < 0 && (r != -ENOMEM || (has_text && !err.text[0])))
                FAIL("allocation %ld of %ld%s: %d: \"%s\"", n, total, mode ? " and all after" : "",
                     r, err.text);
        }
    }
    CHECK(allocations_failed() > 0);
}

static inline const char *in_directory(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    return path;
}

#ifdef PF_TEST_JOURNAL_STEPS_H
static inline struct pf_record *made_record(int n)
{
    long left = allocations_hold();
    struct pf_record *record = record_of(n);
    allocations_go_on(left);
    return record;
}
#endif

/* Text as JSON, made while nothing fails; the caller's. */
static inline json_t *json_of(const char *text)
{
    long left = allocations_hold();
    json_t *value = json_loads(text, 0, NULL);
    CHECK(value);
    allocations_go_on(left);
    return value;
}

/* A file, read while nothing fails; the caller's. */
static inline struct pf_blob load(const char *path)
{
    struct stat st;
    struct pf_blob blob = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0)
        FAIL("%s: %s", path, strerror(errno));
    blob.size_bytes = (size_t)st.st_size;
    long left = allocations_hold();
    blob.bytes = malloc(blob.size_bytes);
    allocations_go_on(left);
    CHECK(read(fd, blob.bytes, blob.size_bytes) == (ssize_t)blob.size_bytes);
    close(fd);
    return blob;
}

#endif
