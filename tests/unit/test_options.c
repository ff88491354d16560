#include "config/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* What is handed on is understood as it was meant: the child ends up with the same settings. */
TEST(options_reach_a_child_unchanged)
{
    static const char *const values[][2] = {
        {"poll", "never"},      {"poll_interval", "0.25"}, {"recursive", "no"},
        {"motion", "affine"},   {"threads", "3"},          {"min_correlation", "0.123456789"},
        {"format", "jpeg"},     {"depth_map", "no"},       {"outbox", "/a b/--x=\"y\""},
        {"log_level", "debug"}, {"worker_memory", "77"},
    };
    struct pf_settings given, taken;
    struct pf_options options = {0};
    CHECK_EQ(pf_settings_init(&given, NULL), 0);
    CHECK_EQ(pf_settings_init(&taken, NULL), 0);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        CHECK_EQ(pf_settings_set(&given, values[i][0], values[i][1], NULL), 0);
    CHECK_EQ(pf_settings_set(&given, "capture_target_of", "Nikon:memory", NULL), 0);
    CHECK_EQ(pf_settings_set(&given, "capture_target_of", "Canon:leave", NULL), 0);
    CHECK_EQ(pf_options_add(&options, "parfocal", NULL), 0);
    CHECK_EQ(pf_options_add_list(&options, &given, "capture_target_of", NULL), 0);
    CHECK_EQ(pf_options_add_list(&options, &given, "outbox", NULL), -EINVAL);
    CHECK_EQ(pf_options_add_section(&options, &given, "capture", NULL), 0);
    CHECK_EQ(pf_options_add_section(&options, &given, "engine", NULL), 0);
    CHECK_EQ(pf_options_add_section(&options, &given, "output", NULL), 0);
    CHECK_EQ(pf_options_add_section(&options, &given, "maps", NULL), 0);
    CHECK_EQ(pf_options_add_keys(&options, &given, "worker_memory outbox log_level", NULL), 0);
    CHECK_EQ(pf_options_add_keys(&options, &given, "source", NULL), -EINVAL);
    CHECK_EQ(pf_options_add_keys(&options, &given, "nothing sandbox", NULL), -EINVAL);

    /* A copy of the list: the parser takes options out of it. */
    char **argv = calloc(options.count + 1, sizeof(*argv));
    memcpy(argv, options.items, options.count * sizeof(*argv));
    int argc = (int)options.count;
    struct pf_error err = {0};
    int r = pf_settings_take_options(&taken, &argc, argv, &err);
    CHECK_STR(err.text, "");
    CHECK_EQ(r, 0);
    CHECK_EQ(argc, 1);
    CHECK_EQ(taken.capture_target_of.count, 2);
    CHECK_EQ(pf_settings_capture_target(&taken, "Nikon Corporation"), PF_CAPTURE_TARGET_MEMORY);
    CHECK_EQ(pf_settings_capture_target(&taken, "canon inc."), PF_CAPTURE_TARGET_LEAVE);
    CHECK_EQ(pf_settings_capture_target(&taken, "FUJIFILM"), PF_CAPTURE_TARGET_CARD);
    CHECK_EQ(taken.poll, PF_POLL_NEVER);
    CHECK(taken.poll_interval == 0.25 && !taken.recursive && !taken.depth_map);
    CHECK_EQ(taken.motion, PF_MOTION_AFFINE);
    CHECK_EQ(taken.threads, 3);
    CHECK(taken.min_correlation == 0.123456789);
    CHECK_EQ(taken.format, PF_FORMAT_JPEG);
    CHECK_STR(taken.outbox, "/a b/--x=\"y\"");
    CHECK_EQ(taken.log_level, given.log_level);
    CHECK_EQ(taken.worker_memory, 77);
    free(argv);
    pf_options_free(&options);
    pf_settings_free(&given);
    pf_settings_free(&taken);
}

TEST(options_as_json)
{
    struct pf_settings settings;
    CHECK_EQ(pf_settings_init(&settings, NULL), 0);
    json_t *object = pf_options_json(&settings, "align jpeg_quality depth_map min_correlation");
    CHECK_EQ(json_object_size(object), 4);
    CHECK_STR(json_string_value(json_object_get(object, "align")), "auto");
    CHECK_EQ(json_integer_value(json_object_get(object, "jpeg_quality")), 95);
    CHECK(json_is_true(json_object_get(object, "depth_map")));
    CHECK(json_real_value(json_object_get(object, "min_correlation")) == 0.55);
    json_decref(object);
    pf_settings_free(&settings);
}
