/* config/ without memory: see without_memory.h. What comes back is 0 or -ENOMEM with its text; nothing
 * crashes, and nothing leaks, as the address sanitizer sees. */
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/words.h"
#include "config/options.h"
#include "config/settings.h"
#include "tests/unit/without_memory.h"

static int run_settings(struct pf_error *err)
{
    struct pf_settings settings;
    FILE *to = NULL;
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_settings_read(&settings, "tests/fuzz/corpus/config/list", err);
    if (!r)
        r = pf_settings_set(&settings, "outbox", "elsewhere", err);
    to = fopen("/dev/null", "w");
    if (!r && to && pf_settings_print(&settings, to) < 0)
        r = pf_fail(err, ENOMEM, "printing");
    fclose(to);
    pf_settings_free(&settings);
    return r;
}

TEST(config_settings)
{
    without_memory(run_settings, true);
}

static int run_options(struct pf_error *err)
{
    struct pf_settings settings;
    struct pf_options options = {0};
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_options_add_section(&options, &settings, "capture", err);
    if (!r)
        r = pf_options_add_keys(&options, &settings, "outbox", err);
    json_t *object = pf_options_json(&settings, "align motion clip");
    json_decref(object);
    pf_options_free(&options);
    pf_settings_free(&settings);
    return r;
}

TEST(config_options)
{
    without_memory(run_options, true);
}

static int run_jsonl(struct pf_error *err)
{
    static const char text[] = "{\"a\":[1,2,{\"b\":\"c\"}]}\n{\"d\":\"\xf4\x8f\xbe\x80\"}\n";
    struct pf_jsonl_reader *reader = NULL;
    int r = pf_jsonl_reader_new(&reader), null = open("/dev/null", O_WRONLY);
    json_t *object = NULL;
    if (!r)
        r = pf_jsonl_reader_feed(reader, text, sizeof(text) - 1, err);
    /* Nothing is passed over: what could not be read is asked for again. */
    bool fed = !r;
    int lines = 0, failed = 0;
    while (fed && (r = pf_jsonl_reader_next(reader, &object, err)) && failed < 2) {
        if (r < 0) {
            failed++;
            continue;
        }
        lines++;
        char *bytes = pf_json_bytes_value(json_object_get(object, "d"));
        free(bytes);
        json_decref(object);
    }
    if (!r)
        CHECK_EQ(lines, 2);
    object = json_object();
    json_object_set_new(object, "path",
                        pf_json_bytes("a\xff"
                                      "b"));
    if (!r)
        r = pf_jsonl_send(null, object, err);
    else
        json_decref(object);
    close(null);
    pf_jsonl_reader_free(reader);
    return r;
}

TEST(base_jsonl)
{
    without_memory(run_jsonl, false);
}

static int run_files(struct pf_error *err)
{
    char *path = pf_path_join(test_directory(), "a"), *more = path ? pf_path_join(path, "b") : NULL;
    char *absolute = more ? pf_path_absolute(more) : NULL;
    char *directory = absolute ? pf_path_directory(absolute) : NULL;
    int r = directory ? pf_make_directories(absolute, err) : pf_fail(err, ENOMEM, "paths");
    char *file = r ? NULL : pf_path_join(absolute, "c");
    if (!r)
        r = file ? pf_write_file_durable(file, "text", 4, err) : pf_fail(err, ENOMEM, "path");
    if (!r)
        r = pf_remove_tree(path, err);
    free(path);
    free(more);
    free(absolute);
    free(directory);
    free(file);
    return r;
}

TEST(base_files)
{
    without_memory(run_files, true);
}

static int run_words(struct pf_error *err)
{
    char **words = NULL;
    int r = pf_words("mail -s 'it is done' \"me too\"", &words, err);
    if (!r)
        CHECK_STR(words[3], "me too");
    pf_words_free(words);
    return r;
}

TEST(base_words)
{
    without_memory(run_words, true);
}

/* Text is whole, and what is read of it as well, or it is said that there was no memory. */
static int run_json_text(struct pf_error *err)
{
    static const char text[] =
        "{\"a string that is longer than jansson's first buffer\":"
        "\"and another one, which is even longer than the first\",\"n\":[1,2.5,3]}";
    json_t *value = NULL;
    int r = pf_json_parse(text, sizeof(text) - 1, 0, &value, NULL);
    if (r < 0)
        return pf_fail(err, -r, "parsing");
    char *again = pf_json_text(value, JSON_COMPACT);
    if (again)
        CHECK_STR(again, text);
    free(again);
    json_decref(value);
    return again ? 0 : pf_fail(err, ENOMEM, "text");
}

TEST(base_json_text)
{
    without_memory(run_json_text, true);
}
