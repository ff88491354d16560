#include "tests/gen/burst.h"

#include <math.h>
#include <stdlib.h>

#include "process/homography.h"
#include "tests/gen/rows.h"

struct pf_gen_options pf_gen_options_usual(void)
{
    return (struct pf_gen_options){.kind = PF_GEN_TEXTURED,
                                   .width = 1728,
                                   .height = 1152,
                                   .frames = 10,
                                   .seed = 1,
                                   .breathing = 0.015,
                                   .shift_px = -1,
                                   .rotation_deg = 0.15,
                                   .noise = 1,
                                   .flicker = 0.01,
                                   .misfire = 1,
                                   .blur_px = -1,
                                   .focus_to = 1};
}

void pf_gen_options_settle(struct pf_gen_options *options)
{
    if (options->shift_px < 0)
        options->shift_px = 5 * sqrt((double)options->width * options->height / 2e6);
}

struct pf_gen_scene *pf_gen_burst_scene(const struct pf_gen_options *options)
{
    double corner = hypot(options->width, options->height) / 2;
    double move = 1.5 * (options->shift_px + fabs(options->breathing) * corner +
                         fabs(options->rotation_deg) * M_PI / 180 * corner + options->deform_px);
    return pf_gen_scene_new(options->kind, options->width, options->height, (int)ceil(move) + 10,
                            (float)options->blur_px, options->seed);
}

/* Normal, cut off at two deviations. */
static double wobble(struct pf_gen_random *random)
{
    double v = pf_gen_normal(random);
    return v < -2 ? -2 : v > 2 ? 2 : v;
}

struct pf_gen_shot *pf_gen_burst_shots(const struct pf_gen_options *options)
{
    struct pf_gen_shot *shots = pf_gen_alloc((size_t)options->frames, sizeof(*shots));
    struct pf_gen_random random = {options->seed ^ 0x66726d73ull};
    struct pf_gen_random white = {options->seed ^ 0x77686974ull};
    double heading = pf_gen_uniform(&random, 0, 2 * M_PI);
    double turn = options->rotation_deg * M_PI / 180 * (pf_gen_next(&random) & 1 ? 1 : -1);
    for (int i = 0; i < options->frames; i++) {
        struct pf_gen_shot *shot = &shots[i];
        double t = options->frames > 1 ? (double)i / (options->frames - 1) : 0;
        double jitter = i ? options->shift_px / 7 : 0;
        double x = options->shift_px * t * cos(heading) + jitter * wobble(&random);
        double y = options->shift_px * t * sin(heading) + jitter * wobble(&random);
        double angle = turn * t + (i ? turn / 7 * wobble(&random) : 0);
        double flicker = i ? pf_gen_uniform(&random, -options->flicker, options->flicker) : 0;
        shot->focus = options->focus_from + t * (options->focus_to - options->focus_from);
        shot->deform = pf_gen_deform_new(options->width, options->height, options->deform_px * t,
                                         options->seed);
        double brightness = i ? (1 + flicker) * pow(1 + options->drift, i) : options->misfire;
        shot->exposure = pow(brightness, 2.2);
        for (int c = 0; c < 3; c += 2)
            shot->colour[c] =
                i ? pow(1 + pf_gen_uniform(&white, -options->white_drift, options->white_drift),
                        2.2)
                  : 1;
        shot->colour[1] = 1;
        shot->noise = options->noise;
        shot->seed = (uint32_t)pf_gen_next(&random);
        pf_gen_similarity(shot->transform, options->width, options->height,
                          1 + options->breathing * t, angle, x, y);
    }
    return shots;
}

static json_t *displacement_json(const struct pf_gen_shot *shot)
{
    enum { CELLS = 16 };
    json_t *grid = json_array();
    for (int i = 0; i < CELLS * CELLS; i++) {
        double x = (i % CELLS + 0.5) * shot->deform.width / CELLS - 0.5, plain[2], bent[2];
        double y = (i / CELLS + 0.5) * shot->deform.height / CELLS - 0.5;
        pf_homography_apply(shot->transform, x, y, &plain[0], &plain[1]);
        pf_gen_deform_find(&shot->deform, shot->transform, x, y, bent);
        json_array_append_new(grid, json_pack("[f, f]", bent[0] - plain[0], bent[1] - plain[1]));
    }
    return grid;
}

json_t *pf_gen_shot_json(const struct pf_gen_shot *shot, const char *file)
{
    json_t *transform = json_array();
    for (int i = 0; i < 9; i++)
        json_array_append_new(transform, json_real(shot->transform[i]));
    json_t *json = json_pack("{s:s, s:f, s:f, s:[f, f, f], s:o}", "file", file, "focus",
                             shot->focus, "gain", pow(shot->exposure, -1 / 2.2), "balance",
                             pow(shot->colour[0], -1 / 2.2), pow(shot->colour[1], -1 / 2.2),
                             pow(shot->colour[2], -1 / 2.2), "transform", transform);
    if (shot->deform.reach_px > 0)
        json_object_set_new(json, "displacement", displacement_json(shot));
    return json;
}

uint16_t *pf_gen_burst_truth(const struct pf_gen_scene *scene, struct pf_gen_canvas *canvas)
{
    struct pf_gen_lens lens = {.blur_px = scene->blur_px, .truth = true};
    struct pf_gen_shot shot = {.exposure = 1, .colour = {1, 1, 1}};
    pf_gen_similarity(shot.transform, scene->width, scene->height, 1, 0, 0, 0);
    pf_gen_scene_render(scene, &lens, canvas);
    return pf_gen_expose(scene, canvas, &shot, 16);
}

uint16_t *pf_gen_burst_depth(const struct pf_gen_scene *scene)
{
    float *depth = pf_gen_scene_depth(scene);
    uint16_t *samples =
        pf_gen_alloc((size_t)scene->width * (size_t)scene->height, sizeof(*samples));
    for (int y = 0; y < scene->height; y++) {
        const float *row =
            depth + (size_t)(y + scene->margin) * (size_t)scene->canvas_width + scene->margin;
        for (int x = 0; x < scene->width; x++) {
            float d = row[x] < 0 ? 0 : row[x] > 1 ? 1 : row[x];
            samples[(size_t)y * (size_t)scene->width + (size_t)x] = (uint16_t)lrintf(65535 * d);
        }
    }
    free(depth);
    return samples;
}
