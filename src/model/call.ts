// Knows the system calls that change isolation: what each argument means, by the kernel's names (the man page of each call; include/uapi/linux).

import {cloneFlagNames} from './clone-flag.ts';
import type {CallArgument, CallArguments, CallResult, Refusal} from './fact.ts';
import {isRefusal} from './fact.ts';
import {printable} from './printable.ts';

/** A call as it was caught: registers, and what its pointers led to. */
export type RawCall = {
  readonly name: CallName;
  readonly registers: readonly bigint[];
  /** One for each argument of kind `string` or `bytes`, in order; null for a null pointer, a refusal for a bad one. */
  readonly pointers: readonly (Uint8Array | null | Refusal)[];
  /** What the fd of setns is, where that is known. */
  readonly fd: {readonly namespace: {readonly type: string; readonly inode: string}} | {readonly pid: number} | null;
};

type Names = readonly (readonly [value: number | bigint, name: string])[];

type Parameter = {
  readonly name: string;
  /** Takes the register, or for a pointer what it led to. */
  readonly decode: (register: bigint, raw: RawCall) => CallArgument;
  /** From memory: takes the next of `pointers`. `length` of what is kept at most; a string ends before. */
  readonly pointer?: (bytes: Uint8Array, raw: RawCall) => CallArgument;
};

/* ---- Registers ---- */

const int32 = (register: bigint): number => Number(BigInt.asIntN(32, register));
const uint32 = (register: bigint): number => Number(BigInt.asUintN(32, register));

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;

/** The names of all bits that are set, and one hexadecimal number for those that have none. */
function bits(value: bigint, names: Names): string[] {
  const told: string[] = [];
  let rest = value;
  for (const [bit, name] of names)
    if ((value & BigInt(bit)) === BigInt(bit) && (rest & BigInt(bit)) !== 0n) {
      told.push(name);
      rest &= ~BigInt(bit);
    }
  if (rest !== 0n) told.push(hexadecimal(rest));
  return told;
}

const flags = (name: string, names: Names, width: 32 | 64 = 32): Parameter => ({
  name,
  decode: register => bits(BigInt.asUintN(width, register), names),
});
const number = (name: string): Parameter => ({name, decode: int32});
const unsigned = (name: string): Parameter => ({name, decode: uint32});
const address = (name: string): Parameter => ({name, decode: register => (register === 0n ? null : hexadecimal(register))});
/** One of several: its name, or the number where it has none. */
const choice = (name: string, names: Names): Parameter => ({
  name,
  decode: register => names.find(([value]) => BigInt(value) === BigInt.asUintN(32, register))?.[1] ?? uint32(register),
});
/** setresuid(2): -1 leaves an id as it is. */
const id = (name: string): Parameter => ({name, decode: register => (uint32(register) === 0xffffffff ? -1 : uint32(register))});
const directory = (name: string): Parameter => ({name, decode: register => (int32(register) === -100 ? 'AT_FDCWD' : int32(register))});

/* ---- Memory ---- */

const decoder = new TextDecoder();

/** A string with its NUL; one that was cut ends in an ellipsis. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const string = decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
  return bytes.length >= KEPT && (end < 0 || end === bytes.length - 1) ? `${string}…` : string;
}

/** NSV_POINTER_MAX of native/calls.h. */
const KEPT = 1024;

const string = (name: string): Parameter => ({name, decode: () => null, pointer: text});
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
/** A structure of `size` bytes; a shorter one, as the call's own size argument may say, is filled up with zeros, as the kernel does. */
const structure = (name: string, size: number, pointer: (view: DataView, raw: RawCall) => CallArgument): Parameter => ({
  name,
  decode: () => null,
  pointer: (bytes, raw) => {
    const whole = new Uint8Array(Math.max(size, bytes.length));
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

const OPEN_TREE: Names = [[1, 'OPEN_TREE_CLONE'], [CLOEXEC, 'OPEN_TREE_CLOEXEC'], ...AT];

const MOUNT_ATTR: Names = [
  [0x1, 'MOUNT_ATTR_RDONLY'],
  [0x2, 'MOUNT_ATTR_NOSUID'],
  [0x4, 'MOUNT_ATTR_NODEV'],
  [0x8, 'MOUNT_ATTR_NOEXEC'],
  [0x70, 'MOUNT_ATTR__ATIME'],
  [0x10, 'MOUNT_ATTR_NOATIME'],
  [0x20, 'MOUNT_ATTR_STRICTATIME'],
  [0x80, 'MOUNT_ATTR_NODIRATIME'],
  [0x100000, 'MOUNT_ATTR_IDMAP'],
  [0x200000, 'MOUNT_ATTR_NOSYMFOLLOW'],
];

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
const CAPABILITY: Names = CAPABILITIES.map((name, index) => [index, `CAP_${name}`]);
const CAPABILITY_BITS: Names = CAPABILITIES.map((name, index) => [1n << BigInt(index), `CAP_${name}`]);

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

/** prctl(2): what the second and third arguments are depends on the first. */
const PRCTL_ARGUMENTS: {readonly [option: number]: readonly Parameter[]} = {
  1: [number('sig')],
  4: [number('dumpable')],
  8: [number('state')],
  22: [choice('mode', PRCTL_SECCOMP), address('filter')],
  24: [choice('cap', CAPABILITY)],
  28: [flags('flags', SECUREBITS)],
  36: [number('set')],
  38: [number('value')],
  47: [choice('operation', AMBIENT), choice('cap', CAPABILITY)],
  53: [number('misfeature'), number('val')],
  65: [number('flags')],
  1499557217: [number('pid')],
};

const LANDLOCK_FS: Names = (
  'EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO MAKE_BLOCK MAKE_SYM ' +
  'REFER TRUNCATE IOCTL_DEV'
)
  .split(' ')
  .map((name, index) => [1n << BigInt(index), `LANDLOCK_ACCESS_FS_${name}`]);
const LANDLOCK_NET: Names = [
  [1, 'LANDLOCK_ACCESS_NET_BIND_TCP'],
  [2, 'LANDLOCK_ACCESS_NET_CONNECT_TCP'],
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
];

/* ---- The calls ---- */

const cloneFlags = (name: string): Parameter => ({name, decode: register => cloneFlagNames(BigInt.asUintN(32, register))});

/** In the order of native/calls.h, which says what of them is a pointer: a test holds the two together. */
const CALLS = {
  unshare: [cloneFlags('flags')],
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
  fsopen: [string('fsname'), flags('flags', [[1, 'FSOPEN_CLOEXEC']])],
  fsconfig: [
    number('fd'),
    choice('cmd', FSCONFIG),
    string('key'),
    {
      name: 'value',
      decode: () => null,
      // A blob's bytes are not told as if they were a string.
      pointer: (bytes, raw) => (uint32(raw.registers[1] ?? 0n) === 2 ? hexadecimal(raw.registers[3] ?? 0n) : text(bytes)),
    },
    number('aux'),
  ],
  fsmount: [number('fd'), flags('flags', [[1, 'FSMOUNT_CLOEXEC']]), flags('attr_flags', MOUNT_ATTR)],
  fspick: [directory('dfd'), string('path'), flags('flags', FSPICK)],
  mount_setattr: [
    directory('dfd'),
    string('path'),
    flags('flags', AT),
    structure('attr', 32, attr => ({
      attr_set: bits(attr.getBigUint64(0, true), MOUNT_ATTR),
      attr_clr: bits(attr.getBigUint64(8, true), MOUNT_ATTR),
      propagation: bits(attr.getBigUint64(16, true), MOUNT),
      userns_fd: Number(attr.getBigUint64(24, true)),
    })),
    unsigned('size'),
  ],
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
    unsigned('size'),
    structure('list', 0, list => Array.from({length: Math.floor(list.byteLength / 4)}, (_, i) => list.getUint32(4 * i, true))),
  ],
  capset: [
    structure('hdrp', 8, header => ({version: hexadecimal(BigInt(header.getUint32(0, true))), pid: header.getInt32(4, true)})),
    structure('datap', 24, data => {
      const set = (at: number) => bits(BigInt(data.getUint32(at, true)) | (BigInt(data.getUint32(at + 12, true)) << 32n), CAPABILITY_BITS);
      return {effective: set(0), permitted: set(4), inheritable: set(8)};
    }),
  ],
  prctl: [choice('op', PRCTL)],
  seccomp: [
    choice('operation', SECCOMP),
    flags('flags', SECCOMP_FLAGS),
    // struct sock_fprog: how long the filter is. For the other operations this is something else, or nothing.
    structure('args', 16, (args, raw) =>
      uint32(raw.registers[0] ?? 0n) === 1 ? {len: args.getUint16(0, true)} : hexadecimal(raw.registers[2] ?? 0n),
    ),
  ],
  landlock_create_ruleset: [
    structure('attr', 24, attr => ({
      handled_access_fs: bits(attr.getBigUint64(0, true), LANDLOCK_FS),
      handled_access_net: bits(attr.getBigUint64(8, true), LANDLOCK_NET),
      scoped: bits(attr.getBigUint64(16, true), LANDLOCK_SCOPE),
    })),
    unsigned('size'),
    flags('flags', [
      [1, 'LANDLOCK_CREATE_RULESET_VERSION'],
      [2, 'LANDLOCK_CREATE_RULESET_ERRATA'],
    ]),
  ],
  landlock_add_rule: [
    number('ruleset_fd'),
    choice('rule_type', LANDLOCK_RULE),
    structure('rule_attr', 16, (attr, raw) =>
      uint32(raw.registers[1] ?? 0n) === 2
        ? {allowed_access: bits(attr.getBigUint64(0, true), LANDLOCK_NET), port: Number(attr.getBigUint64(8, true))}
        : {allowed_access: bits(attr.getBigUint64(0, true), LANDLOCK_FS), parent_fd: attr.getInt32(8, true)},
    ),
    unsigned('flags'),
  ],
  landlock_restrict_self: [number('ruleset_fd'), flags('flags', LANDLOCK_RESTRICT)],
  sethostname: [{name: 'name', decode: () => null, pointer: bytes => decoder.decode(bytes)}, unsigned('len')],
  setdomainname: [{name: 'name', decode: () => null, pointer: bytes => decoder.decode(bytes)}, unsigned('len')],
  clone: [{name: 'flags', decode: register => cloneFlagNames(BigInt.asUintN(32, register) & ~0xffn)}],
  clone3: [structure('cl_args', 8, args => ({flags: cloneFlagNames(args.getBigUint64(0, true))}))],
} as const satisfies {readonly [name: string]: readonly Parameter[]};

export type CallName = keyof typeof CALLS;
export const CALL_NAMES = Object.keys(CALLS) as readonly CallName[];

/** Its arguments by the names of the man page, in order. */
export function decodeArguments(raw: RawCall): CallArguments {
  const decoded: {[name: string]: CallArgument} = {};
  const pointers = raw.pointers.values();
  const one = (parameter: Parameter, register: bigint) => {
    if (parameter.pointer === undefined) {
      decoded[parameter.name] = parameter.decode(register, raw);
      return;
    }
    const bytes = pointers.next().value ?? null;
    decoded[parameter.name] = bytes === null || isRefusal(bytes) ? bytes : parameter.pointer(bytes, raw);
  };
  for (const [index, parameter] of (CALLS[raw.name] as readonly Parameter[]).entries()) one(parameter, raw.registers[index] ?? 0n);
  if (raw.name === 'prctl')
    for (const [index, parameter] of (PRCTL_ARGUMENTS[uint32(raw.registers[0] ?? 0n)] ?? []).entries())
      one(parameter, raw.registers[index + 1] ?? 0n);
  return decoded;
}

/** A bit for each of its arguments that is a pointer to what is read. */
export const pointerMask = (name: CallName): number =>
  (CALLS[name] as readonly Parameter[]).reduce((mask, {pointer}, index) => (pointer === undefined ? mask : mask | (1 << index)), 0);

/** How many there are. */
export const pointerCount = (name: CallName): number =>
  (CALLS[name] as readonly Parameter[]).filter(({pointer}) => pointer !== undefined).length;

/* ---- As a person reads it ---- */

const PLAIN = /^[A-Z_][A-Z0-9_x]*$/;

/** Harmless to a terminal: names as they are, strings in quotes. */
function argumentText(argument: CallArgument): string {
  if (argument === null) return 'NULL';
  if (typeof argument === 'number') return String(argument);
  if (typeof argument === 'string')
    return PLAIN.test(argument) || argument.startsWith('0x') ? printable(argument) : `"${printable(argument)}"`;
  if (isRefusal(argument)) return argument.errno === 'EFAULT' ? 'bad address' : printable(argument.errno);
  if (Array.isArray(argument)) {
    const list = argument as readonly (string | number)[];
    if (list.length === 0) return '0';
    if (typeof list[0] === 'number') return `[${list.join(', ')}]`;
    // Most of the capabilities are easier told by those that are missing.
    if (list.length > CAPABILITIES.length / 2 && list.every(item => CAPABILITY.some(([, name]) => name === item))) {
      const missing = CAPABILITY.filter(([, name]) => !list.includes(name)).map(([, name]) => name);
      return missing.length === 0 ? 'all' : `all but ${missing.join('|')}`;
    }
    return list.map(item => printable(String(item))).join('|');
  }
  const entries = Object.entries(argument as {readonly [name: string]: CallArgument});
  const [fd, what] = [entries.find(([key]) => key === 'fd')?.[1], entries.find(([key]) => key !== 'fd')?.[1]];
  if (typeof fd === 'number') {
    if (typeof what === 'number') return `${fd} (pid ${what})`;
    const {type, inode} = what as {type: string; inode: string};
    return `${fd} (${printable(type)}:[${printable(inode)}])`;
  }
  return `{${entries.map(([key, value]) => `${key}=${argumentText(value)}`).join(', ')}}`;
}

/** `mount("none", "/", NULL, MS_REC|MS_PRIVATE, NULL) = 0`. */
export function callText(call: {readonly name: string; readonly args: CallArguments | null; readonly result: CallResult}): string {
  const args =
    call.args === null
      ? '…'
      : Object.entries(call.args)
          .map(([name, value]) => (name === 'list' && Array.isArray(value) && value.length === 0 ? '[]' : argumentText(value)))
          .join(', ');
  const {result} = call;
  const value = result === null ? '?' : typeof result === 'number' ? String(result) : `-1 ${printable(result.errno)}`;
  return `${printable(call.name)}(${args}) = ${value}`;
}
