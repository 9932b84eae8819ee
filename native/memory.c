/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "nsview.h"

/* Bytes read, or -errno. What lies before a bad page is read all the same: a transfer is cut between two parts, never within one
 * (process_vm_readv(2)). */
static ssize_t read_memory(pid_t tid, uint64_t address, void *to, size_t size)
{
        _Static_assert(NSV_POINTER_MAX <= 4096, "no more than two pages, of whatever size");
        size_t first = 4096 - address % 4096;
        if (first > size)
                first = size;
        struct iovec local = {to, size};
        struct iovec remote[] = {{(void *)(uintptr_t)address, first}, {(void *)(uintptr_t)(address + first), size - first}};
        ssize_t n = process_vm_readv(tid, &local, 1, remote, size > first ? 2 : 1, 0);
        return n < 0 ? -errno : n;
}

/* Without CAP_SYS_PTRACE there is memory that may not be read; the memory of a task that has ended leads nowhere (ESRCH). */
static uint32_t failure(ssize_t error)
{
        return error == -EFAULT || error == -ESRCH ? NSV_POINTER_FAULT : NSV_POINTER_REFUSED;
}

static uint32_t read_string(pid_t tid, uint64_t address, char to[static NSV_POINTER_MAX])
{
        ssize_t n = read_memory(tid, address, to, NSV_POINTER_MAX);
        if (n < 0)
                return failure(n);
        const char *end = memchr(to, '\0', (size_t)n);
        if (end)
                return (uint32_t)(end - to) + 1;
        if (n < (ssize_t)NSV_POINTER_MAX)
                return NSV_POINTER_FAULT;
        to[NSV_POINTER_MAX - 1] = '\0';
        return NSV_POINTER_MAX;
}

static size_t bytes_wanted(const struct nsv_pointer *pointer, const uint64_t arguments[6])
{
        uint64_t size = pointer->size;
        if (pointer->kind == NSV_POINTER_COUNTED)
                size = arguments[pointer->count] > NSV_POINTER_MAX ? NSV_POINTER_MAX : size * arguments[pointer->count];
        return size > NSV_POINTER_MAX ? NSV_POINTER_MAX : size;
}

uint32_t memory_read_pointer(pid_t tid, const struct nsv_pointer *pointer, const uint64_t arguments[6], char to[static NSV_POINTER_MAX])
{
        uint64_t address = arguments[pointer->argument];
        if (!address)
                return NSV_POINTER_NULL;
        if (pointer->kind == NSV_POINTER_STRING)
                return read_string(tid, address, to);
        size_t size = bytes_wanted(pointer, arguments);
        if (size == 0)
                return 0;
        ssize_t n = read_memory(tid, address, to, size);
        if (n > 0)
                return (uint32_t)n;
        return n < 0 ? failure(n) : NSV_POINTER_FAULT;
}
