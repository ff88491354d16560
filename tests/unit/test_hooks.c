/* Hooks without a process: words, signatures, what is shown of a target, events and environments, targets. */
#include <sys/stat.h>

#include "config/base/jsonl.h"
#include "config/base/words.h"
#include "config/settings.h"
#include "service/hook_event.h"
#include "service/hook_targets.h"
#include "service/hooks.h"
#include "service/signature.h"
#include "tests/unit/journal_steps.h"

/* The words, each in [brackets]; "!" and the error when there are none. */
static const char *words_of(const char *text)
{
    static char said[512];
    char **words = NULL;
    struct pf_error err = {0};
    said[0] = '\0';
    if (pf_words(text, &words, &err) < 0) {
        snprintf(said, sizeof(said), "!%.500s", err.text);
        return said;
    }
    for (char **word = words; *word; word++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "[%s]", *word);
    pf_words_free(words);
    return said;
}

TEST(words_have)
{
    CHECK(pf_words_have("gap hold", "gap") && pf_words_have("gap hold", "hold"));
    CHECK(!pf_words_have("gap hold", "ga") && !pf_words_have("gap hold", "old"));
    CHECK(!pf_words_have("gap hold", "gap hold") && !pf_words_have("gap hold", ""));
    CHECK(!pf_words_have("", "gap"));
}

TEST(words)
{
    CHECK_STR(words_of("a"), "[a]");
    CHECK_STR(words_of("  /usr/bin/a  -b\tc  "), "[/usr/bin/a][-b][c]");
    CHECK_STR(words_of("a 'b  c' \"d \\\" \\\\ \\e\""), "[a][b  c][d \" \\ \\e]");
    CHECK_STR(words_of("a\\ b '\\' c\"d\"'e' ''"), "[a b][\\][cde][]");
    CHECK_STR(words_of("a $HOME `b` *;|&"), "[a][$HOME][`b`][*;|&]");
    CHECK_STR(words_of("\xff\xfe \xc3\xa4"), "[\xff\xfe][\xc3\xa4]");
    CHECK_STR(words_of("a\\"), "[a\\]");
    CHECK_STR(words_of("a 'b"), "!a quote is not closed");
    CHECK_STR(words_of("\"a\\\""), "!a quote is not closed");
    CHECK_STR(words_of("   "), "!no program is named");
    CHECK_STR(words_of("'' a"), "!no program is named");
}

TEST(hooks_are_checked_as_settings)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    CHECK_EQ(settings.on_burst.count, 0);
    CHECK_OK(pf_settings_set(&settings, "on-burst", "mail -s 'it is done' me", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "HTTPS://example.org/'", &err), &err);
    CHECK_EQ(settings.on_burst.count, 2);
    CHECK_EQ(pf_settings_set(&settings, "on_failure", "mail 'oops", &err), -EINVAL);
    CHECK_STR(err.text, "on_failure = mail 'oops: a quote is not closed");
    /* Empty where the default is. */
    CHECK_OK(pf_settings_set(&settings, "hook_secret_file", "", &err), &err);
    CHECK_EQ(pf_settings_set(&settings, "outbox", "", NULL), -EINVAL);
    pf_settings_free(&settings);
}

/* The example of the specification's reference libraries, whose value openssl gives as well. */
TEST(signature_of_the_specification)
{
    struct pf_secret secret = {0};
    struct pf_error err = {0};
    char signature[PF_SIGNATURE_CHARS + 1];
    CHECK_OK(pf_secret_of_text(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", &secret, &err), &err);
    CHECK_EQ(secret.size_bytes, 24);
    CHECK_OK(pf_sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}",
                     signature, &err),
             &err);
    CHECK_STR(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    CHECK_OK(pf_sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265331, "{\"test\": 2432232314}",
                     signature, &err),
             &err);
    CHECK(strcmp(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=") != 0);
}

TEST(secrets)
{
    struct pf_secret secret = {0};
    struct pf_error err = {0};
    char path[4200], longer[400];
    CHECK_OK(pf_secret_of_text("0123456789abcdef\n", &secret, &err), &err);
    CHECK_EQ(secret.size_bytes, 16);
    CHECK(!memcmp(secret.bytes, "0123456789abcdef", 16));
    CHECK_OK(pf_secret_of_text("whsec_AAECAwQFBgcICQoLDA0ODw==", &secret, &err), &err);
    CHECK_EQ(secret.size_bytes, 16);
    CHECK_EQ(secret.bytes[15], 15);
    CHECK_EQ(pf_secret_of_text("short", &secret, NULL), -EINVAL);
    CHECK_EQ(pf_secret_of_text("whsec_AAEC", &secret, NULL), -EINVAL);
    CHECK_EQ(pf_secret_of_text("whsec_@@@@@@@@@@@@@@@@@@@@@@@@", &secret, NULL), -EINVAL);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    CHECK_EQ(pf_secret_of_text(longer, &secret, NULL), -EINVAL);

    snprintf(path, sizeof(path), "%s/secret", test_directory());
    CHECK_EQ(pf_secret_of_file(path, &secret, NULL), -ENOENT);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fprintf(file, "0123456789abcdefg\n");
    fclose(file);
    CHECK_EQ(chmod(path, 0644), 0);
    CHECK_EQ(pf_secret_of_file(path, &secret, &err), -EINVAL);
    CHECK(strstr(err.text, "can be read by everybody"));
    CHECK_EQ(chmod(path, 0640), 0);
    CHECK_OK(pf_secret_of_file(path, &secret, &err), &err);
    CHECK_EQ(secret.size_bytes, 17);
}

static void check_shown(const char *target, const char *expected)
{
    char *shown = pf_hook_shown(target);
    CHECK_STR(shown, expected);
    free(shown);
}

TEST(what_is_shown_of_a_target)
{
    check_shown("/usr/bin/mail", "/usr/bin/mail");
    check_shown("/usr/bin/mail -s done me", "/usr/bin/mail …");
    check_shown("'/opt/my hooks/tell' --token 1", "/opt/my hooks/tell …");
    check_shown("TOKEN=1 tell", "…");
    check_shown("(curl --user me:secret host)", "…");
    check_shown("curl;TOKEN=1", "…");
    check_shown("'half", "…");
    check_shown("http://host:8080", "http://host:8080");
    check_shown("http://host/", "http://host/");
    check_shown("https://host/parfocal", "https://host/parfocal");
    check_shown("https://host/parfocal/", "https://host/parfocal");
    check_shown("https://user:pass@host/x", "https://…@host/x");
    check_shown("https://a@b:pass@host/x", "https://…@host/x");
    check_shown("https://host/services/T0/B0/secret", "https://host/services/…");
    check_shown("https://host/x?token=1", "https://host/x/…");
    check_shown("https://host?token=1", "https://host/…");
    check_shown("https://host/x#part", "https://host/x/…");
}

static const char *variable(char **environment, const char *name)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, name, strlen(name)) && (*environment)[strlen(name)] == '=')
            return *environment + strlen(name) + 1;
    return NULL;
}

TEST(events_and_their_environment)
{
    struct pf_job *job = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_job_new(&job, 7, "20260102-Acme-7", &err), &err);
    for (int n = 1; n <= 3; n++)
        CHECK_OK(pf_job_add(job, record_of(n), &err), &err);
    job->complete = copy("gap");
    job->frames[0].excluded = true;
    job->files = json_pack("[{s:s, s:i}]", "name", "stack.tif", "size_bytes", 12);
    /* What is in a stack that was found is not known to the job. */
    json_t *event = pf_hook_event_published(job, job->name, 2, "/out/x");
    CHECK(!json_object_get(event, "frames") && !json_object_get(event, "fused") &&
          !json_object_get(event, "aside"));
    json_decref(event);
    job->out_fused = 2;
    job->out_aside = 1;
    event = pf_hook_event_published(job, job->name, 2, "/out/\xff\n x");
    CHECK(event);
    CHECK_STR(json_string_value(json_object_get(event, "event")), "burst.published");
    CHECK_EQ(json_integer_value(json_object_get(event, "frames")), 3);
    CHECK_STR(json_string_value(json_object_get(json_object_get(event, "camera"), "serial")),
              "12345");
    CHECK_STR(json_string_value(json_object_get(event, "source")), "folder:/data/in box");
    CHECK_EQ(json_array_size(json_object_get(event, "files")), 1);
    CHECK(json_object_get(event, "first") && json_object_get(event, "last"));

    char *inherited[] = {"PATH=/bin",
                         "NOTIFY_SOCKET=/run/x",
                         "JOURNAL_STREAM=1:2",
                         "PARFOCAL_ID=old",
                         "LISTEN_FDS=1",
                         "HOME=/root",
                         NULL};
    json_object_set_new(event, "id", json_string("abc"));
    char **environment = pf_hook_environment(inherited, event, 3);
    CHECK(environment);
    CHECK_STR(variable(environment, "PATH"), "/bin");
    CHECK_STR(variable(environment, "HOME"), "/root");
    CHECK(!variable(environment, "NOTIFY_SOCKET") && !variable(environment, "JOURNAL_STREAM") &&
          !variable(environment, "LISTEN_FDS") && !variable(environment, "PARFOCAL_REASON"));
    CHECK_STR(variable(environment, "PARFOCAL_ID"), "abc");
    CHECK_STR(variable(environment, "PARFOCAL_EVENT"), "burst.published");
    CHECK_STR(variable(environment, "PARFOCAL_BURST"), "20260102-Acme-7");
    CHECK_STR(variable(environment, "PARFOCAL_DIRECTORY"), "/out/\xff\n x"); /* as it is */
    CHECK_STR(variable(environment, "PARFOCAL_VERSION"), "2");
    CHECK_STR(variable(environment, "PARFOCAL_FRAMES"), "3");
    CHECK_STR(variable(environment, "PARFOCAL_ATTEMPT"), "3");
    pf_hook_environment_free(environment);
    json_decref(event);

    event = pf_hook_event_failed(job, 1, "only 1 of 3 frames could be used");
    environment = pf_hook_environment(inherited, event, 1);
    CHECK_STR(variable(environment, "PARFOCAL_REASON"), "only 1 of 3 frames could be used");
    CHECK(!variable(environment, "PARFOCAL_DIRECTORY"));
    pf_hook_environment_free(environment);
    json_decref(event);
    pf_job_free(job);

    json_t *trouble = json_pack("{s:s, s:s, s:I, s:b}", "id", "source.3", "text", "it is gone",
                                "since_ms", (json_int_t)17, "degrades", 1);
    event = pf_hook_event_degraded(trouble, 4);
    environment = pf_hook_environment(inherited, event, 1);
    CHECK_STR(variable(environment, "PARFOCAL_EVENT"), "service.degraded");
    CHECK_STR(variable(environment, "PARFOCAL_TROUBLE"), "source.3");
    CHECK_STR(variable(environment, "PARFOCAL_REASON"), "it is gone");
    CHECK_EQ(json_integer_value(json_object_get(event, "times")), 4);
    CHECK_EQ(json_integer_value(json_object_get(event, "since_ms")), 17);
    pf_hook_environment_free(environment);
    json_decref(event);
    event = pf_hook_event_recovered(trouble);
    environment = pf_hook_environment(inherited, event, 1);
    CHECK_STR(variable(environment, "PARFOCAL_EVENT"), "service.recovered");
    CHECK_STR(variable(environment, "PARFOCAL_TROUBLE"), "source.3");
    CHECK_EQ(json_integer_value(json_object_get(event, "since_ms")), 17);
    pf_hook_environment_free(environment);
    json_decref(event);
    json_decref(trouble);

    /* A stack of an earlier run, of which only this is known. */
    event = pf_hook_event_published(NULL, "b", 1, "/out/b");
    CHECK(!json_object_get(event, "frames"));
    json_decref(event);
}

/* ---- whom they are told to ---- */

static const char *trouble_of(struct pf_troubles *troubles, const char *key)
{
    static char said[600];
    json_t *all = pf_troubles_json(troubles);
    CHECK(all && json_array_size(all) < 2);
    const char *text = json_string_value(json_object_get(json_array_get(all, 0), key));
    snprintf(said, sizeof(said), "%s", text ? text : "");
    json_decref(all);
    return said;
}

/* Orders one, which ends so. Its id stays until the next. */
static const char *tell(struct pf_journal *journal, const struct pf_hook_targets *targets,
                        struct pf_troubles *troubles, const char *target,
                        enum pf_delivery_state state)
{
    static char id[PF_DELIVERY_ID_CHARS + 1];
    struct pf_error err = {0};
    struct pf_delivery_list last = {0};
    json_t *event = json_pack("{s:s}", "event", "burst.published");
    CHECK(event);
    CHECK_OK(pf_journal_deliver(journal, "on_burst", target, event, &err), &err);
    json_decref(event);
    CHECK_OK(pf_journal_deliveries_recent(journal, 1, &last, &err), &err);
    snprintf(id, sizeof(id), "%s", last.items[0].id);
    CHECK_OK(pf_journal_delivery_result(journal, last.items[0].number, state, true, 0,
                                        state == PF_DELIVERY_DONE ? NULL : "status 1", &err),
             &err);
    last.items[0].state = state;
    pf_hook_targets_tried(targets, &last.items[0], troubles);
    pf_hook_targets_review(targets, journal, troubles);
    pf_deliveries_free(&last);
    return id;
}

TEST(a_target_that_fails_is_one_trouble)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    struct pf_hook_targets targets;
    struct pf_troubles *troubles = NULL;
    struct pf_journal *journal = open_in(test_directory());
    char way[96];
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "well", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "dead word", &err), &err);
    CHECK_OK(pf_hook_targets_make(&targets, &settings, &err), &err);
    CHECK_OK(pf_troubles_new(&troubles, NULL, &err), &err);

    tell(journal, &targets, troubles, "dead word", PF_DELIVERY_DUE);
    CHECK_STR(trouble_of(troubles, "id"), "");
    tell(journal, &targets, troubles, "dead word", PF_DELIVERY_GIVEN_UP);
    CHECK_STR(trouble_of(troubles, "id"), "hook.on_burst.1");
    CHECK_STR(trouble_of(troubles, "text"), "on_burst: dead … failed: status 1");
    const char *id = tell(journal, &targets, troubles, "dead word", PF_DELIVERY_GIVEN_UP);
    snprintf(way, sizeof(way), "/api/v1/deliveries/%s/retry", id);
    CHECK_STR(trouble_of(troubles, "text"),
              "on_burst: dead … failed: status 1; 2 deliveries are given up");
    CHECK_STR(trouble_of(troubles, "retry"), way);

    /* Another target's success says nothing of it, its own does. */
    tell(journal, &targets, troubles, "well", PF_DELIVERY_DONE);
    CHECK_STR(trouble_of(troubles, "id"), "hook.on_burst.1");
    tell(journal, &targets, troubles, "dead word", PF_DELIVERY_DONE);
    CHECK_STR(trouble_of(troubles, "id"), "");

    /* What is retried is not given up, and what the journal has forgotten cannot be retried. */
    id = tell(journal, &targets, troubles, "dead word", PF_DELIVERY_GIVEN_UP);
    CHECK_STR(trouble_of(troubles, "text"),
              "on_burst: dead … failed: status 1; 3 deliveries are given up");
    CHECK_OK(pf_journal_delivery_retry(journal, id, &err), &err);
    pf_hook_targets_review(&targets, journal, troubles);
    CHECK_STR(trouble_of(troubles, "text"),
              "on_burst: dead … failed: status 1; 2 deliveries are given up");
    CHECK_OK(pf_journal_begin(journal, &err), &err);
    for (int i = 0; i < PF_DELIVERIES_KEPT; i++)
        tell(journal, &targets, troubles, "well", PF_DELIVERY_DONE);
    CHECK_OK(pf_journal_commit(journal, &err), &err);
    CHECK_STR(trouble_of(troubles, "id"), "");

    pf_hook_targets_clear(&targets);
    pf_troubles_free(troubles);
    pf_settings_free(&settings);
    pf_journal_close(journal);
}

TEST(a_target_leaves_places_for_the_others)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    struct pf_hook_targets targets;
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "a", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "b", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_burst", "c", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_failure", "b", &err), &err);
    CHECK_OK(pf_settings_set(&settings, "on_stop", "b", &err), &err);
    CHECK_OK(pf_hook_targets_make(&targets, &settings, &err), &err);
    static const size_t shares[][3] = {/* places, running, stopping */
                                       {1, 1, 1},
                                       {2, 1, 2},
                                       {3, 1, 3},
                                       {4, 2, 4},
                                       {64, 62, 64}};
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        CHECK_EQ(pf_hook_targets_share(&targets, shares[i][0], false), shares[i][1]);
        CHECK_EQ(pf_hook_targets_share(&targets, shares[i][0], true), shares[i][2]);
    }
    pf_hook_targets_clear(&targets);
    pf_settings_free(&settings);
}
