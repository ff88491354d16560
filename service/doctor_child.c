/* What may hang is looked at by a child of the doctor, which is given some seconds. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "service/doctor_report.h"

#define ANSWER_MS 5000

/* What the unit binds is reached by that way, whatever the directories above let its user do here: it is open in this
 * process, and what lies beneath is gone through. Heap; NULL: not had. */
static char *way_to(const char *bound, const char *source)
{
    const char *rest = pf_path_beneath(bound, source);
    int fd = rest ? open(source, O_PATH | O_CLOEXEC) : -1;
    return fd >= 0 ? pf_text("/proc/self/fd/%d%s%s", fd, *rest ? "/" : "", rest) : NULL;
}

/* As root sees it: what the unit binds for writing is not there, without which it does not start. */
static bool lacks_source(struct pf_report *report, const struct pf_doctor_place *place,
                         const char *source)
{
    struct stat st;
    if (place->needs != PF_NEEDS_WRITE || stat(source, &st) == 0 || errno != ENOENT)
        return false;
    char *remedy =
        pf_doctor_service_make(report->service, source, " && systemctl restart parfocal");
    pf_report_add(report, !strcmp(place->check, "scratch") ? PF_FINDING_WARN : PF_FINDING_FAIL,
                  place->check, remedy, "%s: the service's unit binds %s, which is not there",
                  place->path, source);
    free(remedy);
    return true;
}

/* What is not there is to be made first: nobody needs to be let through the directories above for it. */
static void look(struct pf_report *report, const struct pf_doctor_place *place,
                 pf_doctor_examine *examine)
{
    const struct pf_doctor_service *service = report->service;
    struct stat st;
    if (place->needs == PF_NEEDS_READ && stat(place->at, &st) < 0 && errno == ENOENT)
        examine(report, place);
    else if (pf_doctor_service_become(service))
        examine(report, place);
    else
        pf_report_add(report, PF_FINDING_FAIL, place->check, NULL, "%s: cannot look as %s: %s",
                      place->path, pf_doctor_service_user(service), strerror(errno));
}

/* In the child. What the unit hides need not be looked at: it is the first thing to be mended. */
static void examine_as_service(struct pf_report *report, struct pf_doctor_place *place,
                               pf_doctor_examine *examine)
{
    char *source = NULL, *bound = NULL, *way = NULL;
    if (place->needs && pf_doctor_service_hides(report, place, place->at))
        return;
    if (place->needs)
        bound = pf_doctor_service_bound(report->service, place->at, &source);
    if (bound) {
        way = way_to(bound, source);
        place->at = way ? way : bound;
    }
    if (!bound || !lacks_source(report, place, source))
        look(report, place, examine);
    free(way);
    free(bound);
    free(source);
}

void pf_doctor_in_child(struct pf_report *report, const struct pf_doctor_place *place,
                        pf_doctor_examine *examine)
{
    int ends[2];
    fflush(stdout);
    pid_t pid = pipe(ends) < 0 ? -1 : fork();
    if (pid < 0) {
        pf_report_add(report, PF_FINDING_FAIL, place->check, NULL, "%s: cannot look: %s",
                      place->path, strerror(errno));
        return;
    }
    if (pid == 0) {
        struct pf_report own = {.findings = json_array(),
                                .file = report->file,
                                .directory = report->directory,
                                .service = report->service};
        struct pf_doctor_place own_place = *place;
        json_t *line = json_object();
        if (!own.findings || !line)
            _exit(1);
        own_place.at = place->at ? place->at : place->path;
        if (own.service && !place->as_caller)
            examine_as_service(&own, &own_place, examine);
        else
            examine(&own, &own_place);
        json_object_set_new(line, "findings", own.findings);
        _exit(own.lost || pf_jsonl_send(ends[1], line, NULL) < 0);
    }
    close(ends[1]);
    struct pollfd answer = {.fd = ends[0], .events = POLLIN};
    struct pf_jsonl_reader *reader = NULL;
    json_t *line = NULL;
    bool answered = poll(&answer, 1, ANSWER_MS) > 0;
    if (answered && pf_jsonl_reader_new(&reader) == 0 &&
        pf_jsonl_read(reader, ends[0], &line, NULL) > 0) {
        if (json_array_extend(report->findings, json_object_get(line, "findings")) < 0)
            report->lost = true;
    } else {
        pf_report_add(report, PF_FINDING_FAIL, place->check,
                      place->far ? "resolvectl status; ip route"
                                 : "look at `mount` and at the server behind it",
                      answered     ? "%s: cannot be examined"
                      : place->far ? "%s does not answer"
                                   : "%s does not answer: its mount hangs",
                      place->path);
    }
    json_decref(line);
    pf_jsonl_reader_free(reader);
    close(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, answered ? 0 : WNOHANG); /* a child in a dead mount cannot be waited for */
}
