#include "service/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "config/base/version.h"
#include "config/settings_table.h"
#include "service/doctor_report.h"
#include "service/installed.h"
#include "service/serve.h"

static const char *const finding_names[] = {"ok", "warn", "fail"};

void pf_report_add(struct pf_report *report, enum pf_finding finding, const char *check,
                   const char *remedy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = pf_text_va(format, args);
    va_end(args);
    json_t *object = NULL;
    if (text) /* texts hold paths: bytes */
        object =
            json_pack("{s:s, s:s, s:o, s:o?}", "check", check, "finding", finding_names[finding],
                      "text", pf_json_bytes(text), "remedy", remedy ? pf_json_bytes(remedy) : NULL);
    free(text);
    if (!object || json_array_append_new(report->findings, object) < 0)
        report->lost = true;
}

/* One text of a finding for a terminal: the bytes of the path, control characters escaped. */
static void print_bytes(const json_t *string)
{
    char *bytes = pf_json_bytes_value(string);
    for (const char *at = bytes; at && *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            printf("\\x%02x", (unsigned char)*at);
        else
            putchar(*at);
    }
    free(bytes);
}

static void print_lines(const struct pf_report *report)
{
    static const struct {
        const char *plain, *coloured;
    } marks[] = {{"ok  ", "\033[32mok  \033[0m"},
                 {"warn", "\033[33mwarn\033[0m"},
                 {"FAIL", "\033[31mFAIL\033[0m"}};
    bool colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    size_t i;
    json_t *object;
    json_array_foreach(report->findings, i, object)
    {
        const char *finding = json_string_value(json_object_get(object, "finding"));
        size_t mark = 0;
        while (mark < 2 && strcmp(finding_names[mark], finding) != 0)
            mark++;
        printf("%s  %-8s  ", colours ? marks[mark].coloured : marks[mark].plain,
               json_string_value(json_object_get(object, "check")));
        print_bytes(json_object_get(object, "text"));
        if (json_is_string(json_object_get(object, "remedy"))) {
            fputs("\n                -> ", stdout);
            print_bytes(json_object_get(object, "remedy"));
        }
        putchar('\n');
    }
}

static int print_report(const struct pf_report *report, bool as_json)
{
    int counts[3] = {0};
    size_t i;
    json_t *object;
    json_array_foreach(report->findings, i, object) for (int k = 0; k < 3; k++) counts[k] +=
        strcmp(finding_names[k], json_string_value(json_object_get(object, "finding"))) == 0;
    if (report->lost)
        return -ENOMEM;
    if (as_json) {
        json_t *whole = json_pack("{s:s, s:b, s:O}", "version", pf_version(), "well",
                                  counts[PF_FINDING_FAIL] == 0, "findings", report->findings);
        int r = whole ? json_dumpf(whole, stdout, JSON_INDENT(2)) : -1;
        json_decref(whole);
        putchar('\n');
        return r < 0 ? -ENOMEM : counts[PF_FINDING_FAIL];
    }
    print_lines(report);
    printf("%d ok, %d to look at, %d that must be mended\n", counts[0], counts[1], counts[2]);
    return counts[PF_FINDING_FAIL];
}

/* What is looked at: what `parfocal serve` with the same options would be, or the service. */
struct subject {
    const char *file;                        /* NULL: options alone */
    const struct pf_doctor_service *service; /* NULL: it is not that one's */
    char *real;         /* behind `file`: the service's relative paths begin in its own directory */
    const char *closed; /* the installed one, which this user may not read; NULL: it may */
};

/* The unit does not start with it. */
static void add_absent_group(struct pf_report *report, const char *file, const char *group)
{
    char *remedy =
        isdigit((unsigned char)*group)
            ? strdup("systemctl edit parfocal # give it a group that is there")
            : pf_doctor_command("groupadd --system", group, " && systemctl restart parfocal");
    pf_report_add(report, PF_FINDING_FAIL, "parfocal", remedy,
                  "version %s, the service of %s: its group %s is not there", pf_version(), file,
                  group);
    free(remedy);
}

static void introduce(struct pf_report *report, const struct subject *subject)
{
    const char *user = subject->service ? pf_doctor_service_user(subject->service) : NULL,
               *absent = subject->service ? pf_doctor_service_absent_group(subject->service) : NULL;
    if (subject->closed)
        pf_report_add(report, PF_FINDING_WARN, "parfocal", "sudo parfocal doctor",
                      "version %s, as this user and with the defaults, not as %s has it: %s",
                      pf_version(), subject->closed, strerror(EACCES));
    else if (subject->service && !user)
        pf_report_add(report, PF_FINDING_FAIL, "parfocal", "systemd-sysusers",
                      "version %s, the service of %s: its user is not there", pf_version(),
                      subject->file);
    else if (absent)
        add_absent_group(report, subject->file, absent);
    else if (subject->service && geteuid() != 0)
        pf_report_add(report, PF_FINDING_WARN, "parfocal", "sudo parfocal doctor",
                      "version %s, %s: as this user, and not as the service's, %s", pf_version(),
                      subject->file, user);
    else if (subject->service)
        pf_report_add(report, PF_FINDING_OK, "parfocal", NULL,
                      "version %s, %s: as the service's user %s", pf_version(), subject->file,
                      user);
    else
        pf_report_add(report, PF_FINDING_OK, "parfocal", NULL, "version %s%s%s", pf_version(),
                      subject->file ? ", " : "", subject->file ? subject->file : "");
}

char *pf_doctor_absolute(const struct pf_report *report, const char *path)
{
    if (!report->directory || *path == '/')
        return pf_path_absolute(path);
    while (!strncmp(path, "./", 2))
        path += 2;
    char *joined = pf_path_join(report->directory, strcmp(path, ".") ? path : "");
    char *whole = joined ? pf_path_absolute(joined) : NULL;
    free(joined);
    return whole;
}

/* Takes the path; what is not had stays as it was. */
static char *absolute(struct pf_report *report, char *path)
{
    char *whole = pf_doctor_absolute(report, path);
    report->lost |= !whole && errno == ENOMEM;
    if (whole)
        free(path);
    return whole ? whole : path;
}

/* As `serve` does it. */
static void make_absolute(struct pf_report *report, struct pf_settings *settings)
{
    char **const paths[] = {&settings->outbox,
                            &settings->state,
                            &settings->spool,
                            &settings->scratch,
                            &settings->mqtt_password_file,
                            &settings->mqtt_ca_file,
                            &settings->hook_secret_file};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        if (**paths[i])
            *paths[i] = absolute(report, *paths[i]);
    for (size_t i = 0; i < settings->source.count; i++) {
        char **source = &settings->source.items[i];
        const char *folder = pf_settings_folder(*source);
        char *whole = folder ? strdup(folder) : NULL, *named = NULL;
        if (whole)
            whole = absolute(report, whole);
        if (whole)
            named = pf_text("folder:%s", whole);
        report->lost |= folder && !named;
        free(whole);
        if (named) {
            free(*source);
            *source = named;
        }
    }
}

/* What the service refuses to start with; that a source is to be given is said beside the others. */
static void examine_settings(struct pf_report *report, const struct pf_doctor_place *place)
{
    struct pf_error err = {0};
    if (!place->settings->source.count || pf_serve_check(place->settings, &err) == 0)
        return;
    char *remedy = report->file ? pf_text("mend it in %s", report->file)
                                : pf_text("give another option, or mend the file");
    pf_report_add(report, PF_FINDING_FAIL, place->check, remedy, "%s", err.text);
    free(remedy);
}

static int examine(struct pf_settings *settings, const struct subject *subject, bool as_json)
{
    const struct pf_doctor_service *service = subject->service;
    struct pf_report report = {.findings = json_array(), .file = subject->file};
    if (!report.findings)
        return -ENOMEM;
    const char *directory = service ? pf_doctor_service_directory(service) : NULL;
    introduce(&report, subject);
    if (service && geteuid() == 0 && pf_doctor_service_user(service) &&
        !pf_doctor_service_absent_group(service))
        report.service = service;
    if (directory && chdir(directory) < 0)
        report.directory = directory;
    if (report.directory && report.service)
        pf_report_add(&report, PF_FINDING_WARN, "parfocal", "systemctl start parfocal", "%s: %s",
                      directory, strerror(errno));
    make_absolute(&report, settings);
    pf_doctor_in_child(&report, &(struct pf_doctor_place){"settings", "settings", settings},
                       examine_settings);
    pf_doctor_machine(&report, settings);
    pf_doctor_paths(&report, settings);
    pf_doctor_reach(&report, settings);
    int failures = print_report(&report, as_json);
    json_decref(report.findings);
    return failures;
}

static bool is_same_file(const char *one, const char *other)
{
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Where nothing is asked for it is the installed service, of which root sees most. bare: no options. */
static int choose_subject(struct subject *ret, struct pf_settings *settings,
                          const struct pf_doctor_service *service, const char *file, bool bare,
                          struct pf_error *err)
{
    const char *installed = service ? pf_doctor_service_file(service) : PF_INSTALLED_FILE;
    const char *closed = NULL;
    if (bare && (access(installed, F_OK) == 0 || errno == EACCES)) {
        int r = pf_settings_read(settings, installed, err);
        if (r == -EACCES && geteuid() != 0) {
            pf_error_clear(err);
            closed = installed;
        } else if (r < 0)
            return r;
        else
            file = installed;
    }
    *ret = (struct subject){
        .file = file, .real = file ? realpath(file, NULL) : NULL, .closed = closed};
    if (ret->real)
        ret->file = ret->real;
    if (service && file && is_same_file(file, installed))
        ret->service = service;
    return 0;
}

/* Takes --json out of argv; everything else is left over and wrong. */
static int take_own_options(int argc, char **argv, bool *ret_json, struct pf_error *err)
{
    *ret_json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            *ret_json = true;
        else if (argv[i][0] == '-')
            return pf_settings_unknown_option(argv[i], err);
        else
            return pf_fail(err, EINVAL, "the doctor takes no operand: %.200s", argv[i]);
    }
    return 0;
}

int pf_doctor_main(int argc, char **argv)
{
    struct pf_error err = {0};
    struct pf_settings settings;
    int status = PF_EXIT_USAGE;
    const char *file = pf_setting_file_named(argc, argv);
    int given = argc;
    struct subject subject = {0};
    struct pf_doctor_service *service = NULL;
    bool as_json;
    if (pf_settings_init(&settings, &err) < 0) {
        fprintf(stderr, "parfocal doctor: %s\n", err.text);
        return PF_EXIT_FAILURE;
    }
    int r = pf_settings_take_options(&settings, &argc, argv, &err);
    bool bare = argc == given;
    if (r == 0)
        r = take_own_options(argc, argv, &as_json, &err);
    if (r == 0) {
        service = pf_doctor_service_find();
        r = choose_subject(&subject, &settings, service, file, bare, &err);
    }
    if (r == 0) {
        int failures = examine(&settings, &subject, as_json);
        if (failures < 0)
            pf_fail_errno(&err, -failures, "examining");
        status = failures == 0 ? PF_EXIT_OK : PF_EXIT_FAILURE;
    }
    if (err.code)
        fprintf(stderr, "parfocal doctor: %s\n", err.text);
    free(subject.real);
    pf_doctor_service_free(service);
    pf_settings_free(&settings);
    return status;
}
