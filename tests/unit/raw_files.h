/* RAW files of our generator's cameras, read back through LibRaw. */
#ifndef PF_TEST_RAW_FILES_H
#define PF_TEST_RAW_FILES_H

#include <math.h>

#include "process/convert.h"
#include "tests/gen/picture.h"
#include "tests/unit/decoded.h"

static inline struct pf_gen_exif usual_exif(int orientation)
{
    return (struct pf_gen_exif){
        true, "Parfocal", "Generator", "PF-0001", "Macro 100mm F2.8", 1767323045000, true, "+00:00",
        100,  5.6,        1 / 125.0,   200,       orientation};
}

static inline double psnr_db(const struct pf_image *image, const struct raster *raster)
{
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t *row = malloc((size_t)image->width * 3 * 2);
    double sum = 0;
    CHECK(scratch && row);
    CHECK_EQ(image->width, raster->width);
    CHECK_EQ(image->height, raster->height);
    CHECK_EQ(image->planes, 3);
    for (int y = 0; y < image->height; y++) {
        pf_row_to_rgb(row, 16, image, y, scratch);
        for (int x = 0; x < image->width; x++)
            for (int c = 0; c < 3; c++) {
                double error = (row[x * 3 + c] - (double)sample_at(raster, x, y, c)) / 65535;
                sum += error * error;
            }
    }
    free(row);
    free(scratch);
    return -10 * log10(sum / (3.0 * image->width * image->height));
}

#endif
