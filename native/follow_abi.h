/* SPDX-License-Identifier: MIT */
/* Knows what the BPF programs of follow.bpf.c and their loader must agree on: what is known before they are loaded, and the
 * events that they put into the ring. Compiled for both sides; same layout on every little-endian 64-bit machine. */
#pragma once

#include <linux/types.h>

#include "calls.h"
#include "nsview.h"

/* What still holds number and arguments of a system call when it has returned, and what says by which ABI it came: TS_COMPAT in the
 * status (arch/x86/include/asm/thread_info.h), TIF_32BIT in the flags (arch/arm64/include/asm/thread_info.h). Arguments of arm64 lie in
 * an array. No call of the table has a sixth. When a signal is delivered, arm64 has already forgotten which call it came into, and its
 * result (arch/arm64/kernel/signal.c, do_signal). */
#if defined(__aarch64__)
#define FOLLOW_THREAD_ABI "flags"
#define FOLLOW_ABI_32 (1u << 22)
#define FOLLOW_REGISTER_NUMBER "syscallno"
#define FOLLOW_REGISTER_RESULT "regs"
#define FOLLOW_REGISTER_FIRST "orig_x0"
#define FOLLOW_REGISTER_SECOND "regs"
#define FOLLOW_REGISTER_THIRD "regs"
#define FOLLOW_REGISTER_FOURTH "regs"
#define FOLLOW_REGISTER_FIFTH "regs"
#define FOLLOW_REGISTER_STEP 8u
#define FOLLOW_HAS_X32 0u
#define FOLLOW_FORGETS_CALLS 1u
#define FOLLOW_RESULT_IN_FIRST 1u
#else
#define FOLLOW_THREAD_ABI "status"
#define FOLLOW_ABI_32 2u
#define FOLLOW_REGISTER_NUMBER "orig_ax"
#define FOLLOW_REGISTER_RESULT "ax"
#define FOLLOW_REGISTER_FIRST "di"
#define FOLLOW_REGISTER_SECOND "si"
#define FOLLOW_REGISTER_THIRD "dx"
#define FOLLOW_REGISTER_FOURTH "r10"
#define FOLLOW_REGISTER_FIFTH "r8"
#define FOLLOW_REGISTER_STEP 0u
#define FOLLOW_HAS_X32 1u
#define FOLLOW_FORGETS_CALLS 0u
#define FOLLOW_RESULT_IN_FIRST 0u
#endif

/* Where the kernel's structures have the members that are read: X(name, structure, member). From the kernel's own description,
 * /sys/kernel/btf/vmlinux, when the programs are loaded. */
#define FOLLOW_OFFSETS(X)                                          \
        X(task_thread_pid, "task_struct", "thread_pid")            \
        X(task_signal, "task_struct", "signal")                    \
        X(task_group_leader, "task_struct", "group_leader")        \
        X(task_real_parent, "task_struct", "real_parent")          \
        X(task_real_cred, "task_struct", "real_cred")              \
        X(task_nsproxy, "task_struct", "nsproxy")                  \
        X(task_mm, "task_struct", "mm")                            \
        X(task_fs, "task_struct", "fs")                            \
        X(task_start_boottime, "task_struct", "start_boottime")    \
        X(task_exit_signal, "task_struct", "exit_signal")          \
        X(task_exit_code, "task_struct", "exit_code")              \
        X(task_comm, "task_struct", "comm")                        \
        X(task_flags, "task_struct", "flags")                      \
        X(signal_pids, "signal_struct", "pids")                    \
        X(signal_live, "signal_struct", "live")                    \
        X(signal_flags, "signal_struct", "flags")                  \
        X(signal_group_exit_code, "signal_struct", "group_exit_code") \
        X(pid_level, "pid", "level")                               \
        X(pid_numbers, "pid", "numbers")                           \
        X(pid_tasks, "pid", "tasks")                               \
        X(upid_nr, "upid", "nr")                                   \
        X(upid_ns, "upid", "ns")                                   \
        X(nsproxy_uts, "nsproxy", "uts_ns")                        \
        X(nsproxy_ipc, "nsproxy", "ipc_ns")                        \
        X(nsproxy_mnt, "nsproxy", "mnt_ns")                        \
        X(nsproxy_pid_for_children, "nsproxy", "pid_ns_for_children") \
        X(nsproxy_net, "nsproxy", "net_ns")                        \
        X(nsproxy_cgroup, "nsproxy", "cgroup_ns")                  \
        X(cred_user_ns, "cred", "user_ns")                         \
        X(cred_uid, "cred", "uid")                                 \
        X(cred_euid, "cred", "euid")                               \
        X(cred_suid, "cred", "suid")                               \
        X(cred_fsuid, "cred", "fsuid")                             \
        X(cred_gid, "cred", "gid")                                 \
        X(cred_egid, "cred", "egid")                               \
        X(cred_sgid, "cred", "sgid")                               \
        X(cred_fsgid, "cred", "fsgid")                             \
        X(cred_inheritable, "cred", "cap_inheritable")             \
        X(cred_permitted, "cred", "cap_permitted")                 \
        X(cred_effective, "cred", "cap_effective")                 \
        X(cred_bounding, "cred", "cap_bset")                       \
        X(cred_ambient, "cred", "cap_ambient")                     \
        X(uts_ns, "uts_namespace", "ns")                           \
        X(ipc_ns, "ipc_namespace", "ns")                           \
        X(mnt_ns, "mnt_namespace", "ns")                           \
        X(pid_ns, "pid_namespace", "ns")                           \
        X(pid_ns_child_reaper, "pid_namespace", "child_reaper")    \
        X(net_ns, "net", "ns")                                     \
        X(cgroup_ns, "cgroup_namespace", "ns")                     \
        X(user_ns, "user_namespace", "ns")                         \
        X(ns_inum, "ns_common", "inum")                            \
        X(mm_arg_start, "mm_struct", "arg_start")                  \
        X(mm_arg_end, "mm_struct", "arg_end")                      \
        X(mm_exe_file, "mm_struct", "exe_file")                    \
        X(file_path, "file", "f_path")                             \
        X(path_mnt, "path", "mnt")                                 \
        X(path_dentry, "path", "dentry")                           \
        X(fs_root, "fs_struct", "root")                            \
        X(dentry_name, "dentry", "d_name")                         \
        X(dentry_parent, "dentry", "d_parent")                     \
        X(dentry_hash, "dentry", "d_hash")                         \
        X(qstr_name, "qstr", "name")                               \
        X(hash_pprev, "hlist_bl_node", "pprev")                    \
        X(vfsmount_root, "vfsmount", "mnt_root")                   \
        X(mount_mnt, "mount", "mnt")                               \
        X(mount_parent, "mount", "mnt_parent")                     \
        X(mount_mountpoint, "mount", "mnt_mountpoint")             \
        X(binprm_buf, "linux_binprm", "buf")                       \
        X(task_pending, "task_struct", "pending")                  \
        X(pending_signal, "sigpending", "signal")                  \
        X(task_files, "task_struct", "files")                      \
        X(task_thread_info, "task_struct", "thread_info")          \
        X(thread_abi, "thread_info", FOLLOW_THREAD_ABI)            \
        X(files_fdt, "files_struct", "fdt")                        \
        X(fdt_fd, "fdtable", "fd")                                 \
        X(fdt_max, "fdtable", "max_fds")                           \
        X(file_inode, "file", "f_inode")                           \
        X(file_private, "file", "private_data")                    \
        X(inode_number, "inode", "i_ino")                          \
        X(inode_super, "inode", "i_sb")                            \
        X(inode_private, "inode", "i_private")                     \
        X(super_magic, "super_block", "s_magic")                   \
        X(registers_number, "pt_regs", FOLLOW_REGISTER_NUMBER)     \
        X(registers_result, "pt_regs", FOLLOW_REGISTER_RESULT)     \
        X(registers_first, "pt_regs", FOLLOW_REGISTER_FIRST)       \
        X(registers_second, "pt_regs", FOLLOW_REGISTER_SECOND)     \
        X(registers_third, "pt_regs", FOLLOW_REGISTER_THIRD)       \
        X(registers_fourth, "pt_regs", FOLLOW_REGISTER_FOURTH)     \
        X(registers_fifth, "pt_regs", FOLLOW_REGISTER_FIFTH)

/* Not in every kernel: FOLLOW_ABSENT then. Without CONFIG_TIME_NS the link is told as readlink would tell it; the type of a namespace
 * moved from its operations to itself in 6.18; there may be no cgroups, and
 * the parent of a kernfs node has another name since 6.15. */
#define FOLLOW_OPTIONAL_OFFSETS(X)                                           \
        X(nsproxy_time, "nsproxy", "time_ns")                                \
        X(nsproxy_time_for_children, "nsproxy", "time_ns_for_children")      \
        X(time_ns, "time_namespace", "ns")                                   \
        X(ns_type, "ns_common", "ns_type")                                   \
        X(ns_ops, "ns_common", "ops")                                        \
        X(ns_ops_type, "proc_ns_operations", "type")                         \
        X(task_cgroups, "task_struct", "cgroups")                            \
        X(css_set_dfl_cgrp, "css_set", "dfl_cgrp")                           \
        X(cgroup_kn, "cgroup", "kn")                                         \
        X(cgroup_ns_root, "cgroup_namespace", "root_cset")                   \
        X(css_set_links, "css_set", "cgrp_links")                            \
        X(link_cgroup, "cgrp_cset_link", "cgrp")                             \
        X(link_entry, "cgrp_cset_link", "cgrp_link")                         \
        X(cgroup_root, "cgroup", "root")                                     \
        X(root_hierarchy, "cgroup_root", "hierarchy_id")                     \
        X(kernfs_name, "kernfs_node", "name")                                \
        X(kernfs_parent, "kernfs_node", "parent")                            \
        X(kernfs_parent_rcu, "kernfs_node", "__parent")

#define FOLLOW_ABSENT 0xffffffffu

/* System calls that sys_exit saw on one CPU. It is asked for the time once in so many; those took less than so long, so often in a row: then
 * they are more than 340,000 a second, for some 75 ms or a part of that, and a program that runs for each takes 6 % of their time and more. */
#define FOLLOW_RETURNS_STEP 8192u
#define FOLLOW_RETURNS_STEP_NS 24000000u
#define FOLLOW_RETURNS_FAST_STEPS 3u
struct follow_returns {
        uint64_t count, since; /* since: CLOCK_MONOTONIC, ns, of the last whole step */
        uint64_t fast_steps;
};

/* The helper as the kernel knows it: written by a program that the helper runs itself. */
struct follow_self {
        __u64 pid_ns;   /* address of its struct pid_namespace */
        __u64 root_mnt; /* its root: address of the struct vfsmount, and of the struct dentry */
        __u64 root_dentry;
        __u64 root_css_set; /* of its cgroup namespace: address of the struct css_set; 0 without cgroups */
        __u32 level; /* of its pid namespace: 0 is the initial one */
        __u32 pid;   /* non-zero once written */
};

/* What the programs know for certain when they are loaded: read-only, so that the verifier can fold it. */
struct follow_config {
        struct follow_self self;
#define FOLLOW_FIELD(name, structure, member) __u32 name;
        FOLLOW_OFFSETS(FOLLOW_FIELD)
        FOLLOW_OPTIONAL_OFFSETS(FOLLOW_FIELD)
#undef FOLLOW_FIELD
        __u32 upid_size;
        __u32 abi_32;         /* bit of thread_abi */
        __u32 registers_step; /* bytes from one argument to the next where they lie in an array */
        __u32 has_x32;
        __u32 forgets_calls;
        __u32 result_in_first; /* the register of the first argument is that of the result; else that of the number is */
        /* A bit for each number of a call that is told, native or not: all other calls are let go at once. */
        __u64 wanted[NSV_CALL_NUMBERS / 64];
};

enum follow_kind {
        FOLLOW_CLONE = 1,
        FOLLOW_EXEC,
        FOLLOW_EXIT,
        FOLLOW_STOPPING,
        FOLLOW_CONTINUE,
        FOLLOW_CALL,
        FOLLOW_MOVE,
};

/* The deepest nesting of pid namespaces (include/linux/pid_namespace.h: MAX_PID_NS_LEVEL). */
#define FOLLOW_LEVELS 33

/* Every event begins with this. Pids are those of the helper's pid namespace; 0 where it has none. */
struct follow_event {
        __u32 kind;
        __u32 flags; /* FOLLOW_… below */
        __u64 at;    /* CLOCK_MONOTONIC, nanoseconds, of the initial time namespace */
        __s32 pid, tid;
        __u64 start; /* of the process: nanoseconds since boot, of the initial time namespace */
        __u64 value; /* CLONE: flags of clone(2). EXEC: what argv has in bytes. EXIT: the wait status of the task, or of the
                      * process if it was its last task. STOPPING: the signal. MOVE: of the hierarchy */
        __u32 ns[NSV_LINK_COUNT]; /* inode numbers; 0: readlink would say ENOENT */
        __s32 other;              /* CLONE: the child's tid. EXEC: if another thread than the leader called, its former tid, or -1 where the
                                   * helper has no number for that any more. MOVE: the tid of who moved it */
        __s32 ppid;               /* MOVE: the pid of that */
};

/* EXIT: the last task of its process. */
#define FOLLOW_LAST 1u
/* EXEC: the text of exe could not be had whole. */
#define FOLLOW_NO_EXE 2u
/* EXEC: nor could argv. */
#define FOLLOW_NO_ARGV 4u
/* EXEC: exe was unlinked; it hangs in no directory. */
#define FOLLOW_DELETED 8u
/* CLONE: the child is a thread. */
#define FOLLOW_THREAD 16u
/* CALL: it has no result, since its task ended in it, or a filter made it into SIGSYS. */
#define FOLLOW_ENDED 32u
/* MOVE: with all threads of its process. */
#define FOLLOW_WHOLE 64u

struct follow_pids {
        __u32 count; /* the number in the helper's pid namespace first, the innermost last */
        __s32 numbers[FOLLOW_LEVELS];
};

/* include/uapi/linux/limits.h: NAME_MAX and a NUL. */
#define FOLLOW_NAME_MAX 256u
#define FOLLOW_CGROUP_MAX 3840u
/* More components than this in the path of a program, mount points included, and it is left to /proc; in that of a cgroup, and it is not told. */
#define FOLLOW_DEPTH 64

/* A cgroup v2: its names from the last to the first below the root of the hierarchy, each with its NUL. */
struct follow_cgroup {
        __u32 cut; /* 1: there are more than could be read */
        __u32 size;
        char names[FOLLOW_CGROUP_MAX + FOLLOW_NAME_MAX];
};

/* No more hierarchies are looked through: one for each controller at the most, that of v2, and those without any, which have names (cgroups(7)). */
#define FOLLOW_HIERARCHIES 64

/* A task was moved to another cgroup of one hierarchy; pids of 0 where the helper's pid namespace has none for who moved it. */
struct follow_move {
        struct follow_event event;
        char comm[16]; /* of who moved it */
        __u32 cut;     /* 1: there are more names than could be read */
        __u32 size;    /* bytes of the names of the cgroup, as in struct follow_cgroup */
        __u32 whole;   /* and with those of the root of the helper's cgroup namespace in that hierarchy, behind them */
        __u32 unused;
        char names[2 * FOLLOW_CGROUP_MAX + FOLLOW_NAME_MAX];
};

struct follow_clone {
        struct follow_event event;
        __u64 child_start;
        __u32 child_ns[NSV_LINK_COUNT];
        __s32 exit_signal;
        __s32 child_tgid;
        __s32 child_ppid;
        struct follow_pids pids; /* the child's */
        struct follow_cgroup cgroup; /* with CLONE_INTO_CGROUP: into which it is born */
};

/* Per system call number: which of NSV_CALLS it is, and what to read. */
struct follow_number {
        __u32 native, narrow; /* 1 + enum nsv_call_name; 0: none */
        struct nsv_pointer pointers[NSV_POINTERS];
};

/* An isolation call that a signal came into, where the registers do not tell it. */
struct follow_interrupted {
        __u32 number;
        __s32 result;
};

/* What a thread of a followed process is in, by an iterator over all tasks of the helper's pid namespace (Documentation/bpf/bpf_iterators.rst). */
struct follow_thread {
        __u64 at; /* as in struct follow_event; it was read before this */
        __s32 pid, tid;
        __u32 flags; /* include/linux/sched.h, PF_EXITING and others */
        __u32 ns[NSV_LINK_COUNT]; /* as in struct follow_event */
        __u32 unused;
        struct nsv_cred cred; /* as in struct follow_exec */
};

/* An isolation call returned. event.value: what; event.other: enum nsv_call_name. */
struct follow_call {
        struct follow_event event;
        __u32 abi; /* enum nsv_abi */
        __u32 unused;
        struct nsv_call call; /* without what was before */
        char bytes[NSV_POINTERS * NSV_POINTER_MAX];
};

/* include/uapi/linux/magic.h */
#define FOLLOW_NSFS_MAGIC 0x6e736673u
#define FOLLOW_PIDFS_MAGIC 0x50494446u
#define FOLLOW_ANON_INODE_FS_MAGIC 0x09041934u

#define FOLLOW_EXE_MAX 4096u
#define FOLLOW_ARGV_MAX 4096u

struct follow_exec {
        struct follow_event event;
        char comm[16];
        struct follow_pids pids;
        struct nsv_cred cred; /* ids as the initial user namespace has them, which is where BPF is allowed */
        __u32 exe_size;  /* bytes of exe: its components from the last to the first, each with its NUL */
        __u32 argv_size; /* bytes of argv, behind it */
        char bytes[FOLLOW_EXE_MAX + FOLLOW_NAME_MAX + FOLLOW_ARGV_MAX];
};
