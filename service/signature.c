#include "service/signature.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/text.h"

#define SECRET_MIN  16
#define ENCODED     "whsec_"
#define SHA256_SIZE 32

/* EVP_DecodeBlock counts the padding as zero bytes. */
static int decode(const char *text, size_t length, struct pf_secret *ret)
{
    unsigned char bytes[PF_SECRET_FILE_BYTES];
    size_t padding = 0;
    if (!length || length % 4 || length > sizeof(bytes))
        return -EINVAL;
    while (padding < 2 && text[length - 1 - padding] == '=')
        padding++;
    int size = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
    if (size < (int)padding || (size_t)size - padding > sizeof(ret->bytes))
        return -EINVAL;
    ret->size_bytes = (size_t)size - padding;
    memcpy(ret->bytes, bytes, ret->size_bytes);
    return 0;
}

int pf_secret_of_text(const char *text, struct pf_secret *ret, struct pf_error *err)
{
    struct pf_secret secret = {0};
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text), prefix = strlen(ENCODED);
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    if (length > prefix && !strncmp(text, ENCODED, prefix)) {
        if (decode(text + prefix, length - prefix, &secret) < 0)
            return pf_fail(err, EINVAL, "what follows " ENCODED " is no base64 of 16 to %zu bytes",
                           sizeof(secret.bytes));
    } else if (length <= sizeof(secret.bytes)) {
        memcpy(secret.bytes, text, length);
        secret.size_bytes = length;
    } else {
        return pf_fail(err, EINVAL, "the secret is longer than %zu bytes", sizeof(secret.bytes));
    }
    if (secret.size_bytes < SECRET_MIN)
        return pf_fail(err, EINVAL, "the secret is shorter than %d bytes", SECRET_MIN);
    *ret = secret;
    return 0;
}

int pf_secret_text_of_file(const char *path, char ret[PF_SECRET_FILE_BYTES + 1],
                           struct pf_error *err)
{
    char text[PF_SECRET_FILE_BYTES + 1];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pf_fail_errno(err, errno, "secret %s", path);
    ssize_t size = fstat(fd, &st) < 0 ? -1 : read(fd, text, sizeof(text));
    int code = errno;
    close(fd);
    if (size < 0)
        return pf_fail_errno(err, code, "secret %s", path);
    if (st.st_mode & (S_IROTH | S_IWOTH))
        return pf_fail(err, EINVAL, "secret %s can be read by everybody: chmod o= it", path);
    if (size > PF_SECRET_FILE_BYTES)
        return pf_fail(err, EINVAL, "secret %s: the file is longer than %d bytes", path,
                       PF_SECRET_FILE_BYTES);
    while (size && isspace((unsigned char)text[size - 1]))
        size--;
    text[size] = '\0';
    memcpy(ret, text, (size_t)size + 1);
    return 0;
}

int pf_secret_of_file(const char *path, struct pf_secret *ret, struct pf_error *err)
{
    char text[PF_SECRET_FILE_BYTES + 1];
    struct pf_error problem = {0};
    int r = pf_secret_text_of_file(path, text, err);
    if (r < 0)
        return r;
    r = pf_secret_of_text(text, ret, &problem);
    return r < 0 ? pf_fail(err, problem.code, "secret %s: %s", path, problem.text) : 0;
}

int pf_sign(const struct pf_secret *secret, const char *id, int64_t timestamp_s, const char *body,
            char ret[PF_SIGNATURE_CHARS + 1], struct pf_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    char *message = pf_text("%s.%lld.%s", id, (long long)timestamp_s, body);
    if (!message)
        return pf_fail(err, ENOMEM, "out of memory for a signature");
    const unsigned char *made =
        HMAC(EVP_sha256(), secret->bytes, (int)secret->size_bytes, (const unsigned char *)message,
             strlen(message), digest, &size);
    free(message);
    if (!made || size != SHA256_SIZE)
        return pf_fail(err, EIO, "libcrypto cannot make the signature");
    memcpy(ret, "v1,", 3);
    EVP_EncodeBlock((unsigned char *)ret + 3, digest, SHA256_SIZE);
    return 0;
}
