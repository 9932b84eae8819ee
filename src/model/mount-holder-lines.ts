// Knows what to say of what keeps a mount busy, and of the commands that make it let go.

import {counted, cutLine, dim, type Line, type Piece, plain, strong, toned, withCommand, wrapWords} from './line.ts';
import type {MountCopy, MountHolders, MountUse} from './mount-holders.ts';
import {killCommand} from './ownership-lines.ts';
import {printable} from './printable.ts';
import {quoteArgument} from './timeline.ts';

/** What a process has on it, in one line, and the command that makes it let go of all of that. */
export function mountUsesText(uses: readonly MountUse[]): {readonly who: string; readonly release: string} {
  const [first] = uses;
  const pid = first?.pid ?? 0;
  const maps = uses.filter(use => use.by === 'map');
  const words = uses.flatMap(({by, tid, fd, path, perhaps}): string[] => {
    const maybe = perhaps ? ' (perhaps)' : '';
    const whose = tid === undefined ? '' : ` of its thread ${tid}`;
    switch (by) {
      case 'cwd':
        return [`cwd${whose}`];
      case 'root':
        return [`root${whose}`];
      case 'exe':
        return ['its program'];
      case 'fd':
        return [`fd ${fd}${whose}${path === undefined ? '' : ` ${printable(path)}`}`];
      case 'socket':
        return [`socket fd ${fd}${whose} bound to ${printable(path ?? '')}`];
      case 'ring':
        return [`io_uring fd ${fd} with ${printable(path ?? 'file')} registered`];
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
    // A root, a program and a mapped file stay until the process goes, and so does a ring that is mapped; and gdb calls in the first thread,
    // which has its own.
    release: uses.some(({by, tid}) => by === 'root' || by === 'exe' || by === 'map' || by === 'ring' || tid !== undefined)
      ? `${killCommand(first?.deaf)} ${pid}`
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
/** Copies beyond so many are summed up by mount namespace, and only some are told one by one. */
const FEW_COPIES = 8;
const COPIES_SHOWN = 20;

type Copies = readonly MountCopy[];

function byNamespace(copies: Copies): Copies[] {
  const groups = new Map<string, MountCopy[]>();
  for (const copy of copies) {
    const group = groups.get(copy.inode);
    if (group === undefined) groups.set(copy.inode, [copy]);
    else group.push(copy);
  }
  return [...groups.values()].toSorted((one, other) => other.length - one.length);
}

/** In each mount namespace how many, how many of those are used, and one command for all of them. */
function copiesByNamespace(copies: Copies, width: number, nameOf: (inode: string) => Piece): Line[] {
  const lines: Line[] = [];
  const groups = byNamespace(copies);
  for (const group of groups.slice(0, SHOWN)) {
    const [first] = group;
    if (first === undefined) continue;
    const together = group.filter(copy => copy.together).length;
    const users = new Set(group.flatMap(copy => copy.uses.map(use => use.pid)));
    const used = group.filter(copy => copy.uses.length > 0).length;
    const words = [
      counted(group.length, 'mount', 'mounts'),
      ...(together === 0 ? [] : [together === group.length ? 'go with this one' : `${together} of them go with this one`]),
    ];
    const busy = used === 0 ? [] : [toned('warn', `, ${used} used by ${counted(users.size, 'process', 'processes')}`)];
    lines.push(cutLine([plain('  '), nameOf(first.inode), plain(`  ${words.join(', ')}`), ...busy], width));
    if (together === group.length) continue;
    if (first.empty) {
      lines.push(...withCommand('   ', whoPins(first.inode), width));
      continue;
    }
    // umount(8): all mounts of that file system in the namespace that it is in.
    const enter = enterMounts(first.pid);
    lines.push(...withCommand('   ', `${enter}umount --all-targets ${quoted(first.point)}`, width));
    if (used > 0) lines.push(cutLine([dim('    stops at those in use: they have to let go before')], width));
  }
  if (groups.length > SHOWN) lines.push(cutLine([dim(`  and ${groups.length - SHOWN} more mount namespaces`)], width));
  return lines;
}

/** Before a command that is to be run in the mount namespace of that process; none or 0: in nsview's own. */
const enterMounts = (pid = 0): string => (pid === 0 ? '' : `nsenter --mount=/proc/${pid}/ns/mnt `);

/** Of a mount namespace that no process is in: it goes, and all its mounts with it, when what keeps it does. */
const whoPins = (inode: string): string => `nsview who-pins 'mnt:[${inode}]'`;

/** `stays`: why umount does not reach it, or fails, whether it is busy or not. */
export function mountHolderLines(seen: MountHolders, width: number, nameOf: (inode: string) => Piece, stays?: string): Line[] {
  const lines: Line[] = [];
  const put = (...pieces: Line) => lines.push(cutLine(pieces, width));
  const say = (text: string) => {
    for (const row of wrapWords(text, width)) put(dim(row));
  };
  const command = (who: string, release: string) => lines.push(...withCommand(`  ${who}`, release, width));
  if (seen.asked !== undefined) put(dim(`${printable(seen.asked)} is on the mount at`));
  put(strong(printable(seen.point)), dim(`  ${printable(seen.fsType)} of ${printable(seen.source)} in `), nameOf(seen.inode));
  const umount = (point: string, option = '') => `${enterMounts(seen.pid)}umount ${option}${quoted(point)}`;
  const together = seen.copies.filter(copy => copy.together);
  const loops = seen.loops ?? [];
  const swaps = seen.swaps ?? [];
  const queues = seen.queues ?? [];
  const elsewhere = together.reduce((sum, copy) => sum + copy.uses.length, 0);
  const busy = seen.uses.length + seen.more + seen.below.length + loops.length + swaps.length + elsewhere;
  const threads = new Set(seen.uses.flatMap(({kernel, pid}) => (kernel ? [pid] : []))).size;
  // umount(2) of the caller's own root (do_umount_root(), fs/namespace.c).
  const isRoot = seen.point === '/' && stays === undefined;
  if (isRoot) {
    put(toned('bad', 'The root: '), plain('umount makes its file system read-only, and leaves it mounted.'));
    say('That fails with EBUSY while a file of it is open for writing.');
    if (busy > 0) put(dim('On it are:'));
    if (threads > 0) put(plain(`  ${counted(threads, 'kernel thread', 'kernel threads')}, for ever`));
  } else if (busy === 0 && seen.processes < seen.of) put(dim('Nothing keeps it so far …'));
  else if (busy === 0 && queues.length > 0)
    say('Nothing that nsview may see keeps it, but perhaps an fd on its way, of which nobody tells where it leads:');
  else if (busy === 0 && stays !== undefined) say(`Nothing that nsview may see keeps it, but ${stays}.`);
  else if (busy === 0 && seen.unread === 0)
    put(toned('good', 'Nothing keeps it: '), toned('accent', umount(seen.point)), plain(' would do it.'));
  else if (busy === 0) put(plain('Nothing that nsview may see keeps it.'));
  else if (threads > 0)
    put(
      toned('bad', 'Busy: '),
      plain(`umount fails with EBUSY: ${counted(threads, 'kernel thread is', 'kernel threads are')} on it, for ever.`),
    );
  else put(toned('bad', 'Busy: '), plain('umount fails with EBUSY until all of these let go.'));
  if (seen.perhapsLocked && stays === undefined && !isRoot && seen.processes >= seen.of)
    say(
      'If it came with its mount namespace, from one of another user namespace, it is locked: then umount fails with EINVAL, lazy or not.',
    );
  if ((busy > 0 || queues.length > 0) && stays !== undefined) say(`And ${stays}.`);
  if (busy === 0)
    for (const {pid, comm, fd, fds} of queues.slice(0, SHOWN))
      put(plain(`  ${fds} in the queue of socket fd ${fd} of ${printable(comm)} ${pid}`));
  const processes = byProcess(seen.uses.filter(({kernel}) => !kernel));
  for (const uses of processes.slice(0, SHOWN)) {
    const {who, release} = mountUsesText(uses);
    // It would be in vain.
    command(who, threads > 0 ? '' : release);
  }
  const more = Math.max(0, processes.length - SHOWN);
  if (more > 0 || seen.more > 0) put(dim(`  and ${more > 0 ? `${more} more processes` : `${seen.more} more uses`}`));
  for (const point of seen.below.slice(0, SHOWN)) command(`${printable(point)} is mounted on it`, umount(point));
  if (seen.below.length > SHOWN) put(dim(`  and ${seen.below.length - SHOWN} more mounts on it`));
  for (const {device, file, at} of loops.slice(0, SHOWN)) {
    const enter = enterMounts(at?.pid);
    // A device that is mounted is let go of when that is not.
    command(
      `${printable(device)} has ${printable(file)} as its file${at === undefined ? '' : `, mounted on ${printable(at.point)}`}`,
      at === undefined ? `losetup --detach ${quoted(device)}` : `${enter}umount ${quoted(at.point)}`,
    );
  }
  if (loops.length > SHOWN) put(dim(`  and ${loops.length - SHOWN} more loop devices`));
  for (const file of swaps) command(`the kernel swaps to ${printable(file)}`, `swapoff ${quoted(file)}`);
  // Without the root of their namespace processes have no file any more.
  if (busy > 0 && stays === undefined && seen.point !== '/') {
    put(dim('Or take it out of sight now, gone when the last lets go:'));
    put(plain('    '), toned('accent', umount(seen.point, '--lazy ')));
  }
  const detached = seen.detached ?? [];
  const overlays = seen.overlays ?? [];
  if (seen.copies.length + detached.length + overlays.length > 0) {
    put();
    put(dim('The file system is mounted elsewhere too, and in use until those go'));
    for (const {uses} of detached.slice(0, SHOWN)) {
      const users = byProcess(uses);
      put(
        plain('  in no mount namespace'),
        dim(': by open_tree, fsmount, umount --lazy, or the kernel’s own'),
        toned('warn', `  used by ${counted(users.length, 'process', 'processes')}`),
      );
      for (const one of users.slice(0, SHOWN)) {
        const {who, release} = mountUsesText(one);
        command(`  ${who}`, release);
      }
    }
    if (detached.length > SHOWN) put(dim(`  and ${detached.length - SHOWN} more`));
    for (const {inode, pid, point, layer} of overlays.slice(0, COPIES_SHOWN)) {
      put(plain(`  by the overlay on ${printable(point)}`), dim(' in '), nameOf(inode), plain(`, of which ${printable(layer)} is a layer`));
      if (point !== '/') lines.push(...withCommand('   ', `${enterMounts(pid)}umount ${quoted(point)}`, width));
    }
    if (overlays.length > COPIES_SHOWN) put(dim(`  and ${overlays.length - COPIES_SHOWN} more overlays`));
    const isMany = seen.copies.length > FEW_COPIES;
    if (isMany) {
      lines.push(...copiesByNamespace(seen.copies, width, nameOf));
      put();
      put(dim('One by one, those in use first'));
    }
    // Those that nobody uses are alike.
    const listed = isMany ? seen.copies.toSorted((one, other) => Number(other.uses.length > 0) - Number(one.uses.length > 0)) : seen.copies;
    const shown = isMany ? COPIES_SHOWN : FEW_COPIES;
    for (const copy of listed.slice(0, shown)) {
      const users = byProcess(copy.uses);
      const enter = enterMounts(copy.pid);
      put(
        plain('  '),
        plain(printable(copy.point)),
        dim(' in '),
        nameOf(copy.inode),
        dim(copy.empty ? ', where no process is' : ''),
        dim(copy.together ? '  goes with this one' : ''),
        ...(users.length > 0 ? [toned('warn', `  used by ${counted(users.length, 'process', 'processes')}`)] : []),
      );
      for (const uses of users.slice(0, 3)) {
        const {who, release} = mountUsesText(uses);
        command(`  ${who}`, release);
      }
      if (users.length > 3) put(dim(`    and ${users.length - 3} more`));
      if (!copy.together && copy.empty) lines.push(...withCommand('   ', whoPins(copy.inode), width));
      // The root of a namespace goes with it alone.
      if (!copy.together && enter !== '' && copy.point !== '/')
        lines.push(...withCommand('   ', `${enter}umount ${quoted(copy.point)}`, width));
    }
    if (seen.copies.length > shown) put(dim(`  and ${seen.copies.length - shown} more`));
  }
  if (seen.processes < seen.of) put(dim(`${seen.processes} of ${seen.of} processes asked so far`));
  if (seen.unread > 0) say(`${seen.unread} of ${seen.processes} processes are not for this user to ask: they may keep it as well.`);
  if (seen.refused !== null) say('Not every mount namespace could be read: there may be more copies.');
  return lines;
}

const quoted = (path: string): string => printable(quoteArgument(path));
