/* SPDX-License-Identifier: MIT */
/* Knows how to see a followed task's clone, exec, exit and stop from inside the kernel, without stopping it. For maintainers:
 * scripts/build-bpf.mjs compiles this with clang into follow_program.h, which is what the helper loads. Only helpers and
 * tracepoints of Linux 6.1 and later; every structure is read by offsets that the loader took from the kernel's BTF. */
#include <linux/bpf.h>

#include "follow_abi.h"

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)BPF_FUNC_map_update_elem;
static long (*map_delete)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static long (*read_kernel)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;
static long (*read_kernel_string)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel_str;
static long (*read_user)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static long (*read_user_string)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user_str;
static __u64 (*ktime_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u64 (*current_task)(void) = (void *)BPF_FUNC_get_current_task;
static void *(*current_task_object)(void) = (void *)BPF_FUNC_get_current_task_btf;
static long (*task_registers)(void *task) = (void *)BPF_FUNC_task_pt_regs;
static long (*send_signal)(__u32 signal) = (void *)BPF_FUNC_send_signal;
static void *(*ring_reserve)(void *ring, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*ring_submit)(void *data, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static long (*seq_write)(void *seq, const void *data, __u32 size) = (void *)BPF_FUNC_seq_write;
static long (*ring_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_output;

/* The loader puts the real ones in their places, by name. */
struct map {
        int unused;
};
struct map followed SECTION("maps"); /* hash: tgid → start of the process, 0 where the helper added it */
struct map ring SECTION("maps");
struct map scratch SECTION("maps"); /* per-CPU array of one struct follow_exec, follow_clone or follow_move */
struct map lost SECTION("maps");    /* array of one counter */
struct map self SECTION("maps");    /* array of one struct follow_self */
struct map cgroup_root SECTION("maps"); /* array of one struct follow_cgroup: the root of the helper's cgroup namespace */
struct map numbers SECTION("maps"); /* array by system call number: struct follow_number */
struct map foreign SECTION("maps");      /* ring of tgids: a program of another ABI begins */
struct map busy SECTION("maps");         /* ring of nothing in particular: a CPU makes more system calls than sys_exit should see */
struct map returns SECTION("maps");      /* per-CPU array of one struct follow_returns */
struct map events_tell SECTION("maps");  /* array of one flag: the machine's own calls are told by syscall_return */
struct map interrupted SECTION("maps");  /* hash: address of a task → struct follow_interrupted */
struct map call_scratch SECTION("maps"); /* per-CPU array of one struct follow_call */

const volatile struct follow_config config SECTION(".rodata");

/* include/linux/sched/signal.h, the same from 6.1 to 6.18. */
#define SIGNAL_GROUP_EXIT 0x4u
#define SIGNAL_CLD_CONTINUED 0x20u
#define PIDTYPE_TGID 1

#define STOP_SIGNAL_FIRST 19 /* SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU */
#define STOP_SIGNAL_LAST 22
#define CONTINUE_SIGNAL 18
#define KILL_SIGNAL 9
#define FILTER_SIGNAL 31 /* SIGSYS */

#define ELF_CLASS_AT 4 /* elf(5): EI_CLASS, ELFCLASS32 */
#define ELF_CLASS_32 1

#define SA_RESTART_FLAG 0x10000000u
#define IGNORED 1 /* SIG_IGN */
#define INTERRUPTED (-4) /* EINTR */
#define PAGE_LEAST 4096u

/* "[pidfd]" and its NUL, little-endian. */
#define PIDFD_NAME 0x005d64666469705bull

#define CLONE_THREAD_FLAG 0x10000u
#define CLONE_INTO_CGROUP_FLAG 0x200000000ull
#define X32_BIT 0x40000000u /* arch/x86/include/uapi/asm/unistd.h */

INLINE __u64 read_u64(__u64 address)
{
        __u64 value = 0;
        read_kernel(&value, sizeof(value), (void *)address);
        return value;
}

INLINE __u32 read_u32(__u64 address)
{
        __u32 value = 0;
        read_kernel(&value, sizeof(value), (void *)address);
        return value;
}

/* The verifier loses the bound among copies of a value: hidden from clang, which would check one and use another, or leave out what says it
 * again. */
INLINE __u64 unseen(__u64 value)
{
        __asm__ volatile("" : "+r"(value));
        return value;
}

INLINE void count_lost(void)
{
        __u32 zero = 0;
        __u64 *counter = map_lookup(&lost, &zero);
        if (counter)
                __sync_fetch_and_add(counter, 1);
}

/* kernel/pid.c, pid_nr_ns(): the number that the helper's pid namespace has for it. */
INLINE __s32 pid_number(__u64 pid)
{
        if (!pid || read_u32(pid + config.pid_level) < config.self.level)
                return 0;
        __u64 upid = pid + config.pid_numbers + (__u64)config.self.level * config.upid_size;
        if (read_u64(upid + config.upid_ns) != config.self.pid_ns)
                return 0;
        return (__s32)read_u32(upid + config.upid_nr);
}

INLINE __s32 task_tid(__u64 task)
{
        return pid_number(read_u64(task + config.task_thread_pid));
}

INLINE __s32 task_tgid(__u64 task)
{
        return pid_number(read_u64(read_u64(task + config.task_signal) + config.signal_pids + 8 * PIDTYPE_TGID));
}

INLINE __u64 task_start(__u64 task)
{
        return read_u64(read_u64(task + config.task_group_leader) + config.task_start_boottime);
}

INLINE __u32 namespace_inode(__u64 nsproxy, __u32 member, __u32 common)
{
        __u64 ns = read_u64(nsproxy + member);
        return ns ? read_u32(ns + common + config.ns_inum) : 0;
}

/* What the links of /proc/TID/ns lead to: kernel/nsproxy.c, kernel/user_namespace.c (userns_get), kernel/pid_namespace.c
 * (pidns_get, pidns_for_children_get). */
INLINE void read_namespaces(__u64 task, __u32 *to)
{
        __u64 proxy = read_u64(task + config.task_nsproxy);
        __u64 user = read_u64(read_u64(task + config.task_real_cred) + config.cred_user_ns);
        to[NSV_LINK_user] = user ? read_u32(user + config.user_ns + config.ns_inum) : 0;

        __u64 pid = read_u64(task + config.task_thread_pid);
        __u64 upid = pid + config.pid_numbers + (__u64)read_u32(pid + config.pid_level) * config.upid_size;
        __u64 pid_ns = pid ? read_u64(upid + config.upid_ns) : 0;
        to[NSV_LINK_pid] = pid_ns ? read_u32(pid_ns + config.pid_ns + config.ns_inum) : 0;

        for (int link = NSV_LINK_pid_for_children; link < NSV_LINK_COUNT; link++)
                to[link] = 0;
        to[NSV_LINK_mnt] = 0;
        if (!proxy)
                return;
        to[NSV_LINK_mnt] = namespace_inode(proxy, config.nsproxy_mnt, config.mnt_ns);
        /* Without its first process it cannot be told by readlink, and is not here. */
        __u64 for_children = read_u64(proxy + config.nsproxy_pid_for_children);
        if (for_children && read_u64(for_children + config.pid_ns_child_reaper))
                to[NSV_LINK_pid_for_children] = read_u32(for_children + config.pid_ns + config.ns_inum);
        to[NSV_LINK_net] = namespace_inode(proxy, config.nsproxy_net, config.net_ns);
        to[NSV_LINK_uts] = namespace_inode(proxy, config.nsproxy_uts, config.uts_ns);
        to[NSV_LINK_ipc] = namespace_inode(proxy, config.nsproxy_ipc, config.ipc_ns);
        to[NSV_LINK_cgroup] = namespace_inode(proxy, config.nsproxy_cgroup, config.cgroup_ns);
        if (config.time_ns != FOLLOW_ABSENT && config.nsproxy_time != FOLLOW_ABSENT) {
                to[NSV_LINK_time] = namespace_inode(proxy, config.nsproxy_time, config.time_ns);
                to[NSV_LINK_time_for_children] = namespace_inode(proxy, config.nsproxy_time_for_children, config.time_ns);
        }
}

/* The numbers that NSpid of /proc/TID/status has. */
INLINE void read_pids(__u64 task, struct follow_pids *to)
{
        __u64 pid = read_u64(task + config.task_thread_pid);
        __u32 level = read_u32(pid + config.pid_level);
        to->count = level - config.self.level + 1;
#pragma clang loop unroll(disable)
        for (__u32 i = 0; i < FOLLOW_LEVELS; i++) {
                to->numbers[i] = 0;
                if (config.self.level + i <= level)
                        to->numbers[i] = (__s32)read_u32(pid + config.pid_numbers + (__u64)(config.self.level + i) * config.upid_size +
                                                         config.upid_nr);
        }
}

INLINE void begin_event(struct follow_event *event, __u32 kind, __u64 task, __s32 tgid)
{
        event->kind = kind;
        event->flags = 0;
        event->at = ktime_ns();
        event->pid = tgid;
        event->tid = task_tid(task);
        event->start = task_start(task);
        event->value = 0;
        event->other = 0;
        event->ppid = 0;
        read_namespaces(task, event->ns);
}

INLINE void read_cred(__u64 task, struct nsv_cred *to)
{
        __u64 cred = read_u64(task + config.task_real_cred);
        to->uids[0] = read_u32(cred + config.cred_uid);
        to->uids[1] = read_u32(cred + config.cred_euid);
        to->uids[2] = read_u32(cred + config.cred_suid);
        to->uids[3] = read_u32(cred + config.cred_fsuid);
        to->gids[0] = read_u32(cred + config.cred_gid);
        to->gids[1] = read_u32(cred + config.cred_egid);
        to->gids[2] = read_u32(cred + config.cred_sgid);
        to->gids[3] = read_u32(cred + config.cred_fsgid);
        /* kernel_cap_t: two words, the lower one first, before Linux 6.3; then one of 64 bits. */
#define READ_CAPABILITIES(name) to->capabilities[NSV_CAPABILITIES_##name] = read_u64(cred + config.cred_##name);
        NSV_CAPABILITIES(READ_CAPABILITIES)
#undef READ_CAPABILITIES
}

/* fs/kernfs/dir.c, kernfs_path_from_node(), upwards from the leaf: behind *size bytes of `names`, of which `most` may be used before the last
 * name. 1: there is more than could be read. */
INLINE __u32 read_cgroup_names(__u64 cgroup, char *names, __u32 *size, __u32 most)
{
        __u64 node = read_u64(cgroup + config.cgroup_kn);
        __u32 parent = config.kernfs_parent == FOLLOW_ABSENT ? config.kernfs_parent_rcu : config.kernfs_parent;
#pragma clang loop unroll(disable)
        for (int i = 0; i < FOLLOW_DEPTH; i++) {
                __u64 above = read_u64(node + parent);
                if (!above)
                        return 0;
                __u32 used = *size;
                if (used >= most)
                        break;
                long n = read_kernel_string(names + used, FOLLOW_NAME_MAX, (void *)read_u64(node + config.kernfs_name));
                if (n <= 0)
                        break;
                *size = used + (__u32)n;
                node = above;
        }
        return 1;
}

INLINE void read_cgroup(__u64 css_set, struct follow_cgroup *to)
{
        to->size = 0;
        to->cut = read_cgroup_names(read_u64(css_set + config.css_set_dfl_cgrp), to->names, &to->size, FOLLOW_CGROUP_MAX);
}

/* The root that the helper sees in that hierarchy: kernel/cgroup/cgroup.c, cset_cgroup_from_root(). 0: not found. */
INLINE __u64 own_root(__u64 hierarchy)
{
        __u64 head = config.self.root_css_set + config.css_set_links;
        __u64 entry = read_u64(head);
#pragma clang loop unroll(disable)
        for (int i = 0; i < FOLLOW_HIERARCHIES && entry != head; i++) {
                __u64 cgroup = read_u64(entry - config.link_entry + config.link_cgroup);
                if (read_u64(cgroup + config.cgroup_root) == hierarchy)
                        return cgroup;
                entry = read_u64(entry);
        }
        return 0;
}

/* Run by the helper itself, once, before the others are loaded. */
SECTION("program/self") int on_self(void *context)
{
        (void)context;
        __u32 zero = 0;
        struct follow_self *to = map_lookup(&self, &zero);
        if (!to)
                return 0;
        __u64 task = current_task();
        __u64 pid = read_u64(task + config.task_thread_pid);
        __u32 level = read_u32(pid + config.pid_level);
        __u64 upid = pid + config.pid_numbers + (__u64)level * config.upid_size;
        __u64 root = read_u64(task + config.task_fs) + config.fs_root;
        to->level = level;
        to->pid_ns = read_u64(upid + config.upid_ns);
        to->root_mnt = read_u64(root + config.path_mnt);
        to->root_dentry = read_u64(root + config.path_dentry);
        to->pid = read_u32(upid + config.upid_nr);
        struct follow_cgroup *root_cgroup = map_lookup(&cgroup_root, &zero);
        if (config.cgroup_ns_root == FOLLOW_ABSENT)
                return 0;
        to->root_css_set = read_u64(read_u64(read_u64(task + config.task_nsproxy) + config.nsproxy_cgroup) + config.cgroup_ns_root);
        if (root_cgroup)
                read_cgroup(to->root_css_set, root_cgroup);
        return 0;
}

/* bpf_iter_task(meta, task): for each thread of the helper's pid namespace, kernel/bpf/task_iter.c. The stack holds it, and not a map: on other
 * programs' ground it could be preempted. */
SECTION("program/iter_task") int on_task(__u64 *context)
{
        struct follow_thread thread;
        __u64 task = 0;
        /* As a number, like that of every other program. */
        read_kernel(&task, sizeof(task), &context[1]);
        if (!task)
                return 0;
        thread.pid = task_tgid(task);
        thread.tid = task_tid(task);
        if (!thread.pid || !thread.tid || thread.pid == thread.tid || !map_lookup(&followed, &thread.pid))
                return 0;
        thread.flags = read_u32(task + config.task_flags);
        thread.unused = 0;
        read_namespaces(task, thread.ns);
        read_cred(task, &thread.cred);
        thread.at = ktime_ns();
        /* struct bpf_iter_meta begins with it. Too little room: the kernel comes again with the same task. */
        seq_write(*(void **)context[0], &thread, sizeof(thread));
        return 0;
}

/* task_newtask(task, clone_flags): in the maker, when the child has its pids and its cgroup and cannot run yet (kernel/fork.c,
 * copy_process). */
SECTION("program/task_newtask") int on_newtask(__u64 *context)
{
        __u64 maker = current_task(), child = context[0];
        __s32 tgid = task_tgid(maker);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;
        __s32 child_tgid = task_tgid(child);
        __u64 child_start = task_start(child);
        if (!(context[1] & CLONE_THREAD_FLAG) && map_update(&followed, &child_tgid, &child_start, BPF_ANY) < 0)
                count_lost();

        __u32 zero = 0;
        struct follow_clone *clone = map_lookup(&scratch, &zero);
        if (!clone)
                return 0;
        begin_event(&clone->event, FOLLOW_CLONE, maker, tgid);
        clone->event.flags = context[1] & CLONE_THREAD_FLAG ? FOLLOW_THREAD : 0;
        clone->event.value = context[1];
        clone->child_start = child_start;
        clone->exit_signal = (__s32)read_u32(child + config.task_exit_signal);
        clone->child_tgid = child_tgid;
        clone->child_ppid = task_tgid(read_u64(child + config.task_real_parent));
        read_namespaces(child, clone->child_ns);

        clone->event.other = task_tid(child);
        read_pids(child, &clone->pids);
        clone->cgroup.cut = 0;
        clone->cgroup.size = 0;
        if (context[1] & CLONE_INTO_CGROUP_FLAG)
                read_cgroup(read_u64(child + config.task_cgroups), &clone->cgroup);
        __u64 total = unseen(__builtin_offsetof(struct follow_clone, cgroup.names) + clone->cgroup.size);
        if (total > sizeof(*clone) || ring_output(&ring, clone, total, 0) < 0)
                count_lost();
        return 0;
}

/* fs/d_path.c, prepend_path(), upwards from the leaf: each component with its NUL. A mount on the way costs a round without one. */
INLINE void read_exe(__u64 task, struct follow_exec *exec)
{
        __u64 mm = read_u64(task + config.task_mm);
        __u64 file = mm ? read_u64(mm + config.mm_exe_file) : 0;
        exec->exe_size = 0;
        if (!file) {
                exec->event.flags |= FOLLOW_NO_EXE;
                return;
        }
        __u64 mnt = read_u64(file + config.file_path + config.path_mnt);
        __u64 dentry = read_u64(file + config.file_path + config.path_dentry);
        /* d_unlinked(): hashed nowhere, and not a root. */
        if (!read_u64(dentry + config.dentry_hash + config.hash_pprev))
                exec->event.flags |= FOLLOW_DELETED;
#pragma clang loop unroll(disable)
        for (int i = 0; i < FOLLOW_DEPTH; i++) {
                if (dentry == config.self.root_dentry && mnt == config.self.root_mnt)
                        return;
                __u64 parent = read_u64(dentry + config.dentry_parent);
                if (dentry == read_u64(mnt + config.vfsmount_root)) {
                        __u64 mount = mnt - config.mount_mnt;
                        __u64 above = read_u64(mount + config.mount_parent);
                        if (above == mount)
                                return;
                        dentry = read_u64(mount + config.mount_mountpoint);
                        mnt = above + config.mount_mnt;
                        continue;
                }
                __u32 used = exec->exe_size;
                if (used >= FOLLOW_EXE_MAX)
                        break;
                long n = read_kernel_string(exec->bytes + used, FOLLOW_NAME_MAX,
                                            (void *)read_u64(dentry + config.dentry_name + config.qstr_name));
                if (n <= 0)
                        break;
                exec->exe_size = used + (__u32)n;
                /* In no tree at all, as a memfd: its name is all there is. */
                if (parent == dentry)
                        return;
                dentry = parent;
        }
        exec->event.flags |= FOLLOW_NO_EXE;
}

/* sched_process_exec(task, old_pid, bprm): the new program is in place, and has not run (fs/exec.c, exec_binprm). */
SECTION("program/sched_process_exec") int on_exec(__u64 *context)
{
        __u64 task = context[0];
        __s32 tgid = task_tgid(task);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;
        __u8 class = 0;
        read_kernel(&class, 1, (void *)(context[2] + config.binprm_buf + ELF_CLASS_AT));
        /* At once: its first call may come soon. */
        if (class == ELF_CLASS_32)
                ring_output(&foreign, &tgid, sizeof(tgid), BPF_RB_FORCE_WAKEUP);
        __u32 zero = 0;
        struct follow_exec *exec = map_lookup(&scratch, &zero);
        if (!exec)
                return 0;
        begin_event(&exec->event, FOLLOW_EXEC, task, tgid);
        /* old_pid is of the initial pid namespace, and so is the first number. */
        if ((__s32)context[1] != (__s32)read_u32(read_u64(task + config.task_thread_pid) + config.pid_numbers + config.upid_nr))
                exec->event.other = config.self.level == 0 ? (__s32)context[1] : -1;
        read_kernel(exec->comm, sizeof(exec->comm), (void *)(task + config.task_comm));
        read_exe(task, exec);
        read_pids(task, &exec->pids);
        read_cred(task, &exec->cred);

        __u64 mm = read_u64(task + config.task_mm);
        __u64 start = read_u64(mm + config.mm_arg_start), size = read_u64(mm + config.mm_arg_end) - start;
        exec->event.value = size;
        if (size > FOLLOW_ARGV_MAX)
                size = FOLLOW_ARGV_MAX;
        exec->argv_size = (__u32)size;
        __u32 used = exec->exe_size;
        if (used > FOLLOW_EXE_MAX + FOLLOW_NAME_MAX)
                return 0;
        if (size > 0 && read_user(exec->bytes + used, (__u32)size, (void *)start) < 0) {
                exec->event.flags |= FOLLOW_NO_ARGV;
                exec->argv_size = size = 0;
        }
        __u64 total = __builtin_offsetof(struct follow_exec, bytes) + used + size;
        if (total > sizeof(*exec) || ring_output(&ring, exec, total, 0) < 0)
                count_lost();
        return 0;
}

INLINE int put_small(__u32 kind, __u64 task, __u64 value)
{
        __s32 tgid = task_tgid(task);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;
        struct follow_event *event = ring_reserve(&ring, sizeof(*event), 0);
        if (!event) {
                count_lost();
                return 0;
        }
        begin_event(event, kind, task, tgid);
        event->value = value;
        ring_submit(event, 0);
        return 0;
}

/* signal_generate(signal, info, task, group, result): comes after prepare_signal(), which has woken what was stopped. */
SECTION("program/signal_generate") int on_generate(__u64 *context)
{
        if ((__u32)context[0] != CONTINUE_SIGNAL)
                return 0;
        __u64 task = context[2];
        if (!(read_u32(read_u64(task + config.task_signal) + config.signal_flags) & SIGNAL_CLD_CONTINUED))
                return 0;
        return put_small(FOLLOW_CONTINUE, task, 0);
}

/* cgroup_attach_task(cgroup, path, task, threadgroup), cgroup_transfer_tasks(the same): it is there already; by whom, is whose turn it is
 * (kernel/cgroup/cgroup.c, cgroup_attach_task; cgroup-v1.c, cgroup_transfer_tasks). The path is cut at 1023 bytes, so the names are read. */
SECTION("program/cgroup_attach_task") int on_move(__u64 *context)
{
        __u64 cgroup = context[0], task = context[2], mover = current_task();
        __s32 tgid = task_tgid(task);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;
        __u32 zero = 0;
        struct follow_move *move = map_lookup(&scratch, &zero);
        if (!move)
                return 0;
        begin_event(&move->event, FOLLOW_MOVE, task, tgid);
        if (context[3] & 1)
                move->event.flags = FOLLOW_WHOLE;
        __u64 hierarchy = read_u64(cgroup + config.cgroup_root), root = own_root(hierarchy);
        move->event.value = read_u32(hierarchy + config.root_hierarchy);
        move->event.other = task_tid(mover);
        move->event.ppid = task_tgid(mover);
        read_kernel(move->comm, sizeof(move->comm), (void *)(mover + config.task_comm));
        move->unused = 0;
        move->size = 0;
        move->cut = read_cgroup_names(cgroup, move->names, &move->size, FOLLOW_CGROUP_MAX);
        move->whole = move->size;
        if (!root || read_cgroup_names(root, move->names, &move->whole, 2 * FOLLOW_CGROUP_MAX))
                move->cut = 1;
        __u64 total = unseen(__builtin_offsetof(struct follow_move, names) + move->whole);
        if (total > sizeof(*move) || ring_output(&ring, move, total, 0) < 0)
                count_lost();
        return 0;
}

/* ---- Isolation calls ---- */

INLINE __u64 file_of(__u64 task, __u32 fd)
{
        __u64 fdt = read_u64(read_u64(task + config.task_files) + config.files_fdt);
        if (!fdt || fd >= read_u32(fdt + config.fdt_max))
                return 0;
        return read_u64(read_u64(fdt + config.fdt_fd) + 8 * (__u64)fd);
}

/* A pidfd of before 6.9 is an anonymous inode, which all of them share; the dentry has the name that pidfd_create() gave it (kernel/pid.c). */
INLINE int is_anonymous_pidfd(__u64 file)
{
        __u64 name = read_u64(read_u64(file + config.file_path + config.path_dentry) + config.dentry_name + config.qstr_name);
        return read_u64(name) == PIDFD_NAME;
}

/* 0 once it was waited for: another process may have the number by then (fs/pidfs.c, pidfd_show_fdinfo). */
INLINE __s32 living_number(__u64 pid)
{
        return read_u64(pid + config.pid_tasks) ? pid_number(pid) : 0;
}

/* What setns was given: fs/nsfs.c, fs/pidfs.c (6.9). */
INLINE void read_fd(__u64 task, struct nsv_call *call)
{
        __u64 file = file_of(task, (__u32)call->arguments[0]);
        if (!file)
                return;
        __u64 inode = read_u64(file + config.file_inode);
        __u64 magic = read_u64(read_u64(inode + config.inode_super) + config.super_magic);
        if (magic == FOLLOW_NSFS_MAGIC) {
                __u64 ns = read_u64(inode + config.inode_private);
                call->fd_inode = read_u64(inode + config.inode_number);
                if (config.ns_type != FOLLOW_ABSENT)
                        call->fd_type = read_u32(ns + config.ns_type);
                else if (config.ns_ops != FOLLOW_ABSENT && config.ns_ops_type != FOLLOW_ABSENT)
                        call->fd_type = read_u32(read_u64(ns + config.ns_ops) + config.ns_ops_type);
        } else if (magic == FOLLOW_PIDFS_MAGIC)
                call->fd_pid = living_number(read_u64(inode + config.inode_private));
        else if (magic == FOLLOW_ANON_INODE_FS_MAGIC && is_anonymous_pidfd(file))
                call->fd_pid = living_number(read_u64(file + config.file_private));
}

INLINE __u64 argument_of(const struct follow_call *call, __u32 argument)
{
        return argument < 6 ? call->call.arguments[argument] : 0;
}

INLINE __u32 read_pointer(struct follow_call *call, __u32 used, __u64 address, const struct nsv_pointer *pointer)
{
        if (!address)
                return NSV_POINTER_NULL;
        if (used > (NSV_POINTERS - 1) * NSV_POINTER_MAX)
                return NSV_POINTER_FAULT;
        if (pointer->kind == NSV_POINTER_STRING) {
                long n = read_user_string(call->bytes + used, NSV_POINTER_MAX, (const void *)address);
                return n < 0 || n > NSV_POINTER_MAX ? NSV_POINTER_FAULT : (__u32)n;
        }
        __u64 size = pointer->size;
        if (pointer->kind == NSV_POINTER_COUNTED) {
                __u64 count = argument_of(call, pointer->count);
                size = count > NSV_POINTER_MAX ? NSV_POINTER_MAX : size * count;
        }
        if (size > NSV_POINTER_MAX)
                size = NSV_POINTER_MAX;
        if (size > 0 && read_user(call->bytes + used, (__u32)size, (const void *)address) < 0) {
                /* It may be shorter than what is read of it, and end where its memory does. */
                __u64 left = PAGE_LEAST - (address & (PAGE_LEAST - 1));
                if (left >= size)
                        return NSV_POINTER_FAULT;
                size = left & (NSV_POINTER_MAX - 1);
                if (read_user(call->bytes + used, (__u32)size, (const void *)address) < 0)
                        return NSV_POINTER_FAULT;
        }
        return (__u32)size;
}

/* include/linux/errno.h: from ERESTARTSYS to ERESTART_RESTARTBLOCK. No program sees them: a signal came, and the kernel makes the call again, or
 * makes it EINTR, which is decided where the signal is delivered. */
#define RESTART_FIRST (-512)
#define RESTART_NO_INTERRUPTION (-513)
#define RESTART_LAST (-516)

INLINE int is_restart(__s64 result)
{
        return result <= RESTART_FIRST && result >= RESTART_LAST;
}

/* The wanted call with this number: 1 + enum nsv_call_name, or 0. */
INLINE __u32 find_call(__u32 number, __u64 task, __u32 *ret_abi)
{
        __u32 abi = NSV_ABI_NATIVE;
        if (config.has_x32 && number & X32_BIT) {
                number &= ~X32_BIT;
                abi = NSV_ABI_X32;
        }
        if (number >= NSV_CALL_NUMBERS)
                return 0;
        __u64 word = unseen(number >> 6);
        if (!(config.wanted[word & (NSV_CALL_NUMBERS / 64 - 1)] >> (number & 63) & 1))
                return 0;
        if (read_u32(task + config.task_thread_info + config.thread_abi) & config.abi_32)
                abi = NSV_ABI_32;
        const struct follow_number *what = map_lookup(&numbers, &number);
        if (!what)
                return 0;
        *ret_abi = abi;
        return abi == NSV_ABI_32 ? what->narrow : what->native;
}

/* Nothing that is read has changed since the call began, unless another thread wanted it to. `flags`: FOLLOW_ENDED or 0. */
INLINE int tell_call(__u64 registers, __u64 task, __u32 number, __u32 name, __u32 abi, __s64 result, __u32 flags)
{
        __u32 zero = 0;
        if (abi == NSV_ABI_X32)
                number &= ~X32_BIT;
        __u64 first = read_u64(registers + config.registers_first);
        __u64 second = read_u64(registers + config.registers_second + config.registers_step);
        __u64 third = read_u64(registers + config.registers_third + 2 * config.registers_step);
        if (abi != NSV_ABI_32 && !nsv_call_counts(name, (__u32)first, (__u32)second, (__u32)third))
                return 0;
        __s32 tgid = task_tgid(task);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;

        if (config.forgets_calls)
                map_delete(&interrupted, &task);
        const struct follow_number *what = map_lookup(&numbers, &number);
        struct follow_call *call = map_lookup(&call_scratch, &zero);
        if (!what || !call)
                return 0;
        begin_event(&call->event, FOLLOW_CALL, task, tgid);
        call->event.flags = flags;
        call->event.value = (__u64)result;
        call->event.other = (__s32)name;
        call->abi = abi;
        call->unused = 0;
        call->call.arguments[0] = first;
        call->call.arguments[1] = second;
        call->call.arguments[2] = third;
        call->call.arguments[3] = read_u64(registers + config.registers_fourth + 3 * config.registers_step);
        call->call.arguments[4] = read_u64(registers + config.registers_fifth + 4 * config.registers_step);
        call->call.arguments[5] = 0;
        read_cred(task, &call->call.after);
        call->call.before_known = 0;
        call->call.after_known = 0;
        call->call.fd_type = 0;
        call->call.fd_pid = 0;
        call->call.fd_inode = 0;
        if (name == NSV_CALL_setns)
                read_fd(task, &call->call);
        __u32 used = 0;
#pragma clang loop unroll(full)
        for (int i = 0; i < NSV_POINTERS; i++) {
                const struct nsv_pointer *pointer = &what->pointers[i];
                __u32 size = 0;
                if (abi != NSV_ABI_32 && pointer->kind != NSV_POINTER_NONE)
                        size = read_pointer(call, used, argument_of(call, pointer->argument), pointer);
                call->call.sizes[i] = size;
                if (size <= NSV_POINTER_MAX)
                        used += size;
        }
        if (used > NSV_POINTERS * NSV_POINTER_MAX)
                used = NSV_POINTERS * NSV_POINTER_MAX;
        if (ring_output(&ring, call, __builtin_offsetof(struct follow_call, bytes) + used, 0) < 0)
                count_lost();
        return 0;
}

/* Until it returns for good, or a signal's handler runs, or the task ends. */
INLINE void remember_interrupted(__u64 task, __u32 number, __s64 result)
{
        struct follow_interrupted call = {number, (__s32)result};
        __s32 tgid = task_tgid(task);
        if (tgid && map_lookup(&followed, &tgid))
                map_update(&interrupted, &task, &call, BPF_ANY);
}

/* Where a filter makes a call into SIGSYS, which is about to come, the registers are as before the call (kernel/seccomp.c, __seccomp_filter;
 * arch/…/include/asm/syscall.h, syscall_rollback). */
INLINE int is_rolled_back(__u64 registers, __u64 task, __u32 number, __s64 result)
{
        __u32 before = config.result_in_first ? read_u32(registers + config.registers_first) : number;
        return before == (__u32)result && (read_u64(task + config.task_pending + config.pending_signal) >> (FILTER_SIGNAL - 1) & 1);
}

INLINE int on_return(__u64 registers, __s64 result, int by_event)
{
        __u64 task = current_task();
        __u32 number = read_u32(registers + config.registers_number);
        __u32 abi, zero = 0, name = find_call(number, task, &abi);
        if (!name--)
                return 0;
        if (is_restart(result)) {
                if (config.forgets_calls)
                        remember_interrupted(task, number, result);
                return 0;
        }
        /* Where both programs run, one of them tells. */
        const __u32 *told_by_event = map_lookup(&events_tell, &zero);
        if (!told_by_event || (abi == NSV_ABI_NATIVE && (*told_by_event != 0) != by_event))
                return 0;
        /* Where they succeed the birth is told. */
        if ((name == NSV_CALL_clone || name == NSV_CALL_clone3) && result >= 0)
                return 0;
        return tell_call(registers, task, number, name, abi, result, is_rolled_back(registers, task, number, result) ? FOLLOW_ENDED : 0);
}

INLINE int on_interrupted(int handled, __u64 handler_flags, __u32 flags)
{
        __u64 task = current_task(), registers = (__u64)task_registers(current_task_object());
        __u32 number;
        __s64 result;
        if (config.forgets_calls) {
                const struct follow_interrupted *call = map_lookup(&interrupted, &task);
                if (!call)
                        return 0;
                number = call->number;
                result = call->result;
                /* In the handler, and after it where it is made again, this is over. */
                map_delete(&interrupted, &task);
        } else {
                number = read_u32(registers + config.registers_number);
                result = (__s64)read_u64(registers + config.registers_result);
        }
        if (!is_restart(result) || result == RESTART_NO_INTERRUPTION)
                return 0;
        /* arch/x86/kernel/signal.c, handle_signal(); arch/arm64/kernel/signal.c, do_signal(): only ERESTARTSYS asks the handler whether it may be
         * made again. */
        if (!flags && (!handled || (result == RESTART_FIRST && (handler_flags & SA_RESTART_FLAG))))
                return 0;
        __u32 abi, name = find_call(number, task, &abi);
        /* One that ended in making a child has made none. */
        if (!name-- || name == NSV_CALL_clone || name == NSV_CALL_clone3)
                return 0;
        return tell_call(registers, task, number, name, abi, INTERRUPTED, flags);
}

/* signal_deliver(signal, info, action): a signal that is about to be acted upon. Into a call that waited: what becomes of that? A stop signal's
 * default is to stop, unless its process group is orphaned (kernel/signal.c, get_signal): the helper looks. */
SECTION("program/signal_deliver") int on_deliver(__u64 *context)
{
        __u32 signal = (__u32)context[0];
        /* struct k_sigaction begins with sa_handler, and sa_flags; SIG_DFL is 0. One that is ignored comes here where some thread blocks it. */
        __u64 handler = read_u64(context[2]);
        if (handler > IGNORED)
                on_interrupted(1, read_u64(context[2] + 8), 0);
        if (signal < STOP_SIGNAL_FIRST || signal > STOP_SIGNAL_LAST)
                return 0;
        if (signal != STOP_SIGNAL_FIRST && handler != 0)
                return 0;
        return put_small(FOLLOW_STOPPING, current_task(), signal);
}

/* sched_process_exit(task): it will not run its program any more, and still has its namespaces (kernel/exit.c, do_exit). */
SECTION("program/sched_process_exit") int on_exit(__u64 *context)
{
        __u64 task = context[0];
        __s32 tgid = task_tgid(task);
        if (!tgid || !map_lookup(&followed, &tgid))
                return 0;
        /* It was killed in a call that waited. */
        on_interrupted(0, 0, FOLLOW_ENDED);
        __u64 signal = read_u64(task + config.task_signal);
        /* Two that end at once can both see nobody alive: the one that takes the entry away was first to say so. */
        int last = read_u32(signal + config.signal_live) == 0 && map_delete(&followed, &tgid) == 0;

        struct follow_event *event = ring_reserve(&ring, sizeof(*event), 0);
        if (!event) {
                count_lost();
                return 0;
        }
        begin_event(event, FOLLOW_EXIT, task, tgid);
        /* What wait(2) will say: kernel/exit.c, wait_task_zombie(). */
        __u64 of = last ? read_u64(task + config.task_group_leader) : task;
        __u32 status = read_u32(of + config.task_exit_code);
        if (last && (read_u32(signal + config.signal_flags) & SIGNAL_GROUP_EXIT))
                status = read_u32(signal + config.signal_group_exit_code);
        event->value = status;
        event->flags = last ? FOLLOW_LAST : 0;
        ring_submit(event, 0);
        return 0;
}

/* sys_enter(regs, number): attached by nsview-guard only, when all that is followed is to die. Who calls the kernel does not come out of it:
 * clone(2) makes nobody for one to whom SIGKILL was sent (kernel/fork.c, copy_process), so no line of forks outruns it. */
SECTION("program/sys_enter") int on_any_call(__u64 *context)
{
        (void)context;
        __s32 tgid = task_tgid(current_task());
        if (tgid && map_lookup(&followed, &tgid))
                send_signal(KILL_SIGNAL);
        return 0;
}

INLINE void count_return(void)
{
        __u32 zero = 0;
        struct follow_returns *counted = map_lookup(&returns, &zero);
        if (!counted || ++counted->count % FOLLOW_RETURNS_STEP != 0)
                return;
        __u64 now = ktime_ns();
        counted->fast_steps = now - counted->since < FOLLOW_RETURNS_STEP_NS ? counted->fast_steps + 1 : 0;
        counted->since = now;
        if (counted->fast_steps == FOLLOW_RETURNS_FAST_STEPS)
                ring_output(&busy, &zero, sizeof(zero), BPF_RB_FORCE_WAKEUP);
}

/* sys_exit(regs, result): runs for every call of the machine, and counts them: where they are many, that is too dear. */
SECTION("program/sys_exit") int on_any_return(__u64 *context)
{
        count_return();
        return on_return(context[0], (__s64)context[1], 0);
}

/* include/trace/events/syscalls.h as perf hands it on (kernel/trace/trace_syscalls.c, perf_call_bpf_exit); not what the raw one gets. */
struct syscall_return {
        __u64 unused;
        __s64 number, result;
};

/* syscalls:sys_exit_…: runs for those calls only. */
SECTION("program/syscall_return") int on_wanted_return(struct syscall_return *context)
{
        return on_return((__u64)task_registers(current_task_object()), context->result, 1);
}

/* As the kernel spells it (include/linux/license.h): the helpers used are for GPL-compatible programs. */
char program_license[] SECTION("license") = "Dual MIT/GPL";
