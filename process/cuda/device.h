/* What a kernel source (process/cuda/X.cu) is compiled against: the CUDA Toolkit by nvcc, or by
 * g++ the fibers of tests/cuda/, which run each CUDA thread of a launch on this processor
 * (-DPF_FIBERS). The second exists so that kernels can be checked on machines without a GPU; the
 * same sources and the same launchers run in both worlds.
 *
 * What is to be written differently from plain CUDA, so that g++ understands it:
 *   PF_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)  for  kernel<<<...>>>(...);
 *       parentheses around a kernel with several template arguments: (kernel<float, 2>)
 *   PF_SHARED(type, name, [dimensions])  for  __shared__ type name[dimensions]
 *   PF_DYNAMIC_SHARED(type, name)  for  extern __shared__ type name[]
 * Whole warps take part in a shuffle or a ballot (mask 0xffffffff). Textures, cooperative groups
 * and streams of the device's own making are not there.
 */
#ifndef PF_CUDA_DEVICE_H
#define PF_CUDA_DEVICE_H

#ifdef PF_FIBERS
#include "tests/cuda/fibers.h"
#else
#include <cuda_runtime.h>

#define PF_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define PF_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define PF_DYNAMIC_SHARED(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char pf_dynamic_shared[];                             \
    type *name = reinterpret_cast<type *>(pf_dynamic_shared)
#endif

#endif
