/* Times the stages of the engine on a GPU, as a Markdown table: gpu_times [MEGAPIXELS...].
 *
 * Each stage: CUDA events around it, median of many runs after a warm-up, inputs drawn anew for each
 * size and changed from run to run, outputs poisoned before each. Beside it the floor: the bytes that
 * it must read and write at least once, over the bandwidth of a large copy on the same card. The last
 * rows are the whole engine's, with the host's clock: a frame from memory to fused, and from the last
 * frame to the finished stack in host memory.
 */
#include "process/cuda/device.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <vector>

extern "C" {
#include "process/backend.h"
#include "process/cuda/deform.h"
#include "process/cuda/fuse.h"
}
#include "process/cuda/queue.h"

static const int RUNS = 15, SETS = 2;

static void check(cudaError_t error, const char *what)
{
    if (error != cudaSuccess) {
        fprintf(stderr, "gpu_times: %s: %s\n", what, cudaGetErrorString(error));
        exit(1);
    }
}
static void check(int r, const struct pf_error &err)
{
    if (r < 0) {
        fprintf(stderr, "gpu_times: %s\n", err.text);
        exit(1);
    }
}

static double clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

template <class T> static T *take(size_t count)
{
    T *memory = NULL;
    check(cudaMalloc(&memory, count * sizeof(T)), "memory");
    check(cudaMemset(memory, 0xA5, count * sizeof(T)), "memory");
    check(cudaDeviceSynchronize(), "memory");
    return memory;
}

struct bench {
    struct pf_cuda *cuda;
    double bytes_per_ms; /* of the card */
    double megapixels;
};

/* run(i) queues its work; poison(i) makes its output unusable before. bytes 0: no floor is known. */
template <class Run, class Poison>
static void time_stage(const struct bench &bench, const char *name, double bytes, Run run,
                       Poison poison)
{
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<double> times;
    cudaStream_t stream = bench.cuda->lane[PF_CUDA_WORK];
    for (int i = 0; i < RUNS + 2; i++) {
        poison(i);
        check(cudaEventRecord(begin, stream), "event");
        run(i);
        check(cudaEventRecord(end, stream), "event");
        check(cudaEventSynchronize(end), name);
        check(cudaGetLastError(), name);
        float ms;
        check(cudaEventElapsedTime(&ms, begin, end), "event");
        if (i >= 2)
            times.push_back((double)ms);
    }
    check(cudaEventDestroy(begin), "event");
    check(cudaEventDestroy(end), "event");
    double middle = median(times), floor = bytes / bench.bytes_per_ms;
    printf("| %.0f | %s | %.3f |", bench.megapixels, name, middle);
    if (bytes > 0)
        printf(" %.3f | %.1f |\n", floor, middle / floor);
    else
        printf(" – | – |\n");
    fflush(stdout);
}

/* A copy on the device, bytes read and bytes written. */
static double bandwidth(void)
{
    size_t bytes = (size_t)1 << 30, free_bytes, total_bytes;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
    while (bytes > free_bytes / 4)
        bytes /= 2;
    char *from = take<char>(bytes), *to = take<char>(bytes);
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<double> times;
    for (int i = 0; i < RUNS; i++) {
        float ms;
        check(cudaEventRecord(begin), "event");
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice), "copy");
        check(cudaEventRecord(end), "event");
        check(cudaEventSynchronize(end), "copy");
        check(cudaEventElapsedTime(&ms, begin, end), "event");
        times.push_back((double)ms);
    }
    check(cudaFree(from), "memory");
    check(cudaFree(to), "memory");
    return 2.0 * (double)bytes / std::max(median(times), 1e-6);
}

/* A picture with detail of every size, moved by (dx, dy); fresh for each seed. */
static uint8_t value_at(unsigned seed, double x, double y)
{
    double sum = 128 + 50 * sin(0.011 * x + seed) * cos(0.013 * y) + 30 * sin(0.09 * x + 0.05 * y) +
                 15 * cos(0.31 * x - 0.27 * y + seed);
    uint32_t noise = ((uint32_t)(int)x * 0x9e3779b1u ^ (uint32_t)(int)y * 0x85ebca77u) + seed;
    noise ^= noise >> 15;
    noise *= 0x2c1b3c6du;
    return (uint8_t)std::min(255.0, std::max(0.0, sum + (double)(noise >> 29)));
}

static struct pf_image *frame_of(unsigned seed, int width, int height, double dx, double dy)
{
    struct pf_error err = {};
    struct pf_image *frame = NULL;
    check(pf_image_new(&frame, width, height, 8, 3, 1, 1, &err), err);
    for (int plane = 0; plane < 3; plane++) {
        int step = plane ? 2 : 1;
        for (int y = 0; y < pf_image_plane_height(frame, plane); y++)
            for (int x = 0; x < pf_image_plane_width(frame, plane); x++)
                ((uint8_t *)
                     frame->plane[plane])[(size_t)y * frame->stride_bytes[plane] + (size_t)x] =
                    value_at(seed + (unsigned)plane, step * x + dx, step * y + dy);
    }
    return frame;
}

static void time_kernels(const struct bench &bench, int width, int height)
{
    struct pf_cuda *cuda = bench.cuda;
    struct pf_error err = {};
    size_t pixels = (size_t)width * (size_t)height;
    double px = (double)pixels;
    struct pf_cuda_grid size = {width, height, width},
                        half = {(width + 1) / 2, (height + 1) / 2, (width + 1) / 2};
    size_t quarter = (size_t)half.width * (size_t)half.height;
    uint8_t *raw[SETS];
    for (int set = 0; set < SETS; set++) {
        struct pf_image *frame = frame_of(11 + (unsigned)set, width, height, 1.7 * set, -0.6 * set);
        raw[set] = take<uint8_t>(pixels);
        check(cudaMemcpy2D(raw[set], (size_t)width, frame->plane[0], frame->stride_bytes[0],
                           (size_t)width, (size_t)height, cudaMemcpyHostToDevice),
              "upload");
        pf_image_free(frame);
    }
    auto luma = [&](int i) {
        struct pf_source_plane plane = {};
        plane.samples = raw[i % SETS];
        plane.stride_bytes = (size_t)width;
        plane.width = width;
        plane.height = height;
        plane.bits = 8;
        plane.scale = PF_GREY;
        return plane;
    };
    auto nothing = [](int) {};
    auto poison = [&](void *memory, size_t bytes) {
        check(cudaMemsetAsync(memory, 0xA5, bytes, cuda->lane[PF_CUDA_WORK]), "poison");
    };

    struct pf_cuda_cell *cells = take<struct pf_cuda_cell>(PF_CUDA_CELLS * PF_CUDA_CELLS);
    time_stage(
        bench, "focus measure", px,
        [&](int i) {
            struct pf_source_plane plane = luma(i);
            pf_cuda_measure(cuda, &plane, cells);
        },
        [&](int) { poison(cells, sizeof(*cells) * PF_CUDA_CELLS * PF_CUDA_CELLS); });
    check(cudaFree(cells), "memory");

    float *light = take<float>(quarter);
    time_stage(
        bench, "light, halved", 2 * px,
        [&](int i) {
            struct pf_source_plane plane = luma(i);
            pf_cuda_halve_source(cuda, light, &plane);
        },
        [&](int) { poison(light, quarter * sizeof(float)); });

    int16_t *fine = take<int16_t>(pixels), *average = take<int16_t>(pixels);
    int16_t *coarse = take<int16_t>(quarter);
    float *share = take<float>(quarter);
    pf_kernels(0); /* fills pf_lanczos */
    float *lanczos = take<float>(sizeof(pf_lanczos) / sizeof(float));
    check(cudaMemcpy(lanczos, pf_lanczos, sizeof(pf_lanczos), cudaMemcpyHostToDevice), "upload");
    struct pf_cuda_planes out = {1, {fine, NULL}, size}, below = {1, {coarse, NULL}, half};
    struct pf_cuda_planes stack = {1, {average, NULL}, size};
    struct pf_cuda_map map = {};
    const double h[9] = {1.001, 0.0004, -1.3, -0.0004, 1.001, 2.1, 0, 0, 1};
    memcpy(map.h, h, sizeof(h));
    map.here.scale_x = map.here.scale_y = map.there.scale_x = map.there.scale_y = 1;
    time_stage(
        bench, "warp, luma", 3 * px,
        [&](int i) {
            struct pf_source_plane plane = luma(i);
            pf_cuda_warp(cuda, &out, &plane, &map, lanczos);
        },
        [&](int) { poison(fine, pixels * sizeof(*fine)); });
    time_stage(
        bench, "reduce and energy, finest luma", 3.5 * px,
        [&](int) { pf_cuda_reduce(cuda, &out, &below, share); },
        [&](int) { poison(coarse, quarter * sizeof(*coarse)); });
    check(cudaMemset(share, 0x3e, quarter * sizeof(float)), "memory"); /* shares of 0.18 */
    time_stage(
        bench, "Laplacian into the stack, finest luma", 7.5 * px,
        [&](int) { pf_cuda_blend_laplacian(cuda, &stack, &out, &below, share, &half, 2, 2); },
        nothing);
    time_stage(
        bench, "collapse, finest luma", 4.5 * px,
        [&](int) { pf_cuda_collapse(cuda, &out, &stack, &below, 0, PF_WHITE); },
        [&](int) { poison(fine, pixels * sizeof(*fine)); });
    check(cudaFree(fine), "memory");
    check(cudaFree(average), "memory");
    check(cudaFree(coarse), "memory");
    check(cudaFree(share), "memory");
    check(cudaFree(lanczos), "memory");

    /* Pictures of light down to what each kind of alignment needs. */
    struct pf_cuda_pyramid pyramid[SETS];
    memset(pyramid, 0, sizeof(pyramid));
    for (int kind = 0; kind < 2; kind++) {
        int most = kind == 0 ? PF_ECC_MAX_WIDTH : 5000, w = width, hgt = height, halvings = 0;
        for (int set = 0; set < SETS; set++) {
            struct pf_source_plane plane = luma(set);
            w = (width + 1) / 2;
            hgt = (height + 1) / 2;
            halvings = 1;
            pf_cuda_halve_source(cuda, light, &plane);
            float *at = light, *next = take<float>(quarter / 4 + 4096), *other = next;
            while (w > most) {
                pf_cuda_halve(cuda, next, at, w, hgt);
                std::swap(at, next);
                w = (w + 1) / 2;
                hgt = (hgt + 1) / 2;
                halvings++;
            }
            double scale = ldexp(1, halvings);
            check(pf_cuda_pyramid_of_light(cuda, &pyramid[set], at, w, hgt, scale, (scale - 1) / 2,
                                           &err),
                  err);
            check(pf_cuda_wait(cuda, &err), err);
            check(cudaFree(other), "memory");
        }
        double both = 8.0 * w * hgt;
        if (kind == 0) {
            struct pf_cuda_ecc *ecc = NULL;
            check(pf_cuda_ecc_new(&ecc, cuda, &err), err);
            time_stage(
                bench, "ecc, similarity, one way (with its launches)", both,
                [&](int i) {
                    double found[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
                    struct pf_ecc_fit fit;
                    check(pf_cuda_ecc_align(ecc, &pyramid[i % SETS], &pyramid[(i + 1) % SETS],
                                            PF_MOTION_SIMILARITY, false, 0, found, &fit, &err),
                          err);
                },
                nothing);
            pf_cuda_ecc_free(ecc);
        }
        struct pf_cuda_deform *deform = NULL;
        check(pf_cuda_deform_new(&deform, cuda, &err), err);
        for (int method = PF_CUDA_FLOW; kind == 1 && method <= PF_CUDA_SYN; method++) {
            struct pf_cuda_deform_options options = {(enum pf_cuda_deform_method)method,
                                                     std::max(width, height) / 20.0, 0};
            time_stage(
                bench,
                method == PF_CUDA_FLOW      ? "flow"
                : method == PF_CUDA_BSPLINE ? "bspline"
                                            : "syn",
                both,
                [&](int i) {
                    struct pf_warp start = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
                    struct pf_field *field = NULL;
                    struct pf_cuda_deform_report report;
                    check(pf_cuda_deform_run(deform, &pyramid[i % SETS], &pyramid[(i + 1) % SETS],
                                             &start, &options, &field, &report, &err),
                          err);
                    pf_field_free(field);
                },
                nothing);
        }
        pf_cuda_deform_free(deform);
    }
    for (int set = 0; set < SETS; set++) {
        pf_cuda_pyramid_free(cuda, &pyramid[set]);
        check(cudaFree(raw[set]), "memory");
    }
    check(cudaFree(light), "memory");
}

/* The backend with a frame of three planes, 4:2:0. */
static void time_engine(const struct bench &bench, int width, int height)
{
    const struct pf_backend *backend = &pf_backend_cuda;
    struct pf_stack_settings settings = {};
    struct pf_error err = {};
    settings.align = PF_ALIGN_ECC;
    settings.motion = PF_MOTION_SIMILARITY;
    settings.min_correlation = 0.5;
    settings.fuse = PF_FUSE_PYRAMID;
    settings.depth = true;
    void *engine = NULL;
    check(backend->open(&engine, &settings, NULL, &err), err);
    struct pf_image *frames[SETS];
    for (int set = 0; set < SETS; set++)
        frames[set] = frame_of(31, width, height, 1.5 * set, 0.5 * set);
    std::vector<double> added, finished;
    for (int i = 0; i < 6; i++) {
        double begin = clock_ms(), contrast;
        struct pf_focus focus;
        struct pf_warp warp = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, NULL};
        struct pf_light_match light = {1, {1, 1, 1}};
        struct pf_fit fit;
        struct pf_image *preview = NULL;
        check(backend->load(engine, frames[i % SETS], &focus, &contrast, &err), err);
        if (i)
            check(backend->align(engine, PF_TARGET_PREDECESSOR, false, warp.h, &fit, &err), err);
        check(backend->fuse(engine, &warp, &light, i, &err), err);
        backend->keep(engine);
        check(backend->preview(engine, 64, &preview, &err), err); /* waits for all of it */
        pf_image_free(preview);
        if (i > 1)
            added.push_back(clock_ms() - begin);
    }
    for (int i = 0; i < 4; i++) {
        struct pf_image *stack = NULL;
        double begin = clock_ms();
        check(backend->finish(engine, &stack, &err), err);
        if (i)
            finished.push_back(clock_ms() - begin);
        pf_image_free(stack);
    }
    backend->close(engine);
    for (int set = 0; set < SETS; set++)
        pf_image_free(frames[set]);
    printf("| %.0f | a frame, host memory to fused, preview of 64 px (host's clock) | %.2f | – | – "
           "|\n",
           bench.megapixels, median(added));
    printf("| %.0f | finished stack in host memory (host's clock) | %.2f | – | – |\n",
           bench.megapixels, median(finished));
}

int main(int argc, char **argv)
{
    static const double usual[] = {6, 24, 45, 300};
    std::vector<double> sizes(usual, usual + 4);
    if (argc > 1)
        sizes.clear();
    for (int i = 1; i < argc; i++)
        sizes.push_back(atof(argv[i]));
    struct bench bench;
    struct pf_error err = {};
    cudaDeviceProp properties;
    int driver = 0;
    check(cudaGetDeviceProperties(&properties, 0), "the GPU");
    check(cudaDriverGetVersion(&driver), "the driver");
    check(pf_cuda_new(&bench.cuda, &err), err);
    bench.bytes_per_ms = bandwidth();
    printf(
        "%s, compute capability %d.%d, driver for CUDA %d.%d; a copy on the device moves %.0f GB/s "
        "(read and written).\n\n",
        properties.name, properties.major, properties.minor, driver / 1000, driver % 100 / 10,
        bench.bytes_per_ms * 1e-6);
    printf(
        "| MP | stage | median, ms | floor, ms | times the floor |\n|---:|---|---:|---:|---:|\n");
    for (double megapixels : sizes) {
        bench.megapixels = megapixels;
        int width = (int)(sqrt(megapixels * 1e6 * 4 / 3) / 4) * 4, height = width * 3 / 4;
        time_kernels(bench, width, height);
        time_engine(bench, width, height);
    }
    pf_cuda_free(bench.cuda);
    return 0;
}
