#include "process/cuda/memory.h"

#include <string.h>

#include "process/cpu/fuse.h"

enum { ALIGNMENT = 256, ROW_ALIGNMENT = 64 };

struct arena {
    char *base;
    size_t used;
};

static void *take(struct arena *arena, size_t count, size_t size)
{
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static size_t samples_of(const struct pf_cuda_grid *grid)
{
    return (size_t)grid->pitch * (size_t)grid->height;
}

static struct pf_cuda_grid grid_of(int width, int height)
{
    return (struct pf_cuda_grid){width, height,
                                 (width + ROW_ALIGNMENT - 1) / ROW_ALIGNMENT * ROW_ALIGNMENT};
}

static struct pf_cuda_grid half_of(const struct pf_cuda_grid *grid)
{
    return grid_of((grid->width + 1) / 2, (grid->height + 1) / 2);
}

static void set_sizes(struct pf_cuda_memory *memory, const struct pf_cuda_shape *shape)
{
    bool pyramid = shape->fuse == PF_FUSE_PYRAMID;
    memory->levels = pf_fuse_levels(shape->width, shape->height);
    memory->weight_levels = pyramid                             ? memory->levels + 1
                            : shape->fuse == PF_FUSE_SOFT_DEPTH ? 1
                                                                : 0;
    memory->parts = pyramid ? PF_CPU_PARTS : memory->weight_levels;
    for (int plane = 0; plane < shape->planes; plane++) {
        int shift_x = plane ? shape->chroma_shift_x : 0,
            shift_y = plane ? shape->chroma_shift_y : 0;
        memory->size[plane][0] =
            grid_of((shape->width + shift_x) >> shift_x, (shape->height + shift_y) >> shift_y);
        for (int level = 1; level <= memory->levels + 1; level++)
            memory->size[plane][level] = half_of(&memory->size[plane][level - 1]);
    }
    for (int level = 0; level <= memory->levels; level++)
        memory->cells[level] = memory->size[0][level + 1];
    struct pf_cuda_lamps *lamps = &memory->lamps;
    lamps->level = pf_weights_lamp_level(shape->width, shape->height);
    int more = (1 << lamps->level) - 1;
    lamps->cells = grid_of((memory->size[0][1].width + more) >> lamps->level,
                           (memory->size[0][1].height + more) >> lamps->level);
}

size_t pf_cuda_lay_out_maps(struct pf_cuda_maps *ret, const struct pf_cuda_grid *cells, char *base)
{
    struct arena arena = {.base = base};
    struct pf_cuda_grid size = *cells;
    memset(ret, 0, sizeof(*ret));
    ret->smooth = take(&arena, samples_of(&size), sizeof(float));
    for (int l = 0; l < PF_CUDA_MAP_LEVELS; l++) {
        struct pf_cuda_map_level *level = &ret->level[l];
        level->size = size;
        level->place = take(&arena, samples_of(&size), sizeof(float));
        level->confidence = take(&arena, samples_of(&size), sizeof(float));
        level->frame = take(&arena, samples_of(&size), sizeof(uint16_t));
        ret->levels = l + 1;
        if (size.width == 1 && size.height == 1)
            break;
        size = half_of(&size);
    }
    return arena.used;
}

/* What a frame needs on its way into the stack; pictures of light before that, and what a map or the host
 * gets between two frames, lie in the same place. Pyramids of samples are needed for all of it but maps. */
static void lay_out_way(struct pf_cuda_memory *memory, const struct pf_cuda_shape *shape,
                        struct arena *arena, struct arena *host)
{
    struct pf_cuda_maps maps;
    size_t maps_bytes = shape->maps ? pf_cuda_lay_out_maps(&maps, &memory->cells[0], NULL) : 0;
    struct arena light, exported = {arena->base, arena->used + maps_bytes};
    memory->maps = arena->base ? arena->base + arena->used : NULL;
    /* The luma's pyramid holds a chroma plane's as well. */
    bool second = shape->planes == 3 && memory->thrift == PF_CUDA_AMPLE;
    for (int i = 0; i < 1 + second; i++)
        for (int level = 0; level <= memory->levels + 1; level++)
            memory->work[i][level] =
                take(arena, samples_of(&memory->size[i][level]), sizeof(int16_t));
    light = *arena;
    if (exported.used < arena->used)
        exported.used = arena->used;
    if (memory->weight_levels)
        memory->modified_laplacian =
            take(arena, samples_of(&memory->cells[0]), sizeof(*memory->modified_laplacian));
    for (int level = 0; level < memory->weight_levels; level++)
        if (level != 1) /* a map needs that one */
            memory->evidence[level] = take(arena, samples_of(&memory->cells[level]), sizeof(float));
    for (int level = 1; level <= PF_AROUND_LEVEL && level < memory->weight_levels; level++)
        memory->fine_evidence[level] =
            take(arena, samples_of(&memory->cells[level]), sizeof(float));
    struct pf_cuda_grid half = half_of(&memory->size[0][0]), quarter = half_of(&half);
    bool small = pf_ecc_halvings(shape->width) == 0;
    memory->light[0] = take(&light, samples_of(small ? &memory->size[0][0] : &half), sizeof(float));
    memory->light[1] = take(&light, samples_of(&quarter), sizeof(float));
    memory->export_stride = (size_t)memory->size[0][0].pitch * sizeof(uint16_t);
    memory->exported = take(memory->thrift == PF_CUDA_BARE ? host : &exported,
                            memory->export_stride, (size_t)shape->height);
    if (arena->used < light.used)
        arena->used = light.used;
    if (arena->used < exported.used)
        arena->used = exported.used;
}

/* sums: where those of weights lie, which a frame joins once, in order. */
static void lay_out_weights(struct pf_cuda_memory *memory, const struct pf_cuda_shape *shape,
                            struct arena *arena, struct arena *sums)
{
    if (memory->parts > 1) {
        memory->evidence[1] = take(arena, samples_of(&memory->cells[1]), sizeof(float));
        memory->most.cells = memory->cells[1];
        memory->most.said = take(arena, samples_of(&memory->cells[1]), sizeof(float));
        memory->most.light = take(arena, samples_of(&memory->cells[1]), sizeof(int16_t));
        memory->lamps.near = take(arena, samples_of(&memory->lamps.cells), sizeof(float));
    }
    for (int part = 0; part < memory->parts; part++) {
        struct pf_shares *shares = &memory->shares[part];
        size_t cells = samples_of(&memory->cells[part == PF_PART_FINEST ? 0 : 1]);
        shares->alpha = part == PF_PART_FINEST  ? memory->evidence[0]
                        : part == PF_PART_SHARP ? memory->fine_evidence[1]
                                                : memory->evidence[1];
        shares->log_total = take(sums, cells, sizeof(float));
        if (!shape->maps)
            continue;
        shares->best = take(sums, cells, sizeof(float));
        shares->winner = take(sums, cells, sizeof(uint16_t));
    }
}

bool pf_cuda_is_rest(const struct pf_cuda_shape *shape, int plane)
{
    return plane && shape->chroma_shift_x && shape->chroma_shift_y;
}

static void lay_out_stack(struct pf_cuda_memory *memory, const struct pf_cuda_shape *shape,
                          struct arena *arena)
{
    for (int plane = 0; plane < shape->planes; plane++) {
        size_t samples = samples_of(&memory->size[plane][0]);
        if (shape->fuse == PF_FUSE_AVERAGE) {
            memory->mean[plane] = take(arena, samples, sizeof(float));
            if (shape->clip)
                memory->deviations[plane] = take(arena, samples, sizeof(float));
            memory->frames[plane] = take(arena, samples, sizeof(uint16_t));
            continue;
        }
        bool is_rest = memory->parts > 1 && pf_cuda_is_rest(shape, plane);
        for (int part = is_rest ? PF_PART_SHARP : PF_PART_FINEST; part < memory->parts; part++)
            memory->average[plane][part] = take(
                arena, samples_of(&memory->size[plane][part != PF_PART_FINEST && !is_rest ? 1 : 0]),
                sizeof(int16_t));
    }
}

struct pf_cuda_bytes pf_cuda_lay_out(struct pf_cuda_memory *ret, const struct pf_cuda_shape *shape,
                                     enum pf_cuda_thrift thrift, char *base, char *host)
{
    struct arena arena = {.base = base}, host_arena = {.base = host};
    struct pf_cuda_memory *memory = ret;
    memset(memory, 0, sizeof(*memory));
    memory->thrift = thrift;
    set_sizes(memory, shape);
    lay_out_stack(memory, shape, thrift >= PF_CUDA_SCANT ? &host_arena : &arena);
    lay_out_way(memory, shape, &arena, &host_arena);
    lay_out_weights(memory, shape, &arena, thrift == PF_CUDA_BARE ? &host_arena : &arena);
    if (shape->maps)
        memory->rank = take(&arena, PF_CUDA_MOST_FRAMES, sizeof(*memory->rank));
    if (shape->fuse == PF_FUSE_AVERAGE)
        memory->cover = take(&arena, (size_t)shape->width, (size_t)shape->height);
    memory->cells_of_light = take(&arena, 1, sizeof(*memory->cells_of_light));
    memory->noise = take(&arena, 1, sizeof(*memory->noise));
    memory->bins = take(&arena, PF_CUDA_NOISE_BINS, sizeof(*memory->bins));
    return (struct pf_cuda_bytes){arena.used, host_arena.used};
}

struct pf_cuda_bytes pf_cuda_lay_out_raw(struct pf_cuda_raw *ret, const struct pf_cuda_shape *shape,
                                         enum pf_cuda_thrift thrift, char *base)
{
    struct arena arena = {.base = base};
    memset(ret, 0, sizeof(*ret));
    ret->bits = shape->bits;
    ret->in_host = thrift == PF_CUDA_BARE;
    ret->count = shape->shares_memory ? 0 : thrift == PF_CUDA_AMPLE ? 2 : 1;
    for (int plane = 0; plane < shape->planes; plane++) {
        int shift_x = plane ? shape->chroma_shift_x : 0,
            shift_y = plane ? shape->chroma_shift_y : 0;
        size_t width = (size_t)((shape->width + shift_x) >> shift_x);
        size_t height = (size_t)((shape->height + shift_y) >> shift_y);
        ret->stride_bytes[plane] =
            (width * (size_t)shape->bits / 8 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        for (int i = 0; i < ret->count; i++)
            ret->plane[i][plane] = take(&arena, ret->stride_bytes[plane], height);
    }
    return ret->in_host ? (struct pf_cuda_bytes){0, arena.used}
                        : (struct pf_cuda_bytes){arena.used, 0};
}
