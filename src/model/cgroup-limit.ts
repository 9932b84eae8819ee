// Knows what limits a cgroup: the shape of what each cgroup up to the root says, and which of them decides.

import {printable} from './printable.ts';
import type {Seen} from './seen.ts';

/**
 * What is limited, in which unit: memory, swap, memory+swap and hugetlb, taken or (`rsvd`) promised, in bytes, pids in tasks, cpu in thousandths of one CPU, cgroups those
 * below. cpuset and io have `text` instead of a limit.
 */
export type CgroupResource = {
  readonly resource: string;
  /** A decimal number; null where there is none at this cgroup. */
  readonly limit: string | null;
  /** Where the kernel begins to slow it down and to reclaim, short of the limit: memory.high. */
  readonly soft?: string;
  /** Above that it is among the first to be reclaimed from, but only where the machine is short of memory: memory.soft_limit_in_bytes. */
  readonly first?: string;
  /** memory.min: so much is not reclaimed; and memory.low: only where nothing else can be. Absent where it is 0. */
  readonly min?: string;
  readonly low?: string;
  /** memory.oom.group: where one of its processes is killed for memory, all are. */
  readonly oomGroup?: true;
  /** Of cpu and io what was used a second between the last two readings: io in bytes read and written. */
  readonly use?: string;
  /** Counted since the cgroup exists, to tell `use` from: cpu in µs of CPU time, io in bytes read and written. */
  readonly total?: string;
  readonly peak?: string;
  /** Share among siblings: cpu.weight, cpu.shares. */
  readonly weight?: string;
  readonly text?: string;
  /** It is only counted here, as in every cgroup: the controller that limits it is not enabled, or is in another hierarchy. */
  readonly uncontrolled?: true;
  /** Lines of memory.events, pids.events, cpu.stat and the like, as the kernel names them. */
  readonly events?: {readonly [name: string]: number};
  /** What the same events counted of cgroups below it, where `events` are its own alone (v2, the files `.local`). */
  readonly eventsBelow?: {readonly [name: string]: number};
  /** Of `cgroups`: how many levels of them there may be below. */
  readonly depth?: string;
  /** Percent of the last ten seconds in which some, and all, of its tasks waited for it (PSI). */
  readonly pressure?: {readonly some: number; readonly full?: number};
};

/** Owner and mode of a file. */
export type CgroupWriter = {readonly uid: number; readonly gid: number; readonly mode: string};

/** One cgroup on the way from where a process is up to the root of its hierarchy, as far as it is mounted. */
export type CgroupLevel = {
  readonly path: string;
  readonly resources: readonly CgroupResource[];
  /** It is what was told to freeze: not one above it. */
  readonly frozen?: boolean;
  /** It or one above was told to freeze, and not all of its tasks have stopped: who is inside of a system call may take long to. */
  readonly freezing?: true;
  /** cgroup.type, where it is not `domain`: `threaded`, `domain threaded`, `domain invalid` (v2). */
  readonly type?: string;
  /** There are cgroups above it that nsview cannot see, outside of its cgroup namespace or of what is mounted: they limit it as well. */
  readonly cut?: true;
  /** Owner and mode of cgroup.procs: who may move processes in, and with `0644` none but the owner. */
  readonly writer: Seen<CgroupWriter>;
  /** Of the file by which single threads are moved in, where they differ: `tasks` in v1, cgroup.threads of what is threaded in v2. */
  readonly threadWriter?: Seen<CgroupWriter>;
};

/** `v2`, or the controllers or the name of a hierarchy of v1. */
export const hierarchyName = ({hierarchy, controllers}: {readonly hierarchy: number; readonly controllers: readonly string[]}): string =>
  hierarchy === 0 ? 'v2' : printable(controllers.join(',')) || `v1:${hierarchy}`;

/** The path of what is outside of the cgroup namespace that it is told in (cgroup_namespaces(7)), not of a cgroup whose name begins with dots. */
export const isOutsidePath = (path: string): boolean => path === '/..' || path.startsWith('/../');

export type EffectiveLimit = {
  readonly limit: bigint;
  readonly use: bigint | null;
  readonly path: string;
  /** Where less room is left than at `path`, though its limit is higher: others use it too. */
  readonly tighter?: {readonly limit: bigint; readonly use: bigint; readonly path: string};
};

const numberOf = (text: string | null | undefined): bigint | null => (text == null ? null : BigInt(text));

/**
 * The lowest limit on the way up binds: a cgroup may use what the lowest of all above it leaves (cgroups(7), "Resource Distribution Models").
 * Of equal ones the outermost, which is used by most. `levels` begin with the cgroup itself. null: nothing limits it.
 */
export function effectiveLimit(levels: readonly CgroupLevel[], resource: string): EffectiveLimit | null {
  type Found = {limit: bigint; use: bigint | null; path: string};
  let lowest: Found | null = null;
  let tightest: {limit: bigint; use: bigint; path: string} | null = null;
  for (const {path, resources} of levels) {
    const one = resources.find(other => other.resource === resource);
    const limit = numberOf(one?.limit);
    if (limit === null) continue;
    const use = numberOf(one?.use);
    if (lowest === null || limit <= lowest.limit) lowest = {limit, use, path};
    if (use !== null && (tightest === null || limit - use < tightest.limit - tightest.use)) tightest = {limit, use, path};
  }
  if (lowest === null) return null;
  const hidden =
    tightest !== null && lowest.use !== null && tightest.path !== lowest.path && tightest.limit - tightest.use < lowest.limit - lowest.use;
  return hidden && tightest !== null ? {...lowest, tighter: tightest} : lowest;
}

/** Where it begins, of what holds for all below: the lowest on the way up, of equal ones the outermost. null: nowhere. */
export function lowestOf(
  levels: readonly CgroupLevel[],
  resource: string,
  of: 'soft' | 'first',
): {readonly at: bigint; readonly path: string} | null {
  let lowest: {at: bigint; path: string} | null = null;
  for (const {path, resources} of levels) {
    const at = numberOf(resources.find(one => one.resource === resource)?.[of]);
    if (at !== null && (lowest === null || at <= lowest.at)) lowest = {at, path};
  }
  return lowest;
}

/**
 * How many levels of cgroups can be made below the one that `levels` begin with, and who sets that: each above counts from itself
 * (kernel/cgroup/cgroup.c, cgroup_check_hierarchy_limits). null: nobody does.
 */
export function depthLeft(levels: readonly CgroupLevel[]): {readonly left: bigint; readonly path: string} | null {
  let least: {left: bigint; path: string} | null = null;
  for (const [index, {path, resources}] of levels.entries()) {
    const depth = numberOf(resources.find(({resource}) => resource === 'cgroups')?.depth);
    if (depth === null) continue;
    const left = depth > BigInt(index) ? depth - BigInt(index) : 0n;
    if (least === null || left <= least.left) least = {left, path};
  }
  return least;
}

/**
 * What is protected of the memory of the cgroup that `levels` begin with: not more than any above protects, but for the root, which all are in
 * (cgroup-v2.rst, "memory.min"). null: it asks for nothing.
 */
export function protectionOf(
  levels: readonly CgroupLevel[],
  of: 'min' | 'low',
): {readonly asked: bigint; readonly at: bigint; readonly path: string} | null {
  const askedBy = ({resources}: CgroupLevel) => numberOf(resources.find(one => one.resource === 'memory')?.[of]);
  const [own, ...above] = levels;
  const asked = own === undefined ? null : askedBy(own);
  if (own === undefined || asked === null) return null;
  let lowest = {at: asked, path: own.path};
  for (const level of above) {
    if (level.path === '/' && level.cut === undefined) continue;
    const at = askedBy(level) ?? 0n;
    if (at < lowest.at) lowest = {at, path: level.path};
  }
  return {asked, ...lowest};
}

/** Nanoseconds. Two readings closer than that tell little: the counters of io move by whole requests. */
const LEAST_BETWEEN = 200_000_000;

type Reading = {readonly at: string; readonly levels?: readonly CgroupLevel[]};

/** A reading in which `use` of what is only counted is told from the reading before it. */
export function withRates<Fact extends Reading>(fact: Fact, before: Reading | undefined): Fact {
  const passed = before === undefined ? 0 : Number(BigInt(fact.at) - BigInt(before.at));
  if (fact.levels === undefined || before?.levels === undefined || passed < LEAST_BETWEEN) return fact;
  const was = new Map(before.levels.flatMap(({path, resources}) => resources.map(one => [`${path}\0${one.resource}`, one.total] as const)));
  const levels = fact.levels.map(level => ({
    ...level,
    resources: level.resources.map(one => {
      const [now, then] = [numberOf(one.total), numberOf(was.get(`${level.path}\0${one.resource}`))];
      // A cgroup that was removed and made again counts from 0.
      if (now === null || then === null || now < then) return one;
      // µs of CPU time a second are thousandths of a CPU times 1000.
      const perSecond = (Number(now - then) / passed) * 1e9;
      return {...one, use: String(Math.round(one.resource === 'cpu' ? perSecond / 1000 : perSecond))};
    }),
  }));
  return {...fact, levels};
}

/** Whether anything could limit it: else it says nothing that there is no limit. */
export const isControlled = (levels: readonly CgroupLevel[], resource: string): boolean =>
  levels.some(({resources}) => resources.some(one => one.resource === resource && one.uncontrolled !== true));

/** Not all that may limit it is seen. */
export const isCut = (levels: readonly CgroupLevel[]): boolean => levels.at(-1)?.cut === true;

/** All that any of the levels speaks of, in their order. */
export const resourcesOf = (levels: readonly CgroupLevel[]): string[] => [
  ...new Set(levels.flatMap(level => level.resources.map(({resource}) => resource))),
];
