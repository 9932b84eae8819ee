/* SPDX-License-Identifier: MIT */
#include "cgroup_path.h"

#include <errno.h>
#include <string.h>

#include "capture.h"

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

ssize_t cgroup_from(const char *from, const char *path, char *to, size_t size)
{
        size_t common = 0;
        for (size_t i = 0;; i++) {
                if ((from[i] == '/' || !from[i]) && (path[i] == '/' || !path[i]))
                        common = i;
                if (!from[i] || from[i] != path[i])
                        break;
        }
        size_t used = 0, length = strlen(path + common);
        for (const char *up = strchr(from + common, '/'); up; up = strchr(up + 1, '/')) {
                if (used + 3 > size)
                        return -ENAMETOOLONG;
                memcpy(to + used, "/..", 3);
                used += 3;
        }
        if (used + length + 1 > size)
                return -ENAMETOOLONG;
        memcpy(to + used, path + common, length);
        used += length;
        if (used == 0)
                to[used++] = '/';
        return (ssize_t)used;
}
