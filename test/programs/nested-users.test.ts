import {execFileSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {status, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {isRoot, needsRoot} from '../support/user.ts';
import {
  apartIn,
  asUser,
  buildProgram,
  builtBefore,
  compareLanguages,
  fdsFromTheStart,
  fdsOf,
  hasEnded,
  LANGUAGES,
  outcomeOf,
  treeOf,
} from './support.ts';

const NAME = 'nested-users';
const built = builtBefore(NAME);
leaveNothingBehind();

const OVERFLOW = 65534;
/** From the inside out: what maps a level's ids to those of the level outside, and who it then is inside. */
type Level = {readonly inside: number; readonly outside: number; readonly count: number};

const RANGES = 'map ranges of ids';
/** Of whom asUser() runs a program. */
const USER = isRoot ? 1000 : (process.getuid?.() ?? 1000);

const WHO = [
  {
    who: 'as root',
    run: start,
    user: 0,
    levels: [
      {inside: 0, outside: 100000, count: 10000},
      {inside: 1000, outside: 5000, count: 1000},
      {inside: 100, outside: 1500, count: 10},
    ],
  },
  {
    who: 'as an ordinary user',
    run: asUser,
    user: USER,
    levels: [
      {inside: 0, outside: USER, count: 1},
      {inside: 1000, outside: 0, count: 1},
      {inside: 100, outside: 1000, count: 1},
    ],
  },
] as const;

/** As the kernel translates an id (user_namespaces(7)). */
const outwards = (id: number, {inside, outside}: Level): number => id - inside + outside;
const inwards = (id: number, {inside, outside, count}: Level): number =>
  id >= outside && id < outside + count ? id - outside + inside : OVERFLOW;

/** By level, once all is there. */
async function levelsOf(running: Running): Promise<number[]> {
  await running.says(/^ready /m);
  const pids = new Map(treeOf(running.pid).map(({pid, name}) => [name, pid]));
  return [running.pid, ...[1, 2, 3].map(level => pids.get(`level-${level}`) ?? -1)];
}

const each = LANGUAGES.flatMap(language => WHO.map(one => ({language, ...one})));

describe(NAME, () => {
  it.for(each)('in $language, $who: each level translates ids by its own map', async ({language, run, user, levels}, context) => {
    if (user === 0) needsRoot(RANGES);
    await using running = run(built.get(context, language));
    const pids = await levelsOf(running);
    const told = running.stdout.split('\n');
    // Who a level is at each level further out, up to the one where this was started.
    const ids = [user, ...levels.map(({inside}) => inside)];
    const seenAt = (id: number, from: number, at: number): number => {
      let seen = id;
      for (let level = from; level > at; level--) seen = outwards(seen, levels[level - 1] as Level);
      return seen;
    };
    for (const [level, pid] of pids.entries()) {
      expect(status(pid, 'Uid')).toBe(
        Array(4)
          .fill(seenAt(ids[level] ?? -1, level, 0))
          .join('\t'),
      );
      // Of level 0, and from there on inwards.
      const owner = (of: number): number => levels.slice(0, level).reduce((id, map) => inwards(id, map), seenAt(ids[of] ?? -1, of, 0));
      const line = told.find(one => one.startsWith(`level-${level} is ${pid}, user ${ids[level]}`));
      expect(line).toContain(`; the files are of ${[0, 1, 2, 3].map(owner).join(' ')}; / is of ${level === 0 ? 0 : OVERFLOW}`);
      if (level === 0) continue;
      const {inside, count} = levels[level - 1] as Level;
      // As seen from the outermost.
      const map = readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/).map(Number);
      expect(map).toEqual([inside, seenAt(inside, level, 0), count]);
      expect(readFileSync(`/proc/${pid}/setgroups`, 'utf8')).toBe('deny\n');
    }
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({code: 0, signal: null, stderr: ''});
    for (const pid of pids) expect(hasEnded(pid)).toBe(true);
  });

  it.for(each)('in $language, $who: capabilities are all there inside, and none outside', async ({language, run, user}, context) => {
    if (user === 0) needsRoot(RANGES);
    await using running = run(built.get(context, language));
    const [outermost = -1, ...pids] = await levelsOf(running);
    const all = (2n ** (BigInt(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8')) + 1n) - 1n).toString(16).padStart(16, '0');
    for (const [index, pid] of pids.entries()) {
      expect(status(pid, 'CapEff')).toBe(all);
      expect(apartIn(pid, index === 0 ? outermost : (pids[index - 1] ?? -1))).toEqual(['user', 'uts']);
      const nameOf = [...(isRoot ? [] : ['--user', '--preserve-credentials']), '--uts', `--target=${pid}`, 'hostname'];
      expect(execFileSync('nsenter', nameOf, {encoding: 'utf8'})).toBe(`level-${index + 1}\n`);
      expect(running.stdout).toMatch(new RegExp(`^level-${index + 1} is ${pid}, .* of host level-${index + 1}, refused outside;`, 'm'));
    }
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
  });

  it.for(LANGUAGES)('in %s: while it holds, its files are gone and only its pipes are open', async (language, context) => {
    using folder = temporaryFolder();
    await using running = new Running(built.get(context, language), [], {env: {...process.env, TMPDIR: folder.path}});
    const pids = await levelsOf(running);
    expect(readdirSync(folder.path)).toEqual([]);
    const fromTheStart = await fdsFromTheStart();
    // To the level outside and to the one inside two pipes each; the outermost has the fd of signals.
    expect(pids.map(pid => Object.keys(fdsOf(pid)).length - fromTheStart)).toEqual([3, 4, 4, 2]);
    for (const pid of pids.slice(1)) expect(execFileSync('readlink', [`/proc/${pid}/cwd`], {encoding: 'utf8'})).toBe('/\n');
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
  });

  it.for(LANGUAGES)('in %s: all end with level 0, and a level that is lost is told by the status', async (language, context) => {
    const program = built.get(context, language);
    {
      await using running = start(program);
      const pids = await levelsOf(running);
      running.child.kill('SIGKILL');
      for (const pid of pids.slice(1)) await until(() => hasEnded(pid), `${pid} has ended`);
    }
    await using running = start(program);
    const pids = await levelsOf(running);
    process.kill(pids[2] ?? -1, 'SIGKILL');
    for (const pid of pids.slice(2)) await until(() => hasEnded(pid), `${pid} has ended`);
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(1);
  });

  it.for(LANGUAGES)('in %s: says what failed, and leaves no file', async (language, context) => {
    using folder = temporaryFolder();
    const program = built.get(context, language);
    expect(await outcomeOf(program, 'more')).toEqual({code: 2, signal: null, stdout: '', stderr: `usage: ${NAME}\n`});
    // Root of a user namespace that has one id alone may give no range of them.
    const options = {env: {...process.env, TMPDIR: folder.path}};
    await using refused = new Running('unshare', ['--user', '--map-root-user', program], options);
    const {code, stderr} = await refused.ended;
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^${NAME}: write to /proc/\\d+/uid_map: Operation not permitted\n$`)),
    ]);
    expect(readdirSync(folder.path)).toEqual([]);
    const missing = join(tmpdir(), 'not-there');
    await using nowhere = new Running(program, [], {env: {...process.env, TMPDIR: missing}});
    expect(await nowhere.ended).toMatchObject({code: 1, stderr: expect.stringContaining(`${missing}/${NAME}`)});
  });

  it('has no fault that ASan or UBSan finds', async () => {
    using folder = temporaryFolder();
    await using running = start(buildProgram(folder.path, 'c', NAME, {sanitized: true}));
    await running.says(/^ready /m);
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({code: 0, stderr: ''});
  });
});

compareLanguages(built, {
  program: NAME,
  ways: [{way: 'by itself', args: []}],
  ready: (_root, stdout) => /^ready /m.test(stdout),
  status: 0,
  defects: [
    {
      language: 'c',
      what: 'the innermost level has other ids',
      find: '.inside = 100, .outside = 1500',
      put: '.inside = 100, .outside = 1600',
      found: /level-3.*uid_map/,
      needs: RANGES,
    },
    {
      language: 'ocaml',
      what: 'the innermost level has other ids',
      find: 'inside = 100; outside = 1500',
      put: 'inside = 100; outside = 1600',
      found: /level-3.*uid_map/,
      needs: RANGES,
    },
    {
      language: 'c',
      what: 'groups may still be dropped',
      find: '"deny"',
      put: '"allow"',
      found: /level-1.*setgroups: deny in A, allow in B/,
      needs: 'map a group while setgroups is allowed',
    },
    {
      language: 'ocaml',
      what: 'groups may still be dropped',
      find: '"deny"',
      put: '"allow"',
      found: /level-1.*setgroups: deny in A, allow in B/,
      needs: 'map a group while setgroups is allowed',
    },
    {
      language: 'c',
      what: 'each level has a namespace too many',
      find: 'sys_clone3(CLONE_NEWUSER | CLONE_NEWUTS, -1)',
      put: 'sys_clone3(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWIPC, -1)',
      found: /level-2.*ipc namespace/,
    },
    {
      language: 'ocaml',
      what: 'each level has a namespace too many',
      find: '(clone_newuser lor clone_newuts)',
      put: '(clone_newuser lor clone_newuts lor clone_newipc)',
      found: /level-2.*ipc namespace/,
    },
  ],
});
