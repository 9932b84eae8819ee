/* SPDX-License-Identifier: MIT */
#include "bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

#include "sys.h"

/* Larger than any attribute that this file sets, and zero behind it: an older kernel accepts that, a newer one, too. */
static int sys_bpf(int command, union bpf_attr *attr)
{
        long r = syscall(SYS_bpf, command, attr, sizeof(*attr));
        return r < 0 ? -errno : (int)r;
}

static uint64_t address(const void *pointer)
{
        return (uint64_t)(uintptr_t)pointer;
}

int bpf_map_create(uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t entries, uint32_t flags)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.map_type = type;
        attr.key_size = key_size;
        attr.value_size = value_size;
        attr.max_entries = entries;
        attr.map_flags = flags;
        return sys_bpf(BPF_MAP_CREATE, &attr);
}

int bpf_map_put(int map, const void *key, const void *value, uint64_t flags)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map;
        attr.key = address(key);
        attr.value = address(value);
        attr.flags = flags;
        return sys_bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

int bpf_map_get(int map, const void *key, void *ret_value)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map;
        attr.key = address(key);
        attr.value = address(ret_value);
        return sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

int bpf_map_delete(int map, const void *key)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map;
        attr.key = address(key);
        return sys_bpf(BPF_MAP_DELETE_ELEM, &attr);
}

int bpf_map_read_batch(int map, const uint32_t *from, uint32_t *ret_from, void *keys, void *values, uint32_t *count)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.batch.in_batch = address(from);
        attr.batch.out_batch = address(ret_from);
        attr.batch.keys = address(keys);
        attr.batch.values = address(values);
        attr.batch.count = *count;
        attr.batch.map_fd = (uint32_t)map;
        int r = sys_bpf(BPF_MAP_LOOKUP_BATCH, &attr);
        *count = attr.batch.count;
        return r;
}

int bpf_map_freeze(int map)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.map_fd = (uint32_t)map;
        return sys_bpf(BPF_MAP_FREEZE, &attr);
}

int bpf_program_load(const struct bpf_program *program, uint32_t type, uint32_t iterator, const int *fds, const bool *is_value)
{
        _cleanup_free_ struct bpf_insn *code = malloc(program->count * sizeof(*code));
        if (!code)
                return -ENOMEM;
        memcpy(code, program->code, program->count * sizeof(*code));
        for (size_t i = 0; i < program->reference_count; i++) {
                const struct bpf_reference *reference = &program->references[i];
                struct bpf_insn *wide = &code[reference->instruction]; /* a load of 64 bits: two instructions */
                wide[1].imm = is_value[reference->map] ? wide[0].imm : 0;
                wide[0].imm = fds[reference->map];
                wide[0].src_reg = is_value[reference->map] ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
        }
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.prog_type = type;
        if (iterator) {
                attr.expected_attach_type = BPF_TRACE_ITER;
                attr.attach_btf_id = iterator;
        }
        attr.insns = address(code);
        attr.insn_cnt = (uint32_t)program->count;
        attr.license = address("Dual MIT/GPL"); /* the helpers used are for programs with a GPL-compatible licence */
        strncpy(attr.prog_name, "nsview", sizeof(attr.prog_name));
        int r;
        do
                r = sys_bpf(BPF_PROG_LOAD, &attr);
        while (r == -EAGAIN); /* a signal came while the verifier worked */
        return r;
}

int bpf_program_run(int program)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.test.prog_fd = (uint32_t)program;
        return sys_bpf(BPF_PROG_TEST_RUN, &attr);
}

int bpf_iterator_open(int program)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.link_create.prog_fd = (uint32_t)program;
        attr.link_create.attach_type = BPF_TRACE_ITER;
        _cleanup_close_ int link = sys_bpf(BPF_LINK_CREATE, &attr);
        if (link < 0)
                return link;
        memset(&attr, 0, sizeof(attr));
        attr.iter_create.link_fd = (uint32_t)link;
        return sys_bpf(BPF_ITER_CREATE, &attr);
}

int bpf_raw_tracepoint_open(int program, const char *name)
{
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.raw_tracepoint.name = address(name);
        attr.raw_tracepoint.prog_fd = (uint32_t)program;
        return sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

int bpf_program_misses(int program, uint64_t *ret_misses)
{
        struct bpf_prog_info info;
        memset(&info, 0, sizeof(info));
        union bpf_attr attr;
        memset(&attr, 0, sizeof(attr));
        attr.info.bpf_fd = (uint32_t)program;
        attr.info.info_len = sizeof(info);
        attr.info.info = address(&info);
        int r = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
        if (r < 0)
                return r;
        *ret_misses = info.recursion_misses;
        return 0;
}

/* kernel/bpf/ringbuf.c: a page for the reader's position, one for the writers', then the data, twice. */
int bpf_ring_map(struct bpf_ring *ring, int fd, size_t size)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        void *consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (consumer == MAP_FAILED)
                return -errno;
        unsigned char *producer = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, fd, (off_t)page);
        if (producer == MAP_FAILED) {
                int error = errno;
                munmap(consumer, page);
                return -error;
        }
        *ring = (struct bpf_ring){.fd = fd, .consumer = consumer, .producer = (const uint64_t *)(const void *)producer, .data = producer + page, .size = size};
        return 0;
}

void bpf_ring_unmap(struct bpf_ring *ring)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        if (!ring->consumer)
                return;
        munmap(ring->consumer, page);
        munmap((void *)(uintptr_t)ring->producer, page + 2 * ring->size);
        ring->consumer = NULL;
}

const void *bpf_ring_next(const struct bpf_ring *ring, size_t *ret_size)
{
        for (;;) {
                uint64_t at = *ring->consumer;
                if (at >= __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE))
                        return NULL;
                const unsigned char *header = ring->data + (at & (ring->size - 1));
                uint32_t length = __atomic_load_n((const uint32_t *)(const void *)header, __ATOMIC_ACQUIRE);
                if (length & BPF_RINGBUF_BUSY_BIT)
                        return NULL;
                size_t size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
                if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
                        *ret_size = size;
                        return header + BPF_RINGBUF_HDR_SZ;
                }
                __atomic_store_n(ring->consumer, at + ((size + BPF_RINGBUF_HDR_SZ + 7) & ~(size_t)7), __ATOMIC_RELEASE);
        }
}

void bpf_ring_done(struct bpf_ring *ring, size_t size)
{
        __atomic_store_n(ring->consumer, *ring->consumer + ((size + BPF_RINGBUF_HDR_SZ + 7) & ~(size_t)7), __ATOMIC_RELEASE);
}

uint64_t bpf_ring_end(const struct bpf_ring *ring)
{
        return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

bool bpf_ring_has_passed(const struct bpf_ring *ring, uint64_t end)
{
        return *ring->consumer >= end;
}
