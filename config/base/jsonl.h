/* JSON Lines over a file descriptor, and bytes (paths) in JSON strings.
 *
 * The one protocol between the roles: UTF-8 JSON objects, one a line (jsonlines.org). Callable
 * from any process; a reader or a descriptor belongs to one thread at a time, pf_jsonl_send
 * excepted (one write(2) per line under a process-wide lock).
 *
 * Paths are bytes, JSON strings are Unicode: pf_json_bytes() keeps valid UTF-8 as it is and turns
 * every byte that is not part of a valid sequence into the code point U+10FF00 + byte (last rows
 * of the private plane 16); a genuine code point of U+10FF80..U+10FFFF in the input is escaped
 * byte by byte, so the mapping is one to one and pf_json_bytes_value() gives back the exact bytes.
 */
#ifndef PF_JSONL_H
#define PF_JSONL_H

#include <jansson.h>
#include <stddef.h>

#include "config/base/error.h"

/* Bytes; a longer line is a protocol error. The longest that we write is `finish`: about 4 kB a frame
 * of the burst, and 1 kB of more than PF_SIDECAR_GRIDS_MAX. */
#define PF_JSONL_LINE_MAX (32u << 20)

/* Writes one object as a line; blocks until all is written. `object` is consumed, also on failure.
 * Errors: -EPIPE (reader gone; SIGPIPE must be ignored), -ENOMEM (also for NULL), other errno of
 * write(2). */
int pf_jsonl_send(int fd, json_t *object, struct pf_error *err);

struct pf_jsonl_reader; /* splits a byte stream into objects */
int pf_jsonl_reader_new(struct pf_jsonl_reader **ret);
struct pf_jsonl_reader *pf_jsonl_reader_free(struct pf_jsonl_reader *reader); /* returns NULL */

/* Copies bytes in. -EMSGSIZE when a line exceeds PF_JSONL_LINE_MAX, -ENOMEM. */
int pf_jsonl_reader_feed(struct pf_jsonl_reader *reader, const void *bytes, size_t size_bytes,
                         struct pf_error *err);
/* Next whole object: 1 and *ret (owned by the caller), 0 when more bytes are needed, -EBADMSG for
 * a line that is no JSON object (the line is consumed; reading may go on), -ENOMEM (it is not, and may
 * be asked for again). */
int pf_jsonl_reader_next(struct pf_jsonl_reader *reader, json_t **ret, struct pf_error *err);
/* Blocking convenience: reads fd until one object, 0 at end of file, <0 on error. */
int pf_jsonl_read(struct pf_jsonl_reader *reader, int fd, json_t **ret, struct pf_error *err);

/* As json_dumps(3), the caller's, but whole or NULL: jansson leaves out a key for which it finds no
 * memory, and goes on. */
char *pf_json_text(const json_t *value, size_t flags);

/* As json_loadb(3); `problem` may be NULL. -EBADMSG, and -ENOMEM, which jansson does not tell from
 * text that is no JSON, nor from success with a string cut short. */
int pf_json_parse(const char *text, size_t size_bytes, size_t flags, json_t **ret,
                  json_error_t *problem);

/* What a file holds. -EBADMSG: it is no JSON, or no plain file; -EFBIG: larger than most_bytes; -ENOMEM; other errno of
 * open(2) and read(2). Nothing that is read as a file blocks as a pipe would. */
int pf_json_read(const char *path, size_t most_bytes, json_t **ret, struct pf_error *err);

/* New JSON string (owned by the caller, NULL on out of memory) from a NUL-terminated byte string. */
json_t *pf_json_bytes(const char *bytes);
/* New heap byte string from such a JSON string; NULL if not a string or out of memory. */
char *pf_json_bytes_value(const json_t *string);
/* The same of a member of an object. -EINVAL: it is no string; -ENOMEM. */
int pf_json_bytes_of(const json_t *object, const char *key, char **ret);

#endif
