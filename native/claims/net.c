/* SPDX-License-Identifier: MIT */
/* Knows what CLONE_NEWNET gives: a network with nothing in it but a loopback that is down. */
#include "claims.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void is_new(void)
{
        gain_privilege();
        ino_t outside = namespace_of(0, "net");
        IN_CHILD(CLONE_NEWNET)
                HOLDS(namespace_of(0, "net") != outside, "the child is in the parent's network namespace");
}

static int interfaces(char *names, size_t size)
{
        struct if_nameindex *list = if_nameindex();
        int count = 0;
        names[0] = 0;
        for (struct if_nameindex *one = list; one != NULL && one->if_index != 0; one++, count++)
                snprintf(names + strlen(names), size - strlen(names), " %s", one->if_name);
        if_freenameindex(list);
        return count;
}

/* What a new network namespace brings along by itself where such modules are loaded: tunl0, sit0 … (net/ipv4/ip_tunnel.c), unless
 * net.core.fb_tunnels_only_for_init_net is set. They are fallbacks of tunnels, and down. */
static void only_loopback(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWNET)
        {
                struct if_nameindex *list = if_nameindex();
                HOLDS(list != NULL && list[0].if_index == 1 && strcmp(list[0].if_name, "lo") == 0, "the first interface is not lo");
                for (struct if_nameindex *one = list + 1; one->if_index != 0; one++)
                        HOLDS(one->if_name[strlen(one->if_name) - 1] == '0' && strncmp(one->if_name, "eth", 3) != 0 &&
                                      strncmp(one->if_name, "veth", 4) != 0,
                              "there is also %s", one->if_name);
                if_freenameindex(list);
        }
}

static void set_up(const char *name)
{
        struct ifreq request = {0};
        int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        MUST(ioctl(fd, SIOCGIFFLAGS, &request));
        request.ifr_flags |= IFF_UP;
        MUST(ioctl(fd, SIOCSIFFLAGS, &request));
        close(fd);
}

static struct sockaddr_in loopback(uint16_t port)
{
        return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

static void loopback_is_down(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWNET)
        {
                struct ifreq request = {.ifr_name = "lo"};
                int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                MUST(ioctl(fd, SIOCGIFFLAGS, &request));
                HOLDS(!(request.ifr_flags & IFF_UP), "lo is up");
                struct sockaddr_in address = loopback(9);
                REFUSED(connect(fd, (struct sockaddr *)&address, sizeof(address)), ENETUNREACH);
        }
}

static void loopback_can_be_set_up(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWNET)
        {
                set_up("lo");
                int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                struct sockaddr_in address = loopback(9);
                MUST(connect(fd, (struct sockaddr *)&address, sizeof(address)));
        }
}

/* A network of its own, in which somebody listens there. */
static int listen_in_own_network(const struct sockaddr_in *address)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWNET));
        set_up("lo");
        int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        MUST(bind(fd, (const struct sockaddr *)address, sizeof(*address)));
        MUST(listen(fd, 1));
        return fd;
}

static void ports_are_apart(void)
{
        struct sockaddr_in address = loopback(8000);
        listen_in_own_network(&address);
        IN_CHILD(CLONE_NEWNET)
        {
                set_up("lo");
                int own = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                REFUSED(connect(own, (struct sockaddr *)&address, sizeof(address)), ECONNREFUSED);
                int listener = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                MUST(bind(listener, (struct sockaddr *)&address, sizeof(address)));
        }
}

static void ports_are_one_without(void)
{
        struct sockaddr_in address = loopback(8000);
        listen_in_own_network(&address);
        IN_CHILD(0)
        {
                int own = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                MUST(connect(own, (struct sockaddr *)&address, sizeof(address)));
        }
}

static void socket_keeps_its_network(void)
{
        struct sockaddr_in address = loopback(8000);
        listen_in_own_network(&address);
        int other = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ino_t outside = namespace_of(0, "net");
        IN_CHILD(CLONE_NEWNET)
        {
                HOLDS(namespace_of(0, "net") != outside, "no new network namespace");
                MUST(connect(other, (struct sockaddr *)&address, sizeof(address)));
        }
}

static socklen_t abstract(struct sockaddr_un *address)
{
        *address = (struct sockaddr_un){.sun_family = AF_UNIX};
        int length = snprintf(address->sun_path + 1, 100, "nsview-claims-%d", getpid());
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static void abstract_is_apart(void)
{
        gain_privilege();
        struct sockaddr_un address;
        socklen_t size = abstract(&address);
        int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        MUST(bind(fd, (struct sockaddr *)&address, size));
        MUST(listen(fd, 1));
        IN_CHILD(CLONE_NEWNET)
        {
                int own = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
                REFUSED(connect(own, (struct sockaddr *)&address, size), ECONNREFUSED);
        }
}

static void path_is_not(void)
{
        have_own_mounts();
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/socket"};
        int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
        MUST(listen(fd, 1));
        ino_t outside = namespace_of(0, "net");
        IN_CHILD(CLONE_NEWNET)
        {
                HOLDS(namespace_of(0, "net") != outside, "no new network namespace");
                int own = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
                MUST(connect(own, (struct sockaddr *)&address, sizeof(address)));
        }
}

static void proc_net_is_the_readers(void)
{
        /* Such that loopback has counted something: in a network that has nothing else, both could read the same. */
        struct sockaddr_in address = loopback(8000);
        listen_in_own_network(&address);
        int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        MUST(connect(fd, (struct sockaddr *)&address, sizeof(address)));
        char before[4096], now[4096];
        MUST(read_file("/proc/thread-self/net/dev", before, sizeof(before)));
        IN_CHILD(CLONE_NEWNET)
        {
                MUST(read_file("/proc/thread-self/net/dev", now, sizeof(now)));
                HOLDS(strstr(now, "lo:") != NULL, "it lists no loopback");
                HOLDS(strcmp(before, now) != 0, "both read the same");
        }
}

/* An attribute behind a netlink message; returns it, so that what is added until close_attribute() is inside. */
static struct rtattr *attribute(struct nlmsghdr *message, unsigned short type, const void *data, size_t size)
{
        struct rtattr *one = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));
        one->rta_type = type;
        one->rta_len = (unsigned short)RTA_LENGTH(size);
        if (size > 0)
                memcpy(RTA_DATA(one), data, size);
        message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(one->rta_len);
        return one;
}

static void close_attribute(struct nlmsghdr *message, struct rtattr *one)
{
        one->rta_len = (unsigned short)((char *)message + NLMSG_ALIGN(message->nlmsg_len) - (char *)one);
}

/* A pair of veth: one named a here, its peer named b in the network namespace of that process. 0 or an errno. */
static int make_veth(pid_t other)
{
        struct {
                struct nlmsghdr header;
                struct ifinfomsg info;
                char room[512];
        } message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                                .nlmsg_type = RTM_NEWLINK,
                                .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL}};
        struct nlmsghdr *header = &message.header;
        uint32_t pid = (uint32_t)other;
        attribute(header, IFLA_IFNAME, "a", 2);
        struct rtattr *link = attribute(header, IFLA_LINKINFO, NULL, 0);
        attribute(header, IFLA_INFO_KIND, "veth", 4);
        struct rtattr *data = attribute(header, IFLA_INFO_DATA, NULL, 0);
        struct rtattr *peer = attribute(header, VETH_INFO_PEER, NULL, 0);
        header->nlmsg_len += sizeof(struct ifinfomsg);
        attribute(header, IFLA_IFNAME, "b", 2);
        attribute(header, IFLA_NET_NS_PID, &pid, sizeof(pid));
        close_attribute(header, peer);
        close_attribute(header, data);
        close_attribute(header, link);
        int fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        MUST(send(fd, &message, header->nlmsg_len, 0));
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                char room[1024];
        } answer;
        MUST(recv(fd, &answer, sizeof(answer), 0));
        close(fd);
        return -answer.error.error;
}

/* Two networks with a veth between, made from one of them, whose child with CLONE_NEWNET is the other. */
static void have_veth(pid_t child)
{
        int error = make_veth(child);
        if (error == EOPNOTSUPP)
                skip("kernel lacks veth");
        HOLDS(error == 0, "making a veth pair: %s", strerror(error));
}

static void veth_links_two(void)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWNET));
        pid_t child = fork_with(CLONE_NEWNET);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                HOLDS(if_nametoindex("b") != 0, "b is not in the child's network");
                HOLDS(if_nametoindex("a") == 0, "a is in the child's network");
                _exit(0);
        }
        have_veth(child);
        /* Before the child ends, and its network with it: veth_goes_with_either. */
        bool here = if_nametoindex("a") != 0;
        shared->number[0] = 1;
        ends_well(child);
        HOLDS(here, "a is not in the parent's network");
}

static void veth_goes_with_either(void)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWNET));
        pid_t child = fork_with(CLONE_NEWNET);
        if (child == 0) {
                wait_for(&shared->number[0], 1);
                _exit(0);
        }
        have_veth(child);
        shared->number[0] = 1;
        ends_well(child);
        /* Network namespaces are cleaned up by a work queue (net/core/net_namespace.c). */
        for (int tries = 0; if_nametoindex("a") != 0 && tries < 3000; tries++)
                usleep(1000);
        HOLDS(if_nametoindex("a") == 0, "a is still there though the network of its peer has ended");
}

static void sysctls_are_apart(void)
{
        gain_privilege();
        MUST(unshare(CLONE_NEWNET));
        const char *path = "/proc/sys/net/ipv4/ip_default_ttl";
        char text[32];
        if (write_file(path, "71") < 0)
                skip("no privilege to write %s: %s", path, strerror(errno));
        IN_CHILD(CLONE_NEWNET)
        {
                MUST(read_file(path, text, sizeof(text)));
                HOLDS(strcmp(text, "71\n") != 0, "the child has the parent's value");
        }
}

static void low_ports_are_its_owners(void)
{
        gain_privilege();
        IN_CHILD(CLONE_NEWNET)
        {
                set_up("lo");
                int fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                struct sockaddr_in address = loopback(80);
                MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
                char names[256];
                HOLDS(interfaces(names, sizeof(names)) >= 1, "no interface");
        }
}

#define NET(function, man, section, file, where, sentence) CLAIM("CLONE_NEWNET", function, man, section, file, where, sentence)
const struct claim net_claims[] = {
        NET(is_new, "clone(2)", "CLONE_NEWNET", "net/core/net_namespace.c", "copy_net_ns", "with it, the child is in a network namespace of its own"),
        NET(only_loopback, "network_namespaces(7)", "DESCRIPTION", "drivers/net/loopback.c", "loopback_net_init", "it has lo, as interface 1, and no interface of the parent's (fallbacks of tunnels apart)"),
        NET(loopback_is_down, "network_namespaces(7)", "DESCRIPTION", "drivers/net/loopback.c", "loopback_net_init", "lo is down: not even 127.0.0.1 can be reached"),
        NET(loopback_can_be_set_up, "ip-link(8)", "ip link set", "net/core/dev.c", "dev_change_flags", "once lo is up, 127.0.0.1 can be reached"),
        NET(ports_are_apart, "network_namespaces(7)", "DESCRIPTION", "net/ipv4/inet_connection_sock.c", "inet_csk_get_port", "a port on which the parent listens is free inside, and no one is there"),
        NET(ports_are_one_without, "network_namespaces(7)", "DESCRIPTION", "kernel/nsproxy.c", "copy_namespaces", "without it, the child reaches what listens on the parent's loopback"),
        NET(low_ports_are_its_owners, "capabilities(7)", "CAP_NET_BIND_SERVICE", "net/ipv4/af_inet.c", "__inet_bind", "its owner may bind to ports below 1024 in it"),
        NET(socket_keeps_its_network, "network_namespaces(7)", "DESCRIPTION", "include/net/sock.h", "sock_net", "a socket stays in the network in which it was made, whoever uses it"),
        NET(abstract_is_apart, "network_namespaces(7)", "DESCRIPTION", "net/unix/af_unix.c", "unix_find_abstract", "an abstract unix socket of the parent cannot be reached"),
        NET(path_is_not, "unix(7)", "Pathname sockets", "net/unix/af_unix.c", "unix_find_bsd", "a unix socket at a path can be reached all the same"),
        NET(proc_net_is_the_readers, "proc_pid_net(5)", "DESCRIPTION", "fs/proc/proc_net.c", "get_proc_task_net", "/proc/thread-self/net shows the network of whoever it is"),
        NET(sysctls_are_apart, "network_namespaces(7)", "DESCRIPTION", "net/ipv4/sysctl_net_ipv4.c", "ipv4_sysctl_init_net", "it has settings of its own: what is written to net.ipv4.ip_default_ttl outside does not count inside"),
        NET(veth_links_two, "veth(4)", "DESCRIPTION", "drivers/net/veth.c", "veth_newlink", "a veth pair links two networks, one end in each"),
        NET(veth_goes_with_either, "network_namespaces(7)", "DESCRIPTION", "net/core/dev.c", "default_device_exit_batch", "when one network ends, its end of a veth pair is destroyed, and so is the other"),
};
COUNT_CLAIMS(net);
