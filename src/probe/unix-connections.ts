// Knows how to read what sockets the processes of a tree have besides those of the internet: who listens by a path, the connections by unix
// sockets that leave the tree, and who has the other ends.

import {lstatSync} from 'node:fs';
import {isRefusal, type Mount, type Refusal, type Seen} from '../model/fact.ts';
import type {Holder, OtherSocket, PathSocket, UnixConnection} from '../model/network.ts';
import {createSocketNetworks, machineLook, pathOfPin, readSocketFds, TUN} from './holders.ts';
import {decodeTable, readMountinfo} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {decodeUnixSockets, type UnixMessage} from './netlink.ts';
import {dump, isCut, UNIX} from './network-dump.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {readStat} from './process.ts';

/** Processes of a tree; processes whose fds are read at once; of each kind of socket; peers of one. */
const MOST = {tree: 4096, asked: 300, shown: 200, peers: 8};
/** Milliseconds in which a tree is walked, and in which network namespaces are asked: what is not read then is told. */
const PATIENCE = 500;

const UNIX_TYPES: {readonly [type: number]: string} = {1: 'stream', 2: 'datagram', 5: 'seqpacket'};
export const SOCK_DGRAM = 2;

export const unixType = (type: number): string => UNIX_TYPES[type] ?? String(type);

/** A process and what descends from it, each before its children: as far as /proc/PID/task/TID/children tells (proc(5)). */
export function readTree(root: number, cut: string[]): number[] {
  const tree = [root];
  const limit = performance.now() + PATIENCE;
  let index = 0;
  for (; index < tree.length && tree.length < MOST.tree && performance.now() < limit; index++) {
    const pid = tree[index] ?? 0;
    const tids = readNumbers(`/proc/${pid}/task`);
    for (const tid of isRefusal(tids) ? [] : tids) {
      const text = readText(`/proc/${pid}/task/${tid}/children`);
      if (!isRefusal(text)) for (const child of text.split(' ')) if (child !== '') tree.push(Number(child));
    }
  }
  if (index < tree.length) cut.push('processes below it');
  return tree.slice(0, MOST.tree);
}

function ancestorsOf(pid: number): number[] {
  const above: number[] = [];
  for (let at = pid; at > 0 && above.length < 32; ) {
    const stat = readStat(at);
    at = isRefusal(stat) ? 0 : stat.ppid;
    if (at > 0) above.push(at);
  }
  return above;
}

const networkOf = (pid: number): string | null => {
  const link = readLink(`/proc/${pid}/ns/net`);
  return isRefusal(link) ? null : (/\d+/.exec(link)?.[0] ?? null);
};

/** `protocol`: as the kernel names it (UNIX, UNIX-STREAM, TCPv6, PACKET, AF_VSOCK); empty where it does not tell. */
type OwnSocket = {readonly pid: number; readonly fd: number; readonly protocol: string};

/** By inode; that of a socket is the same all its life. */
let knownProtocols: ReadonlyMap<string, string> = new Map();
const name = Buffer.alloc(64);

function protocolOf(pid: number, fd: number, inode: string): string {
  const known = knownProtocols.get(inode);
  if (known !== undefined) return known;
  const size = loadNative().socketProtocol(pid, fd, BigInt(inode), name, name.length);
  return size < 0 ? '' : name.toString('latin1', 0, size);
}

/** By inode the sockets of those processes. Refused where all of them refuse; `unread`: how many do. */
function ownSockets(tree: readonly number[], cut: string[]): Seen<{own: Map<string, OwnSocket>; unread: number}> {
  const own = new Map<string, OwnSocket>();
  let refused: Refusal | null = null;
  let unread = 0;
  for (const pid of tree) {
    const fds = readSocketFds(pid);
    if (isRefusal(fds)) {
      // It may have ended since.
      if (fds.errno !== 'EACCES' && fds.errno !== 'EPERM') continue;
      refused ??= fds;
      unread++;
      continue;
    }
    if (fds.cut) cut.push(`fds of ${pid}`);
    for (const {by, number, inode} of fds.held)
      if (by === 'socket' && inode !== TUN && !own.has(inode)) own.set(inode, {pid, fd: number, protocol: protocolOf(pid, number, inode)});
  }
  knownProtocols = new Map([...own].flatMap(([inode, {protocol}]) => (protocol === '' ? [] : [[inode, protocol]])));
  return refused !== null && unread === tree.length ? refused : {own, unread};
}

const mayBeUnix = ({protocol}: OwnSocket): boolean => protocol === '' || protocol.startsWith('UNIX');

/** Its other end is no file yet: nobody has accepted it. The end of a stream that is closed has said so (unix_release_sock(), af_unix.c). */
const isWaiting = ({peer, closed, type}: UnixMessage): boolean => peer === '0' && !closed && type !== SOCK_DGRAM;

/** Unix sockets by inode, and by the inode of one that waits to be accepted that which listens. */
type Sockets = {
  readonly known: Map<string, UnixMessage>;
  readonly listeners: Map<string, UnixMessage>;
  readonly ask: (path: string) => void;
};

/**
 * The unix sockets of as many network namespaces as are needed to know all of `own`, and the names of their other ends: sock_diag(7) tells of the
 * sockets that were made in the namespace. What a listener accepts was made where its client is (unix_stream_connect(), af_unix.c), which may be
 * anywhere. `others`: network namespaces that are asked at last.
 */
function readSockets(own: ReadonlyMap<string, OwnSocket>, pids: readonly number[], others: Iterable<string>, cut: string[]): Seen<Sockets> {
  const known = new Map<string, UnixMessage>();
  const listeners = new Map<string, UnixMessage>();
  const asked = new Set<string>();
  const limit = performance.now() + PATIENCE;
  let refused: Refusal | null = null;
  const ask = (path: string) => {
    const link = readLink(path);
    if (isRefusal(link) || asked.has(link)) return;
    if (performance.now() > limit) {
      cut.push('network namespaces');
      return;
    }
    asked.add(link);
    const bytes = dump(path, UNIX);
    if (isRefusal(bytes)) {
      refused ??= bytes;
      return;
    }
    if (isCut(bytes)) cut.push('unix sockets');
    for (const socket of decodeUnixSockets(bytes)) {
      known.set(socket.inode, socket);
      for (const waiting of socket.waiting) listeners.set(waiting, socket);
    }
  };
  const wanted = [...own].filter(([, socket]) => mayBeUnix(socket));
  const unknown = () => wanted.filter(([inode]) => !known.has(inode));
  const isWhole = () =>
    wanted.every(([inode]) => {
      const socket = known.get(inode);
      if (socket === undefined) return false;
      if (isWaiting(socket)) return listeners.has(inode);
      return socket.name !== '' || socket.peer === null || socket.peer === '0' || known.has(socket.peer);
    });
  for (const pid of [...pids, process.pid]) ask(`/proc/${pid}/ns/net`);
  const networks = createSocketNetworks();
  for (const [inode, {pid, fd, protocol}] of unknown())
    if (protocol !== '' && !known.has(inode)) networks.networkOf(pid, fd, inode, (_, path) => ask(path));
  for (const path of others) {
    if (isWhole()) break;
    ask(path);
  }
  if (refused !== null && known.size === 0) return refused;
  if (unknown().some(([, {protocol}]) => protocol !== '')) cut.push('unix sockets of other network namespaces');
  return {known, listeners, ask};
}

/** Who has them open, besides `tree`: those that are related are asked first, and the rest by another thread where they are many. */
function readHolders(wanted: ReadonlySet<string>, tree: ReadonlySet<number>, root: number, cut: string[]): Map<string, number[]> {
  const held = new Map<string, number[]>();
  if (wanted.size === 0) return held;
  const all = readNumbers('/proc');
  const pids = [...new Set([...ancestorsOf(root), ...(isRefusal(all) ? [] : all)])].filter(pid => !tree.has(pid));
  const add = (inode: string, pid: number) => {
    const holders = held.get(inode) ?? [];
    if (holders.includes(pid)) return;
    if (holders.length < MOST.peers) held.set(inode, [...holders, pid]);
    else cut.push(`more than ${MOST.peers} who have the same end`);
  };
  for (const pid of pids.slice(0, MOST.asked)) {
    const fds = readSocketFds(pid);
    for (const {by, inode} of isRefusal(fds) ? [] : fds.held) if (by === 'socket' && wanted.has(inode)) add(inode, pid);
  }
  if (pids.length <= MOST.asked || held.size === wanted.size) return held;
  machineLook.want();
  const {sockets, asked, of} = machineLook.found;
  if (asked < of) cut.push('the other ends of unix sockets');
  for (const inode of wanted) for (const pid of sockets.get(inode) ?? []) if (!tree.has(pid)) add(inode, pid);
  return held;
}

function createComms(): (pid: number) => string {
  const comms = new Map<number, string>();
  return pid => {
    const comm = comms.get(pid) ?? readText(`/proc/${pid}/comm`);
    const text = isRefusal(comm) ? '?' : comm.trimEnd();
    comms.set(pid, text);
    return text;
  };
}

/** How many fds wait in it to be received: each leads where whoever sent it could get (unix(7), SCM_RIGHTS). Linux 5.8. */
function passedFds(pid: number, fd: number): {readonly passed?: number} {
  const text = readText(`/proc/${pid}/fdinfo/${fd}`);
  const passed = isRefusal(text) ? 0 : Number(/^scm_fds:\s*(\d+)$/m.exec(text)?.[1] ?? 0);
  return passed > 0 ? {passed} : {};
}

/** Whether a process finds no file any more where its socket was bound: nobody reaches it by that path. Of a relative one nobody knows. */
function createFinder(): (pid: number, path: string) => boolean {
  const tables = new Map<number, readonly Mount[]>();
  return (pid, path) => {
    if (!path.startsWith('/')) return false;
    const table = tables.has(pid) ? Buffer.alloc(0) : readMountinfo(pid);
    const mounts = tables.get(pid) ?? (isRefusal(table) ? [] : decodeTable(table));
    tables.set(pid, mounts);
    const place = mounts.length === 0 ? null : pathOfPin(pid, path, mounts);
    try {
      return place !== null && lstatSync(place, {throwIfNoEntry: false}) === undefined;
    } catch {
      return false;
    }
  };
}

const isInternet = (protocol: string): boolean => /^(TCP|UDP|UDP-Lite|MPTCP|PING|RAW)(v6)?$/.test(protocol);

export type TreeSockets = {
  readonly connected: Seen<UnixConnection[]>;
  readonly paths: Seen<PathSocket[]>;
  readonly others: Seen<OtherSocket[]>;
  /** Processes of the tree that are not to be read. */
  readonly unread: number;
};

/**
 * Of the processes of `tree`, whose first is its root. Bounded by the fds of the tree, by the sockets of the namespaces, and by the fds of 300
 * others, with what another thread has read of the rest. `paths`: other network namespaces.
 */
export function readTreeSockets(tree: readonly number[], paths: Iterable<string>, cut: string[]): TreeSockets {
  const read = ownSockets(tree, cut);
  if (isRefusal(read)) return {connected: read, paths: read, others: read, unread: tree.length};
  const {own, unread} = read;
  const comm = createComms();
  const whose = ({pid, fd}: OwnSocket) => ({pid, comm: comm(pid), fd});
  const others = [...own.values()]
    .filter(socket => !mayBeUnix(socket) && !isInternet(socket.protocol))
    .map(socket => ({...whose(socket), protocol: socket.protocol}));
  if (others.length > MOST.shown) cut.push('other sockets');
  const told = {others: others.slice(0, MOST.shown), unread};
  if (![...own.values()].some(mayBeUnix)) return {connected: [], paths: [], ...told};
  const sockets = readSockets(own, [...tree, ...ancestorsOf(tree[0] ?? 0)], paths, cut);
  if (isRefusal(sockets)) return {connected: sockets, paths: sockets, ...told};
  return {connected: connectionsOf(own, sockets, tree, comm, cut), paths: boundOf(own, sockets, comm, cut), ...told};
}

/** Those that others reach by a path: of datagrams once they are bound, the others when they listen. */
function boundOf(own: ReadonlyMap<string, OwnSocket>, {known}: Sockets, comm: (pid: number) => string, cut: string[]): PathSocket[] {
  const bound = [...own].flatMap(([inode, {pid, fd}]) => {
    const socket = known.get(inode);
    if (socket === undefined || socket.abstract || socket.name === '' || !(socket.listens || socket.type === SOCK_DGRAM)) return [];
    return [{pid, fd, socket}];
  });
  if (bound.length > MOST.shown) cut.push('unix sockets by path');
  const isGone = createFinder();
  return bound.slice(0, MOST.shown).map(({pid, fd, socket: {name, type}}) => ({
    pid,
    comm: comm(pid),
    fd,
    type: unixType(type),
    name,
    ...(isGone(pid, name) ? {gone: true} : {}),
    ...passedFds(pid, fd),
  }));
}

function connectionsOf(
  own: ReadonlyMap<string, OwnSocket>,
  {known, listeners, ask}: Sockets,
  tree: readonly number[],
  comm: (pid: number) => string,
  cut: string[],
): UnixConnection[] {
  const found: {pid: number; fd: number; peer: string; socket: UnixMessage; waits: boolean}[] = [];
  for (const [inode, {pid, fd}] of own) {
    const socket = known.get(inode);
    if (socket === undefined || socket.peer === null) continue;
    const waits = isWaiting(socket);
    const peer = waits ? (listeners.get(inode)?.inode ?? '0') : socket.peer;
    if ((peer !== '0' || waits) && !own.has(peer)) found.push({pid, fd, peer, socket, waits});
  }
  if (found.length > MOST.shown) cut.push('unix sockets');
  const shown = found.slice(0, MOST.shown);
  const held = readHolders(new Set(shown.flatMap(({peer}) => (peer === '0' ? [] : [peer]))), new Set(tree), tree[0] ?? 0, cut);
  return shown.map(({pid, fd, peer, socket, waits}) => {
    const network = networkOf(pid);
    const holders = held.get(peer) ?? [];
    // A socket of datagrams was made where its holder is, most likely.
    if (socket.name === '' && !known.has(peer)) for (const holder of holders) ask(`/proc/${holder}/ns/net`);
    return {
      pid,
      comm: comm(pid),
      fd,
      type: unixType(socket.type),
      // Whichever of both was bound: the one that listened.
      name: socket.name !== '' ? socket.name : (known.get(peer)?.name ?? ''),
      ...(waits ? {waits} : {}),
      ...passedFds(pid, fd),
      peers: holders.map((holder): Holder => {
        const there = networkOf(holder);
        return {pid: holder, comm: comm(holder), ...(there !== null && there !== network ? {namespace: there} : {})};
      }),
    };
  });
}
