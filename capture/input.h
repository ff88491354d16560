/* What the service says to a capture process, on its standard input.
 *
 * Capture process, main thread.
 */
#ifndef PF_INPUT_H
#define PF_INPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "config/base/error.h"
#include "config/base/jsonl.h"

/* Input that is a terminal, /dev/null or closed: run by hand, nobody will say `start`.
 * *ret_has_input: there is something to read. */
bool pf_input_is_by_hand(bool *ret_has_input);

/* Reads what is there at `fd` and tells each command (borrowed). 1 go on, 0 end of input, negative errno. */
int pf_input_read(int fd, struct pf_jsonl_reader *reader,
                  void (*take)(void *context, const char *name, const json_t *command),
                  void *context, struct pf_error *err);

#endif
