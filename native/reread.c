/* SPDX-License-Identifier: MIT */
#include "reread.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "follow.h"
#include "memory.h"
#include "sys.h"

/* Its memory is another one after an execve, whose event is in the ring by then. */
static bool runs_on(const struct follow *follow, const struct follow_event *event, uint64_t start)
{
        struct stat_line stat;
        return !follow_has_later(follow, event, event->pid, FOLLOW_EXEC) && read_stat(event->pid, &stat) == 0 && stat.start == start;
}

/* In a private mapping of a file that may not be written to, as a program's constants are: there lies what lay there. Anywhere else the program
 * may have put it there since, proc_pid_maps(5). */
static bool is_constant(pid_t tid, uint64_t address, uint32_t size)
{
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d/maps", tid);
        FILE *maps = fopen(path, "re");
        if (!maps)
                return false;
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        uint64_t first, end, inode;
        char mode[5];
        bool constant = false;
        while (getline(&line, &room, maps) > 0 &&
               sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &first, &end, mode, &inode) == 4 && first <= address)
                if (address < end) {
                        constant = size <= end - address && mode[1] == '-' && mode[3] == 'p' && inode != 0;
                        break;
                }
        fclose(maps);
        return constant;
}

/* Its size, or why there is none. */
static uint32_t reread_pointer(const struct follow_call *event, const struct nsv_pointer *pointer, char to[static NSV_POINTER_MAX])
{
        uint32_t size = memory_read_pointer(event->event.tid, pointer, event->call.arguments, to);
        if (size <= NSV_POINTER_MAX && !is_constant(event->event.tid, event->call.arguments[pointer->argument], size))
                return NSV_POINTER_FAULT;
        return size;
}

size_t reread_pointers(const struct follow *follow, const struct follow_call *event, size_t size, const struct nsv_pointer pointers[NSV_POINTERS],
                       uint64_t start, uint32_t ret_sizes[NSV_POINTERS], char to[REREAD_SIZE])
{
        size_t from = 0, used = 0;
        for (unsigned i = 0; i < NSV_POINTERS; i++) {
                uint32_t had = event->call.sizes[i];
                ret_sizes[i] = had;
                if (had == NSV_POINTER_FAULT)
                        ret_sizes[i] = reread_pointer(event, &pointers[i], to + used);
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
