// Knows the shape of a reading of a network namespace.

import type {Refusal, Seen} from './seen.ts';

/** The other side of a veth, or what a macvlan, ipvlan, vlan or tunnel is made on (IFLA_LINK). */
export type Partner = {
  /** Its number in its own namespace; 0 where the packets of a tunnel leave in another namespace by whatever leads on. */
  readonly index: number;
  /** null: its namespace cannot be read. */
  readonly name: string | null;
  /** Inode of the network namespace in which it is; null where that is none that nsview sees. */
  readonly namespace: string | null;
};

/** Since the interface was made. */
export type Counters = {readonly bytes: number; readonly packets: number; readonly errors: number; readonly dropped: number};

export type Interface = {
  readonly name: string;
  /** What only rtnetlink tells is left out where that is refused. */
  readonly index?: number;
  /** IFLA_INFO_KIND, such as veth, bridge, macvlan; `loopback`; empty for hardware and what else has none. */
  readonly kind?: string;
  /** What tells it from others of its kind, as `ip -d link` names it: the id of a vlan, the mode of a macvlan, tun or tap. */
  readonly detail?: string;
  /** Set up by somebody (IFF_UP). */
  readonly up?: boolean;
  /** As RFC 2863 names it: up, down, lowerlayerdown, dormant, unknown. */
  readonly state?: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** With the length of the prefix; of a link that leads to one other, `10.0.0.1 peer 10.0.0.2/32`: the prefix is the peer's. */
  readonly addresses: readonly string[];
  /** Of those that are not used like any other, by the address: `dadfailed tentative`, as somebody else has it, or deprecated. */
  readonly addressStates?: {readonly [address: string]: string};
  /** Why none are known, where the kernel told the interfaces and not their addresses. */
  readonly addressesRefused?: Refusal;
  /** The bridge, bond or the like that it is a port of. */
  readonly master?: string;
  /** It takes what is for others as well (IFLA_PROMISCUITY), as each port of a bridge does. */
  readonly promiscuous?: boolean;
  /** A port of a bridge that hears nothing of others that are isolated, nor they of it (bridge(8)). */
  readonly isolated?: boolean;
  /** Of a port of a bridge that does not forward: disabled, listening, learning, blocking. */
  readonly portState?: string;
  readonly partner?: Partner;
  readonly received?: Counters;
  readonly sent?: Counters;
};

export type Route = {
  /** `default`, or an address with its prefix. */
  readonly to: string;
  /** 4 or 6. */
  readonly version: number;
  readonly via?: string;
  readonly device?: string;
  readonly metric?: number;
  /** Other than unicast: local, which leads to nobody else, blackhole, unreachable, prohibit. */
  readonly type?: string;
  /** Its device has no carrier, or is not up, as ip-route(8) names it. */
  readonly state?: 'dead' | 'linkdown';
  /** Where it is not the main table, 254. */
  readonly table?: number;
};

/** Which table is asked for what, the lowest priority first (ip-rule(8)). */
export type Rule = {
  /** 4 or 6. */
  readonly version: number;
  readonly priority: number;
  /** As `ip rule` has it: `from all` is all. */
  readonly selector: string;
  /** The table that is asked. */
  readonly table?: number;
  /** That of the vrf by whose ports it passes. */
  readonly l3mdev?: boolean;
  /** Routes to a prefix of at most that length do not count. */
  readonly suppressPrefix?: number;
  /** blackhole, unreachable, prohibit: no table is asked any more. */
  readonly action?: string;
  /** The next rule that counts is the one of that priority. */
  readonly goto?: number;
};

/** A table of nf_tables, or of the older iptables, whose rules may let packets pass or not. */
export type FilterTable = {
  /** As nft(8) names them: ip, ip6, inet, arp, bridge, netdev; of the older ones iptables or ip6tables. */
  readonly family: string;
  readonly name: string;
  /** What is in it. Of the older ones this is not told. */
  readonly chains?: number;
  /** Switched off. */
  readonly dormant?: boolean;
};

/** A process that holds the socket. `namespace`: inode of its network namespace, where that is another one than the socket is asked for in. */
export type Holder = {readonly pid: number; readonly comm: string; readonly namespace?: string};

/** A TCP socket that listens, or a UDP or UDP-Lite socket that is bound and not connected. */
type Listener = {
  readonly protocol: 'tcp' | 'tcp6' | 'udp' | 'udp6' | 'udplite' | 'udplite6';
  readonly address: string;
  readonly port: number;
  /** The one device that it is bound to (SO_BINDTODEVICE, or a link-local address): what comes by others does not reach it. */
  readonly device?: string;
  /** Of all addresses of IPv6, `::`: whether those of IPv4 are not among them (IPV6_V6ONLY, ipv6(7)). Left out where that is not told. */
  readonly v6only?: boolean;
  readonly holders: readonly Holder[];
};

/** A socket of packet(7): it gets what comes and goes by a device, whoever it is for. */
export type PacketSocket = {
  /** `raw` with the header of the link, `dgram` without. */
  readonly type: string;
  /** ETH_P_* of linux/if_ether.h: 3 is all, 0 nothing. */
  readonly protocol: number;
  /** The only one that it is bound to. */
  readonly device?: string;
  /** It gets packets now: it has a protocol, and its device is up. */
  readonly running: boolean;
  readonly holders: readonly Holder[];
};

/** A socket of raw(7): it gets a copy of all that comes to this network by that protocol. */
export type RawSocket = {
  readonly version: 4 | 6;
  /** IPPROTO_*: 1 is icmp; 255 sends only. */
  readonly protocol: number;
  readonly address: string;
  readonly holders: readonly Holder[];
};

/** A socket of a process, or of one below it, that is neither of the internet nor a unix socket. */
export type OtherSocket = Holder & {
  readonly fd: number;
  /** As the kernel names it: NETLINK, PACKET, XDP, AF_VSOCK. */
  readonly protocol: string;
};

/** A unix socket of a process, or of one below it, that others reach by a path: whoever sees that file, in whichever network they are. */
export type PathSocket = Holder & {
  readonly fd: number;
  readonly type: string;
  /** Where it was bound; with ./ before one that begins with @. */
  readonly name: string;
  /** Its process finds no file there. */
  readonly gone?: boolean;
  /** So many fds wait in it, or in what waits to be accepted, to be received (SCM_RIGHTS). */
  readonly passed?: number;
};

/** An abstract unix socket that others can reach by its name (unix(7)): whoever is in the network namespace. */
export type AbstractSocket = {
  readonly name: string;
  readonly type: string;
  readonly holders: readonly Holder[];
  /** Who has the other ends of its connections, as far as unix_diag and the fds of the namespace's processes tell. */
  readonly peers?: readonly Holder[];
};

/** A unix socket of a process, or of one below it, that is connected with a socket of neither. */
export type UnixConnection = Holder & {
  readonly fd: number;
  readonly type: string;
  /** Of the end that was bound: a path (with ./ before one that begins with @), or with @ an abstract name; empty for a pair (socketpair(2)). */
  readonly name: string;
  /** Nobody has accepted it yet: the other end is that of who listens. */
  readonly waits?: boolean;
  /** So many fds wait in it to be received (SCM_RIGHTS). */
  readonly passed?: number;
  /** Who has the other end; empty where nobody that nsview can read has it open. */
  readonly peers: readonly Holder[];
};

/** A thread that is in another network namespace than its process. */
export type ThreadNetwork = {
  readonly tid: number;
  readonly namespace: string;
  readonly interfaces: Seen<readonly Interface[]>;
  readonly routes: Seen<readonly Route[]>;
  readonly rules?: Seen<readonly Rule[]>;
};

export type Network = {
  readonly namespace: Seen<string>;
  readonly interfaces: Seen<readonly Interface[]>;
  /** Why rtnetlink tells nothing: then interfaces and routes are as /proc has them. */
  readonly refused: Refusal | null;
  readonly routes: Seen<readonly Route[]>;
  readonly listeners: Seen<readonly Listener[]>;
  readonly abstract: Seen<readonly AbstractSocket[]>;
  readonly rules?: Seen<readonly Rule[]>;
  readonly filters?: Seen<readonly FilterTable[]>;
  /** This and what follows is left out by versions that did not read it. */
  readonly connected?: Seen<readonly UnixConnection[]>;
  readonly paths?: Seen<readonly PathSocket[]>;
  readonly others?: Seen<readonly OtherSocket[]>;
  readonly packet?: Seen<readonly PacketSocket[]>;
  readonly raw?: Seen<readonly RawSocket[]>;
  /** Processes below it whose fds could not be read: unix and other sockets of theirs are missing. */
  readonly unreadBelow?: number;
  /** Why sock_diag(7) did not tell what /proc does not. */
  readonly untold?: {
    /** Whether a socket that listens is bound to a device, and whether one of IPv6 takes no IPv4. */
    readonly inet?: Refusal;
    /** Whether a name with @ is abstract or a path, and who is connected. */
    readonly unix?: Refusal;
  };
  readonly threads?: readonly ThreadNetwork[];
  /** Processes that are in the namespace, or may be, and whose fds could not be read: a socket may be theirs. */
  readonly unread: number;
  /** What was longer than nsview reads. */
  readonly cut: readonly string[];
};

/** What a socket is bound to. */
export type Bound = Omit<Listener, 'holders'>;

/** What an interface may do with packets that are not its own (linux/netconf.h): the sysctls net.ipv4.conf and net.ipv6.conf. */
export type NetworkSetting = {
  /** 4 or 6. */
  readonly version: number;
  /** A name, or `all` or `default`. */
  readonly device: string;
  readonly forwarding?: number;
  readonly rpFilter?: number;
  /** proxy_arp, or for version 6 proxy_ndp. */
  readonly proxyNeigh?: number;
};

/** In a snapshot: the interfaces of a network namespace, and the process or thread through which they were read, 0 where nobody is in it. */
export type SnapshotNetwork = {
  readonly inode: string;
  readonly pid: number;
  readonly interfaces: Seen<readonly Interface[]>;
  /** Of a tree (-p), never of the whole machine. */
  readonly routes?: Seen<readonly Route[]>;
  /** Of a tree as well; left out where they were too many to read all. */
  readonly listeners?: Seen<readonly Bound[]>;
  readonly settings?: Seen<readonly NetworkSetting[]>;
  /** What was more than nsview reads. */
  readonly cut?: readonly string[];
};
