/* The doctor's look at the machine: processor, memory, GPU, programs, libraries, clock. */
#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/sandbox.h"
#include "service/doctor_report.h"

extern char **environ;

bool pf_doctor_first_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool got = file && fgets(line, (int)size, file);
    if (file)
        fclose(file);
    if (got)
        line[strcspn(line, "\n")] = '\0';
    return got;
}

int pf_doctor_run(const char *const argv[], char *output, size_t size)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    pid_t pid = -1;
    int spawned = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t used = 0;
    char rest[256];
    for (;;) {
        bool room = output && used + 1 < size;
        ssize_t n =
            read(ends[0], room ? output + used : rest, room ? size - 1 - used : sizeof(rest));
        if (n <= 0)
            break;
        used += room ? (size_t)n : 0;
    }
    if (output)
        output[used] = '\0';
    close(ends[0]);
    int status = 0;
    if (spawned != 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

static void processor(struct pf_report *report, const struct pf_settings *settings)
{
    cpu_set_t set;
    int here = (int)sysconf(_SC_NPROCESSORS_ONLN), may = here;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        may = CPU_COUNT(&set);
    if (settings->threads > may) {
        char *remedy = pf_doctor_set(report, "threads", "0");
        pf_report_add(report, PF_FINDING_WARN, "cores", remedy,
                      "%d of %d may be used, and %d threads are asked for", may, here,
                      (int)settings->threads);
        free(remedy);
    } else
        pf_report_add(report, PF_FINDING_OK, "cores", NULL, "%d of %d may be used", may, here);
}

static void memory(struct pf_report *report, const struct pf_settings *settings)
{
    /* Two open stacks of 24 MP are 870 MiB of the worker, one is 450; beside it, views and the page cache. */
    const double enough_mib = 1500;
    double total_mib = 0, available_mib = 0, limit_mib = 0;
    char line[256];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "MemTotal:", 9) == 0)
            total_mib = atof(line + 9) / 1024;
        else if (strncmp(line, "MemAvailable:", 13) == 0)
            available_mib = atof(line + 13) / 1024;
    }
    if (file)
        fclose(file);
    char note[96] = "";
    if (pf_doctor_first_line("/sys/fs/cgroup/memory.max", line, sizeof(line)) && atof(line) > 0) {
        limit_mib = atof(line) / 1048576;
        snprintf(note, sizeof(note), ", limited to %.0f MiB by its control group", limit_mib);
        if (limit_mib < available_mib)
            available_mib = limit_mib;
    }
    if (available_mib < enough_mib) {
        char *remedy = settings->open_stacks > 1 ? pf_doctor_set(report, "open_stacks", "1") : NULL;
        pf_report_add(
            report, PF_FINDING_WARN, "memory", remedy,
            "%.0f of %.0f MiB available%s; two open stacks of 24 MP need about 900, one 450",
            available_mib, total_mib, note);
        free(remedy);
    } else
        pf_report_add(report, PF_FINDING_OK, "memory", NULL, "%.0f of %.0f MiB available%s",
                      available_mib, total_mib, note);
}

static void programs(struct pf_report *report, const struct pf_settings *settings)
{
    bool needed = settings->align == PF_ALIGN_BSPLINE;
    const char *const elastix[] = {"elastix", "--version", NULL};
    char version[64] = "";
    if (pf_doctor_run(elastix, version, sizeof(version)) == 0) {
        version[strcspn(version, "\n")] = '\0';
        pf_report_add(report, PF_FINDING_OK, "elastix", NULL, "%s; --align bspline can use it",
                      version);
    } else {
        pf_report_add(report, needed ? PF_FINDING_FAIL : PF_FINDING_OK, "elastix",
                      needed ? "apt-get install --no-install-recommends elastix" : NULL,
                      needed ? "not installed, and --align bspline needs it"
                             : "not installed; only --align bspline needs it");
    }
}

static void libraries(struct pf_report *report)
{
    /* The first libevent of Debian 12 and of Ubuntu 22.04 lacks fixes that the security update has
     * (packaging/warn-libevent.sh); its HTTP server is in -extra. */
    static const char debian[] = "2.1.12-stable-8+deb12u1", ubuntu[] = "2.1.12-stable-1ubuntu0.2";
    char version[128] = "";
    const char *const query[] = {"dpkg-query",           "-W", "-f", "${Version}",
                                 "libevent-extra-2.1-7", NULL};
    bool known = pf_doctor_run(query, version, sizeof(version)) == 0;
    const char *fixed = strstr(version, "ubuntu") || strstr(version, "build") ? ubuntu : debian;
    const char *const older[] = {"dpkg", "--compare-versions", version, "lt", fixed, NULL};
    if (!known)
        pf_report_add(report, PF_FINDING_OK, "libevent", NULL, "%s", event_get_version());
    else if (pf_doctor_run(older, NULL, 0) == 0)
        pf_report_add(report, PF_FINDING_WARN, "libevent",
                      "apt-get update && apt-get install --only-upgrade libevent-core-2.1-7 "
                      "libevent-extra-2.1-7 libevent-pthreads-2.1-7",
                      "%s is older than %s, which has fixes", version, fixed);
    else
        pf_report_add(report, PF_FINDING_OK, "libevent", NULL, "%s", version);
}

static void sandbox(struct pf_report *report, const struct pf_settings *settings)
{
    struct pf_sandbox_probe probe;
    char words[160];
    pf_sandbox_probe(&probe);
    pf_sandbox_words(&probe, words, sizeof(words));
    if (!settings->sandbox) {
        char *remedy = pf_doctor_set(report, "sandbox", "yes");
        pf_report_add(
            report, PF_FINDING_WARN, "sandbox", remedy,
            "sandbox = no: a picture that takes over its decoder can do what this user can");
        free(remedy);
    } else if (!probe.seccomp)
        pf_report_add(report, PF_FINDING_WARN, "sandbox",
                      "let the container use seccomp and Landlock (docker: no --security-opt "
                      "seccomp= of its own)",
                      "of the children that read pictures: %s", words);
    else
        pf_report_add(report, PF_FINDING_OK, "sandbox", NULL,
                      "of the children that read pictures: %s", words);
}

void pf_doctor_machine(struct pf_report *report, const struct pf_settings *settings)
{
    processor(report, settings);
    memory(report, settings);
    pf_doctor_gpu(report, settings);
    programs(report, settings);
    libraries(report);
    sandbox(report, settings);
    pf_doctor_clock(report, settings);
}
