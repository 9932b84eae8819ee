import {spawnSync} from 'node:child_process';
import {accessSync, constants, existsSync, readdirSync, readFileSync} from 'node:fs';
import {afterEach, describe, expect, it, type TestContext} from 'vitest';
import {until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {isRoot, needsRoot} from '../support/user.ts';
import {
  apartIn,
  asUser,
  buildProgram,
  builtBefore,
  childrenOf,
  compareLanguages,
  fdsFromTheStart,
  fdsOf,
  hasEnded,
  LANGUAGES,
  type Language,
  outcomeOf,
  treeOf,
} from './support.ts';

const NAME = 'worker-pool';
const built = builtBefore(NAME);
leaveNothingBehind();

const MIB = 1 << 20;
/** Of 4 MiB of bytes that count from 0 to 255 over and over, and of 64. */
const [SMALL, BIG] = [4, 64].map(mib => (mib * MIB * 255) / 2);

/** Directories of every mounted hierarchy that are called so. */
function cgroupsOf(pid: number): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => / - cgroup2? /.test(line))
    .map(line => line.split(' ')[4] ?? '');
  const below = (folder: string, depth: number): string[] =>
    readdirSync(folder, {withFileTypes: true})
      .filter(entry => entry.isDirectory())
      .flatMap(({name}) => {
        const path = `${folder}/${name}`;
        return name === `${NAME}-${pid}` ? [path] : depth > 0 ? below(path, depth - 1) : [];
      });
  return points.flatMap(point => below(point, 4));
}

/** The directory of the tests' own cgroup. */
const ownV2 = (): string => {
  const point = spawnSync('findmnt', ['--noheadings', '--output=TARGET', '--types=cgroup2'], {encoding: 'utf8'})
    .stdout.trim()
    .split('\n')[0];
  return `${point}${/^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/'}`;
};

/** Controller to where it is: as the pool should find it, too. */
const inV2 = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(readFileSync(`${ownV2()}/cgroup.controllers`, 'utf8'));
const inV1 = (name: string): boolean => new RegExp(`^\\d+:(?:.*,)?${name}(?:,.*)?:`, 'm').test(readFileSync('/proc/self/cgroup', 'utf8'));
const memoryIsThere = inV2('memory') || inV1('memory');

const mayMakeCgroups = (): boolean => {
  try {
    accessSync(ownV2(), constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

function needsCgroups(context: TestContext): void {
  if (!memoryIsThere) context.skip('no hierarchy of cgroups has the memory controller');
  if (!mayMakeCgroups()) context.skip('no privilege to make a cgroup: that of the tests is not delegated to their user');
}

/** cgroups(7), "no internal processes": but for the root of the hierarchy, a cgroup that has processes limits none below it. */
const LIMITS = 'limit memory below a cgroup that has processes';

function programIn(context: TestContext, language: Language): string {
  needsCgroups(context);
  return built.get(context, language);
}

const pools: number[] = [];
function startPool(program: string, ...args: string[]): Running {
  const running = start(program, ...args);
  pools.push(running.pid);
  return running;
}
afterEach(() => {
  for (const pid of pools.splice(0)) expect(cgroupsOf(pid)).toEqual([]);
});

/** Workers by name, in order, once all jobs are done. */
async function workersOf(running: Running): Promise<number[]> {
  await running.says(/^ready /m);
  return treeOf(running.pid)
    .filter(({name}) => /^worker-\d$/.test(name))
    .sort((a, b) => a.name.localeCompare(b.name))
    .map(({pid}) => pid);
}

const pathIn = (pid: number, pattern: RegExp): string => pattern.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '';

describe(NAME, () => {
  it.for(LANGUAGES)('in %s: one worker is killed for its memory, it alone, and all jobs are done', async (language, context) => {
    needsRoot(LIMITS);
    await using running = startPool(programIn(context, language));
    const {code, signal, stdout, stderr} = await running.ended;
    expect({code, signal, stderr}).toEqual({code: 0, signal: null, stderr: ''});
    const lines = stdout.trimEnd().split('\n');
    const done = lines
      .filter(line => line.startsWith('job '))
      .map(line => /^job (\d): (\d+) by worker-\d$/.exec(line)?.slice(1).map(Number));
    expect(done.sort((a, b) => (a?.[0] ?? 0) - (b?.[0] ?? 0))).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map(job => [job, job === 4 ? BIG : SMALL]));
    const killed = lines.flatMap(
      line => /^(worker-\d) was killed by the OOM killer over job 4, which is done again in pieces of 8 MiB$/.exec(line)?.[1] ?? [],
    );
    expect(killed).toHaveLength(1);
    // It was started twice, the others once.
    const started = lines.flatMap(line => /^(worker-\d) is \d+$/.exec(line)?.[1] ?? []);
    expect(started.toSorted()).toEqual(['worker-0', 'worker-1', 'worker-2', ...killed].sort());
    expect(lines.at(-1)).toBe('all 8 jobs are done');
  });

  it.for(LANGUAGES)('in %s: each worker is in cgroups of its own, with limits and a count of kills', async (language, context) => {
    needsRoot(LIMITS);
    await using running = startPool(programIn(context, language), '--hold');
    const workers = await workersOf(running);
    expect(workers).toHaveLength(3);
    const [pool = ''] = cgroupsOf(running.pid).filter(path => existsSync(`${path}/cgroup.controllers`));
    let kills = 0;
    for (const [index, pid] of workers.entries()) {
      expect(apartIn(pid, running.pid)).toEqual([]);
      expect(pathIn(pid, /^0::(.*)$/m)).toMatch(new RegExp(`/${NAME}-${running.pid}/worker-${index}$`));
      expect(readFileSync(`${pool}/worker-${index}/cgroup.procs`, 'utf8')).toBe(`${pid}\n`);
      const limitOf = (controller: string, v2: string, v1: string): string => {
        const [file, directory] = inV2(controller)
          ? [v2, pool]
          : [v1, cgroupsOf(running.pid).find(path => existsSync(`${path}/worker-${index}/${v1}`))];
        expect(running.stdout).toContain(`${file} of each worker is `);
        return readFileSync(`${directory}/worker-${index}/${file}`, 'utf8').trim();
      };
      expect(limitOf('memory', 'memory.max', 'memory.limit_in_bytes')).toBe(String(32 * MIB));
      if (inV2('pids') || inV1('pids')) expect(limitOf('pids', 'pids.max', 'pids.max')).toBe('4');
      if (inV2('cpu') || inV1('cpu')) expect(limitOf('cpu', 'cpu.weight', 'cpu.shares')).toBe(inV2('cpu') ? '50' : '512');
      const events = cgroupsOf(running.pid)
        .map(path => `${path}/worker-${index}/${inV2('memory') ? 'memory.events' : 'memory.oom_control'}`)
        .filter(path => existsSync(path));
      if (/^oom_kill [1-9]/m.test(readFileSync(events[0] ?? '', 'utf8'))) kills++;
    }
    expect(kills).toBe(1);
    // The pool itself has no limit of its own: only workers are in those cgroups.
    expect(childrenOf(running.pid)).toHaveLength(3);
    const fromTheStart = await fdsFromTheStart();
    const more = (pid: number) => Object.keys(fdsOf(pid)).length - fromTheStart;
    expect(workers.map(more)).toEqual([2, 2, 2]);
    // Of each worker two pipes and its cgroup, and the fd of signals.
    expect(more(running.pid)).toBe(10);
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({code: 0, stderr: ''});
    for (const pid of workers) expect(hasEnded(pid)).toBe(true);
  });

  it.for(LANGUAGES)('in %s: a worker that is lost otherwise is no want of memory, and all is cleared away', async (language, context) => {
    await using running = startPool(programIn(context, language), '--hold');
    const [first = -1] = await workersOf(running);
    process.kill(first, 'SIGKILL');
    const {code, stderr} = await running.ended;
    expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(`^${NAME}: lost, not for want of memory.*worker-0`))]);
  });

  it.for(LANGUAGES)('in %s: the end may be asked for while there is work', async (language, context) => {
    // Blocked and pending, both of which stay with execve(2): it is asked for before the first result.
    const asked = 'use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGINT)); kill INT => $$; exec @ARGV';
    await using running = startPool('perl', '-e', asked, programIn(context, language));
    expect(await running.ended).toMatchObject({code: 1, signal: null, stderr: ''});
  });

  it.for(LANGUAGES)('in %s: workers end when the pool is killed, who cannot clear away any more', async (language, context) => {
    needsRoot('choose the next pid of a namespace');
    await using running = start(programIn(context, language), '--hold');
    const workers = await workersOf(running);
    running.child.kill('SIGKILL');
    for (const pid of workers) await until(() => hasEnded(pid), `${pid} has ended`);
    await running.ended;
    const left = cgroupsOf(running.pid);
    expect(left.length).toBeGreaterThan(0);
    // The next one that has this pid, which is the first of a new pid namespace, takes what was left for its own, and then away.
    const again = ['--fork', '--pid', '--mount-proc', 'sh', '-c', `echo ${running.pid - 1} >/proc/sys/kernel/ns_last_pid; "$0"; exit $?`];
    await using next = new Running('unshare', [...again, built.get(context, language)]);
    expect(await next.ended).toMatchObject({code: 0, stderr: ''});
    for (const path of left) expect(existsSync(path)).toBe(false);
  });

  it.for(LANGUAGES)('in %s: says what is wrong', async (language, context) => {
    const program = built.get(context, language);
    for (const wrong of [['--other'], ['--hold', 'more']])
      expect(await outcomeOf(program, ...wrong)).toEqual({code: 2, signal: null, stdout: '', stderr: `usage: ${NAME} [--hold]\n`});
    // Whose cgroup is their own is refused nothing.
    if (!isRoot && mayMakeCgroups()) return;
    await using refused = asUser(program);
    expect(await refused.ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/needs a cgroup that is its user's, as by systemd-run .*: mkdir .*: Permission denied\n$/),
    });
  });

  it('has no fault that ASan or UBSan finds', async context => {
    needsCgroups(context);
    using folder = temporaryFolder();
    // What is freed is kept for a while by ASan, which the limit counts.
    const options = 'ASAN_OPTIONS=quarantine_size_mb=0:thread_local_quarantine_size_kb=0';
    await using running = startPool('env', options, buildProgram(folder.path, 'c', NAME, {sanitized: true}));
    expect(await running.ended).toMatchObject({code: 0, stderr: ''});
  });
});

compareLanguages(
  {...built, get: programIn},
  {
    program: NAME,
    ways: [{way: 'held', args: ['--hold']}],
    ready: (_root, stdout) => /^ready /m.test(stdout),
    status: 0,
    defects: [
      {
        language: 'c',
        what: 'workers are born where the pool is',
        find: 'sys_clone3(CLONE_INTO_CGROUP, ',
        put: 'sys_clone3(0, ',
        found: /worker-1.*: cgroup: its own in A, shared with its parent in B/,
      },
      {
        language: 'ocaml',
        what: 'workers are born where the pool is',
        find: '(int_of_fd worker.cgroup) clone_into_cgroup',
        put: '(int_of_fd worker.cgroup) 0',
        found: /worker-1.*: cgroup: its own in A, shared with its parent in B/,
      },
      {
        language: 'c',
        what: 'workers may take more memory',
        find: '#define MEMORY "32M"',
        put: '#define MEMORY "48M"',
        found: /worker-2.*: limit of memory[ :].*33554432 in A, 50331648 in B/,
        needs: LIMITS,
      },
      {
        language: 'ocaml',
        what: 'workers may take more memory',
        find: 'let memory = "32M"',
        put: 'let memory = "48M"',
        found: /worker-2.*: limit of memory[ :].*33554432 in A, 50331648 in B/,
        needs: LIMITS,
      },
    ],
  },
);
