/* Focal planes: distances of planes are found in curves of sharpness that are made of known ones. */
#include <math.h>
#include <stdlib.h>

#include "process/focal_planes.h"
#include "tests/unit/test.h"

enum { FRAMES = 12 };

static double random_unit(void)
{
    return (double)rand() / RAND_MAX;
}

struct bracket {
    float grid[FRAMES][PF_FOCUS_CELLS];
    const float *rows[FRAMES];
    double plane[FRAMES], depth[PF_FOCUS_CELLS];
};

/* Cells at random depths between the planes, seen with an error of 2 %. */
static struct pf_curves make(struct bracket *bracket, const double *steps, double width)
{
    struct pf_curves curves = {.frames = FRAMES, .grid = bracket->rows};
    bracket->plane[0] = 0;
    for (int i = 0; i + 1 < FRAMES; i++)
        bracket->plane[i + 1] = bracket->plane[i] + steps[i];
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        double depth = bracket->depth[c] = bracket->plane[FRAMES - 1] * random_unit();
        double contrast = 5 + 100 * random_unit(), own = width * (0.85 + 0.3 * random_unit());
        bool plain = c % 10 == 0;
        for (int i = 0; i < FRAMES; i++) {
            double u = (bracket->plane[i] - depth) / own;
            double sharpness = plain ? 0 : contrast * pow(1 + u * u, -1.5);
            bracket->rows[i] = bracket->grid[i];
            bracket->grid[i][c] = (float)((sharpness + 1) * (0.98 + 0.04 * random_unit()));
        }
    }
    pf_curves_look(&curves);
    return curves;
}

static void find(const double *steps, double width, double within)
{
    static struct bracket bracket;
    struct pf_curves curves = make(&bracket, steps, width);
    double position[FRAMES], scale = 0;
    for (int i = 0; i < FRAMES; i++)
        position[i] = i;
    double half = pf_curves_width(&curves, position);
    CHECK(half > 0);
    CHECK_EQ(pf_focal_planes(&curves, position, &half), 0);
    for (int i = 2; i + 3 < FRAMES; i++)
        scale += (position[i + 1] - position[i]) / (bracket.plane[i + 1] - bracket.plane[i]) /
                 (FRAMES - 5);
    for (int i = 1; i + 2 < FRAMES; i++)
        CHECK_NEAR((position[i + 1] - position[i]) / scale, steps[i], within * steps[i]);
    CHECK_NEAR(half / scale, 0.766 * width, 0.15 * width);
    int checked = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = curves.best[c];
        CHECK_EQ(best < 0, c % 10 == 0);
        if (best < 2 || best > FRAMES - 3)
            continue;
        struct pf_cell_fit fit = pf_focal_depth(&curves, position, half, c);
        CHECK_NEAR((fit.depth - position[best]) / scale, bracket.depth[c] - bracket.plane[best],
                   0.4);
        checked++;
    }
    CHECK(checked > 100);
}

TEST(focal_planes_of_an_even_bracket)
{
    static const double even[FRAMES - 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    srand(1);
    find(even, 2, 0.08);
    find(even, 3.5, 0.12);
}

TEST(focal_planes_of_uneven_brackets)
{
    static const double gap[FRAMES - 1] = {1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1};
    static const double wild[FRAMES - 1] = {1, 1, 0.6, 1, 1.5, 1, 1, 2.2, 1, 0.7, 1};
    srand(2);
    find(gap, 2.2, 0.12);
    find(gap, 3, 0.15);
    find(wild, 3, 0.2);
}

/* How far outside is known roughly, on which side exactly. */
TEST(focal_planes_beyond_the_ends)
{
    static const double even[FRAMES - 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static struct bracket bracket;
    double position[FRAMES];
    int checked = 0;
    srand(3);
    make(&bracket, even, 2.5);
    struct pf_curves curves = {.frames = 8, .grid = bracket.rows + 2};
    pf_curves_look(&curves);
    for (int i = 0; i < 8; i++)
        position[i] = i + 2;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        if (curves.best[c] != 0 && curves.best[c] != 7)
            continue;
        struct pf_cell_fit fit = pf_focal_depth(&curves, position, 0.766 * 2.5, c);
        double outside = fmax(fmax(2 - bracket.depth[c], bracket.depth[c] - 9), 0);
        CHECK_NEAR(fit.depth, bracket.depth[c], 0.6 + outside);
        checked += outside > 0.5;
    }
    CHECK(checked > 20);
}

TEST(focal_planes_of_nothing_stay_even)
{
    static const float blank[PF_FOCUS_CELLS];
    const float *rows[3] = {blank, blank, blank};
    struct pf_curves curves = {.frames = 3, .grid = rows};
    double position[3] = {0, 1, 2}, half = 2;
    pf_curves_look(&curves);
    CHECK_EQ(curves.best[0], -1);
    CHECK(isnan(pf_curves_width(&curves, position)));
    CHECK_EQ(pf_focal_planes(&curves, position, &half), 0);
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(position[i], i, 1e-9);
}
