/* SPDX-License-Identifier: MIT */
/* Knows the kernel's own description of its structures, BTF (Documentation/bpf/btf.rst), as far as: where is a member? */
#pragma once

#include <stdint.h>

#define BTF_ABSENT UINT32_MAX

struct btf_wanted {
        const char *structure, *member; /* member NULL: the size of the structure */
        uint32_t *to;                   /* bytes; BTF_ABSENT where there is no such structure or member */
};

/* Look up all of them in the BTF file at `path`. 0, or -errno: -ENOENT for a kernel built without CONFIG_DEBUG_INFO_BTF,
 * -EBADMSG where the file makes no sense. Members of anonymous structures and unions inside are found as C finds them. */
int btf_find(const char *path, const struct btf_wanted *wanted, unsigned count);
