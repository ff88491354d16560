/* A level of alignment by blocks: what each block asks for is what a plain program in double precision finds, and
 * what they agree on is what the CPU's blocks do. */
#include "tests/cuda/planes.h"

extern "C" {
#include "process/cpu/ecc_blocks.h"
#include "tests/unit/texture.h"
}
#include "process/cuda/ecc_blocks.h"
#include "process/cuda/ecc_kernels.h"

/* Of no block, of one, of too few to agree; of some dozens, with columns and rows that are no block's. */
static const struct size all_sizes[] = {{1, 1},   {2, 3},    {40, 19},  {20, 20},
                                        {53, 37}, {105, 71}, {131, 75}, {340, 21}};
enum { ALL_SIZES = sizeof(all_sizes) / sizeof(*all_sizes) };
static const struct pf_ecc_scale scale = {2, 0.5};

/* A level on both sides. */
struct views {
    struct pf_ecc_level target, image;
    struct level level;
    struct state state;
    struct pf_cuda_blocks blocks;
    int columns, rows;
};

static float *picture_of(uint32_t seed, const double h[9], int width, int height, double finest,
                         double gain)
{
    double inverse[9];
    float *pixels = (float *)malloc((size_t)width * (size_t)height * sizeof(float));
    pf_homography_invert(inverse, h);
    for (int i = 0; i < width * height; i++) {
        double x, y;
        pf_homography_apply(inverse, i % width, i / width, &x, &y);
        pixels[i] = (float)(gain * texture_at(seed, x, y, finest) + next_random() % 4);
    }
    return pixels;
}

/* The image shows at `shows` what the target does, darker and without its finest detail; or, of another seed than
 * 3, something else. */
static struct views begin(const struct size *size, uint32_t seed, const double shows[9],
                          const double start[9], enum pf_motion motion)
{
    static const double here[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct views all = {};
    struct level *level = &all.level;
    int width = size->width, height = size->height, image_width = width + 3;
    all.target.pixels = picture_of(3, here, width, height, 0, 1);
    all.image.pixels = picture_of(seed, shows, image_width, height, 5, 0.9);
    all.target.width = level->width = width;
    all.target.height = level->height = all.image.height = level->image_height = height;
    all.image.width = level->image_width = image_width;
    level->target_scale = level->image_scale = scale;
    level->frame.centre_x = 0.5 * (width - 1);
    level->frame.centre_y = 0.5 * (height - 1);
    level->frame.radius = 0.5 * width;
    level->motion = motion;
    level->tolerance_px = PF_ECC_BLOCKS_TOLERANCE_PX;
    pf_ecc_to_full(start, scale, scale, all.state.h);
    memcpy(all.state.warp, start, sizeof(all.state.warp));
    all.state.now = pf_short_warp_of(start, width, height);
    level->target = device_copy(all.target.pixels, (size_t)width * (size_t)height);
    level->image = device_copy(all.image.pixels, (size_t)image_width * (size_t)height);
    level->partial = device_copy<double>(NULL, MOST_BLOCKS * MOST_SUMS);
    level->state = device_copy(&all.state, 1);
    pf_ecc_block_grid(width, height, &all.columns, &all.rows);
    size_t count = all.columns > 0 && all.rows > 0 ? (size_t)(all.columns * all.rows) : 0;
    all.blocks.block = device_copy<struct pf_ecc_block>(NULL, count + 1);
    all.blocks.sums = device_copy<double>(NULL, count * PF_BLOCK_SUMS + 1);
    GPU(cudaMemset(all.blocks.block, 0x5A, (count + 1) * sizeof(*all.blocks.block)));
    GPU(cudaDeviceSynchronize());
    return all;
}

/* Brings the state back. */
static void end(struct views *all)
{
    fetch(&all->state, all->level.state, 1);
    GPU(cudaFree((void *)all->level.target));
    GPU(cudaFree((void *)all->level.image));
    GPU(cudaFree(all->level.partial));
    GPU(cudaFree(all->blocks.block));
    GPU(cudaFree(all->blocks.sums));
    free(all->target.pixels);
    free(all->image.pixels);
}

/* ---- what a block asks for ------------------------------------------------------------------------- */

static double at_target(const struct views *all, int x, int y)
{
    return (double)all->target.pixels[y * all->target.width + x];
}

/* Where a warp has a point; false where the image has nothing there. */
static bool at_image(const struct views *all, const double warp[9], int x, int y, double *ret)
{
    double px, py;
    pf_homography_apply(warp, x, y, &px, &py);
    int i = (int)floor(px), j = (int)floor(py), width = all->image.width;
    if (!(i >= 0 && j >= 0 && i < width - 1 && j < all->image.height - 1))
        return false;
    const float *at = all->image.pixels + j * width + i;
    double tx = px - i, ty = py - j;
    *ret = (1 - ty) * ((1 - tx) * (double)at[0] + tx * (double)at[1]) +
           ty * ((1 - tx) * (double)at[width] + tx * (double)at[width + 1]);
    return true;
}

/* Mean of both pictures, or the difference, smoothed by [1 2 1] / 4 both ways. */
static double smoothed(const struct views *all, int x, int y, bool difference)
{
    double sum = 0;
    for (int k = 0; k < 9; k++) {
        int u = x + k % 3 - 1, v = y + k / 3 - 1,
            weight = (2 - abs(k % 3 - 1)) * (2 - abs(k / 3 - 1));
        double t = at_target(all, u, v), s = 0;
        CHECK(at_image(all, all->state.warp, u, v, &s));
        sum += weight * (difference ? t - s : 0.5 * (t + s)) / 16;
    }
    return sum;
}

static struct pf_ecc_block ask(const struct views *all, int x0, int y0)
{
    struct pf_ecc_block block = {};
    double a[8][8] = {};
    if (!pf_ecc_block_has_picture(all->state.warp, all->image.width, all->image.height, x0, y0))
        return block;
    for (int k = 0; k < PF_BLOCK * PF_BLOCK; k++) {
        int x = x0 + k % PF_BLOCK, y = y0 + k / PF_BLOCK;
        double u = 2.0 * (k % PF_BLOCK) / (PF_BLOCK - 1) - 1;
        double v = 2.0 * (k / PF_BLOCK) / (PF_BLOCK - 1) - 1;
        double here = smoothed(all, x, y, false), left = smoothed(all, x - 1, y, false);
        double right = smoothed(all, x + 1, y, false), above = smoothed(all, x, y - 1, false);
        double below = smoothed(all, x, y + 1, false),
               bend = left + right + above + below - 4 * here;
        double centre = smoothed(all, x0 + PF_BLOCK / 2, y0 + PF_BLOCK / 2, false);
        const double says[8] = {
            0.5 * (right - left), 0.5 * (below - above),    bend, bend * u, bend * v, 1,
            here - centre,        smoothed(all, x, y, true)};
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 8; j++)
                a[i][j] += says[i] * says[j];
    }
    pf_ecc_block_ask(a, &block);
    pf_ecc_block_place(&all->level.frame, x0, y0, &block);
    return block;
}

/* The last one leaves some blocks without a picture. */
static const double STARTS[3][9] = {{1, 0, 0.25, 0, 1, 0.5, 0, 0, 1},
                                    {1.002, 0.003, 0.6, -0.003, 0.998, 0.4, 1e-6, -2e-6, 1},
                                    {1, 0.01, -18.3, -0.01, 1, 3.7, 0, 0, 1}};

/* Samples are good to 1e-4 of a grey level, their products to 1e-5; of what eliminating five unknowns of seven
 * loses, 6e-5 px was the most of some hundred blocks. */
TEST(cuda_blocks_ask_for_what_a_plain_program_asks)
{
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            const double *start = STARTS[kind % 4 % 3];
            struct views all = begin(&all_sizes[i], 3, STARTS[0], start, PF_MOTION_SHIFT);
            struct state *state = all.level.state;
            int count = all.columns > 0 && all.rows > 0 ? all.columns * all.rows : 0;
            struct pf_ecc_block *got =
                (struct pf_ecc_block *)malloc((size_t)(count + 1) * sizeof(*got));
            all.state.stage = kind % 4 == 3;
            GPU(cudaMemcpy(state, &all.state, sizeof(*state), cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            struct pf_ecc_question question = {all.level.target,      all.level.image,
                                               all.level.width,       all.level.height,
                                               all.level.image_width, all.level.image_height,
                                               state->warp,           &state->now,
                                               &state->stage,         0,
                                               all.level.frame,       all.blocks};
            pf_cuda_ask_blocks(cuda, &question);
            GPU(cudaDeviceSynchronize());
            GPU(cudaMemcpy(got, all.blocks.block, (size_t)(count + 1) * sizeof(*got),
                           cudaMemcpyDeviceToHost));
            uint8_t untouched[sizeof(*got)];
            memset(untouched, 0x5A, sizeof(untouched));
            for (int k = all.state.stage ? 0 : count; k <= count; k++)
                CHECK(memcmp(&got[k], untouched, sizeof(untouched)) == 0);
            for (int k = 0; k < count && !all.state.stage; k++) {
                struct pf_ecc_block right = ask(&all, PF_BLOCK_HALO + k % all.columns * PF_BLOCK,
                                                PF_BLOCK_HALO + k / all.columns * PF_BLOCK);
                double certain = sqrt((double)right.weight[0] * (double)right.weight[2]);
                for (int axis = 0; axis < 2; axis++)
                    CHECK_NEAR(got[k].d[axis], right.d[axis], 2e-4);
                for (int m = 0; m < 3; m++)
                    CHECK_NEAR(got[k].weight[m], right.weight[m], 1e-3 * certain);
                CHECK_NEAR(got[k].u, right.u, 1e-6);
                CHECK_NEAR(got[k].v, right.v, 1e-6);
            }
            free(got);
            end(&all);
            finish(cuda);
        }
}

/* ---- what they agree on ---------------------------------------------------------------------------- */

struct refined {
    double warp[9], certainty;
    int steps;
    bool came_back;
    struct pf_ecc_fit_numbers fit;
};

/* sample: the image there, exactly; the CPU's kernel takes it straight over some samples, which where few blocks
 * find much perspective is another map by 0.02 px. */
static struct pf_ecc_fit_numbers fit_at(const struct views *all, const double warp[9],
                                        float *sample)
{
    struct pf_fit_sums sums = {};
    int width = all->target.width, height = all->target.height;
    for (int k = 0; k < width * height; k++) {
        double s, t = at_target(all, k % width, k / width);
        sample[k] = 0;
        if (!at_image(all, warp, k % width, k / width, &s))
            continue;
        sample[k] = (float)s;
        sums.count++;
        sums.t += t;
        sums.i += s;
        sums.tt += t * t;
        sums.ii += s * s;
        sums.ti += t * s;
    }
    return pf_ecc_fit_of(&sums, (double)width * height);
}

/* As refine_level() of process/cpu/ecc.c. */
static struct refined refine(const struct views *all, int most_steps)
{
    struct pf_error err = {};
    struct refined ret = {};
    struct pf_ecc_blocks *blocks = NULL;
    size_t pixels = (size_t)all->target.width * (size_t)all->target.height;
    float *sample = (float *)malloc(pixels * sizeof(float));
    CHECK_OK(pf_ecc_blocks_new(&blocks, &err), &err);
    memcpy(ret.warp, all->state.warp, sizeof(ret.warp));
    struct pf_ecc_fit_numbers first = ret.fit = fit_at(all, ret.warp, sample);
    for (int step = 0; step < most_steps; step++) {
        struct pf_ecc_blocks_view view = {};
        double before[9], delta[9];
        memcpy(before, ret.warp, sizeof(before));
        view.kernels = reference();
        view.target = &all->target;
        view.image = &all->image;
        view.sample = sample;
        view.frame = all->level.frame;
        view.motion = all->level.motion;
        memcpy(view.warp, ret.warp, sizeof(view.warp));
        int r = pf_ecc_blocks_step(blocks, &view, step > 0, delta, &ret.certainty, &err);
        CHECK_OK(r, &err);
        if (r == 0)
            break;
        pf_homography_compose(ret.warp, ret.warp, delta);
        ret.steps++;
        if (pf_homography_corner_distance(before, ret.warp, all->target.width, all->target.height) <
            all->level.tolerance_px)
            break;
        struct pf_ecc_fit_numbers fit = fit_at(all, ret.warp, sample);
        if (!(fit.correlation > first.correlation - 0.02)) {
            memcpy(ret.warp, before, sizeof(before));
            ret.came_back = true;
            break;
        }
        ret.fit = fit;
    }
    pf_ecc_blocks_free(blocks);
    free(sample);
    return ret;
}

/* Steps are alike but for what the blocks are, see above, of which some dozens are asked: 5e-5 px was the most at
 * a corner. A row of blocks says nothing of what is across it, which affine maps would have to know. */
TEST(cuda_blocks_agree_on_what_the_cpus_do)
{
    static const double shows[9] = {1.001, 0.002, 0.9, -0.002, 1.001, -0.3, 1e-6, -2e-6, 1};
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 12 * order_count(); kind++) {
            take_order(kind / 12);
            struct pf_cuda *cuda = new_queue();
            enum pf_motion motion = (enum pf_motion)(PF_MOTION_SHIFT + kind % 4);
            if (motion > PF_MOTION_SIMILARITY && all_sizes[i].height < 2 * PF_BLOCK + 4)
                motion = PF_MOTION_SIMILARITY;
            struct views all = begin(&all_sizes[i], 3, shows, STARTS[kind % 2], motion);
            all.level.most_steps = kind / 4 % 3 + 1;
            struct refined right = refine(&all, all.level.most_steps);
            all.level.is_judge = kind & 1;
            pf_cuda_ecc_refine(cuda, &all.level, &all.blocks, false);
            pf_cuda_ecc_refine(cuda, &all.level, &all.blocks, true);
            end(&all);
            const struct state *state = &all.state;
            double h[9];
            int width = all.level.width, height = all.level.height;
            pf_ecc_to_full(right.warp, scale, scale, h);
            CHECK_NEAR(pf_homography_corner_distance(state->warp, right.warp, width, height), 0,
                       5e-4);
            CHECK_NEAR(pf_homography_corner_distance(state->h, h, 2 * width, 2 * height), 0, 1e-3);
            CHECK_NEAR(state->certainty, right.certainty, 2e-3 * right.certainty);
            CHECK_NEAR(state->correlation, right.fit.correlation, 2e-5);
            CHECK_NEAR(state->overlap, right.fit.overlap, 2.0 / (width * height));
            CHECK_NEAR(state->agreement, kind & 1 ? right.fit.correlation : 0, 2e-5);
            CHECK_EQ(state->steps, right.steps);
            CHECK(state->stage == 1 && state->ticket == 0);
            finish(cuda);
        }
}

/* Among strangers a step may make it worse, and is taken back. What blocks say of those is uncertain, so that two
 * steps are less alike than those above: of few parameters by 1e-3 px at the most. */
TEST(cuda_blocks_are_not_followed_where_correlation_speaks_against_them)
{
    static const uint32_t strangers[] = {9, 12, 14};
    int came_back = 0;
    for (int i = 0; i < 6; i++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            struct pf_cuda *cuda = new_queue();
            enum pf_motion motion = (enum pf_motion)(PF_MOTION_SHIFT + kind % 2);
            struct views all =
                begin(&all_sizes[5 + i % 2], strangers[i / 2], STARTS[0], STARTS[1], motion);
            all.level.most_steps = 2;
            struct refined right = refine(&all, all.level.most_steps);
            came_back += right.came_back;
            pf_cuda_ecc_refine(cuda, &all.level, &all.blocks, false);
            end(&all);
            CHECK_NEAR(pf_homography_corner_distance(all.state.warp, right.warp, all.level.width,
                                                     all.level.height),
                       0, 1e-3);
            CHECK_NEAR(all.state.correlation, right.fit.correlation, 1e-4);
            CHECK_EQ(all.state.steps, right.steps);
            CHECK_EQ(all.state.stage, 1);
            finish(cuda);
        }
    CHECK(came_back >= 2 * order_count());
}
