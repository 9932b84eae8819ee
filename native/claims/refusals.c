/* SPDX-License-Identifier: MIT */
/* Knows which arguments clone3 refuses whoever calls, and which flags need CAP_SYS_ADMIN over what. */
#include "claims.h"

static void is_refused(uint64_t flags, int exit_signal, int expected)
{
        int refused = refusal_of(flags, exit_signal);
        HOLDS(refused == expected, "%s", refused == 0 ? "it succeeds" : strerror(refused));
}

static void mounts_and_fs(void) { is_refused(CLONE_NEWNS | CLONE_FS, SIGCHLD, EINVAL); }
static void thread_and_user(void) { is_refused(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER, 0, EINVAL); }
static void thread_and_pid(void) { is_refused(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID, 0, EINVAL); }
static void thread_and_signal(void) { is_refused(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, SIGCHLD, EINVAL); }
static void detached(void) { is_refused(0x400000, SIGCHLD, EINVAL); }
static void unknown_flag(void) { is_refused(1ULL << 62, SIGCHLD, EINVAL); }
static void signal_in_flags(void) { is_refused(SIGCHLD, 0, EINVAL); }
static void signal_too_high(void) { is_refused(0, 65, EINVAL); }

static void no_signal(void)
{
        struct clone_args args = {0};
        pid_t child = (pid_t)MUST(clone3_with(&args));
        if (child == 0)
                _exit(0);
        /* waitpid without __WALL or __WCLONE waits for those with SIGCHLD only. */
        REFUSED(waitpid(child, NULL, 0), ECHILD);
        ends_well(child);
}

static void pidfd_where_the_id_goes(void)
{
        int stored = 0;
        struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
                                  .pidfd = (uint64_t)(uintptr_t)&stored,
                                  .parent_tid = (uint64_t)(uintptr_t)&stored,
                                  .exit_signal = SIGCHLD};
        REFUSED(clone3_with(&args), EINVAL);
}

static void stack_without_size(void)
{
        char stack[64];
        struct clone_args args = {.exit_signal = SIGCHLD, .stack = (uint64_t)(uintptr_t)stack};
        REFUSED(clone3_with(&args), EINVAL);
}

static void size_without_stack(void)
{
        struct clone_args args = {.exit_signal = SIGCHLD, .stack_size = 4096};
        REFUSED(clone3_with(&args), EINVAL);
}

static void too_small(void)
{
        struct clone_args args = {.exit_signal = SIGCHLD};
        REFUSED(syscall(SYS_clone3, &args, 63), EINVAL);
}

static void first_size_is_accepted(void)
{
        struct clone_args args = {.exit_signal = SIGCHLD};
        pid_t child = (pid_t)MUST(syscall(SYS_clone3, &args, 64));
        if (child == 0)
                _exit(0);
        ends_well(child);
}

static void unknown_field(void)
{
        struct {
                struct clone_args known;
                uint64_t later[4];
        } args = {.known.exit_signal = SIGCHLD, .later[3] = 1};
        REFUSED(syscall(SYS_clone3, &args, sizeof(args)), E2BIG);
}

static void unknown_zeros(void)
{
        struct {
                struct clone_args known;
                uint64_t later[4];
        } args = {.known.exit_signal = SIGCHLD};
        pid_t child = (pid_t)MUST(syscall(SYS_clone3, &args, sizeof(args)));
        if (child == 0)
                _exit(0);
        ends_well(child);
}

/* ---- Privilege ---- */

static void needs_privilege(uint64_t flag)
{
        gain_privilege();
        const uint64_t needed = UINT64_C(1) << CAP_SYS_ADMIN;
        use_capabilities(effective_capabilities() & ~needed);
        int refused = refusal_of(flag, SIGCHLD);
        if (refused == EINVAL)
                skip("kernel lacks the flag");
        HOLDS(refused == EPERM, "with all capabilities but that: %s", refused == 0 ? "it succeeds" : strerror(refused));
        use_capabilities(needed);
        refused = refusal_of(flag, SIGCHLD);
        HOLDS(refused == 0, "with that alone: %s", strerror(refused));
}

static void mounts_need(void) { needs_privilege(CLONE_NEWNS); }
static void cgroups_need(void) { needs_privilege(CLONE_NEWCGROUP); }
static void network_needs(void) { needs_privilege(CLONE_NEWNET); }
static void pids_need(void) { needs_privilege(CLONE_NEWPID); }
static void ipc_needs(void) { needs_privilege(CLONE_NEWIPC); }
static void uts_needs(void) { needs_privilege(CLONE_NEWUTS); }
static void time_needs(void) { needs_privilege(CLONE_NEWTIME); }

static void user_needs_none(void)
{
        drop_capabilities();
        int refused = refusal_of(CLONE_NEWUSER, SIGCHLD);
        if (refused == EPERM || refused == ENOSPC || refused == EUSERS || refused == EACCES)
                skip("no privilege: this system forbids user namespaces to those without it: %s", strerror(refused));
        HOLDS(refused == 0, "%s", strerror(refused));
}

static void user_brings_it(void)
{
        user_needs_none();
        uint64_t others = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
        if (access("/proc/self/ns/time", F_OK) == 0)
                others |= CLONE_NEWTIME;
        int refused = refusal_of(CLONE_NEWUSER | others, SIGCHLD);
        HOLDS(refused == 0, "%s", strerror(refused));
}

static void sharing_needs_none(void)
{
        drop_capabilities();
        int refused = refusal_of(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_IO | CLONE_UNTRACED, SIGCHLD);
        HOLDS(refused == 0, "%s", strerror(refused));
}

/* Over the user namespace that owns the one to enter, and the caller's own: net/core/net_namespace.c, netns_install. */
static void entering_needs_owner(void)
{
        int outer = (int)MUST(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
        user_needs_none();
        IN_CHILD(CLONE_NEWUSER | CLONE_NEWNET)
                REFUSED(setns(outer, CLONE_NEWNET), EPERM);
}

static void entering_own_is_allowed(void)
{
        user_needs_none();
        IN_CHILD(CLONE_NEWUSER | CLONE_NEWNET)
        {
                int own = (int)MUST(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
                MUST(unshare(CLONE_NEWNET));
                MUST(setns(own, CLONE_NEWNET));
        }
}

#define R(function, section, where, sentence) CLAIM("combinations", function, "clone(2)", section, "kernel/fork.c", where, sentence)
#define P(function, man, section, file, where, sentence) CLAIM("privilege", function, man, section, file, where, sentence)
const struct claim refusals_claims[] = {
        R(mounts_and_fs, "EINVAL", "copy_process", "CLONE_NEWNS with CLONE_FS is EINVAL"),
        R(thread_and_user, "EINVAL", "copy_process", "CLONE_NEWUSER with CLONE_THREAD is EINVAL"),
        R(thread_and_pid, "EINVAL", "copy_process", "CLONE_NEWPID with CLONE_THREAD is EINVAL"),
        R(thread_and_signal, "EINVAL", "clone3_args_valid", "an exit signal with CLONE_THREAD is EINVAL"),
        R(detached, "CLONE_DETACHED", "clone3_args_valid", "CLONE_DETACHED, which clone ignores, is EINVAL for clone3"),
        R(unknown_flag, "EINVAL", "clone3_args_valid", "a flag that the kernel does not know is EINVAL"),
        R(signal_in_flags, "EINVAL", "clone3_args_valid", "the exit signal in the low byte of flags, as clone has it, is EINVAL for clone3"),
        R(signal_too_high, "EINVAL", "copy_clone_args_from_user", "an exit signal above 64 is EINVAL"),
        R(no_signal, "The child termination signal", "kernel_clone", "without an exit signal the child is waited for with __WALL or __WCLONE only"),
        R(pidfd_where_the_id_goes, "EINVAL", "kernel_clone", "CLONE_PIDFD and CLONE_PARENT_SETTID with one address for both are EINVAL"),
        R(stack_without_size, "EINVAL", "clone3_stack_valid", "a stack without its size is EINVAL"),
        R(size_without_stack, "EINVAL", "clone3_stack_valid", "the size of a stack without the stack is EINVAL"),
        R(too_small, "EINVAL", "copy_clone_args_from_user", "arguments shorter than the first version's 64 bytes are EINVAL"),
        R(first_size_is_accepted, "The clone_args structure", "copy_clone_args_from_user", "the first version's 64 bytes are enough"),
        R(unknown_zeros, "The clone_args structure", "copy_clone_args_from_user", "longer arguments than the kernel knows are accepted if the rest is zero"),
        R(unknown_field, "The clone_args structure", "copy_clone_args_from_user", "and E2BIG if not"),
        P(mounts_need, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "CLONE_NEWNS needs CAP_SYS_ADMIN over the caller's user namespace, and no other"),
        P(cgroups_need, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWCGROUP"),
        P(network_needs, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWNET"),
        P(pids_need, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWPID"),
        P(ipc_needs, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWIPC"),
        P(uts_needs, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWUTS"),
        P(time_needs, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "so does CLONE_NEWTIME"),
        P(user_needs_none, "user_namespaces(7)", "DESCRIPTION", "kernel/user_namespace.c", "create_user_ns", "CLONE_NEWUSER needs no capability"),
        P(user_brings_it, "user_namespaces(7)", "Interaction of user namespaces and other types of namespaces", "kernel/fork.c", "copy_process", "with CLONE_NEWUSER in the same call, none is needed for the others: it comes first"),
        P(sharing_needs_none, "clone(2)", "DESCRIPTION", "kernel/fork.c", "copy_process", "flags that share need no capability"),
        P(entering_needs_owner, "setns(2)", "EPERM", "net/core/net_namespace.c", "netns_install", "to enter a network namespace takes CAP_SYS_ADMIN over the user namespace that owns it"),
        P(entering_own_is_allowed, "setns(2)", "DESCRIPTION", "net/core/net_namespace.c", "netns_install", "and one that a user namespace of one's own owns can be entered"),
};
COUNT_CLAIMS(refusals);
