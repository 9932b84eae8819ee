/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_VM, CLONE_VFORK, CLONE_SIGHAND, CLONE_CLEAR_SIGHAND, CLONE_THREAD and CLONE_SYSVSEM share. */
#include "claims.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <time.h>

static volatile int cell;

/* ---- CLONE_VM ---- */

static int writes(void *unused)
{
        (void)unused;
        cell = 7;
        return 0;
}

static void write_is_seen(void)
{
        ends_well(run_with(CLONE_VM, writes, NULL));
        HOLDS(cell == 7, "the parent reads %d", cell);
}

static void write_is_not_seen_without(void)
{
        IN_CHILD(0)
                cell = 7;
        HOLDS(cell == 0, "the parent reads %d", cell);
}

static void *mapped;
static int maps(void *unused)
{
        (void)unused;
        mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return mapped == MAP_FAILED;
}

static void mapping_is_seen(void)
{
        mapped = NULL;
        ends_well(run_with(CLONE_VM, maps, NULL));
        HOLDS(mapped != NULL, "the child's memory is another");
        unsigned char resident;
        MUST(mincore(mapped, 4096, &resident));
}

static int unmaps(void *address)
{
        return munmap(address, 4096) < 0;
}

static void unmapping_is_seen(void)
{
        void *address = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        HOLDS(address != MAP_FAILED, "mmap: %s", strerror(errno));
        ends_well(run_with(CLONE_VM, unmaps, address));
        unsigned char resident;
        REFUSED(mincore(address, 4096, &resident), ENOMEM);
}

static int waits_for_1(void *unused)
{
        (void)unused;
        while (shared->number[0] != 1)
                usleep(500);
        return 0;
}

static void kcmp_sees_it(void)
{
        pid_t child = run_with(CLONE_VM, waits_for_1, NULL);
        /* KCMP_VM, include/uapi/linux/kcmp.h. */
        int same = compare(getpid(), child, 1);
        shared->number[0] = 1;
        ends_well(child);
        HOLDS(same == 0, "kcmp sees two");
}

static int execs(void *unused)
{
        (void)unused;
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execl("/proc/self/exe", "nsview-claims", "--list", "CLONE_VM", NULL);
        return 3;
}

static void exec_leaves_it(void)
{
        cell = 5;
        ends_well(run_with(CLONE_VM, execs, NULL));
        HOLDS(cell == 5, "the parent reads %d", cell);
}

static void private_mapping_survives_fork(void)
{
        int *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int *common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        HOLDS(private != MAP_FAILED && common != MAP_FAILED, "mmap: %s", strerror(errno));
        *private = 3;
        IN_CHILD(0)
        {
                HOLDS(*private == 3, "the child reads %d", *private);
                *private = 4;
                *common = 4;
        }
        HOLDS(*private == 3, "the parent reads %d", *private);
        HOLDS(*common == 4, "the parent reads %d in MAP_SHARED", *common);
}

/* ---- CLONE_VFORK ---- */

static void vfork_waits_for_exit(void)
{
        pid_t child = fork_with(CLONE_VFORK);
        if (child == 0) {
                usleep(30000);
                shared->number[0] = 1;
                _exit(0);
        }
        HOLDS(shared->number[0] == 1, "the parent ran on while the child lived");
        ends_well(child);
}

static void vfork_waits_for_exec(void)
{
        int pipes[2];
        MUST(pipe(pipes));
        pid_t child = fork_with(CLONE_VFORK);
        if (child == 0) {
                usleep(30000);
                shared->number[0] = 1;
                close(pipes[1]);
                dup2(pipes[0], 0);
                execl("/bin/cat", "cat", NULL);
                _exit(3);
        }
        HOLDS(shared->number[0] == 1, "the parent ran on before execve");
        int gone = waitpid(child, NULL, WNOHANG);
        HOLDS(gone == 0, "the parent was held until the end, not until execve");
        close(pipes[1]);
        ends_well(child);
}

static void fork_does_not_wait(void)
{
        pid_t child = fork_with(0);
        if (child == 0) {
                /* Would wait for ever if the parent waited for this. */
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        shared->number[0] = 1;
        ends_well(child);
}

static void vfork_copies_memory(void)
{
        shared->number[0] = 0;
        pid_t child = fork_with(CLONE_VFORK);
        if (child == 0) {
                cell = 9;
                usleep(30000);
                shared->number[0] = 1;
                _exit(0);
        }
        HOLDS(shared->number[0] == 1, "the parent was not held");
        HOLDS(cell == 0, "the parent reads %d", cell);
        ends_well(child);
}

/* ---- CLONE_SIGHAND, CLONE_CLEAR_SIGHAND ---- */

static void on_signal(int signal)
{
        (void)signal;
}

static void *handler_of(int signal)
{
        struct sigaction now;
        MUST(sigaction(signal, NULL, &now));
        return (void *)now.sa_handler;
}

static int handles(void *unused)
{
        (void)unused;
        struct sigaction action = {.sa_handler = on_signal};
        return sigaction(SIGUSR1, &action, NULL) < 0;
}

static void handler_is_linked(void)
{
        ends_well(run_with(CLONE_VM | CLONE_SIGHAND, handles, NULL));
        HOLDS(handler_of(SIGUSR1) == (void *)on_signal, "the parent's disposition is as before");
}

static void handler_is_copied(void)
{
        signal(SIGUSR1, on_signal);
        IN_CHILD(0)
        {
                HOLDS(handler_of(SIGUSR1) == (void *)on_signal, "the child has not inherited the handler");
                signal(SIGUSR1, SIG_IGN);
        }
        HOLDS(handler_of(SIGUSR1) == (void *)on_signal, "the child's sigaction changed the parent");
}

static int blocks(void *unused)
{
        (void)unused;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        return sigprocmask(SIG_BLOCK, &set, NULL) < 0;
}

static void mask_is_not(void)
{
        ends_well(run_with(CLONE_VM | CLONE_SIGHAND, blocks, NULL));
        sigset_t set;
        MUST(sigprocmask(SIG_BLOCK, NULL, &set));
        HOLDS(!sigismember(&set, SIGUSR1), "SIGUSR1 is blocked in the parent");
}

static int pending_1(void *unused)
{
        (void)unused;
        sigset_t set;
        MUST(sigpending(&set));
        HOLDS(!sigismember(&set, SIGUSR1), "the child has the parent's pending signal");
        return 0;
}

static void pending_is_not(void)
{
        blocks(NULL);
        MUST(kill(getpid(), SIGUSR1));
        sigset_t set;
        MUST(sigpending(&set));
        HOLDS(sigismember(&set, SIGUSR1), "it is not pending in the parent");
        ends_well(run_with(CLONE_VM | CLONE_SIGHAND, pending_1, NULL));
}

static void kcmp_sees_handlers(void)
{
        pid_t child = run_with(CLONE_VM | CLONE_SIGHAND, waits_for_1, NULL);
        /* KCMP_SIGHAND */
        int same = compare(getpid(), child, 4);
        shared->number[0] = 1;
        ends_well(child);
        HOLDS(same == 0, "kcmp sees two");
}

static void need_clear(void)
{
        if (refusal_of(CLONE_CLEAR_SIGHAND, SIGCHLD) == EINVAL)
                skip("kernel lacks CLONE_CLEAR_SIGHAND");
}

static void handlers_are_cleared(void)
{
        need_clear();
        signal(SIGUSR1, on_signal);
        IN_CHILD(CLONE_CLEAR_SIGHAND)
                HOLDS(handler_of(SIGUSR1) == (void *)SIG_DFL, "the child has the handler");
        HOLDS(handler_of(SIGUSR1) == (void *)on_signal, "the parent has lost its own");
}

static void ignored_stays(void)
{
        need_clear();
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, on_signal);
        IN_CHILD(CLONE_CLEAR_SIGHAND)
        {
                HOLDS(handler_of(SIGUSR1) == (void *)SIG_IGN, "SIGUSR1 is not ignored any more");
                HOLDS(handler_of(SIGUSR2) == (void *)SIG_DFL, "SIGUSR2 is still handled");
        }
}

static void clear_and_share(void)
{
        need_clear();
        int refused = refusal_of(CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM, SIGCHLD);
        HOLDS(refused == EINVAL, "%s", strerror(refused));
}

/* ---- CLONE_THREAD ---- */

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

static struct {
        volatile int pid, tid, ppid, done;
} thread;

static int tells_ids(void *unused)
{
        (void)unused;
        thread.pid = getpid();
        thread.ppid = getppid();
        thread.tid = (int)syscall(SYS_gettid);
        thread.done = 1;
        /* Not exit_group(2), with which the C library's return would end all. */
        return (int)syscall(SYS_exit, 0);
}

static pid_t run_thread(int (*run)(void *))
{
        thread.done = 0;
        pid_t tid = run_with(THREAD_FLAGS, run, NULL);
        wait_for(&thread.done, 1);
        return tid;
}

static void pid_is_one(void)
{
        run_thread(tells_ids);
        HOLDS(thread.pid == getpid(), "the thread's pid is %d", thread.pid);
        HOLDS(thread.tid != getpid(), "the thread's id is the pid");
}

static void parent_is_one(void)
{
        run_thread(tells_ids);
        HOLDS(thread.ppid == getppid(), "the thread's parent is %d", thread.ppid);
        HOLDS(thread.pid == getpid(), "it is no thread");
}

static void cannot_be_waited_for(void)
{
        pid_t tid = run_thread(tells_ids);
        REFUSED(waitpid(tid, NULL, __WALL), ECHILD);
}

static int lingers(void *unused)
{
        (void)unused;
        thread.done = 1;
        while (thread.done)
                pause();
        return 0;
}

static void is_listed(void)
{
        pid_t tid = run_thread(lingers);
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
        HOLDS(access(path, F_OK) == 0, "%s is not there", path);
}

static void exit_group_ends_all(void)
{
        IN_CHILD(0)
        {
                run_thread(lingers);
                _exit(0);
        }
}

static int leaves_alone(void *unused)
{
        (void)unused;
        thread.done = 1;
        while (thread.done)
                pause();
        return 0;
}

static void fatal_signal_ends_all(void)
{
        pid_t child = fork_with(0);
        if (child == 0) {
                pid_t tid = run_thread(leaves_alone);
                syscall(SYS_tgkill, getpid(), tid, SIGTERM);
                for (;;)
                        pause();
        }
        int status;
        MUST(waitpid(child, &status, 0));
        HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "its status is %d", status);
}

static int execs_away(void *unused)
{
        (void)unused;
        thread.done = 1;
        execl("/bin/sh", "sh", "-c", "exit $(( $$ == PARENT ? 0 : 9 ))", NULL);
        _exit(3);
}

static void exec_takes_the_pid(void)
{
        pid_t child = fork_with(0);
        if (child == 0) {
                char text[16];
                snprintf(text, sizeof(text), "%d", getpid());
                setenv("PARENT", text, 1);
                run_with(THREAD_FLAGS, execs_away, NULL);
                for (;;)
                        pause();
        }
        ends_well(child);
}

static void signal_is_the_process(void)
{
        run_thread(lingers);
        blocks(NULL);
        /* The other thread does not block it, and takes it. */
        signal(SIGUSR1, on_signal);
        MUST(kill(getpid(), SIGUSR1));
        sigset_t set;
        for (int tries = 0; tries < 1000; tries++) {
                MUST(sigpending(&set));
                if (!sigismember(&set, SIGUSR1))
                        return;
                usleep(1000);
        }
        broken("no thread took the signal");
}

static void thread_needs_sighand(void)
{
        int refused = refusal_of(CLONE_THREAD | CLONE_VM, 0);
        HOLDS(refused == EINVAL, "%s", strerror(refused));
}

static void sighand_needs_vm(void)
{
        int refused = refusal_of(CLONE_SIGHAND, SIGCHLD);
        HOLDS(refused == EINVAL, "%s", strerror(refused));
}

static int waits_cwd(void *unused)
{
        (void)unused;
        MUST(chdir("/proc"));
        thread.done = 1;
        return (int)syscall(SYS_exit, 0);
}

static void thread_may_have_own_directory(void)
{
        MUST(chdir("/"));
        run_thread(waits_cwd);
        char now[256];
        MUST(syscall(SYS_getcwd, now, sizeof(now)));
        HOLDS(strcmp(now, "/") == 0, "the caller is in %s", now);
}

/* ---- CLONE_SYSVSEM ---- */

static int semaphore(void)
{
        gain_privilege();
        if (unshare(CLONE_NEWIPC) < 0)
                skip("kernel lacks IPC namespaces: %s", strerror(errno));
        return (int)MUST(semget(IPC_PRIVATE, 1, 0600));
}

static void undo_waits_for_all(void)
{
        int id = semaphore();
        struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};
        IN_CHILD(CLONE_SYSVSEM)
                MUST(semop(id, &up, 1));
        int value = semctl(id, 0, GETVAL);
        HOLDS(value == 1, "the value is %d: undone when the child ended", value);
}

static void undo_at_end_without(void)
{
        int id = semaphore();
        struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};
        IN_CHILD(0)
                MUST(semop(id, &up, 1));
        int value = semctl(id, 0, GETVAL);
        HOLDS(value == 0, "the value is %d: not undone", value);
}

static void undo_is_not_inherited(void)
{
        int id = semaphore();
        struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};
        MUST(semop(id, &up, 1));
        IN_CHILD(0)
                ;
        int value = semctl(id, 0, GETVAL);
        HOLDS(value == 1, "the value is %d: the child's end undid what the parent did", value);
}

static void unshare_undoes(void)
{
        int id = semaphore();
        struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};
        MUST(semop(id, &up, 1));
        MUST(unshare(CLONE_SYSVSEM));
        int value = semctl(id, 0, GETVAL);
        HOLDS(value == 0, "the value is %d: not undone", value);
}

static void kcmp_sees_undo(void)
{
        int id = semaphore();
        struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};
        MUST(semop(id, &up, 1));
        pid_t child = fork_with(CLONE_SYSVSEM);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        /* KCMP_SYSVSEM */
        int same = compare(getpid(), child, 6);
        shared->number[0] = 1;
        ends_well(child);
        HOLDS(same == 0, "kcmp sees two");
}

#define MEM(flag, function, man, section, file, where, sentence) CLAIM("CLONE_" flag, function, man, section, file, where, sentence)
const struct claim memory_claims[] = {
        MEM("VM", write_is_seen, "clone(2)", "CLONE_VM", "kernel/fork.c", "copy_mm", "with it, the parent reads what the child writes to memory"),
        MEM("VM", mapping_is_seen, "clone(2)", "CLONE_VM", "kernel/fork.c", "copy_mm", "with it, what the child maps is mapped in the parent"),
        MEM("VM", unmapping_is_seen, "clone(2)", "CLONE_VM", "kernel/fork.c", "copy_mm", "with it, what the child unmaps is gone from the parent"),
        MEM("VM", kcmp_sees_it, "kcmp(2)", "KCMP_VM", "kernel/kcmp.c", "kcmp", "with it, kcmp sees one memory"),
        MEM("VM", exec_leaves_it, "execve(2)", "Effect on process attributes", "fs/exec.c", "exec_mmap", "execve in the child gives it a memory of its own and leaves the parent's whole"),
        MEM("VM", write_is_not_seen_without, "fork(2)", "DESCRIPTION", "kernel/fork.c", "dup_mm", "without it, what the child writes to private memory stays its own"),
        MEM("VM", private_mapping_survives_fork, "fork(2)", "DESCRIPTION", "mm/memory.c", "copy_page_range", "without it, the child begins with a copy of private mappings, and MAP_SHARED ones stay shared"),
        MEM("VFORK", vfork_waits_for_exit, "clone(2)", "CLONE_VFORK", "kernel/fork.c", "wait_for_vfork_done", "with it, the parent is held until the child ends"),
        MEM("VFORK", vfork_waits_for_exec, "clone(2)", "CLONE_VFORK", "kernel/fork.c", "mm_release", "with it, the parent is let go when the child calls execve"),
        MEM("VFORK", fork_does_not_wait, "clone(2)", "CLONE_VFORK", "kernel/fork.c", "kernel_clone", "without it, the parent runs on beside the child"),
        MEM("VFORK", vfork_copies_memory, "clone(2)", "CLONE_VFORK", "kernel/fork.c", "copy_mm", "by itself it shares no memory: that is CLONE_VM"),
        MEM("SIGHAND", handler_is_linked, "clone(2)", "CLONE_SIGHAND", "kernel/fork.c", "copy_sighand", "with it, a handler that the child sets is the parent's, too"),
        MEM("SIGHAND", kcmp_sees_handlers, "kcmp(2)", "KCMP_SIGHAND", "kernel/kcmp.c", "kcmp", "with it, kcmp sees one table of handlers"),
        MEM("SIGHAND", mask_is_not, "clone(2)", "CLONE_SIGHAND", "kernel/signal.c", "set_current_blocked", "with it, which signals are blocked is still each one's own"),
        MEM("SIGHAND", pending_is_not, "clone(2)", "CLONE_SIGHAND", "kernel/fork.c", "copy_process", "with it, a signal that is pending for the parent is not for the child"),
        MEM("SIGHAND", handler_is_copied, "clone(2)", "CLONE_SIGHAND", "kernel/fork.c", "copy_sighand", "without it, the child begins with the parent's handlers, and then has its own"),
        MEM("SIGHAND", sighand_needs_vm, "clone(2)", "EINVAL", "kernel/fork.c", "copy_process", "without CLONE_VM it is EINVAL"),
        MEM("CLEAR_SIGHAND", handlers_are_cleared, "clone(2)", "CLONE_CLEAR_SIGHAND", "kernel/signal.c", "flush_signal_handlers", "with it, signals that the parent handles have their default action in the child"),
        MEM("CLEAR_SIGHAND", ignored_stays, "clone(2)", "CLONE_CLEAR_SIGHAND", "kernel/signal.c", "flush_signal_handlers", "with it, signals that the parent ignores stay ignored"),
        MEM("CLEAR_SIGHAND", clear_and_share, "clone(2)", "EINVAL", "kernel/fork.c", "clone3_args_valid", "together with CLONE_SIGHAND it is EINVAL"),
        MEM("THREAD", pid_is_one, "clone(2)", "CLONE_THREAD", "kernel/fork.c", "copy_process", "with it, the child has the caller's pid, and a thread id of its own"),
        MEM("THREAD", parent_is_one, "clone(2)", "CLONE_THREAD", "kernel/fork.c", "copy_process", "with it, the child's parent is the caller's parent"),
        MEM("THREAD", cannot_be_waited_for, "clone(2)", "CLONE_THREAD", "kernel/exit.c", "do_wait", "a thread cannot be waited for: ECHILD"),
        MEM("THREAD", is_listed, "proc_pid_task(5)", "DESCRIPTION", "fs/proc/base.c", "proc_task_readdir", "a thread is below /proc/PID/task"),
        MEM("THREAD", exit_group_ends_all, "exit_group(2)", "DESCRIPTION", "kernel/exit.c", "do_group_exit", "exit_group ends all threads"),
        MEM("THREAD", fatal_signal_ends_all, "clone(2)", "CLONE_THREAD", "kernel/signal.c", "complete_signal", "a fatal signal to one thread ends them all"),
        MEM("THREAD", signal_is_the_process, "signal(7)", "Signal mask and pending signals", "kernel/signal.c", "complete_signal", "a signal to the process is taken by any thread that does not block it"),
        MEM("THREAD", exec_takes_the_pid, "execve(2)", "Effect on process attributes", "fs/exec.c", "de_thread", "execve in any thread ends the others, and what it starts has the pid of the process"),
        MEM("THREAD", thread_may_have_own_directory, "clone(2)", "CLONE_FS", "kernel/fork.c", "copy_fs", "a thread without CLONE_FS has a working directory of its own"),
        MEM("THREAD", thread_needs_sighand, "clone(2)", "EINVAL", "kernel/fork.c", "copy_process", "without CLONE_SIGHAND it is EINVAL"),
        MEM("SYSVSEM", undo_waits_for_all, "clone(2)", "CLONE_SYSVSEM", "ipc/sem.c", "copy_semundo", "with it, SEM_UNDO waits until the last of those who share the list ends"),
        MEM("SYSVSEM", kcmp_sees_undo, "kcmp(2)", "KCMP_SYSVSEM", "kernel/kcmp.c", "kcmp", "with it, kcmp sees one list of semaphore adjustments"),
        MEM("SYSVSEM", undo_at_end_without, "clone(2)", "CLONE_SYSVSEM", "ipc/sem.c", "exit_sem", "without it, what the child did with SEM_UNDO is undone when it ends"),
        MEM("SYSVSEM", undo_is_not_inherited, "semop(2)", "NOTES", "ipc/sem.c", "copy_semundo", "without it, the child does not inherit what the parent is to undo"),
        MEM("SYSVSEM", unshare_undoes, "unshare(2)", "CLONE_SYSVSEM", "kernel/fork.c", "ksys_unshare", "unshare(CLONE_SYSVSEM) undoes at once"),
};
COUNT_CLAIMS(memory);
