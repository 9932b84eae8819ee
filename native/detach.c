/* SPDX-License-Identifier: MIT */
#include "detach.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sys.h"

static int compare(const void *one, const void *other)
{
        int a = *(const int *)one, b = *(const int *)other;
        return (a > b) - (a < b);
}

static void close_between(int first, int last)
{
        if (first > last || sys_close_range((unsigned)first, (unsigned)last) >= 0)
                return;
        long most = sysconf(_SC_OPEN_MAX);
        for (int fd = first; fd <= last && fd < most; fd++)
                close(fd);
}

void detach(const char *name, int *keep, size_t count)
{
        setsid();
        /* No file system is busy for it. */
        int r = chdir("/");
        (void)r;
        prctl(PR_SET_NAME, name);
        qsort(keep, count, sizeof(*keep), compare);
        int next = 0;
        for (size_t i = 0; i < count; i++) {
                close_between(next, keep[i] - 1);
                next = keep[i] + 1;
        }
        close_between(next, INT_MAX);
}
