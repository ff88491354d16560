/* What the one-shot command shows while it works: a bar that redraws itself on a terminal, plain
 * lines otherwise. On standard error.
 *
 * One thread at a time. Strings are borrowed.
 */
#ifndef PF_PROGRESS_H
#define PF_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct pf_progress {
    bool terminal, quiet;
    int total, done; /* frames */
    double begin_ms, pixels;
};

/* quiet: only pf_progress_say() speaks. */
void pf_progress_begin(struct pf_progress *progress, int total, bool quiet);
/* One more frame is done; `line` is shown where there is no bar. */
void pf_progress_frame(struct pf_progress *progress, int64_t pixels, const char *line);
/* What follows the frames: "writing stack.tif". */
void pf_progress_phase(struct pf_progress *progress, const char *what);
/* A line that stays, on a terminal too. */
void pf_progress_say(struct pf_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void pf_progress_end(struct pf_progress *progress);

#endif
