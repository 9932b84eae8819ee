/* SPDX-License-Identifier: MIT */
/* Knows what tasks share of what clone(2) can share: the kernel compares its own pointers, by kcmp(2). And what their fds are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nsview.h"
#include "sys.h"

/* 1 where `pid` has no object of that kind at all: kcmp takes two that have none for the same. Most tasks have no I/O context and no list of
 * semaphore undos, and a child that was just made without CLONE_IO and CLONE_SYSVSEM has neither (copy_semundo() in ipc/sem.c; __copy_io()
 * in block/blk-ioc.c, unless the caller was given an I/O priority: then the child, which got a context of its own, takes that back, and a
 * child of the child has none). The children share the memory, so that they are cheap to make, and end at once. */
static int has_none(pid_t pid, int type)
{
        volatile int result = -ECHILD;
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid_t child = vfork();
        if (child == 0) {
                if (type == KCMP_IO) {
                        /* Of itself alone, no class: linux/ioprio.h. */
                        (void)syscall(SYS_ioprio_set, 1, 0, 0);
                        child = vfork();
                }
                if (child == 0)
                        result = sys_kcmp(pid, (pid_t)syscall(SYS_getpid), type);
                else if (child > 0)
                        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                                ;
                _exit(0);
        }
        int error = child < 0 ? -errno : 0;
        if (child > 0)
                while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                        ;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return error < 0 ? error : result < 0 ? result : result == 0;
}

NSV_API int nsv_kcmp(int pid, const int32_t *others, int count, int type, int32_t *ret)
{
        /* With itself: whether it may be read at all. */
        int r = sys_kcmp(pid, pid, type);
        if (r < 0)
                return r;
        if (type == KCMP_IO || type == KCMP_SYSVSEM) {
                r = has_none(pid, type);
                if (r != 0)
                        return r;
        }
        for (int i = 0; i < count; i++)
                ret[i] = sys_kcmp(pid, others[i], type);
        return 0;
}

struct sorting {
        const int32_t *tasks;
        int type;
        int32_t *at, *spare; /* indexes of tasks */
};

/* The order that kcmp(2) gives to objects; of what it cannot order, as it stands. */
static int compare(const struct sorting *sorting, int32_t one, int32_t other)
{
        int r = sys_kcmp(sorting->tasks[one], sorting->tasks[other], sorting->type);
        return r == 0 ? 0 : r == 1 ? -1 : r == 2 ? 1 : one - other;
}

/* Not qsort(3): tasks may end meanwhile, and what compares differently from one time to the next may lead that out of bounds. */
static void merge_sort(const struct sorting *sorting, int from, int to)
{
        if (to - from < 2)
                return;
        int middle = from + (to - from) / 2;
        merge_sort(sorting, from, middle);
        merge_sort(sorting, middle, to);
        for (int i = from; i < to; i++)
                sorting->spare[i] = sorting->at[i];
        for (int i = from, left = from, right = middle; i < to; i++)
                sorting->at[i] = right >= to || (left < middle && compare(sorting, sorting->spare[left], sorting->spare[right]) <= 0)
                                         ? sorting->spare[left++]
                                         : sorting->spare[right++];
}

/* The group with which `task` shares, of `count` that begin with those tasks in order; -1: none. */
static int32_t find_group(const struct sorting *sorting, const int32_t *groups, int count, int32_t task)
{
        for (int low = 0, high = count; low < high;) {
                int middle = low + (high - low) / 2, r = sys_kcmp(sorting->tasks[task], sorting->tasks[groups[middle]], sorting->type);
                if (r == 0)
                        return groups[middle];
                if (r != 1 && r != 2)
                        return -1;
                if (r == 1)
                        high = middle;
                else
                        low = middle + 1;
        }
        return -1;
}

/* Groups that are asked whether they are the one of all that have no such object, the largest first. */
enum { ASKED_FOR_NONE = 64 };

NSV_API int nsv_share_groups(const int32_t *tasks, int count, int sorted, int type, int32_t *ret)
{
        if (sorted < 1 || sorted > count)
                return -EINVAL;
        int r = sys_kcmp(tasks[0], tasks[0], type);
        if (r == -ENOSYS)
                return r;
        _cleanup_free_ int32_t *at = calloc((size_t)sorted, sizeof(*at)), *spare = calloc((size_t)sorted, sizeof(*spare));
        _cleanup_free_ int32_t *sizes = calloc((size_t)sorted, sizeof(*sizes));
        if (at == NULL || spare == NULL || sizes == NULL)
                return -ENOMEM;
        struct sorting sorting = {.tasks = tasks, .type = type, .at = at, .spare = spare};
        int known = 0, groups = 0;
        for (int i = 0; i < sorted; i++) {
                r = sys_kcmp(tasks[i], tasks[i], type);
                ret[i] = r < 0 ? NSV_SHARES_REFUSED + r : i;
                if (r >= 0)
                        at[known++] = i;
        }
        merge_sort(&sorting, 0, known);
        /* Equals stand together, in the order of their indexes. */
        for (int i = 0; i < known; i++) {
                if (i == 0 || compare(&sorting, at[i], ret[at[i - 1]]) != 0)
                        spare[groups++] = at[i];
                ret[at[i]] = spare[groups - 1];
                sizes[spare[groups - 1]]++;
        }
        for (int i = sorted; i < count; i++) {
                ret[i] = find_group(&sorting, spare, groups, i);
                if (ret[i] >= 0)
                        sizes[ret[i]]++;
                else
                        ret[i] = sys_kcmp(tasks[i], tasks[i], type) < 0 ? NSV_SHARES_REFUSED - EPERM : NSV_SHARES_NOTHING;
        }
        for (int asked = 0; (type == KCMP_IO || type == KCMP_SYSVSEM) && asked < ASKED_FOR_NONE; asked++) {
                int32_t largest = -1;
                for (int i = 0; i < groups; i++)
                        if (sizes[spare[i]] > 1 && (largest < 0 || sizes[spare[i]] > sizes[largest]))
                                largest = spare[i];
                if (largest < 0)
                        break;
                sizes[largest] = 0;
                if (has_none(tasks[largest], type) != 1)
                        continue;
                for (int i = 0; i < count; i++)
                        if (ret[i] == largest)
                                ret[i] = NSV_SHARES_NOTHING;
                break;
        }
        return groups;
}

NSV_API int nsv_path_is_directory(int pid, int fd)
{
        /* By a link of /proc it would be looked up again, for which NFS asks its server. */
        _cleanup_close_ int copy = sys_copy_fd(pid, fd);
        if (copy < 0)
                return copy;
        int flags = fcntl(copy, F_GETFL);
        if (flags < 0 || !(flags & O_PATH))
                return -EBADF;
        struct statx found;
        if (syscall(SYS_statx, copy, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &found) < 0)
                return -errno;
        return S_ISDIR(found.stx_mode);
}

#define HANDLE_MAX 128

/* The handle of what a link leads to. 0 or -errno. */
static int read_handle(const char *link, struct file_handle *handle)
{
        int mount;
        handle->handle_bytes = HANDLE_MAX;
        return name_to_handle_at(AT_FDCWD, link, handle, &mount, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

NSV_API int nsv_same_file(const char *one, const char *other)
{
        union {
                struct file_handle handle;
                char room[sizeof(struct file_handle) + HANDLE_MAX];
        } a, b;
        int r = read_handle(one, &a.handle);
        if (r < 0 || (r = read_handle(other, &b.handle)) < 0)
                return r;
        return a.handle.handle_type == b.handle.handle_type && a.handle.handle_bytes == b.handle.handle_bytes &&
               memcmp(a.handle.f_handle, b.handle.f_handle, a.handle.handle_bytes) == 0;
}
