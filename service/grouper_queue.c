#include "service/grouper_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"

static const char *const reason_names[] = {
    [PF_BURST_OPEN] = "open",
    [PF_BURST_GAP] = "gap",
    [PF_BURST_SETTINGS] = "settings changed",
    [PF_BURST_SEQUENCE] = "sequence restarted",
    [PF_BURST_EXPECTED] = "expected count",
    [PF_BURST_BY_HAND] = "finished by hand",
};

#define REASONS (sizeof(reason_names) / sizeof(*reason_names))

const char *pf_grouper_reason_name(enum pf_burst_reason reason)
{
    return reason_names[reason];
}

int pf_grouper_reason_of_name(const char *name, enum pf_burst_reason *ret)
{
    for (size_t i = 0; i < REASONS; i++)
        if (!strcmp(name, reason_names[i])) {
            *ret = (enum pf_burst_reason)i;
            return 0;
        }
    return -ENOENT;
}

int pf_decisions_reserve(struct pf_decisions *decisions, size_t more)
{
    if (decisions->head) {
        decisions->count -= decisions->head;
        memmove(decisions->items, decisions->items + decisions->head,
                decisions->count * sizeof(*decisions->items));
        decisions->head = 0;
    }
    struct pf_decision *items = pf_with_room(decisions->items, &decisions->capacity,
                                             decisions->count, more, sizeof(*items));
    if (!items)
        return -ENOMEM;
    decisions->items = items;
    return 0;
}

struct pf_decision *pf_decide(struct pf_decisions *decisions, enum pf_decision_kind kind,
                              const struct pf_grouper_burst *burst)
{
    struct pf_decision *decision = &decisions->items[decisions->count++];
    *decision = (struct pf_decision){
        .kind = kind,
        .burst = burst->number,
        .frames = burst->total,
    };
    return decision;
}

bool pf_decisions_next(struct pf_decisions *decisions, struct pf_decision *ret)
{
    if (decisions->head == decisions->count)
        return false;
    *ret = decisions->items[decisions->head++];
    return true;
}

void pf_decisions_free(struct pf_decisions *decisions)
{
    free(decisions->items);
}
