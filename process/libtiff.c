#include "process/libtiff.h"

#include <errno.h>
#include <pthread.h>

static const struct pf_libtiff_calls *calls_of(thandle_t handle)
{
    return *(const struct pf_libtiff_calls *const *)handle;
}

#if TIFFLIB_VERSION >= 20221213 /* 4.5.0 */

static int on_error(TIFF *tiff, void *handle, const char *module, const char *format, va_list args)
{
    (void)tiff;
    (void)module;
    calls_of(handle)->error(handle, format, args);
    return 1;
}

static int on_warning(TIFF *tiff, void *handle, const char *module, const char *format,
                      va_list args)
{
    (void)tiff;
    calls_of(handle)->warning(handle, module, format, args);
    return 1;
}

int pf_libtiff_open(TIFF **ret, const char *path, const char *mode, thandle_t handle,
                    int64_t largest)
{
    const struct pf_libtiff_calls *calls = calls_of(handle);
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return -ENOMEM;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)largest);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, handle);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, handle);
    *ret = TIFFClientOpenExt(path, mode, handle, calls->read, calls->write, calls->seek,
                             calls->close, calls->size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return 0;
}

bool pf_libtiff_is_wide(const TIFFField *field)
{
    return TIFFFieldSetGetSize(field) == 8;
}

#else

/* Of the files that this thread has open the one that is ours. */
static _Thread_local thandle_t current;

static void on_error(thandle_t handle, const char *module, const char *format, va_list args)
{
    (void)module;
    if (handle && handle == current)
        calls_of(handle)->error(handle, format, args);
}

static void on_warning(thandle_t handle, const char *module, const char *format, va_list args)
{
    if (handle && handle == current)
        calls_of(handle)->warning(handle, module, format, args);
}

static void set_handlers(void)
{
    TIFFSetErrorHandler(NULL); /* to standard error */
    TIFFSetWarningHandler(NULL);
    TIFFSetErrorHandlerExt(on_error);
    TIFFSetWarningHandlerExt(on_warning);
}

int pf_libtiff_open(TIFF **ret, const char *path, const char *mode, thandle_t handle,
                    int64_t largest)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct pf_libtiff_calls *calls = calls_of(handle);
    (void)largest;
    pthread_once(&once, set_handlers);
    current = handle;
    *ret = TIFFClientOpen(path, mode, handle, calls->read, calls->write, calls->seek, calls->close,
                          calls->size, NULL, NULL);
    return 0;
}

/* Those of GPS are; they have the first numbers. */
bool pf_libtiff_is_wide(const TIFFField *field)
{
    return TIFFFieldTag(field) < 0x100;
}

#endif
