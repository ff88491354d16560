/* pf_decode_jpeg(): a file of any content, which is refused alike whether it is to stay coded or not. */
#include "tests/fuzz/decoder.h"

#include <string.h>

static int decode(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    struct pf_decode_limits limits = *source->limits;
    struct pf_source again = *source;
    struct pf_image *coded = NULL;
    const struct pf_image *samples = NULL;
    struct pf_error other = {0};
    limits.coded_side = 16;
    again.limits = &limits;
    int kept = pf_decode_jpeg(&coded, &again, &other);
    int r = pf_decode_jpeg(ret, source, err);
    FUZZ_CHECK(kept == r && strcmp(err->text, other.text) == 0);
    if (r == 0) {
        FUZZ_CHECK(pf_image_samples(coded, &samples, &other) == 0);
        FUZZ_CHECK(coded->width == (*ret)->width && coded->height == (*ret)->height);
        fuzz_check_image(samples);
    }
    pf_image_free(coded);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_decoder(data, size, decode);
    return 0;
}
