/* Which frames of a burst are the stack when some of them are another picture. */
#include "process/stray.h"

#include <string.h>

#include "tests/unit/test.h"

#define MOST 32

/* A letter a frame: equal ones fit one another, '.' fits nobody and is not told as unlike ("corrupt").
 * Stacks as the engine does: the first readable frame that takes part is the reference. Returns the
 * rounds that it took; `kept` gets the letters that are fused in the end. */
static int play(const char *frames, char kept[MOST])
{
    struct pf_stray stray = {0};
    int group[MOST] = {0}, rounds = 0;
    for (bool again = true; again; rounds++) {
        char reference = 0, *end = kept;
        CHECK(rounds <= PF_STRAY_GROUPS);
        for (size_t i = 0; frames[i]; i++) {
            bool readable = frames[i] != '.';
            if (pf_stray_is_out(&stray, group[i]))
                continue;
            if (readable && !reference)
                reference = frames[i];
            bool fused = readable && frames[i] == reference;
            json_t *facts = json_pack("{s:s, s:s?}", "verdict", fused ? "fused" : "aside", "cause",
                                      fused      ? NULL
                                      : readable ? "unlike"
                                                 : "unreadable");
            pf_stray_see(&stray, &group[i], facts);
            json_decref(facts);
            if (fused)
                *end++ = frames[i];
        }
        *end = '\0';
        again = pf_stray_again(&stray);
    }
    return rounds;
}

TEST(stray_the_larger_group_is_the_stack)
{
    static const struct {
        const char *frames, *kept;
        int rounds;
    } cases[] = {
        {"bbbbb", "bbbbb", 1},     {"", "", 1},        {"...", "", 1},
        {"abbbb", "bbbb", 2},                         /* a hand */
        {"aabbb", "bbb", 2},                          /* two frames of an earlier burst */
        {"aabbbbbb", "bbbbbb", 2}, {"aabb", "aa", 1}, /* as many: the first stays */
        {"aaab", "aaa", 1},        {"ab", "a", 1},    /* nobody knows which */
        {"a....", "a", 1},                            /* what cannot be read is no majority */
        {"a..bb", "bb", 2},        {"aabcd", "aa", 3}, /* the others do not fit one another: back to the first */
        {"aabcccc", "cccc", 3},    {"abcdef", "c", 3}, /* unrelated pictures: there is an end to it */
        {"aabcde", "aa", 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char kept[MOST];
        int rounds = play(cases[i].frames, kept);
        if (strcmp(kept, cases[i].kept) != 0 || rounds != cases[i].rounds)
            FAIL("%s: kept %s after %d rounds", cases[i].frames, kept, rounds);
    }
}
