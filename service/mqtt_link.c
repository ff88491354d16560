#include "service/mqtt_link.h"

#include <errno.h>
#include <mosquitto.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "config/base/array.h"
#include "config/base/time.h"

#define KEEPALIVE_S    30
#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 120000
#define LASTING_MS                                                                                 \
    60000 /* a link that was up as long is well: two of one name throw each other out at once */
#define TURN_MS    5000 /* libmosquitto wants to be called now and then */
#define GOODBYE_MS 1000
#define JOIN_S     2
#define SYSTEM_CA  "/etc/ssl/certs"

struct topic {
    char *name, *value;
    bool dirty;
};

struct pf_mqtt_link {
    pthread_t thread;
    pthread_mutex_t lock;
    struct mosquitto *mosquitto; /* the thread's */
    char *host, *alive;
    int port;
    int wake_fd, told_fd; /* for the thread, and for the loop */
    struct event *told_event;
    void (*told)(const char *trouble, void *context);
    void *context;
    bool connected, fresh; /* the thread's; fresh: nothing has been said since it was connected */
    char refused[128];     /* the thread's: why the broker did not take us */

    /* under the lock */
    bool stopping, up, news;
    char trouble[256];
    struct topic *topics;
    size_t count, capacity;
};

/* ---- in the thread ---- */

static void report(struct pf_mqtt_link *link, bool up, const char *trouble)
{
    pthread_mutex_lock(&link->lock);
    if (up != link->up || (!up && strcmp(trouble, link->trouble) != 0)) {
        link->up = up;
        snprintf(link->trouble, sizeof(link->trouble), "%s", up ? "" : trouble);
        link->news = true;
        eventfd_write(link->told_fd, 1);
    }
    pthread_mutex_unlock(&link->lock);
}

/* libmosquitto holds locks of its own here, and ours is not taken under them. */
static void on_connect(struct mosquitto *mosquitto, void *context, int code)
{
    struct pf_mqtt_link *link = context;
    if (code) {
        snprintf(link->refused, sizeof(link->refused), "%s", mosquitto_connack_string(code));
        return;
    }
    link->connected = link->fresh = true;
    mosquitto_publish(mosquitto, NULL, link->alive, 6, "online", 0, true);
}

static void on_disconnect(struct mosquitto *mosquitto, void *context, int code)
{
    struct pf_mqtt_link *link = context;
    (void)mosquitto, (void)code;
    link->connected = false;
}

/* A copy of a value that is to be sent; NULL: none, or no memory. Topics stay where they are in number and
 * name. */
static char *take_dirty(struct pf_mqtt_link *link, size_t *ret_number, const char **ret_name)
{
    char *value = NULL;
    pthread_mutex_lock(&link->lock);
    for (size_t i = 0; i < link->count && !value; i++) {
        struct topic *topic = &link->topics[i];
        if (!topic->dirty || !(value = strdup(topic->value)))
            continue;
        topic->dirty = false;
        *ret_number = i;
        *ret_name = topic->name;
    }
    pthread_mutex_unlock(&link->lock);
    return value;
}

static void mark_dirty(struct pf_mqtt_link *link, size_t from, size_t count)
{
    pthread_mutex_lock(&link->lock);
    for (size_t i = from; i < link->count && i - from < count; i++)
        link->topics[i].dirty = true;
    pthread_mutex_unlock(&link->lock);
}

/* Only as long as all that was said before is on its way: what waits is here, where a newer value replaces
 * it. */
static void publish_dirty(struct pf_mqtt_link *link)
{
    const char *name;
    char *value;
    size_t number;
    if (link->fresh) {
        mark_dirty(link, 0, SIZE_MAX);
        report(link, true, NULL);
    }
    link->fresh = false;
    while (!mosquitto_want_write(link->mosquitto) && (value = take_dirty(link, &number, &name))) {
        int r = mosquitto_publish(link->mosquitto, NULL, name, (int)strlen(value), value, 0, true);
        free(value);
        if (r) {
            mark_dirty(link, number, 1);
            return;
        }
    }
}

static bool is_stopping(struct pf_mqtt_link *link)
{
    pthread_mutex_lock(&link->lock);
    bool stopping = link->stopping;
    pthread_mutex_unlock(&link->lock);
    return stopping;
}

/* Until something comes, is wanted, or the time has passed. */
static void wait_for_news(struct pf_mqtt_link *link, int64_t wait_ms)
{
    int fd = mosquitto_socket(link->mosquitto);
    short events = POLLIN;
    if (fd >= 0 && mosquitto_want_write(link->mosquitto))
        events |= POLLOUT;
    struct pollfd fds[2] = {{.fd = link->wake_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    eventfd_t ignored;
    poll(fds, 2, (int)wait_ms);
    if (fds[0].revents)
        eventfd_read(link->wake_fd, &ignored);
}

static int turn(struct pf_mqtt_link *link)
{
    int r = mosquitto_loop_read(link->mosquitto, 1);
    if (!r && mosquitto_want_write(link->mosquitto))
        r = mosquitto_loop_write(link->mosquitto, 1);
    return r ? r : mosquitto_loop_misc(link->mosquitto);
}

/* As long as the connection lasts; why it ended. */
static void live(struct pf_mqtt_link *link, char *why, size_t size)
{
    int r = 0;
    bool greeted = false;
    int64_t begun_ms = pf_monotonic_ms();
    while (!r && !is_stopping(link)) {
        if (link->connected)
            publish_dirty(link);
        wait_for_news(link, greeted ? TURN_MS : BACKOFF_MS);
        r = turn(link);
        greeted = greeted || link->connected;
        if (!r && !greeted && pf_monotonic_ms() - begun_ms > KEEPALIVE_S * 1000)
            r = MOSQ_ERR_KEEPALIVE;
    }
    snprintf(why, size, "%s",
             *link->refused                        ? link->refused
             : r == MOSQ_ERR_ERRNO                 ? strerror(errno)
             : !greeted && r == MOSQ_ERR_KEEPALIVE ? "the broker says nothing"
                                                   : mosquitto_strerror(r));
}

static void say_goodbye(struct pf_mqtt_link *link)
{
    int64_t until_ms = pf_monotonic_ms() + GOODBYE_MS;
    mosquitto_publish(link->mosquitto, NULL, link->alive, 7, "offline", 0, true);
    mosquitto_disconnect(link->mosquitto);
    while (mosquitto_socket(link->mosquitto) >= 0 && mosquitto_want_write(link->mosquitto) &&
           pf_monotonic_ms() < until_ms) {
        wait_for_news(link, 50);
        if (mosquitto_loop_write(link->mosquitto, 1))
            break;
    }
}

static void *work(void *context)
{
    struct pf_mqtt_link *link = context;
    int64_t backoff_ms = 0;
    while (!is_stopping(link)) {
        char why[256];
        int64_t begun_ms = pf_monotonic_ms();
        link->refused[0] = '\0';
        errno = 0;
        int r = mosquitto_connect(link->mosquitto, link->host, link->port, KEEPALIVE_S);
        if (r) {
            snprintf(why, sizeof(why), "%s",
                     r == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(r));
        } else {
            live(link, why, sizeof(why));
        }
        if (is_stopping(link))
            break;
        pthread_mutex_lock(&link->lock);
        bool lasted = link->up && pf_monotonic_ms() - begun_ms >= LASTING_MS;
        pthread_mutex_unlock(&link->lock);
        link->connected = false;
        report(link, false, why);
        backoff_ms = pf_back_off_ms(lasted ? 0 : backoff_ms, BACKOFF_MS, BACKOFF_MAX_MS);
        int64_t until_ms = pf_monotonic_ms() + backoff_ms, left_ms;
        while (!is_stopping(link) && (left_ms = until_ms - pf_monotonic_ms()) > 0) {
            struct pollfd wake = {.fd = link->wake_fd, .events = POLLIN};
            eventfd_t ignored;
            if (poll(&wake, 1, (int)left_ms) > 0)
                eventfd_read(link->wake_fd, &ignored);
        }
    }
    if (link->connected)
        say_goodbye(link);
    return NULL;
}

/* ---- for the loop ---- */

static void on_told(evutil_socket_t fd, short what, void *context)
{
    struct pf_mqtt_link *link = context;
    eventfd_t ignored;
    char trouble[sizeof(link->trouble)];
    (void)what;
    eventfd_read(fd, &ignored);
    pthread_mutex_lock(&link->lock);
    bool news = link->news, up = link->up;
    memcpy(trouble, link->trouble, sizeof(trouble));
    link->news = false;
    pthread_mutex_unlock(&link->lock);
    if (news)
        link->told(up ? NULL : trouble, link->context);
}

static int set_options(struct mosquitto *mosquitto, const struct pf_mqtt_options *options,
                       struct pf_error *err)
{
    int r = mosquitto_will_set(mosquitto, options->alive, 7, "offline", 0, true);
    if (!r && options->user)
        r = mosquitto_username_pw_set(mosquitto, options->user, options->password);
    if (!r && options->tls && options->ca_file && access(options->ca_file, R_OK) < 0)
        return pf_fail_errno(err, errno, "MQTT: %s", options->ca_file);
    if (!r && options->tls)
        r = mosquitto_tls_set(mosquitto, options->ca_file, options->ca_file ? NULL : SYSTEM_CA,
                              NULL, NULL, NULL);
    mosquitto_connect_callback_set(mosquitto, on_connect);
    mosquitto_disconnect_callback_set(mosquitto, on_disconnect);
    return r ? pf_fail(err, r == MOSQ_ERR_NOMEM ? ENOMEM : EINVAL, "MQTT: %s%s%s",
                       mosquitto_strerror(r), options->ca_file ? ": " : "",
                       options->ca_file ? options->ca_file : "")
             : 0;
}

static void dispose(struct pf_mqtt_link *link)
{
    if (link->mosquitto)
        mosquitto_destroy(link->mosquitto);
    mosquitto_lib_cleanup();
    if (link->wake_fd >= 0)
        close(link->wake_fd);
    if (link->told_fd >= 0)
        close(link->told_fd);
    for (size_t i = 0; i < link->count; i++) {
        free(link->topics[i].name);
        free(link->topics[i].value);
    }
    free(link->topics);
    free(link->host);
    free(link->alive);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

int pf_mqtt_link_check(const struct pf_mqtt_options *options, struct pf_error *err)
{
    mosquitto_lib_init();
    struct mosquitto *mosquitto = mosquitto_new(options->client, true, NULL);
    int r = mosquitto ? set_options(mosquitto, options, err)
                      : pf_fail(err, ENOMEM, "out of memory for MQTT");
    mosquitto_destroy(mosquitto);
    mosquitto_lib_cleanup();
    return r;
}

int pf_mqtt_link_new(struct pf_mqtt_link **ret, struct event_base *base,
                     const struct pf_mqtt_options *options,
                     void (*told)(const char *trouble, void *context), void *context,
                     struct pf_error *err)
{
    struct pf_mqtt_link *link = calloc(1, sizeof(*link));
    if (!link)
        return pf_fail(err, ENOMEM, "out of memory for MQTT");
    pthread_mutex_init(&link->lock, NULL);
    mosquitto_lib_init();
    link->host = strdup(options->host);
    link->alive = strdup(options->alive);
    link->port = options->port;
    link->told = told;
    link->context = context;
    link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    link->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    link->mosquitto = mosquitto_new(options->client, true, link);
    int r = 0;
    if (!link->host || !link->alive || link->wake_fd < 0 || link->told_fd < 0 || !link->mosquitto)
        r = pf_fail(err, ENOMEM, "out of memory for MQTT");
    if (!r)
        r = set_options(link->mosquitto, options, err);
    if (!r) {
        link->told_event = event_new(base, link->told_fd, EV_READ | EV_PERSIST, on_told, link);
        if (!link->told_event || event_add(link->told_event, NULL) < 0)
            r = pf_fail(err, ENOMEM, "out of memory for MQTT");
    }
    if (!r && (r = -pthread_create(&link->thread, NULL, work, link)) < 0)
        pf_fail_errno(err, -r, "a thread for MQTT");
    if (r < 0) {
        if (link->told_event)
            event_free(link->told_event);
        dispose(link);
        return r;
    }
    pthread_setname_np(link->thread, "mqtt");
    *ret = link;
    return 0;
}

struct pf_mqtt_link *pf_mqtt_link_free(struct pf_mqtt_link *link)
{
    struct timespec until;
    if (!link)
        return NULL;
    pthread_mutex_lock(&link->lock);
    link->stopping = true;
    pthread_mutex_unlock(&link->lock);
    eventfd_write(link->wake_fd, 1);
    event_free(link->told_event);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += JOIN_S;
    /* A name server that does not answer: the thread keeps what it uses. */
    if (pthread_timedjoin_np(link->thread, NULL, &until) == 0)
        dispose(link);
    else
        pthread_detach(link->thread);
    return NULL;
}

int pf_mqtt_link_set(struct pf_mqtt_link *link, const char *topic, const char *value)
{
    int r = 0;
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    pthread_mutex_lock(&link->lock);
    struct topic *found = NULL;
    for (size_t i = 0; i < link->count && !found; i++)
        if (!strcmp(link->topics[i].name, topic))
            found = &link->topics[i];
    if (!found) {
        char *name = strdup(topic);
        struct topic *grown =
            name ? pf_with_room(link->topics, &link->capacity, link->count, 1, sizeof(*grown))
                 : NULL;
        if (grown) {
            link->topics = grown;
            found = &link->topics[link->count++];
            *found = (struct topic){.name = name};
        } else {
            free(name);
            r = -ENOMEM;
        }
    }
    if (found && (!found->value || strcmp(found->value, copy) != 0)) {
        free(found->value);
        found->value = copy;
        found->dirty = true;
        copy = NULL;
    }
    pthread_mutex_unlock(&link->lock);
    eventfd_write(link->wake_fd, 1);
    free(copy);
    return r;
}

int pf_mqtt_address(const char *text, int default_port, char *host, size_t size, int *ret_port)
{
    bool bracket = *text == '[';
    const char *from = text + bracket;
    const char *end = bracket ? strchr(from, ']') : from + strcspn(from, ":");
    if (!end || end == from || (size_t)(end - from) >= size)
        return -EINVAL;
    const char *rest = end + bracket;
    /* More than one colon, without brackets: an address of IPv6 and no port. */
    if (!bracket && *rest && strchr(rest + 1, ':'))
        rest = end = from + strlen(from);
    if ((size_t)(end - from) >= size)
        return -EINVAL;
    *ret_port = default_port;
    if (*rest) {
        char *behind = NULL;
        long port =
            *rest == ':' && rest[1] >= '0' && rest[1] <= '9' ? strtol(rest + 1, &behind, 10) : 0;
        if (port < 1 || port > 65535 || *behind)
            return -EINVAL;
        *ret_port = (int)port;
    }
    memcpy(host, from, (size_t)(end - from));
    host[end - from] = '\0';
    return 0;
}
