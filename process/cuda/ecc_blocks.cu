/* The pass over a level's blocks; see ecc_blocks.h. */
#include "process/cuda/ecc_blocks.h"

#include "process/cuda/bilinear.h"
#include "process/cuda/queue.h"

enum {
    SIDE = PF_BLOCK,
    THREADS = SIDE * SIDE,
    SEEN = SIDE + 2 * PF_BLOCK_HALO, /* samples of a side that are looked at */
    SMOOTH = SIDE + 2,               /* of which smoothed */
    UNKNOWNS = 8,                    /* with the error */
    SUMS = PF_BLOCK_SUMS,
    PARTS = 4,
    PIXELS = 5 * 6 / 2 + 5, /* which of the sums is that of 1 * 1: 0 of a block without a picture */
    ANSWERS = 64,           /* threads */
};

/* [1 2 1] / 4 in both directions. */
static __device__ __forceinline__ float smoothed(const float *at)
{
    return 0.25f * (0.25f * (at[-SEEN - 1] + at[SEEN - 1]) + 0.5f * at[-1] +
                    0.25f * (at[-SEEN + 1] + at[SEEN + 1]) + 0.5f * at[1]) +
           0.5f * (0.25f * (at[-SEEN] + at[SEEN]) + 0.5f * at[0]);
}

static __global__ void __launch_bounds__(THREADS) ask(struct pf_ecc_question look)
{
    PF_SHARED(float, both, [SEEN * SEEN]);  /* mean of the pictures */
    PF_SHARED(float, apart, [SEEN * SEEN]); /* and their difference */
    PF_SHARED(float, mean, [SMOOTH * SMOOTH]);
    PF_SHARED(float, says, [UNKNOWNS][THREADS]);
    PF_SHARED(double, part, [PARTS][SUMS]);
    PF_SHARED(bool, has_picture, [4]);
    int thread = (int)threadIdx.x;
    int column = (int)blockIdx.x, row = (int)blockIdx.y;
    if (*look.in_hand != look.stage)
        return;
    int x0 = PF_BLOCK_HALO + column * SIDE, y0 = PF_BLOCK_HALO + row * SIDE;
    int count = (int)(gridDim.x * gridDim.y);
    double *sums = look.blocks.sums + row * (int)gridDim.x + column;
    if (thread < 4)
        has_picture[thread] = pf_ecc_block_corner_has_picture(look.warp, look.image_width,
                                                              look.image_height, x0, y0, thread);
    __syncthreads();
    if (!(has_picture[0] && has_picture[1] && has_picture[2] && has_picture[3])) {
        if (thread == 0)
            sums[(size_t)PIXELS * (size_t)count] = 0;
        return;
    }

    struct pf_short_warp now = *look.now;
    for (int i = thread; i < SEEN * SEEN; i += THREADS) {
        int x = x0 - PF_BLOCK_HALO + i % SEEN, y = y0 - PF_BLOCK_HALO + i / SEEN, ix, iy;
        float dx, dy, tx, ty, s = 0, t = look.target[(size_t)y * look.width + x];
        pf_short_warp_at(now, (float)x, (float)y, &dx, &dy);
        if (pf_pixel_at(x, y, dx, dy, look.image_width, look.image_height, 0, &ix, &iy, &tx, &ty))
            s = pf_bilinear(look.image + (size_t)iy * look.image_width + ix, look.image_width, tx,
                            ty);
        both[i] = 0.5f * (t + s);
        apart[i] = t - s;
    }
    __syncthreads();
    for (int i = thread; i < SMOOTH * SMOOTH; i += THREADS)
        mean[i] = smoothed(&both[(i / SMOOTH + 1) * SEEN + i % SMOOTH + 1]);
    __syncthreads();

    int x = thread % SIDE, y = thread / SIDE;
    const float *here = &mean[(y + 1) * SMOOTH + x + 1];
    float bend = here[-1] + here[1] + here[-SMOOTH] + here[SMOOTH] - 4 * here[0];
    says[0][thread] = 0.5f * (here[1] - here[-1]);
    says[1][thread] = 0.5f * (here[SMOOTH] - here[-SMOOTH]);
    says[2][thread] = bend;
    says[3][thread] = bend * ((float)x * (2.0f / (SIDE - 1)) - 1);
    says[4][thread] = bend * ((float)y * (2.0f / (SIDE - 1)) - 1);
    says[5][thread] = 1;
    says[6][thread] = here[0] - mean[(SIDE / 2) * SMOOTH + SIDE / 2 + 1];
    says[7][thread] = smoothed(&apart[(y + PF_BLOCK_HALO) * SEEN + x + PF_BLOCK_HALO]);
    __syncthreads();

    /* A thread for each product and quarter of the pixels. */
    if (thread < SUMS * PARTS) {
        int pair = thread % SUMS, quarter = thread / SUMS, i = 0;
        while ((i + 1) * (i + 2) / 2 <= pair)
            i++;
        int j = pair - i * (i + 1) / 2;
        double sum = 0;
        for (int k = quarter * (THREADS / PARTS); k < (quarter + 1) * (THREADS / PARTS); k++)
            sum += (double)(says[i][k] * says[j][k]);
        part[quarter][pair] = sum;
    }
    __syncthreads();
    if (thread < SUMS) {
        double sum = 0;
        for (int quarter = 0; quarter < PARTS; quarter++)
            sum += part[quarter][thread];
        sums[(size_t)thread * (size_t)count] = sum;
    }
}

static __global__ void __launch_bounds__(ANSWERS)
    answer(struct pf_ecc_question look, int columns, int count)
{
    int i = (int)(blockIdx.x * ANSWERS + threadIdx.x);
    if (*look.in_hand != look.stage || i >= count)
        return;
    const double *sums = look.blocks.sums + i;
    struct pf_ecc_block block = {{0, 0}, {0, 0, 0}, 0, 0};
    if (sums[(size_t)PIXELS * (size_t)count] > 0) {
        double a[UNKNOWNS][UNKNOWNS];
#pragma unroll
        for (int k = 0, pair = 0; k < UNKNOWNS; k++)
#pragma unroll
            for (int l = 0; l <= k; l++, pair++)
                a[k][l] = a[l][k] = sums[(size_t)pair * (size_t)count];
        pf_ecc_block_ask(a, &block);
        pf_ecc_block_place(&look.frame, PF_BLOCK_HALO + i % columns * SIDE,
                           PF_BLOCK_HALO + i / columns * SIDE, &block);
    }
    look.blocks.block[i] = block;
}

void pf_cuda_ask_blocks(struct pf_cuda *cuda, const struct pf_ecc_question *question)
{
    int columns, rows;
    pf_ecc_block_grid(question->width, question->height, &columns, &rows);
    if (columns < 1 || rows < 1)
        return;
    PF_LAUNCH(ask, dim3((unsigned)columns, (unsigned)rows), dim3(THREADS), 0,
              cuda->lane[PF_CUDA_WORK], *question);
    pf_cuda_launched(cuda, "alignment: blocks");
    PF_LAUNCH(answer, dim3(pf_pieces(columns * rows, ANSWERS)), dim3(ANSWERS), 0,
              cuda->lane[PF_CUDA_WORK], *question, columns, columns * rows);
    pf_cuda_launched(cuda, "alignment: blocks' answers");
}
