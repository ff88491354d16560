/* Alignment by blocks, which defocus does not lead astray.
 *
 * Where focus moves over a slanted subject, one picture is blurred against the other by an amount
 * that changes over the picture. Least squares over all pixels, correlation among them, takes some
 * of that for a shift: in one dimension, a blur of D(x) gives the error D I'', and the shift that
 * explains it best is half the mean of D (I'^2)' over that of I'^2. Detail I'^2 and blur D both
 * change where the focal plane lies, so this never averages out, and over a burst it adds up: half a
 * pixel and more at 24 MP.
 *
 * So each block of 16 x 16 samples is asked by itself for its displacement, in the presence of what
 * else may have changed in it: its blur, which may grow across the block (multiples of the
 * Laplacian), its brightness and its contrast. That is a linear least squares problem, one step of
 * Lucas & Kanade 1981 with more unknowns. Gradient and Laplacian are those of the mean of both
 * pictures, smoothed alike: then neither which one is the target nor equal noise has a say. The
 * motion is fitted to the displacements, each by its certainty, robustly (weights of Geman & McClure
 * 1987, iterated): blocks of occluding edges, growing bokeh and moving things stay out.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/ecc_blocks.h"

struct pf_ecc_blocks {
    struct pf_ecc_block *blocks;
    size_t block_capacity;
    float *rows; /* smoothed rows of a row of blocks, per thread */
    size_t row_capacity;
};

struct job {
    const struct pf_ecc_blocks_view *view;
    struct pf_ecc_blocks *memory;
    int columns, rows;
    size_t row_floats; /* per thread */
};

int pf_ecc_blocks_new(struct pf_ecc_blocks **ret, struct pf_error *err)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for alignment");
}

struct pf_ecc_blocks *pf_ecc_blocks_free(struct pf_ecc_blocks *blocks)
{
    if (blocks) {
        free(blocks->blocks);
        free(blocks->rows);
    }
    free(blocks);
    return NULL;
}

/* The sums' parts, as a symmetric matrix. */
static void add_up(const float sums[PF_BLOCK_SUMS][8], double a[8][8])
{
    for (int i = 0, pair = 0; i < 8; i++)
        for (int j = 0; j <= i; j++, pair++) {
            double sum = 0;
            for (int part = 0; part < 8; part++)
                sum += (double)sums[pair][part];
            a[i][j] = a[j][i] = sum;
        }
}

/* begin..end: rows of blocks. */
static void block_rows(void *context, int begin, int end, int thread)
{
    enum { ROWS = PF_BLOCK + 2 };
    const struct job *job = context;
    const struct pf_ecc_blocks_view *view = job->view;
    const struct pf_kernels *kernels = view->kernels;
    size_t width = (size_t)view->target->width;
    float *mean = job->memory->rows + (size_t)thread * job->row_floats;
    float *error = mean + ROWS * width, *scratch = error + ROWS * width;
    for (int row = begin; row < end; row++) {
        int y0 = PF_BLOCK_HALO + row * PF_BLOCK;
        for (size_t k = 0; k < ROWS; k++) {
            size_t from = ((size_t)(y0 - PF_BLOCK_HALO) + k) * width;
            kernels->compare_row(mean + k * width, error + k * width, view->target->pixels + from,
                                 view->sample + from, view->target->width, scratch);
        }
        for (int column = 0; column < job->columns; column++) {
            int x0 = PF_BLOCK_HALO + column * PF_BLOCK;
            struct pf_ecc_block *block = &job->memory->blocks[row * job->columns + column];
            *block = (struct pf_ecc_block){0};
            if (!pf_ecc_block_has_picture(view->warp, view->image->width, view->image->height, x0,
                                          y0))
                continue;
            float sums[PF_BLOCK_SUMS][8] = {{0}};
            double a[8][8];
            float centre = mean[(size_t)(PF_BLOCK / 2) * width + (size_t)(x0 + PF_BLOCK / 2)];
            for (int y = 0; y < PF_BLOCK; y++) {
                const float *here = mean + (size_t)(y + 1) * width + x0;
                const float *const rows[3] = {here - width, here, here + width};
                kernels->block_row(sums, rows, error + (size_t)(y + 1) * width + x0,
                                   (float)y * (2.0f / (PF_BLOCK - 1)) - 1, centre);
            }
            add_up((const float(*)[8])sums, a);
            pf_ecc_block_ask(a, block);
            pf_ecc_block_place(&view->frame, x0, y0, block);
        }
    }
}

/* What each parameter of a motion does to a point: the rows of pf_ecc_basis. */
static inline void jacobian(enum pf_motion motion, double u, double v, double x[PF_ECC_PARAMETERS],
                            double y[PF_ECC_PARAMETERS])
{
    if (motion == PF_MOTION_SHIFT || motion == PF_MOTION_SIMILARITY) {
        const double sx[4] = {1, 0, u, -v}, sy[4] = {0, 1, v, u};
        memcpy(x, sx, sizeof(sx));
        memcpy(y, sy, sizeof(sy));
    } else {
        const double px[PF_ECC_PARAMETERS] = {1, u, v, 0, 0, 0, -u * u, -u * v};
        const double py[PF_ECC_PARAMETERS] = {0, 0, 0, 1, u, v, -u * v, -v * v};
        memcpy(x, px, sizeof(px));
        memcpy(y, py, sizeof(py));
    }
}

/* The motion that the blocks agree on, in its own parameters. `near`: the estimate in hand is good
 * enough to say from the beginning which blocks are far off. False when the blocks are too few. */
static bool agree(const struct pf_ecc_block *blocks, int block_count, enum pf_motion motion,
                  double radius, int count, bool near, double p[PF_ECC_PARAMETERS],
                  double *certainty)
{
    double unit = radius * radius;
    for (int round = 0; round < pf_ecc_blocks_rounds(near); round++) {
        double a[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS] = {{0}}, b[PF_ECC_PARAMETERS] = {0};
        int asked = 0;
        *certainty = 0;
        for (int i = 0; i < block_count; i++) {
            const struct pf_ecc_block *block = &blocks[i];
            if (!(block->weight[0] > 0))
                continue;
            double jx[PF_ECC_PARAMETERS], jy[PF_ECC_PARAMETERS];
            double wxx = unit * (double)block->weight[0], wxy = unit * (double)block->weight[1];
            double wyy = unit * (double)block->weight[2];
            double dx = (double)block->d[0] / radius, dy = (double)block->d[1] / radius;
            double rx = dx, ry = dy;
            jacobian(motion, (double)block->u, (double)block->v, jx, jy);
            for (int k = 0; k < count; k++) {
                rx -= jx[k] * p[k];
                ry -= jy[k] * p[k];
            }
            double far = wxx * rx * rx + 2 * wxy * rx * ry + wyy * ry * ry;
            double fade = 1 + far / PF_ECC_BLOCKS_FAR,
                   share = near || round ? 1 / (fade * fade) : 1;
            for (int k = 0; k < count; k++) {
                double wx = share * (wxx * jx[k] + wxy * jy[k]);
                double wy = share * (wxy * jx[k] + wyy * jy[k]);
                b[k] += wx * dx + wy * dy;
                for (int l = 0; l <= k; l++)
                    a[k][l] += wx * jx[l] + wy * jy[l];
            }
            *certainty += share * (wxx + wyy) / unit;
            asked++;
        }
        for (int k = 0; k < count; k++)
            a[k][k] *= 1 + 1e-9;
        if (asked < PF_ECC_BLOCKS_LEAST || !pf_ecc_solve(a, b, count))
            return false;
        memcpy(p, b, sizeof(b));
    }
    return true;
}

/* The step of the target's coordinates that they agree on, as a map in columns and rows. */
static bool step_of(const struct pf_ecc_block *blocks, int count, enum pf_motion motion,
                    const struct pf_ecc_frame *frame, bool near, double ret[9],
                    double *ret_certainty)
{
    double basis[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS];
    double p[PF_ECC_PARAMETERS] = {0}, d[PF_ECC_PARAMETERS] = {0};
    int parameters = pf_ecc_basis(motion, basis);
    if (!agree(blocks, count, motion, frame->radius, parameters, near, p, ret_certainty))
        return false;
    for (int i = 0; i < parameters; i++)
        for (int k = 0; k < PF_ECC_PARAMETERS; k++)
            d[k] += basis[i][k] * p[i];
    return pf_ecc_step_map(frame, d, ret);
}

static int reserve(struct job *job, struct pf_error *err)
{
    struct pf_ecc_blocks *memory = job->memory;
    size_t blocks = (size_t)job->columns * (size_t)job->rows;
    job->row_floats = (2 * (PF_BLOCK + 2) + 2) * (size_t)job->view->target->width;
    size_t floats = job->row_floats * (size_t)pf_pool_threads(job->view->pool);
    if (blocks > memory->block_capacity) {
        free(memory->blocks);
        memory->blocks = malloc(blocks * sizeof(*memory->blocks));
        memory->block_capacity = memory->blocks ? blocks : 0;
    }
    if (floats > memory->row_capacity) {
        free(memory->rows);
        memory->rows = malloc(floats * sizeof(*memory->rows));
        memory->row_capacity = memory->rows ? floats : 0;
    }
    return memory->blocks && memory->rows ? 0 : pf_fail(err, ENOMEM, "out of memory for alignment");
}

int pf_ecc_blocks_step(struct pf_ecc_blocks *blocks, const struct pf_ecc_blocks_view *view,
                       bool near, double ret[9], double *ret_certainty, struct pf_error *err)
{
    struct job job = {.view = view, .memory = blocks};
    pf_ecc_block_grid(view->target->width, view->target->height, &job.columns, &job.rows);
    if (job.columns < 1 || job.rows < 1)
        return 0;
    int r = reserve(&job, err);
    if (r < 0)
        return r;
    pf_pool_run(view->pool, job.rows, 1, block_rows, &job);
    return step_of(blocks->blocks, job.columns * job.rows, view->motion, &view->frame, near, ret,
                   ret_certainty);
}
