// Knows what tests do otherwise where an ordinary user runs them, who makes namespaces only inside of a user namespace of their own.

import {type RunnerTestCase, TestRunner} from 'vitest';

export const isRoot = process.geteuid?.() === 0;

/** Options of unshare(1) that come before those for other namespaces. */
export const ownUser: readonly string[] = isRoot ? [] : ['-Ur'];

/** A program that makes namespaces, to be executed: by the same process in either case. */
export const maker = (program: string, ...args: string[]): [string, ...string[]] =>
  isRoot ? [program, ...args] : ['unshare', '-Ur', program, ...args];

/** Skips the test that runs unless root runs it. `what` completes: no privilege to … */
export function needsRoot(what: string): void {
  if (!isRoot)
    TestRunner.getCurrentTest<RunnerTestCase | undefined>()?.context.skip(`no privilege to ${what}: the tests do not run as root`);
}
