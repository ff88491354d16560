/* Text made by a format, on the heap.
 *
 * Any process, any thread. asprintf(3) leaves its pointer undefined where there is no memory, which is
 * easily freed by mistake: this one has no such moment.
 */
#ifndef PF_TEXT_H
#define PF_TEXT_H

#include <stdarg.h>

/* The caller's; NULL on out of memory. */
char *pf_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *pf_text_va(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

#endif
