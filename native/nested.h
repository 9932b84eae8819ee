/* SPDX-License-Identifier: MIT */
/* Knows how to make way for a program that traces another one. A task has one tracer at most (ptrace(2)), so where nsview follows by ptrace
 * a debugger inside would be refused its own child. When it asks for a task, that one is let go first; nsview says so, and watches it from
 * /proc. Seen where every system call stops. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tracer;
struct task;

/* `task` is stopped at the beginning of ptrace(2); `number` is as it calls the other one. */
void nested_on_ptrace(struct tracer *tracer, struct task *task, uint64_t request, pid_t number);
/* To be asked in place of letting a stopped task go on: true where it is not to, since it was let go for good, or waits until another is. */
bool nested_keeps(struct tracer *tracer, struct task *task, int signal);
/* Was it let go not long ago? */
bool nested_was_let_go(const struct tracer *tracer, pid_t tid);
/* After each stop, and by the clock: tell who was let go, and let who asked go on. Milliseconds until the next turn, -1 for never. */
int nested_turn(struct tracer *tracer);
