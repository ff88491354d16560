/* The doctor's look at paths: sources with their watches, outbox, state, scratch. Each path is examined by a
 * child, because a mount whose server is gone blocks whoever touches it, kill -9 included. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gphoto2/gphoto2-version.h>
#include <gphoto2/gphoto2.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "capture/mounts.h"
#include "config/base/file.h"
#include "config/base/mount.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "service/doctor_report.h"
#include "service/journal.h"
#include "service/outbox_mount.h"

enum { COUNT_MS = 2000 };

/* Takes the remedy. */
static void add_mended(struct pf_report *report, enum pf_finding finding,
                       const struct pf_doctor_place *place, char *remedy, const char *trouble)
{
    pf_report_add(report, finding, place->check, remedy, "%s: %s", place->path, trouble);
    free(remedy);
}

/* Creates and removes a file: what permissions, read-only mounts and quotas come to. 0, -errno. */
static int probe_writing(const char *directory)
{
    char *path = pf_path_join(directory, ".parfocal-doctor-XXXXXX");
    if (!path)
        return -ENOMEM;
    int fd = mkostemp(path, O_CLOEXEC), r = fd < 0 ? -errno : 0;
    if (fd >= 0 && write(fd, "x", 1) < 0)
        r = -errno;
    if (fd >= 0) {
        unlink(path);
        close(fd);
    }
    free(path);
    return r;
}

/* Heap. What fills a disk is only the user's to know; of what is ours, the caches have a bound. */
static char *remedy_of_space(const struct pf_report *report, const struct pf_doctor_place *place,
                             const char *part, int code)
{
    const struct passwd *user = getpwuid(geteuid());
    if (code == -EDQUOT)
        return pf_text("edquota -u %s", user ? user->pw_name : "parfocal");
    if (strcmp(place->check, "state") == 0 &&
        place->settings->views + place->settings->thumbnails > 64) {
        /* What is off, or small, stays so. */
        bool more_views = place->settings->views > 32,
             more_thumbnails = place->settings->thumbnails > 32;
        char *views = more_views ? pf_doctor_set(report, "views", "32") : strdup(""),
             *thumbnails = more_thumbnails ? pf_doctor_set(report, "thumbnails", "32") : strdup(""),
             *both = NULL;
        const char *between = !more_views || !more_thumbnails ? "" : report->file ? " && " : " ";
        if (views && thumbnails)
            both = pf_text("%s%s%s # MiB of %s%s%s", views, between, thumbnails,
                           more_views ? "previews" : "", *between ? " and " : "",
                           more_thumbnails ? "thumbnails" : "");
        free(views);
        free(thumbnails);
        return both;
    }
    return pf_doctor_command_on("du -xhd1", part,
                                strcmp(place->check, "outbox") == 0
                                    ? " | sort -h # results that have been fetched may go: "
                                      "parfocal removes none"
                                : strcmp(place->check, "spool") == 0
                                    ? " | sort -h # what has been copied from here may go: "
                                      "parfocal removes nothing"
                                    : " | sort -h # or name a directory with more room");
}

/* Of the state's files the first that may not be written, static, with errno; NULL: all may. */
static const char *closed_file(const char *directory, const char *const *names)
{
    const char *closed = NULL;
    for (; *names && !closed; names++) {
        char *path = pf_path_join(directory, *names);
        if (path && access(path, R_OK | W_OK) < 0 && errno != ENOENT)
            closed = *names;
        free(path);
    }
    return closed;
}

/* Who has run parfocal as somebody else before has left files there that are not this user's. */
static bool state_is_foreign(struct pf_report *report, const struct pf_doctor_place *place)
{
    static const char *const names[] = {
        "lock", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "thumbnails", "views",
        NULL};
    const char *closed = closed_file(place->at, names);
    if (!closed)
        return false;
    int code = errno;
    char *remedy = pf_doctor_own(place, names), *path = pf_path_join(place->at, closed);
    const char *trouble = remedy ? "belongs to somebody else" : "cannot be written";
    if (!remedy && path)
        remedy = pf_doctor_command_on("ls -ld", path, "");
    pf_report_add(report, PF_FINDING_FAIL, place->check, remedy, "%s: %s %s: %s", place->path,
                  closed, trouble, strerror(code));
    free(path);
    free(remedy);
    return true;
}

static void examine_target(struct pf_report *report, const struct pf_doctor_place *place)
{
    const double little_mib = 2048, too_little_mib = 64; /* a 24 MP stack takes about 200 MiB */
    struct statvfs space;
    struct pf_mount mount = {0};
    struct stat st;
    char *part = pf_doctor_part(place->at);
    if (!part) {
        report->lost = true;
        return;
    }
    bool here = strcmp(part, place->at) == 0;
    /* Without scratch all works but what does not fit into memory. */
    enum pf_finding failing =
        strcmp(place->check, "scratch") == 0 ? PF_FINDING_WARN : PF_FINDING_FAIL;
    int r = stat(part, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? probe_writing(part) : -ENOTDIR;
    if (r < 0) {
        char *remedy = r == -ENOSPC || r == -EDQUOT ? remedy_of_space(report, place, part, r)
                                                    : pf_doctor_let_write(place, part, -r);
        char *name = here ? strdup(place->path) : pf_doctor_name(part);
        pf_report_add(report, failing, place->check, remedy, "%s: cannot write in %s: %s",
                      place->path, name ? name : part, strerror(-r));
        free(name);
        free(remedy);
        free(part);
        return;
    }
    if (here && strcmp(place->check, "state") == 0 && state_is_foreign(report, place)) {
        free(part);
        return;
    }
    double free_mib = 0;
    if (statvfs(part, &space) == 0)
        free_mib = (double)space.f_bavail * (double)space.f_frsize / 1048576;
    pf_mount_of(part, &mount, NULL);
    const char *refused = strcmp(place->check, "state") == 0
                              ? pf_journal_refuses(mount.magic, *mount.type ? mount.type : NULL)
                              : NULL;
    const char *type = *mount.type ? mount.type : "unknown file system";
    if (refused) {
        char *remedy = pf_doctor_set(report, "state", "/var/lib/parfocal/state");
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy,
                      "%s lies on %s, which does not keep the journal's promises", place->path,
                      refused);
        free(remedy);
    } else if (free_mib < little_mib) {
        char *remedy = remedy_of_space(report, place, part, -ENOSPC);
        pf_report_add(report, free_mib < too_little_mib ? failing : PF_FINDING_WARN, place->check,
                      remedy, "%s: %.0f MiB free (%s)", place->path, free_mib, type);
        free(remedy);
    } else
        pf_report_add(report, PF_FINDING_OK, place->check, NULL,
                      "%s: writable, %.1f GiB free (%s)%s", place->path, free_mib / 1024, type,
                      here ? "" : "; will be made");
    free(part);
}

/* As the service asks before it writes there, with root's eyes: its user may get there by the unit's binds alone. What
 * that one sees mounted by its unit is not what is mounted here. */
static void examine_outbox_mount(struct pf_report *report, const struct pf_doctor_place *place)
{
    const struct pf_doctor_service *service = report->service;
    const char *state = place->settings->state;
    struct pf_mount missed;
    struct pf_error err = {0};
    if (service && pf_doctor_service_moves(service, place->path))
        return;
    char *bound = service ? pf_doctor_service_bound(service, state, NULL) : NULL;
    char *note = pf_path_join(bound ? bound : state, "outbox-mount"), *remedy = NULL;
    if (pf_outbox_mount_missed(place->path, note, &missed) &&
        !(service && pf_doctor_service_moves(service, missed.point)) &&
        pf_outbox_mount_check(place->path, note, &err) < 0) {
        remedy = pf_doctor_command("mount", missed.point, "");
        pf_report_add(report, PF_FINDING_FAIL, place->check, remedy, "%s", err.text);
    }
    free(remedy);
    free(note);
    free(bound);
}

/* Folders under (and with) `path`, by the clock's leave: a large share is not worth the wait. */
static int count_folders(int parent_fd, const char *path, int64_t until_ms, bool *ret_whole)
{
    int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return 1;
    }
    int count = 1;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (pf_monotonic_ms() > until_ms) {
            *ret_whole = false;
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        struct stat st;
        bool folder = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN)
            folder =
                fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
        if (folder)
            count += count_folders(fd, entry->d_name, until_ms, ret_whole);
    }
    closedir(directory);
    return count;
}

static long limit_of_inotify(const char *name)
{
    char path[96], line[32] = "";
    snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
    FILE *file = fopen(path, "re");
    bool got = file && fgets(line, sizeof(line), file);
    if (file)
        fclose(file);
    return got ? atol(line) : -1;
}

static void examine_source(struct pf_report *report, const struct pf_doctor_place *place)
{
    const char *path = place->path;
    struct stat st;
    struct pf_mount mount = {0};
    if (stat(place->at, &st) < 0) {
        int code = errno;
        add_mended(report, PF_FINDING_FAIL, place, pf_doctor_let_read(place, code), strerror(code));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        add_mended(report, PF_FINDING_FAIL, place, pf_doctor_command_on("ls -ld", place->at, ""),
                   "is no folder");
        return;
    }
    int fd = open(place->at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || faccessat(AT_FDCWD, place->at, R_OK | X_OK, AT_EACCESS) < 0) {
        int code = errno;
        add_mended(report, PF_FINDING_FAIL, place, pf_doctor_let_read(place, code), strerror(code));
        if (fd >= 0)
            close(fd);
        return;
    }
    const char *blind = pf_mounts_blind(&(struct pf_mounts){0}, st.st_dev, fd);
    close(fd);
    pf_mount_of(place->at, &mount, NULL);
    const char *type = *mount.type ? mount.type : "unknown file system";
    bool polling =
        place->settings->poll == PF_POLL_ALWAYS || (place->settings->poll == PF_POLL_AUTO && blind);
    if (polling) {
        /* A share shows what its clients do to none of them: looking is all that there is. */
        bool slow = place->settings->poll == PF_POLL_AUTO && place->settings->poll_interval > 0.5;
        char *remedy = slow ? pf_doctor_set(report, "poll_interval", "0.5") : NULL;
        pf_report_add(report, slow ? PF_FINDING_WARN : PF_FINDING_OK, place->check, remedy,
                      "%s: readable (%s); polled every %g s, for inotify sees nothing there", path,
                      type, place->settings->poll_interval);
        free(remedy);
        return;
    }
    bool whole = true;
    int folders = place->settings->recursive
                      ? count_folders(AT_FDCWD, place->at, pf_monotonic_ms() + COUNT_MS, &whole)
                      : 1;
    long most = limit_of_inotify("max_user_watches");
    if (most >= 0 && folders > most / 2)
        pf_report_add(report, PF_FINDING_WARN, place->check,
                      "echo fs.inotify.max_user_watches=1048576 "
                      ">/etc/sysctl.d/61-parfocal-watches.conf && sysctl --system",
                      "%s: %d%s folders, and this user may watch %ld; beyond that it polls", path,
                      folders, whole ? "" : " or more", most);
    else if (blind) {
        char *remedy = pf_doctor_set(report, "poll", "auto");
        pf_report_add(report, PF_FINDING_WARN, place->check, remedy,
                      "%s: inotify does not see what others write on %s", path, type);
        free(remedy);
    } else
        pf_report_add(report, PF_FINDING_OK, place->check, NULL,
                      "%s: readable (%s); inotify, %d%s folder%s of %ld watches", path, type,
                      folders, whole ? "" : " or more", folders == 1 ? "" : "s", most);
}

/* In a child, since libgphoto2 asks the bus. */
static void examine_cameras(struct pf_report *report, const struct pf_doctor_place *place)
{
    GPContext *context = gp_context_new();
    CameraList *list;
    const char *model, *port, **version = gp_library_version(GP_VERSION_SHORT);
    pf_doctor_usb_cameras(report);
    bool new = context &&gp_list_new(&list) == GP_OK;
    int count = new ? gp_camera_autodetect(list, context) : GP_ERROR_NO_MEMORY;
    if (count < 0)
        pf_report_add(report, PF_FINDING_WARN, place->check, NULL,
                      "libgphoto2 %s cannot look for cameras: %s", version[0],
                      gp_result_as_string(count));
    else if (!count)
        pf_report_add(report, PF_FINDING_OK, place->check, NULL,
                      "none is connected by USB (libgphoto2 %s)", version[0]);
    for (int i = 0; i < count; i++) {
        gp_list_get_name(list, i, &model);
        gp_list_get_value(list, i, &port);
        pf_report_add(report, PF_FINDING_OK, place->check, NULL, "%s at %s (libgphoto2 %s)", model,
                      port, version[0]);
    }
    if (new)
        gp_list_free(list);
    gp_context_unref(context);
}

/* It is not made by anybody, and must not lie in memory itself, which it is there to spare. */
static void examine_scratch(struct pf_report *report, const struct pf_doctor_place *place)
{
    struct pf_mount mount = {0};
    struct stat st;
    if (stat(place->at, &st) < 0 && errno == ENOENT) {
        char *part = pf_doctor_part(place->at);
        add_mended(report, PF_FINDING_WARN, place,
                   part ? pf_doctor_let_write(place, part, EACCES) : NULL,
                   "is not there: bursts that need more memory than there is fail");
        free(part);
        return;
    }
    pf_mount_of(place->at, &mount, NULL);
    if (mount.magic == TMPFS_MAGIC || mount.magic == RAMFS_MAGIC) {
        char *remedy = pf_doctor_set(report, "scratch", "/var/tmp");
        pf_report_add(report, PF_FINDING_WARN, place->check, remedy,
                      "%s lies in memory itself (%s): bursts that need more than there is fail",
                      place->path, mount.type);
        free(remedy);
    } else
        examine_target(report, place);
}

/* What a source asks for lies in a file of its own, which is read later. */
static void watch_limits(struct pf_report *report)
{
    long instances = limit_of_inotify("max_user_instances"),
         watches = limit_of_inotify("max_user_watches"),
         events = limit_of_inotify("max_queued_events");
    if (watches < 0) {
        char *remedy = pf_doctor_set(report, "poll", "always");
        pf_report_add(report, PF_FINDING_WARN, "inotify", remedy,
                      "not in this kernel; folders are polled");
        free(remedy);
    } else if (watches < 8192 || instances < 16)
        pf_report_add(
            report, PF_FINDING_WARN, "inotify",
            "printf '%s\\n' fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=128 "
            ">/etc/sysctl.d/60-parfocal.conf && sysctl --system",
            "low limits: %ld watches, %ld instances, %ld queued events", watches, instances,
            events);
    else
        pf_report_add(report, PF_FINDING_OK, "inotify", NULL,
                      "%ld watches, %ld instances, %ld queued events", watches, instances, events);
}

/* What parfocal writes to. */
static void target(struct pf_report *report, const struct pf_settings *settings, const char *check,
                   const char *path)
{
    pf_doctor_in_child(
        report,
        &(struct pf_doctor_place){
            .check = check, .path = path, .settings = settings, .needs = PF_NEEDS_WRITE},
        strcmp(check, "scratch") == 0 ? examine_scratch : examine_target);
}

void pf_doctor_paths(struct pf_report *report, const struct pf_settings *settings)
{
    bool cameras = false;
    watch_limits(report);
    for (size_t i = 0; i < settings->source.count; i++) {
        const char *folder = pf_settings_folder(settings->source.items[i]);
        if (folder)
            pf_doctor_in_child(report,
                               &(struct pf_doctor_place){.check = "source",
                                                         .path = folder,
                                                         .settings = settings,
                                                         .needs = PF_NEEDS_READ},
                               examine_source);
        cameras |= !folder;
    }
    /* Root alone sees who holds a camera. */
    pf_doctor_in_child(
        report,
        &(struct pf_doctor_place){
            .check = "camera", .path = "cameras", .settings = settings, .as_caller = true},
        examine_cameras);
    if (cameras)
        target(report, settings, "spool", settings->spool);
    if (!settings->source.count)
        pf_report_add(report, PF_FINDING_OK, "source", NULL,
                      "none given here; `parfocal serve` wants --source folder:DIR "
                      "or --source camera");
    size_t before = json_array_size(report->findings);
    pf_doctor_in_child(
        report,
        &(struct pf_doctor_place){
            .check = "outbox", .path = settings->outbox, .settings = settings, .as_caller = true},
        examine_outbox_mount);
    if (json_array_size(report->findings) == before) /* what lies below the mount point is not it */
        target(report, settings, "outbox", settings->outbox);
    target(report, settings, "state", settings->state);
    if (*settings->scratch)
        target(report, settings, "scratch", settings->scratch);
}
