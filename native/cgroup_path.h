/* SPDX-License-Identifier: MIT */
/* Knows which directory a cgroup of version 2 is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where cgroup v2 is mounted, found when it is first asked for. */
struct cgroup_mount {
        bool found;
        int fd;
        char point[4096]; /* as the helper's own mountinfo has it */
};

/* The path of the cgroup with this id (the inode of its directory, cgroup_id() in include/linux/cgroup.h), as the line `0::` of
 * /proc/PID/cgroup has it. Its length, or -errno: ESTALE where it has been removed, EPERM without CAP_DAC_READ_SEARCH
 * (open_by_handle_at(2)), ENOENT where no cgroup v2 is mounted by its root. */
ssize_t cgroup_path(struct cgroup_mount *mount, uint64_t id, char *to, size_t size);
/* The same of a task, from that line: it must not be able to run. */
ssize_t cgroup_of_task(pid_t tid, char *to, size_t size);
void cgroup_unmount(struct cgroup_mount *mount);
