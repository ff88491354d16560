/* Sandbox: what a child process gives up before it touches a stranger's bytes.
 *
 * Called by a process for itself, once, at its start, in this order: pf_sandbox_files() while it has one
 * thread, pf_sandbox_calls() when its libraries are set up (it reaches all threads). Neither can be
 * taken back, and what the process starts inherits both. Strings are borrowed for the call.
 *
 * Files (Landlock, where the kernel has it): nothing is written but beneath the directories named, of
 * devices none but those named and, with `gpu` and where there are any, NVIDIA's; no program is started but
 * with `programs`, no TCP connection is made but with `network`, no signal leaves the process and its
 * children. With `readable` nothing is read but this, what may be written, and what the system's libraries
 * are made of and ask for. Without, reading stays as free as the user's permissions: a frame may be a
 * symbolic link to anywhere, and a burst may be of a source that was watched before the last start.
 * System calls (seccomp): an allow-list; no sockets but what the role needs; what no role needs and
 * attacks do need (ptrace, mount, bpf, ...) ends the process, all else that is not in the list fails
 * with ENOSYS, which the C library knows how to do without.
 * Both set no_new_privs. Whoever is root keeps of its capabilities those that reach files.
 *
 * Where the kernel or the container refuses a part, the rest is in force; pf_sandbox_probe() says what
 * is to be had, and the service says it once.
 */
#ifndef PF_SANDBOX_H
#define PF_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/error.h"

enum pf_sandbox_role {
    PF_SANDBOX_WORKER, /* decodes pictures; no sockets at all */
    PF_SANDBOX_FOLDER, /* sees files; inotify */
    PF_SANDBOX_CAMERA, /* talks to devices: USB, netlink, and the network when `network` */
    PF_SANDBOX_HOLDER, /* sees what other processes have open */
};

struct pf_sandbox {
    enum pf_sandbox_role role;
    const char *const *writable; /* directories, NULL-terminated; NULL: files are not confined */
    const char *const *readable; /* files and directories; NULL: reading is not confined */
    const char *const *devices;  /* device files, and directories of them; NULL: none */
    bool programs;               /* may start those on the PATH (elastix) */
    bool gpu;                    /* talks to NVIDIA's driver */
    bool network;                /* a camera by PTP/IP */
};

/* What this kernel and container let a process do; nothing is changed. */
struct pf_sandbox_probe {
    bool seccomp;
    int landlock; /* its version, 0 none */
};
void pf_sandbox_probe(struct pf_sandbox_probe *ret);

/* The probe in words: "system calls filtered, files confined (Landlock 7)". */
void pf_sandbox_words(const struct pf_sandbox_probe *probe, char *text, size_t size);

/* Directories of `writable` that do not exist yet (or are none, or do not answer within two seconds) are not
 * written to until the process is started again. 0 also where the kernel has no Landlock; an errno
 * of the kernel otherwise. */
int pf_sandbox_files(const struct pf_sandbox *sandbox, struct pf_error *err);

/* 0 also where the kernel has no seccomp; -EFAULT and the like from libseccomp otherwise. */
int pf_sandbox_calls(const struct pf_sandbox *sandbox, struct pf_error *err);

/* Whether a directory of `writable` is another one by now than pf_sandbox_files() has seen (made since, or
 * mounted over), was removed, or lies on what was unmounted and mounted again; or whether one of `devices` is another
 * one (the kernel makes /dev/bus/usb anew when the last USB controller has gone and one comes): the process must be
 * started again to use it. */
bool pf_sandbox_is_stale(const char *path);

#endif
