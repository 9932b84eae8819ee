// Knows the system calls that change isolation: what each argument means, by the kernel's names (the man page of each call; include/uapi/linux).

import {byteText} from './byte-text.ts';
import {cloneFlagNames} from './clone-flag.ts';
import type {CallArgument, CallArguments, CallResult, Refusal} from './fact.ts';
import {isRefusal} from './fact.ts';

/** A call as it was caught: registers, what its pointers led to, and what it returned. */
export type RawCall = {
  readonly name: CallName;
  readonly registers: readonly bigint[];
  /** One for each argument that is a pointer to what is read, in order; null for a null pointer, a refusal for a bad one. */
  readonly pointers: readonly (Uint8Array | null | Refusal)[];
  /** What the fd of setns is, where that is known. */
  readonly fd: {readonly namespace: {readonly type: string; readonly inode: string}} | {readonly pid: number} | null;
  readonly result: CallResult;
};

type Names = readonly (readonly [value: number | bigint, name: string])[];

type Parameter = {
  readonly name: string;
  /** Takes the register. */
  readonly decode: (register: bigint, raw: RawCall) => CallArgument;
  /** Takes what it points to: the next of `pointers`. */
  readonly pointer?: (bytes: Uint8Array, raw: RawCall) => CallArgument;
  /** False where it points to something else, or to nothing, in this call: it is told as an address. */
  readonly follows?: (raw: RawCall) => boolean;
  /** How many bytes it points to, where that is no string. */
  readonly length?: (raw: RawCall) => number;
};

/** NSV_POINTER_MAX of native/calls.h. */
const KEPT = 1024;

/* ---- Registers ---- */

const int32 = (register: bigint): number => Number(BigInt.asIntN(32, register));
const uint32 = (register: bigint): number => Number(BigInt.asUintN(32, register));
const argument = ({registers}: RawCall, index: number): bigint => registers[index] ?? 0n;

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;
/** JSON's numbers are whole up to 2^53; what is larger here was meant as something else, such as -1. */
const uint64 = (value: bigint): string | number => (value <= Number.MAX_SAFE_INTEGER ? Number(value) : hexadecimal(value));

/** The names of all bits that are set, and one hexadecimal number for those that have none. */
function bits(value: bigint, names: Names): string[] {
  const told: string[] = [];
  let rest = value;
  for (const [bit, name] of names)
    if ((rest & BigInt(bit)) !== 0n) {
      told.push(name);
      rest &= ~BigInt(bit);
    }
  if (rest !== 0n) told.push(hexadecimal(rest));
  return told;
}

const named = (value: bigint, names: Names): string | number => names.find(([one]) => BigInt(one) === value)?.[1] ?? uint64(value);

const flags = (name: string, names: Names, width: 32 | 64 = 32): Parameter => ({
  name,
  decode: register => bits(BigInt.asUintN(width, register), names),
});
const number = (name: string): Parameter => ({name, decode: int32});
const unsigned = (name: string): Parameter => ({name, decode: uint32});
const size = (name: string): Parameter => ({name, decode: uint64});
const address = (name: string): Parameter => ({name, decode: register => (register === 0n ? null : {address: hexadecimal(register)})});
/** One of several: its name, or the number where it has none. prctl(2) takes all but the first as unsigned long. */
const choice = (name: string, names: Names, width: 32 | 64 = 32): Parameter => ({
  name,
  decode: register => named(BigInt.asUintN(width, register), names),
});
/** setresuid(2): -1 leaves an id as it is. */
const id = (name: string): Parameter => ({name, decode: register => (uint32(register) === 0xffffffff ? -1 : uint32(register))});
const directoryFd = (register: bigint): CallArgument => (int32(register) === -100 ? 'AT_FDCWD' : int32(register));
const directory = (name: string): Parameter => ({name, decode: directoryFd});

/* ---- Memory ---- */

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return byteText(end < 0 ? bytes : bytes.subarray(0, end));
}

const string = (name: string): Parameter => ({...address(name), pointer: text});
/** As many bytes as another argument says, which need not end in a NUL. */
const counted = (name: string, count: number): Parameter => ({
  ...address(name),
  pointer: byteText,
  length: raw => Math.max(0, int32(argument(raw, count))),
});

/** A size_t, as far as something of it is kept. */
const lengthOf = (raw: RawCall, index: number): number => Number(argument(raw, index));

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
/** A structure of `least` bytes, or of as many as `length` tells; where fewer are there, the rest is zero, as it is for the kernel. */
const structure = (name: string, least: number, pointer: (view: DataView, raw: RawCall) => CallArgument): Parameter => ({
  ...address(name),
  length: () => least,
  pointer: (bytes, raw) => {
    const whole = new Uint8Array(Math.max(least, bytes.length));
    whole.set(bytes);
    return pointer(view(whole), raw);
  },
});

/* ---- Names ---- */

const CLOEXEC = 0x80000;

const MOUNT: Names = [
  [1, 'MS_RDONLY'],
  [2, 'MS_NOSUID'],
  [4, 'MS_NODEV'],
  [8, 'MS_NOEXEC'],
  [16, 'MS_SYNCHRONOUS'],
  [32, 'MS_REMOUNT'],
  [64, 'MS_MANDLOCK'],
  [128, 'MS_DIRSYNC'],
  [256, 'MS_NOSYMFOLLOW'],
  [1024, 'MS_NOATIME'],
  [2048, 'MS_NODIRATIME'],
  [4096, 'MS_BIND'],
  [8192, 'MS_MOVE'],
  [16384, 'MS_REC'],
  [32768, 'MS_SILENT'],
  [1 << 16, 'MS_POSIXACL'],
  [1 << 17, 'MS_UNBINDABLE'],
  [1 << 18, 'MS_PRIVATE'],
  [1 << 19, 'MS_SLAVE'],
  [1 << 20, 'MS_SHARED'],
  [1 << 21, 'MS_RELATIME'],
  [1 << 23, 'MS_I_VERSION'],
  [1 << 24, 'MS_STRICTATIME'],
  [1 << 25, 'MS_LAZYTIME'],
];
/** mount(2): in Linux before 2.4 the high half had to hold this. */
const MOUNT_MAGIC = 0xc0ed0000n;

const UMOUNT: Names = [
  [1, 'MNT_FORCE'],
  [2, 'MNT_DETACH'],
  [4, 'MNT_EXPIRE'],
  [8, 'UMOUNT_NOFOLLOW'],
];

const MOVE_MOUNT: Names = [
  [0x1, 'MOVE_MOUNT_F_SYMLINKS'],
  [0x2, 'MOVE_MOUNT_F_AUTOMOUNTS'],
  [0x4, 'MOVE_MOUNT_F_EMPTY_PATH'],
  [0x10, 'MOVE_MOUNT_T_SYMLINKS'],
  [0x20, 'MOVE_MOUNT_T_AUTOMOUNTS'],
  [0x40, 'MOVE_MOUNT_T_EMPTY_PATH'],
  [0x100, 'MOVE_MOUNT_SET_GROUP'],
  [0x200, 'MOVE_MOUNT_BENEATH'],
];

const AT: Names = [
  [0x100, 'AT_SYMLINK_NOFOLLOW'],
  [0x800, 'AT_NO_AUTOMOUNT'],
  [0x1000, 'AT_EMPTY_PATH'],
  [0x8000, 'AT_RECURSIVE'],
];

const OPEN_TREE: Names = [[1, 'OPEN_TREE_CLONE'], [2, 'OPEN_TREE_NAMESPACE'], [CLOEXEC, 'OPEN_TREE_CLOEXEC'], ...AT];

const MOUNT_ATTR: Names = [
  [0x1, 'MOUNT_ATTR_RDONLY'],
  [0x2, 'MOUNT_ATTR_NOSUID'],
  [0x4, 'MOUNT_ATTR_NODEV'],
  [0x8, 'MOUNT_ATTR_NOEXEC'],
  [0x80, 'MOUNT_ATTR_NODIRATIME'],
  [0x100000, 'MOUNT_ATTR_IDMAP'],
  [0x200000, 'MOUNT_ATTR_NOSYMFOLLOW'],
];
/** mount_setattr(2): these three bits are one number. All of them, to be cleared, make room for another; 0 is relatime. */
const ATIME = 0x70n;
const ATIMES: Names = [
  [0x10, 'MOUNT_ATTR_NOATIME'],
  [0x20, 'MOUNT_ATTR_STRICTATIME'],
  [0x70, 'MOUNT_ATTR__ATIME'],
];

function mountAttributes(value: bigint, atimeIsSet = false): string[] {
  const atime = value & ATIME;
  const name = atime === 0n ? (atimeIsSet ? 'MOUNT_ATTR_RELATIME' : null) : named(atime, ATIMES);
  return [...bits(value & ~ATIME, MOUNT_ATTR), ...(name === null ? [] : [typeof name === 'string' ? name : hexadecimal(atime)])];
}

const MOUNT_ATTR_SIZE = 32;
/** mount_setattr(2): what is behind the size that the caller tells is not its own. */
const mountAttr = (sizeAt: number): Parameter => ({
  ...structure('attr', MOUNT_ATTR_SIZE, (attr, raw) => {
    const has = argument(raw, sizeAt);
    const at = (offset: number) => (has >= offset + 8 ? attr.getBigUint64(offset, true) : 0n);
    const cleared = at(8);
    return {
      attr_set: mountAttributes(at(0), (cleared & ATIME) === ATIME),
      attr_clr: mountAttributes(cleared),
      propagation: bits(at(16), MOUNT),
      userns_fd: uint64(at(24)),
    };
  }),
  length: raw => Math.min(MOUNT_ATTR_SIZE, lengthOf(raw, sizeAt)),
});

const FSCONFIG: Names = [
  [0, 'FSCONFIG_SET_FLAG'],
  [1, 'FSCONFIG_SET_STRING'],
  [2, 'FSCONFIG_SET_BINARY'],
  [3, 'FSCONFIG_SET_PATH'],
  [4, 'FSCONFIG_SET_PATH_EMPTY'],
  [5, 'FSCONFIG_SET_FD'],
  [6, 'FSCONFIG_CMD_CREATE'],
  [7, 'FSCONFIG_CMD_RECONFIGURE'],
  [8, 'FSCONFIG_CMD_CREATE_EXCL'],
];

const FSPICK: Names = [
  [1, 'FSPICK_CLOEXEC'],
  [2, 'FSPICK_SYMLINK_NOFOLLOW'],
  [4, 'FSPICK_NO_AUTOMOUNT'],
  [8, 'FSPICK_EMPTY_PATH'],
];

const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST ' +
  'NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE ' +
  'SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND ' +
  'AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ');
export const CAPABILITY: Names = CAPABILITIES.map((name, index) => [index, `CAP_${name}`]);
const CAPABILITY_BITS: Names = CAPABILITIES.map((name, index) => [1n << BigInt(index), `CAP_${name}`]);
const CAPABILITY_VERSION: Names = [
  [0x19980330, '_LINUX_CAPABILITY_VERSION_1'],
  [0x20071026, '_LINUX_CAPABILITY_VERSION_2'],
  [0x20080522, '_LINUX_CAPABILITY_VERSION_3'],
];
/** capset(2): over a version that the kernel does not know it writes its own, returns EINVAL, and reads no further. */
const isVersionUnknown = ({result}: RawCall): boolean => typeof result === 'object' && result?.errno === 'EINVAL';
/** capset(2): the structure of version 1 has 32 capabilities and no second half. */
const isFirstVersion = (raw: RawCall): boolean => {
  const [header] = raw.pointers;
  return header instanceof Uint8Array && header.length >= 4 && view(header).getUint32(0, true) === 0x19980330;
};

const SECCOMP: Names = [
  [0, 'SECCOMP_SET_MODE_STRICT'],
  [1, 'SECCOMP_SET_MODE_FILTER'],
  [2, 'SECCOMP_GET_ACTION_AVAIL'],
  [3, 'SECCOMP_GET_NOTIF_SIZES'],
];
const SECCOMP_FLAGS: Names = [
  [1, 'SECCOMP_FILTER_FLAG_TSYNC'],
  [2, 'SECCOMP_FILTER_FLAG_LOG'],
  [4, 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'],
  [8, 'SECCOMP_FILTER_FLAG_NEW_LISTENER'],
  [16, 'SECCOMP_FILTER_FLAG_TSYNC_ESRCH'],
  [32, 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'],
];

const PRCTL: Names = [
  [1, 'PR_SET_PDEATHSIG'],
  [4, 'PR_SET_DUMPABLE'],
  [8, 'PR_SET_KEEPCAPS'],
  [22, 'PR_SET_SECCOMP'],
  [24, 'PR_CAPBSET_DROP'],
  [28, 'PR_SET_SECUREBITS'],
  [36, 'PR_SET_CHILD_SUBREAPER'],
  [38, 'PR_SET_NO_NEW_PRIVS'],
  [47, 'PR_CAP_AMBIENT'],
  [53, 'PR_SET_SPECULATION_CTRL'],
  [62, 'PR_SCHED_CORE'],
  [65, 'PR_SET_MDWE'],
  [0x59616d61, 'PR_SET_PTRACER'],
];
const SECUREBITS: Names = [
  [1, 'SECBIT_NOROOT'],
  [2, 'SECBIT_NOROOT_LOCKED'],
  [4, 'SECBIT_NO_SETUID_FIXUP'],
  [8, 'SECBIT_NO_SETUID_FIXUP_LOCKED'],
  [16, 'SECBIT_KEEP_CAPS'],
  [32, 'SECBIT_KEEP_CAPS_LOCKED'],
  [64, 'SECBIT_NO_CAP_AMBIENT_RAISE'],
  [128, 'SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED'],
  [256, 'SECBIT_EXEC_RESTRICT_FILE'],
  [512, 'SECBIT_EXEC_RESTRICT_FILE_LOCKED'],
  [1024, 'SECBIT_EXEC_DENY_INTERACTIVE'],
  [2048, 'SECBIT_EXEC_DENY_INTERACTIVE_LOCKED'],
];
const AMBIENT: Names = [
  [1, 'PR_CAP_AMBIENT_IS_SET'],
  [2, 'PR_CAP_AMBIENT_RAISE'],
  [3, 'PR_CAP_AMBIENT_LOWER'],
  [4, 'PR_CAP_AMBIENT_CLEAR_ALL'],
];
const PRCTL_SECCOMP: Names = [
  [1, 'SECCOMP_MODE_STRICT'],
  [2, 'SECCOMP_MODE_FILTER'],
];

/** signal(7): the same on every architecture of nsview's. */
const SIGNAL: Names = (
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF ' +
  'WINCH IO PWR SYS'
)
  .split(' ')
  .map((name, index) => [index + 1, `SIG${name}`]);

/** include/linux/sched/coredump.h */
const DUMPABLE: Names = [
  [0, 'SUID_DUMP_DISABLE'],
  [1, 'SUID_DUMP_USER'],
  [2, 'SUID_DUMP_ROOT'],
];
const SPECULATION: Names = [
  [0, 'PR_SPEC_STORE_BYPASS'],
  [1, 'PR_SPEC_INDIRECT_BRANCH'],
  [2, 'PR_SPEC_L1D_FLUSH'],
];
const SPECULATION_CONTROL: Names = [
  [2, 'PR_SPEC_ENABLE'],
  [4, 'PR_SPEC_DISABLE'],
  [8, 'PR_SPEC_FORCE_DISABLE'],
  [16, 'PR_SPEC_DISABLE_NOEXEC'],
];
const SCHED_CORE: Names = [
  [1, 'PR_SCHED_CORE_CREATE'],
  [2, 'PR_SCHED_CORE_SHARE_TO'],
  [3, 'PR_SCHED_CORE_SHARE_FROM'],
];
const SCHED_CORE_SCOPE: Names = [
  [0, 'PR_SCHED_CORE_SCOPE_THREAD'],
  [1, 'PR_SCHED_CORE_SCOPE_THREAD_GROUP'],
  [2, 'PR_SCHED_CORE_SCOPE_PROCESS_GROUP'],
];
const MDWE: Names = [
  [1, 'PR_MDWE_REFUSE_EXEC_GAIN'],
  [2, 'PR_MDWE_NO_INHERIT'],
];
/** An unsigned long of which security/yama/yama_lsm.c takes an int. */
const PTRACER: Names = [[0xffffffff, 'PR_SET_PTRACER_ANY']];

/** prctl(2): what the other arguments are depends on the first. */
const PRCTL_ARGUMENTS: {readonly [option: number]: readonly Parameter[]} = {
  1: [choice('sig', SIGNAL, 64)],
  4: [choice('dumpable', DUMPABLE, 64)],
  8: [size('state')],
  22: [choice('mode', PRCTL_SECCOMP, 64), address('filter')],
  24: [choice('cap', CAPABILITY, 64)],
  28: [flags('flags', SECUREBITS, 64)],
  36: [size('set')],
  38: [size('value')],
  47: [
    choice('operation', AMBIENT, 64),
    // PR_CAP_AMBIENT_CLEAR_ALL has none.
    {name: 'cap', decode: (register, raw) => (argument(raw, 1) === 4n ? uint64(register) : named(register, CAPABILITY))},
  ],
  53: [choice('misfeature', SPECULATION, 64), flags('val', SPECULATION_CONTROL, 64)],
  62: [choice('operation', SCHED_CORE, 64), number('pid'), choice('type', SCHED_CORE_SCOPE)],
  65: [flags('flags', MDWE, 64)],
  1499557217: [choice('pid', PTRACER)],
};

/** Those whose other arguments have to be 0 (kernel/sys.c, security/commoncap.c): told where they are not, which is why it failed. */
const PRCTL_ZEROS: ReadonlySet<number> = new Set([38, 47, 53, 62, 65]);

const LANDLOCK_FS: Names = (
  'EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO MAKE_BLOCK MAKE_SYM ' +
  'REFER TRUNCATE IOCTL_DEV RESOLVE_UNIX'
)
  .split(' ')
  .map((name, index) => [1n << BigInt(index), `LANDLOCK_ACCESS_FS_${name}`]);
const LANDLOCK_NET: Names = [
  [1, 'LANDLOCK_ACCESS_NET_BIND_TCP'],
  [2, 'LANDLOCK_ACCESS_NET_CONNECT_TCP'],
  [4, 'LANDLOCK_ACCESS_NET_BIND_UDP'],
  [8, 'LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP'],
];
const LANDLOCK_SCOPE: Names = [
  [1, 'LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET'],
  [2, 'LANDLOCK_SCOPE_SIGNAL'],
];
const LANDLOCK_RULE: Names = [
  [1, 'LANDLOCK_RULE_PATH_BENEATH'],
  [2, 'LANDLOCK_RULE_NET_PORT'],
];
const LANDLOCK_RESTRICT: Names = [
  [1, 'LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF'],
  [2, 'LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON'],
  [4, 'LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF'],
  [8, 'LANDLOCK_RESTRICT_SELF_TSYNC'],
];

const LANDLOCK_ADD_RULE: Names = [[1, 'LANDLOCK_ADD_RULE_QUIET']];
const LANDLOCK_CREATE: Names = [
  [1, 'LANDLOCK_CREATE_RULESET_VERSION'],
  [2, 'LANDLOCK_CREATE_RULESET_ERRATA'],
];
const FSOPEN: Names = [[1, 'FSOPEN_CLOEXEC']];
const FSMOUNT: Names = [
  [1, 'FSMOUNT_CLOEXEC'],
  [2, 'FSMOUNT_NAMESPACE'],
];
/** Of unshare alone: clone has another flag at the same place. */
const EMPTY_MNTNS = 0x100000n;
const UNSHARE: Names = [[EMPTY_MNTNS, 'UNSHARE_EMPTY_MNTNS']];

/** include/uapi/linux/lsm.h */
const LSM_ATTR: Names = [
  [100, 'LSM_ATTR_CURRENT'],
  [101, 'LSM_ATTR_EXEC'],
  [102, 'LSM_ATTR_FSCREATE'],
  [103, 'LSM_ATTR_KEYCREATE'],
  [104, 'LSM_ATTR_PREV'],
  [105, 'LSM_ATTR_SOCKCREATE'],
];
const LSM_ID: Names = 'CAPABILITY SELINUX SMACK TOMOYO APPARMOR YAMA LOADPIN SAFESETID LOCKDOWN BPF LANDLOCK IMA EVM IPE'
  .split(' ')
  .map((name, index) => [100 + index, `LSM_ID_${name}`]);
const KEYCTL: Names = [
  [1, 'KEYCTL_JOIN_SESSION_KEYRING'],
  [18, 'KEYCTL_SESSION_TO_PARENT'],
];

/** Each of them is a number in the headers of the kernel: a test compares. */
export const KERNEL_NAMES: Names = [
  [MOUNT, UMOUNT, MOVE_MOUNT, AT, OPEN_TREE, MOUNT_ATTR, ATIMES, FSCONFIG, FSPICK, FSOPEN, FSMOUNT, CAPABILITY, CAPABILITY_VERSION],
  [
    SECCOMP,
    SECCOMP_FLAGS,
    PRCTL,
    SECUREBITS,
    AMBIENT,
    PRCTL_SECCOMP,
    SIGNAL,
    SPECULATION,
    SPECULATION_CONTROL,
    SCHED_CORE,
    SCHED_CORE_SCOPE,
    MDWE,
  ],
  [LANDLOCK_FS, LANDLOCK_NET, LANDLOCK_SCOPE, LANDLOCK_RULE, LANDLOCK_RESTRICT, LANDLOCK_CREATE, LANDLOCK_ADD_RULE],
  [LSM_ATTR, LSM_ID, KEYCTL, UNSHARE],
].flat(2);

/* ---- The calls ---- */

const cloneFlags = (name: string): Parameter => ({name, decode: register => cloneFlagNames(BigInt.asUintN(32, register))});

/** clone(2): the signal for the parent at the child's end; the low byte of its flags. */
const signalName = (value: bigint): string => String(named(value, SIGNAL));

/** include/uapi/linux/sched.h, struct clone_args: as far as its caller says that it goes. */
function cloneArgs(args: DataView): CallArgument {
  const at = (offset: number) => args.getBigUint64(offset, true);
  const flags = at(0);
  return {
    flags: cloneFlagNames(flags),
    exit_signal: named(at(32), SIGNAL),
    ...(at(72) === 0n ? {} : {set_tid_size: uint64(at(72))}),
    ...((flags & 0x200000000n) === 0n ? {} : {cgroup: uint64(at(80))}),
  };
}

/** In the order of native/calls.h, which says what of them is a pointer: a test holds the two together. */
const CALLS = {
  unshare: [
    {
      name: 'flags',
      decode: register => {
        // An unsigned long, all of which the kernel looks at (kernel/fork.c, check_unshare_flags).
        const value = BigInt.asUintN(64, register);
        return [...bits(value & EMPTY_MNTNS, UNSHARE), ...cloneFlagNames(value & ~EMPTY_MNTNS)];
      },
    },
  ],
  setns: [{name: 'fd', decode: (register, {fd}) => (fd === null ? int32(register) : {fd: int32(register), ...fd})}, cloneFlags('nstype')],
  mount: [
    string('source'),
    string('target'),
    string('filesystemtype'),
    {
      name: 'mountflags',
      decode: register => bits((register & 0xffff0000n) === MOUNT_MAGIC ? register & 0xffffn : BigInt.asUintN(32, register), MOUNT),
    },
    string('data'),
  ],
  umount2: [string('target'), flags('flags', UMOUNT)],
  move_mount: [directory('from_dfd'), string('from_path'), directory('to_dfd'), string('to_path'), flags('flags', MOVE_MOUNT)],
  open_tree: [directory('dfd'), string('path'), flags('flags', OPEN_TREE)],
  fsopen: [string('fsname'), flags('flags', FSOPEN)],
  fsconfig: [
    number('fd'),
    choice('cmd', FSCONFIG),
    string('key'),
    // A blob's bytes are not told as if they were a string.
    {...string('value'), follows: raw => [1, 3, 4].includes(uint32(argument(raw, 1)))},
    {name: 'aux', decode: (register, raw) => ([3, 4].includes(uint32(argument(raw, 1))) ? directoryFd(register) : int32(register))},
  ],
  fsmount: [number('fd'), flags('flags', FSMOUNT), {name: 'attr_flags', decode: register => mountAttributes(BigInt.asUintN(32, register))}],
  fspick: [directory('dfd'), string('path'), flags('flags', FSPICK)],
  mount_setattr: [directory('dfd'), string('path'), flags('flags', AT), mountAttr(4), size('size')],
  pivot_root: [string('new_root'), string('put_old')],
  chroot: [string('path')],
  setuid: [id('uid')],
  setgid: [id('gid')],
  setreuid: [id('ruid'), id('euid')],
  setregid: [id('rgid'), id('egid')],
  setresuid: [id('ruid'), id('euid'), id('suid')],
  setresgid: [id('rgid'), id('egid'), id('sgid')],
  setfsuid: [id('fsuid')],
  setfsgid: [id('fsgid')],
  setgroups: [
    number('size'),
    {
      ...structure('list', 0, list => Array.from({length: Math.floor(list.byteLength / 4)}, (_, i) => list.getUint32(4 * i, true))),
      length: raw => 4 * Math.max(0, int32(argument(raw, 0))),
    },
  ],
  capset: [
    structure('hdrp', 8, (header, raw) => ({
      ...(isVersionUnknown(raw) ? {} : {version: named(BigInt(header.getUint32(0, true)), CAPABILITY_VERSION)}),
      pid: header.getInt32(4, true),
    })),
    {
      ...structure('datap', 24, (data, raw) => {
        const high = (at: number) => (isFirstVersion(raw) ? 0n : BigInt(data.getUint32(at + 12, true)) << 32n);
        const set = (at: number) => bits(BigInt(data.getUint32(at, true)) | high(at), CAPABILITY_BITS);
        return {effective: set(0), permitted: set(4), inheritable: set(8)};
      }),
      length: raw => (isFirstVersion(raw) ? 12 : 24),
      follows: raw => !isVersionUnknown(raw),
    },
  ],
  prctl: [choice('op', PRCTL)],
  seccomp: [
    choice('operation', SECCOMP),
    flags('flags', SECCOMP_FLAGS),
    // struct sock_fprog: how long the filter is.
    {
      ...structure('args', 16, args => ({len: args.getUint16(0, true)})),
      follows: raw => uint32(argument(raw, 0)) === 1,
    },
  ],
  landlock_create_ruleset: [
    {
      ...structure('attr', 48, (attr, raw) => {
        const has = argument(raw, 1);
        return {
          handled_access_fs: bits(attr.getBigUint64(0, true), LANDLOCK_FS),
          ...(has >= 16n ? {handled_access_net: bits(attr.getBigUint64(8, true), LANDLOCK_NET)} : {}),
          ...(has >= 24n ? {scoped: bits(attr.getBigUint64(16, true), LANDLOCK_SCOPE)} : {}),
          // Of refusals that are not to be logged: new in 7.2.
          ...(has >= 32n ? {quiet_access_fs: bits(attr.getBigUint64(24, true), LANDLOCK_FS)} : {}),
          ...(has >= 40n ? {quiet_access_net: bits(attr.getBigUint64(32, true), LANDLOCK_NET)} : {}),
          ...(has >= 48n ? {quiet_scoped: bits(attr.getBigUint64(40, true), LANDLOCK_SCOPE)} : {}),
        };
      }),
      length: raw => lengthOf(raw, 1),
    },
    size('size'),
    flags('flags', LANDLOCK_CREATE),
  ],
  landlock_add_rule: [
    number('ruleset_fd'),
    choice('rule_type', LANDLOCK_RULE),
    {
      ...structure('rule_attr', 16, (attr, raw) =>
        uint32(argument(raw, 1)) === 2
          ? {allowed_access: bits(attr.getBigUint64(0, true), LANDLOCK_NET), port: uint64(attr.getBigUint64(8, true))}
          : {allowed_access: bits(attr.getBigUint64(0, true), LANDLOCK_FS), parent_fd: attr.getInt32(8, true)},
      ),
      length: raw => (uint32(argument(raw, 1)) === 2 ? 16 : 12),
    },
    flags('flags', LANDLOCK_ADD_RULE),
  ],
  landlock_restrict_self: [number('ruleset_fd'), flags('flags', LANDLOCK_RESTRICT)],
  sethostname: [counted('name', 1), number('len')],
  setdomainname: [counted('name', 1), number('len')],
  clone: [
    {
      name: 'flags',
      decode: register => {
        const value = BigInt.asUintN(32, register);
        const signal = value & 0xffn;
        return [...cloneFlagNames(value & ~0xffn), ...(signal === 0n ? [] : [signalName(signal)])];
      },
    },
  ],
  clone3: [{...structure('cl_args', 88, cloneArgs), length: raw => lengthOf(raw, 1)}, size('size')],
  open_tree_attr: [directory('dfd'), string('path'), flags('flags', OPEN_TREE), mountAttr(4), size('size')],
  lsm_set_self_attr: [
    choice('attr', LSM_ATTR),
    // struct lsm_ctx, whose text has the length that it tells itself.
    {
      ...structure('ctx', 32, (ctx, raw) => {
        const told = ctx.getBigUint64(24, true);
        const room = Math.max(0, ctx.byteLength - 32);
        const length = told < BigInt(room) ? Number(told) : room;
        return {
          id: named(ctx.getBigUint64(0, true), LSM_ID),
          flags: uint64(ctx.getBigUint64(8, true)),
          ctx: lengthOf(raw, 2) < 32 ? null : text(new Uint8Array(ctx.buffer, ctx.byteOffset + 32, length)),
        };
      }),
      length: raw => uint32(argument(raw, 2)),
    },
    unsigned('size'),
    unsigned('flags'),
  ],
  keyctl: [choice('operation', KEYCTL), {...string('name'), follows: raw => uint32(argument(raw, 0)) === 1}],
} as const satisfies {readonly [name: string]: readonly Parameter[]};

export type CallName = keyof typeof CALLS;
const CALLS_BY_NAME: {readonly [name in CallName]: readonly Parameter[]} = CALLS;
export const CALL_NAMES = Object.keys(CALLS) as readonly CallName[];

/** Of a string no more than this is kept with its NUL, of anything else no more than this. */
const isCut = (parameter: Parameter, bytes: Uint8Array, raw: RawCall): boolean =>
  parameter.length === undefined ? parameter.pointer === text && bytes.length >= KEPT : parameter.length(raw) > KEPT;

export type DecodedCall = {
  /** By the names of the man page, in order. */
  readonly args: CallArguments;
  /** Those of them of which only the beginning was kept. */
  readonly cut: readonly string[];
};

const unread = (errno: string, register: bigint): Refusal => ({errno, during: `read ${hexadecimal(register)}`});

export function decodeArguments(raw: RawCall): DecodedCall {
  const args: {[name: string]: CallArgument} = {};
  const cut: string[] = [];
  const pointers = raw.pointers.values();
  const take = (parameter: Parameter, register: bigint): CallArgument => {
    const {pointer} = parameter;
    if (pointer === undefined) return parameter.decode(register, raw);
    const bytes = pointers.next().value ?? null;
    if (parameter.follows?.(raw) === false) return parameter.decode(register, raw);
    if (bytes === null) return null;
    if (isRefusal(bytes)) return unread(bytes.errno, register);
    // Some of it is there, and what the kernel missed is the rest.
    const isShort = parameter.length !== undefined && bytes.length < Math.min(KEPT, parameter.length(raw));
    if (isShort && typeof raw.result === 'object' && raw.result?.errno === 'EFAULT') return unread('EFAULT', register);
    if (isCut(parameter, bytes, raw)) cut.push(parameter.name);
    return pointer(parameter.length === undefined ? bytes : bytes.subarray(0, parameter.length(raw)), raw);
  };
  for (const [index, parameter] of CALLS_BY_NAME[raw.name].entries()) args[parameter.name] = take(parameter, argument(raw, index));
  if (raw.name === 'prctl') {
    const option = uint32(argument(raw, 0));
    const parameters = PRCTL_ARGUMENTS[option] ?? [];
    for (const [index, parameter] of parameters.entries()) args[parameter.name] = take(parameter, argument(raw, index + 1));
    for (let index = parameters.length + 1; index < 5; index++)
      if (PRCTL_ZEROS.has(option) && argument(raw, index) !== 0n) args[`arg${index + 1}`] = uint64(argument(raw, index));
  }
  return {args, cut};
}

/** A bit for each of its arguments that is a pointer to what is read. */
export const pointerMask = (name: CallName): number =>
  CALLS_BY_NAME[name].reduce((mask, {pointer}, index) => (pointer === undefined ? mask : mask | (1 << index)), 0);

/** How many there are. */
export const pointerCount = (name: CallName): number => CALLS_BY_NAME[name].filter(({pointer}) => pointer !== undefined).length;

/** Is this argument a string from the program's memory, and not a name of the kernel's? */
export const isString = (name: string, argument: string): boolean =>
  CALL_NAMES.includes(name as CallName) &&
  CALLS_BY_NAME[name as CallName].some(
    parameter => parameter.name === argument && (parameter.pointer === text || parameter.pointer === byteText),
  );
