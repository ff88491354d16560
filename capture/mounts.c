#include "capture/mounts.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statfs.h>

static const struct {
    uint32_t magic;
    const char *name;
} blind_kinds[] = {
    {0x00006969, "NFS"},     {0x0000517b, "SMB"},      {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB"},     {0x65735546, "FUSE"},     {0x01021997, "9p"},
    {0x794c7630, "overlay"}, {0x786f4256, "vboxsf"},   {0xbacbacbc, "vmhgfs"},
    {0x5346414f, "AFS"},     {0x6b414653, "AFS"},      {0x73757245, "Coda"},
    {0x00c36400, "Ceph"},    {0x01161970, "GFS2"},     {0x7461636f, "OCFS2"},
    {0x0bd00bd0, "Lustre"},  {0x47504653, "GPFS"},     {0x19830326, "BeeGFS"},
    {0xaad7aaea, "PanFS"},   {0x0000f15f, "eCryptfs"}, {0x0000564c, "NCP"},
};

const char *pf_mounts_blind(struct pf_mounts *mounts, dev_t device, int fd)
{
    for (int i = 0; i < mounts->count; i++)
        if (mounts->known[i].device == device)
            return mounts->known[i].blind;
    const char *blind = NULL;
    struct statfs fs;
    if (fstatfs(fd, &fs) == 0)
        for (size_t i = 0; i < sizeof(blind_kinds) / sizeof(blind_kinds[0]); i++)
            if ((uint32_t)fs.f_type == blind_kinds[i].magic)
                blind = blind_kinds[i].name;
    int slot = mounts->count < 16 ? mounts->count++ : 15;
    mounts->known[slot].device = device;
    mounts->known[slot].blind = blind;
    return blind;
}

int pf_mounts_open(void)
{
    return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
}
