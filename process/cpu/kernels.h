/* The CPU's pixel kernels: one struct of function pointers, a set per instruction set.
 *
 * Each file of process/cpu/ named ..._isa.c is compiled once for the plain architecture (base) and, on x86-64, once
 * for x86-64-v3 (AVX2, FMA). pf_kernels() picks the best set this processor runs. All kernels work
 * on rows, borrow everything, keep no state and may run on any number of threads.
 *
 * Samples inside the engine are int16_t: luma 0..PF_WHITE, chroma centred on 0. One grey level of
 * 255 is PF_GREY units.
 */
#ifndef PF_KERNELS_H
#define PF_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_GREY  128
#define PF_WHITE (255 * PF_GREY)

/* A plane as decoded. */
struct pf_source_plane {
    const void *samples;
    size_t stride_bytes;
    int width, height;
    int bits;     /* 8 or 16 */
    float scale;  /* engine unit per sample unit, brightness gain included */
    float offset; /* sample value that is 0 in the engine (chroma: its centre) */
    bool bicubic; /* resampled by pf_bicubic instead of pf_lanczos */
};

/* Sums of one row of samples for the focus measure, in grey levels of 255. */
struct pf_focus_sums {
    double laplacian, laplacian_squared, tenengrad, modified_laplacian;
    double along, aslant; /* gx^2 - gy^2, 2 gx gy */
};

/* Sums of a row block for correlation: over valid samples. */
struct pf_fit_sums {
    double count, t, i, tt, ii, ti;
};

/* Row sums of gradient times error times powers of x: [axis][power]. */
struct pf_step_sums {
    double g[2][3];
};

/* Row sums of gradient products times powers of x: xx, xy, yy by power. */
struct pf_hessian_sums {
    double g[3][5];
};

/* Defocus spreads light: beside a highlight a frame out of focus is brighter than the one in focus,
 * and the edge of the disc that it makes of the highlight is stronger than most texture in the
 * dark. So contrast counts relative to brightness, which lasts where defocus keeps the mean of the
 * light, and falls where it brings light in. This is the brightness, 1 for white; the term in its
 * denominator keeps noise in the dark from deciding. */
#define PF_SPILL_DARK 8 /* grey levels */
static inline float pf_spill(float sample)
{
    float grey = sample * (1.0f / PF_GREY);
    return ((grey > 0 ? grey : 0) + PF_SPILL_DARK) * (1.0f / (255 + PF_SPILL_DARK));
}

/* Light of a place as it bears on the places around it: white is 1, and what is clipped was brighter
 * than white by nobody knows how much. */
#define PF_GLARE_FROM 240 /* grey levels: clipped from here on, surely at .. */
#define PF_GLARE_TO   252
#define PF_GLARE_MORE 8
static inline float pf_glare(float sample)
{
    float value = sample * (1.0f / PF_WHITE);
    float clipped =
        (sample * (1.0f / PF_GREY) - PF_GLARE_FROM) * (1.0f / (PF_GLARE_TO - PF_GLARE_FROM));
    value = value > 0 ? value : 0;
    clipped = clipped < 0 ? 0 : clipped > 1 ? 1 : clipped;
    return value * (0.012522878f + value * (0.682171111f + value * 0.305306011f)) +
           PF_GLARE_MORE * clipped;
}

/* How far a sample is clipped: 0, or up to PF_LAMP_WHOLE. Whole numbers, whose sums are exact. */
#define PF_LAMP_WHOLE ((PF_GLARE_TO - PF_GLARE_FROM) * PF_GREY)
static inline int pf_lamp(int16_t sample)
{
    int over = sample - PF_GLARE_FROM * PF_GREY;
    return over < 0 ? 0 : over > PF_LAMP_WHOLE ? PF_LAMP_WHOLE : over;
}

/* How far a place is so dark that the disc of a highlight outshines its texture, 0..1: grey levels up
 * to which it is, and from which it is not. What is brighter stays even if nothing there is fine. */
#define PF_DARK_TO   80
#define PF_DARK_FROM 148
static inline float pf_darkness(int16_t sample)
{
    float bright = (sample * (1.0f / PF_GREY) - PF_DARK_TO) * (1.0f / (PF_DARK_FROM - PF_DARK_TO));
    return bright < 0 ? 1 : bright > 1 ? 0 : 1 - bright;
}

/* Maps: the finest grid of weights sees few pixels, and brightness has a part in them; its word counts
 * so much beside that of the next grid. */
#define PF_MAP_FINEST_TRUST 0.2f

/* Maps: where no frame has fine detail, the frame wins in which the blur of an edge nearby reaches
 * farthest. A cell has its say only if what it shows is a fair share of the most that its surroundings
 * show (by the square of how far it falls short), or if places that are settled around it agree with it: what
 * is never sharp, behind an object, keeps its depth. What is settled is asked for in rounds, each
 * of which brings it some way nearer to the edges. Surroundings are 3 x 3 cells of a level of about 50
 * cells a side. */
#define PF_MAP_FAIR    0.1f
#define PF_MAP_AGREE   0.25f /* of the depth, at which agreement counts a half */
#define PF_MAP_ROUNDS  6
#define PF_MAP_AROUND  6  /* levels beneath the coarsest */
#define PF_VOTE_BINS   32 /* of places, to find a median */
#define PF_VOTE_BITS   10 /* bin and weight in 16 bits */
#define PF_VOTE_MOST   ((1 << PF_VOTE_BITS) - 1)
#define PF_SPECK_REACH 6 /* cells of the finest level around one, by which it may be a speck */
#define PF_MAP_REACH   3 /* cells of the finest level by which a depth map is smoothed */

/* Output samples of a row that the warp takes together: between the exact ends of such a piece, source
 * coordinates run straight. And the most rows. */
#define PF_WARP_SEGMENT 32
#define PF_WARP_ROWS    32

/* Side of a block that alignment looks at by itself, and the number of sums of its products. */
#define PF_BLOCK      16
#define PF_BLOCK_SUMS 36

/* Of each cell of a row. */
struct pf_vote_sums {
    uint32_t *support, *all;
};

struct pf_kernels {
    const char *name;

    /* Warp (Lanczos, three lobes: Duchon 1979; or cubic convolution: Keys 1981): output rows `y` .. y + rows - 1, all
     * of width `count` and `pitch` samples apart, through the homography `h` (output point -> source
     * point). Borders replicate. At most PF_WARP_ROWS rows, and the more the better. */
    void (*warp_rows)(int16_t *out, size_t pitch, int count, int y, int rows, const double h[9],
                      const struct pf_source_plane *source);
    /* A row of the same along any path: path[k] is the source point of output point k * step (one of the path
     * lies beyond the row's end), and the way between two is straight. step is a divisor of
     * PF_WARP_SEGMENT, whose work each takes. */
    void (*warp_path)(int16_t *out, int count, const double (*path)[2], int step,
                      const struct pf_source_plane *source);
    /* The same with the identity. */
    void (*convert_row)(int16_t *out, int count, int y, const struct pf_source_plane *source);

    /* Burt-Adelson reduce: rows[0..4] are source rows 2y-2..2y+2; scratch holds width + 8. */
    void (*reduce_row)(int16_t *out, int out_count, const int16_t *const rows[5], int width,
                       int32_t *scratch);
    /* Burt-Adelson expand of output row of parity `odd`; rows[0..2] are coarse rows y/2-1..y/2+1.
     * Result in int32 units of 1/64; scratch holds coarse_width + 8. */
    void (*expand_row)(int32_t *out, int count, const int16_t *const rows[3], int coarse_width,
                       bool odd, int32_t *scratch);
    /* average += alpha * ((fine - expanded / 64) - average) */
    void (*blend_laplacian_row)(int16_t *average, const int16_t *fine, const int32_t *expanded,
                                const float *alpha, int count);
    /* average += alpha * (sample - average) */
    void (*blend_row)(int16_t *average, const int16_t *sample, const float *alpha, int count);
    /* out = clamp(detail + expanded / 64) to low..high */
    void (*collapse_row)(int16_t *out, const int16_t *detail, const int32_t *expanded, int count,
                         int low, int high);

    /* Modified Laplacian of rows y and y+1 (rows[0..3] = y-1..y+2), summed in 2 x 2 cells and
     * divided by 4: out_count = ceil(width / 2) cells, in grey levels. */
    void (*modified_laplacian_row)(float *out, int out_count, const int16_t *const rows[4],
                                   int width);
    /* out[x] = sum taps[k] * rows[k][x] */
    void (*filter_rows)(float *out, const float *const *rows, const float *taps, int tap_count,
                        int count);
    /* out[x] = sum taps[k] * in[x - tap_count / 2 + k]; `in` has tap_count / 2 samples on both sides */
    void (*filter_row)(float *out, const float *in, const float *taps, int tap_count, int count);

    /* energy = counts * log2((max(energy^4 - noise^4, 0) + least^4)^(1/4) + floor) */
    void (*evidence_row)(float *energy, int count, float noise, float least, float floor,
                         float counts);
    /* sum += share of a row of a coarser grid between two of its rows, near * (1 - mix) + far * mix,
     * where column x lies at coarse column x / 2 - 1/8 (x even) or (x - 1) / 2 + 3/8 (odd). */
    void (*gather_row)(float *sum, int count, const float *near_row, const float *far_row,
                       float mix, float share, int coarse_count);
    /* evidence -= spill * log2 of how bright it is around a cell, see pf_spill. rows: the next
     * level's samples, which are one per cell, above, at and below the cell. */
    void (*spill_row)(float *evidence, const int16_t *const rows[3], int count, float spill);
    /* The same of the cell alone, whose brightness is 1 + glare[x] times as much. */
    void (*spill_finest_row)(float *evidence, const int16_t *samples, const float *glare, int count,
                             float spill);
    /* Sum of pf_lamp of each sample; at most 2^17 of them. */
    int (*lamp_sum)(const int16_t *samples, int count);
    /* out = strength * pf_glare of each sample. */
    void (*glare_row)(float *out, const int16_t *samples, int count, float strength);
    /* sum += means of 2 x 2 finer ones; fine_count is 2 * count or one less. */
    void (*add_halved_row)(float *sum, int count, const float *upper, const float *lower,
                           int fine_count);
    /* Online softmax: weight 2^(power * energy - behind - penalty[x]) (penalty NULL: none) joins the log2
     * total; energy is replaced by alpha, the new weight's share of the new total. */
    void (*softmax_row)(float *energy, float *log_total, int count, float power, float behind,
                        const float *penalty);
    /* Remembers who has the highest weight. Called before softmax_row, with the same arguments. */
    void (*winner_row)(const float *energy, float *best, uint16_t *winner, int count, float power,
                       float behind, const float *penalty, uint16_t index);

    /* alpha at a plane's row from the alpha grid: factor_x, factor_y 1 or 2 plane samples per cell;
     * upper/lower are the two grid rows to be mixed by 1-mix, mix. */
    void (*alpha_row)(float *out, int count, const float *upper, const float *lower, float mix,
                      int grid_count, int factor_x);

    /* Maps, a row of cells of a level of which 2^shift are one of the level of the surroundings (shift at
     * least 1), whose rows have `around` cells.
     * In: evidence, log2 of the winner's share; over, log2 of what is shown. Out: evidence, how much the
     * winner stands out; over, how often what is shown is more than `nothing`, less 1. */
    void (*map_evidence_row)(float *evidence, float *over, int count, float nothing, float trust);
    /* How much a cell has a say beside the most that its surroundings show. */
    void (*map_say_row)(float *say, const float *over, int count, const float *crest, int around,
                        int shift);
    /* The say of cells with whose places what is settled around them agrees; settled: rows above, here and
     * below, of `around` cells. */
    void (*map_agree_row)(float *say, const float *place, int count, const float *const settled[3],
                          int around, int shift);
    /* Bilateral filter of row `here` over the cells around, see maps.c: `rows` rows of places and
     * confidences, PF_MAP_REACH columns on both sides. 1 / narrow: the distance that counts a half. */
    void (*map_smooth_row)(float *out, const float *here, const float *const *place,
                           const float *const *sure, int rows, int width, float narrow);
    /* Votes (bin << PF_VOTE_BITS | weight) of `rows` rows, PF_SPECK_REACH + 1 at most, and as many columns
     * as PF_SPECK_REACH to both sides of a cell: those within `near` bins of its own, and all. */
    void (*map_support_row)(const struct pf_vote_sums *sums, const uint16_t *own,
                            const uint16_t *const *votes, int rows, int width, int near);
    /* out = nearest of steps + 1 equal steps from 0 to 1, times per_step. */
    void (*map_steps_row)(uint16_t *out, const float *value, int count, int steps, int per_step);

    /* Focus measure over columns [begin, end) of the middle one of three rows. */
    void (*focus_row)(struct pf_focus_sums *sums, const int16_t *const rows[3], int begin, int end);

    /* Modified Laplacian over columns [begin, end) of the middle one of three rows, summed. */
    float (*bend_sum)(const float *const rows[3], int begin, int end);

    /* Light, not encoded values: defocus is linear in light (blurred in encoded values, the bright
     * side of an edge would grow). Light is 0..255 here, by a cubic fit of the sRGB transfer function. */
    float (*light_sum)(const int16_t *samples, int count); /* each 0..1 */
    void (*light_row)(float *out, const int16_t *samples, int count);
    void (*root_row)(float *out, const float *light,
                     int count); /* coded: sqrt(255 light), 0..255 */
    /* Means of the light of 2 x 2 samples of a decoded plane; of 2 x 2 samples of a level. */
    void (*halve_source_row)(float *out, int out_count, int y,
                             const struct pf_source_plane *source);
    void (*halve_row)(float *out, int out_count, const float *upper, const float *lower, int width);

    /* Alignment, template row y (all coordinates in samples of the two images). */
    /* Bilinear samples of `image` at h * (x, y): out and valid (1 or 0). */
    void (*sample_row)(float *out, float *valid, int count, int y, const double h[9],
                       const float *image, int image_stride, int width, int height);
    void (*fit_row)(struct pf_fit_sums *sums, const float *target, const float *sample,
                    const float *valid, int count);
    /* error = (gain * (sample - sample_mean) - (target - target_mean)) * valid; x runs from
     * x0 in steps of dx. Adds to sums. */
    void (*step_row)(struct pf_step_sums *sums, const float *target, const float *sample,
                     const float *valid, const float *gx, const float *gy, int count, float gain,
                     float sample_mean, float target_mean, float x0, float dx);
    void (*hessian_row)(struct pf_hessian_sums *sums, const float *gx, const float *gy, int count,
                        float x0, float dx);
    /* Mean and difference (target - sample) of two pictures of one width, smoothed by 1 2 1 both
     * ways: `target` and `sample` are the first of three rows, the result is for the second, without
     * its first and last column. scratch holds two rows. */
    void (*compare_row)(float *mean, float *error, const float *target, const float *sample,
                        int width, float *scratch);
    /* One row of a block: adds the products of (gx, gy, b, u b, v b, 1, m - centre, error) with one
     * another, lower triangle row by row, in eight parts; m is the mean, gx, gy and b its gradient
     * and Laplacian, u and v run from -1 to 1 over the block. mean: rows above, here and below, with
     * one sample more on both sides. */
    void (*block_row)(float sums[PF_BLOCK_SUMS][8], const float *const mean[3], const float *error,
                      float v, float centre);
};

/* Lanczos weights of the six samples around a point: row i is for a point that lies
 * PF_LANCZOS_FROM + i / PF_LANCZOS_STEPS behind the third of them; each row adds up to 1. Filled by
 * the first pf_kernels(). */
#define PF_LANCZOS_TAPS  6
#define PF_LANCZOS_ROW   8 /* with zeros at the end */
#define PF_LANCZOS_STEPS 512
#define PF_LANCZOS_FROM  -0.5f
#define PF_LANCZOS_TO    1.5f
extern float pf_lanczos[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];
/* The same of cubic convolution (a = -1/2), of whose six weights at most four are not zero. */
extern float pf_bicubic[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];

/* The weights between two samples as polynomials of `aside`, how far a point is from the middle between
 * them, -0.5 .. 0.5: the weights of taps k and 5 - k are even(aside^2) +- aside * odd(aside^2), to
 * about 5e-5; all add up to 1. */
extern struct pf_resampling {
    float even[PF_LANCZOS_TAPS / 2][4], odd[PF_LANCZOS_TAPS / 2][4];
} pf_resampling[2]; /* by pf_source_plane.bicubic */

/* The sets this processor runs, the best one first; index from 0, NULL past the last. */
const struct pf_kernels *pf_kernels(int index);

#endif
