/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "detach.h"

/* Asked of a master, TIOCGSID answers for the slave (drivers/tty/tty_jobctrl.c, tiocgsid): a session may have the terminal while nobody
 * has it open, and would be hung up all the same. */
static bool has_session(int master)
{
        return tcgetsid(master) >= 0;
}

static bool is_open(int master)
{
        struct pollfd poll_master = {.fd = master};
        return poll(&poll_master, 1, 0) < 0 || !(poll_master.revents & POLLHUP);
}

static _Noreturn void keep(int master)
{
        static char bytes[65536];
        for (;;) {
                struct pollfd wait = {.fd = master, .events = POLLIN};
                poll(&wait, 1, -1);
                ssize_t n = read(master, bytes, sizeof(bytes));
                if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
                        continue;
                if (!has_session(master))
                        _exit(0);
                /* Nothing tells when somebody opens it again, or when the session ends. */
                nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
}

void keeper_start(int master)
{
        if (!is_open(master) && !has_session(master))
                return;
        if (fork() != 0)
                return;
        detach("nsview-keeper", &master, 1);
        keep(master);
}
