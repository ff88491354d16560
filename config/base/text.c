#include "config/base/text.h"

#include <stdio.h>

char *pf_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = pf_text_va(format, args);
    va_end(args);
    return text;
}

char *pf_text_va(const char *format, va_list args)
{
    char *text = NULL;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}
