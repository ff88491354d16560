/* Energies, and the online softmax that turns them into each frame's share of the stack. */
#include <math.h>
#include <string.h>

#include "process/cpu/isa.h"

/* log2 to about 2e-6, in plain arithmetic that vectorises: mantissa polynomial after splitting off the
 * exponent (minimax by Remez on [1, 2)). */
static inline float fast_log2(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    float exponent = (float)(int)(bits >> 23) - 127.0f;
    bits = (bits & 0x007fffffu) | 0x3f800000u;
    float m;
    memcpy(&m, &bits, sizeof(m));
    /* atanh series in s = (m - c) / (m + c), c = sqrt(2): |s| < 0.172 */
    float s = (m - 1.41421356f) / (m + 1.41421356f), s2 = s * s;
    return exponent + 0.5f +
           s * (2.88539008f + s2 * (0.96179670f + s2 * (0.57707802f + s2 * 0.41219858f)));
}

/* Taps are symmetric: what lies as far on both sides shares one. Two pairs at a time, so that sums go to
 * memory and back half as often. */
static void filter_rows(float *restrict out, const float *const *rows, const float *taps,
                        int tap_count, int count)
{
    int half = tap_count / 2, k = half & 1;
    const float *restrict middle = rows[half];
    float tap = taps[half];
    if (k) {
        const float *restrict a = rows[0], *restrict b = rows[tap_count - 1];
        float t = taps[0];
        for (int x = 0; x < count; x++)
            out[x] = tap * middle[x] + t * (a[x] + b[x]);
    } else if (half) {
        const float *restrict a = rows[0], *restrict b = rows[tap_count - 1];
        const float *restrict c = rows[1], *restrict d = rows[tap_count - 2];
        float t = taps[0], u = taps[1];
        for (int x = 0; x < count; x++)
            out[x] = tap * middle[x] + t * (a[x] + b[x]) + u * (c[x] + d[x]);
        k = 2;
    } else {
        for (int x = 0; x < count; x++)
            out[x] = tap * middle[x];
    }
    for (; k < half; k += 2) {
        const float *restrict a = rows[k], *restrict b = rows[tap_count - 1 - k];
        const float *restrict c = rows[k + 1], *restrict d = rows[tap_count - 2 - k];
        float t = taps[k], u = taps[k + 1];
        for (int x = 0; x < count; x++)
            out[x] += t * (a[x] + b[x]) + u * (c[x] + d[x]);
    }
}

static void filter_row(float *restrict out, const float *restrict in, const float *taps,
                       int tap_count, int count)
{
    const float *rows[32];
    for (int k = 0; k < tap_count; k++)
        rows[k] = in - tap_count / 2 + k;
    filter_rows(out, rows, taps, tap_count, count);
}

static void evidence_row(float *restrict energy, int count, float noise, float least, float floor,
                         float counts)
{
    float removed = noise * noise * noise * noise;
    least = least * least * least * least;
    for (int x = 0; x < count; x++) {
        float squared = energy[x] * energy[x];
        float rest = squared * squared - removed;
        energy[x] = counts * fast_log2(sqrtf(sqrtf((rest > 0 ? rest : 0) + least)) + floor);
    }
}

/* A piece of a row of cells between two rows, with one more on both sides. */
enum { PIECE = 256 };
struct mixed {
    int count;
    float before, cells[PIECE + 1];
};

/* Cells begin .. of a row with `grid_count` of them; beyond its ends they repeat. */
static inline void mix_cells(struct mixed *ret, const float *upper, const float *lower, float mix,
                             int begin, int width, int grid_count)
{
    ret->count = width - begin < PIECE ? width - begin : PIECE;
    int end = begin + ret->count, to = end < grid_count ? end + 1 : end;
    const float *restrict a = upper + begin, *restrict b = lower + begin;
    float *restrict cells = ret->cells;
    for (int i = 0; i < to - begin; i++)
        cells[i] = a[i] + mix * (b[i] - a[i]);
    if (to == end)
        cells[ret->count] = cells[ret->count - 1];
    ret->before = begin ? a[-1] + mix * (b[-1] - a[-1]) : cells[0];
}

static void gather_row(float *restrict sum, int count, const float *near_row, const float *far_row,
                       float mix, float share, int coarse_count)
{
    int width = coarse_count < (count + 1) / 2 ? coarse_count : (count + 1) / 2;
    float even[2] = {share * 0.125f, share * 0.875f}, odd[2] = {share * 0.625f, share * 0.375f};
    for (int begin = 0; begin < width; begin += PIECE) {
        struct mixed mixed;
        mix_cells(&mixed, near_row, far_row, mix, begin, width, coarse_count);
        float *restrict to = sum + 2 * begin;
        int pairs = count - 2 * begin >= 2 * mixed.count ? mixed.count : mixed.count - 1;
        const float *cells = mixed.cells;
        to[0] += even[0] * mixed.before + even[1] * cells[0];
        for (int i = 1; i < mixed.count; i++)
            to[2 * i] += even[0] * cells[i - 1] + even[1] * cells[i];
        for (int i = 0; i < pairs; i++)
            to[2 * i + 1] += odd[0] * cells[i] + odd[1] * cells[i + 1];
    }
}

static void add_halved_row(float *restrict sum, int count, const float *restrict upper,
                           const float *restrict lower, int fine_count)
{
    int inner = fine_count / 2 < count ? fine_count / 2 : count;
    for (int x = 0; x < inner; x++)
        sum[x] += 0.25f * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
    for (int x = inner; x < count; x++)
        sum[x] += 0.5f * (upper[fine_count - 1] + lower[fine_count - 1]);
}

static inline int16_t brighter(int16_t a, int16_t b)
{
    return a > b ? a : b;
}

static void spill_row(float *restrict energy, const int16_t *const rows[3], int count, float spill)
{
    const int16_t *a = rows[0], *b = rows[1], *c = rows[2];
    for (int x = 1; x < count - 1; x++) {
        int16_t left = brighter(brighter(a[x - 1], b[x - 1]), c[x - 1]);
        int16_t here = brighter(brighter(a[x], b[x]), c[x]);
        int16_t right = brighter(brighter(a[x + 1], b[x + 1]), c[x + 1]);
        energy[x] -= spill * fast_log2(pf_spill((float)brighter(brighter(left, right), here)));
    }
    for (int end = 0; end < 2 && end < count; end++) {
        int x = end ? count - 1 : 0, beside = end ? count - 2 : 1 < count ? 1 : 0;
        int16_t most = brighter(brighter(a[x], b[x]), c[x]);
        most = brighter(brighter(brighter(a[beside], b[beside]), c[beside]), most);
        energy[x] -= spill * fast_log2(pf_spill((float)most));
    }
}

static void spill_finest_row(float *restrict energy, const int16_t *restrict samples,
                             const float *restrict glare, int count, float spill)
{
    for (int x = 0; x < count; x++)
        energy[x] -= spill * fast_log2(pf_spill((float)samples[x]) * (1 + glare[x]));
}

static int lamp_sum(const int16_t *restrict samples, int count)
{
    int sum = 0;
    for (int x = 0; x < count; x++)
        sum += pf_lamp(samples[x]);
    return sum;
}

static void glare_row(float *restrict out, const int16_t *restrict samples, int count,
                      float strength)
{
    for (int x = 0; x < count; x++)
        out[x] = strength * pf_glare((float)samples[x]);
}

static void softmax_row(float *restrict energy, float *restrict log_total, int count, float power,
                        float behind, const float *restrict penalty)
{
    /* Loops of their own: in one, the compiler sees paths for what is bounded, and makes no vectors. */
    float weight[PIECE], t[PIECE];
    for (int begin = 0; begin < count; begin += PIECE) {
        int here = count - begin < PIECE ? count - begin : PIECE;
        float *restrict out = energy + begin, *restrict total = log_total + begin;
        for (int x = 0; x < here; x++)
            weight[x] = power * out[x] - behind;
        if (penalty)
            for (int x = 0; x < here; x++)
                weight[x] -= penalty[begin + x];
        for (int x = 0; x < here; x++) {
            float distance = -fabsf(weight[x] - total[x]);
            t[x] = distance < -126 ? -126 : distance;
        }
        for (int x = 0; x < here; x++)
            t[x] = pf_exp2(t[x]);
        for (int x = 0; x < here; x++) {
            float larger = total[x] > weight[x] ? total[x] : weight[x];
            float part = total[x] > weight[x] ? t[x] : 1.0f;
            total[x] = larger + fast_log2(1.0f + t[x]);
            out[x] = part / (1.0f + t[x]);
        }
    }
}

static void winner_row(const float *restrict energy, float *restrict best,
                       uint16_t *restrict winner, int count, float power, float behind,
                       const float *restrict penalty, uint16_t index)
{
    for (int x = 0; x < count; x++) {
        float weight = power * energy[x] - behind - (penalty ? penalty[x] : 0);
        bool better = weight > best[x];
        best[x] = better ? weight : best[x];
        winner[x] = better ? index : winner[x];
    }
}

static void alpha_row(float *restrict out, int count, const float *restrict upper,
                      const float *restrict lower, float mix, int grid_count, int factor_x)
{
    if (factor_x == 1) {
        for (int x = 0; x < count; x++)
            out[x] = upper[x] + mix * (lower[x] - upper[x]);
        return;
    }
    /* A cell is centred between its two samples: weights 3/4 and 1/4. */
    int width = grid_count < (count + 1) / 2 ? grid_count : (count + 1) / 2;
    for (int begin = 0; begin < width; begin += PIECE) {
        struct mixed mixed;
        mix_cells(&mixed, upper, lower, mix, begin, width, grid_count);
        float *restrict to = out + 2 * begin;
        const float *cells = mixed.cells;
        int pairs = count - 2 * begin >= 2 * mixed.count ? mixed.count : mixed.count - 1;
        to[0] = 0.25f * mixed.before + 0.75f * cells[0];
        if (pairs)
            to[1] = 0.75f * cells[0] + 0.25f * cells[1];
        for (int i = 1; i < pairs; i++) {
            to[2 * i] = 0.25f * cells[i - 1] + 0.75f * cells[i];
            to[2 * i + 1] = 0.75f * cells[i] + 0.25f * cells[i + 1];
        }
        if (pairs && pairs < mixed.count)
            to[2 * pairs] = 0.25f * cells[pairs - 1] + 0.75f * cells[pairs];
    }
}

void ISA(weight_kernels)(struct pf_kernels *set)
{
    set->filter_rows = filter_rows;
    set->filter_row = filter_row;
    set->evidence_row = evidence_row;
    set->gather_row = gather_row;
    set->spill_row = spill_row;
    set->spill_finest_row = spill_finest_row;
    set->lamp_sum = lamp_sum;
    set->glare_row = glare_row;
    set->add_halved_row = add_halved_row;
    set->softmax_row = softmax_row;
    set->winner_row = winner_row;
    set->alpha_row = alpha_row;
}
