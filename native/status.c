/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <signal.h>
#include <linux/ptrace.h>
#include <sys/wait.h>

struct task_event classify_status(int status)
{
        if (WIFEXITED(status) || WIFSIGNALED(status))
                return (struct task_event){TASK_EXITED, status};
        if (!WIFSTOPPED(status))
                return (struct task_event){TASK_OTHER, status};

        int signal = WSTOPSIG(status), event = (int)((unsigned)status >> 16);
        switch (event) {
        case 0:
                /* PTRACE_O_TRACESYSGOOD sets bit 7, so that a system call's stop is no SIGTRAP. */
                return signal == (SIGTRAP | 0x80) ? (struct task_event){TASK_SYSCALL, 0}
                                                  : (struct task_event){TASK_SIGNAL, signal};
        case PTRACE_EVENT_FORK:
        case PTRACE_EVENT_VFORK:
        case PTRACE_EVENT_CLONE:
                return (struct task_event){TASK_CLONED, event};
        case PTRACE_EVENT_EXEC:
                return (struct task_event){TASK_EXECED, 0};
        case PTRACE_EVENT_SECCOMP:
                return (struct task_event){TASK_FILTERED, 0};
        case PTRACE_EVENT_EXIT:
                return (struct task_event){TASK_EXITING, 0};
        case PTRACE_EVENT_STOP:
                /* Only PTRACE_SEIZE tells the two apart: a group-stop carries its stop signal, all else SIGTRAP. */
                if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)
                        return (struct task_event){TASK_GROUP_STOP, signal};
                return (struct task_event){TASK_TRAP_STOP, signal};
        default:
                return (struct task_event){TASK_OTHER, event};
        }
}
