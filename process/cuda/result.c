/* What a stack on the device gives: the picture, its previews and its maps. */
#include <errno.h>
#include <string.h>

#include "process/cuda/engine.h"

static size_t samples_of(const struct pf_cuda_grid *grid)
{
    return (size_t)grid->pitch * (size_t)grid->height;
}

/* --- fetching --- */

/* The rows of memory->exported come into an image's plane. Through the pinned chunks in turn: while one is
 * filled by the device, all threads empty the other, into memory that nobody has touched yet. Where device
 * and host share their memory there are no chunks. Where the device has room for the least alone, the rows are
 * in the host's memory already. */
static int fetch(struct pf_cuda_engine *engine, struct pf_image *image, int plane,
                 struct pf_error *err)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    const char *from = (const char *)memory->exported;
    char *to = image->plane[plane];
    size_t stride = image->stride_bytes[plane];
    size_t row_bytes = (size_t)pf_image_plane_width(image, plane) * (size_t)image->bits / 8;
    int height = pf_image_plane_height(image, plane);
    if (memory->thrift == PF_CUDA_BARE) {
        int r = pf_cuda_wait(engine->cuda, err);
        if (r == 0)
            pf_cuda_copy_rows(engine, to, stride, from, memory->export_stride, row_bytes, height);
        return r;
    }
    if (!engine->chunk[0]) {
        pf_cuda_download_rows(engine->cuda, to, stride, from, memory->export_stride, row_bytes,
                              (size_t)height);
        return 0;
    }
    int each = (int)(engine->chunk_bytes / row_bytes), count = (height + each - 1) / each;
    for (int i = 0; i <= count; i++) {
        int fill = i * each, empty = fill - each;
        if (i < count) {
            /* An upload may still be on its way from it; what was fetched into it is out. */
            int r = pf_cuda_wait_for(engine->cuda, PF_MARK_CHUNK + i % 2, err);
            if (r < 0)
                return r;
            pf_cuda_download_rows(engine->cuda, engine->chunk[i % 2], row_bytes,
                                  from + (size_t)fill * memory->export_stride,
                                  memory->export_stride, row_bytes,
                                  (size_t)(height - fill < each ? height - fill : each));
            pf_cuda_mark(engine->cuda, PF_CUDA_WORK, PF_MARK_CHUNK + i % 2);
        }
        if (i == 0)
            continue;
        int r = pf_cuda_wait_for(engine->cuda, PF_MARK_CHUNK + (i - 1) % 2, err);
        if (r < 0)
            return r;
        pf_cuda_copy_rows(engine, to + (size_t)empty * stride, stride, engine->chunk[(i - 1) % 2],
                          row_bytes, row_bytes, height - empty < each ? height - empty : each);
    }
    return 0;
}

static int collapse_to_image(struct pf_cuda_engine *engine, int level, int bits,
                             struct pf_image **ret, struct pf_error *err)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    const struct pf_cuda_grid *size = &memory->size[0][level];
    struct pf_image *image = NULL;
    int r = pf_image_new(&image, size->width, size->height, bits, engine->shape.planes,
                         engine->shape.chroma_shift_x, engine->shape.chroma_shift_y, err);
    for (int plane = 0; r == 0 && plane < engine->shape.planes; plane++) {
        pf_cuda_collapse_plane(engine, plane, level);
        pf_cuda_export(engine->cuda, memory->exported, memory->export_stride, bits, plane > 0,
                       memory->work[0][level], &memory->size[plane][level]);
        r = fetch(engine, image, plane, err);
    }
    if (r == 0)
        r = pf_cuda_wait(engine->cuda, err);
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    *ret = image;
    return 0;
}

int pf_cuda_finish(void *opaque, struct pf_image **ret, struct pf_error *err)
{
    return collapse_to_image(opaque, 0, 16, ret, err);
}

int pf_cuda_preview(void *opaque, int max_width, struct pf_image **ret, struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    int level = 0;
    while (level < engine->memory.levels && engine->memory.size[0][level].width > max_width)
        level++;
    return collapse_to_image(engine, level, 8, ret, err);
}

/* --- maps --- */

static struct pf_cuda_map_winners winners_of(const struct pf_cuda_engine *engine, int level,
                                             int highest)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    const struct pf_shares *part = &memory->shares[level ? PF_PART_SHARP : PF_PART_FINEST];
    return (struct pf_cuda_map_winners){
        .part = {part->best, part->log_total, part->winner},
        .rank = memory->rank,
        .highest = highest,
        .power = engine->weighing.power,
        .nothing = pf_cuda_nothing_of(engine, memory->most.said ? 1 : 0),
        .most = memory->most.said,
        .level = level,
        .most_size = memory->cells[1],
    };
}

static void take_winners(struct pf_cuda_engine *engine, struct pf_cuda_maps *maps, int level,
                         int highest, const struct pf_cuda_map_around *around)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    struct pf_cuda_map_winners job = winners_of(engine, level, highest);
    job.around = *around;
    job.around.shift -= level;
    if (level) {
        const struct pf_shares *soft = &memory->shares[PF_PART_SOFT];
        pf_cuda_sharp(engine->cuda, memory->evidence[1], &memory->most, &job.nothing,
                      engine->weighing.sharp, engine->weighing.lamp_sharp, &memory->lamps);
        job.soft = (struct pf_cuda_winners){soft->best, soft->log_total, soft->winner};
        job.sharp = memory->evidence[1];
    }
    pf_cuda_map_winners(engine->cuda, &maps->level[level], &job);
}

/* Levels from `least` on get what they know, and all down to `last` what they lack. */
static void push_and_pull(struct pf_cuda_engine *engine, struct pf_cuda_maps *maps, int highest,
                          const struct pf_cuda_map_around *around, int least, int last)
{
    int winners = engine->memory.parts > 1 ? 2 : 1;
    for (int l = least; l < maps->levels; l++) {
        if (l < winners)
            take_winners(engine, maps, l, highest, around);
        else
            pf_cuda_map_reduce(engine->cuda, &maps->level[l - 1], &maps->level[l]);
    }
    for (int l = maps->levels - 1; l >= last; l--)
        pf_cuda_map_fill(engine->cuda, &maps->level[l],
                         l + 1 < maps->levels ? &maps->level[l + 1] : NULL, l + 1 < winners);
}

/* As process/cpu/maps.c; `smooth` is not needed yet and has room for two planes of a level from the
 * third on. */
static void fill(struct pf_cuda_engine *engine, struct pf_cuda_maps *maps, int highest)
{
    struct pf_cuda_map_around around = {.shift = maps->levels - 1 - PF_MAP_AROUND};
    if (around.shift >= 2) {
        const struct pf_cuda_map_level *level = &maps->level[around.shift];
        int fine = engine->memory.parts > 1 ? 1 : 0;
        around.size = level->size;
        around.crest = maps->smooth;
        size_t cells = samples_of(&level->size);
        struct pf_cuda_map_winners job = winners_of(engine, fine, highest);
        struct pf_cuda_map_around above = around;
        above.shift -= fine;
        pf_cuda_map_crest(engine->cuda, &above, maps->smooth + cells, &maps->level[fine].size,
                          &job);
        for (int round = 1; round < PF_MAP_ROUNDS; round++) {
            push_and_pull(engine, maps, highest, &around, fine, around.shift);
            pf_cuda_copy(engine->cuda, maps->smooth + cells, level->place, cells * sizeof(float));
            around.settled = maps->smooth + cells;
        }
    }
    push_and_pull(engine, maps, highest, &around, 0, 0);
}

int pf_cuda_map_of(void *opaque, enum pf_map map, const int *rank, int count, struct pf_image **ret,
                   struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    const struct pf_cuda_memory *memory = &engine->memory;
    int width = engine->shape.width, height = engine->shape.height, highest = 1;
    for (int i = 0; i < count; i++)
        highest = rank[i] > highest ? rank[i] : highest;
    struct pf_cuda_maps maps;
    struct pf_image *image = NULL;
    int r = count > PF_CUDA_MOST_FRAMES ? pf_fail(err, EFBIG, "a map of %d frames, %d are possible",
                                                  count, PF_CUDA_MOST_FRAMES)
                                        : pf_image_new(&image, width, height, 16, 1, 0, 0, err);
    if (r < 0)
        return r;
    pf_cuda_lay_out_maps(&maps, &memory->cells[0], memory->maps);
    pf_cuda_upload(engine->cuda, memory->rank, rank, (size_t)count * sizeof(*rank));
    fill(engine, &maps, highest);
    if (map == PF_MAP_FRAME) {
        pf_cuda_map_frames(engine->cuda, memory->exported, memory->export_stride, width, height,
                           &maps.level[0]);
    } else if (map == PF_MAP_CONFIDENCE) {
        pf_cuda_map_values(engine->cuda, memory->exported, memory->export_stride, width, height,
                           maps.level[0].confidence, &maps.level[0].size, 255);
    } else {
        pf_cuda_map_despeckle(engine->cuda, maps.smooth, &maps.level[0], highest);
        pf_cuda_copy(engine->cuda, maps.level[0].place, maps.smooth,
                     samples_of(&maps.level[0].size) * sizeof(float));
        pf_cuda_map_smooth(engine->cuda, maps.smooth, &maps.level[0], highest);
        pf_cuda_map_values(engine->cuda, memory->exported, memory->export_stride, width, height,
                           maps.smooth, &maps.level[0].size, pf_map_depth_steps(highest));
    }
    r = fetch(engine, image, 0, err);
    if (r == 0)
        r = pf_cuda_wait(engine->cuda, err);
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    *ret = image;
    return 0;
}
