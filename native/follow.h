/* SPDX-License-Identifier: MIT */
/* Knows how to follow a tree by BPF: what happens is told by the kernel while it happens, and nobody is stopped for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf.h"
#include "follow_program.h"

struct tracer;

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
        int programs[sizeof(follow_programs) / sizeof(*follow_programs)];
        int links[sizeof(follow_programs) / sizeof(*follow_programs)];
        struct bpf_ring ring;
        int64_t monotonic_offset, boottime_offset; /* of the helper's time namespace, nanoseconds */
        uint64_t lost;                             /* records, told of so far */
        struct stopping stopping[FOLLOW_STOPPING_MAX];
        unsigned stopping_count;
};

/* Load and attach the programs. `ring_size`: bytes, 0 for what is right. 0, or -errno with what was being done in *ret_stage (enum nsv_stage); nothing is left then. */
int follow_open(struct follow *follow, size_t ring_size, uint32_t *ret_stage);
void follow_close(struct follow *follow);

/* Follow this process, and from now on its children. 1 if it was not followed yet, 0 if it was, -errno. */
int follow_add(struct follow *follow, pid_t tgid);
/* It was gone before it could be followed. */
void follow_forget(struct follow *follow, pid_t tgid);

/* Tell of everything that is in the ring. */
void follow_drain(struct tracer *tracer);
/* Wait for the children of the helper's own that ended. */
void follow_reap(struct tracer *tracer);
/* Look at what is about to stop. Milliseconds until it should be called again, -1 for never. */
int follow_check_stopping(struct tracer *tracer);
