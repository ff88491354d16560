#include <string.h>

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

void pf_sources_scan(const struct pf_service *service, const char *name)
{
    for (size_t i = 0; i < service->source_count; i++)
        if (!name || !strcmp(pf_source_name(service->sources[i]), name))
            pf_source_scan(service->sources[i]);
}

bool pf_sources_have_files(const struct pf_service *service, const char *name, int64_t since_ms)
{
    for (struct pf_source *source = NULL; (source = pf_sources_next(service, name, source));)
        if (pf_source_has_files(source, since_ms))
            return true;
    return false;
}

bool pf_sources_lack_disk(const struct pf_service *service, const char *path, int64_t since_ms)
{
    for (size_t i = 0; i < service->source_count; i++)
        if (pf_source_lacks_disk(service->sources[i], path, since_ms))
            return true;
    return false;
}
