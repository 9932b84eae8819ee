// Knows how to read on which mounts the root, directory, program and open files of a process are: a path may lead to another mount by now.

import type {Mount, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {loadNative} from './native.ts';

/** Of nsv_use (native/nsview.h), as far as they are asked for. */
const LINKS = ['cwd', 'root', 'exe'] as const;
const FD = 3;
const ROWS = 4096;
const ROW = 4;

export type MountsUsed = {
  readonly links: {readonly [link in (typeof LINKS)[number]]?: number};
  /** By `tid fd`; the process itself is tid 0. */
  readonly fds: ReadonlyMap<string, number>;
};

/** Ids of mounts; only those of `tables`, by mount namespace, are told. */
export function createMountsUsed(tables: ReadonlyMap<string, Seen<readonly Mount[]>>) {
  const known = new Map<string, BigInt64Array>();
  const rows = new BigInt64Array(ROWS * ROW);
  const idsOf = (inode: string): BigInt64Array => {
    let ids = known.get(inode);
    if (ids === undefined) {
      const mounts = tables.get(inode) ?? [];
      ids = BigInt64Array.from(isRefusal(mounts) ? [] : mounts.map(({id}) => BigInt(id))).sort();
      known.set(inode, ids);
    }
    return ids;
  };
  return (pid: number, space: Seen<string>): MountsUsed => {
    const ids = isRefusal(space) ? new BigInt64Array() : idsOf(space);
    const links: {[link in (typeof LINKS)[number]]?: number} = {};
    const fds = new Map<string, number>();
    const count = ids.length === 0 ? 0 : loadNative().mountUses(pid, ids, ids.length, new BigInt64Array(), -1, rows, ROWS);
    for (let row = 0; row < count; row++) {
      const [what = 0, number = 0, mount = 0, tid = 0] = Array.from(rows.subarray(row * ROW, (row + 1) * ROW), Number);
      const link = LINKS[what];
      if (what === FD) fds.set(`${tid} ${number}`, mount);
      else if (link !== undefined && tid === 0) links[link] = mount;
    }
    return {links, fds};
  };
}
