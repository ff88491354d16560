/* pf_decode_png(): a file of any content. */
#include "tests/fuzz/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_decoder(data, size, pf_decode_png);
    return 0;
}
