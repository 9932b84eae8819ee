/* SPDX-License-Identifier: MIT */
#include "btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sys.h"

const char BTF_FUNCTION[] = "()";

struct btf {
        const char *strings;
        uint32_t string_size;
        const struct btf_type **types; /* by id; 0 is void */
        uint32_t count;
};

/* As the file it is made from, some megabytes. */
#define BTF_FILE_MAX ((size_t)256 << 20)

static int read_whole(const char *path, unsigned char **ret_bytes, size_t *ret_size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        struct stat file;
        if (fstat(fd, &file) < 0)
                return -errno;
        if (file.st_size <= 0 || (size_t)file.st_size > BTF_FILE_MAX)
                return -EBADMSG;
        size_t size = (size_t)file.st_size, used = 0;
        unsigned char *bytes = malloc(size);
        if (!bytes)
                return -ENOMEM;
        while (used < size) {
                ssize_t n = read(fd, bytes + used, size - used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        int error = n < 0 ? errno : EBADMSG;
                        free(bytes);
                        return -error;
                }
                used += (size_t)n;
        }
        *ret_bytes = bytes;
        *ret_size = size;
        return 0;
}

/* Bytes that follow a type's head. */
static size_t tail_size(const struct btf_type *type)
{
        uint32_t count = BTF_INFO_VLEN(type->info);
        switch (BTF_INFO_KIND(type->info)) {
        case BTF_KIND_INT:
        case BTF_KIND_VAR:
                return 4;
        case BTF_KIND_ARRAY:
                return sizeof(struct btf_array);
        case BTF_KIND_STRUCT:
        case BTF_KIND_UNION:
                return count * sizeof(struct btf_member);
        case BTF_KIND_ENUM:
                return count * sizeof(struct btf_enum);
        case BTF_KIND_FUNC_PROTO:
                return count * sizeof(struct btf_param);
        case BTF_KIND_DATASEC:
                return count * sizeof(struct btf_var_secinfo);
        case 17: /* BTF_KIND_DECL_TAG */
                return 4;
        case 19: /* BTF_KIND_ENUM64 */
                return count * (size_t)12;
        default:
                return 0;
        }
}

static const char *string_at(const struct btf *btf, uint32_t offset)
{
        return offset < btf->string_size ? btf->strings + offset : "";
}

static bool is_composite(const struct btf_type *type)
{
        uint32_t kind = BTF_INFO_KIND(type->info);
        return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION;
}

/* Offset in bits of `name` in `type`, or -1. */
static int64_t find_member(const struct btf *btf, const struct btf_type *type, const char *name, int depth)
{
        const struct btf_member *members = (const struct btf_member *)(type + 1);
        for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++) {
                const char *member = string_at(btf, members[i].name_off);
                int64_t offset = BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(members[i].offset) : members[i].offset;
                if (strcmp(member, name) == 0)
                        return offset;
                uint32_t id = members[i].type;
                /* const, volatile and the like around an anonymous union */
                while (id > 0 && id < btf->count &&
                       (BTF_INFO_KIND(btf->types[id]->info) == BTF_KIND_CONST || BTF_INFO_KIND(btf->types[id]->info) == BTF_KIND_VOLATILE))
                        id = btf->types[id]->type;
                if (*member || depth == 0 || id == 0 || id >= btf->count || !is_composite(btf->types[id]))
                        continue;
                int64_t inner = find_member(btf, btf->types[id], name, depth - 1);
                if (inner >= 0)
                        return offset + inner;
        }
        return -1;
}

static void answer(const struct btf *btf, uint32_t id, const struct btf_wanted *wanted)
{
        const struct btf_type *type = btf->types[id];
        bool function = BTF_INFO_KIND(type->info) == BTF_KIND_FUNC;
        if (function != (wanted->member == BTF_FUNCTION))
                return;
        if (function) {
                *wanted->to = id;
                return;
        }
        if (!wanted->member) {
                *wanted->to = type->size;
                return;
        }
        int64_t bits = find_member(btf, type, wanted->member, 8);
        if (bits >= 0 && bits % 8 == 0)
                *wanted->to = (uint32_t)(bits / 8);
}

int btf_find(const char *path, const struct btf_wanted *wanted, unsigned count)
{
        _cleanup_free_ unsigned char *bytes = NULL;
        size_t size = 0;
        int r = read_whole(path, &bytes, &size);
        if (r < 0)
                return r;
        struct btf_header header;
        if (size < sizeof(header))
                return -EBADMSG;
        memcpy(&header, bytes, sizeof(header));
        if (header.magic != BTF_MAGIC || header.hdr_len < sizeof(header) || header.type_off % 4 != 0 || header.hdr_len % 4 != 0 ||
            (uint64_t)header.hdr_len + header.type_off + header.type_len > size ||
            (uint64_t)header.hdr_len + header.str_off + header.str_len > size || header.str_len == 0 ||
            bytes[header.hdr_len + header.str_off + header.str_len - 1] != '\0')
                return -EBADMSG;

        const unsigned char *at = bytes + header.hdr_len + header.type_off, *end = at + header.type_len;
        /* No type is shorter than its head. */
        _cleanup_free_ const struct btf_type **types = malloc((header.type_len / sizeof(struct btf_type) + 1) * sizeof(*types));
        if (!types)
                return -ENOMEM;
        static const struct btf_type none;
        types[0] = &none;
        struct btf btf = {
                .strings = (const char *)bytes + header.hdr_len + header.str_off, .string_size = header.str_len, .types = types, .count = 1};
        while ((size_t)(end - at) >= sizeof(struct btf_type)) {
                const struct btf_type *type = (const struct btf_type *)(const void *)at;
                size_t whole = sizeof(*type) + tail_size(type);
                if (whole > (size_t)(end - at))
                        return -EBADMSG;
                types[btf.count++] = type;
                at += whole;
        }

        for (unsigned i = 0; i < count; i++)
                *wanted[i].to = BTF_ABSENT;
        for (uint32_t id = 1; id < btf.count; id++) {
                uint32_t kind = BTF_INFO_KIND(types[id]->info);
                if (kind != BTF_KIND_STRUCT && kind != BTF_KIND_FUNC)
                        continue;
                const char *name = string_at(&btf, types[id]->name_off);
                if (!*name)
                        continue;
                for (unsigned i = 0; i < count; i++)
                        if (wanted[i].structure[0] == name[0] && strcmp(wanted[i].structure, name) == 0 && *wanted[i].to == BTF_ABSENT)
                                answer(&btf, id, &wanted[i]);
        }
        return 0;
}
