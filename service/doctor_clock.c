/* The doctor's look at the clock: whether it can be right, and whether anything keeps it so. */
#include <ctype.h>
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "config/base/file.h"
#include "service/doctor_report.h"

/* Of a day that began somewhere else, and of clocks that are being set. */
enum { SLACK_BUILT_S = 86400, SLACK_RECORDED_S = 60 };
#define FIFTY_YEARS_S (50 * 31556952LL)

/* The day on which this program was built, or of its sources where the build says so (SOURCE_DATE_EPOCH). */
static time_t built(void)
{
    static const char date[] = __DATE__, months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = {date[0], date[1], date[2]}; /* "Nov 28 2026" */
    const char *at = strstr(months, month);
    struct tm day = {.tm_year = atoi(date + 7) - 1900, .tm_mday = atoi(date + 4)};
    day.tm_mon = at ? (int)(at - months) / 3 : 0;
    return timegm(&day);
}

/* When parfocal last wrote its journal, by the clock of that time; 0: it has not. */
static time_t recorded(const char *state)
{
    static const char *const names[] = {"journal.sqlite", "journal.sqlite-wal", "lock", NULL};
    time_t newest = 0;
    for (const char *const *name = names; *name; name++) {
        struct stat st;
        char *path = pf_path_join(state, *name);
        if (path && stat(path, &st) == 0 && st.st_mtime > newest)
            newest = st.st_mtime;
        free(path);
    }
    return newest;
}

struct keeper {
    const char *unit;
    const char *process; /* as in /proc/PID/comm, which has 15 bytes of it */
    const char *ask;     /* what says how far it is */
};

/* The time-daemon packages of Debian: each takes the place of the one before. */
static const struct keeper keepers[] = {
    {"systemd-timesyncd", "systemd-timesyncd", "timedatectl timesync-status"},
    {"chrony", "chronyd", "chronyc tracking"},
    {"openntpd", "ntpd", "ntpctl -s all"},
    {"ntpsec", "ntpd", "ntpq -p"},
    {"ntp", "ntpd", "ntpq -p"},
};
enum { KEEPERS = sizeof(keepers) / sizeof(*keepers) };

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_installed(const struct keeper *keeper)
{
    char path[128];
    snprintf(path, sizeof(path), "/lib/systemd/system/%s.service", keeper->unit);
    return is_there(path);
}

/* Running or not; NULL: none is. */
static const struct keeper *find_installed(void)
{
    for (int i = 0; i < KEEPERS; i++)
        if (is_installed(&keepers[i]))
            return &keepers[i];
    return NULL;
}

/* NULL: none runs. */
static const struct keeper *find_running(void)
{
    const struct keeper *found = NULL;
    DIR *stream = opendir("/proc");
    struct dirent *entry;
    while (stream && !found && (entry = readdir(stream))) {
        char path[64], name[32];
        snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) ||
            !pf_doctor_first_line(path, name, sizeof(name)))
            continue;
        for (int i = 0; i < KEEPERS && !(found && is_installed(found)); i++)
            if (strncmp(name, keepers[i].process, 15) == 0)
                found = &keepers[i];
    }
    if (stream)
        closedir(stream);
    return found;
}

/* Elsewhere the clock is that of the machine around the container, and what keeps it is not to be seen. */
static bool is_ours_to_keep(void)
{
    return is_there("/run/systemd/system") && !is_there("/run/systemd/container");
}

/* The machine has a clock of its own, which has run while it was off: one without a battery begins at some day in
 * the past. It may have the time of the place. */
static bool has_own_clock(time_t now)
{
    glob_t clocks = {0};
    bool found = false;
    glob("/sys/class/rtc/rtc*/since_epoch", 0, NULL, &clocks);
    for (size_t i = 0; !found && i < clocks.gl_pathc; i++) {
        char line[32];
        found = pf_doctor_first_line(clocks.gl_pathv[i], line, sizeof(line)) &&
                llabs(atoll(line) - (long long)now) < SLACK_BUILT_S;
    }
    globfree(&clocks);
    return found;
}

/* How far it is, or what starts the one that is there. Another one would take its place. */
static void say_remedy(const struct keeper *running, char *ret, size_t size)
{
    const struct keeper *installed = find_installed();
    if (running)
        snprintf(ret, size, "%s", running->ask);
    else if (installed)
        snprintf(ret, size, "systemctl enable --now %s", installed->unit);
    else
        snprintf(ret, size,
                 "apt-get install -y --no-remove systemd-timesyncd && "
                 "timedatectl set-ntp true");
}

static void say_time(char *ret, size_t size, time_t when)
{
    struct tm local;
    localtime_r(&when, &local);
    strftime(ret, size, "%Y-%m-%d %H:%M:%S %z", &local);
}

static void examine_clock(struct pf_report *report, const struct pf_doctor_place *place)
{
    char text[64], other[64], remedy[128];
    struct timex state = {0};
    time_t now = time(NULL), newest = recorded(place->path);
    const struct keeper *keeper = find_running();
    bool kept = (adjtimex(&state) != TIME_ERROR && !(state.status & STA_UNSYNC)) ||
                is_there("/run/systemd/timesync/synchronized");
    say_remedy(keeper, remedy, sizeof(remedy));
    say_time(text, sizeof(text), now);
    if (now < built() - SLACK_BUILT_S || now > built() + FIFTY_YEARS_S) {
        say_time(other, sizeof(other), built());
        pf_report_add(report, PF_FINDING_WARN, "clock", remedy,
                      "%s cannot be right: this program is of %.10s; results would carry it", text,
                      other);
    } else if (newest > now + SLACK_RECORDED_S) {
        say_time(other, sizeof(other), newest);
        pf_report_add(report, PF_FINDING_WARN, "clock", remedy,
                      "%s cannot be right: parfocal has written its journal at %s", text, other);
    } else if (kept)
        pf_report_add(report, PF_FINDING_OK, "clock", NULL, "%s, kept right by the network", text);
    else if (!is_ours_to_keep())
        pf_report_add(report, PF_FINDING_OK, "clock", NULL,
                      "%s; nothing in this system keeps it right: in a container that is for the "
                      "machine around it",
                      text);
    else if (has_own_clock(now)) /* as without a network */
        pf_report_add(
            report, PF_FINDING_OK, "clock", NULL,
            "%s, by the machine's own clock%s%s%s (that both are ahead would not be seen)", text,
            keeper ? "; " : "", keeper ? keeper->process : "", keeper ? " has not set it" : "");
    else
        pf_report_add(report, PF_FINDING_WARN, "clock", remedy, "%s; %s%s%s", text,
                      keeper ? keeper->process : "nothing in this system keeps it right",
                      keeper ? " runs, and has not set it" : "",
                      ", and no other clock ran while the machine was off");
}

void pf_doctor_clock(struct pf_report *report, const struct pf_settings *settings)
{
    /* Of the journal's directory, which may hang. */
    pf_doctor_in_child(report, &(struct pf_doctor_place){"clock", settings->state, settings},
                       examine_clock);
}
