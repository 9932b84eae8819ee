// Knows how to read the mounts of one mount namespace, and who owns it. It needs little, since all that follows a program loads it.

import {isRefusal, type Mount, type MountsFact, type Seen} from '../model/fact.ts';
import {readLineage} from './lineage.ts';
import {decodeMountinfo, readMounts} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {readLink} from './proc-file.ts';

/** How many members are asked for their root before a partial view is taken. */
export const READERS_ASKED = 64;

/**
 * The mounts of a namespace through one of its members. A chrooted process sees only what lies below its root (mountinfo,
 * fs/proc_namespace.c), so one whose root is `/` goes first.
 */
export function readMountNamespace(inode: string, pids: readonly number[]): {inode: string; pid: number; mounts: Seen<readonly Mount[]>} {
  const asked = pids.slice(0, READERS_ASKED);
  const whole = asked.filter(pid => readLink(`/proc/${pid}/root`) === '/');
  let refused: {pid: number; mounts: Seen<readonly Mount[]>} = {pid: pids[0] ?? 0, mounts: {errno: 'ESRCH', during: 'open'}};
  for (const pid of [...whole, ...asked.filter(one => !whole.includes(one))]) {
    const mounts = readMounts(pid);
    // It may have moved on to another namespace since, or its pid may be another's by now.
    if (!isRefusal(mounts) && readLink(`/proc/${pid}/ns/mnt`) === `mnt:[${inode}]`) return {inode, pid, mounts};
    if (isRefusal(mounts)) refused = {pid, mounts};
  }
  return {inode, ...refused};
}

/** When each was made, before or after others: in the order of `mounts`, 0 where that is not known. Null: the kernel does not tell. */
function readAges(pid: number, mounts: readonly Mount[]): readonly number[] | null {
  const ids = new Int32Array(mounts.length);
  for (let i = 0; i < ids.length; i++) ids[i] = mounts[i]?.id ?? 0;
  const ages = new Float64Array(ids.length);
  return loadNative().mountAges(pid, ids, ids.length, ages) < 0 ? null : Array.from(ages);
}

/** The mounts of a namespace through `pid`, and who owns it, now; `table` where its mountinfo has just been read. */
export function readMountsFact(inode: string, pid: number, table?: Buffer): MountsFact {
  const at = String(process.hrtime.bigint());
  const lineage = readLineage(`/proc/${pid}/ns/mnt`);
  const [above] = isRefusal(lineage) ? [] : lineage.owners;
  const refused = isRefusal(lineage) ? lineage : lineage.ownersEnd;
  const owner = above?.inode ?? refused ?? {errno: 'EPERM', during: 'ioctl NS_GET_USERNS'};
  // It is another's pid by now, or it has moved on, where the namespace is not the same.
  const isStill = table !== undefined && !isRefusal(lineage) && lineage.inode === inode;
  const read = isStill ? {inode, pid, mounts: decodeMountinfo(table.toString())} : readMountNamespace(inode, [pid]);
  const ages = isRefusal(read.mounts) ? null : readAges(pid, read.mounts);
  return {kind: 'mounts', at, owner, ...read, ...(ages === null ? {} : {ages})};
}
