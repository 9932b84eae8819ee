// Knows how to read which cgroups a process sees itself in.

import {type CgroupView, isRefusal, type Seen} from '../model/fact.ts';
import {readInNamespace} from './namespace-file.ts';
import {readLink, readText} from './proc-file.ts';
import {decodeCgroup} from './process.ts';

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
  const text = readInNamespace(`/proc/${pid}/ns/cgroup`, 'cgroup', `/proc/${pid}/cgroup`, MOST);
  return {sameNamespace: false, inside: isRefusal(text) ? text : decodeCgroup(text)};
}
