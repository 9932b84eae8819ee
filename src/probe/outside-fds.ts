// Knows how to find the open files of a process that lead to where it could not get by itself.

import {closeSync, constants, openSync, statSync} from 'node:fs';
import {isRefusal, type Mount, type Seen} from '../model/fact.ts';
import type {OutsideFd, OutsideFds} from '../model/sharing.ts';
import {namespacesApart} from './apart.ts';
import {createSocketNetworks, TUN} from './holders.ts';
import {decodeTable, readMountinfo} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';

/** fds that are looked at: a link and a small file each. */
const MOST_FDS = 1024;
/** O_PATH of open(2), which Node does not name; alike on x86-64 and aarch64 (include/uapi/asm-generic/fcntl.h). */
const O_PATH = 0o10000000;
/** Not alike on all machines. */
const {O_DIRECTORY} = constants;

/** What nsview uses of /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)). `pid` is that of a pidfd: 0 not visible from here, -1 ended. */
function decodeFdinfo(text: string): {readonly mount: number | null; readonly pid: number | null; readonly flags: number} {
  const number = (key: string): number | null => {
    const value = new RegExp(`^${key}:\\s*(-?[0-9]+)$`, 'm').exec(text)?.[1];
    return value === undefined ? null : Number(value);
  };
  const flags = /^flags:\s*([0-7]+)$/m.exec(text)?.[1];
  return {mount: number('mnt_id'), pid: number('Pid'), flags: flags === undefined ? 0 : Number.parseInt(flags, 8)};
}

/**
 * Files of mounts that are the kernel's own: of memfd_create(2), memfd_secret(2), shmat(2), mmap(2) of nothing that is shared, and of dma-buf, which
 * graphics drivers hand out. Any file may be called so, on a mount that a table has.
 */
const isOfKernel = (path: string): boolean =>
  /^\/(memfd:|secretmem \(deleted\)$|SYSV|anon_hugepage|dev\/zero \(deleted\)$|dmabuf:)/.test(path);

/** The id of the mount under a link of /proc, as exe, by an fd that opens nothing. */
function mountUnder(link: string): number | null {
  try {
    const fd = openSync(link, O_PATH);
    try {
      const info = readText(`/proc/self/fdinfo/${fd}`);
      return isRefusal(info) ? null : decodeFdinfo(info).mount;
    } finally {
      closeSync(fd);
    }
  } catch {
    return null;
  }
}

/** File systems that ask somebody else, who may never answer: what lies on them is neither opened nor asked for its type. */
export const isRemote = (fsType: string): boolean =>
  /^(nfs|cifs|smb|9p|ceph|afs|fuse|lustre|gfs|ocfs|coda|ncp|virtiofs|autofs)/.test(fsType);

/** By id. */
function readTable(pid: number | 'self'): ReadonlyMap<number, Mount> {
  const table = readMountinfo(pid);
  return new Map(isRefusal(table) ? [] : decodeTable(table).map(mount => [mount.id, mount]));
}

const withoutDeleted = (path: string): string => (path.endsWith(' (deleted)') ? path.slice(0, -' (deleted)'.length) : path);

/** Outside of its root directory: both paths as nsview's own /proc tells them. */
const isBelow = (path: string, root: string): boolean => root === '/' || path === root || path.startsWith(`${root}/`);

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Of an fd by O_PATH: those of open_tree(2) and fsmount(2) are without O_DIRECTORY, and their mounts in no table. */
const isPathOfDirectory = (task: number, fd: number): boolean => loadNative().pathIsDirectory(task, fd) === 1;

/** Mount tables by which an fd is placed, each read once and only if it is needed. */
function places(folder: string, task: number, parent: number) {
  const kept = new Map<number | 'self', ReadonlyMap<number, Mount>>();
  const ids = (pid: number | 'self'): ReadonlyMap<number, Mount> => {
    const known = kept.get(pid) ?? readTable(pid);
    kept.set(pid, known);
    return known;
  };
  const space = readLink(`${folder}/ns/mnt`);
  const isHere = (pid: number | 'self') => !isRefusal(space) && readLink(`/proc/${pid}/ns/mnt`) === space;
  /** The id of the mount under its root or cwd; null too where a look at it might never return. */
  const under = (link: 'root' | 'cwd' | 'exe'): number | null => {
    const path = readLink(`${folder}/${link}`);
    if (isRefusal(path)) return null;
    for (const {point, fsType} of ids(task).values()) if (isRemote(fsType) && isBelow(path, point)) return null;
    return mountUnder(`${folder}/${link}`);
  };
  const root = under('root');
  const placeOf = (mount: number): 'here' | 'nsview' | 'parent' | null => {
    // Below a chroot its own table shows only what lies there: those of its neighbours in the same namespace show the rest.
    if (ids(task).has(mount)) return 'here';
    if (ids('self').has(mount)) return isHere('self') ? 'here' : 'nsview';
    if (parent > 0 && ids(parent).has(mount)) return isHere(parent) ? 'here' : 'parent';
    // Its root may be in another namespace (chroot(2) by an fd), which only a table of that one can tell.
    return mount === root ? 'here' : null;
  };
  /** It is a local file system, and known to be one. */
  const isLocal = (mount: number): boolean => {
    const found = ids(task).get(mount) ?? ids('self').get(mount) ?? (parent > 0 ? ids(parent).get(mount) : undefined);
    return found !== undefined && !isRemote(found.fsType);
  };
  return {placeOf, isLocal, under, root};
}

/** What was found of sockets, so that a look a second later need not ask again. */
let knownNetworks: ReadonlyMap<string, string | null> = new Map();

/** The other network namespace that a socket is in; null: none, undefined: not to be known. It stays where it was made (network_namespaces(7)). */
function networks(folder: string, task: number) {
  const own = readLink(`${folder}/ns/net`);
  const sockets = createSocketNetworks(knownNetworks);
  return {
    elsewhere: (fd: number, socket: string): string | null | undefined => {
      const inode = sockets.networkOf(task, fd, socket, () => {});
      if (inode === null || isRefusal(own)) return undefined;
      return own === `net:[${inode}]` ? null : inode;
    },
    keep: () => {
      // What one process refuses another may tell.
      knownNetworks = new Map([...sockets.known].filter(([, inode]) => inode !== null));
    },
  };
}

/** `folder` is that of the task in /proc, `task` its id. */
export function readOutsideFds(folder: string, task: number, parent: number): Seen<OutsideFds> {
  const fds = readNumbers(`${folder}/fd`);
  if (isRefusal(fds)) return fds;
  const root = readLink(`${folder}/root`);
  if (isRefusal(root)) return root;
  const {placeOf, isLocal, under, root: rootMount} = places(folder, task, parent);
  const outside: OutsideFd[] = [];
  const {elsewhere, keep} = networks(folder, task);
  let unknown = 0;

  const placed = (fd: number | null, path: string, mount: number | null, flags = 0, link?: 'root' | 'exe'): void => {
    if (mount === null) return;
    const place = placeOf(mount);
    if (place === null && isOfKernel(path)) return;
    if (place === 'here' && isBelow(withoutDeleted(path), withoutDeleted(root))) return;
    // stat(2) on a file system whose server is gone does not return: there the flag says it, with which directories are opened.
    const directory =
      (fd === null && link !== 'exe') ||
      (flags & O_DIRECTORY) !== 0 ||
      (fd !== null && (isLocal(mount) ? isDirectory(`${folder}/fd/${fd}`) : (flags & O_PATH) !== 0 && isPathOfDirectory(task, fd)));
    const kind = place === 'here' ? 'root' : 'mount';
    outside.push({
      fd,
      ...(link === undefined ? {} : {link}),
      path,
      leads: {kind, directory, ...(place === 'nsview' || place === 'parent' ? {where: place} : {})},
    });
  };

  placed(null, root, rootMount, 0, 'root');
  const exe = readLink(`${folder}/exe`);
  if (!isRefusal(exe)) placed(null, exe, under('exe'), 0, 'exe');
  const cwd = readLink(`${folder}/cwd`);
  if (!isRefusal(cwd)) placed(null, cwd, under('cwd'));

  for (const fd of fds.slice(0, MOST_FDS)) {
    const path = readLink(`${folder}/fd/${fd}`);
    if (isRefusal(path)) continue;
    const entered = /^([a-z]+):\[([0-9]+)\]$/.exec(path);
    const isNamespace = entered !== null && !/^(pipe|socket|pidfd)$/.test(entered[1] ?? '');
    if (isNamespace) {
      const [, type = '', inode = ''] = entered;
      if (readLink(`${folder}/ns/${type}`) !== path) outside.push({fd, path, leads: {kind: 'namespace', type, inode}});
      continue;
    }
    if (/\/net\/tun$/.test(path)) {
      const inode = elsewhere(fd, TUN);
      if (inode !== undefined && inode !== null) {
        outside.push({fd, path, leads: {kind: 'socket', inode}});
        continue;
      }
    }
    const [, socket] = /^socket:\[([0-9]+)\]$/.exec(path) ?? [];
    if (socket !== undefined) {
      const inode = elsewhere(fd, socket);
      if (inode === undefined) unknown++;
      else if (inode !== null) outside.push({fd, path, leads: {kind: 'socket', inode}});
      continue;
    }
    const isPidfd = path === 'anon_inode:[pidfd]' || path.startsWith('pidfd:');
    if (!isPidfd && !path.startsWith('/')) continue;
    const text = readText(`${folder}/fdinfo/${fd}`);
    if (isRefusal(text)) continue;
    const info = decodeFdinfo(text);
    if (!isPidfd) placed(fd, path, info.mount, info.flags);
    else if (info.pid !== null && info.pid > 0) {
      const apart = namespacesApart(folder, `/proc/${info.pid}`);
      if (apart.length > 0) outside.push({fd, path, leads: {kind: 'process', pid: info.pid, apart}});
    }
  }
  keep();
  return {outside, open: fds.length, left: Math.max(0, fds.length - MOST_FDS), ...(unknown > 0 ? {sockets: unknown} : {})};
}
