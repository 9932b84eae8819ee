/* SPDX-License-Identifier: MIT */
#include "lib_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

/* net/ipv4/conf/eth0 is three below net. */
enum { MOST_DEEP = 4, MOST_WAY = 512, MOST_TEXT = 4095 };

struct folder {
        int top;
        char way[MOST_WAY];
        uint8_t *buffer;
        uint32_t size, used;
};

static int put_file(struct folder *folder)
{
        _cleanup_close_ int fd = openat(folder->top, folder->way, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0)
                return 0;
        uint32_t way = (uint32_t)strlen(folder->way) + 1;
        if (folder->size - folder->used < way + MOST_TEXT + 1)
                return -E2BIG;
        uint8_t *text = folder->buffer + folder->used + way;
        /* A sysctl is told at once. Some are only written to, or are not set yet. */
        ssize_t n = read(fd, text, MOST_TEXT);
        if (n < 0)
                return 0;
        memcpy(folder->buffer + folder->used, folder->way, way);
        text[n] = '\0';
        folder->used += way + (uint32_t)n + 1;
        return 0;
}

/* What is at `way`, of which `length` bytes are said. */
static int put_below(struct folder *folder, size_t length, int depth)
{
        _cleanup_close_ int fd =
                openat(folder->top, length == 0 ? "." : folder->way, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return 0;
        /* readdir(3) would allocate memory, which others may be about to do. */
        _Alignas(struct dirent64) char entries[4096];
        long n;
        while ((n = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0)
                for (long at = 0; at < n;) {
                        const struct dirent64 *entry = (const void *)(entries + at);
                        at += entry->d_reclen;
                        size_t name = strlen(entry->d_name);
                        if (entry->d_name[0] == '.' || length + name + 2 > sizeof(folder->way))
                                continue;
                        memcpy(folder->way + length, entry->d_name, name + 1);
                        int r = 0;
                        if (entry->d_type == DT_REG)
                                r = put_file(folder);
                        else if (entry->d_type == DT_DIR && depth < MOST_DEEP) {
                                memcpy(folder->way + length + name, "/", 2);
                                r = put_below(folder, length + name + 1, depth + 1);
                        }
                        if (r < 0)
                                return r;
                }
        return 0;
}

int read_folder(int fd, uint8_t *buffer, uint32_t size)
{
        struct folder folder = {.top = fd, .buffer = buffer, .size = size};
        int r = put_below(&folder, 0, 0);
        return r < 0 ? r : (int)folder.used;
}
