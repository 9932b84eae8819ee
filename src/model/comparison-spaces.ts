// Knows what is compared of each namespace that two trees both have: who owns it, and what user, uts, time and network namespaces hold.

import {isRefusal, type Seen, type Snapshot} from './fact.ts';
import type {IdRange} from './identity.ts';
import type {Interface} from './network.ts';
import type {SpaceDetails} from './tree-details.ts';

/** `a` and `b` are equal where they are the same text but for names with ids in them; null: the snapshot does not tell. */
export type SpaceFact = {readonly what: string; readonly a: Seen<string> | null; readonly b: Seen<string> | null};

const mapText = (ranges: Seen<readonly IdRange[]> | undefined): Seen<string> | null => {
  if (ranges === undefined || isRefusal(ranges)) return ranges ?? null;
  return ranges.length === 0 ? 'none' : ranges.map(({inside, outside, count}) => `${inside} ${outside} ${count}`).join(', ');
};

const HELD: readonly {readonly what: string; readonly read: (space: SpaceDetails) => Seen<string> | null}[] = [
  {what: 'uid_map', read: ({uidMap}) => mapText(uidMap)},
  {what: 'gid_map', read: ({gidMap}) => mapText(gidMap)},
  {what: 'setgroups', read: ({setgroups}) => setgroups ?? null},
  {what: 'host name', read: ({hostname}) => hostname ?? null},
  {what: 'domain name', read: ({domainname}) => domainname ?? null},
  {
    what: 'offsets of its clocks',
    read: ({offsets}) => (offsets === undefined || isRefusal(offsets) ? (offsets ?? null) : offsets.replaceAll(/\s+/g, ' ')),
  },
];

/** Made up by the kernel from a hardware address, which is made up as well (RFC 4862, 5.3). */
const isMadeUp = (address: string): boolean => /^fe80:/i.test(address);

function interfaceText({name, kind, up, mtu, addresses, master, partner}: Interface, whereOf: (inode: string | null) => string): string {
  const words = [
    name,
    ...(kind === undefined || kind === '' ? [] : [kind]),
    ...(up === undefined ? [] : [up ? 'up' : 'down']),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
    ...(master === undefined ? [] : [`port of ${master}`]),
    ...(partner === undefined ? [] : [`leads to ${partner.name ?? 'one'} ${whereOf(partner.namespace)}`]),
    ...addresses.filter(address => !isMadeUp(address)).toSorted(),
  ];
  return words.join(' ');
}

type Named = {readonly snapshot: Snapshot; readonly nameOf: (inode: string) => string | null};

function networkText({snapshot, nameOf}: Named, inode: string): Seen<string> | null {
  const network = snapshot.networks?.find(one => one.inode === inode);
  if (network === undefined) return null;
  if (isRefusal(network.interfaces)) return network.interfaces;
  const whereOf = (other: string | null) =>
    other === null ? 'elsewhere' : other === inode ? 'here' : (nameOf(other) ?? 'outside of the tree');
  const texts = network.interfaces.map(one => interfaceText(one, whereOf)).toSorted();
  return texts.length === 0 ? 'none' : texts.join('; ');
}

/** `partners`: for namespaces of A those of B. */
export function spaceFacts(a: Snapshot, b: Snapshot, partners: ReadonlyMap<string, string>) {
  const back = new Map([...partners].map(([one, other]) => [other, one]));
  // The same name on both sides: the inode that it has in A.
  const sides = {
    a: {snapshot: a, nameOf: (inode: string) => (partners.has(inode) ? `in ${inode}` : null)},
    b: {snapshot: b, nameOf: (inode: string) => (back.has(inode) ? `in ${back.get(inode)}` : null)},
  };
  const index = (snapshot: Snapshot) => ({
    held: new Map((snapshot.details?.namespaces ?? []).map(space => [space.inode, space])),
    owner: new Map(snapshot.namespaces.map(({inode, owner}) => [inode, owner])),
  });
  const [inA, inB] = [index(a), index(b)];
  const ownerText = (owner: string | undefined, nameOf: (inode: string) => string | null): string | null =>
    owner === undefined ? null : (nameOf(owner) ?? 'one outside of the tree');
  return (one: string, other: string, type: string): SpaceFact[] => {
    const [heldA, heldB] = [inA.held.get(one), inB.held.get(other)];
    const facts: SpaceFact[] = [
      {
        what: type === 'user' ? 'user namespace above it' : `owner of its ${type} namespace`,
        a: ownerText(inA.owner.get(one), sides.a.nameOf),
        b: ownerText(inB.owner.get(other), sides.b.nameOf),
      },
    ];
    if (heldA !== undefined && heldB !== undefined) for (const {what, read} of HELD) facts.push({what, a: read(heldA), b: read(heldB)});
    if (type === 'net') facts.push({what: 'interfaces', a: networkText(sides.a, one), b: networkText(sides.b, other)});
    return facts;
  };
}
