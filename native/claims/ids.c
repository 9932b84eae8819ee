/* SPDX-License-Identifier: MIT */
/* Knows CLONE_PIDFD, CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID, set_tid and CLONE_PARENT: who the child is, and whose. */
#include "claims.h"

#include <linux/futex.h>
#include <poll.h>
#include <time.h>

/* waitid(2): P_PIDFD of older headers; pidfd_send_signal(2) has the same number everywhere. */
#define WAIT_PIDFD 3
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* A child with these pids, the innermost namespace's first; as fork(2) returns, -1 with errno. */
static pid_t fork_as(const pid_t *tids, size_t count, uint64_t flags)
{
        struct clone_args args = {
                .flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)tids, .set_tid_size = count};
        pid_t child = clone3_with(&args);
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

/* ---- CLONE_PIDFD ---- */

static pid_t fork_pidfd(int *fd)
{
        *fd = -1;
        struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)fd, .exit_signal = SIGCHLD};
        pid_t child = (pid_t)MUST(clone3_with(&args));
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

static void pidfd_is_of_child(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        char path[64], text[1024];
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        MUST(read_file(path, text, sizeof(text)));
        int pid = 0;
        char *line = strstr(text, "\nPid:");
        HOLDS(line != NULL && sscanf(line, "\nPid: %d", &pid) == 1 && pid == child, "it is of %d, not %d", pid, child);
        shared->number[0] = 1;
        ends_well(child);
}

static void pidfd_is_close_on_exec(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0)
                _exit(0);
        int flags = fcntl(fd, F_GETFD);
        HOLDS(flags == FD_CLOEXEC, "its flags are %d", flags);
        ends_well(child);
}

static void pidfd_is_the_parents(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0) {
                wait_for(&shared->number[1], 1);
                HOLDS(fcntl(shared->number[0], F_GETFD) < 0, "fd %d is open in the child", shared->number[0]);
                _exit(0);
        }
        HOLDS(fd >= 0, "there is no pidfd");
        shared->number[0] = fd;
        shared->number[1] = 1;
        ends_well(child);
}

static void pidfd_tells_the_end(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        struct pollfd one = {.fd = fd, .events = POLLIN};
        HOLDS(poll(&one, 1, 0) == 0, "it is readable, or no fd, while the child runs");
        shared->number[0] = 1;
        HOLDS(poll(&one, 1, 5000) == 1 && one.revents & POLLIN, "it is not readable after the child's end");
        ends_well(child);
}

static void pidfd_sends(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0)
                for (;;)
                        pause();
        MUST(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
        int status;
        MUST(waitpid(child, &status, 0));
        HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "its status is %d", status);
}

static void pidfd_waits(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0)
                _exit(7);
        siginfo_t info;
        MUST(waitid((idtype_t)WAIT_PIDFD, (id_t)fd, &info, WEXITED));
        HOLDS(info.si_pid == child && info.si_status == 7, "it tells of %d, status %d", info.si_pid, info.si_status);
}

static void pidfd_outlives(void)
{
        int fd;
        pid_t child = fork_pidfd(&fd);
        if (child == 0)
                _exit(0);
        ends_well(child);
        REFUSED(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
}

static void pidfd_is_not_the_numbers(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                int fd;
                pid_t first = fork_pidfd(&fd);
                if (first == 0)
                        _exit(0);
                ends_well(first);
                pid_t next = (pid_t)MUST(fork_as(&first, 1, 0));
                if (next == 0) {
                        wait_for(&shared->number[0], 1);
                        _exit(0);
                }
                HOLDS(next == first, "the next one is %d, not %d", next, first);
                long r = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
                int refused = r == 0 ? 0 : errno;
                shared->number[0] = 1;
                HOLDS(refused == ESRCH, "%s", r == 0 ? "it reached the next one" : strerror(refused));
                ends_well(next);
        }
}

/* ---- CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID ---- */

static pid_t fork_settid(uint64_t flags, volatile int *parents, volatile int *childs)
{
        struct clone_args args = {.flags = flags,
                                  .parent_tid = (uint64_t)(uintptr_t)parents,
                                  .child_tid = (uint64_t)(uintptr_t)childs,
                                  .exit_signal = SIGCHLD};
        return (pid_t)MUST(clone3_with(&args));
}

static void parent_settid_stores(void)
{
        volatile int tid = 0;
        pid_t child = fork_settid(CLONE_PARENT_SETTID, &tid, NULL);
        if (child == 0)
                _exit(0);
        HOLDS(tid == child, "it is %d, not %d", tid, child);
        ends_well(child);
}

static void parent_settid_is_there_at_once(void)
{
        pid_t child = fork_settid(CLONE_PARENT_SETTID, &shared->number[0], NULL);
        if (child == 0) {
                HOLDS(shared->number[0] == getpid(), "in shared memory the child reads %d", shared->number[0]);
                _exit(0);
        }
        ends_well(child);
}

static void child_settid_stores(void)
{
        volatile int tid = 0;
        pid_t child = fork_settid(CLONE_CHILD_SETTID, NULL, &tid);
        if (child == 0) {
                HOLDS(tid == getpid(), "the child reads %d", tid);
                _exit(0);
        }
        ends_well(child);
}

static void child_settid_is_the_childs(void)
{
        volatile int tid = 0;
        pid_t child = fork_settid(CLONE_CHILD_SETTID, NULL, &tid);
        if (child == 0) {
                shared->number[0] = tid;
                _exit(0);
        }
        ends_well(child);
        HOLDS(shared->number[0] == child, "the child reads %d", shared->number[0]);
        HOLDS(tid == 0, "the parent, without CLONE_VM, reads %d", tid);
        pid_t other = fork_settid(CLONE_CHILD_SETTID, NULL, &shared->number[1]);
        if (other == 0)
                _exit(0);
        ends_well(other);
        HOLDS(shared->number[1] == other, "in shared memory the parent reads %d", shared->number[1]);
}

static void settid_is_as_the_childs_namespace(void)
{
        gain_privilege();
        volatile int parents = 0, childs = 0;
        pid_t child = fork_settid(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_NEWPID, &parents, &childs);
        if (child == 0) {
                HOLDS(childs == 1, "the child reads %d", childs);
                _exit(0);
        }
        HOLDS(parents == child, "the parent reads %d", parents);
        ends_well(child);
}

static volatile int cleared;
static int sleeps(void *unused)
{
        (void)unused;
        usleep(20000);
        return 0;
}

/* In memory that is shared: clone(2), whose wrapper takes the address last. */
static void cleartid_clears(void)
{
        static char stack[65536] __attribute__((aligned(16)));
        cleared = 7;
        pid_t child = clone(sleeps, stack + sizeof(stack), CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, &cleared);
        MUST(child);
        /* Woken as by futex(2), FUTEX_WAKE. */
        struct timespec limit = {.tv_sec = 5};
        while (cleared != 0)
                if (syscall(SYS_futex, &cleared, FUTEX_WAIT, 7, &limit, NULL, 0) < 0 && errno == ETIMEDOUT)
                        broken("it is still %d, and nobody was woken", cleared);
        ends_well(child);
}

static void cleartid_without_memory(void)
{
        shared->number[0] = 7;
        pid_t child = fork_settid(CLONE_CHILD_CLEARTID, NULL, &shared->number[0]);
        if (child == 0)
                _exit(0);
        ends_well(child);
        HOLDS(shared->number[0] == 7, "it is %d", shared->number[0]);
}

/* ---- set_tid ---- */

static void set_tid_sets(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_as((pid_t[]){77}, 1, 0);
                if (child == 0) {
                        HOLDS(getpid() == 77, "its pid is %d", getpid());
                        _exit(0);
                }
                HOLDS(child == 77, "clone3: %d, %s", child, strerror(errno));
                ends_well(child);
        }
}

static void set_tid_in_use(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
                REFUSED(fork_as((pid_t[]){1}, 1, 0), EEXIST);
}

static void set_tid_init_is_1(void)
{
        gain_privilege();
        REFUSED(fork_as((pid_t[]){2}, 1, CLONE_NEWPID), EINVAL);
        pid_t child = fork_as((pid_t[]){1}, 1, CLONE_NEWPID);
        if (child == 0)
                _exit(0);
        MUST(child);
        ends_well(child);
}

static void set_tid_of_two(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_as((pid_t[]){1, 88}, 2, CLONE_NEWPID);
                if (child == 0) {
                        HOLDS(getpid() == 1, "its pid inside is %d", getpid());
                        _exit(0);
                }
                HOLDS(child == 88, "clone3: %d, %s", child, strerror(errno));
                ends_well(child);
        }
}

static void set_tid_too_many(void)
{
        gain_privilege();
        pid_t tids[33];
        for (int i = 0; i < 33; i++)
                tids[i] = 1000;
        REFUSED(fork_as(tids, 33, 0), EINVAL);
}

static void set_tid_zero(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
                REFUSED(fork_as((pid_t[]){0}, 1, 0), EINVAL);
}

static void set_tid_needs_privilege(void)
{
        gain_privilege();
        uint64_t all = effective_capabilities();
        IN_CHILD(CLONE_NEWPID)
        {
                use_capabilities(all & ~(UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_CHECKPOINT_RESTORE));
                REFUSED(fork_as((pid_t[]){77}, 1, 0), EPERM);
                static const int either[] = {CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE};
                for (int i = 0; i < 2; i++) {
                        use_capabilities(UINT64_C(1) << either[i]);
                        pid_t child = (pid_t)MUST(fork_as((pid_t[]){77 + i}, 1, 0));
                        if (child == 0)
                                _exit(0);
                        ends_well(child);
                }
        }
}

/* ---- CLONE_PARENT ---- */

static void is_sibling(void)
{
        pid_t me = getpid();
        pid_t child = fork_with(0);
        if (child == 0) {
                pid_t sibling = fork_with(CLONE_PARENT);
                if (sibling == 0) {
                        HOLDS(getppid() == me, "its parent is %d", getppid());
                        _exit(0);
                }
                shared->number[0] = sibling;
                REFUSED(waitpid(sibling, NULL, __WALL), ECHILD);
                _exit(0);
        }
        ends_well(child);
        ends_well(shared->number[0]);
}

static void is_child_without(void)
{
        pid_t me = getpid();
        IN_CHILD(0)
                HOLDS(getppid() == me, "its parent is %d", getppid());
}

static void grandparent_waits(void)
{
        pid_t child = fork_with(0);
        if (child == 0) {
                pid_t sibling = fork_with(CLONE_PARENT);
                if (sibling == 0) {
                        wait_for(&shared->number[1], 1);
                        _exit(7);
                }
                shared->number[0] = sibling;
                _exit(0);
        }
        ends_well(child);
        shared->number[1] = 1;
        int status;
        HOLDS(waitpid(shared->number[0], &status, __WALL) == shared->number[0], "waitpid: %s", strerror(errno));
        HOLDS(WEXITSTATUS(status) == 7, "its status is %d", status);
}

static void refused_for_init(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                int refused = refusal_of(CLONE_PARENT, 0);
                HOLDS(refused == EINVAL, "%s", strerror(refused));
        }
}

static void no_exit_signal(void)
{
        int refused = refusal_of(CLONE_PARENT, SIGCHLD);
        HOLDS(refused == EINVAL, "%s", strerror(refused));
}

#define ID(flag, function, man, section, file, where, sentence) CLAIM(flag, function, man, section, file, where, sentence)
const struct claim ids_claims[] = {
        ID("CLONE_PIDFD", pidfd_is_of_child, "clone(2)", "CLONE_PIDFD", "kernel/fork.c", "pidfd_prepare", "with it, the parent gets an fd that refers to the child"),
        ID("CLONE_PIDFD", pidfd_is_close_on_exec, "clone(2)", "CLONE_PIDFD", "kernel/fork.c", "pidfd_prepare", "that fd is close-on-exec"),
        ID("CLONE_PIDFD", pidfd_is_the_parents, "clone(2)", "CLONE_PIDFD", "kernel/fork.c", "copy_process", "the fd is not in the child's table"),
        ID("CLONE_PIDFD", pidfd_tells_the_end, "pidfd_open(2)", "DESCRIPTION", "fs/pidfs.c", "pidfd_poll", "the fd becomes readable when the child ends"),
        ID("CLONE_PIDFD", pidfd_sends, "pidfd_send_signal(2)", "DESCRIPTION", "kernel/signal.c", "pidfd_send_signal", "a signal can be sent by the fd"),
        ID("CLONE_PIDFD", pidfd_waits, "waitid(2)", "P_PIDFD", "kernel/exit.c", "kernel_waitid", "the child can be waited for by the fd"),
        ID("CLONE_PIDFD", pidfd_outlives, "pidfd_send_signal(2)", "ESRCH", "kernel/signal.c", "pidfd_send_signal", "after the child was waited for, the fd refers to nobody: ESRCH"),
        ID("CLONE_PIDFD", pidfd_is_not_the_numbers, "pidfd_open(2)", "DESCRIPTION", "kernel/signal.c", "pidfd_send_signal", "the fd does not refer to the next process that gets the number"),
        ID("CLONE_SETTID", parent_settid_stores, "clone(2)", "CLONE_PARENT_SETTID", "kernel/fork.c", "kernel_clone", "CLONE_PARENT_SETTID stores the child's id in the parent's memory"),
        ID("CLONE_SETTID", parent_settid_is_there_at_once, "clone(2)", "CLONE_PARENT_SETTID", "kernel/fork.c", "kernel_clone", "CLONE_PARENT_SETTID has stored it before the child runs, where both have the memory"),
        ID("CLONE_SETTID", child_settid_stores, "clone(2)", "CLONE_CHILD_SETTID", "kernel/sched/core.c", "schedule_tail", "CLONE_CHILD_SETTID stores it in the child's memory before the child runs"),
        ID("CLONE_SETTID", child_settid_is_the_childs, "clone(2)", "CLONE_CHILD_SETTID", "kernel/sched/core.c", "schedule_tail", "CLONE_CHILD_SETTID leaves the parent's memory as it is, unless that is shared"),
        ID("CLONE_SETTID", settid_is_as_the_childs_namespace, "pid_namespaces(7)", "DESCRIPTION", "kernel/sched/core.c", "task_pid_vnr", "with CLONE_NEWPID each gets the id as its own pid namespace has it"),
        ID("CLONE_SETTID", cleartid_clears, "clone(2)", "CLONE_CHILD_CLEARTID", "kernel/fork.c", "mm_release", "CLONE_CHILD_CLEARTID clears it, and wakes who waits for that, when the child ends"),
        ID("CLONE_SETTID", cleartid_without_memory, "clone(2)", "CLONE_CHILD_CLEARTID", "kernel/fork.c", "mm_release", "CLONE_CHILD_CLEARTID does nothing where the child has a memory of its own, not even in a shared mapping"),
        ID("set_tid", set_tid_sets, "clone(2)", "The set_tid array", "kernel/pid.c", "alloc_pid", "the child gets the pid that the caller chose"),
        ID("set_tid", set_tid_in_use, "clone(2)", "EEXIST", "kernel/pid.c", "alloc_pid", "a pid that is in use is EEXIST"),
        ID("set_tid", set_tid_init_is_1, "clone(2)", "EINVAL", "kernel/pid.c", "alloc_pid", "in a new pid namespace it can only be 1: EINVAL"),
        ID("set_tid", set_tid_of_two, "clone(2)", "The set_tid array", "kernel/pid.c", "alloc_pid", "it may choose for several nested pid namespaces at once, the innermost first"),
        ID("set_tid", set_tid_zero, "clone(2)", "EINVAL", "kernel/pid.c", "alloc_pid", "0 is EINVAL"),
        ID("set_tid", set_tid_too_many, "clone(2)", "EINVAL", "kernel/fork.c", "copy_clone_args_from_user", "more than 32, as deep as pid namespaces nest, is EINVAL"),
        ID("set_tid", set_tid_needs_privilege, "clone(2)", "EPERM", "kernel/pid.c", "alloc_pid", "it needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE over the owner of the pid namespace: EPERM"),
        ID("CLONE_PARENT", is_sibling, "clone(2)", "CLONE_PARENT", "kernel/fork.c", "copy_process", "with it, the child is a sibling: its parent is the caller's, and the caller cannot wait for it"),
        ID("CLONE_PARENT", grandparent_waits, "clone(2)", "CLONE_PARENT", "kernel/fork.c", "copy_process", "the caller's parent waits for the sibling, even when the caller has ended"),
        ID("CLONE_PARENT", is_child_without, "clone(2)", "CLONE_PARENT", "kernel/fork.c", "copy_process", "without it, the child's parent is the caller"),
        ID("CLONE_PARENT", refused_for_init, "clone(2)", "EINVAL", "kernel/fork.c", "copy_process", "the init of a pid namespace cannot: EINVAL"),
        ID("CLONE_PARENT", no_exit_signal, "clone(2)", "EINVAL", "kernel/fork.c", "clone3_args_valid", "with an exit signal of its own it is EINVAL: that is the caller's"),
};
COUNT_CLAIMS(ids);
