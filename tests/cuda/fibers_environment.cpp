/* What a test says to the fibers of a program that it starts (tests/parfocal-on-fibers):
 *   FIBERS_GONE=1           there is no device
 *   FIBERS_DRIVER=11040     its driver is too old a one, for CUDA 11.4
 *   FIBERS_TAKEN=1          somebody else has it for himself
 *   FIBERS_MEMORY=BYTES     memory of the device
 *   FIBERS_FULL_AFTER=N     in a worker, no more allocations than these are made
 *   FIBERS_FAIL_AFTER=N     in a worker, the N-th call fails, and all after it
 *   FIBERS_FAIL_IN=KERNEL   ... the first launch of this kernel
 *   FIBERS_FAIL=hang|crash  ... it does not return, or ends the worker, instead
 *   FIBERS_FAIL_ONCE=FILE   ... in the first one alone: it makes FILE
 * and what they say when it has ended in order:
 *   FIBERS_ACCOUNT=FILE     how often memory was taken, how many bytes of the device were not given back, and how
 *                           often a context was taken away
 *   FIBERS_KERNELS=FILE     each kernel that was launched, a line when it is the first time
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda/fibers_control.h"

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static void note_kernel(const char *name)
{
    FILE *file = fopen(getenv("FIBERS_KERNELS"), "a");
    if (!file)
        return;
    fprintf(file, "%s\n", name);
    fclose(file);
}

__attribute__((constructor)) static void read_environment(int argc, char **argv)
{
    const char *once = getenv("FIBERS_FAIL_ONCE");
    fibers.gone = number("FIBERS_GONE") != 0;
    fibers.driver = (int)number("FIBERS_DRIVER");
    fibers.taken = number("FIBERS_TAKEN") != 0;
    fibers.memory_bytes = (size_t)number("FIBERS_MEMORY");
    if (getenv("FIBERS_KERNELS"))
        fibers.on_kernel = note_kernel;
    if (argc < 2 || strcmp(argv[1], "process") != 0)
        return;
    const char *how = getenv("FIBERS_FAIL");
    fibers.full_after = number("FIBERS_FULL_AFTER");
    fibers.hangs = how && strcmp(how, "hang") == 0;
    fibers.crashes = how && strcmp(how, "crash") == 0;
    int fd = once ? open(once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (!once || fd >= 0) {
        fibers.fail_after = number("FIBERS_FAIL_AFTER");
        fibers.fails_in = getenv("FIBERS_FAIL_IN");
    }
    if (fd >= 0)
        close(fd);
}

__attribute__((destructor)) static void write_account(void)
{
    const char *path = getenv("FIBERS_ACCOUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld %zu %ld %ld\n", fibers.allocations, fibers.allocated_bytes, fibers.resets,
            fibers.calls);
    fclose(file);
}
