/* A talk with a camera: one question, and its answers until one is the last.
 *
 * `parfocal camera` and `parfocal bracket`, main thread. Where a service runs on the same state
 * directory, it is asked through its control socket, since it owns the camera; else the camera's
 * process is started for this once.
 */
#ifndef PF_CAMERA_TALK_H
#define PF_CAMERA_TALK_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/progress.h"

struct pf_talk {
    const struct pf_settings *settings;
    const char *source;                                           /* NULL: the only camera */
    json_t *ask;                                                  /* owned */
    void (*answered)(struct pf_talk *talk, const json_t *answer); /* each, the last one too */
    struct pf_progress progress;
    bool is_bracket; /* the first Ctrl-C ends it in order */
    bool at_once;    /* another one has come */
    int status;      /* for the exit */

    /* Without a service: whatever the camera's process says, and a second descriptor to listen to. */
    void (*told)(struct pf_talk *talk, const json_t *event);
    void (*other_read)(struct pf_talk *talk); /* sets other_fd to -1 at its end */
    int other_fd;                             /* -1 none */
    void *context;

    int fd;
    pid_t child; /* 0: a service is asked */
    int64_t id;  /* of the ask */
    bool begun;
    int taken;
};

/* The camera among the settings' sources; NULL: none is given, or *ret is an error. */
const char *pf_talk_camera(const struct pf_settings *settings, struct pf_error *err, int *ret);

/* The settings, of which the options are taken out of argv. Where nothing says which service is meant, it is the
 * installed one if it has cameras and runs; -EACCES: it is not for this user. */
int pf_talk_settings(struct pf_settings *settings, int *argc, char **argv, struct pf_error *err);

/* Starts a role of this program with its input and output at *ret_fd. The process id, or -errno. */
pid_t pf_talk_start(char *const *arguments, int *ret_fd, struct pf_error *err);

/* Asks and listens to the end. 0: talk->status says how it ended. */
int pf_talk_hold(struct pf_talk *talk, struct pf_error *err);
/* Says what went wrong and frees the ask and the settings. Exit status. */
int pf_talk_end(struct pf_talk *talk, struct pf_settings *settings, int r, struct pf_error *err);

#endif
