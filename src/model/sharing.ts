// Knows the shape of a reading of what a process shares with others, and what clone(2) can share: one row each.

import type {NamespaceType} from './namespace.ts';
import type {UnixConnection} from './network.ts';
import type {Seen} from './seen.ts';

/**
 * What two tasks can have in common besides namespaces. `kcmp` is the number of linux/kcmp.h, `flag` the one of clone(2) by which they came
 * to share it; CLONE_FILES, CLONE_FS and CLONE_SYSVSEM are undone by unshare(2), CLONE_VM and CLONE_FILES by execve(2).
 */
export const SHAREABLE = [
  {kind: 'files', flag: 'CLONE_FILES', kcmp: 2, what: 'file table', means: 'an fd that one opens or closes is open or closed in all'},
  {kind: 'fs', flag: 'CLONE_FS', kcmp: 3, what: 'cwd, root and umask', means: 'chdir, chroot or umask by one of them moves all'},
  {kind: 'vm', flag: 'CLONE_VM', kcmp: 1, what: 'memory', means: 'what one writes, all read at once'},
  {kind: 'sighand', flag: 'CLONE_SIGHAND', kcmp: 4, what: 'signal handlers', means: 'a handler that one sets is set in all'},
  {kind: 'io', flag: 'CLONE_IO', kcmp: 5, what: 'I/O context', means: 'the I/O scheduler takes them for one'},
  {
    kind: 'sysvsem',
    flag: 'CLONE_SYSVSEM',
    kcmp: 6,
    what: 'semaphore undo',
    means: 'System V semaphores are undone only when the last of them ends',
  },
] as const;

export type Shareable = (typeof SHAREABLE)[number]['kind'];

/** How it is related: by parent and child of the kernel; `process` where it is the process of the thread that was looked at. */
export type Relation = 'process' | 'parent' | 'child' | 'sibling' | 'other';

/** With `tid` it is a thread of that process which shares it, and its leader does not. */
export type Sharer = {readonly pid: number; readonly comm: string; readonly relation: Relation; readonly tid?: number};

/** One kind of object. `none`: the process has none of it, so that there is nothing to share. */
export type SharedObject = {
  readonly kind: Shareable;
  readonly none?: true;
  /** The nearest first, at most 64 of them; `count` says how many there are. */
  readonly with: readonly Sharer[];
  readonly count: number;
};

/**
 * What an open fd, or its directories or its program, lead to that it could not open itself:
 * `mount`: a file on a mount that its mount table does not have, in `where` if that table was found among those of its parent and nsview;
 * `root`: a file of its own mount namespace that lies outside of its root directory;
 * `namespace`: a namespace that it is not in (setns(2) enters it);
 * `process`: a process by pidfd_open(2), alive, in other namespaces than its own;
 * `socket`: a socket that was made in another network namespace, or a file of /dev/net/tun that was opened there: it stays there.
 */
export type OutsideFd = {
  /** null: its current directory, which needs no fd, or what `link` says. */
  readonly fd: number | null;
  /** Its root directory, or its program (proc_pid_root(5), proc_pid_exe(5)). */
  readonly link?: 'root' | 'exe';
  readonly path: string;
  readonly leads:
    | {readonly kind: 'mount' | 'root'; readonly directory: boolean; readonly where?: 'nsview' | 'parent'}
    | {readonly kind: 'namespace'; readonly type: string; readonly inode: string}
    | {readonly kind: 'socket'; readonly inode: string}
    | {readonly kind: 'process'; readonly pid: number; readonly apart: readonly NamespaceType[]};
};

export type OutsideFds = {
  readonly outside: readonly OutsideFd[];
  /** Of so many. */
  readonly open: number;
  readonly left: number;
  /** Sockets whose network namespace is not to be known. */
  readonly sockets?: number;
};

/** A thread that is not like its process in something other than namespaces; only what differs is there. */
export type ThreadApart = {
  readonly tid: number;
  readonly comm: string;
  /** Objects of clone(2) that it has of its own (unshare(2)). */
  readonly objects?: readonly Shareable[];
  readonly cwd?: Seen<string>;
  readonly root?: Seen<string>;
  /** What of a file table of its own leads outside of where it is. */
  readonly outside?: readonly OutsideFd[];
  /** Lines of /proc/PID/status by their keys: of the thread, and of the process. */
  readonly status?: {readonly [key: string]: {readonly thread: string; readonly process: string}};
};

/** Memory that the process and others have mapped shared. */
export type SharedMapping = {
  readonly path: string;
  /** `major:minor inode` as /proc/PID/maps has it. */
  readonly file: string;
  readonly bytes: number;
  /** The process may write to it. */
  readonly writes: boolean;
  readonly with: readonly {
    readonly pid: number;
    readonly comm: string;
    readonly writes: boolean;
    readonly apart: readonly NamespaceType[];
  }[];
};

export type SharedMemory = {
  readonly mappings: readonly SharedMapping[];
  /** Processes whose maps were read; were refused; are left. */
  readonly read: number;
  readonly refused: number;
  readonly left: number;
};

export type Sharing = {
  /** One for each row of SHAREABLE; a refusal where kcmp(2) cannot say. */
  readonly objects: Seen<readonly SharedObject[]>;
  /** Processes that were compared; that the kernel did not let compare; that there are besides. */
  readonly compared: number;
  readonly refused: number;
  readonly left: number;
  readonly fds: Seen<OutsideFds>;
  readonly threads: readonly ThreadApart[];
  readonly memory: Seen<SharedMemory>;
};

/** A process; with `tid` a thread of it. */
export type SharingTask = {readonly pid: number; readonly tid?: number};

/** What has one object of clone(2). */
export type SharingGroup = {
  readonly kind: Shareable;
  readonly flag: string;
  /** Of the tree: processes, and threads that do not share it with their process. One alone is such a thread. At most 256. */
  readonly tasks: readonly SharingTask[];
  /** Processes outside of the tree, at most 256. */
  readonly outside?: readonly number[];
  readonly count: number;
};

export type MemoryHolder = {readonly pid: number; readonly writes: boolean};

/** Memory that several processes have mapped shared, at least one of the tree. */
export type MemoryGroup = {readonly path: string; readonly processes: readonly MemoryHolder[]; readonly outside?: readonly MemoryHolder[]};

export type TreeMemory = {
  readonly groups: readonly MemoryGroup[];
  /** Processes of the tree, and others, whose maps the kernel did not tell; that were not read. */
  readonly refused: number;
  readonly refusedOutside: number;
  readonly left: number;
};

/** What the processes of a tree share, and which fds of theirs reach outside. */
export type TreeSharing = {
  readonly groups: Seen<readonly SharingGroup[]>;
  /** Only processes that have such fds, or that refused. */
  readonly fds: readonly {readonly pid: number; readonly outside: Seen<readonly OutsideFd[]>}[];
  readonly unix: Seen<readonly UnixConnection[]>;
  readonly memory?: TreeMemory;
  /** Tasks that the kernel did not let compare; how many of them are not of the tree: those of it are known to each other. */
  readonly refused: number;
  readonly refusedOutside?: number;
  readonly left: number;
  /** What was longer than nsview reads. */
  readonly cut: readonly string[];
};
