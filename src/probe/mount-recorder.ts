// Knows which mount tables a recording should hold, so that a replay can show them: each namespace's when it is first seen, and again
// when a program starts in it, since that is when whoever prepared it is done.

import {type Fact, isRefusal, type MountsFact, type Seen} from '../model/fact.ts';
import {readMountinfo} from './mountinfo.ts';
import {readMountsFact} from './mounts-fact.ts';

/** Nanoseconds between two readings of one namespace: a storm of programs in it is no reason to read it as often. */
const PAUSE = 250_000_000n;

/** Called with facts in order; returns the tables to record after them. */
export function createMountRecorder(): (facts: readonly Fact[]) => MountsFact[] {
  const spaceOf = new Map<number, string>();
  const last = new Map<string, {readonly at: bigint; readonly table: Buffer}>();

  const enter = (pid: number, inode: Seen<string> | undefined): string | null => {
    if (inode === undefined || isRefusal(inode)) return null;
    spaceOf.set(pid, inode);
    return inode;
  };

  /** Dated as the last of the facts after which it stands, so that the tape stays in order. */
  const read = (at: string, pid: number, inode: string, onlyFirst: boolean): MountsFact[] => {
    const now = process.hrtime.bigint();
    const before = last.get(inode);
    if (before !== undefined && (onlyFirst || now - before.at < PAUSE)) return [];
    const table = readMountinfo(pid);
    if (isRefusal(table)) return [];
    last.set(inode, {at: now, table});
    if (before?.table.equals(table)) return [];
    const fact = readMountsFact(inode, pid, table);
    return isRefusal(fact.mounts) ? [] : [{...fact, at}];
  };

  return facts => {
    const recorded: MountsFact[] = [];
    const at = facts.at(-1)?.at ?? '0';
    for (const fact of facts) {
      if (fact.kind === 'process') {
        const inode = enter(fact.pid, fact.namespaces.mnt);
        if (inode !== null) recorded.push(...read(at, fact.pid, inode, true));
      } else if (fact.kind === 'clone') {
        const inode = enter(fact.child, fact.changed.mnt?.to ?? spaceOf.get(fact.pid));
        if (inode !== null) recorded.push(...read(at, fact.child, inode, true));
      } else if (fact.kind === 'namespaces' && fact.tid === fact.pid) {
        const inode = enter(fact.pid, fact.changed.mnt?.to);
        if (inode !== null) recorded.push(...read(at, fact.pid, inode, true));
      } else if (fact.kind === 'exec') {
        const inode = spaceOf.get(fact.pid);
        if (inode !== undefined) recorded.push(...read(at, fact.pid, inode, false));
      } else if (fact.kind === 'exit') spaceOf.delete(fact.pid);
    }
    return recorded;
  };
}
