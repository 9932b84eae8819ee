/* SPDX-License-Identifier: MIT */
/* Knows how to end what was launched: its terminal hangs up first, so that a shell can save its history and tell its jobs; then every
 * process of the tree is asked, and at last killed. */
#include <errno.h>
#include <signal.h>

#include "capture.h"
#include "sys.h"
#include "tracer.h"

/* After the hang-up, nanoseconds. */
#define ASK_NS 200000000u
#define KILL_NS 2000000000u
#define GIVE_UP_NS 4000000000u
#define AGAIN_NS 20000000u

static void reply(struct tracer *tracer, int error, unsigned left)
{
        struct nsv_record record = {
                .kind = NSV_RECORD_REPLY, .other = (int32_t)tracer->ending.sequence, .error = error, .value = left};
        tracer->ending.active = false;
        tracer_emit(tracer, &record, NULL, 0);
        tracer->outbox.urgent = true;
}

/* To the process that is meant, not to one that came by its number since. */
static void send(const struct task *task, int signal)
{
        struct stat_line stat;
        _cleanup_close_ int pidfd = sys_pidfd_open(task->tgid);
        if (pidfd >= 0 && read_stat(task->tgid, &stat) == 0 && stat.start == task->start)
                sys_pidfd_send_signal(pidfd, signal);
}

static unsigned send_all(struct tracer *tracer, int signal)
{
        unsigned count = 0;
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next) {
                        if (task->tid != task->tgid)
                                continue;
                        count++;
                        if (signal)
                                send(task, signal);
                }
        return count;
}

void tracer_end(struct tracer *tracer, uint32_t sequence)
{
        uint64_t now = monotonic_ns();
        tracer->ending = (struct ending){.active = true, .sequence = sequence, .began = now, .next_at = now + ASK_NS};
        /* Never what nsview did not start. */
        if (tracer->attached)
                reply(tracer, EBUSY, 0);
}

int tracer_end_turn(struct tracer *tracer)
{
        struct ending *ending = &tracer->ending;
        if (!ending->active)
                return -1;
        if (tracer->tasks == 0) {
                reply(tracer, 0, 0);
                return -1;
        }
        uint64_t now = monotonic_ns();
        if (now >= ending->next_at) {
                uint64_t since = now - ending->began;
                if (since >= GIVE_UP_NS) {
                        reply(tracer, 0, send_all(tracer, 0));
                        return -1;
                }
                if (since >= KILL_NS) {
                        send_all(tracer, SIGKILL);
                        ending->next_at = now + AGAIN_NS;
                } else if (!ending->asked) {
                        ending->asked = true;
                        send_all(tracer, SIGTERM);
                        /* Who is stopped could not act upon it. */
                        send_all(tracer, SIGCONT);
                        ending->next_at = ending->began + KILL_NS;
                }
        }
        return ending->next_at > now ? (int)((ending->next_at - now) / 1000000u) + 1 : 0;
}
