#include "service/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/mount.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "service/journal_db.h"

/* Numbers that linux/magic.h lacks: statfs(2). */
#define MAGIC_CIFS   0xff534d42
#define MAGIC_SMB2   0xfe534d42
#define MAGIC_LUSTRE 0x0bd00bd0
#define MAGIC_GPFS   0x47504653
#define MAGIC_VBOXSF 0x786f4256
#define MAGIC_VMHGFS 0xbacbacbc
#define MAGIC_FUSE   0x65735546
#define MAGIC_CEPH   0x00c36400 /* in no header of Ubuntu 22.04 */

const char *pf_journal_refuses(uint64_t statfs_type, const char *mount_type)
{
    static const struct {
        uint64_t type;
        const char *name;
    } refused[] = {
        {NFS_SUPER_MAGIC, "NFS"},
        {SMB_SUPER_MAGIC, "SMB"},
        {MAGIC_CIFS, "CIFS"},
        {MAGIC_SMB2, "SMB"},
        {V9FS_MAGIC, "9p"},
        {MAGIC_CEPH, "Ceph"},
        {AFS_SUPER_MAGIC, "AFS"},
        {AFS_FS_MAGIC, "AFS"},
        {CODA_SUPER_MAGIC, "Coda"},
        {NCP_SUPER_MAGIC, "NCP"},
        {MAGIC_LUSTRE, "Lustre"},
        {MAGIC_GPFS, "GPFS"},
        {MAGIC_VBOXSF, "a VirtualBox shared folder"},
        {MAGIC_VMHGFS, "a VMware shared folder"},
    };
    /* FUSE is told by its subtype; of those, only what keeps its files on a local disk. */
    static const char *const local_fuse[] = {"fuseblk",       "fuse.fuse-overlayfs", "fuse.ntfs-3g",
                                             "fuse.exfat",    "fuse.bindfs",         "fuse.ext4",
                                             "fuse.gocryptfs"};
    uint64_t type = statfs_type & 0xffffffff; /* a sign-extended f_type of a 32-bit system */
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        if (type == refused[i].type)
            return refused[i].name;
    if (type != MAGIC_FUSE)
        return NULL;
    for (size_t i = 0; mount_type && i < sizeof(local_fuse) / sizeof(*local_fuse); i++)
        if (!strcmp(mount_type, local_fuse[i]))
            return NULL;
    return "FUSE (a network, as far as can be told)";
}

static int check_file_system(const char *directory, struct pf_error *err)
{
    struct pf_mount mount;
    int r = pf_mount_of(directory, &mount, err);
    if (r < 0)
        return r;
    const char *refused = pf_journal_refuses(mount.magic, *mount.type ? mount.type : NULL);
    if (!refused)
        return 0;
    return pf_fail(
        err, EREMOTE,
        "state directory %s lies on %s (type %s, mounted at %s): locks and syncs are not "
        "reliable there; name a directory on a local disk (--state DIR)",
        directory, refused, *mount.type ? mount.type : "unknown", *mount.point ? mount.point : "?");
}

static int lock_directory(struct pf_journal *journal, const char *directory, struct pf_error *err)
{
    char *path = pf_path_join(directory, "lock");
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    int r = 0;
    journal->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (journal->lock_fd < 0) {
        r = pf_fail_errno(err, errno, "opening %s", path);
    } else if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        char owner[32] = "";
        if (errno != EWOULDBLOCK)
            r = pf_fail_errno(err, errno, "locking %s", path);
        else if (pread(journal->lock_fd, owner, sizeof(owner) - 1, 0) > 0)
            r = pf_fail(err, EBUSY, "state directory %s is in use by another parfocal (process %d)",
                        directory, atoi(owner));
        else
            r = pf_fail(err, EBUSY, "state directory %s is in use by another parfocal", directory);
    } else {
        /* For people only; the lock is what counts, so that a full disk may spoil this. */
        char owner[32];
        int length = snprintf(owner, sizeof(owner), "%d\n", (int)getpid());
        if (ftruncate(journal->lock_fd, 0) < 0 ||
            pwrite(journal->lock_fd, owner, (size_t)length, 0) < 0)
            r = 0;
    }
    free(path);
    return r;
}

static int open_database(struct pf_journal *journal, const char *path, int flags,
                         struct pf_error *err)
{
    int result = sqlite3_open_v2(path, &journal->db,
                                 flags | SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_extended_result_codes(journal->db, 1);
    return result == SQLITE_OK ? 0 : pf_journal_fail(journal, result, "opening", err);
}

static int configure(struct pf_journal *journal, const char *pragmas, struct pf_error *err)
{
    int result = sqlite3_exec(journal->db, pragmas, NULL, NULL, NULL);
    return result == SQLITE_OK ? 0 : pf_journal_fail(journal, result, "opening", err);
}

/* A new database is made whole under another name: an empty file under the journal's own name is
 * then always a damaged one, and never taken for a new one. */
static int make_database(struct pf_journal *journal, const char *directory, struct pf_error *err)
{
    char *temporary = pf_path_join(directory, "journal.sqlite.new");
    if (!temporary)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    int r = 0;
    if (unlink(temporary) < 0 && errno != ENOENT)
        r = pf_fail_errno(err, errno, "removing %s", temporary);
    if (!r)
        r = open_database(journal, temporary, SQLITE_OPEN_CREATE, err);
    if (!r)
        r = configure(journal, "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL", err);
    if (!r)
        r = pf_journal_create(journal, err);
    sqlite3_close(journal->db);
    journal->db = NULL;
    if (!r)
        r = pf_sync_path(temporary, err);
    if (!r)
        r = pf_rename_durable(temporary, journal->path, err);
    if (r < 0)
        unlink(temporary);
    free(temporary);
    return r;
}

static int exists(const char *path, const char *suffix, bool *ret, struct pf_error *err)
{
    char *full = pf_text("%s%s", path, suffix);
    struct stat st;
    if (!full)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    *ret = lstat(full, &st) == 0;
    int r = *ret || errno == ENOENT ? 0 : pf_fail_errno(err, errno, "looking for %s", full);
    free(full);
    return r;
}

static int find_or_make_database(struct pf_journal *journal, const char *directory,
                                 struct pf_error *err)
{
    bool database = false, log = false;
    int r = exists(journal->path, "", &database, err);
    if (!r && !database)
        r = exists(journal->path, "-wal", &log, err);
    if (r < 0 || database)
        return r;
    if (log)
        return pf_fail(err, EUCLEAN,
                       "journal %s is missing but its write-ahead log is there: restore the file, "
                       "or move the log away to begin a new journal",
                       journal->path);
    return make_database(journal, directory, err);
}

static int set_up(struct pf_journal *journal, struct pf_error *err)
{
    struct stat st;
    int version = 0;
    if (stat(journal->path, &st) == 0 && st.st_size == 0)
        return pf_fail(err, EUCLEAN,
                       "journal %s is damaged: it is empty (it is left as it is: restore a copy, "
                       "or move it away to begin a new one)",
                       journal->path);
    journal->checked_wall_ms = pf_journal_take_note(journal->path);
    int r = open_database(journal, journal->path, 0, err);
    if (!r) {
        sqlite3_busy_timeout(journal->db, 5000); /* someone looks at it with the sqlite3 command */
        r = pf_journal_check(journal, &version, err);
    }
    if (!r)
        r = configure(journal,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864;"
                      /* The kernel has its pages as well: 512 KiB here are enough, more makes no
                       * question faster. No mmap_size: it does not either, and a disk's error would
                       * be a signal. */
                      "PRAGMA cache_size = -512; PRAGMA cell_size_check = ON",
                      err);
    return r < 0 ? r : pf_journal_migrate(journal, version, err);
}

static void know_boot(struct pf_journal *journal)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, journal->boot, sizeof(journal->boot) - 1);
    if (n > 0)
        journal->boot[strcspn(journal->boot, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
    journal->wall_offset_ms = pf_wall_ms() - pf_monotonic_ms();
}

int pf_journal_open(struct pf_journal **ret, const char *directory,
                    const struct pf_journal_busy *busy, struct pf_error *err)
{
    struct pf_journal *journal = calloc(1, sizeof(*journal));
    if (!journal)
        return pf_fail(err, ENOMEM, "out of memory for the journal");
    journal->lock_fd = -1;
    journal->busy = busy;
    journal->path = pf_path_join(directory, "journal.sqlite");
    int r = journal->path ? pf_make_directories(directory, err)
                          : pf_fail(err, ENOMEM, "out of memory for the journal");
    if (!r)
        r = check_file_system(directory, err);
    if (!r)
        r = lock_directory(journal, directory, err);
    if (!r)
        r = find_or_make_database(journal, directory, err);
    if (!r)
        r = set_up(journal, err);
    if (r < 0) {
        pf_journal_close(journal);
        return r;
    }
    know_boot(journal);
    journal->busy = NULL;
    *ret = journal;
    return 0;
}

struct pf_journal *pf_journal_close(struct pf_journal *journal)
{
    if (!journal)
        return NULL;
    if (journal->db)
        pf_journal_rollback(journal);
    for (int i = 0; i < PF_QUERY_COUNT; i++)
        sqlite3_finalize(journal->statements[i]);
    bool is_well = journal->db && journal->checked_wall_ms;
    if (sqlite3_close(journal->db) == SQLITE_OK && is_well)
        pf_journal_leave_note(journal->path, journal->checked_wall_ms);
    if (journal->lock_fd >= 0)
        close(journal->lock_fd);
    free(journal->path);
    free(journal);
    return NULL;
}
