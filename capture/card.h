/* What is known of a camera's card: which of its files are here already, and under which names.
 *
 * Capture process, one thread per object; no I/O. Cameras repeat their names: after a format, when
 * a counter wraps round, and for pictures that never were on a card. So a picture is kept as
 *     SPOOL/CAMERA/20260102-034405-1a2b3c4d-DSC_0042.JPG
 * by the camera's clock, a hash of its folder on the card and its name there. The name tells all that
 * is needed to compare a card with what the journal knows. The files of one shot (RAW and JPEG) get
 * the time of the one that came first, so that they differ in their extension alone.
 */
#ifndef PF_CARD_H
#define PF_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pf_card;

/* A file as the camera names it. */
struct pf_card_file {
    const char *camera; /* name of its directory in the spool */
    const char *folder, *name;
    int64_t time_s; /* by the camera's clock, read as UTC; 0 unknown */
    int64_t size_bytes;
};

enum pf_card_answer {
    PF_CARD_NEW,
    PF_CARD_KNOWN,    /* it was fetched */
    PF_CARD_RECORDED, /* and the journal has it */
    PF_CARD_BEFORE,   /* it was there before the camera was seen for the first time: left alone */
};

int pf_card_new(struct pf_card **ret);              /* -ENOMEM */
struct pf_card *pf_card_free(struct pf_card *card); /* NULL-safe, returns NULL */

/* Notes a file of the spool: a path whose last parts are CAMERA and a name as above; others are
 * passed over. size_bytes < 0: there before, of whatever size. recorded: the journal has it. The same
 * noted again is one. -ENOMEM. */
int pf_card_note(struct pf_card *card, const char *path, int64_t size_bytes, bool recorded);
/* The journal has the noted file now. */
void pf_card_record(struct pf_card *card, const char *path);
/* Whether exactly this file of the spool is noted. */
bool pf_card_has(const struct pf_card *card, const char *path);
/* Whether anything that was fetched from it is noted; what was there before does not count. */
bool pf_card_has_camera(const struct pf_card *card, const char *camera);

/* When the newest was shot that was fetched from its card, by the camera's clock; 0 unknown. What was in its memory
 * alone has the time of this machine, and does not count. */
int64_t pf_card_newest(const struct pf_card *card, const char *camera);

/* A camera's times may differ by some seconds within a shot, and between its events and its lists. */
#define PF_CARD_TIME_SLACK_S 10
enum pf_card_answer pf_card_knows(const struct pf_card *card, const struct pf_card_file *file);

/* The names of the noted files that it may be, as pf_card_knows() tells them: the one with this number
 * from 0, borrowed; NULL: there are no more. */
const char *pf_card_match(const struct pf_card *card, const struct pf_card_file *file,
                          size_t number);

/* A name that a camera has given, as it may stand in one of ours. */
void pf_card_tame(char *name);

/* A name for it that no noted file has; heap, NULL on out of memory. */
char *pf_card_name(const struct pf_card *card, const struct pf_card_file *file);

#endif
