#include "process/stray.h"

#include <errno.h>
#include <string.h>

#define UNLIKE_MIN 2 /* of two that do not fit each other nobody knows which is the stray */
#define WORTH_MIN  2 /* frames of a group for which the burst is stacked once more */

bool pf_stray_is_out(const struct pf_stray *stray, int group)
{
    return group && group <= stray->round && !(stray->final && group == stray->best_group);
}

static bool has(const json_t *facts, const char *key, const char *word)
{
    const char *value = json_string_value(json_object_get(facts, key));
    return value && strcmp(value, word) == 0;
}

void pf_stray_see(struct pf_stray *stray, int *group, const json_t *facts)
{
    if (pf_stray_is_out(stray, *group))
        return;
    if (has(facts, "verdict", "fused")) {
        stray->fused++;
        if (!stray->final)
            *group = stray->round + 1;
    } else if (has(facts, "cause", "unlike")) {
        stray->unlike++;
    }
}

static bool go_again(struct pf_stray *stray, size_t others)
{
    stray->others = others;
    stray->fused = stray->unlike = 0;
    stray->round++;
    return true;
}

bool pf_stray_again(struct pf_stray *stray)
{
    int group = stray->round + 1;
    if (stray->final)
        return false;
    if (stray->fused > stray->best) {
        stray->best = stray->fused;
        stray->best_group = group;
    }
    if (stray->unlike > stray->best && stray->unlike >= UNLIKE_MIN && group < PF_STRAY_GROUPS)
        return go_again(stray, stray->unlike);
    if (stray->best_group == group || stray->best < WORTH_MIN)
        return false;
    stray->final = true;
    return go_again(stray, stray->best);
}

int pf_stray_strike(json_t *facts)
{
    static const char *const keys[] = {"transform", "aligned_by", "correlation", "gain"};
    int failed = 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        failed |= json_object_set_new(facts, keys[i], json_null());
    failed |= json_object_set_new(facts, "verdict", json_string("aside"));
    failed |= json_object_set_new(facts, "cause", json_string("unlike"));
    failed |= json_object_set_new(facts, "reference", json_false());
    return failed ? -ENOMEM : 0;
}
