// Knows the shape of a reading of who a process is, and what its ids mean inside.

import {isRefusal, type Seen} from './seen.ts';

/** The five sets of capabilities(7), each as the hexadecimal mask of /proc/PID/status. */
export type CapabilitySets = {
  readonly effective: string;
  readonly permitted: string;
  readonly inheritable: string;
  readonly bounding: string;
  readonly ambient: string;
};

/** What a process may do, of /proc/PID/status (proc_pid_status(5)). */
export type Credentials = {
  readonly groups: readonly number[];
  readonly capabilities: CapabilitySets;
  /** null: this kernel does not say. */
  readonly noNewPrivs: boolean | null;
  /** 0 none, 1 strict, 2 filters (seccomp(2)); null: this kernel does not say. */
  readonly seccomp: number | null;
  readonly filters: number | null;
};

/** A line of uid_map or gid_map: `outside` as nsview's user namespace has it, 4294967295 where it has no such id (user_namespaces(7)). */
export type IdRange = {readonly inside: number; readonly outside: number; readonly count: number};

export type IdMap = {
  readonly ranges: Seen<readonly IdRange[]>;
  /** What an id shows as that nsview's own user namespace does not map; null where that maps all. */
  readonly overflow: number | null;
  /** nsview's own user namespace maps that one too: it may be itself. */
  readonly overflowIsMapped?: boolean;
};

/** A line of /proc/PID/limits: numbers as the kernel prints them, or `unlimited`. */
export type Limit = {readonly name: string; readonly soft: string; readonly hard: string; readonly units: string};

type FourIds = readonly [real: number, effective: number, saved: number, fs: number];

export type Identity = {
  /** As of proc_pid_stat(5); what a tracer tells of it may be older. */
  readonly state?: string;
  /** Who traces it, unless that is nsview. */
  readonly tracer?: {readonly pid: number; readonly comm: string};
  /** Names of signals with a handler, and of those that are ignored. */
  readonly handled?: readonly string[];
  readonly ignored?: readonly string[];
  readonly uids: Seen<FourIds>;
  readonly gids: Seen<FourIds>;
  readonly credentials: Seen<Credentials>;
  /** The number of the highest capability that this kernel knows. */
  readonly lastCapability: number;
  /**
   * It is in nsview's own user namespace: its ids are the same inside and outside. null: the kernel would not tell, and both have the same maps,
   * as one and the same has, which the kernel shows to its members as its parent has it.
   */
  readonly sameUser: boolean | null;
  readonly uidMap: IdMap;
  readonly gidMap: IdMap;
  /** allow or deny. */
  readonly setgroups: Seen<string>;
  /** By security module; `current` is that of the first that has one. */
  readonly labels: Seen<readonly {readonly module: string; readonly label: string}[]>;
  /** Owner of its files in /proc: root of its user namespace where it is not dumpable (proc_pid(5)). */
  readonly owner: Seen<{readonly uid: number; readonly gid: number}>;
  readonly oomScore: Seen<number>;
  readonly oomScoreAdj: Seen<number>;
  readonly limits: Seen<readonly Limit[]>;
  /** What nsview's own /etc/passwd and /etc/group call the ids that nsview sees. */
  readonly users: {readonly [uid: string]: string};
  readonly groups: {readonly [gid: string]: string};
};

/** An id inside its user namespace; null where that does not map it, or nsview cannot tell. */
export function idInside(id: number, {ranges, overflow}: IdMap, same: boolean | null): number | null {
  if (same === true) return id;
  // What nsview sees as the overflow id may be any id that it does not map.
  if (same === null || id === overflow || isRefusal(ranges)) return null;
  for (const {inside, outside, count} of ranges) if (id >= outside && id < outside + count) return inside + (id - outside);
  return null;
}

/** Each id is itself. */
export const mapsToItself = (ranges: IdMap['ranges']): boolean =>
  !isRefusal(ranges) &&
  ranges.length === 1 &&
  ranges.every(({inside, outside, count}) => inside === 0 && outside === 0 && count === 4294967295);

/** Of the user namespace that it is in; the overflow id stands for every id that nsview's own does not map. */
type RootMap = Pick<IdMap, 'ranges' | 'overflow'>;

const mayBeRoot = (id: number, {ranges, overflow}: RootMap): boolean =>
  id === 0 || id === overflow || (!isRefusal(ranges) && ranges.some(({inside, outside}) => inside === 0 && outside === id));

/**
 * What the owner of its files in /proc tells: they are its effective ids' where it is dumpable, and else root's and root's group's of the user
 * namespace that it was executed in (task_dump_owner, fs/proc/base.c). null: both would look the same, or it has ended, and the files of what
 * has no memory any more are root's.
 */
export function isDumpable(
  {state, uids, gids, owner}: Pick<Identity, 'state' | 'uids' | 'gids' | 'owner'>,
  uidMap: RootMap,
  gidMap: RootMap,
): boolean | null {
  if (state === 'Z' || state === 'X' || isRefusal(uids) || isRefusal(gids) || isRefusal(owner)) return null;
  if (owner.uid !== uids[1] || owner.gid !== gids[1]) return false;
  return mayBeRoot(owner.uid, uidMap) && mayBeRoot(owner.gid, gidMap) ? null : true;
}
