/* many DIRECTORY COUNT SECONDS TEMPLATE.jpg: COUNT frames of one picture, shot SECONDS apart from
 * 2010 on, a thousand to a folder. Each has a comment of its own, so that it is a frame of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COMMENT 12 /* bytes of the segment: marker, length, eight digits */

static uint8_t picture[1 << 20];
static size_t size;

static int stop(const char *what)
{
    perror(what);
    return 1;
}

/* The template with room for the comment behind its first segment. */
static int load(const char *path)
{
    uint8_t head[6];
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, head, sizeof(head)) != (ssize_t)sizeof(head))
        return -1;
    size_t first = 4 + ((size_t)head[4] << 8 | head[5]);
    ssize_t before = pread(fd, picture, first, 0);
    ssize_t after =
        pread(fd, picture + first + COMMENT, sizeof(picture) - first - COMMENT, (off_t)first);
    close(fd);
    if (before != (ssize_t)first || after <= 0)
        return -1;
    size = first + COMMENT + (size_t)after;
    memcpy(picture + first, "\xff\xfe\0\x0a", 4);
    return (int)first + 4;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: many DIRECTORY COUNT SECONDS TEMPLATE.jpg\n");
        return 2;
    }
    int count = atoi(argv[2]), comment = load(argv[4]);
    double seconds = atof(argv[3]);
    if (comment < 0)
        return stop(argv[4]);
    for (int i = 0; i < count; i++) {
        char path[4096], text[32];
        time_t when = 1262304000 + (time_t)(i * seconds);
        struct tm tm;
        snprintf(path, sizeof(path), "%s/%03d", argv[1], i / 1000);
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
            return stop(path);
        strftime(text, sizeof(text), "%Y:%m:%d %H:%M:%S", gmtime_r(&when, &tm));
        /* Each time of the EXIF block: "20YY:MM:DD HH:MM:SS". */
        for (size_t at = 0; at + 19 < size; at++)
            if (!memcmp(picture + at, "20", 2) && picture[at + 4] == ':' &&
                picture[at + 7] == ':' && picture[at + 13] == ':')
                memcpy(picture + at, text, 19);
        snprintf(text, sizeof(text), "%08d", i);
        memcpy(picture + comment, text, 8);
        snprintf(path, sizeof(path), "%s/%03d/IMG_%05d.jpg", argv[1], i / 1000, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd < 0 || write(fd, picture, size) != (ssize_t)size || close(fd) < 0)
            return stop(path);
    }
    return 0;
}
