#include "process/focal_planes.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL      2.0f /* times what noise measures, and ... */
#define CONTRAST    1.2f /* ... times the cell's least value */
#define CELLS_MIN   12   /* that a width is the middle of */
#define ERROR       0.04 /* of a logarithm of sharpness */
#define NOISE_SHARE 0.5  /* of the floor: error of a sharpness */
#define WIDTH_ERROR 0.25 /* of a logarithm of a width, cell to cell */
#define STEP_ERROR  0.7  /* of a step, before anything is known */
#define LEAST_FALL  3    /* of the sharpness of a cell that an end has sharpest */
#define LEAST_STEP  0.1
#define SHAPE       1.5
#define BETTER      0.3     /* share of its cost with which a farther valley is believed */
#define HALF        0.76642 /* sqrt(2^(1 / SHAPE) - 1): half width over w */

/* Frames to each side of its sharpest one in which a cell is looked at. */
enum { REACH = 3, SPAN = 2 * REACH + 1, BAND = SPAN, ROUNDS = 12, ROUNDS_OF_ONE = 8 };

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

void pf_curves_look(struct pf_curves *curves)
{
    float least[PF_FOCUS_CELLS] = {0};
    for (int i = 0; i < curves->frames; i++)
        for (int c = 0; c < PF_FOCUS_CELLS; c++)
            least[c] = i ? fminf(least[c], curves->grid[i][c]) : curves->grid[i][c];
    curves->floor = pf_focus_grid_floor(least);
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = 0;
        for (int i = 1; i < curves->frames; i++)
            if (curves->grid[i][c] > curves->grid[best][c])
                best = i;
        float value = curves->frames ? curves->grid[best][c] : 0;
        bool detail = value > DETAIL * curves->floor && value > CONTRAST * least[c];
        curves->best[c] = detail ? best : -1;
    }
}

double pf_curves_sharpness(const struct pf_curves *curves, int frame, int cell)
{
    float value = curves->grid[frame][cell] - curves->floor;
    return (double)fmaxf(value, 0.1f * curves->floor + 1e-6f);
}

/* The parabola through the inverse of three values. */
double pf_curves_width(const struct pf_curves *curves, const double *position)
{
    double widths[PF_FOCUS_CELLS];
    int count = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int best = curves->best[c];
        if (best < 1 || best > curves->frames - 2)
            continue;
        double inverse = 1 / pf_curves_sharpness(curves, best, c);
        double rise_before = 1 / pf_curves_sharpness(curves, best - 1, c) - inverse;
        double rise_after = 1 / pf_curves_sharpness(curves, best + 1, c) - inverse;
        double before = position[best - 1] - position[best];
        double after = position[best + 1] - position[best];
        double square = (rise_after / after - rise_before / before) / (after - before);
        double slope = rise_before / before - square * before;
        double bottom = inverse - slope * slope / (4 * square);
        widths[count++] = square > 0 && bottom > 0 ? sqrt(bottom / square) : INFINITY;
    }
    return count < CELLS_MIN ? NAN : middle(widths, count);
}

/* Derivatives of one cell's cost: by its own unknowns (top, depth, width), by the planes of the frames
 * that it is looked at in, and mixed. */
struct normal {
    int first, frames;
    double own[3][3], own_slope[3];
    double plane[SPAN], plane_slope[SPAN];
    double mixed[SPAN][3];
    double inverse[3][3]; /* of own, damped */
    double cost;
};

static void derive(struct normal *normal, const struct pf_curves *curves, const double *position,
                   double usual_width, int cell, const struct pf_cell_fit *fit)
{
    int best = curves->best[cell], last = curves->frames - 1;
    int first = best < REACH ? 0 : best - REACH, end = best > last - REACH ? last : best + REACH;
    *normal = (struct normal){.first = first, .frames = end - first + 1};
    double scale = exp(-fit->width);
    for (int k = 0; k < normal->frames; k++) {
        double sharpness = pf_curves_sharpness(curves, first + k, cell);
        double weight = 1 / (ERROR * (1 + NOISE_SHARE * (double)curves->floor / sharpness));
        double u = (position[first + k] - fit->depth) * scale, bow = 1 + u * u;
        double error = (fit->top - SHAPE * log(bow) - log(sharpness)) * weight;
        double slope = 2 * SHAPE * weight * u / bow;
        double by[3] = {weight, slope * scale, slope * u};
        normal->cost += error * error;
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++)
                normal->own[i][j] += by[i] * by[j];
            normal->own_slope[i] += by[i] * error;
            normal->mixed[k][i] = -by[i] * by[1];
        }
        normal->plane[k] = by[1] * by[1];
        normal->plane_slope[k] = -by[1] * error;
    }
    double odd = (fit->width - usual_width) / WIDTH_ERROR;
    normal->cost += odd * odd;
    normal->own[2][2] += 1 / (WIDTH_ERROR * WIDTH_ERROR);
    normal->own_slope[2] += odd / WIDTH_ERROR;
    double(*own)[3] = normal->own;
    for (int i = 0; i < 3; i++)
        own[i][i] = 1.01 * own[i][i] + 1e-6;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            normal->inverse[j][i] = own[(i + 1) % 3][(j + 1) % 3] * own[(i + 2) % 3][(j + 2) % 3] -
                                    own[(i + 1) % 3][(j + 2) % 3] * own[(i + 2) % 3][(j + 1) % 3];
    double determinant = own[0][0] * normal->inverse[0][0] + own[0][1] * normal->inverse[1][0] +
                         own[0][2] * normal->inverse[2][0];
    for (int i = 0; i < 9; i++)
        normal->inverse[i / 3][i % 3] /= determinant;
}

static double limited(double value, double most)
{
    return value > most ? most : value < -most ? -most : value;
}

/* One step of the cell's own unknowns; move: of the planes, NULL none. */
static void improve(struct pf_cell_fit *fit, const struct normal *normal, const double *move,
                    double share)
{
    double slope[3], step[3] = {0};
    memcpy(slope, normal->own_slope, sizeof(slope));
    for (int k = 0; move && k < normal->frames; k++)
        for (int i = 0; i < 3; i++)
            slope[i] += normal->mixed[k][i] * move[normal->first + k];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            step[i] -= normal->inverse[i][j] * slope[j];
    fit->top += share * limited(step[0], 0.5);
    fit->depth += share * limited(step[1], 1);
    fit->width += share * limited(step[2], 0.5);
}

static struct pf_cell_fit start_of(const struct pf_curves *curves, const double *position,
                                   double width, int cell)
{
    int best = curves->best[cell], last = curves->frames - 1;
    struct pf_cell_fit fit = {log(pf_curves_sharpness(curves, best, cell)), position[best],
                              log(width / HALF)};
    if (best > 0 && best < last) {
        double before = 1 / pf_curves_sharpness(curves, best - 1, cell);
        double after = 1 / pf_curves_sharpness(curves, best + 1, cell);
        double bend = before + after - 2 / pf_curves_sharpness(curves, best, cell);
        if (bend > 0)
            fit.depth += (before - after) / (2 * bend);
    }
    return fit;
}

struct pf_cell_fit pf_focal_depth(const struct pf_curves *curves, const double *position,
                                  double width, int cell)
{
    struct pf_cell_fit likeliest = {0};
    struct normal normal;
    double least = INFINITY;
    int last = curves->frames - 1, best = curves->best[cell];
    /* Far outside the curve has another valley: it is looked for from there as well. */
    for (int far = 0; far < (best == 0 || best == last ? 3 : 1); far++) {
        struct pf_cell_fit fit = start_of(curves, position, width, cell);
        double u = best ? far : -far;
        fit.depth += u * width / HALF;
        fit.top += SHAPE * log(1 + u * u);
        for (int round = 0; round < ROUNDS_OF_ONE; round++) {
            derive(&normal, curves, position, log(width / HALF), cell, &fit);
            improve(&fit, &normal, NULL, 1);
        }
        derive(&normal, curves, position, log(width / HALF), cell, &fit);
        if (normal.cost < least * (far ? BETTER : 1)) {
            least = normal.cost;
            likeliest = fit;
        }
    }
    return likeliest;
}

/* A symmetric system: row i holds what couples unknown i with i .. i + BAND - 1, then its right
 * side. */
typedef double band_row[BAND + 1];

static void add_cell(band_row *system, const struct normal *normal)
{
    double weight = 1 / (1 + normal->cost / SPAN);
    for (int j = 0; j < normal->frames; j++) {
        double *row = system[normal->first + j], through[3] = {0}, slope = normal->plane_slope[j];
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < 3; k++)
                through[i] += normal->mixed[j][k] * normal->inverse[k][i];
            slope -= through[i] * normal->own_slope[i];
        }
        row[0] += weight * normal->plane[j];
        row[BAND] -= weight * slope;
        for (int k = j; k < normal->frames; k++)
            for (int i = 0; i < 3; i++)
                row[k - j] -= weight * through[i] * normal->mixed[k][i];
    }
}

/* Steps are drawn to 1, the first plane stays where it is. */
static void add_evenness(band_row *system, const double *position, int frames)
{
    const double square = STEP_ERROR * STEP_ERROR;
    for (int i = 0; i + 1 < frames; i++) {
        double odd = position[i + 1] - position[i] - 1;
        double weight = 1 / (square + odd * odd);
        system[i][0] += weight;
        system[i + 1][0] += weight;
        system[i][1] -= weight;
        system[i][BAND] += weight * odd;
        system[i + 1][BAND] -= weight * odd;
    }
    for (int i = 0; i < frames; i++)
        system[i][0] += 1e-3;
    system[0][0] += 1e3;
}

/* Gauss without pivots: the system is positive definite. */
static void solve(band_row *system, int frames, double *ret)
{
    for (int i = 0; i < frames; i++) {
        for (int k = 1; k < BAND && i + k < frames; k++) {
            double share = system[i][k] / system[i][0];
            for (int j = k; j < BAND; j++)
                system[i + k][j - k] -= share * system[i][j];
            system[i + k][BAND] -= share * system[i][BAND];
        }
    }
    for (int i = frames - 1; i >= 0; i--) {
        ret[i] = system[i][BAND];
        for (int k = 1; k < BAND && i + k < frames; k++)
            ret[i] -= system[i][k] * ret[i + k];
        ret[i] /= system[i][0];
    }
}

/* The share of a move that changes no step by more than half; ret_most: the greatest change. 0: the
 * system had no solution. */
static double share_of(const double *move, int frames, double *ret_most)
{
    double sum = 0;
    *ret_most = 0;
    for (int i = 0; i + 1 < frames; i++) {
        sum += fabs(move[i + 1] - move[i]);
        *ret_most = fmax(*ret_most, fabs(move[i + 1] - move[i]));
    }
    return !isfinite(sum) ? 0 : *ret_most > 0.5 ? 0.5 / *ret_most : 1;
}

/* Whether a cell can say something of the planes. What an end of the bracket has sharpest may lie far
 * outside: then its curve is flat. */
static bool is_telling(const struct pf_curves *curves, int cell)
{
    int best = curves->best[cell], last = curves->frames - 1;
    if (best != 0 && best != last)
        return best > 0;
    return pf_curves_sharpness(curves, best, cell) >
           LEAST_FALL * pf_curves_sharpness(curves, last - best, cell);
}

int pf_focal_planes(const struct pf_curves *curves, double *position, double *width)
{
    struct pf_cell_fit fit[PF_FOCUS_CELLS];
    double widths[PF_FOCUS_CELLS], usual = log(*width / HALF), most = 1;
    int cell[PF_FOCUS_CELLS], count = 0, frames = curves->frames;
    band_row *system = calloc((size_t)frames, sizeof(*system));
    double *move = calloc((size_t)frames, sizeof(*move));
    struct normal *normal = calloc(PF_FOCUS_CELLS, sizeof(*normal));
    if (!system || !move || !normal) {
        free(system);
        free(move);
        free(normal);
        return -ENOMEM;
    }
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        if (!is_telling(curves, c))
            continue;
        fit[count] = start_of(curves, position, *width, c);
        cell[count++] = c;
    }
    for (int round = 0; round < ROUNDS && count && most > 0.01; round++) {
        memset(system, 0, (size_t)frames * sizeof(*system));
        for (int i = 0; i < count; i++) {
            derive(&normal[i], curves, position, usual, cell[i], &fit[i]);
            add_cell(system, &normal[i]);
        }
        add_evenness(system, position, frames);
        solve(system, frames, move);
        double share = share_of(move, frames, &most);
        if (!(share > 0))
            break;
        for (int i = 0; i < count; i++) {
            improve(&fit[i], &normal[i], move, share);
            widths[i] = fit[i].width;
        }
        for (int i = 0; i < frames; i++)
            position[i] += share * move[i];
        for (int i = 1; i < frames; i++)
            position[i] = fmax(position[i], position[i - 1] + LEAST_STEP);
        usual = middle(widths, count);
    }
    *width = exp(usual) * HALF;
    free(system);
    free(move);
    free(normal);
    return 0;
}
