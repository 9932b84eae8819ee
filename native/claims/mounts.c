/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_NEWNS gives: a copy of all mounts, with the propagation that they had. */
#include "claims.h"

static int count_mounts(void)
{
        static char text[1 << 20];
        ssize_t n = read_file("/proc/thread-self/mountinfo", text, sizeof(text));
        if (n < 0)
                broken("mountinfo: %s", strerror(errno));
        int count = 0;
        for (ssize_t i = 0; i < n; i++)
                count += text[i] == '\n';
        return count;
}

/* Whether a tmpfs is mounted at that directory of /tmp: each has a file of this name. */
static bool has_mount(const char *directory)
{
        char path[256];
        snprintf(path, sizeof(path), "%s/mounted", directory);
        return access(path, F_OK) == 0;
}

static void mount_at(const char *directory)
{
        char path[256];
        MUST(mount("tmpfs", directory, "tmpfs", 0, NULL));
        snprintf(path, sizeof(path), "%s/mounted", directory);
        MUST(mknod(path, S_IFREG | 0600, 0));
}

static void is_new(void)
{
        gain_privilege();
        pid_t child = fork_with(CLONE_NEWNS);
        if (child == 0) {
                HOLDS(!SAME_NAMESPACE(getppid(), "mnt"), "the child is in the parent's mount namespace");
                _exit(0);
        }
        ends_well(child);
}

static void is_inherited(void)
{
        IN_CHILD(0)
                HOLDS(SAME_NAMESPACE(getppid(), "mnt"), "the child is in another mount namespace");
}

static void begins_with_all(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        mount_at("/tmp/a");
        int before = count_mounts();
        ino_t outside = namespace_of(0, "mnt");
        IN_CHILD(CLONE_NEWNS)
        {
                HOLDS(namespace_of(0, "mnt") != outside, "no new mount namespace");
                HOLDS(count_mounts() == before, "%d mounts, not %d", count_mounts(), before);
                HOLDS(has_mount("/tmp/a"), "/tmp/a is not mounted in the child");
        }
}

static void private_stays_inside(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        IN_CHILD(CLONE_NEWNS)
                mount_at("/tmp/a");
        HOLDS(!has_mount("/tmp/a"), "the child's private mount is in the parent");
}

static void private_stays_outside(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        pid_t child = fork_with(CLONE_NEWNS);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                HOLDS(!has_mount("/tmp/a"), "the parent's private mount is in the child");
                _exit(0);
        }
        mount_at("/tmp/a");
        shared->number[0] = 1;
        ends_well(child);
}

static void shared_goes_back(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mount(NULL, "/tmp", NULL, MS_SHARED, NULL));
        ino_t outside = namespace_of(0, "mnt");
        IN_CHILD(CLONE_NEWNS)
        {
                HOLDS(namespace_of(0, "mnt") != outside, "no new mount namespace");
                mount_at("/tmp/a");
        }
        HOLDS(has_mount("/tmp/a"), "the child's mount below a shared one is not in the parent");
}

static void shared_unmount_goes_back(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mount(NULL, "/tmp", NULL, MS_SHARED, NULL));
        mount_at("/tmp/a");
        ino_t outside = namespace_of(0, "mnt");
        IN_CHILD(CLONE_NEWNS)
        {
                HOLDS(namespace_of(0, "mnt") != outside, "no new mount namespace");
                MUST(umount2("/tmp/a", MNT_DETACH));
        }
        HOLDS(!has_mount("/tmp/a"), "the child's unmount below a shared mount did not reach the parent");
}

static void slave_receives(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mkdir("/tmp/b", 0755));
        MUST(mount(NULL, "/tmp", NULL, MS_SHARED, NULL));
        pid_t child = fork_with(CLONE_NEWNS);
        if (child == 0) {
                MUST(mount(NULL, "/tmp", NULL, MS_SLAVE, NULL));
                mount_at("/tmp/b");
                shared->number[0] = 1;
                wait_for(&shared->number[1], 1);
                HOLDS(has_mount("/tmp/a"), "the parent's mount did not reach the slave");
                _exit(0);
        }
        wait_for(&shared->number[0], 1);
        HOLDS(!has_mount("/tmp/b"), "the slave's mount reached the parent");
        mount_at("/tmp/a");
        shared->number[1] = 1;
        ends_well(child);
}

static void unbindable_is_copied(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mkdir("/tmp/b", 0755));
        mount_at("/tmp/a");
        MUST(mount(NULL, "/tmp/a", NULL, MS_UNBINDABLE, NULL));
        REFUSED(mount("/tmp/a", "/tmp/b", NULL, MS_BIND, NULL), EINVAL);
        ino_t outside = namespace_of(0, "mnt");
        IN_CHILD(CLONE_NEWNS)
        {
                HOLDS(namespace_of(0, "mnt") != outside, "no new mount namespace");
                HOLDS(has_mount("/tmp/a"), "the unbindable mount is not in the copy");
        }
}

static void directory_is_translated(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        mount_at("/tmp/a");
        MUST(chdir("/tmp/a"));
        pid_t child = fork_with(CLONE_NEWNS);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                /* Were it the parent's mount, it would be detached by now. */
                char now[256];
                MUST(syscall(SYS_getcwd, now, sizeof(now)));
                HOLDS(strcmp(now, "/tmp/a") == 0, "the working directory is %s", now);
                _exit(0);
        }
        MUST(umount2("/tmp/a", MNT_DETACH));
        shared->number[0] = 1;
        ends_well(child);
}

/* A child in a user namespace of its own, and a mount namespace that it owns. */
static void enter_less_privileged(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        if (unshare(CLONE_NEWUSER) < 0)
                skip("no privilege: unshare(CLONE_NEWUSER): %s", strerror(errno));
        MUST(unshare_with(CLONE_NEWNS));
        MUST(map_root(getpid(), uid, gid));
}

static void crossing_locks(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        mount_at("/tmp/a");
        IN_CHILD(0)
        {
                enter_less_privileged();
                REFUSED(umount2("/tmp/a", MNT_DETACH), EINVAL);
        }
}

static void crossing_locks_flags(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mount("tmpfs", "/tmp/a", "tmpfs", MS_RDONLY | MS_NOSUID, NULL));
        IN_CHILD(0)
        {
                enter_less_privileged();
                REFUSED(mount(NULL, "/tmp/a", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL), EPERM);
        }
}

static void crossing_makes_slave(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        MUST(mount(NULL, "/tmp", NULL, MS_SHARED, NULL));
        IN_CHILD(0)
        {
                enter_less_privileged();
                mount_at("/tmp/a");
        }
        HOLDS(!has_mount("/tmp/a"), "the mount crossed back out of the user namespace");
}

static void own_mount_is_not_locked(void)
{
        have_own_mounts();
        MUST(mkdir("/tmp/a", 0755));
        IN_CHILD(0)
        {
                enter_less_privileged();
                mount_at("/tmp/a");
                MUST(umount("/tmp/a"));
        }
}

static void needs_privilege(void)
{
        gain_privilege();
        IN_CHILD(0)
        {
                /* Unmapped and without a capability: of an ordinary user. */
                if (unshare(CLONE_NEWUSER) < 0)
                        skip("no privilege: unshare(CLONE_NEWUSER): %s", strerror(errno));
                int before = refusal_of(CLONE_NEWNS, SIGCHLD);
                HOLDS(before == 0, "with CAP_SYS_ADMIN in its own user namespace: %s", strerror(before));
        }
}

#define NS(function, man, section, file, where, sentence) CLAIM("CLONE_NEWNS", function, man, section, file, where, sentence)
const struct claim mounts_claims[] = {
        NS(is_new, "clone(2)", "CLONE_NEWNS", "kernel/nsproxy.c", "create_new_namespaces", "with it, the child is in a mount namespace of its own"),
        NS(is_inherited, "clone(2)", "CLONE_NEWNS", "kernel/nsproxy.c", "copy_namespaces", "without it, the child is in its parent's mount namespace"),
        NS(begins_with_all, "mount_namespaces(7)", "DESCRIPTION", "fs/namespace.c", "copy_mnt_ns", "a new mount namespace begins with all mounts of the old one"),
        NS(private_stays_inside, "mount_namespaces(7)", "SHARED SUBTREES", "fs/namespace.c", "attach_recursive_mnt", "below a private mount, what the child mounts stays inside"),
        NS(private_stays_outside, "mount_namespaces(7)", "SHARED SUBTREES", "fs/namespace.c", "attach_recursive_mnt", "below a private mount, what the parent mounts stays outside"),
        NS(shared_goes_back, "mount_namespaces(7)", "SHARED SUBTREES", "fs/pnode.c", "propagate_mnt", "below a shared mount, what the child mounts appears in the parent's namespace all the same"),
        NS(shared_unmount_goes_back, "mount_namespaces(7)", "SHARED SUBTREES", "fs/pnode.c", "propagate_umount", "below a shared mount, what the child unmounts is gone from the parent's namespace, too"),
        NS(slave_receives, "mount_namespaces(7)", "MS_SLAVE", "fs/pnode.c", "change_mnt_propagation", "a slave mount receives mounts from outside, and sends none"),
        NS(unbindable_is_copied, "mount_namespaces(7)", "MS_UNBINDABLE", "fs/namespace.c", "copy_mnt_ns", "an unbindable mount cannot be bound, but is copied into a new namespace"),
        NS(directory_is_translated, "mount_namespaces(7)", "DESCRIPTION", "fs/namespace.c", "copy_mnt_ns", "the child's working directory is on the copy of the mount, not on the parent's"),
        NS(crossing_locks, "mount_namespaces(7)", "Restrictions on mount namespaces", "fs/namespace.c", "lock_mnt_tree", "mounts that came from a more privileged user namespace are locked: no single one can be unmounted"),
        NS(crossing_locks_flags, "mount_namespaces(7)", "Restrictions on mount namespaces", "fs/namespace.c", "can_change_locked_flags", "a read-only mount from a more privileged user namespace cannot be made writable"),
        NS(crossing_makes_slave, "mount_namespaces(7)", "Restrictions on mount namespaces", "fs/namespace.c", "copy_mnt_ns", "in a mount namespace of another user namespace, shared mounts have become slaves: nothing goes back"),
        NS(own_mount_is_not_locked, "mount_namespaces(7)", "Restrictions on mount namespaces", "fs/namespace.c", "do_umount", "what is mounted inside by a less privileged user namespace can be unmounted there"),
        NS(needs_privilege, "clone(2)", "EPERM", "kernel/nsproxy.c", "copy_namespaces", "CAP_SYS_ADMIN in the caller's own user namespace suffices"),
};
COUNT_CLAIMS(mounts);
