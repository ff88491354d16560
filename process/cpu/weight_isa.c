/* Energies, and the online softmax that turns them into each frame's share of the stack. */
#include <math.h>
#include <string.h>

#include "process/cpu/isa.h"

/* log2 and exp2 to about 2e-6, in plain arithmetic that vectorises: mantissa polynomial after
 * splitting off the exponent (minimax by Remez on [1, 2) and [0, 1)). */
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

static inline float fast_exp2(float value) /* -126 <= value <= 0 */
{
    int whole = (int)(value - 0.5f); /* nearest, towards zero from the left */
    float f = value - (float)whole;  /* -0.5 .. 0.5 */
    float p =
        1.0f +
        f * (0.69314718f +
             f * (0.24022651f +
                  f * (0.05550411f + f * (0.00961813f + f * (0.00133336f + f * 0.00015404f)))));
    uint32_t bits = (uint32_t)(whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return power * p;
}

static void filter_rows(float *restrict out, const float *const *rows, const float *taps,
                        int tap_count, int count)
{
    /* Symmetric taps: the rows from both ends share one. */
    const float *restrict middle = rows[tap_count / 2];
    float tap = taps[tap_count / 2];
    for (int x = 0; x < count; x++)
        out[x] = tap * middle[x];
    for (int k = 0; k < tap_count / 2; k++) {
        const float *restrict a = rows[k], *restrict b = rows[tap_count - 1 - k];
        tap = taps[k];
        for (int x = 0; x < count; x++)
            out[x] += tap * (a[x] + b[x]);
    }
}

static void filter_row(float *restrict out, const float *restrict in, const float *taps,
                       int tap_count, int count)
{
    int half = tap_count / 2;
    for (int x = 0; x < count; x++)
        out[x] = taps[half] * in[x];
    for (int k = 0; k < half; k++) {
        float tap = taps[k];
        const float *a = in - half + k, *b = in + half - k;
        for (int x = 0; x < count; x++)
            out[x] += tap * (a[x] + b[x]);
    }
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

static void gather_row(float *restrict sum, int count, const float *restrict near_row,
                       const float *restrict far_row, float mix, float share, int coarse_count)
{
    for (int x = 0; x < count; x++) {
        int here = x / 2, beside = x & 1 ? here + 1 : here - 1;
        beside = beside < 0 ? 0 : beside < coarse_count ? beside : coarse_count - 1;
        float t = x & 1 ? 0.375f : 0.125f;
        float a = near_row[here] + mix * (far_row[here] - near_row[here]);
        float b = near_row[beside] + mix * (far_row[beside] - near_row[beside]);
        sum[x] += share * (a + t * (b - a));
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
                        const float *restrict penalty)
{
    /* Loops of their own: in one, the compiler sees paths for what is bounded, and makes no vectors. */
    enum { PIECE = 128 };
    float weight[PIECE], t[PIECE];
    for (int begin = 0; begin < count; begin += PIECE) {
        int here = count - begin < PIECE ? count - begin : PIECE;
        float *restrict out = energy + begin, *restrict total = log_total + begin;
        for (int x = 0; x < here; x++)
            weight[x] = power * out[x];
        if (penalty)
            for (int x = 0; x < here; x++)
                weight[x] -= penalty[begin + x];
        for (int x = 0; x < here; x++) {
            float distance = -fabsf(weight[x] - total[x]);
            t[x] = distance < -126 ? -126 : distance;
        }
        for (int x = 0; x < here; x++)
            t[x] = fast_exp2(t[x]);
        for (int x = 0; x < here; x++) {
            float larger = total[x] > weight[x] ? total[x] : weight[x];
            float part = total[x] > weight[x] ? t[x] : 1.0f;
            total[x] = larger + fast_log2(1.0f + t[x]);
            out[x] = part / (1.0f + t[x]);
        }
    }
}

static void winner_row(const float *restrict energy, float *restrict best,
                       uint16_t *restrict winner, int count, float power,
                       const float *restrict penalty, uint16_t index)
{
    for (int x = 0; x < count; x++) {
        float weight = power * energy[x] - (penalty ? penalty[x] : 0);
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
    enum { PIECE = 256 };
    float cells[PIECE + 2]; /* with one more on both sides */
    int width = grid_count < (count + 1) / 2 ? grid_count : (count + 1) / 2;
    for (int begin = 0; begin < width; begin += PIECE) {
        int here = width - begin < PIECE ? width - begin : PIECE;
        int from = begin > 0 ? begin - 1 : 0;
        int to = begin + here < grid_count ? begin + here : grid_count - 1;
        float *restrict mixed = cells + 1 + (from - begin);
        for (int i = 0; i <= to - from; i++)
            mixed[i] = upper[from + i] + mix * (lower[from + i] - upper[from + i]);
        if (begin == 0)
            cells[0] = cells[1];
        if (begin + here == grid_count)
            cells[here + 1] = cells[here];
        float *restrict samples = out + 2 * begin;
        int pairs = count - 2 * begin >= 2 * here ? here : here - 1;
        for (int i = 0; i < pairs; i++) {
            samples[2 * i] = 0.25f * cells[i] + 0.75f * cells[i + 1];
            samples[2 * i + 1] = 0.75f * cells[i + 1] + 0.25f * cells[i + 2];
        }
        if (pairs < here)
            samples[2 * pairs] = 0.25f * cells[pairs] + 0.75f * cells[pairs + 1];
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
