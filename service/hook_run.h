/* One try of a hook: a program that is run, or an address that is posted to.
 *
 * Service process, event loop thread. Neither can keep the loop waiting: programs are started through
 * /usr/bin/env, so that it is another process that finds the file and waits for its disk; addresses go
 * through libcurl's multi interface, which does not block.
 *
 * `ended` is told once, from the loop and never from within the call that starts it; what it is given
 * is borrowed. After it the owner frees the try.
 */
#ifndef PF_HOOK_RUN_H
#define PF_HOOK_RUN_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"
#include "service/signature.h"

struct pf_hook_outcome {
    bool ok;
    bool for_good;   /* it failed, and no further try is wanted */
    int64_t wait_ms; /* the receiver asks for a pause of at least that; 0: it does not */
    char text[512];  /* why it failed, and the end of what it said */
};
typedef void (*pf_hook_ended)(const struct pf_hook_outcome *outcome, void *context);

/* ---- programs (hook_program.c) ---- */

struct pf_hook_program;

/* Runs `argv` (its first is looked for on the PATH) in a session of its own, with `environment`,
 * `input` as its standard input, and the end of what it writes going to the outcome's text. A status other than 0
 * is a failure. When limit_ms has passed it gets SIGTERM, and SIGKILL 2 s later, with all processes
 * of its group. What it leaves running otherwise is left alone. errno of starting it. */
int pf_hook_program_new(struct pf_hook_program **ret, struct event_base *base, char *const *argv,
                        char *const *environment, const char *input, int64_t limit_ms,
                        pf_hook_ended ended, void *context, struct pf_error *err);
void pf_hook_program_reap(struct pf_hook_program *program); /* for every SIGCHLD */
/* Kills its group when it still runs: it is not told to have ended any more. */
void pf_hook_program_kill(struct pf_hook_program *program);
/* Of one that was killed: waits for its end. True: it has not ended by then (CLOCK_MONOTONIC), which is said, and is
 * left behind. whose: for people. */
bool pf_hook_program_leave(struct pf_hook_program *program, const char *whose, int64_t until_ms);
/* Of one that has ended, was left or was never started. NULL-safe, returns NULL. */
struct pf_hook_program *pf_hook_program_free(struct pf_hook_program *program);

/* ---- addresses (hook_post.c) ---- */

struct pf_hook_poster; /* all that is posted: connections and sockets */

/* ca_file: "" for the system's. secret: borrowed; nothing is signed where it is empty. -ENOMEM. */
int pf_hook_poster_new(struct pf_hook_poster **ret, struct event_base *base, const char *ca_file,
                       const struct pf_secret *secret, struct pf_error *err);
struct pf_hook_poster *pf_hook_poster_free(struct pf_hook_poster *poster); /* NULL-safe, NULL */

struct pf_hook_post;

/* Posts the JSON text `body`; 2xx is done, 410 (gone) and other 4xx that a repeat cannot mend fail for
 * good, whatever else is a failure. Redirections are not followed. */
int pf_hook_post_new(struct pf_hook_post **ret, struct pf_hook_poster *poster, const char *url,
                     const char *id, int attempt, const char *body, int64_t limit_ms,
                     pf_hook_ended ended, void *context, struct pf_error *err);
struct pf_hook_post *pf_hook_post_free(struct pf_hook_post *post); /* NULL-safe, returns NULL */

#endif
