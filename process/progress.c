#include "process/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config/base/time.h"
#include "process/burst.h"

#define ERASE_LINE "\r\033[K"

void pf_progress_begin(struct pf_progress *progress, int total, bool quiet)
{
    *progress = (struct pf_progress){.terminal = !quiet && isatty(STDERR_FILENO),
                                     .quiet = quiet,
                                     .total = total,
                                     .begin_ms = pf_now_ms()};
}

/* Names are bytes from outside: nothing of them may steer the terminal. */
static void print_line(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        fputc(*at < 32 || *at == 127 ? '?' : *at, stderr);
    fputc('\n', stderr);
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static void draw(const struct pf_progress *progress, const char *note)
{
    char bar[41], text[160];
    double seconds = (pf_now_ms() - progress->begin_ms) / 1e3;
    int room = columns() - 44;
    int width = room < 10 ? 10 : room > 40 ? 40 : room;
    int full = progress->total ? progress->done * width / progress->total : 0;

    memset(bar, '.', (size_t)width);
    memset(bar, '#', (size_t)full);
    bar[width] = '\0';
    int used =
        snprintf(text, sizeof(text), "[%s] %d/%d frames", bar, progress->done, progress->total);
    if (note)
        snprintf(text + used, sizeof(text) - (size_t)used, "  %s", note);
    else if (progress->done && seconds > 0)
        snprintf(text + used, sizeof(text) - (size_t)used, "  %.1f MP/s  %.0f s left",
                 progress->pixels / 1e6 / seconds,
                 seconds / progress->done * (progress->total - progress->done));
    fprintf(stderr, ERASE_LINE "%.*s", columns() - 1, text);
    fflush(stderr);
}

void pf_progress_frame(struct pf_progress *progress, int64_t pixels, const char *line)
{
    progress->done++;
    progress->pixels += (double)pixels;
    if (progress->terminal)
        draw(progress, NULL);
    else if (!progress->quiet)
        print_line(line);
}

void pf_progress_phase(struct pf_progress *progress, const char *what)
{
    if (progress->terminal)
        draw(progress, what);
}

void pf_progress_say(struct pf_progress *progress, const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (progress->terminal)
        fputs(ERASE_LINE, stderr);
    print_line(text);
}

void pf_progress_end(struct pf_progress *progress)
{
    if (progress->terminal)
        fputs(ERASE_LINE, stderr);
}
