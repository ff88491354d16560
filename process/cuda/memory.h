/* The plan of a stack's memory on the device: what a frame's size and the method need, in
 * allocations that are asked for before anything is done, and does not grow with the frames.
 *
 * Pure functions; the CUDA backend's (process/cuda/engine.c) and its tests'.
 */
#ifndef PF_CUDA_MEMORY_H
#define PF_CUDA_MEMORY_H

#include "process/cpu/engine.h"
#include "process/cuda/fuse.h"
#include "process/image.h"

/* What frames are like, and what is wanted of them. */
struct pf_cuda_shape {
    int width, height, planes, bits, chroma_shift_x, chroma_shift_y;
    enum pf_fuse fuse;
    bool maps;          /* remember who won where */
    bool clip;          /* `average`: keep what clipping needs */
    bool shares_memory; /* frames are read where they lie in the host's memory */
};

#define PF_CUDA_MOST_FRAMES 65536
#define PF_CUDA_MOST_ROWS                                                                          \
    (65535 * 8) /* a launch has so many blocks downwards, of eight rows or more */

enum pf_cuda_thrift {
    PF_CUDA_AMPLE,  /* the next frame is uploaded while this one is fused; chroma planes together */
    PF_CUDA_FRUGAL, /* one frame at a time, one plane at a time */
    PF_CUDA_SCANT,  /* and the stack's sums lie in the host's memory, where the device reads and
                       writes them once a frame, in order */
    PF_CUDA_BARE,   /* and so do the sums of weights, the frame as decoded, which the device reads
                       there, and what goes to the host */
    PF_CUDA_THRIFTS,
};

struct pf_cuda_memory {
    enum pf_cuda_thrift thrift;
    int levels, weight_levels, parts;
    struct pf_cuda_grid size[3][PF_CPU_MAX_LEVELS + 2]; /* of a plane's level */
    struct pf_cuda_grid cells[PF_CPU_MAX_LEVELS + 1];   /* of a luma level */
    int16_t
        *work[2][PF_CPU_MAX_LEVELS + 2]; /* Gaussian pyramids, of luma's size (second: chroma's) */
    int16_t *average[3][PF_CPU_PARTS];
    float *mean[3], *deviations[3];
    uint16_t *frames[3];
    uint8_t *cover;            /* `average`: of the frame in hand, without gaps between rows */
    float *modified_laplacian; /* of the level in hand */
    float *evidence[PF_CPU_MAX_LEVELS + 1], *fine_evidence[PF_AROUND_LEVEL + 1];
    struct pf_cuda_most most;
    struct pf_cuda_lamps lamps;
    struct pf_shares shares[PF_CPU_PARTS];
    /* These three lie where a frame on its way into the stack has its evidence, or its pyramid as well. */
    float *light[2];    /* pictures of light: half size, quarter size */
    uint16_t *exported; /* what goes to the host: one plane of 16 bits, rows export_stride apart */
    size_t export_stride;
    char *maps; /* room for a map's pyramid */
    int *rank;  /* of PF_CUDA_MOST_FRAMES frames */
    struct pf_cuda_cells *cells_of_light;
    struct pf_cuda_noise *noise;
    int *bins;
};

/* Room for frames as decoded. */
struct pf_cuda_raw {
    int count; /* frames; 0 where they are read in the memory that they come in */
    int bits;
    bool in_host;      /* in pinned memory of the host */
    void *plane[2][3]; /* rows stride_bytes apart */
    size_t stride_bytes[3];
};

/* The push-pull pyramid of a map, down to a single cell. */
#define PF_CUDA_MAP_LEVELS 24
struct pf_cuda_maps {
    int levels;
    struct pf_cuda_map_level level[PF_CUDA_MAP_LEVELS];
    float *smooth;
};

/* Lays a map's pyramid over cells out; returns the bytes that it takes. */
size_t pf_cuda_lay_out_maps(struct pf_cuda_maps *ret, const struct pf_cuda_grid *cells, char *base);

/* `pyramid`: whether a plane has no part for the finest detail; see process/cpu/fuse_pyramid.c. */
bool pf_cuda_is_rest(const struct pf_cuda_shape *shape, int plane);

struct pf_cuda_bytes {
    size_t device, host; /* host: pinned */
};

/* Lays everything but frames out from `base` and `host` (NULL: only adds up); returns the bytes that it
 * takes. */
struct pf_cuda_bytes pf_cuda_lay_out(struct pf_cuda_memory *ret, const struct pf_cuda_shape *shape,
                                     enum pf_cuda_thrift thrift, char *base, char *host);
/* The same for frames as decoded, of the shape's bits; all of it is of one kind. */
struct pf_cuda_bytes pf_cuda_lay_out_raw(struct pf_cuda_raw *ret, const struct pf_cuda_shape *shape,
                                         enum pf_cuda_thrift thrift, char *base);

#endif
