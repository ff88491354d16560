/* Lossless JPEG, as cameras and converters put sensor values into DNG.
 *
 * Used by tests/gen/picture.c only; any thread. Source: ITU-T T.81, annex H: one component, predictor 1,
 * Huffman codes all of one length.
 */
#ifndef PF_GEN_LJPEG_H
#define PF_GEN_LJPEG_H

#include <stddef.h>
#include <stdint.h>

/* The stream of width x height samples of 16 bits, on the heap; the program ends when memory does. */
uint8_t *pf_gen_ljpeg(const uint16_t *samples, int width, int height, size_t *ret_bytes);

#endif
