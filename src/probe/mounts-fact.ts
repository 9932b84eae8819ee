// Knows how to read the mounts of one mount namespace, and who owns it. It needs little, since all that follows a program loads it.

import {isRefusal, type Mount, type MountIdMap, type MountsFact, type Seen} from '../model/fact.ts';
import {decodeIdMap} from './id-map.ts';
import {readLineage} from './lineage.ts';
import {readMountsThrough} from './mount-namespaces.ts';
import {decodeTable, mountIdOf, readMounts} from './mountinfo.ts';
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

/**
 * The mount that the root of `pid` lies on, where its table does not tell of it, since the root is a directory below that mount's own; null: it
 * does, or nobody tells. What is mounted on that directory since is no root of the process, though mountinfo has it at `/` as well.
 */
function rootMountOf(pid: number, root: string, mounts: readonly Mount[], whole: readonly Mount[]): Mount | null {
  const id = mountIdOf(`/proc/${pid}/root`);
  const mount = mounts.some(one => one.id === id) ? undefined : whole.find(one => one.id === id);
  if (mount === undefined) return null;
  const below = mount.point === '/' ? root : root.slice(mount.point.length);
  if (mount.point !== '/' && !root.startsWith(`${mount.point}/`)) return null;
  return {...mount, root: (mount.root === '/' ? '' : mount.root) + below, point: '/', chroot: true};
}

/** Of a process with another root than its namespace has: with the mount that this lies on, and all others, where nsview may enter the namespace. */
function beyondRoot(pid: number, mounts: readonly Mount[]): {readonly mounts: readonly Mount[]; readonly outside?: readonly Mount[]} {
  const root = readLink(`/proc/${pid}/root`);
  if (isRefusal(root) || (root === '/' && mounts.some(({point}) => point === '/'))) return {mounts};
  const whole = readMountsThrough(`/proc/${pid}/ns/mnt`);
  if (isRefusal(whole)) return {mounts};
  const rootMount = rootMountOf(pid, root, mounts, whole);
  const all = rootMount === null ? mounts : [rootMount, ...mounts];
  const ids = new Set(all.map(({id}) => id));
  const outside = whole.filter(({id}) => !ids.has(id));
  return {mounts: all, ...(outside.length > 0 ? {outside} : {})};
}

/** When each was made, before or after others: in the order of `mounts`, 0 where that is not known. Null: the kernel does not tell. */
function readAges(pid: number, mounts: readonly Mount[]): readonly number[] | null {
  const ids = new Int32Array(mounts.length);
  for (let i = 0; i < ids.length; i++) ids[i] = mounts[i]?.id ?? 0;
  const ages = new Float64Array(ids.length);
  return loadNative().mountAges(pid, ids, ids.length, ages) < 0 ? null : Array.from(ages);
}

/** Longer than two maps of 340 extents, as many as there can be (user_namespaces(7)). */
const IDMAP_SIZE = 32768;

function readIdMap(pid: number, age: number): MountIdMap | null {
  const buffer = Buffer.alloc(IDMAP_SIZE);
  const size = loadNative().mountIdmap(pid, age, buffer, buffer.length);
  if (size < 0) return null;
  const lines = buffer.toString('latin1', 0, size).split('\n');
  const ranges = (which: string) => decodeIdMap(lines.flatMap(line => (line.startsWith(which) ? [line.slice(1)] : [])).join('\n'));
  return {uid: ranges('u'), gid: ranges('g')};
}

function readIdMaps(pid: number, mounts: readonly Mount[], ages: readonly number[]): MountsFact['idMaps'] {
  const found = mounts.flatMap(({id, options}, index): [string, MountIdMap][] => {
    const age = options.includes('idmapped') ? (ages[index] ?? 0) : 0;
    const map = age === 0 ? null : readIdMap(pid, age);
    return map === null ? [] : [[String(id), map]];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/**
 * The mounts of a namespace through `pid`, and who owns it, now; `table` where its mountinfo has just been read. `whole`: what lies outside of
 * the root of `pid` as well, where nsview may enter the namespace, since a mount made elsewhere may appear there.
 */
export function readMountsFact(inode: string, pid: number, table?: Buffer, view: 'its' | 'whole' = 'its'): MountsFact {
  const at = String(process.hrtime.bigint());
  const lineage = readLineage(`/proc/${pid}/ns/mnt`);
  const [above] = isRefusal(lineage) ? [] : lineage.owners;
  const refused = isRefusal(lineage) ? lineage : lineage.ownersEnd;
  const owner = above?.inode ?? refused ?? {errno: 'EPERM', during: 'ioctl NS_GET_USERNS'};
  // It is another's pid by now, or it has moved on, where the namespace is not the same.
  const isStill = table !== undefined && !isRefusal(lineage) && lineage.inode === inode;
  const whole = view === 'whole' && readLink(`/proc/${pid}/root`) !== '/' ? readMountsThrough(`/proc/${pid}/ns/mnt`) : null;
  const isWhole = isStill && whole !== null && !isRefusal(whole);
  const listed = isStill ? {inode, pid, mounts: isWhole ? whole : decodeTable(table)} : readMountNamespace(inode, [pid]);
  const read = isWhole || isRefusal(listed.mounts) ? listed : {...listed, ...beyondRoot(pid, listed.mounts)};
  const ages = isRefusal(read.mounts) ? null : readAges(pid, read.mounts);
  const idMaps = isRefusal(read.mounts) || ages === null ? undefined : readIdMaps(pid, read.mounts, ages);
  return {kind: 'mounts', at, owner, ...read, ...(ages === null ? {} : {ages}), ...(idMaps === undefined ? {} : {idMaps})};
}
