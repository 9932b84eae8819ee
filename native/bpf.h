/* SPDX-License-Identifier: MIT */
/* Knows bpf(2) by the raw call: maps, programs, raw tracepoints, and the ring buffer as its reader sees it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An instruction that wants a map: its index in the code, and which map. */
struct bpf_reference {
        uint32_t instruction, map;
};

struct bpf_program {
        const char *name; /* also of the raw tracepoint, where it is for one */
        const uint64_t *code;
        size_t count; /* instructions */
        const struct bpf_reference *references;
        size_t reference_count;
};

/* Each of these returns an fd (close-on-exec) or 0, or -errno. `type` and `flags` as in bpf(2). */
int bpf_map_create(uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t entries, uint32_t flags);
int bpf_map_put(int map, const void *key, const void *value, uint64_t flags);
int bpf_map_get(int map, const void *key, void *ret_value);
int bpf_map_delete(int map, const void *key);
/* As many entries of a hash as fit, from where the call before ended: `from` NULL at first, then what that wrote to *ret_from. How many are
 * read is in *count, which says before how many fit; those of a place in the table are read together or not at all (-ENOSPC: give more
 * room). Entries that come and go meanwhile do not disturb it. -ENOENT at the end, with the last ones. */
int bpf_map_read_batch(int map, const uint32_t *from, uint32_t *ret_from, void *keys, void *values, uint32_t *count);
int bpf_map_freeze(int map);
/* `fds` and `is_value` are indexed by the references' maps: is_value where the program wants the map's value itself. `type`: as in
 * bpf(2). `iterator`: for an iterator, the id in the kernel's BTF of the function that stands for it, else 0. */
int bpf_program_load(const struct bpf_program *program, uint32_t type, uint32_t iterator, const int *fds, const bool *is_value);
int bpf_program_run(int program);
/* To be read from its beginning to its end: what the program writes of each object in turn. */
int bpf_iterator_open(int program);
int bpf_raw_tracepoint_open(int program, const char *name);
/* How often the kernel passed a program over because it ran on that CPU already. */
int bpf_program_misses(int program, uint64_t *ret_misses);

struct bpf_ring {
        int fd;
        uint64_t *consumer;
        const uint64_t *producer;
        const unsigned char *data; /* mapped twice in a row, so that no record is broken */
        size_t size;
};

int bpf_ring_map(struct bpf_ring *ring, int fd, size_t size);
void bpf_ring_unmap(struct bpf_ring *ring);
/* The next record, or NULL. Valid until bpf_ring_done(), to which the same size goes. */
const void *bpf_ring_next(const struct bpf_ring *ring, size_t *ret_size);
void bpf_ring_done(struct bpf_ring *ring, size_t size);
/* Where the next record will be written, counted from the first; and whether all before such a place is done. */
uint64_t bpf_ring_end(const struct bpf_ring *ring);
bool bpf_ring_has_passed(const struct bpf_ring *ring, uint64_t end);
