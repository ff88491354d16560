/* camera --files DIR --ports FILE [--profile NAME] [--serial S] [--steps N] [--focus N]
 *        [--clock SECONDS] [--log FILE]
 *
 * Writes "COMMAND EVENT CONTROL" (port numbers) into FILE when it is ready. --steps N: the focus,
 * driven by N steps a picture, chooses the picture; --focus N: where it is at first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/camera/camera.h"

enum {
    STALE_MS = 300,
    CHATTER_MS = 2,
};

void die(const char *what)
{
    perror(what);
    exit(1);
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int listen_on(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listening");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void accept_on(struct camera *camera, int listener, struct connection *link)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (link != &camera->control && camera->unplugged) {
        close(fd);
        return;
    }
    if (link == &camera->command)
        ptpip_hang_up(camera); /* a camera has one user: the newest */
    if (link->fd >= 0)
        close(link->fd);
    link->in.size = link->out.size = 0;
    *link = (struct connection){.fd = fd, .in = link->in, .out = link->out};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* False: the other side is gone. */
static bool receive(struct connection *link)
{
    char chunk[65536];
    ssize_t n;
    while ((n = read(link->fd, chunk, sizeof(chunk))) > 0)
        put(&link->in, chunk, (size_t)n);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* False: the link is to be dropped. */
static bool transmit(struct connection *link)
{
    if (link->held_until_ms > now_ms())
        return true;
    while (link->out.size) {
        size_t size = link->out.size;
        if (link->mark && link->mark_at - link->sent < size)
            size = (size_t)(link->mark_at - link->sent);
        ssize_t n = size ? write(link->fd, link->out.data, size) : 0;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        drop_front(&link->out, (size_t)n);
        link->sent += (uint64_t)n;
        if (link->mark && link->sent == link->mark_at) {
            enum mark_action action = link->mark;
            link->mark = MARK_NONE;
            if (action == MARK_DROP)
                return false;
            link->held_until_ms = now_ms() + link->hold_ms;
            return true;
        }
    }
    return true;
}

static void serve(struct camera *camera, struct connection *link, short revents)
{
    bool is_control = link == &camera->control, there = true;
    if (link->fd < 0)
        return;
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        there = receive(link);
        if (is_control)
            control_take(camera);
        else
            ptpip_take(camera, link == &camera->event);
    }
    if (link->fd >= 0 && there)
        there = transmit(link);
    if (there || link->fd < 0)
        return;
    if (!is_control) {
        ptpip_hang_up(camera);
        return;
    }
    close(link->fd);
    link->fd = -1;
}

/* An answer to a transaction long gone, at which libgphoto2 goes on waiting. */
static void stale(struct camera *camera)
{
    if (!camera->faults.hang || camera->command.fd < 0 || !camera->next_stale_ms ||
        camera->next_stale_ms > now_ms())
        return;
    camera->next_stale_ms = now_ms() + STALE_MS;
    ptpip_respond(camera, 0x2001, 0, NULL, 0);
}

static short wants(const struct connection *link)
{
    return link->out.size && link->held_until_ms <= now_ms() ? POLLIN | POLLOUT : POLLIN;
}

static void loop(struct camera *camera)
{
    struct connection *links[] = {&camera->command, &camera->event, &camera->control};
    int listeners[] = {camera->command_listener, camera->event_listener, camera->control_listener};
    for (;;) {
        struct pollfd fds[6];
        int64_t next_ms = card_deadline(camera), at_ms = now_ms();
        if (camera->command.held_until_ms > at_ms && camera->command.held_until_ms < next_ms)
            next_ms = camera->command.held_until_ms;
        if (camera->faults.hang && at_ms + STALE_MS < next_ms)
            next_ms = at_ms + STALE_MS;
        if (camera->chatters && at_ms + CHATTER_MS < next_ms)
            next_ms = at_ms + CHATTER_MS;
        for (int i = 0; i < 3; i++) {
            fds[i] = (struct pollfd){.fd = links[i]->fd, .events = wants(links[i])};
            fds[3 + i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
        }
        int wait_ms = next_ms == INT64_MAX ? -1 : next_ms <= at_ms ? 0 : (int)(next_ms - at_ms);
        if (poll(fds, 6, wait_ms) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < 3; i++)
            serve(camera, links[i], fds[i].fd == links[i]->fd ? fds[i].revents : 0);
        for (int i = 0; i < 3; i++)
            if (fds[3 + i].revents)
                accept_on(camera, listeners[i], links[i]);
        card_tick(camera);
        stale(camera);
        if (camera->chatters && !camera->event.out.size)
            ptpip_event(camera, EVENT_PROPERTY_CHANGED, PROPERTY_BATTERY);
        for (int i = 0; i < 3; i++)
            serve(camera, links[i], 0);
    }
}

static enum profile profile_of(const char *name)
{
    static const char *const names[] = {"generic",   "nikon", "canon", "olympus",
                                        "panasonic", "sony",  "fuji"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], name))
            return (enum profile)i;
    fprintf(stderr, "no profile %s\n", name);
    exit(2);
}

static void write_ports(const struct camera *camera, const char *path)
{
    char temporary[4096];
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    FILE *file = fopen(temporary, "w");
    if (!file)
        die(temporary);
    fprintf(file, "%d %d %d\n", camera->command_port, camera->event_port, camera->control_port);
    if (fclose(file) || rename(temporary, path) < 0)
        die(path);
}

int main(int argc, char **argv)
{
    static struct camera camera = {
        .serial = "PF-1", .model = "Test Camera", .battery = 80, .clock_s = 1767325445};
    const char *files = NULL, *ports = NULL, *log = "/dev/null";
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--files"))
            files = value;
        else if (!strcmp(argv[i], "--ports"))
            ports = value;
        else if (!strcmp(argv[i], "--serial"))
            camera.serial = value;
        else if (!strcmp(argv[i], "--model"))
            camera.model = value;
        else if (!strcmp(argv[i], "--clock"))
            camera.clock_s = atoll(value);
        else if (!strcmp(argv[i], "--steps"))
            camera.steps_per_file = atoi(value);
        else if (!strcmp(argv[i], "--focus"))
            camera.focus = atoi(value);
        else if (!strcmp(argv[i], "--log"))
            log = value;
        else if (!strcmp(argv[i], "--profile"))
            camera.profile = profile_of(value);
    }
    if (!files || !ports) {
        fprintf(stderr, "usage: camera --files DIR --ports FILE [OPTIONS]\n");
        return 2;
    }
    camera.log = fopen(log, "w");
    if (!camera.log)
        die(log);
    camera.command.fd = camera.event.fd = camera.control.fd = -1;
    card_begin(&camera, files);
    camera.command_listener = listen_on(&camera.command_port);
    camera.event_listener = listen_on(&camera.event_port);
    camera.control_listener = listen_on(&camera.control_port);
    write_ports(&camera, ports);
    loop(&camera);
}
