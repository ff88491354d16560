/* The kernels of a stack's maps against the CPU's, which are the plain C reference; what the CPU has no kernel
 * for is written here as process/cpu/maps.c has it. */
#include "tests/cuda/planes.h"

#define DOUBT 0.1f /* as in process/cpu/maps.c */

static float *new_floats(const struct pf_cuda_grid *size, float low, float high)
{
    return random_floats(room(size), low, high);
}

static uint16_t *new_frames(const struct pf_cuda_grid *size, unsigned count)
{
    uint16_t *frames = (uint16_t *)malloc(room(size) * sizeof(*frames));
    for (size_t k = 0; k < room(size); k++)
        frames[k] = (uint16_t)(next_random() % count);
    return frames;
}

/* A level on both sides; the host's `size` is the device's. */
struct level {
    struct pf_cuda_map_level host, device;
};

static struct level new_level(int width, int height)
{
    struct level level = {};
    struct pf_cuda_grid size = grid_of(width, height);
    level.host.size = level.device.size = size;
    level.host.place = new_floats(&size, 0, 1);
    level.host.confidence = new_floats(&size, 0, 1);
    for (size_t k = 0; k < room(&size); k++) /* a third of the cells are in doubt, some of all */
        if (k % 3 == 0)
            level.host.confidence[k] *= k % 2 ? DOUBT : 0;
    level.host.frame = new_frames(&size, 9);
    level.device.place = device_copy(level.host.place, room(&size));
    level.device.confidence = device_copy(level.host.confidence, room(&size));
    level.device.frame = device_copy(level.host.frame, room(&size));
    return level;
}

static void free_level(struct level *level)
{
    GPU(cudaFree(level->device.place));
    GPU(cudaFree(level->device.confidence));
    GPU(cudaFree(level->device.frame));
    free(level->host.place);
    free(level->host.confidence);
    free(level->host.frame);
}

static void check_level(const struct level *level, float most, const char *what)
{
    const struct pf_cuda_grid *size = &level->host.size;
    check_floats(level->device.place, level->host.place, size, most, what);
    check_floats(level->device.confidence, level->host.confidence, size, most, what);
    uint16_t *got = (uint16_t *)malloc(room(size) * sizeof(*got));
    GPU(cudaMemcpy(got, level->device.frame, room(size) * sizeof(*got), cudaMemcpyDeviceToHost));
    for (int y = 0; y < size->height; y++)
        for (int x = 0; x < size->width; x++)
            CHECK_EQ(got[y * size->pitch + x], level->host.frame[y * size->pitch + x]);
    free(got);
}

static size_t cell_of(const struct pf_cuda_grid *size, int x, int y)
{
    return (size_t)clamped(y, size->height) * (size_t)size->pitch + clamped(x, size->width);
}

static int halved(int size, int times)
{
    return times ? halved(half(size), times - 1) : size;
}

/* ---- winners ---- */

enum { FRAMES = 9, HIGHEST = FRAMES - 1 };
static const int ranks[FRAMES] = {3, 1, 4, 0, 5, 8, 2, 6, 7};

/* What is on both sides of who won a part. */
struct part {
    float *best, *log_total;
    uint16_t *winner;
    struct pf_cuda_winners device;
};

static struct part new_part(const struct pf_cuda_grid *size)
{
    struct part part = {
        new_floats(size, 20, 60), new_floats(size, 0, 3), new_frames(size, FRAMES), {}};
    for (size_t k = 0; k < room(size); k++)
        part.log_total[k] += part.best[k];
    part.device.best = device_copy(part.best, room(size));
    part.device.log_total = device_copy(part.log_total, room(size));
    part.device.winner = device_copy(part.winner, room(size));
    return part;
}

static void free_part(struct part *part)
{
    GPU(cudaFree((void *)part->device.best));
    GPU(cudaFree((void *)part->device.log_total));
    GPU(cudaFree((void *)part->device.winner));
    free(part->best);
    free(part->log_total);
    free(part->winner);
}

/* All that winners are asked with. */
struct question {
    struct pf_cuda_grid size, most_size, around_size;
    struct part part, soft;
    float *most, *sharp, *crest, *settled; /* the host's; NULL where there are none */
    float nothing;
    struct pf_cuda_map_winners job;
};

static struct question new_question(int width, int height, int level, bool has_most, bool has_crest,
                                    bool has_settled)
{
    enum { SHIFT = 2 };
    struct question all = {};
    all.size = grid_of(width, height);
    all.most_size = level ? all.size : grid_of(half(width), half(height));
    all.around_size = grid_of(halved(width, SHIFT), halved(height, SHIFT));
    all.part = new_part(&all.size);
    all.soft = new_part(&all.size);
    all.most = has_most ? new_floats(&all.most_size, 0, 6) : NULL;
    all.sharp = level ? new_floats(&all.size, 0, 1) : NULL;
    all.crest = has_crest ? new_floats(&all.around_size, 0, 60) : NULL;
    all.settled = has_settled ? new_floats(&all.around_size, 0, 1) : NULL;
    struct pf_cuda_map_winners *job = &all.job;
    job->part = all.part.device;
    job->soft = all.soft.device;
    job->sharp = level ? device_copy(all.sharp, room(&all.size)) : NULL;
    job->most = has_most ? device_copy(all.most, room(&all.most_size)) : NULL;
    job->most_size = all.most_size;
    job->level = level;
    job->rank = device_copy(ranks, FRAMES);
    job->highest = HIGHEST;
    job->power = 12;
    const struct pf_cuda_noise noise = {2, 1.5f};
    job->nothing.noise = device_copy(&noise, 1);
    job->nothing.levels = level + 1;
    for (int k = 0; k <= level; k++) {
        job->nothing.least_share[k] = 0.4f;
        job->nothing.floor[k] = 2;
        job->nothing.counts[k] = 1.25f;
        all.nothing += 1.25f * log2f(0.4f * 1.5f + 2);
    }
    job->around.size = all.around_size;
    job->around.shift = SHIFT;
    job->around.crest = has_crest ? device_copy(all.crest, room(&all.around_size)) : NULL;
    job->around.settled = has_settled ? device_copy(all.settled, room(&all.around_size)) : NULL;
    return all;
}

static void free_question(struct question *all)
{
    const void *device[] = {all->job.sharp,         all->job.most,         all->job.rank,
                            all->job.nothing.noise, all->job.around.crest, all->job.around.settled};
    for (size_t k = 0; k < sizeof(device) / sizeof(*device); k++)
        GPU(cudaFree((void *)device[k]));
    free_part(&all->part);
    free_part(&all->soft);
    free(all->most);
    free(all->sharp);
    free(all->crest);
    free(all->settled);
}

static float shown_at(const struct question *all, float best, int x, int y)
{
    int half = all->job.level ? 0 : 1;
    return all->most ? all->most[cell_of(&all->most_size, x >> half, y >> half)]
                     : best / all->job.power;
}

/* As hear_row() and winner_rows(). */
static void winners_of(const struct question *all, struct pf_cuda_map_level *ret, int y)
{
    const struct pf_kernels *kernels = reference();
    int width = all->size.width, shift = all->job.around.shift, level = all->job.level;
    const struct pf_cuda_grid *around = &all->around_size;
    float *rows = (float *)malloc((size_t)(4 * width + around->width) * sizeof(float));
    float *evidence = rows, *over = rows + width, *say = over + width, *place = say + width;
    float *crest = place + width;
    for (int x = 0; x < width; x++) {
        size_t at = cell_of(&all->size, x, y);
        const struct part *part = all->sharp && !(all->sharp[at] > 0.5f) ? &all->soft : &all->part;
        evidence[x] = part->best[at] - part->log_total[at];
        over[x] = shown_at(all, part->best[at], x, y);
        place[x] = (float)ranks[part->winner[at]] / HIGHEST;
        say[x] = 1;
        ret->frame[at] = (uint16_t)ranks[part->winner[at]];
    }
    kernels->map_evidence_row(evidence, over, width, all->nothing,
                              level || !all->most ? 1 : PF_MAP_FINEST_TRUST);
    if (all->crest) {
        float v = fmaxf(((float)y + 0.5f) / (float)(1 << shift) - 0.5f, 0);
        for (int k = 0; k < around->width; k++) {
            float upper = all->crest[cell_of(around, k, (int)v)];
            float lower = all->crest[cell_of(around, k, (int)v + 1)];
            crest[k] = upper + (v - floorf(v)) * (lower - upper);
        }
        kernels->map_say_row(say, over, width, crest, around->width, shift);
    }
    if (all->settled) {
        const float *settled[3];
        for (int k = 0; k < 3; k++)
            settled[k] = all->settled + cell_of(around, 0, (y >> shift) + k - 1);
        kernels->map_agree_row(say, place, width, settled, around->width, shift);
    }
    for (int x = 0; x < width; x++) {
        size_t at = cell_of(&all->size, x, y);
        ret->confidence[at] = evidence[x] * say[x];
        ret->place[at] = ret->confidence[at] * place[x];
    }
    free(rows);
}

/* Powers of two are good to 2e-6 on the CPU; three of them are multiplied, and say is squared. */
TEST(cuda_winners_say_what_the_cpus_do)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 12 * order_count(); kind++) {
            take_order(kind / 12);
            struct pf_cuda *cuda = new_queue();
            int heard = kind / 4 % 3; /* nobody around; what is shown; and what is settled */
            struct question all = new_question(sizes[i].width, sizes[i].height, kind & 1, kind & 2,
                                               heard > 0, heard > 1);
            struct level level = new_level(sizes[i].width, sizes[i].height);
            pf_cuda_map_winners(cuda, &level.device, &all.job);
            GPU(cudaDeviceSynchronize());
            for (int y = 0; y < sizes[i].height; y++)
                winners_of(&all, &level.host, y);
            check_level(&level, 2e-5f, "winners");
            free_level(&level);
            free_question(&all);
            finish(cuda);
        }
}

/* As crest_rows() and spread_crest_rows(): a power of two of up to 2^6, the rest is comparisons. */
TEST(cuda_crest_is_that_of_a_plain_program)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            struct question all =
                new_question(sizes[i].width, sizes[i].height, kind & 1, kind & 2, true, false);
            const struct pf_cuda_grid *size = &all.around_size;
            struct pf_cuda_map_around around = all.job.around;
            float *highest = device_copy<float>(NULL, room(size));
            float *beneath = (float *)calloc(room(size), sizeof(float));
            pf_cuda_map_crest(cuda, &around, highest, &all.size, &all.job);
            for (int y = 0; y < all.size.height; y++)
                for (int x = 0; x < all.size.width; x++) {
                    float best = all.part.best[cell_of(&all.size, x, y)];
                    float over = exp2f(shown_at(&all, best, x, y) - all.nothing) - 1;
                    float *most = &beneath[cell_of(size, x >> around.shift, y >> around.shift)];
                    *most = fmaxf(*most, over);
                }
            for (int y = 0; y < size->height; y++)
                for (int x = 0; x < size->width; x++) {
                    float most = 0;
                    for (int k = 0; k < 9; k++)
                        most = fmaxf(most, beneath[cell_of(size, x + k % 3 - 1, y + k / 3 - 1)]);
                    all.crest[cell_of(size, x, y)] = most;
                }
            check_floats(around.crest, all.crest, size, 2e-6f, "crest");
            GPU(cudaFree(highest));
            free(beneath);
            free_question(&all);
            finish(cuda);
        }
}

/* ---- push and pull ---- */

/* As quarter_row() and surest_row(): of four values the sum and one comparison, which are exact. */
TEST(cuda_reduced_map_is_that_of_a_plain_program)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct level fine = new_level(sizes[i].width, sizes[i].height);
            struct level coarse = new_level(half(sizes[i].width), half(sizes[i].height));
            pf_cuda_map_reduce(cuda, &fine.device, &coarse.device);
            const struct pf_cuda_grid *size = &coarse.host.size;
            for (int y = 0; y < size->height; y++)
                for (int x = 0; x < size->width; x++) {
                    float place = 0, confidence = 0, surest = -1;
                    size_t at = cell_of(size, x, y);
                    for (int k = 0; k < 4; k++) {
                        int u = 2 * x + k % 2, v = 2 * y + k / 2;
                        if (u >= sizes[i].width || v >= sizes[i].height)
                            continue;
                        size_t from = cell_of(&fine.host.size, u, v);
                        place += fine.host.place[from];
                        confidence += fine.host.confidence[from];
                        if (fine.host.confidence[from] > surest) {
                            surest = fine.host.confidence[from];
                            coarse.host.frame[at] = fine.host.frame[from];
                        }
                    }
                    coarse.host.place[at] = place / 4;
                    coarse.host.confidence[at] = confidence / 4;
                }
            GPU(cudaDeviceSynchronize());
            check_level(&coarse, 0, "reduced map");
            free_level(&fine);
            free_level(&coarse);
            finish(cuda);
        }
}

/* A row of a plane from one of half its resolution, as expand_row(). */
static void expand_row(float *out, int count, const float *plane, const struct pf_cuda_grid *size,
                       int y)
{
    int far = y & 1 ? y / 2 + 1 : y / 2 - 1;
    reference()->alpha_row(out, count, plane + cell_of(size, 0, y / 2),
                           plane + cell_of(size, 0, far), 0.25f, size->width, 2);
}

/* As fill_rows(). A quotient by as little as DOUBT makes ten of an error of a few 1e-7; by the last 1e-6,
 * where nothing is known, nothing, since the same is divided. */
TEST(cuda_filled_map_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 3 * order_count(); kind++) {
            take_order(kind / 3);
            struct pf_cuda *cuda = new_queue();
            bool coarsest = kind % 3 == 0, borrow = kind % 3 == 2;
            int width = sizes[i].width, height = sizes[i].height;
            struct level level = new_level(width, height);
            struct level coarser = new_level(half(width), half(height));
            pf_cuda_map_fill(cuda, &level.device, coarsest ? NULL : &coarser.device, borrow);
            float *place = (float *)malloc(2 * (size_t)width * sizeof(float)),
                  *lent = place + width;
            for (int y = 0; y < height; y++) {
                expand_row(place, width, coarser.host.place, &coarser.host.size, y);
                expand_row(lent, width, coarser.host.confidence, &coarser.host.size, y);
                for (int x = 0; x < width; x++) {
                    size_t at = cell_of(&level.host.size, x, y);
                    float own = level.host.confidence[at], *here = &level.host.place[at];
                    *here = coarsest ? *here / (own + 1e-6f)
                                     : (*here + DOUBT * place[x]) / (own + DOUBT);
                    if (!coarsest && own < DOUBT)
                        level.host.frame[at] =
                            coarser.host.frame[cell_of(&coarser.host.size, x / 2, y / 2)];
                    if (borrow)
                        level.host.confidence[at] = own + (1 - own) * 0.5f * lent[x];
                }
            }
            GPU(cudaDeviceSynchronize());
            check_level(&level, 5e-6f, "filled map");
            free(place);
            free_level(&level);
            free_level(&coarser);
            finish(cuda);
        }
}

/* ---- depth ---- */

/* As vote_rows(), despeckle_rows() and median_around(): votes are whole numbers. */
TEST(cuda_specks_are_those_that_the_cpu_sees)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            int highest = kind & 1 ? 40 : 9, width = sizes[i].width, height = sizes[i].height;
            int near = (int)(1.5f * (PF_VOTE_BINS - 1) / (float)highest + 0.5f);
            struct level level = new_level(width, height);
            const struct pf_cuda_grid *size = &level.host.size;
            uint16_t *votes = (uint16_t *)calloc(room(size), sizeof(*votes));
            uint32_t *sums = (uint32_t *)malloc(2 * (size_t)width * sizeof(*sums));
            float *right = (float *)calloc(room(size), sizeof(float));
            float *out = device_copy<float>(NULL, room(size));
            /* One place prevails: of random ones all would be specks. And of those, where nobody is sure, half of
             * the votes often end with a bin. */
            for (size_t k = 0; k < room(size); k++)
                if (kind & 2)
                    level.host.confidence[k] = 0;
                else if (k % 5)
                    level.host.place[k] = 0.4f + level.host.place[k] / 32;
            GPU(cudaMemcpy(level.device.place, level.host.place, room(size) * sizeof(float),
                           cudaMemcpyHostToDevice));
            GPU(cudaMemcpy(level.device.confidence, level.host.confidence,
                           room(size) * sizeof(float), cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            pf_cuda_map_despeckle(cuda, out, &level.device, highest);
            for (size_t k = 0; k < room(size); k++) {
                float sure = level.host.confidence[k];
                int bin = (int)(level.host.place[k] * (PF_VOTE_BINS - 1) + 0.5f);
                votes[k] =
                    (uint16_t)(bin << PF_VOTE_BITS | (1 + (int)(sure * sure * (PF_VOTE_MOST - 1))));
            }
            for (int y = 0; y < height; y++) {
                const uint16_t *rows[PF_SPECK_REACH + 1];
                struct pf_vote_sums all = {sums, sums + width};
                int count = 0;
                for (int v = std::max(y - PF_SPECK_REACH, 0);
                     v <= std::min(y + PF_SPECK_REACH, height - 1); v += 2)
                    rows[count++] = votes + cell_of(size, 0, v);
                reference()->map_support_row(&all, votes + cell_of(size, 0, y), rows, count, width,
                                             near);
                for (int x = 0; x < width; x++) {
                    int weight[PF_VOTE_BINS] = {0}, total = 0, sum = 0, bin = 0;
                    for (int v = 0; v < count; v++)
                        for (int u = std::max(x - PF_SPECK_REACH, 0);
                             u <= std::min(x + PF_SPECK_REACH, width - 1); u++) {
                            weight[rows[v][u] >> PF_VOTE_BITS] += rows[v][u] & PF_VOTE_MOST;
                            total += rows[v][u] & PF_VOTE_MOST;
                        }
                    while (bin < PF_VOTE_BINS - 1 && 2 * (sum += weight[bin]) < total)
                        bin++;
                    right[cell_of(size, x, y)] = 4 * all.support[x] < all.all[x]
                                                     ? (float)bin / (PF_VOTE_BINS - 1)
                                                     : level.host.place[cell_of(size, x, y)];
                }
            }
            check_floats(out, right, size, 0, "specks");
            GPU(cudaFree(out));
            free(votes);
            free(sums);
            free(right);
            free_level(&level);
            finish(cuda);
        }
}

/* Sums of 49 products in another order. */
TEST(cuda_smoothed_map_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            int highest = 1 + 4 * i, height = sizes[i].height;
            struct level level = new_level(sizes[i].width, height);
            const struct pf_cuda_grid *size = &level.host.size;
            float *right = (float *)calloc(room(size), sizeof(float));
            float *out = device_copy<float>(NULL, room(size));
            pf_cuda_map_smooth(cuda, out, &level.device, highest);
            for (int y = 0; y < height; y++) {
                const float *place[2 * PF_MAP_REACH + 1], *sure[2 * PF_MAP_REACH + 1];
                int rows = 0;
                for (int v = std::max(y - PF_MAP_REACH, 0);
                     v <= std::min(y + PF_MAP_REACH, height - 1); v++) {
                    place[rows] = level.host.place + cell_of(size, 0, v);
                    sure[rows++] = level.host.confidence + cell_of(size, 0, v);
                }
                size_t at = cell_of(size, 0, y);
                reference()->map_smooth_row(right + at, level.host.place + at, place, sure, rows,
                                            size->width, (float)highest / 1.5f);
            }
            check_floats(out, right, size, 2e-6f, "smoothed map");
            GPU(cudaFree(out));
            free(right);
            free_level(&level);
            finish(cuda);
        }
}

/* A picture has two samples a cell, or one fewer in all. Frames' numbers are exact; a value that lies between
 * two steps may become either. */
TEST(cuda_exported_map_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            struct pf_cuda *cuda = new_queue();
            struct level level = new_level(sizes[i].width, sizes[i].height);
            int width = 2 * sizes[i].width - (kind & 1), height = 2 * sizes[i].height - (kind & 1);
            int steps = kind & 1 ? 255 : 65535;
            size_t pitch = ((size_t)width + 7) / 8 * 8, bytes = pitch * sizeof(uint16_t);
            size_t count = pitch * (size_t)height;
            uint16_t *frames = (uint16_t *)malloc(2 * count * sizeof(*frames));
            uint16_t *values = frames + count;
            uint16_t *right = (uint16_t *)malloc((size_t)width * sizeof(*right));
            float *row = (float *)malloc((size_t)width * sizeof(*row));
            uint16_t *out = device_copy<uint16_t>(NULL, count);
            uint16_t *more = device_copy<uint16_t>(NULL, count);
            pf_cuda_map_frames(cuda, out, bytes, width, height, &level.device);
            pf_cuda_map_values(cuda, more, bytes, width, height, level.device.confidence,
                               &level.device.size, steps);
            fetch(frames, out, count);
            fetch(values, more, count);
            for (int y = 0; y < height; y++) {
                expand_row(row, width, level.host.confidence, &level.host.size, y);
                reference()->map_steps_row(right, row, width, steps, 65535 / steps);
                for (int x = 0; x < width; x++) {
                    size_t at = (size_t)y * pitch + (size_t)x;
                    CHECK_EQ(frames[at],
                             level.host.frame[cell_of(&level.host.size, x / 2, y / 2)] + 1);
                    CHECK_NEAR(values[at], right[x], 65535 / steps);
                }
            }
            free(frames);
            free(right);
            free(row);
            free_level(&level);
            finish(cuda);
        }
}
