/* Log lines on standard error, one line each, with a level and the role of the process.
 *
 * Callable from any process and thread. Under systemd (JOURNAL_STREAM set) a line begins with the
 * sd-daemon priority prefix instead of a time. Control characters in a text are escaped, so that
 * a file name cannot forge a line.
 */
#ifndef PF_LOG_H
#define PF_LOG_H

enum pf_log_level { PF_LOG_ERROR, PF_LOG_WARNING, PF_LOG_INFO, PF_LOG_DEBUG };

/* role: static string such as "service", "capture folder:inbox", copied. */
void pf_log_setup(const char *role, enum pf_log_level level);

void pf_log(enum pf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define pf_log_error(...)   pf_log(PF_LOG_ERROR, __VA_ARGS__)
#define pf_log_warning(...) pf_log(PF_LOG_WARNING, __VA_ARGS__)
#define pf_log_info(...)    pf_log(PF_LOG_INFO, __VA_ARGS__)
#define pf_log_debug(...)   pf_log(PF_LOG_DEBUG, __VA_ARGS__)

#endif
