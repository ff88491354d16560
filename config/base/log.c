#include "config/base/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/log_journal.h"

#define TEXT_BYTES 2048

static _Atomic int max_level = PF_LOG_INFO;
static char role_name[64] = "parfocal";
static bool as_json, to_journal; /* standard error is the journal */
static int journal_fd = -1;      /* its socket, where it can be spoken to natively */

static const char *const names[] = {"error", "warning", "info", "debug"};
static const int priorities[] = {3, 4, 6, 7}; /* of syslog(3) */

void pf_log_setup(const char *role, enum pf_log_level level)
{
    snprintf(role_name, sizeof(role_name), "%s", role);
    atomic_store(&max_level, level);
    to_journal = pf_log_is_journal(STDERR_FILENO, getenv("JOURNAL_STREAM"));
    if (to_journal && journal_fd < 0)
        journal_fd = pf_log_journal_open(PF_JOURNAL_SOCKET);
}

void pf_log_setup_format(enum pf_log_format format)
{
    as_json = format == PF_LOG_JSON;
    if (format == PF_LOG_AUTO)
        return;
    to_journal = false;
    if (journal_fd >= 0)
        close(journal_fd);
    journal_fd = -1;
}

/* One write per line keeps lines of several processes apart; a lost log line is acceptable. */
static bool put(int fd, const char *bytes, size_t size)
{
    return write(fd, bytes, size) == (ssize_t)size;
}

static void escape(char *to, size_t to_size, const char *from)
{
    size_t used = 0;
    for (; *from && used + 5 < to_size; from++) {
        unsigned char byte = (unsigned char)*from;
        if (byte < 0x20 || byte == 0x7f)
            used += (size_t)snprintf(to + used, to_size - used, "\\x%02x", byte);
        else
            to[used++] = *from;
    }
    to[used] = '\0';
}

static void put_text(enum pf_log_level level, const char *text)
{
    char safe[2 * TEXT_BYTES], line[2 * TEXT_BYTES + 256], when[48] = "";
    int length;
    escape(safe, sizeof(safe), text);
    if (to_journal) { /* it reads lines, with the level in front */
        length = snprintf(line, sizeof(line), "<%d>%s: %s\n", priorities[level], role_name, safe);
    } else {
        struct timespec now;
        struct tm local;
        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &local);
        size_t used = strftime(when, sizeof(when), "%H:%M:%S", &local);
        snprintf(when + used, sizeof(when) - used, ".%03ld", now.tv_nsec / 1000000);
        length =
            snprintf(line, sizeof(line), "%s %-7s %s: %s\n", when, names[level], role_name, safe);
    }
    put(STDERR_FILENO, line, (size_t)length);
}

static void set(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, pf_json_bytes(value));
}

/* False without memory for it. */
static bool put_json(enum pf_log_level level, const struct pf_log_about *about, const char *text)
{
    struct timespec now;
    struct tm utc;
    char when[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(when + used, sizeof(when) - used, ".%03ldZ", now.tv_nsec / 1000000);
    json_t *object = json_pack("{s:s, s:s}", "time", when, "level", names[level]);
    set(object, "role", role_name);
    set(object, "message", text);
    if (about) {
        set(object, "burst", about->burst);
        set(object, "frame", about->frame);
        set(object, "source", about->source);
        set(object, "hook", about->hook);
    }
    char *line = object ? pf_json_text(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!line)
        return false;
    size_t length = strlen(line);
    line[length] = '\n'; /* replaces the NUL */
    put(STDERR_FILENO, line, length + 1);
    free(line);
    return true;
}

static bool put_journal(enum pf_log_level level, const struct pf_log_about *about, const char *text)
{
    char entry[TEXT_BYTES + 2048];
    size_t size =
        pf_log_journal_entry(entry, sizeof(entry), priorities[level], role_name, about, text);
    return put(journal_fd, entry, size);
}

__attribute__((format(printf, 3, 0))) static void
vlog(enum pf_log_level level, const struct pf_log_about *about, const char *format, va_list args)
{
    char text[TEXT_BYTES];
    if ((int)level > atomic_load(&max_level))
        return;
    vsnprintf(text, sizeof(text), format, args);
    if (journal_fd >= 0 && put_journal(level, about, text))
        return;
    if (!as_json || !put_json(level, about, text))
        put_text(level, text);
}

void pf_log(enum pf_log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vlog(level, NULL, format, args);
    va_end(args);
}

void pf_log_about(enum pf_log_level level, const struct pf_log_about *about, const char *format,
                  ...)
{
    va_list args;
    va_start(args, format);
    vlog(level, about, format, args);
    va_end(args);
}
