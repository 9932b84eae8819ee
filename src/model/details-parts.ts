// Knows what all tabs of the details are made of.

import {isRefusal, type Mount, type Refusal} from './fact.ts';
import {dim, type Line, type Piece, spread, strong, toned, wrapWords} from './line.ts';
import type {Namespace} from './names.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {endText} from './timeline.ts';
import {innerPids} from './tree.ts';
import type {World} from './world.ts';

/** Lines by number; `line` is asked for the visible ones only. The heading stays while the rest scrolls. */
export type Details = {
  readonly heading: readonly Line[];
  readonly count: number;
  readonly line: (index: number) => Line;
  /** Where lines can be selected: those from number `first` on, each by an id. */
  readonly choice?: {
    readonly first: number;
    readonly idOf: (index: number) => number | undefined;
    readonly indexOf: (id: number) => number | undefined;
  };
};

/** What the details need besides the process. `live` is false for a tape: nothing more will be read. */
export type Look = {
  readonly width: number;
  readonly inodes: boolean;
  readonly live: boolean;
  /** The mount namespace to compare with, by its inode; `parent`: the one above the process. */
  readonly against?: string | null;
  /** The id of the mount of which it is shown what keeps it, in the place of the table. */
  readonly pins?: number | null;
};

export const fixed = (heading: readonly Line[], lines: readonly Line[]): Details => ({
  heading,
  count: lines.length,
  line: index => lines[index] ?? [],
});

export const said = (text: string, width: number): Line[] => wrapWords(text, width).map(row => [dim(row)]);

/** Refused in words: the errno as the kernel named it, and the call. */
export const refusalPieces = (refusal: Refusal): Line => [toned('bad', printable(refusal.errno)), dim(` (${printable(refusal.during)})`)];

export const nameOf = (process: Process): string => `${printable(process.comm) || '?'} ${process.pid}`;

export function heading(process: Process, right: Line, width: number): Line[] {
  const inner = innerPids(process);
  const inside = inner.length > 0 ? [dim(`, pid ${inner.join(' › ')} inside`)] : [];
  const leader = process.leader === undefined ? [] : [dim(`, a thread of ${nameOf(process.leader)}`)];
  const ended = process.end === null ? [] : [dim(`, ${endText(process.end)}`)];
  return [spread([strong(nameOf(process)), ...inside, ...leader, ...ended], right, width, 12), []];
}

export const inodePiece = (namespace: Namespace, look: Look): Piece[] => (look.inodes ? [dim(` ${namespace.inode}`)] : []);

export function mountsOf(world: World, space: Namespace): readonly Mount[] | null {
  const fact = world.mounts.get(space.inode);
  return fact === undefined || isRefusal(fact.mounts) ? null : fact.mounts;
}

/** Why there is no reading of what a tab shows: none is made of what has ended. */
export function unread(process: Process, look: Look, what: string): string {
  if (process.end !== null) return `It has ended, and ${what} was not read before: only what is on the screen is.`;
  return look.live ? 'Reading …' : `This tape holds no reading of ${what}.`;
}
