/* Measures of a picture against the truth: planes of luma, resampling, registration, PSNR, SSIM.
 *
 * Benchmark and tests only; one thread calls, rows are shared out inside. Planes hold luma
 * (BT.601) on the scale 0..255; whoever gets a plane frees it. Pixel centres are at integers.
 * SSIM after Wang et al. 2004 (Gaussian window 11 x 11, sigma 1.5); registration is Gauss-Newton
 * on the squared difference (Lucas & Kanade 1981), coarse to fine.
 */
#ifndef PF_GEN_MEASURE_H
#define PF_GEN_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

struct pf_gen_plane {
    int width, height;
    float *value;
};

struct pf_gen_plane pf_gen_plane_new(int width, int height);
void pf_gen_plane_free(struct pf_gen_plane *plane);

/* Luma of 16-bit samples, 1 or 3 a pixel. */
struct pf_gen_plane pf_gen_luma(const uint16_t *samples, int width, int height, int channels);

/* In place; the edge repeats. */
void pf_gen_smooth(struct pf_gen_plane *plane, float sigma);

/* New plane of the given size: out(p) = plane(transform * p), Lanczos of 10 x 10 taps; the
 * transform is a homography, row by row. Outside the plane its edge repeats. */
struct pf_gen_plane pf_gen_resample(const struct pf_gen_plane *plane, const double transform[9],
                                    int width, int height);

/* Affine transform and brightness that best explain `fixed`: fixed(p) ~ gain * moving(T p) +
 * offset, over the central 90 %. `transform` holds the start and the result. */
struct pf_gen_match {
    double transform[9], gain, offset;
};
void pf_gen_register(const struct pf_gen_plane *fixed, const struct pf_gen_plane *moving,
                     struct pf_gen_match *match);

/* Over the central part that leaves `border` px on every side; mask (bytes, NULL: all) chooses
 * the pixels whose byte equals `wanted`. 99 dB when equal; NAN when nothing is chosen. */
double pf_gen_psnr(const struct pf_gen_plane *a, const struct pf_gen_plane *b, int border,
                   const uint8_t *mask, uint8_t wanted);
double pf_gen_ssim(const struct pf_gen_plane *a, const struct pf_gen_plane *b, int border);

/* 3 x 3 matrices, row by row. */
void pf_gen_matrix_invert(const double matrix[9], double ret[9]);
void pf_gen_matrix_multiply(const double a[9], const double b[9], double ret[9]);
void pf_gen_matrix_apply(const double matrix[9], double x, double y, double *ret_x, double *ret_y);

#endif
