/* Kernels of the enhanced correlation alignment; see process/cpu/ecc.h for the mathematics. */
#include <math.h>

#include "process/cpu/isa.h"

enum { SEGMENT = 16 };

static void halve_row(float *restrict out, int out_count, const float *restrict upper,
                      const float *restrict lower, int width)
{
    int inner = width / 2 < out_count ? width / 2 : out_count;
    for (int x = 0; x < inner; x++)
        out[x] = 0.25f * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
    for (int x = inner; x < out_count; x++)
        out[x] = 0.5f * (upper[width - 1] + lower[width - 1]);
}

#define HALVE_SOURCE(type)                                                                         \
    do {                                                                                           \
        const type *restrict upper = first, *restrict lower = second;                              \
        for (int x = 0; x < inner; x++)                                                            \
            out[x] =                                                                               \
                63.75f *                                                                           \
                (pf_light(norm * (float)upper[2 * x]) + pf_light(norm * (float)upper[2 * x + 1]) + \
                 pf_light(norm * (float)lower[2 * x]) + pf_light(norm * (float)lower[2 * x + 1])); \
        for (int x = inner; x < out_count; x++)                                                    \
            out[x] = 127.5f * (pf_light(norm * (float)upper[width - 1]) +                          \
                               pf_light(norm * (float)lower[width - 1]));                          \
    } while (0)

static void halve_source_row(float *restrict out, int out_count, int y,
                             const struct pf_source_plane *source)
{
    int width = source->width;
    int second_y = 2 * y + 1 < source->height ? 2 * y + 1 : source->height - 1;
    const void *first = (const char *)source->samples + (size_t)(2 * y) * source->stride_bytes;
    const void *second = (const char *)source->samples + (size_t)second_y * source->stride_bytes;
    int inner = width / 2 < out_count ? width / 2 : out_count;
    float norm = source->scale / PF_WHITE;
    if (source->bits == 8)
        HALVE_SOURCE(uint8_t);
    else
        HALVE_SOURCE(uint16_t);
}

static void light_row(float *restrict out, const int16_t *restrict samples, int count)
{
    for (int x = 0; x < count; x++)
        out[x] = 255 * pf_light((float)samples[x] * (1.0f / PF_WHITE));
}

static void root_row(float *restrict out, const float *restrict light, int count)
{
    for (int x = 0; x < count; x++)
        out[x] = sqrtf(255 * (light[x] > 0 ? light[x] : 0));
}

static float bend_sum(const float *const rows[3], int begin, int end)
{
    const float *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2];
    float sum = 0;
    for (int x = begin; x < end; x++)
        sum += fabsf(2 * b[x] - b[x - 1] - b[x + 1]) + fabsf(2 * b[x] - a[x] - c[x]);
    return sum;
}

static inline bool sample_segment(float *restrict out, double x, double y, double dx, double dy,
                                  const float *image, int stride, int width, int height)
{
    double base_x = floor(x), base_y = floor(y);
    float fx0 = (float)(x - base_x), fy0 = (float)(y - base_y);
    float sx = (float)dx - 1.0f, sy = (float)dy;
    if (!(fabsf(sx) < 0.25f && fabsf(sy) < 0.25f))
        return false;
    float tx[SEGMENT], ty[SEGMENT], floor_x[SEGMENT], floor_y[SEGMENT];
    for (int i = 0; i < SEGMENT; i++) {
        float px = fx0 + sx * (float)i, py = fy0 + sy * (float)i;
        floor_x[i] = (float)((int)(px + 8) - 8);
        floor_y[i] = (float)((int)(py + 8) - 8);
        tx[i] = px - floor_x[i];
        ty[i] = py - floor_y[i];
    }
    int x_low = (int)floor_x[sx < 0 ? SEGMENT - 1 : 0],
        x_high = (int)floor_x[sx < 0 ? 0 : SEGMENT - 1];
    int y_low = (int)floor_y[sy < 0 ? SEGMENT - 1 : 0],
        y_high = (int)floor_y[sy < 0 ? 0 : SEGMENT - 1];
    if ((x_high - x_low + 1) * (y_high - y_low + 1) > 4)
        return false;
    if (base_x + x_low < 0 || base_x + x_high + SEGMENT + 1 > width || base_y + y_low < 0 ||
        base_y + y_high + 2 > height)
        return false;
    for (int cy = y_low; cy <= y_high; cy++) {
        for (int cx = x_low; cx <= x_high; cx++) {
            const float *restrict r0 =
                image + (size_t)((int)base_y + cy) * (size_t)stride + (int)base_x + cx;
            const float *restrict r1 = r0 + stride;
            for (int i = 0; i < SEGMENT; i++) {
                float a = r0[i] + tx[i] * (r0[i + 1] - r0[i]);
                float b = r1[i] + tx[i] * (r1[i + 1] - r1[i]);
                float value = a + ty[i] * (b - a);
                out[i] = floor_x[i] == (float)cx && floor_y[i] == (float)cy ? value : out[i];
            }
        }
    }
    return true;
}

static void sample_row(float *restrict out, float *restrict valid, int count, int row,
                       const double h[9], const float *image, int stride, int width, int height)
{
    double nx = h[1] * row + h[2], ny = h[4] * row + h[5], nw = h[7] * row + h[8];
    double x = nx / nw, y = ny / nw;
    for (int begin = 0; begin < count; begin += SEGMENT) {
        int next = begin + SEGMENT;
        double w = h[6] * next + nw;
        double next_x = (h[0] * next + nx) / w, next_y = (h[3] * next + ny) / w;
        double dx = (next_x - x) / SEGMENT, dy = (next_y - y) / SEGMENT;
        int here = count - begin < SEGMENT ? count - begin : SEGMENT;
        if (here == SEGMENT) {
            if (sample_segment(out + begin, x, y, dx, dy, image, stride, width, height)) {
                for (int i = 0; i < SEGMENT; i++)
                    valid[begin + i] = 1;
                x = next_x;
                y = next_y;
                continue;
            }
        }
        for (int i = 0; i < here; i++) {
            double px = x + dx * i, py = y + dy * i;
            out[begin + i] = valid[begin + i] = 0;
            if (px >= 0 && py >= 0 && px < width - 1 && py < height - 1) {
                int ix = (int)px, iy = (int)py;
                float tx = (float)(px - ix), ty = (float)(py - iy);
                const float *r0 = image + (size_t)iy * (size_t)stride + ix, *r1 = r0 + stride;
                float a = r0[0] + tx * (r0[1] - r0[0]), b = r1[0] + tx * (r1[1] - r1[0]);
                out[begin + i] = a + ty * (b - a);
                valid[begin + i] = 1;
            }
        }
        x = next_x;
        y = next_y;
    }
}

static void fit_row(struct pf_fit_sums *sums, const float *restrict target,
                    const float *restrict sample, const float *restrict valid, int count)
{
    float n = 0, t = 0, i = 0, tt = 0, ii = 0, ti = 0;
    for (int x = 0; x < count; x++) {
        float a = target[x] * valid[x], b = sample[x];
        n += valid[x];
        t += a;
        i += b;
        tt += a * a;
        ii += b * b;
        ti += a * b;
    }
    sums->count += n;
    sums->t += t;
    sums->i += i;
    sums->tt += tt;
    sums->ii += ii;
    sums->ti += ti;
}

static void step_row(struct pf_step_sums *sums, const float *restrict target,
                     const float *restrict sample, const float *restrict valid,
                     const float *restrict gx, const float *restrict gy, int count, float gain,
                     float sample_mean, float target_mean, float x0, float dx)
{
    float a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
    for (int i = 0; i < count; i++) {
        float x = x0 + dx * (float)i;
        float error = (gain * (sample[i] - sample_mean) - (target[i] - target_mean)) * valid[i];
        float a = gx[i] * error, b = gy[i] * error;
        a0 += a;
        b0 += b;
        a *= x;
        b *= x;
        a1 += a;
        b1 += b;
        a2 += a * x;
        b2 += b * x;
    }
    sums->g[0][0] += a0;
    sums->g[0][1] += a1;
    sums->g[0][2] += a2;
    sums->g[1][0] += b0;
    sums->g[1][1] += b1;
    sums->g[1][2] += b2;
}

static void hessian_row(struct pf_hessian_sums *sums, const float *restrict gx,
                        const float *restrict gy, int count, float x0, float dx)
{
    float s[3][5] = {{0}};
    for (int i = 0; i < count; i++) {
        float x = x0 + dx * (float)i, x2 = x * x;
        float p[3] = {gx[i] * gx[i], gx[i] * gy[i], gy[i] * gy[i]};
        for (int k = 0; k < 3; k++) {
            s[k][0] += p[k];
            s[k][1] += p[k] * x;
            s[k][2] += p[k] * x2;
            s[k][3] += p[k] * x2 * x;
            s[k][4] += p[k] * x2 * x2;
        }
    }
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < 5; j++)
            sums->g[k][j] += s[k][j];
}

static void compare_row(float *restrict mean, float *restrict error, const float *target,
                        const float *sample, int width, float *restrict scratch)
{
    const float *restrict t0 = target, *restrict t1 = target + width, *restrict t2 = t1 + width;
    const float *restrict s0 = sample, *restrict s1 = sample + width, *restrict s2 = s1 + width;
    float *restrict difference = scratch + width;
    for (int x = 0; x < width; x++) {
        float t = 0.25f * (t0[x] + t2[x]) + 0.5f * t1[x],
              s = 0.25f * (s0[x] + s2[x]) + 0.5f * s1[x];
        scratch[x] = 0.5f * (t + s);
        difference[x] = t - s;
    }
    for (int x = 1; x < width - 1; x++) {
        mean[x] = 0.25f * (scratch[x - 1] + scratch[x + 1]) + 0.5f * scratch[x];
        error[x] = 0.25f * (difference[x - 1] + difference[x + 1]) + 0.5f * difference[x];
    }
}

static void block_row(float sums[PF_BLOCK_SUMS][8], const float *const mean[3],
                      const float *restrict error, float v, float centre)
{
    float q[8][PF_BLOCK];
    const float *restrict above = mean[0], *restrict here = mean[1], *restrict below = mean[2];
    for (int x = 0; x < PF_BLOCK; x++) {
        float bend = here[x - 1] + here[x + 1] + above[x] + below[x] - 4 * here[x];
        q[0][x] = 0.5f * (here[x + 1] - here[x - 1]);
        q[1][x] = 0.5f * (below[x] - above[x]);
        q[2][x] = bend;
        q[3][x] = bend * ((float)x * (2.0f / (PF_BLOCK - 1)) - 1);
        q[4][x] = bend * v;
        q[5][x] = 1;
        q[6][x] = here[x] - centre;
        q[7][x] = error[x];
    }
    for (int i = 0, pair = 0; i < 8; i++)
        for (int j = 0; j <= i; j++, pair++)
            for (int part = 0; part < 8; part++)
                sums[pair][part] += q[i][part] * q[j][part] + q[i][part + 8] * q[j][part + 8];
}

void ISA(align_kernels)(struct pf_kernels *set)
{
    set->compare_row = compare_row;
    set->block_row = block_row;
    set->halve_row = halve_row;
    set->halve_source_row = halve_source_row;
    set->light_row = light_row;
    set->root_row = root_row;
    set->bend_sum = bend_sum;
    set->sample_row = sample_row;
    set->fit_row = fit_row;
    set->step_row = step_row;
    set->hessian_row = hessian_row;
}
