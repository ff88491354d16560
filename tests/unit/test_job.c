#include "service/job.h"

#include <stdlib.h>
#include <string.h>

#include "service/job_list.h"
#include "service/sidecar.h"
#include "tests/unit/test.h"

static struct pf_record *record(const char *content, int64_t capture_ms)
{
    struct pf_record *made = calloc(1, sizeof(*made));
    char path[64];
    snprintf(path, sizeof(path), "/in/%s.jpg", content);
    made->path = strdup(path);
    made->source = strdup("folder:/in");
    made->format = strdup("jpeg");
    made->id = pf_identity_of_memory(content, strlen(content));
    made->capture_ms = capture_ms;
    made->has_subsec = true;
    made->orientation = 1;
    made->sequence = made->counter = -1;
    return made;
}

static struct pf_job *job_of(size_t count)
{
    struct pf_job *job = NULL;
    CHECK_EQ(pf_job_new(&job, 7, "burst", NULL), 0);
    for (size_t i = 0; i < count; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        CHECK_EQ(pf_job_add(job, record(name, 1000 * (int64_t)(10 - i)), NULL), 1);
    }
    return job;
}

static void set_result(struct pf_job *job, size_t i, const char *verdict, const char *reason,
                       const char *cause)
{
    pf_job_set_step(job, &job->frames[i], PF_STEP_DONE);
    job->frames[i].result =
        json_pack("{s:s, s:s, s:s?}", "verdict", verdict, "reason", reason, "cause", cause);
}

TEST(job_takes_a_content_once)
{
    struct pf_job *job = job_of(3);
    CHECK_EQ(pf_job_add(job, record("b", 5), NULL), 0);
    CHECK_EQ(job->count, 3);
    CHECK(pf_job_find(job, job->frames[1].record->id.text) == &job->frames[1]);
    CHECK(!pf_job_find(job, "nothing") && !pf_job_find(job, NULL));
    pf_job_free(job);
    CHECK(!pf_job_free(NULL));
}

/* They came in the reverse of the order in which they were shot: e d c b a. */
TEST(job_knows_what_a_frame_follows)
{
    struct pf_job *job = job_of(5);
    struct pf_job_frame *frames = job->frames;
    CHECK(!pf_job_before(job, &frames[2])); /* the worker has none yet */
    pf_job_set_step(job, &frames[0], PF_STEP_DONE);
    pf_job_set_step(job, &frames[3], PF_STEP_SENT);
    CHECK(pf_job_before(job, &frames[2]) == frames[3].record);
    CHECK(pf_job_before(job, &frames[3]) == NULL);
    CHECK(pf_job_before(job, &frames[0]) == frames[3].record);
    CHECK(!pf_job_before(job, &frames[4]));
    frames[3].excluded = true; /* it was not sent to the worker in this opening */
    CHECK(!pf_job_before(job, &frames[2]));
    pf_job_free(job);
}

/* What is kept beside the frames says the same as looking at all of them. */
TEST(job_keeps_count_of_steps)
{
    struct pf_job *job = job_of(8);
    unsigned seed = 7;
    for (int turn = 0; turn < 4000; turn++) {
        size_t at = (size_t)rand_r(&seed) % 8, sent = 0, done = 0;
        int64_t pixels = 0, got = 0;
        struct pf_job_frame *waiting = NULL;
        pf_job_set_step(job, &job->frames[at], (enum pf_job_step)(rand_r(&seed) % 3));
        if (turn % 500 == 0)
            pf_job_forget_stack(job);
        if (turn % 7 == 0) /* all but some are done more often than by chance */
            for (size_t i = 0; i < 7; i++)
                pf_job_set_step(job, &job->frames[i], PF_STEP_DONE);
        job->stage = turn % 3 ? PF_JOB_ACTIVE : PF_JOB_FINISHING;
        for (size_t i = 0; i < 8; i++) {
            const struct pf_job_frame *frame = &job->frames[i];
            bool in_hand = frame->step == PF_STEP_SENT;
            sent += in_hand;
            done += frame->step == PF_STEP_DONE;
            if (in_hand || (i == 0 && job->stage == PF_JOB_FINISHING))
                pixels += (int64_t)frame->record->width * frame->record->height;
            if (frame->step == PF_STEP_WAITING && !waiting)
                waiting = &job->frames[i];
        }
        CHECK_EQ(pf_jobs_frames_sent(job, &got), sent);
        CHECK_EQ(got, pixels);
        CHECK_EQ(pf_job_settled(job), done == 8);
        CHECK(pf_job_next_waiting(job) == waiting);
        CHECK(pf_job_find(job, job->frames[at].record->id.text) == &job->frames[at]);
        CHECK(!pf_job_find(job, "nothing"));
    }
    pf_job_free(job);
}

TEST(job_settles_when_every_frame_is_done)
{
    struct pf_job *job = job_of(3);
    CHECK(!pf_job_settled(job));
    set_result(job, 0, "fused", "", NULL);
    set_result(job, 1, "aside", "blurred", "soft");
    CHECK(!pf_job_settled(job));
    job->frames[2].excluded = true;
    pf_job_set_step(job, &job->frames[2], PF_STEP_DONE);
    strcpy(job->frames[2].reason, "deadly");
    CHECK(pf_job_settled(job));
    CHECK_EQ(pf_job_fused_count(job), 1);
    CHECK(pf_job_has_fused(job, 0) && pf_job_has_fused(job, 1) && !pf_job_has_fused(job, 2));
    CHECK_STR(pf_job_reason(&job->frames[1]), "blurred");
    CHECK_STR(pf_job_reason(&job->frames[2]), "deadly");
    /* A lost stack brings all back but the excluded one. */
    pf_job_forget_stack(job);
    CHECK_EQ(job->frames[0].step, PF_STEP_WAITING);
    CHECK_EQ(job->frames[1].step, PF_STEP_WAITING);
    CHECK_EQ(job->frames[2].step, PF_STEP_DONE);
    pf_job_free(job);
}

TEST(job_leaves_strays_out_and_takes_them_back)
{
    struct pf_job *job = job_of(5);
    set_result(job, 0, "fused", "", NULL);
    set_result(job, 1, "fused", "", NULL);
    set_result(job, 2, "aside", "correlation 0.1", "unlike");
    set_result(job, 3, "aside", "correlation 0.1", "unlike");
    set_result(job, 4, "aside", "corrupt", "unreadable");
    CHECK(!pf_job_regroup(job)); /* two are no more than two */
    pf_job_free(job);

    job = job_of(5);
    set_result(job, 0, "fused", "", NULL);
    set_result(job, 1, "fused", "", NULL);
    for (size_t i = 2; i < 5; i++)
        set_result(job, i, "aside", "correlation 0.1", "unlike");
    CHECK(pf_job_regroup(job));
    CHECK(pf_stray_is_out(&job->stray, job->frames[0].group));
    CHECK(!pf_stray_is_out(&job->stray, job->frames[2].group));
    job->frames[0].stray = job->frames[0].excluded = true;
    job->frames[1].stray = job->frames[1].excluded = true;
    /* The others do not fit one another either: the first two come back. */
    json_object_set_new(job->frames[2].result, "verdict", json_string("fused"));
    CHECK(pf_job_regroup(job));
    CHECK(!job->frames[0].excluded && !job->frames[1].excluded);
    CHECK(pf_stray_is_out(&job->stray, job->frames[2].group));
    CHECK(!pf_stray_is_out(&job->stray, job->frames[3].group));
    CHECK(!pf_job_regroup(job)); /* and that is the end of it */
    pf_job_free(job);
}

/* Five that are alike, and the first of which is 2.2 stops darker. */
static struct pf_job *exposed(void)
{
    struct pf_job *job = job_of(5);
    for (size_t i = 0; i < 5; i++) {
        set_result(job, i, "fused", "", NULL);
        json_object_set_new(job->frames[i].result, "reference", json_boolean(i == 0));
        json_object_set_new(job->frames[i].result, "gain", json_real(i ? 0.5 : 1));
    }
    return job;
}

/* What was taken back is not put out, nor are others for its sake; it is sent last, to be no reference. */
TEST(job_leaves_in_what_was_taken_back)
{
    struct pf_job *job = exposed();
    job->frames[0].taken = true;
    CHECK(!pf_job_regroup(job));
    CHECK(!pf_stray_is_out(&job->stray, job->frames[0].group));
    pf_job_forget_stack(job);
    CHECK(pf_job_next_waiting(job) == &job->frames[1]);
    for (size_t i = 1; i < 5; i++)
        pf_job_set_step(job, &job->frames[i], PF_STEP_SENT);
    CHECK(pf_job_next_waiting(job) == &job->frames[0]);
    pf_job_free(job);

    /* The others are another picture: these are no more than it because of that. */
    job = job_of(4);
    set_result(job, 0, "fused", "", NULL);
    for (size_t i = 1; i < 4; i++)
        set_result(job, i, "aside", "correlation 0.1", "unlike");
    job->frames[1].taken = job->frames[2].taken = job->frames[3].taken = true;
    CHECK(!pf_job_regroup(job));
    pf_job_free(job);
}

TEST(job_finds_groups_anew)
{
    struct pf_job *job = exposed();
    CHECK(pf_job_regroup(job));
    job->frames[0].stray = job->frames[0].excluded = true;
    job->frames[1].excluded = job->frames[1].discarded = true;
    pf_job_forget_groups(job);
    CHECK(!job->frames[0].stray && !job->frames[0].excluded);
    CHECK(job->frames[1].excluded);
    CHECK(!pf_stray_is_out(&job->stray, job->frames[0].group));
    job->frames[1].excluded = false;
    CHECK(pf_job_regroup(job)); /* as the first time */
    CHECK(pf_stray_is_out(&job->stray, job->frames[0].group));
    pf_job_free(job);
}

TEST(job_judges_exposures_unless_it_is_not_to_judge)
{
    struct pf_job *job = exposed();
    CHECK(pf_job_regroup(job));
    CHECK(pf_stray_is_out(&job->stray, job->frames[0].group));
    pf_job_free(job);

    job = exposed();
    job->in_force = json_pack("{s:b}", "judge", false);
    CHECK(!pf_job_regroup(job));
    CHECK(!pf_stray_is_out(&job->stray, job->frames[0].group));
    pf_job_free(job);
}

TEST(sidecar_tells_every_frame_in_capture_order)
{
    struct pf_settings settings;
    struct pf_job *job = job_of(3);
    CHECK_EQ(pf_settings_init(&settings, NULL), 0);
    job->version = 2;
    job->complete = strdup("gap");
    set_result(job, 0, "fused", "", NULL);
    json_object_set_new(job->frames[0].result, "reference", json_true());
    set_result(job, 1, "aside", "blurred", "soft");
    job->frames[2].excluded = true;
    job->frames[2].attempts = 2;
    strcpy(job->frames[2].reason, "deadly");

    json_t *sidecar = pf_sidecar(job, &settings);
    CHECK_STR(json_string_value(json_object_get(sidecar, "burst")), "burst");
    CHECK_EQ(json_integer_value(json_object_get(sidecar, "version")), 2);
    CHECK_EQ(json_integer_value(json_object_get(sidecar, "fused")), 1);
    CHECK_EQ(json_integer_value(json_object_get(sidecar, "aside")), 2);
    CHECK_STR(json_string_value(json_object_get(sidecar, "first")), "1970-01-01T00:00:08.000");
    CHECK_STR(json_string_value(json_object_get(sidecar, "last")), "1970-01-01T00:00:10.000");
    const json_t *frames = json_object_get(sidecar, "frames");
    const json_t *first = json_array_get(frames, 0), *last = json_array_get(frames, 2);
    CHECK_STR(json_string_value(json_object_get(first, "path")), "/in/c.jpg");
    CHECK_STR(json_string_value(json_object_get(first, "reason")), "deadly");
    CHECK_STR(json_string_value(json_object_get(first, "verdict")), "aside");
    CHECK_EQ(json_integer_value(json_object_get(first, "attempts")), 2);
    CHECK(json_is_false(json_object_get(first, "reference")));
    CHECK(!json_object_get(first, "counter") && !json_object_get(first, "iso"));
    CHECK_STR(json_string_value(json_object_get(last, "verdict")), "fused");
    CHECK(json_is_true(json_object_get(last, "reference")));
    const json_t *used = json_object_get(sidecar, "settings");
    CHECK_STR(json_string_value(json_object_get(used, "motion")), "similarity");
    CHECK(json_is_true(json_object_get(used, "depth_map")));
    json_decref(sidecar);
    pf_settings_free(&settings);
    pf_job_free(job);
}

static bool has_grids(const json_t *frame)
{
    return json_object_get(json_object_get(frame, "focus"), "grid") &&
           json_object_get(json_object_get(frame, "displacement"), "grid");
}

/* What it says of an enormous burst fits into a line for the worker. */
TEST(sidecar_of_very_many_frames_leaves_their_grids_out)
{
    struct pf_settings settings;
    CHECK_EQ(pf_settings_init(&settings, NULL), 0);
    struct pf_job *job = job_of(1);
    set_result(job, 0, "fused", "", NULL);
    json_object_update_new(job->frames[0].result,
                           json_pack("{s:{s:f, s:[i]}, s:{s:[i]}}", "focus", "tenengrad", 2.5,
                                     "grid", 1, "displacement", "grid", 1));
    job->complete = strdup("gap");
    for (int i = 1; i <= PF_SIDECAR_GRIDS_MAX; i++) {
        json_t *sidecar = i + 1 < PF_SIDECAR_GRIDS_MAX ? NULL : pf_sidecar(job, &settings);
        if (sidecar)
            CHECK(has_grids(json_array_get(json_object_get(sidecar, "frames"), job->count - 1)));
        json_decref(sidecar);
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        CHECK_EQ(pf_job_add(job, record(name, 20), NULL), 1);
    }
    json_t *sidecar = pf_sidecar(job, &settings);
    const json_t *last = json_array_get(json_object_get(sidecar, "frames"), job->count - 1);
    CHECK_STR(json_string_value(json_object_get(last, "verdict")), "fused");
    CHECK(json_object_get(json_object_get(last, "focus"), "tenengrad"));
    CHECK(!json_object_get(json_object_get(last, "focus"), "grid"));
    CHECK(!json_object_get(json_object_get(last, "displacement"), "grid"));
    CHECK(has_grids(job->frames[0].result));
    json_decref(sidecar);
    pf_settings_free(&settings);
    pf_job_free(job);
}

TEST(complete_jobs_go_first)
{
    struct pf_job *jobs = NULL, *open = job_of(2), *complete = job_of(2), *of = NULL;
    int64_t pixels = 0;
    complete->burst = 8;
    complete->complete = strdup("gap");
    open->frames[1].record->width = 300;
    open->frames[1].record->height = 200;
    pf_jobs_append(&jobs, open);
    pf_jobs_append(&jobs, complete);
    CHECK(pf_jobs_find(jobs, 8) == complete);
    CHECK(!pf_jobs_find(jobs, 9));
    CHECK(pf_jobs_next_to_open(jobs, 100) == complete);
    complete->hold_until_ms = 101; /* after a failure */
    CHECK(pf_jobs_next_to_open(jobs, 100) == open);
    complete->hold_until_ms = 0;
    complete->out = PF_OUT_FINDING;
    CHECK(pf_jobs_next_to_open(jobs, 100) == open);
    CHECK(!pf_jobs_next_frame(jobs, &of));

    open->stage = complete->stage = PF_JOB_ACTIVE;
    open->key = strdup("burst.1");
    complete->key = strdup("burst.2");
    CHECK(pf_jobs_find_key(jobs, "burst.2") == complete);
    CHECK(!pf_jobs_find_key(jobs, "burst.3"));
    CHECK(!pf_jobs_find_key(jobs, NULL));
    CHECK_EQ(pf_jobs_in_worker(jobs), 2);
    CHECK(pf_jobs_next_frame(jobs, &of) == &complete->frames[0]);
    CHECK(of == complete);
    pf_job_set_step(complete, &complete->frames[0], PF_STEP_SENT);
    pf_job_set_step(complete, &complete->frames[1], PF_STEP_DONE);
    pf_job_set_step(open, &open->frames[0], PF_STEP_DONE);
    CHECK(pf_jobs_next_frame(jobs, &of) == &open->frames[1]);
    CHECK(of == open);
    pf_job_set_step(open, &open->frames[1], PF_STEP_SENT);
    CHECK_EQ(pf_jobs_frames_sent(jobs, &pixels), 2);
    CHECK_EQ(pixels, 60000);
    CHECK(!pf_jobs_next_frame(jobs, &of));
    CHECK(!pf_jobs_writing(jobs));
    complete->stage = PF_JOB_FINISHING;
    CHECK(pf_jobs_writing(jobs));

    pf_jobs_take_out(&jobs, open);
    CHECK(jobs == complete && !open->next && !complete->next);
    pf_job_free(open);
    pf_job_free(complete);
}

static struct pf_record *arriving(const char *content, int64_t arrival_ms)
{
    struct pf_record *made = record(content, arrival_ms);
    made->arrival_ms = arrival_ms;
    return made;
}

/* Its files are tried in turn, from the newest on, each once in a round. */
TEST(job_tries_all_files_of_a_frame)
{
    struct pf_record record = {.path = (char[]){"/in/a"}};
    struct pf_job_frame frame = {.record = &record};
    char *paths[] = {(char[]){"/in/a"}, (char[]){"/in/b"}, (char[]){"/in/c"}, (char[]){"/in/d"}};
    CHECK(!pf_job_other_file(&frame, NULL, 0, true));
    CHECK(!pf_job_other_file(&frame, paths, 1, true));
    for (int round = 0; round < 2; round++) {
        frame.path = paths[0];
        frame.trouble_ms = round;
        frame.path = (char *)pf_job_other_file(&frame, paths, 3, true);
        CHECK_STR(frame.path, "/in/c");
        frame.trouble_ms = 1;
        frame.path = (char *)pf_job_other_file(&frame, paths, 3, round == 0);
        CHECK_STR(frame.path, "/in/b");
        CHECK(!pf_job_other_file(&frame, paths, 3, true));
        CHECK_EQ(frame.there, round == 1);
    }
    /* One more has come: what has failed is tried once more, too. */
    frame.path = (char *)pf_job_other_file(&frame, paths, 3, true);
    CHECK_STR(frame.path, "/in/a");
    CHECK(!frame.there);
    for (int i = 3; i > 0; i--) {
        frame.path = (char *)pf_job_other_file(&frame, paths, 4, true);
        CHECK_STR(frame.path, paths[i]);
    }
    CHECK(!pf_job_other_file(&frame, paths, 4, true));
    /* Another content has taken the file that it had. */
    frame.path = (char[]){"/in/z"};
    CHECK_STR(pf_job_other_file(&frame, paths, 2, true), "/in/b");
}

/* Frames of a rail that come every three seconds: the pause after which no other is expected. */
TEST(job_is_written_ahead_after_a_pause_longer_than_the_others)
{
    struct pf_job *job = job_of(0);
    CHECK_EQ(pf_job_add(job, arriving("a", 100000), NULL), 1);
    CHECK_EQ(pf_job_ahead_at(job), 100500);
    CHECK_EQ(pf_job_add(job, arriving("b", 103000), NULL), 1);
    CHECK_EQ(pf_job_ahead_at(job), 103000 + 3375);
    CHECK_EQ(pf_job_add(job, arriving("c", 104000), NULL), 1);
    CHECK_EQ(pf_job_ahead_at(job), 104000 + 3375);
    job->ahead = PF_AHEAD_WRITTEN;
    job->ahead_count = 3;
    CHECK(pf_job_is_ahead(job));
    CHECK_EQ(pf_job_add(job, arriving("c", 104000), NULL), 0); /* the same again */
    CHECK(pf_job_is_ahead(job));
    CHECK_EQ(pf_job_add(job, arriving("d", 110000), NULL), 1);
    CHECK(!pf_job_is_ahead(job));
    CHECK_EQ(pf_job_ahead_at(job), 110000 + 2 * 6750);
    CHECK_EQ(pf_job_add(job, arriving("e", 109000), NULL), 1); /* told late: in vain once */
    CHECK_EQ(pf_job_ahead_at(job), 110000 + 2 * 6750);
    CHECK_EQ(pf_job_add(job, arriving("f", 900000), NULL), 1); /* hours later */
    CHECK_EQ(pf_job_ahead_at(job), 900000 + 2 * 6750);
    job->ahead_in_vain = 1000;
    CHECK(pf_job_ahead_at(job) > 900000);
    pf_job_forget_stack(job);
    CHECK_EQ(job->ahead, PF_AHEAD_NONE);
    pf_job_free(job);
}
