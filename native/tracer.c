/* SPDX-License-Identifier: MIT */
#include "tracer.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "capture.h"
#include "cgroup_path.h"
#include "nested.h"
#include "status.h"
#include "sys.h"
#include "syscalls.h"

#define CLONE_NEW_ANY                                                                                                  \
        (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP |   \
         CLONE_NEWTIME)

/* ---- The table of tasks ---- */

static struct task **bucket_of(struct tracer *tracer, pid_t tid)
{
        return &tracer->buckets[(unsigned)tid % TASK_BUCKETS];
}

struct task *task_find(struct tracer *tracer, pid_t tid)
{
        struct task *task = *bucket_of(tracer, tid);
        while (task && task->tid != tid)
                task = task->next;
        return task;
}

struct task *task_add(struct tracer *tracer, pid_t tid, pid_t tgid)
{
        struct task *task = calloc(1, sizeof(*task));
        if (!task)
                return NULL;
        struct task **bucket = bucket_of(tracer, tid);
        task->tid = tid;
        task->tgid = tgid;
        task->next = *bucket;
        *bucket = task;
        tracer->tasks++;
        return task;
}

static void tracer_hold(struct tracer *tracer, struct task *task)
{
        if (task->held_since)
                return;
        task->held_since = monotonic_ns();
        tracer->held++;
}

static bool tracer_unhold(struct tracer *tracer, struct task *task)
{
        if (!task->held_since)
                return false;
        task->held_since = 0;
        tracer->held--;
        return true;
}

void task_remove(struct tracer *tracer, struct task *task)
{
        for (struct task **at = bucket_of(tracer, task->tid); *at; at = &(*at)->next) {
                if (*at != task)
                        continue;
                *at = task->next;
                tracer->tasks--;
                tracer_unhold(tracer, task);
                tracer->nested -= (task->wanted_by != 0) + (task->asks_for != 0);
                syscalls_forget(task);
                free(task);
                return;
        }
}

struct task *tracer_any_thread(struct tracer *tracer, pid_t tgid)
{
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i]; task; task = task->next)
                        if (task->tgid == tgid && task->tid != tgid)
                                return task;
        return NULL;
}

void tracer_count_thread(struct tracer *tracer, pid_t tgid, int by)
{
        struct task *leader = task_find(tracer, tgid);
        if (leader && (by > 0 || leader->threads > 0))
                leader->threads += (unsigned)by;
}

/* ---- Records ---- */

void tracer_emit(struct tracer *tracer, struct nsv_record *record, const struct text *texts, unsigned count)
{
        int r = outbox_put(&tracer->outbox, record, texts, count);
        if (r < 0 && tracer->failure == 0)
                tracer->failure = r;
}

void tracer_emit_clone_into(struct tracer *tracer, struct nsv_record *record, struct text nspid, char cgroup[CGROUP_TEXT], ssize_t size,
                            const char *call)
{
        if (size < 0)
                size = snprintf(cgroup, CGROUP_TEXT, "%d %s", (int)-size, call);
        struct text texts[] = {nspid, {cgroup, (size_t)size}};
        tracer_emit(tracer, record, texts, 2);
}

void tracer_emit_process(struct tracer *tracer, struct task *task, enum nsv_found found)
{
        struct stat_line stat = {0};
        if (read_stat(task->tgid, &stat) == 0)
                task->start = stat.start;
        else if (found == NSV_FOUND_ZOMBIE)
                return; /* its parent has waited for it meanwhile */
        /* Only who was not stopped before can stop now. Seized, it tells that itself. */
        if (tracer->follow.active)
                task->group_stopped = stat.state == 'T';
        /* A leader that has ended is in no namespaces any more; its threads are. */
        pid_t there = stat.state == 'Z' && found != NSV_FOUND_ZOMBIE ? read_other_thread(task->tgid) : task->tid;
        if (there < 0 || read_namespaces(there, task->ns) < 0)
                memset(task->ns, 0, sizeof(task->ns));
        task->seen_at = monotonic_ns();
        task->loose = tracer->follow.active;

        struct nsv_record record = {
                .kind = NSV_RECORD_PROCESS,
                .pid = task->tgid,
                .tid = task->tid,
                .ppid = stat.ppid,
                .start = task->start,
                .other = found,
        };
        memcpy(record.ns, task->ns, sizeof(record.ns));
        char ids[256];
        const uint32_t *u = task->cred.uids, *g = task->cred.gids;
        int size = snprintf(ids, sizeof(ids), "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", u[0], u[1], u[2], u[3], g[0], g[1], g[2], g[3]);
        struct text texts[] = {{stat.comm, strlen(stat.comm)}, {ids, (size_t)size}};
        tracer_emit(tracer, &record, texts, task->cred_known ? 2 : 1);
}

void tracer_emit_launched(struct tracer *tracer, struct nsv_record *record, const struct text texts[3], const struct nsv_cred *cred,
                          struct text pids, struct text cgroup)
{
        char *identity = NULL;
        const uint32_t *u = cred->uids, *g = cred->gids;
        int size = asprintf(&identity, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nNSpid:\t%.*s\n\n%.*s", u[0], u[1], u[2], u[3], g[0], g[1],
                            g[2], g[3], (int)pids.size, pids.bytes, (int)cgroup.size, cgroup.bytes);
        struct text all[] = {texts[0], texts[1], texts[2], {identity, size > 0 ? (size_t)size : 0}};
        tracer_emit(tracer, record, all, 4);
        if (size >= 0)
                free(identity);
}

void tracer_emit_exec(struct tracer *tracer, struct task *task, struct nsv_record *record, const struct text texts[3],
                      const struct nsv_cred *cred)
{
        struct nsv_exec_cred changed = {task->cred, *cred};
        struct text all[] = {texts[0], texts[1], texts[2], {(const char *)&changed, sizeof(changed)}};
        tracer_emit(tracer, record, all, task->cred_known ? 4 : 3);
        task->cred = *cred;
        task->cred_known = true;
}

uint32_t tracer_calls_seen(const struct tracer *tracer, bool launched)
{
        if (tracer->follow.active)
                return NSV_CALLS_NATIVE | (follow_sees_every_abi(&tracer->follow) ? NSV_CALLS_FOREIGN : 0);
        if (launched)
                return NSV_CALLS_NATIVE | NSV_CALLS_FOREIGN | (tracer->filter ? NSV_CALLS_BY_FILTER : NSV_CALLS_BY_STOPS);
        return tracer->stops ? NSV_CALLS_NATIVE | NSV_CALLS_FOREIGN | NSV_CALLS_BY_STOPS : 0;
}

void tracer_emit_following(struct tracer *tracer)
{
        tracer->calls = tracer_calls_seen(tracer, false);
        struct nsv_record record = {.kind = NSV_RECORD_FOLLOWING,
                                    .other = tracer->follow.active ? NSV_FOLLOW_BPF : NSV_FOLLOW_PTRACE,
                                    .value = tracer->calls};
        tracer_emit(tracer, &record, NULL, 0);
}

void tracer_emit_call(struct tracer *tracer, struct task *task, uint32_t name, uint64_t at, int64_t result, bool ended, enum nsv_abi abi,
                      struct nsv_call *call, const char *bytes, size_t size, const int64_t *ns)
{
        struct nsv_record record = {
                .kind = NSV_RECORD_CALL,
                .at = at,
                .pid = task->tgid,
                .tid = task->tid,
                .start = task->start,
                .other = (int32_t)name,
                .value = (uint64_t)result,
                .error = ended,
                .stage = abi,
        };
        memcpy(record.ns, task->ns, sizeof(record.ns));
        memcpy(record.child_ns, ns ? ns : task->ns, sizeof(record.child_ns));
        if (ns)
                memcpy(task->ns, ns, sizeof(task->ns));
        /* One that failed changed nothing: what did was a call that was not seen (include/linux/err.h, MAX_ERRNO). */
        bool failed = result < 0 && result >= -4095;
        call->before_known = task->cred_known && !failed;
        call->before = task->cred;
        task->cred = call->after;
        task->cred_known = true;
        struct text texts[] = {{(const char *)call, sizeof(*call)}, {bytes, size}};
        tracer_emit(tracer, &record, texts, 2);
}

/* Read the links of a stopped task, and tell if they are not what they were. */
static void note_namespaces(struct tracer *tracer, struct task *task)
{
        int64_t now[NSV_LINK_COUNT];
        /* Gone, or killed: what was known stays the last word. */
        if (read_namespaces(task->tid, now) < 0)
                return;
        if (memcmp(now, task->ns, sizeof(now)) == 0)
                return;
        struct nsv_record record = {
                .kind = NSV_RECORD_NAMESPACES, .pid = task->tgid, .tid = task->tid, .start = task->start};
        memcpy(record.ns, task->ns, sizeof(record.ns));
        memcpy(record.child_ns, now, sizeof(record.child_ns));
        memcpy(task->ns, now, sizeof(now));
        tracer_emit(tracer, &record, NULL, 0);
}

/* ---- What a clone was asked for ---- */

/* The call's number and first argument as its architecture passes them; PTRACE_GET_SYSCALL_INFO says which one it is, since
 * a 64-bit task may make a 32-bit call (kernel/ptrace.c; arch/x86/include/asm/syscall.h). */
struct call {
        enum { CALL_FORK, CALL_VFORK, CALL_CLONE, CALL_CLONE3 } what;
        uint64_t argument;
};

/* i386 and arm number these four alike (arch/x86/entry/syscalls/syscall_32.tbl, arch/arm/tools/syscall.tbl). */
static int decode_narrow_call(uint32_t nr, uint32_t first, struct call *ret_call)
{
        switch (nr) {
        case 2:
                *ret_call = (struct call){CALL_FORK, 0};
                return 0;
        case 190:
                *ret_call = (struct call){CALL_VFORK, 0};
                return 0;
        case 120:
                *ret_call = (struct call){CALL_CLONE, first};
                return 0;
        case 435:
                *ret_call = (struct call){CALL_CLONE3, first};
                return 0;
        }
        return -ENOSYS;
}

#if defined(__x86_64__)
static int decode_call(pid_t tid, struct call *ret_call)
{
        struct ptrace_syscall_info info;
        uint32_t arch = AUDIT_ARCH_X86_64;
        if (syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0)
                arch = info.arch;

        union {
                struct {
                        uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rest[11];
                } wide;
                struct {
                        uint32_t ebx, ecx, edx, esi, edi, ebp, eax, xds, xes, xfs, xgs, orig_eax, rest[5];
                } narrow;
        } regs;
        struct iovec io = {&regs, sizeof(regs)};
        int r = sys_ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, (uintptr_t)&io);
        if (r < 0)
                return r;
        bool wide = io.iov_len == sizeof(regs.wide);
        if (arch == AUDIT_ARCH_I386)
                return wide ? decode_narrow_call((uint32_t)regs.wide.orig_rax, (uint32_t)regs.wide.rbx, ret_call)
                            : decode_narrow_call(regs.narrow.orig_eax, regs.narrow.ebx, ret_call);
        if (!wide)
                return -ENOSYS;
        switch ((uint32_t)regs.wide.orig_rax & ~0x40000000u) { /* __X32_SYSCALL_BIT */
        case SYS_fork:
                *ret_call = (struct call){CALL_FORK, 0};
                return 0;
        case SYS_vfork:
                *ret_call = (struct call){CALL_VFORK, 0};
                return 0;
        case SYS_clone:
                *ret_call = (struct call){CALL_CLONE, regs.wide.rdi};
                return 0;
        case SYS_clone3:
                *ret_call = (struct call){CALL_CLONE3, regs.wide.rdi};
                return 0;
        }
        return -ENOSYS;
}
#elif defined(__aarch64__)
static int decode_call(pid_t tid, struct call *ret_call)
{
        union {
                struct {
                        uint64_t x[31], sp, pc, pstate;
                } wide;
                uint32_t narrow[18]; /* r0 … r15, cpsr, orig_r0 */
        } regs;
        struct iovec io = {&regs, sizeof(regs)};
        int r = sys_ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, (uintptr_t)&io);
        if (r < 0)
                return r;
        if (io.iov_len == sizeof(regs.wide)) {
                /* x0 holds the first argument until the call returns. */
                switch (regs.wide.x[8]) {
                case SYS_clone:
                        *ret_call = (struct call){CALL_CLONE, regs.wide.x[0]};
                        return 0;
                case SYS_clone3:
                        *ret_call = (struct call){CALL_CLONE3, regs.wide.x[0]};
                        return 0;
                }
                return -ENOSYS;
        }
        return decode_narrow_call(regs.narrow[7], regs.narrow[17], ret_call);
}
#else
#error "nsview knows the registers of x86_64 and aarch64 only"
#endif

/* The flags, and the exit signal, which the old call keeps in their low byte. Valid while `tid` is at its clone event. */
static int read_clone_flags(pid_t tid, uint64_t *ret_flags, uint64_t *ret_exit_signal)
{
        struct call call;
        int r = decode_call(tid, &call);
        if (r < 0)
                return r;
        *ret_exit_signal = SIGCHLD;
        switch (call.what) {
        case CALL_FORK:
                *ret_flags = 0;
                return 0;
        case CALL_VFORK:
                *ret_flags = CLONE_VFORK | CLONE_VM;
                return 0;
        case CALL_CLONE:
                *ret_flags = (uint32_t)call.argument & ~(uint32_t)CSIGNAL;
                *ret_exit_signal = call.argument & CSIGNAL;
                return 0;
        case CALL_CLONE3: {
                uint64_t args[5]; /* flags, pidfd, child_tid, parent_tid, exit_signal: in its first version, CLONE_ARGS_SIZE_VER0 */
                struct iovec local = {args, sizeof(args)}, remote = {(void *)(uintptr_t)call.argument, sizeof(args)};
                ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
                if (n != (ssize_t)sizeof(args))
                        return n < 0 ? -errno : -EFAULT;
                *ret_flags = args[0];
                *ret_exit_signal = args[4];
                return 0;
        }
        }
        return -ENOSYS;
}

/* The signal that will tell of the child's end; an execve of its own makes it SIGCHLD (execve(2)). Valid while `caller` is at its clone event. */
static uint32_t birth_exit_signal(const struct task *caller, uint64_t flags, uint64_t asked)
{
        struct stat_line stat;
        if (flags & CLONE_THREAD)
                return 0;
        /* That of its maker's end (kernel/fork.c, copy_process). */
        if (flags & CLONE_PARENT)
                return read_stat(caller->tgid, &stat) == 0 && stat.exit_signal > 0 ? (uint32_t)stat.exit_signal : 0;
        return (uint32_t)asked;
}

/* ---- Births ---- */

/* What a child's links are when the call asked for no new namespace: its caller's, but born where the caller's children
 * are born (kernel/nsproxy.c, create_new_namespaces; pid_namespaces(7), time_namespaces(7)). The clocks that are mapped into memory
 * are those of one time namespace: with its caller's memory it stays in that until its execve (copy_namespaces). */
static void inherit_namespaces(const int64_t caller[NSV_LINK_COUNT], uint64_t flags, int64_t ret_child[NSV_LINK_COUNT])
{
        memcpy(ret_child, caller, sizeof(int64_t) * NSV_LINK_COUNT);
        if (caller[NSV_LINK_pid_for_children] > 0)
                ret_child[NSV_LINK_pid] = caller[NSV_LINK_pid_for_children];
        if (caller[NSV_LINK_time_for_children] > 0 && !(flags & CLONE_VM))
                ret_child[NSV_LINK_time] = caller[NSV_LINK_time_for_children];
}

void tracer_resume(struct tracer *tracer, struct task *task, int signal)
{
        if (nested_keeps(tracer, task, signal))
                return;
        /* -ESRCH: it was killed meanwhile, and wait tells. */
        sys_ptrace(syscalls_are_awaited(task) ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, 0, (uintptr_t)signal);
}

/* What a birth's record needs from its caller while that is stopped at its clone event; NULL where the event never came. */
static void begin_clone(struct tracer *tracer, struct task *caller, struct task *child, struct nsv_record *ret_record)
{
        struct nsv_record record = {.kind = NSV_RECORD_CLONE, .other = child->tid};
        uint64_t flags = 0, exit_signal = 0;
        int r = caller ? read_clone_flags(caller->tid, &flags, &exit_signal) : -ESRCH;
        record.value = flags;
        record.error = r < 0 ? -r : 0;
        if (r == 0)
                record.stage = birth_exit_signal(caller, flags, exit_signal);
        if (caller) {
                note_namespaces(tracer, caller);
                record.pid = caller->tgid;
                record.tid = caller->tid;
                memcpy(record.ns, caller->ns, sizeof(record.ns));
        } else {
                struct kin kin = {0};
                read_kin(child->tid, &kin);
                const struct task *maker = task_find(tracer, kin.tgid != child->tid ? kin.tgid : kin.ppid);
                if (maker)
                        memcpy(record.ns, maker->ns, sizeof(record.ns));
        }
        record.at = monotonic_ns();
        *ret_record = record;
}

/* The child's namespaces at birth. Must be read before it runs where it was given new ones; else they are its caller's. */
static void note_birth_namespaces(struct task *child, const struct nsv_record *record)
{
        if (record->error == 0 && !(record->value & CLONE_NEW_ANY))
                inherit_namespaces(record->ns, record->value, child->ns);
        else if (read_namespaces(child->tid, child->ns) < 0)
                inherit_namespaces(record->ns, record->value, child->ns);
}

/* The same of its ids and capabilities: in a new user namespace it begins with others (user_namespaces(7)). */
static void inherit_cred(const struct task *caller, struct task *child, const struct nsv_record *record)
{
        child->cred = caller->cred;
        child->cred_known = caller->cred_known;
        if (child->cred_known && (record->error != 0 || record->value & CLONE_NEWUSER))
                child->cred_known = read_cred(child->tid, &child->cred) == 0;
}

/* The rest does not change any more, and can be read while the child runs: it does not vanish before its end was waited for. */
static void end_clone(struct tracer *tracer, struct task *caller, struct task *child, struct nsv_record *record,
                      char cgroup[CGROUP_TEXT], ssize_t cgroup_size)
{
        struct stat_line stat = {0};
        read_stat(child->tid, &stat);
        record->start = stat.start;
        if (record->error)
                record->stage = stat.exit_signal > 0 ? (uint32_t)stat.exit_signal : 0;
        /* If its maker ended meanwhile it has another parent by now; it was born with this one (clone(2), CLONE_PARENT). */
        record->ppid = caller && record->error == 0 && !(record->value & (CLONE_PARENT | CLONE_THREAD)) ? record->pid : stat.ppid;

        bool thread = record->error == 0 && (record->value & CLONE_THREAD);
        if (record->error) {
                long tgid = read_status_number(child->tid, "Tgid:");
                thread = tgid > 0 && tgid != child->tid;
                child->tgid = tgid > 0 ? (pid_t)tgid : child->tid;
        } else
                child->tgid = thread ? record->pid : child->tid;
        /* A thread's own start time is not its process's identity. */
        if (thread && caller)
                record->start = caller->start;
        child->start = record->start;
        if (!caller)
                record->pid = record->tid = thread ? child->tgid : stat.ppid;
        memcpy(record->child_ns, child->ns, sizeof(record->child_ns));

        char nspid[512];
        struct text text = {nspid, 0};
        if (child->ns[NSV_LINK_pid] != tracer->ns[NSV_LINK_pid]) {
                ssize_t n = read_nspid(child->tid, nspid, sizeof(nspid));
                text.size = n > 0 ? (size_t)n : 0;
        }
        if (record->error == 0 && (record->value & CLONE_INTO_CGROUP))
                tracer_emit_clone_into(tracer, record, text, cgroup, cgroup_size, "read");
        else
                tracer_emit(tracer, record, &text, text.size > 0);
}

static void emit_exit(struct tracer *tracer, struct task *task)
{
        struct nsv_record record = {
                .kind = task->tid == task->tgid ? NSV_RECORD_EXIT : NSV_RECORD_THREAD_EXIT,
                .pid = task->tgid,
                .tid = task->tid,
                .start = task->start,
                .value = (uint32_t)task->exit_status,
        };
        tracer_emit(tracer, &record, NULL, 0);
        task_remove(tracer, task);
}

/* No event named its maker, who was killed before: whose child it is by now need not have made it. False for a thread: its process made it. */
static bool meet_orphan(struct tracer *tracer, struct task *child)
{
        struct kin kin;
        if (read_kin(child->tid, &kin) < 0 || kin.tgid != child->tid)
                return false;
        child->tgid = child->tid;
        child->known = true;
        child->calls = tracer->calls;
        tracer_emit_process(tracer, child, NSV_FOUND_LATE);
        if (tracer_unhold(tracer, child) && !child->exited)
                tracer_resume(tracer, child, 0);
        return true;
}

/* Nobody waits longer than for what must be read while he is stopped: the child first, since its maker may wait for it. */
static void claim_child(struct tracer *tracer, struct task *caller, struct task *child)
{
        struct nsv_record record;
        if (!caller && meet_orphan(tracer, child))
                return;
        begin_clone(tracer, caller, child, &record);
        note_birth_namespaces(child, &record);
        char cgroup[CGROUP_TEXT];
        /* It may be moved, once it runs. */
        ssize_t cgroup_size = record.error == 0 && (record.value & CLONE_INTO_CGROUP) ? cgroup_of_task(child->tid, cgroup, sizeof(cgroup)) : 0;
        child->known = true;
        child->calls = caller ? caller->calls : tracer->calls;
        if (caller)
                inherit_cred(caller, child, &record);
        if (tracer_unhold(tracer, child) && !child->exited)
                tracer_resume(tracer, child, 0);
        if (caller)
                tracer_resume(tracer, caller, 0);
        end_clone(tracer, caller, child, &record, cgroup, cgroup_size);
        if (child->exited)
                emit_exit(tracer, child);
}

/* The tid that an event of a clone or an execve tells, 0 where its stop is over: who is killed in it goes on to PTRACE_EVENT_EXIT, of which the
 * message is the status, such as 9 (ptrace(2), "Death under ptrace"). So the message is read first, and then which event it is of. */
static pid_t read_event_tid(pid_t tid)
{
        unsigned long message = 0;
        siginfo_t info = {0};
        if (sys_ptrace(PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)&message) < 0 || sys_ptrace(PTRACE_GETSIGINFO, tid, 0, (uintptr_t)&info) < 0)
                return 0;
        return info.si_code == (PTRACE_EVENT_EXIT << 8 | SIGTRAP) ? 0 : (pid_t)message;
}

static void on_cloned(struct tracer *tracer, struct task *caller)
{
        struct task *child = NULL;
        pid_t tid = read_event_tid(caller->tid);
        if (tid > 0) {
                child = task_find(tracer, tid);
                if (!child)
                        child = task_add(tracer, tid, 0);
        }
        if (child && !child->known)
                claim_child(tracer, caller, child);
        else
                tracer_resume(tracer, caller, 0);
}

/* ---- The other events ---- */

/* It begins here. */
static void look_at_launched(struct task *task)
{
        struct stat_line stat;
        task->seen_at = monotonic_ns();
        if (read_stat(task->tgid, &stat) == 0)
                task->start = stat.start;
        if (read_namespaces(task->tid, task->ns) < 0)
                memset(task->ns, 0, sizeof(task->ns));
}

/* The launched program while it is stopped at its execve: it may have ended when the record is read. */
static void emit_launched(struct tracer *tracer, struct task *task, const struct nsv_record *exec, const struct text texts[3])
{
        char pids[1024], cgroup[16384];
        ssize_t pids_size = read_nspid(task->tid, pids, sizeof(pids));
        while (pids_size > 0 && pids[pids_size - 1] == '\n')
                pids_size--;
        ssize_t cgroup_size = read_task_file(task->tid, "cgroup", cgroup, sizeof(cgroup));
        struct nsv_cred cred;
        if (read_cred(task->tid, &cred) == 0) {
                struct nsv_record record = *exec;
                record.kind = NSV_RECORD_PROCESS;
                record.other = 0;
                record.ppid = tracer->self;
                memcpy(record.ns, task->ns, sizeof(record.ns));
                tracer_emit_launched(tracer, &record, texts, &cred, (struct text){pids, pids_size > 0 ? (size_t)pids_size : 0},
                                     (struct text){cgroup, cgroup_size > 0 ? (size_t)cgroup_size : 0});
        } else
                tracer_emit_process(tracer, task, NSV_FOUND_ALIVE);
        tracer_launch_settled(tracer, true);
}

static void on_execed(struct tracer *tracer, struct task *task)
{
        pid_t told = read_event_tid(task->tid), former = told > 0 ? told : task->tid;
        if (former != task->tid) {
                /* Another thread called: it took over the leader's tid, and the leader went without a word (ptrace(2),
                 * "execve(2) under ptrace"). */
                struct task *caller = task_find(tracer, former);
                if (caller) {
                        memcpy(task->ns, caller->ns, sizeof(task->ns));
                        task_remove(tracer, caller);
                }
                task->group_stopped = task->dead = false;
        }
        syscalls_on_end(tracer, task);
        bool launched = tracer->launch.pid == task->tid;
        if (launched)
                look_at_launched(task);
        else
                /* What the program before did to its namespaces comes before the program after. */
                note_namespaces(tracer, task);

        struct nsv_record record = {
                .kind = NSV_RECORD_EXEC, .pid = task->tgid, .tid = task->tid, .other = former, .start = task->start};
        char comm[64], exe[4096], argv[4097];
        ssize_t comm_size = read_task_file(task->tid, "comm", comm, sizeof(comm));
        if (comm_size > 0 && comm[comm_size - 1] == '\n')
                comm_size--;
        ssize_t exe_size = read_exe(task->tid, exe, sizeof(exe));
        ssize_t argv_size = read_task_file(task->tid, "cmdline", argv, sizeof(argv));
        record.error = exe_size < 0 ? (int)-exe_size : 0;
        record.stage = argv_size < 0 ? (uint32_t)-argv_size : 0;
        record.value = read_dropped(task->tid);
        if (argv_size == (ssize_t)sizeof(argv)) {
                record.value |= NSV_EXEC_ARGV_CUT;
                argv_size--;
        }
        struct text texts[] = {
                {comm, comm_size > 0 ? (size_t)comm_size : 0},
                {exe, exe_size > 0 ? (size_t)exe_size : 0},
                {argv, argv_size > 0 ? (size_t)argv_size : 0},
        };
        if (launched)
                emit_launched(tracer, task, &record, texts);
        struct nsv_cred cred;
        if (read_cred(task->tid, &cred) == 0)
                tracer_emit_exec(tracer, task, &record, texts, &cred);
        else
                tracer_emit(tracer, &record, texts, 3);
        /* Where its calls are not seen, neither is what they do to these. */
        task->cred_known = task->cred_known && task->calls != 0;
        tracer_resume(tracer, task, 0);
}

/* A thread of a process whose leader ended before the attach is ending: the last one's end is the end of the process. */
static void note_end_of_led(struct tracer *tracer, const struct task *task)
{
        struct task *leader = task->tid == task->tgid ? NULL : task_find(tracer, task->tgid);
        if (leader && leader->dead)
                read_exit_status(leader->tgid, &leader->exit_status);
}

static void end_led(struct tracer *tracer, pid_t tgid)
{
        struct task *leader = task_find(tracer, tgid);
        if (leader && leader->dead && !tracer_any_thread(tracer, tgid))
                emit_exit(tracer, leader);
}

static void on_exited(struct tracer *tracer, struct task *task, int status)
{
        task->exit_status = status;
        syscalls_on_end(tracer, task);
        if (tracer->launch.pid == task->tid) {
                tracer_launch_settled(tracer, false);
                task_remove(tracer, task);
        } else if (task->known) {
                pid_t tgid = task->tgid;
                emit_exit(tracer, task);
                end_led(tracer, tgid);
        } else {
                /* Killed at birth: its maker's event is still to come, and tells of the birth first. */
                task->exited = true;
                tracer_hold(tracer, task);
        }
}

static void on_group_stop(struct tracer *tracer, struct task *task, int signal)
{
        /* Every thread of the process reports the same stop: the leader speaks for all. */
        if (task->tid == task->tgid && !task->group_stopped) {
                struct nsv_record record = {
                        .kind = NSV_RECORD_STOP, .pid = task->tgid, .tid = task->tid, .start = task->start, .value = (uint32_t)signal};
                tracer_emit(tracer, &record, NULL, 0);
        }
        task->group_stopped = true;
        /* Not CONT: it is to stay stopped, as its user wanted, and still hear SIGCONT. */
        if (!nested_keeps(tracer, task, 0))
                sys_ptrace(PTRACE_LISTEN, task->tid, 0, 0);
}

static void on_trap_stop(struct tracer *tracer, struct task *task)
{
        if (!task->born_stopped && !task->known) {
                task->born_stopped = true;
                tracer_hold(tracer, task);
                return;
        }
        task->born_stopped = true;
        if (task->group_stopped) {
                task->group_stopped = false;
                if (task->tid == task->tgid) {
                        struct nsv_record record = {
                                .kind = NSV_RECORD_CONTINUE, .pid = task->tgid, .tid = task->tid, .start = task->start};
                        tracer_emit(tracer, &record, NULL, 0);
                }
        }
        tracer_resume(tracer, task, 0);
}

static void dispatch(struct tracer *tracer, pid_t tid, int status)
{
        struct task_event event = classify_status(status);
        struct task *task = task_find(tracer, tid);
        if (!task) {
                /* A child whose first stop comes before its maker's event, or a task that ended unseen. */
                if (event.kind == TASK_EXITED)
                        return;
                task = task_add(tracer, tid, 0);
                if (!task) {
                        /* Without memory it can at least run on. */
                        sys_ptrace(PTRACE_CONT, tid, 0, 0);
                        return;
                }
        }
        switch (event.kind) {
        case TASK_EXITED:
                on_exited(tracer, task, event.value);
                break;
        case TASK_SIGNAL:
                if (event.value == SIGSYS)
                        syscalls_on_end(tracer, task);
                tracer_resume(tracer, task, event.value);
                break;
        case TASK_GROUP_STOP:
                on_group_stop(tracer, task, event.value);
                break;
        case TASK_TRAP_STOP:
                on_trap_stop(tracer, task);
                break;
        case TASK_CLONED:
                on_cloned(tracer, task);
                break;
        case TASK_EXECED:
                on_execed(tracer, task);
                break;
        case TASK_EXITING:
                syscalls_on_end(tracer, task);
                /* A launch that failed before its execve never was the program; and who is killed at birth is not known yet. */
                if (tracer->launch.pid != task->tid && task->known)
                        note_namespaces(tracer, task);
                note_end_of_led(tracer, task);
                tracer_find_unseen(tracer);
                tracer_resume(tracer, task, 0);
                break;
        case TASK_SYSCALL:
        case TASK_FILTERED:
                syscalls_on_stop(tracer, task);
                tracer_resume(tracer, task, 0);
                break;
        case TASK_OTHER:
                tracer_resume(tracer, task, 0);
                break;
        }
}

/* ---- Births whose maker is late ---- */

/* Between the birth and its event the maker waits for nothing (kernel/fork.c, kernel_clone(): wake_up_new_task(), ptrace_event_pid()): who
 * runs may be on the way to it. Who has stopped is heard now: wait(2) for anybody begins with the youngest (kernel/ptrace.c, __ptrace_link();
 * kernel/exit.c, ptrace_do_wait()), and who has many busy children is heard last. True if this one may tell later. */
static bool hear_maker(struct tracer *tracer, pid_t tid)
{
        const struct task *task = task_find(tracer, tid);
        if (!task || !task->known)
                return false;
        struct stat_line stat;
        bool runs = read_stat(tid, &stat) == 0 && stat.state == 'R';
        int status;
        if (waitpid(tid, &status, __WALL | WNOHANG) != tid)
                return runs;
        dispatch(tracer, tid, status);
        return true;
}

/* Is there somebody who may have made this one, and may still tell? Where more threads than these could have, that is taken for granted. */
static bool is_awaited(struct tracer *tracer, pid_t child)
{
        struct kin kin;
        if (read_kin(child, &kin) < 0)
                return false;
        pid_t maker = kin.tgid != child ? kin.tgid : kin.ppid;
        if (!task_find(tracer, maker))
                return false;
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)maker);
        DIR *dir = opendir(path);
        if (!dir)
                return false;
        bool awaited = false;
        unsigned looked_at = 0;
        for (struct dirent *entry; looked_at < HOLD_THREADS && (entry = readdir(dir));) {
                pid_t tid = (pid_t)atoi(entry->d_name);
                if (tid <= 0 || tid == child)
                        continue;
                looked_at++;
                awaited |= hear_maker(tracer, tid);
        }
        closedir(dir);
        return awaited || looked_at == HOLD_THREADS;
}

int tracer_release_held(struct tracer *tracer)
{
        if (tracer->held == 0)
                return -1;
        uint64_t now = monotonic_ns();
        /* To hear their makers changes the table. */
        pid_t late[64];
        unsigned count = 0;
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (const struct task *task = tracer->buckets[i]; task && count < sizeof(late) / sizeof(*late); task = task->next)
                        if (task->held_since && now - task->held_since >= HOLD_NS)
                                late[count++] = task->tid;
        for (unsigned i = 0; i < count; i++) {
                struct task *task = task_find(tracer, late[i]);
                if (!task || !task->held_since)
                        continue;
                bool awaited = is_awaited(tracer, late[i]);
                task = task_find(tracer, late[i]);
                if (!task || !task->held_since || (awaited && now - task->held_since < HOLD_MOST_NS))
                        continue;
                /* Killed at birth, as its maker was before it could tell: it ran no instruction, and /proc knows it no more. */
                if (task->exited)
                        task_remove(tracer, task);
                else
                        claim_child(tracer, NULL, task);
        }
        return tracer->held ? (int)(HOLD_NS / 1000000u) : -1;
}

bool tracer_drain(struct tracer *tracer)
{
        for (unsigned i = 0; i < DRAIN_AT_ONCE; i++) {
                int status;
                pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
                if (tid < 0 && errno == EINTR)
                        continue;
                if (tid <= 0)
                        return false;
                dispatch(tracer, tid, status);
                nested_turn(tracer);
        }
        return true;
}
