#include "service/installed.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/settings_table.h"

bool pf_installed_is_there(void)
{
    return access(PF_INSTALLED_FILE, F_OK) == 0 || errno == EACCES;
}

int pf_installed_take_options(struct pf_settings *settings, int *argc, char **argv,
                              const char **ret_file, struct pf_error *err)
{
    const char *file = pf_setting_file_named(*argc, argv);
    int r = 0;
    if (!file && pf_installed_is_there()) {
        file = PF_INSTALLED_FILE;
        r = pf_settings_read(settings, file, err);
    }
    *ret_file = file;
    return r < 0 ? r : pf_settings_take_options(settings, argc, argv, err);
}

static bool is_option(const char *argument, const char *option)
{
    size_t length = strlen(option);
    return !strncmp(argument, option, length) && (!argument[length] || argument[length] == '=');
}

bool pf_installed_is_meant(int argc, char **argv)
{
    const char *state = pf_setting_find("state", 5)->initial;
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (is_option(argv[i], "--state") || is_option(argv[i], "--http"))
            return false;
    return !pf_setting_file_named(argc, argv) && access(state, F_OK) < 0 && pf_installed_is_there();
}

void pf_installed_advise(const char *command, struct pf_error *err)
{
    const struct pf_error before = *err;
    const int code = before.code;
    pf_error_clear(err);
    if (code == EACCES || code == EPERM)
        pf_fail(err, code,
                "%s: sudo parfocal %s asks the service of " PF_INSTALLED_FILE
                ", --state DIR another one",
                before.text, command);
    else if (code == ENOENT || code == ECONNREFUSED)
        pf_fail(err, code,
                "%s: that is the service of " PF_INSTALLED_FILE
                " (systemctl status parfocal); --state DIR asks another one",
                before.text);
    else
        *err = before;
}
