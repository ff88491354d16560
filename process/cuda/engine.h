/* The CUDA backend's own state: shared by its C files (engine.c, engine_memory.c, fuse.c,
 * result.c) and nobody else. */
#ifndef PF_CUDA_ENGINE_H
#define PF_CUDA_ENGINE_H

#include "process/cpu/engine.h"
#include "process/cpu/fuse.h"
#include "process/cuda/alignment.h"
#include "process/cuda/memory.h"
#include "process/cuda/nvjpeg.h"
#include "process/cuda/runtime.h"

/* Marks in the queue. */
enum {
    PF_MARK_CHUNK,
    PF_MARK_UPLOADED = PF_MARK_CHUNK + 2,
    PF_MARK_FREE,
    PF_MARK_BORROWED = PF_MARK_FREE + 2, /* what is copied from the caller's own memory has been */
    PF_MARK_END
};

/* What engines leave to one another. */
struct pf_cuda_kept {
    struct pf_cuda_store *store;
    int busy; /* engines that have memory for frames */
    /* Of one that was closed, for the next one that is opened. nvJPEG takes long to be made, and belongs to its
     * queue. NULL: none. */
    struct pf_cuda *cuda;
    struct pf_nvjpeg *nvjpeg;
};

struct pf_cuda_engine {
    struct pf_stack_settings settings;
    struct pf_pool *pool;         /* borrowed */
    struct pf_cuda_kept *kept;    /* borrowed; NULL: nothing is kept */
    const struct pf_fuser *fuser; /* whose constants are shared */
    struct pf_weighing weighing;  /* they, for pictures of this size; known with `memory` */
    struct pf_cuda *cuda;
    bool shares_memory;

    struct pf_cuda_alignment alignment;
    struct pf_light_grid light, reference_light;
    const struct pf_image *frame; /* in hand, borrowed; NULL none */

    /* Made for the first frame. `arena` owns the device's memory, `sums` pinned memory of the host for
     * what the device has no room for, `raw_arena` the one or the other. */
    void *arena, *raw_arena, *sums;
    struct pf_cuda_shape shape;
    struct pf_cuda_memory memory;
    struct pf_cuda_raw raw;
    int slot;       /* of raw, the frame in hand's */
    void *plane[3]; /* of the frame in hand, as the device sees it */
    size_t stride_bytes[3];
    bool fused; /* something is in the stack */
    int first;  /* index of the first frame in it */

    struct pf_nvjpeg *nvjpeg; /* NULL: no frame has asked for it, or it could not be had */
    bool fits_nvjpeg;         /* there is room for it beside frames of this size */

    /* Made before the first frame, whose size they do not go by. */
    size_t chunk_room;                    /* bytes of a chunk */
    size_t chunk_bytes;                   /* of them that are used, for frames of this size */
    char *chunk[2];                       /* pinned: a frame goes through them in turn */
    struct pf_cuda_cells *cells_of_light; /* pinned */

    void *nodes; /* device: of a displacement field */
    size_t nodes_bytes;
};

/* engine_memory.c; memory for frames like this one: a frame that was set aside may have been of another kind,
 * and one of a stack may have more bits than those before it. What is in the stack stays there, unless the
 * frame is of another size or has other planes. -ENOMEM: for none of them, with the bytes that are lacking. */
int pf_cuda_make_room(struct pf_cuda_engine *engine, const struct pf_image *frame,
                      struct pf_error *err);
/* The same where frames cannot be read in the memory that they come in, after all. */
int pf_cuda_make_room_for_copies(struct pf_cuda_engine *engine, struct pf_error *err);
/* For nvJPEG, once there is room for frames: -ENOTSUP, there is none for it, or no nvJPEG. */
int pf_cuda_make_room_for_nvjpeg(struct pf_cuda_engine *engine, struct pf_error *err);
/* What nvJPEG may take for a picture, bytes of the device's memory and as many of the host's. */
size_t pf_cuda_most_for_nvjpeg(int width, int height);
/* What was made for the first frame. */
void pf_cuda_give_memory(struct pf_cuda_engine *engine);
/* What no frame's size is needed for, and is made before there is one: of what is not there yet. -ENOMEM. */
int pf_cuda_take_ahead(struct pf_cuda_engine *engine, struct pf_error *err);
/* All of this; there is a queue. */
void pf_cuda_give_all(struct pf_cuda_engine *engine);
/* The stack's luma at the resolution of alignment, or the coarsest that the pyramid has. */
int pf_cuda_view_level(struct pf_cuda_engine *engine);

/* engine.c; the two steps of taking a frame in hand: its upload is queued, then it is measured. */
int pf_cuda_bring(struct pf_cuda_engine *engine, const struct pf_image *frame,
                  struct pf_error *err);
int pf_cuda_see(struct pf_cuda_engine *engine, struct pf_focus *ret_focus, double *ret_contrast,
                struct pf_error *err);

/* Rows of the host's memory, by all threads. */
void pf_cuda_copy_rows(struct pf_cuda_engine *engine, char *to, size_t to_stride, const char *from,
                       size_t from_stride, size_t row_bytes, int count);

/* fuse.c */
int pf_cuda_fuse(void *engine, const struct pf_warp *warp, const struct pf_light_match *light,
                 int index, struct pf_error *err);
void pf_cuda_clear(struct pf_cuda_engine *engine); /* makes the stack's memory an empty one */
struct pf_source_plane pf_cuda_source(const struct pf_cuda_engine *engine, int plane, double gain);
const struct pf_resampling *pf_cuda_resampling(const struct pf_cuda_engine *engine);
/* A plane of the stack at a level, into work[0][level]. */
void pf_cuda_collapse_plane(struct pf_cuda_engine *engine, int plane, int level);
/* What levels 0..last say where there is nothing but noise. */
struct pf_cuda_nothing pf_cuda_nothing_of(const struct pf_cuda_engine *engine, int last);

/* result.c */
int pf_cuda_preview(void *engine, int max_width, struct pf_image **ret, struct pf_error *err);
int pf_cuda_finish(void *engine, struct pf_image **ret, struct pf_error *err);
int pf_cuda_map_of(void *engine, enum pf_map map, const int *rank, int count, struct pf_image **ret,
                   struct pf_error *err);

#endif
