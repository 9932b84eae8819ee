// Knows how to read a file, or all files of a folder, as a process of another namespace sees them.

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

/** As many bytes as the files below a folder may have: some thousand interfaces, each with the settings of both families. */
const MOST_BELOW = 16 * 2 ** 20;

/** Every small file below a folder, by its way from there, without what may not be read. `namespace`: null for nsview's own. */
export function readFolderInNamespace(namespace: string | null, type: 'net' | 'user', folder: string): Seen<ReadonlyMap<string, string>> {
  const flag = NAMESPACES.find(kind => kind.type === type)?.value ?? 0;
  const stage = new Int32Array(1);
  for (let most = 2 ** 17; ; most *= 4) {
    const buffer = Buffer.alloc(most);
    const size = loadNative().readInNamespace(namespace, flag, folder, buffer, most, stage);
    if (size < 0 && errnoName(-size) === 'E2BIG' && most < MOST_BELOW) continue;
    if (size < 0) return {errno: errnoName(-size), during: STAGES[stage[0] ?? 0] ?? 'read'};
    const words = buffer.toString('utf8', 0, size).split('\0');
    const files = new Map<string, string>();
    for (let index = 0; index + 1 < words.length; index += 2) files.set(words[index] ?? '', words[index + 1] ?? '');
    return files;
  }
}
