import {spawnSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {type Fact, isRefusal} from '../../src/model/fact.ts';
import type {Process} from '../../src/model/process.ts';
import {createWorld, observe, type World} from '../../src/model/world.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  followBy,
  HOWS,
  type How,
  moves,
  nsview,
  ofKind,
  type Running,
  readTapeStrictly,
  start,
  type TapeRead,
  temporaryFolder,
} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {MIDDLE, nsviewScreen} from '../support/screen.ts';
import {maker, needsRoot, ownUser} from '../support/user.ts';

leaveNothingBehind();

const WAYS = ['launched', 'attached'] as const;
type Way = (typeof WAYS)[number];

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const limit = Date.now() + patient(25_000); !holds(); await new Promise(resolve => setTimeout(resolve, 10)))
    if (Date.now() > limit) throw new Error(`never: ${what}`);
}

const statusOf = (pid: number, key: string): string => {
  try {
    return new RegExp(`^${key}:\\t(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
};

/** nsview on `pid`, once it follows. */
async function attach(how: How, pid: number, tape: string, ...options: string[]): Promise<Running> {
  const tracer = nsview('trace', '--json', ...followBy(how), ...options, '-o', tape, '-p', String(pid));
  await until(() => existsSync(tape) && readFileSync(tape, 'utf8').includes('"kind":"tracer"'), `attached to ${pid}: ${tracer.stderr}`);
  return tracer;
}

type Seen = {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly facts: readonly Fact[];
  readonly world: World;
  readonly root: number;
};

const fold = ({header, facts}: TapeRead): World => {
  const world = createWorld(header);
  for (const fact of facts) observe(world, fact);
  return world;
};

/** A program to its end, with stdin at its end: nsview launches it, or is attached to the shell that then becomes it. */
async function trace(way: Way, how: How, program: string, ...args: string[]): Promise<Seen> {
  return await traceWith([], way, how, program, ...args);
}

async function traceWith(options: readonly string[], way: Way, how: How, program: string, ...args: string[]): Promise<Seen> {
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  if (way === 'launched') {
    await using tracer = nsview('trace', '--json', ...followBy(how), ...options, '-o', tape, '--', program, ...args);
    tracer.release();
    const outcome = await tracer.ended;
    const read = readTapeStrictly(tape);
    const root = ofKind(read.facts, 'process').find(fact => fact.because === 'launch')?.pid ?? -1;
    return {...outcome, facts: read.facts, world: fold(read), root};
  }
  await using target = start('sh', '-c', 'read line; exec "$@"', 'sh', program, ...args);
  await using tracer = await attach(how, target.pid, tape, ...options);
  target.child.stdin?.end('now\n');
  const outcome = await target.ended;
  expect((await tracer.ended).code).toBe(0);
  const read = readTapeStrictly(tape);
  return {...outcome, facts: read.facts, world: fold(read), root: target.pid};
}

/** The same program without nsview. */
async function bare(program: string, ...args: string[]): Promise<{code: number | null; stdout: string; stderr: string}> {
  await using running = start(program, ...args);
  running.release();
  return await running.ended;
}

/** Without the numbers that fixtures print after a word that says what they are. */
const withoutPids = (text: string): string =>
  text.replaceAll(
    /(ready|tid|child|leader|maker|sibling|untraced|zombie|orphan|pid|began|executed|aside|traceme|seize|attach) \d+/g,
    '$1 #',
  );

const births = (facts: readonly Fact[]) =>
  ofKind(facts, 'clone').filter(fact => isRefusal(fact.flags) || !fact.flags.includes('CLONE_THREAD'));
const exits = (facts: readonly Fact[]) => ofKind(facts, 'exit').map(fact => [fact.pid, fact.signal ?? fact.code]);
const number = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1]);
const processes = (world: World): Process[] => [...world.byId.values()];

type Case = {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  /** It makes namespaces: a user does that only inside of a user namespace, and that would be told as well. */
  readonly makesNamespaces?: true;
  readonly code: number;
  readonly check: (seen: Seen, how: How) => void;
};

const CASES: readonly Case[] = [
  {
    name: 'CLONE_UNTRACED',
    argv: ['clones-untraced', 'slowly'],
    code: 5,
    check: ({facts, stdout, world, root}, how) => {
      const [, child, grandchild] = /untraced (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      const birth = births(facts).find(fact => fact.child === child);
      // ptrace has no event for it: it is found, and told as what it is when it is found.
      if (how === 'bpf') expect(birth).toMatchObject({pid: root, flags: ['CLONE_UNTRACED']});
      else expect(ofKind(facts, 'process').filter(fact => fact.pid === child)).toMatchObject([{ppid: root, because: 'born'}]);
      expect(births(facts).find(fact => fact.child === grandchild)).toMatchObject({pid: child});
      expect(exits(facts)).toEqual([
        [grandchild, 4],
        [child, 5],
        [root, 5],
      ]);
      expect(world.byPid.get(child ?? 0)?.maker?.pid).toBe(root);
      const told = world.timeline.all.map(({what, pid}) => `${what.kind} ${what.kind === 'clone' ? what.child : pid}`);
      expect(told).toContain(how === 'bpf' ? `clone ${child}` : `appeared ${child}`);
    },
  },
  {
    name: 'CLONE_UNTRACED, and its maker ends at once',
    argv: ['leaves-untraced'],
    code: 6,
    check: ({facts, root}) => {
      expect(exits(facts).map(([, status]) => status)).toEqual(expect.arrayContaining([4, 5, 6]));
      expect(births(facts).filter(fact => fact.pid !== root)).toHaveLength(1);
    },
  },
  {
    name: 'CLONE_PTRACE',
    argv: ['clones-ptrace'],
    code: 5,
    check: ({facts, stdout, root}) => {
      const [, child, grandchild] = /child (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      expect(births(facts).map(fact => [fact.pid, fact.child])).toEqual([
        [root, child],
        [child, grandchild],
      ]);
      expect(births(facts)[0]?.flags).toEqual(['CLONE_PTRACE']);
      expect(exits(facts)).toEqual([
        [grandchild, 4],
        [child, 5],
        [root, 5],
      ]);
    },
  },
  {
    name: 'CLONE_PTRACE with CLONE_UNTRACED',
    argv: ['clones-ptrace', 'untraced'],
    code: 5,
    check: ({facts, stdout, root}, how) => {
      const [, child, grandchild] = /child (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      const all = births(facts).map(fact => [fact.pid, fact.child, Object.keys(fact.changed)]);
      // By ptrace it is stopped at birth, and no event tells who made it, and how.
      if (how === 'bpf') expect(all[0]).toEqual([root, child, []]);
      else expect(ofKind(facts, 'process').filter(({pid}) => pid === child)).toMatchObject([{ppid: root, because: 'born'}]);
      expect(all.at(-1)).toEqual([child, grandchild, []]);
      expect(births(facts)[0]?.flags).toEqual(how === 'bpf' ? ['CLONE_PTRACE', 'CLONE_UNTRACED'] : expect.any(Array));
    },
  },
  {
    name: 'CLONE_PARENT',
    argv: ['clone-parent'],
    code: 0,
    check: ({facts, stdout, root, world}) => {
      const [, maker, sibling] = /maker (\d+) sibling (\d+)/.exec(stdout)?.map(Number) ?? [];
      const birth = births(facts).find(fact => fact.child === sibling);
      expect(birth).toMatchObject({pid: maker, ppid: root, flags: ['CLONE_PARENT'], exitSignal: 'SIGCHLD'});
      expect(world.byPid.get(sibling ?? 0)).toMatchObject({ppid: root, maker: {pid: maker}});
    },
  },
  {
    name: 'CLONE_VFORK',
    argv: ['vforks'],
    code: 7,
    check: ({facts}) => {
      const [first, second] = births(facts);
      expect(first?.flags).toEqual(['CLONE_VM', 'CLONE_VFORK']);
      expect(second?.flags).toEqual(['CLONE_VFORK']);
      const order = facts.flatMap(fact => ('pid' in fact && fact.pid === first?.child && fact.kind !== 'change' ? [fact.kind] : []));
      expect(order).toEqual(['exec', 'exit']);
    },
  },
  {
    name: 'CLONE_THREAD with namespaces of its own',
    argv: ['thread-born-elsewhere'],
    makesNamespaces: true,
    code: 0,
    check: ({facts, stdout, root, world}) => {
      const tid = number(/tid (\d+)/, stdout);
      const birth = ofKind(facts, 'clone').find(fact => fact.child === tid);
      expect(birth?.flags).toEqual(expect.arrayContaining(['CLONE_THREAD', 'CLONE_NEWUTS', 'CLONE_NEWNET']));
      expect(birth).toMatchObject({pid: root, tid: root});
      expect(Object.keys(birth?.changed ?? {})).toEqual(['net', 'uts']);
      expect(moves(facts).filter(fact => fact.tid === fact.pid)).toEqual([]);
      // As it was when the thread was there.
      const then = createWorld(world.header);
      for (const fact of facts.slice(0, facts.findIndex(fact => Object.is(fact, birth)) + 1)) observe(then, fact);
      const thread = then.byPid.get(root)?.threads.get(tid);
      expect(Object.keys(thread?.links ?? {}).sort()).toEqual(['net', 'uts']);
      expect(then.byPid.get(root)?.spaces.uts).not.toBe(thread?.spaces.uts);
    },
  },
  {
    name: 'pid_for_children that differs from pid',
    argv: ['born-into-pid-namespace'],
    makesNamespaces: true,
    code: 8,
    check: ({facts, stdout, root, world}) => {
      const child = number(/child (\d+)/, stdout);
      const birth = births(facts).find(fact => fact.child === child);
      expect(birth?.nspid?.slice(-2)).toEqual([child, 1]);
      expect(Object.keys(birth?.changed ?? {})).toEqual(['pid']);
      expect(moves(facts).flatMap(fact => Object.keys(fact.changed))).not.toContain('pid');
      const [maker, made] = [world.byPid.get(root), world.byPid.get(child)];
      expect(made?.spaces.pid).not.toBe(maker?.spaces.pid);
      expect(made?.spaces.pid).toBe(maker?.spaces.pid_for_children);
    },
  },
  {
    name: "a child's stop before its maker's event",
    argv: ['forks-from-many-threads'],
    code: 0,
    check: ({facts, root}) => {
      const children = births(facts);
      expect(children).toHaveLength(800);
      for (const {pid, flags} of children) expect([pid, isRefusal(flags)]).toEqual([root, false]);
      const codes = ofKind(facts, 'exit').filter(fact => fact.pid !== root);
      expect(codes).toHaveLength(800);
      for (let code = 0; code < 100; code++) expect(codes.filter(fact => fact.code === code)).toHaveLength(8);
    },
  },
  {
    name: 'a storm of threads',
    argv: ['many-threads', '8'],
    code: 9,
    check: ({facts, root}) => {
      // It makes nothing but threads. Each of the eight may be killed by the exit of all before it could tell of the last one that it made.
      const begun = ofKind(facts, 'clone').filter(fact => fact.pid === root);
      expect(begun.filter(({flags}) => isRefusal(flags)).length).toBeLessThanOrEqual(8);
      for (const {flags} of begun) if (!isRefusal(flags)) expect(flags).toContain('CLONE_THREAD');
      expect(begun.length).toBeGreaterThanOrEqual(8);
      expect(new Set(ofKind(facts, 'thread-exit').map(fact => fact.tid))).toEqual(new Set(begun.map(fact => fact.child)));
    },
  },
  {
    name: 'exec from a thread that is not the leader',
    argv: ['exec-from-second-thread'],
    code: 23,
    check: ({facts, root}) => {
      const exec = ofKind(facts, 'exec').at(-1);
      expect(exec).toMatchObject({pid: root, argv: [fixture('exec-from-second-thread'), 'again']});
      const threads = ofKind(facts, 'clone').map(fact => fact.child);
      expect(threads).toHaveLength(2);
      expect(threads).toContain(exec?.formerTid);
    },
  },
  {
    name: 'the leader exits first',
    argv: ['leader-exits-first'],
    code: 21,
    check: ({facts, root}) => {
      const child = births(facts)[0];
      expect(child?.pid).toBe(root);
      expect(child?.tid).not.toBe(root);
      expect(exits(facts)).toEqual([
        [child?.child, 2],
        [root, 21],
      ]);
    },
  },
  {
    name: 'group-stop and SIGCONT',
    argv: ['stops-with-threads'],
    code: 0,
    check: ({facts}) => {
      const stopped = births(facts)[0]?.child;
      const told = facts.flatMap(fact =>
        fact.kind === 'stop' ? [[fact.pid, fact.signal]] : fact.kind === 'continue' ? [[fact.pid, 'SIGCONT']] : [],
      );
      expect(told).toEqual(['SIGSTOP', 'SIGCONT', 'SIGTSTP', 'SIGCONT', 'SIGSTOP', 'SIGCONT'].map(signal => [stopped, signal]));
      expect(exits(facts)[0]).toEqual([stopped, 'SIGTERM']);
    },
  },
  {
    name: 'a zombie that its parent never reaps',
    argv: ['leaves-zombie'],
    code: 0,
    check: ({facts, stdout, root}) => {
      const zombie = number(/zombie (\d+)/, stdout);
      expect(exits(facts)).toEqual([
        [zombie, 9],
        [root, 0],
      ]);
    },
  },
  {
    name: 'a subreaper',
    argv: ['subreaper'],
    code: 12,
    check: ({facts, stdout, root, world}) => {
      const orphan = number(/orphan (\d+)/, stdout);
      const birth = births(facts).find(fact => fact.child === orphan);
      expect(birth?.pid).not.toBe(root);
      expect(ofKind(facts, 'change').find(fact => fact.pid === orphan && fact.ppid !== undefined)).toMatchObject({ppid: root});
      expect(world.byPid.get(orphan)).toMatchObject({ppid: root, maker: {pid: birth?.pid}});
      expect(exits(facts).map(([, code]) => code)).toEqual([1, 2, 12]);
    },
  },
  {
    name: 'a pid that is used again',
    argv: ['reuses-pid'],
    makesNamespaces: true,
    code: 0,
    check: ({facts, stdout, world}) => {
      const pid = number(/pid (\d+)/, stdout);
      const told = facts.flatMap(fact =>
        fact.kind === 'clone' && fact.child === pid ? ['born'] : fact.kind === 'exit' && fact.pid === pid ? [`exit ${fact.code}`] : [],
      );
      expect(told).toEqual([10, 11, 12, 13, 14].flatMap(code => ['born', `exit ${code}`]));
      const incarnations = processes(world).filter(process => process.pid === pid);
      expect(incarnations.map(process => process.end?.code)).toEqual([10, 11, 12, 13, 14]);
    },
  },
];

describe.each(HOWS)('by %s', how => {
  describe.each(WAYS)('%s', way => {
    it.each(CASES)('$name', async ({argv: [name, ...args], makesNamespaces, code, check}) => {
      if (makesNamespaces) needsRoot('make namespaces without a user namespace');
      const seen = await trace(way, how, fixture(name), ...args);
      // The program behaves as it does without nsview.
      const alone = await bare(fixture(name), ...args);
      expect({code: seen.code, stdout: withoutPids(seen.stdout), stderr: seen.stderr}).toEqual({
        code: alone.code,
        stdout: withoutPids(alone.stdout),
        stderr: alone.stderr,
      });
      expect(seen.code).toBe(code);
      check(seen, how);
      const found = ofKind(seen.facts, 'process');
      // By the end everybody who was born has ended, once, under who made him.
      expect(processes(seen.world).filter(process => process.end === null)).toEqual([]);
      expect(seen.world.living).toBe(0);
      for (const process of processes(seen.world)) expect(process.maker === null).toBe(process.pid === seen.root);
      expect(seen.world.timeline.all.filter(({what}) => what.kind === 'end')).toHaveLength(births(seen.facts).length + found.length);
    });
  });
});

type Attached = Seen & {readonly tape: TapeRead};

/** nsview comes to a program that is in its state already and says so; then its stdin ends, and so do both. */
async function comeTo(how: How, says: RegExp, program: string, ...args: string[]): Promise<Attached> {
  using folder = temporaryFolder();
  const file = folder.file('tape');
  await using target = start(program, ...args);
  await target.says(says);
  await until(() => /^[SZ]/.test(statusOf(target.pid, 'State')), 'at rest');
  await using tracer = await attach(how, target.pid, file);
  target.release();
  const outcome = await target.ended;
  expect((await tracer.ended).code).toBe(0);
  const tape = readTapeStrictly(file);
  return {...outcome, tape, facts: tape.facts, world: fold(tape), root: target.pid};
}

describe.each(HOWS)('by %s, attached to', how => {
  it.each([
    ['a group exit', ['waits'], 21],
    ['the end of the last thread', ['waits', 'quietly'], 5],
  ])('a process whose leader has ended, up to %s', async (_end, args, code) => {
    const {facts, root, code: seen, world} = await comeTo(how, /leader/, fixture('leader-exits-first'), ...args);
    expect(seen).toBe(code);
    const [process] = ofKind(facts, 'process');
    expect(process?.pid).toBe(root);
    // Its leader is in no namespace any more; its thread is.
    expect(Object.values(process?.namespaces ?? {}).filter(isRefusal)).toEqual([]);
    const [birth] = births(facts);
    expect(birth).toMatchObject({pid: root, ppid: root});
    expect(birth?.tid).not.toBe(root);
    expect(exits(facts)).toEqual([
      [birth?.child, 2],
      [root, code],
    ]);
    expect(world.living).toBe(0);
  });

  it('a zombie that its parent never reaps', async () => {
    const {facts, stdout, root, world} = await comeTo(how, /ready/, fixture('leaves-zombie'));
    const zombie = number(/zombie (\d+)/, stdout);
    expect(ofKind(facts, 'process').find(fact => fact.pid === zombie)).toMatchObject({state: 'Z', ppid: root, comm: 'leaves-zombie'});
    expect(exits(facts)).toEqual([[root, 0]]);
    expect(world.byPid.get(zombie)?.maker?.pid).toBe(root);
  });

  it('a child that CLONE_UNTRACED keeps from tracers', async () => {
    const {facts, stdout, root} = await comeTo(how, /ready/, fixture('clones-untraced'), 'waits');
    const [, child, grandchild] = /untraced (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
    expect(ofKind(facts, 'process').map(fact => fact.pid)).toEqual([root, child]);
    expect(exits(facts)).toEqual([
      [grandchild, 4],
      [child, 5],
      [root, 5],
    ]);
  });

  it('a thread in namespaces of its own', async () => {
    const {facts, stdout, tape} = await comeTo(how, /ready/, ...maker(fixture('thread-born-elsewhere')));
    const tid = number(/tid (\d+)/, stdout);
    const thread = ofKind(facts, 'process')[0]?.threads.find(each => each.tid === tid);
    expect(Object.keys(thread?.namespaces ?? {})).toEqual(['net', 'uts']);
    const then = createWorld(tape.header);
    for (const fact of facts.filter(each => each.kind === 'process')) observe(then, fact);
    expect([...then.byPid.values()][0]?.threads.has(tid)).toBe(true);
  });

  it('a process in another pid namespace: its inner pid is told', async () => {
    const {facts, stdout, root} = await comeTo(how, /ready/, ...maker(fixture('unshares-and-waits'), 'pid'));
    const child = number(/child (\d+)/, stdout);
    const [outside, inside] = ofKind(facts, 'process');
    expect(inside).toMatchObject({pid: child, ppid: root, nspid: [child, 1]});
    expect(inside?.namespaces.pid).toBe(outside?.namespaces.pid_for_children);
    expect(inside?.namespaces.pid).not.toBe(outside?.namespaces.pid);
    expect(exits(facts)).toEqual([
      [child, 'SIGKILL'],
      [root, 0],
    ]);
  });

  it('a process in another user namespace', async () => {
    const {facts, stdout, root, tape} = await comeTo(how, /ready/, fixture('unshares-and-waits'), 'user', 'net');
    const child = number(/child (\d+)/, stdout);
    const own = tape.header.host.namespaces.user;
    for (const process of ofKind(facts, 'process')) {
      expect(process.namespaces.user).toMatch(/^\d+$/);
      expect(process.namespaces.user).not.toBe(own);
      // Ids are as nsview's own user namespace has them.
      expect(process.uids).toEqual(Array(4).fill(globalThis.process.geteuid?.()));
    }
    expect(exits(facts)).toEqual([
      [child, 'SIGKILL'],
      [root, 0],
    ]);
  });

  it('a storm of threads that gets SIGSTOP at that moment: it stops, goes on at SIGCONT, and every time it is told', async () => {
    await using target = start(fixture('many-threads'), '8');
    await target.says(/ready/);
    for (let round = 0; round < 6; round++) {
      using folder = temporaryFolder();
      const tape = folder.file('tape');
      const began = performance.now();
      const coming = attach(how, target.pid, tape);
      // From before the helper is there to after the answer.
      await new Promise(resolve => setTimeout(resolve, 60 + round * 60));
      target.child.kill('SIGSTOP');
      await using tracer = await coming;
      await until(() => /^[Tt]/.test(statusOf(target.pid, 'State')), `stopped, in round ${round}, ${performance.now() - began}`);
      await new Promise(resolve => setTimeout(resolve, 50));
      expect(statusOf(target.pid, 'State')).toMatch(/^[Tt]/);
      target.child.kill('SIGCONT');
      await until(() => readFileSync(tape, 'utf8').includes('"kind":"continue"'), 'told');
      await until(() => !/^[Tt]/.test(statusOf(target.pid, 'State')), 'going on');
      tracer.child.kill('SIGINT');
      expect((await tracer.ended).code).toBe(0);
      expect(fold(readTapeStrictly(tape)).byPid.get(target.pid)?.stopped).toBe(null);
      expect(statusOf(target.pid, 'TracerPid')).toBe('0');
    }
    target.release();
    expect(await target.ended).toMatchObject({code: 9, stderr: ''});
  });
});

const isInstalled = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

/** Its process, once something traces it. */
const traced = async (pid: number): Promise<number> => {
  await until(() => Number(statusOf(pid, 'TracerPid')) > 0, `${pid} traced`);
  return Number(statusOf(pid, 'TracerPid'));
};

describe('a process that is already traced', () => {
  it.each(HOWS)('in the tree: by %s', async how => {
    const {facts, stdout, root, code, world} = await comeTo(how, /ready/, fixture('traces-child'), 'seize', 'holds');
    const child = number(/seize (\d+): traced/, stdout);
    expect([code, stdout]).toEqual([13, expect.stringContaining('stops 1')]);
    expect(ofKind(facts, 'process').map(fact => fact.pid)).toEqual(expect.arrayContaining([root, child]));
    const refused = ofKind(facts, 'refused');
    if (how === 'bpf') {
      expect(refused).toEqual([]);
      expect(exits(facts)).toEqual([
        [births(facts)[0]?.child, 3],
        [child, 13],
        [root, 13],
      ]);
    } else {
      expect(refused).toMatchObject([
        {pid: child, errno: 'EPERM', rule: expect.stringContaining(`already traced, by traces-child ${root}`)},
      ]);
      // How it ended only its tracer knows.
      expect(exits(facts)).toEqual([[root, 13]]);
      expect(ofKind(facts, 'gone').map(fact => fact.pid)).toContain(child);
    }
    expect(world.living).toBe(0);
  });

  it('in the tree, under ptrace: what descends from it is watched from /proc', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    // A shell's job in the background has no stdin otherwise.
    await using target = start('bash', '-c', `exec 3<&0; bash -c 'read go <&3; sleep 2; exit 3' & echo child $!; wait $!`);
    const child = Number((await target.says(/child (\d+)/))[1]);
    await using other = nsview('trace', '--follow', 'ptrace', '-o', '/dev/null', '-p', String(child));
    await traced(child);
    await using tracer = await attach('ptrace', target.pid, tape);
    target.child.stdin?.write('go\n');
    expect((await target.ended).code).toBe(3);
    await Promise.all([other.ended, tracer.ended]);
    const {facts} = readTapeStrictly(tape);
    expect(ofKind(facts, 'refused')).toMatchObject([{pid: child, rule: expect.stringContaining('already traced, by nsview-helper')}]);
    const [sleep] = ofKind(facts, 'process').filter(fact => fact.because === 'watch' && fact.ppid === child);
    expect(sleep).toBeDefined();
    expect(ofKind(facts, 'gone').map(fact => fact.pid)).toEqual(expect.arrayContaining([child, sleep?.pid]));
  });

  it.for([
    ['strace', (pid: number) => ['-f', '-o', '/dev/null', '-p', String(pid)]],
    ['gdb', (pid: number) => ['-q', '-batch', '-nx', '-p', String(pid), '-ex', 'continue']],
  ] as const)('by %s: the screen says by whom, and shows what it does from /proc', async ([program, args], context) => {
    if (!isInstalled(program)) context.skip(`${program} is not installed`);
    await using target = start('bash', '-c', 'while read line; do sleep 1; done; exit 6');
    await using other = start(program, ...args(target.pid));
    const by = await traced(target.pid);
    expect(by).toBe(other.pid);
    await using screen = nsviewScreen(MIDDLE, '--follow', 'ptrace', '-p', String(target.pid));
    await screen.until(new RegExp(`already traced, by ${program}`));
    target.child.stdin?.write('go\n');
    await screen.until(/sleep/);
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(statusOf(target.pid, 'TracerPid')).toBe(String(by));
    target.release();
    expect((await target.ended).code).toBe(6);
    await other.ended;
  });
});

describe('a tracer inside', () => {
  const OPTIONS = {
    bpf: {launched: [], attached: []},
    ptrace: {launched: [], attached: ['--syscalls']},
  } as const;

  describe.each(HOWS)('by %s', how => {
    it.each(WAYS.flatMap(way => ['traceme', 'seize', 'attach'].map(request => [way, request] as const)))(
      '%s: PTRACE_%s of its child works as without nsview',
      async (way, request) => {
        const seen = await traceWith(OPTIONS[how][way], way, how, fixture('traces-child'), request);
        const alone = await bare(fixture('traces-child'), request);
        expect([seen.code, withoutPids(seen.stdout)]).toEqual([13, withoutPids(alone.stdout)]);
        const child = number(/ (\d+): traced/, seen.stdout);
        const refused = ofKind(seen.facts, 'refused').map(({pid, rule}) => [pid, rule]);
        if (how === 'bpf') expect(refused).toEqual([]);
        else expect(refused).toEqual([[child, `traces-child ${seen.root} traces it, and a process has one tracer at most`]]);
        expect(exits(seen.facts).at(-1)).toEqual([seen.root, 13]);
        expect(seen.world.living).toBe(0);
      },
    );

    it('launched: strace -f traces its program as without nsview', async context => {
      if (!isInstalled('strace')) context.skip('strace is not installed');
      using folder = temporaryFolder();
      const file = folder.file('strace');
      const script = `/bin/true; unshare ${ownUser.join(' ')} --uts true; exit 4`;
      const seen = await trace('launched', how, 'strace', '-f', '-o', file, '-e', 'trace=exit_group,unshare', 'sh', '-c', script);
      expect([seen.code, seen.stderr]).toEqual([4, '']);
      expect(readFileSync(file, 'utf8')).toMatch(/exit_group\(0\).*unshare\(CLONE_NEWUTS(\|CLONE_NEWUSER)?\).*exit_group\(4\)/s);
      if (how === 'bpf') expect(ofKind(seen.facts, 'call').map(({name}) => name)).toContain('unshare');
      else for (const {rule} of ofKind(seen.facts, 'refused')) expect(rule).toContain(`strace ${seen.root} traces it`);
    });

    it('launched: gdb runs its program as without nsview', async context => {
      if (!isInstalled('gdb')) context.skip('gdb is not installed');
      const args = ['-q', '-batch', '-nx', '-ex', 'run', '-ex', 'print $_exitcode', '--args', '/bin/sh', '-c', 'exit 5'];
      const seen = await trace('launched', how, 'gdb', ...args);
      expect(seen.code).toBe(0);
      expect(seen.stdout).toContain('$1 = 5');
    });
  });

  it('under ptrace where calls are not stopped, the kernel refuses it its child, and nsview loses nothing', async () => {
    const {code, stdout, facts, root} = await trace('attached', 'ptrace', fixture('traces-child'), 'seize');
    expect([code, stdout]).toEqual([13, expect.stringContaining('Operation not permitted')]);
    expect(ofKind(facts, 'refused')).toEqual([]);
    expect(exits(facts).map(([, status]) => status)).toEqual([3, 13, 13]);
    expect(root).toBe(births(facts)[0]?.pid);
  });
});

describe('a tree of 2000 processes with four threads each', () => {
  it.each(HOWS)(
    'is followed whole by %s, and let go whole',
    async how => {
      using folder = temporaryFolder();
      const file = folder.file('tape');
      await using target = start(fixture('makes-tree'), '2000', '4');
      await until(() => target.stdout.includes('ready'), 'ready');
      const tracer = await attach(how, target.pid, file);
      const [fact] = ofKind(
        readFileSync(file, 'utf8')
          .split('\n')
          .filter(line => line.includes('"kind":"tracer"'))
          .map(line => JSON.parse(line) as Fact),
        'tracer',
      );
      expect(fact).toMatchObject({processes: 2000, threads: 8000});
      const tasks = () =>
        ofKind(readTapeStrictly(file).facts, 'process').flatMap(({pid, threads}) => [pid, ...threads.map(thread => thread.tid)]);
      const helper = readFileSync(`/proc/${tracer.pid}/task/${tracer.pid}/children`, 'utf8').trim();
      const all = how === 'ptrace' ? tasks() : [];
      for (const tid of all) expect(statusOf(tid, 'TracerPid')).toBe(helper);
      tracer.child.kill('SIGINT');
      expect((await tracer.ended).code).toBe(0);
      expect(new Set(tasks()).size).toBe(8000);
      for (const tid of tasks()) {
        expect(statusOf(tid, 'TracerPid')).toBe('0');
        expect(statusOf(tid, 'State')).toMatch(/^S/);
      }
      target.release();
      expect(await target.ended).toMatchObject({code: 0, stderr: ''});
    },
    patient(90_000),
  );
});
