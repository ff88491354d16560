#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"

int fuzz_file(const uint8_t *data, size_t size, const char **ret_path)
{
    static char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, data + done, size - done);
        FUZZ_CHECK(n > 0);
        done += (size_t)n;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *ret_path = path;
    return fd;
}

static char directory[4096];
static pid_t made_by;

static void remove_directory(void)
{
    if (getpid() == made_by)
        pf_remove_tree(directory, NULL);
}

const char *fuzz_directory(void)
{
    if (directory[0])
        return directory;
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/parfocal-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm"
             : base && base[0] == '/'      ? base
                                           : "/tmp");
    FUZZ_CHECK(mkdtemp(directory));
    made_by = getpid();
    atexit(remove_directory);
    return directory;
}

void fuzz_quiet(void)
{
    pf_log_setup("fuzz", (enum pf_log_level) - 1);
}

void fuzz_lines(const uint8_t *data, size_t size, void (*take)(json_t *object, void *context),
                void *context)
{
    struct pf_jsonl_reader *reader = NULL;
    struct pf_error err = {0};
    FUZZ_CHECK(pf_jsonl_reader_new(&reader) == 0);
    /* In two pieces: a line may arrive cut anywhere. */
    size_t pieces[2] = {size / 2, size - size / 2};
    for (size_t i = 0, at = 0; i < 2; at += pieces[i++]) {
        if (pf_jsonl_reader_feed(reader, data + at, pieces[i], &err) < 0)
            break;
        json_t *object = NULL;
        int r;
        while ((r = pf_jsonl_reader_next(reader, &object, &err))) {
            FUZZ_CHECK(r == 1 || (r < 0 && err.text[0]));
            if (r < 0)
                continue;
            FUZZ_CHECK(json_is_object(object));
            take(object, context);
            json_decref(object);
        }
    }
    pf_jsonl_reader_free(reader);
}
