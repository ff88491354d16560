/* The signature of what a webhook posts, after Standard Webhooks (standardwebhooks.com), for which
 * receivers have libraries in many languages.
 *
 * Pure; callable from any process and thread. Signed is "ID.TIMESTAMP.BODY" by HMAC-SHA256; the
 * header webhook-signature has "v1," and its base64.
 */
#ifndef PF_SIGNATURE_H
#define PF_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

#define PF_SIGNATURE_CHARS 47 /* "v1," and 44 of base64 */

struct pf_secret {
    unsigned char bytes[256];
    size_t size_bytes; /* 0: nothing is signed */
};

/* Text "whsec_BASE64" is the bytes that it stands for, any other text itself; white space around it is
 * left out. -EINVAL: shorter than 16 bytes, longer than fit, or no base64. */
int pf_secret_of_text(const char *text, struct pf_secret *ret, struct pf_error *err);
/* The same from a file, of 1 KiB at most. errno of reading; -EINVAL, also where others than its owner and group
 * may read it. */
int pf_secret_of_file(const char *path, struct pf_secret *ret, struct pf_error *err);

/* The text of such a file, without white space behind it: for passwords. */
#define PF_SECRET_FILE_BYTES 1024
int pf_secret_text_of_file(const char *path, char ret[PF_SECRET_FILE_BYTES + 1],
                           struct pf_error *err);

/* -EIO: libcrypto has failed. */
int pf_sign(const struct pf_secret *secret, const char *id, int64_t timestamp_s, const char *body,
            char ret[PF_SIGNATURE_CHARS + 1], struct pf_error *err);

#endif
