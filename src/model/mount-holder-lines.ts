// Knows what to say of what keeps a mount busy, and of the commands that make it let go.

import {cutLine, dim, type Line, type Piece, plain, strong, toned, withCommand, wrapWords} from './line.ts';
import type {MountHolders, MountUse} from './mount-holders.ts';
import {printable} from './printable.ts';
import {quoteArgument} from './timeline.ts';

/** What a process has on it, in one line, and the command that makes it let go of all of that. */
export function mountUsesText(uses: readonly MountUse[]): {readonly who: string; readonly release: string} {
  const [first] = uses;
  const pid = first?.pid ?? 0;
  const maps = uses.filter(use => use.by === 'map');
  const words = uses.flatMap(({by, fd, path, perhaps}): string[] => {
    const maybe = perhaps ? ' (perhaps)' : '';
    switch (by) {
      case 'cwd':
        return ['cwd'];
      case 'root':
        return ['root'];
      case 'exe':
        return ['its program'];
      case 'fd':
        return [`fd ${fd}${path === undefined ? '' : ` ${printable(path)}`}`];
      case 'socket':
        return [`socket fd ${fd} bound to ${printable(path ?? '')}`];
      case 'map':
        return maps.length === 1 ? [`mapped ${printable(path ?? 'file')}${maybe}`] : [];
      default:
        return by satisfies never;
    }
  });
  if (maps.length > 1) words.push(`${maps.length} mapped files${maps.every(use => use.perhaps) ? ' (perhaps)' : ''}`);
  const calls = uses.map(({by, fd}) => (by === 'cwd' ? 'call (int)chdir("/")' : `call (int)close(${fd})`));
  return {
    who: `${printable(first?.comm ?? '')} ${pid}: ${words.join(', ')}`,
    // A root, a program and a mapped file stay until the process goes.
    release: uses.some(({by}) => by === 'root' || by === 'exe' || by === 'map')
      ? `kill ${pid}`
      : `gdb -p ${pid} -batch ${calls.map(call => `-ex '${call}'`).join(' ')}`,
  };
}

function byProcess(uses: readonly MountUse[]): MountUse[][] {
  const groups = new Map<number, MountUse[]>();
  for (const use of uses) {
    const group = groups.get(use.pid);
    if (group === undefined) groups.set(use.pid, [use]);
    else group.push(use);
  }
  return [...groups.values()];
}

/** Enough to see, and to draw. */
const SHOWN = 200;

export function mountHolderLines(seen: MountHolders, width: number, nameOf: (inode: string) => Piece): Line[] {
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, width));
  const say = (text: string) => {
    for (const row of wrapWords(text, width)) put(dim(row));
  };
  const command = (who: string, release: string) => lines.push(...withCommand(`  ${who}`, release, width));
  if (seen.asked !== undefined) put(dim(`${printable(seen.asked)} is on the mount at`));
  put(strong(printable(seen.point)), dim(`  ${printable(seen.fsType)} of ${printable(seen.source)} in `), nameOf(seen.inode));
  const together = seen.copies.filter(copy => copy.together);
  const busy = seen.uses.length + seen.more + seen.below.length + together.reduce((sum, copy) => sum + copy.uses.length, 0);
  if (busy === 0 && seen.processes < seen.of) put(dim('Nothing keeps it so far …'));
  else if (busy === 0 && seen.unread === 0)
    put(toned('good', 'Nothing keeps it: '), toned('accent', `umount ${quoted(seen.point)}`), plain(' would do it.'));
  else if (busy === 0) put(plain('Nothing that nsview may see keeps it.'));
  else put(toned('bad', 'Busy: '), plain('umount fails with EBUSY until all of these let go.'));
  const processes = byProcess(seen.uses);
  for (const uses of processes.slice(0, SHOWN)) {
    const {who, release} = mountUsesText(uses);
    command(who, release);
  }
  const more = Math.max(0, processes.length - SHOWN);
  if (more > 0 || seen.more > 0) put(dim(`  and ${more > 0 ? `${more} more processes` : `${seen.more} more uses`}`));
  for (const point of seen.below.slice(0, SHOWN)) command(`${printable(point)} is mounted on it`, `umount ${quoted(point)}`);
  if (seen.below.length > SHOWN) put(dim(`  and ${seen.below.length - SHOWN} more mounts on it`));
  if (busy > 0) {
    put(dim('Or take it out of sight now, gone when the last lets go:'));
    put(plain('    '), toned('accent', `umount --lazy ${quoted(seen.point)}`));
  }
  if (seen.copies.length > 0) {
    put();
    put(dim('The file system is mounted elsewhere too, and in use until those go'));
    for (const copy of seen.copies.slice(0, SHOWN)) {
      const users = byProcess(copy.uses);
      const enter = copy.pid === 0 ? '' : `nsenter --mount=/proc/${copy.pid}/ns/mnt `;
      put(
        plain('  '),
        plain(printable(copy.point)),
        dim(' in '),
        nameOf(copy.inode),
        dim(copy.together ? '  goes with this one' : ''),
        ...(users.length > 0 ? [toned('warn', `  used by ${users.length} ${users.length === 1 ? 'process' : 'processes'}`)] : []),
      );
      for (const uses of users.slice(0, 3)) {
        const {who, release} = mountUsesText(uses);
        command(`  ${who}`, release);
      }
      if (users.length > 3) put(dim(`    and ${users.length - 3} more`));
      if (!copy.together && enter !== '') lines.push(...withCommand('   ', `${enter}umount ${quoted(copy.point)}`, width));
    }
    if (seen.copies.length > SHOWN) put(dim(`  and ${seen.copies.length - SHOWN} more`));
  }
  if (seen.processes < seen.of) put(dim(`${seen.processes} of ${seen.of} processes asked so far`));
  if (seen.unread > 0) say(`${seen.unread} of ${seen.processes} processes are not for this user to ask: they may keep it as well.`);
  if (seen.refused !== null) say('Not every mount namespace could be read: there may be more copies.');
  return lines;
}

const quoted = (path: string): string => printable(quoteArgument(path));
