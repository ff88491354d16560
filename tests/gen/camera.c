#include "tests/gen/camera.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

#define TAPS         10
#define PHASES       1024
#define BEYOND_WHITE 1.3f
#define CURVE        4096 /* steps of the tone curve's table over 0..1 of the square root of light */

void pf_gen_similarity(double transform[9], int width, int height, double scale, double angle,
                       double shift_x, double shift_y)
{
    double cx = (width - 1) / 2.0, cy = (height - 1) / 2.0;
    double a = scale * cos(angle), b = scale * sin(angle);
    double matrix[9] = {
        a, -b, cx - a * cx + b * cy + shift_x, b, a, cy - b * cx - a * cy + shift_y, 0, 0, 1};
    memcpy(transform, matrix, sizeof(matrix));
}

static void make_kernel(float kernel[PHASES + 1][TAPS])
{
    for (int p = 0; p <= PHASES; p++) {
        double sum = 0, w[TAPS], a = TAPS / 2;
        for (int k = 0; k < TAPS; k++) {
            double x = k - (TAPS / 2 - 1) - (double)p / PHASES;
            w[k] = fabs(x) < 1e-9 ? 1
                   : fabs(x) >= a ? 0
                                  : a * sin(M_PI * x) * sin(M_PI * x / a) / (M_PI * M_PI * x * x);
            sum += w[k];
        }
        for (int k = 0; k < TAPS; k++)
            kernel[p][k] = (float)(w[k] / sum);
    }
}

/* One sample between taps[TAPS / 2 - 1] and the next; taps lie `pitch` apart. Beside a lamp many times
 * brighter than white the kernel's negative lobes would take away more light than there is, and
 * leave black rims that no lens and no sensor makes: there the sample stays between the two. */
static inline float sample_of(const float *taps, size_t pitch, const float *weights)
{
    float sum = 0, most = 0;
    for (int k = 0; k < TAPS; k++) {
        float light = taps[(size_t)k * pitch];
        sum += weights[k] * light;
        most = light > most ? light : most;
    }
    if (most <= BEYOND_WHITE)
        return sum;
    float a = taps[(TAPS / 2 - 1) * pitch], b = taps[TAPS / 2 * pitch];
    float low = a < b ? a : b, high = a < b ? b : a;
    return sum < low ? low : sum > high ? high : sum;
}

struct develop {
    const struct pf_gen_scene *scene;
    const struct pf_gen_canvas *canvas;
    const struct pf_gen_shot *shot;
    float (*kernel)[TAPS];
    double back[6]; /* canvas point of a frame point (affine) */
    float *rows;    /* between the passes: canvas rows, frame columns */
    float *plane[3];
    uint16_t *curve;
    uint16_t *samples;
    int channel, bits;
};

/* Canvas point of a frame point. */
static inline void canvas_point(const struct develop *d, double x, double y, double ret[2])
{
    const double *m = d->back;
    if (d->shot->deform.reach_px > 0) {
        double by[2];
        pf_gen_deform_at(&d->shot->deform, x, y, by);
        x += by[0];
        y += by[1];
    }
    ret[0] = m[0] * x + m[1] * y + m[2];
    ret[1] = m[3] * x + m[4] * y + m[5];
}

/* Canvas column of frame column x on canvas row v: both passes together are the whole map. */
static void across_rows(void *context, int begin, int end)
{
    struct develop *d = context;
    int width = d->scene->width, canvas_width = d->canvas->width;
    const double *m = d->back;
    for (int v = begin; v < end; v++) {
        const float *from = d->canvas->light[d->channel] + (size_t)v * (size_t)canvas_width;
        float *to = d->rows + (size_t)v * (size_t)width;
        for (int x = 0; x < width; x++) {
            double y = (v - m[3] * x - m[5]) / m[4], at[2];
            canvas_point(d, x, y, at);
            for (int i = 0; i < 5 && d->shot->deform.reach_px > 0; i++) {
                y += (v - at[1]) / m[4];
                canvas_point(d, x, y, at);
            }
            double sx = at[0];
            int left = (int)floor(sx);
            const float *w = d->kernel[(int)((sx - left) * PHASES + 0.5)];
            left -= TAPS / 2 - 1;
            left = left < 0 ? 0 : left > canvas_width - TAPS ? canvas_width - TAPS : left;
            to[x] = sample_of(from + left, 1, w);
        }
    }
}

static void down_rows(void *context, int begin, int end)
{
    struct develop *d = context;
    int width = d->scene->width, canvas_height = d->canvas->height;
    for (int y = begin; y < end; y++) {
        float *to = d->plane[d->channel] + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            double at[2];
            canvas_point(d, x, y, at);
            double sy = at[1];
            int top = (int)floor(sy);
            const float *w = d->kernel[(int)((sy - top) * PHASES + 0.5)];
            top -= TAPS / 2 - 1;
            top = top < 0 ? 0 : top > canvas_height - TAPS ? canvas_height - TAPS : top;
            const float *from = d->rows + (size_t)top * (size_t)width + x;
            to[x] = sample_of(from, (size_t)width, w);
        }
    }
}

static double encode(double light)
{
    light = light < 0 ? 0 : light > 1 ? 1 : light;
    return light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
}

/* Sum of four uniform numbers, scaled to variance 1: near enough to a normal one. */
static inline float grain(uint32_t x, uint32_t y, uint32_t seed)
{
    uint32_t a = pf_gen_hash2((int32_t)x, (int32_t)y, seed), b = pf_gen_hash(a ^ 0x5bd1e995u);
    float sum = (float)(a & 0xffff) + (float)(a >> 16) + (float)(b & 0xffff) + (float)(b >> 16);
    return (sum * (1.0f / 65536) - 2) * 1.7320508f;
}

static void sample_rows(void *context, int begin, int end)
{
    struct develop *d = context;
    int width = d->scene->width;
    /* Shot noise: variance proportional to the light, scaled to the wanted deviation where the
     * light is 0.18; the tone curve's slope there is about 0.97 a unit of light... */
    double slope = (encode(0.18 + 1e-4) - encode(0.18 - 1e-4)) / 2e-4;
    double sigma = d->shot->noise / 255 / slope;
    float shot = (float)(sigma * sigma / 0.18), read = (float)(0.02 * sigma * sigma);
    float exposure = (float)d->shot->exposure;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < 3; c++) {
                float light = exposure * (float)d->shot->colour[c] *
                              d->plane[c][(size_t)y * (size_t)width + (size_t)x];
                light = light < 0 ? 0 : light > BEYOND_WHITE ? BEYOND_WHITE : light;
                if (sigma > 0)
                    light += sqrtf(shot * light + read) *
                             grain((uint32_t)x, (uint32_t)y, d->shot->seed + (uint32_t)c * 7919u);
                float at = sqrtf(light < 0 ? 0 : light > 1 ? 1 : light) * CURVE;
                int i = (int)at;
                i = i >= CURVE ? CURVE - 1 : i;
                float low = d->curve[i], high = d->curve[i + 1];
                float value = low + (at - (float)i) * (high - low);
                unsigned sample = d->bits == 8 ? 257u * (unsigned)(value / 257.0f + 0.5f)
                                               : (unsigned)(value + 0.5f);
                d->samples[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    (uint16_t)sample;
            }
        }
    }
}

uint16_t *pf_gen_expose(const struct pf_gen_scene *scene, const struct pf_gen_canvas *canvas,
                        const struct pf_gen_shot *shot, int bits)
{
    size_t pixels = (size_t)scene->width * (size_t)scene->height;
    struct develop d = {.scene = scene, .canvas = canvas, .shot = shot, .bits = bits};
    d.kernel = pf_gen_alloc(PHASES + 1, sizeof(*d.kernel));
    make_kernel(d.kernel);
    d.rows = pf_gen_alloc((size_t)scene->width * (size_t)canvas->height, sizeof(float));
    d.curve = pf_gen_alloc(CURVE + 1, sizeof(*d.curve));
    for (int i = 0; i <= CURVE; i++)
        d.curve[i] = (uint16_t)lrint(65535 * encode((double)i * i / ((double)CURVE * CURVE)));
    /* Inverse of the (affine) transform, then from reference to canvas. */
    const double *t = shot->transform;
    double det = t[0] * t[4] - t[1] * t[3];
    double back[6] = {t[4] / det,  -t[1] / det, (t[1] * t[5] - t[4] * t[2]) / det + scene->margin,
                      -t[3] / det, t[0] / det,  (t[3] * t[2] - t[0] * t[5]) / det + scene->margin};
    memcpy(d.back, back, sizeof(back));
    for (d.channel = 0; d.channel < 3; d.channel++) {
        d.plane[d.channel] = pf_gen_alloc(pixels, sizeof(float));
        pf_gen_rows(canvas->height, across_rows, &d);
        pf_gen_rows(scene->height, down_rows, &d);
    }
    d.samples = pf_gen_alloc(3 * pixels, sizeof(uint16_t));
    pf_gen_rows(scene->height, sample_rows, &d);
    for (int c = 0; c < 3; c++)
        free(d.plane[c]);
    free(d.rows);
    free(d.kernel);
    free(d.curve);
    return d.samples;
}
