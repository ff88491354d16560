#include "config/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void describe(struct pf_error *err, int code, const char *format, va_list args)
{
    err->code = code;
    vsnprintf(err->text, sizeof(err->text), format, args);
}

int pf_fail(struct pf_error *err, int code, const char *format, ...)
{
    if (err && !err->code) {
        va_list args;
        va_start(args, format);
        describe(err, code, format, args);
        va_end(args);
    }
    return -code;
}

int pf_fail_errno(struct pf_error *err, int code, const char *format, ...)
{
    if (err && !err->code) {
        va_list args;
        va_start(args, format);
        describe(err, code, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char reason[128];
        snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                 strerror_r(code, reason, sizeof(reason)));
    }
    return -code;
}

void pf_error_clear(struct pf_error *err)
{
    if (err) {
        err->code = 0;
        err->text[0] = '\0';
    }
}
