#include "process/cpu/anchors.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/field_fit.h"

enum {
    SIDE = 64,       /* pixels of a patch, of a large picture */
    SMALL_SIDE = 32, /* of one up to SMALL_PICTURE wide: a field bends within fewer pixels there */
    SMALL_PICTURE = 1600,
    MOST_ACROSS = 40, /* anchors along the longer side */
    MOST_STEPS = 6,
    LEAST_FOUND = 12,
};
#define SHARPER           1.15  /* times the energy of gradients, to take an anchor's place */
#define LEAST_CORRELATION 0.5   /* of a patch with what was found */
#define FLOOR_PX          0.02  /* no patch is more exact than this */
#define ALIKE             4.0   /* neighbouring pixels tell much the same: this many count as one */
#define SMOOTHNESS        0.005 /* of the fit; gaps between anchors are closed by it */

struct anchor {
    int x, y;     /* its centre lies half a pixel before this reference pixel */
    float energy; /* mean squared gradient; negative: none yet */
};

struct pf_anchors {
    const struct pf_kernels *kernels;
    struct pf_pool *pool;
    int width, height, side, across, down;
    double spacing_px; /* between anchors, the wider of both directions */
    struct anchor *anchors;
    int16_t *patches; /* [anchor][side * side] */
};

int pf_anchors_new(struct pf_anchors **ret, int width, int height, const struct pf_kernels *kernels,
                   struct pf_pool *pool, struct pf_error *err)
{
    struct pf_anchors *anchors = calloc(1, sizeof(*anchors));
    if (!anchors)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    int longer = width > height ? width : height;
    anchors->kernels = kernels;
    anchors->pool = pool;
    anchors->width = width;
    anchors->height = height;
    anchors->side = longer <= SMALL_PICTURE ? SMALL_SIDE : SIDE;
    double spacing = fmax(anchors->side / 2.0, (double)longer / MOST_ACROSS);
    int room_x = width - anchors->side, room_y = height - anchors->side;
    anchors->across = room_x < 0 ? 0 : (int)(room_x / spacing) + 1;
    anchors->down = room_y < 0 ? 0 : (int)(room_y / spacing) + 1;
    anchors->spacing_px = spacing;
    size_t count = (size_t)anchors->across * (size_t)anchors->down;
    size_t area = (size_t)anchors->side * (size_t)anchors->side;
    anchors->anchors = calloc(count + 1, sizeof(*anchors->anchors));
    anchors->patches = malloc((count * area + 1) * sizeof(*anchors->patches));
    if (!anchors->anchors || !anchors->patches) {
        pf_anchors_free(anchors);
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    }
    for (int j = 0; j < anchors->down; j++)
        for (int i = 0; i < anchors->across; i++)
            anchors->anchors[j * anchors->across + i] = (struct anchor){
                .x = anchors->side / 2 +
                     (anchors->across > 1 ? i * room_x / (anchors->across - 1) : room_x / 2),
                .y = anchors->side / 2 +
                     (anchors->down > 1 ? j * room_y / (anchors->down - 1) : room_y / 2),
                .energy = -1};
    *ret = anchors;
    return 0;
}

struct pf_anchors *pf_anchors_free(struct pf_anchors *anchors)
{
    if (anchors) {
        free(anchors->anchors);
        free(anchors->patches);
    }
    free(anchors);
    return NULL;
}

static int count_of(const struct pf_anchors *anchors)
{
    return anchors->across * anchors->down;
}

/* Where a patch lies in a frame: straight enough within it. */
struct place {
    double x, y;      /* of the patch's first pixel */
    double across[2]; /* from a pixel to the next in its row */
    double down[2];   /* from a row to the next */
};

static struct place place_of(const struct pf_warp *warp, const struct anchor *anchor, int side)
{
    double half = side / 2.0, x = anchor->x - 0.5, y = anchor->y - 0.5, at[5][2];
    const double steps[5][2] = {{0, 0}, {-half, 0}, {half, 0}, {0, -half}, {0, half}};
    for (int i = 0; i < 5; i++)
        pf_warp_apply(warp, x + steps[i][0], y + steps[i][1], &at[i][0], &at[i][1]);
    struct place place = {.x = at[0][0], .y = at[0][1]};
    for (int k = 0; k < 2; k++) {
        place.across[k] = (at[2][k] - at[1][k]) / side;
        place.down[k] = (at[4][k] - at[3][k]) / side;
    }
    place.x -= (half - 0.5) * (place.across[0] + place.down[0]);
    place.y -= (half - 0.5) * (place.across[1] + place.down[1]);
    return place;
}

/* The frame's patch there, moved by e reference pixels; false when some of it is outside. */
static bool sample(const struct pf_anchors *anchors, const struct pf_source_plane *luma,
                   const struct place *place, const double e[2], int16_t *out)
{
    int side = anchors->side;
    double x = place->x + e[0] * place->across[0] + e[1] * place->down[0];
    double y = place->y + e[0] * place->across[1] + e[1] * place->down[1];
    for (int corner = 0; corner < 4; corner++) {
        int i = corner & 1 ? side - 1 : 0, j = corner & 2 ? side - 1 : 0;
        double px = x + i * place->across[0] + j * place->down[0];
        double py = y + i * place->across[1] + j * place->down[1];
        if (!(px >= 0 && py >= 0 && px <= luma->width - 1 && py <= luma->height - 1))
            return false;
    }
    for (int j = 0; j < side; j++) {
        double path[SIDE / PF_WARP_SEGMENT + 1][2];
        for (int k = 0; k <= side / PF_WARP_SEGMENT; k++) {
            path[k][0] = x + j * place->down[0] + k * PF_WARP_SEGMENT * place->across[0];
            path[k][1] = y + j * place->down[1] + k * PF_WARP_SEGMENT * place->across[1];
        }
        anchors->kernels->warp_path(out + j * side, side, (const double(*)[2])path, PF_WARP_SEGMENT,
                                    luma);
    }
    return true;
}

static float energy_of(const int16_t *patch, int side)
{
    double sum = 0;
    for (int j = 1; j < side - 1; j++) {
        const int16_t *row = patch + j * side;
        float line = 0;
        for (int i = 1; i < side - 1; i++) {
            float gx = (float)(row[i + 1] - row[i - 1]),
                  gy = (float)(row[i + side] - row[i - side]);
            line += gx * gx + gy * gy;
        }
        sum += (double)line;
    }
    return (float)(sum / (4.0 * (side - 2) * (side - 2)));
}

struct job {
    struct pf_anchors *anchors;
    const struct pf_source_plane *luma;
    const struct pf_warp *warp;
    int box;                       /* pixels that are taken together, in both directions */
    struct pf_field_point *points; /* of each anchor; about[0] 0: not found */
};

static void take_rows(void *context, int begin, int end, int thread)
{
    const struct job *job = context;
    struct pf_anchors *anchors = job->anchors;
    size_t area = (size_t)anchors->side * (size_t)anchors->side;
    const double still[2] = {0, 0};
    int16_t patch[SIDE * SIDE];
    (void)thread;
    for (int i = begin; i < end; i++) {
        struct anchor *anchor = &anchors->anchors[i];
        struct place place = place_of(job->warp, anchor, anchors->side);
        if (!sample(anchors, job->luma, &place, still, patch))
            continue;
        float energy = energy_of(patch, anchors->side);
        if (anchor->energy >= 0 && energy < (float)SHARPER * anchor->energy)
            continue;
        anchor->energy = energy;
        memcpy(anchors->patches + (size_t)i * area, patch, area * sizeof(*patch));
    }
}

void pf_anchors_take(struct pf_anchors *anchors, const struct pf_source_plane *luma,
                     const struct pf_warp *warp)
{
    struct job job = {.anchors = anchors, .luma = luma, .warp = warp};
    pf_pool_run(anchors->pool, count_of(anchors), 8, take_rows, &job);
}

/* ---- looking for a patch ---- */

/* Means of box x box pixels, in grey levels of 255; returns the reduced side. */
static int reduce(const int16_t *patch, int side, int box, float *out)
{
    int reduced = side / box;
    float norm = 1 / ((float)PF_GREY * (float)(box * box));
    for (int j = 0; j < reduced; j++)
        for (int i = 0; i < reduced; i++) {
            int sum = 0;
            for (int b = 0; b < box * box; b++)
                sum += patch[(j * box + b / box) * side + i * box + b % box];
            out[j * reduced + i] = (float)sum * norm;
        }
    return reduced;
}

struct sought {
    float pixels[SIDE * SIDE], gx[SIDE * SIDE], gy[SIDE * SIDE];
    int side; /* reduced */
    double hessian[3], mean, variance;
};

static void prepare(struct sought *sought, const int16_t *patch, int side, int box)
{
    int n = sought->side = reduce(patch, side, box, sought->pixels);
    double sum = 0, squares = 0, xx = 0, xy = 0, yy = 0;
    for (int j = 1; j < n - 1; j++)
        for (int i = 1; i < n - 1; i++) {
            int at = j * n + i;
            double value = (double)sought->pixels[at];
            double gx = 0.5 * (double)(sought->pixels[at + 1] - sought->pixels[at - 1]);
            double gy = 0.5 * (double)(sought->pixels[at + n] - sought->pixels[at - n]);
            sought->gx[at] = (float)gx;
            sought->gy[at] = (float)gy;
            xx += gx * gx;
            xy += gx * gy;
            yy += gy * gy;
            sum += value;
            squares += value * value;
        }
    double count = (n - 2) * (n - 2);
    sought->hessian[0] = xx;
    sought->hessian[1] = xy;
    sought->hessian[2] = yy;
    sought->mean = sum / count;
    sought->variance = fmax(0, squares / count - sought->mean * sought->mean);
}

struct comparison {
    double pull[2];  /* gradient times error */
    double variance; /* of the error */
    double correlation;
};

static struct comparison compare(const struct sought *sought, const float *here)
{
    int n = sought->side;
    double count = (n - 2) * (n - 2), i1 = 0, ii = 0, ti = 0;
    struct comparison result = {.correlation = 0};
    for (int j = 1; j < n - 1; j++) {
        float a = 0, b = 0, c = 0;
        for (int i = 1; i < n - 1; i++) {
            float value = here[j * n + i];
            a += value;
            b += value * value;
            c += value * sought->pixels[j * n + i];
        }
        i1 += (double)a;
        ii += (double)b;
        ti += (double)c;
    }
    double mean = i1 / count, variance = ii / count - mean * mean;
    double together = ti / count - mean * sought->mean;
    if (!(variance > 1e-6 && sought->variance > 1e-6))
        return result;
    float gain = (float)(together / variance),
          level = (float)(sought->mean - together / variance * mean);
    double errors = 0;
    for (int j = 1; j < n - 1; j++) {
        float x = 0, y = 0, e2 = 0;
        for (int i = 1; i < n - 1; i++) {
            int at = j * n + i;
            float error = gain * here[at] + level - sought->pixels[at];
            x += sought->gx[at] * error;
            y += sought->gy[at] * error;
            e2 += error * error;
        }
        result.pull[0] += (double)x;
        result.pull[1] += (double)y;
        errors += (double)e2;
    }
    result.variance = errors / count;
    result.correlation = together / sqrt(variance * sought->variance);
    return result;
}

/* Looks for one anchor; point->about[0] stays 0 when it is not found. */
static void look_for(const struct job *job, int index, struct pf_field_point *point)
{
    const struct pf_anchors *anchors = job->anchors;
    const struct anchor *anchor = &anchors->anchors[index];
    int side = anchors->side;
    double reach = side / 4.0, e[2] = {0, 0};
    struct sought sought;
    int16_t patch[SIDE * SIDE];
    float here[SIDE * SIDE];
    *point = (struct pf_field_point){.x = anchor->x - 0.5, .y = anchor->y - 0.5};
    if (anchor->energy < 0)
        return;
    prepare(&sought, anchors->patches + (size_t)index * (size_t)side * (size_t)side, side,
            job->box);
    struct place place = place_of(job->warp, anchor, side);
    struct comparison found = {.correlation = 0};
    for (int step = 0; step < MOST_STEPS; step++) {
        if (!sample(anchors, job->luma, &place, e, patch))
            return;
        reduce(patch, side, job->box, here);
        found = compare(&sought, here);
        /* A motion that the patch says nothing of, along an edge, is taken to be none. */
        double calm = found.variance;
        double xx = sought.hessian[0] + calm, xy = sought.hessian[1], yy = sought.hessian[2] + calm;
        double determinant = xx * yy - xy * xy;
        if (!(determinant > 1e-9))
            return;
        double dx = (yy * found.pull[0] - xy * found.pull[1]) / determinant * job->box;
        double dy = (xx * found.pull[1] - xy * found.pull[0]) / determinant * job->box;
        e[0] -= dx;
        e[1] -= dy;
        if (!(hypot(e[0], e[1]) < reach))
            return;
        if (hypot(dx, dy) < 0.008 * job->box)
            break;
    }
    if (!(found.correlation >= LEAST_CORRELATION))
        return;
    /* Covariance of the place: that of noise through the Hessian, and a floor. */
    double noise = fmax(found.variance, 0.01) * ALIKE * job->box * job->box;
    double calm = 1e-6 * (sought.hessian[0] + sought.hessian[2]) + 1e-9;
    double xx = sought.hessian[0] + calm, xy = sought.hessian[1], yy = sought.hessian[2] + calm;
    double determinant = xx * yy - xy * xy, floor = FLOOR_PX * FLOOR_PX * job->box * job->box;
    double cxx = noise * yy / determinant + floor, cxy = -noise * xy / determinant;
    double cyy = noise * xx / determinant + floor, area = cxx * cyy - cxy * cxy;
    if (!(area > 0))
        return;
    point->d[0] = e[0];
    point->d[1] = e[1];
    point->about[0] = cyy / area;
    point->about[1] = -cxy / area;
    point->about[2] = cxx / area;
}

static void look_rows(void *context, int begin, int end, int thread)
{
    const struct job *job = context;
    (void)thread;
    for (int i = begin; i < end; i++)
        look_for(job, i, &job->points[i]);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_distance(const struct pf_field_point *points, int count, double *room)
{
    for (int i = 0; i < count; i++)
        room[i] = hypot(points[i].d[0], points[i].d[1]);
    qsort(room, (size_t)count, sizeof(*room), ascending);
    return count ? room[count / 2] : 0;
}

/* One look at all anchors and a fit. 1: *warp has another field, 0: too few were found. */
static int refine_once(struct job *job, struct pf_warp *warp, double *room,
                       struct pf_anchors_fit *fit, double *ret_median, struct pf_error *err)
{
    struct pf_anchors *anchors = job->anchors;
    struct pf_field *more = NULL, *field = NULL;
    int count = 0;
    job->warp = warp;
    pf_pool_run(anchors->pool, count_of(anchors), 8, look_rows, job);
    for (int i = 0; i < count_of(anchors); i++)
        if (job->points[i].about[0] > 0)
            job->points[count++] = job->points[i];
    fit->tried = count_of(anchors);
    fit->found = count;
    *ret_median = median_distance(job->points, count, room);
    if (count < LEAST_FOUND || 10 * count < count_of(anchors))
        return 0;
    int r = pf_field_new(&more, anchors->width, anchors->height, 1.2 * anchors->spacing_px, err);
    if (r == 0)
        r = pf_field_fit(more, job->points, count, SMOOTHNESS, err);
    if (r == 0)
        r = pf_warp_extend(warp, more, anchors->width, anchors->height, &field, err);
    pf_field_free(more);
    if (r < 0)
        return r;
    pf_field_free(warp->field);
    warp->field = field;
    return 1;
}

int pf_anchors_refine(struct pf_anchors *anchors, const struct pf_source_plane *luma,
                      struct pf_warp *warp, struct pf_anchors_fit *ret, struct pf_error *err)
{
    struct job job = {.anchors = anchors, .luma = luma};
    int r = 1, count = count_of(anchors);
    double median = 0, *room = malloc(((size_t)count + 1) * sizeof(*room));
    job.points = calloc((size_t)count + 1, sizeof(*job.points));
    *ret = (struct pf_anchors_fit){.tried = count};
    if (!job.points || !room)
        r = pf_fail(err, ENOMEM, "out of memory for alignment");
    /* Coarse first: what reduced pictures could tell may be off by more than the finest detail is
     * wide. */
    for (job.box = 4; r > 0 && job.box >= 1; job.box /= 4) {
        r = refine_once(&job, warp, room, ret, &median, err);
        *(job.box == 4 ? &ret->before_px : &ret->after_px) = median;
    }
    free(job.points);
    free(room);
    return r < 0 ? r : 0;
}
