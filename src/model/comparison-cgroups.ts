// Knows whether two cgroups that stand for each other lie alike below their trees and limit alike.

import type {CgroupPath, Snapshot, SnapshotCgroup} from './fact.ts';

export type CgroupDifference = {readonly what: string; readonly a: string; readonly b: string};
type Same = (a: string, b: string) => boolean;

/** The way from one cgroup to another, as `../other`; `.` where they are the same. */
function relativePath(from: string, to: string): string {
  const [one, other] = [from, to].map(path => path.split('/').filter(part => part !== ''));
  let common = 0;
  while (one?.[common] !== undefined && one[common] === other?.[common]) common++;
  const up = (one ?? []).slice(common).map(() => '..');
  return [...up, ...(other ?? []).slice(common)].join('/') || '.';
}

/** Of one hierarchy: what each cgroup has, and where the root of the tree is. */
type Side = {readonly byPath: ReadonlyMap<string, SnapshotCgroup>; readonly base: string};

/** `root`: the cgroups of the root of the tree. */
export function cgroupSide({cgroups}: Snapshot, root: readonly CgroupPath[], is: (controllers: readonly string[]) => boolean): Side {
  return {
    byPath: new Map(cgroups.flatMap(cgroup => (is(cgroup.controllers) ? [[cgroup.path, cgroup] as const] : []))),
    base: root.find(({controllers}) => is(controllers))?.path ?? '/',
  };
}

/** What limits one and not the other, resource by resource. */
function limitsDiffer(a: Side, b: Side, one: string, other: string, same: Same): CgroupDifference[] {
  const [inA, inB] = [a.byPath.get(one)?.limits ?? {}, b.byPath.get(other)?.limits ?? {}];
  const differences: CgroupDifference[] = [];
  for (const resource of new Set([...Object.keys(inA), ...Object.keys(inB)])) {
    const [x, y] = [inA[resource], inB[resource]];
    if (x?.limit === y?.limit) continue;
    differences.push({what: `limit of ${resource}`, a: x?.limit ?? 'none', b: y?.limit ?? 'none'});
  }
  const by = (side: Side, limits: typeof inA) =>
    Object.entries(limits).map(([resource, limit]) => ({resource, path: relativePath(side.base, limit.by)}));
  if (differences.length === 0)
    for (const {resource, path} of by(a, inA)) {
      const match = by(b, inB).find(each => each.resource === resource);
      if (match !== undefined && !same(path, match.path))
        differences.push({what: `cgroup that limits ${resource}`, a: path, b: match.path});
    }
  return differences;
}

export function compareCgroups(a: Side, b: Side, one: string, other: string, same: Same): CgroupDifference[] {
  const [x, y] = [relativePath(a.base, one), relativePath(b.base, other)];
  return [
    ...(same(x, y) ? [] : [{what: 'cgroup, from that of the root of the tree', a: x, b: y}]),
    ...limitsDiffer(a, b, one, other, same),
  ];
}
