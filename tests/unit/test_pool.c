/* The thread pool: every row once, pieces aligned to the grain, any number of threads and rounds. */
#include <stdatomic.h>
#include <string.h>

#include "process/pool.h"
#include "tests/unit/test.h"

enum { MOST = 997 };

struct rows {
    _Atomic int times[MOST];
    _Atomic int misaligned, bad_thread;
    int grain, threads;
};

static void count_rows(void *context, int begin, int end, int thread)
{
    struct rows *rows = context;
    if (begin % rows->grain)
        atomic_fetch_add(&rows->misaligned, 1);
    if (thread < 0 || thread >= rows->threads)
        atomic_fetch_add(&rows->bad_thread, 1);
    for (int i = begin; i < end; i++)
        atomic_fetch_add(&rows->times[i], 1);
}

TEST(pool_hands_out_every_row_once)
{
    for (int threads = 1; threads <= 5; threads += 2) {
        struct pf_pool *pool = NULL;
        CHECK_EQ(pf_pool_new(&pool, threads, NULL), 0);
        CHECK_EQ(pf_pool_threads(pool), threads);
        for (int round = 0; round < 200; round++) {
            struct rows rows;
            memset(&rows, 0, sizeof(rows));
            rows.grain = 1 + round % 17;
            rows.threads = threads;
            int count = round * 5 % MOST;
            pf_pool_run(pool, count, rows.grain, count_rows, &rows);
            for (int i = 0; i < MOST; i++)
                CHECK_EQ(rows.times[i], i < count);
            CHECK_EQ(rows.misaligned, 0);
            CHECK_EQ(rows.bad_thread, 0);
        }
        CHECK(pf_pool_free(pool) == NULL);
    }
}

TEST(pool_of_none_runs_in_the_caller)
{
    struct rows rows;
    memset(&rows, 0, sizeof(rows));
    rows.grain = 10;
    rows.threads = 1;
    pf_pool_run(NULL, 95, 10, count_rows, &rows);
    for (int i = 0; i < 95; i++)
        CHECK_EQ(rows.times[i], 1);
    CHECK_EQ(rows.bad_thread, 0);
}
