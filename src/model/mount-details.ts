// Knows what the tab of the mounts says of a process.

import {type Details, fixed, heading, inodePiece, type Look, nameOf, refusalPieces, said, unread} from './details-parts.ts';
import {isRefusal, type Mount, type MountIdMap} from './fact.ts';
import {span} from './id-range.ts';
import {column, counted, cutLine, dim, type Line, lineCells, padLine, plain, strong, toned, wrapLine} from './line.ts';
import {mountHolderLines} from './mount-holder-lines.ts';
import {type Leak, leakPieces, type MountView, NARROW, summaryLines, viewOf} from './mount-lines.ts';
import {NEWS} from './mount-news.ts';
import {
  bindSource,
  type Difference,
  type Hidden,
  hiddenMounts,
  mountDifferences,
  mountedOn,
  optionsBeyond,
  spacesAbove,
  wholeAt,
} from './mounts.ts';
import {printable, printableCells} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {namespaceOf, studyOf, type World} from './world.ts';

/** `folder`: what its name need not repeat, the point of the mount above it: a deep tree would else begin each row with the same folders. */
type MountRow = {readonly mount: Mount; readonly stem: string; readonly folder: string};

const nameOfRow = ({mount: {point}, folder}: MountRow): string => (point.startsWith(folder) ? point.slice(folder.length) : point);

const mountTrees = new WeakMap<readonly Mount[], readonly MountRow[]>();

/** Mounts as a tree by parent, the children in the table's order. */
export function mountTree(mounts: readonly Mount[]): readonly MountRow[] {
  const kept = mountTrees.get(mounts);
  if (kept !== undefined) return kept;
  const {byId, on, tops} = mountedOn(mounts);
  const rows: MountRow[] = [];
  // From above each is met once where no two have one id, as in every table of a kernel.
  const placed = byId.size === mounts.length ? null : new Set<number>();
  /** Mounts of one parent, from `next` on; those without one have no mark. */
  type Level = {readonly list: readonly Mount[]; readonly before: string; readonly stem: string; readonly folder: string; next: number};
  const place = (list: readonly Mount[], placed: Set<number> | null) => {
    const levels: Level[] = [{list, before: '', stem: '', folder: '', next: 0}];
    for (let level = levels.pop(); level !== undefined; level = levels.pop()) {
      const {list, before, stem, folder} = level;
      while (level.next < list.length) {
        const mount = list[level.next++];
        if (mount === undefined || placed?.has(mount.id)) continue;
        placed?.add(mount.id);
        const isLast = level.next === list.length;
        rows.push({mount, stem: isLast && stem !== '' ? `${before}└ ` : stem, folder});
        const below = on.get(mount.id);
        if (below === undefined) continue;
        const next = stem === '' ? '' : before + (isLast ? '  ' : '│ ');
        // Its children come before the rest of its own level.
        levels.push(level, {list: below, before: next, stem: `${next}├ `, folder: mount.point === '/' ? '' : `${mount.point}/`, next: 0});
        break;
      }
    }
  };
  place(tops, placed);
  // Parents in a circle cannot come from a kernel, but can from a tape: nothing is left out.
  if (rows.length < mounts.length) {
    const met = placed ?? new Set(rows.map(({mount}) => mount.id));
    for (const mount of mounts) if (!met.has(mount.id)) place([mount], met);
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

export function mountDetails(world: World, process: Process, look: Look): Details {
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
  const named = [namespacePiece(space), ...inodePiece(space, look)];
  if (fact === undefined) {
    const gone = process.end !== null && space.processes === 0;
    const text = gone
      ? 'Nobody is left in it; its mounts went unread.'
      : look.live
        ? `Reading the mounts of ${space.name} …`
        : `This tape holds no reading of ${space.name}: nobody looked while it was recorded.`;
    return fixed(title(named), said(text, look.width));
  }
  const {mounts} = fact;
  if (isRefusal(mounts)) return fixed(title(named), [cutLine([plain('mountinfo: '), ...refusalPieces(mounts)], look.width)]);
  const view = viewOf(world, process, space, fact, mounts);
  const [top = []] = title([...named, dim(` ${counted(mounts.length, 'mount')}`)]);
  if (look.pins !== undefined && look.pins !== null) return fixed([top], pinLines(world, process, view, look.pins, look));
  if (look.against !== undefined && look.against !== null) {
    const {lines, rows} = differenceLines(world, process, view, look.against, look.width);
    return {heading: [top], count: lines.length + rows.count, line: index => lines[index] ?? rows.line(index - lines.length)};
  }
  const rows = mountTree(mounts);
  const widths = mountWidths(rows, view, look);
  const head: Line = [
    column('dim', 'mount point', widths.point),
    plain(' '),
    column('dim', 'type', widths.type),
    plain(' '),
    column('dim', look.inodes ? 'peer groups' : 'leaks', widths.leak),
    ...(widths.rest > 0 ? [plain(' '), column('dim', 'options, what is mounted', widths.rest)] : []),
  ];
  const above = [...summaryLines(world, process, view, look), [], head];
  const hidden = hiddenMounts(mounts);
  const news = world.mountNews.get(fact.inode);
  return {
    heading: [top],
    count: above.length + rows.length,
    choice: {
      first: above.length,
      idOf: index => rows[index - above.length]?.mount.id,
      indexOf: id => {
        const row = rows.findIndex(({mount}) => mount.id === id);
        return row < 0 ? undefined : above.length + row;
      },
    },
    line: index => {
      const said = above[index];
      if (said !== undefined) return said;
      const row = rows[index - above.length];
      if (row === undefined) return [];
      const change = news?.fresh.get(row.mount.id);
      const isNews = change !== undefined && world.now - change.at < NEWS;
      return mountLine(row, {view, look, widths, hidden: hidden.get(row.mount.id), change: isNews ? change.how : null});
    },
  };
}

/** What keeps the mount with this id, and how that lets go. */
function pinLines(world: World, process: Process, {mounts, locks, fact}: MountView, id: number, look: Look): Line[] {
  const back = wrapLine([toned('key', 'w'), dim('  goes back to the mounts')], look.width);
  const mount = mounts.find(one => one.id === id);
  if (mount === undefined) return [...said('This mount is gone by now.', look.width), ...back];
  const study = studyOf(world, 'mountHolders', process, id);
  if (study === null) return [[strong(printable(mount.point))], ...said(unread(process, look, 'what keeps it'), look.width), ...back];
  if (isRefusal(study.seen)) return [[strong(printable(mount.point))], cutLine(refusalPieces(study.seen), look.width), ...back];
  const {perhapsLocked, ...sure} = study.seen;
  // Where the table that it came from was read, that tells.
  const seen = locks === null && perhapsLocked ? {...sure, perhapsLocked} : sure;
  const spaceName = (inode: string) => {
    const space = namespaceOf(world, inode);
    return space === null ? plain(`mnt:[${inode}]`) : namespacePiece(space);
  };
  const hidden = hiddenMounts(mounts).get(id);
  const stays =
    hidden !== undefined && !(hidden.how === 'in place' && hidden.by.parent === id)
      ? `umount does not reach it: ${hiddenText(hidden)}`
      : locks?.ids.has(id)
        ? 'it is locked: umount fails with EINVAL'
        : undefined;
  const options = said(
    `Options: of the mount ${optionsText(mount.options)}; of its file system ${optionsText(mount.superOptions)}.`,
    look.width,
  );
  const mapped = mappedLines(mount, fact.idMaps?.[String(id)], look.width);
  return [...mountHolderLines(seen, look.width, spaceName, stays), [], ...options, ...mapped, [], ...back];
}

/** mount_setattr(2), "ID-mapped mounts". */
function mappedLines(mount: Mount, map: MountIdMap | undefined, width: number): Line[] {
  if (!mount.options.includes('idmapped')) return [];
  if (map === undefined)
    return said('Who owns its files is mapped (idmapped); how is not known: the kernel tells since Linux 6.15.', width);
  const texts = (['uid', 'gid'] as const).map(which => {
    const pairs = map[which].map(({inside, outside, count}) => `${span(inside, count)} appear as ${span(outside, count)}`);
    return `${which} ${pairs.length === 0 ? 'none that nsview has' : pairs.join(', ')}`;
  });
  return said(`Who owns its files is mapped: ${texts.join('; ')}; all others as nobody.`, width);
}

/** With room to break a line between layers of an overlay, and between paths. */
const optionsText = (options: readonly string[]): string => options.map(printable).join(', ');

type MountWidths = {readonly point: number; readonly type: number; readonly leak: number; readonly rest: number};

const widthCache = new WeakMap<readonly MountRow[], {readonly tables: number; readonly by: Map<string, MountWidths>}>();

function mountWidths(rows: readonly MountRow[], view: MountView, look: Look): MountWidths {
  const {width} = look;
  let kept = widthCache.get(rows);
  if (kept?.tables !== view.tables.length) {
    kept = {tables: view.tables.length, by: new Map()};
    widthCache.set(rows, kept);
  }
  const key = `${width} ${look.inodes}`;
  const known = kept.by.get(key);
  if (known !== undefined) return known;
  const narrow = width < NARROW;
  const most = narrow ? 0 : Math.floor(width * 0.4);
  let point = 11;
  let type = 4;
  let leak = look.inodes ? 11 : 7;
  const leakWidths = new Map<Leak, number>();
  for (const row of rows) {
    const {mount, stem} = row;
    // A stem is made of characters of one cell each.
    if (point < most) point = Math.max(point, stem.length + printableCells(nameOfRow(row)));
    type = Math.max(type, mount.fsType.length);
    const shown = view.leakOf(mount);
    const width = look.inodes ? propagationText(mount).length : (leakWidths.get(shown) ?? lineCells(leakPieces(shown, view.own)));
    leakWidths.set(shown, width);
    leak = Math.max(leak, width);
  }
  type = Math.min(type, narrow ? 8 : 12);
  leak = narrow ? 11 : Math.min(leak, 20);
  const wanted = narrow ? width - type - leak - 2 : Math.min(point, most);
  const widths = {point: Math.max(8, wanted), type, leak, rest: Math.max(0, width - Math.max(8, wanted) - type - leak - 3)};
  const result = widths.rest < 10 ? {...widths, point: Math.max(8, width - type - leak - 2), rest: 0} : widths;
  kept.by.set(key, result);
  return result;
}

const leakCell = (view: MountView, look: Look, mount: Mount): Line => {
  if (!look.inodes) return leakPieces(view.leakOf(mount), view.own);
  const text = propagationText(mount);
  return [text === 'private' ? dim(text) : toned('accent', text)];
};

/** Why no path leads to it. */
function hiddenText({how, by}: Hidden): string {
  const type = printable(by.fsType);
  if (how === 'in place') return `hidden by the ${type} on it`;
  return how === 'above' ? `hidden by the ${type} on ${printable(by.point)}` : 'hidden: it lies on the root, only /.. leads there';
}

function hiddenShort({how, by}: Hidden): string {
  if (how === 'in place') return `× by ${printable(by.fsType)}`;
  return how === 'above' ? `× ${printable(by.point)}` : '× over /';
}

/** What is mounted: the source, and which directory of it. */
function whatIsMounted(view: MountView, mount: Mount): string {
  const at = mount.chroot ? null : bindSource(view.mounts, mount);
  // A whole file system can be mounted twice without a bind, as proc is.
  if (at !== null) return `${mount.root === '/' ? 'same as' : 'bind of'} ${printable(at)}`;
  const source = printable(mount.source);
  if (mount.chroot) return `chroot to ${printable(mount.root)} of ${source}`;
  if (mount.root === '/') return source;
  // Its file system is mounted elsewhere only.
  for (const {space, mounts} of view.tables) {
    const there = space === view.own ? null : wholeAt(mounts, mount);
    if (there !== null) return `bind of ${printable(there)} in ${space.name}`;
  }
  return `${printable(mount.root)} of ${source}`;
}

/** A write fails with EROFS where either is read-only, the mount or its file system (mnt_want_write(), fs/namespace.c). */
const isReadOnlyBelow = ({options, superOptions}: Mount): boolean => superOptions.includes('ro') && !options.includes('ro');

type RowLook = {
  readonly view: MountView;
  readonly look: Look;
  readonly widths: MountWidths;
  readonly hidden: Hidden | undefined;
  readonly change: 'new' | 'changed' | null;
};

function mountLine(row: MountRow, {view, look, widths, hidden, change}: RowLook): Line {
  const {mount, stem} = row;
  const shown = printable(nameOfRow(row));
  const tone = change !== null ? 'good' : hidden !== undefined ? 'dim' : 'plain';
  const roomy = widths.rest > 0;
  let leak = leakCell(view, look, mount);
  // Where there is no room for a column of its own, what is unusual takes the place of what is usual.
  if (!roomy && hidden !== undefined) leak = [toned('warn', hiddenShort(hidden))];
  if (!roomy && change !== null) leak = [toned('good', change)];
  const rest: Line = [
    ...(change === null ? [] : [toned('good', `${change}  `)]),
    ...(hidden === undefined ? [] : [toned('warn', `${hiddenText(hidden)}  `)]),
    ...(view.locks?.ids.has(mount.id) ? [strong('locked  ')] : []),
    plain(mount.options.map(printable).join(',')),
    ...(isReadOnlyBelow(mount) ? [toned('warn', '  its file system is ro')] : []),
    dim(`  ${whatIsMounted(view, mount)}`),
  ];
  return [
    ...padLine([dim(stem), toned(tone, shown)], widths.point),
    plain(' '),
    column(tone === 'good' ? 'plain' : tone, printable(mount.fsType), widths.type),
    plain(' '),
    ...padLine(leak, widths.leak),
    ...(roomy ? [plain(' '), ...cutLine(rest, widths.rest)] : []),
  ];
}

// --- differences ---

/** Rows by number, as the tree has them. */
type Rows = {readonly count: number; readonly line: (index: number) => Line};

function differenceLines(world: World, process: Process, view: MountView, against: string, width: number): {lines: Line[]; rows: Rows} {
  const none: Rows = {count: 0, line: () => []};
  const [above] = spacesAbove(world, process);
  const space = against === 'parent' ? (above?.space ?? null) : namespaceOf(world, against);
  const back = wrapLine([toned('key', 'c'), dim('  compares with the next mount namespace, and then with none')], width);
  if (space === null)
    return {
      lines: [...said('No process above it is in another mount namespace: there is no parent’s to compare with.', width), ...back],
      rows: none,
    };
  if (space === view.own) return {lines: [...said(`It is in ${space.name} itself.`, width), ...back], rows: none};
  const table = view.tables.find(one => one.space === space);
  if (table === undefined) return {lines: [...said(`The mounts of ${space.name} have not been read.`, width), ...back], rows: none};
  const {rows, propagation} = mountDifferences(view.mounts, table.mounts);
  const whose = against === 'parent' && above?.process ? [dim(` of ${nameOf(above.process)}, above it`)] : [];
  const lines: Line[] = wrapLine(
    [plain('Against '), namespacePiece(space), ...whose, dim(`, ${counted(table.mounts.length, 'mount')}`)],
    width,
  );
  const count = (kind: Difference['kind']) => rows.filter(row => row.kind === kind).length;
  const counts = [`+ ${count('added')} only here`, `− ${count('removed')} only there`, `~ ${count('changed')} with other options`].filter(
    text => !text.includes(' 0 '),
  );
  if (counts.length > 0) lines.push(...wrapLine([plain(counts.join(', '))], width));
  if (propagation > 0) lines.push(...said(`${propagation} more are the same but for what leaks to or from them.`, width));
  lines.push(...back, []);
  if (rows.length === 0) lines.push(...said('Both see the same mounts.', width));
  return {
    lines,
    rows: {
      count: rows.length,
      line: index => {
        const row = rows[index];
        return row === undefined ? [] : differenceLine(row, view, width);
      },
    },
  };
}

function differenceLine(row: Difference, view: MountView, width: number): Line {
  const {mount} = row;
  const point = width < NARROW ? Math.max(8, width - 12) : Math.floor(width * 0.4);
  const [mark, tone] = ({added: ['+', 'good'], removed: ['−', 'bad'], changed: ['~', 'warn']} as const)[row.kind];
  const start: Line = [toned(tone, `${mark} `), ...padLine([toned(tone, printable(mount.point))], point), plain(' ')];
  if (row.kind !== 'changed') {
    const rest = width < NARROW ? [] : [plain(`  ${mount.options.map(printable).join(',')}`), dim(`  ${whatIsMounted(view, mount)}`)];
    return cutLine([...start, plain(printable(mount.fsType)), ...rest], width);
  }
  const here = optionsBeyond(mount, row.before).map(printable).join(',') || 'nothing more';
  const there = optionsBeyond(row.before, mount).map(printable).join(',') || 'nothing more';
  return cutLine([...start, toned('warn', here), dim(width < NARROW ? `, was ${there}` : ` here, ${there} there`)], width);
}
