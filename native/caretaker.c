/* SPDX-License-Identifier: MIT */
#include "caretaker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "status.h"
#include "sys.h"
#include "tracer.h"

/* stdout and stderr come last: whoever reads them to their end finds the rest closed by then. */
static void close_everything(void)
{
        DIR *dir = opendir("/proc/self/fd");
        if (dir) {
                for (struct dirent *entry; (entry = readdir(dir));) {
                        int fd = atoi(entry->d_name);
                        if (fd > 2 && fd != dirfd(dir))
                                close(fd);
                }
                closedir(dir);
        }
        close(0);
        /* The lowest that is free. */
        int null = open("/dev/null", O_RDWR);
        for (int fd = 1; fd <= 2; fd++)
                if (null < 0 || dup2(null, fd) < 0)
                        close(fd);
}

static void release_held(struct tracer *tracer)
{
        for (unsigned i = 0; i < TASK_BUCKETS && tracer->held > 0; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next)
                        if (task->held_since && !task->exited)
                                sys_ptrace(PTRACE_CONT, task->tid, 0, 0);
}

void take_care(struct tracer *tracer, int command_fd)
{
        const char stays = 1;
        /* No job of the shell that nsview was started from, and in nobody's way who wants to unmount. */
        setsid();
        int r = chdir("/");
        (void)r;
        send(command_fd, &stays, sizeof(stays), MSG_NOSIGNAL | MSG_DONTWAIT);
        close_everything();
        release_held(tracer);
        for (;;) {
                int status;
                pid_t tid = waitpid(-1, &status, __WALL);
                if (tid < 0 && errno == EINTR)
                        continue;
                if (tid < 0)
                        return;
                struct task_event event = classify_status(status);
                if (event.kind == TASK_EXITED)
                        continue;
                if (event.kind == TASK_GROUP_STOP)
                        sys_ptrace(PTRACE_LISTEN, tid, 0, 0);
                else
                        sys_ptrace(PTRACE_CONT, tid, 0, event.kind == TASK_SIGNAL ? (uintptr_t)event.value : 0);
        }
}
