/* Clients of the HTTP interface, many at once, for tests/bench/http.sh:
 *
 *     http_load SOCKET LISTENERS SILENT IDLE SECONDS
 *
 * LISTENERS read events, SILENT ask for events and never read, IDLE connect and say nothing. After SECONDS
 * it prints, tab-separated: events that each listener had (least, most), the delay from an event's
 * `at_ms` to its being read here (mean, 99 %, most; ms), and how many connections were lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TAIL 4096

struct client {
    int fd;
    char tail[TAIL]; /* of the line that is being read */
    size_t count;
    long events;
};

static double *delays;
static size_t delay_count, delay_capacity;

static double wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int connect_to(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static int ask_for_events(const char *path)
{
    static const char ask[] = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = connect_to(path);
    if (write(fd, ask, sizeof(ask) - 1) != sizeof(ask) - 1)
        exit(1);
    return fd;
}

static void keep_delay(double delay_ms)
{
    if (delay_count == delay_capacity) {
        delay_capacity = delay_capacity ? 2 * delay_capacity : 4096;
        delays = realloc(delays, delay_capacity * sizeof(*delays));
        if (!delays)
            exit(1);
    }
    delays[delay_count++] = delay_ms;
}

/* `at_ms` is the last key of every event. */
static void take_line(struct client *client, double now_ms)
{
    const char *at = NULL;
    for (const char *next = client->tail; (next = strstr(next, "\"at_ms\":")); next++)
        at = next + 8;
    if (at) {
        client->events++;
        keep_delay(now_ms - strtod(at, NULL));
    }
}

static bool hear(struct client *client)
{
    char bytes[65536];
    ssize_t n = read(client->fd, bytes, sizeof(bytes));
    double now_ms = wall_ms();
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            client->tail[client->count] = '\0';
            take_line(client, now_ms);
            client->count = 0;
            continue;
        }
        if (client->count == TAIL - 1) { /* the end of a long line matters */
            memmove(client->tail, client->tail + TAIL / 2, TAIL / 2 - 1);
            client->count = TAIL / 2 - 1;
        }
        client->tail[client->count++] = bytes[i];
    }
    return n > 0;
}

static int by_value(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: http_load SOCKET LISTENERS SILENT IDLE SECONDS\n");
        return 2;
    }
    int listeners = atoi(argv[2]), silent = atoi(argv[3]), idle = atoi(argv[4]), lost = 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct client *clients = calloc((size_t)listeners + 1, sizeof(*clients));
    struct pollfd *polls = calloc((size_t)listeners + 1, sizeof(*polls));
    int *others = calloc((size_t)(silent + idle) + 1, sizeof(*others));
    if (!clients || !polls || !others)
        return 1;
    for (int i = 0; i < listeners; i++) {
        clients[i].fd = ask_for_events(argv[1]);
        polls[i] = (struct pollfd){clients[i].fd, POLLIN, 0};
    }
    for (int i = 0; i < silent + idle; i++)
        others[i] = i < silent ? ask_for_events(argv[1]) : connect_to(argv[1]);
    double until_ms = wall_ms() + strtod(argv[5], NULL) * 1e3;
    while (wall_ms() < until_ms) {
        if (poll(polls, (nfds_t)listeners, 100) <= 0)
            continue;
        for (int i = 0; i < listeners; i++)
            if (polls[i].revents && !hear(&clients[i])) {
                polls[i].fd = -1;
                lost++;
            }
    }
    for (int i = silent; i < silent + idle; i++) {
        char byte;
        lost += recv(others[i], &byte, 1, MSG_DONTWAIT) == 0;
    }
    long least = listeners ? clients[0].events : 0, most = least;
    double sum = 0;
    for (int i = 0; i < listeners; i++) {
        least = clients[i].events < least ? clients[i].events : least;
        most = clients[i].events > most ? clients[i].events : most;
    }
    if (delay_count)
        qsort(delays, delay_count, sizeof(*delays), by_value);
    for (size_t i = 0; i < delay_count; i++)
        sum += delays[i];
    printf("%ld\t%ld\t%.1f\t%.1f\t%.1f\t%d\n", least, most,
           delay_count ? sum / (double)delay_count : 0,
           delay_count ? delays[delay_count * 99 / 100] : 0,
           delay_count ? delays[delay_count - 1] : 0, lost);
    return 0;
}
