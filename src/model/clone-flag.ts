// Knows the names of clone(2)'s flags, as include/uapi/linux/sched.h has them.

const CLONE_FLAGS: readonly (readonly [number, string])[] = [
  [0x80, 'CLONE_NEWTIME'],
  [0x100, 'CLONE_VM'],
  [0x200, 'CLONE_FS'],
  [0x400, 'CLONE_FILES'],
  [0x800, 'CLONE_SIGHAND'],
  [0x1000, 'CLONE_PIDFD'],
  [0x2000, 'CLONE_PTRACE'],
  [0x4000, 'CLONE_VFORK'],
  [0x8000, 'CLONE_PARENT'],
  [0x10000, 'CLONE_THREAD'],
  [0x20000, 'CLONE_NEWNS'],
  [0x40000, 'CLONE_SYSVSEM'],
  [0x80000, 'CLONE_SETTLS'],
  [0x100000, 'CLONE_PARENT_SETTID'],
  [0x200000, 'CLONE_CHILD_CLEARTID'],
  [0x400000, 'CLONE_DETACHED'],
  [0x800000, 'CLONE_UNTRACED'],
  [0x1000000, 'CLONE_CHILD_SETTID'],
  [0x2000000, 'CLONE_NEWCGROUP'],
  [0x4000000, 'CLONE_NEWUTS'],
  [0x8000000, 'CLONE_NEWIPC'],
  [0x10000000, 'CLONE_NEWUSER'],
  [0x20000000, 'CLONE_NEWPID'],
  [0x40000000, 'CLONE_NEWNET'],
  [0x80000000, 'CLONE_IO'],
  [0x100000000, 'CLONE_CLEAR_SIGHAND'],
  [0x200000000, 'CLONE_INTO_CGROUP'],
  // New in 7.1.
  [0x400000000, 'CLONE_AUTOREAP'],
  [0x800000000, 'CLONE_NNP'],
  [0x1000000000, 'CLONE_PIDFD_AUTOKILL'],
  [0x2000000000, 'CLONE_EMPTY_MNTNS'],
];

/** The names of the flags that are set, lowest bit first; bits without a name as one hexadecimal number at the end. */
export function cloneFlagNames(flags: bigint): string[] {
  const names: string[] = [];
  let rest = flags;
  for (const [value, name] of CLONE_FLAGS) {
    const bit = BigInt(value);
    if ((flags & bit) === 0n) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names;
}
