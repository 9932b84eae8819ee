// Knows how to find what keeps a mount busy: what of every process is on it, what is mounted on it, and where else it is mounted.

import {closeSync, openSync} from 'node:fs';
import {isRefusal, type Mount, type Refusal, type Seen} from '../model/fact.ts';
import type {MountCopy, MountHolders, MountUse} from '../model/mount-holders.ts';
import {readNamespaceFds} from './holders.ts';
import {readMounts} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {readLink, readNumbers, readText, refusalOf} from './proc-file.ts';

/** Of open(2), the same on every architecture that nsview runs on. */
const O_PATH = 0o10000000;
const ROWS = 4096;
const USES = ['cwd', 'root', 'exe', 'fd', 'map'] as const;
/** Uses that are told one by one. */
const KEPT = 2000;

const inodeOf = (link: string): string => /\[(\d+)\]$/.exec(link)?.[1] ?? '';

/** A table of each mount namespace that a process is in, with a process whose root is the namespace's where there is one. */
function readTables(pids: readonly number[]): {tables: Map<string, {pid: number; mounts: Mount[]}>; refused: Refusal | null} {
  const tables = new Map<string, {pid: number; mounts: Mount[]}>();
  const whole = new Set<string>();
  let refused: Refusal | null = null;
  for (const pid of pids) {
    const link = readLink(`/proc/${pid}/ns/mnt`);
    if (isRefusal(link)) {
      if (link.errno === 'EACCES') refused = link;
      continue;
    }
    const inode = inodeOf(link);
    if (whole.has(inode)) continue;
    const isWhole = readLink(`/proc/${pid}/root`) === '/';
    if (isWhole) whole.add(inode);
    else if (tables.has(inode)) continue;
    const mounts = readMounts(pid);
    if (!isRefusal(mounts) && mounts.length > 0) tables.set(inode, {pid, mounts});
  }
  return {tables, refused};
}

function deviceNumber(device: string): bigint {
  const [major = '0', minor = '0'] = device.split(':');
  return (BigInt(major) << 32n) | BigInt(minor);
}

/** The id of the mount that a path is on, as the kernel resolves it: of an O_PATH fd, which opens nothing (open(2)). */
export function mountIdOf(path: string): Seen<number> {
  let fd: number;
  try {
    fd = openSync(path, O_PATH);
  } catch (error) {
    return refusalOf(error, 'open');
  }
  const info = readText(`/proc/self/fdinfo/${fd}`);
  closeSync(fd);
  const id = isRefusal(info) ? null : /^mnt_id:\s*(\d+)$/m.exec(info);
  return isRefusal(info) ? info : id === null ? {errno: 'ENODATA', during: 'read fdinfo'} : Number(id[1]);
}

/** What keeps the mount `id` of the mount namespace that `pid` is in. Asks every process of the machine, which takes some 50 µs each. */
export function readMountHolders(pid: number, id: number, asked?: string): Seen<MountHolders> {
  const link = readLink(`/proc/${pid}/ns/mnt`);
  if (isRefusal(link)) return link;
  const pids = readNumbers('/proc');
  if (isRefusal(pids)) return pids;
  const {tables, refused} = readTables([pid, ...pids]);
  const inode = inodeOf(link);
  const own = tables.get(inode)?.mounts ?? [];
  const mount = own.find(one => one.id === id);
  if (mount === undefined) return {errno: 'ENOENT', during: 'read mountinfo'};
  const above = own.find(one => one.id === mount.parent);

  const copies: (Omit<MountCopy, 'uses'> & {uses: MountUse[]})[] = [];
  for (const [there, table] of tables)
    for (const one of table.mounts) {
      if (one.device !== mount.device || one.id === id) continue;
      // Unmounts go to the peers and slaves of the mount above (mount_namespaces(7)), and take what sits at the same place.
      const parent = table.mounts.find(other => other.id === one.parent);
      const group = above?.propagation.shared;
      const hears =
        group !== undefined && parent !== above && (parent?.propagation.shared === group || parent?.propagation.master === group);
      copies.push({
        inode: there,
        pid: table.pid,
        id: one.id,
        point: one.point,
        together:
          hears && one.root === mount.root && one.point.endsWith(mount.point.slice(above?.point === '/' ? 0 : (above?.point.length ?? 0))),
        uses: [],
      });
    }
  const ids = BigInt64Array.from([id, ...copies.map(copy => copy.id)].map(BigInt)).sort();
  // Of an overlay mapped files are of the layers below it, on some kernels.
  const devices = BigInt64Array.from(mount.fsType === 'overlay' ? [] : [deviceNumber(mount.device)]);
  const rows = new BigInt64Array(ROWS * 3);
  const uses: MountUse[] = [];
  const byId = new Map(copies.map(copy => [copy.id, copy]));
  let unread = 0;
  let more = 0;
  const native = loadNative();
  for (const one of pids) {
    if (one === process.pid) continue;
    const count = native.mountUses(one, ids, ids.length, devices, devices.length, rows, ROWS);
    // EACCES: not for this user. Else it is gone.
    if (count === -13 || count === -1) unread++;
    if (count <= 0) continue;
    const text = readText(`/proc/${one}/comm`);
    const comm = isRefusal(text) ? '?' : text.trimEnd();
    const said = new Set<string>();
    for (let row = 0; row < count; row++) {
      const by = USES[Number(rows[row * 3])] ?? 'fd';
      const number = Number(rows[row * 3 + 1]);
      const on = Number(rows[row * 3 + 2]);
      const path = by === 'fd' ? readLink(`/proc/${one}/fd/${number}`) : by === 'map' ? mappedAt(one, number) : null;
      if (on < 0 && (path === null || isRefusal(path) || !isBelow(path, mount.point) || readLink(`/proc/${one}/ns/mnt`) !== link)) continue;
      if (by === 'map' && path !== null && !isRefusal(path)) {
        if (said.has(path)) continue;
        said.add(path);
        // The program itself is told as such.
        if (path === readLink(`/proc/${one}/exe`) && said.has('exe')) continue;
      }
      if (by === 'exe') said.add('exe');
      const use: MountUse = {
        by,
        pid: one,
        comm,
        ...(by === 'fd' ? {fd: number} : {}),
        ...(path === null || isRefusal(path) ? {} : {path}),
        ...(on < 0 ? {perhaps: true as const} : {}),
      };
      const list = on === id || on < 0 ? uses : byId.get(on)?.uses;
      if (list === undefined) continue;
      if (list.length < KEPT) list.push(use);
      else if (list === uses) more++;
    }
  }
  uses.push(...boundSockets(id, mount, link, pids));
  return {
    inode,
    id,
    point: mount.point,
    fsType: mount.fsType,
    source: mount.source,
    ...(asked === undefined || asked === mount.point ? {} : {asked}),
    uses,
    below: own.filter(one => one.parent === id && one.id !== id).map(one => one.point),
    copies,
    processes: pids.length,
    unread,
    more,
    refused,
  };
}

/** File systems whose server may never answer: nothing is looked up on them. */
const MAY_HANG = /^(fuse|nfs|cifs|smb|9p|afs|autofs|ceph|virtiofs)/;

/** A unix socket that is bound to a name keeps the mount that the name is on (unix_bind_bsd(), net/unix/af_unix.c). */
function boundSockets(id: number, mount: Mount, namespace: string, pids: readonly number[]): MountUse[] {
  if (MAY_HANG.test(mount.fsType)) return [];
  const names = new Map<string, string>();
  const networks = new Set<string>();
  for (const pid of pids) {
    const network = readLink(`/proc/${pid}/ns/net`);
    if (isRefusal(network) || networks.has(network) || readLink(`/proc/${pid}/ns/mnt`) !== namespace) continue;
    networks.add(network);
    const table = readText(`/proc/${pid}/net/unix`);
    for (const line of isRefusal(table) ? [] : table.split('\n')) {
      const match = /(\d+) (\/.*)$/.exec(line);
      const [, socket = '', path = ''] = match ?? [];
      if (match !== null && isBelow(path, mount.point) && mountIdOf(`/proc/${pid}/root${path}`) === id) names.set(socket, path);
    }
  }
  if (names.size === 0) return [];
  return pids.flatMap(pid =>
    readNamespaceFds(pid).flatMap(({by, number, inode}): MountUse[] => {
      const path = by === 'socket' ? names.get(inode) : undefined;
      if (path === undefined) return [];
      const text = readText(`/proc/${pid}/comm`);
      return [{by: 'socket', pid, comm: isRefusal(text) ? '?' : text.trimEnd(), fd: number, path}];
    }),
  );
}

const isBelow = (path: string, point: string): boolean => path === point || point === '/' || path.startsWith(`${point}/`);

/** The file that is mapped at an address, from maps: map_files wants a privilege. */
function mappedAt(pid: number, address: number): Seen<string> {
  const maps = readText(`/proc/${pid}/maps`);
  if (isRefusal(maps)) return maps;
  const start = address.toString(16);
  for (const line of maps.split('\n')) {
    const dash = line.indexOf('-');
    if (Number.parseInt(line.slice(0, dash), 16) !== address) continue;
    const slash = line.indexOf('/');
    return slash < 0 ? {errno: 'ENOENT', during: 'read maps'} : line.slice(slash);
  }
  return {errno: 'ENOENT', during: `read maps ${start}`};
}
