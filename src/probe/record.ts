// Knows the records of native/nsview.h: bytes from the helper's pipe in, plain values out.

import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';

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
];

/** enum nsv_follow. */
export const FOLLOW = {auto: 0, ptrace: 1, bpf: 2} as const;

/** The stages after which a process was not there, or was nsview's own. */
export const STAGE = {find: 8, self: 9} as const;

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
