/* SPDX-License-Identifier: MIT */
/* Knows isolation calls as ptrace sees them: how each begins, and how it returns. */
#pragma once

#include <stdbool.h>

struct tracer;
struct task;

/* `task` is stopped at a system call, at its beginning or its end, or by the filter of --fast. The caller resumes it. */
void syscalls_on_stop(struct tracer *tracer, struct task *task);
/* `task` ends, runs another program now, or gets SIGSYS: the call that it is in does not return. */
void syscalls_on_end(struct tracer *tracer, struct task *task);
/* Must it stop at its next system call, or at the end of this one? */
bool syscalls_are_awaited(const struct task *task);
void syscalls_forget(struct task *task);
