/* The journal: frames, files, bursts and their states. */
#include "tests/unit/journal_steps.h"

TEST(journal_frame_survives_reopening)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    CHECK_EQ(record_as(journal, 1, NULL), PF_JOURNAL_NEW);
    pf_journal_close(journal);
    journal = open_in(test_directory());
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_EQ(frames.count, 1);
    const struct pf_record *record = frames.items[0].record;
    struct pf_record *expected = record_of(1);
    CHECK_STR(record->path, expected->path);
    CHECK_STR(record->source, expected->source);
    CHECK_STR(record->serial, expected->serial);
    CHECK(!record->lens);
    CHECK_EQ(record->inode, expected->inode);
    CHECK_EQ(record->capture_ms, expected->capture_ms);
    CHECK_EQ(record->arrival_ms, expected->arrival_ms); /* same boot: as it was */
    CHECK_NEAR(record->exposure_s, 0.25, 0);
    CHECK_EQ(frames.items[0].state, PF_FRAME_RECORDED);
    CHECK_EQ(frames.items[0].attempts, 0);
    pf_record_free(expected);
    pf_journal_frames_free(&frames);
    pf_journal_close(journal);
}

TEST(journal_one_content_two_names_is_one_frame)
{
    struct pf_journal *journal = open_in(test_directory());
    CHECK_EQ(record_as(journal, 1, "/in/a.jpg"), PF_JOURNAL_NEW);
    CHECK_EQ(record_as(journal, 1, "/in/a.jpg"), PF_JOURNAL_AGAIN);
    CHECK_EQ(record_as(journal, 1, "/in/b\xff\n.jpg"), PF_JOURNAL_COPY);
    CHECK_EQ(record_as(journal, 1, "/in/b\xff\n.jpg"), PF_JOURNAL_AGAIN);
    check_frame(journal, 1, PF_FRAME_RECORDED, 0, "/in/a.jpg /in/b\xff\n.jpg");
    pf_journal_close(journal);
}

TEST(journal_one_name_two_contents_are_two_frames)
{
    struct pf_journal *journal = open_in(test_directory());
    CHECK_EQ(record_as(journal, 1, "/in/a.jpg"), PF_JOURNAL_NEW);
    CHECK_EQ(record_as(journal, 2, "/in/a.jpg"), PF_JOURNAL_NEW);
    check_frame(journal, 1, PF_FRAME_RECORDED, 0, ""); /* its file is gone */
    check_frame(journal, 2, PF_FRAME_RECORDED, 0, "/in/a.jpg");
    CHECK_EQ(record_as(journal, 1, "/in/c.jpg"), PF_JOURNAL_COPY);
    check_frame(journal, 1, PF_FRAME_RECORDED, 0, "/in/c.jpg");
    pf_journal_close(journal);
}

struct walk {
    int count, stop_at;
    char text[1024];
};

static int note_file(void *context, const struct pf_journal_file *file)
{
    struct walk *walk = context;
    snprintf(walk->text + strlen(walk->text), sizeof(walk->text) - strlen(walk->text),
             "%s %lld %lld %lld %lld %s\n", file->path, (long long)file->size_bytes,
             (long long)file->mtime_ns, (long long)file->ctime_ns, (long long)file->inode,
             file->frame ? "frame" : "-");
    return ++walk->count == walk->stop_at ? -ECANCELED : 0;
}

/* Each of them looks at all that cameras have in the spool. */
TEST(journal_knows_the_files_of_all_cameras_alike)
{
    struct pf_journal *journal = open_in(test_directory());
    struct pf_error err = {0};
    static const char *const sources[] = {"camera", "camera:4711", "folder:/in", "camerb"};
    for (int n = 0; n < 4; n++) {
        struct pf_record *record = record_of(n + 1);
        enum pf_journal_seen seen;
        free(record->source);
        record->source = copy(sources[n]);
        CHECK_OK(pf_journal_record_frame(journal, record, &seen, &err), &err);
        pf_record_free(record);
    }
    for (int n = 0; n < 3; n++) {
        struct walk known = {0};
        CHECK_OK(pf_journal_known(journal, sources[n], note_file, &known, &err), &err);
        CHECK_EQ(known.count, n < 2 ? 2 : 1);
    }
    pf_journal_close(journal);
}

TEST(journal_known_and_rejected_files)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    const char *source = "folder:/data/in box";
    record_as(journal, 1, NULL);
    record_as(journal, 2, NULL);
    CHECK_OK(pf_journal_reject(journal, source, "/in/x.jpg", 12, 34, "truncated", &err), &err);
    CHECK_OK(pf_journal_reject(journal, source, "/in/IMG_0002.JPG", 0, 35, "empty", &err), &err);
    CHECK_OK(pf_journal_reject(journal, "folder:/other", "/o/y.jpg", 1, 2, "no", &err), &err);

    struct walk known = {0}, stopped = {.stop_at = 1};
    CHECK_OK(pf_journal_known(journal, source, note_file, &known, &err), &err);
    CHECK_STR(known.text, "/in/IMG_0001.JPG 1001 5000000001 6000000001 -2 frame\n");

    CHECK_EQ(record_as(journal, 3, "/in/x.jpg"), PF_JOURNAL_NEW); /* whole by now */
    CHECK_EQ(pf_journal_known(journal, source, note_file, &stopped, &err), -ECANCELED);
    CHECK_EQ(stopped.count, 1);
    known = (struct walk){0};
    CHECK_OK(pf_journal_known(journal, source, note_file, &known, &err), &err);
    CHECK_EQ(known.count, 2);
    CHECK(strstr(known.text, "/in/x.jpg ") && !strstr(known.text, "IMG_0002"));
    pf_journal_close(journal);
}

TEST(journal_life_of_a_burst)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    int64_t next = 0;
    int version = 0;
    CHECK_OK(pf_journal_next_burst(journal, &next, &err), &err);
    CHECK_EQ(next, 1);
    for (int n = 1; n <= 3; n++)
        join(journal, 7, n, false);
    CHECK_OK(pf_journal_next_burst(journal, &next, &err), &err);
    CHECK_EQ(next, 8);
    CHECK_STR(burst_text(journal, 7), "open 0/0 3 [] [] []");
    CHECK_OK(pf_journal_complete(journal, 7, "gap", &version, &err), &err);
    CHECK_EQ(version, 1);
    CHECK_STR(burst_text(journal, 7), "complete 1/0 3 [gap] [] []");
    CHECK_EQ(pf_journal_complete(journal, 7, "gap", &version, NULL), -EINVAL);

    struct pf_identity first = id_of(1), second = id_of(2), stranger = id_of(99);
    json_t *scores = json_pack("{s:f}", "tenengrad", 2.5);
    CHECK_OK(pf_journal_frame_result(journal, 7, &first, true, NULL, scores, &err), &err);
    CHECK_OK(pf_journal_frame_result(journal, 7, &second, false, "motion blur", NULL, &err), &err);
    CHECK_EQ(pf_journal_frame_result(journal, 7, &stranger, true, NULL, NULL, NULL), -ENOENT);
    CHECK_EQ(pf_journal_frame_result(journal, 8, &first, true, NULL, NULL, NULL), -ENOENT);

    CHECK_EQ(pf_journal_published(journal, 7, 2, "/out/7", NULL), -EINVAL);
    CHECK_OK(pf_journal_published(journal, 7, 1, "/out/7", &err), &err);
    CHECK_STR(burst_text(journal, 7), "published 1/1 3 [gap] [] [/out/7]");
    CHECK_EQ(pf_journal_published(journal, 7, 1, "/out/again", NULL), -EEXIST);
    CHECK_STR(burst_text(journal, 7), "published 1/1 3 [gap] [] [/out/7]");

    pf_journal_close(journal);
    journal = open_in(test_directory());
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_burst_frames(journal, 7, &frames, &err), &err);
    CHECK_EQ(frames.count, 3);
    for (int n = 1; n <= 3; n++) {
        struct pf_identity id = id_of(n);
        CHECK_STR(frames.items[n - 1].record->id.text, id.text);
        CHECK(!frames.items[n - 1].late);
    }
    CHECK_EQ(frames.items[0].state, PF_FRAME_FUSED);
    CHECK(json_equal(frames.items[0].scores, scores));
    CHECK_EQ(frames.items[1].state, PF_FRAME_ASIDE);
    CHECK_STR(frames.items[1].reason, "motion blur");
    CHECK_EQ(frames.items[2].state, PF_FRAME_IN_BURST);
    CHECK(!frames.items[2].scores);
    pf_journal_frames_free(&frames);
    json_decref(scores);
    pf_journal_close(journal);
}

TEST(journal_late_frame_makes_a_new_version)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    int version = 0;
    for (int n = 1; n <= 3; n++)
        join(journal, 1, n, false);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", NULL, &err), &err);

    /* While version 1 is being made: a late frame, and its completion. Version 1 comes out, and
     * version 2 is still wanted. */
    struct pf_record *record = record_of(4);
    struct pf_identity id = record->id;
    record_as(journal, 4, NULL);
    CHECK_EQ(pf_journal_join(journal, 1, &id, false, NULL), -EINVAL);
    CHECK_OK(pf_journal_join(journal, 1, &id, true, &err), &err);
    CHECK_EQ(pf_journal_join(journal, 1, &id, true, NULL), -EEXIST);
    pf_record_free(record);
    CHECK_STR(burst_text(journal, 1), "open 1/0 4 [gap] [] []");
    CHECK_OK(pf_journal_complete(journal, 1, "gap", &version, &err), &err);
    CHECK_EQ(version, 2);
    CHECK_OK(pf_journal_published(journal, 1, 1, "/out/1", &err), &err);
    CHECK_STR(burst_text(journal, 1), "complete 2/1 4 [gap] [] [/out/1]");

    /* The same with a late frame that is not complete yet. */
    join(journal, 1, 5, true);
    CHECK_OK(pf_journal_published(journal, 1, 2, "/out/1-2", &err), &err);
    CHECK_STR(burst_text(journal, 1), "open 2/2 5 [gap] [] [/out/1-2]");
    CHECK_OK(pf_journal_complete(journal, 1, "finished by hand", &version, &err), &err);
    CHECK_EQ(version, 3);
    CHECK_OK(pf_journal_published(journal, 1, 3, "/out/1-3", &err), &err);
    CHECK_STR(burst_text(journal, 1), "published 3/3 5 [finished by hand] [] [/out/1-3]");

    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_burst_frames(journal, 1, &frames, &err), &err);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(frames.items[i].late, i >= 3);
    pf_journal_frames_free(&frames);
    pf_journal_close(journal);
}

TEST(journal_failure_and_retry)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    join(journal, 1, 1, false);
    CHECK_EQ(pf_journal_retry(journal, 1, NULL), -EINVAL);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", NULL, &err), &err);
    CHECK_OK(pf_journal_failed(journal, 1, 1, "nothing could be fused", &err), &err);
    CHECK_STR(burst_text(journal, 1), "failed 1/0 1 [gap] [nothing could be fused] []");
    CHECK_OK(pf_journal_retry(journal, 1, &err), &err);
    CHECK_STR(burst_text(journal, 1), "complete 1/0 1 [gap] [] []");

    /* A late frame meanwhile: the failure of the old version is no failure of the burst. */
    join(journal, 1, 2, true);
    CHECK_EQ(pf_journal_failed(journal, 1, 1, "too late", NULL), -EEXIST);
    CHECK_STR(burst_text(journal, 1), "open 1/0 2 [gap] [] []");
    CHECK_OK(pf_journal_not_a_stack(journal, 1, "gap", "2 frames, fewer than 3", &err), &err);
    CHECK_STR(burst_text(journal, 1), "not a stack 1/0 2 [gap] [2 frames, fewer than 3] []");
    CHECK_EQ(pf_journal_failed(journal, 9, 1, "?", &err), -ENOENT);
    pf_journal_close(journal);
}

static bool is_dismissed(struct pf_journal *journal, int64_t number)
{
    struct pf_error err = {0};
    struct pf_journal_bursts bursts = {0};
    CHECK_OK(pf_journal_burst(journal, number, &bursts, &err), &err);
    bool is = bursts.items[0].dismissed;
    pf_journal_bursts_free(&bursts);
    return is;
}

TEST(journal_dismisses_what_has_failed_until_it_fails_again)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    join(journal, 1, 1, false);
    CHECK_EQ(pf_journal_dismiss(journal, 1, NULL), -EINVAL);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", NULL, &err), &err);
    CHECK_OK(pf_journal_failed(journal, 1, 1, "nothing could be fused", &err), &err);
    CHECK(!is_dismissed(journal, 1));
    CHECK_OK(pf_journal_dismiss(journal, 1, &err), &err);
    CHECK_STR(burst_text(journal, 1), "failed 1/0 1 [gap] [nothing could be fused] []");
    pf_journal_close(journal);
    journal = open_in(test_directory());
    CHECK(is_dismissed(journal, 1));
    CHECK_OK(pf_journal_retry(journal, 1, &err), &err);
    CHECK_OK(pf_journal_failed(journal, 1, 1, "nor this time", &err), &err);
    CHECK(!is_dismissed(journal, 1));
    CHECK_EQ(pf_journal_dismiss(journal, 9, NULL), -ENOENT);
    pf_journal_close(journal);
}

static void set_aside(struct pf_journal *journal, int n, const char *scores)
{
    struct pf_error err = {0};
    struct pf_identity id = id_of(n);
    json_t *object = json_loads(scores, 0, NULL);
    CHECK_OK(pf_journal_frame_result(journal, 1, &id, false, "lost", object, &err), &err);
    json_decref(object);
}

/* "excluded discarded" of the scores of a frame. */
static const char *flags(struct pf_journal *journal, int n)
{
    static char text[16];
    struct pf_error err = {0};
    struct pf_identity id = id_of(n);
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_frame(journal, &id, &frames, &err), &err);
    const json_t *scores = frames.items[0].scores;
    snprintf(text, sizeof(text), "%d %d", json_is_true(json_object_get(scores, "excluded")),
             json_is_true(json_object_get(scores, "discarded")));
    CHECK_EQ(json_integer_value(json_object_get(scores, "width")), n);
    pf_journal_frames_free(&frames);
    return text;
}

/* What a person asks for holds from then on: a restart at once does not take it back. */
TEST(journal_tries_all_frames_again_but_those_that_were_discarded)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    int version;
    for (int n = 1; n <= 3; n++)
        join(journal, 1, n, false);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", NULL, &err), &err);
    for (int again = 0; again < 2; again++) {
        set_aside(journal, 1, "{\"width\":1,\"excluded\":true}");
        set_aside(journal, 2, "{\"width\":2,\"excluded\":true,\"discarded\":true}");
        set_aside(journal, 3, "{\"width\":3}");
        CHECK_OK(pf_journal_failed(journal, 1, 1, "nothing could be fused", &err), &err);
        CHECK_STR(flags(journal, 1), "1 0");
        CHECK_OK(again ? pf_journal_restack(journal, 1, NULL, &version, &err)
                       : pf_journal_retry(journal, 1, &err),
                 &err);
        CHECK_STR(flags(journal, 1), "0 0");
        CHECK_STR(flags(journal, 2), "1 1");
        CHECK_STR(flags(journal, 3), "0 0");
    }
    pf_journal_close(journal);
}

TEST(journal_attempts)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    struct pf_identity id = id_of(1);
    int attempts = 0;
    CHECK_EQ(pf_journal_frame_attempt(journal, &id, &attempts, NULL), -ENOENT);
    record_as(journal, 1, NULL);
    for (int i = 1; i <= 3; i++) {
        CHECK_OK(pf_journal_frame_attempt(journal, &id, &attempts, &err), &err);
        CHECK_EQ(attempts, i);
    }
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_frame(journal, &id, &frames, &err), &err);
    CHECK_EQ(frames.items[0].attempts, 3);
    pf_journal_frames_free(&frames);
    pf_journal_close(journal);
}

static void check_id(struct pf_journal *journal, int64_t number, int64_t capture_ms,
                     const char *serial, const char *source, const char *expected)
{
    struct pf_error err = {0};
    struct pf_journal_bursts bursts = {0};
    char id[PF_BURST_ID_MAX];
    struct pf_record *record = record_of(1);
    free(record->serial);
    free(record->source);
    record->serial = serial ? copy(serial) : NULL;
    record->source = copy(source);
    record->capture_ms = capture_ms;
    CHECK_OK(pf_journal_open_burst(journal, number, record, id, &err), &err);
    CHECK_EQ(pf_journal_open_burst(journal, number, record, NULL, NULL), -EEXIST);
    const char *part = *expected == '-' ? id + strlen("20260102-030405") : id;
    CHECK_STR(part, expected);
    CHECK_OK(pf_journal_burst(journal, number, &bursts, &err), &err);
    CHECK_STR(bursts.items[0].id, id);
    pf_journal_bursts_free(&bursts);
    pf_record_free(record);
}

TEST(journal_ids_of_bursts)
{
    struct pf_journal *journal = open_in(test_directory());
    const int64_t at_ms = INT64_C(1767323045678);
    check_id(journal, 1, at_ms, "SN42", "folder:/in", "20260102-030405-SN42-1");
    check_id(journal, 2, at_ms, NULL, "folder:/data/in box", "20260102-030405-in-box-2");
    check_id(journal, 3, at_ms, "0000", "folder:/data/inbox/", "20260102-030405-data-inbox-3");
    check_id(journal, 4, at_ms, "../../etc/\xff\xfe", "folder:/in", "20260102-030405-etc-4");
    check_id(journal, 5, at_ms, "\xff", "folder:/in", "20260102-030405-frames-5");
    check_id(journal, 6, -1, "SN", "folder:/in", "-SN-6");
    check_id(journal, 7, INT64_C(253402300800000), "SN", "folder:/in", "-SN-7"); /* year 10000 */
    pf_journal_close(journal);
}

TEST(journal_lists_of_bursts)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    for (int n = 1; n <= 6; n++)
        join(journal, n, n, false);
    CHECK_OK(pf_journal_complete(journal, 2, "gap", NULL, &err), &err);
    CHECK_OK(pf_journal_complete(journal, 4, "gap", NULL, &err), &err);
    struct pf_journal_bursts bursts = {0};
    CHECK_OK(pf_journal_bursts_in(journal, PF_BURST_STATE_COMPLETE, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 2);
    CHECK_EQ(bursts.items[0].number, 2);
    CHECK_EQ(bursts.items[1].number, 4);
    pf_journal_bursts_free(&bursts);
    CHECK_OK(pf_journal_bursts_in(journal, PF_BURST_STATE_FAILED, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 0);
    CHECK_OK(pf_journal_recent_bursts(journal, 4, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 4);
    for (size_t i = 1; i < bursts.count; i++)
        CHECK(bursts.items[i - 1].changed_wall_ms >= bursts.items[i].changed_wall_ms);
    pf_journal_bursts_free(&bursts);
    CHECK_EQ(pf_journal_burst(journal, 99, &bursts, NULL), -ENOENT);
    pf_journal_close(journal);
}

/* The RAW of a shot: found by the name that it shares, aside without a burst, and not loose. */
static void check_recent(struct pf_journal *journal, int state, const char *wanted)
{
    struct pf_error err = {0};
    char text[64] = "";
    int64_t next = INT64_MAX;
    do {
        struct pf_journal_frames frames = {0};
        CHECK_OK(pf_journal_recent_frames(journal, state, next, 2, &frames, &next, &err), &err);
        for (size_t i = 0; i < frames.count; i++) {
            const struct pf_journal_frame *frame = &frames.items[i];
            size_t used = strlen(text);
            snprintf(text + used, sizeof(text) - used, "%lld ",
                     (long long)frame->record->size_bytes - 1000);
            CHECK(state < 0 || (int)frame->state == state);
            /* Its grids are what a list has no use for. */
            const json_t *focus = json_object_get(frame->scores, "focus");
            CHECK(!focus || json_real_value(json_object_get(focus, "tenengrad")) == 2.5);
            CHECK(!json_object_get(focus, "grid"));
        }
        CHECK(next || frames.count <= 2);
        pf_journal_frames_free(&frames);
    } while (next);
    CHECK_STR(text, wanted);
}

TEST(journal_lists_of_frames)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    json_t *scores = json_pack("{s:{s:f, s:[f,f]}}", "focus", "tenengrad", 2.5, "grid", 1.5, 2.0);
    CHECK(scores);
    check_recent(journal, -1, "");
    for (int n = 1; n <= 6; n++)
        join(journal, 1, n, false);
    record_as(journal, 7, NULL);
    for (int n = 1; n <= 5; n++) {
        struct pf_identity id = id_of(n);
        CHECK_OK(pf_journal_frame_result(journal, 1, &id, n != 2 && n != 5, "why", scores, &err),
                 &err);
    }
    json_decref(scores);
    check_recent(journal, -1, "7 6 5 4 3 2 1 ");
    check_recent(journal, PF_FRAME_FUSED, "4 3 1 ");
    check_recent(journal, PF_FRAME_ASIDE, "5 2 ");
    check_recent(journal, PF_FRAME_IN_BURST, "6 ");
    check_recent(journal, PF_FRAME_RECORDED, "7 ");
    pf_journal_close(journal);
}

TEST(journal_companion)
{
    static const char *const others[] = {"/in/IMG_00010.CR2", "/in/IMG_000.CR2", "/in/IMG_0001",
                                         "/in/IMG_0001/x.CR2", "/other/IMG_0001.CR2"};
    struct pf_journal *journal = open_in(test_directory());
    struct pf_journal_frames frames = {0};
    struct pf_error err = {0};
    record_as(journal, 1, NULL);
    record_as(journal, 2, "/in/IMG_0001.CR2");
    for (int i = 0; i < 5; i++)
        record_as(journal, 3 + i, others[i]);
    struct pf_record *jpeg = record_of(1), *raw = record_of(2);
    CHECK_OK(pf_journal_namesakes(journal, jpeg->source, "/in/IMG_0001.JPG", &frames, &err), &err);
    CHECK_EQ(frames.count, 2);
    CHECK_STR(frames.items[0].record->id.text, jpeg->id.text);
    CHECK_STR(frames.items[1].record->id.text, raw->id.text);
    pf_journal_frames_free(&frames);
    CHECK_OK(pf_journal_namesakes(journal, "folder:/else", "/in/IMG_0001.JPG", &frames, &err),
             &err);
    CHECK_EQ(frames.count, 0);
    pf_journal_frames_free(&frames);

    CHECK_OK(pf_journal_companion(journal, &raw->id, &jpeg->id, &err), &err);
    CHECK_EQ(pf_journal_close(journal), NULL);
    journal = open_in(test_directory());
    CHECK_OK(pf_journal_frame(journal, &raw->id, &frames, &err), &err);
    CHECK_EQ(frames.items[0].state, PF_FRAME_ASIDE);
    CHECK_EQ(frames.items[0].burst, 0);
    CHECK_STR(json_string_value(json_object_get(frames.items[0].scores, PF_JOURNAL_COMPANION_OF)),
              jpeg->id.text);
    pf_journal_frames_free(&frames);
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_EQ(frames.count, 6);
    for (size_t i = 0; i < frames.count; i++)
        CHECK(strcmp(frames.items[i].record->id.text, raw->id.text) != 0);
    pf_journal_frames_free(&frames);
    /* What is in a burst stays there. */
    CHECK_OK(pf_journal_open_burst(journal, 1, jpeg, (char[PF_BURST_ID_MAX]){0}, &err), &err);
    CHECK_OK(pf_journal_join(journal, 1, &jpeg->id, false, &err), &err);
    CHECK_EQ(pf_journal_companion(journal, &jpeg->id, &raw->id, &err), -ENOENT);
    pf_record_free(jpeg);
    pf_record_free(raw);
    pf_journal_close(journal);
}

TEST(journal_batch)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    CHECK_EQ(pf_journal_commit(journal, NULL), -EINVAL);
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    CHECK_EQ(pf_journal_begin(journal, NULL), -EBUSY);
    join(journal, 1, 1, false);
    pf_journal_rollback(journal);
    pf_journal_rollback(journal); /* no batch: nothing happens */

    CHECK_OK(pf_journal_begin(journal, &err), &err);
    join(journal, 1, 2, false);
    /* A step that fails takes nothing with it. */
    struct pf_identity unknown = id_of(9);
    CHECK_EQ(pf_journal_join(journal, 1, &unknown, false, NULL), -ENOENT);
    join(journal, 1, 3, false);
    CHECK_OK(pf_journal_commit(journal, &err), &err);
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    join(journal, 1, 4, false);
    pf_journal_close(journal); /* without commit */

    journal = open_in(test_directory());
    CHECK_STR(burst_text(journal, 1), "open 0/0 2 [] [] []");
    check_frame(journal, 3, PF_FRAME_IN_BURST, 1, "/in/IMG_0003.JPG");
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_EQ(frames.count, 0);
    pf_journal_close(journal);
}
