/* The guide of a bracket until covered, with a lens and a subject of our own making. */
#include <math.h>

#include "process/focus_grid.h"
#include "service/guide.h"
#include "tests/unit/test.h"

struct scene {
    double near, far; /* depths of the cells, spread evenly; in steps */
    int blurred;      /* cells that are as blurred in all frames */
};

struct lens {
    struct pf_guide *guide;
    const struct scene *scene;
    double offset; /* of the true focus, against the count of steps */
    int turn, shots;
    double taken[64];       /* focus_at */
    double lowest, highest; /* it can go no further */
};

static void begin(struct lens *lens, const struct scene *scene)
{
    *lens = (struct lens){.scene = scene, .lowest = -1000, .highest = 1000};
    CHECK_EQ(pf_guide_new(&lens->guide), 0);
}

static void answer(struct lens *lens, const char *at_end, double focus_at)
{
    json_t *object =
        json_pack("{s:i, s:f, s:f}", "turn", ++lens->turn, "focus_at", focus_at, "finest", 0.01);
    if (at_end)
        json_object_set_new(object, "at_end", json_string(at_end));
    pf_guide_answer(lens->guide, object);
    json_decref(object);
}

static json_t *result_of(const struct lens *lens, double focus, const char *verdict)
{
    json_t *grid = json_array();
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        double z =
            lens->scene->near + (lens->scene->far - lens->scene->near) * c / (PF_FOCUS_CELLS - 1);
        double p = (focus - z) / 1.5, value = 0.5 + 10 * pow(1 + p * p, -1.5);
        json_array_append_new(grid,
                              json_real(c < lens->scene->blurred ? 3 + 0.1 * (c % 3) : value));
    }
    return json_pack("{s:s, s:{s:o}}", "verdict", verdict, "focus", "grid", grid);
}

static void show(struct lens *lens, double focus_at, double drive_to, const char *verdict,
                 const json_t *coverage)
{
    char identity[32];
    json_t *result = result_of(lens, drive_to + lens->offset, verdict);
    snprintf(identity, sizeof(identity), "frame-%d", lens->shots);
    lens->taken[lens->shots++] = focus_at;
    CHECK_EQ(pf_guide_see(lens->guide, focus_at, identity, result, coverage), 0);
    json_decref(result);
}

/* The word; true: it is enough. */
static bool word(struct lens *lens, double *focus_at, double *drive_to, char reason[160])
{
    json_t *said = pf_guide_word(lens->guide, 5);
    CHECK(said);
    CHECK_EQ(json_integer_value(json_object_get(said, "id")), 5);
    CHECK_EQ(json_integer_value(json_object_get(said, "turn")), lens->turn);
    const char *why = json_string_value(json_object_get(said, "reason"));
    snprintf(reason, 160, "%s", why ? why : "");
    bool enough = !strcmp(json_string_value(json_object_get(said, "cmd")), "enough");
    *focus_at = json_number_value(json_object_get(said, "focus_at"));
    *drive_to = json_number_value(json_object_get(said, "drive_to"));
    json_decref(said);
    CHECK(!pf_guide_word(lens->guide, 5)); /* once */
    return enough;
}

/* Shoots until it is enough, `most` frames. True: it was enough. */
static bool run(struct lens *lens, int most, char reason[160])
{
    double at = 0, to = 0;
    while (lens->shots < most) {
        answer(lens, NULL, at);
        show(lens, at, to, "fused", NULL);
        if (word(lens, &at, &to, reason))
            return true;
        while (to < lens->lowest || to > lens->highest) {
            answer(lens, to < lens->lowest ? "before" : "beyond", 0);
            if (word(lens, &at, &to, reason))
                return true;
        }
    }
    return false;
}

static void end(struct lens *lens)
{
    CHECK(!pf_guide_free(lens->guide));
    CHECK(!pf_guide_free(NULL));
}

/* Whatever the depth and wherever the planes lie between the steps: all of it, and two at most more
 * than the least, the frames before the subject counted. */
TEST(guide_covers_within_two_frames_of_the_least)
{
    for (double near = 0; near < 4; near += 0.3)
        for (double depth = 1; depth < 12; depth += 0.7) {
            struct scene scene = {near, near + depth, 0};
            struct lens lens;
            char reason[160];
            begin(&lens, &scene);
            CHECK(run(&lens, 60, reason));
            CHECK_STR(reason, "");
            double last = lens.taken[0];
            for (int i = 0; i < lens.shots; i++)
                last = lens.taken[i] > last ? lens.taken[i] : last;
            int least = 1 + (int)ceil(scene.far - 0.5);
            if (last < scene.far - 0.6 || lens.shots > least + 2)
                FAIL("%g to %g: %d frames, to %g; %d would do", near, scene.far, lens.shots, last,
                     least);
            end(&lens);
        }
}

TEST(guide_goes_nearer_when_it_began_within_the_subject)
{
    struct scene scene = {-3.4, 2.2, 0};
    struct lens lens;
    char reason[160];
    begin(&lens, &scene);
    CHECK(run(&lens, 60, reason));
    CHECK_STR(reason, "");
    double first = 0;
    for (int i = 0; i < lens.shots; i++)
        first = lens.taken[i] < first ? lens.taken[i] : first;
    CHECK(first == -3 || first == -4);
    CHECK(lens.shots <= 6 + 2);
    end(&lens);
}

/* The limit is the camera's: the guide goes on as long as nothing has come into focus. */
TEST(guide_waits_for_the_subject)
{
    struct scene scene = {0, 1, PF_FOCUS_CELLS};
    struct lens lens;
    char reason[160];
    begin(&lens, &scene);
    CHECK(!run(&lens, 50, reason));
    end(&lens);
}

TEST(guide_does_not_mind_a_blurred_background)
{
    struct scene scene = {1, 5, 200};
    struct lens lens;
    char reason[160];
    begin(&lens, &scene);
    CHECK(run(&lens, 60, reason));
    CHECK(lens.shots <= 8);
    end(&lens);
}

TEST(guide_at_the_ends_of_the_way)
{
    struct scene scene = {-6, 6, 0};
    struct lens lens;
    char reason[160];
    begin(&lens, &scene);
    lens.highest = 3;
    CHECK(run(&lens, 60, reason));
    CHECK(strstr(reason, "may lie beyond"));
    CHECK_NEAR(lens.taken[4], -1, 0); /* the other end is covered all the same */
    end(&lens);
    begin(&lens, &scene);
    lens.lowest = -2;
    CHECK(run(&lens, 60, reason));
    CHECK(strstr(reason, "may lie before"));
    end(&lens);
    struct scene nothing = {0, 1, PF_FOCUS_CELLS};
    begin(&lens, &nothing);
    lens.highest = 3;
    CHECK(run(&lens, 60, reason));
    CHECK(strstr(reason, "nothing has come into it"));
    end(&lens);
}

TEST(guide_says_nothing_before_the_frame_was_seen)
{
    struct scene scene = {0, 3, 0};
    struct lens lens;
    double at, to;
    char reason[160];
    begin(&lens, &scene);
    CHECK(!pf_guide_word(lens.guide, 5));
    answer(&lens, NULL, 0);
    CHECK(!pf_guide_word(lens.guide, 5));
    show(&lens, 0, 0, "fused", NULL);
    CHECK(!word(&lens, &at, &to, reason));
    CHECK_NEAR(at, 1, 0);
    CHECK_NEAR(to, 1, 0);
    /* A lost one counts as seen. */
    answer(&lens, NULL, 1);
    CHECK_EQ(pf_guide_see(lens.guide, 1, "lost", NULL, NULL), 0);
    CHECK(!word(&lens, &at, &to, reason));
    CHECK_NEAR(at, 2, 0);
    end(&lens);
}

/* One that was set aside within the subject is shot again, once; one behind the last decides nothing,
 * two do. */
TEST(guide_shoots_again_what_was_set_aside)
{
    struct scene scene = {1, 4, 0};
    struct lens lens;
    double at = 0, to = 0;
    char reason[160];
    bool enough = false;
    int again = 0;
    begin(&lens, &scene);
    for (int i = 0; i < 20 && !enough; i++) {
        bool bad = at == 2;
        again += bad;
        answer(&lens, NULL, at);
        show(&lens, at, to, bad ? "aside" : "fused", NULL);
        enough = word(&lens, &at, &to, reason);
    }
    CHECK(enough);
    CHECK_EQ(again, 2); /* it was set aside once more, and left */
    end(&lens);

    begin(&lens, &scene);
    for (int i = 0; i < 5; i++) {
        answer(&lens, NULL, i);
        show(&lens, i, i, "fused", NULL);
        CHECK(!word(&lens, &at, &to, reason));
    }
    answer(&lens, NULL, 5);
    show(&lens, 5, 5, "aside", NULL);
    CHECK(!word(&lens, &at, &to, reason));
    CHECK_NEAR(at, 6, 0);
    answer(&lens, NULL, 6);
    show(&lens, 6, 6, "aside", NULL);
    CHECK(word(&lens, &at, &to, reason));
    end(&lens);
}

static json_t *skipped(const char *from, const char *to, int missing)
{
    return json_pack("{s:[[s, s]], s:[i]}", "skipped", from, to, "missing", missing);
}

/* Between two frames where a plane was skipped: a step back from the second by count, and when it is
 * still missing there, half a step; then it is left. */
TEST(guide_shoots_again_where_a_plane_was_skipped)
{
    struct scene scene = {1, 6, 0};
    struct lens lens;
    double at = 0, to = 0;
    char reason[160];
    json_t *coverage = skipped("frame-3", "frame-4", 1);
    begin(&lens, &scene);
    for (int i = 0; i <= 6; i++) {
        lens.offset = i >= 4; /* the lens has jumped */
        answer(&lens, NULL, i);
        show(&lens, i, i, "fused", coverage);
        bool enough = word(&lens, &at, &to, reason);
        CHECK(!enough);
        if (at < i)
            break;
    }
    CHECK_NEAR(at, 3.5, 0); /* its place in depth */
    CHECK_NEAR(to, 3, 0);   /* by the count, which the jump has not changed */
    json_decref(coverage);
    char last[32];
    snprintf(last, sizeof(last), "frame-%d", lens.shots);
    coverage = skipped(last, "frame-4", 1);
    answer(&lens, NULL, at);
    show(&lens, at, to, "fused", coverage);
    CHECK(!word(&lens, &at, &to, reason));
    CHECK_NEAR(at, 3.75, 0);
    CHECK_NEAR(to, 3.5, 0);
    answer(&lens, NULL, at);
    show(&lens, at, to, "fused", coverage);
    CHECK(word(&lens, &at, &to, reason));
    CHECK_STR(reason, "");
    json_decref(coverage);
    end(&lens);
}
