/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nsview.h"
#include "sys.h"

static _Noreturn void fail(const struct child_plan *plan, uint32_t stage, int error)
{
        struct child_failure failure = {stage, error};
        ssize_t n = write(plan->error_fd, &failure, sizeof(failure));
        (void)n;
        /* As shells do: 127 not found, 126 found and not executable. */
        _exit(error == ENOENT || error == ENOTDIR ? 127 : 126);
}

/* Nothing that the helper or Node set for itself may reach the program: Node ignores SIGPIPE and blocks nothing, the helper job control. */
static void restore_signals(uint64_t ignored, uint64_t blocked)
{
        for (int signal = 1; signal < NSIG; signal++) {
                if (signal == SIGKILL || signal == SIGSTOP)
                        continue;
                struct sigaction action = {.sa_handler = (ignored >> (signal - 1)) & 1 ? SIG_IGN : SIG_DFL};
                sigaction(signal, &action, NULL);
        }
        sigset_t mask;
        sigemptyset(&mask);
        for (int signal = 1; signal < NSIG; signal++)
                if ((blocked >> (signal - 1)) & 1)
                        sigaddset(&mask, signal);
        sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void await_go(const struct child_plan *plan)
{
        char byte;
        ssize_t n;
        while ((n = read(plan->go_fd, &byte, 1)) < 0 && errno == EINTR)
                ;
        /* The helper is gone, and what it had to do is not done: nothing has begun, and nothing will. */
        if (n != 1)
                _exit(126);
}

static void take_terminal(const struct child_plan *plan)
{
        if (setsid() < 0)
                fail(plan, NSV_STAGE_SETSID, errno);
        if (ioctl(plan->terminal, TIOCSCTTY, 0) < 0)
                fail(plan, NSV_STAGE_TERMINAL, errno);
        for (int fd = 0; fd <= 2; fd++)
                if (dup2(plan->terminal, fd) < 0)
                        fail(plan, NSV_STAGE_STDIO, errno);
}

static void limit_files(const struct child_plan *plan)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                fail(plan, NSV_STAGE_LIMIT, errno);
        limit.rlim_cur = plan->soft_nofile < limit.rlim_max ? plan->soft_nofile : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                fail(plan, NSV_STAGE_LIMIT, errno);
}

/* Groups first: without uid 0 they could not be changed any more. */
static void become_root(const struct child_plan *plan)
{
        int r;
        if (plan->options & NSV_LAUNCH_DROP_GROUPS && (r = sys_setgroups(0, NULL)) < 0)
                fail(plan, NSV_STAGE_SETGROUPS, -r);
        if (plan->options & NSV_LAUNCH_BECOME_GID_0 && (r = sys_setresgid(0)) < 0)
                fail(plan, NSV_STAGE_SETRESGID, -r);
        if (plan->options & NSV_LAUNCH_BECOME_UID_0 && (r = sys_setresuid(0)) < 0)
                fail(plan, NSV_STAGE_SETRESUID, -r);
}

static void isolate(const struct child_plan *plan)
{
        if (plan->hostname_size > 0 && sethostname(plan->hostname, plan->hostname_size) < 0)
                fail(plan, NSV_STAGE_HOSTNAME, errno);
        if (plan->options & NSV_LAUNCH_PRIVATE_MOUNTS && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                fail(plan, NSV_STAGE_PRIVATE_MOUNTS, errno);
        if (plan->options & NSV_LAUNCH_MOUNT_PROC && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                fail(plan, NSV_STAGE_MOUNT_PROC, errno);
}

_Noreturn void child_run(const struct child_plan *plan)
{
        await_go(plan);
        if (plan->terminal >= 0)
                take_terminal(plan);
        if (plan->soft_nofile > 0)
                limit_files(plan);
        become_root(plan);
        isolate(plan);
        restore_signals(plan->ignored_signals, plan->blocked_signals);

        if (plan->filter) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                        fail(plan, NSV_STAGE_NO_NEW_PRIVS, errno);
                /* Without that flag kernels before 5.16 would also make the program slower than it is (seccomp(2)). */
                if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, plan->filter) < 0)
                        fail(plan, NSV_STAGE_FILTER, errno);
        }

        /* The search of execvp(3): an unreadable directory or a file without permission is passed over but remembered. */
        int error = ENOENT;
        for (char *const *path = plan->candidates; *path; path++) {
                execve(*path, plan->argv, plan->envp);
                if (errno == ENOEXEC) {
                        plan->shell_argv[1] = *path;
                        execve(plan->shell_argv[0], plan->shell_argv, plan->envp);
                        errno = ENOEXEC;
                }
                if (errno == EACCES)
                        error = EACCES;
                else if (errno != ENOENT && errno != ENOTDIR) {
                        error = errno;
                        break;
                }
        }
        fail(plan, NSV_STAGE_EXECVE, error);
}
