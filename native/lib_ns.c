/* SPDX-License-Identifier: MIT */
/* Knows what the kernel tells of a namespace through an fd of it (ioctl_nsfs(2)), and where a process holds namespaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib_owner.h"
#include "nsview.h"
#include "sys.h"

/* A row of NSV_CHAIN_ROW numbers: inode, CLONE_NEW… of its type, uid of its owner or -errno (user namespaces only, else 0). */
static int describe(int fd, int64_t *row)
{
        struct stat stat;
        if (fstat(fd, &stat) < 0)
                return -errno;
        int type = ioctl(fd, NS_GET_NSTYPE);
        if (type < 0)
                return -errno;
        row[0] = (int64_t)stat.st_ino;
        row[1] = type;
        row[2] = 0;
        uid_t uid;
        if (type == 0x10000000 /* CLONE_NEWUSER */)
                row[2] = ioctl(fd, NS_GET_OWNER_UID, &uid) < 0 ? -errno : (int64_t)uid;
        return 0;
}

/* Follow one ioctl upwards from `fd`, which is taken. Returns the number of rows; *ret_error is what ended it. */
static int climb(int fd, unsigned long request, int64_t *rows, int count, int max, int32_t *ret_error)
{
        *ret_error = 0;
        while (fd >= 0) {
                if (count == max || describe(fd, rows + (ptrdiff_t)count * NSV_CHAIN_ROW) < 0) {
                        close(fd);
                        break;
                }
                count++;
                int next = ioctl(fd, request);
                if (next < 0)
                        *ret_error = errno;
                close(fd);
                fd = next;
        }
        return count;
}

NSV_API int nsv_namespace_chain(const char *path, int64_t *ret_rows, int max, int32_t *ret)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        int64_t own[NSV_CHAIN_ROW];
        /* Another file by that name has no type of a namespace: ENOTTY. */
        int error = describe(fd, own);
        if (error < 0) {
                close(fd);
                return error;
        }
        int owner = ioctl(fd, NS_GET_USERNS);
        int owner_error = owner < 0 ? errno : 0;
        ret[2] = owner_error;
        ret[0] = climb(fd, NS_GET_PARENT, ret_rows, 0, max, ret + 1);
        int count = climb(owner, NS_GET_PARENT, ret_rows, ret[0], max, ret + 3);
        return count;
}

NSV_API int nsv_init_of(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        /* linux/nsfs.h of 6.11, which the headers of the machine may not have yet. */
        int init = ioctl(fd, _IOR(NSIO, 7, int) /* NS_GET_TGID_FROM_PIDNS */, 1);
        return init < 0 ? -errno : init;
}

/* `net:[4026531840]` → its inode; 0 where it is no namespace. */
static uint64_t inode_of(const char *link, int32_t *ret_type)
{
        static const char *const types[] = {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time"};
        for (int32_t i = 0; i < (int32_t)(sizeof(types) / sizeof(*types)); i++) {
                size_t size = strlen(types[i]);
                if (strncmp(link, types[i], size) == 0 && strncmp(link + size, ":[", 2) == 0) {
                        *ret_type = i;
                        return strtoull(link + size + 2, NULL, 10);
                }
        }
        return 0;
}

struct rows {
        int64_t *at;
        int count, max;
};

static void put(struct rows *rows, int64_t what, int64_t number, int64_t type, uint64_t inode)
{
        if (rows->count == rows->max)
                return;
        int64_t *row = rows->at + (ptrdiff_t)rows->count++ * NSV_HOLD_ROW;
        row[0] = what;
        row[1] = number;
        row[2] = type;
        row[3] = (int64_t)inode;
}

/* What one thread of several can leave alone: user namespaces unshare(2) and setns(2) give to a process of one thread only, and the pid
 * and time namespaces that a thread is in are those of its process (copy_process(), kernel/fork.c). Where its children will be born it may
 * choose by itself. */
static const bool apart[] = {
#define APART(name) NSV_APART_##name,
#define NSV_APART_user false
#define NSV_APART_mnt true
#define NSV_APART_pid false
#define NSV_APART_pid_for_children true
#define NSV_APART_net true
#define NSV_APART_uts true
#define NSV_APART_ipc true
#define NSV_APART_cgroup true
#define NSV_APART_time false
#define NSV_APART_time_for_children true
        NSV_LINKS(APART)
#undef APART
};

static void put_links(struct rows *rows, int folder, int64_t tid, uint64_t *inodes)
{
        static const char *const names[] = {
#define NAME(name) "ns/" #name,
                NSV_LINKS(NAME)
#undef NAME
        };
        for (int i = 0; i < NSV_LINK_COUNT; i++) {
                char link[64];
                int32_t type = 0;
                /* A leader that has ended has given most of them back: its threads tell. */
                if (tid != 0 && !apart[i] && inodes[i] != 0)
                        continue;
                ssize_t size = readlinkat(folder, names[i], link, sizeof(link) - 1);
                if (size < 0)
                        continue;
                link[size] = '\0';
                uint64_t inode = inode_of(link, &type);
                if (tid == 0)
                        inodes[i] = inode;
                else if (inodes[i] == inode)
                        continue;
                put(rows, tid == 0 ? NSV_HOLD_LINK : NSV_HOLD_THREAD, tid == 0 ? i : tid, tid == 0 ? type : type + 16 * i, inode);
        }
}

static void put_threads(struct rows *rows, int folder, int pid, uint64_t *inodes)
{
        DIR *tasks = open_threads(folder);
        if (!tasks)
                return;
        for (struct dirent *entry; (entry = readdir(tasks));) {
                int tid = atoi(entry->d_name);
                if (tid <= 0 || tid == pid)
                        continue;
                _cleanup_close_ int task = openat(dirfd(tasks), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (task >= 0)
                        put_links(rows, task, tid, inodes);
        }
        closedir(tasks);
}

/* /proc/PID/mountinfo, also of one that has ended, or what has that name elsewhere. */
static bool is_mount_table(const char *link)
{
        size_t size = strlen(link);
        static const char gone[] = " (deleted)", name[] = "/mountinfo";
        if (size > sizeof(gone) && strcmp(link + size - (sizeof(gone) - 1), gone) == 0)
                size -= sizeof(gone) - 1;
        return size > sizeof(name) && strncmp(link + size - (sizeof(name) - 1), name, sizeof(name) - 1) == 0;
}

/* `tid`: of the thread whose own table it is, or 0. */
static int put_fds(struct rows *rows, int folder, int what, int64_t tid)
{
        int fd = openat(folder, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        DIR *fds = fdopendir(fd);
        if (!fds) {
                int error = -errno;
                close(fd);
                return error;
        }
        for (struct dirent *entry; (entry = readdir(fds));) {
                char link[64];
                int32_t type = 0;
                if (entry->d_name[0] == '.')
                        continue;
                ssize_t size = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);
                if (size <= 0)
                        continue;
                link[size] = '\0';
                /* A path begins with a slash. */
                if (link[0] == '/') {
                        if (what & NSV_HOLDS_FDS && is_mount_table(link))
                                put(rows, NSV_HOLD_TABLE, atoi(entry->d_name), 1 + 16 * tid, 0);
                        if (what & NSV_HOLDS_SOCKETS && strcmp(link, "/dev/net/tun") == 0)
                                put(rows, NSV_HOLD_SOCKET, atoi(entry->d_name), 16 * tid, 0);
                        continue;
                }
                if (what & NSV_HOLDS_SOCKETS && strncmp(link, "socket:[", 8) == 0) {
                        put(rows, NSV_HOLD_SOCKET, atoi(entry->d_name), 16 * tid, strtoull(link + 8, NULL, 10));
                        continue;
                }
                uint64_t inode = inode_of(link, &type);
                if (inode != 0)
                        put(rows, NSV_HOLD_FD, atoi(entry->d_name), type + 16 * tid, inode);
        }
        closedir(fds);
        return 0;
}

/* Of threads whose file table is not that of the leader (unshare(2), CLONE_FILES), each table once. Of a leader that has ended, whose table is
 * given back, they are the others'. */
static void put_threads_fds(struct rows *rows, int folder, int pid, int what)
{
        enum { MOST_TABLES = 16 };
        int tables[MOST_TABLES] = {pid}, count = 1;
        DIR *tasks = open_threads(folder);
        if (!tasks)
                return;
        for (struct dirent *entry; count < MOST_TABLES && (entry = readdir(tasks));) {
                int tid = atoi(entry->d_name), i = 0;
                /* A refusal tells nothing: then there is one table. */
                while (i < count && tid > 0 && tid != pid && syscall(SYS_kcmp, tables[i], tid, KCMP_FILES, 0UL, 0UL) > 0)
                        i++;
                if (i < count)
                        continue;
                _cleanup_close_ int task = openat(dirfd(tasks), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (task < 0)
                        continue;
                tables[count++] = tid;
                put_fds(rows, task, what, tid);
        }
        closedir(tasks);
}

NSV_API int nsv_holds(int pid, int what, int64_t *ret_rows, int max)
{
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return -errno;
        struct rows rows = {.at = ret_rows, .max = max};
        uint64_t inodes[NSV_LINK_COUNT] = {0};
        if (what & NSV_HOLDS_LINKS) {
                put_links(&rows, folder, 0, inodes);
                put_threads(&rows, folder, pid, inodes);
        }
        if (what & (NSV_HOLDS_FDS | NSV_HOLDS_SOCKETS)) {
                int error = put_fds(&rows, folder, what, 0);
                if (error < 0 && rows.count == 0)
                        return error;
                put_threads_fds(&rows, folder, pid, what);
        }
        return rows.count;
}

NSV_API int nsv_holds_of(const int32_t *pids, int count, int what, int64_t *ret_rows, int max, int32_t *ret_counts)
{
        int used = 0, i = 0;
        for (; i < count && max - used >= NSV_HOLDS_MOST; i++) {
                int rows = nsv_holds(pids[i], what, ret_rows + (ptrdiff_t)used * NSV_HOLD_ROW, NSV_HOLDS_MOST);
                ret_counts[i] = rows;
                used += rows > 0 ? rows : 0;
        }
        return i;
}

NSV_API int nsv_open_table(int pid, int fd, const int64_t *devices, int count, void *buffer, uint32_t size)
{
        _cleanup_close_ int copy = sys_copy_fd(pid, fd);
        if (copy < 0)
                return copy;
        /* Its file system is not asked: it may be one whose server never answers. */
        struct statx found;
        if (syscall(SYS_statx, copy, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &found) < 0)
                return -errno;
        bool is_proc = false;
        for (int i = 0; i < count && !is_proc; i++)
                is_proc = devices[i] == ((int64_t)found.stx_dev_major << 32 | found.stx_dev_minor);
        if (!is_proc || !S_ISREG(found.stx_mode))
                return -ESTALE;
        /* Where its owner is in it stays as it is. */
        ssize_t n = pread(copy, buffer, size, 0);
        return n < 0 ? -errno : (int)n;
}

NSV_API int nsv_socket_network(int pid, int fd, int64_t socket, int64_t *ret_inode)
{
        _cleanup_close_ int copy = sys_copy_fd(pid, fd);
        if (copy < 0)
                return copy;
        struct stat stat;
        if (fstat(copy, &stat) < 0)
                return -errno;
        /* Another file by that number since. */
        bool is_it = socket == 0 ? S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(10, 200) : S_ISSOCK(stat.st_mode) && (int64_t)stat.st_ino == socket;
        if (!is_it)
                return -ESTALE;
        /* The driver of tun copies one before it looks at what is asked. */
        struct ifreq unused = {0};
        _cleanup_close_ int namespace = ioctl(copy, SIOCGSKNS, &unused);
        if (namespace < 0 || fstat(namespace, &stat) < 0)
                return -errno;
        *ret_inode = (int64_t)stat.st_ino;
        return TAKE_FD(namespace);
}

NSV_API int nsv_socket_protocol(int pid, int fd, int64_t socket, char *ret_name, uint32_t size)
{
        char path[64], link[64], expected[64];
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
        /* It leads to the socket and does not open it; another file by that number since is not asked, which may never answer. */
        _cleanup_close_ int place = open(path, O_PATH | O_CLOEXEC);
        if (place < 0)
                return -errno;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
        ssize_t n = readlink(path, link, sizeof(link));
        if (n < 0)
                return -errno;
        int length = snprintf(expected, sizeof(expected), "socket:[%lld]", (long long)socket);
        if (n != length || memcmp(link, expected, (size_t)length) != 0)
                return -ESTALE;
        n = getxattr(path, "system.sockprotoname", ret_name, size);
        return n < 0 ? -errno : (int)strnlen(ret_name, (size_t)n);
}

/* struct mnt_ns_info and its ioctls (linux/nsfs.h of 6.12), which the headers of the machine may not have yet. */
struct mount_namespace {
        uint32_t size;
        uint32_t mounts;
        uint64_t id;
};
_Static_assert(sizeof(struct mount_namespace) == 16, "struct mnt_ns_info, first version");
#define MOUNT_NAMESPACE_INFO _IOR(NSIO, 10, struct mount_namespace)
#define MOUNT_NAMESPACE_NEXT _IOR(NSIO, 11, struct mount_namespace)
#define MOUNT_NAMESPACE_PREVIOUS _IOR(NSIO, 12, struct mount_namespace)

NSV_API int nsv_next_mount_namespace(int from, int backwards, int64_t *ret)
{
        _cleanup_close_ int own = -EBADF;
        if (from < 0) {
                own = from = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
                if (from < 0)
                        return -errno;
        }
        struct mount_namespace info = {.size = sizeof(info)};
        _cleanup_close_ int fd = ioctl(from, backwards ? MOUNT_NAMESPACE_PREVIOUS : MOUNT_NAMESPACE_NEXT, &info);
        if (fd < 0)
                return -errno;
        struct stat stat;
        if (fstat(fd, &stat) < 0)
                return -errno;
        ret[0] = (int64_t)stat.st_ino;
        ret[1] = info.mounts;
        return TAKE_FD(fd);
}

struct table {
        const char *path;
        uint8_t *buffer;
        uint32_t size;
        int stage, answer;
};

/* Of the caller, whose folder in /proc is `task`. */
static int read_own_table(const struct table *table, int task)
{
        _cleanup_close_ int fd = openat(task, "mountinfo", O_RDONLY | O_CLOEXEC);
        uint32_t used = 0;
        while (fd >= 0 && used < table->size) {
                ssize_t n = read(fd, table->buffer + used, table->size - used);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (uint32_t)n;
        }
        return fd < 0 ? -errno : (int)used;
}

struct visit {
        struct as_owner in;
        struct table *table;
};

static int go_in_and_read(void *argument)
{
        const struct visit *visit = argument;
        /* There may be no /proc inside. */
        _cleanup_close_ int task = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (task < 0 || as_owner_enter(&visit->in) < 0)
                return 0;
        visit->table->stage = NSV_TABLE_READ;
        visit->table->answer = read_own_table(visit->table, task);
        return 0;
}

/* A thread that lives for the question alone: setns moves it, and nobody else where it has left the file system state that threads share. */
static void *read_table(void *argument)
{
        struct table *table = argument;
        table->answer = -EIO;
        table->stage = NSV_TABLE_OPEN;
        _cleanup_close_ int namespace = open(table->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        /* There may be no /proc inside. */
        _cleanup_close_ int task = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (namespace < 0 || task < 0) {
                table->answer = -errno;
                return NULL;
        }
        table->stage = NSV_TABLE_SETNS;
        if (unshare(CLONE_FS) < 0 || setns(namespace, CLONE_NEWNS) < 0) {
                table->answer = -errno;
                struct visit visit = {.table = table};
                if (errno == EPERM)
                        as_owner_run(&visit.in, namespace, CLONE_NEWNS, go_in_and_read);
                return NULL;
        }
        table->stage = NSV_TABLE_READ;
        table->answer = read_own_table(table, task);
        return NULL;
}

NSV_API int nsv_mount_table(const char *path, void *buffer, uint32_t size, int32_t *ret_stage)
{
        if (size > INT32_MAX)
                return -EINVAL;
        struct table table = {.path = path, .buffer = buffer, .size = size};
        /* No handler of the program may run on it. */
        sigset_t all, before;
        sigfillset(&all);
        int r = -pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r < 0)
                return r;
        pthread_t thread;
        r = -pthread_create(&thread, NULL, read_table, &table);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        r = -pthread_join(thread, NULL);
        *ret_stage = table.stage;
        return r < 0 ? r : table.answer;
}
