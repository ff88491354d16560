/* The native protocol of systemd's journal: one datagram of fields for each entry.
 *
 * Callable from any process and thread. The socket is opened and connected once and written to with write(2)
 * from then on: libsystemd would open it at the first entry, which a child in its sandbox cannot.
 * Fields: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER (parfocal), PF_ROLE, and where they apply PF_BURST,
 * PF_FRAME, PF_SOURCE, PF_HOOK; values are bytes.
 * Source: systemd.io/JOURNAL_NATIVE_PROTOCOL, systemd.exec(5) ($JOURNAL_STREAM).
 */
#ifndef PF_LOG_JOURNAL_H
#define PF_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/log.h"

#define PF_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether this descriptor is the stream that the text of $JOURNAL_STREAM (NULL: unset) names. */
bool pf_log_is_journal(int fd, const char *stream);

/* A socket that entries are written to; -errno. */
int pf_log_journal_open(const char *path);

/* An entry as it is to be written, at most `size` bytes of it: how many; a message that is too long is
 * cut. Pure. */
size_t pf_log_journal_entry(char *to, size_t size, int priority, const char *role,
                            const struct pf_log_about *about, const char *message);

#endif
