/* SPDX-License-Identifier: MIT */
/* Knows every task that is followed, by ptrace or by BPF, and for ptrace what to do when one of them stops. */
#pragma once

#include <linux/ptrace.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "follow.h"
#include "exit_guard.h"
#include "nsview.h"
#include "outbox.h"

struct task {
        struct nsv_cred cred;
        bool cred_known;
        struct task *next; /* in its bucket */
        pid_t tid, tgid;
        uint64_t start;  /* of the process */
        int64_t ns[NSV_LINK_COUNT]; /* as last read; 0 throughout: never */
        uint64_t seen_at;           /* BPF: /proc was read before this; what happened before is no news, or may be none. CLOCK_MONOTONIC, ns */
        uint64_t cred_at;           /* BPF: the same of `cred` */
        bool loose;                 /* BPF: which events of until then are news is still to be found out */
        bool met;                   /* BPF, of a thread: it was there when threads were last looked for, because events were lost */
        unsigned threads;           /* BPF, of a leader: how many other tasks of its process are known */
        uint64_t held_since;        /* stopped at birth, and who made it is not known yet */
        bool known;                 /* its maker's event, or the attach, has named it */
        bool born_stopped;          /* its first stop has been seen */
        bool group_stopped;
        bool exited; /* before its maker's event */
        bool dead;   /* a leader that had ended when its process was seized: its threads tell the rest */
        int exit_status;
        uint32_t calls;                   /* ptrace: how its isolation calls are seen, enum nsv_calls; its children's, too */
        struct pending_call *call;        /* ptrace: the isolation call that it is in */
        pid_t wanted_by, asks_for;        /* nested.c: the process that wants to trace it; the task that it wants to trace. 0: none */
        uint64_t asked_at;
        bool let_go;                      /* nested.c: it is not ours any more */
        struct pending_call *interrupted; /* ptrace: one that a signal came into; whether it is made again is not known yet */
};

#define TASK_BUCKETS 16384u

/* A launch whose execve has not happened yet. */
struct launch {
        pid_t pid; /* 0: none */
        uint32_t sequence;
        char *cgroup; /* BPF: /proc/PID/cgroup, read while it waited; NULL where it was refused */
        size_t cgroup_size;
        int error_fd; /* the child writes {stage, errno} here if it fails; closed by a successful execve */
};

/* What was launched is being ended. */
struct ending {
        bool active;
        uint32_t sequence;
        uint64_t began, next_at; /* CLOCK_MONOTONIC, nanoseconds */
        bool asked;              /* SIGTERM was sent */
};

/* Somebody waits until all is told that has happened. */
struct catch_up {
        bool active;
        uint32_t sequence;
        uint64_t ring_end;   /* BPF: where the ring ended when it was asked for */
        uint64_t give_up_at; /* ptrace: CLOCK_MONOTONIC, nanoseconds */
};

struct tracer {
        struct outbox outbox;
        struct follow follow; /* active, or everything is done by ptrace */
        enum nsv_follow how;  /* as asked for */
        bool stops, filter;   /* as asked for: NSV_FOLLOW_STOPS, NSV_FOLLOW_FILTER */
        bool filters;         /* a program runs under the filter: without a tracer its isolation calls would fail */
        uint32_t calls;       /* as told by NSV_RECORD_FOLLOWING */
        size_t ring_size;
        bool every_abi; /* asked for: calls of every ABI are seen at all times */
        bool prepared; /* how to follow has been chosen */
        struct task *buckets[TASK_BUCKETS];
        unsigned tasks, held;
        pid_t self, caller; /* never seized: the helper and the program that it serves */
        int64_t ns[NSV_LINK_COUNT]; /* the helper's own */
        struct launch launch;
        struct ending ending;
        struct catch_up catch_up;
        bool attached;     /* to something that nsview did not start */
        bool kill_on_exit; /* what is followed dies with the helper; nothing else is followed then */
        struct exit_guard exit_guard; /* BPF: who sees to that */
        int kept;           /* master of the launched program's terminal, or -EBADF */
        pid_t last_pid; /* given out when births without an event were last looked for; 0: never */
        uint64_t looked_at;
        unsigned nested; /* tasks that want to trace, and that are wanted */
        pid_t let_go[64]; /* the last ones that were let go for another tracer, which may not have come yet */
        unsigned let_go_count;
        int failure; /* -errno of the pipe: nobody reads any more */
};

#define TRACE_OPTIONS                                                                                                     \
        (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |       \
         PTRACE_O_TRACESYSGOOD)

/* Which isolation calls are seen of what is launched, or attached to: enum nsv_calls. */
uint32_t tracer_calls_seen(const struct tracer *tracer, bool launched);
static inline uintptr_t tracer_options(const struct tracer *tracer)
{
        return TRACE_OPTIONS | (tracer->kill_on_exit ? PTRACE_O_EXITKILL : 0);
}

/* So long a child waits at birth for the event that names its maker, which comes at once unless the maker was killed in between; and up to
 * so long where the maker may not have come to run again: the machine is busy. */
#define HOLD_NS 20000000u
#define HOLD_MOST_NS 1000000000u
/* So many threads are asked for the maker. */
#define HOLD_THREADS 64

struct task *task_find(struct tracer *tracer, pid_t tid);
/* NULL without memory. The tid must not be known. */
struct task *task_add(struct tracer *tracer, pid_t tid, pid_t tgid);
void task_remove(struct tracer *tracer, struct task *task);
/* A task of the process that is not its leader, or NULL. Slow: for what is rare. */
struct task *tracer_any_thread(struct tracer *tracer, pid_t tgid);
void tracer_count_thread(struct tracer *tracer, pid_t tgid, int by);

void tracer_emit(struct tracer *tracer, struct nsv_record *record, const struct text *texts, unsigned count);
#define CGROUP_TEXT 4096
/* A birth with CLONE_INTO_CGROUP; `size`: of the path of its cgroup, or -errno of `call`. */
void tracer_emit_clone_into(struct tracer *tracer, struct nsv_record *record, struct text nspid, char cgroup[CGROUP_TEXT], ssize_t size,
                            const char *call);
/* Handle the stops that wait, but so many at once at the most: in a storm there is always one more, and the caller has others to
 * hear. True if there may be more. */
#define DRAIN_AT_ONCE 64
bool tracer_drain(struct tracer *tracer);
/* By BPF other calls are seen than before. */
void tracer_emit_following(struct tracer *tracer);
/* Let go what was held at birth for too long. Milliseconds until the next one is due, -1 for never. */
int tracer_release_held(struct tracer *tracer);

/* An isolation call of `task` returned, or ended with it. `call` has what it is after it, and gets what it was before. `ns`: after it; NULL for no
 * change. `bytes`: what its pointers led to. */
void tracer_emit_call(struct tracer *tracer, struct task *task, uint32_t name, uint64_t at, int64_t result, bool ended, enum nsv_abi abi,
                      struct nsv_call *call, const char *bytes, size_t size, const int64_t *ns);

/* Let a stopped task go on, with a signal or 0. */
void tracer_resume(struct tracer *tracer, struct task *task, int signal);

/* attach.c. Answers by a record. */
void tracer_attach(struct tracer *tracer, pid_t pid, uint32_t sequence);
/* Events were lost: find who is gone and who is new. */
void tracer_look_again(struct tracer *tracer);

/* attach.c. Births that no event tells of (CLONE_UNTRACED), among the pids given out since the last look. At the exit of any task, while its
 * children still are its children, and by the clock. */
void tracer_find_unseen(struct tracer *tracer);
/* The same, if it is time. Milliseconds until then, -1 for never. */
int tracer_look_for_unseen(struct tracer *tracer);

/* launch.c. Answers by a record. `strings`: argc + envc strings; takes `terminal`. */
void tracer_launch(struct tracer *tracer, const struct nsv_command *command, char *strings, int terminal);
/* The launched program's execve succeeded, and NSV_RECORD_PROCESS was told; or it ended before. */
void tracer_launch_settled(struct tracer *tracer, bool executed);

/* end.c. End what was launched, gently at first. Answers by a record. */
void tracer_end(struct tracer *tracer, uint32_t sequence);
/* The next step of that. Milliseconds until it should be called again, -1 for never. */
int tracer_end_turn(struct tracer *tracer);

/* Tell of a process that is followed from now on: NSV_RECORD_PROCESS, with its leader's namespaces. */
void tracer_emit_process(struct tracer *tracer, struct task *task, enum nsv_found found);
/* `task` has executed a program: what it was before is told with what it is now, `cred`, which takes its place. */
void tracer_emit_exec(struct tracer *tracer, struct task *task, struct nsv_record *record, const struct text texts[3],
                      const struct nsv_cred *cred);

/* The launched program as its execve left it. `record`: all of it but its texts; `texts`: those of an EXEC; `pids`: its NSpid line. */
void tracer_emit_launched(struct tracer *tracer, struct nsv_record *record, const struct text texts[3], const struct nsv_cred *cred,
                          struct text pids, struct text cgroup);
