/* SPDX-License-Identifier: MIT */
/* Knows the kernel's own description of its structures, BTF (Documentation/bpf/btf.rst), as far as: where is a member, and which type is a function? */
#pragma once

#include <stdint.h>

#define BTF_ABSENT UINT32_MAX

/* As a member: not a structure but a function is wanted, its type's id. */
extern const char BTF_FUNCTION[];

struct btf_wanted {
        const char *structure, *member; /* member NULL: the size of the structure */
        uint32_t *to;                   /* bytes, or an id; BTF_ABSENT where there is none */
};

/* Look up all of them in the BTF file at `path`. 0, or -errno: -ENOENT for a kernel built without CONFIG_DEBUG_INFO_BTF,
 * -EBADMSG where the file makes no sense. Members of anonymous structures and unions inside are found as C finds them. */
int btf_find(const char *path, const struct btf_wanted *wanted, unsigned count);
