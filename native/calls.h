/* SPDX-License-Identifier: MIT */
/* Knows which system calls change isolation, and which of their arguments point to what must be read. By name they are those
 * of the kernel's table (syscalls(2)); src/model/call.ts knows what each argument means. A test holds the two together. */
#pragma once

#include <stdint.h>

/* How an argument is read. Strings end at their NUL; bytes are a fixed number; counted ones have their number in another argument. */
enum nsv_pointer_kind {
        NSV_POINTER_NONE = 0,
        NSV_POINTER_STRING,
        NSV_POINTER_BYTES,
        NSV_POINTER_COUNTED,
};

struct nsv_pointer {
        uint8_t argument;
        uint8_t kind;
        uint8_t size; /* BYTES: how many; COUNTED: of one element */
        uint8_t count; /* COUNTED: the argument that says how many */
};

#define NSV_POINTERS 4

/* More of a string or of bytes is not kept. */
#define NSV_POINTER_MAX 1024u

/* X(name of the call, its number as i386 has it, its other number there (the one with 32-bit ids; of umount2, the one without flags), its
 * number as arm has it where that differs, pointers …). 0: none. clone and clone3 are told where they fail: where not, their births are.
 * Not among them: what only asks (statmount, listmount, listns, lsm_get_self_attr, pidfd_open), what a file's owner may do (setxattr, chown),
 * personality, since what it sets isolates nothing, and the ioctls of nsfs and of seccomp's notifications. */
#define NSV_S(argument) {argument, NSV_POINTER_STRING, 0, 0}
#define NSV_B(argument, size) {argument, NSV_POINTER_BYTES, size, 0}
#define NSV_C(argument, size, count) {argument, NSV_POINTER_COUNTED, size, count}
#define NSV_O {0, NSV_POINTER_NONE, 0, 0}
#define NSV_CALLS(X)                                                                     \
        X(unshare, 310, 0, 337, NSV_O)                                                   \
        X(setns, 346, 0, 375, NSV_O)                                                     \
        X(mount, 21, 0, 0, NSV_S(0), NSV_S(1), NSV_S(2), NSV_S(4))                       \
        X(umount2, 52, 22, 0, NSV_S(0))                                                  \
        X(move_mount, 429, 0, 0, NSV_S(1), NSV_S(3))                                     \
        X(open_tree, 428, 0, 0, NSV_S(1))                                                \
        X(fsopen, 430, 0, 0, NSV_S(0))                                                   \
        X(fsconfig, 431, 0, 0, NSV_S(2), NSV_S(3))                                       \
        X(fsmount, 432, 0, 0, NSV_O)                                                     \
        X(fspick, 433, 0, 0, NSV_S(1))                                                   \
        X(mount_setattr, 442, 0, 0, NSV_S(1), NSV_B(3, 32))                              \
        X(pivot_root, 217, 0, 218, NSV_S(0), NSV_S(1))                                   \
        X(chroot, 61, 0, 0, NSV_S(0))                                                    \
        X(setuid, 23, 213, 0, NSV_O)                                                     \
        X(setgid, 46, 214, 0, NSV_O)                                                     \
        X(setreuid, 70, 203, 0, NSV_O)                                                   \
        X(setregid, 71, 204, 0, NSV_O)                                                   \
        X(setresuid, 164, 208, 0, NSV_O)                                                 \
        X(setresgid, 170, 210, 0, NSV_O)                                                 \
        X(setfsuid, 138, 215, 0, NSV_O)                                                  \
        X(setfsgid, 139, 216, 0, NSV_O)                                                  \
        X(setgroups, 81, 206, 0, NSV_C(1, 4, 0))                                         \
        X(capset, 185, 0, 0, NSV_B(0, 8), NSV_B(1, 24))                                  \
        X(prctl, 172, 0, 0, NSV_O)                                                       \
        X(seccomp, 354, 0, 383, NSV_B(2, 16))                                            \
        X(landlock_create_ruleset, 444, 0, 0, NSV_C(0, 1, 1))                            \
        X(landlock_add_rule, 445, 0, 0, NSV_B(2, 16))                                    \
        X(landlock_restrict_self, 446, 0, 0, NSV_O)                                      \
        X(sethostname, 74, 0, 0, NSV_C(0, 1, 1))                                         \
        X(setdomainname, 121, 0, 0, NSV_C(0, 1, 1))                                      \
        X(clone, 120, 0, 0, NSV_O)                                                       \
        X(clone3, 435, 0, 0, NSV_C(0, 1, 1))                                             \
        X(open_tree_attr, 467, 0, 0, NSV_S(1), NSV_B(3, 32))                             \
        X(lsm_set_self_attr, 460, 0, 0, NSV_C(1, 1, 2))                                  \
        X(keyctl, 288, 0, 311, NSV_S(1))

enum nsv_call_name {
#define NSV_CALL_NAME(name, ...) NSV_CALL_##name,
        NSV_CALLS(NSV_CALL_NAME)
#undef NSV_CALL_NAME
        NSV_CALL_COUNT
};

/* Larger than every number in the table, native or not. */
#define NSV_CALL_NUMBERS 512u

/* Does this call change isolation or privilege? Queries do not, nor what else prctl(2) does, such as PR_SET_NAME. */
__attribute__((always_inline)) static inline int nsv_call_counts(uint32_t name, uint32_t first, uint32_t second, uint32_t third)
{
        if (name == NSV_CALL_seccomp)
                return first < 2; /* SECCOMP_GET_… follow */
        if (name == NSV_CALL_landlock_create_ruleset)
                return third == 0; /* LANDLOCK_CREATE_RULESET_VERSION and _ERRATA */
        if (name == NSV_CALL_keyctl)
                return first == 1 || first == 18; /* KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SESSION_TO_PARENT: the others act on keys */
        if (name != NSV_CALL_prctl)
                return 1;
        switch (first) {
        case 47: /* PR_CAP_AMBIENT */
                return second != 1; /* PR_CAP_AMBIENT_IS_SET */
        case 62: /* PR_SCHED_CORE: who may run beside it on the other threads of a core */
                return second != 0; /* PR_SCHED_CORE_GET */
        case 1:  /* PR_SET_PDEATHSIG */
        case 4:  /* PR_SET_DUMPABLE */
        case 8:  /* PR_SET_KEEPCAPS */
        case 22: /* PR_SET_SECCOMP */
        case 24: /* PR_CAPBSET_DROP */
        case 28: /* PR_SET_SECUREBITS */
        case 36: /* PR_SET_CHILD_SUBREAPER */
        case 38: /* PR_SET_NO_NEW_PRIVS */
        case 53: /* PR_SET_SPECULATION_CTRL */
        case 65: /* PR_SET_MDWE */
        case 0x59616d61: /* PR_SET_PTRACER */
                return 1;
        default:
                return 0;
        }
}

/* calls.c: by which numbers this machine's own ABI, and its 32-bit one, know a call. narrow_too: 0 where there is none. */
struct nsv_numbering {
        uint32_t native, narrow, narrow_too;
        struct nsv_pointer pointers[NSV_POINTERS];
};
extern const struct nsv_numbering nsv_numbers[NSV_CALL_COUNT];
/* The enum nsv_call_name with this number, or -1. `narrow`: as the 32-bit ABI numbers them. */
int nsv_find_call(int narrow, uint32_t number);
