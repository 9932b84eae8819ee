/* SPDX-License-Identifier: MIT */
#include "reread.h"

#include <stdbool.h>
#include <string.h>

#include "capture.h"
#include "follow.h"
#include "memory.h"

/* More events than this are not looked through for the sake of one. */
#define LOOK_AHEAD 4096

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
        size_t from = 0, used = 0;
        for (unsigned i = 0; i < NSV_POINTERS; i++) {
                uint32_t had = event->call.sizes[i];
                ret_sizes[i] = had;
                if (had == NSV_POINTER_FAULT)
                        ret_sizes[i] = memory_read_pointer(event->event.tid, &pointers[i], event->call.arguments, to + used);
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
