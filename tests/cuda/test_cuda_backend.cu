/* The whole backend on generated bursts, beside the processor's: what both must agree on.
 *
 * time limit: 480
 */
#include "tests/cuda/device_test.h"

#include <stdlib.h>

extern "C" {
#include "process/backend.h"
#include "process/cuda/engine.h"
#include "process/room.h"
#include "process/stack.h"
}
#include "tests/cuda/burst.h"

TEST(cuda_stack_of_a_jpegs_planes_is_the_processors)
{
    struct kind kind = {227, 171, 8, 3, 1, 1, 4};
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        compare_backends(&kind, PF_FUSE_PYRAMID, 50);
    }
}

/* Wide enough for alignment by blocks, and for a second chain over every other frame. */
TEST(cuda_stack_that_is_aligned_by_blocks_is_the_processors)
{
    struct kind kind = {902, 303, 8, 3, 1, 1, 3};
    compare_backends(&kind, PF_FUSE_PYRAMID, 50);
}

TEST(cuda_stack_of_16_bits_and_of_grey_is_the_processors)
{
    struct kind deep = {161, 120, 16, 3, 0, 0, 2}, grey = {180, 131, 8, 1, 0, 0, 3};
    struct kind flat = {162, 110, 8, 3, 1, 0, 2};
    compare_backends(&deep, PF_FUSE_PYRAMID, 50);
    compare_backends(&grey, PF_FUSE_PYRAMID, 50);
    compare_backends(&flat, PF_FUSE_PYRAMID, 50);
}

TEST(cuda_other_methods_are_the_processors)
{
    struct kind kind = {163, 121, 8, 3, 1, 1, 6};
    compare_backends(&kind, PF_FUSE_SOFT_DEPTH, 50);
    compare_backends(&kind, PF_FUSE_AVERAGE, 60);
    kind.holes = kind.bicubic = true;
    compare_backends(&kind, PF_FUSE_AVERAGE, 60);
}

TEST(cuda_stack_of_a_tiny_picture_is_the_processors)
{
    struct kind kind = {17, 9, 8, 3, 1, 1, 2};
    compare_backends(&kind, PF_FUSE_PYRAMID, 50);
}

/* Previews and depth are to be had between frames, and leave the stack as it is. */
TEST(cuda_stack_that_is_looked_at_between_frames_is_the_same)
{
    const struct kind kind = {161, 120, 8, 3, 1, 1, 4};
    const enum pf_fuse methods[] = {PF_FUSE_PYRAMID, PF_FUSE_SOFT_DEPTH, PF_FUSE_AVERAGE};
    for (int i = 0; i < 3; i++) {
        struct outcome here = stack_on(&pf_backend_cpu, &kind, methods[i], NULL, true);
        struct outcome there = stack_on(&pf_backend_cuda, &kind, methods[i], NULL, true);
        struct outcome alone = stack_on(&pf_backend_cuda, &kind, methods[i]);
        CHECK(is_same(&alone, &there));
        CHECK(psnr(here.early, there.early) >= 48);
        if (pf_fuse_has_maps(methods[i]))
            CHECK(psnr(here.early_depth, there.early_depth) >= 35);
        forget(&here);
        forget(&there);
        forget(&alone);
    }
}

static struct kind coded_kind = {161, 120, 8, 3, 1, 1, 3};

/* As a codec does it: from what was kept of the file. */
static int decode_frame(struct pf_image **ret, const struct pf_coded *coded, struct pf_error *err)
{
    (void)err;
    *ret = burst_frame(&coded_kind, coded->bytes[0]);
    return 0;
}

/* Frames that come coded where nothing on the device decodes them. */
TEST(cuda_stack_of_coded_frames_is_that_of_decoded_ones)
{
    const struct pf_backend *backends[] = {&pf_backend_cpu, &pf_backend_cuda};
    for (int b = 0; b < 2; b++) {
        struct pf_image *results[2] = {};
        for (int coded = 0; coded < 2; coded++) {
            struct pf_stack_settings settings = {};
            struct pf_stack *stack = NULL;
            struct pf_error err = {};
            settings.backend = backends[b];
            settings.align = PF_ALIGN_ECC;
            settings.motion = PF_MOTION_SIMILARITY;
            CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
            for (int i = 0; i < coded_kind.frames; i++) {
                struct pf_frame_result result;
                struct pf_image *frame = NULL;
                if (coded) {
                    CHECK_OK(pf_image_new_coded(&frame, coded_kind.width, coded_kind.height, 3, 1,
                                                1, 1, "a.jpg", &err),
                             &err);
                    frame->coded->bytes[0] = (uint8_t)i;
                    frame->coded->decode = decode_frame;
                } else {
                    frame = burst_frame(&coded_kind, i);
                }
                CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
                CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
                /* Whoever could have decoded it says why it has not. */
                CHECK(!coded || (frame->coded->refused[0] != 0) == (b == 1));
                pf_image_free(frame);
            }
            CHECK_OK(pf_stack_finish(stack, &results[coded], &err), &err);
            CHECK(pf_stack_backend(stack) == backends[b]);
            pf_stack_free(stack);
        }
        CHECK(psnr(results[0], results[1]) == 200);
        pf_image_free(results[0]);
        pf_image_free(results[1]);
    }
}

/* Of a stack with maps, frames included. */
static double mebibytes(int width, int height, int bits, int shift, enum pf_fuse fuse,
                        enum pf_cuda_thrift thrift)
{
    struct pf_cuda_shape shape = {};
    struct pf_cuda_memory memory;
    struct pf_cuda_raw raw;
    shape.width = width;
    shape.height = height;
    shape.planes = 3;
    shape.bits = bits;
    shape.chroma_shift_x = shape.chroma_shift_y = shift;
    shape.fuse = fuse;
    shape.maps = shape.clip = true;
    return (double)(pf_cuda_lay_out(&memory, &shape, thrift, NULL, NULL).device +
                    pf_cuda_lay_out_raw(&raw, &shape, thrift, NULL).device) /
           1048576;
}

TEST(cuda_memory_of_300_megapixels_fits_on_a_card_of_16_gigabytes)
{
    /* What a driver leaves of 16 GB, less half a gigabyte for alignment and others. */
    const double room = 15 * 1024 - 512;
    CHECK(mebibytes(20000, 15000, 8, 1, PF_FUSE_PYRAMID, PF_CUDA_AMPLE) < 0.4 * room);
    CHECK(mebibytes(20000, 15000, 16, 0, PF_FUSE_PYRAMID, PF_CUDA_AMPLE) < 0.7 * room);
    CHECK(mebibytes(20000, 15000, 16, 0, PF_FUSE_SOFT_DEPTH, PF_CUDA_AMPLE) < room);
    CHECK(mebibytes(20000, 15000, 16, 0, PF_FUSE_AVERAGE, PF_CUDA_FRUGAL) < room);
    /* With less room, less is taken; and a JPEG of 24 MP fits on the smallest of today's. */
    CHECK(mebibytes(20000, 15000, 16, 0, PF_FUSE_PYRAMID, PF_CUDA_FRUGAL) <
          mebibytes(20000, 15000, 16, 0, PF_FUSE_PYRAMID, PF_CUDA_AMPLE) - 1024);
    CHECK(mebibytes(6000, 4000, 8, 1, PF_FUSE_PYRAMID, PF_CUDA_AMPLE) < 600);
    /* With the sums in the host's memory, on a card of 4 GB, or of 6 at 16 bits without subsampling. */
    CHECK(mebibytes(17320, 17320, 8, 1, PF_FUSE_PYRAMID, PF_CUDA_SCANT) < 4 * 1024 - 512);
    CHECK(mebibytes(17320, 17320, 16, 0, PF_FUSE_PYRAMID, PF_CUDA_SCANT) < 6 * 1024 - 512);
    /* With all that can be there, on one of 2.5 GB, whatever they are. */
    CHECK(mebibytes(17320, 17320, 16, 0, PF_FUSE_PYRAMID, PF_CUDA_BARE) < 2 * 1024);
    CHECK(mebibytes(17320, 17320, 16, 0, PF_FUSE_SOFT_DEPTH, PF_CUDA_BARE) < 2 * 1024);
    CHECK(mebibytes(17320, 17320, 16, 0, PF_FUSE_AVERAGE, PF_CUDA_BARE) < 2 * 1024);
}

/* What stacks keep from one to the next. */
static void *start(void)
{
    void *kept = NULL;
    char name[300];
    struct pf_error err = {};
    CHECK_OK(pf_backend_cuda.start(&kept, name, sizeof(name), &err), &err);
    return kept;
}

TEST(cuda_stack_in_memory_that_others_have_left_is_the_same)
{
    const struct kind jpeg = {161, 120, 8, 3, 1, 1, 2}, deep = {240, 181, 16, 3, 0, 0, 2},
                      like = {151, 130, 8, 3, 1, 1, 2}, grey = {161, 120, 8, 1, 0, 0, 2};
    const struct {
        const struct kind *kind;
        enum pf_fuse fuse;
    } stacks[] = {{&jpeg, PF_FUSE_PYRAMID},    {&like, PF_FUSE_PYRAMID}, {&deep, PF_FUSE_AVERAGE},
                  {&deep, PF_FUSE_PYRAMID},    {&jpeg, PF_FUSE_PYRAMID}, {&jpeg, PF_FUSE_AVERAGE},
                  {&jpeg, PF_FUSE_SOFT_DEPTH}, {&grey, PF_FUSE_PYRAMID}, {&jpeg, PF_FUSE_PYRAMID}};
    void *kept = start();
    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        struct outcome alone = stack_on(&pf_backend_cuda, stacks[i].kind, stacks[i].fuse);
        struct outcome after = stack_on(&pf_backend_cuda, stacks[i].kind, stacks[i].fuse, kept);
        CHECK(is_same(&alone, &after));
        forget(&alone);
        forget(&after);
    }
    pf_backend_cuda.stop(kept);
}

#ifdef PF_FIBERS
/* A stack and its maps; returns how often memory had to be taken for it. */
static long allocations_of(const struct kind *kind, enum pf_fuse fuse, void *kept)
{
    long before = fibers.allocations;
    struct outcome outcome = stack_on(&pf_backend_cuda, kind, fuse, kept);
    forget(&outcome);
    return fibers.allocations - before;
}

static size_t most_allocated_for(const struct kind *kind, enum pf_fuse fuse, void *kept)
{
    fibers.most_allocated_bytes = 0;
    allocations_of(kind, fuse, kept);
    return fibers.most_allocated_bytes;
}

TEST(cuda_memory_is_taken_once_for_stacks_of_one_kind)
{
    const struct kind small = {161, 120, 8, 3, 1, 1, 2}, large = {320, 240, 8, 3, 1, 1, 2};
    size_t before = fibers.allocated_bytes;
    size_t alone = most_allocated_for(&large, PF_FUSE_PYRAMID, NULL);
    CHECK_EQ(fibers.allocated_bytes, before);
    void *kept = start();
    CHECK(allocations_of(&small, PF_FUSE_PYRAMID, kept) > 10);
    CHECK_EQ(allocations_of(&small, PF_FUSE_PYRAMID, kept), 0);
    size_t of_small = fibers.allocated_bytes;
    /* What is too small for the next one goes before that takes its own, and what is too large likewise. */
    CHECK(most_allocated_for(&large, PF_FUSE_PYRAMID, kept) <= alone);
    CHECK_EQ(allocations_of(&large, PF_FUSE_PYRAMID, kept), 0);
    CHECK(allocations_of(&small, PF_FUSE_PYRAMID, kept) > 0);
    CHECK(fibers.allocated_bytes < 2 * of_small);
    pf_backend_cuda.stop(kept);
    CHECK_EQ(fibers.allocated_bytes, before);
}

/* Pinned memory takes long to get: frames of every size go through the same, which is there before the first one. */
TEST(cuda_frames_go_through_memory_that_is_taken_at_start)
{
    const struct kind kinds[] = {{161, 120, 8, 3, 1, 1, 1}, {640, 480, 8, 3, 1, 1, 1}};
    struct pf_stack_settings settings = {};
    struct pf_focus focus;
    struct pf_error err = {};
    double contrast;
    char *chunk[2] = {NULL, NULL};
    settings.align = PF_ALIGN_ECC;
    settings.kept = start();
    for (const struct kind &kind : kinds) {
        void *opaque = NULL;
        struct pf_image *frame = burst_frame(&kind, 0);
        CHECK_OK(pf_backend_cuda.open(&opaque, &settings, NULL, &err), &err);
        const struct pf_cuda_engine *engine = (const struct pf_cuda_engine *)opaque;
        for (int i = 0; i < 2; i++) {
            CHECK(engine->chunk[i] && (!chunk[i] || engine->chunk[i] == chunk[i]));
            chunk[i] = engine->chunk[i];
        }
        CHECK_OK(pf_backend_cuda.load(opaque, frame, NULL, &focus, &contrast, &err), &err);
        CHECK(engine->chunk[0] == chunk[0] && engine->chunk[1] == chunk[1]);
        pf_backend_cuda.drop(opaque);
        pf_backend_cuda.close(opaque);
        pf_image_free(frame);
    }
    pf_backend_cuda.stop(settings.kept);
}

TEST(cuda_memory_is_kept_for_one_stack_at_a_time)
{
    const struct kind kind = {161, 120, 8, 3, 1, 1, 2};
    struct pf_stack_settings settings = {};
    struct pf_stack *stacks[2];
    struct pf_frame_result result;
    struct pf_error err = {};
    settings.backend = &pf_backend_cuda;
    settings.kept = start();
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        struct pf_image *frame = burst_frame(&kind, 0);
        CHECK_OK(pf_stack_open(&stacks[i], &settings, NULL, &err), &err);
        CHECK_OK(pf_stack_add(stacks[i], frame, &result, &err), &err);
        bytes[i] = fibers.allocated_bytes;
        pf_image_free(frame);
    }
    CHECK_EQ(bytes[1], 2 * bytes[0]);
    pf_stack_free(stacks[0]);
    CHECK_EQ(fibers.allocated_bytes, bytes[0]);
    pf_stack_free(stacks[1]);
    CHECK_EQ(fibers.allocated_bytes, bytes[0]);
    pf_backend_cuda.stop(settings.kept);
}

TEST(cuda_memory_that_is_kept_goes_where_the_device_is_short)
{
    const struct kind kind = {161, 120, 8, 3, 1, 1, 2}, other = {227, 171, 8, 3, 1, 1, 2};
    void *kept = start();
    size_t ample = most_allocated_for(&kind, PF_FUSE_PYRAMID, NULL);
    struct outcome alone = stack_on(&pf_backend_cuda, &kind, PF_FUSE_PYRAMID);
    /* With thrift it is kept as well, until there is room for more. */
    fibers.memory_bytes = ample - 1000;
    struct outcome thrifty = stack_on(&pf_backend_cuda, &kind, PF_FUSE_PYRAMID, kept);
    CHECK(is_same(&alone, &thrifty));
    CHECK_EQ(allocations_of(&kind, PF_FUSE_PYRAMID, kept), 0);
    fibers.memory_bytes = 0;
    CHECK(allocations_of(&kind, PF_FUSE_PYRAMID, kept) > 0);
    CHECK_EQ(most_allocated_for(&kind, PF_FUSE_PYRAMID, NULL), ample + fibers.allocated_bytes);
    /* Beside what is kept another one would not fit. */
    size_t limit = most_allocated_for(&other, PF_FUSE_PYRAMID, NULL) - fibers.allocated_bytes;
    struct outcome before = stack_on(&pf_backend_cuda, &other, PF_FUSE_PYRAMID);
    fibers.memory_bytes = limit;
    struct outcome after = stack_on(&pf_backend_cuda, &other, PF_FUSE_PYRAMID, kept);
    CHECK(is_same(&before, &after));
    forget(&alone);
    forget(&thrifty);
    forget(&before);
    forget(&after);
    pf_backend_cuda.stop(kept);
}

/* How thrifty the engine is with so much memory; more than it can be where there is too little. */
static int thrift_with(long bytes, const struct pf_image *frame,
                       const struct pf_stack_settings *settings)
{
    struct pf_error err = {};
    struct pf_focus focus;
    double contrast;
    void *opaque = NULL;
    int thrift = PF_CUDA_THRIFTS;
    fibers.memory_bytes = bytes;
    if (pf_backend_cuda.open(&opaque, settings, NULL, &err) != 0)
        return thrift;
    if (pf_backend_cuda.load(opaque, frame, NULL, &focus, &contrast, &err) == 0)
        thrift = ((struct pf_cuda_engine *)opaque)->memory.thrift;
    pf_backend_cuda.close(opaque);
    return thrift;
}

/* With so little memory that the engine comes to this thrift, and no less (to 20 kB). */
static void leave_memory_for(enum pf_cuda_thrift wanted, const struct kind *kind, enum pf_fuse fuse)
{
    struct pf_stack_settings settings = {};
    settings.fuse = fuse;
    settings.clip = 3;
    settings.depth = true;
    struct pf_image *frame = burst_frame(kind, 0);
    long enough = 0, too_much = (long)fibers.memory_bytes;
    while (too_much - enough > 20000) {
        long between = (enough + too_much) / 2;
        if (thrift_with(between, frame, &settings) < wanted)
            too_much = between;
        else
            enough = between;
    }
    CHECK_EQ(thrift_with(enough, frame, &settings), wanted);
    pf_image_free(frame);
}

TEST(cuda_stack_with_little_memory_is_the_same)
{
    const struct kind jpeg = {161, 120, 8, 3, 1, 1, 2}, deep = {163, 121, 16, 3, 0, 0, 2},
                      grey = {180, 131, 8, 1, 0, 0, 2}, wide = {700, 60, 8, 3, 1, 0, 2};
    struct kind holes = {163, 121, 8, 3, 1, 1, 2};
    holes.holes = true;
    const struct {
        const struct kind *kind;
        enum pf_fuse fuse;
    } stacks[] = {{&jpeg, PF_FUSE_PYRAMID},  {&deep, PF_FUSE_PYRAMID},    {&grey, PF_FUSE_PYRAMID},
                  {&holes, PF_FUSE_AVERAGE}, {&jpeg, PF_FUSE_SOFT_DEPTH}, {&wide, PF_FUSE_PYRAMID}};
    take_order(
        1); /* copies as early as they may be made, from and to the memory of which there is little */
    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        fibers.memory_bytes = fibers.most_allocated_bytes = 0;
        struct outcome ample = stack_on(&pf_backend_cuda, stacks[i].kind, stacks[i].fuse);
        fibers.memory_bytes = fibers.most_allocated_bytes;
        for (int thrift = PF_CUDA_FRUGAL; thrift < PF_CUDA_THRIFTS; thrift++) {
            leave_memory_for((enum pf_cuda_thrift)thrift, stacks[i].kind, stacks[i].fuse);
            struct outcome less = stack_on(&pf_backend_cuda, stacks[i].kind, stacks[i].fuse);
            CHECK(is_same(&ample, &less));
            forget(&less);
        }
        forget(&ample);
    }
}

TEST(cuda_stack_where_memory_is_shared_is_the_same)
{
    /* Planes of small pictures share pages, which cannot be registered twice: they are copied. */
    struct kind kind = {513, 301, 8, 1, 0, 0, 2}, deep = {120, 90, 16, 3, 0, 0, 2};
    fibers.shares_memory = true;
    compare_backends(&kind, PF_FUSE_PYRAMID, 50);
    compare_backends(&deep, PF_FUSE_AVERAGE, 60);
}

/* What is still under way when it is first asked for is waited for, and is no error of what comes next. */
TEST(cuda_stack_that_has_to_be_waited_for_is_the_same)
{
    struct kind kind = {120, 90, 8, 3, 1, 1, 2};
    struct outcome at_once = stack_on(&pf_backend_cuda, &kind, PF_FUSE_PYRAMID);
    for (long queries = 1; queries <= 1000000; queries *= 1000) {
        fibers.unready = queries;
        struct outcome later = stack_on(&pf_backend_cuda, &kind, PF_FUSE_PYRAMID);
        CHECK(is_same(&at_once, &later));
        CHECK(fibers.unready < queries);
        forget(&later);
    }
    forget(&at_once);
}

/* A stack of two frames on a device that fails at the given call, which ends it: no frame is to blame. */
static int fail_at(enum pf_align align, long calls)
{
    struct kind kind = {120, 90, 8, 3, 1, 1, 2};
    struct pf_stack_settings settings = {};
    struct pf_stack *stack = NULL;
    struct pf_frame_result result = {};
    struct pf_image *image = NULL;
    struct pf_error err = {};
    settings.backend = &pf_backend_cuda;
    settings.align = align;
    settings.motion = PF_MOTION_SIMILARITY;
    settings.min_correlation = 0.5;
    settings.kept = start();
    fibers.quiet = true;
    fibers.fail_after = calls;
    bool blamed = false;
    int r = pf_stack_open(&stack, &settings, NULL, &err);
    for (int i = 0; i < kind.frames && r == 0; i++) {
        struct pf_image *frame = burst_frame(&kind, i);
        r = pf_stack_add(stack, frame, &result, &err);
        blamed = blamed || (r == 0 && strstr(result.reason, "CUDA: "));
        pf_image_free(frame);
    }
    if (r == 0)
        r = pf_stack_finish(stack, &image, &err);
    pf_image_free(image);
    pf_stack_free(stack);
    pf_backend_cuda.stop(settings.kept);
    return blamed || (r < 0 && strncmp(err.text, "CUDA: ", 6) != 0) ? -EINVAL : r;
}

static void check_failures(enum pf_align align, int points)
{
    fibers.fail_after = 0;
    long before = fibers.calls;
    CHECK_EQ(fail_at(align, 0), 0);
    long calls = fibers.calls - before;
    /* From its first call on until shortly before its memory is given back. A device fails for good:
     * each in a process of its own. */
    for (int i = 0; i < points; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            _exit(fail_at(align, 1 + calls * 3 / 4 * i / (points - 1)) == -EREMOTEIO ? 0 : 1);
        int status = 0;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}

TEST(cuda_stack_on_a_device_that_fails_ends_with_the_reason)
{
    check_failures(PF_ALIGN_ECC, 6);
}

/* What finds nothing sets a frame aside, but not what has lost its device. There are no features here (see
 * without_libraries.c), but the pictures come for them. */
TEST(cuda_stack_ends_where_a_device_fails_in_other_methods)
{
    check_failures(PF_ALIGN_FLOW, 8);
    check_failures(PF_ALIGN_BSPLINE, 8);
    check_failures(PF_ALIGN_SYN, 8);
    check_failures(PF_ALIGN_HYBRID, 20);
}

TEST(cuda_kernels_are_loaded_at_start)
{
    unsetenv("CUDA_MODULE_LOADING");
    pf_backend_cuda.stop(start());
    CHECK_STR(getenv("CUDA_MODULE_LOADING"), "EAGER");
    setenv("CUDA_MODULE_LOADING", "LAZY", 1); /* whoever wants it otherwise has it so */
    pf_backend_cuda.stop(start());
    CHECK_STR(getenv("CUDA_MODULE_LOADING"), "LAZY");
}

/* More rows than a launch has blocks for: no device is lost for it. */
TEST(cuda_stack_of_a_strip_that_is_too_tall_goes_to_the_processor)
{
    struct pf_stack_settings settings = {};
    struct pf_stack *stack = NULL;
    struct pf_frame_result result;
    struct pf_image *frame = NULL;
    struct pf_error err = {};
    settings.backend = &pf_backend_cuda;
    settings.align = PF_ALIGN_NONE;
    CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
    CHECK_OK(pf_image_new(&frame, 3, PF_CUDA_MOST_ROWS + 1, 8, 1, 0, 0, &err), &err);
    for (int y = 0; y < frame->height; y++)
        for (int x = 0; x < frame->width; x++)
            put(frame, 0, x, y, (double)(x * 40 + y % 100));
    CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
    CHECK(pf_stack_backend(stack) == &pf_backend_cpu);
    CHECK(strstr(pf_stack_note(stack), "rows"));
    pf_image_free(frame);
    pf_stack_free(stack);
}

static const struct kind PLAIN = {161, 120, 8, 3, 1, 1, 2};

static void check_that_the_processor_takes_over(const char *why)
{
    struct pf_stack_settings settings = {};
    struct pf_stack *stack = NULL;
    struct pf_frame_result result;
    struct pf_error err = {};
    settings.backend = &pf_backend_cuda;
    settings.align = PF_ALIGN_NONE;
    settings.depth = true;
    CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
    struct pf_image *frame = burst_frame(&PLAIN, 0);
    CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
    CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
    CHECK(pf_stack_backend(stack) == &pf_backend_cpu);
    CHECK_STR(pf_stack_note(stack), why);
    pf_image_free(frame);
    pf_stack_free(stack);
}

TEST(cuda_stack_without_room_goes_to_the_processor)
{
    fibers.memory_bytes = 100000;
    check_that_the_processor_takes_over(
        "the GPU has no room: frames of 161 x 120 need 2 MiB at the least, 0 MiB are free");
}

TEST(cuda_stack_that_the_host_has_no_room_for_either_goes_to_the_processor)
{
    fibers.memory_bytes = most_allocated_for(&PLAIN, PF_FUSE_PYRAMID, NULL);
    leave_memory_for(PF_CUDA_SCANT, &PLAIN, PF_FUSE_PYRAMID);
    pf_room_set(50000, NULL);
    check_that_the_processor_takes_over("the GPU has no room for frames of 161 x 120, nor has the "
                                        "host for the 1 MiB that it lacks: 0 MiB are left");
}
#endif

/* A blank frame of another size is set aside before the stack has a size; then 8 and 16 bits meet. */
TEST(cuda_stack_takes_frames_of_several_kinds)
{
    const struct kind kinds[] = {{140, 100, 8, 3, 1, 1, 1},
                                 {161, 120, 8, 3, 1, 1, 1},
                                 {161, 120, 16, 3, 1, 1, 1},
                                 {161, 120, 16, 3, 0, 0, 1},
                                 {161, 120, 8, 3, 1, 1, 1}};
    struct pf_image *results[2];
    for (int i = 0; i < 2; i++) {
        struct pf_stack_settings settings = {};
        struct pf_stack *stack = NULL;
        struct pf_error err = {};
        settings.backend = i ? &pf_backend_cuda : &pf_backend_cpu;
        settings.align = PF_ALIGN_NONE;
        CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
        for (int k = 0; k < 5; k++) {
            struct pf_frame_result result;
            struct pf_image *frame = burst_frame(&kinds[k], 0);
            if (k == 0)
                memset(frame->plane[0], 90, frame->stride_bytes[0] * (size_t)frame->height);
            CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
            CHECK_EQ(result.verdict, k ? PF_VERDICT_FUSED : PF_VERDICT_ASIDE);
            pf_image_free(frame);
        }
        CHECK_OK(pf_stack_finish(stack, &results[i], &err), &err);
        pf_stack_free(stack);
    }
    CHECK(psnr(results[0], results[1]) >= 50);
    pf_image_free(results[0]);
    pf_image_free(results[1]);
}
