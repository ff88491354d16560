/* Decoding ahead: the next frame is decoded, and looked at, while the engine works on the last one.
 *
 * Jobs go in from one thread (the owner) and come out in the same order: a decode thread turns files
 * into images, an engine thread hands them, and the commands between them, to the owner's calls. At
 * most two decoded frames exist at any time, the one in the engine and the next. What nobody waits for,
 * thumbnails, is made beside both.
 *
 *     owner --job--> [decode thread] --image--> [engine thread] --> calls
 *                         '------> [side thread] ------> calls
 *
 * A tag is the owner's word for a job. All calls borrow it; release() is the last, once for each job.
 */
#ifndef PF_PIPELINE_H
#define PF_PIPELINE_H

#include <stdbool.h>

#include "config/base/error.h"
#include "process/codec.h"

struct pf_look;
struct pf_stack_settings;

struct pf_pipeline_calls {
    void *context;
    /* For which stacks frames are looked at (pf_look_new) while the engine has something else to do;
     * copied by pf_pipeline_new. NULL: they are not. */
    const struct pf_stack_settings *look_for;
    int threads; /* as of pf_look_new */
    /* Decode thread: this frame is in hand now. A negative return with `err` set takes the place of
     * decoding it. Asked once more where the file has changed until the end of decoding: what it
     * refuses then, and what could not be decoded, is -ESTALE. May be NULL: nobody minds. */
    int (*decoding)(void *context, const void *tag, struct pf_error *err);
    /* Side thread. While it is decoded: it does not come to frame() before this has returned, so that who dies
     * of a file is known. And when it has been, if it could be: `image` is borrowed for the call, the
     * engine may be at it as well. Both or none (NULL) are given. */
    void (*meanwhile)(void *context, const void *tag);
    void (*decoded)(void *context, const void *tag, const struct pf_image *image);
    /* Engine thread. `image` and `look` (NULL: none) are borrowed for the call; image is NULL when
     * decoding failed, and then error is set. */
    void (*frame)(void *context, void *tag, const struct pf_image *image, struct pf_look *look,
                  const struct pf_error *error, double decode_ms);
    /* Engine thread: so many coded frames in a row (limits) were refused that from now on all are decoded here,
     * for the pipeline's life; why: the last one's reason, borrowed. May be NULL. */
    void (*uncoded)(void *context, const char *why);
    void (*command)(void *context, void *tag);
    /* Engine thread: nobody needs the tag any more, whether the job had its turn or the pipeline was stopped
     * before. */
    void (*release)(void *context, void *tag);
};

struct pf_pipeline;

/* Starts its threads. -ENOMEM, -EAGAIN. */
int pf_pipeline_new(struct pf_pipeline **ret, const struct pf_pipeline_calls *calls,
                    const struct pf_decode_limits *limits, struct pf_error *err);

/* Appends a frame to decode (`path` is copied) or a command. Blocks while very many jobs wait. On
 * failure (-ENOMEM) the tag stays the caller's. */
int pf_pipeline_add_frame(struct pf_pipeline *pipeline, const char *path, void *tag,
                          struct pf_error *err);
int pf_pipeline_add_command(struct pf_pipeline *pipeline, void *tag, struct pf_error *err);
/* A command that takes the room of frames: none is decoded while it is carried out. It is to end as soon as
 * pf_pipeline_waits(). */
int pf_pipeline_add_alone(struct pf_pipeline *pipeline, void *tag, struct pf_error *err);

/* Whether jobs wait behind the one that the engine is at, or it has been stopped. Any thread. */
bool pf_pipeline_waits(struct pf_pipeline *pipeline);

/* What has not begun will be discarded, now and later. Any thread, also from within a call. */
void pf_pipeline_stop(struct pf_pipeline *pipeline);

/* Waits until all jobs are done, ends the threads. NULL-safe, returns NULL. */
struct pf_pipeline *pf_pipeline_free(struct pf_pipeline *pipeline);

#endif
