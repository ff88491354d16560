/* Whether the mount is there that the outbox lay on: with mounts of the test's own, gone with its process. */
#include "service/outbox_mount.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "config/base/file.h"
#include "tests/unit/test.h"

static char disk[4200], share[4300], out[4400], deep[4500], note[4200];

static void mount_or_skip(const char *what, const char *where, const char *type, unsigned long how)
{
    if (mount(what, where, type, how, how ? NULL : "size=1m") < 0)
        SKIP("cannot mount here: %s", strerror(errno));
}

/* DIRECTORY/disk, a file system; in it share, a mount point with out/deep below it, to be mounted over. */
static void make_disk(void)
{
    snprintf(disk, sizeof(disk), "%s/disk", test_directory());
    snprintf(note, sizeof(note), "%s/note", test_directory());
    snprintf(share, sizeof(share), "%s/share", disk);
    snprintf(out, sizeof(out), "%s/out", share);
    snprintf(deep, sizeof(deep), "%s/deep", out);
    CHECK_EQ(mkdir(disk, 0777), 0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        SKIP("no mounts of its own here: %s", strerror(errno));
    mount_or_skip("tmpfs", disk, "tmpfs", 0);
    CHECK_EQ(pf_make_directories(deep, NULL), 0);
}

static void mount_share(const char *name)
{
    mount_or_skip(name, share, "tmpfs", 0);
    CHECK_EQ(pf_make_directories(deep, NULL), 0);
}

static void bind_to_itself(const char *path)
{
    mount_or_skip(path, path, NULL, MS_BIND);
}

static int look(const char *outbox)
{
    int r = pf_outbox_mount_check(outbox, note, NULL);
    pf_outbox_mount_keep(outbox,
                         note); /* as it does when the mount has gone after the check, too */
    return r;
}

TEST(outbox_mount_is_missed)
{
    struct pf_error err = {0};
    make_disk();
    CHECK_EQ(look(out), 0);
    mount_share("tmpfs"); /* as the disk's type and source */
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(look(out), -ENODEV);
    CHECK_EQ(pf_outbox_mount_check(out, note, &err), -ENODEV);
    CHECK(strstr(err.text, share) && strstr(err.text, note) && strstr(err.text, "tmpfs"));
    CHECK_EQ(look(deep), 0); /* another outbox, the only one of which is known now */
    mount_share("tmpfs");
    CHECK_EQ(look(out), 0);

    /* Its directory is not there either, or it is another file system that is there. */
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(pf_remove_tree(out, NULL), 0);
    CHECK_EQ(look(out), -ENODEV);
    mount_share("another");
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(unlink(note), 0);
    CHECK_EQ(look(out), 0);
}

/* ReadWritePaths= binds a path to itself, whether the share is there or not. */
TEST(outbox_mount_is_missed_where_a_unit_binds_it)
{
    make_disk();
    mount_share("share");
    bind_to_itself(out);
    bind_to_itself(deep);
    CHECK_EQ(look(deep), 0);
    CHECK_EQ(umount(deep), 0); /* a changed drop-in, or no unit at all */
    CHECK_EQ(look(deep), 0);
    CHECK_EQ(umount(out), 0);
    CHECK_EQ(look(deep), 0);
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(look(deep), -ENODEV);
    bind_to_itself(deep);
    CHECK_EQ(look(deep), -ENODEV);
    CHECK_EQ(umount(deep), 0);
    bind_to_itself(out);
    CHECK_EQ(look(deep), -ENODEV);
    bind_to_itself(share);
    CHECK_EQ(look(deep), -ENODEV);
    mount_share("share"); /* onto that */
    CHECK_EQ(look(deep), 0);
}

/* /var/lib/parfocal and the like: mounts that there are in the unit only. */
TEST(outbox_mount_of_a_unit_alone_is_not_missed)
{
    char elsewhere[4300];
    make_disk();
    bind_to_itself(share);
    bind_to_itself(out);
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(out), 0);
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(look(out), 0);

    /* ProtectHome=tmpfs, and the outbox bound into that. */
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", disk);
    CHECK_EQ(mkdir(elsewhere, 0777), 0);
    CHECK_EQ(unlink(note), 0);
    mount_or_skip(out, elsewhere, NULL, MS_BIND);
    mount_or_skip("tmpfs", share, "tmpfs", 0);
    CHECK_EQ(mkdir(out, 0777), 0);
    mount_or_skip(elsewhere, out, NULL, MS_BIND);
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(out), 0);
    CHECK_EQ(look(out), -ENODEV); /* that tmpfs is not what it was */
    CHECK_EQ(umount(share), 0);
    CHECK_EQ(look(out), 0);

    /* Another directory of the same file system is another place. */
    CHECK_EQ(umount(elsewhere), 0);
    mount_or_skip(elsewhere, out, NULL, MS_BIND);
    CHECK_EQ(look(out), 0);
    CHECK_EQ(umount(out), 0);
    CHECK_EQ(look(out), -ENODEV);
}
