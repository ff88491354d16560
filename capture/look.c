#include "capture/look.h"

#include "config/base/limits.h"

enum {
    /* What looking at a file may take, its hash included, of which a second does gigabytes. */
    LOOK_BYTES = 256 << 20,
    LOOK_CPU_S = 30,
    LOOK_CPU_BYTES = 20 << 20,
    /* Of a file: four channels of 16 bits, twice, and what else a camera puts into it. */
    PIXEL_BYTES = 16,
    BESIDE_BYTES = 1 << 30,
};

int pf_look(const struct pf_settings *settings, const char *path, const char *source,
            const struct pf_file_stamp *stamp, struct pf_frame *ret, struct pf_error *err)
{
    if (settings->sandbox)
        pf_limits_allow(LOOK_BYTES, LOOK_CPU_S + stamp->size_bytes / LOOK_CPU_BYTES);
    int64_t most_bytes = settings->max_megapixels * 1000000 * PIXEL_BYTES + BESIDE_BYTES;
    int r = pf_frame_look(path, source, stamp, most_bytes, ret, err);
    if (settings->sandbox)
        pf_limits_lift();
    return r;
}
