/* Files: identity, durable writes and moves, directories, mounts. */
#include "config/base/file.h"

#include <sys/stat.h>

#include "config/base/mount.h"
#include "config/base/time.h"
#include "tests/unit/test.h"

static struct pf_error err;

/* DIRECTORY/name of this test; four at a time. */
static const char *in_test(const char *name)
{
    static char paths[4][4352];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", test_directory(), name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    CHECK_OK(pf_write_file_durable(path, text, strlen(text), &err), &err);
}

static void expect_text(const char *path, const char *expected)
{
    char text[64] = "";
    FILE *file = fopen(path, "r");
    CHECK(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    CHECK_STR(text, expected);
}

TEST(identity_is_of_the_content)
{
    /* XXH3-128 of nothing, as xxhsum -H2 prints it. */
    CHECK_STR(pf_identity_of_memory("", 0).text,
              "0000000000000000-99aa06d3014798d86001c324468d497f");
    CHECK_EQ(strlen(pf_identity_of_memory("frame", 5).text), PF_IDENTITY_CHARS);

    size_t size_bytes = (3u << 20) + 17; /* more than one piece */
    char *bytes = malloc(size_bytes);
    CHECK(bytes);
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    CHECK_OK(pf_write_file_durable(in_test("a"), bytes, size_bytes, &err), &err);
    int fd = open(in_test("a"), O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    struct pf_identity of_fd, of_memory = pf_identity_of_memory(bytes, size_bytes);
    CHECK_OK(pf_identity_of_fd(fd, &of_fd, &err), &err);
    CHECK_STR(of_fd.text, of_memory.text);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100); /* the offset is the caller's */
    close(fd);
    bytes[size_bytes - 1] ^= 1;
    CHECK(strcmp(pf_identity_of_memory(bytes, size_bytes).text, of_memory.text) != 0);
    free(bytes);
    CHECK_EQ(pf_identity_of_fd(-1, &of_fd, &err), -EBADF);
}

TEST(directories_are_made)
{
    CHECK_OK(pf_make_directories(in_test("a/b//c/"), &err), &err);
    CHECK_OK(pf_make_directories(in_test("a/b/c"), &err), &err); /* again */
    struct stat st;
    CHECK_EQ(stat(in_test("a/b/c"), &st), 0);
    write_text(in_test("a/file"), "x");
    CHECK(pf_make_directories(in_test("a/file/d"), NULL) < 0);
    CHECK_EQ(pf_make_directories(in_test("a/file"), NULL), -ENOTDIR);
}

TEST(durable_write_replaces_and_leaves_nothing_behind)
{
    write_text(in_test("f"), "old and long");
    write_text(in_test("f"), "new");
    expect_text(in_test("f"), "new");
    struct stat st;
    CHECK_EQ(stat(test_directory(), &st), 0);
    CHECK(pf_write_file_durable(in_test("no/such/f"), "x", 1, NULL) < 0);
    /* A directory cannot be replaced; the temporary file is gone again. */
    CHECK_OK(pf_make_directories(in_test("d"), &err), &err);
    CHECK(pf_write_file_durable(in_test("d"), "x", 1, NULL) < 0);
    char command[4400];
    snprintf(command, sizeof(command), "test \"$(ls %s | tr '\\n' ' ')\" = 'd f '",
             test_directory());
    CHECK_EQ(system(command), 0);
}

TEST(durable_move_never_replaces)
{
    write_text(in_test("a"), "a");
    write_text(in_test("b"), "b");
    CHECK_EQ(pf_rename_durable(in_test("a"), in_test("b"), NULL), -EEXIST);
    expect_text(in_test("b"), "b");
    CHECK_OK(pf_rename_durable(in_test("a"), in_test("c"), &err), &err);
    expect_text(in_test("c"), "a");
    CHECK_EQ(pf_rename_durable(in_test("a"), in_test("d"), NULL), -ENOENT);
}

TEST(tree_is_removed_and_links_are_not_followed)
{
    write_text(in_test("kept"), "kept");
    CHECK_OK(pf_make_directories(in_test("tree/deep/er"), &err), &err);
    write_text(in_test("tree/deep/file"), "x");
    CHECK_EQ(symlink(test_directory(), in_test("tree/deep/er/link")), 0);
    CHECK_OK(pf_remove_tree(in_test("tree"), &err), &err);
    struct stat st;
    CHECK(lstat(in_test("tree"), &st) < 0 && errno == ENOENT);
    expect_text(in_test("kept"), "kept");
    CHECK_OK(pf_remove_tree(in_test("tree"), &err), &err); /* missing is no error */
}

TEST(paths_join)
{
    char *path = pf_path_join("a", "b");
    CHECK_STR(path, "a/b");
    free(path);
    path = pf_path_join("/", "b");
    CHECK_STR(path, "/b");
    free(path);
}

TEST(clocks)
{
    int64_t before = pf_monotonic_ms();
    CHECK(pf_monotonic_ms() >= before);
    CHECK(pf_wall_ms() > 0);
}

TEST(mount_of_known_places)
{
    struct pf_mount mount;
    CHECK_OK(pf_mount_of("/proc/self", &mount, &err), &err);
    CHECK_STR(mount.type, "proc");
    CHECK_STR(mount.point, "/proc");
    CHECK_OK(pf_mount_of(test_directory(), &mount, &err), &err);
    CHECK(mount.magic != 0);
    /* In a chroot the mount may be out of sight: both are known, or neither. */
    CHECK(!mount.type[0] == !mount.point[0]);
    CHECK_EQ(pf_mount_of(in_test("missing"), &mount, NULL), -ENOENT);
}
