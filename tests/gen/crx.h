/* CRX, Canon's compression of sensor values, in its lossless form: what a CR3 holds.
 *
 * Used by tests/gen/cr3.c and its test; any thread. The mosaic is four planes, one for each place of
 * its 2 x 2; each plane of each tile is a stream of its own: predicted and coded as in JPEG-LS, with
 * adaptive Golomb-Rice codes and runs, without its contexts. No wavelet, so nothing is lost.
 * Sources: Laurent Clévy's description of CR3 (github.com/lclevy/canon_cr3), ITU-T T.87, and what
 * LibRaw 0.20 reads.
 */
#ifndef PF_GEN_CRX_H
#define PF_GEN_CRX_H

#include <stddef.h>
#include <stdint.h>

enum {
    PF_GEN_CRX_BITS = 14,
    PF_GEN_CRX_TILE_MIN = 44, /* sensor values, either way */
};

/* Width and height are even; a tile is as high as the picture, and all but the last are tile_width
 * wide, which is even. The stream is on the heap, with its headers, which are *ret_head_bytes of it;
 * the program ends when memory does. */
uint8_t *pf_gen_crx(const uint16_t *sensor, int width, int height, int tile_width,
                    size_t *ret_bytes, size_t *ret_head_bytes);

#endif
