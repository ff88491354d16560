#include "process/coverage.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "process/focal_planes.h"

#define FRAMES_MIN 5
#define CELLS_MIN  3 /* that speak for a step, on each side of it */

enum { MEASUREMENTS = 1 + PF_FOCUS_REDUCED }; /* full size, then the reduced pictures */

struct entry {
    int frame;
    float grid[MEASUREMENTS][PF_FOCUS_CELLS];
};

struct pf_coverage {
    struct entry *entries;
    size_t count, capacity;
};

int pf_coverage_new(struct pf_coverage **ret, struct pf_error *err)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for the coverage");
}

struct pf_coverage *pf_coverage_free(struct pf_coverage *coverage)
{
    if (coverage)
        free(coverage->entries);
    free(coverage);
    return NULL;
}

int pf_coverage_add(struct pf_coverage *coverage, int frame, const struct pf_focus *focus,
                    struct pf_error *err)
{
    struct entry *entries =
        pf_with_room(coverage->entries, &coverage->capacity, coverage->count, 1, sizeof(*entries));
    if (!entries)
        return pf_fail(err, ENOMEM, "out of memory for the coverage");
    coverage->entries = entries;
    struct entry *entry = &entries[coverage->count++];
    entry->frame = frame;
    memcpy(entry->grid[0], focus->grid, sizeof(entry->grid[0]));
    memcpy(entry->grid[1], focus->reduced, sizeof(focus->reduced));
    return 0;
}

/* The grids in the order of a report, and what was found in them. */
struct view {
    int frames;
    const struct entry **entry;
    const float **grids; /* of all measurements, for their curves */
    struct pf_curves curves[MEASUREMENTS];
    int chosen;                    /* measurement */
    double *position[2], usual[2]; /* in the chosen one and the next: planes, middle step */
    double width[2];
};

struct place {
    int rank;
    const struct entry *entry;
};

static int by_rank(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static int look(struct view *view, const struct pf_coverage *coverage, const int *rank)
{
    size_t count = coverage->count;
    struct place *places = calloc(count + 1, sizeof(*places));
    view->entry = calloc(count + 1, sizeof(*view->entry));
    view->grids = calloc(MEASUREMENTS * count + 1, sizeof(*view->grids));
    for (int k = 0; k < 2; k++)
        view->position[k] = calloc(count + 1, sizeof(*view->position[k]));
    view->frames = (int)count;
    if (!places || !view->entry || !view->grids || !view->position[0] || !view->position[1]) {
        free(places);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &coverage->entries[i];
        places[i] = (struct place){rank ? rank[entry->frame] : entry->frame, entry};
    }
    qsort(places, count, sizeof(*places), by_rank);
    for (size_t i = 0; i < count; i++)
        view->entry[i] = places[i].entry;
    free(places);
    for (int m = 0; m < MEASUREMENTS; m++) {
        struct pf_curves *curves = &view->curves[m];
        curves->frames = (int)count;
        curves->grid = view->grids + (size_t)m * count;
        for (size_t i = 0; i < count; i++)
            curves->grid[i] = view->entry[i]->grid[m];
        pf_curves_look(curves);
    }
    return 0;
}

static void forget(struct view *view)
{
    free(view->entry);
    free(view->grids);
    free(view->position[0]);
    free(view->position[1]);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Whether enough cells speak for the step from frame i to the next one: some that have either
 * sharpest. Those of one flat surface, all sharpest in the same frame, say little of the steps beside
 * it; those that an end of the bracket has sharpest may lie far outside. */
static bool is_known(const struct pf_curves *curves, int i)
{
    int before = 0, after = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        before += i > 0 && curves->best[c] == i;
        after += i + 1 < curves->frames - 1 && curves->best[c] == i + 1;
    }
    return before >= CELLS_MIN && after >= CELLS_MIN;
}

static double step(const struct view *view, int fit, int i)
{
    return (view->position[fit][i + 1] - view->position[fit][i]) / view->usual[fit];
}

/* The finest measurement whose curves are wide enough; the finest at all where the next one's are
 * so wide that nothing can be told in them. */
static bool choose(struct view *view, double *ret_width)
{
    bool found = false;
    for (int m = 0; m < MEASUREMENTS; m++) {
        double width = pf_curves_width(&view->curves[m], view->position[0]);
        if (!isfinite(width))
            continue;
        if (found && width > PF_COVERAGE_BLUNT)
            break;
        found = true;
        view->chosen = m;
        *ret_width = width;
        if (width >= PF_COVERAGE_WIDE)
            break;
    }
    return found;
}

/* -ENOMEM; 0: nothing can be told; else in how many measurements the planes were found. */
static int find_planes(struct view *view, double *scratch)
{
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < view->frames; i++)
            view->position[k][i] = i;
    if (!choose(view, &view->width[0]))
        return 0;
    int found = 0;
    for (int k = 0; k < 2 && view->chosen + k < MEASUREMENTS; k++) {
        const struct pf_curves *curves = &view->curves[view->chosen + k];
        if (k)
            view->width[k] = pf_curves_width(curves, view->position[k]);
        if (!isfinite(view->width[k]))
            break;
        int r = pf_focal_planes(curves, view->position[k], &view->width[k]), count = 0;
        if (r < 0)
            return r;
        for (int i = 0; i + 1 < view->frames; i++)
            if (is_known(curves, i))
                scratch[count++] = view->position[k][i + 1] - view->position[k][i];
        qsort(scratch, (size_t)count, sizeof(*scratch), ascending);
        view->usual[k] = count ? scratch[(count - 1) / 2] : 1;
        found++;
    }
    return found;
}

static void find_skipped(const struct view *view, int fits, struct pf_coverage_report *report)
{
    double sharp = pf_curves_width(&view->curves[0], view->position[0]) / view->usual[0];
    for (int i = 1; i + 2 < view->frames; i++) {
        bool wide = true;
        for (int k = 0; k < fits; k++)
            wide = wide && step(view, k, i) > PF_COVERAGE_STEP &&
                   is_known(&view->curves[view->chosen + k], i);
        report->skipped[i] = wide && step(view, 0, i) > PF_COVERAGE_LOSS * sharp;
        if (report->skipped[i])
            report->missing[i] = step(view, 0, i) < 2.5 ? 1 : (int)lround(step(view, 0, i)) - 1;
    }
}

/* How fine the detail of a cell is, whatever its contrast: what a finer picture shows of it over what
 * the next coarser one does. */
static double fineness(const struct view *view, int frame, int cell)
{
    int finer = view->chosen ? view->chosen - 1 : 0;
    return pf_curves_sharpness(&view->curves[finer], frame, cell) /
           pf_curves_sharpness(&view->curves[finer + 1], frame, cell);
}

static void find_outside(const struct view *view, struct pf_coverage_report *report)
{
    int last = view->frames - 1, count = 0;
    const struct pf_curves *curves = &view->curves[view->chosen];
    const double *position = view->position[0];
    double sharp = pf_curves_width(&view->curves[0], position), inner[PF_FOCUS_CELLS];
    for (int c = 0; c < PF_FOCUS_CELLS; c++)
        if (report->winner[c] > 0 && report->winner[c] < last)
            inner[count++] = fineness(view, report->winner[c], c);
    qsort(inner, (size_t)count, sizeof(*inner), ascending);
    double fine = count ? PF_COVERAGE_SOFT * inner[(count - 1) / 2] : 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = report->winner[c];
        if ((best != 0 && best != last) || fineness(view, best, c) > fine ||
            pf_curves_sharpness(curves, best, c) <
                PF_COVERAGE_FALL * pf_curves_sharpness(curves, last - best, c))
            continue;
        struct pf_cell_fit fit = pf_focal_depth(curves, position, view->width[0], c);
        double outside = best ? fit.depth - position[last] : position[0] - fit.depth;
        if (outside > view->usual[0] && outside > PF_COVERAGE_LOST * sharp)
            report->cover[c] = best ? PF_COVER_BEYOND : PF_COVER_BEFORE;
    }
}

static void find_winners(const struct pf_curves *curves, struct pf_coverage_report *report)
{
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = report->winner[c] = curves->best[c];
        report->cover[c] = best < 0 ? PF_COVER_PLAIN : PF_COVER_SHARP;
        report->detail += best >= 0;
        if (best >= 0)
            report->won[best]++;
    }
}

int pf_coverage_report(const struct pf_coverage *coverage, const int *rank,
                       struct pf_coverage_report *ret, struct pf_error *err)
{
    struct view view = {0};
    struct pf_coverage_report report = {.frames = (int)coverage->count};
    size_t room = coverage->count + 1;
    double *scratch = calloc(room, sizeof(*scratch));
    report.frame = calloc(room, sizeof(*report.frame));
    report.sharpness = calloc(room, sizeof(*report.sharpness));
    report.won = calloc(room, sizeof(*report.won));
    report.skipped = calloc(room, sizeof(*report.skipped));
    report.missing = calloc(room, sizeof(*report.missing));
    int r = scratch && report.sharpness && report.frame && report.won && report.skipped &&
                    report.missing
                ? look(&view, coverage, rank)
                : -ENOMEM;
    if (r == 0) {
        for (int i = 0; i < report.frames; i++) {
            report.frame[i] = view.entry[i]->frame;
            for (int c = 0; c < PF_FOCUS_CELLS; c++)
                report.sharpness[i] += view.entry[i]->grid[0][c] / PF_FOCUS_CELLS;
        }
        r = report.frames >= FRAMES_MIN ? find_planes(&view, scratch) : 0;
    }
    if (r >= 0)
        find_winners(&view.curves[view.chosen], &report);
    if (r > 0) {
        find_skipped(&view, r, &report);
        find_outside(&view, &report);
    }
    free(scratch);
    forget(&view);
    if (r < 0) {
        pf_coverage_report_free(&report);
        return pf_fail(err, ENOMEM, "out of memory for the coverage");
    }
    *ret = report;
    return 0;
}

void pf_coverage_report_free(struct pf_coverage_report *report)
{
    free(report->sharpness);
    free(report->frame);
    free(report->won);
    free(report->skipped);
    free(report->missing);
    *report = (struct pf_coverage_report){0};
}
