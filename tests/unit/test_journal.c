#include "config/base/time.h"
#include "service/journal.h"

#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "config/base/file.h"
#include "service/journal_db.h" /* the queries, whose plans are checked */
#include "tests/unit/test.h"

static char *copy(const char *text)
{
    char *made = strdup(text);
    CHECK(made);
    return made;
}

/* The record of frame n; its content is n. */
static struct pf_record *record_of(int n)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    CHECK(record);
    char path[64];
    snprintf(path, sizeof(path), "/in/IMG_%04d.JPG", n);
    record->path = copy(path);
    record->source = copy("folder:/data/in box");
    record->id = pf_identity_of_memory(&n, sizeof(n));
    record->size_bytes = 1000 + n;
    record->mtime_ns = 5000000000 + n;
    record->ctime_ns = 6000000000 + n;
    record->inode = UINT64_MAX - (uint64_t)n;
    record->arrival_ms = 1000 * n;
    record->format = copy("jpeg");
    record->width = 60;
    record->height = 40;
    record->orientation = 1;
    record->capture_ms = INT64_C(1767323045000) + 100 * n; /* 2026-01-02 03:04:05 */
    record->serial = copy("12345");
    record->exposure_s = 0.25;
    record->sequence = -1;
    record->counter = n;
    return record;
}

static struct pf_journal *open_in(const char *directory)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_journal_open(&journal, directory, &err), &err);
    return journal;
}

static enum pf_journal_seen record_as(struct pf_journal *journal, int n, const char *path)
{
    struct pf_error err = {0};
    struct pf_record *record = record_of(n);
    enum pf_journal_seen seen;
    if (path) {
        free(record->path);
        record->path = copy(path);
    }
    CHECK_OK(pf_journal_record_frame(journal, record, &seen, &err), &err);
    pf_record_free(record);
    return seen;
}

static struct pf_identity id_of(int n)
{
    return pf_identity_of_memory(&n, sizeof(n));
}

/* Records frame n, which joins the burst; a burst that is not there is opened. */
static void join(struct pf_journal *journal, int64_t burst, int n, bool late)
{
    struct pf_error err = {0};
    struct pf_journal_bursts found = {0};
    struct pf_identity id = id_of(n);
    record_as(journal, n, NULL);
    if (pf_journal_burst(journal, burst, &found, NULL) == -ENOENT) {
        struct pf_record *record = record_of(n);
        CHECK_OK(pf_journal_open_burst(journal, burst, record, NULL, &err), &err);
        pf_record_free(record);
    }
    pf_journal_bursts_free(&found);
    CHECK_OK(pf_journal_join(journal, burst, &id, late, &err), &err);
}

/* "state wanted/published frames [reason] [detail] [directory]" */
static const char *burst_text(struct pf_journal *journal, int64_t number)
{
    static char text[512];
    struct pf_error err = {0};
    struct pf_journal_bursts bursts = {0};
    CHECK_OK(pf_journal_burst(journal, number, &bursts, &err), &err);
    CHECK_EQ(bursts.count, 1);
    const struct pf_journal_burst *burst = &bursts.items[0];
    CHECK_EQ(burst->number, number);
    snprintf(text, sizeof(text), "%s %d/%d %zu [%s] [%s] [%s]", pf_burst_state_name(burst->state),
             burst->wanted, burst->published, burst->frames, burst->reason ? burst->reason : "",
             burst->detail ? burst->detail : "", burst->directory ? burst->directory : "");
    pf_journal_bursts_free(&bursts);
    return text;
}

static const char *join_paths(const struct pf_journal_frame *frame)
{
    static char text[512];
    text[0] = '\0';
    for (size_t i = 0; i < frame->path_count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 frame->paths[i]);
    return text;
}

static void check_frame(struct pf_journal *journal, int n, enum pf_frame_state state, int64_t burst,
                        const char *paths)
{
    struct pf_error err = {0};
    struct pf_journal_frames frames = {0};
    struct pf_identity id = id_of(n);
    CHECK_OK(pf_journal_frame(journal, &id, &frames, &err), &err);
    CHECK_EQ(frames.count, 1);
    CHECK_EQ(frames.items[0].state, state);
    CHECK_EQ(frames.items[0].burst, burst);
    CHECK_STR(join_paths(&frames.items[0]), paths);
    CHECK_STR(frames.items[0].record->id.text, id.text);
    pf_journal_frames_free(&frames);
}

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
    CHECK_OK(pf_journal_failed(journal, 1, 1, "too late", &err), &err);
    CHECK_STR(burst_text(journal, 1), "open 1/0 2 [gap] [] []");
    CHECK_OK(pf_journal_not_a_stack(journal, 1, "gap", "2 frames, fewer than 3", &err), &err);
    CHECK_STR(burst_text(journal, 1), "not a stack 1/0 2 [gap] [2 frames, fewer than 3] []");
    CHECK_EQ(pf_journal_failed(journal, 9, 1, "?", &err), -ENOENT);
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

TEST(journal_second_service_is_refused)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory()), *second = NULL;
    char process[64];
    CHECK_EQ(pf_journal_open(&second, test_directory(), &err), -EBUSY);
    snprintf(process, sizeof(process), "(process %d)", (int)getpid());
    CHECK(strstr(err.text, process));
    CHECK(strstr(err.text, test_directory()));
    CHECK(!second);
    CHECK(!pf_journal_close(journal));
    journal = open_in(test_directory()); /* and accepted once the first one has gone */
    pf_journal_close(journal);
}

TEST(journal_refuses_network_file_systems)
{
    static const struct {
        uint64_t type;
        const char *mount_type;
        bool refused;
    } cases[] = {
        {0xef53, "ext4", false},          {0x58465342, "xfs", false},
        {0x9123683e, "btrfs", false},     {0x01021994, "tmpfs", false},
        {0x794c7630, "overlay", false},   {0x2fc12fc1, "zfs", false},
        {0x4d44, "vfat", false},          {0x6969, "nfs4", true},
        {0xff534d42, "cifs", true},       {0xfe534d42, "cifs", true},
        {0x517b, "smbfs", true},          {0x01021997, "9p", true},
        {0x00c36400, "ceph", true},       {UINT64_C(0xffffffffff534d42), "cifs", true},
        {0x65735546, "fuse.sshfs", true}, {0x65735546, "fuse.rclone", true},
        {0x65735546, "virtiofs", true},   {0x65735546, NULL, true},
        {0x65735546, "fuseblk", false},   {0x65735546, "fuse.fuse-overlayfs", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *refused = pf_journal_refuses(cases[i].type, cases[i].mount_type);
        if (!!refused != cases[i].refused)
            FAIL("%s: %s", cases[i].mount_type ? cases[i].mount_type : "unknown FUSE",
                 refused ? refused : "accepted");
    }
}

/* ---- damage ---- */

static char *database_path(void)
{
    static char path[4200];
    snprintf(path, sizeof(path), "%s/journal.sqlite", test_directory());
    return path;
}

static void write_file(const char *path, const char *text)
{
    struct pf_error err = {0};
    CHECK_OK(pf_write_file_durable(path, text, strlen(text), &err), &err);
}

/* Refused with -code and left as it is, to the byte. */
static void check_refused(int code, const char *words)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    struct pf_identity before = {""}, after = {""};
    int fd = open(database_path(), O_RDONLY);
    if (fd >= 0)
        CHECK_OK(pf_identity_of_fd(fd, &before, &err), &err);
    CHECK_EQ(pf_journal_open(&journal, test_directory(), &err), -code);
    CHECK(!journal);
    if (!strstr(err.text, words) || !strstr(err.text, "journal.sqlite"))
        FAIL("\"%s\" does not say \"%s\"", err.text, words);
    if (fd >= 0) {
        close(fd);
        fd = open(database_path(), O_RDONLY);
        CHECK(fd >= 0);
        CHECK_OK(pf_identity_of_fd(fd, &after, &err), &err);
        close(fd);
    } else {
        CHECK(access(database_path(), F_OK) < 0);
    }
    CHECK_STR(before.text, after.text);
}

TEST(journal_damaged_is_never_made_anew)
{
    struct pf_journal *journal = open_in(test_directory());
    for (int n = 1; n <= 400; n++)
        join(journal, 1, n, false);
    pf_journal_close(journal);

    int fd = open(database_path(), O_RDWR);
    struct stat st;
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 65536);
    char noise[20000];
    memset(noise, 0xa5, sizeof(noise));
    CHECK(pwrite(fd, noise, sizeof(noise), st.st_size / 2) == (ssize_t)sizeof(noise));
    check_refused(EUCLEAN, "damaged");
    CHECK(pwrite(fd, noise, 100, 0) == 100);
    check_refused(EUCLEAN, "damaged");
    CHECK(ftruncate(fd, 0) == 0);
    check_refused(EUCLEAN, "empty");
    close(fd);
    write_file(database_path(), "holiday pictures, a list of\n");
    check_refused(EUCLEAN, "damaged");
    CHECK(unlink(database_path()) == 0);
    char log[4300];
    snprintf(log, sizeof(log), "%s-wal", database_path());
    write_file(log, "what remained");
    check_refused(EUCLEAN, "write-ahead log");
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    CHECK_EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

TEST(journal_of_others_is_refused)
{
    run_sql("CREATE TABLE addresses (name TEXT)");
    check_refused(EUCLEAN, "not a journal");
    CHECK(unlink(database_path()) == 0);
    pf_journal_close(open_in(test_directory()));
    run_sql("PRAGMA user_version = 999");
    check_refused(ENOTSUP, "newer");
}

TEST(journal_half_made_database_is_made_again)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/journal.sqlite.new", test_directory());
    write_file(path, "killed while it was made");
    struct pf_journal *journal = open_in(test_directory());
    CHECK(access(path, F_OK) < 0);
    pf_journal_close(journal);
}

TEST(journal_arrival_is_rebased_after_a_boot)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    struct pf_record *record = record_of(1);
    int64_t before_ms = record->arrival_ms = pf_monotonic_ms();
    enum pf_journal_seen seen;
    CHECK_OK(pf_journal_record_frame(journal, record, &seen, &err), &err);
    pf_record_free(record);
    pf_journal_close(journal);
    /* As if it had been written an hour into an earlier boot, 30 s ago. */
    run_sql("UPDATE frames SET boot = 'another', wall_offset_ms = wall_offset_ms + arrival_ms "
            "- 3600000 - 30000, arrival_ms = 3600000");
    journal = open_in(test_directory());
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_NEAR(frames.items[0].record->arrival_ms, before_ms - 30000, 5000);
    pf_journal_frames_free(&frames);
    pf_journal_close(journal);
}

TEST(journal_queries_use_indices)
{
    static const struct {
        const char *name, *text;
    } all[] = {
#define QUERY(name, text) {#name, text},
        PF_JOURNAL_QUERIES(QUERY)
#undef QUERY
    };
    pf_journal_close(open_in(test_directory()));
    sqlite3 *db = NULL;
    CHECK_EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", all[i].text);
        sqlite3_stmt *plan = NULL;
        CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            /* In the order of an index with a limit, or of all loose frames: no search in vain. */
            bool scan = strstr(step, "SCAN") && !strstr(step, "USING INDEX bursts_by_change") &&
                        !strstr(step, "USING INDEX frames_loose");
            if (scan || strstr(step, "AUTOMATIC"))
                FAIL("%s: %s", all[i].name, step);
        }
        sqlite3_finalize(plan);
        sqlite3_free(sql);
    }
    sqlite3_close(db);
}

/* ---- kill -9 ---- */

/* One acknowledgement for each commit: frame n recorded, and what follows for its burst of three. */
static void write_until_killed(const char *directory, int first, int to_fd)
{
    struct pf_journal *journal = NULL;
    if (pf_journal_open(&journal, directory, NULL) < 0)
        _exit(2);
    for (int n = first;; n++) {
        int64_t burst = (n - 1) / 3 + 1;
        struct pf_record *record = record_of(n);
        enum pf_journal_seen seen;
        int r = pf_journal_begin(journal, NULL);
        if (!r)
            r = pf_journal_record_frame(journal, record, &seen, NULL);
        if (!r && n % 3 == 1)
            r = pf_journal_open_burst(journal, burst, record, NULL, NULL);
        if (!r)
            r = pf_journal_join(journal, burst, &record->id, false, NULL);
        if (!r && n % 3 == 0)
            r = pf_journal_complete(journal, burst, "gap", NULL, NULL);
        if (!r)
            r = pf_journal_commit(journal, NULL);
        if (!r && n % 3 == 0)
            r = pf_journal_published(journal, burst, 1, "/out", NULL);
        pf_record_free(record);
        if (r < 0 || write(to_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
            _exit(3);
    }
}

static int last_frame(struct pf_journal *journal)
{
    struct pf_journal_frames frames = {0};
    struct pf_identity id;
    for (int n = 1;; n++) {
        id = id_of(n);
        if (pf_journal_frame(journal, &id, &frames, NULL) < 0)
            return n - 1;
        CHECK_EQ(frames.items[0].burst, (n - 1) / 3 + 1); /* recorded and joined, or neither */
        pf_journal_frames_free(&frames);
    }
}

TEST(journal_survives_kill_9)
{
    int last = 0;
    uint32_t dice = 12345;
    for (int round = 0; round < 25; round++) {
        int ends[2], acknowledged = last, status;
        CHECK(pipe(ends) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (!child) {
            close(ends[0]);
            write_until_killed(test_directory(), last + 1, ends[1]);
        }
        close(ends[1]);
        dice = dice * 1664525 + 1013904223;
        for (uint32_t n = dice >> 27; n > 0; n--) /* 0..31 acknowledgements, then the moment of */
            CHECK_EQ(read(ends[0], &acknowledged, sizeof(int)), sizeof(int));
        usleep(dice >> 8 & 0x7ff);
        CHECK(kill(child, SIGKILL) == 0);
        while (read(ends[0], &acknowledged, sizeof(int)) == (ssize_t)sizeof(int))
            ;
        close(ends[0]);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        struct pf_journal *journal = open_in(test_directory());
        last = last_frame(journal);
        CHECK(last >= acknowledged);
        CHECK(last <= acknowledged + 1);
        for (int burst = 1; burst <= last / 3; burst++) {
            const char *text = burst_text(journal, burst);
            bool half = burst * 3 > acknowledged; /* its last step was not acknowledged */
            if (strcmp(text, "published 1/1 3 [gap] [] [/out]") &&
                (!half || strcmp(text, "complete 1/0 3 [gap] [] []")))
                FAIL("burst %d: %s", burst, text);
            if (half)
                (void)pf_journal_published(journal, burst, 1, "/out", NULL);
        }
        pf_journal_close(journal);
    }
    CHECK(last > 25);
}

/* ---- disks that are full or read-only ---- */

/* A small file system of this test's own, gone with its process. */
static const char *small_disk(void)
{
    static char point[4200];
    snprintf(point, sizeof(point), "%s/disk", test_directory());
    CHECK(mkdir(point, 0777) == 0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", point, "tmpfs", 0, "size=1m") < 0)
        SKIP("a tmpfs cannot be mounted here: %s", strerror(errno));
    return point;
}

TEST(journal_full_disk)
{
    struct pf_error err = {0};
    const char *disk = small_disk();
    struct pf_journal *journal = open_in(disk);
    int n = 0, r;
    enum pf_journal_seen seen;
    do {
        struct pf_record *record = record_of(++n);
        r = pf_journal_record_frame(journal, record, &seen, &err);
        pf_record_free(record);
        CHECK(n < 100000);
    } while (!r);
    CHECK_EQ(r, -ENOSPC);
    CHECK(strstr(err.text, "journal.sqlite"));
    CHECK(n > 10);
    pf_error_clear(&err);

    /* A batch on the full disk fails as a whole, wherever it fails. */
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int i = 0; i < 2000; i++) {
        struct pf_record *record = record_of(500000 + i);
        pf_journal_record_frame(journal, record, &seen, NULL);
        pf_record_free(record);
    }
    CHECK_EQ(pf_journal_commit(journal, &err), -ENOSPC);
    CHECK(err.text[0]);
    pf_error_clear(&err);
    struct pf_journal_frames frames = {0};
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_EQ(frames.count, n - 1);
    pf_journal_frames_free(&frames);

    /* There is room again: it goes on by itself, and nothing acknowledged is missing. */
    CHECK(mount("none", disk, "tmpfs", MS_REMOUNT, "size=16m") == 0);
    record_as(journal, n, NULL);
    pf_journal_close(journal);
    journal = open_in(disk);
    CHECK_OK(pf_journal_loose_frames(journal, &frames, &err), &err);
    CHECK_EQ(frames.count, n);
    pf_journal_frames_free(&frames);
    pf_journal_close(journal);
}

TEST(journal_read_only_disk)
{
    struct pf_error err = {0};
    const char *disk = small_disk();
    struct pf_journal *journal = open_in(disk);
    pf_journal_close(journal);
    journal = NULL;
    CHECK(mount("none", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, "") == 0);
    CHECK_EQ(pf_journal_open(&journal, disk, &err), -EROFS);
    CHECK(strstr(err.text, disk));
}

TEST(journal_null_is_closed)
{
    CHECK(!pf_journal_close(NULL));
}
