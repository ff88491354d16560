/* What the files of tests/bench/gpu_times share: clocks, tables, and pictures that are known everywhere. */
#ifndef PF_GPU_BENCH_H
#define PF_GPU_BENCH_H

#include "process/cuda/device.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "process/cuda/fuse.h"
#include "process/image.h"
}

inline int runs = 15; /* of a stage, after two that do not count */

static inline void check(cudaError_t error, const char *what)
{
    if (error != cudaSuccess) {
        fprintf(stderr, "gpu_times: %s: %s\n", what, cudaGetErrorString(error));
        exit(1);
    }
}
static inline void check(int r, const struct pf_error &err)
{
    if (r < 0) {
        fprintf(stderr, "gpu_times: %s\n", err.text);
        exit(1);
    }
}

static inline double clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static inline double median(std::vector<double> values)
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

/* Memory of the device that is given back at the end of its scope. */
template <class T> struct room {
    T *at;
    explicit room(size_t count) : at(take<T>(count))
    {
    }
    room(room &&other) : at(other.at)
    {
        other.at = NULL;
    }
    room(const room &) = delete;
    ~room()
    {
        cudaFree(at);
    }
    operator T *() const
    {
        return at;
    }
};

/* ---- the table --------------------------------------------------------------------------------- */

struct bench {
    double bytes_per_ms;         /* of the card */
    double slower;               /* times the marks' one is as fast */
    double megapixels, marks_of; /* whose marks hold for it */
    int width, height;
};

inline std::string exactness, stacks, marks; /* rows of the tables that follow */
inline bool inexact;                         /* a mark that is no time has been missed */

static inline void note(std::string *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void note(std::string *table, const char *format, ...)
{
    char line[300];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    *table += line;
}

/* What must be reached on a card of an H200's bandwidth: medians, ms. */
static const char FRAME[] = "**a frame, from uploaded to fused**",
                  LAST[] = "**last frame to finished stack, both in host memory**";
static const struct {
    double megapixels;
    const char *name;
    double most_ms;
} MARKS[] = {{24, FRAME, 2},     {300, FRAME, 20},     {24, LAST, 50}, {300, "ecc, similarity", 15},
             {300, "flow", 100}, {300, "bspline", 150}};
static const double MARKED_BYTES_PER_MS = 4.8e9; /* of an H200, as its maker says */
static const double LEAST_DB = 50, MOST_APART_PX = 0.05, MOST_BSPLINE_PX = 0.10;
/* Below this size that error is one of pixels that are large beside the picture. */
static const double LEAST_MARKED_MP = 6;

static inline const char *verdict(bool met)
{
    return met ? "met" : "**missed**";
}

/* A card may be slower than the marks' one; what it computes may not be worse. */
static inline void judge_time(const struct bench &bench, const char *name, double ms)
{
    for (const auto &mark : MARKS)
        if (mark.megapixels == bench.marks_of && strcmp(mark.name, name) == 0)
            note(&marks, "| %g | %s | at most %.1f ms | %.3f ms | %s |\n", bench.megapixels, name,
                 mark.most_ms * bench.slower, ms, verdict(ms <= mark.most_ms * bench.slower));
}
static inline void judge_result(const struct bench &bench, const char *name, const char *unit,
                                bool at_least, double mark, double result)
{
    bool met = at_least ? result >= mark : result <= mark;
    note(&marks, "| %g | %s | at %s %.2f %s | %.3f %s | %s |\n", bench.megapixels, name,
         at_least ? "least" : "most", mark, unit, result, unit, verdict(met));
    inexact = inexact || !met;
}

static inline void say(const struct bench &bench, const char *name, double ms, double bytes)
{
    judge_time(bench, name, ms);
    double floor = bytes / bench.bytes_per_ms;
    printf("| %g | %s | %.3f |", bench.megapixels, name, ms);
    if (bytes > 0)
        printf(" %.3f | %.1f |\n", floor, ms / floor);
    else
        printf(" – | – |\n");
    fflush(stdout);
}

/* gpu_times_stages.cu */
struct pf_cuda;
void time_stages(const struct bench &bench, struct pf_cuda *cuda);

/* Events around what run() queues in a stream. */
template <class Run> static double time_once(cudaStream_t stream, Run run)
{
    cudaEvent_t begin, end;
    float ms;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    check(cudaEventRecord(begin, stream), "event");
    run();
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "a stage");
    check(cudaGetLastError(), "a stage");
    check(cudaEventElapsedTime(&ms, begin, end), "event");
    check(cudaEventDestroy(begin), "event");
    check(cudaEventDestroy(end), "event");
    return (double)ms;
}

/* The median of several; prepare(i) comes before each, untimed: it makes outputs unusable. */
template <class Run, class Prepare>
static double time_queue(cudaStream_t stream, int count, Run run, Prepare prepare)
{
    std::vector<double> times;
    for (int i = 0; i < count + 2; i++) {
        prepare(i);
        double ms = time_once(stream, [&]() { run(i); });
        if (i >= 2)
            times.push_back(ms);
    }
    return median(times);
}

/* A copy on the device, bytes read and bytes written, per millisecond. */
static inline double bandwidth(void)
{
    size_t bytes = (size_t)1 << 30, free_bytes, total_bytes;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
    while (bytes > free_bytes / 4)
        bytes /= 2;
    room<char> from(bytes), to(bytes);
    double ms = time_queue(
        0, runs,
        [&](int) { check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice), "copy"); },
        [](int) {});
    return 2.0 * (double)bytes / std::max(ms, 1e-6);
}

struct timing {
    const struct bench &bench;
    struct pf_cuda *cuda;
    cudaStream_t stream;

    template <class Run, class Prepare>
    void operator()(const char *name, double bytes, Run run, Prepare prepare) const
    {
        say(bench, name, time_queue(stream, runs, run, prepare), bytes);
    }
    void poison(void *memory, size_t bytes, int i) const
    {
        check(cudaMemsetAsync(memory, 0xA5 ^ (i & 0x3f), bytes, stream), "poison");
    }
};

/* gpu_times_align.cu */
void time_alignment(const struct timing &time);

/* ---- pictures ---------------------------------------------------------------------------------- */

/* Smooth noise, repeated, at five scales: a function of the plane, so that what is moved is not
 * resampled. Between its samples it runs straight. */
enum { TILE = 512, SCALES = 5 };
inline float tile[TILE][TILE];
static const double SCALE[SCALES] = {1, 3.1, 9.7, 31, 97};

static inline void make_tile(uint64_t seed)
{
    static float raw[TILE][TILE];
    for (int i = 0; i < TILE * TILE; i++) {
        float sum = 0;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            sum += (float)(seed >> 40) * (1.0f / (1 << 24)) - 0.5f;
        }
        raw[i / TILE][i % TILE] = sum;
    }
    for (int y = 0; y < TILE; y++)
        for (int x = 0; x < TILE; x++) {
            float sum = 0;
            for (int j = -2; j <= 2; j++)
                for (int i = -2; i <= 2; i++)
                    sum += expf((float)(i * i + j * j) / -2.4f) *
                           raw[(y + j + TILE) % TILE][(x + i + TILE) % TILE];
            tile[y][x] = sum;
        }
}

static inline float tile_at(double x, double y)
{
    double fx = floor(x), fy = floor(y);
    float tx = (float)(x - fx), ty = (float)(y - fy);
    int ix = (int)(int64_t)fx & (TILE - 1), iy = (int)(int64_t)fy & (TILE - 1);
    int right = (ix + 1) & (TILE - 1);
    const float *upper = tile[iy], *lower = tile[(iy + 1) & (TILE - 1)];
    float above = upper[ix] + tx * (upper[right] - upper[ix]);
    float below = lower[ix] + tx * (lower[right] - lower[ix]);
    return above + ty * (below - above);
}

/* What a frame shows at its pixels: the plane of another seed, moved, bent, and sharp in a share of its
 * columns alone. */
struct scene {
    unsigned seed;
    double h[9];    /* frame's point -> point of the plane */
    double bend_px; /* the plane's points, then, go by about so much */
    int sharp, of;  /* the columns of the first of `of` that are sharp; of 0: all */
    int width, height;
};

static inline struct scene scene_of(unsigned seed, int width, int height)
{
    struct scene scene = {seed, {1, 0, 0, 0, 1, 0, 0, 0, 1}, 0, 0, 0, width, height};
    return scene;
}

/* A deformation that is smooth and turns round about twice along the picture. */
static inline void bend_at(const struct scene &scene, double x, double y, double ret[2])
{
    double u = 6.2832 * x / scene.width, v = 6.2832 * y / scene.height;
    ret[0] = scene.bend_px * (0.7 * sin(1.3 * v + 1) + 0.4 * cos(1.9 * u));
    ret[1] = scene.bend_px * (0.7 * cos(1.7 * u + 2) + 0.4 * sin(1.1 * v));
}

static inline float value_at(const struct scene &scene, double x, double y)
{
    const double *h = scene.h;
    double w = h[6] * x + h[7] * y + h[8], d[2] = {0, 0};
    double u = (h[0] * x + h[1] * y + h[2]) / w, v = (h[3] * x + h[4] * y + h[5]) / w;
    if (scene.bend_px > 0)
        bend_at(scene, u, v, d);
    u += d[0];
    v += d[1];
    static const float strength[SCALES] = {26, 26, 24, 24, 22};
    bool soft = scene.of && (int)(u * scene.of / scene.width) != scene.sharp;
    float sum = 118;
    for (int k = soft ? 2 : 0; k < SCALES; k++)
        sum += strength[k] *
               tile_at(u / SCALE[k] + 37 * scene.seed + 101 * k, v / SCALE[k] + 61 * scene.seed);
    return sum;
}

/* Rows shared out among all cores. */
static inline void by_rows(int height, const std::function<void(int, int)> &rows)
{
    int count = (int)std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::thread> threads;
    for (int i = 0; i < count; i++)
        threads.emplace_back(rows, (int)((int64_t)height * i / count),
                             (int)((int64_t)height * (i + 1) / count));
    for (std::thread &thread : threads)
        thread.join();
}

/* 8 bits; three planes are 4:2:0. */
static inline struct pf_image *paint(const struct scene &scene, int planes)
{
    struct pf_error err = {};
    struct pf_image *frame = NULL;
    int shift = planes > 1;
    check(pf_image_new(&frame, scene.width, scene.height, 8, planes, shift, shift, &err), err);
    frame->orientation = 1;
    frame->source_bits = 8;
    for (int plane = 0; plane < planes; plane++) {
        int step = plane ? 2 : 1, width = pf_image_plane_width(frame, plane);
        struct scene own = scene;
        own.seed += (unsigned)plane;
        by_rows(pf_image_plane_height(frame, plane), [&](int begin, int end) {
            for (int y = begin; y < end; y++) {
                uint8_t *row =
                    (uint8_t *)frame->plane[plane] + (size_t)y * frame->stride_bytes[plane];
                for (int x = 0; x < width; x++) {
                    float value = value_at(own, step * x, step * y);
                    value = plane ? 128 + 0.3f * (value - 118) : value;
                    row[x] = (uint8_t)std::min(255.0f, std::max(0.0f, value + 0.5f));
                }
            }
        });
    }
    return frame;
}

/* Of a plane on the device. */
static inline struct pf_source_plane source_of(const uint8_t *samples, int width, int height,
                                               bool chroma)
{
    struct pf_source_plane plane = {};
    plane.samples = samples;
    plane.stride_bytes = (size_t)width;
    plane.width = width;
    plane.height = height;
    plane.bits = 8;
    plane.scale = PF_GREY;
    plane.offset = chroma ? 128 : 0;
    return plane;
}

static inline void upload(uint8_t *to, const struct pf_image *frame)
{
    check(cudaMemcpy2D(to, (size_t)frame->width, frame->plane[0], frame->stride_bytes[0],
                       (size_t)frame->width, (size_t)frame->height, cudaMemcpyHostToDevice),
          "upload");
    check(cudaDeviceSynchronize(), "upload");
}

#endif
