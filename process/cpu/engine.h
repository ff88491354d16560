/* The CPU backend's memory: shared by its files (engine.c, fuse*.c, result.c, maps.c) and nobody
 * else.
 *
 * Levels: luma level 0 has the frame's size, each further one half of it, rounded up (Burt-Adelson
 * samples: level l lies at 2^l * column). Weights live on the grid of 2 x 2 cells of their level,
 * whose size is that of the next level. Chroma planes have levels of their own from their own size
 * and use the weights of the luma level with the same number.
 */
#ifndef PF_CPU_ENGINE_H
#define PF_CPU_ENGINE_H

#include "process/backend.h"
#include "process/cpu/alignment.h"
#include "process/cpu/anchors.h"
#include "process/cpu/kernels.h"
#include "process/cpu/weighing.h"

#define PF_CPU_MAX_LEVELS 10

struct pf_grid {
    int width, height;
};

/* A stack is blended in parts: its finest Laplacian level; and all the rest twice, for where some
 * frame shows fine detail and for where none does. Result and previews choose between the two. */
enum pf_part { PF_PART_FINEST, PF_PART_SHARP, PF_PART_SOFT, PF_CPU_PARTS };

/* Weights of a part on its grid of cells: of level 0, of level 1. */
#define PF_AROUND_LEVEL 4 /* whose cells are what is around */
struct pf_shares {
    float *alpha;     /* the frame in hand's share of all weights so far */
    float *log_total; /* log2 of the sum of weights */
    float *best;      /* highest log2 weight so far; NULL without maps */
    uint16_t *winner; /* whose it was */
};

struct pf_fuser; /* a method of fusing, see fuse.h */

struct pf_cpu_engine {
    struct pf_stack_settings settings;
    struct pf_pool *pool; /* borrowed */
    const struct pf_fuser *fuser;
    struct pf_weighing weighing; /* the fuser's for pictures of this size; known with `memory` */
    const struct pf_kernels *kernels;

    const struct pf_image *frame; /* in hand, borrowed; NULL none */
    struct pf_alignment alignment;
    struct pf_anchors *anchors; /* NULL unless alignment is non-rigid; made with the first frame */
    struct pf_light_grid light, reference_light; /* of the frame in hand, of the reference */

    /* All below is made when the first frame is fused; `memory` owns it. */
    void *memory;
    size_t memory_bytes;
    int levels, planes;
    int chroma_shift_x, chroma_shift_y;
    struct pf_grid size[3][PF_CPU_MAX_LEVELS + 2]; /* of a plane's level */
    int16_t *work[PF_CPU_MAX_LEVELS + 2];          /* Gaussian pyramid of one plane */
    /* The stack, by planes; a method without levels has the first part alone. */
    int16_t *average[3][PF_CPU_PARTS];
    /* The stack of `average`: per sample mean, sum of squared deviations (NULL: no clipping) and
     * number of frames. */
    float *mean[3], *deviations[3];
    uint16_t *frames[3];
    int first;         /* index of the first frame in the stack; negative: none yet */
    float noise;       /* of the reference, see pf_fuse_job; negative: unknown yet */
    int weight_levels; /* levels that give evidence; 0 where a method has no weights */
    int parts;         /* of the stack that have weights */
    /* Of the frame in hand, by level: the sums of each level and all coarser ones; the sums of the
     * fine levels, and their means around. */
    float *evidence[PF_CPU_MAX_LEVELS + 1], *fine_evidence[PF_AROUND_LEVEL + 1];
    float *most; /* most that the finest two levels have said so far for any frame, level 1 */
    int16_t *most_light; /* that frame's luma there */
    /* How near it is to what is clipped, 0..1, in the frame where that is most: in lamp cells, each
     * without those around it. */
    float *lamps;
    struct pf_shares shares[PF_CPU_PARTS];
    char *scratch; /* one slice per thread */
    size_t scratch_bytes;
};

/* engine.c: what the sums of a frame's cells say. */
void pf_focus_of_cells(struct pf_focus *ret,
                       const struct pf_focus_sums cells[PF_FOCUS_GRID][PF_FOCUS_GRID], int width,
                       int height);

/* fuse.c; Laplacian levels of a picture; what a stack of frames like this one takes (its samples are not
 * looked at). */
int pf_fuse_levels(int width, int height);
size_t pf_cpu_stack_bytes(const struct pf_stack_settings *settings, struct pf_pool *pool,
                          const struct pf_image *frame);
const struct pf_fuser *pf_cpu_fuser(enum pf_fuse fuse);
int pf_cpu_fuse(void *engine, const struct pf_warp *warp, const struct pf_light_match *light,
                int index, struct pf_error *err);
struct pf_source_plane pf_cpu_source(const struct pf_image *frame, int plane, double gain);

/* result.c; collapse writes plane `plane` down to `level` into out (size of that level). */
void pf_cpu_collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out);
int pf_cpu_preview(void *engine, int max_width, struct pf_image **ret, struct pf_error *err);
int pf_cpu_finish(void *engine, struct pf_image **ret, struct pf_error *err);

/* maps.c */
int pf_cpu_map(void *engine, enum pf_map map, const int *rank, int count, struct pf_image **ret,
               struct pf_error *err);

static inline struct pf_grid pf_half(struct pf_grid grid)
{
    return (struct pf_grid){(grid.width + 1) / 2, (grid.height + 1) / 2};
}

static inline int pf_clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

#endif
