/* A camera that writes DNG: the picture seen through a Bayer filter by a sensor of 14 bits.
 *
 * Its colours are those of linear sRGB and its white balance is far from even, so that a reader
 * that forgets white balance, black level or white level cannot come near the picture.
 * Source: Adobe DNG 1.4, IEC 61966-2-1.
 */
#include <math.h>
#include <stdlib.h>
#include <tiffio.h>

#include "tests/gen/dng.h"

#define BLACK 512
#define WHITE 15871
#define RGGB  "\0\1\1\2"
#define D65   21 /* CalibrationIlluminant */
#define CFA   32803

static const float neutral[3] = {0.5f, 1.0f, 0.7f};

static float light_of(uint16_t sample)
{
    float value = (float)sample / 65535.0f;
    return value <= 0.04045f ? value / 12.92f : powf((value + 0.055f) / 1.055f, 2.4f);
}

void pf_gen_dng_fields(TIFF *tiff, const char *model, bool dng)
{
    /* XYZ of D65 to linear sRGB. */
    static const float matrix[9] = {3.2406f, -1.5372f, -0.4986f, -0.9689f, 1.8758f,
                                    0.0415f, 0.0557f,  -0.2040f, 1.0570f};
    static const uint16_t pattern_size[2] = {2, 2};
    static const float black[1] = {BLACK};
    static const uint32_t white[1] = {WHITE};
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, CFA);
    TIFFSetField(tiff, TIFFTAG_CFAREPEATPATTERNDIM, pattern_size);
    TIFFSetField(tiff, TIFFTAG_CFAPATTERN, 4, RGGB);
    if (!dng)
        return;
    TIFFSetField(tiff, TIFFTAG_DNGVERSION, "\1\4\0\0");
    TIFFSetField(tiff, TIFFTAG_DNGBACKWARDVERSION, "\1\1\0\0");
    TIFFSetField(tiff, TIFFTAG_UNIQUECAMERAMODEL, model);
    TIFFSetField(tiff, TIFFTAG_BLACKLEVEL, 1, black);
    TIFFSetField(tiff, TIFFTAG_WHITELEVEL, 1, white);
    TIFFSetField(tiff, TIFFTAG_CALIBRATIONILLUMINANT1, D65);
    TIFFSetField(tiff, TIFFTAG_COLORMATRIX1, 9, matrix);
    TIFFSetField(tiff, TIFFTAG_ASSHOTNEUTRAL, 3, neutral);
}

void pf_gen_dng_row(uint16_t *to, const uint16_t *rgb, int width, int y, bool dng)
{
    int black = dng ? BLACK : 0, white = dng ? WHITE : 65535;
    for (int x = 0; x < width; x++) {
        int channel = RGGB[2 * (y & 1) + (x & 1)];
        float light = light_of(rgb[3 * (size_t)x + (size_t)channel]) * neutral[channel];
        to[x] = (uint16_t)lrintf((float)black + light * (float)(white - black));
    }
}
