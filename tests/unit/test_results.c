/* What lies in the directory of a stack. */
#include "process/results.h"

#include "tests/unit/test.h"
#include "tests/unit/texture.h"

/* A side that no JPEG has. */
TEST(a_stack_too_large_for_its_format_is_a_tiff)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    struct pf_burst *burst = NULL;
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    settings.align = PF_ALIGN_NONE;
    settings.judge = settings.coverage = settings.depth_map = false;
    settings.format = PF_FORMAT_JPEG;
    struct pf_stack_settings how = pf_stack_settings_of(&settings);
    CHECK_OK(pf_burst_new(&burst, &how, NULL, &err), &err);
    for (int i = 0; i < 2; i++) {
        const double h[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
        const char *const names[] = {"a", "b"};
        struct pf_image *frame = texture_frame(7, 65504, 16, h, 6 * i, 1);
        json_t *facts = NULL;
        CHECK_OK(pf_burst_add(burst, names[i], frame, NULL, 1, &facts, &err), &err);
        CHECK_STR(json_string_value(json_object_get(facts, "verdict")), "fused");
        json_decref(facts);
        pf_image_free(frame);
    }
    json_t *event = NULL, *command = json_pack("{s:s}", "dir", test_directory());
    CHECK_OK(pf_results_write(burst, NULL, command, test_directory(), &settings, &event, &err),
             &err);
    const json_t *files = json_object_get(event, "files");
    CHECK_EQ(json_array_size(files), 2);
    CHECK(json_is_string(json_object_get(event, "note")));
    CHECK_STR(json_string_value(json_object_get(json_array_get(files, 0), "name")), "stack.tif");
    char path[4200];
    snprintf(path, sizeof(path), "%s/stack.json", test_directory());
    json_t *sidecar = json_load_file(path, 0, NULL);
    const json_t *stack = json_object_get(json_object_get(sidecar, "output"), "stack");
    CHECK_STR(json_string_value(json_object_get(stack, "format")), "tiff");
    CHECK(strstr(json_string_value(json_object_get(stack, "note")), "at most 65500 pixels a side"));
    snprintf(path, sizeof(path), "%s/stack.jpg", test_directory());
    CHECK_EQ(access(path, F_OK), -1);
    json_decref(sidecar);
    json_decref(event);
    json_decref(command);
    pf_burst_free(burst);
    pf_settings_free(&settings);
}
