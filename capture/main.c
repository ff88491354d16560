#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "capture/camera.h"
#include "capture/capture.h"
#include "capture/folder.h"
#include "capture/scout.h"
#include "config/base/exit.h"
#include "config/base/log.h"
#include "config/base/sandbox.h"
#include "config/settings.h"

/* The one operand, a source; NULL when the command line is something else. */
static const char *source_operand(int argc, char **argv, struct pf_error *err)
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
    if (operand && (pf_settings_folder(operand) || pf_settings_camera(operand) ||
                    !strcmp(operand, PF_SCOUT_SOURCE)))
        return operand;
    pf_fail(err, EINVAL,
            "the source to watch is written folder:DIR, camera[:PORT] or cameras%s%.200s",
            operand ? ", not " : "", operand ? operand : "");
    return NULL;
}

/* What talks to cameras confines itself, when it has made its directories and USB is there. */
static int confine_folder(struct pf_error *err)
{
    static const char *const nowhere[] = {NULL};
    struct pf_sandbox sandbox = {.role = PF_SANDBOX_FOLDER, .writable = nowhere};
    int r = pf_sandbox_files(&sandbox, err);
    return r < 0 ? r : pf_sandbox_calls(&sandbox, err);
}

int pf_capture_main(int argc, char **argv)
{
    struct pf_error err = {0};
    struct pf_settings settings;
    int status = PF_EXIT_FAILURE;
    if (pf_settings_init(&settings, &err) == 0) {
        const char *source = NULL;
        status = PF_EXIT_USAGE;
        if (pf_settings_take_options(&settings, &argc, argv, &err) == 0 &&
            (source = source_operand(argc, argv, &err))) {
            char role[64];
            snprintf(role, sizeof(role), "capture %s", source);
            for (char *at = role; *at; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f)
                    *at = '?'; /* a name must not forge a log line */
            pf_log_setup(role, (enum pf_log_level)settings.log_level);
            pf_log_setup_format((enum pf_log_format)settings.log_format);
            const char *folder = pf_settings_folder(source);
            int r = settings.sandbox && folder ? confine_folder(&err) : 0;
            if (r == 0)
                r = folder                             ? pf_folder_run(&settings, folder, &err)
                    : !strcmp(source, PF_SCOUT_SOURCE) ? pf_scout_run(&settings, &err)
                                                       : pf_camera_run(&settings, source, &err);
            status = r == 0 ? PF_EXIT_OK : PF_EXIT_FAILURE;
        }
        pf_settings_free(&settings);
    }
    if (status == PF_EXIT_FAILURE)
        pf_log_error("%s", err.text);
    else if (status == PF_EXIT_USAGE)
        fprintf(stderr, "parfocal capture: %s\n", err.text);
    return status;
}
