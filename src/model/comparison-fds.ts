// Knows whether matched processes have the same things open: numbers of fds are ids, and so are those of pipes and sockets.

import type {MountsApart} from './comparison-mounts.ts';
import {isEphemeral} from './comparison-spaces.ts';
import {type Node, nodeName, type Pair} from './comparison-tree.ts';
import {isRefusal, type Seen} from './fact.ts';
import type {OpenFd} from './tree-details.ts';

/** What one process has open: the same text is the same kind of thing; `id`: which one of it, where that can be told from others. */
type Open = {
  readonly text: string;
  readonly id: string | null;
  readonly mode: string;
  readonly mount?: number | undefined;
  readonly bound?: string | undefined;
};

/** An object with an id, such as a pipe, and who has it open in which modes: index of the pair and mode, sorted. */
type Held = {readonly text: string; readonly id: string; readonly by: string[]};

type FdDifference = {readonly pair: Pair; readonly what: string; readonly a: string; readonly b: string};
export type FdsCompared = {
  readonly differences: readonly FdDifference[];
  /** Told of one side only. */
  readonly oneSided: readonly {readonly pair: Pair; readonly a: Seen<readonly OpenFd[]>; readonly b: Seen<readonly OpenFd[]>}[];
  readonly refused: ReadonlyMap<string, number>;
  readonly compared: number;
};

/** As many as a snapshot has of a process (probe/tree-details.ts). */
const MOST_READ = 1024;

const MODES: {readonly [mode: string]: string} = {
  r: 'open for reading',
  w: 'open for writing',
  rw: 'open for both',
  '-': 'open as a path alone',
};

/** One that may be bound. `plain`: what it is besides. */
type HeldSocket = Held & {readonly plain: string; readonly bound: string | undefined};

const openIn = ({fileTable}: Node): readonly OpenFd[] => (fileTable === null || isRefusal(fileTable.fds) ? [] : fileTable.fds);

/** Pipes and sockets, each end for itself: by what it has open as others do, one of many like it can be told from the rest. */
export const objectsOf = (node: Node): string[] =>
  openIn(node).flatMap(({link, mode}) => (/^(pipe|socket):/.test(link) ? [`${link} ${mode}`] : []));

/** The folder in which a file had a name that nobody can reach it by any more, often a random one; null: it has one, or never had. */
const unlinkedFrom = (link: string): string | null =>
  /^(?!\/memfd:|\/SYSV|\/dev\/zero )(\/.*)\/[^/]* \(deleted\)$/s.exec(link)?.[1] ?? null;

/** What it has open without any number, for finding its partner. */
export const fdsText = (node: Node): string | null =>
  node.details === null
    ? null
    : openIn(node)
        .map(({link, mode}) => `${(unlinkedFrom(link) ?? link).replaceAll(/\d+/g, '#')} ${mode}`)
        .toSorted()
        .join('; ');

/** `pipe:[123]` is an object, `net:[4026531840]` a namespace, which has its partner; a path is a path. */
function openOf(
  {link, mode, mount}: OpenFd,
  outside: boolean,
  network: string | undefined,
  partnerOf: (inode: string) => string,
  bound: string | undefined,
): Open {
  const [, kind, id] = /^([a-z]+):\[([0-9]+)\]$/.exec(link) ?? [];
  const folder = unlinkedFrom(link);
  if (folder !== null) return {text: `an unlinked file of ${folder}${outside ? ', outside of what it can reach' : ''}`, id: link, mode};
  if (kind === undefined || id === undefined)
    return {text: outside ? `${link}, outside of what it can reach` : link, id: null, mode, mount};
  if (kind === 'pipe' || kind === 'socket') {
    // A socket stays in the network namespace in which it was made; where one leads that is connected has been said.
    const where = network === undefined ? '' : ` of net namespace ${partnerOf(network)}`;
    return {text: outside ? `${kind} to outside of the tree` : `${kind}${where}`, id, mode, bound};
  }
  return {text: `${kind} namespace ${partnerOf(id)}`, id: null, mode};
}

/** What listens in a network namespace that is the tree's is told of that; `isOwn`: it is nsview's. */
function boundOf({bound}: OpenFd, isOwn: boolean): string | undefined {
  if (bound === undefined || bound.startsWith('unix '))
    return bound?.replace(/^(unix \S+) @[0-9a-f]{5}$/, '$1 (name that the kernel chose)');
  const [, protocol = '', host = '', port = ''] = /^(\S+) (.*):(\d+)$/.exec(bound) ?? [];
  if (!isOwn) return undefined;
  if (!isEphemeral(Number(port))) return bound;
  return protocol.startsWith('tcp') ? `${protocol} ${host}:(ephemeral)` : undefined;
}

/** How often each is there. */
function tally(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** What `a` has beyond `b`, as often as it does. */
function without(a: readonly string[], b: readonly string[]): string[] {
  const counts = tally(b);
  return a.filter(word => {
    const left = counts.get(word) ?? 0;
    if (left > 0) counts.set(word, left - 1);
    return left === 0;
  });
}

/** Objects that are held alike are the same: whoever stands for whom is known. The others are paired with those that they have most in common with. */
export function pairObjects<Shared extends Held>(a: readonly Shared[], b: readonly Shared[]): (readonly [Shared | null, Shared | null])[] {
  const key = ({text, by}: Held) => `${text} ${by.join()}`;
  const waiting = new Map<string, Shared[]>();
  for (const held of b) {
    const alike = waiting.get(key(held));
    if (alike === undefined) waiting.set(key(held), [held]);
    else alike.push(held);
  }
  const left = a.filter(held => waiting.get(key(held))?.pop() === undefined);
  const rest = [...waiting.values()].flat();
  const byHolder = new Map<string, Set<Shared>>();
  for (const held of rest)
    for (const one of held.by) {
      const known = byHolder.get(`${held.text} ${one}`);
      if (known === undefined) byHolder.set(`${held.text} ${one}`, new Set([held]));
      else known.add(held);
    }
  const pairs: (readonly [Shared | null, Shared | null])[] = [];
  const taken = new Set<Shared>();
  for (const held of left) {
    const common = new Map<Shared, number>();
    for (const one of new Set(held.by))
      for (const other of byHolder.get(`${held.text} ${one}`) ?? []) if (!taken.has(other)) common.set(other, (common.get(other) ?? 0) + 1);
    const [best] = [...common].sort(([, one], [, other]) => other - one)[0] ?? [null];
    if (best !== null) taken.add(best);
    pairs.push([held, best]);
  }
  for (const held of rest) if (!taken.has(held)) pairs.push([null, held]);
  return pairs;
}

const indexOf = (holder: string): number => Number(holder.slice(0, holder.indexOf(' ')));
const modeOf = (holder: string): string => holder.slice(holder.indexOf(' ') + 1);

type Reading = {readonly pair: Pair; readonly index: number; readonly open: readonly Open[]};

/** `nameOf`: a name of A as it is in B. */
function heldOf(readings: readonly Reading[], nameOf: (bound: string) => string): HeldSocket[] {
  const objects = new Map<string, HeldSocket>();
  for (const {index, open} of readings)
    for (const {text: plain, id, mode, bound} of open) {
      if (id === null) continue;
      const text = bound === undefined ? plain : `${plain} bound to ${nameOf(bound)}`;
      const known = objects.get(`${text} ${id}`);
      if (known === undefined) objects.set(`${text} ${id}`, {text, plain, bound, id, by: [`${index} ${mode}`]});
      else known.by.push(`${index} ${mode}`);
    }
  for (const {by} of objects.values()) by.sort();
  return [...objects.values()];
}

type Sides = {
  readonly pairs: readonly Pair[];
  readonly isOutside: {readonly a: (node: Node, fd: OpenFd) => boolean; readonly b: (node: Node, fd: OpenFd) => boolean};
  /** The network namespaces of sockets that somebody has who is not in it, by their links. */
  readonly networks: {readonly a: ReadonlyMap<string, string>; readonly b: ReadonlyMap<string, string>};
  /** Of A's namespaces. */
  readonly partners: ReadonlyMap<string, string>;
  readonly same: (a: string, b: string) => boolean;
  readonly apart: MountsApart;
  /** nsview's own network namespace. */
  readonly own: {readonly a: Seen<string>; readonly b: Seen<string>};
};

type Paired<Shared> = readonly (readonly [Shared | null, Shared | null])[];

/** What has no partner, and is held as another that has none either, is bound elsewhere. */
function apartByName(pairs: Paired<HeldSocket>): {paired: Paired<HeldSocket>; renamed: (readonly [HeldSocket, HeldSocket])[]} {
  const alone = pairs.flatMap(([one, other]) => (one === null && other !== null ? [other] : []));
  const renamed: (readonly [HeldSocket, HeldSocket])[] = [];
  const paired = pairs.filter(([one, other]) => {
    if (one === null || other !== null) return true;
    const at = alone.findIndex(each => each.text !== one.text && each.plain === one.plain && each.by.join() === one.by.join());
    const [found] = at < 0 ? [] : alone.splice(at, 1);
    if (found !== undefined) renamed.push([one, found]);
    return found === undefined;
  });
  return {paired: paired.filter(([one, other]) => one !== null || other === null || alone.includes(other)), renamed};
}

/** How many times, where it is more than once. */
const times = (modes: readonly string[]): string =>
  modes.length === 0
    ? 'not open'
    : [...tally(modes)].map(([mode, count]) => `${MODES[mode] ?? mode}${count > 1 ? ` ${count} times` : ''}`).join(' and ');

export function compareFds({pairs, isOutside, networks, partners, same, apart: mountsApart, own}: Sides): FdsCompared {
  const differences: FdDifference[] = [];
  const oneSided: {pair: Pair; a: Seen<readonly OpenFd[]>; b: Seen<readonly OpenFd[]>}[] = [];
  const refused = new Map<string, number>();
  const readings: {readonly a: Reading[]; readonly b: Reading[]} = {a: [], b: []};
  const known = new Set(partners.values());
  /** What was said of each pair: a child that inherited it needs no other line. */
  const said = new Map<Pair | null, Set<string>>();
  let compared = 0;
  for (const [index, pair] of pairs.entries()) {
    // A thread without a table of its own has that of its process; who shares one with whom is compared elsewhere.
    const [a, b] = [pair.a.fileTable?.fds, pair.b.fileTable?.fds];
    if (a === undefined || b === undefined) continue;
    if (isRefusal(a) || isRefusal(b)) {
      const why = isRefusal(a) && isRefusal(b) && a.errno === b.errno ? `fds: ${a.during}: ${a.errno}` : null;
      if (why === null) oneSided.push({pair, a, b});
      else refused.set(why, (refused.get(why) ?? 0) + 1);
      continue;
    }
    compared += Math.max(a.length, b.length, 1);
    const [countA, countB] = [pair.a.fileTable?.open ?? 0, pair.b.fileTable?.open ?? 0];
    // Of so many only the first were read.
    if (countA !== countB && (countA > MOST_READ || countB > MOST_READ))
      differences.push({pair, what: 'fds', a: `${countA} open`, b: `${countB} open`});
    const isOwn = pair.a.links.net === own.a && pair.b.links.net === own.b;
    const openA = a.map(one =>
      openOf(one, isOutside.a(pair.a, one), networks.a.get(one.link), id => partners.get(id) ?? 'outside of the tree', boundOf(one, isOwn)),
    );
    const openB = b.map(one =>
      openOf(
        one,
        isOutside.b(pair.b, one),
        networks.b.get(one.link),
        id => (known.has(id) ? id : 'outside of the tree'),
        boundOf(one, isOwn),
      ),
    );
    readings.a.push({pair, index, open: openA});
    readings.b.push({pair, index, open: openB});
    const left = openB.filter(({id}) => id === null);
    const onlyA = openA.filter(({id, text, mode, mount}) => {
      if (id !== null) return false;
      const at = left.findIndex(other => other.mode === mode && same(text, other.text) && mountsApart(pair, mount, other.mount) === null);
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
    const inherited = said.get(pair.above) ?? new Set();
    const mine = new Set<string>();
    said.set(pair, mine);
    const tell = (what: string, x: string, y: string) => {
      const line = `${what}\0${x}\0${y}`;
      if (!(mine.has(line) || inherited.has(line))) differences.push({pair, what, a: x, b: y});
      mine.add(line);
    };
    for (const {text, mode, mount} of onlyA) {
      const how = MODES[mode] ?? mode;
      // One in the place of another, as where the output goes.
      const alike = left.findIndex(other => other.mode === mode && same(text, other.text));
      const at = alike < 0 ? left.findIndex(other => other.mode === mode) : alike;
      const [another] = at < 0 ? [] : left.splice(at, 1);
      if (another === undefined) tell(text, how, 'not open');
      else {
        const mounts = alike < 0 ? null : mountsApart(pair, mount, another.mount);
        const [x, y] = mounts?.map(name => ` on ${name}`) ?? ['', ''];
        tell(`what is ${how}`, `${text}${x}`, `${another.text}${y}`);
      }
    }
    for (const {text, mode} of left) tell(text, 'not open', MODES[mode] ?? mode);
  }
  const namesOfB = new Set(readings.b.flatMap(({open}) => open.flatMap(({bound}) => bound ?? [])));
  const nameOf = (bound: string) => [...namesOfB].find(name => same(bound, name)) ?? bound;
  const {paired, renamed} = apartByName(
    pairObjects(
      heldOf(readings.a, nameOf),
      heldOf(readings.b, name => name),
    ),
  );
  for (const [one, other] of renamed) {
    const pair = pairs[Math.min(...one.by.map(indexOf))];
    if (pair !== undefined)
      differences.push({pair, what: `${one.plain} is bound to`, a: one.bound ?? 'nothing', b: other.bound ?? 'nothing'});
  }
  for (const [one, other] of paired) {
    const [byA, byB] = [one?.by ?? [], other?.by ?? []];
    const apart = new Set([...without(byA, byB), ...without(byB, byA)].map(indexOf));
    const all = new Set([...byA, ...byB].map(indexOf));
    for (const index of [...apart].sort((x, y) => x - y)) {
      const pair = pairs[index];
      if (pair === undefined) continue;
      const others = [...all].flatMap(holder => (holder === index ? [] : (pairs[holder]?.a ?? []))).slice(0, 3);
      const more = all.size - 1 - others.length;
      const who = [...others.map(nodeName), ...(more > 0 ? [`${more} more`] : [])].join(', ');
      const mine = (by: readonly string[]) => times(by.filter(holder => indexOf(holder) === index).map(modeOf));
      differences.push({
        pair,
        what: `${one?.text ?? other?.text ?? ''}${who === '' ? '' : ` shared with ${who}`}`,
        a: mine(byA),
        b: mine(byB),
      });
    }
  }
  return {differences, oneSided, refused, compared};
}
