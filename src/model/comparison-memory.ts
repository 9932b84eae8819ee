// Knows whether matched processes have the same memory mapped shared, with each other and with processes outside of their trees.

import {pairObjects} from './comparison-fds.ts';
import {nodeName, type Pair} from './comparison-tree.ts';
import type {Snapshot} from './fact.ts';

type MemoryDifference = {readonly pair: Pair; readonly what: string; readonly a: string; readonly b: string};

/** By its name, by which others may find it; what has been unlinked, or never had one, has none that says anything. */
function kindOf(path: string): string {
  if (path === '/dev/zero (deleted)') return 'anonymous memory';
  const [, named] = /^\/(memfd:.*) \(deleted\)$/s.exec(path) ?? [];
  if (named !== undefined) return named;
  const [, key] = /^\/SYSV([0-9a-f]+)/.exec(path) ?? [];
  if (key !== undefined) return key === '00000000' ? 'System V segment without a key' : `System V segment with key 0x${key}`;
  return path.endsWith(' (deleted)') ? 'a file that is unlinked' : path;
}

type Held = {readonly text: string; readonly kind: string; readonly id: string; readonly by: string[]};

const MOST_NAMED = 3;
/** Stands for all who are not of the tree. */
const OUTSIDE = -1;
const indexOf = (holder: string): number => Number.parseInt(holder, 10);
const word = (writes: boolean): string => (writes ? 'writes' : 'reads');

/** `nameOf`: a name of A as it is in B. What the processes of the pairs share. With those that are missing on the other side nothing can be shared there. */
function heldOf({sharing}: Snapshot, pairs: readonly Pair[], which: 'a' | 'b', nameOf: (kind: string) => string): Held[] {
  const index = new Map(pairs.flatMap((pair, at) => (pair[which].tid === null ? [[pair[which].pid, at] as const] : [])));
  return (sharing?.memory?.groups ?? []).flatMap(({path, processes, outside}, id): Held[] => {
    const by = processes.flatMap(({pid, writes}) => {
      const at = index.get(pid);
      return at === undefined ? [] : [`${at} ${word(writes)}`];
    });
    if (by.length === 0 || (by.length < 2 && outside === undefined)) return [];
    if (outside !== undefined) by.push(`${OUTSIDE} ${word(outside.some(({writes}) => writes))}`);
    return [{text: nameOf(kindOf(path)), kind: kindOf(path), id: String(id), by: by.sort()}];
  });
}

export function compareMemory(
  pairs: readonly Pair[],
  [first, second]: readonly [Snapshot, Snapshot],
  same: (a: string, b: string) => boolean,
): MemoryDifference[] {
  const words = (held: Held | null, which: 'a' | 'b'): string => {
    if (held === null) return 'not shared';
    const who = held.by
      .toSorted((x, y) => indexOf(x) - indexOf(y))
      .map(holder => {
        const node = pairs[indexOf(holder)]?.[which];
        return `${node === undefined ? 'others outside of the tree' : nodeName(node)} ${holder.slice(holder.indexOf(' ') + 1)}`;
      });
    return who.length > MOST_NAMED ? `${who.slice(0, MOST_NAMED).join(', ')}, ${who.length - MOST_NAMED} more` : who.join(', ');
  };
  const b = heldOf(second, pairs, 'b', name => name);
  const a = heldOf(first, pairs, 'a', name => b.find(({kind}) => same(name, kind))?.kind ?? name);
  return pairObjects(a, b).flatMap(([one, other]): MemoryDifference[] => {
    const indices = [...(one?.by ?? []), ...(other?.by ?? [])].map(indexOf).filter(index => index !== OUTSIDE);
    const pair = pairs[Math.min(...indices)];
    if (pair === undefined) return [];
    return [{pair, what: `shared memory, ${(one ?? other)?.kind}`, a: words(one, 'a'), b: words(other, 'b')}];
  });
}
