/* The journal where things go wrong: a second service, damage, kill -9, full and read-only disks. */
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "config/base/file.h"
#include "service/deliveries.h"
#include "service/journal_db.h"
#include "tests/unit/journal_steps.h"

TEST(journal_second_service_is_refused)
{
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory()), *second = NULL;
    char process[64];
    CHECK_EQ(pf_journal_open(&second, test_directory(), NULL, &err), -EBUSY);
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
    CHECK_EQ(pf_journal_open(&journal, test_directory(), NULL, &err), -code);
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
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        FAIL("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void count_checks(const char *doing, int64_t bytes, void *context)
{
    CHECK(bytes > 0);
    *(int *)context += !strcmp(doing, "checking the journal");
}

/* Opens and closes it, with damage between where `sql` says so; how often all of it was checked. */
static int checks_at_start(const char *sql)
{
    struct pf_journal *journal = NULL;
    struct pf_error err = {0};
    int checks = 0;
    const struct pf_journal_busy busy = {count_checks, &checks};
    CHECK_OK(pf_journal_open(&journal, test_directory(), &busy, &err), &err);
    if (sql) {
        struct pf_journal_frames frames = {0};
        run_sql(sql);
        CHECK_EQ(pf_journal_loose_frames(journal, &frames, &err), -EUCLEAN);
    }
    CHECK(!pf_journal_close(journal));
    return checks;
}

static const char *note_path(void)
{
    static char path[4300];
    snprintf(path, sizeof(path), "%s.closed", database_path());
    return path;
}

TEST(journal_is_checked_whole_only_where_there_is_a_reason)
{
    struct pf_journal *journal = open_in(test_directory());
    record_as(journal, 1, NULL);
    CHECK(access(note_path(), F_OK) < 0);
    pf_journal_close(journal);
    CHECK_EQ(checks_at_start(NULL), 0);
    CHECK_EQ(checks_at_start(NULL), 0);

    /* Not closed in order. */
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        journal = open_in(test_directory());
        record_as(journal, 2, NULL);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(checks_at_start(NULL), 1);
    CHECK_EQ(checks_at_start(NULL), 0);

    /* Written by others, right after it was closed. */
    run_sql("UPDATE frames SET attempts = 1");
    CHECK_EQ(checks_at_start(NULL), 1);
    CHECK_EQ(checks_at_start(NULL), 0);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    CHECK(utimensat(AT_FDCWD, database_path(), times, 0) == 0);
    CHECK_EQ(checks_at_start(NULL), 1);

    /* Something damaged was read while it was open. */
    CHECK_EQ(checks_at_start("UPDATE frames SET attempts = -1"), 0);
    run_sql("UPDATE frames SET attempts = 0");
    CHECK_EQ(checks_at_start(NULL), 1);
    CHECK_EQ(checks_at_start("UPDATE frames SET record = '[]'"), 0);
    CHECK(access(note_path(), F_OK) < 0);
}

/* How often all is checked with a note that says that this was done so many days ago. */
static int checks_after_days(int64_t days)
{
    pf_journal_leave_note(database_path(), pf_wall_ms() - days * 86400000);
    return checks_at_start(NULL);
}

TEST(journal_is_checked_whole_now_and_then)
{
    char text[512] = "";
    pf_journal_close(open_in(test_directory()));
    CHECK_EQ(checks_after_days(29), 0);
    CHECK_EQ(checks_after_days(31), 1);
    CHECK_EQ(checks_at_start(NULL), 0);
    CHECK_EQ(checks_after_days(-1), 1); /* the clock was set back */

    /* By another version of the program. */
    int fd = open(note_path(), O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 10);
    close(fd);
    write_file(note_path(), text);
    CHECK_EQ(checks_at_start(NULL), 0);
    text[strlen(text) - 2] ^= 1;
    write_file(note_path(), text);
    CHECK_EQ(checks_at_start(NULL), 1);
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

static int take_file(void *context, const struct pf_journal_file *file)
{
    (void)context;
    return file->path[0] && file->frame[0] ? 0 : -EINVAL;
}

static int take_version(void *context, const struct pf_journal_version *version)
{
    (void)context;
    return version->directory[0] ? 0 : -EINVAL;
}

/* Reads all that can be read; -EUCLEAN from any of it. */
static int read_all(struct pf_journal *journal, struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    struct pf_journal_frames frames = {0};
    struct pf_delivery_list list = {0};
    struct pf_journal_facts facts = {0};
    int64_t next;
    int r = pf_journal_known(journal, "folder:/data/in box", take_file, NULL, err);
    if (!r && !(r = pf_journal_burst_frames(journal, 1, &frames, err)))
        pf_journal_frames_free(&frames);
    if (!r && !(r = pf_journal_recent_bursts(journal, 10, &bursts, err)))
        pf_journal_bursts_free(&bursts);
    if (!r && !(r = pf_journal_burst_facts(journal, 1, &facts, err)))
        pf_journal_facts_free(&facts);
    if (!r)
        r = pf_journal_versions(journal, 1, take_version, NULL, err);
    if (!r && !(r = pf_journal_deliveries_recent(journal, 10, &list, err)))
        pf_deliveries_free(&list);
    return r ? r : pf_journal_next_burst(journal, &next, err);
}

/* Damage that SQLite's check does not see, as an index that differs from its table may be: the
 * tables are of the names and columns of ours, without their rules. */
TEST(journal_rows_that_nobody_wrote_are_refused)
{
    static const char *const damages[] = {
        "UPDATE files SET path = NULL",
        "UPDATE files SET path = x'2f696e2f0061'",
        "UPDATE frames SET id = NULL",
        "UPDATE frames SET record = NULL",
        "UPDATE frames SET record = '[]'",
        "UPDATE frames SET record = '7'",
        "UPDATE frames SET boot = NULL",
        "UPDATE frames SET arrival_ms = -9223372036854775808",
        "UPDATE frames SET boot = 'another', wall_offset_ms = 9223372036854775807",
        "UPDATE frames SET state = 4",
        "UPDATE frames SET attempts = -1",
        "UPDATE frames SET attempts = 2147483647",
        "UPDATE frames SET scores = '{'",
        "UPDATE bursts SET id = NULL",
        "UPDATE bursts SET id = ''",
        "UPDATE bursts SET id = '../../etc'",
        "UPDATE bursts SET id = printf('%96d', 0)",
        "UPDATE bursts SET state = -1",
        "UPDATE bursts SET state = 4294967296",
        "UPDATE bursts SET wanted = 2147483647",
        "UPDATE bursts SET published = -2147483648",
        "UPDATE bursts SET number = 9223372036854775807",
        "UPDATE bursts SET settings = 'fuse'",
        "UPDATE versions SET directory = NULL",
        "UPDATE versions SET version = 4294967297",
        "UPDATE deliveries SET id = NULL",
        "UPDATE deliveries SET hook = NULL",
        "UPDATE deliveries SET target = NULL",
        "UPDATE deliveries SET event = NULL",
        "UPDATE deliveries SET state = 3",
        "UPDATE deliveries SET tries = 9223372036854775807",
        "UPDATE deliveries SET failures = -5",
    };
    struct pf_error err = {0};
    struct pf_journal *journal = open_in(test_directory());
    json_t *event = json_pack("{s:s}", "event", "published");
    join(journal, 1, 1, false);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", NULL, &err), &err);
    CHECK_OK(pf_journal_published(journal, 1, 1, "/out/b", &err), &err);
    CHECK_OK(pf_journal_deliver(journal, "on_burst", "true", event, &err), &err);
    CHECK_OK(read_all(journal, &err), &err);
    json_decref(event);
    pf_journal_close(journal);

    run_sql("PRAGMA writable_schema = ON;"
            "UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table';");
    run_sql("CREATE TABLE kept_files AS SELECT * FROM files;"
            "CREATE TABLE kept_frames AS SELECT number, id, record, arrival_ms, boot, "
            "wall_offset_ms, state, attempts, scores FROM frames;"
            "CREATE TABLE kept_bursts AS SELECT * FROM bursts;"
            "CREATE TABLE kept_versions AS SELECT * FROM versions;"
            "CREATE TABLE kept_deliveries AS SELECT * FROM deliveries;");
    for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        run_sql(damages[i]);
        journal = open_in(test_directory());
        pf_error_clear(&err);
        int r = read_all(journal, &err);
        if (r != -EUCLEAN || !strstr(err.text, "is damaged"))
            FAIL("%s: %d, %s", damages[i], r, err.text);
        pf_journal_close(journal);
        run_sql("UPDATE files SET path = kept.path FROM kept_files kept;");
        run_sql(
            "UPDATE frames SET id = kept.id, record = kept.record, arrival_ms = kept.arrival_ms,"
            " boot = kept.boot, wall_offset_ms = kept.wall_offset_ms, state = kept.state,"
            " attempts = kept.attempts, scores = kept.scores FROM kept_frames kept;");
        run_sql("DELETE FROM bursts; INSERT INTO bursts SELECT * FROM kept_bursts;"
                "DELETE FROM versions; INSERT INTO versions SELECT * FROM kept_versions;"
                "DELETE FROM deliveries; INSERT INTO deliveries SELECT * FROM kept_deliveries;");
    }
    journal = open_in(test_directory());
    pf_error_clear(&err);
    CHECK_OK(read_all(journal, &err), &err);
    pf_journal_close(journal);
}

/* ---- kill -9 ---- */

/* One acknowledgement for each commit: frame n recorded, and what follows for its burst of three. */
static void write_until_killed(const char *directory, int first, int to_fd)
{
    struct pf_journal *journal = NULL;
    if (pf_journal_open(&journal, directory, NULL, NULL) < 0)
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
    CHECK_EQ(pf_journal_open(&journal, disk, NULL, &err), -EROFS);
    CHECK(strstr(err.text, disk));
}

TEST(journal_null_is_closed)
{
    CHECK(!pf_journal_close(NULL));
}
