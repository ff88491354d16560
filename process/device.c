#include "process/device.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "process/backend.h"

enum { TRIAL_WIDTH = 128, TRIAL_HEIGHT = 96, TRIAL_FRAMES = 2, TRIAL_STEP = 2 };
#define TRIAL_NEAR 0.25 /* px */

/* A picture with detail at every size, the same further on for each frame: what is to be aligned and warped
 * has moved. */
static struct pf_image *trial_frame(int index, struct pf_error *err)
{
    struct pf_image *frame = NULL;
    if (pf_image_new(&frame, TRIAL_WIDTH, TRIAL_HEIGHT, 8, 3, 1, 1, err) < 0)
        return NULL;
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < pf_image_plane_height(frame, plane); y++)
            for (int x = 0; x < pf_image_plane_width(frame, plane); x++) {
                int step = plane ? TRIAL_STEP / 2 : TRIAL_STEP, u = x + step * index,
                    v = y + step * index;
                uint32_t noise = (uint32_t)(v * 1024 + u) * 0x9e3779b1u + (uint32_t)plane;
                noise ^= noise >> 15;
                noise *= 0x2c1b3c6du;
                uint8_t *row =
                    (uint8_t *)frame->plane[plane] + (size_t)y * frame->stride_bytes[plane];
                row[x] = (uint8_t)(96 + (noise >> 26) + ((u / 16 + v / 16) % 2 ? 64 : 0));
            }
    return frame;
}

/* A small stack from its first frame to its result: what is needed for it is loaded and has worked
 * before the first frame that matters. */
static int try_out(const struct pf_backend *backend, void *kept, enum pf_fuse fuse,
                   struct pf_error *err)
{
    struct pf_stack_settings settings = {.backend = backend,
                                         .kept = kept,
                                         .align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .fuse = fuse,
                                         .clip = 3,
                                         .depth = true};
    const int rank[TRIAL_FRAMES] = {0, 1};
    struct pf_image *result = NULL, *map = NULL;
    struct pf_stack *stack = NULL;
    int r = pf_stack_open(&stack, &settings, NULL, err);
    for (int i = 0; r == 0 && i < TRIAL_FRAMES; i++) {
        struct pf_frame_result one;
        struct pf_image *frame = trial_frame(i, err);
        r = frame ? pf_stack_add(stack, frame, &one, err) : -ENOMEM;
        if (r == 0 && (one.verdict != PF_VERDICT_FUSED ||
                       fabs(one.transform[2] + TRIAL_STEP * i) > TRIAL_NEAR ||
                       fabs(one.transform[5] + TRIAL_STEP * i) > TRIAL_NEAR))
            r = pf_fail(err, EIO, "it cannot align a picture with itself: %s",
                        one.verdict == PF_VERDICT_FUSED ? "it moved otherwise" : one.reason);
        pf_image_free(frame);
    }
    if (r == 0)
        r = pf_stack_finish(stack, &result, err);
    if (r == 0 && pf_fuse_has_maps(fuse))
        r = pf_stack_map(stack, PF_MAP_DEPTH, rank, TRIAL_FRAMES, &map, err);
    if (r == 0 && pf_stack_backend(stack) != backend)
        r = pf_fail(err, ENOMEM, "%s", pf_stack_note(stack));
    pf_image_free(map);
    pf_image_free(result);
    pf_stack_free(stack);
    return r;
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
    return try_out(ret->backend, ret->kept, fuse, err);
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
            device.name[0] = '\0';
            device.unusable = r != -ENODEV;
            snprintf(device.reason, sizeof(device.reason), "%s", why.text);
        }
    }
    if (wanted == PF_DEVICE_CUDA && device.reason[0])
        return pf_fail(err, ENODEV, "device = cuda: %s", device.reason);
    *ret = device;
    return 0;
}
