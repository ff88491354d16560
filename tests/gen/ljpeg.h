/* Lossless JPEG, as cameras and converters put sensor values into DNG, and Canon into CR2.
 *
 * Used by tests/gen/ only; any thread. Source: ITU-T T.81, annex H: predictor 1, one table of Huffman codes.
 */
#ifndef PF_GEN_LJPEG_H
#define PF_GEN_LJPEG_H

#include <stddef.h>
#include <stdint.h>

/* The stream of width x height samples of `bits` bits, on the heap; the program ends when memory does.
 * components: the samples of a row belong to them in turn; divides the width. */
uint8_t *pf_gen_ljpeg(const uint16_t *samples, int width, int height, int bits, int components,
                      size_t *ret_bytes);

#endif
