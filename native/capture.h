/* SPDX-License-Identifier: MIT */
/* Knows how to read a task from /proc while it is stopped, fast. Works for any tid, not only for leaders: /proc/TID is
 * not listed but can be opened (proc(5)). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "nsview.h"

struct stat_line {
        char state;
        pid_t ppid;
        uint64_t start;
        unsigned flags; /* PF_… */
        int exit_signal;
        char comm[64];
};

/* Read a whole small file of /proc/TID. Bytes read (at most size), or -errno. */
ssize_t read_task_file(pid_t tid, const char *name, void *buffer, size_t size);
int read_stat(pid_t tid, struct stat_line *ret_stat);
/* The number after `key` (with its colon) in /proc/TID/status, such as "Tgid:"; -errno, or -ENODATA where there is none. */
long read_status_number(pid_t tid, const char *key);
/* A task's process, that one's parent, and who traces the task; 0 for nobody. */
struct kin {
        char state;
        pid_t tgid, ppid, tracer;
};
int read_kin(pid_t tid, struct kin *ret_kin);
/* A thread of the process that is not its leader, or -ESRCH. */
pid_t read_other_thread(pid_t tgid);
/* What wait(2) will say of a process whose leader has ended, once its last thread has; only Linux 5.17 and later know (fs/proc/array.c,
 * do_task_stat). */
int read_exit_status(pid_t tgid, int *ret_status);
/* The number that was given last to a new task of the helper's pid namespace. */
pid_t read_last_pid(void);
/* What /proc/TID/status has of it. 0, or -errno. */
int read_cred(pid_t tid, struct nsv_cred *ret_cred);
/* The NSpid line without its key. Length, or -errno. */
ssize_t read_nspid(pid_t tid, char *buffer, size_t size);
/* All ten links; a refused one is its negative errno. Only -ESRCH or -ENOENT when the task is gone. */
int read_namespaces(pid_t tid, int64_t ret_ns[NSV_LINK_COUNT]);
/* What an fd of the task is. type: the CLONE_NEW… flag of a namespace, whose inode follows; pid: of a pidfd. 0 where it is something else,
 * or cannot be read. */
void read_fd(pid_t tid, int fd, uint32_t *ret_type, uint64_t *ret_inode, int32_t *ret_pid);
ssize_t read_exe(pid_t tid, char *buffer, size_t size);
/* What a traced task was not given at the execve at which it is stopped: NSV_EXEC_DROPPED_…, 0 where that cannot be told. */
uint64_t read_dropped(pid_t tid);
