/* How the CPU backend fuses: what its methods have in common, and the table that each of them is.
 *
 * Included by process/cpu/fuse*.c, result.c, maps.c and engine.c only; one thread at a time per
 * engine. A method gets each frame as warped planes, luma first, and keeps its stack in the
 * engine's memory, which never grows with the number of frames.
 */
#ifndef PF_CPU_FUSE_H
#define PF_CPU_FUSE_H

#include "process/cpu/engine.h"

enum { PF_FUSE_ROWS_PER_PIECE = 32 };

/* Hands out pieces of one allocation; with base NULL it only adds up. */
struct pf_arena {
    char *base;
    size_t used;
};
void *pf_arena_take(struct pf_arena *arena, size_t count, size_t size);

/* A frame on its way into the stack. */
struct pf_fuse_job {
    struct pf_cpu_engine *engine;
    const struct pf_kernels *kernels;
    const struct pf_warp *warp; /* luma pixels; borrowed */
    bool identity;
    int straight_px; /* pixels of a row over which the warp's field runs straight */
    int index;
    int plane, level;
    enum pf_part part;
    struct pf_source_plane source; /* the same plane of the frame */
    float taps[2 * PF_CPU_BLUR_REACH + 1];
    int reach;
    float noise;  /* energy that noise alone gives the frame at its finest level, grey levels */
    bool covered; /* no cell of this level can lie outside the frame */
};

struct pf_fuser {
    const struct pf_weighing *weighing; /* of a small picture; NULL: no weights, and so no maps */
    /* Takes the method's memory from the arena, for the sizes that the engine has; called twice,
     * the first time to add up. */
    void (*lay_out)(struct pf_cpu_engine *engine, struct pf_arena *arena);
    void (*clear)(struct pf_cpu_engine *engine); /* makes that memory an empty stack */
    /* The plane in work[0] joins the stack. */
    void (*fuse_plane)(struct pf_fuse_job *job);
    /* The stack's plane at a level, of that level's size; may use work[], and `out` may be
     * work[level]. */
    void (*collapse)(struct pf_cpu_engine *engine, int plane, int level, int16_t *out);
};

/* `average`, clipped: frames that always count, for fewer have no variance worth the name; and the
 * least deviation, for frames that agree to the last bit (blown highlights, few frames) would let in
 * nothing else. */
#define PF_AVERAGE_SEED_FRAMES     4
#define PF_AVERAGE_LEAST_DEVIATION (1.0f * PF_GREY)

/* maps.c: steps of the depth map from the first frame to the last, whose rank is `highest`. */
int pf_map_depth_steps(int highest);

extern const struct pf_fuser pf_fuser_pyramid, pf_fuser_soft_depth, pf_fuser_average;

static inline size_t pf_samples_of(struct pf_grid grid)
{
    return (size_t)grid.width * (size_t)grid.height;
}

static inline void *pf_fuse_scratch(const struct pf_fuse_job *job, int thread)
{
    return job->engine->scratch + (size_t)thread * job->engine->scratch_bytes;
}

/* fuse.c: source points, in samples of plane `from` of the frame, of the points x, x + step, ... of
 * row y of the plane in hand. */
void pf_fuse_path(const struct pf_fuse_job *job, int from, int x, int y, int step, int count,
                  double (*ret)[2]);

/* fuse.c: makes work[job->level + 1] of a plane from work[job->level]. */
void pf_fuse_reduce(struct pf_fuse_job *job);
/* Brings a plane from work[from], or from out itself where that is `to`, down to level `to`, into
 * out. */
void pf_fuse_reduce_between(struct pf_cpu_engine *engine, int plane, int from, int to,
                            int16_t *out);

/* Floats; with 0 anything. By all threads: the first touch of memory is most of what it costs. */
void pf_fuse_fill(struct pf_cpu_engine *engine, void *to, size_t size_bytes, float value);

#define PF_NO_COVER   1000.0f /* log2 penalty where a frame has no picture */
#define PF_MOST_NOISE 10.0f   /* grey levels; what is taken for noise beyond that is fine texture */

/* fuse_weights.c: memory for the evidence of `levels` levels and the weights of the first `parts`
 * parts; the same, empty. */
void pf_weights_lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena, int levels,
                        int parts);
void pf_weights_clear(struct pf_cpu_engine *engine);
/* From work[] of the luma: the frame's share of each part. */
void pf_weights_weigh(struct pf_fuse_job *job);
/* What noise may reach at a level; grey levels. */
float pf_weights_least(const struct pf_cpu_engine *engine, int level);
/* The sum of the evidence of level 0, or 0 and 1, where a frame shows nothing. */
float pf_weights_nothing(const struct pf_cpu_engine *engine, int last);
/* The grid of cells of level 0 or 1 at row y of a plane's level. */
void pf_weights_row(const struct pf_cpu_engine *engine, const float *cells, int cell_level,
                    int plane, int level, int y, float *out);
/* The level of lamp cells, of which there are 40 to 80 along the picture; any picture's. Their samples
 * of level 1 are 1 << level a side. */
#define PF_LAMP_CELLS 80
int pf_weights_lamp_level(int width, int height);
/* How much of the sharp part the stack has, in cells of level 1: row y of them. */
void pf_weights_sharp_row(const struct pf_cpu_engine *engine, int y, float *out);

#endif
