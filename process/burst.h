/* A burst in the worker: a half-built stack, what became of each of its frames, and how the result
 * gets to disk. Shared by the worker and the one-shot command.
 *
 * One thread at a time. Strings and images are borrowed; JSON objects that are returned belong to
 * the caller. Field names are those of service/PROTOCOL.md.
 */
#ifndef PF_BURST_H
#define PF_BURST_H

#include <jansson.h>

#include "config/base/error.h"
#include "process/codec.h"
#include "process/pool.h"
#include "process/stack.h"

struct pf_burst;

/* `pool` is borrowed and outlives the burst. -ENOMEM. */
int pf_burst_new(struct pf_burst **ret, const struct pf_stack_settings *settings,
                 struct pf_pool *pool, struct pf_error *err);
struct pf_burst *pf_burst_free(struct pf_burst *burst); /* NULL-safe, returns NULL */

/* As pf_stack_look(). */
void pf_burst_look(struct pf_burst *burst, struct pf_look *look);

/* The outcome of decoding joins the stack. `image` NULL: decoding failed as `decode_error` says. A
 * picture that can never be read (-EBADMSG, -ENOTSUP, -EFBIG) is set aside like one that cannot be
 * aligned. *ret_facts: verdict cause reason reference focus transform aligned_by correlation gain width
 * height, times in ms, and of a fused frame coverage, in capture order as far as it was told. Other
 * errors are returned; after -ENOMEM the burst must be freed. */
int pf_burst_add(struct pf_burst *burst, const char *identity, const struct pf_image *image,
                 const struct pf_error *decode_error, double decode_ms, json_t **ret_facts,
                 struct pf_error *err);

/* The frame that is added next comes right after this one in capture order; NULL: before all others.
 * Where nothing is said, or of a frame that is not known, it is the last one. */
void pf_burst_after(struct pf_burst *burst, const char *identity);

int pf_burst_fused(const struct pf_burst *burst);
int pf_burst_aside(const struct pf_burst *burst);
size_t pf_burst_added(const struct pf_burst *burst); /* all, those that could not be read too */

/* What the frames cover (process/coverage.h), as in PROTOCOL.md: detail skipped missing before beyond;
 * with
 * `whole` also curve and winner. null where the setting `coverage` is off. order as in struct pf_burst_output; winners are places in it. */
int pf_burst_coverage(const struct pf_burst *burst, const json_t *order, bool whole, json_t **ret,
                      struct pf_error *err);

/* JPEG of the stack as it is now, put in place by rename. -ENODATA, errors of writing. */
int pf_burst_preview(struct pf_burst *burst, int max_width, const char *path, int *ret_width,
                     int *ret_height, struct pf_error *err);

struct pf_burst_output {
    const char *stack_path;             /* written, fsynced */
    const char *map_path[PF_MAP_COUNT]; /* NULL: not wanted; left out where the method has none */
    enum pf_format format;
    int jpeg_quality;
    const json_t *order;            /* identities in capture order; NULL: as they were added */
    const struct pf_cancel *cancel; /* NULL: it is written to the end */
};

/* Writes the result; nothing of it stays on failure. *ret_output: `stack` {name width height bits
 * format size_bytes}, `depth`, `confidence` and `frame_map` (the same, or null); `frame_map` also
 * has `frames`, whose first is the identity that the value 1 stands for. -ENODATA when nothing is
 * fused, -ECANCELED. */
int pf_burst_write(struct pf_burst *burst, const struct pf_burst_output *output,
                   json_t **ret_output, struct pf_error *err);

/* What computes: "cpu", "cuda"; why it is another one than was wanted, "" otherwise. */
const char *pf_burst_device(const struct pf_burst *burst);
const char *pf_burst_note(const struct pf_burst *burst);

/* What a burst of such frames needs of memory is more than may be taken: what, and where the rest lies; ""
 * otherwise. From the first fused frame on. */
const char *pf_burst_room(const struct pf_burst *burst);

/* Of the first frame that the device should have decoded and has not: which one, and why; "" otherwise. */
const char *pf_burst_refused(const struct pf_burst *burst);

/* {device threads version finish_ms ahead_ms memory} of PROTOCOL.md; burst may be NULL; ahead_ms 0: nothing was
 * written before its time. */
json_t *pf_burst_engine(const struct pf_burst *burst, const char *device,
                        const struct pf_pool *pool, double finish_ms, double ahead_ms);

#endif
