/* An alignment as a whole: what is queued for it, and what comes back; see ecc.h.
 *
 * The host does not wait for a decision: it queues a few steps of each level, and what comes after the last
 * that was needed finds another stage in hand and does nothing.
 */
#include "process/cuda/ecc.h"

#include <errno.h>
#include <stdlib.h>

#include "process/cuda/ecc_kernels.h"

enum { MOST_STAGES = 2 * PF_ECC_MAX_LEVELS };

struct pf_cuda_ecc {
    struct pf_cuda *cuda;
    struct state *state;
    double *partial;
    struct state *here; /* pinned */
    struct pf_cuda_blocks blocks;
    size_t block_capacity;
    struct pf_likeness_block *seen, *seen_here; /* of the device, and pinned */
    size_t seen_capacity;
};

/* ---- what the backend calls ----------------------------------------------------------------------- */

int pf_cuda_ecc_new(struct pf_cuda_ecc **ret, struct pf_cuda *cuda, struct pf_error *err)
{
    struct pf_cuda_ecc *ecc = (struct pf_cuda_ecc *)calloc(1, sizeof(*ecc));
    if (!ecc)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    ecc->cuda = cuda;
    int r = pf_cuda_alloc(cuda, (void **)&ecc->state, sizeof(*ecc->state), err);
    if (r == 0)
        r = pf_cuda_alloc(cuda, (void **)&ecc->partial, sizeof(double) * MOST_BLOCKS * MOST_SUMS,
                          err);
    if (r == 0)
        r = pf_cuda_alloc_pinned(cuda, (void **)&ecc->here, sizeof(*ecc->here), err);
    if (r < 0) {
        pf_cuda_ecc_free(ecc);
        return r;
    }
    *ret = ecc;
    return 0;
}

static void release_blocks(struct pf_cuda_ecc *ecc)
{
    pf_cuda_release(ecc->cuda, ecc->blocks.block);
    pf_cuda_release(ecc->cuda, ecc->blocks.sums);
    memset(&ecc->blocks, 0, sizeof(ecc->blocks));
    ecc->block_capacity = 0;
}

struct pf_cuda_ecc *pf_cuda_ecc_free(struct pf_cuda_ecc *ecc)
{
    if (ecc) {
        pf_cuda_release(ecc->cuda, ecc->state);
        pf_cuda_release(ecc->cuda, ecc->partial);
        pf_cuda_release_pinned(ecc->cuda, ecc->here);
        release_blocks(ecc);
        pf_cuda_release(ecc->cuda, ecc->seen);
        pf_cuda_release_pinned(ecc->cuda, ecc->seen_here);
    }
    free(ecc);
    return NULL;
}

static struct level level_of(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                             const struct pf_cuda_pyramid *image, int number)
{
    const struct pf_ecc_level *to = &target->levels.level[number];
    const struct pf_ecc_level *from = &image->levels.level[number];
    struct level level;
    memset(&level, 0, sizeof(level));
    level.target = to->pixels;
    level.image = from->pixels;
    level.width = to->width;
    level.height = to->height;
    level.image_width = from->width;
    level.image_height = from->height;
    level.target_scale.scale = to->scale;
    level.target_scale.offset = to->offset;
    level.image_scale.scale = from->scale;
    level.image_scale.offset = from->offset;
    level.frame.centre_x = 0.5 * (to->width - 1);
    level.frame.centre_y = 0.5 * (to->height - 1);
    level.frame.radius = 0.5 * to->width;
    level.partial = ecc->partial;
    level.state = ecc->state;
    return level;
}

static void begin(struct pf_cuda_ecc *ecc, const double *h)
{
    memset(ecc->here, 0, sizeof(*ecc->here));
    if (h)
        memcpy(ecc->here->h, h, sizeof(ecc->here->h));
    pf_cuda_upload(ecc->cuda, ecc->state, ecc->here, sizeof(*ecc->here));
}

static int end(struct pf_cuda_ecc *ecc, struct pf_error *err)
{
    pf_cuda_download(ecc->cuda, ecc->here, ecc->state, sizeof(*ecc->here));
    return pf_cuda_wait(ecc->cuda, err);
}

static void judge_level(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                        const struct pf_cuda_pyramid *image, int number, int stage,
                        enum pf_judged what)
{
    struct level level = level_of(ecc, target, image, number);
    level.stage = stage;
    pf_cuda_ecc_begin_judging(ecc->cuda, &level);
    pf_cuda_ecc_judge_now(ecc->cuda, &level, what);
}

/* The coarse levels carry too little to hold all of a large motion's parameters. */
static enum pf_motion motion_of(enum pf_motion motion, int number, int count)
{
    return number == count - 1 && count > 2 && motion > PF_MOTION_SIMILARITY ? PF_MOTION_SIMILARITY
                                                                             : motion;
}

/* Room for what the blocks of a level say. */
static int reserve_blocks(struct pf_cuda_ecc *ecc, const struct pf_ecc_level *level,
                          struct pf_error *err)
{
    int columns, rows;
    pf_ecc_block_grid(level->width, level->height, &columns, &rows);
    size_t count = columns > 0 && rows > 0 ? (size_t)columns * (size_t)rows : 0;
    if (count <= ecc->block_capacity)
        return 0;
    release_blocks(ecc);
    int r = pf_cuda_alloc(ecc->cuda, (void **)&ecc->blocks.block,
                          count * sizeof(*ecc->blocks.block), err);
    if (r == 0)
        r = pf_cuda_alloc(ecc->cuda, (void **)&ecc->blocks.sums,
                          count * PF_BLOCK_SUMS * sizeof(*ecc->blocks.sums), err);
    if (r == 0)
        ecc->block_capacity = count;
    return r;
}

/* ---- likeness ------------------------------------------------------------------------------------- */

/* The level that pf_ecc_likeness() would take. */
static struct level likeness_level(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                                   const struct pf_cuda_pyramid *image)
{
    int number = pf_ecc_level_of_width(&target->levels, PF_LIKENESS_WIDTH);
    return level_of(ecc, target, image, min(number, image->levels.count - 1));
}

static int reserve_likeness(struct pf_cuda_ecc *ecc, const struct level *level,
                            struct pf_error *err)
{
    size_t count = (size_t)pf_likeness_count(level->width, level->height);
    if (count <= ecc->seen_capacity)
        return 0;
    pf_cuda_release(ecc->cuda, ecc->seen);
    pf_cuda_release_pinned(ecc->cuda, ecc->seen_here);
    ecc->seen = ecc->seen_here = NULL;
    ecc->seen_capacity = 0;
    int r = pf_cuda_alloc(ecc->cuda, (void **)&ecc->seen, count * sizeof(*ecc->seen), err);
    if (r == 0)
        r = pf_cuda_alloc_pinned(ecc->cuda, (void **)&ecc->seen_here,
                                 count * sizeof(*ecc->seen_here), err);
    if (r == 0)
        ecc->seen_capacity = count;
    return r;
}

/* Of the map that is found when it is this stage's turn. */
static void queue_likeness(struct pf_cuda_ecc *ecc, struct level level, int stage)
{
    struct pf_cuda *cuda = ecc->cuda;
    size_t count = (size_t)pf_likeness_count(level.width, level.height);
    level.stage = stage;
    if (!count)
        return;
    pf_cuda_ecc_begin_judging(cuda, &level);
    pf_cuda_see_likeness(cuda, &level, ecc->seen);
    pf_cuda_download(cuda, ecc->seen_here, ecc->seen, count * sizeof(*ecc->seen));
}

/* Of what has been queued and waited for. */
static int likeness_of(struct pf_cuda_ecc *ecc, const struct level *level, double *ret,
                       struct pf_error *err)
{
    int r =
        pf_likeness_of_blocks(ecc->seen_here, pf_likeness_count(level->width, level->height), ret);
    return r < 0 ? pf_fail(err, -r, "out of memory for comparing frames") : 0;
}

int pf_cuda_ecc_likeness(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                         const struct pf_cuda_pyramid *image, const double h[9], double *ret,
                         struct pf_error *err)
{
    struct level level = likeness_level(ecc, target, image);
    int r = reserve_likeness(ecc, &level, err);
    if (r < 0)
        return r;
    begin(ecc, h);
    queue_likeness(ecc, level, 0);
    r = end(ecc, err);
    return r < 0 ? r : likeness_of(ecc, &level, ret, err);
}

/* ---- aligning ------------------------------------------------------------------------------------- */

/* levels: of the finest that are used, 0 for all. */
static int coarsest_of(int count, int levels)
{
    return levels && levels < count ? levels - 1 : count - 1;
}

/* A level, aligned one way. */
struct stage {
    struct level level;
    bool by_blocks, search;
};

/* What an alignment does one after another, coarsest level first. */
static int stages_of(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                     const struct pf_cuda_pyramid *image, enum pf_motion motion, bool search,
                     int levels, struct stage stages[MOST_STAGES])
{
    int count = min(target->levels.count, image->levels.count), made = 0;
    int coarsest = coarsest_of(count, levels), judge = pf_ecc_level_of_width(&target->levels, 400);
    for (int number = coarsest; number >= 0; number--) {
        bool by_blocks = pf_ecc_level_by_blocks(&target->levels, number);
        struct level level = level_of(ecc, target, image, number);
        level.motion = motion_of(motion, number, count);
        level.is_judge = number == judge;
        /* Blocks need a start, which a picture of one level has from correlation as well. */
        if (!by_blocks || number == count - 1) {
            level.stage = made;
            level.most_steps = number ? 30 : 10;
            level.tolerance_px = number ? 0.01 : 0.004;
            stages[made].level = level;
            stages[made].by_blocks = false;
            stages[made++].search = search && number == coarsest;
        }
        if (by_blocks) {
            level.stage = made;
            level.most_steps = pf_ecc_blocks_steps(levels);
            level.tolerance_px = PF_ECC_BLOCKS_TOLERANCE_PX;
            stages[made].level = level;
            stages[made].by_blocks = true;
            stages[made++].search = false;
        }
    }
    return made;
}

static void queue_stage(struct pf_cuda_ecc *ecc, const struct stage *stage, bool goes_on)
{
    if (stage->by_blocks)
        pf_cuda_ecc_refine(ecc->cuda, &stage->level, &ecc->blocks, goes_on);
    else
        pf_cuda_ecc_align_level(ecc->cuda, &stage->level, stage->search, goes_on);
}

int pf_cuda_ecc_align(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, enum pf_motion motion, bool search,
                      int levels, double h[9], struct pf_ecc_fit *ret, double *ret_likeness,
                      struct pf_error *err)
{
    struct level small = likeness_level(ecc, target, image);
    struct stage stages[MOST_STAGES];
    int count = stages_of(ecc, target, image, motion, search, levels, stages);
    int judge = pf_ecc_level_of_width(&target->levels, 400);
    bool judged_apart = judge > coarsest_of(min(target->levels.count, image->levels.count), levels);
    int r =
        pf_ecc_by_blocks(&target->levels) ? reserve_blocks(ecc, &target->levels.level[0], err) : 0;
    if (r == 0 && ret_likeness)
        r = reserve_likeness(ecc, &small, err);
    if (r < 0)
        return r;
    begin(ecc, h);
    for (int first = 0, again = 0; r == 0 && first < count; first = ecc->here->stage, again = 1) {
        for (int k = first; k < count; k++)
            queue_stage(ecc, &stages[k], again && k == first);
        if (judged_apart)
            judge_level(ecc, target, image, judge, count, PF_JUDGED_AGREEMENT);
        if (ret_likeness)
            queue_likeness(ecc, small, count);
        r = end(ecc, err);
    }
    if (r == 0 && ret_likeness)
        r = likeness_of(ecc, &small, ret_likeness, err);
    if (r < 0)
        return r;
    memcpy(h, ecc->here->h, sizeof(ecc->here->h));
    memset(ret, 0, sizeof(*ret));
    ret->correlation = ecc->here->correlation;
    ret->agreement = ecc->here->agreement;
    ret->overlap = ecc->here->overlap;
    ret->certainty = ecc->here->certainty;
    return 0;
}

int pf_cuda_ecc_judge(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, const double h[9],
                      struct pf_ecc_fit *ret, struct pf_error *err)
{
    int judge = pf_ecc_level_of_width(&target->levels, 400);
    judge = judge < image->levels.count ? judge : image->levels.count - 1;
    begin(ecc, h);
    judge_level(ecc, target, image, 0, 0, PF_JUDGED_FIT);
    judge_level(ecc, target, image, judge, 0, PF_JUDGED_AGREEMENT);
    int r = end(ecc, err);
    if (r < 0)
        return r;
    ret->correlation = ecc->here->correlation;
    ret->agreement = ecc->here->agreement;
    ret->overlap = ecc->here->overlap;
    return 0;
}

int pf_cuda_ecc_contrast(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *pyramid,
                         double *ret, struct pf_error *err)
{
    struct level level =
        level_of(ecc, pyramid, pyramid, pf_ecc_level_of_width(&pyramid->levels, 200));
    begin(ecc, NULL);
    pf_cuda_ecc_see_contrast(ecc->cuda, &level);
    int r = end(ecc, err);
    if (r == 0)
        *ret = ecc->here->contrast;
    return r;
}
