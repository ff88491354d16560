#include <string.h>

#include "config/base/file.h"
#include "service/disks.h"
#include "service/service.h"

struct pf_source *pf_sources_next(const struct pf_service *service, const char *name,
                                  const struct pf_source *last)
{
    bool begun = !last;
    for (size_t i = 0; i < service->source_count; i++) {
        if (begun && !strcmp(pf_source_name(service->sources[i]), name))
            return service->sources[i];
        begun |= service->sources[i] == last;
    }
    return NULL;
}

static int64_t most_ms(const struct pf_service *service, const char *name,
                       int64_t (*of)(const struct pf_source *source))
{
    int64_t most_ms = 0;
    for (struct pf_source *source = NULL; (source = pf_sources_next(service, name, source));)
        if (of(source) > most_ms)
            most_ms = of(source);
    return most_ms;
}

int64_t pf_sources_delay_ms(const struct pf_service *service, const char *name)
{
    return most_ms(service, name, pf_source_delay_ms);
}

int64_t pf_sources_look_ms(const struct pf_service *service, const char *name)
{
    return most_ms(service, name, pf_source_look_ms);
}

/* Of the innermost folder of a source above the path; 0: none is. */
static size_t root_length(const struct pf_service *service, const char *path)
{
    size_t most = 0;
    for (size_t i = 0; i < service->source_count; i++) {
        const char *root = pf_source_root(service->sources[i]);
        size_t length = strlen(root);
        if (length > most && pf_path_beneath(path, root))
            most = length;
    }
    return most;
}

static bool is_above(const struct pf_source *source, const char *path, size_t length)
{
    const char *root = pf_source_root(source);
    return strlen(root) == length && pf_path_beneath(path, root);
}

void pf_sources_scan(const struct pf_service *service, const char *path)
{
    size_t length = path ? root_length(service, path) : 0;
    for (size_t i = 0; i < service->source_count; i++)
        if (!length || is_above(service->sources[i], path, length))
            pf_source_scan(service->sources[i]);
}

enum pf_absence pf_sources_absence(const struct pf_service *service, const char *path,
                                   int64_t since_ms)
{
    size_t length = root_length(service, path);
    bool gone = false, open = false;
    for (size_t i = 0; length && i < service->source_count; i++) {
        const struct pf_source *source = service->sources[i];
        if (!is_above(source, path, length))
            continue;
        gone |= pf_source_has_files(source, since_ms);
        open |= pf_source_has_to_look(source, since_ms);
    }
    if (open && !gone)
        return PF_ABSENCE_OPEN;
    if (pf_disks_lack(service->disks, path, length))
        return PF_ABSENCE_DISK;
    return gone ? PF_ABSENCE_GONE : PF_ABSENCE_UNKNOWN;
}
