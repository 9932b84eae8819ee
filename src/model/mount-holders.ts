// Knows the shape of a reading of what keeps a mount busy.

import type {Refusal} from './seen.ts';

/** What of a process is on it: each keeps umount(2) from succeeding (EBUSY). */
export type MountUse = {
  /** `ring`: a file that is registered with an io_uring(7), of which `fd` is the ring. */
  readonly by: 'cwd' | 'root' | 'exe' | 'fd' | 'map' | 'socket' | 'ring';
  readonly pid: number;
  readonly comm: string;
  /** The thread that has it by itself, where not all threads of the process have it. */
  readonly tid?: number;
  /** SIGTERM does nothing to the process. */
  readonly deaf?: true;
  /** It is a kernel thread. */
  readonly kernel?: true;
  readonly fd?: number;
  /** Of an fd, a mapped file or the name that a unix socket is bound to, where it is to be read. */
  readonly path?: string;
  /** The device is the same, but the kernel does not tell nsview which mount of it. */
  readonly perhaps?: true;
};

/** The same file system, or the same part of it, mounted elsewhere: it lives on though this mount goes. */
export type MountCopy = {
  /** Of its mount namespace, and a process that is in it; 0 where that is nsview's own. */
  readonly inode: string;
  readonly pid: number;
  readonly id: number;
  readonly point: string;
  /**
   * On a peer or a slave of the mount above, or a slave of these, and nothing of its own is mounted on it: an unmount here unmounts it as well, and
   * fails where it is busy (mount_namespaces(7)).
   */
  readonly together: boolean;
  /** No process is in that mount namespace. */
  readonly empty?: true;
  readonly uses: readonly MountUse[];
};

/**
 * A mount of the same file system that is in no mount namespace: made by open_tree(2) or fsmount(2) and not attached, unmounted lazily, or
 * the kernel's own, as of mqueue(7).
 * It goes with the last that is on it.
 */
type MountDetached = {readonly id: number; readonly uses: readonly MountUse[]};

/**
 * An overlay with a layer on the file system: it has a mount of its own for that, which nobody sees (clone_private_mount(), fs/namespace.c), so that
 * umount works, and the file system is in use. `pid` as of a copy.
 */
export type MountOverlay = {readonly inode: string; readonly pid: number; readonly point: string; readonly layer: string};

/** A loop device whose file is on it: the kernel has that open, and no process's fd tells of it (loop(4)). */
export type MountLoop = {
  readonly device: string;
  readonly file: string;
  /** Where the device itself is mounted, if it is; `pid` as of a copy. */
  readonly at?: {readonly inode: string; readonly pid: number; readonly point: string};
};

/** A unix socket of a process in whose queue are fds that were sent and not received: where they lead nobody tells. */
type MountQueue = {readonly pid: number; readonly comm: string; readonly fd: number; readonly fds: number};

export type MountHolders = {
  readonly inode: string;
  /** A process in that mount namespace, where it is not nsview's own. */
  readonly pid?: number;
  readonly id: number;
  readonly point: string;
  readonly fsType: string;
  readonly source: string;
  /** A user namespace that is not the first owns its mount namespace: what came into that with it is locked, and nobody tells what did. */
  readonly perhapsLocked?: true;
  /** As asked for, where it is below the mount point. */
  readonly asked?: string;
  readonly uses: readonly MountUse[];
  /** Mounts directly on it, by their mount points. */
  readonly below: readonly string[];
  readonly loops?: readonly MountLoop[];
  /** Swap files on it, which the kernel has open. */
  readonly swaps?: readonly string[];
  readonly queues?: readonly MountQueue[];
  readonly copies: readonly MountCopy[];
  readonly detached?: readonly MountDetached[];
  readonly overlays?: readonly MountOverlay[];
  /** How many processes were asked so far, of how many, and how many of them nsview may not ask. */
  readonly processes: number;
  readonly of: number;
  readonly unread: number;
  /** Uses that are left out, since there are too many. */
  readonly more: number;
  /** Mount namespaces whose mounts are not to be read. */
  readonly refused: Refusal | null;
};
