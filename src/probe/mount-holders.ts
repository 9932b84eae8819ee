// Knows how to find what keeps a mount busy: what of every process is on it, what is mounted on it, and where else it is mounted.

import {readdirSync} from 'node:fs';
import * as z from 'zod';
import {isRefusal, type Mount, type Refusal, type Seen} from '../model/fact.ts';
import type {MountCopy, MountHolders, MountLoop, MountOverlay, MountUse} from '../model/mount-holders.ts';
import {type MountedOn, mountedOn, placeOn, rootOf} from '../model/mounts.ts';
import {errnoName} from './errno.ts';
import {fdsOnTheirWay, isDeaf, ofThread, readNamespaceFds} from './holders.ts';
import {readLineage} from './lineage.ts';
import {readMountsThrough, walkMountNamespaces} from './mount-namespaces.ts';
import {decodeOctal, deviceNumber, mountIdOf, readMounts} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {type Look, paced} from './pace.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {isKernelThread} from './process.ts';

const ROWS = 4096;
const USES = ['cwd', 'root', 'exe', 'fd', 'map'] as const;
/** Uses that are told one by one. */
const KEPT = 2000;

const inodeOf = (link: string): string => /\[(\d+)\]$/.exec(link)?.[1] ?? '';

/** `pid`: null where no process is in it. */
type Table = {readonly pid: number | null; readonly mounts: readonly Mount[]};

/** A table of each mount namespace that a process is in, with a process whose root is the namespace's where there is one. */
function readTables(pids: readonly number[]): {tables: Map<string, Table>; refused: Refusal | null} {
  const tables = new Map<string, Table>();
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
  // Where all have other roots: whoever enters the namespace, as the commands do that are told, has its own (setns(2)).
  for (const [inode, {pid}] of tables) {
    const mounts = whole.has(inode) || pid === null ? [] : readMountsThrough(`/proc/${pid}/ns/mnt`);
    if (!isRefusal(mounts) && mounts.length > 0) tables.set(inode, {pid, mounts});
  }
  // What refuses to list them (src/probe/mount-namespaces.ts) is told with the namespaces.
  for (const {inode, path} of walkMountNamespaces()) {
    const mounts = tables.has(inode) ? [] : readMountsThrough(path);
    if (!isRefusal(mounts) && mounts.length > 0) tables.set(inode, {pid: null, mounts});
  }
  return {tables, refused};
}

/** The peer groups that hear of a mount or unmount in one: itself, the groups of its slaves, of theirs and so on (mount_namespaces(7)). */
function groupsBelow(group: number | undefined, tables: ReadonlyMap<string, Table>): ReadonlySet<number> {
  const found = new Set(group === undefined ? [] : [group]);
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const {mounts} of tables.values())
      for (const {propagation} of mounts) if (propagation.shared !== undefined && hears(propagation, found)) found.add(propagation.shared);
  }
  return found;
}

const hears = ({shared, master, propagateFrom}: Mount['propagation'], groups: ReadonlySet<number>): boolean =>
  [shared, master, propagateFrom].some(group => group !== undefined && groups.has(group));

/**
 * Whether `one`, in another table or elsewhere in its own, goes when `mount` is unmounted: unmounts go to the peers and slaves of the mount above,
 * and take what is mounted on the same directory (propagate_umount(), fs/pnode.c). Not what has others mounted on it that do not go
 * before with those on `mount`, and whoever uses that is not asked (propagate_mount_busy()); but one that covers it whole takes its place.
 */
function goesWith(
  one: Mount,
  table: MountedOn,
  mount: Mount,
  own: MountedOn,
  groupsOf: (group: number | undefined) => ReadonlySet<number>,
): boolean {
  const [above, there] = [own.byId.get(mount.parent), table.byId.get(one.parent)];
  if (above === undefined || there === undefined || there === above) return false;
  if (one.device !== mount.device || rootOf(one) !== rootOf(mount) || there.device !== above.device) return false;
  if (!hears(there.propagation, groupsOf(above.propagation.shared)) || placeOn(there, one) !== placeOn(above, mount)) return false;
  const on = table.on.get(one.id) ?? [];
  if (on.length === 1 && on[0]?.point === one.point) return true;
  return on.every(child => own.on.get(mount.id)?.some(before => goesWith(child, table, before, own, groupsOf)));
}

/** Other mounts of the same file system, in every mount namespace that nsview may look into. */
function copiesOf(mount: Mount, tables: ReadonlyMap<string, Table>, own: Table): (Omit<MountCopy, 'uses'> & {uses: MountUse[]})[] {
  const known = new Map<number | undefined, ReadonlySet<number>>();
  const groupsOf = (group: number | undefined): ReadonlySet<number> => {
    const groups = known.get(group) ?? groupsBelow(group, tables);
    known.set(group, groups);
    return groups;
  };
  const link = readLink('/proc/self/ns/mnt');
  const ownInode = isRefusal(link) ? '' : inodeOf(link);
  const here = mountedOn(own.mounts);
  return [...tables].flatMap(([inode, {pid, mounts}]) =>
    mounts
      .filter(one => one.device === mount.device && one.id !== mount.id)
      .map(one => ({
        inode,
        // In nsview's own namespace nobody has to be entered.
        pid: inode === ownInode ? 0 : (pid ?? 0),
        id: one.id,
        point: one.point,
        together: goesWith(one, mountedOn(mounts), mount, here, groupsOf),
        ...(pid === null ? {empty: true as const} : {}),
        uses: [],
      })),
  );
}

/** Of a mount: a process in its namespace, and the mounts there below which nothing is looked up. */
type Place = {readonly mount: Mount; readonly pid: number; readonly silent: readonly Mount[]};

/** Whether a file that something else than a process's fd has open, known by its path from the root of the mount's namespace, is on the mount. */
function isOn({mount, pid, silent}: Place, path: string): boolean {
  if (!isBelow(path, mount.point) || silent.some(({point}) => isBelow(path, point))) return false;
  const root = readLink(`/proc/${pid}/root`);
  if (isRefusal(root) || !isBelow(path, root)) return false;
  return mountIdOf(`/proc/${pid}/root${root === '/' ? path : path.slice(root.length)}`) === mount.id;
}

/** Swap files: swapon(2) keeps them open, and no process has them. The table is told through nsview's root (proc_swaps(5)). */
function swapsOn(place: Place): string[] {
  const swaps = readText('/proc/swaps');
  return (isRefusal(swaps) ? '' : swaps).split('\n').flatMap(line => {
    const [path = '', type] = line.split(/[ \t]+/);
    const file = decodeOctal(path);
    return type === 'file' && isOn(place, file) ? [file] : [];
  });
}

/** The upper layer and the topmost of the others, where they are told as absolute paths. */
function layersOf({superOptions}: Mount): string[] {
  const optionOf = (name: RegExp) => superOptions.find(option => name.test(option))?.replace(name, '');
  // A colon in a path is escaped (Documentation/filesystems/overlayfs.rst).
  const lower = optionOf(/^lowerdir\+?=/)?.split(/(?<!\\):/)[0];
  return [optionOf(/^upperdir=/), lower].flatMap(path => (path?.startsWith('/') ? [path.replaceAll(/\\(.)/g, '$1')] : []));
}

/** Overlays with a layer on the file system of `mount`, each where it is met first: a path is looked up where the overlay is mounted. */
function overlaysOn(mount: Mount, tables: ReadonlyMap<string, Table>): MountOverlay[] {
  const link = readLink('/proc/self/ns/mnt');
  const ownInode = isRefusal(link) ? '' : inodeOf(link);
  const met = new Set<string>();
  const found: MountOverlay[] = [];
  for (const [inode, {pid, mounts}] of tables) {
    const overlays = mounts.filter(one => one.fsType === 'overlay' && one.device !== mount.device && !met.has(one.device));
    if (pid === null || overlays.length === 0) continue;
    const silent = mounts.filter(one => MAY_HANG.test(one.fsType));
    const {byId} = mountedOn(mounts);
    for (const one of overlays) {
      const layer = layersOf(one).find(path => {
        if (silent.some(({point}) => isBelow(path, point))) return false;
        const id = mountIdOf(`/proc/${pid}/root${path}`);
        return !isRefusal(id) && byId.get(id)?.device === mount.device;
      });
      if (layer === undefined) continue;
      met.add(one.device);
      found.push({inode, pid: inode === ownInode ? 0 : pid, point: one.point, layer});
    }
  }
  return found;
}

const loopNames = (): string[] => {
  try {
    return readdirSync('/sys/block').filter(name => /^loop\d+$/.test(name));
  } catch {
    return [];
  }
};

function loopsOn(place: Place, tables: ReadonlyMap<string, Table>): MountLoop[] {
  const link = readLink('/proc/self/ns/mnt');
  return loopNames().flatMap((name): MountLoop[] => {
    const [file, number] = [readText(`/sys/block/${name}/loop/backing_file`), readText(`/sys/block/${name}/dev`)];
    if (isRefusal(file) || isRefusal(number)) return [];
    const path = file.replace(/\n$/, '');
    if (!isOn(place, path)) return [];
    for (const [inode, table] of tables) {
      const at = table.mounts.findLast(one => one.device === number.trim());
      if (at === undefined || table.pid === null) continue;
      const isHere = !isRefusal(link) && inodeOf(link) === inode;
      return [{device: `/dev/${name}`, file: path, at: {inode, pid: isHere ? 0 : table.pid, point: at.point}}];
    }
    return [{device: `/dev/${name}`, file: path}];
  });
}

/** Of the first user namespace (PROC_USER_INIT_INO, include/linux/proc_ns.h). */
const FIRST_USER = '4026531837';

/** Whether the first user namespace owns the mount namespace that `pid` is in; so it is where nobody tells. */
function isFirstOwner(pid: number): boolean {
  const lineage = readLineage(`/proc/${pid}/ns/mnt`);
  const owner = isRefusal(lineage) ? undefined : lineage.owners[0];
  return owner === undefined || owner.inode === FIRST_USER;
}

/** A look at every process of the machine, some 50 µs each. */
type MountLook = Look & {read(): MountHolders};

/** What keeps the mount `id` of the mount namespace that `pid` is in. */
function openMountHolders(pid: number, id: number, asked?: string): Seen<MountLook> {
  const native = loadNative();
  const rows = new BigInt64Array(ROWS * 4);
  let link: string;
  let pids: readonly number[] = [];
  let next = 0;
  let building: {
    holders: MountHolders;
    mount: Mount;
    silent: readonly Mount[];
    detached: Map<number, MountUse[]>;
    /** Sockets that have been asked, and those with fds in their queues. */
    sockets: Set<string>;
    queues: NonNullable<MountHolders['queues']>[number][];
    ids: BigInt64Array;
    uses: MountUse[];
    byId: Map<number, {uses: MountUse[]}>;
  };
  let counts = {unread: 0, more: 0};
  let whole: MountHolders | null = null;

  const begin = (): Refusal | null => {
    const seen = readLink(`/proc/${pid}/ns/mnt`);
    if (isRefusal(seen)) return seen;
    link = seen;
    const all = readNumbers('/proc');
    if (isRefusal(all)) return all;
    pids = all.filter(one => one !== process.pid);
    next = 0;
    const {tables, refused} = readTables([pid, ...pids]);
    const inode = inodeOf(link);
    const own = tables.get(inode);
    const mount = own?.mounts.find(one => one.id === id);
    if (own === undefined || mount === undefined) return {errno: 'ENOENT', during: 'read mountinfo'};
    const copies = copiesOf(mount, tables, own);
    const {point, fsType, source} = mount;
    const uses: MountUse[] = [];
    const silent = own.mounts.filter(one => MAY_HANG.test(one.fsType));
    const place = {mount, pid, silent};
    const loops = loopsOn(place, tables);
    const swaps = swapsOn(place);
    const overlays = overlaysOn(mount, tables);
    counts = {unread: 0, more: 0};
    building = {
      mount,
      silent,
      detached: new Map(),
      sockets: new Set(),
      queues: [],
      ids: BigInt64Array.from([id, ...copies.map(copy => copy.id)].map(BigInt)).sort(),
      uses,
      byId: new Map(copies.map(copy => [copy.id, copy])),
      holders: {
        inode,
        ...(link === readLink('/proc/self/ns/mnt') || own.pid === null ? {} : {pid: own.pid}),
        id,
        point,
        fsType,
        source,
        ...(isFirstOwner(pid) ? {} : {perhapsLocked: true as const}),
        ...(asked === undefined || asked === point ? {} : {asked}),
        uses,
        below: own.mounts.filter(one => one.parent === id && one.id !== id).map(one => one.point),
        ...(loops.length > 0 ? {loops} : {}),
        ...(swaps.length > 0 ? {swaps} : {}),
        copies,
        ...(overlays.length > 0 ? {overlays} : {}),
        processes: 0,
        of: pids.length,
        unread: 0,
        more: 0,
        refused,
      },
    };
    return null;
  };

  const ask = (one: number) => {
    const {mount, silent, ids, uses, byId, detached, sockets, queues} = building;
    // Of an overlay mapped files are of the layers below it, on some kernels.
    const devices = BigInt64Array.from(mount.fsType === 'overlay' ? [] : [deviceNumber(mount.device)]);
    const count = native.mountUses(one, ids, ids.length, devices, devices.length, rows, ROWS);
    const refused = count < 0 ? errnoName(-count) : '';
    if (refused === 'EACCES' || refused === 'EPERM') counts.unread++;
    const isElsewhere = () => readLink(`/proc/${one}/ns/mnt`) !== link;
    const fds = count < 0 ? [] : readNumbers(`/proc/${one}/fd`);
    const links = (isRefusal(fds) ? [] : fds).map(fd => ({fd, link: readLink(`/proc/${one}/fd/${fd}`)}));
    const ringFds = links.filter(({link: to}) => to === 'anon_inode:[io_uring]').map(({fd}) => fd);
    const rings = ringFds.length === 0 || isElsewhere() ? [] : fixedFiles({mount, pid: one, silent}, ringFds);
    const filled = links.flatMap(({fd, link: to}) => {
      if (isRefusal(to) || !to.startsWith('socket:') || sockets.has(to)) return [];
      sockets.add(to);
      const onTheirWay = fdsOnTheirWay(one, fd);
      return onTheirWay > 0 ? [{fd, fds: onTheirWay}] : [];
    });
    if (count <= 0 && rings.length === 0 && filled.length === 0) return;
    const text = readText(`/proc/${one}/comm`);
    const comm = isRefusal(text) ? '?' : text.trimEnd();
    for (const queue of filled) queues.push({pid: one, comm, ...queue});
    const deaf = isDeaf(one);
    const kernel = isKernelThread(one);
    for (const ring of rings) uses.push({by: 'ring', pid: one, comm, ...(deaf ? {deaf: true as const} : {}), ...ring});
    let mapped: Map<number, string> | undefined;
    let seenHere: Seen<readonly Mount[]> | undefined;
    const said = new Set<string>();
    for (let row = 0; row < count; row++) {
      const by = USES[Number(rows[row * 4])] ?? 'fd';
      const number = Number(rows[row * 4 + 1]);
      const on = Number(rows[row * 4 + 2]);
      const tid = Number(rows[row * 4 + 3]);
      const folder = tid === 0 ? `/proc/${one}` : `/proc/${one}/task/${tid}`;
      let path: string | undefined;
      if (by === 'fd') {
        const target = readLink(`${folder}/fd/${number}`);
        if (!isRefusal(target)) path = target;
      } else if (by === 'map') {
        mapped ??= readMapped(folder);
        path = mapped.get(number);
        if (on < 0 && (path === undefined || !isBelow(path, mount.point) || isElsewhere())) continue;
        // The program is told as such, and a file that is mapped in pieces once.
        if (path !== undefined && (said.has(path) || (said.has('exe') && path === readLink(`${folder}/exe`)))) continue;
        if (path !== undefined) said.add(path);
      } else if (by === 'exe') said.add('exe');
      let list = on === id || on < 0 ? uses : (byId.get(on)?.uses ?? detached.get(on));
      if (list === undefined) {
        // Neither of what was read, nor of what has been made since.
        seenHere ??= readMounts(one);
        if (isRefusal(seenHere) || seenHere.some(mount => mount.id === on)) continue;
        list = [];
        detached.set(on, list);
      }
      if (list.length >= KEPT) counts.more += list === uses ? 1 : 0;
      else
        list.push({
          by,
          pid: one,
          comm,
          ...(tid === 0 ? {} : {tid}),
          ...(deaf ? {deaf: true as const} : {}),
          ...(kernel ? {kernel: true as const} : {}),
          ...(by === 'fd' ? {fd: number} : {}),
          ...(path === undefined ? {} : {path}),
          ...(on < 0 ? {perhaps: true as const} : {}),
        });
    }
  };

  const refused = begin();
  if (refused !== null) return refused;
  const read = (): MountHolders => ({
    ...building.holders,
    ...counts,
    ...(building.queues.length > 0 ? {queues: building.queues} : {}),
    ...(building.detached.size > 0 ? {detached: [...building.detached].map(([on, uses]) => ({id: on, uses}))} : {}),
    processes: next,
  });
  return {
    advance: milliseconds => {
      const limit = performance.now() + milliseconds;
      // It may be gone by now: what was found last stays.
      if (next >= pids.length && whole !== null && begin() !== null) return;
      while (next < pids.length && performance.now() < limit) ask(pids[next++] ?? 0);
      if (next < pids.length) return;
      building.uses.push(...boundSockets(building, link, pids));
      whole = read();
    },
    isWhole: () => next >= pids.length,
    read: () => whole ?? read(),
  };
}

/** At once, for who can wait. */
export function readMountHolders(pid: number, id: number, asked?: string): Seen<MountHolders> {
  const look = openMountHolders(pid, id, asked);
  if (isRefusal(look)) return look;
  look.advance(Number.POSITIVE_INFINITY);
  return look.read();
}

let shown: {readonly pid: number; readonly which: string; readonly look: MountLook; readonly want: () => void} | undefined;

/** Tells a mount from another that has been given its id since: the kernel gives the lowest free one (mnt_alloc_id(), fs/namespace.c). */
function whichMount(pid: number, id: number): string {
  const mounts = readMounts(pid);
  const mount = isRefusal(mounts) ? undefined : mounts.find(one => one.id === id);
  return `${id} ${mount?.device} ${mount?.root} ${mount?.point} ${mount?.source}`;
}

/** So much as is known by now, for who looks at it: it goes on in slices. */
export function studyMountHolders(pid: number, id: number): Seen<MountHolders> {
  const which = whichMount(pid, id);
  if (shown?.pid !== pid || shown.which !== which) {
    const look = openMountHolders(pid, id);
    if (isRefusal(look)) return look;
    shown = {pid, which, look, want: paced(look)};
  }
  shown.want();
  return shown.look.read();
}

/** File systems whose server may never answer: nothing is looked up on them. */
const MAY_HANG = /^(fuse|nfs|cifs|smb|9p|afs|autofs|ceph|virtiofs)/;

/** A unix socket that is bound to a name keeps the mount that the name is on (unix_bind_bsd(), net/unix/af_unix.c). */
function boundSockets({mount, silent}: Omit<Place, 'pid'>, namespace: string, pids: readonly number[]): MountUse[] {
  const names = new Map<string, string>();
  const networks = new Set<string>();
  for (const pid of pids) {
    const network = readLink(`/proc/${pid}/ns/net`);
    if (isRefusal(network) || networks.has(network) || readLink(`/proc/${pid}/ns/mnt`) !== namespace) continue;
    networks.add(network);
    const root = readLink(`/proc/${pid}/root`);
    const table = readText(`/proc/${pid}/net/unix`);
    for (const line of isRefusal(table) ? [] : table.split('\n')) {
      const match = /(\d+) (\/.*)$/.exec(line);
      const [, socket = '', path = ''] = match ?? [];
      // As it was bound, from the root of who did.
      const whole = isRefusal(root) || root === '/' ? path : root + path;
      if (match !== null && isOn({mount, pid, silent}, whole)) names.set(socket, path);
    }
  }
  if (names.size === 0) return [];
  return pids.flatMap(pid =>
    readNamespaceFds(pid).flatMap(({by, number, inode, tid}): MountUse[] => {
      const path = by === 'socket' ? names.get(inode) : undefined;
      if (path === undefined) return [];
      const text = readText(`/proc/${pid}/comm`);
      return [{by: 'socket', pid, comm: isRefusal(text) ? '?' : text.trimEnd(), ...ofThread(tid), fd: number, path}];
    }),
  );
}

/** Of an io_uring(7), as its fdinfo has them (io_uring_show_fdinfo(), io_uring/fdinfo.c): `    0: /mnt/file`. */
const FIXED_FILE = /^ *\d+: (\/.*)$/gm;

/** Files that are registered with a ring stay open though their own fds are closed (io_uring_register(2), IORING_REGISTER_FILES). */
function fixedFiles(place: Place, rings: readonly number[]): {readonly fd: number; readonly path: string}[] {
  return rings.flatMap(fd => {
    const info = readText(`/proc/${place.pid}/fdinfo/${fd}`);
    if (isRefusal(info)) return [];
    const files = info.slice(info.indexOf('\nUserFiles:'), info.indexOf('\nUserBufs:'));
    const path = [...files.matchAll(FIXED_FILE)].map(([, name = '']) => decodeOctal(name)).find(name => isOn(place, name));
    return path === undefined ? [] : [{fd, path}];
  });
}

const isBelow = (path: string, point: string): boolean => path === point || point === '/' || path.startsWith(`${point}/`);

/** Files by the first address at which they are mapped, from maps: to read map_files wants a privilege. */
function readMapped(folder: string): Map<number, string> {
  const maps = readText(`${folder}/maps`);
  const found = new Map<number, string>();
  for (const line of isRefusal(maps) ? [] : maps.split('\n')) {
    const slash = line.indexOf('/');
    if (slash >= 0) found.set(Number.parseInt(line, 16), line.slice(slash));
  }
  return found;
}

const use: z.ZodType<MountUse> = z.object({
  by: z.enum(['cwd', 'root', 'exe', 'fd', 'map', 'socket', 'ring']),
  pid: z.int(),
  comm: z.string(),
  tid: z.int().exactOptional(),
  deaf: z.literal(true).exactOptional(),
  kernel: z.literal(true).exactOptional(),
  fd: z.int().exactOptional(),
  path: z.string().exactOptional(),
  perhaps: z.literal(true).exactOptional(),
});

export const mountHoldersSchema: z.ZodType<MountHolders> = z.object({
  inode: z.string(),
  pid: z.int().exactOptional(),
  id: z.int(),
  point: z.string(),
  fsType: z.string(),
  source: z.string(),
  perhapsLocked: z.literal(true).exactOptional(),
  asked: z.string().exactOptional(),
  uses: z.array(use),
  below: z.array(z.string()),
  loops: z
    .array(
      z.object({
        device: z.string(),
        file: z.string(),
        at: z.object({inode: z.string(), pid: z.int(), point: z.string()}).exactOptional(),
      }),
    )
    .exactOptional(),
  swaps: z.array(z.string()).exactOptional(),
  queues: z.array(z.object({pid: z.int(), comm: z.string(), fd: z.int(), fds: z.int()})).exactOptional(),
  copies: z.array(
    z.object({
      inode: z.string(),
      pid: z.int(),
      id: z.int(),
      point: z.string(),
      together: z.boolean(),
      empty: z.literal(true).exactOptional(),
      uses: z.array(use),
    }),
  ),
  overlays: z.array(z.object({inode: z.string(), pid: z.int(), point: z.string(), layer: z.string()})).exactOptional(),
  detached: z.array(z.object({id: z.int(), uses: z.array(use)})).exactOptional(),
  processes: z.int(),
  of: z.int(),
  unread: z.int(),
  more: z.int(),
  refused: z.object({errno: z.string(), during: z.string()}).nullable(),
});
