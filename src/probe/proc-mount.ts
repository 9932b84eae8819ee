// Knows whether /proc tells of the processes that nsview's own system calls name.

import {existsSync} from 'node:fs';
import {isRefusal} from '../model/fact.ts';
import {readLink} from './proc-file.ts';

/**
 * What is wrong with /proc, or null. A proc mount has the pids of the namespace of whoever mounted it (proc(5), pid_namespaces(7)): after
 * `unshare --pid --fork` without --mount-proc it is the old one, where the pids that ptrace(2) and clone(2) use are other processes'.
 */
export function procProblem(): {readonly means: string; readonly remedy: string} | null {
  const self = readLink('/proc/self');
  if (self === String(process.pid)) return null;
  if (!isRefusal(self))
    return {
      means: `/proc is of another pid namespace, in which nsview is process ${self}, not ${process.pid}: it would show other processes than it follows`,
      remedy: 'mount -t proc proc /proc in a mount namespace of its own, or unshare --mount-proc, or run nsview outside',
    };
  // It shows nobody who has no pid in its namespace (fs/proc/self.c).
  if (existsSync('/proc/version'))
    return {
      means: `/proc is of a pid namespace that nsview is not in (${self.during} /proc/self: ${self.errno})`,
      remedy: 'nsenter --pid --mount --target PID, or mount -t proc proc /proc in a mount namespace of its own',
    };
  return {means: `/proc is not mounted (${self.during} /proc/self: ${self.errno})`, remedy: 'mount -t proc proc /proc'};
}
