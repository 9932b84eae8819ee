import {writeFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {type CompareOptions, compareSnapshots} from '../../src/model/comparison.ts';
import {diffText} from '../../src/out/diff-text.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, run, temporaryFolder} from '../support/nsview.ts';

leaveNothingBehind();

const FLAGS = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--mount-proc'];

/** A program below unshare(1), when it is there: `script` runs before it, and `more` are flags beside those that all have. */
async function isolated(script = '', flags: readonly string[] = FLAGS): Promise<Running> {
  const running = new Running('unshare', ['--fork', '--kill-child', ...flags, 'sh', '-c', `${script}\necho ready; exec sleep 60`]);
  await running.says(/ready/);
  return running;
}

const pidOf = ({pid}: Running): string => String(pid);

/** As the command does it, without a program for it. */
function compared(a: Running, b: Running, options: CompareOptions = {}): string {
  const [one, other] = [a, b].map(({pid}) => readSnapshot({version: 'test', root: pid}));
  if (one === undefined || other === undefined) throw new Error('two snapshots');
  return diffText(compareSnapshots(one, other, options));
}

describe('nsview diff', () => {
  it('finds two launches of the same equal, as trees and as files', async () => {
    await using one = await isolated();
    await using other = await isolated();
    using folder = temporaryFolder();
    expect(compared(one, other)).toMatch(/^equal up to renaming of ids: 2 processes, /);
    const file = folder.file('a.json');
    writeFileSync(file, (await run('snapshot', '-p', String(one.pid), '--json')).stdout);
    expect(await run('diff', file, pidOf(other))).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^equal up to renaming of ids: 2 processes, /),
    });
  });

  it.each([
    [
      'a flag dropped',
      '',
      FLAGS.filter(flag => flag !== '--net'),
      /^unshare \d+ \| unshare \d+: net namespace: its own in A, that of nsview in B$/m,
    ],
    ['a mount left', 'mount -t tmpfs left /mnt', FLAGS, /: tmpfs left on \/mnt: not mounted in A, mounted in B$/m],
    ['a mount with another option', 'mount -o remount,bind,ro /proc', FLAGS, /: options of \/proc: rw in A, ro in B$/m],
    ['a process more', 'sleep 60 & :', FLAGS, /^– \| \w+ \d+: process: missing in A, there below \w+ \d+ in B$/m],
  ])('tells of %s, and of nothing else', async (_, script, flags, said) => {
    await using one = await isolated();
    await using other = await isolated(script, flags);
    const told = compared(one, other);
    expect(told).toMatch(said);
    expect(told).toMatch(/^1 difference; /m);
  });

  it('tells of a capability that is missing', async () => {
    await using one = await isolated();
    await using other = new Running('unshare', [
      '--fork',
      '--kill-child',
      ...FLAGS,
      'setpriv',
      '--bounding-set=-sys_admin',
      'sh',
      '-c',
      'echo ready; exec sleep 60',
    ]);
    await other.says(/ready/);
    const {code, stdout} = await run('diff', pidOf(one), pidOf(other));
    expect(stdout).toContain(': bounding capabilities: also cap_sys_admin in A, without in B\n');
    expect(code).toBe(1);
  });

  it('exits with 2 where there is nothing to compare', async () => {
    using folder = temporaryFolder();
    const file = folder.file('no.json');
    writeFileSync(file, '{"format": "nsview/snapshot"}');
    expect(await run('diff', file, file)).toMatchObject({code: 2, stderr: expect.stringContaining('is no snapshot')});
    expect(await run('diff', folder.file('none'), file)).toMatchObject({code: 2, stderr: expect.stringContaining('ENOENT')});
    expect(await run('diff', '4194304', file)).toMatchObject({code: 2, stderr: expect.stringContaining('no process has pid 4194304')});
    expect(await run('diff', file)).toMatchObject({code: 2, stderr: expect.stringContaining('two trees')});
  });
});
