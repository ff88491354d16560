#include "process/cpu/likeness.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "process/cpu/ecc.h"

enum { SIDE = PF_LIKENESS_SIDE, PIXELS = PF_LIKENESS_PIXELS, BLOCKS_MIN = 16 };
#define LEAST_DETAIL 0.25 /* variance, grey levels of 255 as coded for the eye */
#define NOISE_TIMES  4    /* that of the smoothest twentieth */
#define MOST_APART   4    /* times as much detail in the one picture as in the other */

/* What is left of a picture in a block beside its mean and slopes; returns the squares' sum. */
static double look(const float *pixels, int stride, double ret[PIXELS], double *ret_light)
{
    struct pf_likeness_sums sums = {0, 0, 0, 0};
    double squares = 0;
    for (int i = 0; i < PIXELS; i++) {
        ret[i] =
            (double)pf_ecc_code(pixels[(size_t)(i / SIDE) * (size_t)stride + (size_t)(i % SIDE)]);
        pf_likeness_add(&sums, i, ret[i]);
    }
    for (int i = 0; i < PIXELS; i++) {
        ret[i] -= pf_likeness_even(&sums, i);
        squares += ret[i] * ret[i];
    }
    *ret_light = sums.light;
    return squares;
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
static double least_detail(const struct pf_likeness_block *blocks, int count, int picture,
                           double *sorted)
{
    int seen = 0;
    for (int i = 0; i < count; i++)
        if (blocks[i].has_picture)
            sorted[seen++] = blocks[i].detail[picture];
    if (seen < BLOCKS_MIN)
        return INFINITY;
    qsort(sorted, (size_t)seen, sizeof(*sorted), ascending);
    return fmax(LEAST_DETAIL, NOISE_TIMES * sorted[seen / 20]);
}

int pf_likeness_of_blocks(const struct pf_likeness_block *blocks, int count, double *ret)
{
    int asked = 0;
    *ret = 0;
    if (count < BLOCKS_MIN)
        return 0;
    double *values = malloc((size_t)count * sizeof(*values));
    if (!values)
        return -ENOMEM;
    double least[2] = {least_detail(blocks, count, 0, values),
                       least_detail(blocks, count, 1, values)};
    for (int i = 0; i < count; i++) {
        const struct pf_likeness_block *block = &blocks[i];
        if (!block->has_picture)
            continue;
        double first = block->detail[0] * block->light[1];
        double second = block->detail[1] * block->light[0];
        if (block->detail[0] > least[0] && block->detail[1] > least[1] &&
            first < MOST_APART * second && second < MOST_APART * first)
            values[asked++] = block->correlation;
    }
    if (asked >= BLOCKS_MIN) {
        qsort(values, (size_t)asked, sizeof(*values), ascending);
        *ret = values[asked / 2];
    }
    free(values);
    return 0;
}

int pf_likeness(const float *target, const float *image, const float *valid, int width, int height,
                double *ret)
{
    int count = pf_likeness_count(width, height);
    *ret = 0;
    if (count < BLOCKS_MIN)
        return 0;
    struct pf_likeness_block *blocks = malloc((size_t)count * sizeof(*blocks));
    if (!blocks)
        return -ENOMEM;
    for (int i = 0; i < count; i++) {
        size_t at = (size_t)(i / (width / SIDE) * SIDE) * (size_t)width +
                    (size_t)(i % (width / SIDE) * SIDE);
        double left[2][PIXELS], light[2], rest[2], product = 0;
        blocks[i].has_picture = has_picture(valid + at, width);
        if (!blocks[i].has_picture)
            continue;
        rest[0] = look(target + at, width, left[0], &light[0]);
        rest[1] = look(image + at, width, left[1], &light[1]);
        for (int k = 0; k < PIXELS; k++)
            product += left[0][k] * left[1][k];
        pf_likeness_block_of(&blocks[i], light, rest, product);
    }
    int r = pf_likeness_of_blocks(blocks, count, ret);
    free(blocks);
    return r;
}
