// Knows what processes can be together in, namespaces, cgroups and what clone(2) shares, and whether two trees are divided alike.

import {type Node, nodeName, type Pair, type Tree} from './comparison-tree.ts';
import {isRefusal, type Seen, type Snapshot} from './fact.ts';
import {NAMESPACES, type NamespaceLink} from './namespace.ts';
import {SHAREABLE} from './sharing.ts';

/** nsview's own, one that processes outside of the tree are in as well, or one of the tree alone. */
type Place = 'nsview' | 'outside' | 'own';

/** Which one a node is in, by an id that holds within its snapshot; null: the snapshot does not say. `none`: in none, as a link tells by ENOENT. */
type IdOf = (node: Node) => Seen<string> | null;
type Side = {readonly ids: readonly IdOf[]; readonly placeOf: (id: string) => Place};

/** One kind of thing to be in. `ways`: how a node is in it, each with the name of that. */
export type Membership = {
  readonly of: 'namespace' | 'sharing' | 'cgroup';
  readonly kind: string;
  readonly ways: readonly string[];
  readonly a: Side;
  readonly b: Side;
};

const NONE = 'none';
/** Tasks that are compared with each other, at the least (probe/tree-sharing.ts). */
const MOST_TASKS = 16_000;

function linkOf(link: NamespaceLink): IdOf {
  return ({links}) => {
    const id = links[link];
    // Nothing was born in it yet (pid_namespaces(7)); of others ENOENT says that this kernel has no such kind.
    return isRefusal(id) && id.errno === 'ENOENT' ? NONE : id;
  };
}

function namespaceSide(snapshot: Snapshot, links: readonly NamespaceLink[]): Side {
  const own = new Set(Object.values(snapshot.host.namespaces).filter(id => !isRefusal(id)));
  const outside = new Set(snapshot.details?.outside.namespaces ?? []);
  return {ids: links.map(linkOf), placeOf: id => (own.has(id) ? 'nsview' : outside.has(id) ? 'outside' : 'own')};
}

/** Hierarchies have other numbers on other machines: what they are for tells which is which. */
export const hierarchyName = (controllers: readonly string[]): string =>
  controllers.length === 0 ? 'v2' : controllers.toSorted().join(',');

function hierarchiesOf({nodes}: Tree): Set<string> {
  const names = new Set<string>();
  for (const {cgroup} of nodes) if (!isRefusal(cgroup)) for (const {controllers} of cgroup) names.add(hierarchyName(controllers));
  return names;
}

function cgroupSide({snapshot}: Tree, name: string): Side {
  const outside = new Set<string>();
  for (const {controllers, path} of snapshot.details?.outside.cgroups ?? []) if (hierarchyName(controllers) === name) outside.add(path);
  const idOf: IdOf = ({cgroup}) =>
    isRefusal(cgroup) ? cgroup : (cgroup.find(line => hierarchyName(line.controllers) === name)?.path ?? NONE);
  return {ids: [idOf], placeOf: id => (outside.has(id) ? 'outside' : 'own')};
}

function sharingSide({snapshot, nodes}: Tree, kind: string): Side | null {
  const {sharing} = snapshot;
  // Who was refused, or was too many, may share it, or may not; what those of the tree share with each other is known all the same.
  if (sharing === undefined || sharing.refused > (sharing.refusedOutside ?? 0) || (sharing.left > 0 && nodes.length > MOST_TASKS))
    return null;
  const {groups} = sharing;
  if (isRefusal(groups)) return {ids: [() => groups], placeOf: () => 'own'};
  const byTask = new Map<number, string>();
  const outside = new Set<string>();
  for (const [index, group] of groups.entries()) {
    if (group.kind !== kind) continue;
    // Not all that have it are told: who is not cannot be said to have one of its own.
    if (group.tasks.length + (group.outside?.length ?? 0) < group.count && group.count > 256) return null;
    const id = `group ${index}`;
    for (const {pid, tid} of group.tasks) byTask.set(tid ?? pid, id);
    if (group.outside !== undefined && group.outside.length > 0) outside.add(id);
  }
  const isOwn = ({thread}: Node): boolean => thread?.apart?.objects?.some(object => object === kind) === true;
  const idOf: IdOf = node => {
    const {pid, tid} = node;
    const known = byTask.get(tid ?? pid);
    if (known !== undefined) return known;
    return tid === null || isOwn(node) ? `alone ${tid ?? pid}` : (byTask.get(pid) ?? `alone ${pid}`);
  };
  return {ids: [idOf], placeOf: id => (outside.has(id) ? 'outside' : 'own')};
}

/** Something of which only one snapshot tells, or neither. */
export type Untold = {readonly kind: Membership['of'] | 'place'; readonly what: string; readonly a: boolean; readonly b: boolean};

/** All kinds that both snapshots tell of, and the others. */
export function membershipsOf(a: Tree, b: Tree): {readonly memberships: readonly Membership[]; readonly untold: readonly Untold[]} {
  const memberships: Membership[] = [];
  const untold: Untold[] = [];
  for (const kind of NAMESPACES) {
    const children = 'childrenLink' in kind ? kind.childrenLink : null;
    const links = children === null ? [kind.link] : [kind.link, children];
    const ways = [`${kind.type} namespace`, `${kind.type} namespace of its children`].slice(0, links.length);
    memberships.push({
      of: 'namespace',
      kind: kind.type,
      ways,
      a: namespaceSide(a.snapshot, links),
      b: namespaceSide(b.snapshot, links),
    });
  }
  for (const {kind, what} of SHAREABLE) {
    const [one, other] = [sharingSide(a, kind), sharingSide(b, kind)];
    if (one === null || other === null) {
      const isFirst = untold.every(each => each.kind !== 'sharing' || each.a !== (one !== null) || each.b !== (other !== null));
      // Mostly none of them is told.
      if (isFirst) untold.push({kind: 'sharing', what: 'who shares file tables, memory and the like', a: one !== null, b: other !== null});
    } else memberships.push({of: 'sharing', kind, ways: [what], a: one, b: other});
  }
  const [one, other] = [hierarchiesOf(a), hierarchiesOf(b)];
  for (const name of new Set([...one, ...other])) {
    const what = name === 'v2' ? 'cgroup' : `cgroup of ${name}`;
    if (one.has(name) && other.has(name))
      memberships.push({of: 'cgroup', kind: name, ways: [what], a: cgroupSide(a, name), b: cgroupSide(b, name)});
    else untold.push({kind: 'cgroup', what, a: one.has(name), b: other.has(name)});
  }
  return {memberships, untold};
}

/** How a node stands to its parent and to the outside in each way, without any id. */
export function relationsOf(node: Node, memberships: readonly Membership[], which: 'a' | 'b'): string[] {
  const relations: string[] = [];
  for (const membership of memberships) {
    const {ids, placeOf} = membership[which];
    for (const idOf of ids) {
      const id = idOf(node);
      if (id === null || isRefusal(id)) relations.push(isRefusal(id) ? id.errno : '?');
      else if (id === NONE) relations.push(NONE);
      else relations.push(`${node.parent !== null && idOf(node.parent) === id ? '=' : '+'}${placeOf(id)}`);
    }
  }
  return relations;
}

type Apartness = {
  readonly pair: Pair;
  /** Which of the ways. */
  readonly way: string;
  readonly a: string;
  readonly b: string;
  /** The kernel refused one of them only. */
  readonly refused: boolean;
};

export type Divided = {
  readonly differences: readonly Apartness[];
  /** What each one of A is in B. */
  readonly partners: ReadonlyMap<string, string>;
  /** The first that is in it, by the id of A, for each that both have, and that lies on both sides in the tree, or outside of it. */
  readonly firsts: ReadonlyMap<string, Pair>;
  /** Facts that were compared, and that were refused on both sides. */
  readonly compared: number;
  readonly refused: ReadonlyMap<string, number>;
};

type Standing = {readonly pair: Pair; readonly way: number; readonly a: Seen<string> | null; readonly b: Seen<string> | null};

/** The same as above it on both sides: whatever is to be said of that has been said there. */
function inherits({ways, a, b}: Membership, {pair, way, a: idA, b: idB}: Standing): boolean {
  if (way > 0 && ways.length > 1 && a.ids[0]?.(pair.a) === idA && b.ids[0]?.(pair.b) === idB) return true;
  const {above} = pair;
  return above !== null && a.ids[way]?.(above.a) === idA && b.ids[way]?.(above.b) === idB;
}

/** In words; `first`: who was found in it first. */
function standing(node: Node, id: Seen<string>, above: Node | null, idOf: IdOf, place: Place, first: Node | undefined): string {
  if (isRefusal(id)) return `${id.during}: ${id.errno}`;
  if (id === NONE) return 'none yet';
  if (above !== null && idOf(above) === id) return node.tid === null ? 'shared with its parent' : 'that of its process';
  if (place === 'nsview') return 'that of nsview';
  if (place === 'outside') return 'shared with processes outside of the tree';
  return first === undefined || first === node ? 'its own' : `that of ${nodeName(first)}`;
}

/** Pairs up what the two sides have, so that the fewest stand otherwise, and tells who does. */
export function divide(membership: Membership, pairs: readonly Pair[]): Divided {
  const {ways, a, b} = membership;
  const standings: Standing[] = [];
  const refused = new Map<string, number>();
  const differences: Apartness[] = [];
  let compared = 0;
  const firstOf = {a: new Map<string, Node>(), b: new Map<string, Node>()};
  type Vote = {readonly a: string; readonly b: string; readonly order: number; count: number};
  const votes = new Map<string, Vote>();
  for (const pair of pairs)
    for (const way of ways.keys()) {
      const idA = a.ids[way]?.(pair.a) ?? null;
      const idB = b.ids[way]?.(pair.b) ?? null;
      if (idA === null || idB === null) continue;
      if (isRefusal(idA) && isRefusal(idB) && idA.errno === idB.errno) {
        const why = `${ways[way] ?? ''}: ${idA.during}: ${idA.errno}`;
        refused.set(why, (refused.get(why) ?? 0) + 1);
        continue;
      }
      compared++;
      const one: Standing = {pair, way, a: idA, b: idB};
      if (!isRefusal(idA) && !firstOf.a.has(idA)) firstOf.a.set(idA, pair.a);
      if (!isRefusal(idB) && !firstOf.b.has(idB)) firstOf.b.set(idB, pair.b);
      if (inherits(membership, one)) continue;
      standings.push(one);
      if (isRefusal(idA) || isRefusal(idB) || (idA === NONE) !== (idB === NONE)) continue;
      const key = `${idA}\0${idB}`;
      const vote = votes.get(key);
      if (vote === undefined) votes.set(key, {a: idA, b: idB, order: votes.size, count: 1});
      else vote.count++;
    }
  const weight = (vote: Vote) => (a.placeOf(vote.a) === b.placeOf(vote.b) ? (vote.a === vote.b ? 2 : 1) : 0);
  const partners = new Map<string, string>();
  const taken = new Set<string>();
  for (const vote of [...votes.values()].sort((x, y) => weight(y) - weight(x) || y.count - x.count || x.order - y.order)) {
    if (partners.has(vote.a) || taken.has(vote.b)) continue;
    partners.set(vote.a, vote.b);
    taken.add(vote.b);
  }
  const firsts = new Map<string, Pair>();
  const told = new Set<string>();
  for (const {pair, way, a: idA, b: idB} of standings) {
    if (idA === null || idB === null) continue;
    const isRefused = isRefusal(idA) || isRefusal(idB);
    if (!isRefused && partners.get(idA) === idB) {
      if (idA === NONE || a.placeOf(idA) === b.placeOf(idB)) {
        if (!firsts.has(idA)) firsts.set(idA, pair);
        continue;
      }
      if (told.has(idA)) continue;
      told.add(idA);
    }
    const words = (node: Node, id: Seen<string>, above: Node | null, side: Side, first: ReadonlyMap<string, Node>) => {
      const plain = isRefusal(id) ? undefined : id;
      const place = plain === undefined ? 'own' : side.placeOf(plain);
      return standing(node, id, above, side.ids[way] ?? (() => null), place, plain === undefined ? undefined : first.get(plain));
    };
    differences.push({
      pair,
      way: ways[way] ?? '',
      a: words(pair.a, idA, pair.above?.a ?? null, a, firstOf.a),
      b: words(pair.b, idB, pair.above?.b ?? null, b, firstOf.b),
      refused: isRefused,
    });
  }
  return {differences, partners, firsts, compared, refused};
}
