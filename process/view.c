#include "process/view.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "process/upright.h"

#define KEPT         2                    /* pictures: a stack and the frame it is compared with */
#define KEPT_PIXELS  (INT64_C(100000000)) /* of all of them together, beyond the last one */
#define QUALITY      85
#define PROFILE_MOST (64 << 10) /* bytes of a colour profile that a view may carry */
#define SAMPLES      4          /* in a row of those that make a pixel of a smaller picture */
#define SIDE_MOST    4096

struct kept {
    char *path;
    struct stat st;
    struct pf_image *image; /* colour of 8 bits, maps as they are */
};

struct pf_views {
    struct pf_decode_limits limits;
    struct kept kept[KEPT]; /* the one that was used last first */
};

enum colours { PLAIN, DEPTH, WINNER };

/* What a view shows: pixels (x, y) of the upright picture, step apart, beginning at x0, y0. */
struct view {
    double x0, y0, step;
    int width, height;
    int full_width, full_height; /* of the picture that it is laid over, as stored */
    int orientation;
    bool is_laid;
    double transform[9];
    enum colours colours;
    int frames;
};

int pf_views_new(struct pf_views **ret, const struct pf_decode_limits *limits, struct pf_error *err)
{
    struct pf_views *views = calloc(1, sizeof(*views));
    if (!views)
        return pf_fail(err, ENOMEM, "out of memory for views");
    views->limits = *limits;
    *ret = views;
    return 0;
}

static void forget(struct kept *kept)
{
    pf_image_free(kept->image);
    free(kept->path);
    *kept = (struct kept){0};
}

struct pf_views *pf_views_free(struct pf_views *views)
{
    for (int i = 0; views && i < KEPT; i++)
        forget(&views->kept[i]);
    free(views);
    return NULL;
}

/* ---- pictures ---- */

/* Colour of 16 bits takes twice the room, and a screen shows 8. */
static int reduce_depth(struct pf_image **image, struct pf_error *err)
{
    struct pf_image *from = *image, *to = NULL;
    if (from->bits == 8 || from->planes == 1)
        return 0;
    int r = pf_image_new(&to, from->width, from->height, 8, from->planes, from->chroma_shift_x,
                         from->chroma_shift_y, err);
    if (r == 0)
        r = pf_image_copy_metadata(to, from, err);
    for (int plane = 0; r == 0 && plane < from->planes; plane++) {
        int width = pf_image_plane_width(from, plane), height = pf_image_plane_height(from, plane);
        for (int y = 0; y < height; y++) {
            const uint16_t *in = (const uint16_t *)((const char *)from->plane[plane] +
                                                    (size_t)y * from->stride_bytes[plane]);
            uint8_t *out = (uint8_t *)to->plane[plane] + (size_t)y * to->stride_bytes[plane];
            for (int x = 0; x < width; x++)
                out[x] = (uint8_t)(in[x] >> 8);
        }
    }
    if (r < 0) {
        pf_image_free(to);
        return r;
    }
    pf_image_free(from);
    *image = to;
    return 0;
}

static bool is_same(const struct kept *kept, const char *path, const struct stat *st)
{
    return kept->path && !strcmp(kept->path, path) && kept->st.st_ino == st->st_ino &&
           kept->st.st_dev == st->st_dev && kept->st.st_size == st->st_size &&
           kept->st.st_mtim.tv_sec == st->st_mtim.tv_sec &&
           kept->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

bool pf_views_have(const struct pf_views *views, const char *path)
{
    struct stat st;
    for (int i = 0; i < KEPT; i++)
        if (views->kept[i].path && stat(path, &st) == 0 && is_same(&views->kept[i], path, &st))
            return true;
    return false;
}

static void make_room(struct pf_views *views)
{
    int64_t pixels = 0;
    for (int i = 0; i < KEPT; i++) {
        const struct pf_image *image = views->kept[i].image;
        pixels += image ? (int64_t)image->width * image->height : 0;
        if (i && pixels > KEPT_PIXELS)
            forget(&views->kept[i]);
    }
}

/* The picture of a file, decoded now or before; borrowed until the next call. */
static int picture_of(struct pf_views *views, const char *path, const struct pf_image **ret,
                      struct pf_error *err)
{
    struct kept found = {0};
    struct stat st;
    int at = 0, r = 0;
    if (stat(path, &st) < 0)
        return pf_fail_errno(err, errno, "%s", path);
    while (at < KEPT && !is_same(&views->kept[at], path, &st))
        at++;
    if (at < KEPT) {
        found = views->kept[at];
    } else {
        at = KEPT - 1;
        forget(&views->kept[at]); /* before there is another one */
        r = pf_image_decode(&found.image, path, &views->limits, err);
        if (r == 0)
            r = reduce_depth(&found.image, err);
        found.path = r == 0 ? strdup(path) : NULL;
        found.st = st;
        if (!found.path) {
            pf_image_free(found.image);
            return r < 0 ? r : pf_fail(err, ENOMEM, "out of memory for a view");
        }
    }
    memmove(&views->kept[1], &views->kept[0], (size_t)at * sizeof(found));
    views->kept[0] = found;
    make_room(views);
    *ret = found.image;
    return 0;
}

/* ---- places ---- */

static void lay(const struct view *view, double *x, double *y)
{
    const double *h = view->transform;
    double w = h[6] * *x + h[7] * *y + h[8];
    double a = (h[0] * *x + h[1] * *y + h[2]) / w, b = (h[3] * *x + h[4] * *y + h[5]) / w;
    *x = a;
    *y = b;
}

static int sample_at(const struct pf_image *image, int plane, int x, int y)
{
    int width = pf_image_plane_width(image, plane), height = pf_image_plane_height(image, plane);
    x = x < 0 ? 0 : x >= width ? width - 1 : x;
    y = y < 0 ? 0 : y >= height ? height - 1 : y;
    const char *row = (const char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    return image->bits == 8 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
}

/* The plane's value at a place of the picture as stored, between its samples. */
static double value_at(const struct pf_image *image, int plane, double x, double y, bool nearest)
{
    if (plane && image->chroma_shift_x)
        x = (x - 0.5) / 2;
    if (plane && image->chroma_shift_y)
        y = (y - 0.5) / 2;
    if (nearest)
        return sample_at(image, plane, (int)lround(x), (int)lround(y));
    double left = floor(x), top = floor(y), a = x - left, b = y - top;
    int i = (int)left, j = (int)top;
    double upper = sample_at(image, plane, i, j);
    double lower = b > 0 ? sample_at(image, plane, i, j + 1) : upper;
    if (a > 0) {
        upper += a * (sample_at(image, plane, i + 1, j) - upper);
        lower += b > 0 ? a * (sample_at(image, plane, i + 1, j + 1) - lower) : upper - lower;
    }
    return upper + b * (lower - upper);
}

/* ---- colours of maps ---- */

static uint8_t byte_of(double value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)(value + 0.5);
}

static void to_ycc(const double rgb[3], uint8_t out[3])
{
    double y = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    out[0] = byte_of(y);
    out[1] = byte_of(128 + (rgb[2] - y) * 0.5 / (1 - 0.114));
    out[2] = byte_of(128 + (rgb[0] - y) * 0.5 / (1 - 0.299));
}

/* 0 blue, the first frame; 1 red, the last. */
static void depth_colour(double part, uint8_t out[3])
{
    static const double stops[][3] = {
        {38, 70, 178}, {45, 158, 205}, {92, 190, 110}, {238, 206, 70}, {205, 62, 44}};
    const int last = (int)(sizeof(stops) / sizeof(*stops)) - 1;
    double place = part * last, rgb[3];
    int i = place >= last ? last - 1 : (int)place;
    for (int c = 0; c < 3; c++)
        rgb[c] = stops[i][c] + (place - i) * (stops[i + 1][c] - stops[i][c]);
    to_ycc(rgb, out);
}

/* A hue for each frame; neighbours differ in brightness as well. */
static void winner_colour(int frame, int frames, uint8_t out[3])
{
    double hue = 300.0 * frame / (frames > 1 ? frames - 1 : 1), light = frame % 2 ? 0.72 : 0.95;
    double rgb[3];
    for (int c = 0; c < 3; c++) {
        double k = fmod((c == 0 ? 5 : c == 1 ? 3 : 1) + hue / 60, 6);
        double ramp = fmin(fmin(k, 4 - k), 1);
        rgb[c] = 255 * light * (1 - 0.75 * (ramp < 0 ? 0 : ramp));
    }
    to_ycc(rgb, out);
}

static void map_colour(const struct view *view, const struct pf_image *map, double value,
                       uint8_t out[3])
{
    double most = map->bits == 8 ? 255 : 65535;
    if (view->colours == DEPTH) {
        depth_colour(value / most, out);
    } else if (view->frames < 0) { /* numbers of frames from 1 on */
        winner_colour((int)value - 1, -view->frames, out);
    } else { /* ranks, spread over all values */
        winner_colour((int)lround(value / most * (view->frames - 1)), view->frames, out);
    }
}

/* ---- a view ---- */

static void make_pixel(const struct view *view, const struct pf_image *image, int i, int j,
                       uint8_t out[3])
{
    int samples = view->step > SAMPLES ? SAMPLES : (int)ceil(view->step);
    double sums[3] = {0};
    if (view->colours != PLAIN)
        samples = 1;
    for (int b = 0; b < samples; b++)
        for (int a = 0; a < samples; a++) {
            /* The middle of a pixel of the view, or of a part of it. */
            double u = view->x0 + (i + (a + 0.5) / samples) * view->step - 0.5;
            double v = view->y0 + (j + (b + 0.5) / samples) * view->step - 0.5;
            double x, y;
            pf_upright_place(view->orientation, view->full_width, view->full_height, u, v, &x, &y);
            if (view->is_laid)
                lay(view, &x, &y);
            if (view->is_laid && !(x > -1 && y > -1 && x < image->width && y < image->height))
                continue; /* black: the frame does not reach there */
            for (int plane = 0; plane < image->planes; plane++)
                sums[plane] += value_at(image, plane, x, y, samples > 1 || view->colours != PLAIN) -
                               (plane ? image->bits == 8 ? 128 : 32768 : 0);
        }
    if (view->colours != PLAIN) {
        map_colour(view, image, sums[0], out);
        return;
    }
    double scale = (image->bits == 8 ? 1 : 1 / 257.0) / (samples * samples);
    for (int plane = 0; plane < 3; plane++)
        out[plane] = byte_of(sums[plane] * scale + (plane ? 128 : 0));
}

static int draw(const struct view *view, const struct pf_image *image, struct pf_image **ret,
                struct pf_error *err)
{
    struct pf_image *out = NULL;
    int planes = image->planes == 3 || view->colours != PLAIN ? 3 : 1;
    int r = pf_image_new(&out, view->width, view->height, 8, planes, 0, 0, err);
    if (r < 0)
        return r;
    for (int j = 0; j < view->height; j++)
        for (int i = 0; i < view->width; i++) {
            uint8_t pixel[3];
            make_pixel(view, image, i, j, pixel);
            for (int plane = 0; plane < planes; plane++)
                ((uint8_t *)out->plane[plane])[(size_t)j * out->stride_bytes[plane] + (size_t)i] =
                    pixel[plane];
        }
    if (image->icc.size_bytes && image->icc.size_bytes <= PROFILE_MOST && view->colours == PLAIN) {
        out->icc.bytes = malloc(image->icc.size_bytes);
        if (out->icc.bytes) {
            memcpy(out->icc.bytes, image->icc.bytes, image->icc.size_bytes);
            out->icc.size_bytes = image->icc.size_bytes;
        }
    }
    out->orientation = 1;
    out->source_bits = 8;
    *ret = out;
    return 0;
}

static int write_view(const struct pf_image *image, const char *path, struct pf_error *err)
{
    struct pf_encode_options options = {.format = PF_FORMAT_JPEG,
                                        .bits = 8,
                                        .jpeg_quality = QUALITY,
                                        .threads = 1,
                                        .fleeting = true};
    return pf_image_encode_aside(image, path, &options, err);
}

/* ---- commands ---- */

static int integer(const json_t *command, const char *key, int initial)
{
    const json_t *value = json_object_get(command, key);
    json_int_t number = json_integer_value(value);
    return json_is_integer(value) && number >= 0 && number <= 1 << 24 ? (int)number : initial;
}

static int take_transform(struct view *view, const json_t *command, struct pf_error *err)
{
    const json_t *transform = json_object_get(command, "transform");
    view->is_laid = json_is_array(transform);
    if (!view->is_laid)
        return 0;
    if (json_array_size(transform) != 9)
        return pf_fail(err, EINVAL, "a transform has nine numbers");
    for (size_t i = 0; i < 9; i++)
        view->transform[i] = json_number_value(json_array_get(transform, i));
    view->orientation = integer(command, "orientation", 1);
    view->full_width = integer(command, "width", 0);
    view->full_height = integer(command, "height", 0);
    return view->full_width && view->full_height
               ? 0
               : pf_fail(err, EINVAL, "a transform needs the size of its reference");
}

static int take_part(struct view *view, const json_t *command, struct pf_error *err)
{
    bool lies = view->orientation >= 5;
    int width = lies ? view->full_height : view->full_width;
    int height = lies ? view->full_width : view->full_height;
    int size = integer(command, "tile", 0), most = integer(command, "max_side", 0);
    if (size) {
        int level = integer(command, "level", 0);
        int64_t x = integer(command, "x", 0), y = integer(command, "y", 0);
        if (level > 24 || size > SIDE_MOST)
            return pf_fail(err, EINVAL, "no such tile");
        int64_t step = INT64_C(1) << level;
        int64_t across = (width + step - 1) / step, down = (height + step - 1) / step;
        if (x * size >= across || y * size >= down)
            return pf_fail(err, ENODATA, "the tile lies outside of the picture");
        view->step = (double)step;
        view->x0 = (double)(x * size * step);
        view->y0 = (double)(y * size * step);
        view->width = (int)(across - x * size < size ? across - x * size : size);
        view->height = (int)(down - y * size < size ? down - y * size : size);
        return 0;
    }
    if (!most || most > SIDE_MOST)
        return pf_fail(err, EINVAL, "a view is a tile, or has a longest side");
    int longer = width > height ? width : height;
    view->step = longer > most ? (double)longer / most : 1;
    view->width = (int)fmax(1, floor(width / view->step));
    view->height = (int)fmax(1, floor(height / view->step));
    return 0;
}

/* The first file of `files` in `directory` that is there, else `path`; heap, NULL without memory. */
static char *file_of(const json_t *command, const char **ret_name)
{
    char *directory = pf_json_bytes_value(json_object_get(command, "directory")), *path = NULL;
    size_t i;
    const json_t *file;
    *ret_name = "";
    if (!directory)
        return pf_json_bytes_value(json_object_get(command, "path"));
    json_array_foreach(json_object_get(command, "files"), i, file)
    {
        free(path);
        *ret_name = json_is_string(file) ? json_string_value(file) : "";
        path = pf_text("%s/%s", directory, *ret_name);
        if (path && access(path, F_OK) == 0)
            break;
    }
    free(directory);
    return path;
}

int pf_view_make(struct pf_views *views, const json_t *command, json_t **ret_facts,
                 struct pf_error *err)
{
    const char *colours = json_string_value(json_object_get(command, "colours")), *name;
    char *path = file_of(command, &name);
    char *to = pf_json_bytes_value(json_object_get(command, "to"));
    const struct pf_image *image = NULL;
    struct pf_image *drawn = NULL;
    struct view view = {.frames = integer(command, "frames", 1)};
    bool named = json_is_string(json_object_get(command, "to")) &&
                 (json_is_string(json_object_get(command, "path")) ||
                  json_array_size(json_object_get(command, "files")));
    int r = path && to ? picture_of(views, path, &image, err)
            : named    ? pf_fail(err, ENOMEM, "out of memory for a view")
                       : pf_fail(err, EINVAL, "a view needs a file and a path to write to");
    if (r == 0) {
        view.colours = !colours                     ? PLAIN
                       : !strcmp(colours, "depth")  ? DEPTH
                       : !strcmp(colours, "winner") ? WINNER
                                                    : PLAIN;
        if (image->planes != 1)
            view.colours = PLAIN;
        if (!strcmp(name, "frames.png"))
            view.frames = -view.frames;
        view.orientation = image->orientation;
        view.full_width = image->width;
        view.full_height = image->height;
        r = take_transform(&view, command, err);
    }
    if (r == 0)
        r = take_part(&view, command, err);
    if (r == 0)
        r = draw(&view, image, &drawn, err);
    if (r == 0)
        r = write_view(drawn, to, err);
    if (r == 0) {
        *ret_facts = json_pack("{s:o, s:i, s:i}", "path", pf_json_bytes(to), "width", view.width,
                               "height", view.height);
        r = *ret_facts ? 0 : pf_fail(err, ENOMEM, "out of memory for a view");
    }
    pf_image_free(drawn);
    free(path);
    free(to);
    return r;
}
