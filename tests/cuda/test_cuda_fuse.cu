/* The kernels of the fusing pipeline against the CPU's, which are the plain C reference. Pyramids are
 * integers and must be the same; where arithmetic is floating point, the device may fuse a multiply
 * into an add and has other logarithms, and the tolerance says what that can come to. */
#include "tests/cuda/planes.h"

static int cell_start(int cell, int cells, int length)
{
    return (int)((int64_t)cell * length / cells);
}

/* Cells of more columns than partial sums, of more rows than a warp has, and those of the other sizes. */
TEST(cuda_focus_measure_is_the_cpus)
{
    static const struct size more[] = {{641, 135}, {70, 300}};
    for (int i = 0; i < SIZES + 2; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct size size = i < SIZES ? sizes[i] : more[i - SIZES];
            int width = size.width, height = size.height;
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

TEST(cuda_colours_are_those_that_the_cpu_sees)
{
    static const struct size more[] = {{641, 135}, {1300, 70}};
    for (int i = 0; i < SIZES + 2; i++)
        for (int kind = 0; kind < 4; kind++) {
            take_order((i + kind) % order_count());
            struct size size = i < SIZES ? sizes[i] : more[i - SIZES];
            struct pf_cuda *cuda = new_queue();
            struct pf_error err = {};
            struct pf_image *image = NULL;
            int planes = kind ? 3 : 1, shift_x = kind > 1, shift_y = kind == 2;
            int bits = (i + kind) % 2 ? 16 : 8;
            CHECK_OK(
                pf_image_new(&image, size.width, size.height, bits, planes, shift_x, shift_y, &err),
                &err);
            uint8_t *on_device[3] = {NULL, NULL, NULL};
            for (int p = 0; p < planes; p++) {
                size_t bytes = image->stride_bytes[p] * (size_t)pf_image_plane_height(image, p);
                for (size_t b = 0; b < bytes; b++)
                    ((uint8_t *)image->plane[p])[b] =
                        (uint8_t)(p ? 100 + next_random() % 56 : 40 + next_random() % 200);
                on_device[p] = device_copy((const uint8_t *)image->plane[p], bytes);
            }
            struct pf_cuda_frame frame = {on_device[0],
                                          on_device[1],
                                          on_device[2],
                                          image->stride_bytes[0],
                                          image->stride_bytes[1],
                                          image->stride_bytes[2],
                                          size.width,
                                          size.height,
                                          planes,
                                          bits,
                                          shift_x,
                                          shift_y};
            const size_t count = PF_CUDA_CELLS * PF_CUDA_CELLS;
            struct pf_cuda_colour *got = (struct pf_cuda_colour *)malloc(count * sizeof(*got));
            struct pf_cuda_colour *device = device_copy<struct pf_cuda_colour>(NULL, count);
            pf_cuda_see_colours(cuda, &frame, device);
            GPU(cudaDeviceSynchronize());
            fetch(got, device, count);
            static struct pf_light_grid grid;
            pf_light_see(&grid, image);
            for (size_t k = 0; k < count; k++) {
                size_t y = k / PF_CUDA_CELLS, x = k % PF_CUDA_CELLS;
                for (int c = 0; c < 3; c++)
                    CHECK_NEAR(got[k].light[c], grid.cell[PF_LIGHT_RED + c][y][x], 2e-6);
                if (fabsf(got[k].peak - PF_LIGHT_CLIPPED) > 1e-6f)
                    CHECK_EQ(got[k].peak > PF_LIGHT_CLIPPED, grid.clipped[y][x]);
            }
            free(got);
            for (int p = 0; p < planes; p++)
                GPU(cudaFree(on_device[p]));
            pf_image_free(image);
            finish(cuda);
        }
}

TEST(cuda_light_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
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
                kernels->halve_source_row(first + (size_t)y * fine.width, fine.width, y,
                                          &luma.host);
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

static void reduce_cpu(struct plane *coarse, const struct plane *fine)
{
    int32_t *scratch = (int32_t *)malloc(((size_t)fine->size.width + 8) * sizeof(int32_t));
    for (int y = 0; y < coarse->size.height; y++) {
        const int16_t *rows[5];
        for (int k = 0; k < 5; k++)
            rows[k] = row_of(fine, 2 * y - 2 + k);
        reference()->reduce_row(coarse->host + (size_t)y * coarse->size.pitch, coarse->size.width,
                                rows, fine->size.width, scratch);
    }
    free(scratch);
}

/* Both planes of colour. */
static struct pf_cuda_planes pair_of(const struct plane *first, const struct plane *second)
{
    struct pf_cuda_planes pair = first->on_device;
    pair.count = 2;
    pair.samples[1] = second->on_device.samples[0];
    return pair;
}

TEST(cuda_reduce_and_modified_laplacian_are_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane fine = new_plane(width, height), more = new_plane(width, height);
            struct plane coarse = new_plane(half(width), half(height));
            struct plane other = new_plane(half(width), half(height));
            float *energy = random_floats(room(&coarse.size), 0, 1);
            float *device_energy = device_copy(energy, room(&coarse.size));
            for (int y = 0; y < coarse.size.height; y++) {
                const int16_t *around[4];
                for (int k = 0; k < 4; k++)
                    around[k] = row_of(&fine, 2 * y - 1 + k);
                reference()->modified_laplacian_row(energy + (size_t)y * coarse.size.pitch,
                                                    coarse.size.width, around, fine.size.width);
            }
            pf_cuda_reduce(cuda, &fine.on_device, &coarse.on_device, device_energy);
            reduce_cpu(&coarse, &fine);
            check_plane(&coarse, 0, "reduce");
            check_floats(device_energy, energy, &coarse.size, 0, "modified Laplacian");
            struct pf_cuda_planes from = pair_of(&more, &fine), to = pair_of(&coarse, &other);
            pf_cuda_reduce(cuda, &from, &to, NULL);
            reduce_cpu(&coarse, &more);
            reduce_cpu(&other, &fine);
            check_plane(&coarse, 0, "reduce of the first of two");
            check_plane(&other, 0, "reduce of the second of two");
            GPU(cudaFree(device_energy));
            free(energy);
            struct plane *all[] = {&fine, &more, &coarse, &other};
            for (int k = 0; k < 4; k++)
                free_plane(all[k]);
            finish(cuda);
        }
}

/* How many samples of a plane share a cell, of a row and of a column. */
struct factors {
    int x, y;
};

/* Row y's shares at the samples of a plane, as pf_weights_row() has them. */
static void shares_at(float *out, const float *shares, const struct pf_cuda_grid *cells, int count,
                      int y, struct factors factors)
{
    int upper = factors.y == 2 ? (y & 1 ? y / 2 : y / 2 - 1) : y;
    int lower = factors.y == 2 ? upper + 1 : y;
    reference()->alpha_row(out, count,
                           shares + (size_t)clamped(upper, cells->height) * cells->pitch,
                           shares + (size_t)clamped(lower, cells->height) * cells->pitch,
                           factors.y == 1 ? 0
                           : y & 1        ? 0.25f
                                          : 0.75f,
                           cells->width, factors.x);
}

/* Row y of a coarser level, as it is expanded; scratch holds as much as `out`. */
static void expand_cpu(int32_t *out, int count, const struct plane *coarse, int y, int32_t *scratch)
{
    const int16_t *rows[3];
    for (int k = 0; k < 3; k++)
        rows[k] = row_of(coarse, clamped(y / 2 - 1 + k, coarse->size.height));
    reference()->expand_row(out, count, rows, coarse->size.width, y & 1, scratch);
}

/* coarse: NULL where the samples themselves are blended. */
static void blend_cpu(struct plane *average, const struct plane *fine, const struct plane *coarse,
                      const float *shares, const struct pf_cuda_grid *cells, struct factors factors)
{
    int width = fine->size.width;
    float *alpha = (float *)malloc((size_t)width * sizeof(float));
    int32_t *expanded = (int32_t *)malloc(2 * ((size_t)width + 16) * sizeof(int32_t));
    for (int y = 0; y < fine->size.height; y++) {
        int16_t *row = average->host + (size_t)y * average->size.pitch;
        shares_at(alpha, shares, cells, width, y, factors);
        if (coarse) {
            expand_cpu(expanded, width, coarse, y, expanded + width + 16);
            reference()->blend_laplacian_row(row, row_of(fine, y), expanded, alpha, width);
        } else {
            reference()->blend_row(row, row_of(fine, y), alpha, width);
        }
    }
    free(alpha);
    free(expanded);
}

/* The device begins where the host is. */
static void bring(const struct plane *plane)
{
    GPU(cudaMemcpy(plane->on_device.samples[0], plane->host, room(&plane->size) * sizeof(int16_t),
                   cudaMemcpyHostToDevice));
    GPU(cudaDeviceSynchronize()); /* as device_copy() */
}

TEST(cuda_blends_are_the_cpus)
{
    /* The mean is rounded to a unit: where it lies between two, either is right. */
    static const struct factors all_factors[] = {{1, 1}, {2, 2}, {1, 2}, {2, 1}};
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct factors factors = all_factors[kind % 4];
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane fine = new_plane(width, height), more = new_plane(width, height);
            struct plane average = new_plane(width, height), other = new_plane(width, height);
            struct plane coarse = new_plane(half(width), half(height));
            struct plane beside = new_plane(half(width), half(height));
            struct pf_cuda_grid cells = grid_of(factors.x == 2 ? half(width) : width,
                                                factors.y == 2 ? half(height) : height);
            float *shares = random_floats(room(&cells), 0, 1);
            float *device_shares = device_copy(shares, room(&cells));
            pf_cuda_blend_laplacian(cuda, &average.on_device, &fine.on_device, &coarse.on_device,
                                    device_shares, &cells, factors.x, factors.y);
            blend_cpu(&average, &fine, &coarse, shares, &cells, factors);
            check_plane(&average, 1, "blend of a Laplacian level");
            bring(&average);
            pf_cuda_blend(cuda, &average.on_device, &fine.on_device, device_shares, &cells,
                          factors.x, factors.y);
            blend_cpu(&average, &fine, NULL, shares, &cells, factors);
            check_plane(&average, 1, "blend");
            /* Two planes at once, of the same shares. */
            struct pf_cuda_planes to = pair_of(&average, &other), from = pair_of(&more, &fine);
            struct pf_cuda_planes less = pair_of(&coarse, &beside);
            bring(&average);
            pf_cuda_blend_laplacian(cuda, &to, &from, &less, device_shares, &cells, factors.x,
                                    factors.y);
            blend_cpu(&average, &more, &coarse, shares, &cells, factors);
            blend_cpu(&other, &fine, &beside, shares, &cells, factors);
            check_plane(&average, 1, "blend of the first of two Laplacian levels");
            check_plane(&other, 1, "blend of the second of two Laplacian levels");
            bring(&average);
            bring(&other);
            pf_cuda_blend(cuda, &to, &from, device_shares, &cells, factors.x, factors.y);
            blend_cpu(&average, &more, NULL, shares, &cells, factors);
            blend_cpu(&other, &fine, NULL, shares, &cells, factors);
            check_plane(&average, 1, "blend of the first of two planes");
            check_plane(&other, 1, "blend of the second of two planes");
            /* Two stacks at once, each with its own shares. */
            float *others = random_floats(room(&cells), 0, 1);
            float *device_others = device_copy(others, room(&cells));
            bring(&average);
            bring(&other);
            const struct pf_cuda_planes both[2] = {average.on_device, other.on_device};
            const float *const both_shares[2] = {device_shares, device_others};
            pf_cuda_blend_both(cuda, both, &fine.on_device, both_shares, &cells, factors.x,
                               factors.y);
            blend_cpu(&average, &fine, NULL, shares, &cells, factors);
            blend_cpu(&other, &fine, NULL, others, &cells, factors);
            check_plane(&average, 1, "blend of the first stack");
            check_plane(&other, 1, "blend of the second stack");
            GPU(cudaFree(device_others));
            GPU(cudaFree(device_shares));
            free(others);
            free(shares);
            struct plane *all[] = {&fine, &more, &average, &other, &coarse, &beside};
            for (int k = 0; k < 6; k++)
                free_plane(all[k]);
            finish(cuda);
        }
}

static void collapse_cpu(struct plane *detail, const struct plane *coarse, int low, int high)
{
    int width = detail->size.width;
    int32_t *expanded = (int32_t *)malloc(2 * ((size_t)width + 16) * sizeof(int32_t));
    for (int y = 0; y < detail->size.height; y++) {
        int16_t *row = detail->host + (size_t)y * detail->size.pitch;
        expand_cpu(expanded, width, coarse, y, expanded + width + 16);
        reference()->collapse_row(row, row, expanded, width, low, high);
    }
    free(expanded);
}

TEST(cuda_collapse_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane detail = new_plane(width, height), more = new_plane(width, height);
            struct plane coarse = new_plane(half(width), half(height));
            struct plane beside = new_plane(half(width), half(height));
            pf_cuda_collapse(cuda, &detail.on_device, &detail.on_device, &coarse.on_device, 0,
                             PF_WHITE);
            collapse_cpu(&detail, &coarse, 0, PF_WHITE);
            check_plane(&detail, 0, "collapse");
            bring(&detail);
            struct pf_cuda_planes both = pair_of(&detail, &more), from = pair_of(&beside, &coarse);
            pf_cuda_collapse(cuda, &both, &both, &from, -PF_WHITE / 2, PF_WHITE / 2);
            collapse_cpu(&detail, &beside, -PF_WHITE / 2, PF_WHITE / 2);
            collapse_cpu(&more, &coarse, -PF_WHITE / 2, PF_WHITE / 2);
            check_plane(&detail, 0, "collapse of the first of two");
            check_plane(&more, 0, "collapse of the second of two");
            struct plane *all[] = {&detail, &more, &coarse, &beside};
            for (int k = 0; k < 4; k++)
                free_plane(all[k]);
            finish(cuda);
        }
}

/* As export_row() of process/cpu/result.c. */
TEST(cuda_export_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            int bits = kind & 1 ? 16 : 8, width = sizes[i].width, height = sizes[i].height;
            bool chroma = kind & 2;
            struct plane plane = new_plane(width, height);
            for (size_t at = 0; at < room(&plane.size); at++) /* beyond the range, too */
                plane.host[at] = (int16_t)(next_random() % 65536 - 32768);
            GPU(cudaMemcpy(plane.on_device.samples[0], plane.host,
                           room(&plane.size) * sizeof(int16_t), cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            size_t stride = ((size_t)width * (size_t)bits / 8 + 15) / 16 * 16;
            uint8_t *got = (uint8_t *)malloc(stride * (size_t)height);
            uint8_t *out = device_copy<uint8_t>(NULL, stride * (size_t)height);
            pf_cuda_export(cuda, out, stride, bits, chroma, plane.on_device.samples[0],
                           &plane.size);
            fetch(got, out, stride * (size_t)height);
            float top = bits == 8 ? 255.0f : 65535.0f,
                  zero = chroma ? (bits == 8 ? 128 : 32768) : 0;
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++) {
                    const uint8_t *row = got + (size_t)y * stride;
                    float value = (float)row_of(&plane, y)[x] * (top / PF_WHITE) + zero + 0.5f;
                    int right = (int)(value < 0 ? 0 : value > top ? top : value);
                    int is = bits == 8 ? row[x] : ((const uint16_t *)row)[x];
                    CHECK(abs(is - right) <= (bits == 16)); /* the last bit of a product */
                }
            free(got);
            free_plane(&plane);
            finish(cuda);
        }
}

/* As average_row() and clipped_row() of process/cpu/fuse_average.c, of one sample. */
static void average(float *mean, float *deviations, uint16_t *frames, float sample, float clip)
{
    float before = sample - *mean;
    float variance = fmaxf(*deviations / fmaxf((float)*frames - 1, 1), 16.0f * 16.0f);
    if (clip > 0 && *frames >= 3 && before * before > clip * clip * variance)
        return;
    *frames += 1;
    *mean += before / (float)*frames;
    *deviations += before * (sample - *mean);
}

/* A tenth of a frame's pixels show nothing, or not all of it. */
static void new_cover(uint8_t *cover, size_t count)
{
    for (size_t k = 0; k < count; k++)
        cover[k] = (uint8_t)(next_random() % 10 ? 255 : 254 * (next_random() % 2));
}

/* As look_at_cover(), for one sample of a frame whose pixels lie (1.5, -0.25) aside. */
static bool is_shown(const uint8_t *cover, int width, int height, int x, int y)
{
    for (int corner = 0; corner < 4; corner++) {
        int column = clamped(x + 1 + corner % 2, width), row = clamped(y - 1 + corner / 2, height);
        if (cover[row * width + column] != 255)
            return false;
    }
    return true;
}

/* Frames that are moved have no picture at the edge, and some have holes; one of a clipped mean is an outlier here
 * and there. */
TEST(cuda_mean_is_the_cpus)
{
    enum { FRAMES = 6 };
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 8 * order_count(); kind++) {
            take_order(kind / 8);
            struct pf_cuda *cuda = new_queue();
            struct pf_cuda_mean job = {};
            bool moved = kind & 1;
            struct plane out = new_plane(sizes[i].width, sizes[i].height);
            size_t count = room(&out.size);
            const double shift[9] = {1, 0, 2.5, 0, 1, -1.5, 0, 0, 1};
            job.size = out.size;
            job.covered = !moved;
            job.map = map_of(shift);
            const double aside[9] = {1, 0, 1.5, 0, 1, -0.25, 0, 0, 1};
            job.pixels = map_of(aside);
            job.frame_width = out.size.width + 1;
            job.frame_height = out.size.height + 2;
            size_t pixels = (size_t)job.frame_width * (size_t)job.frame_height;
            uint8_t *cover = (uint8_t *)malloc(pixels);
            uint8_t *device_cover = device_copy<uint8_t>(NULL, pixels);
            job.cover = kind & 4 ? device_cover : NULL;
            job.clip = kind & 2 ? 2.0f : 0;
            job.least_deviation = 16;
            job.seed_frames = 3;
            float *mean = (float *)calloc(count, sizeof(float));
            float *deviations = (float *)calloc(count, sizeof(float));
            uint16_t *frames = (uint16_t *)calloc(count, sizeof(uint16_t));
            job.mean = device_copy(mean, count);
            job.deviations = kind & 2 ? device_copy(deviations, count) : NULL;
            job.frames = device_copy(frames, count);
            for (int n = 0; n < FRAMES; n++) {
                struct plane frame = new_plane(out.size.width, out.size.height);
                for (size_t at = 0; at < count; at++) /* far from where rounding would decide */
                    frame.host[at] =
                        (int16_t)(12000 + next_random() % 17 + (next_random() % 10 ? 0 : 2000));
                bring(&frame);
                new_cover(cover, pixels);
                GPU(cudaMemcpy(device_cover, cover, pixels, cudaMemcpyHostToDevice));
                GPU(cudaDeviceSynchronize());
                pf_cuda_mean_join(cuda, &job, frame.on_device.samples[0]);
                for (int y = 0; y < out.size.height; y++)
                    for (int x = 0; x < out.size.width; x++) {
                        size_t at = (size_t)y * out.size.pitch + x;
                        bool there = x + 2.5 <= out.size.width - 1 && y - 1.5 >= 0;
                        if (moved && !there)
                            continue;
                        if (job.cover && !is_shown(cover, job.frame_width, job.frame_height, x, y))
                            mean[at] = frames[at] ? mean[at] : frame.host[at];
                        else
                            average(&mean[at], &deviations[at], &frames[at], frame.host[at],
                                    job.clip);
                    }
                GPU(cudaDeviceSynchronize());
                free_plane(&frame);
            }
            check_floats(job.mean, mean, &out.size, 1e-5f, "mean");
            pf_cuda_mean_round(cuda, out.on_device.samples[0], job.mean, &out.size);
            for (size_t at = 0; at < count; at++)
                out.host[at] = (int16_t)lrintf(mean[at]);
            check_plane(&out, 1, "rounded mean");
            GPU(cudaFree(job.mean));
            GPU(cudaFree(job.deviations));
            GPU(cudaFree(job.frames));
            GPU(cudaFree(device_cover));
            free(cover);
            free(mean);
            free(deviations);
            free(frames);
            free_plane(&out);
            finish(cuda);
        }
}
