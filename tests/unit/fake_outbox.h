/* An outbox that answers nothing by itself, in place of service/outbox.c: a test counts what it was asked, and says the
 * answers. Included once, by the test that has the publishing.
 */
#ifndef PF_TEST_FAKE_OUTBOX_H
#define PF_TEST_FAKE_OUTBOX_H

#include "service/outbox.h"

static int asked; /* checks */
static int prepared, ahead_number,
    published; /* directories asked for, the last one's number, stacks */

int pf_outbox_new(struct pf_outbox **ret, struct event_base *base, const char *directory,
                  const char *tag, const char *former_tag, const char *mount_note,
                  void (*handler)(const struct pf_outbox_answer *answer, void *context),
                  void *context, struct pf_error *err)
{
    (void)ret, (void)base, (void)directory, (void)tag, (void)former_tag, (void)mount_note;
    (void)handler, (void)context, (void)err;
    return 0;
}

struct pf_outbox *pf_outbox_free(struct pf_outbox *outbox)
{
    (void)outbox;
    return NULL;
}

int pf_outbox_ask(struct pf_outbox *outbox, enum pf_outbox_request request, int64_t burst,
                  const char *name, int version, const json_t *identities)
{
    (void)outbox, (void)burst, (void)name, (void)identities;
    asked += request == PF_OUTBOX_CHECK;
    prepared += request == PF_OUTBOX_PREPARE;
    published += request == PF_OUTBOX_PUBLISH;
    if (request == PF_OUTBOX_PREPARE_AHEAD)
        ahead_number = version;
    return 0;
}

void pf_outbox_await(const struct pf_outbox *outbox, int ms)
{
    (void)outbox, (void)ms;
}

#endif
