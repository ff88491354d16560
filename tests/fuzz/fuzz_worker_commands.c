/* What the service says to the worker, with real pictures, to the end: bursts are opened, fed,
 * previewed and finished. Where commands name files, they are given ours. */
#include <fcntl.h>

#include "process/worker.c" /* its reader of commands */
#include "tests/fuzz/fuzz.h"
#include "tests/gen/picture.h"

#define FRAMES 3
#define WIDTH  48
#define HEIGHT 32

static void make_frames(void)
{
    static uint16_t samples[WIDTH * HEIGHT * 3];
    struct pf_gen_encoding encoding = {
        .format = PF_GEN_JPEG, .bits = 8, .channels = 3, .quality = 90, .subsampling = 420};
    struct pf_gen_exif exif = {.present = true, .orientation = 6};
    uint32_t noise = 1;
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
        noise = noise * 1664525u + 1013904223u;
        samples[i] = (uint16_t)(noise >> 16);
    }
    for (int i = 0; i < FRAMES; i++) {
        char path[8192];
        struct pf_error err = {0};
        snprintf(path, sizeof(path), "%s/%d.jpg", fuzz_directory(), i);
        samples[i * 100] ^= 0x8000;
        FUZZ_CHECK(pf_gen_picture_write(path, samples, WIDTH, HEIGHT, &encoding, &exif, &err) == 0);
    }
}

static void name_ours(json_t *command, const char *key, const char *format)
{
    char path[8192];
    if (!json_object_get(command, key))
        return;
    snprintf(path, sizeof(path), format, fuzz_directory(),
             (int)(json_string_length(json_object_get(command, key)) % (FRAMES + 1)));
    json_object_set_new(command, key, json_string(path));
}

static void take(json_t *object, void *context)
{
    const char *align = json_string_value(json_object_get(object, "align"));
    const char *cmd = json_string_value(json_object_get(object, "cmd"));
    name_ours(object, "path", cmd && !strcmp(cmd, "preview") ? "%s/out/p%d.jpg" : "%s/%d.jpg");
    name_ours(object, "dir", "%s/out%.0d");
    name_ours(object, "thumbnails", "%s/out/t%d");
    if (align && !strcmp(align, "bspline")) /* another program, for seconds */
        json_object_set_new(object, "align", json_string("hybrid"));
    /* A copy: counts of references are not for two threads, and the command goes to the engine's. */
    take_command(context, json_deep_copy(object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pf_pipeline_calls template = {.decoding = on_decoding,
                                                      .meanwhile = on_meanwhile,
                                                      .decoded = on_decoded,
                                                      .frame = on_frame,
                                                      .command = on_command,
                                                      .release = on_release};
    static bool begun;
    struct pf_pipeline_calls calls = template;
    struct worker worker = {0};
    struct pf_error err = {0};
    char out[8192];
    if (!begun) {
        fuzz_quiet();
        make_frames();
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        FUZZ_CHECK(null >= 0 && dup2(null, STDOUT_FILENO) >= 0); /* where events go */
        close(null);
        begun = true;
    }
    snprintf(out, sizeof(out), "%s/out", fuzz_directory());
    FUZZ_CHECK(pf_make_directories(out, &err) == 0);
    FUZZ_CHECK(pf_settings_init(&worker.settings, &err) == 0);
    worker.confine.settings = &worker.settings;
    worker.device.backend = &pf_backend_cpu;
    worker.limits.max_pixels = 1000000;
    calls.context = &worker;
    FUZZ_CHECK(pf_pool_new(&worker.pool, 1, &err) == 0);
    FUZZ_CHECK(pf_pipeline_new(&worker.pipeline, &calls, &worker.limits, &err) == 0);
    fuzz_lines(data, size, take, &worker);
    pf_pipeline_free(worker.pipeline);
    while (worker.bursts)
        pf_process_close(&worker.bursts);
    pf_views_free(worker.views);
    pf_pool_free(worker.pool);
    pf_settings_free(&worker.settings);
    FUZZ_CHECK(pf_remove_tree(out, &err) == 0);
    return 0;
}
