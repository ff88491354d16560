/* Metrics: what is counted, and whether the text is what Prometheus reads (its format 0.0.4, checked by
 * a grammar of our own, and by promtool where it is installed). */
#include <ctype.h>

#include "service/metrics.h"
#include "tests/unit/test.h"

static struct pf_metrics *new_metrics(void)
{
    struct pf_metrics *metrics = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_metrics_new(&metrics, &err), &err);
    return metrics;
}

static void observe(struct pf_metrics *metrics, const char *type, const char *text)
{
    json_t *data = json_loads(text, 0, NULL);
    CHECK(data);
    pf_metrics_observe(metrics, type, data);
    json_decref(data);
}

static const char status_text[] =
    "{\"version\": \"1\", \"started_ms\": 1700000000500, \"health\": \"degraded\","
    " \"troubles\": [{\"id\": \"outbox\"}],"
    " \"worker\": {\"state\": \"ready\", \"device\": \"cuda\", \"device_name\": \"X \\\"9\\\"\","
    "  \"threads\": 2, \"losses\": 1},"
    " \"queue\": {\"bursts\": 2, \"frames_waiting\": 3, \"frames_in_hand\": 1, \"held\": 0,"
    "  \"journal\": 4},"
    " \"space\": [{\"what\": \"outbox\", \"free_bytes\": 123456789012, \"total_bytes\": 2e12},"
    "  {\"what\": \"state\", \"free_bytes\": null}],"
    " \"sources\": [{\"name\": \"folder:/a \\\\ \\\"b\\\"\\n\xc3\xa4\", \"state\": \"missing\"},"
    "  {\"name\": \"camera\", \"state\": \"ok\"}]}";

static char *text_of_all(const struct pf_metrics *metrics)
{
    size_t bytes = 0;
    json_t *status = json_loads(status_text, 0, NULL);
    CHECK(status);
    char *text = pf_metrics_text(metrics, status, &bytes);
    CHECK(text);
    CHECK_EQ(strlen(text), bytes);
    json_decref(status);
    return text;
}

static struct pf_metrics *busy_metrics(void)
{
    struct pf_metrics *metrics = new_metrics();
    observe(metrics, "frame.recorded", "{}");
    observe(metrics, "frame.recorded", "{}");
    observe(metrics, "frame.rejected", "{}");
    observe(metrics, "frame.joined", "{\"late\": true}");
    observe(metrics, "frame.scored",
            "{\"frame\": {\"decode_ms\": 83.5, \"align_ms\": null, \"fuse_ms\": 0.9}}");
    observe(metrics, "frame.scored",
            "{\"frame\": {\"decode_ms\": 400000, \"align_ms\": 30, \"fuse_ms\": 1}}");
    observe(metrics, "frame.aside", "{\"frame\": {\"cause\": \"soft\", \"decode_ms\": 100}}");
    observe(metrics, "frame.aside", "{\"frame\": {\"cause\": \"never heard of\"}}");
    observe(metrics, "frame.aside", "{\"frame\": {\"cause\": \"soft\", \"discarded\": true}}");
    observe(metrics, "burst.opened", "{}");
    observe(metrics, "burst.published",
            "{\"lag_ms\": 740, \"finish_ms\": 90.5, \"publish_ms\": 3}");
    observe(metrics, "burst.failed", "{}");
    observe(metrics, "burst.skipped", "{}");
    observe(metrics, "worker", "{\"worker\": {\"state\": \"ended\"}}");
    observe(metrics, "worker", "{\"worker\": {\"state\": \"ready\"}}");
    observe(metrics, "delivery",
            "{\"delivery\": {\"hook\": \"on_burst\", \"state\": \"running\"}}");
    observe(metrics, "delivery", "{\"delivery\": {\"hook\": \"on_burst\", \"state\": \"due\"}}");
    observe(metrics, "delivery", "{\"delivery\": {\"hook\": \"on_burst\", \"state\": \"done\"}}");
    observe(metrics, "odd", "{}");
    observe(metrics, "frame.", "{}");
    observe(metrics, "burst.published", "{\"lag_ms\": \"late\"}");
    return metrics;
}

static void check_line(const char *text, const char *line)
{
    char wanted[512];
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (!strstr(text, wanted))
        FAIL("no line %s in:\n%s", line, text);
}

TEST(metrics_are_counted)
{
    struct pf_metrics *metrics = busy_metrics();
    char *text = text_of_all(metrics);
    check_line(text, "parfocal_frames_recorded_total 2");
    check_line(text, "parfocal_frames_rejected_total 1");
    check_line(text, "parfocal_frames_late_total 1");
    check_line(text, "parfocal_frames_fused_total 2");
    check_line(text, "parfocal_frames_aside_total{cause=\"soft\"} 1");
    check_line(text, "parfocal_frames_aside_total{cause=\"discarded\"} 1");
    check_line(text, "parfocal_frames_aside_total{cause=\"other\"} 1");
    check_line(text, "parfocal_bursts_total{outcome=\"published\"} 2");
    check_line(text, "parfocal_bursts_total{outcome=\"failed\"} 1");
    check_line(text, "parfocal_bursts_total{outcome=\"not_a_stack\"} 0");
    check_line(text, "parfocal_skipped_planes_total 1");
    check_line(text, "parfocal_worker_ends_total 1");
    check_line(text, "parfocal_hook_tries_total{hook=\"on_burst\",result=\"failed\"} 1");
    check_line(text, "parfocal_hook_tries_total{hook=\"on_burst\",result=\"done\"} 1");
    check_line(text, "parfocal_hook_tries_total{hook=\"on_stop\",result=\"done\"} 0");
    /* 83.5 and 100 ms, and 400 s; a bound belongs to its bucket. */
    check_line(text, "parfocal_stage_seconds_bucket{stage=\"decode\",le=\"0.05\"} 0");
    check_line(text, "parfocal_stage_seconds_bucket{stage=\"decode\",le=\"0.1\"} 2");
    check_line(text, "parfocal_stage_seconds_bucket{stage=\"decode\",le=\"300\"} 2");
    check_line(text, "parfocal_stage_seconds_bucket{stage=\"decode\",le=\"+Inf\"} 3");
    check_line(text, "parfocal_stage_seconds_count{stage=\"decode\"} 3");
    check_line(text, "parfocal_stage_seconds_count{stage=\"align\"} 1");
    check_line(text, "parfocal_stage_seconds_count{stage=\"finish\"} 1");
    check_line(text, "parfocal_stage_seconds_count{stage=\"publish\"} 1");
    check_line(text, "parfocal_lag_seconds_bucket{le=\"0.5\"} 0");
    check_line(text, "parfocal_lag_seconds_bucket{le=\"1\"} 1");
    check_line(text, "parfocal_lag_seconds_count 1");
    check_line(text, "parfocal_lag_seconds_sum 0.73999999999999999");
    free(text);
    pf_metrics_free(metrics);
}

TEST(metrics_have_the_present_state)
{
    struct pf_metrics *metrics = new_metrics();
    char *text = text_of_all(metrics);
    check_line(text, "parfocal_healthy 0");
    check_line(text, "parfocal_troubles 1");
    check_line(text, "parfocal_start_time_seconds 1700000000.5");
    check_line(text, "parfocal_queue_bursts 2");
    check_line(text, "parfocal_queue_frames{state=\"waiting\"} 3");
    check_line(text, "parfocal_queue_journal_entries 4");
    check_line(text, "parfocal_space_free_bytes{what=\"outbox\"} 123456789012");
    CHECK(!strstr(text, "parfocal_space_free_bytes{what=\"state\"}"));
    check_line(text, "parfocal_worker_up 1");
    check_line(text, "parfocal_worker_info{device=\"cuda\",device_name=\"X \\\"9\\\"\"} 1");
    check_line(text, "parfocal_gpu_losses 1");
    check_line(text, "parfocal_source_state{source=\"folder:/a \\\\ "
                     "\\\"b\\\"\\n\xc3\xa4\",state=\"missing\"} 1");
    check_line(text, "parfocal_source_state{source=\"camera\",state=\"missing\"} 0");
    free(text);
    /* Nothing is known of the present: what was counted is there. */
    size_t bytes = 0;
    text = pf_metrics_text(metrics, NULL, &bytes);
    CHECK(strstr(text, "parfocal_build_info{version=\""));
    CHECK(strstr(text, "\nparfocal_frames_recorded_total 0\n") && !strstr(text, "queue"));
    free(text);
    pf_metrics_free(metrics);
}

/* ---- the grammar ---- */

static const char *name(const char *at, bool colon)
{
    const char *from = at;
    while (isalpha((unsigned char)*at) || *at == '_' || (colon && *at == ':') ||
           (at > from && isdigit((unsigned char)*at)))
        at++;
    if (at == from)
        FAIL("no name: %.60s", from);
    return at;
}

static const char *labels(const char *at)
{
    if (*at != '{')
        return at;
    do {
        at = name(at + 1, false);
        CHECK(*at == '=' && at[1] == '"');
        for (at += 2; *at != '"'; at++) {
            CHECK(*at && *at != '\n');
            if (*at == '\\') {
                at++;
                CHECK(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
    } while (*at == ',');
    CHECK(*at == '}');
    return at + 1;
}

/* The family that a sample of this name belongs to: that of the last TYPE line. */
static bool of_family(const char *sample, size_t length, const char *family, const char *type)
{
    size_t base = strlen(family);
    if (length < base || strncmp(sample, family, base) != 0)
        return false;
    const char *suffix = sample + base;
    size_t rest = length - base;
    if (strcmp(type, "histogram") != 0)
        return rest == 0;
    return (rest == 7 && !strncmp(suffix, "_bucket", 7)) ||
           (rest == 4 && !strncmp(suffix, "_sum", 4)) ||
           (rest == 6 && !strncmp(suffix, "_count", 6));
}

TEST(metrics_text_has_the_grammar)
{
    struct pf_metrics *metrics = busy_metrics();
    char *text = text_of_all(metrics), family[128] = "", type[32] = "", seen[8192] = "\n";
    char helped[128] = "";
    size_t samples = 0;
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        CHECK(next); /* the last line ends too */
        *next++ = '\0';
        if (!strncmp(line, "# HELP ", 7)) {
            const char *end = name(line + 7, true);
            CHECK(*end == ' ' && end[1]);
            snprintf(helped, sizeof(helped), "%.*s", (int)(end - line - 7), line + 7);
        } else if (!strncmp(line, "# TYPE ", 7)) {
            const char *end = name(line + 7, true);
            snprintf(family, sizeof(family), "%.*s", (int)(end - line - 7), line + 7);
            CHECK_STR(helped, family);
            snprintf(type, sizeof(type), "%s", end + 1);
            CHECK(!strcmp(type, "counter") || !strcmp(type, "gauge") || !strcmp(type, "histogram"));
            /* By convention; and each family is there once. */
            CHECK_EQ(!strcmp(type, "counter"), !strcmp(family + strlen(family) - 6, "_total"));
            char once[140];
            snprintf(once, sizeof(once), "\n%s\n", family);
            CHECK(!strstr(seen, once));
            strncat(seen, once + 1, sizeof(seen) - strlen(seen) - 1);
        } else {
            const char *end = name(line, true);
            if (!of_family(line, (size_t)(end - line), family, type))
                FAIL("%s is no sample of %s (%s)", line, family, type);
            end = labels(end);
            CHECK(*end == ' ');
            char *rest = NULL;
            strtod(end + 1, &rest);
            CHECK(rest != end + 1 && !*rest);
            samples++;
        }
    }
    CHECK(samples > 100);
    free(text);
    pf_metrics_free(metrics);
}

TEST(metrics_please_promtool)
{
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        SKIP("promtool is not installed (it comes with a server that listens: not for make test)");
    struct pf_metrics *metrics = busy_metrics();
    char *text = text_of_all(metrics), path[4200], command[4400];
    snprintf(path, sizeof(path), "%s/metrics", test_directory());
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs(text, file);
    fclose(file);
    snprintf(command, sizeof(command), "promtool check metrics <'%s' 2>&1", path);
    CHECK_EQ(system(command), 0);
    free(text);
    pf_metrics_free(metrics);
}
