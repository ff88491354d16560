/* The kernels of the fusing pipeline against the CPU's, which are the plain C reference. Pyramids are
 * integers and must be the same; where arithmetic is floating point, the device may fuse a multiply
 * into an add and has other logarithms, and the tolerance says what that can come to. */
#include "tests/cuda/planes.h"

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
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            int factor = 1 + kind % 2;
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
            GPU(cudaDeviceSynchronize()); /* as device_copy() */
            for (int y = 0; y < height; y++) {
                shares_at(alpha, shares, &cells, width, y, factor);
                kernels->blend_row(average.host + (size_t)y * average.size.pitch, row_of(&fine, y),
                                   alpha, width);
            }
            pf_cuda_blend(cuda, &average.on_device, &fine.on_device, device_shares, &cells, factor,
                          factor);
            check_plane(&average, 1, "blend");
            /* Two stacks at once, each with its own shares. */
            struct plane other = new_plane(width, height);
            float *more = random_floats(room(&cells), 0, 1);
            float *device_more = device_copy(more, room(&cells));
            GPU(cudaMemcpy(average.on_device.samples[0], average.host,
                           room(&average.size) * sizeof(int16_t), cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            for (int y = 0; y < height; y++) {
                shares_at(alpha, shares, &cells, width, y, factor);
                kernels->blend_row(average.host + (size_t)y * average.size.pitch, row_of(&fine, y),
                                   alpha, width);
                shares_at(alpha, more, &cells, width, y, factor);
                kernels->blend_row(other.host + (size_t)y * other.size.pitch, row_of(&fine, y),
                                   alpha, width);
            }
            const struct pf_cuda_planes both[2] = {average.on_device, other.on_device};
            const float *const both_shares[2] = {device_shares, device_more};
            pf_cuda_blend_both(cuda, both, &fine.on_device, both_shares, &cells, factor, factor);
            check_plane(&average, 1, "blend of the first");
            check_plane(&other, 1, "blend of the second");
            free_plane(&other);
            free(more);
            GPU(cudaFree(device_more));
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
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
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

/* Frames that are moved have no picture at the edge; one of a clipped mean is an outlier here and there. */
TEST(cuda_mean_is_the_cpus)
{
    enum { FRAMES = 6 };
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            struct pf_cuda_mean job = {};
            bool moved = kind & 1;
            struct plane out = new_plane(sizes[i].width, sizes[i].height);
            size_t count = room(&out.size);
            const double shift[9] = {1, 0, 2.5, 0, 1, -1.5, 0, 0, 1};
            job.size = out.size;
            job.covered = !moved;
            job.map = map_of(shift);
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
                GPU(cudaMemcpy(frame.on_device.samples[0], frame.host, count * sizeof(int16_t),
                               cudaMemcpyHostToDevice));
                GPU(cudaDeviceSynchronize());
                pf_cuda_mean_join(cuda, &job, frame.on_device.samples[0]);
                for (int y = 0; y < out.size.height; y++)
                    for (int x = 0; x < out.size.width; x++) {
                        size_t at = (size_t)y * out.size.pitch + x;
                        bool there = x + 2.5 <= out.size.width - 1 && y - 1.5 >= 0;
                        if (!moved || there)
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
            free(mean);
            free(deviations);
            free(frames);
            free_plane(&out);
            finish(cuda);
        }
}
