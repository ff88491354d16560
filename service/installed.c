#include "service/installed.h"

#include <errno.h>
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
