#include "tests/fuzz/decoder.h"

#include <unistd.h>

void fuzz_check_image(const struct pf_image *image)
{
    FUZZ_CHECK(image->width > 0 && image->height > 0);
    FUZZ_CHECK((int64_t)image->width * image->height <= FUZZ_MAX_PIXELS);
    FUZZ_CHECK(image->bits == 8 || image->bits == 16);
    FUZZ_CHECK(image->planes == 1 || image->planes == 3);
    FUZZ_CHECK(image->orientation >= 1 && image->orientation <= 8);
    /* Every row can be read to its end. */
    unsigned sum = 0;
    for (int plane = 0; plane < image->planes; plane++) {
        size_t bytes = (size_t)pf_image_plane_width(image, plane) * (size_t)image->bits / 8;
        FUZZ_CHECK(bytes <= image->stride_bytes[plane]);
        const uint8_t *row = image->plane[plane];
        for (int y = 0; y < pf_image_plane_height(image, plane); y++)
            sum += row[(size_t)y * image->stride_bytes[plane]] +
                   row[(size_t)y * image->stride_bytes[plane] + bytes - 1];
    }
    volatile unsigned keep = sum;
    (void)keep;
}

void fuzz_decoder(const uint8_t *data, size_t size,
                  int (*decode)(struct pf_image **, struct pf_source *, struct pf_error *))
{
    static const struct pf_decode_limits limits = {FUZZ_MAX_PIXELS};
    const char *path;
    struct pf_source source = {0};
    struct pf_image *image = NULL;
    struct pf_error err = {0};
    fuzz_quiet();
    int fd = fuzz_file(data, size, &path);
    FUZZ_CHECK(pf_source_open(&source, path, &limits, &err) == 0);
    int r = decode(&image, &source, &err);
    if (r == 0)
        fuzz_check_image(image);
    else
        FUZZ_CHECK(r < 0 && err.code == -r && err.text[0] && !image);
    pf_image_free(image);
    close(source.fd);
    close(fd);
}
