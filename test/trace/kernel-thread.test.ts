import {readFileSync} from 'node:fs';
import {describe, expect, it, type TestContext} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {run} from '../support/nsview.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** PF_KTHREAD (include/linux/sched.h), in field 9; the second of a machine is the first of them, but not of every pid namespace. */
function needsKernelThread(context: TestContext): void {
  const flags = Number(/\) (?:\S+ ){6}(\d+)/.exec(readFileSync('/proc/2/stat', 'utf8'))?.[1]);
  if (!(flags & 0x200000)) context.skip('needs a kernel thread in sight, and this pid namespace has none');
}

describe('a kernel thread', () => {
  it('cannot be attached to: the rule that refused', async context => {
    needsKernelThread(context);
    const thread = await run('trace', '--follow', 'ptrace', '-p', '2');
    expect(thread.code).toBe(1);
    expect(thread.stderr).toContain('kernel thread');
  });

  it('keeps its namespaces for ever: no signal is told that would end it', async context => {
    needsKernelThread(context);
    needsRoot('look at the namespaces of the kernel');
    for (const type of ['net', 'user']) {
      const {stdout, code} = await run('who-pins', `2:${type}`);
      expect(code).toBe(0);
      expect(stdout).toMatch(
        new RegExp(`^${type}:\\[\\d+\\]\n {2}\\d+ processes, kernel threads among them: it stays as long as the kernel\n`),
      );
      expect(stdout).not.toContain('kill');
    }
  });

  it('is on the root of the machine for ever: nobody is told to end for it', async context => {
    needsKernelThread(context);
    needsRoot('look at what the kernel has of its mounts');
    const {stdout, stderr, code} = await run('who-pins', '/proc/2/root');
    if (stderr.includes('mountinfo: ENOENT')) context.skip('needs kernel threads whose root is in sight');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/\nThe root: umount makes its file system read-only, and leaves it mounted\.\n/);
    expect(stdout).toMatch(/\nOn it are:\n {2}\d+ kernel threads, for ever\n/);
    const [here = '', elsewhere = ''] = stdout.split('mounted elsewhere');
    expect(here).not.toMatch(/kill|gdb|umount --lazy/);
    // The root of a mount namespace cannot be unmounted.
    expect(elsewhere).not.toMatch(/umount \/$/m);
  });
});
