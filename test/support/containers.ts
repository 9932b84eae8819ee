// Knows which containers nsview finds on this machine.

import {isRefusal, type SnapshotContainer} from '../../src/model/fact.ts';
import {readNumbers} from '../../src/probe/proc-file.ts';
import {readProcess} from '../../src/probe/process.ts';
import {containersOf} from '../../src/probe/snapshot.ts';

/** As of the state below `base`. */
export function readContainersOf(base: string): SnapshotContainer[] {
  const pids = readNumbers('/proc');
  const all = (isRefusal(pids) ? [] : pids).flatMap(pid => {
    const process = readProcess(pid);
    return isRefusal(process) ? [] : [process];
  });
  return containersOf(all, all, base);
}

export const holding = (containers: readonly SnapshotContainer[], pid: number) =>
  containers.filter(({processes}) => processes.includes(pid));
