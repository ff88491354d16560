/* A folder source from inside: what its process does where a real file system would have to fail at
 * the right moment. */
#include "capture/folder_internal.h"

#include <dirent.h>
#include <dlfcn.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
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
