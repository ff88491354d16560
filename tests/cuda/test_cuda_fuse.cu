/* The kernels of the fusing pipeline against the CPU's, which are the plain C reference. Pyramids are
 * integers and must be the same; where arithmetic is floating point, the device may fuse a multiply
 * into an add and has other logarithms, and the tolerance says what that can come to. */
#include "tests/cuda/device_test.h"

#include <stdlib.h>

extern "C" {
#include "process/cpu/kernels.h"
}
#include "process/cuda/fuse.h"
#include "process/cuda/queue.h"

struct size {
    int width, height;
};
static const struct size sizes[] = {{1, 1}, {2, 3}, {5, 2}, {33, 17}, {96, 64}, {131, 75}};
enum { SIZES = sizeof(sizes) / sizeof(*sizes) };

static struct pf_cuda *new_queue(void)
{
    struct pf_cuda *cuda = NULL;
    struct pf_error err = {};
    CHECK_OK(pf_cuda_new(&cuda, &err), &err);
    return cuda;
}

static void finish(struct pf_cuda *cuda)
{
    struct pf_error err = {};
    CHECK_OK(pf_cuda_wait(cuda, &err), &err);
    pf_cuda_free(cuda);
}

static unsigned random_state = 1;
static unsigned next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static int half(int size)
{
    return (size + 1) / 2;
}

static int clamped(int value, int count)
{
    return value < 0 ? 0 : value >= count ? count - 1 : value;
}

static struct pf_cuda_grid grid_of(int width, int height)
{
    struct pf_cuda_grid grid = {width, height, (width + 7) / 8 * 8};
    return grid;
}

static size_t room(const struct pf_cuda_grid *grid)
{
    return (size_t)grid->pitch * (size_t)grid->height;
}

/* A plane of the engine: the host's rows lie as the device's do. */
struct plane {
    struct pf_cuda_grid size;
    int16_t *host;
    struct pf_cuda_planes on_device;
};

static struct plane new_plane(int width, int height)
{
    struct plane plane = {grid_of(width, height), NULL, {}};
    plane.host = (int16_t *)malloc(room(&plane.size) * sizeof(int16_t));
    for (size_t i = 0; i < room(&plane.size); i++)
        plane.host[i] = (int16_t)(next_random() % PF_WHITE);
    plane.on_device.count = 1;
    plane.on_device.size = plane.size;
    plane.on_device.samples[0] = device_copy(plane.host, room(&plane.size));
    return plane;
}

static void free_plane(struct plane *plane)
{
    GPU(cudaFree(plane->on_device.samples[0]));
    free(plane->host);
}

static const int16_t *row_of(const struct plane *plane, int y)
{
    return plane->host + (size_t)clamped(y, plane->size.height) * plane->size.pitch;
}

/* Fails unless the device's plane is the host's, within `most`. */
static void check_plane(const struct plane *plane, int most, const char *what)
{
    size_t count = room(&plane->size);
    int16_t *got = (int16_t *)malloc(count * sizeof(*got));
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(got, plane->on_device.samples[0], count * sizeof(*got), cudaMemcpyDeviceToHost));
    for (int y = 0; y < plane->size.height; y++)
        for (int x = 0; x < plane->size.width; x++) {
            size_t at = (size_t)y * plane->size.pitch + x;
            if (abs(got[at] - plane->host[at]) > most)
                FAIL("%s, %d x %d: %d at %d, %d where %d is right", what, plane->size.width,
                     plane->size.height, got[at], x, y, plane->host[at]);
        }
    free(got);
}

static float *random_floats(size_t count, float low, float high)
{
    float *values = (float *)malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = low + (high - low) * (float)(next_random() % 100000) / 100000;
    return values;
}

static void check_floats(const float *device, const float *right, const struct pf_cuda_grid *grid,
                         float most, const char *what)
{
    size_t count = room(grid);
    float *got = (float *)malloc(count * sizeof(*got));
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(got, device, count * sizeof(*got), cudaMemcpyDeviceToHost));
    for (int y = 0; y < grid->height; y++)
        for (int x = 0; x < grid->width; x++) {
            size_t at = (size_t)y * grid->pitch + x;
            if (!(fabsf(got[at] - right[at]) <= most * (1 + fabsf(right[at]))))
                FAIL("%s, %d x %d: %g at %d, %d where %g is right", what, grid->width, grid->height,
                     got[at], x, y, right[at]);
        }
    free(got);
}

/* ---- decoded planes ---- */

struct decoded {
    struct pf_source_plane host, device;
};

static struct decoded new_decoded(int width, int height, int bits, bool chroma, float gain)
{
    struct decoded plane;
    size_t stride = ((size_t)width * bits / 8 + 15) / 16 * 16;
    uint8_t *bytes = (uint8_t *)malloc(stride * height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            unsigned value = next_random() % 65536;
            if (bits == 8)
                bytes[y * stride + x] = (uint8_t)(value >> 8);
            else
                ((uint16_t *)(bytes + y * stride))[x] = (uint16_t)value;
        }
    plane.host.samples = bytes;
    plane.host.stride_bytes = stride;
    plane.host.width = width;
    plane.host.height = height;
    plane.host.bits = bits;
    plane.host.scale = PF_WHITE / (bits == 8 ? 255.0f : 65535.0f) * gain;
    plane.host.offset = chroma ? (bits == 8 ? 128.0f : 32768.0f) : 0;
    plane.device = plane.host;
    plane.device.samples = device_copy(bytes, stride * height);
    return plane;
}

static void free_decoded(struct decoded *plane)
{
    GPU(cudaFree((void *)plane->device.samples));
    free((void *)plane->host.samples);
}

static const struct pf_kernels *reference(void)
{
    const struct pf_kernels *kernels = pf_kernels(0);
    while (pf_kernels(1) && kernels == pf_kernels(0))
        kernels = pf_kernels(1); /* the plain one */
    return kernels;
}

static struct pf_cuda_map map_of(const double h[9])
{
    struct pf_cuda_map map = {};
    memcpy(map.h, h, sizeof(map.h));
    map.here.scale_x = map.here.scale_y = map.there.scale_x = map.there.scale_y = 1;
    return map;
}

TEST(cuda_warp_is_the_cpus)
{
    /* A unit of the engine is a 128th of a grey level. The map is followed in float on both sides, and
     * on random samples, the worst there are, a position off by 1e-5 is worth a few units. */
    const double maps[][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                              {1, 0, 3.25, 0, 1, -1.625, 0, 0, 1},
                              {0.97, 0.05, 2, -0.05, 0.97, 4, 0, 0, 1},
                              {1.4, 0.3, -8, -0.2, 0.8, 5, 1e-4, -2e-4, 1},
                              {1, 0, 5000, 0, 1, -3000, 0, 0, 1}};
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++)
            for (int kind = 0; kind < 5; kind++) {
                bool bicubic = kind == 4;
                take_order(order);
                struct pf_cuda *cuda = new_queue();
                struct decoded source = new_decoded(sizes[i].width, sizes[i].height,
                                                    kind & 1 ? 16 : 8, kind & 2, kind ? 1.1f : 1);
                struct plane out = new_plane(sizes[i].width, sizes[i].height);
                const struct pf_kernels *kernels = reference();
                source.host.bicubic = bicubic;
                float *table = device_copy(bicubic ? &pf_bicubic[0][0] : &pf_lanczos[0][0],
                                           sizeof(pf_lanczos) / sizeof(pf_lanczos[0][0]));
                for (int y = 0; y < out.size.height; y++)
                    kernels->convert_row(out.host + (size_t)y * out.size.pitch, out.size.width, y,
                                         &source.host);
                pf_cuda_warp(cuda, &out.on_device, &source.device, NULL, table);
                check_plane(&out, 1, "conversion");
                for (size_t m = 0; m < sizeof(maps) / sizeof(maps[0]); m++) {
                    for (int y = 0; y < out.size.height; y += PF_WARP_ROWS)
                        kernels->warp_rows(out.host + (size_t)y * out.size.pitch,
                                           (size_t)out.size.pitch, out.size.width, y,
                                           std::min(PF_WARP_ROWS, out.size.height - y), maps[m],
                                           &source.host);
                    struct pf_cuda_map map = map_of(maps[m]);
                    pf_cuda_warp(cuda, &out.on_device, &source.device, &map, table);
                    check_plane(&out, m == 3 ? 40 : 12, "warp");
                }
                GPU(cudaFree(table));
                free_plane(&out);
                free_decoded(&source);
                finish(cuda);
            }
}

static int cell_start(int cell, int cells, int length)
{
    return (int)((int64_t)cell * length / cells);
}

TEST(cuda_focus_measure_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct decoded luma = new_decoded(width, height, i & 1 ? 16 : 8, false, 1);
            const size_t count = PF_CUDA_CELLS * PF_CUDA_CELLS;
            struct pf_cuda_cell *got = (struct pf_cuda_cell *)malloc(count * sizeof(*got));
            struct pf_cuda_cell *device = device_copy<struct pf_cuda_cell>(NULL, count);
            pf_cuda_measure(cuda, &luma.device, device);
            GPU(cudaDeviceSynchronize());
            fetch(got, device, count);

            const struct pf_kernels *kernels = reference();
            int16_t *samples = (int16_t *)malloc((size_t)width * height * sizeof(*samples));
            for (int y = 0; y < height; y++)
                kernels->convert_row(samples + (size_t)y * width, width, y, &luma.host);
            for (int cy = 0; cy < PF_CUDA_CELLS; cy++)
                for (int cx = 0; cx < PF_CUDA_CELLS; cx++) {
                    const struct pf_cuda_cell *cell = &got[cy * PF_CUDA_CELLS + cx];
                    int left = cell_start(cx, PF_CUDA_CELLS, width);
                    int right = cell_start(cx + 1, PF_CUDA_CELLS, width);
                    struct pf_focus_sums sums = {};
                    float light = 0;
                    for (int y = cell_start(cy, PF_CUDA_CELLS, height);
                         y < cell_start(cy + 1, PF_CUDA_CELLS, height); y++) {
                        const int16_t *row = samples + (size_t)y * width;
                        light += kernels->light_sum(row + left, right - left);
                        const int16_t *rows[3] = {row - width, row, row + width};
                        int from = left < 1 ? 1 : left, to = right < width - 1 ? right : width - 1;
                        if (y > 0 && y < height - 1 && from < to)
                            kernels->focus_row(&sums, rows, from, to);
                    }
                    /* Sums of some hundred floats in another order. */
                    double big = sums.modified_laplacian, large = sums.tenengrad;
                    CHECK_NEAR(cell->light, light, 1e-5 * (1 + light));
                    CHECK_NEAR(cell->laplacian, sums.laplacian, 1e-5 * (1 + big));
                    CHECK_NEAR(cell->modified_laplacian, big, 1e-5 * (1 + big));
                    CHECK_NEAR(cell->laplacian_squared, sums.laplacian_squared,
                               1e-5 * (1 + sums.laplacian_squared));
                    CHECK_NEAR(cell->tenengrad, large, 1e-5 * (1 + large));
                    CHECK_NEAR(cell->along, sums.along, 1e-5 * (1 + large));
                    CHECK_NEAR(cell->aslant, sums.aslant, 1e-5 * (1 + large));
                }
            free(samples);
            free(got);
            free_decoded(&luma);
            finish(cuda);
        }
}

/* ---- light ---- */

TEST(cuda_light_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++) {
        struct pf_cuda *cuda = new_queue();
        const struct pf_kernels *kernels = reference();
        int width = sizes[i].width, height = sizes[i].height;
        struct decoded luma = new_decoded(width, height, i & 1 ? 16 : 8, false, 1);
        struct pf_cuda_grid fine = {half(width), half(height), half(width)};
        struct pf_cuda_grid coarse = {half(fine.width), half(fine.height), half(fine.width)};
        float *first = (float *)malloc(room(&fine) * sizeof(float));
        float *second = (float *)malloc(room(&coarse) * sizeof(float));
        float *device_first = device_copy<float>(NULL, room(&fine));
        float *device_second = device_copy<float>(NULL, room(&coarse));
        for (int y = 0; y < fine.height; y++)
            kernels->halve_source_row(first + (size_t)y * fine.width, fine.width, y, &luma.host);
        for (int y = 0; y < coarse.height; y++)
            kernels->halve_row(second + (size_t)y * coarse.width, coarse.width,
                               first + (size_t)(2 * y) * fine.width,
                               first + (size_t)clamped(2 * y + 1, fine.height) * fine.width,
                               fine.width);
        pf_cuda_halve_source(cuda, device_first, &luma.device);
        pf_cuda_halve(cuda, device_second, device_first, fine.width, fine.height);
        check_floats(device_first, first, &fine, 2e-6f, "light of a frame");
        check_floats(device_second, second, &coarse, 2e-6f, "halving");
        struct plane samples = new_plane(width, height);
        struct pf_cuda_grid dense = {width, height, width};
        float *light = (float *)malloc(room(&dense) * sizeof(float));
        float *device_light = device_copy<float>(NULL, room(&dense));
        for (int y = 0; y < height; y++)
            kernels->light_row(light + (size_t)y * width, row_of(&samples, y), width);
        pf_cuda_light(cuda, device_light, samples.on_device.samples[0], &samples.size);
        check_floats(device_light, light, &dense, 2e-6f, "light of the stack");
        free_plane(&samples);
        GPU(cudaFree(device_first));
        GPU(cudaFree(device_second));
        GPU(cudaFree(device_light));
        free(first);
        free(second);
        free(light);
        free_decoded(&luma);
        finish(cuda);
    }
}

/* ---- pyramids ---- */

TEST(cuda_reduce_and_modified_laplacian_are_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            struct plane fine = new_plane(sizes[i].width, sizes[i].height);
            struct plane coarse = new_plane(half(sizes[i].width), half(sizes[i].height));
            float *energy = random_floats(room(&coarse.size), 0, 1);
            float *device_energy = device_copy(energy, room(&coarse.size));
            int32_t *scratch = (int32_t *)malloc(((size_t)fine.size.width + 8) * sizeof(int32_t));
            for (int y = 0; y < coarse.size.height; y++) {
                const int16_t *rows[5], *around[4];
                for (int k = 0; k < 5; k++)
                    rows[k] = row_of(&fine, 2 * y - 2 + k);
                for (int k = 0; k < 4; k++)
                    around[k] = row_of(&fine, 2 * y - 1 + k);
                kernels->reduce_row(coarse.host + (size_t)y * coarse.size.pitch, coarse.size.width,
                                    rows, fine.size.width, scratch);
                kernels->modified_laplacian_row(energy + (size_t)y * coarse.size.pitch,
                                                coarse.size.width, around, fine.size.width);
            }
            pf_cuda_reduce(cuda, &fine.on_device, &coarse.on_device, device_energy);
            check_plane(&coarse, 0, "reduce");
            check_floats(device_energy, energy, &coarse.size, 0, "modified Laplacian");
            GPU(cudaFree(device_energy));
            free(scratch);
            free(energy);
            free_plane(&fine);
            free_plane(&coarse);
            finish(cuda);
        }
}

/* Row y's shares at the samples of a plane, as pf_weights_row() has them. */
static void shares_at(float *out, const float *shares, const struct pf_cuda_grid *cells, int count,
                      int y, int factor)
{
    int upper = factor == 2 ? (y & 1 ? y / 2 : y / 2 - 1) : y, lower = factor == 2 ? upper + 1 : y;
    reference()->alpha_row(out, count,
                           shares + (size_t)clamped(upper, cells->height) * cells->pitch,
                           shares + (size_t)clamped(lower, cells->height) * cells->pitch,
                           factor == 1 ? 0
                           : y & 1     ? 0.25f
                                       : 0.75f,
                           cells->width, factor);
}

TEST(cuda_blends_are_the_cpus)
{
    /* The mean is rounded to a unit: where it lies between two, either is right. */
    for (int i = 0; i < SIZES; i++)
        for (int factor = 1; factor <= 2; factor++) {
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane fine = new_plane(width, height), average = new_plane(width, height);
            struct plane coarse = new_plane(half(width), half(height));
            struct pf_cuda_grid cells =
                factor == 2 ? grid_of(half(width), half(height)) : grid_of(width, height);
            float *shares = random_floats(room(&cells), 0, 1);
            float *device_shares = device_copy(shares, room(&cells));
            float *alpha = (float *)malloc((size_t)width * sizeof(float));
            int32_t *expanded = (int32_t *)malloc(((size_t)width + 16) * sizeof(int32_t));
            int32_t *scratch = (int32_t *)malloc(((size_t)width + 16) * sizeof(int32_t));
            for (int y = 0; y < height; y++) {
                const int16_t *rows[3];
                for (int k = 0; k < 3; k++)
                    rows[k] = row_of(&coarse, clamped(y / 2 - 1 + k, coarse.size.height));
                shares_at(alpha, shares, &cells, width, y, factor);
                kernels->expand_row(expanded, width, rows, coarse.size.width, y & 1, scratch);
                kernels->blend_laplacian_row(average.host + (size_t)y * average.size.pitch,
                                             row_of(&fine, y), expanded, alpha, width);
            }
            pf_cuda_blend_laplacian(cuda, &average.on_device, &fine.on_device, &coarse.on_device,
                                    device_shares, &cells, factor, factor);
            check_plane(&average, 1, "blend of a Laplacian level");
            GPU(cudaMemcpy(average.on_device.samples[0], average.host,
                           room(&average.size) * sizeof(int16_t), cudaMemcpyHostToDevice));
            for (int y = 0; y < height; y++) {
                shares_at(alpha, shares, &cells, width, y, factor);
                kernels->blend_row(average.host + (size_t)y * average.size.pitch, row_of(&fine, y),
                                   alpha, width);
            }
            pf_cuda_blend(cuda, &average.on_device, &fine.on_device, device_shares, &cells, factor,
                          factor);
            check_plane(&average, 1, "blend");
            GPU(cudaFree(device_shares));
            free(shares);
            free(alpha);
            free(expanded);
            free(scratch);
            free_plane(&fine);
            free_plane(&average);
            free_plane(&coarse);
            finish(cuda);
        }
}

TEST(cuda_collapse_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++) {
        struct pf_cuda *cuda = new_queue();
        const struct pf_kernels *kernels = reference();
        int width = sizes[i].width, height = sizes[i].height;
        struct plane detail = new_plane(width, height),
                     coarse = new_plane(half(width), half(height));
        int32_t *expanded = (int32_t *)malloc(((size_t)width + 16) * sizeof(int32_t));
        int32_t *scratch = (int32_t *)malloc(((size_t)width + 16) * sizeof(int32_t));
        for (int y = 0; y < height; y++) {
            const int16_t *rows[3];
            for (int k = 0; k < 3; k++)
                rows[k] = row_of(&coarse, clamped(y / 2 - 1 + k, coarse.size.height));
            int16_t *row = detail.host + (size_t)y * detail.size.pitch;
            kernels->expand_row(expanded, width, rows, coarse.size.width, y & 1, scratch);
            kernels->collapse_row(row, row, expanded, width, 0, PF_WHITE);
        }
        pf_cuda_collapse(cuda, &detail.on_device, &detail.on_device, &coarse.on_device, 0,
                         PF_WHITE);
        check_plane(&detail, 0, "collapse");
        free(expanded);
        free(scratch);
        free_plane(&detail);
        free_plane(&coarse);
        finish(cuda);
    }
}

/* ---- weights ---- */

/* Logarithms are good to 2e-6 on the CPU; sums over levels and the power of 12 make 1e-4 of it. */
TEST(cuda_evidence_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            struct pf_cuda_evidence job = {};
            job.cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            size_t count = room(&job.cells);
            int width = job.cells.width, height = job.cells.height;
            job.reach = 1 + i;
            float sum = 0;
            for (int k = 0; k <= 2 * job.reach; k++)
                sum += job.taps[k] = expf(-0.1f * (k - job.reach) * (k - job.reach));
            for (int k = 0; k <= 2 * job.reach; k++)
                job.taps[k] /= sum;
            job.noise_share = 0.3f;
            job.least_share = 0.3f * 1.3f;
            job.floor = 1.5f;
            job.counts = 0.7f;
            float *raw = random_floats(count, 0, 12);
            float *evidence = (float *)malloc(count * sizeof(float));
            struct pf_cuda_noise noise = {1.7f, 1.1f};
            job.raw = device_copy(raw, count);
            job.noise = device_copy(&noise, 1);
            job.evidence = device_copy<float>(NULL, count);
            pf_cuda_evidence(cuda, &job);

            float *line = (float *)malloc((width + 2 * PF_CUDA_MOST_REACH) * sizeof(float));
            float *padded = line + PF_CUDA_MOST_REACH;
            for (int y = 0; y < height; y++) {
                const float *rows[2 * PF_CUDA_MOST_REACH + 1];
                size_t at = (size_t)y * job.cells.pitch;
                for (int k = 0; k <= 2 * job.reach; k++)
                    rows[k] = raw + (size_t)clamped(y - job.reach + k, height) * job.cells.pitch;
                kernels->filter_rows(padded, rows, job.taps, 2 * job.reach + 1, width);
                for (int k = 1; k <= job.reach; k++) {
                    padded[-k] = padded[0];
                    padded[width - 1 + k] = padded[width - 1];
                }
                kernels->filter_row(evidence + at, padded, job.taps, 2 * job.reach + 1, width);
                kernels->evidence_row(evidence + at, width, job.noise_share * noise.frame,
                                      job.least_share * noise.reference, job.floor, job.counts);
            }
            check_floats(job.evidence, evidence, &job.cells, 1e-5f, "evidence");
            GPU(cudaFree((void *)job.raw));
            GPU(cudaFree((void *)job.noise));
            GPU(cudaFree(job.evidence));
            free(raw);
            free(evidence);
            free(line);
            finish(cuda);
        }
}

/* A coarse grid laid over row y of a finer one, by the CPU. */
static void gather_cpu(float *row, const struct pf_cuda_grid *cells, const float *coarse,
                       const struct pf_cuda_grid *coarse_cells, float share, int y)
{
    int near = y / 2, far = clamped(y & 1 ? near + 1 : near - 1, coarse_cells->height);
    reference()->gather_row(row, cells->width, coarse + (size_t)near * coarse_cells->pitch,
                            coarse + (size_t)far * coarse_cells->pitch, y & 1 ? 0.375f : 0.125f,
                            share, coarse_cells->width);
}

TEST(cuda_sums_over_levels_are_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            struct pf_cuda_sums job = {};
            job.fine_cells = grid_of(sizes[i].width, sizes[i].height);
            job.cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            job.coarse_cells = grid_of(half(job.cells.width), half(job.cells.height));
            size_t count = room(&job.cells);
            int width = job.cells.width, height = job.cells.height;
            float *finest = random_floats(room(&job.fine_cells), 0, 8);
            float *evidence = random_floats(count, 0, 8), *most = random_floats(count, 4, 14);
            float *coarse = random_floats(room(&job.coarse_cells), 0, 20);
            float *halved = (float *)calloc(count, sizeof(float));
            float *spread = (float *)calloc(count, sizeof(float));
            job.finest = device_copy(finest, room(&job.fine_cells));
            job.coarse = device_copy(coarse, room(&job.coarse_cells));
            job.evidence = device_copy(evidence, count);
            struct plane light = new_plane(width, height);
            int16_t *most_light = (int16_t *)calloc(count, sizeof(int16_t));
            struct pf_cuda_most device_most = {job.cells, device_copy(most, count),
                                               device_copy(most_light, count)};
            float *device_halved = device_copy<float>(NULL, count);
            float *device_spread = device_copy<float>(NULL, count);
            pf_cuda_see_most(cuda, &device_most, job.evidence, job.finest, &job.fine_cells,
                             light.on_device.samples[0], light.size.pitch);
            pf_cuda_sums(cuda, &job);
            pf_cuda_halve_cells(cuda, device_halved, &job.cells, job.finest, &job.fine_cells);
            pf_cuda_gather(cuda, device_spread, NULL, &job.cells, job.coarse, &job.coarse_cells,
                           0.3f);

            for (int y = 0; y < height; y++) {
                size_t at = (size_t)y * job.cells.pitch;
                const float *upper = finest + (size_t)(2 * y) * job.fine_cells.pitch;
                const float *lower = finest + (size_t)clamped(2 * y + 1, job.fine_cells.height) *
                                                  job.fine_cells.pitch;
                kernels->add_halved_row(evidence + at, width, upper, lower, job.fine_cells.width);
                kernels->add_halved_row(halved + at, width, upper, lower, job.fine_cells.width);
                for (int x = 0; x < width; x++) {
                    if (evidence[at + x] > most[at + x])
                        most_light[at + x] = row_of(&light, y)[x];
                    most[at + x] = fmaxf(most[at + x], evidence[at + x]);
                }
                gather_cpu(evidence + at, &job.cells, coarse, &job.coarse_cells, 1, y);
                gather_cpu(spread + at, &job.cells, coarse, &job.coarse_cells, 0.3f, y);
            }
            check_floats(job.evidence, evidence, &job.cells, 1e-5f, "sum of all levels");
            check_floats(device_most.said, most, &job.cells, 1e-5f, "most");
            struct plane lit = {job.cells, most_light, {}};
            lit.on_device.samples[0] = device_most.light;
            check_plane(&lit, 0, "luma where that is");
            check_floats(device_halved, halved, &job.cells, 1e-5f, "means of cells");
            check_floats(device_spread, spread, &job.cells, 1e-5f, "cells laid over");
            void *all[] = {(void *)job.finest, (void *)job.coarse, job.evidence, device_most.said,
                           device_most.light,  device_halved,      device_spread};
            for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
                GPU(cudaFree(all[k]));
            free_plane(&light);
            void *mine[] = {finest, evidence, most, most_light, coarse, halved, spread};
            for (size_t k = 0; k < sizeof(mine) / sizeof(mine[0]); k++)
                free(mine[k]);
            finish(cuda);
        }
}

TEST(cuda_brightness_takes_what_the_cpus_does)
{
    for (int i = 0; i < SIZES; i++) {
        struct pf_cuda *cuda = new_queue();
        int width = sizes[i].width, height = sizes[i].height;
        struct plane light = new_plane(width, height);
        struct pf_cuda_grid cells = grid_of(width, height);
        float *evidence = random_floats(room(&cells), 0, 8);
        float *on_device = device_copy(evidence, room(&cells));
        pf_cuda_spill(cuda, on_device, &cells, light.on_device.samples[0], light.size.pitch, 1.75f);
        for (int y = 0; y < height; y++) {
            const int16_t *rows[3];
            for (int k = 0; k < 3; k++)
                rows[k] = row_of(&light, clamped(y + k - 1, height));
            reference()->spill_row(evidence + (size_t)y * cells.pitch, rows, width, 1.75f);
        }
        check_floats(on_device, evidence, &cells, 1e-4f, "brightness around");
        GPU(cudaFree(on_device));
        free(evidence);
        free_plane(&light);
        finish(cuda);
    }
}

/* What shines from around, smoothed as the CPU's kernels do it. */
static void glare_of_row(const struct plane *light, const struct pf_cuda_glare *job, int y,
                         float *out)
{
    const struct pf_kernels *kernels = reference();
    int width = job->cells.width, taps = 2 * job->reach + 1;
    float *raw = (float *)malloc((size_t)taps * width * sizeof(*raw));
    float *line = (float *)malloc((size_t)(width + taps) * sizeof(*line));
    const float *rows[2 * PF_CUDA_MOST_REACH + 1];
    for (int k = 0; k < taps; k++) {
        kernels->glare_row(raw + (size_t)k * width,
                           row_of(light, clamped(y + k - job->reach, job->cells.height)), width,
                           job->strength);
        rows[k] = raw + (size_t)k * width;
    }
    float *middle = line + job->reach;
    kernels->filter_rows(middle, rows, job->taps, taps, width);
    for (int k = 1; k <= job->reach; k++) {
        middle[-k] = middle[0];
        middle[width - 1 + k] = middle[width - 1];
    }
    kernels->filter_row(out, middle, job->taps, taps, width);
    free(line);
    free(raw);
}

TEST(cuda_glare_takes_what_the_cpus_does)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane light = new_plane(width, height);
            struct pf_cuda_glare job = {};
            job.cells = grid_of(width, height);
            job.light = light.on_device.samples[0];
            job.light_pitch = light.size.pitch;
            job.reach = 3;
            for (int k = 0; k < 7; k++)
                job.taps[k] = 0.25f / (1 + abs(k - 3));
            job.strength = 4;
            job.spill = 1.75f;
            float *evidence = random_floats(room(&job.cells), 0, 8);
            float *on_device = device_copy(evidence, room(&job.cells));
            float *glare = (float *)malloc((size_t)width * sizeof(*glare));
            pf_cuda_spill_finest(cuda, on_device, &job);
            for (int y = 0; y < height; y++) {
                glare_of_row(&light, &job, y, glare);
                reference()->spill_finest_row(evidence + (size_t)y * job.cells.pitch,
                                              row_of(&light, y), glare, width, job.spill);
            }
            check_floats(on_device, evidence, &job.cells, 1e-4f, "light around");
            GPU(cudaFree(on_device));
            free(glare);
            free(evidence);
            free_plane(&light);
            finish(cuda);
        }
}

/* The lamp cells of a picture, one after another, as the reference has them. */
static float near_of(const struct plane *light, const struct pf_cuda_lamps *lamps, int x, int y)
{
    int side = 1 << lamps->level, sum = 0, count = 0;
    for (int v = y * side; v < (y + 1) * side && v < light->size.height; v++)
        for (int u = x * side; u < (x + 1) * side && u < light->size.width; u++, count++)
            sum += reference()->lamp_sum(row_of(light, v) + u, 1);
    float share = (float)sum / ((float)count * PF_LAMP_WHOLE);
    return share / (share + 2e-4f);
}

TEST(cuda_clipped_light_eases_what_is_sharp)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct plane light = new_plane(sizes[i].width, sizes[i].height);
            struct pf_cuda_grid cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            struct pf_cuda_lamps lamps = {};
            lamps.level = 3;
            lamps.cells = grid_of((light.size.width + 7) / 8, (light.size.height + 7) / 8);
            float *near = (float *)calloc(room(&lamps.cells), sizeof(float));
            lamps.near = device_copy(near, room(&lamps.cells));
            pf_cuda_see_lamps(cuda, &lamps, light.on_device.samples[0], &light.size, 2e-4f);
            for (int y = 0; y < lamps.cells.height; y++)
                for (int x = 0; x < lamps.cells.width; x++)
                    near[(size_t)y * lamps.cells.pitch + x] = near_of(&light, &lamps, x, y);
            check_floats(lamps.near, near, &lamps.cells, 1e-5f, "clipped light");

            float *most = random_floats(room(&cells), -2, 4);
            struct plane dark = new_plane(cells.width, cells.height);
            struct pf_cuda_most device_most = {cells, device_copy(most, room(&cells)),
                                               dark.on_device.samples[0]};
            float *sharp = device_copy<float>(NULL, room(&cells));
            struct pf_cuda_nothing nothing = {};
            const float bounds[2] = {1, 2.5f}, near_bounds[2] = {0.25f, 1};
            pf_cuda_sharp(cuda, sharp, &device_most, &nothing, bounds, near_bounds, &lamps);
            for (int y = 0; y < cells.height; y++)
                for (int x = 0; x < cells.width; x++) {
                    /* A cell of these is 2 samples wide, a lamp cell 8. */
                    double px = (x + 0.5) / 4 - 0.5, py = (y + 0.5) / 4 - 0.5, sum = 0;
                    for (int corner = 0; corner < 4; corner++) {
                        int u = (int)floor(px) + (corner & 1), v = (int)floor(py) + corner / 2;
                        double share = (1 - fabs(px - u)) * (1 - fabs(py - v));
                        float around = 0;
                        u = clamped(u, lamps.cells.width);
                        v = clamped(v, lamps.cells.height);
                        for (int k = 0; k < 9; k++)
                            around = fmaxf(around,
                                           near[(size_t)clamped(v + k / 3 - 1, lamps.cells.height) *
                                                    lamps.cells.pitch +
                                                clamped(u + k % 3 - 1, lamps.cells.width)]);
                        sum += share * (double)around;
                    }
                    sum *= (double)pf_darkness(row_of(&dark, y)[x]);
                    float *value = &most[(size_t)y * cells.pitch + x];
                    double from = 1 - 0.75 * sum, to = 2.5 - 1.5 * sum;
                    *value = fminf(fmaxf((float)((*value - from) / (to - from)), 0), 1);
                }
            check_floats(sharp, most, &cells, 1e-4f, "sharp near clipped light");
            void *all[] = {lamps.near, device_most.said, sharp};
            for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
                GPU(cudaFree(all[k]));
            free(near);
            free(most);
            free_plane(&dark);
            free_plane(&light);
            finish(cuda);
        }
}

TEST(cuda_shares_are_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            struct pf_cuda_weigh job = {};
            job.cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            size_t count = room(&job.cells);
            int width = job.cells.width, height = job.cells.height;
            job.power = 12;
            job.index = 7;
            job.no_cover = 1000;
            float *share = random_floats(count, 0, 8);
            float *total = random_floats(count, 20, 90), *best = random_floats(count, 20, 90);
            uint16_t *winner = (uint16_t *)calloc(count, sizeof(uint16_t));
            job.share = device_copy(share, count);
            job.log_total = device_copy(total, count);
            job.best = device_copy(best, count);
            job.winner = device_copy(winner, count);
            /* The frame lies aside: some cells have no picture. */
            const double h[9] = {1, 0.02, 3, -0.02, 1, 1, 0, 0, 1};
            job.map = map_of(h);
            job.scale = 2;
            job.right = 4 * width - 2;
            job.bottom = 4 * height - 2;
            pf_cuda_weigh(cuda, &job);

            float *penalty = (float *)malloc(width * sizeof(float));
            for (int y = 0; y < height; y++) {
                size_t at = (size_t)y * job.cells.pitch;
                for (int x = 0; x < width; x++) {
                    double u = 2 * (2 * x + 0.5), v = 2 * (2 * y + 0.5);
                    double px = h[0] * u + h[1] * v + h[2], py = h[3] * u + h[4] * v + h[5];
                    penalty[x] = px >= 2 && py >= 2 && px <= job.right - 2 && py <= job.bottom - 2
                                     ? 0
                                     : job.no_cover;
                }
                kernels->winner_row(share + at, best + at, winner + at, width, job.power, penalty,
                                    job.index);
                kernels->softmax_row(share + at, total + at, width, job.power, penalty);
            }
            check_floats(job.log_total, total, &job.cells, 1e-4f, "sum of weights");
            check_floats(job.best, best, &job.cells, 1e-4f, "best");
            check_floats(job.share, share, &job.cells, 1e-4f, "share");
            uint16_t *device_winner = (uint16_t *)malloc(count * sizeof(uint16_t));
            GPU(cudaMemcpy(device_winner, job.winner, count * sizeof(uint16_t),
                           cudaMemcpyDeviceToHost));
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++)
                    CHECK_EQ(device_winner[y * job.cells.pitch + x],
                             winner[y * job.cells.pitch + x]);
            void *all[] = {job.share, job.log_total, job.best, job.winner};
            for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
                GPU(cudaFree(all[k]));
            void *mine[] = {share, total, best, winner, penalty, device_winner};
            for (size_t k = 0; k < sizeof(mine) / sizeof(mine[0]); k++)
                free(mine[k]);
            finish(cuda);
        }
}
