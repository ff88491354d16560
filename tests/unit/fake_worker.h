/* A worker that does nothing by itself, in place of service/worker_child.c: a test sees what it was told and
 * says what it answers. Included once, by the test that has the scheduler.
 */
#ifndef PF_TEST_FAKE_WORKER_H
#define PF_TEST_FAKE_WORKER_H

#include "service/worker_child.h"
#include "tests/unit/test.h"

struct pf_worker {
    struct pf_worker_handlers handlers;
    void *context;
    json_t *told;         /* array of all commands, in their order */
    size_t read;          /* how many of them the test has looked at */
    const char *too_long; /* a command that no line is long enough for, NULL: none */
    int cleared;          /* how often it was told that its GPU is not to blame */
};

static struct pf_worker fake;

int pf_worker_new(struct pf_worker **ret, struct event_base *base,
                  const struct pf_settings *settings, const struct pf_worker_handlers *handlers,
                  void *context, struct pf_error *err)
{
    (void)base, (void)settings, (void)err;
    fake = (struct pf_worker){.handlers = *handlers, .context = context, .told = json_array()};
    *ret = &fake;
    return 0;
}

struct pf_worker *pf_worker_free(struct pf_worker *worker)
{
    if (worker)
        json_decref(worker->told);
    return NULL;
}

int pf_worker_tell(struct pf_worker *worker, json_t *command)
{
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    if (worker->too_long && cmd && !strcmp(cmd, worker->too_long)) {
        json_decref(command);
        return -EMSGSIZE;
    }
    return json_array_append_new(worker->told, command) == 0 ? 0 : -ENOMEM;
}

void pf_worker_watch(struct pf_worker *worker, bool busy, int64_t pixels)
{
    (void)worker, (void)busy, (void)pixels;
}

void pf_worker_start(struct pf_worker *worker)
{
    (void)worker;
}

void pf_worker_stop(struct pf_worker *worker)
{
    (void)worker;
}

void pf_worker_reap(struct pf_worker *worker)
{
    (void)worker;
}

void pf_worker_healthy(struct pf_worker *worker)
{
    (void)worker;
}

void pf_worker_stacked(struct pf_worker *worker)
{
    (void)worker;
}

void pf_worker_clear_gpu(struct pf_worker *worker)
{
    worker->cleared++;
}

bool pf_worker_leave(struct pf_worker *worker)
{
    (void)worker;
    return false;
}

bool pf_worker_running(const struct pf_worker *worker)
{
    return worker != NULL;
}

bool pf_worker_ready(const struct pf_worker *worker)
{
    return worker != NULL;
}

bool pf_worker_takes_work(const struct pf_worker *worker)
{
    return worker != NULL;
}

int64_t pf_worker_stuck_ms(const struct pf_worker *worker)
{
    (void)worker;
    return 0;
}

json_t *pf_worker_facts(const struct pf_worker *worker)
{
    (void)worker;
    return json_object();
}

/* ---- for the test ---- */

/* The next command that it has been told; NULL: none. Borrowed. */
static inline json_t *fake_next(void)
{
    return fake.read < json_array_size(fake.told) ? json_array_get(fake.told, fake.read++) : NULL;
}

/* It says `event` (consumed) of what `command` has asked for. */
static inline void fake_say(const json_t *command, const char *event, json_t *fields)
{
    CHECK(fields);
    json_object_set_new(fields, "event", json_string(event));
    json_object_set(fields, "burst", json_object_get(command, "burst"));
    if (json_object_get(command, "frame"))
        json_object_set(fields, "frame", json_object_get(command, "frame"));
    fake.handlers.message(fields, fake.context);
    fake.handlers.batch(fake.context);
    json_decref(fields);
}

static inline void fake_fail(const json_t *command, int code, const char *reason)
{
    fake_say(command, "failed",
             json_pack("{s:O, s:i, s:s}", "cmd", json_object_get(command, "cmd"), "code", code,
                       "reason", reason));
}

/* Returns whether the GPU is to blame. */
static inline bool fake_end(const char *why, enum pf_worker_end end)
{
    bool gpu = fake.handlers.ended(why, end, fake.context);
    fake.handlers.changed(fake.context);
    fake.handlers.started(fake.context);
    fake.handlers.batch(fake.context);
    return gpu;
}

static inline void fake_die(const char *why)
{
    fake_end(why, PF_END_PLAIN);
}

#endif
