/* Error object: what went wrong, and with which thing.
 *
 * Callable from any process and thread; an object belongs to its caller (usually on the stack).
 * Functions return 0 or a negative errno and, when they fail, describe the failure once here;
 * callers above only pass it on, and the owner of the operation logs it once. Passing NULL is
 * allowed everywhere: the text is then dropped.
 */
#ifndef PF_ERROR_H
#define PF_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

struct pf_error {
    int code;       /* positive errno, 0 when unset */
    char text[768]; /* one line, names the thing and the cause; UTF-8 or raw bytes of a path */
};

/* Describes a failure; the first description wins. Returns -code. */
int pf_fail(struct pf_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As pf_fail with strerror(code) appended after ": ". Returns -code. */
int pf_fail_errno(struct pf_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void pf_error_clear(struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
