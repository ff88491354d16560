/* Logging: to systemd's journal, as JSON, as text. */
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "config/base/log_journal.h"
#include "tests/unit/test.h"

TEST(log_journal_entry)
{
    char entry[512];
    struct pf_log_about about = {.burst = "b\n1", .frame = "\xff"};
    size_t size =
        pf_log_journal_entry(entry, sizeof(entry), 4, "service", &about, "a\nPRIORITY=0\n");
    static const char expected[] = "PRIORITY\n\1\0\0\0\0\0\0\0"
                                   "4\n"
                                   "SYSLOG_IDENTIFIER\n\10\0\0\0\0\0\0\0parfocal\n"
                                   "PF_ROLE\n\7\0\0\0\0\0\0\0service\n"
                                   "PF_BURST\n\3\0\0\0\0\0\0\0b\n1\n"
                                   "PF_FRAME\n\1\0\0\0\0\0\0\0\xff\n"
                                   "MESSAGE\n\15\0\0\0\0\0\0\0a\nPRIORITY=0\n\n";
    CHECK_EQ(size, sizeof(expected) - 1);
    CHECK(!memcmp(entry, expected, size));
    /* Too little room: whole fields, a message that is cut, and nothing beyond. */
    for (size_t room = 0; room <= size; room++) {
        char small[512];
        memset(small, '#', sizeof(small));
        size_t used = pf_log_journal_entry(small, room, 4, "service", &about, "a\nPRIORITY=0\n");
        CHECK(used <= room && small[room] == '#');
    }
}

TEST(log_knows_the_journal)
{
    char path[4200], stream[64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/stream", test_directory());
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    CHECK(pf_log_is_journal(fd, stream));
    CHECK(!pf_log_is_journal(0, stream));
    CHECK(!pf_log_is_journal(fd, NULL));
    CHECK(!pf_log_is_journal(fd, ""));
    CHECK(!pf_log_is_journal(fd, "1"));
    CHECK(!pf_log_is_journal(-1, stream));
    close(fd);
}

TEST(log_journal_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[4200], got[64];
    snprintf(path, sizeof(path), "%s/socket", test_directory());
    CHECK_EQ(pf_log_journal_open(path), -ENOENT);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
    int server = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    int fd = pf_log_journal_open(path);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "entry", 5), 5);
    CHECK_EQ(recv(server, got, sizeof(got), 0), 5);
    close(fd);
    close(server);
}

/* What a child that logs writes to its standard error. */
static char *written_by(void (*say)(void), const char *stream)
{
    static char text[8192];
    int pair[2];
    CHECK_EQ(pipe(pair), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        dup2(pair[1], STDERR_FILENO);
        if (stream)
            setenv("JOURNAL_STREAM", stream, 1);
        else
            unsetenv("JOURNAL_STREAM");
        say();
        _exit(0);
    }
    close(pair[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(pair[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(pair[0]);
    waitpid(pid, NULL, 0);
    return text;
}

static void say_json(void)
{
    pf_log_setup("test", PF_LOG_INFO);
    pf_log_setup_format(PF_LOG_JSON);
    pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = "b", .source = "folder:\xff"},
                 "odd \"name\"\n\xff %d", 1);
    pf_log_debug("not this");
    pf_log_info("plain");
}

TEST(log_json)
{
    char *text = written_by(say_json, NULL), *second = strchr(text, '\n');
    CHECK(second && strchr(second + 1, '\n') && !strchr(second + 1, '\n')[1]);
    *second++ = '\0';
    json_t *first = json_loads(text, 0, NULL), *other = json_loads(second, 0, NULL);
    CHECK(first && other);
    CHECK_STR(json_string_value(json_object_get(first, "level")), "warning");
    CHECK_STR(json_string_value(json_object_get(first, "role")), "test");
    CHECK_STR(json_string_value(json_object_get(first, "message")),
              "odd \"name\"\n\xf4\x8f\xbf\xbf 1");
    CHECK_STR(json_string_value(json_object_get(first, "burst")), "b");
    CHECK(json_object_get(first, "source") && !json_object_get(first, "frame"));
    CHECK_EQ(strlen(json_string_value(json_object_get(first, "time"))), 24);
    CHECK_STR(json_string_value(json_object_get(other, "message")), "plain");
    json_decref(first);
    json_decref(other);
}

static void say_text(void)
{
    pf_log_setup("test", PF_LOG_INFO);
    pf_log_about(PF_LOG_ERROR, &(struct pf_log_about){.burst = "b"}, "a\nforged line");
}

TEST(log_text)
{
    /* Also where $JOURNAL_STREAM names another stream than ours. */
    for (int i = 0; i < 2; i++) {
        const char *text = written_by(say_text, i ? "1:1" : NULL);
        CHECK(strlen(text) > 13);
        CHECK_STR(text + 12, " error   test: a\\x0aforged line\n");
    }
}
