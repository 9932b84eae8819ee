// Knows how to find the connections by unix sockets that leave a tree of processes, and who has the other ends.

import {isRefusal, type Seen} from '../model/fact.ts';
import type {Holder, UnixConnection} from '../model/network.ts';
import {machineLook, readNamespaceFds} from './holders.ts';
import {decodeUnixSockets, type UnixMessage} from './netlink.ts';
import {dump, isCut, UNIX} from './network-dump.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {readStat} from './process.ts';

/** Processes of a tree; network namespaces that are asked; processes whose fds are read at once; connections; peers of one. */
const MOST = {tree: 256, namespaces: 16, asked: 300, shown: 200, peers: 8};

const UNIX_TYPES: {readonly [type: number]: string} = {1: 'stream', 2: 'datagram', 5: 'seqpacket'};

/** A process and what descends from it, each before its children: as far as /proc/PID/task/TID/children tells (proc(5)). */
export function readTree(root: number): number[] {
  const tree = [root];
  for (let index = 0; index < tree.length && tree.length < MOST.tree; index++) {
    const pid = tree[index] ?? 0;
    const tids = readNumbers(`/proc/${pid}/task`);
    for (const tid of isRefusal(tids) ? [] : tids) {
      const text = readText(`/proc/${pid}/task/${tid}/children`);
      if (!isRefusal(text)) for (const child of text.split(' ')) if (child !== '') tree.push(Number(child));
    }
  }
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

/**
 * Every unix socket by its inode, in the network namespaces of `pids` and of whoever is given by `paths`, as many as are needed to know all of
 * `wanted` and may be asked: sock_diag(7) tells of the sockets that were made in the namespace.
 */
function readSockets(
  wanted: ReadonlySet<string>,
  pids: readonly number[],
  paths: Iterable<string>,
  cut: string[],
): Seen<Map<string, UnixMessage>> {
  const known = new Map<string, UnixMessage>();
  const asked = new Set<string>();
  let refused: Seen<never> | null = null;
  let left = wanted.size;
  const ask = (path: string) => {
    const link = readLink(path);
    if (isRefusal(link) || asked.has(link) || left === 0 || asked.size >= MOST.namespaces) return;
    asked.add(link);
    const bytes = dump(path, UNIX);
    if (isRefusal(bytes)) {
      refused ??= bytes;
      return;
    }
    if (isCut(bytes)) cut.push('unix sockets');
    for (const socket of decodeUnixSockets(bytes)) {
      if (wanted.has(socket.inode) && !known.has(socket.inode)) left--;
      known.set(socket.inode, socket);
    }
  };
  for (const pid of [...pids, process.pid]) ask(`/proc/${pid}/ns/net`);
  for (const path of paths) ask(path);
  return refused !== null && known.size === 0 ? refused : known;
}

/** Who has them open, besides `tree`: those that are related are asked first, and the rest by another thread where they are many. */
function readHolders(wanted: ReadonlySet<string>, tree: ReadonlySet<number>, root: number, cut: string[]): Map<string, number[]> {
  const held = new Map<string, number[]>();
  const all = readNumbers('/proc');
  const pids = [...new Set([...ancestorsOf(root), ...(isRefusal(all) ? [] : all)])].filter(pid => !tree.has(pid));
  const add = (inode: string, pid: number) => {
    const holders = held.get(inode) ?? [];
    if (!holders.includes(pid) && holders.length < MOST.peers) held.set(inode, [...holders, pid]);
  };
  for (const pid of pids.slice(0, MOST.asked))
    for (const {by, inode} of readNamespaceFds(pid)) if (by === 'socket' && wanted.has(inode)) add(inode, pid);
  if (pids.length <= MOST.asked || held.size === wanted.size) return held;
  machineLook.want();
  const {sockets, asked, of} = machineLook.found;
  if (asked < of) cut.push('the other ends of unix sockets');
  for (const inode of wanted) for (const pid of sockets.get(inode) ?? []) if (!tree.has(pid)) add(inode, pid);
  return held;
}

/**
 * Connections of the processes of `tree`, whose first is its root, that no process of it has the other end of. Bounded by the fds of the tree, by
 * the sockets of the namespaces, and by the fds of 300 others, with what another thread has read of the rest. `paths`: other network namespaces.
 */
export function readUnixOutside(tree: readonly number[], paths: Iterable<string>, cut: string[]): Seen<UnixConnection[]> {
  const own = new Map<string, {pid: number; fd: number}>();
  for (const pid of tree)
    for (const {by, number, inode} of readNamespaceFds(pid)) if (by === 'socket' && !own.has(inode)) own.set(inode, {pid, fd: number});
  if (own.size === 0) return [];
  const sockets = readSockets(new Set(own.keys()), [...tree, ...ancestorsOf(tree[0] ?? 0)], paths, cut);
  if (isRefusal(sockets)) return sockets;
  const found: {inode: string; peer: string; socket: UnixMessage}[] = [];
  for (const inode of own.keys()) {
    const socket = sockets.get(inode);
    if (socket === undefined || socket.peer === null || socket.peer === '0' || own.has(socket.peer)) continue;
    found.push({inode, peer: socket.peer, socket});
  }
  if (found.length > MOST.shown) cut.push('unix sockets');
  const shown = found.slice(0, MOST.shown);
  const held = readHolders(new Set(shown.map(({peer}) => peer)), new Set(tree), tree[0] ?? 0, cut);
  const comms = new Map<number, string>();
  const commOf = (pid: number): string => {
    const comm = comms.get(pid) ?? readText(`/proc/${pid}/comm`);
    const text = isRefusal(comm) ? '?' : comm.trimEnd();
    comms.set(pid, text);
    return text;
  };
  return shown.map(({inode, peer, socket}) => {
    const {pid, fd} = own.get(inode) ?? {pid: 0, fd: 0};
    const network = networkOf(pid);
    const peers = (held.get(peer) ?? []).map((holder): Holder => {
      const there = networkOf(holder);
      return {pid: holder, comm: commOf(holder), ...(there !== null && there !== network ? {namespace: there} : {})};
    });
    return {
      pid,
      comm: commOf(pid),
      fd,
      type: UNIX_TYPES[socket.type] ?? String(socket.type),
      // Whichever of both was bound: the one that listened.
      name: socket.name !== '' ? socket.name : (sockets.get(peer)?.name ?? ''),
      peers,
    };
  });
}
