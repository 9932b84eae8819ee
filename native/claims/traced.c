/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_PTRACE and CLONE_UNTRACED do under a tracer, and what CLONE_IO shares. */
#include "claims.h"

#include <stdlib.h>
#include <sys/ptrace.h>

/* ---- CLONE_PTRACE, CLONE_UNTRACED ---- */

/* A traced process, under these options of ptrace(2), begins a child with these flags. The tracer of that child, 0 for none. It is traced by
 * PTRACE_TRACEME, or seized. */
static pid_t tracer_of_child_by(bool seize, uint64_t flags, unsigned long options)
{
        pid_t traced = fork_with(0);
        if (traced == 0) {
                if (seize)
                        wait_for(&shared->number[4], 1);
                else {
                        MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
                        MUST(kill(getpid(), SIGSTOP));
                }
                pid_t child = fork_with(flags);
                if (child == 0) {
                        char value[32];
                        status_field(getpid(), "TracerPid", value, sizeof(value));
                        shared->number[0] = atoi(value);
                        _exit(0);
                }
                shared->number[1] = child;
                ends_well(child);
                _exit(0);
        }
        int status;
        if (seize) {
                MUST(ptrace(PTRACE_SEIZE, traced, NULL, options | PTRACE_O_EXITKILL));
                shared->number[4] = 1;
        } else {
                MUST(waitpid(traced, &status, 0));
                if (!WIFSTOPPED(status))
                        broken("no privilege to be traced, or not stopped: status %d", status);
                MUST(ptrace(PTRACE_SETOPTIONS, traced, NULL, options | PTRACE_O_EXITKILL));
                MUST(ptrace(PTRACE_CONT, traced, NULL, NULL));
        }
        for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
                if (WIFSTOPPED(status)) {
                        if (pid != traced && WSTOPSIG(status) == SIGSTOP)
                                shared->number[2]++;
                        if (pid != traced && status >> 8 == (SIGTRAP | PTRACE_EVENT_STOP << 8))
                                shared->number[3]++;
                        int signal = WSTOPSIG(status) == SIGCHLD ? SIGCHLD : 0;
                        ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal);
                } else if (pid == traced)
                        break;
        }
        if (shared->verdict != HELD)
                _exit(1);
        HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the traced process ended with status %d", status);
        return shared->number[0];
}

static pid_t tracer_of_child(uint64_t flags, unsigned long options)
{
        return tracer_of_child_by(false, flags, options);
}

static void traced_too(void)
{
        pid_t tracer = tracer_of_child(CLONE_PTRACE, 0);
        HOLDS(tracer == getpid(), "the child's tracer is %d", tracer);
}

static void begins_stopped(void)
{
        tracer_of_child(CLONE_PTRACE, 0);
        HOLDS(shared->number[2] >= 1, "the child did not begin with SIGSTOP");
}

static void seized_begins_with_event(void)
{
        tracer_of_child_by(true, CLONE_PTRACE, 0);
        HOLDS(shared->number[3] >= 1, "the child did not begin with PTRACE_EVENT_STOP");
        HOLDS(shared->number[2] == 0, "the child began with SIGSTOP");
}

static void not_traced_without(void)
{
        pid_t tracer = tracer_of_child(0, 0);
        HOLDS(tracer == 0, "the child's tracer is %d", tracer);
}

static void nothing_without_tracer(void)
{
        IN_CHILD(CLONE_PTRACE)
        {
                char value[32];
                status_field(getpid(), "TracerPid", value, sizeof(value));
                HOLDS(strcmp(value, "0") == 0, "the child's tracer is %s", value);
        }
}

static void option_traces(void)
{
        pid_t tracer = tracer_of_child(0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
        HOLDS(tracer == getpid(), "the child's tracer is %d", tracer);
}

static void untraced_escapes(void)
{
        pid_t tracer = tracer_of_child(CLONE_UNTRACED, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
        HOLDS(tracer == 0, "the child's tracer is %d", tracer);
}

static void untraced_vfork_escapes(void)
{
        pid_t tracer = tracer_of_child(CLONE_UNTRACED | CLONE_VFORK, PTRACE_O_TRACEVFORK);
        HOLDS(tracer == 0, "the child's tracer is %d", tracer);
}

static void untraced_is_no_shelter(void)
{
        pid_t child = fork_with(CLONE_UNTRACED);
        if (child == 0)
                for (;;)
                        pause();
        /* As any child of one's own: ptrace(2), "Ptrace access mode checking"; Yama forbids it to none for descendants. */
        if (ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_EXITKILL) < 0)
                broken("PTRACE_SEIZE: %s", strerror(errno));
        kill(child, SIGKILL);
        waitpid(child, NULL, __WALL);
}

static void both_are_traced(void)
{
        pid_t tracer = tracer_of_child(CLONE_PTRACE | CLONE_UNTRACED, 0);
        HOLDS(tracer == getpid(), "the child's tracer is %d", tracer);
}

/* ---- CLONE_IO ---- */

/* ioprio_set(2): of best effort (class 2), level 0 to 7. */
#define PRIORITY(level) (2 << 13 | (level))

static void set_priority(int priority)
{
        if (syscall(SYS_ioprio_set, 1, 0, priority) < 0) {
                if (errno == ENOSYS)
                        skip("kernel lacks I/O contexts");
                broken("ioprio_set: %s", strerror(errno));
        }
}

static int priority(void)
{
        return (int)MUST(syscall(SYS_ioprio_get, 1, 0));
}

static void context_is_one(void)
{
        set_priority(PRIORITY(3));
        IN_CHILD(CLONE_IO)
                /* KCMP_IO */
                HOLDS(compare(getppid(), getpid(), 5) == 0, "kcmp sees two");
}

static void context_is_apart_without(void)
{
        set_priority(PRIORITY(3));
        IN_CHILD(0)
                HOLDS(compare(getppid(), getpid(), 5) != 0, "kcmp sees one");
}

static void priority_follows(void)
{
        set_priority(PRIORITY(3));
        IN_CHILD(CLONE_IO)
                set_priority(PRIORITY(6));
        HOLDS(priority() == PRIORITY(6), "it is %d", priority() & 7);
}

static void priority_is_copied(void)
{
        set_priority(PRIORITY(3));
        IN_CHILD(0)
        {
                HOLDS(priority() == PRIORITY(3), "the child's is %d", priority() & 7);
                set_priority(PRIORITY(6));
        }
        HOLDS(priority() == PRIORITY(3), "it is %d", priority() & 7);
}

#define TRACED(flag, function, man, section, file, where, sentence) CLAIM("CLONE_" flag, function, man, section, file, where, sentence)
const struct claim traced_claims[] = {
        TRACED("PTRACE", traced_too, "clone(2)", "CLONE_PTRACE", "kernel/ptrace.c", "ptrace_init_task", "with it, the child of a traced process has the same tracer"),
        TRACED("PTRACE", begins_stopped, "ptrace(2)", "PTRACE_O_TRACECLONE", "kernel/ptrace.c", "ptrace_init_task", "with it, the traced child begins with SIGSTOP, unless the caller is seized"),
        TRACED("PTRACE", seized_begins_with_event, "ptrace(2)", "PTRACE_EVENT_STOP", "kernel/ptrace.c", "ptrace_init_task", "where the caller is seized, the traced child begins with PTRACE_EVENT_STOP, and no signal"),
        TRACED("PTRACE", not_traced_without, "clone(2)", "CLONE_PTRACE", "kernel/ptrace.c", "ptrace_init_task", "without it, and unless the tracer asked for children, the child of a traced process is not traced"),
        TRACED("PTRACE", nothing_without_tracer, "clone(2)", "CLONE_PTRACE", "kernel/ptrace.c", "ptrace_init_task", "it does nothing where the caller is not traced"),
        TRACED("UNTRACED", option_traces, "ptrace(2)", "PTRACE_O_TRACEFORK", "kernel/fork.c", "kernel_clone", "without it, a tracer that asked for children gets them"),
        TRACED("UNTRACED", untraced_escapes, "clone(2)", "CLONE_UNTRACED", "kernel/fork.c", "kernel_clone", "with it, even a tracer that asked for children does not get the child"),
        TRACED("UNTRACED", untraced_vfork_escapes, "clone(2)", "CLONE_UNTRACED", "kernel/fork.c", "kernel_clone", "nor by PTRACE_O_TRACEVFORK"),
        TRACED("UNTRACED", untraced_is_no_shelter, "ptrace(2)", "PTRACE_SEIZE", "kernel/ptrace.c", "ptrace_attach", "it is no shelter: the child can be attached to afterwards"),
        TRACED("UNTRACED", both_are_traced, "clone(2)", "CLONE_PTRACE", "kernel/fork.c", "ptrace_init_task", "together with CLONE_PTRACE the child is traced all the same"),
        TRACED("IO", context_is_one, "kcmp(2)", "KCMP_IO", "block/blk-ioc.c", "__copy_io", "with it, kcmp sees one I/O context"),
        TRACED("IO", priority_follows, "clone(2)", "CLONE_IO", "block/blk-ioc.c", "__copy_io", "with it, an I/O priority that the child sets is the parent's, too"),
        TRACED("IO", context_is_apart_without, "kcmp(2)", "KCMP_IO", "block/blk-ioc.c", "__copy_io", "without it, kcmp sees two"),
        TRACED("IO", priority_is_copied, "ioprio_set(2)", "NOTES", "block/blk-ioc.c", "__copy_io", "without it, the child begins with the parent's I/O priority, and then has its own"),
};
COUNT_CLAIMS(traced);
