// Knows how to read a file as a process of another namespace sees it.

import type {Seen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';

/** enum nsv_cgroup_stage, as the call that failed. */
const STAGES: readonly string[] = ['open', 'setns', 'read'];

/** At most `most` bytes, as text. `namespace`: a file that leads to it. */
export function readInNamespace(
  namespace: string,
  type: 'cgroup' | 'uts' | 'net' | 'ipc' | 'user',
  file: string,
  most: number,
): Seen<string> {
  const buffer = Buffer.alloc(most);
  const stage = new Int32Array(1);
  const flag = NAMESPACES.find(kind => kind.type === type)?.value ?? 0;
  const size = loadNative().readInNamespace(namespace, flag, file, buffer, most, stage);
  if (size < 0) return {errno: errnoName(-size), during: STAGES[stage[0] ?? 0] ?? 'read'};
  return buffer.toString('utf8', 0, size);
}
