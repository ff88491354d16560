/* The files that a folder source knows: a table by path, and the queue of those to look at next.
 *
 * Capture process, one thread. The table owns its files; a pointer to one is valid until
 * pf_files_remove or pf_files_forget_gone. Memory is bounded per file, and what has vanished is
 * forgotten once it outnumbers what is there. Times ending in _ms are CLOCK_MONOTONIC.
 */
#ifndef PF_FILES_H
#define PF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct pf_file_stamp { /* a file has changed when any of these has */
    int64_t size_bytes, mtime_ns, ctime_ns;
    uint64_t inode;
};

enum pf_file_state {
    PF_FILE_PENDING,  /* in the queue: not decided since its last change */
    PF_FILE_SENT,     /* a frame that the service has */
    PF_FILE_LEFT,     /* not ours */
    PF_FILE_REJECTED, /* said; looked at again when it changes */
    PF_FILE_TROUBLE,  /* said; in the queue, to be tried again */
};

struct pf_file {
    char *path;
    struct pf_file_stamp stamp;
    enum pf_file_state state;
    bool gone;          /* not there any more; its verdict still holds if the same comes back */
    bool awaited;       /* `scanned` waits for a first verdict */
    bool is_folder;     /* a folder that cannot be read */
    bool blamed;        /* reading it has ended an earlier process */
    bool growing;       /* counted in the folder's `growing` */
    bool unseen;        /* counted in the folder's `unseen` */
    uint32_t scan;      /* the last full scan that saw it */
    int64_t changed_ms; /* when its last change was seen */
    int64_t grows_ms;   /* since when it is known to be on its way; 0: it is not */
    int64_t unseen_ms;  /* since when a change of it waits for a look; 0: none does */
    int64_t wait_ms;    /* the last waiting time, for back-off */
    int64_t due_ms;     /* when to look at it, while queued */
    uint64_t sent_hash; /* of the identity last sent for this path, 0 none */
    uint64_t said_hash; /* of the last rejection or trouble that was reported, 0 none */
    size_t queue_index; /* 1-based, 0 not queued */
    uint64_t path_hash;
};

struct pf_file_stamp pf_file_stamp_of(const struct stat *st);
bool pf_file_stamp_equal(const struct pf_file_stamp *a, const struct pf_file_stamp *b);

struct pf_files;
int pf_files_new(struct pf_files **ret);                /* -ENOMEM */
struct pf_files *pf_files_free(struct pf_files *files); /* NULL-safe, returns NULL */

struct pf_file *pf_files_find(struct pf_files *files, const char *path); /* NULL */
/* Finds, or makes a pending one that is not queued. NULL on out of memory. */
struct pf_file *pf_files_get(struct pf_files *files, const char *path);
void pf_files_remove(struct pf_files *files, struct pf_file *file);

/* Calls visit for all, in no order; visit must not add or remove. */
void pf_files_each(struct pf_files *files, void (*visit)(void *context, struct pf_file *file),
                   void *context);
/* Removes the files that are gone. */
void pf_files_forget_gone(struct pf_files *files);

/* The queue: by due_ms, then mtime, then natural order of the path. -ENOMEM leaves it unqueued. */
int pf_files_queue(struct pf_files *files, struct pf_file *file, int64_t due_ms);
void pf_files_unqueue(struct pf_files *files, struct pf_file *file);
struct pf_file *pf_files_first(const struct pf_files *files); /* borrowed, NULL when empty */
/* How many that have changed since then are due, at most `most`. */
size_t pf_files_due(const struct pf_files *files, int64_t since_ms, size_t most);

#endif
