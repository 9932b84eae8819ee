/* SPDX-License-Identifier: MIT */
#include "exit_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bpf.h"
#include "detach.h"
#include "follow.h"
#include "sys.h"

/* What does not die of SIGKILL in this time hangs in the kernel, and will when it comes out of there. */
#define PATIENCE_NS 10000000000u
#define ROUND_NS 1000000

static void kill_followed(int table, int32_t tgid)
{
        _cleanup_close_ int pidfd = sys_pidfd_open(tgid);
        if (pidfd == -ESRCH) {
                bpf_map_delete(table, &tgid);
                return;
        }
        uint64_t start;
        /* Still in the table, now that the pidfd says who it is: it is the one that is meant, and nobody who came by its number later. */
        if (pidfd >= 0 && bpf_map_get(table, &tgid, &start) == 0)
                sys_pidfd_send_signal(pidfd, SIGKILL);
}

/* True if there were any. Who is born meanwhile is found in the next round: one that is being killed makes no more children
 * (kernel/fork.c, copy_process). */
static bool kill_round(int table)
{
        int32_t tgid;
        bool any = false;
        for (const int32_t *before = NULL; bpf_map_next(table, before, &tgid) == 0; before = &tgid) {
                any = true;
                kill_followed(table, tgid);
        }
        return any;
}

static _Noreturn void guard_run(int table, int helper)
{
        char byte;
        while (read(helper, &byte, 1) < 0 && errno == EINTR)
                ;
        uint64_t since = monotonic_ns();
        while (kill_round(table) && monotonic_ns() - since < PATIENCE_NS)
                nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
        _exit(0);
}

/* Not the others: the helper must be able to take off what costs too much. */
static bool keeps_table(const char *program)
{
        return strcmp(program, "task_newtask") == 0 || strcmp(program, "sched_process_exit") == 0;
}

int exit_guard_start(struct exit_guard *guard, const struct follow *follow)
{
        int pipes[2];
        if (pipe2(pipes, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int ours = pipes[1], theirs = pipes[0];
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int table = follow->maps[FOLLOW_MAP_followed];
                int keep[sizeof(follow->links) / sizeof(*follow->links) + 2] = {theirs, table};
                size_t count = 2;
                for (size_t i = 0; i < sizeof(follow->links) / sizeof(*follow->links); i++)
                        if (follow->links[i] >= 0 && keeps_table(follow_programs[i].name))
                                keep[count++] = follow->links[i];
                detach("nsview-guard", keep, count);
                guard_run(table, theirs);
        }
        *guard = (struct exit_guard){.pid = pid, .fd = TAKE_FD(ours)};
        return 0;
}

void exit_guard_finish(struct exit_guard *guard)
{
        if (guard->pid == 0)
                return;
        close(guard->fd);
        while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        *guard = (struct exit_guard){.fd = -EBADF};
}
