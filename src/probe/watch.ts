// Knows how to notice changes without ptrace: /proc read again and again, in slices, and only the differences told.

import type {CgroupMoveFact, ChangeFact, Fact, NamespaceChanges, NamespaceLinks, ProcessSeen, Seen, ThreadSeen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';
import {isGone, readNumbers} from './proc-file.ts';
import {readNamespaceLinks, readProcess, readStat, readThreads, sameSeen} from './process.ts';
import {readAll} from './processes.ts';

export type WatchScope =
  /** Every process of the machine, or some with all that descend from them, save who is followed otherwise: births, changes and ends. */
  | {readonly machine: true}
  | {readonly trees: ReadonlySet<number>; readonly isFollowed?: (pid: number) => boolean; readonly told?: (pid: number) => Told}
  /** Processes that a tracer follows: changes between its events only, against what it has told of them. */
  | {readonly refresh: () => Iterable<number>; readonly told: (pid: number) => Told};

/** What the facts have said of a process so far: a whole reading, or what its birth told. */
export type Told = {
  /** Clock ticks after boot, field 22 of /proc/PID/stat; undefined where nothing told of it. */
  readonly start?: string;
  readonly seen?: ProcessSeen;
  readonly namespaces?: NamespaceLinks;
  /** Those of its threads, which stay where they are when it moves. */
  readonly threads?: Map<number, NamespaceLinks>;
  readonly ppid?: number;
};

/** Whether who has the pid now is another than the one that was told of. */
export const isAnother = (told: Told, start: string): boolean => told.start !== undefined && told.start !== start;

export type Watch = Disposable & {
  /** Read this process before the others. */
  look(pid: number): void;
  /** What was last emitted of it went unused: read and tell it again. */
  forget(pid: number): void;
};

/** Milliseconds of reading in one go, so that a key press never waits longer. */
const SLICE = 5;
/** Pause between slices: at most a sixth of a core is spent. */
const SLICE_PAUSE = 30;
/** Milliseconds between the starts of two passes, where they are short. */
const PASS = 500;
/** Milliseconds that the first pass may take in one go. */
const FIRST = 300;
/** So many processes that nobody has read yet are read together, by threads: a few milliseconds. */
const TOGETHER = 40;
/** Every so many passes the files that change rarely are read again. */
const RARELY = 4;

const at = (): string => String(process.hrtime.bigint());

const same = (one: unknown, other: unknown): boolean => one === other || JSON.stringify(one) === JSON.stringify(other);

function linkChanges(before: {readonly [link in NamespaceLink]?: Seen<string>}, now: NamespaceLinks): NamespaceChanges | null {
  const changed: {[link in NamespaceLink]?: {from: Seen<string> | null; to: Seen<string>}} = {};
  let any = false;
  for (const link of NAMESPACE_LINKS) {
    if (sameSeen(before[link], now[link])) continue;
    // A process that is ending has no namespaces left; that is its end, not a move.
    if (isRefusal(now[link]) && isGone(now[link])) continue;
    changed[link] = {from: before[link] ?? null, to: now[link]};
    any = true;
  }
  return any ? changed : null;
}

/** include/linux/sched.h: the process is ending, and the kernel tells `/` of it in every hierarchy of v1 (proc_cgroup_show()). */
const PF_EXITING = 0x4;

/** It is gone, or on its way out: what it gives back on that is no change of it. */
function isLeaving(pid: number): boolean {
  const stat = readStat(pid);
  return isRefusal(stat) || (stat.flags & PF_EXITING) !== 0;
}

/** Where it is elsewhere than before, in hierarchies that were there before. */
function cgroupMoves(pid: number, before: ProcessSeen['cgroup'], now: ProcessSeen['cgroup']): CgroupMoveFact[] {
  if (isRefusal(before) || isRefusal(now)) return [];
  const was = new Map(before.map(({hierarchy, path}) => [hierarchy, path]));
  return now.flatMap(({hierarchy, path}): CgroupMoveFact[] => {
    const from = was.get(hierarchy);
    return from === undefined || from === path ? [] : [{kind: 'cgroup-move', at: at(), pid, tid: pid, hierarchy, from, to: path}];
  });
}

/** A process that exits gives up its program, arguments and namespaces one after another: only its end is worth telling. */
const isEnding = (state: string): boolean => state === 'Z' || state === 'X';

export function startWatch(options: WatchScope & {readonly emit: (facts: readonly Fact[]) => void}): Watch {
  const known = new Map<number, ProcessSeen>();
  const births = !('refresh' in options);
  /** Descendants stay in a tree's scope when they are reparented. */
  const descendants = new Set<number>();
  const isInTree = (trees: ReadonlySet<number>, pid: number) => trees.has(pid) || descendants.has(pid);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let passes = 0;
  let queue: number[] = [];
  const asked: number[] = [];
  let facts: Fact[] = [];

  /** Roots of trees that ended before they were read once. */
  const missed = new Set<number>();

  const forget = (pid: number) => {
    const wasKnown = known.delete(pid);
    if (!births) return;
    if (!wasKnown) {
      if (!('trees' in options) || !options.trees.has(pid) || missed.has(pid)) return;
      missed.add(pid);
    }
    descendants.delete(pid);
    facts.push({kind: 'gone', at: at(), pid});
  };

  /** A thread that is elsewhere than before: in other namespaces than its process, or back in the same. */
  const tellThreads = (pid: number, own: NamespaceLinks, before: readonly ThreadSeen[], now: readonly ThreadSeen[]) => {
    const links = (thread: ThreadSeen | undefined): NamespaceLinks => ({...own, ...thread?.namespaces});
    const was = new Map(before.map(thread => [thread.tid, thread]));
    for (const thread of now) {
      if (thread.namespaces === undefined && was.get(thread.tid)?.namespaces === undefined) continue;
      const moved = linkChanges(links(was.get(thread.tid)), links(thread));
      if (moved !== null) facts.push({kind: 'namespaces', at: at(), pid, tid: thread.tid, changed: moved});
    }
  };

  const meet = (pid: number) => {
    if ('trees' in options && !isInTree(options.trees, pid)) {
      if (options.isFollowed?.(pid)) return;
      const stat = readStat(pid);
      if (isRefusal(stat) || !isInTree(options.trees, stat.ppid)) return;
      descendants.add(pid);
    }
    const seen = readProcess(pid);
    if (isRefusal(seen)) forget(pid);
    else if ('refresh' in options && isAnother(options.told(pid), seen.start)) facts.push({kind: 'gone', at: at(), pid});
    else greet(seen);
  };

  const greet = (seen: ProcessSeen) => {
    const {pid} = seen;
    known.set(pid, seen);
    missed.delete(pid);
    if (!('refresh' in options)) {
      facts.push({kind: 'process', at: at(), ...seen, because: 'watch'});
      return;
    }
    if (isEnding(seen.state) || isLeaving(pid)) return;
    // The tracer told of its birth; what was inherited may be another's by now, and what no event tells has not been told yet.
    const told = options.told(pid);
    const moved = linkChanges(told.namespaces ?? {}, seen.namespaces);
    if (moved !== null) facts.push({kind: 'namespaces', at: at(), pid, tid: pid, changed: moved});
    tellThreads(pid, seen.namespaces, [], seen.threads);
    const {comm, argv, exe, nspid, uids, gids, threads, cgroup} = seen;
    const adopted = told.ppid !== undefined && told.ppid !== seen.ppid ? {ppid: seen.ppid} : {};
    facts.push({kind: 'change', at: at(), pid, ...adopted, comm, argv, exe, nspid, uids, gids, threads, cgroup});
  };

  const compare = (before: ProcessSeen, rarely: boolean) => {
    const {pid} = before;
    const stat = readStat(pid);
    if (isRefusal(stat)) return forget(pid);
    if (stat.start !== before.start) {
      forget(pid);
      return meet(pid);
    }
    const change: {-readonly [key in keyof ChangeFact]?: ChangeFact[key]} = {};
    if (stat.ppid !== before.ppid) change.ppid = stat.ppid;
    // Running and sleeping alternate too fast to be news.
    const restless = (state: string) => (state === 'R' || state === 'D' ? 'S' : state);
    if (restless(stat.state) !== restless(before.state)) change.state = stat.state;
    let next: ProcessSeen = {...before, ppid: stat.ppid, state: stat.state};
    const ending = isEnding(stat.state);
    if (!ending) {
      const namespaces = readNamespaceLinks(`/proc/${pid}`);
      const moved = linkChanges(before.namespaces, namespaces);
      if (moved !== null) {
        facts.push({kind: 'namespaces', at: at(), pid, tid: pid, changed: moved});
        next = {...next, namespaces};
      }
      if (stat.comm !== before.comm || rarely || moved !== null) {
        const read = readProcess(pid);
        const whole = isRefusal(read) || !isLeaving(pid) ? read : {...read, cgroup: before.cgroup};
        if (!isRefusal(whole) && whole.start === before.start && !isEnding(whole.state)) {
          facts.push(...cgroupMoves(pid, before.cgroup, whole.cgroup));
          for (const key of ['comm', 'argv', 'exe', 'nspid', 'uids', 'gids', 'cgroup'] as const)
            if (!same(before[key], whole[key])) Object.assign(change, {[key]: whole[key]});
          next = {...whole, namespaces: next.namespaces, threads: before.threads};
        }
      }
      const threads = stat.threads > 1 ? readThreads(pid, next.namespaces) : [];
      if (!same(before.threads, threads)) {
        const differing = (list: readonly ThreadSeen[]) =>
          list.filter(thread => thread.namespaces !== undefined || thread.apart !== undefined);
        // A tracer tells births and ends of threads; here their number matters, and namespaces of their own.
        tellThreads(pid, next.namespaces, before.threads, threads);
        if (before.threads.length !== threads.length || !same(differing(before.threads), differing(threads))) change.threads = threads;
        next = {...next, threads};
      }
    } else if (stat.threads <= 1 && before.threads.length > 0) {
      // With any of them its leader alone would have ended.
      change.threads = [];
      next = {...next, threads: []};
    }
    known.set(pid, next);
    if (Object.keys(change).length > 0) facts.push({kind: 'change', at: at(), pid, ...change});
  };

  const visit = (pid: number) => {
    const before = known.get(pid) ?? ('told' in options ? options.told?.(pid).seen : undefined);
    if (before === undefined) meet(pid);
    else compare(before, (pid + passes) % RARELY === 0);
  };

  const hasLiving = (): boolean => !('trees' in options) || passes === 1 || [...known.values()].some(seen => !isEnding(seen.state));

  const fillQueue = () => {
    passes++;
    if ('refresh' in options) {
      queue = [...options.refresh()];
      const wanted = new Set(queue);
      for (const pid of known.keys()) if (!wanted.has(pid)) known.delete(pid);
    } else {
      // Of zombies alone nothing can be born.
      const pids = hasLiving() ? readNumbers('/proc') : [...new Set([...known.keys(), ...('trees' in options ? options.trees : [])])];
      queue = isRefusal(pids) ? [] : pids;
      const there = new Set(queue);
      for (const pid of Array.from(known.keys())) if (!there.has(pid)) forget(pid);
    }
    // Ascending, so that parents mostly come before their children; taken from the end.
    queue.reverse();
  };

  /** The next in the queue of the whole machine, the first time. */
  const meetTogether = (): boolean => {
    if (passes > 1 || !('machine' in options)) return false;
    const pids: number[] = [];
    for (let pid = queue.at(-1); pid !== undefined && pids.length < TOGETHER && !known.has(pid); pid = queue.at(-1)) {
      pids.push(pid);
      queue.pop();
    }
    if (pids.length > 0)
      for (const {seen} of readAll(pids, false)) {
        const {credentials: _credentials, ...rest} = seen;
        greet(rest);
      }
    return pids.length > 0;
  };

  let passStarted = 0;
  const readFor = (milliseconds: number) => {
    const until = performance.now() + milliseconds;
    for (const pid of asked.splice(0)) visit(pid);
    if (queue.length === 0) {
      passStarted = performance.now();
      fillQueue();
    }
    while (queue.length > 0 && performance.now() < until) {
      if (meetTogether()) continue;
      const pid = queue.pop();
      if (pid !== undefined) visit(pid);
    }
    const told = facts;
    facts = [];
    if (told.length > 0) options.emit(told);
    // Until all have been read once, what a person sees is not all.
    const pause = passes === 1 && 'machine' in options ? 0 : SLICE_PAUSE;
    const rest = queue.length > 0 ? pause : Math.max(SLICE_PAUSE, PASS - (performance.now() - passStarted));
    timer = setTimeout(slice, asked.length > 0 ? 0 : rest);
  };
  const slice = () => {
    if (!stopped) readFor(SLICE);
  };
  // The first pass shows as much as it can at once: a screen without processes would say that there are none.
  const first = () => {
    if (!stopped) readFor(births ? FIRST : SLICE);
  };
  timer = setTimeout(first, 0);

  return {
    look: pid => {
      if (stopped || asked.includes(pid)) return;
      asked.push(pid);
      clearTimeout(timer);
      timer = setTimeout(slice, 0);
    },
    forget: pid => {
      known.delete(pid);
    },
    [Symbol.dispose]: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
