// Knows the world: every fact so far, folded into processes, the namespaces that they are in, and a timeline.

import {explainCall, newTypes} from './call-refusal.ts';
import {hierarchyName, withRates} from './cgroup-limit.ts';
import type {
  CallFact,
  CgroupFact,
  CgroupMoveFact,
  CgroupPath,
  ChangeFact,
  CloneFact,
  ContainersFact,
  ExecFact,
  Fact,
  MountsFact,
  NamespaceChanges,
  ProcessFact,
  Seen,
  SharingFact,
  StudyFact,
  StudyKind,
  TapeHeader,
  TracerFact,
} from './fact.ts';
import {isRefusal} from './fact.ts';
import {seesCalls} from './following.ts';
import {crowd, drop, forgetEnded, type Remembered, remove} from './forget.ts';
import {dropThread, letGo, move, movesAgainst, moveTargets, namespaceAt, putThread, setLink, setThreads, setUndo} from './membership.ts';
import {type MountNews, mountNews, newMounts} from './mount-news.ts';
import {createNamespaces, type Namespace, type Namespaces, type Origin} from './names.ts';
import {NAMESPACE_LINKS, type NamespaceLink, type NamespaceType} from './namespace.ts';
import {createProcess, type End, grow, type Process, placedAt} from './process.ts';
import {createTimeline, type Move, recordEvent, type Timeline, type TimelineEvent, type What} from './timeline.ts';
import {observeTold, toldAfterExec, toldByMaker} from './told.ts';

export type World = Remembered & {
  readonly header: TapeHeader;
  readonly namespaces: Namespaces;
  /** The user namespaces in which others were seen to be made, which own them (user_namespaces(7)). */
  readonly owners: WeakMap<Namespace, Namespace>;
  readonly timeline: Timeline;
  readonly mounts: Map<string, MountsFact>;
  /** What changed in those lately. */
  readonly mountNews: Map<string, MountNews>;
  readonly cgroups: Map<string, CgroupFact>;
  /** The newest by kind, pid and start time, the latest read last. */
  readonly studies: Map<string, StudyFact>;
  containers: ContainersFact | null;
  tracer: TracerFact | null;
  living: number;
  /** Until then, processes that are met were there before: a watch has just begun to look around. */
  quietUntil: number;
};

/** Nanoseconds in which a watch of /proc has met every process of a large machine. */
const LOOKING_AROUND = 3e9;

export function createWorld(header: TapeHeader): World {
  return {
    header,
    version: 0,
    now: Number(header.at),
    byPid: new Map(),
    byId: new Map(),
    roots: [],
    namespaces: createNamespaces(header.host.namespaces),
    owners: new WeakMap(),
    timeline: createTimeline(),
    mounts: new Map(),
    mountNews: new Map(),
    cgroups: new Map(),
    studies: new Map(),
    containers: null,
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

/** Readings in depth that are remembered: those of the processes that were looked at last. */
const STUDIES_KEPT = 256;

const studyKey = (kind: StudyKind, pid: number, start: string, mount: number): string => `${kind}:${pid}:${start}:${mount}`;

/** What was last read of a process in depth, for `mountHolders` of a mount by its id; null where nothing was. */
export function studyOf<Kind extends StudyKind>(
  world: World,
  kind: Kind,
  process: Process,
  mount = 0,
): Extract<StudyFact, {kind: Kind}> | null {
  const fact = world.studies.get(studyKey(kind, process.pid, process.start, mount));
  return (fact as Extract<StudyFact, {kind: Kind}> | undefined) ?? null;
}

export const namespaceOf = (world: World, seen: Seen<string> | null | undefined): Namespace | null => namespaceAt(world.namespaces, seen);

/** Folds one fact into the world, in place. Returns what it means for the timeline. */
export function observe(world: World, fact: Fact): readonly TimelineEvent[] {
  world.version++;
  const at = Number(fact.at);
  if (at > world.now) world.now = at;
  const before = world.timeline.count;
  world.namespaces.emptied.clear();
  observeKind(world, fact, at);
  forgetEnded(world);
  const added = world.timeline.count - before;
  const {newest, all} = world.timeline;
  if (added === 0 || newest === null) return NOTHING;
  // Whoever tells them one after the other tells what was folded as well. A fact that means more than one event folds none.
  return added === 1 ? [newest] : all.slice(-added);
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
    case 'lost':
      event(world, world.target, at, {kind: 'lost', count: fact.count});
      return;
    case 'gone': {
      const process = living(world, fact.pid);
      if (process !== null) endProcess(world, process, {at});
      return;
    }
    case 'thread-exit': {
      // Its maker ended before the flags could be read: it was taken for a process.
      const mistaken = fact.tid === fact.pid ? null : living(world, fact.tid);
      const flags = mistaken?.born?.flags;
      if (mistaken !== null && flags !== undefined && isRefusal(flags)) {
        const signal = fact.signal === undefined ? {} : {signal: fact.signal};
        endProcess(world, mistaken, {at, ...(fact.code === undefined ? signal : {code: fact.code})});
        return;
      }
      const process = living(world, fact.pid);
      if (process === null) return;
      process.tids.delete(fact.tid);
      dropThread(world.namespaces, process, fact.tid);
      if (world.namespaces.emptied.size > 0) {
        const signal = fact.signal === undefined ? {} : {signal: fact.signal};
        const end = {...signal, ...(fact.code === undefined ? {} : {code: fact.code})};
        event(world, process, at, {kind: 'thread-end', tid: fact.tid, end});
      }
      return;
    }
    case 'namespaces': {
      const process = known(world, fact.pid, at);
      const moves = observeMoves(world, process, fact.tid, fact.changed).filter(({link}) => !isFirstBirth(fact.changed, link));
      if (moves.length > 0) event(world, process, at, {kind: 'moves', tid: fact.tid, moves});
      return;
    }
    case 'cgroup-move':
      observeCgroupMove(world, fact, at);
      return;
    case 'id-maps': {
      // It may have ended since.
      const process = world.byPid.get(fact.pid);
      const user = namespaceOf(world, fact.user);
      if (process === undefined || user === null) return;
      const {uid = [], gid = [], setgroups = null} = fact;
      event(world, process, at, {kind: 'id-maps', user, uid, gid, setgroups});
      return;
    }
    case 'call': {
      const process = known(world, fact.pid, at);
      const moves = observeMoves(world, process, fact.tid, fact.changed, ORIGINS[fact.name] ?? null);
      if (process.end !== null) return;
      observeTold(process.told, fact, process.tids.size);
      if (fact.tid === fact.pid) {
        if (fact.uids !== undefined) process.uids = fact.uids.to;
        if (fact.gids !== undefined) process.gids = fact.gids.to;
      }
      noteOwners(world, moves, spacesOf(process, fact.tid), newTypes(fact.args?.flags));
      const why = explainCall(fact, {
        spaces: spacesOf(process, fact.tid),
        otherThreads: process.tids.size,
        ownerOf: namespace => world.owners.get(namespace),
      });
      event(world, process, at, {kind: 'call', call: fact, entered: enteredBy(world, fact), moves, why});
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
    case 'mounts': {
      const news = mountNews(world.mountNews.get(fact.inode), world.mounts.get(fact.inode), fact);
      if (news === null) world.mountNews.delete(fact.inode);
      else world.mountNews.set(fact.inode, news);
      world.mounts.set(fact.inode, fact);
      const space = namespaceOf(world, fact.inode);
      // Where calls are seen, they have told of it, and by whom.
      if (news !== null && space !== null && world.tracer?.mode === 'ptrace' && !seesCalls(world.tracer)) {
        const what = newMounts(news, fact);
        if (what.made.length + what.changed.length + what.gone.length > 0) event(world, null, at, {kind: 'mounts', space, ...what});
      }
      return;
    }
    case 'cgroup':
      world.cgroups.set(cgroupKey(fact), withRates(fact, world.cgroups.get(cgroupKey(fact))));
      return;
    case 'containers':
      world.containers = fact;
      return;
    case 'ownership':
    case 'identity':
    case 'network':
    case 'sharing':
    case 'cgroupView':
    case 'mountHolders': {
      const key = studyKey(fact.kind, fact.pid, fact.start, fact.kind === 'mountHolders' ? fact.mount : 0);
      world.studies.delete(key);
      world.studies.set(key, fact);
      if (fact.kind === 'sharing') observeUndo(world, fact);
      if (world.studies.size > STUDIES_KEPT) for (const oldest of [...world.studies.keys()].slice(0, 1)) world.studies.delete(oldest);
      return;
    }
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
      if (process !== null && fact.tid === undefined) process.refused = fact;
      event(world, process, at, {kind: 'refused', fact});
      return;
    }
    default:
      fact satisfies never;
  }
}

function event(world: World, process: Process | null, at: number, what: What): void {
  const emptied = world.namespaces.emptied.size === 0 ? {} : {emptied: [...world.namespaces.emptied]};
  world.namespaces.emptied.clear();
  recordEvent(world.timeline, {at, process: process?.id ?? null, pid: process?.pid ?? 0, comm: process?.comm ?? '', what, ...emptied});
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
  const process = createProcess(id, pid, start);
  world.byPid.set(pid, process);
  world.byId.set(id, process);
  world.roots.push(process);
  world.living++;
  return process;
}

/** Puts a process under its maker, once; never under what descends from it. */
function putUnder(world: World, process: Process, maker: Process): void {
  if (process.maker !== null) return;
  // Nobody descends from a newborn: not every birth at the end of a long line is to walk up all of it.
  if (process.children.length > 0)
    for (let above: Process | null = maker; above !== null; above = above.maker) if (above === process) return;
  if (process === maker) return;
  remove(world.roots, process);
  process.maker = maker;
  maker.children.push(process);
  grow(maker, 1 + process.below);
  if (process.end !== null) maker.endedChildren.push(process);
}

/** Leaves only a process and what descends from it: nothing tells of the others any more. */
export function narrowTo(world: World, target: Process): void {
  const kept = new Set<Process>([target]);
  for (const process of kept) for (const child of process.children) kept.add(child);
  for (const process of world.byId.values()) {
    if (kept.has(process)) continue;
    if (process.end === null) {
      world.living--;
      letGo(world.namespaces, process);
    }
    drop(world, process);
  }
  if (target.maker !== null) {
    remove(target.maker.children, target);
    grow(target.maker, -1 - target.below);
    remove(target.maker.endedChildren, target);
  }
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
    for (const link of NAMESPACE_LINKS) setLink(world.namespaces, process, link, fact.namespaces[link], null);
    setThreads(world.namespaces, process, fact.threads);
  }
  if (fact.because === 'launch' && world.target === null) world.target = process;
  if (world.tracer?.scope === fact.pid) world.target = process;
  adopt(world, process);
  const isNews = fact.because === 'born' || (fact.because === 'watch' && at > world.quietUntil);
  if (isNews && !wasKnown)
    event(world, process, at, {kind: 'appeared', moves: movesAgainst(world.namespaces, world.header.host.namespaces, process)});
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
    caller.tids.add(fact.child);
    const maker = caller.threads.get(fact.tid);
    const links = {...maker?.links, ...moveTargets(fact.changed)};
    // clone(2): it has the credentials and the cgroup of the thread that made it, and shares with that what CLONE_FILES and CLONE_FS say.
    const apart = {...maker?.apart, ...placedApart(caller.cgroup, fact.cgroup)};
    if (Object.keys(links).length + Object.keys(apart).length > 0)
      putThread(world.namespaces, caller, fact.child, caller.comm, links, apart);
    if (fact.cgroup !== undefined) {
      const {child, tid, ppid, cgroup} = fact;
      event(world, caller, at, {kind: 'clone', child, childId: caller.id, flags: fact.flags, tid, ppid, cgroup, moves: []});
    }
    return;
  }
  const former = world.byPid.get(fact.child);
  // Its pid may come round within one tick of the clock: nobody is born twice.
  const isAnother = former !== undefined && former.end !== null && former.born !== null;
  const wasThere = former?.start === fact.start && !isAnother;
  const child = isAnother ? addProcess(world, fact.child, fact.start, at) : incarnation(world, fact.child, fact.start, at);
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
    child.cgroup = bornInto(placedAt(caller.cgroup, caller.threads.get(fact.tid)?.apart.cgroup), fact.cgroup);
    child.state = 'R';
    child.told = toldByMaker(caller.told, flags.includes('CLONE_NEWUSER'), fact.tid === fact.pid);
    const links = {...caller.links, ...caller.threads.get(fact.tid)?.links};
    // clone(2): a child is born into the namespaces that are set aside for children.
    for (const link of NAMESPACE_LINKS) setLink(world.namespaces, child, link, links[link], null);
  }
  const created = new Set(flags);
  const moves = move(world.namespaces, child, fact.changed, type => (created.has(FLAG_OF[type]) ? 'made' : null));
  noteOwners(world, moves, child.spaces, newTypes(flags));
  event(world, caller, at, {
    kind: 'clone',
    child: child.pid,
    childId: child.id,
    flags: fact.flags,
    tid: fact.tid,
    ppid: fact.ppid,
    ...(fact.cgroup === undefined ? {} : {cgroup: fact.cgroup}),
    moves,
  });
}

/** Its maker's cgroups, but of version 2 the one that CLONE_INTO_CGROUP names (clone(2)). */
function bornInto(cgroup: Process['cgroup'], into: Seen<string> | undefined): Process['cgroup'] {
  if (into === undefined || isRefusal(into) || cgroup === null || isRefusal(cgroup)) return cgroup;
  return cgroup.map(line => (line.hierarchy === 0 ? {...line, path: into} : line));
}

/** The same of a thread, where it differs from its process: cgroups may be threaded (cgroups(7)). */
function placedApart(cgroup: Process['cgroup'], into: Seen<string> | undefined): {cgroup?: readonly CgroupPath[]} {
  if (into === undefined || isRefusal(into) || cgroup === null || isRefusal(cgroup)) return {};
  const placed = cgroup.filter(({hierarchy, path}) => hierarchy === 0 && path !== into);
  return placed.length === 0 ? {} : {cgroup: placed.map(line => ({...line, path: into}))};
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

/** An execve, and whoever is a process's next parent, is told of its end by SIGCHLD (fs/exec.c, de_thread(); kernel/exit.c, reparent_leader()). */
function endsByDefault(process: Process): void {
  if (process.born !== null) process.born = {...process.born, exitSignal: 'SIGCHLD'};
}

function observeExec(world: World, fact: ExecFact, at: number): void {
  const process = known(world, fact.pid, at);
  if (process.end !== null) return;
  endsByDefault(process);
  const former = process.comm;
  process.comm = fact.comm;
  process.argv = fact.argv;
  process.exe = fact.path;
  if (fact.uids !== undefined) process.uids = fact.uids.to;
  if (fact.gids !== undefined) process.gids = fact.gids.to;
  toldAfterExec(process.told, fact.formerTid === undefined);
  // execve(2): every other thread is gone; the one that called takes over the leader's pid, and brings its namespaces and cgroups along.
  const caller = fact.formerTid === undefined ? undefined : process.threads.get(fact.formerTid);
  process.cgroup = placedAt(process.cgroup, caller?.apart.cgroup);
  const moves: Move[] = [];
  for (const link of NAMESPACE_LINKS) {
    const to = caller?.links[link];
    if (to === undefined) continue;
    const from = process.spaces[link] ?? null;
    setLink(world.namespaces, process, link, to, null);
    moves.push({link, from, to: process.spaces[link] ?? null, isNew: false, refusal: isRefusal(to) ? to : null});
  }
  process.tids.clear();
  process.undoApart.clear();
  for (const tid of process.threads.keys()) dropThread(world.namespaces, process, tid);
  event(world, process, at, {
    kind: 'exec',
    former,
    path: fact.path,
    argv: fact.argv,
    ...(fact.formerTid === undefined ? {} : {formerTid: fact.formerTid}),
    ...(moves.length === 0 ? {} : {moves}),
    ...(fact.uids === undefined ? {} : {uids: fact.uids}),
    ...(fact.gids === undefined ? {} : {gids: fact.gids}),
    ...(fact.capabilities === undefined ? {} : {capabilities: fact.capabilities}),
    ...(fact.dropped === undefined ? {} : {dropped: fact.dropped}),
  });
}

function observeChange(world: World, fact: ChangeFact): void {
  const process = living(world, fact.pid);
  if (process === null) return;
  if (fact.ppid !== undefined) {
    process.ppid = fact.ppid;
    endsByDefault(process);
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
  if (fact.threads !== undefined) setThreads(world.namespaces, process, fact.threads);
}

/** Nothing where it is said to be already: a reading of /proc told of it before, or it was written to where it is (cgroups(7)). */
function observeCgroupMove(world: World, fact: CgroupMoveFact, at: number): void {
  const process = living(world, fact.pid);
  if (process === null) return;
  const {hierarchy, to} = fact;
  const line = isRefusal(process.cgroup) ? undefined : process.cgroup?.find(one => one.hierarchy === hierarchy);
  const thread = fact.tid === fact.pid ? undefined : process.threads.get(fact.tid);
  const placed = thread?.apart.cgroup?.find(one => one.hierarchy === hierarchy);
  const from = fact.from ?? (placed ?? line)?.path ?? null;
  // Two readings differ where the leader is; where its threads are follows with those.
  const isWhole = fact.by !== undefined && fact.alone === undefined;
  const wasThere = (placed ?? line)?.path === to && !(isWhole && hasThreadApart(process, hierarchy));
  if (!isRefusal(to) && line !== undefined) {
    const place = {...line, path: to};
    if (fact.tid === fact.pid) process.cgroup = placedAt(process.cgroup, [place]);
    else placeThread(world, process, fact.tid, place);
    // Each is taken out and put in again.
    const tids = isWhole ? [...process.threads.keys()] : [];
    for (const tid of tids) placeThread(world, process, tid, place);
  }
  if (wasThere) return;
  const by = fact.by === undefined ? null : fact.by.pid === fact.pid ? 'itself' : {pid: fact.by.pid, comm: fact.by.comm};
  event(world, process, at, {
    kind: 'cgroup',
    tid: fact.tid,
    hierarchy: hierarchyName(line ?? {hierarchy, controllers: []}),
    from,
    to,
    by,
  });
}

const hasThreadApart = (process: Process, hierarchy: number): boolean =>
  [...process.threads.values()].some(({apart}) => apart.cgroup?.some(one => one.hierarchy === hierarchy));

/** A thread is there, whether its process is or not. */
function placeThread(world: World, process: Process, tid: number, place: CgroupPath): void {
  const thread = process.threads.get(tid);
  const {cgroup = [], ...apart} = thread?.apart ?? {};
  const others = cgroup.filter(one => one.hierarchy !== place.hierarchy);
  const isApart = isRefusal(process.cgroup) || process.cgroup?.some(one => one.hierarchy === place.hierarchy && one.path !== place.path);
  const placed = isApart ? [...others, place] : others;
  const all = placed.length === 0 ? apart : {...apart, cgroup: placed};
  putThread(world.namespaces, process, tid, thread?.comm ?? process.comm, {...thread?.links}, all);
}

function observeUndo(world: World, {pid, start, seen}: SharingFact): void {
  const process = living(world, pid);
  if (process === null || process.start !== start || isRefusal(seen)) return;
  setUndo(
    world.namespaces,
    process,
    seen.threads.filter(({objects}) => objects?.includes('sysvsem')),
  );
}

function endProcess(world: World, process: Process, end: End): void {
  process.end = end;
  process.stopped = null;
  world.living--;
  letGo(world.namespaces, process);
  event(world, process, end.at, {kind: 'end', end});
  world.ended.push(process);
  if (process.maker === null) return;
  process.maker.endedChildren.push(process);
  crowd(world, process.maker);
}

// --- namespaces ---

/** pid_namespaces(7): a new one is opened by its first process, whose birth tells of it. The link of its maker only follows. */
function isFirstBirth(changed: NamespaceChanges, link: NamespaceLink): boolean {
  const from = changed[link]?.from ?? null;
  return link === 'pid_for_children' && from !== null && isRefusal(from) && from.errno === 'ENOENT';
}

/** What the fd of setns leads to, where it was seen before or by this call. */
function enteredBy(world: World, {args}: CallFact): Namespace | null {
  const fd = args?.fd;
  if (typeof fd !== 'object' || fd === null || !('namespace' in fd)) return null;
  const {namespace} = fd;
  if (typeof namespace !== 'object' || namespace === null || !('inode' in namespace) || typeof namespace.inode !== 'string') return null;
  return namespaceOf(world, namespace.inode);
}

function spacesOf(process: Process, tid: number): Process['spaces'] {
  const thread = tid === process.pid ? undefined : process.threads.get(tid);
  return thread === undefined ? process.spaces : {...process.spaces, ...thread.spaces};
}

/** Of those that a clone or unshare made: a new user namespace comes before all others that are made with it. */
function noteOwners(world: World, moves: readonly Move[], {user}: Process['spaces'], made: readonly string[]): void {
  for (const {to, isNew} of moves)
    if (user && to !== null && isNew && to.type !== 'user' && made.includes(to.type)) world.owners.set(to, user);
}

/** Calls that move their caller. */
const ORIGINS: {readonly [name: string]: Origin} = {unshare: 'made', setns: 'entered'};

/** What moved; nothing where a reading of /proc or a clone told of it before. */
function observeMoves(world: World, process: Process, tid: number, changed: NamespaceChanges, origin: Origin = null): readonly Move[] {
  if (process.end !== null) return [];
  const thread = tid === process.pid ? undefined : process.threads.get(tid);
  if (NAMESPACE_LINKS.every(link => changed[link] === undefined || changed[link].to === (thread?.links[link] ?? process.links[link])))
    return [];
  if (tid === process.pid) return move(world.namespaces, process, changed, () => origin);
  const from = NAMESPACE_LINKS.map(link => namespaceOf(world, changed[link]?.from));
  const opened = putThread(
    world.namespaces,
    process,
    tid,
    thread?.comm ?? process.comm,
    {...thread?.links, ...moveTargets(changed)},
    {
      ...thread?.apart,
    },
    link => (changed[link] === undefined ? null : origin),
  );
  const moves: Move[] = [];
  for (const [i, link] of NAMESPACE_LINKS.entries()) {
    const change = changed[link];
    if (change === undefined) continue;
    const to = process.threads.get(tid)?.spaces[link] ?? process.spaces[link] ?? null;
    moves.push({link, from: from[i] ?? null, to, isNew: to !== null && opened.has(to), refusal: isRefusal(change.to) ? change.to : null});
  }
  return moves;
}
