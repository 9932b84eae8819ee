// Knows the records of native/nsview.h: bytes from the helper's pipe in, plain values out.

import {CALL_NAMES, pointerCount, type RawCall} from '../model/call.ts';
import type {CallResult, Ids, Refusal} from '../model/fact.ts';
import type {CapabilitySets} from '../model/identity.ts';
import {NAMESPACE_LINKS, NAMESPACES, type NamespaceLink} from '../model/namespace.ts';
import {errnoName} from './errno.ts';

/** enum nsv_record_kind. */
export const RECORD = {
  hello: 1,
  reply: 2,
  process: 3,
  clone: 4,
  exec: 5,
  exit: 6,
  threadExit: 7,
  namespaces: 8,
  stop: 9,
  continue: 10,
  refused: 11,
  lost: 12,
  gone: 13,
  following: 14,
  call: 15,
  cgroup: 16,
} as const;

/** enum nsv_stage, as the call that failed. */
export const STAGES: readonly string[] = [
  'none',
  'ptrace(PTRACE_SEIZE)',
  'clone3',
  'setsid',
  'ioctl(TIOCSCTTY)',
  'dup2',
  'setrlimit(RLIMIT_NOFILE)',
  'execve',
  'open(/proc/PID/status)',
  'ptrace(PTRACE_SEIZE)',
  'malloc',
  'bpf(BPF_MAP_CREATE)',
  'open(/sys/kernel/btf/vmlinux)',
  'bpf(BPF_PROG_LOAD)',
  'mmap',
  'bpf(BPF_RAW_TRACEPOINT_OPEN)',
  'prctl(PR_SET_NO_NEW_PRIVS)',
  'seccomp(SECCOMP_SET_MODE_FILTER)',
  'open --cgroup',
  'write /proc/CHILD/setgroups',
  'write /proc/CHILD/uid_map',
  'write /proc/CHILD/gid_map',
  'setgroups',
  'setresgid',
  'setresuid',
  'sethostname',
  'mount / MS_REC|MS_PRIVATE',
  'mount /proc',
  'fork nsview-guard',
  'ptrace(PTRACE_DETACH)',
];

/** enum nsv_launch_option. */
export const LAUNCH_OPTION = {
  denySetgroups: 1,
  dropGroups: 2,
  becomeGid0: 4,
  becomeUid0: 8,
  privateMounts: 16,
  mountProc: 32,
  killOnExit: 64,
} as const;

/** enum nsv_follow. */
export const FOLLOW = {auto: 0, ptrace: 1, bpf: 2} as const;
export const FOLLOW_FOREIGN = 0x10;
export const FOLLOW_STOPS = 0x20;
export const FOLLOW_FILTER = 0x40;
/** enum nsv_calls. */
export const CALLS_SEEN = {native: 1, foreign: 2, stops: 4, filter: 8} as const;

/** enum nsv_found. */
export const FOUND = {zombie: 1, late: 2} as const;

/** The stages after which a process was not there, was nsview's own, or is traced by a program inside. */
export const STAGE = {find: 8, self: 9, nested: 29} as const;

/** struct nsv_call, as nsv_layout() tells it behind the record's. */
export const CALL_LAYOUT = [232, 0, 48, 64, 136, 208, 212, 216, 224, 228] as const;

/** struct nsv_cred. */
export const CRED_LAYOUT = [72, 0, 16, 32] as const;
const CRED_SIZE = CRED_LAYOUT[0];
/** enum nsv_capabilities. */
const SETS = ['inheritable', 'permitted', 'effective', 'bounding', 'ambient'] as const satisfies readonly (keyof CapabilitySets)[];

/** struct nsv_process: its size, then the offset of each field in declaration order, as nsv_layout() tells them. */
export const PROCESS_LAYOUT = [144, 0, 8, 88, 92, 96, 100, 101, 104, 108, 112, 116, 120, 124, 128, 132, 136, 140] as const;

/** struct nsv_record: its size, then the offset of each field in declaration order, as nsv_layout() tells them. */
export const RECORD_LAYOUT = [232, 0, 4, 6, 8, 16, 20, 24, 28, 32, 40, 48, 52, 56, 72, 152] as const;
const SIZE = RECORD_LAYOUT[0];

/** struct nsv_record. Inodes are null where they were not read, negative errnos where the kernel refused. */
export type HelperRecord = {
  readonly kind: number;
  readonly at: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly other: number;
  readonly ppid: number;
  readonly start: bigint;
  readonly value: bigint;
  readonly error: number;
  readonly stage: number;
  readonly texts: readonly Buffer[];
  readonly ns: InodeLinks;
  readonly childNs: InodeLinks;
};

/** Ten 64-bit inodes as the record holds them: most are never looked at, since most tasks stay where they are. */
export type InodeLinks = Buffer;

/** struct nsv_call: the registers, the sizes of what pointers led to, what its task was before and after, and what the fd of setns is. */
const CALL = {
  size: 232,
  registers: 0,
  sizes: 48,
  before: 64,
  after: 136,
  fdType: 208,
  fdPid: 212,
  fdInode: 216,
  beforeKnown: 224,
  afterKnown: 228,
};
const POINTER_NULL = 0xffffffff;
const POINTER_FAULT = 0xfffffffe;
const POINTER_REFUSED = 0xfffffffd;

const idsAt = (bytes: Buffer, at: number): Ids => [
  bytes.readUInt32LE(at),
  bytes.readUInt32LE(at + 4),
  bytes.readUInt32LE(at + 8),
  bytes.readUInt32LE(at + 12),
];

/** struct nsv_cred. */
export type RecordCred = {readonly uids: Ids; readonly gids: Ids; readonly capabilities: CapabilitySets};

/** Masks as /proc/PID/status writes them. */
function capabilitiesAt(bytes: Buffer, at: number): CapabilitySets {
  const mask = (set: keyof CapabilitySets) =>
    bytes
      .readBigUInt64LE(at + 8 * SETS.indexOf(set))
      .toString(16)
      .padStart(16, '0');
  return {
    effective: mask('effective'),
    permitted: mask('permitted'),
    inheritable: mask('inheritable'),
    bounding: mask('bounding'),
    ambient: mask('ambient'),
  };
}

const credAt = (bytes: Buffer, at: number): RecordCred => ({
  uids: idsAt(bytes, at),
  gids: idsAt(bytes, at + 16),
  capabilities: capabilitiesAt(bytes, at + 32),
});

export type CallRecord = RawCall & {
  /** Null where it was not known. */
  readonly before: RecordCred | null;
  readonly after: RecordCred;
  readonly afterKnown: boolean;
};

/** struct nsv_exec_cred. */
export function decodeExecCred(bytes: Buffer): {readonly before: RecordCred; readonly after: RecordCred} {
  if (bytes.length !== 2 * CRED_SIZE) throw new RecordError('credentials that are none');
  return {before: credAt(bytes, 0), after: credAt(bytes, CRED_SIZE)};
}

/** Errors are the last 4095 numbers (include/linux/err.h, MAX_ERRNO). */
function resultOf(record: HelperRecord): CallResult {
  if (record.error !== 0) return null;
  const result = Number(BigInt.asIntN(64, record.value));
  return result < 0 && result >= -4095 ? {errno: errnoName(-result)} : result;
}

/** A record of kind `call`, with its two texts. */
export function decodeCall(record: HelperRecord): CallRecord {
  const [call, bytes = Buffer.alloc(0)] = record.texts;
  const name = CALL_NAMES[record.other];
  if (call === undefined || call.length !== CALL.size || name === undefined) throw new RecordError('a call that is none');
  const count = pointerCount(name);
  const pointers: (Uint8Array | null | Refusal)[] = [];
  let from = 0;
  for (let i = 0; i < count; i++) {
    const size = call.readUInt32LE(CALL.sizes + 4 * i);
    if (size === POINTER_NULL) pointers.push(null);
    else if (size === POINTER_FAULT) pointers.push({errno: 'EFAULT', during: 'read memory'});
    else if (size === POINTER_REFUSED) pointers.push({errno: 'EPERM', during: 'process_vm_readv'});
    else {
      pointers.push(bytes.subarray(from, from + size));
      from += size;
    }
  }
  const type = call.readUInt32LE(CALL.fdType);
  const fdPid = call.readInt32LE(CALL.fdPid);
  return {
    name,
    registers: Array.from({length: 6}, (_, i) => call.readBigUInt64LE(CALL.registers + 8 * i)),
    pointers,
    fd:
      type !== 0
        ? {namespace: {type: namespaceOfFlag(type), inode: String(call.readBigUInt64LE(CALL.fdInode))}}
        : fdPid > 0
          ? {pid: fdPid}
          : null,
    result: resultOf(record),
    before: call.readUInt32LE(CALL.beforeKnown) === 0 ? null : credAt(call, CALL.before),
    after: credAt(call, CALL.after),
    afterKnown: call.readUInt32LE(CALL.afterKnown) !== 0,
  };
}

/** `net` for CLONE_NEWNET. */
const namespaceOfFlag = (flag: number): string => NAMESPACES.find(({value}) => value === flag)?.type ?? `0x${flag.toString(16)}`;

/** The bytes were not records: the two sides are out of step, which only a bug can do. */
export class RecordError extends Error {}

/**
 * Every whole record in `bytes`, and how many bytes they took. The rest is the beginning of the next record.
 * Texts and links are views of `bytes`, which must not be written to afterwards.
 */
export function decodeRecords(bytes: Buffer): {readonly records: readonly HelperRecord[]; readonly used: number} {
  const records: HelperRecord[] = [];
  let at = 0;
  while (bytes.length - at >= SIZE) {
    const size = bytes.readUInt32LE(at);
    if (size < SIZE || size % 8 !== 0 || size > SIZE + 65536) throw new RecordError(`a record of ${size} bytes`);
    if (bytes.length - at < size) break;
    const textCount = bytes.readUInt16LE(at + 6);
    if (textCount > 4) throw new RecordError(`a record of ${textCount} texts`);
    const texts: Buffer[] = [];
    let from = at + SIZE;
    for (let i = 0; i < textCount; i++) {
      const length = bytes.readUInt32LE(at + 56 + 4 * i);
      if (from + length > at + size) throw new RecordError('a text that is longer than its record');
      texts.push(bytes.subarray(from, from + length));
      from += length;
    }
    records.push({
      kind: bytes.readUInt16LE(at + 4),
      at: bytes.readBigUInt64LE(at + 8),
      pid: bytes.readInt32LE(at + 16),
      tid: bytes.readInt32LE(at + 20),
      other: bytes.readInt32LE(at + 24),
      ppid: bytes.readInt32LE(at + 28),
      start: bytes.readBigUInt64LE(at + 32),
      value: bytes.readBigUInt64LE(at + 40),
      error: bytes.readInt32LE(at + 48),
      stage: bytes.readUInt32LE(at + 52),
      texts,
      ns: bytes.subarray(at + 72, at + 152),
      childNs: bytes.subarray(at + 152, at + 232),
    });
    at += size;
  }
  return {records, used: at};
}

/** Every link with its inode, in the order of /proc/PID/ns. */
export function* linkEntries(links: InodeLinks): Generator<readonly [NamespaceLink, bigint]> {
  for (const [index, link] of NAMESPACE_LINKS.entries()) yield [link, links.readBigInt64LE(8 * index)];
}
