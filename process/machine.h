/* What memory there is: the machine's, or what control groups leave the process of it.
 *
 * Any process and thread; reads /proc and /sys.
 * Source: cgroups(7), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst of Linux.
 */
#ifndef PF_MACHINE_H
#define PF_MACHINE_H

#include <stdint.h>

struct pf_machine {
    int64_t total_bytes, available_bytes; /* INT64_MAX: not known */
};

/* root: where /proc and /sys lie, "" but for tests. */
struct pf_machine pf_machine_look(const char *root);

/* The number behind `key` in a file of the kernel's, its first number where key is NULL; -1: none (as of
 * "max"). */
int64_t pf_machine_number(const char *path, const char *key);

#endif
