/* What ends LibRaw's opening of a file are its own exceptions, which C cannot throw. */
#include "process/raw_guard.h"

#include <algorithm>
#include <cstring>

#include <libraw/libraw.h>

namespace
{

/* Up to this a name leaves room for all that is appended to one. */
const size_t longest = 56;

enum { MODEL = 0x110, UNIQUE_MODEL = 0xc614, LOCALIZED_MODEL = 0xc615, SLICES = 0xc640 };
enum { LITTLE_ENDIAN_TIFF = 0x4949 };

bool name_is_too_long(LibRaw_abstract_datastream *stream, size_t most)
{
    char text[64] = "";
    stream->read(text, 1, std::min(most, sizeof(text)));
    return strnlen(text, std::min(most, sizeof(text))) > longest;
}

/* How many of one width there are, that width, and the one of the last. */
bool slices_cannot_be(LibRaw_abstract_datastream *stream, unsigned order)
{
    unsigned char bytes[6] = {0};
    unsigned slices[3];
    stream->read(bytes, 1, sizeof(bytes));
    for (int i = 0; i < 3; i++)
        slices[i] = order == LITTLE_ENDIAN_TIFF ? bytes[2 * i] | bytes[2 * i + 1] << 8
                                                : bytes[2 * i] << 8 | bytes[2 * i + 1];
    return slices[0] && (!slices[1] || !slices[2]);
}

} // namespace

void pf_raw_guard(void *context, int tag, int, int length, unsigned order, void *data, INT64)
{
    LibRaw_abstract_datastream *stream = static_cast<LibRaw_abstract_datastream *>(data);
    const char *wrong = nullptr;
    switch (tag & 0xffff) { /* what is above it tells the directory */
    case UNIQUE_MODEL:
    case LOCALIZED_MODEL:
        if (name_is_too_long(stream, static_cast<size_t>(std::max(length, 0))))
            wrong = "the name of its camera is longer than any is";
        break;
    case MODEL: /* which LibRaw reads to the end of its buffer or a zero */
        if (name_is_too_long(stream, SIZE_MAX))
            wrong = "the name of its camera is longer than any is";
        break;
    case SLICES:
        if (slices_cannot_be(stream, order))
            wrong = "its picture lies in slices of no width";
        break;
    }
    if (!wrong)
        return;
    *static_cast<const char **>(context) = wrong;
    throw LIBRAW_EXCEPTION_IO_CORRUPT;
}
