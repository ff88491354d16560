/* What became of a frame, as the fields of PROTOCOL.md's `frame`.
 *
 * Worker and one-shot command; pure. What is returned is the caller's, NULL on out of memory.
 */
#ifndef PF_FRAME_FACTS_H
#define PF_FRAME_FACTS_H

#include <jansson.h>

#include "process/image.h"
#include "process/stack.h"

/* null for NaN and infinity, which JSON does not have. */
json_t *pf_facts_number(double value);

/* verdict cause reason reference focus transform displacement aligned_by correlation gain balance width height,
 * and times in ms. */
json_t *pf_facts_of_frame(const struct pf_frame_result *result, const struct pf_image *image,
                          double decode_ms);

#endif
