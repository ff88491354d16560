#include "config/base/text.h"

#include <stdarg.h>
#include <stdio.h>

char *pf_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return length < 0 ? NULL : text;
}
