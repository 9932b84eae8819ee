// Knows how to find the memory that processes of a tree have mapped shared with each other, or with the rest of the machine.

import * as z from 'zod';
import {isRefusal, type ProcessSeen} from '../model/fact.ts';
import type {MemoryGroup, MemoryHolder, TreeMemory} from '../model/sharing.ts';
import {isGone} from './proc-file.ts';
import {isOfDevice, isSameSegment, type Mapping, readSharedMaps} from './shared-memory.ts';

/** Processes of the tree, and others, whose maps are read; holders that are told of one. */
const MOST = {own: 1024, others: 2048, told: 256, outside: 8};

const holder = z.object({pid: z.int(), writes: z.boolean()});
export const treeMemorySchema: z.ZodType<TreeMemory> = z.object({
  groups: z.array(
    z.object({
      path: z.string(),
      processes: z.array(holder).describe('Of the tree.'),
      outside: z.array(holder).exactOptional().describe('Processes outside of the tree.'),
    }),
  ),
  refused: z.int().describe('Processes of the tree whose maps the kernel did not tell.'),
  refusedOutside: z.int(),
  left: z.int().describe('Processes whose maps were not read.'),
});

/** What has no other name may be any of it: only those who were born with it, or were given it, have it. */
const isMemory = (path: string): boolean => /^\/(memfd:|SYSV|anon_hugepage|dev\/shm\/|dev\/zero \(deleted\)$)/.test(path);

type Read = {readonly process: ProcessSeen; readonly folder: string; readonly maps: ReadonlyMap<string, Mapping>};

function readMaps(processes: readonly ProcessSeen[], wanted: ReadonlySet<string> | null): {found: Read[]; refused: number} {
  const found: Read[] = [];
  let refused = 0;
  for (const process of processes) {
    const read = readSharedMaps(process.pid);
    if (isRefusal(read)) {
      if (!isGone(read)) refused++;
      continue;
    }
    const maps = new Map([...read.maps].filter(([key, {path}]) => wanted?.has(key) ?? path.startsWith('/')));
    if (maps.size > 0) found.push({process, folder: read.folder, maps});
  }
  return {found, refused};
}

type Held = {readonly process: ProcessSeen; readonly folder: string; readonly mapping: Mapping; readonly isOutside: boolean};

/** Two segments may have one id and one key, in different ipc namespaces. */
function segmentsOf(held: readonly Held[]): Held[][] {
  const segments: Held[][] = [];
  for (const one of held) {
    const known = segments.find(([first]) => {
      if (first === undefined) return false;
      const sameSpace = first.process.namespaces.ipc === one.process.namespaces.ipc;
      return isSameSegment(first.folder, first.mapping, one.folder, one.mapping, sameSpace);
    });
    if (known === undefined) segments.push([one]);
    else known.push(one);
  }
  return segments;
}

const holderOf = ({process: {pid}, mapping: {writes}}: Held): MemoryHolder => ({pid, writes});

function groupOf(held: readonly Held[]): MemoryGroup[] {
  const own = held.filter(({isOutside}) => !isOutside);
  const outside = held.filter(({isOutside}) => isOutside);
  const [first] = own;
  if (first === undefined || held.length < 2) return [];
  const {path} = first.mapping;
  if (isOfDevice(first.folder, first.mapping)) return [];
  // A file that all only read is read by whoever happens to use the same library.
  if (!isMemory(path) && !held.some(({mapping}) => mapping.writes)) return [];
  return [
    {
      path,
      processes: own.slice(0, MOST.told).map(holderOf),
      ...(outside.length > 0 ? {outside: outside.slice(0, MOST.outside).map(holderOf)} : {}),
    },
  ];
}

/** `others`: living processes outside of the tree, whose maps are read only where the tree maps anything shared. */
export function readTreeMemory(tree: readonly ProcessSeen[], others: readonly ProcessSeen[]): TreeMemory {
  const own = readMaps(tree.slice(0, MOST.own), null);
  const keys = new Set(own.found.flatMap(({maps}) => [...maps.keys()]));
  const outside = keys.size === 0 ? {found: [], refused: 0} : readMaps(others.slice(0, MOST.others), keys);
  const held = new Map<string, Held[]>();
  for (const [found, isOutside] of [
    [own.found, false],
    [outside.found, true],
  ] as const)
    for (const {process, folder, maps} of found)
      for (const [key, mapping] of maps) {
        const list = held.get(key);
        if (list === undefined) held.set(key, [{process, folder, mapping, isOutside}]);
        else list.push({process, folder, mapping, isOutside});
      }
  const groups = [...held.values()].flatMap(list =>
    list[0]?.mapping.path.startsWith('/SYSV') === true ? segmentsOf(list).flatMap(groupOf) : groupOf(list),
  );
  const leftOutside = keys.size === 0 ? 0 : Math.max(0, others.length - MOST.others);
  return {groups, refused: own.refused, refusedOutside: outside.refused, left: Math.max(0, tree.length - MOST.own) + leftOutside};
}
