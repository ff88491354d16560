#include "config/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int max_level = PF_LOG_INFO;
static char role_name[64] = "parfocal";

void pf_log_setup(const char *role, enum pf_log_level level)
{
    snprintf(role_name, sizeof(role_name), "%s", role);
    atomic_store(&max_level, level);
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

void pf_log(enum pf_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7};
    if ((int)level > atomic_load(&max_level))
        return;

    char text[2048], safe[4096], line[4352], when[48] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    escape(safe, sizeof(safe), text);

    int length;
    if (getenv("JOURNAL_STREAM")) {
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
    /* One write per line keeps lines of several processes apart; a lost log line is acceptable. */
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored;
}
