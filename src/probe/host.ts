// Knows the machine that nsview runs on.

import os from 'node:os';
import type {Host, Mount} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {readLastCapability} from './last-capability.ts';
import {readMounts} from './mountinfo.ts';
import {readBytes} from './proc-file.ts';
import {readNamespaceLinks, readStatus} from './process.ts';

/** AT_CLKTCK of the auxiliary vector (getauxval(3)): clock ticks a second of every start time in /proc. 100 where it is hidden. */
export function decodeClockTicks(auxv: Buffer): number {
  const AT_CLKTCK = 17n;
  for (let at = 0; at + 16 <= auxv.length; at += 16)
    if (auxv.readBigUInt64LE(at) === AT_CLKTCK) return Number(auxv.readBigUInt64LE(at + 8));
  return 100;
}

/** Which cgroups are mounted where nsview sees them: v1 hierarchies, the unified one, or both. */
function cgroupFlavour(mounts: readonly Mount[]): Host['cgroups'] {
  const one = mounts.some(mount => mount.fsType === 'cgroup');
  const two = mounts.some(mount => mount.fsType === 'cgroup2');
  return one ? (two ? 'hybrid' : 'v1') : two ? 'v2' : 'none';
}

export function readHost(): Host {
  const mounts = readMounts('self');
  const auxv = readBytes('/proc/self/auxv');
  const status = readStatus(process.pid);
  return {
    hostname: os.hostname(),
    kernel: os.release(),
    machine: os.machine(),
    clockTicks: isRefusal(auxv) ? 100 : decodeClockTicks(auxv),
    euid: process.geteuid?.() ?? 0,
    capabilities: isRefusal(status) ? '0' : status.capabilities,
    lastCapability: readLastCapability(),
    cgroups: isRefusal(mounts) ? 'none' : cgroupFlavour(mounts),
    namespaces: readNamespaceLinks('/proc/self'),
  };
}
