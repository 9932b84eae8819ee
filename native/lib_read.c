/* SPDX-License-Identifier: MIT */
/* Knows how to read many processes from /proc: threads read ahead into buffers, batch by batch, and one reader takes these in turn. What is
 * read is not understood here, but for numbers; the texts go as they are. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib_read.h"
#include "lib_threads.h"
#include "nsview.h"
#include "sys.h"

/* A batch is so many processes, or fewer where their texts are long. */
enum { BATCH = 128, BATCHES_AHEAD = 6, MOST_THREADS = 4, BATCH_BYTES = 1 << 20, TEXT_MOST = 64 << 10 };

struct batch {
        int32_t number; /* -1: free */
        bool done;
        uint32_t used;
        uint8_t *bytes;
};

static struct {
        pthread_mutex_t mutex;
        pthread_cond_t moved;
        pthread_t threads[MOST_THREADS];
        int thread_count;
        int32_t *pids;
        int32_t count, next, taken;
        int holds;
        bool end;
        struct batch batches[BATCHES_AHEAD];
} reader = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

/* -errno, and which call it was of. */
static int32_t refused(int error, bool by_read)
{
        return -(error | (by_read ? NSV_READ_BY_READ : 0));
}

int32_t read_file(int folder, const char *name, void *bytes, uint32_t max)
{
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return refused(errno, false);
        uint32_t used = 0;
        for (;;) {
                if (used == max)
                        return -EFBIG;
                ssize_t n = read(fd, (uint8_t *)bytes + used, max - used);
                if (n < 0)
                        return refused(errno, true);
                if (n == 0)
                        return (int32_t)used;
                used += (uint32_t)n;
        }
}

/* proc_pid_stat(5). The name may hold anything: it ends at the last parenthesis. */
struct stat_read {
        const char *comm;
        int32_t comm_size;
        char state;
        int32_t ppid, threads;
        uint64_t start;
};

static bool decode_stat(char *text, int32_t size, struct stat_read *ret)
{
        if (size <= 0)
                return false;
        text[size] = '\0';
        char *open = memchr(text, '(', (size_t)size), *close = memrchr(text, ')', (size_t)size);
        if (open == NULL || close < open)
                return false;
        unsigned long long start;
        int threads, ppid;
        char state;
        if (sscanf(close + 1, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d %*s %llu", &state, &ppid, &threads,
                   &start) != 4)
                return false;
        *ret = (struct stat_read){open + 1, (int32_t)(close - open - 1), state, ppid, threads, start};
        return true;
}

static bool is_dead(char state)
{
        return state == 'Z' || state == 'X';
}

/* Of /proc/PID/status the lines that nsview uses, those that differ from process to process last. Returns the bytes of both parts. */
static int32_t put_status(char *text, int32_t size, uint8_t *to, int32_t *ret_shared)
{
        static const char *const shared[] = {"Uid:",    "Gid:",    "Groups:", "CapInh:",     "CapPrm:",  "CapEff:",
                                             "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:"};
        int32_t used = 0;
        for (int part = 0; part < 2; part++) {
                for (char *line = text, *end; line < text + size; line = end + 1) {
                        end = memchr(line, '\n', (size_t)(text + size - line));
                        if (end == NULL)
                                end = text + size - 1;
                        bool wanted = false;
                        if (part == 1)
                                wanted = strncmp(line, "NSpid:", 6) == 0;
                        else
                                for (size_t i = 0; i < sizeof(shared) / sizeof(*shared) && !wanted; i++)
                                        wanted = strncmp(line, shared[i], strlen(shared[i])) == 0;
                        if (!wanted)
                                continue;
                        memcpy(to + used, line, (size_t)(end + 1 - line));
                        used += (int32_t)(end + 1 - line);
                }
                if (part == 0)
                        *ret_shared = used;
        }
        return used;
}

void read_links(int folder, int64_t ret[NSV_LINK_COUNT])
{
        static const char *const names[] = {
#define NAME(name) "ns/" #name,
                NSV_LINKS(NAME)
#undef NAME
        };
        for (int i = 0; i < NSV_LINK_COUNT; i++) {
                char link[64];
                ssize_t size = readlinkat(folder, names[i], link, sizeof(link) - 1);
                if (size < 0) {
                        ret[i] = -errno;
                        continue;
                }
                link[size] = '\0';
                const char *number = strchr(link, '[');
                ret[i] = number == NULL ? -EBADMSG : (int64_t)strtoull(number + 1, NULL, 10);
        }
}

/* As rows of numbers are. */
static uint8_t *aligned(uint8_t *row, const uint8_t *text)
{
        return row + (((size_t)(text - row) + 7) & ~(size_t)7);
}

/* One process at `to`, where BATCH_BYTES / 2 are free at least. Returns its bytes. */
static uint32_t read_one(int32_t pid, uint8_t *to, char *scratch, struct thread_texts *texts)
{
        struct nsv_process *row = (struct nsv_process *)to;
        memset(row, 0, sizeof(*row));
        row->pid = pid;
        row->size = sizeof(*row);
        uint8_t *text = to + sizeof(*row);
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) {
                row->how = NSV_PROCESS_GONE;
                return row->size;
        }
        struct stat_read first, again;
        int32_t size = read_file(folder, "stat", scratch, TEXT_MOST - 1);
        if (size < 0 || !decode_stat(scratch, size, &first)) {
                row->how = size < 0 ? NSV_PROCESS_GONE : NSV_PROCESS_ODD;
                return row->size;
        }
        int32_t shared = 0;
        size = read_file(folder, "status", scratch, TEXT_MOST - 1);
        if (size >= 0) {
                scratch[size] = '\0';
                row->status = put_status(scratch, size, text, &shared);
                row->shared = shared;
                text += row->status;
        } else
                row->status = size;
        read_links(folder, row->links);
        row->argv = read_file(folder, "cmdline", text, TEXT_MOST);
        if (row->argv > 0)
                text += row->argv;
        ssize_t exe = readlinkat(folder, "exe", (char *)text, TEXT_MOST);
        row->exe = exe < 0 ? -errno : (int32_t)exe;
        if (exe > 0)
                text += exe;
        const char *cgroup = (const char *)text;
        row->cgroup = read_file(folder, "cgroup", text, TEXT_MOST);
        if (row->cgroup > 0)
                text += row->cgroup;
        if (reader.holds != 0) {
                uint8_t *rows = aligned(to, text);
                row->holds = nsv_holds(pid, reader.holds, (int64_t *)rows, TEXT_MOST / (NSV_HOLD_ROW * 8));
                row->holds_at = (uint32_t)(rows - to);
                text = rows + (row->holds > 0 ? (size_t)row->holds * NSV_HOLD_ROW * 8 : 0);
        }
        bool alike = true;
        if (first.threads > 1) {
                uint8_t *rows = aligned(to, text);
                alike = threads_alike(folder, pid, row->links, cgroup, row->cgroup, texts, (struct nsv_thread *)rows, &row->threads);
                row->threads_at = (uint32_t)(rows - to);
                text = rows + (alike ? (size_t)row->threads * sizeof(struct nsv_thread) : 0);
        }
        size = read_file(folder, "stat", scratch, TEXT_MOST - 1);
        if (size < 0 || !decode_stat(scratch, size, &again)) {
                row->how = size < 0 ? NSV_PROCESS_GONE : NSV_PROCESS_ODD;
                return row->size;
        }
        bool is_long = row->argv == -EFBIG || row->cgroup == -EFBIG || row->status == -EFBIG;
        if (again.start != first.start || is_dead(again.state) != is_dead(first.state) || is_long)
                row->how = NSV_PROCESS_ODD;
        else if (!alike)
                row->how = NSV_PROCESS_THREADS;
        row->state = (uint8_t)again.state;
        row->ppid = again.ppid;
        row->start = again.start;
        row->comm = again.comm_size;
        memcpy(text, again.comm, (size_t)again.comm_size);
        text += again.comm_size;
        row->size = (uint32_t)(((size_t)(text - to) + 7) & ~(size_t)7);
        return row->size;
}

static struct batch *find_batch(int32_t number)
{
        for (int i = 0; i < BATCHES_AHEAD; i++)
                if (reader.batches[i].number == number)
                        return &reader.batches[i];
        return NULL;
}

static void *read_ahead(void *unused)
{
        (void)unused;
        static const uint32_t room = BATCH_BYTES / 2;
        char scratch[TEXT_MOST];
        struct thread_texts texts;
        pthread_mutex_lock(&reader.mutex);
        while (!reader.end && reader.next * BATCH < reader.count) {
                struct batch *batch = find_batch(-1);
                if (batch == NULL) {
                        pthread_cond_wait(&reader.moved, &reader.mutex);
                        continue;
                }
                batch->number = reader.next++;
                batch->done = false;
                pthread_mutex_unlock(&reader.mutex);
                int32_t from = batch->number * BATCH, to = from + BATCH < reader.count ? from + BATCH : reader.count;
                batch->used = 0;
                for (int32_t i = from; i < to; i++) {
                        if (BATCH_BYTES - batch->used >= room)
                                batch->used += read_one(reader.pids[i], batch->bytes + batch->used, scratch, &texts);
                        else {
                                /* Long texts have filled the batch: whoever takes it reads the rest itself. */
                                struct nsv_process *row = (struct nsv_process *)(batch->bytes + batch->used);
                                memset(row, 0, sizeof(*row));
                                row->pid = reader.pids[i];
                                row->how = NSV_PROCESS_ODD;
                                row->size = sizeof(*row);
                                batch->used += row->size;
                        }
                }
                pthread_mutex_lock(&reader.mutex);
                batch->done = true;
                pthread_cond_broadcast(&reader.moved);
        }
        pthread_mutex_unlock(&reader.mutex);
        return NULL;
}

NSV_API void nsv_read_end(void)
{
        pthread_mutex_lock(&reader.mutex);
        reader.end = true;
        pthread_cond_broadcast(&reader.moved);
        pthread_mutex_unlock(&reader.mutex);
        for (int i = 0; i < reader.thread_count; i++)
                pthread_join(reader.threads[i], NULL);
        reader.thread_count = 0;
        for (int i = 0; i < BATCHES_AHEAD; i++) {
                free(reader.batches[i].bytes);
                reader.batches[i].bytes = NULL;
        }
        free(reader.pids);
        reader.pids = NULL;
}

NSV_API int nsv_read_begin(const int32_t *pids, int count, int holds)
{
        if (reader.pids != NULL)
                return -EBUSY;
        reader.pids = malloc(((size_t)count + 1) * sizeof(*pids));
        if (reader.pids == NULL)
                return -ENOMEM;
        memcpy(reader.pids, pids, (size_t)count * sizeof(*pids));
        reader.count = count;
        reader.next = reader.taken = 0;
        reader.holds = holds;
        reader.end = false;
        for (int i = 0; i < BATCHES_AHEAD; i++) {
                reader.batches[i] = (struct batch){.number = -1, .bytes = malloc(BATCH_BYTES)};
                if (reader.batches[i].bytes == NULL) {
                        nsv_read_end();
                        return -ENOMEM;
                }
        }
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        int wanted = online < 1 ? 1 : online > MOST_THREADS ? MOST_THREADS : (int)online;
        /* No handler of the program may run on them. */
        sigset_t all, before;
        sigfillset(&all);
        int error = pthread_sigmask(SIG_SETMASK, &all, &before);
        for (int i = 0; error == 0 && i < wanted; i++) {
                error = pthread_create(&reader.threads[i], NULL, read_ahead, NULL);
                if (error == 0)
                        reader.thread_count++;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (reader.thread_count == 0) {
                nsv_read_end();
                return -error;
        }
        return 0;
}

NSV_API int nsv_read_next(void *buffer, uint32_t size)
{
        if (reader.pids == NULL || size < BATCH_BYTES)
                return -EINVAL;
        if (reader.taken * BATCH >= reader.count)
                return 0;
        pthread_mutex_lock(&reader.mutex);
        struct batch *batch;
        while ((batch = find_batch(reader.taken)) == NULL || !batch->done)
                pthread_cond_wait(&reader.moved, &reader.mutex);
        pthread_mutex_unlock(&reader.mutex);
        memcpy(buffer, batch->bytes, batch->used);
        int used = (int)batch->used;
        pthread_mutex_lock(&reader.mutex);
        batch->number = -1;
        reader.taken++;
        pthread_cond_broadcast(&reader.moved);
        pthread_mutex_unlock(&reader.mutex);
        return used;
}
