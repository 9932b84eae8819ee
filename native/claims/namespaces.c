/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWTIME and CLONE_NEWCGROUP set apart. */
#include "claims.h"

#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <time.h>

/* ---- CLONE_NEWUTS ---- */

static void host_name_is(const char *name)
{
        struct utsname now;
        MUST(uname(&now));
        HOLDS(strcmp(now.nodename, name) == 0, "the host name is %s", now.nodename);
}

static void have_own_uts(void)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWUTS));
        MUST(sethostname("outside", 7));
}

static void name_is_copied(void)
{
        have_own_uts();
        ino_t outside = namespace_of(0, "uts");
        IN_CHILD(CLONE_NEWUTS)
        {
                HOLDS(namespace_of(0, "uts") != outside, "no new UTS namespace");
                host_name_is("outside");
        }
}

static void name_stays_inside(void)
{
        have_own_uts();
        IN_CHILD(CLONE_NEWUTS)
                MUST(sethostname("inside", 6));
        host_name_is("outside");
}

static void name_is_one_without(void)
{
        have_own_uts();
        IN_CHILD(0)
                MUST(sethostname("inside", 6));
        host_name_is("inside");
}

static void domain_stays_inside(void)
{
        have_own_uts();
        MUST(setdomainname("outside", 7));
        IN_CHILD(CLONE_NEWUTS)
                MUST(setdomainname("inside", 6));
        struct utsname now;
        MUST(uname(&now));
        HOLDS(strcmp(now.domainname, "outside") == 0, "the domain name is %s", now.domainname);
}

static void release_is_the_kernels(void)
{
        gain_privilege();
        struct utsname before, now;
        MUST(uname(&before));
        ino_t outside = namespace_of(0, "uts");
        IN_CHILD(CLONE_NEWUTS)
        {
                HOLDS(namespace_of(0, "uts") != outside, "no new UTS namespace");
                MUST(uname(&now));
                HOLDS(strcmp(before.release, now.release) == 0, "the release is %s", now.release);
        }
}

static void sysctl_is_the_readers(void)
{
        have_own_uts();
        IN_CHILD(CLONE_NEWUTS)
        {
                MUST(sethostname("inside", 6));
                char text[80];
                MUST(read_file("/proc/sys/kernel/hostname", text, sizeof(text)));
                HOLDS(strcmp(text, "inside\n") == 0, "it is %s", text);
        }
        char text[80];
        MUST(read_file("/proc/sys/kernel/hostname", text, sizeof(text)));
        HOLDS(strcmp(text, "outside\n") == 0, "it is %s", text);
}

/* ---- CLONE_NEWIPC ---- */

#define KEY 0x6e737677

static void have_own_ipc(void)
{
        gain_privilege();
        if (unshare(CLONE_NEWIPC) < 0)
                skip("kernel lacks IPC namespaces: %s", strerror(errno));
}

static void queues_are_apart(void)
{
        have_own_ipc();
        MUST(msgget(KEY, IPC_CREAT | 0600));
        IN_CHILD(CLONE_NEWIPC)
                REFUSED(msgget(KEY, 0), ENOENT);
}

static void queues_are_one_without(void)
{
        have_own_ipc();
        int queue = (int)MUST(msgget(KEY, IPC_CREAT | 0600));
        IN_CHILD(0)
                HOLDS(msgget(KEY, 0) == queue, "the queue is another one");
}

static void semaphores_are_apart(void)
{
        have_own_ipc();
        MUST(semget(KEY, 1, IPC_CREAT | 0600));
        IN_CHILD(CLONE_NEWIPC)
                REFUSED(semget(KEY, 1, 0), ENOENT);
}

static void memory_is_apart(void)
{
        have_own_ipc();
        MUST(shmget(KEY, 4096, IPC_CREAT | 0600));
        IN_CHILD(CLONE_NEWIPC)
                REFUSED(shmget(KEY, 4096, 0), ENOENT);
}

static void attached_memory_stays(void)
{
        have_own_ipc();
        int id = (int)MUST(shmget(KEY, 4096, IPC_CREAT | 0600));
        char *memory = shmat(id, NULL, 0);
        HOLDS(memory != (char *)-1, "shmat: %s", strerror(errno));
        ino_t outside = namespace_of(0, "ipc");
        IN_CHILD(CLONE_NEWIPC)
        {
                HOLDS(namespace_of(0, "ipc") != outside, "no new IPC namespace");
                memory[0] = 'q';
        }
        HOLDS(memory[0] == 'q', "the byte is %d", memory[0]);
}

/* mq_open(3) takes the slash off before it calls (librt is not needed so). */
static long queue_open(const char *name, int flags)
{
        long r = syscall(SYS_mq_open, name, flags, 0600, NULL);
        if (r < 0 && errno == ENOSYS)
                skip("kernel lacks POSIX message queues");
        return r;
}

static void posix_queues_are_apart(void)
{
        have_own_ipc();
        MUST(queue_open("nsview-claims", O_CREAT | O_RDWR | O_CLOEXEC));
        IN_CHILD(CLONE_NEWIPC)
                REFUSED(queue_open("nsview-claims", O_RDWR | O_CLOEXEC), ENOENT);
}

static void posix_queues_are_one_without(void)
{
        have_own_ipc();
        MUST(queue_open("nsview-claims", O_CREAT | O_RDWR | O_CLOEXEC));
        IN_CHILD(0)
                MUST(queue_open("nsview-claims", O_RDWR | O_CLOEXEC));
}

static void limits_are_apart(void)
{
        have_own_ipc();
        char text[32];
        if (write_file("/proc/sys/kernel/msgmni", "77") < 0)
                skip("no privilege to write kernel.msgmni: %s", strerror(errno));
        IN_CHILD(CLONE_NEWIPC)
        {
                MUST(read_file("/proc/sys/kernel/msgmni", text, sizeof(text)));
                HOLDS(strcmp(text, "77\n") != 0, "the child has the parent's value");
        }
}

static void undo_lists_do_not_go_along(void)
{
        gain_privilege();
        int refused = refusal_of(CLONE_NEWIPC | CLONE_SYSVSEM, SIGCHLD);
        HOLDS(refused == EINVAL, "CLONE_NEWIPC | CLONE_SYSVSEM: %s", strerror(refused));
}

static void goes_with_last(void)
{
        have_own_ipc();
        int fd;
        ino_t outside = namespace_of(0, "ipc");
        IN_CHILD(CLONE_NEWIPC)
        {
                HOLDS(namespace_of(0, "ipc") != outside, "no new IPC namespace");
                int id = (int)MUST(shmget(KEY, 4096, IPC_CREAT | 0600));
                fd = (int)MUST(open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC));
                /* By an fd the namespace is held, and what is in it. */
                MUST(unshare(CLONE_NEWIPC));
                REFUSED(shmget(KEY, 4096, 0), ENOENT);
                MUST(setns(fd, CLONE_NEWIPC));
                HOLDS(shmget(KEY, 4096, 0) == id, "the segment is gone though its namespace was held");
        }
}

static void mount_does_not_hold(void)
{
        have_own_ipc();
        have_own_mounts();
        MUST(mkdir("/tmp/queues", 0700));
        IN_CHILD(CLONE_NEWIPC)
        {
                if (mount("mqueue", "/tmp/queues", "mqueue", 0, NULL) < 0)
                        skip("kernel lacks mqueue: %s", strerror(errno));
                MUST(open("/tmp/queues/one", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
        }
        /* The mount is there still, for it is of this process's mount namespace. */
        REFUSED(open("/tmp/queues/two", O_CREAT | O_RDWR | O_CLOEXEC, 0600), EACCES);
        MUST(umount2("/tmp/queues", 0));
}

/* ---- CLONE_NEWTIME ---- */

static void have_time(void)
{
        gain_privilege();
        if (access("/proc/self/ns/time", F_OK) < 0)
                skip("kernel lacks time namespaces");
}

static void unshare_time(void)
{
        have_time();
        MUST(unshare_with(CLONE_NEWTIME));
}

static long long monotonic(void)
{
        struct timespec now;
        MUST(clock_gettime(CLOCK_MONOTONIC, &now));
        return (long long)now.tv_sec;
}

static void time_is_for_children(void)
{
        have_time();
        ino_t before = namespace_of(0, "time");
        MUST(unshare_with(CLONE_NEWTIME));
        HOLDS(namespace_of(0, "time") == before, "the caller moved");
        HOLDS(namespace_of(0, "time_for_children") != before, "time_for_children is the old one");
        IN_CHILD(0)
                HOLDS(namespace_of(0, "time") != before, "the child is in the old one");
}

static void clone_moves_child(void)
{
        have_time();
        int refused = refusal_of(CLONE_NEWTIME, SIGCHLD);
        if (refused == EINVAL)
                skip("kernel lacks CLONE_NEWTIME in clone3");
        ino_t before = namespace_of(0, "time");
        IN_CHILD(CLONE_NEWTIME)
                HOLDS(namespace_of(0, "time") != before, "the child is in the parent's time namespace");
}

static void offset_counts(void)
{
        unshare_time();
        MUST(write_file("/proc/self/timens_offsets", "monotonic 100000 0"));
        long long before = monotonic();
        IN_CHILD(0)
        {
                long long now = monotonic();
                HOLDS(now - before >= 100000 && now - before < 100010, "the child's clock is %lld s ahead", now - before);
        }
        HOLDS(monotonic() - before < 10, "the caller's clock jumped");
}

static void boottime_offset_counts(void)
{
        unshare_time();
        MUST(write_file("/proc/self/timens_offsets", "boottime 100000 0"));
        struct timespec before, now;
        MUST(clock_gettime(CLOCK_BOOTTIME, &before));
        IN_CHILD(0)
        {
                MUST(clock_gettime(CLOCK_BOOTTIME, &now));
                HOLDS(now.tv_sec - before.tv_sec >= 100000, "the child's clock is %lld s ahead", (long long)(now.tv_sec - before.tv_sec));
                char text[64];
                MUST(read_file("/proc/uptime", text, sizeof(text)));
                HOLDS(atoll(text) >= before.tv_sec + 100000, "/proc/uptime is %s", text);
        }
}

static void realtime_has_none(void)
{
        unshare_time();
        REFUSED(write_file("/proc/self/timens_offsets", "realtime 100 0"), EINVAL);
}

static void offset_is_frozen(void)
{
        unshare_time();
        MUST(write_file("/proc/self/timens_offsets", "monotonic 100 0"));
        IN_CHILD(0)
                ;
        REFUSED(write_file("/proc/self/timens_offsets", "monotonic 200 0"), EACCES);
}

static void offset_may_change_before(void)
{
        unshare_time();
        MUST(write_file("/proc/self/timens_offsets", "monotonic 100 0"));
        MUST(write_file("/proc/self/timens_offsets", "monotonic 200000 0"));
        long long before = monotonic();
        IN_CHILD(0)
                HOLDS(monotonic() - before >= 200000, "the second offset does not count");
}

static void time_before_zero(void)
{
        unshare_time();
        REFUSED(write_file("/proc/self/timens_offsets", "monotonic -100000000000 0"), ERANGE);
}


/* ---- CLONE_NEWCGROUP ---- */

static void cgroup_is_new(void)
{
        gain_privilege();
        ino_t outside = namespace_of(0, "cgroup");
        IN_CHILD(CLONE_NEWCGROUP)
                HOLDS(namespace_of(0, "cgroup") != outside, "the child is in the parent's cgroup namespace");
}

static void own_cgroup_is_root(void)
{
        gain_privilege();
        char line[512];
        ino_t outside = namespace_of(0, "cgroup");
        IN_CHILD(CLONE_NEWCGROUP)
        {
                HOLDS(namespace_of(0, "cgroup") != outside, "no new cgroup namespace");
                own_cgroup(line, sizeof(line));
                HOLDS(strcmp(line, "/") == 0, "it is %s", line);
        }
}

#define NSP(flag, function, man, section, file, where, sentence) CLAIM("CLONE_" flag, function, man, section, file, where, sentence)
const struct claim namespaces_claims[] = {
        NSP("NEWUTS", name_is_copied, "uts_namespaces(7)", "DESCRIPTION", "kernel/utsname.c", "clone_uts_ns", "a new UTS namespace begins with the host name of the old one"),
        NSP("NEWUTS", name_stays_inside, "uts_namespaces(7)", "DESCRIPTION", "kernel/sys.c", "sethostname", "a host name that is set inside is not seen outside"),
        NSP("NEWUTS", name_is_one_without, "uts_namespaces(7)", "DESCRIPTION", "kernel/nsproxy.c", "copy_namespaces", "without it, a host name that the child sets is the parent's, too"),
        NSP("NEWUTS", domain_stays_inside, "uts_namespaces(7)", "DESCRIPTION", "kernel/sys.c", "setdomainname", "nor is a domain name"),
        NSP("NEWUTS", sysctl_is_the_readers, "uts_namespaces(7)", "DESCRIPTION", "kernel/utsname_sysctl.c", "get_uts", "/proc/sys/kernel/hostname shows each reader its own"),
        NSP("NEWUTS", release_is_the_kernels, "uts_namespaces(7)", "DESCRIPTION", "kernel/utsname.c", "clone_uts_ns", "the release of the kernel is the same inside"),
        NSP("NEWIPC", queues_are_apart, "ipc_namespaces(7)", "DESCRIPTION", "ipc/msg.c", "ksys_msgget", "System V message queues of the parent are not there"),
        NSP("NEWIPC", semaphores_are_apart, "ipc_namespaces(7)", "DESCRIPTION", "ipc/sem.c", "ksys_semget", "nor its System V semaphores"),
        NSP("NEWIPC", memory_is_apart, "ipc_namespaces(7)", "DESCRIPTION", "ipc/shm.c", "ksys_shmget", "nor its System V shared memory"),
        NSP("NEWIPC", posix_queues_are_apart, "ipc_namespaces(7)", "DESCRIPTION", "ipc/mqueue.c", "do_mq_open", "nor its POSIX message queues"),
        NSP("NEWIPC", queues_are_one_without, "ipc_namespaces(7)", "DESCRIPTION", "kernel/nsproxy.c", "copy_namespaces", "without it, System V message queues are one"),
        NSP("NEWIPC", posix_queues_are_one_without, "ipc_namespaces(7)", "DESCRIPTION", "kernel/nsproxy.c", "copy_namespaces", "without it, POSIX message queues are one"),
        NSP("NEWIPC", attached_memory_stays, "shmat(2)", "NOTES", "ipc/shm.c", "shm_open", "shared memory that was attached before stays mapped and shared"),
        NSP("NEWIPC", limits_are_apart, "ipc_namespaces(7)", "DESCRIPTION", "ipc/ipc_sysctl.c", "setup_ipc_sysctls", "its limits are its own: what is written to kernel.msgmni outside does not count inside"),
        NSP("NEWIPC", undo_lists_do_not_go_along, "clone(2)", "EINVAL", "kernel/nsproxy.c", "copy_namespaces", "together with CLONE_SYSVSEM it is EINVAL"),
        NSP("NEWIPC", goes_with_last, "namespaces(7)", "Namespace lifetime", "ipc/namespace.c", "put_ipc_ns", "an fd holds the namespace and what is in it, even when no process is there"),
        NSP("NEWIPC", mount_does_not_hold, "namespaces(7)", "Namespace lifetime", "ipc/mqueue.c", "mqueue_create_attr", "a mount of its mqueue does not hold it, though the page says so: without processes no queue can be made there, EACCES"),
        NSP("NEWTIME", clone_moves_child, "clone(2)", "CLONE_NEWTIME", "kernel/time/namespace.c", "copy_time_ns", "clone3 with it makes a child in a time namespace of its own"),
        NSP("NEWTIME", time_is_for_children, "time_namespaces(7)", "DESCRIPTION", "kernel/time/namespace.c", "copy_time_ns", "unshare(CLONE_NEWTIME) leaves the caller where it is; its children are born into the new one"),
        NSP("NEWTIME", offset_counts, "time_namespaces(7)", "/proc/pid/timens_offsets", "kernel/time/namespace.c", "proc_timens_set_offset", "CLOCK_MONOTONIC is ahead by the offset inside, and only there"),
        NSP("NEWTIME", boottime_offset_counts, "time_namespaces(7)", "/proc/pid/timens_offsets", "fs/proc/uptime.c", "uptime_proc_show", "CLOCK_BOOTTIME is ahead by its offset, and so is /proc/uptime"),
        NSP("NEWTIME", realtime_has_none, "time_namespaces(7)", "DESCRIPTION", "fs/proc/base.c", "timens_offsets_write", "there is no offset of CLOCK_REALTIME: EINVAL"),
        NSP("NEWTIME", offset_may_change_before, "time_namespaces(7)", "/proc/pid/timens_offsets", "kernel/time/namespace.c", "proc_timens_set_offset", "offsets may be written again as long as nobody is inside"),
        NSP("NEWTIME", offset_is_frozen, "time_namespaces(7)", "/proc/pid/timens_offsets", "kernel/time/namespace.c", "proc_timens_set_offset", "offsets are frozen once a process is inside: EACCES"),
        NSP("NEWTIME", time_before_zero, "time_namespaces(7)", "/proc/pid/timens_offsets", "kernel/time/namespace.c", "proc_timens_set_offset", "an offset that would put the clock below zero is ERANGE"),
        NSP("NEWCGROUP", cgroup_is_new, "cgroup_namespaces(7)", "DESCRIPTION", "kernel/cgroup/namespace.c", "copy_cgroup_ns", "with it, the child is in a cgroup namespace of its own"),
        NSP("NEWCGROUP", own_cgroup_is_root, "cgroup_namespaces(7)", "DESCRIPTION", "kernel/cgroup/namespace.c", "copy_cgroup_ns", "the cgroup in which it was made shows as / inside"),
};
COUNT_CLAIMS(namespaces);
