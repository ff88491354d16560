#include "service/outbox_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNSURE_MAX 1000 /* a share that fails for days; the oldest are dropped */

/* The names of one path may be several: of them one at the most lies there. */
struct pf_outbox_name {
    struct pf_outbox_name *next;
    bool is_removed; /* it was seen there, and is whole no longer */
    struct pf_identity sidecar;
    char path[];
};

int pf_outbox_identify(const char *directory, struct pf_identity *ret, struct pf_error *err)
{
    char *path = pf_path_join(directory, "stack.json");
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int r = fd < 0 || fstat(fd, &st) < 0 ? pf_fail_errno(err, errno, "%s", path) : 0;
    if (!r)
        r = S_ISREG(st.st_mode) ? pf_identity_of_fd(fd, ret, err)
                                : pf_fail(err, EINVAL, "%s is no file", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return r;
}

static struct pf_outbox_name **find(struct pf_outbox_name **unsure, const char *path)
{
    while (*unsure && strcmp((*unsure)->path, path) != 0)
        unsure = &(*unsure)->next;
    return unsure;
}

static void drop(struct pf_outbox_name **at)
{
    struct pf_outbox_name *name = *at;
    *at = name->next;
    free(name);
}

void pf_outbox_name_forget(struct pf_outbox_name **unsure, const char *path)
{
    while (*(unsure = find(unsure, path)))
        drop(unsure);
}

struct pf_outbox_name *pf_outbox_names_free(struct pf_outbox_name *unsure)
{
    while (unsure)
        drop(&unsure);
    return NULL;
}

static void remember(struct pf_outbox_name **unsure, const char *path,
                     const struct pf_identity *sidecar)
{
    size_t count = 1;
    struct pf_outbox_name *name = malloc(sizeof(*name) + strlen(path) + 1);
    if (!name)
        return;
    memcpy(name->path, path, strlen(path) + 1);
    name->is_removed = false;
    name->sidecar = *sidecar;
    name->next = *unsure;
    *unsure = name;
    while (*unsure && count++ <= UNSURE_MAX)
        unsure = &(*unsure)->next;
    while (*unsure)
        drop(unsure);
}

static bool is_same(const struct pf_identity *a, const struct pf_identity *b)
{
    return !strcmp(a->text, b->text);
}

/* By what identify says: there is nothing, or nothing that a worker has written. */
static bool has_no_sidecar(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EINVAL;
}

/* Nobody has been told of what an earlier attempt may have left under this name. Where nothing is seen there the
 * attempt stays remembered: a share's client may still go by what it knew before. */
static int clear(struct pf_outbox_name **unsure, const char *path, struct pf_error *err)
{
    struct pf_identity there;
    struct pf_error why = {0};
    struct stat st;
    struct pf_outbox_name *name = *find(unsure, path), *removed = NULL;
    if (!name)
        return 0;
    int seen = pf_outbox_identify(path, &there, &why);
    if (seen < 0 && !has_no_sidecar(seen)) {
        if (err)
            *err = why;
        return seen;
    }
    for (; name; name = *find(&name->next, path))
        if (seen == 0 ? is_same(&there, &name->sidecar) : name->is_removed)
            removed = name;
    if (removed) {
        removed->is_removed = true;
        int r = pf_remove_tree(path, err);
        if (r < 0)
            return r;
    } else if (seen < 0 && lstat(path, &st) < 0) {
        return errno == ENOENT ? 0 : pf_fail_errno(err, errno, "%s", path);
    }
    pf_outbox_name_forget(unsure, path);
    return 0;
}

int pf_outbox_name_take(struct pf_outbox_name **unsure, const char *partial, const char *path,
                        const struct pf_identity *sidecar, struct pf_error *err)
{
    int r = -EEXIST;
    bool is_contradictory = true; /* nothing is seen there, and yet it is taken */
    for (int i = 0; is_contradictory && i < 2; i++) {
        pf_error_clear(err);
        r = clear(unsure, path, err);
        if (r < 0)
            return r;
        r = pf_rename_new(partial, path, err);
        is_contradictory = r == -EEXIST && *find(unsure, path);
    }
    struct pf_identity there = {{0}};
    struct pf_error why = {0};
    int seen = r < 0 ? pf_outbox_identify(path, &there, &why) : 0;
    if (r < 0 && (seen < 0 || !is_same(&there, sidecar))) {
        bool is_strangers = r == -EEXIST && !is_contradictory &&
                            (seen == 0 || seen == -EACCES || has_no_sidecar(seen));
        if (!is_strangers)
            remember(unsure, path, sidecar);
        if (is_strangers || r != -EEXIST)
            return r;
        if (seen == 0) /* by now; the next attempt clears it, or knows whose it is */
            return pf_fail(err, ESTALE, "%s: was not seen, and is there", path);
        if (err)
            *err = why;
        return seen;
    }
    pf_error_clear(err);
    pf_outbox_name_forget(unsure, path);
    r = pf_sync_parent(path, err);
    if (r < 0 && rename(path, partial) < 0)
        remember(unsure, path, sidecar);
    return r;
}
