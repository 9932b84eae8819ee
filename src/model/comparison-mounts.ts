// Knows whether two tables of mounts are the same but for the numbers of mounts, devices and peer groups.

import type {Pair} from './comparison-tree.ts';
import {isRefusal, type Mount, type Snapshot} from './fact.ts';
import {hiddenMounts} from './mounts.ts';
import type {Renaming} from './renaming.ts';

/** Devices and peer groups that nsview's own mounts have. */
type Outside = {readonly devices: readonly string[]; readonly peerGroups: readonly number[]};
export type Table = {readonly mounts: readonly Mount[]; readonly outside: Outside};

type MountDifference = {
  readonly kind: 'missing' | 'differs';
  readonly point: string;
  /** What of it; for a missing mount the mount itself. */
  readonly what: string;
  readonly a: string;
  readonly b: string;
};

export type MountsCompared = {
  readonly differences: readonly MountDifference[];
  readonly compared: number;
  /** For mounts of A those of B. */
  readonly pairs: readonly (readonly [Mount, Mount])[];
};

/** Sizes and numbers of inodes that the kernel takes from the machine's memory, where nobody asked for others. */
const OF_THE_MACHINE = /^(size|nr_inodes)=/;

/** Whether two ids can be the same, which they are from now on: each of A is one of B and no other. */
type Bijection = (a: string, b: string) => boolean;

function createBijection(): Bijection {
  const forth = new Map<string, string>();
  const back = new Map<string, string>();
  return (a, b) => {
    const [known, taken] = [forth.get(a), back.get(b)];
    if (known !== undefined || taken !== undefined) return known === b && taken === a;
    forth.set(a, b);
    back.set(b, a);
    return true;
  };
}

/** What lasts over all tables of the two trees: a device or a peer group of two namespaces is one. */
export function createMountNumbers() {
  return {devices: createBijection(), peerGroups: createBijection()};
}

type Numbers = ReturnType<typeof createMountNumbers>;

const describeMount = ({fsType, source, root}: Mount): string => `${fsType} ${source}${root === '/' ? '' : ` (${root} of it)`}`;

/** Stacked mounts on one point stand in the order of the table; points are the same up to renaming. */
function pairMounts(
  a: readonly Mount[],
  b: readonly Mount[],
  same: Renaming['same'],
  key: (text: string) => string,
  sameRoots: (one: Mount, other: Mount) => boolean,
) {
  const waiting = new Map<string, Mount[]>();
  for (const mount of b) {
    const of = key(mount.point);
    const stack = waiting.get(of);
    if (stack === undefined) waiting.set(of, [mount]);
    else stack.push(mount);
  }
  const pairs: (readonly [Mount, Mount])[] = [];
  const onlyA: Mount[] = [];
  const take = (stack: Mount[], is: (mount: Mount) => boolean): Mount | undefined => {
    const at = stack.findIndex(is);
    return at < 0 ? undefined : stack.splice(at, 1)[0];
  };
  const left: Mount[] = [];
  for (const mount of a) {
    const stack = waiting.get(key(mount.point)) ?? [];
    const alike = (other: Mount) =>
      same(mount.point, other.point) && mount.fsType === other.fsType && sameRoots(mount, other) && same(mount.source, other.source);
    const found = take(stack, alike);
    if (found === undefined) left.push(mount);
    else pairs.push([mount, found]);
  }
  for (const mount of left) {
    const found = take(waiting.get(key(mount.point)) ?? [], other => same(mount.point, other.point));
    if (found === undefined) onlyA.push(mount);
    else pairs.push([mount, found]);
  }
  return {pairs, onlyA, onlyB: [...waiting.values()].flat()};
}

/** What one list has beyond the other. Where a path is among the options there may be a pid in it; other numbers are what they are. */
function beyond(a: readonly string[], b: readonly string[], same: Renaming['same']): string[] {
  const others = new Set(b);
  return a.filter(word => !others.has(word) && !(word.includes('/') && b.some(other => same(word, other))));
}

function optionsDiffer(a: readonly string[], b: readonly string[], same: Renaming['same']): readonly [string, string] | null {
  const [one, other] = [beyond(a, b, same), beyond(b, a, same)];
  const text = (words: readonly string[]) => (words.length === 0 ? 'without' : words.join(','));
  return one.length + other.length === 0 ? null : [text(one), text(other)];
}

type Group = {readonly role: 'shared' | 'master' | 'propagateFrom'; readonly group: number};

const groupsOf = ({propagation}: Mount): Group[] =>
  (['shared', 'master', 'propagateFrom'] as const).flatMap(role =>
    propagation[role] === undefined ? [] : [{role, group: propagation[role]}],
  );

function propagationText(mount: Mount, outside: ReadonlySet<number>): string {
  const words = groupsOf(mount).map(({role, group}) => {
    const who = outside.has(group) ? 'mounts outside of the tree' : `group ${group}`;
    return role === 'shared' ? `shared with ${who}` : role === 'master' ? `slave of ${who}` : `propagated from ${who}`;
  });
  if (mount.propagation.unbindable) words.push('unbindable');
  return words.length === 0 ? 'private' : words.join(', ');
}

/** Both are nsview's, who sees both: they are no two names of one. */
const isAnother = <Id>(one: Id, other: Id, {a, b}: {readonly a: ReadonlySet<Id>; readonly b: ReadonlySet<Id>}): boolean =>
  one !== other && a.has(one) && b.has(one) && a.has(other) && b.has(other);

const PINNED = /^([a-z]+):\[([0-9]+)\]$/;

/** A namespace that is kept by a mount is one that both have, or one of which nothing else is known. */
function sameRoot(one: Mount, other: Mount, same: Renaming['same'], partners: ReadonlyMap<string, string>): boolean {
  const [a, b] = [PINNED.exec(one.root), PINNED.exec(other.root)];
  if (one.fsType !== 'nsfs' || a === null || b === null) return same(one.root, other.root);
  const partner = partners.get(a[2] ?? '');
  return a[1] === b[1] && (partner === undefined ? ![...partners.values()].includes(b[2] ?? '') : partner === b[2]);
}

export type Comparing = {
  readonly same: Renaming['same'];
  readonly numbers: Numbers;
  /** What a point is found by on the other side. */
  readonly key: (text: string) => string;
  /** For namespaces of A those of B. */
  readonly partners: ReadonlyMap<string, string>;
};

export function compareMounts(a: Table, b: Table, {same, numbers, key, partners}: Comparing): MountsCompared {
  const {pairs, onlyA, onlyB} = pairMounts(a.mounts, b.mounts, same, key, (one, other) => sameRoot(one, other, same, partners));
  const differences: MountDifference[] = [];
  const groups = {a: new Set(a.outside.peerGroups), b: new Set(b.outside.peerGroups)};
  const devices = {a: new Set(a.outside.devices), b: new Set(b.outside.devices)};
  for (const mount of onlyA)
    differences.push({kind: 'missing', point: mount.point, what: describeMount(mount), a: 'mounted', b: 'not mounted'});
  for (const mount of onlyB)
    differences.push({kind: 'missing', point: mount.point, what: describeMount(mount), a: 'not mounted', b: 'mounted'});
  const pointsA = new Map(a.mounts.map(mount => [mount.id, mount]));
  const pointsB = new Map(b.mounts.map(mount => [mount.id, mount]));
  for (const [one, other] of pairs) {
    const tell = (what: string, x: string, y: string) => differences.push({kind: 'differs', point: one.point, what, a: x, b: y});
    const before = differences.length;
    if (one.fsType !== other.fsType) tell('file system', one.fsType, other.fsType);
    if (!same(one.source, other.source)) tell('source', one.source, other.source);
    if (!sameRoot(one, other, same, partners)) tell('root', one.root, other.root);
    const options = optionsDiffer(one.options, other.options, same);
    if (options !== null) tell('options', ...options);
    const own = (mount: Mount) => mount.superOptions.filter(option => mount.fsType !== 'devtmpfs' || !OF_THE_MACHINE.test(option));
    const superOptions = optionsDiffer(own(one), own(other), same);
    if (superOptions !== null) tell('options of the file system', ...superOptions);
    const [groupsA, groupsB] = [groupsOf(one), groupsOf(other)];
    const alike =
      one.propagation.unbindable === other.propagation.unbindable &&
      groupsA.length === groupsB.length &&
      groupsA.every(({role, group}, index) => {
        const match = groupsB[index];
        return (
          match?.role === role &&
          groups.a.has(group) === groups.b.has(match.group) &&
          !isAnother(group, match.group, groups) &&
          numbers.peerGroups(String(group), String(match.group))
        );
      });
    if (!alike) tell('propagation', propagationText(one, groups.a), propagationText(other, groups.b));
    // The file system of another type is another: that has been said.
    if (before === differences.length || one.fsType === other.fsType) {
      const where = (is: boolean) => (is ? 'a file system that nsview has mounted too' : 'a file system of its own');
      const [inA, inB] = [devices.a.has(one.device), devices.b.has(other.device)];
      if (inA !== inB) tell('what is mounted', where(inA), where(inB));
      else if (isAnother(one.device, other.device, devices) || !numbers.devices(one.device, other.device))
        tell('what is mounted', `${one.fsType} ${one.device}`, `${other.fsType} ${other.device}`);
    }
    const [aboveA, aboveB] = [pointsA.get(one.parent)?.point, pointsB.get(other.parent)?.point];
    if (aboveA !== undefined && aboveB !== undefined && !same(aboveA, aboveB)) tell('mounted on', aboveA, aboveB);
  }
  return {differences, compared: pairs.length, pairs};
}

/** For each mount namespace of A the mounts of the one of B that stand for them, by id. */
export type MountPartners = Map<string, ReadonlyMap<number, number>>;

/** In words the mounts of two processes, by their ids, that do not stand for each other; null: they do, or that is told elsewhere, or not known. */
export type MountsApart = (pair: Pair, a: number | undefined, b: number | undefined) => readonly [string, string] | null;

/** A mount that only one side has is told of by itself. */
export function createMountsApart(snapshots: readonly [Snapshot, Snapshot], partners: MountPartners): MountsApart {
  const [inA, inB] = snapshots.map(
    ({mountNamespaces}) => new Map(mountNamespaces.map(({inode, mounts}) => [inode, isRefusal(mounts) ? [] : mounts])),
  );
  const back = new Map([...partners].map(([inode, pairs]) => [inode, new Set(pairs.values())]));
  const text = (mounts: readonly Mount[], id: number): string => {
    const mount = mounts.find(one => one.id === id);
    if (mount === undefined) return `mount ${id}`;
    return `${describeMount(mount)} on ${mount.point}${hiddenMounts(mounts).has(id) ? ', which is covered' : ''}`;
  };
  return ({a, b}, one, other) => {
    const [spaceA, spaceB] = [a.links.mnt, b.links.mnt];
    if (one === undefined || other === undefined || isRefusal(spaceA) || isRefusal(spaceB)) return null;
    const partner = partners.get(spaceA)?.get(one);
    if (partner === undefined || partner === other || back.get(spaceA)?.has(other) !== true) return null;
    return [text(inA?.get(spaceA) ?? [], one), text(inB?.get(spaceB) ?? [], other)];
  };
}
