#include "service/events.h"

#include "tests/unit/test.h"

struct heard {
    struct pf_events *events;
    struct pf_events_reader *reader;
    char types[512];
    uint64_t last;
    int answer; /* publishes so many when it hears "question" */
    bool once;  /* ends after its first */
    bool again; /* what was missed */
};

static void hear(const struct pf_event *event, void *context)
{
    struct heard *heard = context;
    size_t used = strlen(heard->types);
    snprintf(heard->types + used, sizeof(heard->types) - used, "%s ", event->type);
    CHECK(event->number > heard->last);
    heard->last = event->number;
    CHECK_EQ(strlen(event->text), event->text_bytes);
    /* Told again it is its text, which says the same. */
    json_t *text = json_loads(event->text, 0, NULL);
    CHECK(json_is_integer(json_object_get(text, "at_ms")));
    CHECK(!event->data == heard->again);
    CHECK(heard->again || json_equal(text, event->data));
    const char *burst = json_string_value(json_object_get(text, "burst"));
    CHECK(burst ? event->burst && !strcmp(event->burst, burst) : !event->burst);
    json_decref(text);
    for (int i = 0; !strcmp(event->type, "question") && i < heard->answer; i++)
        pf_events_publish(heard->events, "answer", json_object());
    if (heard->once)
        heard->reader = pf_events_stop(heard->reader);
}

static bool hear_again(const struct pf_event *event, void *context)
{
    hear(event, context);
    return true;
}

static bool hear_two(const struct pf_event *event, void *context)
{
    struct heard *heard = context;
    hear(event, context);
    return strlen(heard->types) < 4; /* "a b " */
}

static struct pf_events *new_events(void)
{
    struct pf_events *events = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_events_new(&events, &err), &err);
    return events;
}

static void listen_to(struct pf_events *events, struct heard *heard)
{
    heard->events = events;
    heard->reader = pf_events_read(events, hear, heard);
    CHECK(heard->reader);
}

TEST(readers_hear_what_comes_after_them)
{
    struct pf_events *events = new_events();
    struct heard first = {0}, second = {0};
    listen_to(events, &first);
    pf_events_publish(events, "a", json_object());
    listen_to(events, &second);
    pf_events_publish(events, "b", json_pack("{s:s}", "burst", "20260101-1"));
    first.reader = pf_events_stop(first.reader);
    pf_events_publish(events, "c", json_object());
    CHECK_STR(first.types, "a b ");
    CHECK_STR(second.types, "b c ");
    CHECK_EQ(pf_events_last(events), 3);
    pf_events_publish(events, "d", NULL); /* there was no memory for it */
    pf_events_publish(NULL, "d", json_object());
    CHECK_EQ(pf_events_last(events), 3);
    pf_events_free(events);
}

TEST(what_is_published_while_telling_is_told_after_it_to_all)
{
    struct pf_events *events = new_events();
    struct heard asks = {.answer = 2}, listens = {0};
    listen_to(events, &asks);
    listen_to(events, &listens);
    pf_events_publish(events, "question", json_object());
    CHECK_STR(asks.types, "question answer answer ");
    CHECK_STR(listens.types, "question answer answer ");
    pf_events_free(events);
}

TEST(a_reader_may_end_itself)
{
    struct pf_events *events = new_events();
    struct heard once = {.once = true}, always = {0};
    listen_to(events, &once);
    listen_to(events, &always);
    pf_events_publish(events, "a", json_object());
    pf_events_publish(events, "b", json_object());
    CHECK_STR(once.types, "a ");
    CHECK_STR(always.types, "a b ");
    pf_events_free(events);
}

TEST(what_was_missed_is_told_again)
{
    struct pf_events *events = new_events();
    struct heard late = {.again = true};
    CHECK_EQ(pf_events_again(events, 0, hear_again, &late), 0);
    CHECK_EQ(pf_events_again(events, 1, hear_again, &late), -ENOENT); /* of another run */
    pf_events_publish(events, "a", json_object());
    pf_events_publish(events, "b", json_pack("{s:s}", "burst", "20260101-1"));
    pf_events_publish(events, "c", json_object());
    CHECK_EQ(pf_events_again(events, 1, hear_again, &late), 0);
    CHECK_STR(late.types, "b c ");
    CHECK_EQ(pf_events_again(events, 3, hear_again, &late), 0);
    CHECK_EQ(pf_events_again(events, 4, hear_again, &late), -ENOENT);
    CHECK_STR(late.types, "b c ");
    struct heard two = {.again = true};
    CHECK_EQ(pf_events_again(events, 0, hear_two, &two), 0);
    CHECK_STR(two.types, "a b ");
    pf_events_free(events);
}

TEST(the_oldest_are_forgotten)
{
    struct pf_events *events = new_events();
    struct heard late = {.again = true};
    for (int i = 0; i < PF_EVENTS_KEPT + 10; i++)
        pf_events_publish(events, "a", json_object());
    CHECK_EQ(pf_events_again(events, 9, hear_again, &late), -ENOENT);
    CHECK_EQ(late.last, 0);
    CHECK_EQ(pf_events_again(events, 10, hear_again, &late), 0);
    CHECK_EQ(late.last, PF_EVENTS_KEPT + 10);
    pf_events_free(events);
}

struct again {
    uint64_t last;
    bool wrong;
};

static bool compare(const struct pf_event *event, void *context)
{
    struct again *again = context;
    json_t *data = json_loadb(event->text, event->text_bytes, 0, NULL);
    json_int_t n = json_integer_value(json_object_get(data, "n"));
    const char *burst = json_string_value(json_object_get(data, "burst"));
    again->wrong |= (uint64_t)n != event->number ||
                    (again->last && event->number != again->last + 1) || !burst != !event->burst ||
                    (burst && strcmp(burst, event->burst) != 0) ||
                    strcmp(event->type, n % 3 ? "odd" : "") != 0 ||
                    json_string_length(json_object_get(data, "text")) != (size_t)(n * 7919 % 30000);
    again->last = event->number;
    json_decref(data);
    return true;
}

/* Whatever their sizes, those that are kept are whole, in order and without a gap, up to the last. */
TEST(the_ring_goes_round)
{
    struct pf_events *events = new_events();
    char *text = malloc(30000);
    memset(text, 'x', 30000);
    for (int n = 1; n <= 1000; n++) {
        json_t *data =
            json_pack("{s:i, s:o}", "n", n, "text", json_stringn(text, (size_t)(n * 7919 % 30000)));
        if (n % 2)
            json_object_set_new(data, "burst", json_string("a burst"));
        pf_events_publish(events, n % 3 ? "odd" : "", data);
        if (n % 29) /* looking takes longer than publishing */
            continue;
        struct again again = {0};
        uint64_t from = 0;
        while (pf_events_again(events, from, compare, &again) == -ENOENT)
            from++;
        CHECK(!again.wrong);
        CHECK_EQ(again.last, (uint64_t)n);
        CHECK(from <
              1 + (uint64_t)(n > 60 ? n - 60 : 0)); /* 2 MiB have room for 69 of the largest */
    }
    free(text);
    pf_events_free(events);
}

TEST(large_ones_are_bounded_by_their_bytes)
{
    struct pf_events *events = new_events();
    struct heard late = {.again = true};
    size_t half = PF_EVENTS_KEPT_BYTES / 2;
    char *text = malloc(2 * half + 1);
    memset(text, 'x', 2 * half);
    text[half - 100] = '\0';
    for (int i = 0; i < 8; i++)
        pf_events_publish(events, "a", json_pack("{s:s}", "text", text));
    CHECK_EQ(pf_events_again(events, 5, hear_again, &late), -ENOENT);
    CHECK_EQ(pf_events_again(events, 6, hear_again, &late), 0);
    CHECK_EQ(late.last, 8);
    /* One that there is no room for at all, and one after it. */
    text[half - 100] = 'x';
    text[2 * half] = '\0';
    pf_events_publish(events, "a", json_pack("{s:s}", "text", text));
    CHECK_EQ(pf_events_again(events, 8, hear_again, &late), -ENOENT);
    CHECK_EQ(pf_events_again(events, 9, hear_again, &late), 0);
    pf_events_publish(events, "b", json_object());
    CHECK_EQ(pf_events_again(events, 8, hear_again, &late), -ENOENT);
    CHECK_EQ(pf_events_again(events, 9, hear_again, &late), 0);
    CHECK_EQ(late.last, 10);
    free(text);
    pf_events_free(events);
}

/* While it is told, an event can be had again as well, and it is told once. */
static void ask_again(const struct pf_event *event, void *context)
{
    struct heard *heard = context, late = {.again = true};
    CHECK_EQ(pf_events_again(heard->events, event->number - 1, hear_again, &late), 0);
    CHECK_EQ(late.last, pf_events_last(heard->events));
    heard->last++;
}

TEST(again_while_it_is_told)
{
    struct pf_events *events = new_events();
    struct heard asks = {.answer = 2}, again = {.events = events};
    listen_to(events, &asks);
    again.reader = pf_events_read(events, ask_again, &again);
    CHECK(again.reader);
    pf_events_publish(events, "question", json_object());
    CHECK_EQ(again.last, 3);
    CHECK_STR(asks.types, "question answer answer ");
    pf_events_free(events);
}
