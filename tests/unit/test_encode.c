/* Encoding: what was written, as the formats' own libraries read it; turning, failures. */
#include <sys/resource.h>
#include <sys/stat.h>

#include "process/convert.h"
#include "process/upright.h"
#include "tests/unit/encoded.h"

static struct raster read_back(const char *path, enum pf_format format)
{
    return format == PF_FORMAT_TIFF  ? read_tiff(path)
           : format == PF_FORMAT_PNG ? read_png(path)
                                     : read_jpeg(path, JCS_RGB, true);
}

static void check_same(const struct raster *got, const struct raster *want, int within)
{
    CHECK_EQ(got->width, want->width);
    CHECK_EQ(got->height, want->height);
    CHECK_EQ(got->channels, want->channels);
    for (int y = 0; y < got->height; y++)
        for (int x = 0; x < got->width; x++)
            for (int c = 0; c < got->channels; c++)
                if (abs(sample_at(got, x, y, c) - sample_at(want, x, y, c)) > within)
                    FAIL("channel %d at %d, %d: %d instead of %d", c, x, y, sample_at(got, x, y, c),
                         sample_at(want, x, y, c));
}

TEST(tiff_and_png_keep_every_sample)
{
    static const int sizes[][2] = {{1, 1}, {7, 5}, {17, 33}, {300, 200}};
    for (size_t s = 0; s < 4; s++)
        for (int channels = 1; channels <= 3; channels += 2)
            for (int source_bits = 8; source_bits <= 16; source_bits += 8)
                for (int bits = 8; bits <= 16; bits += 8)
                    for (int k = 0; k < 4; k++) {
                        enum pf_format format = formats[k % 2];
                        struct raster raster =
                            noise_raster(sizes[s][0], sizes[s][1], channels, source_bits);
                        struct pf_image *image = image_of(&raster);
                        encode(image, file_name("out"), format, bits, 1 + k / 2);
                        struct raster got = read_back(file_name("out"), format);
                        CHECK_EQ(got.bits, bits);
                        /* 16 bits within one step; 8 bits exactly what rounding gives. */
                        int within = bits == 16 ? channels == 3 : 0;
                        if (bits == 8 && source_bits == 16) {
                            within = 257; /* a colour may round to either side */
                            for (int i = 0; i < raster.width * raster.height * channels; i++)
                                raster.samples[i] =
                                    (uint16_t)((raster.samples[i] + 128) / 257 * 257);
                        }
                        check_same(&got, &raster, within);
                        free(got.samples);
                        free(raster.samples);
                        pf_image_free(image);
                    }
}

TEST(jpeg_keeps_planes_and_sampling)
{
    static const int samplings[][2] = {{2, 2}, {2, 1}, {1, 2}, {1, 1}};
    static const int sizes[][2] = {{1, 1}, {7, 5}, {17, 33}, {64, 48}};
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 4; k++) {
            struct raster raster = smooth_raster(sizes[s][0], sizes[s][1], 3, 8);
            struct jpeg_kind kind = {.h = samplings[k][0], .v = samplings[k][1]};
            write_jpeg(file_name("a.jpg"), &raster, &kind);
            struct pf_image *image = decode(file_name("a.jpg"));
            encode(image, file_name("b.jpg"), PF_FORMAT_JPEG, 8, 1);
            struct pf_image *again = decode(file_name("b.jpg"));
            CHECK_EQ(again->chroma_shift_x, image->chroma_shift_x);
            CHECK_EQ(again->chroma_shift_y, image->chroma_shift_y);
            struct raster first = read_jpeg(file_name("a.jpg"), JCS_YCbCr, false);
            struct raster second = read_jpeg(file_name("b.jpg"), JCS_YCbCr, false);
            check_same(&second, &first, 2 * 257);
            free(first.samples);
            free(second.samples);
            free(raster.samples);
            pf_image_free(image);
            pf_image_free(again);
        }
}

TEST(jpeg_of_16_bits_has_the_colours_of_the_picture)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        struct raster raster = smooth_raster(61, 43, channels, 16);
        struct pf_image *image = image_of(&raster);
        encode(image, file_name("a.jpg"), PF_FORMAT_JPEG, 8, 1);
        struct raster got =
            read_jpeg(file_name("a.jpg"), channels == 3 ? JCS_RGB : JCS_GRAYSCALE, true);
        check_same(&got, &raster, 5 * 257);
        free(got.samples);
        free(raster.samples);
        pf_image_free(image);
    }
}

TEST(halved_chroma_is_interpolated_linearly_and_grey_stays_grey)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    const int width = 41, height = 31;
    CHECK_OK(pf_image_new(&image, width, height, 16, 3, 1, 1, &err), &err);
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < pf_image_plane_height(image, plane); y++) {
            uint16_t *row = (uint16_t *)((uint8_t *)image->plane[plane] +
                                         (size_t)y * image->stride_bytes[plane]);
            for (int x = 0; x < pf_image_plane_width(image, plane); x++)
                row[x] = (uint16_t)(plane == 0   ? 30000
                                    : plane == 1 ? 32768
                                                 : 32768 + 200 * x + 100 * y);
        }
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t rgb[41 * 3];
    for (int y = 1; y < height - 1; y++) {
        pf_row_to_rgb(rgb, 16, image, y, scratch);
        for (int x = 1; x < width - 1; x++) {
            /* The sample k lies between pixels 2k and 2k + 1. */
            double cr = 200 * (x - 0.5) / 2 + 100 * (y - 0.5) / 2;
            CHECK_NEAR(rgb[3 * x], 30000 + 1.402 * cr, 0.51);
            CHECK_NEAR(rgb[3 * x + 2], 30000, 0.51);
        }
    }
    pf_image_free(image);

    CHECK_OK(pf_image_new(&image, 256, 1, 8, 3, 0, 0, &err), &err);
    for (int x = 0; x < 256; x++) {
        ((uint8_t *)image->plane[0])[x] = (uint8_t)x;
        ((uint8_t *)image->plane[1])[x] = ((uint8_t *)image->plane[2])[x] = 128;
    }
    scratch = realloc(scratch, pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t grey[256 * 3];
    pf_row_to_rgb(grey, 16, image, 0, scratch);
    for (int i = 0; i < 256 * 3; i++)
        CHECK_EQ(grey[i], i / 3 * 257);
    free(scratch);
    pf_image_free(image);
}

/* Column and row of the stored picture that the pixel at x, y of the upright one shows (the
 * wording of EXIF 2.32, tag 0x0112). */
static void stored_place(int orientation, int width, int height, int x, int y, int *u, int *v)
{
    switch (orientation) {
    case 2:
        *u = width - 1 - x, *v = y;
        break;
    case 3:
        *u = width - 1 - x, *v = height - 1 - y;
        break;
    case 4:
        *u = x, *v = height - 1 - y;
        break;
    case 5:
        *u = y, *v = x;
        break;
    case 6:
        *u = y, *v = height - 1 - x;
        break;
    case 7:
        *u = width - 1 - y, *v = height - 1 - x;
        break;
    case 8:
        *u = width - 1 - y, *v = x;
        break;
    default:
        *u = x, *v = y;
    }
}

TEST(pixels_are_turned_upright)
{
    static const int sizes[][2] = {{36, 28}, {37, 29}, {70, 41}};
    for (int s = 0; s < 3; s++)
        for (int sampling = 1; sampling <= 2; sampling++)
            for (int orientation = 1; orientation <= 8; orientation++)
                for (int k = 0; k < 3; k++) {
                    int width = sizes[s][0], height = sizes[s][1];
                    struct raster raster = smooth_raster(width, height, 3, 8);
                    struct jpeg_kind kind = {.h = sampling, .v = sampling};
                    write_jpeg(file_name("a.jpg"), &raster, &kind);
                    struct pf_image *image = decode(file_name("a.jpg"));
                    encode(image, file_name("plain.tif"), PF_FORMAT_TIFF, 16, 1);
                    image->orientation = orientation;
                    encode(image, file_name("out"), formats[k],
                           formats[k] == PF_FORMAT_JPEG ? 8 : 16, 2);
                    struct raster plain = read_tiff(file_name("plain.tif"));
                    struct raster got = read_back(file_name("out"), formats[k]);
                    struct raster want = noise_raster(orientation < 5 ? width : height,
                                                      orientation < 5 ? height : width, 3, 16);
                    for (int y = 0; y < want.height; y++)
                        for (int x = 0; x < want.width; x++) {
                            int u, v;
                            double place_x, place_y;
                            stored_place(orientation, width, height, x, y, &u, &v);
                            pf_upright_place(orientation, width, height, x, y, &place_x, &place_y);
                            CHECK(place_x == u && place_y == v);
                            for (int c = 0; c < 3; c++)
                                want.samples[((size_t)y * (size_t)want.width + (size_t)x) * 3 +
                                             (size_t)c] = sample_at(&plain, u, v, c);
                        }
                    /* An odd side of 8 bits has its chroma rounded to 8 bits in turning. */
                    bool odd = sampling == 2 && (width % 2 || height % 2);
                    int within = formats[k] == PF_FORMAT_JPEG ? 5 * 257 : odd ? 300 : 1;
                    check_same(&got, &want, within);
                    if (formats[k] != PF_FORMAT_JPEG) {
                        struct pf_image *again = decode(file_name("out"));
                        CHECK_EQ(again->orientation, 1);
                        pf_image_free(again);
                    }
                    free(plain.samples);
                    free(got.samples);
                    free(want.samples);
                    free(raster.samples);
                    pf_image_free(image);
                }
}

/* ---- failures ---- */

TEST(full_disk_is_named)
{
    struct raster raster = noise_raster(200, 100, 3, 8);
    struct pf_image *image = image_of(&raster);
    for (int k = 0; k < 3; k++) {
        struct pf_error err = {0};
        struct pf_encode_options options = {.format = formats[k],
                                            .bits = formats[k] == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 1};
        /* A link, so that nothing of ours could remove the device. */
        unlink(file_name("full"));
        CHECK_EQ(symlink("/dev/full", file_name("full")), 0);
        CHECK_EQ(pf_image_encode(image, file_name("full"), &options, &err), -ENOSPC);
        CHECK(strstr(err.text, "No space left"));
        pf_error_clear(&err);
        CHECK_EQ(pf_image_encode(image, file_name("no/such"), &options, &err), -ENOENT);
    }
    struct stat st;
    CHECK(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode));
    pf_image_free(image);
    free(raster.samples);
}

TEST(partial_file_is_removed)
{
    struct raster raster = noise_raster(300, 200, 3, 8);
    struct pf_image *image = image_of(&raster);
    signal(SIGXFSZ, SIG_IGN);
    for (int k = 0; k < 3; k++) {
        struct pf_error err = {0};
        struct rlimit small = {20000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        struct pf_encode_options options = {.format = formats[k],
                                            .bits = formats[k] == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 2};
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        int r = pf_image_encode(image, file_name("out"), &options, &err);
        setrlimit(RLIMIT_FSIZE, &none);
        CHECK_EQ(r, -EFBIG);
        CHECK_EQ(access(file_name("out"), F_OK), -1);
    }
    pf_image_free(image);
    free(raster.samples);
}
