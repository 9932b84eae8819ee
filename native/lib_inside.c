/* SPDX-License-Identifier: MIT */
/* Knows how to read a small file as a process sees it, whoever made what the process sees: nothing there leads out, waits, or is changed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nsview.h"
#include "sys.h"

/* openat2(2), Linux 5.6. No symbolic link is followed, of /proc neither: what is below the root stays below it. */
static int open_inside(int root, const char *path, uint64_t flags)
{
        struct open_how how = {
                .flags = flags | O_CLOEXEC,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long r = syscall(SYS_openat2, root, path, &how, sizeof(how));
        return r < 0 ? -errno : (int)r;
}

NSV_API int nsv_read_inside(int pid, const char *path, void *buffer, uint32_t size, int64_t *ret)
{
        char name[32];
        snprintf(name, sizeof(name), "/proc/%d/root", pid);
        _cleanup_close_ int root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;
        /* What it is before it is opened: the open of a device or of a fifo may do something. */
        _cleanup_close_ int found = open_inside(root, path, O_PATH);
        if (found < 0)
                return found;
        struct stat before, stat;
        if (fstat(found, &before) < 0)
                return -errno;
        if (!S_ISREG(before.st_mode))
                return -EINVAL;
        if (before.st_size > (off_t)size)
                return -EFBIG;
        _cleanup_close_ int fd = open_inside(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd;
        if (fstat(fd, &stat) < 0)
                return -errno;
        if (stat.st_ino != before.st_ino || stat.st_dev != before.st_dev || !S_ISREG(stat.st_mode))
                return -ESTALE;
        uint32_t used = 0;
        while (used < size) {
                ssize_t n = read(fd, (uint8_t *)buffer + used, size - used);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (uint32_t)n;
        }
        ret[0] = (int64_t)stat.st_dev;
        ret[1] = (int64_t)stat.st_ino;
        return (int)used;
}
