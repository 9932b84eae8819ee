/* SPDX-License-Identifier: MIT */
/* Knows how to ask rtnetlink (rtnetlink(7)) of a network namespace that the caller is not in: a thread that lives for the question alone
 * enters it (setns(2) moves one thread), makes the socket there, asks, closes it, and ends. Nothing of nsview stays in the namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/net_namespace.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib_owner.h"
#include "nsview.h"
#include "sys.h"

/* As libnftables asks for all tables. */
#define NFT_GETTABLE ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE)

/* A dump that takes longer than that is given up: milliseconds. */
#define PATIENCE 500

struct question {
        const char *path; /* of the namespace */
        int type;         /* RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNSID, of sock_diag(7) SOCK_DIAG_BY_FAMILY, or of nf_tables NFT_GETTABLE */
        int family, protocol; /* of sock_diag(7) */
        const char *paths;
        int count; /* of paths, for RTM_GETNSID */
        uint8_t *buffer;
        uint32_t size;
        int32_t *ret_ids;
        int stage;
        int answer;
};

static int64_t milliseconds(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct visit {
        struct as_owner in;
        int protocol, fd;
};

static int protocol_of(const struct question *question)
{
        return question->type == SOCK_DIAG_BY_FAMILY ? NETLINK_SOCK_DIAG : question->type == NFT_GETTABLE ? NETLINK_NETFILTER : NETLINK_ROUTE;
}

static int go_in(void *argument)
{
        struct visit *visit = argument;
        visit->fd = as_owner_enter(&visit->in);
        if (visit->fd == 0 && (visit->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, visit->protocol)) < 0)
                visit->fd = -errno;
        return 0;
}

static int enter_and_connect(struct question *question)
{
        question->stage = NSV_NETWORK_OPEN;
        _cleanup_close_ int namespace = open(question->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (namespace < 0)
                return -errno;
        _cleanup_close_ int fd = -EBADF;
        struct stat there, here;
        /* One's own needs no privilege; setns wants CAP_SYS_ADMIN even for that. */
        if (fstat(namespace, &there) < 0 || stat("/proc/thread-self/ns/net", &here) < 0 || there.st_ino != here.st_ino ||
            there.st_dev != here.st_dev) {
                question->stage = NSV_NETWORK_SETNS;
                if (setns(namespace, CLONE_NEWNET) < 0) {
                        if (errno != EPERM)
                                return -errno;
                        struct visit visit = {.protocol = protocol_of(question), .fd = -EPERM};
                        as_owner_run(&visit.in, namespace, CLONE_NEWNET, go_in);
                        fd = visit.fd;
                        if (fd < 0)
                                return -EPERM;
                }
        }
        question->stage = NSV_NETWORK_SOCKET;
        if (fd < 0)
                fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol_of(question));
        if (fd < 0)
                return -errno;
        struct timeval patience = {.tv_usec = PATIENCE * 1000};
        struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
            connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* One datagram, whole. */
static ssize_t receive(int fd, uint8_t *packet, size_t size)
{
        ssize_t n = recv(fd, packet, size, MSG_TRUNC);
        return n < 0 ? -errno : (size_t)n > size ? -EMSGSIZE : n;
}

static int dump(int fd, const struct question *question)
{
        struct {
                struct nlmsghdr header;
                union {
                        struct ifinfomsg route; /* as large as the largest of the three bodies that rtnetlink may be asked with */
                        struct unix_diag_req sockets;
                        struct inet_diag_req_v2 listeners;
                        struct nfgenmsg tables;
                        struct nhmsg hops;
                } body;
        } request = {
                .header = {.nlmsg_len = sizeof(request.header) + sizeof(request.body.route),
                           .nlmsg_type = (uint16_t)question->type,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                           .nlmsg_seq = 1},
        };
        if (question->type == SOCK_DIAG_BY_FAMILY && question->family != AF_UNIX) {
                /* Those that listen; of UDP those that are not connected. */
                request.header.nlmsg_len = sizeof(request.header) + sizeof(request.body.listeners);
                request.body.listeners =
                        (struct inet_diag_req_v2){.sdiag_family = (uint8_t)question->family,
                                                  .sdiag_protocol = (uint8_t)question->protocol,
                                                  .idiag_states = 1u << (question->protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE)};
        } else if (question->type == SOCK_DIAG_BY_FAMILY) {
                request.header.nlmsg_len = sizeof(request.header) + sizeof(request.body.sockets);
                request.body.sockets = (struct unix_diag_req){
                        .sdiag_family = AF_UNIX, .udiag_states = ~0U, .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS};
        }
        /* Neither may have more than its own. */
        if (question->type == NFT_GETTABLE)
                request.header.nlmsg_len = sizeof(request.header) + sizeof(request.body.tables);
        else if (question->type == RTM_GETNEXTHOP)
                request.header.nlmsg_len = sizeof(request.header) + sizeof(request.body.hops);
        if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
                return -errno;
        int64_t limit = milliseconds() + PATIENCE;
        /* A dump's datagrams are at most 32 KiB, or one object (netlink_dump(), net/netlink/af_netlink.c). */
        enum { PACKET = 65536 };
        _cleanup_free_ uint8_t *packet = malloc(PACKET);
        if (packet == NULL)
                return -ENOMEM;
        uint32_t used = 0;
        for (;;) {
                ssize_t n = receive(fd, packet, PACKET);
                if (n < 0)
                        return (int)n;
                size_t left = (size_t)n;
                for (struct nlmsghdr *message = (struct nlmsghdr *)packet; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
                        if (message->nlmsg_type == NLMSG_DONE)
                                return (int)used;
                        if (message->nlmsg_type == NLMSG_ERROR) {
                                if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                                        return -EPROTO;
                                return ((struct nlmsgerr *)NLMSG_DATA(message))->error;
                        }
                        uint32_t size = NLMSG_ALIGN(message->nlmsg_len);
                        /* What does not fit is left out: the end of the socket ends the dump. */
                        if (size > question->size - used)
                                return (int)used;
                        memcpy(question->buffer + used, message, message->nlmsg_len);
                        memset(question->buffer + used + message->nlmsg_len, 0, size - message->nlmsg_len);
                        used += size;
                }
                if (milliseconds() > limit)
                        return -ETIMEDOUT;
        }
}

/* The number by which the namespace of the socket knows the one at `path`: -1 where it has none, or -errno less 1. */
static int32_t ask_id(int fd, const char *path, uint32_t sequence)
{
        _cleanup_close_ int other = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (other < 0)
                return -errno - 1;
        struct {
                struct nlmsghdr header;
                struct rtgenmsg body;
                uint8_t pad[3];
                struct nlattr attribute;
                uint32_t fd;
        } request = {
                .header = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETNSID, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = sequence},
                .attribute = {.nla_len = sizeof(struct nlattr) + sizeof(uint32_t), .nla_type = NETNSA_FD},
                .fd = (uint32_t)other,
        };
        if (send(fd, &request, sizeof(request), 0) < 0)
                return -errno - 1;
        union {
                struct nlmsghdr header;
                uint8_t bytes[4096];
        } packet;
        for (;;) {
                ssize_t n = receive(fd, packet.bytes, sizeof(packet));
                if (n < 0)
                        return (int32_t)n - 1;
                struct nlmsghdr *message = &packet.header;
                size_t left = (size_t)n;
                if (!NLMSG_OK(message, left))
                        return -EPROTO - 1;
                if (message->nlmsg_seq != sequence)
                        continue;
                if (message->nlmsg_type == NLMSG_ERROR && message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                        return ((struct nlmsgerr *)NLMSG_DATA(message))->error - 1;
                size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct rtgenmsg));
                while (at + sizeof(struct nlattr) <= message->nlmsg_len) {
                        struct nlattr attribute;
                        memcpy(&attribute, packet.bytes + at, sizeof(attribute));
                        if (attribute.nla_len < sizeof(attribute) || at + attribute.nla_len > message->nlmsg_len)
                                break;
                        if (attribute.nla_type == NETNSA_NSID && attribute.nla_len >= sizeof(attribute) + sizeof(int32_t)) {
                                int32_t id;
                                memcpy(&id, packet.bytes + at + sizeof(attribute), sizeof(id));
                                return id;
                        }
                        at += NLA_ALIGN(attribute.nla_len);
                }
                return -1;
        }
}

static void *ask(void *argument)
{
        struct question *question = argument;
        _cleanup_close_ int fd = enter_and_connect(question);
        if (fd < 0) {
                question->answer = fd;
                return NULL;
        }
        question->stage = NSV_NETWORK_ASK;
        if (question->type != RTM_GETNSID) {
                question->answer = dump(fd, question);
                return NULL;
        }
        const char *path = question->paths;
        int64_t limit = milliseconds() + PATIENCE;
        for (int i = 0; i < question->count; i++) {
                question->ret_ids[i] = milliseconds() > limit ? -ETIMEDOUT - 1 : ask_id(fd, path, (uint32_t)i + 1);
                path += strlen(path) + 1;
        }
        question->answer = question->count;
        return NULL;
}

static int ask_in_thread(struct question *question, int32_t *ret_stage)
{
        /* No handler of the program may run on it. */
        sigset_t all, before;
        sigfillset(&all);
        int r = -pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r < 0)
                return r;
        pthread_t thread;
        r = -pthread_create(&thread, NULL, ask, question);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        r = -pthread_join(thread, NULL);
        *ret_stage = question->stage;
        return r < 0 ? r : question->answer;
}

NSV_API int nsv_network_dump(const char *path, int type, void *buffer, uint32_t size, int32_t *ret_stage)
{
        static const struct {
                int type, family, protocol;
        } types[] = {{RTM_GETLINK, 0, 0},
                     {RTM_GETADDR, 0, 0},
                     {RTM_GETROUTE, 0, 0},
                     {SOCK_DIAG_BY_FAMILY, AF_UNIX, 0},
                     {RTM_GETNETCONF, 0, 0},
                     {SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_TCP},
                     {SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_TCP},
                     {SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDP},
                     {SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDP},
                     {SOCK_DIAG_BY_FAMILY, AF_INET, IPPROTO_UDPLITE},
                     {SOCK_DIAG_BY_FAMILY, AF_INET6, IPPROTO_UDPLITE},
                     {RTM_GETRULE, 0, 0},
                     {NFT_GETTABLE, 0, 0},
                     {RTM_GETNEXTHOP, 0, 0}};
        if (type < 0 || type >= (int)(sizeof(types) / sizeof(*types)) || size > INT32_MAX)
                return -EINVAL;
        struct question question = {.path = path,
                                    .type = types[type].type,
                                    .family = types[type].family,
                                    .protocol = types[type].protocol,
                                    .buffer = buffer,
                                    .size = size};
        return ask_in_thread(&question, ret_stage);
}

NSV_API int nsv_network_ids(const char *path, const char *paths, int count, int32_t *ret_ids, int32_t *ret_stage)
{
        struct question question = {.path = path, .type = RTM_GETNSID, .paths = paths, .count = count, .ret_ids = ret_ids};
        return ask_in_thread(&question, ret_stage);
}
