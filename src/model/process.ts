// Knows what is kept of a process: who made it, what it is, and which namespaces it and its threads are in.

import type {Apart} from './apart.ts';
import {type CgroupPath, type Ids, isRefusal, type RefusedFact, type Seen} from './fact.ts';
import type {Namespace} from './names.ts';
import type {NamespaceLink} from './namespace.ts';
import {type Told, toldNothing, toldOfThread} from './told.ts';

/** Links as far as they are known. */
export type Links = {[link in NamespaceLink]?: Seen<string>};

/** How a process ended. Neither code nor signal: it went unseen. */
export type End = {readonly at: number; readonly code?: number; readonly signal?: string; readonly core?: true};

/** A thread that is not like its process: its links are the ones that differ, and so is what is in `apart`. */
export type Thread = {
  readonly tid: number;
  comm: string;
  links: Links;
  readonly spaces: {[link in NamespaceLink]?: Namespace | null};
  readonly apart: Apart;
};

/**
 * One process: pid and start time. A child stands under its maker for good, whoever its parent is by now. Values that are null have not
 * been told by any fact.
 */
export type Process = {
  readonly id: string;
  readonly pid: number;
  start: string;
  ppid: number;
  /** Where it stands in the tree. */
  maker: Process | null;
  readonly children: Process[];
  /** Those of them that have ended and are still remembered, in the order of their end. */
  readonly endedChildren: Process[];
  comm: string;
  argv: Seen<readonly string[]> | null;
  exe: Seen<string> | null;
  nspid: Seen<readonly number[]> | null;
  uids: Seen<Ids> | null;
  gids: Seen<Ids> | null;
  cgroup: Seen<readonly CgroupPath[]> | null;
  state: string;
  links: Links;
  /** Where the links lead; kept, since an inode number is used again after a namespace's end. */
  readonly spaces: {[link in NamespaceLink]?: Namespace | null};
  /** Every thread but the leader, where a fact told of it: a birth may be told after a reading that has it already. */
  readonly tids: Set<number>;
  readonly threads: Map<number, Thread>;
  /** Threads of it that have a list of semaphore undos of their own, as the last study found. */
  readonly undoApart: Set<number>;
  /** Of a thread that is looked at as if it were a process: its process. */
  readonly leader?: Process;
  /** The clone that made it, where it was seen. */
  born: {readonly at: number; readonly flags: Seen<readonly string[]>; readonly by: Process; readonly exitSignal: string | null} | null;
  /** Namespaces that were seen first in it. */
  readonly opened: Set<Namespace>;
  told: Told;
  end: End | null;
  stopped: string | null;
  refused: RefusedFact | null;
  /** Exited leaves that are not kept one by one any more. */
  forgotten: number;
  /** Rows of the tree below its own where nothing is folded: of threads that are apart, of what was forgotten, and of all that descends from it. */
  below: number;
};

/** A process of which nothing is known but its pid. */
export function createProcess(id: string, pid: number, start: string): Process {
  return {
    id,
    pid,
    start,
    ppid: 0,
    maker: null,
    children: [],
    endedChildren: [],
    comm: '',
    argv: null,
    exe: null,
    nspid: null,
    uids: null,
    gids: null,
    cgroup: null,
    state: '',
    links: {},
    spaces: {},
    tids: new Set(),
    threads: new Map(),
    undoApart: new Set(),
    born: null,
    opened: new Set(),
    told: toldNothing(),
    end: null,
    stopped: null,
    refused: null,
    forgotten: 0,
    below: 0,
  };
}

/** So many rows more are below a process, and so below all that it descends from. */
export function grow(process: Process, by: number): void {
  if (by === 0) return;
  for (let one: Process | null = process; one !== null; one = one.maker) one.below += by;
}

/** The cgroups of a thread, given those of its process and the lines in which it differs. */
export const placedAt = (cgroup: Process['cgroup'], apart: readonly CgroupPath[] = []): Process['cgroup'] =>
  cgroup === null || isRefusal(cgroup) ? cgroup : cgroup.map(line => apart.find(({hierarchy}) => hierarchy === line.hierarchy) ?? line);

/** The leader is a zombie until the last of the others has ended, and the process is none (exit_notify(), kernel/exit.c). */
export const livesOn = ({state, end, tids}: Process): boolean => state === 'Z' && end === null && tids.size > 0;

/**
 * A thread as the details tell of it: /proc/TID has all that /proc/PID has (proc(5)), and it is compared with its process, whose start time
 * it goes by.
 */
export function asProcess(leader: Process, {tid, comm, links, spaces, apart}: Thread): Process {
  return {
    ...leader,
    id: `${leader.id}/${tid}`,
    pid: tid,
    leader,
    maker: leader,
    children: [],
    comm,
    nspid: null,
    uids: apart.uids ?? leader.uids,
    gids: apart.gids ?? leader.gids,
    cgroup: placedAt(leader.cgroup, apart.cgroup),
    // A leader that has ended is no sign that it has.
    state: leader.state === 'Z' && leader.end === null ? '' : leader.state,
    links: {...leader.links, ...links},
    spaces: {...leader.spaces, ...spaces},
    tids: new Set(),
    threads: new Map(),
    told: toldOfThread(leader.told),
    born: null,
    forgotten: 0,
    below: 0,
  };
}
