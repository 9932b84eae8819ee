// Knows how to read what a snapshot of a tree tells besides, so that two trees can be compared.

import {z} from 'zod';
import {isRefusal, type ProcessSeen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {Outside, TreeDetails} from '../model/tree-details.ts';
import {readMounts} from './mountinfo.ts';

export const treeDetailsSchema: z.ZodType<TreeDetails> = z.object({
  outside: z.object({
    namespaces: z.array(z.string()).describe('Namespaces of the tree that processes outside of it are in as well.'),
    cgroups: z.array(z.object({controllers: z.array(z.string()), path: z.string()})).describe('Cgroups of the tree, likewise.'),
    devices: z.array(z.string()).describe('Devices of the mounts that nsview sees itself.'),
    peerGroups: z.array(z.int()).describe('Peer groups of these mounts.'),
  }),
});

function inodesOf({namespaces}: ProcessSeen): string[] {
  return NAMESPACES.flatMap(({link}) => {
    const inode = namespaces[link];
    return isRefusal(inode) ? [] : [inode];
  });
}

function readOutside(all: readonly ProcessSeen[], tree: readonly ProcessSeen[]): Outside {
  const inside = new Set(tree.map(({pid}) => pid));
  const own = new Set(tree.flatMap(inodesOf));
  const namespaces = new Set<string>();
  const lines = new Set<string>(
    tree.flatMap(({cgroup}) => (isRefusal(cgroup) ? [] : cgroup.map(({hierarchy, path}) => `${hierarchy}:${path}`))),
  );
  const cgroups = new Map<string, Outside['cgroups'][number]>();
  for (const process of all) {
    if (inside.has(process.pid)) continue;
    for (const inode of inodesOf(process)) if (own.has(inode)) namespaces.add(inode);
    for (const {hierarchy, controllers, path} of isRefusal(process.cgroup) ? [] : process.cgroup) {
      const key = `${hierarchy}:${path}`;
      if (lines.has(key) && !cgroups.has(key)) cgroups.set(key, {controllers, path});
    }
  }
  const mounts = readMounts('self');
  const table = isRefusal(mounts) ? [] : mounts;
  const groups = table.flatMap(({propagation: {shared, master}}) => [shared ?? [], master ?? []].flat());
  return {
    namespaces: [...namespaces],
    cgroups: [...cgroups.values()],
    devices: [...new Set(table.map(({device}) => device))],
    peerGroups: [...new Set(groups)],
  };
}

/** `tree`: of all processes those that are told of. */
export function readTreeDetails(all: readonly ProcessSeen[], tree: readonly ProcessSeen[]): TreeDetails {
  return {outside: readOutside(all, tree)};
}
