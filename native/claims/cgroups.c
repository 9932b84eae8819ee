/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_INTO_CGROUP does, and what a cgroup namespace shows of cgroups that are really there. */
#include "hold.h"

#include <grp.h>
#include <stdlib.h>

/* The directory of this process's cgroup v2. */
static void own_directory(char *path, size_t size)
{
        char line[512], mounted[256] = "";
        own_cgroup(line, sizeof(line));
        FILE *file = fopen("/proc/self/mountinfo", "re");
        char entry[4096];
        while (file != NULL && fgets(entry, sizeof(entry), file) != NULL)
                if (strstr(entry, " - cgroup2 ") != NULL && sscanf(entry, "%*s %*s %*s / %255s", mounted) == 1)
                        break;
        if (file != NULL)
                fclose(file);
        if (mounted[0] == 0 || strncmp(line, "/..", 3) == 0)
                skip("needs cgroup v2 to be mounted with this process in it");
        snprintf(path, size, "%s%s", mounted, strcmp(line, "/") == 0 ? "" : line);
}

/* Makes a cgroup, which the runner removes. */
static const char *make_cgroup(const char *parent, const char *name)
{
        int number = shared->cgroups;
        HOLDS(number < 4, "too many cgroups");
        char *path = shared->cgroup[number];
        if ((size_t)snprintf(path, sizeof(shared->cgroup[0]), "%s/%s", parent, name) >= sizeof(shared->cgroup[0]))
                skip("needs a shorter path of its cgroup");
        if (mkdir(path, 0755) < 0) {
                if (errno == EACCES || errno == EPERM || errno == EROFS)
                        skip("no privilege to make a cgroup below its own: %s", strerror(errno));
                broken("mkdir %s: %s", path, strerror(errno));
        }
        shared->cgroups = number + 1;
        return path;
}

const char *make_own_cgroup(void)
{
        char parent[512], name[64];
        own_directory(parent, sizeof(parent));
        snprintf(name, sizeof(name), "nsview-claims-%d", getpid());
        return make_cgroup(parent, name);
}

static int open_cgroup(const char *path)
{
        return (int)MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

pid_t fork_into(int cgroup, uint64_t more)
{
        struct clone_args args = {.flags = CLONE_INTO_CGROUP | more, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
        pid_t child = clone3_with(&args);
        if (child < 0 && errno == EINVAL)
                skip("kernel lacks CLONE_INTO_CGROUP");
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

static bool ends_in(const char *line, const char *path)
{
        const char *name = strrchr(path, '/');
        size_t length = strlen(line), wanted = strlen(name);
        return length >= wanted && strcmp(line + length - wanted, name) == 0;
}

static void write_at(const char *directory, const char *file, const char *text)
{
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", directory, file);
        MUST(write_file(path, text));
}

static void born_inside(void)
{
        const char *path = make_own_cgroup();
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), 0));
        if (child == 0) {
                char line[512];
                own_cgroup(line, sizeof(line));
                HOLDS(ends_in(line, path), "the child is in %.200s", line);
                _exit(0);
        }
        ends_well(child);
}

static void parent_stays(void)
{
        const char *path = make_own_cgroup();
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), 0));
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        char line[512], procs[600], text[256];
        own_cgroup(line, sizeof(line));
        HOLDS(!ends_in(line, path), "the parent moved to %.200s", line);
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
        MUST(read_file(procs, text, sizeof(text)));
        shared->number[0] = 1;
        HOLDS(atoi(text) == child && strchr(text, '\n')[1] == 0, "cgroup.procs is %.100s", text);
        ends_well(child);
}

static void parents_without(void)
{
        char mine[512], childs[512];
        own_cgroup(mine, sizeof(mine));
        IN_CHILD(0)
        {
                own_cgroup(childs, sizeof(childs));
                HOLDS(strcmp(mine, childs) == 0, "the child is in %.200s", childs);
        }
}

static void frozen_never_runs(void)
{
        const char *path = make_own_cgroup();
        write_at(path, "cgroup.freeze", "1");
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), 0));
        if (child == 0) {
                shared->number[0] = 1;
                _exit(0);
        }
        usleep(50000);
        int ran = shared->number[0];
        write_at(path, "cgroup.freeze", "0");
        HOLDS(ran == 0, "it ran in a frozen cgroup");
        ends_well(child);
        HOLDS(shared->number[0] == 1, "it did not run when thawed");
}

static void limit_holds_at_birth(void)
{
        const char *path = make_own_cgroup();
        char file[600];
        snprintf(file, sizeof(file), "%s/pids.max", path);
        if (access(file, F_OK) < 0)
                skip("needs a cgroup v2 that hands the pids controller on to those below (hybrid cgroups have it in v1)");
        MUST(write_file(file, "0"));
        REFUSED(fork_into(open_cgroup(path), 0), EAGAIN);
}

static void not_a_cgroup(void)
{
        int fd = (int)MUST(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        REFUSED(fork_into(fd, 0), EBADF);
}

static void not_an_fd(void)
{
        REFUSED(fork_into(999, 0), EBADF);
}

static void removed_is_refused(void)
{
        const char *path = make_own_cgroup();
        int fd = open_cgroup(path);
        MUST(rmdir(path));
        pid_t child = fork_into(fd, 0);
        if (child == 0)
                _exit(0);
        HOLDS(child < 0 && (errno == ENODEV || errno == ENOENT), "clone3: %s", child < 0 ? strerror(errno) : "succeeds");
}

static void invalid_domain(void)
{
        const char *path = make_own_cgroup();
        const char *threaded = make_cgroup(path, "threaded");
        const char *beside = make_cgroup(path, "beside");
        write_at(threaded, "cgroup.type", "threaded");
        REFUSED(fork_into(open_cgroup(beside), 0), EOPNOTSUPP);
}

/* As nobody, who has that cgroup and all below for himself. */
static void give_away(const char *path)
{
        char file[600];
        snprintf(file, sizeof(file), "%s/cgroup.procs", path);
        if (chown(path, 65534, 65534) < 0 || chown(file, 65534, 65534) < 0)
                skip("no privilege to give a cgroup to another user: %s", strerror(errno));
}

static void become_nobody(void)
{
        if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
                skip("no privilege to become another user: %s", strerror(errno));
}

static void ancestor_must_be_writable(void)
{
        const char *path = make_own_cgroup();
        give_away(path);
        IN_CHILD(0)
        {
                become_nobody();
                REFUSED(fork_into(open_cgroup(path), 0), EACCES);
        }
}

static void ancestor_suffices(void)
{
        const char *path = make_own_cgroup();
        const char *from = make_cgroup(path, "from");
        const char *into = make_cgroup(path, "into");
        give_away(path);
        give_away(from);
        give_away(into);
        IN_CHILD(0)
        {
                write_at(from, "cgroup.procs", "0");
                become_nobody();
                pid_t child = (pid_t)MUST(fork_into(open_cgroup(into), 0));
                if (child == 0) {
                        char line[512];
                        own_cgroup(line, sizeof(line));
                        HOLDS(ends_in(line, into), "the child is in %.200s", line);
                        _exit(0);
                }
                ends_well(child);
        }
}

/* ---- CLONE_NEWCGROUP ---- */

static void outside_shows_as_dots(void)
{
        const char *path = make_own_cgroup();
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), 0));
        if (child == 0) {
                char file[64], text[8192];
                gain_privilege();
                MUST(unshare_with(CLONE_NEWCGROUP));
                snprintf(file, sizeof(file), "/proc/%d/cgroup", getppid());
                MUST(read_file(file, text, sizeof(text)));
                char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::") + 1;
                HOLDS(strncmp(line, "0::/..\n", 7) == 0, "it shows as %.*s", (int)strcspn(line, "\n"), line);
                _exit(0);
        }
        ends_well(child);
}

static void root_is_the_childs(void)
{
        gain_privilege();
        const char *path = make_own_cgroup();
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), CLONE_NEWCGROUP));
        if (child == 0) {
                char line[512];
                own_cgroup(line, sizeof(line));
                HOLDS(strcmp(line, "/") == 0, "it shows as %.200s", line);
                _exit(0);
        }
        ends_well(child);
}

static void mount_shows_own_part(void)
{
        const char *path = make_own_cgroup();
        pid_t child = (pid_t)MUST(fork_into(open_cgroup(path), 0));
        if (child == 0) {
                char text[256];
                gain_privilege();
                ino_t outside = namespace_of(0, "cgroup");
                MUST(unshare_with(CLONE_NEWCGROUP));
                /* In the first one, the mount would take nsdelegate from all of the machine (apply_cgroup_root_flags). */
                HOLDS(namespace_of(0, "cgroup") != outside, "no new cgroup namespace");
                have_own_mounts();
                MUST(mkdir("/tmp/cgroup", 0755));
                MUST(mount("cgroup2", "/tmp/cgroup", "cgroup2", 0, NULL));
                MUST(read_file("/tmp/cgroup/cgroup.procs", text, sizeof(text)));
                HOLDS(atoi(text) == getpid(), "its root has %.100s", text);
                _exit(0);
        }
        ends_well(child);
}

#define CG(flag, function, man, section, file, where, sentence) CLAIM("CLONE_" flag, function, man, section, file, where, sentence)
const struct claim cgroups_claims[] = {
        CG("NEWCGROUP", outside_shows_as_dots, "cgroup_namespaces(7)", "DESCRIPTION", "kernel/cgroup/cgroup.c", "cgroup_path_ns", "a cgroup outside of the root of the view shows as /.."),
        CG("NEWCGROUP", root_is_the_childs, "cgroup_namespaces(7)", "DESCRIPTION", "kernel/cgroup/cgroup.c", "cgroup_post_fork", "together with CLONE_INTO_CGROUP, the root of the view is the cgroup into which the child is born"),
        CG("NEWCGROUP", mount_shows_own_part, "cgroup_namespaces(7)", "DESCRIPTION", "kernel/cgroup/cgroup.c", "cgroup_do_get_tree", "a cgroup2 mount that is made inside has the root of the view as its own"),
        CG("INTO_CGROUP", born_inside, "clone(2)", "CLONE_INTO_CGROUP", "kernel/cgroup/cgroup.c", "cgroup_css_set_fork", "with it, the child is in that cgroup from its first instruction"),
        CG("INTO_CGROUP", frozen_never_runs, "clone(2)", "CLONE_INTO_CGROUP", "kernel/cgroup/cgroup.c", "cgroup_post_fork", "born into a frozen cgroup, the child runs nothing until that is thawed: it was never elsewhere"),
        CG("INTO_CGROUP", parent_stays, "clone(2)", "CLONE_INTO_CGROUP", "kernel/cgroup/cgroup.c", "cgroup_css_set_fork", "the parent stays where it is, and the child alone is in the cgroup"),
        CG("INTO_CGROUP", parents_without, "cgroups(7)", "Creating cgroups and moving processes", "kernel/cgroup/cgroup.c", "cgroup_fork", "without it, the child is in its parent's cgroup"),
        CG("INTO_CGROUP", limit_holds_at_birth, "clone(2)", "EAGAIN", "kernel/cgroup/pids.c", "pids_can_fork", "a pids.max that is reached there is EAGAIN"),
        CG("INTO_CGROUP", not_an_fd, "clone(2)", "EBADF", "kernel/cgroup/cgroup.c", "cgroup_get_from_file", "an fd that is not open is EBADF"),
        CG("INTO_CGROUP", not_a_cgroup, "clone(2)", "EBADF", "kernel/cgroup/cgroup.c", "cgroup_get_from_file", "a directory that is no cgroup is EBADF"),
        CG("INTO_CGROUP", removed_is_refused, "clone(2)", "ENODEV", "kernel/cgroup/cgroup.c", "cgroup_css_set_fork", "a cgroup that was removed is refused"),
        CG("INTO_CGROUP", invalid_domain, "clone(2)", "EOPNOTSUPP", "kernel/cgroup/cgroup.c", "cgroup_migrate_vet_dst", "a cgroup in state domain invalid is EOPNOTSUPP"),
        CG("INTO_CGROUP", ancestor_must_be_writable, "clone(2)", "EACCES", "kernel/cgroup/cgroup.c", "cgroup_attach_permissions", "it needs write access to cgroup.procs of the common ancestor; the target's alone is EACCES"),
        CG("INTO_CGROUP", ancestor_suffices, "cgroups(7)", "Cgroup delegation containment rules", "kernel/cgroup/cgroup.c", "cgroup_attach_permissions", "an ordinary user who may write to both, the common ancestor's and the target's, can"),
};
COUNT_CLAIMS(cgroups);
