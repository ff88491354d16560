#include "service/outbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "service/outbox_mount.h"
#include "service/outbox_name.h"
#include "service/sidecar.h"

#define NAMES_MAX   100 /* NAME+1 ... */
#define STOP_WAIT_S 2
#define FORMER_S    86400 /* what is older is nobody's work under way */

struct task {
    struct task *next;
    enum pf_outbox_request request;
    int64_t burst;
    int version;
    char *name;
    json_t *identities; /* owned by the thread that has the task: jansson counts without locks */
    int r;
    char *path;
    int64_t fused, aside; /* FIND */
    struct pf_error err;
};

struct pf_outbox {
    char *directory, *tag, *former_tag, *mount_note;
    void (*handler)(const struct pf_outbox_answer *answer, void *context);
    void *context;
    struct event *wake;
    int wake_fd;
    pthread_t thread;
    bool running;
    struct pf_outbox_name *unsure; /* the thread's */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t more;
    struct task *asked, *answered;
    bool stopping;
};

static struct task *free_task(struct task *task)
{
    if (task) {
        free(task->name);
        free(task->path);
        json_decref(task->identities);
    }
    free(task);
    return NULL;
}

static void append(struct task **list, struct task *task)
{
    while (*list)
        list = &(*list)->next;
    *list = task;
}

/* ---- in the thread ---- */

static char *final_path(const struct pf_outbox *outbox, const struct task *task, int attempt)
{
    char version[24] = "", again[24] = "";
    if (task->version > 1)
        snprintf(version, sizeof(version), "-v%d", task->version);
    if (attempt)
        snprintf(again, sizeof(again), "+%d", attempt);
    return pf_text("%s/%s%s%s", outbox->directory, task->name, version, again);
}

static char *partial_path(const struct pf_outbox *outbox, const struct task *task)
{
    return pf_text("%s/.%s.%s.partial", outbox->directory, task->name, outbox->tag);
}

/* What a directory says of itself; *ret is NULL when it is none of ours. An error is not taken for
 * that: the burst would be published a second time. */
static int read_sidecar(const char *directory, json_t **ret, struct pf_error *err)
{
    struct pf_error why = {0};
    char *path = pf_path_join(directory, "stack.json");
    *ret = NULL;
    int r = path ? pf_json_read(path, PF_SIDECAR_BYTES_MAX, ret, &why)
                 : pf_fail(&why, ENOMEM, "out of memory");
    bool is_none = r == -ENOENT || r == -EACCES || r == -ELOOP || r == -EFBIG || r == -EBADMSG;
    free(path);
    return r == 0 || is_none ? 0 : pf_fail(err, why.code, "%s", why.text);
}

static bool contains(const json_t *array, const char *text)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        if (!strcmp(json_string_value(item), text))
            return true;
    }
    return false;
}

/* 1 when it is, 0 when not, errors of reading it. */
static int is_version(const char *directory, struct task *task)
{
    json_t *sidecar = NULL;
    int r = read_sidecar(directory, &sidecar, &task->err);
    if (r < 0)
        return r;
    const char *burst = json_string_value(json_object_get(sidecar, "burst"));
    const json_t *frames = json_object_get(sidecar, "frames"), *frame;
    bool same = burst && !strcmp(burst, task->name) && json_array_size(frames) > 0 &&
                json_integer_value(json_object_get(sidecar, "version")) == task->version;
    size_t i;
    json_array_foreach(frames, i, frame)
    {
        const char *identity = json_string_value(json_object_get(frame, "identity"));
        same = same && identity && contains(task->identities, identity);
    }
    task->fused = json_integer_value(json_object_get(sidecar, "fused"));
    task->aside = json_integer_value(json_object_get(sidecar, "aside"));
    json_decref(sidecar);
    return same;
}

static int find(struct pf_outbox *outbox, struct task *task)
{
    int mounted = pf_outbox_mount_check(outbox->directory, outbox->mount_note, &task->err);
    if (mounted < 0)
        return mounted;
    for (int attempt = 0; attempt < NAMES_MAX; attempt++) {
        struct stat st;
        char *path = final_path(outbox, task, attempt);
        if (!path)
            return pf_fail(&task->err, ENOMEM, "out of memory");
        if (lstat(path, &st) < 0) {
            int r = pf_fail_errno(&task->err, errno, "%s", path);
            free(path);
            return r;
        }
        int r = S_ISDIR(st.st_mode) ? is_version(path, task) : 0;
        if (r > 0) {
            task->path = path;
            r = pf_sync_path(outbox->directory, &task->err);
            if (!r)
                pf_outbox_name_forget(&outbox->unsure, path); /* it is told now */
            return r;
        }
        free(path);
        if (r < 0)
            return r;
    }
    return pf_fail(&task->err, ENOENT, "no directory of burst %s", task->name);
}

static int check(struct pf_outbox *outbox, struct task *task)
{
    int r = pf_outbox_mount_check(outbox->directory, outbox->mount_note, &task->err);
    if (!r)
        r = pf_make_directories(outbox->directory, &task->err);
    if (!r && access(outbox->directory, W_OK | X_OK) < 0)
        r = pf_fail_errno(&task->err, errno, "%s", outbox->directory);
    if (!r)
        pf_outbox_mount_keep(outbox->directory, outbox->mount_note);
    return r;
}

static int prepare(struct pf_outbox *outbox, struct task *task)
{
    task->path = partial_path(outbox, task);
    if (!task->path)
        return pf_fail(&task->err, ENOMEM, "out of memory");
    int r = pf_outbox_mount_check(outbox->directory, outbox->mount_note, &task->err);
    if (!r)
        r = pf_make_directories(outbox->directory, &task->err);
    if (!r)
        r = pf_remove_tree(task->path, &task->err);
    if (!r && mkdir(task->path, 0777) < 0)
        r = pf_fail_errno(&task->err, errno, "creating directory %s", task->path);
    return r;
}

static int discard(struct pf_outbox *outbox, struct task *task)
{
    task->path = partial_path(outbox, task);
    return task->path ? pf_remove_tree(task->path, &task->err)
                      : pf_fail(&task->err, ENOMEM, "out of memory");
}

static int publish(struct pf_outbox *outbox, struct task *task)
{
    struct pf_identity sidecar;
    int r = -EEXIST;
    char *partial = partial_path(outbox, task);
    if (!partial)
        return pf_fail(&task->err, ENOMEM, "out of memory");
    if (pf_outbox_identify(partial, &sidecar, &task->err) < 0 ||
        pf_sync_path(partial, &task->err) < 0)
        r = -task->err.code;
    for (int attempt = 0; r == -EEXIST && attempt < NAMES_MAX; attempt++) {
        free(task->path);
        task->path = final_path(outbox, task, attempt);
        pf_error_clear(&task->err);
        r = task->path
                ? pf_outbox_name_take(&outbox->unsure, partial, task->path, &sidecar, &task->err)
                : pf_fail(&task->err, ENOMEM, "out of memory");
    }
    free(partial);
    return r;
}

static bool is_partial_of(const char *name, const char *tag)
{
    char suffix[64];
    size_t length = (size_t)snprintf(suffix, sizeof(suffix), ".%s.partial", tag);
    size_t name_length = strlen(name);
    return name[0] == '.' && name_length > length && !strcmp(name + name_length - length, suffix);
}

/* Another machine may have had the former tag as well: what it is at is not taken away, nor what has all
 * of a result. */
static bool is_left_for_good(const char *path)
{
    struct stat st;
    char *sidecar = pf_path_join(path, "stack.json");
    bool is_incomplete = sidecar && lstat(sidecar, &st) < 0 && errno == ENOENT;
    free(sidecar);
    return is_incomplete && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           time(NULL) - st.st_mtime > FORMER_S;
}

static void remove_leftovers(const struct pf_outbox *outbox)
{
    struct dirent *entry;
    DIR *directory = opendir(outbox->directory);
    if (!directory)
        return;
    while ((entry = readdir(directory))) {
        bool ours = is_partial_of(entry->d_name, outbox->tag);
        if (!ours && !is_partial_of(entry->d_name, outbox->former_tag))
            continue;
        char *path = pf_path_join(outbox->directory, entry->d_name);
        if (path && (ours || is_left_for_good(path)))
            pf_remove_tree(path, NULL); /* what stays is removed before its next use */
        free(path);
    }
    closedir(directory);
}

static void *work(void *context)
{
    static int (*const handlers[])(struct pf_outbox * outbox, struct task * task) = {
        [PF_OUTBOX_CHECK] = check,     [PF_OUTBOX_FIND] = find,
        [PF_OUTBOX_PREPARE] = prepare, [PF_OUTBOX_PREPARE_AHEAD] = prepare,
        [PF_OUTBOX_PUBLISH] = publish, [PF_OUTBOX_DISCARD] = discard,
    };
    struct pf_outbox *outbox = context;
    remove_leftovers(outbox);
    pthread_mutex_lock(&outbox->lock);
    while (!outbox->stopping) {
        struct task *task = outbox->asked;
        if (!task) {
            pthread_cond_wait(&outbox->more, &outbox->lock);
            continue;
        }
        outbox->asked = task->next;
        task->next = NULL;
        pthread_mutex_unlock(&outbox->lock);
        task->r = handlers[task->request](outbox, task);
        pthread_mutex_lock(&outbox->lock);
        append(&outbox->answered, task);
        eventfd_write(outbox->wake_fd, 1);
    }
    pthread_mutex_unlock(&outbox->lock);
    remove_leftovers(outbox);
    return NULL;
}

/* ---- in the event loop ---- */

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct pf_outbox *outbox = context;
    eventfd_t count;
    (void)what;
    eventfd_read(fd, &count);
    pthread_mutex_lock(&outbox->lock);
    struct task *task = outbox->answered;
    outbox->answered = NULL;
    pthread_mutex_unlock(&outbox->lock);
    while (task) {
        struct task *next = task->next;
        struct pf_outbox_answer answer = {
            .request = task->request,
            .burst = task->burst,
            .version = task->version,
            .r = task->r,
            .fused = task->fused > 0 ? (size_t)task->fused : 0,
            .aside = task->aside > 0 ? (size_t)task->aside : 0,
            .path = task->path,
            .text = task->err.text,
        };
        outbox->handler(&answer, outbox->context);
        free_task(task);
        task = next;
    }
}

void pf_outbox_former_tag(const char *host, const char *state, char tag[PF_OUTBOX_FORMER_CHARS + 1])
{
    char text[PATH_MAX + 256];
    snprintf(text, sizeof(text), "%s:%s", host, state);
    struct pf_identity id = pf_identity_of_memory(text, strlen(text));
    snprintf(tag, PF_OUTBOX_FORMER_CHARS + 1, "%s",
             id.text + PF_IDENTITY_CHARS - PF_OUTBOX_FORMER_CHARS);
}

int pf_outbox_new(struct pf_outbox **ret, struct event_base *base, const char *directory,
                  const char *tag, const char *former_tag, const char *mount_note,
                  void (*handler)(const struct pf_outbox_answer *answer, void *context),
                  void *context, struct pf_error *err)
{
    struct pf_outbox *outbox = calloc(1, sizeof(*outbox));
    if (!outbox)
        return pf_fail(err, ENOMEM, "out of memory for the outbox");
    pthread_mutex_init(&outbox->lock, NULL);
    pthread_cond_init(&outbox->more, NULL);
    outbox->handler = handler;
    outbox->context = context;
    outbox->directory = strdup(directory);
    outbox->tag = strdup(tag);
    outbox->former_tag = strdup(former_tag);
    outbox->mount_note = mount_note ? strdup(mount_note) : NULL;
    outbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->wake_fd >= 0)
        outbox->wake = event_new(base, outbox->wake_fd, EV_READ | EV_PERSIST, on_wake, outbox);
    int r = 0;
    if (!outbox->directory || !outbox->tag || !outbox->former_tag ||
        (mount_note && !outbox->mount_note) || !outbox->wake || event_add(outbox->wake, NULL) < 0)
        r = ENOMEM;
    /* Signals are the loop's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!r)
        r = pthread_create(&outbox->thread, NULL, work, outbox);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r) {
        pf_outbox_free(outbox);
        return pf_fail_errno(err, r, "starting the outbox");
    }
    pthread_setname_np(outbox->thread, "outbox");
    outbox->running = true;
    *ret = outbox;
    return 0;
}

struct pf_outbox *pf_outbox_free(struct pf_outbox *outbox)
{
    if (!outbox)
        return NULL;
    if (outbox->running) {
        struct timespec until;
        pthread_mutex_lock(&outbox->lock);
        outbox->stopping = true;
        pthread_cond_signal(&outbox->more);
        pthread_mutex_unlock(&outbox->lock);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STOP_WAIT_S;
        if (pthread_timedjoin_np(outbox->thread, NULL, &until)) {
            /* Blocked in the kernel: it keeps what it uses until the process is gone. */
            event_del(outbox->wake);
            return NULL;
        }
    }
    for (struct task *task = outbox->asked, *next; task; task = next) {
        next = task->next;
        free_task(task);
    }
    for (struct task *task = outbox->answered, *next; task; task = next) {
        next = task->next;
        free_task(task);
    }
    if (outbox->wake)
        event_free(outbox->wake);
    if (outbox->wake_fd >= 0)
        close(outbox->wake_fd);
    pthread_mutex_destroy(&outbox->lock);
    pthread_cond_destroy(&outbox->more);
    free(outbox->directory);
    free(outbox->tag);
    free(outbox->former_tag);
    free(outbox->mount_note);
    outbox->unsure = pf_outbox_names_free(outbox->unsure);
    free(outbox);
    return NULL;
}

int pf_outbox_ask(struct pf_outbox *outbox, enum pf_outbox_request request, int64_t burst,
                  const char *name, int version, const json_t *identities)
{
    struct task *task = calloc(1, sizeof(*task));
    if (!task)
        return -ENOMEM;
    task->request = request;
    task->burst = burst;
    task->version = version;
    task->name = strdup(name);
    task->identities = identities ? json_deep_copy(identities) : NULL;
    if (!task->name || (identities && !task->identities)) {
        free_task(task);
        return -ENOMEM;
    }
    pthread_mutex_lock(&outbox->lock);
    append(&outbox->asked, task);
    pthread_cond_signal(&outbox->more);
    pthread_mutex_unlock(&outbox->lock);
    return 0;
}

void pf_outbox_await(const struct pf_outbox *outbox, int ms)
{
    struct pollfd wake = {.fd = outbox->wake_fd, .events = POLLIN};
    poll(&wake, 1, ms);
}
