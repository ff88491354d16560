/* generate: a focus bracket with known truth, as files. Options: see usage(). */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "tests/gen/burst.h"
#include "tests/gen/rows.h"

struct command {
    struct pf_gen_options burst;
    struct pf_gen_encoding encoding;
    struct pf_gen_exif exif;
    const char *out, *truth_out, *name;
    double interval_s, pace_s, megapixels;
    int first_number, skip;
    bool truth, pictures; /* pictures: truth.png and depth.png beside truth.json */
};

static void usage(FILE *to)
{
    fputs("usage: generate --out DIR [options]\n"
          "Makes a focus bracket of a scene with known depth: frames, and beside them truth.png "
          "(all\n"
          "in focus, geometry of the first frame), depth.png and truth.json (true transforms, "
          "depths).\n\n"
          "scene:    --scene textured|bristles|board|backdrop|glare  --seed S\n"
          "size:     --megapixels M | --width W --height H\n"
          "frames:   --frames N  --skip K (leaves out the first K files)\n"
          "          --focus-from F --focus-to F (of the first and last frame: 0 and 1, as the "
          "scene)\n"
          "camera:   --breathing R  --shift PX  --rotation DEG  --blur PX  --noise SIGMA  "
          "--flicker R\n"
          "          --misfire R (brightness of the first frame)  --drift R (of brightness, from "
          "frame to frame)\n"
          "          --white-drift R (red and blue beside green, from frame to frame)\n"
          "          --deform PX (smooth, growing to the last frame)\n"
          "files:    --format jpeg|tiff|png|dng|nef|arw|ldng|orf|cr2|rw2|cr3|raf  --bits 8|16\n"
          "          --quality Q  --subsampling 420|422|440|444\n"
          "          --name IMG_%04d  --first-number K\n"
          "EXIF:     --no-exif --start 2026-01-02T03:04:05[.678]  --interval SECONDS  --no-subsec\n"
          "          --offset +01:00|none  --make T --model T --serial T --lens T  --focal MM\n"
          "          --f-number N  --exposure S  --iso N  --orientation 1..8\n"
          "truth:    --no-truth | --truth-dir DIR  --no-truth-pictures (truth.json alone)\n"
          "other:    --pace SECONDS (waits between the files)  --threads N\n",
          to);
}

static int stop(const char *what, const char *value)
{
    fprintf(stderr, "generate: %s%s%s\n", what, value ? ": " : "", value ? value : "");
    return 2;
}

enum key {
    SCENE = 1000,
    WIDTH,
    HEIGHT,
    MEGAPIXELS,
    FRAMES,
    SKIP,
    SEED,
    OUT,
    FORMAT,
    BITS,
    QUALITY,
    SUBSAMPLING,
    NAME,
    FIRST_NUMBER,
    INTERVAL,
    START,
    SERIAL,
    MAKE,
    MODEL,
    LENS,
    FOCAL,
    F_NUMBER,
    EXPOSURE,
    ISO,
    ORIENTATION,
    OFFSET,
    NO_SUBSEC,
    NO_EXIF,
    FOCUS_FROM,
    FOCUS_TO,
    BREATHING,
    SHIFT,
    ROTATION,
    BLUR,
    NOISE,
    FLICKER,
    MISFIRE,
    DRIFT,
    WHITE_DRIFT,
    DEFORM,
    PACE,
    NO_TRUTH,
    NO_PICTURES,
    TRUTH_DIR,
    THREADS,
    HELP
};

static const struct option options[] = {
    {"scene", 1, NULL, SCENE},
    {"width", 1, NULL, WIDTH},
    {"height", 1, NULL, HEIGHT},
    {"megapixels", 1, NULL, MEGAPIXELS},
    {"frames", 1, NULL, FRAMES},
    {"skip", 1, NULL, SKIP},
    {"seed", 1, NULL, SEED},
    {"out", 1, NULL, OUT},
    {"format", 1, NULL, FORMAT},
    {"bits", 1, NULL, BITS},
    {"quality", 1, NULL, QUALITY},
    {"subsampling", 1, NULL, SUBSAMPLING},
    {"name", 1, NULL, NAME},
    {"first-number", 1, NULL, FIRST_NUMBER},
    {"interval", 1, NULL, INTERVAL},
    {"start", 1, NULL, START},
    {"serial", 1, NULL, SERIAL},
    {"make", 1, NULL, MAKE},
    {"model", 1, NULL, MODEL},
    {"lens", 1, NULL, LENS},
    {"focal", 1, NULL, FOCAL},
    {"f-number", 1, NULL, F_NUMBER},
    {"exposure", 1, NULL, EXPOSURE},
    {"iso", 1, NULL, ISO},
    {"orientation", 1, NULL, ORIENTATION},
    {"offset", 1, NULL, OFFSET},
    {"no-subsec", 0, NULL, NO_SUBSEC},
    {"no-exif", 0, NULL, NO_EXIF},
    {"focus-from", 1, NULL, FOCUS_FROM},
    {"focus-to", 1, NULL, FOCUS_TO},
    {"breathing", 1, NULL, BREATHING},
    {"shift", 1, NULL, SHIFT},
    {"rotation", 1, NULL, ROTATION},
    {"blur", 1, NULL, BLUR},
    {"noise", 1, NULL, NOISE},
    {"flicker", 1, NULL, FLICKER},
    {"misfire", 1, NULL, MISFIRE},
    {"drift", 1, NULL, DRIFT},
    {"deform", 1, NULL, DEFORM},
    {"white-drift", 1, NULL, WHITE_DRIFT},
    {"pace", 1, NULL, PACE},
    {"no-truth", 0, NULL, NO_TRUTH},
    {"no-truth-pictures", 0, NULL, NO_PICTURES},
    {"truth-dir", 1, NULL, TRUTH_DIR},
    {"threads", 1, NULL, THREADS},
    {"help", 0, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static bool number(const char *text, double low, double high, double *ret)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= low && value <= high))
        return false;
    *ret = value;
    return true;
}

static bool whole(const char *text, double low, double high, int *ret)
{
    double value;
    if (!number(text, low, high, &value) || value != floor(value))
        return false;
    *ret = (int)value;
    return true;
}

/* The place of `text` among words parted by '|'. */
static bool choice(const char *text, const char *words, int *ret)
{
    size_t length = strlen(text);
    for (int i = 0; length; i++) {
        size_t word = strcspn(words, "|");
        if (word == length && !strncmp(words, text, length)) {
            *ret = i;
            return true;
        }
        if (!words[word])
            return false;
        words += word + 1;
    }
    return false;
}

static bool moment(const char *text, int64_t *ret_ms)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    double fraction = 0;
    if (!rest || (*rest && !number(rest, 0, 0.9999, &fraction)))
        return false;
    *ret_ms = (int64_t)timegm(&parts) * 1000 + (int64_t)(fraction * 1000 + 0.5);
    return true;
}

/* Where no body was named: one that writes such files, as readers of RAW must know it. */
static void name_body(struct pf_gen_exif *exif, enum pf_gen_format format)
{
    static const struct {
        const char *make, *model;
    } bodies[] = {[PF_GEN_NEF] = {"NIKON CORPORATION", "NIKON D850"},
                  [PF_GEN_ARW] = {"SONY", "ILCE-7M2"},
                  [PF_GEN_ORF] = {"OLYMPUS IMAGING CORP.", "E-M1"},
                  [PF_GEN_CR2] = {"Canon", "Canon EOS 5D Mark II"},
                  [PF_GEN_RW2] = {"Panasonic", "DMC-G7"},
                  [PF_GEN_CR3] = {"Canon", "Canon EOS M50"},
                  [PF_GEN_RAF] = {"FUJIFILM", "X-T100"}};
    bool known = bodies[format].make && !exif->make && !exif->model;
    if (!exif->make)
        exif->make = known ? bodies[format].make : "Parfocal";
    if (!exif->model)
        exif->model = known ? bodies[format].model : "Generator";
}

static bool take(struct command *command, int key, const char *value)
{
    struct pf_gen_options *burst = &command->burst;
    struct pf_gen_exif *exif = &command->exif;
    int index = 0;
    bool good = true;
    switch (key) {
    case SCENE:
        good = choice(value, "textured|bristles|board|backdrop|glare", &index);
        burst->kind = (enum pf_gen_kind)index;
        return good;
    case FORMAT:
        good = choice(value, "jpeg|tiff|png|dng|nef|arw|ldng|orf|cr2|rw2|cr3|raf", &index);
        command->encoding.format = (enum pf_gen_format)index;
        return good;
    case WIDTH:
        return whole(value, 32, 65535, &burst->width);
    case HEIGHT:
        return whole(value, 32, 65535, &burst->height);
    case MEGAPIXELS:
        return number(value, 0.01, 400, &command->megapixels);
    case FRAMES:
        return whole(value, 1, 1000, &burst->frames);
    case SKIP:
        return whole(value, 0, 1000, &command->skip);
    case SEED:
        burst->seed = strtoull(value, NULL, 0);
        return *value != 0;
    case BITS:
        return whole(value, 8, 16, &command->encoding.bits);
    case QUALITY:
        return whole(value, 1, 100, &command->encoding.quality);
    case SUBSAMPLING:
        return whole(value, 420, 444, &command->encoding.subsampling);
    case FIRST_NUMBER:
        return whole(value, 0, 1e9, &command->first_number);
    case INTERVAL:
        return number(value, -1e6, 1e6, &command->interval_s);
    case START:
        return moment(value, &exif->time_ms);
    case FOCAL:
        return number(value, 0, 1e5, &exif->focal_mm);
    case F_NUMBER:
        return number(value, 0, 1e3, &exif->f_number);
    case EXPOSURE:
        return number(value, 0, 1e5, &exif->exposure_s);
    case ISO:
        return whole(value, 0, 65535, &exif->iso);
    case ORIENTATION:
        return whole(value, 1, 8, &exif->orientation);
    case FOCUS_FROM:
        return number(value, -10, 10, &burst->focus_from);
    case FOCUS_TO:
        return number(value, -10, 10, &burst->focus_to);
    case BREATHING:
        return number(value, -0.2, 0.2, &burst->breathing);
    case SHIFT:
        return number(value, 0, 2000, &burst->shift_px);
    case ROTATION:
        return number(value, -20, 20, &burst->rotation_deg);
    case BLUR:
        return number(value, 0, 500, &burst->blur_px);
    case NOISE:
        return number(value, 0, 50, &burst->noise);
    case FLICKER:
        return number(value, 0, 0.5, &burst->flicker);
    case MISFIRE:
        return number(value, 0.01, 10, &burst->misfire);
    case DRIFT:
        return number(value, -0.5, 0.5, &burst->drift);
    case WHITE_DRIFT:
        return number(value, 0, 0.5, &burst->white_drift);
    case DEFORM:
        return number(value, 0, 500, &burst->deform_px);
    case PACE:
        return number(value, 0, 3600, &command->pace_s);
    case THREADS:
        good = whole(value, 0, 64, &index);
        pf_gen_set_threads(index);
        return good;
    case NO_SUBSEC:
        exif->subsec = false;
        break;
    case NO_EXIF:
        exif->present = false;
        break;
    case NO_TRUTH:
        command->truth = false;
        break;
    case NO_PICTURES:
        command->pictures = false;
        break;
    case OUT:
        command->out = value;
        break;
    case TRUTH_DIR:
        command->truth_out = value;
        break;
    case NAME:
        /* One %d with flags and width, nothing else that printf would read. */
        command->name = value;
        index = (int)strcspn(value, "%");
        if (!value[index])
            return false;
        index += 1 + (int)strspn(value + index + 1, "0123456789");
        return value[index] == 'd' && !strchr(value + index, '%') && !strchr(value, '/');
    case MAKE:
        exif->make = value;
        break;
    case MODEL:
        exif->model = value;
        break;
    case SERIAL:
        exif->serial = value;
        break;
    case LENS:
        exif->lens = value;
        break;
    case OFFSET:
        exif->offset = strcmp(value, "none") ? value : NULL;
        break;
    default:
        return false;
    }
    return true;
}

/* Waits for an absolute time of the monotonic clock. */
static void wait_until(double start_s, double seconds)
{
    double at = start_s + seconds;
    struct timespec time = {(time_t)at, (long)((at - floor(at)) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static int write_truth_pictures(const char *dir, const struct pf_gen_scene *scene,
                                struct pf_gen_canvas *canvas, struct pf_error *err)
{
    struct pf_gen_encoding png = {PF_GEN_PNG, 16, 3, 0, 0, 1};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        uint16_t *samples = i ? pf_gen_burst_depth(scene) : pf_gen_burst_truth(scene, canvas);
        char *path = pf_path_join(dir, i ? "depth.png" : "truth.png");
        png.channels = i ? 1 : 3;
        rc = path
                 ? pf_gen_picture_write(path, samples, scene->width, scene->height, &png, NULL, err)
                 : pf_fail(err, ENOMEM, "out of memory");
        free(path);
        free(samples);
    }
    return rc;
}

static int compare_samples(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* The nearest and the farthest, but for a hundredth of the picture at either end. */
static void find_depths(const struct pf_gen_scene *scene, double ret[2])
{
    size_t count = (size_t)scene->width * (size_t)scene->height;
    uint16_t *samples = pf_gen_burst_depth(scene);
    qsort(samples, count, sizeof(*samples), compare_samples);
    ret[0] = samples[count / 100] / 65535.0;
    ret[1] = samples[count - 1 - count / 100] / 65535.0;
    free(samples);
}

static int write_truth(const struct command *command, const struct pf_gen_scene *scene,
                       struct pf_gen_canvas *canvas, json_t *frames, struct pf_error *err)
{
    static const char *const kinds[] = {"textured", "bristles", "board", "backdrop", "glare"};
    const char *dir = command->truth_out ? command->truth_out : command->out;
    int rc = command->pictures ? write_truth_pictures(dir, scene, canvas, err) : 0;
    if (rc < 0)
        return rc;
    char *path = pf_path_join(dir, "truth.json");
    double depths[2] = {0, 0};
    find_depths(scene, depths);
    json_t *root = json_pack("{s:s, s:i, s:i, s:I, s:f, s:s, s:s, s:[f, f], s:O}", "scene",
                             kinds[scene->kind], "width", scene->width, "height", scene->height,
                             "seed", (json_int_t)command->burst.seed, "blur_px",
                             (double)scene->blur_px, "truth", "truth.png", "depth", "depth.png",
                             "depths", depths[0], depths[1], "frames", frames);
    if (!path || !root)
        rc = pf_fail(err, ENOMEM, "out of memory");
    else if (json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) != 0)
        rc = pf_fail(err, EIO, "%s: cannot be written", path);
    free(path);
    json_decref(root);
    return rc;
}

static int write_frames(const struct command *command, const struct pf_gen_scene *scene,
                        struct pf_gen_canvas *canvas, json_t *frames, struct pf_error *err)
{
    struct pf_gen_shot *shots = pf_gen_burst_shots(&command->burst);
    struct timespec now;
    double start = -1;
    int rc = 0;
    for (int i = 0; i < command->burst.frames && rc == 0; i++) {
        char *name = NULL, *path = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int length = asprintf(&name, command->name, command->first_number + i);
#pragma GCC diagnostic pop
        static const char *const extensions[] = {"jpg", "tif", "png", "dng", "nef", "arw",
                                                 "dng", "orf", "cr2", "rw2", "cr3", "raf"};
        if (length < 0 || asprintf(&path, "%s/%s.%s", command->out, name,
                                   extensions[command->encoding.format]) < 0) {
            free(shots);
            return pf_fail(err, ENOMEM, "out of memory");
        }
        json_array_append_new(frames, pf_gen_shot_json(&shots[i], strrchr(path, '/') + 1));
        if (i >= command->skip) {
            struct pf_gen_lens lens = {scene->blur_px, (float)shots[i].focus, false};
            struct pf_gen_exif exif = command->exif;
            exif.time_ms += (int64_t)llrint(1000 * command->interval_s * i);
            pf_gen_scene_render(scene, &lens, canvas);
            uint16_t *samples = pf_gen_expose(scene, canvas, &shots[i], command->encoding.bits);
            clock_gettime(CLOCK_MONOTONIC, &now);
            if (start < 0)
                start = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
            if (command->pace_s > 0)
                wait_until(start, command->pace_s * (i - command->skip));
            rc = pf_gen_picture_write(path, samples, scene->width, scene->height,
                                      &command->encoding, &exif, err);
            free(samples);
        }
        free(path);
        free(name);
    }
    free(shots);
    return rc;
}

int main(int argc, char **argv)
{
    struct command command = {.burst = pf_gen_options_usual(),
                              .encoding = {PF_GEN_JPEG, 8, 3, 95, 420, 3},
                              .exif = {true, NULL, NULL, "PF-0001", "Macro 100mm F2.8",
                                       1767323045000, true, "+00:00", 100, 5.6, 1 / 125.0, 200, 1},
                              .name = "IMG_%04d",
                              .interval_s = 0.5,
                              .first_number = 1,
                              .truth = true,
                              .pictures = true};
    for (int key, index = 0; (key = getopt_long(argc, argv, "", options, &index)) != -1;) {
        if (key == HELP) {
            usage(stdout);
            return 0;
        }
        if (key == '?')
            return 2;
        if (!take(&command, key, optarg))
            return stop(options[index].name, optarg);
    }
    if (optind < argc)
        return stop("not an option", argv[optind]);
    if (!command.out) {
        usage(stderr);
        return 2;
    }
    if (command.megapixels > 0) {
        /* 3:2, both divisible by 16. */
        command.burst.width = 16 * (int)lrint(sqrt(command.megapixels * 1.5e6) / 16);
        command.burst.height = 16 * (int)lrint(command.megapixels * 1e6 / command.burst.width / 16);
    }
    if (command.encoding.bits != 8 && command.encoding.bits != 16)
        return stop("bits", "8 or 16");
    if (command.encoding.format == PF_GEN_JPEG)
        command.encoding.bits = 8;
    if (command.encoding.format >= PF_GEN_DNG)
        command.encoding.bits = 16;
    pf_gen_options_settle(&command.burst);
    name_body(&command.exif, command.encoding.format);

    struct pf_error err = {0};
    if (pf_make_directories(command.out, &err) < 0 ||
        (command.truth_out && pf_make_directories(command.truth_out, &err) < 0))
        return stop(err.text, NULL);
    struct pf_gen_scene *scene = pf_gen_burst_scene(&command.burst);
    struct pf_gen_canvas *canvas = pf_gen_canvas_new(scene);
    json_t *frames = json_array();
    int rc = write_frames(&command, scene, canvas, frames, &err);
    if (rc == 0 && command.truth)
        rc = write_truth(&command, scene, canvas, frames, &err);
    json_decref(frames);
    pf_gen_canvas_free(canvas);
    pf_gen_scene_free(scene);
    if (rc < 0)
        stop(err.text, NULL);
    return rc < 0;
}
