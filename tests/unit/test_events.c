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
    CHECK_EQ(pf_events_again(events, 0, hear, &late), 0);
    CHECK_EQ(pf_events_again(events, 1, hear, &late), -ENOENT); /* of another run */
    pf_events_publish(events, "a", json_object());
    pf_events_publish(events, "b", json_pack("{s:s}", "burst", "20260101-1"));
    pf_events_publish(events, "c", json_object());
    CHECK_EQ(pf_events_again(events, 1, hear, &late), 0);
    CHECK_STR(late.types, "b c ");
    CHECK_EQ(pf_events_again(events, 3, hear, &late), 0);
    CHECK_EQ(pf_events_again(events, 4, hear, &late), -ENOENT);
    CHECK_STR(late.types, "b c ");
    pf_events_free(events);
}

TEST(the_oldest_are_forgotten)
{
    struct pf_events *events = new_events();
    struct heard late = {.again = true};
    for (int i = 0; i < PF_EVENTS_KEPT + 10; i++)
        pf_events_publish(events, "a", json_object());
    CHECK_EQ(pf_events_again(events, 9, hear, &late), -ENOENT);
    CHECK_EQ(late.last, 0);
    CHECK_EQ(pf_events_again(events, 10, hear, &late), 0);
    CHECK_EQ(late.last, PF_EVENTS_KEPT + 10);
    pf_events_free(events);
}

TEST(large_ones_are_bounded_by_their_bytes)
{
    struct pf_events *events = new_events();
    struct heard late = {.again = true};
    char *text = malloc(1 << 20);
    memset(text, 'x', (1 << 20) - 1);
    text[(1 << 20) - 1] = '\0';
    for (int i = 0; i < 8; i++)
        pf_events_publish(events, "a", json_pack("{s:s}", "text", text));
    CHECK_EQ(pf_events_again(events, 4, hear, &late), -ENOENT);
    CHECK_EQ(pf_events_again(events, 5, hear, &late), 0);
    CHECK_EQ(late.last, 8);
    free(text);
    pf_events_free(events);
}
