/* SPDX-License-Identifier: MIT */
#include "reread.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "capture.h"
#include "follow.h"

/* More events than this are not looked through for the sake of one. */
#define LOOK_AHEAD 4096
#define PAGE_LEAST 4096u

/* As much of it as is there. */
static size_t read_memory(pid_t tid, uint64_t address, char *to, size_t size)
{
        /* process_vm_readv(2) reads an element of the list whole or not at all: nothing that is read has more than two pages. */
        size_t first = PAGE_LEAST - (address & (PAGE_LEAST - 1));
        if (first > size)
                first = size;
        struct iovec local = {to, size};
        struct iovec remote[] = {{(void *)(uintptr_t)address, first}, {(void *)(uintptr_t)(address + first), size - first}};
        ssize_t n = process_vm_readv(tid, &local, 1, remote, first < size ? 2 : 1, 0);
        return n < 0 ? 0 : (size_t)n;
}

static size_t bytes_wanted(const struct nsv_pointer *pointer, const uint64_t arguments[6])
{
        uint64_t size = pointer->size;
        if (pointer->kind == NSV_POINTER_COUNTED) {
                uint64_t count = arguments[pointer->count];
                size = count > NSV_POINTER_MAX ? NSV_POINTER_MAX : size * count;
        }
        return size > NSV_POINTER_MAX ? NSV_POINTER_MAX : (size_t)size;
}

/* A structure may be shorter than what is read of it, and end where its memory does; not if the kernel missed something of it. */
static uint32_t read_pointer(pid_t tid, const struct nsv_pointer *pointer, const uint64_t arguments[6], bool whole, char *to)
{
        uint64_t address = arguments[pointer->argument];
        if (pointer->kind == NSV_POINTER_STRING) {
                size_t n = read_memory(tid, address, to, NSV_POINTER_MAX);
                const char *end = memchr(to, '\0', n);
                if (end)
                        return (uint32_t)(end - to + 1);
                if (n < NSV_POINTER_MAX)
                        return NSV_POINTER_FAULT;
                to[NSV_POINTER_MAX - 1] = '\0';
                return NSV_POINTER_MAX;
        }
        size_t wanted = bytes_wanted(pointer, arguments);
        size_t n = read_memory(tid, address, to, wanted);
        return n == 0 || (whole && n < wanted) ? NSV_POINTER_FAULT : (uint32_t)n;
}

/* Its memory is another one after an execve, whose event is in the ring by then. */
static bool runs_on(const struct follow *follow, const struct follow_event *event, uint64_t start)
{
        uint64_t at = *follow->ring.consumer;
        struct bpf_ring ahead = follow->ring;
        ahead.consumer = &at;
        size_t size;
        unsigned seen = 0;
        for (const struct follow_event *next; (next = bpf_ring_next(&ahead, &size)); bpf_ring_done(&ahead, size))
                if (++seen > LOOK_AHEAD || (next->kind == FOLLOW_EXEC && next->pid == event->pid))
                        return false;
        struct stat_line stat;
        return at >= __atomic_load_n(follow->ring.producer, __ATOMIC_ACQUIRE) && read_stat(event->pid, &stat) == 0 && stat.start == start;
}

size_t reread_pointers(const struct follow *follow, const struct follow_call *event, size_t size, const struct nsv_pointer pointers[NSV_POINTERS],
                       uint64_t start, uint32_t ret_sizes[NSV_POINTERS], char to[REREAD_SIZE])
{
        bool whole = (int64_t)event->event.value == -EFAULT;
        size_t from = 0, used = 0;
        for (unsigned i = 0; i < NSV_POINTERS; i++) {
                uint32_t had = event->call.sizes[i];
                ret_sizes[i] = had;
                if (had == NSV_POINTER_FAULT && event->abi == NSV_ABI_NATIVE && pointers[i].kind != NSV_POINTER_NONE)
                        ret_sizes[i] = read_pointer(event->event.tid, &pointers[i], event->call.arguments, whole, to + used);
                else if (had <= NSV_POINTER_MAX && from + had <= size) {
                        memcpy(to + used, event->bytes + from, had);
                        from += had;
                }
                if (ret_sizes[i] <= NSV_POINTER_MAX)
                        used += ret_sizes[i];
        }
        /* After the reading, not before. */
        if (runs_on(follow, &event->event, start))
                return used;
        memcpy(ret_sizes, event->call.sizes, sizeof(event->call.sizes));
        memcpy(to, event->bytes, size < REREAD_SIZE ? size : REREAD_SIZE);
        return size;
}
