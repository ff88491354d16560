/* The installed service as the doctor sees it: as whom it runs, which paths its unit shows it, and which addresses
 * it lets it reach. systemd is asked, which knows the drop-ins; where it does not answer, there is no service. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "config/base/words.h"
#include "service/doctor_report.h"
#include "service/networks.h"

#define UNIT    "parfocal.service"
#define DROP_IN "/etc/systemd/system/" UNIT ".d"

/* What the unit does to a path and all beneath it; source: systemd.exec(5). */
enum kind {
    WRITABLE,
    READ_ONLY,
    BOUND,           /* what is there for everybody, */
    BOUND_READ_ONLY, /* ... whatever else is said of the directories above it */
    PRIVATE,         /* another, empty directory in its place */
    EMPTY,           /* an empty one that cannot be written */
    CLOSED,          /* nothing beneath it can be opened again */
    CLOSED_HOME,     /* by ProtectHome=yes */
};

struct rule {
    enum kind kind;
    char *path;
    char *from; /* what is bound there; NULL: the path itself */
};

struct pf_doctor_service {
    char user[128], group[128], directory[4096], file[4096]; /* group "": the user's own */
    char absent[128]; /* the first of its groups that nothing knows */
    uid_t uid;
    gid_t gid;
    bool is_there, has_user;
    gid_t groups[64];
    int group_count;
    struct rule rules[256];
    size_t rule_count;
    struct pf_networks allowed, denied;
};

/* NULL: there are too many, or memory has run out. */
static struct rule *add_rule(struct pf_doctor_service *service, enum kind kind, const char *prefix,
                             const char *path)
{
    size_t most = sizeof(service->rules) / sizeof(*service->rules);
    char *copy = service->rule_count < most ? pf_text("%s%s", prefix, path) : NULL;
    if (!copy)
        return NULL;
    struct rule *rule = &service->rules[service->rule_count++];
    *rule = (struct rule){.kind = kind, .path = copy};
    return rule;
}

static void take_paths(struct pf_doctor_service *service, enum kind kind, const char *prefix,
                       const char *list)
{
    char **words = NULL;
    if (pf_words(list, &words, NULL) < 0)
        return;
    for (char **word = words; *word; word++) /* "-/path", "+/path" */
        add_rule(service, kind, prefix, *word + strspn(*word, "-+"));
    pf_words_free(words);
}

/* "/path:options -/from:/to:options". systemd does not quote these. */
static void take_mounts(struct pf_doctor_service *service, enum kind kind, const char *list)
{
    char *copy = strdup(list), *next;
    for (char *at = copy; at && *at; at = next) {
        next = at + strlen(at);
        for (char *blank = at; (blank = strchr(blank, ' ')); blank++)
            if (blank[1] == '/' || !strncmp(blank + 1, "-/", 2)) {
                *blank = '\0';
                next = blank + 1;
                break;
            }
        char *colon = strchr(at, ':'), *from = NULL;
        at += strspn(at, "-");
        if (colon && colon[1] == '/') {
            from = at;
            *colon = '\0';
            at = colon + 1;
        }
        at[strcspn(at, ":")] = '\0';
        struct rule *rule = add_rule(service, kind, "", at);
        if (rule && from && strcmp(from, at))
            rule->from = strdup(from);
    }
    free(copy);
}

static void take_each(struct pf_doctor_service *service, enum kind kind, const char *const *paths)
{
    for (; *paths; paths++)
        add_rule(service, kind, "", *paths);
}

/* A user or a group is named by its number as well; source: systemd.exec(5). */
static bool is_number(const char *name, unsigned *ret)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    *ret = (unsigned)number;
    return isdigit((unsigned char)*name) && !*end && number < UINT32_MAX;
}

/* NULL: there is none, and the unit does not start. */
static const struct group *group_of(struct pf_doctor_service *service, const char *name)
{
    unsigned number;
    const struct group *group = is_number(name, &number) ? getgrgid(number) : getgrnam(name);
    if (!group && !*service->absent)
        snprintf(service->absent, sizeof(service->absent), "%s", name);
    return group;
}

static void take_groups(struct pf_doctor_service *service, const char *list)
{
    char **words = NULL;
    if (pf_words(list, &words, NULL) < 0)
        return;
    for (char **word = words; *word && service->group_count < 16; word++) {
        const struct group *group = group_of(service, *word);
        if (group)
            service->groups[service->group_count++] = group->gr_gid;
    }
    pf_words_free(words);
}

static void take_property(struct pf_doctor_service *service, const char *key, const char *value)
{
    static const char *const homes[] = {"/home", "/root", "/run/user", NULL};
    static const char *const systems[] = {"/usr", "/boot", "/efi", NULL};
    static const char *const temporary[] = {"/tmp", "/var/tmp", NULL};
    static const struct {
        const char *key;
        enum kind kind;
        const char *prefix;
    } lists[] = {
        {"ReadWritePaths", WRITABLE, ""},
        {"ReadOnlyPaths", READ_ONLY, ""},
        {"InaccessiblePaths", CLOSED, ""},
        {"StateDirectory", WRITABLE, "/var/lib/"},
        {"CacheDirectory", WRITABLE, "/var/cache/"},
        {"LogsDirectory", WRITABLE, "/var/log/"},
        {"RuntimeDirectory", WRITABLE, "/run/"},
    };
    if (!strcmp(key, "LoadState"))
        service->is_there = !strcmp(value, "loaded");
    else if (!strcmp(key, "User"))
        snprintf(service->user, sizeof(service->user), "%s", value);
    else if (!strcmp(key, "Group"))
        snprintf(service->group, sizeof(service->group), "%s", value);
    else if (!strcmp(key, "SupplementaryGroups"))
        take_groups(service, value);
    else if (!strcmp(key, "WorkingDirectory"))
        snprintf(service->directory, sizeof(service->directory), "%s", value + strspn(value, "!-"));
    else if (!strcmp(key, "ExecStart") && strstr(value, " -c ")) {
        const char *file = strstr(value, " -c ") + 4;
        snprintf(service->file, sizeof(service->file), "%.*s", (int)strcspn(file, " "), file);
    } else if (!strcmp(key, "ProtectHome") && strcmp(value, "no"))
        take_each(service,
                  !strcmp(value, "tmpfs")       ? EMPTY
                  : !strcmp(value, "read-only") ? READ_ONLY
                                                : CLOSED_HOME,
                  homes);
    else if (!strcmp(key, "ProtectSystem") && strcmp(value, "no")) {
        take_each(service, READ_ONLY, systems);
        if (strcmp(value, "yes"))
            add_rule(service, READ_ONLY, "", strcmp(value, "full") ? "/" : "/etc");
    } else if (!strcmp(key, "PrivateTmp") && strcmp(value, "no"))
        take_each(service, PRIVATE, temporary);
    else if (!strcmp(key, "TemporaryFileSystem"))
        take_mounts(service, EMPTY, value);
    else if (!strcmp(key, "BindPaths"))
        take_mounts(service, BOUND, value);
    else if (!strcmp(key, "BindReadOnlyPaths"))
        take_mounts(service, BOUND_READ_ONLY, value);
    else if (!strcmp(key, "IPAddressAllow"))
        pf_networks_add(&service->allowed, value);
    else if (!strcmp(key, "IPAddressDeny"))
        pf_networks_add(&service->denied, value);
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        if (!strcmp(key, lists[i].key))
            take_paths(service, lists[i].kind, lists[i].prefix, value);
}

/* Whose groups it has, those of the unit before those of the user. The unit's group is in place of the user's own. */
static void find_user(struct pf_doctor_service *service)
{
    unsigned number;
    const struct passwd *is = !*service->user                     ? NULL
                              : is_number(service->user, &number) ? getpwuid(number)
                                                                  : getpwnam(service->user);
    const struct group *in = *service->group ? group_of(service, service->group) : NULL;
    int room = (int)(sizeof(service->groups) / sizeof(*service->groups)) - service->group_count;
    if (!is)
        return;
    snprintf(service->user, sizeof(service->user), "%s", is->pw_name);
    service->uid = is->pw_uid;
    service->gid = in ? in->gr_gid : is->pw_gid;
    service->has_user = true;
    if (getgrouplist(service->user, service->gid, service->groups + service->group_count, &room) >=
        0)
        service->group_count += room;
}

struct pf_doctor_service *pf_doctor_service_find(void)
{
    static const char *const show[] = {
        "systemctl",
        "show",
        "-p",
        "LoadState,User,Group,SupplementaryGroups,WorkingDirectory,ExecStart,ProtectHome,"
        "ProtectSystem,"
        "PrivateTmp,ReadWritePaths,ReadOnlyPaths,InaccessiblePaths,TemporaryFileSystem,BindPaths,"
        "BindReadOnlyPaths,StateDirectory,CacheDirectory,LogsDirectory,RuntimeDirectory,"
        "IPAddressAllow,IPAddressDeny",
        UNIT,
        NULL};
    enum { SIZE = 65536 };
    struct pf_doctor_service *service = calloc(1, sizeof(*service));
    char *said = malloc(SIZE), *save = NULL;
    if (service && said && pf_doctor_run(show, said, SIZE) == 0)
        for (char *line = strtok_r(said, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            char *equals = strchr(line, '=');
            if (!equals)
                continue;
            *equals = '\0';
            take_property(service, line, equals + 1);
        }
    free(said);
    if (!service || !service->is_there || !*service->file)
        return pf_doctor_service_free(service);
    find_user(service);
    return service;
}

struct pf_doctor_service *pf_doctor_service_free(struct pf_doctor_service *service)
{
    for (size_t i = 0; service && i < service->rule_count; i++) {
        free(service->rules[i].path);
        free(service->rules[i].from);
    }
    free(service);
    return NULL;
}

const char *pf_doctor_service_file(const struct pf_doctor_service *service)
{
    return service->file;
}

const char *pf_doctor_service_user(const struct pf_doctor_service *service)
{
    return service->has_user ? service->user : NULL;
}

const char *pf_doctor_service_absent_group(const struct pf_doctor_service *service)
{
    return *service->absent ? service->absent : NULL;
}

const char *pf_doctor_service_directory(const struct pf_doctor_service *service)
{
    return *service->directory ? service->directory : "/";
}

bool pf_doctor_service_become(const struct pf_doctor_service *service)
{
    return setgroups((size_t)service->group_count, service->groups) == 0 &&
           setgid(service->gid) == 0 && setuid(service->uid) == 0;
}

/* ---- what the unit shows ---- */

static bool is_bind(enum kind kind)
{
    return kind == BOUND || kind == BOUND_READ_ONLY;
}

/* The rule that counts for a path; NULL: none, all is as it is for everybody. */
static const struct rule *rule_of(const struct pf_doctor_service *service, const char *path)
{
    const struct rule *plain = NULL, *bound = NULL, *hidden = NULL;
    for (size_t i = 0; i < service->rule_count; i++) {
        const struct rule *rule = &service->rules[i];
        if (!pf_path_beneath(path, rule->path))
            continue;
        if (rule->kind == CLOSED || rule->kind == CLOSED_HOME)
            return rule;
        const struct rule **best = is_bind(rule->kind)                            ? &bound
                                   : rule->kind == PRIVATE || rule->kind == EMPTY ? &hidden
                                                                                  : &plain;
        if (!*best || strlen(rule->path) >= strlen((*best)->path))
            *best = rule;
    }
    /* What is not there is not opened by being writable. */
    if (hidden && (!bound || strlen(bound->path) < strlen(hidden->path)))
        return hidden;
    return !bound || (plain && strlen(plain->path) > strlen(bound->path)) ? plain : bound;
}

/* Without symbolic links, as far as it exists; heap. */
static char *resolved(const char *path)
{
    char *whole = realpath(path, NULL), *part = strdup(path), *slash;
    while (!whole && part && (slash = strrchr(part, '/')) && slash != part) {
        *slash = '\0';
        char *above = realpath(part, NULL);
        if (above)
            whole = pf_text("%s%s", strcmp(above, "/") ? above : "", path + (slash - part));
        free(above);
    }
    free(part);
    return whole ? whole : strdup(path);
}

/* NULL: nothing is bound there. */
static const struct rule *bind_of(const struct pf_doctor_service *service, const char *real)
{
    const struct rule *best = NULL;
    for (size_t i = 0; i < service->rule_count; i++) {
        const struct rule *rule = &service->rules[i];
        if (is_bind(rule->kind) && pf_path_beneath(real, rule->path) &&
            (!best || strlen(rule->path) >= strlen(best->path)))
            best = rule;
    }
    return best;
}

char *pf_doctor_service_bound(const struct pf_doctor_service *service, const char *path,
                              char **ret_source)
{
    char *real = resolved(path), *bound = NULL, *source = NULL;
    const struct rule *rule = real ? bind_of(service, real) : NULL;
    const char *rest = rule ? pf_path_beneath(real, rule->path) : NULL;
    if (rest) {
        source = strdup(rule->from ? rule->from : rule->path);
        bound = source && *rest ? pf_path_join(source, rest) : source ? strdup(source) : NULL;
    }
    free(real);
    if (bound && ret_source)
        *ret_source = source;
    else
        free(source);
    return bound;
}

char *pf_doctor_service_make(const struct pf_doctor_service *service, const char *path,
                             const char *after)
{
    char *before = pf_text("install -d -o %s -g %u", service->user, (unsigned)service->gid);
    char *make = before ? pf_doctor_command(before, path, after) : NULL;
    free(before);
    return make;
}

bool pf_doctor_service_moves(const struct pf_doctor_service *service, const char *path)
{
    char *real = resolved(path);
    const struct rule *bound = real ? bind_of(service, real) : NULL,
                      *rule = real ? rule_of(service, real) : NULL;
    bool moves = (bound && bound->from) || (rule && (rule->kind == PRIVATE || rule->kind == EMPTY));
    free(real);
    return moves;
}

/* As a word of a unit's list. */
static char *unit_word(const char *path, bool bind)
{
    char *word = malloc(2 * strlen(path) + 3), *to = word;
    bool quotes = strpbrk(path, " \t\"'\\") != NULL;
    if (!word)
        return NULL;
    if (quotes)
        *to++ = '"';
    for (; *path; path++) {
        if (*path == '%')
            *to++ = '%';
        else if (*path == '"' || *path == '\\' || (bind && *path == ':'))
            *to++ = '\\';
        *to++ = *path;
    }
    if (quotes)
        *to++ = '"';
    *to = '\0';
    return word;
}

/* The command that writes lines, quoted, into a file of the unit's drop-ins. */
static char *write_drop_in(const char *before, const char *lines, const char *file)
{
    return pf_text("%smkdir -p " DROP_IN " && printf '%%s\\n' '[Service]' %s >>" DROP_IN
                   "/%s && systemctl daemon-reload && systemctl restart parfocal",
                   before, lines, file);
}

/* What opens it. at: where it lies in the machine; missing: it is to be made there. */
static char *drop_in(const struct pf_doctor_service *service, const char *path, const char *at,
                     const struct rule *rule, bool write, bool missing)
{
    bool bind = rule->kind != READ_ONLY, moved = bind && strcmp(at, path) != 0;
    char *word = unit_word(path, bind), *from = unit_word(moved ? at : "", bind), *line = NULL,
         *quoted = NULL, *lines = NULL, *make = NULL, *text = NULL;
    if (word && from)
        line = pf_text("%s=%s%s%s",
                       !bind   ? "ReadWritePaths"
                       : write ? "BindPaths"
                               : "BindReadOnlyPaths",
                       from, moved ? ":" : "", word);
    if (line)
        quoted = pf_doctor_quoted(line);
    if (missing)
        make = pf_doctor_service_make(service, at, " && ");
    if (quoted)
        lines = pf_text("%s%s", rule->kind == CLOSED_HOME ? "ProtectHome=tmpfs " : "", quoted);
    if (lines)
        text = write_drop_in(make ? make : "", lines, "paths.conf");
    free(lines);
    free(make);
    free(quoted);
    free(line);
    free(from);
    free(word);
    return text;
}

bool pf_doctor_service_hides(struct pf_report *report, const struct pf_doctor_place *place,
                             const char *path)
{
    static const char *const words[] = {
        [READ_ONLY] = "may read it and not write",
        [BOUND_READ_ONLY] = "may read it and not write",
        [PRIVATE] = "has an empty directory of its own there (PrivateTmp)",
        [EMPTY] = "has an empty directory there",
        [CLOSED] = "may not look there (InaccessiblePaths)",
        [CLOSED_HOME] = "may not look there (ProtectHome)",
    };
    bool write = place->needs == PF_NEEDS_WRITE, own = !strcmp(place->check, "scratch");
    char *real = resolved(path),
         *bound = real ? pf_doctor_service_bound(report->service, real, NULL) : NULL;
    const char *at = bound ? bound : real;
    const struct rule *rule = real ? rule_of(report->service, real) : NULL;
    struct stat st;
    bool missing = at && lstat(at, &st) < 0 && errno == ENOENT;
    bool closed =
        rule && (rule->kind == PRIVATE                                      ? !own
                 : rule->kind == READ_ONLY || rule->kind == BOUND_READ_ONLY ? write
                                                                            : rule->kind >= EMPTY);
    /* What is not there is to be made first, and looked for by who sees that: the unit would not start with it. */
    if (closed && !(missing && !write)) {
        char *remedy = drop_in(report->service, real, at, rule, write, missing && write);
        pf_report_add(report, own ? PF_FINDING_WARN : PF_FINDING_FAIL, place->check, remedy,
                      "%s: the service's unit %s", path, words[rule->kind]);
        free(remedy);
    } else {
        closed = false;
    }
    free(bound);
    free(real);
    return closed;
}

/* ---- whom the unit lets it reach ---- */

bool pf_doctor_service_reaches(const struct pf_doctor_service *service,
                               const struct sockaddr *address)
{
    return pf_networks_have(&service->allowed, address) ||
           !pf_networks_have(&service->denied, address);
}

char *pf_doctor_service_let_reach(const char *addresses)
{
    char *line = pf_text("IPAddressAllow=%s", addresses);
    char *quoted = line ? pf_doctor_quoted(line) : NULL;
    char *text = quoted ? write_drop_in("", quoted, "network.conf") : NULL;
    free(quoted);
    free(line);
    return text;
}
