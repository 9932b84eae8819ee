// Knows cgroups: where their hierarchies are mounted, and what their directories say (cgroups(7)).

import {existsSync} from 'node:fs';
import {type CgroupLevel, effectiveLimit, isOutsidePath, resourcesOf} from '../model/cgroup-limit.ts';
import type {CgroupFact, CgroupPath, Mount, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {hasMoreAbove, isFreezing, levelsAbove, readLevel, readType} from './cgroup-files.ts';
import {readMounts} from './mountinfo.ts';
import {readText} from './proc-file.ts';

/** Pids or tids, one a line; 0 stands for a process that the reader's pid namespace does not show. */
export function decodeProcs(text: string): number[] {
  return text
    .split('\n')
    .filter(line => /^[0-9]+$/.test(line))
    .map(Number);
}

/** `name value` lines: cgroup.events. */
export function decodeFlatKeyed(text: string): {[name: string]: number} {
  const values: {[name: string]: number} = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^(\S+) ([0-9]+)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values[name] = Number(value);
  }
  return values;
}

/** The mount that shows a hierarchy: cgroup2, or the v1 mount with that controller or that name. */
function hierarchyMount(cgroup: CgroupPath, mounts: readonly Mount[]): Mount | undefined {
  if (cgroup.controllers.length === 0) return mounts.find(mount => mount.fsType === 'cgroup2');
  return mounts.find(mount => mount.fsType === 'cgroup' && cgroup.controllers.every(controller => mount.superOptions.includes(controller)));
}

/** Where nsview finds a cgroup's directory. A bind mount may show only a part of the hierarchy, below `root`. */
export function cgroupDirectory(cgroup: CgroupPath, mounts: readonly Mount[]): Seen<string> {
  const mount = hierarchyMount(cgroup, mounts);
  if (mount === undefined) return {errno: 'ENOENT', during: 'find mount'};
  const root = mount.root === '/' ? '' : mount.root;
  // Paths that begin with /.. lie outside of nsview's cgroup namespace, and so outside of what this mount shows.
  if (isOutsidePath(cgroup.path) || !(`${cgroup.path}/`.startsWith(`${root}/`) || cgroup.path === root))
    return {errno: 'ENOENT', during: 'find cgroup below its mount'};
  const below = cgroup.path.slice(root.length);
  return `${mount.point}${below === '/' ? '' : below}`;
}

/** What it and each cgroup above says, itself first.  */
function readLevels(cgroup: CgroupPath, directory: string, mounts: readonly Mount[]): CgroupLevel[] {
  const point = hierarchyMount(cgroup, mounts)?.point ?? directory;
  const version = cgroup.controllers.length === 0 ? 2 : 1;
  const levels = levelsAbove(directory, cgroup.path, point).map(
    (level, index, all): CgroupLevel => ({
      ...readLevel(level.directory, level.path, version, true),
      ...(index === all.length - 1 && hasMoreAbove(level.directory, version) ? {cut: true} : {}),
    }),
  );
  const isTold = levels.some(({frozen}) => frozen === true);
  return levels.map((level, index) => (index === 0 && isTold && isFreezing(directory, version) ? {...level, freezing: true} : level));
}

/** What limits a cgroup, by resource, and which cgroup above it sets that. Cgroups that have one above in common read it once. */
export function createLimits(): (cgroup: CgroupPath) => {[resource: string]: {limit: string; use?: string; by: string}} {
  const mounts = readMounts('self');
  const known = new Map<string, CgroupLevel>();
  return cgroup => {
    const limits: {[resource: string]: {limit: string; use?: string; by: string}} = {};
    const directory = isRefusal(mounts) ? mounts : cgroupDirectory(cgroup, mounts);
    if (isRefusal(mounts) || isRefusal(directory)) return limits;
    const point = hierarchyMount(cgroup, mounts)?.point ?? directory;
    const levels = levelsAbove(directory, cgroup.path, point).map(one => {
      let level = known.get(one.directory);
      if (level === undefined) {
        level = readLevel(one.directory, one.path, cgroup.controllers.length === 0 ? 2 : 1, false);
        known.set(one.directory, level);
      }
      return level;
    });
    for (const resource of resourcesOf(levels)) {
      const found = effectiveLimit(levels, resource);
      if (found === null) continue;
      limits[resource] = {limit: String(found.limit), ...(found.use === null ? {} : {use: String(found.use)}), by: found.path};
    }
    return limits;
  };
}

/** Of a zombie whose cgroup of v2 was removed since, its last path with that behind it (cgroups(7)). A cgroup may be named so, too. */
const isRemoved = ({hierarchy, path}: CgroupPath, directory: string): boolean =>
  hierarchy === 0 && path.endsWith(' (deleted)') && !existsSync(directory);

export function readCgroups(paths: readonly CgroupPath[]): CgroupFact[] {
  const mounts = readMounts('self');
  return paths.map(cgroup => {
    const found = isRefusal(mounts) ? mounts : cgroupDirectory(cgroup, mounts);
    const directory = isRefusal(found) || !isRemoved(cgroup, found) ? found : {errno: 'ENOENT', during: 'find cgroup: it was removed'};
    // A threaded one has no processes, but threads of them.
    const list = isRefusal(directory) || readType(directory) !== 'threaded' ? 'cgroup.procs' : 'cgroup.threads';
    const procs = isRefusal(directory) ? directory : readText(`${directory}/${list}`);
    const events = isRefusal(directory) || cgroup.controllers.length > 0 ? null : readText(`${directory}/cgroup.events`);
    return {
      kind: 'cgroup',
      at: String(process.hrtime.bigint()),
      hierarchy: cgroup.hierarchy,
      controllers: cgroup.controllers,
      path: cgroup.path,
      directory,
      ...(isRefusal(directory) ? {} : {levels: readLevels(cgroup, directory, isRefusal(mounts) ? [] : mounts)}),
      members: isRefusal(procs) ? procs : decodeProcs(procs),
      // The root cgroup has no cgroup.events.
      ...(events === null || isRefusal(events) ? {} : {events: decodeFlatKeyed(events)}),
    };
  });
}
