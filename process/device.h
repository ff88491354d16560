/* Which device the engine computes on: chosen once, at start, and tried before it is relied on.
 *
 * The trial leaves ready what the first frame would else wait for: kernels, a decoder of JPEGs, and pinned memory that
 * frames go through. Memory that goes by the frames' size is taken, and cleared, with the first one of each size: it is
 * some milliseconds later than the next.
 *
 * Used by whoever opens stacks (the worker, the one-shot command) and by the doctor, from one thread.
 */
#ifndef PF_DEVICE_H
#define PF_DEVICE_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"

struct pf_backend;

struct pf_device {
    const struct pf_backend *backend; /* static */
    void *kept;                       /* what it keeps from stack to stack; NULL: nothing */
    char name[400];                   /* of a GPU, in words; "" for the processor */
    char reason[768];                 /* why no GPU is used, "" when one is or none was wanted */
    bool unusable;                    /* there is one, though */
    /* Frames that are JPEGs may stay coded (codec.h): the backend decodes them. */
    bool decodes;
    char decoder[64];    /* by what, in words; "" */
    char undecoded[512]; /* why it does not, "" when it does or there is no GPU */
};

/* A step of getting ready that may take seconds; `step` is a static text. */
typedef void pf_device_progress(const char *step, void *context);

/* The first driver with which this build computes on a GPU ("525.60.13"), static, "" where it is not known;
 * NULL: this build has no code for one. Asks no driver. */
const char *pf_device_driver_least(void);

/* Where the environment has this as "no", JPEGs are the processor's: to find out who is to blame. */
#define PF_DEVICE_NVJPEG "PARFOCAL_NVJPEG"

/* auto: a GPU that works, else the processor, and `reason` says why. cuda: -ENODEV when none works.
 * fuse: the method that is tried on it. progress may be NULL. */
int pf_device_choose(struct pf_device *ret, enum pf_device_kind wanted, enum pf_fuse fuse,
                     pf_device_progress *progress, void *context, struct pf_error *err);
/* Gives back what it keeps; no stack has it any more. A zeroed one is allowed. */
void pf_device_close(struct pf_device *device);

#endif
