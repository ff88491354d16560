/* Greedy symmetric diffeomorphic registration on the device; see deform_syn.h. */
#include "process/cuda/deform_syn.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 128,
    AROUND = 2,      /* cells on each side that gain and offset are fitted over */
    SMOOTH = 2,      /* cells, about the deviation of what sums are smoothed with */
    INVERSIONS = 24, /* fixed-point steps */
};
#define LEAST_NOISE   1.0f /* grey levels, squared */
#define LEAST_SHARE   0.3f /* correlation below which a surrounding says less */
#define STIFFNESS     1.0f /* 1/px^2: what a cell has of its own against moving */
#define LONGEST_STEP  1.0f /* px of the level; a quarter of a cell, so that no step folds */
#define STEP_ENOUGH   0.004f
#define ALIKE         0.8f /* local correlation of what is to be believed */
#define ROUND_TRIP    0.1f /* px that the way there and back may miss by */
#define LEAST_STRETCH 0.05f

static __device__ __forceinline__ float2 middle_of(const struct pf_cells &grid, int k)
{
    int row = k / grid.columns, column = k - row * grid.columns;
    return make_float2(((float)column + 0.5f) * grid.width - 0.5f,
                       ((float)row + 0.5f) * grid.height - 0.5f);
}

/* A picture at a point of the middle: value and gradient there. */
struct sight {
    float value, x, y;
};

static __device__ bool see(const float *pixels, int width, int height, int x, int y, float dx,
                           float dy, struct sight *ret)
{
    int ix, iy;
    float tx, ty;
    if (!pf_pixel_at(x, y, dx, dy, width, height, 1, &ix, &iy, &tx, &ty))
        return false;
    const float *at = pixels + (size_t)iy * width + ix;
    ret->value = pf_bilinear(at, width, tx, ty);
    ret->x = 0.5f * (pf_bilinear(at + 1, width, tx, ty) - pf_bilinear(at - 1, width, tx, ty));
    ret->y =
        0.5f * (pf_bilinear(at + width, width, tx, ty) - pf_bilinear(at - width, width, tx, ty));
    return true;
}

static __device__ bool see_both(const struct pf_deform_pass &pass, const float2 *to_target,
                                const float2 *to_image, int x, int y, struct sight *target,
                                struct sight *image)
{
    float2 a = pf_displacement_at(to_target, pass.grid, (float)x, (float)y);
    float2 b = pf_displacement_at(to_image, pass.grid, (float)x, (float)y);
    float dx, dy;
    pf_short_warp_at(pass.warp, (float)x + b.x, (float)y + b.y, &dx, &dy);
    if (!see(pass.target, pass.width, pass.height, x, y, a.x, a.y, target) ||
        !see(pass.image, pass.image_width, pass.image_height, x, y, b.x + dx, b.y + dy, image))
        return false;
    /* The image's gradient as the target's columns and rows have it. */
    float gx = (1 + pass.warp.a) * image->x + pass.warp.d * image->y;
    image->y = pass.warp.b * image->x + (1 + pass.warp.e) * image->y;
    image->x = gx;
    return true;
}

struct pixels {
    int left, right, top, bottom;
};

static __device__ struct pixels pixels_of(const struct pf_deform_pass &pass, int k)
{
    int row = k / pass.grid.columns, column = k - row * pass.grid.columns;
    int width = (int)pass.grid.width, height = (int)pass.grid.height;
    struct pixels ret = {column * width, min((column + 1) * width, pass.width), row * height,
                         min((row + 1) * height, pass.height)};
    return ret;
}

/* A thread per cell: sums for the fit of gain and offset. */
static __global__ void sum_up(struct pf_deform_pass pass, const float2 *to_target,
                              const float2 *to_image, struct pf_syn_sums *sums)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    struct pf_syn_sums sum = {0, 0, 0, 0, 0, 0};
    struct pixels all = pixels_of(pass, k);
    for (int y = all.top; y < all.bottom; y++)
        for (int x = all.left; x < all.right; x++) {
            struct sight target, image;
            if (!see_both(pass, to_target, to_image, x, y, &target, &image))
                continue;
            float t = target.value - pass.state->mean, i = image.value - pass.state->mean;
            sum.count++;
            sum.t += t;
            sum.i += i;
            sum.tt += t * t;
            sum.ii += i * i;
            sum.ti += t * i;
        }
    sums[k] = sum;
}

struct local_fit {
    float gain, offset, precision, correlation;
};

/* Gain and offset around a cell, and how well they fit. */
static __device__ struct local_fit fit_around(const struct pf_syn_sums *sums,
                                              const struct pf_cells &grid, int k)
{
    int row = k / grid.columns, column = k - row * grid.columns;
    struct pf_syn_sums all = {0, 0, 0, 0, 0, 0};
    for (int j = max(row - AROUND, 0); j <= min(row + AROUND, grid.rows - 1); j++)
        for (int i = max(column - AROUND, 0); i <= min(column + AROUND, grid.columns - 1); i++) {
            const struct pf_syn_sums *sum = &sums[(size_t)j * grid.columns + i];
            all.count += sum->count;
            all.t += sum->t;
            all.i += sum->i;
            all.tt += sum->tt;
            all.ii += sum->ii;
            all.ti += sum->ti;
        }
    struct local_fit fit = {1, 0, 0, 0};
    if (!(all.count > 0))
        return fit;
    float t = all.t / all.count, i = all.i / all.count;
    float tt = fmaxf(all.tt / all.count - t * t, 0), ii = fmaxf(all.ii / all.count - i * i, 0);
    float ti = all.ti / all.count - t * i;
    /* With a little noise of their own, even surfaces have no gain but 1. */
    float gain = (ti + LEAST_NOISE) / (ii + LEAST_NOISE);
    gain = fminf(fmaxf(gain, 0.1f), 10.0f);
    float share = (ti + LEAST_NOISE) / sqrtf((tt + LEAST_NOISE) * (ii + LEAST_NOISE));
    float remains = fmaxf(tt - 2 * gain * ti + gain * gain * ii, LEAST_NOISE);
    share = fmaxf(share, 0);
    fit.gain = gain;
    fit.correlation = share;
    fit.offset = t - gain * i;
    fit.precision = fminf(share / LEAST_SHARE, 1.0f) / remains;
    return fit;
}

/* A thread per cell: what its pixels would have move. */
static __global__ void pull(struct pf_deform_pass pass, const float2 *to_target,
                            const float2 *to_image, const struct pf_syn_sums *sums,
                            struct pf_syn_pull *out)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    struct local_fit fit = fit_around(sums, pass.grid, k);
    struct pf_syn_pull sum = {0, 0, 0, 0, 0};
    struct pixels all = pixels_of(pass, k);
    for (int y = all.top; y < all.bottom; y++)
        for (int x = all.left; x < all.right; x++) {
            struct sight target, image;
            if (!see_both(pass, to_target, to_image, x, y, &target, &image))
                continue;
            float gx = 0.5f * (target.x + fit.gain * image.x);
            float gy = 0.5f * (target.y + fit.gain * image.y);
            float error = target.value - pass.state->mean -
                          fit.gain * (image.value - pass.state->mean) - fit.offset;
            sum.xx += fit.precision * gx * gx;
            sum.xy += fit.precision * gx * gy;
            sum.yy += fit.precision * gy * gy;
            sum.x += fit.precision * gx * error;
            sum.y += fit.precision * gy * error;
        }
    out[k] = sum;
}

/* Binomial weights of five: their deviation is one cell; two passes have SMOOTH's variance, halved. */
static __device__ __forceinline__ float five(int i)
{
    return i == 0 ? 6 / 16.0f : i == 1 || i == -1 ? 4 / 16.0f : 1 / 16.0f;
}

static __device__ __forceinline__ int neighbour(const struct pf_cells &grid, int k, int by,
                                                bool down)
{
    int row = k / grid.columns, column = k - row * grid.columns;
    row = down ? min(max(row + by, 0), grid.rows - 1) : row;
    column = down ? column : min(max(column + by, 0), grid.columns - 1);
    return row * grid.columns + column;
}

static __global__ void smooth_pull(struct pf_deform_pass pass, struct pf_syn_pull *out,
                                   const struct pf_syn_pull *in, bool down)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    struct pf_syn_pull sum = {0, 0, 0, 0, 0};
    for (int by = -2; by <= 2; by++) {
        const struct pf_syn_pull *from = &in[neighbour(pass.grid, k, by, down)];
        float w = five(by);
        sum.xx += w * from->xx;
        sum.xy += w * from->xy;
        sum.yy += w * from->yy;
        sum.x += w * from->x;
        sum.y += w * from->y;
    }
    out[k] = sum;
}

static __global__ void solve_steps(struct pf_deform_pass pass, float2 *step,
                                   const struct pf_syn_pull *pulls)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    const struct pf_syn_pull *p = &pulls[k];
    float xx = p->xx + STIFFNESS, yy = p->yy + STIFFNESS, determinant = xx * yy - p->xy * p->xy;
    step[k] = make_float2((yy * p->x - p->xy * p->y) / determinant,
                          (xx * p->y - p->xy * p->x) / determinant);
}

/* A step is as smooth as a fluid moves, and no longer than keeps it from folding. */
static __global__ void smooth_step(struct pf_deform_pass pass, float2 *out, const float2 *in,
                                   bool down)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    float2 sum = make_float2(0, 0);
    for (int by = -2; by <= 2; by++) {
        float2 from = in[neighbour(pass.grid, k, by, down)];
        sum.x += five(by) * from.x;
        sum.y += five(by) * from.y;
    }
    float length = sqrtf(sum.x * sum.x + sum.y * sum.y);
    if (length > LONGEST_STEP) {
        sum.x *= LONGEST_STEP / length;
        sum.y *= LONGEST_STEP / length;
    }
    out[k] = sum;
}

/* half := half after a part of the step. */
static __global__ void compose(struct pf_deform_pass pass, float2 *out, const float2 *half,
                               const float2 *step, float part)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= pass.grid.columns * pass.grid.rows)
        return;
    if (pass.state->done) { /* the other of the two buffers has to have it as well */
        out[k] = half[k];
        return;
    }
    float2 at = middle_of(pass.grid, k), by = step[k];
    by.x *= part;
    by.y *= part;
    float2 d = pf_displacement_at(half, pass.grid, at.x + by.x, at.y + by.y);
    out[k] = make_float2(by.x + d.x, by.y + d.y);
    /* Of numbers that are not negative, the larger one has the larger bits. */
    atomicMax(&pass.state->moved_bits, __float_as_int(fmaxf(fabsf(by.x), fabsf(by.y))));
}

static __global__ void end_step(struct pf_deform_state *state)
{
    if (state->done)
        return;
    state->steps++;
    state->done = __int_as_float(state->moved_bits) < STEP_ENOUGH;
    state->moved_bits = 0;
}

static __global__ void begin_steps(struct pf_deform_pass pass)
{
    struct pf_deform_state *state = pass.state;
    state->mean = pass.target[(size_t)(pass.height / 2) * pass.width + pass.width / 2];
    state->done = 0;
    state->moved_bits = 0;
}

static __global__ void split(struct pf_deform_pass pass, float2 *to_target, float2 *to_image)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= pass.grid.columns * pass.grid.rows)
        return;
    /* Back from the image's columns and rows to the target's. */
    float a = 1 + pass.warp.a, b = pass.warp.b, c = pass.warp.d, e = 1 + pass.warp.e;
    float determinant = a * e - b * c;
    float2 d = pass.displacement[k];
    float x = 0.5f * (e * d.x - b * d.y) / determinant;
    float y = 0.5f * (a * d.y - c * d.x) / determinant;
    to_target[k] = make_float2(-x, -y);
    to_image[k] = make_float2(x, y);
}

static __global__ void enlarge(struct pf_deform_pass pass, float2 *out, const float2 *coarse,
                               struct pf_cells coarse_grid)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= pass.grid.columns * pass.grid.rows)
        return;
    float2 at = middle_of(pass.grid, k);
    float2 d = pf_displacement_at(coarse, coarse_grid, 0.5f * at.x - 0.25f, 0.5f * at.y - 0.25f);
    out[k] = make_float2(2 * d.x, 2 * d.y);
}

/* How much area a map gives a cell: 0 or less is a fold. */
static __device__ float stretch_at(const float2 *half, const struct pf_cells &grid, float2 at)
{
    float2 left = pf_displacement_at(half, grid, at.x - 0.5f * grid.width, at.y);
    float2 right = pf_displacement_at(half, grid, at.x + 0.5f * grid.width, at.y);
    float2 above = pf_displacement_at(half, grid, at.x, at.y - 0.5f * grid.height);
    float2 below = pf_displacement_at(half, grid, at.x, at.y + 0.5f * grid.height);
    float xx = 1 + (right.x - left.x) / grid.width, yx = (right.y - left.y) / grid.width;
    float xy = (below.x - above.x) / grid.height, yy = 1 + (below.y - above.y) / grid.height;
    return xx * yy - xy * yx;
}

static __global__ void join(struct pf_deform_pass pass, const float2 *to_target,
                            const float2 *to_image, const struct pf_syn_sums *sums, float *trust)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= pass.grid.columns * pass.grid.rows)
        return;
    float2 r = middle_of(pass.grid, k), back = make_float2(0, 0);
    for (int i = 0; i < INVERSIONS; i++) {
        float2 a = pf_displacement_at(to_target, pass.grid, r.x + back.x, r.y + back.y);
        back = make_float2(-a.x, -a.y);
    }
    float2 middle = make_float2(r.x + back.x, r.y + back.y);
    float2 a = pf_displacement_at(to_target, pass.grid, middle.x, middle.y);
    float2 b = pf_displacement_at(to_image, pass.grid, middle.x, middle.y);
    int row = min(max((int)((middle.y + 0.5f) / pass.grid.height), 0), pass.grid.rows - 1);
    int column = min(max((int)((middle.x + 0.5f) / pass.grid.width), 0), pass.grid.columns - 1);
    struct local_fit fit = fit_around(sums, pass.grid, row * pass.grid.columns + column);
    float missed = fmaxf(fabsf(back.x + a.x), fabsf(back.y + a.y));
    bool undone = missed < ROUND_TRIP && stretch_at(to_target, pass.grid, middle) > LEAST_STRETCH &&
                  stretch_at(to_image, pass.grid, middle) > LEAST_STRETCH;
    trust[k] = !undone ? 0.0f : fit.correlation > ALIKE ? 1.0f : 0.5f;
    float2 d = make_float2(back.x + b.x, back.y + b.y);
    float there_x, there_y, here_x, here_y;
    pf_short_warp_at(pass.warp, r.x + d.x, r.y + d.y, &there_x, &there_y);
    pf_short_warp_at(pass.warp, r.x, r.y, &here_x, &here_y);
    pass.displacement[k] = make_float2(d.x + there_x - here_x, d.y + there_y - here_y);
}

static __global__ void say(struct pf_deform_pass pass, const float *trust, float stiffness)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= pass.grid.columns * pass.grid.rows)
        return;
    struct pf_cell *cell = &pass.cells[k];
    float2 d = pass.displacement[k];
    if (trust[k] > 0)
        atomicAdd(&pass.state->trusted, 1u);
    if (!(trust[k] > 0.5f)) {
        cell->xx = cell->xy = cell->yy = cell->x = cell->y = 0;
        return;
    }
    cell->xx += 0.1f * stiffness;
    cell->yy += 0.1f * stiffness;
    cell->x = cell->xx * d.x + cell->xy * d.y;
    cell->y = cell->xy * d.x + cell->yy * d.y;
}

/* ---- launchers ------------------------------------------------------------------------------------- */

#define LAUNCH(kernel, pass, what, ...)                                                            \
    do {                                                                                           \
        PF_LAUNCH(kernel, dim3(pf_pieces((pass)->grid.columns *(pass)->grid.rows, BLOCK)),         \
                  dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK], __VA_ARGS__);                          \
        pf_cuda_launched(cuda, what);                                                              \
    } while (0)

size_t pf_syn_bytes(size_t cells)
{
    return cells *
           (5 * sizeof(float2) + sizeof(struct pf_syn_sums) + 2 * sizeof(struct pf_syn_pull));
}

void pf_syn_lay_out(struct pf_syn_room *ret, size_t cells, void *base)
{
    float2 *at = (float2 *)base;
    ret->half[0] = at;
    ret->half[1] = at += cells;
    ret->spare[0] = at += cells;
    ret->spare[1] = at += cells;
    ret->step = at += cells;
    ret->sums = (struct pf_syn_sums *)(at + cells);
    ret->pull[0] = (struct pf_syn_pull *)(ret->sums + cells);
    ret->pull[1] = ret->pull[0] + cells;
}

static void swap_halves(struct pf_syn_room *room)
{
    for (int i = 0; i < 2; i++) {
        float2 *swap = room->half[i];
        room->half[i] = room->spare[i];
        room->spare[i] = swap;
    }
}

void pf_syn_begin(struct pf_cuda *cuda, struct pf_syn_room *room, const struct pf_deform_pass *pass)
{
    LAUNCH(split, pass, "syn: the halves", *pass, room->half[0], room->half[1]);
}

void pf_syn_refine(struct pf_cuda *cuda, struct pf_syn_room *room,
                   const struct pf_deform_pass *pass, const struct pf_cells *coarse)
{
    for (int i = 0; i < 2; i++)
        LAUNCH(enlarge, pass, "syn: a finer level", *pass, room->spare[i], room->half[i], *coarse);
    swap_halves(room);
}

void pf_syn_run(struct pf_cuda *cuda, struct pf_syn_room *room, const struct pf_deform_pass *pass,
                int steps)
{
    PF_LAUNCH(begin_steps, dim3(1), dim3(1), 0, cuda->lane[PF_CUDA_WORK], *pass);
    pf_cuda_launched(cuda, "syn: a level");
    for (int step = 0; step < steps; step++) {
        LAUNCH(sum_up, pass, "syn: sums", *pass, room->half[0], room->half[1], room->sums);
        LAUNCH(pull, pass, "syn: pulls", *pass, room->half[0], room->half[1], room->sums,
               room->pull[0]);
        for (int i = 0; i < SMOOTH; i++) {
            LAUNCH(smooth_pull, pass, "syn: smoothing", *pass, room->pull[1], room->pull[0], false);
            LAUNCH(smooth_pull, pass, "syn: smoothing", *pass, room->pull[0], room->pull[1], true);
        }
        LAUNCH(solve_steps, pass, "syn: steps", *pass, room->step, room->pull[0]);
        LAUNCH(smooth_step, pass, "syn: smoothing", *pass, room->spare[0], room->step, false);
        LAUNCH(smooth_step, pass, "syn: smoothing", *pass, room->step, room->spare[0], true);
        LAUNCH(compose, pass, "syn: composing", *pass, room->spare[0], room->half[0], room->step,
               -0.5f);
        LAUNCH(compose, pass, "syn: composing", *pass, room->spare[1], room->half[1], room->step,
               0.5f);
        swap_halves(room);
        PF_LAUNCH(end_step, dim3(1), dim3(1), 0, cuda->lane[PF_CUDA_WORK], pass->state);
        pf_cuda_launched(cuda, "syn: the end of a step");
    }
}

void pf_syn_join(struct pf_cuda *cuda, const struct pf_syn_room *room,
                 const struct pf_deform_pass *pass, float *trust)
{
    LAUNCH(join, pass, "syn: joining the halves", *pass, room->half[0], room->half[1], room->sums,
           trust);
}

void pf_syn_say(struct pf_cuda *cuda, const struct pf_deform_pass *pass, const float *trust,
                float stiffness)
{
    LAUNCH(say, pass, "syn: what is known", *pass, trust, stiffness);
}
