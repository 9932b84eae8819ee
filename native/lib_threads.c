/* SPDX-License-Identifier: MIT */
#include "lib_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib_read.h"
#include "sys.h"

/* Lines of /proc/TID/status that say who it is and what it may do stand together in these parts (proc_pid_status(5)). */
static const struct {
        const char *from, *to;
} parts[] = {{"\nUid:", "\nFDSize:"}, {"\nGroups:", "\nNStgid:"}, {"\nCapInh:", "\nSpeculation"}};

static bool same_part(const char *one, const char *other, const char *from, const char *to)
{
        const char *first = strstr(one, from), *second = strstr(other, from);
        const char *first_end = first ? strstr(first, to) : NULL, *second_end = second ? strstr(second, to) : NULL;
        return first_end && second_end && first_end - first == second_end - second &&
               memcmp(first, second, (size_t)(first_end - first)) == 0;
}

static bool same_credentials(const char *one, const char *other)
{
        for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
                if (!same_part(one, other, parts[i].from, parts[i].to))
                        return false;
        return true;
}

static bool is_ended(const char *status)
{
        const char *state = strstr(status, "\nState:\t");
        return state && (state[8] == 'Z' || state[8] == 'X');
}

/* With its NUL; negative as read_file() has it. */
static int32_t read_text(int folder, const char *name, char text[static THREAD_TEXT])
{
        int32_t size = read_file(folder, name, text, THREAD_TEXT - 1);
        if (size >= 0)
                text[size] = '\0';
        return size;
}

/* Its own file of that name says what `text` says; a thread that ends says nothing. */
static bool same_file(int folder, const char *name, const char *text, int32_t size, char other[static THREAD_TEXT])
{
        int32_t n = read_text(folder, name, other);
        return n < 0 ? n != -EFBIG : n == size && memcmp(other, text, (size_t)n) == 0;
}

static bool shares(int32_t pid, int32_t tid, int type)
{
        return sys_kcmp(pid, tid, type) <= 0;
}

struct leader {
        int32_t pid, cgroup_size, label_size;
        const int64_t *links;
        const char *cgroup;
        struct thread_texts *texts;
        bool files, fs; /* kcmp(2) compares them */
};

/* 1, 0 for one that is gone, -1 for one that differs. */
static int compare_thread(const struct leader *leader, int folder, int32_t tid, struct nsv_thread *to)
{
        struct thread_texts *texts = leader->texts;
        int32_t size = read_text(folder, "comm", texts->other);
        if (size < 0)
                return 0;
        if (size > 0 && texts->other[size - 1] == '\n')
                size--;
        if ((size_t)size > sizeof(to->comm))
                return -1;
        *to = (struct nsv_thread){.tid = tid, .comm_size = size};
        memcpy(to->comm, texts->other, (size_t)size);
        int64_t links[NSV_LINK_COUNT];
        read_links(folder, links);
        if (memcmp(links, leader->links, sizeof(links)) != 0)
                return -1;
        size = read_text(folder, "status", texts->other);
        if (size < 0)
                return size == -EFBIG ? -1 : 1;
        if (is_ended(texts->other))
                return 1;
        bool same = same_credentials(texts->status, texts->other) && same_file(folder, "cgroup", leader->cgroup, leader->cgroup_size, texts->other) &&
                    (leader->label_size < 0 || same_file(folder, "attr/current", texts->label, leader->label_size, texts->other)) &&
                    (!leader->files || shares(leader->pid, tid, KCMP_FILES)) && (!leader->fs || shares(leader->pid, tid, KCMP_FS));
        return same ? 1 : -1;
}

static int compare_tids(const void *one, const void *other)
{
        int32_t a = ((const struct nsv_thread *)one)->tid, b = ((const struct nsv_thread *)other)->tid;
        return (a > b) - (a < b);
}

bool threads_alike(int folder, int32_t pid, const int64_t *links, const char *cgroup, int32_t cgroup_size, struct thread_texts *texts,
                   struct nsv_thread *to, int32_t *ret_count)
{
        struct leader leader = {.pid = pid, .links = links, .cgroup = cgroup, .cgroup_size = cgroup_size, .texts = texts};
        if (cgroup_size < 0 || read_text(folder, "status", texts->status) < 0 || is_ended(texts->status))
                return false;
        leader.label_size = read_text(folder, "attr/current", texts->label);
        if (leader.label_size == -EFBIG)
                return false;
        leader.files = sys_kcmp(pid, pid, KCMP_FILES) == 0;
        leader.fs = sys_kcmp(pid, pid, KCMP_FS) == 0;
        DIR *tasks = open_directory(folder, "task");
        if (!tasks)
                return false;
        int32_t count = 0;
        bool alike = true;
        for (struct dirent *entry; alike && (entry = readdir(tasks));) {
                int32_t tid = atoi(entry->d_name);
                if (tid <= 0 || tid == pid)
                        continue;
                _cleanup_close_ int thread = openat(dirfd(tasks), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (thread < 0)
                        continue;
                int r = count < NSV_THREADS_MOST ? compare_thread(&leader, thread, tid, &to[count]) : -1;
                alike = r >= 0;
                count += r > 0;
        }
        closedir(tasks);
        qsort(to, (size_t)count, sizeof(*to), compare_tids);
        *ret_count = count;
        return alike;
}
