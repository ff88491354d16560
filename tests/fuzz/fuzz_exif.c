/* The EXIF readers: that of capture, and that of the codecs with what they write again. The input is
 * an EXIF block, as of a JPEG, and the same bytes as a TIFF file, which is its own block. */
#include <errno.h>
#include <unistd.h>

#include "capture/metadata.h"
#include "capture/record.h"
#include "process/exif.h"
#include "tests/fuzz/fuzz.h"

static void read_as(const uint8_t *data, size_t size, const char *format, bool scattered)
{
    static struct pf_bytes bytes; /* large */
    struct pf_whole whole = {.state = PF_WHOLE_YES,
                             .format = format,
                             .exif_at = 0,
                             .exif_size_bytes = (int64_t)size,
                             .exif_scattered = scattered};
    struct pf_record *record = calloc(1, sizeof(*record));
    struct pf_error err = {0};
    FUZZ_CHECK(record);
    pf_bytes_of_memory(&bytes, data, size);
    int r = pf_metadata_read(&bytes, &whole, record, &err);
    FUZZ_CHECK(r == 0); /* what makes no sense stays unknown */
    FUZZ_CHECK(record->orientation >= 1 && record->orientation <= 8);
    pf_record_free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_error err = {0};
    fuzz_quiet();
    read_as(data, size, "jpeg", false);
    read_as(data, size, "tiff", true);

    struct pf_blob block = {(uint8_t *)data, size}, out = {0};
    int orientation = pf_exif_orientation(&block);
    FUZZ_CHECK(orientation >= 1 && orientation <= 8);
    FUZZ_CHECK(pf_exif_for_output(&block, 640, 480, &out, &err) == 0);
    FUZZ_CHECK(out.size_bytes > 0 && pf_exif_orientation(&out) == 1);
    free(out.bytes);

    const char *path;
    out = (struct pf_blob){0};
    int fd = fuzz_file(data, size, &path);
    FUZZ_CHECK(pf_exif_of_tiff(fd, (int64_t)size, &out, &err) == 0);
    free(out.bytes);
    close(fd);
    return 0;
}
