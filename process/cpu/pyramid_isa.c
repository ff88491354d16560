/* Burt-Adelson pyramids of int16_t samples, and the running averages of the Laplacian levels. */
#include "process/cpu/isa.h"

static inline int16_t round_to_sample(float value)
{
    return (int16_t)((int)(value + 65536.5f) - 65536);
}

static void reduce_row(int16_t *restrict out, int out_count, const int16_t *const rows[5],
                       int width, int32_t *restrict scratch)
{
    const int16_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2],
                            *restrict d = rows[3], *restrict e = rows[4];
    int32_t *line = scratch + 2; /* two replicated samples on both sides */
    for (int x = 0; x < width; x++)
        line[x] = a[x] + e[x] + 4 * (b[x] + d[x]) + 6 * c[x];
    line[-2] = line[-1] = line[0];
    line[width] = line[width + 1] = line[width + 2] = line[width - 1];
    for (int x = 0; x < out_count; x++)
        out[x] = (int16_t)((line[2 * x - 2] + line[2 * x + 2] +
                            4 * (line[2 * x - 1] + line[2 * x + 1]) + 6 * line[2 * x] + 128) >>
                           8);
}

static void expand_row(int32_t *restrict out, int count, const int16_t *const rows[3],
                       int coarse_width, bool odd, int32_t *restrict scratch)
{
    const int16_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2];
    int32_t *line = scratch + 1;
    if (odd)
        for (int x = 0; x < coarse_width; x++)
            line[x] = 4 * (b[x] + c[x]);
    else
        for (int x = 0; x < coarse_width; x++)
            line[x] = a[x] + 6 * b[x] + c[x];
    line[-1] = line[0];
    line[coarse_width] = line[coarse_width - 1];
    int pairs = count / 2;
    for (int x = 0; x < pairs; x++) {
        out[2 * x] = line[x - 1] + 6 * line[x] + line[x + 1];
        out[2 * x + 1] = 4 * (line[x] + line[x + 1]);
    }
    if (count & 1)
        out[count - 1] = line[pairs - 1] + 6 * line[pairs] + line[pairs + 1];
}

static void blend_laplacian_row(int16_t *restrict average, const int16_t *restrict fine,
                                const int32_t *restrict expanded, const float *restrict alpha,
                                int count)
{
    for (int x = 0; x < count; x++) {
        float detail = (float)fine[x] - (float)expanded[x] * (1.0f / 64);
        average[x] = round_to_sample((float)average[x] + alpha[x] * (detail - (float)average[x]));
    }
}

static void blend_row(int16_t *restrict average, const int16_t *restrict sample,
                      const float *restrict alpha, int count)
{
    for (int x = 0; x < count; x++) {
        float old = (float)average[x];
        average[x] = round_to_sample(old + alpha[x] * ((float)sample[x] - old));
    }
}

static void collapse_row(int16_t *out, const int16_t *detail, const int32_t *restrict expanded,
                         int count, int low, int high)
{
    for (int x = 0; x < count; x++) {
        int value = detail[x] + ((expanded[x] + 32) >> 6);
        out[x] = (int16_t)(value < low ? low : value > high ? high : value);
    }
}

static inline int magnitude(int value)
{
    return value < 0 ? -value : value;
}

static inline int modified_laplacian(const int16_t *up, const int16_t *row, const int16_t *down,
                                     int left, int x, int right)
{
    return magnitude(2 * row[x] - row[left] - row[right]) + magnitude(2 * row[x] - up[x] - down[x]);
}

static void modified_laplacian_row(float *restrict out, int out_count, const int16_t *const rows[4],
                                   int width)
{
    const int16_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2],
                            *restrict d = rows[3];
    const float norm = 1.0f / (4 * PF_GREY);
    for (int i = 1; i < (width - 1) / 2; i++) {
        int x = 2 * i;
        int sum = modified_laplacian(a, b, c, x - 1, x, x + 1) +
                  modified_laplacian(a, b, c, x, x + 1, x + 2) +
                  modified_laplacian(b, c, d, x - 1, x, x + 1) +
                  modified_laplacian(b, c, d, x, x + 1, x + 2);
        out[i] = (float)sum * norm;
    }
    for (int i = 0; i < out_count; i = i == 0 && (width - 1) / 2 > 1 ? (width - 1) / 2 : i + 1) {
        int sum = 0;
        for (int k = 0; k < 2; k++) {
            int x = 2 * i + k < width ? 2 * i + k : width - 1;
            int left = x > 0 ? x - 1 : 0, right = x < width - 1 ? x + 1 : width - 1;
            sum += modified_laplacian(a, b, c, left, x, right) +
                   modified_laplacian(b, c, d, left, x, right);
        }
        out[i] = (float)sum * norm;
    }
}

static float light_sum(const int16_t *restrict samples, int count)
{
    float sum = 0;
    for (int x = 0; x < count; x++)
        sum += pf_light((float)samples[x] * (1.0f / PF_WHITE));
    return sum;
}

static void focus_row(struct pf_focus_sums *sums, const int16_t *const rows[3], int begin, int end)
{
    const int16_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2];
    const float norm = 1.0f / PF_GREY;
    float laplacian = 0, squared = 0, tenengrad = 0, modified = 0, along = 0, aslant = 0;
    for (int x = begin; x < end; x++) {
        float horizontal = (float)(2 * b[x] - b[x - 1] - b[x + 1]) * norm;
        float vertical = (float)(2 * b[x] - a[x] - c[x]) * norm;
        float gx =
            (float)(a[x + 1] + 2 * b[x + 1] + c[x + 1] - a[x - 1] - 2 * b[x - 1] - c[x - 1]) * norm;
        float gy = (float)(c[x - 1] + 2 * c[x] + c[x + 1] - a[x - 1] - 2 * a[x] - a[x + 1]) * norm;
        float sum = horizontal + vertical;
        laplacian += sum;
        squared += sum * sum;
        tenengrad += gx * gx + gy * gy;
        along += gx * gx - gy * gy;
        aslant += 2 * gx * gy;
        modified +=
            (horizontal < 0 ? -horizontal : horizontal) + (vertical < 0 ? -vertical : vertical);
    }
    sums->laplacian += laplacian;
    sums->laplacian_squared += squared;
    sums->tenengrad += tenengrad;
    sums->modified_laplacian += modified;
    sums->along += along;
    sums->aslant += aslant;
}

void ISA(pyramid_kernels)(struct pf_kernels *set)
{
    set->reduce_row = reduce_row;
    set->expand_row = expand_row;
    set->blend_laplacian_row = blend_laplacian_row;
    set->blend_row = blend_row;
    set->collapse_row = collapse_row;
    set->modified_laplacian_row = modified_laplacian_row;
    set->focus_row = focus_row;
    set->light_sum = light_sum;
}
