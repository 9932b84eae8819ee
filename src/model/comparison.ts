// Knows whether the isolation of two trees of processes is equal up to renaming of ids, or where it is not.

import {CREDENTIAL_FACTS, NAME_FACTS, type PlainFact, refusedText} from './comparison-facts.ts';
import {matchTrees} from './comparison-match.ts';
import {divide, membershipsOf} from './comparison-membership.ts';
import {compareMounts, createMountNumbers, type Table} from './comparison-mounts.ts';
import {type Node, type Pair, type Tree, treeOfSnapshot} from './comparison-tree.ts';
import {isRefusal, type Seen, type Snapshot} from './fact.ts';
import {createRenaming, type Mapping, withoutNumbers} from './renaming.ts';

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

/** Says what stands otherwise, or why it cannot be said. */
function compareFact(running: Running, pair: Pair, kind: Difference['kind'], fact: PlainFact): void {
  const {read, told, what} = fact;
  const [a, b] = [read(pair.a), read(pair.b)];
  if (a === null && b === null) return;
  const tell = (inA: string, inB: string, refused = false) =>
    running.differences.push({kind, a: comparedOf(pair.a), b: comparedOf(pair.b), what, inA, inB, ...(refused ? {refused: true} : {})});
  if (a === null || b === null) {
    count(running.notCompared, `${what}: one of the snapshots does not tell`);
    return;
  }
  if (isRefusal(a) || isRefusal(b)) {
    if (isRefusal(a) && isRefusal(b) && a.errno === b.errno) count(running.notCompared, `${what}: ${a.during}: ${a.errno}`);
    else tell(isRefusal(a) ? refusedText(a) : a, isRefusal(b) ? refusedText(b) : b, true);
    return;
  }
  running.facts++;
  if (running.same(a, b)) return;
  // What a thread has of its process is said there.
  if (pair.a.tid !== null && pair.above !== null && read(pair.above.a) === a && read(pair.above.b) === b) return;
  tell(...(told?.(a, b) ?? [a, b]));
}

function compareTables(
  running: Running,
  tables: {readonly a: Tables; readonly b: Tables},
  spaces: ReadonlyMap<string, string>,
  firsts: ReadonlyMap<string, Pair>,
  renaming: ReturnType<typeof createRenaming>,
  maps: readonly Mapping[],
): number {
  const numbers = createMountNumbers();
  let mounts = 0;
  for (const [inA, inB] of spaces) {
    const [one, other] = [tables.a.byInode.get(inA), tables.b.byInode.get(inB)];
    const first = firsts.get(inA);
    if (first === undefined) continue;
    if (tables.a.own === inA && tables.b.own === inB) {
      count(running.notCompared, 'mounts that nsview sees itself: those processes have no mount namespace of their own');
      continue;
    }
    const who = {kind: 'mount', a: comparedOf(first.a), b: comparedOf(first.b)} as const;
    const readOf = (table: Seen<Table> | undefined): Seen<Table> => table ?? {errno: 'ENOENT', during: 'not in the snapshot'};
    const [a, b] = [readOf(one), readOf(other)];
    if (isRefusal(a) || isRefusal(b)) {
      if (isRefusal(a) && isRefusal(b) && a.errno === b.errno) count(running.notCompared, `mounts: ${a.during}: ${a.errno}`);
      else
        running.differences.push({
          ...who,
          what: 'mounts',
          inA: isRefusal(a) ? refusedText(a) : 'told',
          inB: isRefusal(b) ? refusedText(b) : 'told',
          refused: true,
        });
      continue;
    }
    const found = compareMounts(a, b, renaming, numbers, text => withoutNumbers(text, maps));
    mounts += found.compared;
    for (const {kind, point, what, a: inOne, b: inOther} of found.differences)
      running.differences.push({
        ...who,
        what: kind === 'missing' ? `${what} on ${point}` : `${what} of ${point}`,
        inA: inOne,
        inB: inOther,
      });
  }
  return mounts;
}

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

/** Facts and groups are compared process by process; what only one side tells of is no equality. */
export function compareSnapshots(one: Snapshot, other: Snapshot, {names = false, maps = []}: CompareOptions = {}): Comparison {
  const [a, b]: [Tree, Tree] = [treeOfSnapshot(one), treeOfSnapshot(other)];
  const {memberships, missing} = membershipsOf(a, b);
  const facts = CREDENTIAL_FACTS;
  const matching = matchTrees(a, b, {facts, memberships, text: (value, which) => withoutNumbers(value, which === 'a' ? maps : [])});
  const {pairs, onlyA, onlyB} = matching;
  const renaming = createRenaming(maps);
  learnPids(pairs, renaming.learn);
  const running: Running = {pairs, differences: [], notCompared: new Map(), same: renaming.same, facts: 0};
  for (const what of missing) count(running.notCompared, `${what}: not in both snapshots`);
  tellMissing(running, onlyA, 'a');
  tellMissing(running, onlyB, 'b');
  let [namespaces, mounts] = [0, 0];
  for (const membership of memberships) {
    const divided = divide(membership, pairs);
    running.facts += divided.compared;
    for (const [why, times] of divided.refused) count(running.notCompared, why, times);
    const {of: kind} = membership;
    if (kind === 'namespace') namespaces += divided.partners.size;
    for (const {pair, way, a: inA, b: inB, refused} of divided.differences)
      running.differences.push({kind, a: comparedOf(pair.a), b: comparedOf(pair.b), what: way, inA, inB, ...(refused ? {refused} : {})});
    if (membership.kind === 'mnt')
      mounts += compareTables(running, {a: tablesOf(one), b: tablesOf(other)}, divided.partners, divided.firsts, renaming, maps);
  }
  for (const pair of pairs) {
    for (const fact of facts) compareFact(running, pair, 'credentials', fact);
    if (names) for (const fact of NAME_FACTS) compareFact(running, pair, 'name', fact);
  }
  const rank = (difference: Difference) => DIFFERENCES.indexOf(difference.kind);
  const zombies = a.zombies + b.zombies;
  if (zombies > 0) count(running.notCompared, 'processes that have ended and wait for their parent', zombies);
  return {
    format: 'nsview/diff',
    version: 1,
    equal: running.differences.length === 0,
    differences: running.differences.sort((x, y) => rank(x) - rank(y)),
    compared: {
      processes: pairs.filter(pair => pair.a.tid === null).length,
      threads: pairs.filter(pair => pair.a.tid !== null).length,
      namespaces,
      mounts,
      facts: running.facts,
    },
    notCompared: [...running.notCompared].map(([why, times]) => (times > 1 ? `${why} (${times} times)` : why)),
  };
}
