/* SPDX-License-Identifier: MIT */
/* Knows how to start a program so that nothing of it is missed: it waits, seized, before its execve. */
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture.h"
#include "child.h"
#include "filter.h"
#include "sys.h"
#include "tracer.h"

static void reply(struct tracer *tracer, uint32_t sequence, pid_t pid, int error, uint32_t stage)
{
        struct nsv_record record = {
                .kind = NSV_RECORD_REPLY, .pid = pid, .other = (int32_t)sequence, .error = error, .stage = stage};
        if (error == 0)
                record.value = (uint64_t)(record.tid = 1);
        tracer_emit(tracer, &record, NULL, 0);
}

static void free_strings(char ***strings)
{
        for (char **at = *strings; at && *at; at++)
                free(*at);
        free(*strings);
}

static const char *search_path(char *const *envp)
{
        for (; *envp; envp++)
                if (strncmp(*envp, "PATH=", 5) == 0)
                        return *envp + 5;
        return "/bin:/usr/bin"; /* execvp(3) */
}

/* Every path that execvp(3) would try. NULL without memory. */
static char **path_candidates(const char *program, char *const *envp)
{
        const char *path = strchr(program, '/') ? NULL : search_path(envp);
        size_t count = 1;
        for (const char *at = path; at && *at; at++)
                count += *at == ':';
        char **candidates = calloc(count + 1, sizeof(*candidates));
        if (!candidates)
                return NULL;
        if (!path) {
                /* An empty name is nowhere to be found. */
                if (*program && !(candidates[0] = strdup(program)))
                        goto nomem;
                return candidates;
        }
        size_t n = 0;
        for (const char *at = path;; at++) {
                const char *end = strchrnul(at, ':');
                int length = (int)(end - at);
                /* An empty entry is the current directory. */
                int r = *program ? asprintf(&candidates[n], "%.*s%s%s", length, at, length ? "/" : "", program) : 0;
                if (r < 0) {
                        candidates[n] = NULL;
                        goto nomem;
                }
                n += r > 0;
                if (!*end)
                        return candidates;
                at = end;
        }
nomem:
        free_strings(&candidates);
        return NULL;
}

/* Cut `count` strings off a buffer: an array that points into it, NULL at the end. */
static char **split_strings(char **buffer, const char *end, uint32_t count)
{
        char **strings = calloc((size_t)count + 1, sizeof(*strings));
        if (!strings)
                return NULL;
        for (uint32_t i = 0; i < count; i++) {
                size_t length = strnlen(*buffer, (size_t)(end - *buffer));
                if (*buffer + length >= end) {
                        free(strings);
                        errno = EBADMSG;
                        return NULL;
                }
                strings[i] = *buffer;
                *buffer += length + 1;
        }
        return strings;
}

static void abandon_child(pid_t pid)
{
        int status;
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
                ;
}

void tracer_launch(struct tracer *tracer, const struct nsv_command *command, char *strings, int terminal_fd)
{
        _cleanup_close_ int terminal = terminal_fd;
        char *at = strings, *end = strings + command->size - sizeof(*command);
        _cleanup_free_ char **argv = command->argc ? split_strings(&at, end, command->argc) : NULL;
        _cleanup_free_ char **envp = argv ? split_strings(&at, end, command->envc) : NULL;
        if (!envp || tracer->launch.pid) {
                reply(tracer, command->sequence, 0, EINVAL, NSV_STAGE_MEMORY);
                return;
        }
        __attribute__((cleanup(free_strings))) char **candidates = path_candidates(argv[0], envp);
        _cleanup_free_ char **shell_argv = calloc((size_t)command->argc + 2, sizeof(*shell_argv));
        if (!candidates || !shell_argv) {
                reply(tracer, command->sequence, 0, ENOMEM, NSV_STAGE_MEMORY);
                return;
        }
        static char shell[] = "/bin/sh";
        shell_argv[0] = shell;
        for (uint32_t i = 1; i < command->argc; i++)
                shell_argv[i + 1] = argv[i];

        int go[2], error[2];
        if (pipe2(go, O_CLOEXEC) < 0) {
                reply(tracer, command->sequence, 0, errno, NSV_STAGE_MEMORY);
                return;
        }
        _cleanup_close_ int go_read = go[0], go_write = go[1];
        if (pipe2(error, O_CLOEXEC | O_NONBLOCK) < 0) {
                reply(tracer, command->sequence, 0, errno, NSV_STAGE_MEMORY);
                return;
        }
        _cleanup_close_ int error_read = error[0], error_write = error[1];

        bool bpf = tracer->follow.active, filtered = tracer->filter && !bpf;
        struct sock_filter filter[FILTER_MAX];
        struct sock_fprog filter_program = {.filter = filter, .len = filtered ? filter_build(filter) : 0};

        struct child_plan plan = {
                .go_fd = go_read,
                .error_fd = error_write,
                .terminal = terminal,
                .argv = argv,
                .envp = envp,
                .candidates = candidates,
                .shell_argv = shell_argv,
                .filter = filtered ? &filter_program : NULL,
                .soft_nofile = command->soft_nofile,
                .ignored_signals = command->ignored_signals,
        };
        struct clone_args args = {.exit_signal = SIGCHLD};
        pid_t pid = sys_clone3(&args);
        if (pid == -ENOSYS) {
                pid = fork(); /* Linux before 5.3, or a seccomp filter that does not know clone3 */
                if (pid < 0)
                        pid = -errno;
        }
        if (pid < 0) {
                reply(tracer, command->sequence, 0, -pid, NSV_STAGE_CLONE);
                return;
        }
        if (pid == 0) {
                close(go_write);
                child_run(&plan);
        }

        /* The option only for those who have the filter: what somebody else's lets a tracer decide is none of nsview's business. */
        int r = bpf ? follow_add(&tracer->follow, pid)
                    : sys_ptrace(PTRACE_SEIZE, pid, 0, TRACE_OPTIONS | (filtered ? PTRACE_O_TRACESECCOMP : 0));
        struct task *task = r >= 0 ? task_add(tracer, pid, pid) : NULL;
        if (!task) {
                if (bpf)
                        follow_forget(&tracer->follow, pid);
                abandon_child(pid);
                reply(tracer, command->sequence, 0, r < 0 ? -r : ENOMEM,
                      r >= 0 ? NSV_STAGE_MEMORY : bpf ? NSV_STAGE_BPF_MAP : NSV_STAGE_SEIZE);
                return;
        }
        task->known = task->born_stopped = true;
        task->calls = tracer_calls_seen(tracer, true);
        if (filtered)
                tracer->filters = true;
        tracer->launch = (struct launch){.pid = pid, .sequence = command->sequence, .error_fd = TAKE_FD(error_read)};
        if (bpf) {
                /* When its execve is told it may be gone already. */
                char cgroup[8192];
                ssize_t n = read_task_file(pid, "cgroup", cgroup, sizeof(cgroup));
                tracer->launch.cgroup = n >= 0 ? malloc((size_t)n + 1) : NULL;
                if (tracer->launch.cgroup) {
                        memcpy(tracer->launch.cgroup, cgroup, (size_t)n);
                        tracer->launch.cgroup_size = (size_t)n;
                }
        }
        /* go_write closes on return, and the child goes on. */
}

void tracer_launch_settled(struct tracer *tracer, bool executed)
{
        struct launch launch = tracer->launch;
        tracer->launch = (struct launch){.error_fd = -EBADF};
        _cleanup_close_ int error_fd = launch.error_fd;
        free(launch.cgroup);
        struct task *task = task_find(tracer, launch.pid);
        if (executed && task) {
                reply(tracer, launch.sequence, launch.pid, 0, NSV_STAGE_NONE);
                return;
        }
        struct child_failure failure;
        if (read(error_fd, &failure, sizeof(failure)) != (ssize_t)sizeof(failure))
                /* It died without a word: killed before its execve. */
                failure = (struct child_failure){NSV_STAGE_EXECVE, EINTR};
        reply(tracer, launch.sequence, launch.pid, failure.error, failure.stage);
}
