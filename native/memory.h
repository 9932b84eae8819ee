/* SPDX-License-Identifier: MIT */
/* Knows how to read what a pointer of an isolation call leads to, in the memory of its task. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "calls.h"

/* How many bytes of it are in `to` now, or one of NSV_POINTER_…. A string is there up to its NUL, and none if it has none; anything else up
 * to where its memory ends, since it may be shorter than what is read of it. */
uint32_t memory_read_pointer(pid_t tid, const struct nsv_pointer *pointer, const uint64_t arguments[6], char to[static NSV_POINTER_MAX]);
