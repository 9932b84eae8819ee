// Knows how to tell that mounts changed where no event tells of the calls that change them: every table that is watched is polled.

import type {MountsFact} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {type Reader, watchMounts} from './mount-watch.ts';
import {readMountinfo} from './mountinfo.ts';
import {readMountsFact} from './mounts-fact.ts';

/** Mount namespaces that are watched at most: each costs an fd. */
export const NAMESPACES_WATCHED = 256;
/** Milliseconds between looks at who is in which namespace. */
const LOOK = 500;
/** Milliseconds after a change: many at once are one. */
const CHANGES_GATHER = 20;
/** And at least so many times as long as their last reading took. */
const REST = 4;
/** Milliseconds of reading first tables in one go. */
const SLICE = 10;

export type MountFollowOptions = {
  /** A process in each mount namespace, the same ones as long as they live. */
  readonly readers: () => Iterable<Reader>;
  /** The table as it was and as it is, or only as it is where the former has been told. */
  readonly emit: (facts: readonly MountsFact[]) => void;
  /** So many namespaces are not watched, since there are too many. Told once. */
  readonly onTooMany: (leftOut: number) => void;
};

export function followMounts(options: MountFollowOptions): Disposable {
  /** As each was when it was last read, and whether that has been told. */
  const tables = new Map<string, {bytes: Buffer; fact: MountsFact | null}>();
  const changed = new Map<string, number>();
  let reading: NodeJS.Timeout | undefined;
  let pause = CHANGES_GATHER;
  let isTooMany = false;

  const read = () => {
    reading = undefined;
    const facts: MountsFact[] = [];
    const began = performance.now();
    for (const [inode, pid] of changed) {
      const before = tables.get(inode);
      const bytes = readMountinfo(pid);
      if (isRefusal(bytes) || before?.bytes.equals(bytes)) continue;
      const fact = readMountsFact(inode, pid, bytes);
      if (before !== undefined && before.fact === null) facts.push({...readMountsFact(inode, pid, before.bytes), at: fact.at});
      facts.push(fact);
      tables.set(inode, {bytes, fact});
    }
    changed.clear();
    if (facts.length > 0) options.emit(facts);
    pause = Math.max(CHANGES_GATHER, REST * (performance.now() - began));
  };

  const watched = watchMounts({
    most: NAMESPACES_WATCHED,
    changed: ({inode, pid}) => {
      changed.set(inode, pid);
      reading ??= setTimeout(read, pause);
    },
  });

  const look = () => {
    watched.release();
    const readers = [...options.readers()];
    const leftOut = watched.keep(readers);
    if (leftOut > 0 && !isTooMany) options.onTooMany(leftOut);
    isTooMany = leftOut > 0;
    const inodes = new Set(readers.map(({inode}) => inode));
    for (const inode of tables.keys()) if (!inodes.has(inode)) tables.delete(inode);
    const until = performance.now() + SLICE;
    for (const {inode, pid} of readers) {
      if (performance.now() > until) break;
      if (tables.has(inode) || !watched.watches(inode)) continue;
      const bytes = readMountinfo(pid);
      if (!isRefusal(bytes)) tables.set(inode, {bytes, fact: null});
    }
  };
  const timer = setInterval(look, LOOK);
  look();

  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      clearTimeout(reading);
      watched[Symbol.dispose]();
    },
  };
}
