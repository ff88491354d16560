#include "service/hook_targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/hooks.h"

#define ON_STOP "on_stop"

int pf_hook_targets_make(struct pf_hook_targets *ret, const struct pf_settings *settings,
                         struct pf_error *err)
{
    const struct {
        const char *hook;
        const struct pf_list *list;
    } lists[] = {{"on_burst", &settings->on_burst},
                 {"on_failure", &settings->on_failure},
                 {ON_STOP, &settings->on_stop}};
    size_t count = 0, used = 0;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        count += lists[i].list->count;
    struct pf_hook_target *items = calloc(count + 1, sizeof(*items));
    if (!items)
        return pf_fail(err, ENOMEM, "out of memory for hooks");
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        for (size_t n = 0; n < lists[i].list->count; n++)
            items[used++] = (struct pf_hook_target){
                .hook = lists[i].hook, .number = n, .text = lists[i].list->items[n]};
    *ret = (struct pf_hook_targets){.items = items, .count = count};
    return 0;
}

void pf_hook_targets_clear(struct pf_hook_targets *targets)
{
    free(targets->items);
    *targets = (struct pf_hook_targets){0};
}

struct pf_hook_target *pf_hook_targets_find(const struct pf_hook_targets *targets,
                                            const struct pf_delivery *delivery)
{
    for (size_t i = 0; i < targets->count; i++)
        if (!strcmp(targets->items[i].hook, delivery->hook) &&
            !strcmp(targets->items[i].text, delivery->target))
            return &targets->items[i];
    return NULL;
}

void pf_hook_targets_begun(struct pf_hook_targets *targets, struct pf_hook_target *target)
{
    target->begun = ++targets->begun;
}

/* ---- shares ---- */

/* Whether the one at `at` is told at that time, and none before it has the same text. */
static bool is_rival(const struct pf_hook_targets *targets, size_t at, bool stopping)
{
    const struct pf_hook_target *target = &targets->items[at];
    if (!strcmp(target->hook, ON_STOP) != stopping)
        return false;
    for (size_t i = 0; i < at; i++)
        if (!strcmp(targets->items[i].text, target->text) &&
            !strcmp(targets->items[i].hook, ON_STOP) == stopping)
            return false;
    return true;
}

size_t pf_hook_targets_share(const struct pf_hook_targets *targets, size_t places, bool stopping)
{
    size_t rivals = 0;
    for (size_t i = 0; i < targets->count; i++)
        rivals += is_rival(targets, i, stopping);
    return !rivals ? places : rivals < places ? places - rivals + 1 : 1;
}

/* ---- troubles ---- */

static void id_of(const struct pf_hook_target *target, char *to, size_t size)
{
    snprintf(to, size, "hook.%s.%zu", target->hook, target->number);
}

static void set_well(struct pf_hook_target *target, struct pf_troubles *troubles)
{
    char id[64];
    id_of(target, id, sizeof(id));
    target->troubled = false;
    pf_trouble_off(troubles, id);
}

void pf_hook_targets_tried(const struct pf_hook_targets *targets,
                           const struct pf_delivery *delivery, struct pf_troubles *troubles)
{
    struct pf_hook_target *target = pf_hook_targets_find(targets, delivery);
    if (target && delivery->state == PF_DELIVERY_GIVEN_UP)
        target->troubled = true;
    else if (target && delivery->state == PF_DELIVERY_DONE)
        set_well(target, troubles);
}

/* What is given up is for a person to look at. */
static void review(struct pf_hook_target *target, struct pf_journal *journal,
                   struct pf_troubles *troubles)
{
    struct pf_delivery_list last = {0};
    int64_t count = 0;
    if (pf_journal_deliveries_given_up(journal, target->hook, target->text, &count, &last, NULL) <
        0)
        return; /* the next change says it */
    if (!count) {
        set_well(target, troubles);
        return;
    }
    char id[64], retry[96], more[64] = "";
    char *shown = pf_hook_shown(target->text);
    id_of(target, id, sizeof(id));
    snprintf(retry, sizeof(retry), "/api/v1/deliveries/%s/retry", last.items[0].id);
    if (count > 1)
        snprintf(more, sizeof(more), "; %lld deliveries are given up", (long long)count);
    if (shown)
        pf_trouble_on(troubles, false, id, &(struct pf_trouble_ways){.retry = retry},
                      "%s: %s failed: %s%s", target->hook, shown,
                      last.items[0].error ? last.items[0].error : "", more);
    free(shown);
    pf_deliveries_free(&last);
}

void pf_hook_targets_review(const struct pf_hook_targets *targets, struct pf_journal *journal,
                            struct pf_troubles *troubles)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->items[i].troubled)
            review(&targets->items[i], journal, troubles);
}
