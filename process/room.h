/* Room for what is as large as a picture: decoded frames, the stack's sums, the result. Up to a limit it
 * is memory; beyond that it lies in files in the scratch directory, mapped, and the kernel decides what
 * of them is in memory at any time.
 *
 * There is one room per process, as there is one malloc: pf_room_set() is called once, by the main
 * thread, before others take anything; without that all is memory. The rest may be called by any thread.
 *
 * Why files and not strips: everything that is done to these pieces runs along their rows, so that a
 * mapped file is read and written in order; every method of fusing works unchanged and gives the same
 * bits; and frames still arrive one by one, each decoded once. The files have no name (O_TMPFILE), so
 * that nothing is left behind whatever ends the process, and their blocks are allotted beforehand, so
 * that a full disk is an error and not a SIGBUS. They must lie on a disk: tmpfs is refused.
 */
#ifndef PF_ROOM_H
#define PF_ROOM_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

/* memory_bytes: the limit; 0: three quarters of what the machine, or the group that the process is in,
 * has, and never what it has not left at the moment. scratch: borrowed, must outlive the process's
 * pieces. */
void pf_room_set(int64_t memory_bytes, const char *scratch);

/* A piece, unset, aligned to 64 bytes; small ones are always memory, and -ENOMEM is theirs.
 * -ENOBUFS: there is no room now, and may be later (memory and scratch are taken, the scratch directory
 * is full or away); -EFBIG: there never will be, it is more than the process or the scratch directory's disk
 * may hold. The text says what was wanted. */
int pf_room_take(void **ret, size_t size_bytes, struct pf_error *err);
/* NULL-safe. size_bytes: as it was taken. */
void pf_room_give(void *piece, size_t size_bytes);
/* Three pieces that are given back are kept, to be taken again or in place of pieces of another size, until
 * there is no room beside them or this is called: by who knows that nothing more of a burst comes. */
void pf_room_trim(void);

struct pf_room_state {
    int64_t limit_bytes;                 /* of memory; as it is at the moment. INT64_MAX: none */
    int64_t memory_bytes, scratch_bytes; /* taken now */
    int64_t most_memory_bytes, most_scratch_bytes;
    const char *scratch; /* NULL: none was set */
};
void pf_room_look(struct pf_room_state *ret);

#endif
