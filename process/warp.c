#include "process/warp.h"

#include <math.h>

int pf_warp_extend(const struct pf_warp *warp, const struct pf_field *more, int width, int height,
                   struct pf_field **ret, struct pf_error *err)
{
    double spacing = width > height ? width : height;
    const struct pf_field *both[] = {warp->field, more};
    for (int i = 0; i < 2; i++)
        if (both[i])
            spacing = fmin(spacing, fmin(both[i]->spacing_x, both[i]->spacing_y));
    struct pf_field *field = NULL;
    int r = pf_field_new(&field, width, height, spacing, err);
    if (r < 0)
        return r;
    for (int j = 1; j < field->rows - 1; j++) {
        for (int i = 1; i < field->columns - 1; i++) {
            double x = field->origin_x + i * field->spacing_x;
            double y = field->origin_y + j * field->spacing_y;
            double d[2] = {0}, px, py, hx, hy;
            if (more)
                pf_field_at(more, x, y, d);
            pf_warp_apply(warp, x + d[0], y + d[1], &px, &py);
            pf_homography_apply(warp->h, x, y, &hx, &hy);
            float *node = field->nodes[(size_t)j * (size_t)field->columns + (size_t)i];
            node[0] = (float)(px - hx);
            node[1] = (float)(py - hy);
        }
    }
    pf_field_continue(field);
    r = pf_field_interpolate(field, err);
    if (r < 0) {
        pf_field_free(field);
        return r;
    }
    *ret = field;
    return 0;
}
