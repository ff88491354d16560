/* The generator keeps its word: what its truth says is so in its frames. */
#include <libexif/exif-data.h>

#include "tests/gen/burst.h"
#include "tests/gen/measure.h"
#include "tests/gen/rows.h"
#include "tests/unit/test.h"

static struct pf_gen_options small(enum pf_gen_kind kind)
{
    struct pf_gen_options options = pf_gen_options_usual();
    options.kind = kind;
    options.width = 240;
    options.height = 160;
    options.frames = 5;
    options.noise = 0;
    options.flicker = 0;
    pf_gen_options_settle(&options);
    return options;
}

static uint16_t *frame(const struct pf_gen_options *options, int index)
{
    struct pf_gen_scene *scene = pf_gen_burst_scene(options);
    struct pf_gen_canvas *canvas = pf_gen_canvas_new(scene);
    struct pf_gen_shot *shots = pf_gen_burst_shots(options);
    struct pf_gen_lens lens = {scene->blur_px, (float)shots[index].focus, false};
    pf_gen_scene_render(scene, &lens, canvas);
    uint16_t *samples = pf_gen_expose(scene, canvas, &shots[index], 8);
    free(shots);
    pf_gen_canvas_free(canvas);
    pf_gen_scene_free(scene);
    return samples;
}

TEST(the_seed_decides_every_sample)
{
    static const enum pf_gen_kind kinds[] = {PF_GEN_BRISTLES, PF_GEN_BOARD, PF_GEN_BACKDROP,
                                             PF_GEN_GLARE};
    for (size_t k = 0; k < 4; k++) {
        struct pf_gen_options options = small(kinds[k]);
        options.noise = 2;
        size_t bytes = (size_t)options.width * (size_t)options.height * 3 * sizeof(uint16_t);
        pf_gen_set_threads(1);
        uint16_t *one = frame(&options, 3);
        pf_gen_set_threads(3);
        uint16_t *again = frame(&options, 3);
        options.seed = 2;
        uint16_t *other = frame(&options, 3);
        CHECK(memcmp(one, again, bytes) == 0);
        CHECK(memcmp(one, other, bytes) != 0);
        free(one);
        free(again);
        free(other);
    }
}

struct burst {
    struct pf_gen_scene *scene;
    struct pf_gen_canvas *canvas;
    struct pf_gen_shot *shots;
    struct pf_gen_plane truth;
};

static struct burst burst_open(const struct pf_gen_options *options)
{
    struct burst burst = {.scene = pf_gen_burst_scene(options)};
    burst.canvas = pf_gen_canvas_new(burst.scene);
    burst.shots = pf_gen_burst_shots(options);
    uint16_t *samples = pf_gen_burst_truth(burst.scene, burst.canvas);
    burst.truth = pf_gen_luma(samples, options->width, options->height, 3);
    free(samples);
    return burst;
}

static void burst_close(struct burst *burst)
{
    pf_gen_plane_free(&burst->truth);
    free(burst->shots);
    pf_gen_canvas_free(burst->canvas);
    pf_gen_scene_free(burst->scene);
}

/* Luma of a frame brought into the first frame's geometry by `transform`. */
static struct pf_gen_plane aligned(struct burst *burst, int index, const double transform[9])
{
    struct pf_gen_shot *shot = &burst->shots[index];
    struct pf_gen_lens lens = {burst->scene->blur_px, (float)shot->focus, false};
    pf_gen_scene_render(burst->scene, &lens, burst->canvas);
    uint16_t *samples = pf_gen_expose(burst->scene, burst->canvas, shot, 16);
    struct pf_gen_plane plane = pf_gen_luma(samples, burst->scene->width, burst->scene->height, 3);
    struct pf_gen_plane to =
        pf_gen_resample(&plane, transform, burst->scene->width, burst->scene->height);
    pf_gen_plane_free(&plane);
    free(samples);
    return to;
}

TEST(the_transform_takes_a_reference_point_to_its_place_in_the_frame)
{
    /* Everything in focus, so that geometry alone makes the frames differ. */
    struct pf_gen_options options = small(PF_GEN_BOARD);
    options.blur_px = 0;
    options.rotation_deg = 0.6;
    struct burst burst = burst_open(&options);
    int last = options.frames - 1;
    double *transform = burst.shots[last].transform, back[9];
    pf_gen_matrix_invert(transform, back);
    struct pf_gen_plane right = aligned(&burst, last, transform);
    struct pf_gen_plane wrong = aligned(&burst, last, back);
    double right_psnr = pf_gen_psnr(&right, &burst.truth, 12, NULL, 0);
    double wrong_psnr = pf_gen_psnr(&wrong, &burst.truth, 12, NULL, 0);
    if (right_psnr < 38 || wrong_psnr > right_psnr - 12)
        FAIL("aligned %.1f dB, aligned the wrong way %.1f dB", right_psnr, wrong_psnr);
    /* And an independent registration finds the same transform. */
    double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct pf_gen_plane as_shot = aligned(&burst, last, identity);
    struct pf_gen_match match = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, 1, 0};
    pf_gen_register(&burst.truth, &as_shot, &match);
    for (int corner = 0; corner < 4; corner++) {
        double x = corner & 1 ? options.width - 1 : 0, y = corner & 2 ? options.height - 1 : 0;
        double fx, fy, wx, wy;
        pf_gen_matrix_apply(match.transform, x, y, &fx, &fy);
        pf_gen_matrix_apply(transform, x, y, &wx, &wy);
        CHECK_NEAR(fx, wx, 0.1);
        CHECK_NEAR(fy, wy, 0.1);
    }
    pf_gen_plane_free(&as_shot);
    pf_gen_plane_free(&right);
    pf_gen_plane_free(&wrong);
    burst_close(&burst);
}

TEST(every_part_of_the_truth_is_sharp_in_some_frame_and_none_holds_all)
{
    static const enum pf_gen_kind kinds[] = {PF_GEN_TEXTURED, PF_GEN_BOARD, PF_GEN_BACKDROP,
                                             PF_GEN_GLARE};
    for (size_t k = 0; k < 4; k++) {
        struct pf_gen_options options = small(kinds[k]);
        options.frames = 7;
        options.blur_px = 9;
        struct burst burst = burst_open(&options);
        struct pf_gen_plane best = pf_gen_plane_new(options.width, options.height);
        struct pf_gen_plane least = pf_gen_plane_new(options.width, options.height);
        size_t pixels = (size_t)options.width * (size_t)options.height;
        double single = 0;
        for (int i = 0; i < options.frames; i++) {
            struct pf_gen_plane plane = aligned(&burst, i, burst.shots[i].transform);
            single = fmax(single, pf_gen_psnr(&plane, &burst.truth, 12, NULL, 0));
            struct pf_gen_plane error = pf_gen_plane_new(options.width, options.height);
            for (size_t p = 0; p < pixels; p++)
                error.value[p] = fabsf(plane.value[p] - burst.truth.value[p]);
            pf_gen_smooth(&error, 1.5f);
            for (size_t p = 0; p < pixels; p++) {
                if (i == 0 || error.value[p] < least.value[p]) {
                    least.value[p] = error.value[p];
                    best.value[p] = plane.value[p];
                }
            }
            pf_gen_plane_free(&error);
            pf_gen_plane_free(&plane);
        }
        double selected = pf_gen_psnr(&best, &burst.truth, 12, NULL, 0);
        /* Clipped edges of a pixel's width, resampled, are what limits the glare. */
        double least_db = kinds[k] == PF_GEN_GLARE ? 25 : 29;
        if (selected < least_db || selected < single + 3)
            FAIL("scene %d: nearest frame everywhere %.1f dB, best single frame %.1f dB",
                 (int)kinds[k], selected, single);
        /* The depth map says where the frames' focal planes are. */
        uint16_t *depth = pf_gen_burst_depth(burst.scene);
        unsigned low = 65535, high = 0;
        for (size_t p = 0; p < pixels; p++) {
            low = depth[p] < low ? depth[p] : low;
            high = depth[p] > high ? depth[p] : high;
        }
        CHECK(low < 12000 && high > 45000);
        free(depth);
        pf_gen_plane_free(&best);
        pf_gen_plane_free(&least);
        burst_close(&burst);
    }
}

/* Share of pixels whose brightest channel is clipped. */
static double clipped(const uint16_t *samples, size_t pixels)
{
    size_t count = 0;
    for (size_t i = 0; i < pixels; i++)
        count +=
            samples[3 * i] == 65535 || samples[3 * i + 1] == 65535 || samples[3 * i + 2] == 65535;
    return (double)count / (double)pixels;
}

TEST(lamps_that_mirror_out_of_focus_bloom_into_clipped_discs)
{
    struct pf_gen_options options = small(PF_GEN_GLARE);
    options.blur_px = 6;
    size_t pixels = (size_t)options.width * (size_t)options.height;
    for (options.seed = 1; options.seed <= 2; options.seed++) {
        struct burst burst = burst_open(&options);
        uint16_t *truth = pf_gen_burst_truth(burst.scene, burst.canvas);
        uint16_t *first = frame(&options, 0);
        double in_focus = clipped(truth, pixels), out_of_focus = clipped(first, pixels);
        if (in_focus < 0.004 || in_focus > 0.1 || out_of_focus < 1.15 * in_focus)
            FAIL("clipped: %.4f of the truth, %.4f of the first frame", in_focus, out_of_focus);
        free(first);
        free(truth);
        burst_close(&burst);
    }
}

/* A bright even plate (radius of its disc as asked) over a dark even ground that is in focus. */
static struct pf_gen_canvas *plate_over_ground(float plate_depth, float blur_px)
{
    struct pf_gen_scene scene = {.canvas_width = 160, .canvas_height = 64};
    struct pf_gen_canvas *canvas = pf_gen_canvas_new(&scene);
    struct pf_gen_layer *ground = pf_gen_layer_new(0, 0, 160, 64, true);
    struct pf_gen_layer *plate = pf_gen_layer_new(-80, -80, 320, 224, false);
    for (int i = 0; i < 160 * 64; i++)
        for (int c = 0; c < 3; c++)
            ground->light[c][i] = 0.2f;
    for (int y = 0; y < plate->height; y++) {
        for (int x = 0; x < plate->width; x++) {
            size_t at = (size_t)y * (size_t)plate->width + (size_t)x;
            plate->depth[at] = plate_depth;
            plate->cover[at] = x < 160; /* covers the canvas left of column 80 */
            for (int c = 0; c < 3; c++)
                plate->light[c][at] = plate->cover[at] * 0.8f;
        }
    }
    pf_gen_layer_seal(ground, 0, 4);
    pf_gen_layer_seal(plate, 0, 4);
    struct pf_gen_lens lens = {blur_px, 0, false};
    pf_gen_defocus(ground, &lens, canvas);
    pf_gen_defocus(plate, &lens, canvas);
    pf_gen_layer_free(ground);
    pf_gen_layer_free(plate);
    return canvas;
}

TEST(near_defocus_spreads_over_what_lies_behind_it)
{
    /* Radii that use the full size, a mixture, and halved images. */
    static const float radius[] = {0, 0.7f, 4, 11, 20, 40};
    for (size_t i = 0; i < 6; i++) {
        struct pf_gen_canvas *canvas = plate_over_ground(1, radius[i]);
        const float *row = canvas->light[1] + 32 * canvas->width;
        float r = radius[i];
        for (int x = 0; x < 160; x++) {
            /* Share of a disc at x that reaches over the plate's edge between columns 79, 80. */
            double u = r > 0 ? (79.5 - x) / r : x < 80 ? 1 : -1;
            u = u < -1 ? -1 : u > 1 ? 1 : u;
            double share = 0.5 + (u * sqrt(1 - u * u) + asin(u)) / M_PI;
            CHECK_NEAR(row[x], 0.2 + 0.6 * share, r < 1 ? 0.1 : r < 5 ? 0.02 : 0.012);
        }
        CHECK_NEAR(row[2], 0.8, r < 38 ? 1e-3 : 0.02);
        pf_gen_canvas_free(canvas);
    }
}

TEST(pictures_and_their_exif_come_back_as_they_were_written)
{
    enum { WIDTH = 37, HEIGHT = 21 };
    uint16_t samples[WIDTH * HEIGHT * 3];
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        samples[i] = (uint16_t)(pf_gen_hash((uint32_t)i) & 0xffff);
    struct pf_gen_exif exif = {.present = true,
                               .make = "Maker",
                               .serial = "A-77",
                               .time_ms = 1767323045678,
                               .subsec = true,
                               .offset = "+02:00",
                               .exposure_s = 1 / 60.0,
                               .iso = 400,
                               .orientation = 6};
    struct pf_error err = {0};
    char path[4200];
    for (int format = PF_GEN_JPEG; format <= PF_GEN_PNG; format++) {
        struct pf_gen_encoding encoding = {(enum pf_gen_format)format, 16, 3, 95, 444, 3};
        snprintf(path, sizeof(path), "%s/picture.%d", test_directory(), format);
        CHECK_OK(pf_gen_picture_write(path, samples, WIDTH, HEIGHT, &encoding, &exif, &err), &err);
        uint16_t *back;
        int width, height, channels;
        CHECK_OK(pf_gen_picture_read(path, &back, &width, &height, &channels, &err), &err);
        CHECK_EQ(width, WIDTH);
        CHECK_EQ(height, HEIGHT);
        CHECK_EQ(channels, 3);
        if (format != PF_GEN_JPEG)
            CHECK(memcmp(back, samples, sizeof(samples)) == 0);
        free(back);
    }
    unsigned size = 0;
    uint8_t *block = pf_gen_exif_block(&exif, WIDTH, HEIGHT, &size);
    ExifData *data = exif_data_new_from_data(block, size);
    static const struct {
        ExifIfd ifd;
        ExifTag tag;
        const char *text;
    } wanted[] = {{EXIF_IFD_0, EXIF_TAG_MAKE, "Maker"},
                  {EXIF_IFD_EXIF, EXIF_TAG_BODY_SERIAL_NUMBER, "A-77"},
                  {EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, "2026:01:02 03:04:05"},
                  {EXIF_IFD_EXIF, EXIF_TAG_SUB_SEC_TIME_ORIGINAL, "678"},
                  {EXIF_IFD_EXIF, EXIF_TAG_OFFSET_TIME_ORIGINAL, "+02:00"},
                  {EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME, "1/60 sec."}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        char text[64] = "";
        ExifEntry *entry = exif_content_get_entry(data->ifd[wanted[i].ifd], wanted[i].tag);
        CHECK(entry);
        exif_entry_get_value(entry, text, sizeof(text));
        CHECK_STR(text, wanted[i].text);
    }
    CHECK(!exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_MODEL));
    exif_data_unref(data);
    free(block);
}

TEST(measures_give_known_values)
{
    struct pf_gen_plane a = pf_gen_plane_new(200, 150), b = pf_gen_plane_new(200, 150);
    uint8_t *mask = pf_gen_alloc(200 * 150, 1);
    for (int i = 0; i < 200 * 150; i++) {
        float x = (float)(i % 200), y = (float)(i / 200);
        a.value[i] = 128 + 50 * sinf(0.21f * x + 0.05f * y) * cosf(0.17f * y) + 0.1f * x;
        b.value[i] = a.value[i] + 1;
        mask[i] = x < 100;
        if (x >= 100)
            b.value[i] = a.value[i] + 10;
    }
    CHECK_NEAR(pf_gen_psnr(&a, &b, 5, mask, 1), 20 * log10(255), 1e-3);
    CHECK_NEAR(pf_gen_psnr(&a, &b, 5, mask, 0), 20 * log10(25.5), 1e-3);
    CHECK_NEAR(pf_gen_psnr(&a, &a, 5, NULL, 0), 99, 0);
    CHECK_NEAR(pf_gen_ssim(&a, &a, 5), 1, 1e-4);
    CHECK(pf_gen_ssim(&a, &b, 5) < 0.9999);
    /* A known motion with gain and offset is found. */
    double motion[9] = {1.004, -0.003, 1.7, 0.002, 0.997, -2.3, 0, 0, 1};
    struct pf_gen_plane moved = pf_gen_resample(&a, motion, 200, 150);
    for (int i = 0; i < 200 * 150; i++)
        moved.value[i] = 1.03f * moved.value[i] - 2;
    struct pf_gen_match match = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, 1, 0};
    pf_gen_register(&moved, &a, &match);
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(match.transform[i], motion[i], i % 3 == 2 ? 0.02 : 2e-4);
    CHECK_NEAR(match.gain, 1.03, 2e-3);
    CHECK_NEAR(match.offset, -2, 0.3);
    pf_gen_plane_free(&moved);
    pf_gen_plane_free(&a);
    pf_gen_plane_free(&b);
    free(mask);
}
