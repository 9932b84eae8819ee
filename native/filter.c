/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls.h"

#if defined(__x86_64__)
#define ARCH_NATIVE AUDIT_ARCH_X86_64
#define ARCH_NARROW AUDIT_ARCH_I386
#else
#define ARCH_NATIVE AUDIT_ARCH_AARCH64
#define ARCH_NARROW AUDIT_ARCH_ARM
#endif
#define X32_BIT 0x40000000u /* arch/x86/include/uapi/asm/unistd.h */

/* Of clone's register. CLONE_NEWTIME lies among the bits of its exit signal, and is clone3's alone (clone(2)). */
#define CLONE_NEW_ANY_OLD                                                                                              \
        (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP)

#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define TRACE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

struct filter {
        struct sock_filter *code;
        unsigned short count;
};

static void put(struct filter *filter, struct sock_filter instruction)
{
        if (filter->count < FILTER_MAX)
                filter->code[filter->count++] = instruction;
}
#define PUT(...) put(filter, (struct sock_filter)__VA_ARGS__)

/* Both architectures keep the low half of an argument first. */
static void put_clone(struct filter *filter)
{
        PUT(LOAD(args[0]));
        PUT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEW_ANY_OLD, 0, 1));
        PUT(TRACE);
        PUT(ALLOW);
}

static void put_prctl(struct filter *filter)
{
        PUT(LOAD(args[0]));
        for (uint32_t option = 0; option < 256; option++)
                /* Of two options the second argument decides: 0 asks by the one, 1 by the other. Who stops is asked again. */
                if (nsv_call_counts(NSV_CALL_prctl, option, 0, 0) || nsv_call_counts(NSV_CALL_prctl, option, 1, 0)) {
                        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, option, 0, 1));
                        PUT(TRACE);
                }
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x59616d61 /* PR_SET_PTRACER */, 0, 1));
        PUT(TRACE);
        PUT(ALLOW);
}

/* The number is loaded; what follows comes into play where it is another. */
static void put_call(struct filter *filter, uint32_t name, uint32_t number, bool narrow)
{
        unsigned short at = filter->count;
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 0));
        if (name == NSV_CALL_clone)
                put_clone(filter);
        else if (name == NSV_CALL_prctl && !narrow)
                put_prctl(filter);
        else
                PUT(TRACE);
        filter->code[at].jf = (unsigned char)(filter->count - at - 1);
}

static void put_architecture(struct filter *filter, uint32_t architecture, bool narrow)
{
        unsigned short at = filter->count;
        PUT(LOAD(arch));
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
        PUT(BPF_STMT(BPF_JMP | BPF_JA, 0));
        PUT(LOAD(nr));
        if (architecture == AUDIT_ARCH_X86_64)
                PUT(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~X32_BIT));
        for (uint32_t name = 0; name < NSV_CALL_COUNT; name++) {
                const struct nsv_numbering *numbers = &nsv_numbers[name];
                put_call(filter, name, narrow ? numbers->narrow : numbers->native, narrow);
                if (narrow && numbers->narrow_too)
                        put_call(filter, name, numbers->narrow_too, narrow);
        }
        PUT(ALLOW);
        filter->code[at + 2].k = filter->count - (at + 3u);
}

unsigned short filter_build(struct sock_filter ret_filter[static FILTER_MAX])
{
        struct filter of = {ret_filter, 0}, *filter = &of;
        put_architecture(filter, ARCH_NATIVE, false);
        put_architecture(filter, ARCH_NARROW, true);
        PUT(ALLOW);
        return filter->count;
}
