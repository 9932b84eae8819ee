/* SPDX-License-Identifier: MIT */
/* Knows how the helper stays, silently, when nobody listens to it any more: under the filter of --fast a program's isolation calls would fail
 * with ENOSYS without a tracer (seccomp(2), SECCOMP_RET_TRACE). */
#pragma once

struct tracer;

/* Say so on the command socket, give up everything that others could wait for, and let every tracee go on from each of its stops. Returns when
 * there is none any more. */
void take_care(struct tracer *tracer, int command_fd);
