/* A frame's way into the stack on the device; process/cpu/fuse*.c are the same on the processor. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "process/cuda/engine.h"
#include "process/homography.h"

struct pf_source_plane pf_cuda_source(const struct pf_cuda_engine *engine, int plane, double gain)
{
    double white = engine->shape.bits == 8 ? 255 : 65535;
    return (struct pf_source_plane){
        .samples = engine->plane[plane],
        .stride_bytes = engine->stride_bytes[plane],
        .width = engine->memory.size[plane][0].width,
        .height = engine->memory.size[plane][0].height,
        .bits = engine->shape.bits,
        .scale = (float)(PF_WHITE / white * gain),
        .offset = plane ? (engine->shape.bits == 8 ? 128.0f : 32768.0f) : 0,
    };
}

const struct pf_resampling *pf_cuda_resampling(const struct pf_cuda_engine *engine)
{
    return &pf_resampling[engine->settings.resample == PF_RESAMPLE_BICUBIC];
}

/* Planes that are done together: luma, then both chroma planes or one after the other. */
struct group {
    int first, count;
};

static int groups_of(const struct pf_cuda_engine *engine, struct group groups[3])
{
    groups[0] = (struct group){0, 1};
    if (engine->shape.planes == 1)
        return 1;
    bool together = engine->memory.thrift == PF_CUDA_AMPLE;
    groups[1] = (struct group){1, together ? 2 : 1};
    groups[2] = (struct group){2, 1};
    return together ? 2 : 3;
}

/* work[] at a level with the size of a group's planes. */
static struct pf_cuda_planes work_of(const struct pf_cuda_engine *engine, struct group group,
                                     int level)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    return (struct pf_cuda_planes){.count = group.count,
                                   .samples = {memory->work[0][level], memory->work[1][level]},
                                   .size = memory->size[group.first][level]};
}

static int rest_level(const struct pf_cuda_engine *engine, int plane)
{
    return pf_cuda_is_rest(&engine->shape, plane) ? 0 : 1;
}

/* A part of the stack; of a method without levels the first is all. */
static struct pf_cuda_planes average_of(const struct pf_cuda_engine *engine, struct group group,
                                        enum pf_part part)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    int level = part == PF_PART_FINEST ? 0 : rest_level(engine, group.first);
    struct pf_cuda_planes planes = {.count = group.count, .size = memory->size[group.first][level]};
    for (int i = 0; i < group.count; i++)
        planes.samples[i] = memory->average[group.first + i][part];
    return planes;
}

/* --- the stack, empty --- */

/* log2 of no weight at all: the float whose four bytes are this one is about -1e31. */
#define NO_WEIGHT 0xf3

void pf_cuda_clear(struct pf_cuda_engine *engine)
{
    struct pf_cuda_memory *memory = &engine->memory;
    for (int plane = 0; plane < engine->shape.planes; plane++) {
        for (int part = 0; part < memory->parts; part++) {
            struct pf_cuda_planes average = average_of(engine, (struct group){plane, 1}, part);
            if (average.samples[0])
                pf_cuda_fill(engine->cuda, average.samples[0], 0,
                             (size_t)average.size.pitch * (size_t)average.size.height *
                                 sizeof(int16_t));
        }
        size_t samples =
            (size_t)memory->size[plane][0].pitch * (size_t)memory->size[plane][0].height;
        if (memory->mean[plane])
            pf_cuda_fill(engine->cuda, memory->mean[plane], 0, samples * sizeof(float));
        if (memory->deviations[plane])
            pf_cuda_fill(engine->cuda, memory->deviations[plane], 0, samples * sizeof(float));
        if (memory->frames[plane])
            pf_cuda_fill(engine->cuda, memory->frames[plane], 0, samples * sizeof(uint16_t));
    }
    for (int part = 0; part < memory->parts; part++) {
        const struct pf_cuda_grid *grid = &memory->cells[part == PF_PART_FINEST ? 0 : 1];
        size_t cells = (size_t)grid->pitch * (size_t)grid->height;
        struct pf_shares *shares = &memory->shares[part];
        pf_cuda_fill(engine->cuda, shares->log_total, NO_WEIGHT, cells * sizeof(float));
        if (part == PF_PART_SHARP) {
            pf_cuda_fill(engine->cuda, memory->most.said, NO_WEIGHT, cells * sizeof(float));
            pf_cuda_fill(engine->cuda, memory->most.light, 0, cells * sizeof(int16_t));
            pf_cuda_fill(engine->cuda, memory->lamps.near, 0,
                         (size_t)memory->lamps.cells.pitch * (size_t)memory->lamps.cells.height *
                             sizeof(float));
        }
        if (!shares->best)
            continue;
        pf_cuda_fill(engine->cuda, shares->best, NO_WEIGHT, cells * sizeof(float));
        pf_cuda_fill(engine->cuda, shares->winner, 0, cells * sizeof(uint16_t));
    }
    pf_cuda_fill(engine->cuda, memory->noise, 0xbf, sizeof(*memory->noise)); /* below 0: unknown */
}

/* --- the map --- */

static int take_field(struct pf_cuda_engine *engine, const struct pf_field *field,
                      struct pf_error *err)
{
    size_t bytes = (size_t)field->columns * (size_t)field->rows * sizeof(*field->nodes);
    if (bytes > engine->nodes_bytes) {
        pf_cuda_release(engine->cuda, engine->nodes);
        engine->nodes_bytes = 0;
        engine->nodes = NULL;
        int r = pf_cuda_alloc(engine->cuda, &engine->nodes, bytes, err);
        if (r < 0)
            return r;
        engine->nodes_bytes = bytes;
    }
    pf_cuda_upload(engine->cuda, engine->nodes, field->nodes, bytes);
    return 0;
}

/* Chroma samples are centred between the pixels that they stand for. */
static struct pf_cuda_siting siting_of(const struct pf_cuda_engine *engine, int plane)
{
    double x = plane && engine->shape.chroma_shift_x ? 2 : 1;
    double y = plane && engine->shape.chroma_shift_y ? 2 : 1;
    return (struct pf_cuda_siting){x, (x - 1) / 2, y, (y - 1) / 2};
}

/* The way from a plane of the stack to one of the frame. */
static struct pf_cuda_map map_of(const struct pf_cuda_engine *engine, const struct pf_warp *warp,
                                 int plane, int from)
{
    struct pf_cuda_map map = {.here = siting_of(engine, plane), .there = siting_of(engine, from)};
    memcpy(map.h, warp->h, sizeof(map.h));
    if (warp->field) {
        const struct pf_field *field = warp->field;
        double straight_px =
            pf_field_look(field, engine->shape.width, engine->shape.height).straight_px;
        map.nodes = engine->nodes;
        map.columns = field->columns;
        map.rows = field->rows;
        map.origin_x = field->origin_x;
        map.origin_y = field->origin_y;
        map.spacing_x = field->spacing_x;
        map.spacing_y = field->spacing_y;
        map.straight = (int)fmin(4096, straight_px / map.here.scale_x);
    }
    return map;
}

/* --- warp --- */

/* A plane of the stack takes the same plane of the frame, and where the white balance has drifted a
 * little of the others. mix: see pf_light_matrix(). */
static void warp_group(struct pf_cuda_engine *engine, struct group group,
                       const struct pf_warp *warp, bool as_it_lies, const double mix[9])
{
    const struct pf_resampling *resampling = pf_cuda_resampling(engine);
    struct pf_cuda_planes out = work_of(engine, group, 0);
    struct pf_cuda_map map = map_of(engine, warp, group.first, group.first);
    struct pf_source_plane source[2];
    for (int i = 0; i < group.count; i++) {
        int plane = group.first + i;
        source[i] = pf_cuda_source(engine, plane, mix[4 * plane]);
    }
    pf_cuda_warp(engine->cuda, &out, source, as_it_lies ? NULL : &map, resampling);
    for (int i = 0; i < group.count; i++) {
        int plane = group.first + i;
        struct pf_cuda_planes one = {.count = 1, .samples = {out.samples[i]}, .size = out.size};
        for (int from = 0; from < engine->shape.planes; from++) {
            if (from == plane || mix[3 * plane + from] == 0)
                continue;
            struct pf_source_plane other = pf_cuda_source(engine, from, 1);
            map = map_of(engine, warp, plane, from);
            bool alike = other.width == one.size.width && other.height == one.size.height;
            pf_cuda_warp_share(engine->cuda, &one, &other, as_it_lies && alike ? NULL : &map,
                               resampling, (float)mix[3 * plane + from], plane ? -PF_WHITE : 0);
        }
    }
}

/* --- weights --- */

static void take_evidence(struct pf_cuda_engine *engine, int level)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    const struct pf_weighing *weighing = &engine->weighing;
    struct pf_cuda_evidence job = {
        .cells = memory->cells[level],
        .raw = memory->modified_laplacian,
        .evidence = memory->evidence[level],
        .noise = weighing->noise > 0 ? memory->noise : NULL,
        .noise_share = pf_weighing_noise_share(level),
        .least_share = weighing->noise * pf_weighing_noise_share(level),
        .floor = pf_weighing_floor(weighing, level),
        .counts = pf_weighing_counts(weighing, level),
    };
    job.reach = pf_weighing_taps(weighing, level, job.taps);
    pf_cuda_evidence(engine->cuda, &job);
}

/* The group's pyramid; with luma each level's evidence as soon as its modified Laplacian is there. */
static void reduce_and_look(struct pf_cuda_engine *engine, struct group group)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    int levels = group.first == 0                           ? memory->weight_levels
                 : engine->settings.fuse == PF_FUSE_PYRAMID ? rest_level(engine, group.first)
                                                            : 0;
    for (int level = 0; level < levels; level++) {
        struct pf_cuda_planes fine = work_of(engine, group, level);
        struct pf_cuda_planes coarse = work_of(engine, group, level + 1);
        pf_cuda_reduce(engine->cuda, &fine, &coarse,
                       group.first == 0 ? memory->modified_laplacian : NULL);
        if (group.first)
            continue;
        if (level == 0 && engine->weighing.noise > 0)
            pf_cuda_noise_of(engine->cuda, memory->modified_laplacian, &memory->cells[0],
                             PF_MOST_NOISE, memory->bins, memory->noise);
        take_evidence(engine, level);
    }
}

/* The sums of the evidence over levels: of all, and of the fine ones and those around. What the finest level
 * takes of the latter joins as it is weighed. */
static void sum_up(struct pf_cuda_engine *engine)
{
    struct pf_cuda *cuda = engine->cuda;
    const struct pf_cuda_memory *memory = &engine->memory;
    const struct pf_weighing *weighing = &engine->weighing;
    int levels = memory->weight_levels;
    int around = levels - 1 < PF_AROUND_LEVEL ? levels - 1 : PF_AROUND_LEVEL;
    for (int level = levels - 2; level >= 2; level--) {
        const struct pf_cuda_grid *cells = &memory->cells[level];
        if (level == PF_COARSE_LEVEL - 1)
            pf_cuda_copy(cuda, memory->fine_evidence[level], memory->evidence[level],
                         (size_t)cells->pitch * (size_t)cells->height * sizeof(float));
        pf_cuda_gather(cuda, memory->evidence[level], memory->evidence[level], cells,
                       memory->evidence[level + 1], &memory->cells[level + 1], 1);
    }
    const struct pf_cuda_grid *cells = &memory->cells[1];
    struct pf_cuda_sums sums = {.cells = *cells,
                                .fine_cells = memory->cells[0],
                                .coarse_cells = memory->cells[2 < levels ? 2 : 1],
                                .finest = memory->evidence[0],
                                .coarse = levels > 2 ? memory->evidence[2] : NULL,
                                .evidence = memory->evidence[1],
                                .before = memory->fine_evidence[1],
                                .most = memory->most,
                                .light = memory->work[0][2],
                                .light_pitch = memory->size[0][2].pitch};
    pf_cuda_sums(cuda, &sums);
    pf_cuda_see_lamps(cuda, &memory->lamps, memory->work[0][1], &memory->size[0][1],
                      weighing->lamp_share);
    struct pf_cuda_glare glare = {.cells = memory->cells[0],
                                  .light = memory->work[0][1],
                                  .light_pitch = memory->size[0][1].pitch,
                                  .strength = weighing->glare,
                                  .spill = weighing->spill * pf_weighing_counts(weighing, 0)};
    glare.reach = pf_weighing_glare_taps(weighing, glare.taps);
    pf_cuda_spill_finest(cuda, memory->evidence[0], &glare);
    for (int level = 1; level < PF_COARSE_LEVEL && level < levels - 1; level++)
        pf_cuda_spill(cuda, memory->fine_evidence[level], &memory->cells[level],
                      memory->work[0][level + 1], memory->size[0][level + 1].pitch,
                      weighing->spill * pf_weighing_counts(weighing, level));
    sums.coarse = levels > PF_COARSE_LEVEL ? memory->fine_evidence[2] : NULL;
    sums.evidence = memory->fine_evidence[1];
    sums.before = sums.most.said = NULL;
    pf_cuda_sums(cuda, &sums);
    for (int level = 2; level <= around; level++)
        pf_cuda_halve_cells(cuda, memory->fine_evidence[level], &memory->cells[level],
                            memory->fine_evidence[level - 1], &memory->cells[level - 1]);
    for (int level = around - 1; level >= 1; level--)
        pf_cuda_gather(cuda, memory->fine_evidence[level],
                       level > 1 ? NULL : memory->fine_evidence[level], &memory->cells[level],
                       memory->fine_evidence[level + 1], &memory->cells[level + 1],
                       level > 1 ? 1 : weighing->around);
}

static void weigh(struct pf_cuda_engine *engine, const struct pf_cuda_map *map, bool covered,
                  int index)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    if (memory->parts > 1)
        sum_up(engine);
    /* The finest part first: what it takes of level 1 becomes the sharp part's share. */
    for (int part = 0; part < memory->parts; part++) {
        int level = part == PF_PART_FINEST ? 0 : 1;
        const struct pf_shares *shares = &memory->shares[part];
        struct pf_cuda_weigh job = {
            .cells = memory->cells[level],
            .share = shares->alpha,
            .coarse = memory->parts > 1 && level == 0 ? memory->fine_evidence[1] : NULL,
            .coarse_cells = memory->cells[1],
            .coarse_share = engine->weighing.finest,
            .log_total = shares->log_total,
            .best = shares->best,
            .winner = shares->winner,
            .power = engine->weighing.power,
            .covered = covered,
            .map = *map,
            .scale = ldexp(1, level),
            .right = engine->shape.width - 1,
            .bottom = engine->shape.height - 1,
            .no_cover = PF_NO_COVER,
            .index = (uint16_t)index,
        };
        if (part == PF_PART_SOFT)
            pf_weighing_of_frame(&engine->weighing, memory->weight_levels,
                                 engine->settings.focus_order, index - engine->first, &job.power,
                                 &job.behind);
        pf_cuda_weigh(engine->cuda, &job);
    }
}

/* --- the methods --- */

/* Samples of a plane's level to a cell of a grid, one way: as pf_weights_row() has it. */
static int factor(int shift, int level, int cell_level)
{
    return shift && level == cell_level ? 1 : 2;
}

static void blend_cells(struct pf_cuda_engine *engine, const struct pf_cuda_planes *average,
                        const struct pf_cuda_planes *sample, const float *shares, int plane,
                        int level)
{
    pf_cuda_blend(engine->cuda, average, sample, shares, &engine->memory.cells[1],
                  factor(plane && engine->shape.chroma_shift_x, level, 1),
                  factor(plane && engine->shape.chroma_shift_y, level, 1));
}

static void blend_pyramid(struct pf_cuda_engine *engine, struct group group)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    int level = rest_level(engine, group.first);
    struct pf_cuda_planes rest = work_of(engine, group, level);
    if (level) {
        struct pf_cuda_planes finest = average_of(engine, group, PF_PART_FINEST);
        struct pf_cuda_planes fine = work_of(engine, group, 0);
        pf_cuda_blend_laplacian(engine->cuda, &finest, &fine, &rest,
                                memory->shares[PF_PART_FINEST].alpha, &memory->cells[0],
                                factor(group.first && engine->shape.chroma_shift_x, 0, 0),
                                factor(group.first && engine->shape.chroma_shift_y, 0, 0));
    }
    const struct pf_cuda_planes parts[2] = {average_of(engine, group, PF_PART_SHARP),
                                            average_of(engine, group, PF_PART_SOFT)};
    const float *const shares[2] = {memory->shares[PF_PART_SHARP].alpha,
                                    memory->shares[PF_PART_SOFT].alpha};
    pf_cuda_blend_both(engine->cuda, parts, &rest, shares, &memory->cells[1],
                       factor(group.first && engine->shape.chroma_shift_x, level, 1),
                       factor(group.first && engine->shape.chroma_shift_y, level, 1));
}

static void blend_depth(struct pf_cuda_engine *engine, struct group group)
{
    struct pf_cuda_planes average = average_of(engine, group, 0);
    struct pf_cuda_planes sample = work_of(engine, group, 0);
    pf_cuda_blend(engine->cuda, &average, &sample, engine->memory.shares[PF_PART_FINEST].alpha,
                  &engine->memory.cells[0], group.first && engine->shape.chroma_shift_x ? 1 : 2,
                  group.first && engine->shape.chroma_shift_y ? 1 : 2);
}

static void join_mean(struct pf_cuda_engine *engine, struct group group, const struct pf_warp *warp,
                      const struct pf_cuda_map *map, bool covered)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    const struct pf_image *frame = engine->frame;
    for (int i = 0; i < group.count; i++) {
        int plane = group.first + i;
        struct pf_cuda_mean mean = {.mean = memory->mean[plane],
                                    .deviations = memory->deviations[plane],
                                    .frames = memory->frames[plane],
                                    .size = memory->size[plane][0],
                                    .map = *map,
                                    .covered = covered,
                                    .cover = frame->cover ? memory->cover : NULL,
                                    .pixels = map_of(engine, warp, plane, 0),
                                    .frame_width = frame->width,
                                    .frame_height = frame->height,
                                    .clip = (float)engine->settings.clip,
                                    .least_deviation = PF_AVERAGE_LEAST_DEVIATION,
                                    .seed_frames = PF_AVERAGE_SEED_FRAMES};
        pf_cuda_mean_join(engine->cuda, &mean, memory->work[i][0]);
    }
}

int pf_cuda_fuse(void *opaque, const struct pf_warp *warp, const struct pf_light_match *light,
                 int index, struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    double identity[9], mix[9];
    pf_homography_identity(identity);
    pf_light_matrix(light, mix);
    bool as_it_lies = !warp->field && memcmp(warp->h, identity, sizeof(identity)) == 0;
    if (!engine->fused) {
        engine->reference_light = engine->light;
        engine->first = index;
    }
    const uint8_t *cover = engine->settings.fuse == PF_FUSE_AVERAGE ? engine->frame->cover : NULL;
    int r = warp->field ? take_field(engine, warp->field, err) : 0;
    if (r < 0)
        return r;
    if (cover)
        pf_cuda_upload(engine->cuda, engine->memory.cover, cover,
                       (size_t)engine->frame->width * (size_t)engine->frame->height);
    pf_cuda_mark(engine->cuda, PF_CUDA_WORK, PF_MARK_BORROWED);
    struct group groups[3];
    int count = groups_of(engine, groups);
    for (int i = 0; i < count; i++) {
        struct group group = groups[i];
        struct pf_cuda_map map = map_of(engine, warp, group.first, group.first);
        warp_group(engine, group, warp, as_it_lies, mix);
        if (i == count - 1) /* the frame as decoded is not needed any more */
            pf_cuda_mark(engine->cuda, PF_CUDA_WORK, PF_MARK_FREE + engine->slot);
        reduce_and_look(engine, group);
        if (group.first == 0)
            weigh(engine, &map, as_it_lies, index);
        if (engine->settings.fuse == PF_FUSE_PYRAMID)
            blend_pyramid(engine, group);
        else if (engine->settings.fuse == PF_FUSE_SOFT_DEPTH)
            blend_depth(engine, group);
        else
            join_mean(engine, group, warp, &map, as_it_lies);
    }
    engine->fused = true;
    /* What lies in the host's memory is the caller's again after this. */
    if (engine->shares_memory)
        r = pf_cuda_wait_for(engine->cuda, PF_MARK_FREE + engine->slot, err);
    if (r == 0 && (cover || warp->field))
        r = pf_cuda_wait_for(engine->cuda, PF_MARK_BORROWED, err);
    if (r < 0) /* a queue that has failed is not waited for, but what it has begun may go on */
        pf_cuda_wait_for_stream(engine->cuda, pf_cuda_lane_of(engine->cuda, PF_CUDA_WORK));
    return r;
}

/* --- the stack as it is --- */

static void reduce_work(struct pf_cuda_engine *engine, struct group group, int from, int level)
{
    for (int l = from; l < level; l++) {
        struct pf_cuda_planes fine = work_of(engine, group, l);
        struct pf_cuda_planes coarse = work_of(engine, group, l + 1);
        pf_cuda_reduce(engine->cuda, &fine, &coarse, NULL);
    }
}

void pf_cuda_collapse_plane(struct pf_cuda_engine *engine, int plane, int level)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    struct group group = {plane, 1};
    size_t bytes = (size_t)memory->size[plane][0].pitch * (size_t)memory->size[plane][0].height *
                   sizeof(int16_t);
    if (engine->settings.fuse == PF_FUSE_AVERAGE) {
        pf_cuda_mean_round(engine->cuda, memory->work[0][0], memory->mean[plane],
                           &memory->size[plane][0]);
        reduce_work(engine, group, 0, level);
        return;
    }
    if (engine->settings.fuse == PF_FUSE_SOFT_DEPTH) {
        pf_cuda_copy(engine->cuda, memory->work[0][0], memory->average[plane][0], bytes);
        reduce_work(engine, group, 0, level);
        return;
    }
    /* The frame's evidence and pyramid are not in use between frames. */
    int rest_at = rest_level(engine, plane);
    float *sharp = memory->evidence[1];
    struct pf_cuda_nothing nothing = pf_cuda_nothing_of(engine, 1);
    pf_cuda_sharp(engine->cuda, sharp, &memory->most, &nothing, engine->weighing.sharp,
                  engine->weighing.lamp_sharp, &memory->lamps);
    struct pf_cuda_planes rest = work_of(engine, group, rest_at);
    struct pf_cuda_planes soft = average_of(engine, group, PF_PART_SOFT);
    struct pf_cuda_planes part = average_of(engine, group, PF_PART_SHARP);
    pf_cuda_copy(engine->cuda, rest.samples[0], soft.samples[0],
                 (size_t)soft.size.pitch * (size_t)soft.size.height * sizeof(int16_t));
    blend_cells(engine, &rest, &part, sharp, plane, rest_at);
    if (level >= rest_at) {
        reduce_work(engine, group, rest_at, level);
        return;
    }
    struct pf_cuda_planes detail = average_of(engine, group, PF_PART_FINEST);
    struct pf_cuda_planes out = work_of(engine, group, 0);
    pf_cuda_collapse(engine->cuda, &out, &detail, &rest, plane ? -PF_WHITE : 0, PF_WHITE);
}

struct pf_cuda_nothing pf_cuda_nothing_of(const struct pf_cuda_engine *engine, int last)
{
    const struct pf_weighing *weighing = &engine->weighing;
    struct pf_cuda_nothing nothing = {.noise = weighing->noise > 0 ? engine->memory.noise : NULL,
                                      .levels = last + 1};
    for (int k = 0; k <= last; k++) {
        nothing.least_share[k] = weighing->noise * pf_weighing_noise_share(k);
        nothing.floor[k] = pf_weighing_floor(weighing, k);
        nothing.counts[k] = pf_weighing_counts(weighing, k);
    }
    return nothing;
}
