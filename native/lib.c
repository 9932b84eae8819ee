/* SPDX-License-Identifier: MIT */
/* libnsview.so knows how to start and command the helper, and the few things that Node cannot do with an fd. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "calls.h"
#include "nsview.h"
#include "sys.h"

NSV_API int nsv_layout(int32_t *ret_numbers, int count)
{
        static const int32_t numbers[] = {
                sizeof(struct nsv_record),
#define AT(field) (int32_t)offsetof(struct nsv_record, field)
                AT(size),  AT(kind),  AT(text_count), AT(at),    AT(pid),       AT(tid), AT(other),    AT(ppid),
                AT(start), AT(value), AT(error),      AT(stage), AT(text_size), AT(ns),  AT(child_ns),
#undef AT
                sizeof(struct nsv_call),
#define AT(field) (int32_t)offsetof(struct nsv_call, field)
                AT(arguments), AT(sizes), AT(before), AT(after), AT(fd_type), AT(fd_pid), AT(fd_inode), AT(before_known), AT(after_known),
#undef AT
                sizeof(struct nsv_cred),
#define AT(field) (int32_t)offsetof(struct nsv_cred, field)
                AT(uids), AT(gids), AT(capabilities),
#undef AT
                sizeof(struct nsv_process),
#define AT(field) (int32_t)offsetof(struct nsv_process, field)
                AT(start), AT(links), AT(size), AT(pid), AT(ppid), AT(how), AT(state), AT(status), AT(shared), AT(argv), AT(exe), AT(cgroup), AT(comm), AT(holds), AT(holds_at), AT(threads), AT(threads_at),
#undef AT
        };
        int have = (int)(sizeof(numbers) / sizeof(*numbers));
        for (int i = 0; i < have && i < count; i++)
                ret_numbers[i] = numbers[i];
        return have;
}

NSV_API const char *nsv_link_name(int index)
{
        static const char *const names[] = {
#define NAME(name) #name,
                NSV_LINKS(NAME)
#undef NAME
        };
        return index >= 0 && index < NSV_LINK_COUNT ? names[index] : NULL;
}

NSV_API const char *nsv_call_name(int index)
{
        static const char *const names[] = {
#define NAME(name, ...) #name,
                NSV_CALLS(NAME)
#undef NAME
        };
        return index >= 0 && index < NSV_CALL_COUNT ? names[index] : NULL;
}

NSV_API int nsv_call_pointers(int index)
{
        static const struct nsv_pointer pointers[][NSV_POINTERS] = {
#define POINTERS(name, i386, i386_too, arm, ...) {__VA_ARGS__},
                NSV_CALLS(POINTERS)
#undef POINTERS
        };
        if (index < 0 || index >= NSV_CALL_COUNT)
                return -EINVAL;
        int mask = 0;
        for (int i = 0; i < NSV_POINTERS; i++)
                if (pointers[index][i].kind != NSV_POINTER_NONE)
                        mask |= 1 << pointers[index][i].argument;
        return mask;
}

/* The next number of a list, which moves on; -1 at its end, and of NULL. */
static int next_number(const char **list)
{
        for (const char *at = *list; at && *at; at++) {
                int number = -1;
                for (; *at >= '0' && *at <= '9' && number < 100000000; at++)
                        number = (number < 0 ? 0 : number * 10) + *at - '0';
                *list = at;
                if (number >= 0)
                        return number;
                if (!*at)
                        break;
        }
        return -1;
}

/* Which of 0, 1 and 2 its caller did not have: Node opened /dev/null there. As bits; none where the list is missing. */
static int closed_stdio(const char *inherited)
{
        int closed = inherited ? 7 : 0;
        for (int fd; (fd = next_number(&inherited)) >= 0;)
                if (fd <= 2)
                        closed &= ~(1 << fd);
        return closed;
}

/* Runs in the forked child of a program with threads: async-signal-safe calls only. */
static _Noreturn void become_helper(const char *path, int command, int record, char *const *argv, const char *inherited)
{
        char *envp[] = {NULL};
        /* What the caller inherited goes on to the program that is launched, and so does stdio; all of Node's own is close-on-exec, and, by
         * Node's doing (uv_disable_stdio_inheritance), so is most of the rest. */
        for (int fd = 0; fd <= 2; fd++)
                fcntl(fd, F_SETFD, 0);
        for (int fd; (fd = next_number(&inherited)) >= 0;)
                fcntl(fd, F_SETFD, 0);
        fcntl(command, F_SETFD, 0);
        fcntl(record, F_SETFD, 0);
        for (int signal = 1; signal < NSIG; signal++) {
                struct sigaction action = {.sa_handler = SIG_DFL};
                if (signal != SIGKILL && signal != SIGSTOP)
                        sigaction(signal, &action, NULL);
        }
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(path, argv, envp);
        _exit(126);
}

NSV_API int nsv_start(const char *path, int follow, int32_t *ret)
{
        int command[2], record[2];
        if (access(path, X_OK) < 0)
                return -errno;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, command) < 0)
                return -errno;
        _cleanup_close_ int ours = command[0], theirs = command[1];
        if (pipe2(record, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int records = record[0], records_write = record[1];
        if (fcntl(records, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        char command_text[16], record_text[16], follow_text[16], ring_text[16] = "0", closed_text[16];
        snprintf(command_text, sizeof(command_text), "%d", theirs);
        snprintf(record_text, sizeof(record_text), "%d", records_write);
        snprintf(follow_text, sizeof(follow_text), "%d", follow);
        /* For the test of what happens when there is no room: bytes. */
        const char *ring = getenv("NSVIEW_RING");
        if (ring)
                snprintf(ring_text, sizeof(ring_text), "%lu", strtoul(ring, NULL, 10) & 0xffffffff);
        static char name[] = "nsview-helper";
        const char *inherited = getenv("NSVIEW_FDS");
        snprintf(closed_text, sizeof(closed_text), "%d", closed_stdio(inherited));
        char *argv[] = {name, command_text, record_text, follow_text, ring_text, closed_text, NULL};

        /* No handler of Node's may run in the child. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid_t pid = fork();
        if (pid == 0)
                become_helper(path, theirs, records_write, argv, inherited);
        int error = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return -error;
        ret[0] = pid;
        ret[1] = TAKE_FD(ours);
        ret[2] = TAKE_FD(records);
        return 0;
}

NSV_API int nsv_stop(int socket, int pid)
{
        int status;
        char stays;
        ssize_t n;
        shutdown(socket, SHUT_WR);
        /* One byte: it stays. Else nothing ever comes that way. */
        do
                n = read(socket, &stays, sizeof(stays));
        while (n < 0 && errno == EINTR);
        close(socket);
        if (n > 0)
                return -EBUSY;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status;
}

/* Send a command whole, its fd with the first byte. -EPIPE when the helper is gone. */
static int send_command(int socket, struct nsv_command *command, const void *payload, uint32_t size, int fd)
{
        if (size > NSV_COMMAND_MAX - sizeof(*command))
                return -E2BIG;
        command->size = (uint32_t)sizeof(*command) + size;
        command->has_fd = fd >= 0;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec io[2] = {{command, sizeof(*command)}, {(void *)(uintptr_t)payload, size}};
        struct msghdr message = {.msg_iov = io, .msg_iovlen = 2};
        if (fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control.bytes);
                control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        }
        while (io[0].iov_len + io[1].iov_len > 0) {
                ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                for (int i = 0; i < 2; i++) {
                        size_t part = (size_t)n < io[i].iov_len ? (size_t)n : io[i].iov_len;
                        io[i].iov_base = (char *)io[i].iov_base + part;
                        io[i].iov_len -= part;
                        n -= (ssize_t)part;
                }
                message.msg_control = NULL;
                message.msg_controllen = 0;
        }
        return 0;
}

NSV_API int nsv_attach(int socket, uint32_t sequence, int pid)
{
        struct nsv_command command = {.kind = NSV_COMMAND_ATTACH, .sequence = sequence, .pid = pid};
        return send_command(socket, &command, NULL, 0, -1);
}

NSV_API int nsv_launch(int socket, uint32_t sequence, int terminal, uint32_t argc, uint32_t envc, const void *strings,
                       uint32_t size, uint64_t soft_nofile, uint64_t ignored_signals, uint64_t blocked_signals, uint64_t clone_flags,
                       uint32_t options)
{
        struct nsv_command command = {
                .kind = NSV_COMMAND_LAUNCH,
                .sequence = sequence,
                .argc = argc,
                .envc = envc,
                .soft_nofile = soft_nofile,
                .ignored_signals = ignored_signals,
                .blocked_signals = blocked_signals,
                .clone_flags = clone_flags,
                .options = options,
        };
        return send_command(socket, &command, strings, size, terminal);
}

NSV_API int nsv_keep_terminal(int socket, int master)
{
        struct nsv_command command = {.kind = NSV_COMMAND_KEEP_TERMINAL};
        return send_command(socket, &command, NULL, 0, master);
}

NSV_API int nsv_end(int socket, uint32_t sequence)
{
        struct nsv_command command = {.kind = NSV_COMMAND_END, .sequence = sequence};
        return send_command(socket, &command, NULL, 0, -1);
}

NSV_API int nsv_catch_up(int socket, uint32_t sequence)
{
        struct nsv_command command = {.kind = NSV_COMMAND_CATCH_UP, .sequence = sequence};
        return send_command(socket, &command, NULL, 0, -1);
}

NSV_API int nsv_guard_terminal(int socket, int terminal, const void *restore, uint32_t size)
{
        struct nsv_command command = {.kind = NSV_COMMAND_GUARD_TERMINAL};
        return send_command(socket, &command, restore, size, terminal);
}

NSV_API int nsv_release_terminal(int socket)
{
        struct nsv_command command = {.kind = NSV_COMMAND_RELEASE_TERMINAL};
        return send_command(socket, &command, NULL, 0, -1);
}

NSV_API int nsv_pty_open(int rows, int columns, int32_t *ret)
{
        _cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (master < 0)
                return -errno;
        int zero = 0;
        if (ioctl(master, TIOCSPTLCK, &zero) < 0)
                return -errno;
        /* By the master, not by name: /dev/pts may belong to another instance of devpts (ioctl_tty(2), TIOCGPTPEER). */
        _cleanup_close_ int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return -errno;
        struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
        if (ioctl(master, TIOCSWINSZ, &size) < 0)
                return -errno;
        ret[0] = TAKE_FD(master);
        ret[1] = TAKE_FD(slave);
        return 0;
}

NSV_API int nsv_pty_resize(int master, int rows, int columns)
{
        struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
        return ioctl(master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

NSV_API int nsv_read(int fd, void *buffer, uint32_t size)
{
        ssize_t n;
        do
                n = read(fd, buffer, size);
        while (n < 0 && errno == EINTR);
        return n >= 0 ? (int)n : errno == EIO ? 0 : -errno;
}

NSV_API int nsv_write(int fd, const void *buffer, uint32_t size)
{
        ssize_t n;
        do
                n = write(fd, buffer, size);
        while (n < 0 && errno == EINTR);
        return n >= 0 ? (int)n : -errno;
}

NSV_API int nsv_close(int fd)
{
        return close(fd) < 0 ? -errno : 0;
}

NSV_API int nsv_leave(int status)
{
        _exit(status);
}

NSV_API int nsv_end_by(int signal)
{
        /* The core that counts is the program's. */
        struct rlimit none = {0};
        if (setrlimit(RLIMIT_CORE, &none) < 0)
                return -errno;
        struct sigaction action = {.sa_handler = SIG_DFL};
        if (signal != SIGKILL && sigaction(signal, &action, NULL) < 0)
                return -errno;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        /* To this thread, so that it has ended when the call would return. */
        return -pthread_kill(pthread_self(), signal);
}
