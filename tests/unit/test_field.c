/* Displacement fields, alone and in the warp of a frame. */
#include <string.h>

#include "process/backend.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 320, HEIGHT = 240 };

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

static double *node_of(struct pf_field *field, int i, int j, double at[2])
{
    at[0] = field->origin_x + i * field->spacing_x;
    at[1] = field->origin_y + j * field->spacing_y;
    return at;
}

/* A smooth displacement of a few pixels. */
static void wave(double amplitude, double x, double y, double ret[2])
{
    ret[0] = amplitude * sin(2 * M_PI * (x / 250 + y / 400));
    ret[1] = amplitude * cos(2 * M_PI * (y / 210 - x / 500));
}

static struct pf_field *wave_field(double amplitude, double spacing)
{
    struct pf_field *field = NULL;
    CHECK_EQ(pf_field_new(&field, WIDTH, HEIGHT, spacing, NULL), 0);
    for (int j = 0; j < field->rows; j++)
        for (int i = 0; i < field->columns; i++) {
            double at[2], d[2];
            node_of(field, i, j, at);
            wave(amplitude, at[0], at[1], d);
            field->nodes[j * field->columns + i][0] = (float)d[0];
            field->nodes[j * field->columns + i][1] = (float)d[1];
        }
    CHECK_EQ(pf_field_interpolate(field, NULL), 0);
    return field;
}

TEST(field_passes_through_its_values_and_is_smooth_between)
{
    struct pf_field *field = wave_field(4, 20);
    for (int j = 1; j < field->rows - 1; j++)
        for (int i = 1; i < field->columns - 1; i++) {
            double at[2], d[2], expected[2];
            node_of(field, i, j, at);
            pf_field_at(field, at[0], at[1], d);
            wave(4, at[0], at[1], expected);
            CHECK(hypot(d[0] - expected[0], d[1] - expected[1]) < 1e-4);
        }
    for (int y = 0; y < HEIGHT; y += 7) {
        double row[WIDTH][2], d[2], expected[2];
        pf_field_row(field, 0, 1, y, WIDTH, row);
        for (int x = 0; x < WIDTH; x++) {
            pf_field_at(field, x, y, d);
            wave(4, x, y, expected);
            CHECK(d[0] == row[x][0] && d[1] == row[x][1]);
            bool inner = x > 20 && x < WIDTH - 21 && y > 20 && y < HEIGHT - 21;
            CHECK(hypot(d[0] - expected[0], d[1] - expected[1]) < (inner ? 0.01 : 0.25));
        }
    }
    pf_field_free(field);
}

TEST(field_says_when_it_folds)
{
    struct pf_field *mild = wave_field(4, 20), *wild = wave_field(60, 20);
    struct pf_field_shape shape = pf_field_look(mild, WIDTH, HEIGHT);
    CHECK(shape.finite && shape.most_px > 5.4 && shape.most_px < 6 && shape.mean_px > 3);
    CHECK(shape.least_jacobian > 0.7 && shape.least_jacobian < 0.9);
    CHECK(shape.straight_px > 5 && shape.straight_px < 32);
    CHECK(pf_field_look(wild, WIDTH, HEIGHT).least_jacobian < 0);
    mild->nodes[5][1] = NAN;
    CHECK(!pf_field_look(mild, WIDTH, HEIGHT).finite);
    pf_field_free(mild);
    pf_field_free(wild);
}

TEST(field_of_two_displacements_in_a_row)
{
    struct pf_warp warp = {.h = {1.01, -0.02, 3, 0.02, 1.01, -2, 0, 0, 1},
                           .field = wave_field(3, 32)};
    struct pf_field *more = wave_field(1.5, 20), *both = NULL;
    CHECK_EQ(pf_warp_extend(&warp, more, WIDTH, HEIGHT, &both, NULL), 0);
    struct pf_warp whole = {.field = both};
    memcpy(whole.h, warp.h, sizeof(whole.h));
    for (int y = 20; y < HEIGHT - 20; y += 9)
        for (int x = 20; x < WIDTH - 20; x += 9) {
            double d[2], px, py, qx, qy;
            pf_field_at(more, x, y, d);
            pf_warp_apply(&warp, x + d[0], y + d[1], &px, &py);
            pf_warp_apply(&whole, x, y, &qx, &qy);
            bool inner = x >= 40 && x < WIDTH - 40 && y >= 40 && y < HEIGHT - 40;
            if (!(hypot(px - qx, py - qy) < (inner ? 0.02 : 0.06)))
                FAIL("%.3f px off at %d, %d", hypot(px - qx, py - qy), x, y);
        }
    pf_field_free(both);
    pf_field_free(more);
    pf_field_free(warp.field);
}

/* A frame whose point warp(x, y) shows the texture at (x, y), in luma; chroma of half the size. */
static struct pf_image *bent_frame(const struct pf_warp *warp)
{
    struct pf_image *frame = NULL;
    CHECK_EQ(pf_image_new(&frame, WIDTH, HEIGHT, 8, 3, 1, 1, NULL), 0);
    frame->orientation = 1;
    frame->source_bits = 8;
    for (int plane = 0; plane < 3; plane++) {
        int scale = plane ? 2 : 1;
        for (int y = 0; y < HEIGHT / scale; y++)
            for (int x = 0; x < WIDTH / scale; x++) {
                double fx = scale * x + (scale - 1) / 2.0, fy = scale * y + (scale - 1) / 2.0;
                double rx = fx, ry = fy;
                for (int i = 0; i < 20; i++) { /* the inverse, by fixed-point iteration */
                    double px, py;
                    pf_warp_apply(warp, rx, ry, &px, &py);
                    rx += fx - px;
                    ry += fy - py;
                }
                double value = texture_at((uint32_t)(7 + plane), rx, ry, plane ? 24 : 12);
                ((uint8_t *)
                     frame->plane[plane])[(size_t)y * frame->stride_bytes[plane] + (size_t)x] =
                    (uint8_t)(value + 0.5);
            }
    }
    return frame;
}

static double mean_difference(const struct pf_image *a, const struct pf_image *b, int plane)
{
    int width = pf_image_plane_width(a, plane), height = pf_image_plane_height(a, plane), edge = 16;
    double sum = 0;
    for (int y = edge; y < height - edge; y++)
        for (int x = edge; x < width - edge; x++) {
            uint16_t p, q;
            memcpy(&p,
                   (const char *)a->plane[plane] + (size_t)y * a->stride_bytes[plane] +
                       2 * (size_t)x,
                   2);
            memcpy(&q,
                   (const char *)b->plane[plane] + (size_t)y * b->stride_bytes[plane] +
                       2 * (size_t)x,
                   2);
            sum += abs(p - q) / 257.0;
        }
    return sum / ((width - 2 * edge) * (height - 2 * edge));
}

static struct pf_image *fused(enum pf_fuse fuse, const struct pf_image *frame,
                              const struct pf_warp *warp)
{
    struct pf_stack_settings settings = {.fuse = fuse, .clip = 3};
    const struct pf_backend *backend = &pf_backend_cpu;
    struct pf_focus focus;
    struct pf_error err = {0};
    struct pf_image *result = NULL;
    double contrast;
    void *engine = NULL;
    CHECK_OK(backend->open(&engine, &settings, NULL, &err), &err);
    CHECK_OK(backend->load(engine, frame, NULL, &focus, &contrast, &err), &err);
    CHECK_OK(backend->fuse(engine, warp, &(struct pf_light_match){1, {1, 1, 1}}, 0, &err), &err);
    CHECK_OK(backend->finish(engine, &result, &err), &err);
    backend->close(engine);
    return result;
}

/* Of two fields: one that bends little within a segment of the warp, and one that bends much. */
TEST(field_is_undone_when_a_frame_is_fused)
{
    static const double amplitudes[] = {0.8, 5};
    struct pf_warp straight = {.field = NULL};
    memcpy(straight.h, identity, sizeof(identity));
    struct pf_image *plain = bent_frame(&straight);
    for (int i = 0; i < 4; i++) {
        enum pf_fuse fuse = i & 1 ? PF_FUSE_AVERAGE : PF_FUSE_PYRAMID;
        struct pf_warp warp = {.h = {1.004, 0.003, 2.25, -0.003, 1.004, -1.5, 0, 0, 1},
                               .field = wave_field(amplitudes[i / 2], 32)};
        struct pf_image *frame = bent_frame(&warp), *expected = fused(fuse, plain, &straight);
        struct pf_image *bent = fused(fuse, frame, &straight), *right = fused(fuse, frame, &warp);
        for (int plane = 0; plane < 3; plane++) {
            double before = mean_difference(bent, expected, plane);
            double after = mean_difference(right, expected, plane);
            if (!(after < 0.45 && before > 2 * after + 0.4))
                FAIL("field %d, plane %d: %.2f grey levels of %.2f remain", i, plane, after,
                     before);
        }
        pf_image_free(frame);
        pf_image_free(expected);
        pf_image_free(bent);
        pf_image_free(right);
        pf_field_free(warp.field);
    }
    pf_image_free(plain);
}
