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
    const char *file; /* the configuration that was read, borrowed; NULL: none */
};

/* Adds a finding. remedy: a command, or a sentence; NULL when there is nothing to mend. */
void pf_report_add(struct pf_report *report, enum pf_finding finding, const char *check,
                   const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- remedies: the caller's; NULL on out of memory ---- */

/* A text as one word for a shell, whatever it holds. */
char *pf_doctor_quoted(const char *text);

/* "BEFORE 'PATH'AFTER". */
char *pf_doctor_command(const char *before, const char *path, const char *after);

/* Gives a key another value in the configuration that was read; where none was, the option. */
char *pf_doctor_set(const struct pf_report *report, const char *key, const char *value);

/* Lets this user read a folder, or write in a directory of which `part` is what exists. code: why it
 * cannot, an errno. */
char *pf_doctor_let_read(const char *path, int code);
char *pf_doctor_let_write(const char *path, const char *part, int code);

/* Gives this user what is there of these names. */
char *pf_doctor_own(const char *directory, const char *const *names);

/* First line of a file, without its end; false when it cannot be read. */
bool pf_doctor_first_line(const char *path, char *line, size_t size);

/* Processor, memory, GPU, camera, elastix, libraries, clock. */
void pf_doctor_machine(struct pf_report *report, const struct pf_settings *settings);

/* The clock, beside what the state directory says of the time; part of pf_doctor_machine(). */
void pf_doctor_clock(struct pf_report *report, const struct pf_settings *settings);

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
