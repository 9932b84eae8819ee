/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_FS shares: the working directory, the root and the umask. */
#include "claims.h"

static void here_is(const char *path)
{
        char now[512];
        MUST(syscall(SYS_getcwd, now, sizeof(now)));
        HOLDS(strcmp(now, path) == 0, "the working directory is %s, not %s", now, path);
}

static mode_t umask_now(void)
{
        mode_t mask = umask(0);
        umask(mask);
        return mask;
}

static void chdir_moves_parent(void)
{
        MUST(chdir("/"));
        IN_CHILD(CLONE_FS)
                MUST(chdir("/proc"));
        here_is("/proc");
}

static void chdir_moves_child(void)
{
        MUST(chdir("/"));
        pid_t child = fork_with(CLONE_FS);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                here_is("/proc");
                _exit(0);
        }
        MUST(chdir("/proc"));
        shared->number[0] = 1;
        ends_well(child);
}

static void chdir_is_copied(void)
{
        MUST(chdir("/proc"));
        IN_CHILD(0)
        {
                here_is("/proc");
                MUST(chdir("/"));
        }
        here_is("/proc");
}

static void umask_is_linked(void)
{
        umask(022);
        IN_CHILD(CLONE_FS)
                umask(0137);
        HOLDS(umask_now() == 0137, "the umask is 0%o", umask_now());
}

static void umask_is_copied(void)
{
        umask(0137);
        IN_CHILD(0)
        {
                HOLDS(umask_now() == 0137, "the child's umask is 0%o", umask_now());
                umask(022);
        }
        HOLDS(umask_now() == 0137, "the umask is 0%o", umask_now());
}

static void root_is_linked(void)
{
        gain_privilege();
        HOLDS(access("/self/status", F_OK) < 0, "/self is there");
        IN_CHILD(CLONE_FS)
                MUST(chroot("/proc"));
        HOLDS(access("/self/status", F_OK) == 0, "the root is not /proc");
}

static void root_is_copied(void)
{
        gain_privilege();
        IN_CHILD(0)
                MUST(chroot("/proc"));
        HOLDS(access("/self/status", F_OK) < 0, "the child's chroot moved the parent");
}

static void unshare_ends_it(void)
{
        MUST(chdir("/"));
        IN_CHILD(CLONE_FS)
        {
                MUST(unshare_with(CLONE_FS));
                MUST(chdir("/proc"));
        }
        here_is("/");
}

static void sharer_gets_no_mount_namespace(void)
{
        have_own_mounts();
        IN_CHILD(CLONE_FS)
        {
                int fd = (int)MUST(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
                REFUSED(setns(fd, CLONE_NEWNS), EINVAL);
        }
}

static void sharer_gets_no_user_namespace(void)
{
        pid_t child = fork_with(CLONE_FS);
        if (child == 0) {
                /* unshare(CLONE_NEWUSER) implies CLONE_FS, and ends the sharing first. */
                if (unshare(CLONE_NEWUSER) < 0)
                        skip("no privilege: unshare(CLONE_NEWUSER): %s", strerror(errno));
                MUST(chdir("/proc"));
                _exit(0);
        }
        MUST(chdir("/"));
        ends_well(child);
        here_is("/");
}

const struct claim fs_claims[] = {
        CLAIM("CLONE_FS", chdir_moves_parent, "clone(2)", "CLONE_FS", "kernel/fork.c", "copy_fs", "with it, chdir in the child moves the parent, too"),
        CLAIM("CLONE_FS", chdir_moves_child, "clone(2)", "CLONE_FS", "kernel/fork.c", "copy_fs", "with it, chdir in the parent moves the child, too"),
        CLAIM("CLONE_FS", chdir_is_copied, "clone(2)", "CLONE_FS", "fs/fs_struct.c", "copy_fs_struct",
              "without it, the child begins in the parent's working directory, and its chdir moves only itself"),
        CLAIM("CLONE_FS", umask_is_linked, "clone(2)", "CLONE_FS", "kernel/sys.c", "umask", "with it, the umask is one"),
        CLAIM("CLONE_FS", umask_is_copied, "clone(2)", "CLONE_FS", "fs/fs_struct.c", "copy_fs_struct",
              "without it, the umask is copied, and then the child's own"),
        CLAIM("CLONE_FS", root_is_linked, "clone(2)", "CLONE_FS", "fs/open.c", "chroot", "with it, chroot in the child moves the parent's root, too"),
        CLAIM("CLONE_FS", root_is_copied, "clone(2)", "CLONE_FS", "fs/open.c", "chroot", "without it, chroot in the child leaves the parent's root as it is"),
        CLAIM("CLONE_FS", unshare_ends_it, "unshare(2)", "CLONE_FS", "kernel/fork.c", "unshare_fs", "unshare(CLONE_FS) ends the sharing"),
        CLAIM("CLONE_FS", sharer_gets_no_mount_namespace, "setns(2)", "EINVAL", "fs/namespace.c", "mntns_install",
              "who shares it cannot enter a mount namespace by setns, not even its own: EINVAL"),
        CLAIM("CLONE_FS", sharer_gets_no_user_namespace, "unshare(2)", "CLONE_NEWUSER", "kernel/fork.c", "ksys_unshare",
              "unshare(CLONE_NEWUSER) implies unshare(CLONE_FS)"),
};
COUNT_CLAIMS(fs);
