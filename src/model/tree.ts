// Knows the rows of the isolation tree: which there are, and what each of them says.

import {type Arrangement, type Group, group} from './arrange.ts';
import {containerName} from './container.ts';
import {containersIn} from './containers-in.ts';
import {isRefusal} from './fact.ts';
import {dim, type Line, type Piece, plain, spread, strong, toned} from './line.ts';
import type {Namespace} from './names.ts';
import {NAMESPACE_LINKS, type NamespaceLink, typeOfLink} from './namespace.ts';
import {cells, fitCells, printable} from './printable.ts';
import {livesOn, type Process, type Thread} from './process.ts';
import {apartWords} from './thread-apart.ts';
import {endText, quoteArgument} from './timeline.ts';
import {namespaceOf, type World} from './world.ts';

export type TreeRow =
  | {
      readonly kind: 'process';
      readonly id: string;
      readonly depth: number;
      readonly process: Process;
      readonly folds: 'open' | 'folded' | null;
    }
  | {readonly kind: 'thread'; readonly id: string; readonly depth: number; readonly process: Process; readonly thread: Thread}
  /** All that is in one namespace or cgroup, where the tree is arranged by those. */
  | {
      readonly kind: 'group';
      readonly id: string;
      readonly depth: number;
      /** The first that is in it: what is told of the namespace or cgroup is told through it. */
      readonly process: Process | null;
      readonly group: Group;
      readonly folds: 'open' | 'folded' | null;
    }
  /** Ended children of `process` that are not kept one by one. */
  | {readonly kind: 'forgotten'; readonly id: string; readonly depth: number; readonly process: Process};

/** What of the view decides which rows there are: what is folded, how it is arranged, and the process that was made the root. */
export type Shape = {readonly folded: ReadonlySet<string>; readonly arrangement: Arrangement; readonly root: string | null};

/** The rows of a tree. They are made where they are looked at: of ten thousand a screen shows forty. */
export type Tree = {
  readonly count: number;
  readonly at: (index: number) => TreeRow | undefined;
  /** The rows from one index up to another, as Array.slice() has it; both at least 0. */
  readonly slice: (from: number, to: number) => readonly TreeRow[];
  /** Number of the row with that id. */
  readonly indexOf: (id: string) => number | undefined;
  /** Ids of the rows under which a row stands, the nearest first. */
  readonly above: (index: number) => readonly string[];
};

const cache = new WeakMap<World, {version: number; shape: Shape; tree: Tree}>();

const sameShape = (one: Shape, other: Shape): boolean =>
  one.folded === other.folded && one.arrangement === other.arrangement && one.root === other.root;

/** The process that was made the root, as long as it is remembered. */
export const rootOf = (world: World, root: string | null): Process | null => (root === null ? null : (world.byId.get(root) ?? null));

/** Every row that is not folded away, from the top. Kept until the world or the shape changes. */
export function treeOf(world: World, shape: Shape): Tree {
  const kept = cache.get(world);
  if (kept !== undefined && kept.version === world.version && sameShape(kept.shape, shape)) return kept.tree;
  const {folded, arrangement} = shape;
  const root = rootOf(world, shape.root);
  const from = root === null ? world.roots : [root];
  const tree = arrangement === 'process' ? byProcess(world, from, folded) : byGroup(world, from, folded, arrangement);
  cache.set(world, {version: world.version, shape: {folded, arrangement, root: shape.root}, tree});
  return tree;
}

/** Rows that a process has besides its own and those of its children: its threads that are apart, and how many children are not kept. */
const ownRows = (process: Process): number => process.threads.size + (process.forgotten > 0 ? 1 : 0);

const holdsAny = (process: Process): boolean => process.below > 0;

/** Rows that are folded away below a process. Few are folded: all others are not in the table. */
function hiddenBelow(world: World, tops: ReadonlySet<Process>, folded: ReadonlySet<string>): ReadonlyMap<Process, number> {
  const hidden = new Map<Process, number>();
  const isWithin = (process: Process): boolean => {
    for (let one = process; one.maker !== null && !tops.has(one); one = one.maker) if (folded.has(one.maker.id)) return true;
    return false;
  };
  for (const id of folded) {
    const process = world.byId.get(id);
    if (process === undefined || isWithin(process)) continue;
    for (let one: Process | null = process; one !== null; one = one.maker) hidden.set(one, (hidden.get(one) ?? 0) + process.below);
  }
  return hidden;
}

function byProcess(world: World, from: readonly Process[], folded: ReadonlySet<string>): Tree {
  const tops = new Set(from);
  const hidden = hiddenBelow(world, tops, folded);
  const sizeOf = (process: Process): number => 1 + process.below - (process.below > 0 ? (hidden.get(process) ?? 0) : 0);
  const isOpen = (process: Process): boolean => holdsAny(process) && !folded.has(process.id);
  const count = from.reduce((sum, process) => sum + sizeOf(process), 0);

  const rowOf = (process: Process, depth: number): TreeRow => ({
    kind: 'process',
    id: process.id,
    depth,
    process,
    folds: holdsAny(process) ? (folded.has(process.id) ? 'folded' : 'open') : null,
  });

  const slice = (first: number, end: number): readonly TreeRow[] => {
    const rows: TreeRow[] = [];
    /** Rows to be passed over. */
    let skip = first;
    const room = () => rows.length < end - first;
    /** What is gone through, from the top: lists of siblings, and which of them is next. */
    const levels: {readonly siblings: readonly Process[]; next: number}[] = [{siblings: from, next: 0}];
    const put = (make: () => TreeRow) => {
      if (skip > 0) skip--;
      else if (room()) rows.push(make());
    };
    for (let level = levels.at(-1); level !== undefined && room(); level = levels.at(-1)) {
      const process = level.siblings[level.next++];
      if (process === undefined) {
        levels.pop();
        continue;
      }
      const size = sizeOf(process);
      if (size <= skip) {
        skip -= size;
        continue;
      }
      const depth = levels.length - 1;
      put(() => rowOf(process, depth));
      if (!isOpen(process)) continue;
      for (const thread of process.threads.values())
        put(() => ({kind: 'thread', id: `${process.id}/${thread.tid}`, depth: depth + 1, process, thread}));
      if (process.forgotten > 0) put(() => ({kind: 'forgotten', id: `${process.id}/ended`, depth: depth + 1, process}));
      levels.push({siblings: process.children, next: 0});
    }
    return rows;
  };

  /** Number of the row of a process; undefined where something above it is folded, or it is not in this tree. */
  const indexOfProcess = (process: Process): number | undefined => {
    let index = 0;
    for (let one = process; ; ) {
      const top = tops.has(one);
      const {maker} = one;
      if (!top && (maker === null || !isOpen(maker))) return undefined;
      for (const sibling of top ? from : (maker?.children ?? [])) {
        if (sibling === one) break;
        index += sizeOf(sibling);
      }
      if (top || maker === null) return index;
      index += 1 + ownRows(maker);
      one = maker;
    }
  };

  const indexOf = (id: string): number | undefined => {
    const cut = id.indexOf('/');
    const process = world.byId.get(cut < 0 ? id : id.slice(0, cut));
    const at = process === undefined ? undefined : indexOfProcess(process);
    if (process === undefined || at === undefined || cut < 0) return at;
    if (!isOpen(process)) return undefined;
    const below = id.slice(cut + 1);
    if (below === 'ended') return process.forgotten > 0 ? at + 1 + process.threads.size : undefined;
    const tid = [...process.threads.keys()].indexOf(Number(below));
    return tid < 0 ? undefined : at + 1 + tid;
  };

  const at = (index: number): TreeRow | undefined => (index < 0 ? undefined : slice(index, index + 1)[0]);
  const above = (index: number): readonly string[] => {
    const row = at(index);
    const ids: string[] = [];
    let one = row === undefined ? null : row.kind === 'process' ? (tops.has(row.process) ? null : row.process.maker) : row.process;
    for (; one !== null; one = tops.has(one) ? null : one.maker) ids.push(one.id);
    return ids;
  };
  return {count, at, slice, indexOf, above};
}

/** A tree of which all rows are made. */
function ofRows(rows: readonly TreeRow[]): Tree {
  const found = new Map<string, number | undefined>();
  return {
    count: rows.length,
    at: index => rows[index],
    slice: (from, to) => rows.slice(from, to),
    // Few are ever asked for in one tree: a table of all of them would cost more than it saves.
    indexOf: id => {
      if (found.has(id)) return found.get(id);
      const at = rows.findIndex(row => row.id === id);
      const index = at < 0 ? undefined : at;
      found.set(id, index);
      return index;
    },
    above: index => {
      const ids: string[] = [];
      let depth = rows[index]?.depth ?? 0;
      for (let i = index - 1; i >= 0; i--) {
        const row = rows[i];
        if (row === undefined || row.depth >= depth) continue;
        ids.push(row.id);
        depth = row.depth;
      }
      return ids;
    },
  };
}

function byGroup(world: World, from: readonly Process[], folded: ReadonlySet<string>, arrangement: Exclude<Arrangement, 'process'>): Tree {
  const rows: TreeRow[] = [];
  const {groups, childrenOf} = group(from, arrangement, containersIn(world));
  /** Depth of the folded group that the rows are within. */
  let within = Number.POSITIVE_INFINITY;
  for (const [index, one] of groups.entries()) {
    if (one.depth > within) continue;
    const id = `${arrangement}:${one.key}`;
    const holds = one.tops.length > 0 || one.threads.length > 0 || (groups[index + 1]?.depth ?? 0) > one.depth;
    const isFolded = holds && folded.has(id);
    within = isFolded ? one.depth : Number.POSITIVE_INFINITY;
    const member = one.tops.find(top => top.end === null) ?? one.threads[0]?.process ?? one.tops[0] ?? null;
    rows.push({kind: 'group', id, depth: one.depth, process: member, group: one, folds: holds ? (isFolded ? 'folded' : 'open') : null});
    if (isFolded) continue;
    // Threads that are elsewhere stand where they are, where the tree is arranged by that.
    for (const {process, thread} of one.threads)
      rows.push({kind: 'thread', id: `${process.id}/${thread.tid}`, depth: one.depth + 1, process, thread});
    addProcesses(rows, folded, one.tops, one.depth + 1, childrenOf);
  }
  return ofRows(rows);
}

function addProcesses(
  rows: TreeRow[],
  folded: ReadonlySet<string>,
  from: readonly Process[],
  top: number,
  childrenOf: (process: Process) => readonly Process[],
): void {
  const waiting: Process[] = [];
  const depths: number[] = [];
  const wait = (processes: readonly Process[], depth: number) => {
    for (let i = processes.length - 1; i >= 0; i--) {
      const process = processes[i];
      if (process === undefined) continue;
      waiting.push(process);
      depths.push(depth);
    }
  };
  wait(from, top);
  for (let process = waiting.pop(); process !== undefined; process = waiting.pop()) {
    const depth = depths.pop() ?? 0;
    const children = childrenOf(process);
    const holds = children.length > 0 || process.forgotten > 0;
    const isFolded = holds && folded.has(process.id);
    rows.push({kind: 'process', id: process.id, depth, process, folds: holds ? (isFolded ? 'folded' : 'open') : null});
    if (!holds || isFolded) continue;
    if (process.forgotten > 0) rows.push({kind: 'forgotten', id: `${process.id}/ended`, depth: depth + 1, process});
    wait(children, depth + 1);
  }
}

/** What a process is compared with: its maker, or nsview itself for one whose maker is not known. */
export function spaceAbove(world: World, process: Process, link: NamespaceLink): Namespace | null {
  if (process.maker !== null) return process.maker.spaces[link] ?? null;
  return namespaceOf(world, world.header.host.namespaces[link]);
}

/** The namespaces in which it differs from what is above it. */
function differences(world: World, process: Process): Namespace[] {
  const found: Namespace[] = [];
  for (const link of NAMESPACE_LINKS) {
    if (link !== typeOfLink(link)) continue;
    const own = process.spaces[link] ?? null;
    const above = spaceAbove(world, process, link);
    if (own !== null && above !== null && own !== above) found.push(own);
  }
  return found;
}

function marks(namespaces: readonly Namespace[]): Piece[] {
  const pieces: Piece[] = [];
  for (const namespace of namespaces) {
    if (pieces.length > 0) pieces.push(plain(' '));
    // Back in nsview's own namespace is no step further in.
    pieces.push(toned(`ns${namespace.index}`, `${namespace.index === 0 ? '-' : '+'}${namespace.type}`));
  }
  return pieces;
}

/** The pids that a process has in the namespaces further in; empty where it has but one. */
export function innerPids(process: Process): readonly number[] {
  if (process.nspid === null || isRefusal(process.nspid)) return [];
  return process.nspid.slice(1);
}

/** The container that begins with this process. */
function containerMark(world: World, process: Process): Piece[] {
  const containerOf = containersIn(world);
  const container = containerOf(process);
  if (container === null || (process.maker !== null && containerOf(process.maker)?.key === container.key)) return [];
  return [toned('accent', `[${containerName(container)}]`)];
}

function remark(process: Process): Piece[] {
  if (process.end !== null) {
    const bad = process.end.signal !== undefined;
    return [bad ? toned('bad', endText(process.end)) : dim(endText(process.end))];
  }
  if (process.state === 'Z') return [toned('warn', livesOn(process) ? 'leader ended' : 'zombie')];
  if (process.refused !== null) return [toned('bad', `not traced: ${printable(process.refused.errno)}`)];
  if (process.stopped !== null) return [toned('warn', `stopped by ${printable(process.stopped)}`)];
  const maker = process.born?.by;
  // clone(2), CLONE_PARENT: the parent is the maker's parent. A parent that changed later is a subreaper or init.
  if (maker !== undefined && process.ppid !== maker.pid) {
    const flags = process.born?.flags;
    const asked = flags !== undefined && !isRefusal(flags) && flags.includes('CLONE_PARENT');
    return [dim(asked ? `child of ${process.ppid}` : `parent now ${process.ppid}`)];
  }
  return [];
}

const indentOf = (depth: number, width: number): string => {
  const most = Math.max(0, Math.floor(width / 2) - 4);
  const wanted = depth * 2;
  return wanted <= most ? ' '.repeat(wanted) : `${' '.repeat(Math.max(0, most - 3))}⋯  `;
};

/** One row in exactly `width` cells: fold mark and name, then what differs, then what is to be remarked. */
export function treeLine(world: World, row: TreeRow, width: number, isMatch: boolean): Line {
  const indent = indentOf(row.depth, width);
  switch (row.kind) {
    case 'group': {
      const {count} = row.group;
      const fold = row.folds === null ? '· ' : row.folds === 'folded' ? '▸ ' : '▾ ';
      const counted =
        count === 0 && row.group.threads.length > 0 ? 'threads only' : count === 0 ? '' : `${count} process${count === 1 ? '' : 'es'}`;
      return spread([plain(indent), dim(fold), ...row.group.label], [dim(counted)], width);
    }
    case 'forgotten':
      return spread([plain(indent), dim(`… ${row.process.forgotten} more ended`)], [], width);
    case 'thread': {
      const found = Object.values(row.thread.spaces).filter(space => space !== null);
      const own = new Set<Namespace>(found);
      const marked = marks([...own]);
      const words = apartWords(row.thread.apart).join(', ');
      const size = (pieces: readonly Piece[]) => pieces.reduce((sum, piece) => sum + cells(piece.text), 0);
      const name = [plain(indent), dim('⌇ '), plain(printable(row.thread.comm))];
      const whole = [...name, dim(` thread ${row.thread.tid}`)];
      // The sign says already that it is a thread, where there is no room for the word.
      const isTight = words !== '' && size(whole) + size(marked) + cells(words) + 3 > width;
      const left = isTight ? [...name, dim(` ${row.thread.tid}`)] : whole;
      const used = size(left) + size(marked);
      const told: Piece[] =
        words === '' ? [] : [...(marked.length > 0 ? [plain(' ')] : []), toned('accent', fitCells(words, Math.max(8, width - used - 3)))];
      return joined(left, [...marked, ...told], [], width);
    }
    case 'process': {
      const {process} = row;
      const isEnded = process.end !== null;
      const fold = row.folds === null ? '· ' : row.folds === 'folded' ? '▸ ' : '▾ ';
      const name = printable(process.comm) || '?';
      const inner = innerPids(process);
      const left: Piece[] = [
        plain(indent),
        dim(fold),
        isMatch ? toned('match', name) : isEnded ? dim(name) : process === world.target ? strong(name) : plain(name),
        isEnded ? dim(` ${process.pid}`) : plain(` ${process.pid}`),
      ];
      if (inner.length > 0) left.push(dim(` (${inner.join(' ')})`));
      const differs = differences(world, process);
      const named = isEnded ? [] : containerMark(world, process);
      return joined(
        left,
        isEnded
          ? differs.map(space => dim(`+${space.type} `))
          : [...named, ...(named.length > 0 && differs.length > 0 ? [plain(' ')] : []), ...marks(differs)],
        remark(process),
        width,
        argumentsOf(process),
      );
    }
    default:
      return row satisfies never;
  }
}

function argumentsOf(process: Process): string {
  if (process.argv === null || isRefusal(process.argv) || process.argv.length < 2) return '';
  return process.argv.slice(1, 12).map(quoteArgument).join(' ');
}

/** The differences begin in the same column in every row, as far as names allow. */
function joined(left: Piece[], differs: Piece[], remarks: Piece[], width: number, args = ''): Line {
  const size = (pieces: readonly Piece[]) => pieces.reduce((sum, piece) => sum + cells(piece.text), 0);
  const right: Piece[] = [...differs];
  if (remarks.length > 0) right.push(plain(differs.length > 0 ? '  ' : ''), ...remarks);
  const stop = Math.max(20, Math.floor(width * 0.56));
  const used = size(left);
  const rightSize = size(right);
  const room = Math.max(0, Math.min(stop, width - rightSize - 2) - used - 1);
  const whole = rightSize === 0 ? width - used - 2 : room;
  const shown = args !== '' && whole >= 8 ? [...left, dim(` · ${fitCells(args, whole - 2)}`)] : left;
  const at = size(shown);
  if (rightSize === 0) return spread(shown, [], width);
  // Right of the common column; further left where what is to be said is long.
  const begin = Math.max(at + 1, Math.min(stop, width - rightSize - 1));
  if (begin + rightSize > width) return spread(shown, [...right, plain(' ')], width, 16);
  return spread([...shown, plain(' '.repeat(begin - at)), ...right], [], width);
}
