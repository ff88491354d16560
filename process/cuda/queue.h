/* The inside of struct pf_cuda, for the files of process/cuda/ that launch kernels (.cu) only. */
#ifndef PF_CUDA_QUEUE_H
#define PF_CUDA_QUEUE_H

#include "process/cuda/device.h"
#include "process/cuda/runtime.h"

struct pf_cuda {
    cudaStream_t lane[PF_CUDA_LANES];
    cudaEvent_t mark[PF_CUDA_MARKS];
    struct pf_cuda_store *store; /* borrowed; NULL: none */
    bool shares_memory;
    cudaError_t error; /* the first one */
    char what[64];     /* whose it was */
};

/* Remembers what came of a call; true when all is well so far. */
bool pf_cuda_note(struct pf_cuda *cuda, cudaError_t error, const char *what);

/* After a launch. */
static inline void pf_cuda_launched(struct pf_cuda *cuda, const char *what)
{
    pf_cuda_note(cuda, cudaGetLastError(), what);
}

static inline unsigned pf_pieces(int count, int of)
{
    return (unsigned)((count + of - 1) / of);
}

#endif
