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

/** A process that holds the socket. `namespace`: inode of its network namespace, where that is another one than the socket is asked for in. */
export type Holder = {readonly pid: number; readonly comm: string; readonly namespace?: string};

/** A TCP socket that listens, or a UDP socket that is bound and not connected. */
type Listener = {
  readonly protocol: 'tcp' | 'tcp6' | 'udp' | 'udp6';
  readonly address: string;
  readonly port: number;
  /** The one device that it is bound to (SO_BINDTODEVICE, or a link-local address): what comes by others does not reach it. */
  readonly device?: string;
  readonly holders: readonly Holder[];
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
  /** Of the end that was bound: a path, or with @ an abstract name; empty for a pair (socketpair(2)). */
  readonly name: string;
  /** Who has the other end; empty where nobody that nsview can read has it open. */
  readonly peers: readonly Holder[];
};

/** A thread that is in another network namespace than its process. */
export type ThreadNetwork = {
  readonly tid: number;
  readonly namespace: string;
  readonly interfaces: Seen<readonly Interface[]>;
  readonly routes: Seen<readonly Route[]>;
};

export type Network = {
  readonly namespace: Seen<string>;
  readonly interfaces: Seen<readonly Interface[]>;
  /** Why rtnetlink tells nothing: then interfaces and routes are as /proc has them. */
  readonly refused: Refusal | null;
  readonly routes: Seen<readonly Route[]>;
  readonly listeners: Seen<readonly Listener[]>;
  readonly abstract: Seen<readonly AbstractSocket[]>;
  /** Left out by versions that did not read them. */
  readonly connected?: Seen<readonly UnixConnection[]>;
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
};
