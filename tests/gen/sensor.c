/* What a body's sensor sees of a picture, such that a reader that knows the body gets the picture back. */
#include <math.h>
#include <stdlib.h>

#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

/* Linear sRGB -> the body's colours, white being 1, 1, 1 in both. */
static void colours_of(const struct pf_gen_body *body, float to[9])
{
    static const float xyz[9] = {0.4124564f, 0.3575761f, 0.1804375f, 0.2126729f, 0.7151522f,
                                 0.0721750f, 0.0193339f, 0.1191920f, 0.9503041f};
    for (int i = 0; i < 3; i++) {
        float sum = 0;
        for (int k = 0; k < 3; k++) {
            to[3 * i + k] = 0;
            for (int j = 0; j < 3; j++)
                to[3 * i + k] += body->from_xyz[3 * i + j] * xyz[3 * j + k];
            sum += to[3 * i + k];
        }
        for (int k = 0; k < 3; k++)
            to[3 * i + k] /= sum;
    }
}

static float *new_lights(void)
{
    float *light = pf_gen_alloc(65536, sizeof(*light));
    for (int i = 0; i < 65536; i++) {
        float value = (float)i / 65535.0f;
        light[i] = value <= 0.04045f ? value / 12.92f : powf((value + 0.055f) / 1.055f, 2.4f);
    }
    return light;
}

uint16_t *pf_gen_sensor(const struct pf_gen_body *body, const uint16_t *samples, int width,
                        int height, int left, int top, int columns, int rows)
{
    uint16_t *sensor = pf_gen_alloc((size_t)columns * (size_t)rows, sizeof(*sensor));
    float *light = new_lights(), colours[9];
    colours_of(body, colours);
    int least = body->gain[1];
    for (int c = 0; c < 3; c += 2)
        least = body->gain[c] < least ? body->gain[c] : least;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            uint16_t *to = sensor + (size_t)y * (size_t)columns + x;
            *to = (uint16_t)body->black;
            if (x < left || y < top)
                continue;
            int px = x - left < width ? x - left : width - 1;
            int py = y - top < height ? y - top : height - 1;
            int c =
                body->filter[body->period * ((y - top) % body->period) + (x - left) % body->period];
            const uint16_t *from = samples + 3 * ((size_t)py * (size_t)width + (size_t)px);
            float seen = 0;
            for (int k = 0; k < 3; k++)
                seen += colours[3 * c + k] * light[from[k]];
            seen = seen < 0 ? 0 : seen > 1 ? 1 : seen;
            seen *= (float)least / body->gain[c];
            *to += (uint16_t)lrintf(seen * (float)(body->white - body->black));
        }
    free(light);
    return sensor;
}
