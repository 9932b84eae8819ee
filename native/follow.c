/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "btf.h"
#include "capture.h"
#include "cgroup_path.h"
#include "detach.h"
#include "follow_abi.h"
#include "reread.h"
#include "sys.h"
#include "syscall_events.h"
#include "tracer.h"

/* Bytes: some 30,000 births. The helper empties it every 8 ms. */
#define RING_SIZE (16u << 20)
#define WAKING_RING_SIZE 65536u /* pages of every size divide it */
/* No machine has more processes than this: pid_max is 4 M at the most (proc_sys_kernel(5)). */
#define FOLLOWED_MOST (4u << 20)
#define FOLLOWED_LEAST (64u << 10)
/* Tasks that wait in an isolation call when a signal comes. */
#define INTERRUPTED_MOST 4096u
/* A stop signal that has stopped nothing after this long was without effect: its process group is orphaned. */
#define STOPPING_NS 400000000u
#define STOPPING_POLL_MS 4
#define CLOCK_TICK_NS 10000000u /* USER_HZ is 100 on every architecture of nsview's */

/* ---- Loading ---- */

static int find_offsets(struct follow_config *config, uint32_t *iterator)
{
        const struct btf_wanted wanted[] = {
#define WANTED(name, structure, member) {structure, member, &config->name},
                FOLLOW_OFFSETS(WANTED) FOLLOW_OPTIONAL_OFFSETS(WANTED)
#undef WANTED
                {"upid", NULL, &config->upid_size},
                {"bpf_iter_task", BTF_FUNCTION, iterator},
        };
        int r = btf_find("/sys/kernel/btf/vmlinux", wanted, sizeof(wanted) / sizeof(*wanted));
        if (r < 0)
                return r;
#define NEEDED(name, structure, member)  \
        if (config->name == BTF_ABSENT) \
                return -ENODATA;
        FOLLOW_OFFSETS(NEEDED)
#undef NEEDED
        return config->upid_size == BTF_ABSENT || *iterator == BTF_ABSENT ? -ENODATA : 0;
}

static int64_t time_offset(const char *text, const char *clock)
{
        const char *line = strstr(text, clock);
        long long seconds, nanoseconds;
        if (!line || sscanf(line + strlen(clock), "%lld %lld", &seconds, &nanoseconds) != 2)
                return 0;
        return (int64_t)seconds * 1000000000 + nanoseconds;
}

/* The programs count in the initial time namespace, everybody else in the helper's (time_namespaces(7)). */
static void read_time_offsets(struct follow *follow)
{
        char text[512];
        ssize_t n = read_task_file(getpid(), "timens_offsets", text, sizeof(text) - 1);
        if (n < 0)
                return;
        text[n] = '\0';
        follow->monotonic_offset = time_offset(text, "monotonic");
        follow->boottime_offset = time_offset(text, "boottime");
}

/* proc_sys_kernel(5), cap_last_cap */
static uint64_t all_capabilities(void)
{
        char text[16] = "";
        unsigned last;
        _cleanup_close_ int fd = open("/proc/sys/kernel/cap_last_cap", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        return n > 0 && sscanf(text, "%u", &last) == 1 && last < 63 ? (UINT64_C(1) << (last + 1)) - 1 : 0;
}

static int create_map(struct follow *follow, enum follow_map map, uint32_t type, uint32_t key, uint32_t value, uint32_t entries,
                      uint32_t flags)
{
        int fd = bpf_map_create(type, key, value, entries, flags);
        if (fd >= 0)
                follow->maps[map] = fd;
        return fd < 0 ? fd : 0;
}

/* How many processes there can be (proc_sys_kernel(5), threads-max). Memory for one is taken when it comes, but 16 bytes for the place of each
 * at once, and the guard looks through all places (kernel/bpf/hashtab.c). */
static uint32_t followed_max(void)
{
        char text[32] = "";
        long long most = 0;
        _cleanup_close_ int fd = open("/proc/sys/kernel/threads-max", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        if (n <= 0 || sscanf(text, "%lld", &most) != 1 || most > FOLLOWED_MOST)
                return FOLLOWED_MOST;
        /* It may be raised while nsview runs. */
        return most < FOLLOWED_LEAST ? FOLLOWED_LEAST : (uint32_t)most;
}

/* They lie in the same map. */
_Static_assert(sizeof(struct follow_clone) <= sizeof(struct follow_exec) && sizeof(struct follow_move) <= sizeof(struct follow_exec),
               "scratch holds any");

static int create_maps(struct follow *follow, size_t ring)
{
        const struct {
                enum follow_map map;
                uint32_t type, key, value, entries, flags;
        } maps[] = {
                {FOLLOW_MAP_followed, BPF_MAP_TYPE_HASH, sizeof(int32_t), sizeof(uint64_t), followed_max(), BPF_F_NO_PREALLOC},
                {FOLLOW_MAP_lost, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(uint64_t), 1, 0},
                {FOLLOW_MAP_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct follow_exec), 1, 0},
                {FOLLOW_MAP_self, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct follow_self), 1, 0},
                {FOLLOW_MAP_cgroup_root, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct follow_cgroup), 1, 0},
                {FOLLOW_MAP_numbers, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct follow_number), NSV_CALL_NUMBERS, 0},
                {FOLLOW_MAP_returns, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct follow_returns), 1, 0},
                {FOLLOW_MAP_events_tell, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(uint32_t), 1, 0},
                {FOLLOW_MAP_interrupted, BPF_MAP_TYPE_HASH, sizeof(uint64_t), sizeof(struct follow_interrupted), INTERRUPTED_MOST,
                 BPF_F_NO_PREALLOC},
                {FOLLOW_MAP_foreign, BPF_MAP_TYPE_RINGBUF, 0, 0, WAKING_RING_SIZE, 0},
                {FOLLOW_MAP_busy, BPF_MAP_TYPE_RINGBUF, 0, 0, WAKING_RING_SIZE, 0},
                {FOLLOW_MAP_call_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), sizeof(struct follow_call), 1, 0},
        };
        for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++) {
                int r = create_map(follow, maps[i].map, maps[i].type, maps[i].key, maps[i].value, maps[i].entries, maps[i].flags);
                if (r < 0)
                        return r;
        }
        return create_map(follow, FOLLOW_MAP_ring, BPF_MAP_TYPE_RINGBUF, 0, 0, (uint32_t)ring, 0);
}

/* Read-only for everybody from now on: the verifier takes its values for constants. */
static int publish_config(struct follow *follow, const struct follow_config *config)
{
        if (follow->maps[FOLLOW_MAP_config] >= 0)
                close(follow->maps[FOLLOW_MAP_config]);
        follow->maps[FOLLOW_MAP_config] = -EBADF;
        int r = create_map(follow, FOLLOW_MAP_config, BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(*config), 1, BPF_F_RDONLY_PROG);
        uint32_t zero = 0;
        if (r == 0)
                r = bpf_map_put(follow->maps[FOLLOW_MAP_config], &zero, config, 0);
        if (r == 0)
                r = bpf_map_freeze(follow->maps[FOLLOW_MAP_config]);
        return r;
}

#define PROGRAM_COUNT (sizeof(follow_programs) / sizeof(*follow_programs))

static bool is_program(size_t i, const char *name)
{
        return strcmp(follow_programs[i].name, name) == 0;
}

static size_t program_index(const char *name)
{
        size_t i = 0;
        while (!is_program(i, name))
                i++;
        return i;
}

static int load_program(struct follow *follow, size_t i)
{
        static const bool is_value[FOLLOW_MAP_COUNT] = {[FOLLOW_MAP_config] = true};
        bool iterates = is_program(i, "iter_task");
        uint32_t type = iterates                          ? BPF_PROG_TYPE_TRACING
                        : is_program(i, "syscall_return") ? BPF_PROG_TYPE_TRACEPOINT
                                                          : BPF_PROG_TYPE_RAW_TRACEPOINT;
        int fd = bpf_program_load(&follow_programs[i], type, iterates ? follow->iterator : 0, follow->maps, is_value);
        if (fd >= 0)
                follow->programs[i] = fd;
        return fd < 0 ? fd : 0;
}

/* The helper runs a program on itself, which writes down how the kernel knows it. */
static int know_self(struct follow *follow, struct follow_config *config, size_t i)
{
        uint32_t zero = 0;
        int r = publish_config(follow, config);
        if (r == 0)
                r = load_program(follow, i);
        if (r == 0)
                r = bpf_program_run(follow->programs[i]);
        if (r == 0)
                r = bpf_map_get(follow->maps[FOLLOW_MAP_self], &zero, &config->self);
        if (r == 0 && config->self.pid != (uint32_t)getpid())
                r = -EBADMSG; /* the offsets are not those of this kernel */
        return r < 0 ? r : publish_config(follow, config);
}

static void fill_numbers(struct follow_number numbers[NSV_CALL_NUMBERS], struct follow_config *config)
{
        for (uint32_t i = 0; i < NSV_CALL_COUNT; i++) {
                numbers[nsv_numbers[i].native].native = 1 + i;
                memcpy(numbers[nsv_numbers[i].native].pointers, nsv_numbers[i].pointers, sizeof(nsv_numbers[i].pointers));
                numbers[nsv_numbers[i].narrow].narrow = 1 + i;
                if (nsv_numbers[i].narrow_too)
                        numbers[nsv_numbers[i].narrow_too].narrow = 1 + i;
        }
        for (uint32_t i = 0; i < NSV_CALL_NUMBERS; i++)
                if (numbers[i].native || numbers[i].narrow)
                        config->wanted[i / 64] |= UINT64_C(1) << (i % 64);
        config->abi_32 = FOLLOW_ABI_32;
        config->registers_step = FOLLOW_REGISTER_STEP;
        config->has_x32 = FOLLOW_HAS_X32;
        config->forgets_calls = FOLLOW_FORGETS_CALLS;
        config->result_in_first = FOLLOW_RESULT_IN_FIRST;
}

static int publish_numbers(struct follow *follow, struct follow_config *config)
{
        static struct follow_number numbers[NSV_CALL_NUMBERS];
        memset(numbers, 0, sizeof(numbers));
        fill_numbers(numbers, config);
        for (uint32_t i = 0; i < NSV_CALL_NUMBERS; i++) {
                if (!numbers[i].native && !numbers[i].narrow)
                        continue;
                int r = bpf_map_put(follow->maps[FOLLOW_MAP_numbers], &i, &numbers[i], 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* As the kernel's own source names them. */
static int open_call_events(struct follow *follow, int program)
{
        static const char *const names[NSV_CALL_COUNT] = {
#define NAME(name, ...) #name,
                NSV_CALLS(NAME)
#undef NAME
        };
        const char *defined[NSV_CALL_COUNT];
        memcpy(defined, names, sizeof(names));
        defined[NSV_CALL_umount2] = "umount";
        return syscall_events_open(defined, NSV_CALL_COUNT, program, follow->call_events);
}

/* A kernel without cgroups has neither these tracepoints nor what their programs read. Without them moves are seen in /proc. */
static bool is_of_cgroups(size_t i)
{
        return strncmp(follow_programs[i].name, "cgroup_", strlen("cgroup_")) == 0;
}

static bool has_cgroups(const struct follow_config *config)
{
        const uint32_t offsets[] = {config->cgroup_ns_root, config->css_set_links, config->link_cgroup,    config->link_entry,
                                    config->cgroup_root,    config->cgroup_kn,     config->root_hierarchy};
        for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
                if (offsets[i] == FOLLOW_ABSENT)
                        return false;
        return config->self.root_css_set != 0;
}

static int load_programs(struct follow *follow, struct follow_config *config)
{
        /* The others take their own identity from this one. */
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                int r = is_program(i, "self") ? know_self(follow, config, i) : 0;
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                bool later = is_program(i, "self") || is_program(i, "syscall_return");
                int r = later || (is_of_cgroups(i) && !has_cgroups(config)) ? 0 : load_program(follow, i);
                if (r < 0 && !is_of_cgroups(i))
                        return r;
        }
        return 0;
}

static int attach_program(struct follow *follow, size_t i)
{
        int fd = bpf_raw_tracepoint_open(follow->programs[i], follow_programs[i].name);
        if (fd < 0)
                return fd;
        follow->links[i] = fd;
        return 0;
}

/* The others are run once, attached otherwise or attached by nsview-guard. */
static bool is_attached_at_once(size_t i)
{
        return !is_program(i, "self") && !is_program(i, "syscall_return") && !is_program(i, "sys_enter") && !is_program(i, "iter_task");
}

static int attach_programs(struct follow *follow)
{
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                int r = is_attached_at_once(i) && follow->programs[i] >= 0 ? attach_program(follow, i) : 0;
                if (r < 0 && !is_of_cgroups(i))
                        return r;
        }
        /* It has the same arguments, and is of cgroup v1 alone: without it such a move is seen in /proc. */
        int moves = follow->programs[program_index("cgroup_attach_task")];
        follow->transfer_link = moves < 0 ? -EBADF : bpf_raw_tracepoint_open(moves, "cgroup_transfer_tasks");
        return 0;
}

/* ---- Which program sees the calls ---- */

bool follow_sees_every_abi(const struct follow *follow)
{
        return follow->active && follow->links[program_index("sys_exit")] >= 0;
}

int follow_foreign_fd(const struct follow *follow)
{
        return follow->foreign_runs ? -EBADF : follow->maps[FOLLOW_MAP_foreign];
}

int follow_see_foreign(struct follow *follow)
{
        follow->foreign_runs = true;
        if (follow_sees_every_abi(follow))
                return 0;
        int r = attach_program(follow, program_index("sys_exit"));
        return r < 0 ? r : 1;
}

int follow_look_at_program(struct follow *follow, pid_t tgid)
{
        if (follow->foreign_runs)
                return 0;
        unsigned char head[EI_CLASS + 1];
        ssize_t n = read_task_file(tgid, "exe", head, sizeof(head));
        return n == (ssize_t)sizeof(head) && head[EI_CLASS] == ELFCLASS32 ? follow_see_foreign(follow) : 0;
}

/* From sys_exit over to events. What returns in the very moment of the change may be told twice, and never not at all: sys_exit, which
 * was there first, runs first. */
static int go_over_to_events(struct follow *follow)
{
        size_t i = program_index("syscall_return");
        int r = load_program(follow, i);
        if (r == 0)
                r = open_call_events(follow, follow->programs[i]);
        uint32_t zero = 0, yes = 1;
        if (r >= 0)
                r = bpf_map_put(follow->maps[FOLLOW_MAP_events_tell], &zero, &yes, 0);
        if (r < 0)
                return r;
        i = program_index("sys_exit");
        close(follow->links[i]);
        follow->links[i] = -EBADF;
        return 0;
}

static bool may_go_over(const struct follow *follow)
{
        return follow_sees_every_abi(follow) && !follow->foreign_runs && !follow->keep_sys_exit;
}

int follow_busy_fd(const struct follow *follow)
{
        return may_go_over(follow) ? follow->maps[FOLLOW_MAP_busy] : -EBADF;
}

int follow_relieve(struct follow *follow)
{
        if (!may_go_over(follow))
                return 0;
        int r = go_over_to_events(follow);
        /* Refused here: it stays as it is. */
        follow->keep_sys_exit = r < 0;
        return r < 0 ? 0 : 1;
}

int follow_open(struct follow *follow, size_t size, bool every_abi, uint32_t *ret_stage)
{
        memset(follow, 0, sizeof(*follow));
        for (size_t i = 0; i < FOLLOW_MAP_COUNT; i++)
                follow->maps[i] = -EBADF;
        for (size_t i = 0; i < PROGRAM_COUNT; i++)
                follow->programs[i] = follow->links[i] = -EBADF;
        for (size_t i = 0; i < NSV_CALL_COUNT; i++)
                follow->call_events[i] = -EBADF;
        follow->transfer_link = -EBADF;
        follow->keep_sys_exit = every_abi;
        read_time_offsets(follow);
        follow->all_capabilities = all_capabilities();

        struct follow_config config = {0};
        /* A power of two, of whole pages. */
        if (size < 4096 || size > RING_SIZE || (size & (size - 1)) != 0)
                size = RING_SIZE;
        /* First what is refused at once to those who may not. */
        *ret_stage = NSV_STAGE_BPF_MAP;
        int r = create_maps(follow, size);
        if (r == 0) {
                *ret_stage = NSV_STAGE_BTF;
                r = find_offsets(&config, &follow->iterator);
        }
        if (r == 0) {
                *ret_stage = NSV_STAGE_BPF_MAP;
                r = publish_numbers(follow, &config);
        }
        if (r == 0) {
                *ret_stage = NSV_STAGE_BPF_LOAD;
                r = load_programs(follow, &config);
        }
        if (r == 0) {
                *ret_stage = NSV_STAGE_BPF_RING;
                r = bpf_ring_map(&follow->ring, follow->maps[FOLLOW_MAP_ring], size);
        }
        if (r == 0) {
                *ret_stage = NSV_STAGE_BPF_ATTACH;
                r = attach_programs(follow);
        }
        if (r < 0) {
                follow_close(follow);
                return r;
        }
        follow->active = true;
        return 0;
}

void follow_close_events(struct follow *follow)
{
        int open[NSV_CALL_COUNT];
        size_t count = 0;
        for (int i = 0; i < NSV_CALL_COUNT; i++)
                if (follow->call_events[i] >= 0)
                        open[count++] = follow->call_events[i];
        if (count == 0 || fork() != 0)
                return;
        /* Who waits for the end of a pipe must not wait for the events. */
        detach("nsview-closing", open, count);
        _exit(0);
}

void follow_close(struct follow *follow)
{
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                if (follow->links[i] >= 0)
                        close(follow->links[i]);
                if (follow->programs[i] >= 0)
                        close(follow->programs[i]);
        }
        if (follow->transfer_link >= 0)
                close(follow->transfer_link);
        bpf_ring_unmap(&follow->ring);
        for (size_t i = 0; i < FOLLOW_MAP_COUNT; i++)
                if (follow->maps[i] >= 0)
                        close(follow->maps[i]);
        follow->active = false;
}

int follow_add(struct follow *follow, pid_t tgid)
{
        int32_t key = tgid;
        uint64_t unknown = 0;
        int r = bpf_map_put(follow->maps[FOLLOW_MAP_followed], &key, &unknown, BPF_NOEXIST);
        return r == -EEXIST ? 0 : r < 0 ? r : 1;
}

int follow_walk_threads(struct follow *follow, void (*found)(void *data, const struct follow_thread *thread), void *data)
{
        _cleanup_close_ int fd = bpf_iterator_open(follow->programs[program_index("iter_task")]);
        if (fd < 0)
                return fd;
        struct follow_thread threads[128];
        size_t used = 0;
        for (;;) {
                ssize_t n = read(fd, (char *)threads + used, sizeof(threads) - used);
                /* EAGAIN: a million of tasks without one that is followed. */
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                used += (size_t)n;
                size_t whole = used / sizeof(*threads);
                for (size_t i = 0; i < whole; i++) {
                        struct follow_thread thread = threads[i];
                        thread.at += (uint64_t)follow->monotonic_offset;
                        found(data, &thread);
                }
                used -= whole * sizeof(*threads);
                memmove(threads, threads + whole, used);
        }
}

void follow_forget(struct follow *follow, pid_t tgid)
{
        int32_t key = tgid;
        uint64_t start;
        /* Not if a child that the programs saw being born has this number by now. */
        if (bpf_map_get(follow->maps[FOLLOW_MAP_followed], &key, &start) == 0 && start == 0)
                bpf_map_delete(follow->maps[FOLLOW_MAP_followed], &key);
}

/* ---- Events into records ---- */

void follow_copy_inodes(const uint32_t from[NSV_LINK_COUNT], int64_t to[NSV_LINK_COUNT])
{
        for (int i = 0; i < NSV_LINK_COUNT; i++)
                to[i] = from[i] ? (int64_t)from[i] : -ENOENT;
}

static uint64_t start_ticks(const struct follow *follow, uint64_t start)
{
        return (start + (uint64_t)follow->boottime_offset) / CLOCK_TICK_NS;
}

static bool all_unknown(const int64_t ns[NSV_LINK_COUNT])
{
        for (int i = 0; i < NSV_LINK_COUNT; i++)
                if (ns[i] != 0)
                        return false;
        return true;
}

/* A task of that process. One of another that has the number has ended, and its end was not told: events were lost. */
static struct task *find_of(struct tracer *tracer, pid_t tid, pid_t tgid)
{
        struct task *task = task_find(tracer, tid);
        if (!task || task->tgid == tgid)
                return task;
        if (task->tid != task->tgid)
                tracer_count_thread(tracer, task->tgid, -1);
        task_remove(tracer, task);
        return NULL;
}

/* The task of an event, with the namespaces that it is in; told if they are not what they were. NULL without memory. */
static struct task *event_task(struct tracer *tracer, const struct follow_event *event, uint64_t at)
{
        struct task *task = find_of(tracer, event->tid, event->pid);
        if (!task) {
                task = task_add(tracer, event->tid, event->pid);
                if (!task)
                        return NULL;
                task->start = start_ticks(&tracer->follow, event->start);
                if (event->tid != event->pid)
                        tracer_count_thread(tracer, event->pid, 1);
        }
        int64_t now[NSV_LINK_COUNT];
        follow_copy_inodes(event->ns, now);
        /* What was read from /proc after this is newer. */
        if (at < task->seen_at || memcmp(now, task->ns, sizeof(now)) == 0)
                return task;
        if (!all_unknown(task->ns)) {
                struct nsv_record record = {
                        .kind = NSV_RECORD_NAMESPACES, .at = at, .pid = event->pid, .tid = event->tid, .start = task->start};
                memcpy(record.ns, task->ns, sizeof(record.ns));
                memcpy(record.child_ns, now, sizeof(now));
                tracer_emit(tracer, &record, NULL, 0);
        }
        memcpy(task->ns, now, sizeof(now));
        return task;
}

#define PIDS_TEXT (12 * FOLLOW_LEVELS)

/* As NSpid has them. */
static size_t print_pids(const struct follow_pids *pids, char to[static PIDS_TEXT])
{
        int length = 0;
        for (uint32_t i = 0; i < pids->count && i < FOLLOW_LEVELS; i++)
                length += snprintf(to + length, PIDS_TEXT - (size_t)length, "%s%d", i ? "\t" : "", pids->numbers[i]);
        return (size_t)length;
}

/* From the last component to the first, each with its NUL: as readlink has it. Its length, or -ENOSPC. */
static ssize_t join_path(const char *components, size_t size, bool deleted, char *to, size_t room)
{
        static const char suffix[] = " (deleted)";
        size_t used = 0, extra = deleted ? sizeof(suffix) - 1 : 0;
        for (size_t end = size; end > 0;) {
                size_t begin = end - 1;
                while (begin > 0 && components[begin - 1] != '\0')
                        begin--;
                size_t length = end - 1 - begin;
                if (used + 1 + length + extra > room)
                        return -ENOSPC;
                to[used++] = '/';
                memcpy(to + used, components + begin, length);
                used += length;
                end = begin;
        }
        memcpy(to + used, suffix, extra);
        return (ssize_t)(used + extra);
}

/* From the root of the hierarchy, without a slash at its end. Its length, or -ENAMETOOLONG. */
static ssize_t join_cgroup(const char *names, size_t size, bool cut, char to[static CGROUP_TEXT])
{
        if (cut)
                return -ENAMETOOLONG;
        ssize_t n = join_path(names, size, false, to, CGROUP_TEXT - 1);
        if (n < 0)
                return -ENAMETOOLONG;
        to[n] = '\0';
        return n;
}

/* As the line `0::` of /proc/PID/cgroup has it. Its length, or -errno. */
static ssize_t print_cgroup(const struct follow *follow, const struct follow_clone *event, char to[static CGROUP_TEXT])
{
        struct follow_cgroup root;
        uint32_t zero = 0;
        char root_path[CGROUP_TEXT], path[CGROUP_TEXT];
        ssize_t n = bpf_map_get(follow->maps[FOLLOW_MAP_cgroup_root], &zero, &root);
        if (n < 0 || (n = join_cgroup(root.names, root.size, root.cut, root_path)) < 0 ||
            (n = join_cgroup(event->cgroup.names, event->cgroup.size, event->cgroup.cut, path)) < 0)
                return n;
        return cgroup_from(root_path, path, to, CGROUP_TEXT);
}

/* In a new user namespace it has all capabilities, but for those that are inheritable or ambient (kernel/user_namespace.c, set_cred_user_ns). */
static void inherit_cred(const struct follow *follow, const struct task *caller, struct task *child, uint64_t flags)
{
        child->cred = caller->cred;
        child->cred_known = caller->cred_known;
        if (!(flags & CLONE_NEWUSER))
                return;
        uint64_t *sets = child->cred.capabilities, all = follow->all_capabilities;
        sets[NSV_CAPABILITIES_permitted] = sets[NSV_CAPABILITIES_effective] = sets[NSV_CAPABILITIES_bounding] = all;
        sets[NSV_CAPABILITIES_inheritable] = sets[NSV_CAPABILITIES_ambient] = 0;
        child->cred_known = child->cred_known && all != 0;
}

static void on_clone(struct tracer *tracer, const struct follow_clone *event, size_t size, uint64_t at)
{
        if (size < offsetof(struct follow_clone, cgroup.names) || event->cgroup.size > size - offsetof(struct follow_clone, cgroup.names))
                return;
        struct task *caller = event_task(tracer, &event->event, at);
        bool thread = event->event.flags & FOLLOW_THREAD;
        pid_t tid = event->event.other;
        struct nsv_record record = {
                .kind = NSV_RECORD_CLONE,
                .at = at,
                .pid = event->event.pid,
                .tid = event->event.tid,
                .other = tid,
                .ppid = event->child_ppid,
                .start = start_ticks(&tracer->follow, event->child_start),
                .value = event->event.value,
                .stage = event->exit_signal > 0 ? (uint32_t)event->exit_signal : 0,
        };
        follow_copy_inodes(event->event.ns, record.ns);
        follow_copy_inodes(event->child_ns, record.child_ns);
        struct task *child = find_of(tracer, tid, event->child_tgid);
        if (!child) {
                child = task_add(tracer, tid, event->child_tgid);
                if (child && thread)
                        tracer_count_thread(tracer, event->child_tgid, 1);
        }
        /* A thread was met meanwhile: what it did since its birth is told, as the change that it was. */
        if (child && (thread || at >= child->seen_at)) {
                child->known = true;
                child->start = record.start;
                memcpy(child->ns, record.child_ns, sizeof(child->ns));
                child->seen_at = child->cred_at = 0;
                child->loose = child->cred_known = false;
                if (caller && at >= caller->cred_at)
                        inherit_cred(&tracer->follow, caller, child, event->event.value);
        }
        if (thread && caller)
                record.start = caller->start;

        char line[PIDS_TEXT];
        struct text text = {line, event->pids.count > 1 ? print_pids(&event->pids, line) : 0};
        if (event->event.value & CLONE_INTO_CGROUP) {
                char cgroup[CGROUP_TEXT];
                ssize_t n = print_cgroup(&tracer->follow, event, cgroup);
                tracer_emit_clone_into(tracer, &record, text, cgroup, n, "kernfs_path_from_node");
        } else
                tracer_emit(tracer, &record, &text, text.size > 0);
}

/* As that hierarchy's line of /proc/PID/cgroup has it. Its length, or -errno. */
static ssize_t print_moved(const struct follow_move *event, char to[static CGROUP_TEXT])
{
        char root[CGROUP_TEXT], path[CGROUP_TEXT];
        ssize_t n = join_cgroup(event->names + event->size, event->whole - event->size, event->cut, root);
        if (n < 0 || (n = join_cgroup(event->names, event->size, event->cut, path)) < 0)
                return n;
        return cgroup_from(root, path, to, CGROUP_TEXT);
}

static void on_move(struct tracer *tracer, const struct follow_move *event, size_t size, uint64_t at)
{
        const struct follow_event *head = &event->event;
        if (size < offsetof(struct follow_move, names) || event->size > event->whole ||
            event->whole > size - offsetof(struct follow_move, names))
                return;
        /* Before its execve a launched program is nsview's own child. */
        if (tracer->launch.pid == head->pid)
                return;
        struct nsv_record record = {
                .kind = NSV_RECORD_CGROUP,
                .at = at,
                .pid = head->pid,
                .tid = head->tid,
                .other = head->other,
                .ppid = head->ppid,
                .start = start_ticks(&tracer->follow, head->start),
                .value = head->value,
                .stage = head->flags & FOLLOW_WHOLE ? 1 : 0,
        };
        char path[CGROUP_TEXT];
        ssize_t n = print_moved(event, path);
        record.error = n < 0 ? (int32_t)-n : 0;
        struct text texts[] = {{path, n > 0 ? (size_t)n : 0}, {event->comm, strnlen(event->comm, sizeof(event->comm))}};
        tracer_emit(tracer, &record, texts, 2);
}

/* More events than this are not looked through for the sake of one. */
#define LOOK_AHEAD 4096

bool follow_has_later(const struct follow *follow, const struct follow_event *event, pid_t pid, uint32_t kind)
{
        uint64_t at = *follow->ring.consumer;
        struct bpf_ring ahead = follow->ring;
        ahead.consumer = &at;
        size_t size;
        unsigned seen = 0;
        for (const struct follow_event *next; (next = bpf_ring_next(&ahead, &size)); bpf_ring_done(&ahead, size))
                if (++seen > LOOK_AHEAD || (next != event && next->kind == kind && next->pid == pid))
                        return true;
        return at < __atomic_load_n(follow->ring.producer, __ATOMIC_ACQUIRE);
}

/* Another thread than the leader called: every other had ended by then, and it took the leader's tid. Those that were met later belong to the new
 * program. */
static pid_t take_over(struct tracer *tracer, struct task *leader, pid_t former, uint64_t at)
{
        for (unsigned i = 0; i < TASK_BUCKETS; i++)
                for (struct task *task = tracer->buckets[i], *next; task; task = next) {
                        next = task->next;
                        if (task->tgid != leader->tgid || task == leader || task->seen_at > at)
                                continue;
                        if (former < 0)
                                former = task->tid;
                        if (task->tid == former) {
                                memcpy(leader->ns, task->ns, sizeof(leader->ns));
                                leader->seen_at = task->seen_at;
                        }
                        tracer_count_thread(tracer, leader->tgid, -1);
                        task_remove(tracer, task);
                }
        return former < 0 ? leader->tid : former;
}

/* The launched program, as its execve left it: it may have ended since. */
static void emit_launched(struct tracer *tracer, const struct follow_exec *event, const struct nsv_record *exec, const struct text texts[3])
{
        struct nsv_record record = *exec;
        record.kind = NSV_RECORD_PROCESS;
        record.other = 0;
        record.ppid = tracer->self;
        follow_copy_inodes(event->event.ns, record.ns);
        char pids[PIDS_TEXT];
        struct text pids_text = {pids, print_pids(&event->pids, pids)};
        struct text cgroup = {tracer->launch.cgroup ? tracer->launch.cgroup : "", tracer->launch.cgroup_size};
        tracer_emit_launched(tracer, &record, texts, &event->cred, pids_text, cgroup);
        tracer_launch_settled(tracer, true);
}

/* The path that is longer than what BPF reads of it, if its process runs no other program by now: its end is known. A length, or -errno. */
static ssize_t read_long_exe(const struct follow *follow, const struct follow_exec *event, size_t size, char *to, size_t room)
{
        const struct follow_event *head = &event->event;
        char end[FOLLOW_EXE_MAX + FOLLOW_NAME_MAX + 64];
        ssize_t known = join_path(event->bytes, size, head->flags & FOLLOW_DELETED, end, sizeof(end));
        ssize_t length = read_exe(head->tid, to, room);
        if (length < 0 || known <= 0)
                return length < 0 ? length : -ENODATA;
        bool same = length >= known && memcmp(to + length - known, end, (size_t)known) == 0;
        /* After the reading, not before. */
        return same && !follow_has_later(follow, head, head->pid, FOLLOW_EXEC) ? length : -ESRCH;
}

/* Whether that event of the task left behind the ids and capabilities that were read. */
static bool leaves_cred(const struct follow_event *event, const struct nsv_cred *cred)
{
        const struct nsv_cred *left;
        if (event->kind == FOLLOW_EXEC)
                left = &((const struct follow_exec *)(const void *)event)->cred;
        else if (event->kind == FOLLOW_CALL)
                left = &((const struct follow_call *)(const void *)event)->call.after;
        else
                return false;
        return memcmp(left, cred, sizeof(*cred)) == 0;
}

/* A task was read some time before seen_at, and its ids and capabilities before cred_at. Was it before the events of until then, or after some? After the last one
 * that left what was read. The first of those events is the next in the ring. */
static void settle_readings(const struct follow *follow, struct task *task)
{
        uint64_t at = *follow->ring.consumer, last = 0, last_cred = 0;
        struct bpf_ring ahead = follow->ring;
        ahead.consumer = &at;
        size_t size;
        unsigned seen = 0;
        task->loose = false;
        for (const struct follow_event *event; (event = bpf_ring_next(&ahead, &size)); bpf_ring_done(&ahead, size)) {
                uint64_t when = event->at + (uint64_t)follow->monotonic_offset;
                if (when >= task->seen_at && when >= task->cred_at)
                        break;
                /* Too many: what may be older is taken for it. */
                if (++seen > LOOK_AHEAD)
                        return;
                if (event->tid != task->tid)
                        continue;
                int64_t ns[NSV_LINK_COUNT];
                follow_copy_inodes(event->ns, ns);
                if (when < task->seen_at && memcmp(ns, task->ns, sizeof(ns)) == 0)
                        last = when;
                if (when < task->cred_at && task->cred_known && leaves_cred(event, &task->cred))
                        last_cred = when;
        }
        task->seen_at = last ? last + 1 : 0;
        if (task->cred_known)
                task->cred_at = last_cred ? last_cred + 1 : 0;
}

/* What a process did between the moment from which it was followed and that in which these were read has been told with them: as a change it
 * would be told again. */
static void forget_later_cred(struct task *task, uint64_t at)
{
        if (at < task->cred_at)
                task->cred_known = false;
        else
                task->cred_at = 0;
}

static void on_exec(struct tracer *tracer, const struct follow_exec *event, size_t size, uint64_t at)
{
        const struct follow_event *head = &event->event;
        struct task *leader = task_find(tracer, head->pid);
        pid_t former = leader && head->other ? take_over(tracer, leader, head->other, at) : head->tid;
        bool launched = tracer->launch.pid == head->pid;
        struct task *task = launched ? leader : event_task(tracer, head, at);
        if (!task)
                return;
        const char *bytes = event->bytes;
        size_t room = size - offsetof(struct follow_exec, bytes);
        size_t exe_size = event->exe_size <= room ? event->exe_size : 0;
        size_t argv_size = event->argv_size <= room - exe_size ? event->argv_size : 0;
        struct nsv_record record = {
                .kind = NSV_RECORD_EXEC,
                .at = at,
                .pid = head->pid,
                .tid = head->tid,
                .other = former,
                .start = task->start,
                .value = head->value > FOLLOW_ARGV_MAX ? NSV_EXEC_ARGV_CUT : 0,
        };
        forget_later_cred(task, at);
        struct text comm = {event->comm, strnlen(event->comm, sizeof(event->comm))};

        char exe[FOLLOW_EXE_MAX + 64];
        ssize_t exe_length = head->flags & FOLLOW_NO_EXE ? -ENODATA
                                                         : join_path(bytes, exe_size, head->flags & FOLLOW_DELETED, exe, sizeof(exe));
        if (exe_length < 0)
                exe_length = read_long_exe(&tracer->follow, event, exe_size, exe, sizeof(exe));
        ssize_t argv_length = head->flags & FOLLOW_NO_ARGV ? -EFAULT : (ssize_t)argv_size;
        record.error = exe_length < 0 ? (int)-exe_length : 0;
        record.stage = argv_length < 0 ? (uint32_t)-argv_length : 0;
        struct text texts[] = {
                comm,
                {exe, exe_length > 0 ? (size_t)exe_length : 0},
                {bytes + exe_size, argv_length > 0 ? (size_t)argv_length : 0},
        };
        if (launched) {
                task->start = record.start = start_ticks(&tracer->follow, head->start);
                follow_copy_inodes(head->ns, task->ns);
                task->seen_at = at;
                emit_launched(tracer, event, &record, texts);
        }
        tracer_emit_exec(tracer, task, &record, texts, &event->cred);
}

static void emit_end(struct tracer *tracer, struct task *task, uint64_t at, uint32_t status)
{
        struct nsv_record record = {
                .kind = task->tid == task->tgid ? NSV_RECORD_EXIT : NSV_RECORD_THREAD_EXIT,
                .at = at,
                .pid = task->tgid,
                .tid = task->tid,
                .start = task->start,
                .value = status,
        };
        tracer_emit(tracer, &record, NULL, 0);
        if (task->tid != task->tgid)
                tracer_count_thread(tracer, task->tgid, -1);
        task_remove(tracer, task);
}

static bool is_any_unread(const uint32_t sizes[NSV_POINTERS])
{
        for (int i = 0; i < NSV_POINTERS; i++)
                if (sizes[i] == NSV_POINTER_FAULT)
                        return true;
        return false;
}

static void on_call(struct tracer *tracer, const struct follow_call *event, size_t size, uint64_t at)
{
        /* Before its execve a launched program is nsview's own child, and does what the plan says. */
        if (tracer->launch.pid == event->event.pid)
                return;
        uint32_t name = (uint32_t)event->event.other;
        /* What it changed is told with it, not before it; what it cannot have changed was done by a call that was not seen. */
        bool moves = name == NSV_CALL_unshare || name == NSV_CALL_setns;
        struct task *task = moves ? find_of(tracer, event->event.tid, event->event.pid) : NULL;
        if (!task)
                task = event_task(tracer, &event->event, at);
        if (!task || size < offsetof(struct follow_call, bytes) || name >= NSV_CALL_COUNT)
                return;
        forget_later_cred(task, at);
        struct nsv_call call = event->call;
        call.after_known = 1;
        int64_t ns[NSV_LINK_COUNT];
        follow_copy_inodes(event->event.ns, ns);
        char bytes[REREAD_SIZE];
        size_t room = size - offsetof(struct follow_call, bytes);
        int64_t result = (int64_t)event->event.value;
        /* Where the kernel found nothing either, what lies there by now is another thing. */
        bool unread = result != -EFAULT && is_any_unread(call.sizes);
        if (unread)
                room = reread_pointers(&tracer->follow, event, room, nsv_numbers[name].pointers, task->start, call.sizes, bytes);
        bool ended = event->event.flags & FOLLOW_ENDED;
        tracer_emit_call(tracer, task, name, at, result, ended, (enum nsv_abi)event->abi, &call, unread ? bytes : event->bytes, room,
                         at < task->seen_at ? NULL : ns);
}

static void forget_stopping(struct follow *follow, pid_t pid)
{
        for (unsigned i = 0; i < FOLLOW_STOPPING_MAX; i++)
                if (follow->stopping[i].pid == pid) {
                        follow->stopping[i].pid = 0;
                        follow->stopping_count--;
                }
}

static void on_exited(struct tracer *tracer, const struct follow_event *event, uint64_t at)
{
        /* A launch that failed before its execve never was the program. */
        if (tracer->launch.pid == event->pid) {
                struct task *task = task_find(tracer, event->pid);
                tracer_launch_settled(tracer, false);
                if (task)
                        task_remove(tracer, task);
                return;
        }
        struct task *task = event_task(tracer, event, at);
        bool last = event->flags & FOLLOW_LAST;
        if (task && task->tid != task->tgid)
                emit_end(tracer, task, at, (uint32_t)event->value);
        struct task *leader = last ? task_find(tracer, event->pid) : NULL;
        if (!leader)
                return;
        if (tracer->follow.stopping_count)
                forget_stopping(&tracer->follow, event->pid);
        /* Those that ended in the same moment, and came second. */
        while (leader->threads > 0) {
                struct task *thread = tracer_any_thread(tracer, event->pid);
                if (!thread)
                        break;
                emit_end(tracer, thread, at, (uint32_t)event->value);
        }
        emit_end(tracer, leader, at, (uint32_t)event->value);
}

static void emit_stop(struct tracer *tracer, struct task *task, uint64_t at, int signal)
{
        struct nsv_record record = {.kind = NSV_RECORD_STOP,
                                    .at = at,
                                    .pid = task->tgid,
                                    .tid = task->tid,
                                    .start = task->start,
                                    .value = (uint32_t)signal};
        tracer_emit(tracer, &record, NULL, 0);
        task->group_stopped = true;
}

static bool is_stopped(pid_t pid)
{
        struct stat_line stat;
        return read_stat(pid, &stat) == 0 && stat.state == 'T';
}

static void on_stopping(struct tracer *tracer, const struct follow_event *event, uint64_t at)
{
        struct follow *follow = &tracer->follow;
        struct task *task = task_find(tracer, event->pid);
        if (!task || task->group_stopped)
                return;
        /* Since it gets another one, it did not stop at the one before. */
        forget_stopping(follow, event->pid);
        if (is_stopped(event->pid) && !follow_has_later(follow, event, event->pid, FOLLOW_STOPPING)) {
                emit_stop(tracer, task, at, (int)event->value);
                return;
        }
        for (unsigned i = 0; i < FOLLOW_STOPPING_MAX; i++)
                if (follow->stopping[i].pid == 0) {
                        follow->stopping[i] = (struct stopping){
                                .pid = event->pid, .signal = (int)event->value, .at = at, .give_up_at = monotonic_ns() + STOPPING_NS};
                        follow->stopping_count++;
                        return;
                }
        /* No room: the readings of /proc tell that it stopped. */
}

static void on_continue(struct tracer *tracer, const struct follow_event *event, uint64_t at)
{
        struct follow *follow = &tracer->follow;
        struct task *task = task_find(tracer, event->pid);
        if (!task)
                return;
        /* Since it continues, it had stopped. */
        for (unsigned i = 0; i < FOLLOW_STOPPING_MAX; i++)
                if (follow->stopping[i].pid == event->pid && !task->group_stopped)
                        emit_stop(tracer, task, follow->stopping[i].at, follow->stopping[i].signal);
        if (follow->stopping_count)
                forget_stopping(follow, event->pid);
        if (!task->group_stopped)
                return;
        task->group_stopped = false;
        struct nsv_record record = {
                .kind = NSV_RECORD_CONTINUE, .at = at, .pid = task->tgid, .tid = task->tgid, .start = task->start};
        tracer_emit(tracer, &record, NULL, 0);
}

int follow_check_stopping(struct tracer *tracer)
{
        struct follow *follow = &tracer->follow;
        if (follow->stopping_count == 0)
                return -1;
        uint64_t now = monotonic_ns();
        for (unsigned i = 0; i < FOLLOW_STOPPING_MAX; i++) {
                struct stopping *stopping = &follow->stopping[i];
                if (stopping->pid == 0)
                        continue;
                struct task *task = task_find(tracer, stopping->pid);
                bool stopped = task && is_stopped(stopping->pid);
                /* By which signal is not known before the ring was read. */
                if (stopped && follow_has_later(follow, NULL, stopping->pid, FOLLOW_STOPPING))
                        continue;
                if (stopped && !task->group_stopped)
                        emit_stop(tracer, task, now, stopping->signal);
                if (stopped || !task || now >= stopping->give_up_at) {
                        stopping->pid = 0;
                        follow->stopping_count--;
                }
        }
        return follow->stopping_count ? STOPPING_POLL_MS : -1;
}

static void on_event(struct tracer *tracer, const void *bytes, size_t size)
{
        const struct follow_event *event = bytes;
        uint64_t at = event->at + (uint64_t)tracer->follow.monotonic_offset;
        struct task *task = task_find(tracer, event->tid);
        if (task && task->loose)
                settle_readings(&tracer->follow, task);
        switch (event->kind) {
        case FOLLOW_CLONE:
                on_clone(tracer, bytes, size, at);
                break;
        case FOLLOW_EXEC:
                on_exec(tracer, bytes, size, at);
                break;
        case FOLLOW_EXIT:
                on_exited(tracer, event, at);
                break;
        case FOLLOW_STOPPING:
                on_stopping(tracer, event, at);
                break;
        case FOLLOW_CONTINUE:
                on_continue(tracer, event, at);
                break;
        case FOLLOW_CALL:
                on_call(tracer, bytes, size, at);
                break;
        case FOLLOW_MOVE:
                on_move(tracer, bytes, size, at);
                break;
        }
}

static uint64_t count_lost(const struct follow *follow)
{
        uint32_t zero = 0;
        uint64_t lost = 0;
        bpf_map_get(follow->maps[FOLLOW_MAP_lost], &zero, &lost);
        return lost;
}

static uint64_t count_misses(const struct follow *follow)
{
        uint64_t all = 0, misses;
        for (size_t i = 0; i < PROGRAM_COUNT; i++)
                if (follow->programs[i] >= 0 && !is_program(i, "self") && bpf_program_misses(follow->programs[i], &misses) == 0)
                        all += misses;
        return all;
}

void follow_drain(struct tracer *tracer)
{
        struct follow *follow = &tracer->follow;
        follow->drained_at = monotonic_ns();
        size_t size;
        for (const void *bytes; (bytes = bpf_ring_next(&follow->ring, &size));) {
                on_event(tracer, bytes, size);
                bpf_ring_done(&follow->ring, size);
        }
        uint64_t lost = count_lost(follow) + count_misses(follow);
        if (lost == follow->lost)
                return;
        struct nsv_record record = {.kind = NSV_RECORD_LOST, .value = lost - follow->lost};
        follow->lost = lost;
        tracer_emit(tracer, &record, NULL, 0);
        tracer_look_again(tracer);
}

void follow_reap(struct tracer *tracer)
{
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid <= 0)
                        return;
                if (pid != tracer->launch.pid)
                        continue;
                /* Its execve and its end are in the ring by now. */
                follow_drain(tracer);
                if (pid == tracer->launch.pid)
                        tracer_launch_settled(tracer, false);
        }
}
