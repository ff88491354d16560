/* Which frames of a burst are the stack when some of them are another picture. */
#include "process/stray.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "process/light.h"
#include "tests/gen/noise.h"
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
        struct pf_stray_frame list[MOST] = {{0}};
        size_t count = strlen(frames);
        CHECK(rounds <= PF_STRAY_GROUPS);
        for (size_t i = 0; i < count; i++) {
            bool readable = frames[i] != '.';
            list[i].group = &group[i];
            if (pf_stray_is_out(&stray, group[i]))
                continue;
            if (readable && !reference)
                reference = frames[i];
            bool fused = readable && frames[i] == reference;
            json_t *facts = json_pack("{s:s, s:s?}", "verdict", fused ? "fused" : "aside", "cause",
                                      fused      ? NULL
                                      : readable ? "unlike"
                                                 : "unreadable");
            list[i].facts = facts;
            if (fused)
                *end++ = frames[i];
        }
        *end = '\0';
        again = pf_stray_again(&stray, list, count);
        for (size_t i = 0; i < count; i++)
            json_decref((json_t *)(uintptr_t)list[i].facts);
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

/* ---- exposures ---- */

/* Stacks frames of so many stops until nothing changes: each is matched to the first one that takes part,
 * within what the engine takes for the same picture. out[i]: it was left out; reason: of the last. */
static int expose_so(struct pf_stray stray, const double *stops, size_t count, bool *out,
                     char *reason, size_t size)
{
    int group[MOST] = {0}, rounds = 0;
    reason[0] = '\0';
    memset(out, 0, count * sizeof(*out));
    for (bool again = true; again; rounds++) {
        struct pf_stray_frame list[MOST] = {{0}};
        size_t reference = count;
        CHECK(rounds <= 2 * PF_STRAY_GROUPS);
        for (size_t i = 0; i < count; i++) {
            list[i].group = &group[i];
            if (out[i])
                continue;
            reference = reference == count ? i : reference;
            double gain = exp2((stops[reference] - stops[i]) / PF_LIGHT_GAMMA);
            bool fused = gain < 3 && gain > 1.0 / 3;
            list[i].facts = json_pack("{s:s, s:s?, s:b, s:o}", "verdict", fused ? "fused" : "aside",
                                      "cause", fused ? NULL : "unlike", "reference", i == reference,
                                      "gain", fused ? json_real(gain) : json_null());
        }
        again = pf_stray_again(&stray, list, count);
        for (size_t i = 0; i < count; i++) {
            bool now = pf_stray_is_out(&stray, group[i]);
            if (now && !out[i])
                pf_stray_reason(&stray, group[i], list[i].facts, reason, size);
            out[i] = now;
            json_decref((json_t *)(uintptr_t)list[i].facts);
        }
    }
    return rounds;
}

static int expose(const double *stops, size_t count, bool *out, char *reason, size_t size)
{
    return expose_so((struct pf_stray){0}, stops, count, out, reason, size);
}

TEST(stray_frames_exposed_unlike_the_others_are_left_out)
{
    static const struct {
        const char *name;
        double stops[MOST];
        const char *out; /* '-' stays, 'x' goes */
        const char *reason;
    } cases[] = {
        {"first weak", {-2.2}, "x-----------", "2.2 stops darker"},
        {"first weak, three others", {-2.2}, "x---", "2.2 stops darker"},
        {"first weak, two others: nobody knows", {-2.2}, "---", ""},
        {"first bright", {1.8}, "x-------", "1.8 stops brighter"},
        {"first a little dark", {-0.6}, "x-------", "0.6 stops darker"},
        {"a third of a stop is matched", {-0.34}, "--------", ""},
        {"two weak ones first", {-2.2, -2}, "xx----------", "2.0 stops darker"},
        {"in the middle", {0, 0, 0, 0, -1.5}, "----x-------", "1.5 stops darker"},
        {"in the middle, not by much", {0, 0, 0, 0, -0.9}, "------------", ""},
        {"two in the middle", {0, 0, 0, 0, -1.5, -2}, "----xx------", "2.0 stops darker"},
        {"first and last", {-2, 0, 0, 0, 0, 0, 0, 0, 0, 1.2}, "x--------x", "1.2 stops brighter"},
        {"a cloud", {0, 0, 0, 0, 0, 0, -1.5, -1.5, -1.5, -1.5, -1.5, -1.5}, "------------", ""},
        {"every third", {0, 0, -1.2, 0, 0, -1.2, 0, 0, -1.2, 0, 0, -1.2}, "------------", ""},
        {"too dark for most to fit", {-3.4, 0, 0.3, 0, 0.3, 0, 0.3, 0}, "x-------", "stops darker"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char reason[128], got[MOST] = "";
        bool out[MOST];
        size_t count = strlen(cases[i].out);
        expose(cases[i].stops, count, out, reason, sizeof(reason));
        for (size_t k = 0; k < count; k++)
            got[k] = out[k] ? 'x' : '-';
        if (strcmp(got, cases[i].out) != 0 || !strstr(reason, cases[i].reason))
            FAIL("%s: %s, %s", cases[i].name, got, reason);
    }
}

TEST(stray_exposures_stay_where_they_are_not_judged)
{
    const struct pf_stray all = {.any_exposure = true};
    const double stops[8] = {-2.2};
    char reason[128];
    bool out[MOST];
    CHECK_EQ(expose(stops, 8, out, reason, sizeof(reason)), 2);
    CHECK(out[0]);
    CHECK_EQ(expose_so(all, stops, 8, out, reason, sizeof(reason)), 1);
    CHECK(!out[0]);
    /* What does not fit at all is another picture as ever. */
    const double unfit[8] = {-4};
    CHECK_EQ(expose_so(all, unfit, 8, out, reason, sizeof(reason)), 2);
    CHECK(out[0]);
}

TEST(stray_light_that_drifts_or_flickers_is_matched)
{
    char reason[128];
    bool out[MOST];
    double stops[MOST];
    for (int way = -1; way <= 1; way += 2) {
        for (int i = 0; i < 20; i++)
            stops[i] = way * i * PF_LIGHT_GAMMA * log2(1.05);
        CHECK_EQ(expose(stops, 20, out, reason, sizeof(reason)), 1);
    }
    /* Ones that become slower, the first as seen in small pictures of a scene that goes out of focus. */
    static const struct {
        int count;
        double stops[10];
    } slower[] = {{5, {0, -0.25, -0.47, -0.6, -0.72}},
                  {5, {0, -0.31, -0.51, -0.62, -0.69}},
                  {10, {0, -0.45, -0.51, -0.55, -0.56, -0.4, -0.4, -0.4, -0.45, -0.4}}};
    for (size_t k = 0; k < sizeof(slower) / sizeof(slower[0]); k++)
        for (int way = 0; way < 4; way++) {
            int count = slower[k].count;
            for (int i = 0; i < count; i++)
                stops[i] = (way & 1 ? -1 : 1) * slower[k].stops[way & 2 ? count - 1 - i : i];
            CHECK_EQ(expose(stops, count, out, reason, sizeof(reason)), 1);
        }
    for (double rest = 0.2; rest < 0.9; rest += 0.05)
        for (double first = 0.1; first < 0.49; first += 0.05) {
            double step = first;
            stops[0] = 0;
            for (int i = 1; i < 12; i++, step *= rest)
                stops[i] = stops[i - 1] - step;
            if (expose(stops, 12, out, reason, sizeof(reason)) != 1)
                FAIL("first %.2f, rest %.2f: %s", first, rest, reason);
        }
    /* By 15 % up and down, at any phase: of light, and of encoded values, where it is more than twice that. */
    struct pf_gen_random random = {7};
    int bursts = 2000;
    for (int burst = 0; burst < 2 * bursts; burst++) {
        double phase = pf_gen_uniform(&random, 0, 6.283), step = pf_gen_uniform(&random, 0.5, 3.1);
        bool encoded = burst >= bursts;
        for (int i = 0; i < 20; i++)
            stops[i] = (encoded ? PF_LIGHT_GAMMA : 1) * log2(1 + 0.15 * sin(phase + step * i));
        CHECK_EQ(expose(stops, 20, out, reason, sizeof(reason)), 1);
    }
}
