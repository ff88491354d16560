/* process/ without memory: see without_memory.h. What comes back is 0 or -ENOMEM with its text; nothing
 * crashes, and nothing leaks, as the address sanitizer sees. */
#include "config/base/file.h"
#include "process/burst.h"
#include "process/codec.h"
#include "process/exif.h"
#include "process/results.h"
#include "process/thumbnail.h"
#include "process/upright.h"
#include "process/view.h"
#include "tests/unit/texture.h"
#include "tests/unit/without_memory.h"

static const struct pf_decode_limits limits = {1000000};
static const struct pf_decode_limits coded_limits = {.max_pixels = 1000000, .coded_side = 16};

static int run_decoders(struct pf_error *err)
{
    static const char *const names[] = {"jpeg/j420.jpg", "jpeg/j444.jpg", "png/p16.png",
                                        "tiff/t8.tif",   "tiff/t16.tif",  "raw/dng.dng",
                                        "raw/nef.nef",   "raw/cr3.cr3"};
    int r = 0;
    for (size_t i = 0; !r && i < sizeof(names) / sizeof(*names); i++) {
        char path[64];
        struct pf_image *image = NULL;
        snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", names[i]);
        r = pf_image_decode(&image, path, &limits, err);
        pf_image_free(image);
        image = NULL;
        if (!r)
            r = pf_image_decode_quickly(&image, path, 16, &limits, err);
        if (r == -ENODATA)
            r = 0;
        pf_image_free(image);
    }
    return r;
}

static int run_coded(struct pf_error *err)
{
    struct pf_image *image = NULL, *coded = NULL;
    const struct pf_image *samples = NULL;
    int r = pf_image_decode(&image, "tests/fuzz/corpus/jpeg/j420.jpg", &coded_limits, err);
    if (!r)
        r = pf_image_samples(image, &samples, err);
    if (!r)
        r = pf_image_as_jpeg(&coded, samples, err);
    pf_image_free(coded);
    pf_image_free(image);
    return r;
}

TEST(process_coded_jpeg)
{
    without_memory(run_coded, true);
}

TEST(process_decoders)
{
    without_memory(run_decoders, true);
}

static struct pf_image *decoded(const char *path)
{
    static struct pf_image *images[2];
    struct pf_image **at = &images[strstr(path, "16") != NULL];
    struct pf_error err = {0};
    if (!*at) {
        long left = allocations_hold();
        CHECK_OK(pf_image_decode(at, path, &limits, &err), &err);
        allocations_go_on(left);
    }
    return *at;
}

static int run_encoders(struct pf_error *err)
{
    int r = 0;
    for (int format = PF_FORMAT_TIFF; !r && format <= PF_FORMAT_JPEG; format++) {
        struct pf_encode_options options = {.format = (enum pf_format)format,
                                            .bits = format == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 1,
                                            .fleeting = true};
        r = pf_image_encode(decoded("tests/fuzz/corpus/jpeg/j444.jpg"), in_directory("out"),
                            &options, err);
        unlink(in_directory("out"));
        if (!r)
            r = pf_image_encode(decoded("tests/fuzz/corpus/tiff/t16.tif"), in_directory("out"),
                                &options, err);
        /* A file that could not be written whole is not there. */
        CHECK_EQ(access(in_directory("out"), F_OK), r ? -1 : 0);
        unlink(in_directory("out"));
    }
    return r;
}

TEST(process_encoders)
{
    without_memory(run_encoders, true);
}

static int run_exif(struct pf_error *err)
{
    static struct pf_blob block;
    struct pf_blob out = {0};
    if (!block.bytes)
        block = load("tests/fuzz/corpus/exif/j420");
    int r = pf_exif_for_output(&block, 64, 48, &out, err);
    free(out.bytes);
    if (!r) {
        int fd = open("tests/fuzz/corpus/tiff/t8.tif", O_RDONLY);
        out = (struct pf_blob){0};
        r = pf_exif_of_tiff(fd, lseek(fd, 0, SEEK_END), &out, err);
        free(out.bytes);
        close(fd);
    }
    return r;
}

TEST(process_exif)
{
    without_memory(run_exif, true);
}

static int run_thumbnails(struct pf_error *err)
{
    json_t *facts = NULL;
    const char *prefix = in_directory("thumb");
    int r = pf_thumbnail_before("tests/fuzz/corpus/jpeg/j420.jpg", prefix, &limits, &facts, err);
    json_decref(facts);
    facts = NULL;
    if (r >= 0)
        r = pf_thumbnail_after(decoded("tests/fuzz/corpus/jpeg/j444.jpg"), prefix,
                               PF_THUMBNAIL_IS_LARGE, &facts, err);
    json_decref(facts);
    unlink(in_directory("thumb.jpg"));
    unlink(in_directory("thumb.small.jpg"));
    return r > 0 ? 0 : r;
}

TEST(process_thumbnails)
{
    without_memory(run_thumbnails, true);
}

static enum pf_fuse method;
static enum pf_align align = PF_ALIGN_ECC;

/* A burst of three frames from the first one to the files. */
static int run_burst(struct pf_error *err)
{
    static struct pf_image *frames[3];
    struct pf_stack_settings settings = {.align = align,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.5,
                                         .fuse = method,
                                         .clip = 3,
                                         .judge = true,
                                         .coverage = true,
                                         .depth = pf_fuse_has_maps(method)};
    struct pf_burst *burst = NULL;
    const double h[9] = {1, 0, 0.5, 0, 1, 0.25, 0, 0, 1};
    char stack[4200], map[4200];
    for (int i = 0; i < 3; i++) {
        long left = allocations_hold();
        if (!frames[i])
            frames[i] = texture_frame(3, 160, 128, h, i == 1 ? 0 : 6, 1);
        allocations_go_on(left);
    }
    int r = pf_burst_new(&burst, &settings, NULL, err);
    for (int i = 0; !r && i < 3; i++) {
        json_t *facts = NULL;
        const char names[3][2] = {"a", "b", "c"};
        r = pf_burst_add(burst, names[i], frames[i], NULL, 1, &facts, err);
        json_decref(facts);
    }
    int width, height;
    if (!r)
        r = pf_burst_preview(burst, 64, in_directory("preview.jpg"), &width, &height, err);
    snprintf(stack, sizeof(stack), "%s/stack.jpg", test_directory());
    snprintf(map, sizeof(map), "%s/depth.png", test_directory());
    struct pf_burst_output output = {
        .stack_path = stack, .map_path = {map}, .format = PF_FORMAT_JPEG, .jpeg_quality = 90};
    json_t *facts = NULL;
    if (!r)
        r = pf_burst_write(burst, &output, &facts, err);
    json_decref(facts);
    pf_burst_free(burst);
    return r;
}

TEST(process_burst_pyramid)
{
    method = PF_FUSE_PYRAMID;
    without_memory(run_burst, true);
}

TEST(process_burst_soft_depth)
{
    method = PF_FUSE_SOFT_DEPTH;
    without_memory(run_burst, true);
}

TEST(process_burst_average)
{
    method = PF_FUSE_AVERAGE;
    without_memory(run_burst, true);
}

TEST(process_burst_hybrid)
{
    align = PF_ALIGN_HYBRID;
    tries_most = 24;
    without_memory(run_burst, true);
}

TEST(process_burst_flow)
{
    align = PF_ALIGN_FLOW;
    tries_most = 24;
    without_memory(run_burst, true);
}

static int run_upright(struct pf_error *err)
{
    struct pf_image *from = decoded("tests/fuzz/corpus/jpeg/j444.jpg"), *to = NULL;
    int r = 0;
    for (int orientation = 1; !r && orientation <= 8; orientation++) {
        from->orientation = orientation;
        r = pf_image_upright(from, NULL, &to, err);
        to = r ? NULL : pf_image_free(to);
    }
    from->orientation = 1;
    return r;
}

TEST(process_upright)
{
    without_memory(run_upright, true);
}

static int run_view(struct pf_error *err)
{
    struct pf_views *views = NULL;
    json_t *facts = NULL, *command = json_of("{\"view\": 1, \"max_side\": 32}");
    int r = pf_views_new(&views, &limits, err);
    long left = allocations_hold();
    json_object_set_new(command, "path", json_string("tests/fuzz/corpus/jpeg/j444.jpg"));
    json_object_set_new(command, "to", json_string(in_directory("view.jpg")));
    allocations_go_on(left);
    if (!r)
        r = pf_view_make(views, command, &facts, err);
    CHECK(r < 0 || access(in_directory("view.jpg"), F_OK) == 0);
    unlink(in_directory("view.jpg"));
    json_decref(facts);
    json_decref(command);
    pf_views_free(views);
    return r;
}

TEST(process_view)
{
    without_memory(run_view, true);
}

/* What `finish` leaves: all of it, or nothing. */
static int write_results(bool ahead, struct pf_error *err)
{
    static struct pf_image *frame;
    static struct pf_settings settings;
    const double h[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct pf_stack_settings how = {.align = PF_ALIGN_NONE, .fuse = PF_FUSE_PYRAMID, .depth = true};
    struct pf_burst *burst = NULL;
    struct pf_results *written = NULL;
    json_t *facts = NULL, *event = NULL;
    char dir[4200];
    long left = allocations_hold();
    if (!frame) {
        frame = texture_frame(3, 96, 64, h, 0, 1);
        CHECK_EQ(pf_settings_init(&settings, err), 0);
        CHECK_EQ(pf_settings_set(&settings, "format", "jpeg", err), 0);
    }
    snprintf(dir, sizeof(dir), "%s/results", test_directory());
    pf_remove_tree(dir, NULL);
    CHECK(mkdir(dir, 0777) == 0);
    allocations_go_on(left);
    int r = pf_burst_new(&burst, &how, NULL, err);
    if (!r)
        r = pf_burst_add(burst, "a", frame, NULL, 1, &facts, err);
    json_t *command =
        json_of("{\"cmd\": \"finish\", \"burst\": \"b\", \"sidecar\": {\"burst\": \"b\"},"
                " \"order\": [\"a\"]}");
    if (!r && ahead)
        r = pf_results_write_ahead(burst, command, dir, &settings, NULL, &written, err);
    if (!r)
        r = pf_results_write(burst, NULL, command, dir, &settings, written, &event, err);
    if (r < 0)
        written = pf_results_remove(written);
    left = allocations_hold();
    char *sidecar = pf_path_join(dir, "stack.json"), *stack = pf_path_join(dir, "stack.jpg");
    json_t *said = json_load_file(sidecar, 0, NULL);
    CHECK(r < 0 || (said && access(stack, F_OK) == 0));
    CHECK(!r || rmdir(dir) == 0);
    json_decref(said);
    free(sidecar);
    free(stack);
    allocations_go_on(left);
    json_decref(command);
    json_decref(event);
    json_decref(facts);
    pf_results_free(written);
    pf_burst_free(burst);
    return r;
}

static int run_results(struct pf_error *err)
{
    return write_results(false, err);
}

static int run_results_ahead(struct pf_error *err)
{
    return write_results(true, err);
}

TEST(process_results)
{
    without_memory(run_results, true);
    without_memory(run_results_ahead, true);
}
