/* The stages of the engine one by one; see gpu_times.cu. */
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

/* ---- kernels ----------------------------------------------------------------------------------- */

/* Planes of a frame on the device, and what comes of them, `sets` times. */
struct inputs {
    int sets;
    std::vector<room<uint8_t>> raw;
    std::vector<room<int16_t>> fine, coarse, average;
    std::vector<room<float>> shares; /* of cells of level 0 */
};

struct timing {
    const struct bench &bench;
    struct pf_cuda *cuda;
    cudaStream_t stream;

    template <class Run, class Prepare>
    void operator()(const char *name, double bytes, Run run, Prepare prepare) const
    {
        say(bench, name, time_queue(stream, runs, run, prepare), bytes);
    }
    void poison(void *memory, size_t bytes, int i) const
    {
        check(cudaMemsetAsync(memory, 0xA5 ^ (i & 0x3f), bytes, stream), "poison");
    }
};

static struct pf_source_plane source_of(const uint8_t *samples, int width, int height, bool chroma)
{
    struct pf_source_plane plane = {};
    plane.samples = samples;
    plane.stride_bytes = (size_t)width;
    plane.width = width;
    plane.height = height;
    plane.bits = 8;
    plane.scale = PF_GREY;
    plane.offset = chroma ? 128 : 0;
    return plane;
}

static void upload(uint8_t *to, const struct pf_image *frame)
{
    check(cudaMemcpy2D(to, (size_t)frame->width, frame->plane[0], frame->stride_bytes[0],
                       (size_t)frame->width, (size_t)frame->height, cudaMemcpyHostToDevice),
          "upload");
    check(cudaDeviceSynchronize(), "upload");
}

static size_t of(const struct pf_cuda_grid &grid)
{
    return (size_t)grid.pitch * (size_t)grid.height;
}

static struct pf_cuda_grid half_of(const struct pf_cuda_grid &grid)
{
    return {(grid.width + 1) / 2, (grid.height + 1) / 2, (grid.width + 1) / 2};
}

static struct inputs make_inputs(const struct bench &bench)
{
    struct inputs in;
    size_t pixels = (size_t)bench.width * (size_t)bench.height;
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0), "the GPU");
    in.sets = (int)std::min<size_t>(
        16, std::max<size_t>(2, 3 * (size_t)properties.l2CacheSize / pixels + 1));
    std::vector<float> random((pixels + 3) / 4 + (size_t)bench.width);
    for (int set = 0; set < in.sets; set++) {
        struct pf_image *frame = paint(scene_of(11 + (unsigned)set, bench.width, bench.height), 1);
        in.raw.emplace_back(pixels);
        upload(in.raw[set], frame);
        pf_image_free(frame);
        in.fine.emplace_back(pixels);
        in.average.emplace_back(pixels + 2 * (size_t)bench.width);
        in.coarse.emplace_back(random.size());
        uint32_t state = 77u + (unsigned)set;
        for (float &value : random) {
            state = state * 1664525u + 1013904223u;
            value = (float)(state >> 8) * (1.0f / (1 << 24));
        }
        in.shares.emplace_back(random.size());
        check(cudaMemcpy(in.shares[set], random.data(), random.size() * sizeof(float),
                         cudaMemcpyHostToDevice),
              "upload");
    }
    check(cudaDeviceSynchronize(), "upload");
    return in;
}

static struct pf_cuda_map map_of_motion(void)
{
    struct pf_cuda_map map = {};
    const double h[9] = {1.001, 0.0004, -1.3, -0.0004, 1.001, 2.1, 0, 0, 1};
    memcpy(map.h, h, sizeof(h));
    map.here.scale_x = map.here.scale_y = map.there.scale_x = map.there.scale_y = 1;
    return map;
}

/* Way of a luma plane; chroma planes of a 4:2:0 frame are a quarter of one each. */
static void time_pixels(const struct timing &time, const struct inputs &in)
{
    struct pf_cuda *cuda = time.cuda;
    struct pf_cuda_grid size = {time.bench.width, time.bench.height, time.bench.width};
    struct pf_cuda_grid half = half_of(size), quarter = half_of(half);
    double px = (double)size.width * size.height;
    auto luma = [&](int i) {
        return source_of(in.raw[i % in.sets], size.width, size.height, false);
    };
    auto plane = [&](const std::vector<room<int16_t>> &memory, int i,
                     const struct pf_cuda_grid &grid) {
        struct pf_cuda_planes planes = {1, {memory[i % in.sets], NULL}, grid};
        return planes;
    };
    auto nothing = [](int) {};

    const size_t cell_count = PF_CUDA_CELLS * PF_CUDA_CELLS;
    room<struct pf_cuda_cell> cells(cell_count);
    time(
        "focus measure", px,
        [&](int i) {
            struct pf_source_plane from = luma(i);
            pf_cuda_measure(cuda, &from, cells);
        },
        [&](int i) { time.poison(cells, cell_count * sizeof(struct pf_cuda_cell), i); });
    room<struct pf_cuda_colour> colours(cell_count);
    time(
        "colours of cells", 0,
        [&](int i) {
            const uint8_t *raw = in.raw[i % in.sets];
            struct pf_cuda_frame frame = {};
            frame.luma = frame.cb = frame.cr = raw;
            frame.luma_stride = frame.cb_stride = frame.cr_stride = (size_t)size.width;
            frame.width = size.width;
            frame.height = size.height;
            frame.planes = 3;
            frame.bits = 8;
            frame.shift_x = frame.shift_y = 1;
            pf_cuda_see_colours(cuda, &frame, colours);
        },
        [&](int i) { time.poison(colours, cell_count * sizeof(struct pf_cuda_colour), i); });
    room<float> light(of(half));
    time(
        "light, halved", 2 * px,
        [&](int i) {
            struct pf_source_plane from = luma(i);
            pf_cuda_halve_source(cuda, light, &from);
        },
        [&](int i) { time.poison(light, of(half) * sizeof(float), i); });

    pf_kernels(0); /* fills pf_resampling */
    const struct pf_resampling *resampling = &pf_resampling[0];
    struct pf_cuda_map map = map_of_motion();
    time(
        "warp, luma", 3 * px,
        [&](int i) {
            struct pf_source_plane from = luma(i);
            struct pf_cuda_planes to = plane(in.fine, i, size);
            pf_cuda_warp(cuda, &to, &from, &map, resampling);
        },
        [&](int i) { time.poison(in.fine[i % in.sets], of(size) * sizeof(int16_t), i); });
    time(
        "warp, both chroma planes", 1.5 * px,
        [&](int i) { /* two quarters of what is a luma plane's otherwise */
                     const uint8_t *raw = in.raw[i % in.sets];
                     struct pf_source_plane from[2] = {
                         source_of(raw, half.width, half.height, true),
                         source_of(raw + of(half), half.width, half.height, true)};
                     struct pf_cuda_planes to = {
                         2, {in.average[i % in.sets], in.average[i % in.sets] + of(half)}, half};
                     pf_cuda_warp(cuda, &to, from, &map, resampling);
        },
        [&](int i) { time.poison(in.average[i % in.sets], 2 * of(half) * sizeof(int16_t), i); });
    room<float> energy(of(half));
    time(
        "reduce and energy, finest luma", 3.5 * px,
        [&](int i) {
            struct pf_cuda_planes from = plane(in.fine, i, size), to = plane(in.coarse, i, half);
            pf_cuda_reduce(cuda, &from, &to, energy);
        },
        [&](int i) {
            time.poison(in.coarse[i % in.sets], of(half) * sizeof(int16_t), i);
            time.poison(energy, of(half) * sizeof(float), i);
        });
    time(
        "Laplacian into the stack, finest luma", 7.5 * px,
        [&](int i) {
            struct pf_cuda_planes to = plane(in.average, i, size), from = plane(in.fine, i, size),
                                  below = plane(in.coarse, i, half);
            pf_cuda_blend_laplacian(cuda, &to, &from, &below, in.shares[i % in.sets], &half, 2, 2);
        },
        [&](int i) {
            check(cudaMemsetAsync(in.average[i % in.sets], i, of(size) * sizeof(int16_t),
                                  time.stream),
                  "a stack");
        });
    auto shares = [&](int i, const float *ret[2]) {
        ret[0] = in.shares[i % in.sets];
        ret[1] = in.shares[(i + 1) % in.sets];
    };
    time(
        "blend, both parts of luma (half size)", 3 * px,
        [&](int i) {
            int16_t *average = in.average[i % in.sets];
            struct pf_cuda_planes from = plane(in.coarse, i, half);
            struct pf_cuda_planes to[2] = {{1, {average, NULL}, half},
                                           {1, {average + of(half), NULL}, half}};
            const float *both[2];
            shares(i, both);
            pf_cuda_blend_both(cuda, to, &from, both, &quarter, 2, 2);
        },
        nothing);
    time(
        "blend, both parts of both chroma planes", 5.5 * px,
        [&](int i) {
            int16_t *average = in.average[i % in.sets], *fine = in.fine[i % in.sets];
            struct pf_cuda_planes from = {2, {fine, fine + of(half)}, half};
            struct pf_cuda_planes to[2] = {
                {2, {average, average + of(half)}, half},
                {2, {average + 2 * of(half), average + 3 * of(half)}, half}};
            const float *both[2];
            shares(i, both);
            pf_cuda_blend_both(cuda, to, &from, both, &quarter, 2, 2);
        },
        nothing);
    time(
        "collapse, finest luma", 4.5 * px,
        [&](int i) {
            struct pf_cuda_planes to = plane(in.fine, i, size), from = plane(in.average, i, size),
                                  below = plane(in.coarse, i, half);
            pf_cuda_collapse(cuda, &to, &from, &below, 0, PF_WHITE);
        },
        [&](int i) { time.poison(in.fine[i % in.sets], of(size) * sizeof(int16_t), i); });
}

/* On the cells of level 0, which are a quarter of the pixels, and of level 1. */
static void time_weights(const struct timing &time, const struct inputs &in)
{
    struct pf_cuda *cuda = time.cuda;
    struct pf_cuda_grid size = {time.bench.width, time.bench.height, time.bench.width};
    struct pf_cuda_grid half = half_of(size), quarter = half_of(half), eighth = half_of(quarter);
    double cells = (double)of(half);
    auto share = [&](int i) { return (float *)in.shares[i % in.sets]; };
    auto light = [&](int i) { return (const int16_t *)in.fine[i % in.sets]; };
    auto nothing = [](int) {};
    room<float> out(of(half)), total(of(half)), best(of(half)), near(of(half));
    room<uint16_t> winner(of(half));
    room<int> bins(PF_CUDA_NOISE_BINS + 1);
    room<struct pf_cuda_noise> noise(1);
    check(cudaMemset(noise, 0, sizeof(struct pf_cuda_noise)), "noise");
    auto poison_out = [&](int i) { time.poison(out, of(half) * sizeof(float), i); };
    /* A running total that every frame still adds to. */
    auto empty = [&](int) {
        check(cudaMemsetAsync(total, 0, of(half) * sizeof(float), time.stream), "totals");
        check(cudaMemsetAsync(best, 0, of(half) * sizeof(float), time.stream), "totals");
    };
    struct pf_weighing weighing =
        pf_weighing_for(pf_cpu_fuser(PF_FUSE_PYRAMID)->weighing, size.width, size.height);

    time(
        "noise", 4 * cells,
        [&](int i) { pf_cuda_noise_of(cuda, share(i), &half, PF_MOST_NOISE, bins, noise); },
        nothing);
    time(
        "evidence, finest", 8 * cells,
        [&](int i) {
            struct pf_cuda_evidence job = {};
            job.cells = half;
            job.raw = share(i);
            job.noise = noise;
            job.evidence = out;
            job.reach = pf_weighing_taps(&weighing, 0, job.taps);
            job.noise_share = pf_weighing_noise_share(0);
            job.least_share = weighing.noise * job.noise_share;
            job.floor = pf_weighing_floor(&weighing, 0);
            job.counts = pf_weighing_counts(&weighing, 0);
            pf_cuda_evidence(cuda, &job);
        },
        poison_out);
    time(
        "sums, level 1", (4 + 1 + 1 + 0.25) * cells,
        [&](int i) {
            struct pf_cuda_sums job = {quarter, half, eighth, share(i), share(i + 1), out};
            pf_cuda_sums(cuda, &job);
        },
        nothing);
    time(
        "spill, finest", 10 * cells,
        [&](int i) {
            struct pf_cuda_glare glare = {};
            glare.cells = half;
            glare.light = light(i);
            glare.light_pitch = half.pitch;
            glare.strength = weighing.glare;
            glare.spill = weighing.spill;
            glare.reach = pf_weighing_glare_taps(&weighing, glare.taps);
            pf_cuda_spill_finest(cuda, out, &glare);
        },
        nothing);
    time(
        "gather, finest", 9 * cells,
        [&](int i) {
            pf_cuda_gather(cuda, out, share(i), &half, share(i + 1), &quarter, weighing.finest);
        },
        poison_out);
    struct pf_cuda_lamps lamps = {};
    lamps.level = pf_weights_lamp_level(size.width, size.height);
    int more = (1 << lamps.level) - 1;
    lamps.cells = {(half.width + more) >> lamps.level, (half.height + more) >> lamps.level,
                   (half.width + more) >> lamps.level};
    lamps.near = near;
    time(
        "lamps", 2 * cells,
        [&](int i) { pf_cuda_see_lamps(cuda, &lamps, light(i), &half, weighing.lamp_share); },
        [&](int) {
            check(cudaMemsetAsync(near, 0, of(lamps.cells) * sizeof(float), time.stream), "lamps");
        });
    for (int covered = 1; covered >= 0; covered--)
        time(
            covered ? "weigh, finest" : "weigh, finest, of a frame that moved", 18 * cells,
            [&](int i) {
                struct pf_cuda_weigh job = {};
                job.cells = half;
                job.share = share(i);
                job.log_total = total;
                job.best = best;
                job.winner = winner;
                job.power = 6;
                job.covered = covered;
                job.map = map_of_motion();
                job.scale = 1;
                job.right = size.width - 1;
                job.bottom = size.height - 1;
                job.no_cover = PF_NO_COVER;
                pf_cuda_weigh(cuda, &job);
            },
            empty);
}

/* ---- alignment ---------------------------------------------------------------------------------- */

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

void time_stages(const struct bench &bench, struct pf_cuda *cuda)
{
    struct timing timing = {bench, cuda, cuda->lane[PF_CUDA_WORK]};
    {
        struct inputs inputs = make_inputs(bench);
        time_pixels(timing, inputs);
        time_weights(timing, inputs);
    }
    time_rigid(timing);
    time_deformation(timing);
}
