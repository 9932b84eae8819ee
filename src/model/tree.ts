// Knows the rows of the isolation tree: which there are, and what each of them says.

import {type Arrangement, type Group, group} from './arrange.ts';
import {containerName} from './container.ts';
import {containersIn} from './containers-in.ts';
import {isRefusal} from './fact.ts';
import {dim, type Line, type Piece, plain, spread, strong, toned} from './line.ts';
import type {Namespace} from './names.ts';
import {NAMESPACE_LINKS, type NamespaceLink, typeOfLink} from './namespace.ts';
import {cells, fitCells, printable} from './printable.ts';
import type {Process, Thread} from './process.ts';
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

export type Tree = {
  readonly rows: readonly TreeRow[];
  /** Number of the row with that id. */
  readonly indexOf: (id: string) => number | undefined;
};

/** Few rows are ever asked for in one tree: a table of all of them would cost more than it saves. */
function finder(rows: readonly TreeRow[]): (id: string) => number | undefined {
  const found = new Map<string, number | undefined>();
  return id => {
    if (found.has(id)) return found.get(id);
    const at = rows.findIndex(row => row.id === id);
    const index = at < 0 ? undefined : at;
    found.set(id, index);
    return index;
  };
}

const cache = new WeakMap<World, {version: number; shape: Shape; tree: Tree}>();

const sameShape = (one: Shape, other: Shape): boolean =>
  one.folded === other.folded && one.arrangement === other.arrangement && one.root === other.root;

/** The process that was made the root, as long as it is remembered. */
export const rootOf = (world: World, root: string | null): Process | null => (root === null ? null : (world.byId.get(root) ?? null));

/** Every row that is not folded away, from the top. Kept until the world or the shape changes. */
export function treeOf(world: World, shape: Shape): Tree {
  const kept = cache.get(world);
  if (kept !== undefined && kept.version === world.version && sameShape(kept.shape, shape)) return kept.tree;
  const rows: TreeRow[] = [];
  const {folded, arrangement} = shape;
  const root = rootOf(world, shape.root);
  const from = root === null ? world.roots : [root];
  if (arrangement === 'process') addProcesses(rows, folded, from, 0, process => process.children, true);
  else {
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
      for (const {process, thread} of one.threads)
        rows.push({kind: 'thread', id: `${process.id}/${thread.tid}`, depth: one.depth + 1, process, thread});
      // Threads that are elsewhere stand where they are, where the tree is arranged by that.
      addProcesses(rows, folded, one.tops, one.depth + 1, childrenOf, false);
    }
  }
  const tree = {rows, indexOf: finder(rows)};
  cache.set(world, {version: world.version, shape: {folded, arrangement, root: shape.root}, tree});
  return tree;
}

type ProcessRow = TreeRow & {readonly kind: 'process'};

/** A tree is made anew with every change, and almost all of its rows are as they were: ten thousand new ones a time are work for the collector. */
const processRows = new WeakMap<Process, ProcessRow>();

function processRow(process: Process, depth: number, folds: ProcessRow['folds']): ProcessRow {
  const kept = processRows.get(process);
  if (kept !== undefined && kept.depth === depth && kept.folds === folds) return kept;
  const row: ProcessRow = {kind: 'process', id: process.id, depth, process, folds};
  processRows.set(process, row);
  return row;
}

function addProcesses(
  rows: TreeRow[],
  folded: ReadonlySet<string>,
  from: readonly Process[],
  top: number,
  childrenOf: (process: Process) => readonly Process[],
  threads: boolean,
): void {
  // A stack, not recursion: a chain of forks may be deeper than JavaScript's stack.
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
    const holds = children.length > 0 || (threads && process.threads.size > 0) || process.forgotten > 0;
    const isFolded = holds && folded.has(process.id);
    rows.push(processRow(process, depth, holds ? (isFolded ? 'folded' : 'open') : null));
    if (!holds || isFolded) continue;
    if (threads)
      for (const thread of process.threads.values())
        rows.push({kind: 'thread', id: `${process.id}/${thread.tid}`, depth: depth + 1, process, thread});
    if (process.forgotten > 0) rows.push({kind: 'forgotten', id: `${process.id}/ended`, depth: depth + 1, process});
    wait(children, depth + 1);
  }
}

/** Number of the row under which a row stands; undefined at the top. */
export function rowAbove(rows: readonly TreeRow[], index: number): number | undefined {
  const depth = rows[index]?.depth ?? 0;
  for (let i = index - 1; i >= 0; i--) if ((rows[i]?.depth ?? 0) < depth) return i;
  return undefined;
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
  if (process.state === 'Z') return [toned('warn', 'zombie')];
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
