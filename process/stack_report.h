/* What the one-shot command knows of each of its files, and the document that it prints of them.
 *
 * Main thread of `parfocal stack`, and its engine thread while that is at work. The array is the
 * command's; paths are borrowed from its arguments.
 */
#ifndef PF_STACK_REPORT_H
#define PF_STACK_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "capture/record.h"
#include "config/base/error.h"
#include "config/settings.h"
#include "process/pool.h"

struct pf_stack_file {
    const char *path;
    struct pf_identity identity; /* empty: not asked for, or it cannot be read */
    struct pf_record *record;    /* what its EXIF says; NULL: likewise */
    json_t *facts;               /* NULL until its turn */
    int group;                   /* see process/stray.h */
    const char *companion;       /* the RAW or JPEG of the same shot, NULL none; borrowed */
};

/* Fills in identity and record, as far as the file has them. */
void pf_stack_file_identify(struct pf_stack_file *file);
/* Frees what it has, not itself. */
void pf_stack_file_clear(struct pf_stack_file *file);

struct pf_stack_report {
    const struct pf_settings *settings;
    const char *device;           /* what computed */
    const struct pf_burst *burst; /* NULL: there is none */
    const struct pf_pool *pool;
    const struct pf_stack_file *files;
    int count;
    json_t *output, *coverage;      /* borrowed; NULL: there is none */
    const struct pf_error *failure; /* NULL: it has worked */
    double finish_ms, total_ms;
};

/* Prints one document, the fields of stack.json. -ENOMEM, errno of writing. */
int pf_stack_report_print(const struct pf_stack_report *report);

#endif
