/* SPDX-License-Identifier: MIT */
/* Knows what runs between clone3 and execve in a launched program: async-signal-safe calls only, all of it prepared before. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct child_plan {
        int go_fd;    /* wait here for one byte: the helper follows the child, and has written its maps */
        int error_fd; /* close-on-exec; {stage, errno} goes here on failure */
        int terminal; /* becomes the controlling terminal and fds 0, 1, 2; -1 keeps the caller's */
        char *const *argv;
        char *const *envp;
        char *const *candidates; /* paths to try, in order; NULL at the end */
        char **shell_argv;       /* {"/bin/sh", script, argv[1], …}: for a script without #!, as execvp(3) does */
        const struct sock_fprog *filter; /* NULL: none */
        uint64_t soft_nofile;
        uint64_t ignored_signals;
        uint64_t blocked_signals;
        uint32_t options; /* enum nsv_launch_option */
        const char *hostname;
        size_t hostname_size; /* 0: leave it */
};

struct child_failure {
        uint32_t stage;
        int32_t error;
};

_Noreturn void child_run(const struct child_plan *plan);
