/* SPDX-License-Identifier: MIT */
/* Knows what of a process is on a mount: statx(2) tells the mount of whatever a link of /proc/PID leads to, without looking at the file. A
 * thread may have a cwd, a root and a file table of its own (unshare(2), CLONE_FS and CLONE_FILES), which keep a mount as well. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/kcmp.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "nsview.h"
#include "sys.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U /* Linux 6.8 */
#endif

struct uses {
        const int64_t *ids; /* ascending */
        int ids_count;
        const int64_t *devices; /* major << 32 | minor */
        int devices_count;
        int64_t *rows;
        int count, max;
        int tid; /* of which thread by itself; 0: of the process */
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
        row[3] = uses->tid;
}

/* The id of the mount that a link leads to, or -errno. A link of /proc needs no look-up, and DONT_SYNC asks no server. */
static int64_t find_mount(int folder, const char *link, unsigned mask, struct statx *ret_found)
{
        if (syscall(SYS_statx, folder, link, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, mask, ret_found) < 0)
                return -errno;
        return ret_found->stx_mask & mask ? (int64_t)ret_found->stx_mnt_id : -ENODATA;
}

static int64_t mount_of(int folder, const char *link, unsigned mask)
{
        struct statx found;
        return find_mount(folder, link, mask, &found);
}

static bool is_wanted(const struct uses *uses, unsigned major, unsigned minor)
{
        for (int i = 0; i < uses->devices_count; i++)
                if (uses->devices[i] == ((int64_t)major << 32 | minor))
                        return true;
        return false;
}

/* On one of the mounts, or on another of their file systems, which the caller knows not: it may be in no namespace. */
static void put_if_on(struct uses *uses, int folder, const char *link, enum nsv_use what, int64_t number)
{
        struct statx found;
        int64_t id = find_mount(folder, link, STATX_MNT_ID, &found);
        if (id >= 0 && (bsearch(&id, uses->ids, (size_t)uses->ids_count, sizeof(id), compare) ||
                        is_wanted(uses, found.stx_dev_major, found.stx_dev_minor)))
                put(uses, what, number, id);
}

static void put_fds(struct uses *uses, int folder)
{
        DIR *fds = open_directory(folder, "fd");
        if (!fds)
                return;
        for (struct dirent *entry; (entry = readdir(fds));)
                if (entry->d_name[0] != '.')
                        put_if_on(uses, dirfd(fds), entry->d_name, NSV_USE_FD, atoi(entry->d_name));
        closedir(fds);
}

/* Of files that are mapped, those whose file system is one of the devices, or any where there are none. */
static void put_maps(struct uses *uses, int folder)
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
                if (uses->devices_count > 0 && !is_wanted(uses, major, minor))
                        continue;
                /* The parts of one file follow each other. */
                last = inode;
                char link[64];
                snprintf(link, sizeof(link), "map_files/%lx-%lx", start, end);
                int64_t id = mount_of(folder, link, STATX_MNT_ID);
                if (id < 0)
                        put(uses, NSV_USE_MAP, (int64_t)start, id);
                else if (bsearch(&id, uses->ids, (size_t)uses->ids_count, sizeof(id), compare))
                        put(uses, NSV_USE_MAP, (int64_t)start, id);
        }
        fclose(maps);
}

/* 0: one for both of them. EPERM says no more than that it was not to be seen. */
static bool have_one(pid_t one, pid_t other, int type)
{
        return syscall(SYS_kcmp, one, other, type, 0UL, 0UL) == 0;
}

/* What threads have apart from `first`, which has been asked as the process. */
static void put_threads(struct uses *uses, int folder, int first)
{
        DIR *tasks = open_threads(folder);
        if (!tasks)
                return;
        for (struct dirent *entry; (entry = readdir(tasks));) {
                int tid = atoi(entry->d_name);
                if (tid <= 0 || tid == first)
                        continue;
                bool same_fs = have_one(first, tid, KCMP_FS), same_files = have_one(first, tid, KCMP_FILES);
                _cleanup_close_ int task = same_fs && same_files ? -EBADF : openat(dirfd(tasks), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (task < 0)
                        continue;
                uses->tid = tid;
                if (!same_fs) {
                        put_if_on(uses, task, "cwd", NSV_USE_CWD, 0);
                        put_if_on(uses, task, "root", NSV_USE_ROOT, 0);
                }
                if (!same_files)
                        put_fds(uses, task);
        }
        closedir(tasks);
}

/* The first thread that goes on without its leader, or -1. */
static int find_living_thread(int folder)
{
        int found = -1;
        DIR *tasks = open_directory(folder, "task");
        if (!tasks)
                return -1;
        for (struct dirent *entry; found < 0 && (entry = readdir(tasks));) {
                char link[280];
                snprintf(link, sizeof(link), "%s/root", entry->d_name);
                int tid = atoi(entry->d_name);
                if (tid > 0 && mount_of(dirfd(tasks), link, STATX_MNT_ID) >= 0)
                        found = tid;
        }
        closedir(tasks);
        return found;
}

NSV_API int nsv_mount_uses(int pid, const int64_t *ids, int ids_count, const int64_t *devices, int devices_count, int64_t *ret_rows, int max)
{
        char path[40];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return -errno;
        /* Whoever may not see this link may see none of them. A kernel thread's and a zombie's leads nowhere. */
        int64_t root = mount_of(folder, "root", STATX_MNT_ID);
        if (root == -EACCES || root == -EPERM)
                return (int)root;
        struct uses uses = {.ids = ids, .ids_count = ids_count, .devices = devices, .devices_count = devices_count, .rows = ret_rows, .max = max};
        int first = pid;
        _cleanup_close_ int thread = -EBADF;
        if (root < 0) {
                first = find_living_thread(folder);
                if (first < 0)
                        return 0;
                snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, first);
                thread = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                uses.tid = first;
        }
        int asked = thread < 0 ? folder : thread;
        put_if_on(&uses, asked, "cwd", NSV_USE_CWD, 0);
        put_if_on(&uses, asked, "root", NSV_USE_ROOT, 0);
        put_if_on(&uses, asked, "exe", NSV_USE_EXE, 0);
        put_fds(&uses, asked);
        if (devices_count >= 0)
                put_maps(&uses, asked);
        put_threads(&uses, folder, first);
        return uses.count;
}

/* struct mnt_id_req and the first part of struct statmount (linux/mount.h of 6.8 and 6.11), which the headers of the machine may not have. */
struct mount_request {
        uint32_t size, unused;
        uint64_t mount, parameter, namespace;
};
_Static_assert(sizeof(struct mount_request) == 32, "struct mnt_id_req, second version");
struct mount_status {
        uint32_t size, options;
        uint64_t mask;
        uint32_t major, minor;
        uint64_t magic;
        uint32_t flags, type;
        uint64_t id, parent;
        uint32_t old_id, old_parent;
        uint8_t rest[448];
};
_Static_assert(sizeof(struct mount_status) == 512, "struct statmount");
enum { SYS_STATMOUNT = 457, SYS_LISTMOUNT = 458 };
#define STATUS_BASIC 2
#define NAMESPACE_ID _IOR(0xb7, 5, uint64_t) /* NS_GET_MNTNS_ID (linux/nsfs.h) */

/* The id that mountinfo has for it, or -errno. */
static int64_t old_id_of(uint64_t namespace, uint64_t id)
{
        struct mount_request request = {sizeof(request), 0, id, STATUS_BASIC, namespace};
        struct mount_status status;
        return syscall(SYS_STATMOUNT, &request, &status, sizeof(status), 0U) < 0 ? -errno : (int64_t)status.old_id;
}

/* Both tables are in the order of the numbers that are given once (m_start(), do_listmount(), fs/namespace.c). Where they have equally many rows,
 * and one is gone and another new since the first was read, the last is another. */
static bool is_same_table(uint64_t namespace, const uint64_t *listed, long listed_count, const int32_t *ids, int count)
{
        const int places[] = {0, count / 2, count - 1};
        if (listed_count != count)
                return false;
        for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++)
                if (old_id_of(namespace, listed[places[i]]) != ids[places[i]])
                        return false;
        return true;
}

struct aged {
        int64_t old_id;
        uint64_t id;
};

static int compare_aged(const void *one, const void *other)
{
        return compare(&((const struct aged *)one)->old_id, &((const struct aged *)other)->old_id);
}

/* What is below the mount `list->mount`, and itself, in the order of the numbers: how many, or -errno. */
static long list_mounts(struct mount_request *list, uint64_t *ret_ids, size_t room)
{
        size_t n = 0;
        for (long more = 1; more > 0 && n < room - 1; n += (size_t)more) {
                list->parameter = n > 0 ? ret_ids[n - 1] : 0;
                more = syscall(SYS_LISTMOUNT, list, ret_ids + n, room - 1 - n, 0U);
                if (more < 0)
                        return -errno;
        }
        /* pivot_root(2) leaves the former root below the new one. */
        size_t at = n;
        for (; at > 0 && ret_ids[at - 1] > list->mount; at--)
                ret_ids[at] = ret_ids[at - 1];
        ret_ids[at] = list->mount;
        return (long)n + 1;
}

NSV_API int nsv_mount_ages(int pid, const int32_t *ids, int count, double *ret_ages)
{
        char path[40];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = folder < 0 ? -EBADF : openat(folder, "ns/mnt", O_RDONLY | O_CLOEXEC);
        struct mount_request list = {.size = sizeof(list)};
        if (fd < 0 || ioctl(fd, NAMESPACE_ID, &list.namespace) < 0)
                return -errno;
        /* Not what listmount takes for the root of another namespace: that is the first mount on the kernel's own. */
        int64_t root = mount_of(folder, "root", STATX_MNT_ID_UNIQUE);
        if (root < 0)
                return (int)root;
        list.mount = (uint64_t)root;
        /* A table through another root may have fewer. */
        size_t room = (size_t)count + 4096;
        uint64_t *listed = malloc(room * sizeof(*listed));
        struct aged *aged = malloc(room * sizeof(*aged));
        long n = listed && aged ? list_mounts(&list, listed, room) : -ENOMEM;
        int r = n < 0 ? (int)n : 0;
        if (r == 0 && is_same_table(list.namespace, listed, n, ids, count))
                for (int i = 0; i < count; i++)
                        ret_ages[i] = (double)listed[i];
        else if (r == 0) {
                for (long i = 0; i < n; i++)
                        aged[i] = (struct aged){old_id_of(list.namespace, listed[i]), listed[i]};
                qsort(aged, (size_t)n, sizeof(*aged), compare_aged);
                for (int i = 0; i < count; i++) {
                        const struct aged wanted = {ids[i], 0}, *found = bsearch(&wanted, aged, (size_t)n, sizeof(*aged), compare_aged);
                        ret_ages[i] = found ? (double)found->id : 0;
                }
        }
        free(listed);
        free(aged);
        return r;
}

/* The end of the first part of struct statmount, as of Linux 6.15, and what follows it. */
struct mount_maps {
        uint8_t before[152];
        uint32_t uids_count, uids, gids_count, gids;
        uint8_t rest[344];
        char strings[65536];
};
_Static_assert(offsetof(struct mount_maps, strings) == sizeof(struct mount_status), "strings follow");
#define STATUS_UIDS 0x2000
#define STATUS_GIDS 0x4000

/* Each extent is a string: first id in the files, first id through the mount, how many. */
static size_t copy_extents(const struct mount_maps *maps, char which, uint32_t at, uint32_t count, char *to, size_t size)
{
        size_t used = 0;
        for (; count > 0 && at < sizeof(maps->strings); count--) {
                size_t length = strnlen(maps->strings + at, sizeof(maps->strings) - at);
                int n = snprintf(to + used, size - used, "%c %.*s\n", which, (int)length, maps->strings + at);
                if (n < 0 || (size_t)n >= size - used)
                        break;
                used += (size_t)n;
                at += (uint32_t)length + 1;
        }
        return used;
}

NSV_API int nsv_mount_idmap(int pid, double age, void *buffer, uint32_t size)
{
        char path[40];
        snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct mount_request request = {sizeof(request), 0, (uint64_t)age, STATUS_UIDS | STATUS_GIDS, 0};
        if (fd < 0 || ioctl(fd, NAMESPACE_ID, &request.namespace) < 0)
                return -errno;
        struct mount_maps *maps = calloc(1, sizeof(*maps));
        int r = maps ? 0 : -ENOMEM;
        if (r == 0 && syscall(SYS_STATMOUNT, &request, maps, sizeof(*maps), 0U) < 0)
                r = -errno;
        uint64_t mask = 0;
        if (r == 0)
                memcpy(&mask, (char *)maps + offsetof(struct mount_status, mask), sizeof(mask));
        /* Before 6.15 it is asked for in vain. */
        if (r == 0 && !(mask & (STATUS_UIDS | STATUS_GIDS)))
                r = -ENODATA;
        if (r == 0) {
                size_t used = copy_extents(maps, 'u', maps->uids, maps->uids_count, buffer, size);
                r = (int)(used + copy_extents(maps, 'g', maps->gids, maps->gids_count, (char *)buffer + used, size - used));
        }
        free(maps);
        return r;
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
