#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "capture/capture.h"
#include "capture/folder.h"
#include "config/base/exit.h"
#include "config/base/log.h"
#include "config/settings.h"

/* The folder of the one operand "folder:DIR"; NULL when the command line is something else. */
static const char *folder_operand(int argc, char **argv, struct pf_error *err)
{
    const char *operand = NULL;
    bool options_ended = false;
    for (int i = 1; i < argc; i++) {
        if (!options_ended && !strcmp(argv[i], "--")) {
            options_ended = true;
            continue;
        }
        if (!options_ended && argv[i][0] == '-' && argv[i][1]) {
            pf_settings_unknown_option(argv[i], err);
            return NULL;
        }
        if (operand) {
            pf_fail(err, EINVAL, "one source is watched by one process, not also %.200s", argv[i]);
            return NULL;
        }
        operand = argv[i];
    }
    const char *folder = operand ? pf_settings_folder(operand) : NULL;
    if (!folder)
        pf_fail(err, EINVAL, "the source to watch is written folder:DIR%s%.200s",
                operand ? ", not " : "", operand ? operand : "");
    return folder;
}

int pf_capture_main(int argc, char **argv)
{
    struct pf_error err = {0};
    struct pf_settings settings;
    int status = PF_EXIT_FAILURE;
    if (pf_settings_init(&settings, &err) == 0) {
        const char *folder = NULL;
        status = PF_EXIT_USAGE;
        if (pf_settings_take_options(&settings, &argc, argv, &err) == 0 &&
            (folder = folder_operand(argc, argv, &err))) {
            char role[64];
            snprintf(role, sizeof(role), "capture folder:%s", folder);
            for (char *at = role; *at; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f)
                    *at = '?'; /* a name must not forge a log line */
            pf_log_setup(role, (enum pf_log_level)settings.log_level);
            status = pf_folder_run(&settings, folder, &err) == 0 ? PF_EXIT_OK : PF_EXIT_FAILURE;
        }
        pf_settings_free(&settings);
    }
    if (status == PF_EXIT_FAILURE)
        pf_log_error("%s", err.text);
    else if (status == PF_EXIT_USAGE)
        fprintf(stderr, "parfocal capture: %s\n", err.text);
    return status;
}
