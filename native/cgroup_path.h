/* SPDX-License-Identifier: MIT */
/* Knows how the kernel names a cgroup of version 2. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* From the line `0::` of /proc/PID/cgroup: its length, or -errno. The task must not be able to run. */
ssize_t cgroup_of_task(pid_t tid, char *to, size_t size);
/* `path` as seen from a cgroup namespace whose root is `from`, both from the root of the hierarchy and without a slash at their end: what lies
 * outside begins with a `/..` for each step up (cgroup_namespaces(7); kernfs_path_from_node(), fs/kernfs/dir.c). Its length, or -ENAMETOOLONG. */
ssize_t cgroup_from(const char *from, const char *path, char *to, size_t size);
