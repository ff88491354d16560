/* The doctor's findings, and the groups of checks that make them.
 *
 * Doctor process, main thread only. A report owns copies of its texts.
 */
#ifndef PF_DOCTOR_REPORT_H
#define PF_DOCTOR_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "config/settings.h"

enum pf_finding {
    PF_FINDING_OK,
    PF_FINDING_WARN, /* parfocal works, but worse than it could */
    PF_FINDING_FAIL, /* parfocal would not work */
};

struct pf_report {
    json_t *findings;      /* array of {check, finding, text, remedy} in the order they were made */
    bool lost;             /* out of memory: a finding is missing */
    const char *file;      /* the configuration that was read, borrowed; NULL: none */
    const char *directory; /* where relative paths begin, borrowed; NULL: here */
    /* For whom it is: the installed service, borrowed; NULL: for whoever runs the doctor. */
    const struct pf_doctor_service *service;
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

/* Gives a key another value in the configuration that was read, and has the service read it; where none
 * was, the option. */
char *pf_doctor_set(const struct pf_report *report, const char *key, const char *value);

/* A path as it is named wherever a remedy is given; the caller's, NULL with errno set. */
char *pf_doctor_absolute(const struct pf_report *report, const char *path);

/* First line of a file, without its end; false when it cannot be read. */
bool pf_doctor_first_line(const char *path, char *line, size_t size);

/* Runs a program without a shell; its exit status, -1 when it could not run. output: what it wrote,
 * NULL when of no interest. */
int pf_doctor_run(const char *const argv[], char *output, size_t size);

/* Processor, memory, GPU, camera, elastix, libraries, clock. */
void pf_doctor_machine(struct pf_report *report, const struct pf_settings *settings);

/* The clock, beside what the state directory says of the time; part of pf_doctor_machine(). */
void pf_doctor_clock(struct pf_report *report, const struct pf_settings *settings);

/* The GPU with its driver; part of pf_doctor_machine(). */
void pf_doctor_gpu(struct pf_report *report, const struct pf_settings *settings);

/* Cameras on USB: who holds them, and whether this user may. */
void pf_doctor_usb_cameras(struct pf_report *report);

/* Something that may hang: a path, or (far) an address. */
enum pf_doctor_needs { PF_NEEDS_NOTHING, PF_NEEDS_READ, PF_NEEDS_WRITE };
struct pf_doctor_place {
    const char *check; /* "source", "outbox", "state", ... */
    const char *path;
    const struct pf_settings *settings;
    bool far;
    enum pf_doctor_needs needs; /* of a path: what the service's unit must let it do there */
    bool as_caller;             /* examined by whoever runs the doctor, not as the service's user */
    const char *at; /* where it is found, /proc/self/fd/N[/REST] maybe; NULL: at `path` */
};
typedef void pf_doctor_examine(struct pf_report *report, const struct pf_doctor_place *place);

/* What exists of a path: itself, or the nearest directory above it. */
char *pf_doctor_part(const char *path);

/* A place's `at`, or a part of it, by a name that others find it by. */
char *pf_doctor_name(const char *at);
char *pf_doctor_command_on(const char *before, const char *at, const char *after);

/* Lets this user read a place, or write in one of which `part` is what exists. code: why it cannot, an errno. */
char *pf_doctor_let_read(const struct pf_doctor_place *place, int code);
char *pf_doctor_let_write(const struct pf_doctor_place *place, const char *part, int code);

/* Gives this user what is there of these names as files and directories of somebody else. NULL: nothing is. */
char *pf_doctor_own(const struct pf_doctor_place *place, const char *const *names);

/* Runs `examine` in a child, which is the service's user where the report is for that, and takes over its
 * findings; that there was no answer is one as well. */
void pf_doctor_in_child(struct pf_report *report, const struct pf_doctor_place *place,
                        pf_doctor_examine *examine);

/* ---- the installed service (doctor_service.c) ---- */

struct pf_doctor_service;

/* As its unit has it with its drop-ins; NULL: none is installed, or systemd does not say. */
struct pf_doctor_service *pf_doctor_service_find(void);
struct pf_doctor_service *pf_doctor_service_free(struct pf_doctor_service *service);

/* Borrowed: its configuration; its working directory; its user's name, NULL where there is no such user; a group of its
 * unit that there is not, NULL where all are there. */
const char *pf_doctor_service_file(const struct pf_doctor_service *service);
const char *pf_doctor_service_directory(const struct pf_doctor_service *service);
const char *pf_doctor_service_user(const struct pf_doctor_service *service);
const char *pf_doctor_service_absent_group(const struct pf_doctor_service *service);

/* This process is its user from now on. False: it cannot be. */
bool pf_doctor_service_become(const struct pf_doctor_service *service);

/* Where that is which the unit shows it at a path whatever the directories above say, the caller's; NULL: it is
 * where it is for everybody, or memory has run out. ret_source: which of the directories above, or itself, is what
 * is bound, the caller's, set on success alone; NULL: of no interest. */
char *pf_doctor_service_bound(const struct pf_doctor_service *service, const char *path,
                              char **ret_source);
/* Whether it sees another place there than the machine's of that name: something bound, or an empty directory. */
bool pf_doctor_service_moves(const struct pf_doctor_service *service, const char *path);

/* The command that makes a directory of its user's; the caller's, NULL on out of memory. */
char *pf_doctor_service_make(const struct pf_doctor_service *service, const char *path,
                             const char *after);

/* Whether the unit keeps the report's service from what the place needs at a path, which is a finding. */
bool pf_doctor_service_hides(struct pf_report *report, const struct pf_doctor_place *place,
                             const char *path);

/* Whether its unit lets it reach an address (IPAddressAllow=, IPAddressDeny=; not those of slices above it). */
bool pf_doctor_service_reaches(const struct pf_doctor_service *service,
                               const struct sockaddr *address);
/* The command that lets it reach these, parted by blanks; the caller's, NULL on out of memory. */
char *pf_doctor_service_let_reach(const char *addresses);

/* Hooks: whether their programs can be run, and the names of their addresses are known and to be reached from the unit;
 * the MQTT broker: that as well, and whether it lets us in. Nothing is told to either. */
void pf_doctor_reach(struct pf_report *report, const struct pf_settings *settings);

/* Sources with their watches, outbox, state, scratch. A path that does not answer within some seconds (a
 * mount whose server is gone) is a finding, and does not hang the doctor. */
void pf_doctor_paths(struct pf_report *report, const struct pf_settings *settings);

#endif
