/* Landlock and capabilities; system calls are in sandbox_calls.c. */
#include "config/base/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/base/file.h"

enum { PLACES_MAX = 64, ANSWER_MS = 2000 };

/* Of versions later than Debian 12's headers. */
#define ACCESS_FS_REFER    (1ull << 13) /* 2 */
#define ACCESS_FS_TRUNCATE (1ull << 14) /* 3 */
#define ACCESS_NET_TCP     3ull         /* 4: bind and connect */
#define SCOPE_ALL          3ull         /* 6: abstract sockets and signals */

struct ruleset {
    uint64_t fs, net, scoped;
};

#define WRITING                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_FS_REFER |               \
     ACCESS_FS_TRUNCATE)
/* Of them what a directory for results needs (who has no sockets makes none), and what a device file does. */
#define RESULTS                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_FS_REFER | ACCESS_FS_TRUNCATE | READING)
#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define OF_A_FILE                                                                                  \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     ACCESS_FS_TRUNCATE)
#define DEVICE (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_TRUNCATE | READING)

/* What the directories and devices were when the rules were made: whether they are the same is asked later. */
static struct {
    char path[512];
    dev_t dev;
    ino_t ino;
    int watch; /* of inotify(7), -1 none */
    bool is_device, is_gone;
} seen[PLACES_MAX];
static size_t seen_count;
static int watches_fd = -1;

static int landlock_version(void)
{
    long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return r > 0 ? (int)r : 0;
}

void pf_sandbox_probe(struct pf_sandbox_probe *ret)
{
    /* A filter at a wild address: the kernel that filters says EFAULT. */
    ret->seccomp =
        prctl(PR_GET_SECCOMP) >= 0 && syscall(SYS_seccomp, 1, 0, NULL) < 0 && errno == EFAULT;
    ret->landlock = landlock_version();
}

void pf_sandbox_words(const struct pf_sandbox_probe *probe, char *text, size_t size)
{
    char files[64];
    snprintf(files, sizeof(files), "files confined (Landlock %d)", probe->landlock);
    snprintf(text, size, "%s, %s",
             probe->seccomp ? "system calls filtered" : "system calls not filtered (no seccomp)",
             probe->landlock ? files : "files not confined (no Landlock)");
}

/* ---- directories ---- */

struct asked {
    char path[512];
    int answer_fd;
};

/* A mount whose server is gone would hold whoever asks: this thread then, which is left behind. */
static void *ask(void *context)
{
    struct asked *asked = context;
    int fd = open(asked->path, O_PATH | O_CLOEXEC);
    ssize_t ignored = write(asked->answer_fd, &fd, sizeof(fd));
    (void)ignored;
    close(asked->answer_fd);
    free(asked);
    return NULL;
}

/* Descriptor of the directory or file, -1 when it is not there or does not answer. */
static int open_patiently(const char *path)
{
    int ends[2], fd = -1;
    pthread_t thread;
    struct asked *asked = calloc(1, sizeof(*asked));
    if (!asked || strlen(path) >= sizeof(asked->path) || pipe2(ends, O_CLOEXEC) < 0) {
        free(asked);
        return -1;
    }
    memcpy(asked->path, path, strlen(path) + 1);
    asked->answer_fd = ends[1];
    if (pthread_create(&thread, NULL, ask, asked) != 0) {
        close(ends[1]);
        free(asked);
    } else {
        struct pollfd answer = {.fd = ends[0], .events = POLLIN};
        if (poll(&answer, 1, ANSWER_MS) > 0) {
            if (read(ends[0], &fd, sizeof(fd)) != sizeof(fd))
                fd = -1;
            pthread_join(thread, NULL);
        } else {
            pthread_detach(thread);
        }
    }
    close(ends[0]);
    return fd;
}

static int allow(int ruleset, int fd, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

/* A rule for a file knows no rights over a directory. */
static int allow_path(int ruleset, const char *path, uint64_t access)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC), r = 0;
    if (fd < 0)
        return 0; /* what is not there needs no rule */
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        access &= OF_A_FILE;
    if (access)
        r = allow(ruleset, fd, access);
    close(fd);
    return r;
}

static void note_seen(const char *path, const struct stat *st, bool is_device, int watch)
{
    if (seen_count == PLACES_MAX)
        return;
    snprintf(seen[seen_count].path, sizeof(seen[0].path), "%s", path);
    seen[seen_count].is_device = is_device;
    seen[seen_count].watch = watch;
    seen[seen_count].dev = st->st_dev;
    seen[seen_count++].ino = st->st_ino;
}

/* A rule ends with the mount of what it is for, and so does a watch, which tells of it: a disk or share that is mounted
 * again has the same numbers. Neither keeps it from being unmounted. */
static int watch(int fd)
{
    char path[32];
    if (watches_fd < 0)
        watches_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return watches_fd < 0 ? -1 : inotify_add_watch(watches_fd, path, IN_DELETE_SELF);
}

static void take_watches(void)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } got;
    for (ssize_t size; watches_fd >= 0 && (size = read(watches_fd, &got, sizeof(got))) > 0;)
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const struct inotify_event *)(got.bytes + at);
            for (size_t i = 0; i < seen_count; i++)
                seen[i].is_gone |= seen[i].watch == event->wd;
            at += (ssize_t)(sizeof(*event) + event->len);
        }
}

/* By opendir(): what is opened by open() beneath /dev, umockdev takes for a device. */
static int allow_device(int ruleset, const char *path, uint64_t access)
{
    struct stat st = {0};
    if (stat(path, &st) == 0)
        note_seen(path, &st, true, -1);
    DIR *directory = opendir(path);
    if (!directory)
        return allow_path(ruleset, path, access);
    int r = allow(ruleset, dirfd(directory), access);
    closedir(directory);
    return r;
}

static int allow_paths(int ruleset, const char *const *paths, uint64_t access)
{
    int r = 0;
    for (; r == 0 && *paths; paths++)
        r = allow_path(ruleset, *paths, access);
    return r;
}

/* A file in the place of a directory is nothing to write to: it is waited for as if nothing were there. */
static int allow_writable(int ruleset, const char *path, uint64_t access)
{
    struct stat st = {0};
    int fd = open_patiently(path), r = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        r = allow(ruleset, fd, access);
    note_seen(path, &st, false, fd >= 0 ? watch(fd) : -1);
    if (fd >= 0)
        close(fd);
    return r;
}

/* Of a directory that is not there: it was removed, and not its whole disk. What is nearest above it is on that
 * disk. */
static bool is_removed(const char *path, dev_t dev)
{
    char above[sizeof(seen[0].path)], *slash;
    struct stat st;
    snprintf(above, sizeof(above), "%.*s", (int)sizeof(above) - 1, path);
    while ((slash = strrchr(above, '/')) && above[1]) {
        slash[slash == above] = '\0';
        if (stat(above, &st) == 0)
            return st.st_dev == dev;
        if (errno != ENOENT)
            return false;
    }
    return false;
}

bool pf_sandbox_is_stale(const char *path)
{
    take_watches();
    for (size_t i = 0; i < seen_count; i++) {
        struct stat st;
        if (!pf_path_beneath(path, seen[i].path))
            continue;
        if (stat(seen[i].path, &st) < 0)
            return errno == ENOENT && !seen[i].is_device && is_removed(seen[i].path, seen[i].dev);
        return seen[i].is_gone || st.st_dev != seen[i].dev || st.st_ino != seen[i].ino;
    }
    return false;
}

/* ---- rules ---- */

/* Each directory of a list such as PATH. */
static int allow_list(int ruleset, const char *list, uint64_t access)
{
    int r = 0;
    while (list && *list && r == 0) {
        char path[512];
        size_t length = strcspn(list, ":");
        if (length && length < sizeof(path)) {
            memcpy(path, list, length);
            path[length] = '\0';
            r = allow_path(ruleset, path, access);
        }
        list += length + (list[length] == ':');
    }
    return r;
}

/* What elastix needs beside what it inherits: itself with its libraries, and files of its own. */
static int allow_programs(int ruleset, uint64_t fs)
{
    static const char *const code[] = {"/usr", "/bin", "/lib", "/lib64"};
    const char *temporary = getenv("TMPDIR");
    int r = allow_list(ruleset, getenv("PATH"), LANDLOCK_ACCESS_FS_EXECUTE);
    for (size_t i = 0; r == 0 && i < sizeof(code) / sizeof(code[0]); i++)
        r = allow_path(ruleset, code[i], LANDLOCK_ACCESS_FS_EXECUTE);
    if (r == 0 && temporary && *temporary)
        r = allow_path(ruleset, temporary, fs & RESULTS);
    if (r == 0)
        r = allow_path(ruleset, "/dev/shm", fs & RESULTS);
    return r == 0 ? allow_path(ruleset, "/tmp", fs & RESULTS) : r;
}

/* From version 570 on cuInit() names a thread through its file in /proc, and takes a refusal for the end. A
 * rule is one of an inode, of which procfs makes another when nobody has it open any more: it stays open. */
static int allow_names_of_threads(int ruleset)
{
    int fd = open("/proc/self/task", O_PATH | O_CLOEXEC);
    return fd < 0 ? 0 : allow(ruleset, fd, LANDLOCK_ACCESS_FS_WRITE_FILE);
}

static int allow_pattern(int ruleset, const char *pattern, uint64_t access, bool *found)
{
    glob_t there;
    int r = 0;
    if (glob(pattern, 0, NULL, &there) != 0)
        return 0;
    for (size_t i = 0; r == 0 && i < there.gl_pathc; i++)
        r = allow_path(ruleset, there.gl_pathv[i], access);
    *found |= there.gl_pathc > 0;
    globfree(&there);
    return r;
}

/* The device files of NVIDIA's driver: of cards, of Tegra's own GPUs (Jetson), of WSL. Where there are none,
 * nothing is allowed. Beside them it uses those of the display and shared memory, and keeps compiled kernels
 * under the home. */
static int allow_gpu(int ruleset, uint64_t fs)
{
    static const char *const cards[] = {"/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu",
                                        "/dev/dxg"};
    static const char *const beside[] = {"/dev/dri", "/dev/nvsciipc", "/dev/host1x-fence", NULL};
    const char *home = getenv("HOME");
    struct pf_error ignored = {0};
    bool found = false;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(cards) / sizeof(cards[0]); i++)
        r = allow_pattern(ruleset, cards[i], fs & DEVICE, &found);
    if (r < 0 || !found)
        return r;
    r = allow_paths(ruleset, beside, fs & DEVICE);
    if (r == 0)
        r = allow_path(ruleset, "/dev/shm", fs & RESULTS);
    char *cache = home && *home == '/' ? pf_path_join(home, ".nv") : NULL;
    if (cache && r == 0 && pf_make_directories(cache, &ignored) == 0)
        r = allow_path(ruleset, cache, fs & RESULTS);
    free(cache);
    return r == 0 ? allow_names_of_threads(ruleset) : r;
}

/* What the C library, libgphoto2's drivers, libusb and libudev read: themselves, the time zone, whose
 * address a name is, and what the kernel tells. */
static int allow_reading(int ruleset, const char *const *readable, uint64_t fs)
{
    static const char *const system[] = {"/usr",
                                         "/bin",
                                         "/lib",
                                         "/lib32",
                                         "/lib64",
                                         "/proc",
                                         "/sys",
                                         "/run/udev",
                                         "/dev/zero",
                                         "/dev/random",
                                         "/dev/urandom",
                                         "/etc/ld.so.cache",
                                         "/etc/hosts",
                                         "/etc/localtime",
                                         "/etc/nsswitch.conf",
                                         "/etc/gai.conf",
                                         "/etc/host.conf",
                                         "/etc/resolv.conf",
                                         "/proc/self/exe",
                                         NULL};
    static const char *const lists[] = {"LD_LIBRARY_PATH", "CAMLIBS", "IOLIBS"};
    int r = allow_paths(ruleset, system, fs & READING);
    for (size_t i = 0; r == 0 && i < sizeof(lists) / sizeof(lists[0]); i++)
        r = allow_list(ruleset, getenv(lists[i]), fs & READING);
    return r == 0 ? allow_paths(ruleset, readable, fs & READING) : r;
}

static int add_rules(int ruleset, const struct pf_sandbox *sandbox, uint64_t fs)
{
    /* Standard error may be a terminal that is opened anew by nobody, but /dev/null is. */
    int r = allow_path(ruleset, "/dev/null", fs & DEVICE);
    for (size_t i = 0; r == 0 && sandbox->writable[i]; i++)
        r = allow_writable(ruleset, sandbox->writable[i], fs & RESULTS);
    for (size_t i = 0; r == 0 && sandbox->devices && sandbox->devices[i]; i++)
        r = allow_device(ruleset, sandbox->devices[i], fs & DEVICE);
    if (r == 0 && sandbox->readable)
        r = allow_reading(ruleset, sandbox->readable, fs);
    if (r == 0 && sandbox->programs)
        r = allow_programs(ruleset, fs);
    return r == 0 && sandbox->gpu ? allow_gpu(ruleset, fs) : r;
}

static int confine(const struct pf_sandbox *sandbox, int version)
{
    struct ruleset handled = {.fs = WRITING, .scoped = SCOPE_ALL};
    size_t size = sizeof(handled);
    handled.fs |= LANDLOCK_ACCESS_FS_EXECUTE;
    if (sandbox->readable)
        handled.fs |= READING;
    if (!sandbox->network)
        handled.net = ACCESS_NET_TCP;
    if (version < 2)
        handled.fs &= ~ACCESS_FS_REFER;
    if (version < 3)
        handled.fs &= ~ACCESS_FS_TRUNCATE;
    if (version < 6)
        size = offsetof(struct ruleset, scoped);
    if (version < 4)
        size = offsetof(struct ruleset, net);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
    if (ruleset < 0)
        return -errno;
    fcntl(ruleset, F_SETFD, FD_CLOEXEC);
    int r = add_rules(ruleset, sandbox, handled.fs);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    close(ruleset);
    return r;
}

/* Root that reads and writes files needs no more; who is not root has none. */
static void drop_capabilities(enum pf_sandbox_role role)
{
    uint64_t keep = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH;
    if (role == PF_SANDBOX_HOLDER)
        keep |= 1ull << CAP_SYS_PTRACE;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
        if (i > 63 || !(keep >> i & 1))
            prctl(PR_CAPBSET_DROP, i); /* fails without CAP_SETPCAP, and is not needed then */
    if (syscall(SYS_capget, &head, data) < 0)
        return;
    for (int half = 0; half < 2; half++) {
        uint32_t kept = (uint32_t)(keep >> (32 * half));
        data[half].permitted &= kept;
        data[half].effective &= kept;
        data[half].inheritable = 0;
    }
    syscall(SYS_capset, &head, data);
}

int pf_sandbox_files(const struct pf_sandbox *sandbox, struct pf_error *err)
{
    int version = landlock_version();
    drop_capabilities(sandbox->role);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return pf_fail_errno(err, errno, "sandbox: no_new_privs");
    if (!version || !sandbox->writable)
        return 0;
    int r = confine(sandbox, version);
    return r < 0 ? pf_fail_errno(err, -r, "sandbox: confining files with Landlock") : 0;
}
