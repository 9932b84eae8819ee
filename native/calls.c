/* SPDX-License-Identifier: MIT */
/* Knows how the ABIs of this machine number the calls of NSV_CALLS. */
#include "calls.h"

#include <sys/syscall.h>

/* New in 5.2, 5.12 and 5.13, and the same on every architecture; the C library's headers may be older. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#define SYS_fspick 433
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
/* 6.8 and 6.15. */
#ifndef SYS_lsm_set_self_attr
#define SYS_lsm_set_self_attr 460
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

#if defined(__x86_64__)
#define NARROW(i386, arm) (i386)
#else
#define NARROW(i386, arm) ((arm) ? (arm) : (i386))
#endif

const struct nsv_numbering nsv_numbers[NSV_CALL_COUNT] = {
#define CALL(name, i386, i386_too, arm, ...) {SYS_##name, NARROW(i386, arm), i386_too, {__VA_ARGS__}},
        NSV_CALLS(CALL)
#undef CALL
};

int nsv_find_call(int narrow, uint32_t number)
{
        for (int i = 0; i < NSV_CALL_COUNT; i++) {
                const struct nsv_numbering *call = &nsv_numbers[i];
                if (narrow ? number == call->narrow || (call->narrow_too && number == call->narrow_too) : number == call->native)
                        return i;
        }
        return -1;
}
