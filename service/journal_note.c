#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "config/base/version.h"
#include "service/journal_db.h"

#define NOTE_BYTES  256
#define CHECK_DAYS  30 /* a disk may spoil what nobody writes */
#define MS_OF_A_DAY INT64_C(86400000)

static char *note_of(const char *path)
{
    return pf_text("%s.closed", path);
}

/* What must be the same for the file to be the one that was closed. */
static void describe(const struct stat *st, char text[NOTE_BYTES])
{
    snprintf(text, NOTE_BYTES, "%lld %lld.%09ld %lld.%09ld %llu %s\n", (long long)st->st_size,
             (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
             st->st_ctim.tv_nsec, (unsigned long long)st->st_ino, pf_version());
}

static bool has_log(const char *path)
{
    char *log = pf_text("%s-wal", path);
    struct stat st;
    if (!log)
        return true;
    bool there = lstat(log, &st) == 0 || errno != ENOENT;
    free(log);
    return there;
}

/* "" where there is none. */
static void read_note(const char *note, char text[NOTE_BYTES])
{
    int fd = open(note, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? 0 : read(fd, text, NOTE_BYTES - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

int64_t pf_journal_take_note(const char *path)
{
    char text[NOTE_BYTES], now[NOTE_BYTES];
    char *note = note_of(path), *rest = text;
    struct stat st;
    if (!note)
        return 0;
    read_note(note, text);
    bool gone = unlink(note) == 0 && pf_sync_parent(note, NULL) == 0;
    free(note);
    int64_t checked_ms = strtoll(text, &rest, 10), age_ms = pf_wall_ms() - checked_ms;
    if (!gone || *rest != ' ' || has_log(path) || stat(path, &st) < 0)
        return 0;
    describe(&st, now);
    bool is_same = !strcmp(rest + 1, now);
    return is_same && age_ms >= 0 && age_ms < CHECK_DAYS * MS_OF_A_DAY ? checked_ms : 0;
}

void pf_journal_leave_note(const char *path, int64_t checked_wall_ms)
{
    /* The kernel's own time of a change is coarse: of two in a row both may have the same. */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    char text[NOTE_BYTES], all[NOTE_BYTES + 24];
    struct stat st;
    char *note = note_of(path);
    clock_gettime(CLOCK_REALTIME, &times[1]);
    if (note && !has_log(path) && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0 &&
        stat(path, &st) == 0) {
        describe(&st, text);
        int length = snprintf(all, sizeof(all), "%lld %s", (long long)checked_wall_ms, text);
        pf_write_file_durable(note, all, (size_t)length, NULL); /* without it all is checked */
    }
    free(note);
}
