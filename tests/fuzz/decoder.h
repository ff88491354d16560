/* For the targets that decode pictures. */
#ifndef PF_FUZZ_DECODER_H
#define PF_FUZZ_DECODER_H

#include "process/codec_format.h"
#include "tests/fuzz/fuzz.h"

/* A decoder: whatever it returns is a picture within the limits, or an error with its text. */
#define FUZZ_MAX_PIXELS 1000000
void fuzz_decoder(const uint8_t *data, size_t size,
                  int (*decode)(struct pf_image **, struct pf_source *, struct pf_error *));
void fuzz_check_image(const struct pf_image *image);

#endif
