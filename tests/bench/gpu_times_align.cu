/* Alignment, rigid and not, as a whole and in its parts; see gpu_times.cu. */
#include "tests/bench/gpu_bench.h"

extern "C" {
#include "process/cpu/fuse.h"
#include "process/cuda/deform.h"
#include "process/cuda/fuse.h"
#include "process/field.h"
}
#include "process/cuda/ecc_blocks.h"
#include "process/cuda/ecc_kernels.h"
#include "process/cuda/queue.h"

/* A picture of light down to what a kind of alignment needs. */
static void reduce_to(struct pf_cuda *cuda, struct pf_cuda_pyramid *pyramid,
                      const struct scene &scene, int most)
{
    struct pf_error err = {};
    struct pf_image *frame = paint(scene, 1);
    int width = (scene.width + 1) / 2, height = (scene.height + 1) / 2, halvings = 1;
    room<uint8_t> raw((size_t)scene.width * (size_t)scene.height);
    room<float> first((size_t)width * (size_t)height), second((size_t)width * (size_t)height);
    float *at = first, *next = second;
    upload(raw, frame);
    pf_image_free(frame);
    struct pf_source_plane plane = source_of(raw, scene.width, scene.height, false);
    pf_cuda_halve_source(cuda, at, &plane);
    for (; width > most; halvings++) {
        pf_cuda_halve(cuda, next, at, width, height);
        std::swap(at, next);
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    double scale = ldexp(1, halvings);
    check(pf_cuda_pyramid_of_light(cuda, pyramid, at, width, height, scale, (scale - 1) / 2, &err),
          err);
    check(pf_cuda_wait(cuda, &err), err);
}

/* target(r) = plane(motion(r)), image = plane: so image(motion(r)) looks like target(r). */
static void miss(const struct scene &target, const double h[9], const struct pf_field *field,
                 double *ret_mean, double *ret_most)
{
    enum { POINTS = 60 };
    double sum = 0, most = 0;
    for (int k = 0; k < POINTS * POINTS; k++) {
        double x = (0.02 + 0.96 * (k % POINTS + 0.5) / POINTS) * target.width;
        double y = (0.02 + 0.96 * (k / POINTS + 0.5) / POINTS) * target.height;
        double u, v, px, py, bend[2] = {0, 0}, d[2] = {0, 0};
        pf_homography_apply(target.h, x, y, &u, &v);
        if (target.bend_px > 0)
            bend_at(target, u, v, bend);
        pf_homography_apply(h, x, y, &px, &py);
        if (field)
            pf_field_at(field, x, y, d);
        double error = hypot(px + d[0] - u - bend[0], py + d[1] - v - bend[1]);
        sum += error;
        most = std::max(most, error);
    }
    *ret_mean = sum / (POINTS * POINTS);
    *ret_most = most;
}

enum { PAIRS = 2 };
struct pairs {
    struct scene target[PAIRS];
    struct pf_cuda_pyramid targets[PAIRS], images[PAIRS];
    double bytes; /* that must be read */
};

static void make_pairs(struct pf_cuda *cuda, struct pairs *pairs, const struct bench &bench,
                       const double h[9], double bend_px, int most)
{
    memset(pairs, 0, sizeof(*pairs));
    for (int i = 0; i < PAIRS; i++) {
        struct scene scene = scene_of(41 + (unsigned)i, bench.width, bench.height);
        reduce_to(cuda, &pairs->images[i], scene, most);
        memcpy(scene.h, h, sizeof(scene.h));
        scene.bend_px = bend_px;
        pairs->target[i] = scene;
        reduce_to(cuda, &pairs->targets[i], scene, most);
    }
    const struct pf_ecc_level *finest = &pairs->targets[0].levels.level[0];
    pairs->bytes = 8.0 * finest->width * finest->height;
}

static void free_pairs(struct pf_cuda *cuda, struct pairs *pairs)
{
    for (int i = 0; i < PAIRS; i++) {
        pf_cuda_pyramid_free(cuda, &pairs->targets[i]);
        pf_cuda_pyramid_free(cuda, &pairs->images[i]);
    }
}

/* What was found of a pair. */
struct finding {
    int pair;
    double h[9];
    struct pf_field *field; /* NULL: none */
};

/* By how much they miss; they are forgotten. Not while the clock runs. */
static double tell(const struct bench &bench, const char *name, const struct pairs *pairs,
                   std::vector<struct finding> *findings)
{
    std::vector<double> mean, most;
    for (struct finding &finding : *findings) {
        double error[2];
        miss(pairs->target[finding.pair], finding.h, finding.field, &error[0], &error[1]);
        mean.push_back(error[0]);
        most.push_back(error[1]);
        pf_field_free(finding.field);
    }
    findings->clear();
    note(&exactness, "| %g | %s | %.3f | %.3f |\n", bench.megapixels, name, median(mean),
         *std::max_element(most.begin(), most.end()));
    return median(mean);
}

/* A level of a pair as its alignment begins there, with room for what its kernels say. */
struct part {
    struct level level;
    struct state state;
    room<struct state> on_device;
    room<double> partial;
};

static struct part part_of(const struct pairs &pairs, int width)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    int number = pf_ecc_level_of_width(&pairs.targets[0].levels, width);
    const struct pf_ecc_level *at = &pairs.targets[0].levels.level[number];
    struct part part = {{}, {}, room<struct state>(1), room<double>(MOST_BLOCKS * MOST_SUMS)};
    struct level *level = &part.level;
    level->target = at->pixels;
    level->image = pairs.images[0].levels.level[number].pixels;
    level->width = level->image_width = at->width;
    level->height = level->image_height = at->height;
    level->target_scale.scale = level->image_scale.scale = at->scale;
    level->target_scale.offset = level->image_scale.offset = at->offset;
    level->frame.centre_x = 0.5 * (at->width - 1);
    level->frame.centre_y = 0.5 * (at->height - 1);
    level->frame.radius = 0.5 * at->width;
    level->motion = PF_MOTION_SIMILARITY;
    level->most_steps = 1;
    level->partial = part.partial;
    level->state = part.on_device;
    memcpy(part.state.h, identity, sizeof(identity));
    memcpy(part.state.warp, identity, sizeof(identity));
    part.state.now = pf_short_warp_of(identity, at->width, at->height);
    return part;
}

/* What a level costs that is not the waiting for it. */
static void time_parts(const struct timing &time, const struct pairs &pairs)
{
    struct pf_cuda *cuda = time.cuda;
    struct part coarse = part_of(pairs, 375), finest = part_of(pairs, PF_ECC_MAX_WIDTH),
                alike = part_of(pairs, PF_LIKENESS_WIDTH);
    auto again = [&](const struct part &part) {
        check(cudaMemcpyAsync(part.level.state, &part.state, sizeof(part.state),
                              cudaMemcpyHostToDevice, time.stream),
              "a level");
    };
    auto pixels = [](const struct part &part) {
        return 8.0 * part.level.width * part.level.height; /* of both pictures, bytes */
    };
    time(
        "ecc: gradients, a step, and a look, on about 375 px", pixels(coarse),
        [&](int) { pf_cuda_ecc_align_level(cuda, &coarse.level, false, false); },
        [&](int) { again(coarse); });
    int columns, rows;
    pf_ecc_block_grid(finest.level.width, finest.level.height, &columns, &rows);
    size_t count = columns > 0 && rows > 0 ? (size_t)columns * (size_t)rows : 0;
    room<struct pf_ecc_block> block(count + 1);
    room<double> sums(count * PF_BLOCK_SUMS + 1);
    const struct level &level = finest.level;
    struct pf_ecc_question question = {level.target,        level.image,
                                       level.width,         level.height,
                                       level.image_width,   level.image_height,
                                       level.state->warp,   &level.state->now,
                                       &level.state->stage, 0,
                                       level.frame,         {block, sums}};
    time(
        "ecc: what blocks ask for, finest level", pixels(finest),
        [&](int) { pf_cuda_ask_blocks(cuda, &question); }, [&](int) { again(finest); });
    time(
        "ecc: a step by blocks, and a look, finest level", pixels(finest),
        [&](int) { pf_cuda_ecc_refine(cuda, &finest.level, &question.blocks, false); },
        [&](int) { again(finest); });
    room<struct pf_likeness_block> seen(
        (size_t)pf_likeness_count(alike.level.width, alike.level.height));
    time(
        "ecc: likeness", pixels(alike),
        [&](int) { pf_cuda_see_likeness(cuda, &alike.level, seen); }, [&](int) { again(alike); });
}

static void time_rigid(const struct timing &time)
{
    struct pf_error err = {};
    double move = time.bench.width / 600.0;
    const double h[9] = {1.002, 0.001, move, -0.001, 1.002, -0.7 * move, 0, 0, 1};
    struct pairs pairs;
    struct pf_cuda_ecc *ecc = NULL;
    make_pairs(time.cuda, &pairs, time.bench, h, 0, PF_ECC_MAX_WIDTH);
    check(pf_cuda_ecc_new(&ecc, time.cuda, &err), err);
    std::vector<struct finding> findings;
    for (int search = 0; search < 2; search++)
        time(
            search ? "ecc, similarity, with a search" : "ecc, similarity", pairs.bytes,
            [&](int i) {
                struct finding found = {i % PAIRS, {1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
                struct pf_ecc_fit fit;
                check(pf_cuda_ecc_align(ecc, &pairs.targets[i % PAIRS], &pairs.images[i % PAIRS],
                                        PF_MOTION_SIMILARITY, search, 0, found.h, &fit, NULL, &err),
                      err);
                findings.push_back(found);
            },
            [](int) {});
    tell(time.bench, "ecc, similarity", &pairs, &findings);
    enum { CELLS = 16 * 16 };
    room<float> bends(CELLS);
    const struct pf_ecc_level *finest = &pairs.targets[0].levels.level[0];
    time(
        "bends of a picture of light", 4.0 * finest->width * finest->height,
        [&](int i) {
            pf_cuda_measure_bends(time.cuda, &pairs.targets[i % PAIRS].levels.level[0], 16, bends);
        },
        [&](int i) { time.poison(bends, CELLS * sizeof(float), i); });
    time_parts(time, pairs);
    pf_cuda_ecc_free(ecc);
    free_pairs(time.cuda, &pairs);
}

static void time_deformation(const struct timing &time)
{
    static const char *const names[] = {"flow", "bspline", "syn"};
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct pf_error err = {};
    struct pairs pairs;
    struct pf_cuda_deform *deform = NULL;
    make_pairs(time.cuda, &pairs, time.bench, identity, std::max(1.5, time.bench.width / 2000.0),
               5000);
    check(pf_cuda_deform_new(&deform, time.cuda, &err), err);
    for (int method = PF_CUDA_FLOW; method <= PF_CUDA_SYN; method++) {
        struct pf_cuda_deform_options options = {
            (enum pf_cuda_deform_method)method,
            std::max(time.bench.width, time.bench.height) / 20.0, 0};
        std::vector<struct finding> findings;
        bool all = true;
        double ms = time_queue(
            time.stream, std::min(runs, 7),
            [&](int i) {
                struct pf_warp start = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
                struct finding found = {i % PAIRS, {1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
                struct pf_cuda_deform_report report;
                int r =
                    pf_cuda_deform_run(deform, &pairs.targets[i % PAIRS], &pairs.images[i % PAIRS],
                                       &start, &options, &found.field, &report, &err);
                if (r == -ENODATA) { /* a finding, and no end of the table */
                    all = false;
                    pf_error_clear(&err);
                    return;
                }
                check(r, err);
                findings.push_back(found);
            },
            [](int) {});
        say(time.bench, names[method], ms, pairs.bytes);
        double error = INFINITY;
        if (all)
            error = tell(time.bench, names[method], &pairs, &findings);
        else
            note(&exactness, "| %g | %s | nothing found | – |\n", time.bench.megapixels,
                 names[method]);
        if (method == PF_CUDA_BSPLINE && time.bench.marks_of >= LEAST_MARKED_MP)
            judge_result(time.bench, "bspline, mean error", "px", false, MOST_BSPLINE_PX, error);
        for (const struct finding &finding : findings)
            pf_field_free(finding.field);
    }
    pf_cuda_deform_free(deform);
    free_pairs(time.cuda, &pairs);
}

void time_alignment(const struct timing &time)
{
    time_rigid(time);
    time_deformation(time);
}
