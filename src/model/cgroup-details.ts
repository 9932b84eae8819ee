// Knows what the tab of the cgroups says of a process.

import {type CgroupLevel, hierarchyName, isCut, isOutsidePath} from './cgroup-limit.ts';
import {isLimited, limitLines} from './cgroup-lines.ts';
import {type Details, fixed, heading, type Look, nameOf, refusalPieces, said, unread} from './details-parts.ts';
import {type CgroupPath, type CgroupView, isRefusal, type Seen} from './fact.ts';
import {column, cutLine, dim, type Line, lineCells, type Piece, plain, spread, strong, toned, wrapLine, wrapWords} from './line.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {cgroupKey, studyOf, type World} from './world.ts';

export function cgroupDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, process.spaces.cgroup ? [namespacePiece(process.spaces.cgroup)] : [], look.width);
  const {cgroup} = process;
  if (cgroup === null) return fixed(title, said('Its cgroups are not known yet.', look.width));
  if (isRefusal(cgroup)) return fixed(title, [cutLine(refusalPieces(cgroup), look.width)]);
  if (cgroup.length === 0) return fixed(title, said('It is in no cgroup: no hierarchy is mounted.', look.width));
  // Most processes sit in the root of most hierarchies: what says something comes first.
  const below = cgroup.filter(one => one.path !== '/');
  const roots = cgroup.filter(one => one.path === '/');
  const lines: Line[] = [];
  const lists: List[] = [];
  const view = studyOf(world, 'cgroupView', process)?.seen ?? null;
  const isNew = (one: CgroupPath): boolean => process.maker !== null && !isSameCgroup(process.maker.cgroup, one);
  const together = roots.length > 2 ? roots.filter(one => !isNew(one)) : [];
  const named = cgroup.filter(one => !together.includes(one)).map(one => hierarchyName(one).length);
  const names = Math.min(24, Math.max(0, ...named));
  for (const one of [...below, ...roots]) {
    if (together.includes(one)) continue;
    const mark = isNew(one) && process.maker !== null ? [dim('  '), strong(apartText(process, process.maker))] : [];
    const isNarrow = look.width < 50;
    const path = [one.path === '/' ? dim('/') : strong(printable(one.path)), ...insidePieces(one, view), ...(isNarrow ? mark : [])];
    for (const [index, row] of wrapLine(path, Math.max(8, look.width - names - 2 - (isNarrow ? 0 : lineCells(mark)))).entries()) {
      const label = column('plain', index === 0 ? hierarchyName(one) : '', names);
      const whole = [label, plain('  '), ...row];
      lines.push(index === 0 && !isNarrow && mark.length > 0 ? spread(whole, mark, look.width) : cutLine(whole, look.width));
    }
  }
  if (view !== null && !isRefusal(view) && view.sameNamespace !== true && isRefusal(view.inside))
    lines.push(cutLine([dim('inside its cgroup namespace: '), ...refusalPieces(view.inside)], look.width));
  if (together.length > 0) lines.push(...said(`in the root of ${together.map(hierarchyName).join(', ')}`, look.width));
  const ordered = [...below, ...roots].flatMap(one => world.cgroups.get(cgroupKey(one)) ?? []);
  for (const fact of ordered) {
    const {levels = [], path} = fact;
    const limits = limitLines(levels, look, fact.hierarchy === 0);
    // The root of a hierarchy has no limits; root may write it, and nobody else. That of nsview's cgroup namespace may be no such one.
    if (limits.length === 0 || (path === '/' && !isLimited(levels) && !isCut(levels))) continue;
    lines.push([], cutLine([dim('limits of '), plain(`${hierarchyName(fact)} ${printable(path)}`)], look.width), ...limits);
  }
  for (const fact of ordered) {
    const events = Object.entries(fact.events ?? {}).map(([name, value]) => `${printable(name)} ${value}`);
    const isRefused = isRefusal(fact.directory) || isRefusal(fact.members);
    if (fact.path === '/' && together.length > 0 && !isRefused && events.length === 0) continue;
    lines.push([]);
    lines.push(spread([dim('in '), plain(`${hierarchyName(fact)} ${printable(fact.path)}`)], [dim(events.join(', '))], look.width));
    if (isRefusal(fact.directory)) lines.push(cutLine([plain('  '), ...refusalPieces(fact.directory)], look.width));
    if (isRefusal(fact.members)) {
      lines.push(cutLine([plain('  members: '), ...refusalPieces(fact.members)], look.width));
      continue;
    }
    const {members, levels = []} = fact;
    for (const row of wrapWords(typeText(levels), Math.max(8, look.width - 2))) if (row !== '') lines.push([plain(`  ${row}`)]);
    const ofThread = levels[0]?.type === 'threaded' ? threadsOf(world) : null;
    if (members.length === 0) lines.push([dim('  no member')]);
    lists.push({
      after: lines.length,
      count: members.length,
      line: index => memberLine(world, process, members[index] ?? 0, ofThread, look.width),
    });
  }
  if (ordered.length === 0) lines.push([], ...said(unread(process, look, 'what limits them and who is in them'), look.width));
  return withLists(title, lines, lists);
}

/** Which of the two was moved there does not follow. */
function apartText(process: Process, maker: Process): string {
  if (process.leader !== undefined) return 'not where its process is';
  return `not where ${nameOf(maker)} ${maker.end === null ? 'is' : 'was'}`;
}

/** What follows from the type of the first of them (cgroups(7), "Thread mode"). */
function typeText(levels: readonly CgroupLevel[]): string {
  switch (levels[0]?.type) {
    case 'threaded': {
      const domain = levels.find(({type}) => type !== 'threaded');
      const whose = domain === undefined ? 'a cgroup above' : printable(domain.path);
      return `threaded: its members are threads; what only a domain limits, as memory and io, is limited from ${whose} up`;
    }
    case 'domain threaded':
      return 'domain threaded: of its processes threads may be in cgroups below';
    case 'domain invalid':
      return 'domain invalid: nobody can be in it, since one above is threaded';
    default:
      return '';
  }
}

function threadsOf(world: World): ReadonlyMap<number, Process> {
  const threads = new Map<number, Process>();
  for (const process of world.byPid.values()) for (const tid of process.threads.keys()) threads.set(tid, process);
  return threads;
}

/** `ofThread`: it is a thread's id, and that is whose. */
function memberLine(world: World, process: Process, id: number, ofThread: ReadonlyMap<number, Process> | null, width: number): Line {
  const member = world.byPid.get(id);
  const leader = ofThread?.get(id);
  const comm = member?.comm ?? leader?.threads.get(id)?.comm;
  const name = comm === undefined ? dim('outside of what is followed') : plain(printable(comm));
  const whose = leader === undefined ? [] : [dim(`  thread of ${leader.pid}`)];
  return cutLine([plain(`${String(id).padStart(9)}  `), id === process.pid ? strong(name.text) : name, ...whose], width);
}

/** Lines of which there may be thousands, behind the first `after` of the others, in that order. */
type List = {readonly after: number; readonly count: number; readonly line: (index: number) => Line};

function withLists(title: readonly Line[], lines: readonly Line[], lists: readonly List[]): Details {
  const count = lists.reduce((sum, list) => sum + list.count, lines.length);
  const line = (index: number): Line => {
    let listed = 0;
    for (const list of lists) {
      if (index - listed < list.after) break;
      if (index - listed < list.after + list.count) return list.line(index - listed - list.after);
      listed += list.count;
    }
    return lines[index - listed] ?? [];
  };
  return {heading: title, count, line};
}

/** How the process itself has that path: relative to the root of its cgroup namespace. */
function insidePieces(one: CgroupPath, view: Seen<CgroupView> | null): Piece[] {
  if (view === null || isRefusal(view) || view.sameNamespace !== false || isRefusal(view.inside)) return [];
  const inside = view.inside.find(other => other.hierarchy === one.hierarchy);
  if (inside === undefined || (inside.path === '/' && one.path === '/')) return [];
  const isAbove = isOutsidePath(inside.path);
  return [
    dim(' › '),
    isAbove ? toned('warn', printable(inside.path)) : strong(printable(inside.path)),
    dim(isAbove ? ' inside: out of its namespace' : ' inside'),
  ];
}

const isSameCgroup = (above: Seen<readonly CgroupPath[]> | null, one: CgroupPath): boolean =>
  above === null || isRefusal(above) || above.some(other => other.hierarchy === one.hierarchy && other.path === one.path);
