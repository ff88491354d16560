/* Every module without memory: its entry points run again and again, and each time another one of
 * their allocations fails, alone or with all that follow. What comes back is 0 or -ENOMEM with its
 * text; nothing crashes, and nothing leaks, as the address sanitizer sees.
 *
 * The linker's --wrap turns this program's own calls of malloc() and its kin to the functions below
 * (Makefile); jansson and SQLite are given them as theirs. Other libraries have all the memory
 * they want: what they do without is theirs.
 */
#include <jansson.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "capture/files.h"
#include "capture/metadata.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/options.h"
#include "config/settings.h"
#include "process/burst.h"
#include "process/codec.h"
#include "process/exif.h"
#include "process/thumbnail.h"
#include "service/events.h"
#include "service/grouper.h"
#include "service/job.h"
#include "service/pairs.h"
#include "service/sidecar.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/texture.h"

/* ---- the allocator that fails ---- */

static atomic_long count_down; /* 0: does not fail; n: the n-th from now fails */
static atomic_bool and_all_after;
static atomic_long allocations, failures;

static bool fails(void)
{
    atomic_fetch_add(&allocations, 1);
    long left = atomic_load(&count_down);
    if (left <= 0)
        return false;
    if (left > 1) {
        atomic_store(&count_down, left - 1);
        return false;
    }
    if (!atomic_load(&and_all_after))
        atomic_store(&count_down, 0);
    atomic_fetch_add(&failures, 1);
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
int __wrap_asprintf(char **ret, const char *format, ...);
int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return fails() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t most)
{
    return fails() ? NULL : __real_strndup(text, most);
}

/* What it leaves in *ret when it fails is undefined: something that nobody may use. */
int __wrap_asprintf(char **ret, const char *format, ...)
{
    va_list args;
    *ret = (char *)(intptr_t)-4096;
    if (fails())
        return -1;
    va_start(args, format);
    int n = vasprintf(ret, format, args);
    va_end(args);
    return n;
}

int __wrap___asprintf_chk(char **ret, int flag, const char *format, ...)
{
    va_list args;
    (void)flag;
    *ret = (char *)(intptr_t)-4096;
    if (fails())
        return -1;
    va_start(args, format);
    int n = vasprintf(ret, format, args);
    va_end(args);
    return n;
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int size)
{
    return fails() ? NULL : sqlite_memory.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return fails() ? NULL : sqlite_memory.xRealloc(old, size);
}

static void take_libraries(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods ours = sqlite_memory;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
    json_set_alloc_funcs(__wrap_malloc, free);
}

/* ---- running something without memory ---- */

/* Of a mode; of more allocations the first half of that, then a selection. $TRIES makes it another. */
#define TRIES_MOST 80

/* run: 0, or what it failed with, described in err unless it has no text to give (r alone). */
static void without_memory(int (*run)(struct pf_error *err), bool has_text)
{
    struct pf_error err = {0};
    take_libraries();
    pf_log_setup("test", (enum pf_log_level) - 1);
    CHECK_OK(run(&err), &err); /* what is made once is made */
    long before = atomic_load(&allocations);
    CHECK_OK(run(&err), &err);
    long total = atomic_load(&allocations) - before;
    CHECK(total > 0);
    const char *wanted = getenv("TRIES");
    long most = wanted ? atol(wanted) : TRIES_MOST;
    for (int mode = 0; mode < 2; mode++) {
        long step = 1;
        for (long n = 1; n <= total + 1; n += step) {
            if (n == most / 2 && total > most)
                step = (total - n) / (most / 2) + 1;
            memset(&err, 0, sizeof(err));
            atomic_store(&and_all_after, mode == 1);
            atomic_store(&count_down, n);
            int r = run(&err);
            atomic_store(&count_down, 0);
            if (r < 0 && (r != -ENOMEM || (has_text && !err.text[0])))
                FAIL("allocation %ld of %ld%s: %d: \"%s\"", n, total, mode ? " and all after" : "",
                     r, err.text);
        }
    }
    CHECK(atomic_load(&failures) > 0);
}

static struct pf_blob load(const char *path)
{
    struct stat st;
    struct pf_blob blob = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0)
        FAIL("%s: %s", path, strerror(errno));
    blob.size_bytes = (size_t)st.st_size;
    blob.bytes = __real_malloc(blob.size_bytes);
    CHECK(read(fd, blob.bytes, blob.size_bytes) == (ssize_t)blob.size_bytes);
    close(fd);
    return blob;
}

static const char *in_directory(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    return path;
}

/* ---- config ---- */

static int run_settings(struct pf_error *err)
{
    struct pf_settings settings;
    FILE *to = NULL;
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_settings_read(&settings, "tests/fuzz/corpus/config/list", err);
    if (!r)
        r = pf_settings_set(&settings, "outbox", "elsewhere", err);
    to = fopen("/dev/null", "w");
    if (!r && to && pf_settings_print(&settings, to) < 0)
        r = pf_fail(err, ENOMEM, "printing");
    fclose(to);
    pf_settings_free(&settings);
    return r;
}

TEST(config_settings)
{
    without_memory(run_settings, true);
}

static int run_options(struct pf_error *err)
{
    struct pf_settings settings;
    struct pf_options options = {0};
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_options_add_section(&options, &settings, "capture", err);
    if (!r)
        r = pf_options_add_keys(&options, &settings, "outbox", err);
    json_t *object = pf_options_json(&settings, "align motion clip");
    json_decref(object);
    pf_options_free(&options);
    pf_settings_free(&settings);
    return r;
}

TEST(config_options)
{
    without_memory(run_options, true);
}

static int run_jsonl(struct pf_error *err)
{
    static const char text[] = "{\"a\":[1,2,{\"b\":\"c\"}]}\n{\"d\":\"\xf4\x8f\xbe\x80\"}\n";
    struct pf_jsonl_reader *reader = NULL;
    int r = pf_jsonl_reader_new(&reader), null = open("/dev/null", O_WRONLY);
    json_t *object = NULL;
    if (!r)
        r = pf_jsonl_reader_feed(reader, text, sizeof(text) - 1, err);
    /* Nothing is passed over: what could not be read is asked for again. */
    bool fed = !r;
    int lines = 0, failed = 0;
    while (fed && (r = pf_jsonl_reader_next(reader, &object, err)) && failed < 2) {
        if (r < 0) {
            failed++;
            continue;
        }
        lines++;
        char *bytes = pf_json_bytes_value(json_object_get(object, "d"));
        free(bytes);
        json_decref(object);
    }
    if (!r)
        CHECK_EQ(lines, 2);
    object = json_object();
    json_object_set_new(object, "path",
                        pf_json_bytes("a\xff"
                                      "b"));
    if (!r)
        r = pf_jsonl_send(null, object, err);
    else
        json_decref(object);
    close(null);
    pf_jsonl_reader_free(reader);
    return r;
}

TEST(base_jsonl)
{
    without_memory(run_jsonl, false);
}

static int run_files(struct pf_error *err)
{
    char *path = pf_path_join(test_directory(), "a"), *more = path ? pf_path_join(path, "b") : NULL;
    char *absolute = more ? pf_path_absolute(more) : NULL;
    char *directory = absolute ? pf_path_directory(absolute) : NULL;
    int r = directory ? pf_make_directories(absolute, err) : pf_fail(err, ENOMEM, "paths");
    char *file = r ? NULL : pf_path_join(absolute, "c");
    if (!r)
        r = file ? pf_write_file_durable(file, "text", 4, err) : pf_fail(err, ENOMEM, "path");
    if (!r)
        r = pf_remove_tree(path, err);
    free(path);
    free(more);
    free(absolute);
    free(directory);
    free(file);
    return r;
}

TEST(base_files)
{
    without_memory(run_files, true);
}

/* ---- capture ---- */

static int run_record(struct pf_error *err)
{
    static struct pf_record record = {.path = "/in/a\xff.jpg",
                                      .source = "folder:/in",
                                      .format = "jpeg",
                                      .make = "M",
                                      .serial = "7",
                                      .orientation = 1,
                                      .id = {"00000000000003e8-0123456789abcdef0123456789abcdef"},
                                      .sequence = -1,
                                      .counter = -1};
    struct pf_record *again = NULL, *other = NULL;
    json_t *object = pf_record_to_json(&record);
    int r = object ? pf_record_from_json(object, &again, err) : pf_fail(err, ENOMEM, "record");
    if (!r) {
        other = pf_record_copy(again);
        r = other ? 0 : pf_fail(err, ENOMEM, "copy");
    }
    json_decref(object);
    pf_record_free(again);
    pf_record_free(other);
    return r;
}

TEST(capture_record)
{
    without_memory(run_record, true);
}

static int run_metadata(struct pf_error *err)
{
    static const char *const names[] = {"j420.jpg", "nef.nef", "t8.tif"};
    static struct pf_bytes bytes;
    static struct pf_blob blobs[3];
    int r = 0;
    for (size_t i = 0; !r && i < 3; i++) {
        char path[64];
        struct pf_whole whole = {0};
        struct pf_record *record = __real_calloc(1, sizeof(*record));
        snprintf(path, sizeof(path), "tests/fuzz/corpus/whole/%s", names[i]);
        if (!blobs[i].bytes)
            blobs[i] = load(path);
        pf_bytes_of_memory(&bytes, blobs[i].bytes, blobs[i].size_bytes);
        r = pf_whole_check(&bytes, &whole);
        if (r < 0)
            pf_fail(err, -r, "checking a file");
        else
            CHECK_EQ(whole.state, PF_WHOLE_YES);
        if (!r)
            r = pf_metadata_read(&bytes, &whole, record, err);
        pf_record_free(record);
    }
    return r;
}

TEST(capture_metadata)
{
    without_memory(run_metadata, true);
}

static int run_known_files(struct pf_error *err)
{
    struct pf_files *files = NULL;
    int r = pf_files_new(&files);
    (void)err;
    for (int i = 0; !r && i < 40; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/in/%d.jpg", i);
        struct pf_file *file = pf_files_get(files, path);
        r = file ? pf_files_queue(files, file, i) : -ENOMEM;
    }
    pf_files_free(files);
    return r;
}

TEST(capture_files)
{
    without_memory(run_known_files, false);
}

/* ---- service ---- */

static struct pf_record *made_record(int n)
{
    long left = atomic_exchange(&count_down, 0);
    struct pf_record *record = record_of(n);
    atomic_store(&count_down, left);
    return record;
}

static int run_grouper(struct pf_error *err)
{
    struct pf_grouper_settings settings = {.gap_ms = 2000, .hold_ms = 500, .min_frames = 3};
    struct pf_grouper *grouper = NULL;
    struct pf_decision decision;
    const struct pf_record *frames[3];
    int r = pf_grouper_new(&grouper, &settings, 5, err);
    for (int n = 0; n < 3; n++)
        frames[n] = made_record(100 + n);
    if (!r)
        r = pf_grouper_restore(grouper, 1, PF_BURST_GAP, frames, 3, 0, err);
    for (int n = 0; !r && n < 12; n++) {
        struct pf_record *record = made_record(n);
        record->capture_ms += n > 6 ? 60000 : 0;
        int64_t now_ms = 100 * n;
        r = pf_grouper_feed(grouper, record, now_ms, err);
        if (r == -ENOMEM) /* usable on: the frame was not taken, and is the next time */
            r = pf_grouper_feed(grouper, record, now_ms, err);
        pf_record_free(record);
    }
    if (!r)
        r = pf_grouper_advance(grouper, 1000000, err);
    if (!r)
        r = pf_grouper_finish(grouper, 0, 1000000, err);
    size_t joined = 0;
    while (grouper && pf_grouper_next(grouper, &decision))
        joined += decision.kind == PF_DECISION_JOINED;
    if (!r)
        CHECK_EQ(joined, 12);
    for (int n = 0; n < 3; n++)
        pf_record_free((struct pf_record *)frames[n]);
    pf_grouper_free(grouper);
    return r;
}

TEST(service_grouper)
{
    without_memory(run_grouper, true);
}

static int run_pairs(struct pf_error *err)
{
    struct pf_pairs *pairs = NULL;
    int r = pf_pairs_new(&pairs, true, 1000, err), fed = 0, back = 0;
    for (int n = 0; !r && n < 20; n++) {
        struct pf_pairs_answer answer;
        /* Without memory to wait a record comes back at once: it is never lost. */
        pf_pairs_feed(pairs, made_record(n), false, n, &answer);
        fed++;
        back += (answer.stack != NULL) + (answer.companion != NULL);
        pf_record_free(answer.stack);
        pf_record_free(answer.companion);
    }
    struct pf_record *record;
    while (!r && (record = pf_pairs_overdue(pairs, INT64_MAX))) {
        back++;
        pf_record_free(record);
    }
    CHECK_EQ(fed, back);
    pf_pairs_free(pairs);
    return r;
}

TEST(service_pairs)
{
    without_memory(run_pairs, true);
}

static int run_job(struct pf_error *err)
{
    struct pf_settings settings;
    struct pf_job *job = NULL;
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_job_new(&job, 1, "burst", err);
    for (int n = 0; !r && n < 10; n++) {
        r = pf_job_add(job, made_record(n), err);
        r = r > 0 ? 0 : r;
    }
    if (!r) {
        const struct pf_record **order = pf_job_order(job);
        r = order ? 0 : pf_fail(err, ENOMEM, "order");
        free(order);
    }
    if (!r) {
        job->complete = __real_strdup("gap");
        json_t *sidecar = pf_sidecar(job, &settings), *identities = pf_sidecar_identities(job);
        if (!sidecar || !identities)
            r = pf_fail(err, ENOMEM, "sidecar");
        else
            CHECK_EQ(json_array_size(identities), 10);
        if (!r)
            CHECK_EQ(json_array_size(json_object_get(sidecar, "frames")), 10);
        json_decref(sidecar);
        json_decref(identities);
    }
    pf_job_free(job);
    pf_settings_free(&settings);
    return r;
}

TEST(service_job_and_sidecar)
{
    without_memory(run_job, true);
}

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
    int r = pf_journal_open(&journal, state, err);
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
    long left = atomic_exchange(&count_down, 0);
    if (recorded) {
        struct pf_error problem = {0};
        journal = open_in(state);
        CHECK_OK(pf_journal_frame(journal, &first->id, &frames, &problem), &problem);
        CHECK_EQ(frames.items[0].burst, 1);
        pf_journal_frames_free(&frames);
        pf_journal_close(journal);
    }
    pf_remove_tree(state, NULL);
    atomic_store(&count_down, left);
    pf_record_free(first);
    pf_record_free(second);
    return r;
}

TEST(service_journal)
{
    /* Syncs are not what is tested. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    test_directory_path[0] = '\0';
    without_memory(run_journal, true);
    test_remove_directory(test_directory());
}

static int run_events(struct pf_error *err)
{
    struct pf_events *events = NULL;
    int r = pf_events_new(&events, err);
    for (int n = 0; !r && n < 5; n++)
        pf_events_publish(events, "frame", json_pack("{s:i}", "n", n));
    pf_events_free(events);
    return r;
}

TEST(service_events)
{
    without_memory(run_events, true);
}

/* ---- process ---- */

static const struct pf_decode_limits limits = {1000000};

static int run_decoders(struct pf_error *err)
{
    static const char *const names[] = {"jpeg/j420.jpg", "jpeg/j444.jpg", "png/p16.png",
                                        "tiff/t8.tif",   "tiff/t16.tif",  "raw/dng.dng",
                                        "raw/nef.nef"};
    int r = 0;
    for (size_t i = 0; !r && i < sizeof(names) / sizeof(*names); i++) {
        char path[64];
        struct pf_image *image = NULL;
        snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", names[i]);
        r = pf_image_decode(&image, path, &limits, err);
        pf_image_free(image);
        image = NULL;
        if (!r)
            r = pf_image_decode_quickly(&image, path, 16, &limits, err);
        if (r == -ENODATA)
            r = 0;
        pf_image_free(image);
    }
    return r;
}

TEST(process_decoders)
{
    without_memory(run_decoders, true);
}

static struct pf_image *decoded(const char *path)
{
    static struct pf_image *images[2];
    struct pf_image **at = &images[strstr(path, "16") != NULL];
    struct pf_error err = {0};
    if (!*at) {
        long left = atomic_exchange(&count_down, 0);
        CHECK_OK(pf_image_decode(at, path, &limits, &err), &err);
        atomic_store(&count_down, left);
    }
    return *at;
}

static int run_encoders(struct pf_error *err)
{
    int r = 0;
    for (int format = PF_FORMAT_TIFF; !r && format <= PF_FORMAT_JPEG; format++) {
        struct pf_encode_options options = {.format = (enum pf_format)format,
                                            .bits = format == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 1,
                                            .fleeting = true};
        r = pf_image_encode(decoded("tests/fuzz/corpus/jpeg/j444.jpg"), in_directory("out"),
                            &options, err);
        unlink(in_directory("out"));
        if (!r)
            r = pf_image_encode(decoded("tests/fuzz/corpus/tiff/t16.tif"), in_directory("out"),
                                &options, err);
        /* A file that could not be written whole is not there. */
        CHECK_EQ(access(in_directory("out"), F_OK), r ? -1 : 0);
        unlink(in_directory("out"));
    }
    return r;
}

TEST(process_encoders)
{
    without_memory(run_encoders, true);
}

static int run_exif(struct pf_error *err)
{
    static struct pf_blob block;
    struct pf_blob out = {0};
    if (!block.bytes)
        block = load("tests/fuzz/corpus/exif/j420");
    int r = pf_exif_for_output(&block, 64, 48, &out, err);
    free(out.bytes);
    if (!r) {
        int fd = open("tests/fuzz/corpus/tiff/t8.tif", O_RDONLY);
        out = (struct pf_blob){0};
        r = pf_exif_of_tiff(fd, lseek(fd, 0, SEEK_END), &out, err);
        free(out.bytes);
        close(fd);
    }
    return r;
}

TEST(process_exif)
{
    without_memory(run_exif, true);
}

static int run_thumbnails(struct pf_error *err)
{
    json_t *facts = NULL;
    const char *prefix = in_directory("thumb");
    int r = pf_thumbnail_before("tests/fuzz/corpus/jpeg/j420.jpg", prefix, &limits, &facts, err);
    json_decref(facts);
    facts = NULL;
    if (r >= 0)
        r = pf_thumbnail_after(decoded("tests/fuzz/corpus/jpeg/j444.jpg"), prefix,
                               PF_THUMBNAIL_IS_LARGE, &facts, err);
    json_decref(facts);
    unlink(in_directory("thumb.jpg"));
    unlink(in_directory("thumb.small.jpg"));
    return r > 0 ? 0 : r;
}

TEST(process_thumbnails)
{
    without_memory(run_thumbnails, true);
}

static enum pf_fuse method;

/* A burst of three frames from the first one to the files. */
static int run_burst(struct pf_error *err)
{
    static struct pf_image *frames[3];
    struct pf_stack_settings settings = {.align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.5,
                                         .fuse = method,
                                         .clip = 3,
                                         .judge = true,
                                         .coverage = true,
                                         .depth = pf_fuse_has_maps(method)};
    struct pf_burst *burst = NULL;
    const double h[9] = {1, 0, 0.5, 0, 1, 0.25, 0, 0, 1};
    char stack[4200], map[4200];
    for (int i = 0; i < 3; i++) {
        long left = atomic_exchange(&count_down, 0);
        if (!frames[i])
            frames[i] = texture_frame(3, 160, 128, h, i == 1 ? 0 : 6, 1);
        atomic_store(&count_down, left);
    }
    int r = pf_burst_new(&burst, &settings, NULL, err);
    for (int i = 0; !r && i < 3; i++) {
        json_t *facts = NULL;
        const char names[3][2] = {"a", "b", "c"};
        r = pf_burst_add(burst, names[i], frames[i], NULL, 1, &facts, err);
        json_decref(facts);
    }
    int width, height;
    if (!r)
        r = pf_burst_preview(burst, 64, in_directory("preview.jpg"), &width, &height, err);
    snprintf(stack, sizeof(stack), "%s/stack.jpg", test_directory());
    snprintf(map, sizeof(map), "%s/depth.png", test_directory());
    struct pf_burst_output output = {
        .stack_path = stack, .map_path = {map}, .format = PF_FORMAT_JPEG, .jpeg_quality = 90};
    json_t *facts = NULL;
    if (!r)
        r = pf_burst_write(burst, &output, &facts, err);
    json_decref(facts);
    pf_burst_free(burst);
    return r;
}

TEST(process_burst_pyramid)
{
    method = PF_FUSE_PYRAMID;
    without_memory(run_burst, true);
}

TEST(process_burst_soft_depth)
{
    method = PF_FUSE_SOFT_DEPTH;
    without_memory(run_burst, true);
}

TEST(process_burst_average)
{
    method = PF_FUSE_AVERAGE;
    without_memory(run_burst, true);
}
