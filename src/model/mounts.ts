// Knows what tables of mounts mean: what is hidden in one, who hears of a mount made in another, and in what two of them differ.

import {isRefusal, type Mount} from './fact.ts';
import type {Namespace} from './names.ts';
import type {Process} from './process.ts';
import {namespaceOf, type World} from './world.ts';

// --- hidden mounts ---

/**
 * Why no path from the reader's root leads to a mount. `in place`: another is mounted on its root. `above`: a directory on the way to it is
 * covered. `on the root`: it is stacked on the reader's own root, where a lookup begins below it; `by` is the mount of that root, if it is told.
 */
export type Hidden = {readonly how: 'in place' | 'above' | 'on the root'; readonly by: Mount};

/** A table by what is mounted on what. */
export type MountedOn = {
  readonly byId: ReadonlyMap<number, Mount>;
  /** By the parent's id, which need not be in the table, each in the table's order; without a mount that is its own parent. */
  readonly on: ReadonlyMap<number, readonly Mount[]>;
  /** Whose parent is not in the table, or is itself: the reader's root, mostly (proc_pid_mountinfo(5)). */
  readonly tops: readonly Mount[];
};

const onCache = new WeakMap<readonly Mount[], MountedOn>();

export function mountedOn(mounts: readonly Mount[]): MountedOn {
  const kept = onCache.get(mounts);
  if (kept !== undefined) return kept;
  const byId = new Map<number, Mount>();
  for (const mount of mounts) byId.set(mount.id, mount);
  const on = new Map<number, Mount[]>();
  const tops: Mount[] = [];
  // Those on one mount mostly come one after the other.
  let last = -1;
  let list: Mount[] = [];
  let isKnown = false;
  for (const mount of mounts) {
    const {parent} = mount;
    if (parent === mount.id) {
      tops.push(mount);
      continue;
    }
    if (parent !== last) {
      last = parent;
      isKnown = byId.has(parent);
      list = on.get(parent) ?? [];
      if (list.length === 0) on.set(parent, list);
    }
    list.push(mount);
    if (!isKnown) tops.push(mount);
  }
  const found = {byId, on, tops};
  onCache.set(mounts, found);
  return found;
}

const hiddenCache = new WeakMap<readonly Mount[], ReadonlyMap<number, Hidden>>();

/**
 * The hidden mounts by id. A lookup goes from a mount to what is mounted on the directory that it comes to (path_resolution(7)), so that
 * of two mounts on one parent the one nearer to the root covers the other, whichever was made first.
 */
export function hiddenMounts(mounts: readonly Mount[]): ReadonlyMap<number, Hidden> {
  const kept = hiddenCache.get(mounts);
  if (kept !== undefined) return kept;
  const hidden = new Map<number, Hidden>();
  hiddenCache.set(mounts, hidden);
  const {byId, on, tops} = mountedOn(mounts);
  const waiting: {readonly list: readonly Mount[]; readonly parent: Mount | undefined}[] = [];
  for (const top of tops) if (top.parent === top.id) waiting.push({list: [top], parent: top});
  for (const [id, list] of on) if (!byId.has(id)) waiting.push({list, parent: undefined});
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const {list, parent} = next;
    const coverIn = list.length > 1 ? coversBeside(list, parent) : null;
    const isBeside = parent === undefined && list.some(one => one.point !== '/');
    for (const mount of list) {
      const below = on.get(mount.id);
      const found = coverOf(mount, parent, hidden, coverIn, below, isBeside);
      if (found !== null) hidden.set(mount.id, found);
      if (below !== undefined) waiting.push({list: below, parent: mount});
    }
  }
  return hidden;
}

/** What of those that are mounted on one parent covers one of them. */
function coversBeside(list: readonly Mount[], parent: Mount | undefined): (mount: Mount) => Hidden | null {
  const at = new Map<string, Mount>();
  let shortest = Number.POSITIVE_INFINITY;
  for (const mount of list) {
    at.set(mount.point, mount);
    if (mount.point.length < shortest) shortest = mount.point.length;
  }
  // Nothing is mounted on a directory above the parent's point, nor on one with a shorter name than the shortest.
  const least = Math.max(shortest, parent?.point.length ?? 1, 2);
  const covers = new Map<string, Mount | null>();
  const coverOfFolder = (folder: string): Mount | null => {
    const known = covers.get(folder);
    if (known !== undefined) return known;
    let cover: Mount | null = null;
    for (let end = folder.length; end >= least && cover === null; end = folder.lastIndexOf('/', end - 1))
      cover = at.get(folder.slice(0, end)) ?? null;
    covers.set(folder, cover);
    return cover;
  };
  const isTwice = at.size < list.length;
  // Mounts beside each other share the answer, and mostly come one after the other.
  let last = '';
  let lastCover: Mount | null = null;
  return mount => {
    const {point} = mount;
    let length = point.length - 1;
    while (length >= least && point.charCodeAt(length) !== SLASH) length--;
    if (length >= least) {
      const folder = point.slice(0, length);
      if (folder !== last) {
        last = folder;
        lastCover = coverOfFolder(folder);
      }
      if (lastCover !== null) return {how: 'above', by: lastCover};
    }
    const beside = isTwice ? at.get(point) : undefined;
    return beside === undefined || beside === mount ? null : {how: 'in place', by: beside};
  };
}

const SLASH = 0x2f;

function coverOf(
  mount: Mount,
  parent: Mount | undefined,
  hidden: ReadonlyMap<number, Hidden>,
  coverIn: ((mount: Mount) => Hidden | null) | null,
  below: readonly Mount[] | undefined,
  isBeside: boolean,
): Hidden | null {
  const {point} = mount;
  const above = parent === undefined || parent === mount ? undefined : hidden.get(parent.id);
  // What hides its parent hides it, unless it is what is mounted on the parent's root.
  if (above !== undefined && (above.how !== 'in place' || above.by.parent !== parent?.id)) return {how: above.how, by: above.by};
  // A table holds what is at or below its reader's root: of two mounts at / the reader's root is in the lower one. That may be a directory of
  // a mount which is not in the table: then others are mounted there as well, which would not be in it if this one were the root.
  if (point === '/' && parent !== undefined && parent !== mount) return {how: 'on the root', by: parent};
  if (point === '/' && isBeside) return {how: 'on the root', by: mount};
  const cover = coverIn?.(mount) ?? null;
  if (cover !== null || point === '/') return cover;
  const inPlace = below?.findLast(one => one.point === point);
  return inPlace === undefined ? null : {how: 'in place', by: inPlace};
}

// --- propagation ---

type Groups = {readonly peers: ReadonlyMap<number, readonly Mount[]>; readonly slaves: ReadonlyMap<number, readonly Mount[]>};

const groupCache = new WeakMap<readonly Mount[], Groups>();

function groupsOf(mounts: readonly Mount[]): Groups {
  const kept = groupCache.get(mounts);
  if (kept !== undefined) return kept;
  const peers = new Map<number, Mount[]>();
  const slaves = new Map<number, Mount[]>();
  const add = (map: Map<number, Mount[]>, group: number | undefined, mount: Mount) => {
    if (group === undefined) return;
    const members = map.get(group);
    if (members === undefined) map.set(group, [mount]);
    else members.push(mount);
  };
  for (const mount of mounts) {
    add(peers, mount.propagation.shared, mount);
    add(slaves, mount.propagation.master, mount);
    // Its master is not below the reader's root, but that one's master is, or the next (proc_pid_mountinfo(5)).
    add(slaves, mount.propagation.propagateFrom, mount);
  }
  const groups = {peers, slaves};
  groupCache.set(mounts, groups);
  return groups;
}

export type Table = {readonly space: Namespace; readonly mounts: readonly Mount[]};

/** The tables of the namespaces in which somebody is, and of `own`; what is outside of the root of a table's reader is another table of the same. */
export function knownTables(world: World, own: Namespace): readonly Table[] {
  const tables: Table[] = [];
  for (const [inode, fact] of world.mounts) {
    const space = own.inode === inode ? own : namespaceOf(world, inode);
    if (space === null || isRefusal(fact.mounts)) continue;
    // nsview itself is in the first one, whoever else it follows.
    if (space !== own && space.index !== 0 && space.processes + space.others === 0) continue;
    tables.push({space, mounts: fact.mounts});
    if (fact.outside !== undefined) tables.push({space, mounts: fact.outside});
  }
  return tables;
}

/** Other mounts by the namespace that they are in. */
export type Places = ReadonlyMap<Namespace, readonly Mount[]>;

/** Who hears of a mount made below those of one kind, and whom they hear (mount_namespaces(7), SHARED SUBTREES). */
export type Propagation = {
  /** The same peer group: both ways. Those that ask are among them. */
  readonly peers: Places;
  /** Slaves of that group, peers of theirs, their slaves and so on: one way. */
  readonly slaves: Places;
  /** Members of the master group, of its master and so on, which are heard; null where there is none. Empty: no table has a member of them. */
  readonly masters: Places | null;
  /** Where of peers and slaves none shows all that the mount shows: what is made beside their part does not reach these. */
  readonly narrow: ReadonlySet<Namespace>;
  /** It has a master group, of which no table that is known has a member. */
  readonly isMasterUnknown: boolean;
};

function propagationOfGroups(tables: readonly Table[], {shared, master, propagateFrom}: Mount['propagation']): Omit<Propagation, 'narrow'> {
  const collect = (into: Map<Namespace, Mount[]>, space: Namespace, found: readonly Mount[]) => {
    if (found.length === 0) return;
    const places = into.get(space);
    if (places === undefined) into.set(space, [...found]);
    else for (const one of found) places.push(one);
  };
  const peers = new Map<Namespace, Mount[]>();
  const slaves = new Map<Namespace, Mount[]>();
  const masters = new Map<Namespace, Mount[]>();
  const waiting = shared === undefined ? [] : [shared];
  const met = new Set(waiting);
  for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
    for (const {space, mounts} of tables) {
      const groups = groupsOf(mounts);
      collect(group === shared ? peers : slaves, space, groups.peers.get(group) ?? []);
      for (const slave of groups.slaves.get(group) ?? []) {
        const next = slave.propagation.shared;
        // A slave that is shared is found with its own group.
        if (next === undefined) collect(slaves, space, [slave]);
        else if (!met.has(next)) {
          met.add(next);
          waiting.push(next);
        }
      }
    }
  }
  if (master === undefined) return {peers, slaves, masters: null, isMasterUnknown: false};
  const above = propagateFrom === undefined ? [master] : [propagateFrom, master];
  const heard = new Set(above);
  let isMasterUnknown = true;
  for (let group = above.pop(); group !== undefined; group = above.pop())
    for (const {space, mounts} of tables) {
      const members = groupsOf(mounts).peers.get(group) ?? [];
      collect(masters, space, members);
      if (group === master && members.length > 0) isMasterUnknown = false;
      for (const {propagation} of members)
        for (const next of [propagation.master, propagation.propagateFrom])
          if (next !== undefined && !heard.has(next)) {
            heard.add(next);
            above.push(next);
          }
    }
  return {peers, slaves, masters, isMasterUnknown};
}

/** `host:/export/dir`. */
const EXPORTED = /:(\/.*)$/;

/**
 * Which directory of its file system a mount shows. Of NFS mountinfo has `/` for all of them (nfs_show_path(), fs/nfs/super.c), and tells it by the
 * source, of a bind mount too (nfs_show_devname()).
 */
export const rootOf = ({fsType, root, source}: Mount): string =>
  (fsType === 'nfs' || fsType === 'nfs4' ? EXPORTED.exec(source)?.[1] : undefined) ?? root;

const DELETED = '//deleted';

/** Of a directory that was removed, the name that it had. */
const bareRoot = (root: string): string => (root.endsWith(DELETED) ? root.slice(0, -DELETED.length) : root);

/** Mounts by the directory that is their root, and by each above that: a few of each. */
type ByRoot = {readonly at: ReadonlyMap<string, readonly Mount[]>; readonly below: ReadonlyMap<string, readonly Mount[]>};

/** No more than tell one mount from others. */
const FEW = 2;
const byRootCache = new WeakMap<readonly Mount[], ByRoot>();

function byRoot(mounts: readonly Mount[]): ByRoot {
  const kept = byRootCache.get(mounts);
  if (kept !== undefined) return kept;
  const at = new Map<string, Mount[]>();
  const below = new Map<string, Mount[]>();
  const add = (to: Map<string, Mount[]>, folder: string, mount: Mount) => {
    const list = to.get(folder);
    if (list === undefined) to.set(folder, [mount]);
    else if (list.length < FEW) list.push(mount);
  };
  for (const mount of mounts) {
    let folder = bareRoot(rootOf(mount));
    add(at, folder, mount);
    while (folder !== '/') {
      folder = upFrom(folder);
      add(below, folder, mount);
    }
  }
  const found = {at, below};
  byRootCache.set(mounts, found);
  return found;
}

/**
 * Of those places, where a directory below `root` is seen: what is mounted on it goes to those mounts of the groups that show it (propagate_mnt(),
 * fs/pnode.c), and of a peer group some may show one directory of the file system, and others another. A few mounts of each namespace.
 * `whole` gets the namespaces where all such directories are seen.
 */
function placesAlike(places: Places, root: string, whole: Set<Namespace>): Places {
  const alike = new Map<Namespace, readonly Mount[]>();
  const own = bareRoot(root);
  for (const [space, mounts] of places) {
    const {at, below} = byRoot(mounts);
    const found: Mount[] = [];
    for (let folder = own; ; folder = upFrom(folder)) {
      found.push(...(at.get(folder) ?? []));
      if (folder === '/') break;
    }
    if (found.length > 0) whole.add(space);
    found.push(...(below.get(own) ?? []));
    if (found.length > 0) alike.set(space, found.slice(0, FEW));
  }
  return alike;
}

type Memo = {
  readonly tables: readonly Table[];
  readonly byGroups: Map<string, Omit<Propagation, 'narrow'>>;
  readonly byKey: Map<string, Propagation>;
};
const propagationCache = new WeakMap<readonly Mount[], Memo>();

/** What tells the answer for one mount from that for another. */
export function propagationKey(mount: Mount): string {
  const {shared, master, propagateFrom} = mount.propagation;
  return shared === undefined && master === undefined ? '' : `${shared} ${master} ${propagateFrom} ${rootOf(mount)}`;
}

/** Of a mount in the table `own`; mounts of the same groups that show the same directory get the same answer. */
export function propagationOf(tables: readonly Table[], own: readonly Mount[], mount: Mount): Propagation {
  let memo = propagationCache.get(own);
  const isSame = memo?.tables.length === tables.length && memo.tables.every((table, index) => table.mounts === tables[index]?.mounts);
  if (memo === undefined || !isSame) {
    memo = {tables, byGroups: new Map(), byKey: new Map()};
    propagationCache.set(own, memo);
  }
  const key = propagationKey(mount);
  const known = memo.byKey.get(key);
  if (known !== undefined) return known;
  const {shared, master, propagateFrom} = mount.propagation;
  const groups = `${shared} ${master} ${propagateFrom}`;
  const all = memo.byGroups.get(groups) ?? propagationOfGroups(tables, mount.propagation);
  memo.byGroups.set(groups, all);
  const whole = new Set<Namespace>();
  const peers = placesAlike(all.peers, rootOf(mount), whole);
  const slaves = placesAlike(all.slaves, rootOf(mount), whole);
  const found = {
    ...all,
    peers,
    slaves,
    masters: all.masters === null ? null : placesAlike(all.masters, rootOf(mount), new Set()),
    narrow: new Set([...peers.keys(), ...slaves.keys()].filter(space => !whole.has(space))),
  };
  memo.byKey.set(key, found);
  return found;
}

/** Which directory of its parent's file system a mount is on. */
export function placeOn(parent: Mount, {point}: Mount): string {
  const below = parent.point === '/' ? point : point.slice(parent.point.length);
  const root = rootOf(parent);
  return `${root === '/' ? '' : root}${below}`;
}

// --- bind mounts ---

type Firsts = ReadonlyMap<string, ReadonlyMap<string, Mount>>;

const rootsCache = new WeakMap<readonly Mount[], Firsts>();

/** The first mount of each device and directory of it. */
function firstsOf(mounts: readonly Mount[]): Firsts {
  let firsts = rootsCache.get(mounts);
  if (firsts === undefined) {
    const made = new Map<string, Map<string, Mount>>();
    let last: Mount | undefined;
    for (const one of mounts) {
      if (last?.device === one.device && last.root === one.root && last.source === one.source) continue;
      const root = rootOf(one);
      last = one;
      let roots = made.get(one.device);
      if (roots === undefined) {
        roots = new Map();
        made.set(one.device, roots);
      }
      if (!roots.has(root)) roots.set(root, one);
    }
    firsts = made;
    rootsCache.set(mounts, made);
  }
  return firsts;
}

/** `mount`'s root as a path from the reader's root, through `first`, which shows the directory `root` of the same file system. */
function pathThrough(first: Mount, root: string, mount: Mount): string {
  const own = rootOf(mount);
  const below = root === own ? '' : own.slice(root === '/' ? 0 : root.length);
  return `${first.point === '/' ? '' : first.point}${below}` || '/';
}

const seenCache = new WeakMap<readonly Mount[], Map<string, Mount>>();

/** By mount points the mounts to which these paths lead. */
function seenMounts(mounts: readonly Mount[]): ReadonlyMap<string, Mount> {
  let seen = seenCache.get(mounts);
  if (seen === undefined) {
    const hidden = hiddenMounts(mounts);
    seen = new Map();
    for (const mount of mounts) if (hidden.size === 0 || !hidden.has(mount.id)) seen.set(mount.point, mount);
    seenCache.set(mounts, seen);
  }
  return seen;
}

/** Whether a path leads to the directory that a mount has as its root, and not to what has been mounted over it, or over a directory on the way. */
function leadsTo(mounts: readonly Mount[], path: string, mount: Mount): boolean {
  const seen = seenMounts(mounts);
  for (let at = path; ; at = upFrom(at)) {
    const on = seen.get(at);
    if (on !== undefined) {
      const below = path.slice(at === '/' ? 0 : at.length);
      const root = rootOf(on);
      return on.device === mount.device && ((root === '/' ? '' : root) + (below === '/' ? '' : below) || '/') === rootOf(mount);
    }
    if (at === '/') return false;
  }
}

const upFrom = (root: string): string => root.slice(0, root.lastIndexOf('/')) || '/';

/**
 * Where else in its own table the directory can be seen that a mount has as its root: at an older mount of just that, or below one of more
 * of the same file system. Null where nowhere.
 */
export function bindSource(mounts: readonly Mount[], mount: Mount): string | null {
  if (mount.root.endsWith(DELETED)) return null;
  const firsts = firstsOf(mounts).get(mount.device);
  for (let root = rootOf(mount); ; root = upFrom(root)) {
    const first = firsts?.get(root);
    const path = first === undefined || first.id === mount.id ? null : pathThrough(first, root, mount);
    if (path !== null && leadsTo(mounts, path, mount)) return path;
    if (root === '/') return null;
  }
}

/** The same in another table, but only below a mount of the whole file system: one of the same directory may be a copy of this mount. */
export function wholeAt(mounts: readonly Mount[], mount: Mount): string | null {
  const first = firstsOf(mounts).get(mount.device)?.get('/');
  const path = first === undefined || mount.root.endsWith(DELETED) ? null : pathThrough(first, '/', mount);
  return path !== null && leadsTo(mounts, path, mount) ? path : null;
}

// --- locked mounts ---

const lockCache = new WeakMap<readonly Mount[], WeakMap<object, ReadonlySet<number>>>();

/** A table that was read, with the ages of its mounts where the kernel tells them. */
type Aged = {readonly mounts: readonly Mount[]; readonly ages?: readonly number[]};

/** A mount, and on which directory of which file system it is, so that a copy of both elsewhere is known again. */
function edgesOf(mounts: readonly Mount[]): (mount: Mount) => string | null {
  const {byId} = mountedOn(mounts);
  return mount => {
    const parent = byId.get(mount.parent);
    if (parent === undefined || parent === mount) return null;
    return `${parent.device}\0${placeOn(parent, mount)}\0${mount.device}\0${rootOf(mount)}`;
  };
}

/**
 * The mounts that came, each with the one it is mounted on, from `source`, the table of a namespace that another user namespace owns.
 * They came as a unit and stay together: umount(2) and move_mount(2) fail with EINVAL (mount_namespaces(7), Restrictions on mount
 * namespaces). The kernel tells of no lock (MNT_LOCKED): this is where its rule puts them. What was mounted there later came by itself, by
 * propagation, and is not locked (attach_recursive_mnt(), fs/namespace.c). Of a source that the same user namespace owns what came is locked
 * where it was so there (`inherited`), since a copy has the flags of what it is a copy of (clone_mnt()); what is no longer there, as `beyond` says.
 */
function lockedMounts(
  {mounts, ages = []}: Aged,
  {mounts: source, ages: sourceAges = []}: Aged,
  inherited: ReadonlySet<number> | null = null,
  beyond: ReadonlySet<number> = new Set(),
): ReadonlySet<number> {
  const from: object = inherited ?? source;
  const kept = lockCache.get(mounts)?.get(from);
  if (kept !== undefined) return kept;
  /** The oldest that stands so. */
  const known = new Map<string | null, {readonly id: number; readonly age: number}>();
  const edgeOfSource = edgesOf(source);
  for (const [index, mount] of source.entries()) {
    const key = edgeOfSource(mount);
    if (!known.has(key)) known.set(key, {id: mount.id, age: sourceAges[index] ?? 0});
  }
  const ageOf = new Map(mounts.map((mount, index) => [mount.id, ages[index] ?? 0]));
  const edge = edgesOf(mounts);
  const locked = new Set<number>();
  for (const mount of mounts) {
    const key = edge(mount);
    const found = key === null ? undefined : known.get(key);
    const parent = ageOf.get(mount.parent) ?? 0;
    const isLocked =
      found === undefined
        ? beyond.has(mount.id)
        : (found.age < parent || found.age === 0 || parent === 0) && (inherited === null || inherited.has(found.id));
    if (isLocked) locked.add(mount.id);
  }
  const byFrom = lockCache.get(mounts) ?? new WeakMap<object, ReadonlySet<number>>();
  byFrom.set(from, locked);
  lockCache.set(mounts, byFrom);
  return locked;
}

// --- differences ---

export type Difference =
  | {readonly kind: 'added' | 'removed'; readonly mount: Mount}
  | {readonly kind: 'changed'; readonly mount: Mount; readonly before: Mount};

/** Options of a table that the other does not have. */
export function optionsBeyond(mount: Mount, other: Mount): readonly string[] {
  const had = new Set([...other.options, ...other.superOptions]);
  return [...new Set([...mount.options, ...mount.superOptions])].filter(option => !had.has(option));
}

export type Differences = {
  readonly rows: readonly Difference[];
  /** Mounts that are the same but for whom they send to and receive from. */
  readonly propagation: number;
};

const differenceCache = new WeakMap<readonly Mount[], WeakMap<readonly Mount[], Differences>>();

const kindOf = ({propagation}: Mount): string =>
  `${propagation.shared !== undefined} ${propagation.master !== undefined} ${propagation.unbindable === true}`;

/** In what `mounts` differs from `others`: in the order of the tables, first what is new or changed, then what is not there. */
export function mountDifferences(mounts: readonly Mount[], others: readonly Mount[]): Differences {
  const kept = differenceCache.get(mounts)?.get(others);
  if (kept !== undefined) return kept;
  const key = (mount: Mount) => `${mount.point}\0${mount.device}\0${rootOf(mount)}`;
  const left = new Map<string, Mount[]>();
  for (const other of others) {
    const list = left.get(key(other));
    if (list === undefined) left.set(key(other), [other]);
    else list.push(other);
  }
  for (const list of left.values()) list.reverse();
  const rows: Difference[] = [];
  let propagation = 0;
  for (const mount of mounts) {
    const before = left.get(key(mount))?.pop();
    if (before === undefined) rows.push({kind: 'added', mount});
    else if (optionsBeyond(mount, before).length + optionsBeyond(before, mount).length > 0) rows.push({kind: 'changed', mount, before});
    else if (kindOf(mount) !== kindOf(before)) propagation++;
  }
  const gone = new Set([...left.values()].flat());
  for (const mount of others) if (gone.has(mount)) rows.push({kind: 'removed', mount});
  const result = {rows, propagation};
  const byOther = differenceCache.get(mounts) ?? new WeakMap<readonly Mount[], Differences>();
  byOther.set(others, result);
  differenceCache.set(mounts, byOther);
  return result;
}

// --- where a namespace comes from ---

/** The mount namespaces above a process, nearest first, without its own and without repetition, each with its nearest member. */
export function spacesAbove(world: World, process: Process): readonly {readonly space: Namespace; readonly process: Process | null}[] {
  const own = process.spaces.mnt ?? null;
  const above = new Map<Namespace, Process | null>();
  for (let maker = process.maker; maker !== null; maker = maker.maker) {
    const space = maker.spaces.mnt ?? null;
    if (space !== null && space !== own && !above.has(space)) above.set(space, maker);
  }
  const host = namespaceOf(world, world.header.host.namespaces.mnt);
  if (host !== null && host !== own && !above.has(host)) above.set(host, null);
  return [...above].map(([space, maker]) => ({space, process: maker}));
}

/** Those of its mounts that are locked, and the namespace from which they came; null where none can be. */
export function locksOf(world: World, process: Process): {readonly from: Namespace; readonly ids: ReadonlySet<number>} | null {
  const fact = world.mounts.get(process.spaces.mnt?.inode ?? '');
  if (fact === undefined || isRefusal(fact.mounts) || fact.owner === undefined || isRefusal(fact.owner)) return null;
  /** Its own table, and those of the same owner above it, nearest first. */
  const own: Aged[] = [{...fact, mounts: fact.mounts}];
  for (const {space} of spacesAbove(world, process)) {
    const source = world.mounts.get(space.inode);
    if (source === undefined || isRefusal(source.mounts) || source.owner === undefined) continue;
    const table = {...source, mounts: source.mounts};
    // A refusal to tell the owner (EPERM) means one outside of nsview's user namespace: another than this.
    if (source.owner === fact.owner) own.push(table);
    else {
      let ids: ReadonlySet<number> | null = null;
      for (let at = own.length - 1; at >= 0; at--) {
        const [here, above] = [own[at], own[at + 1]];
        if (here === undefined) continue;
        const came = lockedMounts(here, table);
        ids = above === undefined || ids === null ? came : lockedMounts(here, above, ids, came);
      }
      return ids !== null && ids.size > 0 ? {from: space, ids} : null;
    }
  }
  return null;
}

/** At most so many other mount namespaces are read while a table is on the screen. */
const OTHERS_READ = 64;

type OtherSpaces = {readonly read: readonly {readonly space: Namespace; readonly pid: number | null}[]; readonly unread: number};

/** The last that was asked for: one frame asks several times, and who is in a namespace may be the last of ten thousand. */
const lastOthers = new WeakMap<World, {readonly version: number; readonly process: Process; readonly others: OtherSpaces}>();

/** Other mount namespaces, those above the process first and then in the order of their names, each with a process to read it through; null: nsview's own. */
export function otherSpaces(world: World, process: Process): OtherSpaces {
  const last = lastOthers.get(world);
  if (last?.version === world.version && last.process === process) return last.others;
  const others = findOthers(world, process);
  lastOthers.set(world, {version: world.version, process, others});
  return others;
}

function findOthers(world: World, process: Process): OtherSpaces {
  const own = process.spaces.mnt ?? null;
  const readers = new Map<Namespace, number | null>();
  for (const {space, process: member} of spacesAbove(world, process))
    if (space.index === 0) readers.set(space, null);
    else if (member !== null && member.end === null) readers.set(space, member.pid);
  const rest = new Map<Namespace, number>();
  // Who is in them is looked for until all are found.
  let unfound = 0;
  for (const space of world.namespaces.byInode.values())
    if (space.type === 'mnt' && space.processes > 0 && space !== own && !readers.has(space)) unfound++;
  for (const other of unfound === 0 ? [] : world.byId.values()) {
    const space = other.spaces.mnt ?? null;
    if (space === null || space === own || other.end !== null || other.state === 'Z' || readers.has(space) || rest.has(space)) continue;
    rest.set(space, other.pid);
    if (rest.size === unfound) break;
  }
  for (const [space, pid] of [...rest].sort(([a], [b]) => a.index - b.index)) readers.set(space, pid);
  const all = [...readers].map(([space, pid]) => ({space, pid}));
  return {read: all.slice(0, OTHERS_READ), unread: Math.max(0, all.length - OTHERS_READ)};
}
