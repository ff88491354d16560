/* shutdown DIRECTORY: ends the file system that holds it as a power cut does: what is in memory
 * alone, the file system's own log included, is gone. Unmount and mount it afterwards.
 * Source: EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h (XFS_IOC_GOINGDOWN). */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define FS_IOC_SHUTDOWN      _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOGFLUSH 2u

int main(int argc, char **argv)
{
    uint32_t how = SHUTDOWN_NO_LOGFLUSH;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || ioctl(fd, FS_IOC_SHUTDOWN, &how) < 0) {
        perror(argc == 2 ? argv[1] : "usage: shutdown DIRECTORY");
        return 1;
    }
    return 0;
}
