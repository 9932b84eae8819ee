// Knows what the tab of the namespaces says of who owns them, what keeps them alive, and how to enter them.

import {inodePiece, type Look, refusalPieces} from './details-parts.ts';
import {isRefusal, type Seen} from './fact.ts';
import {column, cutLine, dim, type Line, type Piece, plain, strong, toned, wrapWords} from './line.ts';
import type {Holder, Ownership, Power} from './ownership.ts';
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

/** How many of them a mask as in /proc/PID/status has. */
function counted(mask: string): string {
  const count = BigInt(`0x${mask}`).toString(2).replaceAll('0', '').length;
  return count === 1 ? '1 capability' : `${count} capabilities`;
}

function powerText({capabilities, rule}: Power): string {
  switch (rule) {
    case 'member':
      return BigInt(`0x${capabilities}`) === 0n ? 'no capabilities' : `${counted(capabilities)}, its effective set`;
    case 'owner':
      return 'all capabilities: its uid made it';
    case 'ancestor':
      return BigInt(`0x${capabilities}`) === 0n ? 'no capabilities' : `${counted(capabilities)}, held from above`;
    case 'none':
      return 'no capabilities: not below its own';
    case 'unknown':
      return '';
    default:
      return rule satisfies never;
  }
}

/** Who holds it, and the command that makes it let go. */
export function holderText(holder: Holder): {readonly who: string; readonly release: string} {
  switch (holder.by) {
    case 'processes':
      return {
        who: `${holder.count} process${holder.count === 1 ? '' : 'es'}`,
        release: `kill ${holder.pids.join(' ')}${holder.count > holder.pids.length ? ' …' : ''}`,
      };
    case 'thread':
      return {who: `thread ${holder.tid} of ${holder.pid}`, release: `kill ${holder.pid}`};
    case 'children':
      return {who: `for the children of ${holder.pid}`, release: `kill ${holder.pid}`};
    case 'fd':
      return {who: `fd ${holder.fd} of ${holder.pid}`, release: `gdb -p ${holder.pid} -batch -ex 'call (int)close(${holder.fd})'`};
    case 'socket':
      return {who: `socket fd ${holder.fd} of ${holder.pid}`, release: `gdb -p ${holder.pid} -batch -ex 'call (int)close(${holder.fd})'`};
    case 'mount':
      return {
        who: `mounted on ${printable(holder.point)}${holder.pid === 0 ? ` in mnt #${holder.inode}, where nobody is` : ''}`,
        release:
          holder.pid === 0 && holder.through === undefined
            ? ''
            : `nsenter --mount=${printable(quoteArgument(holder.through ?? `/proc/${holder.pid}/ns/mnt`))} umount ${printable(quoteArgument(holder.point))}`,
      };
    case 'namespace':
      return {who: `${holder.as === 'owned' ? 'owns' : 'is above'} ${holder.type} #${holder.inode}`, release: ''};
    default:
      return holder satisfies never;
  }
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
  }
  put();
  put(dim('Who owns them, what it may do there'));
  for (const {link, lineage, power} of seen.namespaces) {
    const label = column('plain', link, 7);
    if (isRefusal(lineage)) {
      put(label, ...refusalPieces(lineage));
      continue;
    }
    const path = link === 'user' ? lineage.chain : lineage.owners;
    const pieces: Piece[] = [];
    for (const [index, {inode, uid}] of path.entries()) {
      if (index > 0) pieces.push(dim(' ‹ '));
      pieces.push(...named(world, inode, look), ...(link === 'user' || index === 0 ? uidPiece(uid) : []));
      if (link !== 'user') break;
    }
    if (path.length === 0) pieces.push(dim('owned above what nsview may see'));
    const power_ = powerText(power);
    const below = look.width < 60 || path.length > 2;
    put(label, ...pieces, ...(power_ === '' || below ? [] : [dim(`  ${power_}`)]));
    if (power_ !== '' && below) put(dim(`  ${power_}`));
  }
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
      for (const holder of holders) {
        const {who, release} = holderText(holder);
        put(plain('  '), plain(who), ...(look.width >= 60 && release !== '' ? [plain('  '), toned('accent', release)] : []));
        if (look.width < 60 && release !== '') put(plain('    '), toned('accent', release));
      }
      if (more > 0) put(dim(`  and ${more} more`));
    }
  }
  lines.push(...emptyLines(seen, look));
  if (pinned.length > 0 || seen.empty.length > 0) {
    if (seen.asked.processes < seen.asked.of) put(dim(`  ${seen.asked.processes} of ${seen.asked.of} processes asked so far`));
  }
  return lines;
}

/** Enough to see, and to draw. */
const SHOWN = 200;

/** What lives on though nobody is in it: each with what holds it and what lets go. */
function emptyLines({empty, unlisted}: Ownership, look: Look): Line[] {
  if (empty.length === 0 && unlisted === null) return [];
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, look.width));
  put();
  put(dim('Elsewhere on this machine: nobody is in these'));
  for (const {type, inode, holders, more} of empty.slice(0, SHOWN)) {
    put(column('plain', type, 7), strong(`#${inode}`));
    for (const holder of holders) {
      const {who, release} = holderText(holder);
      put(plain('  '), plain(who), ...(look.width >= 60 && release !== '' ? [plain('  '), toned('accent', release)] : []));
      if (look.width < 60 && release !== '') put(plain('    '), toned('accent', release));
    }
    if (holders.length === 0) put(dim('  held by what nsview cannot ask: an fd on its way through a socket, say'));
    if (more > 0) put(dim(`  and ${more} more`));
  }
  if (empty.length > SHOWN) put(dim(`and ${empty.length - SHOWN} more`));
  if (unlisted !== null) {
    const why =
      unlisted.errno === 'ENOTTY'
        ? 'there may be more mnt: this kernel cannot list them (Linux 6.12 can)'
        : 'there may be more mnt: only root outside of all containers may list them';
    for (const row of wrapWords(why, look.width)) put(dim(row));
  }
  return lines;
}
