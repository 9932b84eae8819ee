/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_NEWUSER gives and what it does not. */
#include "claims.h"

#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* A child in a new user namespace; skipped where there is none to be had. */
static pid_t fork_user(uint64_t more)
{
        int refused = refusal_of(CLONE_NEWUSER, SIGCHLD);
        if (refused != 0)
                skip("no privilege: clone3 with CLONE_NEWUSER: %s", strerror(refused));
        return fork_with(CLONE_NEWUSER | more);
}

#define IN_USER(more) IN_CHILD_(fork_user(more), __COUNTER__)

static void is_new(void)
{
        ino_t outside = namespace_of(0, "user");
        IN_USER(0)
                HOLDS(namespace_of(0, "user") != outside, "the child is in the parent's user namespace");
}

static void full_inside(void)
{
        drop_capabilities();
        if (is_privileged())
                skip("no privilege: capabilities cannot be dropped");
        char last[16];
        MUST(read_file("/proc/sys/kernel/cap_last_cap", last, sizeof(last)));
        uint64_t all = (UINT64_C(2) << atoi(last)) - 1;
        IN_USER(0)
                HOLDS(effective_capabilities() == all, "effective are %" PRIx64 ", not %" PRIx64, effective_capabilities(), all);
}

static void works_inside(void)
{
        IN_USER(CLONE_NEWUTS)
                MUST(sethostname("claims", 6));
}

static void none_outside(void)
{
        IN_USER(0)
        {
                char name[65];
                MUST(gethostname(name, sizeof(name)));
                REFUSED(sethostname(name, strlen(name)), EPERM);
        }
}

static void unmapped_is_overflow(void)
{
        char text[32];
        unsigned overflow = 65534;
        if (read_file("/proc/sys/kernel/overflowuid", text, sizeof(text)) > 0)
                sscanf(text, "%u", &overflow);
        IN_USER(0)
                HOLDS(getuid() == overflow, "the uid is %u, not %u", getuid(), overflow);
}

static void unmapped_files_are_overflow(void)
{
        char text[32];
        unsigned overflow = 65534;
        if (read_file("/proc/sys/kernel/overflowuid", text, sizeof(text)) > 0)
                sscanf(text, "%u", &overflow);
        int pair[2];
        MUST(pipe(pair));
        struct stat status;
        IN_USER(0)
        {
                MUST(fstat(pair[0], &status));
                HOLDS(status.st_uid == overflow, "the owner shows as %u, not %u", status.st_uid, overflow);
        }
}

static void map_makes_root(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        IN_USER(0)
        {
                MUST(map_root(getpid(), uid, gid));
                HOLDS(getuid() == 0 && getgid() == 0, "uid %u, gid %u", getuid(), getgid());
        }
}

static void map_is_written_once(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        IN_USER(0)
        {
                char text[64];
                MUST(map_root(getpid(), uid, gid));
                snprintf(text, sizeof(text), "0 %u 1", uid);
                REFUSED(write_file("/proc/self/uid_map", text), EPERM);
        }
}

static void map_is_empty_at_first(void)
{
        IN_USER(0)
        {
                char text[256];
                MUST(read_file("/proc/self/uid_map", text, sizeof(text)));
                HOLDS(text[0] == 0, "the map has a line: %s", text);
        }
}

static void foreign_ids_need_setuid(void)
{
        drop_capabilities();
        uid_t uid = geteuid();
        IN_USER(0)
        {
                char text[64];
                snprintf(text, sizeof(text), "0 %u 1", uid + 1);
                REFUSED(write_file("/proc/self/uid_map", text), EPERM);
                snprintf(text, sizeof(text), "0 %u 2", uid);
                REFUSED(write_file("/proc/self/uid_map", text), EPERM);
        }
}

static void overlapping_map_is_refused(void)
{
        uid_t uid = geteuid();
        IN_USER(0)
        {
                char text[64];
                snprintf(text, sizeof(text), "0 %u 1\n0 %u 1\n", uid, uid);
                REFUSED(write_file("/proc/self/uid_map", text), EINVAL);
        }
}

static void gid_map_needs_setgroups_denied(void)
{
        drop_capabilities();
        gid_t gid = getegid();
        char text[64];
        MUST(read_file("/proc/self/setgroups", text, sizeof(text)));
        if (strcmp(text, "deny\n") == 0)
                skip("needs a user namespace around in which setgroups is not denied");
        IN_USER(0)
        {
                snprintf(text, sizeof(text), "0 %u 1", gid);
                REFUSED(write_file("/proc/self/gid_map", text), EPERM);
                MUST(write_file("/proc/self/setgroups", "deny"));
                MUST(write_file("/proc/self/gid_map", text));
        }
}

static void denied_setgroups_is_refused(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        IN_USER(0)
        {
                MUST(map_root(getpid(), uid, gid));
                REFUSED(setgroups(0, NULL), EPERM);
        }
}

static void denied_stays_denied(void)
{
        IN_USER(0)
        {
                MUST(write_file("/proc/self/setgroups", "deny"));
                REFUSED(write_file("/proc/self/setgroups", "allow"), EPERM);
        }
}

static void denied_is_inherited(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        IN_USER(0)
        {
                MUST(map_root(getpid(), uid, gid));
                MUST(unshare(CLONE_NEWUSER));
                char text[16];
                MUST(read_file("/proc/self/setgroups", text, sizeof(text)));
                HOLDS(strcmp(text, "deny\n") == 0, "it is %s", text);
        }
}

static void maker_must_be_mapped(void)
{
        IN_USER(0)
        {
                int refused = refusal_of(CLONE_NEWUSER, SIGCHLD);
                HOLDS(refused == EPERM, "from an unmapped id: %s", strerror(refused));
        }
}

/* The initial one has a number of its own (include/uapi/linux/nsfs.h: USER_NS_INIT_INO, once PROC_USER_INIT_INO of include/linux/proc_ns.h). */
static bool is_in_initial(void)
{
        return namespace_of(0, "user") == 0xEFFFFFFDU;
}

static void nests_to_33(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        bool outermost = is_in_initial();
        IN_USER(0)
        {
                MUST(map_root(getpid(), uid, gid));
                int depth = 1;
                while (depth < 64 && unshare(CLONE_NEWUSER) == 0) {
                        MUST(map_root(getpid(), 0, 0));
                        depth++;
                }
                int error = errno;
                HOLDS(error == ENOSPC, "refused with %s", strerror(error));
                /* In a nested one already, it is that many fewer. */
                HOLDS(outermost ? depth == 33 : depth < 33, "%d levels below", depth);
        }
}

static void parent_has_privilege_inside(void)
{
        pid_t child = fork_user(CLONE_NEWUTS);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                char name[65];
                MUST(gethostname(name, sizeof(name)));
                HOLDS(strcmp(name, "by-owner") == 0, "the host name is %s", name);
                _exit(0);
        }
        /* The creator's euid owns it, and who owns it and is in the namespace around has every capability (user_namespaces(7)). */
        IN_CHILD(0)
        {
                char path[64];
                drop_capabilities();
                snprintf(path, sizeof(path), "/proc/%d/ns/user", child);
                int user = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
                snprintf(path, sizeof(path), "/proc/%d/ns/uts", child);
                int uts = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
                MUST(setns(user, CLONE_NEWUSER));
                MUST(setns(uts, CLONE_NEWUTS));
                MUST(sethostname("by-owner", 8));
        }
        shared->number[0] = 1;
        ends_well(child);
}

static void no_way_back(void)
{
        int fd = (int)MUST(open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
        IN_USER(0)
                REFUSED(setns(fd, CLONE_NEWUSER), EPERM);
}

static void own_is_refused(void)
{
        IN_USER(0)
        {
                int fd = (int)MUST(open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
                REFUSED(setns(fd, CLONE_NEWUSER), EINVAL);
        }
}

/* Inheritable and ambient, of the permitted ones. */
static void raise_ambient(uint64_t these)
{
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct sets[2];
        MUST(syscall(SYS_capget, &header, sets));
        sets[0].inheritable |= (uint32_t)these;
        sets[1].inheritable |= (uint32_t)(these >> 32);
        MUST(syscall(SYS_capset, &header, sets));
        for (unsigned long cap = 0; cap < 64; cap++)
                if (these >> cap & 1)
                        MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0));
}

/* CapEff of a program that a child with CLONE_NEWUSER, whose uid is not mapped, executes; `ambient`: what it has raised before. */
static void effective_after_exec(uint64_t ambient, char ret_line[32])
{
        int pipes[2];
        MUST(pipe(pipes));
        pid_t child = fork_user(0);
        if (child == 0) {
                if (ambient != 0)
                        raise_ambient(ambient);
                dup2(pipes[1], 1);
                execl("/bin/cat", "cat", "/proc/self/status", NULL);
                _exit(3);
        }
        close(pipes[1]);
        char text[8192] = {0};
        size_t used = 0;
        for (ssize_t n; used + 1 < sizeof(text) && (n = read(pipes[0], text + used, sizeof(text) - 1 - used)) > 0;)
                used += (size_t)n;
        ends_well(child);
        char *line = strstr(text, "CapEff:");
        snprintf(ret_line, 32, "%.24s", line == NULL ? "nothing" : line);
}

static void exec_loses_all_unmapped(void)
{
        char line[32];
        effective_after_exec(0, line);
        HOLDS(strcmp(line, "CapEff:\t0000000000000000") == 0, "after execve: %s", line);
}

static void exec_keeps_ambient(void)
{
        char line[32], expected[32];
        uint64_t kept = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_NET_ADMIN;
        effective_after_exec(kept, line);
        snprintf(expected, sizeof(expected), "CapEff:\t%016" PRIx64, kept);
        HOLDS(strcmp(line, expected) == 0, "after execve: %s", line);
}

static void owns_what_comes_along(void)
{
        static const char *const names[] = {"mnt", "uts", "ipc", "net", "pid", "cgroup"};
        IN_USER(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP)
        {
                ino_t user = namespace_of(0, "user");
                for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                        char path[64];
                        snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", names[i]);
                        int owned = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
                        /* NS_GET_USERNS, ioctl_ns(2). */
                        int owner = (int)MUST(ioctl(owned, 0xb701));
                        struct stat one;
                        MUST(fstat(owner, &one));
                        HOLDS(one.st_ino == user, "the new %s namespace is owned by another", names[i]);
                }
        }
}

static void not_with_fs(void)
{
        int refused = refusal_of(CLONE_NEWUSER | CLONE_FS, SIGCHLD);
        HOLDS(refused == EINVAL, "CLONE_NEWUSER | CLONE_FS: %s", strerror(refused));
}

#define USER(function, section, file, where, sentence) CLAIM("CLONE_NEWUSER", function, "user_namespaces(7)", section, file, where, sentence)
const struct claim users_claims[] = {
        USER(is_new, "DESCRIPTION", "kernel/user_namespace.c", "create_user_ns", "with it, the child is in a user namespace of its own, which takes no privilege"),
        USER(full_inside, "Capabilities", "kernel/user_namespace.c", "set_cred_user_ns", "the child of a parent without any capability has them all inside"),
        USER(works_inside, "Capabilities", "kernel/capability.c", "ns_capable", "they count over what the new user namespace owns: the host name of a new UTS namespace"),
        USER(none_outside, "Capabilities", "kernel/utsname_sysctl.c", "ns_capable", "they do not count over what it does not own: the host name outside"),
        USER(unmapped_is_overflow, "User and group ID mappings: uid_map and gid_map", "kernel/user_namespace.c", "from_kuid_munged", "an id that is not mapped shows as the overflow id"),
        USER(unmapped_files_are_overflow, "User and group ID mappings: uid_map and gid_map", "fs/stat.c", "cp_new_stat", "a file whose owner is not mapped shows as the overflow id's"),
        USER(map_is_empty_at_first, "User and group ID mappings: uid_map and gid_map", "kernel/user_namespace.c", "uid_m_show", "the map is empty at first"),
        USER(map_makes_root, "Defining user and group ID mappings: writing to uid_map and gid_map", "kernel/user_namespace.c", "map_write", "one's own id may be mapped to 0"),
        USER(map_is_written_once, "Defining user and group ID mappings: writing to uid_map and gid_map", "kernel/user_namespace.c", "map_write", "a map is written once: EPERM the second time"),
        USER(foreign_ids_need_setuid, "Defining user and group ID mappings: writing to uid_map and gid_map", "kernel/user_namespace.c", "new_idmap_permitted", "without CAP_SETUID outside, no other id than one's own may be mapped, and only one"),
        USER(overlapping_map_is_refused, "Defining user and group ID mappings: writing to uid_map and gid_map", "kernel/user_namespace.c", "mappings_overlap", "ranges that overlap are EINVAL"),
        USER(gid_map_needs_setgroups_denied, "The /proc/pid/setgroups file", "kernel/user_namespace.c", "new_idmap_permitted", "without CAP_SETGID outside, gid_map is refused until setgroups is denied"),
        USER(denied_setgroups_is_refused, "The /proc/pid/setgroups file", "kernel/groups.c", "may_setgroups", "after deny, setgroups(2) is EPERM even for root inside"),
        USER(denied_stays_denied, "The /proc/pid/setgroups file", "kernel/user_namespace.c", "proc_setgroups_write", "deny cannot be taken back"),
        USER(denied_is_inherited, "The /proc/pid/setgroups file", "kernel/user_namespace.c", "create_user_ns", "a nested user namespace inherits deny"),
        USER(maker_must_be_mapped, "DESCRIPTION", "kernel/user_namespace.c", "create_user_ns", "whose own id is not mapped cannot make a further one: EPERM"),
        USER(nests_to_33, "DESCRIPTION", "kernel/user_namespace.c", "create_user_ns", "user namespaces nest 33 deep below the initial one, though the manual says 32, and no deeper: ENOSPC"),
        USER(parent_has_privilege_inside, "Capabilities", "security/commoncap.c", "cap_capable", "whoever has the creator's euid, and is in the namespace around, has all capabilities inside"),
        USER(no_way_back, "Capabilities", "kernel/user_namespace.c", "userns_install", "there is no way back out: setns to the parent's is EPERM"),
        USER(own_is_refused, "Capabilities", "kernel/user_namespace.c", "userns_install", "setns to one's own user namespace, which would regain capabilities, is EINVAL"),
        USER(exec_loses_all_unmapped, "Capabilities", "security/commoncap.c", "cap_bprm_creds_from_file", "execve loses the capabilities as long as the uid is not mapped to 0, ambient ones apart"),
        USER(exec_keeps_ambient, "Capabilities", "security/commoncap.c", "cap_bprm_creds_from_file", "execve keeps the ambient ones, whatever the uid"),
        USER(owns_what_comes_along, "Interaction of user namespaces and other types of namespaces", "kernel/nsproxy.c", "create_new_namespaces", "namespaces that one call makes with it are owned by it"),
        CLAIM("CLONE_NEWUSER", not_with_fs, "clone(2)", "EINVAL", "kernel/fork.c", "copy_process", "together with CLONE_FS it is EINVAL"),
};
COUNT_CLAIMS(users);
