/* What the commands that ask a running service have in common: their options and operands, one question and
 * what is printed of its answer.
 *
 * Processes of their own (service/api_command.h).
 */
#ifndef PF_API_CALL_H
#define PF_API_CALL_H

#include <jansson.h>
#include <stdbool.h>

#include "config/settings.h"

struct pf_client;

struct pf_call {
    const char *name;
    struct pf_settings settings;
    struct pf_client *client;
    bool json, undo, all;
    bool installed; /* the installed service is asked, since nothing says which one */
    int argc;       /* operands */
    char **argv;
    struct pf_error err;
};

/* Takes options and operands, of which there are at least `least`, and finds the service. An exit status; what
 * is wrong is in `err`, and is printed by pf_call_end(), which frees all of it in any case. */
int pf_call_begin(struct pf_call *command, int argc, char **argv, int least, int most);
int pf_call_end(struct pf_call *command, int status); /* returns it */

/* `body` is consumed, NULL for none. The caller's; NULL: what is wrong is in `err`. */
json_t *pf_call_ask(struct pf_call *command, const char *method, const char *path, json_t *body);
/* Posts an action and prints what was accepted. An exit status. */
int pf_call_act(struct pf_call *command, const char *path, json_t *body);

void pf_call_print(const json_t *object);
const char *pf_call_text(const json_t *object, const char *key); /* "" for none */
long long pf_call_integer(const json_t *object, const char *key);

/* A burst's name goes into a path: false, with what is wrong in `err`, unless it has no characters that must
 * be escaped. */
bool pf_call_is_name(struct pf_call *command, const char *name);

#endif
