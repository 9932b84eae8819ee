// Knows what the tab of the namespaces says of a process.

import {containerLines} from './container-lines.ts';
import {type Details, fixed, heading, inodePiece, type Look, mountsOf, nameOf, refusalPieces} from './details-parts.ts';
import {isRefusal, type Mount} from './fact.ts';
import {column, counted, cutLine, dim, type Line, type Piece, plain, toned, wrapWords} from './line.ts';
import type {Namespace} from './names.ts';
import {NAMESPACES, type NamespaceLink, type NamespaceType} from './namespace.ts';
import {ENDED, emptySection, ownershipLines} from './ownership-lines.ts';
import {cells, printable} from './printable.ts';
import {livesOn, type Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {innerPids, spaceAbove} from './tree.ts';
import {studyOf, type World} from './world.ts';

export function namespaceDetails(world: World, process: Process, look: Look): Details {
  const {maker} = process;
  const against = maker === null ? [dim('against nsview itself')] : [dim('against '), plain(nameOf(maker))];
  const lines: Line[] = containerLines(world, process, look);
  const refusals = NAMESPACES.map(({link}) => process.links[link]);
  const [first] = refusals;
  // One reason for all of them, once.
  if (process.end === null && isRefusal(first) && refusals.every(one => isRefusal(one) && one.errno === first.errno)) {
    const dead = process.state === 'Z';
    const who = livesOn(process) ? 'its leader' : 'it';
    lines.push(cutLine(dead ? [plain(`None any more: ${who} has ended.`)] : [plain('Not shown: '), ...refusalPieces(first)], look.width));
    const why = livesOn(process)
      ? 'Its other threads go on in theirs, as their rows tell.'
      : dead
        ? 'Its parent has not waited for it yet; its namespaces were given back.'
        : world.header.host.euid === 0
          ? 'The kernel refuses them even to this root: the process has rights that nsview has not, or a security module forbids it.'
          : 'Namespaces are shown to the user of a process and to root: run nsview as its user, or as root.';
    for (const row of wrapWords(why, look.width)) lines.push([dim(row)]);
    return fixed(heading(process, against, look.width), [...lines, ...emptySection(world, process, look)]);
  }
  // It keeps those of its pid and of its credentials (do_exit(), kernel/exit.c, gives the rest back).
  if (process.end === null && process.state === 'Z' && refusals.some(one => isRefusal(one) && one.errno === 'ENOENT')) {
    const why = livesOn(process)
      ? 'ENOENT: its leader has ended, and gave those back. Its other threads go on in theirs, as their rows tell.'
      : 'ENOENT: it has ended, and gave those back. Its parent has not waited for it yet.';
    for (const row of wrapWords(why, look.width)) lines.push([dim(row)]);
  }
  for (const kind of NAMESPACES) {
    lines.push(namespaceLine(world, process, kind.type, look));
    if (!('childrenLink' in kind)) continue;
    const own = process.spaces[kind.link];
    const children = process.spaces[kind.childrenLink];
    // pid_namespaces(7): unshare and setns move the children to come, not the caller.
    if (children !== undefined && children !== null && children !== own)
      lines.push(
        cutLine(
          [
            plain('       '),
            dim('└ children '),
            namespacePiece(children),
            ...inodePiece(children, look),
            dim(look.width < 50 ? ' to come' : '  those to come, not itself'),
          ],
          look.width,
        ),
      );
    if (kind.type === 'pid') lines.push(...forkLines(world, process, look));
    const refused = process.links[kind.childrenLink];
    if (isRefusal(refused) && !isRefusal(process.links[kind.link]) && refused.errno !== 'ENOENT')
      lines.push(cutLine([plain('       '), dim('└ children '), ...refusalPieces(refused)], look.width));
  }
  const elsewhere = [...process.threads.values()].filter(({links}) => Object.keys(links).length > 0);
  if (elsewhere.length > 0) {
    lines.push([], [dim('Threads elsewhere')]);
    for (const thread of elsewhere) {
      const spaces = new Set(Object.values(thread.spaces).filter(space => space !== null));
      const named = [...spaces].flatMap((space): Piece[] => [plain('  '), namespacePiece(space), ...inodePiece(space, look)]);
      lines.push(cutLine([plain(`⌇ ${printable(thread.comm)} ${thread.tid}`), ...named], look.width));
    }
  }
  lines.push(...ownershipLines(world, process, look));
  return fixed(heading(process, against, look.width), lines);
}

/** What a fork of it meets in the pid namespace of its children, where that has no first process yet, or none any more (pid_namespaces(7)). */
function forkLines(world: World, process: Process, look: Look): Line[] {
  const study = studyOf(world, 'ownership', process);
  const say = (words: string): Line[] =>
    wrapWords(words, Math.max(8, look.width - 9)).map((row, index) => [plain('       '), dim(index === 0 ? '└ ' : '  '), plain(row)]);
  if (study !== null && !isRefusal(study.seen) && study.seen.childrenEnded) return say(`its fork fails with ENOMEM: there ${ENDED}`);
  const {pid, pid_for_children: ofChildren} = process.links;
  // Of who has ended the kernel tells neither.
  const isNew = process.end === null && process.state !== 'Z' && pid !== undefined && !isRefusal(pid);
  return isNew && isRefusal(ofChildren) && ofChildren.errno === 'ENOENT'
    ? say('children  a new one, still empty: the first to come is its init')
    : [];
}

function namespaceLine(world: World, process: Process, type: NamespaceType, look: Look): Line {
  const link: NamespaceLink = type;
  const seen = process.links[link];
  const label = column('plain', type, 7);
  if (seen === undefined) return [label, dim('not known yet')];
  if (isRefusal(seen)) return cutLine([label, ...refusalPieces(seen)], look.width);
  const space = process.spaces[link] ?? null;
  if (space === null) return [label, dim('not known yet')];
  const above = spaceAbove(world, process, link);
  const named: Piece[] = look.inodes
    ? [toned(`ns${space.index}`, space.name), dim(` ${space.inode}`.padEnd(Math.max(0, 21 - cells(space.name))))]
    : [column(`ns${space.index}`, space.name, look.width < 50 ? 8 : 10)];
  const [relation, tone] = relate(process, space, above);
  const rest = remarkOn(world, process, space, above, look.width);
  return cutLine(
    [label, ...named, plain(' '), column(tone, relation, rest.length === 0 ? relation.length : look.width < 50 ? 11 : 14), ...rest],
    look.width,
  );
}

function relate(process: Process, space: Namespace, above: Namespace | null): [string, 'dim' | 'plain' | 'strong'] {
  if (space === above) return [space.index === 0 ? 'as host' : 'as parent', 'dim'];
  // Its parent's is not for nsview to see.
  if (above === null && !process.opened.has(space)) return space.index === 0 ? ['as host', 'dim'] : ['not the host', 'strong'];
  if (space.index === 0) return ['host again', 'strong'];
  return process.opened.has(space) ? ['new here', 'strong'] : ['entered', 'strong'];
}

function remarkOn(world: World, process: Process, space: Namespace, above: Namespace | null, width: number): Line {
  const remarks: string[] = [];
  if (process.end === null && space.type === 'pid' && innerPids(process).at(-1) === 1 && space !== above) remarks.push('it is init here');
  if (space.type === 'mnt') {
    const mounts = mountsOf(world, space);
    if (mounts !== null && above !== null && above !== space) {
      const others = mountsOf(world, above);
      remarks.push(`${counted(mounts.length, 'mount')}${others === null ? '' : `, ${countDifferent(mounts, others)} differ`}`);
    } else if (mounts !== null) remarks.push(counted(mounts.length, 'mount'));
  }
  if (process.end === null && space !== above) remarks.push(space.processes <= 1 ? 'alone' : `${space.processes} processes`);
  return width < 30 || remarks.length === 0 ? [] : [plain(remarks.join(', '))];
}

/** Mounts of one table that the other has not, by what a process can tell apart; ids and peer groups differ in every copy. */
function countDifferent(mounts: readonly Mount[], others: readonly Mount[]): number {
  const key = (mount: Mount) => `${mount.point}\0${mount.device}\0${mount.root}\0${mount.options.join()}`;
  const known = new Set(others.map(key));
  const own = new Set(mounts.map(key));
  let count = 0;
  for (const mount of own) if (!known.has(mount)) count++;
  for (const mount of known) if (!own.has(mount)) count++;
  return count;
}
