/* A configuration file of any content; what is taken is written and read again the same. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "tests/fuzz/fuzz.h"

static char *print(const struct pf_settings *settings, size_t *ret_size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_size);
    FUZZ_CHECK(to);
    FUZZ_CHECK(pf_settings_print(settings, to) == 0);
    FUZZ_CHECK(fclose(to) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_settings settings, again;
    struct pf_error err = {0};
    const char *path;
    fuzz_quiet();
    FUZZ_CHECK(pf_settings_init(&settings, &err) == 0);
    FUZZ_CHECK(pf_settings_init(&again, &err) == 0);
    int fd = fuzz_file(data, size, &path);
    int r = pf_settings_read(&settings, path, &err);
    close(fd);
    if (r == 0) {
        size_t bytes, bytes_again;
        char *text = print(&settings, &bytes);
        fd = fuzz_file((const uint8_t *)text, bytes, &path);
        FUZZ_CHECK(pf_settings_read(&again, path, &err) == 0);
        close(fd);
        char *text_again = print(&again, &bytes_again);
        FUZZ_CHECK(bytes == bytes_again && !memcmp(text, text_again, bytes));
        free(text);
        free(text_again);
    } else {
        FUZZ_CHECK(err.code == -r && err.text[0]);
    }
    pf_settings_free(&settings);
    pf_settings_free(&again);
    return 0;
}
