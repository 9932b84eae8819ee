/* SPDX-License-Identifier: MIT */
/* nsview-helper COMMAND-FD RECORD-FD FOLLOW RING-SIZE knows how to wait: for commands, for stops, for the ring, and for the pipe. When
 * its caller vanishes it gives the terminal back and ends, upon which the kernel takes the BPF programs away and lets every tracee go
 * (kernel/ptrace.c, exit_ptrace): the running are not even woken, the stopped by job control stay stopped, a signal on its way is
 * delivered. But not where a program runs under its filter: then it stays. */
/* Records wait for company: so long at the most, or until there are so many. */
#define FLUSH_NS 8000000
#define FLUSH_BYTES 65536
#define LOOK_FOR_LOST_MS 200
/* In a storm of stops there is always one more: what was there when it was asked for has been seen after so long. */
#define CATCH_UP_NS 1000000000u

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "capture.h"
#include "caretaker.h"
#include "keeper.h"
#include "nested.h"
#include "sys.h"
#include "tracer.h"

/* The terminal as it was before nsview drew on it. */
struct guard {
        int fd;
        struct termios settings;
        unsigned char *restore;
        size_t size;
};

struct inbox {
        unsigned char *bytes;
        size_t used, room;
        int fds[4]; /* that came along, in order */
        unsigned fd_count;
};

static void guard_release(struct guard *guard)
{
        if (guard->fd >= 0)
                close(guard->fd);
        free(guard->restore);
        *guard = (struct guard){.fd = -EBADF};
}

static void guard_restore(struct guard *guard)
{
        if (guard->fd < 0)
                return;
        /* SIGTTOU is ignored, so this works from the background as well. The one who comes next must not wait for us. */
        int flags = fcntl(guard->fd, F_GETFL);
        if (flags >= 0)
                fcntl(guard->fd, F_SETFL, flags | O_NONBLOCK);
        ssize_t n = write(guard->fd, guard->restore, guard->size);
        (void)n;
        tcsetattr(guard->fd, TCSANOW, &guard->settings);
        if (flags >= 0)
                fcntl(guard->fd, F_SETFL, flags & ~O_NONBLOCK);
        guard_release(guard);
}

static void guard_take(struct guard *guard, int fd, const unsigned char *restore, size_t size)
{
        guard_release(guard);
        if (fd < 0)
                return;
        struct guard taken = {.fd = fd, .restore = malloc(size ? size : 1), .size = size};
        if (!taken.restore || tcgetattr(fd, &taken.settings) < 0) {
                guard_release(&taken);
                return;
        }
        memcpy(taken.restore, restore, size);
        *guard = taken;
}

/* Bytes received, 0 when the caller is gone, -errno. */
static ssize_t receive(struct inbox *inbox, int command_fd)
{
        if (inbox->room - inbox->used < 4096) {
                size_t room = inbox->room ? inbox->room * 2 : 65536;
                unsigned char *bytes = realloc(inbox->bytes, room);
                if (!bytes)
                        return -ENOMEM;
                inbox->bytes = bytes;
                inbox->room = room;
        }
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 4)];
        } control;
        struct iovec io = {inbox->bytes + inbox->used, inbox->room - inbox->used};
        struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(command_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 1 : -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                int fds[4];
                size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(fds, CMSG_DATA(c), count * sizeof(int));
                for (size_t i = 0; i < count; i++) {
                        if (inbox->fd_count < 4)
                                inbox->fds[inbox->fd_count++] = fds[i];
                        else
                                close(fds[i]);
                }
        }
        inbox->used += (size_t)n;
        return n;
}

static int inbox_take_fd(struct inbox *inbox)
{
        if (inbox->fd_count == 0)
                return -EBADF;
        int fd = inbox->fds[0];
        memmove(inbox->fds, inbox->fds + 1, --inbox->fd_count * sizeof(int));
        return fd;
}

/* Choose how to follow, once, when there is something to follow. False where what was asked for is refused: answered. */
static bool tracer_prepare(struct tracer *tracer, uint32_t sequence, bool launched)
{
        struct nsv_record record = {.kind = NSV_RECORD_FOLLOWING, .other = tracer->follow.active ? NSV_FOLLOW_BPF : NSV_FOLLOW_PTRACE};
        uint32_t told = tracer->calls;
        if (!tracer->prepared && tracer->how != NSV_FOLLOW_PTRACE) {
                record.error = -follow_open(&tracer->follow, tracer->ring_size, tracer->every_abi, &record.stage);
                if (record.error == 0)
                        record.other = NSV_FOLLOW_BPF;
        }
        if (record.error && tracer->how == NSV_FOLLOW_BPF) {
                record.kind = NSV_RECORD_REPLY;
                record.other = (int32_t)sequence;
                tracer_emit(tracer, &record, NULL, 0);
                return false;
        }
        record.value = tracer->calls = tracer_calls_seen(tracer, launched);
        if (!tracer->prepared || tracer->calls != told) {
                tracer_emit(tracer, &record, NULL, 0);
                if (!tracer->prepared)
                        tracer->last_pid = read_last_pid();
        }
        tracer->prepared = true;
        return true;
}

static void keep_terminal(struct tracer *tracer, int master)
{
        if (tracer->kept >= 0)
                close(tracer->kept);
        tracer->kept = master;
}

/* Carry out every whole command. -EBADMSG when the stream makes no sense: then there is no way back into step. */
static int obey(struct inbox *inbox, struct tracer *tracer, struct guard *guard)
{
        size_t done = 0;
        int r = 0;
        while (inbox->used - done >= sizeof(struct nsv_command)) {
                struct nsv_command command;
                memcpy(&command, inbox->bytes + done, sizeof(command));
                if (command.size < sizeof(command) || command.size > NSV_COMMAND_MAX) {
                        r = -EBADMSG;
                        break;
                }
                if (inbox->used - done < command.size)
                        break;
                unsigned char *payload = inbox->bytes + done + sizeof(command);
                int fd = command.has_fd ? inbox_take_fd(inbox) : -EBADF;
                bool follows = command.kind == NSV_COMMAND_ATTACH || command.kind == NSV_COMMAND_LAUNCH;
                if (follows && !tracer_prepare(tracer, command.sequence, command.kind == NSV_COMMAND_LAUNCH)) {
                        if (fd >= 0)
                                close(fd);
                        done += command.size;
                        continue;
                }
                switch (command.kind) {
                case NSV_COMMAND_ATTACH:
                        tracer_attach(tracer, command.pid, command.sequence);
                        break;
                case NSV_COMMAND_LAUNCH:
                        tracer_launch(tracer, &command, (char *)payload, TAKE_FD(fd));
                        break;
                case NSV_COMMAND_GUARD_TERMINAL:
                        guard_take(guard, TAKE_FD(fd), payload, command.size - sizeof(command));
                        break;
                case NSV_COMMAND_RELEASE_TERMINAL:
                        guard_release(guard);
                        break;
                case NSV_COMMAND_KEEP_TERMINAL:
                        keep_terminal(tracer, TAKE_FD(fd));
                        break;
                case NSV_COMMAND_END:
                        keep_terminal(tracer, -EBADF);
                        tracer_end(tracer, command.sequence);
                        break;
                case NSV_COMMAND_CATCH_UP:
                        tracer->catch_up = (struct catch_up){
                                .active = true,
                                .sequence = command.sequence,
                                .ring_end = tracer->follow.active ? bpf_ring_end(&tracer->follow.ring) : 0,
                                .give_up_at = monotonic_ns() + CATCH_UP_NS,
                        };
                        break;
                }
                if (fd >= 0)
                        close(fd);
                done += command.size;
        }
        memmove(inbox->bytes, inbox->bytes + done, inbox->used - done);
        inbox->used -= done;
        return r;
}

/* What reaches a whole foreground process group is meant for the program in it, not for its observer. */
static void ignore_terminal_signals(void)
{
        static const int signals[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH};
        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
                signal(signals[i], SIG_IGN);
}

/* Of two waits in milliseconds; -1: for ever. */
static int sooner(int one, int other)
{
        return one < 0 || (other >= 0 && other < one) ? other : one;
}

/* Empty the ring when it is time. Milliseconds until the next turn, -1 for never. */
static int follow_turn(struct tracer *tracer, uint64_t *drain_at)
{
        int timeout = follow_check_stopping(tracer);
        uint64_t now = monotonic_ns();
        if (*drain_at == 0) {
                if (tracer->tasks == 0)
                        return timeout;
                /* Of an event that was lost the ring does not tell, and there may never be another. */
                uint64_t since = now - tracer->follow.drained_at;
                if (since >= LOOK_FOR_LOST_MS * UINT64_C(1000000))
                        follow_drain(tracer);
                return timeout >= 0 ? timeout : LOOK_FOR_LOST_MS;
        }
        if (now >= *drain_at) {
                follow_drain(tracer);
                /* They have gathered in the ring: no need to gather again. */
                tracer->outbox.urgent = true;
                *drain_at = 0;
                return timeout;
        }
        return sooner(timeout, (int)((*drain_at - now) / 1000000u) + 1);
}

/* What is due by the clock. Milliseconds until the next turn, -1 for never. */
static int ptrace_turn(struct tracer *tracer)
{
        int held = tracer_release_held(tracer), unseen = tracer_look_for_unseen(tracer), nested = nested_turn(tracer);
        return sooner(held, sooner(unseen, nested));
}

/* Answer who waits for what has happened. Milliseconds until the next turn, -1 for never. */
static int catch_up_turn(struct tracer *tracer)
{
        struct catch_up *catch_up = &tracer->catch_up;
        if (!catch_up->active)
                return -1;
        if (tracer->follow.active) {
                follow_drain(tracer);
                /* A program may still be writing there, and all that comes after it waits. */
                if (!bpf_ring_has_passed(&tracer->follow.ring, catch_up->ring_end))
                        return 1;
        } else if (tracer_drain(tracer) && monotonic_ns() < catch_up->give_up_at)
                return 0;
        struct nsv_record record = {.kind = NSV_RECORD_REPLY, .other = (int32_t)catch_up->sequence};
        catch_up->active = false;
        tracer_emit(tracer, &record, NULL, 0);
        return -1;
}

int main(int argc, char **argv)
{
        if (argc != 6)
                return 2;
        int command_fd = atoi(argv[1]), record_fd = atoi(argv[2]);
        ignore_terminal_signals();
        prctl(PR_SET_NAME, "nsview-helper");

        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        signal(SIGCHLD, SIG_DFL);
        if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
                return 1;
        int stops = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
        if (stops < 0 || fcntl(record_fd, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
                return 1;
        fcntl(command_fd, F_SETFD, FD_CLOEXEC);
        fcntl(record_fd, F_SETFD, FD_CLOEXEC);
        /* What was closed stays closed for what is launched, unless it gets a terminal. */
        for (int fd = 0; fd <= 2; fd++)
                if (atoi(argv[5]) >> fd & 1)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(record_fd, F_SETPIPE_SZ, 1 << 20);

        static struct tracer tracer;
        tracer.outbox.fd = record_fd;
        tracer.outbox.peer_fd = command_fd;
        tracer.launch.error_fd = tracer.kept = tracer.exit_guard.fd = -EBADF;
        tracer.self = getpid();
        tracer.caller = getppid();
        read_namespaces(tracer.self, tracer.ns);
        struct guard guard = {.fd = -EBADF};
        struct inbox inbox = {0};
        int follow = atoi(argv[3]);
        tracer.how = (enum nsv_follow)(follow & ~(NSV_FOLLOW_FOREIGN | NSV_FOLLOW_STOPS | NSV_FOLLOW_FILTER));
        tracer.every_abi = follow & NSV_FOLLOW_FOREIGN;
        tracer.stops = follow & NSV_FOLLOW_STOPS;
        tracer.filter = follow & NSV_FOLLOW_FILTER;
        /* It may be needed longer than everybody else who is asked to end. */
        if (tracer.filter)
                signal(SIGTERM, SIG_IGN);
        tracer.ring_size = strtoul(argv[4], NULL, 10);
        struct nsv_record hello = {.kind = NSV_RECORD_HELLO, .pid = tracer.self, .value = NSV_ABI};
        tracer_emit(&tracer, &hello, NULL, 0);

        uint64_t flush_at = 0, drain_at = 0;
        bool more = false;
        for (;;) {
                int timeout = tracer.follow.active ? follow_turn(&tracer, &drain_at) : ptrace_turn(&tracer);
                timeout = sooner(timeout, tracer_end_turn(&tracer));
                timeout = sooner(timeout, catch_up_turn(&tracer));
                bool pending = outbox_pending(&tracer.outbox), blocked = false;
                if (pending) {
                        /* Not one by one: each write would wake the reader, at the cost of those that are traced. */
                        uint64_t now = monotonic_ns();
                        if (flush_at == 0)
                                flush_at = now + FLUSH_NS;
                        if (tracer.outbox.urgent || now >= flush_at || outbox_size(&tracer.outbox) >= FLUSH_BYTES) {
                                if (outbox_flush(&tracer.outbox) < 0)
                                        break;
                                blocked = outbox_pending(&tracer.outbox);
                                flush_at = 0;
                        } else
                                timeout = sooner(timeout, FLUSH_NS / 1000000);
                }
                if (tracer.failure < 0)
                        break;
                struct pollfd wait[] = {
                        {.fd = command_fd, .events = POLLIN},
                        {.fd = stops, .events = POLLIN},
                        {.fd = record_fd, .events = blocked ? POLLOUT : 0},
                        /* Once it has something, the rest may gather before it is emptied. */
                        {.fd = tracer.follow.active && drain_at == 0 ? tracer.follow.ring.fd : -1, .events = POLLIN},
                        {.fd = tracer.follow.active ? follow_foreign_fd(&tracer.follow) : -1, .events = POLLIN},
                        {.fd = tracer.follow.active && tracer.tasks > 0 ? follow_busy_fd(&tracer.follow) : -1, .events = POLLIN},
                };
                if (poll(wait, sizeof(wait) / sizeof(*wait), more ? 0 : timeout) < 0 && errno != EINTR)
                        break;
                if (wait[4].revents && follow_see_foreign(&tracer.follow) > 0) {
                        /* What was seen before comes before. */
                        follow_drain(&tracer);
                        tracer_emit_following(&tracer);
                }
                if (wait[5].revents && follow_relieve(&tracer.follow) > 0)
                        tracer_emit_following(&tracer);
                if (wait[3].revents && drain_at == 0)
                        drain_at = monotonic_ns() + (tracer.launch.pid ? 0 : FLUSH_NS);
                if (wait[1].revents & POLLIN) {
                        /* SIGCHLD does not queue: there is one at most. */
                        struct signalfd_siginfo info;
                        ssize_t n = read(stops, &info, sizeof(info));
                        (void)n;
                }
                if (tracer.follow.active) {
                        /* What happened before a child's end, and before a command, is told before. */
                        if ((wait[0].revents | wait[1].revents) & POLLIN)
                                drain_at = 1;
                        if (wait[1].revents & POLLIN)
                                follow_reap(&tracer);
                        if (wait[0].revents & POLLIN)
                                follow_drain(&tracer);
                } else
                        /* Even without a signal: a stop may have been reported between the last drain and the read above. */
                        more = tracer_drain(&tracer);
                if (wait[2].revents & (POLLERR | POLLNVAL))
                        break;
                if (wait[0].revents && (receive(&inbox, command_fd) <= 0 || obey(&inbox, &tracer, &guard) < 0))
                        break;
        }
        guard_restore(&guard);
        if (tracer.kept >= 0 && !tracer.kill_on_exit)
                keeper_start(tracer.kept);
        exit_guard_finish(&tracer.exit_guard);
        bool was_following = tracer.follow.active;
        if (was_following) {
                follow_drain(&tracer);
                follow_close(&tracer.follow);
        }
        outbox_flush(&tracer.outbox);
        free(inbox.bytes);
        free(tracer.outbox.bytes);
        if (was_following)
                follow_close_events(&tracer.follow);
        if (tracer.filters && tracer.tasks > 0 && !tracer.kill_on_exit)
                take_care(&tracer, command_fd);
        return 0;
}
