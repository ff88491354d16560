#include "capture/confine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/base/sandbox.h"

#define USB "/dev/bus/usb"

int pf_confine_camera(const char *source, const char *const *own, struct pf_error *err)
{
    static const char *const nothing[] = {NULL};
    /* A port that is a file or a directory: "camera:serial:/dev/ttyS0" */
    const char *port = strstr(source, ":/");
    const char *const devices[] = {port ? port + 1 : USB, NULL};
    struct pf_sandbox sandbox = {.role = PF_SANDBOX_CAMERA,
                                 .writable = own,
                                 .readable = nothing,
                                 .devices = devices,
                                 .network = strstr(source, "ptpip:")};
    if (!sandbox.network && access(devices[0], F_OK) < 0)
        return pf_fail_errno(err, ENODEV, "%s", devices[0]);
    int r = pf_sandbox_files(&sandbox, err);
    return r < 0 ? r : pf_sandbox_calls(&sandbox, err);
}
