/* SPDX-License-Identifier: MIT */
#include "cgroup_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>

#include "capture.h"
#include "sys.h"

/* include/linux/exportfs.h: the handle is the 64-bit id of the kernfs node (fs/kernfs/mount.c, __kernfs_fh_to_dentry). */
#define FILEID_KERNFS 0xfe

/* Fields four and five of a line, where the field behind the dash is cgroup2: proc_pid_mountinfo(5). */
static bool read_point(char *line, char to[static 4096])
{
        char *dash = strstr(line, " - ");
        if (!dash || strncmp(dash + 3, "cgroup2 ", 8) != 0)
                return false;
        char root[8];
        return sscanf(line, "%*s %*s %*s %7s %4095s", root, to) == 2 && strcmp(root, "/") == 0;
}

/* No mount of its own: one without options would take nsdelegate from the whole hierarchy (kernel/cgroup/cgroup.c, apply_cgroup_root_flags). */
static int find_mount(struct cgroup_mount *mount)
{
        FILE *table = fopen("/proc/self/mountinfo", "re");
        if (!table)
                return -errno;
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int fd = -ENOENT;
        while (fd < 0 && getline(&line, &size, table) > 0) {
                struct statfs of;
                if (!read_point(line, mount->point))
                        continue;
                fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        fd = -errno;
                /* Something else is mounted on it. */
                else if (fstatfs(fd, &of) < 0 || of.f_type != CGROUP2_SUPER_MAGIC) {
                        close(fd);
                        fd = -ENOENT;
                }
        }
        fclose(table);
        return fd;
}

ssize_t cgroup_path(struct cgroup_mount *mount, uint64_t id, char *to, size_t size)
{
        if (!mount->found) {
                mount->fd = find_mount(mount);
                if (mount->fd < 0)
                        return mount->fd;
                mount->found = true;
        }
        union {
                struct file_handle handle;
                char bytes[sizeof(struct file_handle) + sizeof(id)];
        } of = {.handle = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
        memcpy(of.handle.f_handle, &id, sizeof(id));
        _cleanup_close_ int fd = open_by_handle_at(mount->fd, &of.handle, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, to, size);
        if (length < 0)
                return -errno;
        if ((size_t)length == size)
                return -ENAMETOOLONG;
        size_t above = strcmp(mount->point, "/") == 0 ? 0 : strlen(mount->point);
        if ((size_t)length < above || memcmp(to, mount->point, above) != 0)
                return -ESTALE;
        length -= (ssize_t)above;
        memmove(to, to + above, (size_t)length);
        if (length == 0)
                to[length++] = '/';
        return length;
}

ssize_t cgroup_of_task(pid_t tid, char *to, size_t size)
{
        ssize_t n = read_task_file(tid, "cgroup", to, size - 1);
        if (n < 0)
                return n;
        to[n] = '\0';
        for (char *line = to; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, "0::", 3) != 0)
                        continue;
                size_t length = strcspn(line + 3, "\n");
                memmove(to, line + 3, length);
                return (ssize_t)length;
        }
        return -ENOENT;
}

void cgroup_unmount(struct cgroup_mount *mount)
{
        if (mount->found)
                close(mount->fd);
        mount->found = false;
}
