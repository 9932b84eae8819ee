/* SPDX-License-Identifier: MIT */
/* Knows how to follow a tree by BPF: what happens is told by the kernel while it happens, and nobody is stopped for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf.h"
#include "calls.h"
#include "follow_program.h"
#include "nsview.h"

struct tracer;
struct follow_event;
struct follow_thread;

/* How many stops at a time can be waited for to be complete. */
#define FOLLOW_STOPPING_MAX 64

/* A stop signal was delivered: does its process stop? */
struct stopping {
        pid_t pid; /* 0: free */
        int signal;
        uint64_t at, give_up_at;
};

struct follow {
        bool active;
        int maps[FOLLOW_MAP_COUNT];
        uint32_t iterator; /* BTF id of what an iterator over tasks stands for */
        int programs[sizeof(follow_programs) / sizeof(*follow_programs)];
        int links[sizeof(follow_programs) / sizeof(*follow_programs)];
        int transfer_link;               /* of the program of cgroup_attach_task to cgroup_transfer_tasks */
        int call_events[NSV_CALL_COUNT]; /* perf events that make a program run at those calls only; -EBADF: none */
        bool keep_sys_exit;              /* never go over to call_events: calls of every ABI are wanted at all times, or it was refused */
        bool foreign_runs;               /* a program of another ABI has been seen: sys_exit stays */
        struct bpf_ring ring;
        int64_t monotonic_offset, boottime_offset; /* of the helper's time namespace, nanoseconds */
        uint64_t all_capabilities;                 /* that this kernel knows; 0: it does not say */
        uint64_t drained_at;                       /* CLOCK_MONOTONIC, ns */
        uint64_t lost;                             /* records, told of so far */
        struct stopping stopping[FOLLOW_STOPPING_MAX];
        unsigned stopping_count;
};

/* Load and attach the programs. `ring_size`: bytes, 0 for what is right. `every_abi`: see isolation calls of every ABI at all times. 0, or
 * -errno with what was being done in *ret_stage (enum nsv_stage); nothing is left then. */
int follow_open(struct follow *follow, size_t ring_size, bool every_abi, uint32_t *ret_stage);
void follow_close(struct follow *follow);
/* The last thing to do, if events are open: for each of them the kernel waits 70 ms until nobody can be in its tracepoint any more
 * (tracepoint_synchronize_unregister). A child does that alone, so that nobody waits for it. */
void follow_close_events(struct follow *follow);

/* Follow this process, and from now on its children. 1 if it was not followed yet, 0 if it was, -errno. */
int follow_add(struct follow *follow, pid_t tgid);
/* Threads of followed processes, but for the leaders: `found` is called with each, in the order of their numbers. 0, or -errno. */
int follow_walk_threads(struct follow *follow, void (*found)(void *data, const struct follow_thread *thread), void *data);
/* It was gone before it could be followed. */
void follow_forget(struct follow *follow, pid_t tgid);

/* Isolation calls are seen by a program that runs at the return of every system call of the machine (sys_exit), which sees calls of every
 * ABI. Where system calls are so many that this costs too much, perf events take its place: they make a program run at the wanted calls
 * only, but at those of the machine's own ABI. When a program of another ABI begins, sys_exit comes back. */
bool follow_sees_every_abi(const struct follow *follow);
/* Readable, and then to be relieved, when system calls are that many on some CPU; -EBADF where that changes nothing. */
int follow_busy_fd(const struct follow *follow);
/* 1 if events have taken over, else 0. */
int follow_relieve(struct follow *follow);
/* Readable when a program of another ABI has begun; -EBADF once one was seen. */
int follow_foreign_fd(const struct follow *follow);
/* One has. 1 if its calls were not seen before and are now, 0, or -errno. */
int follow_see_foreign(struct follow *follow);
/* This process was found running: perhaps it is such a program. As above. */
int follow_look_at_program(struct follow *follow, pid_t tgid);

/* As links of /proc have them: -ENOENT where there is none. */
void follow_copy_inodes(const uint32_t from[NSV_LINK_COUNT], int64_t to[NSV_LINK_COUNT]);

/* Tell of everything that is in the ring. */
void follow_drain(struct tracer *tracer);
/* Wait for the children of the helper's own that ended. */
void follow_reap(struct tracer *tracer);
/* Look at what is about to stop. Milliseconds until it should be called again, -1 for never. */
int follow_check_stopping(struct tracer *tracer);
/* Is there such an event of the same process in the ring behind `event`, which is NULL between two readings of it? True where that is not certain. */
bool follow_has_later(const struct follow *follow, const struct follow_event *event, pid_t pid, uint32_t kind);
