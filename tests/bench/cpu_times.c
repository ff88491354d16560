/* Times the stages of the engine on the processor, one thread, as a Markdown table: cpu_times FRAME...
 *
 * CPU time of the process around each call, median and range over the frames (the first ones, which
 * have nothing to be aligned to, and whose memory is new, are left out). Beside other work the figures
 * are a little higher, not wrong: what counts is this process's own time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process/backend.h"
#include "process/codec.h"
#include "process/cpu/alignment.h"
#include "process/cpu/engine.h"
#include "process/homography.h"

enum stage {
    DECODE,
    PYRAMID,
    LOAD,
    PREDECESSOR,
    BEFORE,
    ALIGNED,
    LIGHT,
    FUSE,
    FINISH,
    WRITE,
    STAGES
};

static const char *const names[STAGES] = {
    [DECODE] = "decoding",
    [PYRAMID] = "alignment: pyramid of light",
    [LOAD] = "the same, with focus measure and light",
    [PREDECESSOR] = "alignment: to the predecessor",
    [BEFORE] = "alignment: to the frame before",
    [ALIGNED] = "alignment, all of it",
    [LIGHT] = "comparison of light",
    [FUSE] = "warp and fusing",
    [FINISH] = "the finished stack",
    [WRITE] = "written as TIFF, 16 bits",
};

enum { MOST_FRAMES = 1000, LEFT_OUT = 2 };
static double times[STAGES][MOST_FRAMES];
static int counts[STAGES];

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void check(int r, const struct pf_error *err)
{
    if (r < 0) {
        fprintf(stderr, "cpu_times: %s\n", err->text);
        exit(1);
    }
}

static void note(enum stage stage, double since_ms)
{
    times[stage][counts[stage]++] = cpu_ms() - since_ms;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(enum stage stage)
{
    double *values = times[stage];
    int count = counts[stage];
    if (!count)
        return;
    qsort(values, (size_t)count, sizeof(*values), by_value);
    double middle = 0.5 * (values[(count - 1) / 2] + values[count / 2]);
    int digits = middle < 10 ? 2 : 1;
    printf("| %s | %.*f (%.*f-%.*f) | %d |\n", names[stage], digits, middle, digits, values[0],
           digits, values[count - 1], count);
}

struct chain {
    double predecessor[9], before[9]; /* reference point -> its point */
    int frames;
};

/* Aligns the frame in hand as the engine does, and says where it is. */
static void align(const struct pf_backend *backend, void *engine, struct chain *chain, double h[9])
{
    struct pf_error err = {0};
    struct pf_fit fit;
    double begin = cpu_ms(), step[9];
    pf_homography_identity(step);
    check(backend->align(engine, PF_TARGET_PREDECESSOR, true, step, &fit, &err), &err);
    pf_homography_compose(h, step, chain->predecessor);
    if (chain->frames < LEFT_OUT)
        return;
    note(PREDECESSOR, begin);
    double middle = cpu_ms(), back[9], wide[9];
    if (pf_homography_invert(back, chain->before)) {
        pf_homography_compose(wide, h, back);
        check(backend->align(engine, PF_TARGET_BEFORE, false, wide, &fit, &err), &err);
    }
    note(BEFORE, middle);
    times[ALIGNED][counts[ALIGNED]++] = times[PYRAMID][counts[PYRAMID] - 1] + (cpu_ms() - begin);
}

static void add(const struct pf_backend *backend, void *engine, const char *path,
                struct chain *chain)
{
    struct pf_error err = {0};
    struct pf_decode_limits limits = {.max_pixels = INT64_C(1) << 30};
    struct pf_image *frame = NULL;
    struct pf_focus focus;
    struct pf_light_match light;
    struct pf_warp warp = {.field = NULL};
    double contrast, begin = cpu_ms();
    check(pf_image_decode(&frame, path, &limits, &err), &err);
    bool counted = chain->frames >= LEFT_OUT;
    if (counted)
        note(DECODE, begin);

    struct pf_ecc_pyramid pyramid = {0};
    struct pf_source_plane luma = pf_cpu_source(frame, 0, 1);
    begin = cpu_ms();
    check(pf_ecc_pyramid_of_source(&pyramid, &luma, pf_kernels(0), NULL, &err), &err);
    if (counted)
        note(PYRAMID, begin);
    pf_ecc_pyramid_free(&pyramid);

    begin = cpu_ms();
    check(backend->load(engine, frame, NULL, &focus, &contrast, &err), &err);
    if (counted)
        note(LOAD, begin);
    pf_homography_identity(warp.h);
    if (chain->frames)
        align(backend, engine, chain, warp.h);
    begin = cpu_ms();
    check(backend->compare_light(engine, warp.h, &light, &err), &err);
    if (counted)
        note(LIGHT, begin);
    begin = cpu_ms();
    check(backend->fuse(engine, &warp, &light, chain->frames, &err), &err);
    if (counted)
        note(FUSE, begin);
    backend->keep(engine);
    memcpy(chain->before, chain->predecessor, sizeof(chain->before));
    memcpy(chain->predecessor, warp.h, sizeof(warp.h));
    chain->frames++;
    pf_image_free(frame);
}

int main(int argc, char **argv)
{
    struct pf_error err = {0};
    struct pf_settings settings = {0};
    if (argc < 2 + LEFT_OUT || argc > MOST_FRAMES) {
        fprintf(stderr, "usage: cpu_times FRAME... (at least %d)\n", 1 + LEFT_OUT);
        return 2;
    }
    check(pf_settings_init(&settings, &err), &err);
    struct pf_stack_settings stack = pf_stack_settings_of(&settings);
    const struct pf_backend *backend = &pf_backend_cpu;
    void *engine = NULL;
    struct pf_pool *pool = NULL;
    check(pf_pool_new(&pool, 1, &err), &err);
    check(backend->open(&engine, &stack, pool, &err), &err);

    struct chain chain = {.frames = 0};
    pf_homography_identity(chain.predecessor);
    pf_homography_identity(chain.before);
    for (int i = 1; i < argc; i++)
        add(backend, engine, argv[i], &chain);

    struct pf_image *result = NULL;
    double begin = cpu_ms();
    check(backend->finish(engine, &result, &err), &err);
    note(FINISH, begin);
    char path[] = "/tmp/cpu_times-XXXXXX";
    int fd = mkstemp(path);
    if (fd >= 0) {
        close(fd);
        struct pf_encode_options options = {
            .format = PF_FORMAT_TIFF, .bits = 16, .threads = 1, .fleeting = true};
        begin = cpu_ms();
        check(pf_image_encode(result, path, &options, &err), &err);
        note(WRITE, begin);
        unlink(path);
    }

    printf("| %d x %d px, one thread, kernels: %s | CPU ms | frames |\n|---|---|---|\n",
           result->width, result->height, pf_kernels(0)->name);
    for (enum stage stage = 0; stage < STAGES; stage++)
        print(stage);
    pf_image_free(result);
    backend->close(engine);
    pf_pool_free(pool);
    pf_settings_free(&settings);
    return 0;
}
