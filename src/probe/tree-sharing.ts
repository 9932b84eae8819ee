// Knows how to read what the processes of a tree share with each other and with the rest, and which of their fds reach outside.

import * as z from 'zod';
import {isRefusal, type ProcessSeen, type Seen} from '../model/fact.ts';
import {SHAREABLE, type Shareable, type SharingGroup, type SharingTask, type TreeSharing} from '../model/sharing.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';
import {unixConnectionsSchema} from './network.ts';
import {readOutsideFds} from './outside-fds.ts';
import {outsideFdSchema} from './sharing.ts';
import {readTreeMemory, treeMemorySchema} from './tree-memory.ts';
import {readTreeSockets} from './unix-connections.ts';

/** Tasks of the tree that are compared with each other; members that are told of a group; processes whose fds are looked at. */
const MOST = {tasks: 16384, told: 256, fds: 256};

const task = z.object({pid: z.int(), tid: z.int().exactOptional()});
const refusal = z.object({errno: z.string(), during: z.string()});
export const treeSharingSchema: z.ZodType<TreeSharing> = z.object({
  groups: z.union([
    z.array(
      z.object({
        kind: z.enum(SHAREABLE.map(({kind}) => kind)),
        flag: z.string().describe('The flag of clone(2) by which they came to share it.'),
        tasks: z
          .array(task)
          .describe('Processes of the tree, and threads that do not share it with their process. One alone: such a thread.'),
        outside: z.array(z.int()).exactOptional().describe('Processes outside of the tree that share it.'),
        count: z.int().describe('All of both.'),
      }),
    ),
    refusal,
  ]),
  fds: z.array(z.object({pid: z.int(), outside: z.union([z.array(outsideFdSchema), refusal])})),
  unix: z.union([unixConnectionsSchema, refusal]),
  memory: treeMemorySchema.exactOptional().describe('Memory that several have mapped shared.'),
  refused: z.int().describe('Tasks that the kernel did not let compare.'),
  refusedOutside: z.int().exactOptional().describe('How many of them are not of the tree.'),
  left: z.int().describe('Tasks that were not compared, and processes whose fds were not looked at.'),
  cut: z.array(z.string()),
});

const isDead = ({state}: ProcessSeen): boolean => state === 'Z' || state === 'X';
/** A kernel thread has no memory, which kcmp cannot tell from one that it shares; nor has it a program (proc_pid_exe(5)). */
const hasMemory = ({exe}: ProcessSeen): boolean => !isRefusal(exe) || exe.errno !== 'ENOENT';

/** Its leader, or the threads that go on without it. */
const mayHaveMemory = (process: ProcessSeen): boolean => (isDead(process) ? process.threads.length > 0 : hasMemory(process));

/** `id`: what the kernel is asked about. */
type Task = SharingTask & {readonly id: number};
type Tasks = {readonly own: readonly Task[]; readonly others: readonly Task[]};

/**
 * Each process before its threads, so that a thread that is like it is passed over; the first of these stands for a leader that has ended,
 * which has given back what the others still have.
 */
const tasksOf = (processes: readonly ProcessSeen[]): Task[] =>
  processes.flatMap((process): Task[] => {
    const {pid, threads} = process;
    const [first, ...more] = isDead(process) ? threads.map(({tid}) => tid) : [pid, ...threads.map(({tid}) => tid)];
    return first === undefined ? [] : [{pid, id: first}, ...more.map(tid => ({pid, tid, id: tid}))];
  });

function groupsOf(
  kind: Shareable,
  kcmp: number,
  flag: string,
  {own, others}: Tasks,
): Seen<{groups: SharingGroup[]; refused: number; inside: number}> {
  const all = [...own, ...others];
  if (own.length === 0) return {groups: [], refused: 0, inside: 0};
  const results = new Int32Array(all.length);
  const ids = Int32Array.from(all.map(({id}) => id));
  const answer = loadNative().shareGroups(ids, all.length, own.length, kcmp, results);
  if (answer < 0) return {errno: errnoName(-answer), during: 'kcmp'};
  let refused = 0;
  let inside = 0;
  const groups = new Map<number, {tasks: SharingTask[]; outside: number[]; processes: Set<number>}>();
  for (const [index, one] of all.entries()) {
    const group = results[index] ?? -1;
    // One that has ended meanwhile was not refused.
    if (group < -1 && errnoName(-2 - group) !== 'ESRCH') {
      refused++;
      if (index < own.length) inside++;
    }
    if (group < 0) continue;
    const known = groups.get(group) ?? {tasks: [], outside: [], processes: new Set()};
    groups.set(group, known);
    const {pid, tid} = one;
    if (known.processes.has(pid)) continue;
    if (index >= own.length) {
      known.outside.push(pid);
      known.processes.add(pid);
    } else {
      known.tasks.push(tid === undefined ? {pid} : {pid, tid});
      if (tid === undefined) known.processes.add(pid);
    }
  }
  const told: SharingGroup[] = [];
  for (const {tasks, outside} of groups.values()) {
    const isThread = tasks.some(({tid}) => tid !== undefined);
    if (tasks.length + outside.length < 2 && !isThread) continue;
    told.push({
      kind,
      flag,
      tasks: tasks.slice(0, MOST.told),
      ...(outside.length > 0 ? {outside: outside.slice(0, MOST.told)} : {}),
      count: tasks.length + outside.length,
    });
  }
  return {groups: told, refused, inside};
}

/** `tree`: of all processes those that are told of. Compared in the order of n log n; not for every snapshot of a whole machine. */
export function readTreeSharing(all: readonly ProcessSeen[], tree: readonly ProcessSeen[]): TreeSharing {
  const inside = new Set(tree.map(({pid}) => pid));
  const living = tree.filter(process => !isDead(process));
  const tasks = tasksOf(tree);
  const own = tasks.slice(0, MOST.tasks);
  const elsewhere = all.filter(process => !inside.has(process.pid));
  const otherTasks = tasksOf(elsewhere);
  const bare = new Set(all.filter(process => !isDead(process) && !hasMemory(process)).map(({pid}) => pid));
  let groups: Seen<SharingGroup[]> = [];
  let refused = 0;
  let refusedInside = 0;
  for (const {kind, kcmp, flag} of SHAREABLE) {
    const isIt = ({pid}: Task) => kind !== 'vm' || !bare.has(pid);
    const found = groupsOf(kind, kcmp, flag, {own: own.filter(isIt), others: otherTasks.filter(isIt)});
    if (isRefusal(found)) {
      groups = found;
      break;
    }
    groups.push(...found.groups);
    refused = Math.max(refused, found.refused);
    refusedInside = Math.max(refusedInside, found.inside);
  }
  const looked = living.filter(hasMemory).slice(0, MOST.fds);
  const fds = looked.flatMap(({pid, ppid}): TreeSharing['fds'][number][] => {
    const read = readOutsideFds(`/proc/${pid}`, pid, ppid);
    if (isRefusal(read)) return read.errno === 'ENOENT' || read.errno === 'ESRCH' ? [] : [{pid, outside: read}];
    return read.outside.length > 0 ? [{pid, outside: read.outside}] : [];
  });
  const cut: string[] = [];
  const {connected: unix} = readTreeSockets(
    living.map(({pid}) => pid),
    [],
    cut,
  );
  const refusedOutside = refused - refusedInside;
  return {
    groups,
    fds,
    unix,
    memory: readTreeMemory(tree.filter(mayHaveMemory), elsewhere.filter(mayHaveMemory)),
    refused,
    ...(refusedOutside > 0 ? {refusedOutside} : {}),
    left: tasks.length - own.length + living.filter(hasMemory).length - looked.length,
    cut,
  };
}
