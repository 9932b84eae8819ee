// Knows how to find the mount namespaces that nobody is in, and to read the mounts of one through any file that leads to it.

import type {Mount, Refusal, Seen} from '../model/fact.ts';
import {errnoName} from './errno.ts';
import {decodeTable} from './mountinfo.ts';
import {loadNative} from './native.ts';

/** Of one mountinfo: about 20,000 mounts. */
const TABLE = 1 << 22;
let buffer: Buffer | undefined;
const stage = new Int32Array(1);
const STAGES = ['open', 'setns', 'read'];

/** The mounts of the mount namespace whose nsfs file is at `path`: a bind mount, /proc/PID/fd/N. */
export function readMountsThrough(path: string): Seen<Mount[]> {
  buffer ??= Buffer.allocUnsafe(TABLE);
  const size = loadNative().mountTable(path, buffer, TABLE, stage);
  if (size < 0) return {errno: errnoName(-size), during: STAGES[stage[0] ?? 0] ?? 'read'};
  return decodeTable(buffer.subarray(0, size));
}

const MOST = 65536;

/**
 * Every mount namespace but nsview's own, with its number of mounts and a path to it that is good until the next is asked for: by
 * NS_MNT_GET_NEXT of Linux 6.12 (ioctl_nsfs(2)). Returns null where all were told; else what refused.
 */
export function* walkMountNamespaces(): Generator<
  {readonly inode: string; readonly mounts: number; readonly path: string},
  Refusal | null
> {
  const native = loadNative();
  const ret = new BigInt64Array(2);
  let at = -1;
  try {
    for (const backwards of [0, 1]) {
      for (let count = 0; count < MOST; count++) {
        const next = native.nextMountNamespace(at, backwards, ret);
        if (at >= 0) native.close(at);
        at = next;
        if (next < 0) {
          // ENOENT: there is no other.
          if (errnoName(-next) !== 'ENOENT') return {errno: errnoName(-next), during: 'ioctl NS_MNT_GET_NEXT'};
          break;
        }
        yield {inode: String(ret[0]), mounts: Number(ret[1]), path: `/proc/self/fd/${next}`};
      }
      if (at >= 0) native.close(at);
      at = -1;
    }
    return null;
  } finally {
    if (at >= 0) native.close(at);
  }
}
