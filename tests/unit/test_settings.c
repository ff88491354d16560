/* Settings: the table's rules, files with their errors, options, the printed configuration. */
#include "config/settings.h"

#include "config/base/file.h"
#include "config/settings_table.h"
#include "tests/unit/test.h"

static struct pf_settings fresh(void)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    return settings;
}

/* Sets a key and expects a code; the error must hold `says`. */
static void expect(const char *key, const char *value, int code, const char *says)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    CHECK_EQ(pf_settings_set(&settings, key, value, &err), code);
    if (says && !strstr(err.text, says))
        FAIL("%s = %s: \"%s\" does not say \"%s\"", key, value, err.text, says);
    pf_settings_free(&settings);
}

static const char *write_file(const char *text, size_t size_bytes)
{
    static char path[4200];
    struct pf_error err = {0};
    snprintf(path, sizeof(path), "%s/parfocal.conf", test_directory());
    CHECK_OK(pf_write_file_durable(path, text, size_bytes, &err), &err);
    return path;
}

static int read_text(struct pf_settings *settings, const char *text, struct pf_error *err)
{
    return pf_settings_read(settings, write_file(text, strlen(text)), err);
}

/* A file that must be refused; the error must name the line and hold `says`. */
static void expect_line(const char *text, int line, const char *says)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    char where[32];
    CHECK(read_text(&settings, text, &err) < 0);
    snprintf(where, sizeof(where), "/parfocal.conf:%d: ", line);
    if (!strstr(err.text, where) || !strstr(err.text, says))
        FAIL("\"%s\" does not say \"%s\" and \"%s\"", err.text, where, says);
    pf_settings_free(&settings);
}

TEST(defaults)
{
    struct pf_settings settings = fresh();
    CHECK_EQ(settings.source.count, 0);
    CHECK_STR(settings.outbox, "outbox");
    CHECK_STR(settings.gap, "auto");
    CHECK_EQ(settings.motion, PF_MOTION_SIMILARITY);
    CHECK_EQ(settings.min_frames, 3);
    CHECK_NEAR(settings.settle, 0.5, 0);
    CHECK(settings.depth_map && settings.recursive);
    pf_settings_free(&settings);
    pf_settings_free(&settings); /* twice does no harm */
    pf_settings_free(NULL);
}

TEST(rows_are_consistent)
{
    for (size_t i = 0; i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        CHECK(pf_setting_find(row->key, strlen(row->key)) == row); /* no key twice */
        CHECK(*row->help && *row->section);
        if (row->type == PF_SETTING_INT || row->type == PF_SETTING_REAL)
            CHECK(row->minimum < row->maximum);
    }
}

TEST(values)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    CHECK_OK(pf_settings_set(&settings, "poll-interval", " 0.25 s", &err), &err);
    CHECK_NEAR(settings.poll_interval, 0.25, 0);
    CHECK_OK(pf_settings_set(&settings, "max_megapixels", "1e3", &err), &err);
    CHECK_EQ(settings.max_megapixels, 1000);
    CHECK_OK(pf_settings_set(&settings, "motion", "Homography", &err), &err);
    CHECK_EQ(settings.motion, PF_MOTION_HOMOGRAPHY);
    CHECK_OK(pf_settings_set(&settings, "recursive", "off", &err), &err);
    CHECK(!settings.recursive);
    CHECK_OK(pf_settings_set(&settings, "source", "folder:a", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "source", "folder:b;c #d", &err), &err);
    CHECK_EQ(settings.source.count, 2);
    CHECK_STR(settings.source.items[1], "folder:b;c #d");
    CHECK_OK(pf_settings_set(&settings, "source", "", &err), &err);
    CHECK_EQ(settings.source.count, 0);
    pf_settings_free(&settings);
}

TEST(bad_values)
{
    expect("poll_interval", "fast", -EINVAL, "number from 0.05 to 3600 s");
    expect("poll_interval", "0x10", -EINVAL, "number");
    expect("poll_interval", "nan", -EINVAL, "number");
    expect("poll_interval", "2 m", -EINVAL, "number");
    expect("poll_interval", "", -EINVAL, "number");
    expect("poll_interval", "0.01", -ERANGE, "0.05 to 3600");
    expect("poll_interval", "1e999", -EINVAL, "number");
    expect("min_frames", "2.5", -EINVAL, "whole number from 2 to 1000 frames");
    expect("min_frames", "1", -ERANGE, "from 2");
    expect("motion", "wobble", -EINVAL, "shift|similarity|affine|homography");
    expect("motion", "shift|similarity", -EINVAL, "one of");
    expect("motion", "", -EINVAL, "one of");
    expect("fuse", "mean", -EINVAL, "must be one of pyramid|soft-depth|average");
    expect("recursive", "maybe", -EINVAL, "yes or no");
    expect("outbox", "", -EINVAL, "must not be empty");
    expect("source", "inbox", -EINVAL, "folder:DIR");
    expect("source", "folder:", -EINVAL, "folder:DIR");
    expect("gap", "soon", -EINVAL, "in-camera, flash, rail or seconds");
    expect("min_frames", "4 ; few", -EINVAL, "a line of its own");
}

TEST(unknown_keys)
{
    expect("outbx", "x", -ENOENT, "did you mean outbox?");
    expect("poll-intervall", "1", -ENOENT, "did you mean poll_interval?");
    expect("expected", "1", -ENOENT, "did you mean expected_frames?");
    expect("agp", "1", -ENOENT, "did you mean gap?");
    expect("zzzzzz", "1", -ENOENT, "config show");
    expect("", "1", -ENOENT, "unknown setting");
}

TEST(edit_distance)
{
    CHECK_EQ(pf_edit_distance("gap", 3, "gap", 3), 0);
    CHECK_EQ(pf_edit_distance("gap", 3, "agp", 3), 1);
    CHECK_EQ(pf_edit_distance("", 0, "gap", 3), 3);
    CHECK_EQ(pf_edit_distance("kitten", 6, "sitting", 7), 3);
    CHECK_EQ(pf_edit_distance("log-level", 9, "log_level", 9), 0);
}

TEST(gap)
{
    struct pf_error err = {0};
    int64_t gap_ms = 0;
    bool fixed = true;
    CHECK_OK(pf_settings_gap("auto", &gap_ms, &fixed, &err), &err);
    CHECK(gap_ms == 8000 && !fixed);
    CHECK_OK(pf_settings_gap("in-camera", &gap_ms, &fixed, &err), &err);
    CHECK(gap_ms == 2000 && !fixed);
    CHECK_OK(pf_settings_gap("Rail", &gap_ms, &fixed, &err), &err);
    CHECK(gap_ms == 20000 && !fixed);
    CHECK_OK(pf_settings_gap("2.5 s", &gap_ms, &fixed, &err), &err);
    CHECK(gap_ms == 2500 && fixed);
    CHECK_EQ(pf_settings_gap("0", &gap_ms, &fixed, &err), -EINVAL);
    CHECK_EQ(gap_ms, 2500); /* untouched on failure */
}

TEST(file)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    CHECK_OK(read_text(&settings,
                       "\xef\xbb\xbf# with a byte order mark\r\n"
                       "[capture]\r\n"
                       "source = folder:/a b/c ; d\r\n"
                       "  source=folder:\xff#x\r\n"
                       "; comment\n"
                       "outbox = \" padded \"\n"
                       "poll: always\n"
                       "gap = 3",
                       &err),
             &err);
    CHECK_EQ(settings.source.count, 2);
    CHECK_STR(settings.source.items[0], "folder:/a b/c ; d");
    CHECK_STR(settings.source.items[1], "folder:\xff#x");
    CHECK_STR(settings.outbox, " padded ");
    CHECK_EQ(settings.poll, PF_POLL_ALWAYS);
    CHECK_STR(settings.gap, "3");
    pf_settings_free(&settings);
}

/* A command means the same in a file and as an option; so does what is printed of it. */
TEST(quotes_of_a_command_are_its_own)
{
    static const char *const values[][2] = {
        {"\"/opt/to archive\"", "\"/opt/to archive\""},
        {"\"/opt/push\" --label \"macro rig\"", "\"/opt/push\" --label \"macro rig\""},
        {"\"http://127.0.0.1:9/x\"", "http://127.0.0.1:9/x"},
        {"/opt/push \"a b\"", "/opt/push \"a b\""},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct pf_settings settings = fresh(), again = fresh();
        struct pf_error err = {0};
        char line[200], *text = NULL;
        size_t size_bytes = 0;
        snprintf(line, sizeof(line), "on_burst = %s\n", values[i][0]);
        CHECK_OK(read_text(&settings, line, &err), &err);
        CHECK_STR(settings.on_burst.items[0], values[i][1]);
        FILE *memory = open_memstream(&text, &size_bytes);
        CHECK_EQ(pf_settings_print(&settings, memory), 0);
        fclose(memory);
        CHECK_OK(pf_settings_read(&again, write_file(text, size_bytes), &err), &err);
        CHECK_STR(again.on_burst.items[0], values[i][1]);
        free(text);
        pf_settings_free(&settings);
        pf_settings_free(&again);
    }
}

TEST(file_errors_name_the_line)
{
    expect_line("gap = 3\n\noutbxo = x\n", 3, "did you mean outbox?");
    expect_line("# one\npoll = perhaps\n", 2, "auto|always|never");
    expect_line("gap = 3\nhello\n", 2, "key = value");
    expect_line("gap = 3\n\n[engine]\ngap = 4\n", 4, "already set in line 1");
    expect_line("[engine\nthreads = 2\n", 1, "[section]");
    expect_line("threads = 2 # cores\n", 1, "a line of its own");
    expect_line("threads = 1\nmin_frames = 0\nbogus = 1\n", 2, "whole number");
    expect_line("threads =\n", 1, "whole number");
    /* Nor is all behind it silently a part of what is before. */
    expect_line("gap = 3\r\noutbox = a\rspool = b\r\n", 2, "carriage return");
    expect_line("# old line ends\rgap = 3\r", 1, "carriage return");
}

/* Who changes a file is told where a key is set, as it is read. */
TEST(line_of_a_key)
{
    static const char text[] = "\xef\xbb\xbfgap: 3\n# sandbox = no\n[a]\n  open-stacks=1\non_stop "
                               "= a\non_stop = sandbox = no\n";
    const char *path = write_file(text, strlen(text));
    CHECK_EQ(pf_settings_line(path, "gap"), 1);
    CHECK_EQ(pf_settings_line(path, "sandbox"), 0);
    CHECK_EQ(pf_settings_line(path, "open_stacks"), 4);
    CHECK_EQ(pf_settings_line(path, "on_stop"), 6);
    CHECK_EQ(pf_settings_line(path, "no_key"), 0);
    CHECK_EQ(pf_settings_line("/nonexistent/parfocal.conf", "gap"), 0);
}

TEST(file_lines_too_long_or_binary)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    enum { LONG = 40000 };
    char *text = malloc(LONG + 1);
    CHECK(text);
    memset(text, 'x', LONG);
    memcpy(text, "gap = 3\nsource = folder:/", 25);
    text[LONG] = '\0';
    CHECK(read_text(&settings, text, &err) < 0);
    CHECK(strstr(err.text, "parfocal.conf:2: line longer than"));
    pf_error_clear(&err);
    CHECK(pf_settings_read(&settings, write_file("threads = 2\nga\0p = 3\n", 21), &err) < 0);
    CHECK(strstr(err.text, "parfocal.conf:2: a zero byte"));

    /* Long paths are taken whole. */
    memset(text, 'y', 5000);
    memcpy(text, "outbox = ", 9);
    text[5000] = '\0';
    pf_error_clear(&err);
    CHECK_OK(read_text(&settings, text, &err), &err);
    CHECK_EQ(strlen(settings.outbox), 5000 - 9);
    free(text);
    pf_settings_free(&settings);
}

TEST(file_that_is_none)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    CHECK_EQ(pf_settings_read(&settings, "/nonexistent/parfocal.conf", &err), -ENOENT);
    CHECK(strstr(err.text, "/nonexistent/parfocal.conf"));
    pf_error_clear(&err);
    CHECK_EQ(pf_settings_read(&settings, test_directory(), &err), -EISDIR);
    pf_settings_free(&settings);
}

/* Puts words into argv form; the array is the caller's. */
#define ARGV(...)                                                                                  \
    char *argv[] = {"parfocal", __VA_ARGS__, NULL};                                                \
    int argc = (int)(sizeof(argv) / sizeof(argv[0])) - 1

TEST(options)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    ARGV("--gap", "rail", "a.jpg", "--source=folder:x", "--source", "folder:y", "--no-depth-map",
         "--recursive", "--jpeg_quality=7", "--json", "-o", "out.tif", "--", "--gap", "b.jpg");
    CHECK_OK(pf_settings_take_options(&settings, &argc, argv, &err), &err);
    CHECK_STR(settings.gap, "rail");
    CHECK_EQ(settings.source.count, 2);
    CHECK(!settings.depth_map && settings.recursive);
    CHECK_EQ(settings.jpeg_quality, 7);
    const char *left[] = {"parfocal", "a.jpg", "--json", "-o", "out.tif", "--", "--gap", "b.jpg"};
    CHECK_EQ(argc, 8);
    for (int i = 0; i < argc; i++)
        CHECK_STR(argv[i], left[i]);
    CHECK(!argv[argc]);
    pf_settings_free(&settings);
}

TEST(options_win_over_the_file)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    char *path = (char *)write_file("gap = 3\nthreads = 7\n", 20);
    ARGV("--gap=4", "-c", path);
    CHECK_OK(pf_settings_take_options(&settings, &argc, argv, &err), &err);
    CHECK_STR(settings.gap, "4");
    CHECK_EQ(settings.threads, 7);
    CHECK_EQ(argc, 1);
    pf_settings_free(&settings);
}

static void expect_option(char *first, char *second, const char *says)
{
    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    ARGV(first, second);
    argc = second ? 3 : 2;
    CHECK_EQ(pf_settings_take_options(&settings, &argc, argv, &err), -EINVAL);
    if (!strstr(err.text, says))
        FAIL("\"%s\" does not say \"%s\"", err.text, says);
    pf_settings_free(&settings);
}

TEST(bad_options)
{
    expect_option("--gap", NULL, "option --gap needs a value");
    expect_option("--gap=never", NULL, "option --gap: gap = never: must be");
    expect_option("--min-frames", "x", "whole number from 2");
    expect_option("--depth-map=perhaps", NULL, "yes or no");
    expect_option("-c", NULL, "needs a file");

    struct pf_settings settings = fresh();
    struct pf_error err = {0};
    ARGV("--no-gap");
    CHECK_OK(pf_settings_take_options(&settings, &argc, argv, &err), &err);
    CHECK_EQ(argc, 2); /* no BOOL: left for the command to refuse */
    CHECK_EQ(pf_settings_unknown_option("--mtion=x", &err), -EINVAL);
    CHECK_STR(err.text, "unknown option --mtion=x; did you mean --motion?");
    pf_settings_free(&settings);
}

TEST(printed_configuration_reads_back)
{
    struct pf_settings settings = fresh(), again = fresh();
    struct pf_error err = {0};
    CHECK_OK(pf_settings_set(&settings, "source", "folder:/a;b ", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "source", "folder:/\xe9t\xe9", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "state", " \"q\" ", &err), &err);
    char longest[PF_SETTING_TEXT_MAX + 2] = "";
    memset(longest, ' ', PF_SETTING_TEXT_MAX + 1); /* what has the most around it */
    CHECK_EQ(pf_settings_set(&settings, "spool", longest, &err), -ERANGE);
    pf_error_clear(&err);
    longest[PF_SETTING_TEXT_MAX] = '\0';
    CHECK_OK(pf_settings_set(&settings, "spool", longest, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "settle", "0.1", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "min_correlation", "0.12345678901234567", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "motion", "affine", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "depth_map", "no", &err), &err);
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *memory = open_memstream(&text, &size_bytes);
    CHECK(memory);
    CHECK_EQ(pf_settings_print(&settings, memory), 0);
    fclose(memory);
    CHECK_OK(pf_settings_read(&again, write_file(text, size_bytes), &err), &err);
    CHECK_EQ(again.source.count, 2);
    CHECK_STR(again.source.items[0], "folder:/a;b ");
    CHECK_STR(again.source.items[1], "folder:/\xe9t\xe9");
    CHECK_STR(again.state, " \"q\" ");
    CHECK_STR(again.spool, longest);
    CHECK(again.settle == settings.settle);
    CHECK(again.min_correlation == settings.min_correlation);
    CHECK_EQ(again.motion, PF_MOTION_AFFINE);
    CHECK(!again.depth_map);
    /* Every row is there, with its help. */
    for (size_t i = 0; i < pf_setting_count; i++)
        CHECK(strstr(text, pf_setting_rows[i].key));
    free(text);
    pf_settings_free(&settings);
    pf_settings_free(&again);
}

TEST(full_disk_is_noticed)
{
    struct pf_settings settings = fresh();
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        SKIP("no /dev/full");
    CHECK(pf_settings_print(&settings, full) < 0);
    fclose(full);
    pf_settings_free(&settings);
}

TEST(help_names_every_option)
{
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *memory = open_memstream(&text, &size_bytes);
    CHECK(memory);
    pf_settings_print_help(memory, NULL);
    fclose(memory);
    for (size_t i = 0; i < pf_setting_count; i++) {
        char option[64];
        snprintf(option, sizeof(option), "%s", pf_setting_rows[i].key);
        for (char *at = option; *at; at++)
            *at = *at == '_' ? '-' : *at;
        CHECK(strstr(text, option));
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        CHECK(strlen(line) <= 100);
    free(text);
}

TEST(settings_that_were_renamed_are_named_with_their_successor)
{
    static const struct pf_setting rows[] = {
        {.type = PF_SETTING_INT, .key = "frames_at_least", .formerly = ""},
        {.type = PF_SETTING_TEXT, .key = "results", .formerly = "out_dir output_folder"},
    };
    struct pf_error err = {0};
    CHECK_EQ(pf_setting_unknown(rows, 2, "output-folder", &err), -ENOENT);
    CHECK_STR(err.text, "the setting output-folder is called results now");
    pf_error_clear(&err);
    CHECK_EQ(pf_setting_unknown(rows, 2, "out_dir", &err), -ENOENT);
    CHECK_STR(err.text, "the setting out_dir is called results now");
    /* A part of an old name is none. */
    CHECK(!pf_setting_successor(rows, 2, "out", 3));
    CHECK(!pf_setting_successor(rows, 2, "folder", 6));
    CHECK(!pf_setting_successor(rows, 2, "", 0));
}

/* An old name must not be a key of today, nor that of two. */
TEST(settings_old_names_are_nobody_elses)
{
    for (size_t i = 0; i < pf_setting_count; i++) {
        char names[200];
        snprintf(names, sizeof(names), "%s", pf_setting_rows[i].formerly);
        for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
            CHECK(!pf_setting_find(name, strlen(name)));
            CHECK(pf_setting_successor(pf_setting_rows, pf_setting_count, name, strlen(name)) ==
                  &pf_setting_rows[i]);
        }
    }
}
