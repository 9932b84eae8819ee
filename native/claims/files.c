/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_FILES shares: the table of open files. */
#include "claims.h"

#include <sys/socket.h>

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static void opened_in_child(void)
{
        IN_CHILD(CLONE_FILES)
                shared->number[0] = (int)MUST(open("/proc/self/status", O_RDONLY));
        HOLDS(is_open(shared->number[0]), "fd %d is not open in the parent", shared->number[0]);
}

static void closed_in_child(void)
{
        int fd = (int)MUST(open("/dev/null", O_RDONLY));
        IN_CHILD(CLONE_FILES)
                MUST(close(fd));
        HOLDS(!is_open(fd), "fd %d is still open in the parent", fd);
}

static void flags_in_child(void)
{
        int fd = (int)MUST(open("/dev/null", O_RDONLY));
        IN_CHILD(CLONE_FILES)
                MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
        HOLDS(fcntl(fd, F_GETFD) == FD_CLOEXEC, "close-on-exec is not set in the parent");
}

static void received_in_child(void)
{
        int pair[2], pipes[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        MUST(pipe(pipes));
        send_fd(pair[0], pipes[1]);
        IN_CHILD(CLONE_FILES)
                shared->number[0] = receive_fd(pair[1]);
        MUST(write(shared->number[0], "q", 1));
        char c = 0;
        MUST(read(pipes[0], &c, 1));
        HOLDS(c == 'q', "the byte is %d", c);
}

static void is_copied(void)
{
        int fd = (int)MUST(open("/proc/self/comm", O_RDONLY));
        IN_CHILD(0)
                HOLDS(is_open(fd), "fd %d is not open in the child", fd);
}

static void copy_is_apart(void)
{
        int fd = (int)MUST(open("/dev/null", O_RDONLY));
        IN_CHILD(0)
        {
                MUST(close(fd));
                shared->number[0] = (int)MUST(fcntl(0, F_DUPFD, 200));
        }
        HOLDS(is_open(fd), "closing in the child closed the parent's fd");
        HOLDS(!is_open(shared->number[0]), "what the child opened is open in the parent");
}

static void offset_is_shared_all_the_same(void)
{
        int fd = (int)MUST(open("/proc/self/status", O_RDONLY));
        IN_CHILD(0)
                MUST(lseek(fd, 7, SEEK_SET));
        off_t offset = lseek(fd, 0, SEEK_CUR);
        HOLDS(offset == 7, "the offset is %lld", (long long)offset);
}

static void unshare_ends_it(void)
{
        int fd = (int)MUST(open("/dev/null", O_RDONLY));
        IN_CHILD(CLONE_FILES)
        {
                MUST(unshare_with(CLONE_FILES));
                HOLDS(is_open(fd), "the table is empty after unshare");
                MUST(close(fd));
        }
        HOLDS(is_open(fd), "closing after unshare closed the parent's fd");
}

static void exec_ends_it(void)
{
        int fd = (int)MUST(fcntl(0, F_DUPFD_CLOEXEC, 100));
        pid_t child = fork_with(CLONE_FILES);
        if (child == 0) {
                execl("/proc/self/exe", "nsview-claims", "--list", "--json", "CLONE_FILES", NULL);
                _exit(3);
        }
        /* Its own exec closes what is close-on-exec, in the child's copy only. Its output goes where this one's does: away. */
        int status;
        MUST(waitpid(child, &status, 0));
        HOLDS(status == 0, "execve: status %d", status);
        HOLDS(is_open(fd), "the child's execve closed the parent's fd");
}

static void exec_ends_it_quietly(void)
{
        int null = (int)MUST(open("/dev/null", O_WRONLY));
        MUST(dup2(null, 1));
        exec_ends_it();
}

static void kcmp_sees_it(void)
{
        pid_t child = fork_with(CLONE_FILES);
        if (child == 0) {
                /* KCMP_FILES, include/uapi/linux/kcmp.h. */
                HOLDS(compare(getppid(), getpid(), 2) == 0, "kcmp sees two tables");
                _exit(0);
        }
        ends_well(child);
        IN_CHILD(0)
                HOLDS(compare(getppid(), getpid(), 2) != 0, "without the flag, kcmp sees one table");
}

const struct claim files_claims[] = {
        CLAIM("CLONE_FILES", opened_in_child, "clone(2)", "CLONE_FILES", "kernel/fork.c", "copy_files", "with it, what the child opens is open in the parent"),
        CLAIM("CLONE_FILES", closed_in_child, "clone(2)", "CLONE_FILES", "kernel/fork.c", "copy_files", "with it, what the child closes is closed in the parent"),
        CLAIM("CLONE_FILES", flags_in_child, "clone(2)", "CLONE_FILES", "fs/fcntl.c", "do_fcntl", "with it, close-on-exec that the child sets is set in the parent"),
        CLAIM("CLONE_FILES", received_in_child, "unix(7)", "SCM_RIGHTS", "net/core/scm.c", "scm_detach_fds",
              "with it, an fd that the child receives over a socket works in the parent"),
        CLAIM("CLONE_FILES", is_copied, "clone(2)", "CLONE_FILES", "fs/file.c", "dup_fd", "without it, the child's table is a copy, not empty"),
        CLAIM("CLONE_FILES", copy_is_apart, "clone(2)", "CLONE_FILES", "fs/file.c", "dup_fd", "without it, opening and closing in the child leave the parent's table as it is"),
        CLAIM("CLONE_FILES", offset_is_shared_all_the_same, "clone(2)", "CLONE_FILES", "fs/file.c", "dup_fd",
              "without it, copied fds still share one open file: its offset moves for both"),
        CLAIM("CLONE_FILES", unshare_ends_it, "unshare(2)", "CLONE_FILES", "kernel/fork.c", "unshare_fd", "unshare(CLONE_FILES) ends the sharing with a copy of the table"),
        CLAIM("CLONE_FILES", exec_ends_it_quietly, "execve(2)", "Effect on process attributes", "fs/exec.c", "begin_new_exec",
              "execve ends the sharing before it closes what is close-on-exec"),
        CLAIM("CLONE_FILES", kcmp_sees_it, "kcmp(2)", "KCMP_FILES", "kernel/kcmp.c", "kcmp", "kcmp sees one table with it, and two without"),
};
COUNT_CLAIMS(files);
