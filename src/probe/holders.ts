// Knows who keeps namespaces alive: a look over the whole machine, in slices, so that nobody waits for it.

import {isRefusal, type Mount, type Refusal, type Seen} from '../model/fact.ts';
import {NAMESPACE_LINKS, NAMESPACES, typeOfLink} from '../model/namespace.ts';
import type {Holder} from '../model/ownership.ts';
import {errnoName} from './errno.ts';
import {readLineage} from './lineage.ts';
import {readMountsThrough, walkMountNamespaces} from './mount-namespaces.ts';
import {decodeTable, deviceNumber, readMountinfo} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {paced} from './pace.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {statusLine} from './process.ts';

const ROWS = 8192;
const rows = new BigInt64Array(ROWS * 4);
const LINKS = 1;
export const FDS = 2;
export const SOCKETS = 4;
const HOW = ['link', 'thread', 'fd', 'socket', 'table'] as const;
/** Types as nsv_holds numbers them. */
const TYPES = NAMESPACES.map(kind => kind.type);

export type Held = {
  readonly by: (typeof HOW)[number];
  readonly number: number;
  readonly link: number;
  /** Of an fd or a socket: the thread that has a file table of its own, which has it; 0: it is the process's. */
  readonly tid: number;
  readonly type: string;
  readonly inode: string;
};

const readHolds = (pid: number, what: number): Held[] => decodeHolds(rows, 0, loadNative().holds(pid, what, rows, ROWS));

/** `count` of those rows from row number `first` on; none where it is negative, a refusal. */
export function decodeHolds(rows: BigInt64Array, first: number, count: number): Held[] {
  const held: Held[] = [];
  for (let row = first; row < first + count; row++) {
    const [how, number, type, inode] = [Number(rows[row * 4]), Number(rows[row * 4 + 1]), Number(rows[row * 4 + 2]), rows[row * 4 + 3]];
    held.push({
      by: HOW[how] ?? 'fd',
      number,
      link: how === 0 ? number : how === 1 ? type >> 4 : -1,
      tid: how >= 2 ? type >> 4 : 0,
      type: TYPES[type & 15] ?? '?',
      inode: String(inode),
    });
  }
  return held;
}

/** The namespaces that a process has open, and its sockets (whose `inode` is the socket's). Empty where nsview may not look. */
export const readNamespaceFds = (pid: number): readonly Held[] => readHolds(pid, FDS | SOCKETS);

/** The same, or the refusal. `cut`: it has more of them. */
export function readSocketFds(pid: number): Seen<{readonly held: readonly Held[]; readonly cut: boolean}> {
  const count = loadNative().holds(pid, FDS | SOCKETS, rows, ROWS);
  return count < 0 ? {errno: errnoName(-count), during: 'open fd'} : {held: decodeHolds(rows, 0, count), cut: count === ROWS};
}

/** The threads of a process that are in another network namespace than it. */
export const readThreadNetworks = (pid: number): {readonly tid: number; readonly inode: string}[] =>
  readHolds(pid, LINKS).flatMap(({by, link, number, inode}) =>
    by === 'thread' && NAMESPACE_LINKS[link] === 'net' ? [{tid: number, inode}] : [],
  );

/** Whose file table it is, where that is not the process's. */
export const ofThread = (tid: number): {readonly tid?: number} => (tid === 0 ? {} : {tid});

/** In the place of a socket's inode: a file of /dev/net/tun, which stays where it was opened as a socket does (tun_chr_open(), drivers/net/tun.c). */
export const TUN = '0';

export const socketHolder = (pid: number, fd: number, socket: string, tid: number): Holder => ({
  by: 'socket',
  pid,
  fd,
  ...ofThread(tid),
  ...(socket === TUN ? {tun: true} : {}),
});

/** A socket stays in the network namespace in which it was made, and keeps it, wherever its process goes (socket(7), network_namespaces(7)). */
export type SocketNetworks = {
  /** The inode of a socket's network namespace. null: not to be known. `first` gets a path that is good while it runs, once for each. */
  networkOf(pid: number, fd: number, socket: string, first: (inode: string, path: string) => void): string | null;
};

/** To look at a socket is to have it for a moment, which would move it to nsview's class where these are in use (see nsview.h). */
function mayTakeSockets(): boolean {
  const cgroups = readText('/proc/self/cgroup');
  return !isRefusal(cgroups) && !/^[^:]*:[^:]*\bnet_(cls|prio)\b/m.test(cgroups);
}

/** `before`: an earlier look's, so that each socket is asked once in its life. `most`: of one process. */
export function createSocketNetworks(
  before?: ReadonlyMap<string, string | null>,
  most = Number.POSITIVE_INFINITY,
): SocketNetworks & {readonly known: ReadonlyMap<string, string | null>} {
  const known = new Map<string, string | null>();
  const met = new Set<string>();
  const ret = new BigInt64Array(1);
  const may = mayTakeSockets();
  let [last, asked] = [0, 0];
  return {
    known,
    networkOf: (pid, fd, socket, first) => {
      // All files of tun have the one inode of their device.
      const earlier = socket === TUN ? undefined : (known.get(socket) ?? before?.get(socket));
      if (earlier !== undefined && (earlier === null || met.has(earlier))) {
        known.set(socket, earlier);
        return earlier;
      }
      if (!may) return null;
      if (pid !== last) [last, asked] = [pid, 0];
      if (asked++ >= most) return null;
      const native = loadNative();
      const namespace = native.socketNetwork(pid, fd, BigInt(socket), ret);
      const inode = namespace < 0 ? null : String(ret[0]);
      if (socket !== TUN) known.set(socket, inode);
      if (inode !== null && !met.has(inode)) {
        met.add(inode);
        first(inode, `/proc/self/fd/${namespace}`);
      }
      if (namespace >= 0) native.close(namespace);
      return inode;
    },
  };
}

/** How many fds wait to be received from a unix socket (proc_pid_fdinfo(5); unix_show_fdinfo(), net/unix/af_unix.c). */
export function fdsOnTheirWay(task: number, fd: number): number {
  const info = readText(`/proc/${task}/fdinfo/${fd}`);
  return isRefusal(info) ? 0 : Number(/^scm_fds: (\d+)$/m.exec(info)?.[1] ?? 0);
}

type TableHolder = Holder & {by: 'fd'};
/** `from`: the mount namespace of its process. `id`: of a mount in it, once that was asked. */
export type OpenTable = {readonly holder: TableHolder; readonly from: string | undefined; readonly id: number | null};

export const tableHolder = (pid: number, fd: number, tid: number): TableHolder => ({by: 'fd', pid, ...ofThread(tid), fd, table: true});

/** Of an open mountinfo: the id of its first mount, which no other mount namespace has, too. null: it is none, or not to be read. */
export function firstMount({pid, tid, fd}: TableHolder): number | null {
  const devices = (['self', pid] as const).flatMap(one => {
    const raw = readMountinfo(one);
    return isRefusal(raw) ? [] : decodeTable(raw).flatMap(({fsType, device}) => (fsType === 'proc' ? [deviceNumber(device)] : []));
  });
  const numbers = BigInt64Array.from(devices);
  const buffer = Buffer.alloc(4096);
  const size = loadNative().openTable(tid ?? pid, fd, numbers, numbers.length, buffer, buffer.length);
  const id = size > 0 ? /^\d+/.exec(buffer.toString('latin1', 0, size)) : null;
  return id === null ? null : Number(id[0]);
}

/** `net:[4026531840]`, the root of a bind mount of a namespace. */
export function pinnedBy(mount: Mount): {readonly type: string; readonly inode: string} | null {
  const match = mount.fsType === 'nsfs' ? /^([a-z]+):\[([0-9]+)\]$/.exec(mount.root) : null;
  return match === null ? null : {type: match[1] ?? '', inode: match[2] ?? ''};
}

const MAY_HANG = /^(fuse|nfs|cifs|smb|9p|afs|autofs|ceph|virtiofs)/;

/** A path to a bind mount as a process sees it; null below a file system that may never answer. */
export function pathOfPin(pid: number, point: string, mounts: readonly Mount[]): string | null {
  const below = mounts.some(mount => MAY_HANG.test(mount.fsType) && (mount.point === '/' || point.startsWith(`${mount.point}/`)));
  return below ? null : `/proc/${pid}/root${point}`;
}

/** The process in whose root such a path begins. */
export const pidOfPin = (path: string): number => Number(/^\/proc\/(\d+)\//.exec(path)?.[1] ?? 0);

const SIGTERM = 1n << 14n;

/**
 * To whom SIGTERM does nothing: who ignores it, as interactive shells do, and the first process of a pid namespace that has no handler for it
 * (pid_namespaces(7)). SIGKILL from outside of that namespace ends it.
 */
export function isDeaf(pid: number): boolean {
  const text = readText(`/proc/${pid}/status`);
  if (isRefusal(text)) return false;
  const has = (key: string) => (BigInt(`0x${statusLine(text, `${key}:`) ?? '0'}`) & SIGTERM) !== 0n;
  return has('SigIgn') || (/\t1$/.test(statusLine(text, 'NSpid:') ?? '') && !has('SigCgt'));
}

/** Who is not root has capabilities in the user namespaces that it made only, and enters what these own by them (setns(2)). */
export function userFirst(pid: number): {readonly user?: string} {
  if (pid === 0 || process.geteuid?.() === 0) return {};
  const user = `/proc/${pid}/ns/user`;
  const [there, here] = [readLink(user), readLink('/proc/self/ns/user')];
  return isRefusal(there) || there === here ? {} : {user};
}

/** `inhabited`: a thread is in it. `zombies`: of the processes some that have ended, which have pid and user namespaces until they are waited for. */
type Building = {
  type: string;
  processes: number;
  inhabited: boolean;
  pids: number[];
  zombies: number[];
  others: Holder[];
  more: number;
};
/** `sockets`: by the socket's inode the first processes that have it. */
type Holders = {
  readonly byInode: Map<string, Building>;
  readonly sockets: Map<string, number[]>;
  unlisted: Refusal | null;
  asked: number;
  of: number;
};

/** Processes that another thread asks in one go, and their rows: a reply is decoded within a few milliseconds. */
const BATCH = 64;
/** Milliseconds of the rest in one go, and sockets of one process that are asked in one look: the others are in the next. */
const REST = 4;
/** Milliseconds that the rest may stand still. */
const RESTS_FOR = 1000;
const MOST_SOCKETS = 256;
const BATCH_ROWS = 2 * ROWS;

/** Of each namespace so many are kept one by one. */
const KEPT = 16;

export type HoldersLook = {
  /** Goes on for so many milliseconds, at most to the end of a look at all. */
  advance(milliseconds: number): void;
  /** Forgets all, also a look that is under way, whose list of processes is of before now. */
  restart(): void;
  /** Goes on by itself, in slices that nobody feels, as long as somebody wants it every so often. */
  want(): void;
  /** The last whole look, or what there is of the first. */
  readonly found: Holders;
};

function createHolders(): HoldersLook {
  let whole: Holders | null = null;
  let building: Holders = {byInode: new Map(), sockets: new Map(), unlisted: null, asked: 0, of: 0};
  let pids: readonly number[] = [];
  let next = 0;
  let sockets = createSocketNetworks();
  let owners = new Set<string>();
  /** Each with a process that is in it, or 0. */
  let tables = new Map<string, number>();
  let opened: OpenTable[] = [];
  /** Mount namespaces by inode, and a file that leads to each: of those that no process is in, the mounts are read at the end. */
  let files = new Map<string, string>();

  const at = (type: string, inode: string): Building => {
    let found = building.byInode.get(inode);
    if (found === undefined) {
      found = {type, processes: 0, inhabited: false, pids: [], zombies: [], others: [], more: 0};
      building.byInode.set(inode, found);
    }
    return found;
  };
  const add = (type: string, inode: string, holder: Holder) => {
    const found = at(type, inode);
    if (found.others.length < KEPT) found.others.push(holder);
    else found.more++;
  };
  /** Every namespace once: it keeps its owner and its parent. */
  const lookUp = (inode: string, path: string) => {
    if (owners.has(inode)) return;
    owners.add(inode);
    const lineage = readLineage(path);
    if (isRefusal(lineage) || lineage.inode !== inode) return;
    let {type, inode: child} = lineage;
    for (const above of lineage.chain.slice(1)) {
      add(type, above.inode, {by: 'namespace', type, inode: child, as: 'child'});
      if (owners.has(above.inode)) return;
      // A namespace without processes on the way up: nothing else leads to it.
      child = above.inode;
      owners.add(child);
    }
    if (type === 'user') return;
    for (const above of lineage.owners) {
      add('user', above.inode, {by: 'namespace', type, inode: child, as: type === 'user' ? 'child' : 'owned'});
      if (owners.has(above.inode)) return;
      owners.add(above.inode);
      child = above.inode;
      type = 'user';
    }
  };
  const lookAtMounts = (inode: string, pid: number) => {
    if (tables.has(inode)) return;
    const raw = readMountinfo(pid);
    if (isRefusal(raw)) return;
    tables.set(inode, pid);
    if (!raw.includes(' - nsfs ')) return;
    const mounts = decodeTable(raw);
    for (const mount of mounts) {
      const pinned = pinnedBy(mount);
      if (pinned === null) continue;
      add(pinned.type, pinned.inode, {by: 'mount', inode, pid, point: mount.point, ...userFirst(pid)});
      const path = pathOfPin(pid, mount.point, mounts);
      if (path === null) continue;
      lookUp(pinned.inode, path);
      if (pinned.type === 'mnt') files.set(pinned.inode, path);
    }
  };
  /** What is mounted where no process is. `lasting`: the path is good for others than nsview, and later. */
  const lookInside = (inode: string, path: string, lasting: boolean) => {
    if (tables.has(inode)) return;
    tables.set(inode, 0);
    const mounts = readMountsThrough(path);
    for (const {point, ...mount} of isRefusal(mounts) ? [] : mounts) {
      for (const {id, holder} of opened) if (id === mount.id) add('mnt', inode, holder);
      const pinned = pinnedBy({point, ...mount});
      if (pinned !== null)
        add(pinned.type, pinned.inode, {
          by: 'mount',
          inode,
          pid: 0,
          point,
          ...(lasting ? {through: path, ...userFirst(pidOfPin(path))} : {}),
        });
    }
  };
  /** Where nothing else is known that keeps a namespace, an fd may that was sent and not received: it is in no process's table. */
  function* queues(): Generator<void> {
    const unexplained = [...building.byInode].filter(
      ([, {processes, inhabited, others}]) => processes === 0 && !inhabited && others.length === 0,
    );
    if (unexplained.length === 0) return;
    const asked = new Set<string>();
    for (const pid of new Set([...building.sockets.values()].flat())) {
      for (const {by, number, tid, inode: socket} of readHolds(pid, SOCKETS)) {
        if (by !== 'socket' || asked.has(socket)) continue;
        asked.add(socket);
        const fds = fdsOnTheirWay(tid || pid, number);
        if (fds > 0) for (const [inode, {type}] of unexplained) add(type, inode, {by: 'queue', pid, ...ofThread(tid), fd: number, fds});
      }
      yield;
    }
  }
  /** When all processes were asked: the mounts where none of them is. */
  function* remainder(): Generator<void, Refusal | null> {
    opened = opened.flatMap(one => {
      const id = firstMount(one.holder);
      return id === null ? [] : [{...one, id}];
    });
    // Most are open in the namespace that they list.
    for (const [inode, pid] of tables) {
      if (opened.length === 0) break;
      const raw = readMountinfo(pid);
      const mounts = new Set(isRefusal(raw) ? [] : decodeTable(raw).map(({id}) => id));
      for (const {id, holder, from} of opened) if (id !== null && mounts.has(id) && from !== inode) add('mnt', inode, holder);
      opened = opened.filter(({id}) => id === null || !mounts.has(id));
      yield;
    }
    for (const [inode, path] of files) {
      lookInside(inode, path, true);
      yield;
    }
    const walk = walkMountNamespaces();
    try {
      let step = walk.next();
      for (; !step.done; step = walk.next()) {
        const {inode, path} = step.value;
        at('mnt', inode);
        lookUp(inode, path);
        lookInside(inode, path, false);
        yield;
      }
      yield* queues();
      return step.value;
    } finally {
      // Left where it stands, it would keep its fd.
      walk.return(null);
    }
  }
  const ask = (pid: number, holds: readonly Held[]) => {
    const folder = `/proc/${pid}`;
    // Of its links those are left.
    const isZombie = !holds.some(({by, type}) => (by === 'link' && type === 'mnt') || by === 'thread');
    const own = new Map<string, string>();
    const ofThreads = new Map<string, string>();
    for (const {by, number, link, type, inode, tid} of holds) {
      const name = NAMESPACE_LINKS[link] ?? 'user';
      if (by === 'socket') {
        const have = building.sockets.get(inode);
        if (inode === TUN) {
          // No socket that another could be connected with.
        } else if (have === undefined) building.sockets.set(inode, [pid]);
        else if (have.length < KEPT && have.at(-1) !== pid) have.push(pid);
        const network = sockets.networkOf(tid || pid, number, inode, lookUp);
        if (network !== null && network !== own.get('net')) add('net', network, socketHolder(pid, number, inode, tid));
      } else if (by === 'table') {
        // What nsview watches it lets go of when nobody is there (src/probe/mount-watch.ts).
        if (pid !== process.pid) opened.push({holder: tableHolder(pid, number, tid), from: own.get('mnt'), id: null});
      } else if (by === 'fd') {
        add(type, inode, {by: 'fd', pid, ...ofThread(tid), fd: number});
        const path = `${tid === 0 ? folder : `${folder}/task/${tid}`}/fd/${number}`;
        lookUp(inode, path);
        if (type === 'mnt') files.set(inode, path);
      } else if (by === 'thread') {
        if (name !== typeOfLink(name)) {
          // Like that of most threads, where the leader's was not to be read.
          if ((ofThreads.get(`${number} ${type}`) ?? own.get(type)) === inode) continue;
          add(type, inode, {by: 'children', pid, tid: number});
          lookUp(inode, `${folder}/task/${number}/ns/${name}`);
          continue;
        }
        ofThreads.set(`${number} ${type}`, inode);
        add(type, inode, {by: 'thread', pid, tid: number});
        at(type, inode).inhabited = true;
        if (type === 'mnt') files.set(inode, `${folder}/task/${number}/ns/mnt`);
        lookUp(inode, `${folder}/task/${number}/ns/${name}`);
      } else {
        if (name !== typeOfLink(name)) {
          if (own.get(type) !== inode) add(type, inode, {by: 'children', pid});
        } else {
          own.set(type, inode);
          const found = at(type, inode);
          found.processes++;
          const some = isZombie ? found.zombies : found.pids;
          if (some.length < 3) some.push(pid);
        }
        lookUp(inode, `${folder}/ns/${name}`);
        if (name === 'mnt') lookAtMounts(inode, pid);
      }
    }
  };

  let rest: Generator<void, Refusal | null> | null = null;
  const isWhole = (): boolean => next >= pids.length && rest === null && (whole === null ? pids.length === 0 : whole === building);
  let resting: NodeJS.Timeout | undefined;
  /** While it stands it has an fd of a mount namespace, which keeps that and its mounts alive. What it has read is not read again. */
  const release = () => {
    clearTimeout(resting);
    rest?.return(null);
    rest = null;
  };
  const renew = () => {
    release();
    const all: Seen<number[]> = readNumbers('/proc');
    pids = isRefusal(all) ? [] : all;
    next = 0;
    sockets = createSocketNetworks(sockets.known, MOST_SOCKETS);
    building = {byInode: new Map(), sockets: new Map(), unlisted: null, asked: 0, of: pids.length};
    owners = new Set();
    tables = new Map();
    opened = [];
    files = new Map();
  };
  const begin = () => {
    if (isWhole()) renew();
  };
  const restart = () => {
    whole = null;
    renew();
  };
  const settle = (limit: number) => {
    // The last counts when the rest is done as well.
    building.asked = Math.min(next, pids.length - 1);
    if (next < pids.length) return;
    clearTimeout(resting);
    rest ??= remainder();
    do {
      const step = rest.next();
      if (!step.done) continue;
      building.unlisted = step.value;
      building.asked = building.of;
      whole = building;
      rest = null;
    } while (rest !== null && performance.now() < limit);
    if (rest !== null) resting = setTimeout(release, RESTS_FOR).unref();
  };
  const advance = (milliseconds: number) => {
    const limit = performance.now() + milliseconds;
    begin();
    while (next < pids.length && performance.now() < limit) {
      const pid = pids[next++] ?? 0;
      ask(pid, readHolds(pid, LINKS | FDS | SOCKETS));
    }
    settle(limit);
  };
  const many = {rows: new BigInt64Array(0), counts: new Int32Array(BATCH)};
  const aside = async () => {
    begin();
    if (next >= pids.length) return settle(performance.now() + REST);
    const [of, first] = [building, next];
    if (many.rows.length === 0) many.rows = new BigInt64Array(BATCH_ROWS * 4);
    const batch = Int32Array.from(pids.slice(first, first + BATCH));
    const done = await loadNative().holdsOf(batch, LINKS | FDS | SOCKETS, many.rows, BATCH_ROWS, many.counts);
    // Somebody could not wait, and went on meanwhile.
    if (of !== building || first !== next) return;
    let row = 0;
    for (let i = 0; i < done; i++) {
      const count = many.counts[i] ?? 0;
      ask(batch[i] ?? 0, decodeHolds(many.rows, row, count));
      row += Math.max(0, count);
    }
    next += done;
    if (next < pids.length) building.asked = next;
  };
  return {
    advance,
    restart,
    want: paced({advance, aside, isWhole}),
    get found() {
      return whole ?? building;
    },
  };
}

/** The one that all who want to know share. */
export const machineLook: HoldersLook = createHolders();
