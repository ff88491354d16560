#include "process/cuda/nvjpeg.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"

enum { COMPONENTS = 4 }; /* NVJPEG_MAX_COMPONENT */
enum {
    BACKEND_DEFAULT = 0,
    FLAG_BITSTREAM_STRICT = 4,
    OUTPUT_UNCHANGED = 0,
    SAMPLING_UNKNOWN = -1
};
enum { MAJOR_VERSION, MINOR_VERSION };
/* From here on nvjpegDecode() chooses by itself how it decodes a picture best. nvjpegCreateExV2() came with
 * 11.7 or 11.8: an older one of 11 lacks it, and is left alone for that. */
enum { LEAST_VERSION = 11 };

/* nvjpegImage_t */
struct output {
    unsigned char *channel[COMPONENTS];
    size_t pitch[COMPONENTS];
};

/* nvjpegDevAllocatorV2_t and nvjpegPinnedAllocatorV2_t. 0: well done. */
struct allocator {
    int (*take)(void *context, void **ret, size_t size_bytes, void *stream);
    int (*give)(void *context, void *memory, size_t size_bytes, void *stream);
    void *context;
};

/* The library, of which there is one per process; `decode` is NULL without. */
static struct {
    int (*property)(int kind, int *ret);
    int (*create)(int backend, struct allocator *device, struct allocator *pinned, unsigned flags,
                  void **ret);
    int (*destroy)(void *handle);
    int (*create_state)(void *handle, void **ret);
    int (*destroy_state)(void *state);
    int (*look)(void *handle, const unsigned char *bytes, size_t size_bytes, int *ret_components,
                int *ret_sampling, int *ret_widths, int *ret_heights);
    int (*decode)(void *handle, void *state, const unsigned char *bytes, size_t size_bytes,
                  int format, struct output *to, void *stream);
} library;

static const struct {
    const char *name;
    void *to; /* a pointer to a function */
} functions[] = {
    {"nvjpegGetProperty", &library.property},
    {"nvjpegCreateExV2", &library.create},
    {"nvjpegDestroy", &library.destroy},
    {"nvjpegJpegStateCreate", &library.create_state},
    {"nvjpegJpegStateDestroy", &library.destroy_state},
    {"nvjpegGetImageInfo", &library.look},
    {"nvjpegDecode", &library.decode},
};

struct piece {
    void *memory;
    size_t size_bytes;
};

/* What it has taken of one kind of memory: no more than `most_bytes`. */
struct heap {
    struct pf_cuda *cuda;
    bool pinned;
    size_t most_bytes, bytes;
    struct piece *pieces;
    size_t count, capacity;
};

struct pf_nvjpeg {
    struct pf_cuda *cuda;
    void *handle;
    void *state; /* NULL: made with the next picture */
    bool refused;
    struct heap device, pinned;
    struct allocator device_calls, pinned_calls;
};

/* ---- the library ---- */

static void forget(void *handle)
{
    memset(&library, 0, sizeof(library));
    dlclose(handle);
}

/* What is wrong with a library that is there: -ENOTSUP. */
static int take_functions(const char *name, void *handle, int version[2], struct pf_error *err)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(handle, functions[i].name);
        memcpy(functions[i].to, &function, sizeof(function));
        if (!function)
            return pf_fail(err, ENOTSUP, "%s has no %s", name, functions[i].name);
    }
    if (library.property(MAJOR_VERSION, &version[0]) ||
        library.property(MINOR_VERSION, &version[1]))
        return pf_fail(err, ENOTSUP, "%s does not tell its version", name);
    if (version[0] < LEAST_VERSION)
        return pf_fail(err, ENOTSUP, "%s is of version %d.%d, %d is needed", name, version[0],
                       version[1], LEAST_VERSION);
    return 0;
}

int pf_nvjpeg_find(char *ret_name, size_t size, struct pf_error *err)
{
    static const char *const names[] = {"libnvjpeg.so.13", "libnvjpeg.so.12", "libnvjpeg.so.11"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int version[2] = {0};
        void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!handle) {
            const char *why = dlerror();
            char absent[128];
            snprintf(absent, sizeof(absent), "%s: cannot open shared object file: No such file",
                     names[i]);
            if (why && strncmp(why, absent, strlen(absent)) != 0)
                pf_fail(err, ENOTSUP, "%s", why);
            continue;
        }
        if (take_functions(names[i], handle, version, err) == 0) {
            snprintf(ret_name, size, "nvJPEG %d.%d", version[0], version[1]);
            pf_error_clear(err);
            return 0;
        }
        forget(handle);
    }
    return pf_fail(err, ENOTSUP, "no %s, .12 or .11 is found", names[0]);
}

/* ---- memory ---- */

static int take(void *context, void **ret, size_t size_bytes, void *stream)
{
    struct heap *heap = context;
    (void)stream;
    struct piece *pieces =
        pf_with_room(heap->pieces, &heap->capacity, heap->count, 1, sizeof(*pieces));
    if (!pieces)
        return -1;
    heap->pieces = pieces;
    if (heap->bytes > heap->most_bytes || size_bytes > heap->most_bytes - heap->bytes ||
        (heap->pinned ? pf_cuda_alloc_pinned : pf_cuda_alloc)(heap->cuda, ret, size_bytes, NULL) <
            0)
        return -1;
    pieces[heap->count++] = (struct piece){*ret, size_bytes};
    heap->bytes += size_bytes;
    return 0;
}

/* Others may be given the memory at once: not before what the stream still does with it is done. */
static int give(void *context, void *memory, size_t size_bytes, void *stream)
{
    struct heap *heap = context;
    (void)size_bytes; /* known better */
    for (size_t i = 0; memory && i < heap->count; i++)
        if (heap->pieces[i].memory == memory) {
            heap->bytes -= heap->pieces[i].size_bytes;
            heap->pieces[i] = heap->pieces[--heap->count];
            pf_cuda_wait_for_stream(heap->cuda, stream);
            (heap->pinned ? pf_cuda_release_pinned : pf_cuda_release)(heap->cuda, memory);
            return 0;
        }
    return memory ? -1 : 0;
}

/* ---- decoding ---- */

static int refuse(struct pf_error *err, int status)
{
    static const char *const words[] = {
        "success",
        "not initialized",
        "invalid parameter",
        "bad JPEG",
        "JPEG not supported",
        "no memory",
        "execution failed",
        "architecture mismatch",
        "internal error",
        "implementation not supported",
        "incomplete bitstream",
    };
    bool known = status >= 0 && (size_t)status < sizeof(words) / sizeof(words[0]);
    return pf_fail(err, ENOTSUP, "nvJPEG: %s (%d)", known ? words[status] : "unknown status",
                   status);
}

int pf_nvjpeg_new(struct pf_nvjpeg **ret, struct pf_cuda *cuda, size_t most_bytes,
                  struct pf_error *err)
{
    if (!library.decode)
        return pf_fail(err, ENOTSUP, "nvJPEG is not loaded");
    struct pf_nvjpeg *nvjpeg = calloc(1, sizeof(*nvjpeg));
    if (!nvjpeg)
        return pf_fail(err, ENOMEM, "out of memory for nvJPEG");
    nvjpeg->cuda = cuda;
    nvjpeg->device = (struct heap){.cuda = cuda, .most_bytes = most_bytes};
    nvjpeg->pinned = (struct heap){.cuda = cuda, .most_bytes = most_bytes, .pinned = true};
    nvjpeg->device_calls = (struct allocator){take, give, &nvjpeg->device};
    nvjpeg->pinned_calls = (struct allocator){take, give, &nvjpeg->pinned};
    int status = library.create(BACKEND_DEFAULT, &nvjpeg->device_calls, &nvjpeg->pinned_calls,
                                FLAG_BITSTREAM_STRICT, &nvjpeg->handle);
    if (status) {
        pf_nvjpeg_free(nvjpeg);
        return refuse(err, status);
    }
    *ret = nvjpeg;
    return 0;
}

void pf_nvjpeg_rest(struct pf_nvjpeg *nvjpeg)
{
    if (nvjpeg && nvjpeg->state)
        library.destroy_state(nvjpeg->state);
    if (nvjpeg)
        nvjpeg->state = NULL;
}

void pf_nvjpeg_limit(struct pf_nvjpeg *nvjpeg, size_t most_bytes)
{
    if (nvjpeg->device.bytes > most_bytes || nvjpeg->pinned.bytes > most_bytes)
        pf_nvjpeg_rest(nvjpeg);
    nvjpeg->device.most_bytes = nvjpeg->pinned.most_bytes = most_bytes;
}

size_t pf_nvjpeg_holds(const struct pf_nvjpeg *nvjpeg, bool pinned)
{
    return !nvjpeg ? 0 : pinned ? nvjpeg->pinned.bytes : nvjpeg->device.bytes;
}

bool pf_nvjpeg_has_refused(const struct pf_nvjpeg *nvjpeg)
{
    return nvjpeg && nvjpeg->refused;
}

struct pf_nvjpeg *pf_nvjpeg_free(struct pf_nvjpeg *nvjpeg)
{
    if (!nvjpeg)
        return NULL;
    pf_nvjpeg_rest(nvjpeg);
    if (nvjpeg->handle)
        library.destroy(nvjpeg->handle);
    free(nvjpeg->device.pieces);
    free(nvjpeg->pinned.pieces);
    free(nvjpeg);
    return NULL;
}

static int decode(struct pf_nvjpeg *nvjpeg, const struct pf_image *frame, void *const plane[3],
                  const size_t stride_bytes[3], struct pf_error *err)
{
    const struct pf_coded *coded = frame->coded;
    int components = 0, sampling = SAMPLING_UNKNOWN;
    int widths[COMPONENTS] = {0}, heights[COMPONENTS] = {0};
    int status = library.look(nvjpeg->handle, coded->bytes, coded->size_bytes, &components,
                              &sampling, widths, heights);
    if (status)
        return refuse(err, status);
    bool same = components == frame->planes && sampling != SAMPLING_UNKNOWN;
    struct output to = {.channel = {NULL}};
    for (int i = 0; same && i < frame->planes; i++) {
        same = widths[i] == pf_image_plane_width(frame, i) &&
               heights[i] == pf_image_plane_height(frame, i);
        to.channel[i] = plane[i];
        to.pitch[i] = stride_bytes[i];
    }
    if (!same)
        return pf_fail(err, ENOTSUP, "nvJPEG sees %d planes, the first one of %d x %d", components,
                       widths[0], heights[0]);
    if (!nvjpeg->state)
        status = library.create_state(nvjpeg->handle, &nvjpeg->state);
    if (status == 0)
        status =
            library.decode(nvjpeg->handle, nvjpeg->state, coded->bytes, coded->size_bytes,
                           OUTPUT_UNCHANGED, &to, pf_cuda_lane_of(nvjpeg->cuda, PF_CUDA_COPIES));
    return status ? refuse(err, status) : 0;
}

int pf_nvjpeg_decode(struct pf_nvjpeg *nvjpeg, const struct pf_image *frame, void *const plane[3],
                     const size_t stride_bytes[3], struct pf_error *err)
{
    int r = decode(nvjpeg, frame, plane, stride_bytes, err);
    nvjpeg->refused |= r < 0;
    return r;
}
