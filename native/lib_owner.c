/* SPDX-License-Identifier: MIT */
#include "lib_owner.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

static int run(struct as_owner *in, int (*act)(void *))
{
        enum { STACK = 65536 };
        _cleanup_free_ uint8_t *stack = malloc(STACK);
        if (stack == NULL)
                return -ENOMEM;
        pid_t child = clone(act, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES, in);
        if (child < 0)
                return -errno;
        while (waitpid(child, NULL, __WCLONE) < 0 && errno == EINTR)
                ;
        return 0;
}

void as_owner_run(struct as_owner *in, int namespace, int type, int (*act)(void *))
{
        _cleanup_close_ int user = ioctl(namespace, NS_GET_USERNS);
        *in = (struct as_owner){user, namespace, type};
        if (user >= 0)
                run(in, act);
}

int as_member_run(struct as_owner *in, int user, int (*act)(void *))
{
        *in = (struct as_owner){.user = user, .namespace = -EBADF};
        return run(in, act);
}

int as_owner_enter(const struct as_owner *in)
{
        bool entered = setns(in->user, CLONE_NEWUSER) >= 0 && (in->namespace < 0 || setns(in->namespace, in->type) >= 0);
        return entered ? 0 : -errno;
}
