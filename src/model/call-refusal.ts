// Knows why the kernel refused a call that changes isolation, in the words of the man pages; where several rules may have, it tells all of them.

import {CAPABILITY} from './call.ts';
import {bitsOf, maskOf} from './capability.ts';
import type {CallArgument, CallArguments, CallFact} from './fact.ts';
import type {Namespace} from './names.ts';
import {INITIAL_USER, NAMESPACES, type NamespaceLink} from './namespace.ts';

/** Where its caller was. */
export type CallerPlace = {
  readonly spaces: {readonly [link in NamespaceLink]?: Namespace | null};
  /** Of threads besides the one that called, as many as are known. */
  readonly otherThreads: number;
  /** The user namespace in which a namespace was made, where that was seen. */
  readonly ownerOf: (namespace: Namespace) => Namespace | undefined;
};

type Refused = {
  readonly args: CallArguments;
  readonly errno: string;
  /** Null: not known. */
  readonly effective: ReadonlySet<string> | null;
  readonly place: CallerPlace;
};
type Rule = (refused: Refused) => string | null;

/* ---- What the rules ask ---- */

const list = (argument: CallArgument | undefined): readonly string[] => (Array.isArray(argument) ? argument.map(String) : []);
const member = (argument: CallArgument | undefined, name: string): CallArgument | undefined =>
  typeof argument === 'object' && argument !== null && name in argument ? (argument as CallArguments)[name] : undefined;
const flagsOf = ({args}: Refused): readonly string[] => list(args.flags ?? member(args.cl_args, 'flags'));
const has = (names: readonly string[], ...wanted: readonly string[]): boolean => wanted.every(name => names.includes(name));

const lacks = ({effective}: Refused, capability: string): boolean => effective !== null && !effective.has(capability);
const holds = ({effective}: Refused, capability: string): boolean => effective?.has(capability) === true;

/** What may refuse anything. */
const OTHERS = 'a seccomp filter or a security module forbids it';
const either = (...reasons: readonly (string | null)[]): string => reasons.filter(reason => reason !== null).join('; or ');

const own = ({place}: Refused): string => place.spaces.user?.name ?? 'its user namespace';

const isInitial = ({place}: Refused): boolean => place.spaces.user?.inode === INITIAL_USER;

/** Do its capabilities hold over what belongs to this namespace (user_namespaces(7))? null: it cannot be told. */
function owns(refused: Refused, link: NamespaceLink): boolean | null {
  const {spaces, ownerOf} = refused.place;
  const [user, space] = [spaces.user, spaces[link]];
  if (!user || !space) return null;
  if (isInitial(refused)) return true;
  const owner = ownerOf(space);
  if (owner === user) return true;
  // One that was seen later cannot be above.
  if (owner !== undefined) return user.index > owner.index ? false : null;
  return user.index > 0 && space.index === 0 ? false : null;
}

const ELSEWHERE = 'its CAP_SYS_ADMIN does not hold in the user namespace that owns its mnt namespace';

/** What belongs to a namespace takes a capability in the user namespace that owns it. */
function needs(refused: Refused, capability: string, link: NamespaceLink): string | null {
  if (lacks(refused, capability)) return `it needs ${capability} in the user namespace that owns its ${link} namespace, and lacks it`;
  if (!holds(refused, capability)) return null;
  const isOwner = owns(refused, link);
  if (isOwner === false)
    return `it needs ${capability} in the user namespace that owns ${refused.place.spaces[link]?.name}, and has it in ${own(refused)} alone`;
  return either(isOwner ? null : ELSEWHERE.replace('CAP_SYS_ADMIN', capability).replace('mnt', link), OTHERS);
}

/* ---- Namespaces ---- */

const NEW: ReadonlyMap<string, string> = new Map(NAMESPACES.map(({flag, type}) => [flag, type]));
/** The kinds of namespace that these flags ask for. */
export const newTypes = (flags: CallArgument | undefined): readonly string[] =>
  list(flags).flatMap(flag => NEW.get(flag) ?? (flag === 'UNSHARE_EMPTY_MNTNS' || flag === 'CLONE_EMPTY_MNTNS' ? ['mnt'] : []));

/** kernel/nsproxy.c, copy_namespaces() and unshare_nsproxy_namespaces(); kernel/user_namespace.c, create_user_ns(). */
function refusesNamespaces(refused: Refused): string | null {
  const types = newTypes(flagsOf(refused));
  if (types.length === 0) return null;
  switch (refused.errno) {
    case 'EPERM':
      if (types.includes('user'))
        return `no user namespace can be made in a chroot, nor by ids that are not mapped in ${own(refused)}; or the system forbids it to who has no CAP_SYS_ADMIN, or ${OTHERS}`;
      if (lacks(refused, 'CAP_SYS_ADMIN'))
        return `a new ${types.join(', ')} namespace needs CAP_SYS_ADMIN, which it lacks; with a new user namespace (CLONE_NEWUSER) it would have it`;
      return holds(refused, 'CAP_SYS_ADMIN') ? OTHERS : null;
    case 'ENOSPC': {
      const limits = types.map(type => `user.max_${type}_namespaces`).join(' or ');
      const nested = [
        ...(types.includes('user') ? ['user namespaces are nested 33 deep'] : []),
        ...(types.includes('pid') ? ['pid namespaces 32'] : []),
      ];
      return [`there are as many as ${limits} allows, here or in a user namespace above`, ...nested].join(', or ');
    }
    case 'EUSERS':
      return 'there are as many as the limits of user.max_…_namespaces allow, or they are nested too deep';
    case 'EACCES':
      return types.includes('user') ? 'a security module, such as SELinux or AppArmor, forbids it to make user namespaces' : null;
    default:
      return null;
  }
}

/** unshare(2) and setns(2) move the children that are to come, and not the caller (pid_namespaces(7)). */
const bearsElsewhere = ({place: {spaces}}: Refused): boolean =>
  spaces.pid_for_children !== undefined && spaces.pid !== undefined && spaces.pid_for_children !== spaces.pid;

const BEARS_ELSEWHERE = 'its children are born in another pid namespace than its own already, and from there no further one can be made';

/** kernel/fork.c, check_unshare_flags(); kernel/pid_namespace.c, copy_pid_ns(). */
function refusesUnshare(refused: Refused): string | null {
  const flags = flagsOf(refused);
  if (refused.errno !== 'EINVAL') return refusesNamespaces(refused);
  const apart = flags.find(flag => ['CLONE_NEWUSER', 'CLONE_THREAD', 'CLONE_SIGHAND', 'CLONE_VM'].includes(flag));
  if (apart !== undefined && refused.place.otherThreads > 0)
    return `${apart} is for a process of one thread, and it has ${refused.place.otherThreads + 1}`;
  if (flags.includes('CLONE_NEWPID') && bearsElsewhere(refused)) return BEARS_ELSEWHERE;
  const unknown = flags.filter(flag => !SHAREABLE.has(flag));
  if (unknown.length > 0) return `${unknown.join(', ')} is nothing that this kernel unshares`;
  return `this kernel lacks what one of the flags is for${apart === undefined ? '' : ', or it has other threads'}`;
}
const SHAREABLE: ReadonlySet<string> = new Set([
  ...NEW.keys(),
  'CLONE_FS',
  'CLONE_FILES',
  'CLONE_SYSVSEM',
  'CLONE_THREAD',
  'CLONE_SIGHAND',
  'CLONE_VM',
]);

/** Flags that exclude each other, or need each other (kernel/fork.c, copy_process() and clone3_args_valid(); kernel/nsproxy.c). */
function wrongTogether(flags: readonly string[], exitSignal: CallArgument | undefined): string | null {
  const pairs = [
    ['CLONE_NEWNS', 'CLONE_FS'],
    ['CLONE_NEWUSER', 'CLONE_FS'],
    ['CLONE_NEWIPC', 'CLONE_SYSVSEM'],
    ['CLONE_THREAD', 'CLONE_NEWUSER'],
    ['CLONE_THREAD', 'CLONE_NEWPID'],
    ['CLONE_CLEAR_SIGHAND', 'CLONE_SIGHAND'],
  ] as const;
  for (const [one, other] of pairs) if (has(flags, one, other)) return `${one} and ${other} exclude each other`;
  if (flags.includes('CLONE_THREAD') && !flags.includes('CLONE_SIGHAND')) return 'CLONE_THREAD needs CLONE_SIGHAND';
  if (flags.includes('CLONE_SIGHAND') && !flags.includes('CLONE_VM')) return 'CLONE_SIGHAND needs CLONE_VM';
  const alone = flags.find(flag => flag === 'CLONE_THREAD' || flag === 'CLONE_PARENT');
  if (alone !== undefined && exitSignal !== undefined && exitSignal !== 0) return `${alone} takes no exit_signal`;
  return null;
}

/** kernel/fork.c; kernel/pid.c, alloc_pid(); kernel/cgroup/cgroup.c, cgroup_css_set_fork(). */
function refusesBirth(refused: Refused): string | null {
  const flags = flagsOf(refused);
  const setsTid = member(refused.args.cl_args, 'set_tid_size') !== undefined;
  const intoCgroup = flags.includes('CLONE_INTO_CGROUP');
  switch (refused.errno) {
    case 'EINVAL':
      if (isLessThan(refused.args, CLONE_ARGS_SIZE)) return `cl_args has ${CLONE_ARGS_SIZE} bytes at the least`;
      if (flags.includes('CLONE_NEWPID') && bearsElsewhere(refused)) return BEARS_ELSEWHERE;
      if (flags.includes('CLONE_THREAD') && bearsElsewhere(refused))
        return 'its children are born in another pid namespace than its own, where no thread of it can be';
      return wrongTogether(flags, member(refused.args.cl_args, 'exit_signal'));
    case 'EAGAIN':
      return 'there are as many processes as RLIMIT_NPROC, a pids.max, kernel.threads-max or kernel.pid_max allows';
    case 'ENOMEM':
      return bearsElsewhere(refused)
        ? 'the first process of the pid namespace for its children has ended, and nothing is born there any more; or there was no memory'
        : null;
    case 'EEXIST':
      return setsTid ? 'a pid of set_tid is taken' : null;
    case 'EPERM':
      if (setsTid && newTypes(flags).length === 0)
        return 'set_tid needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user namespaces that own those pid namespaces';
      return refusesNamespaces(refused);
    case 'EACCES':
      if (!intoCgroup) return refusesNamespaces(refused);
      return 'it may not write cgroup.procs of that cgroup, and of what that has in common with its own';
    case 'EBUSY':
      return intoCgroup ? 'that cgroup has controllers enabled for its children, and so may hold no process itself' : null;
    case 'EOPNOTSUPP':
      return intoCgroup ? 'cgroup.type of that cgroup is “domain invalid”: it is in a threaded subtree, and not threaded itself' : null;
    default:
      return refusesNamespaces(refused);
  }
}

/** kernel/nsproxy.c; and install() of each kind, of user namespaces in kernel/user_namespace.c, of mount namespaces in fs/namespace.c. */
function refusesSetns(refused: Refused): string | null {
  const {args, errno, place} = refused;
  const asked = list(args.nstype);
  const type = member(member(args.fd, 'namespace'), 'type');
  const inode = member(member(args.fd, 'namespace'), 'inode');
  const isPidfd = member(args.fd, 'pid') !== undefined;
  const types = isPidfd ? newTypes(asked) : typeof type === 'string' ? [type] : [];
  if (errno === 'EPERM') {
    if (types.includes('user'))
      return `it needs CAP_SYS_ADMIN in the user namespace that it enters, as who made that has, and who has it in one above; or ${OTHERS}`;
    if (types.length === 0 || refused.effective === null) return null;
    if (lacks(refused, 'CAP_SYS_ADMIN'))
      return 'it needs CAP_SYS_ADMIN, in its own user namespace and in the one that owns what it enters, and lacks it';
    if (types.includes('mnt') && lacks(refused, 'CAP_SYS_CHROOT'))
      return 'to enter a mount namespace it needs CAP_SYS_CHROOT, which it lacks';
    const may = isPidfd ? 'it may not trace that process (ptrace(2)), or ' : '';
    return `${may}its CAP_SYS_ADMIN does not hold in the user namespace that owns what it enters; or ${OTHERS}`;
  }
  if (errno === 'EUSERS') return types.includes('time') ? 'only a process of one thread can enter a time namespace' : null;
  if (errno === 'ESRCH') return isPidfd ? 'that process has ended' : null;
  if (errno !== 'EINVAL') return null;
  if (isPidfd && asked.length === 0) return 'with a pidfd, nstype says which of its namespaces to enter, and it says none';
  if (!isPidfd && asked.length > 0 && typeof type === 'string' && NEW.get(asked[0] ?? '') !== type)
    return `the fd is of a ${type} namespace, and nstype says ${asked.join('|')}`;
  if (types.includes('user')) {
    if (place.spaces.user?.inode === inode && inode !== undefined) return 'it is in that user namespace already, and no one enters the own';
    if (place.otherThreads > 0) return 'only a process of one thread can enter a user namespace';
    return 'it is in that user namespace already, has other threads, or shares its root directory (CLONE_FS) with another process';
  }
  const why = [
    ...(types.includes('mnt') ? ['it shares its root directory (CLONE_FS) with a thread or another process'] : []),
    ...(types.includes('pid') ? ['that pid namespace is neither its own nor below it'] : []),
    ...(types.length === 0 ? ['the fd is neither of a namespace nor a pidfd'] : []),
  ];
  return why.length === 0 ? null : why.join(', or ');
}

/* ---- Mounts ---- */

const PROPAGATION = ['MS_SHARED', 'MS_PRIVATE', 'MS_SLAVE', 'MS_UNBINDABLE'];
const mountNeeds = (refused: Refused): string | null => needs(refused, 'CAP_SYS_ADMIN', 'mnt');
/** That cannot be what refused it. */
const mayMount = (refused: Refused): boolean => holds(refused, 'CAP_SYS_ADMIN') && owns(refused, 'mnt') !== false;
const elsewhere = (refused: Refused): string | null => (owns(refused, 'mnt') ? null : ELSEWHERE);

const LOCKED =
  'it would change read-only, nosuid, nodev, noexec or the access time, which are locked where a mount came from a mount namespace of more privilege';

/** File systems that show what is of a namespace, which must be the user namespace's own. */
const SHOWS: {readonly [type: string]: NamespaceLink} = {proc: 'pid', sysfs: 'net', mqueue: 'ipc', cgroup: 'cgroup', cgroup2: 'cgroup'};

/** fs/super.c, mount_capable(); fs/namespace.c, mount_too_revealing(). */
function refusesFileSystem(refused: Refused, type: string | null): string | null {
  if (isInitial(refused)) return OTHERS;
  const link = type === null ? undefined : SHOWS[type];
  const partly = `${type} can be mounted only where all of it is to be seen already, as freely as it would be`;
  if (link !== undefined) {
    const isOwner = owns(refused, link);
    if (isOwner === false) return `${type} shows ${refused.place.spaces[link]?.name}, which ${own(refused)} does not own`;
    return either(
      elsewhere(refused),
      isOwner ? null : `${type} shows its ${link} namespace, which ${own(refused)} may not own`,
      type === 'proc' || type === 'sysfs' ? partly : null,
      OTHERS,
    );
  }
  const many = `in ${own(refused)} only file systems can be mounted that allow it in user namespaces`;
  return either(elsewhere(refused), UNCONFINED.has(type ?? '') ? null : many, OTHERS);
}
/** Those that have allowed it since before Linux 5.3. */
const UNCONFINED: ReadonlySet<string> = new Set(['tmpfs', 'ramfs', 'devpts']);

/** fs/namespace.c, do_move_mount(). */
const CANNOT_MOVE =
  'the source is no mount point, is locked, in another mount namespace or on a shared mount; or only one of both is a directory; or the target is shared and something unbindable would come there';

/** fs/namespace.c, path_mount(). */
function refusesMount(refused: Refused): string | null {
  const {args, errno} = refused;
  const flags = list(args.mountflags);
  const spreads = flags.filter(flag => PROPAGATION.includes(flag));
  const how = flags.includes('MS_REMOUNT')
    ? 'remount'
    : flags.includes('MS_BIND')
      ? 'bind'
      : spreads.length > 0
        ? 'propagation'
        : flags.includes('MS_MOVE')
          ? 'move'
          : 'new';
  switch (errno) {
    case 'EPERM':
      if (!mayMount(refused)) return mountNeeds(refused);
      if (how === 'remount') {
        const needed = flags.includes('MS_BIND') || isInitial(refused) ? null : 'the file system was not mounted in its user namespace';
        return either(LOCKED, needed, elsewhere(refused), OTHERS);
      }
      return how === 'new'
        ? refusesFileSystem(refused, typeof args.filesystemtype === 'string' ? args.filesystemtype : null)
        : mountNeeds(refused);
    case 'EINVAL':
      if (how === 'propagation')
        return spreads.length > 1
          ? `${spreads.join(', ')} exclude each other`
          : flags.every(flag => PROPAGATION.includes(flag) || flag === 'MS_REC' || flag === 'MS_SILENT')
            ? 'the target is no mount point'
            : `with ${spreads[0]} go MS_REC and MS_SILENT alone`;
      if (how === 'remount') return 'the target is no mount point, or the file system does not take what data says';
      if (how === 'bind')
        return `the source is unbindable, in another mount namespace, or is a mount namespace that is not younger than its own${flags.includes('MS_REC') ? '' : '; or mounts below it are locked, which takes MS_REC'}`;
      if (how === 'move') return CANNOT_MOVE;
      return null;
    case 'EBUSY':
      if (how === 'remount') return flags.includes('MS_RDONLY') ? 'files of it are open for writing' : null;
      return how === 'new'
        ? 'that file system is mounted on the target already, or elsewhere in another way (read-only, or not), or its device is in use'
        : null;
    case 'ENODEV':
      return how === 'new' ? 'this kernel has no such file system, or its module is not loaded' : null;
    case 'ENOTBLK':
      return 'the source is no block device';
    case 'ENOSPC':
      return either(
        'the mount namespace would have more mounts than fs.mount-max allows',
        how === 'new' ? 'the file system has no room' : null,
      );
    default:
      return null;
  }
}

/** fs/namespace.c, ksys_umount() and can_umount(). */
function refusesUmount(refused: Refused): string | null {
  const flags = flagsOf(refused);
  switch (refused.errno) {
    case 'EPERM':
      return mayMount(refused) && flags.includes('MNT_FORCE')
        ? 'MNT_FORCE needs CAP_SYS_ADMIN in the first user namespace'
        : mountNeeds(refused);
    case 'EINVAL':
      if (flags.some(flag => flag.startsWith('0x'))) return `there is no flag ${flags.at(-1)}`;
      if (flags.includes('MNT_EXPIRE') && flags.some(flag => flag === 'MNT_FORCE' || flag === 'MNT_DETACH'))
        return 'MNT_EXPIRE goes with neither MNT_FORCE nor MNT_DETACH';
      return 'the target is no mount point, or is locked: it came, with those around it, from a mount namespace of more privilege';
    case 'EBUSY':
      return 'something is mounted on it or below, or a process has a file, a directory or memory of it: nsview who-pins tells what';
    case 'EAGAIN':
      return flags.includes('MNT_EXPIRE')
        ? 'it is marked as expired now: the next MNT_EXPIRE unmounts it, if nobody uses it until then'
        : null;
    default:
      return null;
  }
}

/** fs/namespace.c, path_pivot_root(). */
function refusesPivotRoot(refused: Refused): string | null {
  if (refused.errno === 'EPERM') return mountNeeds(refused);
  if (refused.errno === 'EBUSY') return 'new_root or put_old is on the mount that is the root now';
  if (refused.errno === 'EINVAL')
    return 'new_root is no mount point or is locked; or the mount that put_old is on, or on which new_root or the root is mounted, is shared; or put_old is not below new_root; or the root is the rootfs, or no mount point (a chroot)';
  return null;
}

/* ---- Identities ---- */

const raises =
  (capability: string): Rule =>
  refused => {
    if (refused.errno === 'EINVAL')
      return Object.keys(refused.args).length === 1 && Object.values(refused.args)[0] === -1
        ? '-1 is no id'
        : `an id is not mapped in ${own(refused)}`;
    if (refused.errno !== 'EPERM') return null;
    return lacks(refused, capability)
      ? `without ${capability} it can take only ids that it has already`
      : holds(refused, capability)
        ? OTHERS
        : null;
  };

/** kernel/groups.c. */
function refusesSetgroups(refused: Refused): string | null {
  const {size} = refused.args;
  if (refused.errno === 'EINVAL')
    return typeof size === 'number' && size >= 0 && size <= 65536
      ? `a group is not mapped in ${own(refused)}`
      : 'there can be 65536 groups at the most';
  if (refused.errno !== 'EPERM') return null;
  if (lacks(refused, 'CAP_SETGID')) return 'it needs CAP_SETGID, which it lacks';
  if (!holds(refused, 'CAP_SETGID')) return null;
  const denied = `setgroups is denied in ${own(refused)}, or its gid_map is not written yet (user_namespaces(7))`;
  return either(isInitial(refused) ? null : denied, OTHERS);
}

/** security/commoncap.c, cap_capset(). */
function refusesCapset({args, errno}: Refused): string | null {
  if (errno === 'EINVAL') return 'this kernel does not know that version of the structure, and has written its own there';
  if (errno !== 'EPERM') return null;
  const [effective, permitted] = [list(member(args.datap, 'effective')), list(member(args.datap, 'permitted'))];
  const more = effective.filter(capability => !permitted.includes(capability));
  if (more.length > 0) return `${more.join(', ')} would be effective and not permitted`;
  return 'it may add nothing to its permitted capabilities, nor to the inheritable ones what is not bounding or, without CAP_SETPCAP, not permitted, nor set those of another process';
}

/* ---- Filters ---- */

/** kernel/seccomp.c, seccomp_prepare_filter(); security/landlock/syscalls.c. */
const UNPRIVILEGED = 'it needs no_new_privs (PR_SET_NO_NEW_PRIVS), or CAP_SYS_ADMIN in its user namespace';

function refusesSeccomp({args, errno}: Refused): string | null {
  if (errno === 'EINVAL' && (args.operation === 'SECCOMP_SET_MODE_STRICT' || args.mode === 'SECCOMP_MODE_STRICT'))
    return 'strict mode takes neither flags nor args, and nobody who has a filter can take it';
  switch (errno) {
    case 'EACCES':
      return UNPRIVILEGED;
    case 'EBUSY':
      return list(args.flags).includes('SECCOMP_FILTER_FLAG_NEW_LISTENER')
        ? 'a filter of it has a listener already, and one has at most'
        : null;
    case 'ENOMEM':
      return 'all its filters together would be longer than 32768 instructions, or there was no memory';
    case 'EINVAL':
      return 'the filter is no valid program, the flags are unknown or exclude each other, or it is in strict mode already';
    case 'ESRCH':
      return 'another thread has filters of its own, so that they cannot be made the same';
    default:
      return null;
  }
}

/** Of their first versions (include/uapi/linux: landlock.h, sched.h and mount.h): what is less is refused. */
const [LANDLOCK_RULESET_SIZE, CLONE_ARGS_SIZE, MOUNT_ATTR_SIZE] = [8, 64, 32];
const isLessThan = ({size}: CallArguments, least: number): boolean => typeof size === 'number' && size < least;

function refusesLandlock({errno, args}: Refused): string | null {
  switch (errno) {
    case 'EOPNOTSUPP':
      return 'Landlock is not among the security modules that were chosen at boot (lsm=)';
    case 'E2BIG':
      return 'attr' in args ? 'attr says more than this kernel knows' : null;
    case 'ENOMSG':
      return 'it asks for no right at all';
    case 'EINVAL':
      if (isLessThan(args, LANDLOCK_RULESET_SIZE)) return `attr has ${LANDLOCK_RULESET_SIZE} bytes at the least`;
      return args.rule_attr === undefined
        ? 'this kernel does not know a right, a scope or a flag of it'
        : 'the rule allows a right that the ruleset does not handle, or this kernel does not know its type or flags';
    case 'EBADFD':
      return 'an fd is none of its kind: ruleset_fd of a ruleset, or parent_fd of a file or directory that a path leads to';
    default:
      return null;
  }
}

/* ---- prctl(2) ---- */

function refusesPrctl(refused: Refused): string | null {
  const {args, errno} = refused;
  const others = Object.keys(args).filter(name => /^arg[3-5]$/.test(name));
  if (errno === 'EINVAL' && others.length > 0) return `${others.join(', ')} must be 0`;
  switch (args.op) {
    case 'PR_CAPBSET_DROP':
    case 'PR_SET_SECUREBITS':
      // Since Linux 6.14 the bits about scripts take none.
      if (errno === 'EPERM' && lacks(refused, 'CAP_SETPCAP') && !flagsOf(refused).some(flag => flag.startsWith('SECBIT_EXEC_')))
        return 'it needs CAP_SETPCAP, which it lacks';
      if (errno === 'EPERM' && args.op === 'PR_SET_SECUREBITS' && refused.effective !== null)
        return `one of the bits is locked, or unknown to this kernel; or ${OTHERS}`;
      return errno === 'EINVAL' && args.op === 'PR_CAPBSET_DROP' ? 'this kernel has no such capability' : null;
    case 'PR_CAP_AMBIENT':
      if (errno === 'EPERM')
        return 'only a capability that is permitted and inheritable can be made ambient, and none with SECBIT_NO_CAP_AMBIENT_RAISE';
      return errno === 'EINVAL' ? 'this kernel has no such capability or operation' : null;
    case 'PR_SET_KEEPCAPS':
      return errno === 'EPERM' ? 'it is locked (SECBIT_KEEP_CAPS_LOCKED)' : null;
    case 'PR_SET_NO_NEW_PRIVS':
      return errno === 'EINVAL' ? 'its value must be 1: it can be set, and never taken back' : null;
    case 'PR_SET_SECCOMP':
      return refusesSeccomp(refused);
    case 'PR_SET_DUMPABLE':
      return errno === 'EINVAL' ? 'it can be set to 0 or 1 only' : null;
    case 'PR_SET_PDEATHSIG':
      return errno === 'EINVAL' ? 'there is no such signal' : null;
    case 'PR_SET_SPECULATION_CTRL':
      if (errno === 'ENXIO') return 'processes do not decide that here: the processor, or the options of the boot (mitigations=), do';
      if (errno === 'ENODEV') return 'this kernel knows no such misfeature';
      return errno === 'EPERM' ? 'it is disabled for good (PR_SPEC_FORCE_DISABLE), or by the options of the boot' : null;
    case 'PR_SCHED_CORE':
      return errno === 'ENODEV' ? 'no core of this machine runs several threads' : null;
    case 'PR_SET_MDWE':
      return errno === 'EPERM' ? 'what is set cannot be taken back' : null;
    case 'PR_SET_PTRACER':
      return errno === 'EINVAL' ? 'there is no such process, or no Yama' : null;
    default:
      return null;
  }
}

const RESTRICTS: {readonly [errno: string]: string} = {
  E2BIG: 'it is under 16 rulesets already',
  EINVAL: 'this kernel does not know one of the flags',
};

/** security/keys/keyctl.c, keyctl_session_to_parent(); security/keys/process_keys.c, join_session_keyring(). */
function refusesKeyctl({args, errno}: Refused): string | null {
  if (args.operation !== 'KEYCTL_SESSION_TO_PARENT') {
    if (errno === 'EPERM' && typeof args.name === 'string' && args.name.startsWith('.'))
      return 'no name of a keyring that begins with a dot may be joined';
    return errno === 'EACCES' ? 'the keyring of that name does not let it search there' : null;
  }
  return errno === 'EPERM'
    ? 'its parent is an init, has other threads, other ids, or a keyring of somebody else, or may not be traced by it'
    : null;
}

const named: Rule = refused => {
  if (refused.errno === 'EINVAL') return 'a name has 64 bytes at the most';
  return refused.errno === 'EPERM' ? needs(refused, 'CAP_SYS_ADMIN', 'uts') : null;
};
const privileged: Rule = refused => (refused.errno === 'EPERM' ? mountNeeds(refused) : null);
const shows: Rule = refused =>
  refused.errno !== 'EPERM' ? null : mayMount(refused) ? refusesFileSystem(refused, null) : mountNeeds(refused);

/** fs/fsopen.c, vfs_fsconfig_locked(): the phases of a context. */
function refusesFsconfig(refused: Refused): string | null {
  const {args, errno} = refused;
  const sets = typeof args.cmd === 'string' && args.cmd.startsWith('FSCONFIG_SET_');
  const late = 'it is too late for that: the context has its file system already, or could not get it';
  if (errno === 'EBUSY') return sets ? late : `${late}; or what would be mounted is in use`;
  if (sets)
    return errno === 'EINVAL'
      ? 'the file system does not take that parameter or value (read(2) of the fd may tell more), or the arguments are not as this command has them'
      : null;
  return args.cmd === 'FSCONFIG_CMD_CREATE' || args.cmd === 'FSCONFIG_CMD_CREATE_EXCL' ? shows(refused) : null;
}

const RULES: {readonly [name: string]: Rule} = {
  unshare: refusesUnshare,
  clone: refusesBirth,
  clone3: refusesBirth,
  setns: refusesSetns,
  mount: refusesMount,
  umount2: refusesUmount,
  pivot_root: refusesPivotRoot,
  move_mount: refused =>
    refused.errno === 'EINVAL' && !flagsOf(refused).some(flag => flag === 'MOVE_MOUNT_SET_GROUP' || flag === 'MOVE_MOUNT_BENEATH')
      ? either(CANNOT_MOVE, 'the target is in another mount namespace', 'this kernel does not know a flag')
      : privileged(refused),
  open_tree: refused => (flagsOf(refused).includes('OPEN_TREE_CLONE') ? privileged(refused) : null),
  open_tree_attr: privileged,
  fsopen: refused =>
    refused.errno === 'ENODEV' ? 'this kernel has no such file system, or its module is not loaded' : privileged(refused),
  fspick: privileged,
  fsconfig: refusesFsconfig,
  fsmount: refused =>
    refused.errno === 'EPERM' && mayMount(refused) && !isInitial(refused)
      ? either(
          'proc and sysfs can be mounted only where all of it is to be seen already, as freely as it would be',
          elsewhere(refused),
          OTHERS,
        )
      : privileged(refused),
  mount_setattr: refused => {
    if (refused.errno === 'EINVAL' && isLessThan(refused.args, MOUNT_ATTR_SIZE)) return `attr has ${MOUNT_ATTR_SIZE} bytes at the least`;
    if (refused.errno === 'EINVAL') return 'the path is no mount point, or this kernel does not know what attr says';
    if (refused.errno !== 'EPERM' || !mayMount(refused)) return privileged(refused);
    const maps = list(member(refused.args.attr, 'attr_set')).includes('MOUNT_ATTR_IDMAP');
    return either(LOCKED, maps ? 'it may not map the ids of that mount' : null, elsewhere(refused), OTHERS);
  },
  chroot: refused =>
    refused.errno !== 'EPERM'
      ? null
      : lacks(refused, 'CAP_SYS_CHROOT')
        ? 'it needs CAP_SYS_CHROOT, which it lacks'
        : holds(refused, 'CAP_SYS_CHROOT')
          ? OTHERS
          : null,
  setuid: raises('CAP_SETUID'),
  setreuid: raises('CAP_SETUID'),
  setresuid: raises('CAP_SETUID'),
  setgid: raises('CAP_SETGID'),
  setregid: raises('CAP_SETGID'),
  setresgid: raises('CAP_SETGID'),
  setgroups: refusesSetgroups,
  capset: refusesCapset,
  keyctl: refusesKeyctl,
  prctl: refusesPrctl,
  seccomp: refusesSeccomp,
  landlock_create_ruleset: refusesLandlock,
  landlock_add_rule: refusesLandlock,
  landlock_restrict_self: refused => (refused.errno === 'EPERM' ? UNPRIVILEGED : (RESTRICTS[refused.errno] ?? refusesLandlock(refused))),
  sethostname: named,
  setdomainname: named,
};

/** Why it failed; null where it did not, or nothing is known besides the errno. */
export function explainCall({name, args, result, effective}: CallFact, place: CallerPlace): string | null {
  if (typeof result !== 'object' || result === null || args === null) return null;
  if (result.errno === 'ENOSYS') return 'this kernel has no such call, or a seccomp filter answers for it';
  const mask = effective === undefined ? null : new Set(bitsOf(maskOf(effective)).flatMap(bit => CAPABILITY[bit]?.[1] ?? []));
  return RULES[name]?.({args, errno: result.errno, effective: mask, place}) ?? null;
}
