/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys.h"

/* All of /proc/TID/status but the groups. */
#define STATUS_SIZE 16384

static const char *const link_names[NSV_LINK_COUNT] = {
#define NSV_LINK_TEXT(name) #name,
        NSV_LINKS(NSV_LINK_TEXT)
#undef NSV_LINK_TEXT
};

static int open_task_file(pid_t tid, const char *name, int flags)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
        int fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

ssize_t read_task_file(pid_t tid, const char *name, void *buffer, size_t size)
{
        _cleanup_close_ int fd = open_task_file(tid, name, O_RDONLY);
        if (fd < 0)
                return fd;
        size_t used = 0;
        while (used < size) {
                ssize_t n = read(fd, (char *)buffer + used, size - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t)n;
        }
        return (ssize_t)used;
}

int read_stat(pid_t tid, struct stat_line *ret_stat)
{
        char line[1024];
        ssize_t n = read_task_file(tid, "stat", line, sizeof(line) - 1);
        if (n < 0)
                return (int)n;
        line[n] = '\0';

        /* The name may hold spaces and parentheses: it ends at the last one (proc_pid_stat(5)). */
        char *open = strchr(line, '('), *close = strrchr(line, ')');
        if (!open || !close || close < open || close[1] != ' ')
                return -EBADMSG;
        struct stat_line stat = {0};
        size_t length = (size_t)(close - open - 1);
        if (length >= sizeof(stat.comm))
                length = sizeof(stat.comm) - 1;
        memcpy(stat.comm, open + 1, length);

        int ppid;
        unsigned long long start;
        /* Fields 3, 4, 9, 22 and 38. */
        if (sscanf(close + 2,
                   "%c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu "
                   "%*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %d",
                   &stat.state, &ppid, &stat.flags, &start, &stat.exit_signal) != 5)
                return -EBADMSG;
        stat.ppid = ppid;
        stat.start = start;
        *ret_stat = stat;
        return 0;
}

/* /proc/TID/status without its groups, of which there may be 65536 (getgroups(2)): what comes after them is read as well. Bytes, or -errno. */
static ssize_t read_status(pid_t tid, char buffer[static STATUS_SIZE])
{
        static const char key[] = "\nGroups:";
        _cleanup_close_ int fd = open_task_file(tid, "status", O_RDONLY);
        if (fd < 0)
                return fd;
        size_t used = 0;
        /* Of the groups, what was read last stands at their beginning. */
        char *groups = NULL;
        bool skips = true;
        for (;;) {
                ssize_t n = read(fd, buffer + used, STATUS_SIZE - 1 - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                used += (size_t)n;
                buffer[used] = '\0';
                if (skips && !groups && (groups = strstr(buffer, key)))
                        groups += sizeof(key) - 1;
                if (skips && groups) {
                        char *end = strchrnul(groups, '\n');
                        skips = *end == '\0';
                        used -= (size_t)(end - groups);
                        memmove(groups, end, (size_t)(buffer + used - groups) + 1);
                }
                if (n == 0 || used == STATUS_SIZE - 1)
                        return (ssize_t)used;
        }
}

/* The line of /proc/TID/status that begins with `key`, without it, in place in `buffer`. */
static ssize_t read_status_line(pid_t tid, const char *key, char buffer[static STATUS_SIZE], char **ret_line)
{
        ssize_t n = read_status(tid, buffer);
        if (n < 0)
                return n;
        size_t length = strlen(key);
        for (char *line = buffer; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                if (strncmp(line, key, length) != 0)
                        continue;
                line += length;
                while (*line == '\t' || *line == ' ')
                        line++;
                char *end = strchrnul(line, '\n');
                *end = '\0';
                *ret_line = line;
                return end - line;
        }
        return -ENODATA;
}

long read_status_number(pid_t tid, const char *key)
{
        char buffer[STATUS_SIZE], *line;
        ssize_t n = read_status_line(tid, key, buffer, &line);
        if (n < 0)
                return (long)n;
        return isdigit((unsigned char)*line) ? strtol(line, NULL, 10) : -ENODATA;
}

int read_kin(pid_t tid, struct kin *ret_kin)
{
        char buffer[STATUS_SIZE], *line;
        ssize_t n = read_status_line(tid, "State:", buffer, &line);
        if (n < 0)
                return (int)n;
        line[n] = '\n';
        struct kin kin;
        if (sscanf(line, "%c %*[^\n] Tgid: %d Ngid: %*d Pid: %*d PPid: %d TracerPid: %d", &kin.state, &kin.tgid, &kin.ppid, &kin.tracer) != 4)
                return -EBADMSG;
        *ret_kin = kin;
        return 0;
}

pid_t read_other_thread(pid_t tgid)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
        DIR *dir = opendir(path);
        pid_t other = -ESRCH;
        for (struct dirent *entry; dir && other < 0 && (entry = readdir(dir));) {
                pid_t tid = (pid_t)atoi(entry->d_name);
                if (tid > 0 && tid != tgid)
                        other = tid;
        }
        if (dir)
                closedir(dir);
        return other;
}

int read_exit_status(pid_t tgid, int *ret_status)
{
        char line[1024];
        ssize_t n = read_task_file(tgid, "stat", line, sizeof(line) - 1);
        if (n < 0)
                return (int)n;
        line[n] = '\0';
        /* Field 52 is the last. */
        const char *last = strrchr(line, ' ');
        if (!last)
                return -EBADMSG;
        *ret_status = atoi(last + 1);
        return 0;
}

pid_t read_last_pid(void)
{
        char line[128];
        _cleanup_close_ int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
        if (n <= 0)
                return -errno;
        line[n] = '\0';
        const char *last = strrchr(line, ' ');
        return last ? (pid_t)atoi(last + 1) : -EBADMSG;
}

int read_cred(pid_t tid, struct nsv_cred *ret_cred)
{
        char buffer[STATUS_SIZE], *line;
        ssize_t n = read_status_line(tid, "Uid:", buffer, &line);
        if (n < 0)
                return (int)n;
        /* The others are lines after it. */
        line[n] = '\n';
        struct nsv_cred cred;
        uint32_t *u = cred.uids, *g = cred.gids;
        if (sscanf(line, "%u %u %u %u Gid: %u %u %u %u", &u[0], &u[1], &u[2], &u[3], &g[0], &g[1], &g[2], &g[3]) != 8)
                return -EBADMSG;
        uint64_t *c = cred.capabilities;
        _Static_assert(NSV_CAPABILITIES_COUNT == 5, "as many as there are lines");
        const char *sets = strstr(line, "\nCapInh:");
        if (!sets || sscanf(sets, " CapInh: %" SCNx64 " CapPrm: %" SCNx64 " CapEff: %" SCNx64 " CapBnd: %" SCNx64 " CapAmb: %" SCNx64, &c[0],
                            &c[1], &c[2], &c[3], &c[4]) != 5)
                return -EBADMSG;
        *ret_cred = cred;
        return 0;
}

ssize_t read_nspid(pid_t tid, char *buffer, size_t size)
{
        char status[STATUS_SIZE], *line;
        ssize_t n = read_status_line(tid, "NSpid:", status, &line);
        if (n < 0)
                return n;
        if ((size_t)n >= size)
                return -ENOSPC;
        memcpy(buffer, line, (size_t)n + 1);
        return n;
}

int read_namespaces(pid_t tid, int64_t ret_ns[NSV_LINK_COUNT])
{
        _cleanup_close_ int dir = open_task_file(tid, "ns", O_PATH | O_DIRECTORY);
        if (dir < 0)
                return dir;
        int64_t ns[NSV_LINK_COUNT];
        for (int i = 0; i < NSV_LINK_COUNT; i++) {
                char target[64];
                ssize_t n = readlinkat(dir, link_names[i], target, sizeof(target) - 1);
                if (n < 0) {
                        if (errno == ESRCH)
                                return -ESRCH;
                        /* ENOENT: a kind that this kernel lacks, or pid_for_children before the first child of a new one. */
                        ns[i] = -(int64_t)errno;
                        continue;
                }
                target[n] = '\0';
                char *inode = strchr(target, '[');
                ns[i] = inode ? (int64_t)strtoull(inode + 1, NULL, 10) : -EBADMSG;
        }
        memcpy(ret_ns, ns, sizeof(ns));
        return 0;
}

/* fs/nsfs.c, ns_dname(): the name of the kind, and the inode. */
static uint32_t namespace_flag(const char *link, size_t length)
{
        static const struct {
                const char *name;
                uint32_t flag;
        } kinds[] = {
                {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},   {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET},
                {"uts", CLONE_NEWUTS},   {"ipc", CLONE_NEWIPC}, {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME},
        };
        for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
                if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, link, length) == 0)
                        return kinds[i].flag;
        return 0;
}

void read_fd(pid_t tid, int fd, uint32_t *ret_type, uint64_t *ret_inode, int32_t *ret_pid)
{
        char path[64], text[1024];
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)tid, fd);
        ssize_t n = readlink(path, text, sizeof(text) - 1);
        if (n < 0)
                return;
        text[n] = '\0';
        const char *inode = strstr(text, ":[");
        uint32_t type = inode ? namespace_flag(text, (size_t)(inode - text)) : 0;
        if (type) {
                *ret_type = type;
                *ret_inode = strtoull(inode + 2, NULL, 10);
                return;
        }
        snprintf(path, sizeof(path), "fdinfo/%d", fd);
        n = read_task_file(tid, path, text, sizeof(text) - 1);
        if (n < 0)
                return;
        text[n] = '\0';
        const char *pid = strstr(text, "\nPid:\t");
        if (pid)
                *ret_pid = (int32_t)strtol(pid + strlen("\nPid:\t"), NULL, 10);
}

ssize_t read_exe(pid_t tid, char *buffer, size_t size)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)tid);
        ssize_t n = readlink(path, buffer, size);
        return n < 0 ? -errno : n;
}

static uint64_t read_status_mask(pid_t tid, const char *key)
{
        char buffer[STATUS_SIZE], *line;
        return read_status_line(tid, key, buffer, &line) < 0 ? 0 : strtoull(line, NULL, 16);
}

/* An execve raises nobody whose tracer lacks CAP_SYS_PTRACE (security/commoncap.c, cap_bprm_creds_from_file). */
uint64_t read_dropped(pid_t tid)
{
        char path[64];
        struct stat file;
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)tid);
        if (stat(path, &file) < 0)
                return 0;
        bool user = file.st_mode & S_ISUID, group = (file.st_mode & S_ISGID) && (file.st_mode & S_IXGRP);
        bool capabilities = getxattr(path, "security.capability", NULL, 0) > 0;
        if (!user && !group && !capabilities)
                return 0;

        struct statvfs system;
        struct nsv_cred cred;
        if (read_status_mask(getpid(), "CapEff:") & (UINT64_C(1) << CAP_SYS_PTRACE) || read_cred(tid, &cred) < 0)
                return 0;
        /* Nor does it from such a file system, or with no_new_privs, traced or not. */
        if (statvfs(path, &system) < 0 || system.f_flag & ST_NOSUID || read_status_number(tid, "NoNewPrivs:") != 0)
                return 0;
        return (user && cred.uids[1] != file.st_uid ? NSV_EXEC_DROPPED_USER : 0) |
               (group && cred.gids[1] != file.st_gid ? NSV_EXEC_DROPPED_GROUP : 0) |
               (capabilities && cred.capabilities[NSV_CAPABILITIES_permitted] == 0 ? NSV_EXEC_DROPPED_CAPABILITIES : 0);
}
