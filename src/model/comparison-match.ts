// Knows how to find, for each process of one tree, the one of another tree that stands in its place.

import type {PlainFact} from './comparison-facts.ts';
import {type Membership, relationsOf} from './comparison-membership.ts';
import type {Node, Pair, Tree} from './comparison-tree.ts';
import {isRefusal, type Seen} from './fact.ts';

export type Matching = {
  /** Parents before children. */
  readonly pairs: readonly Pair[];
  /** Nodes that nobody stands for on the other side. */
  readonly onlyA: readonly Node[];
  readonly onlyB: readonly Node[];
};

/** What two nodes are compared by until it is known who is whose partner: small numbers that are equal where the texts are. */
type Looks = {
  readonly facts: readonly number[];
  readonly relations: readonly number[];
  /** Its name, where both trees have that. */
  readonly name: number;
  /** Of all below it too: without names, with them, and without how its top stands to its parent. */
  readonly shape: number;
  readonly named: number;
  readonly bare: number;
  /** Of itself alone. */
  readonly alone: number;
  /** With what it is in together with whom. */
  color: number;
};

const LOST = 4;
const NAME = 3;
const ROUNDS = 3;
/** Pairs of siblings whose likeness is measured at one parent; of more, those are paired that were born in the same order. */
const MOST_MEASURED = 40_000;
/** Descendants that are counted for that. */
const MOST_BELOW = 256;

type Intern = (text: string) => number;

function createIntern(): Intern {
  const numbers = new Map<string, number>();
  return text => {
    let number = numbers.get(text);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(text, number);
    }
    return number;
  };
}

/** How a tree looks, node by node; `names` are those that both have. */
function looksOf(tree: Tree, which: 'a' | 'b', {facts, memberships, text}: Comparing, names: ReadonlySet<string>, intern: Intern): Looks[] {
  const looks: Looks[] = [];
  // Most processes have most of it alike.
  const known = facts.map(() => new Map<string, number>());
  for (const node of tree.nodes.toReversed()) {
    const below = node.children.flatMap(child => looks[child.index] ?? []);
    const list = (pick: (look: Looks) => number) =>
      below
        .map(pick)
        .sort((x, y) => x - y)
        .join();
    const own = facts.map(({read, named}, index) => {
      const seen = read(node);
      const value = seen === null ? '' : isRefusal(seen) ? seen.errno : seen;
      let number = known[index]?.get(value);
      if (number === undefined) {
        number = intern(`fact ${named === true ? text(value, which) : value}`);
        known[index]?.set(value, number);
      }
      return number;
    });
    const relations = relationsOf(node, memberships, which).map(intern);
    const name = intern(`name ${names.has(node.comm) ? node.comm : ''}`);
    const fact = intern(`${node.tid === null ? 'process' : 'thread'} ${own.join()}`);
    const relation = intern(`relations ${relations.join()}`);
    const shapes = list(look => look.shape);
    const shape = intern(`shape ${fact} ${relation} ${shapes}`);
    const named = intern(`named ${name} ${fact} ${relation} ${list(look => look.named)}`);
    const bare = intern(`bare ${name} ${fact} ${shapes}`);
    const alone = intern(`alone ${name} ${fact} ${relation}`);
    looks[node.index] = {facts: own, relations, name, shape, named, bare, alone, color: named};
  }
  return looks;
}

const mix = (number: number): number => {
  let mixed = Math.imul(number ^ (number >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 16)) >>> 0;
};

const idText = (id: Seen<string> | null): string => (isRefusal(id) ? id.errno : String(id));

/** What each node is in and holds: numbers that stand for ids, way by way. */
function idsOfNodes(
  tree: Tree,
  which: 'a' | 'b',
  {memberships, holds}: Comparing,
): {readonly ids: readonly number[][]; readonly count: number} {
  const ways = memberships.flatMap(membership => membership[which].ids.map(idOf => ({idOf, numbers: new Map<string, number>()})));
  const held = new Map<string, number>();
  let count = 0;
  const number = (numbers: Map<string, number>, id: string): number => {
    const known = numbers.get(id) ?? count++;
    numbers.set(id, known);
    return known;
  };
  const ids = tree.nodes.map(node => [
    ...ways.map(({idOf, numbers}) => number(numbers, idText(idOf(node)))),
    ...holds(node).map(id => number(held, id)),
  ]);
  return {ids, count};
}

/**
 * A few rounds in which each node learns what those are that are in the same namespace, cgroup or group of clone(2), or hold the same pipe. What
 * it learns is a hash: two that are taken for alike, and are not, are told of as different later.
 */
function refine(tree: Tree, which: 'a' | 'b', looks: readonly Looks[], comparing: Comparing): void {
  const {ids: idsOf, count} = idsOfNodes(tree, which, comparing);
  for (let round = 0; round < ROUNDS; round++) {
    const members = new Uint32Array(count);
    for (const [index, ids] of idsOf.entries()) {
      const color = looks[index]?.color ?? 0;
      for (const [way, id] of ids.entries()) members[id] = (members[id] ?? 0) + mix(color + Math.imul(way, 0x9e3779b1));
    }
    const colors = tree.nodes.map((node, index) => {
      const above = node.parent === null ? 0 : (looks[node.parent.index]?.color ?? 0);
      let color = mix(mix(looks[index]?.color ?? 0) + above);
      for (const id of idsOf[index] ?? []) color = mix(color + (members[id] ?? 0));
      return color;
    });
    for (const [index, color] of colors.entries()) {
      const look = looks[index];
      if (look !== undefined) look.color = color;
    }
  }
}

export type Comparing = {
  readonly facts: readonly PlainFact[];
  readonly memberships: readonly Membership[];
  /** Ids of what it has open that others may have open as well. */
  readonly holds: (node: Node) => readonly string[];
  /** What is left of a text before it is known whose ids are whose. */
  readonly text: (value: string, which: 'a' | 'b') => string;
};

type Matched = {readonly a: Looks[]; readonly b: Looks[]};

const unequal = (one: readonly number[], other: readonly number[]): number =>
  one.reduce((count, value, index) => count + (value === other[index] ? 0 : 1), 0);

/** What is below a node, as far as it is counted: how often which looks occur. */
function countBelow(node: Node, looks: readonly Looks[]): Map<number, number> {
  const counts = new Map<number, number>();
  const waiting = [...node.children];
  for (let left = MOST_BELOW; left > 0; left--) {
    const next = waiting.pop();
    if (next === undefined) break;
    const like = looks[next.index]?.alone ?? 0;
    counts.set(like, (counts.get(like) ?? 0) + 1);
    waiting.push(...next.children);
  }
  return counts;
}

/** Pairs up siblings: the most alike first. */
function createSiblings(looks: Matched) {
  const look = (side: Looks[], node: Node): Looks =>
    side[node.index] ?? {facts: [], relations: [], name: 0, shape: 0, named: 0, bare: 0, alone: 0, color: 0};

  const byKey = (xs: Node[], ys: Node[], key: (look: Looks) => number, take: (a: Node, b: Node) => void): [Node[], Node[]] => {
    if (xs.length === 0 || ys.length === 0) return [xs, ys];
    const waiting = new Map<number, Node[]>();
    for (const y of ys.toReversed()) {
      const of = key(look(looks.b, y));
      const queue = waiting.get(of);
      if (queue === undefined) waiting.set(of, [y]);
      else queue.push(y);
    }
    const taken = new Set<Node>();
    const left: Node[] = [];
    for (const x of xs) {
      const y = waiting.get(key(look(looks.a, x)))?.pop();
      if (y === undefined) left.push(x);
      else {
        taken.add(y);
        take(x, y);
      }
    }
    return [left, ys.filter(y => !taken.has(y))];
  };

  const costOf = () => {
    const below = new Map<Node, Map<number, number>>();
    const counted = (node: Node, side: Looks[]): Map<number, number> => {
      const known = below.get(node) ?? countBelow(node, side);
      below.set(node, known);
      return known;
    };
    return (x: Node, y: Node): number => {
      const [one, other] = [look(looks.a, x), look(looks.b, y)];
      const [belowX, belowY] = [counted(x, looks.a), counted(y, looks.b)];
      let common = 0;
      for (const [color, count] of belowX) common += Math.min(count, belowY.get(color) ?? 0);
      const apart = Math.min(x.size, MOST_BELOW + 1) + Math.min(y.size, MOST_BELOW + 1) - 2 - 2 * common;
      return (
        unequal(one.facts, other.facts) +
        unequal(one.relations, other.relations) +
        (one.name === other.name ? 0 : NAME) +
        LOST * Math.min(apart, Math.abs(x.size - y.size) + (apart > 0 ? 1 : 0))
      );
    };
  };

  /** Who is left is paired by likeness, where that is more likely than that both have no partner. */
  const byLikeness = (xs: Node[], ys: Node[], take: (a: Node, b: Node) => void): [Node[], Node[]] => {
    if (xs.length === 0 || ys.length === 0) return [xs, ys];
    const pairs: {readonly x: Node; readonly y: Node; readonly cost: number}[] = [];
    if (xs.length * ys.length > MOST_MEASURED)
      for (const [index, x] of xs.entries()) {
        const y = ys[index];
        if (y !== undefined) pairs.push({x, y, cost: 0});
      }
    else {
      const cost = costOf();
      for (const x of xs) for (const y of ys) pairs.push({x, y, cost: cost(x, y)});
      pairs.sort((one, other) => one.cost - other.cost || one.x.index - other.x.index || one.y.index - other.y.index);
    }
    const taken = new Set<Node>();
    for (const {x, y, cost} of pairs) {
      if (taken.has(x) || taken.has(y) || cost > LOST * (x.size + y.size + 1)) continue;
      taken.add(x);
      taken.add(y);
      take(x, y);
    }
    return [xs.filter(x => !taken.has(x)), ys.filter(y => !taken.has(y))];
  };

  /** One whose child looks like a sibling of the other side, while nobody looks like it, is not there on the other side, and its children move up. */
  const moveUp = (xs: readonly Node[], ys: readonly Node[], ofX: Looks[], ofY: Looks[]): {kept: Node[]; lost: Node[]} | null => {
    const there = new Set(ys.map(y => look(ofY, y).bare));
    const lost = xs.filter(x => x.children.some(child => there.has(look(ofX, child).bare)));
    if (lost.length === 0) return null;
    return {kept: xs.flatMap(x => (lost.includes(x) ? x.children : [x])), lost};
  };

  return {byKey, byLikeness, moveUp, costOf};
}

const sizeOf = (nodes: readonly Node[]): number => nodes.reduce((sum, {size}) => sum + size, 0);

/** Roots are paired with roots, and then children with children. */
export function matchTrees(a: Tree, b: Tree, comparing: Comparing): Matching {
  const intern = createIntern();
  const namesOfB = new Set(b.nodes.map(({comm}) => comm));
  const names = new Set(a.nodes.map(({comm}) => comm).filter(comm => namesOfB.has(comm)));
  const looks = {a: looksOf(a, 'a', comparing, names, intern), b: looksOf(b, 'b', comparing, names, intern)};
  refine(a, 'a', looks.a, comparing);
  refine(b, 'b', looks.b, comparing);
  const {byKey, byLikeness, moveUp, costOf} = createSiblings(looks);
  const pairs: Pair[] = [];
  const onlyA: Node[] = [];
  const onlyB: Node[] = [];
  const alone = (node: Node, into: Node[]) => {
    const waiting = [node];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      into.push(next);
      waiting.push(...next.children);
    }
  };
  const waiting: {readonly xs: readonly Node[]; readonly ys: readonly Node[]; readonly above: Pair | null}[] = [];
  const pair = (above: Pair | null) => (x: Node, y: Node) => {
    const found: Pair = {a: x, b: y, above};
    pairs.push(found);
    waiting.push({xs: x.children, ys: y.children, above: found});
  };
  const siblings = (all: readonly Node[], others: readonly Node[], above: Pair | null) => {
    const take = pair(above);
    const byLooks = (from: [Node[], Node[]]): [Node[], Node[]] => {
      let left = from;
      for (const key of [(look: Looks) => look.color, (look: Looks) => look.named, (look: Looks) => look.shape, (look: Looks) => look.bare])
        left = byKey(...left, key, take);
      return left;
    };
    let left = byLooks([[...all], [...others]]);
    for (;;) {
      const [xs, ys] = left;
      if (xs.length * ys.length > MOST_MEASURED) break;
      const cost = costOf();
      // Like none of the others: one missing process would cost less.
      const unlike = (node: Node, best: number) => node.children.length > 0 && best > LOST;
      const loneX = xs.filter(x => unlike(x, Math.min(...ys.map(y => cost(x, y)))));
      const loneY = ys.filter(y => unlike(y, Math.min(...xs.map(x => cost(x, y)))));
      // Where one is missing, there is less on that side.
      const more = sizeOf(xs) - sizeOf(ys);
      const movedX = more > 0 ? moveUp(loneX, ys, looks.a, looks.b) : null;
      const movedY = more < 0 ? moveUp(loneY, xs, looks.b, looks.a) : null;
      if (movedX !== null) {
        onlyA.push(...movedX.lost);
        left = byLooks([[...xs.filter(x => !loneX.includes(x)), ...movedX.kept], ys]);
      } else if (movedY !== null) {
        onlyB.push(...movedY.lost);
        left = byLooks([xs, [...ys.filter(y => !loneY.includes(y)), ...movedY.kept]]);
      } else break;
    }
    const [restA, restB] = byLikeness(...left, take);
    for (const node of restA) alone(node, onlyA);
    for (const node of restB) alone(node, onlyB);
  };
  const {
    roots: [rootA, secondA],
  } = a;
  const {
    roots: [rootB, secondB],
  } = b;
  if (rootA !== undefined && rootB !== undefined && secondA === undefined && secondB === undefined) pair(null)(rootA, rootB);
  else siblings(a.roots, b.roots, null);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const {xs, ys, above} = next;
    for (const isIt of [(node: Node) => node.tid === null, (node: Node) => node.tid !== null])
      siblings(xs.filter(isIt), ys.filter(isIt), above);
  }
  pairs.sort((one, other) => one.a.index - other.a.index);
  return {pairs, onlyA: onlyA.sort((x, y) => x.index - y.index), onlyB: onlyB.sort((x, y) => x.index - y.index)};
}
