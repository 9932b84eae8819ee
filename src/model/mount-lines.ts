// Knows the sentences above the tree of mounts: what is hidden, what leaks where, what is locked, what has just changed.

import type {Look} from './details-parts.ts';
import {nameOf} from './details-parts.ts';
import type {Mount, MountsFact} from './fact.ts';
import {counted, cutLine, dim, type Line, type Piece, plain, strong, toned, wrapLine} from './line.ts';
import {NEWS} from './mount-news.ts';
import {
  hiddenMounts,
  knownTables,
  locksOf,
  mountDifferences,
  otherSpaces,
  type Places,
  type Propagation,
  propagationKey,
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

/** In which other namespaces they are; where in none, this one if others than the mount itself are here. */
function elsewhere(places: Places, own: Namespace, itself: number): Namespace[] {
  const others = [...places.keys()].filter(space => space !== own).sort((a, b) => a.index - b.index);
  if (others.length > 0) return others;
  return (places.get(own)?.length ?? 0) > itself ? [own] : [];
}

export type Leak = {
  readonly both: readonly Namespace[];
  readonly out: readonly Namespace[];
  /** Null: it hears nobody. Empty: it does, but nobody who is known. */
  readonly into: readonly Namespace[] | null;
  /** Those of both and out that show but a part of what it shows. */
  readonly narrow: readonly Namespace[];
  /** Its master is out of reach, whether or not that one's master is known. */
  readonly isMasterUnknown: boolean;
  readonly kind: 'private' | 'unbindable' | 'shared' | 'slave';
};

function leakOf(found: Propagation, own: Namespace, mount: Mount): Leak {
  const {shared, master, unbindable} = mount.propagation;
  const both = elsewhere(found.peers, own, 1);
  return {
    both,
    out: elsewhere(found.slaves, own, 0).filter(space => !both.includes(space)),
    into: found.masters === null || (found.masters.size === 0 && !found.isMasterUnknown) ? null : elsewhere(found.masters, own, 0),
    narrow: [...found.narrow].filter(space => space !== own).sort((a, b) => a.index - b.index),
    isMasterUnknown: found.isMasterUnknown,
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
  if (leak.isMasterUnknown) pieces.push(...(pieces.length > 0 ? [plain(' ')] : []), toned('warn', '← unknown'));
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

type Memo = {readonly tables: readonly Table[]; readonly leaks: Map<string, Leak>; summary: Summary | null};
const memos = new WeakMap<readonly Mount[], Memo>();

/** What was found out of a table, as long as it and those that it was found in are the same. */
function memoOf(mounts: readonly Mount[], tables: readonly Table[]): Memo {
  const kept = memos.get(mounts);
  const isSame = kept?.tables.length === tables.length && kept.tables.every((table, index) => table.mounts === tables[index]?.mounts);
  if (kept !== undefined && isSame) return kept;
  const memo = {tables, leaks: new Map(), summary: null};
  memos.set(mounts, memo);
  return memo;
}

export function viewOf(world: World, process: Process, own: Namespace, fact: MountsFact, mounts: readonly Mount[]): MountView {
  const tables = knownTables(world, own);
  const {leaks} = memoOf(mounts, tables);
  // One object for all whose line ends alike and that show the same directory, which mostly come one after the other.
  let last: {readonly propagation: Mount['propagation']; readonly root: string; readonly leak: Leak} | null = null;
  const leakAlike = (mount: Mount): Leak => {
    const key = `${propagationKey(mount)}${mount.propagation.unbindable ? ' unbindable' : ''}`;
    const known = leaks.get(key);
    if (known !== undefined) return known;
    const leak = leakOf(propagationOf(tables, mounts, mount), own, mount);
    leaks.set(key, leak);
    return leak;
  };
  return {
    own,
    fact,
    mounts,
    tables,
    locks: locksOf(world, process),
    leakOf: mount => {
      const {propagation, root} = mount;
      if (last?.propagation !== propagation || last.root !== root) last = {propagation, root, leak: leakAlike(mount)};
      return last.leak;
    },
  };
}

// --- sentences ---

/** Of nsview's own namespace nobody may be in what it follows. */
const peopleIn = (space: Namespace): string =>
  space.index === 0 && space.processes + space.others === 0
    ? 'nsview’s own'
    : counted(space.processes + space.others, 'process', 'processes');

/** `beyond`: what lies outside of the process's root is known as well, and may be meant. */
type Here = {readonly own: Namespace; readonly beyond: boolean};

/** Namespaces by name, each with how many processes are in it; after a few only their number. */
function inSpaces(spaces: readonly Namespace[], {own, beyond}: Here, joined: 'and' | 'or' = 'and'): Line {
  const shown = spaces.slice(0, spaces.length > 4 ? 3 : 4);
  const pieces: Piece[] = [];
  shown.forEach((space, index) => {
    if (index > 0) pieces.push(plain(index === shown.length - 1 && shown.length === spaces.length ? ` ${joined} ` : ', '));
    if (space === own) pieces.push(plain(beyond ? 'another mount of this namespace' : 'another mount here'));
    else pieces.push(namespacePiece(space), dim(` (${peopleIn(space)})`));
  });
  if (shown.length < spaces.length) pieces.push(plain(` ${joined} ${spaces.length - shown.length} more namespaces`));
  return pieces;
}

/** `/`, `/tmp or 3 more`: of those first that can be seen. */
function points(mounts: readonly Mount[], joined: 'and' | 'or', hidden: ReadonlyMap<number, unknown> = new Map()): string {
  const seen = hidden.size === 0 ? mounts : mounts.filter(mount => !hidden.has(mount.id));
  const named = new Set<string>();
  for (const {point} of seen.length > 0 ? seen : mounts) named.add(point);
  const [first, second, third] = named;
  if (first === undefined) return '';
  if (second === undefined) return printable(first);
  if (third === undefined) return `${printable(first)} ${joined} ${printable(second)}`;
  return `${printable(first)}, ${printable(second)} ${joined} ${named.size === 3 ? printable(third) : `${named.size - 2} more`}`;
}

function leakSentence(group: LeakGroup, here: Here): Line {
  const {leak} = group;
  const {own, beyond} = here;
  const below = group.below();
  const pieces: Piece[] = [...leakPieces(leak, own), plain('  ')];
  if (leak.both[0] === own && beyond)
    pieces.push(plain(`A mount made below ${below} appears below others of its peer group in this namespace, and the other way round.`));
  else if (leak.both[0] === own) pieces.push(plain(`A mount made below one of ${below} appears below the others here too.`));
  else if (leak.both.length > 0)
    pieces.push(plain(`A mount made below ${below} here appears in `), ...inSpaces(leak.both, here), plain(', and the other way round.'));
  if (leak.out.length > 0) {
    const again = leak.both.length > 0;
    pieces.push(plain(again ? ' It appears in ' : `A mount made below ${below} here appears in `), ...inSpaces(leak.out, here));
    pieces.push(plain(again ? ' as well, never the other way round.' : ', never the other way round.'));
  }
  if (leak.narrow.length > 0)
    pieces.push(plain(' In '), ...inSpaces(leak.narrow, here), plain(' only what lies in the part that is mounted there.'));
  if (leak.into !== null && leak.into.length > 0) {
    const again = leak.both.length + leak.out.length > 0;
    pieces.push(plain(again ? ' And what is made in ' : 'A mount made in '), ...inSpaces(leak.into, here, 'or'));
    pieces.push(plain(again ? ' appears here.' : ` appears here below ${below}; one made here does not appear there.`));
  }
  if (leak.isMasterUnknown) {
    pieces.push(
      plain(
        leak.both.length + leak.out.length + (leak.into?.length ?? 0) > 0
          ? ' What is mounted at its master'
          : `What is mounted at the master of ${below}`,
      ),
    );
    pieces.push(plain(' appears here, but that master is out of reach: in no mount namespace that nsview has read.'));
  }
  return pieces;
}

function leakNote(leak: Leak): string {
  if (leak.both.length > 0) return 'appear in both';
  return leak.out.length > 0 ? 'appear there too' : 'theirs appear here';
}

const leaksNowhere = ({both, out, into}: Leak): boolean => both.length + out.length === 0 && into === null;

/** `below`: their points, found out when they are told: of a table that leaks nowhere they are not. */
type Alike = {readonly count: number; readonly below: () => string};
type LeakGroup = Alike & {readonly leak: Leak};

function alike(mounts: readonly Mount[], joined: 'and' | 'or', hidden: ReadonlyMap<number, unknown>): Alike {
  let text: string | null = null;
  return {
    count: mounts.length,
    below: () => {
      text ??= points(mounts, joined, hidden);
      return text;
    },
  };
}

/** What is said of all mounts of a table, in words. */
type Summary = {
  readonly hidden: string;
  /** The mounts with the same leak, the most first; those that leak nowhere are left out. */
  readonly groups: readonly LeakGroup[];
  /** Shared, but with nobody that is known; and private. */
  readonly alone: Alike;
  readonly quiet: Alike;
};

function summaryOf(view: MountView): Summary {
  const memo = memoOf(view.mounts, view.tables);
  memo.summary ??= summarize(view);
  return memo.summary;
}

function summarize(view: MountView): Summary {
  const {own, mounts} = view;
  const hidden = hiddenMounts(mounts);
  const groups = new Map<string, {leak: Leak; mounts: Mount[]}>();
  const keys = new Map<Leak, string>();
  const alone: Mount[] = [];
  const quiet: Mount[] = [];
  const inodes = (spaces: readonly Namespace[]): string => spaces.map(space => space.inode).join();
  for (const mount of mounts) {
    const leak = view.leakOf(mount);
    if (leaksNowhere(leak)) {
      (leak.kind === 'shared' ? alone : quiet).push(mount);
      continue;
    }
    let key = keys.get(leak);
    if (key === undefined) {
      key = [
        inodes(leak.both),
        inodes(leak.out),
        leak.into === null ? '-' : inodes(leak.into),
        leak.isMasterUnknown,
        inodes(leak.narrow),
      ].join(';');
      keys.set(leak, key);
    }
    const group = groups.get(key);
    if (group === undefined) groups.set(key, {leak, mounts: [mount]});
    else group.mounts.push(mount);
  }
  return {
    hidden: points(hidden.size === 0 ? [] : mounts.filter(mount => hidden.has(mount.id)), 'and'),
    groups: [...groups.values()]
      .sort((a, b) => b.mounts.length - a.mounts.length)
      .map(({leak, mounts: some}) => ({leak, ...alike(some, leak.both[0] === own ? 'and' : 'or', hidden)})),
    alone: alike(alone, 'or', hidden),
    quiet: alike(quiet, 'or', hidden),
  };
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
      ...(news.gone.length > 0 ? [`${news.gone.length} gone: ${points(news.gone, 'and')}`] : []),
    ];
    say([toned('good', 'Just now'), plain(`  ${parts.join(', ')}`)]);
  }
  const hidden = hiddenMounts(mounts);
  const summary = summaryOf(view);
  if (hidden.size > 0)
    say(
      [toned('warn', `${hidden.size} hidden`), plain(`  Covered by others, so that no path leads to them: ${summary.hidden}.`)],
      [toned('warn', `${hidden.size} hidden`), plain(', marked ×')],
    );

  const {groups, alone, quiet} = summary;
  for (const group of groups.slice(0, LEAKS_TOLD))
    say(leakSentence(group, {own, beyond: view.fact.outside !== undefined}), [
      ...leakPieces(group.leak, own),
      dim(`  ${group.count}: ${leakNote(group.leak)}`),
    ]);
  if (groups.length > LEAKS_TOLD) say([dim(`… and ${groups.length - LEAKS_TOLD} more ways, marked below.`)]);
  const {unread} = otherSpaces(world, process);
  if (alone.count > 0)
    say(
      [dim(`shared, alone  What is mounted below ${alone.below()} would appear in copies of it; nsview has read of none.`)],
      [dim(`shared, alone  ${counted(alone.count, 'mount')}`)],
    );
  const isRootRead = mounts.some(mount => mount.point === '/' && !hidden.has(mount.id));
  if (!isRootRead)
    say(
      [
        toned('warn', 'root unread'),
        plain('  Its root lies on a mount that is not to be read: what is mounted there may appear elsewhere.'),
      ],
      [toned('warn', 'root unread'), dim('  the mount that it is on')],
    );
  if (quiet.count === mounts.length && isRootRead)
    say(
      [strong('no leaks'), plain('  A mount made here appears nowhere else, nor one made elsewhere here: all are private.')],
      [strong('no leaks'), dim('  all are private')],
    );
  else if (quiet.count > 0)
    say([dim(`private  What is mounted below ${quiet.below()} stays here.`)], [dim(`private  ${counted(quiet.count, 'mount')}`)]);
  if (unread > 0) say([toned('warn', `${unread} unread`), plain('  So many more mount namespaces were not asked.')]);

  const {locks} = view;
  if (locks !== null)
    say(
      [
        strong(`${locks.ids.size} locked`),
        plain('  They came from '),
        namespacePiece(locks.from),
        plain(
          ', of another user namespace: to unmount one of them alone, or to move it, fails with EINVAL. To take ro, nosuid, nodev or noexec',
        ),
        plain(' from what came from there, or to change its atime, fails with EPERM.'),
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
      [toned('key', 'c'), dim('  against '), namespacePiece(above.space), plain(`: ${text || 'the same'}`)],
    );
  } else if (view.tables.some(({space}) => space !== own)) say([toned('key', 'c'), dim('  compares with another mount namespace')]);
  return lines;
}

/** What of a table is news now. */
function newsOf(world: World, view: MountView): {readonly fresh: number; readonly gone: readonly Mount[]} {
  const news = world.mountNews.get(view.fact.inode);
  if (news === undefined) return {fresh: 0, gone: []};
  let fresh = 0;
  for (const {at} of news.fresh.values()) if (world.now - at < NEWS) fresh++;
  return {fresh, gone: news.gone.filter(({at}) => world.now - at < NEWS).map(({mount}) => mount)};
}
