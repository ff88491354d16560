/* The pure parts of MQTT: addresses, topics and their values, discovery. */
#include "service/mqtt_link.h"
#include "service/mqtt_topics.h"
#include "tests/unit/test.h"

static void check_address(const char *text, const char *host, int port)
{
    char got[64];
    int number = 0, r = pf_mqtt_address(text, 1883, got, sizeof(got), &number);
    if (!host) {
        CHECK_EQ(r, -EINVAL);
        return;
    }
    CHECK_EQ(r, 0);
    CHECK_STR(got, host);
    CHECK_EQ(number, port);
}

TEST(mqtt_addresses)
{
    char longer[80];
    check_address("broker", "broker", 1883);
    check_address("broker.lan:8883", "broker.lan", 8883);
    check_address("127.0.0.1:1", "127.0.0.1", 1);
    check_address("[::1]:1884", "::1", 1884);
    check_address("[::1]", "::1", 1883);
    check_address("fe80::1", "fe80::1", 1883);
    check_address("", NULL, 0);
    check_address(":1883", NULL, 0);
    check_address("a:", NULL, 0);
    check_address("a:0", NULL, 0);
    check_address("a:65536", NULL, 0);
    check_address("a:18x", NULL, 0);
    check_address("a:-1", NULL, 0);
    check_address("[::1", NULL, 0);
    check_address("[::1]x", NULL, 0);
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    check_address(longer, NULL, 0);
}

static json_t *said; /* topic -> value */

static void set(const char *topic, const char *value, void *context)
{
    (void)context;
    json_t *parsed = *value ? json_loads(value, 0, NULL) : json_null(); /* null: emptied */
    if (!parsed)
        FAIL("%s: no JSON: %s", topic, value);
    json_object_set_new(said, topic, parsed);
}

static void observe(struct pf_mqtt_topics *topics, const char *type, const char *text)
{
    json_t *data = json_loads(text, 0, NULL);
    CHECK(data);
    pf_mqtt_topics_observe(topics, type, data);
    json_decref(data);
}

static const json_t *of(const char *topic)
{
    const json_t *value = json_object_get(said, topic);
    if (!value)
        FAIL("nothing was said of %s", topic);
    return value;
}

static void check_text(const char *topic, const char *key, const char *expected)
{
    const json_t *value = json_object_get(of(topic), key);
    CHECK_STR(json_string_value(value), expected);
}

static void begin(struct pf_mqtt_topics *topics, const char *host)
{
    struct pf_error err = {0};
    said = json_object();
    CHECK_OK(pf_mqtt_topics_init(topics, "lab/parfocal", host, set, NULL, &err), &err);
}

static void end(struct pf_mqtt_topics *topics)
{
    pf_mqtt_topics_free(topics);
    json_decref(said);
}

TEST(mqtt_topics)
{
    struct pf_mqtt_topics topics;
    begin(&topics, "box 1/+#\xc3\xa4");
    CHECK_STR(topics.base, "lab/parfocal/box-1-----");
    pf_mqtt_topics_free(&topics);
    json_decref(said);

    begin(&topics, "box");
    observe(&topics, "worker",
            "{\"worker\": {\"state\": \"ready\", \"device\": \"cpu\", \"losses\": 0}}");
    check_text("lab/parfocal/box/worker", "state", "ready");
    CHECK(!json_object_get(of("lab/parfocal/box/worker"), "losses"));
    observe(&topics, "source",
            "{\"source\": {\"source\": 1, \"name\": \"folder:/a\", \"state\": \"missing\"}}");
    check_text("lab/parfocal/box/source/1", "state", "missing");
    observe(&topics, "frame.recorded", "{}");
    observe(&topics, "frame.recorded", "{}");
    observe(&topics, "burst.opened",
            "{\"burst\": \"b-1\", \"summary\": {\"state\": \"open\", \"frames\": 1}}");
    check_text("lab/parfocal/box/burst", "state", "open");
    observe(&topics, "burst.stage", "{\"burst\": \"b-1\", \"stage\": \"stacking\"}");
    observe(&topics, "burst.published",
            "{\"burst\": \"b-1\", \"version\": 1, \"directory\": \"/out/b-1\","
            " \"summary\": {\"state\": \"published\", \"frames\": 2, \"links\": {}}}");
    check_text("lab/parfocal/box/burst", "burst", "b-1");
    check_text("lab/parfocal/box/burst", "directory", "/out/b-1");
    CHECK(!json_object_get(of("lab/parfocal/box/burst"), "links"));
    pf_mqtt_topics_count(&topics, 3, 7);
    const json_t *counts = of("lab/parfocal/box/counts");
    CHECK_EQ(json_integer_value(json_object_get(counts, "frames")), 2);
    CHECK_EQ(json_integer_value(json_object_get(counts, "published")), 1);
    CHECK_EQ(json_integer_value(json_object_get(counts, "queue_bursts")), 3);
    CHECK_EQ(json_integer_value(json_object_get(counts, "queue_frames")), 7);

    observe(&topics, "trouble", "{\"on\": true, \"trouble\": {\"id\": \"a\", \"text\": \"A\"}}");
    observe(&topics, "trouble", "{\"on\": true, \"trouble\": {\"id\": \"b\", \"text\": \"B\"}}");
    observe(&topics, "trouble", "{\"on\": false, \"trouble\": {\"id\": \"a\", \"text\": \"A\"}}");
    check_text("lab/parfocal/box/problem", "problem", "ON");
    CHECK_EQ(json_array_size(json_object_get(of("lab/parfocal/box/problem"), "troubles")), 1);
    observe(&topics, "trouble", "{\"on\": false, \"trouble\": {\"id\": \"b\"}}");
    check_text("lab/parfocal/box/problem", "problem", "OFF");
    observe(&topics, "preview", "{}");
    end(&topics);
}

/* What Home Assistant asks of a discovery message: a state topic that is one of ours, an id of its own,
 * one device for all. */
TEST(mqtt_discovery)
{
    struct pf_mqtt_topics topics;
    begin(&topics, "box");
    pf_mqtt_topics_discover(&topics, "homeassistant", 2);
    const char *topic;
    const json_t *value;
    size_t count = 0;
    char unique[2048] = " ";
    json_object_foreach(said, topic, value)
    {
        if (strncmp(topic, "homeassistant/", 14) != 0)
            continue;
        count++;
        CHECK(strstr(topic, "/parfocal_box/") && strstr(topic, "/config"));
        const char *id = json_string_value(json_object_get(value, "unique_id"));
        char once[128];
        snprintf(once, sizeof(once), " %s ", id);
        CHECK(!strstr(unique, once));
        strncat(unique, once + 1, sizeof(unique) - strlen(unique) - 1);
        CHECK(!strncmp(json_string_value(json_object_get(value, "state_topic")),
                       "lab/parfocal/box/", 17));
        CHECK_STR(json_string_value(json_object_get(value, "availability_topic")),
                  "lab/parfocal/box/availability");
        const json_t *device = json_object_get(value, "device");
        CHECK_STR(json_string_value(json_array_get(json_object_get(device, "identifiers"), 0)),
                  "parfocal_box");
        CHECK(json_object_get(value, "name") && json_object_get(value, "value_template"));
    }
    CHECK_EQ(count, 11);
    check_text("homeassistant/binary_sensor/parfocal_box/problem/config", "device_class",
               "problem");
    check_text("homeassistant/sensor/parfocal_box/frames/config", "state_class",
               "total_increasing");
    check_text("homeassistant/sensor/parfocal_box/source_1/config", "state_topic",
               "lab/parfocal/box/source/1");
    end(&topics);
}

TEST(mqtt_forgets_sources_of_an_earlier_configuration)
{
    struct pf_mqtt_topics topics;
    begin(&topics, "box");
    pf_mqtt_topics_discover(&topics, "homeassistant", 2);
    pf_mqtt_topics_forget(&topics, "homeassistant", 2);
    CHECK(json_is_object(of("homeassistant/sensor/parfocal_box/source_1/config")));
    CHECK(json_is_null(of("homeassistant/sensor/parfocal_box/source_2/config")));
    CHECK(json_is_null(of("lab/parfocal/box/source/2")));
    CHECK(json_is_null(of("lab/parfocal/box/source/15")));
    CHECK(!json_object_get(said, "lab/parfocal/box/source/1"));
    end(&topics);

    begin(&topics, "box");
    pf_mqtt_topics_forget(&topics, NULL, 15);
    CHECK_EQ(json_object_size(said), 1);
    end(&topics);
}

/* What was wrong before the broker was there to be told. */
TEST(mqtt_begins_with_what_is_wrong)
{
    struct pf_mqtt_topics topics;
    json_t *troubles =
        json_pack("[{s:s, s:s}, {s:s, s:s}]", "id", "a", "text", "A", "id", "b", "text", "B");
    begin(&topics, "box");
    pf_mqtt_topics_begin(&topics, NULL);
    of("lab/parfocal/box/counts");
    check_text("lab/parfocal/box/problem", "problem", "OFF");
    pf_mqtt_topics_begin(&topics, troubles);
    check_text("lab/parfocal/box/problem", "problem", "ON");
    observe(&topics, "trouble", "{\"on\": false, \"trouble\": {\"id\": \"a\"}}");
    check_text("lab/parfocal/box/problem", "problem", "ON");
    observe(&topics, "trouble", "{\"on\": false, \"trouble\": {\"id\": \"b\"}}");
    check_text("lab/parfocal/box/problem", "problem", "OFF");
    json_decref(troubles);
    end(&topics);
}
