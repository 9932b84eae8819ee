// Knows whether the isolation of two trees of processes is equal up to renaming of ids, or where it is not.

import {cgroupSide, compareCgroups} from './comparison-cgroups.ts';
import {CREDENTIAL_FACTS, DETAIL_FACTS, LIMIT_FACTS, NAME_FACTS, PLACE_FACTS, type PlainFact, refusedText} from './comparison-facts.ts';
import {compareFds, fdsText, objectsOf} from './comparison-fds.ts';
import {matchTrees} from './comparison-match.ts';
import {type Divided, divide, hierarchyName, type Membership, membershipsOf, type Untold} from './comparison-membership.ts';
import {compareMemory} from './comparison-memory.ts';
import {
  type Comparing,
  compareMounts,
  createMountNumbers,
  createMountsApart,
  type MountPartners,
  type MountsApart,
  type Table,
} from './comparison-mounts.ts';
import {spaceFacts} from './comparison-spaces.ts';
import {type Node, nodeName, type Pair, type Tree, treeOfSnapshot} from './comparison-tree.ts';
import {isRefusal, type Refusal, type Seen, type Snapshot} from './fact.ts';
import type {NamespaceLink} from './namespace.ts';
import {createRenaming, type Mapping, withoutNumbers} from './renaming.ts';
import type {OpenFd} from './tree-details.ts';

/** Who: a process, or with `tid` one thread of it. */
export type Compared = {readonly pid: number; readonly tid?: number; readonly comm: string};

/** The most telling first. */
export const DIFFERENCES = [
  'process',
  'thread',
  'namespace',
  'sharing',
  'mount',
  'place',
  'credentials',
  'fds',
  'cgroup',
  'limits',
  'name',
] as const;

/** `what` is one of a few dozen names, `of` which one it is about, such as the mount point. */
export type Difference = {
  readonly kind: (typeof DIFFERENCES)[number];
  /** null: there is nobody in its place. */
  readonly a: Compared | null;
  readonly b: Compared | null;
  readonly what: string;
  readonly inA: string;
  readonly inB: string;
  /** The kernel, or the one who wrote a snapshot, told it of one side only: it cannot be compared. */
  readonly refused?: true;
};

export type Comparison = {
  readonly format: 'nsview/diff';
  readonly version: 1;
  readonly equal: boolean;
  readonly differences: readonly Difference[];
  readonly compared: {
    readonly processes: number;
    readonly threads: number;
    readonly namespaces: number;
    readonly mounts: number;
    readonly facts: number;
  };
  /** What was not compared, with the reason: it is the same of both sides. */
  readonly notCompared: readonly string[];
};

export type CompareOptions = {
  /** Names and programs are compared as well. */
  readonly names?: boolean;
  readonly maps?: readonly Mapping[];
};

const comparedOf = ({pid, tid, comm}: Node): Compared => (tid === null ? {pid, comm} : {pid, tid, comm});

type Running = {
  readonly pairs: readonly Pair[];
  readonly differences: Difference[];
  readonly notCompared: Map<string, number>;
  readonly same: (a: string, b: string) => boolean;
  facts: number;
};

const count = (map: Map<string, number>, key: string, by = 1): void => void map.set(key, (map.get(key) ?? 0) + by);

type About = {readonly kind: Difference['kind']; readonly pair: Pair; readonly what: string};

const tell = (running: Running, {kind, pair, what}: About, inA: string, inB: string, refused = false): void =>
  void running.differences.push({kind, a: comparedOf(pair.a), b: comparedOf(pair.b), what, inA, inB, ...(refused ? {refused: true} : {})});

/** The kernel refused one of them or both. */
function tellRefusal<T>(running: Running, about: About, a: Seen<T>, b: Seen<T>, text: (value: T) => string): void {
  if (isRefusal(a) && isRefusal(b) && a.errno === b.errno) count(running.notCompared, `${about.what}: ${a.during}: ${a.errno}`);
  else tell(running, about, isRefusal(a) ? refusedText(a) : text(a), isRefusal(b) ? refusedText(b) : text(b), true);
}

/** Says what stands otherwise, or why it cannot be said; null: the snapshot does not tell. True where they were compared and differ. */
function compareTexts(
  running: Running,
  about: About,
  a: Seen<string> | null,
  b: Seen<string> | null,
  equal: (a: string, b: string) => boolean,
): boolean {
  if (a === null && b === null) return false;
  if (a === null || b === null) {
    const said = (value: typeof a) => (value === null ? 'not told' : isRefusal(value) ? refusedText(value) : value);
    tell(running, about, said(a), said(b), true);
    return false;
  }
  if (isRefusal(a) || isRefusal(b)) {
    tellRefusal(running, about, a, b, text => text);
    return false;
  }
  running.facts++;
  return !equal(a, b);
}

const identical = (a: string, b: string): boolean => a === b;

function compareFact(running: Running, pair: Pair, kind: Difference['kind'], {read, told, what, named}: PlainFact): void {
  const [a, b] = [read(pair.a), read(pair.b)];
  const about = {kind, pair, what};
  // What a thread has of its process is said there.
  const isOfProcess = pair.a.tid !== null && pair.above !== null && read(pair.above.a) === a && read(pair.above.b) === b;
  if (
    isOfProcess ||
    !compareTexts(running, about, a, b, named === true ? running.same : identical) ||
    a === null ||
    b === null ||
    isRefusal(a) ||
    isRefusal(b)
  )
    return;
  tell(running, about, ...(told?.(a, b) ?? [a, b]));
}

/** The mount tables of namespaces that both have; into `into` goes which mount is which. */
function compareTables(
  running: Running,
  [one, other]: readonly [Snapshot, Snapshot],
  {partners: spaces, firsts}: Divided,
  comparing: Omit<Comparing, 'numbers'>,
  into: MountPartners,
): number {
  const [tablesA, tablesB] = [tablesOf(one), tablesOf(other)];
  const numbers = createMountNumbers();
  let mounts = 0;
  for (const [inA, inB] of spaces) {
    const pair = firsts.get(inA);
    if (pair === undefined) continue;
    if (tablesA.own === inA && tablesB.own === inB) {
      const own = tablesA.byInode.get(inA) ?? NOT_THERE;
      if (inA === inB && !isRefusal(own)) into.set(inA, new Map(own.mounts.map(({id}) => [id, id])));
      count(running.notCompared, 'mounts of the mount namespace that nsview is in');
      continue;
    }
    const [a, b] = [tablesA.byInode.get(inA) ?? NOT_THERE, tablesB.byInode.get(inB) ?? NOT_THERE];
    if (isRefusal(a) || isRefusal(b)) {
      tellRefusal(running, {kind: 'mount', pair, what: 'mounts'}, a, b, () => 'told');
      continue;
    }
    const found = compareMounts(a, b, {...comparing, numbers});
    mounts += found.compared;
    into.set(inA, new Map(found.pairs.map(([x, y]) => [x.id, y.id])));
    for (const {kind, point, what, a: inOne, b: inOther} of found.differences)
      tell(running, {kind: 'mount', pair, what: kind === 'missing' ? `${what} on ${point}` : `${what} of ${point}`}, inOne, inOther);
  }
  return mounts;
}

const NOT_THERE: Refusal = {errno: 'ENOENT', during: 'read the snapshot'};

type Tables = {readonly byInode: ReadonlyMap<string, Seen<Table>> /** nsview's own. */; readonly own: string | null};

function tablesOf({mountNamespaces, details, host}: Snapshot): Tables {
  const outside = details?.outside ?? {devices: [], peerGroups: []};
  const {mnt} = host.namespaces;
  return {
    byInode: new Map(mountNamespaces.map(({inode, mounts}) => [inode, isRefusal(mounts) ? mounts : {mounts, outside}])),
    own: isRefusal(mnt) ? null : mnt,
  };
}

function learnPids(pairs: readonly Pair[], learn: (a: number, b: number) => void): void {
  for (const {a, b} of pairs) {
    learn(a.tid ?? a.pid, b.tid ?? b.pid);
    const [one, other] = [a.process.nspid, b.process.nspid];
    if (isRefusal(one) || isRefusal(other)) continue;
    for (const [index, pid] of one.toReversed().entries()) {
      const partner = other.at(-1 - index);
      if (partner !== undefined) learn(pid, partner);
    }
  }
}

const where = (node: Node): string => (node.parent === null ? '' : ` below ${node.parent.comm} ${node.parent.pid}`);

function tellMissing(running: Running, nodes: readonly Node[], side: 'a' | 'b'): void {
  for (const node of nodes) {
    const kind = node.tid === null ? 'process' : 'thread';
    const there = `there${where(node)}`;
    running.differences.push({
      kind,
      a: side === 'a' ? comparedOf(node) : null,
      b: side === 'b' ? comparedOf(node) : null,
      what: kind,
      inA: side === 'a' ? there : 'missing',
      inB: side === 'b' ? there : 'missing',
    });
  }
}

/** Where the cgroups of one hierarchy lie, and what they limit. */
function compareCgroupsOf(
  running: Running,
  snapshots: readonly [Snapshot, Snapshot],
  hierarchy: string,
  {partners, firsts}: Divided,
): void {
  const [root] = running.pairs;
  if (root === undefined || isRefusal(root.a.cgroup) || isRefusal(root.b.cgroup)) return;
  const is = (controllers: readonly string[]) => hierarchyName(controllers) === hierarchy;
  const [a, b] = [cgroupSide(snapshots[0], root.a.cgroup, is), cgroupSide(snapshots[1], root.b.cgroup, is)];
  for (const [one, other] of partners) {
    const pair = firsts.get(one);
    if (pair === undefined) continue;
    running.facts++;
    for (const {what, a: inA, b: inB} of compareCgroups(a, b, one, other, running.same))
      tell(running, {kind: 'cgroup', pair, what: `${what} (${hierarchy})`}, inA, inB);
  }
}

/** Who is in what together; returns the namespaces of A by those of B, and how many namespaces and mounts were compared. */
function compareMemberships(
  running: Running,
  snapshots: readonly [Snapshot, Snapshot],
  memberships: readonly Membership[],
  maps: readonly Mapping[],
) {
  const partners = new Map<string, string>();
  const spaces: {readonly type: string; readonly divided: Divided}[] = [];
  for (const membership of memberships) {
    const divided = divide(membership, running.pairs);
    running.facts += divided.compared;
    for (const [why, times] of divided.refused) count(running.notCompared, why, times);
    for (const {pair, way, a, b, refused} of divided.differences) tell(running, {kind: membership.of, pair, what: way}, a, b, refused);
    if (membership.of === 'cgroup') compareCgroupsOf(running, snapshots, membership.kind, divided);
    if (membership.of !== 'namespace') continue;
    spaces.push({type: membership.kind, divided});
    for (const [one, other] of divided.partners) partners.set(one, other);
  }
  const firsts = new Map(spaces.flatMap(({divided}) => [...divided.firsts]));
  const whose = (inode: string): readonly [string, string] | undefined => {
    const first = firsts.get(inode);
    return first === undefined ? undefined : [`that of ${nodeName(first.a)}`, `that of ${nodeName(first.b)}`];
  };
  const tables = spaces.find(({type}) => type === 'mnt')?.divided;
  const comparing = {same: running.same, partners, key: (text: string) => withoutNumbers(text, maps)};
  const mountPartners: MountPartners = new Map();
  const mounts = tables === undefined ? 0 : compareTables(running, snapshots, tables, comparing, mountPartners);
  const [a, b] = snapshots;
  const factsOf = spaceFacts(snapshots, partners, whose, running.same);
  for (const {type, divided} of spaces)
    for (const [one, other] of divided.partners) {
      const pair = divided.firsts.get(one);
      const link = type as NamespaceLink;
      // What lies outside is no isolation of the tree's.
      if (pair === undefined || (a.host.namespaces[link] === one && b.host.namespaces[link] === other)) continue;
      for (const fact of factsOf(one, other, type)) {
        const about = {kind: 'namespace', pair, what: fact.what} as const;
        const {equal} = fact;
        if (fact.missed === true && fact.a === null && fact.b === null) count(running.notCompared, `${fact.what}: not told`);
        if (!compareTexts(running, about, fact.a, fact.b, equal === undefined ? identical : () => equal)) continue;
        tell(running, about, isRefusal(fact.a) ? '' : (fact.a ?? ''), isRefusal(fact.b) ? '' : (fact.b ?? ''));
      }
    }
  return {partners, mounts, mountPartners};
}

/** Which fds lead to what their process could not reach by itself, or are of a socket that is connected with somebody outside. */
function outsideFds({sharing, details}: Snapshot): (node: Node, fd: OpenFd) => boolean {
  const outside = new Set(
    (sharing?.fds ?? []).flatMap(({pid, outside: fds}) =>
      isRefusal(fds)
        ? []
        : fds.flatMap(({fd, path, leads}) => (leads.kind === 'socket' && path.startsWith('socket:') ? [] : [`${pid} ${fd}`])),
    ),
  );
  const connected = sharing === undefined || isRefusal(sharing.unix) ? [] : sharing.unix;
  // Of those that have the same socket one is told.
  const told = new Set(connected.map(({pid, fd}) => `${pid} ${fd}`));
  const sockets = new Set<string>();
  for (const {pid, fds} of details?.processes ?? [])
    for (const {fd, link} of isRefusal(fds) ? [] : fds) if (told.has(`${pid} ${fd}`)) sockets.add(link);
  return ({pid, tid}, {fd, link}) => sockets.has(link) || (tid === null && outside.has(`${pid} ${fd}`));
}

/** Where its root, cwd and program lie: paths are the same text in another mount namespace. */
const PLACES = [
  ['root', 'where its root lies'],
  ['cwd', 'where its cwd lies'],
  ['exe', 'where its program lies'],
] as const;

function comparePlaces(running: Running, snapshots: readonly [Snapshot, Snapshot], apart: MountsApart): void {
  const [a, b] = snapshots.map(({sharing}) => {
    const found = new Map<string, string>();
    for (const {pid, outside} of sharing?.fds ?? [])
      for (const {fd, link = 'cwd', leads} of isRefusal(outside) ? [] : outside)
        if (fd === null) found.set(`${pid} ${link}`, leads.kind === 'root' ? 'outside of its root' : 'outside of its mounts');
    return found;
  });
  if (a === undefined || b === undefined) return;
  for (const pair of running.pairs) {
    if (pair.a.tid !== null || pair.b.tid !== null || pair.a.details === null || pair.b.details === null) continue;
    for (const [link, what] of PLACES) {
      const of = (found: ReadonlyMap<string, string>, {pid}: Node) => found.get(`${pid} ${link}`) ?? 'within its root and mounts';
      const [inA, inB] = [of(a, pair.a), of(b, pair.b)];
      running.facts++;
      if (inA !== inB) tell(running, {kind: 'place', pair, what}, inA, inB);
      const path = ({details, process}: Node) => (link === 'exe' ? process.exe : (details?.[link] ?? null));
      const [pathA, pathB] = [path(pair.a), path(pair.b)];
      // Another path has been told.
      if (pathA === null || pathB === null || isRefusal(pathA) || isRefusal(pathB) || !running.same(pathA, pathB)) continue;
      const mounts = apart(pair, pair.a.details.mounts?.[link], pair.b.details.mounts?.[link]);
      if (mounts !== null) tell(running, {kind: 'place', pair, what: `${what}, ${pathA}`}, `on ${mounts[0]}`, `on ${mounts[1]}`);
    }
  }
}

/** The network namespace of each socket that is of another than who has it. */
function socketNetworks({sharing}: Snapshot): Map<string, string> {
  const found = new Map<string, string>();
  for (const {outside} of sharing?.fds ?? [])
    for (const {path, leads} of isRefusal(outside) ? [] : outside) if (leads.kind === 'socket') found.set(path, leads.inode);
  return found;
}

function compareOpen(
  running: Running,
  [a, b]: readonly [Snapshot, Snapshot],
  partners: ReadonlyMap<string, string>,
  apart: MountsApart,
): void {
  const {pairs, same} = running;
  const found = compareFds({
    pairs,
    same,
    partners,
    apart,
    own: {a: a.host.namespaces.net, b: b.host.namespaces.net},
    isOutside: {a: outsideFds(a), b: outsideFds(b)},
    networks: {a: socketNetworks(a), b: socketNetworks(b)},
  });
  running.facts += found.compared;
  for (const [why, times] of found.refused) count(running.notCompared, why, times);
  for (const {pair, what, a: inA, b: inB} of found.differences) tell(running, {kind: 'fds', pair, what}, inA, inB);
  for (const {pair, a: inA, b: inB} of found.oneSided)
    tellRefusal(running, {kind: 'fds', pair, what: 'fds'}, inA, inB, fds => `${fds.length} open`);
}

/** Who shares memory is known where the maps of all of the tree were read. */
function compareShared(running: Running, snapshots: readonly [Snapshot, Snapshot]): void {
  const [a, b] = snapshots.map(({sharing}) => sharing?.memory);
  if (snapshots.every(({sharing}) => sharing === undefined)) return;
  const [toldA, toldB] = [a, b].map(memory => memory !== undefined && memory.refused === 0);
  if (toldA !== true || toldB !== true) {
    tellUntold(running, [{kind: 'sharing', what: 'memory that is mapped shared', a: toldA === true, b: toldB === true}]);
    return;
  }
  running.facts += Math.max(a?.groups.length ?? 0, b?.groups.length ?? 0, 1);
  for (const {pair, what, a: inA, b: inB} of compareMemory(running.pairs, snapshots, running.same))
    tell(running, {kind: 'sharing', pair, what}, inA, inB);
  const unseen = (a?.refusedOutside ?? 0) + (a?.left ?? 0) + (b?.refusedOutside ?? 0) + (b?.left ?? 0);
  if (unseen > 0) count(running.notCompared, 'memory shared with processes whose maps were refused, or are too many', unseen);
}

/** What is compared of each process by itself. */
const FACTS: readonly {readonly kind: Difference['kind']; readonly facts: readonly PlainFact[]}[] = [
  {kind: 'place', facts: PLACE_FACTS},
  {kind: 'credentials', facts: [...CREDENTIAL_FACTS, ...DETAIL_FACTS]},
  {kind: 'limits', facts: LIMIT_FACTS},
];

const DETAILS = 'fds, root, cwd, limits, labels and maps, which only a snapshot of a tree (-p PID) has';

const withoutDetails = ({details: _details, ...snapshot}: Snapshot): Snapshot => snapshot;

/** What one snapshot does not tell is a difference, and what neither tells is not compared. */
function tellUntold(running: Running, untold: readonly Untold[]): void {
  const [root] = running.pairs;
  for (const {kind, what, a, b} of untold)
    if (root === undefined || a === b) count(running.notCompared, `${what}: not told, or not of all`);
    else tell(running, {kind, pair: root, what}, a ? 'told' : 'not told', b ? 'told' : 'not told', true);
}

/** Processes of which a snapshot has no more than all have. */
function noteLeft({notCompared, pairs}: Running, snapshots: readonly Snapshot[], zombies: number): void {
  if (snapshots.every(({details}) => details === undefined)) count(notCompared, DETAILS);
  const left = snapshots.reduce((sum, {details}) => sum + (details?.left ?? 0), 0);
  if (left > 0) count(notCompared, 'fds, root, cwd, limits and labels of processes beyond the first 4096', left);
  const refused = snapshots.reduce((sum, {sharing}) => sum + (sharing?.refusedOutside ?? 0), 0);
  if (refused > 0)
    count(notCompared, 'who outside of the tree shares file tables, memory and the like: the kernel refuses to compare some (kcmp)');
  // Only prctl(PR_GET_SECUREBITS) tells them, and to the thread itself alone: no file of /proc has them.
  count(notCompared, 'securebits, which the kernel tells to the thread itself alone');
  // A domain of Landlock has no file; /proc/keys lists those keys that its reader may view (keyrings(7)).
  count(notCompared, 'Landlock rules and keyrings, which the kernel does not tell of others');
  // PTRACE_SECCOMP_GET_FILTER reads a program of a thread that is stopped for it: that would disturb it (ptrace(2)).
  const filtered = pairs.filter(({a, b}) =>
    [a, b].every(({credentials}) => credentials !== null && !isRefusal(credentials) && credentials.seccomp === 2),
  );
  if (filtered.length > 0) count(notCompared, 'programs of seccomp filters, only their number', filtered.length);
  if (zombies > 0) count(notCompared, 'processes that have ended and wait for their parent', zombies);
}

/** Facts and groups are compared process by process; what only one side tells of is no equality. */
export function compareSnapshots(first: Snapshot, second: Snapshot, {names = false, maps = []}: CompareOptions = {}): Comparison {
  const asked = [first, second] as const;
  // What only one of them has cannot be compared process by process.
  const isOneSided = (asked[0].details === undefined) !== (asked[1].details === undefined);
  const [one, other] = isOneSided ? ([withoutDetails(asked[0]), withoutDetails(asked[1])] as const) : asked;
  const [a, b]: [Tree, Tree] = [treeOfSnapshot(one), treeOfSnapshot(other)];
  const {memberships, untold} = membershipsOf(a, b);
  const {pairs, onlyA, onlyB} = matchTrees(a, b, {
    facts: [...FACTS.flatMap(({facts}) => facts), {what: 'fds', read: fdsText}],
    memberships,
    holds: objectsOf,
    text: (value, which) => withoutNumbers(value, which === 'a' ? maps : []),
  });
  const {learn, same} = createRenaming(maps);
  learnPids(pairs, learn);
  const running: Running = {pairs, differences: [], notCompared: new Map(), same, facts: 0};
  tellUntold(running, untold);
  if (isOneSided)
    tellUntold(running, [{kind: 'place', what: DETAILS, a: asked[0].details !== undefined, b: asked[1].details !== undefined}]);
  tellMissing(running, onlyA, 'a');
  tellMissing(running, onlyB, 'b');
  const {partners, mounts, mountPartners} = compareMemberships(running, [one, other], memberships, maps);
  const apart = createMountsApart([one, other], mountPartners);
  comparePlaces(running, [one, other], apart);
  compareOpen(running, [one, other], partners, apart);
  compareShared(running, [one, other]);
  for (const pair of pairs) {
    for (const {kind, facts} of FACTS) for (const fact of facts) compareFact(running, pair, kind, fact);
    if (names) for (const fact of NAME_FACTS) compareFact(running, pair, 'name', fact);
  }
  noteLeft(running, [one, other], a.zombies + b.zombies);
  const rank = (difference: Difference) => DIFFERENCES.indexOf(difference.kind);
  const threads = pairs.filter(pair => pair.a.tid !== null).length;
  return {
    format: 'nsview/diff',
    version: 1,
    equal: running.differences.length === 0,
    differences: running.differences.sort((x, y) => rank(x) - rank(y)),
    compared: {processes: pairs.length - threads, threads, namespaces: partners.size, mounts, facts: running.facts},
    notCompared: [...running.notCompared].map(([why, times]) => (times > 1 ? `${why} (${times} times)` : why)),
  };
}
