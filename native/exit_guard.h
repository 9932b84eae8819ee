/* SPDX-License-Identifier: MIT */
/* Knows how a launched tree dies with the helper, however that ends, when it is followed by BPF. By ptrace the kernel sees to it
 * (PTRACE_O_EXITKILL). Here a process of its own, nsview-guard, waits for the helper's end. It holds the programs that keep the table of
 * the followed in the kernel, so that the table stays true without the helper, and kills what is in it until nothing is. */
#pragma once

#include <sys/types.h>

struct follow;

struct exit_guard {
        pid_t pid; /* 0: none */
        int fd;    /* its end of a pipe closes with the helper */
};

/* 0, or -errno. */
int exit_guard_start(struct exit_guard *guard, const struct follow *follow);
/* Let it do its work, and wait for that. */
void exit_guard_finish(struct exit_guard *guard);
