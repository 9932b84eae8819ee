// Knows how to read what a process shares with others, and what such a reading may look like on a tape.

import * as z from 'zod';
import {isRefusal, type Seen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import {type Relation, SHAREABLE, type SharedObject, type Sharer, type Sharing} from '../model/sharing.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';
import {readOutsideFds} from './outside-fds.ts';
import {readNumbers} from './proc-file.ts';
import {isOfKernel, readStat, readStatus, type Stat} from './process.ts';
import {readSharedMemory} from './shared-memory.ts';
import {readThreadsApart} from './threads-apart.ts';

const refusal = z.object({errno: z.string(), during: z.string()});
const pid = z.int().min(0);
const sharer = z.object({
  pid,
  comm: z.string(),
  relation: z.enum(['process', 'parent', 'child', 'sibling', 'other']),
  tid: pid.exactOptional(),
});
const object = z.object({
  kind: z.enum(SHAREABLE.map(({kind}) => kind)),
  none: z.literal(true).exactOptional(),
  with: z.array(sharer),
  count: z.int(),
});

const namespaceType = z.enum(NAMESPACES.map(({type}) => type));
export const outsideFdSchema = z.object({
  fd: z.int().min(0).nullable(),
  link: z.enum(['root', 'exe']).exactOptional(),
  path: z.string(),
  leads: z.discriminatedUnion('kind', [
    z.object({kind: z.enum(['mount', 'root']), directory: z.boolean(), where: z.enum(['nsview', 'parent']).exactOptional()}),
    z.object({kind: z.literal('namespace'), type: z.string(), inode: z.string()}),
    z.object({kind: z.literal('socket'), inode: z.string()}),
    z.object({kind: z.literal('process'), pid, apart: z.array(namespaceType)}),
  ]),
});
const text = z.union([z.string(), refusal]);
const threadApart = z.object({
  tid: pid,
  comm: z.string(),
  objects: z.array(z.enum(SHAREABLE.map(({kind}) => kind))).exactOptional(),
  cwd: text.exactOptional(),
  root: text.exactOptional(),
  outside: z.array(outsideFdSchema).exactOptional(),
  status: z.record(z.string(), z.object({thread: z.string(), process: z.string()})).exactOptional(),
});
const mapping = z.object({
  path: z.string(),
  file: z.string(),
  bytes: z.number(),
  writes: z.boolean(),
  with: z.array(z.object({pid, comm: z.string(), writes: z.boolean(), apart: z.array(namespaceType)})),
});

export const sharingSchema: z.ZodType<Sharing> = z.object({
  objects: z.union([z.array(object), refusal]),
  compared: z.int(),
  refused: z.int(),
  left: z.int(),
  fds: z.union([z.object({outside: z.array(outsideFdSchema), open: z.int(), left: z.int(), sockets: z.int().exactOptional()}), refusal]),
  threads: z.array(threadApart),
  memory: z.union([z.object({mappings: z.array(mapping), read: z.int(), refused: z.int(), left: z.int()}), refusal]),
});

/** Processes that are compared, and threads of them: six calls each, of less than a microsecond. */
const MOST_COMPARED = 4096;
const MOST_THREADS = 16384;
/** Sharers that are told by name. */
const MOST_NAMED = 64;

const isDead = ({state}: Stat): boolean => state === 'Z' || state === 'X';

/** Those to compare with: the nearest pids, which are most often relatives, where not all can be. */
function othersOf(own: Stat, leader: number): {pids: number[]; left: number} {
  const all = readNumbers('/proc');
  const pids = (isRefusal(all) ? [] : all).filter(other => other !== own.pid);
  if (pids.length <= MOST_COMPARED) return {pids, left: 0};
  const distance = (other: number) => (other === own.ppid || other === leader ? 0 : Math.abs(other - own.pid));
  return {pids: pids.sort((a, b) => distance(a) - distance(b)).slice(0, MOST_COMPARED), left: pids.length - MOST_COMPARED};
}

const NEAREST: readonly Relation[] = ['process', 'parent', 'child', 'sibling', 'other'];

/** `leader` is the pid of which it is a thread. */
function relate(own: Stat, other: Stat, leader: number): Relation {
  if (other.pid === leader) return 'process';
  if (other.pid === own.ppid) return 'parent';
  if (other.ppid === own.pid) return 'child';
  return other.ppid === own.ppid && own.ppid !== 0 ? 'sibling' : 'other';
}

/**
 * Of each process its leader, and then its other threads but `task`: any of them may have unshared what it had, and have passed its own on by
 * clone(2); and a leader that has ended has given back what they still have.
 */
function tasksOf(pids: readonly number[], task: number): {pid: number; tid: number}[] {
  let left = MOST_THREADS;
  return pids.flatMap(pid => {
    const all = left > 0 ? readNumbers(`/proc/${pid}/task`) : [];
    const tids = (isRefusal(all) ? [] : all).filter(tid => tid !== pid && tid !== task).slice(0, left);
    left -= tids.length;
    return [pid, ...tids].map(tid => ({pid, tid}));
  });
}

/** Every kind of object, compared with every other process. */
function readObjects(own: Stat, task: number, pids: readonly number[], leader: number): {objects: Seen<SharedObject[]>; refused: number} {
  const native = loadNative();
  const tasks = tasksOf(pids, task);
  const others = Int32Array.from(tasks.map(({tid}) => tid));
  const results = new Int32Array(others.length);
  const objects: SharedObject[] = [];
  const stats = new Map<number, Seen<Stat>>();
  const statOf = (other: number): Seen<Stat> => {
    const known = stats.get(other) ?? readStat(other);
    stats.set(other, known);
    return known;
  };
  let refused = 0;
  for (const {kind, kcmp} of SHAREABLE) {
    const answer = native.kcmp(task, others, others.length, kcmp, results);
    if (answer < 0) return {objects: {errno: errnoName(-answer), during: 'kcmp'}, refused: 0};
    // A kernel thread has no memory of its own, which kcmp cannot tell from one that it shares.
    if (answer === 1 || (kind === 'vm' && isOfKernel(own))) {
      objects.push({kind, none: true, with: [], count: 0});
      continue;
    }
    const sharers: Sharer[] = [];
    const denied = new Set<number>();
    for (const [index, {pid: other, tid}] of tasks.entries()) {
      const result = results[index] ?? 0;
      if (result < 0 && errnoName(-result) !== 'ESRCH') denied.add(other);
      if (result !== 0 || sharers.at(-1)?.pid === other) continue;
      const [stat, process] = [statOf(tid), statOf(other)];
      // What has ended has given everything back.
      if (isRefusal(stat) || isRefusal(process) || isDead(stat)) continue;
      const through = tid === other || isDead(process) ? {} : {tid};
      sharers.push({pid: other, comm: process.comm, relation: relate(own, process, leader), ...through});
    }
    refused = Math.max(refused, denied.size);
    sharers.sort((a, b) => NEAREST.indexOf(a.relation) - NEAREST.indexOf(b.relation) || a.pid - b.pid);
    objects.push({kind, with: sharers.slice(0, MOST_NAMED), count: sharers.length});
  }
  return {objects, refused};
}

/** The leader, or a thread that goes on without it; null where none is left. */
function livingTask(own: Stat): number | null {
  if (!isDead(own)) return own.pid;
  const tids = own.threads > 1 ? readNumbers(`/proc/${own.pid}/task`) : [];
  return (isRefusal(tids) ? [] : tids).find(tid => tid !== own.pid) ?? null;
}

export function readSharing(of: number): Seen<Sharing> {
  const own = readStat(of);
  if (isRefusal(own)) return own;
  const task = livingTask(own);
  // It has given back all that it could share, and kcmp takes nothing and nothing for the same.
  if (task === null) return {errno: 'ESRCH', during: 'kcmp'};
  const folder = task === of ? `/proc/${of}` : `/proc/${of}/task/${task}`;
  const status = readStatus(of);
  const leader = isRefusal(status) ? of : status.tgid;
  const {pids, left} = othersOf(own, leader);
  const {objects, refused} = readObjects(own, task, pids, leader);
  return {
    objects,
    compared: pids.length - refused,
    refused,
    left,
    fds: readOutsideFds(folder, task, own.ppid),
    // Of one thread it is said what it shares with its process.
    threads: leader === of ? readThreadsApart(of, task, own.ppid) : [],
    memory: readSharedMemory(folder, of, own.start),
  };
}
