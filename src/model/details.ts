// Knows the tabs that say what one process is isolated in: which there are, and what each has to have read for it.

import {cgroupDetails} from './cgroup-details.ts';
import {type Details, fixed, type Look, said} from './details-parts.ts';
import {type CgroupPath, isRefusal, type StudyKind} from './fact.ts';
import {identityDetails} from './identity-details.ts';
import {comparedWith} from './identity-lines.ts';
import {mountDetails} from './mount-details.ts';
import {otherSpaces} from './mounts.ts';
import {namespaceDetails} from './namespace-details.ts';
import {networkDetails} from './network-details.ts';
import type {Process} from './process.ts';
import {sharingDetails} from './sharing-details.ts';
import {spaceAbove} from './tree.ts';
import type {World} from './world.ts';

export type Tab = 'namespaces' | 'mounts' | 'cgroup' | 'identity' | 'network' | 'sharing';

export const TABS: readonly {readonly tab: Tab; readonly key: string; readonly title: string; readonly short: string}[] = [
  {tab: 'namespaces', key: '1', title: 'Namespaces', short: 'Ns'},
  {tab: 'mounts', key: '2', title: 'Mounts', short: 'Mnt'},
  {tab: 'cgroup', key: '3', title: 'Cgroup', short: 'Cgrp'},
  {tab: 'identity', key: '4', title: 'Identity', short: 'Id'},
  {tab: 'network', key: '5', title: 'Network', short: 'Net'},
  {tab: 'sharing', key: '6', title: 'Sharing', short: 'Shr'},
];

export function detailsOf(world: World, process: Process | null, tab: Tab, look: Look): Details {
  if (process === null) return fixed([], said('No process is selected. Its details will stand here.', look.width));
  switch (tab) {
    case 'namespaces':
      return namespaceDetails(world, process, look);
    case 'mounts':
      return mountDetails(world, process, look);
    case 'cgroup':
      return cgroupDetails(world, process, look);
    case 'identity':
      return identityDetails(world, process, look);
    case 'network':
      return networkDetails(world, process, look);
    case 'sharing':
      return sharingDetails(world, process, look);
    default:
      return tab satisfies never;
  }
}

/** Which studies of the process a tab shows. */
const STUDIES: {readonly [tab in Tab]: readonly StudyKind[]} = {
  namespaces: ['ownership'],
  mounts: [],
  cgroup: ['cgroupView'],
  identity: ['identity'],
  network: ['network'],
  sharing: ['sharing'],
};

export type Wanted = {
  /** Mount namespaces, each with a process that is in it; null: nsview itself. */
  readonly mounts: readonly {readonly inode: string; readonly pid: number | null}[];
  readonly cgroups: readonly CgroupPath[];
  readonly studies: readonly {readonly kind: StudyKind; readonly pid: number; readonly start: string; readonly mount?: number}[];
};

/** What has to be read so that this tab can tell all. */
export function wantedDetails(world: World, process: Process | null, tab: Tab, pinned: number | null = null): Wanted {
  if (process === null || process.end !== null) return {mounts: [], cgroups: [], studies: []};
  const mounts: {inode: string; pid: number | null}[] = [];
  const space = process.spaces.mnt ?? null;
  if ((tab === 'mounts' || tab === 'namespaces') && space !== null) {
    mounts.push({inode: space.inode, pid: process.pid});
    const above = spaceAbove(world, process, 'mnt');
    // Where a mount made here appears, and what differs, stands in the tables of the others.
    if (tab === 'mounts') for (const {space: other, pid} of otherSpaces(world, process).read) mounts.push({inode: other.inode, pid});
    // Its maker's table, to tell how many mounts differ.
    if (tab === 'namespaces' && above !== null && above !== space && process.maker !== null && process.maker.end === null)
      mounts.push({inode: above.inode, pid: process.maker.pid});
  }
  const cgroups = tab === 'cgroup' && process.cgroup !== null && !isRefusal(process.cgroup) ? process.cgroup : [];
  const studies: Wanted['studies'][number][] = STUDIES[tab].map(kind => ({kind, pid: process.pid, start: process.start}));
  if (pinned !== null) studies.push({kind: 'mountHolders', pid: process.pid, start: process.start, mount: pinned});
  // To tell what differs from whoever made it.
  const beside = tab === 'identity' ? comparedWith(world, process) : null;
  if (beside !== null) studies.push({kind: 'identity', pid: beside.pid, start: beside.start});
  return {mounts, cgroups, studies};
}
