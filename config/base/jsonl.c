#include "config/base/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

static int write_all(int fd, const char *bytes, size_t size_bytes)
{
    while (size_bytes) {
        ssize_t n = write(fd, bytes, size_bytes);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        size_bytes -= (size_t)n;
    }
    return 0;
}

/* Whether jansson, in this thread, was refused memory: it does not always say so, but leaves keys out
 * and shortens strings. */
static _Thread_local bool refused;

static void *json_malloc(size_t size_bytes)
{
    void *bytes = malloc(size_bytes);
    refused |= !bytes;
    return bytes;
}

__attribute__((constructor)) static void watch_memory_of_jansson(void)
{
    json_set_alloc_funcs(json_malloc, free);
}

char *pf_json_text(const json_t *value, size_t flags)
{
    refused = false;
    char *text = value ? json_dumps(value, flags) : NULL;
    if (text && refused) {
        free(text);
        text = NULL;
    }
    return text;
}

int pf_json_parse(const char *text, size_t size_bytes, size_t flags, json_t **ret,
                  json_error_t *problem)
{
    json_error_t ours;
    refused = false;
    json_t *value = json_loadb(text, size_bytes, flags, problem ? problem : &ours);
    if (refused) {
        json_decref(value);
        return -ENOMEM;
    }
    if (!value)
        return -EBADMSG;
    *ret = value;
    return 0;
}

/* At most size_bytes; *ret_used: how many there were. */
static int read_bytes(int fd, const char *path, char *bytes, size_t size_bytes, size_t *ret_used,
                      struct pf_error *err)
{
    size_t used = 0;
    ssize_t n = 1;
    while (used < size_bytes && n) {
        n = read(fd, bytes + used, size_bytes - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* of a file system that is damaged: not of what is written there */
            return pf_fail_errno(err, errno == EBADMSG ? EIO : errno, "reading %s", path);
        used += (size_t)n;
    }
    *ret_used = used;
    return 0;
}

static int read_json(int fd, const char *path, size_t most_bytes, json_t **ret,
                     struct pf_error *err)
{
    json_error_t problem;
    struct stat st;
    size_t used = 0;
    if (fstat(fd, &st) < 0)
        return pf_fail_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return pf_fail(err, EBADMSG, "%s: it is no file", path);
    if ((uint64_t)st.st_size > most_bytes)
        return pf_fail(err, EFBIG, "%s: it is larger than %zu bytes", path, most_bytes);
    char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        return pf_fail(err, ENOMEM, "%s: out of memory", path);
    int r = read_bytes(fd, path, text, (size_t)st.st_size, &used, err);
    if (!r)
        r = pf_json_parse(text, used, 0, ret, &problem);
    if (r == -ENOMEM)
        pf_fail(err, ENOMEM, "%s: out of memory", path);
    else if (r == -EBADMSG)
        pf_fail(err, EBADMSG, "%s: %s", path, problem.text);
    free(text);
    return r;
}

int pf_json_read(const char *path, size_t most_bytes, json_t **ret, struct pf_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pf_fail_errno(err, errno, "opening %s", path);
    int r = read_json(fd, path, most_bytes, ret, err);
    close(fd);
    return r;
}

int pf_jsonl_send(int fd, json_t *object, struct pf_error *err)
{
    char *line = object ? pf_json_text(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!line)
        return pf_fail(err, ENOMEM, "out of memory for a protocol line");
    size_t length = strlen(line);
    line[length] = '\n'; /* replaces the NUL: one write for the whole line */
    pthread_mutex_lock(&write_lock);
    int r = write_all(fd, line, length + 1);
    pthread_mutex_unlock(&write_lock);
    free(line);
    return r < 0 ? pf_fail_errno(err, -r, "writing a protocol line") : 0;
}

struct pf_jsonl_reader {
    char *bytes;
    size_t start, used, capacity; /* unread bytes are [start, used) */
    size_t searched;              /* no newline in [start, searched) */
};

int pf_jsonl_reader_new(struct pf_jsonl_reader **ret)
{
    struct pf_jsonl_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return -ENOMEM;
    *ret = reader;
    return 0;
}

struct pf_jsonl_reader *pf_jsonl_reader_free(struct pf_jsonl_reader *reader)
{
    if (reader)
        free(reader->bytes);
    free(reader);
    return NULL;
}

int pf_jsonl_reader_feed(struct pf_jsonl_reader *reader, const void *bytes, size_t size_bytes,
                         struct pf_error *err)
{
    if (reader->start) {
        memmove(reader->bytes, reader->bytes + reader->start, reader->used - reader->start);
        reader->used -= reader->start;
        reader->searched -= reader->start;
        reader->start = 0;
    }
    if (reader->used + size_bytes > reader->capacity) {
        size_t capacity = reader->capacity ? reader->capacity : 4096;
        while (capacity < reader->used + size_bytes)
            capacity *= 2;
        char *grown = realloc(reader->bytes, capacity);
        if (!grown)
            return pf_fail(err, ENOMEM, "out of memory for a protocol line");
        reader->bytes = grown;
        reader->capacity = capacity;
    }
    if (size_bytes)
        memcpy(reader->bytes + reader->used, bytes, size_bytes);
    reader->used += size_bytes;
    if (reader->used > PF_JSONL_LINE_MAX && !memchr(reader->bytes, '\n', reader->used))
        return pf_fail(err, EMSGSIZE, "protocol line longer than %u bytes", PF_JSONL_LINE_MAX);
    return 0;
}

int pf_jsonl_reader_next(struct pf_jsonl_reader *reader, json_t **ret, struct pf_error *err)
{
    if (reader->searched >= reader->used)
        return 0;
    char *end = memchr(reader->bytes + reader->searched, '\n', reader->used - reader->searched);
    if (!end) {
        reader->searched = reader->used;
        return 0;
    }
    const char *line = reader->bytes + reader->start;
    size_t length = (size_t)(end - line);
    json_t *object = NULL;
    if (pf_json_parse(line, length, JSON_REJECT_DUPLICATES, &object, NULL) == -ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for a protocol line");
    reader->start = reader->searched = (size_t)(end - reader->bytes) + 1;
    if (!object || !json_is_object(object)) {
        json_decref(object);
        return pf_fail(err, EBADMSG, "not a JSON object: %.*s", (int)(length < 80 ? length : 80),
                       line);
    }
    *ret = object;
    return 1;
}

int pf_jsonl_read(struct pf_jsonl_reader *reader, int fd, json_t **ret, struct pf_error *err)
{
    for (;;) {
        int r = pf_jsonl_reader_next(reader, ret, err);
        if (r)
            return r;
        char chunk[65536];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pf_fail_errno(err, errno, "reading a protocol line");
        if (!n)
            return 0;
        r = pf_jsonl_reader_feed(reader, chunk, (size_t)n, err);
        if (r < 0)
            return r;
    }
}

/* Length of the valid UTF-8 sequence at `s` (Unicode 15, table 3-7), 0 when invalid. */
static size_t utf8_sequence(const unsigned char *s, uint32_t *ret_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80             ? 1
                    : (s[0] & 0xe0) == 0xc0 ? 2
                    : (s[0] & 0xf0) == 0xe0 ? 3
                    : (s[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (!length)
        return 0;
    uint32_t point = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    *ret_point = point;
    return length;
}

#define ESCAPE_BASE 0x10ff00u

json_t *pf_json_bytes(const char *bytes)
{
    size_t length = strlen(bytes);
    char *out = malloc(length * 4 + 1);
    if (!out)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        uint32_t point = 0;
        size_t n = utf8_sequence((const unsigned char *)bytes + i, &point);
        if (n && point < ESCAPE_BASE + 0x80) {
            memcpy(out + used, bytes + i, n);
            used += n;
            i += n;
        } else {
            point = ESCAPE_BASE + (unsigned char)bytes[i++];
            out[used++] = (char)(0xf0 | point >> 18);
            out[used++] = (char)(0x80 | (point >> 12 & 0x3f));
            out[used++] = (char)(0x80 | (point >> 6 & 0x3f));
            out[used++] = (char)(0x80 | (point & 0x3f));
        }
    }
    json_t *string = json_stringn(out, used);
    free(out);
    return string;
}

int pf_json_bytes_of(const json_t *object, const char *key, char **ret)
{
    const json_t *string = json_object_get(object, key);
    *ret = pf_json_bytes_value(string);
    return *ret ? 0 : json_is_string(string) ? -ENOMEM : -EINVAL;
}

char *pf_json_bytes_value(const json_t *string)
{
    const char *text = json_string_value(string);
    if (!text)
        return NULL;
    size_t length = json_string_length(string), used = 0;
    char *out = malloc(length + 1);
    if (!out)
        return NULL;
    for (size_t i = 0; i < length;) {
        uint32_t point = 0;
        size_t n = utf8_sequence((const unsigned char *)text + i, &point);
        if (n == 4 && point >= ESCAPE_BASE + 0x80) {
            out[used++] = (char)(point - ESCAPE_BASE);
        } else {
            n = n ? n : 1;
            memcpy(out + used, text + i, n);
            used += n;
        }
        i += n;
    }
    out[used] = '\0';
    return out;
}
