/* SPDX-License-Identifier: MIT */
/* Knows each system call that libc lacks, once, with no policy, and the words for ownership. */
#pragma once

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

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

/* clone3(2): pid of the child in the caller, 0 in the child, or -errno. */
static inline pid_t sys_clone3(struct clone_args *args)
{
        long r = syscall(SYS_clone3, args, sizeof(*args));
        return r < 0 ? -errno : (pid_t)r;
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
