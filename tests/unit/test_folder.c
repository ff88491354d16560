/* A folder source from inside: what its process does where a real file system would have to fail at
 * the right moment. */
#include "capture/folder_internal.h"

#include <dirent.h>
#include <dlfcn.h>

#include "capture/frame.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "tests/unit/test.h"

/* ---- a file system that fails ---- */

static const char *unlisted; /* the folder whose entries cannot be listed */
static int unlisted_code;

/* Stands before that of the C library. */
struct dirent *readdir(DIR *directory)
{
    static struct dirent *(*real)(DIR *);
    struct stat is, st;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "readdir64");
    if (unlisted && !fstat(dirfd(directory), &is) && !stat(unlisted, &st) &&
        is.st_ino == st.st_ino && is.st_dev == st.st_dev) {
        errno = unlisted_code;
        return NULL;
    }
    return real(directory);
}

int real_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                    struct pf_frame *ret, struct pf_error *err);
#define pf_frame_look real_frame_look
#include "capture/frame.c"
#undef pf_frame_look

static bool locked; /* who writes a file lets nobody read it */

int pf_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                  struct pf_frame *ret, struct pf_error *err)
{
    if (!locked)
        return real_frame_look(path, source, stamp, ret, err);
    *ret = (struct pf_frame){.verdict = PF_FRAME_TROUBLE};
    pf_fail_errno(&ret->reason, EACCES, "opening");
    return 0;
}

/* ---- a folder, and what it says ---- */

static struct pf_settings settings;
static struct pf_folder folder;
static char said_path[4200];

/* A picture that is whole, and may be looked at. */
static void put_picture(const char *name)
{
    char path[4300], line[65536];
    snprintf(path, sizeof(path), "%s/%s", folder.root, name);
    FILE *from = fopen("tests/fuzz/corpus/jpeg/j420.jpg", "re"), *to = fopen(path, "we");
    CHECK(from && to);
    for (size_t n; (n = fread(line, 1, sizeof(line), from));)
        CHECK_EQ(fwrite(line, 1, n, to), n);
    fclose(from);
    fclose(to);
}

static void begin(void)
{
    struct pf_error err = {0};
    char path[4200];
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    settings.poll = PF_POLL_ALWAYS;
    settings.sandbox = false;
    snprintf(path, sizeof(path), "%s/in", test_directory());
    CHECK_EQ(mkdir(path, 0777), 0);
    folder = (struct pf_folder){.settings = &settings,
                                .root = strdup(path),
                                .source = strdup("folder:in"),
                                .by_hand = true,
                                .next_poll_ms = PF_FOLDER_NEVER_MS};
    CHECK_EQ(pf_files_new(&folder.files), 0);
    snprintf(said_path, sizeof(said_path), "%s/said", test_directory());
    int fd = open(said_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    CHECK(fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    close(fd);
}

static void end(void)
{
    CHECK_EQ(folder.failure, 0);
    pf_files_free(folder.files);
    free(folder.fresh);
    free(folder.root);
    free(folder.source);
    pf_settings_free(&settings);
}

/* The last report of that kind, with that path where one is named; the caller's, NULL: none. */
static json_t *said(const char *event, const char *path)
{
    FILE *file = fopen(said_path, "re");
    char *line = NULL;
    size_t size = 0;
    json_t *last = NULL;
    CHECK(file);
    while (getline(&line, &size, file) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        char *of = pf_json_bytes_value(json_object_get(object, "path"));
        const char *name = json_string_value(json_object_get(object, "event"));
        if (name && !strcmp(name, event) && (!path || (of && !strcmp(of, path)))) {
            json_decref(last);
            last = json_incref(object);
        }
        free(of);
        json_decref(object);
    }
    free(line);
    fclose(file);
    return last;
}

static void check_status(const char *state, const char *reason)
{
    json_t *status = said("status", NULL);
    CHECK(status);
    CHECK_STR(json_string_value(json_object_get(status, "state")), state);
    CHECK_STR(json_string_value(json_object_get(status, "reason")), reason);
    json_decref(status);
}

/* ---- */

TEST(a_closed_folder_is_readable_when_it_is_tried_again)
{
    begin();
    char path[4300], picture[4400];
    snprintf(path, sizeof(path), "%s/a-folder-with-a-rather-long-name", folder.root);
    snprintf(picture, sizeof(picture), "%s/IMG_1.JPG", path);
    CHECK_EQ(mkdir(path, 0777), 0);
    put_picture("a-folder-with-a-rather-long-name/IMG_1.JPG");
    pf_folder_trouble(&folder, path, true, EACCES);
    struct pf_file *file = pf_files_find(folder.files, path);
    CHECK(file && file->is_folder);
    pf_folder_look(&folder, file);
    CHECK(!pf_files_find(folder.files, path));
    CHECK(pf_files_find(folder.files, picture));
    end();
}

/* As long as a truncated file may take, and no longer: the zeros may be its picture. */
TEST(a_file_with_a_hole_is_waited_for)
{
    begin();
    char path[4300];
    snprintf(path, sizeof(path), "%s/IMG_1.TIF", folder.root);
    static const uint8_t head[62] = "II*\0\10\0\0\0\4\0"
                                    "\0\1\3\0\1\0\0\0\4\0\0\0\1\1\3\0\1\0\0\0\4\0\0\0"
                                    "\21\1\4\0\1\0\0\0\76\0\0\0\27\1\4\0\1\0\0\0\0\0\20\0";
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, (off_t)sizeof(head) + (1 << 20)), 0);
    if (lseek(fd, 0, SEEK_HOLE) != 0)
        SKIP("holes of files cannot be told here");
    CHECK_EQ(write(fd, head, sizeof(head)), (ssize_t)sizeof(head));
    close(fd);
    pf_folder_scan(&folder);
    struct pf_file *file = pf_files_first(folder.files);
    CHECK(file);
    int64_t seen_ms = file->changed_ms;
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_PENDING);
    file->changed_ms = seen_ms - 55 * 1000; /* incomplete_after is 60 s */
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_PENDING);
    CHECK(!said("frame", path));
    file->changed_ms = seen_ms - 61 * 1000;
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_SENT);
    json_t *frame = said("frame", path);
    CHECK(frame);
    json_decref(frame);
    end();
}

TEST(a_root_that_cannot_be_listed_is_missing)
{
    begin();
    char picture[4300];
    put_picture("IMG_1.JPG");
    snprintf(picture, sizeof(picture), "%s/IMG_1.JPG", folder.root);
    unlisted = folder.root;
    unlisted_code = EIO;
    pf_folder_scan(&folder);
    check_status("missing", strerror(EIO));
    CHECK(!folder.announce);
    unlisted_code = ESTALE;
    pf_folder_scan(&folder);
    check_status("missing", strerror(ESTALE));

    /* It is tried again with every look at the root, and what is there is found then. */
    unlisted = NULL;
    pf_folder_check_root(&folder);
    check_status("ok", "poll = always");
    CHECK(folder.announce);
    struct pf_file *file = pf_files_find(folder.files, picture);
    CHECK(file && !file->gone);

    /* And what cannot be listed says nothing about its files. */
    unlisted = folder.root;
    unlisted_code = EIO;
    pf_folder_scan(&folder);
    check_status("missing", strerror(EIO));
    CHECK(!file->gone);
    end();
}

/* ---- what is on its way ---- */

/* Puts the beginning of a picture there; 0: all of it. */
static void put_part(const char *name, off_t size_bytes)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/%s", folder.root, name);
    put_picture(name);
    CHECK(!size_bytes || truncate(path, size_bytes) == 0);
}

/* An event of it, `after_ms` after the last. */
static struct pf_file *see(const char *name, int64_t after_ms)
{
    char path[4300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", folder.root, name);
    CHECK_EQ(stat(path, &st), 0);
    folder.batch_ms += after_ms;
    pf_folder_found(&folder, path, &st, folder.settle_ms);
    return pf_files_find(folder.files, path);
}

static void begin_to_grow(void)
{
    begin();
    folder.settle_ms = 100;
    folder.batch_ms = pf_monotonic_ms();
}

static void check_pending(bool expected)
{
    json_t *status;
    pf_folder_report_status(&folder);
    status = said("status", NULL);
    CHECK(status);
    CHECK_EQ(json_is_true(json_object_get(status, "pending")), expected);
    json_decref(status);
}

TEST(what_grows_is_pending_under_its_next_name_too)
{
    begin_to_grow();
    put_part("upload.jpg", 400);
    struct pf_file *old = see("upload.jpg", 0);
    check_pending(false);
    pf_folder_look(&folder, old);
    check_pending(true);
    put_part("IMG_1.JPG", 0);
    struct pf_file *new = see("IMG_1.JPG", 0);
    pf_folder_gone(&folder, old);
    check_pending(true);
    pf_folder_look(&folder, new);
    CHECK_EQ(new->state, PF_FILE_SENT);
    check_pending(false);

    /* One that comes while nothing grows is none that grows. */
    put_part("IMG_2.JPG", 0);
    new = see("IMG_2.JPG", 0);
    check_pending(false);
    pf_folder_look(&folder, new);
    CHECK_EQ(new->state, PF_FILE_SENT);
    check_pending(false);
    end();
}

TEST(a_file_that_its_writer_locks_grows_while_it_is_young)
{
    begin_to_grow();
    put_part("IMG_1.JPG", 400);
    struct pf_file *file = see("IMG_1.JPG", 0);
    locked = true;
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_TROUBLE);
    check_pending(true);
    put_part("IMG_1.JPG", 0);
    see("IMG_1.JPG", 0);
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_TROUBLE);
    check_pending(true);
    locked = false;
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_SENT);
    check_pending(false);

    /* One that nobody may read for good is none. */
    char path[4300];
    struct timespec long_ago[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    snprintf(path, sizeof(path), "%s/IMG_2.JPG", folder.root);
    put_part("IMG_2.JPG", 0);
    CHECK_EQ(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    file = see("IMG_2.JPG", 0);
    locked = true;
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, PF_FILE_TROUBLE);
    check_pending(false);
    end();
}

TEST(a_file_that_is_never_at_rest_grows_for_ten_minutes)
{
    begin_to_grow();
    put_part("IMG_1.JPG", 200);
    struct pf_file *file = see("IMG_1.JPG", 0);
    put_part("IMG_1.JPG", 300);
    see("IMG_1.JPG", 40);
    check_pending(false); /* a copy that is quick */
    put_part("IMG_1.JPG", 400);
    see("IMG_1.JPG", 60);
    check_pending(true);
    file->grows_ms -= 599000;
    put_part("IMG_1.JPG", 500);
    see("IMG_1.JPG", 40);
    check_pending(true);
    file->grows_ms -= 1000;
    put_part("IMG_1.JPG", 600);
    see("IMG_1.JPG", 40);
    check_pending(false);

    /* The same, where it is scans that find it before it has rested. */
    put_part("IMG_2.JPG", 200);
    pf_folder_scan(&folder);
    check_pending(false);
    folder.settle_ms = 0;
    put_part("IMG_2.JPG", 300);
    pf_folder_scan(&folder);
    check_pending(true);
    end();
}
