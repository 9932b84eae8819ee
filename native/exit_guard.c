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
#define BATCH 4096u

struct kept {
        int table;
        int kill_program; /* not attached yet */
};

static void kill_followed(int table, int32_t tgid, uint64_t known_start)
{
        _cleanup_close_ int pidfd = sys_pidfd_open(tgid);
        uint64_t start;
        /* Still in the table, now that the pidfd says who it is: it is the one that is meant, and nobody who came by its number later. */
        if (bpf_map_get(table, &tgid, &start) < 0 || start != known_start)
                return;
        if (pidfd >= 0)
                sys_pidfd_send_signal(pidfd, SIGKILL);
        else if (pidfd == -ESRCH)
                bpf_map_delete(table, &tgid);
}

/* True if there were any. */
static bool kill_round(int table)
{
        static int32_t tgids[BATCH];
        static uint64_t starts[BATCH];
        uint32_t from, count;
        bool any = false;
        for (const uint32_t *before = NULL;; before = &from) {
                count = BATCH;
                int r = bpf_map_read_batch(table, before, &from, tgids, starts, &count);
                if (r < 0 && r != -ENOENT)
                        return any;
                for (uint32_t i = 0; i < count; i++) {
                        any = true;
                        kill_followed(table, tgids[i], starts[i]);
                }
                if (r < 0)
                        return any;
        }
}

/* Whoever sleeps or only computes is found in the table; whoever calls the kernel, which one does who makes children, dies of that. A round
 * that finds nobody is no proof: one that was being born may have come to a place of the table that was looked at already, and its maker have
 * left one that was not yet. It can have no child of its own, though, and is found in the next round. */
static void kill_all(const struct kept *kept)
{
        /* If that is refused, the rounds alone must do. */
        _cleanup_close_ int link = bpf_raw_tracepoint_open(kept->kill_program, "sys_enter");
        (void)link;
        uint64_t since = monotonic_ns();
        for (int quiet = 0; quiet < 2 && monotonic_ns() - since < PATIENCE_NS;) {
                quiet = kill_round(kept->table) ? 0 : quiet + 1;
                nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
        }
}

static _Noreturn void guard_run(const struct kept *kept, int helper)
{
        char byte;
        while (read(helper, &byte, 1) < 0 && errno == EINTR)
                ;
        kill_all(kept);
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
                struct kept kept = {.table = follow->maps[FOLLOW_MAP_followed], .kill_program = -EBADF};
                int keep[sizeof(follow->links) / sizeof(*follow->links) + 3] = {theirs, kept.table};
                size_t count = 2;
                for (size_t i = 0; i < sizeof(follow->links) / sizeof(*follow->links); i++) {
                        if (follow->links[i] >= 0 && keeps_table(follow_programs[i].name))
                                keep[count++] = follow->links[i];
                        if (strcmp(follow_programs[i].name, "sys_enter") == 0)
                                keep[count++] = kept.kill_program = follow->programs[i];
                }
                detach("nsview-guard", keep, count);
                guard_run(&kept, theirs);
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
