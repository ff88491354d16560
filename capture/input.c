#include "capture/input.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "config/base/log.h"

bool pf_input_is_by_hand(bool *ret_has_input)
{
    struct stat st;
    *ret_has_input = false;
    if (fstat(STDIN_FILENO, &st) < 0)
        return true;
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        return true;
    *ret_has_input = true;
    return isatty(STDIN_FILENO);
}

int pf_input_read(int fd, struct pf_jsonl_reader *reader,
                  void (*take)(void *context, const char *name, const json_t *command),
                  void *context, struct pf_error *err)
{
    char bytes[65536];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1
               : errno == ECONNRESET             ? 0
                                                 : pf_fail_errno(err, errno, "reading commands");
    if (!n)
        return 0;
    int r = pf_jsonl_reader_feed(reader, bytes, (size_t)n, err);
    while (!r) {
        struct pf_error bad = {0};
        json_t *command;
        int next = pf_jsonl_reader_next(reader, &command, &bad);
        if (next == 0)
            return 1;
        if (next == -ENOMEM)
            return pf_fail(err, ENOMEM, "%s", bad.text);
        if (next < 0) {
            pf_log_warning("%s", bad.text);
            continue;
        }
        const char *name = json_string_value(json_object_get(command, "cmd"));
        take(context, name ? name : "", command);
        json_decref(command);
    }
    return r;
}
