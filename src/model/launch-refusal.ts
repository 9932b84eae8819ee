// Knows why the kernel refuses a step of a launch, and what to do about it.

import type {LaunchPlan} from './launch-plan.ts';
import {NAMESPACES} from './namespace.ts';
import {type Explanation, explainLaunchedRefusal} from './refusal.ts';

/** What was found out about who launched. */
export type LaunchEvidence = {
  readonly euid: number;
  readonly egid: number;
  /** CapEff (proc_pid_status(5)). */
  readonly capabilities: bigint;
  /** user.max_…_namespaces by type; a type is absent where that cannot be read. */
  readonly limits: {readonly [type: string]: number};
  /** kernel.unprivileged_userns_clone, a switch of Debian's; null where there is none. */
  readonly userNamespacesForAll: boolean | null;
  /** kernel.apparmor_restrict_unprivileged_userns. */
  readonly appArmorRestricts: boolean;
  /** kernel.yama.ptrace_scope; null where there is no Yama. */
  readonly yamaScope: number | null;
  /** The proc that is mounted whole on /proc; null where none is. */
  readonly proc: {
    /** What is mounted over parts of it, where those are not empty for good. */
    readonly coveredBy: readonly string[];
    /** Of the mount and of the file system. */
    readonly options: readonly string[];
  } | null;
};

/** Bits of include/uapi/linux/capability.h. */
const CAP = {setgid: 6n, setuid: 7n, sysAdmin: 21n, setfcap: 31n} as const;
const has = (evidence: LaunchEvidence, bit: bigint): boolean => ((evidence.capabilities >> bit) & 1n) === 1n;

const FORBIDDEN: Explanation = {
  rule: 'its capabilities suffice, so a seccomp filter or a security module forbids it',
  remedy: 'run nsview outside of the container or service that set the filter',
};

const newTypes = (plan: LaunchPlan): readonly string[] =>
  NAMESPACES.filter(({value}) => (plan.cloneFlags & BigInt(value)) !== 0n).map(({type}) => type);

const makesUser = (plan: LaunchPlan): boolean => newTypes(plan).includes('user');

/** kernel/fork.c, kernel/user_namespace.c, kernel/nsproxy.c, kernel/cgroup/cgroup.c; clone(2), ERRORS. */
function explainClone(errno: string, plan: LaunchPlan, evidence: LaunchEvidence): Explanation | null {
  const types = newTypes(plan);
  switch (errno) {
    case 'EPERM':
      if (types.length === 0) return null;
      if (makesUser(plan) && evidence.userNamespacesForAll === false && !has(evidence, CAP.sysAdmin))
        return {
          rule: 'kernel.unprivileged_userns_clone is 0, and nsview lacks CAP_SYS_ADMIN',
          remedy: 'run it as root, or sysctl kernel.unprivileged_userns_clone=1',
        };
      if (makesUser(plan))
        return {
          rule: 'no user namespace can be made in a chroot, or by ids that are not mapped in nsview’s own; or a seccomp filter or a security module forbids it',
          remedy: 'run nsview outside of the chroot or container',
        };
      if (has(evidence, CAP.sysAdmin)) return FORBIDDEN;
      return {
        rule: `a new ${types.join(', ')} namespace needs CAP_SYS_ADMIN, which nsview lacks`,
        remedy: 'add user to --new, and --map-root; or run nsview as root',
      };
    case 'ENOSPC':
    case 'EUSERS': {
      const none = types.filter(type => evidence.limits[type] === 0);
      return none.length > 0
        ? {rule: `${none.map(type => `user.max_${type}_namespaces`).join(', ')} is 0`, remedy: 'raise it with sysctl, as root'}
        : {
            rule: `there are as many as ${types.map(type => `user.max_${type}_namespaces`).join(' or ')} allows, or user namespaces are nested 33 deep, or pid namespaces 32 (below the initial one)`,
            remedy: 'end some of them, or raise the limit with sysctl, as root',
          };
    }
    case 'EINVAL':
      return types.length === 0
        ? null
        : {
            rule: `this kernel lacks one of ${types.join(', ')} (CONFIG_…_NS; time needs Linux 5.6)`,
            remedy: 'nsview doctor tells which there are',
          };
    case 'ENOSYS':
      return {
        rule: 'clone3 needs Linux 5.3, and a seccomp filter that lets it through, which those of containers often do not',
        remedy: 'launch without --new and --cgroup, or run nsview outside of the container',
      };
    case 'EAGAIN':
      return {
        rule: 'there are as many processes as RLIMIT_NPROC, a pids.max, kernel.threads-max or kernel.pid_max allows',
        remedy: 'end some, or raise the limit',
      };
    case 'ENOENT':
      // That it is not there is told by open() before.
      return plan.cgroup === null
        ? null
        : {
            rule: `cgroup v2 is mounted with nsdelegate, and ${plan.cgroup} or nsview’s own cgroup is outside of nsview’s cgroup namespace`,
            remedy: 'name a cgroup inside of it, or run nsview in the cgroup namespace outside',
          };
    case 'EACCES':
      // security/selinux/hooks.c and security/apparmor/lsm.c, userns_create.
      if (plan.cgroup === null)
        return makesUser(plan)
          ? {
              rule: 'a security module, such as SELinux or AppArmor, forbids new user namespaces to nsview',
              remedy: 'run it as root without user in --new, or allow it userns_create (SELinux: user_namespace create)',
            }
          : null;
      return explainCgroup(errno, plan.cgroup);
    default:
      return plan.cgroup === null ? null : explainCgroup(errno, plan.cgroup);
  }
}

/** cgroups(7); kernel/cgroup/cgroup.c, cgroup_css_set_fork(). */
function explainCgroup(errno: string, cgroup: string): Explanation | null {
  switch (errno) {
    case 'ENOENT':
    case 'ENODEV':
      return {rule: `there is no cgroup ${cgroup}`, remedy: `mkdir ${cgroup}`};
    case 'ENOTDIR':
    case 'EBADF':
      return {rule: `${cgroup} is no directory of a cgroup v2 file system`, remedy: 'name one that is, such as --cgroup mine'};
    case 'EACCES':
      return {
        rule: `nsview may not write cgroup.procs of ${cgroup} and of what it has in common with nsview’s own cgroup`,
        remedy: 'run it as root, or in a cgroup that was delegated to you (systemd-run --user --scope -p Delegate=yes)',
      };
    case 'EBUSY':
      return {
        rule: `${cgroup} has controllers enabled for its children, and so may hold no process itself`,
        remedy: 'name one of its children, or empty its cgroup.subtree_control',
      };
    case 'EOPNOTSUPP':
      return {
        rule: `cgroup.type of ${cgroup} is “domain invalid”: it is in a threaded subtree, and not threaded itself`,
        remedy: 'name a cgroup whose type is domain, or write threaded to its cgroup.type',
      };
    default:
      return null;
  }
}

/** kernel/user_namespace.c, new_idmap_permitted(), and verify_root_map(), which asks of users alone. */
function explainMap(kind: 'uid' | 'gid', errno: string, plan: LaunchPlan, evidence: LaunchEvidence): Explanation | null {
  if (errno !== 'EPERM') return null;
  const own = kind === 'uid' ? evidence.euid : evidence.egid;
  const lines = ((kind === 'uid' ? plan.uidMap : plan.gidMap) ?? '').split('\n').map(line => line.split(' ').map(Number));
  const [first] = lines;
  const isOwnAlone = lines.length === 1 && first?.[1] === own && first[2] === 1;
  if (!isOwnAlone && !has(evidence, kind === 'uid' ? CAP.setuid : CAP.setgid))
    return {
      rule: `without CAP_SET${kind.toUpperCase()} one ${kind} can be mapped and no other: nsview’s own, ${own}`,
      remedy: kind === 'uid' ? `use --map-root, or --map ${own}:INNER:1` : 'use --map-root, which maps user and group each from its own id',
    };
  if (kind === 'uid' && lines.some(([, outer]) => outer === 0) && !has(evidence, CAP.setfcap))
    return {rule: 'to map user 0 of outside needs CAP_SETFCAP, which nsview lacks', remedy: 'map other ids, or leave the map out'};
  return {
    rule: 'an id of outside is not mapped in nsview’s own user namespace, or a security module forbids it',
    remedy: 'map ids that are',
  };
}

/** fs/namespace.c, mount_too_revealing(): proc is new only where one is there that shows as much, and may be changed as freely. */
function explainProc({proc}: LaunchEvidence): Explanation | null {
  const remedy = 'run nsview outside of the container, or as root without user in --new';
  const only = 'in a user namespace proc can be mounted only where';
  if (proc === null) return {rule: `${only} it is mounted already, whole, and on /proc it is not`, remedy};
  if (proc.coveredBy.length > 0)
    return {
      rule: `${only} all of it is to be seen already, and ${proc.coveredBy.join(', ')} ${proc.coveredBy.length === 1 ? 'covers a part' : 'cover parts'} of it`,
      remedy,
    };
  if (proc.options.includes('ro')) return {rule: `${only} it may be written to already, and /proc is read-only`, remedy};
  const times = ['noatime', 'nodiratime'].filter(option => proc.options.includes(option));
  if (times.length > 0 || !proc.options.includes('relatime'))
    return {rule: `${only} it is mounted relatime already, and /proc is ${times.join(', ') || 'strictatime'}`, remedy};
  return null;
}

/** Which rule refused, where that can be known: `during` and `errno` are those of the step that failed. */
export function explainLaunchRefusal(during: string, errno: string, plan: LaunchPlan, evidence: LaunchEvidence): Explanation | null {
  if (during === 'clone3') return explainClone(errno, plan, evidence);
  if (during === 'ptrace(PTRACE_SEIZE)' && errno === 'EPERM') return explainLaunchedRefusal(evidence.yamaScope);
  if (during.startsWith('open ') && plan.cgroup !== null) return explainCgroup(errno, plan.cgroup);
  if (during.endsWith('/uid_map')) return explainMap('uid', errno, plan, evidence);
  if (during.endsWith('/gid_map')) return explainMap('gid', errno, plan, evidence);
  // execve(2), "Limits on size of arguments and environment"; fs/exec.c, bprm_stack_limits().
  if (during === 'execve' && errno === 'E2BIG')
    return {
      rule: 'one of its arguments or variables is longer than 128 KiB, or all of them together than a quarter of the stack may be (ulimit -s), or than 6 MiB',
      remedy: 'give it less, by a file or a pipe',
    };
  const isMount = during.startsWith('mount ');
  // fs/namespace.c, do_change_type().
  if (during === 'mount / MS_REC|MS_PRIVATE' && errno === 'EINVAL')
    return {
      rule: '/ is no mount point, as in a chroot, and only a mount has a propagation',
      remedy: 'run nsview outside of the chroot, or make its directory a mount (mount --bind DIR DIR) before',
    };
  if (isMount && errno === 'ENOENT') return {rule: 'there is no directory /proc', remedy: 'make it, or leave --mount-proc out'};
  if (errno !== 'EPERM' && errno !== 'EACCES') return null;
  const because = during === 'mount /proc' && makesUser(plan) ? explainProc(evidence) : null;
  if (because !== null) return because;
  if (makesUser(plan) && evidence.appArmorRestricts && (isMount || during.startsWith('set')))
    return {
      rule: 'kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor takes the capabilities of new user namespaces away',
      remedy: 'run nsview as root, or sysctl kernel.apparmor_restrict_unprivileged_userns=0',
    };
  return isMount || during.startsWith('set') ? FORBIDDEN : null;
}
