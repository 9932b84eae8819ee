// Knows what the tab of the mounts says of a process.

import {type Details, fixed, heading, type Look, refusalPieces, said} from './details-parts.ts';
import {isRefusal, type Mount} from './fact.ts';
import {column, cutLine, dim, type Line, plain} from './line.ts';
import {cells, printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import type {World} from './world.ts';

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
