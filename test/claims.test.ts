import {spawnSync} from 'node:child_process';
import {chownSync, mkdirSync, readFileSync, rmdirSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, describe, expect, it} from 'vitest';
import {countClaims, manLink, type ToldClaim} from '../src/model/claim.ts';
import {leaveNothingBehind} from './support/leaks.ts';
import {run} from './support/nsview.ts';
import {ROOT} from './support/paths.ts';
import {patient} from './support/patience.ts';

leaveNothingBehind();

const CLAIMS = join(ROOT, 'build', 'nsview-claims');
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];

/** A cgroup v2 that is the ordinary user's, as a service manager delegates them (cgroups(7)): without it that user may make none. */
function delegated(): {readonly enter: string[]} & Disposable {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find(line => line.includes(' - cgroup2 '))
    ?.split(' ')[4];
  const path = `${mount ?? '/sys/fs/cgroup'}/nsview-test-${process.pid}`;
  mkdirSync(path);
  for (const name of ['', '/cgroup.procs', '/cgroup.threads', '/cgroup.subtree_control']) chownSync(path + name, 65534, 65534);
  return {
    enter: ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', path],
    [Symbol.dispose]: () => {
      // The last of its processes may be leaving still.
      for (let tries = 0; ; tries++)
        try {
          rmdirSync(path);
          return;
        } catch (error) {
          if (tries === 200) throw error;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
        }
    },
  };
}

type Told = {readonly name: string; readonly verdict: 'held' | 'broken' | 'skipped'; readonly reason: string};

/** TAP 14 as nsview-claims writes it, each line of it accounted for. */
function readTap(text: string): Told[] {
  const lines = text.split('\n');
  expect(lines.shift()).toBe('TAP version 14');
  expect(lines.pop()).toBe('');
  const plan = /^1\.\.(\d+)$/.exec(lines.shift() ?? '');
  const told: Told[] = [];
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const match = /^(ok|not ok) (\d+) - ([^#]*?)(?: # SKIP (.*))?$/.exec(line);
    expect(match, line).not.toBeNull();
    const [, ok, number, name = '', skip] = match ?? [];
    expect(Number(number)).toBe(told.length + 1);
    let reason = skip ?? '';
    if (lines[0] === '  ---') {
      const block = lines.splice(0, lines.indexOf('  ...') + 1);
      reason = JSON.parse((block[1] ?? '').replace('  reason: ', '')) as string;
    }
    told.push({name, verdict: ok === 'not ok' ? 'broken' : skip === undefined ? 'held' : 'skipped', reason});
  }
  expect(told.length).toBe(Number(plan?.[1]));
  return told;
}

function claims(before: readonly string[], ...args: string[]): {readonly told: Told[]; readonly status: number | null} {
  const [program = '', ...rest] = [...before, CLAIMS, ...args];
  const {status, stdout, error} = spawnSync(program, rest, {encoding: 'utf8', timeout: patient(120_000)});
  if (error) throw error;
  return {told: readTap(stdout), status};
}

const list = spawnSync(CLAIMS, ['--list', '--json'], {encoding: 'utf8'})
  .stdout.trim()
  .split('\n')
  .map(line => JSON.parse(line) as ToldClaim);

describe.each([
  ['root', process.getuid?.() === 0 ? [] : null],
  ['an ordinary user', process.getuid?.() === 0 ? NOBODY : []],
] as const)('the kernel keeps to it, for %s:', (who, before) => {
  let answer: ReturnType<typeof claims> | undefined;
  const told = (): Told[] => {
    if (answer === undefined && before === NOBODY) {
      using own = delegated();
      answer = claims([...own.enter, ...NOBODY]);
    }
    answer ??= claims(before ?? []);
    return answer.told;
  };

  for (const [index, {flag, sentence}] of list.entries())
    it(`${flag}: ${sentence}`, context => {
      if (before === null) context.skip('no privilege: the tests do not run as root');
      const one = told()[index];
      if (one?.verdict === 'skipped') context.skip(one.reason);
      expect(one).toEqual({name: `${flag}: ${sentence}`, verdict: 'held', reason: ''});
    });

  afterAll(() => {
    if (before === null) return;
    const {held, broken, skipped} = countClaims(
      told().map((one, index) => ({...(list[index] as ToldClaim), verdict: one.verdict, reason: one.reason})),
    );
    const reasons = [...skipped].map(([reason, count]) => `; ${count} skipped: ${reason}`).join('');
    console.log(`claims for ${who}: ${held} held, ${broken} broken${reasons}`);
  });
});

/** So many of the claims of a flag break where clone3 is called without it, as root; the others are about its absence, or of refusals. */
const BROKEN_WITHOUT: {readonly [flag: string]: readonly [bits: string, claims: number]} = {
  CLONE_FS: ['200', 5],
  CLONE_FILES: ['400', 5],
  CLONE_NEWNS: ['20000', 11],
  CLONE_NEWCGROUP: ['2000000', 2],
  CLONE_NEWNET: ['40000000', 10],
  CLONE_NEWPID: ['20000000', 16],
  CLONE_NEWUSER: ['10000000', 14],
  CLONE_NEWIPC: ['8000000', 7],
  CLONE_NEWUTS: ['4000000', 5],
  CLONE_NEWTIME: ['80', 6],
  CLONE_IO: ['80000000', 2],
  CLONE_INTO_CGROUP: ['200000000', 2],
  CLONE_PARENT: ['8000', 2],
  CLONE_PTRACE: ['2000', 2],
  CLONE_UNTRACED: ['800000', 2],
  CLONE_PIDFD: ['1000', 7],
  CLONE_SETTID: ['1300000', 5],
  CLONE_VFORK: ['4000', 3],
  CLONE_VM: ['100', 4],
  CLONE_SIGHAND: ['800', 2],
  CLONE_THREAD: ['10000', 6],
  CLONE_SYSVSEM: ['40000', 2],
  CLONE_CLEAR_SIGHAND: ['100000000', 2],
};

describe('a claim can fail:', () => {
  it.each(Object.entries(BROKEN_WITHOUT))('those of %s do without it', (flag, [bits, least]) => {
    const {told, status} = claims([], '--drop', bits, flag);
    const broken = told.filter(({verdict}) => verdict === 'broken');
    expect(broken.length).toBeGreaterThanOrEqual(least);
    expect(broken.filter(({reason}) => reason === '')).toEqual([]);
    expect(status).toBe(1);
  });

  it('and no flag with claims of its own is forgotten', () => {
    const flags = new Set(list.map(({flag}) => flag).filter(flag => flag.startsWith('CLONE_')));
    expect([...flags].toSorted()).toEqual(Object.keys(BROKEN_WITHOUT).toSorted());
    expect(list.length).toBeGreaterThan(200);
  });
});

describe('nsview claims', () => {
  it('tells a person the sentence, the verdict and the man page', async () => {
    const {stdout, code} = await run('claims', 'fs');
    const page = (name: string) => `  https://man7.org/linux/man-pages/man2/${name}.2.html\n  holds   `;
    expect(stdout.startsWith(`CLONE_FS\n${page('clone')}with it, chdir in the child moves the parent, too\n`)).toBe(true);
    // Each page once, above its sentences.
    expect(stdout.match(/https:.*/g)?.length).toBe(3);
    expect(stdout).toContain(`${page('unshare')}unshare(CLONE_FS) ends the sharing\n  holds   unshare(CLONE_NEWUSER) implies`);
    expect(stdout).toMatch(/\n10 held, 0 broken, 0 skipped\n$/);
    expect(code).toBe(0);
  });

  it('tells the same as JSON, one object a line', async () => {
    const {stdout, code} = await run('claims', '--json', 'CLONE_VFORK');
    const told = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as ToldClaim);
    expect(told.map(({flag, verdict}) => `${flag} ${verdict}`)).toEqual(Array(4).fill('CLONE_VFORK held'));
    expect(told[0]).toMatchObject({man: 'clone(2)', file: 'kernel/fork.c', link: manLink('clone(2)')});
    expect(code).toBe(0);
  });

  it('says in one harmless line which flags there are', async () => {
    const {stdout, stderr, code} = await run('claims', 'CLONE_\x1b[2J\u202e');
    expect([stdout, code]).toEqual(['', 2]);
    expect(stderr).toMatch(/^nsview: claims "CLONE_[\x20-\x7e]*": there are claims of CLONE_FS, [\x20-\x7e]*\n$/);
  });

  it('names every page by a link', () => {
    expect(list.filter(({man}) => !/^https:\/\/man7\.org\/linux\/man-pages\/man(\d)\/[\w-]+\.\1\.html$/.test(manLink(man)))).toEqual([]);
    expect(new Set(list.map(({flag, id}) => `${flag} ${id}`)).size).toBe(list.length);
  });
});
