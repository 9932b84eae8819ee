// nsview reads of processes what /proc tells, and follows those that system calls name: where they are not the same, it has to say so.

import {readdirSync, readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {type Outcome, Running, temporaryFolder} from '../support/nsview.ts';
import {NSVIEW} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

async function runIn(enter: readonly string[], ...args: readonly string[]): Promise<Outcome> {
  const [program = '', ...rest] = [...enter, NSVIEW, ...args];
  await using running = new Running(program, rest);
  running.release();
  return await running.ended;
}

/** 0 of one that is gone. */
function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return 0;
  }
}

/** A pid namespace whose /proc is still the one around. */
const OLD_PROC = ['unshare', '--user', '--map-root-user', '--pid', '--fork'];

describe('a /proc of another pid namespace', () => {
  it.each([
    ['snapshot'],
    ['trace', '--', 'true'],
    ['-p', '1'],
    ['--', 'true'],
    ['who-pins', '/'],
    ['claims', 'CLONE_FS'],
    ['claims', 'CLONE_FS', '--watch'],
  ])('is no source for: nsview %s %s %s', async (...args) => {
    const {code, stdout, stderr} = await runIn(OLD_PROC, ...args);
    expect(stderr).toMatch(
      /^nsview: \/proc is of another pid namespace, in which nsview is process \d+, not \d+: .*: mount -t proc proc \/proc in .*\n$/,
    );
    expect([code, stdout]).toEqual([1, '']);
  });

  it('is for diff, which has 1 for a difference', async () => {
    const {code, stderr} = await runIn(OLD_PROC, 'diff', '1', '2');
    expect(stderr).toMatch(/^nsview: \/proc is of another pid namespace/);
    expect(code).toBe(2);
  });

  it('does not matter to who compares files', async () => {
    using folder = temporaryFolder();
    const file = folder.file('snapshot');
    await using taken = new Running('sh', ['-c', '"$0" snapshot --json -p $$ >"$1"', NSVIEW, file]);
    taken.release();
    expect((await taken.ended).code).toBe(0);
    const {code, stderr} = await runIn(OLD_PROC, 'diff', file, file);
    expect([code, stderr]).toEqual([0, '']);
  });

  it('is told by doctor, which tells nothing else of it', async () => {
    const {code, stdout} = await runIn(OLD_PROC, 'doctor', '--json');
    expect(code).toBe(0);
    const findings = JSON.parse(stdout) as {readonly what: string; readonly verdict: string; readonly means: string}[];
    expect(findings.map(({what, verdict}) => [what, verdict])).toEqual([
      ['kernel', 'ok'],
      ['reading /proc', 'missing'],
    ]);
    expect(findings[1]?.means).toMatch(/another pid namespace/);
  });

  it('is not told where it is its own', async () => {
    const {code, stderr} = await runIn([...OLD_PROC, '--mount-proc'], 'snapshot', '-p', '1');
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe('no /proc of nsview’s', () => {
  it('none is mounted', async () => {
    const without = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', '-'];
    const {code, stdout, stderr} = await runIn(without, 'snapshot');
    expect(stderr).toBe('nsview: /proc is not mounted (readlink /proc/self: ENOENT): mount -t proc proc /proc\n');
    expect([code, stdout]).toEqual([1, '']);
    expect((await runIn(without, 'doctor')).stdout).toMatch(/^missing +reading \/proc +\/proc is not mounted/m);
  });

  it('it is that of a pid namespace in which nsview is not', async () => {
    needsRoot('enter a mount namespace without its pid namespace');
    await using inside = new Running('unshare', [
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      'echo ready; read line',
    ]);
    await inside.says(/ready/);
    const child = readdirSync('/proc').find(name => /^\d+$/.test(name) && parentOf(name) === inside.pid);
    const {code, stderr} = await runIn(['nsenter', '--mount', '--target', String(child)], 'snapshot');
    expect(stderr).toMatch(/^nsview: \/proc is of a pid namespace that nsview is not in \(readlink \/proc\/self: ENOENT\): nsenter --pid/);
    expect(code).toBe(1);
    inside.release();
    await inside.ended;
  });
});
