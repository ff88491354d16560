#include "process/coverage.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"

#define FRAMES_MIN 4
#define POOL_MIN   12   /* cells that a distance is the middle of */
#define DETAIL     2.0f /* times what noise measures, and ... */
#define CONTRAST   1.5f /* ... times the cell's least value */
struct entry {
    int frame;
    float grid[PF_FOCUS_CELLS], gradient[PF_FOCUS_CELLS];
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
    memcpy(entry->grid, focus->grid, sizeof(entry->grid));
    memcpy(entry->gradient, focus->gradient, sizeof(entry->gradient));
    return 0;
}

/* The grids in the order of a report, and what is known of each cell. */
struct view {
    const struct entry **entry;
    int frames;
    float floor, gradient_floor;
    float least[PF_FOCUS_CELLS], least_gradient[PF_FOCUS_CELLS];
};

static double sharpness(const struct view *view, int frame, int cell)
{
    float value = view->entry[frame]->grid[cell] - view->floor;
    return (double)fmaxf(value, 0.1f * view->floor + 1e-6f);
}

struct place {
    int rank;
    const struct entry *entry;
};

static int by_rank(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double middle(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), ascending);
    return values[(count - 1) / 2];
}

static int look(struct view *view, const struct pf_coverage *coverage, const int *rank)
{
    size_t count = coverage->count;
    struct place *places = calloc(count + 1, sizeof(*places));
    view->entry = calloc(count + 1, sizeof(struct entry *));
    view->frames = (int)count;
    if (!places || !view->entry) {
        free(places);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &coverage->entries[i];
        places[i] = (struct place){rank ? rank[entry->frame] : entry->frame, entry};
    }
    qsort(places, count, sizeof(*places), by_rank);
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = view->entry[i] = places[i].entry;
        for (int c = 0; c < PF_FOCUS_CELLS; c++) {
            view->least[c] = i ? fminf(view->least[c], entry->grid[c]) : entry->grid[c];
            view->least_gradient[c] =
                i ? fminf(view->least_gradient[c], entry->gradient[c]) : entry->gradient[c];
        }
    }
    view->floor = count ? pf_focus_grid_floor(view->least) : 0;
    view->gradient_floor = count ? pf_focus_grid_floor(view->least_gradient) : 0;
    free(places);
    return 0;
}

static void find_winners(const struct view *view, struct pf_coverage_report *report)
{
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = 0;
        for (int i = 1; i < view->frames; i++)
            if (view->entry[i]->grid[c] > view->entry[best]->grid[c])
                best = i;
        float value = view->entry[best]->grid[c];
        bool detail = value > DETAIL * view->floor && value > CONTRAST * view->least[c];
        report->winner[c] = detail ? best : -1;
        report->cover[c] = detail ? PF_COVER_SHARP : PF_COVER_PLAIN;
        report->detail += detail;
        report->won[best] += detail;
    }
}

/* Distance of the focal planes of frames `i` and `i + 1`; NAN: too few cells say it. Cells that the
 * first or last frame has sharpest may lie far outside and are not asked. */
static double step(const struct view *view, const struct pf_coverage_report *report, int i)
{
    double ratio[PF_FOCUS_CELLS];
    int count = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = report->winner[c];
        if ((best != i && best != i + 1) || best == 0 || best == view->frames - 1)
            continue;
        ratio[count++] = sharpness(view, best == i ? i + 1 : i, c) / sharpness(view, best, c);
    }
    return count < POOL_MIN ? NAN : sqrt(fmax(1 / middle(ratio, count) - 1, 0));
}

static void find_skipped(const struct view *view, struct pf_coverage_report *report, double *steps)
{
    double *known = steps + view->frames;
    int count = 0;
    for (int i = 0; i + 1 < view->frames; i++) {
        steps[i] = step(view, report, i);
        if (!isnan(steps[i]))
            known[count++] = steps[i];
    }
    double usual = count ? middle(known, count) : NAN;
    for (int i = 0; i + 1 < view->frames && count > 1; i++)
        report->skipped[i] = (steps[i] > PF_COVERAGE_NEAR && steps[i] > PF_COVERAGE_STEP * usual) ||
                             steps[i] > PF_COVERAGE_FAR;
}

/* Sharpness of a cell in a frame, whatever its contrast. */
static double fineness(const struct view *view, int frame, int cell)
{
    double gradient = (double)view->entry[frame]->gradient[cell];
    double noise = (double)view->gradient_floor;
    double square = fmax(gradient * gradient - noise * noise, 0.1 * noise * noise + 1e-6);
    return sharpness(view, frame, cell) / sqrt(square);
}

static void find_outside(const struct view *view, struct pf_coverage_report *report)
{
    double inner[PF_FOCUS_CELLS];
    int count = 0, last = view->frames - 1;
    for (int c = 0; c < PF_FOCUS_CELLS; c++)
        if (report->winner[c] > 0 && report->winner[c] < last)
            inner[count++] = fineness(view, report->winner[c], c);
    double bound = count < POOL_MIN ? 0 : PF_COVERAGE_SOFT * middle(inner, count);
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = report->winner[c];
        if ((best == 0 || best == last) && fineness(view, best, c) < bound)
            report->cover[c] = best == 0 ? PF_COVER_BEFORE : PF_COVER_BEYOND;
    }
}

int pf_coverage_report(const struct pf_coverage *coverage, const int *rank,
                       struct pf_coverage_report *ret, struct pf_error *err)
{
    struct view view = {0};
    struct pf_coverage_report report = {.frames = (int)coverage->count};
    size_t room = coverage->count + 1;
    double *steps = calloc(2 * room, sizeof(*steps));
    report.frame = calloc(room, sizeof(*report.frame));
    report.sharpness = calloc(room, sizeof(*report.sharpness));
    report.won = calloc(room, sizeof(*report.won));
    report.skipped = calloc(room, sizeof(*report.skipped));
    int r = steps && report.sharpness && report.frame && report.won && report.skipped
                ? look(&view, coverage, rank)
                : -ENOMEM;
    for (int c = 0; c < PF_FOCUS_CELLS; c++)
        report.winner[c] = -1;
    if (r == 0 && report.frames) {
        for (int i = 0; i < report.frames; i++) {
            report.frame[i] = view.entry[i]->frame;
            for (int c = 0; c < PF_FOCUS_CELLS; c++)
                report.sharpness[i] += view.entry[i]->grid[c] / PF_FOCUS_CELLS;
        }
        find_winners(&view, &report);
    }
    if (r == 0 && report.frames >= FRAMES_MIN) {
        find_skipped(&view, &report, steps);
        find_outside(&view, &report);
    }
    free(steps);
    free(view.entry);
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
    *report = (struct pf_coverage_report){0};
}
