// Knows the shape of what a snapshot of a tree tells besides, so that two trees can be compared: what lies outside of it, and more of each process.

import type {IdRange} from './identity.ts';
import type {Seen} from './seen.ts';

/** What is not the tree's alone. */
export type Outside = {
  /** Inodes of namespaces of the tree that processes outside of it are in as well. */
  readonly namespaces: readonly string[];
  /** Cgroups of the tree that processes outside of it are in as well. */
  readonly cgroups: readonly {readonly controllers: readonly string[]; readonly path: string}[];
  /** Of the mounts that nsview sees itself. */
  readonly devices: readonly string[];
  readonly peerGroups: readonly number[];
};

/** An open fd: where its link leads, and how it is open: `-` neither for reading nor for writing (O_PATH). */
export type OpenFd = {
  readonly fd: number;
  readonly link: string;
  readonly mode: 'r' | 'w' | 'rw' | '-';
  /** Id of the mount that it is on, where that is one of its mount namespace. */
  readonly mount?: number;
  /** Of a socket by what others reach it: `unix stream @name` or `tcp 127.0.0.1:80`. */
  readonly bound?: string;
};

/** A file table: the first 1024 fds, and how many are open. */
export type FileTable = {readonly fds: Seen<readonly OpenFd[]>; readonly open: number};

/** How it is scheduled, and what of its execution prctl(2) and personality(2) set: a child inherits all of it. */
export const HABITS = [
  'scheduling',
  'CPUs',
  'memory nodes',
  'timer slack',
  'personality',
  'coredump_filter',
  'THP_enabled',
  'Speculation_Store_Bypass',
  'SpeculationIndirectBranch',
] as const;
export type Habit = (typeof HABITS)[number];

/** What a snapshot tells of each of its processes is not told again. */
export type ProcessDetails = FileTable & {
  readonly pid: number;
  readonly root: Seen<string>;
  readonly cwd: Seen<string>;
  /** Ids of the mounts, of its mount namespace, that they and its program are on. */
  readonly mounts?: {readonly root?: number; readonly cwd?: number; readonly exe?: number};
  /** Of threads with a file table of their own. */
  readonly threads?: readonly (FileTable & {readonly tid: number})[];
  /** By name: soft, hard, as /proc/PID/limits has them (proc_pid_limits(5)). */
  readonly limits: Seen<{readonly [name: string]: readonly [soft: string, hard: string]}>;
  readonly labels: Seen<readonly {readonly module: string; readonly label: string}[]>;
  /** null: its files are root's in any case. */
  readonly dumpable: boolean | null;
  /** Octal, as /proc/PID/status has it. */
  readonly umask?: Seen<string>;
  /** Whom the OOM killer takes first (proc_pid_oom_score_adj(5)). */
  readonly oomScoreAdj?: Seen<string>;
  readonly habits?: {readonly [habit in Habit]?: Seen<string>};
};

/** What a namespace has: of user its maps, of uts its names, of time its offsets, of user, net and ipc what sysctl(8) says inside. */
export type SpaceDetails = {
  readonly inode: string;
  readonly uidMap?: Seen<readonly IdRange[]>;
  readonly gidMap?: Seen<readonly IdRange[]>;
  /** allow or deny. */
  readonly setgroups?: Seen<string>;
  readonly hostname?: Seen<string>;
  readonly domainname?: Seen<string>;
  /** Lines of /proc/PID/timens_offsets: clock, seconds, nanoseconds (time_namespaces(7)). */
  readonly offsets?: Seen<string>;
  /** By name, as user.max_user_namespaces; values are one line, its words a space apart. What an interface has as net.ipv4.conf.default is left out. */
  readonly sysctls?: Seen<{readonly [name: string]: string}>;
};

export type TreeDetails = {
  readonly outside: Outside;
  /** The first 4096 that live; `left` says how many were not read. */
  readonly processes: readonly ProcessDetails[];
  readonly left: number;
  readonly namespaces: readonly SpaceDetails[];
};
