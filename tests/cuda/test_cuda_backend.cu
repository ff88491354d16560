/* The whole backend on generated bursts, beside the processor's: what both must agree on. */
#include "tests/cuda/device_test.h"

#include <stdlib.h>

extern "C" {
#include "process/backend.h"
#include "process/cuda/memory.h"
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
}

TEST(cuda_stack_of_a_tiny_picture_is_the_processors)
{
    struct kind kind = {17, 9, 8, 3, 1, 1, 2};
    compare_backends(&kind, PF_FUSE_PYRAMID, 50);
}
