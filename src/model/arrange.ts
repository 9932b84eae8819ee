// Knows the ways to arrange the tree besides by who made whom: by a kind of namespace, by cgroup, or by container. Within a group a process still
// stands under its maker, where that is in the same group.

import {type Contained, type Container, containerName} from './container.ts';
import {isRefusal} from './fact.ts';
import {dim, type Piece, plain, toned} from './line.ts';
import type {NamespaceType} from './namespace.ts';
import {printable} from './printable.ts';
import type {Process, Thread} from './process.ts';
import {namespacePiece} from './timeline.ts';

export type Arrangement = 'process' | 'user' | 'pid' | 'mnt' | 'net' | 'cgroup' | 'container';

/** In the order in which a key goes through them. */
export const ARRANGEMENTS: readonly {readonly by: Arrangement; readonly title: string}[] = [
  {by: 'process', title: ''},
  {by: 'user', title: 'by user namespace'},
  {by: 'pid', title: 'by pid namespace'},
  {by: 'mnt', title: 'by mount namespace'},
  {by: 'net', title: 'by network namespace'},
  {by: 'cgroup', title: 'by cgroup'},
  {by: 'container', title: 'by container'},
];

/** A group with all that belongs to it. `depth` is that of the group itself; only cgroups lie within each other. */
export type Group = {
  readonly key: string;
  readonly depth: number;
  readonly label: readonly Piece[];
  /** Living processes in it, those of groups further in not counted. */
  count: number;
  /** Members whose maker is in another group. */
  readonly tops: Process[];
  readonly threads: {readonly process: Process; readonly thread: Thread}[];
};

export type Grouped = {
  readonly groups: readonly Group[];
  /** The children that are in the same group as their maker. */
  readonly childrenOf: (process: Process) => readonly Process[];
};

const NONE: readonly Process[] = [];

/** `from` and all that descends from them, makers first. */
function* descent(from: readonly Process[]): Generator<Process> {
  const waiting = [...from].reverse();
  for (let process = waiting.pop(); process !== undefined; process = waiting.pop()) {
    yield process;
    for (let i = process.children.length - 1; i >= 0; i--) {
      const child = process.children[i];
      if (child !== undefined) waiting.push(child);
    }
  }
}

export function group(
  from: readonly Process[],
  by: Exclude<Arrangement, 'process'>,
  containerOf: (process: Contained) => Container | null,
): Grouped {
  const members = [...descent(from)];
  if (by === 'container') return byContainer(members, containerOf);
  return by === 'cgroup' ? byCgroup(members) : byNamespace(members, by);
}

function byContainer(members: readonly Process[], containerOf: (process: Contained) => Container | null): Grouped {
  const groups = new Map<string, Group>();
  const none: Group = {key: '', depth: 0, label: [dim('in no container that is known')], count: 0, tops: [], threads: []};
  const childrenOf = sortInto(members, groups, process => {
    const container = containerOf(process);
    const key = container?.key ?? none.key;
    if (!groups.has(key))
      groups.set(
        key,
        container === null ? none : {key, depth: 0, label: [toned('accent', containerName(container))], count: 0, tops: [], threads: []},
      );
    return key;
  });
  const sorted = [...groups.values()].sort((a, b) => Number(a === none) - Number(b === none) || (a.key < b.key ? -1 : 1));
  return {groups: sorted, childrenOf};
}

/** Sorts members into groups; `keyOf` is asked once for each. */
function sortInto(members: readonly Process[], groups: Map<string, Group>, keyOf: (process: Process) => string): Grouped['childrenOf'] {
  const keys = new Map<Process, string>();
  const children = new Map<Process, Process[]>();
  for (const process of members) {
    const key = keyOf(process);
    keys.set(process, key);
    const found = groups.get(key);
    if (found === undefined) continue;
    if (process.end === null) found.count++;
    const {maker} = process;
    if (maker === null || keys.get(maker) !== key) found.tops.push(process);
    else {
      const siblings = children.get(maker);
      if (siblings === undefined) children.set(maker, [process]);
      else siblings.push(process);
    }
  }
  return process => children.get(process) ?? NONE;
}

const UNKNOWN = '?';
const REFUSED = '!';

function byNamespace(members: readonly Process[], type: NamespaceType & Arrangement): Grouped {
  const groups = new Map<string, Group>();
  const at = (key: string, label: () => readonly Piece[]): Group => {
    let found = groups.get(key);
    if (found === undefined) {
      found = {key, depth: 0, label: label(), count: 0, tops: [], threads: []};
      groups.set(key, found);
    }
    return found;
  };
  const order = new Map<string, number>();
  const childrenOf = sortInto(members, groups, process => {
    const space = process.spaces[type] ?? null;
    if (space === null) {
      const seen = process.links[type];
      const key = isRefusal(seen) ? `${REFUSED}${seen.errno}` : UNKNOWN;
      order.set(key, Number.MAX_SAFE_INTEGER);
      at(key, () =>
        isRefusal(seen) ? [toned('bad', printable(seen.errno)), dim(` (${printable(seen.during)})`)] : [dim('not known yet')],
      );
      return key;
    }
    const key = `${space.index}:${space.inode}`;
    order.set(key, space.index);
    at(key, () => [namespacePiece(space), ...(space.index === 0 ? [dim(' nsview’s own')] : [])]);
    return key;
  });
  // A thread may be in a namespace that no process is in.
  for (const process of members)
    for (const thread of process.threads.values()) {
      const space = thread.spaces[type] ?? null;
      if (space === null) continue;
      const key = `${space.index}:${space.inode}`;
      order.set(key, space.index);
      at(key, () => [namespacePiece(space)]).threads.push({process, thread});
    }
  const sorted = [...groups.values()].sort((a, b) => (order.get(a.key) ?? 0) - (order.get(b.key) ?? 0) || (a.key < b.key ? -1 : 1));
  return {groups: sorted, childrenOf};
}

/** The hierarchy that tells the processes apart best: of several with as many paths, the one with the lowest number. */
function tellingHierarchy(members: readonly Process[]): number | null {
  const paths = new Map<number, Set<string>>();
  for (const {cgroup} of members) {
    if (cgroup === null || isRefusal(cgroup)) continue;
    for (const {hierarchy, path} of cgroup) {
      const known = paths.get(hierarchy);
      if (known === undefined) paths.set(hierarchy, new Set([path]));
      else known.add(path);
    }
  }
  let best: number | null = null;
  for (const [hierarchy, known] of [...paths].sort(([a], [b]) => a - b))
    if (best === null || known.size > (paths.get(best)?.size ?? 0)) best = hierarchy;
  return best;
}

function byCgroup(members: readonly Process[]): Grouped {
  const hierarchy = tellingHierarchy(members);
  const pathOf = ({cgroup}: Process): string => {
    if (cgroup === null) return UNKNOWN;
    if (isRefusal(cgroup)) return `${REFUSED}${cgroup.errno}`;
    return cgroup.find(one => one.hierarchy === hierarchy)?.path ?? UNKNOWN;
  };
  const used = new Set(members.map(pathOf));
  // What lies between two cgroups is shown too, so that depth means the same everywhere.
  const paths = new Set<string>();
  for (const path of used) {
    if (!path.startsWith('/')) continue;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) paths.add(path.slice(0, end));
    paths.add('/');
  }
  const parts = (path: string): string[] => (path === '/' ? [] : path.slice(1).split('/'));
  const inOrder = (a: string, b: string): number => {
    const [one, other] = [parts(a), parts(b)];
    for (let i = 0; i < Math.min(one.length, other.length); i++) {
      const [x = '', y = ''] = [one[i], other[i]];
      if (x !== y) return x < y ? -1 : 1;
    }
    return one.length - other.length;
  };
  const groups = new Map<string, Group>();
  for (const path of [...paths].sort(inOrder)) {
    const names = parts(path);
    groups.set(path, {key: path, depth: names.length, label: [plain(printable(names.at(-1) ?? '/'))], count: 0, tops: [], threads: []});
  }
  for (const key of used) {
    if (key.startsWith('/')) continue;
    const label = key === UNKNOWN ? dim('no cgroup that is known') : toned('bad', printable(key.slice(1)));
    groups.set(key, {key, depth: 0, label: [label], count: 0, tops: [], threads: []});
  }
  const childrenOf = sortInto(members, groups, pathOf);
  return {groups: [...groups.values()], childrenOf};
}
