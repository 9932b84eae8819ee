/* SPDX-License-Identifier: MIT */
/* Knows what of a process is on a mount: statx(2) tells the mount of whatever a link of /proc/PID leads to, without looking at the file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "nsview.h"
#include "sys.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

struct uses {
        const int64_t *ids; /* ascending */
        int ids_count;
        int64_t *rows;
        int count, max;
};

static int compare(const void *one, const void *other)
{
        int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
        return (a > b) - (a < b);
}

static void put(struct uses *uses, enum nsv_use what, int64_t number, int64_t mount)
{
        if (uses->count == uses->max)
                return;
        int64_t *row = uses->rows + (ptrdiff_t)uses->count++ * NSV_USE_ROW;
        row[0] = what;
        row[1] = number;
        row[2] = mount;
}

/* The id of the mount that a link leads to, or -errno. A link of /proc needs no look-up, and DONT_SYNC asks no server. */
static int64_t mount_of(int folder, const char *link)
{
        struct statx found;
        if (syscall(SYS_statx, folder, link, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID, &found) < 0)
                return -errno;
        return found.stx_mask & STATX_MNT_ID ? (int64_t)found.stx_mnt_id : -ENODATA;
}

static void put_if_on(struct uses *uses, int folder, const char *link, enum nsv_use what, int64_t number)
{
        int64_t id = mount_of(folder, link);
        if (id >= 0 && bsearch(&id, uses->ids, (size_t)uses->ids_count, sizeof(id), compare))
                put(uses, what, number, id);
}

static void put_fds(struct uses *uses, int folder)
{
        int fd = openat(folder, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *fds = fd < 0 ? NULL : fdopendir(fd);
        if (!fds) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        for (struct dirent *entry; (entry = readdir(fds));)
                if (entry->d_name[0] != '.')
                        put_if_on(uses, dirfd(fds), entry->d_name, NSV_USE_FD, atoi(entry->d_name));
        closedir(fds);
}

/* Of files that are mapped, those whose file system is one of `devices` (major << 32 | minor), or any where there are none. */
static void put_maps(struct uses *uses, int folder, const int64_t *devices, int devices_count)
{
        int fd = openat(folder, "maps", O_RDONLY | O_CLOEXEC);
        FILE *maps = fd < 0 ? NULL : fdopen(fd, "re");
        if (!maps) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        unsigned long last = 0;
        while (getline(&line, &size, maps) > 0) {
                unsigned long start, end, inode;
                unsigned major, minor;
                if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu", &start, &end, &major, &minor, &inode) != 5 || inode == 0 || inode == last)
                        continue;
                bool wanted = devices_count == 0;
                for (int i = 0; i < devices_count && !wanted; i++)
                        wanted = devices[i] == ((int64_t)major << 32 | minor);
                if (!wanted)
                        continue;
                /* The parts of one file follow each other. */
                last = inode;
                char link[64];
                snprintf(link, sizeof(link), "map_files/%lx-%lx", start, end);
                int64_t id = mount_of(folder, link);
                if (id < 0)
                        put(uses, NSV_USE_MAP, (int64_t)start, id);
                else if (bsearch(&id, uses->ids, (size_t)uses->ids_count, sizeof(id), compare))
                        put(uses, NSV_USE_MAP, (int64_t)start, id);
        }
        fclose(maps);
}

NSV_API int nsv_mount_uses(int pid, const int64_t *ids, int ids_count, const int64_t *devices, int devices_count, int64_t *ret_rows, int max)
{
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return -errno;
        /* Whoever may not see this link may see none of them. A kernel thread's and a zombie's leads nowhere. */
        int64_t root = mount_of(folder, "root");
        if (root == -EACCES || root == -EPERM)
                return (int)root;
        struct uses uses = {.ids = ids, .ids_count = ids_count, .rows = ret_rows, .max = max};
        put_if_on(&uses, folder, "cwd", NSV_USE_CWD, 0);
        put_if_on(&uses, folder, "root", NSV_USE_ROOT, 0);
        put_if_on(&uses, folder, "exe", NSV_USE_EXE, 0);
        put_fds(&uses, folder);
        put_maps(&uses, folder, devices, devices_count);
        return uses.count;
}

/* Linux 6.15 (include/uapi/linux/fanotify.h). */
#ifndef FAN_REPORT_MNT
#define FAN_REPORT_MNT 0x00004000U
#define FAN_MNT_ATTACH 0x01000000U
#define FAN_MNT_DETACH 0x02000000U
#define FAN_MARK_MNTNS 0x00000110U
#endif

NSV_API int nsv_mount_events(const char *path)
{
        _cleanup_close_ int space = open(path, O_RDONLY | O_CLOEXEC);
        if (space < 0)
                return -errno;
        _cleanup_close_ int group = (int)syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_MNT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
        if (group < 0)
                return -errno;
        if (syscall(SYS_fanotify_mark, group, FAN_MARK_ADD | FAN_MARK_MNTNS, (uint64_t)(FAN_MNT_ATTACH | FAN_MNT_DETACH), space, NULL) < 0)
                return -errno;
        int events = group;
        group = -1;
        return events;
}

NSV_API int nsv_mounts_changed(int fd)
{
        struct pollfd asked = {.fd = fd, .events = POLLPRI};
        return poll(&asked, 1, 0) == 1 && asked.revents & POLLPRI ? 1 : 0;
}
