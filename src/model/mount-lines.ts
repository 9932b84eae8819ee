// Knows the sentences above the tree of mounts: what is hidden, what leaks where, what is locked, what has just changed.

import type {Look} from './details-parts.ts';
import {nameOf} from './details-parts.ts';
import type {Mount, MountsFact} from './fact.ts';
import {cutLine, dim, type Line, type Piece, plain, strong, toned, wrapLine} from './line.ts';
import {NEWS} from './mount-news.ts';
import {
  hiddenMounts,
  knownTables,
  locksOf,
  mountDifferences,
  otherSpaces,
  type Places,
  type Propagation,
  propagationOf,
  spacesAbove,
  type Table,
} from './mounts.ts';
import type {Namespace} from './names.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import type {World} from './world.ts';

/** Below this many cells the sentences become notes, and the columns fewer. */
export const NARROW = 60;

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** Other namespaces first: a peer in the same one is rarely what matters. */
function spacesOf(places: Places, own: Namespace): Namespace[] {
  return [...places.keys()].sort((a, b) => Number(a === own) - Number(b === own) || a.index - b.index);
}

/** In which namespaces others than the mount itself are. */
function elsewhere(places: Places, own: Namespace): Namespace[] {
  return spacesOf(places, own).filter(space => space !== own || (places.get(space)?.length ?? 0) > 1);
}

export type Leak = {
  readonly both: readonly Namespace[];
  readonly out: readonly Namespace[];
  /** Null: it hears nobody. Empty: it does, but whom is not to be found. */
  readonly into: readonly Namespace[] | null;
  readonly kind: 'private' | 'unbindable' | 'shared' | 'slave';
};

function leakOf(found: Propagation, own: Namespace, mount: Mount): Leak {
  const {shared, master, unbindable} = mount.propagation;
  const both = elsewhere(found.peers, own);
  return {
    both,
    out: spacesOf(found.slaves, own).filter(space => !both.includes(space)),
    into: found.masters === null ? null : spacesOf(found.masters, own),
    kind: unbindable ? 'unbindable' : shared !== undefined ? 'shared' : master !== undefined ? 'slave' : 'private',
  };
}

const namesOf = (spaces: readonly Namespace[], own: Namespace): Piece[] => {
  const [first, ...rest] = spaces;
  if (first === undefined) return [];
  return [first === own ? plain('here') : namespacePiece(first), ...(rest.length > 0 ? [plain(` +${rest.length}`)] : [])];
};

/** In a few cells: `⇄ mnt:a`, `→ mnt:c +2`, `← mnt:b`. */
export function leakPieces(leak: Leak, own: Namespace): Line {
  const pieces: Piece[] = [];
  const add = (mark: string, spaces: readonly Namespace[]) => {
    if (pieces.length > 0) pieces.push(plain(' '));
    pieces.push(toned('accent', `${mark} `), ...namesOf(spaces, own));
  };
  if (leak.both.length > 0) add('⇄', leak.both);
  if (leak.out.length > 0) add('→', leak.out);
  if (leak.into !== null && leak.into.length > 0) add('←', leak.into);
  if (leak.into?.length === 0) pieces.push(...(pieces.length > 0 ? [plain(' ')] : []), toned('warn', '← unknown'));
  if (pieces.length > 0) return pieces;
  return [dim(leak.kind === 'shared' ? 'shared, alone' : leak.kind)];
}

// --- what is known of a table ---

export type MountView = {
  readonly own: Namespace;
  readonly fact: MountsFact;
  readonly mounts: readonly Mount[];
  readonly tables: readonly Table[];
  readonly locks: {readonly from: Namespace; readonly ids: ReadonlySet<number>} | null;
  readonly leakOf: (mount: Mount) => Leak;
};

type Memo = {readonly tables: readonly Table[]; readonly leaks: Map<string, Leak>; groups: readonly LeakGroup[] | null};
const memos = new WeakMap<readonly Mount[], Memo>();

/** What was found out of a table, as long as it and those that it was found in are the same. */
function memoOf(mounts: readonly Mount[], tables: readonly Table[]): Memo {
  const kept = memos.get(mounts);
  const isSame = kept?.tables.length === tables.length && kept.tables.every((table, index) => table.mounts === tables[index]?.mounts);
  if (kept !== undefined && isSame) return kept;
  const memo = {tables, leaks: new Map(), groups: null};
  memos.set(mounts, memo);
  return memo;
}

export function viewOf(world: World, process: Process, own: Namespace, fact: MountsFact, mounts: readonly Mount[]): MountView {
  const tables = knownTables(world, own);
  const {leaks} = memoOf(mounts, tables);
  return {
    own,
    fact,
    mounts,
    tables,
    locks: locksOf(world, process),
    leakOf: mount => {
      const {shared, master, unbindable} = mount.propagation;
      const key = `${shared} ${master} ${unbindable}`;
      const known = leaks.get(key);
      if (known !== undefined) return known;
      const leak = leakOf(propagationOf(tables, mounts, mount), own, mount);
      leaks.set(key, leak);
      return leak;
    },
  };
}

// --- sentences ---

const peopleIn = (space: Namespace): string => plural(space.processes + space.others, 'process', 'processes');

/** Namespaces by name, each with how many processes are in it; after a few only their number. */
function inSpaces(spaces: readonly Namespace[], own: Namespace): Line {
  const shown = spaces.slice(0, spaces.length > 4 ? 3 : 4);
  const pieces: Piece[] = [];
  shown.forEach((space, index) => {
    if (index > 0) pieces.push(plain(index === shown.length - 1 && shown.length === spaces.length ? ' and ' : ', '));
    if (space === own) pieces.push(plain('another place of this namespace'));
    else pieces.push(namespacePiece(space), dim(` (${peopleIn(space)})`));
  });
  if (shown.length < spaces.length) pieces.push(plain(` and ${spaces.length - shown.length} more namespaces`));
  return pieces;
}

/** `/`, `/tmp and 3 more`. */
function points(mounts: readonly Mount[]): string {
  const [first, second, ...rest] = mounts.map(mount => printable(mount.point));
  if (second === undefined) return first ?? '';
  return rest.length === 0 ? `${first} or ${second}` : `${first}, ${second} or ${rest.length} more`;
}

function leakSentence(leak: Leak, mounts: readonly Mount[], own: Namespace): Line {
  const below = points(mounts);
  const pieces: Piece[] = [...leakPieces(leak, own), plain('  ')];
  if (leak.both.length > 0)
    pieces.push(plain(`A mount made below ${below} here appears in `), ...inSpaces(leak.both, own), plain(', and the other way round.'));
  if (leak.out.length > 0) {
    const again = leak.both.length > 0;
    pieces.push(plain(again ? ' It appears in ' : `A mount made below ${below} here appears in `), ...inSpaces(leak.out, own));
    pieces.push(plain(' as well, never the other way round.'));
  }
  if (leak.into !== null && leak.into.length > 0) {
    const again = leak.both.length + leak.out.length > 0;
    pieces.push(plain(again ? ' And what is made in ' : 'A mount made in '), ...inSpaces(leak.into, own));
    pieces.push(plain(again ? ' appears here.' : ` appears here below ${below}; one made here does not appear there.`));
  }
  if (leak.into?.length === 0) {
    pieces.push(
      plain(leak.both.length + leak.out.length > 0 ? ' What is mounted at its master' : `What is mounted at the master of ${below}`),
    );
    pieces.push(plain(' appears here, but that master is out of reach: in no mount namespace that nsview has read.'));
  }
  return pieces;
}

/** The mounts with the same leak, the most first; those that leak nowhere are left out. */
function leakGroups(view: MountView): readonly LeakGroup[] {
  const memo = memoOf(view.mounts, view.tables);
  memo.groups ??= groupByLeak(view);
  return memo.groups;
}

const leaksNowhere = ({both, out, into}: Leak): boolean => both.length + out.length === 0 && into === null;

type LeakGroup = {readonly leak: Leak; readonly mounts: readonly Mount[]};

function groupByLeak(view: MountView): LeakGroup[] {
  const groups = new Map<string, {leak: Leak; mounts: Mount[]}>();
  const keys = new Map<Leak, string>();
  for (const mount of view.mounts) {
    const leak = view.leakOf(mount);
    if (leaksNowhere(leak)) continue;
    let key = keys.get(leak);
    if (key === undefined) {
      key = [leak.both, leak.out, leak.into ?? ['-']]
        .map(list => list.map(one => (typeof one === 'string' ? one : one.inode)).join())
        .join(';');
      keys.set(leak, key);
    }
    const group = groups.get(key);
    if (group === undefined) groups.set(key, {leak, mounts: [mount]});
    else group.mounts.push(mount);
  }
  return [...groups.values()].sort((a, b) => b.mounts.length - a.mounts.length);
}

/** At most so many sentences on leaks. */
const LEAKS_TOLD = 5;

export function summaryLines(world: World, process: Process, view: MountView, look: Look): Line[] {
  const {own, mounts} = view;
  const narrow = look.width < NARROW;
  const lines: Line[] = [];
  const say = (line: Line, short: Line = line) => lines.push(...(narrow ? [cutLine(short, look.width)] : wrapLine(line, look.width)));

  const news = newsOf(world, view);
  if (news.fresh > 0 || news.gone.length > 0) {
    const parts = [
      ...(news.fresh > 0 ? [`${news.fresh} new or changed`] : []),
      ...(news.gone.length > 0 ? [`${news.gone.length} gone: ${points(news.gone)}`] : []),
    ];
    say([toned('good', 'Just now'), plain(`  ${parts.join(', ')}`)]);
  }
  const hidden = hiddenMounts(mounts);
  if (hidden.size > 0)
    say(
      [
        toned('warn', `${hidden.size} hidden`),
        plain(`  No path leads to ${hidden.size === 1 ? 'it' : 'them'}: others are mounted over ${hidden.size === 1 ? 'it' : 'them'}.`),
      ],
      [toned('warn', `${hidden.size} hidden`), plain(' by others above')],
    );

  const groups = leakGroups(view);
  for (const {leak, mounts: alike} of groups.slice(0, LEAKS_TOLD))
    say(leakSentence(leak, alike, own), [...leakPieces(leak, own), dim(`  ${plural(alike.length, 'mount')}`)]);
  if (groups.length > LEAKS_TOLD) say([dim(`… and ${groups.length - LEAKS_TOLD} more ways, marked below.`)]);
  const {unread} = otherSpaces(world, process);
  const quiet = mounts.length - groups.reduce((sum, group) => sum + group.mounts.length, 0);
  if (quiet === mounts.length)
    say(
      [strong('no leaks'), plain('  A mount made here appears in no other namespace, nor one made elsewhere here.')],
      [strong('no leaks'), dim(' to or from others')],
    );
  else if (quiet > 0) {
    const alone = mounts.filter(mount => leaksNowhere(view.leakOf(mount)));
    say([dim(`private  What is mounted below ${points(alone)} stays here.`)], [dim(`private  ${plural(quiet, 'mount')}`)]);
  }
  if (unread > 0) say([toned('warn', `${unread} unread`), plain('  So many more mount namespaces were not asked.')]);

  const {locks} = view;
  if (locks !== null)
    say(
      [
        strong(`${locks.ids.size} locked`),
        plain('  They came from '),
        namespacePiece(locks.from),
        plain(', of another user namespace: to unmount one of them alone, or to move it, fails with EINVAL.'),
      ],
      [strong(`${locks.ids.size} locked`), plain(' as they came from '), namespacePiece(locks.from)],
    );

  const [above] = spacesAbove(world, process);
  const others = above === undefined ? undefined : view.tables.find(table => table.space === above.space);
  if (above !== undefined && others !== undefined) {
    const {rows} = mountDifferences(mounts, others.mounts);
    const count = (kind: string) => rows.filter(row => row.kind === kind).length;
    const text = [`${count('added')} more`, `${count('removed')} less`, `${count('changed')} with other options`]
      .filter(part => !part.startsWith('0 '))
      .join(', ');
    const whose = above.process === null ? '' : ` of ${nameOf(above.process)}`;
    say(
      [toned('key', 'c'), plain('  compares with '), namespacePiece(above.space), plain(`${whose}: ${text || 'the same mounts'}.`)],
      [toned('key', 'c'), dim(' compare '), namespacePiece(above.space), plain(` ${text || 'the same'}`)],
    );
  } else if (view.tables.length > 1) say([toned('key', 'c'), dim('  compares with another mount namespace')]);
  return lines;
}

/** What of a table is news now. */
export function newsOf(world: World, view: MountView): {readonly fresh: number; readonly gone: readonly Mount[]} {
  const news = world.mountNews.get(view.fact.inode);
  if (news === undefined) return {fresh: 0, gone: []};
  let fresh = 0;
  for (const {at} of news.fresh.values()) if (world.now - at < NEWS) fresh++;
  return {fresh, gone: news.gone.filter(({at}) => world.now - at < NEWS).map(({mount}) => mount)};
}
