// Knows what the tab of the cgroups says of a process.

import {isLimited, limitLines} from './cgroup-lines.ts';
import {type Details, fixed, heading, type Look, refusalPieces, said} from './details-parts.ts';
import {type CgroupPath, isRefusal, type Seen} from './fact.ts';
import {column, cutLine, dim, type Line, plain, spread, strong} from './line.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {cgroupKey, type World} from './world.ts';

const hierarchyName = (cgroup: CgroupPath): string =>
  cgroup.hierarchy === 0 ? 'v2' : printable(cgroup.controllers.join(',')) || `v1:${cgroup.hierarchy}`;

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
  const names = Math.min(24, Math.max(...cgroup.map(one => hierarchyName(one).length)));
  const isNew = (one: CgroupPath): boolean => process.maker !== null && !isSameCgroup(process.maker.cgroup, one);
  const together = roots.length > 2 ? roots.filter(one => !isNew(one)) : [];
  for (const one of [...below, ...roots]) {
    if (together.includes(one)) continue;
    const mark = isNew(one) ? [dim('  '), strong('new here')] : [];
    lines.push(
      spread(
        [column('plain', hierarchyName(one), names), plain('  '), one.path === '/' ? dim('/') : strong(printable(one.path))],
        mark,
        look.width,
      ),
    );
  }
  if (together.length > 0) lines.push(...said(`in the root of ${together.map(hierarchyName).join(', ')}`, look.width));
  const ordered = [...below, ...roots].flatMap(one => world.cgroups.get(cgroupKey(one)) ?? []);
  for (const fact of ordered) {
    const {levels = [], path} = fact;
    const limits = limitLines(levels, look);
    // The root of a hierarchy has no limits; root may write it, and nobody else.
    if (limits.length === 0 || (path === '/' && !isLimited(levels))) continue;
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
    for (const pid of fact.members) {
      const member = world.byPid.get(pid);
      const name = member === undefined ? dim('outside of what is followed') : plain(printable(member.comm));
      lines.push(cutLine([plain(`${String(pid).padStart(9)}  `), member === process ? strong(name.text) : name], look.width));
    }
    if (fact.members.length === 0) lines.push([dim('  no member')]);
  }
  if (ordered.length === 0)
    lines.push([], ...said(look.live ? 'Reading the members …' : 'This tape holds no reading of the members.', look.width));
  return fixed(title, lines);
}

const isSameCgroup = (above: Seen<readonly CgroupPath[]> | null, one: CgroupPath): boolean =>
  above === null || isRefusal(above) || above.some(other => other.hierarchy === one.hierarchy && other.path === one.path);
