/* What lies in the directory of a stack. */
#include "process/results.h"

#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/test.h"
#include "tests/unit/texture.h"

static struct pf_settings settings;
static struct pf_burst *burst;

static void add_frame(const char *name, int width, int height, int shift)
{
    const double h[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct pf_image *frame = texture_frame(7, width, height, h, shift, 1);
    struct pf_error err = {0};
    json_t *facts = NULL;
    CHECK_OK(pf_burst_add(burst, name, frame, NULL, 1, &facts, &err), &err);
    CHECK_STR(json_string_value(json_object_get(facts, "verdict")), "fused");
    json_decref(facts);
    pf_image_free(frame);
}

/* Two frames. */
static void begin(int width, int height, bool maps, enum pf_format format)
{
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    settings.align = PF_ALIGN_NONE;
    settings.judge = settings.coverage = false;
    settings.depth_map = maps;
    settings.format = (int)format;
    struct pf_stack_settings how = pf_stack_settings_of(&settings);
    how.depth = maps;
    CHECK_OK(pf_burst_new(&burst, &how, NULL, &err), &err);
    add_frame("a", width, height, 0);
    add_frame("b", width, height, 6);
}

static void end(void)
{
    burst = pf_burst_free(burst);
    pf_settings_free(&settings);
}

static json_t *write_results(const json_t *command, const struct pf_results *ahead)
{
    struct pf_error err = {0};
    json_t *event = NULL;
    CHECK_OK(
        pf_results_write(burst, NULL, command, test_directory(), &settings, ahead, &event, &err),
        &err);
    return event;
}

static struct stat stat_of(const char *name)
{
    char path[4200];
    struct stat st = {0};
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    if (stat(path, &st) < 0)
        st.st_ino = 0;
    return st;
}

static json_t *sidecar(void)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/stack.json", test_directory());
    return json_load_file(path, 0, NULL);
}

/* A side that no JPEG has. */
TEST(a_stack_too_large_for_its_format_is_a_tiff)
{
    begin(65504, 16, false, PF_FORMAT_JPEG);
    json_t *command = json_pack("{s:s}", "dir", test_directory());
    json_t *event = write_results(command, NULL), *document = sidecar();
    const json_t *files = json_object_get(event, "files");
    CHECK_EQ(json_array_size(files), 2);
    CHECK(json_is_string(json_object_get(event, "note")));
    CHECK_STR(json_string_value(json_object_get(json_array_get(files, 0), "name")), "stack.tif");
    const json_t *stack = json_object_get(json_object_get(document, "output"), "stack");
    CHECK_STR(json_string_value(json_object_get(stack, "format")), "tiff");
    CHECK(strstr(json_string_value(json_object_get(stack, "note")), "at most 65500 pixels a side"));
    CHECK_EQ(stat_of("stack.jpg").st_ino, 0);
    json_decref(document);
    json_decref(event);
    json_decref(command);
    end();
}

static struct pf_results *write_ahead(const json_t *command)
{
    struct pf_error err = {0};
    struct pf_results *ahead = NULL;
    CHECK_OK(
        pf_results_write_ahead(burst, command, test_directory(), &settings, NULL, &ahead, &err),
        &err);
    return ahead;
}

static bool was_ahead(void)
{
    json_t *document = sidecar();
    bool ahead = json_is_real(json_object_get(json_object_get(document, "engine"), "ahead_ms"));
    json_decref(document);
    return ahead;
}

/* The files that were written before are the result, as long as they are there and nothing has changed. */
TEST(what_was_written_ahead_is_taken_where_nothing_has_changed)
{
    begin(320, 240, true, PF_FORMAT_PNG);
    json_t *command = json_pack("{s:s, s:[s, s]}", "dir", test_directory(), "order", "a", "b");
    struct pf_results *ahead = write_ahead(command);
    struct stat stack = stat_of("stack.png"), depth = stat_of("depth.png");
    CHECK(stack.st_ino && depth.st_ino && !stat_of("stack.json").st_ino);
    json_t *event = write_results(command, ahead);
    CHECK_EQ(json_array_size(json_object_get(event, "files")), 3);
    CHECK(was_ahead());
    CHECK_EQ(stat_of("stack.png").st_mtim.tv_nsec, stack.st_mtim.tv_nsec);
    CHECK_EQ(stat_of("depth.png").st_mtim.tv_nsec, depth.st_mtim.tv_nsec);
    json_decref(event);

    /* Another order of capture makes another map. */
    json_t *turned = json_pack("{s:s, s:[s, s]}", "dir", test_directory(), "order", "b", "a");
    json_decref(write_results(turned, ahead));
    CHECK(!was_ahead());
    json_decref(turned);

    /* A file that is gone is written again. */
    ahead = (pf_results_free(ahead), write_ahead(command));
    char path[4200];
    snprintf(path, sizeof(path), "%s/depth.png", test_directory());
    CHECK_EQ(unlink(path), 0);
    json_decref(write_results(command, ahead));
    CHECK(!was_ahead() && stat_of("depth.png").st_ino);

    /* With another format nothing of the first stays. */
    ahead = (pf_results_free(ahead), write_ahead(command));
    settings.format = PF_FORMAT_JPEG;
    json_decref(write_results(command, ahead));
    CHECK(!was_ahead() && stat_of("stack.jpg").st_ino && !stat_of("stack.png").st_ino);

    /* A further frame. */
    settings.format = PF_FORMAT_PNG;
    ahead = (pf_results_free(ahead), write_ahead(command));
    add_frame("c", 320, 240, 12);
    json_decref(write_results(command, ahead));
    CHECK(!was_ahead());
    CHECK(!pf_results_remove(ahead));
    CHECK(!stat_of("stack.png").st_ino && !stat_of("depth.png").st_ino);
    json_decref(command);
    end();
}

static bool is_third(void *context)
{
    int *asked = context;
    return ++*asked >= 3;
}

/* What is given up leaves nothing. */
TEST(writing_ahead_can_be_given_up)
{
    begin(1200, 800, true, PF_FORMAT_TIFF);
    int asked = 0;
    const struct pf_cancel cancel = {is_third, &asked};
    struct pf_error err = {0};
    struct pf_results *ahead = NULL;
    json_t *command = json_pack("{s:s}", "dir", test_directory());
    CHECK_EQ(
        pf_results_write_ahead(burst, command, test_directory(), &settings, &cancel, &ahead, &err),
        -ECANCELED);
    CHECK_EQ(asked, 3);
    CHECK(!ahead && !stat_of("stack.tif").st_ino && !stat_of("depth.png").st_ino);
    json_t *event = write_results(command, NULL);
    CHECK(stat_of("stack.tif").st_ino && stat_of("depth.png").st_ino);
    json_decref(event);
    json_decref(command);
    end();
}
