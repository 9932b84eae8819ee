// Knows what a process told the kernel of itself that the kernel tells nobody else: known from the calls that were seen, or not at all.

import {type CallFact, isRefusal} from './fact.ts';

export type Told = {
  /** A thread may have other securebits than the leader: they were set while there were several, each of which has its own (credentials(7)). */
  split: boolean;
  /** Names of PR_SET_SECUREBITS, of the leader; null: not known, since they were set, if they were, before nsview looked (capabilities(7)). */
  securebits: readonly string[] | null;
  /** PR_SET_CHILD_SUBREAPER (prctl(2)); null: not known. */
  subreaper: boolean | null;
};

export const toldNothing = (): Told => ({split: false, securebits: null, subreaper: null});

/** Of another thread than the leader: its securebits may be its own, a subreaper is the whole process. */
export const toldOfThread = (leader: Told): Told => ({...leader, securebits: leader.split ? null : leader.securebits});

/**
 * prctl(2): securebits are inherited, from the thread that made the child; subreaper is not. A new user namespace begins with none
 * (create_user_ns(), kernel/user_namespace.c).
 */
export const toldByMaker = (maker: Told, newUser: boolean, byLeader: boolean): Told => ({
  split: false,
  securebits: newUser ? [] : byLeader || !maker.split ? maker.securebits : null,
  subreaper: false,
});

/** capabilities(7): SECBIT_KEEP_CAPS is cleared by an execve. That of another thread than the leader brings the bits of that. */
export function toldAfterExec(told: Told, byLeader: boolean): void {
  told.securebits = byLeader || !told.split ? (told.securebits?.filter(bit => bit !== 'SECBIT_KEEP_CAPS') ?? null) : null;
  told.split = false;
}

export function observeTold(told: Told, fact: CallFact, threads: number): void {
  if (typeof fact.result === 'object') return;
  // unshare and setns: a process begins in a user namespace with none.
  if (fact.tid === fact.pid && fact.changed.user !== undefined && !isRefusal(fact.changed.user.to)) told.securebits = [];
  if (fact.name !== 'prctl' || fact.args === null) return;
  const {op, flags, set, state} = fact.args;
  if (op === 'PR_SET_CHILD_SUBREAPER' && set !== undefined) told.subreaper = set !== 0;
  const byLeader = fact.tid === fact.pid;
  // A thread that calls is there, whatever a reading of /proc from before its birth said.
  if ((op === 'PR_SET_SECUREBITS' || op === 'PR_SET_KEEPCAPS') && (threads > 0 || !byLeader)) told.split = true;
  if (!byLeader) return;
  if (op === 'PR_SET_SECUREBITS' && Array.isArray(flags)) told.securebits = flags.map(String);
  if (op === 'PR_SET_KEEPCAPS' && told.securebits !== null) {
    const others = told.securebits.filter(bit => bit !== 'SECBIT_KEEP_CAPS');
    told.securebits = state === 0 ? others : [...others, 'SECBIT_KEEP_CAPS'];
  }
}
