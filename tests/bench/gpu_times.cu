/* Times the engine on a GPU, as Markdown: gpu_times [MEGAPIXELS...]. Environment: RUNS of a stage (15),
 * SEED of the pictures (the time), MARKS_OF the size whose marks all are judged by (its own).
 *
 * Each kernel: CUDA events around it, median of the runs after two that do not count. Inputs take turns
 * among so many of their own that the card's cache holds none of them; outputs are made unusable before
 * each run, and what is changed in place begins anew. Beside it the floor: the bytes that it must read
 * and write at least once, over the bandwidth of a large copy on the same card. Alignment is of pairs
 * with a known motion, and the second table says by how much it missed. Then the whole engine as the
 * service runs it, and whole stacks beside the processor's. The last table says which marks are met.
 * Status 1 when one that is no time is missed, or nvJPEG makes something else of a frame: how long
 * something takes is told, and is no error.
 */
#include "tests/bench/gpu_bench.h"
#include "tests/bench/gpu_jpeg.h"

#include <errno.h>

extern "C" {
#include "process/backend.h"
#include "process/cuda/engine.h"
#include "process/pool.h"
}
#include "process/cuda/queue.h"

enum { FRAMES = 4 };
/* A decoder 50 dB off, added to the 49 dB that coding alone (jpeg::STEP) leaves. */
static const double LEAST_DECODED_DB = 46.4;
static bool decodes_otherwise;
static void *kept;           /* from stack to stack */
static struct pf_pool *pool; /* all cores, as the service's engine has them */

static struct pf_stack_settings settings_of(enum pf_fuse fuse)
{
    struct pf_stack_settings settings = {};
    settings.align = PF_ALIGN_ECC;
    settings.motion = PF_MOTION_SIMILARITY;
    settings.min_correlation = 0.5;
    settings.fuse = fuse;
    settings.clip = 3;
    settings.depth = true;
    settings.kept = kept;
    return settings;
}

/* A burst of a hand-held bracket: each frame moved, and sharp elsewhere. */
static std::vector<struct pf_image *> burst_of(const struct bench &bench)
{
    std::vector<struct pf_image *> frames;
    for (int i = 0; i < FRAMES; i++) {
        struct scene scene = scene_of(31, bench.width, bench.height);
        double turn = 0.0004 * i, zoom = 1 + 0.0006 * i, move = 0.0004 * bench.width * i;
        const double h[9] = {zoom, -turn, move, turn, zoom, -0.5 * move, 0, 0, 1};
        memcpy(scene.h, h, sizeof(h));
        scene.sharp = i;
        scene.of = FRAMES;
        frames.push_back(paint(scene, 3));
    }
    return frames;
}

/* ---- the engine --------------------------------------------------------------------------------- */

/* What must be read and written of a frame's planes and the stack's sums. */
static double bytes_of(const struct pf_cuda_engine *engine)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    double bytes = 0, sums = 0;
    for (int plane = 0; plane < engine->shape.planes; plane++) {
        bytes += (double)engine->stride_bytes[plane] * memory->size[plane][0].height;
        for (int part = 0; part < memory->parts; part++) {
            int level = part == PF_PART_FINEST || pf_cuda_is_rest(&engine->shape, plane) ? 0 : 1;
            if (memory->average[plane][part])
                sums += 2.0 * memory->size[plane][level].pitch * memory->size[plane][level].height;
        }
        if (memory->mean[plane])
            sums += (memory->deviations[plane] ? 10.0 : 6.0) * memory->size[plane][0].pitch *
                    memory->size[plane][0].height;
    }
    for (int part = 0; part < memory->parts; part++) {
        const struct pf_cuda_grid *cells = &memory->cells[part == PF_PART_FINEST ? 0 : 1];
        sums += (memory->shares[part].best ? 10.0 : 4.0) * cells->pitch * cells->height;
    }
    return bytes + 2 * sums;
}

struct stages {
    std::vector<double> upload, between, fuse, last;
    long launches; /* of the last frame; where they can be counted */
};

/* A frame as process/stack.c and align.c take it through a backend, waited for at the end. */
static void add_frame(struct pf_cuda_engine *engine, const struct pf_image *frame, int index,
                      struct stages *stages)
{
    const struct pf_backend *backend = &pf_backend_cuda;
    struct pf_error err = {};
    struct pf_focus focus;
    struct pf_warp warp = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
    struct pf_light_match light;
    struct pf_fit fit;
    double contrast, begin = clock_ms();
    check(pf_cuda_bring(engine, frame, &err), err);
    check(pf_cuda_wait(engine->cuda, &err), err);
    double uploaded = clock_ms();
#ifdef PF_FIBERS
    stages->launches = -fibers.launches;
#endif
    check(pf_cuda_see(engine, &focus, &contrast, &err), err);
    if (index > 0)
        check(backend->align(engine, PF_TARGET_PREDECESSOR, true, warp.h, &fit, &err), err);
    if (index > 1) {
        double wide[9];
        memcpy(wide, warp.h, sizeof(wide));
        check(backend->align(engine, PF_TARGET_BEFORE, false, wide, &fit, &err), err);
    }
    check(backend->compare_light(engine, warp.h, &light, &err), err);
    double ms = time_once(engine->cuda->lane[PF_CUDA_WORK],
                          [&]() { check(backend->fuse(engine, &warp, &light, index, &err), err); });
#ifdef PF_FIBERS
    stages->launches += fibers.launches;
#endif
    backend->keep(engine);
    if (index < 2)
        return;
    stages->upload.push_back(uploaded - begin);
    stages->between.push_back(clock_ms() - uploaded);
    stages->fuse.push_back(ms);
}

static void time_method(const struct bench &bench, enum pf_fuse fuse, const char *name,
                        const std::vector<struct pf_image *> &frames)
{
    const struct pf_backend *backend = &pf_backend_cuda;
    struct pf_stack_settings settings = settings_of(fuse);
    struct pf_error err = {};
    struct pf_image *image = NULL;
    struct stages stages = {};
    char row[100];
    void *opaque = NULL;
    double begin = clock_ms();
    check(backend->open(&opaque, &settings, pool, &err), err);
    struct pf_cuda_engine *engine = (struct pf_cuda_engine *)opaque;
    int count = 2 + std::min(runs, 8);
    for (int i = 0; i < count; i++) {
        add_frame(engine, frames[i % FRAMES], i, &stages);
        if (i == 0) {
            snprintf(row, sizeof(row), "%s: first frame, memory taken and cleared", name);
            say(bench, row, clock_ms() - begin, 0);
        }
    }
    snprintf(row, sizeof(row), "%s: fused (events)", name);
    say(bench, row, median(stages.fuse), bytes_of(engine));
    if (fuse == PF_FUSE_PYRAMID) {
        say(bench, "a frame to the device", median(stages.upload), 0);
        say(bench, FRAME, median(stages.between), bytes_of(engine));
        if (stages.launches)
            printf("| %g | launches of such a frame: %ld | – | – | – |\n", bench.megapixels,
                   stages.launches);
        std::vector<double> finish, last, preview, map;
        for (int i = 0; i < std::min(runs, 5); i++) {
            begin = clock_ms();
            add_frame(engine, frames[i % FRAMES], count + i, &stages);
            check(backend->finish(engine, &image, &err), err);
            last.push_back(clock_ms() - begin);
            pf_image_free(image);
            begin = clock_ms();
            check(backend->finish(engine, &image, &err), err);
            finish.push_back(clock_ms() - begin);
            pf_image_free(image);
            begin = clock_ms();
            check(backend->preview(engine, 1600, &image, &err), err);
            preview.push_back(clock_ms() - begin);
            pf_image_free(image);
            std::vector<int> rank;
            for (int k = 0; k <= count + i; k++)
                rank.push_back(k);
            begin = clock_ms();
            check(backend->map(engine, PF_MAP_DEPTH, rank.data(), (int)rank.size(), &image, &err),
                  err);
            map.push_back(clock_ms() - begin);
            pf_image_free(image);
        }
        say(bench, LAST, median(last), 0);
        say(bench, "finished stack in host memory", median(finish), 0);
        say(bench, "preview of at most 1600 px", median(preview), 0);
        say(bench, "depth map in host memory", median(map), 0);
    }
    backend->close(engine);
    begin = clock_ms();
    check(backend->open(&opaque, &settings, pool, &err), err);
    add_frame((struct pf_cuda_engine *)opaque, frames[0], 0, &stages);
    snprintf(row, sizeof(row), "%s: first frame of the next stack, memory kept", name);
    say(bench, row, clock_ms() - begin, 0);
    backend->close(opaque);
    pf_cuda_give_back(((struct pf_cuda_kept *)kept)->store);
}

/* ---- nvJPEG -------------------------------------------------------------------------------------- */

/* There is no other decoder here. */
static int decode_nowhere(struct pf_image **ret, const struct pf_coded *coded, struct pf_error *err)
{
    (void)ret;
    return pf_fail(err, ENOTSUP, "%s", coded->refused);
}

/* dB between a frame and what of it is on the device, in the plane where they are least alike. */
static double fidelity(const struct pf_cuda_engine *engine, const struct pf_image *frame)
{
    double least = 200;
    for (int plane = 0; plane < frame->planes; plane++) {
        double sum = 0;
        size_t width = (size_t)pf_image_plane_width(frame, plane);
        size_t height = (size_t)pf_image_plane_height(frame, plane);
        std::vector<uint8_t> copy(width * height);
        check(cudaMemcpy2D(copy.data(), width, engine->plane[plane], engine->stride_bytes[plane],
                           width, height, cudaMemcpyDeviceToHost),
              "a plane");
        for (size_t i = 0; i < copy.size(); i++) {
            double off =
                copy[i] -
                ((const uint8_t *)
                     frame->plane[plane])[i / width * frame->stride_bytes[plane] + i % width];
            sum += off * off;
        }
        if (sum > 0)
            least = std::min(least, 10 * log10(255.0 * 255.0 * (double)copy.size() / sum));
    }
    return least;
}

/* A frame as a JPEG, to planes on the device; where nothing there decodes it, why. */
static void time_decoding(const struct bench &bench, const struct pf_image *frame)
{
    const struct pf_backend *backend = &pf_backend_cuda;
    struct pf_stack_settings settings = settings_of(PF_FUSE_PYRAMID);
    struct pf_error err = {};
    struct pf_image *coded = NULL;
    char name[64], row[200];
    void *opaque = NULL;
    int r = backend->find_decoder(name, sizeof(name), &err);
    if (r == 0) {
        std::vector<uint8_t> file = jpeg::of(frame);
        check(pf_image_new_coded(&coded, frame->width, frame->height, frame->planes,
                                 frame->chroma_shift_x, frame->chroma_shift_y, file.size(),
                                 "a JPEG", &err),
              err);
        memcpy(coded->coded->bytes, file.data(), file.size());
        coded->coded->decode = decode_nowhere;
        check(backend->open(&opaque, &settings, pool, &err), err);
    }
    struct pf_cuda_engine *engine = (struct pf_cuda_engine *)opaque;
    std::vector<double> times;
    for (int i = 0; r == 0 && i < 2 + std::min(runs, 8); i++) {
        double begin = clock_ms();
        r = pf_cuda_bring(engine, coded, &err);
        if (i >= 2)
            times.push_back(clock_ms() - begin);
    }
    if (r == 0) {
        double db = fidelity(engine, frame);
        decodes_otherwise = decodes_otherwise || !(db >= LEAST_DECODED_DB);
        snprintf(row, sizeof(row), "a JPEG of %.1f MB to the device: %s, %.1f dB",
                 (double)coded->coded->size_bytes / 1e6, name, db);
        say(bench, row, median(times), 0);
    } else {
        printf("| %g | a JPEG to the device: %s | – | – | – |\n", bench.megapixels, err.text);
    }
    backend->close(engine);
    pf_image_free(coded);
}

/* ---- whole stacks -------------------------------------------------------------------------------- */

struct outcome {
    struct pf_image *stack;
    double h[FRAMES][9], ms;
};

static struct outcome stack_on(const struct pf_backend *backend,
                               const std::vector<struct pf_image *> &frames)
{
    struct outcome outcome = {};
    struct pf_stack_settings settings = settings_of(PF_FUSE_PYRAMID);
    struct pf_stack *stack = NULL;
    struct pf_error err = {};
    settings.backend = backend;
    double begin = clock_ms();
    check(pf_stack_open(&stack, &settings, pool, &err), err);
    for (int i = 0; i < FRAMES; i++) {
        struct pf_frame_result result;
        check(pf_stack_add(stack, frames[(size_t)i], &result, &err), err);
        if (result.verdict != PF_VERDICT_FUSED || pf_stack_backend(stack) != backend) {
            fprintf(stderr, "gpu_times: %s: frame %d: %s%s\n", backend->name, i, result.reason,
                    pf_stack_note(stack));
            exit(1);
        }
        memcpy(outcome.h[i], result.transform, sizeof(outcome.h[i]));
    }
    check(pf_stack_finish(stack, &outcome.stack, &err), err);
    outcome.ms = clock_ms() - begin;
    pf_stack_free(stack);
    return outcome;
}

/* dB between two results, whose samples have 16 bits. */
static double psnr(const struct pf_image *a, const struct pf_image *b)
{
    double sum = 0, count = 0;
    for (int plane = 0; plane < a->planes; plane++)
        for (int y = 0; y < pf_image_plane_height(a, plane); y++) {
            const uint16_t *p = (const uint16_t *)((const char *)a->plane[plane] +
                                                   (size_t)y * a->stride_bytes[plane]);
            const uint16_t *q = (const uint16_t *)((const char *)b->plane[plane] +
                                                   (size_t)y * b->stride_bytes[plane]);
            for (int x = 0; x < pf_image_plane_width(a, plane); x++)
                sum += ((double)p[x] - q[x]) * ((double)p[x] - q[x]);
            count += pf_image_plane_width(a, plane);
        }
    return sum > 0 ? 10 * log10(65535.0 * 65535.0 * count / sum) : 200;
}

static void compare_stacks(const struct bench &bench, const std::vector<struct pf_image *> &frames)
{
    struct outcome here = stack_on(&pf_backend_cpu, frames);
    struct outcome there = stack_on(&pf_backend_cuda, frames);
    double db = psnr(here.stack, there.stack), px = 0;
    for (int i = 0; i < FRAMES; i++)
        px = std::max(
            px, pf_homography_corner_distance(here.h[i], there.h[i], bench.width, bench.height));
    note(&stacks, "| %g | %.1f | %.4f | %.0f | %.0f |\n", bench.megapixels, db, px, there.ms,
         here.ms);
    judge_result(bench, "stacks, GPU and processor", "dB", true, LEAST_DB, db);
    judge_result(bench, "transforms, GPU and processor", "px", false, MOST_APART_PX, px);
    pf_image_free(here.stack);
    pf_image_free(there.stack);
}

/* ---- all of it ----------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    std::vector<double> sizes = {6, 24, 45, 300};
    if (argc > 1)
        sizes.clear();
    for (int i = 1; i < argc; i++)
        sizes.push_back(atof(argv[i]));
    if (getenv("RUNS"))
        runs = std::max(1, atoi(getenv("RUNS")));
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL);
    double begin = clock_ms();
    struct bench bench;
    struct pf_cuda *cuda = NULL;
    struct pf_error err = {};
    cudaDeviceProp properties;
    char name[300];
    /* As the worker begins: the host sleeps while it waits. */
    check(pf_backend_cuda.start(&kept, name, sizeof(name), &err), err);
    check(cudaGetDeviceProperties(&properties, 0), "the GPU");
    check(pf_cuda_new(&cuda, NULL, &err), err);
    check(pf_pool_new(&pool, 0, &err), err);
    make_tile(seed);
    bench.bytes_per_ms = bandwidth();
    /* Its own copies are slower than what its maker says of its memory. */
    bench.slower = strstr(properties.name, "H200") ? 1 : MARKED_BYTES_PER_MS / bench.bytes_per_ms;
    printf(
        "%s, compute capability %d.%d, %u host cores; a copy on the device moves %.0f GB/s (read "
        "and written).\n\n",
        properties.name, properties.major, properties.minor, std::thread::hardware_concurrency(),
        bench.bytes_per_ms * 1e-6);
    printf("Kernels by events, the rest by the host's clock; pictures of seed %llu.\n\n",
           (unsigned long long)seed);
    printf(
        "| MP | stage | median, ms | floor, ms | times the floor |\n|---:|---|---:|---:|---:|\n");
    for (double megapixels : sizes) {
        bench.megapixels = megapixels;
        bench.marks_of = getenv("MARKS_OF") ? atof(getenv("MARKS_OF")) : megapixels;
        bench.width = (int)(sqrt(megapixels * 1e6 * 4 / 3) / 4) * 4;
        bench.height = bench.width * 3 / 4;
        time_stages(bench, cuda);
        std::vector<struct pf_image *> frames = burst_of(bench);
        time_method(bench, PF_FUSE_PYRAMID, "pyramid", frames);
        time_method(bench, PF_FUSE_SOFT_DEPTH, "soft-depth", frames);
        time_method(bench, PF_FUSE_AVERAGE, "average", frames);
        time_decoding(bench, frames[0]);
        compare_stacks(bench, frames);
        for (struct pf_image *frame : frames)
            pf_image_free(frame);
    }
    pf_cuda_free(cuda);
    pf_pool_free(pool);
    printf("\nAlignment of pairs whose motion is known, px of the frame:\n\n| MP | method | mean "
           "error | largest error |\n|---:|---|---:|---:|\n%s",
           exactness.c_str());
    printf(
        "\nStacks of %d frames, GPU beside processor (at least %.0f dB, at most %.2f px):\n\n"
        "| MP | stacks, dB apart | transforms, px apart at the corners | GPU, ms | processor, ms "
        "|\n|---:|---:|---:|---:|---:|\n%s",
        FRAMES, LEAST_DB, MOST_APART_PX, stacks.c_str());
    printf("\nWhat must be reached; times are those for an H200's memory (4.8 TB/s), here %.2f "
           "times as "
           "long:\n\n| MP | what | mark | here | |\n|---:|---|---:|---:|---|\n%s",
           bench.slower, marks.c_str());
    printf("\nMade in %.0f s.\n", (clock_ms() - begin) / 1000);
    if (inexact)
        fprintf(stderr, "gpu_times: results are too far from the truth, or from the processor's\n");
    if (decodes_otherwise)
        fprintf(stderr, "gpu_times: what nvJPEG decodes is too far from the frame\n");
    return inexact || decodes_otherwise;
}
