/* SPDX-License-Identifier: MIT */
/* Knows how to read again what a BPF program could not read where it lay: it never waits for a page, and pages that the kernel itself had
 * no need to look at are often not there yet, such as the strings of a call that was refused at once, in a child that was just forked. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "follow_abi.h"

struct follow;

#define REREAD_SIZE (NSV_POINTERS * NSV_POINTER_MAX)

/* What the pointers of `event`, the event at the head of the ring, lead to: into `to`, and their sizes into `ret_sizes`. As in the event
 * where something else may lie there by now, its task runs another program, or is gone. How many bytes there are. */
size_t reread_pointers(const struct follow *follow, const struct follow_call *event, size_t size, const struct nsv_pointer pointers[NSV_POINTERS],
                       uint64_t start, uint32_t ret_sizes[NSV_POINTERS], char to[REREAD_SIZE]);
