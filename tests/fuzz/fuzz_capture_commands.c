/* What the service says to a capture process of a folder. */
#include "capture/folder.c" /* its handler of commands */
#include "tests/fuzz/fuzz.h"

static void take(json_t *object, void *context)
{
    const char *name = json_string_value(json_object_get(object, "cmd"));
    take_command(context, name ? name : "", object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    fuzz_quiet();
    FUZZ_CHECK(pf_settings_init(&settings, &err) == 0);
    struct pf_folder folder = {.settings = &settings,
                               .root = (char *)fuzz_directory(),
                               .source = "folder:fuzz",
                               .next_scan_ms = PF_FOLDER_NEVER_MS,
                               .next_root_ms = PF_FOLDER_NEVER_MS,
                               .next_poll_ms = PF_FOLDER_NEVER_MS};
    FUZZ_CHECK(pf_files_new(&folder.files) == 0);
    fuzz_lines(data, size, take, &folder);
    int wait_ms = next_timeout_ms(&folder);
    FUZZ_CHECK(wait_ms >= -1 && !folder.failure);
    pf_files_free(folder.files);
    pf_settings_free(&settings);
    return 0;
}
