// Knows the messages of rtnetlink (rtnetlink(7), linux/if_link.h): bytes to interfaces, addresses and routes. What is malformed is passed over.

import type {Counters, FilterTable, Route, Rule} from '../model/network.ts';

export type LinkMessage = {
  readonly index: number;
  readonly name: string;
  readonly kind: string;
  /** What tells it from others of its kind, as `ip -d link` names it; empty where nothing does. */
  readonly detail: string;
  readonly up: boolean;
  readonly state: string;
  readonly mac: string;
  readonly mtu: number;
  /** IFLA_MASTER, IFLA_LINK, IFLA_LINK_NETNSID; partner is 0 where it has one of no number, in the namespace of that id. */
  readonly master: number | null;
  readonly partner: number | null;
  readonly partnerId: number | null;
  readonly promiscuous: boolean;
  /** Of a port of a bridge; its state where it does not forward. */
  readonly isolated: boolean;
  readonly portState: string | null;
  readonly received: Counters | null;
  readonly sent: Counters | null;
};

/** `states`: empty where it is used like any other. */
export type AddressMessage = {readonly index: number; readonly address: string; readonly states: readonly string[]};
/** `hop`: the number of the next hop that says where (ip-nexthop(8)), where the route itself does not: net.ipv4.nexthop_compat_mode is 0. */
export type RouteMessage = Omit<Route, 'device'> & {readonly deviceIndex: number | null; readonly hop?: number};
/** `group`: the numbers of those that it is made of. */
export type HopMessage = {readonly deviceIndex: number | null; readonly via: string; readonly group: readonly number[]};

const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const RTM_NEWRULE = 32;
const RTM_NEWNETCONF = 80;
const RTM_NEWNEXTHOP = 104;
/** Of sock_diag(7). */
const SOCK_DIAG_BY_FAMILY = 20;
const ARPHRD_LOOPBACK = 772;
/** IF_OPER_*, linux/if.h. */
const STATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'];
/** IFA_F_DADFAILED, IFA_F_TENTATIVE and IFA_F_DEPRECATED (linux/if_addr.h), as ip-address(8) names them. */
const ADDRESS_STATES: readonly (readonly [flag: number, name: string])[] = [
  [0x08, 'dadfailed'],
  [0x40, 'tentative'],
  [0x20, 'deprecated'],
];
/** RTN_*, all but unicast (linux/rtnetlink.h). */
const ROUTE_TYPES: {readonly [type: number]: string} = {
  2: 'local',
  3: 'broadcast',
  4: 'anycast',
  5: 'multicast',
  6: 'blackhole',
  7: 'unreachable',
  8: 'prohibit',
  9: 'throw',
};
const RT_TABLE_MAIN = 254;
const RT_TABLE_LOCAL = 255;
const RTM_F_CLONED = 0x200;
/** RTNH_F_*, in the order of ip-route(8), which names them like this. */
const HOP_STATES: readonly (readonly [flag: number, name: 'dead' | 'linkdown'])[] = [
  [1, 'dead'],
  [16, 'linkdown'],
];

/** The messages of one type, each without its header. */
function* messages(bytes: Buffer, type: number): Generator<Buffer> {
  for (let at = 0; at + 16 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at);
    if (size < 16 || at + size > bytes.length) return;
    if (bytes.readUInt16LE(at + 4) === type) yield bytes.subarray(at + 16, at + size);
    at += (size + 3) & ~3;
  }
}

/** Attributes by number from `from` on; of two with one number the last. */
function attributes(bytes: Buffer, from: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = from; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt16LE(at);
    if (size < 4 || at + size > bytes.length) break;
    // The two highest bits say how it is to be read (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + size));
    at += (size + 3) & ~3;
  }
  return found;
}

const number = (bytes: Buffer | undefined): number | null => (bytes !== undefined && bytes.length >= 4 ? bytes.readInt32LE(0) : null);
const unsigned = (bytes: Buffer | undefined): number | null => (bytes !== undefined && bytes.length >= 4 ? bytes.readUInt32LE(0) : null);
const text = (bytes: Buffer | undefined): string => (bytes === undefined ? '' : (bytes.toString().split('\0')[0] ?? ''));

/** As inet_ntop(3) writes it; empty for what is no address. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const groups = Array.from({length: 8}, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) return `::ffff:${bytes.slice(12).join('.')}`;
  let best = 0;
  let length = 0;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run++;
    if (run > length) [best, length] = [i, run];
  }
  const hex = groups.map(group => group.toString(16));
  return length < 2 ? hex.join(':') : `${hex.slice(0, best).join(':')}::${hex.slice(best + length).join(':')}`;
}

/** struct rtnl_link_stats64: the first eight are packets, bytes, errors, dropped, each received and sent. */
function countersOf(stats: Buffer | undefined, sent: 0 | 1): Counters | null {
  if (stats === undefined || stats.length < 64) return null;
  const at = (index: number) => Number(stats.readBigUInt64LE(8 * (2 * index + sent)));
  return {bytes: at(1), packets: at(0), errors: at(2), dropped: at(3)};
}

/** The number that an attribute of IFLA_INFO_DATA holds, of one, two or four bytes. */
function small(bytes: Buffer | undefined): number | null {
  if (bytes === undefined || bytes.length === 0) return null;
  return bytes.length >= 4 ? bytes.readUInt32LE(0) : bytes.length >= 2 ? bytes.readUInt16LE(0) : (bytes[0] ?? 0);
}

/** MACVLAN_MODE_*, IPVLAN_MODE_*, NETKIT_*, IFF_TUN and IFF_TAP: linux/if_link.h, linux/if_tun.h. */
const MACVLAN_MODES: {readonly [mode: number]: string} = {1: 'private', 2: 'vepa', 4: 'bridge', 8: 'passthru', 16: 'source'};
const IPVLAN_MODES = ['l2', 'l3', 'l3s'];
const IPVLAN_FLAGS: {readonly [flags: number]: string} = {1: ' private', 2: ' vepa'};
const NETKIT_MODES = ['l2', 'l3'];
const TUN_TYPES: {readonly [type: number]: string} = {1: 'tun', 2: 'tap'};
const ETH_P_8021AD = 0x88a8;

/** Of IFLA_INFO_DATA, whose attributes each kind numbers for itself. */
function detailOf(kind: string, data: Map<number, Buffer>): string {
  const first = small(data.get(1));
  const named = (name: string): string => (first === null ? '' : `${name} ${first}`);
  switch (kind) {
    case 'vlan': {
      // IFLA_VLAN_PROTOCOL is in the order of the network.
      const isService = data.get(5)?.length === 2 && data.get(5)?.readUInt16BE(0) === ETH_P_8021AD;
      return `${named('id')}${isService ? ' 802.1ad' : ''}`;
    }
    case 'vxlan':
    case 'geneve':
      return named('id');
    case 'vrf':
      return named('table');
    case 'macvlan':
    case 'macvtap':
      return MACVLAN_MODES[first ?? 0] ?? '';
    case 'ipvlan':
    case 'ipvtap':
      return `${IPVLAN_MODES[first ?? -1] ?? ''}${IPVLAN_FLAGS[small(data.get(2)) ?? 0] ?? ''}`;
    case 'netkit':
      return NETKIT_MODES[small(data.get(5)) ?? -1] ?? '';
    case 'tun':
      return TUN_TYPES[small(data.get(3)) ?? 0] ?? '';
    default:
      return '';
  }
}

/**
 * IFLA_LINK, but for tunnels that have none: the kernel tells their own number in its place (dev_get_iflink(), net/core/dev.c), and where their
 * packets leave it tells apart, if that was set.
 */
function partnerOf(kind: string, own: number, found: Map<number, Buffer>, data: Map<number, Buffer>): number | null {
  const partner = number(found.get(5));
  if (!['vxlan', 'geneve', 'bareudp', 'gtp'].includes(kind)) return partner;
  // IFLA_VXLAN_LINK.
  const lower = kind === 'vxlan' ? (number(data.get(3)) ?? 0) : 0;
  return lower !== 0 ? lower : partner === own ? 0 : partner;
}

/** BR_STATE_* (linux/if_bridge.h). */
const PORT_STATES = ['disabled', 'listening', 'learning', 'forwarding', 'blocking'];

/** IFLA_BRPORT_STATE and IFLA_BRPORT_ISOLATED, of IFLA_INFO_SLAVE_DATA. */
function portOf(info: Map<number, Buffer>): Pick<LinkMessage, 'isolated' | 'portState'> {
  if (text(info.get(4)) !== 'bridge') return {isolated: false, portState: null};
  const port = attributes(info.get(5) ?? Buffer.alloc(0), 0);
  const state = PORT_STATES[port.get(1)?.[0] ?? 3] ?? null;
  return {isolated: port.get(33)?.[0] === 1, portState: state === 'forwarding' ? null : state};
}

export function decodeLinks(bytes: Buffer): LinkMessage[] {
  const links: LinkMessage[] = [];
  for (const message of messages(bytes, RTM_NEWLINK)) {
    if (message.length < 16) continue;
    const found = attributes(message, 16);
    const stats = found.get(23);
    const info = attributes(found.get(18) ?? Buffer.alloc(0), 0);
    const kind = text(info.get(1));
    const data = attributes(info.get(2) ?? Buffer.alloc(0), 0);
    const index = message.readInt32LE(4);
    links.push({
      index,
      name: text(found.get(3)),
      kind: kind === '' && message.readUInt16LE(2) === ARPHRD_LOOPBACK ? 'loopback' : kind,
      detail: detailOf(kind, data),
      up: (message.readUInt32LE(8) & 1) !== 0,
      state: STATES[found.get(16)?.[0] ?? 0] ?? 'unknown',
      mac: [...(found.get(1) ?? [])].map(byte => byte.toString(16).padStart(2, '0')).join(':'),
      mtu: number(found.get(4)) ?? 0,
      master: number(found.get(10)),
      partner: partnerOf(kind, index, found, data),
      partnerId: number(found.get(37)),
      promiscuous: (number(found.get(30)) ?? 0) > 0,
      ...portOf(info),
      received: countersOf(stats, 0),
      sent: countersOf(stats, 1),
    });
  }
  return links;
}

/**
 * A unix socket. `name`: with @ for each NUL of an abstract one, and ./ before a path that begins with @, which would look like one; `peer`: the
 * inode of the other end, 0 where that is no file: nobody has accepted it, or it is closed; `waiting`: of one that listens those who are
 * connected with it and not accepted.
 */
export type UnixMessage = {
  readonly inode: string;
  /** As of socket(2). */
  readonly type: number;
  readonly name: string;
  readonly abstract: boolean;
  readonly listens: boolean;
  readonly closed: boolean;
  readonly peer: string | null;
  readonly waiting: readonly string[];
};

/** net/tcp_states.h. */
const TCP_LISTEN = 10;

const pathName = (name: string): string => (name.startsWith('@') ? `./${name}` : name);

/** struct unix_diag_msg and its attributes (linux/unix_diag.h). */
export function decodeUnixSockets(bytes: Buffer): UnixMessage[] {
  const sockets: UnixMessage[] = [];
  for (const message of messages(bytes, SOCK_DIAG_BY_FAMILY)) {
    if (message.length < 16) continue;
    const found = attributes(message, 16);
    const name = found.get(0) ?? Buffer.alloc(0);
    const peer = unsigned(found.get(2));
    const waiting = found.get(3) ?? Buffer.alloc(0);
    const isAbstract = name[0] === 0;
    sockets.push({
      inode: String(message.readUInt32LE(4)),
      type: message[1] ?? 0,
      name: isAbstract ? name.toString().replaceAll('\0', '@') : pathName(text(name)),
      abstract: isAbstract,
      listens: message[2] === TCP_LISTEN,
      closed: found.get(6)?.[0] === 3,
      peer: peer === null ? null : String(peer),
      waiting: Array.from({length: waiting.length >> 2}, (_, index) => String(waiting.readUInt32LE(4 * index))),
    });
  }
  return sockets;
}

/** Of a socket of the internet: the number of the device that it is bound to, 0 for none; whether one of IPv6 takes no IPv4 (IPV6_V6ONLY). */
export type InetMessage = {readonly device: number; readonly v6only: boolean | null};

/** struct inet_diag_msg and its attributes (linux/inet_diag.h), by inode. */
export function decodeInetSockets(bytes: Buffer): Map<string, InetMessage> {
  const sockets = new Map<string, InetMessage>();
  for (const message of messages(bytes, SOCK_DIAG_BY_FAMILY)) {
    if (message.length < 72) continue;
    const v6only = attributes(message, 72).get(11)?.[0];
    sockets.set(String(message.readUInt32LE(68)), {device: message.readUInt32LE(40), v6only: v6only === undefined ? null : v6only !== 0});
  }
  return sockets;
}

export function decodeAddresses(bytes: Buffer): AddressMessage[] {
  const addresses: AddressMessage[] = [];
  for (const message of messages(bytes, RTM_NEWADDR)) {
    if (message.length < 8) continue;
    const found = attributes(message, 8);
    // IFA_LOCAL is one's own where IFA_ADDRESS is the other end's, and then the length of the prefix is that one's.
    const first = addressText(found.get(1) ?? Buffer.alloc(0));
    const own = addressText(found.get(2) ?? Buffer.alloc(0)) || first;
    if (own === '') continue;
    const flags = number(found.get(8)) ?? message[2] ?? 0;
    addresses.push({
      index: message.readUInt32LE(4),
      address: `${own === first || first === '' ? own : `${own} peer ${first}`}/${message[1]}`,
      states: ADDRESS_STATES.flatMap(([flag, name]) => ((flags & flag) === 0 ? [] : [name])),
    });
  }
  return addresses;
}

export function decodeRoutes(bytes: Buffer): RouteMessage[] {
  const routes: RouteMessage[] = [];
  for (const message of messages(bytes, RTM_NEWROUTE)) {
    if (message.length < 12) continue;
    const [family = 0, prefix = 0] = message;
    if (family !== 2 && family !== 10) continue;
    const found = attributes(message, 12);
    const table = unsigned(found.get(15)) ?? message[4] ?? 0;
    // The local table is of one's own addresses, and clones are a cache.
    if (table === RT_TABLE_LOCAL || (message.readUInt32LE(8) & RTM_F_CLONED) !== 0) continue;
    const metric = unsigned(found.get(6));
    const kind = ROUTE_TYPES[message[7] ?? 0];
    const base = {
      to: prefix === 0 ? 'default' : `${addressText(found.get(1) ?? Buffer.alloc(0))}/${prefix}`,
      version: family === 2 ? 4 : 6,
      ...(metric === null ? {} : {metric}),
      ...(kind === undefined ? {} : {type: kind}),
      ...(table === RT_TABLE_MAIN ? {} : {table}),
    };
    const add = (attribute: Map<number, Buffer>, deviceIndex: number | null, flags: number) => {
      const state = HOP_STATES.find(([flag]) => (flags & flag) !== 0)?.[1];
      const via = addressText(attribute.get(5) ?? attribute.get(18)?.subarray(2) ?? Buffer.alloc(0));
      const hop = deviceIndex === null ? unsigned(attribute.get(30)) : null;
      routes.push({
        ...base,
        ...(via === '' ? {} : {via}),
        ...(state === undefined ? {} : {state}),
        ...(hop === null ? {} : {hop}),
        deviceIndex,
      });
    };
    const hops = found.get(9);
    if (hops === undefined) add(found, number(found.get(4)), message.readUInt32LE(8));
    // RTA_MULTIPATH: struct rtnexthop, each with attributes of its own.
    else
      for (let at = 0; at + 8 <= hops.length; ) {
        const size = hops.readUInt16LE(at);
        if (size < 8 || at + size > hops.length) break;
        add(attributes(hops.subarray(at, at + size), 8), hops.readInt32LE(at + 4), hops[at + 2] ?? 0);
        at += (size + 3) & ~3;
      }
  }
  return routes;
}

/** struct nhmsg and its attributes (linux/nexthop.h), by number. */
export function decodeHops(bytes: Buffer): Map<number, HopMessage> {
  const hops = new Map<number, HopMessage>();
  for (const message of messages(bytes, RTM_NEWNEXTHOP)) {
    if (message.length < 8) continue;
    const found = attributes(message, 8);
    const id = unsigned(found.get(1));
    if (id === null) continue;
    // struct nexthop_grp: a number, a weight and padding.
    const group = found.get(2) ?? Buffer.alloc(0);
    hops.set(id, {
      deviceIndex: number(found.get(5)),
      via: addressText(found.get(6) ?? Buffer.alloc(0)),
      group: Array.from({length: group.length >> 3}, (_, index) => group.readUInt32LE(8 * index)),
    });
  }
  return hops;
}

/** FR_ACT_*, all but those that lead to a table or another rule (linux/fib_rules.h), as ip-rule(8) names them. */
const RULE_ACTIONS: {readonly [action: number]: string} = {3: 'nop', 6: 'blackhole', 7: 'unreachable', 8: 'prohibit'};
const FR_ACT_TO_TBL = 1;
const FR_ACT_GOTO = 2;
const FIB_RULE_INVERT = 2;
const IP_PROTOCOLS: {readonly [protocol: number]: string} = {1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp', 132: 'sctp'};
/** What is in the selector, or no part of it: padding, the table, the priority, what is suppressed, and who made it. */
const RULE_ATTRIBUTES = new Set([1, 2, 3, 4, 6, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);

/** As `ip rule` writes it; what nsview does not know is an ellipsis. */
function selectorOf(message: Buffer, found: Map<number, Buffer>): string {
  const [family = 0, toLength = 0, fromLength = 0, tos = 0] = message;
  const at = (attribute: number, length: number): string => {
    const address = addressText(found.get(attribute) ?? Buffer.alloc(0));
    return address === '' ? 'all' : length === (family === 2 ? 32 : 128) ? address : `${address}/${length}`;
  };
  const mark = unsigned(found.get(10));
  const mask = unsigned(found.get(16)) ?? 0xffffffff;
  const range = (attribute: number, size: number): string => {
    const bytes = found.get(attribute);
    if (bytes === undefined || bytes.length < 2 * size) return '';
    const [first, last] = [bytes.readUIntLE(0, size), bytes.readUIntLE(size, size)];
    return first === last && size === 2 ? `${first}` : `${first}-${last}`;
  };
  const named = (word: string, value: string): string => (value === '' ? '' : ` ${word} ${value}`);
  const protocol = found.get(22)?.[0];
  return [
    (message.readUInt32LE(8) & FIB_RULE_INVERT) === 0 ? '' : 'not ',
    `from ${at(2, fromLength)}`,
    toLength === 0 ? '' : ` to ${at(1, toLength)}`,
    tos === 0 ? '' : ` tos 0x${tos.toString(16)}`,
    mark === null || (mark === 0 && mask === 0)
      ? ''
      : ` fwmark 0x${mark.toString(16)}${mask === 0xffffffff ? '' : `/0x${mask.toString(16)}`}`,
    named('iif', text(found.get(3))),
    named('oif', text(found.get(17))),
    named('uidrange', range(20, 4)),
    protocol === undefined ? '' : ` ipproto ${IP_PROTOCOLS[protocol] ?? protocol}`,
    named('sport', range(23, 2)),
    named('dport', range(24, 2)),
    [...found.keys()].every(attribute => RULE_ATTRIBUTES.has(attribute)) ? '' : ' …',
  ].join('');
}

/** struct fib_rule_hdr and its attributes (linux/fib_rules.h). */
export function decodeRules(bytes: Buffer): Rule[] {
  const rules: Rule[] = [];
  for (const message of messages(bytes, RTM_NEWRULE)) {
    if (message.length < 12) continue;
    const [family = 0, , , , shortTable = 0, , , action = 0] = message;
    if (family !== 2 && family !== 10) continue;
    const found = attributes(message, 12);
    const isL3mdev = (found.get(19)?.[0] ?? 0) !== 0;
    const suppressed = number(found.get(14)) ?? -1;
    rules.push({
      version: family === 2 ? 4 : 6,
      priority: unsigned(found.get(6)) ?? 0,
      selector: selectorOf(message, found),
      ...(isL3mdev ? {l3mdev: true} : action === FR_ACT_TO_TBL ? {table: unsigned(found.get(15)) ?? shortTable} : {}),
      ...(suppressed >= 0 ? {suppressPrefix: suppressed} : {}),
      ...(action === FR_ACT_GOTO ? {goto: unsigned(found.get(4)) ?? 0} : {}),
      ...(action === FR_ACT_TO_TBL || action === FR_ACT_GOTO ? {} : {action: RULE_ACTIONS[action] ?? `action ${action}`}),
    });
  }
  return rules;
}

/** NFNL_SUBSYS_NFTABLES and NFT_MSG_NEWTABLE. */
const NFT_NEWTABLE = 10 << 8;
/** NFPROTO_* (linux/netfilter.h), as nft(8) names them. */
const NFT_FAMILIES: {readonly [family: number]: string} = {1: 'inet', 2: 'ip', 3: 'arp', 5: 'netdev', 7: 'bridge', 10: 'ip6'};
const NFT_TABLE_F_DORMANT = 1;

/** struct nfgenmsg and its attributes (linux/netfilter/nf_tables.h), whose numbers are in the order of the network. */
export function decodeFilterTables(bytes: Buffer): FilterTable[] {
  const tables: FilterTable[] = [];
  for (const message of messages(bytes, NFT_NEWTABLE)) {
    if (message.length < 4) continue;
    const found = attributes(message, 4);
    const at = (attribute: number): number => {
      const value = found.get(attribute);
      return value !== undefined && value.length >= 4 ? value.readUInt32BE(0) : 0;
    };
    const family = NFT_FAMILIES[message[0] ?? 0] ?? `family ${message[0]}`;
    tables.push({family, name: text(found.get(1)), chains: at(3), ...((at(2) & NFT_TABLE_F_DORMANT) === 0 ? {} : {dormant: true})});
  }
  return tables;
}

/** struct netconfmsg and its attributes (linux/netconf.h). */
export type SettingMessage = {
  readonly version: number;
  readonly deviceIndex: number;
  readonly forwarding: number | null;
  readonly rpFilter: number | null;
  readonly proxyNeigh: number | null;
};

export function decodeSettings(bytes: Buffer): SettingMessage[] {
  const settings: SettingMessage[] = [];
  for (const message of messages(bytes, RTM_NEWNETCONF)) {
    const [family = 0] = message;
    // Others, such as MPLS, have no such switches.
    if (family !== 2 && family !== 10) continue;
    const found = attributes(message, 4);
    const deviceIndex = number(found.get(1));
    if (deviceIndex === null) continue;
    const [forwarding, rpFilter, proxyNeigh] = [number(found.get(2)), number(found.get(3)), number(found.get(5))];
    settings.push({version: family === 2 ? 4 : 6, deviceIndex, forwarding, rpFilter, proxyNeigh});
  }
  return settings;
}
