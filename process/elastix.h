/* elastix as a child process: finds the displacement field between two pictures.
 *
 * Worker and one-shot command, one thread at a time per call; nothing is kept between calls. elastix
 * 5.0.1 (Klein et al., IEEE TMI 2010; Debian package `elastix`) is a command: pictures and
 * parameters go to files in a directory of memory ($TMPDIR, else /dev/shm), its output is read line
 * by line. Its optimiser (adaptive stochastic gradient descent, Klein et al., IJCV 2009) has no
 * convergence stop of its own, and it exits with 0 when its input was unusable: so it is we who stop
 * it, and who look at what it has found before it is believed.
 */
#ifndef PF_ELASTIX_H
#define PF_ELASTIX_H

#include <stdbool.h>

#include "process/field.h"

/* What a long alignment says while it runs. */
struct pf_iteration {
    const char *step; /* "bspline", "warming up elastix" */
    int done, of;     /* iterations; `of` is the most that there will be */
    double metric;    /* elastix' own: -1 is a perfect fit */
};

struct pf_iteration_call {
    void (*told)(void *context, const struct pf_iteration *iteration); /* NULL: nobody listens */
    void *context;
};

/* A reduced picture: pixel (i, j) lies at scale * (i, j) + offset in full-size pixels. */
struct pf_reduced {
    const float *pixels; /* [height * width] */
    int width, height;
    double scale, offset;
};

struct pf_elastix_options {
    double spacing_px; /* between nodes of the field, full-size pixels */
    double limit_s;
    int threads;
    const char *step; /* for pf_iteration */
    struct pf_iteration_call call;
};

struct pf_elastix_report {
    int iterations;
    double metric;  /* at the end, mean of the last ones */
    bool converged; /* stopped by us before its last iteration */
};

/* moving(r + field(r)) looks like fixed(r): both of one size, scale and offset. *ret is the caller's;
 * nothing more than its form is vouched for (finite, of the size that was asked for). Removes what
 * earlier processes that were killed have left in the directory.
 * -EINVAL: a picture without contrast or too small; -ENOENT: not installed; -ETIMEDOUT; -EIO: it died
 * or its answer is unusable; -ENOSPC and other errors of writing; -ENOMEM. */
int pf_elastix_run(const struct pf_reduced *fixed, const struct pf_reduced *moving,
                   const struct pf_elastix_options *options, struct pf_field **ret,
                   struct pf_elastix_report *ret_report, struct pf_error *err);

/* Reads a file of transform parameters that elastix has written. *ret is the caller's. -EIO: none, or
 * none of ours; -ENOMEM. */
int pf_elastix_read(const char *path, struct pf_field **ret, struct pf_error *err);

/* Ends the run that is under way in this process, if any, and removes its files. For a signal handler of
 * who is about to end: async-signal-safe. */
void pf_elastix_interrupt(void);

/* A small run, so that the first frame is not the one that waits for the program to be loaded from
 * disk. Errors as of pf_elastix_run(). */
int pf_elastix_warm_up(double limit_s, int threads, const struct pf_iteration_call *call,
                       struct pf_error *err);

#endif
