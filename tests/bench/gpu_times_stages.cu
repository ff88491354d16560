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
        "gather, level 1", 9 * cells / 4,
        [&](int i) {
            pf_cuda_gather(cuda, out, share(i), &quarter, share(i + 1), &eighth, weighing.around);
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
            covered ? "gather and weigh, finest"
                    : "gather and weigh, finest, of a frame that moved",
            19 * cells,
            [&](int i) {
                struct pf_cuda_weigh job = {};
                job.cells = half;
                job.share = share(i);
                job.coarse = share(i + 1);
                job.coarse_cells = quarter;
                job.coarse_share = weighing.finest;
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

void time_stages(const struct bench &bench, struct pf_cuda *cuda)
{
    struct timing timing = {bench, cuda, cuda->lane[PF_CUDA_WORK]};
    {
        struct inputs inputs = make_inputs(bench);
        time_pixels(timing, inputs);
        time_weights(timing, inputs);
    }
    time_alignment(timing);
}
