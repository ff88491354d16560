/* Arrays on the heap that grow.
 *
 * Callable from any process and thread; the array is the caller's.
 */
#ifndef PF_ARRAY_H
#define PF_ARRAY_H

#include <stddef.h>

/* The array with room for `more` items beside the `used` ones, moved if need be, *capacity brought
 * up to date; at least doubled, so that appending is cheap. NULL on out of memory: the array is as
 * it was. */
void *pf_with_room(void *array, size_t *capacity, size_t used, size_t more, size_t item_bytes);

#endif
