/* Room for pictures: memory up to a limit, files beyond it, and what is foreseen of a burst. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "process/machine.h"
#include "process/room.h"
#include "process/stack.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 1200, HEIGHT = 900, MB = 1 << 20 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* On a disk where there is one. */
static const char *scratch(void)
{
    struct statfs system;
    const char *places[] = {getenv("TMPDIR"), "/var/tmp", "."};
    for (int i = 0; i < 3; i++)
        if (places[i] && statfs(places[i], &system) == 0 && system.f_type != 0x01021994)
            return places[i];
    SKIP("no directory on a disk");
    return NULL;
}

/* A stack; what was foreseen of it, and the most that was taken. */
static struct pf_image *stack_within(int64_t limit, enum pf_fuse fuse, struct pf_image **ret_map,
                                     struct pf_needs *ret_needs, struct pf_room_state *ret_room)
{
    struct pf_stack_settings settings = {.align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.5,
                                         .fuse = fuse,
                                         .clip = 3,
                                         .depth = true};
    struct pf_stack *stack = NULL;
    struct pf_frame_result result;
    struct pf_image *image = NULL;
    int rank[3] = {0, 1, 2};
    pf_room_set(limit, scratch());
    CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) {
        double h[9] = {1, 0, 2 * i, 0, 1, -i, 0, 0, 1};
        struct pf_image *frame = texture_frame(7, WIDTH, HEIGHT, h, 4 * i, 1);
        pf_stack_needs(&settings, NULL, frame, ret_needs);
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
        pf_image_free(frame);
    }
    CHECK_EQ(pf_stack_finish(stack, &image, NULL), 0);
    *ret_map = NULL;
    if (pf_fuse_has_maps(fuse))
        CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, rank, 3, ret_map, NULL), 0);
    pf_room_look(ret_room);
    pf_stack_free(stack);
    return image;
}

/* The first test: the most is of this stack. */
TEST(needs_are_what_is_taken)
{
    struct pf_image *map, *image;
    struct pf_needs needs;
    struct pf_room_state room;
    image = stack_within((int64_t)1 << 40, PF_FUSE_PYRAMID, &map, &needs, &room);
    pf_image_free(map);
    pf_image_free(image);
    /* Here the result is kept while the map is made, and there is one frame at a time; the pictures of
     * alignment are beside the room. */
    int64_t taken = needs.stack + needs.finish + 2 * WIDTH * HEIGHT;
    CHECK(room.most_memory_bytes <= taken);
    CHECK(room.most_memory_bytes >= needs.stack);
    CHECK(needs.most >= needs.stack + needs.finish);
}

TEST(room_beyond_the_limit_is_in_scratch)
{
    void *piece[4] = {0};
    struct pf_room_state room;
    pf_room_set(5 * MB, scratch());
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pf_room_take(&piece[i], 2 * MB, NULL), 0);
        CHECK_EQ((uintptr_t)piece[i] % 64, 0);
        memset(piece[i], i + 1, 2 * MB);
    }
    pf_room_look(&room);
    CHECK_EQ(room.limit_bytes, 5 * MB);
    CHECK_EQ(room.memory_bytes, 4 * MB);
    CHECK_EQ(room.scratch_bytes, 4 * MB);
    for (int i = 0; i < 4; i++)
        CHECK(((char *)piece[i])[0] == i + 1 && ((char *)piece[i])[2 * MB - 1] == i + 1);
    for (int i = 0; i < 4; i++)
        pf_room_give(piece[i], 2 * MB);
    /* What was given back may be taken again, in memory. */
    CHECK_EQ(pf_room_take(&piece[0], 4 * MB, NULL), 0);
    pf_room_look(&room);
    CHECK_EQ(room.memory_bytes, 4 * MB);
    CHECK_EQ(room.scratch_bytes, 0);
    CHECK(room.most_scratch_bytes >= 4 * MB);
    pf_room_give(piece[0], 4 * MB);
    pf_room_give(NULL, 4 * MB);
}

/* What was given back is kept, and becomes what is taken next, of whatever size; it counts as long as it stays. */
TEST(room_that_was_given_back_is_cut_and_stretched)
{
    static const int mb[] = {6, 12, 24, 20, 5, 11, 64, 2, 1};
    struct pf_room_state room;
    void *piece, *kept[3];
    pf_room_set((int64_t)1 << 40, scratch());
    CHECK_EQ(pf_room_take(&piece, 3 * MB, NULL), 0);
    pf_room_give(piece, 3 * MB);
    for (size_t i = 0; i < sizeof(mb) / sizeof(mb[0]); i++) {
        CHECK_EQ(pf_room_take(&piece, (size_t)mb[i] * MB, NULL), 0);
        memset(piece, (int)i, (size_t)mb[i] * MB);
        pf_room_look(&room);
        CHECK_EQ(room.memory_bytes, mb[i] * MB);
        pf_room_give(piece, (size_t)mb[i] * MB);
    }
    pf_room_trim();

    pf_room_set(10 * MB, scratch());
    CHECK_EQ(pf_room_take(&piece, 6 * MB, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pf_room_take(&kept[i], MB, NULL), 0);
    for (int i = 0; i < 3; i++)
        pf_room_give(kept[i], MB);
    CHECK_EQ(pf_room_take(&kept[0], 7 * MB / 2, NULL), 0);
    CHECK_EQ(pf_room_take(&kept[1], MB, NULL), 0);
    pf_room_look(&room);
    CHECK_EQ(room.memory_bytes, 19 * MB / 2);
    CHECK_EQ(room.scratch_bytes, MB);
    pf_room_give(kept[1], MB);
    pf_room_give(kept[0], 7 * MB / 2);
    pf_room_give(piece, 6 * MB);
    pf_room_trim();
}

TEST(room_that_is_not_there_is_an_error_that_says_so)
{
    struct pf_error err = {0};
    struct statfs system;
    void *piece;
    pf_room_set(1, "/nonexistent");
    CHECK_EQ(pf_room_take(&piece, 2 * MB, &err), -ENOBUFS); /* it may be mounted */
    CHECK(strstr(err.text, "/nonexistent") && strstr(err.text, "No such file"));
    pf_room_set(1, scratch());
    CHECK_EQ(statfs(scratch(), &system), 0);
    pf_error_clear(&err);
    CHECK_EQ(pf_room_take(&piece, (size_t)1 << 50, &err), -EFBIG); /* more than the disk has */
    pf_error_clear(&err);
    size_t free_bytes = (size_t)system.f_bavail * (size_t)system.f_frsize;
    if (free_bytes + 200 * MB < (size_t)system.f_blocks * (size_t)system.f_frsize)
        CHECK_EQ(pf_room_take(&piece, free_bytes + 50 * MB, &err),
                 -ENOBUFS); /* known beforehand: no SIGBUS */
    if (statfs("/dev/shm", &system) == 0 && system.f_type == 0x01021994) {
        pf_room_set(1, "/dev/shm");
        pf_error_clear(&err);
        CHECK_EQ(pf_room_take(&piece, 2 * MB, &err), -ENOBUFS);
        CHECK(strstr(err.text, "lies in memory itself"));
    }
    CHECK_EQ(pf_room_take(&piece, 100, NULL), 0); /* small pieces do not ask */
    pf_room_give(piece, 100);
}

/* What other pieces take now may be free later; what the limit leaves to no piece will not. */
TEST(room_within_the_address_space)
{
    struct rlimit limit;
    void *piece[2] = {0};
    if (access("/proc/self/statm", R_OK) < 0 || SANITIZED)
        SKIP("the address space has no measure");
    CHECK_EQ(pf_room_take(&piece[0], 200 * MB, NULL), 0);
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    CHECK(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + 100 * MB;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_EQ(pf_room_take(&piece[1], 200 * MB, NULL), -ENOBUFS);
    CHECK_EQ(pf_room_take(&piece[1], 400 * MB, NULL), -EFBIG);
    pf_room_give(piece[0], 200 * MB);
    CHECK_EQ(pf_room_take(&piece[1], 200 * MB, NULL), 0);
    pf_room_give(piece[1], 200 * MB);
}

static bool is_same(const struct pf_image *a, const struct pf_image *b)
{
    for (int y = 0; y < a->height; y++)
        if (memcmp((char *)a->plane[0] + (size_t)y * a->stride_bytes[0],
                   (char *)b->plane[0] + (size_t)y * b->stride_bytes[0], 2 * (size_t)a->width) != 0)
            return false;
    return true;
}

TEST(room_in_scratch_gives_the_same_stack)
{
    for (int fuse = PF_FUSE_PYRAMID; fuse <= PF_FUSE_AVERAGE; fuse++) {
        struct pf_image *map[2], *image[2];
        struct pf_needs needs;
        struct pf_room_state room;
        image[0] = stack_within((int64_t)1 << 40, (enum pf_fuse)fuse, &map[0], &needs, &room);
        image[1] = stack_within(1, (enum pf_fuse)fuse, &map[1], &needs, &room);
        CHECK(room.most_scratch_bytes > needs.stack);
        CHECK(is_same(image[0], image[1]));
        CHECK(!map[0] || is_same(map[0], map[1]));
        for (int i = 0; i < 2; i++) {
            pf_image_free(map[i]);
            pf_image_free(image[i]);
        }
    }
}

/* ---- what there is ---- */

/* A file of the kernel's, in a tree of the test's own. */
static void is_in(const char *path, const char *text)
{
    char full[8192];
    snprintf(full, sizeof(full), "%s%s", test_directory(), path);
    for (char *at = full + strlen(test_directory()) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(full, 0777);
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void has(int64_t total_mb, int64_t available_mb)
{
    struct pf_machine machine = pf_machine_look(test_directory());
    CHECK_EQ(machine.total_bytes, total_mb * MB);
    CHECK_EQ(machine.available_bytes, available_mb * MB);
}

TEST(machine_without_a_limit)
{
    struct pf_machine machine = pf_machine_look(test_directory());
    CHECK(machine.total_bytes == INT64_MAX && machine.available_bytes == INT64_MAX);
    is_in("/proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 4096000 kB\n");
    has(8000, 4000);
}

TEST(machine_with_groups_of_version_2)
{
    is_in("/proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 4096000 kB\n");
    is_in("/proc/self/cgroup", "0::/system.slice/parfocal.service\n");
    is_in("/sys/fs/cgroup/system.slice/parfocal.service/memory.max", "max\n");
    is_in("/sys/fs/cgroup/system.slice/parfocal.service/memory.current", "1048576\n");
    has(8000, 4000);
    is_in("/sys/fs/cgroup/system.slice/memory.max", "1048576000\n");
    is_in("/sys/fs/cgroup/system.slice/memory.current", "209715200\n");
    is_in("/sys/fs/cgroup/system.slice/memory.stat", "anon 3\ninactive_file 104857600\n");
    has(1000, 900);
}

/* /proc/self/cgroup has the host's name of the group, of which nothing is seen here. */
TEST(machine_in_a_container_without_a_name_space_of_groups)
{
    is_in("/proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 4096000 kB\n");
    is_in("/proc/self/cgroup", "5:memory:/docker/0123abc\n3:cpu:/docker/0123abc\n");
    is_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", "524288000\n");
    is_in("/sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
    has(500, 400);
    is_in("/proc/self/cgroup", "0::/docker/0123abc\n");
    has(8000, 4000);
    is_in("/sys/fs/cgroup/memory.max", "314572800\n");
    is_in("/sys/fs/cgroup/memory.current", "104857600\n");
    has(300, 200);
}
