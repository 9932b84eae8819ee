import {spawnSync} from 'node:child_process';
import {expect, it} from 'vitest';
import {NSVIEW} from '../support/paths.ts';
import {Screen, SMALL} from '../support/screen.ts';

it.each([
  ['snapshot', 1],
  ['snapshot --json', 1],
  ['doctor', 1],
  ['schema', 1],
  ['diff $$ $$', 2],
] as const)('%s on a full disk says that it is not whole, and fails', (words, status) => {
  const ran = spawnSync('bash', ['-c', `"$0" ${words} >/dev/full`, NSVIEW], {encoding: 'utf8'});
  expect(ran.stderr).toBe('nsview: stdout: write: ENOSPC; what is there is not whole\n');
  expect(ran.status).toBe(status);
});

it('a trace on a full disk says so, and its program runs on', () => {
  const ran = spawnSync('bash', ['-c', '"$0" trace --json -o /dev/full -- sh -c "sleep 0.2; echo done"', NSVIEW], {encoding: 'utf8'});
  expect(ran.stderr).toBe('nsview: its output: write: ENOSPC; what is there is not whole\n');
  expect(ran.stdout).toBe('done\n');
  expect(ran.status).toBe(1);
});

it.each([
  ['there-is-no-such-path', /^nsview: there-is-no-such-path: open: ENOENT; who-pins takes a path, PID:TYPE with TYPE one of user, mnt, /],
  ['1:nett', /^nsview: 1:nett: open: ENOENT; who-pins takes a path, PID:TYPE/],
  ['4194303:net', /^nsview: no process has pid 4194303; nsview snapshot lists those that there are\n$/],
])('who-pins %s says in one line what it takes', (what, says) => {
  const ran = spawnSync(NSVIEW, ['who-pins', what], {encoding: 'utf8'});
  expect(ran.stderr).toMatch(says);
  expect([ran.status, ran.stdout, ran.stderr.split('\n').length]).toEqual([1, '', 2]);
});

it.each([{words: ['-p', '1']}, {words: ['--', 'true']}, {words: []}])(
  'without a terminal that keys could come from, nsview $words says so in one line, and starts nothing',
  async ({words}) => {
    await using screen = new Screen(SMALL, 'setsid', ['-w', 'sh', '-c', '"$0" "$@" </dev/null', NSVIEW, ...words]);
    await screen.ended;
    expect(screen.raw.toString()).toMatch(/^nsview: cannot read keys: stdin is no terminal, and \/dev\/tty: ENXIO; .*\r\n$/);
    expect(screen.child.exitCode).toBe(1);
  },
);

it('a terminal that cannot address its cursor gets text', async () => {
  await using screen = new Screen(SMALL, NSVIEW, ['--', 'true'], {TERM: 'dumb'});
  expect(await screen.ended).toBe(0);
  const text = screen.raw.toString();
  expect(text).toContain('exec true');
  expect(text).not.toContain('\x1b');
});

it('is silent where nobody reads on', () => {
  const ran = spawnSync('bash', ['-c', '"$0" snapshot --json | head -c 10; echo " $PIPESTATUS"', NSVIEW], {encoding: 'utf8'});
  expect(ran.stderr).toBe('');
  expect(ran.stdout).toMatch(/ 0\n$/);
});
