#include "capture/confine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/base/sandbox.h"

#define USB "/dev/bus/usb"

/* A port that is a file or a directory: "camera:serial:/dev/ttyS0" */
static const char *device_of(const char *source)
{
    const char *port = strstr(source, ":/");
    return port ? port + 1 : USB;
}

static bool is_network(const char *source)
{
    return strstr(source, "ptpip:");
}

const char *pf_confine_stale(const char *source)
{
    const char *device = device_of(source);
    return !is_network(source) && pf_sandbox_is_stale(device) ? device : NULL;
}

int pf_confine_camera(const char *source, const char *const *own, struct pf_error *err)
{
    static const char *const nothing[] = {NULL};
    const char *const devices[] = {device_of(source), NULL};
    struct pf_sandbox sandbox = {.role = PF_SANDBOX_CAMERA,
                                 .writable = own,
                                 .readable = nothing,
                                 .devices = devices,
                                 .network = is_network(source)};
    if (!sandbox.network && access(devices[0], F_OK) < 0)
        return pf_fail_errno(err, ENODEV, "%s", devices[0]);
    int r = pf_sandbox_files(&sandbox, err);
    return r < 0 ? r : pf_sandbox_calls(&sandbox, err);
}
