/* capture/ without memory: see without_memory.h. What comes back is 0 or -ENOMEM with its text; nothing
 * crashes, and nothing leaks, as the address sanitizer sees. */
#include "capture/card.h"
#include "capture/files.h"
#include "capture/frame.h"
#include "capture/metadata.h"
#include "capture/scan.h"
#include "tests/unit/without_memory.h"

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
        long left = allocations_hold();
        struct pf_record *record = calloc(1, sizeof(*record));
        allocations_go_on(left);
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

/* From a file to its record, as the folder's child does it. */
static int run_frame(struct pf_error *err)
{
    static const char *const names[] = {"jpeg/j420.jpg", "raw/nef.nef", "tiff/t8.tif",
                                        "png/p16.png"};
    int r = 0;
    for (size_t i = 0; !r && i < 4; i++) {
        char path[4200], *here = realpath("tests/fuzz/corpus", NULL);
        struct pf_frame frame = {0};
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", here, names[i]);
        free(here);
        CHECK(stat(path, &st) == 0);
        struct pf_file_stamp stamp = pf_file_stamp_of(&st);
        r = pf_frame_look(path, "folder:/in", &stamp, 0, &frame, err);
        /* It is never taken for what is no frame. */
        if (!r)
            CHECK_EQ(frame.verdict, PF_FRAME_WHOLE);
        pf_record_free(frame.record);
    }
    return r;
}

TEST(capture_frame)
{
    without_memory(run_frame, true);
}

static int found;

static bool on_folder(void *context, const char *path, int fd, const struct stat *st)
{
    (void)context, (void)path, (void)fd, (void)st;
    return true;
}

static void on_file(void *context, const char *path, enum pf_name_kind kind, const struct stat *st)
{
    (void)context, (void)path, (void)kind, (void)st;
    found++;
}

static void on_trouble(void *context, const char *path, bool is_folder, int code)
{
    (void)context, (void)path, (void)is_folder;
    CHECK_EQ(code, ENOMEM);
}

static int run_scan(struct pf_error *err)
{
    static const struct pf_scan_handlers handlers = {on_folder, on_file, on_trouble};
    found = 0;
    int r = pf_scan("tests/fuzz/corpus", true, true, &handlers, NULL, err);
    return r;
}

TEST(capture_scan)
{
    without_memory(run_scan, true);
    CHECK(found > 10);
}

static int run_card(struct pf_error *err)
{
    struct pf_card *card = NULL;
    int r = pf_card_new(&card);
    for (int i = 0; !r && i < 20; i++) {
        char path[64], name[32];
        snprintf(name, sizeof(name), "IMG_%04d.JPG", i);
        snprintf(path, sizeof(path), "/spool/canon-1/%s", name);
        struct pf_card_file file = {"canon-1", "/store/DCIM", name, 0, 1000};
        char *given = pf_card_name(card, &file);
        r = given ? pf_card_note(card, path, 1000, i % 2) : -ENOMEM;
        free(given);
    }
    (void)err;
    pf_card_free(card);
    return r;
}

TEST(capture_card)
{
    without_memory(run_card, false);
}
