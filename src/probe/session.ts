// Knows what is followed: a tracer and the readings of /proc beside it, as one stream of facts, and which processes still live.

import type {
  CloneFact,
  Fact,
  Follow,
  NamespaceChanges,
  NamespaceLinks,
  Seen,
  ThreadExitFact,
  ThreadSeen,
  TracerFact,
} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {seesCalls} from '../model/following.ts';
import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';
import {followIdMaps} from './id-map-follow.ts';
import {followMounts, NAMESPACES_WATCHED} from './mount-follow.ts';
import type {Reader} from './mount-watch.ts';
import {loadNative} from './native.ts';
import {readNamespaceLinks, readProcess, readStat, readThreads, sameSeen} from './process.ts';
import {readAll} from './processes.ts';
import {explainRefusal} from './ptrace-evidence.ts';
import {type Launch, startTracer, type Tracer, type TracerAnswer} from './tracer.ts';
import {isAnother, startWatch, type Told, type Watch} from './watch.ts';

export type Session = {
  /** Follow `pid` and its descendants. May be asked again for others. */
  attach(pid: number): Promise<TracerAnswer>;
  launch(launch: Launch): Promise<TracerAnswer>;
  /** Hold the master of the program's terminal if nsview vanishes; -1: not any more. */
  keepTerminal(master: number): void;
  /** End what was launched. `processes`: how many did not end. */
  end(): Promise<TracerAnswer>;
  /** Give the terminal back as it is now if nsview vanishes. */
  guardTerminal(fd: number, restore: Uint8Array): void;
  /** Traced processes that live. */
  pids(): ReadonlySet<number>;
  /** Read this process soon: somebody looks at it. */
  look(pid: number): void;
  /** Let everything go. Facts still on their way come first. */
  stop(): Promise<void>;
};

export type SessionOptions = {
  readonly follow: Follow;
  readonly everyAbi?: boolean;
  readonly fast?: boolean;
  readonly syscalls?: boolean;
  readonly emit: (facts: readonly Fact[]) => void;
  /** The last process that was followed has ended. */
  readonly onEmpty?: () => void;
  /** The helper is gone; what it followed runs on. The tracer fact that says so has been emitted. */
  readonly onLost?: () => void;
};

/** Milliseconds that a slice of readings takes at most, generously. */
const READING = 15;
/** Milliseconds between looks at a task that may still be in the call that changed it, and so long at most. */
const STILL_INSIDE = 25;
const STILL_INSIDE_MOST = {namespaces: 1000, change: 50} as const;

/** After these a reading of /proc that was made before says nothing. */
const TOUCHING: ReadonlySet<Fact['kind']> = new Set(['exec', 'namespaces', 'cgroup-move', 'call', 'exit', 'process']);

/** The birth or the end of one. */
const isOfThread = (fact: Fact): fact is CloneFact | ThreadExitFact =>
  fact.kind === 'thread-exit' || (fact.kind === 'clone' && !isRefusal(fact.flags) && fact.flags.includes('CLONE_THREAD'));

/** The links after some of them moved. */
function moveLinks(links: NamespaceLinks, changed: NamespaceChanges): NamespaceLinks {
  if (Object.keys(changed).length === 0) return links;
  const moved = {...links};
  for (const link of NAMESPACE_LINKS) {
    const change = changed[link];
    if (change !== undefined) Object.assign(moved, {[link]: change.to});
  }
  return moved;
}

const linksOfThreads = (namespaces: NamespaceLinks, threads: readonly ThreadSeen[]): Map<number, NamespaceLinks> =>
  new Map(threads.map(thread => [thread.tid, thread.namespaces === undefined ? namespaces : {...namespaces, ...thread.namespaces}]));

/** Decimal numbers without leading zeros: the longer is the larger. */
const isLater = (one: string, other: string): boolean => one.length > other.length || (one.length === other.length && one > other);

const now = (): string => String(process.hrtime.bigint());

/** Start the helper. A refusal where it cannot run; NativeError where it is not built. */
export function openSession(options: SessionOptions): Seen<Session> {
  const live = new Set<number>();
  let followed = false;
  let watch: Watch | undefined;
  /** Not followed, but in the tree: whom ptrace was refused, and who had ended before. Watched from /proc, with all that descends from them. */
  const aside = new Set<number>();
  let watchAside: Watch | undefined;
  let scope: number | null = null;
  let mountsFollowed: Disposable | undefined;
  /** How, as was last told. */
  let following: TracerFact | undefined;

  /** What the facts said of each living process: the readings of /proc beside the tracer tell only what differs from that. */
  const told = new Map<number, Told>();
  const startOf = (start: string | undefined): Pick<Told, 'start'> => (start === undefined || start === '0' ? {} : {start});
  const lastTold = (pid: number): Told => told.get(pid) ?? {};

  /** Where a task is, as far as that was told. */
  const linksOf = (pid: number, tid: number): NamespaceLinks | undefined => lastTold(pid).threads?.get(tid) ?? lastTold(pid).namespaces;

  const putThread = (pid: number, tid: number, links: NamespaceLinks) => {
    const {threads} = lastTold(pid);
    if (threads === undefined) told.set(pid, {...lastTold(pid), threads: new Map([[tid, links]])});
    else threads.set(tid, links);
  };

  /** Of a move what was not told yet: a reading of /proc, and the tracer's next event, find what a call or a birth told of. Null: nothing. */
  const untold = (fact: Fact): Fact | null => {
    if (fact.kind !== 'namespaces') return fact;
    const links = linksOf(fact.pid, fact.tid);
    if (links === undefined) return fact;
    const news = Object.entries(fact.changed).flatMap(([link, {from, to}]) => {
      const last = links[link as NamespaceLink];
      return sameSeen(last, to) ? [] : [[link, {from: last ?? from, to}]];
    });
    return news.length === 0 ? null : {...fact, changed: Object.fromEntries(news)};
  };

  const keepTold = (fact: Fact) => {
    switch (fact.kind) {
      case 'process': {
        const {kind: _kind, at: _at, because: _because, ...seen} = fact;
        const threads = linksOfThreads(fact.namespaces, fact.threads);
        told.set(fact.pid, {...startOf(fact.start), seen, namespaces: fact.namespaces, threads, ppid: fact.ppid});
        break;
      }
      case 'clone': {
        const caller = linksOf(fact.pid, fact.tid);
        if (caller === undefined) break;
        const namespaces = moveLinks(caller, fact.changed);
        if (!isRefusal(fact.flags) && fact.flags.includes('CLONE_THREAD')) putThread(fact.pid, fact.child, namespaces);
        else if (live.has(fact.child)) told.set(fact.child, {...startOf(fact.start), namespaces, ppid: fact.ppid});
        break;
      }
      case 'call':
      case 'namespaces': {
        if (Object.keys(fact.changed).length === 0) break;
        const links = linksOf(fact.pid, fact.tid);
        if (links === undefined) break;
        const {seen: _seen, ...rest} = lastTold(fact.pid);
        const namespaces = moveLinks(links, fact.changed);
        if (fact.tid === fact.pid) told.set(fact.pid, {...rest, namespaces});
        else putThread(fact.pid, fact.tid, namespaces);
        break;
      }
      case 'cgroup-move': {
        const {seen: _seen, ...rest} = lastTold(fact.pid);
        if (told.has(fact.pid)) told.set(fact.pid, rest);
        break;
      }
      case 'exec': {
        const {seen: _seen, threads: _threads, ...rest} = lastTold(fact.pid);
        // The thread that called is the process from now on.
        const namespaces = linksOf(fact.pid, fact.formerTid ?? fact.pid);
        if (namespaces !== undefined) told.set(fact.pid, {...rest, namespaces});
        break;
      }
      case 'thread-exit':
        if (fact.tid !== fact.pid) {
          told.delete(fact.tid);
          told.get(fact.pid)?.threads?.delete(fact.tid);
        }
        break;
      case 'exit':
      case 'gone':
        told.delete(fact.pid);
        break;
      default:
        break;
    }
  };

  const keepCount = (fact: Fact) => {
    switch (fact.kind) {
      case 'process':
        // A zombie was there before; its exit will not be told.
        if (fact.state === 'Z') {
          live.delete(fact.pid);
          aside.add(fact.pid);
        } else {
          live.add(fact.pid);
          followed = true;
        }
        break;
      case 'clone':
        if (isRefusal(fact.flags) || !fact.flags.includes('CLONE_THREAD')) live.add(fact.child);
        break;
      case 'refused':
        if (fact.tid !== undefined) break;
        live.delete(fact.pid);
        aside.add(fact.pid);
        break;
      case 'thread-exit':
        // A clone of which the flags were refused was taken for a process: it would never be told to have ended.
        if (fact.tid !== fact.pid) live.delete(fact.tid);
        break;
      case 'exit':
      case 'gone':
        live.delete(fact.pid);
        aside.delete(fact.pid);
        break;
      default:
        break;
    }
  };

  /** When the tracer last told of a process what a reading of /proc could contradict, by performance.now(). */
  const touched = new Map<number, number>();
  /** When it last told of the birth or the end of a thread, likewise. */
  const stirred = new Map<number, number>();
  let lastAt = '0';
  let stopped = false;
  /** Of /proc, and when it was read, by performance.now(). */
  type Reading = {readonly fact: Fact; readonly since: number};
  /** Those that may be ahead of a call that is not over, in order. */
  let early: Reading[] = [];
  let lookAgain: NodeJS.Timeout | undefined;
  /** When those were read that wait for the tracer. */
  const untoldSince: number[] = [];

  const taskOf = (fact: Fact): number | undefined => (fact.kind === 'namespaces' ? fact.tid : 'pid' in fact ? fact.pid : undefined);

  /** It may be so by a call of which its task is not out yet, and then that is told when it is: the kernel has not told the tracer. */
  const mayBeInside = ({fact, since}: Reading): boolean => {
    if ((fact.kind !== 'namespaces' && fact.kind !== 'change') || following === undefined || !seesCalls(following)) return false;
    if (performance.now() - since > STILL_INSIDE_MOST[fact.kind]) return false;
    const stat = readStat(fact.kind === 'change' ? fact.pid : fact.tid);
    return !isRefusal(stat) && stat.state === 'R';
  };

  /** Resolves when all events are told that the kernel had told the tracer by now. */
  const caughtUp = async (): Promise<void> => {
    if (!isRefusal(tracer)) await tracer.caughtUp();
  };

  /** Reads and tells it whole: against what was once told of it, what changed back since would be no change. */
  const readAnew = (pid: number) => {
    watch?.forget(pid);
    const {seen, ...rest} = lastTold(pid);
    if (seen !== undefined) told.set(pid, rest);
  };

  /** Threads that were read before others were told to be born are read again: of those that are told none is missing then. */
  const withThreadsNow = ({fact, since}: Reading): Fact => {
    if (fact.kind !== 'change' || fact.threads === undefined || (stirred.get(fact.pid) ?? 0) < since) return fact;
    const {threads: _threads, ...rest} = fact;
    const before = lastTold(fact.pid);
    const threads = readThreads(fact.pid, before.namespaces ?? readNamespaceLinks(`/proc/${fact.pid}`));
    const stat = readStat(fact.pid);
    return isRefusal(stat) || isAnother(before, stat.start) ? rest : {...rest, threads};
  };

  const tellReadings = (readings: readonly Reading[]) => {
    const wereThere = live.size > 0;
    const still = readings.flatMap((reading): Fact[] => {
      const {fact, since} = reading;
      if (fact.kind === 'gone') return aside.delete(fact.pid) || !live.has(fact.pid) || missedEnd(fact.pid) ? [fact] : [];
      // Who changed a table is not known; that its reader did something else meanwhile does not matter. A map stays as it is.
      if (!('pid' in fact) || fact.kind === 'mounts' || fact.kind === 'id-maps' || (touched.get(fact.pid) ?? 0) < since)
        return [withThreadsNow(reading)];
      readAnew(fact.pid);
      return [];
    });
    // Who descends from them is as they are.
    for (const fact of still) if (fact.kind === 'process') aside.add(fact.pid);
    const news = still.flatMap(fact => {
      const one = untold(fact);
      if (one?.kind === 'namespaces' || one?.kind === 'cgroup-move') keepTold(one);
      return one === null ? [] : [isLater(lastAt, one.at) ? {...one, at: lastAt} : one];
    });
    if (news.length === 0) return;
    options.emit(news);
    if (wereThere && live.size === 0) options.onEmpty?.();
  };

  const tellInTime = async (readings: readonly Reading[]) => {
    const waits = new Set<number | undefined>();
    const ready: Reading[] = [];
    const all = [...early, ...readings];
    early = [];
    for (const reading of all) {
      const task = taskOf(reading.fact);
      // What was read later of the same task is told later.
      if (waits.has(task) || mayBeInside(reading)) {
        waits.add(task);
        early.push(reading);
      } else ready.push(reading);
    }
    if (early.length > 0)
      lookAgain ??= setTimeout(() => {
        lookAgain = undefined;
        void tellInTime([]);
      }, STILL_INSIDE);
    const since = ready[0]?.since;
    if (since === undefined) return;
    untoldSince.push(since);
    await caughtUp();
    untoldSince.splice(untoldSince.indexOf(since), 1);
    if (stopped) return;
    tellReadings(ready);
    const oldest = Math.min(performance.now() - READING, early[0]?.since ?? Number.POSITIVE_INFINITY, ...untoldSince);
    for (const times of [touched, stirred]) for (const [pid, when] of times) if (when < oldest) times.delete(pid);
  };

  /**
   * A reading of /proc may be ahead of events that are still on their way: it waits for those, and where they tell of the same process,
   * they are right and it is read again. Its time is never before that of what was told already.
   */
  const emitReadings = (facts: readonly Fact[]) => {
    const since = performance.now() - READING;
    void tellInTime(facts.map(fact => ({fact, since})));
  };

  /** Another has the pid of a process that the tracer has not told to have ended, though all that it saw has come in. */
  const missedEnd = (pid: number): boolean => {
    const stat = readStat(pid);
    if (isRefusal(stat) || !isAnother(lastTold(pid), stat.start)) return false;
    told.delete(pid);
    return live.delete(pid);
  };

  /** A process in that user namespace, as far as that was told. */
  const memberOf = (user: string): number | undefined => {
    for (const pid of live) if (told.get(pid)?.namespaces?.user === user) return pid;
    return undefined;
  };

  const idMaps = followIdMaps({member: memberOf, emit: emitReadings});

  const lookAtMaps = (fact: Fact) => {
    if (fact.kind === 'process') {
      if (!isRefusal(fact.namespaces.user)) idMaps.look(fact.namespaces.user, fact.pid, undefined);
    } else if (fact.kind === 'clone' || fact.kind === 'call' || fact.kind === 'namespaces') {
      const move = fact.changed.user;
      if (move === undefined || isRefusal(move.to)) return;
      const isNew = fact.kind === 'clone' || (fact.kind === 'call' && fact.name === 'unshare');
      const from = isNew && move.from !== null && !isRefusal(move.from) ? move.from : undefined;
      idMaps.look(move.to, fact.kind === 'clone' ? fact.child : fact.pid, from);
    }
  };

  const emit = (all: readonly Fact[]) => {
    const facts: Fact[] = [];
    for (const each of all) {
      const fact = untold(each);
      if (fact === null) continue;
      facts.push(fact);
      if (isLater(fact.at, lastAt)) lastAt = fact.at;
      if (TOUCHING.has(fact.kind) && 'pid' in fact) touched.set(fact.pid, performance.now());
      if (isOfThread(fact)) stirred.set(fact.pid, performance.now());
      // What was read of it before would be told as a move of its own.
      if (fact.kind === 'cgroup-move') watch?.forget(fact.pid);
      // What was told of them may be what a lost event undid.
      if (fact.kind === 'lost') for (const pid of live) readAnew(pid);
      if (fact.kind === 'tracer') following = fact;
      keepCount(fact);
      keepTold(fact);
      lookAtMaps(fact);
    }
    if (facts.length > 0) options.emit(facts);
    const mapped = idMaps.readNew();
    if (mapped.length > 0) emitReadings(mapped);
    if (aside.size > 0) watchAside ??= startWatch({trees: aside, isFollowed: pid => live.has(pid), told: lastTold, emit: emitReadings});
    if (followed && live.size === 0) options.onEmpty?.();
  };

  /** A process in each mount namespace. */
  const mountReaders = (): Iterable<Reader> => {
    const readers = new Map<string, Reader>();
    for (const pid of live) {
      const inode = told.get(pid)?.namespaces?.mnt;
      if (inode !== undefined && !isRefusal(inode) && !readers.has(inode)) readers.set(inode, {inode, pid});
    }
    return readers.values();
  };

  const tooManyMounts = (leftOut: number) => {
    if (following === undefined) return;
    const because = `more than ${NAMESPACES_WATCHED} mount namespaces: of ${leftOut} of them nsview does not notice what is mounted`;
    emitReadings([{...following, at: now(), because}]);
  };

  const endWatches = () => {
    watch?.[Symbol.dispose]();
    watchAside?.[Symbol.dispose]();
    mountsFollowed?.[Symbol.dispose]();
    idMaps[Symbol.dispose]();
    watch = watchAside = mountsFollowed = undefined;
  };

  const lost = (why: string) => {
    live.clear();
    endWatches();
    const fact: TracerFact = {kind: 'tracer', at: now(), mode: 'proc', scope, sees: [], processes: 0, threads: 0, because: why};
    options.emit([fact]);
    options.onLost?.();
  };

  const tracer: Seen<Tracer> = startTracer({
    native: loadNative(),
    follow: options.follow,
    everyAbi: options.everyAbi ?? false,
    fast: options.fast ?? false,
    syscalls: options.syscalls ?? false,
    emit,
    onLost: lost,
    readProcess,
    readProcesses: pids => new Map(readAll(pids, false).map(({seen: {credentials: _credentials, ...seen}}) => [seen.pid, seen])),
    explainRefusal,
  });
  if (isRefusal(tracer)) return tracer;

  const begun = (answer: TracerAnswer): TracerAnswer => {
    if (!answer.ok) return answer;
    scope ??= answer.pid;
    watch ??= startWatch({refresh: () => live, told: lastTold, emit: emitReadings});
    // Where calls are seen, those that mount are among them.
    if (following !== undefined && !seesCalls(following))
      mountsFollowed ??= followMounts({readers: mountReaders, emit: emitReadings, onTooMany: tooManyMounts});
    return answer;
  };

  return {
    attach: async pid => begun(await tracer.attach(pid)),
    launch: async launch => begun(await tracer.launch(launch)),
    keepTerminal: master => tracer.keepTerminal(master),
    end: () => tracer.end(),
    guardTerminal: (fd, restore) => tracer.guardTerminal(fd, restore),
    pids: () => live,
    look: pid => watch?.look(pid),
    stop: async () => {
      stopped = true;
      clearTimeout(lookAgain);
      const gone = [...aside].filter(pid => isRefusal(readStat(pid)));
      if (gone.length > 0) options.emit(gone.map(pid => ({kind: 'gone', at: now(), pid})));
      endWatches();
      await tracer.stop();
    },
  };
}
