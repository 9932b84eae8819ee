/* SPDX-License-Identifier: MIT */
/* Knows how to read a file as a process of another cgroup or uts namespace sees it: the kernel tells every path of a cgroup relative to the
 * namespace of whoever reads (cgroup_namespaces(7)), and the host name likewise (proc_sys_kernel(5)), so a thread that lives for the one
 * reading enters it; setns(2) moves one thread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib_folder.h"
#include "lib_owner.h"
#include "nsview.h"
#include "sys.h"

struct reading {
        const char *namespace;
        int type;
        const char *file;
        uint8_t *buffer;
        uint32_t size;
        int stage;
        int answer;
};

static int read_whole(const char *path, uint8_t *buffer, uint32_t size)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        struct stat stat;
        if (fstat(fd, &stat) < 0)
                return -errno;
        if (S_ISDIR(stat.st_mode))
                return read_folder(fd, buffer, size);
        uint32_t used = 0;
        while (used < size) {
                ssize_t n = read(fd, buffer + used, size - used);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (uint32_t)n;
        }
        return (int)used;
}

struct visit {
        struct as_owner in;
        struct reading *reading;
};

static int go_in_and_read(void *argument)
{
        const struct visit *visit = argument;
        struct reading *reading = visit->reading;
        int r = as_owner_enter(&visit->in);
        if (r < 0) {
                /* Of the others it is told that they refuse one who is not their owner. */
                if (reading->type == CLONE_NEWUSER)
                        reading->answer = r;
                return 0;
        }
        reading->stage = NSV_CGROUP_READ;
        reading->answer = read_whole(reading->file, reading->buffer, reading->size);
        return 0;
}

static void *enter_and_read(void *argument)
{
        struct reading *reading = argument;
        if (reading->namespace == NULL) {
                reading->stage = NSV_CGROUP_READ;
                reading->answer = read_whole(reading->file, reading->buffer, reading->size);
                return NULL;
        }
        reading->stage = NSV_CGROUP_OPEN;
        _cleanup_close_ int namespace = open(reading->namespace, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (namespace < 0) {
                reading->answer = -errno;
                return NULL;
        }
        reading->stage = NSV_CGROUP_SETNS;
        if (reading->type == CLONE_NEWUSER) {
                struct visit visit = {.reading = reading};
                int r = as_member_run(&visit.in, namespace, go_in_and_read);
                if (r < 0)
                        reading->answer = r;
                return NULL;
        }
        if (setns(namespace, reading->type) < 0) {
                reading->answer = -errno;
                struct visit visit = {.reading = reading};
                if (errno == EPERM)
                        as_owner_run(&visit.in, namespace, reading->type, go_in_and_read);
                return NULL;
        }
        reading->stage = NSV_CGROUP_READ;
        reading->answer = read_whole(reading->file, reading->buffer, reading->size);
        return NULL;
}

NSV_API int nsv_read_in_namespace(const char *namespace, int type, const char *file, void *buffer, uint32_t size, int32_t *ret_stage)
{
        if (size > INT32_MAX)
                return -EINVAL;
        struct reading reading = {.namespace = namespace, .type = type, .file = file, .buffer = buffer, .size = size};
        /* No handler of the program may run on it. */
        sigset_t all, before;
        sigfillset(&all);
        int r = -pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r < 0)
                return r;
        pthread_t thread;
        r = -pthread_create(&thread, NULL, enter_and_read, &reading);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        r = -pthread_join(thread, NULL);
        *ret_stage = reading.stage;
        return r < 0 ? r : reading.answer;
}
