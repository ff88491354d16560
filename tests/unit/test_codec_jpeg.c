/* Decoding JPEGs, compared with what libjpeg reads. */
#include "tests/unit/decoded.h"

/* Every sample of the image is the one that libjpeg gives for the pixel. */
static void check_planes(const struct pf_image *image, const struct raster *raster)
{
    CHECK_EQ(image->width, raster->width);
    CHECK_EQ(image->height, raster->height);
    CHECK_EQ(image->planes, raster->channels);
    for (int plane = 0; plane < image->planes; plane++) {
        int sx = plane ? image->chroma_shift_x : 0, sy = plane ? image->chroma_shift_y : 0;
        for (int y = 0; y < image->height; y++)
            for (int x = 0; x < image->width; x++)
                if (plane_sample(image, plane, x >> sx, y >> sy) !=
                    sample_at(raster, x, y, plane) >> 8)
                    FAIL("plane %d at %d, %d: %d, libjpeg has %d", plane, x, y,
                         plane_sample(image, plane, x >> sx, y >> sy),
                         sample_at(raster, x, y, plane) >> 8);
    }
}

TEST(jpeg_planes_are_those_of_libjpeg)
{
    static const int samplings[][2] = {{2, 2}, {2, 1}, {1, 2}, {1, 1}};
    for (size_t s = 0; s < SIZES; s++)
        for (int k = 0; k < 4; k++)
            for (int progressive = 0; progressive < 2; progressive++) {
                struct raster raster = smooth_raster(usual_sizes[s][0], usual_sizes[s][1], 3, 8);
                struct jpeg_kind kind = {
                    .h = samplings[k][0], .v = samplings[k][1], .progressive = progressive};
                const char *path = file_name("a.jpg");
                write_jpeg(path, &raster, &kind);
                struct pf_image *image = decode(path);
                CHECK_EQ(image->bits, 8);
                CHECK_EQ(image->chroma_shift_x, samplings[k][0] - 1);
                CHECK_EQ(image->chroma_shift_y, samplings[k][1] - 1);
                CHECK_EQ(image->orientation, 1);
                struct raster theirs = read_jpeg(path, JCS_YCbCr, false);
                check_planes(image, &theirs);
                free(theirs.samples);
                free(raster.samples);
                pf_image_free(image);
            }
}

TEST(jpeg_grey)
{
    for (size_t s = 0; s < SIZES; s++)
        for (int factor = 1; factor <= 2; factor++) {
            struct raster raster = noise_raster(usual_sizes[s][0], usual_sizes[s][1], 1, 8);
            struct jpeg_kind kind = {.h = factor, .v = factor};
            const char *path = file_name("a.jpg");
            write_jpeg(path, &raster, &kind);
            struct pf_image *image = decode(path);
            struct raster theirs = read_jpeg(path, JCS_GRAYSCALE, false);
            check_planes(image, &theirs);
            free(theirs.samples);
            free(raster.samples);
            pf_image_free(image);
        }
}

TEST(jpeg_odd_sampling_and_rgb_are_converted)
{
    struct raster raster = smooth_raster(67, 41, 3, 8);
    const char *path = file_name("a.jpg");
    struct jpeg_kind quarter = {.h = 4, .v = 1}, rgb = {.space = JCS_RGB};

    write_jpeg(path, &raster, &quarter);
    struct pf_image *image = decode(path);
    CHECK_EQ(image->chroma_shift_x + image->chroma_shift_y, 0);
    check_colours(image, &raster, 8 * 257);
    pf_image_free(image);

    write_jpeg(path, &raster, &rgb);
    image = decode(path);
    CHECK_EQ(image->bits, 16);
    CHECK_EQ(image->source_bits, 8);
    struct raster theirs = read_jpeg(path, JCS_RGB, false);
    check_colours(image, &theirs, 1);
    free(theirs.samples);
    free(raster.samples);
    pf_image_free(image);
}

TEST(jpeg_in_cmyk_is_refused_by_name)
{
    struct raster raster = smooth_raster(20, 20, 4, 8);
    struct jpeg_kind kind = {.space = JCS_CMYK};
    struct pf_error err = {0};
    const char *path = file_name("a.jpg");
    write_jpeg(path, &raster, &kind);
    CHECK_EQ(refused(path, &err), ENOTSUP);
    CHECK(strstr(err.text, "CMYK"));
    free(raster.samples);
}

TEST(jpeg_that_libjpeg_would_repair_is_refused)
{
    struct raster raster = noise_raster(160, 120, 3, 8);
    struct jpeg_kind kind = {.h = 2, .v = 2};
    struct pf_error err = {0};
    const char *path = file_name("a.jpg");
    write_jpeg(path, &raster, &kind);
    struct bytes whole = slurp(path), copy = slurp(path);

    /* An end marker in the middle, and a hole of zeros up to the end marker. */
    memcpy(copy.data + copy.size / 2, "\xff\xd9", 2);
    spit(path, copy.data, copy.size);
    CHECK_EQ(refused(path, &err), EBADMSG);
    memset(whole.data + whole.size / 2, 0, whole.size - whole.size / 2 - 2);
    spit(path, whole.data, whole.size);
    CHECK_EQ(refused(path, &err), EBADMSG);
    free(raster.samples);
    free(whole.data);
    free(copy.data);
}

/* Such a file: `comment` bytes of a comment before all that it had, and `padding` before its end marker; of a
 * value < 0 it is no padding. */
static void write_padded(const char *path, struct bytes whole, size_t comment, size_t padding,
                         int value)
{
    size_t size = whole.size + comment + padding, at = 2;
    uint8_t *copy = calloc(1, size);
    memcpy(copy, whole.data, 2);
    if (comment) {
        const uint8_t head[4] = {0xff, 0xfe, (uint8_t)((comment - 2) >> 8), (uint8_t)(comment - 2)};
        memcpy(copy + at, head, sizeof(head));
        at += comment;
    }
    memcpy(copy + at, whole.data + 2, whole.size - 4);
    at += whole.size - 4;
    for (size_t i = 0; i < padding; i++)
        copy[at++] = value < 0 ? (uint8_t)(i % 7) : (uint8_t)value;
    memcpy(copy + at, "\xff\xd9", 2);
    spit(path, copy, size);
    free(copy);
}

static bool same_samples(const struct pf_image *a, const struct pf_image *b)
{
    bool same = true;
    for (int plane = 0; plane < a->planes; plane++)
        for (int y = 0; y < pf_image_plane_height(a, plane); y++)
            same =
                same && memcmp((const char *)a->plane[plane] + (size_t)y * a->stride_bytes[plane],
                               (const char *)b->plane[plane] + (size_t)y * b->stride_bytes[plane],
                               (size_t)pf_image_plane_width(a, plane)) == 0;
    return same;
}

/* Some cameras pad their pictures, to a multiple of something, before the end marker. */
TEST(jpeg_padded_before_its_end_is_read)
{
    static const struct {
        size_t bytes;
        int value;
        bool good;
    } cases[] = {{1, 0, true},     {101, 0, true},    {1024, 0, true}, {101, 'a', true},
                 {1100, 0, false}, {70000, 0, false}, {101, -1, false}};
    struct raster raster = noise_raster(160, 120, 3, 8);
    struct pf_error err = {0};
    const char *path = file_name("a.jpg");
    for (int progressive = 0; progressive < 2; progressive++) {
        struct jpeg_kind kind = {.h = 2, .v = 2, .progressive = progressive};
        write_jpeg(path, &raster, &kind);
        struct bytes whole = slurp(path);
        struct pf_image *plain = decode(path);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            write_padded(path, whole, 0, cases[i].bytes, cases[i].value);
            if (!cases[i].good) {
                CHECK_EQ(refused(path, &err), EBADMSG);
                continue;
            }
            struct pf_image *image = decode(path);
            CHECK(same_samples(image, plain));
            pf_image_free(image);
        }
        /* Wherever what is read at a time ends: before, within and behind the end marker. */
        for (size_t end = 65534; end <= 65540; end++) {
            write_padded(path, whole, end - whole.size - 101, 101, 0);
            struct pf_image *image = decode(path);
            CHECK(same_samples(image, plain));
            pf_image_free(image);
        }
        pf_image_free(plain);
        free(whole.data);
    }
    free(raster.samples);
}
