/* SPDX-License-Identifier: MIT */
#include "nested.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "sys.h"
#include "tracer.h"

/* How long one who asks waits for the other to stop: it may be where nothing stops it, as in vfork. After that the kernel refuses it. */
#define ASK_NS UINT64_C(1000000000)
#define ASK_POLL_MS 20

#define LET_GO_KEPT (sizeof(((struct tracer *)NULL)->let_go) / sizeof(pid_t))

/* The number that a task has at that depth of pid namespaces below the helper's own, or 0. */
static pid_t number_at(pid_t tid, unsigned depth)
{
        char line[512];
        if (read_nspid(tid, line, sizeof(line)) <= 0)
                return 0;
        char *at = line;
        for (long number = strtol(at, &at, 10); number > 0; number = strtol(at, &at, 10))
                if (depth-- == 0)
                        return (pid_t)number;
        return 0;
}

static unsigned depth_of(pid_t tid)
{
        unsigned depth = 0;
        while (number_at(tid, depth + 1) > 0)
                depth++;
        return depth;
}

/* Whom a caller calls by that number: by its own pid namespace. */
static struct task *find_named(struct tracer *tracer, const struct task *caller, pid_t number)
{
        if (number <= 0)
                return NULL;
        if (caller->ns[NSV_LINK_pid] == tracer->ns[NSV_LINK_pid])
                return task_find(tracer, number);
        unsigned depth = depth_of(caller->tid);
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next)
                        if (number_at(task->tid, depth) == number)
                                return task;
        return NULL;
}

void nested_on_ptrace(struct tracer *tracer, struct task *task, uint64_t request, pid_t number)
{
        /* Under the filter of --fast a task without nsview fails with ENOSYS, and who is to die with nsview is not given away. */
        if (tracer->filters || tracer->kill_on_exit)
                return;
        if (request == PTRACE_TRACEME) {
                struct kin kin;
                /* The parent of what nsview launched is nsview's helper, which would become the tracer. */
                if (read_kin(task->tid, &kin) < 0 || kin.ppid == tracer->self)
                        return;
                task->wanted_by = kin.ppid;
                tracer->nested++;
                return;
        }
        if (request != PTRACE_SEIZE && request != PTRACE_ATTACH)
                return;
        struct task *other = find_named(tracer, task, number);
        /* Nobody may trace a thread of himself (kernel/ptrace.c, ptrace_attach). */
        if (!other || other->wanted_by || !other->known || other->tgid == task->tgid || sys_ptrace(PTRACE_INTERRUPT, other->tid, 0, 0) < 0)
                return;
        other->wanted_by = task->tid;
        task->asks_for = other->tid;
        task->asked_at = monotonic_ns();
        tracer->nested += 2;
}

bool nested_keeps(struct tracer *tracer, struct task *task, int signal)
{
        if (tracer->nested == 0)
                return false;
        /* Who was stopped by job control stays stopped (kernel/ptrace.c, __ptrace_unlink). */
        if (task->wanted_by && !task->let_go && sys_ptrace(PTRACE_DETACH, task->tid, 0, (uintptr_t)signal) == 0)
                task->let_go = true;
        return task->let_go || task->asks_for;
}

static void tell_let_go(struct tracer *tracer, const struct task *task)
{
        const struct task *asker = task_find(tracer, task->wanted_by);
        pid_t by = asker ? asker->tgid : task->wanted_by;
        struct nsv_record record = {
                .kind = NSV_RECORD_REFUSED,
                .pid = task->tgid,
                .tid = task->tid,
                .other = by,
                .error = EPERM,
                .stage = NSV_STAGE_NESTED,
                .start = task->start,
        };
        struct stat_line stat;
        char comm[sizeof(stat.comm)] = "";
        if (read_stat(by, &stat) == 0)
                memcpy(comm, stat.comm, sizeof(comm));
        struct text text = {comm, strlen(comm)};
        tracer_emit(tracer, &record, &text, 1);
}

/* One who asks, and the other is gone, or it takes too long. */
static void settle_asker(struct tracer *tracer, struct task *task)
{
        if (task_find(tracer, task->asks_for) && monotonic_ns() - task->asked_at < ASK_NS)
                return;
        task->asks_for = 0;
        tracer->nested--;
        tracer_resume(tracer, task, 0);
}

/* One who is wanted, and nobody asks for it any more. */
static void settle_wanted(struct tracer *tracer, struct task *task)
{
        const struct task *asker = task_find(tracer, task->wanted_by);
        if (asker && asker->asks_for == task->tid)
                return;
        task->wanted_by = 0;
        tracer->nested--;
}

bool nested_was_let_go(const struct tracer *tracer, pid_t tid)
{
        for (unsigned i = 0; i < LET_GO_KEPT; i++)
                if (tracer->let_go[i] == tid)
                        return true;
        return false;
}

int nested_turn(struct tracer *tracer)
{
        if (tracer->nested == 0)
                return -1;
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i], *next; task; task = next) {
                        next = task->next;
                        if (!task->let_go)
                                continue;
                        tell_let_go(tracer, task);
                        tracer->let_go[tracer->let_go_count++ % LET_GO_KEPT] = task->tid;
                        task_remove(tracer, task);
                }
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next)
                        if (task->asks_for)
                                settle_asker(tracer, task);
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next)
                        if (task->wanted_by)
                                settle_wanted(tracer, task);
        return tracer->nested ? ASK_POLL_MS : -1;
}
