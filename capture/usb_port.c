#include "capture/usb_port.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static unsigned number_in(const char *devices, const char *name, const char *file)
{
    char path[512];
    unsigned number = 0;
    snprintf(path, sizeof(path), "%s/%s/%s", devices, name, file);
    FILE *stream = fopen(path, "re");
    if (stream && fscanf(stream, "%u", &number) != 1)
        number = 0;
    if (stream)
        fclose(stream);
    return number;
}

bool pf_usb_port(const char *devices, const char *port, char *ret, size_t size)
{
    unsigned bus, device;
    int used = 0;
    bool found = false;
    if (sscanf(port, "usb:%3u,%3u%n", &bus, &device, &used) != 2 || port[used])
        return false;
    DIR *stream = opendir(devices);
    struct dirent *entry;
    while (stream && !found && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, ':')) /* an interface */
            continue;
        found = number_in(devices, entry->d_name, "busnum") == bus &&
                number_in(devices, entry->d_name, "devnum") == device;
        if (found)
            snprintf(ret, size, "usb-%s", entry->d_name);
    }
    if (stream)
        closedir(stream);
    return found;
}
