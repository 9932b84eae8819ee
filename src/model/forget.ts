// Knows how long ended processes are remembered, and lets them go.

import {grow, type Process} from './process.ts';

/** What of the world says who is remembered. */
export type Remembered = {
  /** Grows with every change. */
  version: number;
  /** CLOCK_MONOTONIC of the last fact or tick, in nanoseconds. */
  now: number;
  /** The newest process of each pid. */
  readonly byPid: Map<number, Process>;
  readonly byId: Map<string, Process>;
  /** Processes without a known maker, in order of arrival. */
  readonly roots: Process[];
  /** The process that was launched or attached to. */
  target: Process | null;
  /** Never forgotten: what a person looks at. */
  pinned: string | null;
  /** Ended processes in the order of their end, and when they were last looked through. */
  readonly ended: Process[];
  swept: number;
};

/** Seconds of fact time for which an ended process stays in the tree; longer where it had a namespace of its own. */
const STAYS = 5e9;
const STAYS_ISOLATED = 20e9;
/** How often ended processes are looked through. */
const SWEEP = 250e6;
/** At most so many ended leaves stand under one parent. */
const ENDED_SHOWN = 8;

export function remove<T>(list: T[], item: T): void {
  const index = list.lastIndexOf(item);
  if (index >= 0) list.splice(index, 1);
}

/** Lets time pass without a fact, so that ended processes leave the screen. True where anything changed. */
export function passTime(world: Remembered, now: number): boolean {
  if (now > world.now) world.now = now;
  const version = world.version;
  forgetEnded(world);
  return world.version !== version;
}

function isForgettable(world: Remembered, process: Process): boolean {
  return process.children.length === 0 && process.id !== world.pinned && process !== world.target && process.maker !== null;
}

/** Ended leaves are dropped after their time; their number stays. */
export function forgetEnded(world: Remembered): void {
  if (world.now - world.swept < SWEEP) return;
  world.swept = world.now;
  let kept = 0;
  for (let i = 0; i < world.ended.length; i++) {
    const process = world.ended[i];
    if (process === undefined || process.end === null) continue;
    const age = world.now - process.end.at;
    // Ordered by their end: what follows is younger still.
    if (age < STAYS) {
      for (; i < world.ended.length; i++) {
        const rest = world.ended[i];
        if (rest !== undefined) world.ended[kept++] = rest;
      }
      break;
    }
    if (age < (process.opened.size > 0 ? STAYS_ISOLATED : STAYS) || !isForgettable(world, process)) world.ended[kept++] = process;
    else forget(world, process);
  }
  world.ended.length = kept;
}

/** Under one parent only so many ended leaves stay: the oldest goes first, one that had namespaces of its own last. */
export function crowd(world: Remembered, parent: Process): void {
  let count = 0;
  let oldest: Process | null = null;
  for (let i = parent.endedChildren.length - 1; i >= 0; i--) {
    const child = parent.endedChildren[i];
    if (child === undefined || !isForgettable(world, child)) continue;
    count++;
    if (oldest === null || child.opened.size === 0 || oldest.opened.size > 0) oldest = child;
  }
  if (count <= ENDED_SHOWN || oldest === null) return;
  remove(world.ended, oldest);
  forget(world, oldest);
}

function forget(world: Remembered, process: Process): void {
  world.version++;
  if (process.maker !== null) {
    remove(process.maker.children, process);
    remove(process.maker.endedChildren, process);
    grow(process.maker, (process.maker.forgotten > 0 ? 0 : 1) - 1 - process.below);
    process.maker.forgotten += 1 + process.forgotten;
  } else remove(world.roots, process);
  drop(world, process);
}

export function drop(world: Remembered, process: Process): void {
  world.byId.delete(process.id);
  if (world.byPid.get(process.pid) === process) world.byPid.delete(process.pid);
}
