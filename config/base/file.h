/* Files: durable writes, directories, paths, identity of content.
 *
 * Callable from any process and thread. Strings are borrowed; what is returned by pointer is the
 * caller's to free.
 */
#ifndef PF_FILE_H
#define PF_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

/* Identity of a frame: 16 hex digits of its size in bytes, '-', 32 of XXH3-128 (canonical order)
 * of its content. Never its name or inode. */
#define PF_IDENTITY_CHARS 49
struct pf_identity {
    char text[PF_IDENTITY_CHARS + 1];
};

/* Hash of everything `fd` holds from offset 0 (pread; the offset is not moved).
 * Errors: errno of pread(2). */
int pf_identity_of_fd(int fd, struct pf_identity *ret, struct pf_error *err);
struct pf_identity pf_identity_of_memory(const void *bytes, size_t size_bytes);

/* mkdir -p. The name of each directory that it makes is durable, as what will be in it is promised to stay: one whose
 * name cannot be synced is taken away again, and that is an error (but not where nobody may, as in pf_sync_path(), or
 * where the directory above it may be written and not listed). One that is there costs no sync.
 * -ENOTDIR, -EACCES, ... */
int pf_make_directories(const char *path, struct pf_error *err);

/* fsync of a directory or file by path; network file systems that cannot (EINVAL) are accepted. */
int pf_sync_path(const char *path, struct pf_error *err);

/* The same for the directory that holds `path`. */
int pf_sync_parent(const char *path, struct pf_error *err);

/* rename(2) that does not replace an existing `to` (-EEXIST). */
int pf_rename_new(const char *from, const char *to, struct pf_error *err);

/* Durable move: pf_rename_new(), then fsync of the directory that holds `to`. The content must have
 * been fsynced before. */
int pf_rename_durable(const char *from, const char *to, struct pf_error *err);

/* Writes a whole file durably: temporary name beside it, fsync, rename over, fsync directory. */
int pf_write_file_durable(const char *path, const void *bytes, size_t size_bytes,
                          struct pf_error *err);

/* rm -r of a directory that parfocal itself made; missing is no error; follows no symlinks. */
int pf_remove_tree(const char *path, struct pf_error *err);

/* "a/b", heap; NULL on out of memory. */
char *pf_path_join(const char *directory, const char *name);

/* Without "./" before and '/' behind; symbolic links stay. Heap; NULL with errno set. */
char *pf_path_absolute(const char *path);

/* The same without empty parts and those that are ".": what compares by name. */
char *pf_path_plain(const char *path);

/* The directory that holds `path`: "." when it names none. Heap; NULL on out of memory. */
char *pf_path_directory(const char *path);

/* What follows `above` in a path beneath it, without '/' before: "" where both are the same; NULL: it is not beneath.
 * By name alone, and a final '/' counts for nothing; "" is above nothing. Borrowed from `path`. */
const char *pf_path_beneath(const char *path, const char *above);

/* What follows the last '/'; borrowed from `path`. */
const char *pf_base_name(const char *path);

#endif
