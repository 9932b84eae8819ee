// Knows what is compared of each namespace that two trees both have: who owns it, and what user, uts, time and network namespaces hold.

import {isRefusal, type Seen, type Snapshot} from './fact.ts';
import type {IdRange} from './identity.ts';
import type {Bound, Interface, NetworkSetting, Route, SnapshotNetwork} from './network.ts';
import type {SpaceDetails} from './tree-details.ts';

/** null: the snapshot does not tell. `equal` where it is not that they are the same text. */
export type SpaceFact = {
  readonly what: string;
  readonly a: Seen<string> | null;
  readonly b: Seen<string> | null;
  readonly equal?: boolean;
  /** Where neither tells, that is said. */
  readonly missed?: true;
};

const mapText = (ranges: Seen<readonly IdRange[]> | undefined): Seen<string> | null => {
  if (ranges === undefined || isRefusal(ranges)) return ranges ?? null;
  return ranges.length === 0 ? 'none' : ranges.map(({inside, outside, count}) => `${inside} ${outside} ${count}`).join(', ');
};

/** `named`: it may have a pid in it. */
const HELD: readonly {readonly what: string; readonly named?: true; readonly read: (space: SpaceDetails) => Seen<string> | null}[] = [
  {what: 'uid_map', read: ({uidMap}) => mapText(uidMap)},
  {what: 'gid_map', read: ({gidMap}) => mapText(gidMap)},
  {what: 'setgroups', read: ({setgroups}) => setgroups ?? null},
  {what: 'host name', named: true, read: ({hostname}) => hostname ?? null},
  {what: 'domain name', named: true, read: ({domainname}) => domainname ?? null},
  {
    what: 'offsets of its clocks',
    read: ({offsets}) => (offsets === undefined || isRefusal(offsets) ? (offsets ?? null) : offsets.replaceAll(/\s+/g, ' ')),
  },
];

/** Made up by the kernel from a hardware address, which is made up as well (RFC 4862, 5.3). */
const isMadeUp = (address: string): boolean => /^fe80:/i.test(address);

/** All but its name, which may have a pid in it. `whereOf`: the network namespace of another end. */
function interfaceText(
  {kind, up, mtu, addresses, addressesRefused, master, partner}: Interface,
  whereOf: (inode: string | null) => string,
): string {
  const words = [
    ...(kind === undefined || kind === '' ? [] : [kind]),
    ...(up === undefined ? [] : [up ? 'up' : 'down']),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
    ...(master === undefined ? [] : ['port']),
    ...(partner === undefined ? [] : [`leads ${whereOf(partner.namespace)}`]),
    ...(addressesRefused === undefined ? [] : [`addresses ${addressesRefused.errno}`]),
    ...addresses.filter(address => !isMadeUp(address)).toSorted(),
  ];
  return words.join(' ');
}

/**
 * Those that are not 0, each with a space before it, and of an interface the forwarding that is not as `all` has it: who writes that writes it of
 * each interface (inet_forward_change(), net/ipv4/devinet.c). What the kernel refused is told of `all`.
 */
function settingsText(seen: Seen<readonly NetworkSetting[]> | undefined, device: string): string {
  const settings = seen === undefined || isRefusal(seen) ? [] : seen;
  const words = settings
    .filter(one => one.device === device)
    .flatMap(({version, forwarding = 0, rpFilter = 0, proxyNeigh = 0}) => {
      const usual = device === 'all' ? 0 : (settings.find(one => one.device === 'all' && one.version === version)?.forwarding ?? 0);
      return [
        ...(forwarding === usual ? [] : [`ipv${version} forwarding ${forwarding}`]),
        ...(rpFilter === 0 ? [] : [`ipv${version} rp_filter ${rpFilter}`]),
        ...(proxyNeigh === 0 ? [] : [`ipv${version} ${version === 4 ? 'proxy_arp' : 'proxy_ndp'} ${proxyNeigh}`]),
      ];
    });
  return words
    .toSorted()
    .map(word => ` ${word}`)
    .join('');
}

/** The ports that the kernel gives to who asks for any, where nobody has changed that (net.ipv4.ip_local_port_range, ip(7)). */
export const isEphemeral = (port: number): boolean => port >= 32_768 && port <= 60_999;

/** Whether it is told of each socket that has all addresses of IPv6 if those of IPv4 are among them: not by earlier versions. */
const tellsV6only = (listeners: Seen<readonly Bound[]> | undefined): boolean =>
  listeners !== undefined && !isRefusal(listeners) && listeners.every(({address, v6only}) => address !== '::' || v6only !== undefined);

function listenersText(listeners: Seen<readonly Bound[]> | undefined, withV6only: boolean): Seen<string> | null {
  if (listeners === undefined || isRefusal(listeners)) return listeners ?? null;
  const texts = listeners
    // A UDP socket is bound to such a port by sending: it comes and goes with a question to a name server.
    .filter(({protocol, port}) => protocol.startsWith('tcp') || !isEphemeral(port))
    .map(({protocol, address, port, v6only}) => {
      const host = address.includes(':') ? `[${address}]` : address;
      return `${protocol} ${host}:${isEphemeral(port) ? '(ephemeral)' : port}${withV6only && v6only === true ? ' IPv6 only' : ''}`;
    });
  return texts.toSorted().join('; ') || 'none';
}

/** What is set for all interfaces, and for those to come. */
function switchesText(settings: Seen<readonly NetworkSetting[]> | undefined): Seen<string> | null {
  if (settings === undefined || isRefusal(settings)) return settings ?? null;
  const texts = ['all', 'default'].flatMap(device => {
    const text = settingsText(settings, device);
    return text === '' ? [] : [`${device}:${text}`];
  });
  return texts.join('; ') || 'off';
}

type Same = (a: string, b: string) => boolean;

type Sysctls = {readonly [name: string]: string};

/** Those of an interface, of all and of default; the name of an interface has a slash where it has a point (sysctl(8)). */
const OF_DEVICE = /^(net\.ipv[46]\.(?:conf|neigh)\.)([^.]+)(\.[^.]+)$/;

/** What a device has as default has it is not told again (probe/tree-details.ts). */
function setOf(sysctls: Sysctls, name: string): string | null {
  const [, before, device, after] = OF_DEVICE.exec(name) ?? [];
  return sysctls[name] ?? (device === undefined ? null : (sysctls[`${before}default${after}`] ?? null));
}

type Networks = readonly [SnapshotNetwork | undefined, SnapshotNetwork | undefined];

const interfacesOf = (network: SnapshotNetwork | undefined): readonly Interface[] =>
  network === undefined || isRefusal(network.interfaces) ? [] : network.interfaces;

/** Whoever switches forwarding on switches off that redirects are accepted, and the other way (inet_forward_change(), net/ipv4/devinet.c). */
function usualRedirects(network: SnapshotNetwork | undefined): string | undefined {
  const settings = network?.settings;
  const all = settings === undefined || isRefusal(settings) ? undefined : settings.find(one => one.device === 'all' && one.version === 4);
  return all?.forwarding === undefined ? undefined : all.forwarding === 0 ? '1' : '0';
}

/** What one interface has otherwise than the one of the same name, where that is not because all of them have it so, or new ones. */
function deviceFacts(a: Sysctls, b: Sysctls, networks: Networks, same: Same): SpaceFact[] {
  const facts: SpaceFact[] = [];
  const attributes = (sysctls: Sysctls, of: string) =>
    Object.keys(sysctls).flatMap(name => {
      const [, before, device, after] = OF_DEVICE.exec(name) ?? [];
      return device === of ? [[before ?? '', after ?? ''] as const] : [];
    });
  const others = interfacesOf(networks[1]);
  for (const one of interfacesOf(networks[0])) {
    const other = others.find(each => same(one.name, each.name));
    if (other === undefined) continue;
    const [inA, inB] = [one, other].map(({name}) => name.replaceAll('.', '/'));
    const ways = new Map([...attributes(a, inA ?? ''), ...attributes(b, inB ?? '')].map(way => [way.join(), way]));
    for (const [before, after] of ways.values()) {
      const values = (device: (string | undefined)[]) => [
        setOf(a, `${before}${device[0]}${after}`),
        setOf(b, `${before}${device[1]}${after}`),
      ];
      const [x = null, y = null] = values([inA, inB]);
      if (x === null || y === null || x === y) continue;
      if (after === '.mtu' && x === String(one.mtu) && y === String(other.mtu)) continue;
      if (['all', 'default'].some(usual => values([usual, usual]).join() === `${x},${y}`)) continue;
      facts.push({what: `${before}${inA}${after}`, a: x, b: y});
    }
  }
  return facts;
}

const MOST_NAMED = 5;

function sysctlFacts({sysctls: a}: SpaceDetails, {sysctls: b}: SpaceDetails, networks: Networks, same: Same): SpaceFact[] {
  if (a === undefined || b === undefined || isRefusal(a) || isRefusal(b)) {
    if (a === undefined && b === undefined) return [];
    const told = (seen: typeof a): Seen<string> | null => (seen === undefined || isRefusal(seen) ? (seen ?? null) : 'told');
    return [{what: 'sysctls', a: told(a), b: told(b)}];
  }
  const values = new Map<string, readonly [string, string]>();
  const [onlyA, onlyB]: [string[], string[]] = [[], []];
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const [, before, device, after] = OF_DEVICE.exec(name) ?? [];
    if (device !== undefined && device !== 'all' && device !== 'default') continue;
    const [x, y] = [setOf(a, name), setOf(b, name)];
    if (x === null) onlyB.push(name);
    else if (y === null) onlyA.push(name);
    else {
      // Who writes some of all writes them of default, and of each interface (addrconf_disable_ipv6(), net/ipv6/addrconf.c).
      const all = `${before}all${after}`;
      const isOfAll = device === 'default' && before?.endsWith('.conf.') === true && x === setOf(a, all) && y === setOf(b, all);
      values.set(isOfAll ? all : name, [x, y]);
    }
  }
  const redirects = 'net.ipv4.conf.all.accept_redirects';
  const [x, y] = values.get(redirects) ?? [];
  if (x === usualRedirects(networks[0]) && y === usualRedirects(networks[1])) values.delete(redirects);
  const facts: SpaceFact[] = [...values].map(([what, [inA, inB]]) => ({what, a: inA, b: inB}));
  const list = (names: readonly string[]) => {
    const more = names.length - MOST_NAMED;
    return names.length === 0 ? 'no more' : `also ${names.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  };
  // Of another kernel, or not told by a file that an older nsview wrote.
  if (onlyA.length + onlyB.length > 0) facts.push({what: 'sysctls', a: list(onlyA), b: list(onlyB)});
  return [...facts, ...deviceFacts(a, b, networks, same)];
}

type Side = {
  readonly held: ReadonlyMap<string, SpaceDetails>;
  readonly owner: ReadonlyMap<string, string | undefined>;
  readonly networks: ReadonlyMap<string, SnapshotNetwork>;
  /** For a namespace that both sides have the inode of that in A. */
  readonly common: (inode: string) => string | undefined;
  /** Whose it is, for people. */
  readonly whose: (inode: string) => string;
};

function sideOf(snapshot: Snapshot, common: Side['common'], whose: Side['whose']): Side {
  return {
    held: new Map((snapshot.details?.namespaces ?? []).map(space => [space.inode, space])),
    owner: new Map(snapshot.namespaces.map(({inode, owner}) => [inode, owner])),
    networks: new Map((snapshot.networks ?? []).map(network => [network.inode, network])),
    common,
    whose,
  };
}

const OUTSIDE = 'outside of the tree';

/** Interfaces of two network namespaces that only one has. */
function networkFact(a: Side, b: Side, one: string, other: string, same: Same): SpaceFact {
  const what = 'interfaces';
  const [inA, inB] = [a.networks.get(one)?.interfaces ?? null, b.networks.get(other)?.interfaces ?? null];
  if (inA === null || inB === null || isRefusal(inA) || isRefusal(inB)) {
    const told = (seen: typeof inA) => (seen === null || isRefusal(seen) ? seen : `${seen.length} of them`);
    return {what, a: told(inA), b: told(inB)};
  }
  const texts = (interfaces: readonly Interface[], side: Side, own: string) => {
    const settings = side.networks.get(own)?.settings;
    const whereOf = (inode: string | null) =>
      inode === null ? 'elsewhere' : inode === own ? 'back here' : `to ${side.common(inode) ?? OUTSIDE}`;
    return interfaces.map(each => ({name: each.name, text: `${interfaceText(each, whereOf)}${settingsText(settings, each.name)}`}));
  };
  const left = texts(inB, b, other);
  const onlyA = texts(inA, a, one).filter(({name, text}) => {
    const at = left.findIndex(each => each.text === text && same(name, each.name));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  const list = (interfaces: readonly {readonly name: string; readonly text: string}[]) =>
    interfaces.length === 0 ? 'no more' : interfaces.map(({name, text}) => `${name} ${text}`).join('; ');
  return {what, a: list(onlyA), b: list(left), equal: onlyA.length + left.length === 0};
}

function routeText({to, via, device, metric, type, table}: Route): string {
  const words = [type, to, via && `via ${via}`, device && `dev ${device}`, metric && `metric ${metric}`, table && `table ${table}`];
  return words.filter(Boolean).join(' ');
}

function routesText({networks}: Side, inode: string): Seen<string> | null {
  const {routes: seen, cut = []} = networks.get(inode) ?? {};
  if (cut.includes('routes')) return null;
  if (seen === undefined || isRefusal(seen)) return seen ?? null;
  // The kernel makes those of an interface's link-local network, sooner or later after it is up.
  const texts = seen.filter(({to}) => !isMadeUp(to) && !/^ff00:/i.test(to)).map(routeText);
  return texts.toSorted().join('; ') || 'none';
}

function ownerFact(a: Side, b: Side, one: string, other: string, type: string): SpaceFact {
  const what = type === 'user' ? 'user namespace above it' : `owner of the ${type} namespace`;
  const [ownerA, ownerB] = [a.owner.get(one), b.owner.get(other)];
  if (ownerA === undefined || ownerB === undefined)
    return {what, a: ownerA === undefined ? null : a.whose(ownerA), b: ownerB === undefined ? null : b.whose(ownerB)};
  return {what, a: a.whose(ownerA), b: b.whose(ownerB), equal: a.common(ownerA) === b.common(ownerB)};
}

function reachFacts(a: Side, b: Side, one: string, other: string): SpaceFact[] {
  const [inA, inB] = [a.networks.get(one), b.networks.get(other)];
  const withV6only = tellsV6only(inA?.listeners) && tellsV6only(inB?.listeners);
  const [listenersA, listenersB] = [inA, inB].map(one => listenersText(one?.listeners, withV6only));
  return [
    {what: 'listening sockets', a: listenersA ?? null, b: listenersB ?? null, missed: true},
    {what: 'forwarding between interfaces', a: switchesText(inA?.settings), b: switchesText(inB?.settings), missed: true},
  ];
}

/** `partners`: for namespaces of A those of B; `whose`: the first on each side that is in one, by the inode of A. */
export function spaceFacts(
  [a, b]: readonly [Snapshot, Snapshot],
  partners: ReadonlyMap<string, string>,
  whose: (inode: string) => readonly [string, string] | undefined,
  same: Same,
) {
  const back = new Map([...partners].map(([one, other]) => [other, one]));
  const inA = sideOf(
    a,
    inode => (partners.has(inode) ? inode : undefined),
    inode => whose(inode)?.[0] ?? `one ${OUTSIDE}`,
  );
  const inB = sideOf(
    b,
    inode => back.get(inode),
    inode => whose(back.get(inode) ?? '')?.[1] ?? `one ${OUTSIDE}`,
  );
  return (one: string, other: string, type: string): SpaceFact[] => {
    const [heldA, heldB] = [inA.held.get(one), inB.held.get(other)];
    const facts: SpaceFact[] = [ownerFact(inA, inB, one, other, type)];
    if (heldA !== undefined && heldB !== undefined) {
      for (const {what, read, named} of HELD) {
        const [x, y] = [read(heldA), read(heldB)];
        const told = x !== null && y !== null && !isRefusal(x) && !isRefusal(y);
        facts.push({what, a: x, b: y, ...(named === true && told ? {equal: same(x, y)} : {})});
      }
      facts.push(...sysctlFacts(heldA, heldB, [inA.networks.get(one), inB.networks.get(other)], same));
    }
    if (type === 'net')
      facts.push(
        networkFact(inA, inB, one, other, same),
        {what: 'routes', a: routesText(inA, one), b: routesText(inB, other)},
        ...reachFacts(inA, inB, one, other),
      );
    return facts;
  };
}
