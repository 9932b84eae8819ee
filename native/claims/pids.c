/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_NEWPID gives: numbers of its own, an init, and the end of all with it. */
#include "claims.h"

#include <stdlib.h>


static void is_one(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
                HOLDS(getpid() == 1, "its pid is %d", getpid());
}

static void parent_shows_as_0(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
                HOLDS(getppid() == 0, "its parent is %d", getppid());
}

static void has_number_outside(void)
{
        gain_privilege();
        pid_t child = fork_with(CLONE_NEWPID);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        char value[64];
        int outer = 0, inner = 0, innermost = 0;
        status_field(child, "NSpid", value, sizeof(value));
        shared->number[0] = 1;
        int count = sscanf(value, "%d %d %d", &outer, &inner, &innermost);
        HOLDS(count == 2 && outer == child && inner == 1, "NSpid is %s", value);
        ends_well(child);
}

static void counts_from_1(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_with(0);
                if (child == 0)
                        _exit(0);
                HOLDS(child == 2, "the init's first child is %d", child);
                ends_well(child);
        }
}

static void end_of_init_kills(void)
{
        gain_privilege();
        int pipes[2];
        MUST(pipe(pipes));
        pid_t init = fork_with(CLONE_NEWPID);
        if (init == 0) {
                if (fork() == 0) {
                        /* In a session of its own, ignoring what can be ignored, and no child's death signal. */
                        setsid();
                        signal(SIGHUP, SIG_IGN);
                        signal(SIGTERM, SIG_IGN);
                        shared->number[0] = 1;
                        for (;;)
                                pause();
                }
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        close(pipes[1]);
        ends_well(init);
        /* Only when each holder of the write end has ended. */
        char c;
        int flags = fcntl(pipes[0], F_GETFL);
        MUST(fcntl(pipes[0], F_SETFL, flags | O_NONBLOCK));
        ssize_t n = read(pipes[0], &c, 1);
        HOLDS(n == 0, "a process of it still runs after its init was waited for");
}

static void fork_after_init_fails(void)
{
        gain_privilege();
        MUST(unshare_with(CLONE_NEWPID));
        pid_t init = fork_with(0);
        if (init == 0)
                _exit(0);
        ends_well(init);
        int refused = refusal_of(0, SIGCHLD);
        HOLDS(refused == ENOMEM, "fork: %s", strerror(refused));
}

static void unshare_moves_children_only(void)
{
        gain_privilege();
        pid_t before = getpid();
        ino_t outside = namespace_of(0, "pid");
        MUST(unshare_with(CLONE_NEWPID));
        HOLDS(getpid() == before, "the caller's pid became %d", getpid());
        HOLDS(namespace_of(0, "pid") == outside, "the caller moved");
        IN_CHILD(0)
                HOLDS(getpid() == 1, "the first child is %d", getpid());
}

static void for_children_shows_it(void)
{
        gain_privilege();
        MUST(unshare_with(CLONE_NEWPID));
        pid_t child = fork_with(0);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        bool same = namespace_of(0, "pid_for_children") == namespace_of(child, "pid");
        bool moved = namespace_of(0, "pid_for_children") != namespace_of(0, "pid");
        shared->number[0] = 1;
        HOLDS(moved, "pid_for_children is the namespace that the caller is in");
        HOLDS(same, "pid_for_children is not where the child is");
        ends_well(child);
}

static void for_children_is_empty_first(void)
{
        gain_privilege();
        MUST(unshare_with(CLONE_NEWPID));
        char target[64];
        REFUSED(readlink("/proc/thread-self/ns/pid_for_children", target, sizeof(target)), ENOENT);
}

static void unshare_once(void)
{
        gain_privilege();
        MUST(unshare_with(CLONE_NEWPID));
        IN_CHILD(0)
                ;
        REFUSED(unshare_with(CLONE_NEWPID), EINVAL);
}

static void no_threads_after_unshare(void)
{
        gain_privilege();
        MUST(unshare_with(CLONE_NEWPID));
        int refused = refusal_of(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0);
        HOLDS(refused == EINVAL, "a thread: %s", strerror(refused));
}

static void init_adopts(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_with(0);
                if (child == 0) {
                        if (fork() == 0) {
                                while (getppid() == 2)
                                        usleep(500);
                                shared->number[0] = getppid();
                                _exit(7);
                        }
                        _exit(0);
                }
                ends_well(child);
                int status;
                MUST(waitpid(-1, &status, 0));
                HOLDS(WEXITSTATUS(status) == 7, "the orphan's status is %d", status);
                HOLDS(shared->number[0] == 1, "the orphan's parent is %d", shared->number[0]);
        }
}

static void init_ignores_signals_inside(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_with(0);
                if (child == 0) {
                        MUST(kill(1, SIGTERM));
                        MUST(kill(1, SIGKILL));
                        _exit(0);
                }
                ends_well(child);
        }
}

static void init_dies_from_outside(void)
{
        gain_privilege();
        pid_t init = fork_with(CLONE_NEWPID);
        if (init == 0) {
                /* So that SIGTERM, too, finds the default action. */
                shared->number[0] = 1;
                for (;;)
                        pause();
        }
        wait_for(&shared->number[0], 1);
        MUST(kill(init, SIGTERM));
        usleep(20000);
        HOLDS(waitpid(init, NULL, WNOHANG) == 0, "SIGTERM from outside ended the init");
        MUST(kill(init, SIGKILL));
        int status;
        MUST(waitpid(init, &status, 0));
        HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "its status is %d", status);
}

static void sees_no_one_outside(void)
{
        gain_privilege();
        pid_t outside = getpid();
        if (outside == 1)
                skip("needs a pid other than 1 outside");
        IN_CHILD(CLONE_NEWPID)
                REFUSED(kill(outside, 0), ESRCH);
}

static void proc_shows_mounters(void)
{
        have_own_mounts();
        ino_t before = namespace_of(0, "pid");
        pid_t outer = getpid();
        IN_CHILD(CLONE_NEWPID)
        {
                char target[32] = {0};
                /* The old /proc has the numbers of whoever mounted it. */
                ssize_t n = readlink("/proc/self", target, sizeof(target) - 1);
                HOLDS(n > 0 && atoi(target) != 1 && atoi(target) != outer, "the old /proc names it %s", target);
                MUST(mkdir("/tmp/proc", 0755));
                if (mount("proc", "/tmp/proc", "proc", 0, NULL) < 0)
                        skip("no privilege to mount proc: %s", strerror(errno));
                memset(target, 0, sizeof(target));
                MUST(readlink("/tmp/proc/self", target, sizeof(target) - 1));
                HOLDS(strcmp(target, "1") == 0, "the new /proc names it %s", target);
                struct stat status;
                MUST(stat("/tmp/proc/1/ns/pid", &status));
                HOLDS(status.st_ino != before, "it shows the old namespace");
                MUST(umount2("/tmp/proc", MNT_DETACH));
        }
}

static void setns_down_only(void)
{
        gain_privilege();
        /* One within the other, so that the outer one is the caller's own, too. */
        IN_CHILD(CLONE_NEWPID)
        {
                int outer = (int)MUST(open("/proc/thread-self/ns/pid", O_RDONLY | O_CLOEXEC));
                IN_CHILD(CLONE_NEWPID)
                        REFUSED(setns(outer, CLONE_NEWPID), EINVAL);
        }
}

static void setns_for_children(void)
{
        gain_privilege();
        pid_t init = fork_with(CLONE_NEWPID);
        if (init == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
        int fd = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
        pid_t before = getpid();
        MUST(setns(fd, CLONE_NEWPID));
        HOLDS(getpid() == before, "the caller's pid became %d", getpid());
        IN_CHILD(0)
                HOLDS(getpid() == 2 && getppid() == 0, "the child is %d, its parent %d", getpid(), getppid());
        shared->number[0] = 1;
        ends_well(init);
}

static void nests(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWPID)
        {
                pid_t child = fork_with(CLONE_NEWPID);
                if (child == 0) {
                        HOLDS(getpid() == 1, "the inner init is %d", getpid());
                        _exit(0);
                }
                HOLDS(child == 2, "the outer init knows it as %d", child);
                ends_well(child);
        }
}

/* Each level is the init of the next; how deep the innermost is, or the errno of the first that is refused below it. */
static void nest_deeper(int depth)
{
        /* Where --drop takes the flag out, nothing refuses. */
        if (depth == 64)
                return;
        struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
        pid_t child = clone3_with(&args);
        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                shared->number[0] = depth + 1;
                nest_deeper(depth + 1);
                _exit(0);
        }
        if (child < 0)
                shared->number[1] = errno;
        else
                ends_well(child);
}

static void nests_to_32(void)
{
        gain_privilege();
        /* The initial one has a number of its own (include/uapi/linux/nsfs.h, PID_NS_INIT_INO); in a nested one it is that many fewer. */
        bool outermost = namespace_of(0, "pid") == 0xEFFFFFFCU;
        nest_deeper(0);
        HOLDS(shared->number[1] == ENOSPC, "refused with %s", strerror(shared->number[1]));
        HOLDS(outermost ? shared->number[0] == 32 : shared->number[0] < 32, "%d levels below", shared->number[0]);
}

#define PID(function, man, section, file, where, sentence) CLAIM("CLONE_NEWPID", function, man, section, file, where, sentence)
const struct claim pids_claims[] = {
        PID(is_one, "pid_namespaces(7)", "The namespace init process", "kernel/pid.c", "alloc_pid", "the child is 1 in its own eyes"),
        PID(parent_shows_as_0, "pid_namespaces(7)", "Nesting PID namespaces", "kernel/pid.c", "pid_nr_ns", "its parent, who is outside, shows as 0"),
        PID(has_number_outside, "pid_namespaces(7)", "Nesting PID namespaces", "fs/proc/array.c", "task_state", "it has a pid in every namespace from its own outwards"),
        PID(counts_from_1, "pid_namespaces(7)", "DESCRIPTION", "kernel/pid.c", "alloc_pid", "numbers inside begin anew: the init's first child is 2"),
        PID(sees_no_one_outside, "pid_namespaces(7)", "Nesting PID namespaces", "kernel/pid.c", "find_vpid", "nobody inside can name a process outside: ESRCH"),
        PID(end_of_init_kills, "pid_namespaces(7)", "The namespace init process", "kernel/pid_namespace.c", "zap_pid_ns_processes", "when its init ends, all in it are killed, before the init can be waited for"),
        PID(fork_after_init_fails, "pid_namespaces(7)", "The namespace init process", "kernel/pid.c", "alloc_pid", "without its init nobody can be born into it: ENOMEM"),
        PID(init_adopts, "pid_namespaces(7)", "The namespace init process", "kernel/exit.c", "find_child_reaper", "orphans inside become children of its init, which can reap them"),
        PID(init_ignores_signals_inside, "pid_namespaces(7)", "The namespace init process", "kernel/signal.c", "sig_task_ignored", "from inside, the init cannot be killed, not even by SIGKILL"),
        PID(init_dies_from_outside, "pid_namespaces(7)", "The namespace init process", "kernel/signal.c", "sig_task_ignored", "from outside, SIGTERM that it has no handler for does nothing to the init, and SIGKILL ends it"),
        PID(unshare_moves_children_only, "unshare(2)", "CLONE_NEWPID", "kernel/nsproxy.c", "unshare_nsproxy_namespaces", "unshare(CLONE_NEWPID) leaves the caller where it is; its first child is 1"),
        PID(for_children_shows_it, "namespaces(7)", "/proc/pid/ns/pid_for_children", "kernel/pid_namespace.c", "pidns_for_children_get", "pid_for_children is where the next child will be born"),
        PID(for_children_is_empty_first, "namespaces(7)", "/proc/pid/ns/pid_for_children", "kernel/pid_namespace.c", "pidns_for_children_get", "after unshare, pid_for_children cannot be read until there is a first child"),
        PID(unshare_once, "pid_namespaces(7)", "setns(2) and unshare(2) semantics", "kernel/pid_namespace.c", "copy_pid_ns", "a second unshare(CLONE_NEWPID) is EINVAL"),
        PID(no_threads_after_unshare, "pid_namespaces(7)", "Compatibility of CLONE_NEWPID with other CLONE_* flags", "kernel/fork.c", "copy_process", "after unshare(CLONE_NEWPID) the caller can begin no thread: EINVAL"),
        PID(setns_for_children, "pid_namespaces(7)", "setns(2) and unshare(2) semantics", "kernel/pid_namespace.c", "pidns_install", "setns into a pid namespace moves only the children born from then on"),
        PID(setns_down_only, "pid_namespaces(7)", "setns(2) and unshare(2) semantics", "kernel/pid_namespace.c", "pidns_install", "setns goes inwards only: to the parent's pid namespace it is EINVAL"),
        PID(nests, "pid_namespaces(7)", "Nesting PID namespaces", "kernel/pid_namespace.c", "create_pid_namespace", "pid namespaces nest: each has its own 1"),
        PID(nests_to_32, "clone(2)", "ENOSPC", "kernel/pid_namespace.c", "create_pid_namespace", "pid namespaces nest 32 deep below the initial one, and no deeper: ENOSPC"),
        PID(proc_shows_mounters, "pid_namespaces(7)", "/proc and PID namespaces", "fs/proc/root.c", "proc_init_fs_context", "a proc mount shows the pids of whoever mounted it, not of whoever looks"),
};
COUNT_CLAIMS(pids);
