/* A source as the service has it, with a real capture process, which some files take down. The process is
 * this program itself. */
#include "service/source.h"

#include <sys/stat.h>

#include "capture/capture.h"
#include "capture/frame.h"
#include "config/base/file.h"
#include "config/base/time.h"
#include "service/disks.h"
#include "service/service.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/test.h"

/* ---- the capture process ---- */

int real_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                    int64_t most_bytes, struct pf_frame *ret, struct pf_error *err);
#define pf_frame_look real_frame_look
#include "capture/frame.c"
#undef pf_frame_look

static int unread; /* frames for which there is no memory */

int real_record_from_json(const json_t *object, struct pf_record **ret, struct pf_error *err);
#define pf_record_from_json real_record_from_json
#include "capture/record.c"
#undef pf_record_from_json

int pf_record_from_json(const json_t *object, struct pf_record **ret, struct pf_error *err)
{
    if (unread > 0) {
        unread--;
        return pf_fail(err, ENOMEM, "out of memory for a frame record");
    }
    return real_record_from_json(object, ret, err);
}

/* A file that begins so ends whoever looks at it; a real one would by a fault of a library. */
#define POISON "\xff\xd8poison"
/* One that begins so does not come back, nor does the process start, while there is a file of that name
 * beside the folder. */
#define HANG "\xff\xd8hang.."

/* At one that begins so, somebody else kills the process three times. */
#define SHOT "\xff\xd8shot.."

static void shoot(const char *of)
{
    char path[4300];
    const char *slash = strstr(of, "/in");
    for (int time = 0; time < 3; time++) {
        snprintf(path, sizeof(path), "%.*s/shot%d", (int)(slash - of), of, time);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0)
            continue;
        close(fd);
        raise(SIGKILL);
    }
}

static void hang(const char *of, const char *name)
{
    char path[4300];
    const char *slash = strstr(of, "/in");
    snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - of), of, name);
    while (access(path, F_OK) == 0)
        usleep(10000);
}

/* Stands before that of the C library. */
int syncfs(int fd)
{
    char link[64], path[4300];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    CHECK(n > 0);
    path[n] = '\0';
    hang(path, "hang-sync");
    return 0;
}

int pf_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                  int64_t most_bytes, struct pf_frame *ret, struct pf_error *err)
{
    char head[sizeof(POISON) - 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof(head));
    if (fd >= 0)
        close(fd);
    if (n == sizeof(head) && !memcmp(head, POISON, sizeof(head)))
        raise(SIGILL);
    if (n == sizeof(head) && !memcmp(head, SHOT, sizeof(head)))
        shoot(path);
    if (n == sizeof(head) && !memcmp(head, HANG, sizeof(head)))
        hang(path, "hang");
    return real_frame_look(path, source, stamp, most_bytes, ret, err);
}

/* Ends as planned, where there is a file of that name beside the folder. */
static void begin_anew(const char *of)
{
    char path[4300];
    const char *slash = strstr(of, "/in");
    snprintf(path, sizeof(path), "%.*s/anew", (int)(slash - of), of);
    if (unlink(path) < 0)
        return;
    puts("{\"event\":\"anew\",\"reason\":\"it has lost memory\"}");
    exit(0);
}

__attribute__((constructor)) static void be_capture(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "capture") != 0)
        return;
    signal(SIGPIPE, SIG_IGN);
    begin_anew(argv[2] + strlen("folder:"));
    hang(argv[2] + strlen("folder:"), "hang-at-start");
    exit(pf_capture_main(argc - 1, argv + 1));
}

/* ---- the service ---- */

static struct event_base *base;
static struct event *reaper;
static struct pf_settings settings;
static struct pf_journal *journal;
static struct pf_disks *disks;
static struct pf_source *source, *second;
static char in[4200], name[4300];

/* What it has said. */
static int frames, rejections;
static int64_t delay_ms, least_delay_ms; /* at the end of a batch; the least of all */
static char last_frame[4300], last_rejected[4300], last_reason[512];

static void on_frame(struct pf_record *record, void *context)
{
    (void)context;
    frames++;
    snprintf(last_frame, sizeof(last_frame), "%s", pf_base_name(record->path));
    pf_record_free(record);
}

static void on_rejected(const char *of, const char *path, int64_t size_bytes, int64_t mtime_ns,
                        const char *reason, void *context)
{
    (void)context;
    CHECK_STR(of, name);
    CHECK(size_bytes > 0 && mtime_ns > 0);
    rejections++;
    snprintf(last_rejected, sizeof(last_rejected), "%s", pf_base_name(path));
    snprintf(last_reason, sizeof(last_reason), "%s", reason);
}

static void on_batch(void *context)
{
    (void)context;
    delay_ms = pf_source_delay_ms(source);
    if (delay_ms < least_delay_ms)
        least_delay_ms = delay_ms;
}

static void on_changed(struct pf_source *of, void *context)
{
    (void)of, (void)context;
}

static void on_answer(struct pf_source *of, int64_t id, const json_t *answer, void *context)
{
    (void)of, (void)id, (void)answer, (void)context;
}

static const struct pf_source_handlers handlers = {on_frame, on_rejected, on_batch, on_changed,
                                                   on_answer};

static void on_child(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
    if (source)
        pf_source_reap(source);
    if (second)
        pf_source_reap(second);
}

/* A file of this beginning, or a picture; `grows`: not all of it. */
static void put_some(const char *file, const char *begin, bool grows)
{
    char path[4300], next[4300], bytes[65536];
    snprintf(path, sizeof(path), "%s/%s", in, file);
    snprintf(next, sizeof(next), "%s/next", test_directory());
    FILE *from = fopen("tests/fuzz/corpus/jpeg/j420.jpg", "re"), *to = fopen(next, "we");
    CHECK(from && to);
    if (begin)
        CHECK(fputs(begin, to) >= 0);
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), from));)
        CHECK_EQ(fwrite(bytes, 1, n, to), n);
    CHECK(fputs(file, to) >= 0); /* each is another content */
    fclose(from);
    CHECK_EQ(fclose(to), 0);
    CHECK(!grows || truncate(next, 400) == 0);
    CHECK_EQ(rename(next, path), 0);
}

static void put(const char *file, const char *begin)
{
    put_some(file, begin, false);
}

static void begin(void)
{
    struct pf_error err = {0};
    char state[4200];
    frames = rejections = 0;
    snprintf(in, sizeof(in), "%s/in", test_directory());
    snprintf(state, sizeof(state), "%s/state", test_directory());
    snprintf(name, sizeof(name), "folder:%s", in);
    CHECK_EQ(mkdir(in, 0777), 0);
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    settings.poll = PF_POLL_ALWAYS;
    settings.poll_interval = 0.05;
    settings.settle = 0.02;
    settings.sandbox = false;
    journal = open_in(state);
    CHECK_OK(pf_disks_new(&disks, "disks", &err), &err);
    base = event_base_new();
    CHECK(base);
    reaper = evsignal_new(base, SIGCHLD, on_child, NULL);
    CHECK(reaper && event_add(reaper, NULL) == 0);
}

static void watch(void)
{
    struct pf_error err = {0};
    CHECK_OK(pf_source_new(&source, base, journal, disks, &settings, name, &handlers, NULL, &err),
             &err);
}

static void end(void)
{
    source = pf_source_free(source);
    second = pf_source_free(second);
    event_free(reaper);
    event_base_free(base);
    pf_journal_close(journal);
    pf_disks_free(disks);
    pf_settings_free(&settings);
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        for (int64_t since_ms = pf_monotonic_ms(); !(condition);) {                                \
            struct timeval soon = {.tv_usec = 20000};                                              \
            if (pf_monotonic_ms() - since_ms > 60000)                                              \
                FAIL("not within a minute: %s", #condition);                                       \
            event_base_loopexit(base, &soon);                                                      \
            event_base_loop(base, 0);                                                              \
        }                                                                                          \
    } while (0)

/* ---- */

TEST(a_file_that_ends_the_process_is_passed_over)
{
    begin();
    put("a.jpg", POISON); /* the first in the order of time and name */
    put("b.jpg", NULL);
    put("c.jpg", NULL);
    watch();
    UNTIL(frames == 2); /* after the first time, since what is blamed is looked at last */
    CHECK_EQ(rejections, 0);
    UNTIL(rejections);
    CHECK_STR(last_rejected, "a.jpg");
    CHECK_STR(last_reason,
              "reading it has ended the process of its source 2 times: killed by signal 4 (Illegal "
              "instruction)");
    UNTIL(pf_source_has_files(source, 0)); /* it has been through all of them */
    put("d.jpg", NULL);
    UNTIL(!strcmp(last_frame, "d.jpg"));
    /* Another content is another file. */
    put("a.jpg", NULL);
    UNTIL(!strcmp(last_frame, "a.jpg"));
    CHECK_EQ(rejections, 1);
    end();
}

TEST(a_file_is_not_to_blame_for_who_kills_the_process)
{
    char path[4300];
    begin();
    put("a.jpg", SHOT);
    put("b.jpg", NULL);
    watch();
    snprintf(path, sizeof(path), "%s/shot2", test_directory());
    UNTIL(access(path, F_OK) == 0 && pf_source_has_files(source, 0));
    CHECK(frames >= 1);      /* nobody here keeps what was told */
    CHECK_EQ(rejections, 1); /* its content is no picture: that was seen at the fourth time */
    CHECK_STR(last_rejected, "a.jpg");
    CHECK(!strstr(last_reason, "ended the process"));
    end();
}

/* A file beside the folder: while it is there, the process hangs. */
static void hanging(const char *file, bool hangs)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), file);
    if (hangs) {
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        CHECK(fd >= 0);
        close(fd);
    } else {
        CHECK_EQ(unlink(path), 0);
    }
}

static void check_state(const char *state, const char *reason)
{
    json_t *object = pf_source_json(source);
    CHECK_STR(json_string_value(json_object_get(object, "state")), state);
    CHECK_STR(json_string_value(json_object_get(object, "reason")), reason);
    json_decref(object);
}

static void run_for(int64_t ms)
{
    int64_t until_ms = pf_monotonic_ms() + ms;
    UNTIL(pf_monotonic_ms() > until_ms);
}

TEST(a_folder_that_does_not_answer_is_a_trouble)
{
    static const char why[] = "it has not answered for 1 s: does its mount hang?";
    begin();
    settings.folder_timeout = 1;
    put("a.jpg", HANG);
    hanging("hang", true);
    hanging("hang-at-start", true);
    watch();
    CHECK(!pf_source_trouble(source));
    UNTIL(pf_source_trouble(source));
    CHECK_STR(pf_source_trouble(source), why);
    check_state("degraded", why);
    hanging("hang-at-start", false);
    UNTIL(!pf_source_trouble(source));

    UNTIL(pf_source_trouble(source)); /* it is at the file */
    CHECK_STR(pf_source_trouble(source), why);
    check_state("degraded", why);
    hanging("hang", false);
    UNTIL(!pf_source_trouble(source));
    check_state("ok", "poll = always");

    /* And one that has nothing to say says so. */
    run_for(1500);
    UNTIL(!pf_source_trouble(source)); /* where the machine stood still for so long there was one */
    end();
}

/* It cannot be heard while the journal is blocked: that it says nothing is no hanging, also of a process
 * that has begun anew meanwhile. */
TEST(silence_counts_for_nothing_while_nobody_listens)
{
    begin();
    settings.folder_timeout = 1;
    hanging("shot1", true); /* it is killed once, not three times */
    hanging("shot2", true);
    put("shot.jpg", SHOT);
    watch();
    pf_source_pause(source, true);
    UNTIL(pf_source_trouble(source)); /* killed */
    UNTIL(!pf_source_trouble(source));
    run_for(2500);
    CHECK_STR(pf_source_trouble(source), NULL);
    put("a.jpg", NULL);
    pf_source_pause(source, false);
    UNTIL(frames == 1);
    CHECK_STR(pf_source_trouble(source), NULL);
    end();
}

/* As of several cameras: what one of them still has is waited for, whichever is asked last. */
TEST(of_several_with_one_name_the_one_that_is_behind_counts)
{
    struct pf_source *sources[2];
    struct pf_service service = {.sources = sources, .source_count = 2};
    begin();
    watch();
    UNTIL(pf_source_look_ms(source) == 70);
    second = source;
    hanging("hang", true);
    put("hangs.jpg", HANG);
    watch();
    UNTIL(pf_source_look_ms(source) == 5000);
    CHECK_EQ(pf_source_look_ms(second), 70);
    for (int n = 0; n < 2; n++) {
        sources[n] = source;
        sources[1 - n] = second;
        CHECK(pf_sources_next(&service, name, NULL) == sources[0]);
        CHECK(pf_sources_next(&service, name, sources[0]) == sources[1]);
        CHECK(!pf_sources_next(&service, name, sources[1]));
        CHECK_EQ(pf_sources_look_ms(&service, name), 5000);
        CHECK(pf_sources_delay_ms(&service, name) >= 5000);
    }
    CHECK_EQ(pf_sources_delay_ms(&service, "camera"), 0);
    hanging("hang", false);
    UNTIL(pf_sources_delay_ms(&service, name) == 70);
    end();
}

TEST(a_frame_for_which_there_is_no_memory_is_told_again)
{
    begin();
    put("a.jpg", NULL);
    unread = 1;
    watch();
    UNTIL(frames == 1);
    CHECK_STR(last_frame, "a.jpg");
    end();
}

#define READING_MS 5000   /* the same of one that is being read */
#define GROWING_MS 600000 /* how much later a frame may be told whose file is being written */

TEST(what_grows_where_nothing_answers_is_not_waited_for)
{
    begin();
    settings.folder_timeout = 1;
    put_some("grows.jpg", NULL, true);
    watch();
    UNTIL(delay_ms == GROWING_MS);
    hanging("hang", true);
    put("hangs.jpg", HANG);
    UNTIL(pf_source_trouble(source));
    CHECK(delay_ms < GROWING_MS); /* and that was told */
    CHECK(!pf_source_is_pending(source));
    hanging("hang", false);
    UNTIL(!pf_source_trouble(source));
    UNTIL(delay_ms == GROWING_MS);
    put("grows.jpg", NULL);
    UNTIL(delay_ms < GROWING_MS);
    end();
}

/* The disk may have gigabytes to write that others have left in memory. */
TEST(a_disk_that_is_synced_is_waited_for)
{
    begin();
    settings.folder_timeout = 1;
    hanging("hang-sync", true);
    for (int i = 0; i < 20; i++) {
        char file[32];
        snprintf(file, sizeof(file), "%02d.jpg", i);
        put(file, NULL);
    }
    watch();
    UNTIL(pf_source_delay_ms(source) == GROWING_MS);
    run_for(1500);
    CHECK_STR(pf_source_trouble(source), NULL);
    CHECK_EQ(pf_source_delay_ms(source), GROWING_MS);
    CHECK_EQ(delay_ms, GROWING_MS); /* and that was told */
    hanging("hang-sync", false);
    UNTIL(frames == 20 && delay_ms < GROWING_MS);
    end();
}

/* It may be one that the disk takes long to write. */
TEST(what_its_process_is_at_is_waited_for)
{
    begin();
    put("a.jpg", NULL);
    watch();
    UNTIL(frames == 1 && delay_ms < READING_MS);
    hanging("hang", true);
    put("hangs.jpg", HANG);
    UNTIL(delay_ms == READING_MS);
    hanging("hang", false);
    UNTIL(rejections && delay_ms < READING_MS);
    end();
}

TEST(what_grows_is_waited_for_while_its_process_begins_anew)
{
    char path[4300];
    begin();
    put_some("grows.jpg", NULL, true);
    watch();
    UNTIL(delay_ms == GROWING_MS);
    least_delay_ms = GROWING_MS;
    hanging("shot0", true); /* it is killed once, not three times */
    hanging("shot1", true);
    put("shot.jpg", SHOT);
    snprintf(path, sizeof(path), "%s/shot2", test_directory());
    UNTIL(access(path, F_OK) == 0 || pf_source_delay_ms(source) < GROWING_MS);
    UNTIL(rejections || pf_source_delay_ms(source) < GROWING_MS);
    CHECK_EQ(pf_source_delay_ms(source), GROWING_MS);
    CHECK_EQ(least_delay_ms, GROWING_MS);
    put("grows.jpg", NULL);
    UNTIL(delay_ms < GROWING_MS);

    /* Nor any longer than until its next one has looked at everything. */
    put_some("grows.jpg", NULL, true);
    UNTIL(delay_ms == GROWING_MS);
    hanging("hang-at-start", true);
    CHECK_EQ(unlink(path), 0); /* once more */
    put("other.jpg", SHOT);
    UNTIL(pf_source_trouble(source));
    CHECK_EQ(pf_source_delay_ms(source), GROWING_MS);
    put("grows.jpg", NULL);
    hanging("hang-at-start", false);
    UNTIL(pf_source_delay_ms(source) < GROWING_MS);
    CHECK(pf_source_has_files(source, 0));
    end();
}

/* No error, and nobody's fault. */
TEST(a_process_that_begins_anew_as_planned_is_no_failure)
{
    char path[4300], said[4096];
    snprintf(path, sizeof(path), "%s/log", test_directory());
    int log_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666), stderr_fd = dup(STDERR_FILENO);
    CHECK(log_fd >= 0 && stderr_fd >= 0);
    begin();
    put("a.jpg", NULL);
    hanging("anew", true);
    CHECK(dup2(log_fd, STDERR_FILENO) >= 0);
    watch();
    UNTIL(pf_source_trouble(source));
    CHECK_STR(pf_source_trouble(source), "it has lost memory");
    UNTIL(frames == 1);
    CHECK(dup2(stderr_fd, STDERR_FILENO) >= 0);
    ssize_t n = pread(log_fd, said, sizeof(said) - 1, 0);
    CHECK(n >= 0);
    said[n] = '\0';
    CHECK(!strstr(said, "has ended"));
    close(log_fd);
    close(stderr_fd);
    end();
}
