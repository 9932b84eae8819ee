// Knows how to read which cgroups a process sees itself in.

import {type CgroupView, isRefusal, type Seen} from '../model/fact.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';
import {readLink, readText} from './proc-file.ts';
import {decodeCgroup} from './process.ts';

/** enum nsv_cgroup_stage, as the call that failed. */
const STAGES: readonly string[] = ['open', 'setns', 'read'];

/** A path is at most a page; there are at most some 16 hierarchies. */
const MOST = 128 * 1024;

export function readCgroupView(pid: number): Seen<CgroupView> {
  const outside = readText(`/proc/${pid}/cgroup`);
  if (isRefusal(outside)) return outside;
  const [theirs, own] = [readLink(`/proc/${pid}/ns/cgroup`), readLink('/proc/self/ns/cgroup')];
  // Without leave to read the link nothing tells which namespace it is; a kernel without any tells ENOENT of both.
  if (isRefusal(theirs) || isRefusal(own))
    return {sameNamespace: null, inside: isRefusal(theirs) ? theirs : {errno: 'ENOENT', during: 'readlink'}};
  if (theirs === own) return {sameNamespace: true, inside: decodeCgroup(outside)};
  const buffer = Buffer.alloc(MOST);
  const stage = new Int32Array(1);
  const size = loadNative().readInCgroupNamespace(`/proc/${pid}/ns/cgroup`, `/proc/${pid}/cgroup`, buffer, MOST, stage);
  if (size < 0) return {sameNamespace: false, inside: {errno: errnoName(-size), during: STAGES[stage[0] ?? 0] ?? 'read'}};
  return {sameNamespace: false, inside: decodeCgroup(buffer.toString('utf8', 0, size))};
}
