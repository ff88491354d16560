/* Log lines, one event each, with a level and the role of the process.
 *
 * Callable from any process and thread. They go
 *   to the journal of systemd, natively (config/base/log_journal.h has the fields), where standard error is
 *     the journal ($JOURNAL_STREAM names it);
 *   else as a line of text to standard error. Control characters in it are escaped, so that a file
 *     name cannot forge a line;
 *   or, with log_format = json, as a JSON object a line to standard error: `time` (RFC 3339, UTC), `level`,
 *     `role`, `message`, and what it is about. Bytes that are no UTF-8 are as in config/base/jsonl.h.
 */
#ifndef PF_LOG_H
#define PF_LOG_H

enum pf_log_level { PF_LOG_ERROR, PF_LOG_WARNING, PF_LOG_INFO, PF_LOG_DEBUG };
enum pf_log_format {
    PF_LOG_AUTO,
    PF_LOG_TEXT,
    PF_LOG_JSON
}; /* as the setting log_format has them */

/* What a line is about; NULL: of no such thing. Borrowed for the call. */
struct pf_log_about {
    const char *burst;  /* its name */
    const char *frame;  /* identity */
    const char *source; /* as configured */
    const char *hook;   /* the setting */
};

/* role: static string such as "service", "capture folder:inbox", copied. Before threads are begun, and
 * before a sandbox is entered, in which the journal's socket cannot be opened any more. */
void pf_log_setup(const char *role, enum pf_log_level level);
void pf_log_setup_format(enum pf_log_format format);

void pf_log(enum pf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pf_log_about(enum pf_log_level level, const struct pf_log_about *about, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

#define pf_log_error(...)   pf_log(PF_LOG_ERROR, __VA_ARGS__)
#define pf_log_warning(...) pf_log(PF_LOG_WARNING, __VA_ARGS__)
#define pf_log_info(...)    pf_log(PF_LOG_INFO, __VA_ARGS__)
#define pf_log_debug(...)   pf_log(PF_LOG_DEBUG, __VA_ARGS__)

#endif
