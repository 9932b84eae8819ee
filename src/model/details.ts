// Knows what the four tabs say of the selected process: rows, of which only the visible ones are ever built.

import {type CgroupPath, isRefusal, type Mount, type Refusal, type Seen} from './fact.ts';
import {column, cutLine, dim, type Line, type Piece, plain, spread, strong, toned, wrapWords} from './line.ts';
import type {Namespace} from './names.ts';
import {NAMESPACES, type NamespaceLink, type NamespaceType} from './namespace.ts';
import {cells, printable} from './printable.ts';
import type {Process} from './process.ts';
import {cloneCall, endText, namespacePiece, quoteArgument} from './timeline.ts';
import {innerPids, spaceAbove} from './tree.ts';
import {cgroupKey, type World} from './world.ts';

/** Lines by number; `line` is asked for the visible ones only. The heading stays while the rest scrolls. */
export type Details = {readonly heading: readonly Line[]; readonly count: number; readonly line: (index: number) => Line};

export type Tab = 'namespaces' | 'mounts' | 'cgroup' | 'identity';

export const TABS: readonly {readonly tab: Tab; readonly key: string; readonly title: string; readonly short: string}[] = [
  {tab: 'namespaces', key: '1', title: 'Namespaces', short: 'Ns'},
  {tab: 'mounts', key: '2', title: 'Mounts', short: 'Mnt'},
  {tab: 'cgroup', key: '3', title: 'Cgroup', short: 'Cgrp'},
  {tab: 'identity', key: '4', title: 'Identity', short: 'Id'},
];

/** What the details need besides the process. `live` is false for a tape: nothing more will be read. */
export type Look = {readonly width: number; readonly inodes: boolean; readonly live: boolean};

const fixed = (heading: readonly Line[], lines: readonly Line[]): Details => ({
  heading,
  count: lines.length,
  line: index => lines[index] ?? [],
});

const said = (text: string, width: number): Line[] => wrapWords(text, width).map(row => [dim(row)]);

/** Refused in words: the errno as the kernel named it, and the call. */
const refusalPieces = (refusal: Refusal): Line => [toned('bad', printable(refusal.errno)), dim(` (${printable(refusal.during)})`)];

export const nameOf = (process: Process): string => `${printable(process.comm) || '?'} ${process.pid}`;

export function detailsOf(world: World, process: Process | null, tab: Tab, look: Look): Details {
  if (process === null) return fixed([], [[dim('Nothing is selected.')]]);
  switch (tab) {
    case 'namespaces':
      return namespaceDetails(world, process, look);
    case 'mounts':
      return mountDetails(world, process, look);
    case 'cgroup':
      return cgroupDetails(world, process, look);
    case 'identity':
      return identityDetails(world, process, look);
    default:
      return tab satisfies never;
  }
}

function heading(process: Process, right: Line, width: number): Line[] {
  const inner = innerPids(process);
  const inside = inner.length > 0 ? [dim(`, pid ${inner.join(' › ')} inside`)] : [];
  const ended = process.end === null ? [] : [dim(`, ${endText(process.end)}`)];
  return [spread([strong(nameOf(process)), ...inside, ...ended], right, width, 12), []];
}

// --- 1 Namespaces ---

function namespaceDetails(world: World, process: Process, look: Look): Details {
  const {maker} = process;
  const against = maker === null ? [dim('against nsview itself')] : [dim('against '), plain(nameOf(maker))];
  const lines: Line[] = [];
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
    const refused = process.links[kind.childrenLink];
    if (isRefusal(refused) && !isRefusal(process.links[kind.link]) && refused.errno !== 'ENOENT')
      lines.push(cutLine([plain('       '), dim('└ children '), ...refusalPieces(refused)], look.width));
  }
  if (process.threads.size > 0) {
    lines.push([], [dim('Threads elsewhere')]);
    for (const thread of process.threads.values()) {
      const spaces = new Set(Object.values(thread.spaces).filter(space => space !== null));
      const named = [...spaces].flatMap((space): Piece[] => [plain('  '), namespacePiece(space), ...inodePiece(space, look)]);
      lines.push(cutLine([plain(`⌇ ${printable(thread.comm)} ${thread.tid}`), ...named], look.width));
    }
  }
  return fixed(heading(process, against, look.width), lines);
}

const inodePiece = (namespace: Namespace, look: Look): Piece[] => (look.inodes ? [dim(` ${namespace.inode}`)] : []);

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
      remarks.push(`${mounts.length} mounts${others === null ? '' : `, ${countDifferent(mounts, others)} differ`}`);
    } else if (mounts !== null) remarks.push(`${mounts.length} mounts`);
  }
  if (process.end === null && space !== above) remarks.push(space.processes <= 1 ? 'alone' : `${space.processes} processes`);
  return width < 30 || remarks.length === 0 ? [] : [plain(remarks.join(', '))];
}

function mountsOf(world: World, space: Namespace): readonly Mount[] | null {
  const fact = world.mounts.get(space.inode);
  return fact === undefined || isRefusal(fact.mounts) ? null : fact.mounts;
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

// --- 2 Mounts ---

/** `name` is the mount point below that of the mount above it: a deep tree would else begin each row with the same folders. */
type MountRow = {readonly mount: Mount; readonly stem: string; readonly name: string};

function mountName(mount: Mount, above: Mount | undefined): string {
  if (above === undefined || above.point === '/' || !mount.point.startsWith(`${above.point}/`)) return mount.point;
  return mount.point.slice(above.point.length + 1);
}

const mountTrees = new WeakMap<readonly Mount[], readonly MountRow[]>();

/** Mounts as a tree by parent, the children in the table's order. */
export function mountTree(mounts: readonly Mount[]): readonly MountRow[] {
  const kept = mountTrees.get(mounts);
  if (kept !== undefined) return kept;
  const byId = new Map(mounts.map(mount => [mount.id, mount]));
  const children = new Map<number, Mount[]>();
  const roots: Mount[] = [];
  for (const mount of mounts) {
    // The root's parent lies outside of the namespace, or is itself (proc_pid_mountinfo(5)).
    const siblings = mount.parent !== mount.id && byId.has(mount.parent) ? (children.get(mount.parent) ?? []) : roots;
    siblings.push(mount);
    if (siblings !== roots) children.set(mount.parent, siblings);
  }
  const rows: MountRow[] = [];
  const placed = new Set<number>();
  const waiting: {mount: Mount; before: string; mark: string}[] = [];
  const wait = (list: readonly Mount[], before: string, top: boolean) => {
    for (let i = list.length - 1; i >= 0; i--) {
      const mount = list[i];
      if (mount !== undefined) waiting.push({mount, before, mark: top ? '' : i === list.length - 1 ? '└ ' : '├ '});
    }
  };
  const drain = () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const {mount, before, mark} = next;
      if (placed.has(mount.id)) continue;
      placed.add(mount.id);
      rows.push({mount, stem: before + mark, name: mountName(mount, mark === '' ? undefined : byId.get(mount.parent))});
      wait(children.get(mount.id) ?? [], before + (mark === '' ? '' : mark === '└ ' ? '  ' : '│ '), false);
    }
  };
  wait(roots, '', true);
  drain();
  // Parents in a circle cannot come from a kernel, but can from a tape: nothing is left out.
  for (const mount of mounts) {
    if (placed.has(mount.id)) continue;
    wait([mount], '', true);
    drain();
  }
  mountTrees.set(mounts, rows);
  return rows;
}

export function propagationText(mount: Mount): string {
  const {shared, master, propagateFrom, unbindable} = mount.propagation;
  const words: string[] = [];
  if (shared !== undefined) words.push(`shared:${shared}`);
  if (master !== undefined) words.push(`slave:${master}`);
  if (propagateFrom !== undefined) words.push(`from:${propagateFrom}`);
  if (unbindable) words.push('unbindable');
  return words.length > 0 ? words.join(' ') : 'private';
}

function mountDetails(world: World, process: Process, look: Look): Details {
  const space = process.spaces.mnt ?? null;
  const title = (right: Line) => heading(process, right, look.width);
  if (space === null) {
    const seen = process.links.mnt;
    const why: Line = isRefusal(seen)
      ? [plain('Its mount namespace cannot be told: '), ...refusalPieces(seen)]
      : [dim('Its mount namespace is not known yet.')];
    return fixed(title([]), [cutLine(why, look.width)]);
  }
  const fact = world.mounts.get(space.inode);
  const named = [namespacePiece(space)];
  if (fact === undefined) {
    const gone = process.end !== null && space.processes === 0;
    const text = gone
      ? 'Nobody is left in it; its mounts went unread.'
      : look.live
        ? `Reading the mounts of ${space.name} …`
        : `This tape holds no reading of ${space.name}: nobody looked while it was recorded.`;
    return fixed(title(named), said(text, look.width));
  }
  if (isRefusal(fact.mounts)) return fixed(title(named), [cutLine([plain('mountinfo: '), ...refusalPieces(fact.mounts)], look.width)]);
  const rows = mountTree(fact.mounts);
  const widths = mountWidths(rows, look.width);
  const head: Line = [
    column('dim', 'mount point', widths.point),
    plain(' '),
    column('dim', 'type', widths.type),
    plain(' '),
    column('dim', 'propagation', widths.propagation),
    ...(widths.rest > 0 ? [plain(' '), column('dim', 'options, source', widths.rest)] : []),
  ];
  const [top = []] = title([...named, dim(` ${fact.mounts.length} mounts`)]);
  return {
    heading: [top, head],
    count: rows.length,
    line: index => {
      const row = rows[index];
      return row === undefined ? [] : mountLine(row, widths);
    },
  };
}

type MountWidths = {readonly point: number; readonly type: number; readonly propagation: number; readonly rest: number};

const widthCache = new WeakMap<readonly MountRow[], Map<number, MountWidths>>();

function mountWidths(rows: readonly MountRow[], width: number): MountWidths {
  const kept = widthCache.get(rows)?.get(width);
  if (kept !== undefined) return kept;
  let point = 11;
  let type = 4;
  let propagation = 11;
  for (const {mount, stem, name} of rows) {
    point = Math.max(point, cells(stem) + cells(printable(name)));
    type = Math.max(type, mount.fsType.length);
    propagation = Math.max(propagation, propagationText(mount).length);
  }
  type = Math.min(type, width < 60 ? 8 : 12);
  propagation = Math.min(propagation, width < 60 ? 11 : 20);
  const wanted = width < 60 ? width - type - propagation - 2 : Math.min(point, Math.floor(width * 0.5));
  const widths = {point: Math.max(8, wanted), type, propagation, rest: Math.max(0, width - Math.max(8, wanted) - type - propagation - 3)};
  const result = widths.rest < 10 ? {...widths, point: Math.max(8, width - type - propagation - 2), rest: 0} : widths;
  const byWidth = widthCache.get(rows) ?? new Map<number, MountWidths>();
  byWidth.set(width, result);
  widthCache.set(rows, byWidth);
  return result;
}

function mountLine(row: MountRow, widths: MountWidths): Line {
  const {mount, stem} = row;
  const shown = printable(row.name);
  const propagation = propagationText(mount);
  const bind = mount.root === '/' ? '' : ` of ${printable(mount.root)}`;
  return [
    ...cutLine([dim(stem), plain(shown)], widths.point),
    plain(' '.repeat(Math.max(0, widths.point - cells(stem) - cells(shown)) + 1)),
    column('plain', printable(mount.fsType), widths.type),
    plain(' '),
    column(propagation === 'private' ? 'dim' : 'accent', propagation, widths.propagation),
    ...(widths.rest > 0
      ? [plain(' '), ...cutLine([plain(mount.options.map(printable).join(',')), dim(`  ${printable(mount.source)}${bind}`)], widths.rest)]
      : []),
  ];
}

// --- 3 Cgroup ---

const hierarchyName = (cgroup: CgroupPath): string =>
  cgroup.hierarchy === 0 ? 'v2' : printable(cgroup.controllers.join(',')) || `v1:${cgroup.hierarchy}`;

function cgroupDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, process.spaces.cgroup ? [namespacePiece(process.spaces.cgroup)] : [], look.width);
  const {cgroup} = process;
  if (cgroup === null) return fixed(title, said('Its cgroups are not known yet.', look.width));
  if (isRefusal(cgroup)) return fixed(title, [cutLine(refusalPieces(cgroup), look.width)]);
  if (cgroup.length === 0) return fixed(title, said('It is in no cgroup: no hierarchy is mounted.', look.width));
  // Most processes sit in the root of most hierarchies: what says something comes first.
  const ordered = [...cgroup.filter(one => one.path !== '/'), ...cgroup.filter(one => one.path === '/')];
  const lines: Line[] = [];
  const names = Math.min(24, Math.max(...cgroup.map(one => hierarchyName(one).length)));
  for (const one of ordered) {
    const same = process.maker !== null && isSameCgroup(process.maker.cgroup, one);
    const mark = process.maker === null || same ? [] : [dim('  '), strong('new here')];
    lines.push(
      spread(
        [column('plain', hierarchyName(one), names), plain('  '), one.path === '/' ? dim('/') : strong(printable(one.path))],
        mark,
        look.width,
      ),
    );
  }
  for (const one of ordered) {
    const fact = world.cgroups.get(cgroupKey(one));
    if (fact === undefined) continue;
    lines.push([]);
    const events = Object.entries(fact.events ?? {}).map(([name, value]) => `${printable(name)} ${value}`);
    lines.push(spread([dim('in '), plain(`${hierarchyName(one)} ${printable(one.path)}`)], [dim(events.join(', '))], look.width));
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
  if (lines.length === cgroup.length)
    lines.push([], ...said(look.live ? 'Reading the members …' : 'This tape holds no reading of the members.', look.width));
  return fixed(title, lines);
}

const isSameCgroup = (above: Seen<readonly CgroupPath[]> | null, one: CgroupPath): boolean =>
  above === null || isRefusal(above) || above.some(other => other.hierarchy === one.hierarchy && other.path === one.path);

// --- 4 Identity ---

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

function identityDetails(world: World, process: Process, look: Look): Details {
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

  say('user', ...ids(process.uids));
  say('group', ...ids(process.gids));
  say(
    'pid',
    plain(String(process.pid)),
    ...innerPids(process).flatMap((pid): Piece[] => [dim(' › '), plain(String(pid))]),
    dim(innerPids(process).length > 0 ? '  outside › inside' : ''),
  );
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
  const state =
    process.end !== null
      ? endText(process.end)
      : process.stopped !== null
        ? `stopped by ${printable(process.stopped)}`
        : (STATES[process.state] ?? printable(process.state));
  if (process.state !== '' || process.end !== null) say('state', plain(state));
  if (process.threadCount > 0) say('threads', plain(String(process.threadCount + 1)));
  if (process.refused !== null) {
    say('tracing', ...refusalPieces(process.refused));
    const why = `${printable(process.refused.rule)} ${printable(process.refused.remedy)}`;
    for (const row of wrapWords(why, Math.max(8, look.width - 11))) say('', plain(row));
  }
  say('program', ...text(process.exe));
  const {argv} = process;
  if (argv === null) say('arguments', dim('not known yet'));
  else if (isRefusal(argv)) say('arguments', ...refusalPieces(argv));
  else if (argv.length === 0) say('arguments', dim('none: a kernel thread, or a zombie'));
  else for (const [index, argument] of argv.entries()) say(index === 0 ? 'arguments' : '', plain(quoteArgument(argument)));
  const started = process.start === '' ? [] : [dim(`start ${process.start}`)];
  return fixed(heading(process, look.inodes ? started : [], look.width), lines);
}

/** What has to be read so that this tab can tell all: mount tables and cgroups. */
export function wantedDetails(
  world: World,
  process: Process | null,
  tab: Tab,
): {mounts: {inode: string; pid: number}[]; cgroups: readonly CgroupPath[]} {
  if (process === null || process.end !== null) return {mounts: [], cgroups: []};
  const mounts: {inode: string; pid: number}[] = [];
  const space = process.spaces.mnt ?? null;
  if ((tab === 'mounts' || tab === 'namespaces') && space !== null) {
    mounts.push({inode: space.inode, pid: process.pid});
    const above = spaceAbove(world, process, 'mnt');
    // Its maker's table, to tell how many mounts differ.
    if (tab === 'namespaces' && above !== null && above !== space && process.maker !== null && process.maker.end === null)
      mounts.push({inode: above.inode, pid: process.maker.pid});
  }
  const cgroups = tab === 'cgroup' && process.cgroup !== null && !isRefusal(process.cgroup) ? process.cgroup : [];
  return {mounts, cgroups};
}
