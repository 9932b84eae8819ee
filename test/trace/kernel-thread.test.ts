import {readFileSync} from 'node:fs';
import {expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {run} from '../support/nsview.ts';

leaveNothingBehind();

it('a kernel thread cannot be attached to: the rule that refused', async context => {
  // PF_KTHREAD (include/linux/sched.h), in field 9; the second of a machine is the first of them, but not of every pid namespace.
  const flags = Number(/\) (?:\S+ ){6}(\d+)/.exec(readFileSync('/proc/2/stat', 'utf8'))?.[1]);
  if (!(flags & 0x200000)) context.skip('needs a kernel thread in sight, and this pid namespace has none');
  const thread = await run('trace', '--follow', 'ptrace', '-p', '2');
  expect(thread.code).toBe(1);
  expect(thread.stderr).toContain('kernel thread');
});
