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

/* What was synced since this was emptied, by the last part of its name, and what cannot be. */
static char synced[256];
static const char *unsynced;
static int unsynced_code;

int fsync(int fd)
{
    char link[64], path[4300];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    CHECK(n > 0);
    path[n] = '\0';
    const char *name = pf_base_name(path);
    size_t used = strlen(synced);
    snprintf(synced + used, sizeof(synced) - used, "%s ", name);
    errno = unsynced_code;
    return unsynced && !strcmp(name, unsynced) ? -1 : 0;
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

/* The name of each that is made, and of none that was there. */
TEST(directories_that_are_made_are_durable)
{
    struct stat st;
    CHECK_OK(pf_make_directories(in_test("a"), &err), &err);
    *synced = '\0';
    CHECK_OK(pf_make_directories(in_test("a/b//c/d/"), &err), &err);
    CHECK_STR(synced, "a b c ");
    *synced = '\0';
    CHECK_OK(pf_make_directories(in_test("a/b/c/d"), &err), &err);
    CHECK_STR(synced, "");
    /* One that is not durable is not there: else the next attempt would take it for one that is. */
    unsynced = "c";
    unsynced_code = EIO;
    CHECK_EQ(pf_make_directories(in_test("a/b/c/e/f"), &err), -EIO);
    CHECK(strstr(err.text, "a/b/c: Input/output error"));
    CHECK(stat(in_test("a/b/c/e"), &st) < 0 && errno == ENOENT);
    CHECK_EQ(pf_make_directories(in_test("a/b/c/e/f"), NULL), -EIO);
    unsynced_code = EINVAL; /* a file system that cannot */
    pf_error_clear(&err);
    CHECK_OK(pf_make_directories(in_test("a/b/c/e/f"), &err), &err);
    unsynced = NULL;
    CHECK_EQ(chdir(test_directory()), 0);
    *synced = '\0';
    CHECK_OK(pf_make_directories("a/g/h", &err), &err);
    CHECK_STR(synced, "a g ");
}

/* Nobody can sync what he cannot list. */
TEST(directory_in_one_that_is_not_listed)
{
    CHECK_EQ(chdir(test_directory()), 0);
    CHECK_EQ(mkdir("a", 0700), 0);
    if (geteuid() == 0)
        CHECK(chown(".", 65534, 65534) == 0 && chown("a", 65534, 65534) == 0 &&
              setgid(65534) == 0 && setuid(65534) == 0);
    CHECK_EQ(chmod("a", 0300), 0);
    CHECK_OK(pf_make_directories("a/b/c", &err), &err);
    CHECK_EQ(chmod("a", 0700), 0);
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

TEST(path_beneath_another)
{
    static const struct {
        const char *path, *above, *rest;
    } cases[] = {
        {"/a/b/c", "/a/b", "c"}, {"/a/b/c", "/a/b/", "c"}, {"/a//b", "/a", "b"},
        {"/a/b", "/a/b", ""},    {"/a/b", "/a/b/", ""},    {"/a/b/", "/a/b", ""},
        {"/a/bc", "/a/b", NULL}, {"/a/bc", "/a/b/", NULL}, {"/a", "/a/b", NULL},
        {"/b/a", "/a", NULL},    {"/a/b", "/", "a/b"},     {"/", "/", ""},
        {"/a", "", NULL},        {"", "", NULL},           {"", "/", NULL},
        {"a/b", "a", "b"},       {"a", "/", NULL},         {"", "/a", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *rest = pf_path_beneath(cases[i].path, cases[i].above);
        CHECK(!rest == !cases[i].rest);
        if (rest)
            CHECK_STR(rest, cases[i].rest);
    }
}

TEST(plain_paths)
{
    static const char *const cases[][2] = {
        {"/a/b", "/a/b"}, {"/a/b/", "/a/b"}, {"//a//b//", "/a/b"},   {"/a/./b/.", "/a/b"},
        {"/", "/"},       {"/./", "/"},      {"/.a/..b", "/.a/..b"}, {"/a/../b", "/a/../b"},
    };
    char here[4096], expected[4200];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *plain = pf_path_plain(cases[i][0]);
        CHECK_STR(plain, cases[i][1]);
        free(plain);
    }
    CHECK(getcwd(here, sizeof(here)));
    snprintf(expected, sizeof(expected), "%s/a", here);
    char *plain = pf_path_plain("./a/.");
    CHECK_STR(plain, expected);
    free(plain);
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

/* As a unit with ReadWritePaths= sees it, and what comes of mounts there. */
TEST(mount_begins_above_binds_to_its_own_place)
{
    static const char table[] =
        "20 1 8:2 / / ro,relatime master:1 - ext4 /dev/sda2 rw\n"
        "21 20 8:2 /var/lib/parfocal /var/lib/parfocal rw master:1 - ext4 /dev/sda2 rw\n"
        "22 21 8:2 /var/lib/parfocal/outbox /var/lib/parfocal/outbox rw - ext4 /dev/sda2 rw\n"
        /* a share, and what is bound of it; one that has come beneath and above a bind */
        "30 20 0:40 / /mnt/a\\040b rw master:7 - cifs //nas/stacks rw\n"
        "31 30 0:40 /out /mnt/a\\040b/out rw master:7 - cifs //nas/stacks rw\n"
        "32 20 0:41 / /mnt/late rw master:8 - cifs //nas/late rw\n"
        "33 32 8:2 /mnt/late /mnt/late rw master:1 - ext4 /dev/sda2 rw\n"
        "34 33 0:41 / /mnt/late rw master:8 - cifs //nas/late rw\n"
        "35 20 0:42 / /mnt/nfs rw - nfs4 nas:/stacks rw\n"
        "36 35 0:42 / /mnt/nfs/out rw - nfs4 nas:/stacks rw\n"
        /* another directory of the same file system, another part of the same disk, another file system of the same name */
        "40 20 8:2 /home/me/stacks /srv rw - ext4 /dev/sda2 rw\n"
        "50 20 0:50 /@ /fs rw shared:3 - btrfs /dev/sdb1 rw\n"
        "51 50 0:50 /@data /fs/data rw shared:4 - btrfs /dev/sdb1 rw\n"
        "60 20 0:60 / /t rw - tmpfs tmpfs rw\n"
        "61 60 0:61 / /t/t rw - tmpfs tmpfs rw\n"
        /* another directory of a share, and one disk at two places */
        "37 35 0:42 / /mnt/nfs/vol rw - nfs4 nas:/stacks/vol rw\n"
        "80 20 8:16 / /mnt/d rw - ext4 /dev/sdb rw\n"
        "81 80 8:16 / /mnt/d/b rw - ext4 /dev/sdb rw\n"
        "70 70 0:2 / / rw - rootfs rootfs rw";
    static const struct {
        uint64_t id;
        const char *point, *root, *type, *source;
    } cases[] = {
        {20, "/", "/", "ext4", "/dev/sda2"},
        {21, "/", "/", "ext4", "/dev/sda2"},
        {22, "/", "/", "ext4", "/dev/sda2"},
        {30, "/mnt/a b", "/", "cifs", "//nas/stacks"},
        {31, "/mnt/a b", "/", "cifs", "//nas/stacks"},
        {33, "/mnt/late", "/mnt/late", "ext4", "/dev/sda2"},
        {34, "/mnt/late", "/", "cifs", "//nas/late"},
        {36, "/mnt/nfs", "/", "nfs4", "nas:/stacks"},
        {37, "/mnt/nfs/vol", "/", "nfs4", "nas:/stacks/vol"},
        {81, "/mnt/d/b", "/", "ext4", "/dev/sdb"},
        {40, "/srv", "/home/me/stacks", "ext4", "/dev/sda2"},
        {51, "/fs/data", "/@data", "btrfs", "/dev/sdb1"},
        {61, "/t/t", "/", "tmpfs", "tmpfs"},
        {70, "/", "/", "rootfs", "rootfs"},
    };
    struct pf_mount mount = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK(pf_mount_begin_in(table, cases[i].id, &mount));
        CHECK_STR(mount.point, cases[i].point);
        CHECK_STR(mount.root, cases[i].root);
        CHECK_STR(mount.type, cases[i].type);
        CHECK_STR(mount.source, cases[i].source);
    }
    CHECK(!pf_mount_begin_in(table, 2, &mount));
    CHECK(!pf_mount_begin_in("", 20, &mount));

    /* Though a unit's own tmpfs lies between them. */
    struct pf_mount share = {0}, bound = {0};
    CHECK(pf_mount_begin_in(table, 35, &share));
    bound = share;
    snprintf(bound.point, sizeof(bound.point), "/mnt/nfs/deep/out");
    CHECK(pf_mount_is_part(&bound, &share));
    CHECK(!pf_mount_is_part(&share, &share));
    snprintf(bound.source, sizeof(bound.source), "nas:/others");
    CHECK(!pf_mount_is_part(&bound, &share));
    CHECK(!pf_mount_begin_in("20 1 8:2 /\n", 20, &mount));
}
