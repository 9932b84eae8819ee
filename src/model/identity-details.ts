// Knows what the tab of the identity says of a process.

import {type Details, fixed, heading, type Look, nameOf, refusalPieces} from './details-parts.ts';
import {isRefusal, type Seen} from './fact.ts';
import {boundsLines, identityOf, idLines} from './identity-lines.ts';
import {column, cutLine, dim, type Line, type Piece, plain, strong, wrapWords} from './line.ts';
import {printable} from './printable.ts';
import {livesOn, type Process} from './process.ts';
import {apartWords} from './thread-apart.ts';
import {cloneCall, endText, quoteArgument} from './timeline.ts';
import {innerPids} from './tree.ts';
import type {World} from './world.ts';

const STATES: {readonly [letter: string]: string} = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting, cannot be interrupted',
  T: 'stopped by a signal',
  t: 'stopped by its tracer',
  Z: 'zombie: ended, its parent has not waited for it',
  X: 'ended',
  I: 'idle kernel thread',
};

/** Why there are none: proc_pid_cmdline(5). */
function withoutArguments(process: Process): string {
  if (livesOn(process)) return 'not told: its leader has ended';
  if (process.state === 'Z') return 'none any more: it has ended';
  return isRefusal(process.exe) && process.exe.errno === 'ENOENT'
    ? 'none: a kernel thread'
    : 'none any more: it has unmapped or moved them';
}

export function identityDetails(world: World, process: Process, look: Look): Details {
  const lines: Line[] = [];
  const say = (label: string, ...value: Line) => lines.push(cutLine([column('dim', label, 11), ...value], look.width));
  const ids = (seen: Process['uids']): Line => {
    if (seen === null) return [dim('not known yet')];
    if (isRefusal(seen)) return refusalPieces(seen);
    const [real, effective, saved, fs] = seen;
    if (real === effective && real === saved && real === fs) return [plain(String(real))];
    return [plain(`real ${real}  `), strong(`effective ${effective}`), plain(`  saved ${saved}  fs ${fs}`)];
  };
  const text = (seen: Seen<string> | null): Line =>
    seen === null ? [dim('not known yet')] : isRefusal(seen) ? refusalPieces(seen) : [plain(printable(seen))];

  const thread = process.leader?.threads.get(process.pid);
  const differs = thread === undefined ? [] : apartWords(thread.apart);
  if (differs.length > 0) {
    for (const row of wrapWords(`Unlike its process: ${differs.join(', ')}`, look.width)) lines.push([strong(row)]);
    lines.push([]);
  }
  const identity = identityOf(world, process);
  if (identity === null) {
    say('user', ...ids(process.uids));
    say('group', ...ids(process.gids));
  } else lines.push(...idLines(identity, look));
  say(
    process.leader === undefined ? 'pid' : 'thread',
    plain(String(process.pid)),
    ...innerPids(process).flatMap((pid): Piece[] => [dim(' › '), plain(String(pid))]),
    dim(innerPids(process).length > 0 ? '  outside › inside' : ''),
  );
  const now = identity?.state ?? process.state;
  const state =
    process.end !== null
      ? endText(process.end)
      : process.stopped !== null
        ? `stopped by ${printable(process.stopped)}`
        : livesOn(process)
          ? `its leader has ended, ${process.tids.size === 1 ? 'another thread goes' : `${process.tids.size} other threads go`} on`
          : (STATES[now] ?? printable(now));
  if (now !== '' || process.end !== null) say('state', plain(state));
  if (identity?.tracer !== undefined) say('traced by', plain(`${printable(identity.tracer.comm)} ${identity.tracer.pid}`));
  for (const [label, signals] of [
    ['handles', identity?.handled ?? []],
    ['ignores', identity?.ignored ?? []],
  ] as const)
    if (signals.length > 0) say(label, plain(signals.map(printable).join(', ')));
  if (process.refused !== null) {
    say('tracing', ...refusalPieces(process.refused));
    const why = `${printable(process.refused.rule)} ${printable(process.refused.remedy)}`;
    for (const row of wrapWords(why, Math.max(8, look.width - 11))) say('', plain(row));
  }
  if (identity !== null) lines.push(...boundsLines(world, process, identity, look));
  lines.push([], [plain('Where it comes from')]);
  const parent = world.byPid.get(process.ppid);
  say('parent', plain(process.ppid === 0 ? 'none that is visible here' : parent === undefined ? String(process.ppid) : nameOf(parent)));
  if (process.born !== null) {
    const {by, flags, exitSignal} = process.born;
    say(
      'made by',
      plain(nameOf(by)),
      dim(
        `  ${cloneCall(flags)}${exitSignal === null ? ', no exit signal' : exitSignal === 'SIGCHLD' ? '' : `, ${printable(exitSignal)} at its end`}`,
      ),
    );
  }
  if (process.tids.size > 0) say('threads', plain(String(process.tids.size + 1)));
  say('program', ...text(process.exe));
  const {argv} = process;
  if (argv === null) say('arguments', dim('not known yet'));
  else if (isRefusal(argv)) say('arguments', ...refusalPieces(argv));
  else if (argv.length === 0) say('arguments', dim(withoutArguments(process)));
  else for (const [index, argument] of argv.entries()) say(index === 0 ? 'arguments' : '', plain(quoteArgument(argument)));
  const started = process.start === '' ? [] : [dim(`start ${process.start}`)];
  return fixed(heading(process, look.inodes ? started : [], look.width), lines);
}
