/* SPDX-License-Identifier: MIT */
/* Knows what tasks share of what clone(2) can share: the kernel compares its own pointers, by kcmp(2). */
#include <errno.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nsview.h"

/* kcmp(2): 0 the same, 1 before, 2 behind, 3 not the same and without an order; or -errno. */
static int sys_kcmp(pid_t one, pid_t other, int type)
{
        long r = syscall(SYS_kcmp, one, other, type, 0UL, 0UL);
        return r < 0 ? -errno : (int)r;
}

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
