/* Decoded planes in the engine's samples, against the CPU's kernels, which are the plain C reference: as
 * they lie, through a map, along a field, and a share of one plane that joins another. */
#include "tests/cuda/planes.h"

extern "C" {
#include "process/warp.h"
}

TEST(cuda_warp_is_the_cpus)
{
    /* A unit of the engine is a 128th of a grey level. The map is followed in float on both sides, and
     * on random samples, the worst there are, a position off by 1e-5 is worth a few units. */
    const double maps[][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                              {1, 0, 3.25, 0, 1, -1.625, 0, 0, 1},
                              {0.97, 0.05, 2, -0.05, 0.97, 4, 0, 0, 1},
                              {1.4, 0.3, -8, -0.2, 0.8, 5, 1e-4, -2e-4, 1},
                              {1, 0, 5000, 0, 1, -3000, 0, 0, 1}};
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++)
            for (int kind = 0; kind < 5; kind++) {
                bool bicubic = kind == 4;
                take_order(order);
                struct pf_cuda *cuda = new_queue();
                struct decoded source = new_decoded(sizes[i].width, sizes[i].height,
                                                    kind & 1 ? 16 : 8, kind & 2, kind ? 1.1f : 1);
                struct plane out = new_plane(sizes[i].width, sizes[i].height);
                const struct pf_kernels *kernels = reference();
                source.host.bicubic = bicubic;
                const struct pf_resampling *table = &pf_resampling[bicubic];
                for (int y = 0; y < out.size.height; y++)
                    kernels->convert_row(out.host + (size_t)y * out.size.pitch, out.size.width, y,
                                         &source.host);
                pf_cuda_warp(cuda, &out.on_device, &source.device, NULL, table);
                check_plane(&out, 1, "conversion");
                for (size_t m = 0; m < sizeof(maps) / sizeof(maps[0]); m++) {
                    for (int y = 0; y < out.size.height; y += PF_WARP_ROWS)
                        kernels->warp_rows(out.host + (size_t)y * out.size.pitch,
                                           (size_t)out.size.pitch, out.size.width, y,
                                           std::min(PF_WARP_ROWS, out.size.height - y), maps[m],
                                           &source.host);
                    struct pf_cuda_map map = map_of(maps[m]);
                    pf_cuda_warp(cuda, &out.on_device, &source.device, &map, table);
                    check_plane(&out, m == 3 ? 40 : 12, "warp");
                }
                free_plane(&out);
                free_decoded(&source);
                finish(cuda);
            }
}

static const double SLANTED[9] = {0.97, 0.05, 2, -0.05, 0.97, 4, 0, 0, 1};

/* All rows of a plane through a map, or as they lie (NULL), by the CPU. */
static void warp_cpu(struct plane *out, const struct pf_source_plane *source, const double *h)
{
    const struct pf_kernels *kernels = reference();
    for (int y = 0; y < out->size.height; y += PF_WARP_ROWS) {
        int16_t *row = out->host + (size_t)y * out->size.pitch;
        int rows = std::min(PF_WARP_ROWS, out->size.height - y);
        if (h)
            kernels->warp_rows(row, (size_t)out->size.pitch, out->size.width, y, rows, h, source);
        for (int k = 0; k < rows && !h; k++)
            kernels->convert_row(row + (size_t)k * out->size.pitch, out->size.width, y + k, source);
    }
}

/* The two planes of colour, which differ in scale. Tolerances are those of one plane. */
TEST(cuda_warp_of_two_planes_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            int bits = kind & 1 ? 16 : 8, width = sizes[i].width, height = sizes[i].height;
            const double *h = kind & 2 ? SLANTED : NULL;
            struct pf_cuda_map map = map_of(SLANTED);
            struct decoded first = new_decoded(width, height, bits, true, 1.1f);
            struct decoded second = new_decoded(width, height, bits, true, 0.9f);
            struct plane one = new_plane(width, height), other = new_plane(width, height);
            struct pf_cuda_planes both = {
                2, {one.on_device.samples[0], other.on_device.samples[0]}, one.size};
            const struct pf_source_plane sources[2] = {first.device, second.device};
            pf_cuda_warp(cuda, &both, sources, h ? &map : NULL, &pf_resampling[0]);
            warp_cpu(&one, &first.host, h);
            warp_cpu(&other, &second.host, h);
            check_plane(&one, h ? 12 : 1, "first plane");
            check_plane(&other, h ? 12 : 1, "second plane");
            free_plane(&one);
            free_plane(&other);
            free_decoded(&first);
            free_decoded(&second);
            finish(cuda);
        }
}

/* As add_share() of process/cpu/fuse.c. */
static void add_share(struct plane *out, const struct plane *more, float share, float low)
{
    for (int y = 0; y < out->size.height; y++)
        for (int x = 0; x < out->size.width; x++) {
            int16_t *at = &out->host[(size_t)y * out->size.pitch + x];
            float value = (float)*at + share * (float)row_of(more, y)[x];
            *at = (int16_t)lrintf(value < low ? low : value > PF_WHITE ? PF_WHITE : value);
        }
}

/* A share of a plane that has another size, or lies as it is, joins one that is there: what the warp itself
 * may be off by, times the share, and a unit for the rounding. The shares reach both bounds. */
TEST(cuda_share_of_a_warp_is_the_cpus)
{
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 8 * order_count(); kind++) {
            take_order(kind / 8);
            struct pf_cuda *cuda = new_queue();
            bool moved = kind & 1, chroma = kind & 2;
            int width = sizes[i].width, height = sizes[i].height, low = chroma ? 0 : -PF_WHITE;
            float share = kind & 4 ? 1.75f : -0.4f;
            struct decoded source =
                new_decoded(moved ? half(width) : width, moved ? half(height) : height,
                            kind & 4 ? 16 : 8, chroma, 1);
            struct plane out = new_plane(width, height), more = new_plane(width, height);
            const double h[9] = {0.5, 0.02, -0.25, -0.02, 0.5, 0.3, 0, 0, 1};
            struct pf_cuda_map map = map_of(h);
            pf_cuda_warp_share(cuda, &out.on_device, &source.device, moved ? &map : NULL,
                               &pf_resampling[0], share, low);
            warp_cpu(&more, &source.host, moved ? h : NULL);
            add_share(&out, &more, share, (float)low);
            check_plane(&out, 1 + (int)ceilf(fabsf(share) * (moved ? 12 : 1)), "share of a warp");
            free_plane(&out);
            free_plane(&more);
            free_decoded(&source);
            finish(cuda);
        }
}

/* One sample of a plane at a place, as the sum of the 36 around it, in double precision. */
static int16_t sum_of_36(const struct pf_source_plane *source, double x, double y)
{
    const struct pf_resampling *resampling = &pf_resampling[source->bicubic];
    double place[2] = {x, y}, w[2][PF_LANCZOS_TAPS], sum = 0;
    for (int axis = 0; axis < 2; axis++) {
        double aside = place[axis] - floor(place[axis]) - 0.5;
        for (int k = 0; k < PF_LANCZOS_TAPS; k++) {
            bool first = k < PF_LANCZOS_TAPS / 2;
            int pair = first ? k : PF_LANCZOS_TAPS - 1 - k;
            double even = 0, odd = 0;
            for (int power = 0; power < 4; power++) {
                even += (double)resampling->even[pair][power] * pow(aside, 2 * power);
                odd += (double)resampling->odd[pair][power] * pow(aside, 2 * power + 1);
            }
            w[axis][k] = first ? even + odd : even - odd;
        }
    }
    for (int k = 0; k < PF_LANCZOS_TAPS * PF_LANCZOS_TAPS; k++) {
        int column = clamped((int)floor(x) - 2 + k % PF_LANCZOS_TAPS, source->width);
        int row = clamped((int)floor(y) - 2 + k / PF_LANCZOS_TAPS, source->height);
        const uint8_t *at = (const uint8_t *)source->samples + (size_t)row * source->stride_bytes;
        sum += w[0][k % PF_LANCZOS_TAPS] * w[1][k / PF_LANCZOS_TAPS] *
               (source->bits == 8 ? at[column] : ((const uint16_t *)at)[column]);
    }
    double value = (sum - (double)source->offset) * (double)source->scale;
    return (int16_t)lrint(fmin(fmax(value, source->offset > 0 ? -PF_WHITE : 0), PF_WHITE));
}

/* A field of some pixels on top of a map, followed sample by sample, or straight over pieces of a row; and the
 * map alone. A place is off by 2e-6 px in float, a steep step of random samples is 1e5 units a pixel, and
 * 36 products have 0.1 units of rounding: less than one in all, but it may be the one that rounds. */
TEST(cuda_warp_along_a_field_is_the_sum_of_36_samples)
{
    reference(); /* fills the weights */
    for (int i = 0; i < SIZES; i++)
        for (int kind = 0; kind < 6 * order_count(); kind++) {
            take_order(kind / 6);
            struct pf_cuda *cuda = new_queue();
            struct pf_error err = {};
            int width = sizes[i].width, height = sizes[i].height, bits = kind & 1 ? 16 : 8;
            struct decoded source = new_decoded(width, height, bits, kind & 1, 1);
            source.host.bicubic = kind & 1;
            struct plane out = new_plane(width, height);
            struct pf_warp warp = {};
            memcpy(warp.h, SLANTED, sizeof(warp.h));
            struct pf_cuda_map map = map_of(SLANTED);
            float *nodes = NULL;
            map.straight = PF_WARP_SEGMENT;
            if (kind / 2 % 3) {
                CHECK_OK(pf_field_new(&warp.field, width, height, 20, &err), &err);
                size_t count = 2 * (size_t)warp.field->columns * (size_t)warp.field->rows;
                float *values = random_floats(count, -3, 3);
                memcpy(warp.field->nodes, values, count * sizeof(float));
                nodes = device_copy(values, count);
                free(values);
                map.nodes = nodes;
                map.columns = warp.field->columns;
                map.rows = warp.field->rows;
                map.origin_x = warp.field->origin_x;
                map.origin_y = warp.field->origin_y;
                map.spacing_x = warp.field->spacing_x;
                map.spacing_y = warp.field->spacing_y;
                map.straight = kind / 2 % 3 == 1 ? 1 : 8;
            }
            pf_cuda_warp(cuda, &out.on_device, &source.device, &map,
                         &pf_resampling[source.host.bicubic]);
            for (int y = 0; y < height; y++)
                for (int x = 0; x < width; x++) {
                    int from = x / map.straight * map.straight;
                    double a[2], b[2], along = (double)(x - from) / map.straight;
                    pf_warp_apply(&warp, from, y, &a[0], &a[1]);
                    pf_warp_apply(&warp, from + map.straight, y, &b[0], &b[1]);
                    out.host[(size_t)y * out.size.pitch + x] = sum_of_36(
                        &source.host, a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1]));
                }
            check_plane(&out, 1, "warp along a field");
            GPU(cudaFree(nodes));
            pf_field_free(warp.field);
            free_plane(&out);
            free_decoded(&source);
            finish(cuda);
        }
}
