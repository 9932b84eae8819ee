// Knows how to find which objects of clone(2) threads have of their own.

import {SHAREABLE, type Shareable} from '../model/sharing.ts';
import {loadNative} from './native.ts';

/** Of each thread that has one of `kinds` otherwise than `task`, which those are; empty where kcmp(2) is refused. */
export function readObjectsApart(task: number, tids: readonly number[], kinds: readonly Shareable[]): Map<number, Shareable[]> {
  const native = loadNative();
  const others = Int32Array.from(tids);
  const results = new Int32Array(others.length);
  const apart = new Map<number, Shareable[]>();
  for (const {kind, kcmp} of SHAREABLE) {
    if (!kinds.includes(kind) || native.kcmp(task, others, others.length, kcmp, results) !== 0) continue;
    for (const [index, tid] of tids.entries()) if ((results[index] ?? 0) > 0) apart.set(tid, [...(apart.get(tid) ?? []), kind]);
  }
  return apart;
}
