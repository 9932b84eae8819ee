/* SPDX-License-Identifier: MIT */
/* Knows the seccomp filter of --fast: which system calls stop the program, and which ones it never sees. */
#pragma once

#include <linux/filter.h>

#define FILTER_MAX 512u

/* Writes a filter that stops a task, by SECCOMP_RET_TRACE, at the isolation calls of this machine's ABIs, and lets all else go. Returns how many
 * instructions it has. */
unsigned short filter_build(struct sock_filter ret_filter[static FILTER_MAX]);
