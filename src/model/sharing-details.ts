// Knows what the tab of the sharing says of a process.

import {type Details, fixed, heading, type Look, nameOf, refusalPieces, said, unread} from './details-parts.ts';
import {isRefusal} from './fact.ts';
import {column, cutLine, dim, type Line, plain, spread, strong, toned, wrapWords} from './line.ts';
import {cells, printable} from './printable.ts';
import type {Process} from './process.ts';
import {type OutsideFd, type Relation, SHAREABLE, type SharedObject, type Sharing} from './sharing.ts';
import {namespacePiece} from './timeline.ts';
import {namespaceOf, studyOf, type World} from './world.ts';

export function sharingDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, [], look.width);
  const fact = studyOf(world, 'sharing', process);
  if (fact === null) return fixed(title, said(unread(process, look, 'what it shares'), look.width));
  if (isRefusal(fact.seen)) {
    if (process.state === 'Z' || process.end !== null)
      return fixed(title, said('It has ended: what it shared with others was given back.', look.width));
    return fixed(title, [cutLine([plain('sharing: '), ...refusalPieces(fact.seen)], look.width)]);
  }
  const {seen} = fact;
  const parts = [objectLines(seen, look), threadLines(world, seen, look), fdLines(world, seen, look), memoryLines(seen, look)].filter(
    lines => lines.length > 0,
  );
  return fixed(
    title,
    parts.flatMap((lines, index) => (index === 0 ? lines : [[], ...lines])),
  );
}

const titled = (text: string, width: number): Line[] => wrapWords(text, width).map(row => [strong(row)]);

const RELATIONS: {readonly [relation in Relation]: string} = {
  process: 'its process',
  parent: 'its parent',
  child: 'its child',
  sibling: 'a child of the same parent',
  other: '',
};

/** Sharers that are shown of each object before the rest is counted. */
const SHOWN = 6;

const rowOf = (object: SharedObject) => SHAREABLE.find(({kind}) => kind === object.kind) ?? SHAREABLE[0];

/** What is one object for several processes, the ones that share the same together; then what is its own. */
function objectLines({objects, compared, refused, left}: Sharing, look: Look): Line[] {
  const {width} = look;
  if (isRefusal(objects)) return refusedLines(objects, width);
  const lines: Line[] = [];
  const groups = new Map<string, SharedObject[]>();
  for (const object of objects) {
    if (object.count === 0) continue;
    const key = `${object.count}:${object.with.map(({pid, tid}) => tid ?? pid).join()}`;
    groups.set(key, [...(groups.get(key) ?? []), object]);
  }
  for (const group of groups.values()) {
    for (const object of group) {
      const {what, flag, means} = rowOf(object);
      lines.push(spread([strong(`one ${what}`)], [dim(flag)], width, 12));
      for (const row of wrapWords(means, Math.max(8, width - 2))) lines.push([dim(`  ${row}`)]);
    }
    const [first] = group;
    if (first === undefined) continue;
    lines.push([dim('with')]);
    for (const {pid, comm, relation, tid} of first.with.slice(0, SHOWN)) {
      const how = [RELATIONS[relation], tid === undefined ? '' : `through thread ${tid}`].filter(words => words !== '').join(', ');
      lines.push(cutLine([plain(`  ${printable(comm)} ${pid}`), dim(how === '' ? '' : `  ${how}`)], width));
    }
    const more = first.count - Math.min(SHOWN, first.with.length);
    if (more > 0) lines.push([dim(`  and ${more} more`)]);
    lines.push([]);
  }
  const named = (are: (object: SharedObject) => boolean) => objects.filter(are).map(object => rowOf(object).what);
  const own = named(({count, none}) => count === 0 && none !== true);
  const none = named(object => object.none === true);
  const whose = groups.size === 0 ? 'It shares none of these with another process' : 'Its own alone';
  if (own.length > 0) lines.push(...said(`${whose}: ${own.join('; ')}.`, width));
  if (none.length > 0) lines.push(...said(`It has none of these: ${none.join('; ')}.`, width));
  const bounds = [
    `compared with ${compared} ${compared === 1 ? 'process' : 'processes'} by kcmp`,
    ...(refused > 0 ? [`${refused} not allowed (ptrace access is needed)`] : []),
    ...(left > 0 ? [`${left} left out`] : []),
  ];
  lines.push(...said(`${bounds.join(', ')}`, width));
  return lines;
}

function refusedLines(refusal: {readonly errno: string; readonly during: string}, width: number): Line[] {
  const why =
    refusal.errno === 'ENOSYS'
      ? 'This kernel has no kcmp (CONFIG_KCMP), and nothing else tells which processes share file table, cwd, memory or signal handlers.'
      : refusal.errno === 'EPERM' || refusal.errno === 'EACCES'
        ? 'To compare it with others, nsview needs the right to read it as by ptrace: run nsview as its user, or as root.'
        : '';
  return [cutLine([plain('what it shares: '), ...refusalPieces(refusal)], width), ...(why === '' ? [] : said(why, width))];
}

/** What it holds open that lies outside of where it is. */
function fdLines(world: World, {fds}: Sharing, look: Look): Line[] {
  const {width} = look;
  if (isRefusal(fds)) return [cutLine([plain('its open files: '), ...refusalPieces(fds)], width)];
  const {left, sockets = 0} = fds;
  const bound =
    (left > 0 ? ` ${left} more were not looked at.` : '') +
    (sockets > 0
      ? ` Of ${sockets === 1 ? 'one socket' : `${sockets} sockets`} nsview may not know the network namespace (pidfd_getfd needs ptrace access).`
      : '');
  if (fds.outside.length === 0)
    return said(
      `No way out among its ${fds.open} open fds: none leads out of its root, mounts or namespaces, nor do its root, cwd and program.${bound}`,
      width,
    );
  const lines: Line[] = titled('Open files that lead outside', width);
  const ordered = [...fds.outside].sort((a, b) => danger(a) - danger(b) || (a.fd ?? -1) - (b.fd ?? -1));
  for (const one of ordered) lines.push(...outsideLines(world, one, look));
  if (bound !== '') lines.push(...said(bound.trim(), width));
  return lines;
}

/** One of them, and where it leads. */
function outsideLines(world: World, one: OutsideFd, look: Look): Line[] {
  const {width} = look;
  const lines: Line[] = [];
  const name = one.fd === null ? (one.link ?? 'cwd') : `fd ${one.fd}`;
  const label = column(danger(one) < 2 ? 'bad' : 'warn', name, Math.max(6, cells(name)));
  if (one.leads.kind === 'namespace' || one.leads.kind === 'socket') {
    const space = namespaceOf(world, one.leads.inode);
    const unnamed = one.leads.kind === 'socket' ? `net:[${one.leads.inode}]` : one.path;
    const named = space === null ? plain(printable(unnamed)) : namespacePiece(space);
    lines.push(cutLine([label, plain(' '), named, dim(look.inodes && space !== null ? ` ${space.inode}` : '')], width));
  } else if (one.leads.kind === 'process') {
    const other = world.byPid.get(one.leads.pid);
    lines.push(cutLine([label, plain(` ${other === undefined ? `process ${one.leads.pid}` : nameOf(other)}`)], width));
  } else lines.push(cutLine([label, plain(` ${printable(one.path)}`)], width));
  for (const row of wrapWords(explainFd(one), Math.max(8, width - 7))) lines.push([dim(`       ${row}`)]);
  return lines;
}

/** 0: a way out of its root; 1: a way into other namespaces; 2: one file. */
function danger({leads}: OutsideFd): number {
  if (leads.kind !== 'mount' && leads.kind !== 'root') return 1;
  return leads.directory ? 0 : 2;
}

function explainFd({fd, link, path, leads}: OutsideFd): string {
  switch (leads.kind) {
    case 'namespace':
      // pid_namespaces(7): never back up, and never itself.
      if (leads.type === 'pid')
        return `a pid namespace that it is not in: after setns(${fd}) its children are born there, if that is below its own and its capabilities allow`;
      return `a namespace that it is not in: setns(${fd}) enters it, where its capabilities allow`;
    case 'socket':
      if (!path.startsWith('socket:'))
        return `a device of a network namespace that it is not in (${printable(path)}): fd ${fd} has the packets of its interface there`;
      return `a socket of a network namespace that it is not in: whatever fd ${fd} binds, connects or sends, it does there`;
    case 'process':
      return `a process in other namespaces (${leads.apart.join(', ')}): setns(${fd}) enters them, pidfd_getfd(${fd}) takes its fds, where the kernel allows`;
    case 'mount':
    case 'root': {
      const lies =
        leads.kind === 'root'
          ? 'outside of its root directory'
          : leads.where === undefined
            ? 'on a mount that its mount table does not have'
            : `in the mount namespace of ${leads.where === 'nsview' ? 'nsview' : 'its parent'}`;
      // CVE-2019-5736: the runtime's own program was written to from within the container.
      if (link === 'exe') return `its program, a file ${lies}: open("/proc/self/exe") opens it where /proc is mounted`;
      if (link === 'root') return `${lies}: every path that begins with / begins there`;
      if (fd === null) return `${lies}: open("..") goes on from there`;
      // A detached mount (open_tree(2), fsmount(2), umount2(2) by MNT_DETACH) is in no table, and nothing is above it.
      if (leads.directory && leads.kind === 'mount' && leads.where === undefined)
        return `a directory ${lies}: fchdir(${fd}) leads there, and openat(${fd}, "..") above that mount, if it is attached anywhere`;
      // The mount of an ipc namespace's queues is in no mount table (mq_overview(7)), and nothing that cannot hang tells it from one that is detached.
      if (!leads.directory && leads.kind === 'mount' && leads.where === undefined && /^\/[^/]+$/.test(path))
        return `a file at the top of a mount that its mount table does not have, or a POSIX message queue, which lies on no such mount: as it was opened, and as its mode allows by opening /proc/self/fd/${fd} anew`;
      return leads.directory
        ? `a directory ${lies}: fchdir(${fd}) or openat(${fd}, "..") leads out`
        : `a file ${lies}: as it was opened, and as its mode allows by opening /proc/self/fd/${fd} anew`;
    }
    default:
      return leads satisfies never;
  }
}

const size = (bytes: number): string =>
  bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : bytes >= 2 ** 20
      ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
      : `${Math.ceil(bytes / 1024)} KiB`;

/** Shared memory that crosses namespaces. */
function memoryLines({memory, objects}: Sharing, {width}: Look): Line[] {
  if (isRefusal(memory)) return [cutLine([plain('its shared memory: '), ...refusalPieces(memory)], width)];
  const {mappings, read, refused, left} = memory;
  const bounds = [...(refused > 0 ? [`${refused} not allowed`] : []), ...(left > 0 ? [`${left} not read yet, or left out`] : [])];
  const asked = read + refused === 0 ? '' : `maps of ${read} processes read${bounds.length > 0 ? `, ${bounds.join(', ')}` : ''}`;
  // By CLONE_VM all of it is shared, whatever namespaces those are in.
  const isWhole = !isRefusal(objects) && objects.some(({kind, count}) => kind === 'vm' && count > 0);
  const no = isWhole ? 'Besides all of its memory, with those above: none' : 'No shared memory';
  if (mappings.length === 0)
    return said(`${no} with a process in other namespaces${asked === '' ? ': it has none mapped.' : ` (${asked}).`}`, width);
  const lines: Line[] = titled('Shared memory with processes in other namespaces', width);
  // What nobody writes passes nothing on: files that a library maps shared, as gconv does.
  const passes = mappings.filter(({writes, with: others}) => writes || others.some(other => other.writes));
  for (const {path, file, bytes, writes, with: others} of passes) {
    lines.push(spread([plain(`  ${printable(path) || file}`)], [dim(size(bytes))], width, 12));
    for (const {pid, comm, writes: theirs, apart} of others.slice(0, SHOWN)) {
      const way = writes && theirs ? 'both write' : writes ? 'it writes' : theirs ? 'the other writes' : 'both only read';
      const tone = writes || theirs ? 'warn' : 'dim';
      lines.push(
        cutLine([plain(`    ${printable(comm)} ${pid}  `), toned(tone, way), dim(`  in another ${apart.join(', ')} namespace`)], width),
      );
    }
    if (others.length > SHOWN) lines.push([dim(`    and ${others.length - SHOWN} more`)]);
  }
  const still = mappings.filter(mapping => !passes.includes(mapping)).map(({path, file}) => printable(path) || file);
  if (still.length > 0)
    lines.push(
      ...said(
        `${passes.length > 0 ? 'And ' : ''}${still.length === 1 ? 'one file' : `${still.length} files`} that all only read: ${still.join(', ')}`,
        width,
      ),
    );
  if (asked !== '') lines.push(...said(asked, width));
  return lines;
}

const STATUS_WORDS: {readonly [key: string]: string} = {
  Umask: 'umask',
  Uid: 'user ids',
  Gid: 'group ids',
  Groups: 'groups',
  CapInh: 'inheritable capabilities',
  CapPrm: 'permitted capabilities',
  CapEff: 'effective capabilities',
  CapBnd: 'bounding set',
  CapAmb: 'ambient capabilities',
  NoNewPrivs: 'no_new_privs',
  Seccomp: 'seccomp mode',
  Seccomp_filters: 'seccomp filters',
  Cgroup: 'cgroup',
};

/** Threads that are not like their process; the tab of the namespaces has those that are in others. */
function threadLines(world: World, {threads}: Sharing, look: Look): Line[] {
  const {width} = look;
  if (threads.length === 0) return [];
  const lines: Line[] = titled('Threads that differ from their process', width);
  for (const {tid, comm, objects, cwd, root, status, outside = []} of threads) {
    lines.push(cutLine([plain(`⌇ ${printable(comm)} ${tid}`)], width));
    for (const kind of objects ?? []) {
      const row = SHAREABLE.find(one => one.kind === kind);
      if (row !== undefined) lines.push(spread([plain('  its own '), strong(row.what)], [dim(`without ${row.flag}`)], width, 12));
    }
    for (const [link, seen] of [
      ['cwd', cwd],
      ['root', root],
    ] as const)
      if (seen !== undefined)
        lines.push(cutLine([dim(`  ${link} `), ...(isRefusal(seen) ? refusalPieces(seen) : [plain(printable(seen))])], width));
    // The call that leads there is the thread's.
    for (const one of outside) lines.push(...outsideLines(world, one, look));
    for (const [key, {thread, process}] of Object.entries(status ?? {})) {
      const value = (text: string) => printable(text.replaceAll('\t', ' ')) || 'none';
      lines.push(
        cutLine([plain(`  ${STATUS_WORDS[key] ?? printable(key)} `), strong(value(thread)), dim(`  process ${value(process)}`)], width),
      );
    }
  }
  return lines;
}
