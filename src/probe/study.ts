// Knows how to read one process in depth, for whoever looks at it.

import {isRefusal, type StudyFact, type StudyKind} from '../model/fact.ts';
import {readCgroupView} from './cgroup-view.ts';
import {readIdentity} from './identity.ts';
import {studyMountHolders} from './mount-holders.ts';
import {readNetwork} from './network.ts';
import {readOwnership} from './ownership.ts';
import {readStat, readStatus} from './process.ts';
import {readSharing} from './sharing.ts';

/** `mount`: for `mountHolders`, the id of the mount. */
export type Study = {readonly kind: StudyKind; readonly pid: number; readonly start: string; readonly mount?: number};

/** Milliseconds between two readings of what is on the screen. */
export const STUDY_EVERY: {readonly [kind in StudyKind]: number} = {
  ownership: 2000,
  identity: 500,
  network: 1000,
  sharing: 1000,
  cgroupView: 1000,
  mountHolders: 500,
};

const READERS: {readonly [kind in StudyKind]: (pid: number, mount: number) => StudyFact['seen']} = {
  ownership: readOwnership,
  identity: readIdentity,
  network: readNetwork,
  sharing: readSharing,
  cgroupView: readCgroupView,
  mountHolders: studyMountHolders,
};

function startOf(pid: number): string | null {
  const stat = readStat(pid);
  return isRefusal(stat) ? null : stat.start;
}

/** A thread goes by the start time of its process. */
function startOfLeader(tid: number): string | null {
  const status = readStatus(tid);
  return isRefusal(status) || status.tgid === tid ? null : startOf(status.tgid);
}

/** null where the process is no longer there: a pid is nobody without its start time. */
export function readStudy({kind, pid, start, mount}: Study): StudyFact | null {
  const at = String(process.hrtime.bigint());
  const seen = READERS[kind](pid, mount ?? 0);
  if (start === '' ? startOf(pid) === null : startOf(pid) !== start && startOfLeader(pid) !== start) return null;
  return {kind, at, pid, start, ...(kind === 'mountHolders' ? {mount: mount ?? 0} : {}), seen} as StudyFact;
}
