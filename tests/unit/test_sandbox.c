/* The sandbox from inside: each attempt is made by a process of its own that has entered it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/confine.h"
#include "config/base/limits.h"
#include "config/base/sandbox.h"
#include "tests/unit/test.h"

enum { PASSED = 0, NOT_ENTERED = 99, KILLED = 1000 };

static char inside[4200], outside[4200];

static void make_places(void)
{
    snprintf(inside, sizeof(inside), "%s/inside", test_directory());
    snprintf(outside, sizeof(outside), "%s/outside", test_directory());
    mkdir(inside, 0755);
    mkdir(outside, 0755);
}

/* The errno with which `attempt` fails within the sandbox, 0 when it succeeds, KILLED + a signal. */
static int in_sandbox(struct pf_sandbox sandbox, int (*attempt)(void))
{
    const char *const writable[] = {inside, NULL};
    make_places();
    sandbox.writable = writable;
    pid_t pid = fork();
    if (pid == 0) {
        struct pf_error err = {0};
        if (pf_sandbox_files(&sandbox, &err) < 0 || pf_sandbox_calls(&sandbox, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(NOT_ENTERED);
        }
        errno = 0;
        _exit(attempt() < 0 ? errno : PASSED);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static const struct pf_sandbox worker = {.role = PF_SANDBOX_WORKER};
static const struct pf_sandbox bspline = {.role = PF_SANDBOX_WORKER, .programs = true};
static const struct pf_sandbox folder = {.role = PF_SANDBOX_FOLDER};
static const struct pf_sandbox usb_camera = {.role = PF_SANDBOX_CAMERA};
static const struct pf_sandbox ptpip_camera = {.role = PF_SANDBOX_CAMERA, .network = true};

static struct pf_sandbox_probe probe(void)
{
    struct pf_sandbox_probe here;
    pf_sandbox_probe(&here);
    return here;
}

#define NEED_SECCOMP()                                                                             \
    if (!probe().seccomp)                                                                          \
    SKIP("no seccomp in this kernel or container")
#define NEED_LANDLOCK(version)                                                                     \
    if (probe().landlock < (version))                                                              \
    SKIP("no Landlock of version " #version)

static int internet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int local_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int packets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static int netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 15);
}

TEST(no_sockets_but_a_cameras)
{
    NEED_SECCOMP();
    CHECK_EQ(in_sandbox(worker, internet), ENOSYS);
    CHECK_EQ(in_sandbox(worker, local_socket), ENOSYS);
    CHECK_EQ(in_sandbox(bspline, internet), ENOSYS);
    CHECK_EQ(in_sandbox(folder, internet), ENOSYS);
    CHECK_EQ(in_sandbox(folder, netlink), ENOSYS);
    CHECK_EQ(in_sandbox(usb_camera, internet), ENOSYS);
    CHECK_EQ(in_sandbox(usb_camera, packets), ENOSYS);
    CHECK_EQ(in_sandbox(usb_camera, netlink), PASSED);
    CHECK_EQ(in_sandbox(ptpip_camera, internet), PASSED);
    CHECK_EQ(in_sandbox(ptpip_camera, packets), ENOSYS);
}

static int trace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int new_user(void)
{
    return (int)syscall(SYS_unshare, 0x10000000);
}

static int load_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

TEST(an_attack_ends_the_process)
{
    NEED_SECCOMP();
    CHECK_EQ(in_sandbox(worker, new_user), KILLED + SIGSYS);
    CHECK_EQ(in_sandbox(worker, load_bpf), KILLED + SIGSYS);
    CHECK_EQ(in_sandbox(folder, load_bpf), KILLED + SIGSYS);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("sanitizers need ptrace");
#endif
    CHECK_EQ(in_sandbox(worker, trace), KILLED + SIGSYS);
    CHECK_EQ(in_sandbox(usb_camera, trace), KILLED + SIGSYS);
}

static int true_program(void)
{
    char *const argv[] = {"true", NULL}, *const environment[] = {NULL};
    return execve("/bin/true", argv, environment);
}

static int own_program(void)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/program", inside);
    int fd = open(path, O_WRONLY | O_CREAT, 0755);
    if (fd < 0 || write(fd, "#!/bin/true\n", 12) != 12)
        return 0; /* not what is asked here */
    close(fd);
    char *const argv[] = {path, NULL}, *const environment[] = {NULL};
    return execve(path, argv, environment);
}

static int another_process(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

TEST(no_programs_but_those_installed_and_only_for_elastix)
{
    NEED_SECCOMP();
    CHECK_EQ(in_sandbox(worker, true_program), ENOSYS);
    CHECK_EQ(in_sandbox(folder, true_program), ENOSYS);
    CHECK_EQ(in_sandbox(bspline, true_program), PASSED);
    NEED_LANDLOCK(1);
    /* What it wrote itself is no program, however it is marked. */
    CHECK_EQ(in_sandbox(bspline, own_program), EACCES);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("sanitizers start processes");
#endif
    CHECK_EQ(in_sandbox(worker, another_process), ENOSYS);
}

static int write_in(const char *directory)
{
    char path[4300], other[4300];
    snprintf(path, sizeof(path), "%s/a", directory);
    snprintf(other, sizeof(other), "%s/b", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 10) < 0 || close(fd) < 0)
        return -1;
    return rename(path, other) < 0 || unlink(other) < 0 ? -1 : 0;
}

static int write_inside(void)
{
    return write_in(inside);
}

static int write_outside(void)
{
    return write_in(outside);
}

static int remove_outside(void)
{
    return rmdir(outside);
}

static int read_outside(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int leave_by_link(void)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/link", inside);
    if (symlink(outside, path) < 0)
        return -1;
    return 0;
}

TEST(writes_where_it_may_alone)
{
    NEED_LANDLOCK(3);
    CHECK_EQ(in_sandbox(worker, write_inside), PASSED);
    CHECK_EQ(in_sandbox(worker, write_outside), EACCES);
    CHECK_EQ(in_sandbox(worker, remove_outside), EACCES);
    CHECK_EQ(in_sandbox(worker, read_outside), PASSED);
    CHECK(in_sandbox(worker, leave_by_link) != PASSED);
}

/* In the sandbox of what talks to a camera at `source`. */
static int beside_camera(const char *source, int (*attempt)(void))
{
    const char *const own[] = {inside, NULL};
    int status = 0;
    make_places();
    pid_t pid = fork();
    if (pid == 0) {
        struct pf_error err = {0};
        int r = pf_confine_camera(source, own, &err);
        if (r < 0 && r != -ENODEV)
            fprintf(stderr, "%s\n", err.text);
        errno = 0;
        _exit(r == -ENODEV ? ENODEV : r < 0 ? NOT_ENTERED : attempt() < 0 ? errno : PASSED);
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int read_inside(void)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/settings", inside);
    return open(path, O_RDONLY | O_CREAT, 0600);
}

static int read_outside_by_link(void)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/link", inside);
    return open(path, O_RDONLY);
}

static int list_outside(void)
{
    return open(outside, O_RDONLY | O_DIRECTORY);
}

static int read_a_library(void)
{
    return open("/usr/lib", O_RDONLY | O_DIRECTORY) < 0 ? -1 : open("/proc/self/statm", O_RDONLY);
}

static int reach_a_camera(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));
}

TEST(what_talks_to_a_camera_has_its_own_directories_and_the_systems_libraries)
{
    static const char *const camera = "camera:ptpip:127.0.0.1";
    char path[4300];
    NEED_SECCOMP();
    CHECK_EQ(beside_camera(camera, reach_a_camera), ECONNREFUSED);
    NEED_LANDLOCK(3);
    CHECK_EQ(beside_camera(camera, write_inside), PASSED);
    CHECK_EQ(beside_camera(camera, read_inside), PASSED);
    CHECK_EQ(beside_camera(camera, read_a_library), PASSED);
    CHECK_EQ(beside_camera(camera, write_outside), EACCES);
    CHECK_EQ(beside_camera(camera, read_outside), EACCES);
    CHECK_EQ(beside_camera(camera, list_outside), EACCES);
    snprintf(path, sizeof(path), "%s/link", inside);
    CHECK_EQ(symlink("/etc/passwd", path), 0);
    CHECK_EQ(beside_camera(camera, read_outside_by_link), EACCES);
    /* Where the directory of its devices is not there yet, it is not entered without them. */
    int usb = access("/dev/bus/usb", F_OK) < 0 ? ENODEV : EACCES;
    CHECK_EQ(beside_camera("camera", read_outside), usb);
    CHECK_EQ(beside_camera("", read_outside), usb);
}

static int signal_the_parent(void)
{
    return kill(getppid(), 0);
}

TEST(signals_stay_within)
{
    NEED_SECCOMP();
    CHECK_EQ(in_sandbox(worker, signal_the_parent), ENOSYS);
    NEED_LANDLOCK(6);
    CHECK_EQ(in_sandbox(bspline, signal_the_parent), EPERM);
}

static int write_and_execute(void)
{
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static void *nothing(void *context)
{
    return context;
}

static int a_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno || pthread_join(thread, NULL) ? -1 : 0;
}

TEST(threads_start_and_memory_is_not_both_written_and_executed)
{
    NEED_SECCOMP();
    CHECK_EQ(in_sandbox(worker, a_thread), PASSED);
    CHECK_EQ(in_sandbox(folder, a_thread), PASSED);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("sanitizers map what they like");
#endif
    CHECK_EQ(in_sandbox(worker, write_and_execute), ENOSYS);
}

static int capabilities(void)
{
    char line[256];
    unsigned long long bits = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "CapEff: %llx", &bits) == 1)
            break;
    errno = EPERM;
    return bits & ~6ull ? -1 : 0; /* CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH */
}

TEST(root_keeps_what_reaches_files)
{
    CHECK_EQ(in_sandbox(worker, capabilities), PASSED);
}

TEST(a_directory_made_later_is_seen_to_be_new)
{
    NEED_LANDLOCK(1);
    char late[4200], file[4200], bus[4200], old[4200];
    make_places();
    snprintf(late, sizeof(late), "%s/late", test_directory());
    snprintf(file, sizeof(file), "%s/file", test_directory());
    snprintf(bus, sizeof(bus), "%s/bus", test_directory());
    snprintf(old, sizeof(old), "%s/old", test_directory());
    CHECK_EQ(mkdir(bus, 0755), 0);
    CHECK_EQ(mknod(file, S_IFREG | 0644, 0), 0);
    int within[2];
    char word = 0;
    CHECK_EQ(pipe(within), 0);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const writable[] = {late, file, inside, NULL};
        const char *const devices[] = {bus, NULL};
        struct pf_sandbox sandbox = {
            .role = PF_SANDBOX_WORKER, .writable = writable, .devices = devices};
        char beneath[4300];
        snprintf(beneath, sizeof(beneath), "%s/burst", late);
        bool ok = pf_sandbox_files(&sandbox, NULL) == 0 && !pf_sandbox_is_stale(beneath) &&
                  !pf_sandbox_is_stale(inside) && !pf_sandbox_is_stale(outside) &&
                  !pf_sandbox_is_stale(file) && !pf_sandbox_is_stale(bus) &&
                  open(file, O_WRONLY | O_CLOEXEC) < 0 && errno == EACCES;
        ok &= write(within[1], &word, 1) == 1;
        /* The parent makes it meanwhile. */
        for (int i = 0; ok && access(late, F_OK) < 0 && i < 1000; i++)
            usleep(10000);
        _exit(ok && pf_sandbox_is_stale(beneath) && pf_sandbox_is_stale(late) &&
                      pf_sandbox_is_stale(file) && pf_sandbox_is_stale(bus) &&
                      !pf_sandbox_is_stale(inside)
                  ? 0
                  : 1);
    }
    close(within[1]);
    CHECK_EQ(read(within[0], &word, 1), 1);
    close(within[0]);
    CHECK_EQ(rename(bus, old), 0);
    CHECK_EQ(mkdir(bus, 0755), 0);
    CHECK_EQ(unlink(file), 0);
    CHECK_EQ(mkdir(file, 0755), 0);
    mkdir(late, 0755);
    int status = 1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
}

/* A container that forbids seccomp and Landlock: each call answers EPERM. */
static int forbid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0
               ? -1
               : 0;
}

TEST(where_a_container_forbids_it_the_rest_works)
{
    NEED_SECCOMP();
    pid_t pid = fork();
    if (pid == 0) {
        const char *const writable[] = {"/nowhere", NULL};
        struct pf_sandbox sandbox = {.role = PF_SANDBOX_WORKER, .writable = writable};
        struct pf_sandbox_probe here;
        char words[160];
        if (forbid() < 0)
            _exit(2);
        pf_sandbox_probe(&here);
        pf_sandbox_words(&here, words, sizeof(words));
        bool said = !here.seccomp && !here.landlock && strstr(words, "no seccomp") &&
                    strstr(words, "no Landlock");
        int r = pf_sandbox_files(&sandbox, NULL);
        r = r ? r : pf_sandbox_calls(&sandbox, NULL);
        _exit(said && r == 0 && internet() >= 0 ? 0 : 1);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
}

TEST(memory_and_time_beyond_a_frames)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("a sanitizer's memory has no measure");
#endif
    pid_t pid = fork();
    int status = 1;
    if (pid == 0) {
        enum { MIB = 1 << 20 };
        pf_limits_allow(64 * MIB, 100);
        void *fits = malloc(32 * MIB), *bomb = malloc(512ul * MIB);
        if (!fits || bomb)
            _exit(1);
        pf_limits_lift();
        bomb = malloc(512ul * MIB);
        _exit(bomb ? 0 : 2);
    }
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        pf_limits_allow(1 << 20, 0);
        for (volatile unsigned i = 0;; i++)
            ;
    }
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
}

static void *wait_for_end(void *argument)
{
    pause();
    return argument;
}

/* As NVIDIA's driver does when it starts. */
static int name_a_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, wait_for_end, NULL);
    if (!errno)
        errno = pthread_setname_np(thread, "cuda");
    return errno ? -1 : 0;
}

static int write_to(const char *path)
{
    return open(path, O_WRONLY | O_NONBLOCK);
}

static int write_to_disk(void)
{
    return write_to("/dev/sda");
}

static int write_to_card(void)
{
    return write_to("/dev/nvidia0");
}

static int write_to_capability(void)
{
    return write_to("/dev/nvidia-caps/nvidia-cap1");
}

static int write_to_display(void)
{
    return write_to("/dev/dri/renderD128");
}

static int make_a_device(void)
{
    return open("/dev/new", O_WRONLY | O_CREAT, 0666);
}

static int share_memory(void)
{
    return open("/dev/shm/cuda.shm", O_WRONLY | O_CREAT, 0666);
}

/* As in_sandbox(), with files in the place of the devices of a machine that has a disk and a display, and
 * with `card` a GPU of NVIDIA's; NOT_ENTERED where nothing can be mounted. */
static int among_devices(bool card, struct pf_sandbox sandbox, int (*attempt)(void))
{
    static const char *const files[] = {"null", "sda", "dri/renderD128", "nvidia0",
                                        "nvidia-caps/nvidia-cap1"};
    int status = 0;
    make_places();
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", "/dev", "tmpfs", 0, NULL) < 0)
            _exit(NOT_ENTERED);
        mkdir("/dev/shm", 01777);
        mkdir("/dev/dri", 0755);
        mkdir("/dev/nvidia-caps", 0755);
        for (size_t i = 0; i < (card ? 5 : 3); i++) {
            char path[64];
            snprintf(path, sizeof(path), "/dev/%s", files[i]);
            close(open(path, O_WRONLY | O_CREAT, 0666));
        }
        if (!card)
            rmdir("/dev/nvidia-caps");
        _exit(in_sandbox(sandbox, attempt));
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(who_talks_to_a_gpu_has_its_devices_alone_and_none_where_there_is_no_gpu)
{
    struct pf_sandbox gpu = worker;
    gpu.gpu = true;
    NEED_LANDLOCK(1);
    setenv("HOME", test_directory(), 1);
    if (among_devices(true, gpu, write_to_card) == NOT_ENTERED)
        SKIP("nothing can be mounted");
    CHECK_EQ(among_devices(true, gpu, write_to_card), PASSED);
    CHECK_EQ(among_devices(true, gpu, write_to_capability), PASSED);
    CHECK_EQ(among_devices(true, gpu, write_to_display), PASSED);
    CHECK_EQ(among_devices(true, gpu, share_memory), PASSED);
    CHECK_EQ(among_devices(true, gpu, write_to_disk), EACCES);
    CHECK_EQ(among_devices(true, gpu, make_a_device), EACCES);
    CHECK_EQ(among_devices(false, gpu, write_to_display), EACCES);
    CHECK_EQ(among_devices(false, gpu, write_to_disk), EACCES);
    CHECK_EQ(among_devices(false, gpu, share_memory), EACCES);
    CHECK_EQ(among_devices(true, worker, write_to_card), EACCES);
}

/* Without that its cuInit() fails, and nothing says why. */
TEST(who_talks_to_a_gpu_may_name_its_threads)
{
    struct pf_sandbox gpu = worker;
    gpu.gpu = true;
    NEED_LANDLOCK(1);
    setenv("HOME", test_directory(), 1);
    CHECK_EQ(in_sandbox(worker, name_a_thread), EACCES);
    if (among_devices(true, gpu, name_a_thread) == NOT_ENTERED)
        SKIP("nothing can be mounted");
    CHECK_EQ(among_devices(true, gpu, name_a_thread), PASSED);
}
