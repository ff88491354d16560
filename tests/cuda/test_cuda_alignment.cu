/* Alignment of a frame in hand on the device, to each target, beside the CPU's; and what of its pictures
 * comes to the host for that. */
#include "tests/cuda/device_test.h"

extern "C" {
#include "process/cpu/alignment.h"
#include "process/cuda/alignment.h"
#include "tests/unit/texture.h"
}

static struct pf_stack_settings settings;
static struct pf_cuda *queue;
static struct pf_cuda_alignment device;
static struct pf_alignment host;

static void open_both(void)
{
    struct pf_error err = {};
    settings.align = PF_ALIGN_ECC;
    settings.motion = PF_MOTION_SIMILARITY;
    CHECK_OK(pf_cuda_new(&queue, NULL, &err), &err);
    CHECK_OK(pf_cuda_alignment_open(&device, &settings, NULL, queue, &err), &err);
    CHECK_OK(pf_alignment_open(&host, &settings, NULL, &err), &err);
}

static void close_both(void)
{
    pf_alignment_close(&host);
    pf_cuda_alignment_close(&device);
    queue = pf_cuda_free(queue);
}

static struct pf_ecc_pyramid pyramid_of(uint32_t seed, int width, int height, double shift_px)
{
    struct pf_error err = {};
    const double h[9] = {1, 0, shift_px, 0, 1, -shift_px, 0, 0, 1};
    struct pf_image *frame = texture_frame(seed, width, height, h, 0, 1);
    struct pf_source_plane luma = {};
    struct pf_ecc_pyramid pyramid = {};
    luma.samples = frame->plane[0];
    luma.stride_bytes = frame->stride_bytes[0];
    luma.width = width;
    luma.height = height;
    luma.bits = 8;
    luma.scale = (float)PF_GREY;
    CHECK_OK(pf_ecc_pyramid_of_source(&pyramid, &luma, pf_kernels(0), NULL, &err), &err);
    pf_image_free(frame);
    return pyramid;
}

static float *light_of(const struct pf_ecc_pyramid *pyramid)
{
    const struct pf_ecc_level *finest = &pyramid->level[0];
    return device_copy(finest->pixels, (size_t)finest->width * (size_t)finest->height);
}

/* Both have it in hand. */
static void take(uint32_t seed, int width, int height, double shift_px)
{
    struct pf_error err = {};
    double contrast;
    pf_alignment_next(&host);
    host.current = pyramid_of(seed, width, height, shift_px);
    const struct pf_ecc_level *finest = &host.current.level[0];
    float *light = light_of(&host.current);
    pf_cuda_alignment_halvings(&device, width);
    CHECK_OK(pf_cuda_alignment_take(&device, light, finest->width, finest->height, finest->scale,
                                    finest->offset, &contrast, &err),
             &err);
    GPU(cudaFree(light));
}

static void keep(void)
{
    pf_alignment_keep(&host);
    pf_cuda_alignment_keep(&device);
}

static void view(uint32_t seed, int width, int height)
{
    struct pf_error err = {};
    pf_ecc_pyramid_free(&host.stack_view);
    host.stack_view = pyramid_of(seed, width, height, 0);
    const struct pf_ecc_level *finest = &host.stack_view.level[0];
    float *light = light_of(&host.stack_view);
    CHECK_OK(pf_cuda_alignment_view(&device, light, finest->width, finest->height, finest->scale,
                                    finest->offset, &err),
             &err);
    CHECK_OK(pf_cuda_wait(queue, &err), &err);
    GPU(cudaFree(light));
}

/* How alike they are. */
static double align_both(enum pf_target target)
{
    const struct pf_ecc_level *finest = &host.current.level[0];
    double scale = finest->scale;
    struct pf_error err = {};
    struct pf_fit there, here;
    double h[9], k[9];
    pf_homography_identity(h);
    pf_homography_identity(k);
    CHECK_OK(pf_alignment_align(&host, target, false, h, &here, &err), &err);
#ifdef PF_FIBERS
    fibers.brought_bytes = fibers.unpinned_bytes = 0;
#endif
    CHECK_OK(pf_cuda_alignment_align(&device, target, false, k, &there, &err), &err);
#ifdef PF_FIBERS
    /* No picture that correlation sees: a small one of each, and numbers. */
    CHECK_EQ(fibers.unpinned_bytes, 0);
    CHECK(fibers.brought_bytes < (size_t)finest->width * (size_t)finest->height * sizeof(float));
#endif
    CHECK_NEAR(pf_homography_corner_distance(h, k, (int)(finest->width * scale),
                                             (int)(finest->height * scale)),
               0, 0.05);
    CHECK_NEAR(here.correlation, there.correlation, 1e-3);
    CHECK_NEAR(here.likeness, there.likeness, 1e-3);
    return here.likeness;
}

TEST(cuda_likeness_to_each_target_is_the_cpus)
{
    /* By correlation alone, and by blocks, which have a certainty and thereby use for the frame before. */
    static const int sizes[][2] = {{661, 341}, {900, 334}};
    for (int i = 0; i < 2; i++) {
        int width = sizes[i][0], height = sizes[i][1];
        open_both();
        take(3, width, height, 0);
        keep();
        take(3, width, height, 1.5);
        CHECK(align_both(PF_TARGET_PREDECESSOR) > 0.8);
        keep();
        take(3, width, height, 2.5);
        CHECK(align_both(PF_TARGET_PREDECESSOR) > 0.8);
        if (i == 1)
            CHECK(align_both(PF_TARGET_BEFORE) > 0.8);
        view(3, width, height);
        CHECK(align_both(PF_TARGET_STACK) > 0.8);
        view(4, width, height);
        CHECK(align_both(PF_TARGET_STACK) < 0.45);
        keep();
        take(4, width, height, 0);
        CHECK(align_both(PF_TARGET_PREDECESSOR) < 0.45);
        close_both();
    }
}

/* The stack's may begin at another level, and the predecessor is asked for what the stack was not. */
TEST(cuda_likeness_to_a_stack_of_another_scale_is_the_cpus)
{
    open_both();
    take(3, 661, 341, 0);
    keep();
    take(3, 661, 341, 1);
    view(3, 330, 170);
    align_both(PF_TARGET_STACK);
    align_both(PF_TARGET_PREDECESSOR);
    keep();
    take(3, 661, 341, 2);
    align_both(PF_TARGET_PREDECESSOR);
    close_both();
}
