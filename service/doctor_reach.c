/* The doctor's look at whom the service tells: hooks and the MQTT broker. */
#include <curl/curl.h>
#include <errno.h>
#include <mosquitto.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "config/base/words.h"
#include "service/doctor_report.h"
#include "service/hooks.h"
#include "service/mqtt_link.h"
#include "service/signature.h"

/* Less than the doctor waits for its child. */
#define CONNECT_S 4

/* ---- addresses ---- */

/* NULL: it is known, the addresses are the caller's (freeaddrinfo); else why not (static). */
static const char *look_up(const char *host, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int code = getaddrinfo(host, NULL, &hints, ret);
    return !code ? NULL : code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
}

/* What the unit does not let the service reach of these is a finding: the doctor itself is not in that unit. */
static bool is_out_of_reach(struct pf_report *report, const char *check, const char *name,
                            const struct addrinfo *found)
{
    char *list = NULL, host[NI_MAXHOST];
    for (; report->service && found; found = found->ai_next) {
        if (pf_doctor_service_reaches(report->service, found->ai_addr) ||
            getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        char *more = pf_text("%s%s%s", list ? list : "", list ? " " : "", host);
        free(list);
        list = more;
    }
    if (!list)
        return false;
    char *let = pf_doctor_service_let_reach(list);
    char *remedy = let ? pf_text("%s # or any, where these change", let) : NULL;
    pf_report_add(report, PF_FINDING_WARN, check, remedy,
                  "%s is at %s, which the service's unit does not let it reach (IPAddressDeny)",
                  name, list);
    free(remedy);
    free(let);
    free(list);
    return true;
}

/* ---- hooks ---- */

/* A hook's address; what may be shown of it is. */
static void examine_address(struct pf_report *report, const struct pf_doctor_place *place)
{
    CURLU *url = curl_url();
    char *host = NULL, *shown = pf_hook_shown(place->path), *remedy = NULL;
    struct addrinfo *found = NULL;
    const char *why = "it is no address", *name = shown ? shown : place->check;
    if (url && curl_url_set(url, CURLUPART_URL, place->path, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        /* [::1] is known without its brackets. */
        size_t length = strlen(host);
        if (host[0] == '[' && host[length - 1] == ']') {
            host[length - 1] = '\0';
            memmove(host, host + 1, length - 1);
        }
        why = look_up(host, &found);
    }
    if (why)
        remedy = host ? pf_doctor_command("getent hosts", host,
                                          " # no line: mend it in the hook, or /etc/resolv.conf")
                      : pf_text("set %s to https://HOST/PATH", place->check);
    if (why)
        pf_report_add(report, PF_FINDING_WARN, place->check, remedy, "%s: %s", name, why);
    else if (!is_out_of_reach(report, place->check, name, found))
        pf_report_add(report, PF_FINDING_OK, place->check, NULL, "%s: %s is known", name, host);
    if (found)
        freeaddrinfo(found);
    free(remedy);
    free(shown);
    curl_free(host);
    curl_url_cleanup(url);
}

/* As execvp(3) finds it: heap, NULL when nothing of that name is there. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct stat st;
    errno = ENOENT;
    if (strchr(name, '/'))
        return stat(name, &st) == 0 ? strdup(name) : NULL;
    for (path = path ? path : "/bin:/usr/bin"; *path; path += strspn(path, ":")) {
        size_t length = strcspn(path, ":");
        char *full = pf_text("%.*s/%s", (int)length, path, name);
        if (full && stat(full, &st) == 0)
            return full;
        free(full);
        path += length;
    }
    errno = ENOENT;
    return NULL;
}

static void examine_program(struct pf_report *report, const struct pf_doctor_place *place)
{
    struct pf_error err = {0};
    char **words = NULL, *found = NULL, *remedy = NULL;
    struct stat st;
    if (pf_words(place->path, &words, &err) < 0) {
        pf_report_add(report, PF_FINDING_FAIL, place->check, "man 5 parfocal.conf", "%s: %s",
                      place->path, err.text);
        return;
    }
    bool is_path = strchr(words[0], '/') != NULL;
    char *whole = is_path ? pf_doctor_absolute(report, words[0]) : NULL;
    if (whole) {
        free(words[0]);
        words[0] = whole;
    }
    found = find_program(is_path ? place->at : words[0]);
    if (!found && errno == EACCES) {
        remedy = pf_doctor_let_read(place, EACCES);
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy,
                      "%s cannot be reached by this user", words[0]);
    } else if (!found) {
        remedy = is_path
                     ? pf_doctor_command_on("ls -l", place->at, "")
                     : pf_doctor_command("apt-get install", words[0], " # or name its whole path");
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy, "%s is not there", words[0]);
    } else if (stat(found, &st) < 0 || !S_ISREG(st.st_mode) || access(found, X_OK) < 0) {
        remedy = pf_doctor_command_on(S_ISREG(st.st_mode) ? "chmod a+rx" : "ls -ld", found, "");
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy,
                      "%s cannot be run by this user", is_path ? words[0] : found);
    } else {
        pf_report_add(report, PF_FINDING_OK, place->check, NULL, "%s can be run",
                      is_path ? words[0] : found);
    }
    free(remedy);
    free(found);
    pf_words_free(words);
}

static void hooks(struct pf_report *report, const struct pf_settings *settings, const char *check,
                  const struct pf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct pf_doctor_place place = {check, list->items[i], settings, true};
        if (pf_settings_is_url(place.path)) {
            pf_doctor_in_child(report, &place, examine_address);
        } else if (settings->hook_shell) {
            pf_report_add(report, PF_FINDING_OK, check, NULL, "%s: for the shell to say",
                          place.path);
        } else {
            char **words = NULL, *program = NULL;
            place.far = false;
            if (pf_words(place.path, &words, NULL) == 0 && strchr(words[0], '/'))
                program = pf_doctor_absolute(report, words[0]);
            if (program) {
                place.at = program;
                place.needs = PF_NEEDS_READ;
            }
            pf_doctor_in_child(report, &place, examine_program);
            free(program);
            pf_words_free(words);
        }
    }
}

/* ---- the broker ---- */

struct answer {
    bool given;
    int code;
};

static void on_connect(struct mosquitto *mosquitto, void *context, int code)
{
    struct answer *answer = context;
    (void)mosquitto;
    *answer = (struct answer){true, code};
}

/* How it lets us in, with an id of our own: the service's connection is left alone. */
static int shake_hands(const struct pf_settings *settings, const char *host, int port,
                       const char *password, struct answer *answer)
{
    char id[48];
    snprintf(id, sizeof(id), "parfocal-doctor-%ld", (long)getpid());
    struct mosquitto *mosquitto = mosquitto_new(id, true, answer);
    time_t until = time(NULL) + CONNECT_S;
    if (!mosquitto)
        return MOSQ_ERR_NOMEM;
    mosquitto_connect_callback_set(mosquitto, on_connect);
    int r = 0;
    if (*settings->mqtt_user)
        r = mosquitto_username_pw_set(mosquitto, settings->mqtt_user, *password ? password : NULL);
    if (!r && settings->mqtt_tls) {
        const char *file = *settings->mqtt_ca_file ? settings->mqtt_ca_file : NULL;
        r = mosquitto_tls_set(mosquitto, file, file ? NULL : "/etc/ssl/certs", NULL, NULL, NULL);
    }
    if (!r)
        r = mosquitto_connect(mosquitto, host, port, 10);
    while (!r && !answer->given && time(NULL) <= until)
        r = mosquitto_loop(mosquitto, 200, 1);
    if (answer->given)
        r = 0;
    int code = errno;
    mosquitto_disconnect(mosquitto);
    mosquitto_destroy(mosquitto);
    errno = code;
    return r;
}

static void examine_broker(struct pf_report *report, const struct pf_doctor_place *place)
{
    const struct pf_settings *settings = place->settings;
    char host[256], password[PF_SECRET_FILE_BYTES + 1] = "", *remedy = NULL;
    struct pf_error err = {0};
    struct answer answer = {0};
    struct addrinfo *found = NULL;
    int port = 0;
    if (pf_mqtt_address(place->path, settings->mqtt_tls ? 8883 : 1883, host, sizeof(host), &port) <
        0) {
        pf_report_add(report, PF_FINDING_FAIL, place->check, "set mqtt = HOST:PORT",
                      "%s is no address", place->path);
        return;
    }
    if (!look_up(host, &found)) {
        bool blocked = is_out_of_reach(report, place->check, place->path, found);
        freeaddrinfo(found);
        if (blocked)
            return;
    }
    if (*settings->mqtt_password_file &&
        pf_secret_text_of_file(settings->mqtt_password_file, password, &err) < 0) {
        remedy = pf_doctor_command("ls -l", settings->mqtt_password_file, "");
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy, "%s", err.text);
        free(remedy);
        return;
    }
    mosquitto_lib_init();
    int r = shake_hands(settings, host, port, password, &answer);
    int code = errno;
    explicit_bzero(password, sizeof(password));
    if (answer.given && answer.code) { /* MQTT 3.1.1, section 3.2.2.3 */
        bool login = answer.code == 4 || answer.code == 5;
        remedy =
            login ? pf_doctor_command("mosquitto_passwd /etc/mosquitto/passwd",
                                      *settings->mqtt_user ? settings->mqtt_user : "USER",
                                      " # at the broker; or mend mqtt_user and mqtt_password_file")
                  : pf_text("journalctl -u mosquitto # at the broker");
        pf_report_add(report, PF_FINDING_WARN, place->check, remedy, "%s:%d: %s", host, port,
                      mosquitto_connack_string(answer.code));
    } else if (!answer.given) {
        remedy = r == MOSQ_ERR_EAI
                     ? pf_doctor_command("getent hosts", host, " # no line: mend it in mqtt")
                 : r == MOSQ_ERR_TLS
                     ? pf_text("openssl s_client -connect '%s:%d' # or mend mqtt_tls, "
                               "mqtt_ca_file",
                               host, port)
                     : pf_text("systemctl start mosquitto # at %s", host);
        pf_report_add(report, PF_FINDING_WARN, place->check, remedy, "%s:%d: %s", host, port,
                      !r                    ? "it does not answer"
                      : r == MOSQ_ERR_ERRNO ? strerror(code)
                                            : mosquitto_strerror(r));
    } else {
        pf_report_add(report, PF_FINDING_OK, place->check, NULL, "%s:%d lets us in", host, port);
    }
    free(remedy);
    mosquitto_lib_cleanup();
}

void pf_doctor_reach(struct pf_report *report, const struct pf_settings *settings)
{
    hooks(report, settings, "on_burst", &settings->on_burst);
    hooks(report, settings, "on_failure", &settings->on_failure);
    hooks(report, settings, "on_stop", &settings->on_stop);
    if (*settings->mqtt)
        pf_doctor_in_child(report,
                           &(struct pf_doctor_place){"mqtt", settings->mqtt, settings, true},
                           examine_broker);
}
