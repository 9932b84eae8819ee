/* SPDX-License-Identifier: MIT */
/* Knows how to start nsview-claims and hear what it tells. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "nsview.h"
#include "sys.h"

NSV_API int nsv_claims_start(const char *path, const char *flag, int how, int32_t *ret)
{
        int ends[2], more[2];
        if (access(path, X_OK) < 0)
                return -errno;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int ours = ends[0], theirs = ends[1];
        if (pipe2(more, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int their_end = more[0], life = more[1];
        static char name[] = "nsview-claims", json[] = "--json", only_list[] = "--list", hold[] = "--hold";
        char *argv[5] = {name, how == NSV_CLAIMS_HOLD ? hold : json};
        int argc = 2;
        if (how == NSV_CLAIMS_LIST)
                argv[argc++] = only_list;
        if (flag[0])
                argv[argc++] = (char *)(uintptr_t)flag;

        /* No handler of Node's may run in the child. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid_t pid = fork();
        if (pid == 0) {
                struct sigaction by_default = {.sa_handler = SIG_DFL};
                for (int signal = 1; signal < NSIG; signal++)
                        sigaction(signal, &by_default, NULL);
                prctl(PR_SET_PDEATHSIG, SIGTERM);
                sigset_t none;
                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                if (dup2(theirs, STDOUT_FILENO) >= 0 && (how != NSV_CLAIMS_HOLD || dup2(their_end, STDIN_FILENO) >= 0))
                        execv(path, argv);
                _exit(126);
        }
        int error = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return -error;
        ret[0] = pid;
        ret[1] = TAKE_FD(ours);
        if (how == NSV_CLAIMS_HOLD)
                ret[2] = TAKE_FD(life);
        return 0;
}

NSV_API int nsv_claims_end(int pid, int fd)
{
        int status;
        close(fd);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status;
}
