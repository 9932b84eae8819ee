/* SPDX-License-Identifier: MIT */
/* Knows how to run claims about the kernel, each in a process of its own, and to tell what came of them: as TAP 14, or as JSON lines. */
#include "hold.h"

#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "families.h"

/* Seconds that a claim may take; less where it is to fail. */
#define LIMIT (dropped == 0 ? 10u : 1u)

struct shared *shared;
static uint64_t dropped;
static volatile sig_atomic_t stopped;

/* ---- What claims use ---- */

static _Noreturn void settle(int verdict, const char *format, va_list list)
{
        if (shared->verdict == HELD) {
                vsnprintf(shared->reason, sizeof(shared->reason), format, list);
                shared->verdict = verdict;
        }
        _exit(1);
}

void broken(const char *format, ...)
{
        va_list list;
        va_start(list, format);
        settle(BROKEN, format, list);
}

void skip(const char *format, ...)
{
        va_list list;
        va_start(list, format);
        settle(SKIPPED, format, list);
}

pid_t clone3_with(struct clone_args *args)
{
        args->flags &= ~dropped;
        if (!(args->flags & CLONE_INTO_CGROUP))
                args->cgroup = 0;
        long r = syscall(SYS_clone3, args, sizeof(*args));
        if (r < 0 && errno == ENOSYS)
                skip("kernel lacks clone3, or a seccomp filter hides it");
        return (pid_t)r;
}

pid_t fork_with(uint64_t flags)
{
        struct clone_args args = {.flags = flags, .exit_signal = flags & (CLONE_PARENT | CLONE_THREAD) ? 0 : SIGCHLD};
        pid_t child = clone3_with(&args);
        if (child < 0)
                broken("clone3 with flags 0x%llx: %s", (unsigned long long)flags, strerror(errno));
        if (child == 0)
                prctl(PR_SET_PDEATHSIG, SIGKILL);
        return child;
}

int unshare_with(uint64_t flags)
{
        return unshare((int)(flags & ~dropped));
}

pid_t run_with(uint64_t flags, int (*run)(void *), void *argument)
{
        const size_t size = 256 * 1024;
        char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED)
                broken("mmap: %s", strerror(errno));
        int signal = flags & CLONE_THREAD ? 0 : SIGCHLD;
        pid_t child = clone(run, stack + size, (int)((flags & ~dropped) | (unsigned)signal), argument);
        if (child < 0)
                broken("clone with flags 0x%llx: %s", (unsigned long long)flags, strerror(errno));
        return child;
}

int refusal_of(uint64_t flags, int exit_signal)
{
        struct clone_args args = {.flags = flags, .exit_signal = (uint64_t)exit_signal};
        long r = syscall(SYS_clone3, &args, sizeof(args));
        if (r == 0)
                _exit(0);
        if (r < 0)
                return errno;
        waitpid((pid_t)r, NULL, __WALL);
        return 0;
}

void ends_well(pid_t child)
{
        int status;
        if (waitpid(child, &status, __WALL) < 0)
                broken("waitpid: %s", strerror(errno));
        if (shared->verdict != HELD)
                _exit(1);
        if (WIFSIGNALED(status))
                broken("a child was killed by signal %d", WTERMSIG(status));
        if (status != 0)
                broken("a child ended with status %d", WEXITSTATUS(status));
}

void wait_for(volatile int *number, int value)
{
        while (*number != value) {
                if (shared->verdict != HELD)
                        _exit(1);
                usleep(500);
        }
}

uint64_t effective_capabilities(void)
{
        char value[64];
        status_field(getpid(), "CapEff", value, sizeof(value));
        return strtoull(value, NULL, 16);
}

bool is_privileged(void)
{
        return effective_capabilities() >> CAP_SYS_ADMIN & 1;
}

int map_root(pid_t pid, uid_t uid, gid_t gid)
{
        char path[64], text[64];
        snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
        if (write_file(path, "deny") < 0 && errno != ENOENT)
                return -1;
        snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
        snprintf(text, sizeof(text), "0 %u 1", uid);
        if (write_file(path, text) < 0)
                return -1;
        snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
        snprintf(text, sizeof(text), "0 %u 1", gid);
        return write_file(path, text);
}

void gain_privilege(void)
{
        if (is_privileged())
                return;
        uid_t uid = geteuid();
        gid_t gid = getegid();
        if (unshare(CLONE_NEWUSER) < 0)
                skip("no privilege: CAP_SYS_ADMIN is missing, and unshare(CLONE_NEWUSER) is refused: %s", strerror(errno));
        if (map_root(getpid(), uid, gid) < 0)
                skip("no privilege: CAP_SYS_ADMIN is missing, and the maps of a new user namespace cannot be written: %s", strerror(errno));
}

void drop_capabilities(void)
{
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct none[2] = {0};
        MUST(syscall(SYS_capset, &header, none));
}

void use_capabilities(uint64_t these)
{
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct sets[2];
        MUST(syscall(SYS_capget, &header, sets));
        for (int half = 0; half < 2; half++)
                sets[half].effective = sets[half].permitted & (uint32_t)(these >> 32 * half);
        MUST(syscall(SYS_capset, &header, sets));
}

void own_cgroup(char *path, size_t size)
{
        char text[8192];
        MUST(read_file("/proc/thread-self/cgroup", text, sizeof(text)));
        char *start = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
        if (start == NULL)
                skip("kernel lacks a cgroup v2 hierarchy");
        start += *start == '\n' ? 4 : 3;
        snprintf(path, size, "%.*s", (int)strcspn(start, "\n"), start);
}

void have_own_mounts(void)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWNS));
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        MUST(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"));
        MUST(chdir("/tmp"));
}

ssize_t read_file(const char *path, char *text, size_t size)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        size_t used = 0;
        for (ssize_t n; used + 1 < size && (n = read(fd, text + used, size - 1 - used)) > 0;)
                used += (size_t)n;
        text[used] = 0;
        close(fd);
        return (ssize_t)used;
}

int write_file(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        ssize_t n = write(fd, text, strlen(text));
        int saved = errno;
        close(fd);
        errno = saved;
        return n < 0 ? -1 : 0;
}

ino_t namespace_of(pid_t pid, const char *name)
{
        char path[64];
        struct stat status;
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid == 0 ? getpid() : pid, name);
        if (pid == 0)
                snprintf(path, sizeof(path), "/proc/thread-self/ns/%s", name);
        if (stat(path, &status) < 0) {
                if (errno == ENOENT)
                        skip("kernel lacks %s namespaces", name);
                broken("%s: %s", path, strerror(errno));
        }
        return status.st_ino;
}

int compare(pid_t one, pid_t other, int what)
{
        long r = syscall(SYS_kcmp, one, other, what, 0, 0);
        if (r < 0 && errno == ENOSYS)
                skip("kernel lacks kcmp");
        if (r < 0)
                broken("kcmp: %s", strerror(errno));
        return (int)r;
}

void status_field(pid_t pid, const char *name, char *value, size_t size)
{
        char path[64], text[8192];
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        if (read_file(path, text, sizeof(text)) < 0)
                broken("%s: %s", path, strerror(errno));
        size_t length = strlen(name);
        value[0] = 0;
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
                if (strncmp(line, name, length) == 0 && line[length] == ':')
                        snprintf(value, size, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
}

void send_fd(int socket, int fd)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec byte = {.iov_base = "x", .iov_len = 1};
        struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        MUST(sendmsg(socket, &message, 0));
}

int receive_fd(int socket)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {0};
        char byte;
        struct iovec room = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        int fd = -1;
        MUST(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header != NULL && header->cmsg_type == SCM_RIGHTS)
                memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        HOLDS(fd >= 0, "no fd came over the socket");
        return fd;
}

/* ---- The runner ---- */

static void on_stop(int signal)
{
        stopped = signal;
}

bool is_stopped(void)
{
        return stopped != 0;
}

/* All that the claim left behind, which came here since the runner is their subreaper (prctl(2)). */
void reap_rest(void)
{
        for (;;) {
                pid_t pid = waitpid(-1, NULL, __WALL | WNOHANG);
                if (pid > 0)
                        continue;
                if (pid < 0)
                        return;
                char path[64], text[4096];
                snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
                if (read_file(path, text, sizeof(text)) > 0)
                        for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
                                kill(atoi(word), SIGKILL);
                usleep(500);
        }
}

void remove_cgroups(void)
{
        /* EBUSY until the last of its processes has left, which on a slow machine comes long after it was waited for. */
        for (int i = shared->cgroups; i-- > 0;) {
                int r, tries = 0;
                while ((r = rmdir(shared->cgroup[i])) < 0 && errno == EBUSY && tries++ < 4000)
                        usleep(5000);
                if (r < 0 && errno != ENOENT)
                        fprintf(stderr, "nsview-claims: rmdir %s: %s\n", shared->cgroup[i], strerror(errno));
        }
}

/* Whether /proc numbers processes as this one's pid namespace does: the claims look there for what became of theirs. */
static bool has_own_proc(void)
{
        char target[32] = "";
        return readlink("/proc/self", target, sizeof(target) - 1) > 0 && atoi(target) == getpid();
}

static void run_claim(const struct claim *claim)
{
        memset(shared, 0, sizeof(*shared));
        if (!has_own_proc()) {
                shared->verdict = SKIPPED;
                snprintf(shared->reason, sizeof(shared->reason), "needs a /proc of its own pid namespace (unshare --mount-proc)");
                return;
        }
        pid_t runner = getpid();
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0) {
                shared->verdict = BROKEN;
                snprintf(shared->reason, sizeof(shared->reason), "fork: %s", strerror(errno));
                return;
        }
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != runner)
                        _exit(1);
                setpgid(0, 0);
                signal(SIGINT, SIG_DFL);
                signal(SIGTERM, SIG_DFL);
                signal(SIGHUP, SIG_DFL);
                signal(SIGPIPE, SIG_DFL);
                alarm(LIMIT);
                claim->run();
                _exit(0);
        }
        setpgid(pid, pid);
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                if (stopped)
                        kill(pid, SIGKILL);
        kill(-pid, SIGKILL);
        reap_rest();
        remove_cgroups();
        if (shared->verdict != HELD || status == 0)
                return;
        shared->verdict = BROKEN;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
                snprintf(shared->reason, sizeof(shared->reason), "not settled within %u s", LIMIT);
        else if (WIFSIGNALED(status))
                snprintf(shared->reason, sizeof(shared->reason), "its process was killed by signal %d", WTERMSIG(status));
        else
                snprintf(shared->reason, sizeof(shared->reason), "its process ended with status %d", WEXITSTATUS(status));
}

/* ---- What is told ---- */

void print_string(const char *text)
{
        putchar('"');
        for (const unsigned char *c = (const unsigned char *)text; *c; c++)
                if (*c == '"' || *c == '\\')
                        printf("\\%c", *c);
                else if (*c < 0x20 || *c > 0x7e)
                        printf("\\u%04x", *c);
                else
                        putchar(*c);
        putchar('"');
}

void print_pair(const char *key, const char *value)
{
        printf(",\"%s\":", key);
        print_string(value);
}

static void print_json(int number, const struct claim *claim, bool listed)
{
        printf("{\"number\":%d", number);
        print_pair("flag", claim->flag);
        print_pair("id", claim->id);
        print_pair("sentence", claim->sentence);
        print_pair("man", claim->man);
        print_pair("section", claim->section);
        print_pair("file", claim->file);
        print_pair("function", claim->function);
        if (!listed) {
                print_pair("verdict", (const char *[]){"held", "broken", "skipped"}[shared->verdict]);
                if (shared->verdict != HELD)
                        print_pair("reason", shared->reason);
        }
        puts("}");
}

static void print_tap(int number, const struct claim *claim)
{
        printf("%s %d - %s: %s", shared->verdict == BROKEN ? "not ok" : "ok", number, claim->flag, claim->sentence);
        if (shared->verdict == SKIPPED)
                printf(" # SKIP %s", shared->reason);
        putchar('\n');
        if (shared->verdict != BROKEN)
                return;
        printf("  ---\n  reason: ");
        print_string(shared->reason);
        printf("\n  id: %s\n  man: %s, %s\n  kernel: %s, %s\n  ...\n", claim->id, claim->man, claim->section, claim->file, claim->function);
}

bool is_flag(const char *flag, const char *word)
{
        static const char prefix[] = "CLONE_";
        size_t length = sizeof(prefix) - 1;
        const char *own = strncmp(flag, prefix, length) == 0 ? flag + length : flag;
        return strcasecmp(strncasecmp(word, prefix, length) == 0 ? word + length : word, own) == 0;
}

static const struct {
        const struct claim *claims;
        const size_t *count;
} families[] = {FAMILIES};

static const struct claim *claims[512];
static size_t claims_count;

/* Behind the last of the same flag and page, or else of the same flag: a person reads on there. */
static void add_claim(const struct claim *claim)
{
        size_t at = claims_count, of_flag = claims_count;
        for (size_t i = 0; i < claims_count; i++)
                if (strcmp(claims[i]->flag, claim->flag) == 0) {
                        of_flag = i + 1;
                        if (strcmp(claims[i]->man, claim->man) == 0)
                                at = i + 1;
                }
        if (at == claims_count)
                at = of_flag;
        memmove(&claims[at + 1], &claims[at], (claims_count++ - at) * sizeof(*claims));
        claims[at] = claim;
}

static const struct claim *find_claim(const char *flag, const char *id)
{
        for (size_t i = 0; i < claims_count; i++)
                if (strcmp(claims[i]->flag, flag) == 0 && strcmp(claims[i]->id, id) == 0)
                        return claims[i];
        return NULL;
}

int main(int argc, char **argv)
{
        bool json = false, list = false;
        const char *flag = NULL, *held = NULL;
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--json") == 0)
                        json = true;
                else if (strcmp(argv[i], "--list") == 0)
                        list = true;
                else if (strcmp(argv[i], "--drop") == 0 && i + 1 < argc)
                        /* Breaks what depends on the flag: the tests see by it that the claims can fail. */
                        dropped |= strtoull(argv[++i], NULL, 16);
                else if (strcmp(argv[i], "--hold") == 0 && i + 1 < argc)
                        held = argv[++i];
                else if (argv[i][0] != '-' && flag == NULL)
                        flag = argv[i];
                else {
                        fputs("usage: nsview-claims [--json] [--list] [--drop HEX] [FLAG], or nsview-claims --hold FLAG\n", stderr);
                        return 2;
                }
        }
        for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++)
                for (size_t c = 0; c < *families[f].count && claims_count < sizeof(claims) / sizeof(*claims); c++)
                        if (flag == NULL || is_flag(families[f].claims[c].flag, flag))
                                add_claim(&families[f].claims[c]);
        if (claims_count == 0) {
                fputs("nsview-claims: there is no claim of that flag; --list shows which there are\n", stderr);
                return 2;
        }
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED) {
                fprintf(stderr, "nsview-claims: mmap: %s\n", strerror(errno));
                return 1;
        }
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        struct sigaction stop = {.sa_handler = on_stop};
        for (size_t i = 0; i < 3; i++)
                sigaction((int[]){SIGINT, SIGTERM, SIGHUP}[i], &stop, NULL);
        signal(SIGCHLD, SIG_DFL);
        /* So that what a claim has made is removed before the end, though nobody listens any more. */
        signal(SIGPIPE, SIG_IGN);
        /* What the caller left open would be counted by claims about fds. */
        syscall(SYS_close_range, 3, ~0U, 0);
        if (held != NULL)
                return hold(held, argv, find_claim);
        if (!json && !list)
                printf("TAP version 14\n1..%zu\n", claims_count);
        int bad = 0;
        for (size_t i = 0; i < claims_count; i++) {
                const struct claim *claim = claims[i];
                int number = (int)i + 1;
                if (list) {
                        if (json)
                                print_json(number, claim, true);
                        else
                                printf("%s: %s\n", claim->flag, claim->sentence);
                        continue;
                }
                run_claim(claim);
                if (stopped)
                        return 128 + stopped;
                bad += shared->verdict == BROKEN;
                if (json)
                        print_json(number, claim, false);
                else
                        print_tap(number, claim);
                if (fflush(stdout) < 0)
                        return 1;
        }
        return bad > 0;
}
