#include "process/stray.h"

#include <string.h>

#define REFUSED_MIN 2

void pf_stray_see(struct pf_stray *stray, size_t index, const json_t *facts)
{
    const char *verdict = json_string_value(json_object_get(facts, "verdict"));
    if (verdict && strcmp(verdict, "fused") == 0) {
        if (!stray->fused++)
            stray->first = index;
    } else if (json_object_get(facts, "focus")) {
        stray->refused++;
    }
}

int pf_stray_index(const struct pf_stray *stray)
{
    return stray->fused == 1 && stray->refused >= REFUSED_MIN ? (int)stray->first : -1;
}
