/* The doctor's findings, and the groups of checks that make them.
 *
 * Doctor process, main thread only. A report owns copies of its texts.
 */
#ifndef PF_DOCTOR_REPORT_H
#define PF_DOCTOR_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "config/settings.h"

enum pf_finding {
    PF_FINDING_OK,
    PF_FINDING_WARN, /* parfocal works, but worse than it could */
    PF_FINDING_FAIL, /* parfocal would not work */
};

struct pf_report {
    json_t *findings; /* array of {check, finding, text, remedy} in the order they were made */
    bool lost;        /* out of memory: a finding is missing */
};

/* Adds a finding. remedy: a command, or a sentence; NULL when there is nothing to mend. */
void pf_report_add(struct pf_report *report, enum pf_finding finding, const char *check,
                   const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* First line of a file, without its end; false when it cannot be read. */
bool pf_doctor_first_line(const char *path, char *line, size_t size);

/* Processor, memory, GPU, camera, elastix, libraries, clock. */
void pf_doctor_machine(struct pf_report *report, const struct pf_settings *settings);

/* The GPU with its driver; part of pf_doctor_machine(). */
void pf_doctor_gpu(struct pf_report *report, const struct pf_settings *settings);

/* Cameras on USB: who holds them, and whether this user may. */
void pf_doctor_usb_cameras(struct pf_report *report);

/* Something that may hang: a path, or (far) an address. */
struct pf_doctor_place {
    const char *check; /* "source", "outbox", "state", ... */
    const char *path;
    const struct pf_settings *settings;
    bool far;
};
typedef void pf_doctor_examine(struct pf_report *report, const struct pf_doctor_place *place);

/* Runs `examine` in a child and takes over its findings; that there was no answer is one as well. */
void pf_doctor_in_child(struct pf_report *report, const struct pf_doctor_place *place,
                        pf_doctor_examine *examine);

/* Hooks: whether their programs can be run and the names of their addresses are known; the MQTT broker:
 * whether it lets us in. Nothing is told to either. */
void pf_doctor_reach(struct pf_report *report, const struct pf_settings *settings);

/* Sources with their watches, outbox, state, scratch. A path that does not answer within some seconds (a
 * mount whose server is gone) is a finding, and does not hang the doctor. */
void pf_doctor_paths(struct pf_report *report, const struct pf_settings *settings);

#endif
