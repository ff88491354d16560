/* The system calls that a role may make: allow-lists for libseccomp.
 *
 * How a list is found: what glibc, the C++ library, OpenMP, the image libraries and libgphoto2 do, by
 * `strace -f -c` over the tests of the role (tests/system/sandbox.sh repeats them under the filter),
 * and each call's older and newer sisters, so that another C library or architecture finds its own.
 * Names that an architecture does not have are left out by libseccomp.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/sandbox.h"

/* Of headers later than Ubuntu 22.04's. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* LeakSanitizer stops its own threads with ptrace */
#else
#define SANITIZED 0
#endif

static const char *const everybody[] = {
    /* files */
    "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2",
    "pwritev2", "open", "openat", "openat2", "creat", "close", "close_range", "stat", "fstat",
    "lstat", "stat64", "fstat64", "lstat64", "newfstatat", "fstatat64", "statx", "statfs",
    "fstatfs", "statfs64", "fstatfs64", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents", "getdents64", "lseek", "_llseek", "dup", "dup2", "dup3", "fcntl",
    "fcntl64", "flock", "fsync", "fdatasync", "sync_file_range", "sync_file_range2", "ftruncate",
    "ftruncate64", "truncate", "truncate64", "fallocate", "fadvise64", "fadvise64_64", "readahead",
    "sendfile", "copy_file_range", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir",
    "mkdirat", "rmdir", "link", "linkat", "chmod", "fchmod", "fchmodat", "utimensat", "umask",
    "getcwd", "pipe", "pipe2", "memfd_create", "name_to_handle_at",
    /* memory */
    "munmap", "mremap", "madvise", "msync", "brk", "mlock", "mlock2", "munlock", "mincore",
    "membarrier",
    /* waiting */
    "poll", "ppoll", "ppoll_time64", "select", "pselect6", "_newselect", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd",
    "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep",
    "clock_nanosleep", "clock_nanosleep_time64", "futex", "futex_time64", "futex_waitv",
    "restart_syscall", "pause",
    /* threads and itself; a thread is a `clone`, see below */
    "set_robust_list", "get_robust_list", "set_tid_address", "rseq", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "getpriority", "setpriority", "getcpu",
    "arch_prctl", "gettid", "getpid", "getppid", "getpgrp", "getpgid", "getsid", "getuid",
    "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "uname", "sysinfo",
    "getrlimit", "ugetrlimit", "setrlimit", "getrusage", "times", "exit", "exit_group", "getrandom",
    "get_mempolicy",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "rt_sigpending",
    "rt_sigtimedwait", "rt_sigsuspend", "sigaltstack", "setitimer", "getitimer", "alarm",
    /* time */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday",
    "time",
    /* the socket that is its standard input and output */
    "recvfrom", "recvmsg", "sendto", "sendmsg", "recv", "send", "shutdown", "getsockopt",
    "getsockname", "getpeername", NULL};

/* Of a role that starts elastix, and of elastix and what it starts. */
static const char *const programs[] = {"execve",
                                       "fork",
                                       "vfork",
                                       "clone",
                                       "wait4",
                                       "waitpid",
                                       "waitid",
                                       "setpgid",
                                       "setsid",
                                       "pidfd_open",
                                       "pidfd_send_signal",
                                       "kill",
                                       "tgkill",
                                       "tkill",
                                       "chdir",
                                       "fchdir",
                                       "prctl",
                                       "ioctl",
                                       "mmap",
                                       "mmap2",
                                       "mprotect",
                                       "prlimit64",
                                       "get_thread_area",
                                       "set_thread_area",
                                       "symlink",
                                       "symlinkat",
                                       "mbind",
                                       "set_mempolicy",
                                       "getrandom",
                                       NULL};

static const char *const folder[] = {"inotify_init",     "inotify_init1", "inotify_add_watch",
                                     "inotify_rm_watch", "syncfs",        NULL};

/* libusb: netlink or udev's socket, ioctls of the device files. */
static const char *const camera[] = {"ioctl",      "bind", "connect", "setsockopt",
                                     "socketpair", "kill", NULL};

/* NVIDIA's driver talks by ioctl, locks memory, asks a daemon of its own by a Unix socket. */
static const char *const gpu[] = {"ioctl",
                                  "connect",
                                  "bind",
                                  "setsockopt",
                                  "socketpair",
                                  "mmap",
                                  "mmap2",
                                  "mprotect",
                                  "mlockall",
                                  "munlockall",
                                  "mbind",
                                  "set_mempolicy",
                                  "move_pages",
                                  "sched_setscheduler",
                                  "prctl",
                                  "clone",
                                  "pkey_alloc",
                                  "pkey_free",
                                  "pkey_mprotect",
                                  "process_vm_readv",
                                  "symlink",
                                  "mknod",
                                  "mknodat",
                                  "chown",
                                  "fchown",
                                  "accept",
                                  "accept4",
                                  "listen",
                                  NULL};

static const char *const sanitizers[] = {
    "ptrace", "clone",    "wait4",     "prctl",       "personality",
    "mmap",   "mprotect", "prlimit64", "sigaltstack", "process_vm_readv",
    "tgkill", "ioctl",    NULL};

/* Nothing of ours, and the first thing an attacker tries: that is worth an end with a signal that
 * the log shows (31, bad system call). */
static const char *const attacks[] = {"ptrace",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "process_madvise",
                                      "mount",
                                      "umount2",
                                      "move_mount",
                                      "open_tree",
                                      "fsopen",
                                      "fsmount",
                                      "pivot_root",
                                      "chroot",
                                      "unshare",
                                      "setns",
                                      "bpf",
                                      "perf_event_open",
                                      "userfaultfd",
                                      "io_uring_setup",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "init_module",
                                      "finit_module",
                                      "delete_module",
                                      "kexec_load",
                                      "kexec_file_load",
                                      "reboot",
                                      "swapon",
                                      "swapoff",
                                      "keyctl",
                                      "add_key",
                                      "request_key",
                                      "open_by_handle_at",
                                      "acct",
                                      "settimeofday",
                                      "clock_settime",
                                      "adjtimex",
                                      "clock_adjtime",
                                      "sethostname",
                                      "setdomainname",
                                      "iopl",
                                      "ioperm",
                                      "modify_ldt",
                                      "vm86",
                                      "quotactl",
                                      "lookup_dcookie",
                                      "kcmp",
                                      NULL};

static bool is_among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (seccomp_syscall_resolve_name(*names) == seccomp_syscall_resolve_name(name))
            return true;
    return false;
}

/* Calls that this architecture does not have are no error. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR)
        return 0;
    int r = seccomp_rule_add(filter, action, call, 0);
    return r == -EDOM || r == -EEXIST ? 0 : r;
}

static int add_all(scmp_filter_ctx filter, const char *const *names)
{
    int r = 0;
    for (; r == 0 && *names; names++)
        r = add(filter, SCMP_ACT_ALLOW, *names);
    return r;
}

static int add_if(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp compare)
{
    int call = seccomp_syscall_resolve_name(name);
    int r = call == __NR_SCMP_ERROR
                ? 0
                : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &compare);
    return r == -EEXIST ? 0 : r;
}

/* No memory is writable and executable. */
static int add_memory(scmp_filter_ctx filter)
{
    static const char *const names[] = {"mmap", "mmap2", "mprotect"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
        r = add_if(filter, names[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r == 0)
            r = add_if(filter, names[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));
    }
    return r;
}

static int add_itself(scmp_filter_ctx filter)
{
    static const int options[] = {PR_SET_NAME,         PR_GET_NAME,     PR_SET_PDEATHSIG,
                                  PR_SET_NO_NEW_PRIVS, PR_GET_DUMPABLE, PR_CAPBSET_READ,
                                  PR_SET_TIMERSLACK,   PR_SET_VMA};
    static const unsigned long terminal[] = {TCGETS, FIONREAD, FIONBIO, FIOCLEX, TIOCGWINSZ};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(options) / sizeof(options[0]); i++)
        r = add_if(filter, "prctl", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)options[i]));
    for (size_t i = 0; r == 0 && i < sizeof(terminal) / sizeof(terminal[0]); i++)
        r = add_if(filter, "ioctl", SCMP_A1(SCMP_CMP_EQ, terminal[i]));
    /* A thread, never a process or a namespace. */
    if (r == 0)
        r = add_if(filter, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (r == 0) /* abort() */
        r = add_if(filter, "tgkill", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0) /* of itself alone */
        r = add_if(filter, "prlimit64", SCMP_A0(SCMP_CMP_EQ, 0));
    return r == 0 ? add_memory(filter) : r;
}

static int add_sockets(scmp_filter_ctx filter, const struct pf_sandbox *sandbox)
{
    int r = 0;
    bool camera_role = sandbox->role == PF_SANDBOX_CAMERA;
    if (camera_role || sandbox->gpu)
        r = add_if(filter, "socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
    if (r == 0 && camera_role)
        r = add_if(filter, "socket", SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
    if (r == 0 && camera_role && sandbox->network)
        r = add_if(filter, "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET));
    if (r == 0 && camera_role && sandbox->network)
        r = add_if(filter, "socket", SCMP_A0(SCMP_CMP_EQ, AF_INET6));
    return r;
}

static int add_rules(scmp_filter_ctx filter, const struct pf_sandbox *sandbox)
{
    int r = add_all(filter, everybody);
    if (r == 0)
        r = add_itself(filter);
    if (r == 0)
        r = add_sockets(filter, sandbox);
    if (r == 0 && sandbox->role == PF_SANDBOX_FOLDER)
        r = add_all(filter, folder);
    if (r == 0 && sandbox->role == PF_SANDBOX_CAMERA)
        r = add_all(filter, camera);
    if (r == 0 && sandbox->programs)
        r = add_all(filter, programs);
    if (r == 0 && sandbox->gpu)
        r = add_all(filter, gpu);
    if (r == 0 && SANITIZED)
        r = add_all(filter, sanitizers);
    for (const char *const *name = attacks; r == 0 && *name; name++)
        if (!(SANITIZED && is_among(sanitizers, *name)) && !(sandbox->gpu && is_among(gpu, *name)))
            r = add(filter, SCMP_ACT_KILL_PROCESS, *name);
    return r;
}

int pf_sandbox_calls(const struct pf_sandbox *sandbox, struct pf_error *err)
{
    struct pf_sandbox_probe probe;
    pf_sandbox_probe(&probe);
    if (!probe.seccomp)
        return 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return pf_fail(err, ENOMEM, "sandbox: out of memory for the filter of system calls");
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0) /* a search tree: the list has some 200 entries */
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = add_rules(filter, sandbox);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? pf_fail_errno(err, -r, "sandbox: filtering system calls") : 0;
}
