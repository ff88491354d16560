/* Decoding: every kind of file, compared with what its own library reads. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include "tests/unit/decoded.h"

/* Every kind of file, cut anywhere, is refused and not repaired. */
static void check_truncation(const char *path)
{
    struct bytes whole = slurp(path);
    struct pf_error err = {0};
    pf_image_free(decode(path));
    for (int part = 0; part < 24; part++) {
        size_t size = part == 23 ? whole.size - 1 : whole.size * (size_t)part / 23;
        spit(path, whole.data, size);
        int code = refused(path, &err);
        if (size >= 12)
            CHECK_EQ(code, EBADMSG);
        else
            CHECK(code == EBADMSG || code == ENOTSUP);
    }
    free(whole.data);
}

TEST(truncated_files_are_refused)
{
    struct raster raster = noise_raster(90, 70, 3, 8);
    const char *path = file_name("a");
    for (int progressive = 0; progressive < 2; progressive++) {
        struct jpeg_kind kind = {.progressive = progressive};
        write_jpeg(path, &raster, &kind);
        check_truncation(path);
    }
    write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, false);
    check_truncation(path);
    write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, true);
    check_truncation(path);
    static const int compressions[] = {COMPRESSION_NONE, COMPRESSION_LZW,
                                       COMPRESSION_ADOBE_DEFLATE};
    for (int i = 0; i < 3; i++) {
        struct tiff_kind kind = {.compression = compressions[i], .photometric = -1};
        write_tiff(path, &raster, &kind);
        check_truncation(path);
    }
    free(raster.samples);
}

/* Random damage must not crash, hang or leak, whatever it does to the pixels. */
TEST(damaged_files_do_no_harm)
{
    struct raster raster = noise_raster(40, 30, 3, 8);
    struct jpeg_kind baseline = {.h = 2, .v = 2}, progressive = {.progressive = true};
    struct tiff_kind lzw = {.compression = COMPRESSION_LZW, .photometric = -1};
    struct tiff_kind tiles = {.photometric = -1, .tile = 16};
    const char *path = file_name("a");
    for (int kind = 0; kind < 5; kind++) {
        if (kind == 0)
            write_jpeg(path, &raster, &baseline);
        else if (kind == 1)
            write_jpeg(path, &raster, &progressive);
        else if (kind == 2)
            write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, false);
        else
            write_tiff(path, &raster, kind == 3 ? &lzw : &tiles);
        struct bytes whole = slurp(path);
        for (uint32_t seed = 1; seed <= 150; seed++) {
            uint8_t *copy = malloc(whole.size);
            memcpy(copy, whole.data, whole.size);
            for (uint32_t k = 0; k < 1 + seed % 4; k++) {
                uint32_t h = scramble(seed * 64 + k);
                /* Half of the damage goes to the head, where the structure is. */
                size_t range = h & 1 ? whole.size : whole.size < 400 ? whole.size : 400;
                copy[(h >> 1) % range] = (uint8_t)scramble(h);
            }
            spit(path, copy, whole.size);
            free(copy);
            struct pf_error err = {0};
            struct pf_image *image = NULL;
            pf_image_decode(&image, path, &limits, &err);
            pf_image_free(image);
        }
        free(whole.data);
    }
    free(raster.samples);
}

TEST(declared_size_is_checked_before_memory_is_taken)
{
    struct raster raster = noise_raster(16, 16, 3, 8);
    struct jpeg_kind jpeg = {0};
    struct tiff_kind tiff = {.photometric = -1};
    struct pf_error err = {0};
    const char *path = file_name("a");

    write_jpeg(path, &raster, &jpeg);
    struct bytes file = slurp(path);
    for (size_t i = 0; i + 9 < file.size; i++)
        if (file.data[i] == 0xff && file.data[i + 1] == 0xc0)
            memcpy(file.data + i + 5, "\xfd\xe8\xfd\xe8", 4); /* 65000 x 65000 */
    spit(path, file.data, file.size);
    CHECK_EQ(refused(path, &err), EFBIG);
    free(file.data);

    write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, false);
    file = slurp(path);
    memcpy(file.data + 16, "\x00\x01\x86\xa0\x00\x01\x86\xa0", 8); /* 100000 x 100000 */
    uint32_t crc = (uint32_t)crc32(0, file.data + 12, 17);
    for (int i = 0; i < 4; i++)
        file.data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    spit(path, file.data, file.size);
    CHECK_EQ(refused(path, &err), EFBIG);
    free(file.data);

    write_tiff(path, &raster, &tiff);
    TIFF *edited = TIFFOpen(path, "r+");
    TIFFSetField(edited, TIFFTAG_IMAGEWIDTH, 100000u);
    TIFFSetField(edited, TIFFTAG_IMAGELENGTH, 100000u);
    TIFFRewriteDirectory(edited);
    TIFFClose(edited);
    CHECK_EQ(refused(path, &err), EFBIG);

    limits.max_pixels = 255;
    write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, false);
    CHECK_EQ(refused(path, &err), EFBIG);
    limits.max_pixels = 256;
    pf_image_free(decode(path));
    free(raster.samples);
}

TEST(tiff_kinds)
{
    static const struct tiff_kind kinds[] = {
        {.photometric = -1},
        {.photometric = -1, .mode = "wb"},
        {.photometric = -1, .mode = "w8"},
        {.photometric = -1, .compression = COMPRESSION_LZW, .predictor = 2},
        {.photometric = -1, .compression = COMPRESSION_ADOBE_DEFLATE, .predictor = 2},
        {.photometric = -1, .compression = COMPRESSION_PACKBITS, .rows_per_strip = 1000},
        {.photometric = -1, .planar = PLANARCONFIG_SEPARATE},
        {.photometric = -1, .tile = 16},
        {.photometric = -1, .tile = 32, .compression = COMPRESSION_LZW},
        {.photometric = -1, .tile = 16, .planar = PLANARCONFIG_SEPARATE, .mode = "wb"},
    };
    const char *path = file_name("a.tif");
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (int channels = 1; channels <= 4; channels++)
            for (int bits = 8; bits <= 16; bits += 8)
                for (size_t s = 1; s < SIZES; s++) {
                    struct raster raster =
                        noise_raster(usual_sizes[s][0], usual_sizes[s][1], channels, bits);
                    write_tiff(path, &raster, &kinds[k]);
                    struct pf_image *image = decode(path);
                    CHECK_EQ(image->planes, channels >= 3 ? 3 : 1);
                    CHECK_EQ(image->bits, channels >= 3 ? 16 : bits);
                    CHECK_EQ(image->source_bits, bits);
                    check_colours(image, &raster, image->planes == 3 ? 1 : 0);
                    pf_image_free(image);
                    free(raster.samples);
                }
}

TEST(tiff_where_white_is_zero)
{
    for (int bits = 8; bits <= 16; bits += 8) {
        struct raster raster = noise_raster(33, 9, 1, bits);
        struct tiff_kind kind = {.photometric = PHOTOMETRIC_MINISWHITE};
        const char *path = file_name("a.tif");
        write_tiff(path, &raster, &kind);
        struct pf_image *image = decode(path);
        for (int i = 0; i < 33 * 9; i++)
            raster.samples[i] = (uint16_t)(65535 - raster.samples[i]);
        check_colours(image, &raster, 0);
        pf_image_free(image);
        free(raster.samples);
    }
}

TEST(tiff_kinds_that_are_refused_by_name)
{
    struct pf_error err = {0};
    const char *path = file_name("a.tif");
    static const struct {
        int channels, bits, photometric;
        bool floating;
        const char *word;
    } kinds[] = {{1, 8, PHOTOMETRIC_PALETTE, false, "palette"},
                 {4, 8, PHOTOMETRIC_SEPARATED, false, "CMYK"},
                 {1, 16, PHOTOMETRIC_MINISBLACK, true, "floating"},
                 {3, 8, PHOTOMETRIC_CIELAB, false, "colour space"},
                 {1, 16, PHOTOMETRIC_CFA, false, "RAW"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct raster raster = noise_raster(8, 8, kinds[i].channels, kinds[i].bits);
        struct tiff_kind kind = {.photometric = kinds[i].photometric,
                                 .floating = kinds[i].floating};
        write_tiff(path, &raster, &kind);
        CHECK_EQ(refused(path, &err), ENOTSUP);
        if (!strstr(err.text, kinds[i].word))
            FAIL("\"%s\" does not say \"%s\"", err.text, kinds[i].word);
        free(raster.samples);
    }
}

/* libtiff does not write it: the numbers of a file that says so are enough. */
TEST(tiff_of_old_style_jpeg_is_refused_by_name)
{
    struct raster raster = noise_raster(8, 8, 3, 8);
    struct tiff_kind kind = {.photometric = PHOTOMETRIC_RGB};
    struct pf_error err = {0};
    const char *path = file_name("a.tif");
    write_tiff(path, &raster, &kind);
    struct bytes file = slurp(path);
    uint8_t *entry = file.data + (file.data[4] | file.data[5] << 8) + 2;
    for (; entry + 12 <= file.data + file.size; entry += 12) {
        int tag = entry[0] | entry[1] << 8;
        if (tag == TIFFTAG_COMPRESSION)
            entry[8] = COMPRESSION_OJPEG;
        else if (tag == TIFFTAG_PHOTOMETRIC)
            entry[8] = PHOTOMETRIC_YCBCR;
    }
    spit(path, file.data, file.size);
    CHECK_EQ(refused(path, &err), ENOTSUP);
    CHECK(strstr(err.text, "old-style JPEG"));
    free(file.data);
    free(raster.samples);
}

TEST(png_kinds)
{
    static const struct {
        int type, channels, depth;
    } kinds[] = {{PNG_COLOR_TYPE_RGB, 3, 8},        {PNG_COLOR_TYPE_RGB, 3, 16},
                 {PNG_COLOR_TYPE_RGB_ALPHA, 4, 8},  {PNG_COLOR_TYPE_RGB_ALPHA, 4, 16},
                 {PNG_COLOR_TYPE_GRAY, 1, 8},       {PNG_COLOR_TYPE_GRAY, 1, 16},
                 {PNG_COLOR_TYPE_GRAY_ALPHA, 2, 8}, {PNG_COLOR_TYPE_GRAY_ALPHA, 2, 16},
                 {PNG_COLOR_TYPE_GRAY, 1, 1},       {PNG_COLOR_TYPE_PALETTE, 1, 8}};
    const char *path = file_name("a.png");
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (int interlaced = 0; interlaced < 2; interlaced++)
            for (size_t s = 0; s < SIZES; s++) {
                int bits = kinds[k].depth == 16 ? 16 : 8;
                struct raster raster =
                    noise_raster(usual_sizes[s][0], usual_sizes[s][1], kinds[k].channels, bits);
                write_png(path, &raster, kinds[k].type, kinds[k].depth, interlaced);
                struct pf_image *image = decode(path);
                CHECK_EQ(image->source_bits, bits);
                struct raster want = raster;
                if (kinds[k].type == PNG_COLOR_TYPE_PALETTE) {
                    want = noise_raster(raster.width, raster.height, 3, 8);
                    for (int i = 0; i < raster.width * raster.height; i++) {
                        int index = raster.samples[i] >> 8;
                        want.samples[3 * i] = (uint16_t)(index * 257);
                        want.samples[3 * i + 1] = (uint16_t)((255 - index) * 257);
                        want.samples[3 * i + 2] = (uint16_t)(index / 2 * 257);
                    }
                } else if (kinds[k].depth == 1) {
                    for (int i = 0; i < raster.width * raster.height; i++)
                        want.samples[i] = raster.samples[i] >> 15 ? 65535 : 0;
                }
                check_colours(image, &want, image->planes == 3 ? 1 : 0);
                if (want.samples != raster.samples)
                    free(want.samples);
                free(raster.samples);
                pf_image_free(image);
            }
}

/* A ramp that ends in a transparent part full of noise, a row of half-covered pixels between them. */
static struct raster with_holes(int channels, int bits, bool associated)
{
    enum { W = 60, H = 40, HALF = 40 };
    struct raster raster = noise_raster(W, H, channels, bits);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            uint16_t *pixel = raster.samples + (size_t)(y * W + x) * (size_t)channels;
            int alpha = x < HALF ? 65535 : x == HALF ? 128 * 257 : 0;
            for (int c = 0; c < channels - 1 && x <= HALF; c++)
                pixel[c] = (uint16_t)((100 + x) * 257 / (associated && x == HALF ? 2 : 1));
            pixel[channels - 1] = (uint16_t)alpha;
        }
    return raster;
}

static void check_holes(struct pf_image *image, const struct raster *raster)
{
    for (int plane = 0; plane < image->planes; plane++)
        for (int y = 0; y < raster->height; y++)
            for (int x = 1; x < raster->width; x++) {
                double unit = image->bits == 8 ? 1 : 257;
                double here = plane_sample(image, plane, x, y) / unit;
                double left = plane_sample(image, plane, x - 1, y) / unit;
                double want = plane ? 128 : x <= 40 ? 100 + x : here;
                if (fabs(here - want) > (x == 40 ? 2.5 : 0.6))
                    FAIL("plane %d at %d, %d is %.1f and not %.1f", plane, x, y, here, want);
                if (fabs(here - left) > 4) /* nothing of the noise, and no edge */
                    FAIL("plane %d at %d, %d: from %.1f to %.1f", plane, x, y, left, here);
            }
    CHECK(image->cover != NULL);
    for (int x = 0; x < raster->width; x++)
        CHECK_EQ(image->cover[3 * raster->width + x], x < 40 ? 255 : x == 40 ? 128 : 0);
    pf_image_free(image);
}

TEST(what_is_transparent_is_no_picture)
{
    struct pf_error err = {0};
    for (int bits = 8; bits <= 16; bits += 8)
        for (int channels = 2; channels <= 4; channels += 2) {
            struct raster raster = with_holes(channels, bits, false);
            int type = channels == 2 ? PNG_COLOR_TYPE_GRAY_ALPHA : PNG_COLOR_TYPE_RGB_ALPHA;
            write_png(file_name("a.png"), &raster, type, bits, bits == 16);
            check_holes(decode(file_name("a.png")), &raster);
            for (int kind = 0; kind < 6; kind++) {
                struct raster tiff = with_holes(channels, bits, kind % 2);
                struct tiff_kind how = {.photometric = -1,
                                        .associated = kind % 2,
                                        .planar = kind / 2 == 1 ? PLANARCONFIG_SEPARATE : 0,
                                        .tile = kind / 2 == 2 ? 16 : 0};
                write_tiff(file_name("a.tif"), &tiff, &how);
                check_holes(decode(file_name("a.tif")), &tiff);
                free(tiff.samples);
            }
            for (int i = 0; i < raster.width * raster.height; i++)
                raster.samples[(i + 1) * channels - 1] = 0;
            write_png(file_name("a.png"), &raster, type, bits, false);
            CHECK_EQ(refused(file_name("a.png"), &err), EBADMSG);
            CHECK(strstr(err.text, "transparent everywhere"));
            free(raster.samples);
        }
}

TEST(content_tells_the_format_and_what_is_no_picture)
{
    struct raster raster = smooth_raster(20, 10, 3, 8);
    struct jpeg_kind kind = {0};
    struct pf_error err = {0};
    write_jpeg(file_name("jpeg.png"), &raster, &kind);
    pf_image_free(decode(file_name("jpeg.png")));

    spit(file_name("empty.jpg"), "", 0);
    CHECK_EQ(refused(file_name("empty.jpg"), &err), EBADMSG);
    spit(file_name("text.jpg"), "this is a text and no picture", 29);
    CHECK_EQ(refused(file_name("text.jpg"), &err), ENOTSUP);
    CHECK_EQ(refused(file_name("missing.jpg"), &err), ENOENT);
    CHECK_EQ(refused(test_directory(), &err), EISDIR);
    CHECK_EQ(mkfifo(file_name("pipe.jpg"), 0600), 0);
    CHECK_EQ(refused(file_name("pipe.jpg"), &err), ENOTSUP); /* and does not wait for a writer */
    free(raster.samples);
}

TEST(no_memory_is_an_error_and_no_end)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("a sanitizer needs its address space");
#endif
    struct raster raster = smooth_raster(3000, 2000, 3, 8);
    struct jpeg_kind jpeg = {.progressive = true};
    struct tiff_kind tiff = {.photometric = -1};
    struct pf_error err = {0};
    char paths[3][4200];
    for (int i = 0; i < 3; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s",
                 file_name(i == 0   ? "a.jpg"
                           : i == 1 ? "a.png"
                                    : "a.tif"));
    write_jpeg(paths[0], &raster, &jpeg);
    write_png(paths[1], &raster, PNG_COLOR_TYPE_RGB, 8, false);
    write_tiff(paths[2], &raster, &tiff);
    free(raster.samples);

    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    /* From far too little to nearly enough: every allocation fails once. */
    for (int mebibytes = 1; mebibytes < 36; mebibytes += 5) {
        rlim_t bytes = (rlim_t)pages * 4096 + ((rlim_t)mebibytes << 20);
        struct rlimit limit = {bytes, RLIM_INFINITY};
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
            struct pf_image *image = NULL;
            pf_error_clear(&err);
            int r = pf_image_decode(&image, paths[i], &limits, &err);
            pf_image_free(image);
            struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
            setrlimit(RLIMIT_AS, &none);
            bool room = r != -ENOMEM && r != -ENOBUFS && r != -EFBIG; /* see process/room.h */
            if (mebibytes < 5)
                CHECK(!room);
            if (r != 0 && room)
                FAIL("%s with %d MiB: %s", paths[i], mebibytes, err.text);
        }
    }
    for (int i = 0; i < 3; i++)
        pf_image_free(decode(paths[i]));
}

TEST(format_by_name)
{
    struct pf_error err = {0};
    enum pf_format format;
    CHECK_EQ(pf_format_of_path("a/b.TIFF", &format, &err), 0);
    CHECK_EQ(format, PF_FORMAT_TIFF);
    CHECK_EQ(pf_format_of_path("x.y/b.jpeg", &format, &err), 0);
    CHECK_EQ(format, PF_FORMAT_JPEG);
    CHECK_EQ(pf_format_of_path("c.Png", &format, &err), 0);
    CHECK_EQ(format, PF_FORMAT_PNG);
    CHECK_EQ(pf_format_of_path("dir.png/name", &format, &err), -ENOTSUP);
    CHECK_STR(pf_format_extension(PF_FORMAT_TIFF), "tif");
}
