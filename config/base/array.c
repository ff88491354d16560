#include "config/base/array.h"

#include <stdlib.h>

void *pf_with_room(void *array, size_t *capacity, size_t used, size_t more, size_t item_bytes)
{
    if (array && used + more <= *capacity)
        return array;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    if (wanted < used + more)
        wanted = used + more;
    void *grown = realloc(array, wanted * item_bytes);
    if (grown)
        *capacity = wanted;
    return grown;
}
