/* The worker's life, with a child that does nothing by itself in place of service/child.c. */
#include "service/worker_child.h"

#include "config/base/time.h"
#include "config/options.h"
#include "service/child.h"
#include "service/timer.h"
#include "tests/unit/test.h"

struct pf_child {
    struct pf_child_handlers handlers;
    void *context;
    int killed;
    bool by_signal, from_outside; /* its last end */
    char argument[32];            /* that was added last */
};

static struct pf_child fake;

int pf_child_new(struct pf_child **ret, struct event_base *base, const char *const *arguments,
                 const struct pf_child_handlers *handlers, void *context, struct pf_error *err)
{
    (void)base, (void)arguments, (void)err;
    fake = (struct pf_child){.handlers = *handlers, .context = context};
    *ret = &fake;
    return 0;
}

int pf_child_add_argument(struct pf_child *child, const char *argument)
{
    snprintf(child->argument, sizeof(child->argument), "%s", argument);
    return 0;
}

void pf_child_remove_argument(struct pf_child *child, const char *argument)
{
    CHECK_STR(child->argument, argument);
    child->argument[0] = '\0';
}

struct pf_child *pf_child_free(struct pf_child *child)
{
    (void)child;
    return NULL;
}

void pf_child_start(struct pf_child *child)
{
    child->handlers.started(child->context);
}

int pf_child_send(struct pf_child *child, json_t *object)
{
    (void)child;
    json_decref(object);
    return 0;
}

void pf_child_reap(struct pf_child *child)
{
    (void)child;
}

void pf_child_healthy(struct pf_child *child)
{
    (void)child;
}

void pf_child_kill(struct pf_child *child)
{
    child->killed++;
}

void pf_child_restart(struct pf_child *child)
{
    child->killed++;
}

void pf_child_stop(struct pf_child *child)
{
    (void)child;
}

bool pf_child_running(const struct pf_child *child)
{
    return child != NULL;
}

bool pf_child_ended_by_signal(const struct pf_child *child)
{
    return child->by_signal;
}

bool pf_child_ended_from_outside(const struct pf_child *child)
{
    return child->from_outside;
}

bool pf_child_leave(struct pf_child *child, const char *whose)
{
    (void)child, (void)whose;
    return false;
}

/* ---- the owner ---- */

static struct pf_worker *worker;
static struct event_base *base;

static void on_any(void *context)
{
    (void)context;
}

static void on_message(const json_t *event, void *context)
{
    (void)event, (void)context;
}

static bool blamed;                       /* what it had in hand */
static enum pf_worker_end how;            /* it has ended */
static bool not_the_gpu, without_as_well; /* what the owner says to that */

static bool on_ended(const char *why, enum pf_worker_end end, void *context)
{
    (void)context;
    blamed = why != NULL;
    how = end;
    if (without_as_well)
        pf_worker_clear_gpu(worker);
    return !not_the_gpu;
}

/* `event` is consumed. */
static void says_that(const char *name, json_t *event)
{
    json_object_set_new(event, "event", json_string(name));
    fake.handlers.message(event, fake.context);
    fake.handlers.batch(fake.context);
    json_decref(event);
}

static void says(const char *name)
{
    says_that(name, json_object());
}

static void is_ready_with(const char *device)
{
    says_that("ready", json_pack("{s:s}", "device", device));
}

/* And is started again. */
static void ends(bool by_signal)
{
    fake.by_signal = by_signal;
    fake.handlers.ended(by_signal ? "killed by signal 11" : "exited with status 1", 500,
                        fake.context);
    pf_worker_start(worker);
}

static void check_losses(int losses, bool fell_back)
{
    json_t *facts = pf_worker_facts(worker);
    CHECK_EQ(json_integer_value(json_object_get(facts, "losses")), losses);
    CHECK_EQ(json_is_true(json_object_get(facts, "fell_back")), fell_back);
    CHECK_STR(fake.argument, fell_back ? "--device=cpu" : "");
    json_decref(facts);
}

static void let_pass(int ms)
{
    struct timeval wait = {.tv_usec = ms * 1000};
    event_base_loopexit(base, &wait);
    event_base_dispatch(base);
}

static void begin(struct pf_settings *settings, double timeout_s)
{
    static const struct pf_worker_handlers handlers = {on_any, on_message, on_any, on_ended,
                                                       on_any};
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(settings, &err), &err);
    settings->worker_timeout = timeout_s;
    base = event_base_new();
    CHECK_OK(pf_worker_new(&worker, base, settings, &handlers, NULL, &err), &err);
    pf_worker_start(worker);
}

static void end(struct pf_settings *settings)
{
    pf_worker_free(worker);
    event_base_free(base);
    pf_settings_free(settings);
}

/* What it is given more to do is no sign of life. */
TEST(a_worker_that_says_nothing_is_ended_while_more_comes)
{
    struct pf_settings settings;
    begin(&settings, 0.2);
    says("ready");
    int64_t begun_ms = pf_monotonic_ms();
    for (int64_t pixels = 1000; !fake.killed; pixels += 1000) {
        pf_worker_watch(worker, true, pixels);
        let_pass(20);
        CHECK(pf_monotonic_ms() < begun_ms + 5000);
    }
    CHECK(pf_monotonic_ms() >= begun_ms + 200);
    CHECK(pf_worker_stuck_ms(worker) >= 200);
    end(&settings);
}

TEST(a_worker_that_says_something_is_left_alone)
{
    struct pf_settings settings;
    begin(&settings, 0.5);
    for (int i = 0; i < 7; i++) { /* before it is ready it has something to do as well */
        pf_worker_watch(worker, false, 0);
        let_pass(100);
        says("warming");
    }
    says("ready");
    for (int i = 0; i < 7; i++) {
        pf_worker_watch(worker, true, 1000);
        let_pass(100);
        says("progress");
    }
    pf_worker_watch(worker, false, 0);
    let_pass(600); /* with nothing to do it has nothing to say */
    pf_worker_watch(worker, true, 0);
    let_pass(100);
    CHECK_EQ(fake.killed, 0);
    /* A second for every megapixel. */
    pf_worker_watch(worker, true, 1000000);
    let_pass(600);
    CHECK_EQ(fake.killed, 0);
    end(&settings);
}

TEST(a_worker_that_crashes_with_a_gpu_counts_as_its_failure)
{
    struct pf_settings settings;
    begin(&settings, 60);
    is_ready_with("cuda");
    ends(false); /* of itself: the GPU has nothing to do with it */
    CHECK(blamed && how == PF_END_PLAIN);
    is_ready_with("cuda");
    ends(true);
    CHECK(blamed && how == PF_END_WITH_GPU);
    check_losses(1, false);
    is_ready_with("cuda");
    pf_worker_stacked(worker); /* it works */
    check_losses(0, false);
    ends(true);
    check_losses(1, false);
    is_ready_with("cuda");
    says("lost");
    ends(false);
    CHECK(!blamed && how == PF_END_PLAIN);
    check_losses(2, true);
    is_ready_with("cpu");
    ends(true);
    CHECK(blamed && how == PF_END_WITHOUT_GPU);
    check_losses(2, true);
    end(&settings);
}

/* As the kernel does when no memory is left. */
TEST(a_worker_that_is_killed_from_outside_is_not_the_gpus_doing)
{
    struct pf_settings settings;
    begin(&settings, 60);
    for (int i = 0; i < 3; i++) {
        is_ready_with("cuda");
        fake.from_outside = true;
        ends(true);
        CHECK(blamed && how == PF_END_PLAIN);
    }
    check_losses(0, false);
    end(&settings);
}

TEST(a_crash_that_is_not_the_gpus_doing_does_not_count)
{
    struct pf_settings settings;
    begin(&settings, 60);
    not_the_gpu = true;
    for (int i = 0; i < 3; i++) {
        is_ready_with("cuda");
        ends(true);
        check_losses(0, false);
    }
    not_the_gpu = false;
    end(&settings);
}

TEST(a_gpu_that_is_cleared_is_used_again)
{
    struct pf_settings settings;
    begin(&settings, 60);
    for (int i = 1; i <= 2; i++) {
        is_ready_with("cuda");
        ends(true);
        check_losses(i, i == 2);
    }
    is_ready_with("cpu");
    without_as_well = true;
    ends(true);
    without_as_well = false;
    check_losses(0, false);
    for (int i = 1; i <= 2; i++) { /* and has to fail as often as ever */
        is_ready_with("cuda");
        ends(true);
        check_losses(i, i == 2);
    }
    end(&settings);
}

TEST(a_worker_that_hangs_with_a_gpu_counts_as_its_failure)
{
    struct pf_settings settings;
    begin(&settings, 0.1);
    says_that("warming", json_pack("{s:s}", "step", "looking for a GPU"));
    for (int i = 1; i <= 2; i++) { /* while it is looked for, and at work */
        pf_worker_watch(worker, true, 0);
        while (fake.killed < i)
            let_pass(20);
        ends(true);
        CHECK_EQ(how, PF_END_WITH_GPU);
        check_losses(i, i == 2);
        is_ready_with("cuda");
    }
    end(&settings);
}

/* elastix is no GPU. */
TEST(a_worker_that_crashes_as_it_warms_up_elastix_is_not_the_gpus_doing)
{
    struct pf_settings settings;
    begin(&settings, 60);
    ends(true);
    CHECK_EQ(how, PF_END_PLAIN);
    says_that("warming", json_pack("{s:s, s:i, s:i}", "step", "bspline", "iteration", 3, "of", 9));
    ends(true);
    CHECK_EQ(how, PF_END_PLAIN);
    check_losses(0, false);
    end(&settings);
}
