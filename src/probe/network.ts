// Knows how to read a network namespace without entering it, and what such a reading may look like on a tape.

import {closeSync, existsSync, openSync, readdirSync, readSync, statSync} from 'node:fs';
import * as z from 'zod';
import {isRefusal, type Refusal, type Seen} from '../model/fact.ts';
import type {
  AbstractSocket,
  Bound,
  FilterTable,
  Holder,
  Interface,
  Network,
  NetworkSetting,
  PacketSocket,
  Partner,
  RawSocket,
  Route,
  Rule,
  SnapshotNetwork,
  ThreadNetwork,
} from '../model/network.ts';
import {machineLook, readThreadNetworks} from './holders.ts';
import {loadNative} from './native.ts';
import {
  type AddressMessage,
  addressText,
  decodeAddresses,
  decodeFilterTables,
  decodeHops,
  decodeInetSockets,
  decodeRoutes,
  decodeRules,
  decodeSettings,
  decodeUnixSockets,
  type LinkMessage,
  type UnixMessage,
} from './netlink.ts';
import {ADDRESSES, dump, HOPS, isCut, LISTENERS, linksAt, ROUTES, RULES, SETTINGS, stage, TABLES, UNIX} from './network-dump.ts';
import {readLink, readNumbers, readText, refusalOf} from './proc-file.ts';
import {readTree, readTreeSockets, SOCK_DGRAM, unixType} from './unix-connections.ts';

const refusalSchema = z.object({errno: z.string(), during: z.string()});
const seen = <T extends z.ZodType>(schema: T) => z.union([schema, refusalSchema]);
const counters = z.object({bytes: z.number(), packets: z.number(), errors: z.number(), dropped: z.number()});
const holders = z.array(z.object({pid: z.int(), comm: z.string(), namespace: z.string().exactOptional()}));

export const interfacesSchema = z.array(
  z.object({
    name: z.string(),
    index: z.int().exactOptional(),
    kind: z.string().describe('IFLA_INFO_KIND; loopback; empty for hardware.').exactOptional(),
    detail: z
      .string()
      .describe('What tells it from others of its kind: id 5 of a vlan, bridge of a macvlan, tap of a tun.')
      .exactOptional(),
    up: z.boolean().exactOptional(),
    state: z.string().exactOptional(),
    mac: z.string().exactOptional(),
    mtu: z.int().exactOptional(),
    addresses: z.array(z.string()).describe('With the length of the prefix; 10.0.0.1 peer 10.0.0.2/32 where the prefix is that of a peer.'),
    addressStates: z
      .record(z.string(), z.string())
      .describe('What ip calls them, of those that are not used like any other: dadfailed, tentative, deprecated.')
      .exactOptional(),
    addressesRefused: refusalSchema.describe('Why no addresses are known.').exactOptional(),
    master: z.string().exactOptional(),
    promiscuous: z.boolean().describe('It takes what is for others as well, as each port of a bridge does.').exactOptional(),
    isolated: z.boolean().describe('A port of a bridge that hears nothing of others that are isolated, nor they of it.').exactOptional(),
    portState: z.string().describe('Of a port of a bridge that does not forward: disabled, listening, learning, blocking.').exactOptional(),
    partner: z
      .object({index: z.int(), name: z.string().nullable(), namespace: z.string().nullable()})
      .describe(
        'The other side of a veth, or what it is made on; namespace: inode, null where it is none that nsview sees; index 0: a tunnel’s packets leave there.',
      )
      .exactOptional(),
    received: counters.exactOptional(),
    sent: counters.exactOptional(),
  }),
);

export const routesSchema = z.array(
  z.object({
    to: z.string(),
    version: z.int(),
    via: z.string().exactOptional(),
    device: z.string().exactOptional(),
    metric: z.number().exactOptional(),
    type: z.string().exactOptional(),
    state: z.enum(['dead', 'linkdown']).describe('Its device is not up, or has no carrier.').exactOptional(),
    table: z.number().exactOptional(),
  }),
);

const rulesSchema = z.array(
  z.object({
    version: z.int(),
    priority: z.number(),
    selector: z.string(),
    table: z.number().exactOptional(),
    l3mdev: z.boolean().exactOptional(),
    suppressPrefix: z.number().exactOptional(),
    action: z.string().exactOptional(),
    goto: z.number().exactOptional(),
  }),
);

const PROTOCOLS = ['tcp', 'tcp6', 'udp', 'udp6', 'udplite', 'udplite6'] as const;
const bound = {
  protocol: z.enum(PROTOCOLS),
  address: z.string(),
  port: z.int(),
  device: z.string().describe('The one that it is bound to (SO_BINDTODEVICE).').exactOptional(),
  v6only: z.boolean().describe('Of the address :: whether it takes no IPv4 (IPV6_V6ONLY).').exactOptional(),
};
export const boundSchema = z
  .array(z.object(bound))
  .describe('TCP sockets that listen, and UDP and UDP-Lite sockets that are bound and not connected.');

export const settingsSchema = z
  .array(
    z.object({
      version: z.int(),
      device: z.string(),
      forwarding: z.int().exactOptional(),
      rpFilter: z.int().exactOptional(),
      proxyNeigh: z.int().exactOptional(),
    }),
  )
  .describe('The sysctls forwarding, rp_filter and proxy_arp or proxy_ndp of each interface, of all and of default (RTM_GETNETCONF).');

export const unixConnectionsSchema = z
  .array(
    z.object({
      pid: z.int(),
      comm: z.string(),
      fd: z.int(),
      type: z.string(),
      name: z
        .string()
        .describe('Of the end that was bound; @ stands for each NUL of an abstract one, and a path that begins with @ has ./ before it.'),
      waits: z.boolean().describe('Nobody has accepted it yet: the peers are those who listen.').exactOptional(),
      passed: z.number().describe('So many fds wait in it to be received (SCM_RIGHTS).').exactOptional(),
      peers: holders,
    }),
  )
  .describe(
    'Connections by unix sockets that no process of the tree has the other end of; namespace: inode of the network namespace of a peer in another one.',
  );

const ofTree = {pid: z.int(), comm: z.string(), fd: z.int()};

export const networkSchema: z.ZodType<Network> = z.object({
  namespace: seen(z.string()),
  interfaces: seen(interfacesSchema),
  refused: refusalSchema.nullable(),
  routes: seen(routesSchema),
  listeners: seen(z.array(z.object({...bound, holders}))),
  abstract: seen(z.array(z.object({name: z.string(), type: z.string(), holders, peers: holders.exactOptional()}))),
  connected: seen(unixConnectionsSchema).exactOptional(),
  paths: seen(
    z.array(
      z.object({...ofTree, type: z.string(), name: z.string(), gone: z.boolean().exactOptional(), passed: z.number().exactOptional()}),
    ),
  ).exactOptional(),
  others: seen(z.array(z.object({...ofTree, protocol: z.string()}))).exactOptional(),
  packet: seen(
    z.array(z.object({type: z.string(), protocol: z.int(), device: z.string().exactOptional(), running: z.boolean(), holders})),
  ).exactOptional(),
  raw: seen(
    z.array(z.object({version: z.union([z.literal(4), z.literal(6)]), protocol: z.int(), address: z.string(), holders})),
  ).exactOptional(),
  unreadBelow: z.int().exactOptional(),
  untold: z.object({inet: refusalSchema.exactOptional(), unix: refusalSchema.exactOptional()}).exactOptional(),
  threads: z
    .array(
      z.object({
        tid: z.int(),
        namespace: z.string(),
        interfaces: seen(interfacesSchema),
        routes: seen(routesSchema),
        rules: seen(rulesSchema).exactOptional(),
        filters: seen(
          z.array(
            z.object({family: z.string(), name: z.string(), chains: z.number().exactOptional(), dormant: z.boolean().exactOptional()}),
          ),
        ).exactOptional(),
      }),
    )
    .exactOptional(),
  rules: seen(rulesSchema).exactOptional(),
  unread: z.int(),
  cut: z.array(z.string()),
});

/** Bytes of a table of /proc; namespaces asked for a partner; processes of a namespace whose fds are read; fds of one. */
const MOST = {table: 1 << 20, namespaces: 1024, partners: 256, holders: 300, fds: 4096, shown: 1000, threads: 8};

/** Inodes of those namespaces by the number under which the one at `path` knows them (RTM_GETNSID). */
function knownIds(path: string, others: readonly (readonly [inode: string, path: string])[]): Map<number, string> {
  const asked = others.slice(0, MOST.namespaces);
  const ids = new Int32Array(asked.length).fill(-1);
  const paths = Buffer.from(asked.map(([, other]) => `${other}\0`).join(''));
  const found = new Map<number, string>();
  if (asked.length === 0 || loadNative().networkIds(path, paths, asked.length, ids, stage) < 0) return found;
  for (const [i, [inode]] of asked.entries()) {
    const id = ids[i] ?? -1;
    if (id >= 0) found.set(id, inode);
  }
  return found;
}

const inodeOf = (link: string): string => /\[(\d+)\]$/.exec(link)?.[1] ?? '';

/** Processes by the inode of their network namespace, and a path to each namespace: a process's, or a file that keeps it (ip-netns(8)). */
type Everyone = {
  readonly at: number;
  readonly took: number;
  readonly hidden: number;
  readonly members: Map<string, number[]>;
  readonly paths: Map<string, string>;
};
let everyone: Everyone | undefined;

/** At most so old, in milliseconds; on machines where it takes long older, since keys wait for it. `hidden`: who may be anywhere. */
function readEveryone(age: number): Everyone {
  if (everyone !== undefined && performance.now() - everyone.at < Math.max(age, age > 0 ? 50 * everyone.took : 0)) return everyone;
  const began = performance.now();
  let hidden = 0;
  const members = new Map<string, number[]>();
  const paths = new Map<string, string>();
  const pids = readNumbers('/proc');
  for (const pid of isRefusal(pids) ? [] : pids) {
    const path = `/proc/${pid}/ns/net`;
    const link = readLink(path);
    if (isRefusal(link)) {
      if (link.errno === 'EACCES' || link.errno === 'EPERM') hidden++;
      continue;
    }
    const inode = inodeOf(link);
    const known = members.get(inode);
    if (known === undefined) {
      members.set(inode, [pid]);
      paths.set(inode, path);
    } else known.push(pid);
  }
  for (const folder of ['/run/netns', '/run/docker/netns'])
    try {
      for (const name of readdirSync(folder)) {
        const inode = String(statSync(`${folder}/${name}`).ino);
        if (!paths.has(inode)) paths.set(inode, `${folder}/${name}`);
      }
    } catch {
      // There is none, or it is not for us.
    }
  everyone = {at: performance.now(), took: performance.now() - began, hidden, members, paths};
  return everyone;
}

type Finder = (link: LinkMessage) => Partner;

const isAlone = ({index, partner, partnerId}: LinkMessage): boolean =>
  partner === null || (partnerId === null && (partner === 0 || partner === index));

/** Addresses of an interface, as the kernel tells them. */
function addressesOf(
  all: Seen<ReadonlyMap<number, readonly AddressMessage[]>>,
  index: number,
): Partial<Interface> & Pick<Interface, 'addresses'> {
  if (isRefusal(all)) return {addresses: [], addressesRefused: all};
  const own = all.get(index) ?? [];
  const states = own.flatMap(({address, states}) => (states.length === 0 ? [] : [[address, states.join(' ')] as const]));
  return {
    addresses: own.map(({address}) => address),
    ...(states.length === 0 ? {} : {addressStates: Object.fromEntries(states)}),
  };
}

function interfacesOf(
  links: readonly LinkMessage[],
  addresses: Seen<ReadonlyMap<number, readonly AddressMessage[]>>,
  find: Finder,
): Interface[] {
  const names = new Map(links.map(link => [link.index, link.name]));
  return links.map(link => {
    const {name, index, kind, detail, up, state, mac, mtu} = link;
    const master = link.master === null ? undefined : names.get(link.master);
    return {
      name,
      index,
      kind,
      ...(detail === '' ? {} : {detail}),
      up,
      state,
      mac,
      mtu,
      ...addressesOf(addresses, index),
      ...(master === undefined ? {} : {master}),
      ...(link.promiscuous ? {promiscuous: true} : {}),
      ...(link.isolated ? {isolated: true} : {}),
      ...(link.portState === null ? {} : {portState: link.portState}),
      ...(isAlone(link) ? {} : {partner: find(link)}),
      ...(link.received === null ? {} : {received: link.received}),
      ...(link.sent === null ? {} : {sent: link.sent}),
    };
  });
}

/** Refused where the kernel takes longer than a dump may: EAGAIN or ETIMEDOUT. */
function addressesAt(path: string, cut: string[]): Seen<Map<number, AddressMessage[]>> {
  const found = new Map<number, AddressMessage[]>();
  const bytes = dump(path, ADDRESSES);
  if (isRefusal(bytes)) return bytes;
  if (isCut(bytes)) cut.push('addresses');
  for (const message of decodeAddresses(bytes)) {
    const list = found.get(message.index);
    if (list === undefined) found.set(message.index, [message]);
    else list.push(message);
  }
  return found;
}

function partnersOf(path: string, inode: string, links: readonly LinkMessage[], paths: ReadonlyMap<string, string>): Finder {
  const wanted = links.flatMap(({partnerId}) => (partnerId === null ? [] : [partnerId]));
  let ids = wanted.length > 0 ? knownIds(path, [...paths]) : new Map<number, string>();
  if (wanted.some(id => !ids.has(id))) {
    // It may be of a namespace that was made since.
    paths = readEveryone(200).paths;
    ids = knownIds(path, [...paths]);
  }
  const names = new Map<string, Map<number, string>>([[inode, new Map(links.map(link => [link.index, link.name]))]]);
  const namesIn = (namespace: string): ReadonlyMap<number, string> => {
    const known = names.get(namespace);
    if (known !== undefined) return known;
    const there = names.size > MOST.partners ? [] : linksAt(paths.get(namespace) ?? '');
    const read = new Map((isRefusal(there) ? [] : there).map(link => [link.index, link.name]));
    names.set(namespace, read);
    return read;
  };
  return link => {
    const index = link.partner ?? 0;
    const namespace = link.partnerId === null ? inode : (ids.get(link.partnerId) ?? null);
    return {index, name: namespace === null || index === 0 ? null : (namesIn(namespace).get(index) ?? null), namespace};
  };
}

/** At most so many bytes of a table of /proc/PID/net, or with `PID/task/TID` of that thread's: its last line whole, without its heading. */
function table(who: number | string, name: string, cut: string[]): Seen<string[]> {
  let fd: number;
  try {
    fd = openSync(`/proc/${who}/net/${name}`, 'r');
  } catch (error) {
    return refusalOf(error, 'open');
  }
  try {
    const parts: Buffer[] = [];
    let size = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(65536);
      const count = readSync(fd, part, 0, part.length, null);
      if (count === 0) break;
      parts.push(part.subarray(0, count));
      size += count;
      if (size >= MOST.table) {
        cut.push(name);
        break;
      }
    }
    return Buffer.concat(parts).toString('latin1').split('\n').slice(0, -1);
  } catch (error) {
    return refusalOf(error, 'read');
  } finally {
    closeSync(fd);
  }
}

/** Interfaces as /proc has them, where rtnetlink is refused. */
function procInterfaces(pid: number, cut: string[]): Seen<Interface[]> {
  const lines = table(pid, 'dev', cut);
  if (isRefusal(lines)) return lines;
  const addresses = new Map<string, string[]>();
  const v6 = table(pid, 'if_inet6', cut);
  for (const line of isRefusal(v6) ? [] : v6) {
    const [hex = '', , prefix = '', , , name = ''] = line.split(/\s+/);
    addresses.set(name, [...(addresses.get(name) ?? []), `${addressText(Buffer.from(hex, 'hex'))}/${Number.parseInt(prefix, 16)}`]);
  }
  return lines.slice(2).map(line => {
    const colon = line.lastIndexOf(':');
    const name = line.slice(0, colon).trim();
    const n = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const at = (i: number) => ({bytes: n[i] ?? 0, packets: n[i + 1] ?? 0, errors: n[i + 2] ?? 0, dropped: n[i + 3] ?? 0});
    return {name, addresses: addresses.get(name) ?? [], received: at(0), sent: at(8)};
  });
}

/** An address of /proc/net/tcp and its kind: 32-bit words in the machine's byte order. */
function procAddress(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  return addressText(bytes.length % 4 === 0 ? bytes.swap32() : bytes);
}

/** linux/route.h and linux/ipv6_route.h. */
const RTF = {reject: 0x200, anycast: 0x100000, cache: 0x1000000, local: 0x80000000} as const;

/** Of those that lead nowhere /proc does not tell all kinds apart (fib_flag_trans(), net/ipv4/fib_trie.c). */
const refusing = (isRejected: boolean, device: string): Pick<Route, 'type' | 'device'> =>
  isRejected ? {type: 'unreachable or prohibit'} : device === '*' ? {type: 'blackhole or throw'} : {device};

function procRoutes(pid: number, cut: string[]): Seen<Route[]> {
  const lines = table(pid, 'route', cut);
  if (isRefusal(lines)) return lines;
  const v4 = lines.slice(1).map((line): Route => {
    const [device = '', to = '', via = '', flags = '', , , metric = '', mask = ''] = line.trim().split(/\s+/);
    const prefix = [...Buffer.from(mask, 'hex')].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    return {
      to: prefix === 0 ? 'default' : `${procAddress(to)}/${prefix}`,
      version: 4,
      ...(via === '00000000' ? {} : {via: procAddress(via)}),
      ...refusing((Number.parseInt(flags, 16) & RTF.reject) !== 0, device),
      // It is written with a sign, which it has not.
      metric: Number(metric) >>> 0,
    };
  });
  return [...v4, ...procRoutes6(pid, cut)];
}

/** Of all tables, which it does not name. Empty without IPv6. */
function procRoutes6(pid: number, cut: string[]): Route[] {
  const lines = table(pid, 'ipv6_route', cut);
  return (isRefusal(lines) ? [] : lines).flatMap(line => {
    const [to = '', length = '', , , via = '', metric = '', , , hex = '', device = ''] = line.trim().split(/\s+/);
    const [flags, prefix] = [Number.parseInt(hex, 16), Number.parseInt(length, 16)];
    const has = (flag: number) => (flags & flag) !== 0;
    // One's own addresses and multicast are of the local table, and each table ends with a route that is none (net/ipv6/route.c).
    const isEnd = prefix === 0 && has(RTF.reject) && metric === 'ffffffff';
    if (isEnd || has(RTF.local) || has(RTF.anycast) || has(RTF.cache) || to.startsWith('ff')) return [];
    return {
      to: prefix === 0 ? 'default' : `${addressText(Buffer.from(to, 'hex'))}/${prefix}`,
      version: 6,
      ...(/^0+$/.test(via) ? {} : {via: addressText(Buffer.from(via, 'hex'))}),
      ...(has(RTF.reject) ? {type: 'blackhole, unreachable or prohibit'} : {device}),
      metric: Number.parseInt(metric, 16),
    };
  });
}

type WithInode = {readonly inode: string};

/** Which processes hold each of those sockets: those of the namespace, and where none of them does, as with one that was handed over, others. */
function holdersOf(
  wanted: ReadonlySet<string>,
  members: readonly number[],
  namespace: string,
  cut: string[],
): {held: Map<string, Holder[]>; unread: number} {
  const held = new Map<string, Holder[]>();
  let unread = 0;
  if (wanted.size === 0) return {held, unread};
  for (const pid of members.slice(0, MOST.holders)) {
    const fds = readNumbers(`/proc/${pid}/fd`);
    if (isRefusal(fds)) {
      if (fds.errno === 'EACCES' || fds.errno === 'EPERM') unread++;
      continue;
    }
    const here = new Set<string>();
    for (const fd of fds.slice(0, MOST.fds)) {
      const link = readLink(`/proc/${pid}/fd/${fd}`);
      if (!isRefusal(link) && link.startsWith('socket:')) {
        const inode = inodeOf(link);
        if (wanted.has(inode)) here.add(inode);
      }
    }
    if (here.size === 0) continue;
    const comm = readText(`/proc/${pid}/comm`);
    const holder = {pid, comm: isRefusal(comm) ? '?' : comm.trimEnd()};
    for (const inode of here) {
      const others = held.get(inode);
      if (others === undefined) held.set(inode, [holder]);
      else others.push(holder);
    }
  }
  const isWhole = [...wanted].every(inode => held.has(inode));
  if (isWhole && members.length <= MOST.holders) return {held, unread};
  // So many take longer than anybody waits for a key: another thread asks them.
  machineLook.want();
  const {sockets: all, asked, of} = machineLook.found;
  if (asked < of) cut.push('holders of sockets');
  for (const inode of wanted) {
    const known = new Set(held.get(inode)?.map(({pid}) => pid));
    const others = (all.get(inode) ?? []).filter(pid => !known.has(pid));
    const told = others.map(pid => {
      const [comm, link] = [readText(`/proc/${pid}/comm`), readLink(`/proc/${pid}/ns/net`)];
      const there = isRefusal(link) ? namespace : inodeOf(link);
      return {pid, comm: isRefusal(comm) ? '?' : comm.trimEnd(), ...(there === namespace ? {} : {namespace: there})};
    });
    if (told.length > 0) held.set(inode, [...(held.get(inode) ?? []), ...told]);
  }
  return {held, unread};
}

/**
 * By name of a socket that others reach, the inodes of the other ends: what has been accepted of them has its name, and a peer; a socket of
 * datagrams, of which many may be connected with one, has none itself, and is theirs.
 */
function peersOf(all: readonly UnixMessage[], sockets: readonly (WithInode & {readonly name: string})[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const names = new Map(sockets.map(({inode, name}) => [inode, name]));
  const known = new Set(names.values());
  const add = (name: string, inode: string) => {
    const others = found.get(name);
    if (others === undefined) found.set(name, [inode]);
    else others.push(inode);
  };
  for (const {inode, name, abstract, peer} of all) {
    if (peer === null) continue;
    const to = names.get(peer);
    if (to !== undefined) add(to, inode);
    if (abstract && known.has(name)) add(name, peer);
  }
  return found;
}

/** `refused`: a table that could not be read; of what others hold more may be known. */
export function inetListeners(who: number | string, cut: string[]): {listeners: (Bound & WithInode)[]; refused: Refusal | null} {
  const listeners: (Bound & WithInode)[] = [];
  let refused: Refusal | null = null;
  for (const protocol of PROTOCOLS) {
    const lines = table(who, protocol, cut);
    // Without IPv6 there are no such files.
    if (isRefusal(lines)) refused = lines.errno === 'ENOENT' ? refused : lines;
    else
      for (const line of lines.slice(1)) {
        const [, local = '', , state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
        // TCP_LISTEN, and TCP_CLOSE for a UDP socket that is not connected (net/tcp_states.h).
        if (state !== (protocol.startsWith('tcp') ? '0A' : '07')) continue;
        const [address = '', port = ''] = local.split(':');
        if (listeners.length >= MOST.shown) cut.push('listeners');
        else listeners.push({protocol, address: procAddress(address), port: Number.parseInt(port, 16) || 0, inode});
      }
  }
  return {listeners, refused};
}

/** What /proc does not tell of a socket. `refused`: why the kernel does not tell it either, as one without inet_diag. */
function inetDetails(
  path: string,
  listeners: readonly (Bound & WithInode)[],
): {details: Map<string, Pick<Bound, 'device' | 'v6only'>>; refused: Refusal | null} {
  const details = new Map<string, Pick<Bound, 'device' | 'v6only'>>();
  let names: Map<number, string> | undefined;
  let refused: Refusal | null = null;
  for (const protocol of new Set(listeners.map(one => one.protocol))) {
    const bytes = dump(path, LISTENERS[protocol]);
    if (isRefusal(bytes)) {
      refused ??= bytes;
      continue;
    }
    const told = decodeInetSockets(bytes);
    const links = names === undefined && [...told.values()].some(({device}) => device !== 0) ? linksAt(path) : null;
    if (links !== null) names = new Map((isRefusal(links) ? [] : links).map(({index, name}) => [index, name]));
    for (const {inode, address} of listeners) {
      const one = told.get(inode);
      if (one === undefined) continue;
      details.set(inode, {
        ...(one.device === 0 ? {} : {device: names?.get(one.device) ?? `#${one.device}`}),
        ...(one.v6only === null || address !== '::' ? {} : {v6only: one.v6only}),
      });
    }
  }
  return {details, refused};
}

type Held = {readonly holders: readonly Holder[]};
type Found<T extends Held> = Omit<T, 'holders'> & WithInode;

const PACKET_TYPES: {readonly [type: string]: string} = {2: 'dgram', 3: 'raw', 10: 'packet'};

/** Who gets what passes by: packet_seq_show(), net/packet/af_packet.c. */
function packetSockets(pid: number, path: string, cut: string[]): Seen<Found<PacketSocket>[]> {
  const lines = table(pid, 'packet', cut);
  if (isRefusal(lines)) return lines.errno === 'ENOENT' ? [] : lines;
  if (lines.length < 2) return [];
  const links = linksAt(path);
  const names = new Map((isRefusal(links) ? [] : links).map(({index, name}) => [index, name]));
  if (lines.length > MOST.shown) cut.push('packet sockets');
  return lines.slice(1, MOST.shown).map(line => {
    const [, , type = '', protocol = '', index = '', running = '', , , inode = ''] = line.trim().split(/\s+/);
    return {
      type: PACKET_TYPES[type] ?? type,
      protocol: Number.parseInt(protocol, 16) || 0,
      ...(index === '0' ? {} : {device: names.get(Number(index)) ?? `#${index}`}),
      running: running === '1',
      inode,
    };
  });
}

function rawSockets(pid: number, cut: string[]): Seen<Found<RawSocket>[]> {
  const found: Found<RawSocket>[] = [];
  let refused: Refusal | null = null;
  for (const [version, name] of [
    [4, 'raw'],
    [6, 'raw6'],
  ] as const) {
    const lines = table(pid, name, cut);
    if (isRefusal(lines)) refused = lines.errno === 'ENOENT' ? refused : lines;
    else
      for (const line of lines.slice(1, MOST.shown)) {
        const [, local = '', , , , , , , , inode = ''] = line.trim().split(/\s+/);
        // Where others have their port a raw socket has its protocol.
        const [address = '', protocol = ''] = local.split(':');
        found.push({version, protocol: Number.parseInt(protocol, 16) || 0, address: procAddress(address), inode});
      }
  }
  return found.length === 0 && refused !== null ? refused : found;
}

/** As /proc has them, where unix_diag is refused: a path that begins with @ looks the same. */
function procAbstract(pid: number, cut: string[]): Seen<Found<AbstractSocket>[]> {
  const lines = table(pid, 'unix', cut);
  if (isRefusal(lines)) return lines;
  return lines.slice(1).flatMap(line => {
    const match = /^\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) @(.*)$/s.exec(line);
    // A datagram socket is reached once it is bound, the others when they listen (SO_ACCEPTCON, linux/net.h).
    if (match === null || !(match[2] === '0002' || (Number.parseInt(match[1] ?? '', 16) & 0x10000) !== 0)) return [];
    const [, , type = '', inode = '', rest = ''] = match;
    return [{name: Buffer.from(`@${rest}`, 'latin1').toString(), type: unixType(Number.parseInt(type, 16)), inode}];
  });
}

/** Those that whoever is in the namespace reaches, the inodes of their other ends by name, and why unix_diag did not tell. */
function abstractSockets(
  pid: number,
  path: string,
  cut: string[],
): {abstract: Seen<Found<AbstractSocket>[]>; peers: Map<string, string[]>; refused: Refusal | null} {
  const bytes = dump(path, UNIX);
  if (isRefusal(bytes)) return {abstract: procAbstract(pid, cut), peers: new Map(), refused: bytes};
  if (isCut(bytes)) cut.push('unix sockets');
  const all = decodeUnixSockets(bytes);
  const abstract = all
    .filter(one => one.abstract && (one.listens || one.type === SOCK_DGRAM))
    .map(({name, type, inode}) => ({name, type: unixType(type), inode}));
  if (abstract.length > MOST.shown) cut.push('abstract unix sockets');
  const shown = abstract.slice(0, MOST.shown);
  return {abstract: shown, peers: peersOf(all, shown), refused: null};
}

function socketsOf(
  pid: number,
  path: string,
  inode: string,
  members: readonly number[],
  cut: string[],
): Omit<Network, 'namespace' | 'interfaces' | 'refused' | 'routes' | 'rules' | 'filters' | 'threads' | 'cut'> {
  const {listeners, refused} = inetListeners(pid, cut);
  const {abstract, peers, refused: unixRefused} = abstractSockets(pid, path, cut);
  const packet = packetSockets(pid, path, cut);
  const raw = rawSockets(pid, cut);
  const wanted = [listeners, abstract, packet, raw].flatMap(seen => (isRefusal(seen) ? [] : seen.map(socket => socket.inode)));
  const {held, unread} = holdersOf(new Set([...wanted, ...[...peers.values()].flat()]), members, inode, cut);
  const {details, refused: inetRefused} = inetDetails(path, listeners);
  const whole = <T extends WithInode>({inode, ...socket}: T) => ({...socket, holders: held.get(inode) ?? []});
  const wholeOf = <T extends WithInode>(seen: Seen<T[]>) => (isRefusal(seen) ? seen : seen.map(whole));
  const withPeers = (socket: Found<AbstractSocket>): AbstractSocket => {
    const there = (peers.get(socket.name) ?? []).flatMap(one => held.get(one) ?? []);
    const each = [...new Map(there.map(holder => [holder.pid, holder])).values()];
    return {...whole(socket), ...(each.length > 0 ? {peers: each} : {})};
  };
  const tree = readTreeSockets(readTree(pid, cut), readEveryone(2000).paths.values(), cut);
  const untold = {...(inetRefused === null ? {} : {inet: inetRefused}), ...(unixRefused === null ? {} : {unix: unixRefused})};
  return {
    listeners: listeners.length === 0 && refused !== null ? refused : listeners.map(one => ({...whole(one), ...details.get(one.inode)})),
    abstract: isRefusal(abstract) ? abstract : abstract.map(withPeers),
    connected: tree.connected,
    paths: tree.paths,
    others: tree.others,
    packet: wholeOf(packet),
    raw: wholeOf(raw),
    unread: wanted.length === 0 ? 0 : unread + readEveryone(2000).hidden,
    ...(tree.unread > 0 && !isRefusal(tree.others) ? {unreadBelow: tree.unread} : {}),
    ...(Object.keys(untold).length > 0 ? {untold} : {}),
  };
}

/** Default routes first. */
function routesAt(path: string, links: readonly LinkMessage[], cut: string[]): Seen<Route[]> {
  const names = new Map(links.map(one => [one.index, one.name]));
  const bytes = dump(path, ROUTES);
  if (isRefusal(bytes)) return bytes;
  if (isCut(bytes)) cut.push('routes');
  const routes = decodeRoutes(bytes);
  const answer = routes.some(({hop}) => hop !== undefined) ? dump(path, HOPS) : Buffer.alloc(0);
  const hops = decodeHops(isRefusal(answer) ? Buffer.alloc(0) : answer);
  return routes.flatMap(({deviceIndex, hop, ...route}) => {
    const named = (index: number | null) => {
      const device = names.get(index ?? 0);
      return device === undefined ? {} : {device};
    };
    const through = hop === undefined ? undefined : hops.get(hop);
    if (through === undefined) return [{...route, ...named(deviceIndex)}];
    const each = through.group.length === 0 ? [through] : through.group.flatMap(one => hops.get(one) ?? []);
    return each.map(one => ({...route, ...(one.via === '' ? {} : {via: one.via}), ...named(one.deviceIndex)}));
  });
}

function rulesAt(path: string, cut: string[]): Seen<Rule[]> {
  const bytes = dump(path, RULES);
  if (isRefusal(bytes)) return bytes;
  const rules = decodeRules(bytes);
  if (isCut(bytes) || rules.length > MOST.shown) cut.push('rules');
  return rules.slice(0, MOST.shown);
}

/**
 * A kernel without nf_tables would load it for the question (nfnetlink_rcv_msg(), net/netfilter/nfnetlink.c), which then is a change of the
 * machine: one that is not loaded has no tables.
 */
const mayAskTables = (): boolean => !existsSync('/proc/modules') || existsSync('/sys/module/nf_tables');

/** Tables of packet filters. Of iptables the older kind is told by the kernel to root of the namespace only. */
function filtersAt(pid: number, path: string): Seen<FilterTable[]> {
  const older = (['ip', 'ip6'] as const).flatMap(version => {
    const names = readText(`/proc/${pid}/net/${version}_tables_names`);
    return isRefusal(names)
      ? []
      : names.split('\n').flatMap(name => (name === '' ? [] : [{family: version === 'ip' ? 'iptables' : 'ip6tables', name}]));
  });
  const bytes = mayAskTables() ? dump(path, TABLES) : Buffer.alloc(0);
  // EINVAL and EPROTONOSUPPORT: the kernel has none.
  const isWithout = isRefusal(bytes) && (bytes.errno === 'EINVAL' || bytes.errno === 'EPROTONOSUPPORT');
  if (isRefusal(bytes)) return isWithout || older.length > 0 ? older : bytes;
  return [...decodeFilterTables(bytes).slice(0, MOST.shown), ...older];
}

function sortedRoutes(routes: Seen<Route[]>, cut: string[]): Seen<Route[]> {
  if (isRefusal(routes)) return routes;
  if (routes.length > MOST.shown) cut.push('routes');
  return [...routes.filter(route => route.to === 'default'), ...routes.filter(route => route.to !== 'default')].slice(0, MOST.shown);
}

/** Each network namespace once, by the first thread that is in it. */
function threadsOf(pid: number, cut: string[]): ThreadNetwork[] {
  const apart = new Map<string, number>();
  for (const {tid, inode} of readThreadNetworks(pid)) if (!apart.has(inode)) apart.set(inode, tid);
  if (apart.size > MOST.threads) cut.push('threads');
  return [...apart].slice(0, MOST.threads).map(([namespace, tid]) => {
    const path = `/proc/${pid}/task/${tid}/ns/net`;
    const links = linksAt(path, cut);
    if (isRefusal(links)) return {tid, namespace, interfaces: links, routes: links};
    const {paths} = readEveryone(2000);
    const interfaces = interfacesOf(links, addressesAt(path, cut), partnersOf(path, namespace, links, paths));
    return {tid, namespace, interfaces, routes: sortedRoutes(routesAt(path, links, cut), cut), rules: rulesAt(path, cut)};
  });
}

/** The last reading of who holds sockets: fds are read at most every two seconds, and less often where that takes long. */
let sockets:
  | {readonly at: number; readonly took: number; readonly pid: number; readonly found: ReturnType<typeof socketsOf>; readonly cut: string[]}
  | undefined;

export function readNetwork(pid: number): Seen<Network> {
  const path = `/proc/${pid}/ns/net`;
  const link = readLink(path);
  const inode = isRefusal(link) ? '' : inodeOf(link);
  let {members, paths} = readEveryone(2000);
  // Born since: others may be as well.
  if (inode !== '' && !members.get(inode)?.includes(pid)) ({members, paths} = readEveryone(0));
  const cut: string[] = [];
  const links = linksAt(path, cut);
  const refused = isRefusal(links) ? links : null;
  const routes = isRefusal(links) ? procRoutes(pid, cut) : routesAt(path, links, cut);
  if (sockets === undefined || sockets.pid !== pid || performance.now() - sockets.at > Math.max(2000, 10 * sockets.took)) {
    const began = performance.now();
    const cutSockets: string[] = [];
    const found = socketsOf(pid, path, inode, inode === '' ? [pid] : (members.get(inode) ?? [pid]), cutSockets);
    sockets = {at: performance.now(), took: performance.now() - began, pid, found, cut: cutSockets};
  }
  const threads = threadsOf(pid, cut);
  return {
    namespace: isRefusal(link) ? link : inode,
    interfaces: isRefusal(links)
      ? procInterfaces(pid, cut)
      : interfacesOf(links, addressesAt(path, cut), partnersOf(path, inode, links, paths)),
    refused,
    routes: sortedRoutes(routes, cut),
    ...(refused === null ? {rules: rulesAt(path, cut)} : {}),
    filters: filtersAt(pid, path),
    ...(threads.length > 0 ? {threads} : {}),
    ...sockets.found,
    cut: [...cut, ...sockets.cut],
  };
}

/** Of the process or thread whose file leads to the namespace (proc_pid_net(5)); null: of none, or not all of them. */
function listenersAt(path: string): Seen<Bound[]> | null {
  const who = /^\/proc\/(\d+(?:\/task\/\d+)?)\/ns\/net$/.exec(path)?.[1];
  if (who === undefined) return null;
  const cut: string[] = [];
  const {listeners, refused} = inetListeners(who, cut);
  if (refused !== null) return refused;
  if (cut.length > 0) return null;
  const {details} = inetDetails(path, listeners);
  return listeners.map(({inode, ...socket}) => ({...socket, ...details.get(inode)}));
}

/** NETCONFA_IFINDEX_ALL and NETCONFA_IFINDEX_DEFAULT (linux/netconf.h). */
const ALL_DEVICES: ReadonlyMap<number, string> = new Map([
  [-1, 'all'],
  [-2, 'default'],
]);

/** Sysctls are for whoever is in the namespace; rtnetlink tells the same (RTM_GETNETCONF). null: not all of them. */
function settingsAt(path: string, names: ReadonlyMap<number, string>): Seen<NetworkSetting[]> | null {
  const bytes = dump(path, SETTINGS);
  if (isRefusal(bytes)) return bytes;
  if (isCut(bytes)) return null;
  return decodeSettings(bytes).flatMap(({version, deviceIndex, forwarding, rpFilter, proxyNeigh}) => {
    const device = ALL_DEVICES.get(deviceIndex) ?? names.get(deviceIndex);
    // It came after the others were asked for.
    if (device === undefined) return [];
    return {
      version,
      device,
      ...(forwarding === null ? {} : {forwarding}),
      ...(rpFilter === null ? {} : {rpFilter}),
      ...(proxyNeigh === null ? {} : {proxyNeigh}),
    };
  });
}

/**
 * The interfaces of each of those network namespaces, and if asked for its routes, each with a file that leads to it and the process or thread
 * through which it is read.
 */
export function readNetworks(
  namespaces: ReadonlyMap<string, {readonly pid: number; readonly path: string}>,
  withRoutes: boolean,
): SnapshotNetwork[] {
  const asked = [...namespaces].slice(0, MOST.namespaces);
  const all = asked.map(([inode, {pid, path}]) => {
    const cut: string[] = [];
    return {inode, pid, path, cut, links: linksAt(path, cut)};
  });
  /** Who has a link of that number: only those are asked whether they are the partner's, so that many namespaces stay linear. */
  const byIndex = new Map<number, {inode: string; path: string; link: LinkMessage}[]>();
  for (const {inode, path, links} of all)
    for (const link of isRefusal(links) ? [] : links) {
      const same = byIndex.get(link.index);
      if (same === undefined) byIndex.set(link.index, [{inode, path, link}]);
      else same.push({inode, path, link});
    }
  return all.map(({inode, pid, path, cut, links}) => {
    if (isRefusal(links)) return {inode, pid, interfaces: links};
    const names = new Map(links.map(link => [link.index, link.name]));
    const find: Finder = link => {
      const index = link.partner ?? 0;
      if (link.partnerId === null) return {index, name: names.get(index) ?? null, namespace: inode};
      // Where its number is not known it may be any; each has lo, whose number is 1.
      const there = (byIndex.get(index === 0 ? 1 : index) ?? [])
        .filter(one => link.kind !== 'veth' || one.link.partner === link.index)
        .slice(0, 64);
      const namespace =
        knownIds(
          path,
          there.map(one => [one.inode, one.path] as const),
        ).get(link.partnerId) ?? null;
      return {index, name: index === 0 ? null : (there.find(one => one.inode === namespace)?.link.name ?? null), namespace};
    };
    const interfaces = interfacesOf(links, addressesAt(path, cut), find);
    const left = () => (cut.length > 0 ? {cut} : {});
    if (!withRoutes) return {inode, pid, interfaces, ...left()};
    const listeners = listenersAt(path);
    const settings = settingsAt(path, names);
    const routes = sortedRoutes(routesAt(path, links, cut), cut);
    return {
      inode,
      pid,
      interfaces,
      routes,
      ...left(),
      ...(listeners === null ? {} : {listeners}),
      ...(settings === null ? {} : {settings}),
    };
  });
}
