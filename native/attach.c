/* SPDX-License-Identifier: MIT */
/* Knows how to seize a whole existing tree without stopping any of it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "capture.h"
#include "follow_abi.h"
#include "nested.h"
#include "sys.h"
#include "tracer.h"

/* How often threads are listed anew only because their number is another one: in a storm it always is. */
#define THREAD_ROUNDS 8

/* So long one that has stopped may wait for an attach that is under way. */
#define DRAIN_NS 1000000u

/* Milliseconds between looks for births that no event told of; and so many pids are looked at one by one, rather than the whole of /proc. */
#define LOOK_MS 50
#define LOOK_PIDS 4096

#define PF_EXITING 0x4u /* include/linux/sched.h */

/* Processes to visit, in the order found: parents before children. */
struct pid_list {
        pid_t *pids;
        size_t count, room;
        pid_t *slots; /* the same as a set, for the question whether it is in there: room * 2 of them, 0 is free */
};

struct attach {
        struct tracer *tracer;
        struct pid_list processes;
        unsigned seized_processes, seized_threads;
        bool progress; /* this pass found something new */
        bool again;    /* births may have been lost */
        bool late;     /* looking for births that were not told */
        uint64_t drained_at;
};

/* The slot where it is, or would be. */
static pid_t *list_slot(const struct pid_list *list, pid_t pid)
{
        size_t mask = list->room * 2 - 1, i = (uint32_t)pid * 2654435761u & mask;
        while (list->slots[i] != 0 && list->slots[i] != pid)
                i = (i + 1) & mask;
        return &list->slots[i];
}

static bool list_has(const struct pid_list *list, pid_t pid)
{
        /* 0 is the parent of those whose parent is elsewhere, and in nobody's tree. */
        return pid != 0 && list->room > 0 && *list_slot(list, pid) == pid;
}

static int list_add(struct pid_list *list, pid_t pid)
{
        if (list->count == list->room) {
                struct pid_list larger = {.count = list->count, .room = list->room ? list->room * 2 : 64};
                larger.slots = calloc(larger.room * 2, sizeof(*larger.slots));
                larger.pids = larger.slots ? realloc(list->pids, larger.room * sizeof(*larger.pids)) : NULL;
                if (!larger.pids) {
                        free(larger.slots);
                        return -ENOMEM;
                }
                free(list->slots);
                *list = larger;
                for (size_t i = 0; i < list->count; i++)
                        *list_slot(list, list->pids[i]) = list->pids[i];
        }
        *list_slot(list, pid) = pid;
        list->pids[list->count++] = pid;
        return 0;
}

static void list_free(struct pid_list *list)
{
        free(list->pids);
        free(list->slots);
}

/* The helper and the program that it serves are never part of a tree: to stop them would stop the one who waits. */
static bool is_own(const struct tracer *tracer, pid_t pid)
{
        return pid == tracer->self || pid == tracer->caller;
}

static void emit_refused(struct tracer *tracer, pid_t pid, pid_t tid, int error)
{
        struct nsv_record record = {
                .kind = NSV_RECORD_REFUSED, .pid = pid, .tid = tid, .error = error, .stage = NSV_STAGE_SEIZE};
        struct stat_line stat;
        if (read_stat(pid, &stat) == 0) {
                record.start = stat.start;
                record.ppid = stat.ppid;
        }
        tracer_emit(tracer, &record, NULL, 0);
}

/* 1 seized now, 0 nothing to do (gone, ours already), -errno refused. */
static int seize_task(struct attach *attach, pid_t tgid, pid_t tid)
{
        struct tracer *tracer = attach->tracer;
        if (task_find(tracer, tid))
                return 0;
        /* What is found beside a program under the filter descends from it, and is under it, too. */
        int r = sys_ptrace(PTRACE_SEIZE, tid, 0, tracer_options(tracer) | (tracer->filters ? PTRACE_O_TRACESECCOMP : 0));
        if (r == -ESRCH)
                return 0;
        if (r < 0) {
                struct stat_line stat;
                if (read_stat(tid, &stat) < 0)
                        return 0;
                /* Born of a task that is seized already: it is ours, and its maker's event is on its way. */
                if (read_status_number(tid, "TracerPid:") == tracer->self)
                        return 0;
                return r;
        }
        struct task *task = task_add(tracer, tid, tgid);
        if (!task) {
                /* Untold, it could never be resumed from a stop: rather give it back. It has to stop for that. */
                return -ENOMEM;
        }
        task->known = task->born_stopped = true;
        task->calls = attach->late ? tracer->calls : tracer_calls_seen(tracer, tracer->filters);
        /* Only from a stop can it go on to the next system call. */
        if (task->calls & NSV_CALLS_BY_STOPS)
                sys_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
        attach->seized_threads++;
        attach->progress = true;
        return 1;
}

/* fs/proc/base.c, proc_task_getattr(): each thread is a link more. */
static unsigned count_threads(const char *task_directory)
{
        struct stat directory;
        return stat(task_directory, &directory) < 0 ? 0 : (unsigned)directory.st_nlink - 2;
}

/* Until every one of them is seized or refused: new ones are born seized as soon as their makers are, so this ends. The kernel may leave some
 * out of the list while others exit, but not out of their number. */
static void seize_threads(struct attach *attach, pid_t tgid)
{
        struct tracer *tracer = attach->tracer;
        const struct task *leader = task_find(tracer, tgid);
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
        bool more = count_threads(path) > 1;
        for (int rounds = 0; more; rounds++) {
                more = false;
                DIR *dir = opendir(path);
                if (!dir)
                        return;
                unsigned listed = 0;
                for (struct dirent *entry; (entry = readdir(dir));) {
                        pid_t tid = (pid_t)atoi(entry->d_name);
                        listed += tid > 0;
                        if (tid <= 0 || tid == tgid || task_find(tracer, tid))
                                continue;
                        int r = seize_task(attach, tgid, tid);
                        if (r < 0)
                                emit_refused(tracer, tgid, tid, -r);
                        struct task *task = r > 0 ? task_find(tracer, tid) : NULL;
                        if (!task)
                                continue;
                        more = true;
                        task->start = leader ? leader->start : 0;
                        read_namespaces(tid, task->ns);
                }
                more |= count_threads(path) != listed && rounds < THREAD_ROUNDS;
                closedir(dir);
        }
}

/* A leader that has ended cannot be seized (kernel/ptrace.c, ptrace_attach(): exit_state), and stays while other threads go on. 1, or -errno. */
static int keep_dead_leader(struct attach *attach, pid_t tgid)
{
        struct stat_line stat;
        if (read_stat(tgid, &stat) < 0 || stat.state != 'Z' || read_other_thread(tgid) < 0)
                return -EPERM;
        struct task *leader = task_add(attach->tracer, tgid, tgid);
        if (!leader)
                return -ENOMEM;
        leader->known = leader->dead = true;
        attach->progress = true;
        return 1;
}

/* Seize what is not seized yet of one process. */
static int seize_process(struct attach *attach, pid_t tgid)
{
        struct tracer *tracer = attach->tracer;
        bool first = task_find(tracer, tgid) == NULL;
        int r = seize_task(attach, tgid, tgid);
        if (r == -EPERM)
                r = keep_dead_leader(attach, tgid);
        if (r < 0)
                return r;
        struct task *leader = task_find(tracer, tgid);
        if (r > 0 && first && leader) {
                attach->seized_processes++;
                tracer_emit_process(tracer, leader, attach->late ? NSV_FOUND_LATE : NSV_FOUND_ALIVE);
        }
        seize_threads(attach, tgid);
        return 0;
}

/* Of one that is on its way out the end is told already, to nobody, or will be: then it is met by that. */
static void note_thread(void *data, const struct follow_thread *thread)
{
        struct attach *attach = data;
        struct tracer *tracer = attach->tracer;
        const struct task *leader = task_find(tracer, thread->pid);
        struct task *task = task_find(tracer, thread->tid);
        if (task && task->tgid == thread->pid)
                task->met = true;
        if (!leader || thread->flags & PF_EXITING || task)
                return;
        uint64_t start = leader->start;
        task = task_add(tracer, thread->tid, thread->pid);
        if (!task)
                return;
        task->known = task->met = true;
        task->start = start;
        task->cred = thread->cred;
        task->cred_known = true;
        follow_copy_inodes(thread->ns, task->ns);
        task->cred_at = task->seen_at = thread->at;
        task->loose = true;
        tracer_count_thread(tracer, thread->pid, 1);
        attach->seized_threads++;
}

/* Every task of it is on its way out: kernel/exit.c, do_exit() tells of an exit after it has set PF_EXITING, and long before the task is a
 * zombie. Whoever is followed from in between on may have been told of already, to nobody. */
static bool is_leaving(pid_t tgid)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
        DIR *dir = opendir(path);
        if (!dir)
                return true;
        bool leaving = true;
        for (struct dirent *entry; leaving && (entry = readdir(dir));) {
                pid_t tid = (pid_t)atoi(entry->d_name);
                struct stat_line stat;
                if (tid > 0 && read_stat(tid, &stat) == 0)
                        leaving = stat.flags & PF_EXITING;
        }
        closedir(dir);
        return leaving;
}

/* By BPF: 0, or -errno. From follow_add() on its children and threads are followed by themselves, and its end is told. */
static int follow_process(struct attach *attach, pid_t tgid)
{
        struct tracer *tracer = attach->tracer;
        int r = follow_add(&tracer->follow, tgid);
        /* Born of one that is followed: its birth is in the ring, or told. */
        if (r < 0 || (r == 0 && (!attach->again || task_find(tracer, tgid))))
                return r;
        if (follow_look_at_program(&tracer->follow, tgid) > 0)
                tracer_emit_following(tracer);
        /* Those who are born followed are no reason for another pass: of them there may be no end. */
        attach->progress = true;
        struct stat_line stat;
        if (read_stat(tgid, &stat) < 0) {
                follow_forget(&tracer->follow, tgid);
                return 0;
        }
        /* A leader that has ended is a zombie as well, while other threads go on. */
        if (stat.flags & PF_EXITING && is_leaving(tgid)) {
                follow_forget(&tracer->follow, tgid);
                struct task zombie = {.tid = tgid, .tgid = tgid};
                tracer_emit_process(tracer, &zombie, NSV_FOUND_ZOMBIE);
                return 0;
        }
        struct task *leader = task_find(tracer, tgid);
        if (!leader)
                leader = task_add(tracer, tgid, tgid);
        if (!leader)
                return -ENOMEM;
        leader->known = true;
        leader->cred_known = read_cred(tgid, &leader->cred) == 0;
        leader->cred_at = monotonic_ns();
        tracer_emit_process(tracer, leader, NSV_FOUND_ALIVE);
        attach->seized_processes++;
        attach->seized_threads++;
        return 0;
}

/* Visit a process that was not visited before: seize it, or tell why not, and remember it either way. */
static void visit(struct attach *attach, pid_t pid)
{
        struct tracer *tracer = attach->tracer;
        if (is_own(tracer, pid) || list_has(&attach->processes, pid))
                return;
        if (list_add(&attach->processes, pid) < 0) {
                emit_refused(tracer, pid, pid, ENOMEM);
                return;
        }
        if (tracer->follow.active) {
                int r = follow_process(attach, pid);
                if (r < 0)
                        emit_refused(tracer, pid, pid, -r);
                return;
        }
        int r = seize_process(attach, pid);
        if (r < 0) {
                struct stat_line stat;
                if (read_stat(pid, &stat) < 0)
                        return;
                if (stat.state == 'Z') {
                        struct task zombie = {.tid = pid, .tgid = pid};
                        tracer_emit_process(tracer, &zombie, NSV_FOUND_ZOMBIE);
                } else
                        emit_refused(tracer, pid, pid, -r);
        }
        /* The seized are not kept waiting for the rest of the attach. The kernel goes through all of them to find one that has stopped
         * (kernel/exit.c, ptrace_do_wait): not after each. */
        uint64_t now = monotonic_ns();
        if (!attach->late && now - attach->drained_at >= DRAIN_NS) {
                attach->drained_at = now;
                tracer_drain(tracer);
        }
}

/* A process that is in nobody's tree so far, and its parent. */
struct stranger {
        pid_t pid, ppid;
};

/* Every process that was not visited yet. -errno. */
static ssize_t list_strangers(const struct attach *attach, struct stranger **ret_strangers)
{
        DIR *dir = opendir("/proc");
        if (!dir)
                return -errno;
        _cleanup_free_ struct stranger *strangers = NULL;
        size_t count = 0, room = 0;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!isdigit((unsigned char)entry->d_name[0]))
                        continue;
                pid_t pid = (pid_t)atoi(entry->d_name);
                struct stat_line stat;
                if (list_has(&attach->processes, pid) || task_find(attach->tracer, pid) || read_stat(pid, &stat) < 0)
                        continue;
                if (count == room) {
                        room = room ? room * 2 : 256;
                        struct stranger *larger = realloc(strangers, room * sizeof(*larger));
                        if (!larger) {
                                closedir(dir);
                                return -ENOMEM;
                        }
                        strangers = larger;
                }
                strangers[count++] = (struct stranger){pid, stat.ppid};
        }
        closedir(dir);
        *ret_strangers = strangers;
        strangers = NULL;
        return (ssize_t)count;
}

/* All who descend from the tree, by one reading of who is whose parent. Parents mostly have the lower numbers, so that one walk finds most. */
static void visit_descendants(struct attach *attach)
{
        _cleanup_free_ struct stranger *strangers = NULL;
        ssize_t count = list_strangers(attach, &strangers);
        for (bool more = true; more;) {
                more = false;
                for (ssize_t i = 0; i < count; i++) {
                        if (strangers[i].pid == 0 || !list_has(&attach->processes, strangers[i].ppid))
                                continue;
                        visit(attach, strangers[i].pid);
                        strangers[i].pid = 0;
                        more = true;
                }
        }
}

/* Until a pass finds nothing new: children of those who are followed come by themselves, as do their threads. 0, or -errno. */
static int visit_tree(struct attach *attach)
{
        struct tracer *tracer = attach->tracer;
        do {
                /* What they did before they are met is not told as a change: so before others are looked for. */
                int r = tracer->follow.active ? follow_walk_threads(&tracer->follow, note_thread, attach) : 0;
                if (r < 0)
                        return r;
                attach->progress = false;
                visit_descendants(attach);
        } while (attach->progress && tracer->failure == 0);
        return 0;
}

/* Was this one born of a task that is followed, and nobody told? */
static void meet(struct attach *attach, pid_t pid)
{
        struct tracer *tracer = attach->tracer;
        struct kin kin;
        /* Traced: its maker's event is on its way. A zombie has been told, or was too short-lived. */
        if (task_find(tracer, pid) || read_kin(pid, &kin) < 0 || kin.tracer == tracer->self || kin.state == 'Z' ||
            nested_was_let_go(tracer, pid))
                return;
        if (kin.tgid != pid) {
                if (task_find(tracer, kin.tgid))
                        seize_threads(attach, kin.tgid);
        } else if (kin.ppid == tracer->self || task_find(tracer, kin.ppid))
                visit(attach, pid);
}

void tracer_find_unseen(struct tracer *tracer)
{
        pid_t last = read_last_pid(), before = tracer->last_pid;
        if (last <= 0 || last == before)
                return;
        tracer->last_pid = last;
        struct attach attach = {.tracer = tracer, .late = true};
        if (last > before && last - before <= LOOK_PIDS)
                for (pid_t pid = before + 1; pid <= last; pid++)
                        meet(&attach, pid);
        else {
                /* They have begun anew from the lowest, or somebody set the next one. */
                _cleanup_free_ struct stranger *strangers = NULL;
                ssize_t count = list_strangers(&attach, &strangers);
                for (ssize_t i = 0; i < count; i++)
                        meet(&attach, strangers[i].pid);
        }
        list_free(&attach.processes);
}

int tracer_look_for_unseen(struct tracer *tracer)
{
        if (tracer->tasks == 0)
                return -1;
        uint64_t now = monotonic_ns();
        if (now - tracer->looked_at >= LOOK_MS * UINT64_C(1000000)) {
                tracer->looked_at = now;
                tracer_find_unseen(tracer);
        }
        return LOOK_MS;
}

static void reply(struct attach *attach, pid_t pid, uint32_t sequence, int error, uint32_t stage)
{
        struct nsv_record record = {
                .kind = NSV_RECORD_REPLY,
                .pid = pid,
                .other = (int32_t)sequence,
                .error = error,
                .stage = stage,
                .value = attach->seized_processes,
                .tid = (int32_t)attach->seized_threads,
        };
        tracer_emit(attach->tracer, &record, NULL, 0);
}

void tracer_attach(struct tracer *tracer, pid_t pid, uint32_t sequence)
{
        struct attach attach = {.tracer = tracer};
        long tgid = read_status_number(pid, "Tgid:");
        if (tgid < 0) {
                reply(&attach, pid, sequence, tgid == -ENOENT || tgid == -ESRCH ? ESRCH : (int)-tgid, NSV_STAGE_FIND);
                return;
        }
        pid = (pid_t)tgid;
        if (is_own(tracer, pid)) {
                reply(&attach, pid, sequence, EPERM, NSV_STAGE_SELF);
                return;
        }
        if (tracer->kill_on_exit) {
                reply(&attach, pid, sequence, EBUSY, NSV_STAGE_GUARD);
                return;
        }
        tracer->attached = true;
        if (list_add(&attach.processes, pid) < 0) {
                reply(&attach, pid, sequence, ENOMEM, NSV_STAGE_MEMORY);
                return;
        }
        bool bpf = tracer->follow.active;
        int r = bpf ? follow_process(&attach, pid) : seize_process(&attach, pid);
        if (r < 0) {
                reply(&attach, pid, sequence, -r, bpf ? NSV_STAGE_BPF_MAP : NSV_STAGE_SEIZE);
                list_free(&attach.processes);
                return;
        }
        if (!bpf)
                tracer_drain(tracer);
        r = visit_tree(&attach);
        reply(&attach, pid, sequence, -r, r < 0 ? NSV_STAGE_BPF_ATTACH : NSV_STAGE_NONE);
        list_free(&attach.processes);
}

static void emit_gone(struct tracer *tracer, struct task *leader)
{
        struct nsv_record record = {.kind = NSV_RECORD_GONE, .pid = leader->tgid, .tid = leader->tid, .start = leader->start};
        tracer_emit(tracer, &record, NULL, 0);
        for (struct task *thread; leader->threads > 0 && (thread = tracer_any_thread(tracer, leader->tgid));) {
                tracer_count_thread(tracer, leader->tgid, -1);
                task_remove(tracer, thread);
        }
        follow_forget(&tracer->follow, leader->tgid);
        task_remove(tracer, leader);
}

/* Threads that have ended: kept, they would be told to end with their process, or be taken for others that get their numbers. */
static void forget_unmet(struct tracer *tracer)
{
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i], *next; task; task = next) {
                        next = task->next;
                        if (task->tid == task->tgid || task->met)
                                continue;
                        tracer_count_thread(tracer, task->tgid, -1);
                        task_remove(tracer, task);
                }
}

void tracer_look_again(struct tracer *tracer)
{
        struct attach attach = {.tracer = tracer, .again = true};
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i], *next; task; task = next) {
                        next = task->next;
                        /* What a lost call changed is not told of the next one. */
                        task->cred_known = task->met = false;
                        if (task->tid != task->tgid || tracer->launch.pid == task->tid)
                                continue;
                        struct stat_line stat;
                        bool gone = read_stat(task->tgid, &stat) < 0 || (task->start != 0 && stat.start != task->start) ||
                                    (stat.flags & PF_EXITING && is_leaving(task->tgid));
                        if (!gone)
                                list_add(&attach.processes, task->tgid);
                        else if (task->threads == 0)
                                emit_gone(tracer, task);
                        else {
                                /* Its threads may lie anywhere in the table, so that the walk begins anew. */
                                emit_gone(tracer, task);
                                next = tracer->buckets[i];
                        }
                }
        /* Of threads that cannot be read the next event tells. */
        if (visit_tree(&attach) == 0)
                forget_unmet(tracer);
        list_free(&attach.processes);
}
