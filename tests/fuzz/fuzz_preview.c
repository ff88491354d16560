/* The short ways to a small picture: EXIF thumbnails, reduced JPEGs, previews of RAW files. */
#include <errno.h>
#include <unistd.h>

#include "tests/fuzz/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pf_decode_limits limits = {FUZZ_MAX_PIXELS};
    struct pf_image *image = NULL;
    struct pf_error err = {0};
    const char *path;
    fuzz_quiet();
    int fd = fuzz_file(data, size, &path);
    int r = pf_image_decode_quickly(&image, path, 16, &limits, &err);
    if (r == 0)
        fuzz_check_image(image);
    else
        FUZZ_CHECK(r == -ENODATA || err.text[0]);
    pf_image_free(image);
    close(fd);
    return 0;
}
