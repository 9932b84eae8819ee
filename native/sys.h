/* SPDX-License-Identifier: MIT */
/* Knows each system call that libc lacks, once, with no policy, and the words for ownership. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <linux/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct perf_event_attr;

static inline void cleanup_close(int *fd)
{
        if (*fd >= 0) {
                int saved = errno;
                close(*fd);
                errno = saved;
        }
}

static inline void cleanup_free(void *pointer)
{
        int saved = errno;
        free(*(void **)pointer);
        errno = saved;
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))
#define TAKE_FD(fd)                 \
        ({                          \
                int taken_ = (fd);  \
                (fd) = -EBADF;      \
                taken_;             \
        })

/* To be read through, or NULL. */
static inline DIR *open_directory(int folder, const char *name)
{
        int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
                cleanup_close(&fd);
        return directory;
}

/* The threads of the process with that folder in /proc; NULL where it has but one, too: one link more for each (proc_task_getattr, fs/proc/base.c). */
static inline DIR *open_threads(int folder)
{
        struct stat stat;
        return fstatat(folder, "task", &stat, 0) < 0 || stat.st_nlink < 4 ? NULL : open_directory(folder, "task");
}

/* clone3(2): pid of the child in the caller, 0 in the child, or -errno. */
static inline pid_t sys_clone3(struct clone_args *args)
{
        long r = syscall(SYS_clone3, args, sizeof(*args));
        return r < 0 ? -errno : (pid_t)r;
}

/* New in 5.2, with the same numbers on every architecture; the C library's headers may be older. */
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif

/* fsopen(2), fsconfig(2) without key and value, fsmount(2): an fd, 0, or -errno. */
static inline int sys_fsopen(const char *name, unsigned flags)
{
        long r = syscall(SYS_fsopen, name, flags);
        return r < 0 ? -errno : (int)r;
}

static inline int sys_fsconfig(int context, unsigned command)
{
        return syscall(SYS_fsconfig, context, command, NULL, NULL, 0) < 0 ? -errno : 0;
}

static inline int sys_fsmount(int context, unsigned flags, unsigned attributes)
{
        long r = syscall(SYS_fsmount, context, flags, attributes);
        return r < 0 ? -errno : (int)r;
}

/* Of one thread, by the raw calls: those of libc ask every thread to do the same (nptl(7)), which is nothing for a child between clone3 and
 * execve. 0 or -errno. */
static inline int sys_setgroups(size_t count, const gid_t *groups)
{
        return syscall(SYS_setgroups, count, groups) < 0 ? -errno : 0;
}

static inline int sys_setresgid(gid_t gid)
{
        return syscall(SYS_setresgid, gid, gid, gid) < 0 ? -errno : 0;
}

static inline int sys_setresuid(uid_t uid)
{
        return syscall(SYS_setresuid, uid, uid, uid) < 0 ? -errno : 0;
}

/* pidfd_open(2): an fd or -errno. */
static inline int sys_pidfd_open(pid_t pid)
{
        long r = syscall(SYS_pidfd_open, pid, 0);
        return r < 0 ? -errno : (int)r;
}

/* Of a process, or since 6.9 (PIDFD_THREAD) of any other thread. */
static inline int sys_pidfd_open_task(pid_t tid)
{
        int pidfd = sys_pidfd_open(tid);
        if (pidfd >= 0)
                return pidfd;
        /* PIDFD_THREAD is O_EXCL (linux/pidfd.h). */
        long r = syscall(SYS_pidfd_open, tid, O_EXCL);
        return r < 0 ? -errno : (int)r;
}

/* New in 5.6, and the same on every architecture. */
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* pidfd_getfd(2): what the task has open by that number, as an fd, or -errno. */
static inline int sys_copy_fd(pid_t tid, int fd)
{
        _cleanup_close_ int pidfd = sys_pidfd_open_task(tid);
        if (pidfd < 0)
                return pidfd;
        long r = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        return r < 0 ? -errno : (int)r;
}

static inline int sys_pidfd_send_signal(int pidfd, int signal)
{
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* New in 5.9, and the same on every architecture; the C library's headers may be older. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static inline int sys_close_range(unsigned first, unsigned last)
{
        return syscall(SYS_close_range, first, last, 0) < 0 ? -errno : 0;
}

/* kcmp(2): 0 the same, 1 before, 2 behind, 3 not the same and without an order; or -errno. */
static inline int sys_kcmp(pid_t one, pid_t other, int type)
{
        long r = syscall(SYS_kcmp, one, other, type, 0UL, 0UL);
        return r < 0 ? -errno : (int)r;
}

/* perf_event_open(2): an fd, or -errno. */
static inline int sys_perf_event_open(const struct perf_event_attr *attr, pid_t pid, int cpu, int group, unsigned long flags)
{
        long r = syscall(SYS_perf_event_open, attr, pid, cpu, group, flags);
        return r < 0 ? -errno : (int)r;
}

/* ptrace(2) by the raw call, so that a peeked word of -1 is not an error: 0 or -errno. */
static inline int sys_ptrace(unsigned long request, pid_t tid, uintptr_t address, uintptr_t data)
{
        return syscall(SYS_ptrace, request, tid, address, data) < 0 ? -errno : 0;
}

static inline uint64_t monotonic_ns(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
