/* compare: a stack against the generator's truth.
 *
 *   compare --truth DIR [--json] [--transforms FILE] [--selector] [--gain] [--error PNG]
 *           [--depth MAP] [RESULT]
 *
 * The truth (DIR/truth.png) is registered to the result by an affine transform; PSNR and SSIM are
 * of luma over the central 90 %. --gain takes out a difference of gain and offset as well (both
 * values are reported anyway). "cast" is how far red and blue stand off green, on average, beside the
 * truth, in grey levels of 255. --error draws the difference, eight times as strong, around grey.
 * --selector also stacks DIR's frames clairvoyantly: aligned by the true transforms, for each pixel
 * the frame nearest to the truth. --transforms checks an engine's transforms (JSON with "frames":
 * [{"file", "transform"}]) against the true ones at the corners. --depth checks a depth map.
 */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/measure.h"
#include "tests/gen/picture.h"
#include "tests/gen/rows.h"

struct truth {
    const char *dir;
    json_t *json;
    struct pf_gen_plane luma;
    uint8_t *edge; /* 1 near a depth edge */
};

static _Noreturn void stop(const char *what, const char *why)
{
    fprintf(stderr, "compare: %s: %s\n", what, why);
    exit(1);
}

static struct pf_gen_plane read_luma(const char *path)
{
    struct pf_error err = {0};
    uint16_t *samples;
    int width, height, channels;
    if (pf_gen_picture_read(path, &samples, &width, &height, &channels, &err) < 0)
        stop("cannot read", err.text);
    struct pf_gen_plane plane = pf_gen_luma(samples, width, height, channels);
    free(samples);
    return plane;
}

/* Mean of each channel over the central 90 %, grey levels of 255. */
static void mean_colour(const char *path, double mean[3])
{
    struct pf_error err = {0};
    uint16_t *samples;
    int width, height, channels;
    if (pf_gen_picture_read(path, &samples, &width, &height, &channels, &err) < 0)
        stop("cannot read", err.text);
    int border = (int)(0.05 * (width < height ? width : height));
    double count = (double)(width - 2 * border) * (height - 2 * border);
    mean[0] = mean[1] = mean[2] = 0;
    for (int y = border; y < height - border; y++)
        for (int x = border; x < width - border; x++)
            for (int c = 0; c < 3; c++)
                mean[c] += samples[((size_t)y * (size_t)width + (size_t)x) * (size_t)channels +
                                   (size_t)(channels >= 3 ? c : 0)] /
                           257.0 / count;
    free(samples);
}

static char *join(const char *dir, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        stop(name, "out of memory");
    return path;
}

/* Marks what lies within `reach` px of a step in depth. */
static uint8_t *edge_zone(const struct pf_gen_plane *depth, int reach)
{
    int width = depth->width, height = depth->height;
    struct pf_gen_plane mark = pf_gen_plane_new(width, height);
    uint8_t *zone = pf_gen_alloc((size_t)width * (size_t)height, 1);
    for (int y = 0; y + 1 < height; y++) {
        for (int x = 0; x + 1 < width; x++) {
            const float *d = depth->value + (size_t)y * (size_t)width + x;
            if (fabsf(d[1] - d[0]) > 0.04f * 255 || fabsf(d[width] - d[0]) > 0.04f * 255)
                mark.value[(size_t)y * (size_t)width + (size_t)x] = 1;
        }
    }
    /* Two passes of a running maximum: rows, then columns. */
    for (int y = 0; y < height; y++) {
        int last = -width;
        for (int pass = 0; pass < 2; pass++, last = 2 * width) {
            for (int i = 0; i < width; i++) {
                int x = pass ? width - 1 - i : i;
                if (mark.value[(size_t)y * (size_t)width + (size_t)x] > 0)
                    last = x;
                if (abs(x - last) <= reach)
                    zone[(size_t)y * (size_t)width + (size_t)x] = 1;
            }
        }
    }
    uint8_t *rows = pf_gen_alloc((size_t)width * (size_t)height, 1);
    memcpy(rows, zone, (size_t)width * (size_t)height);
    for (int x = 0; x < width; x++) {
        int last = -height;
        for (int pass = 0; pass < 2; pass++, last = 2 * height) {
            for (int i = 0; i < height; i++) {
                int y = pass ? height - 1 - i : i;
                size_t at = (size_t)y * (size_t)width + (size_t)x;
                if (rows[at])
                    last = y;
                if (abs(y - last) <= reach)
                    zone[at] = 1;
            }
        }
    }
    free(rows);
    pf_gen_plane_free(&mark);
    return zone;
}

static struct truth truth_open(const char *dir, bool pictures)
{
    struct truth truth = {.dir = dir};
    json_error_t error;
    char *path = join(dir, "truth.json");
    truth.json = json_load_file(path, 0, &error);
    if (!truth.json)
        stop(path, error.text);
    free(path);
    if (!pictures)
        return truth;
    path = join(dir, "truth.png");
    truth.luma = read_luma(path);
    free(path);
    path = join(dir, "depth.png");
    struct pf_gen_plane depth = read_luma(path);
    free(path);
    double unit = sqrt((double)depth.width * depth.height / 2e6);
    truth.edge = edge_zone(&depth, (int)lrint(8 * unit) + 1);
    pf_gen_plane_free(&depth);
    return truth;
}

static void truth_close(struct truth *truth)
{
    json_decref(truth->json);
    pf_gen_plane_free(&truth->luma);
    free(truth->edge);
}

static bool matrix_of(const json_t *array, double matrix[9])
{
    if (json_array_size(array) != 9)
        return false;
    for (size_t i = 0; i < 9; i++)
        matrix[i] = json_number_value(json_array_get(array, i));
    return true;
}

static json_t *scores(const struct pf_gen_plane *result, const struct pf_gen_plane *truth,
                      const uint8_t *edge)
{
    int border = (int)(0.05 * (result->width < result->height ? result->width : result->height));
    double share = 0;
    size_t pixels = (size_t)result->width * (size_t)result->height;
    for (size_t i = 0; i < pixels; i++)
        share += edge[i];
    double edge_psnr = pf_gen_psnr(result, truth, border, edge, 1);
    double rest_psnr = pf_gen_psnr(result, truth, border, edge, 0);
    json_t *object = json_object();
    json_object_set_new(object, "psnr", json_real(pf_gen_psnr(result, truth, border, NULL, 0)));
    json_object_set_new(object, "ssim", json_real(pf_gen_ssim(result, truth, border)));
    json_object_set_new(object, "psnr_edge", isnan(edge_psnr) ? json_null() : json_real(edge_psnr));
    json_object_set_new(object, "psnr_rest", isnan(rest_psnr) ? json_null() : json_real(rest_psnr));
    json_object_set_new(object, "edge_share", json_real(share / (double)pixels));
    return object;
}

static void draw_error(const char *path, const struct pf_gen_plane *result,
                       const struct pf_gen_plane *truth)
{
    struct pf_gen_encoding png = {PF_GEN_PNG, 8, 1, 0, 0, 3};
    struct pf_error err = {0};
    size_t pixels = (size_t)result->width * (size_t)result->height;
    uint16_t *samples = pf_gen_alloc(pixels, sizeof(*samples));
    for (size_t i = 0; i < pixels; i++) {
        float v = 128 + 8 * (result->value[i] - truth->value[i]);
        samples[i] = (uint16_t)(257 * (v < 0 ? 0 : v > 255 ? 255 : (int)v));
    }
    if (pf_gen_picture_write(path, samples, result->width, result->height, &png, NULL, &err) < 0)
        stop("cannot write", err.text);
    free(samples);
}

static json_t *compare_result(const struct truth *truth, const char *path, bool take_gain,
                              const char *error)
{
    struct pf_gen_plane result = read_luma(path);
    int width = result.width, height = result.height;
    if (width != truth->luma.width || height != truth->luma.height)
        stop(path, "is not of the truth's size");
    struct pf_gen_match match = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, 1, 0};
    pf_gen_register(&result, &truth->luma, &match);
    struct pf_gen_plane moved = pf_gen_resample(&truth->luma, match.transform, width, height);
    uint8_t *edge = pf_gen_alloc((size_t)width * (size_t)height, 1);
    double farthest = 0;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            double px, py;
            pf_gen_matrix_apply(match.transform, x, y, &px, &py);
            farthest = fmax(farthest, hypot(px - x, py - y));
            int sx = (int)lrint(px), sy = (int)lrint(py);
            if (sx >= 0 && sy >= 0 && sx < width && sy < height)
                edge[(size_t)y * (size_t)width + (size_t)x] =
                    truth->edge[(size_t)sy * (size_t)width + (size_t)sx];
        }
    }
    int border = (int)(0.05 * (width < height ? width : height));
    struct pf_gen_plane tuned = pf_gen_plane_new(width, height);
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++)
        tuned.value[i] = (float)(match.gain * moved.value[i] + match.offset);
    if (error)
        draw_error(error, &result, take_gain ? &tuned : &moved);
    json_t *object = scores(&result, take_gain ? &tuned : &moved, edge);
    json_object_set_new(object, "psnr_gain",
                        json_real(pf_gen_psnr(&result, &tuned, border, NULL, 0)));
    json_object_set_new(object, "gain", json_real(match.gain));
    json_object_set_new(object, "offset", json_real(match.offset));
    double own[3], true_colour[3];
    char *true_path = join(truth->dir, "truth.png");
    mean_colour(path, own);
    mean_colour(true_path, true_colour);
    free(true_path);
    for (int c = 0; c < 3; c++)
        own[c] -= true_colour[c];
    json_object_set_new(object, "cast", json_pack("[f, f]", own[0] - own[1], own[2] - own[1]));
    json_object_set_new(object, "moved_px", json_real(farthest));
    pf_gen_plane_free(&tuned);
    pf_gen_plane_free(&moved);
    pf_gen_plane_free(&result);
    free(edge);
    return object;
}

static json_t *compare_selector(const struct truth *truth)
{
    const json_t *frames = json_object_get(truth->json, "frames");
    int width = truth->luma.width, height = truth->luma.height;
    size_t pixels = (size_t)width * (size_t)height, index;
    struct pf_gen_plane best = pf_gen_plane_new(width, height);
    struct pf_gen_plane least = pf_gen_plane_new(width, height);
    for (size_t i = 0; i < pixels; i++)
        least.value[i] = INFINITY;
    json_t *entry;
    json_array_foreach(frames, index, entry)
    {
        double transform[9], gain = json_number_value(json_object_get(entry, "gain"));
        if (!matrix_of(json_object_get(entry, "transform"), transform))
            stop("truth.json", "a frame has no transform");
        char *path = join(truth->dir, json_string_value(json_object_get(entry, "file")));
        struct pf_gen_plane frame = read_luma(path);
        struct pf_gen_plane aligned = pf_gen_resample(&frame, transform, width, height);
        struct pf_gen_plane error = pf_gen_plane_new(width, height);
        for (size_t i = 0; i < pixels; i++) {
            aligned.value[i] *= (float)gain;
            error.value[i] = fabsf(aligned.value[i] - truth->luma.value[i]);
        }
        pf_gen_smooth(&error, 1.5f);
        for (size_t i = 0; i < pixels; i++) {
            if (error.value[i] < least.value[i]) {
                least.value[i] = error.value[i];
                best.value[i] = aligned.value[i];
            }
        }
        pf_gen_plane_free(&error);
        pf_gen_plane_free(&aligned);
        pf_gen_plane_free(&frame);
        free(path);
    }
    json_t *object = scores(&best, &truth->luma, truth->edge);
    pf_gen_plane_free(&best);
    pf_gen_plane_free(&least);
    return object;
}

static const char *name_of(const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "file"));
    if (!name)
        name = json_string_value(json_object_get(entry, "path"));
    const char *slash = name ? strrchr(name, '/') : NULL;
    return slash ? slash + 1 : name;
}

static const json_t *frame_named(const json_t *frames, const char *name)
{
    size_t index;
    json_t *entry;
    json_array_foreach(frames, index, entry)
    {
        const char *other = name_of(entry);
        if (other && name && !strcmp(other, name))
            return entry;
    }
    return NULL;
}

/* Distance of the engine's and the true place of the reference's corners in each frame. The
 * engine's reference may be any frame: the one with its "reference" set, else the first. */
static json_t *compare_transforms(const struct truth *truth, const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        stop(path, error.text);
    const json_t *truths = json_object_get(truth->json, "frames");
    const json_t *frames = json_is_array(root) ? root : json_object_get(root, "frames");
    double base[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, back[9], worst = 0, last = NAN;
    double right = json_number_value(json_object_get(truth->json, "width")) - 1;
    double bottom = json_number_value(json_object_get(truth->json, "height")) - 1;
    size_t index, compared = 0;
    json_t *entry;
    json_array_foreach(frames, index, entry)
    {
        const json_t *own = frame_named(truths, name_of(entry));
        if (own && json_is_true(json_object_get(entry, "reference")))
            matrix_of(json_object_get(own, "transform"), base);
    }
    pf_gen_matrix_invert(base, back);
    json_t *list = json_array();
    json_array_foreach(frames, index, entry)
    {
        const json_t *own = frame_named(truths, name_of(entry));
        double found[9], wanted[9], off = 0;
        if (!own || !matrix_of(json_object_get(entry, "transform"), found) ||
            !matrix_of(json_object_get(own, "transform"), wanted))
            continue;
        pf_gen_matrix_multiply(wanted, back, wanted);
        for (int corner = 0; corner < 4; corner++) {
            double x = corner & 1 ? right : 0;
            double y = corner & 2 ? bottom : 0, fx, fy, wx, wy;
            pf_gen_matrix_apply(found, x, y, &fx, &fy);
            pf_gen_matrix_apply(wanted, x, y, &wx, &wy);
            off = fmax(off, hypot(fx - wx, fy - wy));
        }
        json_array_append_new(list, json_pack("{s:s, s:f}", "file", name_of(entry), "px", off));
        worst = fmax(worst, off);
        last = off;
        compared++;
    }
    json_decref(root);
    if (!compared)
        stop(path, "holds no transform of the truth's frames");
    return json_pack("{s:f, s:f, s:o}", "corner_max_px", worst, "corner_last_px", last, "frames",
                     list);
}

static void say_scores(const char *who, const json_t *object)
{
    if (!object)
        return;
    printf("%-9s PSNR %6.2f dB  SSIM %.4f  near depth edges %6.2f dB  elsewhere %6.2f dB", who,
           json_number_value(json_object_get(object, "psnr")),
           json_number_value(json_object_get(object, "ssim")),
           json_number_value(json_object_get(object, "psnr_edge")),
           json_number_value(json_object_get(object, "psnr_rest")));
    if (json_object_get(object, "psnr_gain"))
        printf("  without gain %6.2f dB  moved %.2f px",
               json_number_value(json_object_get(object, "psnr_gain")),
               json_number_value(json_object_get(object, "moved_px")));
    putchar('\n');
}

static int say_evenness(const char *part, const char *path)
{
    int width, height, left, top;
    struct pf_gen_plane luma = read_luma(path);
    if (sscanf(part, "%dx%d+%d+%d", &width, &height, &left, &top) != 4 || width < 1 || height < 1 ||
        left < 0 || top < 0 || left + width > luma.width || top + height > luma.height)
        stop(part, "no part WxH+X+Y of the picture");
    double sum = 0, squares = 0, count = (double)width * height;
    for (int y = top; y < top + height; y++) {
        for (int x = left; x < left + width; x++) {
            double value = (double)luma.value[(size_t)y * (size_t)luma.width + (size_t)x];
            sum += value;
            squares += value * value;
        }
    }
    double mean = sum / count;
    printf("%.2f %.2f\n", mean, sqrt(fmax(0, squares / count - mean * mean)));
    pf_gen_plane_free(&luma);
    return 0;
}

/* A depth map beside the truth's, over the central 90 %: the mean of how far it is off, and the share
 * of pixels that are more than 15 % of the whole depth off. */
static json_t *compare_depth(const struct truth *truth, const char *path)
{
    char *true_path = join(truth->dir, "depth.png");
    struct pf_gen_plane depth = read_luma(true_path), own = read_luma(path);
    free(true_path);
    if (own.width != depth.width || own.height != depth.height)
        stop(path, "is not of the truth's size");
    int border = (int)(0.05 * (own.width < own.height ? own.width : own.height));
    double sum = 0, far = 0, count = 0;
    for (int y = border; y < own.height - border; y++) {
        for (int x = border; x < own.width - border; x++) {
            size_t at = (size_t)y * (size_t)own.width + (size_t)x;
            double off = fabs((double)own.value[at] - (double)depth.value[at]) / 255;
            sum += off;
            far += off > 0.15;
            count++;
        }
    }
    pf_gen_plane_free(&own);
    pf_gen_plane_free(&depth);
    return json_pack("{s:f, s:f}", "mean_off", sum / count, "far_off", far / count);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"truth", 1, NULL, 't'},    {"transforms", 1, NULL, 'a'}, {"selector", 0, NULL, 's'},
        {"json", 0, NULL, 'j'},     {"gain", 0, NULL, 'g'},       {"error", 1, NULL, 'e'},
        {"evenness", 1, NULL, 'v'}, {"depth", 1, NULL, 'd'},      {NULL, 0, NULL, 0},
    };
    const char *dir = NULL, *transforms = NULL, *error = NULL, *part = NULL, *depth = NULL;
    bool selector = false, as_json = false, take_gain = false;
    for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (key == 't')
            dir = optarg;
        else if (key == 'a')
            transforms = optarg;
        else if (key == 'e')
            error = optarg;
        else if (key == 'v')
            part = optarg;
        else if (key == 'd')
            depth = optarg;
        else if (key == 's')
            selector = true;
        else if (key == 'j')
            as_json = true;
        else if (key == 'g')
            take_gain = true;
        else
            return 2;
    }
    if (part && optind + 1 == argc)
        return say_evenness(part, argv[optind]);
    if (!dir || (optind == argc && !selector && !transforms)) {
        fputs("usage: compare --truth DIR [--json] [--gain] [--selector] [--transforms FILE] "
              "[--error PNG] [--depth MAP] [RESULT]\n",
              stderr);
        return 2;
    }
    struct truth truth = truth_open(dir, optind < argc || selector);
    json_t *report = json_object();
    if (optind < argc)
        json_object_set_new(report, "result",
                            compare_result(&truth, argv[optind], take_gain, error));
    if (selector)
        json_object_set_new(report, "selector", compare_selector(&truth));
    if (depth)
        json_object_set_new(report, "depth", compare_depth(&truth, depth));
    if (transforms)
        json_object_set_new(report, "align", compare_transforms(&truth, transforms));
    if (as_json) {
        json_dumpf(report, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        const json_t *align = json_object_get(report, "align");
        say_scores("result", json_object_get(report, "result"));
        say_scores("selector", json_object_get(report, "selector"));
        if (align)
            printf("alignment at the corners: at most %.3f px, last frame %.3f px\n",
                   json_number_value(json_object_get(align, "corner_max_px")),
                   json_number_value(json_object_get(align, "corner_last_px")));
    }
    json_decref(report);
    truth_close(&truth);
    return 0;
}
