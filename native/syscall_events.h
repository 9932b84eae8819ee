/* SPDX-License-Identifier: MIT */
/* Knows how to run a BPF program when certain system calls return, and at no other: by perf events on the kernel's syscalls:sys_exit_…
 * tracepoints. All other calls of the machine then cost a test of one bit more; a raw tracepoint would run a program for each. */
#pragma once

/* `names[i]`: as the kernel defines the call (SYSCALL_DEFINE: umount, not umount2). ret_fds[i]: close-on-exec, -EBADF where this kernel
 * lacks the call. The program, of BPF_PROG_TYPE_TRACEPOINT, sees calls of the machine's own ABI only (kernel/trace/trace_syscalls.c,
 * ARCH_TRACE_IGNORE_COMPAT_SYSCALLS). How many there are, or -errno: -ENOENT without CONFIG_FTRACE_SYSCALLS. Nothing is left open then. */
int syscall_events_open(const char *const *names, unsigned count, int program, int *ret_fds);
