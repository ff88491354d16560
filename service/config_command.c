#include "service/config_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/base/exit.h"
#include "config/settings.h"
#include "service/installed.h"
#include "service/serve.h"

/* file: what was read; NULL: options alone. */
static int check_or_show(const struct pf_settings *settings, const char *file, int argc,
                         char **argv, struct pf_error *err)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-') {
            pf_settings_unknown_option(argv[i], err);
            return PF_EXIT_USAGE;
        }
    bool check = argc == 2 && strcmp(argv[1], "check") == 0;
    bool show = argc == 2 && strcmp(argv[1], "show") == 0;
    if (!check && !show) {
        pf_fail(err, EINVAL, "say `parfocal config check` or `parfocal config show`%s%.100s",
                argc > 1 ? ", not: " : "", argc > 1 ? argv[argc > 2 ? 2 : 1] : "");
        return PF_EXIT_USAGE;
    }
    if (check) {
        if (pf_serve_check(settings, err) < 0)
            return err->code == ENOMEM ? PF_EXIT_FAILURE : PF_EXIT_USAGE;
        printf("%s%sthe configuration is well\n", file ? file : "", file ? ": " : "");
        return PF_EXIT_OK;
    }
    int r = pf_settings_print(settings, stdout);
    if (r < 0) {
        pf_fail_errno(err, -r, "writing the configuration");
        return PF_EXIT_FAILURE;
    }
    return PF_EXIT_OK;
}

int pf_config_main(int argc, char **argv)
{
    struct pf_error err = {0};
    struct pf_settings settings;
    const char *file = NULL;
    int status = PF_EXIT_FAILURE;
    if (pf_settings_init(&settings, &err) == 0) {
        status = PF_EXIT_USAGE;
        if (pf_installed_take_options(&settings, &argc, argv, &file, &err) == 0)
            status = check_or_show(&settings, file, argc, argv, &err);
        pf_settings_free(&settings);
    }
    if (status != PF_EXIT_OK)
        fprintf(stderr, "parfocal config: %s\n", err.text);
    return status;
}
