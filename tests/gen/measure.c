#include "tests/gen/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

#define TAPS   10
#define PHASES 1024

struct pf_gen_plane pf_gen_plane_new(int width, int height)
{
    return (struct pf_gen_plane){width, height,
                                 pf_gen_alloc((size_t)width * (size_t)height, sizeof(float))};
}

void pf_gen_plane_free(struct pf_gen_plane *plane)
{
    free(plane->value);
    *plane = (struct pf_gen_plane){0};
}

struct pf_gen_plane pf_gen_luma(const uint16_t *samples, int width, int height, int channels)
{
    struct pf_gen_plane plane = pf_gen_plane_new(width, height);
    size_t pixels = (size_t)width * (size_t)height;
    for (size_t i = 0; i < pixels; i++) {
        const uint16_t *s = samples + i * (size_t)channels;
        float luma = channels == 1 ? s[0] : 0.299f * s[0] + 0.587f * s[1] + 0.114f * s[2];
        plane.value[i] = luma / 257;
    }
    return plane;
}

struct smooth {
    const struct pf_gen_plane *from;
    struct pf_gen_plane *to;
    float weight[64];
    int reach;
};

static void smooth_rows(void *context, int begin, int end)
{
    const struct smooth *s = context;
    int width = s->from->width, height = s->from->height, reach = s->reach;
    float *line = pf_gen_alloc((size_t)(width + 2 * reach), sizeof(float));
    for (int y = begin; y < end; y++) {
        memset(line, 0, (size_t)(width + 2 * reach) * sizeof(float));
        for (int k = -reach; k <= reach; k++) {
            int sy = y + k < 0 ? 0 : y + k >= height ? height - 1 : y + k;
            const float *from = s->from->value + (size_t)sy * (size_t)width;
            float w = s->weight[abs(k)];
            for (int x = 0; x < width; x++)
                line[reach + x] += w * from[x];
        }
        for (int k = 0; k < reach; k++) {
            line[k] = line[reach];
            line[reach + width + k] = line[reach + width - 1];
        }
        float *to = s->to->value + (size_t)y * (size_t)width;
        for (int k = -reach; k <= reach; k++) {
            float w = s->weight[abs(k)];
            for (int x = 0; x < width; x++)
                to[x] += w * line[reach + x + k];
        }
    }
    free(line);
}

static void smooth_reach(struct pf_gen_plane *plane, float sigma, int reach)
{
    struct pf_gen_plane to = pf_gen_plane_new(plane->width, plane->height);
    struct smooth s = {.from = plane, .to = &to, .reach = reach};
    float sum = 0;
    for (int k = 0; k <= reach; k++) {
        s.weight[k] = expf(-0.5f * (float)(k * k) / (sigma * sigma));
        sum += k ? 2 * s.weight[k] : s.weight[k];
    }
    for (int k = 0; k <= reach; k++)
        s.weight[k] /= sum;
    pf_gen_rows(plane->height, smooth_rows, &s);
    free(plane->value);
    *plane = to;
}

void pf_gen_smooth(struct pf_gen_plane *plane, float sigma)
{
    int reach = (int)ceilf(4 * sigma);
    smooth_reach(plane, sigma, reach > 63 ? 63 : reach);
}

struct resample {
    const struct pf_gen_plane *from;
    struct pf_gen_plane *to;
    const double *transform;
    float kernel[PHASES + 1][TAPS];
};

static void resample_rows(void *context, int begin, int end)
{
    const struct resample *r = context;
    int width = r->from->width, height = r->from->height;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < r->to->width; x++) {
            double px, py;
            pf_gen_matrix_apply(r->transform, x, y, &px, &py);
            px = px < -1 ? -1 : px > width ? width : px;
            py = py < -1 ? -1 : py > height ? height : py;
            int left = (int)floor(px), top = (int)floor(py);
            const float *wx = r->kernel[(int)((px - left) * PHASES + 0.5)];
            const float *wy = r->kernel[(int)((py - top) * PHASES + 0.5)];
            left -= TAPS / 2 - 1;
            top -= TAPS / 2 - 1;
            bool inside = left >= 0 && top >= 0 && left + TAPS <= width && top + TAPS <= height;
            float sum = 0;
            for (int j = 0; j < TAPS; j++) {
                int sy = inside              ? top + j
                         : top + j < 0       ? 0
                         : top + j >= height ? height - 1
                                             : top + j;
                const float *row = r->from->value + (size_t)sy * (size_t)width;
                float part = 0;
                if (inside) {
                    for (int i = 0; i < TAPS; i++)
                        part += wx[i] * row[left + i];
                } else {
                    for (int i = 0; i < TAPS; i++) {
                        int sx = left + i;
                        part += wx[i] * row[sx < 0 ? 0 : sx >= width ? width - 1 : sx];
                    }
                }
                sum += wy[j] * part;
            }
            r->to->value[(size_t)y * (size_t)r->to->width + (size_t)x] = sum;
        }
    }
}

struct pf_gen_plane pf_gen_resample(const struct pf_gen_plane *plane, const double transform[9],
                                    int width, int height)
{
    struct pf_gen_plane to = pf_gen_plane_new(width, height);
    struct resample *r = pf_gen_alloc(1, sizeof(*r));
    r->from = plane;
    r->to = &to;
    r->transform = transform;
    for (int p = 0; p <= PHASES; p++) {
        double sum = 0, w[TAPS], a = TAPS / 2;
        for (int k = 0; k < TAPS; k++) {
            double d = k - (TAPS / 2 - 1) - (double)p / PHASES;
            w[k] = fabs(d) < 1e-9 ? 1
                   : fabs(d) >= a ? 0
                                  : a * sin(M_PI * d) * sin(M_PI * d / a) / (M_PI * M_PI * d * d);
            sum += w[k];
        }
        for (int k = 0; k < TAPS; k++)
            r->kernel[p][k] = (float)(w[k] / sum);
    }
    pf_gen_rows(height, resample_rows, r);
    free(r);
    return to;
}

double pf_gen_psnr(const struct pf_gen_plane *a, const struct pf_gen_plane *b, int border,
                   const uint8_t *mask, uint8_t wanted)
{
    double sum = 0, count = 0;
    for (int y = border; y < a->height - border; y++) {
        for (int x = border; x < a->width - border; x++) {
            size_t i = (size_t)y * (size_t)a->width + (size_t)x;
            if (mask && mask[i] != wanted)
                continue;
            double d = a->value[i] - b->value[i];
            sum += d * d;
            count++;
        }
    }
    if (count == 0)
        return NAN;
    double mean = sum / count;
    return mean < 1e-9 * 255 * 255 ? 99 : 10 * log10(255.0 * 255.0 / mean);
}

double pf_gen_ssim(const struct pf_gen_plane *a, const struct pf_gen_plane *b, int border)
{
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    size_t pixels = (size_t)a->width * (size_t)a->height;
    struct pf_gen_plane mean[5];
    for (int k = 0; k < 5; k++) {
        mean[k] = pf_gen_plane_new(a->width, a->height);
        for (size_t i = 0; i < pixels; i++) {
            float u = a->value[i], v = b->value[i];
            mean[k].value[i] = k == 0 ? u : k == 1 ? v : k == 2 ? u * u : k == 3 ? v * v : u * v;
        }
        smooth_reach(&mean[k], 1.5f, 5);
    }
    double sum = 0, count = 0;
    border = border < 5 ? 5 : border;
    for (int y = border; y < a->height - border; y++) {
        for (int x = border; x < a->width - border; x++) {
            size_t i = (size_t)y * (size_t)a->width + (size_t)x;
            double u = mean[0].value[i], v = mean[1].value[i];
            double uu = mean[2].value[i] - u * u, vv = mean[3].value[i] - v * v;
            double uv = mean[4].value[i] - u * v;
            sum += (2 * u * v + c1) * (2 * uv + c2) / ((u * u + v * v + c1) * (uu + vv + c2));
            count++;
        }
    }
    for (int k = 0; k < 5; k++)
        pf_gen_plane_free(&mean[k]);
    return count > 0 ? sum / count : NAN;
}
