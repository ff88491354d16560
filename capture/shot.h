/* Shots: a camera that writes RAW and JPEG makes two files of one exposure.
 *
 * Pure; any process and thread. Records are borrowed.
 */
#ifndef PF_SHOT_H
#define PF_SHOT_H

#include <stdbool.h>

#include "capture/record.h"

enum pf_shot_kind { PF_SHOT_OTHER, PF_SHOT_JPEG, PF_SHOT_RAW };

enum pf_shot_kind pf_shot_kind(const struct pf_record *record);

/* Whether two names are alike but for their extensions: cheap, and needed for the same shot. */
bool pf_shot_names_match(const char *a, const char *b);

/* Whether one is the RAW and the other the JPEG of one exposure: folder and name up to the extension,
 * capture time and body are the same. Unknown times never match. */
bool pf_shot_is_same(const struct pf_record *a, const struct pf_record *b);

#endif
