/* The fusing pipeline's kernels on the device: what the CPU's process/cpu/kernels.h does by rows, in
 * as few passes over the pixels as the levels allow.
 *
 * Called by the CUDA backend (process/cuda/engine.c) and its tests, one thread at a time per queue.
 * Every function only queues its work, in order, and returns at once; what went wrong is told by
 * pf_cuda_wait() or the next call that waits (runtime.h). All pointers are device pointers, borrowed,
 * unless said otherwise. No CUDA type is seen here: the callers are C.
 *
 * Samples are int16_t as in the CPU's kernels: luma 0..PF_WHITE, chroma centred on 0. A plane's rows
 * lie `pitch` samples apart, an even number of them, cells of 2 x 2 samples likewise. The two chroma
 * planes have one size and are done together.
 *
 * Rows of decoded planes lie a multiple of four samples apart and are as long, whatever the width, and the
 * first begins where four samples may: kernels load four at once, and what is beyond the width counts for
 * nothing.
 */
#ifndef PF_CUDA_FUSE_H
#define PF_CUDA_FUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/cpu/kernels.h"
#include "process/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_cuda_grid {
    int width, height, pitch;
};

/* Planes of one size, done by one launch; `count` 1 or 2. */
struct pf_cuda_planes {
    int count;
    int16_t *samples[2];
    struct pf_cuda_grid size;
};

/* Sums over one cell of the grid of light (PF_CUDA_CELLS x PF_CUDA_CELLS of a frame; the focus
 * measure's cells are 4 x 4 of these). Grey levels of 255; light 0..1 per sample. */
#define PF_CUDA_CELLS      64
#define PF_CUDA_MOST_REACH 6 /* cells, the most that smoothing of energies looks aside */
struct pf_cuda_cell {
    float light;
    float laplacian, laplacian_squared, tenengrad, modified_laplacian, along, aslant;
};

/* Reads a decoded luma plane (samples on the device) once. cells: all of the grid, row by row. */
void pf_cuda_measure(struct pf_cuda *cuda, const struct pf_source_plane *luma,
                     struct pf_cuda_cell *cells);

/* Means over the pixels of a cell that are looked at for it (process/light.h), light 0..1; and the largest
 * encoded value of any channel. */
struct pf_cuda_colour {
    float light[3], peak;
};
/* What the device's cells say of a frame, as it comes back. */
struct pf_cuda_cells {
    struct pf_cuda_cell luma[PF_CUDA_CELLS * PF_CUDA_CELLS];
    struct pf_cuda_colour colour[PF_CUDA_CELLS * PF_CUDA_CELLS];
};
/* A decoded frame; samples on the device. Of one with `planes` 1 luma is all. */
struct pf_cuda_frame {
    const void *luma, *cb, *cr;
    size_t luma_stride, cb_stride, cr_stride; /* bytes */
    int width, height, planes, bits, shift_x, shift_y;
};
void pf_cuda_see_colours(struct pf_cuda *cuda, const struct pf_cuda_frame *frame,
                         struct pf_cuda_colour *cells);

/* Samples of a plane among pixels: pixel = scale * sample + offset. */
struct pf_cuda_siting {
    double scale_x, offset_x, scale_y, offset_y;
};

/* Where the frame has what the reference shows: process/warp.h's map, from samples of a plane to those
 * of a plane. */
struct pf_cuda_map {
    double h[9];                       /* reference pixel -> frame pixel */
    struct pf_cuda_siting here, there; /* of the stack's plane, of the frame's */
    const float *nodes; /* of the field, two values each; device; NULL: there is none */
    int columns, rows;
    double origin_x, origin_y, spacing_x, spacing_y;
    int straight; /* samples of a row over which the field runs straight */
};

/* Decoded planes (alike but for scale; samples on the device) into engine samples, borders replicated.
 * map NULL: as they lie; the pitch is a multiple of four then, and what is beyond the width is written
 * too. resampling: of the host. */
void pf_cuda_warp(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                  const struct pf_source_plane *source, const struct pf_cuda_map *map,
                  const struct pf_resampling *resampling);
/* The same, and a share of it is added to one plane, within low..PF_WHITE. */
void pf_cuda_warp_share(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                        const struct pf_source_plane *source, const struct pf_cuda_map *map,
                        const struct pf_resampling *resampling, float share, int low);

/* Light 0..255 for alignment, rows without gaps: means of 2 x 2 samples of a decoded luma plane, of 2 x 2
 * values of light, and of each sample of the engine. Halving rounds up. */
void pf_cuda_halve_source(struct pf_cuda *cuda, float *out, const struct pf_source_plane *luma);
void pf_cuda_halve(struct pf_cuda *cuda, float *out, const float *light, int width, int height);
void pf_cuda_light(struct pf_cuda *cuda, float *out, const int16_t *samples,
                   const struct pf_cuda_grid *size);

/* Burst-Adelson reduce; with `energy` (luma only: one plane) also the modified Laplacian of `fine`,
 * summed in its cells of 2 x 2 samples, in grey levels: as many cells as `coarse` has samples. */
void pf_cuda_reduce(struct pf_cuda *cuda, const struct pf_cuda_planes *fine,
                    const struct pf_cuda_planes *coarse, float *energy);

/* average += share * ((fine - expanded coarse) - average). Shares are of cells: two samples wide
 * (factor_x 2) or one, likewise high. */
void pf_cuda_blend_laplacian(struct pf_cuda *cuda, const struct pf_cuda_planes *average,
                             const struct pf_cuda_planes *fine, const struct pf_cuda_planes *coarse,
                             const float *shares, const struct pf_cuda_grid *cells, int factor_x,
                             int factor_y);
/* average += share * (sample - average). */
void pf_cuda_blend(struct pf_cuda *cuda, const struct pf_cuda_planes *average,
                   const struct pf_cuda_planes *sample, const float *shares,
                   const struct pf_cuda_grid *cells, int factor_x, int factor_y);
/* The same for two stacks of one plane, each with shares of its own. */
void pf_cuda_blend_both(struct pf_cuda *cuda, const struct pf_cuda_planes average[2],
                        const struct pf_cuda_planes *sample, const float *const shares[2],
                        const struct pf_cuda_grid *cells, int factor_x, int factor_y);
/* out = detail + expanded coarse, in low..high; `out` may be `detail`. */
void pf_cuda_collapse(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                      const struct pf_cuda_planes *detail, const struct pf_cuda_planes *coarse,
                      int low, int high);
/* Engine samples to 8 or 16 bits of an image: `out` rows stride_bytes apart. */
void pf_cuda_export(struct pf_cuda *cuda, void *out, size_t stride_bytes, int bits, bool chroma,
                    const int16_t *samples, const struct pf_cuda_grid *size);

/* --- weights: process/cpu/fuse_weights.c has the reasons --- */

#define PF_CUDA_NOISE_BINS 2048

/* What noise alone gives the frame and the reference, at the finest level; grey levels. Lives on the
 * device; `reference` below 0: this frame is the reference. */
struct pf_cuda_noise {
    float frame, reference;
};

/* From the modified Laplacian of the finest level: the energy that its quietest tenth has. bins: room
 * for PF_CUDA_NOISE_BINS + 1 counts. most: bound of the reference's. */
void pf_cuda_noise_of(struct pf_cuda *cuda, const float *energy, const struct pf_cuda_grid *cells,
                      float most, int *bins, struct pf_cuda_noise *noise);

/* One level's evidence, from the modified Laplacian of its cells. */
struct pf_cuda_evidence {
    struct pf_cuda_grid cells;
    const float *raw;                  /* modified Laplacian of the level's cells */
    const struct pf_cuda_noise *noise; /* NULL: nothing counts as noise */
    float *evidence;
    float taps[2 * PF_CUDA_MOST_REACH + 1]; /* smoothing, in cells */
    int reach;
    float noise_share; /* of the noise of the finest level that this one has */
    float least_share; /* the same, times the bound of what counts as noise */
    float floor, counts;
};
void pf_cuda_evidence(struct pf_cuda *cuda, const struct pf_cuda_evidence *job);

/* out = base (NULL: 0; may be out) + share of the coarser level's cells, laid over. */
void pf_cuda_gather(struct pf_cuda *cuda, float *out, const float *base,
                    const struct pf_cuda_grid *cells, const float *coarse,
                    const struct pf_cuda_grid *coarse_cells, float share);
/* out = means of 2 x 2 of the finer level's cells. */
void pf_cuda_halve_cells(struct pf_cuda *cuda, float *out, const struct pf_cuda_grid *cells,
                         const float *fine, const struct pf_cuda_grid *fine_cells);

/* The most that levels 0 and 1 have said together for any frame, and that frame's luma there; on the
 * cells of level 1, whose pitch both have. A frame joins in pf_cuda_sums(). */
struct pf_cuda_most {
    struct pf_cuda_grid cells;
    float *said;
    int16_t *light;
};
/* evidence -= spill * log2 of how bright it is around: of the most in a cell and those around it.
 * light: luma of the next level, one sample per cell, rows light_pitch apart. See kernels.h. */
void pf_cuda_spill(struct pf_cuda *cuda, float *evidence, const struct pf_cuda_grid *cells,
                   const int16_t *light, int light_pitch, float spill);

/* The finest level's: the brightness of the cell itself, and of what shines from around. */
struct pf_cuda_glare {
    struct pf_cuda_grid cells;
    const int16_t *light; /* luma of the next level, rows light_pitch apart */
    int light_pitch;
    float taps[2 * PF_CUDA_MOST_REACH + 1]; /* of what is around, in cells */
    int reach;
    float strength, spill;
};
void pf_cuda_spill_finest(struct pf_cuda *cuda, float *evidence, const struct pf_cuda_glare *glare);

/* How near it is to what is clipped, 0..1, see struct pf_weighing: in cells of 1 << level samples of
 * level 1, each without those around it. */
struct pf_cuda_lamps {
    struct pf_cuda_grid cells;
    int level;
    float *near;
};
/* A frame's luma of level 1 joins; half as near where `half_share` of a cell is clipped. */
void pf_cuda_see_lamps(struct pf_cuda *cuda, const struct pf_cuda_lamps *lamps,
                       const int16_t *samples, const struct pf_cuda_grid *size, float half_share);

/* Level 1, where the sums end: the finest level's evidence joins, and the sums of level 2. */
struct pf_cuda_sums {
    struct pf_cuda_grid cells, fine_cells, coarse_cells;
    const float *finest; /* evidence of level 0 */
    const float *coarse; /* NULL: there is none */
    float *evidence;
    float *before;            /* NULL, or takes what `evidence` is on entry */
    struct pf_cuda_most most; /* said NULL: nobody asks */
    /* The frame's luma of level 2 for it: one sample per cell, rows light_pitch apart. */
    const int16_t *light;
    int light_pitch;
};
void pf_cuda_sums(struct pf_cuda *cuda, const struct pf_cuda_sums *job);

/* A part's evidence becomes the frame's share of it. */
struct pf_cuda_weigh {
    struct pf_cuda_grid cells;
    float *share; /* evidence on entry */
    /* NULL, or the next level's: so large a share of it, laid over, joins the evidence first. */
    const float *coarse;
    struct pf_cuda_grid coarse_cells;
    float coarse_share;
    float *log_total; /* running, -1e30 in an empty stack */
    float *best;      /* NULL: nobody asks who wins; else running, -1e30 at first */
    uint16_t *winner;
    float power, behind;    /* the log2 weight is power * evidence - behind */
    bool covered;           /* the frame has a picture everywhere */
    struct pf_cuda_map map; /* of the luma */
    double scale;           /* samples of level 0 per sample of the cells' level */
    double right, bottom;   /* last column and row of the frame */
    float no_cover;         /* penalty where there is no picture */
    uint16_t index;         /* of the frame among all */
};
void pf_cuda_weigh(struct pf_cuda *cuda, const struct pf_cuda_weigh *weigh);

/* What the fine levels say where there is nothing but noise. */
#define PF_CUDA_FINE_LEVELS 2
struct pf_cuda_nothing {
    const struct pf_cuda_noise *noise; /* NULL: nothing counts as noise */
    int levels;
    float least_share[PF_CUDA_FINE_LEVELS], floor[PF_CUDA_FINE_LEVELS], counts[PF_CUDA_FINE_LEVELS];
};
/* out: how much of the sharp part the stack has, see struct pf_weighing. */
void pf_cuda_sharp(struct pf_cuda *cuda, float *out, const struct pf_cuda_most *most,
                   const struct pf_cuda_nothing *nothing, const float sharp[2],
                   const float lamp_sharp[2], const struct pf_cuda_lamps *lamps);

/* --- `average` --- */

struct pf_cuda_mean {
    float *mean, *deviations; /* deviations NULL: nothing is clipped */
    uint16_t *frames;
    struct pf_cuda_grid size;
    struct pf_cuda_map map;
    bool covered;
    const uint8_t *cover;      /* of the frame's pixels, 255 is covered; NULL: all are */
    struct pf_cuda_map pixels; /* to them */
    int frame_width, frame_height;
    float clip, least_deviation;
    int seed_frames;
};
void pf_cuda_mean_join(struct pf_cuda *cuda, const struct pf_cuda_mean *mean,
                       const int16_t *samples);
void pf_cuda_mean_round(struct pf_cuda *cuda, int16_t *out, const float *mean,
                        const struct pf_cuda_grid *size);

/* --- maps: process/cpu/maps.c has the reasons --- */

/* One level of the push-pull pyramid, on the grid of cells. */
struct pf_cuda_map_level {
    struct pf_cuda_grid size;
    float *place;      /* sum of confidence times place, then the place, 0..1 */
    float *confidence; /* 0..1 */
    uint16_t *frame;   /* place of the winner in capture order */
};

/* Who won a part. */
struct pf_cuda_winners {
    const float *best, *log_total;
    const uint16_t *winner;
};
/* What is around the cells of a map, see PF_MAP_FAIR: the most that is shown above noise, and the places
 * that are settled (NULL: none yet), in cells of 2^shift of a level's. */
struct pf_cuda_map_around {
    struct pf_cuda_grid size;
    float *crest; /* NULL: nothing is asked of the surroundings */
    const float *settled;
    int shift;
};
/* What a level's own winners say. */
struct pf_cuda_map_winners {
    struct pf_cuda_winners part, soft; /* soft: where `sharp` is at most a half; level 1 */
    const float *sharp;                /* NULL: `part` everywhere */
    const float
        *most; /* what fine levels show, on the cells of level 1; NULL: what the winner does */
    struct pf_cuda_grid most_size;
    int level;
    const int *rank; /* of each frame */
    int highest;
    float power;
    struct pf_cuda_nothing nothing;
    struct pf_cuda_map_around around;
};
/* The crest of `around`, from what is shown on `cells` of level `job->level`; highest: as large, to work
 * in. */
void pf_cuda_map_crest(struct pf_cuda *cuda, const struct pf_cuda_map_around *around,
                       float *highest, const struct pf_cuda_grid *cells,
                       const struct pf_cuda_map_winners *job);
void pf_cuda_map_winners(struct pf_cuda *cuda, const struct pf_cuda_map_level *level,
                         const struct pf_cuda_map_winners *winners);
/* Means of what the finer level knows, and the frame of its surest cell. */
void pf_cuda_map_reduce(struct pf_cuda *cuda, const struct pf_cuda_map_level *fine,
                        const struct pf_cuda_map_level *coarse);
/* Sums become places; what a level is unsure of it takes from the coarser one (NULL: there is none),
 * whose confidence it may `borrow`. */
void pf_cuda_map_fill(struct pf_cuda *cuda, const struct pf_cuda_map_level *level,
                      const struct pf_cuda_map_level *coarser, bool borrow);
/* out: the level's places, specks among them taking that of their surroundings. */
void pf_cuda_map_despeckle(struct pf_cuda *cuda, float *out, const struct pf_cuda_map_level *level,
                           int highest);
/* out: the level's places, evened out between frames that are next to one another. */
void pf_cuda_map_smooth(struct pf_cuda *cuda, float *out, const struct pf_cuda_map_level *level,
                        int highest);
/* Cells to 16 bits of an image twice as large, rows stride_bytes apart: the frame's number, or the
 * value of `plane` in so many steps of the whole range. */
void pf_cuda_map_frames(struct pf_cuda *cuda, void *out, size_t stride_bytes, int width, int height,
                        const struct pf_cuda_map_level *level);
void pf_cuda_map_values(struct pf_cuda *cuda, void *out, size_t stride_bytes, int width, int height,
                        const float *plane, const struct pf_cuda_grid *size, int steps);

#ifdef __cplusplus
}
#endif

#endif
