#include "capture/card.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <xxhash.h>

#include "config/base/file.h"
#include "config/base/text.h"

#define TIME_MAX 253402300000 /* the year 9999 */

enum {
    BUCKETS = 4096,
    TIME_CHARS = 15,                  /* 20260102-034405 */
    NAME_AT = TIME_CHARS + 1 + 8 + 1, /* of the camera's own name within ours */
};

struct entry {
    struct entry *next;
    uint64_t key; /* camera, folder and stem */
    uint64_t camera;
    int64_t time_s, size_bytes;
    bool recorded, in_memory;
    char name[]; /* in the spool */
};

struct pf_card {
    struct entry *buckets[BUCKETS];
};

int pf_card_new(struct pf_card **ret)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : -ENOMEM;
}

struct pf_card *pf_card_free(struct pf_card *card)
{
    for (size_t i = 0; card && i < BUCKETS; i++)
        for (struct entry *entry = card->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    free(card);
    return NULL;
}

static size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

static uint64_t key_of(const char *camera, size_t camera_length, uint32_t folder, const char *stem,
                       size_t stem_length)
{
    uint64_t key = XXH3_64bits_withSeed(camera, camera_length, folder);
    return XXH3_64bits_withSeed(stem, stem_length, key);
}

void pf_card_tame(char *name)
{
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._-", *at))
            *at = '_';
}

static char *tame(const char *name)
{
    char *tamed = strdup(name);
    if (tamed)
        pf_card_tame(tamed);
    return tamed;
}

static uint32_t folder_hash(const char *folder)
{
    return XXH32(folder, strlen(folder), 0);
}

static bool parse(const char *path, struct entry *entry)
{
    const char *name = pf_base_name(path), *end = name - 1, *camera = end;
    struct tm tm = {0};
    uint32_t folder;
    if (name == path || strlen(name) <= NAME_AT)
        return false;
    while (camera > path && camera[-1] != '/')
        camera--;
    const char *rest = strptime(name, "%Y%m%d-%H%M%S", &tm);
    int used = 0;
    if (rest != name + TIME_CHARS || sscanf(rest, "-%8x-%n", &folder, &used) != 1 ||
        rest + used != name + NAME_AT)
        return false;
    entry->time_s = timegm(&tm);
    entry->in_memory = folder == folder_hash("/");
    entry->camera = XXH3_64bits(camera, (size_t)(end - camera));
    entry->key =
        key_of(camera, (size_t)(end - camera), folder, name + NAME_AT, stem_length(name + NAME_AT));
    return true;
}

int pf_card_note(struct pf_card *card, const char *path, int64_t size_bytes, bool recorded)
{
    struct entry probe;
    if (!parse(path, &probe))
        return 0;
    const char *name = pf_base_name(path);
    struct entry *entry = card->buckets[probe.key % BUCKETS];
    while (entry && (entry->key != probe.key || entry->size_bytes != size_bytes ||
                     strcmp(entry->name, name) != 0))
        entry = entry->next;
    if (entry) { /* a camera that comes back is noted again */
        entry->recorded |= recorded;
        return 0;
    }
    entry = malloc(sizeof(*entry) + strlen(name) + 1);
    if (!entry)
        return -ENOMEM;
    *entry = (struct entry){.next = card->buckets[probe.key % BUCKETS],
                            .key = probe.key,
                            .camera = probe.camera,
                            .time_s = probe.time_s,
                            .size_bytes = size_bytes,
                            .recorded = recorded,
                            .in_memory = probe.in_memory};
    strcpy(entry->name, name);
    card->buckets[probe.key % BUCKETS] = entry;
    return 0;
}

void pf_card_record(struct pf_card *card, const char *path)
{
    struct entry probe;
    if (!parse(path, &probe))
        return;
    for (struct entry *entry = card->buckets[probe.key % BUCKETS]; entry; entry = entry->next)
        if (entry->key == probe.key && !strcmp(entry->name, pf_base_name(path)))
            entry->recorded = true;
}

bool pf_card_has(const struct pf_card *card, const char *path)
{
    struct entry probe;
    if (!parse(path, &probe))
        return false;
    for (const struct entry *entry = card->buckets[probe.key % BUCKETS]; entry; entry = entry->next)
        if (entry->key == probe.key && !strcmp(entry->name, pf_base_name(path)))
            return true;
    return false;
}

bool pf_card_has_camera(const struct pf_card *card, const char *camera)
{
    uint64_t hash = XXH3_64bits(camera, strlen(camera));
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct entry *entry = card->buckets[i]; entry; entry = entry->next)
            if (entry->camera == hash && entry->size_bytes >= 0)
                return true;
    return false;
}

int64_t pf_card_newest(const struct pf_card *card, const char *camera)
{
    uint64_t hash = XXH3_64bits(camera, strlen(camera));
    int64_t newest_s = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct entry *entry = card->buckets[i]; entry; entry = entry->next)
            if (entry->camera == hash && entry->size_bytes >= 0 && !entry->in_memory &&
                entry->time_s > newest_s)
                newest_s = entry->time_s;
    return newest_s;
}

/* The entries of the file's shot, one after the other; `name` is the file's, tamed. */
static const struct entry *next_of_shot(const struct pf_card *card, const struct pf_card_file *file,
                                        const char *name, const struct entry *last)
{
    uint64_t key = key_of(file->camera, strlen(file->camera), folder_hash(file->folder), name,
                          stem_length(name));
    for (last = last ? last->next : card->buckets[key % BUCKETS]; last; last = last->next)
        if (last->key == key && llabs(last->time_s - file->time_s) <= PF_CARD_TIME_SLACK_S)
            return last;
    return NULL;
}

enum pf_card_answer pf_card_knows(const struct pf_card *card, const struct pf_card_file *file)
{
    char *name = tame(file->name);
    enum pf_card_answer answer = PF_CARD_NEW;
    for (const struct entry *at = NULL; name && answer != PF_CARD_RECORDED;) {
        at = next_of_shot(card, file, name, at);
        if (!at)
            break;
        if (strcmp(at->name + NAME_AT, name) != 0)
            continue;
        if (at->size_bytes < 0)
            answer = PF_CARD_BEFORE;
        else if (at->size_bytes == file->size_bytes)
            answer = at->recorded ? PF_CARD_RECORDED : PF_CARD_KNOWN;
    }
    free(name);
    return answer;
}

const char *pf_card_match(const struct pf_card *card, const struct pf_card_file *file,
                          size_t number)
{
    char *name = tame(file->name);
    const struct entry *at = NULL;
    while (name && (at = next_of_shot(card, file, name, at)))
        if (!strcmp(at->name + NAME_AT, name) && at->size_bytes == file->size_bytes && !number--)
            break;
    free(name);
    return at ? at->name : NULL;
}

char *pf_card_name(const struct pf_card *card, const struct pf_card_file *file)
{
    char *name = tame(file->name), *path = NULL, stamp[32];
    const struct entry *partner = name ? next_of_shot(card, file, name, NULL) : NULL;
    time_t time = partner ? partner->time_s : file->time_s;
    if (time < 0 || time > TIME_MAX)
        time = 0;
    /* Another content under the same name and time: its time is told a little later. */
    for (; name; time++) {
        struct tm tm;
        gmtime_r(&time, &tm);
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
        free(path);
        path = pf_text("%s/%s-%08x-%s", file->camera, stamp, folder_hash(file->folder), name);
        if (!path || !pf_card_has(card, path))
            break;
    }
    if (path)
        memmove(path, pf_base_name(path), strlen(pf_base_name(path)) + 1);
    free(name);
    return path;
}
