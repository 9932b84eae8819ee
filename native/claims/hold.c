/* SPDX-License-Identifier: MIT */
/* Knows how each flag of clone3 can be seen: a demonstration of a few named processes, held at rest until stdin ends. */
#include "hold.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

/*
 * The fd of all processes of a demonstration: the end of a pipe, whose other end the holder has. It ends with the holder, by whatever.
 * They have no other: sockets, terminals and files would show among what leads out of new namespaces.
 */
#define LIFE STDIN_FILENO
/* Seconds that a demonstration may take to come to rest: a tracer may stop it at every call. */
#define LIMIT 20

/* ---- Processes at rest ---- */

/* For the first process and each that held() began, whether it is at rest: in shared memory, by number. */
#define PARENT 0
#define MOST 8
static struct {
        volatile int begun;
        volatile int at_rest[MOST];
        volatile int count;
} *rests;
/* The number of this process. */
static int own;

static void rest(void)
{
        char byte;
        while (read(LIFE, &byte, 1) < 0 && errno == EINTR)
                ;
}

/* The memory of this program's arguments, of all its processes at the same place. */
static char *arguments;
static size_t arguments_size;

/*
 * What a person sees of it. The arguments become the name, too: where their last byte is no NUL, the kernel shows what is there as far as
 * the first one (fs/proc/base.c, get_mm_proctitle()).
 */
static void be_named(const char *name)
{
        prctl(PR_SET_NAME, name);
        memset(arguments, 0, arguments_size - 1);
        snprintf(arguments, arguments_size - 1, "%s", name);
        arguments[arguments_size - 1] = '.';
}

static void settle_down(int number, const char *name)
{
        be_named(name);
        rests->at_rest[number] = 1;
        rest();
}

/* The same with a memory of its own, without what it has shared with the others until now: that, too, would show. */
static _Noreturn void settle_down_alone(int number, const char *name)
{
        be_named(name);
        munmap(shared, sizeof(*shared));
        shared = NULL;
        rests->at_rest[number] = 1;
        munmap(rests, sizeof(*rests));
        rest();
        _exit(0);
}

/* A child with these flags and of that name, which does something first; returns when it is at rest. */
static pid_t held_by(pid_t (*begin)(uint64_t), const char *name, uint64_t flags, void (*first)(void))
{
        int number = rests->count++;
        pid_t child = begin(flags);
        if (child < 0)
                skip("clone3 with flags 0x%llx is refused: %s", (unsigned long long)flags, strerror(errno));
        if (child == 0) {
                own = number;
                be_named(name);
                if (first != NULL)
                        first();
                settle_down_alone(number, name);
        }
        wait_for(&rests->at_rest[number], 1);
        return child;
}

static pid_t held(const char *name, uint64_t flags, void (*first)(void))
{
        return held_by(fork_with, name, flags, first);
}

struct part {
        const char *name;
        void (*first)(void);
        int number;
        bool is_thread;
};

static int play(void *argument)
{
        struct part *part = argument;
        if (!part->is_thread)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (part->first != NULL)
                part->first();
        settle_down(part->number, part->name);
        return 0;
}

/* The same with a stack of its own: it shares the memory. */
static void held_in_memory(const char *name, uint64_t flags, void (*first)(void))
{
        static struct part parts[MOST];
        int number = rests->count++;
        parts[number] = (struct part){name, first, number, flags & CLONE_THREAD};
        run_with(flags, play, &parts[number]);
        wait_for(&rests->at_rest[number], 1);
}

/* ---- The demonstrations ---- */

static void go_to_usr(void)
{
        MUST(chdir("/usr"));
}

static void go_to_etc(void)
{
        MUST(chdir("/etc"));
}

static void show_fs(void)
{
        MUST(chdir("/"));
        held("copied", 0, go_to_etc);
        held("linked", CLONE_FS, go_to_usr);
}

static void open_something(void)
{
        MUST(open("/dev/null", O_RDONLY));
}

static void open_more(void)
{
        open_something();
        open_something();
}

static void show_files(void)
{
        held("copied", 0, open_more);
        held("linked", CLONE_FILES, open_something);
}

static void mount_own(void)
{
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        MUST(mount("demonstration", "/tmp", "tmpfs", 0, "mode=1777"));
}

static void show_mounts(void)
{
        gain_privilege();
        held("same-mounts", 0, NULL);
        held("own-mounts", CLONE_NEWNS, mount_own);
}

static void show_cgroups(void)
{
        gain_privilege();
        held("same-view", 0, NULL);
        held("own-view", CLONE_NEWCGROUP, NULL);
}

static void show_networks(void)
{
        gain_privilege();
        held("same-net", 0, NULL);
        held("own-net", CLONE_NEWNET, NULL);
}

static void have_child(void)
{
        held("second", 0, NULL);
}

static void show_pids(void)
{
        gain_privilege();
        held("same-pids", 0, NULL);
        held("init", CLONE_NEWPID, have_child);
}

static void show_users(void)
{
        int refused = refusal_of(CLONE_NEWUSER, SIGCHLD);
        if (refused != 0)
                skip("no privilege: clone3 with CLONE_NEWUSER: %s", strerror(refused));
        held("same-user", 0, NULL);
        held("unmapped", CLONE_NEWUSER, NULL);
        int number = rests->count++;
        pid_t child = fork_with(CLONE_NEWUSER);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                settle_down_alone(number, "root-inside");
        }
        MUST(map_root(child, geteuid(), getegid()));
        shared->number[0] = 1;
        wait_for(&rests->at_rest[number], 1);
}

static void show_ipc(void)
{
        gain_privilege();
        held("same-queues", 0, NULL);
        held("own-queues", CLONE_NEWIPC, NULL);
}

static void name_host(void)
{
        MUST(sethostname("demonstration", 13));
}

static void show_uts(void)
{
        gain_privilege();
        held("same-name", 0, NULL);
        held("own-name", CLONE_NEWUTS, name_host);
}

static void go_a_day_ahead(void)
{
        if (unshare_with(CLONE_NEWTIME) < 0)
                skip("unshare(CLONE_NEWTIME) is refused: %s", strerror(errno));
        MUST(write_file("/proc/self/timens_offsets", "boottime 86400 0"));
        held("a-day-ahead", 0, NULL);
}

static void show_time(void)
{
        gain_privilege();
        held("own-clock", CLONE_NEWTIME, NULL);
        held("by-unshare", 0, go_a_day_ahead);
}

static void show_io(void)
{
        /* ioprio_set(2): of best effort, level 3. Until then there may be no context to share. */
        if (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3) < 0)
                skip("kernel lacks I/O contexts: %s", strerror(errno));
        held("own-io", 0, NULL);
        held("linked", CLONE_IO, NULL);
}

static int target;
static pid_t fork_into_target(uint64_t flags)
{
        return fork_into(target, flags);
}

static void show_into_cgroup(void)
{
        target = open(make_own_cgroup(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        MUST(target);
        held("same-cgroup", 0, NULL);
        held_by(fork_into_target, "born-inside", 0, NULL);
        close(target);
}

static void make_sibling(void)
{
        held("child", 0, NULL);
        held("sibling", CLONE_PARENT, NULL);
}

static void show_parent(void)
{
        held("maker", 0, make_sibling);
}

static uint64_t made_with;
static const char *made_name;
static void be_traced(void)
{
        MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
        MUST(kill(getpid(), SIGSTOP));
        held("plain", 0, NULL);
        held(made_name, made_with, NULL);
}

/* Traces what it makes, under these options, until all of it has ended. */
static unsigned long traces_with;
static void trace(void)
{
        int number = rests->count++;
        pid_t traced = fork_with(0);
        if (traced == 0) {
                be_traced();
                settle_down_alone(number, "traced");
        }
        bool told = false;
        for (int status, first = 1;;) {
                pid_t pid = waitpid(-1, &status, __WALL | (told ? 0 : WNOHANG));
                if (pid < 0)
                        _exit(0);
                if (pid == 0) {
                        if (rests->at_rest[number] && !told) {
                                rests->at_rest[own] = 1;
                                told = true;
                        } else
                                usleep(500);
                        continue;
                }
                if (!WIFSTOPPED(status))
                        continue;
                if (first)
                        MUST(ptrace(PTRACE_SETOPTIONS, pid, NULL, traces_with | PTRACE_O_EXITKILL));
                first = 0;
                ptrace(PTRACE_CONT, pid, NULL, WSTOPSIG(status) == SIGCHLD ? (void *)(intptr_t)SIGCHLD : NULL);
        }
}

static void show_ptrace(void)
{
        made_with = CLONE_PTRACE;
        made_name = "traced-too";
        held("tracer", 0, trace);
}

static void show_untraced(void)
{
        made_with = CLONE_UNTRACED;
        made_name = "untraced";
        traces_with = PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE;
        held("tracer", 0, trace);
}

static int pidfd;
static pid_t fork_with_pidfd(uint64_t flags)
{
        struct clone_args args = {.flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
        pid_t child = clone3_with(&args);
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

static void show_pidfd(void)
{
        gain_privilege();
        held("without", CLONE_NEWUTS, NULL);
        held_by(fork_with_pidfd, "with-pidfd", CLONE_NEWUTS, NULL);
}

static pid_t fork_as_77(uint64_t flags)
{
        pid_t tid = 77;
        struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&tid, .set_tid_size = 1};
        pid_t child = clone3_with(&args);
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

static void choose_pid(void)
{
        held("next", 0, NULL);
        held_by(fork_as_77, "chosen", 0, NULL);
}

static void show_set_tid(void)
{
        gain_privilege();
        held("init", CLONE_NEWPID, choose_pid);
}

/* Where the kernel stores the child's id: CLONE_CHILD_SETTID in its own copy, CLONE_PARENT_SETTID in the parent's. */
static pid_t stored[2];
static pid_t fork_storing(uint64_t flags)
{
        struct clone_args args = {
                .flags = flags | CLONE_CHILD_SETTID | CLONE_PARENT_SETTID,
                .child_tid = (uint64_t)(uintptr_t)&stored[0],
                .parent_tid = (uint64_t)(uintptr_t)&stored[1],
                .exit_signal = SIGCHLD,
        };
        pid_t child = clone3_with(&args);
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

/* The one thing to see it by is the name that it gives itself. */
static void tell_stored(void)
{
        char name[16];
        snprintf(name, sizeof(name), "stored-%d", stored[0]);
        settle_down_alone(own, name);
}

static void show_settid(void)
{
        gain_privilege();
        held_by(fork_storing, "stored", CLONE_NEWPID, tell_stored);
}

static void vfork_one(void)
{
        pid_t child = fork_with(CLONE_VFORK);
        if (child == 0) {
                /* Its parent never says so itself: it is held. */
                settle_down_alone(own, "child");
        }
}

static void show_vfork(void)
{
        held("not-waiting", 0, have_child);
        held("waiting", 0, vfork_one);
}

static void show_memory(void)
{
        held("copied", 0, NULL);
        held_in_memory("linked", CLONE_VM, NULL);
}

static void show_handlers(void)
{
        held_in_memory("own-handlers", CLONE_VM, NULL);
        held_in_memory("linked", CLONE_VM | CLONE_SIGHAND, NULL);
}

static void show_thread(void)
{
        held("process", 0, NULL);
        held_in_memory("thread", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, go_to_usr);
}

static void show_undo(void)
{
        held("own-undo", 0, NULL);
        held("linked", CLONE_SYSVSEM, NULL);
}

static void on_signal(int signal)
{
        (void)signal;
}

static void show_clear(void)
{
        signal(SIGUSR1, on_signal);
        held("inherits", 0, NULL);
        held("cleared", CLONE_CLEAR_SIGHAND, NULL);
}

/* The tabs are those of the screen (src/model/details.ts). */
static const struct demonstration {
        const char *flag;
        /* The claim that it shows, by its id. */
        const char *claim;
        const char *tab;
        /* The process to look at, by its name. */
        const char *select;
        /* What is to be seen there. */
        const char *look;
        void (*run)(void);
        /* It has a tracer of its own: nsview attaches when all are at rest. */
        bool late;
} demonstrations[] = {
        {"CLONE_FS", "chdir_moves_parent", "sharing", "linked", "`linked` went to /usr, and its parent is there, too: they have one cwd, root and umask. `copied` went to /etc alone.", show_fs, false},
        {"CLONE_FILES", "opened_in_child", "sharing", "linked", "`linked` opened a file, and it is open in its parent, too: they have one file table. `copied` opened two for itself.", show_files, false},
        {"CLONE_NEWNS", "private_stays_inside", "mounts", "own-mounts", "`own-mounts` has mounted a tmpfs on /tmp, which `same-mounts` beside it does not see.", show_mounts, false},
        {"CLONE_NEWCGROUP", "own_cgroup_is_root", "cgroup", "own-view", "the cgroup of `own-view` is that of `same-view` beside it, but shows as / to `own-view`.", show_cgroups, false},
        {"CLONE_NEWNET", "only_loopback", "network", "own-net", "`own-net` has a loopback interface, which is down, and nothing else. `same-net` beside it has its parent's network.", show_networks, false},
        {"CLONE_NEWPID", "is_one", "identity", "init", "`init` has a pid outside, and is 1 inside; `second`, its child, is 2. `same-pids` has one pid only.", show_pids, false},
        {"CLONE_NEWUSER", "full_inside", "identity", "root-inside", "`root-inside` is root and has all capabilities, but only over what belongs to its user namespace. In `unmapped` nobody wrote a map.", show_users, false},
        {"CLONE_NEWIPC", "queues_are_apart", "namespaces", "own-queues", "the ipc namespace of `own-queues` is new; `same-queues` has its parent's, with its queues, semaphores and shared memory.", show_ipc, false},
        {"CLONE_NEWUTS", "name_stays_inside", "namespaces", "own-name", "the uts namespace of `own-name` is new, and its host name there is demonstration; that of the machine is as it was.", show_uts, false},
        {"CLONE_NEWTIME", "time_is_for_children", "namespaces", "by-unshare", "`by-unshare` called unshare: the time namespace is for its children, and `a-day-ahead` was born into it. `own-clock` came by clone3.", show_time, false},
        {"CLONE_IO", "context_is_one", "sharing", "linked", "`linked` and its parent have one I/O context; `own-io` has a copy.", show_io, false},
        {"CLONE_INTO_CGROUP", "born_inside", "cgroup", "born-inside", "`born-inside` is in a cgroup in which its parent never was; `same-cgroup` beside it is in its parent's.", show_into_cgroup, false},
        {"CLONE_PARENT", "is_sibling", "identity", "sibling", "`maker` made `sibling`, but its parent is that of `maker`. `child` was made without the flag.", show_parent, false},
        {"CLONE_PTRACE", "traced_too", "identity", "traced-too", "`traced-too` is traced by `tracer`, as `traced` is, which made it. `plain` was made without the flag.", show_ptrace, true},
        {"CLONE_UNTRACED", "untraced_escapes", "identity", "untraced", "the tracer asked for all children of `traced` and got `plain`; `untraced` escaped it.", show_untraced, true},
        {"CLONE_PIDFD", "pidfd_is_of_child", "sharing", "parent", "`parent` has an fd that refers to `with-pidfd`, which is in another uts namespace; of `without` it has none.", show_pidfd, false},
        {"CLONE_SETTID", "settid_is_as_the_childs_namespace", "identity", "stored-1", "the child named itself after the id that the kernel stored in its memory: 1, as its pid namespace has it.", show_settid, false},
        {"set_tid", "set_tid_sets", "identity", "chosen", "`chosen` is 77 inside its pid namespace, as its maker wished; `next` before it got the next that was free.", show_set_tid, false},
        {"CLONE_VFORK", "vfork_waits_for_exit", "identity", "waiting", "`waiting` cannot go on, or be interrupted, before its child executes a program or ends; `not-waiting` has a child, too.", show_vfork, false},
        {"CLONE_VM", "write_is_seen", "sharing", "linked", "`linked` and its parent have one memory; `copied` has a copy.", show_memory, false},
        {"CLONE_SIGHAND", "kcmp_sees_handlers", "sharing", "linked", "`linked` and its parent have one table of signal handlers; `own-handlers` shares the memory, and has handlers of its own.", show_handlers, false},
        {"CLONE_THREAD", "thread_may_have_own_directory", "sharing", "parent", "the thread is in `parent`, not beside it as `process`; without CLONE_FS and CLONE_FILES it has a cwd and a file table of its own.", show_thread, false},
        {"CLONE_SYSVSEM", "kcmp_sees_undo", "sharing", "linked", "`linked` and its parent have one list of what is undone in semaphores; `own-undo` has none of it.", show_undo, false},
        {"CLONE_CLEAR_SIGHAND", "handlers_are_cleared", "identity", "cleared", "`parent` handles SIGUSR1, and `inherits` does, too; `cleared` handles nothing.", show_clear, false},
};

/* ---- The holder ---- */

static void tell_processes(pid_t pid, const char *select, pid_t *ret_select, const char *separator)
{
        char path[64], text[4096], name[64];
        snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        if (read_file(path, name, sizeof(name)) < 0)
                return;
        name[strcspn(name, "\n")] = 0;
        printf("%s{\"pid\":%d,\"name\":\"%s\"}", separator, pid, name);
        if (strcmp(name, select) == 0)
                *ret_select = pid;
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
        if (read_file(path, text, sizeof(text)) < 0)
                return;
        char *rest_of_it;
        for (char *word = strtok_r(text, " ", &rest_of_it); word != NULL; word = strtok_r(NULL, " ", &rest_of_it))
                tell_processes(atoi(word), select, ret_select, ",");
}

static void end(pid_t parent)
{
        kill(parent, SIGKILL);
        reap_rest();
        remove_cgroups();
}

int hold(const char *flag, char **argv, const struct claim *(*find)(const char *flag, const char *id))
{
        const struct demonstration *shown = NULL;
        for (size_t i = 0; i < sizeof(demonstrations) / sizeof(*demonstrations); i++)
                if (is_flag(demonstrations[i].flag, flag))
                        shown = &demonstrations[i];
        if (shown == NULL) {
                printf("{\"refused\":\"there are demonstrations of");
                for (size_t i = 0; i < sizeof(demonstrations) / sizeof(*demonstrations); i++)
                        printf("%s %s", i == 0 ? "" : ",", demonstrations[i].flag);
                puts("\"}");
                return 2;
        }
        rests = mmap(NULL, sizeof(*rests), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int life[2];
        if (rests == MAP_FAILED || pipe2(life, O_CLOEXEC) < 0)
                return 1;
        rests->count = PARENT + 1;
        arguments = argv[0];
        while (*argv != NULL)
                arguments_size = (size_t)(*argv++ - arguments);
        arguments_size += strlen(arguments + arguments_size) + 1;
        setpgid(0, 0);
        pid_t holder = getpid();
        pid_t parent = fork();
        if (parent < 0)
                return 1;
        if (parent == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != holder)
                        _exit(1);
                be_named("parent");
                dup2(life[0], LIFE);
                syscall(SYS_close_range, LIFE + 1, ~0U, 0);
                for (size_t i = 0; i < 4; i++)
                        signal((int[]){SIGINT, SIGTERM, SIGHUP, SIGPIPE}[i], SIG_DFL);
                wait_for(&rests->begun, 1);
                shown->run();
                settle_down_alone(PARENT, "parent");
        }
        close(life[0]);
        const struct claim *claim = find(shown->flag, shown->claim);
        printf("{\"pid\":%d,\"late\":%s", parent, shown->late ? "true" : "false");
        print_pair("flag", shown->flag);
        print_pair("tab", shown->tab);
        print_pair("look", shown->look);
        print_pair("sentence", claim == NULL ? "" : claim->sentence);
        puts("}");
        fflush(stdout);

        char byte;
        ssize_t n;
        /* Somebody who asks for it to begin: until then a tracer can come. */
        do
                n = read(STDIN_FILENO, &byte, 1);
        while (n < 0 && errno == EINTR && !is_stopped());
        if (n <= 0) {
                end(parent);
                return 0;
        }
        rests->begun = 1;
        int waited = 0;
        while (!rests->at_rest[PARENT] && shared->verdict == HELD && waited < LIMIT * 1000 && !is_stopped()) {
                usleep(1000);
                waited++;
                /* It may have ended without a word; what else ends is reaped by its own parent. */
                if (waitpid(parent, NULL, WNOHANG) == parent && shared->verdict == HELD) {
                        shared->verdict = BROKEN;
                        snprintf(shared->reason, sizeof(shared->reason), "its first process has ended");
                }
        }
        if (!rests->at_rest[PARENT]) {
                if (shared->verdict == HELD)
                        snprintf(shared->reason, sizeof(shared->reason), "not at rest within %d s", LIMIT);
                printf("{\"refused\":");
                print_string(shared->reason);
                puts("}");
                end(parent);
                return 1;
        }
        pid_t select = parent;
        printf("{\"processes\":[");
        tell_processes(parent, shown->select, &select, "");
        printf("],\"select\":%d}\n", select);
        fflush(stdout);
        do
                n = read(STDIN_FILENO, &byte, 1);
        while (!is_stopped() && (n > 0 || (n < 0 && errno == EINTR)));
        end(parent);
        return 0;
}
