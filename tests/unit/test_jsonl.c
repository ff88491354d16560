/* JSON Lines and bytes in JSON strings: what goes in comes out, whatever the bytes are. */
#include "config/base/jsonl.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "tests/unit/test.h"

static void round_trip(const char *bytes)
{
    json_t *string = pf_json_bytes(bytes);
    CHECK(string);
    /* Also through a line of text, as the protocol does it. */
    json_t *object = json_pack("{s:o}", "path", string);
    char *line = json_dumps(object, JSON_COMPACT);
    CHECK(line);
    json_t *again = json_loads(line, 0, NULL);
    CHECK(again);
    char *back = pf_json_bytes_value(json_object_get(again, "path"));
    CHECK_STR(back, bytes);
    free(back);
    free(line);
    json_decref(again);
    json_decref(object);
}

TEST(bytes_come_back)
{
    round_trip("");
    round_trip("/plain/ascii.jpg");
    round_trip(
        "/u\xcc\x88 and \xc3\xbc, \xe6\x97\xa5\xe6\x9c\xac, \xf0\x9f\x93\xb7"); /* NFD, NFC, CJK */
    round_trip("latin1 \xe9t\xe9.jpg");
    round_trip("\xff\xfe\x80\xbf");
    round_trip("cut \xe6\x97");          /* a sequence that ends early */
    round_trip("\xc0\xaf \xe0\x80\xaf"); /* overlong */
    round_trip("\xed\xa0\x80");          /* surrogate */
    round_trip("\xf4\x90\x80\x80");      /* above U+10FFFF */
    round_trip("new\nline \t tab \x01 \x7f \"quoted\" \\back");
    round_trip("\xf4\x8f\xbe\x80");        /* U+10FF80, which stands for a byte otherwise */
    round_trip("\xf4\x8f\xbf\xbf x \xff"); /* U+10FFFF beside a lone byte */
}

TEST(every_byte_and_pair_comes_back)
{
    char text[3] = "";
    for (int a = 1; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            text[0] = (char)a;
            text[1] = (char)b;
            round_trip(text);
        }
}

TEST(different_bytes_differ)
{
    json_t *lone = pf_json_bytes("\xff"), *genuine = pf_json_bytes("\xf4\x8f\xbf\xbf");
    CHECK(strcmp(json_string_value(lone), json_string_value(genuine)) != 0);
    json_decref(lone);
    json_decref(genuine);
    CHECK(!pf_json_bytes_value(NULL));
    json_t *number = json_integer(1);
    CHECK(!pf_json_bytes_value(number));
    json_decref(number);
}

static struct pf_jsonl_reader *new_reader(void)
{
    struct pf_jsonl_reader *reader = NULL;
    CHECK_EQ(pf_jsonl_reader_new(&reader), 0);
    return reader;
}

TEST(reader_splits_a_stream_byte_by_byte)
{
    const char *stream = "{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}\nnot json\n[4]\n{\"a\":5}\n{\"a\":";
    struct pf_jsonl_reader *reader = new_reader();
    int sum = 0, bad = 0;
    for (const char *at = stream; *at; at++) {
        CHECK_EQ(pf_jsonl_reader_feed(reader, at, 1, NULL), 0);
        json_t *object = NULL;
        int r = pf_jsonl_reader_next(reader, &object, NULL);
        bad += r == -EBADMSG;
        if (r > 0) {
            sum += (int)json_integer_value(json_object_get(object, "a"));
            json_decref(object);
        }
    }
    CHECK_EQ(sum, 1 + 2 + 3 + 5);
    CHECK_EQ(bad, 3); /* the empty line, the text, the array */
    CHECK(!pf_jsonl_reader_free(reader));
    CHECK(!pf_jsonl_reader_free(NULL));
}

TEST(reader_takes_many_objects_at_once)
{
    struct pf_jsonl_reader *reader = new_reader();
    char text[64 * 100];
    size_t used = 0;
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "{\"i\":%d}\n", i);
    CHECK_EQ(pf_jsonl_reader_feed(reader, text, used, NULL), 0);
    json_t *object;
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(pf_jsonl_reader_next(reader, &object, NULL), 1);
        CHECK_EQ(json_integer_value(json_object_get(object, "i")), i);
        json_decref(object);
    }
    CHECK_EQ(pf_jsonl_reader_next(reader, &object, NULL), 0);
    pf_jsonl_reader_free(reader);
}

TEST(endless_line_is_refused)
{
    struct pf_jsonl_reader *reader = new_reader();
    struct pf_error err = {0};
    static char chunk[65536];
    memset(chunk, 'x', sizeof(chunk));
    int r = 0;
    size_t fed = 0;
    while (r == 0 && fed < 2 * (size_t)PF_JSONL_LINE_MAX) {
        r = pf_jsonl_reader_feed(reader, chunk, sizeof(chunk), &err);
        fed += sizeof(chunk);
    }
    CHECK_EQ(r, -EMSGSIZE);
    CHECK(fed <= PF_JSONL_LINE_MAX + sizeof(chunk));
    pf_jsonl_reader_free(reader);
}

TEST(write_and_read_through_a_pipe)
{
    int ends[2];
    struct pf_error err = {0};
    CHECK_EQ(pipe(ends), 0);
    CHECK_OK(
        pf_jsonl_send(ends[1], json_pack("{s:f, s:I}", "x", 0.5, "n", (json_int_t)1 << 60), &err),
        &err);
    CHECK_EQ(pf_jsonl_send(ends[1], NULL, NULL), -ENOMEM);
    close(ends[1]);
    struct pf_jsonl_reader *reader = new_reader();
    json_t *object;
    CHECK_EQ(pf_jsonl_read(reader, ends[0], &object, &err), 1);
    CHECK_NEAR(json_real_value(json_object_get(object, "x")), 0.5, 0);
    CHECK_EQ(json_integer_value(json_object_get(object, "n")), 1LL << 60);
    json_decref(object);
    CHECK_EQ(pf_jsonl_read(reader, ends[0], &object, &err), 0); /* end of file */
    pf_jsonl_reader_free(reader);
    close(ends[0]);
}

TEST(reader_gone_is_an_error)
{
    int ends[2];
    struct pf_error err = {0};
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    CHECK_EQ(pf_jsonl_send(ends[1], json_object(), &err), -EPIPE);
    close(ends[1]);
}

enum { WRITERS = 4, LINES = 200 };

static void *write_lines(void *context)
{
    int fd = *(int *)context;
    char filler[3000];
    memset(filler, 'f', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        if (pf_jsonl_send(fd, json_pack("{s:s}", "filler", filler), NULL) < 0)
            break;
    return NULL;
}

TEST(lines_of_several_threads_stay_whole)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK); /* a socket of an event loop may be */
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, write_lines, &ends[1]), 0);
    struct pf_jsonl_reader *reader = new_reader();
    struct pf_error err = {0};
    for (int i = 0; i < WRITERS * LINES; i++) {
        json_t *object = NULL;
        CHECK_OK(pf_jsonl_read(reader, ends[0], &object, &err), &err);
        CHECK_EQ(json_string_length(json_object_get(object, "filler")), 2999);
        json_decref(object);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    pf_jsonl_reader_free(reader);
    close(ends[0]);
    close(ends[1]);
}

static int read_back(const char *name, json_t **ret, struct pf_error *err)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    return pf_json_read(path, 16, ret, err);
}

static void write_file(const char *name, const char *text)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST(a_file_of_json)
{
    char path[4300];
    struct pf_error err = {0};
    json_t *value = NULL;
    CHECK_EQ(read_back("none", &value, NULL), -ENOENT);
    write_file("well", "{\"a\": [1, 2]}  \n"); /* 16 bytes */
    CHECK_OK(read_back("well", &value, &err), &err);
    CHECK_EQ(json_array_size(json_object_get(value, "a")), 2);
    json_decref(value);
    value = NULL;
    write_file("large", "{\"a\": [1, 2]}    ");
    CHECK_EQ(read_back("large", &value, NULL), -EFBIG);
    write_file("half", "{\"a\": [1");
    CHECK_EQ(read_back("half", &value, &err), -EBADMSG);
    CHECK(strstr(err.text, "/half: "));
    write_file("empty", "");
    CHECK_EQ(read_back("empty", &value, NULL), -EBADMSG);
    CHECK_EQ(read_back(".", &value, NULL), -EBADMSG);
    snprintf(path, sizeof(path), "%s/pipe", test_directory());
    CHECK_EQ(mkfifo(path, 0666), 0);
    CHECK_EQ(read_back("pipe", &value, NULL), -EBADMSG); /* and it is not waited for */
    CHECK(!value);
}
