#include "capture/record.h"

#include "tests/unit/test.h"

static struct pf_record *full_record(void)
{
    static const struct pf_record example = {
        .path = "/in box/\xff\n-e\xcc\x81.jpg",
        .source = "folder:in box",
        .size_bytes = INT64_C(5000000000),
        .mtime_ns = INT64_C(1767322991123456789),
        .ctime_ns = -1,
        .inode = UINT64_MAX - 5,
        .arrival_ms = 123456,
        .format = "jpeg",
        .width = 6000,
        .height = 4000,
        .orientation = 6,
        .capture_ms = INT64_C(1767322991123),
        .has_subsec = true,
        .make = "Maker",
        .serial = "1\xe9",
        .focal_mm = 105.5,
        .f_number = 5.6,
        .exposure_s = 1.0 / 8000,
        .iso = 102400,
        .burst_id = "B",
        .sequence = 3,
        .counter = 42,
        .bracket = INT64_C(1795872000000),
        .focus_at = -2.5,
    };
    struct pf_record *record = pf_record_copy(&example);
    CHECK(record);
    record->id = pf_identity_of_memory("abc", 3);
    return record;
}

TEST(record_round_trip)
{
    struct pf_error err = {0};
    struct pf_record *record = full_record(), *back;
    json_t *object = pf_record_to_json(record);
    CHECK(object);
    CHECK_STR(json_string_value(json_object_get(object, "event")), "frame");
    char *text = json_dumps(object, 0);
    json_t *read = json_loads(text, 0, NULL);
    CHECK_OK(pf_record_from_json(read, &back, &err), &err);
    CHECK_STR(back->path, record->path);
    CHECK_STR(back->source, record->source);
    CHECK_STR(back->id.text, record->id.text);
    CHECK_EQ(back->size_bytes, record->size_bytes);
    CHECK_EQ(back->mtime_ns, record->mtime_ns);
    CHECK_EQ(back->ctime_ns, -1);
    CHECK(back->inode == UINT64_MAX - 5);
    CHECK_STR(back->format, "jpeg");
    CHECK_EQ(back->orientation, 6);
    CHECK_EQ(back->capture_ms, record->capture_ms);
    CHECK(back->has_subsec && !back->has_offset);
    CHECK_STR(back->make, "Maker");
    CHECK_STR(back->model, NULL);
    CHECK_STR(back->serial, "1\xe9");
    CHECK_NEAR(back->exposure_s, 1.0 / 8000, 1e-12);
    CHECK_EQ(back->iso, 102400);
    CHECK_STR(back->burst_id, "B");
    CHECK_EQ(back->sequence, 3);
    CHECK_EQ(back->counter, 42);
    CHECK_EQ(back->bracket, INT64_C(1795872000000));
    CHECK_NEAR(back->focus_at, -2.5, 0);
    free(text);
    json_decref(object);
    json_decref(read);
    pf_record_free(back);
    CHECK(!pf_record_free(record));
    CHECK(!pf_record_free(NULL));
}

TEST(record_with_a_field_missing_or_wrong)
{
    struct pf_record *record = full_record(), *back = NULL;
    json_t *object = pf_record_to_json(record);
    static const char *const optional[] = {"event", "make", "model", "serial", "lens", "burst_id"};
    const char *key;
    json_t *value;
    int required = 0;
    json_object_foreach(object, key, value)
    {
        bool may_miss = false;
        for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
            may_miss |= !strcmp(key, optional[i]);
        json_t *without = json_copy(object), *wrong = json_copy(object);
        struct pf_error err = {0};
        json_object_del(without, key);
        json_object_set_new(wrong, key, json_array());
        int r = pf_record_from_json(without, &back, NULL);
        if (may_miss) {
            CHECK_EQ(r, 0);
            pf_record_free(back);
        } else {
            CHECK_EQ(r, -EBADMSG);
            required++;
        }
        if (strcmp(key, "event")) {
            CHECK_EQ(pf_record_from_json(wrong, &back, &err), -EBADMSG);
            CHECK(strstr(err.text, key));
        }
        json_decref(without);
        json_decref(wrong);
    }
    CHECK(required >= 15);
    json_object_set_new(object, "orientation", json_integer(9));
    CHECK_EQ(pf_record_from_json(object, &back, NULL), -EBADMSG);
    json_object_set_new(object, "orientation", json_integer(1));
    json_object_set_new(object, "id", json_string("0000000000000003-xyz"));
    CHECK_EQ(pf_record_from_json(object, &back, NULL), -EBADMSG);
    json_decref(object);
    pf_record_free(record);
}

TEST(record_of_no_bracket)
{
    struct pf_record *record = full_record(), *back;
    record->bracket = 0;
    json_t *object = pf_record_to_json(record);
    CHECK(!json_object_get(object, "bracket") && !json_object_get(object, "focus_at"));
    CHECK_EQ(pf_record_from_json(object, &back, NULL), 0);
    CHECK_EQ(back->bracket, 0);
    json_decref(object);
    pf_record_free(back);
    pf_record_free(record);
}

TEST(record_counter_of_a_name)
{
    CHECK_EQ(pf_record_counter("/a/IMG_0042.JPG"), 42);
    CHECK_EQ(pf_record_counter("IMG_0042.JPG"), 42);
    CHECK_EQ(pf_record_counter("/2024/DSC.jpg"), -1);
    CHECK_EQ(pf_record_counter("/a/2024-05-06 burst 7b.tif"), 7);
    CHECK_EQ(pf_record_counter("/a/IMG_0042"), 42);
    CHECK_EQ(pf_record_counter("/a/IMG_0042.jpg.1"), 42);
    CHECK_EQ(pf_record_counter("/a/.5"), 5);
    CHECK_EQ(pf_record_counter("/a/0"), 0);
    CHECK_EQ(pf_record_counter(""), -1);
    CHECK_EQ(pf_record_counter("x1234567890123456789012345.jpg"), INT64_C(890123456789012345));
}
