/* SPDX-License-Identifier: MIT */
#include "lib_owner.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

void as_owner_run(struct as_owner *in, int namespace, int type, int (*act)(void *))
{
        enum { STACK = 65536 };
        _cleanup_close_ int user = ioctl(namespace, NS_GET_USERNS);
        _cleanup_free_ uint8_t *stack = malloc(STACK);
        if (user < 0 || stack == NULL)
                return;
        *in = (struct as_owner){user, namespace, type};
        pid_t child = clone(act, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES, in);
        if (child > 0)
                while (waitpid(child, NULL, __WCLONE) < 0 && errno == EINTR)
                        ;
}

int as_owner_enter(const struct as_owner *in)
{
        return setns(in->user, CLONE_NEWUSER) < 0 || setns(in->namespace, in->type) < 0 ? -errno : 0;
}
