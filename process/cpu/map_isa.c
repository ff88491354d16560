/* Rows of a stack's maps; see maps.c for what they mean. */
#include <math.h>

#include "process/cpu/isa.h"

static void evidence_row(float *restrict evidence, float *restrict over, int count, float nothing,
                         float trust)
{
    for (int x = 0; x < count; x++) {
        float lead = evidence[x] < -126 ? -126 : evidence[x] > 0 ? 0 : evidence[x];
        float above = over[x] - nothing;
        above = above < 0 ? 0 : above > 60 ? 60 : above;
        /* The winner's share of all weights: 1 where one frame alone is sharp. */
        float share = pf_exp2(lead);
        /* Nothing where the fine levels show no more than noise. */
        over[x] = 1 / pf_exp2(-above) - 1;
        evidence[x] = trust * share * share * share * over[x] / (over[x] + 2);
    }
}

static inline int within(int i, int count)
{
    return i < 0 ? 0 : i < count ? i : count - 1;
}

static void say_row(float *restrict say, const float *restrict over, int count, const float *crest,
                    int around, int shift)
{
    int cell = 1 << shift;
    float scale = 1.0f / (float)cell;
    /* From the middle of one cell of the surroundings to that of the next it is straight. */
    for (int from = 0, to; from < count; from = to) {
        int k = ((from + cell / 2) >> shift) - 1;
        to = ((k + 1) << shift) + cell / 2;
        to = to < count ? to : count;
        float a = crest[within(k, around)], b = crest[within(k + 1, around)];
        float way = ((float)from + 0.5f) * scale - 0.5f - (float)k;
        for (int i = from; i < to; i++) {
            float most = PF_MAP_FAIR * (a + (b - a) * (way + (float)(i - from) * scale));
            float fair = over[i] / (most > 1e-3f ? most : 1e-3f);
            fair = fair < 1 ? fair : 1;
            say[i] = fair * fair;
        }
    }
}

static void agree_row(float *restrict say, const float *restrict place, int count,
                      const float *const settled[3], int around, int shift)
{
    for (int from = 0, to; from < count; from = to) {
        int k = from >> shift;
        to = (k + 1) << shift;
        to = to < count ? to : count;
        float near[9];
        for (int i = 0; i < 9; i++)
            near[i] = settled[i / 3][within(k + i % 3 - 1, around)];
        for (int i = from; i < to; i++) {
            float away = 1;
            for (int j = 0; j < 9; j++) {
                float distance = fabsf(place[i] - near[j]);
                away = distance < away ? distance : away;
            }
            away *= 1 / PF_MAP_AGREE;
            away *= away;
            float agreed = 1 / (1 + away * away);
            say[i] = say[i] > agreed ? say[i] : agreed;
        }
    }
}

/* One cell's neighbours are columns left .. right of the rows. */
static inline float smoothed(float here, const float *const *place, const float *const *sure,
                             int rows, int left, int right, float narrow)
{
    float sum = 0, weights = 0;
    for (int v = 0; v < rows; v++)
        for (int u = left; u <= right; u++) {
            float far = (place[v][u] - here) * narrow;
            far *= far;
            float weight = (sure[v][u] + 0.01f) / (1 + far * far);
            sum += weight * place[v][u];
            weights += weight;
        }
    return sum / weights;
}

static void smooth_row(float *restrict out, const float *restrict here, const float *const *place,
                       const float *const *sure, int rows, int width, float narrow)
{
    enum { REACH = PF_MAP_REACH, PIECE = 256 };
    int inner = width - REACH;
    for (int x = 0; x < width; x++) {
        if (x == REACH && inner > REACH)
            x = inner;
        int right = x + REACH < width ? x + REACH : width - 1;
        out[x] = smoothed(here[x], place, sure, rows, x < REACH ? 0 : x - REACH, right, narrow);
    }
    for (int begin = REACH; begin < inner; begin += PIECE) {
        int count = inner - begin < PIECE ? inner - begin : PIECE;
        float sums[PIECE] = {0}, weights[PIECE] = {0};
        const float *middle = here + begin;
        for (int v = 0; v < rows; v++) {
            const float *restrict p = place[v] + begin, *restrict s = sure[v] + begin;
            for (int x = 0; x < count; x++) {
                float sum = 0, weight = 0;
                for (int u = -REACH; u <= REACH; u++) {
                    float far = (p[x + u] - middle[x]) * narrow;
                    far *= far;
                    float part = (s[x + u] + 0.01f) / (1 + far * far);
                    sum += part * p[x + u];
                    weight += part;
                }
                sums[x] += sum;
                weights[x] += weight;
            }
        }
        for (int x = 0; x < count; x++)
            out[begin + x] = sums[x] / weights[x];
    }
}

/* Of cells first .. last: the votes of the columns left .. right that are for a place within `near`
 * bins of the cell's own, and all of them. */
static void count_votes(const struct pf_vote_sums *sums, int first, int last, int width,
                        const uint16_t *own, const uint16_t *const *votes, int rows, int near)
{
    for (int x = first; x < last; x++) {
        int bin = own[x] >> PF_VOTE_BITS;
        sums->support[x] = sums->all[x] = 0;
        for (int v = 0; v < rows; v++)
            for (int u = x - PF_SPECK_REACH; u <= x + PF_SPECK_REACH; u++) {
                if (u < 0 || u >= width)
                    continue;
                int weight = votes[v][u] & PF_VOTE_MOST;
                int away = (votes[v][u] >> PF_VOTE_BITS) - bin;
                sums->support[x] += away <= near && away >= -near ? (uint32_t)weight : 0;
                sums->all[x] += (uint32_t)weight;
            }
    }
}

static void support_row(const struct pf_vote_sums *sums, const uint16_t *own,
                        const uint16_t *const *votes, int rows, int width, int near)
{
    /* So many rows of so many votes have room in 16 bits. */
    enum { REACH = PF_SPECK_REACH, PIECE = 256, ROWS = 65535 / ((2 * REACH + 1) * PF_VOTE_MOST) };
    int inner = width - REACH;
    if (inner < REACH)
        inner = REACH < width ? REACH : width;
    count_votes(sums, 0, REACH < width ? REACH : width, width, own, votes, rows, near);
    count_votes(sums, inner, width, width, own, votes, rows, near);
    for (int begin = REACH; begin < inner; begin += PIECE) {
        int count = inner - begin < PIECE ? inner - begin : PIECE;
        uint16_t least[PIECE], span[PIECE];
        uint32_t *restrict support = sums->support + begin, *restrict all = sums->all + begin;
        for (int x = 0; x < count; x++) {
            int bin = own[begin + x] >> PF_VOTE_BITS;
            int low = bin < near ? 0 : bin - near;
            int high = bin + near < PF_VOTE_BINS ? bin + near : PF_VOTE_BINS - 1;
            least[x] = (uint16_t)(low << PF_VOTE_BITS);
            span[x] = (uint16_t)((high - low + 1) << PF_VOTE_BITS);
            support[x] = all[x] = 0;
        }
        for (int from = 0; from < rows; from += ROWS) {
            uint16_t some[PIECE] = {0}, some_of_all[PIECE] = {0};
            for (int v = from; v < rows && v < from + ROWS; v++) {
                const uint16_t *restrict vote = votes[v] + begin;
                for (int x = 0; x < count; x++) {
                    uint16_t sum = some[x], sum_of_all = some_of_all[x];
                    for (int u = -REACH; u <= REACH; u++) {
                        uint16_t weight = vote[x + u] & PF_VOTE_MOST;
                        uint16_t above = (uint16_t)(vote[x + u] - least[x]);
                        sum = (uint16_t)(sum + (weight & -(above < span[x])));
                        sum_of_all = (uint16_t)(sum_of_all + weight);
                    }
                    some[x] = sum;
                    some_of_all[x] = sum_of_all;
                }
            }
            for (int x = 0; x < count; x++) {
                support[x] += some[x];
                all[x] += some_of_all[x];
            }
        }
    }
}

static void steps_row(uint16_t *restrict out, const float *restrict value, int count, int steps,
                      int per_step)
{
    for (int x = 0; x < count; x++) {
        float v = value[x] > 0 ? value[x] : 0;
        out[x] = (uint16_t)((int)((v < 1 ? v : 1) * (float)steps + 0.5f) * per_step);
    }
}

void ISA(map_kernels)(struct pf_kernels *set)
{
    set->map_evidence_row = evidence_row;
    set->map_say_row = say_row;
    set->map_agree_row = agree_row;
    set->map_smooth_row = smooth_row;
    set->map_support_row = support_row;
    set->map_steps_row = steps_row;
}
