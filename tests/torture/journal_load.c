/* journal_load DIRECTORY BURSTS: fills a journal with BURSTS published bursts of ten frames as they are in
 * practice, and times what the service and its interface ask of it, each question alone: every
 * combination of what bursts can be searched by, where no frame was set aside, few, and all. A line for
 * each: the median of many and their 95th percentile, in milliseconds of this thread's processor time,
 * which is what a question costs whatever else the machine does; the median by the clock; and of the plain
 * ones once cold, as the clock has it: the journal opened anew, and what the kernel has of its files
 * dropped before. The last lines are the slowest of each. */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "service/journal.h"

#define FRAMES     10
#define TIMES      60
#define ROUNDS     3
#define MOST_MS    10.0 /* of processor time may a question take */
#define COLD_TIMES 5

static struct pf_journal *journal;
static struct pf_error err;
static int bursts;

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err.text);
    exit(1);
}

static struct pf_record *make_record(int n)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    char path[64], serial[32];
    snprintf(path, sizeof(path), "/srv/inbox/%03d/IMG_%07d.JPG", n / 1000, n);
    snprintf(serial, sizeof(serial), "40%d", n / FRAMES % 5);
    record->path = strdup(path);
    record->source = strdup("folder:/srv/inbox");
    record->format = strdup("jpeg");
    record->make = strdup(n / FRAMES % 2 ? "NIKON CORPORATION" : "Canon");
    record->model = strdup(n / FRAMES % 2 ? "NIKON Z 8" : "Canon EOS R5");
    record->lens = strdup("105mm macro");
    record->serial = strdup(serial);
    record->id = pf_identity_of_memory(&n, sizeof(n));
    record->size_bytes = 12000000 + n;
    record->mtime_ns = record->ctime_ns = INT64_C(1767323045000000000) + n;
    record->inode = (uint64_t)n;
    record->width = 6000;
    record->height = 4000;
    record->orientation = 1;
    record->capture_ms =
        INT64_C(1500000000000) + (int64_t)(n / FRAMES) * 3600000 + n % FRAMES * 500;
    record->sequence = -1;
    record->counter = n;
    return record;
}

/* What the worker says of a frame: as long as in practice, most of it the grid. */
static json_t *make_scores(void)
{
    json_t *grid = json_array();
    for (int i = 0; i < 256; i++)
        json_array_append_new(grid, json_real(rand() / 1e8));
    return json_pack("{s:s, s:{s:f, s:f, s:f, s:o}, s:[f,f,f,f,f,f,f,f,f], s:s, s:f}", "verdict",
                     "fused", "focus", "laplacian_variance", 1.5, "tenengrad", 2.5,
                     "modified_laplacian", 3.5, "grid", grid, "transform", 1.001, 0.001, 2.5,
                     -0.001, 1.001, 1.5, 0.0, 0.0, 1.0, "aligned_by", "ecc", "correlation", 0.987);
}

static void fill(void)
{
    json_t *scores = make_scores();
    for (int b = 0; b < bursts; b++) {
        if (b % 100 == 0)
            must(pf_journal_begin(journal, &err), "begin");
        for (int i = 0; i < FRAMES; i++) {
            enum pf_journal_seen seen;
            struct pf_record *record = make_record(b * FRAMES + i);
            must(pf_journal_record_frame(journal, record, &seen, &err), "record");
            if (i == 0)
                must(pf_journal_open_burst(journal, b + 1, record, NULL, &err), "open");
            must(pf_journal_join(journal, b + 1, &record->id, false, &err), "join");
            must(pf_journal_frame_result(journal, b + 1, &record->id, b % 7 || i, "not sharp",
                                         scores, &err),
                 "result");
            pf_record_free(record);
        }
        must(pf_journal_complete(journal, b + 1, "gap", NULL, &err), "complete");
        char directory[64];
        snprintf(directory, sizeof(directory), "/srv/outbox/burst-%d", b + 1);
        must(pf_journal_published(journal, b + 1, 1, directory, &err), "published");
        if (b % 100 == 99 || b == bursts - 1)
            must(pf_journal_commit(journal, &err), "commit");
    }
    json_decref(scores);
}

/* ---- what is asked ---- */

static void use_bursts(int r, struct pf_journal_bursts *found)
{
    must(r, "bursts");
    pf_journal_bursts_free(found);
}

static void use_frames(int r, struct pf_journal_frames *found)
{
    must(r, "frames");
    pf_journal_frames_free(found);
}

static void recent(int n)
{
    struct pf_journal_bursts found = {0};
    (void)n;
    use_bursts(pf_journal_recent_bursts(journal, 50, &found, &err), &found);
}

static void unfinished(int n)
{
    struct pf_journal_bursts found = {0};
    (void)n;
    use_bursts(pf_journal_bursts_in(journal, PF_BURST_STATE_COMPLETE, &found, &err), &found);
}

static void one_burst(int n)
{
    struct pf_journal_bursts found = {0};
    use_bursts(pf_journal_burst(journal, 1 + n * 191 % bursts, &found, &err), &found);
}

static void frames_of_burst(int n)
{
    struct pf_journal_frames found = {0};
    use_frames(pf_journal_burst_frames(journal, 1 + n * 191 % bursts, &found, &err), &found);
}

static void one_frame(int n)
{
    struct pf_journal_frames found = {0};
    n = n * 1931 % (bursts * FRAMES);
    struct pf_identity id = pf_identity_of_memory(&n, sizeof(n));
    use_frames(pf_journal_frame(journal, &id, &found, &err), &found);
}

static void namesakes(int n)
{
    struct pf_journal_frames found = {0};
    struct pf_record *record = make_record(n * 1931 % (bursts * FRAMES));
    use_frames(pf_journal_namesakes(journal, record->source, record->path, &found, &err), &found);
    pf_record_free(record);
}

static void loose(int n)
{
    struct pf_journal_frames found = {0};
    (void)n;
    use_frames(pf_journal_loose_frames(journal, &found, &err), &found);
}

static void next_burst(int n)
{
    int64_t number;
    (void)n;
    must(pf_journal_next_burst(journal, &number, &err), "next burst");
}

static void record_one(int n)
{
    static int more;
    enum pf_journal_seen seen;
    struct pf_record *record = make_record(bursts * FRAMES + more++);
    (void)n;
    must(pf_journal_record_frame(journal, record, &seen, &err), "record");
    pf_record_free(record);
}

static void facts(int n)
{
    struct pf_journal_facts found = {0};
    must(pf_journal_burst_facts(journal, 1 + n * 191 % bursts, &found, &err), "facts");
    pf_journal_facts_free(&found);
}

static void recent_frames_in(int state)
{
    struct pf_journal_frames found = {0};
    int64_t next;
    use_frames(pf_journal_recent_frames(journal, state, INT64_MAX, 50, &found, &next, &err),
               &found);
}

static void recent_frames(int n)
{
    (void)n;
    recent_frames_in(-1);
}

static void recent_frames_aside(int n)
{
    (void)n;
    recent_frames_in(PF_FRAME_ASIDE);
}

static void recent_frames_of_none(int n)
{
    (void)n;
    recent_frames_in(PF_FRAME_IN_BURST);
}

/* What a burst can be searched by, and what is asked of each: anything, what many are found by, what few or
 * none are. */
static const int states[] = {-1, PF_BURST_STATE_PUBLISHED, PF_BURST_STATE_FAILED};
static const char *const cameras[] = {NULL, "z 8", "105", "no such camera"};
static const char *const days[] = {"ever", "since long", "on a day"};
static const char *const verdicts[] = {"any", "fused", "aside"};
static const char *const pages[] = {"first", "of the middle"};
#define COUNT(list) ((int)(sizeof(list) / sizeof(*list)))
#define SEARCHES    (COUNT(states) * COUNT(cameras) * COUNT(days) * COUNT(verdicts) * COUNT(pages))

/* Takes the next choice out of a number that stands for all of them. */
static int choose(int *number, int count)
{
    int choice = *number % count;
    *number /= count;
    return choice;
}

/* name: room for 160 characters. */
static struct pf_journal_search search_of(int number, int n, char *name)
{
    int verdict = choose(&number, COUNT(verdicts)), state = choose(&number, COUNT(states));
    int camera = choose(&number, COUNT(cameras)), day = choose(&number, COUNT(days));
    int page = choose(&number, COUNT(pages));
    struct pf_journal_search asked = {.before = page ? bursts / 2 + 1 : INT64_MAX,
                                      .state = states[state],
                                      .from_ms = INT64_MIN,
                                      .to_ms = INT64_MAX,
                                      .camera = cameras[camera],
                                      .aside = verdict - 1,
                                      .limit = 50};
    if (day)
        asked.from_ms = INT64_C(1500000000000);
    if (day == 2) {
        asked.from_ms += (int64_t)(n * 191 % bursts) * 3600000;
        asked.to_ms = asked.from_ms + INT64_C(86400000);
    }
    snprintf(name, 160, "search: verdict %s, state %s, camera %s, %s, page %s", verdicts[verdict],
             state ? pf_burst_state_name((enum pf_burst_state)states[state]) : "any",
             camera ? cameras[camera] : "any", days[day], pages[page]);
    return asked;
}

static int search_number; /* which search `search` is */

static void search(int n)
{
    struct pf_journal_bursts found = {0};
    char name[160];
    struct pf_journal_search asked = search_of(search_number, n, name);
    use_bursts(pf_journal_search_bursts(journal, &asked, &found, &err), &found);
}

/* ---- asking ---- */

static const struct {
    const char *name;
    void (*ask)(int n);
} questions[] = {
    {"recent bursts", recent},
    {"unfinished bursts", unfinished},
    {"a burst", one_burst},
    {"its facts", facts},
    {"its frames", frames_of_burst},
    {"a frame", one_frame},
    {"namesakes of a frame", namesakes},
    {"loose frames", loose},
    {"next number", next_burst},
    {"recent frames", recent_frames},
    {"recent frames aside", recent_frames_aside},
    {"recent frames of none", recent_frames_of_none},
    {"record a frame", record_one},
};

#define QUESTIONS (sizeof(questions) / sizeof(*questions))

static double ms_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
    return ms_of(CLOCK_THREAD_CPUTIME_ID);
}

/* Nothing of the journal is in memory afterwards. */
static void grow_cold(const char *directory)
{
    static const char *const names[] = {"journal.sqlite", "journal.sqlite-wal"};
    pf_journal_close(journal);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[4200];
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    must(pf_journal_open(&journal, directory, NULL, &err), "open");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double opening_ms(const char *directory)
{
    double begin = cpu_ms();
    must(pf_journal_open(&journal, directory, NULL, &err), "open");
    return cpu_ms() - begin;
}

/* The slowest of all questions. */
static double slowest, slowest_median, slowest_wall, slowest_cold;
static char slowest_name[256];

/* Asks TIMES times, tells, and returns the 95th percentile of the processor's time. */
static double ask_often(const char *name, void (*ask)(int n), double *ret_median, double *ret_wall)
{
    double times[TIMES], walls[TIMES];
    for (int n = 0; n < TIMES; n++) {
        double from = cpu_ms(), wall_from = ms_of(CLOCK_MONOTONIC);
        ask(n);
        times[n] = cpu_ms() - from;
        walls[n] = ms_of(CLOCK_MONOTONIC) - wall_from;
    }
    qsort(times, TIMES, sizeof(*times), compare);
    qsort(walls, TIMES, sizeof(*walls), compare);
    double p95 = times[TIMES * 95 / 100 - 1];
    *ret_median = times[TIMES / 2];
    *ret_wall = walls[TIMES / 2];
    printf("%-22s %7.2f ms, 95th percentile %7.2f ms; by the clock %7.2f ms\n", name, *ret_median,
           p95, *ret_wall);
    return p95;
}

/* One that seems slow is asked again, ROUNDS times at the most: of hundreds one meets whatever else runs on the
 * machine, and what is slow is so each time. */
static void time_of(const char *name, void (*ask)(int n))
{
    double p95 = INFINITY, median = 0, wall = 0;
    for (int round = 0; round < ROUNDS && p95 >= MOST_MS; round++)
        p95 = fmin(p95, ask_often(name, ask, &median, &wall));
    if (p95 > slowest) {
        slowest = p95;
        snprintf(slowest_name, sizeof(slowest_name), "%s", name);
    }
    slowest_median = fmax(slowest_median, median);
    slowest_wall = fmax(slowest_wall, wall);
}

/* Beside the journal's back, as it would take longer than all else. */
static void set_aside(const char *directory, const char *which)
{
    char path[4200];
    sqlite3 *db = NULL;
    char *sql = sqlite3_mprintf("UPDATE frames SET state = CASE WHEN %s THEN 3 ELSE 2 END"
                                " WHERE burst IS NOT NULL",
                                which);
    snprintf(path, sizeof(path), "%s/journal.sqlite", directory);
    pf_journal_close(journal);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
        exit(1);
    }
    sqlite3_free(sql);
    sqlite3_close(db);
    must(pf_journal_open(&journal, directory, NULL, &err), "open");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *which;
    } mixes[] = {{"none", "0"}, {"few", "place = 10 AND burst % 7 = 0"}, {"all", "1"}};
    char note[4200], name[200], full[256];
    bursts = argc == 3 ? atoi(argv[2]) : 0;
    if (bursts < 1) {
        fprintf(stderr, "usage: journal_load DIRECTORY BURSTS\n");
        return 2;
    }
    must(pf_journal_open(&journal, argv[1], NULL, &err), "open");
    double begin = cpu_ms();
    fill();
    printf("%d bursts of %d frames in %.1f s\n", bursts, FRAMES, (cpu_ms() - begin) / 1e3);
    pf_journal_close(journal);
    printf("opening: %.1f ms\n", opening_ms(argv[1]));
    pf_journal_close(journal);
    snprintf(note, sizeof(note), "%s/journal.sqlite.closed", argv[1]);
    must(unlink(note), note); /* as if it had not been closed in order */
    printf("opening, with its check: %.0f ms\n", opening_ms(argv[1]));
    for (int m = 0; m < COUNT(mixes); m++) {
        set_aside(argv[1], mixes[m].which);
        for (search_number = 0; search_number < SEARCHES; search_number++) {
            search_of(search_number, 0, name);
            snprintf(full, sizeof(full), "%s; %s aside", name, mixes[m].name);
            time_of(full, search);
        }
    }
    set_aside(argv[1], mixes[1].which);
    for (size_t q = 0; q < QUESTIONS; q++)
        time_of(questions[q].name, questions[q].ask);
    for (size_t q = 0; q <= QUESTIONS; q++) {
        double cold = 0;
        search_number = SEARCHES - 1; /* one that goes through half of them in vain */
        for (int n = 0; n < COLD_TIMES; n++) {
            grow_cold(argv[1]);
            double from = ms_of(CLOCK_MONOTONIC);
            (q < QUESTIONS ? questions[q].ask : search)(n * 7);
            cold = fmax(cold, ms_of(CLOCK_MONOTONIC) - from);
        }
        printf("%-22s cold, by the clock, at most %7.2f ms\n",
               q < QUESTIONS ? questions[q].name : "search", cold);
        slowest_cold = fmax(slowest_cold, cold);
    }
    pf_journal_close(journal);
    printf("questions %d\nslowest p95 %.2f\nslowest is %s\nslowest median %.2f\n"
           "median by the clock %.2f\nworst cold %.2f\n",
           COUNT(mixes) * SEARCHES + (int)QUESTIONS, slowest, slowest_name, slowest_median,
           slowest_wall, slowest_cold);
    return 0;
}
