// Knows a running helper: commands go to it, and what it tells becomes facts.

import {Socket} from 'node:net';
import {decodeArguments} from '../model/call.ts';
import {capabilityChanges} from '../model/capability.ts';
import {cloneFlagNames} from '../model/clone-flag.ts';
import type {
  CallFact,
  CgroupMoveFact,
  ExitFact,
  Fact,
  Follow,
  Ids,
  NamespaceChanges,
  NamespaceLinks,
  ProcessFact,
  ProcessSeen,
  Raise,
  Refusal,
  RefusedFact,
  Seen,
  TracerFact,
} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import type {LaunchPlan} from '../model/launch-plan.ts';
import type {NamespaceLink} from '../model/namespace.ts';
import {explainNestedTracer} from '../model/refusal.ts';
import {errnoName, signalName} from './errno.ts';
import type {Native} from './native.ts';
import {decodeCgroup, decodeCmdline, decodeStatus, sameSeen} from './process.ts';
import {
  CALLS_SEEN,
  decodeCall,
  decodeExecCred,
  decodeRecords,
  FOLLOW,
  FOLLOW_FILTER,
  FOLLOW_FOREIGN,
  FOLLOW_STOPS,
  FOUND,
  type HelperRecord,
  type InodeLinks,
  LAUNCH_OPTION,
  linkEntries,
  RECORD,
  type RecordCred,
  RecordError,
  STAGE,
  STAGES,
} from './record.ts';

/** What a tracer sees by events; the rest is read from /proc every so often. `calls`: enum nsv_calls of native/nsview.h. */
const seen = (calls: number): readonly string[] => [
  'clone',
  'exec',
  'exit',
  'stop',
  ...(calls & CALLS_SEEN.native ? ['isolation calls'] : []),
  ...(calls & CALLS_SEEN.foreign ? ['of every ABI'] : []),
];

/** Why the tracer sees other calls than before (native/follow.h). */
const EVERY_ABI = 'a program of another ABI runs: calls of every ABI are seen from here on';
const OWN_ABI = 'the machine makes very many system calls: of other ABIs none is seen from here on; --abi all keeps them, at a price';
const callsBy = (calls: number): Pick<TracerFact, 'callsBy'> =>
  calls & CALLS_SEEN.stops ? {callsBy: 'stops'} : calls & CALLS_SEEN.filter ? {callsBy: 'filter'} : {};

/** In the order of enum nsv_exec_flag. */
const RAISES: readonly Raise[] = ['set-user-ID', 'set-group-ID', 'capabilities'];

/** How an attach or a launch went. `errno` and `during` are those of the call that failed. */
export type TracerAnswer =
  | {readonly ok: true; readonly pid: number; readonly processes: number; readonly threads: number}
  | {
      readonly ok: false;
      readonly pid: number;
      readonly errno: string;
      readonly during: string;
      readonly self: boolean;
      readonly missing: boolean;
    };

export type Launch = {
  readonly plan: LaunchPlan;
  /** To the byte, which those of the plan are for people. */
  readonly argv: readonly (string | Uint8Array)[];
  /** The whole environment, `NAME=value`. */
  readonly environment: readonly (string | Uint8Array)[];
  /** A pty's slave, or -1 for nsview's own stdio. */
  readonly terminal: number;
  /** Soft RLIMIT_NOFILE for the program, 0n to leave it. */
  readonly softNofile: bigint;
  /** SigIgn mask for the program (proc_pid_status(5)). */
  readonly ignoredSignals: bigint;
  /** SigBlk mask for the program. */
  readonly blockedSignals: bigint;
};

export type TracerOptions = {
  readonly native: Native;
  readonly follow: Follow;
  /** By BPF: see calls of every ABI at all times, not only once a program of another ABI runs. */
  readonly everyAbi?: boolean;
  /** By ptrace: what is launched gets a seccomp filter, and stops at its isolation calls only. */
  readonly fast?: boolean;
  /** By ptrace: what is attached to stops at every system call, so that its isolation calls are seen. */
  readonly syscalls?: boolean;
  /** Facts in the order in which they happened; many at once when many happened. */
  readonly emit: (facts: readonly Fact[]) => void;
  /** The helper ended though nobody asked it to: every tracee runs on, untraced. */
  readonly onLost: (why: string) => void;
  readonly readProcess: (pid: number) => Seen<ProcessSeen>;
  /** Many at once; who is missing is read alone. */
  readonly readProcesses: (pids: readonly number[]) => ReadonlyMap<number, ProcessSeen>;
  readonly explainRefusal: (pid: number, errno: string) => {readonly rule: string; readonly remedy: string};
};

export type Tracer = {
  readonly helperPid: number;
  /** How it follows, once something is. */
  following(): {readonly mode: 'bpf' | 'ptrace'; readonly refused: Refusal | undefined};
  attach(pid: number): Promise<TracerAnswer>;
  launch(launch: Launch): Promise<TracerAnswer>;
  /** If nsview vanishes, the launched program is not hung up: `master` is held for it. -1: not any more. */
  keepTerminal(master: number): void;
  /** End what was launched: SIGHUP once the master of its terminal is closed, then SIGTERM, then SIGKILL. `processes`: that did not end. */
  end(): Promise<TracerAnswer>;
  /** Resolves when every fact is out of which the kernel had told the helper by now; or when the helper is gone. */
  caughtUp(): Promise<void>;
  /** If nsview vanishes: the terminal gets its present settings back, and these bytes. Undone by release or stop. */
  guardTerminal(fd: number, restore: Uint8Array): void;
  releaseTerminal(): void;
  /**
   * Detach from everything; resolves when the last facts are out. Under the filter of `fast` the helper stays, silently, until what runs
   * under it has ended.
   */
  stop(): Promise<void>;
};

const sameIds = (one: Ids, other: Ids): boolean => one.every((value, index) => value === other[index]);

/** What is not what it was; nothing where that was not known. */
function credChanges(before: RecordCred | null, after: RecordCred | null): Pick<CallFact, 'uids' | 'gids' | 'capabilities'> {
  if (before === null || after === null) return {};
  const capabilities = capabilityChanges(before.capabilities, after.capabilities);
  return {
    ...(sameIds(before.uids, after.uids) ? {} : {uids: {from: before.uids, to: after.uids}}),
    ...(sameIds(before.gids, after.gids) ? {} : {gids: {from: before.gids, to: after.gids}}),
    ...(capabilities === undefined ? {} : {capabilities}),
  };
}

function seenInode(inode: bigint): Seen<string> {
  return inode > 0n ? String(inode) : {errno: inode === 0n ? 'ESRCH' : errnoName(Number(-inode)), during: 'readlink'};
}

function changes(before: InodeLinks, after: InodeLinks): NamespaceChanges {
  if (before.equals(after)) return {};
  const changed: {[link in NamespaceLink]?: {from: Seen<string> | null; to: Seen<string>}} = {};
  const old = new Map(linkEntries(before));
  for (const [link, now] of linkEntries(after)) {
    const was = old.get(link) ?? 0n;
    if (was !== now) changed[link] = {from: was === 0n ? null : seenInode(was), to: seenInode(now)};
  }
  return changed;
}

/** How a wait status says that a process ended (wait(2)). */
export function decodeExit(status: number): {code: number} | {signal: string; core?: true} {
  const signal = status & 0x7f;
  if (signal === 0) return {code: (status >> 8) & 0xff};
  return status & 0x80 ? {signal: signalName(signal), core: true} : {signal: signalName(signal)};
}

/** What the program that a launch became was at its execve: it may have ended since. */
function launchedProcess(record: HelperRecord): ProcessSeen {
  const [comm, exe, argv, identity = ''] = record.texts.map(text => text.toString());
  const cut = identity.indexOf('\n\n');
  const {uids, gids, nspid} = decodeStatus(identity.slice(0, cut + 1));
  const cgroup = identity.slice(cut + 2);
  return {
    pid: record.pid,
    start: String(record.start),
    ppid: record.ppid,
    state: 'R',
    comm: comm ?? '',
    argv: record.stage ? {errno: errnoName(record.stage), during: 'read'} : decodeCmdline(argv ?? ''),
    exe: record.error ? {errno: errnoName(record.error), during: 'readlink'} : (exe ?? ''),
    nspid,
    uids,
    gids,
    threads: [],
    namespaces: inodeLinks(record.ns),
    cgroup: cgroup === '' ? {errno: 'ESRCH', during: 'open'} : decodeCgroup(cgroup),
  };
}

function inodeLinks(links: InodeLinks): NamespaceLinks {
  const namespaces: {[link in NamespaceLink]?: Seen<string>} = {};
  for (const [link, inode] of linkEntries(links)) namespaces[link] = seenInode(inode);
  return namespaces as NamespaceLinks;
}

function idsOf(status: string): Pick<ProcessSeen, 'uids' | 'gids'> {
  const {uids, gids} = decodeStatus(status);
  return {uids, gids};
}

/** The links that the helper read; those of threads are told against them. */
function linksThen(links: InodeLinks, read: ProcessSeen): Pick<ProcessSeen, 'namespaces' | 'threads'> {
  const entries = [...linkEntries(links)];
  if (entries.every(([, inode]) => inode === 0n)) return {namespaces: read.namespaces, threads: read.threads};
  const namespaces = inodeLinks(links);
  const moved = entries.filter(([link]) => !sameSeen(read.namespaces[link], namespaces[link])).map(([link]) => link);
  if (moved.length === 0) return {namespaces: read.namespaces, threads: read.threads};
  // Where the process moved, and its threads did not, they differ now as little as they did then.
  const threads = read.threads.map(thread => {
    const own = Object.entries(thread.namespaces ?? {}).filter(([link, to]) => !sameSeen(to, namespaces[link as NamespaceLink]));
    const {namespaces: _namespaces, ...rest} = thread;
    return own.length === 0 ? rest : {...rest, namespaces: Object.fromEntries(own)};
  });
  return {namespaces, threads};
}

/**
 * The process of a record, as /proc has it. If it has ended since the helper looked at it, what the record holds, and refusals for
 * the rest: it was alive then, and its exit is a fact of its own.
 */
function seenProcess(record: HelperRecord, read: Seen<ProcessSeen>): ProcessSeen {
  if (record.texts.length === 4) return launchedProcess(record);
  const wasZombie = record.other === FOUND.zombie;
  const same = !isRefusal(read) && read.start === String(record.start);
  // It may have another parent, other ids and namespaces by now, which later facts tell.
  if (same && wasZombie) return {...read, ppid: record.ppid, state: 'Z'};
  const ids = record.texts[1] === undefined ? {} : idsOf(record.texts[1].toString());
  if (same && read.state !== 'Z' && read.state !== 'X') return {...read, ppid: record.ppid, ...ids, ...linksThen(record.ns, read)};
  const gone = {errno: 'ESRCH', during: 'open'};
  return {
    ...(same ? read : {nspid: gone, uids: gone, gids: gone, cgroup: gone}),
    ...ids,
    pid: record.pid,
    start: String(record.start),
    ppid: record.ppid,
    state: wasZombie ? 'Z' : 'R',
    comm: record.texts[0]?.toString() ?? '',
    argv: gone,
    exe: gone,
    threads: [],
    namespaces: inodeLinks(record.ns),
  };
}

/** A path, or an errno and the call that failed: by ptrace it is read from /proc, by BPF the kernel's id of it is opened. */
function birthCgroup(text: string): Seen<string> {
  const [, errno, call] = /^(\d+) (.+)$/.exec(text) ?? [];
  return errno === undefined || call === undefined ? text : {errno: errnoName(Number(errno)), during: call};
}

/** So many processes that are told of at once are read at once. */
const TOGETHER = 8;

/** Turns one record into facts. Replies are the caller's. */
function factsOf(record: HelperRecord, options: TracerOptions, launched: boolean, read: (pid: number) => Seen<ProcessSeen>): Fact[] {
  const at = String(record.at);
  const {pid, tid} = record;
  switch (record.kind) {
    case RECORD.process: {
      const seen = seenProcess(record, read(pid));
      const fact: ProcessFact = {
        kind: 'process',
        at,
        ...seen,
        because: launched ? 'launch' : record.other === FOUND.late ? 'born' : 'attach',
      };
      return [fact];
    }
    case RECORD.clone: {
      const nspid = record.texts[0]
        ?.toString()
        .trim()
        .split(/\s+/)
        .map(Number)
        .filter(number => number > 0);
      return [
        {
          kind: 'clone',
          at,
          pid,
          tid,
          child: record.other,
          start: String(record.start),
          ppid: record.ppid,
          flags: record.error ? {errno: errnoName(record.error), during: 'ptrace(PTRACE_GETREGSET)'} : cloneFlagNames(record.value),
          exitSignal: record.stage > 0 ? signalName(record.stage) : null,
          ...(nspid === undefined || nspid.length < 2 ? {} : {nspid}),
          ...(record.texts[1] === undefined ? {} : {cgroup: birthCgroup(record.texts[1].toString())}),
          changed: changes(record.ns, record.childNs),
        },
      ];
    }
    case RECORD.exec: {
      const [comm, exe, argv, cred] = record.texts;
      const {before = null, after = null} = cred === undefined ? {} : decodeExecCred(cred);
      return [
        {
          kind: 'exec',
          at,
          pid,
          path: record.error ? {errno: errnoName(record.error), during: 'readlink'} : (exe?.toString() ?? ''),
          argv: record.stage ? {errno: errnoName(record.stage), during: 'read'} : decodeCmdline(argv?.toString() ?? ''),
          ...(record.value & 1n ? {argvCut: true as const} : {}),
          comm: comm?.toString() ?? '',
          ...(record.other === pid ? {} : {formerTid: record.other}),
          ...credChanges(before, after),
          ...(record.value & ~1n ? {dropped: RAISES.filter((_, index) => record.value & (2n << BigInt(index)))} : {}),
        },
      ];
    }
    case RECORD.exit: {
      const fact: ExitFact = {kind: 'exit', at, pid, ...decodeExit(Number(record.value))};
      return [fact];
    }
    case RECORD.threadExit: {
      const end = decodeExit(Number(record.value));
      return [{kind: 'thread-exit', at, pid, tid, ...('code' in end ? {code: end.code} : {signal: end.signal})}];
    }
    case RECORD.namespaces:
      return [{kind: 'namespaces', at, pid, tid, changed: changes(record.ns, record.childNs)}];
    case RECORD.call: {
      const call = decodeCall(record);
      const {before, after, result} = call;
      const hasFailed = typeof result === 'object' && result !== null;
      const {args, cut} = decodeArguments(call);
      const isNative = record.stage === 0;
      const fact: CallFact = {
        kind: 'call',
        at,
        pid,
        tid,
        name: call.name,
        ...(isNative ? {} : {abi: record.stage === 1 ? '32-bit' : 'x32'}),
        args: isNative ? args : null,
        ...(isNative && cut.length > 0 ? {cut} : {}),
        result: call.result,
        changed: changes(record.ns, record.childNs),
        ...credChanges(before, after),
        ...(hasFailed && call.afterKnown ? {effective: after.capabilities.effective} : {}),
      };
      return [fact];
    }
    case RECORD.cgroup: {
      const [path, comm] = record.texts;
      const fact: CgroupMoveFact = {
        kind: 'cgroup-move',
        at,
        pid,
        tid,
        ...(record.stage === 1 ? {} : {alone: true}),
        hierarchy: Number(record.value),
        to: record.error ? {errno: errnoName(record.error), during: 'kernfs_path_from_node'} : (path?.toString() ?? ''),
        by: {pid: record.ppid, tid: record.other, comm: comm?.toString() ?? ''},
      };
      return [fact];
    }
    case RECORD.stop:
      return [{kind: 'stop', at, pid, signal: signalName(Number(record.value))}];
    case RECORD.lost:
      return [{kind: 'lost', at, count: Number(record.value)}];
    case RECORD.gone:
      return [{kind: 'gone', at, pid}];
    case RECORD.continue:
      return [{kind: 'continue', at, pid}];
    case RECORD.refused: {
      const errno = errnoName(record.error);
      const refused: RefusedFact = {
        kind: 'refused',
        at,
        pid,
        ...(tid === pid ? {} : {tid}),
        errno,
        during: STAGES[record.stage] ?? 'ptrace',
        ...(record.stage === STAGE.nested
          ? explainNestedTracer(record.texts[0]?.toString() ?? '', record.other)
          : options.explainRefusal(tid, errno)),
      };
      if (tid !== pid) return [refused];
      // Not followed, but there: it is shown as /proc has it.
      const there = read(pid);
      return isRefusal(there) ? [refused] : [{kind: 'process', at, ...there, because: 'attach'}, refused];
    }
    default:
      return [];
  }
}

const OPTION_NAMES = Object.keys(LAUNCH_OPTION) as readonly (keyof typeof LAUNCH_OPTION)[];
const launchOptions = (plan: LaunchPlan): number => OPTION_NAMES.reduce((flags, name) => flags | (plan[name] ? LAUNCH_OPTION[name] : 0), 0);

/** Start a helper. A refusal when it cannot be started; nothing else ever throws but a RecordError, which is a bug. */
export function startTracer(options: TracerOptions): Seen<Tracer> {
  const {native} = options;
  const ret = new Int32Array(3);
  const started = native.start(
    native.helperPath,
    FOLLOW[options.follow] |
      (options.everyAbi ? FOLLOW_FOREIGN : 0) |
      (options.fast ? FOLLOW_FILTER : 0) |
      (options.syscalls ? FOLLOW_STOPS : 0),
    ret,
  );
  if (started < 0) return {errno: errnoName(-started), during: `execve(${native.helperPath})`};
  const [helperPid = -1, socket = -1, recordFd = -1] = ret;

  let sequence = 0;
  let stopping = false;
  let reaped = false;
  let launching: number | undefined;
  /** Commands that are not to follow anything. */
  const others = new Set<number>();
  const waiting = new Map<number, (answer: TracerAnswer) => void>();
  const send = (call: (sequence: number) => number): Promise<TracerAnswer> => {
    const mine = ++sequence;
    return new Promise(resolve => {
      const sent = reaped ? -1 : call(mine);
      if (sent < 0) {
        resolve({ok: false, pid: 0, errno: reaped ? 'EPIPE' : errnoName(-sent), during: 'sendmsg', self: false, missing: false});
        return;
      }
      waiting.set(mine, resolve);
    });
  };

  const answer = (record: HelperRecord) => {
    const resolve = waiting.get(record.other);
    waiting.delete(record.other);
    if (launching === record.other) launching = undefined;
    if (record.error === 0) resolve?.({ok: true, pid: record.pid, processes: Number(record.value), threads: record.tid});
    else
      resolve?.({
        ok: false,
        pid: record.pid,
        errno: errnoName(record.error),
        during: STAGES[record.stage] ?? 'ptrace',
        self: record.stage === STAGE.self,
        missing: record.stage === STAGE.find,
      });
  };

  let mode: 'bpf' | 'ptrace' = 'ptrace';
  let refused: Refusal | undefined;
  let calls = 0;
  let begun: TracerFact | undefined;

  let pending: Buffer = Buffer.alloc(0);
  const take = (chunk: Buffer) => {
    const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const {records, used} = decodeRecords(bytes);
    pending = bytes.subarray(used);
    let facts: Fact[] = [];
    // A large tree is read by threads.
    const met = records.flatMap(({kind, pid}) => (kind === RECORD.process ? [pid] : []));
    const together = met.length < TOGETHER ? new Map<number, ProcessSeen>() : options.readProcesses(met);
    const read = (pid: number) => together.get(pid) ?? options.readProcess(pid);
    for (const record of records) {
      if (record.kind === RECORD.following) {
        mode = record.other === FOLLOW.bpf ? 'bpf' : 'ptrace';
        calls = Number(record.value);
        // By BPF it may change; by ptrace what is launched and what is attached to differ, and the reply tells.
        if (begun !== undefined && mode === 'bpf') {
          begun = {
            ...begun,
            at: String(record.at),
            sees: seen(calls),
            because: calls & CALLS_SEEN.foreign ? EVERY_ABI : OWN_ABI,
          };
          facts.push(begun);
        }
        if (record.error !== 0) refused = {errno: errnoName(record.error), during: STAGES[record.stage] ?? 'bpf'};
      } else if (record.kind === RECORD.reply) {
        // What happened before the answer is told before it, what happened after it, after.
        if (!others.delete(record.other) && record.error === 0) {
          begun = {
            kind: 'tracer',
            at: String(record.at),
            mode,
            scope: record.pid,
            sees: seen(calls),
            ...callsBy(calls),
            processes: Number(record.value),
            threads: record.tid,
            ...(refused === undefined ? {} : {bpf: refused}),
          };
          facts.push(begun);
        }
        if (facts.length > 0) options.emit(facts);
        facts = [];
        answer(record);
      } else facts.push(...factsOf(record, options, launching !== undefined, read));
    }
    if (facts.length > 0) options.emit(facts);
  };

  const reap = () => {
    if (reaped) return;
    reaped = true;
    native.stop(socket, helperPid);
  };
  const pipe = new Socket({fd: recordFd, readable: true, writable: false});
  const drained = new Promise<void>(resolve => pipe.once('close', () => resolve()));
  pipe.on('data', chunk => {
    try {
      take(chunk as Buffer);
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      pipe.destroy();
      options.onLost(`the helper sent what is not a record: ${error.message}`);
    }
  });
  pipe.on('error', () => {});
  pipe.once('close', () => {
    reap();
    for (const resolve of waiting.values()) resolve({ok: false, pid: 0, errno: 'EPIPE', during: 'read', self: false, missing: false});
    waiting.clear();
    if (stopping) return;
    options.onLost(
      calls & CALLS_SEEN.filter
        ? 'nsview-helper was killed; everything that it traced runs on, but under --fast its isolation calls fail with ENOSYS from here on'
        : 'nsview-helper ended; everything that it traced runs on',
    );
  });

  const apart = (mine: number): number => {
    others.add(mine);
    return mine;
  };

  let catchingUp: Promise<void> | undefined;
  let catchingUpAgain: Promise<void> | undefined;
  // What happened after it was asked may come after the answer: who asks meanwhile has to wait for the next one.
  const caughtUp = (): Promise<void> => {
    if (catchingUp !== undefined) {
      catchingUpAgain ??= catchingUp.then(() => {
        catchingUpAgain = undefined;
        return caughtUp();
      });
      return catchingUpAgain;
    }
    catchingUp = send(mine => native.catchUp(socket, apart(mine))).then(() => {
      catchingUp = undefined;
    });
    return catchingUp;
  };

  return {
    helperPid,
    following: () => ({mode, refused}),
    attach: pid => send(mine => native.attach(socket, mine, pid)),
    launch: ({plan, argv, environment, terminal, softNofile, ignoredSignals, blockedSignals}) => {
      // enum nsv_launch_text
      const texts = [plan.cgroup, plan.uidMap, plan.gidMap, plan.hostname].map(text => text ?? '');
      const end = Buffer.alloc(1);
      const strings = Buffer.concat([...argv, ...environment, ...texts].flatMap(string => [Buffer.from(string), end]));
      return send(mine => {
        launching = mine;
        return native.launch(
          socket,
          mine,
          terminal,
          argv.length,
          environment.length,
          strings,
          strings.length,
          softNofile,
          ignoredSignals,
          blockedSignals,
          plan.cloneFlags,
          launchOptions(plan),
        );
      });
    },
    keepTerminal: master => {
      if (!reaped) native.keepTerminal(socket, master);
    },
    end: () => send(mine => native.end(socket, apart(mine))),
    caughtUp,
    guardTerminal: (fd, restore) => {
      if (!reaped) native.guardTerminal(socket, fd, restore, restore.length);
    },
    releaseTerminal: () => {
      if (!reaped) native.releaseTerminal(socket);
    },
    stop: async () => {
      stopping = true;
      if (!reaped) native.releaseTerminal(socket);
      reap();
      await drained;
    },
  };
}
