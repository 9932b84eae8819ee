/* SPDX-License-Identifier: MIT */
/* Knows what a claim about the kernel is, and what all claims share: how to begin a child, how to be held or broken or skipped. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* sched.h of older C libraries lacks them (include/uapi/linux/sched.h). */
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* One sentence about Linux that can be false. */
struct claim {
        const char *flag;
        const char *id;
        const char *sentence;
        /* As "clone(2)". */
        const char *man;
        const char *section;
        /* Where the kernel sees to it. */
        const char *file;
        const char *function;
        /* In a process of its own: held if it returns. */
        void (*run)(void);
};

#define CLAIM(flag_, function_, man_, section_, file_, where_, sentence_) \
        {flag_, #function_, sentence_, man_, section_, file_, where_, function_}
#define CLAIMS(name)                                \
        extern const struct claim name##_claims[];  \
        extern const size_t name##_claims_count
#define COUNT_CLAIMS(name) const size_t name##_claims_count = sizeof(name##_claims) / sizeof(*name##_claims)

/* Memory that every descendant of a claim shares with the runner, whatever namespaces and tables it has. */
struct shared {
        /* The first that says something is heard. */
        volatile int verdict;
        char reason[256];
        /* For what a claim's processes tell each other. */
        volatile int number[8];
        char text[8][256];
        /* Cgroups that a claim made, removed by the runner in reverse order. */
        volatile int cgroups;
        char cgroup[4][512];
};
enum { HELD, BROKEN, SKIPPED };
extern struct shared *shared;

/* End this process, and with it the claim. */
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define HOLDS(condition, ...)                \
        do {                                 \
                if (!(condition))            \
                        broken(__VA_ARGS__); \
        } while (0)

/* A call that is no part of the claim, and has to succeed. */
#define MUST(call)                                                  \
        ({                                                          \
                long result_ = (long)(call);                        \
                if (result_ == -1)                                  \
                        broken("%s: %s", #call, strerror(errno));   \
                result_;                                            \
        })

/* A call that has to be refused so. */
#define REFUSED(call, errno_)                                                                                        \
        do {                                                                                                         \
                long result_ = (long)(call);                                                                         \
                int got_ = result_ == -1 ? errno : 0;                                                                \
                if (got_ != (errno_))                                                                                \
                        broken("%s: %s, not %s", #call, got_ == 0 ? "succeeds" : strerror(got_), strerror(errno_));  \
        } while (0)

/* clone3(2) as it is, but for the flags that --drop takes out. -1 with errno. */
pid_t clone3_with(struct clone_args *args);
/* A child with these flags, as fork(2) returns; SIGCHLD when it ends, unless a flag forbids it. Ends with its parent. */
pid_t fork_with(uint64_t flags);
/* unshare(2), but for the flags that --drop takes out. */
int unshare_with(uint64_t flags);
/* A child that shares the memory, on a stack of its own: clone(2). */
pid_t run_with(uint64_t flags, int (*run)(void *), void *argument);
/* 0, or the errno with which clone3 refuses; a child that begins all the same is ended. */
int refusal_of(uint64_t flags, int exit_signal);

/* Waits for that child, whose status must be 0. */
void ends_well(pid_t child);
/* Waits until another process of the claim has set it. */
void wait_for(volatile int *number, int value);

/* The block runs in a child with these flags, and is waited for. */
#define IN_CHILD(flags) IN_CHILD_(fork_with(flags), __COUNTER__)
#define IN_CHILD_(born, number) IN_CHILD__(born, number)
#define IN_CHILD__(born, number) \
        for (pid_t child_##number = (born); child_##number == 0 ? true : (ends_well(child_##number), false); _exit(0))

/* Whether CAP_SYS_ADMIN is effective. */
bool is_privileged(void);
/* Where it is not: a user namespace of its own, in which it is; skipped where there is none to be had. */
void gain_privilege(void);
/* A new user namespace with uid and gid 0 for the caller's own. 0 or -1 with errno. */
int map_root(pid_t pid, uid_t uid, gid_t gid);
/* Gives up all capabilities. */
void drop_capabilities(void);
/* Those of CapEff, as bits, without others that the kernel does not know. */
uint64_t effective_capabilities(void);
/* Leaves of the permitted ones these effective, for as long as it takes. */
void use_capabilities(uint64_t these);
/* The path in this process's own line of cgroup v2, as its cgroup namespace shows it; skipped where there is none. */
void own_cgroup(char *path, size_t size);
/* A mount namespace of its own without propagation, and a fresh tmpfs on /tmp. */
void have_own_mounts(void);

/* Bytes of a file, ended by NUL, or -1 with errno. */
ssize_t read_file(const char *path, char *text, size_t size);
/* The whole text by one write. 0 or -1 with errno. */
int write_file(const char *path, const char *text);
/* Of /proc/PID/ns/NAME; 0 of this process. */
ino_t namespace_of(pid_t pid, const char *name);
#define SAME_NAMESPACE(pid, name) (namespace_of(0, name) == namespace_of(pid, name))
/* kcmp(2): 0 if they share it; skipped where the kernel has none. */
int compare(pid_t one, pid_t other, int what);
/* The value of a field of /proc/PID/status, such as "SigCgt". */
void status_field(pid_t pid, const char *name, char *value, size_t size);
/* Fds over a unix socket: unix(7). */
void send_fd(int socket, int fd);
int receive_fd(int socket);
