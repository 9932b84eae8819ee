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

/* The strings of a command, each an array into its payload, and what the child needs besides. */
struct request {
        char **argv, **envp, **texts;
        char **candidates, **shell_argv;
        int terminal, cgroup;
        int go_read, go_write, error_read, error_write;
};

static void request_free(struct request *request)
{
        free(request->argv);
        free(request->envp);
        free(request->texts);
        free_strings(&request->candidates);
        free(request->shell_argv);
        int fds[] = {request->terminal, request->cgroup,     request->go_read,
                     request->go_write, request->error_read, request->error_write};
        for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
                if (fds[i] >= 0)
                        close(fds[i]);
}

static int split_request(struct request *request, const struct nsv_command *command, char *strings)
{
        char *at = strings, *end = strings + command->size - sizeof(*command);
        if (command->argc == 0)
                return -EINVAL;
        request->argv = split_strings(&at, end, command->argc);
        request->envp = request->argv ? split_strings(&at, end, command->envc) : NULL;
        request->texts = request->envp ? split_strings(&at, end, NSV_LAUNCH_TEXTS) : NULL;
        return request->texts ? 0 : -errno;
}

/* All that can be done before there is a child. 0, or -errno with what was being done in *ret_stage. */
static int prepare(struct request *request, const struct nsv_command *command, char *strings, uint32_t *ret_stage)
{
        *ret_stage = NSV_STAGE_MEMORY;
        int r = split_request(request, command, strings);
        if (r < 0)
                return r;
        request->candidates = path_candidates(request->argv[0], request->envp);
        request->shell_argv = calloc((size_t)command->argc + 2, sizeof(*request->shell_argv));
        if (!request->candidates || !request->shell_argv)
                return -ENOMEM;
        static char shell[] = "/bin/sh";
        request->shell_argv[0] = shell;
        for (uint32_t i = 1; i < command->argc; i++)
                request->shell_argv[i + 1] = request->argv[i];

        int go[2], error[2];
        if (pipe2(go, O_CLOEXEC) < 0)
                return -errno;
        request->go_read = go[0];
        request->go_write = go[1];
        if (pipe2(error, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        request->error_read = error[0];
        request->error_write = error[1];

        const char *cgroup = request->texts[NSV_LAUNCH_CGROUP];
        if (*cgroup) {
                *ret_stage = NSV_STAGE_CGROUP;
                request->cgroup = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (request->cgroup < 0)
                        return -errno;
        }
        return 0;
}

static bool is_filtered(const struct tracer *tracer)
{
        return tracer->filter && !tracer->follow.active;
}

/* The child's pid, or -errno. It waits until it is told to go. */
static pid_t start_child(struct request *request, const struct nsv_command *command, bool filtered)
{
        struct sock_filter filter[FILTER_MAX];
        struct sock_fprog filter_program = {.filter = filter, .len = filtered ? filter_build(filter) : 0};
        struct child_plan plan = {
                .go_fd = request->go_read,
                .error_fd = request->error_write,
                .terminal = request->terminal,
                .argv = request->argv,
                .envp = request->envp,
                .candidates = request->candidates,
                .shell_argv = request->shell_argv,
                .filter = filtered ? &filter_program : NULL,
                .soft_nofile = command->soft_nofile,
                .ignored_signals = command->ignored_signals,
                .blocked_signals = command->blocked_signals,
                .options = command->options,
                .hostname = request->texts[NSV_LAUNCH_HOSTNAME],
                .hostname_size = strlen(request->texts[NSV_LAUNCH_HOSTNAME]),
        };
        struct clone_args args = {.flags = command->clone_flags, .exit_signal = SIGCHLD};
        if (request->cgroup >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)request->cgroup;
        }
        pid_t pid = sys_clone3(&args);
        if (pid == -ENOSYS && args.flags == 0) {
                pid = fork(); /* Linux before 5.3, or a seccomp filter that does not know clone3 */
                if (pid < 0)
                        pid = -errno;
        }
        if (pid == 0) {
                close(request->go_write);
                child_run(&plan);
        }
        return pid;
}

static int write_proc(pid_t pid, const char *name, const char *text)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* In one write: there is no second (user_namespaces(7)). */
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_maps(pid_t pid, const struct request *request, uint32_t options, uint32_t *ret_stage)
{
        const char *uids = request->texts[NSV_LAUNCH_UID_MAP], *gids = request->texts[NSV_LAUNCH_GID_MAP];
        int r = 0;
        if (options & NSV_LAUNCH_DENY_SETGROUPS) {
                *ret_stage = NSV_STAGE_DENY_SETGROUPS;
                r = write_proc(pid, "setgroups", "deny");
        }
        if (r == 0 && *uids) {
                *ret_stage = NSV_STAGE_UID_MAP;
                r = write_proc(pid, "uid_map", uids);
        }
        if (r == 0 && *gids) {
                *ret_stage = NSV_STAGE_GID_MAP;
                r = write_proc(pid, "gid_map", gids);
        }
        return r;
}

/* From its execve on; and from now on it is killed with the helper, where that is asked for. */
static int follow_child(struct tracer *tracer, pid_t pid, uint32_t options, uint32_t *ret_stage)
{
        bool bpf = tracer->follow.active;
        *ret_stage = bpf ? NSV_STAGE_BPF_MAP : NSV_STAGE_SEIZE;
        tracer->kill_on_exit = options & NSV_LAUNCH_KILL_ON_EXIT;
        bool filtered = is_filtered(tracer);
        /* The option only for those who have the filter: what somebody else's lets a tracer decide is none of nsview's business. */
        int r = bpf ? follow_add(&tracer->follow, pid)
                    : sys_ptrace(PTRACE_SEIZE, pid, 0, tracer_options(tracer) | (filtered ? PTRACE_O_TRACESECCOMP : 0));
        if (r >= 0 && bpf && tracer->kill_on_exit) {
                *ret_stage = NSV_STAGE_GUARD;
                r = exit_guard_start(&tracer->exit_guard, &tracer->follow);
        }
        if (r >= 0) {
                *ret_stage = NSV_STAGE_MEMORY;
                struct task *task = task_add(tracer, pid, pid);
                if (task) {
                        task->known = task->born_stopped = true;
                        task->calls = tracer_calls_seen(tracer, true);
                        tracer->filters |= filtered;
                } else
                        r = -ENOMEM;
        }
        if (r < 0 && bpf)
                follow_forget(&tracer->follow, pid);
        return r;
}

static void abandon_child(pid_t pid)
{
        int status;
        kill(pid, SIGKILL);
        for (pid_t waited; (waited = waitpid(pid, &status, __WALL)) >= 0 || errno == EINTR;) {
                if (waited != pid)
                        continue;
                if (!WIFSTOPPED(status))
                        return;
                sys_ptrace(PTRACE_CONT, pid, 0, 0);
        }
}

/* By BPF, when its execve is told it may be gone already. */
static void remember_cgroup(struct launch *launch)
{
        char cgroup[8192];
        ssize_t n = read_task_file(launch->pid, "cgroup", cgroup, sizeof(cgroup));
        launch->cgroup = n >= 0 ? malloc((size_t)n + 1) : NULL;
        if (!launch->cgroup)
                return;
        memcpy(launch->cgroup, cgroup, (size_t)n);
        launch->cgroup_size = (size_t)n;
}

void tracer_launch(struct tracer *tracer, const struct nsv_command *command, char *strings, int terminal)
{
        __attribute__((cleanup(request_free))) struct request request = {
                .terminal = terminal,
                .cgroup = -EBADF,
                .go_read = -EBADF,
                .go_write = -EBADF,
                .error_read = -EBADF,
                .error_write = -EBADF,
        };
        if (tracer->launch.pid) {
                reply(tracer, command->sequence, 0, EINVAL, NSV_STAGE_MEMORY);
                return;
        }
        if (tracer->kill_on_exit || ((command->options & NSV_LAUNCH_KILL_ON_EXIT) && tracer->tasks > 0)) {
                reply(tracer, command->sequence, 0, EBUSY, NSV_STAGE_GUARD);
                return;
        }
        uint32_t stage;
        int r = prepare(&request, command, strings, &stage);
        pid_t pid = 0;
        if (r >= 0) {
                stage = NSV_STAGE_CLONE;
                r = pid = start_child(&request, command, is_filtered(tracer));
        }
        if (r >= 0)
                r = write_maps(pid, &request, command->options, &stage);
        if (r >= 0)
                r = follow_child(tracer, pid, command->options, &stage);
        if (r < 0) {
                if (pid > 0)
                        abandon_child(pid);
                exit_guard_finish(&tracer->exit_guard);
                tracer->kill_on_exit = false;
                reply(tracer, command->sequence, 0, -r, stage);
                return;
        }
        tracer->launch = (struct launch){.pid = pid, .sequence = command->sequence, .error_fd = TAKE_FD(request.error_read)};
        if (tracer->follow.active)
                remember_cgroup(&tracer->launch);
        /* If it is gone already, which only a kill can do, its end tells. */
        ssize_t n = write(request.go_write, "", 1);
        (void)n;
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
