#include "tests/gen/noise.h"

#include <math.h>

uint64_t pf_gen_next(struct pf_gen_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

double pf_gen_uniform(struct pf_gen_random *random, double low, double high)
{
    return low + (high - low) * (double)(pf_gen_next(random) >> 11) * 0x1p-53;
}

double pf_gen_normal(struct pf_gen_random *random)
{
    double u = pf_gen_uniform(random, 1e-12, 1), v = pf_gen_uniform(random, 0, 2 * M_PI);
    return sqrt(-2 * log(u)) * cos(v);
}

static const float gradients[16][2] = {
    {1.0000f, 0.0000f},  {0.9239f, 0.3827f},   {0.7071f, 0.7071f},   {0.3827f, 0.9239f},
    {0.0000f, 1.0000f},  {-0.3827f, 0.9239f},  {-0.7071f, 0.7071f},  {-0.9239f, 0.3827f},
    {-1.0000f, 0.0000f}, {-0.9239f, -0.3827f}, {-0.7071f, -0.7071f}, {-0.3827f, -0.9239f},
    {0.0000f, -1.0000f}, {0.3827f, -0.9239f},  {0.7071f, -0.7071f},  {0.9239f, -0.3827f},
};

static inline float corner(int ix, int iy, float dx, float dy, uint32_t seed)
{
    const float *g = gradients[pf_gen_hash2(ix, iy, seed) >> 28];
    return g[0] * dx + g[1] * dy;
}

float pf_gen_noise(float x, float y, uint32_t seed)
{
    float fx = floorf(x), fy = floorf(y);
    int ix = (int)fx, iy = (int)fy;
    float dx = x - fx, dy = y - fy;
    float u = dx * dx * dx * (dx * (dx * 6 - 15) + 10),
          v = dy * dy * dy * (dy * (dy * 6 - 15) + 10);
    float a = corner(ix, iy, dx, dy, seed), b = corner(ix + 1, iy, dx - 1, dy, seed);
    float c = corner(ix, iy + 1, dx, dy - 1, seed),
          d = corner(ix + 1, iy + 1, dx - 1, dy - 1, seed);
    a += u * (b - a);
    c += u * (d - c);
    return 1.5f * (a + v * (c - a));
}

float pf_gen_octaves(float x, float y, float wavelength, float finest, float gain, uint32_t seed)
{
    float sum = 0, power = 0, amplitude = 1;
    for (float w = wavelength; w >= finest; w *= 0.5f) {
        /* Turned by about 37 degrees an octave, so that no lattice shows. */
        float rx = 0.8f * x - 0.6f * y, ry = 0.6f * x + 0.8f * y;
        sum += amplitude * pf_gen_noise(rx / w + 17.3f, ry / w - 5.7f, seed);
        power += amplitude * amplitude;
        amplitude *= gain;
        seed = pf_gen_hash(seed + 1);
        x = rx;
        y = ry;
    }
    return power > 0 ? 2.6f * sum / sqrtf(power) : 0;
}

struct pf_gen_cell pf_gen_cells(float x, float y, uint32_t seed)
{
    int ix = (int)floorf(x), iy = (int)floorf(y);
    struct pf_gen_cell cell = {.nearest = 9, .second = 9};
    for (int j = iy - 1; j <= iy + 1; j++) {
        for (int i = ix - 1; i <= ix + 1; i++) {
            uint32_t h = pf_gen_hash2(i, j, seed);
            float dx = (float)i + (float)(h & 0xffff) / 65536.0f - x;
            float dy = (float)j + (float)(h >> 16) / 65536.0f - y;
            float d = dx * dx + dy * dy;
            if (d < cell.nearest) {
                cell.second = cell.nearest;
                cell.nearest = d;
                cell.id = pf_gen_hash(h);
            } else if (d < cell.second) {
                cell.second = d;
            }
        }
    }
    cell.nearest = sqrtf(cell.nearest);
    cell.second = sqrtf(cell.second);
    return cell;
}
