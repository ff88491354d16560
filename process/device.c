#include "process/device.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/backend.h"
#include "process/codec.h"

enum { TRIAL_FRAMES = 3, TRIAL_STEP = 2 };
/* More than 2 MP: a decoder may have other ways for pictures of a camera's size. Its last blocks are parts. */
enum { LARGE_WIDTH = 1733, LARGE_HEIGHT = 1207 };
#define TRIAL_NEAR  0.25 /* px */
#define TRIAL_ALIKE 50   /* dB: decoders round otherwise, by a quarter of a grey level or so */

/* How a trial's frames come. */
enum trial {
    TRIAL_PLAIN, /* as they are */
    TRIAL_WIDE, /* as they are, all but the second with 16 bits, and as wide as it takes for all kernels that a camera's
                    frames are given to: they are halved, and aligned by blocks */
    TRIAL_DECODED, /* as JPEGs that the processor has decoded */
    TRIAL_CODED,   /* as JPEGs */
};
static const struct {
    int width, height, frames;
} trials[] = {
    [TRIAL_PLAIN] = {128, 96, 2},
    [TRIAL_WIDE] = {832, 160, TRIAL_FRAMES}, /* a third one is aligned to the first, too */
    [TRIAL_DECODED] = {128, 96, 2},
    [TRIAL_CODED] = {128, 96, 2},
};

/* A picture with detail at every size, the same further on for each frame: what is to be aligned and warped
 * has moved. */
static struct pf_image *trial_frame(int width, int height, int bits, int index,
                                    struct pf_error *err)
{
    struct pf_image *frame = NULL;
    if (pf_image_new(&frame, width, height, bits, 3, 1, 1, err) < 0)
        return NULL;
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < pf_image_plane_height(frame, plane); y++)
            for (int x = 0; x < pf_image_plane_width(frame, plane); x++) {
                int step = plane ? TRIAL_STEP / 2 : TRIAL_STEP, u = x + step * index,
                    v = y + step * index;
                uint32_t noise = (uint32_t)(v * 1024 + u) * 0x9e3779b1u + (uint32_t)plane;
                noise ^= noise >> 15;
                noise *= 0x2c1b3c6du;
                uint8_t level = (uint8_t)(96 + (noise >> 26) + ((u / 16 + v / 16) % 2 ? 64 : 0));
                void *row = (char *)frame->plane[plane] + (size_t)y * frame->stride_bytes[plane];
                if (bits == 8)
                    ((uint8_t *)row)[x] = level;
                else
                    ((uint16_t *)row)[x] = (uint16_t)(257 * level);
            }
    return frame;
}

/* To be freed: *ret_owner. */
static int trial_picture(enum trial trial, int index, struct pf_image **ret_owner,
                         const struct pf_image **ret, struct pf_error *err)
{
    int bits = trial == TRIAL_WIDE && index != 1 ? 16 : 8;
    struct pf_image *frame =
        trial_frame(trials[trial].width, trials[trial].height, bits, index, err);
    *ret = *ret_owner = frame;
    if (!frame)
        return -ENOMEM;
    if (trial == TRIAL_PLAIN || trial == TRIAL_WIDE)
        return 0;
    struct pf_image *coded = NULL;
    int r = pf_image_as_jpeg(&coded, frame, err);
    pf_image_free(frame);
    *ret = *ret_owner = coded;
    return r == 0 && trial == TRIAL_DECODED ? pf_image_samples(coded, ret, err) : r;
}

/* A small stack from its first frame to its result: what is needed for it is loaded and has worked
 * before the first frame that matters. *ret_result: the caller's. */
static int try_out(const struct pf_device *device, enum pf_fuse fuse, enum trial trial,
                   struct pf_image **ret_result, struct pf_error *err)
{
    struct pf_stack_settings settings = {.backend = device->backend,
                                         .kept = device->kept,
                                         .align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .fuse = fuse,
                                         .clip = 3,
                                         .depth = true};
    const int rank[TRIAL_FRAMES] = {0, 1, 2};
    const int count = trials[trial].frames;
    struct pf_image *result = NULL, *map = NULL;
    struct pf_stack *stack = NULL;
    int r = pf_stack_open(&stack, &settings, NULL, err);
    for (int i = 0; r == 0 && i < count; i++) {
        struct pf_frame_result one;
        struct pf_image *owner = NULL;
        const struct pf_image *frame = NULL;
        r = trial_picture(trial, i, &owner, &frame, err);
        if (r == 0)
            r = pf_stack_add(stack, frame, &one, err);
        if (r == 0 && (one.verdict != PF_VERDICT_FUSED ||
                       fabs(one.transform[2] + TRIAL_STEP * i) > TRIAL_NEAR ||
                       fabs(one.transform[5] + TRIAL_STEP * i) > TRIAL_NEAR))
            r = pf_fail(err, EIO, "it cannot align a picture with itself: %s",
                        one.verdict == PF_VERDICT_FUSED ? "it moved otherwise" : one.reason);
        if (r == 0 && trial == TRIAL_CODED && *frame->coded->refused)
            r = pf_fail(err, ENOTSUP, "%s", frame->coded->refused);
        pf_image_free(owner);
    }
    if (r == 0)
        r = pf_stack_finish(stack, &result, err);
    if (r == 0 && pf_fuse_has_maps(fuse))
        r = pf_stack_map(stack, PF_MAP_DEPTH, rank, count, &map, err);
    if (r == 0 && pf_stack_backend(stack) != device->backend)
        r = pf_fail(err, ENOMEM, "%s", pf_stack_note(stack));
    pf_image_free(map);
    pf_stack_free(stack);
    if (r < 0)
        result = pf_image_free(result);
    *ret_result = result;
    return r;
}

static double sample(const struct pf_image *image, int plane, int x, int y)
{
    const char *row = (const char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    return image->bits == 8 ? 257 * ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
}

/* dB between two pictures, in the plane where they are least alike; what is too little is said. */
static int judge(const struct pf_image *a, const struct pf_image *b, struct pf_error *err)
{
    double least = INFINITY;
    for (int plane = 0; plane < a->planes; plane++) {
        int width = pf_image_plane_width(a, plane), height = pf_image_plane_height(a, plane);
        double sum = 0;
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                double off = sample(a, plane, x, y) - sample(b, plane, x, y);
                sum += off * off;
            }
        least = fmin(least, 10 * log10(65535.0 * 65535.0 * width * height / sum));
    }
    if (least >= TRIAL_ALIKE)
        return 0;
    return pf_fail(err, ENOTSUP,
                   "it decodes otherwise than libjpeg-turbo: %.0f dB, %d are needed (%d x %d)",
                   least, TRIAL_ALIKE, a->width, a->height);
}

/* A decoder of the device's counts when the stack is what it is with the processor's. */
static int try_stack(const struct pf_device *device, enum pf_fuse fuse, struct pf_error *err)
{
    struct pf_image *here = NULL, *there = NULL;
    int r = try_out(device, fuse, TRIAL_DECODED, &here, err);
    if (r == 0)
        r = try_out(device, fuse, TRIAL_CODED, &there, err);
    if (r == 0)
        r = judge(here, there, err);
    pf_image_free(here);
    pf_image_free(there);
    return r;
}

/* ... and a picture as large as a camera's as well. */
static int try_large(const struct pf_device *device, struct pf_error *err)
{
    struct pf_image *coded = NULL, *there = NULL;
    const struct pf_image *here = NULL;
    struct pf_image *frame = trial_frame(LARGE_WIDTH, LARGE_HEIGHT, 8, 0, err);
    int r = frame ? pf_image_as_jpeg(&coded, frame, err) : -ENOMEM;
    pf_image_free(frame);
    if (r == 0)
        r = pf_image_samples(coded, &here, err);
    if (r == 0)
        r = device->backend->decode(&there, coded, err);
    if (r == 0)
        r = judge(here, there, err);
    pf_image_free(coded);
    pf_image_free(there);
    return r;
}

static int find_decoder(struct pf_device *device, enum pf_fuse fuse, pf_device_progress *progress,
                        void *context, struct pf_error *err)
{
    const char *wanted = getenv(PF_DEVICE_NVJPEG);
    struct pf_error why = {0};
    char name[sizeof(device->decoder)] = "";
    int r = 0;
    if (wanted && strcmp(wanted, "no") == 0)
        r = pf_fail(&why, ENOTSUP, PF_DEVICE_NVJPEG "=no");
    else
        r = device->backend->find_decoder(name, sizeof(name), &why);
    if (r == 0 && progress)
        progress("trying nvJPEG out", context);
    if (r == 0)
        r = try_stack(device, fuse, &why);
    if (r == 0)
        r = try_large(device, &why);
    if (r == -EREMOTEIO)
        return pf_fail(err, EREMOTEIO, "%s", why.text);
    device->decodes = r == 0;
    if (r == 0)
        memcpy(device->decoder, name, sizeof(name));
    else
        snprintf(device->undecoded, sizeof(device->undecoded), "%s%s%.400s", name,
                 *name ? ": " : "", why.text);
    return 0;
}

static int find_gpu(struct pf_device *ret, enum pf_fuse fuse, pf_device_progress *progress,
                    void *context, struct pf_error *err)
{
    if (!&pf_backend_cuda)
        return pf_fail(err, ENODEV, "this build has no CUDA code");
    if (progress)
        progress("looking for a GPU", context);
    int r = pf_backend_cuda.start(&ret->kept, ret->name, sizeof(ret->name), err);
    if (r < 0)
        return r;
    ret->backend = &pf_backend_cuda;
    if (progress)
        progress("trying it out", context);
    for (enum trial trial = TRIAL_PLAIN; r == 0 && trial <= TRIAL_WIDE; trial++) {
        struct pf_image *result = NULL;
        r = try_out(ret, fuse, trial, &result, err);
        pf_image_free(result);
    }
    return r == 0 ? find_decoder(ret, fuse, progress, context, err) : r;
}

const char *pf_device_driver_least(void)
{
    return &pf_backend_cuda ? pf_backend_cuda.driver_least() : NULL;
}

void pf_device_close(struct pf_device *device)
{
    if (device->kept)
        device->backend->stop(device->kept);
    device->kept = NULL;
}

int pf_device_choose(struct pf_device *ret, enum pf_device_kind wanted, enum pf_fuse fuse,
                     pf_device_progress *progress, void *context, struct pf_error *err)
{
    struct pf_device device = {.backend = &pf_backend_cpu};
    struct pf_error why = {0};
    if (wanted != PF_DEVICE_CPU) {
        int r = find_gpu(&device, fuse, progress, context, &why);
        if (r < 0) {
            pf_device_close(&device);
            device.backend = &pf_backend_cpu;
            device.name[0] = device.decoder[0] = device.undecoded[0] = '\0';
            device.decodes = false;
            device.unusable = r != -ENODEV;
            snprintf(device.reason, sizeof(device.reason), "%s", why.text);
        }
    }
    if (wanted == PF_DEVICE_CUDA && device.reason[0])
        return pf_fail(err, ENODEV, "device = cuda: %s", device.reason);
    *ret = device;
    return 0;
}
