// Knows the events that are worth a person's attention, in order, and what each of them says.

import {argumentTexts, callName, callText, resultText} from './call-text.ts';
import {type CapabilityTelling, capabilityChangeTexts, changedTogether} from './capability.ts';
import type {CallFact, CapabilityChanges, Host, Ids, Raise, Refusal, RefusedFact, Seen, TapeHeader, TracerFact} from './fact.ts';
import {isRefusal} from './fact.ts';
import {followedBy} from './following.ts';
import {rangePieces} from './id-range.ts';
import type {IdRange} from './identity.ts';
import {dim, type Line, lineCells, lineText, type Piece, plain, strong, type Tone, toned, wrapLine, wrapPieces, wrapText} from './line.ts';
import type {Namespace} from './names.ts';
import type {NamespaceLink} from './namespace.ts';
import {cells, fitCells, printable} from './printable.ts';
import {explainDropped} from './refusal.ts';

/** From one namespace to another; null where it is not known. */
export type Move = {
  readonly link: NamespaceLink;
  readonly from: Namespace | null;
  readonly to: Namespace | null;
  /** The namespace was never seen before. */
  readonly isNew: boolean;
  readonly refusal: Refusal | null;
};

type IdMove = {readonly from: Ids; readonly to: Ids};

export type What =
  | {
      readonly kind: 'clone';
      readonly tid: number;
      readonly child: number;
      readonly childId: string;
      readonly flags: Seen<readonly string[]>;
      readonly ppid: number;
      /** Of CLONE_INTO_CGROUP. */
      readonly cgroup?: Seen<string>;
      readonly moves: readonly Move[];
    }
  /** `entered` is what the fd of setns leads to, where that has a name. */
  | {
      readonly kind: 'call';
      readonly call: CallFact;
      readonly entered: Namespace | null;
      readonly moves: readonly Move[];
      /** Why it failed, where more of that is known than the errno. */
      readonly why: string | null;
    }
  | {readonly kind: 'moves'; readonly tid: number; readonly moves: readonly Move[]}
  /** `from` and `by` are null where they are not known. */
  | {
      readonly kind: 'cgroup';
      readonly tid: number;
      readonly hierarchy: string;
      readonly from: string | null;
      readonly to: Seen<string>;
      readonly by: {readonly pid: number; readonly comm: string} | 'itself' | null;
    }
  /** By whom is not known. */
  | {
      readonly kind: 'id-maps';
      readonly user: Namespace;
      readonly uid: readonly IdRange[];
      readonly gid: readonly IdRange[];
      readonly setgroups: 'deny' | null;
    }
  | {readonly kind: 'appeared'; readonly moves: readonly Move[]}
  | {
      readonly kind: 'exec';
      readonly former: string;
      readonly path: Seen<string>;
      readonly argv: Seen<readonly string[]>;
      readonly formerTid?: number;
      /** To where the thread was that called, whose namespaces are the process's from then on. */
      readonly moves?: readonly Move[];
      readonly uids?: IdMove;
      readonly gids?: IdMove;
      readonly capabilities?: CapabilityChanges;
      readonly dropped?: readonly Raise[];
    }
  | {readonly kind: 'end'; readonly end: {readonly code?: number; readonly signal?: string; readonly core?: true}}
  /** Of those that left a namespace empty. */
  | {readonly kind: 'thread-end'; readonly tid: number; readonly end: {readonly code?: number; readonly signal?: string}}
  | {readonly kind: 'stop'; readonly signal: string}
  | {readonly kind: 'continue'}
  | {readonly kind: 'lost'; readonly count: number}
  /** A mount table is not as it was; by whom is not known. */
  | {
      readonly kind: 'mounts';
      readonly space: Namespace;
      readonly made: readonly string[];
      readonly changed: readonly string[];
      readonly gone: readonly string[];
    }
  | {readonly kind: 'tracer'; readonly fact: TracerFact}
  | {readonly kind: 'refused'; readonly fact: RefusedFact};

/** `process` is the id of the one that did it; `comm` is its name as it was then. */
export type TimelineEvent = {
  readonly seq: number;
  readonly at: number;
  readonly process: string | null;
  readonly pid: number;
  readonly comm: string;
  readonly what: What;
  /** Namespaces of which nobody that nsview sees is in any more since this; others may be, outside of the tree that it follows. */
  readonly emptied?: readonly Namespace[];
  /** Isolation was touched, or how it is observed. */
  readonly isolation: boolean;
  /** Calls like this one that its thread made next, nothing coming between them. They have no events of their own. */
  readonly run?: Run;
};

/** `calls` is the first RUN_KEPT of them, of `count`. `capabilities`: what they and the first one changed, taken together. */
type Run = {
  readonly count: number;
  readonly last: CallFact;
  readonly calls: readonly CallFact[];
  readonly capabilities?: CapabilityChanges;
};

/** Two rings, so that a storm of short lives does not push out what changed isolation. `newest` is the last event as it came, before it was
 * folded into a run. */
export type Timeline = {count: number; newest: TimelineEvent | null; readonly all: TimelineEvent[]; readonly isolation: TimelineEvent[]};

const KEPT = 20_000;
const RUN_KEPT = 200;

export const createTimeline = (): Timeline => ({count: 0, newest: null, all: [], isolation: []});

/** The call of an event that changed nothing else that is known, and so says the same when it comes again; or but one capability after the other. */
function plainCall({what, emptied}: Pick<TimelineEvent, 'what' | 'emptied'>): CallFact | null {
  if (what.kind !== 'call' || what.moves.length > 0 || emptied !== undefined) return null;
  const {name, uids, gids, capabilities} = what.call;
  return uids === undefined && gids === undefined && (capabilities === undefined || name === 'prctl') ? what.call : null;
}

/** The same call again, or the next of a row: a sandbox drops forty capabilities by as many prctl(2). */
function isLike(one: CallFact, other: CallFact): boolean {
  if (one.tid !== other.tid || one.name !== other.name || one.abi !== other.abi || one.args === null || other.args === null) return false;
  if (JSON.stringify(one.result) !== JSON.stringify(other.result)) return false;
  if (one.name === 'prctl') return one.args.op === other.args.op;
  return JSON.stringify([one.args, one.cut]) === JSON.stringify([other.args, other.cut]);
}

/** `before` with one more call in its run, where the event is such a call. */
function foldInto(before: TimelineEvent | undefined, event: TimelineEvent): TimelineEvent | null {
  if (before === undefined || before.process !== event.process || before.comm !== event.comm) return null;
  const [first, next] = [plainCall(before), plainCall(event)];
  if (first === null || next === null || !isLike(first, next)) return null;
  const {count, calls} = before.run ?? {count: 0, calls: []};
  const capabilities = changedTogether((before.run ?? first).capabilities, next.capabilities);
  return {
    ...before,
    run: {
      count: count + 1,
      last: next,
      calls: count < RUN_KEPT ? [...calls, next] : calls,
      ...(capabilities === undefined ? {} : {capabilities}),
    },
  };
}

function keep(ring: TimelineEvent[], event: TimelineEvent): void {
  ring.push(event);
  if (ring.length >= KEPT * 2) ring.splice(0, ring.length - KEPT);
}

export function recordEvent(timeline: Timeline, event: Omit<TimelineEvent, 'seq' | 'isolation'>): void {
  const isolation = event.emptied !== undefined || touchesIsolation(event.what);
  const full = {...event, seq: timeline.count++, isolation};
  timeline.newest = full;
  const folded = foldInto(timeline.all.at(-1), full);
  if (folded !== null) {
    // A call touches isolation, so that it is the last of both.
    timeline.all[timeline.all.length - 1] = folded;
    timeline.isolation[timeline.isolation.length - 1] = folded;
    return;
  }
  keep(timeline.all, full);
  if (isolation) keep(timeline.isolation, full);
}

function touchesIsolation(what: What): boolean {
  switch (what.kind) {
    case 'clone':
      return (
        what.moves.length > 0 ||
        (!isRefusal(what.flags) && what.flags.some(flag => /^CLONE_(NEW|INTO_CGROUP$|NNP$|EMPTY_MNTNS$)/.test(flag)))
      );
    case 'appeared':
      return what.moves.length > 0;
    case 'call':
    case 'moves':
    case 'cgroup':
    case 'id-maps':
    case 'tracer':
    case 'lost':
    case 'mounts':
    case 'refused':
      return true;
    case 'exec':
      return [what.dropped, what.moves, what.uids, what.gids, what.capabilities].some(change => change !== undefined);
    case 'end':
    case 'thread-end':
    case 'stop':
    case 'continue':
      return false;
    default:
      return what satisfies never;
  }
}

/** What was done, and what it changed. */
type Said = {readonly did: Line; readonly changed: Line};

/** Flags of clone(2) that say something about isolation or lineage; the rest is how libc makes processes and threads. */
const TELLING = /^CLONE_(NEW|PARENT$|INTO_CGROUP|UNTRACED|NNP$|EMPTY_MNTNS$)/;
/** What another process shares with its maker, which no child of fork(2) does: of CLONE_FS the root directory, of CLONE_FILES every fd. */
const SHARING = /^CLONE_(VM|VFORK|FS|FILES|SIGHAND|SYSVSEM|IO)$/;

export function cloneCall(flags: Seen<readonly string[]>): string {
  if (isRefusal(flags)) return `clone(${flags.errno})`;
  const isThread = flags.includes('CLONE_THREAD');
  const telling = flags.filter(flag => TELLING.test(flag) || (!isThread && SHARING.test(flag))).join('|');
  if (telling === 'CLONE_VM|CLONE_VFORK') return 'vfork()';
  return telling === '' ? 'fork()' : `clone(${telling})`;
}

const ARROW = ' → ';

/** Its arguments give way, as those of other calls do; what is left of them says something, or they are an ellipsis. */
function shortenCall(call: string, width: number): string {
  const [start, end] = [call.indexOf('(') + 1, call.lastIndexOf(')')];
  const within = width - start - (call.length - end);
  if (cells(call) <= width || end - start < 8) return call;
  return `${call.slice(0, start)}${within < 8 ? '…' : fitCells(call.slice(start, end), within)}${call.slice(end)}`;
}

export const namespacePiece = (namespace: Namespace | null): Piece =>
  namespace === null ? dim('?') : toned(`ns${namespace.index}`, namespace.name);

function movePieces(moves: readonly Move[]): Line {
  const pieces: Piece[] = [];
  for (const move of moves) {
    if (pieces.length > 0) pieces.push(plain('  '));
    if (move.link.endsWith('_for_children')) pieces.push(dim('children '));
    if (move.from !== null) pieces.push(namespacePiece(move.from), plain(' '));
    // pid_namespaces(7): it has no first process yet, and until then the link leads nowhere.
    const empty = move.link === 'pid_for_children' && move.refusal?.errno === 'ENOENT';
    pieces.push(
      plain('→ '),
      empty ? plain('new, empty') : move.refusal === null ? namespacePiece(move.to) : toned('bad', move.refusal.errno),
    );
  }
  return pieces;
}

function moveVerb(moves: readonly Move[]): Line {
  const fresh = moves.filter(move => move.isNew).length;
  const things = moves.length === 1 ? 'namespace' : 'namespaces';
  if (fresh === moves.length) return [strong(`new ${things}`)];
  return fresh === 0 ? [strong(`enters ${things}`)] : [strong(`new and other ${things}`)];
}

/** Where a clone moved both pid and pid_for_children to the same place, the second goes without saying. */
const telling = (moves: readonly Move[]): readonly Move[] =>
  moves.filter(move => {
    if (!move.link.endsWith('_for_children')) return true;
    const own = moves.find(other => `${other.link}_for_children` === move.link);
    return own === undefined || own.to !== move.to;
  });

export function endText(end: {readonly code?: number; readonly signal?: string; readonly core?: true}): string {
  if (end.code !== undefined) return `exited ${end.code}`;
  if (end.signal !== undefined) return `killed by ${printable(end.signal)}${end.core ? ', core dumped' : ''}`;
  return 'gone';
}

const argvText = (argv: Seen<readonly string[]>): string => (isRefusal(argv) ? argv.errno : argv.map(quoteArgument).join(' '));

/** As a shell would need it, so that two arguments never look like one. */
export function quoteArgument(argument: string): string {
  const shown = printable(argument);
  return /^[\w@%+=:,./~^-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}

const ID_NAMES = ['r', 'e', 's', 'fs'];

/** Which of its ids a call changed: `uid 0 → 1000` for all of them, else by their names. */
function idMoves(kind: 'uid' | 'gid', moved: IdMove | undefined): string[] {
  if (moved === undefined) return [];
  const {from, to} = moved;
  const text = (index: number) => `${from[index]} → ${to[index]}`;
  if ([1, 2, 3].every(index => text(index) === text(0))) return [`${kind} ${text(0)}`];
  // credentials(7): the file system id follows the effective one.
  const changed = ID_NAMES.map((name, index) => ({name, index})).filter(
    ({name, index}) => from[index] !== to[index] && (name !== 'fs' || text(3) !== text(1)),
  );
  return changed.map(({name, index}) => `${name}${kind} ${text(index)}`);
}

/** Mount points, each kind behind its sign; of many the first few. */
function pointPieces(signed: readonly (readonly [sign: string, points: readonly string[]])[]): Line {
  const texts = signed.flatMap(([sign, points]) => [
    ...points.slice(0, 3).map(point => `${sign} ${printable(point)}`),
    ...(points.length > 3 ? [`${sign} ${points.length - 3} more`] : []),
  ]);
  return texts.flatMap((text, index) => (index === 0 ? [plain(text)] : [plain('  '), plain(text)]));
}

/** Where CLONE_INTO_CGROUP led. */
function birthCgroup({cgroup, moves}: Extract<What, {kind: 'clone'}>): Line {
  if (cgroup === undefined) return [];
  const where = isRefusal(cgroup) ? toned('bad', cgroup.errno) : strong(printable(cgroup));
  return [plain(`${moves.length > 0 ? '  ' : ''}cgroup → `), where];
}

type CgroupMove = Extract<What, {kind: 'cgroup'}>;

function moverPieces({by}: CgroupMove): Line {
  if (by === null) return [strong('moved'), plain(', by whom is not known')];
  if (by === 'itself') return [strong('moves itself')];
  return [strong('moved'), plain(` by ${printable(by.comm)} ${by.pid === 0 ? 'of another pid namespace' : by.pid}`)];
}

function cgroupPieces({hierarchy, from, to}: CgroupMove): Line {
  const where = isRefusal(to) ? toned('bad', to.errno) : strong(printable(to));
  return [plain(`cgroup ${hierarchy} ${from === null ? '' : `${printable(from)} `}→ `), where];
}

const RANGES_SHOWN = 3;

type MapsTold = Extract<What, {kind: 'id-maps'}>;

const isDenial = ({uid, gid}: MapsTold): boolean => uid.length === 0 && gid.length === 0;

function mapPieces({uid, gid, setgroups}: MapsTold): Line {
  const parts: Line[] = [];
  for (const [name, ranges] of [
    ['uid ', uid],
    ['gid ', gid],
  ] as const) {
    if (ranges.length === 0) continue;
    const shown = ranges.slice(0, RANGES_SHOWN).flatMap((range, index) => [...(index === 0 ? [] : [plain('  ')]), ...rangePieces(range)]);
    const more = ranges.length - RANGES_SHOWN;
    parts.push([dim(name), ...shown, ...(more > 0 ? [dim(` and ${more} more`)] : [])]);
  }
  if (setgroups !== null && parts.length > 0) parts.push([dim('setgroups '), strong(setgroups)]);
  return parts.flatMap((part, index) => [...(index === 0 ? [] : [plain('  ')]), ...part]);
}

type Telling = Omit<CapabilityTelling, 'elsewhere'>;

/** Namespaces, ids and capabilities, each as far as they changed. */
function changeLines(
  moves: readonly Move[],
  {uids, gids, capabilities}: Pick<CallFact, 'uids' | 'gids' | 'capabilities'>,
  how: Telling,
): Line[] {
  const elsewhere = moves.some(({link}) => link === 'user');
  const texts = [...idMoves('uid', uids), ...idMoves('gid', gids), ...capabilityChangeTexts(capabilities, {...how, elsewhere})];
  return [movePieces(telling(moves)), ...texts.map(text => [plain(text)])];
}

const joined = (lines: readonly Line[]): Line =>
  lines.filter(({length}) => length > 0).flatMap((pieces, index) => (index > 0 ? [plain('  '), ...pieces] : pieces));

/** Arguments in which two calls differ. */
function otherArguments(one: CallFact, other: CallFact): string {
  const before = new Map(argumentTexts(one, null).map(({name, text}) => [name, text]));
  return argumentTexts(other, null)
    .filter(({name, text}) => before.get(name) !== text)
    .map(({text}) => text)
    .join(', ');
}

function runText(first: CallFact, run: Run): string {
  const times = `${run.count + 1} times`;
  const differs = otherArguments(first, run.last);
  return differs === '' ? times : `${times}, the last with ${differs}`;
}

const hasFailed = (call: CallFact): boolean => call.result !== null && typeof call.result !== 'number';

const emptiedPieces = (emptied: readonly Namespace[]): Piece[] =>
  emptied.flatMap((namespace, index) => [plain(index === 0 ? 'none seen left in ' : ' '), namespacePiece(namespace)]);

/** `room` is how many cells there are for both; the arguments of calls give way. */
function sayEvent(event: Pick<TimelineEvent, 'what' | 'run' | 'emptied'>, room: number, how: Telling): Said {
  if (event.emptied === undefined) return sayWhat(event, room, how);
  const gone = emptiedPieces(event.emptied);
  const {did, changed} = sayWhat(event, room - lineCells(gone) - 2, how);
  return {did, changed: changed.length === 0 ? gone : [...changed, plain('  '), ...gone]};
}

function sayWhat({what, run}: Pick<TimelineEvent, 'what' | 'run'>, room: number, how: Telling): Said {
  switch (what.kind) {
    case 'clone': {
      const isThread = !isRefusal(what.flags) && what.flags.includes('CLONE_THREAD');
      const child = strong(`${isThread ? 'thread ' : ''}${what.child}`);
      const changed = [...movePieces(telling(what.moves)), ...birthCgroup(what)];
      const left = room - lineCells(changed) - (changed.length > 0 ? 2 : 0) - cells(child.text);
      return {did: [plain(`${shortenCall(cloneCall(what.flags), left - ARROW.length)}${ARROW}`), child], changed};
    }
    case 'call': {
      const changed = joined(
        run === undefined ? changeLines(what.moves, what.call, how) : [[strong(runText(what.call, run))], ...changeLines([], run, how)],
      );
      const text = callText(what.call, what.entered?.name ?? null, room - (changed.length > 0 ? lineCells(changed) + 2 : 0));
      // It takes nothing from the arguments: where it is cut, the box of the event has all of it.
      const why: Line[] = what.why !== null && !how.whole ? [[plain(what.why)]] : [];
      return {did: [hasFailed(what.call) ? toned('bad', text) : plain(text)], changed: joined([changed, ...why])};
    }
    case 'moves':
      return {did: moveVerb(telling(what.moves)), changed: movePieces(telling(what.moves))};
    case 'cgroup':
      return {did: moverPieces(what), changed: cgroupPieces(what)};
    case 'id-maps':
      return {
        did: [plain(`${isDenial(what) ? 'setgroups denied' : 'ids mapped'} in `), namespacePiece(what.user)],
        changed: mapPieces(what),
      };
    case 'appeared':
      return {did: [plain('appeared')], changed: movePieces(what.moves)};
    case 'exec': {
      const by = what.formerTid === undefined ? '' : ` by thread ${what.formerTid}`;
      const path = isRefusal(what.path) ? [] : [dim(printable(what.path))];
      const dropped = what.dropped === undefined ? [] : [toned('bad', ` ${explainDropped(what.dropped)}`)];
      const changed = joined([path, ...changeLines(what.moves ?? [], what, how)]);
      return {did: [plain(`exec${by} `), plain(argvText(what.argv))], changed: [...changed, ...dropped]};
    }
    case 'end':
    case 'thread-end':
      return {did: [what.end.signal === undefined ? plain(endText(what.end)) : toned('bad', endText(what.end))], changed: []};
    case 'stop':
      return {did: [toned('warn', `stopped by ${printable(what.signal)}`)], changed: []};
    case 'continue':
      return {did: [plain('continued')], changed: []};
    case 'tracer': {
      const {fact} = what;
      const mode =
        fact.mode === 'proc'
          ? 'watching /proc'
          : `tracing ${fact.processes} ${fact.processes === 1 ? 'process' : 'processes'} by ${followedBy(fact)}`;
      return {did: [strong(mode)], changed: fact.because === undefined ? [] : [plain(printable(fact.because))]};
    }
    case 'lost':
      return {
        did: [toned('bad', `${what.count} ${what.count === 1 ? 'event was' : 'events were'} lost`)],
        changed: [plain('the kernel had no room for them; /proc was read again')],
      };
    case 'mounts':
      return {
        did: [plain('mounts changed in '), namespacePiece(what.space)],
        changed: pointPieces([
          ['+', what.made],
          ['~', what.changed],
          ['−', what.gone],
        ]),
      };
    case 'refused': {
      const {fact} = what;
      return {
        did: [toned('bad', `${printable(fact.during)} of ${fact.pid}: ${printable(fact.errno)}`)],
        changed: [plain(`${printable(fact.rule)} ${printable(fact.remedy)}`)],
      };
    }
    default:
      return what satisfies never;
  }
}

type Header = Pick<TapeHeader, 'at' | 'realtime'> & {readonly host: Pick<Host, 'lastCapability'>};

/** Of Linux 5.9 and later, where the tape does not say. */
const lastCapability = ({host}: Header): number => host.lastCapability ?? 40;

/** HH:MM:SS.mmm of a moment, `offset` minutes east of UTC. */
function clockText(milliseconds: number, offset: number): string {
  return new Date(milliseconds + offset * 60_000).toISOString().slice(11, 23);
}

/** CLOCK_REALTIME in milliseconds at a moment of CLOCK_MONOTONIC. */
function realTime(header: Header, at: number): number {
  return Number(BigInt(header.realtime) - BigInt(header.at)) / 1e6 + at / 1e6;
}

/** The thread that did it, where that is told. */
const tidOf = (what: What): number | undefined =>
  what.kind === 'moves' || what.kind === 'cgroup' || what.kind === 'clone' || what.kind === 'thread-end'
    ? what.tid
    : what.kind === 'call'
      ? what.call.tid
      : undefined;

/** Who did it. */
function whoText(event: TimelineEvent): string {
  if (event.process === null) return '';
  const caller = tidOf(event.what) ?? event.pid;
  return `${printable(event.comm) || '?'} ${event.pid}${caller === event.pid ? '' : ` thread ${caller}`}`;
}

/** An event as one line, in columns: when, who, what, and what moved. `room` is how wide it may be, if its arguments can be cut for that. */
export function eventLine(
  event: TimelineEvent,
  header: Header,
  offset: number,
  widths: {who: number; did: number},
  room = Number.POSITIVE_INFINITY,
): Line {
  const who = whoText(event);
  const start: Line = [
    dim(clockText(realTime(header, event.at), offset)),
    plain('  '),
    plain(who + ' '.repeat(Math.max(0, widths.who - cells(who)))),
    plain('  '),
  ];
  const said = sayEvent(event, room - lineCells(start), {last: lastCapability(header), whole: false});
  const did = lineCells(said.did);
  const left = room - lineCells(start) - did - lineCells(said.changed);
  const gap = said.changed.length === 0 ? 0 : Math.max(2, Math.min(widths.did + 2 - did, left));
  return [...start, ...said.did, plain(' '.repeat(gap)), ...said.changed];
}

/** All of an event, in as many lines as it needs: of a call each argument by its name. */
export function eventLines(event: TimelineEvent, header: Header, offset: number, width: number): readonly Line[] {
  const top: Line = [dim(clockText(realTime(header, event.at), offset)), plain('  '), strong(whoText(event))];
  const wrapped = (text: string, tone: Tone, indent = 0): Line[] =>
    wrapText(text, width - indent).map((row, index) => [plain(index > 0 ? ' '.repeat(indent) : ''), toned(tone, row)]);
  const {what} = event;
  const said = sayEvent(event, Number.POSITIVE_INFINITY, {last: lastCapability(header), whole: true});
  const changes: Line[] =
    said.changed.length === 0
      ? []
      : [[], ...wrapPieces(said.changed, width).flatMap(row => (lineCells(row) > width ? wrapLine(row, width) : [row]))];
  if (what.kind !== 'call') return [top, [], ...wrapped(lineText(said.did), 'plain'), ...changes];
  const {call, entered} = what;
  const result = hasFailed(call) ? 'bad' : 'plain';
  if (what.why !== null) changes.unshift([], ...wrapped(what.why, 'warn'));
  const {run} = event;
  const left = run === undefined ? 0 : run.count - run.calls.length;
  const runs: Line[] = (run?.calls ?? []).map(each => [
    dim(`${clockText(realTime(header, Number(each.at)), offset)}  `),
    plain(callText(each, null, Math.max(16, width - 14))),
  ]);
  if (runs.length > 0) runs.unshift([], [dim('and then')]);
  if (left > 0) runs.push(...wrapped(`and ${left} more, which the tape has`, 'dim'));
  if (call.args === null) {
    const why = 'It was called by another ABI than that of the machine: its arguments are not decoded.';
    return [top, [], ...wrapped(callText(call), result), [], ...wrapped(why, 'dim'), ...changes];
  }
  const args = argumentTexts(call, entered?.name ?? null);
  const names = Math.max(0, ...args.map(({name}) => cells(name)));
  const rows = args.flatMap(({name, text}, index): Line[] => {
    const label = `  ${name}${' '.repeat(names - cells(name))} = `;
    const indent = cells(label);
    const comma = index < args.length - 1 ? ',' : '';
    return wrapText(text + comma, Math.max(8, width - indent)).map((row, at) => [dim(at === 0 ? label : ' '.repeat(indent)), plain(row)]);
  });
  return [top, [], [plain(`${callName(call)}(`)], ...rows, [toned(result, `) = ${resultText(call.result)}`)], ...changes, ...runs];
}
