/* SPDX-License-Identifier: MIT */
/* Knows whether the threads of a process are like it: those of most processes are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nsview.h"

/* Files of threads that are longer than this are not compared. */
#define THREAD_TEXT 8192

struct thread_texts {
        char status[THREAD_TEXT], label[THREAD_TEXT], other[THREAD_TEXT];
};

/* Whether every thread of `pid`, whose folder in /proc that is, has the namespaces, cgroups, ids, capabilities, groups, no_new_privs, seccomp
 * filters, label, fds and file system state of the leader, which has `links`, and `cgroup` in its file. Then `to` gets a struct nsv_thread of
 * each but the leader, in the order of their numbers. False as well where that cannot be said: of a leader that has ended, or of very many. */
bool threads_alike(int folder, int32_t pid, const int64_t *links, const char *cgroup, int32_t cgroup_size, struct thread_texts *texts,
                   struct nsv_thread *to, int32_t *ret_count);
