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
#include "sys.h"
#include "tracer.h"

/* Processes to visit, in the order found: parents before children. */
struct pid_list {
        pid_t *pids;
        size_t count, room;
};

struct attach {
        struct tracer *tracer;
        struct pid_list processes;
        unsigned seized_processes, seized_threads;
        bool progress; /* this pass found something new */
};

static bool list_has(const struct pid_list *list, pid_t pid)
{
        for (size_t i = list->count; i-- > 0;)
                if (list->pids[i] == pid)
                        return true;
        return false;
}

static int list_add(struct pid_list *list, pid_t pid)
{
        if (list->count == list->room) {
                size_t room = list->room ? list->room * 2 : 64;
                pid_t *pids = realloc(list->pids, room * sizeof(*pids));
                if (!pids)
                        return -ENOMEM;
                list->pids = pids;
                list->room = room;
        }
        list->pids[list->count++] = pid;
        return 0;
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
        int r = sys_ptrace(PTRACE_SEIZE, tid, 0, TRACE_OPTIONS);
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
        attach->seized_threads++;
        attach->progress = true;
        return 1;
}

/* Seize what is not seized yet of one process. New threads are born seized as soon as their makers are, so this ends. */
static int seize_process(struct attach *attach, pid_t tgid)
{
        struct tracer *tracer = attach->tracer;
        bool first = task_find(tracer, tgid) == NULL;
        int r = seize_task(attach, tgid, tgid);
        if (r < 0)
                return r;
        struct task *leader = task_find(tracer, tgid);
        if (r > 0 && first && leader) {
                attach->seized_processes++;
                tracer_emit_process(tracer, leader, false);
        }

        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
        bool more = true;
        while (more) {
                more = false;
                DIR *dir = opendir(path);
                if (!dir)
                        return 0;
                for (struct dirent *entry; (entry = readdir(dir));) {
                        pid_t tid = (pid_t)atoi(entry->d_name);
                        if (tid <= 0 || tid == tgid || task_find(tracer, tid))
                                continue;
                        r = seize_task(attach, tgid, tid);
                        if (r < 0) {
                                emit_refused(tracer, tgid, tid, -r);
                                continue;
                        }
                        if (r > 0) {
                                more = true;
                                struct task *task = task_find(tracer, tid);
                                if (task) {
                                        task->start = leader ? leader->start : 0;
                                        read_namespaces(tid, task->ns);
                                }
                        }
                }
                closedir(dir);
        }
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
        attach->progress = true;
        int r = seize_process(attach, pid);
        if (r < 0) {
                struct stat_line stat;
                if (read_stat(pid, &stat) < 0)
                        return;
                if (stat.state == 'Z') {
                        struct task zombie = {.tid = pid, .tgid = pid};
                        tracer_emit_process(tracer, &zombie, true);
                } else
                        emit_refused(tracer, pid, pid, -r);
        }
        /* The seized are never kept waiting for the rest of the attach. */
        tracer_drain(tracer);
}

/* Children as the kernel lists them, thread by thread (proc_pid_task_tid_children(5)). It may leave some out while others
 * exit: that is why the passes are repeated, and why find_orphans() looks once more in another way. */
static void visit_children(struct attach *attach, pid_t pid)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
        DIR *dir = opendir(path);
        if (!dir)
                return;
        for (struct dirent *entry; (entry = readdir(dir));) {
                pid_t tid = (pid_t)atoi(entry->d_name);
                if (tid <= 0)
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)tid);
                FILE *file = fopen(path, "re");
                if (!file)
                        continue;
                for (int child; fscanf(file, "%d", &child) == 1;)
                        visit(attach, (pid_t)child);
                fclose(file);
        }
        closedir(dir);
}

/* Every process whose parent belongs to the tree and which does not yet. Also the only way where the kernel was built
 * without CONFIG_PROC_CHILDREN. */
static void find_orphans(struct attach *attach)
{
        DIR *dir = opendir("/proc");
        if (!dir)
                return;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!isdigit((unsigned char)entry->d_name[0]))
                        continue;
                pid_t pid = (pid_t)atoi(entry->d_name);
                struct stat_line stat;
                if (list_has(&attach->processes, pid) || task_find(attach->tracer, pid) || read_stat(pid, &stat) < 0)
                        continue;
                if (list_has(&attach->processes, stat.ppid))
                        visit(attach, pid);
        }
        closedir(dir);
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
        if (list_add(&attach.processes, pid) < 0) {
                reply(&attach, pid, sequence, ENOMEM, NSV_STAGE_MEMORY);
                return;
        }
        int r = seize_process(&attach, pid);
        if (r < 0) {
                reply(&attach, pid, sequence, -r, NSV_STAGE_SEIZE);
                free(attach.processes.pids);
                return;
        }
        tracer_drain(tracer);
        do {
                attach.progress = false;
                for (size_t i = 0; i < attach.processes.count; i++) {
                        if (task_find(tracer, attach.processes.pids[i]))
                                seize_process(&attach, attach.processes.pids[i]);
                        visit_children(&attach, attach.processes.pids[i]);
                }
                find_orphans(&attach);
        } while (attach.progress && tracer->failure == 0);
        reply(&attach, pid, sequence, 0, NSV_STAGE_NONE);
        free(attach.processes.pids);
}
