/* Kernels of the maps: each instruction set against plain formulas, at odd and tiny sizes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernels.h"
#include "tests/unit/test.h"

static double between(const float *cells, int count, double at_cell)
{
    double c = at_cell < 0 ? 0 : at_cell > count - 1 ? count - 1 : at_cell;
    int before = at((int)c, count), next = at(before + 1, count);
    return (double)cells[before] + (c - before) * ((double)cells[next] - (double)cells[before]);
}

TEST(kernels_tell_how_much_a_winner_stands_out)
{
    int set = 0;
    srand(3);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float evidence[WIDEST], over[WIDEST], lead[WIDEST], shown[WIDEST];
        int w = (int)width;
        for (int x = 0; x < w; x++) {
            lead[x] = evidence[x] = x % 7 ? -4 * random_share() : -300;
            shown[x] = over[x] = x % 5 ? 12 * random_share() - 3 : 200;
        }
        kernels->map_evidence_row(evidence, over, w, 2, 0.5f);
        for (int x = 0; x < w; x++) {
            double more = shown[x] > 2 ? exp2(fmin(60, (double)shown[x] - 2)) - 1 : 0;
            CHECK_NEAR(over[x], more, 1e-5 * more + 1e-5);
            CHECK_NEAR(evidence[x], 0.5 * exp2(3 * (double)lead[x]) * more / (more + 2), 1e-5);
        }
    }
}

TEST(kernels_give_cells_a_say_beside_their_surroundings)
{
    int set = 0;
    srand(4);
    EACH_SET(kernels) EACH_WIDTH(width) for (int shift = 1; shift < 6; shift++)
    {
        float over[WIDEST], place[WIDEST], say[WIDEST], crest[WIDEST], settled[3][WIDEST];
        const float *rows[3] = {settled[0], settled[1], settled[2]};
        int w = (int)width, around = ((w - 1) >> shift) + 1;
        for (int x = 0; x < w; x++) {
            over[x] = random_share();
            place[x] = random_share();
        }
        for (int k = 0; k < around; k++) {
            crest[k] = 20 * random_share();
            for (int row = 0; row < 3; row++)
                settled[row][k] = random_share();
        }
        kernels->map_say_row(say, over, w, crest, around, shift);
        for (int x = 0; x < w; x++) {
            double most = between(crest, around, (x + 0.5) / (1 << shift) - 0.5);
            double fair = fmin(1, (double)over[x] / fmax((double)PF_MAP_FAIR * most, 1e-3));
            CHECK_NEAR(say[x], fair * fair, 1e-4);
        }
        float before[WIDEST];
        memcpy(before, say, sizeof(before));
        kernels->map_agree_row(say, place, w, rows, around, shift);
        for (int x = 0; x < w; x++) {
            double away = 1;
            for (int k = 0; k < 9; k++) {
                float there = settled[k / 3][at((x >> shift) + k % 3 - 1, around)];
                away = fmin(away, fabs((double)place[x] - (double)there));
            }
            double agreed = 1 / (1 + pow(away / (double)PF_MAP_AGREE, 4));
            CHECK_NEAR(say[x], fmax((double)before[x], agreed), 1e-5);
        }
    }
}

TEST(kernels_smooth_and_step_a_depth_map)
{
    enum { ROWS = 2 * PF_MAP_REACH + 1 };
    int set = 0;
    srand(5);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float place[ROWS][WIDEST], sure[ROWS][WIDEST], out[WIDEST];
        const float *places[ROWS], *sures[ROWS];
        uint16_t steps[WIDEST];
        int w = (int)width;
        for (int v = 0; v < ROWS; v++) {
            places[v] = place[v];
            sures[v] = sure[v];
            for (int x = 0; x < w; x++) {
                place[v][x] = random_share();
                sure[v][x] = random_share();
            }
        }
        for (int rows = 1; rows <= ROWS; rows += ROWS - 1) {
            kernels->map_smooth_row(out, place[0], places, sures, rows, w, 6);
            for (int x = 0; x < w; x++) {
                double sum = 0, weights = 0;
                for (int v = 0; v < rows; v++)
                    for (int u = x - PF_MAP_REACH; u <= x + PF_MAP_REACH; u++) {
                        if (u < 0 || u >= w)
                            continue;
                        double far = 6 * ((double)place[v][u] - (double)place[0][x]);
                        double weight = ((double)sure[v][u] + 0.01) / (1 + far * far * far * far);
                        sum += weight * (double)place[v][u];
                        weights += weight;
                    }
                CHECK_NEAR(out[x], sum / weights, 1e-5);
            }
        }
        place[0][0] = 1.5f;
        place[0][w - 1] = -0.5f;
        kernels->map_steps_row(steps, place[0], w, 51, 1285);
        for (int x = 0; x < w; x++) {
            double value = fmin(fmax((double)place[0][x], 0), 1);
            CHECK(steps[x] % 1285 == 0);
            CHECK(fabs(steps[x] / 1285 - value * 51) <= 0.5 + 1e-4);
        }
    }
}

TEST(kernels_count_the_votes_around_a_cell)
{
    enum { ROWS = PF_SPECK_REACH + 1 };
    int set = 0;
    srand(6);
    EACH_SET(kernels) EACH_WIDTH(width) for (int near = 0; near < PF_VOTE_BINS + 8; near += 5)
    {
        uint16_t votes[ROWS][WIDEST];
        const uint16_t *rows[ROWS];
        uint32_t support[WIDEST], all[WIDEST];
        struct pf_vote_sums sums = {support, all};
        int w = (int)width;
        for (int v = 0; v < ROWS; v++) {
            rows[v] = votes[v];
            for (int x = 0; x < w; x++)
                votes[v][x] =
                    near ? (uint16_t)(rand() & 0x7fff) : 0x7fff; /* the most of all sums */
        }
        for (int count = 1; count <= ROWS; count++) {
            kernels->map_support_row(&sums, rows[count / 2], rows, count, w, near);
            for (int x = 0; x < w; x++) {
                long own = rows[count / 2][x] / (PF_VOTE_MOST + 1), with_it = 0, together = 0;
                for (int v = 0; v < count; v++)
                    for (int u = x - PF_SPECK_REACH; u <= x + PF_SPECK_REACH; u++) {
                        if (u < 0 || u >= w)
                            continue;
                        long weight = votes[v][u] % (PF_VOTE_MOST + 1);
                        together += weight;
                        if (labs(votes[v][u] / (PF_VOTE_MOST + 1) - own) <= near)
                            with_it += weight;
                    }
                CHECK_EQ(support[x], with_it);
                CHECK_EQ(all[x], together);
            }
        }
    }
}
