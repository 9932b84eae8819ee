/* SPDX-License-Identifier: MIT */
/* Knows what a wait status of a seized task means (ptrace(2), "Stopped tracees"). Pure: no process is needed to test it. */
#pragma once

enum task_event_kind {
        TASK_EXITED,    /* value: wait status; the task is gone */
        TASK_SIGNAL,    /* signal-delivery-stop; value: the signal */
        TASK_GROUP_STOP, /* value: the stop signal */
        TASK_TRAP_STOP, /* a new child's first stop, PTRACE_INTERRUPT, or the end of a group-stop */
        TASK_SYSCALL,
        TASK_FILTERED, /* PTRACE_EVENT_SECCOMP */
        TASK_CLONED, /* fork, vfork or clone */
        TASK_EXECED,
        TASK_EXITING, /* PTRACE_EVENT_EXIT */
        TASK_OTHER,
};

struct task_event {
        enum task_event_kind kind;
        int value;
};

struct task_event classify_status(int status);
