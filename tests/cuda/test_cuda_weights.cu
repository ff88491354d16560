/* The kernels of the weights against the CPU's, which are the plain C reference: evidence, what brightness
 * takes from it, and shares. */
#include "tests/cuda/planes.h"

extern "C" {
#include "process/warp.h"
}

/* Logarithms are good to 2e-6 on the CPU; sums over levels and the power of 12 make 1e-4 of it. */
TEST(cuda_evidence_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            bool has_noise = kind % 2;
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
            job.noise = has_noise ? device_copy(&noise, 1) : NULL;
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
                kernels->evidence_row(
                    evidence + at, width, has_noise ? job.noise_share * noise.frame : 0,
                    has_noise ? job.least_share * noise.reference : 0, job.floor, job.counts);
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
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            bool has_coarse = kind % 2;
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
            float *coarse_there = device_copy(coarse, room(&job.coarse_cells));
            job.coarse = has_coarse ? coarse_there : NULL;
            job.evidence = device_copy(evidence, count);
            struct plane light = new_plane(width, height);
            int16_t *most_light = (int16_t *)calloc(count, sizeof(int16_t));
            float *before = device_copy<float>(NULL, count);
            job.before = before;
            job.most = {job.cells, device_copy(most, count), device_copy(most_light, count)};
            job.light = light.on_device.samples[0];
            job.light_pitch = light.size.pitch;
            float *device_halved = device_copy<float>(NULL, count);
            float *device_spread = device_copy<float>(NULL, count);
            float *device_twice = device_copy<float>(NULL, count);
            float *twice = (float *)calloc(count, sizeof(float));
            pf_cuda_sums(cuda, &job);
            check_floats(before, evidence, &job.cells, 0, "evidence as it was");
            /* Where neither is asked for. */
            struct pf_cuda_sums again = job;
            again.evidence = before;
            again.before = again.most.said = NULL;
            pf_cuda_sums(cuda, &again);
            pf_cuda_halve_cells(cuda, device_halved, &job.cells, job.finest, &job.fine_cells);
            pf_cuda_gather(cuda, device_spread, NULL, &job.cells, coarse_there, &job.coarse_cells,
                           0.3f);
            /* And on top of what is there. */
            pf_cuda_gather(cuda, device_twice, device_spread, &job.cells, coarse_there,
                           &job.coarse_cells, 0.5f);

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
                if (has_coarse)
                    gather_cpu(evidence + at, &job.cells, coarse, &job.coarse_cells, 1, y);
                gather_cpu(twice + at, &job.cells, coarse, &job.coarse_cells, 0.8f, y);
                gather_cpu(spread + at, &job.cells, coarse, &job.coarse_cells, 0.3f, y);
            }
            check_floats(job.evidence, evidence, &job.cells, 1e-5f, "sum of all levels");
            check_floats(before, evidence, &job.cells, 1e-5f, "the same, and nothing else");
            check_floats(job.most.said, most, &job.cells, 1e-5f, "most");
            struct plane lit = {job.cells, most_light, {}};
            lit.on_device.samples[0] = job.most.light;
            check_plane(&lit, 0, "luma where that is");
            check_floats(device_halved, halved, &job.cells, 1e-5f, "means of cells");
            check_floats(device_spread, spread, &job.cells, 1e-5f, "cells laid over");
            check_floats(device_twice, twice, &job.cells, 1e-5f, "cells laid over others");
            void *all[] = {(void *)job.finest, coarse_there,  job.evidence,  job.most.said, before,
                           job.most.light,     device_halved, device_spread, device_twice};
            for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
                GPU(cudaFree(all[k]));
            free_plane(&light);
            void *mine[] = {finest, evidence, most, most_light, coarse, halved, spread, twice};
            for (size_t k = 0; k < sizeof(mine) / sizeof(mine[0]); k++)
                free(mine[k]);
            finish(cuda);
        }
}

TEST(cuda_brightness_takes_what_the_cpus_does)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int width = sizes[i].width, height = sizes[i].height;
            struct plane light = new_plane(width, height);
            struct pf_cuda_grid cells = grid_of(width, height);
            float *evidence = random_floats(room(&cells), 0, 8);
            float *on_device = device_copy(evidence, room(&cells));
            pf_cuda_spill(cuda, on_device, &cells, light.on_device.samples[0], light.size.pitch,
                          1.75f);
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
        for (int kind = 0; kind < 3 * order_count(); kind++) {
            take_order(kind / 3);
            /* Of as many samples as a block has threads, of fewer, and of more. */
            int level = 1 + 2 * (kind % 3), side = 1 << level;
            struct pf_cuda *cuda = new_queue();
            struct plane light = new_plane(sizes[i].width, sizes[i].height);
            struct pf_cuda_grid cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            struct pf_cuda_lamps lamps = {};
            lamps.level = level;
            lamps.cells = grid_of((light.size.width + side - 1) / side,
                                  (light.size.height + side - 1) / side);
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
                    /* A cell of these is 2 samples wide, a lamp cell `side`. */
                    double px = (2 * x + 1.0) / side - 0.5, py = (2 * y + 1.0) / side - 0.5;
                    double sum = 0;
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

/* A frame that lies aside, so that some cells have no picture; one that has a picture everywhere; one that a field
 * bends much; and the first again, where nobody asks who wins and a coarser level joins. */
TEST(cuda_shares_are_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            bool bent = kind % 4 == 2, asked = kind % 4 != 3;
            struct pf_cuda *cuda = new_queue();
            const struct pf_kernels *kernels = reference();
            struct pf_cuda_weigh job = {};
            job.cells = grid_of(half(sizes[i].width), half(sizes[i].height));
            size_t count = room(&job.cells);
            int width = job.cells.width, height = job.cells.height;
            job.power = 12;
            job.behind = 1.7f;
            job.index = 7;
            job.no_cover = 1000;
            float *share = random_floats(count, 0, 8);
            float *total = random_floats(count, 20, 90), *best = random_floats(count, 20, 90);
            uint16_t *winner = (uint16_t *)calloc(count, sizeof(uint16_t));
            job.share = device_copy(share, count);
            job.log_total = device_copy(total, count);
            job.best = asked ? device_copy(best, count) : NULL;
            job.winner = asked ? device_copy(winner, count) : NULL;
            job.covered = kind % 4 == 1;
            const double h[9] = {1, 0.02, 3, -0.02, 1, 1, 0, 0, 1};
            job.map = map_of(h);
            struct pf_warp warp = {};
            memcpy(warp.h, h, sizeof(warp.h));
            float *nodes = NULL;
            if (bent) {
                struct pf_error err = {};
                CHECK_OK(pf_field_new(&warp.field, 4 * width, 4 * height, 16, &err), &err);
                size_t all_nodes = 2 * (size_t)warp.field->columns * (size_t)warp.field->rows;
                float *values = random_floats(all_nodes, -60, 60);
                memcpy(warp.field->nodes, values, all_nodes * sizeof(float));
                nodes = device_copy(values, all_nodes);
                free(values);
                job.map.nodes = nodes;
                job.map.columns = warp.field->columns;
                job.map.rows = warp.field->rows;
                job.map.origin_x = warp.field->origin_x;
                job.map.origin_y = warp.field->origin_y;
                job.map.spacing_x = warp.field->spacing_x;
                job.map.spacing_y = warp.field->spacing_y;
            }
            job.scale = 2;
            job.right = 4 * width - 2;
            job.bottom = 4 * height - 2;
            float *coarse = NULL, *coarse_there = NULL;
            if (!asked) {
                job.coarse_cells = grid_of(half(width), half(height));
                job.coarse_share = 0.6f;
                coarse = random_floats(room(&job.coarse_cells), 0, 8);
                job.coarse = coarse_there = device_copy(coarse, room(&job.coarse_cells));
            }
            pf_cuda_weigh(cuda, &job);

            float *penalty = (float *)malloc(width * sizeof(float));
            for (int y = 0; y < height; y++) {
                size_t at = (size_t)y * job.cells.pitch;
                for (int x = 0; x < width; x++) {
                    double px, py;
                    pf_warp_apply(&warp, 2 * (2 * x + 0.5), 2 * (2 * y + 0.5), &px, &py);
                    bool inside = px >= 2 && py >= 2 && px <= job.right - 2 && py <= job.bottom - 2;
                    penalty[x] = inside || job.covered ? 0 : job.no_cover;
                }
                if (coarse)
                    gather_cpu(share + at, &job.cells, coarse, &job.coarse_cells, 0.6f, y);
                kernels->winner_row(share + at, best + at, winner + at, width, job.power,
                                    job.behind, penalty, job.index);
                kernels->softmax_row(share + at, total + at, width, job.power, job.behind, penalty);
            }
            check_floats(job.log_total, total, &job.cells, 1e-4f, "sum of weights");
            if (asked)
                check_floats(job.best, best, &job.cells, 1e-4f, "best");
            check_floats(job.share, share, &job.cells, 1e-4f, "share");
            uint16_t *device_winner = (uint16_t *)malloc(count * sizeof(uint16_t));
            if (asked)
                GPU(cudaMemcpy(device_winner, job.winner, count * sizeof(uint16_t),
                               cudaMemcpyDeviceToHost));
            for (int y = 0; y < height && asked; y++)
                for (int x = 0; x < width; x++)
                    CHECK_EQ(device_winner[y * job.cells.pitch + x],
                             winner[y * job.cells.pitch + x]);
            void *all[] = {job.share, job.log_total, job.best, job.winner, nodes, coarse_there};
            for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
                GPU(cudaFree(all[k]));
            pf_field_free(warp.field);
            void *mine[] = {share, total, best, winner, penalty, device_winner, coarse};
            for (size_t k = 0; k < sizeof(mine) / sizeof(mine[0]); k++)
                free(mine[k]);
            finish(cuda);
        }
}

/* What the quietest tenth of all parts of 8 x 4 cells has, in 32nds of a grey level. */
static float noise_of(const float *energy, const struct pf_cuda_grid *cells)
{
    int step = cells->height / 64 > 8 ? cells->height / 64 : 8, count = 0, below = 0, bin = -1;
    int bins[PF_CUDA_NOISE_BINS] = {0};
    for (int top = 4; top + 4 <= cells->height; top += step)
        for (int left = 0; left + 8 <= cells->width; left += 8, count++) {
            float sum = 0;
            for (int i = 0; i < 32; i++)
                sum += energy[(size_t)(top + i / 8) * cells->pitch + left + i % 8];
            bins[clamped((int)sum, PF_CUDA_NOISE_BINS)]++;
        }
    while (bin < PF_CUDA_NOISE_BINS - 1 && 10 * below <= count)
        below += bins[++bin];
    return count ? ((float)bin + 0.5f) / 32 : 0;
}

TEST(cuda_noise_is_what_the_quietest_tenth_has)
{
    static const struct size all[] = {{1, 1},   {7, 40},   {8, 8},    {9, 7},
                                      {33, 17}, {131, 75}, {40, 1200}};
    const float loudest[] = {0, 0.5f, 4, 200}; /* the last one: beyond all bins */
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        for (int k = 0; k < 4 * order_count(); k++) {
            take_order(k / 4);
            struct pf_cuda *cuda = new_queue();
            struct pf_cuda_grid cells = grid_of(all[i].width, all[i].height);
            float *energy = (float *)malloc(room(&cells) * sizeof(float));
            for (size_t c = 0; c < room(&cells); c++) /* multiples of 2^-9, as they are */
                energy[c] = (float)(next_random() % (1 + (unsigned)(512 * loudest[k % 4]))) / 512;
            float *device = device_copy(energy, room(&cells));
            int *bins = device_copy<int>(NULL, PF_CUDA_NOISE_BINS + 1);
            struct pf_cuda_noise noise = {-1, -1};
            struct pf_cuda_noise *there = device_copy(&noise, 1);
            float right = noise_of(energy, &cells);
            pf_cuda_noise_of(cuda, device, &cells, 3, bins, there);
            /* The reference's own is the first frame's, and bounded. */
            pf_cuda_noise_of(cuda, device, &cells, 2, bins, there);
            fetch(&noise, there, 1);
            CHECK_NEAR(noise.frame, right, 0);
            CHECK_NEAR(noise.reference, right < 3 ? right : 3, 0);
            GPU(cudaFree(device));
            GPU(cudaFree(bins));
            free(energy);
            finish(cuda);
        }
}
