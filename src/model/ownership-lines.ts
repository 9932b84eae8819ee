// Knows what the tab of the namespaces says of who owns them, what keeps them alive, and how to enter them.

import {capabilityText} from './capability.ts';
import {inodePiece, type Look, refusalPieces} from './details-parts.ts';
import {isRefusal, type Seen} from './fact.ts';
import {column, cutLine, dim, type Line, type Piece, plain, strong, toned, withCommand, wrapLine, wrapWords} from './line.ts';
import type {Holder, Ownership, Power, UserAbove} from './ownership.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece, quoteArgument} from './timeline.ts';
import {studyOf, type World} from './world.ts';

/** A namespace without processes has no name: its number then. */
function named(world: World, inode: string, look: Look): Piece[] {
  const known = world.namespaces.byInode.get(inode);
  return known === undefined ? [strong(`#${inode}`)] : [namespacePiece(known), ...inodePiece(known, look)];
}

const uidPiece = (uid: Seen<number>): Piece[] => (isRefusal(uid) ? [...refusalPieces(uid)] : [dim(` of uid ${uid}`)]);

/** By which rule of user_namespaces(7), in words. */
function powerText({capabilities, rule}: Power, last: number): string {
  const names = capabilityText(capabilities, last);
  switch (rule) {
    case 'member':
      return names === 'none' ? 'nothing: its effective set is empty' : `${names} (its effective set)`;
    case 'owner':
      return 'all: its uid made that one, from outside';
    case 'ancestor':
      return names === 'none' ? 'nothing: its effective set is empty' : `${names} (its effective set, held from outside)`;
    case 'none':
      return 'nothing: that one is not inside its own';
    case 'unknown':
      return 'not to be known';
    default:
      return rule satisfies never;
  }
}

/** Of kill(1), for one to whom SIGTERM does something or nothing. */
export const killCommand = (deaf: true | undefined): string => (deaf ? 'kill -KILL' : 'kill');

/** pid_namespaces(7). */
export const ENDED = 'its first process has ended';

const taskText = ({pid, tid}: {readonly pid: number; readonly tid?: number}): string =>
  tid === undefined ? String(pid) : `thread ${tid} of ${pid}`;

/** gdb calls in the first thread, which does not have what another has in a file table of its own. */
const closeCommand = ({pid, tid, fd, deaf}: Holder & {by: 'fd' | 'socket'}): string =>
  tid === undefined ? `gdb -p ${pid} -batch -ex 'call (int)close(${fd})'` : `${killCommand(deaf)} ${pid}`;

/** Who holds it, and the command that makes it let go. */
export function holderText(
  holder: Holder,
  nameOf = (type: string, inode: string): string => `${type} #${inode}`,
): {readonly who: string; readonly release: string} {
  switch (holder.by) {
    case 'processes':
      // They are in the namespaces that the kernel began with, or made one for themselves, as kdevtmpfs does, and no signal reaches them.
      if (holder.kernel)
        return {
          who:
            holder.count === 1
              ? `kernel thread ${holder.pids[0]}: it stays as long as the kernel`
              : `${holder.count} processes, kernel threads among them: it stays as long as the kernel`,
          release: '',
        };
      return {
        who: `${holder.count} process${holder.count === 1 ? '' : 'es'}`,
        release: `${killCommand(holder.deaf)} ${holder.pids.join(' ')}${holder.count > holder.pids.length ? ' …' : ''}`,
      };
    case 'zombie':
      // Its next parent waits for it: init, or a subreaper (prctl(2)).
      return {
        who: `zombie ${holder.pid}, for which ${holder.parent > 0 ? holder.parent : 'its parent'} has not waited`,
        release: holder.parent > 0 ? `${killCommand(holder.deaf)} ${holder.parent}` : '',
      };
    case 'thread':
      return {who: `thread ${holder.tid} of ${holder.pid}`, release: `${killCommand(holder.deaf)} ${holder.pid}`};
    case 'children':
      return {
        who: `for the children of ${taskText(holder)}${holder.ended ? `, whose fork fails with ENOMEM: ${ENDED}` : ''}`,
        release: `${killCommand(holder.deaf)} ${holder.pid}`,
      };
    case 'fd':
      return {who: `${holder.table ? 'open mountinfo, ' : ''}fd ${holder.fd} of ${taskText(holder)}`, release: closeCommand(holder)};
    case 'queue':
      return {
        who: `perhaps an fd on its way: ${holder.fds} in the queue of socket fd ${holder.fd} of ${taskText(holder)}`,
        release: '',
      };
    case 'socket':
      return {
        who: `${holder.tun ? '/dev/net/tun as' : 'socket'} fd ${holder.fd} of ${taskText(holder)}`,
        release: closeCommand(holder),
      };
    case 'mount':
      return {
        who: `mounted on ${printable(holder.point)}${holder.pid === 0 ? ` in ${nameOf('mnt', holder.inode)}, where nobody is` : ''}`,
        release:
          holder.pid === 0 && holder.through === undefined
            ? ''
            : `nsenter ${holder.user === undefined ? '' : `--user=${holder.user} --preserve-credentials `}--mount=${printable(quoteArgument(holder.through ?? `/proc/${holder.pid}/ns/mnt`))} umount ${printable(quoteArgument(holder.point))}`,
      };
    case 'namespace':
      return {who: `${holder.as === 'owned' ? 'owns' : 'is above'} ${nameOf(holder.type, holder.inode)}`, release: ''};
    default:
      return holder satisfies never;
  }
}

/** For a shell to run; `$$` is its pid in both. */
export function joinCommand(files: readonly string[]): string {
  const names = files.map(file => printable(quoteArgument(file)));
  return names.length === 1 ? `echo $$ >${names[0]}` : `echo $$ | tee ${names.join(' ')}`;
}

/** Of the whole machine, whoever is looked at. */
export function emptySection(world: World, process: Process, look: Look): Line[] {
  const fact = studyOf(world, 'ownership', process);
  return fact === null || isRefusal(fact.seen) ? [] : emptyLines(world, fact.seen, look);
}

export function ownershipLines(world: World, process: Process, look: Look): Line[] {
  const fact = studyOf(world, 'ownership', process);
  if (fact === null) return [];
  if (isRefusal(fact.seen)) return [[], cutLine([dim('Owners  '), ...refusalPieces(fact.seen)], look.width)];
  const seen: Ownership = fact.seen;
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, look.width));
  if (seen.enter.length > 0) {
    put();
    put(dim('To enter it'));
    for (const row of wrapWords(seen.enter.map(quoteArgument).join(' '), Math.max(8, look.width - 2)))
      put(plain('  '), toned('accent', row));
    if (seen.join !== undefined) {
      for (const row of wrapWords('which stays in the cgroups of its caller; to be limited as the process is, before that', look.width))
        put(dim(row));
      for (const row of wrapWords(joinCommand(seen.join), Math.max(8, look.width - 2))) put(plain('  '), toned('accent', row));
    }
  }
  lines.push([], ...ownerLines(world, seen, look));
  if (seen.pids.length > 1) {
    const pieces: Piece[] = [];
    for (const {pid, inode} of seen.pids)
      pieces.push(
        ...(pieces.length > 0 ? [dim(' ‹ ')] : []),
        strong(String(pid)),
        ...(inode === null ? [] : [dim(' in '), ...named(world, inode, look)]),
      );
    put(column('plain', 'pids', 7), ...pieces);
  }
  const pinned = seen.holders.filter(({inode}) => (world.namespaces.byInode.get(inode)?.index ?? -1) !== 0);
  if (pinned.length > 0) {
    put();
    put(dim('What keeps them, and what lets go'));
    for (const {inode, holders, more} of pinned) {
      put(...named(world, inode, look));
      lines.push(...holderLines(world, holders, more, look));
    }
  }
  lines.push(...emptyLines(world, seen, look));
  if (pinned.length > 0 || seen.empty.length > 0) {
    if (seen.asked.processes < seen.asked.of) put(dim(`  ${seen.asked.processes} of ${seen.asked.of} processes asked so far`));
  }
  return lines;
}

/** The user namespaces from its own outwards: what of its own each owns, and what the process may do there. */
function ownerLines(world: World, seen: Ownership, look: Look): Line[] {
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, look.width));
  const wrapped = (label: string, value: Line) => {
    for (const [index, row] of wrapLine(value, Math.max(8, look.width - 8)).entries())
      put(plain('  '), column('dim', index === 0 ? label : '', 6), ...row);
  };
  put(dim('Owners, and what it may do there'));
  type Group = {readonly path: readonly UserAbove[]; readonly power: Power; readonly owned: Piece[][]};
  const groups = new Map<string, Group>();
  for (const {link, lineage, power} of seen.namespaces) {
    if (isRefusal(lineage)) {
      put(column('plain', link, 7), ...refusalPieces(lineage));
      continue;
    }
    const path = link === 'user' ? lineage.chain : lineage.owners;
    const key = path[0]?.inode ?? '';
    const group = groups.get(key) ?? {path, power, owned: []};
    groups.set(key, group);
    group.owned.push(link === 'user' ? [plain('itself')] : named(world, lineage.inode, look));
  }
  for (const {path, power, owned} of groups.values()) {
    if (path.length === 0) put(dim('a user namespace above what nsview may see'));
    else {
      const chain = path.flatMap(({inode, uid}, index): Piece[] => [
        ...(index > 0 ? [dim(' ‹ ')] : []),
        ...named(world, inode, look),
        ...uidPiece(uid),
      ]);
      for (const row of wrapLine(chain, look.width)) put(...row);
    }
    wrapped(
      'owns',
      owned.flatMap((one, index) => [...(index > 0 ? [plain(' ')] : []), ...one]),
    );
    wrapped('may', [toned(power.rule === 'none' ? 'dim' : 'plain', powerText(power, seen.lastCapability))]);
  }
  return lines;
}

/** Each with the command that makes it let go; the namespaces that it owns or is above are one. */
function holderLines(world: World, holders: readonly Holder[], more: number, look: Look): Line[] {
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, look.width));
  const nameOf = (type: string, inode: string): string => world.namespaces.byInode.get(inode)?.name ?? `${type} #${inode}`;
  for (const as of ['child', 'owned'] as const) {
    const names = holders.flatMap(holder => (holder.by === 'namespace' && holder.as === as ? [nameOf(holder.type, holder.inode)] : []));
    if (names.length === 0) continue;
    for (const row of wrapWords(`${as === 'child' ? 'is above' : 'owns'} ${names.join(' ')}`, Math.max(8, look.width - 2)))
      put(plain(`  ${row}`));
  }
  for (const holder of holders) {
    if (holder.by === 'namespace') continue;
    const {who, release} = holderText(holder, nameOf);
    lines.push(...withCommand(`  ${who}`, release, look.width));
  }
  if (more > 0) put(dim(`  and ${more} more`));
  return lines;
}

/** Enough to see, and to draw. */
const SHOWN = 200;

/** What lives on though nobody is in it: each with what holds it and what lets go. */
function emptyLines(world: World, {empty, unlisted}: Ownership, look: Look): Line[] {
  if (empty.length === 0 && unlisted === null) return [];
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, look.width));
  put();
  if (empty.length > 0) put(dim('Nobody is in these, machine-wide'));
  for (const {type, inode, holders, more} of empty.slice(0, SHOWN)) {
    put(column('plain', type, 7), strong(`#${inode}`));
    lines.push(...holderLines(world, holders, more, look));
    if (holders.length === 0) put(dim('  held by what nsview cannot ask: an fd on its way through a socket, say'));
  }
  if (empty.length > SHOWN) put(dim(`and ${empty.length - SHOWN} more`));
  if (unlisted !== null) {
    const why =
      unlisted.errno === 'ENOTTY'
        ? 'There may be mount namespaces that nobody is in: this kernel cannot list them (Linux 6.12 can).'
        : 'There may be mount namespaces that nobody is in: only root outside of all containers may list them.';
    for (const row of wrapWords(why, look.width)) put(dim(row));
  }
  return lines;
}
