/* The folder source: watches a folder and reports the whole frames in it.
 *
 * Runs a capture process in its one thread, as service/PROTOCOL.md says: commands on standard
 * input, reports on standard output. Events are hints; a scan together with the files known is the
 * truth. A frame is made durable before it is reported; nothing is ever changed in or removed from the
 * folder. Our own directories, results of ours and folders of other sources that lie in it are left alone.
 */
#ifndef PF_FOLDER_H
#define PF_FOLDER_H

#include "config/base/error.h"
#include "config/settings.h"

/* `directory` may be missing for now. Returns 0 when input ends or the reader is gone;
 * -EINVAL when the folder is the outbox or the state directory; -ENOMEM, errno of poll/read. */
int pf_folder_run(const struct pf_settings *settings, const char *directory, struct pf_error *err);

#endif
