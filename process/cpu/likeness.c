#include "process/cpu/likeness.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "process/cpu/ecc.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, BLOCKS_MIN = 16 };
#define LEAST_DETAIL 0.25 /* variance, grey levels of 255 as coded for the eye */
#define NOISE_TIMES  4    /* that of the smoothest twentieth */
#define MOST_APART   4    /* times as much detail in the one picture as in the other */

struct block {
    double detail[2], light[2], correlation; /* of the target, of the image */
};

/* What is left of a picture in a block beside its mean and slopes, and its variance. */
static void look(const float *pixels, int stride, double ret[PIXELS], double *ret_detail,
                 double *ret_light)
{
    const double middle = 0.5 * (SIDE - 1), spread = PIXELS * (SIDE * SIDE - 1) / 12.0;
    double sum = 0, along = 0, down = 0, squares = 0, light = 0;
    for (int i = 0; i < PIXELS; i++) {
        float here = pixels[(size_t)(i / SIDE) * (size_t)stride + (size_t)(i % SIDE)];
        double code = (double)pf_ecc_code(here);
        ret[i] = code;
        sum += code;
        along += (i % SIDE - middle) * code;
        down += (i / SIDE - middle) * code;
        light += code * code;
    }
    for (int i = 0; i < PIXELS; i++) {
        ret[i] -=
            sum / PIXELS + ((i % SIDE - middle) * along + (i / SIDE - middle) * down) / spread;
        squares += ret[i] * ret[i];
    }
    *ret_detail = squares / PIXELS;
    *ret_light = light / PIXELS + 1;
}

static bool has_picture(const float *valid, int stride)
{
    for (int i = 0; i < PIXELS; i++)
        if (!(valid[(size_t)(i / SIDE) * (size_t)stride + (size_t)(i % SIDE)] > 0.5f))
            return false;
    return true;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* What is more than noise in one of the pictures. */
static double least_detail(const struct block *blocks, int count, int picture, double *sorted)
{
    for (int i = 0; i < count; i++)
        sorted[i] = blocks[i].detail[picture];
    qsort(sorted, (size_t)count, sizeof(*sorted), ascending);
    return fmax(LEAST_DETAIL, NOISE_TIMES * sorted[count / 20]);
}

int pf_likeness(const float *target, const float *image, const float *valid, int width, int height,
                double *ret)
{
    int most = (width / SIDE) * (height / SIDE), count = 0, asked = 0;
    *ret = 0;
    if (most < BLOCKS_MIN)
        return 0;
    struct block *blocks = malloc((size_t)most * sizeof(*blocks));
    double *values = malloc((size_t)most * sizeof(*values));
    if (!blocks || !values) {
        free(blocks);
        free(values);
        return -ENOMEM;
    }
    for (int i = 0; i < most; i++) {
        size_t at = (size_t)(i / (width / SIDE) * SIDE) * (size_t)width +
                    (size_t)(i % (width / SIDE) * SIDE);
        double left[2][PIXELS], product = 0;
        struct block *block = &blocks[count];
        if (!has_picture(valid + at, width))
            continue;
        look(target + at, width, left[0], &block->detail[0], &block->light[0]);
        look(image + at, width, left[1], &block->detail[1], &block->light[1]);
        for (int k = 0; k < PIXELS; k++)
            product += left[0][k] * left[1][k];
        block->correlation = product / PIXELS / sqrt(block->detail[0] * block->detail[1] + 1e-12);
        count++;
    }
    if (count >= BLOCKS_MIN) {
        double least[2] = {least_detail(blocks, count, 0, values),
                           least_detail(blocks, count, 1, values)};
        for (int i = 0; i < count; i++) {
            const struct block *block = &blocks[i];
            double first = block->detail[0] * block->light[1];
            double second = block->detail[1] * block->light[0];
            if (block->detail[0] > least[0] && block->detail[1] > least[1] &&
                first < MOST_APART * second && second < MOST_APART * first)
                values[asked++] = block->correlation;
        }
    }
    if (asked >= BLOCKS_MIN) {
        qsort(values, (size_t)asked, sizeof(*values), ascending);
        *ret = values[asked / 2];
    }
    free(blocks);
    free(values);
    return 0;
}
