/* SPDX-License-Identifier: MIT */
#include "syscall_events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sys.h"

/* The folder of events. tracefs is often mounted nowhere: then a mount of its own, attached nowhere and gone with its last fd. */
static int open_events(void)
{
        static const char *const places[] = {"/sys/kernel/tracing/events/syscalls", "/sys/kernel/debug/tracing/events/syscalls"};
        for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
                int fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        return fd;
        }
        _cleanup_close_ int context = sys_fsopen("tracefs", FSOPEN_CLOEXEC);
        if (context < 0)
                return context;
        int r = sys_fsconfig(context, FSCONFIG_CMD_CREATE);
        if (r < 0)
                return r;
        _cleanup_close_ int mount = sys_fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        if (mount < 0)
                return mount;
        int fd = openat(mount, "events/syscalls", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The number of an event, or -errno. */
static long read_id(int events, const char *name)
{
        char path[64], text[32];
        snprintf(path, sizeof(path), "sys_exit_%s/id", name);
        _cleanup_close_ int fd = openat(events, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        long id = strtol(text, NULL, 10);
        return id > 0 ? id : -EBADMSG;
}

/* One event of the helper's own task, never enabled, so that nothing is counted: it makes the kernel run the programs of that tracepoint
 * for everybody (kernel/trace/trace_syscalls.c, perf_syscall_exit). */
static int open_event(uint64_t id, int program)
{
        struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id, .disabled = 1};
        _cleanup_close_ int fd = sys_perf_event_open(&attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (fd < 0)
                return fd;
        if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int syscall_events_open(const char *const *names, unsigned count, int program, int *ret_fds)
{
        for (unsigned i = 0; i < count; i++)
                ret_fds[i] = -EBADF;
        _cleanup_close_ int events = open_events();
        if (events < 0)
                return events;
        int opened = 0, error = 0;
        for (unsigned i = 0; i < count && error == 0; i++) {
                long id = read_id(events, names[i]);
                if (id == -ENOENT)
                        continue;
                int fd = id < 0 ? (int)id : open_event((uint64_t)id, program);
                if (fd < 0)
                        error = fd;
                else {
                        ret_fds[i] = fd;
                        opened++;
                }
        }
        if (error == 0 && opened > 0)
                return opened;
        for (unsigned i = 0; i < count; i++)
                if (ret_fds[i] >= 0) {
                        close(ret_fds[i]);
                        ret_fds[i] = -EBADF;
                }
        return error ? error : -ENOENT;
}
