/* SPDX-License-Identifier: MIT */
/* Knows how to be in a namespace where one has no privilege but owns the user namespace that owns it, and so has all capabilities inside
 * (user_namespaces(7)). */
#pragma once

struct as_owner {
        int user, namespace, type;
};

/* Runs `act` in a child that lives for it alone: one of several threads may not enter a user namespace, nor may one whose root and cwd are
 * another's (setns(2)). It shares the memory and the fds. `in` is filled in, and is the first member of what `act` is given. Where nothing ran, what
 * `act` would have changed is as it was. */
void as_owner_run(struct as_owner *in, int namespace, int type, int (*act)(void *));
/* The same for a user namespace itself, of which one is not a member. -errno where nothing ran. */
int as_member_run(struct as_owner *in, int user, int (*act)(void *));
/* For `act` to enter: 0 or -errno. */
int as_owner_enter(const struct as_owner *in);
