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
const isEphemeral = (port: number): boolean => port >= 32_768 && port <= 60_999;

function listenersText(listeners: Seen<readonly Bound[]> | undefined): Seen<string> | null {
  if (listeners === undefined || isRefusal(listeners)) return listeners ?? null;
  const texts = listeners
    // A UDP socket is bound to such a port by sending: it comes and goes with a question to a name server.
    .filter(({protocol, port}) => protocol.startsWith('tcp') || !isEphemeral(port))
    .map(({protocol, address, port}) => {
      const host = address.includes(':') ? `[${address}]` : address;
      return `${protocol} ${host}:${isEphemeral(port) ? '(ephemeral)' : port}`;
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

function sysctlFacts({sysctls: a}: SpaceDetails, {sysctls: b}: SpaceDetails): SpaceFact[] {
  if (a === undefined || b === undefined || isRefusal(a) || isRefusal(b)) {
    if (a === undefined && b === undefined) return [];
    const told = (seen: typeof a): Seen<string> | null => (seen === undefined || isRefusal(seen) ? (seen ?? null) : 'told');
    return [{what: 'sysctls', a: told(a), b: told(b)}];
  }
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].map(name => ({what: name, a: a[name] ?? null, b: b[name] ?? null}));
}

type Same = (a: string, b: string) => boolean;
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
  const seen = networks.get(inode)?.routes;
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
  return [
    {what: 'listening sockets', a: listenersText(inA?.listeners), b: listenersText(inB?.listeners), missed: true},
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
      facts.push(...sysctlFacts(heldA, heldB));
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
