/* Which file a capture process was reading when it died.
 *
 * Service process, event loop thread; no I/O. A file that takes its process down (a parser crashes, or
 * runs into a limit) would do so at every start, and stop its source for good: one at which it died
 * once is looked at after all others, one at which it died twice is passed over. A file is what the
 * process says of it in `looking` (service/PROTOCOL.md): with another size or time it is another one.
 * Without memory nothing is blamed.
 */
#ifndef PF_BLAME_H
#define PF_BLAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define PF_BLAME_DEATHS 2 /* a file at which it died so often is passed over */

struct pf_blamed {
    json_t *file; /* `path`, and what else tells it from another file there */
    int deaths;
};

/* All zero: nobody has died. */
struct pf_blame {
    json_t *reading; /* NULL: nothing */
    struct pf_blamed *files;
    size_t count, capacity;
};

/* The process says what it is about to read. */
void pf_blame_looking(struct pf_blame *blame, const json_t *looking);
/* It has read it: no harm, whoever was to blame last time. */
void pf_blame_looked(struct pf_blame *blame);
/* It has died, of itself or by another's hand, which may be chance: then what it was reading is only
 * looked at last. What that was, valid until the next call; NULL: nothing. */
const struct pf_blamed *pf_blame_death(struct pf_blame *blame, bool of_itself);
/* The command that tells the next process of one; new, NULL on out of memory. */
json_t *pf_blame_command(const struct pf_blame *blame, size_t index);
void pf_blame_free(struct pf_blame *blame); /* what it holds */

#endif
