/* What ends LibRaw's opening of a file are its own exceptions, which C cannot throw. */
#include "process/raw_names.h"

#include <algorithm>
#include <cstring>

#include <libraw/libraw.h>

namespace
{

/* Up to this a name leaves room for all that is appended to one. */
const size_t longest = 56;

enum { MODEL = 0x110, UNIQUE_MODEL = 0xc614, LOCALIZED_MODEL = 0xc615 };

} // namespace

void pf_raw_names(void *context, int tag, int, int length, unsigned, void *stream, INT64)
{
    char text[64] = "";
    size_t most = sizeof(text);
    int number = tag & 0xffff; /* what is above it tells the directory */
    if (number == UNIQUE_MODEL || number == LOCALIZED_MODEL)
        most = std::min(static_cast<size_t>(std::max(length, 0)), most);
    else if (number != MODEL) /* which LibRaw reads to the end of its buffer or a zero */
        return;
    static_cast<LibRaw_abstract_datastream *>(stream)->read(text, 1, most);
    if (strnlen(text, most) <= longest)
        return;
    *static_cast<bool *>(context) = true;
    throw LIBRAW_EXCEPTION_IO_CORRUPT;
}
