// Knows where to look for what a launch depends on: nsview's own ids and capabilities, where cgroup v2 is, and what may refuse.

import {isRefusal, type Mount} from '../model/fact.ts';
import {type LaunchOptions, type LaunchPlace, type LaunchPlan, makeLaunchPlan} from '../model/launch-plan.ts';
import {explainLaunchRefusal, type LaunchEvidence} from '../model/launch-refusal.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {Explanation} from '../model/refusal.ts';
import {readMounts} from './mountinfo.ts';
import {readText} from './proc-file.ts';
import {readStatus} from './process.ts';
import {readYamaScope} from './ptrace-evidence.ts';

/** Bit 6 (include/uapi/linux/capability.h). */
const CAP_SETGID = 1n << 6n;

function readCapabilities(): bigint {
  const own = readStatus(process.pid);
  return !isRefusal(own) && /^[0-9a-f]+$/.test(own.capabilities) ? BigInt(`0x${own.capabilities}`) : 0n;
}

const ids = () => ({euid: process.geteuid?.() ?? 0, egid: process.getegid?.() ?? 0});

function readNumber(path: string): number | null {
  const text = readText(path);
  return isRefusal(text) ? null : Number(text);
}

function readPlace(): LaunchPlace {
  const mounts = readMounts('self');
  return {
    ...ids(),
    maySetGroups: (readCapabilities() & CAP_SETGID) !== 0n,
    cgroupMounts: isRefusal(mounts) ? [] : mounts.filter(mount => mount.fsType === 'cgroup2').map(mount => mount.point),
  };
}

/** Directories that the kernel keeps empty for others to mount on (register_sysctl_mount_point(), proc_create_mount_point()). */
const EMPTY_FOR_GOOD: ReadonlySet<string> = new Set(['/proc/sys/fs/binfmt_misc', '/proc/fs/nfsd', '/proc/openprom', '/proc/xen']);

function findProc(mounts: readonly Mount[]): LaunchEvidence['proc'] {
  const proc = mounts.findLast(({point, fsType, root}) => point === '/proc' && fsType === 'proc' && root === '/');
  if (proc === undefined) return null;
  const over = mounts.filter(({parent, point}) => parent === proc.id && !EMPTY_FOR_GOOD.has(point));
  return {coveredBy: over.map(({point}) => point), options: [...proc.options, ...proc.superOptions]};
}

function readEvidence(): LaunchEvidence {
  const limits: {[type: string]: number} = {};
  for (const {type} of NAMESPACES) {
    const limit = readNumber(`/proc/sys/user/max_${type}_namespaces`);
    if (limit !== null) limits[type] = limit;
  }
  const forAll = readNumber('/proc/sys/kernel/unprivileged_userns_clone');
  const mounts = readMounts('self');
  return {
    ...ids(),
    capabilities: readCapabilities(),
    limits,
    userNamespacesForAll: forAll === null ? null : forAll !== 0,
    appArmorRestricts: readNumber('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === 1,
    yamaScope: readYamaScope(),
    proc: isRefusal(mounts) ? null : findProc(mounts),
  };
}

/** Null where a cgroup is asked for and no cgroup v2 is mounted. */
export const planLaunch = (argv: readonly string[], options: LaunchOptions): LaunchPlan | null =>
  makeLaunchPlan(argv, options, readPlace());

export const explainLaunch = (during: string, errno: string, plan: LaunchPlan): Explanation | null =>
  explainLaunchRefusal(during, errno, plan, readEvidence());
