/* SPDX-License-Identifier: MIT */
/* Knows the whole ABI between nsview's three parts: what libnsview.so offers to TypeScript, the commands that it sends to
 * nsview-helper over a socket, and the records that the helper sends back over a pipe. Layouts are written here once;
 * nsv_layout() tells them to TypeScript, which compares them with its own at load. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NSV_ABI 5

#define NSV_API __attribute__((visibility("default")))

/* The files of /proc/PID/ns (proc_pid_ns(5)), in the order of every array of namespace inodes below. */
#define NSV_LINKS(X) X(user) X(mnt) X(pid) X(pid_for_children) X(net) X(uts) X(ipc) X(cgroup) X(time) X(time_for_children)

enum nsv_link {
#define NSV_LINK_NAME(name) NSV_LINK_##name,
        NSV_LINKS(NSV_LINK_NAME)
#undef NSV_LINK_NAME
        NSV_LINK_COUNT
};

/* ---- Commands: library to helper, over a stream socket ---- */

enum nsv_command_kind {
        /* Seize `pid`, all its threads and all that descends from it. Answered by NSV_RECORD_REPLY. */
        NSV_COMMAND_ATTACH = 1,
        /* Start a program and follow it. An fd that comes along is its controlling terminal and fds 0, 1 and 2. Answered by NSV_RECORD_REPLY,
         * as soon as it runs or a step has failed. */
        NSV_COMMAND_LAUNCH = 2,
        /* If the caller vanishes without NSV_COMMAND_RELEASE_TERMINAL: give the terminal that comes along the settings that
         * it has now, and write the payload to it. */
        NSV_COMMAND_GUARD_TERMINAL = 3,
        NSV_COMMAND_RELEASE_TERMINAL = 4,
        /* The fd is the master of the launched program's terminal. If the caller vanishes it is held and emptied by a process of its own as
         * long as anybody has the terminal, so that nobody is hung up. Without an fd: not any more. */
        NSV_COMMAND_KEEP_TERMINAL = 5,
        /* End what was launched, whole: its kept terminal is closed (SIGHUP, once the caller closes it as well), then come SIGTERM and SIGKILL.
         * Answered by NSV_RECORD_REPLY; value: processes that did not end. */
        NSV_COMMAND_END = 6,
        /* Answered by NSV_RECORD_REPLY once all is told of which the kernel had told the helper when this came. */
        NSV_COMMAND_CATCH_UP = 7,
};

/* LAUNCH: what is done besides, in this order. */
enum nsv_launch_option {
        NSV_LAUNCH_DENY_SETGROUPS = 1 << 0, /* by the helper: "deny" to /proc/PID/setgroups, before gid_map */
        NSV_LAUNCH_DROP_GROUPS = 1 << 1,    /* from here on by the child: setgroups(0, NULL) */
        NSV_LAUNCH_BECOME_GID_0 = 1 << 2,
        NSV_LAUNCH_BECOME_UID_0 = 1 << 3,
        NSV_LAUNCH_PRIVATE_MOUNTS = 1 << 4,
        NSV_LAUNCH_MOUNT_PROC = 1 << 5,
        /* When the helper ends, by whatever, everything that descends from the program is killed. */
        NSV_LAUNCH_KILL_ON_EXIT = 1 << 6,
};

/* The strings of a LAUNCH behind its environment; an empty one: not asked for. */
enum nsv_launch_text {
        NSV_LAUNCH_CGROUP, /* directory of a cgroup v2 */
        NSV_LAUNCH_UID_MAP, /* what is written to /proc/PID/uid_map (user_namespaces(7)) */
        NSV_LAUNCH_GID_MAP,
        NSV_LAUNCH_HOSTNAME,
        NSV_LAUNCH_TEXTS,
};

struct nsv_command {
        uint32_t size; /* of the whole command, payload included */
        uint16_t kind;
        uint16_t has_fd; /* 1: one fd comes along with the first byte (SCM_RIGHTS) */
        uint32_t sequence;
        int32_t pid;
        uint32_t argc; /* LAUNCH: the payload is argc strings, then envc strings, then NSV_LAUNCH_TEXTS, each with its NUL */
        uint32_t envc;
        uint64_t soft_nofile;     /* LAUNCH: soft RLIMIT_NOFILE for the program; 0 leaves it */
        uint64_t ignored_signals; /* LAUNCH: bit n - 1 set: signal n starts ignored, as in SigIgn of /proc/PID/status */
        uint64_t blocked_signals; /* LAUNCH: the same of SigBlk */
        uint64_t clone_flags;     /* LAUNCH: CLONE_NEW… */
        uint32_t options;         /* LAUNCH: enum nsv_launch_option */
        uint32_t unused;
};
_Static_assert(sizeof(struct nsv_command) == 64, "struct nsv_command is part of the ABI");

/* The largest command: the kernel's own bound on arguments and environment is far below (execve(2), 3/4 of 8 MB). */
#define NSV_COMMAND_MAX (8u << 20)

/* ---- Records: helper to library's caller, over a pipe ---- */

/* The sets of capabilities(7), in the order of the lines of /proc/PID/status. */
#define NSV_CAPABILITIES(X) X(inheritable) X(permitted) X(effective) X(bounding) X(ambient)

enum nsv_capabilities {
#define NSV_CAPABILITIES_NAME(name) NSV_CAPABILITIES_##name,
        NSV_CAPABILITIES(NSV_CAPABILITIES_NAME)
#undef NSV_CAPABILITIES_NAME
        NSV_CAPABILITIES_COUNT
};

/* What a task has of credentials(7) and capabilities(7). */
struct nsv_cred {
        uint32_t uids[4], gids[4]; /* real, effective, saved, file system */
        uint64_t capabilities[NSV_CAPABILITIES_COUNT];
};

/* What is known of an isolation call besides its name and result: the first text of NSV_RECORD_CALL. The second holds what its pointers
 * led to, one after the other. */
struct nsv_call {
        uint64_t arguments[6]; /* as far as the call has them */
        /* Of each pointer (native/calls.h): how many bytes of it are in the second text, or one of NSV_POINTER_…. */
        uint32_t sizes[4];
        struct nsv_cred before, after;
        /* setns: what the fd is. type: the CLONE_NEW… flag of a namespace, whose inode follows; 0 with a pid: a pidfd; both 0: unknown. */
        uint32_t fd_type;
        int32_t fd_pid;
        uint64_t fd_inode;
        uint32_t before_known; /* 1: `before` is */
        uint32_t after_known; /* 1: `after` is; where the call failed, it is what the kernel judged it by */
};

/* Null, and a bad address. A string that was cut has NSV_POINTER_MAX bytes, the last a NUL. */
#define NSV_POINTER_NULL 0xffffffffu
#define NSV_POINTER_FAULT 0xfffffffeu
/* The memory may not be read by the helper. */
#define NSV_POINTER_REFUSED 0xfffffffdu

enum nsv_record_kind {
        /* First record. value: NSV_ABI. */
        NSV_RECORD_HELLO = 1,
        /* Answer to a command. other: its sequence; error: 0 or errno; stage: enum nsv_stage; pid: attached or launched;
         * value: processes seized; tid: threads seized, leaders included. */
        NSV_RECORD_REPLY = 2,
        /* A process is followed from now on. ns: its leader's namespaces; text: comm. other: enum nsv_found. Launched, when it
         * may have ended by now, three texts more: exe; argv as /proc/PID/cmdline has it; the lines Uid, Gid and NSpid of /proc/PID/status,
         * an empty line, and /proc/PID/cgroup. error, stage, value: as for EXEC. */
        NSV_RECORD_PROCESS = 3,
        /* pid, tid: who called. other: the child's tid. value: the flags of clone(2); error: errno if they could not be read.
         * stage: the signal that its parent gets at the child's end. ns: the caller's namespaces; child_ns: the child's. start, ppid: the child's.
         * texts: the child's NSpid line, where it has more than one pid; with CLONE_INTO_CGROUP a second one: the cgroup into which it was
         * born, a path that begins with a slash, or the errno, in digits, where that could not be told. */
        NSV_RECORD_CLONE = 4,
        /* other: the tid that called execve, which is gone. text: comm, then exe, then argv as /proc/PID/cmdline has it.
         * error: errno if exe could not be read, stage: errno if argv could not. value: enum nsv_exec_flag. Where it is known what it had
         * before, a fourth text: struct nsv_exec_cred. */
        NSV_RECORD_EXEC = 5,
        /* value: wait status (wait(2)). */
        NSV_RECORD_EXIT = 6,
        NSV_RECORD_THREAD_EXIT = 7,
        /* ns: before; child_ns: now. */
        NSV_RECORD_NAMESPACES = 8,
        /* value: the stop signal. */
        NSV_RECORD_STOP = 9,
        NSV_RECORD_CONTINUE = 10,
        /* A task could not be seized, or was let go for another tracer (NSV_STAGE_NESTED; other: its pid; text: its name). error: errno;
         * stage: enum nsv_stage. */
        NSV_RECORD_REFUSED = 11,
        /* Events were lost: the kernel had no room for them. value: how many. What is there now is read again, and told after this. */
        NSV_RECORD_LOST = 12,
        /* A process is not there any more; its end was among what was lost. */
        NSV_RECORD_GONE = 13,
        /* Comes before the first attach or launch. other: enum nsv_follow, what is in force. error, stage: what refused BPF, where it was
         * not ptrace that was asked for. value: which isolation calls are seen, enum nsv_calls. Again when that changes. */
        NSV_RECORD_FOLLOWING = 14,
        /* An isolation call returned. other: enum nsv_call_name; value: what it returned, as a signed number; error: 1 if it has no result, since its task ended in it, or a filter made it into SIGSYS.
         * ns: before; child_ns: after. stage: enum nsv_abi. texts: struct nsv_call, and what its pointers led to. */
        NSV_RECORD_CALL = 15,
        /* By BPF: a task was moved to another cgroup, or told to be where it is. value: of the hierarchy; stage: 1 if with all threads of its
         * process, else 0. texts: the path, as the line of that hierarchy in /proc/PID/cgroup has it, which error is the errno of where it could
         * not be told, and the name of who moved it; other, ppid: tid and pid of that, 0 where the helper's pid namespace has none for it. */
        NSV_RECORD_CGROUP = 16,
};

/* What is special about a process that is followed from now on. */
enum nsv_found {
        NSV_FOUND_ALIVE = 0,
        NSV_FOUND_ZOMBIE = 1, /* or about to be one, and its end will not be told */
        NSV_FOUND_LATE = 2,   /* born unseen of one that is followed: clone(2), CLONE_UNTRACED */
};

/* How a system call is numbered. What is not native is named, and not decoded. */
enum nsv_abi {
        NSV_ABI_NATIVE = 0,
        NSV_ABI_32 = 1,
        NSV_ABI_X32 = 2,
};

/* Which isolation calls are seen, and by ptrace how, as bits. */
enum nsv_calls {
        NSV_CALLS_NATIVE = 1,
        NSV_CALLS_FOREIGN = 2, /* those of other ABIs */
        NSV_CALLS_BY_STOPS = 4,
        NSV_CALLS_BY_FILTER = 8,
};

/* How the helper follows. */
enum nsv_follow {
        NSV_FOLLOW_AUTO = 0, /* BPF where it is allowed, else ptrace */
        NSV_FOLLOW_PTRACE = 1,
        NSV_FOLLOW_BPF = 2,
        /* Bits beside one of them. By BPF, calls of other ABIs are given up where system calls are very many, unless a program of such an ABI
         * runs; with this they never are, and every system call of the machine is slower meanwhile. */
        NSV_FOLLOW_FOREIGN = 0x10,
        /* By ptrace, what is attached to stops at every system call, as what is launched does; and what is launched stops at isolation calls
         * only, by a seccomp filter of its own. */
        NSV_FOLLOW_STOPS = 0x20,
        NSV_FOLLOW_FILTER = 0x40,
};

/* What was being done when an error came: for PTRACE_SEIZE and for each step of a launch. */
enum nsv_stage {
        NSV_STAGE_NONE = 0,
        NSV_STAGE_SEIZE = 1,
        NSV_STAGE_CLONE = 2,
        NSV_STAGE_SETSID = 3,
        NSV_STAGE_TERMINAL = 4, /* ioctl TIOCSCTTY */
        NSV_STAGE_STDIO = 5,    /* dup2 */
        NSV_STAGE_LIMIT = 6,    /* setrlimit */
        NSV_STAGE_EXECVE = 7,
        NSV_STAGE_FIND = 8, /* no such process: /proc/PID is not there */
        NSV_STAGE_SELF = 9, /* the process is nsview's own */
        NSV_STAGE_MEMORY = 10,
        NSV_STAGE_BPF_MAP = 11,
        NSV_STAGE_BTF = 12, /* open(2) of /sys/kernel/btf/vmlinux; ENODATA: it lacks what is needed */
        NSV_STAGE_BPF_LOAD = 13,
        NSV_STAGE_BPF_RING = 14, /* mmap */
        NSV_STAGE_BPF_ATTACH = 15,
        NSV_STAGE_NO_NEW_PRIVS = 16,
        NSV_STAGE_FILTER = 17,
        NSV_STAGE_CGROUP = 18, /* open(2) of its directory */
        NSV_STAGE_DENY_SETGROUPS = 19,
        NSV_STAGE_UID_MAP = 20,
        NSV_STAGE_GID_MAP = 21,
        NSV_STAGE_SETGROUPS = 22,
        NSV_STAGE_SETRESGID = 23,
        NSV_STAGE_SETRESUID = 24,
        NSV_STAGE_HOSTNAME = 25,
        NSV_STAGE_PRIVATE_MOUNTS = 26,
        NSV_STAGE_MOUNT_PROC = 27,
        NSV_STAGE_GUARD = 28, /* fork(2) of what kills on exit; EBUSY: that goes with one launch and nothing else */
        NSV_STAGE_NESTED = 29, /* a program inside traces it */
};

/* What there is to say of an execve besides. */
enum nsv_exec_flag {
        NSV_EXEC_ARGV_CUT = 1 << 0,
        /* What the program would have been given, had nobody without privilege traced it. */
        NSV_EXEC_DROPPED_USER = 1 << 1,
        NSV_EXEC_DROPPED_GROUP = 1 << 2,
        NSV_EXEC_DROPPED_CAPABILITIES = 1 << 3,
};

/* What it did to the ids and capabilities of the process: where another thread than the leader called, that may have had others before. */
struct nsv_exec_cred {
        struct nsv_cred before, after;
};

struct nsv_record {
        uint32_t size; /* of the whole record: this, the text, and padding to 8 */
        uint16_t kind;
        uint16_t text_count; /* how many texts follow, each ended by its length in text_size */
        uint64_t at;         /* CLOCK_MONOTONIC, nanoseconds */
        int32_t pid;         /* as the helper's pid namespace numbers it */
        int32_t tid;
        int32_t other;
        int32_t ppid;
        uint64_t start; /* field 22 of /proc/PID/stat, clock ticks since boot; 0 where it could not be read */
        uint64_t value;
        int32_t error;
        uint32_t stage;
        uint32_t text_size[4];
        /* Inode numbers; a negative errno where the kernel refused (no inode is that large); 0: not read. */
        int64_t ns[NSV_LINK_COUNT];
        int64_t child_ns[NSV_LINK_COUNT];
};
_Static_assert(NSV_LINK_COUNT == 10, "struct nsv_record is part of the ABI");
_Static_assert(sizeof(struct nsv_record) == 232, "struct nsv_record is part of the ABI");

/* ---- The library. Every function returns >= 0 or -errno. It never prints, exits or aborts. ---- */

/* Where the fields of struct nsv_record, and then those of struct nsv_call, nsv_cred and nsv_process, are: size of the struct, then the offset of each field in
 * declaration order.
 * Returns how many numbers there are; writes at most `count`. */
NSV_API int nsv_layout(int32_t *ret_numbers, int count);
/* The name of isolation call number `index` (native/calls.h), or NULL past the end; and a bit for each of its arguments that is read from
 * memory. */
NSV_API const char *nsv_call_name(int index);
NSV_API int nsv_call_pointers(int index);
/* The name of link number `index`, or NULL past the end. */
NSV_API const char *nsv_link_name(int index);

/* Start the helper at `path`; `follow`: enum nsv_follow, with its bit. ret[0]: its pid; ret[1]: command socket; ret[2]: record pipe (read end, non-blocking). */
NSV_API int nsv_start(const char *path, int follow, int32_t *ret);
/* Hang up, upon which the helper detaches from everything and ends, and wait for that. The record pipe stays the caller's: what is left in it
 * can still be read. Returns the helper's wait status; -EBUSY where it stays, silently, for the sake of programs under its filter. */
NSV_API int nsv_stop(int socket, int pid);

NSV_API int nsv_attach(int socket, uint32_t sequence, int pid);
/* `strings`: argc + envc + NSV_LAUNCH_TEXTS strings, each with its NUL. `terminal`: a pty's slave, borrowed, or -1 for the caller's stdio. */
NSV_API int nsv_launch(int socket, uint32_t sequence, int terminal, uint32_t argc, uint32_t envc, const void *strings,
                       uint32_t size, uint64_t soft_nofile, uint64_t ignored_signals, uint64_t blocked_signals, uint64_t clone_flags,
                       uint32_t options);
/* `master`: of the launched program's pty, borrowed; -1: keep it no longer. */
NSV_API int nsv_keep_terminal(int socket, int master);
NSV_API int nsv_end(int socket, uint32_t sequence);
NSV_API int nsv_catch_up(int socket, uint32_t sequence);
NSV_API int nsv_guard_terminal(int socket, int terminal, const void *restore, uint32_t size);
NSV_API int nsv_release_terminal(int socket);

/* Starts the program at `path`, which is nsview-claims, to tell as JSON lines what holds or what there is, of one flag unless that is ""; or
 * to hold a demonstration of a flag. ret: pid, the end of a pipe with the lines, and of one that lets it begin and by its end ends it. */
enum { NSV_CLAIMS_TRY, NSV_CLAIMS_LIST, NSV_CLAIMS_HOLD };
NSV_API int nsv_claims_start(const char *path, const char *flag, int how, int32_t *ret);
/* Closes `fd` and waits: its wait status. */
NSV_API int nsv_claims_end(int pid, int fd);

/* ret[0]: master (non-blocking), ret[1]: slave; both close-on-exec. */
NSV_API int nsv_pty_open(int rows, int columns, int32_t *ret);
NSV_API int nsv_pty_resize(int master, int rows, int columns);
/* Bytes moved, 0 at end of file (EIO of a pty counts as that: every slave is closed), -EAGAIN when it would block. */
NSV_API int nsv_read(int fd, void *buffer, uint32_t size);
NSV_API int nsv_write(int fd, const void *buffer, uint32_t size);
NSV_API int nsv_close(int fd);
/* End the calling process by that signal and without a core, whatever handles it. Returns only where the signal ends nobody. */
NSV_API int nsv_end_by(int signal);
/* _exit(2): nothing of the calling process runs any more, threads that are in a call of this library included. Does not return. */
NSV_API int nsv_leave(int status);

/* Of lib_ns.c. A row of a chain: inode, CLONE_NEW… of the type, owner uid or -errno (user namespaces). */
#define NSV_CHAIN_ROW 3
/* The namespace behind a path, its parents (user and pid namespaces), then its owner and the owner's parents. Returns the number of rows;
 * ret[0]: how many of them come before the owner, ret[1]: errno that ended these, ret[2]: errno of the owner, ret[3]: errno that ended
 * the owner's parents. EPERM there: what comes next is out of nsview's sight, or the initial namespace has none (ioctl_nsfs(2)). */
NSV_API int nsv_namespace_chain(const char *path, int64_t *ret_rows, int max, int32_t *ret);
/* The first process of the pid namespace behind a path, in the caller's numbers. -ESRCH: it has none, or none that the caller sees; -ENOTTY: before
 * Linux 6.11 this cannot be asked. */
NSV_API int nsv_init_of(const char *path);

enum nsv_holds {
        NSV_HOLDS_LINKS = 1 << 0,
        NSV_HOLDS_FDS = 1 << 1,
        NSV_HOLDS_SOCKETS = 1 << 2, /* and NSV_HOLDS_FDS with it */
};
/* A row of what a process holds: how, number, type (0 user, 1 mnt, 2 pid, 3 net, 4 uts, 5 ipc, 6 cgroup, 7 time), inode. */
#define NSV_HOLD_ROW 4
enum nsv_hold {
        NSV_HOLD_LINK = 0,   /* number: index of the link */
        NSV_HOLD_THREAD = 1, /* number: tid; only what differs from the leader's; type + 16 × index of the link */
        NSV_HOLD_FD = 2,     /* number: fd; type + 16 × tid of the thread whose own table has it, 0 where it is the process's */
        NSV_HOLD_TABLE = 4,  /* number: fd of what has the name of a mountinfo; type: 1 + 16 × tid; inode: 0 */
        NSV_HOLD_SOCKET = 3, /* number: fd; type: 16 × tid, as above; inode: of the socket, as sockfs numbers it; 0: a file of /dev/net/tun, which has one */
};
/* Returns the number of rows, at most max. */
NSV_API int nsv_holds(int pid, int what, int64_t *ret_rows, int max);
/* The same of so many processes one after another: ret_counts[i] is what nsv_holds gives of each, whose rows follow each other. Returns how many
 * were asked: `max` rows may hold fewer, each at most NSV_HOLDS_MOST. */
#define NSV_HOLDS_MOST 8192
NSV_API int nsv_holds_of(const int32_t *pids, int count, int what, int64_t *ret_rows, int max, int32_t *ret_counts);
/* The beginning of an open mountinfo, which is the fd `fd` of `pid`, or of a thread: bytes. It keeps the mount namespace that it lists
 * (mounts_open_common(), fs/proc_namespace.c). `devices` (major << 32 | minor) are of proc; -ESTALE where it is on none of them. */
NSV_API int nsv_open_table(int pid, int fd, const int64_t *devices, int count, void *buffer, uint32_t size);
/* An fd, the caller's, of the network namespace in which the socket `fd` of `pid` was made (SIOCGSKNS): a socket keeps it alive, wherever its
 * process is. `pid` may be a thread (Linux 6.9). `socket`: its inode, or 0 of a file of /dev/net/tun, which is bound to the network namespace in which it was opened; -ESTALE where that fd is another file by now. -EPERM without CAP_NET_ADMIN over that namespace, or where
 * `pid` may not be traced. The socket is copied for a moment (pidfd_getfd(2)), and where cgroup v1's net_cls or net_prio are in use that
 * would give it the caller's class (receive_fd(), fs/file.c): not to be called then. */
NSV_API int nsv_socket_network(int pid, int fd, int64_t socket, int64_t *ret_inode);
/* What the kernel calls the protocol of that socket: UNIX, TCPv6, PACKET, AF_VSOCK (sockfs_xattr_get(), net/socket.c). `socket`: its inode; -ESTALE
 * where that fd is another file by now. Nothing of the socket is taken or opened. Bytes, without a NUL, at most size - 1. */
NSV_API int nsv_socket_protocol(int pid, int fd, int64_t socket, char *ret_name, uint32_t size);
/* The mount namespace after (or before) that of the fd `from`, in the order in which they were made, whether anybody is in it or not:
 * an fd of it, the caller's (NS_MNT_GET_NEXT, Linux 6.12). from: -1: nsview's own. ret[0]: inode, ret[1]: number of mounts. -ENOENT past the
 * last; -ENOTTY where the kernel has no such ioctl; -EPERM to all but CAP_SYS_ADMIN in the initial user namespace, and pid namespace. */
NSV_API int nsv_next_mount_namespace(int from, int backwards, int64_t *ret);
enum nsv_table_stage { NSV_TABLE_OPEN, NSV_TABLE_SETNS, NSV_TABLE_READ };
/* The mountinfo of the mount namespace whose nsfs file is at `path`, read from inside by a thread that lives for it: bytes, at most `size`.
 * CAP_SYS_ADMIN over it and CAP_SYS_CHROOT are needed, or to be the one who made the user namespace that owns it. */
NSV_API int nsv_mount_table(const char *path, void *buffer, uint32_t size, int32_t *ret_stage);
/* Of lib_mount.c. A row: what, number, id of the mount, tid of the thread that has it by itself, or 0. */
#define NSV_USE_ROW 4
enum nsv_use {
        NSV_USE_CWD = 0,
        NSV_USE_ROOT = 1,
        NSV_USE_EXE = 2,
        NSV_USE_FD = 3,  /* number: fd */
        NSV_USE_MAP = 4, /* number: first address; instead of the mount -errno where only its device is known (map_files wants
                          * CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN) */
};
/* What of a process is on one of those mounts; `ids` ascending, as mountinfo has them, or on any other mount of those `devices` (major << 32 | minor);
 * mapped files are asked of those devices only, of all where there are 0, of none where there are -1. Returns the number of rows, at most max; -EACCES where nsview may not look. Linux 5.8. */
NSV_API int nsv_mount_uses(int pid, const int64_t *ids, int ids_count, const int64_t *devices, int devices_count, int64_t *ret_rows, int max);

/* When the mounts that a process sees were made: for each of those ids, as its mountinfo tells them and in that order, the number that the kernel
 * gives to no other mount, and to each a higher one than to those before; 0 where there is no such mount now. 0 or -errno.
 * listmount(2) and statmount(2) of another namespace: Linux 6.11, and CAP_SYS_ADMIN in the user namespace that owns it; before that -ENOTTY or
 * -ENOSYS. */
NSV_API int nsv_mount_ages(int pid, const int32_t *ids, int count, double *ret_ages);
/* How an ID-mapped mount, which `pid` sees, maps the owners of its files; `age` as nsv_mount_ages tells it. Lines `u 0 1000 5` and `g 0 1000 5`: id in the
 * files, the same through the mount as nsview's user namespace has it, how many (statmount(2), STATMOUNT_MNT_UIDMAP: Linux 6.15). Bytes; -ENODATA where
 * the kernel does not tell. */
NSV_API int nsv_mount_idmap(int pid, double age, void *buffer, uint32_t size);

/* A fanotify group, non-blocking, that tells of each mount which is attached in the mount namespace at `path` (a file of nsfs), or detached:
 * FAN_MNT_ATTACH and FAN_MNT_DETACH, fanotify_mark(2), Linux 6.15. It does not tell of changed options, and does not keep the namespace
 * alive. -EINVAL where the kernel has no such events, -EPERM without CAP_SYS_ADMIN in the user namespace that owns it, -EMFILE where the
 * user has /proc/sys/fs/fanotify/max_user_groups already. */
NSV_API int nsv_mount_events(const char *path);
/* 1 where the table behind this fd of a mountinfo has changed since it was opened or last asked, else 0: POLLPRI, proc_pid_mountinfo(5). */
NSV_API int nsv_mounts_changed(int fd);
/* Where a question to a network namespace was refused. */
enum nsv_network_stage { NSV_NETWORK_OPEN, NSV_NETWORK_SETNS, NSV_NETWORK_SOCKET, NSV_NETWORK_ASK };
/* The rtnetlink messages of a dump in the network namespace whose nsfs file is at `path`. `type`: 0 links, 1 addresses, 2 routes, 3 (of
 * unix_diag, where the kernel has it) unix sockets with their names, peers and who waits to be accepted, 4 what its interfaces do
 * with packets that are not theirs (RTM_GETNETCONF), 5 to 10 (of inet_diag) who listens by TCP, or is bound by UDP or UDP-Lite, each of IPv4
 * and IPv6, 11 rules of routing, 12 tables of nf_tables, 13 next hops. Bytes written: whole messages, each padded to 4, and where `size` is too small the first of them. At most about a second; -ETIMEDOUT then. */
NSV_API int nsv_network_dump(const char *path, int type, void *buffer, uint32_t size, int32_t *ret_stage);
/* By which number that namespace knows each of the `count` others whose files are at `paths` (each with its NUL), for IFLA_LINK_NETNSID:
 * ret_ids[i] is negative where it knows it by none. Returns `count`. */
NSV_API int nsv_network_ids(const char *path, const char *paths, int count, int32_t *ret_ids, int32_t *ret_stage);
/* Of lib_read.c: what a batch tells of one process; texts follow, in this order: the shared lines of status and the others, argv, exe,
 * cgroup; then rows as nsv_holds has them, at holds_at; then comm. Lengths in bytes, or -errno, with NSV_READ_BY_READ where it was not the
 * open that was refused. */
#define NSV_READ_BY_READ (1 << 16)
enum nsv_process_how {
        NSV_PROCESS_WHOLE = 0,
        NSV_PROCESS_GONE = 1,    /* it is not there */
        NSV_PROCESS_THREADS = 2, /* and it has other threads, which are not told, since some may differ from it */
        NSV_PROCESS_ODD = 3,     /* it changed meanwhile, or is too long: read it otherwise */
};
struct nsv_process {
        uint64_t start;
        int64_t links[NSV_LINK_COUNT]; /* inode, or -errno of readlink */
        uint32_t size;                 /* of all, a multiple of 8 */
        int32_t pid, ppid;
        uint8_t how; /* enum nsv_process_how */
        uint8_t state;
        uint16_t unused;
        int32_t status; /* of which the first `shared` bytes are lines that most processes have alike */
        int32_t shared;
        int32_t argv, exe, cgroup, comm;
        int32_t holds; /* rows, or -errno */
        uint32_t holds_at;
        int32_t threads; /* struct nsv_thread, of all but the leader where they are as the process is */
        uint32_t threads_at;
};
_Static_assert(sizeof(struct nsv_process) == 144, "struct nsv_process is part of the ABI");
struct nsv_thread {
        int32_t tid;
        int32_t comm_size;
        char comm[16];
};
_Static_assert(sizeof(struct nsv_thread) == 24, "struct nsv_thread is part of the ABI");
/* Of a process with more than this they are not told. */
#define NSV_THREADS_MOST 4096
/* Reads these processes ahead, on threads of its own; `holds`: enum nsv_holds, or 0. One at a time: -EBUSY. `pids` is copied. */
NSV_API int nsv_read_begin(const int32_t *pids, int count, int holds);
/* The next of them, in their order, in whole: bytes, or 0 at the end. `size`: 1 MiB at least. Waits. */
NSV_API int nsv_read_next(void *buffer, uint32_t size);
NSV_API void nsv_read_end(void);
/* Where a reading from another cgroup or uts namespace was refused. */
enum nsv_cgroup_stage { NSV_CGROUP_OPEN, NSV_CGROUP_SETNS, NSV_CGROUP_READ };
/* The first `size` bytes of `file` as a process sees them that is in the namespace whose nsfs file is at `namespace`, of `type`
 * (CLONE_NEWCGROUP or CLONE_NEWUTS: a thread enters those alone); NULL: as the caller sees them. Of a folder all files below it, each as its way
 * and its text (lib_folder.h). Returns their number, or -errno; EPERM at the stage of setns: CAP_SYS_ADMIN is needed over the
 * namespace's owner (setns(2)), or to be the one who made that. */
NSV_API int nsv_read_in_namespace(const char *namespace, int type, const char *file, void *buffer, uint32_t size, int32_t *ret_stage);
/* A regular file of at most `size` bytes, read below the root of `pid` (RESOLVE_IN_ROOT), over no symbolic link: bytes, or -errno; -EINVAL where it
 * is no regular file, -EFBIG where it is longer, -ELOOP where a link is in the way, -ENOSYS before Linux 5.6. A file system whose server does
 * not answer may make it wait: the caller knows what is mounted there. ret: device and inode of the file. */
NSV_API int nsv_read_inside(int pid, const char *path, void *buffer, uint32_t size, int64_t *ret);
/* What `pid` shares with each of `count` others; `type` is one of KCMP_VM … KCMP_SYSVSEM (linux/kcmp.h). ret[i]: 0 where they share it, 1 to 3
 * where they do not, or -errno (EPERM: PTRACE_MODE_READ_REALCREDS is needed on both). Returns 1, and nothing in ret, where `pid` has no such
 * object; -errno where `pid` is not to be read, or ENOSYS where the kernel has no kcmp (CONFIG_KCMP). */
NSV_API int nsv_kcmp(int pid, const int32_t *others, int count, int type, int32_t *ret);
/* 1 where the fd of `pid`, which is open by O_PATH, is a directory, 0 where it is not, -EBADF where it is not open so. Nobody is asked for it,
 * also where a server holds the file; needs what pidfd_getfd(2) needs. */
NSV_API int nsv_path_is_directory(int pid, int fd);
/* Whether two links of /proc lead to one file of one file system, which has to be the same: 1, 0, or -errno. Of tmpfs the handle has a random number
 * beside the inode's (shmem_encode_fh(), mm/shmem.c), so that a file is told from another that got its inode, or that has it elsewhere. */
NSV_API int nsv_same_file(const char *one, const char *other);
/* Which of `count` tasks share the object of that type with one of the first `sorted` of them. ret[i]: the index of the first of those that task i
 * shares it with, its own where that is itself; NSV_SHARES_NOTHING where it has none, or shares it with none of them; NSV_SHARES_REFUSED - errno.
 * The kernel orders the objects, so that each task is compared with few others. -ENOSYS as above, and -ENOMEM. Returns how many objects the
 * first ones have. */
enum { NSV_SHARES_NOTHING = -1, NSV_SHARES_REFUSED = -2 };
NSV_API int nsv_share_groups(const int32_t *tasks, int count, int sorted, int type, int32_t *ret);
