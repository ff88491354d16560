/* A folder source from inside: what its process does where a real file system would have to fail at
 * the right moment. */
#include "capture/folder_internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/statvfs.h>

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

/* What was synced since this was emptied, by the last part of its name; syncfs as "all". */
static char synced[1024];
static const char *unsynced; /* what cannot be, by the same */
static int unsynced_code;
static bool mounted_read_only;
static bool patience_is_asked; /* by then: it takes long */
static int dropped;            /* files whose pages the kernel was told to forget */

static json_t *said(const char *event, const char *path);

static int note_sync(const char *what)
{
    size_t used = strlen(synced);
    json_t *alive = said("alive", NULL);
    patience_is_asked = json_integer_value(json_object_get(alive, "patience_ms")) >= 600000;
    json_decref(alive);
    snprintf(synced + used, sizeof(synced) - used, "%s%s", used ? " " : "", what);
    errno = unsynced_code;
    return unsynced && !strcmp(unsynced, what) ? -1 : 0;
}

int fsync(int fd)
{
    char link[64], path[4300];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    CHECK(n > 0);
    path[n] = '\0';
    return note_sync(pf_base_name(path));
}

int syncfs(int fd)
{
    (void)fd;
    return note_sync("all");
}

int fstatvfs(int fd, struct statvfs *fs)
{
    (void)fd;
    *fs = (struct statvfs){.f_flag = mounted_read_only ? ST_RDONLY : 0};
    return 0;
}

int posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    (void)fd;
    dropped += !offset && !length && advice == POSIX_FADV_DONTNEED;
    return 0;
}

int real_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                    int64_t most_bytes, struct pf_frame *ret, struct pf_error *err);
#define pf_frame_look real_frame_look
#include "capture/frame.c"
#undef pf_frame_look

static bool locked; /* who writes a file lets nobody read it */

int pf_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                  int64_t most_bytes, struct pf_frame *ret, struct pf_error *err)
{
    if (!locked)
        return real_frame_look(path, source, stamp, most_bytes, ret, err);
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
    free(folder.named);
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

/* A hundred gigabytes of zeros behind the beginning of a picture are not read; a film is not even told. */
TEST(a_file_larger_than_any_picture_is_not_read)
{
    begin();
    char path[4300], film[4300];
    put_picture("IMG_1.JPG");
    snprintf(path, sizeof(path), "%s/IMG_1.JPG", folder.root);
    snprintf(film, sizeof(film), "%s/film", folder.root);
    int fd = open(film, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    CHECK(fd >= 0 && write(fd, "film", 4) == 4);
    close(fd);
    if (truncate(path, (off_t)100 << 30) < 0 || truncate(film, (off_t)100 << 30) < 0)
        SKIP("no such file fits here: %s", strerror(errno));
    int64_t begin_ms = pf_monotonic_ms();
    pf_folder_scan(&folder);
    for (struct pf_file *file = pf_files_first(folder.files); file;
         file = pf_files_first(folder.files))
        pf_folder_look(&folder, file);
    CHECK(pf_monotonic_ms() - begin_ms < 10000);
    json_t *rejected = said("rejected", path);
    CHECK(rejected);
    CHECK(strstr(json_string_value(json_object_get(rejected, "reason")), "max_megapixels"));
    json_decref(rejected);
    CHECK(!said("rejected", film));
    CHECK_EQ(access(path, F_OK), 0);
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

/* ---- what is told stays, whatever happens to the power ---- */

static bool is_told(const char *name)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/%s", folder.root, name);
    json_t *frame = said("frame", path);
    json_decref(frame);
    return frame;
}

/* After all that was synced until now. */
static struct pf_file *see_new(const char *name)
{
    struct pf_file *file = see(name, 0);
    file->changed_ms = pf_monotonic_ms();
    return file;
}

/* Looks at it, and what was synced for that. */
static void check_look(struct pf_file *file, enum pf_file_state state, const char *expected)
{
    synced[0] = '\0';
    pf_folder_look(&folder, file);
    CHECK_EQ(file->state, state);
    CHECK_STR(synced, expected);
}

TEST(a_frame_is_durable_before_it_is_told)
{
    begin_to_grow();
    put_picture("IMG_1.JPG");
    struct pf_file *file = see("IMG_1.JPG", 0);
    check_look(file, PF_FILE_SENT, "IMG_1.JPG in");
    CHECK(is_told("IMG_1.JPG"));

    /* The folders above it may be new as well. */
    char path[4300];
    struct pf_error err = {0};
    snprintf(path, sizeof(path), "%s/a/b", folder.root);
    CHECK_OK(pf_make_directories(path, &err), &err);
    put_picture("a/b/IMG_2.JPG");
    put_picture("a/b/IMG_3.JPG");
    file = see("a/b/IMG_2.JPG", 10);
    struct pf_file *other = see("a/b/IMG_3.JPG", 0);
    file->changed_ms = other->changed_ms = pf_monotonic_ms() - 1;
    check_look(file, PF_FILE_SENT, "IMG_2.JPG b a in");
    /* Whose name was there by then is not synced once more; one that has come since is. */
    check_look(other, PF_FILE_SENT, "IMG_3.JPG");
    put_picture("a/b/IMG_4.JPG");
    check_look(see_new("a/b/IMG_4.JPG"), PF_FILE_SENT, "IMG_4.JPG b a in");

    /* What is not whole yet is its writer's. */
    put_part("IMG_5.JPG", 400);
    check_look(see_new("IMG_5.JPG"), PF_FILE_PENDING, "");
    end();
}

TEST(a_frame_that_does_not_reach_the_disk_is_not_told)
{
    begin_to_grow();
    put_picture("IMG_1.JPG");
    struct pf_file *file = see("IMG_1.JPG", 0);
    unsynced = "IMG_1.JPG";
    unsynced_code = EIO;
    int64_t looked_ms = pf_monotonic_ms();
    check_look(file, PF_FILE_TROUBLE, "IMG_1.JPG");
    CHECK_EQ(dropped, 1); /* or what is only in memory would be looked at next */
    CHECK(!is_told("IMG_1.JPG"));
    CHECK(file->queue_index && file->due_ms > looked_ms);
    json_t *trouble = said("trouble", NULL);
    CHECK_STR(json_string_value(json_object_get(trouble, "reason")), "fsync: Input/output error");
    json_decref(trouble);
    unsynced = "in";
    unsynced_code = ENOSPC;
    check_look(file, PF_FILE_TROUBLE, "IMG_1.JPG in");
    trouble = said("trouble", NULL);
    CHECK_STR(json_string_value(json_object_get(trouble, "reason")),
              "fsync of its folder: No space left on device");
    json_decref(trouble);
    unsynced = NULL;
    check_look(file, PF_FILE_SENT, "IMG_1.JPG in");
    CHECK(is_told("IMG_1.JPG"));

    /* A file system that went read-only by itself has lost something; one that was mounted so has not. */
    put_picture("IMG_2.JPG");
    file = see_new("IMG_2.JPG");
    unsynced = "IMG_2.JPG";
    unsynced_code = EROFS;
    check_look(file, PF_FILE_TROUBLE, "IMG_2.JPG");
    mounted_read_only = true;
    check_look(file, PF_FILE_SENT, "IMG_2.JPG in");
    end();
}

TEST(a_frame_that_cannot_be_synced_where_it_lies_is_told)
{
    static const int codes[] = {EINVAL, EBADF, EACCES, EPERM, ENOTSUP, ENOSYS};
    begin_to_grow();
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char name[32];
        snprintf(name, sizeof(name), "IMG_%zu.JPG", i);
        put_picture(name);
        synced[0] = '\0';
        unsynced = i % 2 ? "in" : name;
        unsynced_code = codes[i];
        pf_folder_look(&folder, see_new(name));
        CHECK(is_told(name) && strstr(synced, unsynced));
    }
    end();
}

/* Files that wait, all seen a while ago and due. */
static struct pf_file **put_many(size_t count)
{
    static struct pf_file *files[40];
    folder.batch_ms = pf_monotonic_ms() - 1000;
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "MANY_%02zu.JPG", i);
        put_picture(name);
        files[i] = see(name, 0);
    }
    return files;
}

TEST(many_frames_share_a_sync)
{
    begin_to_grow();
    struct pf_file **files = put_many(40);
    folder.by_hand = false;
    check_look(files[0], PF_FILE_SENT, "all in");
    CHECK(patience_is_asked);
    for (size_t i = 1; i < 30; i++)
        check_look(files[i], PF_FILE_SENT, "");
    /* What has changed since is not among them, nor what may have. */
    put_picture("MANY_30.JPG");
    check_look(see_new("MANY_30.JPG"), PF_FILE_SENT, "MANY_30.JPG in");
    files[31]->changed_ms = folder.synced_ms - 1;
    check_look(files[31], PF_FILE_SENT, "MANY_31.JPG");
    end();
}

/* Its data may lie behind what others write. A server that does not answer is another matter. */
TEST(a_sync_of_one_file_may_take_long)
{
    struct stat st;
    begin_to_grow();
    folder.by_hand = false;
    CHECK_EQ(stat(folder.root, &st), 0);
    folder.mounts.count = 1;
    folder.mounts.known[0].device = st.st_dev;
    folder.mounts.known[0].blind = "NFS";
    put_picture("IMG_1.JPG");
    check_look(see_new("IMG_1.JPG"), PF_FILE_SENT, "IMG_1.JPG in");
    CHECK(!patience_is_asked);
    folder.mounts.known[0].blind = NULL;
    put_picture("IMG_2.JPG");
    check_look(see_new("IMG_2.JPG"), PF_FILE_SENT, "IMG_2.JPG in");
    CHECK(patience_is_asked);
    end();
}

/* It does not say of which file it fails. */
TEST(after_a_failed_sync_of_all_each_frame_has_its_own)
{
    begin_to_grow();
    struct pf_file **files = put_many(40);
    unsynced = "all";
    unsynced_code = EIO;
    check_look(files[0], PF_FILE_SENT, "all MANY_00.JPG in");
    unsynced = "MANY_01.JPG";
    check_look(files[1], PF_FILE_TROUBLE, "MANY_01.JPG");
    check_look(files[2], PF_FILE_SENT, "MANY_02.JPG");
    end();
}
