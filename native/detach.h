/* SPDX-License-Identifier: MIT */
/* Knows how a process that the helper forked becomes one of its own, which outlives nsview and holds nothing of it. */
#pragma once

#include <stddef.h>

/* In the forked process: a session of its own, in /, under this name, and of all fds only those to keep. */
void detach(const char *name, int *keep, size_t count);
