/* The command line of a child process. */
#include "service/child.c" /* who holds it alone */

#include "tests/unit/test.h"

static void check_arguments(const struct pf_child *child, const char *const *expected)
{
    size_t i = 0;
    for (; expected[i] && child->argv[i]; i++)
        CHECK_STR(child->argv[i], expected[i]);
    CHECK(!expected[i] && !child->argv[i]);
}
#define ARGUMENTS(...) check_arguments(child, (const char *const[]){"parfocal", __VA_ARGS__, NULL})

/* Its own stays, where the one that was added is the same. */
TEST(an_argument_that_was_added_can_be_taken_back)
{
    static const char *const own[] = {"process", "--device=cpu", "--threads=1", NULL};
    static const struct pf_child_handlers handlers = {0};
    struct event_base *base = event_base_new();
    struct pf_child *child = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_child_new(&child, base, own, &handlers, NULL, &err), &err);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pf_child_add_argument(child, "--device=cpu"), 0);
        ARGUMENTS("process", "--device=cpu", "--threads=1", "--device=cpu");
        pf_child_remove_argument(child, "--device=cpu");
        ARGUMENTS("process", "--device=cpu", "--threads=1");
    }
    pf_child_remove_argument(child, "--none");
    ARGUMENTS("process", "--device=cpu", "--threads=1");
    pf_child_free(child);
    event_base_free(base);
}
