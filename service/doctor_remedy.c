/* The commands that mend what the doctor finds. They are made where the path was examined: by the user whom
 * it is to serve, and whose name they hold. None of them takes a directory away from whom it belongs to. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/mount.h"
#include "config/base/text.h"
#include "service/doctor_report.h"

/* Debian has it not from the start. */
#define SETFACL "apt-get install -y acl && setfacl"

#define OPEN "/proc/self/fd/"

/* 'it'\''s', or $'...' with control characters, which have no place on a terminal. */
char *pf_doctor_quoted(const char *text)
{
    char *quoted = malloc(4 * strlen(text) + 4), *to = quoted;
    bool plain = true;
    for (const char *at = text; *at; at++)
        plain &= !iscntrl((unsigned char)*at);
    if (!quoted)
        return NULL;
    to += sprintf(to, plain ? "'" : "$'");
    for (const char *at = text; *at; at++) {
        if (iscntrl((unsigned char)*at))
            to += sprintf(to, "\\x%02x", (unsigned char)*at);
        else if (*at == '\'')
            to += sprintf(to, plain ? "'\\''" : "\\'");
        else if (*at == '\\' && !plain)
            to += sprintf(to, "\\\\");
        else
            *to++ = *at;
    }
    strcpy(to, "'");
    return quoted;
}

char *pf_doctor_command(const char *before, const char *path, const char *after)
{
    char *quoted = pf_doctor_quoted(path);
    char *text = quoted ? pf_text("%s %s%s", before, quoted, after) : NULL;
    free(quoted);
    return text;
}

/* The key with something else for each '_'; heap. */
static char *spelt(const char *key, const char *underscore)
{
    char *name = malloc(strlen(key) * strlen(underscore) + 1), *to = name;
    for (; name && *key; key++) {
        if (*key == '_')
            to = stpcpy(to, underscore);
        else
            *to++ = *key;
    }
    if (name)
        *to = '\0';
    return name;
}

char *pf_doctor_set(const struct pf_report *report, const char *key, const char *value)
{
    const char *file = report->file;
    bool there = file && pf_settings_line(file, key) > 0;
    char *name = spelt(key, there ? "[-_]" : file ? "_" : "-"), *before = NULL, *text = NULL;
    if (name && !file)
        text = pf_text("--%s=%s", name, value);
    else if (name && there) /* as our reader takes it: a mark of UTF-8 before it, ':' for '=' */
        before =
            pf_text("sed -i -E 's|^(\\xef\\xbb\\xbf)?\\s*%s\\s*[=:].*|%s = %s|'", name, key, value);
    else if (name) /* its last line may lack its end */
        before = pf_text("printf '\\n%%s\\n' '%s = %s' >>", key, value);
    if (before)
        text = pf_doctor_command(before, file,
                                 report->service ? " && systemctl restart parfocal" : "");
    free(before);
    free(name);
    return text;
}

/* Of whom the path is examined for. */
static void own_names(char *user, char *group, size_t size)
{
    const struct passwd *is = getpwuid(geteuid());
    const struct group *in = getgrgid(getegid());
    snprintf(user, size, "%u", (unsigned)geteuid());
    snprintf(group, size, "%u", (unsigned)getegid());
    if (is)
        snprintf(user, size, "%s", is->pw_name);
    if (in)
        snprintf(group, size, "%s", in->gr_name);
}

char *pf_doctor_part(const char *path)
{
    char *part = strdup(path);
    struct stat st;
    while (part && stat(part, &st) < 0 && errno == ENOENT) {
        char *slash = strrchr(part, '/');
        if (!slash) {
            free(part);
            return strdup(".");
        }
        slash[slash == part] = '\0';
        if (slash == part)
            break;
    }
    return part;
}

/* Without links. Behind what is open already, the directories above that need not be gone through. NULL: none. */
static char *real_path(const char *at)
{
    char path[PATH_MAX] = "", link[64];
    char *real = realpath(at, NULL);
    int fd = real ? -1 : open(at, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return real;
    snprintf(link, sizeof(link), OPEN "%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    close(fd);
    return length > 0 && *path == '/' ? strdup(path) : NULL;
}

char *pf_doctor_name(const char *at)
{
    bool is_open = strncmp(at, OPEN, strlen(OPEN)) == 0;
    const char *number = at + strlen(OPEN), *rest = is_open ? strchr(number, '/') : NULL;
    char *opened = strndup(at, rest ? (size_t)(rest - at) : strlen(at));
    char *real = opened && is_open ? real_path(opened) : NULL, *name = NULL;
    if (real)
        name = rest ? pf_path_join(real, rest + 1) : strdup(real);
    free(real);
    free(opened);
    return name ? name : strdup(at);
}

char *pf_doctor_command_on(const char *before, const char *at, const char *after)
{
    char *name = pf_doctor_name(at), *text = name ? pf_doctor_command(before, name, after) : NULL;
    free(name);
    return text;
}

/* The first of the directories above it into which this user may not go, heap; NULL: there is none. */
static char *closed_above(const char *path)
{
    char *part = strdup(path);
    for (char *slash = part && *part ? strchr(part + 1, '/') : NULL; slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (access(part, X_OK) < 0 && errno == EACCES)
            return part;
        *slash = '/';
    }
    free(part);
    return NULL;
}

/* Rights in a directory as an entry in its list: those of everybody else, and its owner, stay. Where links lead
 * to it, it is named as what it is, so that nobody opens unawares what somebody has put a link to. */
static char *let_in(const char *path, const char *rights)
{
    char user[128], group[128], *real = real_path(path), *text = NULL;
    char *quoted = real ? pf_doctor_quoted(real) : NULL;
    if (!real)
        return pf_doctor_command_on("namei -l", path, "");
    own_names(user, group, sizeof(user));
    if (quoted)
        text = strcmp(rights, "x") == 0 /* of those above: nothing of what else is in them */
                   ? pf_text(SETFACL " -m u:%s:x %s", user, quoted)
                   : pf_text(SETFACL " %s-m u:%s:%s,d:u:%s:%s %s",
                             strcmp(rights, "rX") == 0 ? "-R " : "", user, rights, user, rights,
                             quoted);
    free(quoted);
    free(real);
    return text;
}

/* Makes a directory; part: what exists of its path. */
static char *make_own(const char *path, const char *part)
{
    char user[128], group[128], before[300], *real = real_path(part), *text = NULL;
    const char *rest = pf_path_beneath(path, part);
    char *whole = real ? pf_path_join(real, rest ? rest : path) : NULL;
    own_names(user, group, sizeof(user));
    snprintf(before, sizeof(before), "install -d -o %s -g %s", user, group);
    if (!real)
        text = pf_doctor_command_on("namei -l", path, "");
    else if (whole)
        text = pf_doctor_command(before, whole, "");
    free(whole);
    free(real);
    return text;
}

static bool is_own(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_uid == geteuid();
}

char *pf_doctor_let_read(const struct pf_doctor_place *place, int code)
{
    if (code == ENOENT)
        return pf_doctor_command_on("mkdir -p", place->at, "");
    if (code != EACCES)
        return pf_doctor_command_on("ls -ld", place->at, "");
    char *closed = closed_above(place->at), *text;
    if (closed)
        text = let_in(closed, "x");
    else if (is_own(place->at))
        text = pf_doctor_command_on("chmod u+rx", place->at, "");
    else
        text = let_in(place->at, "rX");
    free(closed);
    return text;
}

char *pf_doctor_let_write(const struct pf_doctor_place *place, const char *part, int code)
{
    struct pf_mount mount = {0};
    if (code == EROFS && pf_mount_of(part, &mount, NULL) == 0 && *mount.point)
        return pf_doctor_command("mount -o remount,rw", mount.point,
                                 " # or name another directory");
    if (code == EPERM)
        return pf_doctor_command_on("chattr -ia", part, "");
    if (code != EACCES)
        return pf_doctor_command_on("ls -ld", part, "");
    char *closed = closed_above(part), *text;
    if (closed)
        text = let_in(closed, "x");
    else if (strcmp(part, place->at) != 0)
        text = make_own(place->at, part);
    else if (is_own(part))
        text = pf_doctor_command_on("chmod u+rwx", part, "");
    else
        text = let_in(part, "rwx");
    free(closed);
    return text;
}

/* What a link leads to, its maker has chosen, who may be after what is not to be his; a second name of a file
 * is such a link too. */
static bool is_somebody_elses(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && st.st_uid != geteuid() &&
           (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1));
}

char *pf_doctor_own(const struct pf_doctor_place *place, const char *const *names)
{
    char user[128], group[128], *real = real_path(place->at), *text = NULL;
    own_names(user, group, sizeof(user));
    for (; real && *names; names++) {
        char *at = pf_path_join(place->at, *names), *path = pf_path_join(real, *names);
        /* -h: it may have become a link since. */
        char *before = text ? text : pf_text("chown -h %s:%s", user, group);
        if (at && path && before && is_somebody_elses(at))
            text = pf_doctor_command(before, path, "");
        if (before != text)
            free(before);
        free(path);
        free(at);
    }
    free(real);
    return text;
}
