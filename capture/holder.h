/* Who holds a USB device: for the message about a camera that another program has claimed.
 *
 * Capture and doctor process, any thread. Linux only: /proc/PID/fd; of other users' processes only root sees
 * what they hold.
 */
#ifndef PF_HOLDER_H
#define PF_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* "usb:001,004" -> "/dev/bus/usb/001/004". False: another kind of port. */
bool pf_holder_device(const char *port, char *ret, size_t size);

/* A process other than this one that has `path` open: "NAME (process PID): what ends it". Returns its number,
 * 0: there is none. ret_ours, may be NULL: it is of this program, as the capture process of a service is; one of
 * another program is found before it. What it is called, it says itself. */
pid_t pf_holder_find(const char *path, bool *ret_ours, char *ret, size_t size);

/* In a sandbox that confines files, nothing of other processes is seen. A process of its own looks instead,
 * started before: its descriptor, which is the caller's; it ends when that is closed. -errno. */
int pf_holder_start(void);
bool pf_holder_ask(int fd, const char *path, bool *ret_ours, char *ret, size_t size);

#endif
