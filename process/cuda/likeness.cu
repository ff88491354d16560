/* Whether two pictures have the same detail: what each block of them shows, on the device; see
 * process/cpu/likeness.h. A thread is a pixel. */
#include "process/cuda/ecc_kernels.h"

enum { SIDE = PF_LIKENESS_SIDE, PIXELS = PF_LIKENESS_PIXELS };

static __global__ void __launch_bounds__(PIXELS)
    see_likeness(struct level level, struct pf_likeness_block *ret)
{
    PF_SHARED(double, left, [2][PIXELS]); /* the code, then what is left of it */
    PF_SHARED(bool, seen, [PIXELS]);
    PF_SHARED(struct pf_likeness_sums, sums, [2]);
    PF_SHARED(double, products, [3]);
    if (!is_in_hand(level))
        return;
    int pixel = (int)threadIdx.x, columns = level.width / SIDE;
    int x = (int)blockIdx.x % columns * SIDE + pixel % SIDE;
    int y = (int)blockIdx.x / columns * SIDE + pixel / SIDE;
    float image = 0;
    seen[pixel] = sample(&image, level.state->now, level, x, y);
    left[0][pixel] = (double)pf_ecc_code(level.target[(size_t)y * (size_t)level.width + x]);
    left[1][pixel] = (double)pf_ecc_code(image);
    __syncthreads();
    if (pixel < 2) {
        struct pf_likeness_sums sum = {0, 0, 0, 0};
        for (int i = 0; i < PIXELS; i++)
            pf_likeness_add(&sum, i, left[pixel][i]);
        sums[pixel] = sum;
    }
    __syncthreads();
    left[0][pixel] -= pf_likeness_even(&sums[0], pixel);
    left[1][pixel] -= pf_likeness_even(&sums[1], pixel);
    __syncthreads();
    if (pixel < 3) {
        double sum = 0;
        for (int i = 0; i < PIXELS; i++)
            sum += left[pixel == 1][i] * left[pixel > 0][i];
        products[pixel] = sum;
    }
    __syncthreads();
    if (pixel > 0)
        return;
    struct pf_likeness_block block = {{0, 0}, {0, 0}, 0, true};
    for (int i = 0; i < PIXELS; i++)
        block.has_picture = block.has_picture && seen[i];
    if (block.has_picture) {
        const double light[2] = {sums[0].light, sums[1].light};
        pf_likeness_block_of(&block, light, products, products[2]);
    }
    ret[blockIdx.x] = block;
}

void pf_cuda_see_likeness(struct pf_cuda *cuda, const struct level *level,
                          struct pf_likeness_block *ret)
{
    PF_LAUNCH(see_likeness, dim3((unsigned)pf_likeness_count(level->width, level->height)),
              dim3(PIXELS), 0, cuda->lane[PF_CUDA_WORK], *level, ret);
    pf_cuda_launched(cuda, "likeness");
}
