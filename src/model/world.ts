// Knows the world: every fact so far, folded into processes, the namespaces that they are in, and a timeline.

import type {
  CgroupFact,
  CgroupPath,
  ChangeFact,
  CloneFact,
  ExecFact,
  Fact,
  Ids,
  MountsFact,
  NamespaceChanges,
  ProcessFact,
  RefusedFact,
  Seen,
  TapeHeader,
  TracerFact,
} from './fact.ts';
import {isRefusal} from './fact.ts';
import {createNamespaces, type Namespace, type Namespaces, nameNamespace} from './names.ts';
import {NAMESPACE_LINKS, type NamespaceLink, type NamespaceType, typeOfLink} from './namespace.ts';
import {createTimeline, type Move, recordEvent, type Timeline, type TimelineEvent, type What} from './timeline.ts';

/** Links as far as they are known. */
type Links = {[link in NamespaceLink]?: Seen<string>};

/** How a process ended. Neither code nor signal: it went unseen. */
type End = {readonly at: number; readonly code?: number; readonly signal?: string; readonly core?: true};

/** A thread that is in other namespaces than its process: its links are the ones that differ. */
export type Thread = {readonly tid: number; comm: string; links: Links; readonly spaces: {[link in NamespaceLink]?: Namespace | null}};

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
  /** Every thread but the leader, where a fact counted them. */
  threadCount: number;
  readonly threads: Map<number, Thread>;
  /** The clone that made it, where it was seen. */
  born: {readonly at: number; readonly flags: Seen<readonly string[]>; readonly by: Process; readonly exitSignal: string | null} | null;
  /** Namespaces that were seen first in it. */
  readonly opened: Set<Namespace>;
  end: End | null;
  stopped: string | null;
  refused: RefusedFact | null;
  /** Exited leaves that are not kept one by one any more. */
  forgotten: number;
};

export type World = {
  readonly header: TapeHeader;
  /** Grows with every fact. */
  version: number;
  /** CLOCK_MONOTONIC of the last fact or tick, in nanoseconds. */
  now: number;
  /** The newest process of each pid. */
  readonly byPid: Map<number, Process>;
  readonly byId: Map<string, Process>;
  /** Processes without a known maker, in order of arrival. */
  readonly roots: Process[];
  readonly namespaces: Namespaces;
  readonly timeline: Timeline;
  readonly mounts: Map<string, MountsFact>;
  readonly cgroups: Map<string, CgroupFact>;
  tracer: TracerFact | null;
  /** The process that was launched or attached to. */
  target: Process | null;
  living: number;
  /** Until then, processes that are met were there before: a watch has just begun to look around. */
  quietUntil: number;
  /** Never forgotten: what a person looks at. */
  pinned: string | null;
  /** Ended processes in the order of their end, and when they were last looked through. */
  readonly ended: Process[];
  swept: number;
};

/** Seconds of fact time for which an ended process stays in the tree; longer where it had a namespace of its own. */
const STAYS = 5e9;
const STAYS_ISOLATED = 20e9;
/** Nanoseconds in which a watch of /proc has met every process of a large machine. */
const LOOKING_AROUND = 3e9;
/** How often ended processes are looked through. */
const SWEEP = 250e6;
/** At most so many ended leaves stand under one parent. */
const ENDED_SHOWN = 8;

export function createWorld(header: TapeHeader): World {
  return {
    header,
    version: 0,
    now: Number(header.at),
    byPid: new Map(),
    byId: new Map(),
    roots: [],
    namespaces: createNamespaces(header.host.namespaces),
    timeline: createTimeline(),
    mounts: new Map(),
    cgroups: new Map(),
    tracer: null,
    target: null,
    living: 0,
    quietUntil: Number(header.at) + LOOKING_AROUND,
    pinned: null,
    ended: [],
    swept: 0,
  };
}

export const cgroupKey = (cgroup: {readonly hierarchy: number; readonly path: string}): string => `${cgroup.hierarchy}:${cgroup.path}`;

/** The namespace that a link leads to, where it is known and was not refused. */
export function namespaceOf(world: World, seen: Seen<string> | null | undefined): Namespace | null {
  if (seen === null || seen === undefined || isRefusal(seen)) return null;
  return world.namespaces.byInode.get(seen) ?? null;
}

/** Folds one fact into the world, in place. Returns what it means for the timeline. */
export function observe(world: World, fact: Fact): readonly TimelineEvent[] {
  world.version++;
  const at = Number(fact.at);
  if (at > world.now) world.now = at;
  const before = world.timeline.count;
  observeKind(world, fact, at);
  forgetEnded(world);
  const added = world.timeline.count - before;
  return added === 0 ? NOTHING : world.timeline.all.slice(-added);
}

const NOTHING: readonly TimelineEvent[] = [];

function observeKind(world: World, fact: Fact, at: number): void {
  switch (fact.kind) {
    case 'process':
      observeProcess(world, fact, at);
      return;
    case 'clone':
      observeClone(world, fact, at);
      return;
    case 'exec':
      observeExec(world, fact, at);
      return;
    case 'exit': {
      const process = living(world, fact.pid);
      if (process === null) return;
      const how = {
        ...(fact.code === undefined ? {} : {code: fact.code}),
        ...(fact.signal === undefined ? {} : {signal: fact.signal}),
        ...(fact.core === undefined ? {} : {core: fact.core}),
      };
      endProcess(world, process, {at, ...how});
      return;
    }
    case 'gone': {
      const process = living(world, fact.pid);
      if (process !== null) endProcess(world, process, {at});
      return;
    }
    case 'thread-exit': {
      const process = living(world, fact.pid);
      if (process === null) return;
      process.threadCount = Math.max(0, process.threadCount - 1);
      dropThread(process, fact.tid);
      return;
    }
    case 'namespaces': {
      const process = known(world, fact.pid, at);
      observeMoves(world, process, fact.tid, fact.changed, at);
      return;
    }
    case 'stop': {
      const process = living(world, fact.pid);
      if (process === null) return;
      process.stopped = fact.signal;
      event(world, process, at, {kind: 'stop', signal: fact.signal});
      return;
    }
    case 'continue': {
      const process = living(world, fact.pid);
      if (process === null) return;
      process.stopped = null;
      event(world, process, at, {kind: 'continue'});
      return;
    }
    case 'change':
      observeChange(world, fact);
      return;
    case 'mounts':
      world.mounts.set(fact.inode, fact);
      return;
    case 'cgroup':
      world.cgroups.set(cgroupKey(fact), fact);
      return;
    case 'tracer': {
      const first = world.tracer === null;
      world.tracer = fact;
      if (fact.mode === 'proc') world.quietUntil = at + LOOKING_AROUND;
      const target = fact.scope === null ? undefined : world.byPid.get(fact.scope);
      if (target !== undefined) world.target = target;
      if (!first || fact.because !== undefined) event(world, target ?? null, at, {kind: 'tracer', fact});
      return;
    }
    case 'refused': {
      const process = world.byPid.get(fact.pid) ?? null;
      if (process !== null) process.refused = fact;
      event(world, process, at, {kind: 'refused', fact});
      return;
    }
    default:
      fact satisfies never;
  }
}

function event(world: World, process: Process | null, at: number, what: What): void {
  recordEvent(world.timeline, {at, process: process?.id ?? null, pid: process?.pid ?? 0, comm: process?.comm ?? '', what});
}

// --- processes ---

function living(world: World, pid: number): Process | null {
  const process = world.byPid.get(pid);
  return process === undefined || process.end !== null ? null : process;
}

/** The process of that pid; one of which nothing else is known where no fact told of it yet. */
function known(world: World, pid: number, at: number): Process {
  const process = world.byPid.get(pid);
  if (process !== undefined) return process;
  return addProcess(world, pid, '', at);
}

function addProcess(world: World, pid: number, start: string, at: number): Process {
  const former = world.byPid.get(pid);
  // Its pid was given to another one: its end was not told.
  if (former !== undefined && former.end === null) endProcess(world, former, {at});
  let id = `${pid}@${start}`;
  // The same tick after a whole turn of the pids, or facts that contradict each other.
  while (world.byId.has(id)) id += "'";
  const process: Process = {
    id,
    pid,
    start,
    ppid: 0,
    maker: null,
    children: [],
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
    threadCount: 0,
    threads: new Map(),
    born: null,
    opened: new Set(),
    end: null,
    stopped: null,
    refused: null,
    forgotten: 0,
  };
  world.byPid.set(pid, process);
  world.byId.set(id, process);
  world.roots.push(process);
  world.living++;
  return process;
}

function remove<T>(list: T[], item: T): void {
  const index = list.lastIndexOf(item);
  if (index >= 0) list.splice(index, 1);
}

/** Puts a process under its maker, once; never under what descends from it. */
function putUnder(world: World, process: Process, maker: Process): void {
  if (process.maker !== null) return;
  for (let above: Process | null = maker; above !== null; above = above.maker) if (above === process) return;
  remove(world.roots, process);
  process.maker = maker;
  maker.children.push(process);
}

/** Leaves only a process and what descends from it: nothing tells of the others any more. */
export function narrowTo(world: World, target: Process): void {
  const kept = new Set<Process>([target]);
  for (const process of kept) for (const child of process.children) kept.add(child);
  for (const process of world.byId.values()) {
    if (kept.has(process)) continue;
    if (process.end === null) {
      world.living--;
      letGo(process);
    }
    drop(world, process);
  }
  if (target.maker !== null) remove(target.maker.children, target);
  target.maker = null;
  world.roots.splice(0, world.roots.length, target);
  world.ended.splice(0, world.ended.length, ...world.ended.filter(process => kept.has(process)));
  world.version++;
}

/** From now on the whole machine is told of again. */
export function widen(world: World): void {
  world.target = null;
  world.quietUntil = world.now + LOOKING_AROUND;
  world.version++;
}

/** The same process as was known by that pid, or one that is new. */
function incarnation(world: World, pid: number, start: string, at: number): Process {
  const process = world.byPid.get(pid);
  if (process !== undefined && (process.start === start || process.start === '' || start === '')) {
    if (process.start === '') process.start = start;
    return process;
  }
  return addProcess(world, pid, start, at);
}

function observeProcess(world: World, fact: ProcessFact, at: number): void {
  const wasKnown = world.byPid.get(fact.pid)?.start === fact.start;
  const process = incarnation(world, fact.pid, fact.start, at);
  process.ppid = fact.ppid;
  process.state = fact.state;
  process.comm = fact.comm;
  process.argv = fact.argv;
  process.exe = fact.exe;
  process.nspid = fact.nspid;
  process.uids = fact.uids;
  process.gids = fact.gids;
  process.cgroup = fact.cgroup;
  // What stops a tracee is told by `stop`; a process that was stopped before nsview came is known by its state.
  if (fact.state === 'T') process.stopped ??= 'a signal';
  else process.stopped = null;
  if (process.end === null) {
    for (const link of NAMESPACE_LINKS) setLink(world, process, link, fact.namespaces[link], false);
    setThreads(world, process, fact.threads);
  }
  if (fact.because === 'launch' && world.target === null) world.target = process;
  if (world.tracer?.scope === fact.pid) world.target = process;
  adopt(world, process);
  if ((fact.because === 'watch' || fact.because === 'born') && !wasKnown && at > world.quietUntil)
    event(world, process, at, {kind: 'appeared', moves: movesAgainst(world, process)});
}

/** Finds the place of a process that no clone told of: under its parent; and takes the orphans that waited for it. */
function adopt(world: World, process: Process): void {
  if (process.maker === null) {
    const parent = world.byPid.get(process.ppid);
    if (parent !== undefined && parent !== process && process !== world.target) putUnder(world, process, parent);
  }
  for (let i = world.roots.length - 1; i >= 0; i--) {
    const root = world.roots[i];
    if (root !== undefined && root !== process && root.ppid === process.pid && root !== world.target && root.end === null)
      putUnder(world, root, process);
  }
}

function observeClone(world: World, fact: CloneFact, at: number): void {
  const caller = known(world, fact.pid, at);
  const flags = isRefusal(fact.flags) ? [] : fact.flags;
  if (flags.includes('CLONE_THREAD')) {
    if (caller.end !== null) return;
    caller.threadCount++;
    const maker = caller.threads.get(fact.tid);
    const links = {...maker?.links, ...moveTargets(fact.changed)};
    if (Object.keys(links).length > 0) putThread(world, caller, fact.child, caller.comm, links);
    return;
  }
  const wasThere = world.byPid.get(fact.child)?.start === fact.start;
  const child = incarnation(world, fact.child, fact.start, at);
  child.ppid = fact.ppid;
  child.born ??= {at, flags: fact.flags, by: caller, exitSignal: fact.exitSignal};
  if (child.maker === null) putUnder(world, child, caller);
  if (fact.nspid !== undefined) child.nspid = fact.nspid;
  if (!wasThere) {
    // fork(2): the child is a copy of its maker in all of this.
    child.comm = caller.threads.get(fact.tid)?.comm ?? caller.comm;
    child.argv = caller.argv;
    child.exe = caller.exe;
    child.uids = caller.uids;
    child.gids = caller.gids;
    child.cgroup = caller.cgroup;
    child.state = 'R';
    const links = {...caller.links, ...caller.threads.get(fact.tid)?.links};
    // clone(2): a child is born into the namespaces that are set aside for children.
    for (const link of NAMESPACE_LINKS) setLink(world, child, link, links[link], false);
  }
  const created = new Set(flags);
  const moves = move(world, child, fact.changed, type => created.has(FLAG_OF[type]));
  event(world, caller, at, {kind: 'clone', child: child.pid, childId: child.id, flags: fact.flags, tid: fact.tid, ppid: fact.ppid, moves});
}

const FLAG_OF: {readonly [type in NamespaceType]: string} = {
  user: 'CLONE_NEWUSER',
  mnt: 'CLONE_NEWNS',
  pid: 'CLONE_NEWPID',
  net: 'CLONE_NEWNET',
  uts: 'CLONE_NEWUTS',
  ipc: 'CLONE_NEWIPC',
  cgroup: 'CLONE_NEWCGROUP',
  time: 'CLONE_NEWTIME',
};

function observeExec(world: World, fact: ExecFact, at: number): void {
  const process = known(world, fact.pid, at);
  if (process.end !== null) return;
  const former = process.comm;
  process.comm = fact.comm;
  process.argv = fact.argv;
  process.exe = fact.path;
  // execve(2): every other thread is gone; the one that called takes over the leader's pid, and brings its namespaces along.
  const caller = fact.formerTid === undefined ? undefined : process.threads.get(fact.formerTid);
  if (caller !== undefined)
    for (const link of NAMESPACE_LINKS) if (caller.links[link] !== undefined) setLink(world, process, link, caller.links[link], false);
  process.threadCount = 0;
  for (const tid of process.threads.keys()) dropThread(process, tid);
  event(world, process, at, {
    kind: 'exec',
    former,
    path: fact.path,
    argv: fact.argv,
    ...(fact.formerTid === undefined ? {} : {formerTid: fact.formerTid}),
  });
}

function observeChange(world: World, fact: ChangeFact): void {
  const process = living(world, fact.pid);
  if (process === null) return;
  if (fact.ppid !== undefined) {
    process.ppid = fact.ppid;
    if (process.maker === null) adopt(world, process);
  }
  if (fact.state !== undefined) {
    process.state = fact.state;
    process.stopped = fact.state === 'T' ? (process.stopped ?? 'a signal') : null;
  }
  if (fact.comm !== undefined) process.comm = fact.comm;
  if (fact.argv !== undefined) process.argv = fact.argv;
  if (fact.exe !== undefined) process.exe = fact.exe;
  if (fact.nspid !== undefined) process.nspid = fact.nspid;
  if (fact.uids !== undefined) process.uids = fact.uids;
  if (fact.gids !== undefined) process.gids = fact.gids;
  if (fact.cgroup !== undefined) process.cgroup = fact.cgroup;
  if (fact.threads !== undefined) setThreads(world, process, fact.threads);
}

function endProcess(world: World, process: Process, end: End): void {
  process.end = end;
  process.stopped = null;
  world.living--;
  const emptied = letGo(process);
  event(world, process, end.at, {kind: 'end', end, emptied});
  world.ended.push(process);
  if (process.maker !== null) crowd(world, process.maker);
}

/** It holds no namespace any more; returns those that nothing else holds. */
function letGo(process: Process): readonly Namespace[] {
  const emptied: Namespace[] = [];
  for (const link of NAMESPACE_LINKS) release(process.spaces[link], link, emptied);
  for (const thread of process.threads.values()) for (const link of NAMESPACE_LINKS) release(thread.spaces[link], 'thread', emptied);
  process.threads.clear();
  return emptied;
}

// --- namespaces ---

function observeMoves(world: World, process: Process, tid: number, changed: NamespaceChanges, at: number): void {
  if (process.end !== null) return;
  const thread = tid === process.pid ? undefined : process.threads.get(tid);
  // Told before, by a reading of /proc or by a clone: no news.
  if (NAMESPACE_LINKS.every(link => changed[link] === undefined || changed[link].to === (thread?.links[link] ?? process.links[link])))
    return;
  if (tid !== process.pid) {
    const from = NAMESPACE_LINKS.map(link => namespaceOf(world, changed[link]?.from));
    const opened = putThread(world, process, tid, thread?.comm ?? process.comm, {...thread?.links, ...moveTargets(changed)});
    const moves: Move[] = [];
    for (const [i, link] of NAMESPACE_LINKS.entries()) {
      const change = changed[link];
      if (change === undefined) continue;
      const to = process.threads.get(tid)?.spaces[link] ?? process.spaces[link] ?? null;
      moves.push({link, from: from[i] ?? null, to, isNew: to !== null && opened.has(to), refusal: isRefusal(change.to) ? change.to : null});
    }
    event(world, process, at, {kind: 'moves', tid, moves});
    return;
  }
  const moves = move(world, process, changed, () => false);
  event(world, process, at, {kind: 'moves', tid, moves});
}

/** Moves a process, and says from where to where. */
function move(world: World, process: Process, changed: NamespaceChanges, certainlyNew: (type: NamespaceType) => boolean): Move[] {
  const moves: Move[] = [];
  for (const link of NAMESPACE_LINKS) {
    const change = changed[link];
    if (change === undefined) continue;
    // The process may have been read from /proc before its clone was told: then it is there already.
    const was = process.spaces[link];
    const arrived = process.links[link] === change.to;
    const from = arrived ? namespaceOf(world, change.from) : (was ?? namespaceOf(world, change.from));
    const isNew = arrived
      ? was !== null && was !== undefined && process.opened.has(was)
      : setLink(world, process, link, change.to, certainlyNew(typeOfLink(link)));
    moves.push({link, from, to: process.spaces[link] ?? null, isNew, refusal: isRefusal(change.to) ? change.to : null});
  }
  return moves;
}

function movesAgainst(world: World, process: Process): Move[] {
  const moves: Move[] = [];
  for (const link of NAMESPACE_LINKS) {
    if (link !== typeOfLink(link)) continue;
    const to = process.spaces[link] ?? null;
    const from = process.maker === null ? namespaceOf(world, world.header.host.namespaces[link]) : (process.maker.spaces[link] ?? null);
    if (to !== null && from !== null && to !== from) moves.push({link, from, to, isNew: process.opened.has(to), refusal: null});
  }
  return moves;
}

function moveTargets(changed: NamespaceChanges): Links {
  const links: Links = {};
  for (const link of NAMESPACE_LINKS) {
    const change = changed[link];
    if (change !== undefined) links[link] = change.to;
  }
  return links;
}

/** Counts a link's target; `process` links count members, the others merely hold the namespace. */
function hold(namespace: Namespace | null | undefined, link: NamespaceLink | 'thread', by: 1 | -1): void {
  if (namespace === null || namespace === undefined) return;
  if (link !== 'thread' && link === namespace.type) namespace.processes += by;
  else namespace.others += by;
}

function release(namespace: Namespace | null | undefined, link: NamespaceLink | 'thread', emptied: Namespace[]): void {
  if (namespace === null || namespace === undefined) return;
  hold(namespace, link, -1);
  if (namespace.processes + namespace.others === 0 && namespace.index > 0) emptied.push(namespace);
}

/** True where the namespace was never seen before. */
function setLink(world: World, process: Process, link: NamespaceLink, to: Seen<string> | undefined, certainlyNew: boolean): boolean {
  const was = process.links[link];
  if (to === undefined || (was === to && !certainlyNew)) return false;
  // The name first: a namespace that only this process still holds is not to be taken for a dead one.
  const named = isRefusal(to) ? null : nameNamespace(world.namespaces, typeOfLink(link), to, certainlyNew);
  const isNew = named?.isNew ?? false;
  if (named?.isNew) process.opened.add(named.namespace);
  if (process.end === null) {
    hold(process.spaces[link], link, -1);
    hold(named?.namespace, link, 1);
  }
  process.links[link] = to;
  process.spaces[link] = named?.namespace ?? null;
  return isNew;
}

function setThreads(world: World, process: Process, threads: readonly {tid: number; comm: string; namespaces?: Links}[]): void {
  process.threadCount = threads.length;
  const now = new Map(threads.map(thread => [thread.tid, thread]));
  for (const tid of process.threads.keys()) if (!now.has(tid)) dropThread(process, tid);
  for (const thread of threads) putThread(world, process, thread.tid, thread.comm, {...thread.namespaces});
}

/** Keeps a thread while it is in other namespaces than its process, and only then. */
function putThread(world: World, process: Process, tid: number, comm: string, links: Links): Set<Namespace> {
  const opened = new Set<Namespace>();
  const thread: Thread = {tid, comm, links: {}, spaces: {}};
  for (const link of NAMESPACE_LINKS) {
    const to = links[link];
    if (to === undefined || to === process.links[link]) continue;
    const named = isRefusal(to) ? null : nameNamespace(world.namespaces, typeOfLink(link), to);
    thread.links[link] = to;
    thread.spaces[link] = named?.namespace ?? null;
    hold(named?.namespace, 'thread', 1);
    if (named?.isNew) opened.add(named.namespace);
  }
  dropThread(process, tid);
  if (Object.keys(thread.links).length > 0) process.threads.set(tid, thread);
  return opened;
}

function dropThread(process: Process, tid: number): void {
  const thread = process.threads.get(tid);
  if (thread === undefined) return;
  for (const link of NAMESPACE_LINKS) hold(thread.spaces[link], 'thread', -1);
  process.threads.delete(tid);
}

// --- forgetting ---

/** Lets time pass without a fact, so that ended processes leave the screen. True where anything changed. */
export function passTime(world: World, now: number): boolean {
  if (now > world.now) world.now = now;
  const version = world.version;
  forgetEnded(world);
  return world.version !== version;
}

function isForgettable(world: World, process: Process): boolean {
  return process.children.length === 0 && process.id !== world.pinned && process !== world.target && process.maker !== null;
}

/** Ended leaves are dropped after their time; their number stays. */
function forgetEnded(world: World): void {
  if (world.now - world.swept < SWEEP) return;
  world.swept = world.now;
  let kept = 0;
  for (let i = 0; i < world.ended.length; i++) {
    const process = world.ended[i];
    if (process === undefined || process.end === null) continue;
    const age = world.now - process.end.at;
    // Ordered by their end: what follows is younger still.
    if (age < STAYS) {
      for (; i < world.ended.length; i++) {
        const rest = world.ended[i];
        if (rest !== undefined) world.ended[kept++] = rest;
      }
      break;
    }
    if (age < (process.opened.size > 0 ? STAYS_ISOLATED : STAYS) || !isForgettable(world, process)) world.ended[kept++] = process;
    else forget(world, process);
  }
  world.ended.length = kept;
}

/** Under one parent only so many ended leaves stay: the oldest goes first, one that had namespaces of its own last. */
function crowd(world: World, parent: Process): void {
  let count = 0;
  let oldest: Process | null = null;
  for (let i = parent.children.length - 1; i >= 0; i--) {
    const child = parent.children[i];
    if (child === undefined || child.end === null || !isForgettable(world, child)) continue;
    count++;
    if (oldest === null || child.opened.size === 0 || oldest.opened.size > 0) oldest = child;
  }
  if (count <= ENDED_SHOWN || oldest === null) return;
  remove(world.ended, oldest);
  forget(world, oldest);
}

function forget(world: World, process: Process): void {
  world.version++;
  if (process.maker !== null) {
    remove(process.maker.children, process);
    process.maker.forgotten += 1 + process.forgotten;
  } else remove(world.roots, process);
  drop(world, process);
}

function drop(world: World, process: Process): void {
  world.byId.delete(process.id);
  if (world.byPid.get(process.pid) === process) world.byPid.delete(process.pid);
}
