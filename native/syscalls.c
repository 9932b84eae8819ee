/* SPDX-License-Identifier: MIT */
#include "syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "calls.h"
#include "capture.h"
#include "memory.h"
#include "nested.h"
#include "sys.h"
#include "tracer.h"

/* arch/x86/include/uapi/asm/unistd.h */
#define X32_BIT 0x40000000u

/* include/linux/errno.h: from ERESTARTSYS to ERESTART_RESTARTBLOCK. The program never sees them: the kernel makes the call again, or makes
 * it EINTR, which depends on the signal's action (kernel/signal.c; arch/x86/kernel/signal.c, handle_signal). */
#define RESTART_FIRST 512
#define RESTART_LAST 516

/* include/uapi/asm-generic/siginfo.h, si_code of SIGSYS: of a filter. The C library's headers may lack it. */
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

/* An isolation call that has begun. */
struct pending_call {
        uint32_t name; /* enum nsv_call_name */
        enum nsv_abi abi;
        uint64_t number, instruction, stack; /* made again, it has the same */
        struct nsv_call call;
        size_t size;
        char bytes[NSV_POINTERS * NSV_POINTER_MAX];
};

static bool changes_namespaces(uint32_t name)
{
        return name == NSV_CALL_unshare || name == NSV_CALL_setns;
}

/* Its ids or its capabilities, which are all in a new user namespace (user_namespaces(7)). */
static bool changes_cred(uint32_t name)
{
        switch (name) {
        case NSV_CALL_unshare:
        case NSV_CALL_setns:
        case NSV_CALL_capset:
        case NSV_CALL_prctl:
        case NSV_CALL_setuid:
        case NSV_CALL_setgid:
        case NSV_CALL_setreuid:
        case NSV_CALL_setregid:
        case NSV_CALL_setresuid:
        case NSV_CALL_setresgid:
        case NSV_CALL_setfsuid:
        case NSV_CALL_setfsgid:
                return true;
        default:
                return false;
        }
}

static bool makes_task(uint32_t name)
{
        return name == NSV_CALL_clone || name == NSV_CALL_clone3;
}

static void read_pointers(pid_t tid, struct pending_call *pending)
{
        for (int i = 0; i < NSV_POINTERS; i++) {
                const struct nsv_pointer *pointer = &nsv_numbers[pending->name].pointers[i];
                if (pointer->kind == NSV_POINTER_NONE)
                        continue;
                uint32_t size = memory_read_pointer(tid, pointer, pending->call.arguments, pending->bytes + pending->size);
                pending->call.sizes[i] = size;
                if (size <= NSV_POINTER_MAX)
                        pending->size += size;
        }
}

/* ---- Beginning ---- */

static enum nsv_abi abi_of(const struct ptrace_syscall_info *info)
{
        if (info->arch == AUDIT_ARCH_I386 || info->arch == AUDIT_ARCH_ARM)
                return NSV_ABI_32;
        return info->arch == AUDIT_ARCH_X86_64 && info->entry.nr & X32_BIT ? NSV_ABI_X32 : NSV_ABI_NATIVE;
}

/* Here number and arguments of both kinds lie in the same places (include/uapi/linux/ptrace.h, struct ptrace_syscall_info). */
_Static_assert(offsetof(struct ptrace_syscall_info, entry.nr) == offsetof(struct ptrace_syscall_info, seccomp.nr), "same number");
_Static_assert(offsetof(struct ptrace_syscall_info, entry.args) == offsetof(struct ptrace_syscall_info, seccomp.args), "same arguments");

static void begin(struct task *task, const struct ptrace_syscall_info *info)
{
        enum nsv_abi abi = abi_of(info);
        uint32_t number = (uint32_t)info->entry.nr & ~(abi == NSV_ABI_X32 ? X32_BIT : 0);
        uint64_t arguments[6];
        memcpy(arguments, info->entry.args, sizeof(arguments));
        int name = nsv_find_call(abi == NSV_ABI_32, number);
        if (name < 0)
                return;
        if (abi != NSV_ABI_32 && !nsv_call_counts((uint32_t)name, (uint32_t)arguments[0], (uint32_t)arguments[1], (uint32_t)arguments[2]))
                return;
        struct pending_call *pending = malloc(sizeof(*pending));
        if (!pending)
                return;
        *pending = (struct pending_call){
                .name = (uint32_t)name,
                .abi = abi,
                .number = info->entry.nr,
                .instruction = info->instruction_pointer,
                .stack = info->stack_pointer,
        };
        memcpy(pending->call.arguments, arguments, sizeof(pending->call.arguments));
        if (abi != NSV_ABI_32)
                read_pointers(task->tid, pending);
        if (name == NSV_CALL_setns)
                read_fd(task->tid, (int)arguments[0], &pending->call.fd_type, &pending->call.fd_inode, &pending->call.fd_pid);
        /* An execve may have changed them. */
        if (changes_cred((uint32_t)name))
                task->cred_known = read_cred(task->tid, &task->cred) == 0;
        task->call = pending;
}

static bool is_ptrace(const struct ptrace_syscall_info *info)
{
        switch (abi_of(info)) {
        case NSV_ABI_NATIVE:
                return info->entry.nr == SYS_ptrace;
        case NSV_ABI_32:
                return info->entry.nr == 26; /* i386 and arm */
        case NSV_ABI_X32:
                return (info->entry.nr & ~(uint64_t)X32_BIT) == 521;
        }
        return false;
}

/* ---- End ---- */

static void forget(struct pending_call **pending)
{
        free(*pending);
        *pending = NULL;
}

static void tell(struct tracer *tracer, struct task *task, struct pending_call *pending, int64_t result, bool ended)
{
        struct nsv_call *call = &pending->call;
        call->after = task->cred;
        if ((changes_cred(pending->name) || result < 0) && !ended)
                call->after_known = read_cred(task->tid, &call->after) == 0;
        int64_t now[NSV_LINK_COUNT];
        bool moved = changes_namespaces(pending->name) && result >= 0 && !ended && read_namespaces(task->tid, now) == 0;
        tracer_emit_call(tracer, task, pending->name, monotonic_ns(), result, ended, pending->abi, call, pending->bytes, pending->size,
                         moved ? now : NULL);
}

/* It went back into the program between two stops, as EINTR, since the signal's handler did not ask for more. */
static void tell_interrupted(struct tracer *tracer, struct task *task)
{
        tell(tracer, task, task->interrupted, -EINTR, false);
        forget(&task->interrupted);
}

/* Where a filter makes a call into SIGSYS, which is about to come, the registers are as before it (kernel/seccomp.c, __seccomp_filter;
 * arch/…/include/asm/syscall.h, syscall_rollback): what is to be its result then holds its number, on arm64 its first argument, such as the 0 of
 * setuid(0), which it returns as well. */
static bool is_rolled_back(pid_t tid, const struct pending_call *pending, int64_t result)
{
#if defined(__aarch64__)
        uint64_t before = pending->call.arguments[0];
#else
        uint64_t before = pending->number;
#endif
        if ((uint32_t)before != (uint32_t)result)
                return false;
        struct ptrace_peeksiginfo_args next = {.off = 0, .flags = 0, .nr = 1};
        siginfo_t info;
        for (; syscall(SYS_ptrace, PTRACE_PEEKSIGINFO, tid, &next, &info) == 1; next.off++)
                if (info.si_signo == SIGSYS && info.si_code == SYS_SECCOMP)
                        return true;
        return false;
}

static void end(struct tracer *tracer, struct task *task, const struct ptrace_syscall_info *info)
{
        int64_t result = info->exit.rval;
        if (!task->call) {
                /* The handler has returned, to where the call was, and with what it was made. */
                const struct pending_call *before = task->interrupted;
                if (before && result == -EINTR && info->instruction_pointer == before->instruction && info->stack_pointer == before->stack)
                        tell_interrupted(tracer, task);
                return;
        }
        if (info->exit.is_error && result <= -RESTART_FIRST && result >= -RESTART_LAST) {
                /* One inside a handler, while the one outside is still to be made again, or was left by longjmp. */
                if (task->interrupted)
                        tell_interrupted(tracer, task);
                task->interrupted = task->call;
                task->call = NULL;
                return;
        }
        if (is_rolled_back(task->tid, task->call, result))
                return;
        /* A birth is told by itself, but for CLONE_UNTRACED. */
        if (makes_task(task->call->name) && result > 0 && !task_find(tracer, (pid_t)result))
                tracer_find_unseen(tracer);
        if (!makes_task(task->call->name) || result < 0)
                tell(tracer, task, task->call, result, false);
        forget(&task->call);
}

/* ---- Stops ---- */

static bool is_made_again(const struct pending_call *before, const struct ptrace_syscall_info *info)
{
        return before->number == info->entry.nr && before->instruction == info->instruction_pointer && before->stack == info->stack_pointer;
}

void syscalls_on_stop(struct tracer *tracer, struct task *task)
{
        /* Until its execve it is nsview that calls. */
        if (tracer->launch.pid == task->tid)
                return;
        /* What this stop is, only the kernel knows for certain: to count them in pairs fails at an attach, a signal, an execve. */
        struct ptrace_syscall_info info = {0};
        if (syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) < 0)
                return;
        switch (info.op) {
        case PTRACE_SYSCALL_INFO_ENTRY:
                forget(&task->call);
                break;
        case PTRACE_SYSCALL_INFO_SECCOMP:
                /* Comes after the stop at its beginning, where there was one (ptrace(2), PTRACE_EVENT_SECCOMP). */
                if (task->call)
                        return;
                break;
        case PTRACE_SYSCALL_INFO_EXIT:
                end(tracer, task, &info);
                return;
        default:
                return;
        }
        if (task->interrupted && is_made_again(task->interrupted, &info))
                forget(&task->interrupted);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_ptrace(&info))
                nested_on_ptrace(tracer, task, info.entry.args[0], (pid_t)info.entry.args[1]);
        begin(task, &info);
}

void syscalls_on_end(struct tracer *tracer, struct task *task)
{
        struct pending_call *pending = task->call ? task->call : task->interrupted;
        if (pending && !makes_task(pending->name))
                tell(tracer, task, pending, 0, true);
        syscalls_forget(task);
}

bool syscalls_are_awaited(const struct task *task)
{
        return (task->calls & NSV_CALLS_BY_STOPS) || task->call || task->interrupted;
}

void syscalls_forget(struct task *task)
{
        forget(&task->call);
        forget(&task->interrupted);
}
